"""The sheet of one enterprise: where everything stands, a blank one, and what is written in one.

Writing and reading share one layout, so that a sheet whose printed words were changed is told from one that was only filled in,
cell by cell. It must never score, and never correct what it reads. Pure: workbooks are bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from yanshou.formats.office import Package
from yanshou.harness.references import SmeEdition, sme_edition
from yanshou.probes.records.sme import UPPER
from yanshou.probes.texts import moment, plain

FORMAT = "yanshou/sme/1"
TITLE = "中小企业数字化水平评测表"
ON_SITE, SELF = "现场评定", "自评"
YES, NO = "是", "否"
EDITION, NAME, CODE, INDUSTRY, STAFF, REVENUE, ASSETS = (
    "评测指标版本", "企业名称", "统一社会信用代码", "行业（划型）", "从业人员（人）", "营业收入（万元）", "资产总额（万元）",
)  # fmt: skip
HOW_BEFORE, DAY_BEFORE, HOW_AFTER, DAY_AFTER = "改造前评定方式", "改造前评定日期", "改造后评定方式", "改造后评定日期"
HEAD = (EDITION, NAME, CODE, INDUSTRY, STAFF, REVENUE, ASSETS, HOW_BEFORE, DAY_BEFORE, HOW_AFTER, DAY_AFTER)
COLUMNS = (
    "编号", "题目或场景", "怎么填", "改造前", "改造后", "现场确认", "检查人", "复核人", "确认时间", "证据文件", "备注",
)  # fmt: skip
ID, TEXT, HOW, BEFORE, AFTER, CONFIRMED, INSPECTOR, WITNESS, TIME, PROOFS, NOTE = range(1, 12)
FIRST_HEAD = 2
TABLE = FIRST_HEAD + len(HEAD) + 1
WIDTHS = (36, 38, 38, 20, 20, 10, 10, 10, 20, 28, 20)
LINE_HEIGHT = 15
MOST_SHEETS = 1000
PRINTED, OPEN_TEXT, OPEN_NUMBER = "yanshou printed", "yanshou text", "yanshou number"
_SEPARATOR = re.compile(r"[;；\n]+")
_SCENE_LEVELS = {str(n): n for n in range(5)}


@dataclass(frozen=True)
class Asked:
    """One line of the table: its id, what it is about, how it is answered, and the answers of its drop-down if it has one."""

    id: str
    text: str
    how: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """What was written in one line. `said` is what a cell says by its column; `at` the address of each."""

    asked: Asked
    said: Mapping[int, str]
    at: Mapping[int, str]

    @property
    def proofs(self) -> tuple[str, ...]:
        """Names of the evidence files, as written."""
        return tuple(filter(None, map(str.strip, _SEPARATOR.split(self.said[PROOFS]))))

    def lacks(self) -> Iterator[tuple[int, str]]:
        """(column, what is missing) of an answer that is said to be confirmed on site; files are another's to look for."""
        if self.said[CONFIRMED] != YES:
            return
        people = [plain(self.said[column]).casefold().replace(" ", "") for column in (INSPECTOR, WITNESS)]
        if not self.said[AFTER]:
            yield AFTER, "确认了，却没有写改造后的情况"
        if "" in people or people[0] == people[1]:
            yield WITNESS, "确认须检查人与复核人两个不同的人"
        if moment(self.said[TIME]) is None:
            yield TIME, "没有写确认时间，或看不懂"
        if not self.proofs:
            yield PROOFS, "没有写证据文件"


@dataclass(frozen=True)
class Form:
    """One enterprise's sheet as it was filled in. `place`: workbook and sheet; `head` by label; `lines` by id."""

    place: str
    head: Mapping[str, str]
    lines: Mapping[str, Line] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """Why a sheet cannot be taken as it is: `cell` names it with its sheet."""

    cell: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Reading:
    """What a workbook holds: forms in the order of its sheets, and everything that is wrong with it."""

    forms: tuple[Form, ...]
    faults: tuple[Fault, ...]


