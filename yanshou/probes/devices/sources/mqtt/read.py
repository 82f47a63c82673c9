"""Messages of a broker -> identities. Pure.

A retained message proves that somebody once spoke, not that anybody does: it is no message here. What the broker says of
itself ($SYS) is only compared: its counter of connections also counts TCP connections that never said a word of MQTT.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.mqtt.params import Source
from yanshou.probes.devices.sources.tally import Tally, json_lines, some

Node = tuple[str, str]
Who = tuple[tuple[Node, ...], str]
MESSAGES, SYS, EVENTS, LOG = "messages.csv", "sys.csv", "events.jsonl", "broker.log"
MOST_IDENTITIES = 200_000
"""More different identities than this are invented by somebody; memory stays bounded."""
RUN = 8
"""Values in a row that make a fingerprint: as many different ones in the same order are no coincidence."""
KEPT = 4

_SESSION = re.compile(rb"New client connected from (?P<ip>.+):\d+ as (?P<id>.+) \(p\d")
_GONE = re.compile(rb"Client (?P<id>.+?) (?:disconnected|closed its connection|has exceeded timeout)")
_TAKEOVER = re.compile(rb"Client (?P<id>.+) already connected, closing old connection")
_WHEN = re.compile(rb"(\d{9,11}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}): ")


def columns(source: Source) -> tuple[str, ...]:
    """Columns of `messages.csv`. `value` is "" where none was found, or none was asked for and the digest stands for it."""
    return ("utc_ns", "topic", "size", "digest", "retain", *source.kinds, "gateway", "value", "payload")


class _Stream(Tally):
    """What one identity said, with fingerprints of which a copy shares one though it was recorded a little earlier or later.

    A fingerprint is the digest of RUN different values in a row, where a repeated value counts once; the KEPT least are kept
    (winnowing). Two recordings of one stream that differ by fewer than KEPT values at either end have one in common for
    certain: only what the other lacks can be less than the least that both have.
    """

    __slots__ = ("_least", "_run")

    def __init__(self) -> None:
        super().__init__()
        self._run: deque[bytes] = deque(maxlen=RUN)
        self._least: list[str] = []

    def say(self, t_ns: int, payload: bytes) -> None:
        """It said `payload` at `t_ns`."""
        super().say(t_ns, payload)
        if self._run and self._run[-1] == payload:
            return
        self._run.append(payload)
        if len(self._run) == RUN == len(set(self._run)):
            digest = hashlib.blake2b(repr(self._run).encode(), digest_size=16).hexdigest()
            if len(self._least) < KEPT or digest < self._least[-1]:
                self._least = sorted({*self._least, digest})[:KEPT]

    @property
    def content(self) -> str:
        """The fingerprints, "" for fewer than RUN different values in a row."""
        return " ".join(self._least)


def _rows(evidence: RunEvidence, name: str) -> Iterator[list[str]]:
    """Whole rows after the header, none where the stream was never opened; what a kill cut off is left out."""
    if name not in evidence.streams():
        return
    with closing(evidence.open(name)) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
        rows = csv.reader(text)
        header = next(rows, [])
        yield from (row for row in rows if len(row) == len(header))


class _Message(NamedTuple):
    """One line: who spoke (the identities that came together, the best first, and the gateway), and what."""

    t_ns: int
    retained: bool
    nameless: bool
    who: Who
    value: str


def _messages(evidence: RunEvidence, source: Source) -> Iterator[_Message]:
    kinds = source.kinds
    gateway = 5 + len(kinds)
    for row in _rows(evidence, MESSAGES):
        told: tuple[Node, ...] = tuple((k, v) for k, v in zip(kinds, row[5:gateway], strict=True) if v)
        who = (told or (("topic", row[1]),), row[gateway])
        value = row[gateway + 1] if source.value else row[3]
        yield _Message(int(row[0]), row[4] == "1", bool(kinds) and not told, who, value)


def _streams(evidence: RunEvidence, source: Source) -> dict[Who, _Stream]:
    """What each of the first MOST_IDENTITIES said, retained messages left out."""
    streams: dict[Who, _Stream] = {}
    for message in _messages(evidence, source):
        if message.retained:
            continue
        stream = streams.get(message.who)
        if stream is None:
            if len(streams) == MOST_IDENTITIES:
                continue
            stream = streams[message.who] = _Stream()
        if message.value:
            stream.say(message.t_ns, message.value.encode())
        else:
            stream.seen(message.t_ns)
    return streams


@dataclass
class _Log:
    """Sessions that the broker's log shows: client id -> (address, connected at, UTC ns)."""

    sessions: dict[str, tuple[str, int]] = field(default_factory=dict)
    takeovers: list[str] = field(default_factory=list)


def _when(line: bytes) -> int:
    """UTC ns of a log line, 0 for a form that is not mosquitto's."""
    found = _WHEN.match(line)
    if found is None:
        return 0
    text = found[1].decode()
    return int(text) * 10**9 if text.isdecimal() else int(datetime.fromisoformat(text).timestamp()) * 10**9


