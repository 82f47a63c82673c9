"""Kit folders for tests: recorded by the rooms that a kit has, without starting one, and forged in every way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e.support import latency_case
from yanshou.harness.basics import RunStatus
from yanshou.harness.engine import freeze_case
from yanshou.harness.evidence import GENESIS, Ledger, RunWriter, canonical, link, read_ledger
from yanshou.harness.recording import measurement_meta
from yanshou.harness.runs import KIT_SESSION
from yanshou.kit.build import make_kit
from yanshou.kit.runner import Kit, begin, read_kit

HOST = {"主机": "cpe", "系统": "Linux", KIT_SESSION: "0123456789abcdef"}


def kit_case(folder: Path, port: int = 8620, **params: float) -> tuple[Path, Kit]:
    """A frozen case with two terminals, and its kit beside it."""
    case = latency_case(folder / "case", "127.0.0.1", port, **params)
    path = case / "case.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("kind: lab,", "kind: lab, subjects: [终端1, 终端2],"), encoding="utf-8")
    freeze_case(case)
    return case, read_kit(make_kit(case, "rtt", folder / "kit.pyz").path)


def pretend(kit: Kit, folder: Path, subject: str = "终端1", data: bytes = b"seq\n1\n", *, close: bool = True) -> Path:
    """A kit's folder with one more run, of which only the bytes are real; `close` or it was killed at the end."""
    folder.mkdir(exist_ok=True)
    (job,) = kit.jobs()
    with Ledger(folder) as ledger:
        begin(kit, ledger)
        run = RunWriter(ledger, job.indicator, measurement_meta(job, subject, kit.plan_sha256, HOST))
        run.sink.stream("packets.csv").write(data)
        run.checkpoint()
        run.close(RunStatus.COMPLETED)
    if not close:
        cut(folder, 2)
        with (run.folder / "packets.csv").open("ab") as f:
            f.write(b"not acknowledged")
    return folder


def cut(folder: Path, lines: int) -> None:
    """Take the last lines off a ledger, as a kill before them would have, which leaves half a line."""
    path = folder / "ledger.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)[:-lines]
    path.write_bytes(b"".join(kept) + b'{"h":"12')


def records(folder: Path) -> list[dict]:
    return [r for _, r in read_ledger(folder / "ledger.jsonl")]


def rechain(folder: Path, edit: Callable[[list[dict]], object]) -> None:
    """What somebody writes who knows how the chain is made."""
    found = records(folder)
    edit(found)
    previous, lines = GENESIS, []
    for seq, record in enumerate(found, 1):
        record["seq"] = seq
        previous = link(previous, record)
        lines.append(canonical({"h": previous, "r": record}) + b"\n")
    (folder / "ledger.jsonl").write_bytes(b"".join(lines))


def everything(folder: Path) -> dict[str, bytes]:
    """All files of a case but its lock."""
    paths = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
