"""Asks a Fabric peer: blocks by its query chaincode (qscc), members by its discovery service; and shakes hands with orderers.

It must never interpret more of an answer than where to look next, and never let a key out: what is recorded is what a peer said,
and one question, to show that the answer is to it, in which the evaluator's certificate stands. Source: fabric-protos.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from yanshou.chains.certificates import certificate
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.blocks import link as link_of
from yanshou.chains.fabric.channel import BFT, P256_ORDER, excerpt, tls_roots
from yanshou.chains.fabric.messages import ENDORSED, RawBlock, packed, raw_block, unpacked
from yanshou.chains.grpc_link import Link
from yanshou.chains.identity import Identity, Sign
from yanshou.chains.protowire import Message, field, part, without
from yanshou.chains.rpc import Refused
from yanshou.harness.basics import Json, ProbeError

ENDORSER, DISCOVERY = "/protos.Endorser/ProcessProposal", "/discovery.Discovery/Discover"
DELIVER, SEEK = "/orderer.AtomicBroadcast/Deliver", 5
QUERIES = "qscc"
OK = 200
NONCE = 24
RECENT_PER_CONSENTER, RECENT = 4, 20
"""How many of the last blocks' signatures tell whether a consenter follows: so many for each, and at least."""
HANDSHAKE_S, HANDSHAKES = 3.0, 8


