"""The remaining verbs as people and scripts call them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.e2e.support import latency_case, reflector, yanshou
from tests.inspecting import confirm, frozen_case, photo, put, say
from yanshou.inspect.recorder import recording
from yanshou.probes.contract import probe_names

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_verb() -> None:
    done = yanshou("--help")
    assert done.returncode == 0
    verbs = "list new import check doctor calibrate plan sample run status trace reidentify report documents sign verify demo"
    verbs += " package open trust key reflect schema"
    for verb in verbs.split():
        assert f"\n  {verb} " in done.stdout, verb
        assert yanshou(verb, "--help").returncode == 0


def test_usage_errors_exit_2() -> None:
    for arguments in (["nonsense"], ["run", "--nonsense"], ["list", "x"], ["list", "11"], ["schema", "x"]):
        done = yanshou(*arguments)
        assert (done.returncode, "Traceback" in done.stderr, bool(done.stderr)) == (2, False, True), arguments


def test_list_shows_all_and_marks_restored_wording() -> None:
    everything = json.loads(yanshou("list", "--json").stdout)
    assert len(everything) == 10
    assert "恢复" in yanshou("list", "1").stdout
    assert "S10-I03" in yanshou("list", "10").stdout


TIMED = ("rtt", "load", "model.latency")
"""What has a standard that is true to a millisecond."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.alone] if name.startswith(TIMED) else []) for name in probe_names()]
)
def test_calibrate_prints_error_of_indication(name: str) -> None:
    done = yanshou("calibrate", name, "--json")
    answer = json.loads(done.stdout)
    assert answer["probe"] == name
    assert answer["points"]
    assert all(p["error"] == pytest.approx(p["indicated"] - p["true"]) for p in answer["points"])
    assert answer["within"] == all(abs(p["error"]) <= answer["tolerance"] for p in answer["points"])
    assert done.returncode == (0 if answer["within"] else 1)


def test_case_schema_accepts_the_golden_case_and_names_a_wrong_key() -> None:
    schema = json.loads(yanshou("schema", "case").stdout)
    case = YAML(typ="safe", pure=True).load((ROOT / "tests/golden/case_s10.yaml").read_text(encoding="utf-8"))
    case = json.loads(json.dumps(case, default=str))
    jsonschema.validate(case, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**case, "modee": "demo"}, schema)


def test_new_never_overwrites(tmp_path: Path) -> None:
    assert yanshou("new", tmp_path / "c", "--scenario", 6).returncode == 0
    before = (tmp_path / "c/case.yaml").read_bytes()
    done = yanshou("new", tmp_path / "c", "--scenario", 10)
    assert (done.returncode, "E-EXISTS" in done.stderr) == (2, True)
    assert (tmp_path / "c/case.yaml").read_bytes() == before


def test_doctor_says_what_this_machine_lacks(tmp_path: Path) -> None:
    checks = json.loads(yanshou("doctor", tmp_path, "--json").stdout)
    assert {c["code"] for c in checks} >= {f"D{n:02d}" for n in range(1, 13)}
    assert all(c["ok"] for c in checks if c["code"] in ("D01", "D04", "D05"))


def test_run_resumes_and_again_spends_an_attempt(tmp_path: Path) -> None:
    with reflector() as port:
        case = latency_case(tmp_path, "127.0.0.1", port, count=320, attempts=2)
        assert yanshou("plan", case, "--freeze").returncode == 0
        first = json.loads(yanshou("run", case, "--json").stdout)
        second = json.loads(yanshou("run", case, "--json").stdout)
        assert first["runs"] == second["runs"]
        third = json.loads(yanshou("run", case, "--only", "S10-I03", "--again", "--json").stdout)
        assert [a["attempt"] for a in third["findings"][0]["attempts"]] == [1, 2]
        assert third["findings"][0]["alpha"] == pytest.approx(0.025)
        refused = yanshou("run", case, "--only", "S10-I03", "--again")
    assert (refused.returncode, "P-ATTEMPTS" in refused.stderr) == (2, True)


def pytest_on(case: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--acceptance",
        str(case / "case.yaml"),
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    return subprocess.run(command, cwd=case, capture_output=True, text=True, timeout=300, check=False)


def test_pytest_front_end(tmp_path: Path) -> None:
    """One item per planned indicator, verdict word first, undecided is failed, the case's own ledger untouched."""
    with reflector(3.0) as port:
        case = latency_case(tmp_path, "127.0.0.1", port, count=320)
        text = (case / "case.yaml").read_text().replace("mode: self-check", "mode: acceptance")
        (case / "case.yaml").write_text(text.replace("mode: acceptance", "mode: demo"), encoding="utf-8")
        done = pytest_on(case, "--junitxml", str(tmp_path / "junit.xml"))
    assert done.returncode == 1, done.stdout
    assert "自检，不作验收依据" in done.stdout
    assert (
        "不符合 S10-I03" in done.stdout or "无效 S10-I03" in done.stdout
    )  # 无效 where this host was too busy to measure
    assert "Traceback" not in done.stdout
    assert "1 failed" in done.stdout
    assert not (case / "ledger.jsonl").exists()
    assert '<property name="upper"' in (tmp_path / "junit.xml").read_text()


def test_pytest_front_end_reports_an_unreachable_target_as_failed(tmp_path: Path) -> None:
    case = latency_case(tmp_path, "127.0.0.1", 9)
    done = pytest_on(case)
    assert (done.returncode, "未测 S10-I03" in done.stdout, "skipped" in done.stdout) == (1, True, False), done.stdout


def test_pytest_front_end_names_a_wrong_case(tmp_path: Path) -> None:
    case = latency_case(tmp_path, "127.0.0.1", 9)
    path = case / "case.yaml"
    path.write_text(path.read_text().replace("probe: rtt", "probe: rrt"), encoding="utf-8")
    done = pytest_on(case)
    assert (done.returncode, f"{path}:" in done.stdout, "P-PROBE" in done.stdout) == (2, True, True), done.stdout


def test_pytest_front_end_takes_the_journal_of_an_inspection_along(tmp_path: Path) -> None:
    case = frozen_case(tmp_path / "case")
    with recording(case) as recorder:
        zhang, li = (recorder.identify(name, pin, name) for name, pin in (("张三", "1357"), ("李四", "2468")))
        for number, item in enumerate(("M01", "M02")):
            put(recorder, item, zhang, photo(number))
            say(recorder, item, zhang)
            confirm(recorder, item, li)
    before = (case / "ledger.jsonl").read_bytes()
    done = pytest_on(case)
    assert (done.returncode, "不符合 S10-I01 典型应用场景数：实测 2 个，限值 ≥\xa05\xa0个" in done.stdout) == (
        1,
        True,
    ), done.stdout
    found = re.search(r"副本与证据在 (\S+) ", done.stdout)
    assert found
    assert list(Path(found[1]).glob("runs/*-S10-I01/journal.jsonl"))
    shutil.rmtree(Path(found[1]).parent)
    assert (case / "ledger.jsonl").read_bytes() == before
