"""The displacement challenge while a receiver is recorded: the operator moves the antenna, at times that nobody knew before.

It is for writing down when he was asked and when he had done it. It must never judge what the receiver made of it, and never draw
its times from the plan's seed: whoever knows the plan could be ready for them.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from random import SystemRandom

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.gnss.inputs import Challenge
from yanshou.probes.gnss.sources import TICK_S, Note
from yanshou.probes.gnss.streams import STEP_COLUMNS, STEPS, utc_text

_WAYS = {"east": ("东", "西"), "north": ("北", "南"), "up": ("上", "下")}


def way(axis: str, offset_mm: float) -> str:
    """Where that is, for people: `起点以东 20 mm 处`."""
    return f"起点以{_WAYS[axis][offset_mm < 0]} {abs(offset_mm):g} mm 处" if offset_mm else "起点"


def require_operator(run: RunContext) -> None:
    """Wait until the antenna is on its first place. Raises ProbeError GNS-E15 when nobody could move it."""
    if not done(run, "位移检验：把天线放在滑台的起点（读数 0），对中、整平"):
        text = "位移检验要有人移动天线，而这里没有能应答的终端"
        raise ProbeError("GNS-E15", text, "在终端里直接运行 yanshou run（不经管道、不放后台），由操作员守着")


def done(run: RunContext, request: str) -> bool:
    """Wait until somebody says that he has done it, while nothing is recorded; False where there is nobody."""
    answered = run.ask(request)
    if answered is None:
        return False
    while not answered():
        time.sleep(TICK_S)
    return True


def moves(challenge: Challenge, run: RunContext, note: Note) -> Generator[bool]:
    """Call for the next one at every tick: whether the antenna has just been moved and recording should not end yet.

    Closing it writes the steps that nobody made, with empty times.
    """
    rows = run.sink.stream(STEPS)
    rows.write(f"{STEP_COLUMNS}\n".encode())
    left = list(challenge.offsets_mm)
    asked: int | None = None
    try:
        while left:
            # A secret of this session: not the run's seed.
            yield from _wait(SystemRandom().uniform(challenge.least_wait_s, challenge.most_wait_s), False)
            place = way(challenge.axis, left[0])
            asked = time.time_ns()
            note("asked", place)
            answered = run.ask(f"现在把天线沿滑台移到{place}，移好")
            if answered is None:
                return
            while not answered():
                yield False
            rows.write(_row(challenge.axis, left.pop(0), asked, time.time_ns()))
            note("moved", place)
            asked = None
            yield from _wait(challenge.settle_s + challenge.hold_s, True)
    finally:
        for offset in left:
            rows.write(_row(challenge.axis, offset, asked, None))
            asked = None


def _wait(seconds: float, held: bool) -> Generator[bool]:
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        yield held


def _row(axis: str, offset_mm: float, asked: int | None, done: int | None) -> bytes:
    offsets = (offset_mm if axis == name else 0.0 for name in _WAYS)
    times = ("" if t is None else utc_text(t) for t in (asked, done))
    return (",".join([*times, *(f"{value:g}" for value in offsets)]) + "\n").encode()
