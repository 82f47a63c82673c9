from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.probes.bcos2_chain import Chain2, Node2
from tests.probes.bft_chain import BftChain, BftNode
from tests.probes.chain_support import anvil, calibrated, ethereumjs_peers, verdict
from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from yanshou.chains.bcos3.simulate import Signer, SimulatedChain, SimulatedMember, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.chains.segments import lines, member
from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Count, Limit, Op, Verdict
from yanshou.probes.chain_nodes.analyse import analyse
from yanshou.probes.chain_nodes.capture import capture
from yanshou.probes.chain_nodes.reference import (
    POINTS,
    listening,
    loopback,
    network,
    params_for,
    sealed_chain,
)
from yanshou.probes.chain_nodes.spec import SPEC, Params, estimate
from yanshou.probes.chain_nodes.streams import END, HEADERS, REACH, VIEWS, End, host_of, located
from yanshou.probes.contract import Probe

SUITE = Suite.KECCAK


def at_least(count: Count, limit: int) -> Verdict:
    return verdict(count, Limit(Op.GE, Decimal(limit), "个"))


def counted(folder: Path, values: dict[str, Any]) -> Count:
    folder.mkdir(exist_ok=True)
    params = Params.model_validate(values)
    return analyse(record(folder, capture, params), params, 1)


def fell(count: Count) -> dict[str, int]:
    return {code: n for code, n in excluded(count).items() if n}


def said(count: Count) -> dict[str, str]:
    """Findings but the one with the numbers, which is always there."""
    found = codes(count.validity)
    assert found.pop("CHO-V09") == "info"
    return found


@pytest.fixture(scope="module")
def signers() -> list[Signer]:
    return [Signer.new(SUITE) for _ in range(10)]


@pytest.fixture(scope="module")
def chain(signers: list[Signer]) -> SimulatedChain:
    return sealed_chain(SUITE, signers, 120)


def seen(
    folder: Path,
    chain: SimulatedChain,
    members: Sequence[SimulatedMember],
    asked: Sequence[int] = (0, 1, 2),
    **changes: Any,
) -> Count:
    with network(members, chain, asked) as urls:
        return counted(folder, params_for(urls, window_s=0.05, **changes))


# --- against the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = calibrated(tmp_path, "chain.nodes", true_value)
    found = analyse(evidence, params, 42)
    assert found.net == truth["true"] == true_value
    assert fell(found) == truth["planted"]
    assert found.gross == truth["n"]
    assert said(found) == {"CHO-V08": "info"}
    assert found.open == ()
    assert found.columns == (("共识", int(true_value)),)
    assert (found.facts["registered"], found.facts["hosts"]) == (truth["n"], true_value)
    assert analyse(evidence, params, 42) == found


def test_spec_and_estimate() -> None:
    assert Probe("chain.nodes").spec is SPEC
    params = Params.model_validate(params_for(["http://127.0.0.1:1"], window_s=7))
    assert (estimate(params, None).seconds, estimate(params, None).samples) == (7, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoints": []}, {"endpoints": [{"url": "http://h:1"}] * 2}, {"declared": [{"key": "12", "address": "h:1"}]},
        {"declared": [{"key": "ab" * 64, "address": "h"}]},
        {"declared": [{"key": "ab" * 64, "address": "h:1"}, {"key": "0xAB" + "ab" * 63, "address": "h:2"}]},
    ],
)  # fmt: skip
def test_parameters_must_make_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate(params_for(["http://h:1"], **changes))


# --- honest networks, and what a node is -------------------------------------------------------------------------------


def test_ten_nodes_on_ten_hosts_pass(tmp_path: Path, chain: SimulatedChain, signers: list[Signer]) -> None:
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        found = seen(tmp_path, chain, members, node_is=None)
    assert (found.net, found.gross, found.open, said(found)) == (10, 10, (), {})
    assert (
        found.validity[-1].text == "登记 10 个，同步 10 个，其中共识 10 个；计入的在 10 台不同主机上，已知属于 3 家单位"
    )
    assert {n: found.facts[n] for n in ("registered", "in_sync", "consensus", "hosts")} == dict.fromkeys(
        ("registered", "in_sync", "consensus", "hosts"), 10
    )
    assert found.facts["operators"] == ["单位0", "单位1", "单位2"]
    assert at_least(found, 10) is Verdict.PASS
    assert at_least(found, 11) is Verdict.FAIL


