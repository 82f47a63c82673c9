"""Judging: measurement + criterion -> verdict, by rules fixed before anything was measured.

It is for the one place where a number becomes 符合 or 不符合; self-check, formal run, verification and report all come here.
It must never do I/O, round before comparing, or give a verdict from a point estimate alone.

Rule DR-1 (non-binary, one-sided bounds at 1 - alpha; ILAC-G8:09/2019 section 4): for `<=`, with limit L, upper bound UB and
lower bound LB: pass UB <= L, fail LB > L, else undecided (conditional_pass where the point is inside, conditional_fail
where it is outside); mirrored for `>=`. DR-0 (simple acceptance by the point) is computed beside it for information only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from yanshou.harness.basics import RunStatus
from yanshou.harness.model import (
    Answer,
    Audit,
    Change,
    Checklist,
    Count,
    Kind,
    Limit,
    Measurement,
    Op,
    Reason,
    Samples,
    Series,
    Severity,
    Validity,
    Verdict,
)
from yanshou.harness.statistics import (
    LEAST_FOR_RMS,
    LEAST_IN_TAIL,
    Bounds,
    Interval,
    audit_lower,
    audit_upper,
    change_interval,
    max_bounds,
    mean_bounds,
    min_samples,
    percentile_code,
    quantile_bounds,
    rms_bounds,
    split_alpha,
    tail_code,
    tail_mean_bounds,
)
from yanshou.harness.units import convert, dimension, rate_of_time

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Exact: TypeAlias = Fraction | float
"""An exact number, or float infinity."""

READINGS = ("p50", "p99", "p99.9", "max")
"""Statistics printed beside every measured indicator, whatever the committed one is."""

MEASURANDS = {"round_trip": "往返", "one_way": "单向"}
"""Words for what a value is, where a commitment may mean one of several."""

FLOOR_SHARE = (Fraction(25, 1000), Fraction(50, 1000))
"""Largest floor of an instrument, p99 and p99.9, as shares of the limit: 50 us and 100 us of 2 ms."""

RESOLUTION_SHARE, TRUTH_SHARE = Fraction(2, 5), Fraction(1, 3)
"""Coarsest resolution, and largest uncertainty of the truth, as shares of the limit."""

OTHER_STATISTICS = {"mean": mean_bounds, "max": max_bounds, "rms": rms_bounds}
"""Statistics of samples that are not percentiles."""


@dataclass(frozen=True)
class Criterion:
    """What one indicator is held to. A non-empty `undefined` forbids any verdict (口径未定).

    Without a `statistic` each of `readings` is judged, and they must agree; without these either nothing is.
    `direction` is what the commitment means ("round_trip", "one_way") or None where the indicator knows no direction.
    """

    indicator: str
    kind: Kind
    limit: Limit
    statistic: str | None
    direction: str | None
    undefined: tuple[str, ...]
    confidence: float
    attempts: int
    pass_split: int = 1
    """Over how many chances of a wrong pass alpha is split, where not all subjects must pass."""
    fail_split: int = 1
    """Over how many chances of a wrong fail: every subject and condition is one."""
    readings: tuple[str, ...] = ()
    """Statistics that a commitment without one may mean."""


@dataclass(frozen=True)
class InstrumentError:
    """Range of the calibrated error of indication (indicated - true), in `unit`.

    `floor`: (p99, p99.9) of what the instrument reads where there is nothing to read, None where it has no such point.
    """

    lowest: float
    highest: float
    unit: str
    floor: tuple[float, float] | None = None


@dataclass(frozen=True)
class Quantity:
    """The readings of one further quantity of the same events; `error` may shift them all. In the limit's unit."""

    name: str
    text: str
    measurand: str
    readings: Mapping[str, Exact]
    error: Exact


@dataclass(frozen=True)
class Reading:
    """One of several things that a commitment may mean, judged. Numbers as in `Judged`; `text` says which values."""

    text: str
    statistic: str
    verdict: Verdict
    value: Exact
    lower: Exact | None
    upper: Exact | None
    n: int
    n_effective: float


@dataclass(frozen=True)
class Level:
    """What a run says of an indicator itself, where the limit is on a change. `interval` gave way to the instrument's error."""

    interval: Interval
    unit: str
    statistic: str
    n: int
    n_effective: float
    run: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Before and after. `measured` is False where before is only what the project declared."""

    change: Change
    before: Level
    after: Level
    measured: bool


@dataclass(frozen=True)
class Judged:
    """One run judged. Numbers are exact, in the limit's unit; `guard` is (under-reading, over-reading) >= 0 allowed for."""

    verdict: Verdict
    simple: Verdict
    reasons: tuple[Reason, ...]
    statistic: str | None
    value: Exact | None
    lower: Exact | None
    upper: Exact | None
    n: int
    n_effective: float
    alpha: float
    guard: tuple[Exact, Exact] = (Fraction(0), Fraction(0))
    readings: Mapping[str, Exact] = field(default_factory=dict)
    quantities: tuple[Quantity, ...] = ()
    plausible: tuple[Reading, ...] = ()
    """Where the commitment may mean several things: each of them; the numbers are those of the least favourable one."""
    comparison: Comparison | None = None
    """Where the limit is on a change: what was compared; the numbers are those of the change."""


