"""What a receiver's octets say: epochs of one position sentence in UTC, and how sound the stream they came in was. Pure.

It must never invent: an empty field is NaN or "", a date comes from the stream or from a person, and what is damaged is counted and
not repaired. Reading is one pass in bounded memory; what stays is about 80 octets an epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date as Date
from typing import TYPE_CHECKING, Literal

from yanshou.harness.model import Validity
from yanshou.probes.gnss.epochs import Epochs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Sentence = Literal["auto", "GGA", "GNS", "KSXT", "PSTI030", "BESTNAVA", "BESTPOSA", "RMC"]
"""Which sentence the positions are taken from; "auto": the first of this order that the stream has when positions begin."""
Datum = Literal["ellipsoid", "sea"]
"""What a height is above, for sentences that do not say (KSXT)."""


@dataclass(frozen=True)
class Counts:
    """What the octets of a stream were; every sentence is in exactly one of the first five.

    `accepted`: intact and read, by kind ("GGA"). `unknown`: intact, of a kind that is not read, by tag ("GNTXT"). `refused`: intact
    by checksum, with impossible content, by reason. `damaged`: checksum wrong, or octets in it that no sentence has. `halves`: without
    beginning, or without checksum (cut off, or never written). `frames`: whole binary frames ("UBX", "RTCM3").
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
    """GST: root mean square of the standard deviations that the receiver claims, metres, over `number` sentences; NaN without any."""

    number: int
    latitude: float
    longitude: float
    altitude: float


@dataclass(frozen=True)
class CrossCheck:
    """A seeded sample of accepted sentences read by pynmea2 too; `examples`: up to five that came out differently."""

    sampled: int
    disagreeing: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """Everything that was in a stream.

    `epochs`: those with a position, in the order received; `epochs.step` is the effective step (greatest common divisor of all
    differences of the printed digits, exact; that of the digits where a coordinate never moves; 0 where unknown).
    `without_ns`: UTC of the epochs that came without a position (no fix). `sentence`: kind that positions are from, "" none.
    `dated`: where the date is from; "" means that there is none: `epochs` then count from 1970-01-01 and no time in them is UTC.
    `decimals`: most that were printed of latitude and longitude (of minutes, or of degrees in sentences that use them) and altitude.
    `systems`: GNSS system ids that GSA names as used (1 GPS, 2 GLONASS, 3 Galileo, 4 BeiDou, 5 QZSS, 6 NavIC). `talkers`: of all intact
    standard sentences. `leap`: epochs within a leap second (23:59:60); they share their `t_ns` with the second that follows.
    `date_conflict`: whether the declared date is not that of the stream (the stream's is taken).
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
    raise NotImplementedError


def reading_findings(reading: Reading) -> Iterator[Validity]:
    """GNS-V30..V39: what is wrong with the stream itself, whatever the positions are."""
    raise NotImplementedError