def test_observers_count_unless_only_consensus_does(
    tmp_path: Path, chain: SimulatedChain, signers: list[Signer]
) -> None:
    with listening(12) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=False)]
        members += [SimulatedMember(Signer.new(SUITE), a, "observer") for a in addresses[10:]]
        everybody = seen(tmp_path / "a", chain, members)
        consensus = seen(tmp_path / "c", chain, members, count="consensus")
    assert (everybody.net, everybody.columns) == (12, (("共识", 10), ("观察", 2)))
    assert (consensus.net, fell(consensus)) == (10, {"CHO-X-OBSERVER": 2})


def test_keys_on_one_host_are_undecided_unless_the_commitment_says_what_a_node_is(
    tmp_path: Path, chain: SimulatedChain, signers: list[Signer]
) -> None:
    with listening(1) as (address,):
        members = [SimulatedMember(s, address) for s in signers]
        silent = seen(tmp_path / "n", chain, members, node_is=None)
        keys = seen(tmp_path / "k", chain, members, node_is="key")
        hosts = seen(tmp_path / "h", chain, members, node_is="host")
        parties = seen(tmp_path / "o", chain, members, node_is="operator")
    assert (silent.net, silent.facts["hosts"]) == (10, 1)
    assert [r.code for r in silent.open] == ["keys_share_hosts"]
    assert "10 把节点公钥在 1 台主机" in silent.open[0].text
    assert at_least(silent, 10) is Verdict.INCONCLUSIVE
    assert at_least(keys, 10) is Verdict.PASS
    assert (hosts.net, fell(hosts)) == (1, {"CHO-X-HOST": 9})
    assert at_least(hosts, 10) is Verdict.FAIL
    assert (parties.net, fell(parties)) == (3, {"CHO-X-OPERATOR": 7})


# --- lies: each is named, and none passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"lag": 5}, "CHO-X-LAG"),
        ({"hash": "0x" + "ab" * 32}, "CHO-X-FORK"),
        ({"hash": "0x" + "ab" * 32, "lag": -7}, "CHO-X-FORK"),
        ({"hash": "0x" + "ab" * 32, "lag": -(10**12)}, "CHO-X-FORK"),
        ({"genesis": "0x" + "ab" * 32}, "CHO-X-FORK"),
        ({"online": False}, "CHO-X-OFFLINE"),
        ({"address": f"{loopback(200)}:1"}, "CHO-X-UNREACHABLE"),
        ({"role": ""}, "CHO-X-UNLISTED"),
    ],
)
def test_a_node_that_is_not_what_it_should_be(
    tmp_path: Path, chain: SimulatedChain, signers: list[Signer], lie: dict[str, Any], code: str
) -> None:
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        members[7] = replace(members[7], **lie)
        found = seen(tmp_path, chain, members)
    assert (found.net, fell(found)) == (9, {code: 1})
    assert said(found) == {"CHO-V08": "info"}
    assert signers[7].key.hex()[:16] in found.validity[0].text
    row = next(row for row in found.facts["nodes"] if row["reason"])
    assert (row["key"], row["reason"]) == (signers[7].key.hex(), code)
    assert at_least(found, 10) is Verdict.FAIL


class Late(SimulatedNode):
    """Stands a block behind what it says of the others, until it has been asked `late` times."""

    late = 3

    def on_getBlockNumber(self, group: str, node: str) -> Any:
        self.late -= 1
        return super().on_getBlockNumber(group, node) - (self.late >= 0)


def test_a_node_that_is_a_block_ahead_of_the_first_one_asked_is_on_no_fork(
    tmp_path: Path, chain: SimulatedChain, signers: list[Signer]
) -> None:
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        with serving(Late(chain, members=members)) as a, serving(SimulatedNode(chain, members=members, me=1)) as b:
            found = counted(tmp_path, params_for([a, b], window_s=2))
    assert (found.net, fell(found)) == (10, {})


def test_a_sealer_that_never_signs(tmp_path: Path, signers: list[Signer]) -> None:
    """Ten keys in the list; two sign nothing. A signature that is none does not help."""
    chain = SimulatedChain(SUITE, signers, 0)
    for n in range(120):
        row = chain.seal([], signers=[(n + i) % 8 for i in range(7)])
        row["block"]["signatureList"].append({"sealerIndex": 9, "signature": "0x" + "11" * 65})
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        found = seen(tmp_path, chain, members)
    assert (found.net, fell(found)) == (8, {"CHO-X-SILENT": 2})
    assert said(found) == {"CHO-V06": "warning", "CHO-V08": "info"}


