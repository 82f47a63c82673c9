"""Binary frames between sentences: u-blox UBX and RTCM 3, known by their own lengths and checksums.

It is for stepping over them, so that nothing inside a frame is taken for a sentence and no false beginning of one swallows a
sentence: what does not end with the right checksum is no frame. It must never say what is in a frame.

Sources: u-blox interface descriptions (8-bit Fletcher of RFC 1145), RTCM 10403 (CRC-24Q, polynomial 0x1864CFB).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 8 + 0xFFFF
"""Octets of the longest frame (UBX)."""
_UBX = b"\xb5\x62"
_RTCM = b"\xd3"


@dataclass(frozen=True)
class Frame:
    """One whole frame: kind ("UBX", "RTCM3") and where it lies in the data."""

    kind: str
    start: int
    stop: int


def find_frames(data: bytes, *, final: bool) -> tuple[list[Frame], int]:
    """Whole frames in order, none within another, and where the first beginning lies whose end is not in `data` yet.

    That is len(data) where there is none, and always when `final`: then an unfinished beginning is no frame.
    """
    frames: list[Frame] = []
    at = 0
    for start, stop, kind, good in sorted([*_ubx(data), *_rtcm(data)]):
        if start < at:
            continue
        if stop > len(data):
            if not final:
                return frames, start
        elif good or (kind == "RTCM3" and not crc24q(data[start:stop])):
            frames.append(Frame(kind, start, stop))
            at = stop
    return frames, len(data)


def _ubx(data: bytes) -> Iterable[tuple[int, int, str, bool]]:
    """(where, where it would end, kind, whether its checksum is right) of everything that begins like UBX.

    It ends beyond the data where too little is there to tell. The Fletcher sums of all candidates come from two running sums.
    """
    import numpy as np

    if _UBX[:1] not in data:
        return ()
    n = len(data)
    octets = np.frombuffer(data + bytes(6), np.uint8)
    start = np.flatnonzero(octets[:n] == _UBX[0])
    start = start[(octets[start + 1] == _UBX[1]) | (start + 1 == n)]
    stop = start + 8 + octets[start + 4] + (octets[start + 5].astype(np.int64) << 8)
    stop[start + 6 > n] = n + 1
    good = np.zeros(start.size, np.bool_)
    if (whole := np.flatnonzero(stop <= n)).size:
        first = np.concatenate([np.zeros(1, np.uint8), np.cumsum(octets, dtype=np.uint8)])
        second = np.concatenate([np.zeros(1, np.uint8), np.cumsum(first, dtype=np.uint8)])
        begin, end = start[whole] + 2, stop[whole] - 2
        ordinary = first[end] - first[begin]
        weighted = second[end + 1] - second[begin + 1] - (end - begin).astype(np.uint8) * first[begin]
        good[whole] = (ordinary == octets[end]) & (weighted == octets[end + 1])
    return zip(start.tolist(), stop.tolist(), ["UBX"] * start.size, good.tolist(), strict=True)


def _rtcm(data: bytes) -> Iterable[tuple[int, int, str, bool]]:
    """The same of RTCM 3; its checksum is looked at later, where no other frame contains it."""
    import numpy as np

    if _RTCM not in data:
        return ()
    n = len(data)
    octets = np.frombuffer(data + bytes(6), np.uint8)
    start = np.flatnonzero(octets[:n] == _RTCM[0])
    start = start[(octets[start + 1] & 0xFC) == 0]
    stop = start + 6 + octets[start + 2] + (octets[start + 1].astype(np.int64) << 8)
    stop[start + 3 > n] = n + 1
    return zip(start.tolist(), stop.tolist(), ["RTCM3"] * start.size, [False] * start.size, strict=True)


def crc24q(data: bytes) -> int:
    """CRC-24Q of `data`: 0 of a whole RTCM 3 frame that is intact."""
    crc = 0
    for octet in data:
        crc = crc << 8 & 0xFFFFFF ^ _TABLE[crc >> 16 ^ octet]
    return crc


def _row(octet: int) -> int:
    crc = octet << 16
    for _ in range(8):
        crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF


_TABLE = [_row(octet) for octet in range(256)]
