"""The papers of a case as files: what a lab prints on its letterhead and people fill in and sign.

They lie outside what is signed: a letterhead is the lab's, blanks are filled in afterwards, and a translation is for reading. Each
paper names the digests it was drawn from. It must never change the record, the report or the package.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from yanshou.formats.office import Package
from yanshou.harness.assess import FILE as RECORD_FILE
from yanshou.harness.assess import CaseState, assess, load_state, record_bytes
from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.evidence import require_writable, write_atomic
from yanshou.importers.opening import Form, form_of, read
from yanshou.reports.blocks import Table
from yanshou.reports.docx import opened, render_docx
from yanshou.reports.papers.drawn import papers
from yanshou.reports.papers.model import Paper, Spanned, dossier
from yanshou.reports.render import render_english
from yanshou.reports.workbook import sheet_of, workbook

FOLDER = "documents"


def write_documents(folder: Path, letterhead: Path | None = None, output: Path | None = None) -> list[Path]:
    """Every paper that the case has by now, below `output` (default: documents/ in the case). Raises UserError, OSError.

    Everything is made before anything is written. A file that is there is replaced, so output is not the place to fill one in.
    """
    template = _letterhead(letterhead) if letterhead else None
    state = load_state(folder)
    record = _current_record(state)
    made: dict[str, bytes] = {}
    for paper in papers(dossier(record, state.plan, state.runs, state.case)):
        made[f"{paper.name}.docx"] = render_docx(paper, template)
        if paper.sheet:
            made[f"{paper.name}.xlsx"] = _sheets(paper)
    place = output or folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    require_writable(place)
    for name, content in made.items():
        write_atomic(place / name, content)
    return [place / name for name in made]


def write_english(folder: Path, output: Path | None = None) -> tuple[dict[str, Json], dict[str, Path]]:
    """The present record, and its report in English below `output` (default: documents/ in the case): a reading aid beside what
    is signed. Raises UserError, OSError.
    """
    record = _current_record(load_state(folder))
    place = output or folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    require_writable(place)
    return record, render_english(record, place)


def _current_record(state: CaseState) -> dict[str, Json]:
    """The record of the case as it is; the stored one, where there is one, must be the same. Raises UserError."""
    data = record_bytes(assess(state))
    stored = state.folder / RECORD_FILE
    if stored.exists() and stored.read_bytes() != data:
        raise UserError(
            Problem("D-RECORD", "记录不是现状，文书会与报告不一致", f"先运行 yanshou report {state.folder}", stored)
        )
    record: dict[str, Json] = json.loads(data)
    return record


def _sheets(paper: Paper) -> bytes:
    tables = [block for block in paper.blocks if isinstance(block, Table) and block.title]
    title = "　".join(filter(None, [paper.title, paper.number, paper.marking]))
    sheets = [sheet_of(t.title, title, t, t.spans if isinstance(t, Spanned) else 0) for t in tables]
    return workbook(sheets, paper.title, paper.when)


def _letterhead(path: Path) -> bytes:
    """A Word document that can be opened safely, without macros. Raises UserError."""
    data = read(path)
    if form_of(path) is not Form.DOCX:
        raise UserError(Problem("D-FORM", "信头不是 .docx 文档", "在 Word 或 WPS 里另存为 .docx", path))
    package = Package(data, path)
    package.require_sound()
    if any(name.lower().endswith("vbaproject.bin") for name in package.sizes):
        raise UserError(Problem("D-MACRO", "信头带宏", "另存为不带宏的 .docx", path))
    try:
        opened(data)
    except UserError as error:
        raise UserError([replace(p, file=path) for p in error.problems]) from None
    return data
