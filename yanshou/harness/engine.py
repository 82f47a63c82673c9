"""The engine: freeze a plan, calibrate, run what is due, and write the record. Front ends only show what it says.

It must never decide a verdict (judge does), never overwrite a run, and never measure under a plan that has changed.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from yanshou.harness.assess import FILE as RECORD_FILE
from yanshou.harness.assess import Analysed, assess, instrument_error, last_calibration, load_state, record_bytes
from yanshou.harness.basics import ExitCode, Json, ProbeError, Problem, RunStatus, UserError
from yanshou.harness.calibrate import read_calibration, run_calibration
from yanshou.harness.case import Case, load_case
from yanshou.harness.case_template import ParameterHelp
from yanshou.harness.check import check_case
from yanshou.harness.evidence import (
    Ledger,
    RunWriter,
    disk_problem,
    recover,
    require_writable,
    write_atomic,
)
from yanshou.harness.host import host_facts
from yanshou.harness.identity import tool_identity
from yanshou.harness.invalid import explain
from yanshou.harness.judge import floor_validity
from yanshou.harness.listing import PublicList, load_list
from yanshou.harness.model import Limit, Mode, Severity
from yanshou.harness.plan import (
    FrozenPlan,
    Instrument,
    Plan,
    PlannedIndicator,
    Setup,
    UnfitInstrument,
    build_plan,
    differences,
    freeze,
    frozen_plan,
    plan_is_current,
    restore_lock,
)
from yanshou.harness.runs import MEASUREMENT, runs_of
from yanshou.harness.units import in_window
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.contract import Probe, find_probe, probe_names

CALIBRATION_HOURS = 12
"""A calibration older than this, or made on another host, is not of the same session."""
CALIBRATION_TRIES = 3
"""A busy host may spoil a calibration; every one is recorded, the last before a measurement counts."""
JUDGED_ANYWAY = {"C05"}
"""Check errors that do not stop a freeze: what they concern is judged 口径未定."""


class Observer(Protocol):
    """What a front end hears while a case runs."""

    def calibrating(self, probe: str) -> None:
        """A calibration begins."""

    def started(self, run: int, indicator: PlannedIndicator, subject: str | None, condition: str | None) -> None:
        """A measurement run has its number and begins."""

    def news(self, news: Progress) -> None:
        """Live news of the run or calibration under way. Must return at once: the capture waits for it."""

    def ended(self, run: int, status: RunStatus, reason: str) -> None:
        """The run is closed."""

    def problem(self, problem: Problem) -> None:
        """Something stopped one run; the others go on."""


class Silent:
    """An observer for callers without a screen."""

    def calibrating(self, probe: str) -> None:
        """Ignore."""

    def started(self, run: int, indicator: PlannedIndicator, subject: str | None, condition: str | None) -> None:
        """Ignore."""

    def news(self, news: Progress) -> None:
        """Ignore."""

    def ended(self, run: int, status: RunStatus, reason: str) -> None:
        """Ignore."""

    def problem(self, problem: Problem) -> None:
        """Ignore."""


def describe(name: str, params: Mapping[str, Any], needed: int | None) -> Instrument:
    """A probe with checked parameters, as the plan wants to know it. Raises UnfitInstrument."""
    from pydantic import ValidationError

    try:
        probe = find_probe(name)
    except UserError as error:
        raise UnfitInstrument([(("probe",), error.problems[0])]) from None
    try:
        checked = probe.params(dict(params))
    except ValidationError as error:
        fields = list(probe.params_type().model_fields)
        raise UnfitInstrument(
            [
                (("params", *e["loc"]), Problem("P-PARAM", f"仪器 {name} 的参数：{text}", remedy))
                for e in error.errors()
                for _, text, remedy in [explain(e, fields)]
            ]
        ) from None
    estimate, spec = probe.estimate(checked, needed), probe.spec
    return Instrument(
        name, spec.version, spec.title, spec.document, spec.equipment,
        checked.model_dump(mode="json"), estimate.seconds, estimate.samples,
    )  # fmt: skip


def params_help() -> dict[str, list[ParameterHelp]]:
    """What a person should know of every probe's parameters."""
    return {
        name: [
            ParameterHelp(
                info.alias or field_name,
                info.is_required(),
                None if info.is_required() else info.get_default(call_default_factory=True),
                info.description or "",
            )
            for field_name, info in Probe(name).params_type().model_fields.items()
        ]
        for name in probe_names()
    }


@dataclass(frozen=True)
class Draft:
    """A case read, checked and planned, nothing written."""

    case: Case
    public_list: PublicList
    problems: tuple[Problem, ...]
    plan: Plan


def draft(folder: Path) -> Draft:
    """Read, check and plan a case. Raises UserError when it cannot be planned at all."""
    case = load_case(folder)
    public_list = load_list(case.document.list)
    problems = tuple(check_case(case, public_list))
    if any(p.code == "C01" and p.severity == "error" for p in problems):
        raise UserError([p for p in problems if p.code == "C01"])
    return Draft(case, public_list, problems, build_plan(case, public_list, describe, tool_identity()))