def asked(edition: SmeEdition) -> tuple[Asked, ...]:
    """The lines of the table: the scored questions, then the scenes."""
    lines = []
    for question in edition.questions:
        if question.bands:
            how = "填百分数 0–100"
        elif question.counted:
            how = f"填做到了几项，共 {len(question.choices) - 1} 项"
        elif set(question.choices) == set(map(str, range(1, len(question.choices) + 1))):
            how = f"填第几档，1（最低）–{len(question.choices)}"
        else:
            how = "从下拉表选"
        lines.append(Asked(question.id, question.title, how, tuple(question.choices)))
    for number, scene in enumerate(edition.scenes, 1):
        kind = "约束性" if scene.constrained else "指导性"
        how = "填等级 0–4" + (f"；二级：{scene.criterion}" if scene.criterion else "")
        lines.append(Asked(f"J{number:02d}", f"{scene.name}（{kind}）", how, tuple(_SCENE_LEVELS)))
    return tuple(lines)


def scene_of(edition: SmeEdition) -> dict[str, str]:
    """Id of a line -> name of the scene it is about."""
    return {f"J{number:02d}": scene.name for number, scene in enumerate(edition.scenes, 1)}


@dataclass(frozen=True)
class Filled:
    """What goes into a sheet: `head` by label, `lines` by id and column. Blank where nothing is said."""

    head: Mapping[str, str | int | float] = field(default_factory=dict)
    lines: Mapping[str, Mapping[int, str | int | float]] = field(default_factory=dict)


def workbook(sheets: Sequence[Filled]) -> bytes:
    """A workbook of as many sheets, with drop-downs; printed words are locked, without a password. It opens on the first."""
    from openpyxl import Workbook

    edition = sme_edition()
    book = Workbook()
    for style in _styles():
        book.add_named_style(style)
    del book[book.sheetnames[0]]
    for number, filled in enumerate(sheets, 1):
        _write(book.create_sheet(f"企业{number}"), edition, filled)
    guide = book.create_sheet("说明")
    for row, text in enumerate(_guide(edition), 1):
        guide.cell(row, 1, text)
    guide.column_dimensions["A"].width = 110
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _guide(edition: SmeEdition) -> Iterator[str]:
    yield f"{TITLE}：{edition.title}"
    yield "一张工作表一家企业；要加企业，复制工作表后填写。只填没有锁定的格，题目、编号和行的次序不要改。"
    yield "改造后的每一项须由检查人与复核人两个不同的人到场确认（现场确认填“是”），写确认时间和证据文件；没有确认的一项不计。"
    yield "证据文件写文件名，相对本工作簿所在的文件夹，几个之间用分号隔开。时间写作 2025-03-01 09:30。"
    yield f"改造后评定方式写“{ON_SITE}”；“{SELF}”的企业不计。改造前要逐项填满，否则没有改造前等级。"
    yield from edition.standing


def _styles() -> Iterator[Any]:
    from openpyxl.styles import Alignment, NamedStyle, PatternFill, Protection

    wrap, open_ = Alignment(wrap_text=True, vertical="top", horizontal="left"), Protection(locked=False)
    yield NamedStyle(PRINTED, fill=PatternFill("solid", fgColor="EEEEEE"), alignment=wrap)
    yield NamedStyle(OPEN_TEXT, number_format="@", alignment=wrap, protection=open_)
    yield NamedStyle(OPEN_NUMBER, alignment=wrap, protection=open_)


