"""The three scale arms of scenario 6 through the command line: one of them proven is enough; a sample is laid out for visits."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.e2e.support import yanshou
from tests.probes import test_coverage, test_devices_positions
from tests.probes.boundary_support import CHECK, geojson, square
from tests.probes.devices_support import table
from yanshou.harness.evidence import digest_file

COLUMNS = "kind: table, id: terminal, time: time, longitude: lon, latitude: lat, quality: q"


def case(folder: Path, area_m2: float) -> Path:
    """99 terminals and a copy of one, one street covered and one driven through in zigzag, and an area to be visited."""
    streams = test_devices_positions.parked(99)
    streams.append(streams[3] + 20.0)
    street, other = test_coverage.A, test_coverage.B
    fixes = test_coverage.fleet(street) + test_coverage.drive(test_coverage.within(other, test_coverage.zigzag()))
    files = {
        "register.csv": "编号\n".encode() + "".join(f"N{n}\n" for n in range(100)).encode(),
        "nodes.csv": table(test_devices_positions.COLUMNS, test_devices_positions.fleet(streams)),
        "streets.geojson": test_coverage.STREETS,
        "fixes.csv": test_coverage.table(fixes),
        "zone.geojson": geojson({"示范区": [square(area_m2)]}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    check = json.dumps(CHECK, ensure_ascii=False)
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 6
mode: self-check
project: {{name: 北斗示范, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 示范区}}
commitments:
  S06-I05: {{baseline: 0 个, target: ≥ 100 个, define: {{counting_unit: 终端}}}}
  S06-I06: {{baseline: 0 个, target: ≥ 2 个, define: {{recognition: 有定位的 100 米格不少于六成}}}}
  S06-I07: {{baseline: 0 km2, target: ≥ 10 km2, define: {{boundary: zone.geojson, availability: 30 秒内固定, statistic: 最大值}}}}
measure:
  S06-I05:
    probe: devices
    params:
      register: {{file: register.csv, id: 编号}}
      sources: [{{kind: positions, fixes: [{{file: nodes.csv, {COLUMNS}}}]}}]
      unit: 个
  S06-I06:
    probe: coverage
    params:
      boundary: {{file: streets.geojson, crs: CGCS2000, name: 名称, check: {check}}}
      fixes: [{{file: fixes.csv, {COLUMNS}}}]
      window: {{start: 2026-03-01, end: 2026-03-31}}
      recognition: share
      least_share: 0.6
  S06-I07:
    probe: area
    params:
      boundary: {{file: zone.geojson, crs: CGCS2000, check: {check}, sha256: {digest_file(folder / "zone.geojson")}}}
      visits: {{file: visits.csv, size: 59}}
""",
        encoding="utf-8",
    )
    return folder


def visit(path: Path) -> None:
    """Play the evaluator who goes to every point and finds it good."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        for row in rows:
            seen = {"seen_longitude": f"{float(row['longitude']) + 3e-5:.7f}", "seen_latitude": row["latitude"]}
            writer.writerow({**row, **seen, "result": "好"})


@pytest.mark.parametrize(("area_m2", "code", "verdict"), [(1.07e7, 0, "pass"), (1.02e7, 3, "inconclusive")])
def test_one_arm_is_enough(tmp_path: Path, area_m2: float, code: int, verdict: str) -> None:
    folder = case(tmp_path, area_m2)
    assert "P-NONE" in yanshou("sample", folder).stderr
    assert yanshou("plan", folder, "--freeze").returncode == 0
    laid_out = json.loads(yanshou("sample", folder, "--json").stdout)
    assert laid_out == {"sheets": [{"file": str(folder / "visits.csv"), "rows": 59, "written": True}], "problems": []}
    visit(folder / "visits.csv")
    filled = (folder / "visits.csv").read_bytes()
    assert "没有改动" in yanshou("sample", folder).stdout
    assert (folder / "visits.csv").read_bytes() == filled
    done = yanshou("run", folder)
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    assert {f["indicator"]: f["verdict"] for f in record["findings"]} == {
        "S06-I05": "fail", "S06-I06": "fail", "S06-I07": verdict,
    }  # fmt: skip
    assert (done.returncode, record["verdict"]) == (code, verdict)
    by_id = {f["indicator"]: f for f in record["findings"]}
    assert (by_id["S06-I05"]["value"], by_id["S06-I06"]["value"]) == (99, 1)
    assert by_id["S06-I07"]["lower"] == pytest.approx(area_m2 / 1e6 * 0.05 ** (1 / 59), rel=1e-4)


def test_a_sample_waits_for_its_file_and_for_the_boundary_of_the_plan(tmp_path: Path) -> None:
    folder = case(tmp_path, 1.07e7)
    assert yanshou("plan", folder, "--freeze").returncode == 0
    path = folder / "zone.geojson"
    zone = path.read_bytes()
    for other in (None, zone + b" "):
        path.unlink()
        if other is not None:
            path.write_bytes(other)
        done = yanshou("sample", folder)
        assert (done.returncode, "P-SAMPLE S06-I07" in done.stdout + done.stderr) == (2, True)
        assert (folder / "visits.csv").read_text(encoding="utf-8").count("\n") == 1
        path.write_bytes(zone)
    assert yanshou("sample", folder).returncode == 0
