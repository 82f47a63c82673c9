"""A Fabric peer's answers -> blocks, and what of them holds by SHA-256 and ECDSA, or by SM3 and SM2. Pure.

Sources: Fabric's protoutil/blockutils.go (hashes, what orderers sign), txutils.go and proputils.go (what clients and endorsers
sign, transaction identifiers), validation codes of fabric-protos, gossip (what peers sign of themselves). Checked against a block
of a real chain (Fabric 1.4) by the tests. A block's hash stands nowhere in it: which hash a chain uses is told by the digest of its
data. Validation codes are the peer's own word: neither hash nor signature covers them.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

from yanshou.chains.certificates import Key, certificate
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.channel import BFT, Identity, excerpt, hash_names, identity, named_key, parsed_key
from yanshou.chains.fabric.messages import (
    ENDORSED,
    FILTER,
    MESSAGE_OF_CONFIG,
    Action,
    Envelope,
    RawBlock,
    actions,
    envelope,
    raw_block,
    unpacked,
)
from yanshou.chains.model import Block, Call, Counter, Link, Log, Member, Proof, Seals, Transaction, View
from yanshou.chains.protowire import Message
from yanshou.harness.basics import Json

SUITES = (Suite.SHA256, Suite.SM)
VALID = 0
CONFIGURATION = "(config)"
"""Whom a channel's configuration goes to."""
LIFECYCLE = "_lifecycle"
SYSTEM = frozenset({CONFIGURATION, LIFECYCLE, "lscc", "cscc", "qscc", "escc", "vscc"})
DEPLOYS = frozenset({b"deploy", b"upgrade", b"install"})
UNREADABLE = "(unreadable)"


def block(row: Json) -> Block:
    """See `Reads`. A block has no time of its own: it is the median of its envelopes' times, which their senders wrote.

    The first block is the channel's own beginning, which nobody sent: it has no transactions.
    """
    raw = _raw(row)
    at = _link(raw)
    codes = raw.metadata[FILTER]
    if not raw.number:
        return Block(0, at.hash, "", _transaction(raw.envelopes[0], VALID)[0], ())
    if len(codes) != len(raw.envelopes):
        raise ValueError("validation codes do not match the envelopes")
    found = [_transaction(data, code) for data, code in zip(raw.envelopes, codes, strict=True)]
    times = [time_s for time_s, _ in found if time_s]
    when = statistics.median_low(times) if times else 0
    return Block(at.number, at.hash, at.parent, when, tuple(t for _, t in found))


def link(row: Json) -> Link:
    """See `Reads`."""
    return _link(_raw(row))


def suite(row: Json) -> Suite | None:
    """See `Reads`: the hash by which the header has its data. The whole block must be there."""
    return _suite(_raw(row))


def _raw(row: Json) -> RawBlock:
    return raw_block(unpacked(row["block"]))


def _suite(raw: RawBlock) -> Suite | None:
    data = b"".join(raw.envelopes)
    return next((s for s in SUITES if s.hash(data) == raw.data_hash), None)


def _link(raw: RawBlock) -> Link:
    digest = (_suite(raw) or Suite.SHA256).hash(raw.header)
    return Link(raw.number, "0x" + digest.hex(), "0x" + raw.parent.hex() if raw.number else "")


# --- transactions --------------------------------------------------------------------------------------------------------


def _transaction(data: bytes, code: int) -> tuple[int, Transaction]:
    """Its sender's time (0 for none), and the transaction. What is invalid may be anything; what is valid must be readable."""
    try:
        return _readable(envelope(data), code == VALID)
    except (ValueError, IndexError, StopIteration):
        if code == VALID:
            raise ValueError("a valid transaction that cannot be read") from None
        return 0, Transaction("0x" + Suite.SHA256.hash(data).hex(), _account(b""), UNREADABLE, data, False, ())


