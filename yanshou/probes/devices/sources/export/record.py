"""Takes a list of terminals that somebody exported into evidence, byte for byte. It must never leave out or correct a row."""

from __future__ import annotations

import threading

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.export.params import Source
from yanshou.probes.devices.sources.export.read import columns, stream_name
from yanshou.probes.devices.tables import UnreadableTable, open_table
from yanshou.probes.importing import check_columns, checked_file, stamp


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Reads it once and copies it. Raises ProbeError EXP-E01 (missing, empty), E02 (not the table it should be), E03 (column),
    E04 (changed while copied).
    """
    path = checked_file(
        run.folder,
        source.file,
        "导出清单",
        missing="EXP-E01",
        directory="EXP-E01",
        empty="EXP-E01",
        unreadable="EXP-E01",
    )
    before, number = stamp(path), 0
    try:
        with open_table(path.open("rb"), source, errors="strict") as (names, rows):
            check_columns(path, names, columns(source), missing="EXP-E03", twice="EXP-E03")
            for _ in rows:
                number += 1
    except UnreadableTable as error:
        raise ProbeError("EXP-E02", f"{path.name} {error}", "用表格软件打开，另存为 xlsx 或 CSV（UTF-8）") from None
    except UnicodeError:
        raise ProbeError(
            "EXP-E02", f"{path.name} 不是 {source.encoding} 编码", "改 encoding，如 gb18030；或重新导出"
        ) from None
    run.sink.attach(path, stream_name(source))
    if stamp(path) != before:
        raise ProbeError("EXP-E04", f"{path.name} 在导入时被改动", "等导出结束、关掉占用它的程序后重新运行")
    run.progress(Progress(number, number))
