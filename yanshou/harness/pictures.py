"""What a record keeps of a picture: few enough points to print, and none of those that matter left out. Pure.

It is for keeping a bounded choice that is the same everywhere, so that a report only draws. It must never lose an extreme value,
and says how many values have no place. The names of its keys are part of the record's format.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Json
from yanshou.harness.model import Cells, Limit, Map, Picture, Points, Satellite, Scatter, Shares, Sky, Traces
from yanshou.harness.units import convert

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POINTS, OUTERMOST = 1200, 0.1
"""Points of a picture, and the share of them that is taken from the outside inwards."""
BINS = 300
VERTICES, RINGS = 3000, 200
CELLS = 120
"""Cells of a map from edge to edge; a finer grid is merged."""
SATELLITES, TRACK = 150, 12
PARTS = 12
"""Bars of shares."""
GAP = 1.5
"""Usual distances in time from which on two values are not joined, where such a gap is wide enough to be seen."""
STATES = " .#"
"""How a cell is written: does not count, missed, hit."""


def kept(picture: Picture, limit: Limit) -> dict[str, Json]:
    """The record's form of `picture`, lengths in the limit's unit where that is one; the limit itself where it is drawn."""
    if isinstance(picture, Scatter):
        return _scatter(picture, limit)
    if isinstance(picture, Traces):
        return _traces(picture, limit)
    if isinstance(picture, Shares):
        return _shared(picture)
    return _sky(picture) if isinstance(picture, Sky) else _map(picture)


def _scale(unit: str, limit: Limit) -> tuple[float, str, float | None]:
    """Factor to the printed unit, that unit, and the limit's value in it; None where the limit measures something else."""
    if isinstance(limit.value, bool):
        return 1.0, unit, None
    try:
        return float(convert(1, unit, limit.unit)), limit.unit, float(limit.value)
    except ValueError:
        return 1.0, unit, None


def _scatter(picture: Scatter, limit: Limit) -> dict[str, Json]:
    import numpy as np

    factor, unit, bound = _scale(picture.unit, limit)
    bound = bound if picture.limited else None
    x, y = picture.points.x * factor, picture.points.y * factor
    reach = np.maximum(np.abs(x), np.abs(y))
    reach = np.sort(reach[np.isfinite(reach)])
    ellipse = picture.ellipse
    drawn = [0.0 if bound is None else 1.15 * bound]
    if ellipse:
        drawn.append(1.1 * factor * (max(map(abs, ellipse.centre)) + ellipse.half_axes[0]))
    if reach.size:
        drawn.append(1.1 * float(reach[math.ceil(0.99 * reach.size) - 1]))
        if reach[-1] <= 1.5 * max(drawn):
            drawn.append(1.05 * float(reach[-1]))
    view = max(drawn) or 1.0
    return {
        "kind": "scatter",
        "title": picture.title,
        "axes": list(picture.axes),
        "unit": unit,
        **_points(picture.points, factor),
        "view": view,
        "outside": int((reach > view).sum()),
        "ellipse": {
            "centre": [c * factor for c in ellipse.centre],
            "half_axes": [a * factor for a in ellipse.half_axes],
            "angle": ellipse.angle,
            "share": ellipse.share,
        }
        if ellipse
        else None,
        "limit": None if bound is None else limit.to_json(),
    }


