"""Sheets of a workbook as a reader sees them: merged ranges filled, numbers as displayed, what is hidden or struck through marked.

openpyxl reads; before it does, the sheets are looked through for what would make it fill the memory (a merged range over a
million rows) and for what it keeps silent about (a formula that was never calculated).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from yanshou.formats.office import MAX_COLUMNS, MAX_ROWS, Package
from yanshou.importers.grid import SUPERSCRIPT, Cell, Grid

NUMBER = re.compile(r"(?P<thousands>#,##)?0(?:\.(?P<places>0+))?(?P<percent>%)?_? ?")


def read_xlsx(data: bytes, path: Path) -> list[Grid]:
    """Every visible sheet. Raises UserError; a sheet beyond MAX_ROWS or MAX_COLUMNS is refused, never cut."""
    package = Package(data, path)
    package.require_sound()
    from openpyxl import load_workbook

    package.require_small_sheets()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validations, which nobody here reads
            values = load_workbook(io.BytesIO(data), data_only=True, rich_text=True, keep_links=False)
            formulas = load_workbook(io.BytesIO(data), keep_links=False)
    except Exception as error:  # openpyxl lets through whatever a broken part makes it stumble over
        raise package.broken(f"{type(error).__name__}") from None
    return [_grid(sheet, formulas[sheet.title]) for sheet in values.worksheets if sheet.sheet_state == "visible"]


def _grid(sheet: Any, formulas: Any) -> Grid:
    from openpyxl.utils import get_column_letter

    origin = {
        place: (merged.min_row, merged.min_col)
        for merged in sheet.merged_cells.ranges
        for line in merged.rows
        for place in line
    }
    hidden_rows = {number for number, row in sheet.row_dimensions.items() if row.hidden}
    hidden_columns = set(_hidden_columns(sheet))

    def cell(row: int, column: int) -> Cell:
        true = row, column = origin.get((row, column), (row, column))
        text, flaw = _shown(sheet.cell(*true), formulas.cell(*true))
        if text and (row in hidden_rows or column in hidden_columns):
            flaw = "所在的行或列被隐藏"
        return Cell(text, f"{sheet.title}!{get_column_letter(column)}{row}", flaw)

    rows = range(1, min(sheet.max_row, MAX_ROWS) + 1)
    columns = range(1, min(sheet.max_column, MAX_COLUMNS) + 1)
    return Grid(f"工作表“{sheet.title}”", tuple(tuple(cell(row, column) for column in columns) for row in rows))


def _hidden_columns(sheet: Any) -> Iterator[int]:
    for dimension in sheet.column_dimensions.values():
        if dimension.hidden:
            yield from range(dimension.min or 0, min(dimension.max or 0, MAX_COLUMNS) + 1)


def _shown(cell: Any, formula: Any) -> tuple[str, str]:
    """What a cell displays, and why that is not certain."""
    from openpyxl.cell.rich_text import CellRichText, TextBlock

    value = cell.value
    flaw = _flaw(cell.font) if value is not None else ""
    if isinstance(value, CellRichText):
        parts = []
        for part in value:
            font = part.font if isinstance(part, TextBlock) else None
            text = str(part.text if isinstance(part, TextBlock) else part)
            parts.append(text.translate(SUPERSCRIPT) if font is not None and font.vertAlign == "superscript" else text)
            flaw = flaw or _flaw(font)
        return "".join(parts), flaw
    if value is None:
        return "", "公式没有算出的值" if formula.data_type == "f" else ""
    if isinstance(value, bool):
        return str(value).upper(), flaw
    if isinstance(value, (int, float)):
        text, doubt = _number(value, cell.number_format)
        return text, flaw or doubt
    if isinstance(value, (datetime, date, time, timedelta)):
        return str(value), "被表格软件当成了日期或时间"
    raised = cell.font is not None and cell.font.vertAlign == "superscript"
    return str(value).translate(SUPERSCRIPT) if raised else str(value), flaw


def _flaw(font: Any) -> str:
    """Why text in this font does not stand on the paper as it is stored."""
    if font is not None and font.strike:
        return "有删除线"
    white = font is not None and font.color is not None and font.color.type == "rgb" and font.color.rgb == "FFFFFFFF"
    return "有白色文字" if white else ""


def _number(value: int | float, number_format: str) -> tuple[str, str]:
    """A number as its format displays it. What is not a plain format, or shows less than what is stored, is a flaw."""
    if number_format in ("General", "@"):
        return f"{value:.15g}", ""
    match = NUMBER.fullmatch(number_format)
    if match is None:
        return f"{value:.15g}", f"数字格式 {number_format} 显示的内容读不准"
    exact = Decimal(f"{value:.15g}") * (100 if match["percent"] else 1)
    rounded = exact.quantize(Decimal(1).scaleb(-len(match["places"] or "")), ROUND_HALF_UP)
    text = f"{rounded:{',' if match['thousands'] else ''}f}{match['percent'] or ''}"
    return text, "" if rounded == exact else f"显示为 {text}，存的是 {value:.15g}"
