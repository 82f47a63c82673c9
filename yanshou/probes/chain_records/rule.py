"""Which transactions and events are records, and why the others are not. Pure; one transaction at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from yanshou.chains.abi import Signature, arguments, names, signature
from yanshou.chains.crypto import EVM_SUITES
from yanshou.chains.model import Call, Log, Transaction
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
    """A `Record` made ready. Selectors and topics are those of either suite: a compiler may use another hash than its chain.

    `called`, `names`: method or event, and its arguments, on a chain that calls contracts by name.
    """

    contracts: frozenset[str]
    is_system: Callable[[str], bool]
    events: bool
    named: Signature | None
    selectors: frozenset[bytes]
    topics: frozenset[str]
    called: str
    names: tuple[str, ...]
    chosen: tuple[int, ...]

    @classmethod
    def of(cls, record: Record, is_system: Callable[[str], bool], by_name: bool) -> Rule:
        """The rule that `record` states, on a chain where `is_system` tells its own contracts; `by_name`: see `Chain`."""
        text, events = record.method or record.event, record.event is not None
        count = record.arguments(by_name)
        chosen = record.payload or tuple(range(1 if count is None else count))
        if by_name:
            called, words = names(text) if text else ("", ())
            topics = frozenset({called}) if events else frozenset[str]()
            return cls(frozenset(record.contracts), is_system, events, None, frozenset(), topics, called, words, chosen)
        named = signature(text) if text else None
        hashes = [suite.hash(named.text.encode()) for suite in EVM_SUITES] if named else []
        return cls(
            frozenset(contract.lower() for contract in record.contracts),
            is_system,
            events,
            named,
            frozenset() if events else frozenset(h[:SELECTOR] for h in hashes),
            frozenset("0x" + h.hex() for h in hashes) if events else frozenset(),
            "",
            (),
            chosen,
        )

    def judge(self, t: Transaction) -> Iterator[str | tuple[bytes, ...]]:
        """Of each record in a transaction its payload (see `hollow`), or why it is none; one code where there is no record."""
        if not t.succeeded:
            yield "CHR-X-FAILED"
            return
        found: list[tuple[Callable[[Any], tuple[bytes, ...]], Any]] = []
        if self.events:
            found = [(self._event, log) for log in t.logs if self._raised(log)]
        elif t.to in self.contracts and self._calls(t):
            found = [(self._named_call, t.call)] if t.call else [(self._call, t.input[SELECTOR:])]
        if not found:
            yield self._why_none(t)
        for read, source in found:
            try:
                values = read(source)
            except (ValueError, IndexError):
                yield "CHR-X-MALFORMED"
            else:
                yield values

    def _calls(self, t: Transaction) -> bool:
        if t.call:
            return not self.called or t.call.method == self.called
        return not self.selectors or t.input[:SELECTOR] in self.selectors

    def _raised(self, log: Log) -> bool:
        return log.address in self.contracts and bool(log.topics) and log.topics[0] in self.topics

    def _why_none(self, t: Transaction) -> str:
        if not t.to:
            return "CHR-X-DEPLOY"
        return "CHR-X-SYSTEM" if t.to not in self.contracts and self.is_system(t.to) else "CHR-X-OTHER"

    def _call(self, data: bytes) -> tuple[bytes, ...]:
        values = arguments(self.named.types, data) if self.named else (data,)
        return tuple(values[i] for i in self.chosen)

    def _named_call(self, call: Call) -> tuple[bytes, ...]:
        if not self.called:
            return tuple(value for _, value in call.arguments)
        if all(name for name, _ in call.arguments):
            by_name = dict(call.arguments)
            if not set(self.names) <= by_name.keys() or len(by_name) != len(call.arguments):
                raise ValueError("an argument is missing or there twice")
            return tuple(by_name[self.names[i]] for i in self.chosen)
        return tuple(call.arguments[i][1] for i in self.chosen)

    def _event(self, log: Log) -> tuple[bytes, ...]:
        if log.values is not None:
            return tuple(log.values[i] for i in self.chosen)
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
