"""What a receiver's octets say: epochs of one position sentence in UTC, and how sound the stream they came in was. Pure.

It must never invent: an empty field is NaN or "", a date comes from the stream or from a person, and what is damaged is counted and
not repaired. Reading is one pass in bounded memory; what stays is about a hundred octets an epoch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date as Date
from typing import TYPE_CHECKING, Literal

from yanshou.formats.nmea import Block, Table, read_blocks
from yanshou.harness.model import Severity, Validity
from yanshou.probes.gnss.crosscheck import CrossCheck, Sample
from yanshou.probes.gnss.epochs import Epochs
from yanshou.probes.gnss.positions import DAY_NS, KINDS, Calendar, Positions, Steps, dates, positions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Sentence = Literal["auto", "GGA", "GNS", "KSXT", "PSTI030", "BESTNAVA", "BESTPOSA", "RMC"]
"""Which sentence the positions are taken from; "auto": the first in this order that the stream has when positions begin."""
Datum = Literal["ellipsoid", "sea"]
"""What a height is above, for the sentence that does not say (KSXT)."""
MINUTES = ("GGA", "GNS", "RMC", "PSTI030")
"""Sentences whose coordinates are in minutes."""
SYSTEMS = {"GP": 1, "GL": 2, "GA": 3, "GB": 4, "BD": 4, "GQ": 5, "QZ": 5, "GI": 6}
"""GNSS system id of talkers that stand for one system."""
MOST_SATELLITES, MOST_TAGS, OTHER_TAGS = 1000, 100, "…"
ENDS = 2
"""Halves that any recording may have: it begins and ends somewhere."""
DAMAGED_WARNING, DAMAGED_INVALID = 0.001, 0.05
"""A good cable damages nothing in a day; of one sentence in twenty, what the exclusive or lets pass is no longer negligible."""
FEW_OCTETS, READABLE = 1000, 0.5
REFUSED_INVALID = 0.001
"""Of a thousand damaged sentences some four pass the checksum; more impossible ones than that have another reason."""
UNSEEN = 0.5
"""Damaged sentences taken for good, expected, from which on it is worth a word."""
FASTEST, SHORTEST_S = 150.0, 0.05
"""m/s that no vehicle in an acceptance reaches, and the shortest time between epochs that a speed is made of."""
EARTH_M = 6_371_000.0
_EPOCH_ORDINAL = Date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Counts:
    """What the octets of a stream were; every sentence is in exactly one of the first five.

    `accepted`: intact and read, by kind ("GGA"). `unknown`: intact, of a kind that is not read, by tag ("GNTXT"). `refused`: intact
    by checksum, with impossible content, by "KIND.field". `damaged`: checksum wrong, or octets in it that no sentence has.
    `halves`: without beginning, or without checksum (cut off, or never written). `frames`: whole binary ones ("UBX", "RTCM3").
    `octets`: all. `readable`: those of intact sentences with their line ends, and of binary frames.
    """

    accepted: Mapping[str, int]
    unknown: Mapping[str, int]
    refused: Mapping[str, int]
    damaged: int
    halves: int
    frames: Mapping[str, int]
    octets: int
    readable: int


@dataclass(frozen=True)
class Satellite:
    """One satellite as GSV tells of it: talker ("GB"), number as printed, mean elevation, azimuth (degrees) and C/N0 (dB-Hz), NaN
    where never given; `seen`: how often it was named, `tracked`: how often with a C/N0."""

    talker: str
    number: int
    elevation: float
    azimuth: float
    cn0: float
    seen: int
    tracked: int


@dataclass(frozen=True)
class Sigmas:
    """GST: root mean square of the standard deviations that the receiver claims, metres, over `number` sentences; NaN without."""

    number: int
    latitude: float
    longitude: float
    altitude: float


@dataclass(frozen=True)
class Reading:
    """Everything that was in a stream.

    `epochs`: those with a position, in the order received; `epochs.step` is the effective step: the greatest common divisor of all
    differences of the printed digits, exact; that of the digits where a coordinate never moves; 0 where unknown.
    `without_ns`: UTC of the epochs that came without a position (no fix). `sentence`: kind that positions are from, "" none.
    `dated`: where the date is from; "" means that there is none: times then count from 1970-01-01 and are not UTC.
    `decimals`: most that were printed of latitude, longitude (of minutes, or of degrees in sentences that use them) and altitude.
    `systems`: GNSS system ids that GSA names as used (1 GPS, 2 GLONASS, 3 Galileo, 4 BeiDou, 5 QZSS, 6 NavIC). `talkers`: of all
    standard sentences that were accepted. `leap`: epochs within a leap second (23:59:60); they share their `t_ns` with the second
    that follows. `date_conflict`: whether the declared date is not that of the stream (the stream's is taken).
    """

    epochs: Epochs
    without_ns: NDArray[np.int64]
    sentence: str
    dated: Literal["stream", "declared", ""]
    decimals: tuple[int, int, int]
    counts: Counts
    systems: frozenset[int]
    talkers: frozenset[str]
    satellites: tuple[Satellite, ...]
    sigmas: Sigmas
    cross: CrossCheck
    leap: int
    date_conflict: bool


def read_epochs(
    chunks: Iterable[tuple[int, bytes]],
    *,
    date: Date | None = None,
    sentence: Sentence = "auto",
    datum: Datum | None = None,
    seed: int = 0,
) -> Reading:
    """All of a stream, given as (arrival as UTC ns or 0, octets) in order; how it is cut into chunks changes nothing but arrivals.

    `date`: UTC date of the first epoch, for streams without one (GGA only). `datum`: of KSXT heights, which do not say; undeclared,
    `height` stays NaN. `seed`: of the sample that pynmea2 reads too.
    """
    arrivals = _Arrivals(chunks)
    gathered = _Gathered("" if sentence == "auto" else sentence, datum)
    tally, sample = _Tally(), Sample(seed)
    for block in read_blocks(arrivals.octets()):
        gathered.add(block, arrivals)
        tally.add(block)
        sample.add(block)
        arrivals.forget(block.offset + len(block.data))
    return _reading(gathered, tally, sample.check(), date)


class _Arrivals:
    """When each octet of the stream came: ends and times of the chunks that are still being read."""

    def __init__(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        self._chunks = chunks
        self._ends: list[int] = []
        self._times: list[int] = []

    def octets(self) -> Iterator[bytes]:
        """The chunks, noted as they are handed on."""
        end = 0
        for time, octets in self._chunks:
            end += len(octets)
            self._ends.append(end)
            self._times.append(time)
            yield octets

    def of(self, end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Arrival of the chunk that completed what ends at each place."""
        import numpy as np

        return np.array(self._times, np.int64)[np.searchsorted(np.array(self._ends, np.int64), end)]

    def forget(self, before: int) -> None:
        """Chunks that end at or before a place."""
        from bisect import bisect_right

        done = bisect_right(self._ends, before)
        del self._ends[:done], self._times[:done]


class _Gathered:
    """Positions of the one kind of sentence that is taken, and their times."""

    def __init__(self, kind: str, datum: Datum | None) -> None:
        self.kind, self._datum = kind, datum
        self.calendar = Calendar()
        self.steps = (Steps(), Steps(), Steps())
        self.leap = 0
        self.t: list[NDArray[np.int64]] = []
        self.without: list[NDArray[np.int64]] = []
        self.columns: list[tuple[NDArray[np.generic], ...]] = []

    def add(self, block: Block, arrivals: _Arrivals) -> None:
        """Those of one more block."""
        self.kind = self.kind or next((kind for kind in KINDS if kind in block.tables), "")
        if self.kind not in block.tables:
            return
        found = positions(self.kind, block.tables[self.kind], self._datum)
        found, t = self._timed(found, block)
        self.leap += int((found.time >= DAY_NS).sum())
        fixed = (found.quality > 0) & (found.latitude == found.latitude) & (found.longitude == found.longitude)
        self.without.append(t[~fixed])
        found = found.where(fixed)
        for steps, (units, decimals) in zip(self.steps, found.digits, strict=True):
            steps.add(units, decimals)
        self.t.append(t[fixed])
        self.columns.append(
            (
                arrivals.of(found.end), found.latitude, found.longitude, found.height, found.altitude, found.quality, found.age,
                found.station.astype("U"),
            )
        )  # fmt: skip

    def _timed(self, found: Positions, block: Block) -> tuple[Positions, NDArray[np.int64]]:
        """(sentences whose time is known, UTC ns)."""
        if self.kind not in ("GGA", "GNS"):
            dated = found.where(found.day >= 0)
            self.calendar.dated |= bool(dated.end.size)
            return dated, dated.day * DAY_NS + dated.time
        t, shift = self.calendar.place(found.end, found.time, *dates(block.tables))
        if shift:
            self.t = [earlier + shift for earlier in self.t]
            self.without = [earlier + shift for earlier in self.without]
        return found, t

    def epochs(self) -> Epochs:
        """All of them."""
        import numpy as np

        kinds = ("i8", "i8", "f8", "f8", "f8", "f8", "i8", "f8", "U1")
        rows = [[t, *columns] for t, columns in zip(self.t, self.columns, strict=True)]
        joined = [
            np.concatenate([np.empty(0, kind), *(row[number] for row in rows)]) for number, kind in enumerate(kinds)
        ]
        per = 60 if self.kind in MINUTES else 1
        t, arrival, latitude, longitude, height, altitude, quality, age, station = joined
        step = (self.steps[0].step(per), self.steps[1].step(per), self.steps[2].step())
        return Epochs(t, arrival, latitude, longitude, height, altitude, quality, age, station, step)


class _Tally:
    """What there is to count and to sum up over all blocks."""

    def __init__(self) -> None:
        import numpy as np

        self.accepted: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        self.damaged = self.halves = self.octets = self.readable = 0
        self.systems: set[int] = set()
        self.talkers: set[str] = set()
        self._sky: dict[str, NDArray[np.float64]] = {}
        self._sigma = np.zeros(4)

    def add(self, block: Block) -> None:
        """One more block."""
        import numpy as np

        self.accepted.update({kind: len(table) for kind, table in block.tables.items()})
        self.refused.update(block.refused)
        self.frames.update(block.frames)
        for tag, number in block.unknown.items():
            self.unknown[tag if tag in self.unknown or len(self.unknown) < MOST_TAGS else OTHER_TAGS] += number
        self.damaged += block.damaged
        self.halves += block.halves
        self.octets += len(block.data)
        self.readable += block.readable
        for table in block.tables.values():
            self.talkers |= {talker.decode("ascii") for talker in np.unique(table.talker).tolist() if talker}
        if "GSA" in block.tables:
            table = block.tables["GSA"]
            used = (table["used"] >= 0).any(axis=1)
            self.systems |= set(np.flatnonzero(np.bincount(table["system"][used], minlength=1)).tolist()) - {0}
            old = np.unique(table.talker[used & (table["system"] == 0)]).tolist()
            self.systems |= {SYSTEMS[name] for talker in old if (name := talker.decode("ascii")) in SYSTEMS}
        if "GSV" in block.tables:
            self._add_sky(block.tables["GSV"])
        if "GST" in block.tables:
            table = block.tables["GST"]
            sigma = np.stack([table["latitude_sd"], table["longitude_sd"], table["altitude_sd"]])
            sigma = sigma[:, np.isfinite(sigma).all(axis=0)]
            self._sigma += [sigma.shape[1], *(sigma**2).sum(axis=1)]

    def _add_sky(self, table: Table) -> None:
        """Sums over every satellite of every talker: seen, elevation (n, sum), azimuth (cosine, sine), C/N0 (n, sum)."""
        import numpy as np

        pairs = table.talker.view("<u2")
        there = np.unique(pairs)
        names, which = [name.decode("ascii") for name in there.view("S2").tolist()], np.searchsorted(there, pairs)
        known = np.array([name in SYSTEMS for name in names], np.bool_)
        number = table["number"]
        named = (number >= 0) & (number < MOST_SATELLITES) & known[which][:, None]
        one = (which[:, None] * MOST_SATELLITES + number)[named]
        elevation, azimuth, cn0 = (table[column][named] for column in ("elevation", "azimuth", "cn0"))
        high, tracked = np.flatnonzero(np.isfinite(elevation) & np.isfinite(azimuth)), np.flatnonzero(np.isfinite(cn0))
        placed, turn, heard = one[high], np.radians(azimuth[high]), one[tracked]
        sums = np.stack(
            [
                np.bincount(key, weight, len(names) * MOST_SATELLITES)
                for key, weight in (
                    (one, None), (placed, None), (placed, elevation[high]), (placed, np.cos(turn)), (placed, np.sin(turn)),
                    (heard, None), (heard, cn0[tracked]),
                )
            ]
        ).reshape(7, len(names), MOST_SATELLITES)  # fmt: skip
        for at in np.flatnonzero(known).tolist():
            self._sky.setdefault(names[at], np.zeros((7, MOST_SATELLITES)))[:] += sums[:, at]

    def satellites(self) -> tuple[Satellite, ...]:
        """Every one that was named, by talker and number."""
        import numpy as np

        found = []
        for talker, sums in sorted(self._sky.items()):
            for number in np.flatnonzero(sums[0]).tolist():
                seen, placed, elevation, east, north, tracked, cn0 = sums[:, number].tolist()
                azimuth = math.degrees(math.atan2(north, east)) % 360 if placed else math.nan
                found.append(
                    Satellite(
                        talker, number, elevation / placed if placed else math.nan, azimuth,
                        cn0 / tracked if tracked else math.nan, int(seen), int(tracked),
                    )
                )  # fmt: skip
        return tuple(found)

    def sigmas(self) -> Sigmas:
        """What GST claims."""
        number = int(self._sigma[0])
        latitude, longitude, altitude = (
            math.sqrt(float(square) / number) if number else math.nan for square in self._sigma[1:]
        )
        return Sigmas(number, latitude, longitude, altitude)

    def counts(self) -> Counts:
        """All counts."""
        return Counts(
            dict(self.accepted), dict(self.unknown), dict(self.refused), self.damaged, self.halves, dict(self.frames),
            self.octets, self.readable,
        )  # fmt: skip


def _reading(gathered: _Gathered, tally: _Tally, cross: CrossCheck, date: Date | None) -> Reading:
    import numpy as np

    epochs = gathered.epochs()
    without = np.concatenate([np.empty(0, np.int64), *gathered.without])
    all_ns = np.concatenate([epochs.t_ns[:1], without[:1]])
    conflict = False
    dated: Literal["stream", "declared", ""] = "stream" if gathered.calendar.dated else ""
    if date is not None and all_ns.size:
        declared = (date.toordinal() - _EPOCH_ORDINAL) * DAY_NS
        away = declared - int(all_ns.min()) // DAY_NS * DAY_NS
        if dated:
            conflict = away != 0
        else:
            dated = "declared"
            epochs = replace(epochs, t_ns=epochs.t_ns + away)
            without = without + away
    decimals = tuple(max(steps.decimals, 0) for steps in gathered.steps)
    return Reading(
        epochs, without, gathered.kind if gathered.t else "", dated, (decimals[0], decimals[1], decimals[2]), tally.counts(),
        frozenset(tally.systems), frozenset(tally.talkers), tally.satellites(), tally.sigmas(), cross, gathered.leap, conflict,
    )  # fmt: skip


def reading_findings(reading: Reading) -> Iterator[Validity]:
    """GNS-V30..V39: what is wrong with the stream itself, whatever the positions are.

    A lost epoch already counts as missing, so damage flatters nobody: it warns, and voids the run only where the recording is no
    longer of the receiver but of its cable. What cannot come from a cable (impossible content with a right checksum more often than
    chance lets pass, a second reader that disagrees) voids it.
    """
    counts = reading.counts
    intact = sum(counts.accepted.values()) + sum(counts.unknown.values())
    refused = sum(counts.refused.values())
    bad = counts.damaged + max(0, counts.halves - ENDS)
    whole = intact + refused + bad
    if bad and whole:
        share = bad / whole
        severity = (
            Severity.INVALID
            if share > DAMAGED_INVALID
            else Severity.WARNING
            if share > DAMAGED_WARNING
            else Severity.INFO
        )
        text = f"{whole} 条语句中 {counts.damaged} 条校验不符，{counts.halves} 条残缺（{share:.2%}）：检查线缆、波特率与接地"
        yield Validity("GNS-V30", severity, text)
    if counts.octets >= FEW_OCTETS and counts.readable < READABLE * counts.octets:
        text = f"{counts.octets} 字节中只有 {counts.readable / counts.octets:.1%} 可读：波特率或校验位不对，或是不支持的协议"
        yield Validity("GNS-V31", Severity.INVALID, text)
    if not len(reading.epochs):
        told = f"（{reading.without_ns.size} 个历元没有定位）" if reading.without_ns.size else ""
        yield Validity("GNS-V32", Severity.INVALID, f"没有一条带定位结果的语句{told}")
    elif others := {
        kind: counts.accepted[kind] for kind in KINDS if kind in counts.accepted and kind != reading.sentence
    }:
        kind, number = max(others.items(), key=lambda one: one[1])
        if number > 2 * counts.accepted[reading.sentence]:
            taken = counts.accepted[reading.sentence]
            text = f"位置取自 {reading.sentence}（{taken} 条），而 {kind} 有 {number} 条：请指明用哪一种"
            yield Validity("GNS-V32", Severity.WARNING, text)
    if not reading.dated and (len(reading.epochs) or reading.without_ns.size):
        yield Validity("GNS-V33", Severity.INVALID, "语句里没有日期（无 RMC、ZDA），也没有声明日期：不能与真值对时")
    if reading.cross.disagreeing:
        text = f"抽查 {reading.cross.sampled} 条，{reading.cross.disagreeing} 条与 pynmea2 读数不同：{reading.cross.examples[0]}"
        yield Validity("GNS-V34", Severity.INVALID, text)
    if refused:
        most = "、".join(f"{reason} {number} 条" for reason, number in Counter(counts.refused).most_common(3))
        severity = Severity.INVALID if refused > REFUSED_INVALID * whole else Severity.WARNING
        yield Validity("GNS-V35", severity, f"{refused} 条语句校验正确而内容不可能（{most}）：固件有错，或语句是人写的")
    unseen = counts.damaged / 256
    if unseen >= UNSEEN:
        text = f"{counts.damaged} 条语句损坏：异或校验约漏过 1/256，可能有 {unseen:.1f} 条坏语句被当作好的"
        yield Validity("GNS-V36", Severity.WARNING, text)
    if jumps := isolated_jumps(reading.epochs):
        text = f"{jumps} 个历元的位置跳开又跳回（速度超过 {FASTEST:g} m/s）：传输错误漏过了校验，或解算出错"
        yield Validity("GNS-V37", Severity.WARNING, text)
    if len(reading.epochs) and not (reading.epochs.height == reading.epochs.height).any():
        told = "未声明 KSXT 高程的基准" if reading.sentence == "KSXT" else "语句没有大地水准面差距"
        yield Validity("GNS-V38", Severity.WARNING, f"没有椭球高：{told}，高程精度不能判")
    if reading.date_conflict:
        yield Validity("GNS-V39", Severity.WARNING, "声明的日期与语句里的日期不同，以语句为准")


def isolated_jumps(epochs: Epochs) -> int:
    """Epochs that are far from both their neighbours, while these are near to each other: no vehicle does that.

    Horizontally, on a sphere, which is enough for a speed of `FASTEST`.
    """
    import numpy as np

    if len(epochs) < 3:
        return 0
    north = np.radians(epochs.latitude) * EARTH_M
    east = np.radians(np.unwrap(epochs.longitude, period=360)) * EARTH_M * np.cos(np.radians(epochs.latitude))
    seconds = epochs.t_ns / 1e9
    step, after = np.hypot(np.diff(north), np.diff(east)), np.diff(seconds)
    fast = step > FASTEST * np.maximum(after, SHORTEST_S)
    over = np.hypot(north[2:] - north[:-2], east[2:] - east[:-2])
    together = over < FASTEST * np.maximum(seconds[2:] - seconds[:-2], SHORTEST_S)
    return int((fast[:-1] & fast[1:] & together).sum())
