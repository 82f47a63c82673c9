"""What the fields of each kind of sentence are, and what must not stand in them. Pure tables over `fields`.

It is for one place where layouts are written down. It must never know how sentences are found (`nmea` does) or what they are for.

Sources: NMEA 0183 as gpsd's NMEA page documents it; KSXT and BESTNAVA: Unicore N4 reference manual; BESTPOSA: NovAtel OEM7 manual;
PSTI: SkyTraq AN0028. Which of them were met in real logs is in docs/nmea.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from yanshou.formats.fields import (
    EMPTY,
    Decimals,
    Parts,
    Spans,
    Text,
    angles,
    clocks,
    days,
    hex_digits,
    powers,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column: TypeAlias = NDArray[Any]
    Bools: TypeAlias = NDArray[np.bool_]
    Read: TypeAlias = tuple[dict[str, Column], Bools]

SLOTS = 12
"""Satellites that one GSA has room for."""


@dataclass(frozen=True)
class Lines:
    """Sentences of a block: where each begins and its star is, length of its checksum, its first edge, commas in it.

    `edges`: where the text of the block is cut, all that lies between lines included; field k of a line lies between its edges
    k - 1 and k, and its star is its last edge.
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

    def where(self, keep: NDArray[np.int64] | slice) -> Lines:
        """Some of them, in order."""
        return Lines(
            self.text, self.edges, self.start[keep], self.star[keep], self.check[keep], self.first[keep],
            self.commas[keep],
        )  # fmt: skip

    def cuts(self, number: int) -> NDArray[np.int64]:
        """Where the edges 0 to `number` of every line lie, shape (number + 1, n); the star in lines that have fewer.

        They lie in memory line by line, as the text does, and so does all that is made of them.
        """
        import numpy as np

        windows = np.ndarray((self.edges.size - number, number + 1), np.int64, self.edges, strides=(8, 8))
        cuts = windows[self.first].T
        return np.minimum(cuts, self.star, out=cuts) if (self.commas < number).any() else cuts


