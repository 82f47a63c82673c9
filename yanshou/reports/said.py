"""What a finished rendering says, read back out of its bytes, whatever its layout.

It is for holding a report that an earlier version drew against what this one draws of the same record: such a report looks
otherwise, but it may print no number and no verdict that this one does not print. It must never judge, and never take a page
for proven: what is only painted (a picture of a number, a script that rewrites a page) cannot be read here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from html.parser import HTMLParser
from logging import CRITICAL, getLogger
from xml.etree import ElementTree as ET

from yanshou.harness.basics import Json
from yanshou.harness.model import Verdict
from yanshou.reports.display import MARKS
from yanshou.reports.machine import BOM

WHOLE = "案卷结论"
"""What stands before the verdict on the case as a whole."""
CERTAIN = 3
"""So many significant digits are no coincidence: a number that is printed with fewer than another one may be its rounding."""
_LAYOUT = re.compile(r"\u7b2c\s*\d+\s*\u9875\s*\u5171\s*\d+\s*\u9875|(?<!\S)[\u8868\u56fe]\s\d+(?=\s)|(?:\. ?){5,}\d+")
"""Numbers of pages (第 1 页 共 2 页), in the contents too, and of tables and plots (表 1, 图 1): they follow the layout."""
_NUMBER = r"(?<![A-Za-z0-9_.])(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)(?!\d|_|\.\d)"
_PART_OF_DIGEST = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}(?![A-Za-z0-9])")
_VERDICT = rf"(?P<mark>[{''.join(MARKS.values())}])\s*(?=[^\W\d])"


@dataclass(frozen=True)
class Said:
    """Numbers as printed, without sign and unit, and verdicts: what was named last before, and the mark of the verdict."""

    numbers: frozenset[Decimal]
    verdicts: frozenset[tuple[str, str]]

    def strange(self, true: Said) -> list[str]:
        """Every number and verdict that `true` does not have, in words. Fewer digits of one of its numbers are the same number."""
        left = sorted(n for n in self.numbers if not _among(n, true.numbers))
        words = {mark: f"{mark} {verdict.word}" for verdict, mark in MARKS.items()}
        turned = sorted(f"{named} {words[mark]}".strip() for named, mark in self.verdicts - true.verdicts)
        return [*turned, *(f"{n:f}" for n in left)]

    def silent(self, verdicts: Mapping[str, str]) -> list[str]:
        """Every name whose verdict (code) is not printed after it."""
        return [name for name, code in verdicts.items() if (name, MARKS[Verdict(code)]) not in self.verdicts]


def _among(number: Decimal, known: frozenset[Decimal]) -> bool:
    if number in known:
        return True
    digits = number.as_tuple()
    if len(digits.digits) < CERTAIN or not isinstance(digits.exponent, int):
        return False
    step = Decimal(1).scaleb(digits.exponent)
    return any(_rounded(k, step) == number for k in known)


def _rounded(number: Decimal, step: Decimal) -> Decimal | None:
    try:
        return number.quantize(step)
    except InvalidOperation:  # more digits than decimals have
        return None


def said(text: str, named: Collection[str], codes: Iterable[str]) -> Said:
    """What a page's text says. `named`: ids of indicators and requirements; `codes`: words with digits that are no numbers.

    A digest or another long word may be broken across lines anywhere, so that a piece of it would look like a number.
    """
    text = _LAYOUT.sub(" ", text)
    whole = "".join(text.split())
    for code in sorted((c for c in codes if c in whole), key=len, reverse=True):
        text = re.sub(r"\s*".join(map(re.escape, code)), " ", text)
    text = _PART_OF_DIGEST.sub(" ", text)
    names = "|".join(re.escape(n) for n in sorted({WHOLE, *named}, key=len, reverse=True))
    numbers, verdicts, last = set[Decimal](), set[tuple[str, str]](), ""
    for found in re.finditer(rf"(?P<name>{names})|{_VERDICT}|{_NUMBER}", text):
        if found["name"]:
            last = found["name"]
        elif found["mark"]:
            verdicts.add((last, found["mark"]))
        else:
            numbers.add(Decimal(found["number"].replace(",", "")))
    return Said(frozenset(numbers), frozenset(verdicts))


class _Visible(HTMLParser):
    """The text of a page that people see, and the results that lie in it for programs."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.results: list[str] = []
        self._into: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._into.append(self.results if dict(attrs).get("id") == "results" else [])

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style") and self._into:
            self._into.pop()

    def handle_data(self, data: str) -> None:
        (self._into[-1] if self._into else self.text).append(data)


@dataclass(frozen=True)
class Page:
    """The text of a rendering for people, and the machine-readable results inside it (None: it carries none)."""

    text: str
    results: str | None


@lru_cache(maxsize=8)
def read_page(name: str, data: bytes) -> Page:
    """A .pdf, .html or .xlsx. Raises ValueError where it cannot be read."""
    readers = {"pdf": _pdf, "html": _html, "xlsx": _xlsx}
    try:
        return readers[name.rpartition(".")[2]](data)
    except Exception as error:  # a file from strangers can fail anywhere in a reader, in ways that it does not promise
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _html(data: bytes) -> Page:
    page = _Visible()
    page.feed(data.decode())
    page.close()
    return Page(" ".join(page.text), "".join(page.results))


def _pdf(data: bytes) -> Page:
    from pypdf import PdfReader

    getLogger("pypdf").setLevel(CRITICAL)  # what is wrong with a PDF from strangers is said in one line, by us
    reader = PdfReader(io.BytesIO(data))
    (results,) = reader.attachments["results.json"]
    return Page("\n".join(page.extract_text() for page in reader.pages), results.decode())


def _xlsx(data: bytes) -> Page:
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data), read_only=True)
    cells = (value for sheet in book for row in sheet.iter_rows(values_only=True) for value in row)
    return Page("\n".join(str(value) for value in cells if value is not None), None)


def read_table(data: bytes) -> dict[str, Json]:
    """A CSV by its columns. Raises ValueError."""
    head, *rows = csv.reader(io.StringIO(data.decode().removeprefix(BOM), newline=""))
    if len(set(head)) != len(head) or any(len(row) != len(head) for row in rows):
        raise ValueError("列名重复，或行的长短不一")
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}


def read_junit(data: bytes) -> dict[str, Json]:
    """junit.xml by its test cases and properties. Raises ValueError."""
    from defusedxml.ElementTree import fromstring

    try:
        return _element(fromstring(data))
    except ET.ParseError as error:
        raise ValueError(str(error)) from None


def _element(element: ET.Element) -> dict[str, Json]:
    """Attributes, text, and what is inside by its names; two of one name are an error."""
    told: dict[str, Json] = {**element.attrib, "text": (element.text or "").strip()}
    for inside in element:
        key = f"{inside.tag} {inside.get('name', '')}".strip()
        if key in told:
            raise ValueError(f"{key} 出现了两次")
        told[key] = _element(inside)
    return told
