"""Runs as the ledger tells them: which were started, how they ended, which bytes of them are acknowledged.

It is for everybody who reads a case (assessment, status, verification). It must never write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import Json, Problem, RunStatus
from yanshou.harness.evidence import RunEvidence, acknowledged_streams, digest_file

MEASUREMENT = "measurement"
CALIBRATION = "calibration"


@dataclass(frozen=True)
class Run:
    """One started run. `status` is None while it is open; `tail` lists bytes that no checkpoint acknowledged."""

    number: int
    folder_name: str
    meta: Mapping[str, Json]
    run_json_sha256: str
    status: RunStatus | None
    status_reason: str
    started: str
    ended: str
    streams: Mapping[str, Mapping[str, Json]]
    tail: Mapping[str, Mapping[str, Json]]

    @property
    def purpose(self) -> str:
        """MEASUREMENT or CALIBRATION."""
        return str(self.meta["purpose"])

    @property
    def indicator(self) -> str | None:
        """The indicator it measured; None for a calibration."""
        return self.meta.get("indicator")

    @property
    def subject(self) -> str | None:
        """The subject it measured, where a case has several."""
        return self.meta.get("subject")

    @property
    def condition(self) -> str | None:
        """The condition it was made under, where an indicator has several."""
        return self.meta.get("condition")

    def of(self, indicator: str, subject: str | None, condition: str | None) -> bool:
        """Whether it is a measurement of exactly this."""
        mine = (self.indicator, self.subject, self.condition) == (indicator, subject, condition)
        return mine and self.purpose == MEASUREMENT

    @property
    def size(self) -> int:
        """Acknowledged bytes."""
        return sum(int(s["bytes"]) for s in self.streams.values())

    def evidence(self, case_folder: Path) -> RunEvidence:
        """Its acknowledged streams."""
        return RunEvidence(case_folder / "runs" / self.folder_name, self.streams)


def runs_of(records: Sequence[Mapping[str, Json]]) -> list[Run]:
    """Every run of a ledger, in the order of their numbers."""
    closed = {r["number"]: r for r in records if r["kind"] == "run_closed"}
    found = []
    for opened in (r for r in records if r["kind"] == "run_opened"):
        end = closed.get(opened["number"], {})
        found.append(
            Run(
                number=opened["number"],
                folder_name=opened["folder"],
                meta=opened["meta"],
                run_json_sha256=opened["run_json_sha256"],
                status=RunStatus(end["status"]) if end else None,
                status_reason=end.get("reason", ""),
                started=opened["utc"],
                ended=end.get("utc", ""),
                streams=acknowledged_streams(records, opened["number"]),
                tail=end.get("unacknowledged", {}),
            )
        )
    return found


def damaged_streams(run: Run, case_folder: Path) -> Iterator[Problem]:
    """Every difference between a run's folder and what the ledger acknowledged. Streams the files."""
    folder = case_folder / "runs" / run.folder_name
    expected = {name: (int(s["bytes"]), str(s["sha256"])) for name, s in run.streams.items()}
    for name, (size, sha256) in sorted(expected.items()):
        path = folder / name
        if not path.is_file():
            yield Problem("V-E01", f"运行 {run.number} 的证据 {name} 不见了", "从原始介质恢复", path)
        elif path.stat().st_size < size or digest_file(path, size) != sha256:
            yield Problem("V-E02", f"运行 {run.number} 的证据 {name} 与台账摘要不符", "从原始介质恢复", path)
        elif path.stat().st_size > size and name not in run.tail:
            yield Problem("V-E03", f"运行 {run.number} 的证据 {name} 比台账多出字节", "从原始介质恢复", path)
    for name, tail in sorted(run.tail.items()):
        path = folder / name
        if not path.is_file() or digest_file(path) != tail["sha256"]:
            yield Problem("V-E02", f"运行 {run.number} 未确认部分 {name} 与台账摘要不符", "从原始介质恢复", path)
    described = folder / "run.json"
    if folder.exists() and run.status is not None:
        known = set(expected) | set(run.tail) | {"run.json"}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            if name not in known:
                yield Problem("V-E04", f"运行 {run.number} 多出台账没有记的文件 {name}", "查明来源", path)
    if described.is_file():
        if digest_file(described) != run.run_json_sha256:
            yield Problem("V-E02", f"运行 {run.number} 的 run.json 与台账摘要不符", "从原始介质恢复", described)
    elif expected:
        yield Problem("V-E01", f"运行 {run.number} 的 run.json 不见了", "从原始介质恢复", described)
