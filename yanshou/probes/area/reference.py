"""Zones between two parallels and two meridians, whose area on the ellipsoid is known in closed form: the standard of `area`.

It is for showing that file, coordinate system, holes and several polygons end in the true square metres. It must never use the
library that the probe measures with.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical, digest_file
from yanshou.probes.capturing import RunContext

POINTS = (1e4, 1e6, 1e7)
SEMI_MAJOR, FLATTENING = 6378137.0, 1 / 298.257222101
"""GRS 80 (Moritz, Journal of Geodesy 74 (2000) 128-133)."""
STEP_M = 20.0
"""Between vertices along a parallel: a geodesic between them leaves it by less than 5 micrometres."""


def zone_m2(south: float, north: float, width: float) -> float:
    """Area between two parallels over `width` degrees of longitude (Snyder 1987, eq. 3-12, authalic latitude)."""
    e2 = FLATTENING * (2 - FLATTENING)
    e = math.sqrt(e2)

    def q(latitude: float) -> float:
        s = math.sin(math.radians(latitude))
        return (1 - e2) * (s / (1 - e2 * s * s) + math.atanh(e * s) / e)

    return SEMI_MAJOR**2 / 2 * math.radians(width) * (q(north) - q(south))


def zone(west: float, south: float, area_m2: float) -> list[list[float]]:
    """A closed ring of a zone, about as wide as high, of exactly `area_m2` with its south-west corner there."""
    north = south + math.degrees(math.sqrt(area_m2) / SEMI_MAJOR)
    width = area_m2 / zone_m2(south, north, 1.0)
    steps = max(1, round(math.sqrt(area_m2) / STEP_M))
    along = [west + width * n / steps for n in range(steps + 1)]
    ring = [[x, south] for x in along] + [[x, north] for x in reversed(along)]
    return [*ring, ring[0]]


def write_zones(path: Path, area_m2: float) -> None:
    """A GeoJSON boundary of `area_m2` in two polygons, the larger with a hole. Raises OSError."""
    first, hole = zone(114.3, 30.5, area_m2), zone(114.3 + 1e-4, 30.5 + 1e-4, area_m2 / 10)
    apart = 2 * math.degrees(math.sqrt(area_m2) / SEMI_MAJOR)
    second = zone(114.3, 30.5 + apart, area_m2 / 10)
    polygons = [[first, hole], [second]]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": polygons}), encoding="utf-8")


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A boundary of `true_value` square metres, there as long as the context lasts; truth in truth.json."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zones.geojson"
        write_zones(path, true_value)
        basis = "两块经纬线围成的区域，其一带洞：椭球面积按等积纬度公式已知"
        truth: Json = {"true": true_value, "unit": "m2", "n": 1, "basis": basis}
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        yield {"boundary": {"file": str(path), "crs": "CGCS2000", "sha256": digest_file(path)}}
