"""What to record next, and recording it: the same steps on the evaluator's host and, from a capture kit, on a terminal.

It is for giving every run its number, its description and its ending. It must never judge, and never know a limit. Runs on
bare Python 3.8.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from yanshou.harness.basics import Json, ProbeError, Problem, RunStatus, UserError
from yanshou.harness.evidence import Ledger, RunWriter, canonical, moment
from yanshou.harness.runs import CALIBRATION, MEASUREMENT, Run, last_calibration
from yanshou.probes.capturing import Progress, RunContext, nobody

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from yanshou.harness.plan import Plan
    from yanshou.probes.capturing import Answered

CALIBRATION_HOURS = 12
"""A calibration older than this, or made on another host, is not of the same session."""
CALIBRATION_TRIES = 3
"""A busy host may spoil a calibration; every one is recorded, the last before a measurement counts."""


class Recorder(Protocol):
    """The capture side of an instrument."""

    @property
    def name(self) -> str:
        """The probe's name."""

    def params(self, values: dict[str, Any]) -> Any:
        """`values` as what `capture` takes: attributes, and `model_dump(mode="json")`."""

    def capture(self, params: Any, run: RunContext) -> None:
        """Record one run."""

    def points(self) -> tuple[float, ...]:
        """True values of its standards."""

    def standard(self, true_value: float, run: RunContext) -> AbstractContextManager[dict[str, Any]]:
        """A running standard."""


@dataclass(frozen=True)
class Job:
    """One planned way of measuring an indicator; `attempts` are those that the plan allows for each subject.

    `together`: once for all subjects.
    """

    indicator: str
    condition: str | None
    window: str | None
    attempts: int
    probe: str
    version: str
    params: Mapping[str, Json]
    seed: int
    together: bool = False


def jobs_of(plan: Plan) -> list[Job]:
    """Everything that a plan lets be measured, indicator by indicator."""
    return [
        Job(
            i.id,
            s.condition,
            s.window,
            i.attempts,
            s.instrument.probe,
            s.instrument.version,
            s.instrument.params,
            i.seed,
            i.together,
        )
        for i in plan.indicators
        for s in i.setups
    ]


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


def due(
    jobs: Sequence[Job], subjects: Sequence[str], selection: Selection, runs: Sequence[Run]
) -> list[tuple[str | None, Job]]:
    """(subject, job) of every selected run that is not completed yet, indicator by indicator.

    Raises UserError: P-UNKNOWN, P-AGAIN, P-ATTEMPTS when the plan allows no more.
    """
    _require_known("指标", selection.only, sorted({j.indicator for j in jobs}))
    _require_known("受检对象", selection.subjects, subjects)
    _require_known("工况", selection.conditions, sorted({j.condition for j in jobs if j.condition}))
    if selection.again and not selection.only:
        raise UserError(Problem("P-AGAIN", "--again 要指明指标", "加上 --only 指标编号"))
    found = []
    for indicator, group in groupby(jobs, key=lambda job: job.indicator):
        if selection.only and indicator not in selection.only:
            continue
        ways = tuple(group)
        for subject, job in product((None,) if ways[0].together else subjects or (None,), ways):
            if selection.subjects and subject not in selection.subjects:
                continue
            if selection.conditions and job.condition not in selection.conditions:
                continue
            done = sum(r.of(indicator, subject, job.condition) and r.status is RunStatus.COMPLETED for r in runs)
            if selection.again and done >= job.attempts:
                text = f"{indicator} 计划允许 {job.attempts} 次，已完成 {done} 次"
                remedy = "在 case.yaml 的 rule.attempts 增加次数并登记变更（置信水平随之分摊）"
                raise UserError(Problem("P-ATTEMPTS", text, remedy))
            if done == 0 or selection.again:
                found.append((subject, job))
    return found