@dataclass(frozen=True)
class Attempt:
    """One started run of an indicator, in order. `measurement` is None where nothing could be analysed.

    `unreadable`: it was broken off with evidence from which nothing can be read any more.
    """

    run: int
    subject: str | None
    status: RunStatus
    measurement: Measurement | None
    validity: tuple[Validity, ...]
    error: InstrumentError | None
    unreadable: bool = False

    @property
    def looked(self) -> bool:
        """True when somebody could have seen what a sample says: such a run spends part of alpha, finished or not.

        A count of all, or a checklist, has no sampling error to spend; a drawn sample that waits for its answers shows nothing.
        """
        match self.measurement:
            case None:
                return self.unreadable
            case Samples(values=values):
                return values.size > 0
            case Count(audit=Audit(good=good)):
                return good > 0
        return False


def satisfies(value: Exact, limit: Limit) -> bool:
    """Exact comparison of a number in the limit's unit."""
    bound = Fraction(limit.value)
    return {
        Op.LE: value <= bound,
        Op.GE: value >= bound,
        Op.LT: value < bound,
        Op.GT: value > bound,
        Op.EQ: value == bound,
    }[limit.op]


def stricter(a: Limit, b: Limit) -> Limit:
    """The harder of two limits of the same direction. Raises UnitError across dimensions, ValueError across directions."""
    if isinstance(a.value, bool) or isinstance(b.value, bool):
        if a != b:
            raise ValueError(f"{a} / {b}")
        return a
    if a.op.smaller_is_better != b.op.smaller_is_better:
        raise ValueError(f"{a} / {b}")
    left, right = Fraction(a.value), convert(b.value, b.unit, a.unit)
    if left == right:
        return a if a.op in (Op.LT, Op.GT) else b
    return a if (left < right) == a.op.smaller_is_better else b


def decide(value: Exact, lower: Exact | None, upper: Exact | None, limit: Limit) -> tuple[Verdict, tuple[Reason, ...]]:
    """Rule DR-1 on numbers in the limit's unit. A bound that does not exist is None."""
    safe, doubtful = (upper, lower) if limit.op.smaller_is_better else (lower, upper)
    if safe is not None and satisfies(safe, limit):
        return Verdict.PASS, ()
    if doubtful is not None and not satisfies(doubtful, limit):
        return Verdict.FAIL, ()
    if safe is None:
        return Verdict.INCONCLUSIVE, (Reason("insufficient_samples", "样本不足以给出置信界"),)
    if satisfies(value, limit):
        return Verdict.INCONCLUSIVE, (Reason("conditional_pass", "有条件符合：点估计在限值内，置信界在限值外"),)
    return Verdict.INCONCLUSIVE, (Reason("conditional_fail", "有条件不符合：点估计在限值外，置信界未越过限值"),)


def judge_run(criterion: Criterion, measurement: Measurement, alpha: float, error: InstrumentError | None) -> Judged:
    """Judge one measurement at one-sided level `alpha`. Pure."""
    if isinstance(measurement, Checklist):
        return _judge_checklist(criterion, measurement, alpha)
    if isinstance(measurement, Samples) and rate_of_time(criterion.limit.unit, measurement.unit):
        return _judge_rate(criterion, measurement, alpha, error)
    if dimension(measurement.unit) != dimension(criterion.limit.unit):
        text = f"仪器给出的单位是“{measurement.unit}”，限值的单位是“{criterion.limit.unit}”，不能比较"
        return _blank(Verdict.INVALID, Reason("unit_mismatch", text), alpha)
    if isinstance(measurement, Count):
        return _judge_count(criterion, measurement, alpha)
    return _judge_samples(criterion, measurement, alpha, error)


_MIRRORED = {Op.LE: Op.GE, Op.GE: Op.LE, Op.LT: Op.GT, Op.GT: Op.LT, Op.EQ: Op.EQ}


def _judge_rate(criterion: Criterion, samples: Samples, alpha: float, error: InstrumentError | None) -> Judged:
    """A limit in fps on times from one frame to the next: the times are judged, and told as the rates that they are.

    So a mean is frames over time, and the slowest frames are the largest values, whichever way the commitment is written. The
    bounds told gave way to the instrument's error already.
    """
    limit = criterion.limit
    if limit.value <= 0:
        return _blank(Verdict.INVALID, Reason("unit_mismatch", f"限值 {limit} 没有对应的帧时间"), alpha)
    told = _judge_samples(replace(criterion, limit=period(limit, "s")), samples, alpha, error)
    under, over = told.guard
    return replace(
        told,
        value=inverse(told.value),
        lower=inverse(None if told.upper is None else told.upper + under),
        upper=inverse(None if told.lower is None else max(_less(told.lower, over), Fraction(0))),
        guard=(Fraction(0), Fraction(0)),
        readings={code: rate for code, time in told.readings.items() if (rate := inverse(time)) is not None},
        quantities=(),
        plausible=tuple(
            replace(r, value=inverse(r.value) or Fraction(0), lower=inverse(r.upper), upper=inverse(r.lower))
            for r in told.plausible
        ),
    )


def period(rate: Limit, unit: str) -> Limit:
    """What a limit in fps asks of the time from one frame to the next, in the unit of time `unit`."""
    return Limit(_MIRRORED[rate.op], convert(1, "s", unit) / Fraction(rate.value), unit)


def inverse(time: Exact | None) -> Exact | None:
    """A time in s as the rate that it is, and back."""
    if time is None:
        return None
    return math.inf if time == 0 else Fraction(0) if math.isinf(time) else 1 / Fraction(time)


def _blank(verdict: Verdict, reason: Reason, alpha: float) -> Judged:
    return Judged(verdict, verdict, (reason,), None, None, None, None, 0, 0.0, alpha)


