"""SVG pictures as PNG, for Office files, which need them. It must never draw anything itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

PPI = 220
PAGES = """\
#set page(width: auto, height: auto, margin: 0pt)
#for (i, svg) in json(bytes(sys.inputs.pictures)).enumerate() {
  if i > 0 { pagebreak() }
  image(bytes(svg), format: "svg")
}
"""


def rasters(pictures: Sequence[str]) -> list[bytes]:
    """The PNG of each SVG, all in one go. The same SVG gives the same bytes."""
    if not pictures:
        return []
    import typst

    made = typst.compile(
        PAGES.encode(),
        format="png",
        ppi=PPI,
        font_paths=typst.Fonts(include_system_fonts=False, font_paths=[]),
        sys_inputs={"pictures": json.dumps(list(pictures))},
    )
    return [made] if isinstance(made, bytes) else [page for page in made if page is not None]
