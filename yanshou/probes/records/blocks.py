"""The rows of a delimited file in blocks: as they are where every line is plain, parsed where one is not.

It is for reading a hundred million rows without a Python object for each: a block of lines that hold no quote and all have the
header's number of cells goes on as bytes; the csv module reads the others, and nothing is corrected or left out. The rows are
exactly those of `read_table`. It must never open a file.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import BinaryIO, TypeAlias

from yanshou.probes.reading import LONGEST_LINE, Key

BLOCK = 8 << 20
ROWS = 4_096
"""About how many parsed rows a block has."""
LONGEST_CELL = 131_072
"""Characters that the csv module takes in a cell; a line of fewer bytes holds none that it would refuse."""
MARK = "\x01"
"""What every cell of a plain line holds that stands for a row of another width than the header's; no other cell holds it."""

Rows: TypeAlias = list[list[str]]
Block: TypeAlias = bytes | Rows
"""Plain lines of UTF-8, each ended by one line feed and as wide as the header; or parsed rows of any width."""

_ASCII_STAYS = {"ascii", "utf-8", "gb18030", "gbk", "gb2312"}
"""Encodings in which bytes below 128 stand for themselves wherever no character is half read."""


class Cut(Exception):
    """A packed stream ends before it should, or is damaged."""


@dataclass(frozen=True)
class Table:
    """A table that is being read: column names (stripped, () when there are none) and its rows in order."""

    columns: Key
    delimiter: str
    blocks: Iterator[Block]


@contextmanager
def read_blocks(stream: BinaryIO, encoding: str, delimiter: str, errors: str = "replace") -> Iterator[Table]:
    """The table in a CSV stream; closes the stream.

    Rows are those of `read_table`: blank lines are none, broken quoting gives one empty list per physical line. Raises
    UnicodeError with `errors="strict"`, and Cut, both while the blocks are read.
    """
    with closing(stream):
        source = _Lines(_whole_lines(_utf8(stream, encoding, errors)), delimiter)
        header = source.header()
        yield Table(tuple(name.strip() for name in header), delimiter, source.blocks(len(header)))


def _utf8(stream: BinaryIO, encoding: str, errors: str) -> Iterator[bytes]:
    """The text of `stream` in UTF-8, without a byte order mark."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    plain = codecs.lookup(encoding).name in _ASCII_STAYS
    first = True
    while piece := _read(stream):
        if not (plain and piece.isascii() and not decoder.getstate()[0]):
            piece = decoder.decode(piece).encode("utf-8", "replace")
        if first and piece:
            piece, first = piece.removeprefix(codecs.BOM_UTF8), False
        yield piece
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Cut(str(error)) from None


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, cut behind line ends only, but for a line that is longer than anybody needs."""
    kept = b""
    for piece in pieces:
        kept += piece
        cut = max(kept.rfind(b"\n"), kept.rfind(b"\r", 0, -1)) + 1
        if not cut and len(kept) > 2 * LONGEST_LINE:
            cut = _last_character(kept)
        if cut:
            yield kept[:cut]
            kept = kept[cut:]
    if kept:
        yield kept


def _last_character(data: bytes) -> int:
    """Where the last character of UTF-8 begins."""
    at = len(data) - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    return at