def _write(sheet: Any, edition: SmeEdition, filled: Filled) -> None:
    from openpyxl.styles import Font
    from openpyxl.worksheet.datavalidation import DataValidation

    lists: dict[tuple[str, ...], Any] = {}

    def offer(cell: Any, answers: tuple[str, ...]) -> None:
        if answers not in lists:
            lists[answers] = DataValidation("list", formula1=f'"{",".join(answers)}"', allow_blank=True)
            sheet.add_data_validation(lists[answers])
        lists[answers].add(cell)

    def put(row: int, column: int, value: str | float, style: str) -> Any:
        cell = sheet.cell(row, column, value if value != "" else None)
        cell.style = style
        return cell

    put(1, 1, TITLE, PRINTED).font = Font(bold=True, size=14)
    put(1, 2, FORMAT, PRINTED)
    offered = {
        EDITION: (edition.edition,), INDUSTRY: tuple(UPPER), HOW_BEFORE: (ON_SITE, SELF), HOW_AFTER: (ON_SITE, SELF),
    }  # fmt: skip
    for row, label in enumerate(HEAD, FIRST_HEAD):
        put(row, 1, label, PRINTED)
        cell = put(row, 2, filled.head.get(label, edition.edition if label == EDITION else ""), OPEN_TEXT)
        if label in offered and len(",".join(offered[label])) <= 255:  # what a drop-down can hold
            offer(cell, offered[label])
    for column, name in enumerate(COLUMNS, 1):
        put(TABLE, column, name, PRINTED).font = Font(bold=True)
    for row, line in enumerate(asked(edition), TABLE + 1):
        said = filled.lines.get(line.id, {})
        for column, text in ((ID, line.id), (TEXT, line.text), (HOW, line.how)):
            put(row, column, text, PRINTED)
        for column in range(BEFORE, NOTE + 1):
            answer = column in (BEFORE, AFTER)
            cell = put(row, column, said.get(column, ""), OPEN_NUMBER if answer else OPEN_TEXT)
            if answer and line.answers:
                offer(cell, line.answers)
            elif column == CONFIRMED:
                offer(cell, (YES, NO))
        sheet.row_dimensions[row].height = LINE_HEIGHT * max(
            -(-2 * len(t) // WIDTHS[HOW - 1]) for t in (line.text, line.how)
        )
    for letter, width in zip("ABCDEFGHIJK", WIDTHS, strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.freeze_panes = sheet.cell(TABLE + 1, 3)
    sheet.protection.enable()
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0  # for those who print it
    sheet.sheet_properties.pageSetUpPr.fitToPage = True


def read_workbook(data: bytes, name: str) -> Reading:
    """The forms in a workbook, each sheet that says it is one. Raises UserError for bytes that are no sound workbook."""
    package = Package(data, Path(name))
    package.require_sound()
    package.require_small_sheets()
    if any(part.lower().endswith("vbaproject.bin") for part in package.sizes):
        raise package.broken("含有宏")
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which nobody here reads
            book = load_workbook(io.BytesIO(data), keep_links=False)
    except Exception as error:  # openpyxl lets through whatever a broken part makes it stumble over
        raise package.broken(type(error).__name__) from None
    if len(book.worksheets) > MOST_SHEETS:
        raise package.broken(f"有 {len(book.worksheets)} 张工作表，上限 {MOST_SHEETS}")
    edition = sme_edition()
    found = [_read(sheet, edition, name) for sheet in book.worksheets if _is_form(sheet)]
    faults = [fault for _, some in found for fault in some]
    if not found:
        faults.append(Fault(name, "里没有评测表", "用 yanshou sheet sme 写出的工作簿填写，不要改 A1、B1"))
    return Reading(tuple(form for form, _ in found), tuple(faults))


def _is_form(sheet: Any) -> bool:
    return any(plain(str(sheet.cell(1, column).value or "")) in (TITLE, FORMAT) for column in (1, 2))


def _read(sheet: Any, edition: SmeEdition, name: str) -> tuple[Form, list[Fault]]:
    place = f"{name} {sheet.title}"
    faults: list[Fault] = []
    merged = {(r, c) for area in sheet.merged_cells.ranges for r, c in _places(area)}

    hidden = {
        column
        for group in sheet.column_dimensions.values()
        if group.hidden
        for column in range(group.min or 0, min(group.max or 0, NOTE) + 1)
    }

    def address(row: int, column: int) -> str:
        return f"{place}!{sheet.cell(row, column).coordinate}"

    def said(row: int, column: int) -> str:
        text, why = _shown(sheet.cell(row, column))
        if text and (sheet.row_dimensions[row].hidden or column in hidden):
            why = "所在的行或列被隐藏"
        if (row, column) in merged:
            why = "是合并的单元格"
        if why:
            faults.append(Fault(address(row, column), why, "照样表直接填值"))
        return text

    def must_be(row: int, column: int, text: str) -> None:
        there = said(row, column)
        if plain(there) != plain(text):
            remedy = "恢复样表原样，或重新用 yanshou sheet sme 写一份再填"
            faults.append(Fault(address(row, column), f"应为“{text}”，现为“{' '.join(there.split())[:40]}”", remedy))

    if sheet.sheet_state != "visible":
        faults.append(Fault(place, "这张评测表被隐藏", "取消隐藏；作废的删去"))
    must_be(1, 1, TITLE)
    must_be(1, 2, FORMAT)
    head: dict[str, str] = {}
    for row, label in enumerate(HEAD, FIRST_HEAD):
        must_be(row, 1, label)
        head[label] = said(row, 2)
        if label == CODE and isinstance(sheet.cell(row, 2).value, int | float):
            faults.append(Fault(address(row, 2), "信用代码被表格软件当成了数", "把格式设为文本后重新填写"))
    if plain(head[EDITION]) != edition.edition:
        return Form(place, head), faults  # another edition has other lines: it is counted apart and not read
    for column, title in enumerate(COLUMNS, 1):
        must_be(TABLE, column, title)
    lines: dict[str, Line] = {}
    for row, line in enumerate(asked(edition), TABLE + 1):
        for column, text in ((ID, line.id), (TEXT, line.text), (HOW, line.how)):
            must_be(row, column, text)
        columns = range(BEFORE, NOTE + 1)
        written = Line(line, {c: said(row, c) for c in columns}, {c: address(row, c) for c in columns})
        lines[line.id] = written
        faults += _wrong(written, edition)
    end = TABLE + len(lines) + 1
    if sheet.max_row >= end and any(sheet.cell(end, column).value is not None for column in range(1, NOTE + 1)):
        faults.append(Fault(address(end, 1), "表格末尾多出一行", "删去；备注写在备注列"))
    return Form(place, head, lines), faults


def _places(area: Any) -> Iterable[tuple[int, int]]:
    return (
        (row, column)
        for row in range(area.min_row, area.max_row + 1)
        for column in range(area.min_col, area.max_col + 1)
    )


def _wrong(line: Line, edition: SmeEdition) -> Iterator[Fault]:
    """What a line says that nobody can read, and what its confirmation lacks."""
    for column in (BEFORE, AFTER):
        if line.said[column] and not readable(line, column, edition):
            text = f"“{line.said[column][:40]}”不是 {line.asked.id} 的答案"
            choices = f"：{'、'.join(line.asked.answers)}" if line.asked.answers else ""
            yield Fault(line.at[column], text, f"{line.asked.how}{choices}")
    if line.said[CONFIRMED] not in ("", YES, NO):
        yield Fault(line.at[CONFIRMED], f"“{line.said[CONFIRMED][:40]}”不认识", f"只填“{YES}”或“{NO}”")
    for column, text in line.lacks():
        yield Fault(line.at[column], f"{line.asked.id} {text}", f"补填；没有两人到场确认的，现场确认填“{NO}”")


def readable(line: Line, column: int, edition: SmeEdition) -> bool:
    """True when a cell of the table holds an answer."""
    question = next((q for q in edition.questions if q.id == line.asked.id), None)
    answer = line.said[column]
    return answer in _SCENE_LEVELS if question is None else question.points(answer) is not None


def _shown(cell: Any) -> tuple[str, str]:
    """What a cell says as text, and why that is not certain."""
    value = cell.value
    if value is None:
        return "", ""
    if cell.data_type == "f":
        return "", "是公式，不是填的值"
    if cell.data_type == "e":
        return "", "是一个错误值"
    if cell.font is not None and cell.font.strike:
        return plain(str(value)), "有删除线"
    if isinstance(value, bool):
        return str(value), "是逻辑值，不是填的值"
    if isinstance(value, int | float):
        percent = "%" in str(cell.number_format)
        return f"{value * 100 if percent else value:.15g}", ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" "), ""
    if isinstance(value, date):
        return value.isoformat(), ""
    return plain(str(value)), ""
