"""A probe's standard recorded as calibration does: captured through the real ledger, read back from what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext


def recorded(
    standard: Callable[..., Any],
    read: Callable[[Any], Any],
    capture: Callable[..., Any],
    true: float,
    folder: Path,
    seed: int,
) -> tuple[RunEvidence, Any, dict[str, Any]]:
    """Evidence, parameters and truth of the standard of value `true`; `read` makes parameters of what it yields."""
    with Ledger(folder) as ledger, RunWriter(ledger, "calibrate", {}) as run:
        context = RunContext(run.sink, seed, folder)
        with standard(true, context) as values:
            params = read(values)
            capture(params, context)
        run.close(RunStatus.COMPLETED)
    evidence = runs_of(ledger.records)[0].evidence(folder)
    return evidence, params, json.loads(evidence.open("truth.json").read())
