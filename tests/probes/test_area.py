from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from tests.probes.boundary_support import (
    CHECK,
    CORNER,
    clockwise,
    criterion,
    geojson,
    moved,
    shapefile_parts,
    square,
    write,
)
from tests.probes.records_support import MemoryEvidence, codes, record
from yanshou.formats.boundaries import Plane
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunWriter, sha256_bytes
from yanshou.harness.judge import judge_run
from yanshou.harness.model import Audit, Count, Kind, Verdict
from yanshou.harness.runs import runs_of
from yanshou.probes.area.analyse import BAD, GOOD, OPEN, analyse
from yanshou.probes.area.capture import capture
from yanshou.probes.area.reference import POINTS, standard, zone_m2
from yanshou.probes.area.spec import COLUMNS, SPEC, Params, estimate, forms
from yanshou.probes.area.visits import Point, sample_points, sheet
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe, indicated

SEED = 7
TEN_KM2 = criterion(10, "km2")


def params(data: bytes | None = None, size: int | None = None, **boundary: Any) -> Params:
    given = {"file": "zone.geojson", "crs": "CGCS2000", "check": CHECK, **boundary}
    if data is not None:
        given["sha256"] = sha256_bytes(data)
    visits = None if size is None else {"file": "visits.csv", "size": size}
    return Params.model_validate({"boundary": given, "visits": visits})


def evidence(data: bytes, visits: bytes | None = None, **more: bytes) -> Any:
    streams = {"boundary.geojson": data, **({} if visits is None else {"visits.csv": visits}), **more}
    digests = {name: sha256_bytes(content) for name, content in streams.items()}
    return MemoryEvidence({**streams, "session.json": json.dumps({"files": digests}).encode()})


def filled(points: list[Point], **answers: Any) -> bytes:
    """The sheet as honest visitors bring it back: within metres of each point, all good; `answers` by id replace cells."""
    rows = list(csv.DictReader(io.StringIO(sheet(points))))
    for number, row in enumerate(rows):
        x, y = float(row["longitude"]) + 2e-5 * (number % 3 + 1), float(row["latitude"]) - 1e-5
        row.update({"result": "好", "seen_longitude": f"{x:.8f}", "seen_latitude": f"{y:.8f}"})
        row.update(answers.get(row["point"], {}))
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def visited(data: bytes, size: int, **answers: Any) -> Count:
    wanted = params(data, size)
    return analyse(evidence(data, filled(sample_points(evidence(data), wanted, SEED), **answers)), wanted, SEED)


# --- against the reference -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_measured_to_the_square_metre(tmp_path: Path, true_value: float) -> None:
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "calibrate", {}) as run:
        context = RunContext(run.sink, 42, tmp_path)
        with standard(true_value, context) as values:
            given = Params.model_validate(values)
            capture(given, context)
        run.close(RunStatus.COMPLETED)
    found_in = runs_of(ledger.records)[0].evidence(tmp_path)
    found = analyse(found_in, given, 42)
    assert indicated(found, "m2") == json.loads(found_in.open("truth.json").read())["true"] == true_value
    assert found.facts["area_m2"] == pytest.approx(true_value, abs=0.01)
    assert found.gross - sum(e.count for e in found.exclusions) == found.net
    assert found.exclusions[0].count == pytest.approx(true_value / 10, abs=1)
    assert codes(found.validity) == {"BND-V04": "warning", "ARE-V06": "info"}


def test_the_closed_form_is_that_of_the_whole_earth() -> None:
    assert zone_m2(-90, 90, 360) == pytest.approx(4 * math.pi * 6371007.1810**2, rel=1e-10)  # R2 of GRS 80, Moritz 2000


def test_spec_estimate_and_forms() -> None:
    assert Probe("area").spec is SPEC
    assert (SPEC.kind, SPEC.unit) == (Kind.COUNTED, "m2")
    assert (estimate(params(), None).samples, forms(params())) == (0, {})
    assert (estimate(params(size=59), None).samples, forms(params(size=59))) == (
        59,
        {"visits.csv": ",".join(COLUMNS) + "\n"},
    )


# --- judging -------------------------------------------------------------------------------------------------------------


