"""Takes the register, and every block up to one pinned height, into evidence. It must never count, judge or leave out anything."""

from __future__ import annotations

from pathlib import Path

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.chain_records.capture import take_blocks
from yanshou.probes.chain_subjects.spec import SPEC, Params, Register
from yanshou.probes.chain_subjects.streams import REGISTER
from yanshou.probes.earlier import Identity
from yanshou.probes.importing import check_columns, checked_file
from yanshou.probes.reading import read_table


def capture(params: Params, run: RunContext) -> None:
    """Streams `register.csv`, then those of `chain.records`.

    Raises ProbeError CHS-E01 (missing), E02 (a folder), E03 (empty), E04 (not readable), E05 (encoding), E06 (column missing),
    E07 (column twice), and as `chain.records` does.
    """
    path = checked_file(
        run.folder,
        params.subjects.file,
        "服务主体清册",
        missing="CHS-E01",
        directory="CHS-E02",
        empty="CHS-E03",
        unreadable="CHS-E04",
    )
    _check(path, params.subjects)
    run.sink.attach(path, REGISTER)
    take_blocks(params.records, run, Identity.of(SPEC, params, run.seed))


def _check(path: Path, register: Register) -> None:
    """That the whole file can be decoded and has every declared column."""
    try:
        with read_table(path.open("rb"), register.encoding, ",", errors="strict") as (columns, rows):
            check_columns(path, columns, register.columns(), missing="CHS-E06", twice="CHS-E07")
            for _ in rows:
                pass
    except UnicodeError:
        text = f"{path.name} 不是 {register.encoding} 编码"
        raise ProbeError("CHS-E05", text, "改 encoding（常见 utf-8、gb18030），或重新导出为 UTF-8") from None
