"""A ChainMaker node's answers -> blocks, and what of them holds: SM3 or SHA-256, SM2 or ECDSA, and certificates. Pure.

Sources, all of version 2.x: chainmaker/pb-go (messages); chainmaker/utils `CalcBlockHash`, `CalcTxHashWithVersion`,
`CalcRWSetRoot`, `CertToAddrStr`; chainmaker/common `GetMerkleRoot` and `SignWithOpts`; consensus-tbft `VerifyBlockSignatures`.
A row is {"block": Block, "config": what of the ChainConfig that it was made under is read here, "certs": [certificate, …] of
those whom the block names by hash only}, each message in base64.

The rules were run once on a block of a real chain of version 2.3.2 with SHA-256 and ECDSA (see p-110), which is not shipped.
Votes are verified under TBFT with certificates. Whose vote it is: the configuration says which organisation has which node and
which authorities, and the voter's certificate must be of one of these. Other consensus kinds put nothing in that is verified here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from yanshou.chains.certificates import Certificate, Key, certificate, public_key
from yanshou.chains.crypto import Suite, p256_verifies
from yanshou.chains.model import Block, Call, Counter, Link, Log, Member, Proof, Seals, Transaction, View
from yanshou.chains.protowire import Message, edited, without
from yanshou.chains.trees import doubled_root
from yanshou.harness.basics import Json

SUITES = (Suite.SM, Suite.SHA256)
HASH_OF_SM = "SM3"
BLOCK_HASH, SIGNATURE = 5, 15
"""Fields of a header that its hash leaves out."""
GAS_USED, GAS_SINCE = 4, 2300
"""From this block version on, a transaction's hash leaves out how much gas it used."""
TBFT, PRECOMMIT = 1, 1
VOTES, ENDORSEMENT = "TBFTAddtionalDataKey", 6
NO_BLOCK = (b"", b"NilHash")
"""What a vote for no block has as its hash."""
BY_CERTIFICATE, BY_HASH, BY_KEY = 0, 1, 2
OF_ZXL, OF_ETHEREUM = 1, 2
"""Kinds of accounts beside the chain's own."""
MANAGE_CONTRACTS, DEPLOYS = "CONTRACT_MANAGE", ("INIT_CONTRACT", "UPGRADE_CONTRACT")
SYSTEM = frozenset(
    (
        "CHAIN_CONFIG", "CHAIN_QUERY", "CERT_MANAGE", "GOVERNANCE", "MULTI_SIGN", MANAGE_CONTRACTS, "PRIVATE_COMPUTE",
        "DPOS_ERC20", "DPOS_STAKE", "SUBSCRIBE_MANAGE", "ARCHIVE_MANAGE", "CROSS_TRANSACTION", "PUBKEY_MANAGE",
        "ACCOUNT_MANAGER", "RELAY_CROSS", "TRANSACTION_MANAGER", "T",
    )
)  # fmt: skip
HERE = ("127.0.0.1:", "0.0.0.0:", "[::1]:", "[::]:")
"""How the addresses begin that a node sees of nobody but itself."""
_MULTIADDRESS = re.compile(r"/(?:ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/([0-9]+)(?:/.*)?")


def block(row: Json) -> Block:
    """See `Reads`. A block of which the node shows fewer transactions than its header counts is none."""
    at, found = link(row), _message(row["block"])
    header, config = Message(found.blob(1)), _config(row["config"])
    transactions = found.messages(3)
    if len(transactions) != header.number(8):
        raise ValueError("not all transactions of the block")
    people = _People.of(row, config)
    return Block(at.number, at.hash, at.parent, header.signed(12), tuple(_transaction(t, people) for t in transactions))


def link(row: Json) -> Link:
    """See `Reads`."""
    header = _header(row)
    return Link(header.number(4), _hex(header.blob(BLOCK_HASH)), _hex(header.blob(6)))


def suite(row: Json) -> Suite | None:
    """See `Reads`."""
    header = _header(row)
    hashed = without(header.raw, (BLOCK_HASH, SIGNATURE))
    return next((s for s in SUITES if s.hash(hashed) == header.blob(BLOCK_HASH)), None)


