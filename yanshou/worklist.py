"""What was drawn as worklists for people on site: a workbook that is read back, and a page to print.

One list per form that `yanshou sample` lays out, whatever the instrument. What is read back goes into those forms.
It must never take a result for a row that was not drawn, nor change one that is there already.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from yanshou.formats.office import MAX_ROWS
from yanshou.harness.assess import load_state
from yanshou.harness.basics import Problem, UserError
from yanshou.harness.case import place_of
from yanshou.harness.engine import Drawn, draw_samples
from yanshou.harness.evidence import canonical, require_writable, sha256_bytes, write_atomic
from yanshou.importers.grid import Cell, Grid
from yanshou.importers.opening import read
from yanshou.importers.xlsx import read_xlsx
from yanshou.probes.devices.register import SERIAL, UNPLUG
from yanshou.probes.sampling import RESULT
from yanshou.probes.texts import plain

NUMBER, NOTE, EVIDENCE = "序号", "备注", "证据"
TITLES = {
    RESULT: "结果", "note": NOTE, SERIAL: "铭牌序列号", UNPLUG: "拔线后离线",
    "point": "点", "longitude": "经度", "latitude": "纬度",
    "seen_longitude": "终端经度", "seen_latitude": "终端纬度",
}  # fmt: skip
WORDS = {"属实": "好", "不属实": "坏", "找不到": "坏"}
"""What people write -> what the form says. Who is not found does not count, and the note says which it was."""
CHOICES = {RESULT: tuple(WORDS), UNPLUG: ("是", "否")}
SEAL = "名单摘要"
HEAD_ROWS = 6
FORBIDDEN = set("\\/*?:[]")


@dataclass(frozen=True)
class Worklist:
    """One form as a list: `columns` as the form has them, `fixed` of them were drawn and the others are for people."""

    drawn: Drawn
    plan_sha256: str

    @cached_property
    def table(self) -> list[list[str]]:
        """Header and rows of the form."""
        return list(csv.reader(io.StringIO(self.drawn.text)))

    @property
    def columns(self) -> list[str]:
        """As in the form."""
        return self.table[0]

    @property
    def rows(self) -> list[list[str]]:
        """What was drawn, in order."""
        return self.table[1:]

    @cached_property
    def fixed(self) -> list[int]:
        """Places of the columns that were drawn."""
        return [n for n in range(len(self.columns)) if any(row[n] for row in self.rows)]

    @property
    def asked(self) -> list[int]:
        """Places of the columns for people, the result first and the note last."""
        others = [n for n in range(len(self.columns)) if n not in self.fixed]
        return sorted(others, key=lambda n: (self.columns[n] != RESULT, self.columns[n] == "note"))

    @property
    def answerable(self) -> bool:
        """Whether results are written down at all: originals are handed over instead."""
        return RESULT in self.columns

    @property
    def headings(self) -> list[str]:
        """Of the workbook and the page."""
        names = [NUMBER, *(title(self.columns[n]) for n in (*self.fixed, *self.asked))]
        return [*names, EVIDENCE] if self.answerable else names

    @property
    def sha256(self) -> str:
        """What ties a list that comes back to this plan and this draw."""
        return sha256_bytes(canonical({"plan": self.plan_sha256, "file": self.drawn.file, "text": self.drawn.text}))

    @property
    def sheet_name(self) -> str:
        """A name that workbooks take."""
        return "".join("-" if c in FORBIDDEN else c for c in Path(self.drawn.file).stem)[:20].strip("' ") or "名单"


def title(column: str) -> str:
    """What a column is called for people."""
    return TITLES.get(column, column)


def shown(text: str) -> str:
    """A cell as a workbook can hold it: what no workbook can becomes visible."""
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in text)


def worklists(folder: Path, drawn: Sequence[Drawn]) -> list[Worklist]:
    """What was drawn under the frozen plan, as lists; forms of which nothing was drawn are none. Raises UserError."""
    plan_sha256 = load_state(folder).frozen.sha256
    return [w for w in (Worklist(d, plan_sha256) for d in drawn) if w.rows]


# --- the workbook -------------------------------------------------------------------------------------------------------


def write_xlsx(lists: Sequence[Worklist], path: Path) -> None:
    """A workbook with a sheet per list. Raises UserError, OSError."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for number, worklist in enumerate(lists, 1):
        if len(worklist.rows) + HEAD_ROWS > MAX_ROWS:
            text = f"{worklist.drawn.indicator.id} 抽了 {len(worklist.rows)} 条，工作簿最多 {MAX_ROWS - HEAD_ROWS} 条"
            raise UserError(Problem("L-ROWS", text, f"直接填 {worklist.drawn.file}", path))
        _fill(book.create_sheet(f"{number} {worklist.sheet_name}"), worklist)
    data = io.BytesIO()
    book.save(data)
    write_atomic(path, data.getvalue())


