"""Chains for tests: anvil, a real execution client, driven over its own interface; and runs of the chain probes."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.probes.records_support import record
from tests.probes.sources_support import free_port
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, recover
from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Checklist, Count, Kind, Limit, Severity, Verdict
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe

REFUSES = "60003560f81c60ff14600d57005b600080fd"
"""A contract that takes every call but those whose first byte is ff, which it reverts."""
CONTRACT = "0x" + "c0" * 20
START_S = 1_735_689_600
GAS = 200_000


def anvil_program() -> str | None:
    """Where `tests/install_node.sh` put anvil."""
    found = sorted(Path(sys.prefix).glob("node/node_modules/@foundry-rs/anvil-*/bin/anvil"))
    return str(found[0]) if found else None


@dataclass
class Anvil:
    """A running anvil that seals only when told."""

    url: str
    port: int
    accounts: list[str] = field(default_factory=list)
    nonces: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def close(self) -> None:
        self._connection.close()

    def post(self, body: Any) -> Any:
        try:
            self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
            return json.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def ask(self, method: str, *params: Any) -> Any:
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert "result" in answer, answer
        return answer["result"]

    def send(self, calls: Sequence[tuple[int, str | None, bytes]]) -> None:
        """(account's index, to, input): explicit nonces, as the items of a batch race."""
        batch = []
        for number, (account, to, data) in enumerate(calls):
            sender = self.accounts[account]
            call = {
                "from": sender,
                "gas": hex(GAS),
                "gasPrice": "0x1",
                "nonce": hex(self.nonces[sender]),
                "data": "0x" + data.hex(),
            }
            self.nonces[sender] += 1
            params = [call | ({"to": to} if to else {})]
            batch.append({"jsonrpc": "2.0", "id": number, "method": "eth_sendTransaction", "params": params})
        for answer in self.post(batch):
            assert "result" in answer, answer

    def mine(self, at_s: int) -> None:
        """Seal what was sent, with that time."""
        self.ask("evm_setNextBlockTimestamp", hex(at_s))
        self.ask("anvil_mine", "0x1")


@contextmanager
def anvil(accounts: int = 10) -> Iterator[Anvil]:
    program = anvil_program()
    if program is None:
        pytest.skip("anvil is not installed")
    port = free_port()
    command = [
        program, "--port", str(port), "--silent", "--no-mining", "--order", "fifo", "--accounts", str(accounts),
        "--gas-limit", "30000000000", "--block-base-fee-per-gas", "0", "--disable-min-priority-fee", "--timestamp", str(START_S),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        node = Anvil(f"http://127.0.0.1:{port}", port)
        try:
            deadline = time.monotonic() + 30
            while not node.accounts:
                try:
                    node.accounts = node.ask("eth_accounts")
                except OSError:
                    assert time.monotonic() < deadline, "anvil does not answer"
                    time.sleep(0.05)
            node.nonces = dict.fromkeys(node.accounts, 0)
            node.ask("anvil_setCode", CONTRACT, "0x" + REFUSES)
            yield node
        finally:
            node.close()
            process.terminate()


GENESIS = {
    "config": {
        "chainId": 43217, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0, "byzantiumBlock": 0,
        "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0,
        "mergeForkBlock": 0, "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True, "shanghaiTime": 0,
    },
    "nonce": "0x0000000000000000", "timestamp": hex(START_S), "extraData": "0x", "gasLimit": "0x1c9c380", "difficulty": "0x1",
    "mixHash": "0x" + "00" * 32, "coinbase": "0x" + "00" * 20, "number": "0x0", "gasUsed": "0x0", "parentHash": "0x" + "00" * 32,
    "baseFeePerGas": "0x7", "alloc": {},
}  # fmt: skip


@contextmanager
def ethereumjs_peers(folder: Path, count: int) -> Iterator[list[str]]:
    """Real nodes that found each other over devp2p: the first is the hub that the others know. Yields their URLs, hub first."""
    program = Path(sys.prefix) / "node/node_modules/.bin/ethereumjs"
    if not program.exists():
        pytest.skip("ethereumjs is not installed")
    (folder / "genesis.json").write_text(json.dumps(GENESIS))
    nodes: list[Anvil] = []
    with ExitStack() as stack:
        boot: list[str] = []
        for number in range(count):
            p2p, rpc, engine = (free_port() for _ in range(3))
            command = [
                str(program), "--gethGenesis", str(folder / "genesis.json"), "--dataDir", str(folder / f"node{number}"),
                "--port", str(p2p), "--extIP", "127.0.0.1", "--rpc", "--rpcAddr", "127.0.0.1", "--rpcPort", str(rpc),
                "--rpcEngine", "--rpcEngineAuth=false", "--rpcEnginePort", str(engine), "--isSingleNode", "--discDns=false",
                "--logRotate=false", "--logLevel", "error", *boot,
            ]  # fmt: skip
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = stack.enter_context(subprocess.Popen(command, cwd=folder, **quiet))
            stack.callback(process.kill)
            nodes.append(Anvil(f"http://127.0.0.1:{rpc}", rpc))
            stack.callback(nodes[-1].close)
            if number == 0:
                boot = ["--bootnodes", _patiently(lambda: nodes[0].ask("admin_nodeInfo")["enode"])]

        def met() -> bool:
            return len(nodes[0].ask("admin_peers")) == count - 1 and all(n.ask("admin_peers") for n in nodes[1:])

        _patiently(met)
        yield [node.url for node in nodes]


def _patiently(ask: Callable[[], Any]) -> Any:
    """What `ask` gives once it gives something; a node that is not up yet refuses or answers nonsense."""
    deadline = time.monotonic() + 120
    while True:
        try:
            if answer := ask():
                return answer
        except (OSError, http.client.HTTPException, ValueError, AssertionError):
            pass
        assert time.monotonic() < deadline, "the nodes did not come up"
        time.sleep(0.2)


def counted(folder: Path, values: dict[str, Any], seed: int = 1) -> Count:
    """What `chain.records` says of a chain, through the real ledger."""
    folder.mkdir(exist_ok=True)
    probe = Probe("chain.records")
    params = probe.params(values)
    measurement = probe.analyse(record(folder, probe.capture, params, seed), params, seed)
    assert isinstance(measurement, Count)
    return measurement


def measure(folder: Path, params: Any) -> None:
    """One run of `chain.records` as the driver makes it. Raises what its capture raises, once the run was closed as interrupted."""
    meta = {
        "purpose": "measurement",
        "probe": "chain.records",
        "version": Probe("chain.records").spec.version,
        "subject": None,
        "seed": 1,
        "params": params.model_dump(mode="json"),
        "host": {},
    }
    with Ledger(folder) as ledger:
        recover(ledger)
        with RunWriter(ledger, "count", meta) as writer:
            try:
                Probe("chain.records").capture(params, RunContext(writer.sink, 1, folder))
            except ProbeError:
                writer.close(RunStatus.ABORTED)
                raise
            writer.close(RunStatus.COMPLETED)


def calibrated(folder: Path, name: str, true_value: float) -> tuple[RunEvidence, Any, dict[str, Any]]:
    """Evidence, parameters and stated truth of a probe that looked at its standard, through the real ledger."""
    probe = Probe(name)
    with Ledger(folder) as ledger, RunWriter(ledger, "calibrate", {"purpose": "calibration"}) as run:
        context = RunContext(run.sink, 42, folder)
        with probe.standard(true_value, context) as values:
            params = probe.params(values)
            probe.capture(params, context)
        run.close(RunStatus.COMPLETED)
    evidence = runs_of(ledger.records)[0].evidence(folder)
    with evidence.open("truth.json") as f:
        return evidence, params, json.load(f)


def verdict(measurement: Count | Checklist, limit: Limit) -> Verdict:
    """What the judge says, 无效 included."""
    if any(v.severity is Severity.INVALID for v in measurement.validity):
        return Verdict.INVALID
    kind = Kind.COUNTED if isinstance(measurement, Count) else Kind.INSPECTED
    statistic = "count" if isinstance(measurement, Count) else None
    return judge_run(Criterion("X", kind, limit, statistic, None, (), 0.95, 1), measurement, 0.05, None).verdict
