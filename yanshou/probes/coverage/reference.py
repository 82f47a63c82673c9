"""Made-up streets and positions of made-up terminals, the number of covered streets known: the standard of `coverage`.

It is for showing that every way to have fixes without covering counts for nothing. It must never use the probe's own cells to
arrive at its truth: every street is clearly covered or clearly not.
"""

from __future__ import annotations

import csv
import json
import math
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical, digest_file
from yanshou.probes.area.reference import zone
from yanshou.probes.capturing import RunContext

POINTS = (2.0, 7.0)
WEST, SOUTH, SIDE_M = 114.3, 30.5, 600.0
STEP_M = 45.0
"""Between fixes: each cell of 100 m of a covered street holds some, wherever the cells begin."""
UNCOVERED = ("empty", "loop", "single", "float", "late")
"""Kinds of streets that must not count: no fix; a drive around it; one place only; no fixed solution; outside the window."""
COLUMNS = ("终端", "时间", "经度", "纬度", "解")
_START = datetime(2026, 3, 2, 9)


def corner(number: int) -> tuple[float, float]:
    """South-west corner of street `number`, of eight a row, a side apart from its neighbours."""
    apart = 2 * math.degrees(SIDE_M / 6378137.0)
    return WEST + number % 8 * apart / math.cos(math.radians(SOUTH)), SOUTH + number // 8 * apart


def places(kind: str, number: int, rng: random.Random) -> list[tuple[float, float]]:
    """Longitudes and latitudes of the fixes in street `number`, to 7 decimals."""
    west, south = corner(number)
    height = math.degrees(SIDE_M / 6378137.0)
    width = height / math.cos(math.radians(SOUTH))
    n = math.ceil(SIDE_M / STEP_M)
    grid = [((i + 0.5) / n, (j + 0.5) / n) for j in range(n) for i in range(n)]
    shares = {
        "empty": [],
        "loop": [(x, y) for x, y in grid if min(x, y, 1 - x, 1 - y) < 0.5 / n + 1e-9],
        "single": [(0.5, 0.5)] * 50,
    }.get(kind, grid)
    jitter = 2 / SIDE_M
    return [
        (
            round(west + (x + rng.uniform(-jitter, jitter)) * width, 7),
            round(south + (y + rng.uniform(-jitter, jitter)) * height, 7),
        )
        for x, y in shares
    ]


def write_streets(folder: Path, covered: int, seed: int) -> None:
    """streets.geojson and fixes.csv (UTF-8): `covered` covered streets, and one of each kind that is not. Raises OSError."""
    rng = random.Random(seed)
    kinds = ["covered"] * covered + list(UNCOVERED)
    rng.shuffle(kinds)
    features, rows = [], []
    for number, kind in enumerate(kinds):
        ring = zone(*corner(number), SIDE_M**2)
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"街道": f"街道{number:02d}"}, "geometry": geometry})
        at = _START + timedelta(days=60 if kind == "late" else number % 5)
        for index, (x, y) in enumerate(places(kind, number, rng)):
            quality = "5" if kind == "float" else "4"
            rows.append([f"T{index % 3}", (at + timedelta(seconds=index)).isoformat(), f"{x:.7f}", f"{y:.7f}", quality])
    document = {"type": "FeatureCollection", "features": features}
    (folder / "streets.geojson").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    with (folder / "fixes.csv").open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def coverage_params(folder: Path) -> dict[str, Any]:
    """The parameters, as plain data, that count what `write_streets` wrote."""
    boundary = folder / "streets.geojson"
    terminal, time, longitude, latitude, quality = COLUMNS
    table = {
        "kind": "table",
        "id": terminal,
        "time": time,
        "longitude": longitude,
        "latitude": latitude,
        "quality": quality,
    }
    return {
        "boundary": {"file": str(boundary), "crs": "CGCS2000", "name": "街道", "sha256": digest_file(boundary)},
        "fixes": [{"file": str(folder / "fixes.csv"), **table}],
        "window": {"start": "2026-03-01", "end": "2026-03-31"},
        "recognition": "share",
        "least_share": 0.9,
    }


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """`true_value` covered streets among others, there as long as the context lasts; truth in truth.json."""
    with tempfile.TemporaryDirectory() as folder:
        write_streets(Path(folder), int(true_value), run.seed)
        basis = "虚拟街道与定位：覆盖的街道每 45 米有定位，另有无定位、只绕一圈、只在一处、非固定解与窗口外的"
        truth: Json = {"true": true_value, "unit": "个", "n": int(true_value) + len(UNCOVERED), "basis": basis}
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        yield coverage_params(Path(folder))
