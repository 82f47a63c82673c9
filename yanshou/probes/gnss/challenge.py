"""Whether an output follows the antenna: displacement steps that the operator made, against what the receiver said. Pure.

It is for telling a live solution from one that is held, averaged, frozen or invented. It needs no truth: only differences count. It
must never decide how accurate the receiver is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.probes.gnss.due import END_OF_TIME, Span
from yanshou.probes.gnss.streams import utc_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.probes.gnss.inputs import Challenge
    from yanshou.probes.gnss.streams import Step

LEAST_MM = 10.0
"""A way shorter than this says nothing about a component."""


@dataclass(frozen=True)
class Answer:
    """One step: the way from the place before (mm, east, north, up), how far along it the output had gone after `settle_s` (mm, NaN
    where there was no output to tell), and whether that is near enough."""

    utc_ns: int
    way_mm: tuple[float, float, float]
    gone_mm: float
    settled: bool

    @property
    def length_mm(self) -> float:
        """Of the way."""
        return math.hypot(*self.way_mm)

    def to_json(self) -> dict[str, Json]:
        """For the facts."""
        gone = None if math.isnan(self.gone_mm) else self.gone_mm
        return {"way_mm": list(self.way_mm), "gone_mm": gone, "settled": self.settled, "utc": utc_text(self.utc_ns)}


def answers(
    steps: Sequence[Step], t_ns: NDArray[np.int64], errors: NDArray[np.float64], challenge: Challenge
) -> tuple[Answer, ...]:
    """How the output followed each step that was made. `t_ns` UTC, increasing; `errors`: east, north, up, metres, shape (3, n),
    about any one place.

    Settled: the median of the first `settle_s` after `settle_s` has passed lies within `tolerance_mm` of the way, along it, seen
    from the median of `hold_s` before the step, and so does that of the whole `hold_s` after it.
    """
    import numpy as np

    settle, hold = round(challenge.settle_s * 1e9), round(challenge.hold_s * 1e9)
    made = [s for s in steps if s.utc_ns is not None]
    starts = [begin_ns(s, challenge) for s in made]
    found = []
    before = (0.0, 0.0, 0.0)
    for index, (step, start) in enumerate(zip(made, starts, strict=True)):
        assert step.utc_ns is not None
        after = (step.east_mm, step.north_mm, step.up_mm)
        way = tuple(b - a for a, b in zip(before, after, strict=True))
        length = math.hypot(*way)
        settled_ns = step.utc_ns + settle
        leaves = starts[index + 1] if index + 1 < len(starts) else settled_ns + hold
        windows = (start - hold, start), (settled_ns, settled_ns + settle), (settled_ns, min(settled_ns + hold, leaves))
        along = np.array(way) / max(length, 1e-9)
        places = [_middle(t_ns, errors, *window, along) for window in windows]
        first, last = places[1] - places[0], places[2] - places[0]
        near = all(abs(gone - length) <= challenge.tolerance_mm for gone in (first, last))
        found.append(Answer(step.utc_ns, (way[0], way[1], way[2]), first, near))
        before = after
    return tuple(found)


def begin_ns(step: Step, challenge: Challenge) -> int:
    """When the antenna may have begun to move: when the operator was asked, or else `settle_s` before he had done it."""
    if step.asked_ns is not None:
        return step.asked_ns
    assert step.utc_ns is not None
    return step.utc_ns - round(challenge.settle_s * 1e9)


def away(steps: Sequence[Step], challenge: Challenge) -> Iterator[Span]:
    """From each move until the antenna is back on its first place and the output had time to settle: only there it is judged."""
    left: int | None = None
    for step in steps:
        if step.utc_ns is None and step.asked_ns is None:
            continue
        left = begin_ns(step, challenge) if left is None else left
        if step.utc_ns is not None and not (step.east_mm or step.north_mm or step.up_mm):
            yield Span(left, step.utc_ns + round(challenge.settle_s * 1e9), "challenge")
            left = None
    if left is not None:
        yield Span(left, END_OF_TIME, "challenge")


def _middle(
    t_ns: NDArray[np.int64], errors: NDArray[np.float64], begin: int, end: int, along: NDArray[np.float64]
) -> float:
    """Median place along a direction, mm, in [begin, end); NaN where there is none."""
    import numpy as np

    part = errors[:, np.searchsorted(t_ns, begin) : np.searchsorted(t_ns, end)]
    gone = along[along != 0] @ part[along != 0]  # an unknown height does not matter where nothing was raised
    gone = gone[np.isfinite(gone)]
    return float(np.median(gone)) * 1000 if gone.size else math.nan


def followed(found: Sequence[Answer], steps: Sequence[Step], component: str) -> bool:
    """True when every step was made and followed, and at least one moves the judged component."""
    moved = any(_part(a, component) >= LEAST_MM for a in found)
    return moved and len(found) == len(steps) and all(a.settled for a in found)


def challenge_findings(
    found: Sequence[Answer], steps: Sequence[Step], component: str, planned: bool
) -> Iterator[Validity]:
    """A step that was not followed voids the run; a challenge that was not made, or not in the judged component, is noted."""
    if late := [a for a in found if not a.settled and not math.isnan(a.gone_mm)]:
        said = "、".join(f"移 {a.length_mm:.0f} mm 只见 {a.gone_mm:.1f} mm" for a in late)
        text = f"位移激励 {len(found)} 步中 {len(late)} 步输出没有按时到位（{said}）：输出被保持、平均或冻结，或不是这副天线的"
        yield Validity("GNS-V40", Severity.INVALID, text)
    silent = sum(math.isnan(a.gone_mm) for a in found) + len(steps) - len(found)
    if not planned:
        text = "没有做位移激励：静态保持、平均或编造的输出只能靠统计迹象识别"
    elif silent or not steps:
        text = f"位移激励有 {silent or '全部'} 步没有做成或前后没有输出，不能判断输出是否跟随"
    elif not any(_part(a, component) >= LEAST_MM for a in found):
        text = "位移激励不在所判的分量上，不能说明这个分量的输出是活的"
    else:
        return
    yield Validity("GNS-V41", Severity.WARNING, text)


def _part(answer: Answer, component: str) -> float:
    east, north, up = answer.way_mm
    return abs(up) if component == "vertical" else math.hypot(east, north)
