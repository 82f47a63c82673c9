"""What the headers of a frame say: link, VLAN, IP, ports and the GTP-U tunnel. Pure slices, no decoding of contents.

It must never raise for what a frame contains: what cannot be read is left out.
"""

from __future__ import annotations

from typing import NamedTuple

ETHERNET, NULL, RAW_IP, LOOP, SLL, RAW_101, SLL2, IPV4, IPV6 = 1, 0, 12, 108, 113, 101, 276, 228, 229
"""Link types (tcpdump.org/linktypes.html). 12 and 14 are what some systems call raw IP."""
RAW = frozenset({RAW_IP, 14, RAW_101, IPV4, IPV6})
ARP, LLDP, IP4, IP6 = 0x0806, 0x88CC, 0x0800, 0x86DD
_VLAN = frozenset({0x8100, 0x88A8, 0x9100})
_PPPOE = 0x8864
TCP, UDP, SCTP, ICMP, ICMP6 = 6, 17, 132, 1, 58
GTP_U = 2152
_EXTENSIONS = frozenset({0, 43, 60, 135})
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_HEADERS = 16
_UDP_HEADER, _TCP_HEADER, _SCTP_HEADER = 8, 20, 12


class Headers(NamedTuple):
    """One frame's headers. Addresses are octets, b"" where there is none; numbers are -1.

    `ip`: where the IP header begins; `start`: where that begins which it (or, without IP, the link) carries.
    `inner` are the headers of the packet that a GTP-U tunnel carries, with its `teid`.
    """

    source: bytes
    target: bytes
    vlans: tuple[int, ...]
    kind: int
    source_ip: bytes = b""
    target_ip: bytes = b""
    protocol: int = -1
    source_port: int = -1
    target_port: int = -1
    ip: int = -1
    start: int = 0
    fragment: bool = False
    teid: int = -1
    inner: Headers | None = None


def dissect(link: int, data: bytes) -> Headers | None:
    """The headers of a frame, as far as they go; None for a link type that is not known here or a frame too short for it."""
    source = target = b""
    vlans: tuple[int, ...] = ()
    if link == ETHERNET:
        if len(data) < 14:
            return None
        target, source, kind, at = data[0:6], data[6:12], int.from_bytes(data[12:14], "big"), 14
    elif link == SLL:
        if len(data) < 16:
            return None
        length = int.from_bytes(data[4:6], "big")
        source, kind, at = data[6 : 6 + min(length, 6)], int.from_bytes(data[14:16], "big"), 16
    elif link == SLL2:
        if len(data) < 20:
            return None
        kind, at = int.from_bytes(data[0:2], "big"), 20
        source = data[12 : 12 + min(data[11], 6)]
    elif link in RAW:
        kind, at = _by_version(data), 0
    elif link in (NULL, LOOP):
        kind, at = _by_version(data[4:]), 4
    else:
        return None
    while kind in _VLAN and len(vlans) < _MOST_HEADERS and len(data) >= at + 4:
        vlans += (int.from_bytes(data[at : at + 2], "big") & 0x0FFF,)
        kind, at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
    if kind == _PPPOE and len(data) > at + 8:
        kind, at = _by_version(data[at + 8 :]), at + 8
    return _network(Headers(source, target, vlans, kind, start=at), data)


def payload(h: Headers, data: bytes) -> bytes:
    """What the transport carries, as far as it was captured: without TCP options, and without the padding of a short frame."""
    at, end = _carried(h, data, len(data))
    return data[at:end]


def content(h: Headers, data: bytes, length: int) -> int:
    """How many octets the transport carries in a frame of `length`, of which `data` are the first; 0 of a bare acknowledgement."""
    at, end = _carried(h, data, length)
    return max(0, end - at)


