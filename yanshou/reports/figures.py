"""Plots of a record's figures as SVG: what an indicator's numbers look like against its limit.

It draws what the record holds and must never compute a statistic.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from yanshou.reports.display import Data, display, left_out, limit_text, quantity, statistic_word, unit_text
from yanshou.reports.drawing import (
    BLUE,
    GREY,
    INK,
    LIMIT_LINE,
    PALE,
    SKY,
    VERMILLION,
    Panel,
    draw_axes,
    short,
    untranslated,
)
from yanshou.reports.pictures import picture_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 10
"""Usual distances of neighbouring points beyond which there is nothing between two of them."""


def panels(figure: Data | None) -> tuple[Panel, ...]:
    """The plots of one figure of a record; none for a checklist, which is a table, or where there is nothing to draw."""
    if figure is None or figure["kind"] == "checklist":
        return ()
    return tuple(_sample_panels(figure) if figure["kind"] == "samples" else _count_panels(figure))


def more_panels(figure: Data | None) -> tuple[Panel, ...]:
    """The plots of the further pictures that came with a figure."""
    pictures = (figure or {}).get("pictures") or ()
    if not untranslated():
        return tuple(panel for picture in pictures for panel in picture_panels(picture))
    return tuple(panel for picture in pictures for panel in _drawn_once(json.dumps(picture, sort_keys=True)))


@lru_cache(maxsize=32)
def _drawn_once(picture: str) -> tuple[Panel, ...]:
    """What two indicators have in common, such as the sky above one receiver, is drawn once."""
    return tuple(picture_panels(json.loads(picture)))


def strip(value: float | None, lower: float | None, upper: float | None, limit: Data) -> str:
    """A wordless strip: limit in the middle, the side that satisfies shaded, the value as a dot, its bounds as a bar.

    Full width is the limit ±50 %, beyond it an end stands at the edge; a bound that does not exist leaves its
    end open. "" where there is nothing to show.
    """
    bound = limit["value"]
    if value is None or isinstance(bound, bool) or not bound or limit["op"] == "==":
        return ""

    def place(number: float) -> float:
        away = 100 * (number - float(bound)) / abs(float(bound))
        return 50 + round(min(47.0, max(-47.0, away)), 2)

    left, right = 0.0 if lower is None else place(lower), 100.0 if upper is None else place(upper)
    stops = "".join(f"M{place(x)} 4V10" for x in (lower, upper) if x is not None)
    shade = 0 if limit["op"] in ("<=", "<") else 50
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 14">'
        f'<rect x="{shade}" y="1" width="50" height="12" fill="#dfe7ee"/>'
        f'<path d="M50 0V14" stroke="{VERMILLION}" stroke-width="1.6" stroke-dasharray="3.2 1.6"/>'
        f'<path d="M{left} 7H{right}{stops}" stroke="{INK}" stroke-width="1.2" fill="none"/>'
        f'<circle cx="{place(value)}" cy="7" r="2.6" fill="{INK}"/></svg>'
    )


def prefixed(svg: str, prefix: str) -> str:
    """An SVG for inlining into HTML: ids made unique by `prefix`, no XML head, no namespace addresses."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)


def _sample_panels(figure: Data) -> Iterator[Panel]:
    limit, unit, lost = figure["limit"], figure["unit"], figure["lost"]
    name, point = statistic_word(figure["statistic"]), quantity(figure["point"], unit, limit)
    bounds = f"置信下界 {quantity(figure['lower'], unit, limit)}，置信上界 {quantity(figure['upper'], unit, limit)}"
    known = f"{name} 为 {point}，{bounds}，" if figure["point"] is not None else ""
    if figure["ecdf"]:
        alt = f"尾部分布曲线：{known}限值 {limit_text(limit)}，丢失 {lost} 个。"
        yield Panel("尾部分布：超出某值的样本占比", draw_axes(lambda axes: _tail(axes, figure)), alt)
    if figure["series"]:
        alt = f"随时间变化的曲线：各时段的中位数与最大值，限值 {limit_text(limit)}，丢失 {lost} 个。"
        yield Panel("时间过程：各时段中位数与最大值", draw_axes(lambda axes: _series(axes, figure)), alt)


