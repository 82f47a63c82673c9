"""STAMP test packets, unauthenticated mode (RFC 8762 section 4, with the SSID of RFC 8972), to and from octets.

Pure functions. It must never touch a socket or a clock.

    request  0 sequence 4 | T1 8 | error estimate 2 | SSID 2 | MBZ 28
    reply    0 sequence 4 | T3 8 | error estimate 2 | SSID 2 | T2 8 | request's sequence 4, T1 8, error 2 | MBZ 2 | TTL 1 | MBZ 3
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SIZE = 44
"""Octets of the base packet, both ways."""
PORT = 862
"""UDP port that IANA assigned to STAMP."""
ERROR_ESTIMATE = 32 << 8 | 1
"""S=0, Z=0, Scale 32, Multiplier 1: not synchronised, NTP format, error 1 s. We claim no absolute time, so that nobody may
compute a one-way delay from these stamps; a round trip uses one clock only."""

_REQUEST = struct.Struct("!IQHH")
_REPLY = struct.Struct("!IQHHQIQHHB")
_MBZ, _ZEROS = slice(_REQUEST.size, SIZE), bytes(SIZE - _REQUEST.size)
_NTP_EPOCH = 2_208_988_800  # seconds from 1900-01-01 to 1970-01-01
_PTP_FORMAT = 0x4000
_SECOND = 1_000_000_000


class Reply(NamedTuple):
    """A reflector's packet; times in ns since 1970 as the far end claims them."""

    sequence: int
    transmitted_ns: int
    received_ns: int
    sender_sequence: int
    sender_ns: int
    sender_ttl: int


def to_ntp(ns: int) -> int:
    """Ns since 1970 as a 64-bit NTP timestamp (RFC 5905 section 6), to the nearest 2^-32 s."""
    seconds, rest = divmod(ns, _SECOND)
    return ((seconds + _NTP_EPOCH) & 0xFFFFFFFF) << 32 | ((rest << 32) + _SECOND // 2) // _SECOND


def from_ntp(value: int) -> int:
    """The inverse of `to_ntp`, exact to the ns. Seconds below 2^31 are of era 1, from 2036 (RFC 4330 section 3)."""
    seconds, fraction = value >> 32, value & 0xFFFFFFFF
    era = 1 << 32 if seconds < 1 << 31 else 0
    return (seconds + era - _NTP_EPOCH) * _SECOND + ((fraction * _SECOND + (1 << 31)) >> 32)


def _time(value: int, error: int) -> int:
    """A timestamp field by the Z bit of its error estimate (RFC 8186): truncated PTPv2 is seconds and ns."""
    return (value >> 32) * _SECOND + (value & 0xFFFFFFFF) if error & _PTP_FORMAT else from_ntp(value)


def pack_request(sequence: int, transmitted_ns: int, size: int = SIZE) -> bytes:
    """A sender's packet of `size` >= 44 octets, zero padded."""
    return _REQUEST.pack(sequence, to_ntp(transmitted_ns), ERROR_ESTIMATE, 0).ljust(size, b"\0")


def is_request(data: bytes) -> bool:
    """True for a packet that a reflector may answer: long enough, Multiplier not 0 (RFC 4656 4.1.2), and MBZ all zero.

    RFC 8762 lets a receiver ignore MBZ. Checking it keeps two reflectors from answering each other for ever: a reply
    has its receive time there.
    """
    return len(data) >= SIZE and data[13] != 0 and data[_MBZ] == _ZEROS


def pack_reply(request: bytes, received_ns: int, transmitted_ns: int, ttl: int) -> bytes:
    """The stateless reflector's answer: as long as the request, its sequence number, stamp and SSID mirrored unchanged."""
    sequence, sent, error, ssid = _REQUEST.unpack_from(request)
    return _REPLY.pack(
        sequence, to_ntp(transmitted_ns), ERROR_ESTIMATE, ssid, to_ntp(received_ns), sequence, sent, error, 0, ttl
    ).ljust(len(request), b"\0")


def unpack_reply(data: bytes) -> Reply | None:
    """A reflector's packet, None when it is not one."""
    if len(data) < SIZE or data[13] == 0:
        return None
    sequence, sent, error, _, received, sender_sequence, sender, sender_error, _, ttl = _REPLY.unpack_from(data)
    times = _time(sent, error), _time(received, error)
    return Reply(sequence, *times, sender_sequence, _time(sender, sender_error), ttl)
