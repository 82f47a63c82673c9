"""MQTT control packets in the octets of one direction of a TCP connection (OASIS MQTT 3.1.1 and 5.0, section 2 and 3).

It is for names: which client connected, which topics are published. It must never keep a payload, and its memory is bounded:
what does not begin with a control packet is skipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

CONNECT, PUBLISH = 1, 3
MOST = 1 << 11
"""Octets kept of a packet whose name is not complete yet."""
RECENT = 8
"""Segments among which a repeated one is known."""
_FLAGS = {CONNECT: 0, 2: 0, 4: 0, 5: 0, 6: 2, 7: 0, 8: 2, 9: 0, 10: 2, 11: 0, 12: 0, 13: 0, 14: 0, 15: 0}
"""The flags that each kind of packet but PUBLISH must have."""
_WRAP = 0xFFFFFFFF
_WILD = frozenset("\0+#")
"""What no topic of a PUBLISH may hold."""


class Said(NamedTuple):
    """CONNECT with its client id, or PUBLISH with its topic and the number of payload octets."""

    kind: int
    name: str
    octets: int


class MqttStream:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._ahead = 0
        self._next: int | None = None
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)

    def segment(self, sequence: int, data: bytes) -> Iterator[Said]:
        """What a TCP segment says. A repeated one says nothing (a retransmission, or a port that is mirrored twice); after
        a missing one the reader begins afresh."""
        same = (sequence, crc32(data))
        keep_alive = len(data) == 1 and sequence + 1 & _WRAP == self._next
        if not data or keep_alive or same in self._recent:
            return
        self._recent.append(same)
        if sequence != self._next:
            self._rest, self._ahead = b"", 0
        self._next = sequence + len(data) & _WRAP
        yield from self.feed(data)

    def feed(self, data: bytes) -> Iterator[Said]:
        """What the next octets say; they may be cut anywhere."""
        skip = min(self._ahead, len(data))  # the tail of a packet of which enough is known
        self._ahead -= skip
        data, self._rest, at = self._rest + data[skip:], b"", 0
        while at < len(data):
            kind, flags = data[at] >> 4, data[at] & 0x0F
            size, body = _length(data, at + 1)
            if size == -1:
                self._rest = data[at:]
                return
            if size < -1 or (kind != PUBLISH and flags != _FLAGS.get(kind)):
                return
            end = body + size
            said = None
            if kind == PUBLISH:
                said = _publish(data, body, end, flags)
            elif kind == CONNECT:
                said = _connect(data, body, end)
            if said is not None:
                yield said
            elif kind in (CONNECT, PUBLISH) and end > len(data) < at + MOST:
                self._rest = data[at:]
                return
            if end > len(data):
                self._ahead = end - len(data)
                return
            at = end


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(remaining length, where the rest begins); -1 when more octets are needed, -2 when it is none."""
    value = 0
    for n in range(4):
        if at + n >= len(data):
            return -1, at
        octet = data[at + n]
        value |= (octet & 0x7F) << 7 * n
        if not octet & 0x80:
            return value, at + n + 1
    return -2, at


def _text(data: bytes, at: int, limit: int) -> tuple[str | None, int]:
    """A string with its length before it, and where it ends; None if it is not all there, beyond `limit`, or none."""
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if len(data) < max(end, at + 2) or end > limit:
        return None, at
    try:
        return data[at + 2 : end].decode("utf-8"), end
    except UnicodeDecodeError:
        return None, at


def _connect(data: bytes, at: int, limit: int) -> Said | None:
    name, at = _text(data, at, limit)
    if name not in ("MQTT", "MQIsdp") or len(data) <= at + 4:
        return None
    level, at = data[at], at + 4
    if level == 5:
        size, at = _length(data, at)
        at += max(size, 0)
    client, _ = _text(data, at, limit)
    return None if client is None else Said(CONNECT, client, 0)


def _publish(data: bytes, at: int, limit: int, flags: int) -> Said | None:
    topic, after = _text(data, at, limit)
    if not topic or not _WILD.isdisjoint(topic) or (flags >> 1 & 3) == 3:
        return None
    return Said(PUBLISH, topic, max(0, limit - after - (2 if flags & 0x06 else 0)))
