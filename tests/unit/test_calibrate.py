"""A standard that a busy host interrupts is set up again; one that cannot run says why, and nothing is calibrated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanshou.cli import main
from yanshou.harness import calibrate, engine
from yanshou.harness.basics import ExitCode, ProbeError, UserError
from yanshou.harness.recording import CALIBRATION_TRIES
from yanshou.probes.contract import find_probe


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Standards are interrupted the first `times` times; the names of all that were tried."""

    def arrange(times: int) -> list[str]:
        tried: list[str] = []
        real = calibrate.run_calibration

        def run(ledger: Any, probe: Any, *more: Any) -> int:
            tried.append(probe.name)
            if len(tried) <= times:
                raise ProbeError("REC-E08", "标准器自身被打断", "重试")
            return real(ledger, probe, *more)

        for module in (calibrate, engine):
            monkeypatch.setattr(module, "run_calibration", run)
        return tried

    return arrange


def test_an_interrupted_standard_is_set_up_again(interrupted: Callable[[int], list[str]]) -> None:
    tried = interrupted(2)
    assert calibrate.calibrate_here(find_probe("records")).within
    assert tried == ["records"] * 3


def test_a_standard_that_cannot_run_is_undecided(
    interrupted: Callable[[int], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    tried = interrupted(99)
    with pytest.raises(UserError, match="被打断") as stop:
        calibrate.calibrate_here(find_probe("records"))
    assert stop.value.exit_code is ExitCode.UNDECIDED
    assert len(tried) == CALIBRATION_TRIES
    with pytest.raises(SystemExit) as left:
        main(["calibrate", "records", "--json"])
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (3, "")
    assert "标准器自身被打断 → 重试" in said.err


CASE = """yanshou: 1
list: wuhan-2024
scenario: 5
mode: {mode}
project: {{name: 某项目, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 本机}}
commitments: {{S05-P01: {{name: 条数, kind: counted, baseline: 0 条, target: 不少于1条}}}}
measure:
  S05-P01: {{probe: records, params: {{file: rows.csv, key: [id], unit: 条}}}}
"""


@pytest.mark.parametrize(("times", "severities"), [(2, set()), (99, {"uncalibrated"})])
def test_a_run_calibrates_again_and_a_self_check_says_when_it_could_not(
    times: int, severities: set[str], interrupted: Callable[[int], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("id\na\nb\n", encoding="utf-8")
    (tmp_path / "case.yaml").write_text(CASE.format(mode="self-check"), encoding="utf-8")
    engine.freeze_case(tmp_path)
    tried = interrupted(times)
    summary = engine.run_case(tmp_path)
    assert len(tried) == CALIBRATION_TRIES
    assert len(summary.problems) == (times > 2)
    (finding,) = summary.record["findings"]
    assert {v["code"] for v in finding["validity"]} & {"uncalibrated"} == severities
    assert finding["attempts"][0]["status"] == "completed"
