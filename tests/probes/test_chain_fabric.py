"""The chain probes on Fabric: peers over real gRPC, honest and lying."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.probes.chain_support import verdict
from tests.probes.fabric_support import CHAINCODE, Network, network, peer, peers_of
from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.channel import BFT
from yanshou.chains.fabric.messages import FILTER, SIGNATURES, raw_block
from yanshou.chains.fabric.simulate import (
    BAD_ENDORSEMENT,
    MVCC_CONFLICT,
    Consenter,
    Invocation,
    Key,
    Org,
    SimulatedMember,
    SimulatedOrderer,
    SimulatedPeer,
    issue,
    serving,
)
from yanshou.chains.protowire import part, without
from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Answer, Audit, Checklist, Count, Limit, Op, Verdict
from yanshou.probes.chain_nodes.reference import listening
from yanshou.probes.chain_records.streams import Outcomes
from yanshou.probes.contract import Probe

DAY_S = 86_400
START_S = 1_735_689_600


def measured(name: str, folder: Path, values: dict[str, Any]) -> Any:
    probe = Probe(name)
    params = probe.params(values)
    return probe.analyse(record(folder, probe.capture, params), params, 1)


def at_least(count: Count, limit: int, unit: str) -> Verdict:
    return verdict(count, Limit(Op.GE, Decimal(limit), unit))


def fell(count: Count) -> dict[str, int]:
    return {code: n for code, n in excluded(count).items() if n}


# --- records ---------------------------------------------------------------------------------------------------------------


def planted(net: Network, valid: int) -> tuple[list[Invocation], dict[str, int]]:
    """`valid` records among transactions that are none, and how many there are for each reason."""
    rng = random.Random(valid)
    good = [net.record(f"文件-{n}".encode(), rng.randbytes(32).hex().encode(), sender=n % 2) for n in range(valid)]
    end = (net.peers[0],)
    groups = {
        "CHR-X-FAILED": [
            net.record(b"late", rng.randbytes(8), code=MVCC_CONFLICT),
            net.record(b"late", rng.randbytes(8), code=BAD_ENDORSEMENT),
        ],
        "CHR-X-DEPLOY": [Invocation(net.clients[0], "_lifecycle", (b"CommitChaincodeDefinition",), end)],
        "CHR-X-SYSTEM": [Invocation(net.clients[0], "cscc", (b"JoinChain",), end)],
        "CHR-X-OTHER": [
            Invocation(net.clients[0], "asset", (b"save", b"1", b"2"), end),
            Invocation(net.clients[0], CHAINCODE, (b"read", b"1"), end),
        ],
        "CHR-X-MALFORMED": [net.record(b"one argument")],
        "CHR-X-EMPTY": [net.record(b"", b"")],
        "CHR-X-CONSTANT": [net.record(b"aaa", b"aa")],
        "CHR-X-DUP": [net.record(*good[3].arguments[1:], sender=1), net.record(*good[4].arguments[1:])],
    }
    mixed = good + [call for group in groups.values() for call in group]
    rng.shuffle(mixed)
    return mixed, {code: len(group) for code, group in groups.items()}


def filled(valid: int = 40, suite: Suite = Suite.SHA256, consensus: str = "etcdraft") -> tuple[Network, dict[str, int]]:
    net = network(suite, consensus)
    calls, why = planted(net, valid)
    signers = (0, 1, 2) if consensus == BFT else (1,)
    for day, at in enumerate(range(0, len(calls), 6), 1):
        net.channel.seal(calls[at : at + 6], START_S + day * DAY_S, signers)
    net.channel.configure(signers=signers)
    net.channel.seal([], START_S + 30 * DAY_S, signers)
    return net, why


def records(net: Network, folder: Path, url: str, *witnesses: str, **changes: Any) -> Count:
    folder.mkdir(exist_ok=True)
    values = {
        "chain": net.chain(folder),
        "endpoint": {"url": url},
        "witnesses": [{"url": w} for w in witnesses],
        "record": {"contracts": [CHAINCODE], "method": "save(file,digest)"},
        **changes,
    }
    found = measured("chain.records", folder, values)
    assert isinstance(found, Count)
    return found


@pytest.mark.parametrize(
    ("suite", "consensus"), [(Suite.SHA256, "etcdraft"), (Suite.SHA256, BFT), (Suite.SM, "etcdraft")]
)
def test_records_are_counted_and_recomputed(tmp_path: Path, suite: Suite, consensus: str) -> None:
    net, why = filled(40, suite, consensus)
    with peers_of(net, ["127.0.0.1:1"] * 4) as (one, two):
        found = records(net, tmp_path, one, two)
    assert found.net == 40
    assert fell(found) == {**why, "CHR-X-SYSTEM": why["CHR-X-SYSTEM"] + 1}, "a configuration among the system's"
    assert found.audit == Audit(40, 40, 40)
    assert (codes(found.validity), found.open) == ({}, ())
    assert found.facts["suites"] == {suite.value: found.facts["blocks"]}
    assert len(found.facts["sample"]["signers"]) == (3 if consensus == BFT else 1)
    assert sum(n for _, n in found.per_day) == 40
    assert {row["address"] for row in found.facts["top_senders"]} == {c.account for c in net.clients}
    assert (at_least(found, 40, "条"), at_least(found, 41, "条")) == (Verdict.PASS, Verdict.FAIL)


def test_records_that_are_events_and_any_call(tmp_path: Path) -> None:
    net = network()
    net.channel.seal([net.record(b"x", bytes([65 + n]), event=("Saved", b"record %d" % n)) for n in range(5)])
    net.channel.seal([net.record(b"x", b"y", event=("Other", b"z")), net.record(b"x", b"z")])
    rule = {"contracts": [CHAINCODE]}
    with peer(net) as url:
        events = records(net, tmp_path / "e", url, record=rule | {"event": "Saved(content)"})
        calls = records(net, tmp_path / "c", url, record=rule)
    assert (events.net, fell(events)) == (5, {"CHR-X-OTHER": 2})
    assert (calls.net, fell(calls)) == (7, {})
    assert codes(events.validity) == {"CHR-V07": "warning"}


class Rewritten(SimulatedPeer):
    """A peer that shows other blocks: by number, what becomes of each."""

    changes: dict[int, Callable[[bytes], bytes]]

    def blocks(self) -> Sequence[bytes]:
        return [self.changes.get(n, lambda b: b)(block) for n, block in enumerate(self.channel.blocks)]


@contextmanager
def rewriting(net: Network, changes: dict[int, Callable[[bytes], bytes]]) -> Iterator[str]:
    lying = Rewritten(net.channel, [SimulatedMember(net.peers[0], "127.0.0.1:1")])
    lying.changes = changes
    with serving(lying) as url:
        yield url


def with_metadata(block: bytes, place: int, value: bytes) -> bytes:
    places = list(raw_block(block).metadata)
    places[place] = value
    return without(block, {3}) + part(3, b"".join(part(1, p) for p in places))


def test_a_wrong_orderer_signature_is_named(tmp_path: Path) -> None:
    """Another block's signature, and one by somebody who orders nothing."""
    net, _ = filled()
    stolen = raw_block(net.channel.blocks[2]).metadata[SIGNATURES]
    with rewriting(net, {3: lambda b: with_metadata(b, SIGNATURES, stolen)}) as url:
        found = records(net, tmp_path / "stolen", url)
    assert found.facts["sample"]["faults"].keys() == {"seals"}
    assert codes(found.validity) == {"CHR-V07": "warning", "CHR-V10": "warning"}
    assert at_least(found, 40, "条") is not Verdict.PASS
    impostor = replace(net.channel.consenters[1], holder=net.clients[0])
    net.channel.consenters = [net.channel.consenters[0], impostor]
    net.channel.seal([net.record(b"made up", b"record")], signers=(1,))
    with peer(net) as url:
        found = records(net, tmp_path / "impostor", url)
    assert found.facts["sample"]["faults"] == {"seals": 1}


