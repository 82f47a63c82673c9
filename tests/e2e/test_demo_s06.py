"""The demonstration of scenario 6 as a user runs it, against what its imaginary receivers truly gave out."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.support import record_of, yanshou
from tests.e2e.test_demo import package_of
from tests.editions import untranslated
from yanshou.demo import s06, s06_receiver, s06_scale
from yanshou.demo.s06_receiver import SEEDS, SIGMA_MM, Motion, State, World, receiver
from yanshou.harness.evidence import read_ledger
from yanshou.harness.model import Samples
from yanshou.harness.runs import runs_of
from yanshou.probes.contract import Probe
from yanshou.probes.gnss.figures import lengths
from yanshou.probes.gnss.simulate import simulate
from yanshou.reports.render import render

GNSS: dict[str, tuple[Motion, str]] = {
    "S06-I01": ("dynamic", "horizontal"),
    "S06-I02": ("dynamic", "vertical"),
    "S06-I03": ("static", "horizontal"),
    "S06-I04": ("static", "vertical"),
}
BUSY = {"GNS-V59"}
"""What a host busy with other things may add: output that was held up."""
PRINTED_MM = 0.25
"""Steps of seven decimals of a minute and four of a metre, and a trajectory printed to twelve decimals of a degree."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo6") / "case"
    done = yanshou("demo", "--scenario", "6", folder)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "起点以东 20 mm 处" in done.stdout
    return folder


@pytest.fixture
def found(demo: Path) -> dict[str, dict]:
    return {f["indicator"]: f for f in record_of(demo)["findings"]}


@cache
def samples(folder: Path, indicator: str) -> Samples:
    """Measured again from the evidence."""
    (finding,) = (f for f in record_of(folder)["findings"] if f["indicator"] == indicator)
    runs = runs_of([record for _, record in read_ledger(folder / "ledger.jsonl")])
    (run,) = (r for r in runs if r.of(indicator, None, None))
    probe = Probe("gnss")
    measured = probe.analyse(run.evidence(folder), probe.params(finding["method"]["params"]), 1)
    assert isinstance(measured, Samples)
    return measured


def start_of(folder: Path) -> datetime:
    """Of both receivers: the first epoch of the trajectory."""
    with (folder / s06.TRUTH).open(encoding="utf-8") as f:
        return datetime.fromisoformat(next(csv.DictReader(f))["utc"]).replace(tzinfo=UTC)


def test_everything_passes(demo: Path, found: dict[str, dict]) -> None:
    record = record_of(demo)
    assert (record["verdict"], record["mode"], record["marking"]) == ("pass", "demo", "演示数据")
    assert {f["verdict"] for f in found.values()} == {"pass"}
    assert all(f["calibration"]["within"] for f in found.values())
    assert [g["verdict"] for g in record["groups"]] == ["pass"]


@pytest.mark.parametrize("indicator", GNSS)
def test_every_error_is_the_one_that_was_put_in(demo: Path, indicator: str) -> None:
    motion, component = GNSS[indicator]
    measured, start = samples(demo, indicator), start_of(demo)
    output = simulate(receiver(motion, start), SEEDS[motion])
    begin = datetime.fromisoformat(measured.facts["start"][:26]).replace(tzinfo=UTC)
    index = np.rint(((begin - start).total_seconds() + measured.times) * s06_receiver.RATE_HZ).astype(int)
    truly = lengths((output.printed - output.true)[:, index] * 1000, component)
    came = np.isfinite(measured.values)
    assert came.mean() >= 0.95
    assert came.sum() >= 200
    assert np.abs(measured.values - truly)[came].max() <= PRINTED_MM


@pytest.mark.parametrize("indicator", GNSS)
def test_figures_are_those_of_the_noise(found: dict[str, dict], indicator: str) -> None:
    motion, component = GNSS[indicator]
    east, north, up = SIGMA_MM[motion]
    true_cm = (np.hypot(east, north) if component == "horizontal" else up) / 10
    f = found[indicator]
    assert f["value"] == pytest.approx(true_cm, rel=0.25)
    assert f["lower"] < f["value"] < f["upper"] <= f["limit"]["value"]
    assert f["n_effective"] >= 15
    assert [p["kind"] for p in f["figure"]["pictures"]] == ["scatter", "traces", "sky"]
    assert f["figure"]["ecdf"]
    assert f["figure"]["series"]


