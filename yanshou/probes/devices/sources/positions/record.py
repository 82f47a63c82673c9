"""Takes recorded positions into evidence, byte for byte. It must never leave out or correct a row."""

from __future__ import annotations

import threading

from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.positions.params import Source
from yanshou.probes.devices.sources.positions.read import parts
from yanshou.probes.positions import take_positions


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Reads each table once and copies it. Raises ProbeError POS-E01 (missing, not what it should be), E02 (changed)."""
    taken = take_positions(parts(source), run, unusable="POS-E01", changed="POS-E02")
    run.progress(Progress(len(taken), len(taken)))