def _tail(axes: Axes, figure: Data) -> None:
    """Share of samples above x, logarithmic, so that the tail that decides is seen."""
    limit = figure["limit"]
    curve = [(x, 1 - p) for x, p in figure["ecdf"]]
    positive = [share for _, share in curve if share > 1e-12]
    bottom = min(positive, default=0.1) / 2
    axes.plot(*zip(*[(x, max(s, bottom)) for x, s in curve], strict=True), color=BLUE, lw=1.4, drawstyle="steps-post")
    axes.set_yscale("log", subs=())
    axes.set_ylim(bottom, 1.6)
    shares = [1 / 10**k for k in range(7) if 1 / 10**k >= bottom]
    axes.set_yticks(shares, [f"{100 * s:g}%" for s in shares], minor=False)
    axes.set_xlabel(f"测得值 / {unit_text(figure['unit'])}")
    axes.grid(axis="y", color=PALE, lw=0.5)
    axes.set_axisbelow(True)
    marks = [v for v in (figure["lower"], figure["point"], figure["upper"]) if v is not None]
    edges = [x for x, _ in curve] + marks + [float(limit["value"])]
    low, high = min(edges), max(edges)
    span = (high - low) or abs(high) or 1.0
    axes.set_xlim(low - 0.04 * span, high + 0.10 * span)
    _limit_line(axes, limit)
    if figure["lost"]:
        axes.annotate(
            f"丢失 {display(figure['lost'])} 个，按超限计", (0, 0), xycoords="axes fraction", xytext=(4, 4),
            textcoords="offset points", color=VERMILLION,
        )  # fmt: skip
    if figure["point"] is not None:
        _bracket(axes, figure, _share_above(figure, curve, math.sqrt(bottom)))


def _share_above(figure: Data, curve: list[tuple[float, float]], least: float) -> float:
    """Height at which a statistic is marked: P99 where 1 % lies above it, any other on the curve, but not below `least`."""
    level = re.fullmatch(r"p(\d+(?:\.\d+)?)", figure["statistic"])
    if level:
        return 1 - float(level[1]) / 100
    return max(least, next((share for x, share in curve if x >= figure["point"]), 0.0))


def _bracket(axes: Axes, figure: Data, y: float) -> None:
    """Point and confidence interval as a bar with end stops; an open end where a bound does not exist."""
    point, limit = figure["point"], figure["limit"]
    left = axes.get_xlim()[0] if figure["lower"] is None else figure["lower"]
    right = axes.get_xlim()[1] if figure["upper"] is None else figure["upper"]
    axes.plot([left, right], [y, y], color=INK, lw=1.1, zorder=5)
    stops = [v for v in (figure["lower"], figure["upper"]) if v is not None]
    axes.plot(stops, [y] * len(stops), ls="none", marker="|", ms=8, mew=1.1, color=INK, zorder=5)
    axes.plot([point], [y], ls="none", marker="o", ms=4, color=INK, zorder=6)
    safe = "upper" if limit["op"] in ("<=", "<") else "lower"
    word = "上界" if safe == "upper" else "下界"
    text = f"{statistic_word(figure['statistic'])}  {display(point, limit)}\n{word}  {display(figure[safe], limit)}"
    # A falling curve leaves its upper right and its lower left empty.
    above = point < sum(axes.get_xlim()) / 2
    start, value = right if above else left, float(limit["value"])
    room = 0.4 * (axes.get_xlim()[1] - axes.get_xlim()[0]) * (1 if above else -1)
    if min(start, start + room) < value < max(start, start + room):
        start = value  # beyond the limit line, not across it
    axes.annotate(
        text, (start, y), xytext=(4, 5) if above else (-5, -5), textcoords="offset points",
        ha="left" if above else "right", va="bottom" if above else "top", linespacing=1.35, zorder=7,
    )  # fmt: skip


def _limit_line(axes: Axes, limit: Data) -> None:
    """The limit as a dashed upright with its words above the plot, on the side that has room."""
    value = float(limit["value"])
    low, high = axes.get_xlim()
    rightwards = value < low + 0.45 * (high - low)
    axes.axvline(value, **LIMIT_LINE)
    axes.annotate(
        f"限值 {limit_text(limit)}", (value, 1), xycoords=("data", "axes fraction"), xytext=(-2 if rightwards else 2, 2),
        textcoords="offset points", ha="left" if rightwards else "right", va="bottom", color=VERMILLION, zorder=8,
    )  # fmt: skip


