"""What every reader of a model file says and is given: tensors by name, type and shape, and a file of which little is read.

It is for counting what is in a checkpoint without loading any of it. It must never hold weights, never trust a length, a shape or
an offset that the file's own size contradicts, and never do more work than `MAX_*` allow, whatever a header claims. All readers of
models run on bare Python 3.8.
"""

from __future__ import annotations

import json
import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, Protocol

from yanshou.harness.basics import Json

MAX_TENSORS = 200_000
"""In one file. The largest public checkpoints hold some 90,000 in all their files together."""
MAX_HEADER = 64 << 20
"""Bytes of a header; the largest real ones, vocabularies included, have some 20 MB."""
MAX_VALUES = 4_000_000
"""Values in one JSON text: some hundred bytes of memory each. The largest vocabularies have half as many."""
MAX_RANK = 16
MAX_ELEMENTS = 1 << 50
MAX_NAME = 4096


class Malformed(ValueError):
    """A file that is not what it says: what is wrong, and where in it. The message is for people."""


class Source(Protocol):
    """One file, read in pieces."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`. Raises Malformed where the file has fewer."""


class Tensor(NamedTuple):
    """A tensor as its file describes it.

    `dtype`: the storage type in the file's own words; `unit`: bytes of one element or of one block of a block type.
    `elements`: logical elements (of a block type those before quantisation). `start`, `end`: where its bytes are in `file`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    file: str
    start: int
    end: int
    unit: int


@dataclass(frozen=True)
class Layout:
    """What one file holds. `metadata`: plain values that the format keeps beside the tensors.

    `logical`: elements of tensors that a graph says are packed; `auxiliary`: names of tensors that a graph uses as scales, zero
    points or shapes, and not as weights.
    """

    format: str
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    logical: Mapping[str, int] = field(default_factory=dict)
    auxiliary: frozenset[str] = frozenset()


def elements_of(name: str, shape: Sequence[object]) -> int:
    """The product of a shape. Raises Malformed for what is no shape, or larger than any file could hold."""
    if len(shape) > MAX_RANK:
        raise Malformed(f"张量 {shown(name)} 有 {len(shape)} 维，不可能")
    product = 1
    for extent in shape:
        if type(extent) is not int or extent < 0:
            raise Malformed(f"张量 {shown(name)} 的形状里有 {str(extent)[:20]!r}，不是非负整数")
        product *= extent
        if product > MAX_ELEMENTS:
            raise Malformed(f"张量 {shown(name)} 的形状乘起来超过 2^50，不可能")
    return product


def shown(name: str) -> str:
    """A name from a file, fit for one line of a message."""
    printable = "".join(c if c.isprintable() else "?" for c in name[:80])
    return f"“{printable}{'…' if len(name) > 80 else ''}”"


def check_number(count: int) -> None:
    """Raises Malformed for more tensors than any checkpoint has."""
    if count > MAX_TENSORS:
        raise Malformed(f"文件头声称有 {count} 个张量，超过 {MAX_TENSORS} 个")


def json_object(
    data: bytes, what: str, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> dict[str, Json]:
    """The JSON object in `data`. Raises Malformed, also for one that would fill the memory or the stack."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise Malformed(f"{what} 有 {MAX_VALUES} 个以上的值")
    try:
        content = json.loads(data, object_pairs_hook=pairs_hook)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed(f"{what} 不是 JSON") from None
    if not isinstance(content, dict):
        raise Malformed(f"{what} 不是 JSON 对象")
    return content


def check_overlaps(tensors: Iterable[Tensor]) -> None:
    """Raises Malformed where two tensors share some of their bytes. All of them may be shared: that is one tensor twice."""
    last: Tensor | None = None
    for tensor in sorted((t for t in tensors if t.end > t.start), key=lambda t: (t.file, t.start, t.end)):
        if last is not None and last.file == tensor.file and tensor.start < last.end:
            if (tensor.start, tensor.end) != (last.start, last.end):
                raise Malformed(f"张量 {shown(last.name)} 与 {shown(tensor.name)} 的数据部分重叠")
            continue
        last = tensor


class Cursor:
    """Reads forward through `source` from `at`, never beyond `end`, in pieces of `chunk` bytes."""

    def __init__(self, source: Source, at: int, end: int, chunk: int = 1 << 16) -> None:
        self._source, self._chunk = source, chunk
        self._buffer, self._base = b"", at
        self.at, self.end = at, end

    def _window(self, count: int) -> int:
        """Index in the buffer where the next `count` bytes begin."""
        if count < 0 or self.at + count > self.end:
            raise Malformed(f"第 {self.at} 字节处需要 {count} 字节，已超出所在部分的末尾 {self.end}")
        if not self._base <= self.at <= self.at + count <= self._base + len(self._buffer):
            self._buffer = self._source.read(self.at, max(count, min(self._chunk, self.end - self.at)))
            self._base = self.at
        return self.at - self._base

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises Malformed."""
        index = self._window(count)
        self.at += count
        return self._buffer[index : index + count]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes without reading them. Raises Malformed."""
        if count < 0 or self.at + count > self.end:
            raise Malformed(f"第 {self.at} 字节处声称还有 {count} 字节，已超出所在部分的末尾 {self.end}")
        self.at += count

    def unpack(self, form: struct.Struct) -> int:
        """The one number of `form` that comes next. Raises Malformed."""
        index = self._window(form.size)
        self.at += form.size
        number: int = form.unpack_from(self._buffer, index)[0]
        return number


_RANGE = struct.Struct("<QI")
"""Before each recorded piece: its offset in the file, its length."""


def pack_range(offset: int, data: bytes) -> bytes:
    """One recorded piece of a file."""
    return _RANGE.pack(offset, len(data)) + data


class Recorded:
    """A file of which only the pieces are there that a reader once asked for: the same reader finds them again.

    Raises Malformed for a torn record. Memory holds the pieces, which are headers and samples.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.size = size
        pieces: dict[int, bytes] = {}
        while head := stream.read(_RANGE.size):
            if len(head) < _RANGE.size:
                raise Malformed("文件片段的记录不完整")
            offset, count = _RANGE.unpack(head)
            if count > MAX_HEADER or len(data := stream.read(count)) < count:
                raise Malformed("文件片段的记录不完整")
            if len(data) > len(pieces.get(offset, b"")):
                pieces[offset] = data
        self._starts = sorted(pieces)
        self._pieces = pieces

    def read(self, offset: int, count: int) -> bytes:
        """As a `Source`. Raises Malformed for what was never read."""
        if not count:
            return b""
        index = bisect_right(self._starts, offset) - 1
        if index >= 0:
            start = self._starts[index]
            data = self._pieces[start][offset - start : offset - start + count]
            if len(data) == count:
                return data
        raise Malformed(f"证据里没有文件第 {offset} 字节起的 {count} 字节")


def bytes_of(elements: int, bits: int) -> int:
    """Bytes of so many elements of `bits` each, packed."""
    return math.ceil(elements * bits / 8) if bits % 8 else elements * (bits // 8)
