"""Takes register, baseline and audit into evidence and lets all sources record at the same time, for one window.

It is for freezing what was handed over and what was seen. It must never count: that a file can be read and a source be
reached is all that it checks, before the window begins. Stream `session.json`, written last, says that the run is whole.
"""

from __future__ import annotations

import importlib
import json
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import digest_file
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.register import (
    AUDIT,
    SERIAL,
    SESSION,
    UNPLUG,
    UNPLUGGED,
    access_of,
    baseline_stream,
    read_audit,
    register_stream,
)
from yanshou.probes.devices.spec import Handed, Params, Source
from yanshou.probes.devices.tables import TableFile, UnreadableTable, open_table
from yanshou.probes.importing import check_columns, checked_file, one_line, stamp
from yanshou.probes.load.capture import generating
from yanshou.probes.sampling import RESULT, RESULTS

CONNECT_S = 30.0
"""How long the slowest source may take to connect."""
TICK_S = 0.2
END_S = 15.0
"""How long a source may take to write down what it has after it was told to stop."""


def capture(params: Params, run: RunContext) -> None:
    """Files first, then the window. Raises ProbeError DEV-E01 (file missing or empty), E02 (not the table it should be), E03
    (column), E04 (audit word), E05 (changed while copied), E06 (access word), E07 (source silent), E08 (another file than the one
    whose digest is in the plan), or what a source or the load raises.
    """
    files = _check_files(params, run.folder)
    digests: dict[str, Json] = {}
    for name, path in files.items():
        before = stamp(path)
        digests[name] = run.sink.attach(path, name)
        if stamp(path) != before:
            raise ProbeError("DEV-E05", f"{path.name} 在导入时被改动", "等编辑结束、关掉占用它的程序后重新运行")
    with generating(params.load, run) if params.load else nullcontext():
        start_ns, end_ns, done = _observe(params, run)
    session = {"start_ns": start_ns, "end_ns": end_ns, "done": done, "files": digests}
    run.sink.stream(SESSION).write(json.dumps(session, sort_keys=True).encode() + b"\n")


# --- files -------------------------------------------------------------------------------------------------------------


def _check_files(params: Params, folder: Path) -> dict[str, Path]:
    """Stream name -> file to copy, once each has been read to its end."""
    register = params.register_
    path = _handed(folder, register, "设备清册")
    files = {register_stream(params): path}
    words = _read_through(path, register, register.columns(), register.access.column if register.access else None)
    if register.access and (unknown := sorted(w for w in words if access_of(w, register.access) is None)):
        text = f"{path.name} 的接入方式“{unknown[0]}”不认识" + (f"，共 {len(unknown)} 种" if len(unknown) > 1 else "")
        raise ProbeError(
            "DEV-E06", one_line(text), "在 register.access 的 direct、gateway 或 wired 里写上它，或改正清册"
        )
    if params.baseline:
        path = files[baseline_stream(params.baseline)] = _handed(folder, params.baseline, "基线清单")
        _read_through(path, params.baseline, (params.baseline.id,), None)
    if params.audit:
        path = files[AUDIT] = _file(folder, params.audit.file, "现场核验结果")
        _check_audit(path, params)
    return files


def _file(folder: Path, name: str, what: str) -> Path:
    return checked_file(
        folder, name, what, missing="DEV-E01", directory="DEV-E01", empty="DEV-E01", unreadable="DEV-E01"
    )


def _handed(folder: Path, table: Handed, what: str) -> Path:
    path = _file(folder, table.file, what)
    if table.sha256 and digest_file(path) != table.sha256:
        text = f"{path.name} 不是计划里的那一份（SHA-256 不符）"
        raise ProbeError("DEV-E08", text, "要回冻结之前交过摘要的那一份；要换文件须先修订计划")
    return path


