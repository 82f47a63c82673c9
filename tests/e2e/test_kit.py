"""A terminal with a bare Python: the kit records there, is killed, goes on, and the case takes in what it brought."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.support import finding, latency_case, record_of, reflector, yanshou
from yanshou.harness.evidence import TornLine, read_ledger
from yanshou.harness.runs import Run, damaged_streams, runs_of

pytestmark = pytest.mark.alone

BARE = [sys.executable, "-I", "-S"]
COUNT = 1200
OLD = shutil.which("python3.8")
OLD_RUNS = OLD is not None and subprocess.run([OLD, "-V"], capture_output=True, check=False).returncode == 0
"""A name in the path may be no more than a version manager's."""


def terminal_case(folder: Path, port: int) -> Path:
    case = latency_case(folder, "127.0.0.1", port, count=COUNT, attempts=2)
    path = case / "case.yaml"
    text = path.read_text(encoding="utf-8").replace("kind: lab,", "kind: lab, subjects: [终端1, 终端2],")
    path.write_text(text, encoding="utf-8")
    return case


def recorded(folder: Path) -> list[Run]:
    """What a kit's ledger acknowledges so far."""
    try:
        return runs_of([r for _, r in read_ledger(folder / "ledger.jsonl")])
    except (FileNotFoundError, TornLine):
        return []


def kill_while_measuring(command: list[str], folder: Path) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if any(r.purpose == "measurement" and "packets.csv" in r.streams for r in recorded(folder)):
                break
            time.sleep(0.05)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.wait()


def test_from_plan_to_verified_record(tmp_path: Path) -> None:
    case, kit, out = tmp_path / "case", tmp_path / "kit.pyz", tmp_path / "证据"
    with reflector() as port:
        assert yanshou("plan", terminal_case(case, port), "--freeze").returncode == 0
        made = yanshou("kit", "rtt", case, "-o", kit, "--json")
        assert made.returncode == 0, made.stderr
        command = [*BARE, str(kit), "--subject", "终端1", "-o", str(out)]
        kill_while_measuring(command, out)
        early = shutil.copytree(out, tmp_path / "early")
        taken = yanshou("run", case, "--from", early)
        assert taken.returncode == 3, taken.stderr
        assert [a["status"] for a in finding(case)["attempts"]] == ["truncated"]

        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "校准" not in done.stdout  # that of this session still holds
    runs = recorded(out)
    assert [r.status for r in runs if r.purpose == "measurement"] == ["truncated", "completed"]
    assert [p for r in runs for p in damaged_streams(r, out)] == []

    again = yanshou("run", case, "--from", out, "--json")
    assert again.returncode == 3, again.stderr  # nothing of the other terminal yet
    record = record_of(case)
    assert json.loads(again.stdout) == record
    attempts = finding(case)["attempts"]
    assert [(a["subject"], a["status"]) for a in attempts] == [("终端1", "truncated"), ("终端1", "completed")]
    assert attempts[1]["n"] == COUNT
    assert "uncalibrated" not in {v["code"] for v in attempts[1]["validity"]}
    (host,) = record["hosts"]
    assert host["kit_sha256"] == json.loads(made.stdout)["sha256"]
    assert host["runs"] == [r["number"] for r in record["runs"]]
    assert yanshou("report", case).returncode == 3
    assert "采集终端" in (case / "report/report.html").read_text(encoding="utf-8")
    verified = yanshou("verify", case)
    assert verified.returncode == 0, verified.stdout
    assert "1 份采集包的台账链完整" in verified.stdout

    twice = yanshou("run", case, "--from", out)
    assert (twice.returncode, "KIT-E15" in twice.stderr, "Traceback" in twice.stderr) == (2, True, False)
    mixed = yanshou("run", case, "--from", out, "--only", "S10-I03")
    assert (mixed.returncode, "E-FROM" in mixed.stderr) == (2, True)


@pytest.mark.skipif(not OLD_RUNS, reason="there is no Python 3.8 here")
def test_on_a_real_python_3_8(tmp_path: Path) -> None:
    assert OLD is not None
    case, kit = tmp_path / "case", tmp_path / "kit.pyz"
    terminal_case(case, 8620)
    assert yanshou("plan", case, "--freeze").returncode == 0
    assert yanshou("kit", "rtt", case, "-o", kit).returncode == 0
    listed = subprocess.run(
        [OLD, "-I", "-S", str(kit), "--list"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (listed.returncode, "S10-I03" in listed.stdout) == (0, True), listed.stderr
