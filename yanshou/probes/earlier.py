"""Earlier runs of the same count, as the ledger tells them. It must never change anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.harness.evidence import LedgerDamage, read_ledger
from yanshou.harness.runs import MEASUREMENT, Run, runs_of

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


def same_count(folder: Path, identity: Identity) -> list[Run]:
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
