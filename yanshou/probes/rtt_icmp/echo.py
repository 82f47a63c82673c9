"""ICMP and ICMPv6 echo messages (RFC 792, RFC 4443 section 4) to and from octets.

Pure functions. It must never touch a socket or a clock. Runs on bare Python 3.8.

    0 type 1 | code 1 | checksum 2 | identifier 2 | sequence 2 | data, as `rtt.mirrored` packs it

A message's own sequence number has 16 bits; the one that counts is in the data, which the far end must return unchanged
(RFC 1122 section 3.2.2.6, RFC 4443 section 4.2). The kernel fills in the checksum of ICMPv6, and the identifier on a ping socket.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from yanshou.probes.rtt import mirrored

HEADER = 8

_HEAD = struct.Struct("!BBHHH")
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


class Echo(NamedTuple):
    """An echo reply: its identifier, and of its data the sequence and T1 of the request, -1 and 0 where it is no data of ours."""

    identifier: int
    sequence: int
    t1_ns: int


def pack_request(version: int, identifier: int, sequence: int, t1_ns: int, size: int) -> bytes:
    """An echo request with `size` octets of data, `mirrored.LEAST` or more, for IP `version` 4 or 6."""
    data = mirrored.pack(sequence, t1_ns, size)
    kind = _REQUEST[version]
    checksum = 0
    if version == 4:
        checksum = _checksum(_HEAD.pack(kind, 0, 0, identifier, sequence & 0xFFFF) + data)
    return _HEAD.pack(kind, 0, checksum, identifier, sequence & 0xFFFF) + data


def read_reply(version: int, message: bytes, size: int) -> Echo | None:
    """An echo reply; None for any other message. Before an ICMP message (not ICMPv6) there may be its IPv4 header."""
    if version == 4 and message[:1] >= b"\x40":
        message = message[4 * (message[0] & 0x0F) :]
    if len(message) < HEADER:
        return None
    kind, code, _, identifier, number = _HEAD.unpack_from(message)
    if (kind, code) != (_REPLY[version], 0):
        return None
    known = mirrored.read(message[HEADER:], size)
    return Echo(identifier, *known) if known and known[0] & 0xFFFF == number else Echo(identifier, -1, 0)


def _checksum(message: bytes) -> int:
    """RFC 1071, over a message whose checksum is 0."""
    even = message + bytes(len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
