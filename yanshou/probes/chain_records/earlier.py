"""Earlier runs of the same count, as the ledger tells them: one to go on from, and one whose draw is to be laid out.

A count that waits for the originals of the records it drew is an interrupted run like any other, except that it does not grow
old: whoever goes on with it keeps its height and its draw. It must never change anything.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from yanshou.harness.basics import RunStatus
from yanshou.harness.runs import Run
from yanshou.probes.chain_records.streams import BLOCKS, END, PIN
from yanshou.probes.earlier import Identity, same_count


def unfinished(folder: Path, identity: Identity, subject: str | None) -> Run | None:
    """Of the interrupted runs since the count was last finished: the last that has drawn, else the one that came furthest."""
    mine = [r for r in same_count(folder, identity) if r.subject == subject]
    interrupted = takewhile(lambda r: r.status is not RunStatus.COMPLETED, reversed(mine))
    found = [r for r in interrupted if BLOCKS in r.streams and PIN in r.streams]
    drawn = [r for r in found if END in r.streams]
    return drawn[0] if drawn else max(found, key=lambda r: int(r.streams[BLOCKS]["bytes"]), default=None)


def last_drawn(folder: Path, identity: Identity) -> Run | None:
    """The last run that counted to the end, whether its originals are there or not."""
    return next((r for r in reversed(same_count(folder, identity)) if END in r.streams), None)