def freeze_case(folder: Path, author: str | None = None, reason: str | None = None) -> tuple[Plan, str]:
    """Freeze or amend the plan of a case; the plan and "frozen", "unchanged" or "amended".

    Forms that people fill in are laid out beside it, blank, where they are not there yet.
    In acceptance mode every error of the check but those of open readings stops it. Raises UserError.
    """
    ready = draft(folder)
    stops = [p for p in ready.problems if p.severity == "error" and p.code not in JUDGED_ANYWAY]
    if ready.plan.mode is Mode.ACCEPTANCE and stops:
        raise UserError(stops)
    require_writable(folder)
    with Ledger(folder) as ledger:
        recover(ledger)
        frozen = freeze(ready.case, ready.plan, ledger, author, reason)
    for indicator in ready.plan.indicators:
        for setup in indicator.setups:
            probe = Probe(setup.instrument.probe)
            for name, text in probe.forms(probe.params(dict(setup.instrument.params))).items():
                if not (folder / name).exists():
                    write_atomic(folder / name, text.encode())
    return frozen


def require_unchanged(folder: Path, ledger: Ledger) -> FrozenPlan:
    """The plan in force, if list, case and tool are still those it was frozen from. Raises UserError."""
    frozen = frozen_plan(ledger.records)
    if frozen is None:
        raise UserError(Problem("P-NONE", "还没有冻结的计划", f"先运行 yanshou plan {folder} --freeze", folder))
    now = draft(folder).plan
    if not plan_is_current(frozen.plan, now):
        changes = differences(frozen.plan, now)
        text = f"计划冻结之后有 {len(changes)} 处改变({';'.join(changes[:3])})"
        remedy = f"恢复原样，或用 yanshou plan {folder} --freeze --author 谁 --reason 为何 登记变更"
        raise UserError(Problem("P-CHANGED", text, remedy, folder / "case.yaml"))
    return frozen


@dataclass(frozen=True)
class RunSummary:
    """What `run_case` leaves: the record and the problems that stopped single runs."""

    record: dict[str, Json]
    problems: tuple[Problem, ...]
    crashed: bool


@dataclass
class _Session:
    """One invocation of `run`: the open ledger, its plan, and what it has seen."""

    ledger: Ledger
    frozen: FrozenPlan
    observer: Observer
    host: dict[str, str] = field(default_factory=host_facts)
    problems: list[Problem] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    crashed: bool = False

    def report(self, problem: Problem) -> None:
        self.problems.append(problem)
        self.observer.problem(problem)


@dataclass(frozen=True)
class Selection:
    """Which of the planned runs: indicators, subjects and conditions by name, all where none is named.

    `again` spends one more planned attempt on `only`.
    """

    only: Sequence[str] = ()
    subjects: Sequence[str] = ()
    conditions: Sequence[str] = ()
    again: bool = False


EVERYTHING = Selection()


@dataclass(frozen=True)
class _Due:
    """One run to make."""

    indicator: PlannedIndicator
    subject: str | None
    setup: Setup


def run_case(folder: Path, observer: Observer | None = None, selection: Selection = EVERYTHING) -> RunSummary:
    """Run what is due and write record.json. A finished run stays.

    Raises UserError (nothing measured), KeyboardInterrupt (the run under way is closed as aborted first).
    """
    observer = observer or Silent()
    require_writable(folder)
    try:
        with Ledger(folder) as ledger:
            recover(ledger)
            restore_lock(ledger)
            session = _Session(ledger, require_unchanged(folder, ledger), observer)
            for due in _due(session, selection):
                if not in_window(due.setup.window, datetime.now(UTC)):
                    text = f"{due.indicator.id} 工况“{due.setup.condition}”约定在 {due.setup.window}，现在不测"
                    session.report(Problem("P-WINDOW", text, f"到时再运行 yanshou run {folder}"))
                elif _calibrate(session, Probe(due.setup.instrument.probe), due.indicator.limit):
                    _measure(session, due)
        return RunSummary(write_record(folder), tuple(session.problems), session.crashed)
    except KeyboardInterrupt:
        write_record(folder)
        raise
    except OSError as error:
        raise UserError(disk_problem(error, folder), ExitCode.INTERNAL) from None


