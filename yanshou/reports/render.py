"""All renderings of a record into a folder. It must never compute, change or leave out what the record says."""

from __future__ import annotations

from collections.abc import Mapping
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


def render(record: Data, folder: Path) -> dict[str, Path]:
    """Write report.pdf, report.html, results.json, .csv and .xlsx, junit.xml and a CSV per indicator; their paths by name.

    The same record gives the same bytes. Everything is made before anything is written. Raises UserError (E-GLYPH), OSError.
    """
    printable = fit(record)
    document = build(printable, _digest(record))
    machine = machine_files(record)
    laid_out = _laid_out(document, record, machine["results.json"], str)
    pictured = {f"report.{form}": content for form, content in laid_out.items()}
    return _write({**pictured, **machine, "results.xlsx": results_xlsx(printable)}, folder)


def render_english(record: Data, folder: Path) -> dict[str, Path]:
    """Write report.en.pdf and report.en.html, a translation of the report of a record; their paths by name."""
    printable = fit(record)
    say = speaker(printable)
    with words_by(say):
        document = build(printable, _digest(record))
    translated = edition(document, say, _digest(record))
    laid_out = _laid_out(translated, record, results_json(record), say)
    return _write({f"report.en.{form}": content for form, content in laid_out.items()}, folder)


def _digest(record: Data) -> str:
    return sha256_bytes(canonical(dict(record)) + b"\n")


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
