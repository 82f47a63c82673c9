"""Assessment: a case folder's ledger and evidence -> its record. The same bytes give the same record, everywhere.

It is what `run`, `report` and `verify` share, so that a verdict can be recomputed by anybody. It must never capture, talk to
a device, read a clock or depend on the machine: times, tool and host come from the ledger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json, Problem, RunStatus, UserError
from yanshou.harness.calibrate import Calibration, read_calibration
from yanshou.harness.case import Case, parse_case
from yanshou.harness.evidence import canonical, read_ledger
from yanshou.harness.judge import (
    Attempt,
    Comparison,
    Criterion,
    Exact,
    InstrumentError,
    Judged,
    JudgedAttempt,
    Level,
    Outcome,
    Quantity,
    Reading,
    any_of,
    floor_validity,
    inverse,
    judge_attempts,
    judge_change,
    period,
    required_subjects,
    satisfies,
    worst,
)
from yanshou.harness.model import Checklist, Count, Limit, Measurement, Mode, Reason, Severity, Validity, Verdict
from yanshou.harness.pictures import kept
from yanshou.harness.plan import FrozenPlan, Plan, PlannedIndicator, Setup, decides, frozen_plan
from yanshou.harness.runs import MEASUREMENT, Run, damaged_streams, last_calibration, machine, runs_of
from yanshou.harness.statistics import empirical_cdf, time_series
from yanshou.harness.units import TargetError, convert, parse_level, rate_of_time
from yanshou.harness.windows import in_window
from yanshou.probes.contract import Probe

FORMAT = "yanshou/record/1"
FILE = "record.json"
FIGURE_POINTS = 400
SIGNIFICANT = 12
"""Digits kept of derived floats: the last bits of a transcendental function may differ between machines."""
LOOKED_AT = 4096
"""Octets that a run broken off must hold for anybody to have seen something: what precedes a failed connection is less."""


@dataclass
class Analysed:
    """Measurements and calibrations by run number, kept between assessments of one process."""

    measurements: dict[int, tuple[Measurement | None, tuple[Validity, ...]]] = field(default_factory=dict)
    calibrations: dict[int, Calibration | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseState:
    """A case folder as its ledger tells it."""

    folder: Path
    records: list[dict[str, Json]]
    chain: list[str]
    frozen: FrozenPlan
    case: Case
    runs: list[Run]

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self.frozen.plan


def load_state(folder: Path) -> CaseState:
    """Read a case's ledger. Raises LedgerDamage, UserError where no plan was frozen."""
    path = folder / "ledger.jsonl"
    entries = list(read_ledger(path)) if path.exists() else []
    records = [r for _, r in entries]
    frozen = frozen_plan(records)
    if frozen is None:
        raise UserError(Problem("P-NONE", "还没有冻结的计划", f"先运行 yanshou plan {folder} --freeze", folder))
    text = next(str(r["case_text"]) for r in reversed(records) if r["kind"] in ("plan", "amendment"))
    return CaseState(
        folder, records, [h for h, _ in entries], frozen, parse_case(text, folder / "case.yaml"), runs_of(records)
    )


def measure(state: CaseState, run: Run, known: Analysed) -> tuple[Measurement | None, tuple[Validity, ...]]:
    """Analyse one run. Evidence that is damaged or crashes its analysis gives no measurement and an INVALID finding."""
    if run.number not in known.measurements:
        known.measurements[run.number] = _measure(state, run)
    return known.measurements[run.number]


def _measure(state: CaseState, run: Run) -> tuple[Measurement | None, tuple[Validity, ...]]:
    damage = list(damaged_streams(run, state.folder))
    if damage:
        return None, tuple(Validity(p.code, Severity.INVALID, p.text) for p in damage)
    if not run.streams:
        return None, ()
    probe = Probe(str(run.meta["probe"]))
    try:
        params = probe.params(run.meta["params"])
        measurement = probe.analyse(run.evidence(state.folder), params, int(run.meta["seed"]))
    except Exception as error:  # whatever the evidence did to the analysis, the judgement is 无效, never a bare failure
        if run.status is not RunStatus.COMPLETED:
            return None, ()
        text = f"证据无法分析：{type(error).__name__}: {error}"
        return None, (Validity("not_analysable", Severity.INVALID, text),)
    return measurement, measurement.validity


