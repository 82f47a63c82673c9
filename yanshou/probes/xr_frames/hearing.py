"""What a page reported, put together: frames, inputs, what was visible, and what is missing. Pure.

A page is somebody else's program: a report that is not of the recorder's form counts as damaged, is never believed and never fatal.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.probes.xr_frames.streams import BATCHES

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

MOST = 10_000
"""Entries of one kind in a report of half a second; more is no report of the recorder."""


@dataclass
class Frames:
    """Frames of one loop: their own times and when their callbacks ran, ms by the page's clock."""

    begun: array[float] = field(default_factory=lambda: array("d"))
    ran: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True)
class Input:
    """An input: when it happened, when its handlers were done, when the frame after it was shown; ms by the page's clock."""

    happened: float
    handled: float
    shown: float
    trusted: bool


@dataclass
class Heard:
    """All reports of a run, in order. `clocks`: (host ns, page ms) of each; `rounded`: durations that the browser told itself."""

    window: Frames = field(default_factory=Frames)
    xr: Frames = field(default_factory=Frames)
    inputs: list[Input] = field(default_factory=list)
    rounded: list[float] = field(default_factory=list)
    clocks: list[tuple[int, float]] = field(default_factory=list)
    hidden: int = 0
    reports: int = 0
    bad: int = 0
    missing: int = 0
    again: int = 0
    """Times that the page started anew."""
    about: dict[str, Json] = field(default_factory=dict)

    @property
    def frames(self) -> Frames:
        """Those of the headset where there were any, else those of the window."""
        return self.xr if self.xr.begun else self.window


def hear(evidence: RunEvidence) -> Heard:
    """Every report of a run."""
    heard = Heard()
    expected = 0
    for line in _lines(evidence):
        heard.reports += 1
        try:
            outer = json.loads(line)
            report = json.loads(outer["report"])
            batch, now, host = report["batch"], _real(report["now"]), outer["host_ns"]
            if type(batch) is not int or type(host) is not int:
                raise TypeError
            parts = {name: _rows(report[name], width) for name, width in PARTS.items()}
            visible = report["visible"]
        except (ValueError, KeyError, TypeError, RecursionError):
            heard.bad += 1
            continue
        if batch == 0 and expected > 0:
            heard.again += 1
        else:
            heard.missing += max(0, batch - expected)
        expected = batch + 1
        if isinstance(report.get("about"), dict) and not heard.about:
            heard.about = {k: v for k, v in report["about"].items() if isinstance(v, (str, bool))}
        heard.clocks.append((host, now))
        heard.hidden += visible != 1 or any(seen != 1 for _, seen in parts["states"])
        for frames, name in ((heard.window, "window"), (heard.xr, "xr")):
            for begun, ran in parts[name]:
                frames.begun.append(begun)
                frames.ran.append(ran)
        heard.inputs += [Input(a, b, c, trusted == 1) for a, b, c, trusted in parts["inputs"]]
        heard.rounded += [duration for *_, duration in parts["events"]]
    return heard


PARTS = {"window": 2, "xr": 2, "states": 2, "inputs": 4, "events": 4}
"""What a report consists of -> numbers in a row of it, its name apart."""


def _rows(value: Json, width: int) -> list[tuple[float, ...]]:
    """Rows of `width` finite numbers; a name in front is dropped. Raises TypeError, ValueError."""
    if not isinstance(value, list) or len(value) > MOST:
        raise TypeError
    rows = []
    for row in value:
        numbers = row[1:] if row and isinstance(row[0], str) else row
        if len(numbers) != width:
            raise ValueError
        rows.append(tuple(_real(x) for x in numbers))
    return rows


def _real(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _lines(evidence: RunEvidence) -> Iterator[bytes]:
    if BATCHES in evidence.streams():
        with evidence.open(BATCHES) as stream:
            yield from stream