def test_one_endpoint_alone_shows_nothing(tmp_path: Path, chain: SimulatedChain, signers: list[Signer]) -> None:
    """A spoke knows only itself and the hub; and no node is a witness of its own network."""
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        found = seen(tmp_path / "one", chain, members, [0])
        assert (found.net, fell(found)) == (0, {"CHO-X-UNCONFIRMED": 10})
        assert (found.facts["registered"], found.facts["in_sync"]) == (10, 10)
        assert codes(found.validity)["CHO-V03"] == "warning"
        assert at_least(found, 10) is Verdict.FAIL
        twice = seen(tmp_path / "twice", chain, members, [0, 0])
        assert (twice.net, codes(twice.validity)["CHO-V03"]) == (0, "warning")
        spokes = [SimulatedNode(chain, members=members, me=n, sees=[0]) for n in (1, 2)]
        with serving(spokes[0]) as a, serving(spokes[1]) as b:
            found = counted(tmp_path / "spokes", params_for([a, b], window_s=0.05))
        # of itself a spoke says only what it listens on, and there it is not: the asked address is another
        assert (found.net, fell(found)) == (1, {"CHO-X-OFFLINE": 7, "CHO-X-UNREACHABLE": 2})
        hub = SimulatedNode(chain, members=members, me=0)
        with serving(spokes[0]) as a, serving(hub) as b:
            assert counted(tmp_path / "hub", params_for([a, b], window_s=0.05)).net == 10


def test_an_endpoint_on_a_fork(tmp_path: Path, signers: list[Signer]) -> None:
    chain, other = sealed_chain(SUITE, signers, 120), sealed_chain(SUITE, signers, 120)
    other.rows[-1]["block"]["extraData"] = "0x"
    other.rows.pop()
    other.seal([], time_ms=1)
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        nodes = [SimulatedNode(c, members=members, me=n) for n, c in enumerate((chain, chain, other))]
        with serving(nodes[0]) as a, serving(nodes[1]) as b, serving(nodes[2]) as c:
            found = counted(tmp_path, params_for([a, b, c], window_s=0.05))
    assert fell(found)["CHO-X-FORK"] >= 1
    assert next(r for r in found.facts["nodes"] if r["key"] == signers[2].key.hex())["reason"] == "CHO-X-FORK"
    assert at_least(found, 10) is Verdict.FAIL


def test_a_node_on_a_fork_is_no_witness(tmp_path: Path, chain: SimulatedChain, signers: list[Signer]) -> None:
    other = sealed_chain(SUITE, [Signer.new(SUITE)], 120)
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        members[9] = replace(members[9], online=False)
        honest, forked = SimulatedNode(chain, members=members, me=0), SimulatedNode(other, members=members, me=1)
        with serving(honest) as a, serving(forked) as b:
            found = counted(tmp_path, params_for([a, b], window_s=0.05))
    assert (found.net, fell(found)) == (0, {"CHO-X-UNCONFIRMED": 10})
    assert (found.facts["registered"], found.facts["in_sync"]) == (10, 8), "one is on the fork, and one is offline"


def test_headers_that_do_not_link(tmp_path: Path, signers: list[Signer]) -> None:
    chain = sealed_chain(SUITE, signers, 120)
    chain.rows[60]["block"]["gasUsed"] = "1"
    with listening(10) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=True)]
        found = seen(tmp_path, chain, members)
    assert codes(found.validity)["CHO-V02"] == "invalid"


def test_lists_that_differ_and_few_blocks(tmp_path: Path, chain: SimulatedChain, signers: list[Signer]) -> None:
    with listening(11) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=False)]
        more = [*members, SimulatedMember(Signer.new(SUITE), addresses[10], "observer")]
        with network(members, chain, [0, 1]) as few, network(more, chain, [2]) as many:
            found = counted(tmp_path, params_for([*few, *many], window_s=0.05, blocks=50))
    assert said(found) == {"CHO-V05": "warning", "CHO-V07": "warning", "CHO-V08": "info"}
    assert (found.net, fell(found)) == (10, {"CHO-X-UNCONFIRMED": 1})


def test_what_is_declared_must_answer(tmp_path: Path, chain: SimulatedChain, signers: list[Signer]) -> None:
    """Nodes that were dialled show a port that nobody listens on: then the declared address counts, and only that."""
    with listening(10) as addresses:
        members = [SimulatedMember(s, f"{host_of(a)}:1") for s, a in zip(signers, addresses, strict=True)]
        declared = [
            {"key": "0x" + s.key.hex().upper(), "address": a, "operator": f"甲{n}"}
            for n, (s, a) in enumerate(zip(signers, addresses, strict=True))
        ]
        bare = seen(tmp_path / "bare", chain, members)
        told = seen(tmp_path / "said", chain, members, declared=declared, node_is="operator")
        wrong = [*declared[:9], {**declared[9], "address": f"{loopback(200)}:1"}]
        lied = seen(tmp_path / "lied", chain, members, declared=wrong)
    assert bare.net == 0
    assert (told.net, len(told.facts["operators"])) == (10, 10)
    assert (lied.net, fell(lied)) == (9, {"CHO-X-UNREACHABLE": 1})


