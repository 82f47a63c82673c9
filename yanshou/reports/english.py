"""The English edition of a document: the same blocks from the same record, every text for people said in English.

Findings, reasons and facts are worded where they are decided and are signed in Chinese; a translation is a lens over the finished
document. It must never change a number, a verdict or what a case says of itself, never be sealed or signed, and says on every page
what it is a translation of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib.resources import files

from yanshou.harness.basics import Json
from yanshou.reports.blocks import Cell, Code, Document, Facts, Plots, Say, Signatures, Table, fitted
from yanshou.reports.display import NOTHING, Data
from yanshou.reports.phrases import Phrases

OWN = frozenset((
    "name", "commitment_text", "baseline", "note", "answer", "subject", "condition", "params", "file", "obtained_from", "kind",
    "place",
))  # fmt: skip
"""Names in a finding under which stands what people wrote, or what a system calls its parts."""
CATALOGUE = "locale/en/LC_MESSAGES/yanshou.mo"
LINE = 100.0
"""Half-width characters of a table's text in a line of the PDF."""
PADDING = 2.5
"""Characters that a column loses to its margins."""
LONGEST, DIGEST = 24, 64
"""Characters that a fitted column is as wide as at most, unless a word is as long as a digest."""
LONGEST_WORD = 18
"""Characters from which on a word may be broken."""
VERDICT = 14
"""Characters that a verdict with its mark and box is as wide as."""


@cache
def catalogue() -> Phrases:
    """What the packaged catalogue says."""
    return Phrases(read_mo((files("yanshou") / CATALOGUE).read_bytes()))


def read_mo(data: bytes) -> dict[str, str]:
    """Message -> translation of a compiled catalogue; gettext looks up one message, and patterns must be gone through."""
    _, _, count, originals, translations = struct.unpack_from("<5I", data)

    def text(table: int, i: int) -> str:
        length, start = struct.unpack_from("<2I", data, table + 8 * i)
        return data[start : start + length].decode()

    return {text(originals, i): text(translations, i) for i in range(count) if text(originals, i)}


def own_words(record: Data) -> frozenset[str]:
    """What a case, its people and its plan say in their own words: names, commitments, parameters. A translation keeps it."""
    found = {*strings(record["case"]), *strings(record.get("amendments"))}
    return frozenset(found.union(_under(record["findings"])))


def answers(record: Data) -> frozenset[str]:
    """What stands in checklists: questions and answers of people, and of instruments that fill in their own."""
    items = [(f.get("figure") or {}).get("items", ()) for f in record["findings"]]
    return frozenset(strings(items))


def _under(value: Json) -> Iterator[str]:
    """Every text below a name of `OWN`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner) if name in OWN else _under(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _under(inner)


def strings(value: Json) -> Iterator[str]:
    """Every text inside a value, those of keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings(inner)


def speaker(record: Data) -> Phrases:
    """How texts of this record are said in English."""
    return catalogue().keeping(own_words(record), answers(record))


def edition(document: Document, say: Say, record_sha256: str) -> Document:
    """The English edition of a document whose plots are in English already (`drawing.words_by`)."""
    said: Document = _said(document, say)
    notice = (
        f"English translation of report {said.number}. The Chinese edition prevails.\n"
        f"Made from the record with SHA-256 {record_sha256}"
    )
    return replace(said, project=document.project, lang="en", translation=notice)


def _said(value: Json, say: Say) -> Json:
    if isinstance(value, str):
        return say(value)
    if isinstance(value, tuple):
        return tuple(_said(v, say) for v in value)
    if isinstance(value, Cell):
        return replace(value, text=say(value.text), sub=_said(value.sub, say))
    if isinstance(value, Plots):
        words = ("title", "alt", "note")
        plots = tuple({**plot, **{name: say(plot[name]) for name in words}} for plot in value.plots)
        return replace(value, caption=say(value.caption), plots=plots)
    if isinstance(value, Code):
        return replace(value, rows=_said(value.rows, say))
    if isinstance(value, Signatures):
        return Facts(tuple((say(role), Cell(name or NOTHING)) for role, name in value.lines))
    if is_dataclass(value) and not isinstance(value, type):
        said = replace(value, **{f.name: _said(getattr(value, f.name), say) for f in fields(value)})
        if not isinstance(said, Table):
            return said
        said = fitted(said) if said.fitted else said
        return replace(said, widths=_roomy(said))
    return value


def _roomy(table: Table) -> tuple[float, ...]:
    """The shares of a table's columns, each as wide as its longest word, as far as the line goes; the rest as they were."""
    columns = [[head, *(row[i].text for row in table.rows)] for i, head in enumerate(table.head)]
    longest = [max(len(word) for text in texts for word in text.replace("\n", " ").split(" ")) for texts in columns]
    verdicts = [any(row[i].verdict for row in table.rows) for i in range(len(columns))]
    least = [
        max(min(words, LONGEST_WORD), VERDICT if has else 1) + PADDING
        for words, has in zip(longest, verdicts, strict=True)
    ]
    widths = table.widths
    if table.fitted:  # sentences wrap at blanks, as Chinese does anywhere
        widths = tuple(w if n >= DIGEST else min(w, LONGEST) for w, n in zip(widths, longest, strict=True))
    wanted = [max(w / sum(widths) * LINE, few) for w, few in zip(widths, least, strict=True)]
    spare, asked = LINE - sum(least), sum(wanted) - sum(least)
    part = max(0.0, min(1.0, spare / asked)) if asked else 0.0
    return tuple(round(few + part * (want - few), 2) for few, want in zip(least, wanted, strict=True))