def _simple(value: Exact, limit: Limit) -> Verdict:
    return Verdict.PASS if satisfies(value, limit) else Verdict.FAIL


def statistic_bounds(values: NDArray[np.float64], statistic: str, alpha: float) -> Bounds:
    """Point and bounds of a named statistic, in the values' own unit; of the rms also from components, shape (k, n).

    Raises KeyError for an unknown one.
    """
    p = percentile_code(statistic)
    if p is not None:
        return quantile_bounds(values, p, alpha)
    if (beyond := tail_code(statistic)) is not None:
        return tail_mean_bounds(values, beyond, alpha)
    return OTHER_STATISTICS[statistic](values, alpha)


def _judge_samples(criterion: Criterion, samples: Samples, alpha: float, error: InstrumentError | None) -> Judged:
    limit = criterion.limit
    factor = convert(1, samples.unit, limit.unit)
    n = int(samples.values.size)
    if n == 0:
        return _blank(Verdict.INCONCLUSIVE, Reason("insufficient_samples", "没有样本"), alpha)
    readings = _readings(samples.values, factor)
    quantities = tuple(
        Quantity(s.name, s.text, s.measurand, _readings(s.values, factor), Fraction(s.error) * factor)
        for s in samples.series
    )
    if samples.open:
        return Judged(
            Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, samples.open, None, None, None, None, n, float(n), alpha,
            readings=readings, quantities=quantities,
        )  # fmt: skip
    meant = (criterion.statistic,) if criterion.statistic else criterion.readings
    if criterion.undefined or not meant:
        missing = "、".join(criterion.undefined) or "statistic"
        reason = Reason("undefined_reading", f"口径未定：承诺没有写明 {missing}，不予判定；各读数并列给出")
        return Judged(
            Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, (reason, *_if_it_meant(criterion, samples, alpha, error)),
            None, None, None, None, n, float(n), alpha,
            readings=readings, quantities=quantities,
        )  # fmt: skip
    for statistic in meant:
        if not _known_statistic(statistic):
            reason = Reason("statistic_unsupported", f"这台仪器的样本没有 {statistic} 这个统计量")
            return _blank(Verdict.INVALID, reason, alpha)
    if too_coarse := _too_coarse(limit, samples, factor):
        return replace(_blank(Verdict.INVALID, too_coarse, alpha), n=n, readings=readings, quantities=quantities)
    meant_of: list[tuple[Samples | Series, tuple[str, ...]]] = [(samples, meant)]
    meant_of += [(s, meant if criterion.statistic else s.plausible) for s in samples.series if s.plausible]
    judged = [
        (source, _judge_statistic(replace(criterion, statistic=statistic), samples, source, alpha, error))
        for source, statistics in meant_of
        for statistic in statistics
    ]
    one = judged[0][1] if len(judged) == 1 else _agreement(judged, limit)
    return replace(one, readings=readings, quantities=quantities)


def _known_statistic(code: str) -> bool:
    return code in OTHER_STATISTICS or percentile_code(code) is not None or tail_code(code) is not None


def _judge_statistic(
    criterion: Criterion, samples: Samples, source: Samples | Series, alpha: float, error: InstrumentError | None
) -> Judged:
    """One statistic of the samples, or of one of their series. `source` has at least one value."""
    import numpy as np

    assert criterion.statistic is not None
    limit = criterion.limit
    factor = convert(1, samples.unit, limit.unit)
    n = int(source.values.size)
    given = np.stack(source.components) if criterion.statistic == "rms" and source.components else source.values
    bounds = _split_bounds(criterion, given, criterion.statistic, alpha)
    value, lower, upper = _exact(bounds.point, factor), _exact(bounds.lower, factor), _exact(bounds.upper, factor)
    assert value is not None
    truth = Fraction(samples.truth_u95) * factor
    under, over = (margin + truth for margin in _guard(error, limit.unit))
    # The instrument may have read too low by `under` and too high by `over`: each bound gives way on its own side.
    guarded_upper = None if upper is None else upper + under
    guarded_lower = None if lower is None else _less(lower, over)
    verdict, reasons = decide(value, guarded_lower, guarded_upper, limit)
    if verdict is Verdict.INCONCLUSIVE and decide(value, lower, upper, limit)[0] is not Verdict.INCONCLUSIVE:
        reasons += (Reason("instrument_margin", "越过限值的部分小于仪器的示值误差，不足以判定"),)
    if reasons and reasons[0].code == "insufficient_samples":
        reasons = (Reason("insufficient_samples", _why_no_bound(criterion.statistic, bounds, alpha)),)
    if bounds.n_effective < n / 2:
        text = f"样本前后相关：{n} 个样本只相当于 {math.floor(bounds.n_effective)} 个独立样本，界已按此放宽"
        reasons += (Reason("serial_dependence", text),)
    if criterion.direction not in (None, samples.measurand):
        verdict, reasons = _other_reading(criterion, verdict, reasons, samples, alpha, (under, over))
    return Judged(
        verdict, _simple(value, limit), reasons, criterion.statistic, value, lower, upper,
        n, bounds.n_effective, alpha, (under, over),
    )  # fmt: skip