def counter(answer: Json) -> Counter | None:
    """See `Reads`. A node keeps no count of transactions."""
    return None


def claims_sm(about: Json) -> bool | None:
    """See `Reads`."""
    name = _config(about["config"]).message(5).text(1)
    return name.upper() == HASH_OF_SM if name else None


def is_system(address: str) -> bool:
    """See `Reads`."""
    return address in SYSTEM


def prove(row: Json, indices: Collection[int]) -> Proof:
    """See `Reads`. Raises UserError where SM2 needs a library that is not installed."""
    found = suite(row)
    s, header = found or Suite.SM, _header(row)
    transactions = _message(row["block"]).all(3)
    version = header.number(1)
    root = doubled_root([s.hash(_hashed(t, version)) for t in transactions], s.hash)
    effects = doubled_root([Message(t).message(4).blob(3) for t in transactions], s.hash)
    people, owners = _People.of(row, _config(row["config"])), _owners(row["config"])
    genuine, mixed = dict[int, bool](), set[int]()
    for i in indices:
        t = Message(transactions[i])
        sender = t.message(2).message(1)
        key = people.key(sender)
        genuine[i] = key is not None and owners.certifies(sender, people) and _genuine(s, header, t, key)
        if key and key.suite is not s:
            mixed.add(i)
    return Proof(
        found is not None,
        root == header.blob(9) and len(transactions) == header.number(8),
        effects == header.blob(11),
        genuine,
        _seals(s, row),
        frozenset(mixed),
    )


def seals(row: Json) -> Seals:
    """See `Reads`."""
    return _seals(suite(row) or Suite.SM, row)


def view(answer: Json) -> View:
    """See `Reads`. Consensus nodes are those of the configuration; the others that a node is connected with follow.

    A node knows how far it is itself, and nobody's else: {"info": ChainInfo, "config", "state": what it says of its consensus or
    None, "hash", "genesis"}.
    """
    info, config = _message(answer["info"]), _config(answer["config"])
    nodes = {node.text(1): _addresses(node.text(2)) for node in info.messages(2)}
    roles = dict.fromkeys(nodes, "observer") | dict.fromkeys(_Owners.of(config).organisations, "sealer")
    me = _me(answer["state"], nodes)
    return View(
        me,
        tuple(
            Member(
                key,
                role,
                info.number(1) if key == me else None,
                answer["hash"] if key == me else "",
                answer["genesis"] if key == me else "",
                nodes.get(key, ()),
            )
            for key, role in roles.items()
        ),
    )


def named_by_hash(found: Message) -> set[str]:
    """Hashes (hex) of certificates that a block names its senders, voters or proposer by. Raises ValueError for no block."""
    votes = _votes(found).values()
    signers = [Message(t).message(2).message(1) for t in found.all(3)]
    signers += [Message(v).message(ENDORSEMENT).message(1) for v in votes]
    signers.append(Message(found.blob(1)).message(14))
    return {s.blob(3).hex() for s in signers if s.number(2) == BY_HASH}


def _votes(found: Message) -> dict[str, bytes]:
    """A block's votes, by who voted."""
    return Message(found.message(4).mapping(1).get(VOTES, b"")).mapping(6)


def _me(state: str | None, nodes: Mapping[str, tuple[str, ...]]) -> str:
    """Which of all nodes answers: a consensus node says so; another is the only one that it sees at its own addresses.

    Raises ValueError where that does not tell.
    """
    if state:
        said = base64.b64decode(state)
        named = json.loads(said).get("id") if said.startswith(b"{") else Message(said).text(1)
        if named:
            return str(named)
    here = [key for key, addresses in nodes.items() if any(a.startswith(HERE) for a in addresses)]
    if len(here) != 1:
        raise ValueError("the node does not say which one it is")
    return here[0]


