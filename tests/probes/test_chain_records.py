from __future__ import annotations

import copy
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.probes.bcos2_chain import Chain2, Node2
from tests.probes.chain_support import CONTRACT, START_S, anvil, calibrated, counted, measure, verdict
from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from yanshou.chains import reader
from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import EVM_SUITES, Suite
from yanshou.chains.model import Call as NamedCall
from yanshou.chains.model import Log, Transaction
from yanshou.chains.segments import lines, member
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunWriter, recover
from yanshou.harness.model import Audit, Count, Kind, Limit, Op, Shares, Verdict
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.chain_records.analyse import analyse
from yanshou.probes.chain_records.candidates import Candidates
from yanshou.probes.chain_records.capture import capture
from yanshou.probes.chain_records.reference import (
    CONTRACT as CONTRACT_3,
)
from yanshou.probes.chain_records.reference import (
    DAY_MS,
    METHOD,
    POINTS,
    START_MS,
    call_data,
    params_for,
    planted_chain,
)
from yanshou.probes.chain_records.rule import Rule, digest, hollow
from yanshou.probes.chain_records.spec import SPEC, Params, Record, estimate
from yanshou.probes.chain_records.streams import BLOCKS, END, PIN, End, Pin, line
from yanshou.probes.chain_records.walk import walk_blocks
from yanshou.probes.contract import Probe
from yanshou.probes.sampling import draw_sample

QUIET = {"CHR-V07": "warning"}
"""What one endpoint alone always says: nobody else was asked."""


def at_least(count: Count, limit: int) -> Verdict:
    return verdict(count, Limit(Op.GE, Decimal(limit), "条"))


# --- against the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = calibrated(tmp_path, "chain.records", true_value)
    planted = truth.pop("planted")
    found = analyse(evidence, params, 42)
    assert found.net == truth["true"] == true_value
    assert found.gross == planted.pop("gross") == truth["n"] == found.facts["transactions"]
    assert excluded(found) == planted | {"CHR-X-WINDOW": 0}
    assert codes(found.validity) == QUIET
    assert found.open == ()
    assert found.audit == Audit(int(true_value), min(int(true_value), 200), min(int(true_value), 200))
    assert sum(n for _, n in found.per_day) == found.net
    assert found.facts["senders"] == 5
    (shares,) = found.pictures
    assert isinstance(shares, Shares)
    assert sum(n for _, n in shares.parts) == shares.total == found.net
    assert (len(shares.parts), shares.others) == (5, 0)
    assert found.facts["sample"]["blocks_with_quorum"] == found.facts["sample"]["blocks"]
    assert analyse(evidence, params, 42) == found


def test_spec_and_estimate() -> None:
    assert Probe("chain.records").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "条", 0.0)
    params = Params.model_validate(params_for("http://127.0.0.1:1"))
    assert (estimate(params, 5).seconds, estimate(params, 5).samples) == (0.0, 200)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"contracts": ["0x12"]}, "40 位"),
        ({"contracts": []}, "at least 1"),
        ({"method": "save(uint256[])"}, "不支持"),
        ({"event": "Saved(string)"}, "只写一个"),
        ({"payload": [2]}, "超出"),
        ({"method": None, "payload": [0]}, "method 或 event"),
    ],
)
def test_a_record_must_be_said_clearly(changes: dict[str, Any], text: str) -> None:
    values = params_for("http://127.0.0.1:1")
    with pytest.raises(ValidationError, match=text):
        Params.model_validate(values | {"record": values["record"] | changes})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "http://u:p@h",
        "http://h?x",
        "h:80",
        "http://h:99999",
        "http://h:0",
        "http://h:rpc",
        "http://[::1",
        "http://h/\0",
    ],
)
def test_an_endpoint_is_an_address_without_secrets(url: str) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate(params_for(url))


def test_a_node_cannot_witness_for_itself() -> None:
    with pytest.raises(ValidationError, match="重复"):
        Params.model_validate(params_for("http://h:1") | {"witnesses": [{"url": "http://H:1/"}]})
    Params.model_validate(params_for("http://h:1") | {"witnesses": [{"url": "http://h:2"}, {"url": "http://g:1"}]})


# --- anvil: a real chain -------------------------------------------------------------------------------------------------


def evm_params(url: str, **changes: Any) -> dict[str, Any]:
    return {"chain": {"kind": "ethereum"}, "endpoint": {"url": url}, "record": {"contracts": [CONTRACT]}, **changes}