def _agreement(judged: Sequence[tuple[Samples | Series, Judged]], limit: Limit) -> Judged:
    """All that a commitment may mean: pass only if all pass, fail only if all fail, each at the whole alpha.

    Passing wrongly needs a wrong pass of every reading, so none of them needs a smaller alpha (intersection-union test:
    Berger, Technometrics 24 (1982) 295-300). Shown is the least favourable reading.
    """
    found = [j for _, j in judged]
    table = tuple(
        Reading(
            source.text if isinstance(source, Series) else "逐个样本",
            j.statistic or "", j.verdict, j.value if j.value is not None else math.inf, j.lower, j.upper, j.n, j.n_effective,
        )
        for source, j in judged
    )  # fmt: skip
    verdicts = {j.verdict for j in found}
    sign = 1 if limit.op.smaller_is_better else -1
    shown = max(zip(found, table, strict=True), key=lambda p: (p[0].verdict.severity, sign * p[1].value))[0]
    each = "；".join(f"{r.text} {r.statistic.upper()} {r.verdict.word}" for r in table)
    if len(verdicts) == 1:
        verdict = shown.verdict
        reason = Reason("readings_agree", f"承诺没有写明是哪一种，各种合理读法的判定一致——{each}")
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = Reason("readings_disagree", f"承诺没有写明是哪一种，各种合理读法的判定不一致——{each}")
    simple = {j.simple for j in found}
    return replace(
        shown,
        verdict=verdict,
        simple=simple.pop() if len(simple) == 1 else Verdict.INCONCLUSIVE,
        reasons=(reason, *shown.reasons),
        plausible=table,
    )


def _too_coarse(limit: Limit, samples: Samples, factor: Fraction) -> Reason | None:
    """Why values of this resolution, or errors from this truth, cannot be held against the limit at all."""
    allowed = Fraction(limit.value)
    resolution, truth = (Fraction(repr(v)) * factor for v in (samples.resolution, samples.truth_u95))
    if resolution > allowed * RESOLUTION_SHARE:
        text = f"输出的最小步长 {float(resolution):.3g} {limit.unit} 大于限值的 {float(RESOLUTION_SHARE):.0%}，看不出要判的误差"
        return Reason("resolution_too_coarse", text)
    if truth > allowed * TRUTH_SHARE:
        text = f"真值的扩展不确定度 {float(truth):.3g} {limit.unit} 大于限值的三分之一，不能用来判定"
        return Reason("truth_too_coarse", text)
    return None


def _if_it_meant(
    criterion: Criterion, samples: Samples, alpha: float, error: InstrumentError | None
) -> tuple[Reason, ...]:
    """What the verdict would be under each reading that an open commitment allows; no verdict itself."""
    if not samples.bounds:
        return ()
    directions = (criterion.direction,) if criterion.direction else (samples.measurand, *samples.bounds)
    lines = []
    for statistic in (criterion.statistic,) if criterion.statistic else ("p50", "p99", "p99.9"):
        meant = [
            (d, judge_run(replace(criterion, statistic=statistic, direction=d, undefined=()), samples, alpha, error))
            for d in directions
        ]
        words = "、".join(f"{MEASURANDS.get(d, d)}{judged.verdict.word}" for d, judged in meant)
        lines.append(f"{statistic.upper()} {words}")
    return (Reason("readings_would_be", "假如口径是：" + ";".join(lines)),)


def _exact(number: float | None, factor: Fraction) -> Exact | None:
    return None if number is None else _told(number, factor)


def _told(number: float, factor: Fraction) -> Exact:
    return number if math.isinf(number) else Fraction(number) * factor


def _readings(values: NDArray[np.float64], factor: Fraction) -> dict[str, Exact]:
    """Points of READINGS, whatever the committed statistic is."""
    points = {code: _exact(statistic_bounds(values, code, 0.05).point, factor) for code in READINGS}
    return {code: point for code, point in points.items() if point is not None}


def _split_bounds(criterion: Criterion, values: NDArray[np.float64], statistic: str, alpha: float) -> Bounds:
    """Bounds at the level of a wrong pass on the safe side, and at that of a wrong fail on the other."""
    safe = statistic_bounds(values, statistic, alpha / criterion.pass_split)
    doubt = safe
    if criterion.fail_split != criterion.pass_split:
        doubt = statistic_bounds(values, statistic, alpha / criterion.fail_split)
    if criterion.limit.op.smaller_is_better:
        return replace(safe, lower=doubt.lower)
    return replace(safe, upper=doubt.upper)


def _why_no_bound(statistic: str, bounds: Bounds, alpha: float) -> str:
    p = percentile_code(statistic)
    if statistic == "rms" and math.isfinite(bounds.point):
        return f"有效样本 {math.floor(bounds.n_effective)} 个，RMS 的置信界每个分量至少要 {LEAST_FOR_RMS} 个"
    if tail_code(statistic) and math.isfinite(bounds.point):
        return f"有效样本 {math.floor(bounds.n_effective)} 个，最慢一端的平均至少要其中有 {LEAST_IN_TAIL} 个才有置信界"
    if p is None:
        return f"{statistic} 没有有限样本的置信上界" if statistic == "max" else "有样本丢失，平均值不存在"
    need = min_samples(p, alpha)
    return (
        f"有效样本 {math.floor(bounds.n_effective)} 个，{statistic.upper()} 的 {1 - alpha:.2%} 置信界至少要 {need} 个"
    )


def _guard(error: InstrumentError | None, unit: str) -> tuple[Exact, Exact]:
    """(under-reading, over-reading) >= 0 in `unit`; +inf where calibration lost so many events that nothing bounds it."""
    if error is None:
        return Fraction(0), Fraction(0)
    factor = convert(1, error.unit, unit)
    return max(Fraction(0), _told(-error.lowest, factor)), max(Fraction(0), _told(error.highest, factor))


def _less(bound: Exact, margin: Exact) -> Exact:
    return -math.inf if margin == math.inf else bound - margin


