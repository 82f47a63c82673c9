"""Takes recorded positions into evidence, byte for byte. It must never leave out or correct a row."""

from __future__ import annotations

import threading

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.positions.params import Source
from yanshou.probes.devices.sources.positions.read import tables
from yanshou.probes.importing import stamp
from yanshou.probes.positions import check_table, table_file


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Reads each table once and copies it. Raises ProbeError POS-E01 (missing, not the table it should be), E02 (changed)."""
    paths = {name: table_file(run.folder, table, "POS-E01") for name, table in tables(source).items()}
    before = {name: stamp(path) for name, path in paths.items()}
    for name, table in tables(source).items():
        check_table(paths[name], table, "POS-E01")
    for name, path in paths.items():
        run.sink.attach(path, name)
        if stamp(path) != before[name]:
            raise ProbeError("POS-E02", f"{path.name} 在导入时被改动", "等导出结束、关掉占用它的程序后重新运行")
    run.progress(Progress(len(paths), len(paths)))
