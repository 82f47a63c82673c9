"""Fabric: a block of a real chain, made-up channels, and what peers are asked."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.probes.fabric_support import CHAINCODE, Network, network, peer, peers_of
from yanshou.chains import reader
from yanshou.chains.certificates import certificate
from yanshou.chains.connect import connect
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric import blocks as fabric
from yanshou.chains.fabric.channel import BFT, RAFT, excerpt, named_key
from yanshou.chains.fabric.messages import FILTER, SIGNATURES, actions, envelope, packed, raw_block, unpacked
from yanshou.chains.fabric.simulate import (
    BAD_ENDORSEMENT,
    MVCC_CONFLICT,
    Invocation,
    Org,
    SimulatedMember,
    SimulatedPeer,
    serving,
)
from yanshou.chains.model import MALFORMED, Call
from yanshou.chains.protowire import Message, part, without
from yanshou.chains.rpc import Asks
from yanshou.chains.spec import Chain, Endpoint
from yanshou.harness.basics import ProbeError

REAL = json.loads((Path(__file__).parents[1] / "golden/fabric_block.json").read_text(encoding="utf-8"))["block"]


# --- a block of a real chain ---------------------------------------------------------------------------------------------


def issuer_keys(pem: bytes) -> list[str]:
    """The keys that may have signed a certificate, of which the one whose digest the certificate itself names.

    The block has no certificates of CAs; from an ECDSA signature two keys can be computed (SEC 1, 4.1.6), and cryptogen's
    certificates hold the SHA-256 of their issuer's point.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    g = (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    )

    def add(one: Any, two: Any) -> Any:
        if one is None or two is None:
            return one or two
        if one[0] == two[0] and (one[1] + two[1]) % p == 0:
            return None
        slope = (
            (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, p)
            if one == two
            else (two[1] - one[1]) * pow(two[0] - one[0], -1, p)
        )
        x = (slope**2 - one[0] - two[0]) % p
        return x, (slope * (one[0] - x) - one[1]) % p

    def times(k: int, point: Any) -> Any:
        total = None
        while k:
            total, point, k = (add(total, point) if k & 1 else total), add(point, point), k >> 1
        return total

    cert = x509.load_pem_x509_certificate(pem)
    r, s = decode_dss_signature(cert.signature)
    z = int.from_bytes(hashlib.sha256(cert.tbs_certificate_bytes).digest(), "big")
    y = pow(r**3 - 3 * r + b, (p + 1) // 4, p)
    named = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    found = []
    for candidate in (y, p - y):
        point = times(pow(r, -1, n), add(times(s, (r, candidate)), times(-z % n, g)))
        raw = point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")
        if hashlib.sha256(b"\4" + raw).digest() == named:
            found.append(named_key(Suite.SHA256, raw))
    return found


@pytest.fixture(scope="module")
def real() -> Any:
    """The row of the real block, with the CAs that its certificates lead to."""
    raw = raw_block(unpacked(REAL))
    e = envelope(raw.envelopes[0])
    (action,) = actions(e.body)
    orderer = Message(raw.signatures.messages(2)[0].blob(1)).blob(1)
    members = [e.creator, orderer, *(who for who, _ in action.endorsements)]
    authorities = {Message(m).text(1): issuer_keys(Message(m).blob(2)) for m in members}
    assert all(len(keys) == 1 for keys in authorities.values())
    config = {"number": 2, "type": "solo", "consenters": [], "authorities": authorities, "orderers": ["OrdererMSP"]}
    return {"block": REAL, "config": config}


def test_a_block_of_a_real_chain_holds(real: Any) -> None:
    assert fabric.suite(real) is Suite.SHA256
    proof = fabric.prove(real, [0])
    assert (proof.header, proof.root, proof.receipts, proof.genuine, proof.mixed) == (
        True,
        True,
        None,
        {0: True},
        set(),
    )
    assert (len(proof.seals.signed), proof.seals.wrong, proof.seals.enough) == (1, 0, True)
    assert (proof.seals.each_signs, proof.seals.mixed) == (False, 0)
    block = fabric.block(real)
    (t,) = block.transactions
    assert (block.number, block.time_s, t.succeeded, t.to) == (5, 1608720899, True, "")
    assert t.hash == "0x361fcfaeb438fda3fc300d160884f0ebb8b612715dcd9a75cc87adedc49baea0"
    assert t.call is not None
    assert (t.call.method, t.call.arguments[0]) == ("deploy", ("", b"mychannel"))
    assert len(raw_block(unpacked(REAL)).parent) == 32
    assert raw_block(unpacked(REAL)).last_config == 2


@pytest.mark.parametrize("org", ["Org1MSP", "Org2MSP"])
def test_an_endorser_or_client_of_no_organisation_makes_a_transaction_false(real: Any, org: str) -> None:
    row = copy.deepcopy(real)
    del row["config"]["authorities"][org]
    assert fabric.prove(row, [0]).genuine == {0: False}
    assert fabric.prove(row, [0]).seals.enough


def test_an_orderer_of_another_organisation_does_not_seal(real: Any) -> None:
    for change in ({"orderers": ["Org1MSP"]}, {"authorities": {}}, {"number": 3}):
        seals = fabric.seals({**real, "config": real["config"] | change})
        assert (seals.signed, seals.wrong, seals.enough) == ((), 1, False)


def test_every_byte_of_a_real_block_counts(real: Any) -> None:
    """A changed byte of data moves the data's digest; one of the header, the signature; one of an envelope, also its proof."""
    data = unpacked(REAL)
    at = data.index(b"sacc")
    moved = {"block": packed(data[:at] + b"saco" + data[at + 4 :]), "config": real["config"]}
    assert fabric.suite(moved) is None
    assert fabric.prove(moved, [0]).genuine == {0: False}
    block = Message(data)
    header = without(block.blob(1), {2}) + part(2, b"\1" * 32)
    other = {**real, "block": packed(part(1, header) + without(data, {1}))}
    assert fabric.suite(other) is Suite.SHA256
    assert fabric.seals(other).wrong == 1


def test_any_flipped_byte_of_header_or_data_is_seen(real: Any) -> None:
    """And none makes the reader do anything but refuse."""
    data, rng = unpacked(REAL), random.Random(7)
    covered = len(data) - len(part(3, Message(data).blob(3)))
    for at in rng.sample(range(covered), 250):
        flipped = bytearray(data)
        flipped[at] ^= 1 << rng.randrange(8)
        row = {**real, "block": packed(bytes(flipped))}
        try:
            proof = fabric.prove(row, [0])
            fabric.block(row)
        except MALFORMED:
            continue
        assert not (proof.header and proof.root and proof.genuine[0] and proof.seals.enough), at


# --- made-up channels ------------------------------------------------------------------------------------------------------


def rows_of(net: Network) -> list[Any]:
    """What a peer would be asked for, without asking."""
    rows: list[Any] = []
    configs = {n: excerpt(net.channel.blocks[n]) for n in net.channel.configs}
    for number, block in enumerate(net.channel.blocks):
        before = [n for n in configs if n < number]
        rows.append({"block": packed(block)} | ({"config": configs[max(before)]} if before else {}))
    return rows


def kinds() -> list[Any]:
    return [
        pytest.param(suite, consensus, id=f"{suite}-{consensus}")
        for suite in fabric.SUITES
        for consensus in (RAFT, BFT)
    ]


@pytest.mark.parametrize(("suite", "consensus"), kinds())
def test_a_made_up_channel_holds(suite: Suite, consensus: str) -> None:
    net = network(suite, consensus)
    signers = range(3) if consensus == BFT else [2]
    net.channel.seal([net.record(b"a", bytes([n])) for n in range(3)], signers=signers)
    net.channel.configure(signers=signers)
    net.channel.seal([net.record(b"b")], signers=signers)
    rows = rows_of(net)
    links = [fabric.link(row) for row in rows]
    assert [link.parent for link in links] == ["", *(link.hash for link in links[:-1])]
    assert {fabric.suite(row) for row in rows} == {suite}
    assert fabric.seals(rows[0]).sealers == {}
    for row in rows[1:]:
        seals = fabric.seals(row)
        assert (len(seals.signed), seals.wrong, seals.mixed, seals.enough) == (len(signers), 0, 0, True)
        assert (seals.quorum, seals.each_signs) == ((3, True) if consensus == BFT else (1, False))
    proof = fabric.prove(rows[1], [0, 2])
    assert (proof.header, proof.root, proof.genuine, proof.mixed) == (True, True, {0: True, 2: True}, frozenset())
    (t, *_) = fabric.block(rows[1]).transactions
    assert (t.to, t.call) == (CHAINCODE, Call("save", (("", b"a"), ("", b"\0"))))
    assert t.sender == net.clients[0].account == suite.address(net.clients[0].key.public)
    assert [fabric.is_system(t.to) for t in fabric.block(rows[2]).transactions] == [True]


def test_what_is_counted_as_what() -> None:
    net = network()
    ends = (net.peers[0],)
    calls = [
        net.record(b"x", event=("Saved", b"payload")),
        net.record(b"x", code=MVCC_CONFLICT),
        Invocation(net.clients[0], "_lifecycle", (b"CommitChaincodeDefinition", b"x"), ends),
        Invocation(net.clients[0], "lscc", (b"upgrade", b"mychannel"), ends),
        Invocation(net.clients[0], "lscc", (b"getccdata",), ends),
        Invocation(net.clients[1], "other", (), ends),
    ]
    net.channel.seal(calls)
    found = fabric.block(rows_of(net)[1]).transactions
    assert [t.to for t in found] == [CHAINCODE, CHAINCODE, "", "", "lscc", "other"]
    assert [t.succeeded for t in found] == [True, False, True, True, True, True]
    (log,) = found[0].logs
    assert (log.address, log.topics, log.values) == (CHAINCODE, ("Saved",), (b"payload",))
    assert found[5].call == Call("", ())
    assert [fabric.is_system(t.to) for t in found] == [False, False, False, False, True, False]


def changed(net: Network, number: int, place: int, value: bytes) -> Any:
    """The row of a block with other bytes at a place of its metadata."""
    row = rows_of(net)[number]
    data = unpacked(row["block"])
    places = list(raw_block(data).metadata)
    places[place] = value
    return {**row, "block": packed(without(data, {3}) + part(3, b"".join(part(1, p) for p in places)))}


@pytest.mark.parametrize("codes", [b"", b"\0", b"\0\0\0"])
def test_validation_codes_that_do_not_match_are_refused(codes: bytes) -> None:
    """A code that is missing is never taken for valid."""
    net = network()
    net.channel.seal([net.record(b"1"), net.record(b"2")])
    with pytest.raises(ValueError, match="validation codes"):
        fabric.block(changed(net, 1, FILTER, codes))


def test_an_invalid_envelope_may_be_anything_and_a_valid_one_may_not() -> None:
    net = network()
    net.channel._append([b"\xff junk"], bytes([BAD_ENDORSEMENT]), (0,))
    (t,) = fabric.block(rows_of(net)[1]).transactions
    assert (t.succeeded, t.to, t.input) == (False, "(unreadable)", b"\xff junk")
    assert fabric.prove(rows_of(net)[1], [0]).genuine == {0: False}
    net.channel._append([b"\xff junk"], b"\0", (0,))
    with pytest.raises(ValueError, match="cannot be read"):
        fabric.block(rows_of(net)[2])


def test_signatures_that_do_not_hold() -> None:
    net, bft = network(), network(consensus=BFT)
    for n in range(3):
        net.channel.seal([net.record(bytes([n]))])
        bft.channel.seal([bft.record(bytes([n]))], signers=(0, 1, 2))
    stolen = changed(net, 3, SIGNATURES, raw_block(net.channel.blocks[2]).metadata[SIGNATURES])
    assert (fabric.seals(stolen).wrong, fabric.seals(stolen).enough) == (1, False)
    bare = changed(net, 3, SIGNATURES, part(1, part(1, b"")))
    seals = fabric.seals(bare)
    assert (seals.wrong, seals.enough, bool(seals.sealers)) == (0, False, True), "no signature is not no matter"
    few = network(consensus=BFT)
    few.channel.seal([few.record(b"1")], signers=(0, 1))
    assert not fabric.seals(rows_of(few)[1]).enough
    few.channel.seal([few.record(b"1")], signers=(0, 0, 0))
    assert not fabric.seals(rows_of(few)[2]).enough
    row = {**rows_of(bft)[2], "config": excerpt(network(consensus=BFT).channel.blocks[0])}
    assert (fabric.seals(row).signed, fabric.seals(row).wrong) == ((), 3)


def test_another_configuration_than_the_orderers_state_verifies_nothing() -> None:
    net = network()
    net.channel.seal([net.record(b"1")])
    net.channel.configure()
    net.channel.seal([net.record(b"2")])
    rows = rows_of(net)
    assert [fabric.seals(row).enough for row in rows[1:]] == [True, True, True]
    rows[3]["config"] = rows[1]["config"]
    assert fabric.seals(rows[3]).wrong == 1


def test_a_new_consenter_set_is_signed_by_the_old_and_signs_after() -> None:
    net = network(consensus=BFT)
    fresh = [net.channel.ordering.enrol(f"new{n}") for n in range(3)]
    old = list(net.channel.consenters)
    now = [*old, *(type(old[0])(holder, f"127.0.0.1:{90 + n}") for n, holder in enumerate(fresh))]
    net.channel.configure(now, signers=(0, 1, 2))
    net.channel.seal([net.record(b"1")], signers=(0, 1, 2, 4, 6))
    one, two = (fabric.seals(row) for row in rows_of(net)[1:])
    assert (len(one.sealers), one.quorum, one.enough) == (4, 3, True)
    assert (len(two.sealers), two.quorum, two.enough) == (7, 5, True)


@pytest.mark.parametrize(("consenters", "quorum"), [(1, 1), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (10, 7), (12, 8)])
def test_quorums_of_smartbft(consenters: int, quorum: int) -> None:
    assert fabric.bft_quorum(consenters) == quorum


def edited(row: Any, change: Callable[[bytes], bytes]) -> Any:
    """A row whose first envelope is another, its data digest and parents left as they were."""
    data = unpacked(row["block"])
    raw = raw_block(data)
    envelopes = [change(raw.envelopes[0]), *raw.envelopes[1:]]
    return {**row, "block": packed(without(data, {2}) + part(2, b"".join(part(1, e) for e in envelopes)))}


def test_a_transaction_that_somebody_touched_is_not_genuine() -> None:
    net = network()
    stranger = Org.new("Org1MSP", Suite.SHA256).enrol("stranger")
    net.channel.seal([net.record(b"payload-of-record"), net.record(b"2", endorsers=())])
    net.channel.seal([Invocation(stranger, CHAINCODE, (b"save", b"1"), (net.peers[0],))])
    net.channel.seal([net.record(b"1", endorsers=(net.peers[0], stranger))])
    rows = rows_of(net)
    assert fabric.prove(rows[1], [0, 1]).genuine == {0: True, 1: False}, "nobody endorsed the second"
    assert fabric.prove(rows[2], [0]).genuine == {0: False}, "a certificate of a CA that the channel does not have"
    assert fabric.prove(rows[3], [0]).genuine == {0: False}
    touched = edited(rows[1], lambda e: e.replace(b"payload-of-record", b"payload-of-recore"))
    proof = fabric.prove(touched, [0])
    assert (proof.header, proof.root, proof.genuine) == (False, False, {0: False})


@pytest.mark.parametrize(
    "row",
    [
        None, {}, {"block": None}, {"block": "AA=="}, {"block": "not base64"}, {"block": packed(part(1, b"\xff"))},
        {"block": packed(part(1, part(2, b"x"))), "config": {}}, {"block": 5},
    ],
)  # fmt: skip
def test_junk_is_malformed(row: Any) -> None:
    def read() -> None:
        fabric.block(row)
        fabric.prove(row, [0])

    with pytest.raises(MALFORMED):
        read()


def test_a_fork_with_other_hashes_than_signatures_is_mixed() -> None:
    """SHA-256 hashes and SM2 signatures: both are told for what they are."""
    net = network(Suite.SM)
    net.channel.suite = Suite.SHA256
    net.channel.blocks.clear()
    net.channel.configs.clear()
    net.channel.configure()
    net.channel.seal([net.record(b"1")])
    row = rows_of(net)[1]
    proof = fabric.prove(row, [0])
    assert fabric.suite(row) is Suite.SHA256
    assert (proof.genuine, proof.seals.enough, proof.seals.mixed) == ({0: True}, True, 1)


# --- asking a peer -----------------------------------------------------------------------------------------------------------


def ask(net: Network, folder: Path, url: str, use: Callable[[Asks], Any], **changes: Any) -> Any:
    chain = Chain.model_validate(net.chain(folder) | changes)
    with connect(chain, Endpoint(url=url), folder) as asks:
        return use(asks)


@pytest.mark.parametrize("suite", fabric.SUITES)
def test_a_peer_is_asked_as_members_ask(tmp_path: Path, suite: Suite) -> None:
    """Low-S signatures, fresh nonces, identifiers by the channel's hash: the peer refuses anything else."""
    net = network(suite)
    for n in range(12):
        net.channel.seal([net.record(bytes([n]))])
    net.channel.configure()
    net.channel.seal([net.record(b"x")])

    def use(asks: Asks) -> Any:
        return (
            asks.head(),
            asks.rows(range(15)),
            asks.headers(range(13, 15)),
            asks.hash_at(3),
            asks.hash_at(99),
            asks.about(),
        )

    with peer(net) as url:
        head, rows, headers, third, none, about = ask(net, tmp_path, url, use)
    assert head == 14
    assert rows == rows_of(net)
    assert headers == rows[13:]
    assert (third, none) == (fabric.link(rows[3]).hash, None)
    assert fabric.claims_sm(about) is (suite is Suite.SM)
    assert reader("fabric").counter(None) is None
    assert b"PRIVATE" not in json.dumps([rows, about]).encode()


def test_what_a_peer_refuses_is_said(tmp_path: Path) -> None:
    net, foreign = network(), network()
    net.channel.seal([net.record(b"1")])
    with peer(net, boasts=5) as url:
        with pytest.raises(ProbeError, match="Failed to get block number 2") as caught:
            ask(net, tmp_path, url, lambda asks: asks.rows(range(0, 3)))
        assert caught.value.problem.code == "CHN-E03"
        with pytest.raises(ProbeError, match="access denied"):
            ask(foreign, tmp_path, url, lambda asks: asks.head())
        with pytest.raises(ProbeError, match="Invalid chain ID"):
            ask(net, tmp_path, url, lambda asks: asks.head(), group="other")
        with pytest.raises(ProbeError, match="通道名") as caught:
            ask(net, tmp_path, url, lambda asks: asks.head(), group="")
        assert caught.value.problem.code == "CHN-E05"
    (tmp_path / "p384.pem").write_bytes(p384_certificate())
    member = net.chain(tmp_path)["member"] | {"cert": "p384.pem"}
    with peer(net) as url, pytest.raises(ProbeError, match="P-256") as caught:
        ask(net, tmp_path, url, lambda asks: asks.head(), member=member)
    assert caught.value.problem.code == "CHN-E04"


def p384_certificate() -> bytes:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP384R1()), x509.Name([])
    day = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + datetime.timedelta(days=9000))
    return builder.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)