def _other_reading(
    criterion: Criterion,
    verdict: Verdict,
    reasons: tuple[Reason, ...],
    samples: Samples,
    alpha: float,
    guard: tuple[Exact, Exact],
) -> tuple[Verdict, tuple[Reason, ...]]:
    """The commitment means another quantity than the instrument measured: only what is implied may be concluded.

    A value that bounds the meant one from above passes for it. Else the run's own series of that quantity decide, all of
    them. Without: at round trips beyond 2 L, up > L or down > L, so P(up > L) + P(down > L) >= P(RTT > 2 L), and one direction
    exceeds L with at least half that probability. It breaks the quantile q when that half is above 1 - q, that is when the
    (2 q - 1) quantile of the round trip is above 2 L.
    """
    limit, direction = criterion.limit, criterion.direction
    if direction in samples.bounds and verdict is Verdict.PASS:
        text = "测得的量在限值内，它不小于承诺的量（往返不小于任一方向的单向），承诺的量必在限值内"
        return verdict, (*reasons, Reason("implied", text))
    assert criterion.statistic is not None
    factor = convert(1, samples.unit, limit.unit)
    own = [s for s in samples.series if s.measurand == direction]
    if own:
        found = []
        for s in own:
            bounds = _split_bounds(criterion, s.values, criterion.statistic, alpha / len(own))
            shift = Fraction(s.error) * factor
            upper, lower = _exact(bounds.upper, factor), _exact(bounds.lower, factor)
            point = _exact(bounds.point, factor)
            assert point is not None
            upper = None if upper is None else upper + shift + guard[0]
            lower = None if lower is None else _less(lower - shift, guard[1])
            found.append((s, *decide(point, lower, upper, limit)))
        total = worst(v for _, v, _ in found)
        text = ";".join(f"{s.text}：{v.word}" for s, v, _ in found)
        return total, (Reason("other_series", f"承诺的量由同一次测量的各方向分别判定——{text}"),)
    p = percentile_code(criterion.statistic)
    if samples.measurand == "round_trip" and direction == "one_way" and p is not None and p > Fraction(1, 2):
        lower = _exact(quantile_bounds(samples.values, 2 * p - 1, alpha / criterion.fail_split).lower, factor)
        twice = replace(limit, value=2 * Fraction(limit.value))
        if lower is not None and not satisfies(_less(lower, guard[1]), twice):
            text = f"往返时延超过限值两倍的比例足以断定：至少一个方向的单向时延 {criterion.statistic.upper()} 超过限值"
            return Verdict.FAIL, (Reason("exceeds_twice", text),)
    text = "仪器测得的不是承诺的量（往返对单向）：未在限值内时不能推出承诺的量，需两端时钟同步后另测"
    return Verdict.INCONCLUSIVE, (*reasons, Reason("readings_disagree", text))


def floor_validity(limit: Limit, error: InstrumentError | None) -> tuple[Validity, ...]:
    """Void when the instrument's floor takes more than FLOOR_SHARE of the limit at p99 or p99.9. The floor is never subtracted."""
    if error is None or error.floor is None or isinstance(limit.value, bool) or not limit.op.smaller_is_better:
        return ()
    if dimension(error.unit) != dimension(limit.unit):
        return ()
    factor = convert(1, error.unit, limit.unit)
    floor = [_told(x, factor) for x in error.floor]
    shown = " / ".join("∞" if math.isinf(x) else f"{float(x):.3g}" for x in floor)
    allowed = [Fraction(limit.value) * share for share in FLOOR_SHARE]
    most = " / ".join(f"{float(a):.3g}" for a in allowed)
    text = f"仪器本底 P99/P99.9 为 {shown} {limit.unit}，限值 {limit} 允许 {most}；本底不从结果中扣除"
    if any(x > most_allowed for x, most_allowed in zip(floor, allowed, strict=True)):
        return (Validity("instrument_floor", Severity.INVALID, text),)
    return (Validity("instrument_floor", Severity.INFO, text),)


def _judge_count(criterion: Criterion, count: Count, alpha: float) -> Judged:
    limit = criterion.limit
    factor = convert(1, count.unit, limit.unit)
    reasons: tuple[Reason, ...]
    if criterion.undefined or count.open:
        reasons = count.open
        if criterion.undefined:
            text = f"口径未定：承诺没有写明 {'、'.join(criterion.undefined)}，不予判定"
            reasons = (Reason("undefined_reading", text), *count.open)
        return Judged(
            Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, reasons, None, count.net * factor, None, None,
            count.gross, float(count.gross), alpha,
        )  # fmt: skip
    reasons = (_how_counted(count),)
    levels = alpha / criterion.pass_split, alpha / criterion.fail_split
    value, lower, upper, n = _counted(count, factor, *(levels[::-1] if limit.op.smaller_is_better else levels))
    verdict, why = decide(value, lower, upper, limit)
    return Judged(
        verdict, _simple(value, limit), why + reasons, "count", value, lower, upper, n, float(n), alpha
    )  # fmt: skip


def _how_counted(count: Count) -> Reason:
    if count.audit is None:
        return Reason("census", "对提交的记录全数计数，没有抽样误差；记录是否真实未经抽样复核")
    text = f"抽样复核 {count.audit.drawn} 条，属实 {count.audit.good} 条；真实数量的下界为超几何精确界"
    return Reason("audited", text)


