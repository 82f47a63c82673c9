"""Pairs triggers with actuations by their frame, and says whether the pairing may be trusted.

Pure: the same bytes give the same measurement. It must never pair by nearness in time, never know a limit, and never drop a
trigger: one without an actuation of its own frame is +inf.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Severity, Validity
from yanshou.probes.model_actuation.streams import ACTUATION, EVENTS, SESSION, TRIGGER
from yanshou.probes.rtt.record import read_object

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.model_actuation.spec import Params

LEAST = 662
"""As `model.latency`: MLPerf's least number of queries for P99 at 99 %."""
STEADY_S = 600
LARGEST = 2**63
COUNTED_UP = 0.9
"""Share of triggers that follow their predecessor by one, from which on frames are counted and a gap is a lost one."""


@dataclass
class _Paired:
    """Triggers in the order of the log, and what came of each. Times in ns."""

    times: list[int] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    delays: list[int | None] = field(default_factory=list)
    events: int = 0
    bad: int = 0
    backwards: int = 0
    again: int = 0
    """Triggers of a frame that was triggered already, less than the timeout before."""
    early: int = 0
    """Actuations less than the timeout before the first trigger of their frame."""
    orphans: int = 0
    """Actuations without a trigger of their frame in the timeout before them."""


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """The time from each trigger to the first actuation of its frame, ns, in the order of the log."""
    import numpy as np

    session = read_object(evidence, SESSION)
    paired = _pair(evidence, round(params.timeout_s * 1e9))
    start = paired.times[0] if paired.times else 0
    return Samples(
        unit="ns",
        values=np.array([np.inf if d is None else d for d in paired.delays], dtype=np.float64),
        times=np.array([(t - start) / 1e9 for t in paired.times], dtype=np.float64),
        measurand="actuation",
        validity=tuple(sorted(_findings(paired, session), key=lambda v: v.code)),
        facts={
            "log": {key: session.get(key) for key in ("file", "sha256", "bytes", "dbc_sha256")},
            "triggers": len(paired.times),
            "unmatched": sum(d is None for d in paired.delays),
            "orphans": paired.orphans,
        },
    )


def _pair(evidence: RunEvidence, timeout: int) -> _Paired:
    """One pass: the last trigger of each frame, and of each frame the last actuation that had none."""
    paired = _Paired()
    latest: dict[str, int] = {}
    lone: dict[str, int] = {}
    last: int | None = None
    for kind, at, frame in _events(evidence, paired):
        paired.backwards += last is not None and at < last
        last = at
        trigger = latest.get(frame) if frame else None
        if kind == TRIGGER:
            paired.again += trigger is not None and at - paired.times[trigger] < timeout
            paired.early += bool(frame) and frame in lone and at - lone[frame] < timeout
            if frame:
                latest[frame] = len(paired.times)
            paired.times.append(at)
            paired.frames.append(frame)
            paired.delays.append(None)
        elif trigger is None or not 0 <= at - paired.times[trigger] <= timeout:
            paired.orphans += 1
            lone[frame] = at
        elif paired.delays[trigger] is None:
            paired.delays[trigger] = at - paired.times[trigger]
    return paired


def _events(evidence: RunEvidence, paired: _Paired) -> Iterator[tuple[str, int, str]]:
    if EVENTS not in evidence.streams():
        return
    with io.TextIOWrapper(evidence.open(EVENTS), "utf-8", errors="replace", newline="") as stream:
        lines = csv.reader(stream)
        next(lines, None)
        for cells in lines:
            paired.events += 1
            if (
                len(cells) != 3
                or cells[0] not in (TRIGGER, ACTUATION)
                or not cells[1].isdecimal()
                or len(cells[1]) > 19
            ):
                paired.bad += 1
                continue
            yield cells[0], int(cells[1]), cells[2]


def _findings(paired: _Paired, session: dict[str, Json]) -> Iterator[Validity]:
    """Every reason for caution; docs/probes/p-072-model.actuation.md says what each means."""
    told = session.get("counts")
    counts = told if isinstance(told, dict) else {}
    if paired.bad or not counts or counts.get(TRIGGER, 0) + counts.get(ACTUATION, 0) != paired.events:
        yield Validity("ACT-V01", Severity.INVALID, f"记录不完整：有 {paired.events} 行，其中 {paired.bad} 行不能用")
    if lost := sum(d is None for d in paired.delays):
        text = f"{lost}/{len(paired.delays)} 个触发没有同一帧的执行：按超限计"
        yield Validity("ACT-V02", Severity.WARNING, text)
    if paired.again:
        text = f"{paired.again} 次触发的帧号在时限内出现过：帧号循环太短或重复，不能确认执行属于哪一帧"
        yield Validity("ACT-V03", Severity.INVALID, text)
    if paired.backwards:
        yield Validity("ACT-V04", Severity.INVALID, f"日志的时标倒退 {paired.backwards} 次：不是同一个时钟，时延不可信")
    if paired.early:
        text = f"{paired.early} 次执行早于同一帧的触发：触发与执行的时标不是同一个时钟，或帧号不是所依据的那一帧"
        yield Validity("ACT-V05", Severity.INVALID, text)
    elif paired.orphans:
        yield Validity("ACT-V06", Severity.WARNING, f"{paired.orphans} 次执行找不到它那一帧的触发：日志可能漏记了触发")
    if len(paired.times) < LEAST:
        text = f"只有 {len(paired.times)} 个触发，P99 按 MLPerf 口径至少 {LEAST} 个"
        yield Validity("ACT-V07", Severity.INVALID, text)
    span = (max(paired.times) - min(paired.times)) / 1e9 if paired.times else 0.0
    if span < STEADY_S:
        yield Validity("ACT-V08", Severity.WARNING, f"日志只覆盖 {span:.0f} s，不足 {STEADY_S} s，不能代表热稳态")
    if missing := _missing([frame for frame in paired.frames if frame]):
        text = f"触发的帧号缺 {missing} 个：没有触发的帧不在样本里，请查明是没有触发还是漏记"
        yield Validity("ACT-V09", Severity.WARNING, text)
    if undecodable := counts.get("undecodable"):
        yield Validity("ACT-V10", Severity.WARNING, f"{undecodable} 条触发或执行消息解不出帧号：其中的触发按超限计")


def _missing(frames: list[str]) -> int:
    """Frames that were left out where they are counted up by one; a counter that starts again leaves out none."""
    numbers = [int(frame) for frame in frames if frame.isascii() and frame.isdecimal() and len(frame) < 19]
    if len(numbers) < len(frames) or len(numbers) < 2:
        return 0
    steps = [after - before for before, after in pairwise(numbers)]
    if steps.count(1) < COUNTED_UP * len(steps):
        return 0
    return sum(step - 1 for step in steps if step > 1)
