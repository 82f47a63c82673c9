"""STAMP test packets (RFC 8762 section 4, SSID and TLVs of RFC 8972) in both modes, to and from octets.

Pure functions. It must never touch a socket or a clock, nor trust what a wrong key signed. Runs on bare Python 3.8.

    request   0 sequence 4 | T1 8 | error estimate 2 | SSID 2 | MBZ 28
    reply     0 sequence 4 | T3 8 | error estimate 2 | SSID 2 | T2 8
              | request's sequence 4, T1 8, error 2 | MBZ 2 | TTL 1 | MBZ 3
    authenticated, 112 octets, HMAC over the first 96:
    request   0 sequence 4 | MBZ 12 | T1 8 | error 2 | SSID 2 | MBZ 68 | HMAC 16
    reply     0 sequence 4 | MBZ 12 | T3 8 | error 2 | SSID 2 | MBZ 4 | T2 8 | MBZ 8
              | request's sequence 4 | MBZ 12 | T1 8 | error 2 | MBZ 6 | TTL 1 | MBZ 15 | HMAC 16

In authenticated mode three TLVs follow: Follow-Up Telemetry, Extra Padding where the agreed size asks for it, and the HMAC
TLV, which covers the sequence number and the TLVs before it.
"""

from __future__ import annotations

import hmac
import struct
from typing import NamedTuple

SIZE = 44
"""Octets of the base packet, both ways. (A TWAMP-Light reply has 41 or as many as its maker likes, RFC 5357 section 4.2.1.)"""
SIGNED_SIZE = 112
"""Octets of the authenticated base packet, both ways."""
PORT = 862
"""UDP port that IANA assigned to STAMP."""

_REQUEST = struct.Struct("!IQHH")
_REPLY = struct.Struct("!IQHHQIQHHB")
_SIGNED_REQUEST = struct.Struct("!I12xQHH68x")
_SIGNED_REPLY = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")
_MBZ, _ZEROS = slice(_REQUEST.size, SIZE), bytes(SIZE - _REQUEST.size)
_TLV = struct.Struct("!BBH")
_FOLLOW_UP = struct.Struct("!BBHIQB3x")
_UNRECOGNISED, _EXTRA_PADDING, _FOLLOW_UP_TYPE, _HMAC_TYPE = 0x80, 1, 7, 8
_SOFTWARE_LOCAL = 2  # timestamping method of RFC 8972: software, on the local system
_MAC = 16
_SIGNED_TLVS = _FOLLOW_UP.size + _TLV.size + _MAC
SMALLEST_SIGNED = SIGNED_SIZE + _SIGNED_TLVS

_NTP_EPOCH = 2_208_988_800  # seconds from 1900-01-01 to 1970-01-01
_SYNCHRONISED, _PTP_FORMAT = 0x8000, 0x4000
_SECOND = 1_000_000_000


class Request(NamedTuple):
    """What a reflector must know of a request: how to mirror it."""

    sequence: int
    sent: int
    error: int
    ssid: int
    size: int


class StampReply(NamedTuple):
    """A reflector's packet; times in ns since 1970 as the far end claims them, `error` its 16 bits.

    `follow_ns`: when its reply to request `follow_sequence` truly left, 0 where it does not tell.
    """

    sequence: int
    transmitted_ns: int
    received_ns: int
    error: int
    sender_sequence: int
    sender_ns: int
    sender_ttl: int
    follow_sequence: int = -1
    follow_ns: int = 0