def calibration_of(state: CaseState, run: Run, known: Analysed) -> Calibration | None:
    """What the last calibration before the run said of its instrument on its host."""
    other = last_calibration(state.runs, run.meta["probe"], run.meta["version"], run.meta["host"], run.number)
    if other is None:
        return None
    if other.number not in known.calibrations:
        known.calibrations[other.number] = _calibration(state, other)
    return known.calibrations[other.number]


def instrument_error(calibration: Calibration | None) -> InstrumentError | None:
    """The calibrated error as the judge wants to know it."""
    if calibration is None or not calibration.points:
        return None
    floor = calibration.floor
    paired = floor.paired if floor else None
    return InstrumentError(*calibration.range, calibration.unit, (paired[2], paired[3]) if paired else None)


def _calibration(state: CaseState, run: Run) -> Calibration | None:
    if any(damaged_streams(run, state.folder)):
        return None
    try:
        return read_calibration(run, state.folder)
    except (KeyError, ValueError, OSError):
        return None


def _calibration_validity(calibration: Calibration | None, run: Run, mode: Mode) -> tuple[Validity, ...]:
    """An instrument that nobody has seen at work, on somebody else's machine, is not believed even in a self-check."""
    if calibration is None:
        severity = Severity.INVALID if mode is Mode.ACCEPTANCE or run.origin else Severity.WARNING
        return (Validity("uncalibrated", severity, "测量之前没有用标准器校准过仪器"),)
    if not calibration.within:
        worst_error = max((abs(e) for p in calibration.points for e in p.range), default=math.nan)
        text = f"仪器校准超差：最大示值误差 {worst_error:.4g} {calibration.unit}，允许 {calibration.tolerance:g}"
        return (Validity("calibration_failed", Severity.INVALID, text),)
    return ()


def _clock_validity(run: Run, setup: Setup | None) -> tuple[Validity, ...]:
    """A terminal's clock that says it measured before there was a kit, or after it was taken in, proves no time of day."""
    origin = run.origin
    if origin is None or origin.kit_made <= run.started <= run.ended <= origin.taken:
        return ()
    severity = Severity.INVALID if setup and setup.window else Severity.WARNING
    text = f"终端的时钟不可信：记录的起止不在采集包做成({origin.kit_made})与收入({origin.taken})之间"
    return (Validity("terminal_clock", severity, text),)


def attempts_of(
    state: CaseState, indicator: PlannedIndicator, subject: str | None, setup: Setup | None, known: Analysed
) -> list[tuple[Run, Attempt]]:
    """Every closed run of an indicator, subject and condition, as attempts in order."""
    found = []
    for run in state.runs:
        if run.status is None or not run.of(indicator.id, subject, setup.condition if setup else None):
            continue
        measurement, validity = measure(state, run, known)
        calibration = calibration_of(state, run, known)
        error = instrument_error(calibration)
        validity += _calibration_validity(calibration, run, state.plan.mode) + floor_validity(indicator.limit, error)
        validity += _clock_validity(run, setup)
        if setup and not all(in_window(setup.window, datetime.fromisoformat(t)) for t in (run.started, run.ended)):
            validity += (Validity("outside_window", Severity.INVALID, f"测量时间不在约定的时段 {setup.window} 之内"),)
        lost = measurement is None and unreadable(run)
        found.append((run, Attempt(run.number, subject, run.status, measurement, validity, error, lost)))
    return found


def unreadable(run: Run) -> bool:
    """Whether a run without a measurement was broken off when somebody could have seen what it measured."""
    return run.status is not RunStatus.COMPLETED and run.size >= LOOKED_AT


