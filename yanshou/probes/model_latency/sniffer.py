"""A process that listens on the uplink and writes a row for what passed in each tenth of a millisecond between the same two ends.

It is a process of its own, so that reading packets takes no time from the one that stamps answers. It must never write what a
packet carries, never send one, and never remember more than that. Bare Python 3.8.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.formats.packets import ICMP, ICMP6, IP4, IP6, SCTP, TCP, UDP, Headers, content, dissect
from yanshou.harness.basics import Json
from yanshou.probes.listening import LINKTYPE_ETHERNET, PACKET_OTHERHOST, PACKET_OUTGOING, Frame, frames
from yanshou.probes.model_latency.streams import GROUP, HERE, IN, OTHER, OUT, OWN, UPLINK_BIN_NS, UPLINK_COLUMNS
from yanshou.probes.rtt.timing import read_clocks

IDLE_S = 0.2
HEAD = 256
"""Octets of each frame that are looked at: its headers."""
MOST_MACS, MOST_KNOWN = 16, 4096
PROTOCOLS = {TCP: "tcp", UDP: "udp", SCTP: "sctp", ICMP: "icmp", ICMP6: "icmp6"}

if TYPE_CHECKING:
    Key = tuple[str, str, str, str, int | str]
    """(way, protocol, model's address, remote address, remote port) as they are written."""


@dataclass(frozen=True)
class Watched:
    """Whose frames are told apart: `model` its MAC and IP addresses (none: it is this host), `own` the (model's address, ours,
    model's port) of the connections on which it is measured."""

    model: tuple[str, ...]
    own: tuple[tuple[str, str, int], ...]

    def argument(self) -> dict[str, Json]:
        """For the command line of the process."""
        return {"model": list(self.model), "own": [list(one) for one in self.own]}


class Sorter:
    """Frames by who they are from and to. MACs that send as the model's IP address are the model's, whatever else they send."""

    def __init__(self, watched: Watched, link: int, mine: bytes, index: int) -> None:
        self._link, self._mine, self._index = link, mine, index
        self._here: dict[bytes, bool] = {}
        self._macs = {bytes.fromhex(one.replace(":", "")) for one in watched.model if is_mac(one)}
        self._ips = {packed(one) for one in watched.model if not is_mac(one)}
        self._host = not watched.model
        self._own = {(packed(theirs), packed(ours), port) for theirs, ours, port in watched.own}

    def key(self, frame: Frame) -> tuple[Key, int]:
        """Where it belongs, and how many octets it carries above its transport."""
        h = dissect(self._link, frame.data) or Headers(b"", b"", (), -1)
        way = self._by_host(frame) if self._host else self._by_address(h)
        theirs = way in (OUT, OTHER)
        local, remote = (_source(h), _target(h)) if theirs else (_target(h), _source(h))
        port = h.target_port if theirs else h.source_port
        if way == OUT and _to_group(h):
            way = GROUP
        elif way in (OUT, IN) and not self._host and self._is_here(h, theirs):
            ends = (h.source_ip, h.target_ip, h.source_port) if theirs else (h.target_ip, h.source_ip, h.target_port)
            way = OWN if h.protocol == TCP and ends in self._own else HERE
        return (way, _protocol(h), local, remote, port if port >= 0 else ""), content(h, frame.data, frame.length)

    def _is_here(self, h: Headers, theirs: bool) -> bool:
        """Whether the model's other end is this host; that frames pass through it makes it none."""
        ip, mac = (h.target_ip, h.target) if theirs else (h.source_ip, h.source)
        if not ip:
            return mac == self._mine
        if ip not in self._here and len(self._here) < MOST_KNOWN:
            self._here[ip] = is_ours(ip, self._index)
        return self._here.get(ip, False)

    def _by_host(self, frame: Frame) -> str:
        return OUT if frame.kind == PACKET_OUTGOING else OTHER if frame.kind == PACKET_OTHERHOST else IN

    def _by_address(self, h: Headers) -> str:
        if h.source_ip in self._ips and h.source and h.source != self._mine and len(self._macs) < MOST_MACS:
            self._macs.add(h.source)
        if h.source in self._macs or h.source_ip in self._ips:
            return OUT
        return IN if h.target in self._macs or h.target_ip in self._ips else OTHER


class Bin:
    """What passed in one stretch of time."""

    def __init__(self) -> None:
        self._number = -1
        self._rows: dict[Key, list[int]] = {}

    def add(self, t_ns: int, key: Key, length: int, carried: int) -> bytes:
        """One more frame; the rows of the stretch that it ends."""
        number = t_ns // UPLINK_BIN_NS
        done = b"" if number == self._number else self.end()
        self._number = number
        row = self._rows.get(key)
        if row is None:
            self._rows[key] = [t_ns, 1, length, carried]
        else:
            row[1] += 1
            row[2] += length
            row[3] += carried
        return done

    def end(self) -> bytes:
        """Its rows; it is empty then."""
        rows, self._rows = self._rows, {}
        return "".join(
            f"{t},{','.join(map(str, key))},{n},{size},{carried}\n" for key, (t, n, size, carried) in rows.items()
        ).encode()


def is_mac(address: str) -> bool:
    """Whether an address is a MAC, written with colons."""
    return len(address) == 17 and address.count(":") == 5


def packed(address: str) -> bytes:
    """An IP address as octets."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def is_ours(ip: bytes, index: int) -> bool:
    """Whether an address is one of this host: then it can be bound. `index` of the interface, for link-local ones."""
    family = socket.AF_INET if len(ip) == 4 else socket.AF_INET6
    where = (socket.inet_ntop(family, ip), 0) if len(ip) == 4 else (socket.inet_ntop(family, ip), 0, 0, index)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(where)
        except OSError:
            return False
    return True


def _text(ip: bytes, mac: bytes) -> str:
    if len(ip) in (4, 16):
        return socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip)
    return ":".join(f"{octet:02x}" for octet in mac)


def _source(h: Headers) -> str:
    return _text(h.source_ip, h.source)


def _target(h: Headers) -> str:
    return _text(h.target_ip, h.target)


def _to_group(h: Headers) -> bool:
    """Sent to many: a switch shows it at every port, mirror or not."""
    if h.target:
        return bool(h.target[0] & 1)
    return bool(h.target_ip) and (h.target_ip[0] == 0xFF if len(h.target_ip) == 16 else h.target_ip[0] >= 224)


def _protocol(h: Headers) -> str:
    if h.kind in (IP4, IP6):
        return PROTOCOLS.get(h.protocol) or f"ip-{h.protocol}"
    return f"eth-{max(h.kind, 0):04x}"


def main(argument: str) -> None:
    """The process: rows on standard output, until standard input closes."""
    told = json.loads(argument)
    watched = Watched(tuple(told["model"]), tuple((theirs, ours, port) for theirs, ours, port in told["own"]))
    link, origin = told["link"], told["origin"]
    sorter, now = Sorter(watched, link, bytes.fromhex(told["mine"]), told["index"]), Bin()
    out = sys.stdout.buffer
    out.write(UPLINK_COLUMNS.encode() + b"\n")
    out.flush()
    last = 0
    with socket.socket(fileno=told["socket"]) as sock:
        sock.setblocking(False)
        while True:
            ready, _, _ = select.select([sock], [], [], 0) if last else select.select([sock, sys.stdin], [], [], IDLE_S)
            if sys.stdin in ready:
                last = time.monotonic_ns()
            clocks = read_clocks()
            ahead = clocks.realtime - (clocks.before + clocks.after) // 2
            data, t = b"", 0
            for frame in frames(sock, HEAD, link == LINKTYPE_ETHERNET) if sock in ready else ():
                t = frame.t_ns - ahead
                if t >= origin and (not last or t <= last):
                    data += now.add(t - origin, *_counted(sorter, frame))
            over = bool(last) and (sock not in ready or t > last)
            if over or sock not in ready:
                data += now.end()
            if data:
                out.write(data)
                out.flush()
            if over:
                return


def _counted(sorter: Sorter, frame: Frame) -> tuple[Key, int, int]:
    key, carried = sorter.key(frame)
    return key, frame.length, carried


if __name__ == "__main__":
    main(sys.argv[1])
