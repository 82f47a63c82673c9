"""Tables as an Excel workbook that prints well: heads repeated, columns as wide as they need, one page wide.

Texts stay texts: nothing in it can be computed. The same tables give the same bytes for one version of the library. It must never
decide what is printed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from yanshou.harness.basics import Json
from yanshou.reports.blocks import Cell, Table
from yanshou.reports.display import verdict_text
from yanshou.reports.ooxml import settled

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

FONT = "宋体"
LINE = 118
"""Characters across a landscape page."""
LINE_HEIGHT = 14.0
"""Points."""
NARROWEST, WIDEST = 7, 42
"""Characters of a column that is as wide as what is in it."""
TITLE_LENGTH = 31
"""What Excel allows the name of a sheet."""


@dataclass(frozen=True)
class Sheet:
    """One sheet: a title above, a head, rows of numbers and texts; `widths` are shares of `line` characters.

    What is broader than a page is printed smaller.
    """

    name: str
    title: str
    head: tuple[str, ...]
    widths: tuple[float, ...]
    rows: tuple[tuple[Json, ...], ...]
    spans: int = 0
    line: float = LINE


def listed(name: str, title: str, head: tuple[str, ...], rows: Sequence[Sequence[Json]]) -> Sheet:
    """A sheet to sort and search in: each column as wide as what is in it, within bounds."""
    columns = zip(*([head, *rows]), strict=True)
    longest = (max(cell_len(line) for value in column for line in str(value).split("\n")) for column in columns)
    widths = tuple(float(min(max(n + 2, NARROWEST), WIDEST)) for n in longest)
    return Sheet(name, title, head, widths, tuple(map(tuple, rows)), line=sum(widths))


def sheet_of(name: str, title: str, block: Table, spans: int = 0) -> Sheet:
    """A table of a report as a sheet: smaller lines follow in the same cell."""
    rows = tuple(tuple(_flat(cell) for cell in row) for row in block.rows)
    return Sheet(name, title, block.head, block.widths, rows, spans)


def _flat(cell: Cell) -> str:
    main = verdict_text(cell.verdict) if cell.verdict else cell.text
    return "\n".join([main, *cell.sub])


def workbook(sheets: Sequence[Sheet], title: str, when: str) -> bytes:
    """XLSX bytes."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for sheet in sheets:
        _lay_out(book.create_sheet(sheet.name[:TITLE_LENGTH]), sheet)
    book.properties.title, book.properties.creator = title, "yanshou"
    out = io.BytesIO()
    book.save(out)
    return settled(out.getvalue(), when)


def _lay_out(target: Worksheet, sheet: Sheet) -> None:
    from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
    from openpyxl.utils import get_column_letter

    side = Side("thin", color="808080")
    border, wrapped = Border(side, side, side, side), Alignment(wrap_text=True, vertical="top")
    plain, bold = Font(name=FONT, size=10), Font(name=FONT, size=10, bold=True)
    top = target.cell(1, 1, sheet.title)
    top.data_type, top.font = "s", Font(name="黑体", size=14)
    for column, name in enumerate(sheet.head, 1):
        cell = target.cell(2, column, name)
        cell.font, cell.border, cell.alignment = bold, border, wrapped
        cell.fill = PatternFill("solid", fgColor="EDEDED")
    for number, row in enumerate(sheet.rows, 3):
        for column, value in enumerate(row, 1):
            cell = target.cell(number, column, value)
            if isinstance(value, str):
                cell.data_type = "s"  # never a formula
            cell.font, cell.border, cell.alignment = plain, border, wrapped
    whole = sum(sheet.widths)
    widths = [max(6.0, sheet.line * share / whole) for share in sheet.widths]
    for number, row in enumerate(sheet.rows, 3):
        target.row_dimensions[number].height = LINE_HEIGHT * max(map(_lines, row[sheet.spans :], widths[sheet.spans :]))
    for column in range(1, sheet.spans + 1):
        _merge(target, column, [row[column - 1] for row in sheet.rows])
    for column, width in enumerate(widths, 1):
        target.column_dimensions[get_column_letter(column)].width = width
    target.freeze_panes = "A3"
    target.print_title_rows = "2:2"
    target.page_setup.orientation, target.page_setup.paperSize = "landscape", "9"
    target.page_setup.fitToWidth, target.page_setup.fitToHeight = 1, 0
    target.sheet_properties.pageSetUpPr.fitToPage = True


def _lines(value: Json, width: float) -> int:
    """Lines that a value takes in a column of `width` characters; a Chinese one is as wide as two."""
    return sum(max(1, -(-cell_len(line) // max(1, int(width - 1)))) for line in str(value).split("\n"))


def _merge(target: Worksheet, column: int, values: Sequence[Json]) -> None:
    """Equal neighbours become one cell."""
    first = 0
    for number in range(1, len(values) + 1):
        if number == len(values) or values[number] != values[first]:
            if number - first > 1:
                target.merge_cells(start_row=first + 3, end_row=number + 2, start_column=column, end_column=column)
            first = number
