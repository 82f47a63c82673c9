"""Which transactions and events are records, and why the others are not. Pure; one transaction at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from yanshou.chains.abi import Signature, arguments, signature
from yanshou.chains.crypto import Suite
from yanshou.chains.model import Log, Transaction
from yanshou.probes.chain_records.spec import Record

REASONS = {
    "CHR-X-FAILED": "执行失败的交易",
    "CHR-X-DEPLOY": "部署合约的交易",
    "CHR-X-SYSTEM": "链自身的系统、配置与治理交易",
    "CHR-X-OTHER": "不是声明的存证合约、函数或事件",
    "CHR-X-MALFORMED": "数据不符合声明的函数或事件",
    "CHR-X-WINDOW": "区块时间不在窗口内",
    "CHR-X-EMPTY": "内容为空或全为零",
    "CHR-X-CONSTANT": "内容是同一个字节的重复",
    "CHR-X-DUP": "内容与更早的一条相同，只计首条",
}
"""Code -> Chinese text of every exclusion, in order of application."""
SELECTOR = 4
DIGEST = 32
_HEX_DIGEST = re.compile(rb"[0-9A-Fa-f]{64}")


@dataclass(frozen=True)
class Rule:
    """A `Record` made ready. Selectors and topics are those of either suite: a compiler may use another hash than its chain."""

    contracts: frozenset[str]
    is_system: Callable[[str], bool]
    named: Signature | None
    selectors: frozenset[bytes]
    topics: frozenset[str]
    chosen: tuple[int, ...]

    @classmethod
    def of(cls, record: Record, is_system: Callable[[str], bool]) -> Rule:
        """The rule that `record` states, on a chain where `is_system` tells its own contracts."""
        named = signature(record.method or record.event or "") if record.method or record.event else None
        hashes = [suite.hash(named.text.encode()) for suite in Suite] if named else []
        return cls(
            frozenset(record.contracts),
            is_system,
            named,
            frozenset(h[:SELECTOR] for h in hashes) if record.method else frozenset(),
            frozenset("0x" + h.hex() for h in hashes) if record.event else frozenset(),
            record.payload or tuple(range(len(named.types) if named else 1)),
        )

    def judge(self, t: Transaction) -> Iterator[str | tuple[bytes, ...]]:
        """Of each record in a transaction its payload (see `hollow`), or why it is none; one code where there is no record."""
        if not t.succeeded:
            yield "CHR-X-FAILED"
            return
        found: list[tuple[Callable[[Any], tuple[bytes, ...]], Any]] = []
        if self.topics:
            found = [(self._event, log) for log in t.logs if self._raised(log)]
        elif t.to in self.contracts and (not self.selectors or t.input[:SELECTOR] in self.selectors):
            found = [(self._call, t.input[SELECTOR:])]
        if not found:
            yield self._why_none(t)
        for read, source in found:
            try:
                values = read(source)
            except (ValueError, IndexError):
                yield "CHR-X-MALFORMED"
            else:
                yield values

    def _raised(self, log: Log) -> bool:
        return log.address in self.contracts and bool(log.topics) and log.topics[0] in self.topics

    def _why_none(self, t: Transaction) -> str:
        if not t.to:
            return "CHR-X-DEPLOY"
        return "CHR-X-SYSTEM" if t.to not in self.contracts and self.is_system(t.to) else "CHR-X-OTHER"

    def _call(self, data: bytes) -> tuple[bytes, ...]:
        values = arguments(self.named.types, data) if self.named else (data,)
        return tuple(values[i] for i in self.chosen)

    def _event(self, log: Log) -> tuple[bytes, ...]:
        assert self.named is not None
        types, indexed = self.named.types, self.named.indexed
        if len(log.topics) <= sum(indexed):
            raise ValueError("a topic is missing")
        topics = iter(log.topics[1:])
        data = iter(arguments([name for name, is_topic in zip(types, indexed, strict=True) if not is_topic], log.data))
        values = [bytes.fromhex(next(topics)[2:]) if is_topic else next(data) for is_topic in indexed]
        return tuple(values[i] for i in self.chosen)


def stated_digest(value: bytes) -> bytes | None:
    """The 32-byte digest that an argument states: as bytes, or as hex with or without 0x; None where it is none."""
    if len(value) == DIGEST:
        return value
    text = value.removeprefix(b"0x").removeprefix(b"0X")
    return bytes.fromhex(text.decode()) if _HEX_DIGEST.fullmatch(text) else None


def hollow(values: tuple[bytes, ...]) -> str | None:
    """Why a payload says nothing, if so."""
    content = b"".join(values)
    if not content.strip(b"\0"):
        return "CHR-X-EMPTY"
    return "CHR-X-CONSTANT" if len(content) > 1 and content.count(content[:1]) == len(content) else None


def digest(values: tuple[bytes, ...]) -> bytes:
    """16 bytes that stand for a payload; ("ab", "c") and ("a", "bc") differ."""
    joined = b"".join([len(value).to_bytes(8, "big") + value for value in values])
    return hashlib.blake2b(joined, digest_size=16).digest()