def _fill(sheet: Any, worklist: Worklist) -> None:
    from openpyxl.styles import Alignment, Border, Font, PatternFill, Protection, Side
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    def write(row: int, column: int, text: str) -> Any:
        cell = sheet.cell(row, column)
        cell.value = shown(text)
        cell.data_type = "s"  # what begins with = is no formula
        cell.number_format = "@"
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        return cell

    drawn, headings = worklist.drawn, worklist.headings
    write(1, 1, f"现场核验名单　{drawn.indicator.id} {drawn.title}").font = Font(bold=True, size=14)
    write(2, 1, f"核什么：{drawn.visit or '照备注列写明所见'}")
    choices = f"结果写 {'、'.join(WORDS)}；没有到的留空" if worklist.answerable else "这份名单不填结果"
    write(3, 1, f"{choices}。只填白格；序号、次序和灰格不能改。填好存盘，用 yanshou sample 案卷 --from 本文件 读回")
    write(4, 1, f"{SEAL} {worklist.sha256}").font = Font(size=9, color="666666")
    for row in range(1, HEAD_ROWS - 1):
        sheet.merge_cells(start_row=row, start_column=1, end_row=row, end_column=len(headings))
        sheet.row_dimensions[row].height = 32 if row in (2, 3) else 20
    line = Side(style="thin", color="999999")
    edge, grey = Border(line, line, line, line), PatternFill("solid", fgColor="EEF1F4")
    for column, heading in enumerate(headings, 1):
        cell = write(HEAD_ROWS, column, heading)
        cell.font, cell.border, cell.fill = Font(bold=True), edge, PatternFill("solid", fgColor="D5DCE4")
    for number, values in enumerate(worklist.rows, 1):
        cells = [str(number), *(values[n] for n in worklist.fixed)]
        for column in range(1, len(headings) + 1):
            cell = write(HEAD_ROWS + number, column, cells[column - 1] if column <= len(cells) else "")
            cell.border = edge
            if column <= len(cells):
                cell.fill = grey
            else:
                cell.value = None
                cell.protection = Protection(locked=False)
    first, last = HEAD_ROWS + 1, HEAD_ROWS + len(worklist.rows)
    for place, column in enumerate(worklist.asked, 2 + len(worklist.fixed)):
        if words := CHOICES.get(worklist.columns[column]):
            choice = DataValidation("list", formula1=f'"{",".join(words)}"', allow_blank=True, showErrorMessage=True)
            choice.error, choice.errorTitle = f"只能写 {'、'.join(words)}", "名单"
            letter = get_column_letter(place)
            choice.add(f"{letter}{first}:{letter}{last}")
            sheet.add_data_validation(choice)
    for column, heading in enumerate(headings, 1):
        longest = max([heading, *(str(sheet.cell(r, column).value or "") for r in range(first, last + 1))], key=_width)
        widest = 40 if column <= len(worklist.fixed) + 1 else 16
        sheet.column_dimensions[get_column_letter(column)].width = min(max(_width(longest) + 2, 8), widest)
    for column in (len(headings) - 1, len(headings)):
        sheet.column_dimensions[get_column_letter(column)].width = 26
    sheet.freeze_panes = sheet.cell(first, 2)
    sheet.protection.sheet = True
    sheet.protection.formatColumns = sheet.protection.formatRows = False
    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", 9
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.print_title_rows = f"{HEAD_ROWS}:{HEAD_ROWS}"
    sheet.oddFooter.center.text = f"{drawn.indicator.id}  {worklist.sha256[:16]}  &P / &N"


def _width(text: str) -> int:
    """In columns of a fixed-width font, of the longest line."""
    wide = ("W", "F")
    return max((sum(1 + (unicodedata.east_asian_width(c) in wide) for c in s) for s in text.split("\n")), default=0)


# --- the page -----------------------------------------------------------------------------------------------------------


