from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pydantic import ValidationError

from tests.probes.boundary_support import CHECK, criterion, geojson, moved, nmea, square, write
from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from yanshou.formats.boundaries import Plane, read_geojson
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunWriter, sha256_bytes
from yanshou.harness.judge import judge_run
from yanshou.harness.model import Count, Kind, Verdict
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe, indicated
from yanshou.probes.coverage.analyse import analyse
from yanshou.probes.coverage.capture import capture
from yanshou.probes.coverage.reference import POINTS, UNCOVERED, standard
from yanshou.probes.coverage.spec import SPEC, Params, estimate
from yanshou.probes.positions import STRETCH

COLUMNS = ["terminal", "time", "lon", "lat", "q"]
TABLE = {
    "kind": "table",
    "file": "fixes.csv",
    "id": "terminal",
    "time": "time",
    "longitude": "lon",
    "latitude": "lat",
    "quality": "q",
}
MARCH = {"start": "2026-03-01", "end": "2026-03-31"}
START = datetime(2026, 3, 2, 9)
TWO = criterion(2, "个")
SIDE = 2000.0
"""Of a street of 4 km2, 400 cells."""
Row = Sequence[object]

A, B = square(SIDE**2), square(SIDE**2, 3000)
STREETS = geojson({"甲街道": [A], "乙街道": [B]})
PLANE = Plane.over(read_geojson(STREETS, "CGCS2000", "名称"))


def params(data: bytes = STREETS, boundary: dict[str, Any] | None = None, **changes: Any) -> Params:
    given = {"file": "s.geojson", "crs": "CGCS2000", "name": "名称", "check": CHECK, "sha256": sha256_bytes(data)}
    values = {"fixes": [TABLE], "window": MARCH, "recognition": "share", "least_share": 0.6, **changes}
    return Params.model_validate({"boundary": {**given, **(boundary or {})}, **values})


def table(rows: Iterable[Row]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS, *rows])
    return out.getvalue().encode()


def evidence(rows: Iterable[Row] | bytes, data: bytes = STREETS) -> Any:
    fixes = rows if isinstance(rows, bytes) else table(rows)
    streams = {"boundary.geojson": data, "fixes-1.csv": fixes}
    digests = {name: sha256_bytes(content) for name, content in streams.items()}
    return MemoryEvidence({**streams, "session.json": json.dumps({"files": digests}).encode()})


def drive(
    path: Iterable[Sequence[float]], terminal: str = "T", at: datetime = START, quality: str = "4", digits: int = 8
) -> list[Row]:
    """One fix a second at each place (degrees)."""
    return [
        [terminal, (at + timedelta(seconds=n)).isoformat(), f"{x:.{digits}f}", f"{y:.{digits}f}", quality]
        for n, (x, y) in enumerate(path)
    ]


def within(ring: Sequence[Sequence[float]], shares: Iterable[tuple[float, float]], seed: int = 1) -> list[list[float]]:
    """Places in a street, from shares of its width and height, each a metre or so off."""
    corners = PLANE.metres(np.array(ring))
    low, high = corners.min(axis=0), corners.max(axis=0)
    metres = low + np.array(list(shares)) * (high - low)
    return PLANE.degrees(metres + np.random.default_rng(seed).normal(0, 0.5, metres.shape)).tolist()


def lawn(rows: int = 44) -> list[tuple[float, float]]:
    """Back and forth over the whole street."""
    n = np.linspace(0.01, 0.99, 120)
    return [(x, y) for i, y in enumerate(np.linspace(0.01, 0.99, rows)) for x in (n if i % 2 else n[::-1])]


def zigzag(turns: int = 9) -> list[tuple[float, float]]:
    """From west to east in `turns` slanting lines."""
    x = np.linspace(0.01, 0.99, 6000)
    y = np.abs((x * turns) % 2 - 1) * 0.98 + 0.01
    return list(zip(x, y, strict=True))


