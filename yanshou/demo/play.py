"""A demonstration from check to a verified package.

It drives the same rooms as a real case; nothing in it can end as a formal report: mode demo is marked on every page, and its
key is made for this one run and thrown away after signing. It must never touch anything outside its folder and loopback.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import ExitCode, Json, Problem, RunStatus, UserError
from yanshou.harness.engine import Observer, freeze_case, run_case
from yanshou.harness.envelope import Role
from yanshou.harness.keys import load_private, new_key, public_path
from yanshou.harness.plan import Plan, PlannedIndicator
from yanshou.harness.recording import Selection
from yanshou.harness.sealing import DEMO_KEY_NAME, sign_package
from yanshou.harness.verify import verify
from yanshou.probes.capturing import nobody
from yanshou.reports.render import render

if TYPE_CHECKING:
    from yanshou.probes.capturing import Answered, Progress

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Standing:
    """What stands there, in words, and who does what an instrument asks a person for."""

    text: str
    ask: Callable[[str], Answered | None] = nobody


@dataclass(frozen=True)
class Demo:
    """One scenario's demonstration, `DEMO` of its module.

    `stand(folder)` writes the case and its inputs and, as long as its context lasts, runs what is measured. `visit(folder, plan)`
    plays the people on site, once the plan is frozen. `attempts`: how often an indicator that a busy host left undecided is
    measured in all, as its plan says; every attempt is printed and costs confidence.
    """

    stand: Callable[[Path], AbstractContextManager[Standing]]
    visit: Callable[[Path, Plan], None]
    attempts: Mapping[str, int] = field(default_factory=dict)


DECIDED = ("pass", "fail")
SCENARIOS = {number: f"s{number:02d}" for number in range(1, 11)}
"""Scenario -> module of this room."""


CALM_WAIT_S = 60.0
NAPS, NAP_S, LATE_S = 300, 0.001, 0.001
"""A machine is calm when fewer than one in a hundred of NAPS naps of NAP_S ends later than LATE_S."""


def await_calm(
    most_s: float = CALM_WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether this machine wakes its sleepers in time again, within `most_s` seconds."""
    end = clock() + most_s
    while True:
        late = 0
        for _ in range(NAPS):
            begun = clock()
            sleep(NAP_S)
            late += clock() - begun > NAP_S + LATE_S
        if late < NAPS / 100:
            return True
        if clock() >= end:
            return False
        sleep(1)


@dataclass(frozen=True)
class _Operated:
    """Tells `observer` everything; what an instrument asks for is done by `operator`, and printed."""

    observer: Observer
    operator: Callable[[str], Answered | None]
    tell: Tell

    def ask(self, text: str) -> Answered | None:
        """Ask the played person."""
        self.tell(f"▶ {text}——演示程序代操作员去做")
        return self.operator(text)

    def calibrating(self, probe: str) -> None:
        """Pass on."""
        self.observer.calibrating(probe)

    def started(self, run: int, indicator: PlannedIndicator, subject: str | None, condition: str | None) -> None:
        """Pass on."""
        self.observer.started(run, indicator, subject, condition)

    def news(self, news: Progress) -> None:
        """Pass on."""
        self.observer.news(news)

    def ended(self, run: int, status: RunStatus, reason: str) -> None:
        """Pass on."""
        self.observer.ended(run, status, reason)

    def problem(self, problem: Problem) -> None:
        """Pass on."""
        self.observer.problem(problem)


def find_demo(scenario: int) -> Demo:
    """The demonstration of a scenario. Raises UserError."""
    if scenario not in SCENARIOS:
        known = "、".join(map(str, sorted(SCENARIOS)))
        raise UserError(Problem("DEMO-E02", f"场景 {scenario} 没有演示案卷", f"用 --scenario，可选 {known}"))
    demo: Demo = importlib.import_module(f"yanshou.demo.{SCENARIOS[scenario]}").DEMO
    return demo


def fresh_folder(wanted: Path) -> Path:
    """`wanted`, or `wanted-2`, `wanted-3` … where something is there already: a demonstration overwrites nothing."""
    candidate, number = wanted, 1
    while candidate.exists() and any(candidate.iterdir()):
        number += 1
        candidate = wanted.with_name(f"{wanted.name}-{number}")
    return candidate


@dataclass(frozen=True)
class Played:
    """What a demonstration leaves. `as_planned`: the verdict is 符合 and the package verifies."""

    record: dict[str, Json]
    report: Path
    page: Path
    package: Path
    as_planned: bool


def play(wanted: Path, demo: Demo, observer: Observer, tell: Tell) -> Played:
    """The whole demonstration in a fresh folder. Raises UserError."""
    folder = fresh_folder(wanted.resolve())
    record = _measure(folder, demo, observer, tell)
    files = render(record, folder / "report")
    tell("报告已写出，用一次性演示密钥签署")
    key_file = folder / "demo.key"
    new_key(key_file, algorithm="ed25519", name=DEMO_KEY_NAME)
    try:
        sealed = sign_package(folder, load_private(key_file), Role.TESTER)
    finally:
        key_file.unlink()
        public_path(key_file).unlink()
    verified = verify(sealed.path, None)
    for problem in verified.problems:
        tell(f"✘ {problem}")
    for line in verified.checked:
        tell(f"✔ {line}")
    as_planned = verified.ok and record["verdict"] == "pass"
    return Played(record, files["report.pdf"], files["report.html"], sealed.path, as_planned)


def _measure(folder: Path, demo: Demo, observer: Observer, tell: Tell) -> dict[str, Json]:
    folder.mkdir(parents=True, exist_ok=True)
    with demo.stand(folder) as standing:
        tell(f"标准器就绪：{standing.text}")
        watched = _Operated(observer, standing.ask, tell)
        plan, _ = freeze_case(folder)
        tell(f"计划已冻结 sha256:{plan.sha256}")
        demo.visit(folder, plan)
        summary = run_case(folder, watched)
        for indicator, attempts in demo.attempts.items():
            for _ in range(attempts - 1):
                finding = next(f for f in summary.record["findings"] if f["indicator"] == indicator)
                if finding["verdict"] in DECIDED:
                    break
                tell(f"{indicator} 未能判定，多半是这台机器正忙：按计划再测一次，前一次照样印在报告上")
                if not await_calm():
                    tell(f"等了 {CALM_WAIT_S:.0f} s 也不得闲，照样再测：关掉其他程序更容易判定")
                undecided = [s["subject"] for s in finding["subjects"] if s["verdict"] not in DECIDED]
                summary = run_case(folder, watched, Selection([indicator], undecided, again=True))
    if summary.problems:
        raise UserError(summary.problems, ExitCode.UNDECIDED)
    return summary.record
