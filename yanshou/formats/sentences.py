"""What the fields of each kind of sentence are, and what must not stand in them. Pure tables over `fields`.

It is for one place where a layout is written down. It must never know how sentences are found (`nmea` does) or what they are for.

Sources: NMEA 0183 as gpsd's NMEA page documents it; KSXT, BESTNAVA: Unicore N4 reference manual; BESTPOSA: NovAtel OEM7 manual; PSTI: SkyTraq
AN0028. Which of them were met in real logs: docs/nmea.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from yanshou.formats.fields import EMPTY, Decimals, Spans, Text, days, hex_digits, powers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column: TypeAlias = NDArray[Any]
    Read: TypeAlias = tuple[dict[str, Column], NDArray[np.bool_]]

SLOTS = 12
"""Satellites that one GSA has room for."""


@dataclass(frozen=True)
class Lines:
    """Sentences of one block: where each begins and its star is, length of its checksum, its first edge, commas in it.

    An edge is a comma or a star, `edges` all of the block: field k of a line lies between its edges k - 1 and k.
    """

    text: Text
    edges: NDArray[np.int64]
    start: NDArray[np.int64]
    star: NDArray[np.int64]
    check: NDArray[np.int64]
    first: NDArray[np.int64]
    commas: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.start.size)

    def where(self, keep: NDArray[np.intp] | NDArray[np.bool_]) -> Lines:
        """Some of them, in order."""
        return Lines(
            self.text, self.edges, self.start[keep], self.star[keep], self.check[keep], self.first[keep],
            self.commas[keep],
        )  # fmt: skip

    def between(self, edge: NDArray[np.int64]) -> Spans:
        """What lies between an edge and the next."""
        start = self.edges[edge] + 1
        return Spans(start, self.edges[edge + 1] - start)

    def field(self, number: int) -> Spans:
        """Field `number` of every line (0: the tag), empty in lines that end before it."""
        import numpy as np

        short = self.commas < number
        if not short.any():
            return self.between(self.first + (number - 1))
        span = self.between(np.where(short, 0, self.first + (number - 1)))
        return Spans(span.start, np.where(short, 0, span.length))


Reader: TypeAlias = "Callable[[Lines, str, int], Read]"
"""(lines, name, number of the first field) -> (columns by name, whether what stands there may stand there)."""


@dataclass(frozen=True)
class Layout:
    """Fields that a kind has at least and at most, and which are read."""

    least: int
    most: int
    fields: tuple[tuple[str, int, Reader], ...]


def read(layout: Layout, lines: Lines) -> tuple[dict[str, Column], dict[str, NDArray[np.bool_]]]:
    """(columns by name, whether each line is acceptable, by field)."""
    columns: dict[str, Column] = {}
    sound = {"fields": (lines.commas >= layout.least) & (lines.commas <= layout.most)}
    for name, number, reader in layout.fields:
        found, sound[name] = reader(lines, name, number)
        columns |= found
    return columns, sound


def _exactly(name: str, found: Decimals) -> dict[str, Column]:
    return {name: found.value(), f"{name}_units": found.units, f"{name}_decimals": found.decimals}


def _whole(lines: Lines, name: str, number: int) -> Read:
    value, ok = lines.text.whole(lines.field(number))
    return {name: value}, ok


def _number(lines: Lines, name: str, number: int) -> Read:
    found = lines.text.decimal(lines.field(number))
    return {name: found.value()}, found.ok


def _metres(lines: Lines, name: str, number: int) -> Read:
    """A height, exactly, and its unit in the next field."""
    found = lines.text.decimal(lines.field(number))
    _, metre = lines.text.letter(lines.field(number + 1), b"M")
    return _exactly(name, found), found.ok & metre


def _exact(lines: Lines, name: str, number: int) -> Read:
    found = lines.text.decimal(lines.field(number))
    return _exactly(name, found), found.ok


def _letter(allowed: bytes, lines: Lines, name: str, number: int) -> Read:
    value, ok = lines.text.letter(lines.field(number), allowed)
    return {name: value}, ok


def _text(width: int, lines: Lines, name: str, number: int) -> Read:
    value, ok = lines.text.text(lines.field(number), width)
    return {name: value}, ok


def _clock(lines: Lines, name: str, number: int) -> Read:
    value, ok = lines.text.clock(lines.field(number))
    return {name: value}, ok


def _angle(most: int, hemispheres: bytes, lines: Lines, name: str, number: int) -> Read:
    """dddmm.mmm and its hemisphere, positive for the first of `hemispheres`."""
    import numpy as np

    found = lines.text.angle(lines.field(number), most)
    side, known = lines.text.letter(lines.field(number + 1), hemispheres)
    found = found._replace(units=np.where(side == hemispheres[1], -found.units, found.units))
    columns = _exactly(name, found) | {name: found.value(60)}
    return columns, found.ok & known & (~found.given | (side != 0))


def _degrees(most: int, lines: Lines, name: str, number: int) -> Read:
    """Signed decimal degrees."""
    import numpy as np

    found = lines.text.decimal(lines.field(number))
    value = found.value()
    return _exactly(name, found), found.ok & ~(np.abs(value) > most)


def _date(lines: Lines, name: str, number: int) -> Read:
    """ddmmyy as days since 1970-01-01; 80 to 99 are of the last century (GPS begins in 1980)."""
    import numpy as np

    span = lines.field(number)
    value, ok = lines.text.whole(span)
    empty = span.length == 0
    year = value % 100
    day, real = days(np.where(year < 80, 2000, 1900) + year, value // 100 % 100, value // 10_000)
    return {name: np.where(empty, EMPTY, day)}, empty | (ok & real & (span.length == 6))


def _day_month_year(lines: Lines, name: str, number: int) -> Read:
    """Three fields, as days since 1970-01-01."""
    import numpy as np

    (day, ok), (month, fine), (year, good) = (lines.text.whole(lines.field(number + k)) for k in range(3))
    empty = (day == EMPTY) & (month == EMPTY) & (year == EMPTY)
    value, real = days(year, month, day)
    return {name: np.where(empty, EMPTY, value)}, empty | (ok & fine & good & real)


def _stamp(lines: Lines, name: str, number: int) -> Read:
    """yyyymmddhhmmss.ss as days since 1970-01-01 and nanoseconds of the day (`time`)."""
    import numpy as np

    span = lines.field(number)
    empty = span.length == 0
    date, ok = lines.text.whole(Spans(span.start, np.minimum(span.length, 8)))
    day, real = days(date // 10_000, date // 100 % 100, date % 100)
    time, fine = lines.text.clock(Spans(span.start + 8, np.maximum(span.length - 8, 0)))
    good = ok & real & fine & (time != EMPTY)
    return {name: np.where(good, day, EMPTY), "time": np.where(good, time, EMPTY)}, good | empty


def _milliseconds(lines: Lines, name: str, number: int) -> Read:
    """As nanoseconds."""
    import numpy as np

    value, ok = lines.text.whole(lines.field(number), 10)
    return {name: np.where(value == EMPTY, EMPTY, value * 10**6)}, ok


def _seconds(lines: Lines, name: str, number: int) -> Read:
    """As nanoseconds."""
    import numpy as np

    found = lines.text.decimal(lines.field(number))
    ok = found.ok & (found.decimals <= 9) & (found.units >= 0)
    value = found.units * powers()[9 - np.minimum(found.decimals, 9)]
    return {name: np.where(found.given, value, EMPTY)}, ok


def _used(lines: Lines, name: str, number: int) -> Read:
    """The satellites of a GSA, shape (n, SLOTS), EMPTY in free slots."""
    import numpy as np

    n = len(lines)
    used = np.full((n, SLOTS), EMPTY, np.int64)
    sound = lines.commas >= number + SLOTS - 1
    edge = np.where(sound, lines.first + (number - 1), 0)[:, None] + np.arange(SLOTS + 1)
    at = lines.edges[edge]
    length = np.where(sound[:, None], np.diff(at, axis=1) - 1, 0)
    row, slot = np.nonzero(length)
    value, ok = lines.text.whole(Spans(at[row, slot] + 1, length[row, slot]), 4)
    used[row, slot] = value
    return {name: used}, np.bincount(row[~ok], minlength=n) == 0


def _system(lines: Lines, name: str, number: int) -> Read:
    """GNSS system id of NMEA 4.10 and later, 0 where there is none; some older receivers put something else there."""
    import numpy as np

    span = lines.field(number)
    value = hex_digits(lines.text.octets[span.start])
    return {name: np.where((span.length == 1) & (value <= 0xF), value, 0)}, np.ones(len(lines), np.bool_)


def _sky(lines: Lines, _name: str, number: int) -> Read:
    """The satellites of a GSV, up to four: `number`, `elevation`, `azimuth`, `cn0`, each (n, 4); `signal`, 0 where there is none."""
    import numpy as np

    n = len(lines)
    groups, over = np.divmod(np.maximum(lines.commas - (number - 1), 0), 4)
    sound = (lines.commas >= number - 1) & (over <= 1) & (groups <= 4)
    groups = np.where(sound, groups, 0)
    row = np.repeat(np.arange(n), groups)
    slot = np.arange(row.size) - np.repeat(np.cumsum(groups) - groups, groups)
    edge = lines.first[row] + (number - 1) + 4 * slot
    satellite, ok = lines.text.whole(lines.between(edge), 4)
    columns: dict[str, Column] = {"number": np.full((n, 4), EMPTY, np.int64)}
    columns["number"][row, slot] = satellite
    for k, (name, lowest, highest) in enumerate((("elevation", -90, 90), ("azimuth", 0, 360), ("cn0", 0, 99)), 1):
        value, fine = _plain(lines.text, lines.between(edge + k))
        ok &= fine & ~((value < lowest) | (value > highest))
        columns[name] = np.full((n, 4), np.nan)
        columns[name][row, slot] = value
    last = lines.between(lines.first + np.maximum(lines.commas, 1) - 1)
    signal = hex_digits(lines.text.octets[last.start])
    columns["signal"] = np.where((over == 1) & (last.length == 1) & (signal <= 0xF), signal, 0)
    return columns, sound & (np.bincount(row[~ok], minlength=n) == 0)


def _plain(text: Text, span: Spans) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers that are nearly always whole, NaN where empty."""
    import numpy as np

    whole, ok = text.whole(span)
    value: NDArray[np.float64] = np.where(whole == EMPTY, np.nan, whole.astype(np.float64))
    if not ok.all():
        odd = np.flatnonzero(~ok)
        found = text.decimal(Spans(span.start[odd], span.length[odd]))
        value[odd], ok[odd] = found.value(), found.ok
    return value, ok