def test_an_area_that_nobody_visited_is_a_declaration_and_not_judged() -> None:
    data = geojson({"a": [square(5e7)]})
    found = analyse(evidence(data), params(data), SEED)
    judged = judge_run(TEN_KM2, found, 0.05, None)
    assert (judged.verdict, judged.reasons[0].code) == (Verdict.INCONCLUSIVE, "unvisited")
    assert found.audit is None
    assert float(judged.value) == pytest.approx(50)
    assert found.validity == ()


@pytest.mark.parametrize(
    ("area", "size", "bad", "verdict"),
    [
        (1.06e7, 59, 0, Verdict.PASS),
        (1.05e7, 59, 0, Verdict.INCONCLUSIVE),  # 95 % of it are shown: 9.98 km2
        (1.06e7, 40, 0, Verdict.INCONCLUSIVE),
        (1.06e7, 59, 1, Verdict.INCONCLUSIVE),
        (1.2e7, 59, 3, Verdict.PASS),
        (1.2e7, 59, 25, Verdict.FAIL),
        (9.9e6, 59, 0, Verdict.FAIL),
    ],
)
def test_area_times_the_share_that_is_shown_decides(area: float, size: int, bad: int, verdict: Verdict) -> None:
    data = geojson({"a": [square(area)]})
    points = sample_points(evidence(data), params(data, size), SEED)
    found = visited(data, size, **{p.id: {"result": "坏"} for p in points[:bad]})
    assert found.audit == Audit(round(area), size, size - bad)
    assert found.validity == ()
    judged = judge_run(TEN_KM2, found, 0.05, None)
    assert judged.verdict is verdict
    if bad == 0:
        assert float(judged.lower) == pytest.approx(area / 1e6 * 0.05 ** (1 / size), rel=1e-4)


def test_the_bound_holds_for_uniform_points() -> None:
    """Half of the area is unusable: of 300 seeded draws at most about 5 % may claim more than that half."""
    data = geojson({"a": [square(1e7)]})
    wanted = params(data, 30)
    middle = np.array(square(1e7))[:, 0].mean()
    claims = 0
    for seed in range(300):
        points = sample_points(evidence(data), wanted, seed)
        good = sum(p.longitude < middle for p in points)
        count = Count("m2", 10**7, (), 10**7, Audit(10**7, 30, good))
        claims += float(judge_run(TEN_KM2, count, 0.05, None).lower) > 5
    assert claims <= 25


# --- points --------------------------------------------------------------------------------------------------------------


def test_points_lie_inside_and_depend_on_seed_and_boundary_only(tmp_path: Path) -> None:
    outer, hole = square(1e7), square(4e6, 500, 500)
    data = geojson({"a": [outer, hole]})
    wanted = params(data, 500)
    points = sample_points(evidence(data), wanted, SEED)
    polygon = shapely.Polygon(outer, [hole])
    assert all(polygon.contains(shapely.Point(p.longitude, p.latitude)) for p in points)
    assert [p.id for p in points[:2]] == ["P001", "P002"]
    assert points == sample_points(evidence(data), wanted, SEED) != sample_points(evidence(data), wanted, SEED + 1)
    other = data.replace(b'"a"', b'"b"')
    assert points != sample_points(evidence(other), params(other, 500), SEED)
    write(tmp_path, zone__geojson=data)
    assert sample_points(tmp_path, wanted, SEED) == points
    assert sample_points(evidence(data), params(data), SEED) == []


def test_points_are_uniform_over_the_area() -> None:
    data = geojson({"a": [square(1e7)]})
    points = sample_points(evidence(data), params(data, 2000), SEED)
    plane = Plane(*CORNER)
    metres = plane.metres(np.array([[p.longitude, p.latitude] for p in points])) / np.sqrt(1e7)
    counts = np.histogram2d(*metres.T, bins=4, range=((0, 1), (0, 1)))[0]
    assert ((counts - 125) ** 2 / 125).sum() < 37.7  # chi2, 15 degrees of freedom, 0.999


# --- findings ------------------------------------------------------------------------------------------------------------

DATA = geojson({"a": [square(2e7)]})