def _addresses(text: str) -> tuple[str, ...]:
    """host:port of each multiaddress."""
    found = [_MULTIADDRESS.fullmatch(part.strip()) for part in text.split(",")]
    return tuple(sorted({f"[{m[1]}]:{m[2]}" if ":" in m[1] else f"{m[1]}:{m[2]}" for m in found if m}))


def _message(text: str) -> Message:
    return Message(base64.b64decode(text, validate=True))


@lru_cache(64)
def _config(text: str) -> Message:
    """A configuration: many blocks were made under the same."""
    return _message(text)


def _header(row: Json) -> Message:
    return Message(_message(row["block"]).blob(1))


def _hex(data: bytes) -> str:
    return "0x" + data.hex() if data else ""


# --- who signed -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _People:
    """Certificates by their hash, and which kind of accounts the chain has."""

    certificates: Mapping[bytes, Certificate]
    accounts: int

    @classmethod
    def of(cls, row: Json, config: Message) -> _People:
        """Raises ValueError for a certificate that cannot be read."""
        found = [certificate(base64.b64decode(text)) for text in row.get("certs", ())]
        return cls({s.hash(c.der): c for s in SUITES for c in found}, config.message(17).number(2))

    def certificate(self, member: Message) -> Certificate | None:
        """That of a member who has one that is known."""
        kind = member.number(2)
        if kind == BY_HASH:
            return self.certificates.get(member.blob(3))
        try:
            return certificate(member.blob(3)) if kind == BY_CERTIFICATE else None
        except ValueError:
            return None

    def key(self, member: Message) -> Key | None:
        """A member's key; None where it is not known, or of another kind than can be verified."""
        if member.number(2) != BY_KEY:
            found = self.certificate(member)
            return found.key if found else None
        try:
            return public_key(member.blob(3))
        except ValueError:
            return None

    def account(self, member: Message) -> str:
        """The account of a member; of one whose key is not known one that stands for what is."""
        key, found = self.key(member), self.certificate(member)
        if key is None:
            return Suite.KECCAK.address(member.raw)
        if self.accounts == OF_ETHEREUM:
            return Suite.KECCAK.address(key.point)
        if self.accounts == OF_ZXL:
            return "0x" + Suite.SM.hash(b"\x04" + key.point)[:20].hex()
        return Suite.KECCAK.address((found and found.identifier) or key.suite.hash(b"\x04" + key.point))


def _verifies(s: Suite, key: Key, message: bytes, signature: bytes) -> bool:
    """Whether a member's signature holds on a chain whose hash is that of `s`: SM2 condenses by itself where that is SM3."""
    if key.suite is Suite.SM:
        return Suite.SM.signed(key.point, message if s is Suite.SM else s.hash(message), signature)
    return p256_verifies(key.point, s.hash(message), signature)


# --- transactions ----------------------------------------------------------------------------------------------------------


def _transaction(t: Message, people: _People) -> Transaction:
    payload, result = Message(t.blob(1)), t.message(4)
    contract, method = payload.text(6), payload.text(7)
    arguments = tuple((pair.text(1), pair.blob(2)) for pair in payload.messages(8))
    outcome = result.message(2)
    deploys = contract == MANAGE_CONTRACTS and method in DEPLOYS
    return Transaction(
        payload.text(3),
        people.account(t.message(2).message(1)),
        "" if deploys else contract,
        b"\0".join(value for _, value in arguments),
        result.number(1) == 0 and outcome.number(1) == 0,
        tuple(_events(outcome)),
        Call(method, arguments),
    )


def _events(outcome: Message) -> Iterator[Log]:
    for event in outcome.messages(5):
        values = tuple(event.all(5))
        yield Log(event.text(3), (event.text(1),), b"\0".join(values), values)


def _hashed(t: bytes, version: int) -> bytes:
    """What a transaction's hash is the digest of: all of it, result included."""
    if version < GAS_SINCE:
        return t
    return edited(t, 4, lambda result: edited(result, 2, lambda outcome: without(outcome, (GAS_USED,))))


