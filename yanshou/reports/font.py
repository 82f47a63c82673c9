"""The one font of every report, from an installed package, so that pages do not depend on the machine.

It must never look at system fonts. The font is Noto Sans SC (OFL), shipped by the `zhplot` package.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

FAMILY = "Noto Sans SC"


@cache
def font_file() -> Path:
    """Where the font lies. The package is found but not imported (it would patch matplotlib). Raises FileNotFoundError."""
    spec = find_spec("zhplot")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "fonts" / "NotoSansSC-Regular.ttf"
        if path.is_file():
            return path
    raise FileNotFoundError("NotoSansSC-Regular.ttf")


@cache
def glyphs() -> frozenset[int]:
    """Code points that the font can show."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_file())).get_charmap())
