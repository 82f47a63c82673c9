"""Persistent HTTP/1.1 connections to one address, as the net of the `rtt` sender: one thread, nothing blocks.

It is for asking when a request is due, whatever became of the ones before. Where all connections are busy a request waits,
in order; pipelining would let the server's answer to one hold up the next unseen. A connection that the server closes is opened
again, one whose answer does not come in time is given up. It must never ask the same thing twice. h11 knows HTTP. Runs on bare
Python 3.8 and h11, which a kit takes along.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import h11

from yanshou.harness.evidence import StreamWriter
from yanshou.probes.rtt.timestamps import Received
from yanshou.probes.rtt_http.streams import CLOSED, EXCHANGE_COLUMNS, EXPIRED, GARBAGE, TIMEOUT

CHUNK = 1 << 16
OPENING_NS = 5_000_000_000
RETRY_NS = 100_000_000
"""After a connection that never served: one that is closed as soon as it is open must not be opened without end."""
_PENDING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)
_WAITS = (BlockingIOError, ssl.SSLWantReadError)


class Place(NamedTuple):
    """Where to connect to: what getaddrinfo says, and the name that TLS must prove (with the context to prove it)."""

    family: int
    address: Any
    name: str
    tls: ssl.SSLContext | None


class Asked(NamedTuple):
    """A request: its number, the name by which it is told from others, and until when (MONOTONIC ns) it is waited for."""

    sequence: int
    name: bytes
    deadline: int


class Ended(NamedTuple):
    """How a request ended; it stands where a datagram has its sender's address."""

    sequence: int
    status: str


class Question(NamedTuple):
    """What is asked, every time."""

    method: str
    target: str
    headers: Any
    body: bytes

    def events(self, name: bytes) -> Iterator[Any]:
        """One request, as h11 takes it."""
        yield h11.Request(method=self.method, target=self.target, headers=[*self.headers, ("X-Request-ID", name)])
        if self.body:
            yield h11.Data(data=self.body)
        yield h11.EndOfMessage()