def test_vertical_judges_the_streams_of_the_horizontal_run(demo: Path) -> None:
    runs = {r.indicator: r for r in runs_of([record for _, record in read_ledger(demo / "ledger.jsonl")])}
    for horizontal, vertical in (("S06-I01", "S06-I02"), ("S06-I03", "S06-I04")):
        assert runs[vertical].streams["raw.bin"]["sha256"] == runs[horizontal].streams["raw.bin"]["sha256"]


def test_antenna_was_moved_and_systems_switched_off(demo: Path) -> None:
    facts = samples(demo, "S06-I03").facts
    assert [(step["way_mm"][0], step["settled"]) for step in facts["challenge"]] == [
        (20, True),
        (30, True),
        (-50, True),
    ]
    for indicator in GNSS:
        off = {a["source"]: a for a in samples(demo, indicator).facts["ablations"]}
        assert set(off) == {"BDS", "GPS"}
        assert off["BDS"]["names_beidou"] is False
        for a in off.values():
            fixed_with, fixed_without = a["fixed_with_without"]
            assert (fixed_with >= 0.8, fixed_without <= 0.2) == (True, True)  # a busy host holds up some of the output


def test_only_what_a_demonstration_cannot_show_is_noted(found: dict[str, dict]) -> None:
    noted = {i: {v["code"] for v in found[i]["validity"] if v["severity"] != "info"} - BUSY for i in GNSS}
    short = {"GNS-V18"}
    assert noted == {"S06-I01": short, "S06-I02": short, "S06-I03": short, "S06-I04": short | {"GNS-V41"}}


def test_scale_is_what_stands_there(demo: Path, found: dict[str, dict]) -> None:
    nodes, streets, area = (found[i] for i in ("S06-I05", "S06-I06", "S06-I07"))
    assert nodes["value"] == s06_scale.TRUE_NODES
    assert nodes["lower"] >= s06_scale.COMMITTED_NODES
    status = {d["device_id"]: d["status"] for d in nodes["attempts"][-1]["facts"]["devices"]}
    cheats = s06_scale.serials()[s06_scale.TRUE_NODES :]
    assert [status[serial] for serial in cheats] == ["duplicate"] * 4 + ["ghost"] * 3
    assert streets["value"] == s06_scale.TRUE_STREETS
    good = s06_scale.POINTS - s06_scale.BAD_POINTS
    assert area["value"] == pytest.approx(s06_scale.TRUE_AREA_M2 / 1e6 * good / s06_scale.POINTS, rel=1e-6)
    assert (area["figure"]["net"], area["figure"]["per"]) == (s06_scale.TRUE_AREA_M2, 1e6)
    assert [[p["kind"] for p in f["figure"]["pictures"]] for f in (streets, area)] == [["map"], ["map"]]


def test_package_verifies_from_elsewhere(demo: Path, tmp_path: Path) -> None:
    copied = shutil.copy(package_of(demo), tmp_path / "sent.zip")
    done = yanshou("verify", copied, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["verdict"]) == (0, True, "pass")


def test_report_is_the_same_made_again(demo: Path, tmp_path: Path) -> None:
    render(record_of(demo), tmp_path)
    for made in ("report.pdf", "report.html", "results.json"):
        assert (tmp_path / made).read_bytes() == (demo / "report" / made).read_bytes(), made


def test_nobody_else_may_judge_so_short_a_recording(demo: Path, tmp_path: Path) -> None:
    text = (demo / "case.yaml").read_text(encoding="utf-8").replace("mode: demo", "mode: self-check")
    (tmp_path / "case.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(demo / "inputs", tmp_path / "inputs")
    done = yanshou("plan", tmp_path, "--freeze")
    assert done.returncode == 2
    assert done.stderr.count("P-DEMO") == len(GNSS)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_the_world_changes_when_it_is_told_to() -> None:
    world = World("static")
    for line in ("20.0 off BDS", "10.0 slide 50.0", "25.0 on BDS", "30.0 slide 0.0"):
        world.order(line)
    seen = [world.at(moment) for moment in (9.9, 10.0, 20.0, 25.0, 30.0)]
    assert seen == [State(), State("", 50.0), State("BDS", 50.0), State("", 50.0), State()]


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