@dataclass(frozen=True)
class Field:
    """Something that is read: a name, how, and which fields are times or angles, numbers with a dot, whole numbers, letters."""

    name: str
    reader: Callable[[Cells, Field], Read]
    parts: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    wholes: tuple[int, ...] = ()
    letters: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Fields that a kind has at least and at most, and what is read of them."""

    least: int
    most: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Cells:
    """The fields of all lines of one kind, by number; those of one sort are read together, which is what makes it fast.

    `cuts`: where all of them lie, as `Lines.cuts` tells.
    """

    lines: Lines
    cuts: NDArray[np.int64]
    parts: Mapping[int, Parts]
    numbers: Mapping[int, Decimals]
    wholes: Mapping[int, tuple[NDArray[np.int64], Bools]]
    letters: Mapping[int, tuple[NDArray[np.uint8], Bools]]


def _spans(cuts: NDArray[np.int64], lowest: int, highest: int) -> Spans:
    """Fields `lowest` to `highest`, shape (highest - lowest + 1, n); empty in lines that end before."""
    import numpy as np

    start = cuts[lowest - 1 : highest] + 1
    length = cuts[lowest : highest + 1] - start
    return Spans(start, np.maximum(length, 0, out=length))


def read(layout: Layout, lines: Lines) -> tuple[dict[str, Column], dict[str, Bools]]:
    """(columns by name, whether each line is acceptable, by field)."""
    text, cuts = lines.text, lines.cuts(layout.most)
    cells = Cells(
        lines,
        cuts,
        _together(cuts, [n for field in layout.fields for n in field.parts], text.parts, Parts._make),
        _together(cuts, [n for field in layout.fields for n in field.numbers], text.numbers, Decimals._make),
        _together(cuts, [n for field in layout.fields for n in field.wholes], text.wholes, tuple),
        _together(cuts, [n for field in layout.fields for n in field.letters], text.letters, tuple),
    )
    columns: dict[str, Column] = {}
    sound = {"fields": (lines.commas >= layout.least) & (lines.commas <= layout.most)}
    for field in layout.fields:
        found, sound[field.name] = field.reader(cells, field)
        columns |= found
    return columns, sound


def _together(
    cuts: NDArray[np.int64],
    numbers: list[int],
    reader: Callable[[Spans], Iterable[Column]],
    make: Callable[[Iterable[Column]], Any],
) -> dict[int, Any]:
    """What `reader` finds in some fields of all lines, by number."""
    import numpy as np

    if not numbers:
        return {}
    spans = _spans(cuts, min(numbers), max(numbers))
    if len(numbers) < len(spans.start):
        rows = [number - min(numbers) for number in numbers]
        spans = Spans(np.asfortranarray(spans.start[rows]), np.asfortranarray(spans.length[rows]))
    found = tuple(reader(spans))
    return {number: make(column[row] for column in found) for row, number in enumerate(numbers)}


def _exactly(name: str, found: Decimals, per: int = 1) -> dict[str, Column]:
    return {name: found.value(per), f"{name}_units": found.units, f"{name}_decimals": found.decimals}


def _one_of(allowed: bytes, letter: tuple[NDArray[np.uint8], Bools]) -> Bools:
    """Whether it is one of `allowed`, or empty."""
    import numpy as np

    known = np.zeros(256, np.bool_)
    known[[0, *allowed]] = True
    return known[letter[0]] & letter[1]


def _read_number(cells: Cells, field: Field) -> Read:
    found = cells.numbers[field.numbers[0]]
    return {field.name: found.value()}, found.ok


def _read_exact(cells: Cells, field: Field) -> Read:
    found = cells.numbers[field.numbers[0]]
    return _exactly(field.name, found), found.ok


def _read_metres(cells: Cells, field: Field) -> Read:
    columns, ok = _read_exact(cells, field)
    return columns, ok & _one_of(b"M", cells.letters[field.letters[0]])


def _read_degrees(most: int, cells: Cells, field: Field) -> Read:
    import numpy as np

    columns, ok = _read_exact(cells, field)
    return columns, ok & ~(np.abs(columns[field.name]) > most)


def _read_angle(most: int, hemispheres: bytes, cells: Cells, field: Field) -> Read:
    import numpy as np

    found = angles(cells.parts[field.parts[0]], most)
    side, _ = letter = cells.letters[field.letters[0]]
    found = found._replace(units=np.where(side == hemispheres[1], -found.units, found.units))
    sided = _one_of(hemispheres, letter) & (~found.given | (side != 0))
    return _exactly(field.name, found, 60), found.ok & sided


def _read_clock(cells: Cells, field: Field) -> Read:
    value, ok = clocks(cells.parts[field.parts[0]])
    return {field.name: value}, ok


def _read_whole(cells: Cells, field: Field) -> Read:
    value, ok = cells.wholes[field.wholes[0]]
    return {field.name: value}, ok


def _read_letter(allowed: bytes, cells: Cells, field: Field) -> Read:
    letter = cells.letters[field.letters[0]]
    return {field.name: letter[0]}, _one_of(allowed, letter)


def _read_text(width: int, number: int, cells: Cells, field: Field) -> Read:
    span = _spans(cells.cuts, number, number)
    value, ok = cells.lines.text.texts(Spans(span.start[0], span.length[0]), width)
    return {field.name: value}, ok


def _read_date(cells: Cells, field: Field) -> Read:
    """ddmmyy; 80 to 99 are of the last century (GPS begins in 1980)."""
    import numpy as np

    value, ok = cells.wholes[field.wholes[0]]
    seen = value[:1] if (value == value[:1]).all() else value
    year = seen % 100
    day, real = days(np.where(year < 80, 2000, 1900) + year, seen // 100 % 100, seen // 10_000)
    six = _spans(cells.cuts, field.wholes[0], field.wholes[0]).length[0] == 6
    return {field.name: np.where(value == EMPTY, EMPTY, day)}, (value == EMPTY) | (ok & real & six)


def _read_day_month_year(cells: Cells, field: Field) -> Read:
    import numpy as np

    (day, ok), (month, fine), (year, good) = (cells.wholes[number] for number in field.wholes)
    empty = (day == EMPTY) & (month == EMPTY) & (year == EMPTY)
    value, real = days(year, month, day)
    return {field.name: np.where(empty, EMPTY, value)}, empty | (ok & fine & good & real)


def _read_stamp(cells: Cells, field: Field) -> Read:
    """yyyymmddhhmmss.ss: day, and `time`."""
    import numpy as np

    start, length = _spans(cells.cuts, 1, 1)
    (date,), (ok,) = cells.lines.text.wholes(Spans(start, np.minimum(length, 8)))
    day, real = days(date // 10_000, date // 100 % 100, date % 100)
    time, fine = clocks(cells.lines.text.parts(Spans(start + 8, np.maximum(length - 8, 0))).row(0))
    good = ok & real & fine & (time != EMPTY)
    return {field.name: np.where(good, day, EMPTY), "time": np.where(good, time, EMPTY)}, good | (length[0] == 0)


def _read_milliseconds(cells: Cells, field: Field) -> Read:
    import numpy as np

    value, ok = cells.wholes[field.wholes[0]]
    ok = ok & (value < 604_800_000)
    return {field.name: np.where((value == EMPTY) | ~ok, EMPTY, value * 10**6)}, ok


def _read_seconds(cells: Cells, field: Field) -> Read:
    import numpy as np

    found = cells.numbers[field.numbers[0]]
    ok = found.ok & (found.decimals <= 9) & (found.units >= 0) & ~(found.value() >= 604_800)
    ns = found.units * powers()[9 - np.minimum(found.decimals, 9)]
    return {field.name: np.where(found.given & ok, ns, EMPTY)}, ok


def _read_used(cells: Cells, field: Field) -> Read:
    """Satellites of a GSA, shape (n, SLOTS), EMPTY in free slots."""
    import numpy as np

    value, ok = cells.lines.text.wholes(_spans(cells.cuts, 3, 2 + SLOTS))
    return {field.name: value.T}, np.all(ok, axis=0)


def _read_system(cells: Cells, field: Field) -> Read:
    """GNSS system id of NMEA 4.10 and later, 0 where there is none; some older receivers put something else there."""
    import numpy as np

    letter, single = cells.letters[field.letters[0]]
    value = hex_digits(letter)
    return {field.name: np.where(single & (value <= 0xF), value, 0)}, np.ones(letter.size, np.bool_)


_SKY = {"number": (0, 9999), "elevation": (-90, 90), "azimuth": (0, 360), "cn0": (0, 99)}
"""What is said of a satellite in GSV, and between what it must be."""


def _read_sky(cells: Cells, field: Field) -> Read:
    """Up to four satellites of a GSV: `number`, `elevation`, `azimuth`, `cn0`, each (n, 4); `signal`, 0 where there is none."""
    import numpy as np

    text, lines = cells.lines.text, cells.lines
    groups, over = (lines.commas - 3) >> 2, (lines.commas - 3) & 3
    ok = (groups >= 0) & (over <= 1)
    spans = _spans(cells.cuts, 4, 19)
    signed = np.flatnonzero(ok & (over == 1) & (groups < 4))
    spans.length[groups[signed] * 4, signed] = 0
    value, good = text.wholes(spans)
    found = np.where(value == EMPTY, np.nan, value)
    lowest, highest = np.array([*_SKY.values()] * 4, np.float64).T[:, :, None]
    if not good.all():
        rows = np.flatnonzero(~good.all(axis=1) & (np.arange(16) % 4 > 0))
        decimals = text.numbers(Spans(spans.start[rows], spans.length[rows]))
        found[rows] = decimals.value()
        good[rows] = decimals.ok & ~(found[rows] < lowest[rows])
    good &= ~(found > highest)
    if not good.all():
        ok &= good.all(axis=0)
    columns = {name: found[k::4].T for k, name in enumerate(_SKY)} | {"number": value[::4].T}
    single = lines.edges[lines.first + lines.commas - 1] == lines.star - 2
    signal = hex_digits(text.octets[lines.star - 1])
    columns["signal"] = np.where((over == 1) & single & (signal <= 0xF), signal, 0)
    return columns, ok


def _number(name: str, at: int) -> Field:
    return Field(name, _read_number, numbers=(at,))


def _exact(name: str, at: int) -> Field:
    return Field(name, _read_exact, numbers=(at,))


def _metres(name: str, at: int) -> Field:
    return Field(name, _read_metres, numbers=(at,), letters=(at + 1,))


def _degrees(name: str, at: int) -> Field:
    return Field(name, partial(_read_degrees, 90 if name == "latitude" else 180), numbers=(at,))


def _place(at: int) -> tuple[Field, Field]:
    """Latitude and longitude with their hemispheres."""
    return (
        Field("latitude", partial(_read_angle, 90, b"NS"), parts=(at,), letters=(at + 1,)),
        Field("longitude", partial(_read_angle, 180, b"EW"), parts=(at + 2,), letters=(at + 3,)),
    )


def _clock(at: int) -> Field:
    return Field("time", _read_clock, parts=(at,))


def _whole(name: str, at: int) -> Field:
    return Field(name, _read_whole, wholes=(at,))


def _status(at: int) -> Field:
    return Field("status", partial(_read_letter, b"AV"), letters=(at,))


def _mode(at: int) -> Field:
    return Field("mode", partial(_read_letter, b"NADPRFEMSO"), letters=(at,))


def _text(name: str, at: int, width: int = 8) -> Field:
    return Field(name, partial(_read_text, width, at))


def _date(at: int) -> Field:
    return Field("day", _read_date, wholes=(at,))


def _best(week: int, tow: Field) -> Layout:
    """BESTNAV and BESTPOS, whose headers have as many fields but not in the same order."""
    return Layout(21, 40, (
        _whole("week", week), tow, _text("status", 10, 16), _text("type", 11, 16), _degrees("latitude", 12),
        _degrees("longitude", 13), _exact("altitude", 14), _exact("separation", 15), _text("station", 20),
        _number("age", 21),
    ))  # fmt: skip


LAYOUTS: dict[str, Layout] = {
    "GGA": Layout(9, 15, (
        _clock(1), *_place(2), _whole("quality", 6), _whole("satellites", 7), _number("hdop", 8), _metres("altitude", 9),
        _metres("separation", 11), _number("age", 13), _text("station", 14),
    )),
    "GNS": Layout(9, 13, (
        _clock(1), *_place(2), _text("modes", 6), _whole("satellites", 7), _number("hdop", 8), _exact("altitude", 9),
        _exact("separation", 10), _number("age", 11), _text("station", 12),
    )),
    "RMC": Layout(9, 13, (
        _clock(1), _status(2), *_place(3), _number("speed", 7), _number("course", 8), _date(9), _mode(12),
    )),
    "GST": Layout(8, 8, (
        _clock(1), _number("rms", 2), _number("major", 3), _number("minor", 4), _number("orientation", 5),
        _number("latitude_sd", 6), _number("longitude_sd", 7), _number("altitude_sd", 8),
    )),
    "GSA": Layout(17, 18, (
        _whole("fix", 2), Field("used", _read_used), _number("pdop", 15),
        _number("hdop", 16), _number("vdop", 17), Field("system", _read_system, letters=(18,)),
    )),
    "GSV": Layout(3, 20, (
        _whole("in_view", 3), Field("sky", _read_sky),
    )),
    "ZDA": Layout(4, 6, (_clock(1), Field("day", _read_day_month_year, wholes=(2, 3, 4)))),
    "VTG": Layout(8, 9, (_number("course", 1), _number("knots", 5), _number("speed", 7), _mode(9))),
    "KSXT": Layout(11, 24, (
        Field("day", _read_stamp), _degrees("longitude", 2), _degrees("latitude", 3), _exact("altitude", 4),
        _number("heading", 5), _number("pitch", 6), _number("track", 7), _number("speed", 8), _number("roll", 9),
        _whole("quality", 10), _whole("heading_quality", 11),
    )),
    "PSTI030": Layout(13, 15, (
        _clock(2), _status(3), *_place(4), _exact("altitude", 8), _number("east", 9), _number("north", 10), _number("up", 11),
        _date(12), _mode(13), _number("age", 14), _number("ratio", 15),
    )),
    "BESTNAVA": _best(4, Field("tow", _read_milliseconds, wholes=(5,))),
    "BESTPOSA": _best(5, Field("tow", _read_seconds, numbers=(6,))),
}  # fmt: skip
"""Every kind that is read; what its columns are: `nmea.Table`."""