def _log(evidence: RunEvidence, start_ns: int) -> _Log:
    """The sessions that were there at `start_ns` or later, and those taken over since."""
    log = _Log()
    if LOG not in evidence.streams():
        return log
    with evidence.open(LOG) as lines:
        for line in lines:
            t_ns = _when(line)
            if found := _SESSION.search(line):
                log.sessions[found["id"].decode("utf-8", "replace")] = (found["ip"].decode("ascii", "replace"), t_ns)
            elif found := _TAKEOVER.search(line):
                if t_ns >= start_ns - 10**9:  # the log has whole seconds
                    log.takeovers.append(found["id"].decode("utf-8", "replace"))
            elif (found := _GONE.search(line)) and t_ns < start_ns:
                log.sessions.pop(found["id"].decode("utf-8", "replace"), None)
    return log


def _events(evidence: RunEvidence) -> tuple[list[dict[str, object]], int, set[str]]:
    """All events, when the first connection stood (UTC ns, 0 for never), and the client ids that are our own."""
    events = list(json_lines(evidence, EVENTS))
    start = next((int(str(e["t"])) for e in events if e.get("event") == "connected"), 0)
    return events, start, {str(e["client_id"]) for e in events if "client_id" in e}


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per set of identities that came in one message, and one per session in the broker's log."""
    for (((kind, value), *others), gateway), stream in _streams(evidence, source).items():
        yield Observation(
            kind, value, source.name, stream.first_ns, stream.last_ns, stream.messages, stream.distinct_values,
            stream.content, gateway, dict(others),
        )  # fmt: skip
    _, start, own = _events(evidence)
    for client, (ip, t_ns) in _log(evidence, start).sessions.items():
        if client not in own:
            yield Observation("client_id", client, source.name, t_ns, t_ns, same={"ip": ip})


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What the recording itself, the broker's log and its own counters say."""
    total = retained = nameless = 0
    speakers: set[Who] = set()
    for message in _messages(evidence, source):
        total, retained, nameless = total + 1, retained + message.retained, nameless + message.nameless
        if not message.retained and len(speakers) <= MOST_IDENTITIES:
            speakers.add(message.who)
    events, start, own = _events(evidence)
    log = _log(evidence, start)
    yield from _connection(events, total, source.name)
    if nameless:
        text = f"来源 {source.name}：{total} 条消息里有 {nameless} 条读不出标识，只能按主题识别"
        yield Validity("MQT-V03", Severity.WARNING, text)
    if retained:
        text = f"来源 {source.name}：{retained} 条是代理保留的旧消息，不证明设备在线，不计"
        yield Validity("MQT-V04", Severity.WARNING, text)
    yield from _counters(evidence, source.name, sessions=len(log.sessions.keys() - own) or len(speakers))
    if log.takeovers:
        names = sorted(set(log.takeovers))
        text = f"来源 {source.name}：窗口内有 {len(log.takeovers)} 次同号顶替，{len(names)} 个客户端号被多处使用：{some(names)}"
        yield Validity("MQT-V07", Severity.WARNING, text)
    if len(speakers) > MOST_IDENTITIES:
        text = f"来源 {source.name}：标识超过 {MOST_IDENTITIES} 个，像是随意编造的，多出的没有计入"
        yield Validity("MQT-V08", Severity.INVALID, text)


def _connection(events: list[dict[str, object]], messages: int, name: str) -> Iterator[Validity]:
    end = events[-1] if events and events[-1].get("event") == "end" else None
    if end is None or end.get("messages") != messages:
        yield Validity("MQT-V01", Severity.INVALID, f"来源 {name}：记录不完整，被中断或有缺失")
    lost, gap_ns, last = 0, 0, 0
    for event in events:
        t_ns = int(str(event["t"]))
        if event["event"] == "lost":
            lost, last = lost + 1, last or t_ns
        elif last:
            gap_ns, last = gap_ns + t_ns - last, 0 if event["event"] == "connected" else last
    if lost:
        seconds = f"来源 {name}：订阅中断 {lost} 次，共 {gap_ns / 1e9:.1f} 秒没有收到消息"
        if last:
            yield Validity("MQT-V02", Severity.INVALID, f"{seconds}，到结束也没有恢复")
        else:
            yield Validity("MQT-V02", Severity.WARNING, seconds)


def _counters(evidence: RunEvidence, name: str, sessions: int) -> Iterator[Validity]:
    """What the broker says of itself against what was seen; `sessions` are those seen without our own."""
    said: dict[str, list[int]] = {}
    for _, topic, value in _rows(evidence, SYS):
        if value.strip().lstrip("-").isdecimal():
            said.setdefault(topic.rsplit("/", 1)[1], []).append(int(value))
    connected, total = (said.get(key, [0])[-1] for key in ("connected", "total"))
    if connected > sessions + 1:
        text = f"来源 {name}：代理自报 {connected} 个连接（含本仪器），实见 {sessions} 个会话，多出的静默或没有登录"
        if 0 < total < connected:
            text += f"；其中 {connected - total} 个只是 TCP 连接，连登录报文都没有发"
        yield Validity("MQT-V05", Severity.WARNING, text)
    if (dropped := said.get("dropped", [])) and dropped[-1] > dropped[0]:
        text = f"来源 {name}：窗口内代理丢弃了 {dropped[-1] - dropped[0]} 条消息，见到的可能偏少"
        yield Validity("MQT-V06", Severity.WARNING, text)
