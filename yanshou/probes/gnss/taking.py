"""Takes what was recorded before into evidence, byte for byte: files, or the streams of another indicator's run.

It is for freezing them with where they came from. It must never change a byte, and reads a file before the copy only to refuse what
could not be used later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from yanshou.harness.basics import Json, ProbeError, RunStatus
from yanshou.harness.evidence import CHUNK, TornLine, read_ledger
from yanshou.harness.runs import Run, damaged_streams, runs_of
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.gnss.inputs import Challenge, OfRun, Recorded
from yanshou.probes.gnss.marks import MARKS, parse_marks
from yanshou.probes.gnss.streams import (
    CHUNK_COLUMNS,
    CHUNKS,
    CORRECTION_CHUNKS,
    CORRECTIONS,
    END,
    EVENTS,
    RAW,
    SESSION,
    STEPS,
    TRUTH,
    parse_steps,
    part_name,
)
from yanshou.probes.gnss.truth import read_trajectory
from yanshou.probes.importing import checked_file, one_line, stamp

LEDGER = "ledger.jsonl"


def recorded_files(source: Recorded, challenge: Challenge | None) -> dict[str, str]:
    """Stream -> file of what was recorded before."""
    files = {part_name(i): name for i, name in enumerate(source.paths)}
    if source.chunks:
        files[CHUNKS] = source.chunks
    if challenge and challenge.file:
        files[STEPS] = challenge.file
    return files


def checked_files(named: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Where the files for the streams are. Raises ProbeError GNS-E11 (missing, empty, unreadable), E12 (chunks, steps, marks or a
    truth that cannot be used)."""
    paths = {stream: _file(folder, name) for stream, name in named.items()}
    if CHUNKS in paths:
        _check_chunks(paths[CHUNKS], paths[RAW].stat().st_size)
    if STEPS in paths:
        _check_steps(paths[STEPS])
    for stream, path in paths.items():
        if stream == MARKS or stream.startswith(TRUTH):
            _check_declared(stream, path)
    return paths


