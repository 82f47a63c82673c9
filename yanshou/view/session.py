"""One review: everything opened and verified, served on this computer until Ctrl-C, and nothing left behind but signed notes."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from yanshou.harness.keys import PrivateKey
from yanshou.harness.trust import Trust
from yanshou.local_site import serving
from yanshou.view.opened import open_verified
from yanshou.view.web import Site


def review(paths: Sequence[Path], trust: Trust | None, key: PrivateKey | None, out: Console, *, port: int = 0) -> None:
    """Verify every path, say what was found, and serve the pages. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="yanshou-view-") as scratch:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        opened = []
        try:
            for number, path in enumerate(paths):
                opened.append(found := open_verified(path, trust, Path(scratch) / str(number)))
                said = found.found.conclusion
                out.print(f"{path}：{said}", markup=False, soft_wrap=True)
            with serving(lambda gate: Site(opened, gate, key), port=port) as served:
                out.print(f"用本机的浏览器打开 {served.url}", markup=False, soft_wrap=True)
                out.print("只读，只在本机。Ctrl-C 结束，解开的文件随即删除。", markup=False, soft_wrap=True)
                out.file.flush()
                served.server.serve_forever()
        except KeyboardInterrupt:
            out.print()
