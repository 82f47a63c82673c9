"""A Fabric channel made up block by block, really hashed, signed and endorsed, and peers that answer for it over gRPC.

Written from fabric-protos and from what Fabric's source hashes and signs; no Fabric peer was run, but a block of a real one is
verified by the same reader. It executes nothing: what came of a transaction is what the maker says. It must never be put where
anybody takes it for a chain.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from yanshou.chains.certificates import certificate
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.channel import BFT, P256_ORDER, RAFT
from yanshou.chains.fabric.messages import ENDORSED, MESSAGE_OF_CONFIG, raw_block
from yanshou.chains.protowire import Message, part, without
from yanshou.chains.protowire import field as single
from yanshou.harness.keys import Algorithm, fresh_key, pem

CHANNEL = "mychannel"
ORDERING = "OrdererMSP"
BLOCK_S = 1
VALID, MVCC_CONFLICT, BAD_ENDORSEMENT = 0, 11, 10
"""Validation codes."""
_CURVES = {Suite.SHA256: "2a8648ce3d030107", Suite.SM: "2a811ccf5501822d"}
_SIGNATURES = {Suite.SHA256: "2a8648ce3d040302", Suite.SM: "2a811ccf55018375"}


# --- keys and certificates -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key that signs messages."""

    suite: Suite
    public: bytes
    """x and y."""
    sign: Callable[[bytes], bytes] = field(repr=False)
    """Message -> signature in DER."""
    private: bytes = field(repr=False)
    """PKCS#8 in PEM."""

    @classmethod
    def new(cls, suite: Suite) -> Key:
        """A fresh key. Raises UserError where SM2 needs a library that is not installed."""
        if suite is Suite.SM:
            secret = fresh_key(Algorithm.SM2, "simulated")
            return cls(suite, secret.public.raw, secret.sign, _sm2_pem(secret.secret, secret.public.raw))
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(suite, point[1:], lambda message: key.sign(message, ec.ECDSA(hashes.SHA256())), encoded)


def _sm2_pem(secret: bytes, public: bytes) -> bytes:
    curve = _der(0x30, _oid("2a8648ce3d0201") + _oid(_CURVES[Suite.SM]))
    inner = _der(0x30, b"\x02\x01\x01" + _der(0x04, secret) + _der(0xA1, _der(0x03, b"\0\x04" + public)))
    return pem("PRIVATE KEY", _der(0x30, b"\x02\x01\x00" + curve + _der(0x04, inner))).encode()


def _der(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(size)]) + size + body


def _oid(content: str) -> bytes:
    return _der(0x06, bytes.fromhex(content))


def issue(name: str, key: Key, issuer: str, by: Key) -> bytes:
    """A certificate in PEM that `by` signed."""

    def named(text: str) -> bytes:
        return _der(0x30, _der(0x31, _der(0x30, _oid("550403") + _der(0x0C, text.encode()))))

    validity = _der(0x30, _der(0x17, b"250101000000Z") + _der(0x17, b"450101000000Z"))
    algorithm = _der(0x30, _oid(_SIGNATURES[by.suite]))
    info = _der(0x30, _oid("2a8648ce3d0201") + _oid(_CURVES[key.suite])) + _der(0x03, b"\0\x04" + key.public)
    serial = _der(0x02, b"\1" + os.urandom(8))
    fields = _der(0xA0, b"\x02\x01\x02") + serial + algorithm + named(issuer) + validity + named(name)
    signed = _der(0x30, fields + _der(0x30, info))
    whole = _der(0x30, signed + algorithm + _der(0x03, b"\0" + by.sign(signed)))
    return pem("CERTIFICATE", whole).encode()


@dataclass(frozen=True)
class Holder:
    """Somebody with a certificate: a client, a peer, an orderer."""

    org: str
    key: Key
    cert: bytes

    @property
    def identity(self) -> bytes:
        """As it stands in messages."""
        return part(1, self.org) + part(2, self.cert)

    @property
    def account(self) -> str:
        """The account of its key."""
        return self.key.suite.address(self.key.public)


