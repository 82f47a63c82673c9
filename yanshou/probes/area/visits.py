"""Where somebody must go, and what was found there: boundary and seed -> points, file -> visits. Pure.

It must never let a person choose a point, nor take a visit to another place for one to the point.
"""

from __future__ import annotations

import csv
import io
import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from yanshou.formats.boundaries import Plane, distance_m
from yanshou.harness.evidence import RunEvidence
from yanshou.probes.area.spec import COLUMNS, Params
from yanshou.probes.boundary import Given, read_boundary
from yanshou.probes.reading import Key, read_table, text_encoding
from yanshou.probes.sampling import draw_places
from yanshou.probes.texts import plain

DECIMALS = 7
"""Of a degree: a centimetre."""


@dataclass(frozen=True)
class Point:
    """A drawn point in degrees, as it is written on the sheet; `id` in the order drawn."""

    id: str
    longitude: float
    latitude: float


@dataclass(frozen=True)
class Visit:
    """What was found: `result` as a word, `seen` where the terminal said it was, None where that is no position.

    `copied`: the position is the drawn one to the last digit.
    """

    point: str
    result: str
    seen: tuple[float, float] | None
    copied: bool


def whole(given: Given) -> Any:
    """All areas of a boundary as one shapely shape in degrees, each place once."""
    import shapely

    return given.areas[0].shape if len(given.areas) == 1 else shapely.union_all([a.shape for a in given.areas])


def drawn(given: Given, params: Params, seed: int) -> list[Point]:
    """The points to visit, uniform over the area, from the seed and the digest of the boundary; none without `params.visits`."""
    import numpy as np

    if params.visits is None:
        return []
    plane = Plane.over(given.areas)
    places = draw_places(plane.shape(whole(given)), params.visits.size, seed, given.sha256)
    degrees = plane.degrees(np.array(places))
    width = max(3, len(str(len(places))))
    return [
        Point(f"P{number:0{width}d}", round(float(x), DECIMALS), round(float(y), DECIMALS))
        for number, (x, y) in enumerate(degrees, 1)
    ]


def sample_points(source: RunEvidence | Path, params: Params, seed: int) -> list[Point]:
    """The points to visit, from a run or from the case folder that holds the boundary. Raises like `read_boundary`."""
    return drawn(read_boundary(source, params.boundary), params, seed)


def sheet(points: list[Point]) -> str:
    """The file of visits with the points in it, to be filled in."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        [p.id, f"{p.longitude:.{DECIMALS}f}", f"{p.latitude:.{DECIMALS}f}", "", "", "", ""] for p in points
    )
    return out.getvalue()


def read_visits(stream: BinaryIO) -> tuple[Key, list[Visit]]:
    """Column names and visits of a file (CSV, UTF-8 or else GB 18030), which is closed; no visits without its columns."""
    with closing(stream):
        data = stream.read()
    with read_table(io.BytesIO(data), text_encoding(data), ",") as (columns, rows):
        if not set(COLUMNS) <= set(columns):
            return columns, []
        at = [columns.index(name) for name in COLUMNS]
        cells = [[plain(row[n]) for n in at] for row in rows if len(row) == len(columns)]
    return columns, [
        Visit(point, result.lower(), _position(x, y), bool(x) and _position(x, y) == _position(*there))
        for point, *there, result, x, y, _ in cells
    ]


def _position(longitude: str, latitude: str) -> tuple[float, float] | None:
    try:
        found = float(longitude), float(latitude)
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) and abs(found[0]) <= 180 and abs(found[1]) <= 90 else None


def was_there(visit: Visit, point: Point, nearby_m: float) -> bool:
    """True when the terminal said that it was at the point."""
    return visit.seen is not None and distance_m(visit.seen, (point.longitude, point.latitude)) <= nearby_m
