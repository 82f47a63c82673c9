"""Scenario 1's demonstration as a user runs it: a model on five vehicles, each of which must pass by itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.e2e.support import demonstration, package_of, record_of, yanshou
from tests.editions import untranslated
from yanshou.demo.s01 import COUNT, TRUE_PARAMETERS, VEHICLES
from yanshou.probes.inspection.vin import written, wrong

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(1, tmp_path_factory.mktemp("demo-s01"))


def test_every_vehicle_is_measured_and_passes_by_itself(demo: Path) -> None:
    record = record_of(demo)
    assert (record["verdict"], record["marking"]) == ("pass", "演示数据")
    found = {f["indicator"]: f for f in record["findings"]}
    passed = [{"subject": name, "verdict": "pass"} for name in VEHICLES]
    assert found["S01-I01"]["subjects"] == found["S01-I02"]["subjects"] == passed
    assert found["S01-I01"]["n"] == TRUE_PARAMETERS == 7_615_616_512
    assert found["S01-I01"]["figure"]["per"] == 1_000_000_000, "drawn in B, as the limit is"
    assert all(f["calibration"]["within"] for f in found.values())


def test_each_latency_is_that_of_its_own_vehicle(demo: Path) -> None:
    found = next(f for f in record_of(demo)["findings"] if f["indicator"] == "S01-I02")
    assert {a["subject"] for a in found["attempts"]} == set(VEHICLES)
    for attempt in found["attempts"]:
        if attempt["verdict"] == "pass":
            assert attempt["n"] == COUNT
            assert attempt["facts"]["loop"] == "open"
    decided = {a["subject"]: a for a in found["attempts"]}
    for name, true_ms in VEHICLES.items():
        p50 = next(s for s in decided[name]["figure"]["ecdf"] if s[1] >= 0.5)[0]
        assert true_ms <= p50 <= true_ms + 5, name


def test_the_counted_file_is_the_one_that_each_service_holds(demo: Path) -> None:
    found = next(f for f in record_of(demo)["findings"] if f["indicator"] == "S01-I01")
    assert [{v["code"] for v in a["validity"]} for a in found["attempts"]] == [{"WGT-V07"}] * len(VEHICLES)
    assert not (demo / "model").exists()


def test_vehicles_are_counted_once_and_each_by_a_number_that_can_be(demo: Path) -> None:
    found = next(f for f in record_of(demo)["findings"] if f["indicator"] == "S01-I03")
    assert (found["value"], found["subjects"], len(found["attempts"])) == (5, [], 1)
    numbers = [written(item["observed"]) for item in found["figure"]["items"]]
    assert len(set(numbers)) == len(VEHICLES)
    assert not any(map(wrong, numbers))


def test_package_verifies_and_holds_no_weights(demo: Path) -> None:
    done = yanshou("verify", package_of(demo), "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["verdict"]) == (0, True, "pass")
    with zipfile.ZipFile(package_of(demo)) as package:
        assert max(info.file_size for info in package.infolist()) < 50 << 20


def test_a_changed_check_digit_in_the_evidence_is_found(demo: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(package_of(demo)) as package:
        package.extractall(tmp_path)
    (sheet,) = tmp_path.glob("*/data/runs/*-S01-I03/items.json")
    sheet.write_bytes(sheet.read_bytes().replace(b"VIN LZZDEM00", b"VIN LZZDEM01"))
    done = yanshou("verify", sheet.parents[3])
    assert done.returncode == 4
    assert "items.json" in done.stdout


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