def test_records_on_a_real_chain(tmp_path: Path) -> None:
    """2000 records among 60 that are none, over 20 days, counted, and all recomputed."""
    rng = random.Random(5)
    payloads = [b"\x12\x34\x56\x78" + rng.randbytes(64) for _ in range(2000)]
    other = "0x" + "0e" * 20
    calls: list[tuple[int, str | None, bytes]] = [(rng.randrange(10), CONTRACT, p) for p in payloads]
    junk = {
        "CHR-X-FAILED": [(CONTRACT, b"\xff" + rng.randbytes(67)) for _ in range(10)],
        "CHR-X-DUP": [(CONTRACT, rng.choice(payloads)) for _ in range(11)],
        "CHR-X-EMPTY": [(CONTRACT, b"\x12\x34\x56\x78" + bytes(32)) for _ in range(9)] + [(CONTRACT, b"")],
        "CHR-X-CONSTANT": [(CONTRACT, b"\x12\x34\x56\x78" + b"\x41" * 32) for _ in range(9)],
        "CHR-X-DEPLOY": [(None, bytes.fromhex("600080600c6000396000f3") + rng.randbytes(5)) for _ in range(8)],
        "CHR-X-SYSTEM": [("0x" + "4".rjust(40, "0"), rng.randbytes(40)) for _ in range(7)],
        "CHR-X-OTHER": [(other, rng.randbytes(40)) for _ in range(6)],
    }
    calls += [(rng.randrange(10), to, data) for group in junk.values() for to, data in group]
    rng.shuffle(calls)
    size = len(calls) // 20 + 1
    with anvil() as node:
        for day in range(20):
            node.send(calls[day * size : (day + 1) * size])
            node.mine(START_S + (day + 1) * 86_400)
        node.ask("anvil_mine", "0x64", "0x1")
        found = counted(tmp_path, evm_params(node.url, sample=5000))
    assert found.net == 2000
    assert found.gross == found.facts["transactions"] == 2061
    assert excluded(found) == {code: len(group) for code, group in junk.items()} | {
        "CHR-X-MALFORMED": 0,
        "CHR-X-WINDOW": 0,
    }
    assert found.facts["blocks"] == 121
    assert found.audit == Audit(2000, 2000, 2000)
    assert codes(found.validity) == {"CHR-V07": "warning", "CHR-V12": "warning"}
    assert len(found.per_day) == 20
    assert found.facts["senders"] == 10
    assert found.facts["suites"] == {"keccak256-secp256k1": 121}


