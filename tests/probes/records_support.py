"""Evidence for probe tests: in memory for `analyse`, and through the real ledger for `capture`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, acknowledged_streams, canonical, sha256_bytes
from yanshou.harness.model import Count, Exclusion, Validity
from yanshou.probes.capturing import RunContext


class MemoryEvidence:
    """The reading side of RunEvidence over bytes in memory."""

    def __init__(self, streams: Mapping[str, bytes]) -> None:
        self._streams = dict(streams)

    def streams(self) -> tuple[str, ...]:
        return tuple(sorted(self._streams))

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._streams[name])

    def sha256(self, name: str) -> str:
        return sha256_bytes(self._streams[name])

    def sub(self, prefix: str) -> MemoryEvidence:
        below = f"{prefix}/"
        return MemoryEvidence({n[len(below) :]: data for n, data in self._streams.items() if n.startswith(below)})


def imported(export: bytes, audit: bytes | None = None) -> Any:
    """Evidence of a whole import of `export`."""
    streams = {"export.csv": export, "import.json": canonical({"sha256": sha256_bytes(export)})}
    return MemoryEvidence(streams if audit is None else {**streams, "audit.csv": audit})


def record(folder: Path, capture: Callable[[Any, RunContext], None], params: Any, seed: int = 1) -> RunEvidence:
    """The evidence of one completed run of `capture` in the case `folder`."""
    with Ledger(folder) as ledger:
        with RunWriter(ledger, "probe", {}) as run:
            capture(params, RunContext(run.sink, seed, folder))
            run.close(RunStatus.COMPLETED)
        return RunEvidence(run.folder, acknowledged_streams(ledger.records, run.number))


class MemorySink:
    """The writing side of a run in memory, for what does not need a ledger."""

    def __init__(self) -> None:
        self.streams: dict[str, bytes] = {}

    def stream(self, name: str) -> Any:
        assert name not in self.streams
        self.streams[name] = b""

        class Writer:
            def write(_self, data: bytes) -> None:
                self.streams[name] += data

        return Writer()

    def attach(self, source: Path, name: str) -> str:
        data = source.read_bytes()
        self.stream(name).write(data)
        return sha256_bytes(data)


def recorded(folder: Path, capture: Callable[[Any, RunContext], None], params: Any, seed: int = 1) -> Any:
    """Like `record`, in memory."""
    sink: Any = MemorySink()
    capture(params, RunContext(sink, seed, folder))
    return MemoryEvidence(sink.streams)


def codes(validity: tuple[Validity, ...]) -> dict[str, str]:
    """{code: severity} of validity findings."""
    return {finding.code: finding.severity.value for finding in validity}


def excluded(count: Count) -> dict[str, int]:
    """{code: count} of a count's exclusions, after checking that gross - exclusions = net."""
    rows: tuple[Exclusion, ...] = count.exclusions
    assert count.gross - sum(row.count for row in rows) == count.net
    return {row.code: row.count for row in rows}