def assess(state: CaseState, known: Analysed | None = None) -> dict[str, Json]:
    """The whole record of a case."""
    known = known or Analysed()
    plan = state.plan
    findings: list[dict[str, Json]] = []
    for indicator in plan.indicators:
        findings.append(_finding(state, indicator, known))
    verdicts = {f["indicator"]: Verdict(f["verdict"]) for f in findings}
    groups = [
        {**g, "verdict": any_of(verdicts[m] for m in g["members"]).value, "members": list(g["members"])}
        for g in plan.groups
    ]
    grouped = {m for g in groups for m in g["members"]}
    combined = [Verdict(g["verdict"]) for g in groups]
    for i in plan.indicators:
        if i.id not in grouped:
            softened = verdicts[i.id] is Verdict.FAIL and not i.fatal_alone
            combined.append(Verdict.INCONCLUSIVE if softened else verdicts[i.id])
    verdict, timely = worst(combined), timely_seals(state)
    return {
        "format": FORMAT,
        "mode": plan.mode.value,
        "marking": plan.mode.marking,
        "verdict": verdict.value,
        "verdict_word": verdict.word,
        "counts": {v.value: sum(f["verdict"] == v.value for f in findings) for v in Verdict},
        "case": _case_section(state),
        "list": dict(plan.list),
        "plan": {
            "sha256": state.frozen.sha256,
            "revision": plan.revision,
            "frozen": plan.frozen,
            "confidence": min((i.confidence for i in plan.indicators), default=None),
            "tool": dict(plan.tool),
            "signed_by": timely.signers,
            "signed": _signed_earlier(state, timely),
            "envelope": timely.envelope,
            "not_planned": list(plan.not_planned),
        },
        "amendments": [
            {
                "revision": a["plan"]["revision"],
                **{k: a[k] for k in ("utc", "author", "reason", "weakening", "changes")},
            }
            for a in state.frozen.amendments
        ],
        "groups": groups,
        "qualitative": [_qualitative(q, verdicts) for q in plan.qualitative],
        "findings": findings,
        "runs": [_run_section(r) for r in state.runs],
        "environment": next((dict(r.meta["host"]) for r in reversed(state.runs)), {}),
        "hosts": _hosts(state.runs),
        "ledger": _ledger_section(state),
    }


def record_bytes(record: Mapping[str, Json]) -> bytes:
    """record.json: RFC 8785 and a newline."""
    return canonical(dict(record)) + b"\n"


@dataclass(frozen=True)
class TimelySeals:
    """The revision of the plan whose signatures count, as the ledger holds it, and its seals in the ledger."""

    revision: Mapping[str, Json]
    seals: tuple[Mapping[str, Json], ...]

    @property
    def signers(self) -> list[str]:
        """Roles that signed it."""
        return sorted({str(r["role"]) for r in self.seals})

    @property
    def envelope(self) -> Json:
        """The DSSE envelope with all these signatures, None where there is none."""
        return self.seals[-1]["envelope"] if self.seals else None


def timely_seals(state: CaseState) -> TimelySeals:
    """Signatures of the plan in force from before the first measurement run, or before the kit was made that recorded it.

    Where it has none, those of the last revision before it that decides in everything alike: a correction changes words of the
    case (a report's number, an address) when everything was measured long ago.
    """
    opened = [r["seq"] for r in state.records if r["kind"] == "run_opened" and r["meta"]["purpose"] == MEASUREMENT]
    brought = {r.origin.kit_sha256 for r in state.runs if r.origin and r.purpose == MEASUREMENT}
    opened += [r["seq"] for r in state.records if r["kind"] == "kit" and r["kit_sha256"] in brought]
    first = min(opened, default=math.inf)
    timely = [r for r in state.records if r["kind"] == "seal" and r["of"] == "plan" and r["seq"] < first]
    revisions = [r for r in reversed(state.records) if r["kind"] in ("plan", "amendment")]
    for revision in revisions:
        seals = tuple(r for r in timely if r["sha256"] == revision["sha256"])
        if seals and decides(revision["plan"]) == decides(state.frozen.data):
            return TimelySeals(revision, seals)
    return TimelySeals(revisions[0], ())


def _signed_earlier(state: CaseState, timely: TimelySeals) -> dict[str, Json] | None:
    """Which revision was signed in time, where that is not the one in force."""
    if timely.revision["sha256"] == state.frozen.sha256:
        return None
    plan = timely.revision["plan"]
    return {"sha256": timely.revision["sha256"], "case_sha256": plan["case_sha256"], "revision": plan["revision"]}


def _qualitative(requirement: Mapping[str, Json], verdicts: Mapping[str, Verdict]) -> dict[str, Json]:
    """A requirement without a number: its own planned target if the project set one, else the experts."""
    verdict = verdicts.get(requirement["id"], Verdict.INCONCLUSIVE)
    text = "榜单没有数字，项目也没有自报量化目标，由专家评议"
    reasons = [] if requirement["id"] in verdicts else [Reason("expert_review", text).to_json()]
    return {**requirement, "verdict": verdict.value, "reasons": reasons}


