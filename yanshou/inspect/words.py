"""Words and marks for people: never a colour alone."""

from __future__ import annotations

from collections.abc import Mapping

from yanshou.probes.inspection.journal import Standing

MARKS = {
    Standing.OPEN: "○",
    Standing.WAITING: "◐",
    Standing.DISPUTED: "▲",
    Standing.EXPERT: "◇",
    Standing.DONE: "●",
}


def said_of(tally: Mapping[Standing, int]) -> str:
    """`12/35 已完成，3 项待复核`: how far an inspection has come."""
    total = sum(tally.values())
    parts = [f"{tally.get(Standing.DONE, 0)}/{total} 已完成"]
    for standing in (Standing.WAITING, Standing.DISPUTED, Standing.EXPERT, Standing.OPEN):
        if tally.get(standing):
            parts.append(f"{tally[standing]} 项{standing}")
    return "，".join(parts)