def test_events_of_a_real_chain_and_every_type_of_transaction(tmp_path: Path) -> None:
    """A contract that raises an event with what it is called with; transactions of types 0, 1 and 2."""
    raises = "6024360380602460003760043590600" + "0a100"
    topic = Suite.KECCAK.hash(b"Saved(bytes32,uint256)")
    with anvil() as node:
        node.ask("anvil_setCode", CONTRACT, "0x" + raises)
        fees = [{"gasPrice": "0x1"}, {"gasPrice": "0x1", "accessList": [{"address": CONTRACT, "storageKeys": ["0x" + "00" * 32]}]},
                {"maxFeePerGas": "0x2", "maxPriorityFeePerGas": "0x1"}]  # fmt: skip
        for number in range(30):
            what = topic if number % 10 else b"\1" * 32
            data = b"\1\2\3\4" + what + number.to_bytes(32, "big") + (number // 2).to_bytes(32, "big")
            call = {
                "from": node.accounts[0],
                "to": CONTRACT,
                "gas": "0x30d40",
                "data": "0x" + data.hex(),
                **fees[number % 3],
            }
            node.ask("eth_sendTransaction", call)
            node.mine(START_S + 86_400 * (number + 1))
        rule = {"contracts": [CONTRACT.upper().replace("X", "x")], "event": "Saved(bytes32,uint256)"}
        found = counted(tmp_path / "all", evm_params(node.url, record=rule))
        distinct = counted(tmp_path / "payload", evm_params(node.url, record=rule | {"payload": [1]}))
        inside = counted(
            tmp_path / "window", evm_params(node.url, record=rule, window={"start": "2025-01-02", "end": "2025-01-11"})
        )
    assert (found.gross, found.net, excluded(found)["CHR-X-OTHER"]) == (30, 27, 3)
    assert found.audit == Audit(27, 27, 27)
    assert (distinct.net, excluded(distinct)["CHR-X-DUP"], excluded(distinct)["CHR-X-EMPTY"]) == (14, 12, 1)
    assert (inside.net, excluded(inside)["CHR-X-WINDOW"]) == (9, 18)


# --- FISCO BCOS 2.x, against a server written from its documentation ---------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_records_on_a_2x_chain(tmp_path: Path, old: bool) -> None:
    suite, rng = Suite.KECCAK, random.Random(3)
    chain = Chain2(suite, [Signer.new(suite) for _ in range(4)], START_MS)
    accounts = [Signer.new(suite) for _ in range(3)]
    good = [call_data(suite, f"{n}", rng.randbytes(32)) for n in range(60)]
    calls = [Call(rng.choice(accounts), CONTRACT_3, d) for d in [*good, good[3], good[4]]]
    calls += [
        Call(accounts[0], CONTRACT_3, call_data(suite, "x", rng.randbytes(32)), 22),
        Call(accounts[0], "", b"code"),
    ]
    calls += [Call(accounts[0], "0x" + "1003".rjust(40, "0"), b"config")]
    rng.shuffle(calls)
    for n in range(13):
        chain.seal(calls[n::13], START_MS + (n + 1) * DAY_MS)
    node = Node2(chain, signs_blocks=not old, says_failed=not old)
    with serving(node) as url:
        values = params_for(url) | {"chain": {"kind": "bcos2"}}
        found = counted(tmp_path / "a", values)
        node.counter = (1000, 1)
        lied = counted(tmp_path / "b", values)
        with pytest.raises(ProbeError, match="群组是数字"):
            counted(tmp_path / "c", values | {"chain": {"kind": "bcos2", "group": "group0"}})
    assert found.net == 60
    reasons = {code: n for code, n in excluded(found).items() if n}
    assert reasons == {"CHR-X-FAILED": 1, "CHR-X-DEPLOY": 1, "CHR-X-SYSTEM": 1, "CHR-X-DUP": 2}
    assert found.audit == Audit(60, 60, 60)
    assert codes(found.validity) == QUIET
    assert found.facts["sample"]["blocks_with_quorum"] == 13
    assert [r.code for r in lied.open] == ["counter_disagrees"]


def test_a_2x_node_that_hides_what_statuses_hang_on_is_named(tmp_path: Path) -> None:
    """It shows failed transactions as successful, and receipts without the root by which that would show."""
    suite, rng = Suite.KECCAK, random.Random(3)
    chain = Chain2(suite, [Signer.new(suite) for _ in range(4)], START_MS)
    sender = Signer.new(suite)
    for n in range(10):
        chain.seal([Call(sender, CONTRACT_3, call_data(suite, f"{n}", rng.randbytes(32)), 22 * (n > 6))])
    values = params_for("") | {"chain": {"kind": "bcos2"}}

    def count(name: str) -> Count:
        with serving(Node2(chain)) as url:
            return counted(tmp_path / name, values | {"endpoint": {"url": url}})

    assert (count("honest").net, codes(count("again").validity)) == (7, QUIET)
    for row in chain.rows[1:]:
        row["receipts"][0]["status"] = "0x0"
    shown = count("shown")
    assert (shown.net, shown.audit) == (10, Audit(10, 10, 7))
    for row in chain.rows[1:]:
        del row["receipts"][0]["root"]
    hidden = count("hidden")
    assert (hidden.net, hidden.audit) == (10, Audit(10, 10, 10))
    assert codes(hidden.validity) == QUIET | {"CHR-V16": "warning"}
    assert "10 条" in next(v.text for v in hidden.validity if v.code == "CHR-V16")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.chains.rpc.time.sleep", lambda _: None)


@pytest.mark.usefixtures("no_waiting")
def test_what_is_no_such_chain_is_refused(tmp_path: Path) -> None:
    with anvil() as node:
        for number, (changes, code) in enumerate(
            [({"chain": {"kind": "bcos3"}}, "CHN-E06"), ({"confirmations": 1}, "CHR-E01"),
             ({"endpoint": {"url": "http://127.0.0.1:9"}}, "CHN-E01")]
        ):  # fmt: skip
            with pytest.raises(ProbeError) as caught:
                counted(tmp_path / str(number), evm_params(node.url) | changes)
            assert caught.value.problem.code == code
            assert "\n" not in str(caught.value)


# --- the rule ------------------------------------------------------------------------------------------------------------


def judged(record_: dict[str, Any], **changes: Any) -> list[Any]:
    values = {"hash": "0x", "sender": "0x", "to": CONTRACT, "input": b"", "succeeded": True, "logs": (), **changes}
    rule = Rule.of(
        Record.model_validate({"contracts": [CONTRACT], **record_}), lambda a: int(a, 16) < 1 << 16, by_name=False
    )
    return list(rule.judge(Transaction(**values)))


def judged_by_name(record_: dict[str, Any], call: tuple[str, list[tuple[str, bytes]]], **changes: Any) -> list[Any]:
    called = NamedCall(call[0], tuple(call[1]))
    values = {"hash": "", "sender": "0x", "to": "evidence", "input": b"", "succeeded": True, "logs": (), "call": called}
    rule = Rule.of(Record.model_validate({"contracts": ["evidence"], **record_}), lambda a: a == "SYS", by_name=True)
    return list(rule.judge(Transaction(**(values | changes))))


def test_a_call_by_name_counts_under_its_names() -> None:
    """Where there are names: parameters by key, in whatever order; where there are none: by position."""
    saved = ("save", [("digest", b"\7" * 32), ("id", b"a"), ("time", b"t")])
    assert judged_by_name({"method": "save(id, digest)"}, saved) == [(b"a", b"\7" * 32)]
    assert judged_by_name({"method": "save(id,digest)", "payload": [1]}, saved) == [(b"\7" * 32,)]
    assert judged_by_name({"method": "save(string)"}, ("save", [("string", b"x")])) == [(b"x",)]
    assert judged_by_name({}, saved) == [(b"\7" * 32, b"a", b"t")]
    assert judged_by_name({"method": "save(id,digest)"}, ("save", [("", b"a"), ("", b"b")])) == [(b"a", b"b")]
    short, twice = ("save", [("id", b"a")]), ("save", [("id", b"a"), ("digest", b"b"), ("id", b"c")])
    for call in (short, twice, ("save", [("", b"a")])):
        assert judged_by_name({"method": "save(id,digest)"}, call) == ["CHR-X-MALFORMED"]
    assert judged_by_name({"method": "save(id)"}, ("other", [("id", b"a")])) == ["CHR-X-OTHER"]
    assert judged_by_name({"method": "save(id)"}, saved, to="elsewhere") == ["CHR-X-OTHER"]
    assert judged_by_name({"method": "save(id)"}, saved, to="SYS") == ["CHR-X-SYSTEM"]
    assert judged_by_name({"method": "save(id)"}, saved, succeeded=False) == ["CHR-X-FAILED"]


def test_events_by_name() -> None:
    raised = (
        Log("evidence", ("saved",), b"", (b"a", b"b")),
        Log("evidence", ("moved",), b"", (b"a",)),
        Log("elsewhere", ("saved",), b"", (b"a", b"b")),
        Log("evidence", ("saved",), b"", (b"a",)),
    )
    record_ = {"event": "saved(id,digest)", "payload": [1]}
    assert judged_by_name(record_, ("save", []), logs=raised) == [(b"b",), "CHR-X-MALFORMED"]


@pytest.mark.parametrize("method", ["save", "save(a,a)", "save(a,)", "(a)", "save(a)(b)"])
def test_what_is_no_call_by_name(method: str) -> None:
    with pytest.raises(ValueError, match="名"):
        Record.model_validate({"contracts": ["evidence"], "method": method}).check(by_name=True)


@pytest.mark.parametrize("suite", EVM_SUITES)
def test_a_call_counts_under_the_selector_of_either_suite(suite: Suite) -> None:
    data = call_data(suite, "id", b"\7" * 32)
    assert judged({"method": METHOD}, input=data) == [(b"id", b"\7" * 32)]
    assert judged({"method": METHOD, "payload": [1]}, input=data) == [(b"\7" * 32,)]
    assert judged({"method": METHOD}, input=b"\0" + data[1:]) == ["CHR-X-OTHER"]
    assert judged({"method": METHOD}, input=data[:60]) == ["CHR-X-MALFORMED"]
    assert judged({}, input=data) == [(data[4:],)]


def test_a_declared_system_contract_counts() -> None:
    kv = "0x" + "1009".rjust(40, "0")
    assert judged({"contracts": [kv]}, to=kv, input=b"1234x") == [(b"x",)]
    assert judged({}, to=kv, input=b"1234x") == ["CHR-X-SYSTEM"]


def test_events_are_records_one_by_one() -> None:
    topic = "0x" + Suite.SM.hash(b"Saved(bytes32,string)").hex()
    data = (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"ab".ljust(32, b"\0")
    mine, others = Log(CONTRACT, (topic, "0x" + "05" * 32), data), Log("0x" + "0e" * 20, (topic,), data)
    rule = {"event": "Saved(bytes32 indexed id, string)"}
    assert judged(rule, logs=(mine, others, mine)) == [(b"\5" * 32, b"ab")] * 2
    assert judged(rule, logs=(others, Log(CONTRACT, (), data), Log(CONTRACT, ("0x00",), data))) == ["CHR-X-OTHER"]
    assert (
        judged(rule, logs=(Log(CONTRACT, (topic,), data), Log(CONTRACT, mine.topics, data[:40])))
        == ["CHR-X-MALFORMED"] * 2
    )
    assert judged(rule, logs=(mine,), to="") == [(b"\5" * 32, b"ab")]
    assert judged(rule, logs=(mine,), succeeded=False) == ["CHR-X-FAILED"]


def test_hollow_payloads() -> None:
    assert hollow((b"", b"\0" * 32)) == hollow((b"",)) == "CHR-X-EMPTY"
    assert hollow((b"aaa", b"a")) == hollow((b"\xff" * 32,)) == hollow((b"  ",)) == "CHR-X-CONSTANT"
    assert hollow((b"a",)) is hollow((b"ab",)) is hollow((b"\n".rjust(32, b"\0"),)) is None


def test_payloads_do_not_run_together() -> None:
    assert len({digest(p) for p in [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc")]}) == 5


# --- lies: each is named, and none passes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest() -> SimulatedChain:
    return planted_chain(Suite.KECCAK, 150, 3)[0]


def seen(folder: Path, node: SimulatedNode, **changes: Any) -> Count:
    with serving(node) as url:
        return counted(folder, params_for(url) | changes)


def test_the_honest_chain_passes(tmp_path: Path, honest: SimulatedChain) -> None:
    with serving(SimulatedNode(honest)) as other:
        found = seen(tmp_path, SimulatedNode(honest), witnesses=[{"url": other}], sample=1000)
    assert found.validity == ()
    assert at_least(found, 150) is Verdict.PASS
    assert at_least(found, 151) is Verdict.FAIL


def test_an_endpoint_without_batches_gives_the_same(tmp_path: Path, honest: SimulatedChain) -> None:
    slow, fast = SimulatedNode(honest, batches=False), SimulatedNode(honest)
    one, many = seen(tmp_path / "a", slow), seen(tmp_path / "b", fast)
    assert one.facts.pop("draw_salt") != many.facts.pop("draw_salt")
    assert one == many


@pytest.mark.parametrize(("counter", "said"), [((100_000, 4), "100000 笔"), ((None, 0), "失败 0 笔")])
def test_an_inflated_counter(tmp_path: Path, honest: SimulatedChain, counter: tuple[Any, int], said: str) -> None:
    total = counter[0] or sum(len(row["receipts"]) for row in honest.rows)
    found = seen(tmp_path, SimulatedNode(honest, counter=(total, counter[1])))
    assert codes(found.validity) == QUIET | {"CHR-V04": "warning"}
    assert [r.code for r in found.open] == ["counter_disagrees"]
    assert said in found.open[0].text
    assert at_least(found, 100) is Verdict.INCONCLUSIVE


def test_junk_records(tmp_path: Path) -> None:
    """A hundred records, the rest of 500 is one payload again and again, or nothing."""
    suite, rng = Suite.KECCAK, random.Random(1)
    chain = SimulatedChain(suite, [Signer.new(suite)], START_MS)
    account = Signer.new(suite)
    good = [call_data(suite, f"{n}", rng.randbytes(32)) for n in range(100)]
    data = (
        good + [good[0]] * 200 + [call_data(suite, "", bytes(32))] * 100 + [call_data(suite, "x" * 9, b"x" * 32)] * 100
    )
    for n in range(50):
        chain.seal([Call(account, CONTRACT_3, d) for d in data[n::50]], START_MS + (n + 1) * DAY_MS)
    found = seen(tmp_path, SimulatedNode(chain))
    assert (found.gross, found.net) == (500, 100)
    reasons = {code: n for code, n in excluded(found).items() if n}
    assert reasons == {"CHR-X-DUP": 200, "CHR-X-EMPTY": 100, "CHR-X-CONSTANT": 100}
    assert at_least(found, 500) is Verdict.FAIL


class Reorganising(SimulatedNode):
    """Another block stands at the pinned height once all blocks have been given."""

    def on_getBlockByNumber(self, group: str, node: str, number: int, only_header: bool, only_hash: bool) -> Any:
        block = super().on_getBlockByNumber(group, node, number, only_header, only_hash)
        self.given = max(getattr(self, "given", 0), 0 if only_header else number)
        if only_header and number == self.given == self.chain.height:
            block["hash"] = "0x" + "ab" * 32
        return block


def test_a_reorganisation_during_the_count(tmp_path: Path, honest: SimulatedChain) -> None:
    found = seen(tmp_path, Reorganising(honest))
    assert codes(found.validity)["CHR-V02"] == "invalid"
    assert "改写" in next(v.text for v in found.validity if v.code == "CHR-V02")
    assert at_least(found, 100) is Verdict.INVALID


def test_a_fork(tmp_path: Path, honest: SimulatedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.probes.chain_records.capture.WITNESS_S", 0.1)
    other = copy.deepcopy(honest)
    other.rows.pop()
    other.seal([])
    with serving(SimulatedNode(other)) as witness:
        found = seen(tmp_path, SimulatedNode(honest), witnesses=[{"url": witness}])
    assert codes(found.validity) == {"CHR-V06": "invalid"}
    with serving(SimulatedNode(SimulatedChain(Suite.KECCAK, honest.sealers, 0))) as witness:
        found = seen(tmp_path / "behind", SimulatedNode(honest), witnesses=[{"url": witness}])
    assert codes(found.validity) == {"CHR-V06": "invalid"}


def altered(chain: SimulatedChain, change: Callable[[list[Any]], None]) -> SimulatedNode:
    lying = copy.copy(chain)
    lying.rows = copy.deepcopy(chain.rows)
    change(lying.rows)
    return SimulatedNode(lying)


def a_record(rows: list[Any]) -> Any:
    """The first call of the contract in block 1 that succeeded."""
    pairs = zip(rows[1]["block"]["transactions"], rows[1]["receipts"], strict=True)
    return next(t for t, receipt in pairs if t["to"] == CONTRACT_3 and not receipt["status"])


def test_a_draw_that_could_be_known_beforehand_would_pass_a_chain_of_fakes(tmp_path: Path) -> None:
    """A chain at rest, so that its newest hash is known, with only those records real that plan's seed and this hash would draw."""
    chain, _ = planted_chain(Suite.KECCAK, 400, 3)
    whole = streams(chain)
    with_all = Params.model_validate(params_for("http://127.0.0.1:1") | {"sample": 20})
    with Candidates() as candidates:
        walk_blocks(MemoryEvidence(whole), with_all, reader("bcos3"), candidates)
        net, _ = candidates.settle()
        known = candidates.places(draw_sample(net, 20, 1, chain.rows[-1]["block"]["hash"]))
        every = candidates.places(range(net))

    def fake(rows: list[Any]) -> None:
        for place in set(every) - set(known):
            rows[place.block]["block"]["transactions"][place.transaction]["signature"] = "0x" + "11" * 65

    found = seen(tmp_path, altered(chain, fake), sample=20)
    assert found.audit is not None
    assert found.audit.drawn == 20
    assert found.audit.good < 10
    assert codes(found.validity)["CHR-V10"] == "warning"


class Following(SimulatedNode):
    """Has the newest block only when it has been asked for it `late` times."""

    late = 3

    def on_getBlockByNumber(self, group: str, node: str, number: int, only_header: bool, only_hash: bool) -> Any:
        if number == self.chain.height:
            self.late -= 1
        if self.late >= 0 and number == self.chain.height:
            raise LookupError("no such block")
        return super().on_getBlockByNumber(group, node, number, only_header, only_hash)


def test_a_witness_may_be_a_moment_behind(
    tmp_path: Path, honest: SimulatedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Following(honest)) as other:
        found = seen(tmp_path / "late", SimulatedNode(honest), witnesses=[{"url": other}])
    assert found.validity == ()
    monkeypatch.setattr("yanshou.probes.chain_records.capture.WITNESS_S", 0.1)
    never = Following(honest)
    never.late = 1000
    with serving(never) as other:
        found = seen(tmp_path / "never", SimulatedNode(honest), witnesses=[{"url": other}])
    assert codes(found.validity) == {"CHR-V06": "invalid"}


def test_a_proof_for_another_block(tmp_path: Path, honest: SimulatedChain) -> None:
    """The transactions of one block are shown under the header of another."""

    def swap(rows: list[Any]) -> None:
        for part, at in (("transactions", "block"), ("receipts", None)):
            a, b = (rows[1], rows[2]) if at is None else (rows[1][at], rows[2][at])
            a[part], b[part] = b[part], a[part]

    found = seen(tmp_path, altered(honest, swap), sample=1000)
    assert codes(found.validity) == QUIET | {"CHR-V10": "warning"}
    assert found.facts["sample"]["faults"].keys() == {"root", "receipts"}
    assert found.audit is not None
    assert found.audit.good < found.audit.drawn == found.net
    assert at_least(found, 150) is Verdict.FAIL


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda r: a_record(r).update(input="0x" + "7778" * 45), "genuine"),
        (lambda r: a_record(r).update({"from": "0x" + "77" * 20}), "genuine"),
        (lambda r: [x.update(status=0) for x in r[1]["receipts"]], "receipts"),
        (lambda r: r[1]["block"]["signatureList"].pop(), "seals"),
        (lambda r: r[1]["block"]["signatureList"][0].update(signature="0x" + "11" * 65), "seals"),
        (lambda r: r[1]["block"].update(consensusWeights=[1]), "unreadable"),
    ],
    ids=["input", "sender", "failed shown as done", "missing seal", "wrong seal", "unreadable"],
)  # fmt: skip
def test_what_was_altered_is_named(
    tmp_path: Path, honest: SimulatedChain, change: Callable[[Any], Any], fault: str
) -> None:
    found = seen(tmp_path, altered(honest, change), sample=1000, record={"contracts": [CONTRACT_3]})
    faults = found.facts["sample"]["faults"]
    if fault == "unreadable":  # a header of which a part is missing has another hash, too
        assert codes(found.validity)["CHR-V03"] == "invalid"
    assert fault in faults
    assert found.audit is not None
    assert found.audit.good < found.audit.drawn


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[3]["block"].update(txsRoot="0x" + "00" * 32),
        lambda rows: rows[3]["block"]["parentInfo"][0].update(blockHash="0x" + "00" * 32),
        lambda rows: rows[3]["block"].update(hash="0x" + "00" * 32),
    ],
)
def test_blocks_that_do_not_link(tmp_path: Path, honest: SimulatedChain, change: Callable[[Any], None]) -> None:
    found = seen(tmp_path, altered(honest, change))
    assert codes(found.validity)["CHR-V03"] == "invalid"
    assert "高度 3" in next(v.text for v in found.validity if v.code == "CHR-V03")


def crowd(senders: int, days: int) -> SimulatedChain:
    suite, rng = Suite.KECCAK, random.Random(2)
    chain = SimulatedChain(suite, [Signer.new(suite)], START_MS)
    accounts = [Signer.new(suite) for _ in range(senders)]
    for n in range(40):
        calls = [
            Call(accounts[(n + i) % senders], CONTRACT_3, call_data(suite, f"{n}-{i}", rng.randbytes(32)))
            for i in range(5)
        ]
        chain.seal(calls, START_MS + n * days * DAY_MS // 40)
    return chain


def test_one_sender_in_one_night(tmp_path: Path) -> None:
    found = seen(tmp_path, SimulatedNode(crowd(1, 1)))
    assert found.net == 200
    assert codes(found.validity) == QUIET | {"CHR-V05": "warning", "CHR-V09": "warning"}
    assert [r.code for r in found.open] == ["one_sender_in_one_day"]
    assert at_least(found, 200) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("senders", "days", "said"), [(1, 100, {"CHR-V09"}), (5, 3, {"CHR-V05"}), (5, 100, set())])
def test_crowds_that_are_only_said(tmp_path: Path, senders: int, days: int, said: set[str]) -> None:
    found = seen(tmp_path, SimulatedNode(crowd(senders, days)))
    assert codes(found.validity) == QUIET | dict.fromkeys(said, "warning")
    assert found.open == ()


def test_a_window_of_a_week_has_no_last_week(tmp_path: Path) -> None:
    found = seen(tmp_path, SimulatedNode(crowd(5, 3)), window={"start": "2025-01-01", "end": "2025-01-07"})
    assert codes(found.validity) == QUIET


def test_times_that_are_no_times_are_counted_all_the_same(tmp_path: Path) -> None:
    suite, rng = Suite.KECCAK, random.Random(8)
    chain = SimulatedChain(suite, [Signer.new(suite)], START_MS)
    calls = [Call(Signer.new(suite), CONTRACT_3, call_data(suite, f"{n}", rng.randbytes(32))) for n in range(120)]
    chain.seal(calls, -(10**17))
    found = seen(tmp_path, SimulatedNode(chain))
    assert (found.net, found.per_day) == (120, (("0001-01-01", 120),))
    assert found.facts["last_seven_days_share"] == 1


def test_what_was_there_before_the_window_is_not_new_in_it(tmp_path: Path) -> None:
    """Forty old records are sent again within the window, five are new; one of these is repeated after it."""
    suite, rng = Suite.KECCAK, random.Random(8)
    chain, sender = SimulatedChain(suite, [Signer.new(suite)], START_MS), Signer.new(suite)
    old, new = ([call_data(suite, f"{n}", rng.randbytes(32)) for n in range(many)] for many in (40, 5))
    for day, data in ((1, old), (20, old + new), (40, new[:1])):
        chain.seal([Call(sender, CONTRACT_3, d) for d in data], START_MS + day * DAY_MS)
    found = seen(tmp_path, SimulatedNode(chain), window={"start": "2025-01-15", "end": "2025-01-31"})
    assert found.net == 5
    assert {code: n for code, n in excluded(found).items() if n} == {"CHR-X-WINDOW": 41, "CHR-X-DUP": 40}
    assert found.audit == Audit(5, 5, 5)
    assert found.per_day == (("2025-01-21", 5),)


def test_times_that_go_backwards(tmp_path: Path) -> None:
    chain = crowd(5, 100)
    chain.seal([Call(Signer.new(Suite.KECCAK), CONTRACT_3, call_data(Suite.KECCAK, "late", b"\1\2"))], START_MS)
    found = seen(tmp_path, SimulatedNode(chain))
    assert codes(found.validity) == QUIET | {"CHR-V08": "warning"}


def test_personal_data_in_the_clear_is_said_and_not_printed(tmp_path: Path) -> None:
    suite, rng = Suite.KECCAK, random.Random(6)
    chain = SimulatedChain(suite, [Signer.new(suite)], START_MS)
    texts = [
        "姓名 张三 手机 13800138000",
        '{"id":"11010519491231002X"}',
        "zhang.san@example.com",
        "11010519491231002",
        "x" * 30 + "y",
    ]
    event = (CONTRACT_3[2:], (b"\1" * 32,), b"tel 13900139000 ")
    calls = [Call(Signer.new(suite), CONTRACT_3, call_data(suite, text, rng.randbytes(32))) for text in texts]
    calls += [Call(Signer.new(suite), CONTRACT_3, call_data(suite, "plain", rng.randbytes(32)), 0, (event,))]
    calls += [Call(Signer.new(suite), CONTRACT_3, call_data(suite, f"{n}", rng.randbytes(32))) for n in range(30)]
    chain.seal(calls)
    found = seen(tmp_path, SimulatedNode(chain))
    said = next(v for v in found.validity if v.code == "CHR-V13")
    assert said.text == "抽中的 36 条里有明文的个人信息：手机号 2 条、身份证号 1 条、邮箱地址 1 条"
    assert "1380013" not in repr(found)


# --- evidence that is cut or wrong -----------------------------------------------------------------------------------------


def streams(chain: SimulatedChain) -> dict[str, bytes]:
    top = chain.rows[-1]["block"]["hash"]
    pin = Pin(
        "bcos3",
        chain.height,
        top,
        chain.rows[0]["block"]["hash"],
        0,
        {},
        SimulatedNode(chain).answer("getTotalTransactionCount", ["", ""]),
    )
    return {
        PIN: line(pin),
        BLOCKS: b"".join(member(lines([row])) for row in chain.rows),
        END: line(End(top, (), chain.height, top)),
    }  # fmt: skip


def read(parts: dict[str, bytes]) -> Count:
    return analyse(MemoryEvidence(parts), Params.model_validate(params_for("http://127.0.0.1:1")), 1)


def test_evidence_cut_anywhere_is_invalid_and_never_crashes(honest: SimulatedChain) -> None:
    whole = streams(honest)
    assert codes(read(whole).validity) == QUIET
    for name in whole:
        assert codes(read({k: v for k, v in whole.items() if k != name}).validity)["CHR-V01"] == "invalid"
    assert codes(read({}).validity)["CHR-V01"] == "invalid"
    size = len(whole[BLOCKS])
    for cut in (0, 1, size // 3, size - 1):
        found = read({**whole, BLOCKS: whole[BLOCKS][:cut]})
        assert codes(found.validity)["CHR-V01"] == "invalid"
        assert found.audit is None
    for junk in (
        b"junk",
        member(b"[" * 100_000 + b"\n"),
        member(b"{}\n"),
        member(b"\xff\n"),
        member(b"[]\n"),
        member(lines(honest.rows[1:])),
    ):
        assert codes(read({**whole, BLOCKS: junk}).validity)["CHR-V01"] == "invalid"


def test_a_chain_with_another_top_than_was_pinned(honest: SimulatedChain) -> None:
    whole = streams(honest)
    whole[PIN] = whole[PIN].replace(honest.rows[-1]["block"]["hash"].encode(), b"0x" + b"ab" * 32)
    assert codes(read(whole).validity) == QUIET | {"CHR-V02": "invalid", "CHR-V03": "invalid"}


# --- killed and gone on ----------------------------------------------------------------------------------------------------

KILLED = """
import json, sys
from pathlib import Path
from tests.probes.chain_support import measure
from yanshou.probes.contract import Probe
measure(Path(sys.argv[1]), Probe("chain.records").params(json.loads(sys.argv[2])))
"""


class Slow(SimulatedNode):
    """Takes its time over every block, and remembers which were asked for in full."""

    pace_s = 0.0

    def on_getBlockByNumber(self, group: str, node: str, number: int, only_header: bool, only_hash: bool) -> Any:
        if not only_header:
            time.sleep(self.pace_s)
            self.__dict__.setdefault("full", []).append(number)
        return super().on_getBlockByNumber(group, node, number, only_header, only_hash)


def acknowledged(folder: Path) -> int:
    """Bytes of blocks that the ledger's last whole checkpoint names."""
    ledger = folder / "ledger.jsonl"
    whole = ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []
    named = (json.loads(line)["r"].get("streams", {}) for line in whole)
    return max((streams[BLOCKS]["bytes"] for streams in named if BLOCKS in streams), default=0)


def killed(folder: Path, values: dict[str, Any], least: int) -> None:
    """Start a count in a process of its own; kill -9 once so many bytes of blocks are on the disk, and the ledger says so."""
    folder.mkdir(exist_ok=True)
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), json.dumps(values)])
    deadline = time.monotonic() + 60
    while acknowledged(folder) < least:
        assert time.monotonic() < deadline
        assert child.poll() is None, "it was faster than the kill"
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def killed_at_once(folder: Path, values: dict[str, Any]) -> None:
    """A second run that had hardly begun when it was interrupted, too: it must not hide what the first one has."""
    with Ledger(folder) as ledger:
        recover(ledger)
        (first,) = runs_of(ledger.records)
        with RunWriter(ledger, "count", first.meta) as run:
            with first.evidence(folder).open(PIN) as f:
                run.sink.stream(PIN).write(f.read())
            run.sink.stream(BLOCKS)
            run.close(RunStatus.ABORTED)


