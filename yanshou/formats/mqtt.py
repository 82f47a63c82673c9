"""MQTT control packets in the octets of one direction of a TCP connection (OASIS MQTT 3.1.1 and 5.0, section 2 and 3).

It is for names: which client connected, which topics are published. It must never keep a payload, and its memory is bounded:
what does not begin with a control packet is skipped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CONNECT, PUBLISH = 1, 3
MOST = 1 << 16
"""Octets kept of an incomplete packet."""
_SMALLEST_FLAGS = {1: 0, 2: 0, 4: 0, 5: 0, 6: 2, 7: 0, 8: 2, 9: 0, 10: 2, 11: 0, 12: 0, 13: 0, 14: 0, 15: 0}


class Said(NamedTuple):
    """CONNECT with its client id, or PUBLISH with its topic and the number of payload octets."""

    kind: int
    name: str
    octets: int


class MqttStream:
    """One direction of one connection. `skipped` segments did not begin where a packet does."""

    def __init__(self) -> None:
        self._rest = b""
        self._ahead = 0
        self.skipped = 0

    def feed(self, data: bytes) -> Iterator[Said]:
        """What the next segment says; segments come in order, a lost one only costs what it carried."""
        if self._ahead:  # the tail of a payload that is longer than is kept
            skip = min(self._ahead, len(data))
            self._ahead, data = self._ahead - skip, data[skip:]
        data, self._rest = self._rest + data, b""
        at = 0
        while at < len(data):
            kind, flags = data[at] >> 4, data[at] & 0x0F
            size, body = _length(data, at + 1)
            if size == -1:
                self._rest = data[at:]
                return
            if size < -1 or (kind != PUBLISH and flags != _SMALLEST_FLAGS.get(kind)) or kind == 0:
                self.skipped += 1
                return
            end = body + size
            if end > len(data) and kind != PUBLISH and size <= MOST:
                self._rest = data[at:]
                return
            said = (
                _publish(data, body, end, flags)
                if kind == PUBLISH
                else _connect(data, body)
                if kind == CONNECT
                else None
            )
            if said is not None:
                yield said
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


def _text(data: bytes, at: int) -> tuple[str | None, int]:
    size = int.from_bytes(data[at : at + 2], "big")
    end = at + 2 + size
    if len(data) < end or len(data) < at + 2:
        return None, at
    try:
        return data[at + 2 : end].decode("utf-8"), end
    except UnicodeDecodeError:
        return None, at


def _connect(data: bytes, at: int) -> Said | None:
    name, at = _text(data, at)
    if name not in ("MQTT", "MQIsdp") or len(data) <= at + 4:
        return None
    level, at = data[at], at + 4
    if level == 5:
        size, at = _length(data, at)
        at += max(size, 0)
    client, _ = _text(data, at)
    return None if client is None else Said(CONNECT, client, 0)


def _publish(data: bytes, at: int, end: int, flags: int) -> Said | None:
    topic, after = _text(data, at)
    if topic is None or "\0" in topic or not topic or (flags >> 1 & 3) == 3:
        return None
    return Said(PUBLISH, topic, max(0, end - after - (2 if flags & 0x06 else 0)))
