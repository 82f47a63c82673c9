"""The log of a path of known delay: how it is written, and what may be believed of it.

Pure. It must never know what a probe read: a packet is left out only for what the log itself says. Runs on bare Python 3.8.
"""

from __future__ import annotations

from collections.abc import Iterable

HOLD_COLUMNS = "seq,hold_ns,doubt_ns,direction"
"""One row per packet and direction ("out", "back"): by how much it may have waited unseen before its hold began."""
DOUBT_NS = 25_000
"""A passage of more doubt is not used: both ways together this is half of what an error of the probe may be."""


def hold_row(sequence: int, hold_ns: int, doubt_ns: int, direction: str) -> str:
    """One line of the log."""
    return f"{sequence},{hold_ns},{doubt_ns},{direction}\n"


def true_holds(rows: Iterable[str]) -> dict[int, int]:
    """Ns for which each packet was held, both ways together, by sequence number; only what passed once each way, without doubt.

    Raises ValueError for a line that is no row, as the header is.
    """
    holds: dict[int, dict[str, int]] = {}
    doubtful = set()
    for row in rows:
        sequence, hold, doubt, direction = row.rstrip("\n").split(",")
        seen = holds.setdefault(int(sequence), {})
        if int(doubt) > DOUBT_NS or direction in seen:
            doubtful.add(int(sequence))
        seen[direction] = int(hold)
    return {n: sum(seen.values()) for n, seen in holds.items() if n not in doubtful and len(seen) == 2}