def finish(folder: Path, values: dict[str, Any]) -> Count:
    folder.mkdir(exist_ok=True)
    measure(folder, Params.model_validate(values))
    with Ledger(folder) as ledger:
        last = runs_of(ledger.records)[-1]
    assert last.status is RunStatus.COMPLETED
    return analyse(last.evidence(folder), Params.model_validate(values), 1)


@pytest.fixture(scope="module")
def long() -> SimulatedChain:
    return planted_chain(Suite.KECCAK, 3000, 4)[0]


def test_a_killed_count_goes_on_and_gives_the_same(tmp_path: Path, long: SimulatedChain) -> None:
    node = Slow(long)
    with serving(node) as url:
        values = params_for(url) | {"chain": {"kind": "bcos3", "batch": 4, "parallel": 2}}
        node.pace_s = 0.04
        killed(tmp_path / "case", values, 50_000)
        node.pace_s = 0
        first, node.full = node.full, []
        long.seal([])  # the chain grows meanwhile; what was pinned stays pinned
        killed_at_once(tmp_path / "case", values)
        found = finish(tmp_path / "case", values)
        again = set(first) & set(node.full)
        long.rows.pop()
        undisturbed = finish(tmp_path / "other", values)
    adopted = found.facts["adopted"]
    assert adopted["run"].startswith("0001")
    assert adopted["blocks"] > 0
    assert min(node.full[: len(long.rows) - adopted["blocks"]]) >= adopted["blocks"]
    assert len(again) < 20, "only what had not reached the disk was asked for again"
    assert codes(found.validity) == QUIET | {"CHR-V11": "info"}
    assert undisturbed.facts["adopted"] is None
    same = ("gross", "exclusions", "net", "per_day")
    assert [getattr(found, n) for n in same] == [getattr(undisturbed, n) for n in same]
    assert found.facts["height"] == undisturbed.facts["height"] == long.height
    with Ledger(tmp_path / "case") as ledger:
        ends = [RunStatus.TRUNCATED, RunStatus.ABORTED, RunStatus.COMPLETED]
        assert [r.status for r in runs_of(ledger.records)] == ends


