"""All renderings of a record into a folder. It must never compute, change or leave out what the record says."""

from __future__ import annotations

from pathlib import Path

from yanshou.harness.evidence import canonical, sha256_bytes, write_atomic
from yanshou.reports.display import Data, fit
from yanshou.reports.document import build
from yanshou.reports.html import render_html
from yanshou.reports.machine import machine_files
from yanshou.reports.pdf import Attachment, render_pdf
from yanshou.reports.summary import results_xlsx


def render(record: Data, folder: Path) -> dict[str, Path]:
    """Write report.pdf, report.html, results.json, .csv and .xlsx, junit.xml and a CSV per indicator; their paths by name.

    The same record gives the same bytes. Everything is made before anything is written. Raises UserError (E-GLYPH), OSError.
    """
    printable = fit(record)
    document = build(printable, sha256_bytes(canonical(dict(record)) + b"\n"))
    machine = machine_files(record)
    results = machine["results.json"]
    attached = Attachment(
        "results.json", results.decode(), "application/json", "机器可读的检测结果（yanshou/results/1）"
    )
    attachments = [attached]
    if envelope := record["plan"].get("envelope"):
        signed = canonical(envelope).decode()
        attachments.append(Attachment("plan.dsse.json", signed, "application/json", "方案的签名信封（DSSE）", "source"))
    pictured = {"report.pdf": render_pdf(document, attachments), "report.html": render_html(document, results)}
    files = {**pictured, **machine, "results.xlsx": results_xlsx(printable)}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, content)
    return {name: folder / name for name in files}