def _counted(
    count: Count, factor: Fraction, low_alpha: float, high_alpha: float
) -> tuple[Fraction, Fraction, Fraction, int]:
    """(point, lower, upper, n) of a count, times `factor`: of all of them, or as far as the audit shows that they are real."""
    audit = count.audit
    if audit is None:
        return count.net * factor, count.net * factor, count.net * factor, count.gross
    return (
        Fraction(audit.population * audit.good, audit.drawn) * factor,
        audit_lower(audit.population, audit.drawn, audit.good, low_alpha) * factor,
        audit_upper(audit.population, audit.drawn, audit.good, high_alpha) * factor,
        audit.drawn,
    )


def _judge_checklist(criterion: Criterion, checklist: Checklist, alpha: float) -> Judged:
    """People answered; the bounds are what the open answers could still become. Paper never becomes a measurement."""
    limit = criterion.limit
    yes = checklist.number(Answer.YES)
    no = checklist.number(Answer.NO)
    unsettled = checklist.number(Answer.PARTIAL, Answer.EXPERT, Answer.OPEN)
    n = len(checklist.items)
    waits_for_people = Reason(
        *(
            ("expert_review", f"{unsettled} 项待专家评议或补查")
            if checklist.number(Answer.EXPERT, Answer.PARTIAL)
            else ("incomplete_inspection", f"{unsettled} 项未查")
        )
    )
    aside = checklist.number(Answer.NOT_APPLICABLE)
    left_aside = (Reason("not_applicable", f"{aside} 项答“不适用”，不参加判定"),) if aside else ()
    if criterion.undefined:
        reason = Reason("undefined_reading", f"口径未定：承诺没有写明 {'、'.join(criterion.undefined)}，不予判定")
        return _blank(Verdict.INCONCLUSIVE, reason, alpha)
    yes_no = isinstance(limit.value, bool)
    verdict: Verdict
    reasons: tuple[Reason, ...]
    counts_items = not yes_no and dimension(checklist.unit) == dimension(limit.unit)
    if not counts_items:
        if no:
            verdict, reasons = Verdict.FAIL, (Reason("item_refused", f"{no} 项查验为“否”"),)
        elif unsettled or not yes:
            verdict, reasons = Verdict.INCONCLUSIVE, (waits_for_people,)
        elif not yes_no:
            verdict = Verdict.INCONCLUSIVE
            reasons = (Reason("expert_review", f"查验的项数不是“{limit.unit}”，数值不作判定，交专家评议"),)
        else:
            verdict, reasons = Verdict.PASS, ()
        value = Fraction(yes) if yes_no else None  # so many items are not so many of another unit
        return Judged(verdict, verdict, reasons + left_aside, "items", value, None, None, n, float(n), alpha)
    value, lower, upper = Fraction(yes), Fraction(yes), Fraction(yes + unsettled)
    verdict, reasons = decide(value, lower, upper, limit)
    if verdict is Verdict.INCONCLUSIVE:
        reasons = (waits_for_people,)
    return Judged(verdict, _simple(value, limit), reasons, "items", value, lower, upper, n, float(n), alpha)


@dataclass(frozen=True)
class JudgedAttempt:
    """An attempt with its judgement; `judged` is None where there was nothing to judge."""

    attempt: Attempt
    judged: Judged | None
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """An indicator (of one subject) over all its attempts: the last completed one decides."""

    subject: str | None
    verdict: Verdict
    reasons: tuple[Reason, ...]
    attempts: tuple[JudgedAttempt, ...]
    deciding: JudgedAttempt | None
    condition: str | None = None


def judge_attempts(
    criterion: Criterion, subject: str | None, attempts: Sequence[Attempt], condition: str | None = None
) -> Outcome:
    """Judge all attempts of one indicator, subject and condition.

    alpha is split over the attempts that the plan allows, or over those at which somebody looked if these are more
    (Bonferroni): testing until it passes buys nothing, and neither does breaking off runs that look bad.
    """
    looks = _looks(criterion, attempts)
    alpha = split_alpha(1 - criterion.confidence, looks)
    judged = tuple(_judge_attempt(criterion, a, alpha) for a in attempts)
    return _outcome(criterion, subject, judged, looks, condition)


def _looks(criterion: Criterion, attempts: Sequence[Attempt]) -> int:
    """How often alpha is spent: what the plan allows, or more where more was seen."""
    return max(criterion.attempts, sum(a.looked for a in attempts), 1)


def _outcome(
    criterion: Criterion, subject: str | None, judged: tuple[JudgedAttempt, ...], looks: int, condition: str | None
) -> Outcome:
    """The last completed attempt decides."""
    completed = [j for j in judged if j.attempt.status is RunStatus.COMPLETED]
    if not completed:
        text = "计划内的测量没有完成过一次" if judged else "没有测量"
        return Outcome(subject, Verdict.NOT_RUN, (Reason("not_run", text),), judged, None, condition)
    last = completed[-1]
    reasons: list[Reason] = []
    if last.verdict is Verdict.INVALID and last.judged is None:
        reasons.append(Reason("not_analysable", "证据无法分析"))
    reasons += [
        Reason(v.code, v.text) for v in last.attempt.validity if v.severity is Severity.INVALID
    ]  # what voids a run comes first
    if last.judged is not None:
        reasons += last.judged.reasons
    if len(completed) > criterion.attempts:
        reasons.insert(
            0, Reason("attempts_exceeded", f"计划允许 {criterion.attempts} 次，实际完成 {len(completed)} 次")
        )
        return Outcome(subject, Verdict.INVALID, tuple(reasons), judged, last, condition)
    if looks > criterion.attempts:
        text = f"计划允许 {criterion.attempts} 次，实际看过 {looks} 次数据（含中断的），置信水平按 {looks} 次分摊"
        reasons.append(Reason("alpha_split", text))
    return Outcome(subject, last.verdict, tuple(reasons), judged, last, condition)