def take_files(paths: Mapping[str, Path], run: RunContext) -> dict[str, Json]:
    """Copy files into streams; {stream: name, size, SHA-256, time of change}. Raises ProbeError GNS-E13 (changed meanwhile)."""
    before = {name: stamp(path) for name, path in paths.items()}
    files: dict[str, Json] = {}
    for done, (name, path) in enumerate(paths.items(), 1):
        sha256 = run.sink.attach(path, name)
        if stamp(path) != before[name]:
            raise ProbeError("GNS-E13", f"{path.name} 在导入时被改动", "等录制或编辑结束、关掉占用它的程序后重新运行")
        size, mtime_ns, _ = before[name]
        changed = datetime.fromtimestamp(mtime_ns // 10**9, UTC).isoformat()
        files[name] = {"name": path.name, "size": size, "sha256": sha256, "mtime": changed}
        run.progress(Progress(done, len(paths), text=path.name))
    return files


def _file(folder: Path, name: str) -> Path:
    return checked_file(
        folder, name, "文件", missing="GNS-E11", directory="GNS-E11", empty="GNS-E11", unreadable="GNS-E11"
    )


def _check_chunks(path: Path, size: int) -> None:
    """Rows follow each other without holes from the first byte to the last, in time too."""
    with path.open("rb") as f:
        if f.readline().strip().decode("ascii", "replace") != CHUNK_COLUMNS:
            raise _unusable(path, 1, f"列名须是 {CHUNK_COLUMNS}")
        end = last = 0
        for number, line in enumerate(f, 2):
            try:
                offset, length, monotonic_ns, _ = map(int, line.split(b","))
            except ValueError:
                raise _unusable(path, number, "不是四个整数") from None
            if offset != end or length <= 0 or monotonic_ns < last:
                raise _unusable(path, number, "与上一行不相接：字节有缺、有重，或时刻倒退")
            end, last = offset + length, monotonic_ns
    if end != size:
        raise _unusable(path, None, f"共 {end} 字节，而数据文件有 {size} 字节")


def _check_steps(path: Path) -> None:
    if path.stat().st_size > CHUNK:
        raise _unusable(path, None, "太大，不是位移步骤表")
    try:
        steps = parse_steps(path.read_bytes().decode("utf-8-sig"))
    except UnicodeError:
        raise _unusable(path, None, "不是 UTF-8 编码") from None
    except ValueError as error:
        raise _unusable(path, None, str(error)) from None
    if not any(step.utc_ns for step in steps):
        raise _unusable(path, None, "没有一步写了时刻")


def _check_declared(stream: str, path: Path) -> None:
    """Marks and truth are read as the analysis will read them."""
    try:
        with path.open("rb") as f:
            if stream == MARKS:
                parse_marks(f.read().decode("utf-8-sig"))
            else:
                read_trajectory(f, stream.removeprefix(TRUTH))
    except ValueError as error:  # UnicodeError is one
        raise _unusable(path, None, one_line(str(error))) from None


def _unusable(path: Path, line: int | None, why: str) -> ProbeError:
    place = f"{path.name} 第 {line} 行" if line else path.name
    return ProbeError(
        "GNS-E12", f"{place}：{why}", "改正后重新运行；格式见 docs/gnss-input.md、docs/probes/p-060-gnss.md"
    )


def take_run(source: OfRun, run: RunContext) -> dict[str, Json]:
    """Copy the streams of the last completed run of another indicator in; {"origin": which run, digests, its session}.

    Raises ProbeError GNS-E14 where there is none that may be taken.
    """
    runs = _runs(run.folder)
    own, others = runs[-1], runs[:-1]
    if own.indicator == source.indicator:
        raise _no_run("input.indicator 写的就是本指标", "写另一个指标，或改为现场录取")
    found = [r for r in others if r.of(source.indicator, own.subject, own.condition) and RAW in r.streams]
    completed = [r for r in found if r.status is RunStatus.COMPLETED]
    if not completed:
        who = " ".join(x for x in (source.indicator, own.subject, own.condition) if x)
        raise _no_run(f"{who} 没有完成的运行可取", f"先测 {source.indicator}（同一受检对象、同一工况），再测本指标")
    taken = completed[-1]
    if taken.number in _taken_before(own, others, run.folder):
        text = f"{source.indicator} 的运行 {taken.number} 已被本指标取用过，再取一次不是又一次测量"
        raise _no_run(text, f"先 yanshou run 案卷 --again --only {source.indicator}")
    for problem in damaged_streams(taken, run.folder):
        raise _no_run(problem.text, problem.remedy)
    evidence = taken.evidence(run.folder)
    names = [name for name in evidence.streams() if _is_ours(name)]
    for name in names:
        run.sink.attach(evidence.folder / name, name)
    with evidence.open(SESSION) as f:
        session = json.load(f)
    streams = {name: dict(taken.streams[name]) for name in (*names, SESSION)}
    return {
        "origin": {"run": taken.number, "indicator": taken.indicator, "ended": taken.ended, "streams": streams},
        "session": session,
    }


def _is_ours(name: str) -> bool:
    raw = name.startswith("raw") and name.endswith(".bin")
    return raw or name in (CHUNKS, EVENTS, STEPS, CORRECTIONS, CORRECTION_CHUNKS, END)


def _runs(folder: Path) -> list[Run]:
    """The runs of this case; the last is the one under way, which may be writing its checkpoints."""
    records: list[dict[str, Json]] = []
    with suppress(TornLine):
        for _, record in read_ledger(folder / LEDGER):
            records.append(record)
    return runs_of(records)


def _taken_before(own: Run, others: list[Run], folder: Path) -> set[int]:
    """Runs whose streams completed runs of this indicator, subject and condition are copies of."""
    found = set()
    for run in others:
        if run.of(own.indicator or "", own.subject, own.condition) and run.status is RunStatus.COMPLETED:
            with run.evidence(folder).open(SESSION) as f:
                found.add(json.load(f).get("origin", {}).get("run"))
    return found


def _no_run(text: str, remedy: str) -> ProbeError:
    return ProbeError("GNS-E14", text, remedy)
