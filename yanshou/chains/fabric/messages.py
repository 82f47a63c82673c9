"""Fabric's messages by field numbers: what stands in blocks, configurations, and what peers say of each other. Pure.

Sources: fabric-protos (common, configuration, configtx, transaction, proposal, proposal_response, chaincode, chaincode_event,
identities, msp_config, etcdraft, discovery, gossip). Only what is needed is read.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from yanshou.chains.protowire import Message

MESSAGE_OF_CONFIG, ENDORSED = 1, 3
"""Types of envelopes: a channel's configuration, and a transaction of a chaincode."""
SIGNATURES, LAST_CONFIG, FILTER = 0, 1, 2
"""Places in a block's metadata."""


def unpacked(text: str) -> bytes:
    """Bytes of recorded base64. Raises ValueError."""
    return base64.b64decode(text, validate=True)


def packed(data: bytes) -> str:
    """Bytes as they are recorded."""
    return base64.b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block as it came, taken apart. `metadata` has at least the three places above."""

    number: int
    parent: bytes
    data_hash: bytes
    envelopes: tuple[bytes, ...]
    metadata: tuple[bytes, ...]

    @property
    def header(self) -> bytes:
        """What its hash is the digest of, and what orderers sign: an ASN.1 SEQUENCE of number, parent and data hash."""
        return _der(0x30, _der(0x02, _integer(self.number)) + _der(0x04, self.parent) + _der(0x04, self.data_hash))

    @property
    def signatures(self) -> Message:
        """What orderers put into it: their common statement, and their signatures."""
        return Message(self.metadata[SIGNATURES])

    @property
    def last_config(self) -> int:
        """Number of the last block with the channel's configuration, as the orderers state it."""
        value = self.signatures.blob(1)
        if value:
            return Message(value).message(1).number(1)
        return Message(Message(self.metadata[LAST_CONFIG]).blob(1)).number(1)


def raw_block(data: bytes) -> RawBlock:
    """Raises ValueError for what is no block."""
    block = Message(data)
    header = block.message(1)
    metadata = block.message(3).all(1)
    padded = (*metadata, *[b""] * (FILTER + 1 - len(metadata)))
    return RawBlock(header.number(1), header.blob(2), header.blob(3), tuple(block.message(2).all(1)), padded)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One envelope of a block. `creator`: an identity; `header`, `body`: of its payload."""

    payload: bytes
    signature: bytes
    channel_header: bytes
    signature_header: bytes
    body: bytes

    @property
    def creator(self) -> bytes:
        """The identity that sent it."""
        return Message(self.signature_header).blob(1)


def envelope(data: bytes) -> Envelope:
    """Raises ValueError for what is no envelope."""
    whole = Message(data)
    payload = Message(whole.blob(1))
    header = payload.message(1)
    return Envelope(whole.blob(1), whole.blob(2), header.blob(1), header.blob(2), payload.blob(2))


@dataclass(frozen=True, slots=True)
class Action:
    """What a transaction calls and what came of it. `proposal`: what the sender wrote; `response`: what endorsers signed."""

    header: bytes
    proposal: bytes
    response: bytes
    endorsements: tuple[tuple[bytes, bytes], ...]

    @property
    def called(self) -> tuple[str, list[bytes]]:
        """Name of the chaincode, and the arguments: first the function's name."""
        spec = Message(Message(self.proposal).blob(1)).message(1)
        return spec.message(2).text(2), spec.message(3).all(1)

    @property
    def outcome(self) -> Message:
        """ChaincodeAction: results, events, response, chaincode."""
        return Message(Message(self.response).blob(2))


def actions(body: bytes) -> Iterator[Action]:
    """The actions of an endorsed transaction. Raises ValueError."""
    for one in Message(body).messages(1):
        payload = Message(one.blob(2))
        endorsed = payload.message(2)
        endorsements = tuple((e.blob(1), e.blob(2)) for e in endorsed.messages(2))
        yield Action(one.blob(1), payload.blob(1), endorsed.blob(1), endorsements)


def _der(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(length)]) + length + body


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
