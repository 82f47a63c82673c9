"""Round-trip times, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never touch the world, never know a limit, and never drop a packet:
what was lost, late or left without a fate is +inf. T4-T1 is a difference on one clock. T2 and T3 are claims of the far end:
only when a key proves that every one of them is the evaluator's own reflector's do they enter a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Series, Severity, Validity
from yanshou.probes.load.analyse import accompaniment
from yanshou.probes.rtt.paired import paired_errors
from yanshou.probes.rtt.record import (
    LATE,
    OK,
    PROVEN,
    SLACK_NS,
    Bools,
    Ints,
    Record,
    read_clock,
    read_object,
    read_record,
)
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.stamp import estimated_error_ns
from yanshou.probes.rtt.streams import END, SESSION

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.load.analyse import Accompaniment
    from yanshou.probes.rtt.spec import Params

__all__ = [
    "analyse",
    "facts",
    "findings",
    "findings_of",
    "judged_packets",
    "paired_errors",
    "traffic_times",
    "values",
]

SENT_SHARE = 0.99
LATE_NS, LATE_SHARE = 5_000_000, 0.5
"""The sender is late when the p99 of its lateness exceeds 5 ms, or half the mean interval where that is more."""
GAP_NS = 100_000_000
STEP_NS = 10_000
RATE = 500e-6
"""The largest rate correction of Linux' clock discipline; on a round trip of 2 ms it makes 1 us."""
CLOCK_GAP_NS = 5_000_000_000
KERNEL_SHARE = 0.99
RESIDENCE_NS = 200_000
"""A proven reflector that needs longer at the median is no instrument."""

_SCHEDULES = {"poisson": "泊松随机", "jitter": "均匀抖动", "grid": "固定间隔"}
_GROSS = "总往返时延 T4−T1（含反射端驻留）"
_NET = "净往返时延（扣除反射端驻留 T3−T2）"


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Round trip of each measured packet in send order, ns: net of a proven reflector's residence, gross else.

    A packet that never left has no value. The other quantity, and one-way delays where both clocks say that they are
    synchronised, are beside it.
    """
    session = read_object(evidence, SESSION)
    traffic = Traffic.of(params, int(session.get("size") or params.size), seed)
    record, clock = read_record(evidence, traffic.warmup, traffic.total), read_clock(evidence)
    judged = judged_packets(record, traffic)
    proven, why = _is_proven(record, traffic, params)
    one_way, why_not = _one_way(record, judged, traffic, proven, session)
    load = accompaniment(evidence, params.load, seed) if params.load else None
    other = Series("gross", _GROSS, "round_trip", values(record, record.round_trip, judged, traffic))
    if not proven:
        text = f"{_NET}；T2、T3 只是反射端声称，不参加判定"
        other = Series("net", text, "round_trip", values(record, record.net, judged, traffic))
    return Samples(
        unit="ns",
        values=values(record, record.net if proven else record.round_trip, judged, traffic),
        times=traffic_times(traffic)[judged],
        measurand="round_trip",
        bounds=("one_way",),
        series=(other, *one_way),
        validity=(
            *findings(record, clock, traffic, evidence),
            *_far_findings(record, traffic, proven, why, why_not),
            *(_load_findings(load) if load else ()),
        ),
        facts={
            **facts(record, clock, traffic),
            "judged": "net" if proven else "gross",
            "judged_why": why,
            "one_way": "给出" if one_way else why_not,
            "residence_ns": _quantiles(record.residence[_answered(record, traffic)]),
            "follow_up": int((record.t3_kernel[_answered(record, traffic)] > 0).sum()),
            "key": session.get("key"),
            **({"load": load.facts} if load else {}),
        },
    )


def traffic_times(traffic: Traffic) -> NDArray[np.float64]:
    """Seconds from the first packet to each packet, as planned."""
    return np.array(traffic.offsets(), dtype=np.int64) / 1e9


def _measured(traffic: Traffic) -> Bools:
    return np.greater_equal(np.arange(traffic.total), traffic.warmup)


def _answered(record: Record, traffic: Traffic) -> Bools:
    return record.answered(traffic.timeout_ns) & _measured(traffic)


def judged_packets(record: Record, traffic: Traffic) -> Bools:
    """Measured packets that left."""
    return record.judged & _measured(traffic)


def values(record: Record, quantity: Ints, judged: Bools, traffic: Traffic) -> NDArray[np.float64]:
    """`quantity` (ns) of each judged packet, +inf where no reply came in time."""
    return np.where(record.answered(traffic.timeout_ns), quantity, np.inf)[judged]


def _is_proven(record: Record, traffic: Traffic, params: Params) -> tuple[bool, str]:
    """Whether every answer was signed by the evaluator's own reflector, and the words for it."""
    answered = _answered(record, traffic)
    if not params.key_file:
        return False, "没有使用密钥，不能证明反射器是评测方的：按总往返时延判定"
    if not answered.any():
        return False, "没有应答"
    unsigned = int((answered & np.not_equal(record.auth, PROVEN)).sum())
    if unsigned:
        return False, f"{unsigned} 个应答没有密钥证明：按总往返时延判定"
    return True, "每个应答都由密钥证明来自评测方的反射器：按净往返时延判定，总往返时延并列给出"


