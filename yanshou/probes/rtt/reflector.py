"""The far end: a stateless STAMP session-reflector (RFC 8762 section 4.3) on one UDP port.

It is for sending each request straight back with the times of its arrival (kernel stamp) and departure; with a key it signs
them, and tells with the next reply when the last one truly left (RFC 8972). It must never send more octets than it got, never
answer what is not a STAMP request or, with a key, not signed by it, and keep no count: the sequence number is mirrored, so
that nothing but the sender's own counting says which packets were lost. Runs on bare Python 3.8.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from yanshou.harness.basics import Problem, UserError
from yanshou.probes.rtt.stamp import Request, error_estimate, pack_reply, read_request
from yanshou.probes.rtt.timestamps import Received, StampedSocket
from yanshou.probes.rtt.timing import clock_error_ns, punctual

SPIN_NS = 80_000
IDLE_SECONDS = 0.1
"""How long a stop request may go unnoticed."""
CLOCK_SECONDS = 10.0
SENDERS = 64
"""Senders whose last reply is remembered, the latest ones: memory stays bounded whoever calls."""


class _Waiting(NamedTuple):
    """A request and when its reply is due, MONOTONIC ns."""

    due: int
    received: Received
    request: Request


class _Departures:
    """When the last reply to each sender truly left: the stamps come after the packets they belong to."""

    def __init__(self, net: StampedSocket) -> None:
        self._net = net
        self._told: OrderedDict[Any, tuple[int, int]] = OrderedDict()
        self._pending: dict[int, tuple[Any, int]] = {}
        self.left: dict[int, int] = {}

    def sent(self, number: int, address: Any, sequence: int) -> None:
        """Reply `number` of this socket went to `address`."""
        self._pending[number] = (address, sequence)
        while len(self._pending) > SENDERS:
            del self._pending[next(iter(self._pending))]

    def collect(self) -> None:
        """Take the stamps that have come."""
        self.left = dict(self._net.transmitted())
        for number, stamp in self.left.items():
            if number in self._pending:
                address, sequence = self._pending.pop(number)
                self._told[address] = (sequence, stamp)
                self._told.move_to_end(address)
        while len(self._told) > SENDERS:
            self._told.popitem(last=False)

    def of(self, address: Any) -> tuple[int, int]:
        """(sequence number, departure) of the last reply to a sender; departure 0 where none is known."""
        return self._told.get(address, (0, 0))


def reflect(
    bind: str,
    port: int,
    *,
    key: bytes | None = None,
    delay_s: float = 0.0,
    stop: threading.Event | None = None,
    ready: Callable[[str, int], None] = lambda _host, _port: None,
    log: Callable[[int, int], None] | None = None,
) -> None:
    """Answer on `bind`:`port` (0: any free port) until `stop` is set; `ready(host, port)` is called once it listens.

    With `key` it answers only requests that it signed, in authenticated mode. `delay_s` holds every packet before its receive
    time is taken, as a longer path would: no difference of the four stamps can take it out. `log(sequence, ns)` gets each
    packet's true hold, from the kernel's receive stamp to the kernel's transmit stamp of the reply (to T3 where there is none).
    Raises UserError: RTT-E03 unknown name, RTT-E04 not permitted, RTT-E06 port in use.
    """
    with _listening(bind, port) as sock, punctual():
        net = StampedSocket(sock, transmit=True)
        host, bound_port = sock.getsockname()[:2]
        ready(host, bound_port)
        delay_ns = round(delay_s * 1e9)
        waiting: deque[_Waiting] = deque()  # one delay for all: first in, first out
        departures = _Departures(net)
        error, error_due = 0, 0.0
        while stop is None or not stop.is_set():
            if time.monotonic() >= error_due:
                error, error_due = error_estimate(clock_error_ns()), time.monotonic() + CLOCK_SECONDS
            while waiting and waiting[0].due - time.monotonic_ns() <= SPIN_NS:
                due, received, request = waiting.popleft()
                while time.monotonic_ns() < due:
                    pass
                arrived = time.time_ns() if delay_ns else received.kernel_ns or received.user_ns
                left = time.time_ns()
                told = departures.of(received.address)
                with suppress(OSError):  # a reply that the system refuses to send is a lost packet like any other
                    net.send(pack_reply(request, arrived, left, received.ttl, error, key, *told), received.address)
                departures.sent(net.attempts - 1, received.address, request.sequence)
                departures.collect()
                if log is not None:
                    came = received.kernel_ns or received.user_ns
                    log(request.sequence, departures.left.get(net.attempts - 1, left) - came)
            departures.collect()
            wait = (waiting[0].due - SPIN_NS - time.monotonic_ns()) / 1e9 if waiting else IDLE_SECONDS
            net.wait(max(0.0, wait))
            found = net.receive()  # one at a time: looking for a second would hold up the first
            if found is not None:
                known = read_request(found.data, key)
                if known is not None:
                    age = time.time_ns() - (found.kernel_ns or found.user_ns)
                    waiting.append(_Waiting(time.monotonic_ns() - age + delay_ns, found, known))


def _listening(bind: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bind, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise UserError(
            Problem("RTT-E03", f"无法解析监听地址 {bind}:{error}", "--bind 写本机的 IP 地址，0.0.0.0 为全部")
        ) from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            remedy = "结束占用它的程序，或用 --port 换一个端口并同样改 case.yaml 的 port"
            raise UserError(Problem("RTT-E06", f"UDP 端口 {port} 已被占用", remedy)) from None
        remedy = "1024 以下端口需要特权，或用 --port 换一个；--bind 须是本机地址"
        raise UserError(Problem("RTT-E04", f"无法监听 {bind} 端口 {port}:{error.strerror or error}", remedy)) from None
    return sock
