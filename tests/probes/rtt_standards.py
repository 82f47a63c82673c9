"""Measuring one of the rtt probe's standards, the way a calibration does."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, acknowledged_streams
from yanshou.harness.model import Samples
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt import capture
from yanshou.probes.rtt.analyse import analyse, paired_errors
from yanshou.probes.rtt.hold import HOLD_COLUMNS, true_holds
from yanshou.probes.rtt.secret import new_key_file
from yanshou.probes.rtt.spec import Params
from yanshou.probes.rtt.streams import HOLD, PACKET_COLUMNS, PACKETS

SEED = 5
Path_ = Callable[[float, Path, RunContext], AbstractContextManager[dict[str, Any]]]


@dataclass(frozen=True)
class Measured:
    """One measurement of a standard."""

    evidence: RunEvidence
    params: Params

    @property
    def samples(self) -> Samples:
        return analyse(self.evidence, self.params, SEED)

    @property
    def errors(self) -> np.ndarray:
        return paired_errors(self.evidence, self.params, SEED)

    @property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """(indicated, true) of each measured packet whose hold is known without doubt, ns, lost ones too."""
        values = self.samples.values
        assert values.size == self.params.count, "one of the packets was not sent"
        log = self.evidence.open(HOLD).read().decode().splitlines()
        assert log[0] == HOLD_COLUMNS
        holds = {n - self.params.warmup: ns for n, ns in true_holds(log[1:]).items() if n >= self.params.warmup}
        order = sorted(holds)
        return values[order], np.array([holds[n] for n in order], dtype=float)

    def without_kernel_stamps(self) -> Measured:
        """The same packets as a probe would have recorded them that stamps in user space."""
        columns = PACKET_COLUMNS.split(",")
        rows = [line.split(",") for line in self.evidence.open(PACKETS).read().decode().splitlines()]
        for row in rows[1:]:
            row[columns.index("t1_kernel_ns")] = row[columns.index("t4_kernel_ns")] = ""
        streams = {name: self.evidence.open(name).read() for name in self.evidence.streams()}
        streams[PACKETS] = "".join(",".join(row) + "\n" for row in rows).encode()
        return Measured(Memory(streams), self.params)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Memory:
    """Evidence that is in no file."""

    content: dict[str, bytes]

    def streams(self) -> tuple[str, ...]:
        return tuple(sorted(self.content))

    def open(self, name: str) -> io.BytesIO:
        return io.BytesIO(self.content[name])


def measure(path: Path_, true_value: float, folder: Path, **traffic: object) -> Measured:
    """What the probe records of one standard."""
    folder.mkdir(exist_ok=True)
    new_key_file(folder / "key")
    with Ledger(folder) as ledger:
        with RunWriter(ledger, "x", {}) as run:
            context = RunContext(run.sink, SEED, folder)
            with path(true_value, folder / "key", context) as values:
                params = Params.model_validate({**values, **traffic})
                capture.capture(params, context)
            run.close(RunStatus.COMPLETED)
        state = acknowledged_streams(ledger.records, 1)
    return Measured(RunEvidence(folder / "runs" / "0001-x", state), params)


@contextmanager
def noise(processes: int = 3) -> Iterator[None]:
    """A busy host."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