@pytest.mark.parametrize(
    ("address", "url", "where"),
    [
        ("0.0.0.0:30300", "http://10.0.0.5:20200", "10.0.0.5:30300"),
        ("127.0.0.1:30301", "http://10.0.0.5:20200", "10.0.0.5:30301"),
        ("127.0.0.7:30301", "http://127.0.0.1:20200", "127.0.0.7:30301"),
        ("10.0.0.9:30301", "http://10.0.0.5:20200", "10.0.0.9:30301"),
        ("[::]:30300", "http://[fd00::1]:20200", "[fd00::1]:30300"),
        ("node1:30300", "http://10.0.0.5:20200", "node1:30300"),
        ("127.0.0.1:1", "http://localhost:20200", "127.0.0.1:1"),
    ],
)
def test_where_a_member_is(address: str, url: str, where: str) -> None:
    assert located(address, url) == where


# --- other kinds -------------------------------------------------------------------------------------------------------


class Listing2(Node2):
    """A 2.x node that also tells of the others."""

    def on_getSealerList(self, _group: int) -> Any:  # type: ignore[override]
        return [m.signer.key.hex() for m in self.members]

    def on_getObserverList(self, _group: int) -> Any:  # type: ignore[override]
        return []

    def on_getSyncStatus(self, _group: int) -> Any:  # type: ignore[override]
        top, first = self.chain.rows[-1]["block"], self.chain.rows[0]["block"]
        word = {"blockNumber": self.chain.height, "latestHash": top["hash"], "genesisHash": first["hash"]}
        own, *peers = [{**word, "nodeId": m.signer.key.hex()} for m in [self.members[self.me], *self._connected()]]
        return {**own, "peers": peers, "isSyncing": False, "txPoolSize": "0"}

    def on_getPeers(self, _group: int) -> Any:  # type: ignore[override]
        return [{"IPAndPort": m.address, "nodeId": m.signer.key.hex(), "Topic": []} for m in self._connected()]


def test_a_2x_network(tmp_path: Path, signers: list[Signer]) -> None:
    chain = Chain2(SUITE, signers[:4], 1_735_689_600_000)
    for n in range(50):
        chain.seal([], signers=[(n + i) % 4 for i in range(3)])
    with listening(4) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=False)]
        nodes = [Listing2(chain, members=members, me=n) for n in range(2)]
        with serving(nodes[0]) as a, serving(nodes[1]) as b:
            found = counted(tmp_path, params_for([a, b], window_s=0.05) | {"chain": {"kind": "bcos2"}})
    assert (found.net, said(found), found.facts["hosts"]) == (4, {}, 4)


def test_what_a_node_does_not_support_is_not_zero(tmp_path: Path) -> None:
    with anvil() as node, pytest.raises(ProbeError) as caught:
        counted(tmp_path, params_for([node.url]) | {"chain": {"kind": "ethereum"}})
    assert caught.value.problem.code == "CHN-E06"
    assert "不等于" in str(caught.value)


PEERS = 4


def test_real_peers_as_they_are(tmp_path: Path) -> None:
    """Real nodes on one host, a hub and its spokes: each is told by itself and the hub; one host stays one host."""
    with ethereumjs_peers(tmp_path, PEERS) as urls:
        values = params_for(urls, window_s=0.2, node_is=None) | {"chain": {"kind": "ethereum"}}
        everybody = counted(tmp_path / "all", values)
        hub = counted(tmp_path / "hub", params_for(urls[:1], window_s=0.2) | {"chain": {"kind": "ethereum"}})
        spokes = counted(tmp_path / "spokes", params_for(urls[1:3], window_s=0.2) | {"chain": {"kind": "ethereum"}})
    assert (everybody.net, everybody.gross, fell(everybody)) == (PEERS, PEERS, {})
    shown = {name: everybody.facts[name] for name in ("registered", "in_sync", "hosts", "height")}
    assert shown == {"registered": PEERS, "in_sync": PEERS, "hosts": 1, "height": 0}
    assert [r.code for r in everybody.open] == ["keys_share_hosts"]
    assert said(everybody) == {"CHO-V04": "warning"}
    assert (hub.net, fell(hub)) == (0, {"CHO-X-UNCONFIRMED": PEERS})
    assert spokes.net == 0
    assert fell(spokes) == {"CHO-X-UNCONFIRMED": 2, "CHO-X-OFFLINE": 1}


