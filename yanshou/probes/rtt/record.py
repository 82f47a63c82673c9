"""What a capture wrote, as arrays: one place for every analysis of a stream of test packets.

Pure. It must never decide anything: what a row says is taken as said, and what it cannot say is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.probes.rtt.streams import CLOCK, CLOCK_COLUMNS, PACKET_COLUMNS, PACKETS

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NONE, UNSENT, OK, LOST, LATE = range(5)
"""Fates: no row, not taken by the system, answered in time, given up, answered after that."""
UNPROVEN, PROVEN, FORGED = range(3)
"""What the key said of a reply: no key in use, right, wrong."""
SLACK_NS = 1_000
"""For rounding: of timestamp formats, and of a logarithm computed on another machine."""
FOLLOW_UP_NS = 1_000_000_000
"""A reply leaves within this after its T3."""

_FATES = {"unsent": UNSENT, "ok": OK, "lost": LOST, "late": LATE}
_AUTH = {"": UNPROVEN, "ok": PROVEN, "bad": FORGED}


@dataclass(frozen=True)
class Record:
    """packets.csv by sequence number: times in ns (0 unknown), fate, and how many rows of each kind.

    `t3_kernel`: the far end's true transmit stamp, told by a later reply. `misplaced`: how many such stamps cannot be true.
    `error`: the far end's error estimate, 16 bits as sent (-1 unknown).
    """

    scheduled: Ints
    t1_user: Ints
    t1_kernel: Ints
    t2: Ints
    t3: Ints
    t3_kernel: Ints
    t4_kernel: Ints
    t4_user: Ints
    fate: NDArray[np.int8]
    auth: NDArray[np.int8]
    error: Ints
    misplaced: int
    rows: Counter[str]

    @property
    def sent(self) -> Bools:
        """The system took it."""
        return np.greater_equal(self.fate, OK)

    @property
    def judged(self) -> Bools:
        """Sent, or without any row though a later packet has one: it had left, and its fate was not written in time."""
        known = np.flatnonzero(self.fate)
        before_last = np.arange(self.fate.size) < (known[-1] if known.size else 0)
        return self.sent | (np.equal(self.fate, NONE) & before_last)

    @property
    def t1(self) -> Ints:
        """Departure, by the kernel where it stamped."""
        return np.where(self.t1_kernel > 0, self.t1_kernel, self.t1_user)

    @property
    def t4(self) -> Ints:
        """Arrival of the reply, by the kernel where it stamped."""
        return np.where(self.t4_kernel > 0, self.t4_kernel, self.t4_user)

    @property
    def left(self) -> Ints:
        """Departure of the reply, as the far end claims: its true transmit stamp where that came, else T3."""
        return np.where(self.t3_kernel > 0, self.t3_kernel, self.t3)

    @property
    def round_trip(self) -> Ints:
        """T4 - T1, gross."""
        return self.t4 - self.t1

    @property
    def residence(self) -> Ints:
        """Time inside the far end, as it claims."""
        return self.left - self.t2

    @property
    def net(self) -> Ints:
        """Round trip without the residence."""
        return self.round_trip - self.residence

    def answered(self, timeout_ns: int) -> Bools:
        """In time by the stamps themselves, whatever the capture called it."""
        return np.equal(self.fate, OK) & (self.round_trip <= timeout_ns)

    def disordered(self, timeout_ns: int) -> Bools:
        """Answered, and yet not 0 < T1 user <= T1 kernel < T4 kernel <= T4 user."""
        early = (self.t1_user <= 0) | (self.t1 < self.t1_user - SLACK_NS)
        return self.answered(timeout_ns) & (early | (self.round_trip <= 0) | (self.t4 > self.t4_user + SLACK_NS))


def read_record(evidence: RunEvidence, warmup: int, total: int) -> Record:
    """The packets of a run that was planned with `total` packets, `warmup` of them not judged."""
    times = np.zeros((7, total), dtype=np.int64)
    claims = np.full((4, total), -1, dtype=np.int64)
    fate, auth = np.zeros(total, dtype=np.int8), np.zeros(total, dtype=np.int8)
    rows: Counter[str] = Counter()
    for cells in csv_rows(evidence, PACKETS, PACKET_COLUMNS):
        rows["all" if cells else "torn"] += 1
        if cells:
            rows[_take(cells, times, claims, fate, auth, warmup)] += 1
            rows["forged"] += len(cells) == len(PACKET_COLUMNS.split(",")) and cells[12] == "bad"
    t3_kernel, misplaced = _follow_ups(times[4], claims[0], claims[2], claims[3])
    return Record(
        scheduled=times[0],
        t1_user=times[1],
        t1_kernel=times[2],
        t2=times[3],
        t3=times[4],
        t3_kernel=t3_kernel,
        t4_kernel=times[5],
        t4_user=times[6],
        fate=fate,
        auth=auth,
        error=claims[1],
        misplaced=misplaced,
        rows=rows,
    )


def read_clock(evidence: RunEvidence) -> Ints:
    """Readings in order, shape (n, 4), as in CLOCK_COLUMNS; unreadable ones are left out, and then they are missed."""
    readings = [[int(x) for x in cells] for cells in csv_rows(evidence, CLOCK, CLOCK_COLUMNS) if _is_reading(cells)]
    return np.array(readings, dtype=np.int64).reshape(-1, 4)


def read_object(evidence: RunEvidence, name: str) -> dict[str, Json]:
    """A JSON stream; {} when it is missing or says something else."""
    if name not in evidence.streams():
        return {}
    with evidence.open(name) as f:
        try:
            value = json.load(f)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def csv_rows(evidence: RunEvidence, name: str, columns: str) -> Iterator[list[str]]:
    """Cells of each complete line after the header; [] for what is missing: the stream `name`, or the end of its last line."""
    if name not in evidence.streams():
        yield []
        return
    with evidence.open(name) as f:
        for number, line in enumerate(f):
            text = line.decode("ascii", "replace")
            if not text.endswith("\n"):
                yield []
            elif number or text[:-1] != columns:
                yield text[:-1].split(",")


def _take(
    cells: list[str], times: Ints, claims: Ints, fate: NDArray[np.int8], auth: NDArray[np.int8], warmup: int
) -> str:
    """Enter one row; its status, or "bad" for a row that no capture writes or that contradicts an earlier one."""
    try:
        seq, phase, *middle, _size, status, _ttl, key, reply_seq, error, follow_seq, follow_ns = cells
        stamps = [int(cell or 0) for cell in middle]
        claimed = [int(cell or -1) for cell in (reply_seq, error, follow_seq, follow_ns)]
        if status == "foreign":
            return status
        at, proof = int(seq), _AUTH[key]
        planned = (
            0 <= at < fate.size and phase == ("warmup" if at < warmup else "measure") and len(stamps) == len(times)
        )
        if not planned or proof == FORGED or (status == "dup" and fate[at] not in (OK, LATE)):
            return "bad"
        if status == "dup":
            return status
        if status == "late" and fate[at] == LOST:
            fate[at] = LATE
            return status
        if fate[at] != NONE:
            return "bad"
        times[:, at], claims[:, at] = stamps, claimed
        auth[at], fate[at] = proof, _FATES[status]
    except (ValueError, KeyError, OverflowError):
        return "bad"
    return status


def _follow_ups(t3: Ints, number: Ints, follow: Ints, stamp: Ints) -> tuple[Ints, int]:
    """(true transmit stamp of each reply, 0 unknown; how many told stamps cannot be true).

    Reply i had the far end's number `number[i]` and told that reply number `follow[i]` truly left at `stamp[i]`. It left after
    its T3, within a second, and before the T3 of the reply that tells. A number that was used twice says nothing.
    """
    found = np.zeros(t3.size, dtype=np.int64)
    numbers, first, uses = np.unique(number, return_index=True, return_counts=True)
    owner = first[(uses == 1) & (numbers >= 0)]
    numbers = number[owner]
    tells = np.flatnonzero((follow >= 0) & (stamp > 0))
    place = np.searchsorted(numbers, follow[tells])
    known = np.flatnonzero(np.append(numbers, -1)[place] == follow[tells])
    tells, about = tells[known], owner[place[known]]
    told = stamp[tells]
    true = (told >= t3[about] - SLACK_NS) & (told <= t3[about] + FOLLOW_UP_NS) & (told <= t3[tells] + SLACK_NS)
    found[about[true]] = told[true]
    contradicted = found[about] != told  # also: two replies that tell different times of a third
    found[about[contradicted]] = 0
    return found, int(contradicted.sum())


def _is_reading(cells: list[str]) -> bool:
    return len(cells) == 4 and all(c.isdigit() and len(c) <= 19 and int(c) < 1 << 63 for c in cells)
