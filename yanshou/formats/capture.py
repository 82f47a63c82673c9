"""What is in a capture: who spoke, how much, when, and what a reader must not overlook. One pass, bounded memory.

It is for `look` and for whoever counts devices on a mirror port. It must never decide that an address is a device: addresses,
tunnels and sessions are what it sees. Frames whose headers are alike are dissected once and counted by a slice of their octets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import Struct
from struct import error as StructError
from typing import Any, BinaryIO, TypeAlias

from yanshou.formats.control import ControlMessage, control_of, decode, names_of
from yanshou.formats.mqtt import CONNECT, MqttStream
from yanshou.formats.packets import ETHERNET, GTP_U, IP4, IP6, RAW, SLL, SLL2, TCP, UDP, Headers, dissect, payload
from yanshou.formats.pcap import Capture, Damage
from yanshou.harness.model import Severity, Validity

FLOWS = 1 << 15
"""Kinds of headers remembered at once; then they are added up and forgotten."""
MOST = 200_000
"""Identities of one sort that are told apart; further ones are counted together."""
ROOM, IDENTITY, PEER = 1 << 27, 450, 120
"""Octets of memory for identities and for what goes with them; what one of each takes beside its text."""
STREAMS = 20_000
"""TCP directions whose MQTT packets are followed at once."""
MQTT = "MQTT"
MQTT_PORTS = frozenset({1883, 8883})
MQTT_TLS = 8883
_TLS_RECORDS = frozenset({b"\x14", b"\x15", b"\x16", b"\x17"})
_TCP_FLAGS, _TCP_ENDS = 13, 0x05
"""Where the flags are in a TCP header, and FIN and RST in them."""
DECODED = 200_000
"""Control messages that are decoded."""
SECONDS = 200
"""Bars of the histogram over time, at most."""
MANY, AGAIN = 50, 10
"""So many identities behind one address are no single device; so many registrations are worth a word."""
LOCAL_SHARE, LOCAL_LEAST = 0.2, 5
BACK_NS = 1_000_000
_PLAIN_IP4 = 0x45
_UDP_HEADER = 8
FIVE_G, FOUR_G = frozenset({"NGAP", "PFCP"}), frozenset({"S1AP", "GTPv2-C", "Diameter"})


@dataclass(slots=True)
class Seen:
    """One identity: first and last time (UTC ns), packets and octets from it, and what goes with it."""

    first: int
    last: int
    packets: int = 0
    octets: int = 0
    peers: set[str] = field(default_factory=set)

    def add(self, first: int, last: int, packets: int, octets: int) -> None:
        """More of it."""
        self.first, self.last = min(self.first, first), max(self.last, last)
        self.packets += packets
        self.octets += octets


@dataclass(frozen=True)
class CaptureSummary:
    """A capture, added up. Identities by text; `peers` of a MAC are the IP addresses that it used as a source, of a client id
    its IP address, of a tunnel (destination and TEID) the addresses inside. `unread`: frames of unknown kind."""

    format: str
    links: tuple[int, ...]
    snaplen: int
    frames: int
    octets: int
    first: int
    last: int
    dropped: int | None
    unread: int
    cut: int
    protocols: Mapping[str, int]
    macs: Mapping[str, Seen]
    ips: Mapping[str, Seen]
    tunnels: Mapping[str, Seen]
    clients: Mapping[str, Seen]
    topics: Mapping[str, Seen]
    control: Mapping[str, int]
    names: Mapping[str, Mapping[str, str]]
    per_time: tuple[tuple[int, int], ...]
    findings: tuple[Validity, ...]


_Shape: TypeAlias = Callable[[bytes], tuple[Any, ...]]
_Tunnel: TypeAlias = tuple[int, Callable[[bytes, int], tuple[Any, ...]]]


def _ipv4(at: int) -> _Shape:
    """The octets that tell one flow from another in a frame whose IPv4 header begins at `at`: everything before it, version and
    header length, fragment, protocol, addresses, ports. Lengths, checksums, identification and TTL are left out."""
    return Struct(f">{at + 1}s5xH1xB2x12s").unpack_from


def _ipv6(at: int) -> _Shape:
    """The same of IPv6: everything before it, next header, addresses, ports."""
    return Struct(f">{at}s6xBx36s").unpack_from


_RAW = (slice(0, 1), {b"\x45": _ipv4(0), b"\x60": _ipv6(0)})
_IP4, _IP6, _VLAN_TAG = b"\x08\x00", b"\x86\xdd", b"\x81\x00"
_SHAPES: Mapping[int, tuple[slice, Mapping[bytes, _Shape]]] = {
    ETHERNET: (slice(12, 14), {_IP4: _ipv4(14), _VLAN_TAG: _ipv4(18), _IP6: _ipv6(14)}),
    SLL: (slice(14, 16), {_IP4: _ipv4(16), _IP6: _ipv6(16)}),
    SLL2: (slice(0, 2), {_IP4: _ipv4(20), _IP6: _ipv6(20)}),
    **dict.fromkeys(RAW, _RAW),
}
"""By link type: where the octets are that name a frame's shape, and the shapes. Frames of other link types, and those of a shape
that says less than it should (IPv4 options, two VLAN tags, IPv6 extensions), are dissected each."""
_NO_SHAPES: tuple[slice, Mapping[bytes, _Shape]] = (slice(0), {})
_TUNNELS: Mapping[bytes, _Tunnel] = {
    b"\x30\xff": (8, Struct(">2s2x5s5xH1xB2x12s").unpack_from),
    b"\x34\xff": (16, Struct(">2s2x4s3x2s2x2s5xH1xB2x12s").unpack_from),
}
"""By GTP-U flags and message type: where the packet inside begins, and the octets that tell one flow of it from another: TEID,
the extension header's type and length (5G's PDU session container), and of the IPv4 inside what `_ipv4` takes."""


class _Flow:
    """Frames with the same headers. `closer`: its shape does not tell its frames apart, each needs another look; `tunnel`: where
    GTP-U begins in them, 0 for none. `spoken`: whose contents are examined, the headers or those inside the tunnel."""

    __slots__ = ("closer", "control", "first", "headers", "last", "octets", "packets", "spoken", "tunnel")

    def __init__(self, headers: Headers | None, time: int, closer: bool = False, tunnel: int = 0) -> None:
        self.closer, self.tunnel = closer, tunnel
        self.first = self.last = time
        self.packets = self.octets = 0
        self.about(headers)

    def about(self, headers: Headers | None) -> None:
        """What its frames' headers say."""
        self.headers = self.spoken = headers
        self.control = _examined(headers)
        if headers and headers.inner and not self.control:
            self.spoken, self.control = headers.inner, _examined(headers.inner)