def _judge_attempt(criterion: Criterion, attempt: Attempt, alpha: float) -> JudgedAttempt:
    if attempt.measurement is None:
        verdict = Verdict.INVALID if attempt.status is RunStatus.COMPLETED else Verdict.NOT_RUN
        return JudgedAttempt(attempt, None, verdict)
    judged = judge_run(criterion, attempt.measurement, alpha, attempt.error)
    if any(v.severity is Severity.INVALID for v in attempt.validity):
        return JudgedAttempt(attempt, judged, Verdict.INVALID)
    verdict = judged.verdict if attempt.status is RunStatus.COMPLETED else Verdict.NOT_RUN
    return JudgedAttempt(attempt, judged, verdict)


def judge_change(
    criterion: Criterion,
    change: Change,
    subject: str | None,
    before: Sequence[Attempt] | None,
    after: Sequence[Attempt],
    declared: tuple[Decimal, str] | None,
) -> Outcome:
    """Judge how an indicator changed: each attempt after against the last completed one before.

    `before` is None where nothing is measured before: then `declared`, (number, unit) of what the project stated, stands for it,
    which can only fail. Each bound of each side is taken at alpha over the looks at both, so that any pair of them holds.
    """
    looks = _looks(criterion, after)
    spent = looks + (0 if before is None else _looks(criterion, before))
    alpha = split_alpha(1 - criterion.confidence, spent * max(criterion.pass_split, criterion.fail_split))
    early: Attempt | None = None
    shown: tuple[JudgedAttempt, ...] = ()
    if before is not None:
        shown = tuple(_beforehand(a, alpha) for a in before)
        done = [a for a in before if a.status is RunStatus.COMPLETED]
        if not done:
            text = "改造前的水平没有测量" if not before else "改造前的测量没有完成过一次"
            return Outcome(subject, Verdict.NOT_RUN, (Reason("not_run", text),), shown, None)
        early = done[-1]
        if len(done) > criterion.attempts:
            text = f"改造前计划允许 {criterion.attempts} 次，实际完成 {len(done)} 次"
            return Outcome(subject, Verdict.INVALID, (Reason("attempts_exceeded", text),), shown, shown[-1])

    def compare(attempt: Attempt) -> JudgedAttempt:
        if attempt.measurement is None:
            return _judge_attempt(criterion, attempt, alpha)
        judged = _compare(criterion, change, early, attempt, declared, alpha)
        void = [v for a in (early, attempt) if a for v in a.validity if v.severity is Severity.INVALID]
        verdict = judged.verdict if attempt.status is RunStatus.COMPLETED else Verdict.NOT_RUN
        return JudgedAttempt(attempt, judged, Verdict.INVALID if void else verdict)

    found = _outcome(criterion, subject, tuple(compare(a) for a in after), looks, None)
    reasons = found.reasons
    if early is not None:
        reasons = (
            *(Reason(v.code, f"改造前：{v.text}") for v in early.validity if v.severity is Severity.INVALID),
            *reasons,
        )
    return replace(found, reasons=reasons, attempts=(*shown, *found.attempts))


def _beforehand(attempt: Attempt, alpha: float) -> JudgedAttempt:
    """A run before has no verdict of its own."""
    if attempt.status is not RunStatus.COMPLETED:
        return JudgedAttempt(attempt, None, Verdict.NOT_RUN)
    if any(v.severity is Severity.INVALID for v in attempt.validity) or attempt.measurement is None:
        return JudgedAttempt(attempt, None, Verdict.INVALID)
    reason = Reason("beforehand", "改造前的水平：本身不作判定，与改造后相比才判定")
    return JudgedAttempt(attempt, _blank(Verdict.INCONCLUSIVE, reason, alpha), Verdict.INCONCLUSIVE)


def _compare(
    criterion: Criterion,
    change: Change,
    early: Attempt | None,
    late: Attempt,
    declared: tuple[Decimal, str] | None,
    alpha: float,
) -> Judged:
    """The change between two runs, or from what was declared."""
    assert late.measurement is not None
    unit = _unit_of_levels(criterion.limit, change, late.measurement, declared)
    after = _level(criterion, late, unit, alpha)
    before = _level(criterion, early, unit, alpha) if early else _declared(declared, unit)
    for level in (before, after):
        if isinstance(level, Reason):
            verdict = Verdict.INVALID if level.code == "unit_mismatch" else Verdict.INCONCLUSIVE
            return _blank(verdict, level, alpha)
    assert isinstance(before, Level)
    assert isinstance(after, Level)
    growth = change_interval(before.interval, after.interval, change.relative)
    comparison = Comparison(change, before, after, early is not None)
    if growth is None:
        reason = Reason("no_change_defined", "改造前后的水平算不出变化（改造前为零，或有样本丢失）")
        return replace(_blank(Verdict.INCONCLUSIVE, reason, alpha), comparison=comparison)
    value, lower, upper = growth.point, growth.lower, growth.upper
    if not change.grows:
        value, lower, upper = -value, None if upper is None else -upper, None if lower is None else -lower
    factor = convert(1, "ratio", criterion.limit.unit) if change.relative else Fraction(1)
    value = _times(value, factor)
    low, high = (None if x is None else _times(x, factor) for x in (lower, upper))
    verdict, reasons = decide(value, low, high, criterion.limit)
    if early is None and verdict is Verdict.PASS:
        verdict = Verdict.INCONCLUSIVE
    if early is None:
        text = "改造前的水平只有项目自报，没有证据：按自报的水平算也只能判不符合，不能判符合"
        reasons = (Reason("baseline_declared", text), *reasons)
    else:
        text = f"改造前后各测一次，各取置信水平 {1 - alpha:.4g} 的单侧界，合起来不低于 {criterion.confidence:g}"
        reasons = (*reasons, Reason("compared", text), *_contradicted(before, declared))
    for side, attempt in (("改造前", early), ("改造后", late)):
        if attempt is not None and isinstance(attempt.measurement, Count):
            counted = _how_counted(attempt.measurement)
            reasons += (Reason(counted.code, f"{side}：{counted.text}"),)
    return Judged(
        verdict, _simple(value, criterion.limit), reasons, after.statistic, value, low, high,
        after.n, after.n_effective, alpha if early is None else 2 * alpha, comparison=comparison,
    )  # fmt: skip


