"""Forms of 表1 as people hand them in, made with python-docx and openpyxl, and the case that they are imported into."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from docx.table import Table, _Cell
from openpyxl import Workbook

from yanshou.harness.case_template import new_case
from yanshou.harness.listing import load_list

HEADERS = (
    "申报场景", "申报项目名称", "参考指标", "本单位当前水平", "项目建设目标", "对指标水平的基本衡量场景或具体含义的补充说明",
)  # fmt: skip
ROWS = (
    ("5G工厂", "某厂5G工厂", "典型应用场景", "2个", "不少于6个", "远程设备操控等六个场景"),
    ("5G工厂", "某厂5G工厂", "设备连接数", "40台", "不少于１２０台（套）", "同一时刻在线"),
    ("5G工厂", "某厂5G工厂", "端到端传输时延", "８ｍｓ", "Ｐ９９≤２ｍｓ", "往返，空载与满载"),
    ("5G工厂", "某厂5G工厂", "产线换型时间", "4小时", "不超过60分钟", "任意两种产品之间"),
)


def case(folder: Path, scenario: int = 10, mode: str = "self-check") -> Path:
    """A case folder as `yanshou new` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.yaml").write_text(new_case(load_list(), scenario, mode, {}), encoding="utf-8")
    return folder


def docx(path: Path, rows: Sequence[Sequence[str]] = ROWS, change: Callable[[Table], object] = lambda _: None) -> Path:
    """A document with 单位情况, 表1 (merged 申报场景 and 申报项目名称, a note across at its end) and 表2."""
    document = Document()
    document.add_paragraph("三、重点指标")
    document.add_table(2, 3).cell(0, 0).text = "申报单位名称"
    table = document.add_table(len(rows) + 2, len(HEADERS))
    for n, values in enumerate([HEADERS, *rows]):
        for cell, value in zip(table.rows[n].cells, values, strict=True):
            cell.text = value
    for column in (0, 1):
        for n in range(2, len(rows) + 1):
            table.cell(n, column).text = ""
        table.cell(1, column).merge(table.cell(len(rows), column)).text = rows[0][column]
    table.rows[-1].cells[0].merge(
        table.rows[-1].cells[-1]
    ).text = "注：1. 指标不对外公开，仅用于专家和评测机构评价参考。"
    budget = document.add_table(2, 3)
    budget.cell(0, 0).text = "科目名称"
    change(table)
    document.save(str(path))
    return path


def put(cell: _Cell, *runs: str) -> None:
    """Replace the only paragraph of a cell by runs given as WordprocessingML, of which `w:` is declared."""
    paragraph = cell.paragraphs[0]._p
    for child in list(paragraph):
        paragraph.remove(child)
    for run in runs:
        paragraph.append(parse_xml(re.sub(r"^<[\w:]+", rf"\g<0> {nsdecls('w')}", run)))


def text(value: str, properties: str = "") -> str:
    """A run of WordprocessingML."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{value}</w:t></w:r>'


def xlsx(
    path: Path, rows: Sequence[Sequence[object]] = ROWS, change: Callable[[Workbook], object] = lambda _: None
) -> Path:
    """A workbook: a sheet of 单位情况, and 表1 below its title, with merged 申报场景 and 申报项目名称 and a note below."""
    book = Workbook()
    book.active.title = "单位情况"
    sheet = book.create_sheet("重点指标")
    sheet["A1"] = "表1 申报单位申报项目重点指标填报表"
    sheet.merge_cells("A1:F1")
    for n, values in enumerate([HEADERS, *rows], 3):
        for column, value in enumerate(values, 1):
            sheet.cell(n, column, value)
    last = len(rows) + 3
    for letter in "AB":
        sheet.merge_cells(f"{letter}4:{letter}{last}")
    sheet.cell(last + 1, 1, "注：1. 指标不对外公开")
    change(book)
    book.save(path)
    return path


def repacked(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    """The same file with one part changed."""
    source, found = path.read_bytes(), False
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            found |= entry.filename == part
            new.writestr(entry.filename, change(data) if entry.filename == part else data)
    assert found, part
    return path


def shared(path: Path) -> Path:
    """The same workbook with its texts as shared strings, which is how Excel and WPS save them and openpyxl does not."""
    strings: list[str] = []

    def moved(match: re.Match[str]) -> str:
        strings.append(match[2])
        return f'{match[1]}t="s"><v>{len(strings) - 1}</v></c>'

    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name).decode()
            if name.startswith("xl/worksheets/"):
                data = re.sub(r'(<c [^>]*)t="inlineStr"[^>]*><is>(.*?)</is></c>', moved, data, flags=re.S)
            elif name == "[Content_Types].xml":
                kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
                data = data.replace(
                    "</Types>", f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
                )
            new.writestr(name, data)
        items = "".join(f"<si>{string}</si>" for string in strings)
        space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        new.writestr("xl/sharedStrings.xml", f'<sst xmlns="{space}">{items}</sst>')
    assert strings
    return path
