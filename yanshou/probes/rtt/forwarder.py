"""What holds every packet between a sender and a reflector for a set time, and logs for how long it truly did.

It is for calibration: a path of known delay. It must never share an interpreter with either end (it is a process of its own,
which ends when its standard input closes), and never let the set time stand for the true one. Runs on bare Python 3.8.

    tunnel HOLD_NS FD FD   between two TUN devices, whole IPv4 packets, by a clock that is not the one of the probe's stamps.
                           It looks all the time, because a sleeper would not know when a packet came.
    relay HOLD_NS PORT     on loopback, to a reflector there, by the kernel's stamps of arrival and departure.

It prints a port (0 for a tunnel) when it is ready and, at the end, the log of `hold`. A hold lies within the passage: it
begins after the packet was read and ends before it is written, so that a probe can only read more.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from yanshou.probes.rtt.hold import hold_row
from yanshou.probes.rtt.timestamps import LONGEST, StampedSocket

LOOPBACK = "127.0.0.1"
IDLE_NS = 100_000_000
SPIN_NS = 80_000
WATCH_NS, PAUSE_NS = 1_000_000, 80_000
"""A tunnel's process is real-time, so that nobody keeps it from looking, and pauses, so that the kernel does not throttle it
(at 95 % of a processor). What comes in a pause is doubtful; nothing is due in one."""
_PRIORITY = 1  # below both ends: on a host where they must share a processor, they come first
_PAYLOAD = 28  # after an IPv4 header without options and one of UDP or ICMP echo; a sequence number comes first in it


class Passing(NamedTuple):
    """A packet on its way: its sequence number, when it came (ns), and by how much earlier that may have been."""

    data: bytes
    sequence: int
    arrived: int
    doubt: int


class End(Protocol):
    """Where packets come from and go to."""

    def now(self) -> int:
        """Its clock, ns."""

    def take(self) -> Passing | None:
        """A waiting packet."""

    def give(self, packet: Passing) -> int:
        """Deliver; when it left, at the earliest."""


class Tunnel:
    """A TUN device: what a host sends into it, and what it is given."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._empty = self.now()

    def now(self) -> int:
        """MONOTONIC_RAW, which nothing adjusts."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)

    def take(self) -> Passing | None:
        """A test packet. It may have waited since the device was last found empty."""
        looked = self.now()
        try:
            data = os.read(self._descriptor, LONGEST)
        except BlockingIOError:
            self._empty = looked
            return None
        arrived = self.now()
        if len(data) < _PAYLOAD + 4 or data[0] >> 4 != 4 or data[9] not in (socket.IPPROTO_UDP, socket.IPPROTO_ICMP):
            return None  # a host looking for routers
        return Passing(data, int.from_bytes(data[_PAYLOAD : _PAYLOAD + 4], "big"), arrived, arrived - self._empty)

    def give(self, packet: Passing) -> int:
        """The receiving host does its work within the call, so the clock is read before it."""
        left = self.now()
        os.write(self._descriptor, packet.data)
        return left


class Relay:
    """A UDP socket on loopback, towards `peer` or whoever wrote last."""

    def __init__(self, peer: Any = None) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOOPBACK, 0))
        self.port = sock.getsockname()[1]
        self.net = StampedSocket(sock, transmit=True)
        self._peer = peer

    def now(self) -> int:
        """REALTIME, the clock of the kernel's stamps."""
        return time.time_ns()

    def take(self) -> Passing | None:
        """A datagram; when it came is known from the kernel."""
        received = self.net.receive()
        if received is None:
            return None
        self._peer = received.address
        sequence = int.from_bytes(received.data[:4], "big")
        return Passing(received.data, sequence, received.kernel_ns or received.user_ns, 0)

    def give(self, packet: Passing) -> int:
        """When it left is known from the kernel too."""
        left = self.now()
        self.net.send(packet.data, self._peer)
        return dict(self.net.transmitted()).get(self.net.attempts - 1, left)


def forward(near: End, far: End, hold_ns: int, idle: Callable[[int], bool]) -> list[str]:
    """Carry packets, held from near to far and at once on the way back; the log.

    `idle` is told how many ns there are until something is due, may use them, and ends it all by returning False.
    """
    waiting: deque[Passing] = deque()  # one hold for all: first in, first out
    log = []
    left = IDLE_NS
    while idle(left):
        packet = far.take()
        if packet is not None:
            log.append(hold_row(packet.sequence, near.give(packet) - packet.arrived, packet.doubt, "back"))
        packet = near.take()
        if packet is not None:
            waiting.append(packet)
        left = waiting[0].arrived + hold_ns - near.now() if waiting else IDLE_NS
        if left <= 0:
            packet = waiting.popleft()
            log.append(hold_row(packet.sequence, far.give(packet) - packet.arrived, packet.doubt, "out"))
            left = 0
    return log


def _until(ended: Any, seconds: float, *others: Any) -> bool:
    """Sleep until something can be read; False when that is the end."""
    return ended not in select.select((ended, *others), (), (), seconds)[0]


def _tunnel(hold_ns: int, near: int, far: int) -> list[str]:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    paused = 0

    def idle(left: int) -> bool:
        nonlocal paused
        if left < 2 * PAUSE_NS or time.monotonic_ns() - paused < WATCH_NS:
            return True
        goes_on = _until(sys.stdin, PAUSE_NS / 1e9)
        paused = time.monotonic_ns()
        return goes_on

    _say_ready(0)
    return forward(Tunnel(near), Tunnel(far), hold_ns, idle)


def _relay(hold_ns: int, port: int) -> list[str]:
    near, far = Relay(), Relay((LOOPBACK, port))

    def idle(left: int) -> bool:
        return left <= SPIN_NS or _until(sys.stdin, (left - SPIN_NS) / 1e9, near.net, far.net)

    _say_ready(near.port)
    return forward(near, far, hold_ns, idle)


def _say_ready(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run: Callable[..., list[str]] = _tunnel if sys.argv[1] == "tunnel" else _relay
    sys.stdout.writelines(run(*map(int, sys.argv[2:])))
