"""A ChainMaker chain made up block by block, really hashed and signed by certified keys, and nodes that answer for it over gRPC.

Written from chainmaker/pb-go and the sources that `blocks` names; no ChainMaker node was run. It executes nothing: what came of a
transaction is what the maker says. Nodes verify who asks, as real ones do. It must never be put where anybody takes it for a chain.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yanshou.chains.certificates import certificate
from yanshou.chains.chainmaker.blocks import HASH_OF_SM, PRECOMMIT, TBFT, VOTES
from yanshou.chains.chainmaker.wire import NO_PERMISSION
from yanshou.chains.crypto import Suite, p256_verifies
from yanshou.chains.protowire import Message, part, without
from yanshou.chains.protowire import field as item
from yanshou.chains.trees import doubled_root
from yanshou.harness.keys import Algorithm, fresh_key, load_private, new_key, pem

CHAIN = "chain1"
VERSION = 2030200
BLOCK_S = 1
ROUND = 3
HASH_NAMES = {Suite.SM: HASH_OF_SM, Suite.SHA256: "SHA256"}
INVALID_PARAMETER, INTERNAL_ERROR = 2, 5
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CURVES = {Suite.SM: "2a811ccf5501822d", Suite.SHA256: "2a8648ce3d030107"}
_SIGNED_WITH = {Suite.SM: "2a811ccf55018375", Suite.SHA256: "2a8648ce3d040302"}
_EC_KEY, _COMMON_NAME, _KEY_IDENTIFIER = "2a8648ce3d0201", "550403", "551d0e"
"""Object identifiers, their content in hex."""


# --- keys and certificates ------------------------------------------------------------------------------------------------


def _der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _oid(text: str) -> bytes:
    return _der(6, bytes.fromhex(text))


@dataclass(frozen=True)
class Party:
    """Somebody with a key and a certificate. `sign`: message -> ASN.1 signature as certificates carry it."""

    suite: Suite
    org: str
    name: str
    point: bytes
    pem: bytes
    sign: Callable[[bytes], bytes] = field(repr=False, compare=False)
    sign_digest: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @classmethod
    def new(cls, suite: Suite, org: str, name: str, issuer: Party | None = None) -> Party:
        """A fresh key, certified by `issuer`, or by itself. Raises UserError where SM2 needs a missing library."""
        if suite is Suite.SM:
            private = fresh_key(Algorithm.SM2, "simulated")
            return cls._of(suite, org, name, private.public.raw, private.sign, private.sign, issuer)
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls.with_p256(ec.generate_private_key(ec.SECP256R1()), org, name, issuer)

    @classmethod
    def with_p256(cls, key: Any, org: str, name: str, issuer: Party | None) -> Party:
        """A party whose P-256 key is known."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        return cls._of(
            Suite.SHA256,
            org,
            name,
            point,
            lambda message: key.sign(message, ec.ECDSA(SHA256())),
            lambda digest: key.sign(digest, ec.ECDSA(Prehashed(SHA256()))),
            issuer,
        )

    @classmethod
    def _of(
        cls,
        suite: Suite,
        org: str,
        name: str,
        point: bytes,
        sign: Callable[[bytes], bytes],
        sign_digest: Callable[[bytes], bytes],
        issuer: Party | None,
    ) -> Party:
        by = issuer or cls(suite, org, name, point, b"", sign, sign_digest)
        return cls(suite, org, name, point, _certified(suite, name, point, by), sign, sign_digest)

    def signs(self, hash_: Suite, message: bytes) -> bytes:
        """A signature as this party makes it on a chain with that hash."""
        if self.suite is not Suite.SM:
            return self.sign_digest(hash_.hash(message))
        return self.sign(message if hash_ is Suite.SM else hash_.hash(message))

    @property
    def member(self) -> bytes:
        """How messages name it."""
        return item(1, self.org) + item(3, self.pem)

    @property
    def member_by_hash(self) -> bytes:
        """How messages name it to save space, once its certificate is on the chain; the chain's hash is that of its suite."""
        return item(1, self.org) + item(2, 1) + item(3, self.suite.hash(certificate(self.pem).der))

    @cached_property
    def account(self) -> str:
        """Its account on the chain."""
        return Suite.KECCAK.address(certificate(self.pem).identifier)


