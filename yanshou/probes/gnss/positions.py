"""From sentences to positions: the same columns whatever sentence they come from, their day, and the step they move by.

Pure. It must never take a quality for better than it is: what is unknown, or mixed, counts as the worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yanshou.formats.fields import EMPTY, NS, powers
from yanshou.formats.leap import WEEK_NS, utc_of_gps
from yanshou.formats.nmea import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAY_NS = 86_400 * NS
KINDS = ("GGA", "GNS", "KSXT", "PSTI030", "BESTNAVA", "BESTPOSA", "RMC")
"""Sentences with positions, the one that is taken first."""
MODES = {"N": 0, "A": 1, "D": 2, "P": 3, "R": 4, "F": 5, "O": 5, "E": 6, "M": 7, "S": 8}
"""Mode letters (NMEA 0183; "O" SkyTraq's, beside quality 5) as quality of GGA."""
WORST_FIRST = "SMEADPOFR"
"""Mode letters of GNS from worst to best: a solution is as good as the worst of the systems it uses."""
KSXT_QUALITY = {0: 0, 1: 1, 2: 5, 3: 4}
BEST_QUALITY = {
    b"NONE": 0, b"FIXEDPOS": 7, b"FIXEDHEIGHT": 7, b"PSRDIFF": 2, b"WAAS": 2, b"SBAS": 2, b"INS_PSRDIFF": 2, b"INS_SBAS": 2,
    b"L1_FLOAT": 5, b"IONOFREE_FLOAT": 5, b"NARROW_FLOAT": 5, b"INS_RTKFLOAT": 5, b"PPP_CONVERGING": 5, b"PPP": 5,
    b"L1_INT": 4, b"WIDE_INT": 4, b"NARROW_INT": 4, b"INS_RTKFIXED": 4,
}  # fmt: skip
"""Position types of NovAtel and Unicore as quality of GGA; others are a single solution."""
_HEIGHT_DECIMALS = 9
"""Heights with more are no heights; their step is not looked for."""


@dataclass(frozen=True)
class Positions:
    """Positions of one block; arrays (n,).

    `end`: where the sentence ends in the stream. `day`: days since 1970-01-01, -1 where the sentence has no date; `time`: ns of the
    day. Degrees and metres, NaN where empty. `digits`: latitude, longitude and height as (units of the last decimal, decimals), -1
    decimals where there is nothing to tell a step by.
    """

    end: NDArray[np.int64]
    day: NDArray[np.int64]
    time: NDArray[np.int64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    altitude: NDArray[np.float64]
    height: NDArray[np.float64]
    quality: NDArray[np.int64]
    age: NDArray[np.float64]
    station: NDArray[np.bytes_]
    digits: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]

    def where(self, keep: NDArray[np.bool_]) -> Positions:
        """Some of them."""
        return Positions(
            self.end[keep], self.day[keep], self.time[keep], self.latitude[keep], self.longitude[keep], self.altitude[keep],
            self.height[keep], self.quality[keep], self.age[keep], self.station[keep],
            tuple((units[keep], decimals[keep]) for units, decimals in self.digits),
        )  # fmt: skip


def positions(kind: str, table: Table, datum: str | None) -> Positions:
    """The sentences of a table that have a time."""
    import numpy as np

    n = len(table)
    nothing = np.full(n, np.nan)
    columns = table.columns
    day, time = columns.get("day", np.full(n, EMPTY, np.int64)), columns.get("time", nothing)
    if "tow" in columns:
        known = (columns["tow"] != EMPTY) & (columns["week"] > 0)
        utc = utc_of_gps(np.where(known, columns["week"] * WEEK_NS + columns["tow"], 0))
        day, time = np.where(known, utc // DAY_NS, EMPTY), np.where(known, utc % DAY_NS, EMPTY)
    ellipsoidal = kind == "KSXT" and datum == "ellipsoid"
    height, digits = _height(columns, n, ellipsoidal=ellipsoidal)
    return Positions(
        table.end, day, time, columns["latitude"], columns["longitude"],
        nothing if ellipsoidal else columns.get("altitude", nothing), height, _quality(kind, table), columns.get("age", nothing),
        np.strings.strip(columns.get("station", np.full(n, b"", "S8")), b'"'),
        (*((columns[f"{name}_units"], columns[f"{name}_decimals"]) for name in ("latitude", "longitude")), digits),
    ).where(time != EMPTY)  # fmt: skip


def dates(tables: Mapping[str, Table]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(end in the stream, UTC ns) of sentences that tell the date: RMC that calls itself valid, else ZDA."""
    import numpy as np

    for kind in ("RMC", "ZDA"):
        if kind in tables:
            table = tables[kind]
            known = (table["day"] != EMPTY) & (table["time"] != EMPTY)
            if kind == "RMC":
                known &= table["status"] == ord("A")
            if known.any():
                return table.end[known], table["day"][known] * DAY_NS + table["time"][known]
    return np.empty(0, np.int64), np.empty(0, np.int64)


def _height(
    columns: Mapping[str, NDArray[Any]], n: int, *, ellipsoidal: bool
) -> tuple[NDArray[np.float64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(height above the ellipsoid, NaN where it cannot be told; digits of it, or of the altitude where that is all)."""
    import numpy as np

    if "altitude" not in columns:
        return np.full(n, np.nan), (np.zeros(n, np.int64), np.full(n, -1))
    units, decimals = columns["altitude_units"], columns["altitude_decimals"]
    given = ~np.isnan(columns["altitude"])
    height = columns["altitude"] if ellipsoidal else np.full(n, np.nan)
    if "separation" in columns:
        common = np.maximum(decimals, columns["separation_decimals"])
        given &= common <= _HEIGHT_DECIMALS
        common = np.where(given, common, decimals)
        more = columns["separation_units"] * powers()[np.maximum(common - columns["separation_decimals"], 0)]
        units, decimals = units * powers()[common - decimals] + more, common
        height = np.where(given & ~np.isnan(columns["separation"]), units / powers()[common], np.nan)
    return height, (units, np.where(given & (decimals <= _HEIGHT_DECIMALS), decimals, -1))


def _quality(kind: str, table: Table) -> NDArray[np.int64]:
    """Of each sentence, in the numbers of GGA; 0: no position."""
    import numpy as np

    quality: NDArray[np.int64]
    if kind == "GGA":
        quality = np.maximum(table["quality"], 0)
    elif kind == "GNS":
        rank = np.full(256, len(WORST_FIRST))
        rank[list(WORST_FIRST.encode())] = range(len(WORST_FIRST))
        worst = rank[np.ascontiguousarray(table["modes"]).view(np.uint8).reshape(len(table), 8)].min(axis=1)
        quality = np.array([*(MODES[letter] for letter in WORST_FIRST), 0])[worst]
    elif kind == "KSXT":
        known = np.zeros(10, np.int64)
        known[list(KSXT_QUALITY)] = list(KSXT_QUALITY.values())
        quality = known[np.where((table["quality"] >= 0) & (table["quality"] < 10), table["quality"], 0)]
    elif kind in ("BESTNAVA", "BESTPOSA"):
        types, which = np.unique(table["type"], return_inverse=True)
        quality = np.array([BEST_QUALITY.get(bytes(name), 1) for name in types])[which]
        quality[table["status"] != b"SOL_COMPUTED"] = 0
    else:
        modes = np.zeros(256, np.int64)
        modes[[ord(letter) for letter in MODES]] = list(MODES.values())
        modes[0] = MODES["A"]
        quality = modes[table["mode"]]
        quality[table["status"] != ord("A")] = 0
    return quality


class Calendar:
    """Days for sentences that have only a time: from sentences with a date near them in the stream, or counted on from midnight to
    midnight.

    A time is taken for the one nearest to the one before it, which is right as long as no gap is longer than twelve hours. Each
    dated sentence says which day that is, by the neighbour whose time is nearest to its own. Until the first, days count from 0.
    """

    def __init__(self) -> None:
        self.dated = False
        self._time, self._turns = EMPTY, 0
        self._anchor, self._day_ns = 0, 0

    def place(
        self, end: NDArray[np.int64], time: NDArray[np.int64], dated_end: NDArray[np.int64], dated: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], int]:
        """(UTC ns of the times; what must be added to all times of the blocks before: not 0 only with the first date).

        `end`, `time`: of this block's sentences, ns of the day; `dated_end`, `dated`: of those with a date, UTC ns. In order.
        """
        import numpy as np

        if not end.size:
            return time, 0
        before = np.concatenate([[time[0] if self._time == EMPTY else self._time], time[:-1]])
        jump = time - before
        turns = self._turns + np.cumsum((jump < -DAY_NS // 2).astype(np.int64) - (jump > DAY_NS // 2))
        running = time + turns * DAY_NS
        self._time, self._turns = int(time[-1]), int(turns[-1])
        if not dated.size:
            return running + self._day_ns, 0
        after = np.searchsorted(end, dated_end)
        neighbours = np.stack([running[np.maximum(after - 1, 0)], running[np.minimum(after, end.size - 1)]])
        days_ns = _nearest(dated, neighbours)
        at = np.searchsorted(dated_end, end)
        first, last = np.maximum(at - 1, 0), np.minimum(at, dated.size - 1)
        anchors = np.stack([dated[first], dated[last]])
        offsets = np.stack([days_ns[first], days_ns[last]])
        if self.dated:
            anchors[0, at == 0], offsets[0, at == 0] = self._anchor, self._day_ns
        off = np.abs((anchors - running + DAY_NS // 2) % DAY_NS - DAY_NS // 2)
        chosen_days = np.where(off[1] < off[0], offsets[1], offsets[0])
        shift = 0 if self.dated else int(days_ns[0])
        self.dated, self._anchor, self._day_ns = True, int(dated[-1]), int(days_ns[-1])
        return running + chosen_days, shift


def _nearest(dated: NDArray[np.int64], neighbours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole days, as ns, from the neighbour (2, n) whose time of day is nearest to each date."""
    import numpy as np

    away = dated - neighbours
    days_ns = (away + DAY_NS // 2) // DAY_NS * DAY_NS
    off = np.abs(away - days_ns)
    nearest: NDArray[np.int64] = np.where(off[1] < off[0], days_ns[1], days_ns[0])
    return nearest


class Steps:
    """The greatest common divisor of all differences of a coordinate's printed digits, exactly, in bounded memory."""

    def __init__(self) -> None:
        self.decimals = -1
        self._first = self._divisor = 0

    def add(self, units: NDArray[np.int64], decimals: NDArray[np.int64]) -> None:
        """More of them; those with -1 decimals are left out."""
        import numpy as np

        units, decimals = units[decimals >= 0], decimals[decimals >= 0]
        if not units.size:
            return
        most = int(decimals.max())
        if self.decimals < 0:
            self.decimals, self._first = most, int(units[0]) * 10 ** (most - int(decimals[0]))
        elif most > self.decimals:
            self._first *= 10 ** (most - self.decimals)
            self._divisor *= 10 ** (most - self.decimals)
            self.decimals = most
        scaled = units * powers()[self.decimals - decimals]
        self._divisor = int(np.gcd.reduce(np.append(scaled - self._first, self._divisor)))

    def step(self, per: int = 1) -> float:
        """In units of which each has `per` whole ones; that of the last decimal where it never moves, 0 without any."""
        return (self._divisor or 1) / (10**self.decimals * per) if self.decimals >= 0 else 0.0
