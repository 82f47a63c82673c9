"""The report itself as a paper, so that a lab can put it on its letterhead. It must never say anything that the report does not."""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.reports.blocks import Document, Facts, Items, Text
from yanshou.reports.papers.model import BLANK, Chapter, NewPage, Paper, PaperBlock, Seals


def full_report(document: Document) -> Paper:
    """The whole report as a paper."""
    blocks = tuple(_blocks(document))
    return Paper("检测报告", document.title, document.number, document.marking, document.ended, blocks)


def _blocks(document: Document) -> Iterator[PaperBlock]:
    yield Text(document.basis)
    yield Text(document.project)
    yield Facts(document.cover)
    yield Facts(document.digests)
    if document.formal:
        yield Seals((("评测机构（检验检测专用章）", BLANK),))
    yield NewPage()
    yield Chapter("声明")
    yield Items(document.statement, numbered=True)
    for section in document.sections:
        yield Chapter(f"{section.number}　{section.title}" if section.number else section.title)
        yield from section.blocks
    yield Text(document.end)
