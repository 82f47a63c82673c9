"""The further pictures of a record as SVG: deviations, traces, sky, map and shares.

They draw what the record holds, to one scale where both axes are lengths, and must never compute a statistic. Legends and notes
stand outside, so that no word covers a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from yanshou.reports.display import Data, display, limit_text, percent, quantity
from yanshou.reports.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIMIT_LINE,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    TALL,
    WIDTH,
    Panel,
    draw,
    draw_axes,
    said,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "mew": 0, "color": BLUE},
    {"marker": "^", "mew": 0.4, "color": ORANGE, "mec": INK},
    {"marker": "x", "mew": 0.9, "color": PURPLE},
    {"marker": "s", "mew": 0.7, "color": GREEN, "mfc": "white"},
)
"""How groups of points differ, from the best to the worst."""
MANY = 250
"""Points of a group from which on each is drawn small."""
BANDS: tuple[dict[str, Any], ...] = (
    {"fc": SKY},
    {"fc": ORANGE, "hatch": "/////"},
    {"fc": PURPLE, "hatch": "xxxxx"},
    {"fc": "white", "hatch": "......"},
)
CELLS: dict[str, dict[str, Any]] = {
    "#": {"fc": "#A9D6F2", "ec": "white", "lw": 0.4},
    ".": {"fc": "none", "ec": ORANGE, "hatch": "//////", "lw": 0.4},
}
COARSE = 45
"""Cells from edge to edge up to which each is outlined; beyond, neighbours run together."""
FINE: dict[str, dict[str, Any]] = {"#": {"ec": "#A9D6F2", "lw": 0.2}, ".": {"lw": 0}}
SYSTEMS = ("o", "s", "^", "D", "v", "p", "h")
LEGEND: dict[str, Any] = {
    "frameon": False, "handlelength": 1.5, "columnspacing": 1.0, "borderaxespad": 0, "handletextpad": 0.4, "labelspacing": 0.3,
}  # fmt: skip
LINE = 56
"""Half-width characters that fit beside each other in a legend, a mark and a gap being six."""


def picture_panels(picture: Data) -> Iterator[Panel]:
    """The plots of one picture; none where it holds nothing."""
    if picture["kind"] == "scatter":
        yield from _scatter_panels(picture)
    elif picture["kind"] == "traces":
        yield from _trace_panels(picture)
    elif picture["kind"] == "sky":
        yield from _sky_panels(picture)
    elif picture["kind"] == "shares":
        yield from _share_panels(picture)
    else:
        yield from _map_panels(picture)


def _note(*sentences: str) -> str:
    return "".join(f"{s}。" for s in sentences if s)


def _drawn(picture: Data, what: str) -> list[str]:
    """Which points are not drawn, and why."""
    total, drawn = (sum(len(g["points"]) if few else g["total"] for g in picture["groups"]) for few in (False, True))
    thinned = f"{display(total)} 个{what}画出 {display(drawn)} 个，最外侧的都在其中" if drawn < total else ""
    missing = picture["without_place"]
    return [thinned, f"{display(missing)} 个没有位置，未画" if missing else ""]


def _legend(axes: Axes, handles: Sequence[Any]) -> None:
    """Above the plot, in as many columns as the longest words leave."""
    for handle in handles:
        handle.set_label(said(handle.get_label()))
    longest = max((cell_len(h.get_label()) for h in handles), default=0)
    columns = max(1, min(len(handles), LINE // (longest + 6)))
    figure = axes.get_figure(root=True)
    if handles and figure:
        figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, **LEGEND)


def _group_marks(axes: Axes, groups: Sequence[Data], clip: float = math.inf) -> list[Any]:
    """Draw groups of points and return their legend; beyond `clip` they stand on the edge."""
    handles = []
    for i, group in enumerate(groups):
        mark, places = MARKS[i % len(MARKS)], group["points"]
        if not places:
            continue
        many = len(places) > MANY
        size = (1.9 if many else 3.0) + (1.0 if i else 0.0)
        inside = [p for p in places if max(map(abs, p)) <= clip]
        axes.plot(*_columns(inside), ls="none", ms=size, alpha=0.6 if many else 1, zorder=5, **mark)
        _edge_marks(axes, [p for p in places if max(map(abs, p)) > clip], clip, mark["color"])
        handles.append(_handle(f"{short(group['name'])} {display(group['total'])}", ms=3 if i == 0 else 4, **mark))
    return handles


def _edge_marks(axes: Axes, places: Sequence[Sequence[float]], clip: float, colour: str) -> None:
    """A short line on the edge, inwards, for each place beyond it."""
    from matplotlib import markers

    sides = ((0, 1, markers.TICKLEFT), (0, -1, markers.TICKRIGHT), (1, 1, markers.TICKDOWN), (1, -1, markers.TICKUP))
    for axis, sign, marker in sides:
        beyond = [p for p in places if sign * p[axis] > clip and (axis == 0 or abs(p[0]) <= clip)]
        held = [[max(-clip, min(clip, v)) for v in p] for p in beyond]
        axes.plot(*_columns(held), ls="none", marker=marker, ms=4, mew=0.7, color=colour, zorder=6)


def _columns(places: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in places], [y for _, y in places]


def _handle(label: str, **look: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"ls": "none", **look}, label=label)


# ---- deviations


def _scatter_panels(picture: Data) -> Iterator[Panel]:
    groups, unit, ellipse = picture["groups"], picture["unit"], picture["ellipse"]
    if not any(g["points"] for g in groups):
        return
    told = "，".join(f"{g['name']} {display(g['total'])} 个" for g in groups if g["total"])
    limit = f"限值圆 {limit_text(picture['limit'])}" if picture["limit"] else ""
    oval = ""
    if ellipse:
        centre = "，".join(quantity(v, unit, digits=3) for v in ellipse["centre"])
        axes = " 与 ".join(quantity(v, unit, digits=3) for v in ellipse["half_axes"])
        oval = f"{percent(ellipse['share'])} 椭圆中心（{centre}），半轴 {axes}"
    outside = picture["outside"]
    note = _note(
        f"{percent(ellipse['share'])} 椭圆由均值与协方差按正态分布画出" if ellipse else "",
        f"{display(outside)} 个在图外，以短线画在边上" if outside else "",
        *_drawn(picture, "点"),
    )
    alt = "；".join(s for s in (f"散点图，{'、'.join(picture['axes'])}，原点为零：{told}", limit, oval) if s) + "。"
    yield Panel(picture["title"], draw_axes(lambda axes: _scatter(axes, picture), TALL), alt, note)


def _scatter(axes: Axes, picture: Data) -> None:
    from matplotlib.patches import Circle
    from matplotlib.patches import Ellipse as Oval
    from matplotlib.ticker import MaxNLocator

    view, limit, ellipse, unit = picture["view"], picture["limit"], picture["ellipse"], picture["unit"]
    axes.set_aspect("equal")
    axes.set_xlim(-view, view)
    axes.set_ylim(-view, view)
    axes.axhline(0, color=GREY, lw=0.5, zorder=1)
    axes.axvline(0, color=GREY, lw=0.5, zorder=1)
    handles = _group_marks(axes, picture["groups"], view)
    if limit:
        axes.add_patch(Circle((0, 0), float(limit["value"]), fill=False, **{**LIMIT_LINE, "zorder": 7}))
        handles.append(_handle(f"限值 {limit_text(limit)}", **LIMIT_LINE))
    if ellipse:
        width, height = (2 * a for a in ellipse["half_axes"])
        axes.add_patch(
            Oval(ellipse["centre"], width, height, angle=ellipse["angle"], fill=False, ec=INK, lw=1.1, zorder=8)
        )
        axes.plot(*[[v] for v in ellipse["centre"]], ls="none", marker="+", ms=6, mew=1.1, color=INK, zorder=8)
        handles.append(_handle(f"{percent(ellipse['share'])} 椭圆", color=INK, lw=1.1, ls="-", marker="+", ms=5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, symmetric=True))
        axis.set_major_formatter(lambda v, _: _tick(v))
    axes.set_xlabel(f"{short(picture['axes'][0])} / {unit}")
    axes.set_ylabel(f"{short(picture['axes'][1])} / {unit}")
    _legend(axes, handles)


def _tick(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


# ---- traces


def _trace_panels(picture: Data) -> Iterator[Panel]:
    rows = [row for stretch in picture["stretches"] for row in stretch]
    if not any(v is not None for row in rows for v in row[2:]):
        return
    unit, limit, statuses = picture["unit"], picture["limit"], picture["statuses"]
    told = []
    for i, trace in enumerate(picture["traces"]):
        low = min((row[2 + 3 * i] for row in rows if row[2 + 3 * i] is not None), default=None)
        high = max((row[4 + 3 * i] for row in rows if row[4 + 3 * i] is not None), default=None)
        told.append(
            f"{trace['name']} {quantity(low, unit, digits=3)} 至 {quantity(high, unit, digits=3)}"
            if low is not None
            else f"{trace['name']} 没有值"
        )
    missing = [f"{t['name']} {display(t['without_value'])} 个" for t in picture["traces"] if t["without_value"]]
    parts = f"{display(picture['total'])} 个时刻合为 {display(len(rows))} 段，各段画出最低、中位和最高"
    note = _note(
        parts if len(rows) < picture["total"] else "",
        "最下一条是各时段里每种状态的占比" if statuses else "",
        "断开处没有数据" if len(picture["stretches"]) > 1 else "",
        f"没有值、未画：{'，'.join(missing)}" if missing else "",
    )
    alt = f"随时间变化的曲线：{'；'.join(told)}" + (f"；限值 {limit_text(limit)}" if limit else "") + "。"
    yield Panel(picture["title"], draw(lambda figure: _traces(figure, picture), TALL), alt, note)


def _traces(figure: Figure, picture: Data) -> None:
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    stretches, traces, statuses, limit = (picture[k] for k in ("stretches", "traces", "statuses", "limit"))
    rows = [row for stretch in stretches for row in stretch]
    scale, word = _clock(max(row[0] for row in rows))
    stretches = [[[row[0] / scale, *row[1:]] for row in stretch] for stretch in stretches]
    ratios = [1.0] * len(traces) + ([0.3] if statuses else [])
    plots = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
    values = [v for row in rows for v in row[2:] if v is not None]
    bounds = [float(limit["value"])] if limit else []
    signed = min(values) < 0
    if signed:
        bounds += [-b for b in bounds]
    low, high = min([0.0, *values, *bounds]), max([0.0, *values, *bounds])
    margin = 0.06 * ((high - low) or 1.0)
    for i, (axes, trace) in enumerate(zip(plots, traces, strict=False)):
        axes.axhline(0, color=GREY, lw=0.5, zorder=1)
        for stretch in stretches:
            _envelope(axes, [(row[0], *row[2 + 3 * i : 5 + 3 * i]) for row in stretch])
        for bound in bounds if trace["limited"] else ():
            axes.axhline(bound, **LIMIT_LINE)
        axes.set_ylim(low - margin if low < 0 else 0, high + margin)
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
        axes.yaxis.set_major_formatter(lambda v, _: _tick(v))
        axes.set_ylabel(f"{short(trace['name'], 8)} / {picture['unit']}")
        axes.tick_params(labelbottom=False)
    figure.align_ylabels(plots[: len(traces)])
    handles: list[Any] = [
        _handle("中位", color=BLUE, lw=1.2, ls="-"),
        Patch(fc=SKY, alpha=0.55, label="最低—最高"),
        *([_handle(f"限值 {limit_text(limit)}", **LIMIT_LINE)] if limit else []),
    ]
    if statuses:
        handles += _status_band(plots[-1], stretches, statuses)
    plots[-1].tick_params(labelbottom=True)
    plots[-1].margins(x=0.01)
    plots[-1].set_xlabel(f"运行时间 / {word}")
    _legend(plots[0], handles)


def _clock(seconds: float) -> tuple[float, str]:
    """The unit of time that gives short numbers."""
    return (3600.0, "h") if seconds >= 3 * 3600 else (60.0, "min") if seconds >= 600 else (1.0, "s")


def _envelope(axes: Axes, rows: Sequence[tuple[float, float | None, float | None, float | None]]) -> None:
    """From lowest to highest as a band, the middle as a line; a value that stands alone as a dot."""
    t, low, middle, high = zip(*[[math.nan if v is None else v for v in row] for row in rows], strict=True)
    axes.fill_between(t, low, high, fc=SKY, ec=SKY, lw=0.6, alpha=0.55, zorder=2)
    axes.plot(t, middle, color=BLUE, lw=0.8, marker="." if len(rows) == 1 else "", ms=3, zorder=3)


def _status_band(axes: Axes, stretches: Sequence[Sequence[Sequence[Any]]], statuses: Sequence[str]) -> list[Any]:
    """Shares of each status over time, the best below; nothing where there was no value. Returns its legend."""
    from matplotlib.patches import Patch

    axes.set_yticks([])
    axes.set_ylim(0, 1)
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    seen = set()
    for stretch in stretches:
        times = [row[0] for row in stretch]
        half = (times[-1] - times[0]) / (2 * (len(times) - 1)) if len(times) > 1 else 0.0
        edges = [times[0] - half, *[(a + b) / 2 for a, b in pairwise(times)], times[-1] + half]
        base = [0.0] * len(edges)
        for status in range(len(statuses)):
            shares = [row[1][status] / sum(row[1]) for row in stretch]
            if not any(shares):
                continue
            seen.add(status)
            top = [b + s for b, s in zip(base, [*shares, shares[-1]], strict=True)]
            axes.fill_between(edges, base, top, step="post", ec=INK, lw=0, **BANDS[status % len(BANDS)])
            base = top
    return [Patch(ec=INK, lw=0.3, label=short(statuses[s]), **BANDS[s % len(BANDS)]) for s in sorted(seen)]


# ---- sky


def _sky_panels(picture: Data) -> Iterator[Panel]:
    satellites, shown = picture["satellites"], picture["shown"]
    if not satellites:
        return
    counts = _systems(satellites)
    told = "，".join(f"{system} 列出 {listed} 颗、收到 {got} 颗" for system, (got, listed) in counts.items())
    note = _note(
        "图例为收到信号/列出的颗数；实心收到信号，空心列出而没有载噪比",
        "细线是运行中走过的轨迹" if any(len(s["track"]) > 1 for s in satellites) else "",
        "" if shown in counts else f"没有见到 {shown} 卫星",
        f"{display(picture['without_place'])} 颗没有方位，未画" if picture["without_place"] else "",
        f"另有 {display(picture['left_out'])} 颗未画" if picture["left_out"] else "",
    )
    yield Panel(picture["title"], draw(lambda figure: _sky(figure, picture), TALL), f"天空图：{told}。", note)
    strong = [s for s in satellites if s["system"] == shown and s["cn0"] is not None]
    if strong:
        values = "，".join(f"{s['name']} {display(s['cn0'], digits=3)}" for s in strong)
        yield Panel(
            f"{shown} 卫星的载噪比",
            draw_axes(lambda axes: _strengths(axes, strong), TALL),
            f"载噪比，dB-Hz：{values}。",
        )


def _systems(satellites: Sequence[Data]) -> dict[str, tuple[int, int]]:
    """Received and listed satellites by system, in the order of the record."""
    systems = {
        name: [s for s in satellites if s["system"] == name] for name in dict.fromkeys(s["system"] for s in satellites)
    }
    return {name: (sum(s["cn0"] is not None for s in of), len(of)) for name, of in systems.items()}


def _sky(figure: Figure, picture: Data) -> None:
    axes: Any = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 90)
    axes.set_yticks([0, 30, 60], ["90°", "60°", "30°"], color=GREY, fontsize=6)
    axes.set_xticks(
        [math.radians(a) for a in range(0, 360, 45)], [said(c) for c in ("北", "", "东", "", "南", "", "西", "")]
    )
    axes.tick_params(pad=-1)
    axes.grid(color=PALE, lw=0.6)
    axes.spines["polar"].set(color=GREY, lw=0.6)
    axes.set_axisbelow(True)
    counts = _systems(picture["satellites"])
    marks = dict(zip(counts, SYSTEMS * (1 + len(counts) // len(SYSTEMS)), strict=False))
    places = []
    for s in picture["satellites"]:
        main = s["system"] == picture["shown"]
        colour = BLUE if main else GREY
        track = [(math.radians(a), max(0.0, min(90.0, 90 - e))) for a, e in s["track"]]
        axes.plot(*zip(*track, strict=True), color=colour, lw=0.8 if main else 0.5, alpha=0.6, zorder=3)
        axes.plot(
            *[[v] for v in track[-1]], ls="none", marker=marks[s["system"]], ms=5.5 if main else 3.5, color=colour,
            mfc="white" if s["cn0"] is None else colour, mew=0.8, zorder=5 if main else 4,
        )  # fmt: skip
        places.append((track[-1][1] * math.sin(track[-1][0]), track[-1][1] * math.cos(track[-1][0])))
    named = [
        (short(s["name"], 6), p)
        for s, p in zip(picture["satellites"], places, strict=True)
        if s["system"] == picture["shown"]
    ]
    free, scale = _free(places)
    axes.set_rlabel_position(free)
    for (name, (x, y)), (dx, dy) in zip(named, _beside(named, [*places, *scale]), strict=True):
        angle, radius = math.atan2(x, y), math.hypot(x, y)
        axes.annotate(
            name, (angle, radius), xytext=(dx, dy), textcoords="offset points", ha="center", va="center", fontsize=6, color=INK,
            zorder=6,
        )  # fmt: skip
    handles = [
        _handle(
            f"{short(system, 10)} {got}/{listed}", marker=marks[system], ms=5 if system == picture["shown"] else 3.5,
            color=BLUE if system == picture["shown"] else GREY,
        )
        for system, (got, listed) in counts.items()
    ]  # fmt: skip
    _legend(axes, handles)


def _free(taken: Sequence[tuple[float, float]]) -> tuple[float, list[tuple[float, float]]]:
    """The azimuth along which the words of the rings are farthest from every place, and where they stand then."""

    def words(azimuth: float) -> list[tuple[float, float]]:
        a = math.radians(azimuth)
        return [(radius * math.sin(a), radius * math.cos(a)) for radius in (30, 60)]

    best = max((22.5 + 45 * k for k in range(8)), key=lambda a: min(math.dist(w, t) for w in words(a) for t in taken))
    return best, words(best)


def _beside(
    named: Sequence[tuple[str, tuple[float, float]]], taken: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, float]]:
    """Where to put each name beside its place, in points: where the fewest marks and names already are.

    A degree of elevation is about a point on paper.
    """
    boxes: list[tuple[float, float, float]] = [(x, y, 3.0) for x, y in taken]
    for name, (x, y) in named:
        wide = 1.9 * len(name)
        offsets = [(wide + 3.5, 0), (-wide - 3.5, 0), (0, 6.5), (0, -6.5)]
        offsets += [(sx * (wide + 1.5), sy * 5.5) for sx in (1, -1) for sy in (1, -1)]

        def covered(offset: tuple[float, float], x: float = x, y: float = y, wide: float = wide) -> float:
            at = x + offset[0], y + offset[1]
            over = sum(max(0.0, wide + w - abs(at[0] - bx)) * max(0.0, 6.0 - abs(at[1] - by)) for bx, by, w in boxes)
            return over + 20 * max(0.0, math.hypot(*at) - 88)

        best = min(offsets, key=covered)
        boxes.append((x + best[0], y + best[1], wide))
        yield best


def _strengths(axes: Axes, satellites: Sequence[Data]) -> None:
    axes.bar(range(len(satellites)), [s["cn0"] for s in satellites], width=0.66, fc=SKY, ec=BLUE, lw=0.7)
    size = max(4.0, min(7.5, 150 / len(satellites)))
    upright = len(satellites) > 10
    axes.set_xticks(
        range(len(satellites)), [short(s["name"], 6) for s in satellites], fontsize=size, rotation=90 if upright else 0
    )
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, max(len(satellites), 6) - 0.4)
    axes.set_ylim(0, max(55.0, *(s["cn0"] for s in satellites)))
    axes.set_ylabel("载噪比 / dB-Hz")
    axes.grid(axis="y", color=PALE, lw=0.5)
    axes.set_axisbelow(True)


# ---- map


def _map_panels(picture: Data) -> Iterator[Panel]:
    areas, cells, groups = picture["areas"], picture["cells"], [g for g in picture["groups"] if g["points"]]
    if not areas and not cells and not groups:
        return
    names = [a["name"] for a in areas]
    told = [f"区域 {'、'.join(names)}"] if areas else []
    merged = ""
    if cells:
        missed, hit = cells["words"]
        told.append(f"{hit} {display(cells['hit'])} 格，{missed} {display(cells['missed'])} 格")
        if cells["merged"] > 1:
            n = cells["merged"]
            merged = f"图上一格由 {n}×{n} 格合并，其中有一格{missed}就画作{missed}"
    told += [f"{g['name']} {display(g['total'])} 个" for g in groups]
    if len(names) > 1:
        names = [f"{i} {name}" for i, name in enumerate(names, 1)]
    note = _note(
        f"原点：{picture['origin']}，上为北",
        f"区域：{'；'.join(names)}" if names else "",
        merged,
        *_drawn(picture, "点"),
        f"另有 {display(picture['left_out'])} 个边界环未画" if picture["left_out"] else "",
    )
    frame = _extent(picture)
    height = min(TALL, 0.65 + WIDTH * (frame[3] - frame[2]) / (frame[1] - frame[0]))
    yield Panel(
        picture["title"], draw_axes(lambda axes: _map(axes, picture, frame), height), f"地图：{'；'.join(told)}。", note
    )


def _map(axes: Axes, picture: Data, frame: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Patch

    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=GREY, lw=0.6)
    west, east, south, north = frame
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    handles: list[Any] = []
    for i, area in enumerate(picture["areas"], 1):
        axes.add_patch(_rings(area["rings"], fc="none", ec=INK, lw=1.0, zorder=4))
        if len(picture["areas"]) > 1:
            top = max((p for ring in area["rings"] for p in ring), key=lambda p: (p[1], p[0]))
            axes.annotate(
                str(i), top, ha="center", va="center", fontsize=6, zorder=9,
                bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": INK, "lw": 0.6},
            )  # fmt: skip
    if picture["areas"]:
        handles.append(_handle("区域边界", color=INK, lw=1.0, ls="-"))
    cells = picture["cells"]
    for state, name, word in (("#", "hit", 1), (".", "missed", 0)) if cells else ():
        rings = list(_blocks(cells, state))
        if rings:
            look = CELLS[state] if _coarse(cells) else {**CELLS[state], **FINE[state]}
            axes.add_patch(_rings(rings, zorder=2, **look))
            handles.append(Patch(label=f"{short(cells['words'][word], 8)} {display(cells[name])} 格", **CELLS[state]))
    handles += _group_marks(axes, picture["groups"])
    _scale_bar(axes, east - west)
    _legend(axes, handles)


def _extent(picture: Data) -> tuple[float, float, float, float]:
    """West, east, south, north of a frame that holds everything with a margin, at least as wide as high, at most twice."""
    cells = picture["cells"]
    places = [p for a in picture["areas"] for ring in a["rings"] for p in ring]
    places += [p for g in picture["groups"] for p in g["points"]]
    places += [p for state in CELLS for block in (_blocks(cells, state) if cells else ()) for p in block]
    (west, east), (south, north) = ((min(v), max(v)) for v in zip(*places, strict=True))
    wide = 0.54 * max(east - west, north - south) or 1.0
    high = max(0.54 * (north - south), wide / 2)
    return (west + east) / 2 - wide, (west + east) / 2 + wide, (south + north) / 2 - high, (south + north) / 2 + high


def _coarse(cells: Data) -> bool:
    return len(cells["rows"]) <= COARSE and len(cells["rows"][0]) <= COARSE


def _blocks(cells: Data, state: str) -> Iterator[list[tuple[float, float]]]:
    """The cells of one state as rectangles; neighbours in a row as one where single ones would be too small to be told apart."""
    (x, y), size, rows = cells["corner"], cells["size"], cells["rows"]
    coarse = _coarse(cells)
    for i, row in enumerate(rows):
        for same, members in groupby(range(len(row)), key=lambda k: row[k]):
            places = list(members)
            for run in ([[place] for place in places] if coarse else [places]) if same == state else ():
                west, east = x + size * run[0], x + size * (run[-1] + 1)
                south, north = y + size * i, y + size * (i + 1)
                yield [(west, south), (east, south), (east, north), (west, north)]


def _rings(rings: Iterable[Sequence[Sequence[float]]], **look: Any) -> Any:
    """Closed rings as one patch."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners, codes = [], []
    for ring in rings:
        corners += [*ring, ring[0]]
        codes += [Path.MOVETO, *[Path.LINETO] * (len(ring) - 1), Path.CLOSEPOLY]
    return PathPatch(Path(corners, codes), **look)


