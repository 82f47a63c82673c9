"""A sample of accepted sentences, read a second time by pynmea2: another author's reader must find the same numbers. Pure.

pynmea2 is handled with care: it accepts sentences without checksum unless told not to, gives 0.0 for an empty position, takes 60
minutes for minutes, leaves times that it cannot read as text, and has no names for the fields of NMEA 4.10: its split fields are
compared, and what it makes of position, time and date where these are there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yanshou.formats.nmea import Block

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EACH = 40
"""Sentences of each kind in a sample."""
SHOWN = 5
_PLACE = 1e-9
"""Degrees (0.1 mm) that two ways to divide minutes by 60 may differ by."""
NUMBERS: dict[str, dict[str, int]] = {
    "GGA": {"quality": 6, "satellites": 7, "hdop": 8, "altitude": 9, "separation": 11, "age": 13},
    "GNS": {"satellites": 7, "hdop": 8, "altitude": 9, "separation": 10, "age": 11},
    "RMC": {"speed": 7, "course": 8},
    "GST": {"rms": 2, "latitude_sd": 6, "longitude_sd": 7, "altitude_sd": 8},
    "GSA": {"fix": 2, "used": 3, "pdop": 15, "hdop": 16, "vdop": 17},
    "GSV": {"in_view": 3, "number": 4, "elevation": 5, "azimuth": 6, "cn0": 7},
    "VTG": {"course": 1, "knots": 5, "speed": 7},
    "ZDA": {},
}
"""Columns of the kinds that pynmea2 reads too, and their (first) fields."""


@dataclass(frozen=True)
class CrossCheck:
    """A seeded sample of accepted sentences read by pynmea2 too; `examples`: up to five that came out differently."""

    sampled: int
    disagreeing: int
    examples: tuple[str, ...]


class Sample:
    """The sentences with the lowest marks of a seeded hash of their place: the same sample however the stream is cut."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: dict[str, list[tuple[int, bytes, dict[str, Any]]]] = {kind: [] for kind in NUMBERS}

    def add(self, block: Block) -> None:
        """More to draw from."""
        import numpy as np

        for kind, kept in self._kept.items():
            if not (table := block.tables.get(kind)):
                continue
            marks = _marks(table.end, self._seed)
            highest = kept[-1][0] if len(kept) == EACH else 1 << 64
            low = np.flatnonzero(marks < np.uint64(min(highest, (1 << 64) - 1)))
            for row in low[np.argsort(marks[low])[:EACH]].tolist():
                values = {name: column[row].copy() for name, column in table.columns.items()}
                kept.append((int(marks[row]), block.text(int(table.begin[row]), int(table.end[row])), values))
            kept.sort(key=lambda one: one[:2])
            del kept[EACH:]

    def check(self) -> CrossCheck:
        """Read all of them again."""
        drawn = [(kind, text, values) for kind, kept in self._kept.items() for _, text, values in kept]
        wrong = [told for one in drawn if (told := _differs(*one))]
        return CrossCheck(len(drawn), len(wrong), tuple(wrong[:SHOWN]))


def _marks(place: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64 of each place (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014)."""
    import numpy as np

    z = (place.view(np.uint64) + np.uint64(seed & 0xFFFFFFFF)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def _differs(kind: str, text: bytes, values: dict[str, Any]) -> str:
    """What pynmea2 finds else in a sentence, "" if nothing."""
    import pynmea2

    line = text.decode("ascii")
    try:
        message = pynmea2.parse(line[:-2] + line[-2:].upper(), check=True)
    except (pynmea2.ParseError, ValueError) as error:
        return f"{line}：pynmea2 读不了（{error}）"
    data = message.data
    for name, first in NUMBERS[kind].items():
        ours = [float(value) for value in (values[name] if getattr(values[name], "ndim", 0) else [values[name]])]
        stride, end = (4, len(data) - (len(data) - 3) % 4) if kind == "GSV" else (1, len(data))
        theirs = [data[at] if (at := first - 1 + stride * k) < end else "" for k in range(len(ours))]
        for mine, yours in zip(ours, theirs, strict=True):
            if not _same(mine, yours.strip(), empty=-1.0 if values[name].dtype.kind == "i" else math.nan):
                return f"{line}：{name} {mine:g}，pynmea2 {yours!r}"
    if "latitude" in values and message.lat and message.lon:
        for name in ("latitude", "longitude"):
            if not abs(float(values[name]) - float(getattr(message, name))) <= _PLACE:
                return f"{line}：{name} {values[name]}，pynmea2 {getattr(message, name)}"
    return _time_differs(line, message, values)


def _same(mine: float, yours: str, empty: float) -> bool:
    if not yours:
        return mine == empty or (math.isnan(mine) and math.isnan(empty))
    return mine == float(yours)


def _time_differs(line: str, message: Any, values: dict[str, Any]) -> str:
    """Time and date, where pynmea2 makes them of what it reads."""
    from datetime import date, time

    stamp = getattr(message, "timestamp", None)
    if "time" in values and isinstance(stamp, time):
        seconds = (stamp.hour * 60 + stamp.minute) * 60 + stamp.second
        ns = (seconds * 10**6 + stamp.microsecond) * 1000
        if abs(int(values["time"]) - ns) >= 1000:
            return f"{line}：time {int(values['time'])} ns，pynmea2 {stamp}"
    day = getattr(message, "datestamp", None)
    if "day" in values and isinstance(day, date) and int(values["day"]) != day.toordinal() - 719163:
        return f"{line}：day {int(values['day'])}，pynmea2 {day}"
    return ""