def test_honest_visits_are_clean_and_their_map_shows_them() -> None:
    found = visited(DATA, 59, P005={"result": "坏", "seen_longitude": "", "seen_latitude": ""})
    assert (found.audit, found.validity, found.open) == (Audit(20_000_000, 59, 58), (), ())
    assert found.facts["visited"] == {GOOD: 58, BAD: 1, OPEN: 0}
    (drawn_map,) = found.pictures
    assert drawn_map.points.groups == (GOOD, OPEN, BAD)
    assert np.bincount(drawn_map.points.group, minlength=3).tolist() == [58, 0, 1]
    assert np.hypot(drawn_map.points.x, drawn_map.points.y).max() < 3200
    assert shapely.Polygon(drawn_map.areas[0].rings[0]).area == pytest.approx(2e7, rel=1e-6)


@pytest.mark.parametrize(
    ("answers", "code", "severity", "good"),
    [
        ({"P001": {"result": ""}}, "ARE-V03", "invalid", 58),
        ({"P001": {"point": "P999"}}, "ARE-V02", "invalid", 58),
        ({"P001": {"point": "P002"}}, "ARE-V02", "invalid", 57),
        ({"P001": {"seen_latitude": "30.9"}}, "ARE-V04", "warning", 58),
        ({"P001": {"seen_latitude": ""}}, "ARE-V04", "warning", 58),
        ({"P001": {"seen_latitude": "nan"}}, "ARE-V04", "warning", 58),
    ],
)
def test_visits_that_are_none(answers: dict[str, Any], code: str, severity: str, good: int) -> None:
    found = visited(DATA, 59, **answers)
    assert codes(found.validity)[code] == severity
    assert found.audit == Audit(20_000_000, 59, good)


def test_positions_copied_from_the_sheet_are_named() -> None:
    points = sample_points(evidence(DATA), params(DATA, 20), SEED)

    def copied(number: int) -> Count:
        cells = {
            p.id: {"seen_longitude": f"{p.longitude:.7f}", "seen_latitude": f"{p.latitude:.7f}"}
            for p in points[:number]
        }
        return visited(DATA, 20, **cells)

    assert codes(copied(20).validity) == {"ARE-V05": "warning"}
    assert copied(3).validity == ()


def test_without_the_file_of_visits_every_point_is_open() -> None:
    found = analyse(evidence(DATA), params(DATA, 5), SEED)
    assert codes(found.validity) == {"ARE-V03": "invalid"}
    assert found.audit == Audit(20_000_000, 5, 0)


def test_pieces_are_named() -> None:
    data = geojson({"a": [square(1e7)], "b": [square(1e6, 5000)]})
    assert codes(analyse(evidence(data), params(data), SEED).validity) == {"ARE-V06": "info"}


def test_what_speaks_against_a_boundary() -> None:
    shifted = geojson({"a": [moved(square(2e7))]})
    at = moved(square(2e7))[0]
    check = {**CHECK, "file": at}

    def found(data: bytes = DATA, **changes: Any) -> dict[str, str]:
        given = {"sha256": sha256_bytes(data), **changes}
        return {v.code: v.text for v in analyse(evidence(data), params(**given), SEED).validity}

    assert found() == {}
    assert list(found(crs=None)) == ["BND-V02"]
    assert list(found(check=None)) == ["BND-V04"]
    assert list(found(sha256=None)) == ["BND-V05"]
    assert list(found(sha256="0" * 64)) == ["BND-V06"]
    assert "588 米，正是 GCJ-02" in found(shifted, check=check)["BND-V03"]
    assert (
        "GCJ-02"
        not in found(geojson({"a": [square(2e7, 300)]}), check={**CHECK, "file": square(2e7, 300)[0]})["BND-V03"]
    )
    assert "不是边界的顶点" in found(shifted)["BND-V03"]  # the truth written into both fields


@pytest.mark.parametrize("size", [0, 10, 60])
def test_cut_evidence_is_invalid_and_never_crashes(size: int) -> None:
    whole = evidence(DATA)
    for name in whole.streams():
        streams = {n: whole.open(n).read() for n in whole.streams()}
        found = analyse(MemoryEvidence({**streams, name: streams[name][:size]}), params(DATA), SEED)
        assert "invalid" in codes(found.validity).values()
    assert codes(analyse(MemoryEvidence({}), params(DATA), SEED).validity) == {
        "ARE-V01": "invalid",
        "BND-V01": "invalid",
    }


# --- capture -------------------------------------------------------------------------------------------------------------