def _case_section(state: CaseState) -> dict[str, Json]:
    document = state.case.document.model_dump(mode="json")
    report = document["report"]
    plan = state.plan
    return {
        "sha256": plan.case_sha256,
        "scenario": plan.scenario,
        "scenario_name": plan.scenario_name,
        "scenario_source": plan.scenario_source,
        "report_number": report["number"],
        "edition": report["edition"],
        "replaces": report["replaces"],
        **{k: document[k] for k in ("project", "evaluator", "client", "target", "acceptance")},
    }


def _ledger_section(state: CaseState) -> dict[str, Json]:
    """Where the ledger stood after its last record that is not a seal: seals are added to a finished record."""
    last = max((i for i, r in enumerate(state.records) if r["kind"] != "seal"), default=-1)
    return {
        "records": last + 1,
        "head": state.chain[last],
        "started": state.records[0]["utc"],
        "ended": state.records[last]["utc"],
    }


def _hosts(runs: Sequence[Run]) -> list[dict[str, Json]]:
    """Every machine that recorded something, as it was at its first run, with the numbers of its runs."""
    found: dict[tuple[str | None, str | None], dict[str, Json]] = {}
    for run in runs:
        host = found.setdefault(
            machine(run.meta["host"]),
            {"facts": dict(run.meta["host"]), "kit_sha256": run.origin.kit_sha256 if run.origin else None, "runs": []},
        )
        host["runs"].append(run.number)
    return list(found.values())


def _run_section(run: Run) -> dict[str, Json]:
    return {
        "number": run.number,
        "folder": run.folder_name,
        "purpose": run.purpose,
        "probe": run.meta["probe"],
        "indicator": run.indicator,
        "subject": run.subject,
        "condition": run.condition,
        "status": run.status.value if run.status else "open",
        "status_reason": run.status_reason,
        "started": run.started,
        "ended": run.ended,
        "bytes": run.size,
        "host": run.meta["host"].get("主机"),
        "unacknowledged": bool(run.tail),
    }


def _finding(state: CaseState, indicator: PlannedIndicator, known: Analysed) -> dict[str, Json]:
    """All subjects and attempts of one indicator, judged, as the record says it."""
    by_run = {r.number: r for r in state.runs}
    subjects = state.plan.subjects_of(indicator)
    criterion = indicator.criterion(len(subjects))
    outcomes = list[Outcome]()
    for subject in subjects if indicator.change else ():
        outcomes.append(_changed(state, indicator, subject, criterion, known))
    for subject, setup in product(subjects, indicator.setups or (None,)) if not indicator.change else ():
        attempts = [a for _, a in attempts_of(state, indicator, subject, setup, known)]
        outcomes.append(judge_attempts(criterion, subject, attempts, setup.condition if setup else None))
    by_subject = {s: worst(o.verdict for o in outcomes if o.subject == s) for s in subjects}
    verdict = required_subjects(list(by_subject.values()), indicator.required_subjects)
    # What is shown on the indicator's line has the indicator's verdict, and of these the least margin.
    shown = min((o for o in outcomes if o.verdict is verdict), key=lambda o: _closeness(o, indicator.limit))
    deciding = shown.deciding
    judged = deciding.judged if deciding else None
    validity = deciding.attempt.validity if deciding else ()
    calibration = calibration_of(state, by_run[deciding.attempt.run], known) if deciding else None
    numbers = _numbers(judged, indicator.limit)
    return {
        "indicator": indicator.id,
        "name": indicator.name,
        "kind": indicator.kind.value,
        "group": indicator.group,
        "fatal_alone": indicator.fatal_alone,
        "verdict": verdict.value,
        "verdict_word": verdict.word,
        "reasons": _reasons(indicator, by_subject, shown, verdict),
        "statistic": judged.statistic if judged else indicator.statistic,
        "unit": indicator.limit.unit,
        **numbers,
        "confidence": indicator.confidence,
        "rule": indicator.decision,
        "simple": judged.simple.value if judged else Verdict.NOT_RUN.value,
        "limit": indicator.limit.to_json(),
        "list_limit": indicator.list_limit.to_json() if indicator.list_limit else None,
        "list_source": indicator.list_source,
        "list_ocr": indicator.list_ocr,
        "inferred_part": indicator.inferred_part,
        "commitment_limit": indicator.commitment_limit.to_json() if indicator.commitment_limit else None,
        "commitment_text": indicator.commitment_text,
        "baseline": indicator.baseline,
        "note": indicator.note,
        "definition": {d.key: {"ask": d.ask, "answer": d.answer} for d in indicator.definition},
        "missing_definition": list(indicator.undefined),
        "default_reading": indicator.default_reading,
        "readings": {k: _number(v) for k, v in judged.readings.items()} if judged else {},
        "quantities": [_quantity(q) for q in judged.quantities] if judged else [],
        "plausible": [_plausible(r, indicator.limit) for r in judged.plausible] if judged else [],
        "change": _change(judged.comparison) if judged and judged.comparison else None,
        "validity": [v.to_json() for v in validity],
        "method": _method(indicator),
        "calibration": calibration.to_json() if calibration else None,
        "subjects": [{"subject": s, "verdict": v.value} for s, v in by_subject.items() if s is not None],
        "conditions": [_condition(o, indicator) for o in outcomes if o.condition is not None],
        "attempts": [
            _attempt(by_run[j.attempt.run], j, order, indicator)
            for o in outcomes
            for order, j in _numbered(o.attempts, by_run)
        ],
        "figure": _drawn(deciding, indicator.limit) if deciding and not indicator.change else None,
    }