def _tells_all(shape: tuple[Any, ...], h: Headers, at: int) -> bool:
    """Whether frames of this shape have all the same headers: IP where the shape expects it, and nothing optional after it."""
    if h.ip != at or h.fragment:
        return False
    if h.kind == IP6:
        return h.protocol in (TCP, UDP) and shape[1] == h.protocol
    return bool(shape[-4][-1] == _PLAIN_IP4)


def summarise(stream: BinaryIO) -> CaptureSummary:
    """Add up a capture. Raises NotACapture for any other file."""
    return _Summing(Capture(stream)).run()


@dataclass(slots=True)
class _Connection:
    """What a client sends on one TCP connection, and who it said it is."""

    stream: MqttStream
    client: str = ""


class _Summing:
    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._flows: dict[Any, _Flow] = {}
        self._macs: dict[str, Seen] = {}
        self._ips: dict[str, Seen] = {}
        self._tunnels: dict[str, Seen] = {}
        self._clients: dict[str, Seen] = {}
        self._topics: dict[str, Seen] = {}
        self._protocols: Counter[str] = Counter()
        self._control: Counter[str] = Counter()
        self._names: dict[str, dict[str, str]] = {}
        self._streams: dict[tuple[bytes, int, bytes, int], _Connection] = {}
        self._registrations: dict[str, Counter[str]] = {}
        self._room = ROOM
        self._times: Counter[int] = Counter()
        self._width = 1_000_000_000
        self._unread = self._cut = self._decoded = self._midstream = self._tls = 0
        self._full: set[str] = set()
        self._first: int | None = None

    def run(self) -> CaptureSummary:
        frames = octets = back = last = bucket = in_bucket = 0
        flows, width, current = self._flows, self._width, -1
        kind, shapes = _NO_SHAPES
        for time, link, data, length in self._capture:
            frames += 1
            octets += length
            if time >= last:
                last = time
            elif time < last - BACK_NS:
                back += 1
            if len(data) < length:
                self._cut += 1
            if link != current:
                current, (kind, shapes) = link, _SHAPES.get(link, _NO_SHAPES)
            try:
                key = shapes[data[kind]](data)
            except (KeyError, StructError):
                key = None
            flow = flows.get(key)
            if flow is None or flow.closer:
                flow = self._look_closer(flow, key, link, data, time)
            flow.last = time
            flow.packets += 1
            flow.octets += length
            if flow.control:
                self._examine(flow, time, data)
            slot = time // width
            if slot != bucket:
                self._times[bucket] += in_bucket
                bucket, in_bucket = slot, 0
                if len(self._times) > 2 * SECONDS:
                    width = self._coarser()
                    bucket = time // width
            in_bucket += 1
        self._times[bucket] += in_bucket
        self._fold()
        return self._told(frames, octets, last, back)

    def _coarser(self) -> int:
        """Twice as wide bars, and again until there are few enough."""
        while len(self._times) > SECONDS:
            self._width *= 2
            merged: Counter[int] = Counter()
            for slot, number in self._times.items():
                merged[slot // 2] += number
            self._times = merged
        return self._width

    def _look_closer(self, flow: _Flow | None, key: Any, link: int, data: bytes, time: int) -> _Flow:
        """The flow of a frame that its shape alone does not tell: a new one, one in a tunnel, or one with options."""
        headers = None
        if flow is None:
            headers = dissect(link, data)
            if key is not None and headers is not None:
                plain = _tells_all(key, headers, len(key[0]) - (headers.kind == IP4))
                tunnelled = headers.protocol == UDP and GTP_U in (headers.source_port, headers.target_port)
                tunnel = headers.start + _UDP_HEADER if plain and tunnelled else 0
                flow = self._remember(key, _Flow(headers, time, not plain or tunnelled, tunnel))
                if not flow.closer:
                    return flow
        if flow is not None and flow.tunnel and (known := self._look_inside(flow, key, link, data, time)):
            return known
        headers = headers or dissect(link, data)
        name = _named(headers) if headers else link
        known = self._flows.get(name)
        if known is None:
            return self._remember(name, _Flow(headers, time))
        known.about(headers)  # where something begins may differ
        return known

    def _look_inside(self, outer: _Flow, key: Any, link: int, data: bytes, time: int) -> _Flow | None:
        """The flow of a packet in a tunnel, None where nothing plain is inside."""
        at = outer.tunnel
        try:
            begins, take = _TUNNELS[data[at : at + 2]]
            inside = take(data, at)
        except (KeyError, StructError):
            return None
        if known := self._flows.get((key, inside)):
            return known
        headers = dissect(link, data)
        inner = headers.inner if headers else None
        if inner and inner.kind == IP4 and _tells_all(inside, inner, at + begins):
            return self._remember((key, inside), _Flow(headers, time))
        return None

    def _remember(self, name: Any, flow: _Flow) -> _Flow:
        if len(self._flows) >= FLOWS:
            self._fold()
        self._flows[name] = flow
        return flow

    def _fold(self) -> None:
        """Add up what the flows counted, and forget them."""
        for flow in self._flows.values():
            h = flow.headers
            if not flow.packets:
                continue
            self._first = flow.first if self._first is None else min(self._first, flow.first)
            if h is None:
                self._unread += flow.packets
                continue
            self._protocols[names_of(h)] += flow.packets
            counts = (flow.first, flow.last, flow.packets, flow.octets)
            address = _ip(h.source_ip)
            if h.source:
                self._count(self._macs, "MAC", h.source.hex(":"), counts, address)
            if address:
                self._count(self._ips, "IP", address, counts, h.source.hex(":"))
            if h.teid >= 0:
                inner = (_ip(h.inner.source_ip), _ip(h.inner.target_ip)) if h.inner else ("", "")
                name = f"{_ip(h.target_ip)} TEID 0x{h.teid:08x}"
                for one in inner:
                    self._count(self._tunnels, "隧道", name, counts, one)
                    counts = (flow.first, flow.last, 0, 0)
        self._flows.clear()

    def _count(
        self, table: dict[str, Seen], sort: str, name: str, counts: tuple[int, int, int, int], peer: str
    ) -> None:
        seen = table.get(name)
        if seen is None:
            if len(table) >= MOST or self._room < 0:
                self._full.add(sort)
                return
            seen = table[name] = Seen(counts[0], counts[1])
            self._room -= IDENTITY + len(name)
        seen.add(*counts)
        if peer and peer not in seen.peers:
            if self._room < 0:
                self._full.add("对应关系")
                return
            seen.peers.add(peer)
            self._room -= PEER + len(peer)

    def _examine(self, flow: _Flow, time: int, data: bytes) -> None:
        headers = flow.spoken
        if headers is None:
            return
        if flow.control == MQTT:
            self._mqtt(headers, time, data)
            return
        if self._decoded >= DECODED:
            self._full.add("控制消息")
            return
        self._decoded += 1
        for message in decode(flow.control, headers, data):
            self._note(message)

    def _note(self, message: ControlMessage) -> None:
        self._control[f"{message.protocol} {message.name}"] += 1
        if message.registers:
            self._registrations.setdefault(message.where, Counter())[message.terminal] += 1
        for identity, facts in message.identities:
            if identity in self._names or len(self._names) < MOST:
                self._names.setdefault(identity, {}).update(facts)

    def _mqtt(self, h: Headers, time: int, data: bytes) -> None:
        octets = payload(h, data)
        if h.target_port == MQTT_TLS and octets[:1] in _TLS_RECORDS:
            self._tls += 1
            return
        way = (h.source_ip, h.source_port, h.target_ip, h.target_port)
        if octets:
            known = self._streams.get(way)
            if known is None:
                if len(self._streams) >= STREAMS:
                    self._full.add("MQTT 连接")
                    return
                known = self._streams[way] = _Connection(MqttStream())
            sequence = int.from_bytes(data[h.start + 4 : h.start + 8], "big")
            self._listen(known, h, time, sequence, octets)
        if len(data) > h.start + _TCP_FLAGS and data[h.start + _TCP_FLAGS] & _TCP_ENDS:
            self._streams.pop(way, None)

    def _listen(self, connection: _Connection, h: Headers, time: int, sequence: int, octets: bytes) -> None:
        for said in connection.stream.segment(sequence, octets):
            if said.kind == CONNECT:
                connection.client = said.name
                self._count(self._clients, "MQTT 客户端号", said.name, (time, time, 0, 0), _ip(h.source_ip))
                continue
            message = (time, time, 1, said.octets)
            self._count(self._topics, "MQTT 主题", said.name, message, connection.client)
            if connection.client:
                self._count(self._clients, "MQTT 客户端号", connection.client, message, "")
            else:
                self._midstream += 1

    def _told(self, frames: int, octets: int, last: int, back: int) -> CaptureSummary:
        times = tuple(sorted((slot * self._width, number) for slot, number in self._times.items() if number))
        return CaptureSummary(
            self._capture.format, tuple(sorted(self._capture.links)), self._capture.snaplen, frames, octets, self._first or 0, last,
            self._capture.dropped, self._unread, self._cut, dict(self._protocols.most_common()), self._macs, self._ips,
            self._tunnels, self._clients, self._topics, dict(self._control.most_common()), self._names, times,
            tuple(self._findings(self._capture.damage, back)),
        )  # fmt: skip

    def _findings(self, damage: Damage | None, back: int) -> Iterator[Validity]:
        def warning(code: str, text: str) -> Validity:
            return Validity(code, Severity.WARNING, text)

        if damage:
            yield warning("CAP-V01", f"文件在第 {damage.offset} 字节处中断：{damage.text}；此前的帧全部计入")
        if self._cut:
            yield warning("CAP-V02", f"{self._cut} 帧只抓了前一部分，应用层标识可能看不到")
        if back:
            yield warning("CAP-V03", f"时间倒退 {back} 次，抓包主机的时钟被调过或文件由多份拼成")
        local = [m for m in self._macs if _is_local(m)]
        if len(local) >= LOCAL_LEAST and len(local) > LOCAL_SHARE * len(self._macs):
            text = f"{len(self._macs)} 个 MAC 中 {len(local)} 个是本地管理地址（多为随机 MAC），同一台设备可能换过多个"
            yield warning("CAP-V04", text)
        behind: Counter[str] = Counter()
        for name, seen in self._clients.items():
            behind.update(seen.peers or {name})
        for address, number in behind.most_common(1):
            if number >= MANY:
                yield warning(
                    "CAP-V05",
                    f"一个地址 {address} 以 {number} 个 MQTT 客户端号出现：可能是一台主机扮演多台设备，或一个网关",
                )
        for mac, seen in sorted(self._macs.items(), key=lambda item: -len(item[1].peers))[:1]:
            if len(seen.peers) >= MANY:
                yield warning(
                    "CAP-V05", f"一个 MAC {mac} 用了 {len(seen.peers)} 个 IP 地址：路由器、网关，或一台主机扮演多台设备"
                )
        unknown = sum(terminals.pop("", 0) for terminals in self._registrations.values())
        busy = [(t.total(), place, len(t)) for place, t in self._registrations.items() if t.total() >= AGAIN]
        for number, place, terminals in sorted(busy, reverse=True):
            if terminals <= number // 5:
                text = f"{place} 注册 {number} 次，终端标识只有 {terminals} 个：反复注册的是同一批"
                yield warning("CAP-V06", text)
                break
        if unknown >= AGAIN:
            text = f"有 {unknown} 次注册看不出是几个终端（标识加密或是临时的，或没装 yanshou[ngap]），不能当作终端数"
            yield warning("CAP-V06", text)
        old = sorted(name for name in FOUR_G if any(c.startswith(name + " ") for c in self._control))
        new = sorted(name for name in FIVE_G if any(c.startswith(name + " ") for c in self._control))
        if old:
            also = f"，也有 5G 信令 {'、'.join(new)}" if new else "，没有 5G 信令"
            yield warning("CAP-V07", f"有 4G 信令 {'、'.join(old)}{also}：4G 终端不算 5G 连接")
        if self._midstream:
            yield warning(
                "CAP-V08", f"{self._midstream} 条 MQTT 消息看不到它的 CONNECT（抓包从中途开始），不知是哪个客户端"
            )
        if self._tls:
            yield warning("CAP-V09", f"{self._tls} 段 MQTT 是加密的，客户端号与主题看不到：改用代理的接口或日志")
        if self._full:
            yield warning("CAP-V10", f"{'、'.join(sorted(self._full))} 太多，超出的没有逐个区分")
        if self._capture.dropped:
            yield warning("CAP-V11", f"抓包时丢了 {self._capture.dropped} 帧，计数只少不多")


def _examined(headers: Headers | None) -> str:
    """Which closer look a frame deserves, "" for none."""
    if headers is None:
        return ""
    if headers.protocol == TCP and headers.target_port in MQTT_PORTS:
        return MQTT
    return control_of(headers)


def _named(h: Headers) -> Headers:
    """Headers without the places where they begin: the name of a flow."""
    inner = h.inner and h.inner._replace(ip=0, start=0)
    return h._replace(ip=0, start=0, inner=inner)


def _ip(address: bytes) -> str:
    return str(ip_address(address)) if address else ""


def _is_local(mac: str) -> bool:
    """A locally administered, individual address (IEEE 802, the U/L bit)."""
    return int(mac[:2], 16) & 0x03 == 0x02
