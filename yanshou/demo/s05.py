"""Scenario 5 “区块链”, live: a 国密 chain of twelve nodes, really hashed and signed, with 105,000 records among repeated ones.

Nodes are registered that do not follow, records repeat, and the register of participants has some that never used the chain or
stand there with a second account: none of them counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedMember, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.demo.play import Demo, Standing
from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.chain_nodes.reference import listening
from yanshou.probes.chain_subjects.reference import COLUMNS, codes, table

NODES, QUORUM, IDLE_NODES = 12, 9, 2
RECORDS, REPEATED = 105_000, 3_000
PER_TRANSACTION, PER_BLOCK = 200, 4
PARTICIPANTS, TWICE, SILENT, AFFILIATED = 212, 6, 8, 9
CONTRACT = "0x" + "c0" * 20
EVENT = "Saved(bytes32 indexed, uint256)"
START_MS, DAY_MS = 1_735_689_600_000, 86_400_000
ASKED = 3


def chain_of_records(
    records: int = RECORDS, repeated: int = REPEATED, accounts: Sequence[Signer] = ()
) -> SimulatedChain:
    """`records` different events by `accounts` (five fresh ones unless told) and `repeated` ones that were there before, a block
    a day. Raises UserError without 国密.
    """
    suite = Suite.SM
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(NODES)], START_MS)
    accounts = accounts or [Signer.new(suite) for _ in range(5)]
    topic = suite.hash(b"Saved(bytes32,uint256)")
    numbers = [*range(records), *range(repeated)]
    logs = [(CONTRACT[2:], (topic, suite.hash(n.to_bytes(4, "big"))), n.to_bytes(32, "big")) for n in numbers]
    calls = [
        Call(accounts[n % len(accounts)], CONTRACT, n.to_bytes(36, "big"), 0, tuple(logs[i : i + PER_TRANSACTION]))
        for n, i in enumerate(range(0, len(logs), PER_TRANSACTION))
    ]
    for number, start in enumerate(range(0, len(calls), PER_BLOCK)):
        signers = [(number + i) % NODES for i in range(QUORUM)]
        chain.seal(calls[start : start + PER_BLOCK], START_MS + (number + 1) * DAY_MS, signers)
    return chain


def register(accounts: Sequence[Signer]) -> list[list[str]]:
    """Account, credit code and controller of PARTICIPANTS, the first TWICE with two accounts; and of SILENT that sent nothing."""
    known = codes(PARTICIPANTS + SILENT)
    rows = [
        [a.address, known[n % PARTICIPANTS], "演示集团" if n % PARTICIPANTS < AFFILIATED else ""]
        for n, a in enumerate(accounts)
    ]
    return rows + [[Signer.new(Suite.SM).address, code, ""] for code in known[PARTICIPANTS:]]


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """Chain and nodes on loopback; the case and its inputs in `folder`."""
    accounts = [Signer.new(Suite.SM) for _ in range(PARTICIPANTS + TWICE)]
    chain = chain_of_records(accounts=accounts)
    with ExitStack() as stack:
        addresses = stack.enter_context(listening(NODES + IDLE_NODES))
        idle = [Signer.new(Suite.SM) for _ in range(IDLE_NODES)]
        members = [SimulatedMember(s, a) for s, a in zip(chain.sealers, addresses, strict=False)]
        members += [
            SimulatedMember(idle[0], addresses[NODES], "observer", lag=5),
            SimulatedMember(idle[1], addresses[NODES + 1], "observer", online=False),
        ]
        nodes = [SimulatedNode(chain, members=members, me=n) for n in range(ASKED)]
        urls = [stack.enter_context(serving(node)) for node in nodes]
        write_inputs(folder, accounts)
        write_atomic(folder / "case.yaml", case_text(urls).encode())
        yield Standing(
            f"{NODES} 个如实的节点与 {IDLE_NODES} 个挂名的；{chain.height} 个国密区块，"
            f"{RECORDS} 条记录与 {REPEATED} 条重复的；服务主体 {PARTICIPANTS} 家"
        )


def write_inputs(folder: Path, accounts: Sequence[Signer]) -> None:
    """The register of participants, the answer sheet and its evidence. Raises OSError."""
    (folder / "inputs/evidence").mkdir(parents=True)
    write_atomic(folder / "inputs/participants.csv", table(register(accounts)))
    write_atomic(folder / "inputs/S05-I05.yaml", answer_sheet().encode())
    for n in (1, 2):
        text = f"演示证据 {n}。此文件由演示程序生成，不证明任何事实。\n"
        write_atomic(folder / f"inputs/evidence/{n:02d}.txt", text.encode())


def answer_sheet() -> str:
    """The answers of two (fictitious) inspectors, each with its evidence file."""
    return "items:\n" + "".join(
        f"  S05-I05-{n:02d}:\n    observed: {observed}\n    answer: 是\n    inspector: 甲\n    witness: 乙\n"
        f"    time: '2025-06-30 {9 + n:02d}:10:00'\n    place: 演示机房\n"
        f"    evidence:\n      - {{file: evidence/{n:02d}.txt, kind: 现场记录, obtained_from: 演示单位}}\n"
        for n, observed in enumerate(("以未授权账户读取被拒绝", "授权到期后读取被拒绝"), 1)
    )


def visit(_folder: Path, _plan: Plan) -> None:
    """Nobody has to go anywhere: what was drawn is recomputed."""


def case_text(urls: Sequence[str]) -> str:
    """The demonstration's case.yaml."""
    chain = {"kind": "bcos3"}
    endpoints = [{"url": url, "operator": f"演示单位{n}"} for n, url in enumerate(urls, 1)]
    nodes = {"chain": chain, "endpoints": endpoints, "window_s": 0.5, "node_is": "host"}
    records = {
        "chain": chain,
        "endpoint": endpoints[0],
        "witnesses": endpoints[1:],
        "record": {"contracts": [CONTRACT], "event": EVENT},
    }
    subjects = {"records": records, "subjects": {"file": "inputs/participants.csv", "controller": COLUMNS[2]}}
    crypto = {"chain": chain, "endpoint": endpoints[2]}
    nodes_, subjects_, records_, crypto_ = (
        json.dumps(params, ensure_ascii=False) for params in (nodes, subjects, records, crypto)
    )
    return f"""# 演示案卷:场景 5“区块链”。所有数据都来自本机造出的链,不是任何真实项目。
yanshou: 1
list: wuhan-2024
scenario: 5
mode: demo
report: {{number: DEMO-S05-0001}}
project:
  name: 演示项目:某数据可信流通链
  lead: {{name: 演示单位(虚构)}}
evaluator: {{name: 演示评测机构(虚构), address: 本机, people: [{{name: 甲, role: tester}}, {{name: 乙, role: reviewer}}]}}
client: {{name: 演示委托方(虚构), contact: 无}}
target: {{kind: simulator, site: 本机环回接口, version: FISCO BCOS 3.x 形制, condition: 内置标准器}}
acceptance:
  content: [S05-I01, S05-I02, S05-I03, S05-I04, S05-I05]
  method: {{environment: 本机环回接口, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
commitments:
  S05-I01: {{baseline: 4 个, target: 不少于 10 个, define: {{node_types: 共识与观察节点, independence: 不同主机}}}}
  S05-I02: {{baseline: 0 家, target: 不少于 200 家, define: {{activity: 代码有效且至少一条计入的记录}}}}
  S05-I03: {{baseline: 0 条, target: 不少于 10 万条, define: {{counting_unit: 一个 Saved 事件, exclusions: 按仪器方法}}}}
  S05-I04: {{baseline: 否, target: 是}}
  S05-I05: {{baseline: 否, target: 是}}
measure:
  S05-I01: {{probe: chain.nodes, params: {nodes_}}}
  S05-I02: {{probe: chain.subjects, params: {subjects_}}}
  S05-I03: {{probe: chain.records, params: {records_}}}
  S05-I04: {{probe: chain.crypto, params: {crypto_}}}
  S05-I05: {{probe: inspection}}
inspections:
  S05-I05:
    sheet: inputs/S05-I05.yaml
    items:
      - {{id: S05-I05-01, text: 未授权账户不能读取, expected: 越权读取被拒绝, method: 操作}}
      - {{id: S05-I05-02, text: 授权到期后不能读取, expected: 越权读取被拒绝, method: 操作}}
"""


DEMO = Demo(stand, visit)
