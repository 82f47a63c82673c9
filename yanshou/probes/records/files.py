"""Tables in files of the case folder: CSV, xlsx, Parquet and SQLite, all as text, row by row, in bounded memory.

It must never change a file, correct a cell, or fetch anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.formats.office import bloated
from yanshou.harness.basics import ProbeError
from yanshou.probes.importing import one_line, unmerged
from yanshou.probes.records.blocks import Block, Table, read_blocks
from yanshou.probes.records.spec import Form, Source
from yanshou.probes.texts import BEIJING

if TYPE_CHECKING:
    import duckdb

BATCH = 20_000


def text_of(value: object) -> str:
    """A typed cell as an export writes it: nothing is empty, times are Beijing time, numbers keep all their digits."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, datetime):
        local = value if value.tzinfo is None else value.astimezone(BEIJING).replace(tzinfo=None)
        return local.isoformat(sep=" ")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def batches(rows: Iterator[Any]) -> Iterator[Block]:
    """Rows of typed cells as blocks of text."""
    while batch := [[text_of(cell) for cell in row] for row in islice(rows, BATCH)]:
        yield batch


def file_table(folder: Path, source: Source, errors: str = "replace") -> AbstractContextManager[Table]:
    """The table in a source's file. Raises OSError, ProbeError REC-E10 where the file is not what its name says."""
    assert source.file is not None
    path = folder / source.file
    if source.form is Form.CSV:
        return read_blocks(path.open("rb"), source.encoding, source.delimiter, errors)
    reader: Callable[[Path, Source], AbstractContextManager[Table]] = {
        Form.XLSX: _xlsx,
        Form.PARQUET: _parquet,
        Form.SQLITE: _sqlite,
    }[source.form]
    return reader(path, source)


def _refusal(path: Path, kind: str, error: Exception) -> ProbeError:
    text = one_line(f"{path.name} 不能当作 {kind} 读：{error}")[:300]
    return ProbeError("REC-E10", text, "在来源系统里重新导出，或改正 file、sheet、query")


@contextmanager
def _xlsx(path: Path, source: Source) -> Iterator[Table]:
    """The rows of a sheet; those of nothing but empty cells are none, as blank lines of a CSV file are none."""
    import zipfile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    wrong = (InvalidFileException, zipfile.BadZipFile, KeyError, IndexError, ValueError)
    with path.open("rb") as f:
        try:
            if part := bloated(f):
                raise ValueError(f"部件 {part} 压缩了几百倍，展开会占满内存")
            book = load_workbook(f, read_only=True, data_only=True)
            sheet = book[source.sheet] if source.sheet else book.worksheets[0]
        except wrong as error:
            raise _refusal(path, "xlsx", error) from None
        sheet.reset_dimensions()
        rows = (list(row) for row in sheet.iter_rows(values_only=True))
        filled = (row for row in rows if any(cell not in (None, "") for cell in row))
        header = [text_of(cell).strip() for cell in next(filled, [])]
        while header and not header[-1]:
            header.pop()
        yield Table(tuple(header), ",", batches(_squared(filled, len(header))))


def _squared(rows: Iterator[list[Any]], width: int) -> Iterator[list[Any]]:
    """A sheet does not store empty cells at a row's end; what stands beyond the header stays, and makes the row ragged."""
    for row in rows:
        while len(row) > width and row[-1] in (None, ""):
            row.pop()
        yield row + [None] * (width - len(row))


@contextmanager
def _parquet(path: Path, _source: Source) -> Iterator[Table]:
    import duckdb

    with closing(duckdb.connect(":memory:")) as db:
        db.execute("SET memory_limit='512MB'; SET threads=1; SET TimeZone='Asia/Shanghai'")
        db.execute("SET autoinstall_known_extensions=false; SET autoload_known_extensions=false")
        try:
            described = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
            columns = ", ".join(_as_text(name, kind) for name, kind, *_ in described)
            rows = db.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)])
        except duckdb.Error as error:
            raise _refusal(path, "Parquet", error) from None
        yield Table(tuple(name.strip() for name, *_ in described), ",", batches(_fetched(path, rows)))


def _as_text(name: str, kind: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    if kind == "TIMESTAMP WITH TIME ZONE":
        column = f"timezone('Asia/Shanghai', {column})"
    return f"({column})::VARCHAR"


@contextmanager
def _sqlite(path: Path, source: Source) -> Iterator[Table]:
    import sqlite3

    if beside := unmerged(path):
        text = f"{path.name} 旁边的 {beside} 里有还没有并入的记录，只读主文件会少算"
        raise ProbeError("REC-E10", text, "在来源系统里执行 PRAGMA wal_checkpoint(TRUNCATE) 或关闭数据库，再拷贝")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        with closing(db):
            db.execute("PRAGMA query_only=ON")
            cursor = db.execute(source.query or "")
            columns = tuple(str(name[0]).strip() for name in cursor.description)
            yield Table(columns, ",", batches(iter(cursor)))
    except sqlite3.Error as error:
        raise _refusal(path, "SQLite", error) from None


def _fetched(path: Path, rows: duckdb.DuckDBPyConnection) -> Iterator[Any]:
    import duckdb

    try:
        while some := rows.fetchmany(BATCH):
            yield from some
    except duckdb.Error as error:
        raise _refusal(path, "Parquet", error) from None
