"""Scenario 5 by the command line: a 国密 chain of twelve nodes with 101,000 records, a count that is killed, and verification."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support import YANSHOU, finding, yanshou
from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedMember, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.probes.chain_nodes.reference import listening

NODES, QUORUM = 12, 9
RECORDS, REPEATED, PER_TRANSACTION, PER_BLOCK = 101_000, 2_000, 200, 4
CONTRACT = "c0" * 20
START_MS, DAY_MS = 1_735_689_600_000, 86_400_000


def chain_of_records() -> SimulatedChain:
    """RECORDS different events and REPEATED ones that were there before, over some 130 days."""
    suite = Suite.SM
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(NODES)], START_MS)
    accounts = [Signer.new(suite) for _ in range(5)]
    topic = suite.hash(b"Saved(bytes32,uint256)")
    numbers = [*range(RECORDS), *range(REPEATED)]
    logs = [(CONTRACT, (topic, suite.hash(n.to_bytes(4, "big"))), n.to_bytes(32, "big")) for n in numbers]
    calls = [
        Call(
            accounts[i // PER_TRANSACTION % len(accounts)],
            "0x" + CONTRACT,
            i.to_bytes(36, "big"),
            0,
            tuple(logs[i : i + PER_TRANSACTION]),
        )
        for i in range(0, len(logs), PER_TRANSACTION)
    ]
    for number, start in enumerate(range(0, len(calls), PER_BLOCK)):
        signers = [(number + i) % NODES for i in range(QUORUM)]
        chain.seal(calls[start : start + PER_BLOCK], START_MS + (number + 1) * DAY_MS, signers)
    return chain


@dataclass
class Paced(SimulatedNode):
    """Takes its time over every whole block."""

    pace_s: float = 0.0

    def on_getBlockByNumber(self, group: str, node: str, number: int, only_header: bool, only_hash: bool) -> Any:
        time.sleep(0 if only_header else self.pace_s)
        return super().on_getBlockByNumber(group, node, number, only_header, only_hash)


def write_case(folder: Path, urls: list[str]) -> None:
    chain = "chain: {kind: bcos3, batch: 4, parallel: 2}"
    endpoints = ", ".join(f'{{url: "{url}", operator: 单位{n}}}' for n, url in enumerate(urls))
    folder.mkdir()
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 5
mode: self-check
project: {{name: 区块链自检, lead: {{name: 某单位}}}}
target: {{kind: simulator, site: 环回}}
commitments:
  S05-I01: {{baseline: 0 个, target: 不少于 10 个, define: {{node_types: 共识, independence: 不同主机}}}}
  S05-I03: {{baseline: 0 条, target: 不少于 10 万条, define: {{counting_unit: 一个 Saved 事件, exclusions: 按仪器方法}}}}
  S05-I04: {{baseline: 否, target: 是}}
measure:
  S05-I01:
    probe: chain.nodes
    params: {{{chain}, endpoints: [{endpoints}], window_s: 0.2, count: consensus, node_is: host}}
  S05-I03:
    probe: chain.records
    params:
      {chain}
      endpoint: {{url: "{urls[0]}"}}
      witnesses: [{{url: "{urls[1]}"}}]
      record: {{contracts: ["0x{CONTRACT}"], event: "Saved(bytes32 indexed, uint256)"}}
  S05-I04:
    probe: chain.crypto
    params: {{{chain}, endpoint: {{url: "{urls[2]}"}}}}
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


def test_scenario_5_killed_and_gone_on(tmp_path: Path) -> None:
    case, chain = tmp_path / "case", chain_of_records()
    with ExitStack() as stack:
        addresses = stack.enter_context(listening(NODES))
        members = [SimulatedMember(s, a) for s, a in zip(chain.sealers, addresses, strict=True)]
        nodes = [Paced(chain, members=members, me=n) for n in range(3)]
        write_case(case, [stack.enter_context(serving(node)) for node in nodes])
        assert yanshou("plan", case, "--freeze").returncode == 0
        nodes[0].pace_s = 0.1
        kill_while_counting(case, 1_000_000)
        nodes[0].pace_s = 0.0
        done = yanshou("run", case)
    assert done.returncode == 0, done.stdout + done.stderr
    records = finding(case, "S05-I03")
    first, last = records["attempts"]
    assert (first["status"], last["status"]) == ("truncated", "completed")
    assert records["value"] == RECORDS
    assert records["lower"] > 100_000
    assert last["figure"]["gross"] == RECORDS + REPEATED
    assert last["facts"]["adopted"]["blocks"] > 10
    assert last["facts"]["sample"]["good"] == 1000
    assert [v["code"] for v in records["validity"]] == ["CHR-V11"]
    assert finding(case, "S05-I01")["value"] == NODES
    assert finding(case, "S05-I04")["verdict"] == "pass"
    assert yanshou("verify", case).returncode == 0