def fleet(ring: Sequence[Sequence[float]], terminals: int = 4) -> list[Row]:
    """Honest terminals, each of which drives all over a street on a day of its own."""
    return [
        r for n in range(terminals) for r in drive(within(ring, lawn(), n), f"T{n}", START + timedelta(days=n, hours=n))
    ]


def count(rows: Iterable[Row] | bytes, data: bytes = STREETS, **changes: Any) -> Count:
    return analyse(evidence(rows, data), params(data, **changes), 1)


def street(found: Count, name: str) -> dict[str, Any]:
    return next(s for s in found.facts["streets"] if s["name"] == name)


# --- against the reference -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "calibrate", {}) as run:
        context = RunContext(run.sink, 42, tmp_path)
        with standard(true_value, context) as values:
            given = Params.model_validate(values)
            capture(given, context)
        run.close(RunStatus.COMPLETED)
    found_in = runs_of(ledger.records)[0].evidence(tmp_path)
    found = analyse(found_in, given, 42)
    assert indicated(found, "个") == json.loads(found_in.open("truth.json").read())["true"] == true_value
    assert excluded(found) == {"COV-X-SMALL": 0, "COV-X-NOFIX": 3, "COV-X-SHARE": len(UNCOVERED) - 3}
    assert codes(found.validity) == {
        "BND-V04": "warning",
        "COV-V06": "warning",
        "COV-V07": "info",
        "COV-V11": "warning",
    }


def test_spec() -> None:
    assert Probe("coverage").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "个", 0.0)
    assert (estimate(params(), None).seconds, estimate(params(), None).samples) == (0.0, 0)