def _certified(suite: Suite, name: str, point: bytes, by: Party) -> bytes:
    """A certificate (RFC 5280) with no more than is read of it."""
    algorithm = _der(0x30, _oid(_SIGNED_WITH[by.suite]))

    def called(text: str) -> bytes:
        return _der(0x30, _der(0x31, _der(0x30, _oid(_COMMON_NAME), _der(12, text.encode()))))

    spki = _der(0x30, _der(0x30, _oid(_EC_KEY), _oid(_CURVES[suite])), _der(3, b"\0\4", point))
    identifier = _der(4, suite.hash(b"\4" + point))
    extensions = _der(0xA3, _der(0x30, _der(0x30, _oid(_KEY_IDENTIFIER), _der(4, identifier))))
    valid = _der(0x30, _der(23, b"250101000000Z"), _der(23, b"450101000000Z"))
    serial = _der(2, b"\1" + hashlib.sha256(point).digest()[:8])
    tbs = _der(
        0x30, _der(0xA0, _der(2, b"\2")), serial, algorithm, called(by.name), valid, called(name), spki, extensions
    )
    return pem("CERTIFICATE", _der(0x30, tbs, algorithm, _der(3, b"\0", by.sign(tbs)))).encode()


@dataclass(frozen=True)
class Sealer:
    """A consensus node: its id on the network, its signing key, and its organisation's authority."""

    node: str
    party: Party
    authority: Party

    @classmethod
    def new(cls, suite: Suite, number: int, keys: Suite | None = None) -> Sealer:
        """The node of organisation `number`; `keys`: of another kind than the chain's."""
        org, kind = f"wx-org{number + 1}.chainmaker.org", keys or suite
        authority = Party.new(kind, org, f"ca.{org}")
        party = Party.new(kind, org, f"consensus1.sign.{org}", authority)
        return cls(node_id(party.point), party, authority)


