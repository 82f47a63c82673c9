"""A virtual device: one MQTT 3.1.1 session (OASIS, 2014) that publishes at QoS 1 and waits for the acknowledgement.

It is for load: nothing but blocking sockets, so that it runs in any thread or greenlet, and a process holds as many as it may
open files. (paho-mqtt waits by select() and ends at some 340 clients in a process.) It must never subscribe.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

CONNECT, CONNACK, PUBLISH_QOS1, PUBACK, DISCONNECT = 0x10, 0x20, 0x32, 0x40, 0xE0
CLEAN, NAMED, SECRET = 0x02, 0x80, 0x40
"""Flags of CONNECT."""
LEVEL = 4


class Refused(ConnectionError):
    """The broker does not let us in, or what answers is no broker."""


def packet(head: int, body: bytes) -> bytes:
    """A control packet: first octet, remaining length (section 2.2.3), body."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([head]) + bytes(length) + body


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data


class Device:
    """One session. `login` is user name and password; `timeout_s` is for each answer."""

    def __init__(
        self,
        address: tuple[str, int],
        client_id: str,
        timeout_s: float,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address, self._client_id, self._timeout = address, client_id, timeout_s
        self._login, self._tls = login, tls
        self._socket: socket.socket | None = None
        self._number = 0

    def publish(self, topic: str, payload: bytes) -> int:
        """Octets sent, once the broker has acknowledged; connects first where it must. Raises OSError; then it is not connected."""
        try:
            if self._socket is None:
                self._connect()
            self._number = self._number % 0xFFFF + 1
            identifier = struct.pack("!H", self._number)
            data = packet(PUBLISH_QOS1, _text(topic) + identifier + payload)
            self._send(data)
            if self._receive() != (PUBACK, identifier):
                raise Refused("not the acknowledgement")
        except BaseException:
            self.close()
            raise
        return len(data)

    def close(self) -> None:
        """Leave, in order where that is possible."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with suppress(OSError):
                connection.sendall(packet(DISCONNECT, b""))
            connection.close()

    def _connect(self) -> None:
        connection = socket.create_connection(self._address, self._timeout)
        self._socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self._socket = self._tls.wrap_socket(connection, server_hostname=self._address[0])
        flags, identity = CLEAN, _text(self._client_id)
        if self._login is not None:
            flags, identity = flags | NAMED | SECRET, identity + _text(self._login[0]) + _text(self._login[1])
        keep_alive = 0  # a device of low rate is not to be thrown out between two messages
        self._send(packet(CONNECT, _text("MQTT") + struct.pack("!BBH", LEVEL, flags, keep_alive) + identity))
        kind, body = self._receive()
        if kind != CONNACK or body[1:2] != b"\0":
            raise Refused("login refused")

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def _receive(self) -> tuple[int, bytes]:
        """Next packet: first octet and body. What a device is answered has at most a few octets."""
        head, length = self._exactly(2)
        if length > 127:
            raise Refused("not a broker's answer")
        return head, self._exactly(length)

    def _exactly(self, number: int) -> bytes:
        assert self._socket is not None
        data = b""
        while len(data) < number:
            more = self._socket.recv(number - len(data))
            if not more:
                raise ConnectionResetError("the broker closed the connection")
            data += more
        return data
