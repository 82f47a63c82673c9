"""Frame-time logs that others wrote, as the times from one shown frame to the next.

It is for PresentMon 1.x and 2.x, the Unreal CSV profiler, XRFrameTools (OpenXR) and a plain column of milliseconds. It must never
take an average of several frames for a frame, and never leave out a frame that took long. Pure: streams in, plain data out.
"""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

PLAIN = ("frame_ms", "frame_time_ms", "frametime_ms", "ms")
"""Heads of a plain column, any case."""
INTERVAL, TIME = "Frame Interval (µs)".casefold(), "Time (µs)".casefold()
"""Heads of XRFrameTools; folding makes another letter of the micro sign."""
NOT_SHOWN = ("na", "")
LISTED = 12


@dataclass
class FrameLog:
    """What a log says. `times_ms`: from one shown frame to the next, in order; `shown` False where the log knows no display.

    `unshown` frames were rendered and never shown; `bad` lines could not be read. `starts_ms`: the log's own time of each, where it
    has one. `resolution_ms`: the last digit of the most finely written of the times.
    """

    kind: str
    shown: bool = True
    times_ms: array[float] = field(default_factory=lambda: array("d"))
    starts_ms: array[float] = field(default_factory=lambda: array("d"))
    unshown: int = 0
    bad: int = 0
    resolution_ms: float = 1.0
    applications: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Reading:
    """How one kind of log is read: columns by place. `dropped`: tells from a row that it was not shown."""

    kind: str
    time: int
    factor: float
    start: int | None = None
    start_factor: float = 1.0
    application: int | None = None
    shown: bool = True
    dropped: Callable[[Sequence[str]], bool] = lambda _row: False
    ends: Callable[[Sequence[str]], bool] = lambda _row: False
    single: int | None = None
    """Column that must say 1: how many frames a row stands for."""


def read_frames(stream: BinaryIO, application: str | None = None) -> FrameLog:
    """All frames of a log, in one pass; `application` picks one of several that were recorded.

    Raises ValueError, in words for people, for a log that is none of these, holds averages, or several applications.
    """
    with io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text:
        rows = (row for row in _rows(text) if any(cell.strip() for cell in row))
        head = [cell.strip() for cell in next(rows, [])]
        reading, first = _recognised(head)
        log = FrameLog(reading.kind, reading.shown)
        digits = 0
        for row in _all(first, rows):
            if reading.ends(row):
                break
            digits = max(digits, _take(log, reading, row, application))
    if application is None and len(log.applications) > 1:
        names = "、".join(name for name, _ in log.applications.most_common(LISTED))
        raise ValueError(f"日志里有几个程序（{names}），在 application 写明是哪一个")
    if application is not None and reading.application is not None and application not in log.applications:
        raise ValueError(f"日志里没有程序 {application}；有：{'、'.join(sorted(log.applications)[:LISTED]) or '无'}")
    log.resolution_ms = reading.factor * 10.0**-digits
    return log


def _rows(text: Iterable[str]) -> Iterator[list[str]]:
    """Raises ValueError for what is no CSV."""
    try:
        yield from csv.reader(text)
    except csv.Error:
        raise ValueError("不是 CSV：有一格长得不可能") from None


def _all(first: list[str] | None, rows: Iterator[list[str]]) -> Iterator[list[str]]:
    if first is not None:
        yield first
    yield from rows


def _recognised(head: list[str]) -> tuple[_Reading, list[str] | None]:
    """How to read a log with these column names, and the first line again where it was no head. Raises ValueError."""
    place = {name.casefold(): n for n, name in reversed(list(enumerate(head)))}
    if "msbetweenpresents" in place or {"frametime", "cpustarttime"} <= place.keys():
        return _presentmon(place), None
    if INTERVAL in place:
        return _Reading("XRFrameTools", place[INTERVAL], 1e-3, place.get(TIME), 1e-3, single=place.get("count")), None
    if "frametime" in place:
        names = [name.casefold() for name in head]
        return _Reading(
            "Unreal CSV", place["frametime"], 1.0, shown=False,
            ends=lambda row: row[0].startswith("[") or [cell.strip().casefold() for cell in row] == names,
        ), None  # fmt: skip
    for name in PLAIN:
        if name in place:
            return _Reading("CSV", place[name], 1.0, shown=False), None
    if len(head) == 1 and _number(head[0]) is not None:
        return _Reading("CSV", 0, 1.0, shown=False), head
    averages = [name for name in head if "fps" in name.casefold() or "frame_rate" in name.casefold()]
    if averages:
        raise ValueError(f"只有帧率列（{averages[0]}）：几帧的平均看不出卡顿，要逐帧的帧时间")
    there = "、".join(head[:LISTED]) or "无"
    raise ValueError(
        f"不是认识的帧时间日志（PresentMon、Unreal CSV、XRFrameTools，或列名为 frame_ms 的 CSV）；列：{there}"
    )


def _presentmon(place: dict[str, int]) -> _Reading:
    """PresentMon: how long frames were shown, or, where that was not tracked, from one Present() to the next."""
    dropped = place.get("dropped")
    changes, shows = place.get("msbetweendisplaychange"), place.get("displayedtime")
    start, factor = place.get("timeinseconds"), 1000.0
    if start is None:
        start, factor = place.get("cpustarttime"), 1.0
    application = place.get("application")

    def not_shown(row: Sequence[str]) -> bool:
        tracked = changes if changes is not None else shows
        if (
            dropped is not None and "".join(row[dropped : dropped + 1]).strip() == "1"
        ):  # a line that broke off has no such cell
            return True
        return tracked is not None and row[tracked].strip().casefold() in NOT_SHOWN

    if changes is not None or shows is not None:
        time = changes if changes is not None else shows
        assert time is not None
        return _Reading("PresentMon", time, 1.0, start, factor, application, True, not_shown)
    time = place["msbetweenpresents"] if "msbetweenpresents" in place else place["frametime"]
    return _Reading("PresentMon", time, 1.0, start, factor, application, False, not_shown)


def _take(log: FrameLog, reading: _Reading, row: Sequence[str], application: str | None) -> int:
    """One line into the log; how many decimals its time was written with."""
    needed = [reading.time, *(p for p in (reading.start, reading.application, reading.single) if p is not None)]
    if len(row) <= max(needed):
        log.bad += 1
        return 0
    if reading.application is not None:
        name = row[reading.application].strip()
        log.applications[name] += 1
        if application is not None and name != application:
            return 0
    if reading.single is not None and row[reading.single].strip() != "1":
        raise ValueError("日志的一行是几帧的平均（Count 不是 1）：导出时选择逐帧")
    if reading.dropped(row):
        log.unshown += 1
        return 0
    written = row[reading.time].strip()
    value = _number(written)
    start = None if reading.start is None else _number(row[reading.start].strip())
    if value is None or (reading.start is not None and start is None):
        log.bad += 1
        return 0
    log.times_ms.append(value * reading.factor)
    if start is not None:
        log.starts_ms.append(start * reading.start_factor)
    return len(written.partition(".")[2].rstrip())


def _number(text: str) -> float | None:
    """A finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
