"""The far end: a stateless STAMP session-reflector (RFC 8762 section 4.3) on one UDP port.

It is for sending each request straight back with the times of its arrival (kernel stamp) and departure. It must never send
more octets than it got, never answer what is not a STAMP request, and keep no state: the sequence number is mirrored, so
that nothing but the sender's own counting says which packets were lost.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from yanshou.harness.basics import Problem, UserError
from yanshou.probes.rtt.stamp import is_request, pack_reply
from yanshou.probes.rtt.timestamps import Received, StampedSocket
from yanshou.probes.rtt.timing import punctual

SPIN_NS = 80_000
IDLE_SECONDS = 0.1
"""How long a stop request may go unnoticed."""


def reflect(
    bind: str,
    port: int,
    *,
    delay_s: float = 0.0,
    stop: threading.Event | None = None,
    ready: Callable[[str, int], None] = lambda _host, _port: None,
    log: Callable[[int, int], None] | None = None,
) -> None:
    """Answer on `bind`:`port` (0: any free port) until `stop` is set; `ready(host, port)` is called once it listens.

    `delay_s` holds every packet before its receive time is taken, as a longer path would: no difference of the four
    stamps can take it out. `log(sequence, ns)` gets each packet's true hold, from the kernel's receive stamp to the
    kernel's transmit stamp of the reply (to T3 where there is none).
    Raises UserError: RTT-E03 unknown name, RTT-E04 not permitted, RTT-E06 port in use.
    """
    with _listening(bind, port) as sock, punctual():
        net = StampedSocket(sock, transmit=log is not None)
        host, bound_port, *_ = sock.getsockname()
        ready(host, bound_port)
        delay_ns = round(delay_s * 1e9)
        waiting: deque[tuple[int, Received]] = deque()  # one delay for all: first in, first out
        answered = 0
        while stop is None or not stop.is_set():
            while waiting and waiting[0][0] - time.monotonic_ns() <= SPIN_NS:
                due, request = waiting.popleft()
                while time.monotonic_ns() < due:
                    pass
                left = _answer(net, request, delayed=delay_ns > 0)
                if log is not None:
                    stamps = dict(net.transmitted())
                    log(
                        int.from_bytes(request.data[:4]),
                        stamps.get(answered, left) - (request.kernel_ns or request.user_ns),
                    )
                answered += 1
            wait = (waiting[0][0] - SPIN_NS - time.monotonic_ns()) / 1e9 if waiting else IDLE_SECONDS
            select.select((sock,), (), (), max(0.0, wait))
            received = net.receive()  # one at a time: looking for a second would hold up the first
            if received is not None and is_request(received.data):
                age = time.time_ns() - (received.kernel_ns or received.user_ns)
                waiting.append((time.monotonic_ns() - age + delay_ns, received))


def _answer(net: StampedSocket, request: Received, *, delayed: bool) -> int:
    """Send the reply; its T3. A reply that the system refuses to send is a lost packet like any other."""
    arrived = time.time_ns() if delayed else request.kernel_ns or request.user_ns
    left = time.time_ns()
    with suppress(OSError):
        net.send(pack_reply(request.data, arrived, left, request.ttl), request.address)
    return left


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