@pytest.mark.parametrize("qbft", [False, True])
def test_a_bft_network(tmp_path: Path, signers: list[Signer], qbft: bool) -> None:
    """Validators by verified seals, one of which never seals; an observer; one that nobody can see. Keys are addresses here."""
    chain = BftChain(qbft, signers[:5])
    for n in range(60):
        chain.seal([n % 3, (n + 1) % 3, (n + 2) % 3, 4])  # number 3 never signs
    with listening(6) as addresses:
        nodes = [
            BftNode(chain, [*addresses[:4], "127.0.0.9:1", addresses[5]], me, [signers[5]]) for me in (0, 1, 2, 3, 5)
        ]
        with ExitStack() as stack:
            urls = [stack.enter_context(serving(node)) for node in nodes]
            found = counted(tmp_path, params_for(urls, window_s=0.05) | {"chain": {"kind": "ethereum"}})
    assert found.gross == 6
    assert found.net == 4
    assert fell(found) == {"CHO-X-SILENT": 1, "CHO-X-OFFLINE": 1}
    assert said(found) == {"CHO-V08": "info"}
    assert {n["key"] for n in found.facts["nodes"]} == {s.address[2:] for s in signers[:6]}


class Garbled(SimulatedNode):
    def on_getSyncStatus(self, _group: str, _node: str) -> Any:
        return "{"


def test_an_answer_that_cannot_be_read(tmp_path: Path, chain: SimulatedChain, signers: list[Signer]) -> None:
    members = [SimulatedMember(signers[0], "127.0.0.1:1")]
    with serving(Garbled(chain, members=members)) as url, pytest.raises(ProbeError) as caught:
        counted(tmp_path, params_for([url]))
    assert caught.value.problem.code == "CHO-E01"
    assert "\n" not in str(caught.value)


# --- evidence that is cut or wrong -----------------------------------------------------------------------------------------


def test_evidence_cut_anywhere_is_invalid_and_never_crashes(chain: SimulatedChain, signers: list[Signer]) -> None:
    members = [SimulatedMember(s, f"10.0.0.{n}:30300") for n, s in enumerate(signers)]
    params = Params.model_validate(params_for(["http://10.0.0.0:1", "http://10.0.0.1:1"]))
    views = []
    for number in range(4):
        node = SimulatedNode(chain, members=members, me=number % 2)
        view = {
            "getSealerList": node.on_getSealerList("", ""), "getObserverList": [], "getPeers": node.on_getPeers(""),
            "getSyncStatus": node.on_getSyncStatus("", ""),
        }  # fmt: skip
        views.append({"round": number // 2, "endpoint": number % 2, "t": 0, "head": chain.height, "view": view})
    top, first = chain.rows[-1]["block"]["hash"], chain.rows[0]["block"]["hash"]
    whole = {
        VIEWS: b"".join(json.dumps(v).encode() + b"\n" for v in views),
        HEADERS: member(lines([{"block": row["block"]} for row in chain.rows])),
        REACH: b"".join(json.dumps({"address": m.address, "reached": True}).encode() + b"\n" for m in members),
        END: End(chain.height, (top, top), (first, first)).line(),
    }
    found = analyse(MemoryEvidence(whole), params, 1)
    assert (found.net, said(found)) == (10, {})
    for name, wrong in (
        (END, End(chain.height, (top,), (first, first)).line()),
        (VIEWS, b"".join(json.dumps(v | {"endpoint": v["endpoint"] + 1}).encode() + b"\n" for v in views)),
        (VIEWS, b'{"round": 1, "view": ' + b"[" * 100_000 + b"\n"),
    ):
        assert codes(analyse(MemoryEvidence({**whole, name: wrong}), params, 1).validity)["CHO-V01"] == "invalid"
    for name, data in whole.items():
        for cut in (None, 0, 1, len(data) // 2, len(data) - 2):
            parts = {k: v for k, v in whole.items() if k != name} | ({} if cut is None else {name: data[:cut]})
            cut_one = analyse(MemoryEvidence(parts), params, 1)
            if name == REACH and cut is not None and cut in (0, len(data) // 2):
                assert cut_one.net < 10, (
                    "whole lines are missing; what is written last is there, so that no run ends like this"
                )
            else:
                assert codes(cut_one.validity)["CHO-V01"] == "invalid", (name, cut)
    assert codes(analyse(MemoryEvidence({}), params, 1).validity)["CHO-V01"] == "invalid"
