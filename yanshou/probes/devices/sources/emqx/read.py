"""A broker's list of clients -> identities. Pure.

A session that outlives its connection is listed too: only rows that say `connected` count. Messages are the growth of
`recv_msg` between rounds; what they say cannot be seen here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.emqx.params import Source
from yanshou.probes.devices.sources.tally import json_lines

CLIENTS = "clients.jsonl"


@dataclass
class _Client:
    """One client id over all rounds. `messages` is None until a second round has shown how its counter grows."""

    round: int
    connected_at: str
    counter: int | None
    first_ns: int
    last_ns: int = 0
    ip: str = ""
    messages: int | None = None


@dataclass
class _Read:
    clients: dict[str, _Client] = field(default_factory=dict)
    rows: Counter[int] = field(default_factory=Counter)
    stated: dict[int, int] = field(default_factory=dict)
    failed: int = 0
    disconnected: set[str] = field(default_factory=set)
    whole: bool = False


def _utc_ns(text: str) -> int:
    """UTC ns of an RFC 3339 time, 0 for anything else."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int(when.timestamp() * 1000) * 10**6 if when.tzinfo else 0


def _read(evidence: RunEvidence) -> _Read:
    read = _Read()
    for row in json_lines(evidence, CLIENTS):
        if "end" in row:
            read.whole = True
        elif "failed" in row:
            read.failed += 1
        else:
            number, body = int(row["round"]), row["body"]
            read.rows[number] += len(body["data"])
            if isinstance(count := body["meta"].get("count"), int):
                read.stated[number] = count
            for client in body["data"]:
                _take(read, client, number, int(row["t"]))
    return read


def _take(read: _Read, row: dict[str, Any], number: int, t_ns: int) -> None:
    name, since = str(row["clientid"]), str(row.get("connected_at") or "")
    if row.get("connected") is not True:
        read.disconnected.add(name)
        return
    counter = row.get("recv_msg")
    counter = counter if isinstance(counter, int) else None
    client = read.clients.get(name)
    if client is None:
        client = read.clients[name] = _Client(number, since, counter, _utc_ns(since) or t_ns)
    elif client.round != number and counter is not None:  # a list that moves between pages may show a row twice
        before = client.counter if client.connected_at == since else 0  # a new connection counts from nothing
        client.messages = (client.messages or 0) + max(0, counter - (before or 0))
        client.round, client.connected_at, client.counter = number, since, counter
    client.last_ns, client.ip = t_ns, str(row.get("ip_address") or "")


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per client that was connected in any round."""
    for name, c in _read(evidence).clients.items():
        same = {"ip": c.ip} if c.ip else {}
        yield Observation("client_id", name, source.name, c.first_ns, c.last_ns, c.messages, same=same)


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What the rounds themselves show."""
    read, where = _read(evidence), f"来源 {source.name}："
    if not read.whole or not read.rows:
        yield Validity("EMQ-V01", Severity.INVALID, f"{where}记录不完整，被中断")
    if read.failed:
        yield Validity("EMQ-V02", Severity.WARNING, f"{where}{read.failed} 轮查询失败，见到的可能偏少")
    if gone := read.disconnected - read.clients.keys():
        yield Validity("EMQ-V03", Severity.WARNING, f"{where}列表里有 {len(gone)} 个会话已经断开，不计")
    if short := [n for n, stated in read.stated.items() if stated != read.rows[n]]:
        text = f"{where}{len(short)} 轮里列出的行数与接口自报的总数不同，翻页时列表在变，或有隐藏"
        yield Validity("EMQ-V04", Severity.WARNING, text)
