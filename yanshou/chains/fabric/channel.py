"""What of a channel's configuration a block is verified with: who orders, and whose certificates are whose. Pure.

Sources: Fabric documentation, configtx (groups and values); fabric-protos, etcdraft and common/configuration (consenters). What
`excerpt` gives goes with every recorded block, as a whole configuration is too large for that; the configuration itself is recorded
once beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from yanshou.chains.certificates import certificate
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.messages import envelope, raw_block
from yanshou.chains.protowire import Message
from yanshou.harness.basics import Json

RAFT, BFT = "etcdraft", "BFT"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the two signatures that ECDSA allows, peers take the one whose s is not above half of it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A member: its organisation (MSP) and its certificate's key."""

    org: str
    suite: Suite
    key: bytes

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether it signed a message. With SM2 some forks sign the message's SM3 digest instead: that holds, too.

        Raises UserError where SM2 needs a library that is not installed.
        """
        if self.suite.signed(self.key, message, signature):
            return True
        return self.suite is Suite.SM and self.suite.signed(self.key, Suite.SM.hash(message), signature)


def excerpt(data: bytes) -> Json:
    """Of a block with a channel's configuration: {"number", "type", "consenters", "authorities", "orderers"}.

    Keys are "suite:hex". `consenters`: {"id", "host", "port", "org", "key"}; of Raft `key` is of the certificate for TLS, as
    the configuration has no other. `authorities`: MSP -> keys of its CAs; `orderers`: MSPs of ordering organisations. What has a
    key of another kind is left out. Raises ValueError for what is no such block.
    """
    block = raw_block(data)
    root = Message(envelope(block.envelopes[0]).body).message(1).message(2)
    groups = _group(root)
    ordering, application = groups.get("Orderer", Message(b"")), groups.get("Application", Message(b""))
    values = _values(ordering)
    consensus = Message(values.get("ConsensusType", b""))
    authorities: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {"Orderer": [], "Application": []}
    for kind, group in (("Orderer", ordering), ("Application", application)):
        for org in _group(group).values():
            name, keys = _msp(_values(org).get("MSP", b""))
            authorities[name] = sorted({*authorities.get(name, ()), *keys})
            names[kind].append(name)
    kind = consensus.text(1)
    return {
        "number": block.number,
        "type": kind,
        "consenters": _consenters(kind, consensus.blob(2), values.get("Orderers", b"")),
        "authorities": authorities,
        "orderers": sorted(names["Orderer"]),
    }


def tls_roots(data: bytes) -> bytes:
    """The CAs (PEM) that issue the ordering organisations' certificates for TLS. Raises ValueError for no configuration."""
    root = Message(envelope(raw_block(data).envelopes[0]).body).message(1).message(2)
    found = []
    for org in _group(_group(root).get("Orderer", Message(b""))).values():
        config = Message(Message(_values(org).get("MSP", b"")).blob(2))
        found += [*config.all(9), *config.all(10)]
    return b"\n".join(found)


def hash_names(data: bytes) -> list[str]:
    """The names of hashes that a configuration claims: the channel's, and those of its organisations' signatures."""
    root = Message(envelope(raw_block(data).envelopes[0]).body).message(1).message(2)
    found = [Message(_values(root).get("HashingAlgorithm", b"")).text(1)]
    for group in _group(root).values():
        for org in _group(group).values():
            config = Message(Message(_values(org).get("MSP", b"")).blob(2))
            found += [config.message(8).text(1), config.message(8).text(2)]
    return [name for name in found if name]


def identity(serialized: bytes, excerpt_: Json) -> Identity | None:
    """Whom a serialized identity names, if a CA of that organisation issued its certificate; None otherwise."""
    try:
        message = Message(serialized)
        org, pem = message.text(1), message.blob(2)
    except ValueError:
        return None
    return _issued(org, pem, tuple(excerpt_["authorities"].get(org, ())))


@lru_cache(maxsize=4096)
def _issued(org: str, pem: bytes, authorities: tuple[str, ...]) -> Identity | None:
    try:
        found = certificate(pem)
    except ValueError:
        return None
    keys = map(parsed_key, authorities)
    if not any(suite.signed(key, found.signed, found.signature) for suite, key in keys):
        return None
    return Identity(org, found.key.suite, found.key.point)


def named_key(suite: Suite, key: bytes) -> str:
    """A key in an excerpt."""
    return f"{suite.value}:{key.hex()}"


def parsed_key(text: str) -> tuple[Suite, bytes]:
    """What `named_key` wrote. Raises ValueError."""
    suite, _, key = text.partition(":")
    return Suite(suite), bytes.fromhex(key)


def _group(group: Message) -> dict[str, Message]:
    return {name: Message(data) for name, data in group.mapping(2).items()}


def _values(group: Message) -> dict[str, bytes]:
    return {name: Message(data).blob(2) for name, data in group.mapping(3).items()}


def _msp(data: bytes) -> tuple[str, list[str]]:
    """Name of an organisation, and the keys of its root and intermediate CAs."""
    config = Message(Message(data).blob(2))
    return config.text(1), [key for pem in (*config.all(2), *config.all(3)) if (key := _key_of(pem))]


def _key_of(pem: bytes) -> str:
    try:
        found = certificate(pem)
    except ValueError:
        return ""
    return named_key(found.key.suite, found.key.point)


def _consenters(kind: str, metadata: bytes, orderers: bytes) -> list[Json]:
    if kind == BFT:
        rows = [(c.number(1), c.text(2), c.number(3), c.text(4), c.blob(5)) for c in Message(orderers).messages(1)]
    elif kind == RAFT:
        rows = [(0, c.text(1), c.number(2), "", c.blob(4)) for c in Message(metadata).messages(1)]
    else:
        rows = []
    return [
        {"id": id_, "host": host, "port": port, "org": org, "key": _key_of(pem)} for id_, host, port, org, pem in rows
    ]