def _readable(e: Envelope, valid: bool) -> tuple[int, Transaction]:
    header = Message(e.channel_header)
    time_s, kind = header.message(3).signed(1), header.number(1)
    name = header.text(5) or Suite.SHA256.hash(e.payload).hex()
    if kind != ENDORSED:
        whom = CONFIGURATION if kind == MESSAGE_OF_CONFIG else UNREADABLE
        return time_s, Transaction("0x" + name.lower(), _account(e.creator), whom, e.body, valid, ())
    action = next(actions(e.body))
    contract, arguments = action.called
    function = arguments[0] if arguments else b""
    if contract == LIFECYCLE or (contract == "lscc" and function in DEPLOYS):
        contract = ""
    call = Call(function.decode("utf-8", "replace"), tuple(("", value) for value in arguments[1:]))
    event = Message(action.outcome.blob(2))
    logs = (Log(event.text(1), (event.text(3),), event.blob(4), (event.blob(4),)),) if event.text(3) else ()
    sent = b"\0".join(arguments)
    return time_s, Transaction("0x" + name.lower(), _account(e.creator), contract, sent, valid, logs, call)


@lru_cache(maxsize=4096)
def _account(creator: bytes) -> str:
    """The account of an identity: that of its certificate's key by its own suite; of the identity itself where that has none."""
    try:
        found = certificate(Message(creator).blob(2))
    except ValueError:
        return "0x" + Suite.SHA256.hash(creator)[-20:].hex()
    return found.key.suite.address(found.key.point)


def is_system(address: str) -> bool:
    """See `Reads`: chaincodes of the peer itself, and the channel's configuration."""
    return address in SYSTEM


def counter(_answer: Json) -> Counter | None:
    """See `Reads`: peers count blocks, and no transactions."""
    return None


def claims_sm(about: Json) -> bool | None:
    """See `Reads`: a channel's configuration names its hashes."""
    names = hash_names(unpacked(about["config"]))
    return any("SM3" in name.upper() for name in names) if names else None


# --- what holds ----------------------------------------------------------------------------------------------------------


def prove(row: Json, indices: Collection[int]) -> Proof:
    """See `Reads`. Raises UserError where 国密 needs a library that is not installed.

    A transaction is genuine when its identifier follows from nonce and creator, the creator's certificate is of an organisation
    of the channel and signed it, and every endorsement, of which there is one at least, is signed over what it says came of it.
    """
    raw = _raw(row)
    found = _suite(raw)
    judged = {i: _genuine(raw.envelopes[i], row.get("config")) for i in indices}
    return Proof(
        found is not None,
        found is not None,
        None,
        {i: made is not None for i, made in judged.items()},
        seals(row),
        frozenset(i for i, made in judged.items() if made is not None and made is not (found or Suite.SHA256)),
    )


def _genuine(data: bytes, config: Json) -> Suite | None:
    """What a transaction is hashed and signed with; None where it does not hold. Mixed ones are not 国密."""
    if config is None:
        return None
    try:
        e = envelope(data)
        kind, name = Message(e.channel_header).number(1), Message(e.channel_header).text(5)
        creator, nonce = identity(e.creator, config), Message(e.signature_header).blob(2)
        if creator is None or not creator.signed(e.payload, e.signature):
            return None
        if kind == MESSAGE_OF_CONFIG:  # an orderer's envelope, without an identifier of its own
            return creator.suite
        hashed = next((s for s in SUITES if s.hash(nonce + e.creator).hex() == name), None)
        (action,) = actions(e.body)
        endorsers = _endorsers(e, action, config)
    except (ValueError, IndexError):
        return None
    if kind != ENDORSED or hashed is None or not endorsers:
        return None
    return Suite.SM if {hashed, creator.suite, *endorsers} == {Suite.SM} else Suite.SHA256


