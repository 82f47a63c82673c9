"""How every plot of a report is drawn: palette, style, and SVG whose bytes depend on nothing but what is drawn.

It must never compute. Text becomes paths in the packaged font; no clock, no random ids. Colours are Okabe-Ito, and what differs in
colour also differs in dash, width, mark or hatching.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yanshou.reports.font import FAMILY, font_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, SKY, ORANGE, PURPLE, GREEN, VERMILLION = "#0072B2", "#3A9AD3", "#C48600", "#AF5A89", "#009E73", "#C44E00"
INK, GREY, PALE = "#1A1A1A", "#6B6B6B", "#E4E4E4"
WIDTH, HEIGHT = 3.1, 2.0
"""Inches: half a page wide, so that two stand side by side on paper and one fills a telephone."""
TALL = 2.7
"""Inches: high enough for a square plot with words above and below."""
POINTS = 72
"""Dots in an inch of an SVG."""
STYLE: dict[Any, Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": FAMILY,
    "font.size": 7.5,
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "yanshou",
}
LIMIT_LINE: dict[str, Any] = {"color": VERMILLION, "lw": 1.2, "ls": (0, (5, 2)), "zorder": 4}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


_SAY: ContextVar[Callable[[str], str]] = ContextVar("say", default=str)


@contextmanager
def words_by(say: Callable[[str], str]) -> Iterator[None]:
    """Within, every word in a plot is what `say` makes of it: words become paths, and cannot be said otherwise afterwards."""
    token = _SAY.set(say)
    try:
        yield
    finally:
        _SAY.reset(token)


def untranslated() -> bool:
    """Whether words are drawn as they are written, in Chinese."""
    return _SAY.get() is str


def said(text: str) -> str:
    """A word of a plot in the language of the edition that is drawn; for what is measured or cut before it is drawn."""
    return _SAY.get()(text)


@dataclass(frozen=True)
class Panel:
    """One plot: a title to print above it, its SVG, the same in words for who cannot see it, and what to say below."""

    title: str
    svg: str
    alt: str
    note: str = ""


def draw(paint: Callable[[Figure], None], height: float = HEIGHT) -> str:
    """The SVG of what `paint` puts on an empty figure."""
    import matplotlib as mpl
    from matplotlib import font_manager
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    if FAMILY not in font_manager.fontManager.get_font_names():
        font_manager.fontManager.addfont(font_file())
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDTH, height), dpi=POINTS, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        paint(figure)
        if not untranslated():
            for text in figure.findobj(Text):
                text.set_text(said(text.get_text()))
        out = io.StringIO()
        # `savefig` draws everything twice, the first time only to lay it out.
        if layout := figure.get_layout_engine():
            layout.execute(figure)
        figure.set_layout_engine("none")
        canvas.print_svg(out, metadata=NO_METADATA)  # type: ignore[no-untyped-call]
    return out.getvalue()


def draw_axes(paint: Callable[[Axes], None], height: float = HEIGHT) -> str:
    """The SVG of what `paint` puts on one pair of axes."""
    return draw(lambda figure: paint(figure.add_subplot()), height)


def short(text: str, most: int = 16) -> str:
    """One line of at most `most` characters; of Latin letters, which are half as wide, twice as many."""
    known = text.replace("\n", " ")
    text = said(known)
    if text != known:
        most *= 2
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