def _series(axes: Axes, figure: Data) -> None:
    """Median and maximum over time, no line across a gap; losses as crosses on the upper edge."""
    limit = float(figure["limit"]["value"])
    times, middle, top = zip(*_with_gaps(figure["series"]), strict=True)
    seen = [v for v in (*middle, *top) if not math.isnan(v)]
    high = max([limit, *seen])
    low = min([0.0, *seen])
    axes.plot(times, top, color=SKY, lw=0.8, label="最大值")
    axes.plot(times, middle, color=BLUE, lw=1.3, label="中位数")
    axes.axhline(limit, label=f"限值 {limit_text(figure['limit'])}", **LIMIT_LINE)
    lost = [t for t, _, m in figure["series"] if m is None]
    ceiling = high + 0.12 * ((high - low) or 1)
    if lost:
        axes.plot(
            lost, [ceiling - 0.035 * (ceiling - low)] * len(lost), ls="none", marker="x", ms=4.5, mew=1.1,
            color=VERMILLION, label="丢失",
        )  # fmt: skip
    axes.set_ylim(low, ceiling)
    axes.margins(x=0.01)
    axes.set_xlabel("运行时间 / s")
    axes.set_ylabel(unit_text(figure["unit"]))
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=4, frameon=False, handlelength=1.5, columnspacing=1.0,
        borderaxespad=0, handletextpad=0.5,
    )  # fmt: skip


def _with_gaps(series: list[list[float | None]]) -> list[tuple[float, ...]]:
    """The same points, NaN for None, and one that is not drawn in every gap far wider than is usual."""
    points = [tuple(math.nan if v is None else float(v) for v in point) for point in series]
    steps = [b[0] - a[0] for a, b in pairwise(points)]
    usual = sorted(steps)[len(steps) // 2] if steps else 0.0
    found: list[tuple[float, ...]] = []
    for point, step in zip(points, [*steps, 0.0], strict=True):
        found.append(point)
        if step > GAP * usual > 0:
            found.append((point[0] + step / 2, math.nan, math.nan))
    return found


def _count_panels(figure: Data) -> Iterator[Panel]:
    steps = "，".join(f"{e['text']} {left_out(e['count'])}" for e in figure["exclusions"]) or "没有剔除"
    alt = f"计数过程：提交 {display(figure['gross'])}，{steps}，计入 {display(figure['net'])}；限值 {limit_text(figure['limit'])}。"
    height = 0.5 + 0.36 * (2 + len(_left_out(figure)))
    yield Panel("计数过程：从提交到计入", draw_axes(lambda axes: _waterfall(axes, figure), height), alt)
    if figure["per_day"]:
        first, last = figure["per_day"][0][0], figure["per_day"][-1][0]
        alt = f"按日新增计入数的柱状图，{first} 至 {last}。"
        yield Panel("按日新增计入数", draw_axes(lambda axes: _days(axes, figure["per_day"]), height), alt)


def _left_out(figure: Data) -> list[Data]:
    """Exclusions that left something out; the table beside the drawing has all."""
    return [e for e in figure["exclusions"] if e["count"]]


def _waterfall(axes: Axes, figure: Data) -> None:
    """Gross, minus each exclusion, is net, in the limit's unit; each bar labelled above itself so that long words have room."""
    left, per = figure["gross"], figure.get("per", 1)
    bars = [("提交", 0, figure["gross"], GREY, "")]
    for exclusion in _left_out(figure):
        left -= exclusion["count"]
        bars.append((short(f"剔除：{exclusion['text']}", 19), left, exclusion["count"], "white", "////"))
    bars.append(("计入", 0, figure["net"], BLUE, ""))
    for row, (words, start, length, colour, hatch) in enumerate(bars):
        axes.barh(
            row,
            length / per,
            left=start / per,
            height=0.34,
            color=colour,
            ec=GREY if hatch else colour,
            hatch=hatch,
            lw=0.6,
        )
        shown = left_out(length) if hatch else display(length)
        axes.annotate(f"{words}  {shown}", (0, row - 0.22), xytext=(2, 1), textcoords="offset points", va="bottom")
    axes.set_ylim(len(bars) - 0.6, -0.95)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    limit = figure["limit"]
    bound = 0.0 if isinstance(limit["value"], bool) else float(limit["value"])
    axes.set_xlim(0, 1.06 * max(figure["gross"] / per, bound, 1 / per))
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.xaxis.set_major_formatter(lambda x, _: display(round(x)))
    axes.set_xlabel(f"数量 / {unit_text(limit['unit'])}")
    if bound:
        _limit_line(axes, limit)


def _days(axes: Axes, per_day: list[tuple[str, int]]) -> None:
    from datetime import date

    days = [date.fromisoformat(d).toordinal() for d, _ in per_day]
    axes.bar(days, [n for _, n in per_day], width=0.85, color=BLUE)
    first, last = days[0], days[-1]
    axes.set_xlim(first - 1, last + 1)
    marks = sorted({first, (first + last) // 2, last})
    axes.set_xticks(marks, [date.fromordinal(d).isoformat() for d in marks])
    if len(marks) > 1:  # the outer dates stay inside the plot
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.grid(axis="y", color=PALE, lw=0.5)
    axes.set_axisbelow(True)