@dataclass(frozen=True)
class Org:
    """An organisation (MSP) with its CA."""

    name: str
    ca: Key
    root: bytes

    @classmethod
    def new(cls, name: str, suite: Suite) -> Org:
        """A fresh one."""
        ca = Key.new(suite)
        return cls(name, ca, issue(f"ca.{name}", ca, f"ca.{name}", ca))

    def enrol(self, name: str) -> Holder:
        """A new member of it."""
        key = Key.new(self.ca.suite)
        return Holder(self.name, key, issue(name, key, f"ca.{self.name}", self.ca))

    @property
    def config(self) -> bytes:
        """Its ConfigGroup. Its CA issues certificates for TLS, too."""
        names = ("SHA2", "SHA256") if self.ca.suite is Suite.SHA256 else ("GMSM3", "GMSM3")
        msp = part(1, self.name) + part(2, self.root) + part(8, part(1, names[0]) + part(2, names[1]))
        msp += part(9, self.root)
        return _group({}, {"MSP": part(2, msp)})


def _group(groups: dict[str, bytes], values: dict[str, bytes]) -> bytes:
    inside = b"".join(part(2, part(1, name) + part(2, data)) for name, data in groups.items())
    return inside + b"".join(part(3, part(1, name) + part(2, part(2, data))) for name, data in values.items())


# --- the channel -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invocation:
    """One transaction to be put into a block: a call, by whom it is endorsed, and how the peers validated it."""

    sender: Holder
    chaincode: str
    arguments: tuple[bytes, ...]
    endorsers: tuple[Holder, ...]
    code: int = VALID
    event: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Consenter:
    """An orderer as the channel's configuration has it. `tls`: its certificate for TLS."""

    holder: Holder
    address: str
    tls: bytes = b""


class Denied(Exception):
    """A peer or orderer does not take a question."""