def test_a_fork_and_a_changed_block_are_named(tmp_path: Path) -> None:
    net, _ = filled()
    fork, _ = filled()
    with peer(net) as honest, rewriting(net, {4: lambda b: b.replace(b"save", b"sage", 1)}) as url:
        found = records(net, tmp_path / "changed", url, honest)
        assert codes(found.validity)["CHR-V03"] == "invalid"
        assert at_least(found, 40, "条") is Verdict.INVALID
    fork.channel.orgs, fork.channel.ordering = net.channel.orgs, net.channel.ordering
    with peer(net) as one, peer(fork) as two:
        found = records(net, tmp_path / "fork", one, two)
    assert codes(found.validity) == {"CHR-V06": "invalid", "CHR-V15": "invalid"}


def test_a_peer_that_shows_failed_transactions_as_valid_is_found_out_by_a_witness(tmp_path: Path) -> None:
    """Validation codes are in no hash: every other check holds."""
    net, why = filled()
    number = next(n for n, b in enumerate(net.channel.blocks) if n and any(raw_block(b).metadata[FILTER]))
    clean = bytes(len(raw_block(net.channel.blocks[number]).metadata[FILTER]))
    with peer(net) as honest, rewriting(net, {number: lambda b: with_metadata(b, FILTER, clean)}) as lying:
        alone = records(net, tmp_path / "alone", lying)
        found = records(net, tmp_path / "found", lying, honest)
        swapped = records(net, tmp_path / "swapped", honest, lying)
    assert alone.net > 40
    assert codes(alone.validity) == {"CHR-V07": "warning"}, "nobody else was asked"
    for count in (found, swapped):
        assert codes(count.validity) == {"CHR-V15": "invalid"}
        assert "高度 0–" in count.validity[0].text
        assert at_least(count, 40, "条") is Verdict.INVALID
    assert fell(swapped) == {**why, "CHR-X-SYSTEM": why["CHR-X-SYSTEM"] + 1}


