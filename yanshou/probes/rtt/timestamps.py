"""A UDP socket whose packets the Linux kernel stamps on their way out and in (SO_TIMESTAMPING, software stamps).

It is for times that do not contain the wake-up of this process. It must never invent a stamp: where the kernel gives none
(another system, a driver without support) the time is 0 and the caller falls back to its own clock, and says so.
All stamps are CLOCK_REALTIME, ns. Reference: kernel documentation, networking/timestamping. Runs on bare Python 3.8.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

# Not in Python's socket module. The values are those of asm-generic/socket.h and linux/in.h, in6.h, errqueue.h.
SO_TIMESTAMPING = 37
IP_RECVERR, IPV6_RECVERR, IP_RECVTTL = 11, 25, 12
TX_SOFTWARE, RX_SOFTWARE, REPORT_SOFTWARE, OPT_ID, OPT_TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 7, 1 << 11
ORIGIN_TIMESTAMPING = 4

TTL = 255
"""Sent by both ends, so that what arrives tells the hops (as RFC 5357 asks)."""
LONGEST = 2048
_TIMESPECS = struct.Struct("@ll")  # struct scm_timestamping starts with the software stamp, in the machine's own long
_EXTENDED_ERROR = struct.Struct("=IBBBxII")  # errno, origin, type, code, info, data


class Received(NamedTuple):
    """A datagram: kernel stamp (0 when none), user stamp taken right after reading it, TTL or hop limit (0 when unknown)."""

    data: bytes
    address: Any
    kernel_ns: int
    user_ns: int
    ttl: int


class StampedSocket:
    """Stamps on a UDP socket that the caller owns. `kernel` tells whether the kernel agreed to stamp."""

    def __init__(self, sock: socket.socket, *, transmit: bool) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._flags = RX_SOFTWARE | REPORT_SOFTWARE | (TX_SOFTWARE | OPT_TSONLY if transmit else 0)
        self._attempts = 0  # packets handed to send(), failed ones included
        self._first = 0  # which of them the kernel numbers 0
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        self.kernel = sys.platform == "linux" and self._number_from_here()

    def fileno(self) -> int:
        """For select: readable when a packet or a stamp waits."""
        return self._sock.fileno()

    def wait(self, seconds: float) -> None:
        """Sleep until a packet or a stamp waits, at most so long."""
        select.select((self,), (), (), seconds)

    @property
    def attempts(self) -> int:
        """How many packets were handed over: the number of the next."""
        return self._attempts

    def _number_from_here(self) -> bool:
        """Ask for stamps, with the kernel's packet numbers starting at 0 from the next packet on."""
        try:
            for flags in (self._flags, self._flags | OPT_ID):  # the counter restarts when OPT_ID is set anew
                self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        except OSError:
            return False
        self._first = self._attempts
        return True

    def send(self, data: bytes, address: Any = None) -> None:
        """Send one datagram; attempts are numbered 0, 1, ... for `transmitted`. Raises OSError, the number is used up."""
        self._attempts += 1
        try:
            if address is None:
                self._sock.send(data)
            else:
                self._sock.sendto(data, address)
        except OSError:
            if self.kernel:
                self._number_from_here()  # whether the kernel counted a failed packet cannot be known
            raise

    def transmitted(self) -> Iterator[tuple[int, int]]:
        """(number of the packet, kernel transmit stamp) of every stamp that has come since the last call.

        After a failed send a stamp may carry a wrong number; it is then older than the packet it seems to belong to.
        """
        while self.kernel:
            try:
                _, cmsgs, _, _ = self._sock.recvmsg(0, 256, socket.MSG_ERRQUEUE)
            except BlockingIOError:
                return
            stamp, number = 0, None
            for level, kind, body in cmsgs:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                    stamp = _ns(body)
                elif (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
                    _, origin, _, _, _, data = _EXTENDED_ERROR.unpack_from(body)
                    number = data if origin == ORIGIN_TIMESTAMPING else None
            if stamp and number is not None:
                yield self._first + number, stamp

    def receive(self) -> Received | None:
        """The next waiting datagram, None when there is none. Raises OSError: an ICMP message says that ours are rejected."""
        try:
            data, cmsgs, _, address = self._sock.recvmsg(LONGEST, 256)
        except BlockingIOError:
            return None
        user = time.time_ns()
        kernel = ttl = 0
        for level, kind, body in cmsgs:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                kernel = _ns(body)
            elif (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
                ttl = int.from_bytes(body[:4], sys.byteorder)
        return Received(data, address, kernel, user, ttl)


def _ns(body: bytes) -> int:
    seconds, rest = _TIMESPECS.unpack_from(body)
    return int(seconds * 1_000_000_000 + rest)
