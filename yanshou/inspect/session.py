"""One sitting of an inspection: the case opened, people served in the terminal or on pages, a page to sign left behind."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from yanshou.harness.assess import load_state
from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.evidence import write_atomic
from yanshou.inspect.recorder import Recorder, progress, recording
from yanshou.inspect.words import said_of
from yanshou.probes.inspection.journal import Standing

if TYPE_CHECKING:
    from yanshou.local_site import Served


def title_of(folder: Path) -> str:
    """What stands on the pages: the project."""
    case = load_state(folder).case.document
    return " ".join(filter(None, (case.project.name, case.target.site))) or folder.resolve().name


def in_terminal(folder: Path, out: Console) -> None:
    """The dialogue. Raises UserError where nobody could answer."""
    from yanshou.inspect.terminal import Dialogue

    if not sys.stdin.isatty():
        raise UserError(Problem("W-TTY", "查验要由人在终端里答", "在终端里运行，或加 --web 用平板填写", folder))
    with recording(folder) as recorder:
        try:
            Dialogue(recorder, out).run()
        finally:
            _leave(recorder, title_of(folder), out)


def on_pages(folder: Path, out: Console, *, host: str, port: int, tls: bool) -> None:
    """The pages, until Ctrl-C. Raises UserError."""
    from yanshou.inspect.web import Site
    from yanshou.local_site import serving

    title = title_of(folder)
    with (
        recording(folder) as recorder,
        serving(lambda gate: Site(recorder, title, gate), host=host, port=port, tls=tls) as served,
    ):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _announce(recorder, title, served, out)
            served.server.serve_forever()
        except KeyboardInterrupt:
            out.print()
        finally:
            _leave(recorder, title, out)


def _announce(recorder: Recorder, title: str, served: Served, out: Console) -> None:
    """Where the pages are, and what those on site should know of the way there."""
    out.print(f"{title}：{said_of(recorder.tally())}", markup=False, soft_wrap=True)
    out.print(f"用浏览器打开 {served.url}", markup=False, soft_wrap=True)
    if not served.local:
        import segno

        code = io.StringIO()
        segno.make(served.url, error="m").terminal(out=code, compact=True)
        out.print(code.getvalue(), markup=False, highlight=False, no_wrap=True, crop=False)
        if served.fingerprint:
            out.print("自签证书：浏览器会警告。先核对证书 SHA-256 指纹与下面一致，再继续：", soft_wrap=True)
            out.print(served.fingerprint, markup=False, soft_wrap=True)
        else:
            text = "局域网上用明文 HTTP：同一网络里的人可能看到照片和口令。只在自己的热点上用，或加 --tls"
            out.print(f"▲ {text}", style="yellow", soft_wrap=True)
    out.print("地址里的通行码只给在场的人。Ctrl-C 结束；已记下的都在磁盘上，再运行即接着做。", soft_wrap=True)
    out.file.flush()


def _leave(recorder: Recorder, title: str, out: Console) -> None:
    """Write the pages to sign beside the sheets, and say what is left to do."""
    from yanshou.inspect.web import STYLE, record_page

    for questions in recorder.sheets:
        page = (recorder.folder / questions.sheet).with_suffix(".html")
        write_atomic(page, record_page(recorder, questions, title, style=STYLE.read_text("utf-8")).encode())
        out.print(f"打印、签字：{page}", markup=False, soft_wrap=True)
    tally = recorder.tally()
    left = tally[Standing.OPEN] + tally[Standing.WAITING] + tally[Standing.DISPUTED]
    after = f"yanshou inspect {recorder.folder} 接着做" if left else f"yanshou run {recorder.folder}"
    out.print(f"{said_of(tally)} → {after}", markup=False, soft_wrap=True)


def progress_json(folder: Path) -> Json:
    """How far each checklist has come."""
    sheets, journal = progress(folder)
    return [
        {
            "indicator": q.indicator,
            "sheet": q.sheet,
            "items": [
                {"id": i.id, "standing": journal.entries[q.sheet, i.id].standing(i).name.lower()} for i in q.items
            ],
        }
        for q in sheets
    ]
