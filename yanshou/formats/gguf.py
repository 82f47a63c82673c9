"""GGUF versions 2 and 3: key-value pairs, then one record per tensor, then aligned data.

It is for the tensors of one file without decoding its vocabulary. It must never read a weight, and never accept a tensor that
lies outside the file or shares bytes with another one.

Format: docs/gguf.md of github.com/ggml-org/ggml; block sizes: `ggml_type` and ggml-common.h there.
"""

from __future__ import annotations

import struct

from yanshou.formats.tensors import (
    MAX_HEADER,
    MAX_NAME,
    MAX_RANK,
    Cursor,
    Layout,
    Malformed,
    Source,
    Tensor,
    check_number,
    check_overlaps,
    elements_of,
    shown,
)
from yanshou.harness.basics import Json

MAGIC = b"GGUF"
BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""ggml type -> (name, elements of a block, bytes of a block)."""
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_FORMS = {kind: struct.Struct(form) for kind, form in _SCALARS.items()}
_STRING, _ARRAY = 8, 9
_LONGEST_KEPT = 200
ALIGNMENT = 32
MAX_PAIRS = 10_000
LENGTH_OF = "#"
"""Of an array in the metadata only the length is kept, under its key with this at the end."""


def read_gguf(source: Source, file: str) -> Layout:
    """The tensors of one file in the order of its records. Raises Malformed."""
    end = min(source.size, MAX_HEADER)
    at = Cursor(source, 0, end)
    if at.take(4) != MAGIC:
        raise Malformed("文件开头不是 GGUF")
    version = at.unpack(_U32)
    if version not in (2, 3):
        raise Malformed(f"GGUF 版本 {version:#x} 不认识，只读小端的 2 和 3")
    count, pairs = at.unpack(_U64), at.unpack(_U64)
    check_number(count)
    if pairs > MAX_PAIRS:
        raise Malformed(f"文件头声称有 {pairs} 个键，超过 {MAX_PAIRS} 个")
    if count * 24 + pairs * 13 > source.size:
        raise Malformed(f"文件头声称有 {count} 个张量和 {pairs} 个键，文件放不下")
    metadata: dict[str, Json] = {}
    for _ in range(pairs):
        key = _text(at)
        kind = at.unpack(_U32)
        if kind == _ARRAY:
            metadata[key + LENGTH_OF] = _skip_array(at)
        else:
            metadata[key] = _value(at, kind)
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise Malformed(f"对齐 general.alignment = {alignment} 不是 2 的幂")
    records = [_record(at) for _ in range(count)]
    base = -(-at.at // alignment) * alignment
    tensors = tuple(_tensor(record, base, alignment, source.size, file) for record in records)
    if len({t.name for t in tensors}) != len(tensors):
        raise Malformed("有两个张量同名")
    check_overlaps(tensors)
    return Layout("gguf", tensors, metadata)


def _text(at: Cursor, longest: int = MAX_NAME) -> str:
    length = at.unpack(_U64)
    if length > longest:
        raise Malformed(f"第 {at.at} 字节处的名字声称长 {length} 字节")
    return at.take(length).decode("utf-8", "replace")


def _value(at: Cursor, kind: int) -> Json:
    if kind == _STRING:
        length = at.unpack(_U64)
        if length <= _LONGEST_KEPT:
            return at.take(length).decode("utf-8", "replace")
        at.skip(length)
        return ""
    if kind not in _FORMS:
        raise Malformed(f"第 {at.at} 字节处的值类型 {kind} 不认识")
    return at.unpack(_FORMS[kind])


def _skip_array(at: Cursor) -> int:
    """Pass over an array; its length."""
    kind, length = at.unpack(_U32), at.unpack(_U64)
    if kind in _FORMS:
        at.skip(length * _FORMS[kind].size)
    elif kind == _STRING:
        if length * 8 > at.end - at.at:
            raise Malformed(f"第 {at.at} 字节处的数组声称有 {length} 项，文件放不下")
        for _ in range(length):
            at.skip(at.unpack(_U64))
    else:
        raise Malformed(f"第 {at.at} 字节处的数组元素类型 {kind} 不认识")
    return length


def _record(at: Cursor) -> tuple[str, list[int], int, int]:
    """Name, extents, type and offset of the next tensor."""
    name, rank = _text(at), at.unpack(_U32)
    if rank > MAX_RANK:
        raise Malformed(f"张量 {shown(name)} 有 {rank} 维，不可能")
    return name, [at.unpack(_U64) for _ in range(rank)], at.unpack(_U32), at.unpack(_U64)


def _tensor(record: tuple[str, list[int], int, int], base: int, alignment: int, size: int, file: str) -> Tensor:
    name, extents, kind, offset = record
    if kind not in BLOCKS:
        raise Malformed(f"张量 {shown(name)} 的类型 {kind} 不认识")
    dtype, block, unit = BLOCKS[kind]
    elements = elements_of(name, extents)
    if (extents[0] if extents else 1) % block:
        raise Malformed(f"张量 {shown(name)} 的第一维 {extents[0]} 不是 {dtype} 块长 {block} 的整数倍")
    start = base + offset
    end = start + elements // block * unit
    if offset % alignment or end > size:
        raise Malformed(f"张量 {shown(name)} 的数据应在 {start} 至 {end} 字节，文件有 {size} 字节：被截断或形状不实")
    return Tensor(name, dtype, tuple(reversed(extents)), elements, file, start, end, unit)
