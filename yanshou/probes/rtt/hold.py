"""The log of a path of known delay: how it is written, and what may be believed of it.

Pure. It must never know what a probe read: a packet is left out only for what the log itself says. Runs on bare Python 3.8.
"""

from __future__ import annotations

from collections.abc import Iterable

HOLD_COLUMNS = "seq,hold_ns,doubt_ns,direction"
"""One row per packet and direction ("out", "back"): by how much it may have waited unseen before its hold began."""
DOUBT_NS = 50_000
"""A packet of more doubt, both ways together, is not used: this is half of what an error of the probe may be."""


def hold_row(sequence: int, hold_ns: int, doubt_ns: int, direction: str) -> str:
    """One line of the log."""
    return f"{sequence},{hold_ns},{doubt_ns},{direction}\n"


def true_holds(rows: Iterable[str]) -> dict[int, int]:
    """Ns for which each packet was held, both ways together, by sequence number; only what passed once each way, without doubt.

    Raises ValueError for a line that is no row, as the header is.
    """
    holds: dict[int, dict[str, int]] = {}
    doubts: dict[int, int] = {}
    twice = set()
    for row in rows:
        sequence, hold, doubt, direction = row.rstrip("\n").split(",")
        number, seen = int(sequence), holds.setdefault(int(sequence), {})
        if direction in seen:
            twice.add(number)
        seen[direction] = int(hold)
        doubts[number] = doubts.get(number, 0) + int(doubt)
    known = (n for n, seen in holds.items() if len(seen) == 2 and n not in twice and doubts[n] <= DOUBT_NS)
    return {n: sum(holds[n].values()) for n in known}