def test_which_thousand_blocks_differ_is_told() -> None:
    one, two, shorter = Outcomes(), Outcomes(), Outcomes()
    for n in range(2500):
        one.take(b"%d" % n)
        two.take(b"%d" % (n + (n == 1999)))
        if n < 2000:
            shorter.take(b"%d" % n)
    assert [a == b for a, b in zip(one.digests(), two.digests(), strict=True)] == [True, False, True]
    assert shorter.digests() != one.digests()
    assert len(shorter.digests()) == len(one.digests()) == 3


def test_what_a_witness_said_is_evidence_that_must_be_there(tmp_path: Path) -> None:
    net, _ = filled(12)
    with peer(net) as one, peer(net) as two:
        values = {
            "chain": net.chain(tmp_path), "endpoint": {"url": one}, "witnesses": [{"url": two}],
            "record": {"contracts": [CHAINCODE]},
        }  # fmt: skip
        probe = Probe("chain.records")
        params = probe.params(values)
        evidence = record(tmp_path, probe.capture, params)
    streams = {}
    for name in evidence.streams():
        with evidence.open(name) as f:
            streams[name] = f.read()
    assert codes(probe.analyse(MemoryEvidence(streams), params, 1).validity) == {}
    for broken in ({}, {"outcomes.jsonl": b""}, {"outcomes.jsonl": b"{}\n"}):
        rest = {name: data for name, data in streams.items() if name != "outcomes.jsonl"}
        assert codes(probe.analyse(MemoryEvidence({**rest, **broken}), params, 1).validity)["CHR-V15"] == "invalid"


def test_a_peer_that_boasts_of_more_blocks_is_refused(tmp_path: Path) -> None:
    net, _ = filled()
    with peer(net, boasts=3) as url, pytest.raises(ProbeError, match="Failed to get block number"):
        records(net, tmp_path, url)