def _carried(h: Headers, data: bytes, length: int) -> tuple[int, int]:
    """Where that begins and ends which the transport carries in a frame of `length` octets."""
    at, end = h.start, length
    if h.kind == IP4 and h.ip >= 0:
        end = h.ip + int.from_bytes(data[h.ip + 2 : h.ip + 4], "big")
    elif h.kind == IP6 and h.ip >= 0:
        end = h.ip + 40 + int.from_bytes(data[h.ip + 4 : h.ip + 6], "big")
    if end <= at:  # no length: the network card was to fill it in
        end = length
    if h.source_port >= 0:
        at += {UDP: _UDP_HEADER, SCTP: _SCTP_HEADER}.get(h.protocol) or _tcp_header(data, at)
    return at, end


def _tcp_header(data: bytes, at: int) -> int:
    return max(_TCP_HEADER, (data[at + 12] >> 4) * 4) if len(data) > at + 12 else _TCP_HEADER


def _by_version(data: bytes) -> int:
    version = data[0] >> 4 if data else 0
    return IP4 if version == 4 else IP6 if version == 6 else -1


def _network(found: Headers, data: bytes) -> Headers:
    at = found.start
    if found.kind == IP4 and len(data) >= at + 20 and data[at] >> 4 == 4:
        end = at + (data[at] & 0x0F) * 4
        part = int.from_bytes(data[at + 6 : at + 8], "big")
        found = found._replace(
            source_ip=data[at + 12 : at + 16], target_ip=data[at + 16 : at + 20], protocol=data[at + 9],
            ip=at, start=end, fragment=bool(part & 0x3FFF),
        )  # fmt: skip
        return found if part & 0x1FFF else _transport(found, data)
    if found.kind == IP6 and len(data) >= at + 40 and data[at] >> 4 == 6:
        protocol, end, fragment = data[at + 6], at + 40, False
        for _ in range(_MOST_HEADERS):
            if len(data) < end + 8:
                break
            if protocol in _EXTENSIONS:
                protocol, end = data[end], end + 8 + data[end + 1] * 8
            elif protocol == _AUTHENTICATION:
                protocol, end = data[end], end + 8 + data[end + 1] * 4
            elif protocol == _FRAGMENT:
                later = int.from_bytes(data[end + 2 : end + 4], "big") & 0xFFF8
                protocol, end, fragment = data[end], end + 8, True
                if later:
                    return found._replace(
                        source_ip=data[at + 8 : at + 24], target_ip=data[at + 24 : at + 40], protocol=protocol,
                        ip=at, start=end, fragment=True,
                    )  # fmt: skip
            else:
                break
        found = found._replace(
            source_ip=data[at + 8 : at + 24], target_ip=data[at + 24 : at + 40], protocol=protocol,
            ip=at, start=end, fragment=fragment,
        )  # fmt: skip
        return _transport(found, data)
    return found


def _transport(found: Headers, data: bytes) -> Headers:
    at = found.start
    if found.protocol not in (TCP, UDP, SCTP) or len(data) < at + 8:
        return found
    ports = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
    found = found._replace(source_port=ports[0], target_port=ports[1])
    return _tunnel(found, data, at + _UDP_HEADER) if found.protocol == UDP and GTP_U in ports else found


def _tunnel(found: Headers, data: bytes, at: int) -> Headers:
    """GTP-U (3GPP TS 29.281 section 5): a G-PDU (message type 255) carries a packet after header and extensions."""
    if len(data) < at + 8 or data[at] >> 5 != 1:
        return found
    found = found._replace(teid=int.from_bytes(data[at + 4 : at + 8], "big"))
    if data[at + 1] != 255:
        return found
    end = at + 8
    if data[at] & 0x07:
        following, end = data[at + 11] if len(data) > at + 11 else 0, at + 12
        for _ in range(_MOST_HEADERS):
            if not following or len(data) < end + 4 or not data[end]:
                break
            size = data[end] * 4
            following = data[end + size - 1] if len(data) >= end + size else 0
            end += size
    inner = _network(Headers(b"", b"", (), _by_version(data[end : end + 1]), start=end), data)
    return found._replace(inner=inner if inner.source_ip else None)