def _require_known(what: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            remedy = f"是不是 {near[0]}?" if near else f"计划内：{'、'.join(known) or '没有'}"
            raise UserError(Problem("P-UNKNOWN", f"计划里没有{what} {name}", remedy))


def _due(session: _Session, selection: Selection) -> list[_Due]:
    plan, only, again = session.frozen.plan, selection.only, selection.again
    _require_known("指标", only, sorted(i.id for i in plan.indicators))
    _require_known("受检对象", selection.subjects, plan.subjects)
    conditions = sorted({s.condition for i in plan.indicators for s in i.conditions if s.condition})
    _require_known("工况", selection.conditions, conditions)
    if again and not only:
        raise UserError(Problem("P-AGAIN", "--again 要指明指标", "加上 --only 指标编号"))
    runs = runs_of(session.ledger.records)
    due: list[_Due] = []
    for indicator in plan.indicators:
        if only and indicator.id not in only:
            continue
        for subject, setup in product(plan.subjects or (None,), indicator.setups):
            if selection.subjects and subject not in selection.subjects:
                continue
            if selection.conditions and setup.condition not in selection.conditions:
                continue
            done = sum(r.of(indicator.id, subject, setup.condition) and r.status is RunStatus.COMPLETED for r in runs)
            if again and done >= indicator.attempts:
                text = f"{indicator.id} 计划允许 {indicator.attempts} 次，已完成 {done} 次"
                remedy = "在 case.yaml 的 rule.attempts 增加次数并登记变更（置信水平随之分摊）"
                raise UserError(Problem("P-ATTEMPTS", text, remedy))
            if done == 0 or again:
                due.append(_Due(indicator, subject, setup))
    return due


def _calibrate(session: _Session, probe: Probe, limit: Limit) -> bool:
    """Whether to measure: with a calibration of this session, made now if need be, or without one in a self-check.

    One that is out of tolerance, or whose floor is too high for the limit, is made again, CALIBRATION_TRIES times in all.
    """
    if _usable(session, probe, limit) is not None:
        return True
    while session.tried[probe.name] < CALIBRATION_TRIES:
        session.tried[probe.name] += 1
        session.observer.calibrating(probe.name)
        try:
            run_calibration(session.ledger, probe, session.host, session.observer.news)
        except ProbeError as error:
            session.report(error.problem)
            # An acceptance run would be void without it. A self-check goes on, and its finding says uncalibrated.
            return session.frozen.plan.mode is not Mode.ACCEPTANCE
        if _usable(session, probe, limit):
            return True
    return True


def _usable(session: _Session, probe: Probe, limit: Limit) -> bool | None:
    """Whether the last calibration of this session is good enough for the limit; None where there is none."""
    oldest = datetime.now(UTC) - timedelta(hours=CALIBRATION_HOURS)
    runs = runs_of(session.ledger.records)
    last = last_calibration(runs, probe.name, probe.spec.version, session.host.get("主机"), len(runs) + 1)
    if last is None or datetime.fromisoformat(last.started) <= oldest:
        return None
    calibration = read_calibration(last, session.ledger.folder)
    void = floor_validity(limit, instrument_error(calibration))
    return calibration.within and not any(v.severity is Severity.INVALID for v in void)


def _measure(session: _Session, due: _Due) -> None:
    indicator, probe = due.indicator, Probe(due.setup.instrument.probe)
    params = dict(due.setup.instrument.params)
    meta = {
        "purpose": MEASUREMENT,
        "probe": probe.name,
        "version": probe.spec.version,
        "indicator": indicator.id,
        "subject": due.subject,
        "condition": due.setup.condition,
        "params": params,
        "seed": indicator.seed,
        "plan_sha256": session.frozen.sha256,
        "host": session.host,
    }
    with RunWriter(session.ledger, indicator.id, meta) as run:
        session.observer.started(run.number, indicator, due.subject, due.setup.condition)
        status, reason = RunStatus.COMPLETED, ""
        context = RunContext(run.sink, indicator.seed, session.ledger.folder, due.subject, session.observer.news)
        try:
            probe.capture(probe.params(params), context)
            run.raise_failure()
        except ProbeError as error:
            status, reason = RunStatus.ABORTED, str(error.problem)
            session.report(error.problem)
        except UserError as error:
            status, reason = RunStatus.ABORTED, "; ".join(str(p) for p in error.problems)
            for problem in error.problems:
                session.report(problem)
        except KeyboardInterrupt:
            run.close(RunStatus.ABORTED, "人工中断")
            session.observer.ended(run.number, RunStatus.ABORTED, "人工中断")
            raise
        except OSError:
            raise
        except Exception as error:
            status, reason = RunStatus.CRASHED, f"{type(error).__name__}: {error}"
            run.sink.stream("crash.txt").write(traceback.format_exc().encode())
            session.crashed = True
            session.report(
                Problem("E-CRASH", f"仪器 {probe.name} 崩溃：{reason}", f"见 {run.folder / 'crash.txt'}，并报告此缺陷")
            )
        run.close(status, reason)
        session.observer.ended(run.number, status, reason)


def write_record(folder: Path, known: Analysed | None = None) -> dict[str, Json]:
    """Assess the case and replace record.json. Raises UserError, LedgerDamage."""
    record = assess(load_state(folder), known)
    write_atomic(folder / RECORD_FILE, record_bytes(record))
    return record