def _changed(
    state: CaseState, indicator: PlannedIndicator, subject: str | None, criterion: Criterion, known: Analysed
) -> Outcome:
    """One subject of an indicator whose limit is on a change: its runs before and after, where both are planned."""
    assert indicator.change is not None
    sides = [
        [a for _, a in attempts_of(state, indicator, subject, setup, known)] for setup in indicator.setups or (None,)
    ]
    before = sides[0] if len(sides) > 1 else None
    try:
        declared = parse_level(indicator.baseline)
    except TargetError:
        declared = None
    return judge_change(criterion, indicator.change, subject, before, sides[-1], declared)


def _change(comparison: Comparison) -> dict[str, Json]:
    """What was compared; the finding's own numbers are those of the change."""
    return {
        "text": comparison.change.word,
        "grows": comparison.change.grows,
        "relative": comparison.change.relative,
        "measured": comparison.measured,
        "before": _level(comparison.before),
        "after": _level(comparison.after),
    }


def _level(level: Level) -> dict[str, Json]:
    numbers = {"value": level.interval.point, "lower": level.interval.lower, "upper": level.interval.upper}
    return {
        **{k: _number(v) for k, v in numbers.items()},
        "infinite": [k for k, v in numbers.items() if _infinite(v)],
        "unit": level.unit,
        "statistic": level.statistic,
        "n": level.n,
        "n_effective": _number(level.n_effective),
        "run": level.run,
    }


def _closeness(outcome: Outcome, limit: Limit) -> float:
    judged = outcome.deciding.judged if outcome.deciding else None
    margin = _margin(judged, limit) if judged else None
    return -math.inf if margin is None else float(margin)


def _quantity(quantity: Quantity) -> dict[str, Json]:
    return {
        "name": quantity.name,
        "text": quantity.text,
        "measurand": quantity.measurand,
        "error": _number(quantity.error),
        "readings": {k: _number(v) for k, v in quantity.readings.items()},
    }


def _plausible(reading: Reading, limit: Limit) -> dict[str, Json]:
    """One of the things that a commitment may mean; a bound that does not exist, and infinity, are null."""
    return {
        "text": reading.text,
        "statistic": reading.statistic,
        "verdict": reading.verdict.value,
        **{
            k: _number(v, limit)
            for k, v in (("value", reading.value), ("lower", reading.lower), ("upper", reading.upper))
        },
        "n": reading.n,
        "n_effective": _number(reading.n_effective),
    }


def _condition(outcome: Outcome, indicator: PlannedIndicator) -> dict[str, Json]:
    """One subject and condition on one line."""
    judged = outcome.deciding.judged if outcome.deciding else None
    setup = next(s for s in indicator.setups if s.condition == outcome.condition)
    return {
        "subject": outcome.subject,
        "condition": outcome.condition,
        "window": setup.window,
        "params": {k: v for k, v in setup.instrument.params.items() if _differs(indicator, k)},
        "verdict": outcome.verdict.value,
        "run": outcome.deciding.attempt.run if outcome.deciding else None,
        **_numbers(judged, indicator.limit),
    }


def _differs(indicator: PlannedIndicator, name: str) -> bool:
    values = [s.instrument.params.get(name) for s in indicator.conditions]
    return any(v != values[0] for v in values)