def test_nothing_is_taken_over_from_a_chain_that_changed(tmp_path: Path) -> None:
    chain = planted_chain(Suite.KECCAK, 1500, 4)[0]
    node = Slow(chain)
    with serving(node) as url:
        values = params_for(url) | {"chain": {"kind": "bcos3", "batch": 4, "parallel": 2}}
        node.pace_s = 0.04
        killed(tmp_path, values, 50_000)
        node.pace_s = 0
        node.chain = planted_chain(Suite.KECCAK, 500, 9)[0]
        found = finish(tmp_path, values)
    assert found.facts["adopted"] is None
    assert (found.net, codes(found.validity)) == (500, QUIET)


def test_nothing_is_taken_over_that_was_changed_on_the_disk(tmp_path: Path, honest: SimulatedChain) -> None:
    node = Slow(honest)
    with serving(node) as url:
        values = params_for(url) | {"chain": {"kind": "bcos3", "batch": 1, "parallel": 1}}
        node.pace_s = 0.5
        killed(tmp_path, values, 5_000)
        node.pace_s = 0
        (path,) = tmp_path.glob(f"runs/*/{BLOCKS}")
        data = bytearray(path.read_bytes())
        data[4] ^= 1  # the time in the header of the first member, which no reader looks at
        path.write_bytes(data)
        found = finish(tmp_path, values)
    assert (found.net, found.facts["adopted"]) == (150, None)


