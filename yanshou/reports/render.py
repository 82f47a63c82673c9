"""All renderings of a record. It must never compute, change or leave out what the record says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from yanshou.harness.evidence import canonical, sha256_bytes, write_atomic
from yanshou.reports.blocks import Document, Say
from yanshou.reports.display import Data, fit
from yanshou.reports.document import build
from yanshou.reports.drawing import words_by
from yanshou.reports.english import edition, speaker
from yanshou.reports.html import render_html
from yanshou.reports.machine import machine_files, results_json
from yanshou.reports.pdf import Attachment, render_pdf
from yanshou.reports.summary import results_xlsx

DRAWN_WITH = ("jinja2", "matplotlib", "openpyxl", "segno", "typst", "zhplot")
"""Libraries that decide how pages look: another version of one of them may give other bytes of the same record."""


def drawing_libraries() -> dict[str, str]:
    """The versions of what draws pages here."""
    return {**{name: version(name) for name in DRAWN_WITH}, "zlib": zlib.ZLIB_RUNTIME_VERSION}


@lru_cache(maxsize=2)
def rendered(record: bytes) -> Mapping[str, bytes]:
    """report.pdf, report.html, results.json, .csv and .xlsx, junit.xml and a CSV per indicator, of the bytes of record.json.

    The same record gives the same bytes. Raises UserError (E-GLYPH).
    """
    data = json.loads(record)
    printable = fit(data)
    document = build(printable, sha256_bytes(record))
    machine = machine_files(data)
    laid_out = _laid_out(document, data, machine["results.json"], str)
    pictured = {f"report.{form}": content for form, content in laid_out.items()}
    return {**pictured, **machine, "results.xlsx": results_xlsx(printable)}


def render(record: Data, folder: Path) -> dict[str, Path]:
    """Write all of them below `folder`; their paths by name.

    Everything is made before anything is written. Raises UserError (E-GLYPH), OSError.
    """
    return _write(rendered(canonical(dict(record)) + b"\n"), folder)


def render_english(record: Data, folder: Path) -> dict[str, Path]:
    """Write report.en.pdf and report.en.html, a translation of the report of a record; their paths by name."""
    printable, digest = fit(record), sha256_bytes(canonical(dict(record)) + b"\n")
    say = speaker(printable)
    with words_by(say):
        document = build(printable, digest)
    laid_out = _laid_out(edition(document, say, digest), record, results_json(record), say)
    return _write({f"report.en.{form}": content for form, content in laid_out.items()}, folder)


def _laid_out(document: Document, record: Data, results: bytes, say: Say) -> dict[str, bytes]:
    described = say("机器可读的检测结果（yanshou/results/1）")
    attachments = [Attachment("results.json", results.decode(), "application/json", described)]
    if envelope := record["plan"].get("envelope"):
        signed = canonical(envelope).decode()
        described = say("方案的签名信封（DSSE）")
        attachments.append(Attachment("plan.dsse.json", signed, "application/json", described, "source"))
    return {"pdf": render_pdf(document, attachments, say), "html": render_html(document, results, say)}


def _write(files: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, content)
    return {name: folder / name for name in files}
