"""ONNX models: the tensors of a graph, inline or in external files, from the protobuf wire format.

It is for counting weights without loading any: payloads are passed over, only what describes them is read. It must never follow a
path out of the model's folder, and never accept a tensor whose shape its bytes contradict.

Format: onnx.proto3 of github.com/onnx/onnx. Inputs of quantised operators: docs/Operators.md there, and docs/ContribOperators.md
of github.com/microsoft/onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from yanshou.formats.tensors import (
    MAX_ELEMENTS,
    MAX_NAME,
    Cursor,
    Layout,
    Malformed,
    Source,
    Tensor,
    bytes_of,
    check_number,
    check_overlaps,
    elements_of,
    shown,
)

TYPES = {
    1: ("FLOAT", 32), 2: ("UINT8", 8), 3: ("INT8", 8), 4: ("UINT16", 16), 5: ("INT16", 16), 6: ("INT32", 32), 7: ("INT64", 64),
    8: ("STRING", 8), 9: ("BOOL", 8), 10: ("FLOAT16", 16), 11: ("DOUBLE", 64), 12: ("UINT32", 32), 13: ("UINT64", 64),
    14: ("COMPLEX64", 64), 15: ("COMPLEX128", 128), 16: ("BFLOAT16", 16), 17: ("FLOAT8E4M3FN", 8), 18: ("FLOAT8E4M3FNUZ", 8),
    19: ("FLOAT8E5M2", 8), 20: ("FLOAT8E5M2FNUZ", 8), 21: ("UINT4", 4), 22: ("INT4", 4), 23: ("FLOAT4E2M1", 4),
    24: ("FLOAT8E8M0", 8),
}  # fmt: skip
AUXILIARY = {
    "DequantizeLinear": (1, 2), "QuantizeLinear": (1, 2), "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QLinearConv": (1, 2, 4, 5, 6, 7), "MatMulInteger": (2, 3), "ConvInteger": (2, 3), "DynamicQuantizeMatMul": (2, 3),
    "MatMulNBits": (2, 3, 4), "GatherBlockQuantized": (2, 3),
}  # fmt: skip
"""Operator -> inputs that are scales, zero points or indices of groups."""
MAX_FIELDS = 1_000_000
MAX_DEPTH = 16
CHUNK = 1 << 12
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PAYLOAD = {4: 32, 5: None, 6: None, 7: None, 9: 0, 10: 64, 11: None}
"""Fields of a TensorProto that hold elements: bits of each, None for varints or strings, 0 for the type's own."""
_EXTERNAL = 1


@dataclass
class _Found:
    """What one pass over a graph gathers."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    logical: dict[str, int] = field(default_factory=dict)
    auxiliary: set[str] = field(default_factory=set)
    packed: list[_Node] = field(default_factory=list)


@dataclass
class _Node:
    """An operator: what it reads, and its whole-number attributes."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)


def read_onnx(source: Source, file: str, size_of: Callable[[str], int]) -> Layout:
    """The tensors of a model. `size_of`: bytes of an external file, named relative to the model; it may raise Malformed.

    Raises Malformed.
    """
    reader = _Reader(source, file, size_of)
    found = reader.model()
    for node in found.packed:
        _unpack(node, found)
    tensors = tuple(found.tensors.values())
    check_overlaps(tensors)
    return Layout("onnx", tensors, {}, found.logical, frozenset(found.auxiliary))