def node_id(key: bytes) -> str:
    """A name such as nodes have: base58 of a SHA-256 multihash."""
    value, text = int.from_bytes(b"\x12\x20" + hashlib.sha256(key).digest(), "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = _BASE58[digit] + text
    return text


# --- the chain -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One transaction to be sealed. `code` 0 is success; `events` are (contract, topic, values)."""

    sender: Party
    contract: str
    method: str
    arguments: Mapping[str, bytes]
    code: int = 0
    events: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    by_hash: bool = False


@dataclass
class SimulatedChain:
    """A chain of `sealers` with the hash of `suite`, grown by `seal`; `blocks` hold each as a node would show it.

    `settings`: by the height that set them, who may seal what follows.
    """

    suite: Suite
    sealers: Sequence[Sealer]
    start_s: int
    blocks: list[bytes] = field(default_factory=list)
    votes_by_hash: bool = False
    settings: dict[int, Sequence[Sealer]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.settings[0] = self.sealers
        first = Call(self.sealers[0].party, "CHAIN_CONFIG", "GENESIS", {"config": self.config()})
        self.seal([first], self.start_s, voters=())

    @property
    def height(self) -> int:
        """The newest block's number."""
        return len(self.blocks) - 1

    def reconfigure(self, sealers: Sequence[Sealer]) -> None:
        """A block, sealed by those who may so far, that says who may from the next one on."""
        call = Call(
            self.sealers[0].party, "CHAIN_CONFIG", "NODE_ID_ADD", {"nodes": b"".join(s.party.pem for s in sealers)}
        )
        self.seal([call])
        self.sealers = self.settings[self.height] = sealers

    def set_at(self, number: int) -> int:
        """The height of the newest configuration up to `number`."""
        return max(height for height in self.settings if height <= number)

    def config(self, hash_name: str | None = None, number: int | None = None) -> bytes:
        """The chain's configuration, the newest or that at a height, with fields that are not read among them."""
        sealers = self.sealers if number is None else self.settings[self.set_at(number)]
        nodes = b"".join(part(2, item(1, s.party.org) + item(3, s.node)) for s in sealers)
        roots = b"".join(part(9, item(1, s.party.org) + item(2, s.authority.pem)) for s in sealers)
        return b"".join(
            (
                item(1, CHAIN), item(2, str(VERSION)), item(3, "permissionedWithCert"), item(4, 1),
                part(5, item(1, hash_name or HASH_NAMES[self.suite])), part(8, item(1, TBFT) + nodes), roots,
                part(11, item(1, "CHAIN_CONFIG-NODE_ID_ADD")),
            )
        )  # fmt: skip

    def hash_of(self, number: int) -> bytes:
        """The hash of a block."""
        return Message(Message(self.blocks[number]).blob(1)).blob(5)

    def seal(self, calls: Sequence[Call], time_s: int | None = None, voters: Sequence[int] | None = None) -> bytes:
        """Seal one block and return it; `voters` are the indices of those who vote for it, all unless told."""
        number = len(self.blocks)
        transactions = [self._transaction(call) for call in calls]
        hash_ = self.suite.hash
        leaves = [hash_(_without_gas(t)) for t in transactions]
        effects = [Message(t).message(4).blob(3) for t in transactions]
        last = Message(Message(self.blocks[-1]).blob(1)) if self.blocks else Message(b"")
        proposer = self.sealers[number % len(self.sealers)].party
        when = last.number(12) + BLOCK_S if time_s is None else time_s
        fields = {
            1: item(1, VERSION), 3: item(3, CHAIN), 4: item(4, number), 6: item(6, last.blob(5)),
            7: item(7, self.set_at(max(0, number - 1))),
            8: item(8, len(transactions)), 9: item(9, doubled_root(leaves, hash_)), 10: item(10, hash_(b"dag")),
            11: item(11, doubled_root(effects, hash_)), 12: item(12, when), 14: part(14, proposer.member),
        }  # fmt: skip
        digest = hash_(b"".join(fields.values()))
        fields |= {5: item(5, digest), 15: item(15, proposer.signs(self.suite, digest))}
        header = b"".join(fields[n] for n in sorted(fields))
        chosen = range(len(self.sealers)) if voters is None else voters
        votes = self._votes(number, digest, chosen)
        extra = part(4, part(1, item(1, VOTES) + part(2, votes))) if number else b""
        self.blocks.append(part(1, header) + part(2, b"") + b"".join(part(3, t) for t in transactions) + extra)
        return self.blocks[-1]

    def _transaction(self, call: Call) -> bytes:
        number = next(self._numbers)
        pairs = b"".join(part(8, item(1, key) + item(2, value)) for key, value in call.arguments.items())
        payload = b"".join(
            (
                item(1, CHAIN), item(3, hashlib.sha256(b"%d" % number).hexdigest()), item(4, self.start_s + number),
                item(6, call.contract), item(7, call.method), pairs, part(10, item(1, 100_000)),
            )
        )  # fmt: skip
        events = b"".join(
            part(5, item(1, topic) + item(3, contract) + b"".join(part(5, value) for value in values))
            for contract, topic, values in call.events
        )
        outcome = item(2, b"ok") + item(4, 156 + number % 7) + events
        result = item(1, call.code) + part(2, outcome) + item(3, self.suite.hash(b"rwset" + payload))
        member = call.sender.member_by_hash if call.by_hash else call.sender.member
        sender = part(1, member) + item(2, call.sender.signs(self.suite, payload))
        return part(1, payload) + part(2, sender) + part(4, result)

    def _votes(self, number: int, digest: bytes, voters: Sequence[int]) -> bytes:
        """A VoteSet with the votes of `voters`."""
        votes = b""
        for index in voters:
            sealer = self.sealers[index]
            said = item(1, PRECOMMIT) + item(2, sealer.node) + item(3, number) + item(4, ROUND) + item(5, digest)
            member = sealer.party.member_by_hash if self.votes_by_hash else sealer.party.member
            signed = part(1, member) + item(2, sealer.party.signs(self.suite, said))
            votes += part(6, item(1, sealer.node) + part(2, said + part(6, signed)))
        return item(1, PRECOMMIT) + item(2, number) + item(3, ROUND) + item(4, len(voters)) + item(5, digest) + votes


def _without_gas(t: bytes) -> bytes:
    """A transaction as it is hashed."""
    message = Message(t)
    outcome = without(message.message(4).blob(2), (4,))
    result = b"".join((item(1, message.message(4).number(1)), part(2, outcome), item(3, message.message(4).blob(3))))
    return part(1, message.blob(1)) + part(2, message.blob(2)) + part(4, result)


# --- nodes -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulatedMember:
    """One node of a network as the others see it: where it is, and whether it is online."""

    node: str
    address: str
    online: bool = True


@dataclass
class SimulatedNode:
    """One node's interface to a chain. Subclass it, or set its fields, to lie.

    `members`: the network, of which number `me` is itself. `hash_name`: what it claims to hash with. `lag`: how many blocks it is
    behind. `light`: it shows members only what their own organisation sent. `people`: whose certificates it knows by hash.
    """

    chain: SimulatedChain
    members: Sequence[SimulatedMember] = ()
    me: int = 0
    hash_name: str | None = None
    lag: int = 0
    light: bool = False
    people: Sequence[Party] = ()
    asked: int = 0

    @property
    def height(self) -> int:
        """How far it is."""
        return max(0, self.chain.height - self.lag)

    def send(self, request: bytes) -> bytes:
        """The answer to a TxRequest, a TxResponse."""
        self.asked += 1
        asked = Message(request)
        if not self._admitted(asked):
            return item(1, NO_PERMISSION) + item(2, "authentication fail")
        payload = asked.message(1)
        handler = getattr(self, f"on_{payload.text(7)}", None)
        if handler is None or payload.text(1) != CHAIN:
            return item(1, INVALID_PARAMETER) + item(2, "no such method or chain")
        try:
            return part(3, part(2, handler(payload.mapping(8), asked.message(2).message(1).text(1))))
        except LookupError as problem:
            return item(1, INTERNAL_ERROR) + item(2, str(problem))

    def _admitted(self, request: Message) -> bool:
        """Whether a member of an organisation of the chain signed the question."""
        entry = request.message(2)
        try:
            who = certificate(entry.message(1).blob(3))
        except ValueError:
            return False
        roots = [s.authority.pem for s in self.chain.sealers if s.party.org == entry.message(1).text(1)]
        if not any(who.issued_by(certificate(root)) for root in roots):
            return False
        payload, signature = request.blob(1), entry.blob(2)
        if who.key.suite is Suite.SM:
            return Suite.SM.signed(who.key.point, payload, signature)
        return p256_verifies(who.key.point, self.chain.suite.hash(payload), signature)

    def state(self, request: bytes) -> bytes | None:
        """The answer to a question for its consensus; None where it takes no part."""
        node = self.members[self.me].node if self.members else ""
        return part(1, part(1, node)) if node in {s.node for s in self.chain.sealers} else None

    def block(self, number: int) -> bytes:
        """A block. Raises LookupError for what it has not."""
        if not 0 <= number <= self.height:
            raise LookupError("block not found")
        return self.chain.blocks[number]

    def on_GET_CHAIN_INFO(self, _: Mapping[str, bytes], __: str) -> bytes:
        """How far it is, and who is connected; addresses of its own are those that it listens on."""
        others = [m for n, m in enumerate(self.members) if n != self.me and m.online]
        nodes = [(m.node, f"/ip4/{m.address.replace(':', '/tcp/')}") for m in others]
        if self.members:
            own = self.members[self.me]
            nodes.append((own.node, f"/ip4/127.0.0.1/tcp/{own.address.rpartition(':')[2]}"))
        return item(1, self.height) + b"".join(part(2, item(1, n) + item(2, a)) for n, a in nodes)

    def on_GET_CHAIN_CONFIG(self, _: Mapping[str, bytes], __: str) -> bytes:
        """The configuration."""
        return self.chain.config(self.hash_name)

    def on_GET_CHAIN_CONFIG_AT(self, parameters: Mapping[str, bytes], _: str) -> bytes:
        """The configuration that a block set."""
        number = int(parameters["block_height"])
        self.block(number)
        return self.chain.config(self.hash_name, number)

    def on_GET_BLOCK_BY_HEIGHT(self, parameters: Mapping[str, bytes], org: str) -> bytes:
        """A block."""
        block = self.block(int(parameters["blockHeight"]))
        if not self.light:
            return part(1, block)
        mine = [t for t in Message(block).all(3) if Message(t).message(2).message(1).text(1) == org]
        return part(1, without(block, (3,)) + b"".join(part(3, t) for t in mine))

    def on_GET_BLOCK_HEADER_BY_HEIGHT(self, parameters: Mapping[str, bytes], _: str) -> bytes:
        """A header."""
        return Message(self.block(int(parameters["blockHeight"]))).blob(1)

    def on_CERTS_QUERY(self, parameters: Mapping[str, bytes], _: str) -> bytes:
        """Certificates by their hashes."""
        wanted = parameters["cert_hashes"].decode().split(",")
        known = {p.suite.hash(certificate(p.pem).der).hex(): p.pem for p in self.people}
        return b"".join(part(1, item(1, name) + item(2, known.get(name, b""))) for name in wanted)


@contextmanager
def serving(node: SimulatedNode) -> Iterator[str]:
    """`node` on loopback; yields its address. Needs grpcio."""
    import grpc

    def send(request: bytes, _: Any) -> bytes:
        return node.send(request)

    def state(request: bytes, context: Any) -> bytes:
        answer = node.state(request)
        if answer is None:
            context.abort(grpc.StatusCode.UNKNOWN, "the node is not a consensus node")
        return answer or b""

    methods = {"/api.RpcNode/SendRequest": send, "/api.RpcNode/GetConsensusStateJSON": state}

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            found = methods.get(call.method)
            return grpc.unary_unary_rpc_method_handler(found) if found else None

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def evaluator(chain: SimulatedChain, folder: Path) -> dict[str, str]:
    """An identity that the first organisation issues to the evaluator, in files of `folder`: what `member` of a chain says."""
    authority, path = chain.sealers[0].authority, folder / "member.key"
    if authority.suite is Suite.SM:
        if not path.exists():
            new_key(path, algorithm="sm2", name="evaluator")
        private = load_private(path)
        me = Party._of(Suite.SM, authority.org, "evaluator", private.public.raw, private.sign, private.sign, authority)
    else:
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
        me = Party.with_p256(key, authority.org, "evaluator", authority)
    (folder / "member.crt").write_bytes(me.pem)
    return {"org": me.org, "cert": "member.crt", "key": "member.key"}