def write_html(lists: Sequence[Worklist], path: Path) -> None:
    """A page with all lists, for printing and filling in by hand; it loads nothing. Raises OSError."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = Path(__file__).with_name("worklist.html.j2").read_text(encoding="utf-8")
    tables = [
        {
            "list": w,
            "asked": [(title(w.columns[n]), CHOICES.get(w.columns[n], ())) for n in w.asked],
            "rows": [[shown(row[n]) for n in w.fixed] for row in w.rows],
            "fixed": [title(w.columns[n]) for n in w.fixed],
        }
        for w in lists
    ]
    write_atomic(path, environment.from_string(template).render(tables=tables, evidence=EVIDENCE).encode())


# --- coming back --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Returned:
    """What a workbook brought for one form: `answered` of `rows` have a result; `path` was written."""

    path: Path
    indicator: str
    answered: int
    rows: int


def take_back(folder: Path, file: Path) -> list[Returned]:
    """Read a filled-in workbook into the forms. All or nothing. Raises UserError with every cell that is not as it must be."""
    drawn, open_ = draw_samples(folder, load_state(folder).plan)
    lists = worklists(folder, drawn)
    by_digest = {w.sha256: w for w in lists if w.answerable}
    problems: list[Problem] = []
    filled: list[tuple[Worklist, str, int]] = []
    for grid in read_xlsx(read(file), file):
        seal = next((c.text for row in grid.rows[:HEAD_ROWS] for c in row if c.text.startswith(SEAL)), "")
        digest = seal.removeprefix(SEAL).strip()
        if digest in by_digest:
            rows, wrong = _rows(by_digest[digest], grid, file)
            worklist = by_digest.pop(digest)
            problems += wrong or _contradictions(folder, worklist, rows)
            answered = sum(bool(row[worklist.columns.index(RESULT)]) for row in rows)
            filled.append((worklist, _text(worklist, rows), answered))
        elif seal and digest not in {w.sha256 for w in lists}:
            text = f"{grid.name} 不是照现在的计划和数据抽的名单，或出现了两次"
            problems.append(Problem("L-SEAL", text, "用 yanshou sample 重新生成名单；计划或清册变过的要重新核验", file))
    if not filled and not problems:
        problems = list(open_) or [Problem("L-NONE", "文件里没有核验名单", "用 yanshou sample --xlsx 生成的文件", file)]
    if problems:
        raise UserError(problems)
    require_writable(folder)
    for worklist, text, _ in filled:
        write_atomic(place_of(folder, worklist.drawn.file), text.encode())
    return [Returned(folder / w.drawn.file, w.drawn.indicator.id, n, len(w.rows)) for w, _, n in filled]


def _rows(worklist: Worklist, grid: Grid, file: Path) -> tuple[list[list[str]], list[Problem]]:
    """The form's rows as filled in, and every cell that was drawn and is another now, or holds no such word."""

    def problem(cell: Cell, text: str, remedy: str) -> Problem:
        return Problem("L-CELL", f"{cell.address} {' '.join(text.split())}", remedy, file)

    def at(row: int, column: int) -> Cell:
        cells = grid.rows[row] if row < len(grid.rows) else ()
        return cells[column] if column < len(cells) else Cell("", f"{grid.name}第{row + 1}行第{column + 1}列")

    headings, problems, rows = worklist.headings, list[Problem](), list[list[str]]()
    for column, heading in enumerate(headings):
        if at(HEAD_ROWS - 1, column).text != heading:
            found = at(HEAD_ROWS - 1, column)
            return [], [problem(found, f"应为列名“{heading}”，是“{found.text}”", "列不能增删、换位：重新生成名单再填")]
    for number, drawn in enumerate(worklist.rows, 1):
        at_row = HEAD_ROWS - 1 + number
        row = list(drawn)
        for column, text in enumerate([str(number), *(drawn[n] for n in worklist.fixed)]):
            if at(at_row, column).text != shown(text):
                remedy = "灰格与次序不能改：照原样改回，或重新生成名单"
                problems.append(problem(at(at_row, column), f"应为“{text}”，是“{at(at_row, column).text}”", remedy))
        said = {}
        for place, column in enumerate(worklist.asked, 1 + len(worklist.fixed)):
            name, cell = worklist.columns[column], at(at_row, place)
            said[name] = plain(cell.text)
            if cell.flaw and "隐藏" not in cell.flaw:  # a filter hides rows, which are filled in all the same
                problems.append(problem(cell, cell.flaw, "把这一格设为文本，照所见重写"))
            if said[name] and name in CHOICES and said[name] not in CHOICES[name]:
                words = "、".join(CHOICES[name])
                problems.append(problem(cell, f"“{cell.text}”不认识", f"只写 {words}，或留空"))
            row[column] = said[name]
        evidence = plain(at(at_row, len(headings) - 1).text)
        row[worklist.columns.index(RESULT)] = WORDS.get(said[RESULT], "")
        if "note" in worklist.columns:
            word = said[RESULT] if said[RESULT] == "找不到" else ""
            parts = (word, said.get("note", ""), f"证据：{evidence}" if evidence else "")
            row[worklist.columns.index("note")] = "；".join(filter(None, parts))
        rows.append(row)
    extra = next((c for row in grid.rows[HEAD_ROWS + len(rows) :] for c in row if c.text), None)
    if extra is not None:
        problems.append(problem(extra, f"名单之外多出“{extra.text}”", "删去；没有抽中的不能算"))
    return rows, problems


def _contradictions(folder: Path, worklist: Worklist, rows: Sequence[Sequence[str]]) -> Iterator[Problem]:
    """Every result that is in the form already and would become another."""
    path = folder / worklist.drawn.file
    text = path.read_bytes().decode("utf-8-sig", "replace") if path.exists() else ""
    if text in ("", worklist.drawn.blank):
        return
    there = list(csv.reader(io.StringIO(text)))
    if there[0] != worklist.columns or len(there) != len(worklist.table):
        text = f"{worklist.drawn.indicator.id} 的核验表已用别的办法填过"
        yield Problem("L-FORM", text, "接着那样填；要改用名单，先把它移开", path)
        return
    for line, (before, now) in enumerate(zip(there[1:], rows, strict=True), 2):
        for column, name in enumerate(worklist.columns):
            if column < len(before) and before[column] and before[column] != now[column]:
                text = f"{name} 已写“{before[column]}”，名单里是“{now[column]}”"
                yield Problem("L-FORM", text, "核对后改名单；确要改原来的，先把核验表移开", path, line)


def _text(worklist: Worklist, rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(worklist.columns)
    writer.writerows(rows)
    return out.getvalue()
