"""What a port speaks, told by the first answer to a hello: TLCP, TLS 1.3 with 国密 suites, or plain TLS. Bytes in, plain data out.

It needs no cryptography: a hello without a key share is answered by the suite that the server would take. It must never claim that
a channel is secure: only which suite a server chose, and which certificates it showed.

Sources: GB/T 38636-2020 (TLCP: version 0x0101, suites 0xE0xx), RFC 8998 (0x00C6, 0x00C7, curveSM2, sm2sig_sm3), RFC 5246, RFC 8446.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

TLCP_SUITES = {
    0xE011: "ECDHE_SM4_CBC_SM3",
    0xE013: "ECC_SM4_CBC_SM3",
    0xE051: "ECDHE_SM4_GCM_SM3",
    0xE053: "ECC_SM4_GCM_SM3",
}
SM_TLS13_SUITES = {0x00C6: "TLS_SM4_GCM_SM3", 0x00C7: "TLS_SM4_CCM_SM3"}
_PLAIN_SUITES = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0x009C, 0x009D, 0x002F, 0x0035)
_ALERT, _HANDSHAKE = 21, 22
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE, _SERVER_HELLO_DONE = 1, 2, 11, 14
_TLCP, _TLS10, _TLS12, _TLS13 = 0x0101, 0x0301, 0x0303, 0x0304
_CURVE_SM2, _X25519, _P256 = 41, 29, 23
_SM2SIG_SM3 = 0x0708
_PLAIN_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501)


class Tongue(StrEnum):
    """What a hello offers, and nothing else."""

    TLCP = "tlcp"
    SM_TLS13 = "rfc8998"
    TLS = "tls"

    @property
    def word(self) -> str:
        """The name printed for people."""
        return {"tlcp": "TLCP", "rfc8998": "TLS 1.3 国密套件", "tls": "国际算法 TLS"}[self.value]


def client_hello(tongue: Tongue, random: bytes) -> bytes:
    """The record of a hello; `random` is 32 bytes."""
    if tongue is Tongue.TLCP:
        return _record(_TLCP, _hello(_TLCP, random, tuple(TLCP_SUITES), b""))
    if tongue is Tongue.SM_TLS13:
        extensions = _tls13((_TLS13,), (_CURVE_SM2,), (_SM2SIG_SM3,))
        return _record(_TLS10, _hello(_TLS12, random, tuple(SM_TLS13_SUITES), extensions))
    extensions = _tls13((_TLS13, _TLS12), (_X25519, _P256), _PLAIN_SIGNATURES)
    return _record(_TLS10, _hello(_TLS12, random, _PLAIN_SUITES, extensions))


def _record(version: int, body: bytes) -> bytes:
    return struct.pack(">BHH", _HANDSHAKE, version, len(body)) + body


def _hello(version: int, random: bytes, suites: Sequence[int], extensions: bytes) -> bytes:
    listed = b"".join(struct.pack(">H", s) for s in suites)
    body = struct.pack(">H", version) + random + b"\0" + struct.pack(">H", len(listed)) + listed + b"\1\0"
    body += struct.pack(">H", len(extensions)) + extensions if extensions else b""
    return bytes([_CLIENT_HELLO]) + len(body).to_bytes(3, "big") + body


def _tls13(versions: Sequence[int], groups: Sequence[int], signatures: Sequence[int]) -> bytes:
    """Supported versions, groups and signatures, and no key share: the server names the group it wants."""

    def numbers(values: Sequence[int]) -> bytes:
        return b"".join(struct.pack(">H", v) for v in values)

    def sized(data: bytes, form: str = ">H") -> bytes:
        return struct.pack(form, len(data)) + data

    parts = {
        43: sized(numbers(versions), ">B"),
        10: sized(numbers(groups)),
        13: sized(numbers(signatures)),
        51: sized(b""),
    }
    return b"".join(struct.pack(">H", kind) + sized(data) for kind, data in parts.items())


@dataclass(frozen=True)
class Answer:
    """What came back. `suite` is None where no server hello came; `alert` says that the hello was refused.

    `certificates`: DER, as far as they came in the clear (not in TLS 1.3). `done`: nothing more will come.
    """

    suite: int | None = None
    alert: bool = False
    certificates: tuple[bytes, ...] = ()
    done: bool = False

    def speaks(self, tongue: Tongue) -> bool:
        """Whether the server took one of the suites that the hello of `tongue` offers."""
        offered = {Tongue.TLCP: tuple(TLCP_SUITES), Tongue.SM_TLS13: tuple(SM_TLS13_SUITES), Tongue.TLS: _PLAIN_SUITES}
        return self.suite in offered[tongue]


def read_answer(data: bytes) -> Answer:
    """The answer in `data`, which may be cut anywhere; bytes that are no TLS give an empty answer that is done."""
    handshake, alert, garbage = bytearray(), False, False
    for kind, body in _records(data):
        if kind == _HANDSHAKE:
            handshake += body
        elif kind == _ALERT:
            alert = True
        elif kind is None:
            garbage = True
    suite: int | None = None
    certificates: tuple[bytes, ...] = ()
    done = garbage or alert
    for kind, message in _messages(bytes(handshake)):
        if kind == _SERVER_HELLO and len(message) >= 38:
            session = message[34]
            if len(message) >= 37 + session:
                (suite,) = struct.unpack_from(">H", message, 35 + session)
                done |= suite in SM_TLS13_SUITES or suite >> 8 == 0x13  # all that follows is encrypted
        elif kind == _CERTIFICATE:
            certificates = tuple(_certificates(message))
        elif kind == _SERVER_HELLO_DONE:
            done = True
    return Answer(suite, alert, certificates, done)


def _records(data: bytes) -> Iterator[tuple[int | None, bytes]]:
    """(kind, body) of each whole record; (None, b"") for what is none."""
    at = 0
    while at + 5 <= len(data):
        kind, version, size = struct.unpack_from(">BHH", data, at)
        if kind not in (20, _ALERT, _HANDSHAKE, 23) or version >> 8 not in (1, 3):
            yield None, b""
            return
        if at + 5 + size > len(data):
            return
        yield kind, data[at + 5 : at + 5 + size]
        at += 5 + size
    if at == 0 and data and data[0] not in (20, _ALERT, _HANDSHAKE, 23):
        yield None, b""


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        if at + 4 + size > len(data):
            return
        yield data[at], data[at + 4 : at + 4 + size]
        at += 4 + size


def _certificates(message: bytes) -> Iterator[bytes]:
    at = 3
    while at + 3 <= len(message):
        size = int.from_bytes(message[at : at + 3], "big")
        yield message[at + 3 : at + 3 + size]
        at += 3 + size
