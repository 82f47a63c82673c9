"""Takes the triggers and actuations of a recorded log into evidence, and the digest of the log.

It is for events that can be paired again without the log, which may have hours of pictures. It must never pair, drop or judge one.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import digest_file
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.importing import checked_file, stamp
from yanshou.probes.model_actuation.logs import events
from yanshou.probes.model_actuation.streams import COLUMNS, EVENTS, FORMAT, SESSION

if TYPE_CHECKING:
    from pathlib import Path

    from yanshou.probes.model_actuation.spec import Params

BATCH = 5000
_NEWS = 50_000


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError ACT-E01 (no log), E02 (not readable), E03 (no such topic, message or signal),
    E04 (changed while it was read), E05 (library missing)."""
    name = params.file_of(run.subject)
    if name is None:
        text = f"受检对象 {run.subject or '（没有写）'} 没有日志"
        raise ProbeError("ACT-E01", text, "在 params.files 逐个写明，或写一个共同的 params.file")
    path = _checked(run.folder, name, "日志")
    dbc = _checked(run.folder, params.dbc, "DBC") if params.dbc else None
    before, sha256 = stamp(path), digest_file(path)
    stream = run.sink.stream(EVENTS)
    stream.write(COLUMNS.encode() + b"\n")
    counts: Counter[str] = Counter()
    lines: list[str] = []
    for kind, at, frame in events(path, dbc, params, counts):
        counts[kind] += 1
        lines.append(f"{kind},{at},{frame}\n")
        if len(lines) == BATCH:
            stream.write("".join(lines).encode())
            lines.clear()
        if counts["messages"] % _NEWS == 0:
            run.progress(Progress(counts["messages"], 0, text="条消息"))
    stream.write("".join(lines).encode())
    if stamp(path) != before:
        raise ProbeError("ACT-E04", f"日志 {name} 在读取时变了", "停止记录后再测")
    session: dict[str, Json] = {
        "format": FORMAT, "file": path.name, "sha256": sha256, "bytes": before[0], "counts": dict(counts),
        "dbc_sha256": digest_file(dbc) if dbc else None, "subject": run.subject,
    }  # fmt: skip
    run.sink.stream(SESSION).write(json.dumps(session, ensure_ascii=False, sort_keys=True).encode() + b"\n")


def _checked(folder: Path, name: str, what: str) -> Path:
    return checked_file(
        folder, name, what, missing="ACT-E01", directory="ACT-E01", empty="ACT-E01", unreadable="ACT-E01"
    )