def _endorsers(e: Envelope, action: Action, config: Json) -> list[Suite]:
    """What each endorser signs with; none where one does not hold, or the action is not the sender's."""
    written = e.channel_header + e.signature_header + action.proposal
    stated = Message(action.response).blob(1)
    if action.header != e.signature_header or all(s.hash(written) != stated for s in SUITES):
        return []
    found = [(identity(who, config), action.response + who, signature) for who, signature in action.endorsements]
    held = [who.suite for who, said, signature in found if who and who.signed(said, signature)]
    return held if len(held) == len(found) else []


def seals(row: Json) -> Seals:
    """See `Reads`. Under BFT the channel's consenters, of whom a quorum must have signed; else whoever of the ordering
    organisations signed, of whom one is enough: each orderer signs its own copy of a block, so that a peer's copy has the
    signature of the one that it was fetched from, and says nothing of the others.
    """
    raw, config = _raw(row), row.get("config")
    if not raw.number:
        return Seals()
    if config is None:
        raise ValueError("no configuration beside the block")
    signatures, found = raw.signatures, _suite(raw) or Suite.SHA256
    named = [_signer(one, config) for one in signatures.messages(2)]
    right = [
        who
        for (who, header), one in zip(named, signatures.messages(2), strict=True)
        if who and _states(raw, config) and who.signed(signatures.blob(1) + header + raw.header, one.blob(2))
    ]
    signed = tuple(who.key.hex() for who in right)
    wrong, mixed = len(named) - len(right), sum(who.suite is not found for who in right)
    if config["type"] == BFT:
        sealers = dict.fromkeys((parsed_key(c["key"])[1].hex() for c in config["consenters"] if c["key"]), 1)
        return Seals(sealers, signed, wrong, bft_quorum(len(config["consenters"])), mixed)
    sealers = dict.fromkeys(signed or config["orderers"], 1)
    return Seals(sealers, signed, wrong, 1, mixed, each_signs=False)