def _genuine(s: Suite, header: Message, t: Message, key: Key) -> bool:
    """Whether its sender signed it, for this chain. That its hash follows from its fields is in the root: it is stated nowhere."""
    payload = t.blob(1)
    same = Message(payload).text(1) == header.text(3)
    return same and _verifies(s, key, payload, t.message(2).blob(2))


# --- votes -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Owners:
    """Of each consensus node its organisation, of each organisation its authorities, and certificates that stand for themselves:
    `named` of consensus nodes, `members` of anybody.
    """

    organisations: Mapping[str, str]
    authorities: Mapping[str, tuple[Certificate, ...]]
    named: Mapping[str, bytes]
    members: frozenset[bytes]

    @classmethod
    def of(cls, config: Message) -> _Owners:
        nodes = {node: org.text(1) for org in config.message(8).messages(2) for node in org.texts(3)}
        authorities = {org.text(1): tuple(_readable(org.all(2))) for org in config.messages(9)}
        members = [(m.text(4), c.der) for m in config.messages(10) for c in _readable([m.blob(1)])]
        named = {node: der for node, der in members if node}
        return cls(nodes, authorities, named, frozenset(der for _, der in members))

    def certifies(self, member: Message, people: _People) -> bool:
        """Whether a member's certificate is one that the chain takes for its organisation's. Bare keys have none to look at."""
        found = people.certificate(member)
        if found is None:
            return member.number(2) == BY_KEY
        return found.der in self.members or any(
            found.issued_by(authority) for authority in self.authorities.get(member.text(1), ())
        )

    def vouch(self, node: str, signer: Message, people: _People) -> Key | None:
        """The key by which `node` signs, if `signer` is that node's by the configuration."""
        found, org = people.certificate(signer), self.organisations.get(node)
        if found is None or org is None:
            return None
        if node in self.named:
            return found.key if self.named[node] == found.der else None
        return found.key if signer.text(1) == org and self.certifies(signer, people) else None


def _readable(pems: Sequence[bytes]) -> Iterator[Certificate]:
    """Those certificates among them whose keys can be verified with."""
    for pem in pems:
        with suppress(ValueError):
            yield certificate(pem)


@lru_cache(64)
def _owners(config: str) -> _Owners:
    return _Owners.of(_config(config))


def _seals(s: Suite, row: Json) -> Seals:
    """TBFT: 2/3 of the nodes, rounded down, and one more must have voted for the block's hash; and its proposer signed that."""
    if _config(row["config"]).message(8).number(1) != TBFT:
        return Seals()
    owners, found = _owners(row["config"]), _message(row["block"])
    header = Message(found.blob(1))
    weights = dict.fromkeys(owners.organisations, 1)
    people = _People.of(row, _config(row["config"]))
    signed: dict[str, Key] = {}
    wrong = 0
    for vote in _votes(found).values():
        said = Message(vote)
        if said.blob(5) in NO_BLOCK:
            continue
        key = _voted(s, header, said, owners, people)
        if key is None or key in signed.values() or said.text(2) in signed:
            wrong += 1
        else:
            signed[said.text(2)] = key
    if header.number(4):
        proposer = header.message(14)
        key, digest = people.key(proposer), header.blob(BLOCK_HASH)
        signed_it = key is not None and _verifies(s, key, digest, header.blob(SIGNATURE))
        wrong += not (signed_it and owners.certifies(proposer, people))
    mixed = sum(key.suite is not s for key in signed.values())
    return Seals(weights, tuple(signed), wrong, len(weights) * 2 // 3 + 1, mixed)


def _voted(s: Suite, header: Message, vote: Message, owners: _Owners, people: _People) -> Key | None:
    """The key of a node that voted for this block; None where the vote does not hold."""
    endorsement = vote.message(ENDORSEMENT)
    key = owners.vouch(vote.text(2), endorsement.message(1), people)
    this = (vote.number(1), vote.number(3), vote.blob(5))
    if key is None or this != (PRECOMMIT, header.number(4), header.blob(BLOCK_HASH)):
        return None
    return key if _verifies(s, key, without(vote.raw, (ENDORSEMENT,)), endorsement.blob(2)) else None
