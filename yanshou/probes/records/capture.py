"""Takes a database export, and the results of its audit, into evidence byte for byte.

It is for freezing what was handed over, with where it came from. It must never count, correct or leave out anything; it
reads the file once before the copy only to refuse what could not be counted later.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import CHUNK, canonical
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.records.analyse import AUDIT, EXPORT, IMPORT, RESULT, RESULTS, Key, read_audit, read_table
from yanshou.probes.records.spec import Params

LISTED = 20
"""How many of the existing columns a message lists."""


def capture(params: Params, run: RunContext) -> None:
    """Streams `export.csv`, `audit.csv` when an audit is declared, and `import.json` last, which says the import is whole.

    Raises ProbeError REC-E01 (missing), E02 (a folder), E03 (empty), E04 (not readable), E05 (encoding), E06 (column
    missing), E07 (column twice), E08 (changed while copied), E09 (audit results not readable).
    """
    sources = {EXPORT: _checked_file(run.folder, params.file, "导出文件")}
    if params.audit is not None:
        sources[AUDIT] = _checked_file(run.folder, params.audit.file, "核验结果")
    before = {name: _stamp(path) for name, path in sources.items()}
    rows = _check_export(sources[EXPORT], params)
    if AUDIT in sources:
        _check_audit(sources[AUDIT], params)
    record: dict[str, Json] = {}
    for name, path in sources.items():
        sha256 = run.sink.attach(path, name)
        if _stamp(path) != before[name]:
            raise ProbeError("REC-E08", f"{path.name} 在导入时被改动", "等导出或编辑结束、关掉占用它的程序后重新运行")
        size, mtime, _ = before[name]
        changed = datetime.fromtimestamp(mtime // 10**9, UTC).isoformat()
        record[name] = {"name": path.name, "size": size, "sha256": sha256, "mtime": changed}
    run.sink.stream(IMPORT).write(canonical({**record[EXPORT], "rows": rows, "audit": record.get(AUDIT)}) + b"\n")
    run.progress(Progress(rows, rows))


def _stamp(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


def _like(name: str, names: list[str]) -> str:
    """`（是不是“…”？）` when one of `names` is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, names, 1)
    return f"（是不是“{close[0]}”？）" if close else ""


def _checked_file(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if path.is_dir():
        raise ProbeError("REC-E02", f"{what} {name} 是文件夹", "写到文件名为止，如 数据/导出.csv")
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ProbeError(
            "REC-E01", f"找不到{what} {name}{_like(path.name, beside)}", "放进案卷文件夹，或改正 file 的路径"
        )
    try:
        with path.open("rb") as f:
            empty = not f.read(1)
    except OSError as error:
        raise ProbeError("REC-E04", f"读不了{what} {name}：{error.strerror}", "检查读权限，关掉独占它的程序") from None
    if empty:
        raise ProbeError("REC-E03", f"{what} {name} 是空文件", "重新导出；没有记录时也要有列名一行")
    return path


def _check_export(path: Path, params: Params) -> int:
    """Number of rows, once the whole file has been decoded and its header found to hold every declared column."""
    rows = 0
    try:
        with read_table(path.open("rb"), params.encoding, params.delimiter, errors="strict") as (columns, table):
            _check_columns("REC-E06", path, columns, params.columns())
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


def _check_columns(code: str, path: Path, columns: Key, wanted: tuple[str, ...]) -> None:
    for name in wanted:
        if name not in columns:
            there = "、".join(columns[:LISTED]) + (f" 等 {len(columns)} 列" if len(columns) > LISTED else "")
            remedy = f"改正列名；现有列：{there or '无'}。若显示为乱码或只有一列，改 encoding 或 delimiter"
            text = f"{path.name} 没有列“{name}”{_like(name, list(columns))}"
            raise ProbeError(code, _one_line(text), _one_line(remedy))
        if columns.count(name) > 1:
            text = f"{path.name} 的列“{name}”出现 {columns.count(name)} 次"
            raise ProbeError("REC-E07", _one_line(text), "重新导出，列名不得重复")


def _one_line(text: str) -> str:
    """`text`, in which cells of somebody's file are quoted, on one line."""
    return " ".join(text.split())


def _check_audit(path: Path, params: Params) -> None:
    columns, rows = read_audit(path.read_bytes(), params)
    _check_columns("REC-E09", path, columns, (*params.key, RESULT))
    for number, (_, word) in enumerate(rows, 1):
        if word and word not in RESULTS:
            words = "、".join(RESULTS)
            text = f"{path.name} 第 {number} 条的 result“{word}”不认识"
            raise ProbeError("REC-E09", _one_line(text), f"只用：{words}；未核验的留空")