def _times(number: Exact, factor: Fraction) -> Exact:
    return number if isinstance(number, float) else number * factor


def _unit_of_levels(
    limit: Limit, change: Change, measurement: Measurement, declared: tuple[Decimal, str] | None
) -> str:
    """What before and after are told in: the limit's unit for a difference, else the declared one where that can be."""
    if not change.relative:
        return limit.unit
    if declared is not None and (
        dimension(declared[1]) == dimension(measurement.unit) or rate_of_time(declared[1], measurement.unit)
    ):
        return declared[1]
    return measurement.unit


def _declared(declared: tuple[Decimal, str] | None, unit: str) -> Level | Reason:
    if declared is None or dimension(declared[1]) != dimension(unit):
        return Reason("baseline_declared", "改造前的水平没有证据，自报的当前水平也读不出同类的数，算不出变化")
    level = convert(declared[0], declared[1], unit)
    return Level(Interval(level, level, level), unit, "declared", 0, 0.0)


def _contradicted(before: Level, declared: tuple[Decimal, str] | None) -> tuple[Reason, ...]:
    """What was measured before beside what the project declared of it."""
    told = _declared(declared, before.unit)
    if isinstance(told, Reason):
        return ()
    level, lower, upper = told.interval.point, before.interval.lower, before.interval.upper
    if (lower is None or level >= lower) and (upper is None or level <= upper):
        return ()
    seen = f"{float(before.interval.point):.4g} {before.unit}"
    text = f"自报的当前水平 {float(level):.4g} {before.unit} 与测得的改造前水平 {seen} 不符，以测得的为准"
    return (Reason("baseline_differs", text),)


def _level(criterion: Criterion, attempt: Attempt, unit: str, alpha: float) -> Level | Reason:
    """What a run says of the indicator itself, in `unit`, each bound at `alpha`; else why it says nothing."""
    measurement = attempt.measurement
    assert measurement is not None
    rate = isinstance(measurement, Samples) and rate_of_time(unit, measurement.unit)
    if not rate and dimension(measurement.unit) != dimension(unit):
        text = f"仪器给出的单位是“{measurement.unit}”，要比较的是“{unit}”，不能比较"
        return Reason("unit_mismatch", text)
    if isinstance(measurement, Checklist):
        yes, n = measurement.number(Answer.YES), len(measurement.items)
        most = yes + measurement.number(Answer.PARTIAL, Answer.EXPERT, Answer.OPEN)
        return Level(Interval(Fraction(yes), Fraction(yes), Fraction(most)), unit, "items", n, float(n), attempt.run)
    if measurement.open:
        return measurement.open[0]
    factor = convert(1, measurement.unit, "s" if rate else unit)
    if isinstance(measurement, Count):
        value, lower, upper, n = _counted(measurement, factor, alpha, alpha)
        return Level(Interval(value, lower, upper), unit, "count", n, float(n), attempt.run)
    if criterion.statistic is None or not _known_statistic(criterion.statistic):
        return Reason("undefined_reading", "口径未定：没有写明比较的是哪个统计量，在 rule.statistic 写明")
    if not measurement.values.size:
        return Reason("insufficient_samples", "没有样本")
    bounds = statistic_bounds(measurement.values, criterion.statistic, alpha)
    truth = Fraction(measurement.truth_u95) * factor
    under, over = (margin + truth for margin in _guard(attempt.error, "s" if rate else unit))
    point, low, high = (_exact(x, factor) for x in (bounds.point, bounds.lower, bounds.upper))
    assert point is not None
    low, high = None if low is None else max(_less(low, over), Fraction(0)), None if high is None else high + under
    interval = Interval(point, low, high)
    if rate:
        interval = Interval(inverse(point) or Fraction(0), inverse(high), inverse(low))
    return Level(interval, unit, criterion.statistic, bounds.n, bounds.n_effective, attempt.run)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """AND: the worst in the order pass < inconclusive < not_run < invalid < fail; NOT_RUN for nothing at all."""
    return max(verdicts, key=lambda v: v.severity, default=Verdict.NOT_RUN)


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Three-valued OR: pass if one passes, fail if all fail, else the least severe of the undecided ones."""
    return min(verdicts, key=lambda v: v.severity, default=Verdict.NOT_RUN)


def required_subjects(outcomes: Sequence[Verdict], required: int | None) -> Verdict:
    """Verdict over subjects: all must pass, or `required` of them (three-valued)."""
    if required is None or required >= len(outcomes):
        return worst(outcomes)
    best = sorted(outcomes, key=lambda v: v.severity)[:required]
    return worst(best)