def _one_way(
    record: Record, judged: Bools, traffic: Traffic, proven: bool, session: dict[str, Json]
) -> tuple[tuple[Series, ...], str]:
    """Delays of each direction, where both ends' clocks claim to be synchronised and no packet contradicts that; or why not."""
    answered = _answered(record, traffic)
    if not proven:
        return (), "反射器未经密钥证明，不计算单向时延"
    own = session.get("clock_error_ns")
    far = [estimated_error_ns(int(e)) for e in np.unique(record.error[answered])]
    if not isinstance(own, int) or any(e is None for e in far):
        which = "发送端" if not isinstance(own, int) else "反射端"
        return (), f"{which}的时钟没有同步，不计算单向时延"
    error = own + max(e for e in far if e is not None)
    up, down = record.t2 - record.t1, record.t4 - record.left
    if answered.any() and min(int(up[answered].min()), int(down[answered].min())) < -error:
        return (), f"有单向时延小于 −{error / 1e3:.0f} µs，两端时钟实际并不同步，不给出单向时延"
    return (
        Series("up", "单向时延，去程 T2−T1", "one_way", values(record, up, judged, traffic), float(error)),
        Series("down", "单向时延，回程 T4−T3", "one_way", values(record, down, judged, traffic), float(error)),
    ), ""


def _rows_expected(evidence: RunEvidence) -> int | None:
    """Rows that the capture says it wrote, None when it never said."""
    number = read_object(evidence, END).get("rows")
    return number if isinstance(number, int) else None


def _quantile(numbers: Ints, q: float) -> int:
    """Order statistic at ceil(q n), 0 when there are none. For information, not for judging."""
    return int(np.quantile(numbers, q, method="inverted_cdf")) if numbers.size else 0


def _quantiles(numbers: Ints) -> dict[str, Json]:
    return {"p50": _quantile(numbers, 0.5), "p99": _quantile(numbers, 0.99)}


def _clock_step(clock: Ints) -> int:
    """Ns by which REALTIME left MONOTONIC: slewing moves both alike, only a step parts them, and each reading bounds it."""
    low, high = clock[:, 0] - clock[:, 3], clock[:, 0] - clock[:, 2]
    return max(0, int(low.max() - high.min())) if len(clock) else 0


def _clock_rate(clock: Ints) -> float:
    """The largest |d(REALTIME - RAW) / d(RAW)| between neighbours beyond what reading and steps below 10 us explain."""
    if len(clock) < 2:
        return 0.0
    drift = np.abs(np.diff(clock[:, 0] - clock[:, 1]))
    width = clock[:, 3] - clock[:, 2]
    excess = np.maximum(drift - width[1:] - width[:-1] - STEP_NS, 0)
    return float((excess / np.maximum(np.diff(clock[:, 1]), 1)).max())


def _clock_covers(clock: Ints, t1: Ints) -> bool:
    """Readings from before the first packet to within 5 s of the last, none further apart."""
    if len(clock) < 2:
        return False
    apart = np.diff(clock[:, 0])
    return bool(
        clock[0, 0] <= t1.min()
        and clock[-1, 0] >= t1.max() - CLOCK_GAP_NS
        and apart.max() <= CLOCK_GAP_NS
        and apart.min() >= 0
    )


