"""What was heard on the uplink, added up against the times of the requests: rows of `uplink.csv` in one pass.

Pure. It must never decide anything, and never need more memory for more rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yanshou.probes.model_latency.record import LARGEST, Ints
from yanshou.probes.model_latency.streams import HERE, IN, OTHER, UPLINK, UPLINK_BIN_NS, WAYS

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

Bools = NDArray[np.bool_]

LAGS = 20
"""Pieces of a middling request in which arrivals are looked for at the same distance from its beginning."""
LEAST_LAG_NS = 1_000_000
SLICE_S = 0.5
MOST_SLICES = 5_000_000
CHUNK = 1 << 18
MOST_REMOTES = 4096
MOST_PORTS = 3
FEWEST_WINDOWS = 5
NUMBER = {way: number for number, way in enumerate(WAYS)}
STRANGE = (NUMBER[OTHER], NUMBER[HERE])
QUIET, RUN = 0, 1
REST = "其余"


class Rows(NamedTuple):
    """A chunk of uplink.csv, sorted by time. `way`: index in WAYS; `remote`: index in the list of remote ends."""

    t: Ints
    way: Ints
    remote: Ints
    packets: Ints
    octets: Ints
    content: Ints


class Windows:
    """Stretches of time, and in which of them something may have come by: a row stands for what came up to so long after it."""

    def __init__(self, begin: Ints, end: Ints) -> None:
        self.begin, self.end = begin - UPLINK_BIN_NS + 1, end
        self.hit: Bools = np.zeros(begin.size, bool)

    def see(self, times: Ints) -> None:
        """Sorted arrivals."""
        at = np.searchsorted(times, self.begin)
        there = np.flatnonzero(at < times.size)
        self.hit[there] |= times[at[there]] <= self.end[there]

    @property
    def share(self) -> float:
        """Of them with something, NaN where there are none."""
        return float(self.hit.mean()) if self.hit.size else float("nan")


@dataclass(frozen=True)
class Phases:
    """When there was quiet, when requests were under way: ns. `starts`, `ends` of every request, in the order of the former."""

    begin: int
    end: int
    starts: Ints
    ends: Ints
    period: int | None
    """Between two planned requests, where they were planned."""

    @property
    def first(self) -> int:
        """When the quiet before ends."""
        return int(self.starts[0])

    @property
    def last(self) -> int:
        """When the quiet after begins."""
        return int(self.ends.max())

    @property
    def quiet(self) -> int:
        """How long both are together."""
        return (self.first - self.begin) + (self.end - self.last)

    def imagined(self) -> tuple[tuple[Ints, Ints], ...]:
        """The same requests laid into the quiet before and after, on their own schedule where they have one."""
        grid = self.period or 1
        back, forth = (self.first - self.begin) // grid * grid, -(-(self.last - self.first + 1) // grid) * grid
        found = []
        for shift, until in ((-back, self.first - 1), (forth, self.end)):
            fits = self.ends + shift <= until
            found.append((self.starts[fits] + shift, self.ends[fits] + shift))
        return tuple(found)


@dataclass
class Remote:
    """One remote end, and on which protocols and ports. `stranger`: it is not the model that it speaks with, or it is this host."""

    name: str
    stranger: bool
    ports: list[str] = field(default_factory=list)


class Arrivals:
    """Windows of the requests, of the same requests in the quiet, and the lags of both."""

    def __init__(self, phases: Phases) -> None:
        real = (phases.starts, phases.ends)
        self.requests = Windows(*real)
        sides = phases.imagined()
        self.imagined = tuple(Windows(*side) for side in sides)
        width = max(LEAST_LAG_NS, int(np.median(phases.ends - phases.starts)) // LAGS)
        self.lags = _lags(*real, width)
        self.imagined_lags = tuple(_lags(*side, width) for side in sides)
        anchors = np.linspace(phases.first, phases.last, phases.starts.size + 2)[1:-1].astype(np.int64)
        self.anywhere = Windows(anchors, anchors + width - 1)

    def see(self, times: Ints) -> None:
        """Sorted arrivals."""
        for windows in (self.requests, self.anywhere, *self.imagined, *self.lags, *sum(self.imagined_lags, ())):
            windows.see(times)

    @property
    def share(self) -> float:
        """Of requests between whose beginning and end something came in: no more can have been answered from elsewhere."""
        return self.requests.share

    @property
    def chance(self) -> float:
        """Of the same requests if they had been asked in the quiet; of its two sides the one with less."""
        sides = [side.share for side in self.imagined if side.hit.size >= FEWEST_WINDOWS]
        return min(sides, default=float("nan"))

    @property
    def beat(self) -> float:
        """How much more often something comes at one distance from a request's beginning than at any moment, or in the quiet."""
        often = np.array([windows.share for windows in self.lags])
        usual = np.full(LAGS, self.anywhere.share)
        sides = [
            np.array([windows.share for windows in side])
            for side in self.imagined_lags
            if side[0].hit.size >= FEWEST_WINDOWS
        ]
        if sides:
            usual = np.maximum(usual, np.min(sides, axis=0))
        return float(np.max(often - usual))


