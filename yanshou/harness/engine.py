"""The engine: freeze a plan, calibrate, run what is due, and write the record. Front ends only show what it says.

It must never decide a verdict (judge does), never overwrite a run, and never measure under a plan that has changed.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from yanshou.harness.assess import FILE as RECORD_FILE
from yanshou.harness.assess import Analysed, assess, instrument_error, load_state, record_bytes
from yanshou.harness.basics import ExitCode, Json, ProbeError, Problem, RunStatus, UserError
from yanshou.harness.calibrate import read_calibration, run_calibration
from yanshou.harness.case import Case, load_case, place_of
from yanshou.harness.case_template import ParameterHelp
from yanshou.harness.check import check_case
from yanshou.harness.evidence import (
    Ledger,
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
    UnfitInstrument,
    build_plan,
    differences,
    freeze,
    frozen_plan,
    plan_is_current,
    restore_lock,
)
from yanshou.harness.recording import (
    CALIBRATION_TRIES,
    EVERYTHING,
    Job,
    Selection,
    due,
    fresh_calibration,
    jobs_of,
    measurement_meta,
    record_measurement,
)
from yanshou.harness.runs import runs_of
from yanshou.harness.windows import in_window
from yanshou.probes.capturing import Progress
from yanshou.probes.contract import Probe, find_probe, probe_names

JUDGED_ANYWAY = {"C05"}
"""Check errors that do not stop a freeze: what they concern is judged 口径未定."""
NEVER_FROZEN = {"C17"}
"""Check errors that stop a freeze in every mode: nobody has said that this is what the project promised."""


class Observer(Protocol):
    """What a front end hears while a case runs."""

    def calibrating(self, probe: str) -> None:
        """A calibration begins."""

    def started(self, run: int, indicator: PlannedIndicator, subject: str | None, condition: str | None) -> None:
        """A measurement run has its number and begins."""

    def news(self, news: Progress) -> None:
        """Live news of the run or calibration under way. Must return at once: the capture waits for it."""

    def ask(self, text: str) -> Callable[[], bool] | None:
        """Put a request to the person at the instrument, which stands until it is answered or the run ends.

        What returns says, at once, whether it was answered by now; None where nobody is there.
        """

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

    def ask(self, text: str) -> None:
        """Nobody is there."""

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
    plan = build_plan(case, public_list, describe, tool_identity())
    if refused := list(_only_for_demonstrations(case, plan)):
        raise UserError(refused)
    for indicator in plan.indicators:
        for setup in indicator.setups:
            for name in _forms(setup.instrument):
                place_of(case.path.parent, name)
    return Draft(case, public_list, problems, plan)


def _only_for_demonstrations(case: Case, plan: Plan) -> Iterator[Problem]:
    """Parameters that suit a standard of known behaviour alone, where somebody's system is measured."""
    if plan.mode is Mode.DEMO:
        return
    for indicator in plan.indicators:
        for setup in indicator.setups:
            told = setup.instrument.params
            for name, info in Probe(setup.instrument.probe).params_type().model_fields.items():
                extra = info.json_schema_extra
                if isinstance(extra, dict) and extra.get("demo_only") and told[name] != info.default:
                    line = case.line("measure", indicator.id, "params", name)
                    text = f"{indicator.id} 的参数 {name} 只有演示可以改"
                    yield Problem("P-DEMO", text, "删去它，用默认值", case.path, line)


def _forms(instrument: Instrument) -> dict[str, str]:
    """Forms that people fill in before a run with these parameters: relative path -> blank text."""
    probe = Probe(instrument.probe)
    return probe.forms(probe.params(dict(instrument.params)))


def freeze_case(folder: Path, author: str | None = None, reason: str | None = None) -> tuple[Plan, str]:
    """Freeze or amend the plan of a case; the plan and "frozen", "unchanged" or "amended".

    Forms that people fill in are laid out beside it, blank, where they are not there yet.
    In acceptance mode every error of the check but those of open readings stops it; an import that nobody confirmed stops it in
    every mode. Raises UserError.
    """
    ready = draft(folder)
    formal = ready.plan.mode is Mode.ACCEPTANCE
    errors = [p for p in ready.problems if p.severity == "error"]
    if stops := [p for p in errors if p.code in NEVER_FROZEN or (formal and p.code not in JUDGED_ANYWAY)]:
        raise UserError(stops)
    require_writable(folder)
    with Ledger(folder) as ledger:
        recover(ledger)
        frozen = freeze(ready.case, ready.plan, ledger, author, reason)
    for indicator in ready.plan.indicators:
        for setup in indicator.setups:
            for name, text in _forms(setup.instrument).items():
                if not (folder / name).exists():
                    write_atomic(folder / name, text.encode())
    return frozen


@dataclass(frozen=True)
class Drawn:
    """A form with what was drawn for an indicator: `file` relative to the case folder, `text` as CSV, `blank` as it was before."""

    indicator: PlannedIndicator
    title: str
    visit: str
    file: str
    text: str
    blank: str