def _scale_bar(axes: Axes, width: float) -> None:
    """A round length of about a third of the map's `width`, and which way is north, below it."""
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    power = 10.0 ** math.floor(math.log10(width / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= width / 3)
    word = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    bar = AnchoredSizeBar(
        axes.transData, length, word, "upper left", pad=0, borderpad=0.3, sep=2, frameon=False, color=INK, label_top=True,
        bbox_to_anchor=(0, 0), bbox_transform=axes.transAxes,
    )  # fmt: skip
    axes.add_artist(bar)
    north: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    arrow = {"arrowstyle": "-|>", "lw": 0.9, "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (0.98, -0.01), xytext=(0, -16), ha="center", arrowprops={**arrow, "relpos": (0.5, 0)}, **north)
    axes.annotate("北", (0.98, -0.01), xytext=(-5, -3), ha="right", va="top", **north)


# ---- shares


def _share_panels(picture: Data) -> Iterator[Panel]:
    if not picture["total"]:
        return
    name, most = picture["parts"][0]
    others = f"，其余 {display(picture['others'])} 个合计 {display(picture['rest'])}" if picture["others"] else ""
    alt = (
        f"{picture['title']}的条形图：共 {display(picture['total'])} {picture['unit']}，最多的 {name} 有 {display(most)}"
        f"（{percent(most / picture['total'])}）{others}。"
    )
    bars = [(_middle_cut(name), n) for name, n in picture["parts"]]
    if picture["others"]:
        bars.append((f"其余 {display(picture['others'])} 个", picture["rest"]))

    def paint(axes: Axes) -> None:
        for row, (words, n) in enumerate(bars):
            rest = row == len(picture["parts"])
            axes.barh(row, n, height=0.34, color="white" if rest else BLUE, ec=GREY if rest else BLUE, lw=0.6)
            text = f"{words}  {display(n)}（{percent(n / picture['total'])}）"
            axes.annotate(text, (0, row - 0.22), xytext=(2, 1), textcoords="offset points", va="bottom")
        axes.set_ylim(len(bars) - 0.6, -0.95)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, 1.06 * max(n for _, n in bars))
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.xaxis.set_major_formatter(lambda x, _: display(round(x)))
        axes.set_xlabel(f"数量 / {picture['unit']}")

    yield Panel(picture["title"], draw_axes(paint, 0.5 + 0.3 * len(bars)), alt)


def _middle_cut(name: str, most: int = 20) -> str:
    """Addresses differ at either end."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"
