"""How large the imaginary system of scenario 6 is: terminals with positions, of which some cheat, streets, and an area to visit.

What is written is known exactly. It must never leave its folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.formats.boundaries import Plane
from yanshou.harness.evidence import digest_file, write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.area.reference import zone
from yanshou.probes.coverage.reference import SOUTH, WEST, coverage_params, write_streets
from yanshou.probes.sampling import RESULT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRUE_NODES, COMMITTED_NODES = 108, 100
CHEATS = {"displaced": 2, "near": 2, "listed": 3}
"""Registered too: another terminal's output put elsewhere; a second receiver on another one's mast; a line of paper."""
NODES_SAMPLE = 60
TRUE_STREETS = 2
TRUE_AREA_M2 = 1.2e7
POINTS, BAD_POINTS = 59, 2
"""Visited in the area, and those of them without a fixed solution."""
SEED = 6003
NODES_START = datetime(2026, 3, 2, 9)
NODES_S, EVERY_S = 600, 5
SPREAD_M = 2000.0
NODE_COLUMNS = ("终端", "时间", "经度", "纬度", "解")
REGISTER, NODES, AUDIT = "inputs/nodes.csv", "inputs/positions.csv", "inputs/audit.csv"
STREETS, FIXES = "inputs/streets.geojson", "inputs/fixes.csv"
ZONE, VISITS = "inputs/zone.geojson", "inputs/visits.csv"


def serials() -> list[str]:
    """Of every registered terminal; the first TRUE_NODES are ones."""
    return [f"BD{number:04d}" for number in range(1, TRUE_NODES + sum(CHEATS.values()) + 1)]


def write_scale(folder: Path) -> None:
    """Everything that is handed in for the three arms. Raises OSError."""
    write_atomic(folder / REGISTER, _table(["终端"], ([serial] for serial in serials())))
    write_atomic(folder / NODES, _table(NODE_COLUMNS, _positions()))
    write_streets((folder / STREETS).parent, TRUE_STREETS, SEED)
    ring = zone(WEST, SOUTH, TRUE_AREA_M2)
    write_atomic(folder / ZONE, json.dumps({"type": "Polygon", "coordinates": [ring]}).encode())


def _positions() -> Iterator[list[str]]:
    """Ten minutes of the terminals: what honest ones have in common is the noise of their base station."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    base = _noise(rng)
    tracks = [rng.uniform(-SPREAD_M, SPREAD_M, 2) + base + _noise(rng) for _ in range(TRUE_NODES)]
    models = iter(tracks[: CHEATS["displaced"] + CHEATS["near"]])
    displaced = [next(models) + np.array([300.0, 400.0]) for _ in range(CHEATS["displaced"])]
    near = [next(models).mean(axis=0) + np.array([0.4, 0.3]) + base + _noise(rng) for _ in range(CHEATS["near"])]
    plane = Plane(WEST, SOUTH)
    for serial, track in zip(serials(), [*tracks, *displaced, *near], strict=False):
        for step, (x, y) in enumerate(plane.degrees(track).tolist()):
            moment = NODES_START + timedelta(seconds=step * EVERY_S)
            yield [serial, moment.isoformat(), f"{x:.8f}", f"{y:.8f}", "4"]


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random walk of millimetres with noise upon it, east and north, metres."""
    import numpy as np

    steps = (NODES_S // EVERY_S, 2)
    return np.asarray(np.cumsum(rng.normal(0, 0.001, steps), axis=0) + rng.normal(0, 0.002, steps))


def nodes_params(folder: Path) -> dict[str, Any]:
    """For `devices`."""
    terminal, time, longitude, latitude, quality = NODE_COLUMNS
    table = {
        "kind": "table",
        "id": terminal,
        "time": time,
        "longitude": longitude,
        "latitude": latitude,
        "quality": quality,
    }
    return {
        "register": {"file": REGISTER, "id": terminal, "sha256": digest_file(folder / REGISTER)},
        "sources": [{"kind": "positions", "fixes": [{"file": NODES, **table}], "window_s": NODES_S}],
        "audit": {"file": AUDIT, "size": NODES_SAMPLE},
        "unit": "个",
    }


def streets_params(folder: Path) -> dict[str, Any]:
    """For `coverage`."""
    given = coverage_params((folder / STREETS).parent)
    boundary = {**given["boundary"], "file": STREETS, "check": _corner("一处街道界址点")}
    return {**given, "boundary": boundary, "fixes": [{**given["fixes"][0], "file": FIXES}]}


def area_params(folder: Path) -> dict[str, Any]:
    """For `area`."""
    boundary = {"file": ZONE, "crs": "CGCS2000", "sha256": digest_file(folder / ZONE), "check": _corner("示范区西南角")}
    return {"boundary": boundary, "visits": {"file": VISITS, "size": POINTS}}


def _corner(name: str) -> dict[str, Any]:
    return {"name": name, "longitude": WEST, "latitude": SOUTH, "file": [WEST, SOUTH]}


def visit_nodes(folder: Path, plan: Plan) -> None:
    """Every drawn terminal that is one is found, bears its serial and vanishes unplugged; the others do not."""
    from yanshou.probes.devices.register import sample_ids
    from yanshou.probes.devices.spec import Params

    indicator = plan.indicator("S06-I05")
    assert indicator.instrument is not None
    params = Params.model_validate(indicator.instrument.params)
    real = set(serials()[:TRUE_NODES])
    good = ("好", "{}", "是", "演示：现场核对铭牌，断电后消失")
    rows = (
        [one, *(cell.format(one) for cell in good)] if one in real else [one, "坏", "", "", "演示：现场没有这台终端"]
        for one in sample_ids(folder, params, indicator.seed)
    )
    write_atomic(folder / AUDIT, _table([params.register_.id, RESULT, "serial", "unplug", "note"], rows))


def visit_points(folder: Path, plan: Plan) -> None:
    """Somebody goes to every drawn point, a few metres beside it; the first BAD_POINTS have no fixed solution."""
    from yanshou.probes.area.spec import COLUMNS, Params
    from yanshou.probes.area.visits import sample_points

    indicator = plan.indicator("S06-I07")
    assert indicator.instrument is not None
    params = Params.model_validate(indicator.instrument.params)
    rows = []
    for number, point in enumerate(sample_points(folder, params, indicator.seed)):
        result = ("坏", "演示：高架桥下没有固定解") if number < BAD_POINTS else ("好", "演示:30 秒内固定")
        place = [f"{point.longitude:.7f}", f"{point.latitude:.7f}"]
        seen = [f"{point.longitude + 4e-5:.7f}", f"{point.latitude - 3e-5:.7f}"]
        rows.append([point.id, *place, result[0], *seen, result[1]])
    write_atomic(folder / VISITS, _table(COLUMNS, rows))


def _table(header: Any, rows: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()