def draw_samples(folder: Path, plan: Plan) -> tuple[list[Drawn], list[Problem]]:
    """What is to be re-verified on site under a frozen plan, and why something cannot be drawn yet."""
    drawn, problems = dict[str, Drawn](), list[Problem]()
    for indicator in plan.indicators:
        for setup in indicator.setups:
            probe = Probe(setup.instrument.probe)
            params = probe.params(dict(setup.instrument.params))
            blank = probe.forms(params)
            try:
                sheets = probe.sheets(params, folder, indicator.seed)
            except (OSError, ValueError) as error:
                why = " ".join(str(error).split())
                remedy = "照上面补齐（清册、导出或边界放进案卷文件夹），再运行 yanshou sample"
                problems.append(Problem("P-SAMPLE", f"{indicator.id} 还不能抽样：{why}", remedy, folder))
                continue
            for name, text in sheets.items():
                title = f"{indicator.name}（{setup.condition}）" if setup.condition else indicator.name
                drawn.setdefault(name, Drawn(indicator, title, probe.visit, name, text, blank.get(name, "")))
    return list(drawn.values()), problems


@dataclass(frozen=True)
class Sheet:
    """A form with what was drawn, for `rows` visits; not `written` where somebody has begun to fill it in."""

    drawn: Drawn
    path: Path
    rows: int
    written: bool


def lay_out_samples(folder: Path) -> tuple[list[Sheet], list[Problem]]:
    """Draw what is to be re-verified on site under the frozen plan, into the forms that hold nothing yet. Raises UserError."""
    plan = load_state(folder).plan
    require_writable(folder)
    drawn, problems = draw_samples(folder, plan)
    sheets = []
    for form in drawn:
        path = place_of(folder, form.file)
        begun = path.exists() and path.read_text(encoding="utf-8", errors="replace") not in (form.blank, form.text)
        if not begun:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, form.text.encode())
        rows = sum(1 for _ in csv.reader(form.text.splitlines(keepends=True))) - 1
        sheets.append(Sheet(form, path, rows, not begun))
    return sheets, problems


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
            plan = session.frozen.plan
            for subject, job in due(jobs_of(plan), plan.subjects, selection, runs_of(ledger.records)):
                if not in_window(job.window, datetime.now(UTC)):
                    text = f"{job.indicator} 工况“{job.condition}”约定在 {job.window}，现在不测"
                    session.report(Problem("P-WINDOW", text, f"到时再运行 yanshou run {folder}"))
                elif _calibrate(session, Probe(job.probe), plan.indicator(job.indicator).limit):
                    _measure(session, job, subject)
        return RunSummary(write_record(folder), tuple(session.problems), session.crashed)
    except KeyboardInterrupt:
        write_record(folder)
        raise
    except OSError as error:
        raise UserError(disk_problem(error, folder), ExitCode.INTERNAL) from None


def _calibrate(session: _Session, probe: Probe, limit: Limit) -> bool:
    """Whether to measure: with a calibration of this session, made now if need be, or without one in a self-check.

    One that is out of tolerance, whose floor is too high for the limit, or whose standard was interrupted, is made again,
    CALIBRATION_TRIES times in all.
    """
    if _usable(session, probe, limit) is not None:
        return True
    problem: Problem | None = None
    while session.tried[probe.name] < CALIBRATION_TRIES:
        session.tried[probe.name] += 1
        session.observer.calibrating(probe.name)
        try:
            run_calibration(session.ledger, probe, session.host, session.observer.news)
        except ProbeError as error:
            problem = error.problem
            continue
        if _usable(session, probe, limit):
            return True
    if _usable(session, probe, limit) is not None:
        return True
    if problem is not None:
        session.report(problem)
    # An acceptance run would be void without it. A self-check goes on, and its finding says uncalibrated.
    return session.frozen.plan.mode is not Mode.ACCEPTANCE


def _usable(session: _Session, probe: Probe, limit: Limit) -> bool | None:
    """Whether the last calibration of this session is good enough for the limit; None where there is none."""
    runs = runs_of(session.ledger.records)
    last = fresh_calibration(runs, probe.name, probe.spec.version, session.host, datetime.now(UTC))
    if last is None:
        return None
    calibration = read_calibration(last, session.ledger.folder)
    void = floor_validity(limit, instrument_error(calibration))
    return calibration.within and not any(v.severity is Severity.INVALID for v in void)


def _measure(session: _Session, job: Job, subject: str | None) -> None:
    indicator, observer = session.frozen.plan.indicator(job.indicator), session.observer
    ending = record_measurement(
        session.ledger,
        Probe(job.probe),
        job,
        measurement_meta(job, subject, session.frozen.sha256, session.host),
        session.ledger.folder,
        observer.news,
        lambda number: observer.started(number, indicator, subject, job.condition),
        observer.ask,
    )
    for problem in ending.problems:
        session.report(problem)
    session.crashed |= ending.status is RunStatus.CRASHED
    observer.ended(ending.number, ending.status, ending.reason)
    if ending.interrupted:
        raise KeyboardInterrupt


def write_record(folder: Path, known: Analysed | None = None) -> dict[str, Json]:
    """Assess the case and replace record.json; what it holds, so that a report says the same whoever has it made.

    In it 20.0 and 20 are one number. Raises UserError, LedgerDamage.
    """
    written = record_bytes(assess(load_state(folder), known))
    write_atomic(folder / RECORD_FILE, written)
    record: dict[str, Json] = json.loads(written)
    return record
