"""A STAMP session: the sender's side of `rtt`, through `sender.Sender`.

It is for recording what happened. It must never judge, and never let the key into a stream. Runs on bare Python 3.8.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.secret import fingerprint, load_key
from yanshou.probes.rtt.sender import NONSENSE, FarEnd, Reply, Sender, json_line, refused_here, surroundings
from yanshou.probes.rtt.stamp import error_estimate, is_forged, pack_request, read_reply, true_size
from yanshou.probes.rtt.streams import SESSION
from yanshou.probes.rtt.timestamps import Received, StampedSocket
from yanshou.probes.rtt.timing import clock_error_ns, punctual

if TYPE_CHECKING:
    from yanshou.probes.rtt.spec import Destination, Params


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError: RTT-E01 nobody answers, E02 rejected there, E03 name, E04 refused here, E05 not STAMP,
    E08 no address for this subject; UserError RTT-E09 for the key file."""
    host = far_host(params, run.subject)
    key = load_key(run.folder / params.key_file) if params.key_file else None
    clock = clock_error_ns()
    size = true_size(params.size, key is not None)
    codec = StampCodec(size, error_estimate(clock, params.timestamp_format == "ptp"), key)
    far = _far_end(host, params.port)
    with _load(params, run), connected(host, params.port, far) as sock, punctual() as obtained:
        net = StampedSocket(sock, transmit=True)
        told = {
            "format": "yanshou/rtt/2",
            "params": params.model_dump(mode="json"),
            "seed": run.seed,
            "subject": run.subject,
            "size": size,
            "key": fingerprint(key) if key else None,
            "clock_error_ns": clock,
            **surroundings(sock, net.kernel, obtained),
        }
        run.sink.stream(SESSION).write(json_line(told))
        Sender(Traffic.of(params, size, run.seed), codec, net, far, run).run()


def _load(params: Params, run: RunContext) -> AbstractContextManager[None]:
    """The load that is on meanwhile, if one is asked for. Raises ProbeError LOD-E01 to E05 on entry."""
    if params.load is None:
        return nullcontext()
    from yanshou.probes.load.capture import generating  # a terminal with a bare Python has none

    return generating(params.load, run)


class StampCodec:
    """Requests and replies of one STAMP session, authenticated where there is a key."""

    def __init__(self, size: int, error: int, key: bytes | None) -> None:
        self._size, self._error, self._key = size, error, key

    def request(self, sequence: int, t1_ns: int) -> bytes:
        """The packet to send."""
        return pack_request(sequence, t1_ns, self._size, self._error, self._key)

    def reply(self, received: Received) -> Reply:
        """What a datagram says; one that the key did not sign says nothing but that it is forged."""
        found = read_reply(received.data, self._key)
        if found is None:
            return NONSENSE._replace(auth="bad") if is_forged(received.data, self._key) else NONSENSE
        return Reply(
            found.sender_sequence,
            found.sender_ns,
            found.received_ns,
            found.transmitted_ns,
            "ok" if self._key else "",
            found.sequence,
            found.error,
            found.follow_sequence,
            found.follow_ns,
        )


def far_host(params: Destination, subject: str | None) -> str:
    """Where the far end of a subject is. Raises ProbeError RTT-E08."""
    host: str | None = params.hosts.get(subject or "", params.host)
    if host is None:
        text = f"受检对象 {subject or '（没有写）'} 没有对端地址"
        raise ProbeError("RTT-E08", text, "在 params.hosts 逐个写明，或写一个共同的 params.host")
    return host


def udp_socket(family: int) -> socket.socket:
    """For UDP over IPv4 or IPv6."""
    return socket.socket(family, socket.SOCK_DGRAM)


@contextmanager
def connected(
    host: str, port: int, far: FarEnd, opened: Callable[[int], socket.socket] = udp_socket
) -> Iterator[socket.socket]:
    """A socket, as `opened` makes it for an address family, that talks to nobody else. Raises ProbeError RTT-E01, E03, E04."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        raise unknown_name(host, error) from None
    with opened(family) as sock:
        try:
            sock.connect(address)
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                raise far.silent(error.strerror or str(error)) from None
            raise refused_here(error) from None
        yield sock


def unknown_name(host: str, error: Exception) -> ProbeError:
    """A name that no resolver knows."""
    return ProbeError("RTT-E03", f"无法解析主机名 {host}:{error}", "检查 host 的拼写与本机 DNS，或直接写 IP 地址")


def _far_end(host: str, port: int) -> FarEnd:
    return FarEnd(
        f"{host} 端口 {port}",
        if_silent="确认网络可达、对端已运行 yanshou reflect（用密钥时两端同一份）、防火墙放行该 UDP 端口（双向）",
        if_rejecting=f"在对端运行 yanshou reflect --port {port}，或改正 host 与 port、放行防火墙",
        if_foreign="确认 port 上运行的是 yanshou reflect 或符合 RFC 8762 的反射器；用密钥时两端须是同一份",
    )
