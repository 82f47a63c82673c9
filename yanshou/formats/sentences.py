"""What the fields of each kind of sentence are, and what must not stand in them. Pure tables over `fields`.

It is for one place where layouts are written down. It must never know how sentences are found (`nmea` does) or what they are for.

Sources: NMEA 0183 as gpsd's NMEA page documents it; KSXT and BESTNAVA: Unicore N4 reference manual; BESTPOSA: NovAtel OEM7 manual;
PSTI: SkyTraq AN0028. Which of them were met in real logs is in docs/nmea.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from yanshou.formats.fields import (
    EMPTY,
    Decimals,
    Parts,
    Rows,
    Spans,
    angles,
    clocks,
    days,
    decimals,
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
_MOST_SHAPES, _FEWEST_ALIKE, _IN_CACHE = 24, 100, 2048
"""Shapes of lines that are read apart, lines that one must have for that to pay, and lines that are looked at at once."""


@dataclass(frozen=True)
class Field:
    """Something that is read: a name, how, and the numbers of its fields that are numbers with a dot, whole numbers and letters."""

    name: str
    reader: Callable[[Cells, Field], Read]
    parts: tuple[int, ...] = ()
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
    """The fields of lines of one kind, by number; those of one sort are read together, which is what makes it fast.

    `spans`: where fields 1 to the last that the kind may have are, empty in lines that end before. `commas`: how many a line has.
    """

    rows: Rows
    spans: Spans
    commas: NDArray[np.int64]
    parts: Mapping[int, Parts]
    wholes: Mapping[int, tuple[NDArray[np.int64], Bools]]
    letters: Mapping[int, tuple[NDArray[np.uint8], Bools]]


def read(
    layout: Layout, matrix: NDArray[np.uint8], star: NDArray[np.int64]
) -> tuple[dict[str, Column], dict[str, Bools]]:
    """(columns by name, whether each line is acceptable, by field) of lines under each other, shape (n, width).

    `star`: in which column each line has its star; `SLACK` columns follow the last of them.
    """
    import numpy as np

    n = len(matrix)
    columns: dict[str, Column] = {}
    sound: dict[str, Bools] = {}
    for group, alike in _groups(matrix, star):
        whole = group.size == n
        told = _read(layout, _cells(layout, matrix if whole else matrix[group], star[group], alike))
        for into, found in zip((columns, sound), told, strict=True):
            for name, column in found.items():
                if whole:
                    into[name] = np.broadcast_to(column, (n, *column.shape[1:]))
                else:
                    _put(into.setdefault(name, np.empty((n, *column.shape[1:]), column.dtype)), group, column)
    return columns, sound


def _put(into: Column, group: NDArray[np.int64], rows: Column) -> None:
    """`rows` at `group`; whole rows are moved at once, which numpy does only for opaque items."""
    import numpy as np

    if rows.ndim == 1:
        into[group] = rows
    else:
        item = f"V{into.strides[0]}"
        into.view(item)[group] = np.ascontiguousarray(rows).view(item)


def _groups(matrix: NDArray[np.uint8], star: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], bool]]:
    """(rows, whether their fields, dots and signs are all at the same places): the most frequent shapes apart, the others together.

    Rows are alike if they have the same octets below the digits at the same places: commas, dots, signs, the star.
    """
    import numpy as np

    shape, key = np.empty_like(matrix), np.empty(len(matrix), np.uint64)
    width = matrix.shape[1]
    until_star = (np.tri(width, dtype=np.uint8) * 0xFF).view(f"V{width}")[:, 0]
    odd_numbers = np.arange(1, width // 8 + 1, dtype=np.uint64) * 0x9E3779B97F4A7C15 | 1
    for begin in range(0, len(matrix), _IN_CACHE):
        rows = slice(begin, begin + _IN_CACHE)
        np.multiply(matrix[rows], matrix[rows] < ord("0"), out=shape[rows])
        shape[rows] &= until_star[star[rows]].view(np.uint8).reshape(-1, width)
        key[rows] = shape[rows].view(np.uint64) @ odd_numbers
    groups: list[tuple[NDArray[np.int64], bool]] = []
    odd: list[NDArray[np.int64]] = []
    rest = np.arange(len(matrix))
    for _ in range(_MOST_SHAPES):
        if rest.size < _FEWEST_ALIKE:
            break
        same = key[rest] == key[rest[0]]
        group, rest = rest[same], rest[~same]
        if group.size >= _FEWEST_ALIKE and (shape[group] == shape[group[0]]).all():
            groups.append((group, True))
        else:
            odd.append(group)
    others = np.sort(np.concatenate([*odd, rest]))
    return [*groups, (others, False)] if others.size else groups


def _cells(layout: Layout, matrix: NDArray[np.uint8], star: NDArray[np.int64], alike: bool) -> Cells:
    """All fields that a layout needs."""
    import numpy as np

    looked_at = matrix[:1] if alike else matrix
    ends = (looked_at == ord(",")) | (looked_at == ord("*"))
    ends &= np.arange(matrix.shape[1]) <= star[: len(looked_at), None]
    _, edges = np.nonzero(ends)
    per_line = ends.sum(axis=1)
    first, last = np.cumsum(per_line) - per_line, np.cumsum(per_line) - 1
    at = edges[np.minimum(first + np.arange(layout.most + 1)[:, None], last)]
    spans = Spans(at[:-1] + 1, np.maximum(at[1:] - at[:-1] - 1, 0))
    rows = Rows(matrix, alike=alike)
    parts = [number for field in layout.fields for number in field.parts]
    wholes = [number for field in layout.fields for number in field.wholes]
    letters = [number for field in layout.fields for number in field.letters]
    cut = rows.parts(spans.rows(parts))
    value, whole = rows.wholes(spans.rows(wholes))
    letter, single = rows.letters(spans.rows(letters))
    return Cells(
        rows,
        spans,
        per_line - 1,
        {number: cut.row(row) for row, number in enumerate(parts)},
        {number: (value[row], whole[row]) for row, number in enumerate(wholes)},
        {number: (letter[row], single[row]) for row, number in enumerate(letters)},
    )


def _read(layout: Layout, cells: Cells) -> tuple[dict[str, Column], dict[str, Bools]]:
    columns: dict[str, Column] = {}
    sound = {"fields": (cells.commas >= layout.least) & (cells.commas <= layout.most)}
    for field in layout.fields:
        found, sound[field.name] = field.reader(cells, field)
        columns |= found
    return columns, sound


def _exactly(name: str, found: Decimals, per: int = 1) -> dict[str, Column]:
    return {name: found.value(per), f"{name}_units": found.units, f"{name}_decimals": found.decimals}


def _one_of(allowed: bytes, letter: tuple[NDArray[np.uint8], Bools]) -> Bools:
    """Whether it is one of `allowed`, or empty."""
    import numpy as np

    known = np.zeros(256, np.bool_)
    known[[0, *allowed]] = True
    return known[letter[0]] & letter[1]


def _read_number(cells: Cells, field: Field) -> Read:
    found = decimals(cells.parts[field.parts[0]])
    return {field.name: found.value()}, found.ok


def _read_exact(cells: Cells, field: Field) -> Read:
    found = decimals(cells.parts[field.parts[0]])
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
    value, ok = cells.rows.texts(cells.spans.rows([number]), width)
    return {field.name: value}, ok


def _read_date(cells: Cells, field: Field) -> Read:
    """ddmmyy; 80 to 99 are of the last century (GPS begins in 1980)."""
    import numpy as np

    value, ok = cells.wholes[field.wholes[0]]
    seen = value[:1] if (value == value[:1]).all() else value
    year = seen % 100
    day, real = days(np.where(year < 80, 2000, 1900) + year, seen // 100 % 100, seen // 10_000)
    six = cells.spans.rows([field.wholes[0]]).length[0] == 6
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

    start, length = cells.spans.rows([1])
    (date,), (ok,) = cells.rows.wholes(Spans(start, np.minimum(length, 8)))
    day, real = days(date // 10_000, date // 100 % 100, date % 100)
    time, fine = clocks(cells.rows.parts(Spans(start + 8, np.maximum(length - 8, 0))).row(0))
    good = ok & real & fine & (time != EMPTY)
    return {field.name: np.where(good, day, EMPTY), "time": np.where(good, time, EMPTY)}, good | (length[0] == 0)


def _read_milliseconds(cells: Cells, field: Field) -> Read:
    import numpy as np

    value, ok = cells.wholes[field.wholes[0]]
    ok = ok & (value < 604_800_000)
    return {field.name: np.where((value == EMPTY) | ~ok, EMPTY, value * 10**6)}, ok


def _read_seconds(cells: Cells, field: Field) -> Read:
    import numpy as np

    found = decimals(cells.parts[field.parts[0]])
    ok = found.ok & (found.decimals <= 9) & (found.units >= 0) & ~(found.value() >= 604_800)
    ns = found.units * powers()[9 - np.minimum(found.decimals, 9)]
    return {field.name: np.where(found.given & ok, ns, EMPTY)}, ok


def _read_used(cells: Cells, field: Field) -> Read:
    """Satellites of a GSA, shape (n, SLOTS), EMPTY in free slots."""
    import numpy as np

    values, oks = zip(*(cells.wholes[number] for number in field.wholes), strict=True)
    return {field.name: np.stack(values, axis=1)}, np.all(oks, axis=0)


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

    groups, over = (cells.commas - 3) >> 2, (cells.commas - 3) & 3
    ok = (groups >= 0) & (over <= 1)
    columns: dict[str, Column] = {}
    there = np.arange(4)[:, None] < groups
    for k, (name, (lowest, highest)) in enumerate(_SKY.items()):
        at = field.wholes[k::4]
        value = np.stack([cells.wholes[number][0] for number in at])
        good = np.stack([cells.wholes[number][1] for number in at])
        if name == "number":
            value = np.where(there, value, EMPTY)
        else:
            empty = ~there | (value == EMPTY)
            if not (good | empty).all():
                found = decimals(cells.rows.parts(cells.spans.rows(at)))
                value, good = np.where(good, value, found.value()), good | found.ok
            value = np.where(empty, np.nan, value)
        good &= ~((value < lowest) | (value > highest)) | (value == EMPTY)
        ok = ok & (good | ~there).all(axis=0)
        columns[name] = np.ascontiguousarray(value.T)
    last = np.take_along_axis(cells.spans.start, np.maximum(cells.commas - 1, 0)[None], axis=0)
    length = np.take_along_axis(cells.spans.length, np.maximum(cells.commas - 1, 0)[None], axis=0)
    (letter,), (single,) = cells.rows.letters(Spans(last, length))
    signal = hex_digits(letter)
    columns["signal"] = np.where((over == 1) & single & (signal <= 0xF), signal, 0)
    return columns, ok


def _number(name: str, at: int) -> Field:
    return Field(name, _read_number, parts=(at,))


def _exact(name: str, at: int) -> Field:
    return Field(name, _read_exact, parts=(at,))


def _metres(name: str, at: int) -> Field:
    return Field(name, _read_metres, parts=(at,), letters=(at + 1,))


def _degrees(name: str, at: int) -> Field:
    return Field(name, partial(_read_degrees, 90 if name == "latitude" else 180), parts=(at,))


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
        _whole("fix", 2), Field("used", _read_used, wholes=tuple(range(3, 3 + SLOTS))), _number("pdop", 15),
        _number("hdop", 16), _number("vdop", 17), Field("system", _read_system, letters=(18,)),
    )),
    "GSV": Layout(3, 20, (
        _whole("messages", 1), _whole("message", 2), _whole("in_view", 3),
        Field("sky", _read_sky, wholes=tuple(range(4, 20))),
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
    "BESTPOSA": _best(5, Field("tow", _read_seconds, parts=(6,))),
}  # fmt: skip
"""Every kind that is read; what its columns are: `nmea.Table`."""
