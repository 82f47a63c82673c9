"""Captures of packets: classic pcap and pcapng, read as a stream in constant memory.

It is for giving every frame that is there and for saying where a file breaks off. It must never load a file, never decode
what is in a frame (`packets` does), and never raise for what a damaged file contains: the frames before the damage are given,
and `damage` tells the rest.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeAlias

Frame: TypeAlias = tuple[int, int, bytes, int]
"""(time as UTC ns, link type, captured octets, original length). A plain tuple: there are millions."""

CHUNK = 1 << 20
LARGEST = 1 << 24
"""A frame or block longer than this is no frame: its length field is damaged."""
_CLASSIC = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_INTERFACE, _PACKET, _SIMPLE, _STATISTICS, _ENHANCED = 1, 2, 3, 5, 6
_BYTE_ORDER, _LITTLE = 0x1A2B3C4D, b"\x4d\x3c\x2b\x1a"
_PAYLOAD, _SMALLEST = 28, 32
"""Where the octets begin in an enhanced packet block, and the length of an empty one."""
_OPTION_TSRESOL, _OPTION_TSOFFSET, _OPTION_DROPPED = 9, 14, 5
_SECOND = 1_000_000_000
_LATEST = 1 << 63
"""UTC ns from here on (the year 2262) are no time of a capture."""


@dataclass(frozen=True)
class Damage:
    """Where a file stops being a capture, and in which words."""

    offset: int
    text: str


class NotACapture(ValueError):
    """The first octets are those of no capture."""


class _Interface(NamedTuple):
    """What a pcapng file says of one interface. `ticks` a second; `offset`: ns to add."""

    link: int
    snaplen: int
    ticks: int
    offset: int

    def time(self, high: int, low: int) -> int:
        """A 64-bit time stamp of this interface as UTC ns. Raises OverflowError for what is no time."""
        ns = (high << 32 | low) * _SECOND // self.ticks + self.offset
        if not 0 <= ns < _LATEST:
            raise OverflowError(ns)
        return ns


class Capture:
    """One capture being read, once: iterate, then look at `damage`, `snaplen`, `links` and `dropped`.

    Raises NotACapture at once for any other file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = stream.read(CHUNK)
        self._at = self._base = 0
        self.damage: Damage | None = None
        self.links: set[int] = set()
        self.snaplen = 0
        self.dropped: int | None = None
        magic = self._buffer[:4]
        if magic not in _CLASSIC and magic != _SECTION:
            raise NotACapture("前四个字节不是 pcap 或 pcapng")
        self.format = "pcapng" if magic == _SECTION else "pcap"

    def __iter__(self) -> Iterator[Frame]:
        return self._blocks() if self.format == "pcapng" else self._records()

    @property
    def offset(self) -> int:
        """Octets read so far."""
        return self._base + self._at

    def _have(self, number: int) -> bool:
        """Whether `number` octets lie in the buffer from here on; reads more if need be."""
        left = len(self._buffer) - self._at
        if left >= number:
            return True
        parts = [self._buffer[self._at :]]
        while left < number:
            block = self._stream.read(max(CHUNK, number - left))
            if not block:
                break
            parts.append(block)
            left += len(block)
        self._base += self._at
        self._buffer, self._at = b"".join(parts), 0
        return left >= number

    def _break(self, text: str) -> None:
        self.damage = Damage(self.offset, text)

    def _records(self) -> Iterator[Frame]:
        """Classic pcap: a header of 24 octets, then records of 16 + n."""
        order, unit = _CLASSIC[self._buffer[:4]]
        if not self._have(24):
            self._break("文件头不完整")
            return
        _, _, _, _, self.snaplen, link = struct.unpack_from(order + "HHiIII", self._buffer, 4)
        link &= 0x0FFFFFFF  # the upper bits tell of a frame check sequence
        self.links.add(link)
        self._at = 24
        header, size = struct.Struct(order + "IIII"), 16
        while True:
            buffer, at, end = self._buffer, self._at, len(self._buffer)
            while at + size <= end:  # the hot loop: nothing but this buffer
                seconds, part, captured, original = header.unpack_from(buffer, at)
                stop = at + size + captured
                if stop > end or captured > LARGEST:
                    break
                yield seconds * _SECOND + part * unit, link, buffer[at + size : stop], original
                at = stop
            self._at = at
            if not self._have(size):
                if self._have(1):
                    self._break("末尾的记录头不完整（文件被截断）")
                return
            _, _, captured, _ = header.unpack_from(self._buffer, self._at)
            if captured > LARGEST:
                self._break(f"记录长度 {captured} 不可能")
                return
            if not self._have(size + captured):
                self._break("末尾的记录不完整（文件被截断）")
                return

    def _blocks(self) -> Iterator[Frame]:
        """pcapng: blocks that say their length at both ends; sections may differ in byte order."""
        order, interfaces = "<", list[_Interface]()
        packet, trailer = struct.Struct(order + "7I"), struct.Struct(order + "I")
        while self._have(12):
            if self._buffer[self._at : self._at + 4] == _SECTION:
                order = "<" if self._buffer[self._at + 8 : self._at + 12] == _LITTLE else ">"
                packet, trailer = struct.Struct(order + "7I"), struct.Struct(order + "I")
                if trailer.unpack_from(self._buffer, self._at + 8)[0] != _BYTE_ORDER:
                    self._break("节头的字节序标记不对")
                    return
                interfaces = []
            kind, length = struct.unpack_from(order + "II", self._buffer, self._at)
            if length < 12 or length % 4 or length > LARGEST:
                self._break(f"块长度 {length} 不可能")
                return
            if not self._have(length):
                self._break("末尾的块不完整（文件被截断）")
                return
            body = self._buffer[self._at + 8 : self._at + length - 4]
            if trailer.unpack_from(self._buffer, self._at + length - 4)[0] != length:
                self._break("块首尾的长度不一致")
                return
            try:
                frame = self._block(kind, body, order, interfaces)
            except (struct.error, IndexError, ZeroDivisionError, OverflowError):
                self._break("块的内容不完整或自相矛盾")
                return
            self._at += length
            if frame is None:
                continue
            yield frame
            buffer, at, end = self._buffer, self._at, len(self._buffer)
            number, unit, link, offset = -1, 0, 0, 0
            while at + _SMALLEST <= end:  # the hot loop: packets of interfaces with whole nanoseconds, in this buffer
                kind, length, where, high, low, captured, original = packet.unpack_from(buffer, at)
                stop = at + length
                if kind != _ENHANCED or stop > end or length & 3 or captured > length - _SMALLEST:
                    break
                if where != number:
                    if where >= len(interfaces) or _SECOND % interfaces[where].ticks:
                        break
                    number, (link, _, ticks, offset) = where, interfaces[where]
                    unit = _SECOND // ticks
                time = (high << 32 | low) * unit + offset
                if not 0 <= time < _LATEST or trailer.unpack_from(buffer, stop - 4)[0] != length:
                    break
                yield time, link, buffer[at + _PAYLOAD : at + _PAYLOAD + captured], original
                at = stop
            self._at = at
        if self._have(1):
            self._break("末尾的块不完整（文件被截断）")

    def _block(self, kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> Frame | None:
        if kind == _ENHANCED:
            number, high, low, captured, original = struct.unpack_from(order + "5I", body)
            return self._frame(interfaces[number], high, low, body[20:], captured, original)
        if kind == _PACKET:  # obsolete, and still written by old probes
            number, _, high, low, captured, original = struct.unpack_from(order + "HH4I", body)
            return self._frame(interfaces[number], high, low, body[20:], captured, original)
        if kind == _SIMPLE:
            (original,) = struct.unpack_from(order + "I", body)
            one = interfaces[0]
            captured = min(original, one.snaplen or original, len(body) - 4)
            return (0, one.link, body[4 : 4 + captured], original)
        if kind == _INTERFACE:
            link, _, snaplen = struct.unpack_from(order + "HHI", body)
            told = dict(_options(body[8:], order))
            resolution = told.get(_OPTION_TSRESOL, b"\x06")[0]
            ticks = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
            (offset,) = struct.unpack(order + "q", told.get(_OPTION_TSOFFSET, bytes(8))[:8])
            interfaces.append(_Interface(link, snaplen, ticks, offset * _SECOND))
            self.links.add(link)
            self.snaplen = max(self.snaplen, snaplen)
        elif kind == _STATISTICS:
            told = dict(_options(body[12:], order))
            if _OPTION_DROPPED in told:
                number = struct.unpack(order + "Q", told[_OPTION_DROPPED][:8])[0]
                self.dropped = max(self.dropped or 0, number)
        return None

    def _frame(self, one: _Interface, high: int, low: int, data: bytes, captured: int, original: int) -> Frame:
        if captured > len(data):
            raise IndexError(captured)
        return (one.time(high, low), one.link, data[:captured], original)


def _options(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from(order + "HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + (-length % 4)