def _reasons(
    indicator: PlannedIndicator, by_subject: Mapping[str | None, Verdict], shown: Outcome, verdict: Verdict
) -> list[dict[str, Json]]:
    reasons = [r.to_json() for r in shown.reasons]
    if shown.condition is not None:
        text = f"共 {len(indicator.conditions)} 个工况，须全部符合；此处列余量最小的“{shown.condition}”"
        reasons.insert(0, Reason("conditions", text).to_json())
    criterion = indicator.criterion(len(by_subject))
    if max(criterion.pass_split, criterion.fail_split) > 1:
        text = f"多组并测：判符合一侧的界按 α/{criterion.pass_split} 取，判不符合一侧按 α/{criterion.fail_split} 取"
        reasons.append(Reason("alpha_shared", text).to_json())
    if len(by_subject) > 1:
        passed = sum(v is Verdict.PASS for v in by_subject.values())
        needed = indicator.required_subjects or len(by_subject)
        reasons.insert(
            0, Reason("subjects", f"{len(by_subject)} 个受检对象中 {passed} 个符合，要求 {needed} 个").to_json()
        )
    if indicator.list_source == "inferred":
        reasons.append(Reason("restored_wording", f"依据恢复文字：{indicator.inferred_part}").to_json())
    if verdict is Verdict.FAIL and not indicator.fatal_alone:
        text = "榜单此项文字不确定，单独不否决整个项目"
        reasons.append(Reason("not_fatal_alone", text).to_json())
    return reasons


def _method(indicator: PlannedIndicator) -> dict[str, Json]:
    instrument = indicator.instrument
    return {
        "probe": instrument.probe if instrument else None,
        "version": instrument.version if instrument else None,
        "title": instrument.title if instrument else None,
        "document": instrument.document if instrument else None,
        "params": dict(instrument.params) if instrument else {},
        "seed": indicator.seed,
        "samples_needed": indicator.samples_needed,
        "attempts_allowed": indicator.attempts,
    }


def _number(value: Exact | None, limit: Limit | None = None) -> float | int | None:
    """A JSON number; None for what does not exist or is infinite (`infinite` names those).

    Derived floats are cut to SIGNIFICANT digits, unless that would move them to the other side of `limit`.
    """
    if value is None or _infinite(value):
        return None
    exact = Fraction(value)
    if exact.denominator == 1:
        return int(exact)
    number = float(f"{float(exact):.{SIGNIFICANT}g}")
    if (
        limit is not None
        and not isinstance(limit.value, bool)
        and satisfies(Fraction(number), limit) != satisfies(exact, limit)
    ):
        return math.nextafter(float(limit.value), math.inf if exact > limit.value else -math.inf)
    return number


def _infinite(value: Exact | None) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _margin(judged: Judged, limit: Limit) -> Exact | None:
    """Distance from the bound that decides, the instrument's error given way, to the limit; positive inside."""
    if isinstance(limit.value, bool):
        return None
    under, over = judged.guard
    safe, least = (judged.upper, -under) if limit.op.smaller_is_better else (judged.lower, -over)
    if safe is None or _infinite(safe) or _infinite(least):
        return None
    return (1 if limit.op.smaller_is_better else -1) * (Fraction(limit.value) - Fraction(safe)) + Fraction(least)


def _numbers(judged: Judged | None, limit: Limit) -> dict[str, Json]:
    if judged is None:
        return {
            **dict.fromkeys(("value", "lower", "upper", "margin", "alpha", "n", "n_effective")),
            "infinite": [],
            "guard": None,
        }
    numbers = {"value": judged.value, "lower": judged.lower, "upper": judged.upper}
    return {
        **{k: _number(v, limit) for k, v in numbers.items()},
        "infinite": [k for k, v in numbers.items() if _infinite(v)],
        "margin": _number(_margin(judged, limit)),
        "guard": {"under": _number(judged.guard[0]), "over": _number(judged.guard[1])},
        "alpha": _number(judged.alpha),
        "n": judged.n,
        "n_effective": _number(judged.n_effective),
    }


def _numbered(attempts: Sequence[JudgedAttempt], by_run: Mapping[int, Run]) -> Iterator[tuple[int, JudgedAttempt]]:
    """Attempts with their number under their own condition."""
    seen: Counter[str | None] = Counter()
    for judged in attempts:
        condition = by_run[judged.attempt.run].condition
        seen[condition] += 1
        yield seen[condition], judged


