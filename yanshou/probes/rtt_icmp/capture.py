"""An echo session: requests by the sender of `rtt`, on a ping socket where this user may have one, else on a raw one.

It is for recording what happened. It must never judge. Runs on bare Python 3.8.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.capture import connected, far_host
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.sender import NONSENSE, FarEnd, Reply, Sender, errors_of, json_line, refused_here, surroundings
from yanshou.probes.rtt.streams import SESSION
from yanshou.probes.rtt.timestamps import Received, StampedSocket
from yanshou.probes.rtt.timing import punctual
from yanshou.probes.rtt_icmp.echo import pack_request, read_reply

if TYPE_CHECKING:
    from yanshou.probes.rtt_icmp.spec import Params

_PROTOCOLS = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_NO_PORT = 1
"""ICMP has none; but with 0 the kernel does not tell the peer's address."""


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError: ICM-E01 nobody answers, E02 rejected there, E03 name, E04 refused here, E05 other answers,
    E08 no address for this subject."""
    with errors_of("ICM"):
        host = far_host(params, run.subject)
        far = _far_end(host)
        with connected(host, _NO_PORT, far, echo_socket) as sock, punctual() as obtained:
            net = StampedSocket(sock, transmit=True)
            told = {
                "format": "yanshou/rtt.icmp/1",
                "params": params.model_dump(mode="json"),
                "seed": run.seed,
                "subject": run.subject,
                "socket": "raw" if sock.type == socket.SOCK_RAW else "ping",
                **surroundings(sock, net.kernel, obtained),
            }
            run.sink.stream(SESSION).write(json_line(told))
            Sender(Traffic.of(params, params.size, run.seed), EchoCodec(sock, params.size), net, far, run).run()


def echo_socket(family: int) -> socket.socket:
    """For echo messages only, or for all ICMP where only that is permitted. Raises ProbeError RTT-E04."""
    protocol = _PROTOCOLS[socket.AddressFamily(family)]
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except OSError:
        pass
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol)
    except OSError as error:
        raise refused_here(error) from None


class EchoCodec:
    """Requests and replies of one session."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._version, self._size = (6 if sock.family == socket.AF_INET6 else 4), size
        self._identifier = int.from_bytes(os.urandom(2), "big")
        # the kernel gives a ping socket an identifier of its own, and nobody else's replies
        self._alone = sock.type != socket.SOCK_RAW

    def request(self, sequence: int, t1_ns: int) -> bytes:
        """The message to send."""
        return pack_request(self._version, self._identifier, sequence, t1_ns, self._size)

    def reply(self, received: Received) -> Reply | None:
        """What an echo reply says; None for any other message, and for a reply to another process of this host."""
        found = read_reply(self._version, received.data, self._size)
        if found is None or (found.identifier != self._identifier and not self._alone):
            return None
        return NONSENSE if found.sequence < 0 else Reply(found.sequence, found.t1_ns)


def _far_end(host: str) -> FarEnd:
    return FarEnd(
        host,
        if_silent="确认地址正确、对端在线且应答 ICMP Echo（ping 得通），沿途防火墙放行 ICMP",
        if_rejecting="让沿途防火墙放行 ICMP Echo，或改正 host",
        if_foreign="对端的应答没有原样返回数据：换一台遵守 RFC 1122 的设备，或用 rtt 加反射器",
    )