def _read_through(path: Path, table: TableFile, wanted: tuple[str, ...], column: str | None) -> set[str]:
    """The different words in `column`, after the whole table has been decoded and found to hold the columns `wanted`."""
    words: set[str] = set()
    try:
        with open_table(path.open("rb"), table, errors="strict") as (columns, rows):
            check_columns(path, columns, wanted, missing="DEV-E03", twice="DEV-E03")
            at = columns.index(column) if column else None
            for row in rows:
                if at is not None and len(row) > at:
                    words.add(row[at])
    except UnreadableTable as error:
        raise ProbeError("DEV-E02", f"{path.name} {error}", "用表格软件打开，另存为 xlsx 或 CSV（UTF-8）") from None
    except UnicodeError:
        raise ProbeError(
            "DEV-E02", f"{path.name} 不是 {table.encoding} 编码", "改 encoding，如 gb18030；或另存为 UTF-8"
        ) from None
    return words


def _check_audit(path: Path, params: Params) -> None:
    columns, visits = read_audit(path.open("rb"), params)
    check_columns(path, columns, (params.register_.id, RESULT, SERIAL, UNPLUG), missing="DEV-E03", twice="DEV-E03")
    for number, visit in enumerate(visits, 1):
        for column, said, words in ((RESULT, visit.result, RESULTS), (UNPLUG, visit.unplug, UNPLUGGED)):
            if said and said not in words:
                text = f"{path.name} 第 {number} 条的 {column}“{said}”不认识"
                raise ProbeError("DEV-E04", one_line(text), f"只用：{'、'.join(words)}；没有做的留空")


# --- the window --------------------------------------------------------------------------------------------------------


@dataclass
class _Recording:
    """One source at work in a thread of its own."""

    source: Source
    run: RunContext
    stop: threading.Event = field(default_factory=threading.Event)
    ready: threading.Event = field(default_factory=threading.Event)
    seen: int = 0
    failure: BaseException | None = None

    def start(self) -> None:
        """Begin to record into the source's own part of the run."""
        context = replace(self.run, sink=self.run.sink.sub(self.source.name), progress=self._news)
        self.thread = threading.Thread(target=self._record, args=(context,), name=self.source.name, daemon=True)
        self.thread.start()

    def _news(self, news: Progress) -> None:
        self.seen = news.done
        self.ready.set()

    def _record(self, context: RunContext) -> None:
        module = importlib.import_module(f"yanshou.probes.devices.sources.{self.source.kind}.record")
        try:
            module.record(self.source, context, self.stop)
        except BaseException as error:  # handed to the thread that waits, which raises it
            self.failure = error
        finally:
            self.ready.set()


def _raise_failures(recordings: list[_Recording]) -> None:
    for recording in recordings:
        if recording.failure is not None:
            raise recording.failure


def _observe(params: Params, run: RunContext) -> tuple[int, int, bool]:
    """Start and end of the window in UTC ns, and whether it is whole.

    It begins when every source is connected, and ends early only when every source has come to its own end (files).
    """
    recordings = [_Recording(source, run) for source in params.sources]
    try:
        for recording in recordings:
            recording.start()
        deadline = time.monotonic() + CONNECT_S
        for recording in recordings:
            while not recording.ready.wait(TICK_S) and time.monotonic() < deadline:
                _raise_failures(recordings)
            if not recording.ready.is_set():
                text = f"来源 {recording.source.name} 在 {CONNECT_S:g} 秒内没有连上"
                raise ProbeError("DEV-E07", text, "检查地址、网络与权限后重新运行")
        _raise_failures(recordings)
        start_ns, begin = time.time_ns(), time.monotonic()
        while (elapsed := time.monotonic() - begin) < params.window_s and any(r.thread.is_alive() for r in recordings):
            seen = "，".join(f"{r.source.name} 见到 {r.seen}" for r in recordings)
            run.progress(Progress(int(elapsed), round(params.window_s), text=seen))
            time.sleep(min(TICK_S if params.window_s < 60 else 1.0, params.window_s - elapsed))
            _raise_failures(recordings)
        end_ns = time.time_ns()
        done = elapsed >= params.window_s or not any(r.thread.is_alive() for r in recordings)
    finally:
        for recording in recordings:
            recording.stop.set()
        for recording in recordings:
            recording.thread.join(END_S)
    _raise_failures(recordings)
    if late := [r.source.name for r in recordings if r.thread.is_alive()]:
        raise ProbeError("DEV-E07", f"来源 {late[0]} 在窗口结束后 {END_S:g} 秒内没有收尾", "检查它的网络后重新运行")
    return start_ns, end_ns, done