@dataclass
class SimulatedChannel:
    """A channel of `orgs`, ordered by `consenters` of the organisation `ordering`; `blocks` as a peer would give them."""

    suite: Suite
    orgs: Sequence[Org]
    ordering: Org
    consenters: Sequence[Consenter]
    consensus: str = RAFT
    start_s: int = 1_735_689_600
    blocks: list[bytes] = field(default_factory=list)
    configs: list[int] = field(default_factory=list)
    """Numbers of the blocks with a configuration."""
    newest_s: int = 0

    def __post_init__(self) -> None:
        self.configure()

    @property
    def height(self) -> int:
        """The newest block's number."""
        return len(self.blocks) - 1

    def configure(self, consenters: Sequence[Consenter] | None = None, signers: Sequence[int] = (0,)) -> None:
        """A block with the channel's configuration, with other `consenters` from then on; those before sign it."""
        number = len(self.blocks)
        self.configs.append(number)
        now = self.consenters if consenters is None else consenters
        groups = {
            "Orderer": _group({self.ordering.name: self.ordering.config}, self._consensus(now)),
            "Application": _group({org.name: org.config for org in self.orgs}, {}),
        }
        name = "SHA256" if self.suite is Suite.SHA256 else "SM3"
        config = part(1, single(1, number) + part(2, _group(groups, {"HashingAlgorithm": part(1, name)})))
        sender = self.consenters[0].holder
        headers = _headers(sender, MESSAGE_OF_CONFIG, b"", self._next(None), self.suite)
        self._append([_signed(sender, headers, config)], bytes([VALID]), signers)
        self.consenters = now

    def _consensus(self, consenters: Sequence[Consenter]) -> dict[str, bytes]:
        if self.consensus == BFT:
            rows = [
                single(1, n) + part(2, host) + single(3, int(port)) + part(4, c.holder.org) + part(5, c.holder.cert)
                for n, c in enumerate(consenters, 1)
                for host, port in [c.address.split(":")]
            ]
            mapping = b"".join(part(1, row) for row in rows)
            return {"ConsensusType": part(1, BFT), "Orderers": mapping}
        rows = [
            part(1, host) + single(2, int(port)) + part(3, c.tls) + part(4, c.tls)
            for c in consenters
            for host, port in [c.address.split(":")]
        ]
        return {"ConsensusType": part(1, self.consensus) + part(2, b"".join(part(1, row) for row in rows))}

    def seal(self, calls: Sequence[Invocation], time_s: int | None = None, signers: Sequence[int] = (0,)) -> int:
        """One block with `calls`, signed by the consenters number `signers`; its number."""
        when = self._next(time_s)
        envelopes = [_invoked(call, when, self.suite) for call in calls]
        self._append(envelopes, bytes(call.code for call in calls), signers)
        return self.height

    def admit(self, creator: bytes, message: bytes, signature: bytes) -> None:
        """Raises Denied where a message is not signed by a member, with the lower of the two signatures that ECDSA allows."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        who = certificate(Message(creator).blob(2))
        known = any(who.issued_by(certificate(org.root)) for org in (*self.orgs, self.ordering))
        if not known or not who.key.suite.signed(who.key.point, message, signature):
            raise Denied("access denied: creator is not a member or its signature is invalid")
        if who.key.suite is Suite.SHA256 and decode_dss_signature(signature)[1] > P256_ORDER // 2:
            raise Denied("the signature's s is not the lower one")

    def _next(self, time_s: int | None) -> int:
        self.newest_s = max(self.newest_s + BLOCK_S, self.start_s) if time_s is None else time_s
        return self.newest_s

    def _append(self, envelopes: list[bytes], codes: bytes, signers: Sequence[int]) -> None:
        number, h = len(self.blocks), self.suite.hash
        parent = h(raw_block(self.blocks[-1]).header) if number else b""
        header = single(1, number) + part(2, parent) + part(3, h(b"".join(envelopes)))
        asn1 = raw_block(part(1, header)).header
        stated = part(1, single(1, self.configs[-1])) + part(2, b"consensus")
        signatures = b"".join(part(2, self._signature(n, stated, asn1)) for n in signers) if number else b""
        metadata = [part(1, stated) + signatures, b"", codes if number else b"", b"", b"commit"]
        data = part(2, b"".join(part(1, envelope) for envelope in envelopes))
        self.blocks.append(part(1, header) + data + part(3, b"".join(part(1, place) for place in metadata)))

    def _signature(self, number: int, stated: bytes, asn1: bytes) -> bytes:
        signer, nonce = self.consenters[number].holder, os.urandom(24)
        if self.consensus == BFT:
            header = single(1, number + 1) + part(2, nonce)
            return part(2, signer.key.sign(stated + header + asn1)) + part(3, header)
        header = part(1, signer.identity) + part(2, nonce)
        return part(1, header) + part(2, signer.key.sign(stated + header + asn1))


def _headers(sender: Holder, kind: int, extension: bytes, when: int, suite: Suite) -> tuple[bytes, bytes]:
    nonce = os.urandom(24)
    name = suite.hash(nonce + sender.identity).hex()
    header = single(1, kind) + part(3, single(1, when)) + part(4, CHANNEL) + part(5, name) + part(7, extension)
    return header, part(1, sender.identity) + part(2, nonce)


def _signed(sender: Holder, headers: tuple[bytes, bytes], body: bytes) -> bytes:
    payload = part(1, part(1, headers[0]) + part(2, headers[1])) + part(2, body)
    return part(1, payload) + part(2, sender.key.sign(payload))


def _invoked(call: Invocation, when: int, suite: Suite) -> bytes:
    named = part(2, call.chaincode)
    headers = _headers(call.sender, ENDORSED, part(2, named), when, suite)
    spec = single(1, 1) + part(2, named) + part(3, b"".join(part(1, argument) for argument in call.arguments))
    proposal = part(1, part(1, spec))
    event = b""
    if call.event:
        event = part(1, call.chaincode) + part(3, call.event[0]) + part(4, call.event[1])
    outcome = part(1, b"written") + part(2, event) + part(3, single(1, 200)) + part(4, named)
    response = part(1, suite.hash(headers[0] + headers[1] + proposal)) + part(2, outcome)
    endorsements = b"".join(
        part(2, part(1, e.identity) + part(2, e.key.sign(response + e.identity))) for e in call.endorsers
    )
    action = part(1, headers[1]) + part(2, part(1, proposal) + part(2, part(1, response) + endorsements))
    return _signed(call.sender, headers, part(1, action))


# --- peers -------------------------------------------------------------------------------------------------------------


@dataclass
class SimulatedMember:
    """One peer as the others see it: `lag` blocks behind. Not `online`: nobody has heard of it. `forged`: somebody else signed
    what is said of it.
    """

    holder: Holder
    address: str
    lag: int = 0
    online: bool = True
    forged: bool = False


@dataclass
class SimulatedPeer:
    """One peer's interface to a channel. Subclass it, or set its fields, to lie.

    `me`: its number among `members`. `boasts`: blocks that it claims to have beyond those it gives. `speaks_for`: whom it pretends
    to be, without that one's key. `wants`: the digest of a client's certificate for TLS that discovery demands.
    """

    channel: SimulatedChannel
    members: Sequence[SimulatedMember]
    me: int = 0
    boasts: int = 0
    speaks_for: Holder | None = None
    wants: bytes = b""
    asked: list[str] = field(default_factory=list)

    def blocks(self) -> Sequence[bytes]:
        """The blocks that it gives."""
        return self.channel.blocks

    def process(self, request: bytes) -> bytes:
        """ProcessProposal: queries of qscc. Raises Denied for whoever is no member."""
        signed = Message(request)
        proposal = Message(signed.blob(1))
        header = proposal.message(1)
        creator = Message(header.blob(2)).blob(1)
        self.channel.admit(creator, signed.blob(1), signed.blob(2))
        stated, nonce = Message(header.blob(1)).text(5), Message(header.blob(2)).blob(2)
        if stated != self.channel.suite.hash(nonce + creator).hex():
            raise Denied("incorrectly computed txid")
        spec = Message(proposal.blob(2)).message(1).message(1)
        if spec.message(2).text(2) != "qscc":
            raise Denied("chaincode not found")
        function, channel, *more = spec.message(3).texts(1)
        self.asked.append(function)
        try:
            payload = self._queried(function, channel, more)
        except (LookupError, ValueError) as problem:
            return part(4, single(1, 500) + part(2, str(problem)))
        written = header.blob(1) + header.blob(2) + proposal.blob(2)
        return self._answer(payload, written)

    def _answer(self, payload: bytes, written: bytes) -> bytes:
        response = single(1, 200) + part(3, payload)
        said = part(1, self.channel.suite.hash(written)) + part(2, part(3, response))
        who = self.speaks_for or self.members[self.me].holder
        endorsement = part(1, who.identity) + part(2, self.members[self.me].holder.key.sign(said + who.identity))
        return part(4, response) + part(5, said) + part(6, endorsement)

    def _queried(self, function: str, channel: str, more: list[str]) -> bytes:
        if channel != CHANNEL:
            raise LookupError(f"Invalid chain ID, {channel}")
        blocks = self.blocks()
        if function == "GetChainInfo":
            newest = self.channel.suite.hash(raw_block(blocks[-1]).header)
            return single(1, len(blocks) + self.boasts) + part(2, newest)
        if function == "GetBlockByNumber":
            number = int(more[0])
            if number >= len(blocks):
                raise LookupError(f"Failed to get block number {number}, error Entry not found in index")
            return blocks[number]
        raise LookupError(f"Requested function {function} not found.")

    def discover(self, request: bytes) -> bytes:
        """Discover: the members of the channel."""
        signed = Message(request)
        payload = Message(signed.blob(1))
        who = payload.message(1)
        self.channel.admit(who.blob(1), signed.blob(1), signed.blob(2))
        self.asked.append("Discover")
        if self.wants and who.blob(2) != self.wants:
            return part(1, part(1, part(1, "access denied")))
        by_org: dict[str, bytes] = {}
        for number, member in enumerate(self.members):
            if member.online or number == self.me:
                by_org[member.holder.org] = by_org.get(member.holder.org, b"") + part(1, self._peer(member))
        members = b"".join(part(1, part(1, org) + part(2, peers)) for org, peers in by_org.items())
        return part(1, part(4, members))

    def _peer(self, member: SimulatedMember) -> bytes:
        holder = member.holder
        id_ = self.channel.suite.hash(holder.org.encode() + holder.cert)
        mac = self.channel.suite.hash(id_ + CHANNEL.encode())
        height = len(self.channel.blocks) - member.lag
        state = part(2, single(1, 1)) + part(3, id_) + part(4, mac) + part(5, single(1, height))
        alive = part(1, part(1, member.address) + part(3, id_)) + part(2, single(1, 1))
        key = self.members[self.me].holder.key if member.forged else holder.key
        said = (part(15, state), part(5, alive))
        envelopes = [part(1, message) + part(2, key.sign(message)) for message in said]
        return part(1, envelopes[0]) + part(2, envelopes[1]) + part(3, holder.identity)


@dataclass
class SimulatedOrderer:
    """An orderer that delivers its newest block, `lag` blocks behind, with its own signature (that of `holder`)."""

    channel: SimulatedChannel
    holder: Holder
    lag: int = 0

    def deliver(self, requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        """Deliver: the newest block, whatever is asked for. Each orderer signs its own copy of a block."""
        signed = Message(next(requests))
        creator = Message(Message(signed.blob(1)).message(1).blob(2)).blob(1)
        try:
            self.channel.admit(creator, signed.blob(1), signed.blob(2))
        except Denied:
            yield single(1, 403)
            return
        block = self.channel.blocks[-1 - self.lag]
        raw, header = raw_block(block), part(1, self.holder.identity) + part(2, os.urandom(24))
        stated = raw.signatures.blob(1)
        signature = part(1, header) + part(2, self.holder.key.sign(stated + header + raw.header))
        places = [part(1, stated) + part(2, signature), *raw.metadata[1:]]
        yield part(2, without(block, {3}) + part(3, b"".join(part(1, place) for place in places)))


@contextmanager
def serving(node: SimulatedPeer | SimulatedOrderer, credentials: Any = None) -> Iterator[str]:
    """`node` on loopback, with TLS by grpc server `credentials`; yields its URL."""
    import grpc

    def handled(answer: Callable[[bytes], bytes]) -> Any:
        def handle(request: bytes, context: Any) -> bytes:
            try:
                return answer(request)
            except (Denied, ValueError) as problem:
                context.abort(grpc.StatusCode.UNKNOWN, str(problem))
                raise

        return grpc.unary_unary_rpc_method_handler(handle)

    if isinstance(node, SimulatedOrderer):
        services = {"orderer.AtomicBroadcast": {"Deliver": grpc.stream_stream_rpc_method_handler(node.deliver)}}
    else:
        services = {
            "protos.Endorser": {"ProcessProposal": handled(node.process)},
            "discovery.Discovery": {"Discover": handled(node.discover)},
        }
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
    )
    if credentials is None:
        scheme, port = "grpc", server.add_insecure_port("127.0.0.1:0")
    else:
        scheme, port = "grpcs", server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