_LATITUDE, _LONGITUDE = partial(_angle, 90, b"NS"), partial(_angle, 180, b"EW")
_STATUS = partial(_letter, b"AV")
_MODE = partial(_letter, b"NADPRFEMSO")
_STATION = partial(_text, 8)
LAYOUTS: dict[str, Layout] = {
    "GGA": Layout(9, 15, (
        ("time", 1, _clock), ("latitude", 2, _LATITUDE), ("longitude", 4, _LONGITUDE), ("quality", 6, _whole),
        ("satellites", 7, _whole), ("hdop", 8, _number), ("altitude", 9, _metres), ("separation", 11, _metres),
        ("age", 13, _number), ("station", 14, _STATION),
    )),
    "GNS": Layout(9, 13, (
        ("time", 1, _clock), ("latitude", 2, _LATITUDE), ("longitude", 4, _LONGITUDE), ("modes", 6, partial(_text, 8)),
        ("satellites", 7, _whole), ("hdop", 8, _number), ("altitude", 9, _exact), ("separation", 10, _exact),
        ("age", 11, _number), ("station", 12, _STATION),
    )),
    "RMC": Layout(9, 13, (
        ("time", 1, _clock), ("status", 2, _STATUS), ("latitude", 3, _LATITUDE), ("longitude", 5, _LONGITUDE),
        ("speed", 7, _number), ("course", 8, _number), ("day", 9, _date), ("mode", 12, _MODE),
    )),
    "GST": Layout(8, 8, (
        ("time", 1, _clock), ("rms", 2, _number), ("major", 3, _number), ("minor", 4, _number), ("orientation", 5, _number),
        ("latitude_sd", 6, _number), ("longitude_sd", 7, _number), ("altitude_sd", 8, _number),
    )),
    "GSA": Layout(17, 18, (
        ("fix", 2, _whole), ("used", 3, _used), ("pdop", 15, _number), ("hdop", 16, _number), ("vdop", 17, _number),
        ("system", 18, _system),
    )),
    "GSV": Layout(3, 20, (("messages", 1, _whole), ("message", 2, _whole), ("in_view", 3, _whole), ("sky", 4, _sky))),
    "ZDA": Layout(4, 6, (("time", 1, _clock), ("day", 2, _day_month_year))),
    "VTG": Layout(8, 9, (("course", 1, _number), ("knots", 5, _number), ("speed", 7, _number), ("mode", 9, _MODE))),
    "KSXT": Layout(11, 24, (
        ("day", 1, _stamp), ("longitude", 2, partial(_degrees, 180)), ("latitude", 3, partial(_degrees, 90)),
        ("altitude", 4, _exact), ("heading", 5, _number), ("pitch", 6, _number), ("track", 7, _number), ("speed", 8, _number),
        ("roll", 9, _number), ("quality", 10, _whole), ("heading_quality", 11, _whole),
    )),
    "PSTI030": Layout(13, 15, (
        ("time", 2, _clock), ("status", 3, _STATUS), ("latitude", 4, _LATITUDE), ("longitude", 6, _LONGITUDE),
        ("altitude", 8, _exact), ("east", 9, _number), ("north", 10, _number), ("up", 11, _number), ("day", 12, _date),
        ("mode", 13, _MODE), ("age", 14, _number), ("ratio", 15, _number),
    )),
    "BESTNAVA": Layout(21, 40, (
        ("week", 4, _whole), ("tow", 5, _milliseconds), ("status", 10, partial(_text, 16)), ("type", 11, partial(_text, 16)),
        ("latitude", 12, partial(_degrees, 90)), ("longitude", 13, partial(_degrees, 180)), ("altitude", 14, _exact),
        ("separation", 15, _exact), ("station", 20, _STATION), ("age", 21, _number),
    )),
    "BESTPOSA": Layout(21, 40, (
        ("week", 5, _whole), ("tow", 6, _seconds), ("status", 10, partial(_text, 16)), ("type", 11, partial(_text, 16)),
        ("latitude", 12, partial(_degrees, 90)), ("longitude", 13, partial(_degrees, 180)), ("altitude", 14, _exact),
        ("separation", 15, _exact), ("station", 20, _STATION), ("age", 21, _number),
    )),
}  # fmt: skip
"""Every kind that is read; see `nmea.Table` for what its columns are."""