@pytest.mark.parametrize(
    "changes",
    [{"least_share": None}, {"least_cells": 3}, {"recognition": "track"}, {"boundary": {"name": None}}, {"fixes": []},
     {"recognition": "track", "least_share": 0.5, "least_cells": 3}],
)  # fmt: skip
def test_what_covered_means_is_said_once(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        params(**changes)


# --- counting ------------------------------------------------------------------------------------------------------------


def test_honest_terminals_cover_two_streets_and_nothing_is_said_against_them() -> None:
    found = count(fleet(A) + fleet(B))
    assert (found.gross, found.net, found.validity) == (2, 2, ())
    one = street(found, "甲街道")
    assert one["cells"] == pytest.approx(400, abs=20)
    assert (one["share"], one["terminals"], one["days"], one["code"]) == (1.0, 4, 4, "")
    judged = judge_run(TWO, found, 0.05, None)
    assert (judged.verdict, judged.reasons[0].code) == (Verdict.PASS, "census")
    few = count(fleet(A))
    assert (few.net, excluded(few)["COV-X-NOFIX"]) == (1, 1)
    assert judge_run(TWO, few, 0.05, None).verdict is Verdict.FAIL


def test_cells_are_those_of_an_independent_raster() -> None:
    """Hit cells of a zigzag, from fixes rounded into squares one by one, and cells from centres tried one by one."""
    path = within(A, zigzag())
    found = street(count(drive(path)), "甲街道")
    polygon = shapely.Polygon(PLANE.metres(np.array(A)))
    column, row = (np.floor(PLANE.metres(np.array(path)) / 100).astype(int)).T
    hit = {
        (c, r)
        for c, r, p in zip(column.tolist(), row.tolist(), PLANE.metres(np.array(path)), strict=True)
        if polygon.contains(shapely.Point(p)) and polygon.contains(shapely.Point(c * 100 + 50, r * 100 + 50))
    }
    low, high = (np.array(polygon.bounds) // 100).astype(int).reshape(2, 2)
    cells = sum(
        polygon.contains(shapely.Point(c * 100 + 50, r * 100 + 50))
        for c in range(low[0], high[0] + 1)
        for r in range(low[1], high[1] + 1)
    )
    assert (found["cells"], found["hit_cells"]) == (cells, len(hit))


def test_a_zigzag_looks_like_covering_and_is_not() -> None:
    found = count(drive(within(A, zigzag())) + fleet(B))
    one = street(found, "甲街道")
    assert 150 < one["hit_cells"] < 230
    assert one["hull_cells"] >= 0.95 * one["cells"]
    assert (one["code"], found.net) == ("COV-X-SHARE", 1)
    assert codes(found.validity) == {"COV-V11": "warning"}
    assert "外包" in found.validity[0].text
    assert judge_run(TWO, found, 0.05, None).verdict is Verdict.FAIL


def test_recognition_by_track_counts_cells() -> None:
    rows = drive(within(A, [(x, 0.5) for x in np.linspace(0.01, 0.99, 500)])) + drive(within(B, [(0.5, 0.5)] * 99), "U")
    found = count(rows, recognition="track", least_share=None, least_cells=10)
    assert excluded(found) == {"COV-X-SMALL": 0, "COV-X-NOFIX": 0, "COV-X-CELLS": 1}
    assert street(found, "甲街道")["status"] == "covered"
    assert count(rows, recognition="track", least_share=None, least_cells=1).net == 2


def test_the_least_share_is_exact_and_tiny_streets_have_no_cells() -> None:
    tiny = geojson({"甲街道": [A], "小": [square(900, 3037, 37)]})
    found = count(fleet(A), tiny, least_share=1.0)
    assert (found.net, excluded(found)) == (1, {"COV-X-SMALL": 1, "COV-X-NOFIX": 0, "COV-X-SHARE": 0})


def test_a_street_of_several_parts_is_one() -> None:
    both = geojson({"甲街道": [A], "乙街道": [B]}).replace("乙".encode(), "甲".encode())
    assert count(fleet(A) + fleet(B), both).net == 1


def test_positions_are_streamed_and_files_add_up() -> None:
    n = STRETCH + 5
    shares = np.random.default_rng(4).random((n, 2)) * 0.98 + 0.01
    rows = drive(within(A, [tuple(s) for s in shares]))
    whole = count(rows)
    assert street(whole, "甲街道")["fixes"] == n
    parts = MemoryEvidence(
        {
            **{k: evidence(rows).open(k).read() for k in ("boundary.geojson", "session.json")},
            "fixes-1.csv": table(rows[:1000]),
            "fixes-2.csv": table(rows[1000:]),
        }
    )
    split = analyse(parts, params(fixes=[TABLE, TABLE]), 1)
    assert split.facts["streets"] == whole.facts["streets"]


def test_the_map_shows_cells_and_streets() -> None:
    found = count(fleet(A))
    (drawn,) = found.pictures
    one, other = (street(found, f"{n}街道") for n in "甲乙")
    assert (drawn.cells.state == 2).sum() == one["hit_cells"]
    assert (drawn.cells.state == 1).sum() == other["cells"]
    assert [a.name for a in drawn.areas] == ["甲街道", "乙街道"]
    row, column = np.argwhere(drawn.cells.state == 2)[0]
    centre = drawn.cells.corner + (np.array([column, row]) + 0.5) * drawn.cells.size
    assert shapely.Polygon(drawn.areas[0].rings[0]).contains(shapely.Point(centre))


# --- findings ------------------------------------------------------------------------------------------------------------


def found_codes(rows: Iterable[Row] | bytes, data: bytes = STREETS, **changes: Any) -> dict[str, str]:
    return codes(count(rows, data, **changes).validity)


HONEST = fleet(A) + fleet(B)


def test_rows_that_do_not_count_are_counted_and_named() -> None:
    late = [[r[0], str(r[1]).replace("2026-03", "2026-05"), *r[2:]] for r in HONEST[:50]]
    floating = [[*r[:4], "5"] for r in HONEST[:60]]
    places = (("x", "30"), (0, 0), ("nan", "30"), ("200", "30"))
    broken = [["T", "2026-03-02", *place, "4"] for place in places]
    broken += [["", *HONEST[0][1:]], ["T", "昨天", *HONEST[0][2:]], ["T"]]
    found = count(HONEST + late + floating + broken)
    assert {v.code: v.text.split(" ")[0] for v in found.validity} == {"COV-V04": "7", "COV-V06": "50", "COV-V07": "60"}
    assert found.net == 2
    assert found_codes(HONEST, window=None) == {"COV-V05": "warning"}
    assert (
        street(count(HONEST + floating, fixes=[{**TABLE, "valid": ["4", "5"]}]), "甲街道")["fixes"]
        == len(fleet(A)) + 60
    )


def test_beijing_time_and_time_with_an_offset_are_the_same_window() -> None:
    rows = [["T", "2026-02-28T16:00:00Z", *HONEST[0][2:]], ["T", "2026-03-31 23:59:59", *HONEST[0][2:]],
            ["T", "2026-02-28T15:59:59Z", *HONEST[0][2:]], ["T", "2026-04-01 00:00:00", *HONEST[0][2:]]]  # fmt: skip
    assert street(count(rows), "甲街道")["fixes"] == 2


@pytest.mark.parametrize(("share", "severity"), [(0.05, "info"), (0.5, "warning")])
def test_fixes_outside_all_boundaries(share: float, severity: str) -> None:
    away = within(A, [(-0.3, 0.5)] * round(len(HONEST) * share / (1 - share)))
    assert found_codes(HONEST + drive(away, "T9")) == {"COV-V08": severity}


def test_fixes_of_a_map_service_are_named() -> None:
    shifted = [
        [r[0], r[1], *(f"{v:.8f}" for v in moved([[float(str(r[2])), float(str(r[3]))]])[0]), "4"] for r in HONEST
    ]
    found = count(shifted)
    assert codes(found.validity)["COV-V09"] == "warning"
    assert codes(found.validity)["COV-V08"] == "warning"
    assert "COV-V09" not in found_codes(
        shifted, geojson({"甲街道": [moved(A)], "乙街道": [moved(B)]}), boundary={"check": None}
    )


def test_one_terminal_that_makes_all_cells() -> None:
    found = count(drive(within(A, lawn()), "T0") + fleet(B))
    assert codes(found.validity) == {"COV-V12": "warning"}
    assert street(found, "甲街道")["busiest_terminal"] == {"id": "T0", "cells": 400, "alone": 400} | {
        k: street(found, "甲街道")["hit_cells"] for k in ("cells", "alone")
    }


def test_a_track_that_is_reported_twice() -> None:
    path = within(A, lawn(), 9)
    again = HONEST + drive(path, "T8") + drive(path, "T9")
    assert found_codes(again) == {"COV-V10": "warning"}
    assert found_codes(HONEST + drive(path, "T8") + drive(path, "T8", START + timedelta(days=9))) == {
        "COV-V10": "warning"
    }
    # Coarse digits repeat honestly on one road, and a parked receiver repeats its few centimetres.
    coarse = [(x, 0.5) for x in np.linspace(0.01, 0.99, 1500)]
    rows = [r for n in range(4) for r in drive(within(A, coarse, n), f"T{n}", digits=5)]
    assert "COV-V10" not in found_codes(HONEST + rows)
    rng = np.random.default_rng(5)
    parked = [
        r
        for n in range(4)
        for r in drive(np.array(within(A, [(0.5, 0.5)])) + rng.normal(0, 1e-7, (3000, 2)), f"T{n}", digits=7)
    ]
    assert "COV-V10" not in found_codes(HONEST + parked)


def test_streets_that_overlap_would_count_twice() -> None:
    same = geojson({"甲街道": [A], "甲街道二": [A], "乙街道": [B]})
    assert found_codes(HONEST, same) == {"COV-V03": "invalid"}
    neighbours = geojson({"甲街道": [A], "乙街道": [square(SIDE**2, SIDE)]})
    assert "COV-V03" not in found_codes(HONEST, neighbours)


def test_boundary_findings_come_along() -> None:
    assert found_codes(HONEST, boundary={"crs": None}) == {"BND-V02": "invalid"}
    shifted = geojson({"甲街道": [moved(A)], "乙街道": [moved(B)]})
    check = {**CHECK, "file": moved(A)[0]}
    assert found_codes(HONEST, shifted, boundary={"check": check})["BND-V03"] == "invalid"


@pytest.mark.parametrize("name", ["boundary.geojson", "fixes-1.csv", "session.json"])
def test_cut_or_missing_evidence_is_invalid_and_never_crashes(name: str) -> None:
    whole = evidence(HONEST[:200])
    streams = {n: whole.open(n).read() for n in whole.streams()}
    for size in (0, 1, 20, len(streams[name]) // 2):
        found = codes(analyse(MemoryEvidence({**streams, name: streams[name][:size]}), params(), 1).validity)
        assert found["COV-V01"] == "invalid"
    del streams[name]
    found = codes(analyse(MemoryEvidence(streams), params(), 1).validity)
    expected = {"boundary.geojson": {"BND-V01"}, "fixes-1.csv": {"COV-V02"}, "session.json": set()}[name]
    assert {code for code, severity in found.items() if severity == "invalid"} == expected | {"COV-V01"}


# --- capture -------------------------------------------------------------------------------------------------------------


def refused(folder: Path, wanted: Params) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, wanted)
    return caught.value


def test_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yanshou.harness.evidence import EvidenceSink

    assert refused(tmp_path, params()).problem.code == "BND-E01"
    write(tmp_path, s__geojson=STREETS)
    assert refused(tmp_path, params()).problem.code == "COV-E01"
    write(tmp_path, fixes__csv=b"terminal,time,lon,lat\n")
    assert "没有列“q”" in refused(tmp_path, params()).problem.text
    write(tmp_path, fixes__csv="terminal,time,lon,lat,q,备注\n".encode("gb18030"))
    assert "编码" in refused(tmp_path, params()).problem.text
    write(tmp_path, fixes__csv=table(HONEST))
    taken = record(tmp_path, capture, params())
    assert taken.streams() == ("boundary.geojson", "fixes-1.csv", "session.json")
    found = analyse(taken, params(), 1)
    assert (found.facts, found.validity) == (count(HONEST).facts, ())
    attach = EvidenceSink.attach

    def then_append(suffix: str) -> None:
        def attached(self: EvidenceSink, source: Path, name: str) -> str:
            digest = attach(self, source, name)
            if source.suffix == suffix:
                with source.open("ab") as f:
                    f.write(b"\n")
            return digest

        monkeypatch.setattr(EvidenceSink, "attach", attached)

    then_append(".csv")
    assert refused(tmp_path, params()).problem.code == "COV-E02"
    then_append(".geojson")
    assert refused(tmp_path, params()).problem.code == "BND-E05"


def test_logs_of_receivers_are_read_like_their_table(tmp_path: Path) -> None:
    rows = HONEST[:6000:3]
    (tmp_path / "logs").mkdir()
    write(tmp_path, s__geojson=STREETS, fixes__csv=table(rows))
    for name in {str(r[0]) for r in rows}:
        own = [(datetime.fromisoformat(str(r[1])), float(str(r[2])), float(str(r[3]))) for r in rows if r[0] == name]
        (tmp_path / "logs" / f"{name}.nmea").write_bytes(nmea(own))
    logs, of_table = params(fixes=[{"kind": "nmea", "folder": "logs"}]), params()
    found, like = (analyse(record(tmp_path, capture, wanted), wanted, 1) for wanted in (logs, of_table))
    assert found.facts["streets"] == like.facts["streets"]
    assert found.facts["valid_fixes"] == len(rows)
    assert found.facts["terminals"] > 1
    assert codes(found.validity) == codes(like.validity)


def test_a_workbook_is_read_like_its_csv(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    for r in HONEST[:100]:
        book.active.append(
            [r[0], datetime.fromisoformat(str(r[1])), float(str(r[2])), float(str(r[3])), int(str(r[4]))]
        )
    book.save(tmp_path / "fixes.xlsx")
    write(tmp_path, s__geojson=STREETS)
    wanted = params(fixes=[{**TABLE, "file": "fixes.xlsx"}])
    found = analyse(record(tmp_path, capture, wanted), wanted, 1)
    assert found.facts["valid_fixes"] == 100