def to_ntp(ns: int) -> int:
    """Ns since 1970 as a 64-bit NTP timestamp (RFC 5905 section 6), to the nearest 2^-32 s."""
    seconds, rest = divmod(ns, _SECOND)
    return ((seconds + _NTP_EPOCH) & 0xFFFFFFFF) << 32 | ((rest << 32) + _SECOND // 2) // _SECOND


def from_ntp(value: int) -> int:
    """The inverse of `to_ntp`, exact to the ns. Seconds below 2^31 are of era 1, from 2036 (RFC 4330 section 3)."""
    seconds, fraction = value >> 32, value & 0xFFFFFFFF
    era = 1 << 32 if seconds < 1 << 31 else 0
    return (seconds + era - _NTP_EPOCH) * _SECOND + ((fraction * _SECOND + (1 << 31)) >> 32)


def error_estimate(error_ns: int | None, ptp: bool = False) -> int:
    """The error estimate field (RFC 4656 section 4.1.2) of a clock that is right within `error_ns`, None: not synchronised.

    The error is Multiplier * 2^(Scale - 32) s, rounded up. A clock that claims nothing says 1 s, S=0, so that nobody may
    compute a one-way delay from it.
    """
    z = _PTP_FORMAT if ptp else 0
    if error_ns is None:
        return z | 32 << 8 | 1
    units, scale = -(-(max(error_ns, 1) << 32) // _SECOND), 0
    while units > 255:
        units, scale = (units + 1) >> 1, scale + 1
    return _SYNCHRONISED | z | min(scale, 63) << 8 | units


def estimated_error_ns(field: int) -> int | None:
    """The error that an estimate stands for, ns, rounded up; None for a clock that is not synchronised."""
    if field < 0 or not field & _SYNCHRONISED:
        return None
    return -(-((field & 0xFF) * _SECOND << (field >> 8 & 0x3F)) // (1 << 32))


def _stamp(ns: int, error: int) -> int:
    """A timestamp field in the format that the Z bit of its error estimate names (RFC 8186): truncated PTPv2 or NTP."""
    if not error & _PTP_FORMAT:
        return to_ntp(ns)
    seconds, rest = divmod(ns, _SECOND)
    return (seconds & 0xFFFFFFFF) << 32 | rest


def _time(value: int, error: int) -> int:
    return (value >> 32) * _SECOND + (value & 0xFFFFFFFF) if error & _PTP_FORMAT else from_ntp(value)


def _mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 truncated to 128 bits (RFC 8762 section 4.4)."""
    return hmac.digest(key, data, "sha256")[:_MAC]


def _signed(key: bytes, base: bytes) -> bytes:
    return base + _mac(key, base)


def _seal(key: bytes, packet: bytes, tlvs: bytes) -> bytes:
    return packet + tlvs + _TLV.pack(_UNRECOGNISED, _HMAC_TYPE, _MAC) + _mac(key, packet[:4] + tlvs)


def _is_signed(key: bytes, data: bytes) -> bool:
    """True when both HMACs are right: of the base packet, and of sequence number and TLVs."""
    if len(data) < SMALLEST_SIGNED or data[-_MAC - _TLV.size + 1] != _HMAC_TYPE:
        return False
    tlvs = data[SIGNED_SIZE : -_MAC - _TLV.size]
    return hmac.compare_digest(_mac(key, data[:96]), data[96:SIGNED_SIZE]) and hmac.compare_digest(
        _mac(key, data[:4] + tlvs), data[-_MAC:]
    )


def _padding(size: int) -> bytes:
    """The Extra Padding TLV that fills an authenticated packet up to `size` octets."""
    more = size - SMALLEST_SIGNED
    return _TLV.pack(_UNRECOGNISED, _EXTRA_PADDING, more - _TLV.size).ljust(more, b"\0") if more else b""


def true_size(size: int, signed: bool) -> int:
    """Octets that a packet of the agreed `size` really has: authentication needs room, a padding TLV at least its header."""
    if not signed:
        return size
    return size if size == SMALLEST_SIGNED else max(size, SMALLEST_SIGNED + (size > SMALLEST_SIGNED) * _TLV.size)


def pack_request(sequence: int, transmitted_ns: int, size: int, error: int, key: bytes | None = None) -> bytes:
    """A sender's packet of `size` octets (see `true_size`), signed where there is a key, zero padded else."""
    sent = _stamp(transmitted_ns, error)
    if key is None:
        return _REQUEST.pack(sequence, sent, error, 0).ljust(size, b"\0")
    follow_up = _FOLLOW_UP.pack(_UNRECOGNISED, _FOLLOW_UP_TYPE, _FOLLOW_UP.size - _TLV.size, 0, 0, 0)
    return _seal(key, _signed(key, _SIGNED_REQUEST.pack(sequence, sent, error, 0)), follow_up + _padding(size))


def read_request(data: bytes, key: bytes | None = None) -> Request | None:
    """A packet that a reflector may answer; None for any other: too short, Multiplier 0 (RFC 4656 4.1.2), or not signed by `key`.

    RFC 8762 lets a receiver ignore MBZ. Checking it keeps two reflectors from answering each other for ever: a reply has its
    receive time there.
    """
    if key is not None:
        if not _is_signed(key, data) or any(data[28:96]):
            return None
        sequence, sent, error, ssid = _SIGNED_REQUEST.unpack_from(data)
    elif len(data) < SIZE or data[_MBZ] != _ZEROS:
        return None
    else:
        sequence, sent, error, ssid = _REQUEST.unpack_from(data)
    return Request(sequence, sent, error, ssid, len(data)) if error & 0xFF else None


def pack_reply(
    request: Request,
    received_ns: int,
    transmitted_ns: int,
    ttl: int,
    error: int,
    key: bytes | None = None,
    follow_sequence: int = 0,
    follow_ns: int = 0,
) -> bytes:
    """The stateless reflector's answer: as long as the request; its sequence number, stamp and SSID mirrored unchanged.

    `follow_sequence`, `follow_ns`: an earlier reply and when it truly left (0: none to tell).
    """
    sequence, sent, sender_error, ssid, size = request
    times = _stamp(transmitted_ns, error), _stamp(received_ns, error)
    if key is None:
        plain = _REPLY.pack(sequence, times[0], error, ssid, times[1], sequence, sent, sender_error, 0, ttl)
        return plain.ljust(size, b"\0")
    base = _SIGNED_REPLY.pack(sequence, times[0], error, ssid, times[1], sequence, sent, sender_error, ttl)
    told = (follow_sequence, _stamp(follow_ns, error), _SOFTWARE_LOCAL) if follow_ns else (0, 0, 0)
    follow_up = _FOLLOW_UP.pack(0, _FOLLOW_UP_TYPE, _FOLLOW_UP.size - _TLV.size, *told)
    return _seal(key, _signed(key, base), follow_up + _padding(size))


def read_reply(data: bytes, key: bytes | None = None) -> StampReply | None:
    """A reflector's packet, None when it is not one; with a key also when it is not signed by it (see `is_forged`)."""
    if key is not None:
        if not _is_signed(key, data):
            return None
        sequence, sent, error, _, received, sender_sequence, sender, sender_error, ttl = _SIGNED_REPLY.unpack_from(data)
    elif len(data) < _REPLY.size:  # a TWAMP-Light responder may leave out the last three octets, which say nothing
        return None
    else:
        sequence, sent, error, _, received, sender_sequence, sender, sender_error, _, ttl = _REPLY.unpack_from(data)
    if not error & 0xFF:
        return None
    follow_sequence, follow_ns = _told(data, error) if key is not None else (-1, 0)
    return StampReply(
        sequence, _time(sent, error), _time(received, error), error,
        sender_sequence, _time(sender, sender_error), ttl, follow_sequence, follow_ns,
    )  # fmt: skip


def _told(data: bytes, error: int) -> tuple[int, int]:
    flags, kind, _, sequence, stamp, _ = _FOLLOW_UP.unpack_from(data, SIGNED_SIZE)
    if kind != _FOLLOW_UP_TYPE or flags & _UNRECOGNISED or not stamp:
        return -1, 0
    return sequence, _time(stamp, error)


def is_forged(data: bytes, key: bytes | None) -> bool:
    """A packet long enough to be signed, and not signed by `key`."""
    return key is not None and len(data) >= SIGNED_SIZE and not _is_signed(key, data)