def _require_known(what: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            remedy = f"是不是 {near[0]}?" if near else f"计划内：{'、'.join(known) or '没有'}"
            raise UserError(Problem("P-UNKNOWN", f"计划里没有{what} {name}", remedy))


def fresh_calibration(
    runs: Sequence[Run], probe: str, version: str, host: Mapping[str, str], now: datetime
) -> Run | None:
    """The last completed calibration of a probe in this session: on this host and not too old."""
    last = last_calibration(runs, probe, version, host, len(runs) + 1)
    return last if last and moment(last.started) > now - timedelta(hours=CALIBRATION_HOURS) else None


def measurement_meta(job: Job, subject: str | None, plan_sha256: str, host: Mapping[str, str]) -> dict[str, Json]:
    """How a measurement run describes itself."""
    return {
        "purpose": MEASUREMENT,
        "probe": job.probe,
        "version": job.version,
        "indicator": job.indicator,
        "subject": subject,
        "condition": job.condition,
        "params": dict(job.params),
        "seed": job.seed,
        "plan_sha256": plan_sha256,
        "host": dict(host),
    }


@dataclass(frozen=True)
class Scale:
    """What the points of a probe's calibration are in, and the largest error that is allowed."""

    version: str
    unit: str
    tolerance: float


def calibration_meta(probe: str, scale: Scale, points: Sequence[float], host: Mapping[str, str]) -> dict[str, Json]:
    """How a calibration run describes itself."""
    return {
        "purpose": CALIBRATION,
        "probe": probe,
        "version": scale.version,
        "unit": scale.unit,
        "tolerance": scale.tolerance,
        "points": list(points),
        "host": dict(host),
    }


def _ignore(_news: Progress) -> None:
    """For callers without a screen."""


def record_calibration(
    ledger: Ledger,
    recorder: Recorder,
    scale: Scale,
    host: Mapping[str, str],
    progress: Callable[[Progress], None] = _ignore,
) -> int:
    """Record one calibration run over all the probe's standards; its number. Raises ProbeError, UserError, OSError."""
    points = recorder.points()
    meta = calibration_meta(recorder.name, scale, points, host)
    with RunWriter(ledger, f"calibrate-{recorder.name}", meta) as run:
        for index, true_value in enumerate(points):
            context = RunContext(run.sink.sub(f"p{index}"), run.number * 1000 + index, ledger.folder, None, progress)
            with recorder.standard(true_value, context) as values:
                params = recorder.params(values)
                described = {"seed": context.seed, "params": params.model_dump(mode="json")}
                context.sink.stream("params.json").write(canonical(described) + b"\n")
                recorder.capture(params, context)
        run.close(RunStatus.COMPLETED)
    return run.number


@dataclass(frozen=True)
class Ending:
    """How a recorded run ended, and what stopped it. `interrupted`: by a person, who wants everything to stop."""

    number: int
    status: RunStatus
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    interrupted: bool = False


def record_measurement(
    ledger: Ledger,
    recorder: Recorder,
    job: Job,
    meta: Mapping[str, Json],
    inputs: Path,
    progress: Callable[[Progress], None],
    opened: Callable[[int], None],
    ask: Callable[[str], Answered | None] = nobody,
) -> Ending:
    """Record one run, described by `meta`, which is closed whatever happens; `opened` gets its number before it begins.

    `inputs` is where relative paths among the parameters start; `ask` reaches the person at the instrument, if there is one.
    Raises OSError where the disk refuses.
    """
    with RunWriter(ledger, job.indicator, meta) as run:
        opened(run.number)
        context = RunContext(run.sink, job.seed, inputs, meta["subject"], progress, ask)
        ending = Ending(run.number, RunStatus.COMPLETED)
        try:
            recorder.capture(recorder.params(dict(job.params)), context)
            run.raise_failure()
        except ProbeError as error:
            ending = Ending(run.number, RunStatus.ABORTED, str(error.problem), (error.problem,))
        except UserError as error:
            said = "; ".join(str(p) for p in error.problems)
            ending = Ending(run.number, RunStatus.ABORTED, said, error.problems)
        except KeyboardInterrupt:
            ending = Ending(run.number, RunStatus.ABORTED, "人工中断", interrupted=True)
        except OSError:
            raise
        except Exception as error:
            run.sink.stream("crash.txt").write(traceback.format_exc().encode())
            reason = f"{type(error).__name__}: {error}"
            remedy = f"见 {run.folder / 'crash.txt'}，并报告此缺陷"
            problem = Problem("E-CRASH", f"仪器 {recorder.name} 崩溃：{reason}", remedy)
            ending = Ending(run.number, RunStatus.CRASHED, reason, (problem,))
        run.close(ending.status, ending.reason)
    return ending