def test_records_that_nobody_endorsed_are_not_genuine(tmp_path: Path) -> None:
    """A peer makes up transactions of a member that does not exist, or leaves the endorsement out."""
    net, _ = filled()
    stranger = Org.new("Org1MSP", Suite.SHA256).enrol("stranger")
    made_up = [Invocation(stranger, CHAINCODE, (b"save", b"f", bytes([65 + n]) * 9 + b"x"), ()) for n in range(10)]
    net.channel.seal(made_up, START_S + 31 * DAY_S)
    with peer(net) as url:
        found = records(net, tmp_path, url)
    assert (found.net, found.audit) == (50, Audit(50, 50, 40))
    assert found.facts["sample"]["faults"] == {"genuine": 10}
    assert at_least(found, 50, "条") is Verdict.FAIL


def test_no_key_is_recorded(tmp_path: Path) -> None:
    net, _ = filled(10)
    with peer(net) as url:
        records(net, tmp_path, url)
    secret = net.evaluator.key.private.splitlines()[1]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "member.key"]
    assert files
    assert all(secret not in path.read_bytes() for path in files)


# --- subjects ------------------------------------------------------------------------------------------------------------------


def test_subjects_of_a_channel(tmp_path: Path) -> None:
    from yanshou.probes.chain_subjects.reference import codes as credit_codes
    from yanshou.probes.chain_subjects.reference import table

    net, _ = filled()
    silent = net.channel.orgs[0].enrol("silent")
    known = credit_codes(3)
    rows = [[c.account, known[n], ""] for n, c in enumerate([*net.clients, silent])]
    (tmp_path / "register.csv").write_bytes(table(rows))
    with peer(net) as url:
        rule = {"contracts": [CHAINCODE], "method": "save(file,digest)"}
        inside = {"chain": net.chain(tmp_path), "endpoint": {"url": url}, "record": rule}
        found = measured("chain.subjects", tmp_path, {"records": inside, "subjects": {"file": "register.csv"}})
    assert (found.net, fell(found)) == (2, {"CHS-X-SILENT": 1})
    assert found.audit == Audit(2, 2, 2)


# --- nodes ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def ordering(net: Network, number: int, key: Key, cert: bytes, **lies: Any) -> Iterator[str]:
    """A consenter behind TLS with a certificate; yields its address."""
    holder = net.channel.consenters[number].holder
    orderer = SimulatedOrderer(net.channel, **{"holder": holder, **lies})
    with serving(orderer, grpc.ssl_server_credentials([(key.private, cert)])) as url:
        yield url.removeprefix("grpcs://").replace("127.0.0.1", "localhost")


def grown(consensus: str, addresses: Sequence[str], blocks: int = 45, peers: int = 6, quorum: int = 3) -> Network:
    net = network(consensus=consensus, peers=peers, addresses=addresses)
    for n in range(blocks):
        net.channel.seal([], signers=[(n + i) % 4 for i in range(quorum)] if consensus == BFT else [n % 4])
    return net


def nodes(folder: Path, net: Network, urls: Sequence[str], **changes: Any) -> Count:
    folder.mkdir(exist_ok=True)
    values = {
        "chain": net.chain(folder),
        "endpoints": [{"url": url} for url in urls],
        "window_s": 0.05,
        "node_is": "key",
        **changes,
    }
    found = measured("chain.nodes", folder, values)
    assert isinstance(found, Count)
    return found


def said(count: Count) -> dict[str, str]:
    found = codes(count.validity)
    assert found.pop("CHO-V09") == "info"
    return found


