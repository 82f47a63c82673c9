"""Measuring a standard of rtt and its kin, the way a calibration does."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, acknowledged_streams
from yanshou.harness.model import Samples
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.rtt.hold import HOLD_COLUMNS, true_holds
from yanshou.probes.rtt.secret import new_key_file
from yanshou.probes.rtt.streams import HOLD, PACKET_COLUMNS, PACKETS

SEED = 5
RTT = Probe("rtt")
Path_ = Callable[[float, Path, RunContext], AbstractContextManager[dict[str, Any]]]


@dataclass(frozen=True)
class Measured:
    """One measurement of a standard."""

    evidence: RunEvidence
    params: Any
    probe: Probe = RTT

    @property
    def samples(self) -> Samples:
        found = self.probe.analyse(self.evidence, self.params, SEED)
        assert isinstance(found, Samples)
        return found

    @property
    def errors(self) -> np.ndarray:
        errors = self.probe.paired_errors(self.evidence, self.params, SEED)
        assert errors is not None
        return errors

    @property
    def range(self) -> tuple[float, float]:
        """p1 and p99 of the paired errors, ms, as the calibration takes them."""
        low, high = np.quantile(self.errors, [0.01, 0.99], method="inverted_cdf")
        return float(low), float(high)

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
        return replace(self, evidence=Memory(streams))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Memory:
    """Evidence that is in no file."""

    content: dict[str, bytes]

    def streams(self) -> tuple[str, ...]:
        return tuple(sorted(self.content))

    def open(self, name: str) -> io.BytesIO:
        return io.BytesIO(self.content[name])


def measure(path: Path_, true_value: float, folder: Path, **traffic: object) -> Measured:
    """What the rtt probe records of one path."""
    folder.mkdir(exist_ok=True)
    new_key_file(folder / "key")
    return _measure(RTT, lambda run: path(true_value, folder / "key", run), folder, traffic)


def measure_standard(name: str, true_value: float, folder: Path, **traffic: object) -> Measured:
    """What a probe records of its own standard."""
    return _measure(Probe(name), lambda run: Probe(name).standard(true_value, run), folder, traffic)


def _measure(
    probe: Probe,
    path: Callable[[RunContext], AbstractContextManager[dict[str, Any]]],
    folder: Path,
    traffic: dict[str, object],
) -> Measured:
    folder.mkdir(exist_ok=True)
    with Ledger(folder) as ledger:
        with RunWriter(ledger, "x", {}) as run:
            context = RunContext(run.sink, SEED, folder)
            with path(context) as values:
                params = probe.params({**values, **traffic})
                probe.capture(params, context)
            run.close(RunStatus.COMPLETED)
        state = acknowledged_streams(ledger.records, 1)
    return Measured(RunEvidence(folder / "runs" / "0001-x", state), params, probe)


def within_tolerance(name: str, true_value: float, folder: Path, **traffic: object) -> Measured:
    """The first of five measurements of a probe's own standard whose errors are within its tolerance.

    Skips the test where each time the sender itself woke later than that, or the standard says that it was interrupted: such a
    host can calibrate nothing.
    """
    found: list[object] = []
    stalled = True
    for attempt in range(5):
        try:
            measured = measure_standard(name, true_value, folder / str(attempt), **traffic)
        except ProbeError as error:
            if "被打断" not in error.problem.text:
                raise
            found.append(error.problem.text)
            continue
        tolerance = measured.probe.spec.tolerance
        found.append(measured.range)
        if max(map(abs, measured.range)) <= tolerance:
            return measured
        stalled &= measured.samples.facts["sender_late_ns"]["p99"] > tolerance * 1e6
    if stalled:
        pytest.skip(f"this host stalls: p1, p99 of the errors of {name}, ms: {found}")
    raise AssertionError(f"p1, p99 of the errors of {name}, ms: {found}")


def told(samples: Samples) -> dict[str, str]:
    """{code: severity} of findings, but for those that a host causes which stalls while it runs tests."""
    found = {finding.code: finding.severity.value for finding in samples.validity}
    return {code: severity for code, severity in found.items() if code[3:] not in ("-V02", "-V03")}


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
