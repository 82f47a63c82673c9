"""What a visible signature shows: name, role, time and certificate in the packaged font, as a PDF of one page.

It must never decide where the signature stands or whether it holds.
"""

from __future__ import annotations

import json
from pathlib import Path

from yanshou.reports.display import fit
from yanshou.reports.font import font_file

TEMPLATE = Path(__file__).with_name("stamp.typ")


def render_stamp(*, name: str, role: str, time: str, certificate: str, width: float, height: float) -> bytes:
    """PDF bytes of a page of `width` x `height` points. Raises UserError (E-GLYPH)."""
    import typst

    shown = fit({"name": name, "role": role, "time": time, "certificate": certificate})
    pdf = typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        font_paths=typst.Fonts(include_system_fonts=False, font_paths=[str(font_file().parent)]),
        sys_inputs={"stamp": json.dumps({**shown, "width": width, "height": height}, ensure_ascii=False)},
    )
    assert isinstance(pdf, bytes)
    return pdf
