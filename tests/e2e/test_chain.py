"""Scenario 5 by the command line: its demonstration, and a count of 101,000 records on a 国密 chain that is killed and goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support import YANSHOU, finding, record_of, yanshou
from tests.editions import untranslated
from yanshou.chains.bcos3.simulate import SimulatedNode, serving
from yanshou.demo.s05 import (
    AFFILIATED,
    CONTRACT,
    EVENT,
    IDLE_NODES,
    NODES,
    PARTICIPANTS,
    RECORDS,
    REPEATED,
    SILENT,
    TWICE,
    chain_of_records,
)

COUNTED, AGAIN = 101_000, 2_000


def test_the_demonstration_says_what_its_standards_hold(tmp_path: Path) -> None:
    """Twelve nodes, 105,000 records, 国密 proven, and a package that verifies; idle nodes and repeated records do not count."""
    case = tmp_path / "case"
    done = yanshou("demo", case, "--scenario", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    record = record_of(case)
    assert (record["verdict"], record["mode"]) == ("pass", "demo")
    found = {f["indicator"]: f for f in record["findings"]}
    values = {name: f["value"] for name, f in found.items() if f["kind"] == "counted"}
    assert values == {"S05-I01": NODES, "S05-I02": PARTICIPANTS, "S05-I03": RECORDS}
    assert found["S05-I01"]["attempts"][0]["figure"]["gross"] == NODES + IDLE_NODES
    assert found["S05-I03"]["attempts"][0]["figure"]["gross"] == RECORDS + REPEATED
    assert found["S05-I03"]["lower"] > 100_000
    subjects = found["S05-I02"]["attempts"][0]["figure"]
    assert subjects["gross"] == PARTICIPANTS + TWICE + SILENT
    assert subjects["columns"] == [["无共同控制方", PARTICIPANTS - AFFILIATED], ["有共同控制方", AFFILIATED]]
    assert [v["code"] for v in found["S05-I03"]["validity"]] == []
    assert all(f["calibration"]["within"] for f in found.values())
    assert untranslated(record) == []


@dataclass
class Paced(SimulatedNode):
    """Takes its time over every whole block."""

    pace_s: float = 0.0

    def on_getBlockByNumber(self, group: str, node: str, number: int, only_header: bool, only_hash: bool) -> Any:
        time.sleep(0 if only_header else self.pace_s)
        return super().on_getBlockByNumber(group, node, number, only_header, only_hash)


def write_case(folder: Path, url: str) -> None:
    folder.mkdir()
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 5
mode: self-check
project: {{name: 区块链自检, lead: {{name: 某单位}}}}
target: {{kind: simulator, site: 环回}}
commitments:
  S05-I03: {{baseline: 0 条, target: 不少于 10 万条, define: {{counting_unit: 一个 Saved 事件, exclusions: 按仪器方法}}}}
measure:
  S05-I03:
    probe: chain.records
    params:
      chain: {{kind: bcos3, batch: 4, parallel: 2}}
      endpoint: {{url: "{url}"}}
      record: {{contracts: ["{CONTRACT}"], event: "{EVENT}"}}
""",
        encoding="utf-8",
    )


def kill_while_counting(case: Path, least: int) -> None:
    """`yanshou run`, killed once so many bytes of blocks are on the disk."""
    process = subprocess.Popen([*YANSHOU, "run", str(case)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while sum(p.stat().st_size for p in case.glob("runs/*-S05-I03/blocks.jsonl.gz")) < least:
        assert time.monotonic() < deadline, "no count began"
        assert process.poll() is None, "it was faster than the kill"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_count_goes_on(tmp_path: Path) -> None:
    case, node = tmp_path / "case", Paced(chain_of_records(COUNTED, AGAIN))
    with serving(node) as url:
        write_case(case, url)
        assert yanshou("plan", case, "--freeze").returncode == 0
        node.pace_s = 0.1
        kill_while_counting(case, 1_000_000)
        node.pace_s = 0.0
        done = yanshou("run", case)
    assert done.returncode == 0, done.stdout + done.stderr
    records = finding(case, "S05-I03")
    first, last = records["attempts"]
    assert (first["status"], last["status"]) == ("truncated", "completed")
    assert records["value"] == COUNTED
    assert last["figure"]["gross"] == COUNTED + AGAIN
    assert last["facts"]["adopted"]["blocks"] > 10
    assert last["facts"]["sample"]["good"] == 1000
    assert [v["code"] for v in records["validity"]] == ["CHR-V11", "CHR-V07"]
    assert yanshou("verify", case).returncode == 0