def test_peers_and_bft_consenters_are_nodes(tmp_path: Path) -> None:
    with listening(10) as addresses:
        net = grown(BFT, addresses[6:])
        with peers_of(net, addresses[:6]) as urls:
            found = nodes(tmp_path / "all", net, urls)
            ordering = nodes(tmp_path / "c", net, urls, count="consensus")
            orgs = nodes(tmp_path / "o", net, urls, node_is="operator")
    assert (found.net, fell(found), said(found)) == (10, {}, {})
    assert found.columns == (("共识", 4), ("观察", 6))
    assert (found.facts["hosts"], found.facts["operators"]) == (10, ["OrdererMSP", "Org1MSP", "Org2MSP"])
    assert found.facts["asked"] == [p.key.public.hex() for p in net.peers[:2]]
    assert (ordering.net, fell(ordering)) == (4, {"CHO-X-OBSERVER": 6})
    assert (orgs.net, fell(orgs)) == (3, {"CHO-X-OPERATOR": 7}), "ten nodes of three organisations"
    assert at_least(found, 10, "个") is Verdict.PASS


def test_a_bft_consenter_that_never_signs(tmp_path: Path) -> None:
    with listening(10) as addresses:
        net = network(consensus=BFT, peers=6, addresses=addresses[6:])
        for _ in range(45):
            net.channel.seal([], signers=(0, 1, 2))
        with peers_of(net, addresses[:6]) as urls:
            found = nodes(tmp_path, net, urls)
    assert (found.net, fell(found)) == (9, {"CHO-X-OFFLINE": 1})


def test_raft_consenters_show_their_certificates_and_deliver_their_newest_block(tmp_path: Path) -> None:
    """Of seven one lags, one shows another certificate, one's block is signed by nobody who orders, one is nowhere."""
    net = network(peers=6, orderers=7)
    ca = net.channel.ordering
    keys = [Key.new(Suite.SHA256) for _ in range(7)]
    certs = [issue("localhost", key, f"ca.{ca.name}", ca.ca) for key in keys]
    other = issue("localhost", keys[6], f"ca.{ca.name}", ca.ca)
    with ExitStack() as stack:
        peers = stack.enter_context(listening(6))
        at = [stack.enter_context(ordering(net, n, keys[n], certs[n])) for n in range(3)]
        at.append(stack.enter_context(ordering(net, 3, keys[3], certs[3], lag=9)))
        at.append(stack.enter_context(ordering(net, 4, keys[6], other)))
        at.append(stack.enter_context(ordering(net, 5, keys[5], certs[5], holder=net.clients[0])))
        at.append("localhost:1")
        net.channel.configure(
            [Consenter(c.holder, a, t) for c, a, t in zip(net.channel.consenters, at, certs, strict=True)]
        )
        for n in range(12):
            net.channel.seal([], signers=[n % 7])
        found = nodes(tmp_path, net, stack.enter_context(peers_of(net, peers)))
    assert (found.net, found.columns) == (9, (("共识", 3), ("观察", 6)))
    assert fell(found) == {"CHO-X-LAG": 1, "CHO-X-OFFLINE": 3}
    assert said(found) == {"CHO-V04": "warning", "CHO-V08": "info"}
    assert "没有核对" in next(v.text for v in found.validity if v.code == "CHO-V04")


def test_an_orderer_on_another_chain_is_on_a_fork(tmp_path: Path) -> None:
    net, other = network(orderers=1), network(orderers=1)
    other.channel.orgs, other.channel.ordering = net.channel.orgs, net.channel.ordering
    key, ca = Key.new(Suite.SHA256), net.channel.ordering
    cert = issue("localhost", key, f"ca.{ca.name}", ca.ca)
    holder = net.channel.consenters[0].holder
    with listening(4) as peers, ordering(other, 0, key, cert, holder=holder) as at:
        for channel in (net.channel, other.channel):
            channel.consenters = [Consenter(holder, at, cert)]
            channel.configure()
            channel.seal([])
        with peers_of(net, peers) as urls:
            found = nodes(tmp_path, net, urls)
    assert (found.net, fell(found)) == (4, {"CHO-X-FORK": 1})


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"lag": 4}, "CHO-X-LAG"),
        ({"online": False}, None),
        ({"forged": True}, "CHO-X-OFFLINE"),
        ({"address": "127.0.0.98:1"}, "CHO-X-UNREACHABLE"),
    ],
)
def test_a_peer_that_is_not_what_it_should_be(tmp_path: Path, lie: dict[str, Any], code: str | None) -> None:
    with listening(10) as addresses:
        net = grown(BFT, addresses[6:], blocks=12)
        members = net.members(addresses[:6])
        members[4] = replace(members[4], **lie)
        asked = [SimulatedPeer(net.channel, members, n) for n in (0, 1)]
        with serving(asked[0]) as one, serving(asked[1]) as two:
            found = nodes(tmp_path, net, [one, two])
    assert (found.net, fell(found)) == (9, {code: 1} if code else {})
    assert at_least(found, 10, "个") is Verdict.FAIL


