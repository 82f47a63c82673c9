"""The pieces a report is made of, without layout: PDF and HTML each lay out every kind of block once.

It must never know a record. All texts are final: a layout adds marks, lines and pages, and few words of its own, which it asks
for by `say("…")`, so that they are in the language of the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import count
from typing import Final, TypeAlias

from rich.cells import cell_len

from yanshou.harness.basics import Json
from yanshou.reports.display import NOTHING, Data, display

CHINESE: Final = "zh-CN"
"""The language that everything is written in."""


@dataclass(frozen=True)
class Cell:
    """A line of text, smaller lines under it, a wordless SVG strip between; a verdict's code gives its mark and word."""

    text: str
    sub: tuple[str, ...] = ()
    verdict: str = ""
    mono: bool = False
    strip: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Notice:
    """A paragraph that must not be overlooked."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list; numbered where people refer to its points."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values, one pair a line."""

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Table:
    """A table with a head. `widths` are shares of the line; `right` the columns that hold numbers only.

    `dense`: set small, as long lists are; `fold`: how many rows of a narrow list find room side by side on paper.
    """

    title: str
    head: tuple[str, ...]
    widths: tuple[float, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: tuple[int, ...] = ()
    fitted: bool = False
    """Whether the widths follow the lengths of its texts, in whatever language these are."""
    dense: bool = False
    fold: int = 1


@dataclass(frozen=True)
class Plots:
    """Plots side by side, each {"title", "svg", "alt", "note"}."""

    caption: str
    plots: tuple[Data, ...]


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, with the verdict of what it is about."""

    text: str
    verdict: str = ""


@dataclass(frozen=True)
class Command:
    """What to type."""

    text: str


@dataclass(frozen=True)
class Conclusion:
    """The verdict of the case, what it means, and how many indicators have which verdict."""

    verdict: str
    text: str
    counts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """A QR code with the text it holds, and what the text is for. `svg` has no words."""

    svg: str
    text: str
    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Signatures:
    """Lines to sign on: role and printed name."""

    lines: tuple[tuple[str, str], ...]


Block: TypeAlias = Text | Notice | Items | Facts | Table | Plots | Heading | Command | Conclusion | Code | Signatures


@dataclass(frozen=True)
class Section:
    """A numbered section ("" for the annex)."""

    number: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report. `marking` stands on every page; `formal` asks for a seal box; `ended` (UTC) dates the file.

    `lang`: of its texts, as HTML names it. `translation`: of what it is one, on every page; a translation is not sealed.
    """

    title: str
    basis: str
    project: str
    number: str
    edition: str
    marking: str
    formal: bool
    ended: str
    cover: tuple[tuple[str, Cell], ...]
    digests: tuple[tuple[str, Cell], ...]
    statement: tuple[str, ...]
    sections: tuple[Section, ...]
    end: str = "报告结束"
    lang: str = CHINESE
    translation: str = ""

    def to_json(self) -> dict[str, Json]:
        """Plain dicts and lists; every block says its kind under "is"."""
        found: dict[str, Json] = plain(self)
        return found


SHORTEST, LINE, LONG = 6, 106, 40
"""Of a fitted table: half-width characters of its narrowest column and of a line; rows from which on it is folded."""
Say: TypeAlias = Callable[[str], str]
"""A text in the language of an edition; `str` for Chinese, in which everything is written."""
ASKED = re.compile(r'\bsay\("([^"]*)"')


def words_of(layout: str, say: Say) -> dict[str, str]:
    """Every text that a layout asks for by `say("…")`, and what is said."""
    return {text: say(text) for text in ASKED.findall(layout)}


def plain(value: Json) -> Json:
    """A block, a cell, or anything that holds some, as plain dicts and lists for a layout."""
    if is_dataclass(value):
        return {"is": type(value).__name__.lower(), **{f.name: plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def cell(value: object) -> Cell:
    """Any value of a record as a cell."""
    if isinstance(value, Cell):
        return value
    if value is None or value in ("", []):
        return Cell(NOTHING)
    if isinstance(value, (bool, int, float)):
        return Cell(display(value))
    return Cell("、".join(value) if isinstance(value, list) else str(value))


def field(value: Json, say: Callable[[str], str] = str, number: Callable[[float], str] = display) -> Cell:
    """A machine's own field: a nested value in words, one line per entry of a list of records.

    `say`: how its names are printed, `number`: how its numbers.
    """

    def words(part: Json) -> str:
        if isinstance(part, dict):
            return "，".join(f"{say(k)} {words(v)}" for k, v in part.items() if v not in (None, "", []))
        if isinstance(part, list):
            return f"{len(part)} 条" if _is_records(part) else "、".join(map(words, part))
        if isinstance(part, str):
            return say(part)
        if type(part) is float:
            return number(part)
        return str(part) if type(part) is int else display(part)

    return Cell("\n".join(map(words, value))) if _is_records(value) else cell(words(value))


def _is_records(value: Json) -> bool:
    return isinstance(value, list) and any(isinstance(v, dict) for v in value)


def digest(text: str | None) -> Cell:
    """A digest, set so that its characters can be told apart."""
    return Cell(text or NOTHING, mono=True)


def verdict_cell(code: str, *sub: str) -> Cell:
    """A verdict with smaller lines under it."""
    return Cell("", sub, code)


def facts(*rows: tuple[str, object]) -> Facts:
    """Facts of any values."""
    return Facts(tuple((name, cell(value)) for name, value in rows))


def table(
    title: str,
    columns: dict[str, float],
    rows: Sequence[Sequence[object]],
    right: tuple[int, ...] = (),
    *,
    dense: bool = False,
) -> Table:
    """A table of any values; `columns` are heads with their shares of the line."""
    cells = tuple(tuple(cell(value) for value in row) for row in rows)
    return Table(title, tuple(columns), tuple(columns.values()), cells, right, dense)


def fitted(listed: Table) -> Table:
    """The same table, each column as wide as its longest line, as far as the line goes; a head may take two.

    A long list that is narrow is folded.
    """
    lengths = [
        max(-(-cell_len(head) // 2), *(cell_len(line) for row in listed.rows for line in row[column].text.split("\n")))
        for column, head in enumerate(listed.head)
    ]
    wanted = [max(n + 2, SHORTEST) for n in lengths]
    fold = max(1, LINE // sum(wanted)) if len(listed.rows) > LONG else 1
    return replace(listed, widths=tuple(map(float, _shares(wanted, LINE))), fitted=True, fold=fold)


def _shares(wanted: Sequence[int], line: int) -> list[int]:
    """What each column gets of a line: the shorter ones what they want, the longest ones alike what is left."""
    left, most = line, line
    for place, width in enumerate(sorted(wanted)):
        most = left // (len(wanted) - place)
        if width > most:
            break
        left -= width
    return [min(width, max(most, SHORTEST)) for width in wanted] if sum(wanted) > line else list(wanted)


def numbered(sections: Sequence[Section]) -> Iterator[Section]:
    """The same sections with tables and plots numbered through."""
    tables, plots = count(1), count(1)
    for section in sections:
        blocks: list[Block] = []
        for block in section.blocks:
            if isinstance(block, Table):
                blocks.append(replace(block, title=f"表 {next(tables)}　{block.title}"))
            elif isinstance(block, Plots):
                blocks.append(replace(block, caption=f"图 {next(plots)}　{block.caption}"))
            else:
                blocks.append(block)
        yield replace(section, blocks=tuple(blocks))
