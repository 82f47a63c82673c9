"""The catalogue of the English edition: which messages there are, and the .po and .mo that hold their translations.

    python -m tests.catalogue update     # every message of today into the .po, translations kept; then the .mo

A message is a Chinese text that can reach a report: every string and f-string (`{0}`, `{1}` … for its expressions) of the rooms
that word what a report prints, what its layouts print, and every text of the packaged lists. A message that is nothing for people
(an alias, a name that is parsed) is flagged `verbatim` and has no translation.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from ruamel.yaml import YAML

from yanshou.reports.blocks import ASKED
from yanshou.reports.phrases import FOREIGN, HAN

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "yanshou"
PO = PACKAGE / "locale/en/LC_MESSAGES/yanshou.po"
MO = PO.with_suffix(".mo")
VERBATIM = "verbatim"
PLACES = re.compile(r"\{\{|\}\}|\{\d*\}")
ROOMS = ("probes", "reports", "formats", "chains", "importers")
HARNESS = frozenset((
    "assess", "bag", "basics", "check", "container", "digests", "engine", "envelope", "evidence", "host", "invalid", "judge",
    "keys", "listing", "model", "names", "notes", "paperwork", "pictures", "plan", "privacy", "recording", "references", "runs",
    "seal", "sealing", "trust", "units", "verify", "windows",
))  # fmt: skip
"""Modules whose words records hold: findings, reasons, facts, how runs ended."""
LENS = frozenset(("reports/phrases.py", "reports/english.py"))
"""What says the messages, and has none of its own."""
LAYOUTS = frozenset(f"reports/{name}" for name in ("report.html.j2", "blocks.html.j2", "report.js", "report.typ"))
HEAD = """\
# English edition of yanshou's reports. Written by `make catalogue`; a message without a translation fails the tests.
# `verbatim`: matched or parsed and nothing for people, so that it has no translation."""
META = r'''"Language: en\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"'''


@dataclass
class Message:
    """Where a text stands, and what fills its places."""

    files: list[str] = field(default_factory=list)
    places: tuple[str, ...] = ()


@cache
def messages() -> dict[str, Message]:
    """Every message of today's sources, in the order of files and lines."""
    found: dict[str, Message] = {}
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        for text, places in _texts(path, name) if path.is_file() else ():
            if HAN.search(text):
                message = found.setdefault(text, Message(places=places))
                if name not in message.files:
                    message.files.append(name)
    return found


def _texts(path: Path, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    room, *rest = name.split("/")
    if (
        path.suffix == ".py"
        and name not in LENS
        and (room in ROOMS or (room == "harness" and Path(rest[0]).stem in HARNESS))
    ):
        yield from python_texts(path.read_text(encoding="utf-8"))
    elif path.suffix == ".yaml":
        yield from ((text, ()) for text in _strings(YAML(typ="safe", pure=True).load(path)))
    elif name in LAYOUTS:
        yield from ((text, ()) for text in ASKED.findall(path.read_text(encoding="utf-8")))


def python_texts(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every string but docstrings, and every f-string as a message with places, each with the expressions in them."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        for statement in body if isinstance(body := getattr(node, "body", None), list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                skipped.add(id(statement.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            specs = [part.format_spec for part in node.values if isinstance(part, ast.FormattedValue)]
            skipped.update(id(inner) for spec in specs if spec for inner in (spec, *spec.values))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            yield _pattern(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, ()


def _pattern(node: ast.JoinedStr) -> tuple[str, tuple[str, ...]]:
    text, places = "", []
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value).replace("{", "{{").replace("}", "}}")
        elif isinstance(part, ast.FormattedValue):
            text += f"{{{len(places)}}}"
            places.append(ast.unparse(part.value))
    return text, tuple(places)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def read() -> Catalog:
    """The .po as it is."""
    with PO.open("rb") as file:
        return read_po(file, locale="en")


def updated(old: Catalog) -> Catalog:
    """Today's messages with the translations and flags that `old` has for them; nothing is guessed."""
    new = Catalog(locale="en", fuzzy=False)
    for text, message in messages().items():
        known = old.get(text)
        flags = known.flags & {VERBATIM} if known else ()
        said = known.string if known and not flags else ""
        comments = [f"{{{i}}} = {place}" for i, place in enumerate(message.places)]
        added = new.add(text, said, locations=[(f, None) for f in message.files], auto_comments=comments)
        added.flags = set(flags)
    return new


def problems(catalogue: Catalog) -> list[str]:
    """What keeps a catalogue from being complete: one line for each message that is missing, left over, unsaid or said wrongly."""
    today, held = messages(), {message.id: message for message in catalogue if message.id}
    found = [f"missing: {text!r}" for text in today if text not in held]
    found += [f"obsolete: {text!r}" for text in held if text not in today]
    for text, message in held.items():
        if VERBATIM in message.flags:
            found += [f"verbatim, and yet translated: {text!r}"] if message.string else []
        elif not message.string:
            found.append(f"not translated: {text!r}")
        elif sorted(PLACES.findall(text)) != sorted(PLACES.findall(str(message.string))):
            found.append(f"places differ: {text!r}")
        elif FOREIGN.search(str(message.string)):
            found.append(f"not English: {text!r}")
    return found


def po_bytes(catalogue: Catalog) -> bytes:
    """The .po as text. The same messages give the same bytes."""
    out = io.BytesIO()
    write_po(out, catalogue, width=0, include_lineno=False, omit_header=True)
    return f'{HEAD}\nmsgid ""\nmsgstr ""\n{META}\n\n'.encode() + out.getvalue()


def mo_bytes(catalogue: Catalog) -> bytes:
    """What the .po compiles to. The same messages give the same bytes, by one version of Babel."""
    catalogue.creation_date = datetime(2026, 1, 1, tzinfo=UTC)
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def update() -> None:
    """Write the .po and the .mo anew, and say what is not complete."""
    catalogue = updated(read())
    PO.write_bytes(po_bytes(catalogue))
    MO.write_bytes(mo_bytes(catalogue))
    print(f"{len(catalogue)} messages")
    for line in problems(catalogue):
        print(f"  {line}")


if __name__ == "__main__":
    if sys.argv[1:] != ["update"]:
        sys.exit(__doc__)
    update()
