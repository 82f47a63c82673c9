"""The PDF: a document laid out by typst as PDF/A-3b, tagged, with the machine-readable results attached.

The same document gives the same bytes everywhere: one packaged font, no system fonts, no clock. Texts go in as data and can
never become markup. It must never decide what is printed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.model import Verdict
from yanshou.reports.blocks import Document, Say, words_of
from yanshou.reports.display import MARKS
from yanshou.reports.font import font_file

TEMPLATE = Path(__file__).with_name("report.typ")
STANDARD: Final = "a-3b"


@dataclass(frozen=True)
class Attachment:
    """A text file inside the PDF. `relationship` is the PDF/A-3 word: data, source, supplement, alternative."""

    name: str
    content: str
    mime: str
    description: str
    relationship: str = "data"


def render_pdf(document: Document, attachments: Sequence[Attachment], say: Say = str) -> bytes:
    """PDF bytes. Raises UserError E-GLYPH when a text cannot be shown in the packaged font."""
    import typst

    layout = TEMPLATE.read_bytes()
    inputs = {
        "document": document.to_json(),
        "words": words_of(layout.decode(), say),
        "verdicts": {v.value: {"mark": MARKS[v], "word": say(v.word)} for v in Verdict},
        "attachments": [a.__dict__ for a in attachments],
    }
    try:
        pdf = typst.compile(
            layout,
            format="pdf",
            font_paths=typst.Fonts(include_system_fonts=False, font_paths=[str(font_file().parent)]),
            sys_inputs={name: json.dumps(value, ensure_ascii=False) for name, value in inputs.items()},
            pdf_standards=STANDARD,
            timestamp=int(datetime.fromisoformat(document.ended).timestamp()),
        )
    except typst.TypstError as error:
        if "could not be displayed with font" in error.message:
            raise UserError(Problem("E-GLYPH", f"有文字无法排印：{error.message}", "在案卷里改用字库有的字")) from None
        raise
    assert isinstance(pdf, bytes)
    return pdf