def test_a_peer_that_answers_for_another_is_not_read(tmp_path: Path) -> None:
    net = network()
    net.channel.seal([net.record(b"1")])
    with peers_of(net, ["127.0.0.1:1"] * 4, [0], speaks_for=net.peers[1]) as (url,):
        answer = ask(net, tmp_path, url, lambda asks: asks.view())
    with pytest.raises(ValueError, match="not signed by a peer"):
        fabric.view(answer)
    with peers_of(net, ["127.0.0.1:1"] * 4, [0]) as (url,):
        one, two = ask(net, tmp_path, url, lambda asks: (asks.view(), asks.view()))
    assert fabric.view(one).me == net.peers[0].key.public.hex()
    with pytest.raises(ValueError, match="another question"):
        fabric.view(one | {"info": two["info"]})
    with pytest.raises(ValueError, match="another newest block"):
        fabric.view(one | {"head": one["head"] | {"hash": "0x" + "ab" * 32}})


class Nonsense(SimulatedPeer):
    """A peer that gives something else than blocks, or something else than an answer."""

    junk = b"\xff\xff"
    whole = False

    def process(self, request: bytes) -> bytes:
        return self.junk if self.whole else super().process(request)

    def blocks(self) -> list[bytes]:
        return [self.channel.blocks[0], self.junk, self.channel.blocks[2]]


@pytest.mark.parametrize("whole", [False, True])
def test_nonsense_is_refused_in_one_line(tmp_path: Path, whole: bool) -> None:
    net = network()
    for n in range(2):
        net.channel.seal([net.record(bytes([n]))])
    node = Nonsense(net.channel, [SimulatedMember(net.peers[0], "127.0.0.1:1")])
    node.whole = whole
    for use in (lambda asks: asks.rows(range(3)), lambda asks: asks.hash_at(1)):
        with serving(node) as url, pytest.raises(ProbeError, match="Fabric peer") as caught:
            ask(net, tmp_path, url, use)
        assert caught.value.problem.code == "CHN-E02"
        assert "\n" not in str(caught.value)


def test_certificates_that_are_none() -> None:
    for junk in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", p384_certificate()):
        with pytest.raises(ValueError, match=r".*"):
            certificate(junk)
