"""Tables that other people keep (CSV, xlsx): what a parameter says of one, and its rows as text. It must never correct a cell."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field

from yanshou.formats.office import bloated
from yanshou.probes.encodings import Encoding
from yanshou.probes.reading import Key, read_table


class TableFile(BaseModel):
    """A table in a file: CSV with a header row, or the first (or named) sheet of an xlsx workbook."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(min_length=1, description="CSV 或 xlsx 文件，首行为列名，相对案卷文件夹")
    encoding: Encoding = Field(default="utf-8", description="CSV 的编码：utf-8、gb18030 等")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="CSV 的列分隔符")
    sheet: str | None = Field(default=None, description="xlsx 的工作表；不写则取第一张")

    @property
    def suffix(self) -> str:
        """`.xlsx` or `.csv`: how the file is read and what its copy is called."""
        return ".xlsx" if self.file.lower().endswith(".xlsx") else ".csv"


class UnreadableTable(ValueError):
    """A file that is not the table its parameters say: the Chinese text tells why."""


@contextmanager
def open_table(
    stream: BinaryIO, table: TableFile, errors: str = "replace"
) -> Iterator[tuple[Key, Iterator[list[str]]]]:
    """Column names and rows of `stream`, which is closed at the end. Rows of xlsx are as wide as the header.

    Raises UnreadableTable; UnicodeError with `errors="strict"`.
    """
    if table.suffix == ".csv":
        with read_table(stream, table.encoding, table.delimiter, errors) as (columns, rows):
            yield columns, rows
        return
    with stream:
        import openpyxl

        data = io.BytesIO(stream.read())
        with _sound(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl speaks of styles and extensions that no cell depends on
            if part := bloated(data):
                raise UnreadableTable(f"的部件 {part} 压缩了几百倍，展开会占满内存")
            book = openpyxl.load_workbook(data, read_only=True, data_only=True)
            if table.sheet and table.sheet not in book.sheetnames:
                raise UnreadableTable(f"没有工作表“{table.sheet}”")
            sheet = book[table.sheet] if table.sheet else book.worksheets[0]
            sheet.reset_dimensions()  # what a sheet says of its size is often all that there can be
        cells = _cells(sheet)
        columns = tuple(name.strip() for name in next(cells, []))
        while columns and not columns[-1]:
            columns = columns[:-1]
        yield columns, ((row + [""] * len(columns))[: len(columns)] for row in cells if any(row))
        book.close()


@contextmanager
def _sound() -> Iterator[None]:
    """Raises UnreadableTable for what openpyxl raises: whatever the zip and XML readers below it do."""
    try:
        yield
    except UnreadableTable:
        raise
    except Exception:
        raise UnreadableTable("不是完好的 xlsx 文件") from None


def _cells(sheet: Any) -> Iterator[list[str]]:
    """The rows of a sheet as text. Raises UnreadableTable."""
    with _sound():
        for row in sheet.iter_rows(values_only=True):
            yield [_text(cell) for cell in row]


def _text(cell: Any) -> str:
    """A cell as somebody sees it: a whole number without its point, dates in ISO form."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    return cell.isoformat() if isinstance(cell, date) else str(cell)
