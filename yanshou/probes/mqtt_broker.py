"""A small MQTT broker for standards: a calibration must need nothing that has to be installed beside this package.

It speaks MQTT 3.1.1 (OASIS, 2014), QoS 0 and 1 from publishers and QoS 0 to subscribers, plain TCP, no retained messages and no
persistent sessions, in a child process that ends when its standard input closes. It must never be put before real devices.

With an argument, HOLD_NS, it is a punctual standard: it holds each message for so long before it passes it on and, at the
end, prints the log of `rtt.hold`: from when a message was read until before it is written, so that a probe can only read more.
The number of a message is its first four octets.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from yanshou.harness.basics import ProbeError
from yanshou.probes.rtt.hold import hold_row
from yanshou.probes.rtt.timing import punctual

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14,
)  # fmt: skip
LONGEST_PACKET = 1 << 20
MOST_PENDING = 4 << 20
"""Bytes that may wait for a slow subscriber; then messages to it are dropped, as QoS 0 allows."""
VERSION = 4
LEAVE_S = 5.0


@contextmanager
def running() -> Iterator[int]:
    """A broker on loopback; yields its port. Raises ProbeError BRK-E01 where it does not start."""
    command = [sys.executable, "-m", "yanshou.probes.mqtt_broker"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        line = child.stdout.readline().strip()
        if not line.isdecimal():
            raise ProbeError("BRK-E01", "内置的 MQTT 代理没有启动", "检查本机是否允许监听环回接口 127.0.0.1")
        yield int(line)
    finally:
        try:
            child.communicate(timeout=LEAVE_S)  # closes its standard input, which ends it
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    """A length-prefixed string at `at`, and where it ends. Raises ValueError."""
    (size,) = struct.unpack_from("!H", body, at)
    end = at + 2 + size
    if end > len(body):
        raise ValueError("string longer than its packet")
    return body[at + 2 : end], end


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, flags and body of the next packet. Raises asyncio.IncompleteReadError at the end, ValueError for garbage."""
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            break
        if shift > 21:
            raise ValueError("remaining length longer than four bytes")
    if length > LONGEST_PACKET:
        raise ValueError("packet too long")
    return head >> 4, head & 0x0F, await reader.readexactly(length)


@dataclass(eq=False)
class _Session:
    """One connected client."""

    writer: asyncio.StreamWriter
    client_id: bytes
    filters: set[str] = field(default_factory=set)


@dataclass
class _Broker:
    """Who is connected; sessions without a client id of their own are only in `sessions`."""

    sessions: set[_Session] = field(default_factory=set)
    named: dict[bytes, _Session] = field(default_factory=dict)
    hold_ns: int = 0
    log: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from beginning to end."""
        session: _Session | None = None
        try:
            session = await self._greet(reader, writer)
            while session is not None:
                kind, flags, body = await _read(reader)
                if kind == DISCONNECT:
                    break
                self._take(session, kind, flags, body)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, struct.error):
            pass  # a client that speaks no MQTT, or is gone, is cut off
        finally:
            if session is not None:
                self.sessions.discard(session)
                if self.named.get(session.client_id) is session:
                    del self.named[session.client_id]
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Session | None:
        kind, _, body = await _read(reader)
        protocol, at = _text(body, 0)
        if kind != CONNECT or protocol != b"MQTT":
            return None
        if body[at] != VERSION:
            writer.write(_packet(CONNACK, b"\x00\x01"))  # unacceptable protocol version
            return None
        client_id, _ = _text(body, at + 4)
        session = _Session(writer, client_id)
        if client_id:
            if older := self.named.get(client_id):
                older.writer.close()
            self.named[client_id] = session
        self.sessions.add(session)
        writer.write(_packet(CONNACK, b"\x00\x00"))
        return session

    def _take(self, session: _Session, kind: int, flags: int, body: bytes) -> None:
        if kind == PUBLISH:
            topic, at = _text(body, 0)
            qos = flags >> 1 & 3
            if qos > 1:
                raise ValueError("QoS 2 is not spoken here")
            if qos:
                session.writer.write(_packet(PUBACK, body[at : at + 2]))
                at += 2
            if self.hold_ns:
                came = time.monotonic_ns()
                asyncio.get_running_loop().call_later(self.hold_ns / 1e9, self._release, topic, body[at:], came)
            else:
                self._forward(topic, body[at:])
        elif kind == PINGREQ:
            session.writer.write(_packet(PINGRESP, b""))
        elif kind in (SUBSCRIBE, UNSUBSCRIBE):
            self._subscribe(session, kind, body)

    def _subscribe(self, session: _Session, kind: int, body: bytes) -> None:
        at, granted = 2, b""
        while at < len(body):
            wanted, at = _text(body, at)
            if kind == SUBSCRIBE:
                session.filters.add(wanted.decode())
                at, granted = at + 1, granted + b"\x00"
            else:
                session.filters.discard(wanted.decode())
        session.writer.write(_packet(SUBACK if kind == SUBSCRIBE else UNSUBACK, body[:2] + granted))

    def _release(self, topic: bytes, payload: bytes, came: int) -> None:
        """Pass on what was held, and note for how long it truly was; nothing holds it on the way back."""
        number = int.from_bytes(payload[:4], "big")
        self.log += hold_row(number, time.monotonic_ns() - came, 0, "out"), hold_row(number, 0, 0, "back")
        self._forward(topic, payload)

    def _forward(self, topic: bytes, payload: bytes) -> None:
        from paho.mqtt.client import topic_matches_sub

        name = topic.decode()
        packet = _packet(PUBLISH, struct.pack("!H", len(topic)) + topic + payload)
        for session in self.sessions:
            if session.writer.transport.get_write_buffer_size() < MOST_PENDING and any(
                topic_matches_sub(wanted, name) for wanted in session.filters
            ):
                session.writer.write(packet)


async def _main(hold_ns: int) -> None:
    import paho.mqtt.client  # noqa: F401  so that the first message does not wait for it

    broker = _Broker(hold_ns=hold_ns)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  the parent reads it
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    sys.stdout.writelines(broker.log)


if __name__ == "__main__":
    if sys.argv[1:]:
        with punctual():
            asyncio.run(_main(int(sys.argv[1])))
    else:
        asyncio.run(_main(0))