def _lags(starts: Ints, ends: Ints, width: int) -> tuple[Windows, ...]:
    """So many pieces of each request; what lies after its end is in none."""
    return tuple(Windows(starts + k * width, np.minimum(starts + (k + 1) * width - 1, ends)) for k in range(LAGS))


class Traffic:
    """Everything that is added up of the rows, in one pass.

    `amounts`: (remote end, QUIET or RUN, way, 3) packets, octets and content; `requests`: with how many something came from each.
    """

    def __init__(self, phases: Phases) -> None:
        self.phases = phases
        self.model, self.others = Arrivals(phases), Arrivals(phases)
        self.remotes: list[Remote] = []
        self.amounts = np.zeros((MOST_REMOTES + 2, 2, len(WAYS), 3), np.int64)
        self.requests = np.zeros(MOST_REMOTES + 2, np.int64)
        self._latest = np.full(MOST_REMOTES + 2, -1, np.int64)
        self._numbers: dict[tuple[bool, str], int] = {}
        self.bad = 0
        size = min(MOST_SLICES, int((phases.end - phases.begin) / (SLICE_S * 1e9)) + 1)
        self.slices = np.zeros((size, len(WAYS), 3), np.int64)

    def add(self, rows: Rows) -> None:
        """One more chunk."""
        phases = self.phases
        amounts = np.stack([rows.packets, rows.octets, rows.content], axis=1)
        came, strange = rows.way == NUMBER[IN], np.isin(rows.way, STRANGE)
        self.model.see(rows.t[came])
        self.others.see(rows.t[strange])
        at = np.maximum(rows.t - phases.begin, 0) // round(SLICE_S * 1e9)
        inside = at < len(self.slices)
        np.add.at(self.slices, (at[inside], rows.way[inside]), amounts[inside])
        running = (rows.t >= phases.first) & (rows.t <= phases.last)
        np.add.at(self.amounts, (rows.remote, running.astype(np.int64), rows.way), amounts)
        asked = np.searchsorted(phases.starts, rows.t, side="right") - 1
        meanwhile = (came | strange) & (asked >= 0) & (rows.t <= phases.ends[np.maximum(asked, 0)])
        pairs = np.unique(np.stack([rows.remote[meanwhile], asked[meanwhile]]), axis=1)
        remotes, first, counts = np.unique(pairs[0], return_index=True, return_counts=True)
        self.requests[remotes] += counts - (pairs[1, first] == self._latest[remotes])
        self._latest[remotes] = pairs[1, first + counts - 1]

    def seen(self, way: str) -> NDArray[np.int64]:
        """[packets, octets, content] of a way."""
        return np.asarray(self.amounts[:, :, NUMBER[way]].sum(axis=(0, 1)), dtype=np.int64)

    def number(self, name: str, stranger: bool) -> int:
        """Of a remote end; further ones than are told apart share one."""
        known = self._numbers.get((stranger, name))
        if known is None and len(self._numbers) >= MOST_REMOTES:
            name = REST
            known = self._numbers.get((stranger, name))
        if known is None:
            known = self._numbers[stranger, name] = len(self.remotes)
            self.remotes.append(Remote(name, stranger))
        return known


def read_uplink(evidence: RunEvidence, phases: Phases) -> Traffic:
    """The rows added up; what is no row is counted."""
    traffic = Traffic(phases)
    if UPLINK in evidence.streams():
        for rows in _chunks(evidence, traffic):
            traffic.add(rows)
    return traffic


def _chunks(evidence: RunEvidence, traffic: Traffic) -> Iterator[Rows]:
    found: list[tuple[int, int, int, int, int, int]] = []
    with io.TextIOWrapper(evidence.open(UPLINK), "ascii", errors="replace") as stream:
        next(stream, None)
        for line in stream:
            row = _row(line, traffic)
            if row is None:
                traffic.bad += 1
                continue
            found.append(row)
            if len(found) >= CHUNK:
                yield _sorted(found)
                found = []
    if found:
        yield _sorted(found)


def _sorted(found: list[tuple[int, int, int, int, int, int]]) -> Rows:
    rows = np.array(found, np.int64)
    return Rows(*rows[np.argsort(rows[:, 0], kind="stable")].T)


def _row(line: str, traffic: Traffic) -> tuple[int, int, int, int, int, int] | None:
    try:
        t, way, protocol, local, remote, port, *numbers = line.rstrip("\n").split(",")
        packets, octets, content = map(int, numbers)
        at, which = int(t), NUMBER[way]
    except (ValueError, KeyError):
        return None
    if not all(0 <= value < LARGEST for value in (at, packets, octets, content)):
        return None
    number = traffic.number(f"{local} → {remote}" if way == OTHER else remote, which in STRANGE)
    ports = traffic.remotes[number].ports
    if len(ports) < MOST_PORTS and (label := f"{protocol}/{port}" if port else protocol) not in ports:
        ports.append(label)
    return at, which, number, packets, octets, content
