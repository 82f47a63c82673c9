"""kill -9 of `yanshou run` at 50 random moments: nothing acknowledged is lost, nothing is hidden, and the case ends."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.support import YANSHOU, finding, latency_case, reflector, yanshou
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, read_ledger, recover
from yanshou.harness.runs import damaged_streams, runs_of

pytestmark = pytest.mark.alone

KILLS = 50
CALIBRATING = 6
"""The first kills fall into start-up and calibration."""


def whole_rows(case: Path, run) -> int:
    """Rows of a run's acknowledged packet stream; each must be whole or be the cut last one."""
    with run.evidence(case).open("packets.csv") as f:
        rows = f.read().split(b"\n")[:-1]
    columns = rows[0].count(b",") if rows else 0
    assert all(r.count(b",") == columns for r in rows)
    return len(rows)


def wait_for_measurement(case: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(case.glob("runs/*-S10-I03/packets.csv")):
        assert time.monotonic() < deadline, "no measurement began"
        time.sleep(0.05)


def test_fifty_kills(tmp_path: Path) -> None:
    rng = random.Random(50)
    case = tmp_path / "case"
    with reflector() as port:
        latency_case(case, "127.0.0.1", port, count=2500, interval_ms=2, attempts=1)
        assert yanshou("plan", case, "--freeze").returncode == 0
        seen_rows: dict[int, int] = {}
        for kill in range(KILLS):
            process = subprocess.Popen(
                [*YANSHOU, "run", str(case)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if kill == CALIBRATING:  # let it come through the calibration once, so that the others die while measuring
                wait_for_measurement(case)
            time.sleep(rng.uniform(0.2, 3.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            path = case / "ledger.jsonl"
            if not path.exists():
                continue
            with Ledger(case) as ledger:  # repairs a torn last line, as the next start would
                recover(ledger)
            records = [r for _, r in read_ledger(path)]
            runs = runs_of(records)
            assert [r.number for r in runs] == list(range(1, len(runs) + 1))
            for run in runs:
                assert list(damaged_streams(run, case)) == []
                assert run.status in (RunStatus.TRUNCATED, RunStatus.COMPLETED)
                if "packets.csv" in run.streams:
                    rows = whole_rows(case, run)
                    assert rows >= seen_rows.get(run.number, 0)
                    seen_rows[run.number] = rows
        assert sum(rows > 1 for rows in seen_rows.values()) >= 5, seen_rows
        last = yanshou("run", case)
    assert last.returncode in (0, 3), last.stderr
    result = finding(case)
    assert result["attempts"][-1]["status"] == "completed"
    assert len(result["attempts"]) == sum(
        r.purpose == "measurement" for r in runs_of([r for _, r in read_ledger(path)])
    )
    assert yanshou("verify", case).returncode == 0
