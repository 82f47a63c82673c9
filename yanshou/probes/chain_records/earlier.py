"""Earlier runs of the same count, as the ledger tells them: one to go on from, and one whose draw is to be laid out.

A count that waits for the originals of the records it drew is an interrupted run like any other, except that it does not grow
old: whoever goes on with it keeps its height and its draw. It must never change anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json, RunStatus
from yanshou.harness.evidence import LedgerDamage, read_ledger
from yanshou.harness.runs import MEASUREMENT, Run, runs_of
from yanshou.probes.chain_records.streams import BLOCKS, END, PIN

if TYPE_CHECKING:
    from pydantic import BaseModel

    from yanshou.probes.contract import ProbeSpec


@dataclass(frozen=True)
class Identity:
    """What two runs of the same count have in common: instrument, parameters as the plan has them, and seed."""

    probe: str
    version: str
    params: Json
    seed: int

    @classmethod
    def of(cls, spec: ProbeSpec, params: BaseModel, seed: int) -> Identity:
        """That of a run of the probe `spec`."""
        return cls(spec.name, spec.version, params.model_dump(mode="json"), seed)


def _same_count(folder: Path, identity: Identity) -> list[Run]:
    """The ended measurements of the very same count, in order."""
    return [
        r
        for r in _runs(folder)
        if r.status is not None
        and r.purpose == MEASUREMENT
        and Identity(r.meta["probe"], r.meta["version"], r.meta["params"], r.meta["seed"]) == identity
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


def unfinished(folder: Path, identity: Identity, subject: str | None) -> Run | None:
    """Of the interrupted runs since the count was last finished: the last that has drawn, else the one that came furthest."""
    mine = [r for r in _same_count(folder, identity) if r.subject == subject]
    interrupted = takewhile(lambda r: r.status is not RunStatus.COMPLETED, reversed(mine))
    found = [r for r in interrupted if BLOCKS in r.streams and PIN in r.streams]
    drawn = [r for r in found if END in r.streams]
    return drawn[0] if drawn else max(found, key=lambda r: int(r.streams[BLOCKS]["bytes"]), default=None)


def last_drawn(folder: Path, identity: Identity) -> Run | None:
    """The last run that counted to the end, whether its originals are there or not."""
    return next((r for r in reversed(_same_count(folder, identity)) if END in r.streams), None)