def _invalid(code: str, text: str) -> Validity:
    return Validity(code, Severity.INVALID, text)


def _warning(code: str, text: str) -> Validity:
    return Validity(code, Severity.WARNING, text)


def findings(
    record: Record, clock: Ints, traffic: Traffic, evidence: RunEvidence, *, thing: str = "包", stamped: bool = True
) -> Iterator[Validity]:
    """Every reason for caution that does not depend on what the packets are, in the order of their codes.

    `thing`: what a person calls one. `stamped`: kernel stamps are what the probe promises. docs/probes/p-010-rtt.md says why
    each threshold.
    """
    offsets = np.array(traffic.offsets(), dtype=np.int64)
    measured = _measured(traffic)
    sent, answered = record.sent & measured, _answered(record, traffic)
    t1, number_sent, number_answered = record.t1[sent], int(sent.sum()), int(answered.sum())
    if number_sent < SENT_SHARE * traffic.count:
        yield _invalid("RTT-V01", f"计划 {traffic.count} {thing}，实发 {number_sent} {thing}，不足 {SENT_SHARE:.0%}")
    if number_sent:
        late = _quantile(t1 - record.scheduled[sent], 0.99)
        allowed = max(LATE_NS, round(LATE_SHARE * traffic.interval_ms * 1e6))
        if late > allowed:
            yield _invalid("RTT-V02", f"发送端迟发：P99 {late / 1e3:.0f} µs，允许 {allowed / 1e3:.0f} µs")
        gap = _longest_gap(t1, offsets[sent])
        if gap > GAP_NS:
            yield _invalid("RTT-V03", f"发送中断 {gap / 1e6:.0f} ms（计划之外），允许 {GAP_NS // 1_000_000} ms")
        if (step := _clock_step(clock)) > STEP_NS:
            yield _invalid("RTT-V04", f"测量中系统时钟跳变 {step / 1e3:.0f} µs，允许 {STEP_NS // 1000} µs")
        if (rate := _clock_rate(clock)) > RATE:
            yield _invalid("RTT-V05", f"系统时钟速率偏差 {rate * 1e6:.0f} ppm，允许 {RATE * 1e6:.0f} ppm")
        if not _clock_covers(clock, record.t1[record.sent]):
            yield _invalid("RTT-V06", "时钟记录缺失或有 5 s 以上空缺，不能证明时钟未跳变")
    kernel = int((answered & (record.t1_kernel > 0) & (record.t4_kernel > 0)).sum())
    if stamped and kernel < KERNEL_SHARE * number_answered:
        yield _warning(
            "RTT-V07", f"{number_answered - kernel}/{number_answered} 个应答没有内核时间戳，结果含本机调度延迟，偏大"
        )
    if traffic.schedule == "grid":
        yield _warning("RTT-V08", "固定间隔发送可能与网络周期同步，结果取决于相位")
    if record.rows["dup"]:
        yield _warning("RTT-V10", f"收到 {record.rows['dup']} 个重复应答")
    if record.rows["foreign"]:
        yield _warning("RTT-V11", f"收到 {record.rows['foreign']} 个无法对应的应答")
    orphans = int((record.judged & ~record.sent).sum())
    if record.rows["torn"] or orphans or record.rows["all"] != _rows_expected(evidence):
        yield _warning("RTT-V12", f"记录不完整（采集未正常结束）；{orphans} 个已发未记结果的{thing}按丢失计")
    base = (record.scheduled - offsets)[record.sent]
    if base.size and int(np.ptp(base)) > SLACK_NS:
        yield _invalid("RTT-V13", "记录的计划发送时刻与种子生成的计划不符")
    elif (early := int((record.t1_user < record.scheduled - SLACK_NS)[record.sent].sum())) > 0:
        yield _invalid("RTT-V13", f"{early} 个{thing}早于计划时刻发出，计划时刻不可信")
    if (bad := record.rows["bad"] + int(record.disordered(traffic.timeout_ns).sum())) > 0:
        yield _invalid("RTT-V14", f"{bad} 行记录无法识别或自相矛盾")