def _points(points: Points, factor: float = 1.0) -> dict[str, Json]:
    """Groups of points in time order, each with all that it had; few of a large group, all of a small one."""
    import numpy as np

    finite = np.isfinite(points.x) & np.isfinite(points.y)
    members = [np.flatnonzero(finite & (points.group == i)) for i in range(len(points.groups))]
    groups = []
    for name, member, most in zip(points.groups, members, _shares([m.size for m in members], POINTS), strict=True):
        chosen = member[_choice(points.x[member], points.y[member], most)]
        places = np.stack([points.x[chosen], points.y[chosen]], axis=1) * factor
        groups.append({"name": name, "total": int(member.size), "points": places.tolist()})
    return {"groups": groups, "without_place": int((~finite).sum())}


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """How many of each to keep, `most` in all: the small ones whole, the rest evenly."""
    shares = [0] * len(sizes)
    for rank, i in enumerate(sorted(range(len(sizes)), key=lambda i: (sizes[i], i))):
        shares[i] = min(sizes[i], (most - sum(shares)) // (len(sizes) - rank))
    return shares


def _choice(x: NDArray[np.float64], y: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Indices of `most` points: the outermost about the median place, even steps through the others; all where there are few."""
    import numpy as np

    if x.size <= most:
        return np.arange(x.size)
    distance = np.hypot(x - np.median(x), y - np.median(y))
    inwards = np.argsort(-distance, kind="stable")
    outer = math.ceil(OUTERMOST * most)
    others = np.sort(inwards[outer:])
    even = others[_even(others.size, most - outer)]
    return np.sort(np.concatenate([inwards[:outer], even]))


def _even(size: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of the indices below `size` in even steps, first and last among them."""
    import numpy as np

    return np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.int64)) if size else np.arange(0)


def _traces(picture: Traces, limit: Limit) -> dict[str, Json]:
    factor, unit, bound = _scale(picture.unit, limit)
    limited = [t.limited and bound is not None for t in picture.traces]
    return {
        "kind": "traces",
        "title": picture.title,
        "unit": unit,
        "traces": [
            {"name": t.name, "limited": of_limit, "without_value": _infinite(t.values)}
            for t, of_limit in zip(picture.traces, limited, strict=True)
        ],
        "statuses": list(picture.statuses),
        "total": int(picture.times.size),
        "stretches": _stretches(picture, factor),
        "limit": limit.to_json() if any(limited) else None,
    }


def _infinite(values: NDArray[np.float64]) -> int:
    import numpy as np

    return int((~np.isfinite(values)).sum())


def _stretches(picture: Traces, factor: float) -> list[Json]:
    """Unbroken stretches of rows [time, status, low, middle, high, low, middle, high, ...], a row for each part of time.

    Parts without values have no row. The time is the middle of its values', the status how often each occurs in it, the middle
    of values the order statistic of rank ceil(n / 2). None where a trace has no finite value in it.
    """
    import numpy as np

    order = np.argsort(picture.times, kind="stable")
    order = order[np.isfinite(picture.times[order])]
    if order.size == 0:
        return []
    times = picture.times[order]
    width = float(times[-1] - times[0]) / BINS
    few = times.size <= BINS or width == 0
    parts = times if few else np.minimum((times - times[0]) / width, BINS - 1).astype(np.int64)
    found, first, places = np.unique(parts, return_index=True, return_inverse=True)
    middles = (times[first] + times[np.append(first[1:], times.size) - 1]) / 2
    columns: list[list[Any]] = [middles.tolist()]
    kinds = len(picture.statuses)
    if picture.status is None:
        columns.append([[]] * found.size)
    else:
        counts = np.bincount(places * kinds + picture.status[order], minlength=found.size * kinds)
        columns.append(counts.reshape(found.size, kinds).tolist())
    for trace in picture.traces:
        columns += _extremes(trace.values[order] * factor, places, found.size)
    rows = [list(row) for row in zip(*columns, strict=True)]
    steps = np.diff(times)
    usual = float(np.median(steps)) if steps.size else 0.0
    broken = places[1:][steps > max(width, GAP * usual)]
    cuts = [0, *broken.tolist(), len(rows)]
    return [rows[start:end] for start, end in pairwise(cuts)]


