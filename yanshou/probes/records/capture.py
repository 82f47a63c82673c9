"""Takes a database export, and the results of its audit, into evidence byte for byte.

It is for freezing what was handed over, with where it came from. It must never count, correct or leave out anything; it
reads the file once before the copy only to refuse what could not be counted later.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import CHUNK, canonical
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.importing import check_columns, checked_file, one_line, stamp
from yanshou.probes.reading import read_table
from yanshou.probes.records.analyse import AUDIT, EXPORT, IMPORT, read_audit
from yanshou.probes.records.spec import Params
from yanshou.probes.sampling import RESULT, RESULTS


def capture(params: Params, run: RunContext) -> None:
    """Streams `export.csv`, `audit.csv` when an audit is declared, and `import.json` last, which says the import is whole.

    Raises ProbeError REC-E01 (missing), E02 (a folder), E03 (empty), E04 (not readable), E05 (encoding), E06 (column
    missing), E07 (column twice), E08 (changed while copied), E09 (audit results not readable).
    """
    sources = {EXPORT: _checked_file(run.folder, params.file, "导出文件")}
    if params.audit is not None:
        sources[AUDIT] = _checked_file(run.folder, params.audit.file, "核验结果")
    before = {name: stamp(path) for name, path in sources.items()}
    rows = _check_export(sources[EXPORT], params)
    if AUDIT in sources:
        _check_audit(sources[AUDIT], params)
    record: dict[str, Json] = {}
    for name, path in sources.items():
        sha256 = run.sink.attach(path, name)
        if stamp(path) != before[name]:
            raise ProbeError("REC-E08", f"{path.name} 在导入时被改动", "等导出或编辑结束、关掉占用它的程序后重新运行")
        size, mtime, _ = before[name]
        changed = datetime.fromtimestamp(mtime // 10**9, UTC).isoformat()
        record[name] = {"name": path.name, "size": size, "sha256": sha256, "mtime": changed}
    run.sink.stream(IMPORT).write(canonical({**record[EXPORT], "rows": rows, "audit": record.get(AUDIT)}) + b"\n")
    run.progress(Progress(rows, rows))


def _checked_file(folder: Path, name: str, what: str) -> Path:
    return checked_file(
        folder, name, what, missing="REC-E01", directory="REC-E02", empty="REC-E03", unreadable="REC-E04"
    )


def _check_export(path: Path, params: Params) -> int:
    """Number of rows, once the whole file has been decoded and its header found to hold every declared column."""
    rows = 0
    try:
        with read_table(path.open("rb"), params.encoding, params.delimiter, errors="strict") as (columns, table):
            check_columns(path, columns, params.columns(), missing="REC-E06", twice="REC-E07")
            for _ in table:
                rows += 1
    except UnicodeError:
        _refuse_encoding(path, params.encoding, rows)
    return rows


def _refuse_encoding(path: Path, encoding: str, rows: int) -> NoReturn:
    with path.open("rb") as f:
        head = f.read(CHUNK)
    fitting = [name for name in ("utf-8", "gb18030") if _decodes(head, name) and name != encoding]
    remedy = f"把 encoding 改为 {fitting[0]} 试试" if fitting else "问明导出时用的编码，或重新导出为 UTF-8"
    raise ProbeError("REC-E05", f"{path.name} 第 {rows + 1} 条记录附近不是 {encoding} 编码", remedy) from None


def _decodes(head: bytes, encoding: str) -> bool:
    """True when `head` is text in `encoding`, but for a last character that the cut may have split."""
    import codecs

    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return False
    return True


def _check_audit(path: Path, params: Params) -> None:
    columns, rows = read_audit(path.read_bytes(), params)
    check_columns(path, columns, (*params.key, RESULT), missing="REC-E09", twice="REC-E07")
    for number, (_, word) in enumerate(rows, 1):
        if word and word not in RESULTS:
            words = "、".join(RESULTS)
            text = f"{path.name} 第 {number} 条的 result“{word}”不认识"
            raise ProbeError("REC-E09", one_line(text), f"只用：{words}；未核验的留空")
