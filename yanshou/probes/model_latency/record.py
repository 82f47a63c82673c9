"""What a capture of `model.latency` recorded, as arrays, in the order in which the requests were planned.

It must never lose a request that was planned: one without a row has no time of its own and is an exceedance.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.probes.model_latency.streams import ABLATION, COLUMNS, GAPS, HOST, REQUESTS, SENSORS

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

_CELSIUS = re.compile(r"([\w./-]{1,40})@(-?\d{1,3}(?:\.\d{1,3})?)C\b", re.ASCII)
_MILLIWATT = re.compile(r"([\w./-]{1,40}) (\d{1,7})mW", re.ASCII)
"""As tegrastats writes them: `CPU@45.5C`, `VDD_IN 4500mW`."""
Ints = NDArray[np.int64]
NAMES = COLUMNS.split(",")
TEXTS = ("status", "input", "answer")
NUMBERS = tuple(name for name in NAMES if name not in TEXTS)
UNKNOWN = -1
LARGEST = 2**53
"""ns, a hundred days: no larger number can go into a record."""


@dataclass(frozen=True)
class Record:
    """One entry for each planned request, shape (n,). Numbers are int64, UNKNOWN where the cell is empty or there is no row."""

    numbers: dict[str, Ints]
    status: NDArray[np.str_]
    input: NDArray[np.str_]
    answer: NDArray[np.str_]
    rows: int
    bad: int
    """Lines that are no rows, or rows of a request that has one already."""

    def __getitem__(self, name: str) -> Ints:
        return self.numbers[name]


def read_record(evidence: RunEvidence, total: int) -> Record:
    """Rows of `requests.csv` by their number; a damaged or missing stream gives what can be read of it."""
    numbers = {name: np.full(total, UNKNOWN, np.int64) for name in NUMBERS}
    texts = {name: np.full(total, "", "U16") for name in TEXTS}
    seen = np.zeros(total, bool)
    rows = bad = 0
    if REQUESTS in evidence.streams():
        with io.TextIOWrapper(evidence.open(REQUESTS), "utf-8", errors="replace", newline="") as stream:
            lines = csv.reader(stream)
            next(lines, None)
            for line in lines:
                rows += 1
                try:
                    cells = dict(zip(NAMES, line, strict=True))
                    values = {name: int(cells[name]) if cells[name] else UNKNOWN for name in NUMBERS}
                    at = values["seq"]
                    if not 0 <= at < total or seen[at] or not all(-LARGEST < v < LARGEST for v in values.values()):
                        raise ValueError
                except ValueError:
                    bad += 1
                    continue
                seen[at] = True
                for name, value in values.items():
                    numbers[name][at] = value
                for name in TEXTS:
                    texts[name][at] = cells[name][:16]
    return Record(numbers, texts["status"], texts["input"], texts["answer"], rows, bad)


def read_gaps(evidence: RunEvidence) -> dict[int, Ints]:
    """Times between pieces with content, by request."""
    found: dict[int, Ints] = {}
    if GAPS in evidence.streams():
        with io.TextIOWrapper(evidence.open(GAPS), "utf-8", errors="replace") as stream:
            next(stream, None)
            for line in stream:
                number, _, gaps = line.partition(",")
                try:
                    found[int(number)] = np.array(gaps.split(), dtype=np.int64)
                except (ValueError, OverflowError):
                    continue
    return found


def read_ablation(evidence: RunEvidence) -> dict[tuple[int, str], tuple[str, str, str]]:
    """(request, variant) -> status, digest of the input, digest of the answer; without what cannot be read."""
    found: dict[tuple[int, str], tuple[str, str, str]] = {}
    if ABLATION in evidence.streams():
        with io.TextIOWrapper(evidence.open(ABLATION), "utf-8", errors="replace") as stream:
            next(stream, None)
            for line in stream:
                cells = line.rstrip("\n").split(",")
                if len(cells) == 5 and cells[0].isdecimal():
                    found.setdefault((int(cells[0]), cells[1]), (cells[2], cells[3], cells[4]))
    return found


def _told(evidence: RunEvidence) -> Iterator[tuple[int, str, int]]:
    """(time, channel, value) of every temperature and power in the lines of a command."""
    if SENSORS not in evidence.streams():
        return
    with io.TextIOWrapper(evidence.open(SENSORS), "utf-8", errors="replace") as stream:
        for line in stream:
            at, _, text = line.partition(" ")
            if at.isdecimal() and int(at) < LARGEST:
                yield from (
                    (int(at), f"temperature:{name}", round(float(c) * 1000)) for name, c in _CELSIUS.findall(text)
                )
                yield from ((int(at), f"power:{name}", int(mw)) for name, mw in _MILLIWATT.findall(text))


def read_host(evidence: RunEvidence) -> dict[str, tuple[Ints, Ints]]:
    """Channel -> (times, values): what the system tells, and what a command told (temperatures in mC, power in mW)."""
    found: dict[str, tuple[list[int], list[int]]] = {}
    for at, channel, value in _told(evidence):
        times, values = found.setdefault(channel, ([], []))
        times.append(at)
        values.append(value)
    if HOST in evidence.streams():
        with io.TextIOWrapper(evidence.open(HOST), "utf-8", errors="replace") as stream:
            next(stream, None)
            for line in stream:
                cells = line.rstrip("\n").split(",")
                try:
                    at, value = int(cells[0]), int(cells[2])
                except (ValueError, IndexError):
                    continue
                if not (0 <= at < LARGEST and -LARGEST < value < LARGEST):
                    continue
                times, values = found.setdefault(cells[1], ([], []))
                times.append(at)
                values.append(value)
    return {name: (np.array(t, np.int64), np.array(v, np.int64)) for name, (t, v) in found.items()}