class Wire:
    """One peer, one channel."""

    def __init__(self, link: Link, group: str, identity: Identity) -> None:
        """Raises ProbeError CHN-E04 for a certificate that Fabric does not take, CHN-E05 for no channel."""
        if not group:
            raise ProbeError("CHN-E05", "没有写 Fabric 的通道名", "把 chain.group 写成通道名，如 mychannel")
        self._link, self._channel = link, group
        self._creator = part(1, identity.org) + part(2, identity.cert)
        self._sign, suite = _signing(identity)
        self._suites = [Suite.SHA256, Suite.SM] if suite is Suite.SM else [Suite.SHA256]
        self._excerpts: dict[int, Json] = {}

    def about(self) -> Json:
        """How high the channel is by the peer's word, and the block with its configuration."""
        info = self._query("GetChainInfo")
        return {"info": packed(info), "config": packed(self._newest_config(self._height(info)))}

    def head(self) -> int:
        """The newest block."""
        return self._height(self._query("GetChainInfo")) - 1

    def hash_at(self, number: int) -> str | None:
        """None where the peer has no such block."""
        try:
            (block,) = self._ask([_question("GetBlockByNumber", number)])
        except Refused:
            return None
        with _reading():
            return link_of({"block": packed(block)}).hash

    def rows(self, numbers: range) -> list[Json]:
        """Blocks, each with what of the channel's configuration it is verified with."""
        blocks = dict(zip(numbers, self._blocks(numbers), strict=True))
        rows: list[Json] = []
        with _reading():
            found = {number: raw_block(block) for number, block in blocks.items()}
            for number, block in blocks.items():
                config = self._config_of(found[number], found)
                rows.append({"block": packed(block)} | ({"config": config} if config else {}))
        return rows

    def headers(self, numbers: range) -> list[Json]:
        """The same: a peer has no headers apart, and which hash a block has is told by its data."""
        return self.rows(numbers)

    def view(self) -> Json:
        """Who is in the channel by this peer's word, what it says of itself, and which consenters show their certificates."""
        proposal, answer = self._answers([_question("GetChainInfo")])[0]
        head = self._height(_payload(answer)) - 1
        config = self._newest_config(head + 1)
        with _reading():
            told, roots = excerpt(config), tls_roots(config)
        recent = max(RECENT, RECENT_PER_CONSENTER * len(told["consenters"])) if told["type"] == BFT else 0
        rows = self.rows(range(max(0, head + 1 - recent), head + 1)) if recent else []
        return {
            "channel": self._channel,
            "proposal": packed(proposal),
            "info": packed(answer),
            "discovery": packed(self._discovered()),
            "config": packed(config),
            "head": {"number": head, "hash": self.hash_at(head), "genesis": self.hash_at(0)},
            "recent": [row | {"block": packed(without(unpacked(row["block"]), {2}))} for row in rows],
            "orderers": {} if told["type"] == BFT else self._orderers(told["consenters"], roots),
        }

    def counter(self) -> Json:
        """Peers keep none."""
        return None

    # --- blocks and their configurations

    def _blocks(self, numbers: Sequence[int]) -> list[bytes]:
        try:
            return self._ask([_question("GetBlockByNumber", n) for n in numbers])
        except Refused as error:
            raise error.problem from None

    def _config_of(self, raw: RawBlock, beside: dict[int, RawBlock]) -> Json:
        """The excerpt that a block is verified with: of a new configuration the one before. None for the first block."""
        if not raw.number:
            return None
        number = raw.last_config
        if number >= raw.number:
            before = beside.get(raw.number - 1) or raw_block(self._blocks([raw.number - 1])[0])
            number = min(before.last_config, before.number)
        if number not in self._excerpts:
            self._excerpts[number] = excerpt(self._blocks([number])[0])
        return self._excerpts[number]

    def _newest_config(self, height: int) -> bytes:
        with _reading():
            newest = raw_block(self._blocks([height - 1])[0])
            return self._blocks([min(newest.last_config, newest.number)])[0]

    # --- orderers

    def _orderers(self, consenters: Sequence[Json], roots: bytes) -> Json:
        """Address -> {"shown": the certificate with which a handshake succeeded (PEM), "newest": the block that it delivered}.

        Either is "" where there is none: a consenter that does not answer is no error.
        """
        addresses = sorted({f"{c['host']}:{c['port']}" for c in consenters})
        with ThreadPoolExecutor(HANDSHAKES) as pool:
            shown = dict(zip(addresses, pool.map(_handshake, addresses), strict=True))
            asked = [address for address in addresses if shown[address]]
            newest = dict(zip(asked, pool.map(lambda address: self._newest(address, roots), asked), strict=True))
        return {a: {"shown": shown[a], "newest": packed(newest.get(a, b""))} for a in addresses}

    def _newest(self, address: str, roots: bytes) -> bytes:
        """The newest block of an orderer, as it came; b"" where it gives none."""
        newest = part(1, b"")
        payload = part(1, self._headers(SEEK, b"")) + part(2, part(1, newest) + part(2, newest))
        try:
            with self._link.beside(address, address.rpartition(":")[0], roots) as orderer:
                answer = orderer.first(DELIVER, part(1, payload) + part(2, self._sign(payload)))
            return Message(answer).blob(2)
        except (Refused, ProbeError, ValueError):
            return b""

    # --- questions

    @staticmethod
    def _height(info: bytes) -> int:
        with _reading():
            height = Message(info).number(1)
        if not height:
            raise ProbeError("CHN-E03", "通道里还没有区块", "检查通道名，或等 peer 加入通道")
        return height

    def _query(self, *arguments: str) -> bytes:
        try:
            return self._ask([arguments])[0]
        except Refused as error:
            raise error.problem from None

    def _ask(self, questions: Sequence[Sequence[str]]) -> list[bytes]:
        """What qscc returned, in order. Raises Refused, ProbeError."""
        return [_payload(answer) for _, answer in self._answers(questions)]

    def _answers(self, questions: Sequence[Sequence[str]]) -> list[tuple[bytes, bytes]]:
        """(proposal, answer as it came), in order. Raises Refused, ProbeError.

        Forks for 国密 differ in how a question's identifier is hashed: the other way is tried where the first is refused.
        """
        suites = self._suites
        proposals = [self._proposal([function, self._channel, *more]) for function, *more in questions]
        signed = [part(1, proposal) + part(2, self._sign(proposal)) for proposal in proposals]
        try:
            return list(zip(proposals, self._link.ask_all(ENDORSER, signed), strict=True))
        except Refused:
            if len(suites) == 1:
                raise
            self._suites = suites[1:]
            return self._answers(questions)

    def _proposal(self, arguments: Sequence[str]) -> bytes:
        named = part(2, QUERIES)
        spec = field(1, 1) + part(2, named) + part(3, b"".join(part(1, argument) for argument in arguments))
        return part(1, self._headers(ENDORSED, part(7, part(2, named)))) + part(2, part(1, part(1, spec)))

    def _headers(self, kind: int, extension: bytes) -> bytes:
        """Header of what the evaluator asks, with a fresh nonce and bound to its certificate for TLS, if it shows one."""
        nonce, now = os.urandom(NONCE), time.time_ns()
        digest = self._suites[0].hash(nonce + self._creator)
        header = field(1, kind) + part(3, field(1, now // 10**9) + field(2, now % 10**9)) + part(4, self._channel)
        header += part(5, digest.hex()) + extension + field(8, self._bound)
        return part(1, header) + part(2, part(1, self._creator) + part(2, nonce))

    @property
    def _bound(self) -> bytes:
        shown = self._link.certificate
        return Suite.SHA256.hash(ssl.PEM_cert_to_DER_cert(shown.decode())) if shown else b""

    def _discovered(self) -> bytes:
        """The members of the channel. Peers with TLS answer only whoever shows a certificate there, and names its digest."""
        request = part(1, part(1, self._creator) + field(2, self._bound)) + part(
            2, part(1, self._channel) + part(3, b"")
        )
        try:
            answer = self._link.ask(DISCOVERY, part(1, request) + part(2, self._sign(request)))
        except Refused as error:
            raise error.problem from None
        with _reading():
            for result in Message(answer).messages(1):
                if 1 in result:
                    raise Refused("Discover", 0, " ".join(result.message(1).text(1).split())[:200]).problem
        return answer


def _question(function: str, *more: object) -> tuple[str, ...]:
    return function, *map(str, more)


@contextmanager
def _reading() -> Iterator[None]:
    """Raises ProbeError CHN-E02 where what a peer gave is not what a peer gives."""
    try:
        yield
    except (ValueError, IndexError):
        text = "应答不是 Fabric peer 的，或其版本不认得"
        raise ProbeError("CHN-E02", text, "检查地址与端口，是不是 Fabric peer 的接口；换一个 peer") from None


def _payload(answer: bytes) -> bytes:
    """What a chaincode returned. Raises Refused, ProbeError CHN-E02."""
    with _reading():
        response = Message(answer).message(4)
        status, message, payload = response.number(1), response.text(2), response.blob(3)
    if status != OK:
        raise Refused(QUERIES, status, " ".join(message.split())[:200])
    return payload


def _signing(identity: Identity) -> tuple[Sign, Suite]:
    """How a member signs what peers take: of the two signatures that ECDSA allows, Fabric takes the one with the lower s."""
    try:
        suite = certificate(identity.cert).key.suite
    except ValueError:
        raise ProbeError(
            "CHN-E04", "成员证书不是 P-256 或 SM2 的", "换 Fabric 发给评测方的签名证书（signcerts）"
        ) from None
    if suite is Suite.SM:
        return identity.sign, suite
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(identity.sign(message))
        return encode_dss_signature(r, min(s, P256_ORDER - s))

    return sign, suite


def _handshake(address: str) -> str:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared with the channel's configuration
    try:
        with (
            socket.create_connection((host, int(port)), timeout=HANDSHAKE_S) as plain,
            context.wrap_socket(plain) as tls,
        ):
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError, OverflowError):
        return ""