def _attempt(run: Run, judged: JudgedAttempt, order: int, indicator: PlannedIndicator) -> dict[str, Json]:
    attempt, limit = judged.attempt, indicator.limit
    return {
        "run": run.number,
        "attempt": order,
        "subject": run.subject,
        "condition": run.condition,
        "status": attempt.status.value,
        "status_reason": run.status_reason,
        "verdict": judged.verdict.value,
        **_numbers(judged.judged, limit),
        "reasons": [r.to_json() for r in judged.judged.reasons] if judged.judged else [],
        "started": run.started,
        "ended": run.ended,
        "validity": [v.to_json() for v in attempt.validity],
        "facts": _settle_floats(dict(attempt.measurement.facts)) if attempt.measurement else {},
        "evidence": [
            {"name": f"runs/{run.folder_name}/{name}", "bytes": s["bytes"], "sha256": s["sha256"]}
            for name, s in sorted(run.streams.items())
        ],
        "figure": None if indicator.change else figure(judged, limit),
    }


def _settle_floats(value: Json) -> Json:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _settle_floats(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_settle_floats(v) for v in value]
    return value


def _drawn(judged: JudgedAttempt, limit: Limit) -> dict[str, Json] | None:
    """The figure of the attempt that a finding shows, with the pictures of its measurement."""
    plain, measurement = figure(judged, limit), judged.attempt.measurement
    if plain is None or measurement is None or isinstance(measurement, Checklist) or not measurement.pictures:
        return plain
    return {**plain, "pictures": _settle_floats([kept(p, limit) for p in measurement.pictures])}


def _per(counted: str, wanted: str) -> int | float:
    """How many of what was counted are one of the limit's unit, such as 10^9 parameters one B."""
    try:
        factor = convert(1, wanted, counted)
    except ValueError:
        return 1
    return factor.numerator if factor.denominator == 1 else float(factor)


def figure(judged: JudgedAttempt, limit: Limit) -> dict[str, Json] | None:
    """What a report needs to draw an attempt, in the limit's unit: it draws, it does not compute."""
    measurement = judged.attempt.measurement
    if measurement is None:
        return None
    if isinstance(measurement, Checklist):
        items = [{**i.__dict__, "answer": i.answer.value, "evidence": list(i.evidence)} for i in measurement.items]
        return {"kind": "checklist", "items": items, "limit": limit.to_json()}
    if isinstance(measurement, Count):
        audit = measurement.audit
        return {
            "kind": "count",
            "gross": measurement.gross,
            "exclusions": [dict(e.__dict__) for e in measurement.exclusions],
            "net": measurement.net,
            "per_day": [list(day) for day in measurement.per_day],
            "columns": [list(column) for column in measurement.columns],
            "audit": dict(audit.__dict__) if audit else None,
            "limit": limit.to_json(),
            "per": _per(measurement.unit, limit.unit),
            "unit": measurement.unit,
        }
    done = judged.judged
    value, lower, upper = (done.value, done.lower, done.upper) if done else (None, None, None)
    shown = limit.to_json()
    if rate_of_time(limit.unit, measurement.unit):  # the times are drawn, that every frame may be seen
        limit = period(limit, "ms")
        shown = {**limit.to_json(), "value": float(f"{float(limit.value):.4g}")}
        value, lower, upper = (None if x is None else inverse(x) for x in (value, upper, lower))
        value, lower, upper = (x if x is None or _infinite(x) else x * 1000 for x in (value, lower, upper))
    try:
        factor = float(convert(1, measurement.unit, limit.unit))
    except ValueError:
        return None
    drawn: dict[str, Json] = _settle_floats(
        {
            "kind": "samples",
            "unit": limit.unit,
            "ecdf": [[x * factor, p] for x, p in empirical_cdf(measurement.values, FIGURE_POINTS)],
            "series": [
                [t, mid * factor, top * factor]
                for t, mid, top in time_series(measurement.times, measurement.values, FIGURE_POINTS)
            ],
            "lost": int(sum(math.isinf(x) for x in measurement.values)),
            "statistic": done.statistic if done else None,
            "point": _number(value, limit),
            "lower": _number(lower, limit),
            "upper": _number(upper, limit),
            "limit": shown,
        }
    )
    return drawn


def exit_verdict(record: Mapping[str, Any]) -> int:
    """Exit code of a record: 0 pass, 1 fail, 3 undecided."""
    return {Verdict.PASS: 0, Verdict.FAIL: 1}.get(Verdict(record["verdict"]), 3)
