"""A family of instruments goes by its first name: `calibrate model`, `kit model`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tests.llama import write_case
from yanshou.cli import app
from yanshou.harness import calibrate
from yanshou.harness.basics import Problem, UserError
from yanshou.harness.calibrate import Calibration, Point
from yanshou.harness.engine import freeze_case
from yanshou.kit.build import make_kit
from yanshou.kit.runner import read_kit
from yanshou.probes.contract import Probe, find_probes

MODEL = ["model.actuation", "model.latency", "model.weights"]


def names(given: str) -> list[str]:
    return [probe.name for probe in find_probes(given)]


def test_a_family_is_all_that_have_its_name_before_a_point() -> None:
    assert names("model") == MODEL
    assert names("chain") == ["chain.crypto", "chain.nodes", "chain.records", "chain.subjects"]
    assert names("rtt") == ["rtt"]  # an instrument of its own
    assert names("rtt.http") == ["rtt.http"]
    for unknown in ("mod", "model.", "", "rtt.icm"):
        with pytest.raises(UserError, match="P-PROBE"):
            find_probes(unknown)


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which probes were calibrated; model.weights cannot be."""
    done: list[str] = []

    def here(probe: Probe, _progress: object) -> Calibration:
        done.append(probe.name)
        if probe.name == "model.weights":
            raise UserError(Problem("X-1", "标准器用不了", "换一台机器"))
        return Calibration(probe.name, "1", "ms", 2.0, 1, (Point(120_000_512.0, 120_000_512.0, 5), Point(0.5, 0.6, 5)))

    monkeypatch.setattr(calibrate, "calibrate_here", here)
    return done


def test_a_family_is_calibrated_one_after_the_other(calibrated: list[str]) -> None:
    result = CliRunner().invoke(app, ["calibrate", "model", "--json"])
    assert (calibrated, result.exit_code) == (MODEL, 3)  # one could not, and the others are told all the same
    assert [found["probe"] for found in json.loads(result.stdout)] == MODEL[:2]
    plain = CliRunner().invoke(app, ["calibrate", "model"])
    assert "真值 120000512  示值 120000512" in plain.stdout  # a count to its last digit
    one = CliRunner().invoke(app, ["calibrate", "model.latency", "--json"])
    assert (json.loads(one.stdout)["probe"], one.exit_code) == ("model.latency", 0)


def frozen(folder: Path, *left_out: str) -> Path:
    """A plan with model.weights and model.latency, or less."""
    case = write_case(folder, Path("model.gguf"), 8000, 700)
    yaml = YAML()
    told = yaml.load((case / "case.yaml").read_text(encoding="utf-8"))
    for indicator in left_out:
        del told["commitments"][indicator], told["measure"][indicator]
    with (case / "case.yaml").open("w", encoding="utf-8") as f:
        yaml.dump(told, f)
    freeze_case(case)
    return case


def test_a_kit_of_a_family_is_of_the_one_that_the_plan_uses(tmp_path: Path) -> None:
    both, one = frozen(tmp_path / "both"), frozen(tmp_path / "one", "S04-I01")
    made = make_kit(one, "model", tmp_path / "kit.pyz")
    assert [job.probe for job in made.jobs] == ["model.latency"]
    assert read_kit(made.path).probe.name == "model.latency"
    for case, name, why in (
        (both, "model", "model.latency、model.weights，一个采集包只装一种"),
        (one, "chain", "没有用 chain 测的"),
    ):
        with pytest.raises(UserError, match=f"KIT-E07.*{why}"):
            make_kit(case, name, tmp_path / "other.pyz")
    assert not (tmp_path / "other.pyz").exists()