def _extremes(values: NDArray[np.float64], places: NDArray[np.intp], bins: int) -> list[list[float | None]]:
    """Lowest, middle and highest finite value of each bin."""
    import numpy as np

    finite = np.isfinite(values)
    values, places = values[finite], places[finite]
    values = values[np.lexsort((values, places))]
    number = np.bincount(places, minlength=bins)
    first = np.cumsum(number) - number

    def at(offset: NDArray[np.int64]) -> list[float | None]:
        return [
            float(values[i]) if n else None for i, n in zip((first + offset).tolist(), number.tolist(), strict=True)
        ]

    return [at(np.zeros_like(number)), at((number - 1) // 2), at(number - 1)]


def _sky(picture: Sky) -> dict[str, Json]:
    placed = [(s, track) for s in picture.satellites if (track := _track(s))]
    placed.sort(key=lambda p: (p[0].system != picture.shown, p[0].system, p[0].name))
    return {
        "kind": "sky",
        "title": picture.title,
        "shown": picture.shown,
        "satellites": [
            {
                "system": s.system,
                "name": s.name,
                "track": [track[i] for i in _even(len(track), TRACK).tolist()],
                "cn0": s.cn0 if s.cn0 is not None and math.isfinite(s.cn0) else None,
            }
            for s, track in placed[:SATELLITES]
        ],
        "without_place": len(picture.satellites) - len(placed),
        "left_out": len(placed[SATELLITES:]),
    }


def _track(satellite: Satellite) -> list[list[float]]:
    return [list(place) for place in satellite.track if all(map(math.isfinite, place))]


def _shared(picture: Shares) -> dict[str, Json]:
    shown = picture.parts[:PARTS]
    return {
        "kind": "shares",
        "title": picture.title,
        "unit": picture.unit,
        "parts": [list(part) for part in shown],
        "total": picture.total,
        "rest": picture.total - sum(n for _, n in shown),
        "others": picture.others + len(picture.parts[PARTS:]),
    }


def _map(picture: Map) -> dict[str, Json]:
    rings = [(i, ring) for i, area in enumerate(picture.areas) for ring in area.rings]
    shares = _shares([len(ring) for _, ring in rings[:RINGS]], VERTICES)
    areas: list[dict[str, Json]] = [{"name": area.name, "rings": []} for area in picture.areas]
    for (i, ring), most in zip(rings[:RINGS], shares, strict=True):
        areas[i]["rings"].append(ring[_even(len(ring), most)].tolist())
    return {
        "kind": "map",
        "title": picture.title,
        "origin": picture.origin,
        "areas": [area for area in areas if area["rings"]],
        "left_out": len(rings[RINGS:]),
        "cells": {**_cells(picture.cells), "words": list(picture.cell_words)}
        if picture.cells and picture.cells.state.any()
        else None,
        **(_points(picture.points) if picture.points else {"groups": [], "without_place": 0}),
    }


def _cells(cells: Cells) -> dict[str, Json]:
    """Rows from the south, a character for each cell, no empty rows around. Merged cells are hit only where all that count are."""
    import numpy as np

    counted = np.nonzero(cells.state)
    (south, north), (west, east) = ((int(k.min()), int(k.max()) + 1) for k in counted)
    state = cells.state[south:north, west:east]
    merged = max(1, -(-max(state.shape) // CELLS))
    rows, columns = (-(-n // merged) * merged for n in state.shape)
    padded = np.zeros((rows, columns), dtype=np.int64)
    padded[: state.shape[0], : state.shape[1]] = state
    blocks = padded.reshape(rows // merged, merged, columns // merged, merged)
    some_missed, some_hit = (blocks == 1).any(axis=(1, 3)), (blocks == 2).any(axis=(1, 3))
    shown = np.where(some_missed, 1, np.where(some_hit, 2, 0))
    return {
        "corner": [cells.corner[0] + cells.size * west, cells.corner[1] + cells.size * south],
        "size": cells.size * merged,
        "merged": merged,
        "rows": ["".join(STATES[s] for s in row) for row in shown.tolist()],
        "missed": int((state == 1).sum()),
        "hit": int((state == 2).sum()),
    }