def findings_of(prefix: str, found: Iterable[Validity]) -> Iterator[Validity]:
    """`findings`, under the same numbers of another probe."""
    return (replace(finding, code=prefix + finding.code[3:]) for finding in found)


def _far_findings(record: Record, traffic: Traffic, proven: bool, why: str, why_not: str) -> Iterator[Validity]:
    """What the reflector's own stamps say of it."""
    answered = _answered(record, traffic)
    impossible = answered & (
        (record.residence < 0) | (record.residence > record.round_trip * (1 + 2 * RATE) + SLACK_NS)
    )
    if impossible.any():
        yield _invalid("RTT-V09", f"{int(impossible.sum())} 个应答声称的驻留时间为负或超过往返时延，反射端时间戳不可信")
    if not proven:
        yield Validity("RTT-V15", Severity.INFO, why)
    elif (median := _quantile(record.residence[answered], 0.5)) > RESIDENCE_NS:
        text = f"反射端驻留时间中位数 {median / 1e3:.0f} µs，允许 {RESIDENCE_NS // 1000} µs：反射端主机太忙"
        yield _invalid("RTT-V16", text)
    if record.rows["forged"]:
        yield _warning("RTT-V17", f"{record.rows['forged']} 个应答的认证码不符，不作为应答")
    if record.misplaced:
        severity = Severity.INVALID if proven else Severity.WARNING
        yield Validity("RTT-V18", severity, f"{record.misplaced} 个后续报告的发送时刻不可能为真")
    if proven and "实际并不同步" in why_not:
        yield _warning("RTT-V19", why_not)


def _load_findings(load: Accompaniment) -> Iterator[Validity]:
    """Whether the load was the agreed one, and what it was."""
    yield Validity("RTT-V20", Severity.INFO, load.text)
    if load.faults:
        yield _invalid("RTT-V21", f"负载没有达到约定：{'；'.join(load.faults)}")


def _longest_gap(t1: Ints, planned: Ints) -> int:
    """The longest time between two departures beyond the planned one, ns."""
    return int((np.diff(t1) - np.diff(planned)).max()) if t1.size > 1 else 0


def _reordered(record: Record, answered: Bools) -> int:
    """Replies that came after the reply to a later packet (RFC 4737 section 3)."""
    arrival = np.flatnonzero(answered)[np.argsort(record.t4[answered], kind="stable")]
    return int((arrival < np.maximum.accumulate(arrival)).sum())


def facts(record: Record, clock: Ints, traffic: Traffic) -> dict[str, Json]:
    """Counts and settings of a stream of test packets, for the report."""
    offsets = np.array(traffic.offsets(), dtype=np.int64)
    measured = _measured(traffic)
    sent, answered = record.sent & measured, _answered(record, traffic)
    lateness = (record.t1 - record.scheduled)[sent]
    in_time = record.answered(traffic.timeout_ns)
    late = int((np.equal(record.fate, LATE) & measured).sum() + (np.equal(record.fate, OK) & ~in_time & measured).sum())
    lost = int((record.judged & measured).sum()) - int(answered.sum()) - late
    return {
        "planned": traffic.count,
        "sent": int(sent.sum()),
        "received": int(answered.sum()),
        "lost": lost,
        "late": late,
        "duplicates": record.rows["dup"],
        "reordered": _reordered(record, answered),
        "foreign": record.rows["foreign"],
        "warmup": {"planned": traffic.warmup, "received": int((in_time & ~measured).sum())},
        "size": traffic.size,
        "schedule": traffic.schedule,
        "schedule_text": f"{_SCHEDULES[traffic.schedule]}，平均 {traffic.interval_ms:g} ms",
        "stamps": {
            "t1_kernel": int((record.t1_kernel[answered] > 0).sum()),
            "t4_kernel": int((record.t4_kernel[answered] > 0).sum()),
        },
        "sender_late_ns": {**_quantiles(lateness), "max": int(lateness.max()) if lateness.size else 0},
        "longest_gap_ns": _longest_gap(record.t1[sent], offsets[sent]),
        "clock_step_ns": _clock_step(clock),
        "clock_readings": len(clock),
    }