def test_one_peer_alone_and_one_peer_twice_are_no_two(tmp_path: Path) -> None:
    with listening(10) as addresses:
        net = grown(BFT, addresses[6:], blocks=12)
        with peers_of(net, addresses[:6], [0, 0]) as urls:
            found = nodes(tmp_path, net, urls)
    assert (found.net, fell(found)) == (0, {"CHO-X-UNCONFIRMED": 10})
    assert said(found)["CHO-V03"] == "warning"


def test_a_peer_that_speaks_for_another_is_refused(tmp_path: Path) -> None:
    with listening(10) as addresses:
        net = grown(BFT, addresses[6:], blocks=12)
        with (
            peers_of(net, addresses[:6], [0]) as (one,),
            peers_of(net, addresses[:6], [1], speaks_for=net.peers[2]) as (two,),
            pytest.raises(ProbeError, match="not signed by a peer") as caught,
        ):
            nodes(tmp_path, net, [one, two])
    assert caught.value.problem.code == "CHO-E01"


def test_peers_on_one_host_are_undecided_unless_the_commitment_says_what_a_node_is(tmp_path: Path) -> None:
    with listening(1) as (address,):
        net = grown(BFT, [address] * 4, blocks=12)
        with peers_of(net, [address] * 6) as urls:
            found = nodes(tmp_path / "n", net, urls, node_is=None)
            hosts = nodes(tmp_path / "h", net, urls, node_is="host")
    assert (found.net, [reason.code for reason in found.open]) == (10, ["keys_share_hosts"])
    assert at_least(found, 10, "个") is Verdict.INCONCLUSIVE
    assert (hosts.net, fell(hosts)) == (1, {"CHO-X-HOST": 9})


def test_a_peer_on_a_fork_is_no_witness(tmp_path: Path) -> None:
    with listening(10) as addresses:
        net = grown(BFT, addresses[6:], blocks=12)
        fork = network(consensus=BFT, peers=6, addresses=addresses[6:])
        fork.channel.orgs, fork.channel.ordering, fork.peers = net.channel.orgs, net.channel.ordering, net.peers
        fork.channel.consenters = net.channel.consenters
        fork.channel.blocks.clear()
        fork.channel.configs.clear()
        fork.channel.configure()
        for _ in range(12):
            fork.channel.seal([], signers=(0, 1, 2))
        with peers_of(net, addresses[:6], [0]) as (one,), peers_of(fork, addresses[:6], [1]) as (two,):
            found = nodes(tmp_path, net, [one, two])
    assert found.net == 0
    assert "CHO-X-UNCONFIRMED" in fell(found)


