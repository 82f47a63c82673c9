"""Rows in a stream that may break off anywhere: JSON lines in gzip members, each whole by itself (RFC 1952).

A member holds whole lines. What follows the last whole member is ignored, so that a killed recording is read up to there,
and members can be copied from one stream to another as they are.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from yanshou.harness.basics import Json

CHUNK = 1 << 20
LARGEST = 1 << 30
"""Bytes that one member may unpack to."""


def lines(rows: Iterable[Json]) -> bytes:
    """A line per row."""
    return "".join(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n" for row in rows).encode()


def member(data: bytes) -> bytes:
    """One gzip member of whole lines."""
    return gzip.compress(data, 1, mtime=0)


def members(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(packed, unpacked) of each whole member. Raises ValueError for what is no gzip, or unpacks to more than LARGEST."""
    buffer = b""
    while True:
        unpacker, packed, unpacked = zlib.decompressobj(wbits=31), bytearray(), bytearray()
        while not unpacker.eof:
            buffer = buffer or stream.read(CHUNK)
            if not buffer:
                return
            try:
                unpacked += unpacker.decompress(buffer, LARGEST - len(unpacked))
            except zlib.error as error:
                raise ValueError(f"not gzip: {error}") from None
            if unpacker.unconsumed_tail:
                raise ValueError("a member that unpacks to too much")
            packed += buffer[: len(buffer) - len(unpacker.unused_data)]
            buffer = unpacker.unused_data
        yield bytes(packed), bytes(unpacked)


def raw_rows(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of all whole members. Raises ValueError as `members` does."""
    for _, data in members(stream):
        yield from data.splitlines()
