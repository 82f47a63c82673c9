"""Sentences of positioning receivers: NMEA 0183, its dialects, and Unicore's and NovAtel's ASCII, read by whole blocks at once.

It is for accepting every intact sentence, counting every damaged one, and giving numbers exactly as printed. It must never accept
a sentence without a checksum, never repair one, and never make a value of an empty field. Memory is a few blocks, however long the
stream; how the stream is cut into chunks changes nothing.

What is read and refused: docs/nmea.md. What it costs beside its peers: tests/benchmarks/nmea.py.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from yanshou.formats.fields import PADDING, Text, hex_digits
from yanshou.formats.frames import LONGEST, Frame, find_frames
from yanshou.formats.sentences import LAYOUTS, Lines, read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 20
"""Octets that are read at once."""
_LINE, _RETURN, _COMMA, _STAR, _DOLLAR, _HASH, _BANG, _SEMICOLON = b"\n\r,*$#!;"
_XOR, _CRC = 3, 9
"""Octets of a checksum with its star: exclusive or, CRC-32."""
_MARKS = bytes(octet < 0x20 or octet > 0x7E or octet in b"$#!*,;" for octet in range(256))
"""Octets that a sentence is made out by: beginning, commas, star, and all that is no text."""
_PROPRIETARY = {"KSXT": b"$KSXT,", "PSTI030": b"$PSTI,030,", "BESTNAVA": b"#BESTNAVA,", "BESTPOSA": b"#BESTPOSA,"}
"""How sentences begin whose tags are not a talker and three letters."""


@dataclass(frozen=True)
class Table:
    """Sentences of one kind, in order.

    `begin`, `end`: where each lies in the stream, checksum included; int64 (n,). `talker`: two letters, "" of proprietary ones.
    `columns`: by name, shape (n, …). `time` is ns of the day, `day` days since 1970-01-01, `tow` ns of the GPS week, -1 where
    empty; other numbers are float64, NaN where empty, or (quality, counts, ids) int64, -1 where empty; letters uint8, 0 where
    empty; texts bytes. Coordinates and heights have two more columns: `_units` (int64, signed, of the last decimal; of minutes, in
    KSXT and BEST… of degrees) and `_decimals`. `refused`: sentences left out, by the first field that cannot be.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    talker: NDArray[np.bytes_]
    columns: Mapping[str, NDArray[Any]]
    refused: Mapping[str, int]

    def __len__(self) -> int:
        return int(self.end.size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


class Tables(Mapping[str, Table]):
    """Tables by kind. The numbers of a kind are made when its table is first asked for."""

    def __init__(self, offset: int, lines: Mapping[str, Lines]) -> None:
        self._offset, self._lines = offset, lines
        self._made: dict[str, Table] = {}

    def __getitem__(self, kind: str) -> Table:
        if kind not in self._made:
            self._made[kind] = _table(kind, self._lines[kind], self._offset)
        return self._made[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


@dataclass(frozen=True)
class Block:
    """A stretch of the stream from octet `offset` on, and what is in it.

    `lines`: intact sentences by kind, split into fields. `unknown`: those of other kinds, by tag. `damaged`: with a wrong checksum.
    `halves`: without beginning, or without a checksum. `frames`: binary ones, by kind. `readable`: octets of intact sentences,
    their line ends, and frames.
    """

    offset: int
    data: bytes
    lines: Mapping[str, Lines]
    unknown: Mapping[str, int]
    damaged: int
    halves: int
    frames: Mapping[str, int]
    readable: int

    @cached_property
    def tables(self) -> Tables:
        """The numbers in them, by kind."""
        return Tables(self.offset, self.lines)

    @property
    def refused(self) -> Mapping[str, int]:
        """Sentences intact by checksum, impossible by content, by "KIND.field"; all numbers are made to tell."""
        return {f"{kind}.{field}": n for kind, table in self.tables.items() for field, n in table.refused.items()}

    def text(self, begin: int, end: int) -> bytes:
        """The octets between two places of the stream that lie in this block."""
        return self.data[begin - self.offset : end - self.offset]


def read_blocks(chunks: Iterable[bytes], size: int = BLOCK) -> Iterator[Block]:
    """The whole stream, in blocks across whose ends no sentence and no frame goes on. `size`: octets that are read at once."""
    rest, offset, torn = b"", 0, False
    for part, final in _slices(chunks, size):
        data = rest + part
        frames, open_at = find_frames(data, final=final)
        text = _blanked(data, frames)
        end = len(data) if final else _cut(text, open_at)
        if end:
            padded = b"".join((memoryview(text)[:end], bytes(PADDING)))
            block, torn = _block(offset, data[:end], padded, [f for f in frames if f.stop <= end], torn)
            yield block
        rest, offset = data[end:], offset + end


def _slices(chunks: Iterable[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """The stream in pieces of `size` octets, whatever chunks it comes in; (piece, whether it is the last)."""
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length > size:
            joined = b"".join(held)
            full = (length - 1) // size * size
            for at in range(0, full, size):
                yield joined[at : at + size], False
            held, length = [joined[full:]], length - full
    yield b"".join(held), True


def _blanked(data: bytes, frames: list[Frame]) -> bytes:
    """`data` with nothing in place of frames that a sentence could begin in or go on across."""
    if not frames:
        return data
    text = bytearray(data)
    for frame in frames:
        text[frame.start : frame.stop] = b"\0" + b" " * (frame.stop - frame.start - 1)
    return bytes(text)


def _cut(text: bytes, limit: int) -> int:
    """Where to end a block before `limit`: behind a line; 0: wait for more. A lot of text without line ends: before a sentence."""
    if line := text.rfind(b"\n", 0, limit) + 1:
        return line
    if len(text) <= 2 * LONGEST:
        return 0
    start = text.rfind(b"$", 0, limit)
    return start if start > 0 else limit


def _block(offset: int, data: bytes, padded: bytes, frames: list[Frame], torn: bool) -> tuple[Block, bool]:
    """(everything in one block, whether its last line breaks off before its checksum); `padded`: what sentences may be in."""
    import numpy as np

    lines, damaged, halves, torn = _sentences(padded, torn)
    words = lines.text.words(lines.start + 1)
    kinds = dict(_kinds(lines, words))
    known = np.zeros(len(lines), np.bool_)
    for at in kinds.values():
        known[at] = True
    block = Block(
        offset, data, {kind: lines.where(at) for kind, at in kinds.items()}, _unknown(words[~known]), damaged, halves,
        Counter(frame.kind for frame in frames), _readable(lines, len(data), frames),
    )  # fmt: skip
    return block, torn


def _table(kind: str, lines: Lines, offset: int) -> Table:
    """The numbers in all sentences of a kind, without those that cannot be."""
    import numpy as np

    columns, sound = read(LAYOUTS[kind], lines)
    good = np.ones(len(lines), np.bool_)
    refused: dict[str, int] = {}
    for field, ok in sound.items():
        if not ok.all() and (number := int((good & ~ok).sum())):
            refused[field] = number
            good &= ok
    if refused:
        lines = lines.where(np.flatnonzero(good))
        columns = {name: column[good] for name, column in columns.items()}
    talker = (lines.text.words(lines.start + 1) & 0xFFFF * (kind not in _PROPRIETARY)).astype("<u2").view("S2")
    return Table(lines.start + offset, lines.star + lines.check + offset, talker, columns, refused)


def _kinds(lines: Lines, words: NDArray[np.uint64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(kind, which lines are of it) of all kinds that are there; `words`: their first eight octets behind the beginning."""
    import numpy as np

    octets = lines.text.octets
    tag = (words >> 16).astype("<u4")
    tag[(octets[lines.start] != _DOLLAR) | (words & 0xFF == ord("P"))] = 0
    other = np.ones(len(lines), np.bool_)
    for kind in LAYOUTS:
        if kind not in _PROPRIETARY:
            at = np.flatnonzero(tag == int.from_bytes(kind.encode() + b",", "little"))
            other[at] = False
            if at.size:
                yield kind, at
    rest = np.flatnonzero(other)
    for kind, text in _PROPRIETARY.items():
        found = np.ones(rest.size, np.bool_)
        for k, octet in enumerate(text):
            found &= octets[lines.start[rest] + k] == octet
        if found.any():
            yield kind, rest[found]


def _unknown(words: NDArray[np.uint64]) -> dict[str, int]:
    """How many lines begin with each tag, of which up to eight letters are told."""
    import numpy as np

    tags: Counter[str] = Counter()
    for word, number in zip(*np.unique(words, return_counts=True), strict=True):
        tags[int(word).to_bytes(8, "little").decode("latin-1").partition(",")[0].partition("*")[0]] += int(number)
    return tags


def _readable(lines: Lines, size: int, frames: list[Frame]) -> int:
    end = lines.star + lines.check
    octets = lines.text.octets
    returned = (octets[end] == _RETURN) & (end < size)
    line = octets[end + returned] == _LINE
    return int((end - lines.start + returned + line).sum()) + sum(frame.stop - frame.start for frame in frames)


@dataclass(frozen=True)
class _Marks:
    """What structures the text, commas left out: beginnings, stars, octets that are no text; the last is its end, as a line end.

    `place`: where, `what`: which octet, `edge`: which of all edges, commas among them, it is.
    """

    octets: NDArray[np.uint8]
    place: NDArray[np.int64]
    what: NDArray[np.uint8]
    edge: NDArray[np.int64]

    @cached_property
    def star(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.what == _STAR
        return found

    @cached_property
    def begin(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self.what == _DOLLAR) | (self.what == _HASH) | (self.what == _BANG)
        return found


def _sentences(padded: bytes, torn: bool) -> tuple[Lines, int, int, bool]:
    """(intact sentences before the padding, number of damaged ones, of halves, whether the last line breaks off).

    A sentence goes from a beginning to the next star with nothing but text between, and its checksum is followed by something that
    is no text, or by the next beginning. `torn`: the line before broke off, so that a tail without beginning is its.
    """
    import numpy as np

    marks, edges = _marks(padded)
    star = np.flatnonzero(marks.star)
    check = marks.place[star + 1] - marks.place[star]
    closed = ~marks.star[star + 1]
    short = star[closed & (check == _XOR) & (star > 0)]
    short = short[marks.begin[short - 1] & (marks.what[short - 1] != _HASH)]
    short = short[_xor(marks, short)]
    long = list(_crc_checked(padded, marks, star[closed & (check == _CRC)].tolist()))
    start = np.concatenate([marks.place[short - 1], np.array([begin for begin, _ in long], np.int64)])
    at = np.concatenate([short, np.array([star for _, star in long], np.int64)])
    order = np.argsort(start, kind="stable")
    start, at = start[order], at[order]
    first = marks.edge[at - 1] + 1 if not long else np.searchsorted(edges, start, side="right")
    checks = marks.place[at + 1] - marks.place[at]
    lines = Lines(Text(padded), edges, start, marks.place[at], checks, first, marks.edge[at] - first)
    return lines, *_damage(marks, start, at, torn)


def _marks(padded: bytes) -> tuple[_Marks, NDArray[np.int64]]:
    """(marks, edges) of what is before the padding; $, # and ! are marks only where a sentence may begin with them."""
    import numpy as np

    octets = np.frombuffer(padded, np.uint8)
    edges = np.flatnonzero(np.frombuffer(padded.translate(_MARKS), np.bool_))
    what = octets[edges]
    what[-PADDING:] = _COMMA
    what[-PADDING] = _LINE
    edge = np.flatnonzero((what != _COMMA) & (what != _SEMICOLON))
    marks = _Marks(octets, edges[edge], what[edge], edge)
    named = np.flatnonzero(marks.begin)
    at = marks.place[named]
    letters = (octets[at + 1] | 0x20, octets[at + 2] | 0x20)
    begins = np.all([(ord("a") <= letter) & (letter <= ord("z")) for letter in letters], axis=0)
    before = octets[at - 1]
    begins &= (marks.what[named] == _DOLLAR) | (at == 0) | (before < 0x20) | (before > 0x7E)
    if begins.all():
        return marks, edges
    false = named[~begins]
    place, what = np.delete(marks.place, false), np.delete(marks.what, false)
    edges = np.delete(edges, edge[false])
    return _Marks(octets, place, what, np.searchsorted(edges, place)), edges


def _xor(marks: _Marks, star: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether the two digits behind each star are the exclusive or of everything from the beginning before it."""
    import numpy as np

    if not star.size:
        return np.zeros(0, np.bool_)
    stop = marks.place[star]
    computed = np.bitwise_xor.reduceat(marks.octets, np.stack([marks.place[star - 1] + 1, stop], axis=1).ravel())[::2]
    high, low = (hex_digits(marks.octets[stop + k]).astype(np.int64) for k in (1, 2))
    right: NDArray[np.bool_] = (low < 16) & ((high << 4 | low) == computed)
    return right


def _crc_checked(padded: bytes, marks: _Marks, stars: list[int]) -> Iterator[tuple[int, int]]:
    """(beginning, star) of sentences with a right CRC-32 of eight digits, which may begin with # in the middle of a line.

    Polynomial 0xEDB88320 reflected, beginning with 0, not inverted: that of zlib without its inversions.
    """
    for star in stars:
        stop = int(marks.place[star])
        before = int(marks.place[star - 1]) if star else -1
        candidates = [before] if star and marks.begin[star - 1] else []
        if (middle := padded.rfind(b"#", before + 1, stop)) >= 0:
            candidates.append(middle)
        stated = padded[stop + 1 : stop + _CRC]
        for begin in candidates:
            crc = zlib.crc32(padded[begin + 1 : stop], 0xFFFFFFFF) ^ 0xFFFFFFFF
            if stated.lower() == b"%08x" % crc:
                yield begin, star
                break


def _damage(marks: _Marks, start: NDArray[np.int64], star: NDArray[np.intp], torn: bool) -> tuple[int, int, bool]:
    """(sentences with a wrong checksum, halves, whether the last line breaks off); `start`, `star`: of the intact ones.

    A stretch runs from a beginning, or a line end, to the next. One with a beginning that is not intact is damaged if it has a
    star, else a half. One without, but with a checksum, is the tail of a sentence: a half too, unless the line before it was one.
    """
    import numpy as np

    own = (star > 0) & (marks.place[star - 1] == start)
    if np.count_nonzero(marks.star) == star.size and np.count_nonzero(marks.begin) == np.count_nonzero(own):
        return 0, 0, False
    used, opened = np.zeros((2, marks.place.size), np.bool_)
    used[star] = opened[star[own] - 1] = True
    spare = np.flatnonzero(marks.star & ~used)
    heads = np.flatnonzero(marks.begin | (marks.what == _LINE))
    begins = np.append(False, marks.begin[heads])
    broken = begins & ~np.append(False, opened[heads])
    digits = hex_digits(marks.octets[marks.place[spare][:, None] + (1, 2)]).max(axis=1, initial=0) < 16
    checked = digits & np.isin(marks.place[spare + 1] - marks.place[spare], (_XOR, _CRC))
    stretch = np.searchsorted(heads, spare, side="right")
    starred = np.bincount(stretch, minlength=begins.size) > 0
    tail = np.bincount(stretch[checked], minlength=begins.size) > 0
    half = broken & ~starred
    tail &= ~broken & (begins | ~np.append(torn, half[:-1]))
    breaks_off = half[:-1] & (marks.place[heads] >= marks.place[-1] - 1)
    return int((broken & starred).sum()), int(half.sum() + tail.sum()), bool(breaks_off.any())