def bft_quorum(consenters: int) -> int:
    """How many of them must sign (SmartBFT): half of n + f + 1, rounded up, of n that tolerate f."""
    return -(-(consenters + (consenters - 1) // 3 + 1) // 2)


def _states(raw: RawBlock, config: Json) -> bool:
    """Whether the orderers state the configuration that the block is verified with; a new one is signed by those before."""
    stated, number = raw.last_config, int(config["number"])
    return stated == number if stated < raw.number else number < raw.number


def _signer(signature: Message, config: Json) -> tuple[Identity | None, bytes]:
    """Who says to have signed, if such a one may sign, and what of the signature is signed, too."""
    header = signature.blob(1)
    if header:
        who = identity(Message(header).blob(1), config)
        consenters = {c["key"] for c in config["consenters"]}
        if config["type"] == BFT:
            may = who is not None and named_key(who.suite, who.key) in consenters
        else:
            may = who is not None and who.org in config["orderers"]
        return (who if may else None), header
    number = Message(signature.blob(3)).number(1)
    named = next((c for c in config["consenters"] if config["type"] == BFT and c["id"] == number and c["key"]), None)
    return (Identity(named["org"], *parsed_key(named["key"])) if named else None), signature.blob(3)


# --- nodes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Head:
    """How far the peer that was asked is: newest block, its hash, and the first one's."""

    number: int
    hash: str
    genesis: str


def view(answer: Json) -> View:
    """See `Reads`. Peers stand as observers: they follow and endorse; the channel's consenters are its sealers.

    What a peer says of itself, its height and address, is signed by it, and counts only so. A consenter says nothing to peers:
    under BFT it is as far as the newest block when one of the last carries its signature; else it is as far as the newest block
    that it delivers itself, over TLS with the certificate that the configuration has of it. Raises ValueError also where the
    answer is not signed by a peer of the channel.
    """
    config, head = excerpt(unpacked(answer["config"])), answer["head"]
    at = _Head(int(head["number"]), head["hash"], head["genesis"])
    me, info = _answered(answer, config)
    if (info.number(1) - 1, "0x" + info.blob(2).hex()) != (at.number, at.hash):
        raise ValueError("the peer gave another newest block than it stated")
    members = {m.key: m for m in _peers(unpacked(answer["discovery"]), answer["channel"], config)}
    own = members.get(me.key.hex(), Member(me.key.hex(), "observer", None, "", "", (), me.org))
    members[own.key] = replace(own, height=at.number, hash=at.hash, genesis=at.genesis)
    for consenter in _consenters(answer, config, at):
        members[consenter.key] = consenter
    return View(own.key, tuple(members.values()))


def _answered(answer: Json, config: Json) -> tuple[Identity, Message]:
    """Which peer answered a question that was put with a fresh nonce, and the chain information that it signed."""
    proposal, response = Message(unpacked(answer["proposal"])), Message(unpacked(answer["info"]))
    header = proposal.message(1)
    written = header.blob(1) + header.blob(2) + proposal.blob(2)
    said, endorsement = response.blob(5), response.message(6)
    who = identity(endorsement.blob(1), config)
    if who is None or not who.signed(said + endorsement.blob(1), endorsement.blob(2)):
        raise ValueError("the answer is not signed by a peer of the channel")
    if all(s.hash(written) != Message(said).blob(1) for s in SUITES):
        raise ValueError("the answer is to another question")
    return who, Message(Message(Message(said).blob(2)).message(3).blob(3))


def _peers(discovered: bytes, channel: str, config: Json) -> list[Member]:
    members = []
    for result in Message(discovered).messages(1):
        for peers in result.message(4).mapping(1).values():
            for peer in Message(peers).messages(1):
                who = identity(peer.blob(3), config)
                if who is not None:
                    members.append(_peer(who, peer, channel))
    return members


def _peer(who: Identity, peer: Message, channel: str) -> Member:
    serialized = Message(peer.blob(3))
    named = serialized.blob(1) + serialized.blob(2)
    ids = {s.hash(named) for s in SUITES}
    state = _said(who, peer.message(1)).message(15)
    alive = _said(who, peer.message(2)).message(5).message(1)
    macs = {s.hash(id_ + channel.encode()) for s in SUITES for id_ in ids}
    here = state.blob(3) in ids and state.blob(4) in macs and not state.message(5).number(2)
    height = state.message(5).number(1) - 1 if here else None
    address = alive.text(1) if alive.blob(3) in ids else ""
    return Member(who.key.hex(), "observer", height, "", "", (address,) if address else (), who.org)


def _said(who: Identity, signed: Message) -> Message:
    """What a gossip envelope holds; nothing where it is not signed by `who`."""
    return Message(signed.blob(1) if who.signed(signed.blob(1), signed.blob(2)) else b"")


def _consenters(answer: Json, config: Json, at: _Head) -> list[Member]:
    signed = {key for row in answer["recent"] for key in seals(row).signed}
    members = []
    for consenter in config["consenters"]:
        if not consenter["key"]:
            continue
        suite_, key = parsed_key(consenter["key"])
        address = f"{consenter['host']}:{consenter['port']}"
        height, digest = (at.number, "") if key.hex() in signed else (None, "")
        if config["type"] != BFT:
            height, digest = _delivered(answer["orderers"].get(address, {}), Key(suite_, key), config)
        members.append(Member(key.hex(), "sealer", height, digest, "", (address,), consenter["org"]))
    return members


def _delivered(told: Json, key: Key, config: Json) -> tuple[int | None, str]:
    """How far an orderer is by the newest block that it delivered, and that block's hash: where it showed `key` as its own,
    and an orderer of the channel signed the block.
    """
    if not told or not told["newest"]:
        return None, ""
    row = {"block": told["newest"], "config": config}
    try:
        at, shown, signed = link(row), certificate(told["shown"].encode()), seals(row)
    except ValueError:  # an orderer's nonsense is no fault of the peer's
        return None, ""
    if shown.key != key or (at.number and not signed.enough):
        return None, ""
    return at.number, at.hash