def refused(folder: Path, wanted: Params) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, wanted)
    return caught.value


def test_capture_takes_files_as_they_are(tmp_path: Path) -> None:
    parts = shapefile_parts({"a": [clockwise(square(2e7))]})
    write(tmp_path, zone__shp=parts["shp"], zone__dbf=parts["dbf"])
    wanted = params(parts["shp"], 20, file="zone.shp")
    write(tmp_path, visits__csv=filled(sample_points(tmp_path, wanted, SEED)))
    taken = record(tmp_path, capture, wanted)
    assert taken.streams() == ("boundary.dbf", "boundary.shp", "session.json", "visits.csv")
    found = analyse(taken, wanted, SEED)
    assert (found.audit, found.validity) == (Audit(20_000_000, 20, 20), ())
    assert sample_points(taken, wanted, SEED) == sample_points(tmp_path, wanted, SEED)


def test_capture_refuses_what_could_not_be_used(tmp_path: Path) -> None:
    assert refused(tmp_path, params()).problem.code == "BND-E01"
    write(tmp_path, zone__geojson=geojson({"a": [[*square(1e6)[:-1]]]}))
    assert refused(tmp_path, params()).problem.code == "BND-E02"
    write(tmp_path, zone__geojson=geojson({"a": [moved(square(2e7))]}))
    assert refused(tmp_path, params()).problem.code == "BND-E04"
    write(tmp_path, zone__geojson=DATA)
    assert refused(tmp_path, params(b"another")).problem.code == "BND-E03"
    assert refused(tmp_path, params(DATA, 3)).problem.code == "ARE-E01"
    write(tmp_path, visits__csv=b"point,result\nP001,1\n")
    assert refused(tmp_path, params(DATA, 3)).problem.code == "ARE-E02"
    points = sample_points(tmp_path, params(DATA, 3), SEED)
    write(tmp_path, visits__csv=filled(points, P002={"result": "还行"}))
    error = refused(tmp_path, params(DATA, 3))
    assert error.problem.code == "ARE-E03"
    assert "P002" in error.problem.text or "p002" in error.problem.text
    write(tmp_path, visits__csv=filled(points).decode().encode("gb18030"))
    assert analyse(record(tmp_path, capture, params(DATA, 3)), params(DATA, 3), SEED).audit == Audit(20_000_000, 3, 3)


def test_notes_with_a_telephone_number_are_refused(tmp_path: Path) -> None:
    write(tmp_path, zone__geojson=DATA)
    points = sample_points(tmp_path, params(DATA, 3), SEED)
    write(tmp_path, visits__csv=filled(points, P002={"note": "联系 13800138000"}))
    error = refused(tmp_path, params(DATA, 3)).problem
    assert (error.code, "note" in error.text, "138" in str(error)) == ("ARE-E03", True, False)


def test_a_boundary_of_a_few_square_metres_is_not_judged_and_crashes_nothing(tmp_path: Path) -> None:
    small = geojson({"a": [square(2.0)]})
    write(tmp_path, zone__geojson=small)
    wanted = params(small, 9)
    write(tmp_path, visits__csv=filled(sample_points(tmp_path, wanted, SEED)))
    found = analyse(record(tmp_path, capture, wanted), wanted, SEED)
    assert (found.net, found.audit, [r.code for r in found.open]) == (2, None, ["unvisited"])
    assert judge_run(TEN_KM2, found, 0.05, None).verdict is Verdict.INCONCLUSIVE


def test_files_that_change_while_they_are_copied_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yanshou.harness.evidence import EvidenceSink

    write(tmp_path, zone__geojson=DATA)
    wanted = params(DATA, 3)
    write(tmp_path, visits__csv=filled(sample_points(tmp_path, wanted, SEED)))
    attach = EvidenceSink.attach

    def then_append(name: str) -> None:
        def attached(self: EvidenceSink, source: Path, stream: str) -> str:
            digest = attach(self, source, stream)
            if source.name == name:
                with source.open("ab") as f:
                    f.write(b"\n")
            return digest

        monkeypatch.setattr(EvidenceSink, "attach", attached)

    then_append("visits.csv")
    assert refused(tmp_path, wanted).problem.code == "ARE-E04"
    then_append("zone.geojson")
    assert refused(tmp_path, params()).problem.code == "BND-E05"