def _unpack(node: _Node, found: _Found) -> None:
    """Logical elements of an operator's weights, of which a byte holds several. Raises Malformed where they cannot be there."""
    at = 1 if node.operator == "MatMulNBits" else 0
    tensor = found.tensors.get(node.inputs[at]) if len(node.inputs) > at else None
    if tensor is None or tensor.dtype != "UINT8":
        return
    bits = node.numbers.get("bits", 4)
    if bits not in (2, 4, 8):
        raise Malformed(f"张量 {shown(tensor.name)} 的打包位数 {bits} 不认识")
    logical = tensor.elements * 8 // bits
    if node.operator == "MatMulNBits":
        k, n, block = (node.numbers.get(name, 0) for name in ("K", "N", "block_size"))
        if k <= 0 or n <= 0 or block <= 0 or n * -(-k // block) * (block * bits // 8) != tensor.elements:
            raise Malformed(f"张量 {shown(tensor.name)} 的 K={k}、N={n} 与其 {tensor.elements} 字节不符")
        logical = k * n
    found.logical[tensor.name] = logical


class _Reader:
    """One model file, walked once."""

    def __init__(self, source: Source, file: str, size_of: Callable[[str], int]) -> None:
        self._at = Cursor(source, 0, source.size, CHUNK)
        self._file, self._size_of = file, size_of
        self._fields = 0
        self._found = _Found()

    def model(self) -> _Found:
        """ModelProto."""
        seen = False
        for number, wire, value in self._walk(self._at.end):
            if (number, wire) == (7, _BYTES):
                seen = True
                self._graph(self._at.at + value, 0)
            elif (number, wire) == (25, _BYTES):
                for inner, kind, length in self._walk(self._at.at + value):
                    if (inner, kind) == (7, _BYTES):
                        self._node(self._at.at + length, 0)
        if not seen:
            raise Malformed("没有计算图，不是 ONNX 模型")
        return self._found

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._at.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Malformed(f"第 {self._at.at} 字节处不是 protobuf 的整数")

    def _walk(self, end: int) -> Iterator[tuple[int, int, int]]:
        """(field, wire type, value or length) of a message that ends at `end`; what the caller leaves unread is passed over."""
        if end > self._at.end:
            raise Malformed(f"第 {self._at.at} 字节处的部分超出文件末尾：被截断，或不是 ONNX 模型")
        while self._at.at < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise Malformed(f"字段超过 {MAX_FIELDS} 个")
            tag = self._varint()
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                yield number, wire, self._varint()
                continue
            if wire not in (_FIXED64, _BYTES, _FIXED32) or not number:
                raise Malformed(f"第 {self._at.at} 字节处不是 protobuf 字段，不是 ONNX 模型")
            length = self._varint() if wire == _BYTES else 8 if wire == _FIXED64 else 4
            stop = self._at.at + length
            if stop > end:
                raise Malformed(f"第 {self._at.at} 字节处声称还有 {length} 字节，已超出所在部分的末尾 {end}")
            yield number, wire, length
            self._at.skip(stop - self._at.at)
        if self._at.at != end:
            raise Malformed(f"第 {self._at.at} 字节处的部分长度不符")

    def _text(self, length: int) -> str:
        if length > MAX_NAME:
            raise Malformed(f"第 {self._at.at} 字节处的名字长 {length} 字节")
        return self._at.take(length).decode("utf-8", "replace")

    def _graph(self, end: int, depth: int) -> None:
        """GraphProto."""
        if depth > MAX_DEPTH:
            raise Malformed(f"子图嵌套超过 {MAX_DEPTH} 层")
        for number, wire, length in self._walk(end):
            if wire != _BYTES:
                continue
            stop = self._at.at + length
            if number == 1:
                self._node(stop, depth)
            elif number == 5:
                self._add(self._tensor(stop))
            elif number == 15:
                for inner, kind, size in self._walk(stop):
                    if (inner, kind) == (1, _BYTES):
                        self._add(self._tensor(self._at.at + size))

    def _add(self, tensor: Tensor, name: str = "") -> None:
        name = given = name or tensor.name
        again = 1
        while name in self._found.tensors:  # the same name in two subgraphs
            again += 1
            name = f"{given}#{again}"
        check_number(len(self._found.tensors))
        self._found.tensors[name] = tensor._replace(name=name)

    def _node(self, end: int, depth: int) -> None:
        """NodeProto."""
        node = _Node()
        for number, wire, length in self._walk(end):
            if wire != _BYTES:
                continue
            if number == 1:
                node.inputs.append(self._text(length))
            elif number == 2:
                node.outputs.append(self._text(length))
            elif number == 4:
                node.operator = self._text(length)
            elif number == 5:
                self._attribute(self._at.at + length, node, depth)
        for tensor in node.tensors:
            self._add(tensor, node.outputs[0] if node.outputs else "")
        used = AUXILIARY.get(node.operator, ())
        self._found.auxiliary.update(node.inputs[i] for i in used if i < len(node.inputs))
        if node.operator in ("MatMulNBits", "GatherBlockQuantized"):
            self._found.packed.append(node)

    def _attribute(self, end: int, node: _Node, depth: int) -> None:
        """AttributeProto."""
        name = ""
        for number, wire, value in self._walk(end):
            if number == 1 and wire == _BYTES:
                name = self._text(value)
            elif number == 3 and wire == _VARINT:
                node.numbers[name] = value
            elif number in (5, 10) and wire == _BYTES:
                node.tensors.append(self._tensor(self._at.at + value))
            elif number in (6, 11) and wire == _BYTES:
                self._graph(self._at.at + value, depth + 1)

    def _tensor(self, end: int) -> Tensor:
        """TensorProto."""
        name, kind, location = "", 0, 0
        dims: list[int] = []
        payload: tuple[int, int, int] | None = None
        external: dict[str, str] = {}
        for number, wire, value in self._walk(end):
            if number == 1 and wire == _VARINT:
                dims.append(value)
            elif number == 1 and wire == _BYTES:
                stop = self._at.at + value
                while self._at.at < stop:
                    dims.append(self._varint())
            elif number == 2 and wire == _VARINT:
                kind = value
            elif number == 8 and wire == _BYTES:
                name = self._text(value)
            elif number == 13 and wire == _BYTES:
                self._entry(self._at.at + value, external)
            elif number == 14 and wire == _VARINT:
                location = value
            elif number in _PAYLOAD:
                if wire != _BYTES or (payload is not None and number != 6):
                    raise Malformed(f"张量 {shown(name)} 的数据不是一整段")
                payload = (number, self._at.at, self._at.at + value)
        if kind not in TYPES:
            raise Malformed(f"张量 {shown(name)} 的类型 {kind} 不认识")
        dtype, bits = TYPES[kind]
        elements = elements_of(name, dims)
        file, (start, stop) = self._file, (end, end)
        if location == _EXTERNAL:
            file, start, stop = self._place(name, external, bytes_of(elements, bits))
        elif payload is not None:
            field_number, start, stop = payload
            self._check_payload(name, dtype, elements, field_number, stop - start, bits)
        elif elements:
            raise Malformed(f"张量 {shown(name)} 有 {elements} 个元素，却没有数据")
        return Tensor(name, dtype, tuple(dims), elements, file, start, stop, max(1, bits // 8))

    def _check_payload(self, name: str, dtype: str, elements: int, number: int, size: int, bits: int) -> None:
        each = _PAYLOAD[number]
        if dtype == "STRING" or number == 6:
            return
        if each is None:
            fits = size * 8 >= elements * min(bits, 8)  # a varint has at least one byte
        else:
            fits = size == bytes_of(elements * (2 if dtype.startswith("COMPLEX") and each else 1), each or bits)
        if not fits:
            raise Malformed(f"张量 {shown(name)} 类型 {dtype} 有 {elements} 个元素，数据却有 {size} 字节：形状不实")

    def _entry(self, end: int, external: dict[str, str]) -> None:
        """StringStringEntryProto."""
        texts = {1: "", 2: ""}
        for number, wire, length in self._walk(end):
            if number in texts and wire == _BYTES:
                texts[number] = self._text(length)
        external[texts[1]] = texts[2]

    def _place(self, name: str, external: dict[str, str], size: int) -> tuple[str, int, int]:
        """File, start and end of external data."""
        location = PurePosixPath(external.get("location", "").replace("\\", "/"))
        if not location.name or location.is_absolute() or ".." in location.parts or ":" in location.parts[0]:
            raise Malformed(f"张量 {shown(name)} 的外部文件 {shown(str(location))} 不在模型文件夹里")
        try:
            start, length = int(external.get("offset") or 0), int(external.get("length") or size)
        except ValueError:
            raise Malformed(f"张量 {shown(name)} 的外部位置不是整数") from None
        if length != size or not 0 <= start <= MAX_ELEMENTS:
            raise Malformed(f"张量 {shown(name)} 应有 {size} 字节，外部位置给了 {length} 字节：形状不实")
        whole = self._size_of(location.as_posix())
        if start + length > whole:
            raise Malformed(f"张量 {shown(name)} 的数据到 {start + length} 字节，{location.name} 只有 {whole} 字节")
        return location.as_posix(), start, start + length
