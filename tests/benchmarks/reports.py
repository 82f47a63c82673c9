"""The reports of all ten scenarios: pages, bytes, and the processor's time of all renderings beside a bare typst compile.

YANSHOU_BENCH_CASES names a folder with the ten cases, as `yanshou demo --all FOLDER` leaves them; without it they are made,
which takes minutes. Seconds are those of the processor after start-up: the machine may have others. The docx is what
`yanshou documents` makes, and not in these seconds.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pypdf import PdfReader

from tests.benchmarks.table import show
from yanshou.harness.evidence import sha256_bytes
from yanshou.reports.display import fit
from yanshou.reports.document import build
from yanshou.reports.docx import render_docx
from yanshou.reports.figures import _drawn_once
from yanshou.reports.papers.full import full_report
from yanshou.reports.pdf import render_pdf
from yanshou.reports.render import rendered

T = TypeVar("T")
HEAD = ("case", "pages", "pdf kB", "html kB", "docx kB", "all s", "s / page", "typst s", "all / typst")


@dataclass(frozen=True)
class Cost:
    """What one report takes: seconds of the processor for all renderings, and for its pages alone by a bare typst compile."""

    name: str
    pages: int
    pdf: int
    html: int
    docx: int
    seconds: float
    bare: float

    def row(self) -> tuple[object, ...]:
        """As the table shows it."""
        sizes = [round(n / 1000) for n in (self.pdf, self.html, self.docx)]
        each, ratio = f"{self.seconds / self.pages:.3f}", f"{self.seconds / self.bare:.2f}"
        return (self.name, self.pages, *sizes, f"{self.seconds:.2f}", each, f"{self.bare:.2f}", ratio)


def timed(job: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor, and what the job gave."""
    started = time.process_time()
    given = job()
    return time.process_time() - started, given


def cost(case: Path) -> Cost:
    """Of a case that has a record."""
    record = (case / "record.json").read_bytes()
    rendered.cache_clear()
    _drawn_once.cache_clear()
    seconds, files = timed(lambda: rendered(record))
    document = build(fit(json.loads(record)), sha256_bytes(record))
    bare, _ = timed(lambda: render_pdf(document, [], str))
    docx = render_docx(full_report(document))
    pages = len(PdfReader(io.BytesIO(files["report.pdf"])).pages)
    return Cost(case.name, pages, len(files["report.pdf"]), len(files["report.html"]), len(docx), seconds, bare)


def main() -> None:
    """Every case of the portfolio, and their sum."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(os.environ.get("YANSHOU_BENCH_CASES") or made)
        if folder == Path(made):
            subprocess.run(
                [sys.executable, "-m", "yanshou", "demo", "--all", made], check=False, stdout=subprocess.DEVNULL
            )
        cases = sorted(path.parent for path in folder.glob("*/record.json"))
        if not cases:
            raise SystemExit(f"no case in {folder}: make them with yanshou demo --all {folder}")
        cost(cases[0])  # start-up: imports, fonts
        found = [cost(case) for case in cases]
    sums = (sum(getattr(c, name) for c in found) for name in ("pages", "pdf", "html", "docx", "seconds", "bare"))
    show("reports of the portfolio", HEAD, [*(c.row() for c in found), Cost("all", *sums).row()])


if __name__ == "__main__":
    main()