class _Lines:
    """Pieces of whole lines, from which the csv module may ask for more than one when a quoted cell spans them."""

    def __init__(self, pieces: Iterator[bytes], delimiter: str) -> None:
        self._pieces = pieces
        self._delimiter = delimiter
        self._waiting: deque[str] = deque()
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)
        self._read = 0
        self._broken = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        while not self._waiting:
            self._waiting.extend(_split(next(self._pieces).decode()))
        return self._waiting.popleft()

    def header(self) -> list[str]:
        """The first row; empty where the table begins with a blank or broken line, or is empty."""
        try:
            for row in self._reader:
                self._read = self._reader.line_num
                if row:
                    return row
        except csv.Error:  # what a broken header swallowed are rows, in which nothing can be counted
            self._broken = self._reader.line_num - self._read - 1
            self._read = self._reader.line_num
        return []

    def blocks(self, width: int) -> Iterator[Block]:
        """All rows behind the header."""
        if self._broken:
            yield [[] for _ in range(self._broken)]
        if self._waiting:  # the rest of the header's own block, without its first line, may be plain as well
            rest, self._waiting = "".join(self._waiting), deque()
            yield from self._block(rest.encode(), width)
        for piece in self._pieces:
            yield from self._block(piece, width)

    def _block(self, data: bytes, width: int) -> Iterator[Block]:
        if lines := plain_lines(data, self._delimiter, width):
            yield lines
            return
        if lines := mended_lines(data, self._delimiter, width):
            yield lines
            return
        self._waiting.extend(_split(data.decode()))
        reader, waiting = self._reader, self._waiting
        while waiting:
            rows: Rows = []
            while waiting and len(rows) < ROWS:
                try:
                    row = next(reader, [])
                except csv.Error:  # one row for each line that broken quoting has swallowed
                    rows.extend(repeat([], reader.line_num - self._read))
                else:
                    if row:
                        rows.append(row)
                self._read = reader.line_num
            if rows:
                yield as_lines(rows, self._delimiter, width) or rows


def _split(text: str) -> Iterator[str]:
    """Lines as a text file yields them with newline="", none longer than LONGEST_LINE."""
    return iter(partial(io.StringIO(text, newline="").readline, LONGEST_LINE), "")


def _unquoted(data: bytes, delimiter: str, width: int) -> bytes:
    """`data` with line feeds only, if lines and delimiters are all there is to it; else nothing."""
    if not width or ord(delimiter) > 127 or any(odd in data for odd in (b'"', b"\0", MARK.encode())):
        return b""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            return b""
    return data if data.endswith(b"\n") else data + b"\n"


def plain_lines(data: bytes, delimiter: str, width: int) -> bytes:
    """`data` with line feeds only, if nothing in it needs the csv module and every line has `width` cells; else nothing."""
    import numpy as np

    data = _unquoted(data, delimiter, width)
    if not data:
        return b""
    octets = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(octets == ord("\n"))
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.max() > LONGEST_CELL:
        return b""
    if width == 1:
        fits = lengths.min() > 0 and delimiter.encode() not in data
    else:
        at = np.flatnonzero(octets == ord(delimiter))
        fits = at.size == ends.size * (width - 1)
        if fits:
            cells = at.reshape(ends.size, width - 1)
            fits = bool((cells[:, -1] < ends).all() and (cells[1:, 0] > ends[:-1]).all())
    return data if fits else b""


def mended_lines(data: bytes, delimiter: str, width: int) -> bytes:
    """As `plain_lines`, but without its blank lines and with marked ones for those of another width; else nothing."""
    data = _unquoted(data, delimiter, width)
    if not data:
        return b""
    octet, others, mark = delimiter.encode(), width - 1, delimiter.join([MARK] * width).encode()
    lines = [line if line.count(octet) == others else mark for line in data.split(b"\n") if line]
    if not lines or max(map(len, lines)) > LONGEST_CELL:
        return b""
    return b"\n".join(lines) + b"\n"


def as_lines(rows: Rows, delimiter: str, width: int) -> bytes:
    """Parsed rows as plain lines, where no cell needs quoting; else nothing."""
    ragged = [at for at, row in enumerate(rows) if len(row) != width]
    nothing = ["-"] * width
    cells = [row if len(row) == width else nothing for row in rows] if ragged else rows
    lines = [delimiter.join(row) for row in cells]
    data = ("\n".join(lines) + "\n").encode()
    if data.count(b"\n") != len(rows) or not plain_lines(data, delimiter, width):
        return b""
    for at in ragged:
        lines[at] = delimiter.join([MARK] * width)
    return ("\n".join(lines) + "\n").encode() if ragged else data
