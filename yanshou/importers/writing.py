"""What was confirmed, or taken over unconfirmed, written into the case: values with their source, and a copy of the document.

It must never replace what a person wrote: every difference is shown, and then nothing at all is written.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from yanshou.harness.basics import Problem, UserError, refusal
from yanshou.harness.case import Case, Place, Source, load_case
from yanshou.harness.case_edit import Written, conflicts, edited, value_at
from yanshou.harness.evidence import digest_file, require_writable, sha256_bytes, sync_folder, write_atomic
from yanshou.harness.listing import Scenario, load_list
from yanshou.harness.names import name_problem
from yanshou.importers.delimited import read_delimited
from yanshou.importers.docx import read_docx
from yanshou.importers.grid import one_line, squeezed
from yanshou.importers.opening import Form, form_of, read
from yanshou.importers.propose import Proposal, propose
from yanshou.importers.table import Table1, find_table1
from yanshou.importers.xlsx import read_xlsx

INPUTS = "inputs"
READERS = {Form.DOCX: read_docx, Form.XLSX: read_xlsx, Form.TEXT: read_delimited}


@dataclass(frozen=True)
class Document:
    """A document as the case will keep it: `name` is relative to the case folder."""

    path: Path
    name: str
    sha256: str


@dataclass(frozen=True)
class Offer:
    """What an import would do to a case; nothing is written yet."""

    case: Case
    scenario: Scenario
    document: Document
    table: Table1
    proposals: tuple[Proposal, ...]

    @property
    def settled(self) -> frozenset[str]:
        """Indicators whose row of this very document somebody has confirmed before."""
        sources = {i: c.source for i, c in self.case.document.commitments.items() if c.source}
        return frozenset(i for i, s in sources.items() if s.sha256 == self.document.sha256 and s.confirmed_by)


def case_and_scenario(folder: Path) -> tuple[Case, Scenario]:
    """The case and its row of the list. Raises UserError."""
    case = load_case(folder)
    try:
        return case, load_list(case.document.list).scenario(case.document.scenario)
    except KeyError:
        text = f"榜单没有场景 {case.document.scenario}"
        raise UserError(Problem("C01", text, "先改正 scenario", case.path, case.line("scenario"))) from None


def offer(folder: Path, path: Path) -> Offer:
    """表1 of a .docx, .xlsx or .csv as proposals for the case in `folder`. Raises UserError."""
    case, scenario = case_and_scenario(folder)
    form = form_of(path)
    if form is Form.OPAQUE:
        text = "是扫描件、图片或旧格式（.doc .wps .et .xls），读不出文字；不做文字识别"
        remedy = (
            "有电子表就导入电子表（旧格式先用 WPS 或 Office 另存为 .docx、.xlsx）；只有扫描件时加 --by-hand 由两人录入"
        )
        raise UserError(Problem("I-OPAQUE", text, remedy, path))
    data = read(path)
    table = find_table1(READERS[form](data, path), path)
    document = kept(path, folder, form)
    if document.sha256 != sha256_bytes(data):
        raise UserError(Problem("I-CHANGED", "读取期间文件被改动", "关掉正在编辑它的程序后重试", path))
    proposals = propose(table.rows, scenario, case.document.commitments, document.sha256)
    return Offer(case, scenario, document, table, proposals)


def kept(path: Path, folder: Path, form: Form = Form.OPAQUE) -> Document:
    """Where the case will keep a document: where it is when that is in the case folder, else in inputs/. Raises UserError."""
    try:
        sha256 = digest_file(path)
    except OSError as error:
        raise UserError(Problem("I-FILE", f"读不出：{refusal(error)}", "检查路径与读权限", path)) from None
    suffix = "" if form is Form.OPAQUE or path.suffix.lower() == f".{form.value}" else f".{form.value}"
    inside = path.resolve().is_relative_to(folder.resolve()) and not suffix
    name = path.resolve().relative_to(folder.resolve()).as_posix() if inside else f"{INPUTS}/{path.name}{suffix}"
    if problem := name_problem(name):
        raise UserError(Problem("I-NAME", f"文件名{problem}", "改名后再导入", path))
    target = folder / name
    if target.exists() and digest_file(target) != sha256:
        raise UserError(Problem("I-EXISTS", f"案卷里已有另一份 {name}", "给文件换个名字，如加上版本", path))
    return Document(path, name, sha256)


def values_of(
    case: Case, proposals: Sequence[Proposal], document: Document, people: Sequence[str], day: date
) -> dict[Place, Written]:
    """Place -> value for every proposal. `people`: who confirmed it, nobody for an unconfirmed import.

    Left out is what the case says already in another spelling of blanks and widths, and who had confirmed before.
    Raises UserError for two rows of one indicator.
    """
    rows = Counter(p.indicator for p in proposals)
    if twice := [i for i, number in rows.items() if number > 1]:
        text = f"{'、'.join(twice)} 对应了不止一行"
        raise UserError(Problem("I-TWICE", text, "一个指标只对应一行，另一行改编号或不导入", document.path))
    values: dict[Place, Written] = {}
    projects = {one_line(p.row.project.text) for p in proposals} - {""}
    if len(projects) == 1:
        values["project", "name"] = projects.pop()
    for p in proposals:
        cells = {"baseline": p.row.baseline.text, "target": p.target, "note": p.row.note.text}
        if squeezed(p.target) != squeezed(
            p.row.target.text
        ):  # what stands around the limit must not be lost to the reader
            whole = f"项目建设目标原文：{one_line(p.row.target.text)}"
            cells["note"] = "；".join(filter(None, (cells["note"].strip(), whole)))
        if "-P" in p.indicator:
            cells = {"name": one_line(p.row.indicator.text), **cells}
        place: Place = ("commitments", p.indicator)
        values |= {(*place, key): text.strip() for key, text in cells.items() if text.strip()}
        values[*place, "source", "file"] = document.name
        values[*place, "source", "sha256"] = document.sha256
        values[*place, "source", "cell"] = p.row.target.address or p.row.baseline.address
        values[*place, "source", "indicator"] = p.row.indicator.text
        if p.row.target.text.strip():
            values[*place, "source", "text"] = p.row.target.text
        if not _confirmed(case, p.indicator):
            values[*place, "source", "confirmed_by"] = list(people)
            if people:
                values[*place, "source", "confirmed_at"] = day.isoformat()
    return {place: value for place, value in values.items() if not _says(case, place, value)}


def scan_values(case: Case, scan: Document, table: Document, people: Sequence[str], day: date) -> dict[Place, Written]:
    """Place -> value for the pair of stamped scan and table; `people`: who compared them."""
    values: dict[Place, Written] = {
        ("scan", "file"): scan.name,
        ("scan", "sha256"): scan.sha256,
        ("scan", "table_sha256"): table.sha256,
    }
    if not (case.document.scan and case.document.scan.compared_by):
        values["scan", "compared_by"] = list(people)
        if people:
            values["scan", "compared_at"] = day.isoformat()
    return {place: value for place, value in values.items() if not _says(case, place, value)}


def _source(case: Case, indicator: str) -> Source | None:
    commitment = case.document.commitments.get(indicator)
    return commitment.source if commitment else None


def _confirmed(case: Case, indicator: str) -> bool:
    source = _source(case, indicator)
    return source is not None and bool(source.confirmed_by)


def _says(case: Case, place: Place, value: Written) -> bool:
    old = value_at(case.data, place)
    if isinstance(old, str) and isinstance(value, str) and place[-1] not in ("indicator", "text"):
        return squeezed(old) == squeezed(value)
    return bool(old == value)


def write(case: Case, values: Mapping[Place, Written], documents: Sequence[Document]) -> None:
    """Copy the documents into the case and write the values. Raises UserError with every difference; then nothing is changed."""
    if found := list(conflicts(case, values)):
        raise UserError(found)
    text = edited(case, values)
    folder = case.path.parent
    require_writable(folder)
    for document in documents:
        _copy(document, folder)
    if case.path.read_bytes() != case.text.encode():
        remedy = "关掉编辑器里的改动，或保存后重新导入"
        raise UserError(Problem("I-CHANGED", "确认期间案卷被改动，没有写入", remedy, case.path))
    if text != case.text:
        write_atomic(case.path, text.encode())


def _copy(document: Document, folder: Path) -> None:
    target = folder / document.name
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(document.path, temporary)
        if digest_file(temporary) != document.sha256:
            raise UserError(Problem("I-CHANGED", "复制期间文件被改动", "关掉正在编辑它的程序后重试", document.path))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
