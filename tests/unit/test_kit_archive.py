"""The capture kit: what is in it, where it runs, and what a run from it is worth before it is judged."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.support import latency_case
from tests.kits import HOST, kit_case, pretend, rechain
from yanshou.harness.basics import ExitCode, RunStatus, UserError
from yanshou.harness.engine import freeze_case
from yanshou.harness.evidence import Ledger, read_ledger
from yanshou.harness.intake import take_in
from yanshou.harness.recording import Selection, measurement_meta, record_measurement
from yanshou.harness.runs import KIT_SESSION, Run, last_calibration
from yanshou.kit import runner
from yanshou.kit.build import imported, kit_bytes, make_kit
from yanshou.kit.runner import Kit, Screen, read_kit, record
from yanshou.probes.contract import Probe

BARE = [sys.executable, "-I", "-S"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Kit]:
    return kit_case(tmp_path_factory.mktemp("kit"))


def start(kit: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The kit on an interpreter that sees nothing but its own library."""
    command = [*BARE, str(kit), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_holds_the_plan_as_frozen_and_only_what_it_imports(made: tuple[Path, Kit]) -> None:
    case, kit = made
    with zipfile.ZipFile(kit.path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert archive.read("plan.lock.json") == (case / "plan.lock.json").read_bytes()
        for name in names:
            if name.startswith("yanshou/"):
                assert archive.read(name) == Path(runner.__file__).parents[2].joinpath(name).read_bytes()
    assert {n.rpartition("/")[0] for n in names} == {
        "", "rfc8785", "yanshou", "yanshou/harness", "yanshou/kit", "yanshou/probes", "yanshou/probes/rtt"
    }  # fmt: skip
    for needless in ("analyse", "spec", "record", "paired"):
        assert f"yanshou/probes/rtt/{needless}.py" not in names
    assert not [n for n in names if n.endswith(("model.py", "judge.py", "plan.py", "build.py"))]
    assert b"Apache License" in zipfile.ZipFile(kit.path).read("rfc8785/LICENSE")
    assert stat.S_IMODE(kit.path.stat().st_mode) & 0o111
    made_once = [r for _, r in read_ledger(case / "ledger.jsonl") if r["kind"] == "kit"]
    assert [r["kit_sha256"] for r in made_once] == [kit.sha256]


def test_the_same_plan_gives_the_same_bytes_and_one_record(made: tuple[Path, Kit], tmp_path: Path) -> None:
    case, kit = made
    again = make_kit(case, "rtt", tmp_path / "again.pyz")
    assert again.path.read_bytes() == kit.path.read_bytes()
    assert [r["kind"] for _, r in read_ledger(case / "ledger.jsonl")] == ["plan", "kit"]


def test_everything_in_it_is_for_python_3_8(made: tuple[Path, Kit], tmp_path: Path) -> None:
    with zipfile.ZipFile(made[1].path) as archive:
        archive.extractall(tmp_path)
    assert is_for_python_3_8(tmp_path)


CARRIED = {
    "rtt": set(),
    "rtt_icmp": {"yanshou/probes/rtt_icmp/echo.py"},
    "rtt_http": {"h11/_connection.py", "h11/LICENSE"},
}
INSIDE = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib
for part in ("capture", "reference"):
    print(importlib.import_module("yanshou.probes.{}.{}".format(sys.argv[2], part)).__file__)
"""


@pytest.mark.parametrize("place", CARRIED)
def test_latency_of_every_class_but_mqtt_is_carried(made: tuple[Path, Kit], tmp_path: Path, place: str) -> None:
    """All that it imports is there, is for Python 3.8, and is loaded from the kit by a Python that has no packages."""
    path = tmp_path / "kit.pyz"
    path.write_bytes(kit_bytes(read_plan(made[0]), Probe(place.replace("_", "."))))
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "content")
    assert CARRIED[place] <= names
    assert is_for_python_3_8(tmp_path / "content")
    command = [*BARE, "-c", INSIDE, str(path), place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.startswith(str(path)) for line in done.stdout.split()] == [True, True]


def is_for_python_3_8(folder: Path) -> bool:
    program = str(Path(sys.executable).with_name("vermin"))
    command = [program, "--no-tips", "--no-parse-comments", "-t=3.8-", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return True


@pytest.mark.parametrize("probe", ["records", "inspection", "devices", "rtt_mqtt"])
def test_a_probe_that_needs_packages_is_not_carried(probe: str) -> None:
    parts = [f"yanshou.probes.{probe}.{part}" for part in ("capture", "reference")]
    assert imported(parts)[1] != ()


def test_imports_are_walked_as_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "yanshou_walk"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text(
        "from typing import TYPE_CHECKING\nimport numpy.linalg\nfrom . import b\n"
        "try:\n    from .c import x\nexcept ImportError:\n    x = 1\n"
        "try:\n    from typing import Literal\nexcept ImportError:\n    from typing_extensions import Literal\n"
        "try:\n    from .d import x\nexcept ImportError:\n    import pip\n"
        "if TYPE_CHECKING:\n    import pandas\n"
        "def lazy():\n    import scipy\n"
    )
    (package / "b.py").write_text("import json, os.path\n")
    for name in ("c", "d"):
        (package / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("yanshou.kit.build.BUNDLED", ("yanshou_walk",))
    modules, foreign = imported(["yanshou_walk.a"])
    assert list(modules) == ["yanshou_walk", *(f"yanshou_walk.{name}" for name in "abcd")]
    assert foreign == ("numpy", "pip")


@pytest.mark.parametrize(
    ("probe", "code"), [("records", "KIT-E07"), ("rtd", "P-PROBE"), ("inspection", "KIT-E07")]
)  # fmt: skip
def test_no_kit_without_a_plan_for_it(made: tuple[Path, Kit], tmp_path: Path, probe: str, code: str) -> None:
    with pytest.raises(UserError, match=code):
        make_kit(made[0], probe, tmp_path / "kit.pyz")
    assert not (tmp_path / "kit.pyz").exists()


def test_a_file_that_is_there_is_not_overwritten(made: tuple[Path, Kit]) -> None:
    with pytest.raises(UserError, match="E-EXISTS"):
        make_kit(made[0], "rtt", made[1].path)


def test_no_kit_of_a_probe_with_packages(made: tuple[Path, Kit]) -> None:
    plan = read_plan(made[0])
    with pytest.raises(UserError, match=r"KIT-E08 .*pydantic"):
        kit_bytes(plan, Probe("records"))


def read_plan(case: Path):
    from yanshou.harness.plan import plan_from_json

    return plan_from_json(json.loads((case / "plan.lock.json").read_bytes()))


def test_list_says_what_can_be_recorded(made: tuple[Path, Kit]) -> None:
    done = start(made[1].path, "--list")
    assert done.returncode == 0, done.stderr
    assert made[1].sha256 in done.stdout
    assert "S10-I03 传输时延 计划 1 次" in done.stdout
    assert "终端1、终端2" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--subject", "终端1"], "KIT-E02"),
        (["--sujet", "终端1"], "KIT-E02"),
        (["-o", "out"], "KIT-E04"),
        (["-o", "out", "--subject", "终端3"], "P-UNKNOWN"),
        (["-o", "out", "--subject", "终端1", "--condition", "夜间"], "P-UNKNOWN"),
        (["-o", "out", "--subject", "终端1", "--again"], "P-AGAIN"),
    ],
)
def test_a_mistake_is_one_line(made: tuple[Path, Kit], tmp_path: Path, arguments: Sequence[str], code: str) -> None:
    given = [str(tmp_path / a) if a == "out" else a for a in arguments]
    done = start(made[1].path, *given)
    assert (done.returncode, done.stderr.split()[0], done.stderr.count("\n")) == (2, code, 1), done.stderr
    assert "→" in done.stderr


def test_a_locale_without_chinese_is_no_reason_to_stop(made: tuple[Path, Kit]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-S", str(made[1].path), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, "S10-I03" in done.stdout) == (0, True), done.stderr


def test_a_folder_of_something_else_is_left_alone(made: tuple[Path, Kit], tmp_path: Path) -> None:
    _, other = kit_case(tmp_path / "other", port=8621)
    folder = pretend(other, tmp_path / "out")
    before = (folder / "ledger.jsonl").read_bytes()
    done = start(made[1].path, "--subject", "终端1", "-o", folder)
    assert (done.returncode, "KIT-E03" in done.stderr) == (2, True), done.stderr
    assert (folder / "ledger.jsonl").read_bytes() == before


def test_nothing_is_recorded_out_of_its_window(
    made: tuple[Path, Kit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "in_window", lambda *_: False)
    code = record(made[1], tmp_path / "out", Selection(subjects=["终端1"]), Screen())
    assert (code, "P-WINDOW" in capsys.readouterr().err) == (ExitCode.UNDECIDED, True)
    assert [r["kind"] for _, r in read_ledger(tmp_path / "out/ledger.jsonl")] == ["kit"]


def test_what_is_done_is_not_done_again_unless_the_plan_allows(made: tuple[Path, Kit], tmp_path: Path) -> None:
    _, kit = made
    folder = pretend(kit, tmp_path / "out")
    assert record(kit, folder, Selection(subjects=["终端1"]), Screen()) is ExitCode.OK
    with pytest.raises(UserError, match="P-ATTEMPTS"):
        record(kit, folder, Selection(["S10-I03"], ["终端1"], again=True), Screen())


def test_without_a_calibration_nothing_is_recorded(
    made: tuple[Path, Kit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from yanshou.harness.basics import ProbeError

    def broken(*_: object) -> None:
        raise ProbeError("RTT-E07", "标准器未能运行", "重试")

    monkeypatch.setattr(runner, "record_calibration", broken)
    code = record(made[1], tmp_path / "out", Selection(subjects=["终端1"]), Screen())
    assert (code, "KIT-E05" in capsys.readouterr().err) == (ExitCode.UNDECIDED, True)
    assert [r["kind"] for _, r in read_ledger(tmp_path / "out/ledger.jsonl")] == ["kit"]


def calibration(number: int, session: str | None) -> Run:
    host = {"主机": "cpe", **({KIT_SESSION: session} if session else {})}
    meta = {"purpose": "calibration", "probe": "rtt", "version": "2", "host": host}
    return Run(number, "", meta, "", RunStatus.COMPLETED, "", "2026-01-01T00:00:00.000Z", "", {}, {})


def test_a_calibration_counts_for_its_own_session_only() -> None:
    """Terminals often have the same name: 'cpe' calibrated says nothing of another 'cpe'."""
    runs = [calibration(1, "a"), calibration(2, "b"), calibration(3, None)]
    for session, number in (("a", 1), ("b", 2)):
        found = last_calibration(runs, "rtt", "2", {"主机": "cpe", KIT_SESSION: session}, 4)
        assert found is not None
        assert found.number == number
    assert last_calibration(runs, "rtt", "2", {"主机": "cpe", KIT_SESSION: "c"}, 4) is None
    assert last_calibration(runs, "rtt", "2", {"主机": "cpe"}, 3) is None


def test_a_measurement_from_an_uncalibrated_terminal_is_void_even_in_a_self_check(tmp_path: Path) -> None:
    """And a clock that was never set is said to prove no time."""
    import threading

    from yanshou.probes.rtt.reflector import reflect

    ports: list[int] = []
    ready, stop = threading.Event(), threading.Event()

    def announce(_host: str, port: int) -> None:
        ports.append(port)
        ready.set()

    thread = threading.Thread(target=lambda: reflect("127.0.0.1", 0, stop=stop, ready=announce))
    thread.start()
    try:
        assert ready.wait(10)
        case, kit = kit_case(tmp_path, ports[0], count=400, interval_ms=1.5)
        folder = pretend(kit, tmp_path / "out", "终端2")
        with Ledger(folder) as ledger:
            (job,) = kit.jobs()
            meta = measurement_meta(job, "终端1", kit.plan_sha256, HOST)
            ending = record_measurement(ledger, kit.probe, job, meta, tmp_path, lambda _: None, lambda _: None)
        assert ending.status is RunStatus.COMPLETED
    finally:
        stop.set()
        thread.join()
    rechain(folder, lambda found: [r.update(utc="1970" + r["utc"][4:]) for r in found])
    record = take_in(case, [folder]).record
    attempt = next(a for a in record["findings"][0]["attempts"] if a["subject"] == "终端1")
    assert (attempt["n"], attempt["verdict"]) == (400, "invalid")
    severities = {v["code"]: v["severity"] for v in attempt["validity"]}
    assert severities["uncalibrated"] == "invalid"
    assert severities["terminal_clock"] == "warning"


def test_parameters_that_start_something_stay_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.kit.build.unfit", lambda _probe, _job: ["load"])
    case = latency_case(tmp_path / "case", "127.0.0.1", 8620)
    freeze_case(case)
    with pytest.raises(UserError, match=r"KIT-E09 .*load"):
        make_kit(case, "rtt", tmp_path / "kit.pyz")


def test_what_is_left_out_is_said_and_not_recorded(made: tuple[Path, Kit], tmp_path: Path) -> None:
    (job,) = made[1].jobs()
    path = tmp_path / "kit.pyz"
    path.write_bytes(kit_bytes(read_plan(made[0]), Probe("rtt"), [job]))
    kit = read_kit(path)
    assert kit.jobs() == []
    assert any("S10-I03 不能在终端上录" in line for line in runner.list_lines(kit))
    assert record(kit, tmp_path / "out", Selection(subjects=["终端1"]), Screen()) is ExitCode.OK
    assert not (tmp_path / "out/runs").exists()