class _Connection:
    """One TCP connection from its opening to its end. Whatever raises OSError or h11's errors is the end of it."""

    def __init__(self, number: int, place: Place) -> None:
        self.number = number
        self.asked: Asked | None = None
        self.sent_ns = self.octets = 0
        self.ready = self.served = False
        self.deadline = time.monotonic_ns() + OPENING_NS
        self._status = ""
        self._unsent = b""
        self._place = place
        self._http = h11.Connection(h11.CLIENT)
        self.sock = socket.socket(place.family, socket.SOCK_STREAM)
        self.writing = True
        """It waits until something can be written; else until something can be read."""
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connecting = True
        self.refused = self.sock.connect_ex(place.address) not in _PENDING

    @property
    def idle(self) -> bool:
        """A request may be asked."""
        return self.ready and self.asked is None

    def open(self) -> None:
        """Go on opening. Raises OSError."""
        if self._connecting:
            failure = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure:
                raise OSError(failure, "connect")
            self._connecting = False
            if self._place.tls:
                self.sock = self._place.tls.wrap_socket(
                    self.sock, server_hostname=self._place.name, do_handshake_on_connect=False
                )
        self.writing = False
        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.do_handshake()
            except ssl.SSLWantReadError:
                return
            except ssl.SSLWantWriteError:
                self.writing = True
                return
        self.ready = True

    def ask(self, asked: Asked, question: Question) -> None:
        """Ask. Raises OSError."""
        self.asked, self.deadline, self.octets, self._status = asked, asked.deadline, 0, ""
        self._unsent = b"".join(self._http.send(event) or b"" for event in question.events(asked.name))
        self.sent_ns = time.time_ns()
        self.write()

    def write(self) -> None:
        """What the system takes now. Raises OSError."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        self.writing = bool(self._unsent)

    def read(self) -> tuple[int, str] | None:
        """(when the last octet of the answer came, its status) once it is whole. Raises OSError, h11.RemoteProtocolError."""
        while True:
            try:
                data = self.sock.recv(CHUNK)
            except _WAITS:
                return None
            now = time.time_ns()
            if self.asked is None:
                raise ConnectionError("closed while idle, or spoke unasked")
            self._http.receive_data(data)
            try:
                if self._is_whole():
                    return now, self._status
            except h11.RemoteProtocolError:
                if not data:
                    raise ConnectionError("closed before the answer was whole") from None
                raise

    def _is_whole(self) -> bool:
        """Take what has come of the answer; True when that was the last of it. Raises h11.RemoteProtocolError."""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return False
            if isinstance(event, h11.Response):
                self._status = str(event.status_code)
            elif isinstance(event, h11.Data):
                self.octets += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return True

    def again(self) -> bool:
        """After a whole answer: ready for the next request? False when this was the last one here."""
        self.asked, self.served = None, True
        if self._unsent or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True


class Pool:
    """The connections, what waits for one, and what has ended."""

    def __init__(self, number: int, place: Place, question: Question, timeout_ns: int, exchanges: StreamWriter) -> None:
        self._place, self._question, self._timeout, self._exchanges = place, question, timeout_ns, exchanges
        self._exchanges.write(EXCHANGE_COLUMNS.encode() + b"\n")
        self._waiting: deque[Asked] = deque()
        self._ended: deque[Received] = deque()
        self._attempts = self._opened = 0
        self._retry: list[int] = []
        self._connections: list[_Connection] = []
        for _ in range(number):
            self._open()

    def close(self) -> None:
        """Let go of every connection; what was not answered until now stays without a row."""
        for connection in self._connections:
            connection.sock.close()
        self._connections.clear()

    def send(self, data: bytes) -> None:
        """Ask, on the first idle connection, now or as soon as there is one. `data` is the name of the request."""
        self._waiting.append(Asked(self._attempts, data, time.monotonic_ns() + self._timeout))
        self._attempts += 1
        self._dispatch()

    def transmitted(self) -> Iterator[tuple[int, int]]:
        """Nothing: TCP stamps octets, not requests."""
        return iter(())

    def wait(self, seconds: float) -> None:
        """Sleep until one of the connections has something."""
        if not self._ended:
            self._ready(seconds)

    def _ready(self, seconds: float) -> tuple[set[Any], set[Any]]:
        """Sockets that can be read, and written. (select counts in us, epoll in ms, which would make the sender late.)"""
        reading = [c.sock for c in self._connections if c.ready or not c.writing]
        writing = [c.sock for c in self._connections if c.writing]
        readable, writable, _ = select.select(reading, writing, (), seconds)
        return set(readable), set(writable)

    def receive(self) -> Received | None:
        """The next request that ended: its user stamp is when the answer's last octet came, or when it was given up."""
        if not self._ended:
            self._turn()
        return self._ended.popleft() if self._ended else None

    def _turn(self) -> None:
        readable, writable = self._ready(0)
        for connection in list(self._connections):
            if connection.sock in readable or connection.sock in writable:
                self._serve(connection, connection.sock in readable)
        now = time.monotonic_ns()
        for connection in [c for c in self._connections if now > c.deadline and not c.idle]:
            self._end(connection, TIMEOUT)
        while self._waiting and now > self._waiting[0].deadline:
            self._row(self._waiting.popleft(), "", "", EXPIRED, 0, time.time_ns())
        while self._retry and now >= self._retry[0]:
            del self._retry[0]
            self._open()
        self._dispatch()

    def _dispatch(self) -> None:
        for connection in list(self._connections):
            if not self._waiting:
                return
            if connection.idle:
                try:
                    connection.ask(self._waiting.popleft(), self._question)
                except OSError:
                    self._end(connection, CLOSED)

    def _serve(self, connection: _Connection, readable: bool) -> None:
        try:
            if not connection.ready:
                connection.open()
                return
            if connection.writing:
                connection.write()
            answer = connection.read() if readable else None
            if answer is not None:
                self._answered(connection, *answer)
        except OSError:
            self._end(connection, CLOSED)
        except h11.RemoteProtocolError:
            self._end(connection, GARBAGE)

    def _answered(self, connection: _Connection, now: int, status: str) -> None:
        assert connection.asked is not None
        self._row(connection.asked, connection.number, connection.sent_ns, status, connection.octets, now)
        if not connection.again():
            self._drop(connection)
            self._open()

    def _end(self, connection: _Connection, how: str) -> None:
        """The connection is of no use any more, nor is the request that was on it."""
        if connection.asked is not None:
            self._row(connection.asked, connection.number, connection.sent_ns, how, connection.octets, time.time_ns())
        self._drop(connection)
        if connection.served:
            self._open()
        else:
            self._retry.append(time.monotonic_ns() + RETRY_NS)

    def _row(self, asked: Asked, connection: Any, sent_ns: Any, status: str, octets: int, now: int) -> None:
        self._exchanges.write(f"{asked.sequence},{connection},{sent_ns},{status},{octets}\n".encode())
        self._ended.append(Received(b"", Ended(asked.sequence, status), 0, now, 0))

    def _open(self) -> None:
        connection = _Connection(self._opened, self._place)
        self._opened += 1
        self._connections.append(connection)
        if connection.refused:
            self._end(connection, CLOSED)

    def _drop(self, connection: _Connection) -> None:
        connection.sock.close()
        self._connections.remove(connection)
