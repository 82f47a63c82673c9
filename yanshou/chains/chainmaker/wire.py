"""Asks a ChainMaker node, as a member of the chain. It must never interpret more of an answer than where to look next.

Sources: chainmaker/pb-go (api/rpc_node.proto, common/request.proto, syscontract) and sdk-go for the names of parameters. Every
question is a query of a system contract, signed over its payload; a query is in no block and changes nothing.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from yanshou.chains.chainmaker.blocks import named_by_hash
from yanshou.chains.crypto import Suite
from yanshou.chains.grpc_link import Link
from yanshou.chains.identity import Identity
from yanshou.chains.protowire import Message, field, only, part, without
from yanshou.chains.rpc import Refused
from yanshou.harness.basics import Json, ProbeError

SEND, STATE = "/api.RpcNode/SendRequest", "/api.RpcNode/GetConsensusStateJSON"
QUERY, CONFIG, CERTIFICATES = "CHAIN_QUERY", "CHAIN_CONFIG", "CERT_MANAGE"
QUERY_CONTRACT = 1
NO_PERMISSION = 3
READ_OF_CONFIG = frozenset((1, 5, 8, 9, 10, 17))
"""Fields of a ChainConfig that are kept: chain, hash, consensus nodes, authorities, named members, kind of accounts."""
BODY = (2, 3)
"""Fields of a block that a header does without: order of execution and transactions."""

Question = tuple[str, str, dict[str, str]]
"""(contract, method, parameters)."""


@contextmanager
def _understood() -> Iterator[None]:
    """Raises ProbeError CHN-E02 for an answer that is no such message."""
    try:
        yield
    except ValueError:
        remedy = "检查地址与端口，是不是长安链 2.x 的 RPC 接口"
        raise ProbeError("CHN-E02", "节点的应答不是长安链的消息，读不懂", remedy) from None


class Wire:
    """One node, one chain."""

    def __init__(self, link: Link, group: str, identity: Identity) -> None:
        if not group:
            raise ProbeError("CHN-E05", "长安链要写 group：链的 chain_id", "在参数里写 chain: {group: chain1}")
        self._link, self._chain, self._identity = link, group, identity
        self._lock = threading.Lock()
        self._over_sm3 = False
        self._configs: dict[int, str] = {}
        self._certificates: dict[str, str] = {}

    @_understood()
    def about(self) -> Json:
        """The chain's configuration, which names the hash that it is to use."""
        return {"config": _text(self._config_now())}

    @_understood()
    def head(self) -> int:
        """The newest block."""
        return self._info().number(1)

    @_understood()
    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        try:
            (answer,) = self._ask([_header(number)])
        except Refused:
            return None
        return "0x" + Message(answer).blob(5).hex() if answer else None

    @_understood()
    def rows(self, numbers: range) -> list[Json]:
        """Blocks, the configurations that they were made under, and certificates that they name by hash."""
        return [self._row(block, block.raw) for block in self._blocks(numbers)]

    @_understood()
    def headers(self, numbers: range) -> list[Json]:
        """Blocks without their transactions: the votes stand beside the header."""
        return [self._row(block, without(block.raw, BODY)) for block in self._blocks(numbers, whole=False)]

    @_understood()
    def view(self) -> Json:
        """Who is connected, who is a consensus node, which one this is, and how far it is."""
        info = self._info()
        newest = self.hash_at(info.number(1)) or ""
        return {
            "info": _text(info.raw),
            "config": _text(self._config_now()),
            "state": self._state(),
            "hash": newest,
            "genesis": self.hash_at(0) or "",
        }

    def counter(self) -> Json:
        """A node keeps no count of transactions."""
        return

    # --- questions ---------------------------------------------------------------------------------------------------

    def _row(self, block: Message, kept: bytes) -> Json:
        """A row of what is kept of a block."""
        header = Message(block.blob(1))
        row = {"block": _text(kept), "config": self._config_at(header.number(7)), "receipts": []}
        if certificates := self._named_in(kept):
            row["certs"] = certificates
        return row

    def _blocks(self, numbers: range, whole: bool = True) -> list[Message]:
        """Blocks, with all their transactions where `whole`: light members are shown their own organisation's only."""
        asked: list[Question] = [
            (QUERY, "GET_BLOCK_BY_HEIGHT", {"blockHeight": str(n), "withRWSet": "false"}) for n in numbers
        ]
        blocks = [Message(Message(answer).blob(1)) for answer in self._answers(asked)]
        for number, block in zip(numbers, blocks, strict=True):
            header = Message(block.blob(1))
            if header.number(4) != number or not header.blob(5):
                raise ProbeError("CHN-E03", f"节点没有给出第 {number} 块", "换一个保存全部历史、没有归档旧块的节点")
            if whole and len(block.all(3)) != header.number(8):
                text = f"第 {number} 块有 {header.number(8)} 笔交易，节点只给出 {len(block.all(3))} 笔"
                raise ProbeError("CHN-E03", text, "轻节点身份只看得到本组织的交易：请链方发给评测方普通成员的身份")
        return blocks

    def _info(self) -> Message:
        return Message(self._answers([(QUERY, "GET_CHAIN_INFO", {})])[0])

    def _config_now(self) -> bytes:
        return only(self._answers([(CONFIG, "GET_CHAIN_CONFIG", {})])[0], READ_OF_CONFIG)

    def _config_at(self, height: int) -> str:
        """The configuration that the block at `height` set, in base64."""
        with self._lock:
            known = self._configs.get(height)
        if known is None:
            asked: Question = (CONFIG, "GET_CHAIN_CONFIG_AT", {"block_height": str(height)})
            known = _text(only(self._answers([asked])[0], READ_OF_CONFIG))
            with self._lock:
                self._configs[height] = known
        return known

    def _named_in(self, block: bytes) -> list[str]:
        """The certificates of those whom a block names by their hash."""
        wanted = sorted(named_by_hash(Message(block)))
        with self._lock:
            missing = [name for name in wanted if name not in self._certificates]
        if missing:
            (answer,) = self._answers([(CERTIFICATES, "CERTS_QUERY", {"cert_hashes": ",".join(missing)})])
            found = {info.text(1): info.blob(2) for info in Message(answer).messages(1)}
            with self._lock:
                self._certificates |= {name: _text(found[name]) for name in missing if found.get(name)}
        return [self._certificates[name] for name in wanted if name in self._certificates]

    def _state(self) -> str | None:
        """What the node says of its consensus, in base64; None where it takes no part in it, or does not tell."""
        try:
            return _text(Message(self._link.ask(STATE, field(1, self._chain))).blob(1))
        except Refused:
            return None

    def _answers(self, questions: Sequence[Question]) -> list[bytes]:
        """Results of queries. Raises ProbeError, also where one is refused."""
        try:
            return self._ask(questions)
        except Refused as error:
            raise error.problem from None

    def _ask(self, questions: Sequence[Question]) -> list[bytes]:
        """Results of queries. A member with an ECDSA key signs over the chain's hash, which only an answer could tell.

        Raises Refused, ProbeError.
        """
        try:
            return self._asked(questions)
        except Refused as error:
            if error.code != NO_PERMISSION or self._identity.sign_digest is None or self._over_sm3:
                raise
        self._over_sm3 = True
        return self._asked(questions)

    def _asked(self, questions: Sequence[Question]) -> list[bytes]:
        answers = self._link.ask_all(SEND, [self._request(*question) for question in questions])
        return [self._result(question, answer) for question, answer in zip(questions, answers, strict=True)]

    def _result(self, question: Question, answer: bytes) -> bytes:
        said = Message(answer)
        result = said.message(3)
        if code := said.number(1) or result.number(1):
            text = " ".join((said.text(2) or result.text(3)).split())[:200]
            raise Refused(".".join(question[:2]), code, text)
        return result.blob(2)

    def _request(self, contract: str, method: str, parameters: dict[str, str]) -> bytes:
        payload = (
            field(1, self._chain)
            + field(2, QUERY_CONTRACT)
            + field(3, os.urandom(32).hex())
            + field(4, int(time.time()))
            + field(6, contract)
            + field(7, method)
            + b"".join(part(8, field(1, key) + field(2, value)) for key, value in parameters.items())
        )
        member = field(1, self._identity.org) + field(3, self._identity.cert)
        signs = self._identity.sign_digest if self._over_sm3 else None
        signature = signs(Suite.SM.hash(payload)) if signs else self._identity.sign(payload)
        return part(1, payload) + part(2, part(1, member) + field(2, signature))


def _header(number: int) -> Question:
    return QUERY, "GET_BLOCK_HEADER_BY_HEIGHT", {"blockHeight": str(number)}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
