"""All renderings of a record into a folder. It must never compute, change or leave out what the record says."""

from __future__ import annotations

from pathlib import Path

from yanshou.harness.evidence import write_atomic
from yanshou.reports.display import Data, fit
from yanshou.reports.document import build
from yanshou.reports.html import render_html
from yanshou.reports.machine import junit_xml, results_csv, results_json
from yanshou.reports.pdf import Attachment, render_pdf


def render(record: Data, folder: Path) -> dict[str, Path]:
    """Write report.pdf, report.html, results.json, results.csv and junit.xml; their paths by name.

    The same record gives the same bytes. Everything is made before anything is written. Raises UserError (E-GLYPH), OSError.
    """
    printable = fit(record)
    document = build(printable)
    results = results_json(record)
    attached = Attachment(
        "results.json", results.decode(), "application/json", "机器可读的检测结果（yanshou/results/1）"
    )
    files = {
        "report.pdf": render_pdf(document, [attached]),
        "report.html": render_html(document, results),
        "results.json": results,
        "results.csv": results_csv(printable),
        "junit.xml": junit_xml(printable),
    }
    for name, content in files.items():
        write_atomic(folder / name, content)
    return {name: folder / name for name in files}