def test_peers_behind_tls_answer_whoever_shows_a_certificate(tmp_path: Path) -> None:
    """Discovery takes the question only with the digest of the very certificate of the connection."""
    net = network()
    net.channel.seal([])
    key, client = Key.new(Suite.SHA256), Key.new(Suite.SHA256)
    ca = issue("peer0", key, "peer0", key)
    shown = issue("evaluator", client, "evaluator", client)
    for name, data in (("ca.pem", ca), ("tls.pem", shown), ("tls.key", client.private)):
        (tmp_path / name).write_bytes(data)
    credentials = grpc.ssl_server_credentials([(key.private, ca)], shown, require_client_auth=True)
    digest = Suite.SHA256.hash(ssl.PEM_cert_to_DER_cert(shown.decode()))
    member = SimulatedMember(net.peers[0], "127.0.0.1:1")
    values = {
        "chain": net.chain(tmp_path), "window_s": 0.05,
        "endpoints": [{"ca": "ca.pem", "cert": "tls.pem", "key": "tls.key", "name": "peer0"}],
    }  # fmt: skip
    for wants, taken in ((digest, True), (b"\1" * 32, False)):
        with serving(SimulatedPeer(net.channel, [member], wants=wants), credentials) as url:
            values["endpoints"][0]["url"] = url
            folder = tmp_path / str(taken)
            folder.mkdir()
            for name in ("ca.pem", "tls.pem", "tls.key", "member.pem", "member.key"):
                (folder / name).write_bytes((tmp_path / name).read_bytes())
            if taken:
                assert measured("chain.nodes", folder, values).facts["asked"] == [net.peers[0].key.public.hex()]
            else:
                with pytest.raises(ProbeError, match="access denied"):
                    measured("chain.nodes", folder, values)


# --- 国密 ----------------------------------------------------------------------------------------------------------------------


def inspected(net: Network, folder: Path) -> Checklist:
    with peer(net) as url:
        found = measured("chain.crypto", folder, {"chain": net.chain(folder), "endpoint": {"url": url}})
    assert isinstance(found, Checklist)
    return found


def answers(found: Checklist) -> dict[str, Answer]:
    return {item.id: item.answer for item in found.items}


def observed(found: Checklist, id_: str) -> str:
    return next(item.observed for item in found.items if item.id == id_)


YES = dict.fromkeys(("G01", "G02", "G03"), Answer.YES)


@pytest.mark.parametrize("consensus", ["etcdraft", BFT])
def test_a_fork_with_sm2_identities_is_proven(tmp_path: Path, consensus: str) -> None:
    net = network(Suite.SM, consensus)
    for n in range(6):
        net.channel.seal(
            [net.record(b"f", bytes([65 + n]))],
            signers=[(n + i) % 4 for i in range(3)] if consensus == BFT else [n % 4],
        )
    found = inspected(net, tmp_path)
    assert (answers(found), found.validity) == (YES, ())
    assert found.facts["claims_sm"] is True
    assert verdict(found, Limit(Op.EQ, True, "bool")) is Verdict.PASS


def test_fabric_as_it_comes_is_not_sm(tmp_path: Path) -> None:
    net = network()
    net.channel.seal([net.record(b"f", b"A")])
    found = inspected(net, tmp_path)
    assert answers(found) == dict.fromkeys(YES, Answer.NO)
    assert "SHA-256" in observed(found, "G01")
    assert "ECDSA P-256" in observed(found, "G02")
    assert found.facts["claims_sm"] is False
    assert verdict(found, Limit(Op.EQ, True, "bool")) is Verdict.FAIL


def test_sm3_hashes_with_ecdsa_orderers_are_not_sm(tmp_path: Path) -> None:
    """A channel that hashes with SM3 and whose orderers sign with ECDSA."""
    net = network(Suite.SM)
    net.channel.ordering = Org.new("OrdererMSP", Suite.SHA256)
    net.channel.consenters = [replace(c, holder=net.channel.ordering.enrol("o")) for c in net.channel.consenters]
    net.channel.blocks.clear()
    net.channel.configs.clear()
    net.channel.configure()
    net.channel.seal([net.record(b"f", b"A")])
    found = inspected(net, tmp_path)
    assert answers(found) == YES | {"G02": Answer.NO}
    assert observed(found, "G02") == "高度 1 的签名成立，但不是 SM2"
