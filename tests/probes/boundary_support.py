"""Boundaries for tests: zones of known area as GeoJSON and shapefile, with a corner that was measured; logs of receivers."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import numpy as np

from yanshou.formats.boundaries import gcj02
from yanshou.harness.judge import Criterion
from yanshou.harness.model import Kind, Limit, Op
from yanshou.probes.area.reference import zone

Ring = Sequence[Sequence[float]]
CORNER = (114.3, 30.5)
CHECK = {"name": "西南角", "longitude": CORNER[0], "latitude": CORNER[1], "file": list(CORNER)}


def square(area_m2: float, east_m: float = 0.0, north_m: float = 0.0) -> list[list[float]]:
    """A zone of `area_m2` whose south-west corner is so far from CORNER."""
    north = math.degrees(north_m / 6378137.0)
    east = math.degrees(east_m / 6378137.0) / math.cos(math.radians(CORNER[1]))
    return zone(CORNER[0] + east, CORNER[1] + north, area_m2)


def geojson(named: Mapping[str, Sequence[Ring]], crs: str | None = None, key: str = "名称") -> bytes:
    """One polygon a name, its first ring the outer one."""
    features = [
        {"type": "Feature", "properties": {key: name}, "geometry": {"type": "Polygon", "coordinates": list(rings)}}
        for name, rings in named.items()
    ]
    document: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    return json.dumps(document, ensure_ascii=False).encode()


def shapefile_parts(
    named: Mapping[str, Sequence[Ring]], encoding: str = "utf-8", key: str = "NAME"
) -> dict[str, bytes]:
    """{"shp", "dbf"} of the same polygons."""
    import shapefile

    shp, shx, dbf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    writer = shapefile.Writer(shp=shp, shx=shx, dbf=dbf, shapeType=shapefile.POLYGON, encoding=encoding)
    writer.field(key, "C", 40)
    for name, rings in named.items():
        writer.poly([[list(p) for p in ring] for ring in rings])
        writer.record(name)
    writer.close()
    return {"shp": shp.getvalue(), "dbf": dbf.getvalue()}


def moved(ring: Ring, by: Callable[[Any, Any], tuple[Any, Any]] = gcj02) -> list[list[float]]:
    """The ring as a map service would have it."""
    x, y = np.array(ring).T
    return np.column_stack(by(x, y)).tolist()


def clockwise(ring: Ring) -> list[list[float]]:
    """The other way round: an outer ring of a shapefile."""
    return [list(p) for p in reversed(ring)]


def write(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)


def criterion(value: int, unit: str) -> Criterion:
    """At least `value` `unit`, one attempt, 95 %."""
    return Criterion("S06", Kind.COUNTED, Limit(Op.GE, Decimal(value), unit), None, None, (), 0.95, 1)


def nmea(fixes: Iterable[tuple[datetime, float, float]], quality: int = 4, dated: bool = True) -> bytes:
    """GGA, and RMC for the date, of a receiver that was so (Beijing time, longitude, latitude)."""

    def angle(value: float, digits: int) -> str:
        whole = int(value)
        return f"{whole:0{digits}d}{(value - whole) * 60:011.8f}"

    out = []
    for when, x, y in fixes:
        utc = when - timedelta(hours=8)
        place = f"{angle(y, 2)},N,{angle(x, 3)},E"
        out.append(f"GNGGA,{utc:%H%M%S}.00,{place},{quality},20,0.6,30.000,M,-13.000,M,1.0,0001")
        if dated:
            out.append(f"GNRMC,{utc:%H%M%S}.00,A,{place},0.0,0.0,{utc:%d%m%y},,,R,V")
    return b"".join(b"$%s*%02X\r\n" % (s.encode(), reduce(xor, s.encode())) for s in out)
