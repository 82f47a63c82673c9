"""表1 among the tables of a document: found by its header cells, never by its number. It must never correct a cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import Problem, UserError
from yanshou.importers.grid import Cell, Grid, one_line, squeezed

HEADERS = {
    "scenario": "申报场景",
    "project": "申报项目名称",
    "indicator": "参考指标",
    "baseline": "本单位当前水平",
    "target": "项目建设目标",
    "note": "对指标水平的基本",
}
"""Column -> what its header begins with (notice, 附件2, 表1); the last one is long and wraps."""
NEEDED = ("indicator", "baseline", "target")
DECEIVING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters and changes of writing direction: with them a terminal shows a person another text than is stored."""
END = re.compile(r"注[:：1]|表[0-9]|六、|科目名称")
"""What the first cell below 表1 begins with, where a sheet goes on after it."""


@dataclass(frozen=True)
class Row:
    """One row of 表1, verbatim."""

    scenario: Cell
    project: Cell
    indicator: Cell
    baseline: Cell
    target: Cell
    note: Cell


@dataclass(frozen=True)
class Table1:
    """All rows, and what stands below the table or across it and was not read, for a person to see."""

    rows: tuple[Row, ...]
    unread: tuple[str, ...]


def find_table1(grids: Sequence[Grid], path: Path) -> Table1:
    """The rows of every table with the header cells of 表1 (a table that goes on after a page break has them again).

    Raises UserError with every cell that cannot be read for certain.
    """
    rows: list[Row] = []
    unread: list[str] = []
    problems: list[Problem] = []
    for grid in grids:
        header = next(
            (n for n, cells in enumerate(grid.rows) if {"indicator", "target"} <= _columns(cells).keys()), None
        )
        if header is None:
            continue
        columns = _columns(grid.rows[header])
        for name in NEEDED:
            if name not in columns:
                text = f"{grid.name}有“参考指标”和“项目建设目标”，没有“{HEADERS[name]}”"
                problems.append(Problem("I-HEADER", text, "表头按通知附件2 的表1 写", path))
        for number, cells in enumerate(grid.rows[header + 1 :], header + 2):
            first = next((squeezed(cell.text) for cell in cells if cell.text.strip()), "")
            if END.match(first) or (_one(cells) and first):
                below = [c.text for row in grid.rows[number - 1 :] for c in row if c.text.strip()]
                unread.append(f"{grid.name}{number}行起未读：{_shown(' '.join(dict.fromkeys(below)))[:60]}")
                break
            if columns.keys() <= _columns(cells).keys():
                continue
            row = Row(**{name: _cell(cells, columns.get(name, ())) for name in HEADERS})
            wanted = (row.indicator, row.baseline, row.target, row.note)
            if any(cell.text.strip() or cell.flaw for cell in wanted):
                problems += _flaws(grid, cells, columns, row, path)
                rows.append(row)
    if problems:
        raise UserError(problems)
    if not rows:
        seen = "、".join(grid.name for grid in grids[:10]) or "没有表格"
        text = f"找不到表1：没有同时含“参考指标”和“项目建设目标”的表头，或表头下没有内容（有 {seen}）"
        remedy = "核对表头；表1 是图片或扫描件时，换成原始电子表，或用 --by-hand 由两人录入"
        raise UserError(Problem("I-TABLE", text, remedy, path))
    return Table1(tuple(rows), tuple(unread))


def _columns(cells: Sequence[Cell]) -> dict[str, tuple[int, ...]]:
    """Column name -> where a header row has it; several places where its header cell is merged over them."""
    texts = [squeezed(cell.text) for cell in cells]
    found = {name: tuple(n for n, t in enumerate(texts) if t.startswith(h)) for name, h in HEADERS.items()}
    return {name: places for name, places in found.items() if places}


def _cell(cells: Sequence[Cell], places: Sequence[int]) -> Cell:
    """The first cell with text at these places; an empty one where the row is shorter."""
    there = [cells[n] for n in places if n < len(cells)]
    return next((c for c in there if c.text.strip() or c.flaw), there[0] if there else Cell("", ""))


def _one(cells: Sequence[Cell]) -> bool:
    """True for a row that is one merged cell."""
    return len(cells) > 1 and len({(c.address, c.text) for c in cells}) == 1


def _flaws(
    grid: Grid, cells: Sequence[Cell], columns: dict[str, tuple[int, ...]], row: Row, path: Path
) -> Iterator[Problem]:
    """Why a row cannot be read for certain; each flaw once, at its first cell."""
    named = set()
    for name, places in columns.items():
        texts = {(cells[n].address, cells[n].text) for n in places if n < len(cells) and cells[n].text.strip()}
        if len(texts) > 1:
            text = f"{_cell(cells, places).address}：“{HEADERS[name]}”下有 {len(texts)} 个单元格"
            yield Problem("I-CELL", text, "一栏只写一个单元格，另存后再导入", path)
        cell = getattr(row, name)
        flaw = cell.flaw or ("有控制字符或改变书写方向的字符" if DECEIVING.search(cell.text) else "")
        if flaw and flaw not in named:
            named.add(flaw)
            text = f"{cell.address} {flaw}：“{_shown(cell.text)[:40]}”"
            yield Problem("I-CELL", text, "改成与纸面一致的普通文字，另存后再导入", path)
    if not row.indicator.text.strip():
        text = f"{row.target.address or row.baseline.address or grid.name} 所在的行没有写参考指标"
        yield Problem("I-CELL", text, "补上参考指标，或与上一行合并单元格", path)


def _shown(text: str) -> str:
    return one_line(DECEIVING.sub("□", text))
