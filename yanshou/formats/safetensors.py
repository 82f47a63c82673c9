"""Safetensors: a JSON header that names each tensor's type, shape and bytes, then the bytes.

It is for the tensors of one file from its header alone. It must never read a weight, and never accept a header that the file's
size contradicts: every byte behind the header belongs to a tensor, none to two different ones.

Format: the README of github.com/huggingface/safetensors; it limits a header to 100 MB, here `MAX_HEADER`.
"""

from __future__ import annotations

import struct
from typing import Any

from yanshou.formats.tensors import (
    MAX_HEADER,
    Layout,
    Malformed,
    Source,
    Tensor,
    bytes_of,
    check_number,
    check_overlaps,
    elements_of,
    json_object,
    shown,
)

_LENGTH = struct.Struct("<Q")
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
METADATA = "__metadata__"


def read_safetensors(source: Source, file: str) -> Layout:
    """The tensors of one file, in order of their bytes. Raises Malformed."""
    if source.size < _LENGTH.size:
        raise Malformed("文件不足 8 字节，不是 safetensors")
    (length,) = _LENGTH.unpack(source.read(0, _LENGTH.size))
    if length > source.size - _LENGTH.size:
        raise Malformed(f"文件头声称长 {length} 字节，文件只有 {source.size} 字节：被截断，或不是 safetensors")
    if length > MAX_HEADER:
        raise Malformed(f"文件头长 {length} 字节，超过 {MAX_HEADER} 字节")
    data = source.read(_LENGTH.size, length)
    check_number(data.count(b'"data_offsets"'))
    header = json_object(data, "文件头", _once)
    check_number(len(header))
    base = _LENGTH.size + length
    metadata = header.pop(METADATA, {})
    tensors = tuple(sorted((_tensor(n, e, file, base) for n, e in header.items()), key=lambda t: (t.start, t.end)))
    check_overlaps(tensors)
    at = base
    for tensor in tensors:
        if tensor.start > at:
            raise Malformed(f"张量 {shown(tensor.name)} 之前有 {tensor.start - at} 字节不属于任何张量")
        at = max(at, tensor.end)
    if at != source.size:
        what = "被截断" if at > source.size else "末尾有不属于任何张量的数据"
        raise Malformed(f"文件头要求 {at} 字节，文件有 {source.size} 字节：{what}")
    plain = {k: v for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}
    return Layout("safetensors", tensors, plain)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no name stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("文件头里有重复的名字")
    return found


def _tensor(name: str, entry: Any, file: str, base: int) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise Malformed(f"张量 {shown(name)} 的条目缺 dtype、shape 或 data_offsets") from None
    if not isinstance(dtype, str) or dtype not in BITS:
        raise Malformed(f"张量 {shown(name)} 的类型 {str(dtype)[:20]!r} 不认识")
    if not isinstance(shape, list) or any(type(n) is not int for n in (begin, end)) or not 0 <= begin <= end:
        raise Malformed(f"张量 {shown(name)} 的形状或数据位置不是非负整数")
    elements = elements_of(name, shape)
    if bytes_of(elements, BITS[dtype]) != end - begin:
        raise Malformed(
            f"张量 {shown(name)} 形状 {shape} 类型 {dtype} 应有 {bytes_of(elements, BITS[dtype])} 字节，"
            f"文件头给了 {end - begin} 字节：形状不实"
        )
    return Tensor(name, dtype, tuple(shape), elements, file, base + begin, base + end, max(1, BITS[dtype] // 8))
