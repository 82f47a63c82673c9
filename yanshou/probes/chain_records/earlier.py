"""Earlier runs of the same count, as the ledger tells them: one to go on from, and one whose draw is to be laid out.

A count that waits for the originals of the records it drew is an interrupted run like any other, except that it does not grow
old: whoever goes on with it keeps its height and its draw. It must never change anything.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import LedgerDamage, read_ledger
from yanshou.harness.runs import MEASUREMENT, Run, runs_of
from yanshou.probes.chain_records.spec import SPEC, Params
from yanshou.probes.chain_records.streams import BLOCKS, END, PIN


def same_count(folder: Path, params: Params, seed: int) -> list[Run]:
    """The ended measurements with the very same parameters and seed, in order."""
    wanted = (SPEC.name, SPEC.version, params.model_dump(mode="json"), seed)
    return [
        r
        for r in _runs(folder)
        if r.status is not None
        and r.purpose == MEASUREMENT
        and (r.meta["probe"], r.meta["version"], r.meta["params"], r.meta["seed"]) == wanted
    ]


def _runs(folder: Path) -> list[Run]:
    """What the ledger tells so far. Its last line may be half written: a run's own checkpoints go on meanwhile."""
    records = []
    try:
        for _, record in read_ledger(folder / "ledger.jsonl"):
            records.append(record)
    except (FileNotFoundError, LedgerDamage):
        pass
    return runs_of(records)


def unfinished(folder: Path, params: Params, seed: int, subject: str | None) -> Run | None:
    """Of the interrupted runs since the count was last finished: the last that has drawn, else the one that came furthest."""
    mine = [r for r in same_count(folder, params, seed) if r.subject == subject]
    interrupted = takewhile(lambda r: r.status is not RunStatus.COMPLETED, reversed(mine))
    found = [r for r in interrupted if BLOCKS in r.streams and PIN in r.streams]
    drawn = [r for r in found if END in r.streams]
    return drawn[0] if drawn else max(found, key=lambda r: int(r.streams[BLOCKS]["bytes"]), default=None)


def last_drawn(folder: Path, params: Params, seed: int) -> Run | None:
    """The last run that counted to the end, whether its originals are there or not."""
    return next((r for r in reversed(same_count(folder, params, seed)) if END in r.streams), None)
