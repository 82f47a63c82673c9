"""Runs as the ledger tells them: which were started, how they ended, which bytes of them are acknowledged.

It is for everybody who reads a case (assessment, status, verification). It must never write. Runs on bare Python 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yanshou.harness.basics import Json, Problem, RunStatus
from yanshou.harness.evidence import RunEvidence, acknowledged_streams, digest_file

MEASUREMENT = "measurement"
CALIBRATION = "calibration"
KIT_SESSION = "采集会话"
"""Host fact that only a capture kit writes."""


def machine(host: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Which machine, of which session of a capture kit: only there a calibration tells anything of a measurement.

    Terminals often share their name, so that a kit gives each session a name of its own.
    """
    return host.get("主机"), host.get(KIT_SESSION)


@dataclass(frozen=True)
class Origin:
    """Where a run comes from that was recorded elsewhere: its kit's ledger, by its first link, and its number there.

    `kit_made` and `taken` are the evaluator's times of making the kit and of taking the run in.
    """

    session: str
    number: int
    kit_sha256: str
    kit_made: str
    taken: str


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
    origin: Origin | None = None

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
    sessions: dict[str, Mapping[str, Json]] = {}
    made: dict[str, str] = {}
    found = []
    for record in records:
        if record["kind"] == "kit":
            made[record["kit_sha256"]] = record["utc"]
        elif record["kind"] == "run_opened":
            found.append(_run(record, closed.get(record["number"], {}), records))
        elif record["kind"] == "run_taken":
            kit = sessions.setdefault(record["session"], record["lines"][0]["r"])
            found.append(_taken(record, kit["kit_sha256"], made.get(kit["kit_sha256"], "")))
    return found


def _run(opened: Mapping[str, Json], end: Mapping[str, Json], records: Sequence[Mapping[str, Json]]) -> Run:
    return Run(
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


def _taken(record: Mapping[str, Json], kit_sha256: str, made: str) -> Run:
    """A run that a kit brought, as the kit's own lines tell it; without an end it was cut off."""
    lines = [line["r"] for line in record["lines"]]
    (run,) = runs_of([r for r in lines if r["kind"] in ("run_opened", "checkpoint", "run_closed")])
    if run.status is None:
        run = replace(run, status=RunStatus.TRUNCATED, status_reason="采集被杀或断电，没有收尾", ended=lines[-1]["utc"])
    return replace(
        run,
        number=record["number"],
        folder_name=record["folder"],
        tail=record["unacknowledged"],
        origin=Origin(record["session"], run.number, kit_sha256, made, record["utc"]),
    )


def last_calibration(runs: Sequence[Run], probe: str, version: str, host: Mapping[str, str], before: int) -> Run | None:
    """The last completed calibration of a probe of this version on this machine before run number `before`."""
    for run in reversed(runs):
        mine = (run.meta["probe"], run.meta["version"], machine(run.meta["host"])) == (probe, version, machine(host))
        if run.purpose == CALIBRATION and mine and run.number < before and run.status is RunStatus.COMPLETED:
            return run
    return None


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