def test_a_finished_count_and_other_parameters_are_not_gone_on_with(tmp_path: Path, honest: SimulatedChain) -> None:
    with serving(SimulatedNode(honest)) as url:
        assert finish(tmp_path, params_for(url)).facts["adopted"] is None
        assert finish(tmp_path, params_for(url)).facts["adopted"] is None
        assert finish(tmp_path, params_for(url) | {"sample": 7}).facts["adopted"] is None


def test_recording_is_the_same_however_many_ask(tmp_path: Path, honest: SimulatedChain) -> None:
    """Blocks are in order and each once, whatever the parallel requests do."""
    with serving(SimulatedNode(honest)) as url:
        found = []
        for parallel, batch in ((1, 1), (8, 3)):
            params = Params.model_validate(
                params_for(url) | {"chain": {"kind": "bcos3", "parallel": parallel, "batch": batch}}
            )
            (tmp_path / f"{parallel}").mkdir()
            evidence = record(tmp_path / f"{parallel}", capture, params)
            found.append(analyse(evidence, params, 1))
    assert found[0].facts.pop("draw_salt") != found[1].facts.pop("draw_salt")
    assert found[0] == found[1]


def test_the_ledger_may_be_torn_while_it_is_read(tmp_path: Path, honest: SimulatedChain) -> None:
    with Ledger(tmp_path) as ledger:
        recover(ledger)
    with (tmp_path / "ledger.jsonl").open("ab") as f:
        f.write(b'{"h":"torn')
    with serving(SimulatedNode(honest)) as url, Ledger(tmp_path) as ledger, RunWriter(ledger, "x", {}) as run:
        with (tmp_path / "ledger.jsonl").open("ab") as f:
            f.write(b'{"h":"half')
        capture(Params.model_validate(params_for(url)), RunContext(run.sink, 1, tmp_path))
        os.truncate(tmp_path / "ledger.jsonl", (tmp_path / "ledger.jsonl").read_bytes().rfind(b"\n") + 1)
        run.close(RunStatus.COMPLETED)
