"""What a far end returns unchanged: the sequence number and T1 of a request, and zeros up to the agreed size.

Pure functions. Whoever cannot echo T1 to the nanosecond has not seen the request. Runs on bare Python 3.8.

    sequence 4 | T1 8 | zeros
"""

from __future__ import annotations

import struct

LEAST = 12
"""Octets that carry sequence and T1."""

_HEAD = struct.Struct("!IQ")


def pack(sequence: int, t1_ns: int, size: int) -> bytes:
    """`size` octets, LEAST or more."""
    return _HEAD.pack(sequence, t1_ns).ljust(size, b"\0")


def read(data: bytes, size: int) -> tuple[int, int] | None:
    """(sequence, T1) of what `pack` wrote; None for anything else."""
    if len(data) != size or any(data[LEAST:]):
        return None
    sequence, t1_ns = _HEAD.unpack_from(data)
    return sequence, t1_ns
