"""A table as people see it: every place of the grid holds the cell that covers it. It must never correct a text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SUPERSCRIPT = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
"""A raised 5 stays a raised 5: 10⁵条 must not be read as 105条."""


@dataclass(frozen=True)
class Cell:
    """Verbatim text, and its address for people (`第2个表3行5列`, `重点指标!E7`). Cells that are merged are one and the same.

    `flaw`: why the text is not certainly what a reader of the paper sees, "" where it is.
    """

    text: str
    address: str
    flaw: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: its name for people, and its rows, which may be of different length."""

    name: str
    rows: tuple[tuple[Cell, ...], ...]


def squeezed(text: str) -> str:
    """`text` for comparing only: NFKC, without blanks and line breaks. Never stored."""
    return re.sub(r"[\s\u200b-\u200d\ufeff]+", "", unicodedata.normalize("NFKC", text))


def one_line(text: str) -> str:
    """`text` with every run of blanks and line breaks as one space."""
    return " ".join(text.split())
