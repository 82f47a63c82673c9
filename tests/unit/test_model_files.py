"""Readers of model files against the formats' own libraries, and against files that lie."""

from __future__ import annotations

import io
import math
import random
import struct
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf as gguf_library
import numpy as np
import onnx
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.model_files import (
    Bytes,
    Disk,
    gguf,
    gguf_pair,
    sparse_safetensors,
    torch_file,
    torch_zip,
    view,
)
from tests.model_files import (
    safetensors as safetensors_file,
)
from yanshou.formats.gguf import BLOCKS, read_gguf
from yanshou.formats.onnx_graph import read_onnx
from yanshou.formats.safetensors import read_safetensors
from yanshou.formats.tensors import MAX_HEADER, Layout, Malformed, Recorded, check_overlaps, pack_range
from yanshou.formats.torch_zip import FOREIGN, read_torch

Entry = dict[str, Any]


def no_external(name: str) -> int:
    raise Malformed(f"没有 {name}")


def st_read(data: bytes) -> Layout:
    return read_safetensors(Bytes(data), "m")


def entry(shape: list[Any], begin: Any, end: Any, dtype: Any = "F16") -> Entry:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# --- safetensors -------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 5), max_size=4), st.sampled_from(["f2", "f4", "i1", "u4", "i8", "?"])),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_safetensors_as_its_own_library_writes_it(shapes: list[tuple[list[int], str]]) -> None:
    arrays = {f"t{n}": np.zeros(shape, dtype) for n, (shape, dtype) in enumerate(shapes)}
    layout = st_read(safetensors.numpy.save(arrays, {"note": "x"}))
    assert {t.name: (t.shape, t.elements, t.end - t.start) for t in layout.tensors} == {
        name: (a.shape, a.size, a.nbytes) for name, a in arrays.items()
    }
    assert layout.metadata == {"note": "x"}


LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "不足 8 字节"),
    "length 2^63": (safetensors_file({}, 0, 1 << 63), "文件头声称长"),
    "truncated data": (safetensors_file({"a": entry([4], 0, 8)}, 7), "被截断"),
    "data behind the end": (safetensors_file({"a": entry([4], 0, 8)}, 9), "不属于任何张量"),
    "a hole": (safetensors_file({"a": entry([4], 0, 8), "b": entry([4], 10, 18)}, 18), "不属于任何张量"),
    "overlap": (safetensors_file({"a": entry([4], 0, 8), "b": entry([4], 4, 12)}, 12), "部分重叠"),
    "lying shape": (safetensors_file({"a": entry([4000], 0, 8)}, 8), "形状不实"),
    "shape overflow": (safetensors_file({"a": entry([1 << 40, 1 << 40], 0, 8)}, 8), "2^50"),
    "negative extent": (safetensors_file({"a": entry([-4, -1], 0, 8)}, 8), "不是非负整数"),
    "fractional extent": (safetensors_file({"a": entry([4.0], 0, 8)}, 8), "不是非负整数"),
    "boolean extent": (safetensors_file({"a": entry([True, 4], 0, 8)}, 8), "不是非负整数"),
    "backward offsets": (safetensors_file({"a": entry([4], 8, 0)}, 8), "数据位置"),
    "offsets not numbers": (safetensors_file({"a": entry([4], "0", "8")}, 8), "数据位置"),
    "unknown type": (safetensors_file({"a": entry([4], 0, 8, "Q9")}, 8), "不认识"),
    "type no text": (safetensors_file({"a": entry([4], 0, 8, ["F16"])}, 8), "不认识"),
    "many dimensions": (safetensors_file({"a": entry([1] * 17, 0, 2)}, 2), "17 维"),
    "no offsets": (safetensors_file({"a": {"dtype": "F16", "shape": [4]}}, 8), "缺 dtype"),
    "entry no object": (safetensors_file({"a": 7}, 0), "缺 dtype"),
    "list": (safetensors_file(b"[]", 0), "不是 JSON 对象"),
    "a memory full of lists": (safetensors_file(b'{"a":[' + b"[]," * 3_000_000 + b"0]}", 0), "4000000 个以上的值"),
    "no JSON": (safetensors_file(b"{]", 0), "不是 JSON"),
    "twice": (safetensors_file(b'{"a":{},"a":{}}', 0), "重复"),
    "deep": (safetensors_file(b'{"a":' * 200_000 + b"1" + b"}" * 200_000, 0), "不是 JSON"),
    "deep lists": (safetensors_file(b"[" * 1_000_000, 0), "不是 JSON"),
    "long number": (safetensors_file(b'{"a":' + b"9" * 5000 + b"}", 0), "不是 JSON"),
    "million tensors": (safetensors_file(b'"data_offsets"' * 1_000_000, 0), "1000000 个张量"),
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_safetensors_that_lie_are_refused(lie: str) -> None:
    data, why = LIES[lie]
    with pytest.raises(Malformed, match=why.replace("^", r"\^")):
        st_read(data)


def test_a_header_larger_than_any_is_not_even_read() -> None:
    source = Bytes(struct.pack("<Q", MAX_HEADER + 1), 1 << 40)
    with pytest.raises(Malformed, match="文件头长"):
        read_safetensors(source, "m")
    assert source.asked == 8


def test_one_place_for_two_names_is_allowed_and_known() -> None:
    layout = st_read(safetensors_file({"a": entry([4], 0, 8), "b": entry([2, 2], 0, 8)}, 8))
    assert [(t.start, t.end) for t in layout.tensors] == [(layout.tensors[0].start, layout.tensors[0].end)] * 2


def test_four_bit_types_count_elements() -> None:
    layout = st_read(safetensors_file({"a": entry([3, 6], 0, 9, "F4")}, 9))
    assert layout.tensors[0].elements == 18


# --- GGUF --------------------------------------------------------------------------------------------------------------


def test_gguf_block_sizes_are_the_librarys() -> None:
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf_library.constants.GGML_QUANT_SIZES.items()}
    assert theirs == BLOCKS


@pytest.mark.parametrize("version", [2, 3])
def test_gguf_as_its_own_library_writes_it(tmp_path: Path, version: int) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf_library.GGUFWriter(path, "llama")
    writer.add_name("试验 7B")
    writer.add_block_count(2)
    writer.add_token_list([f"t{n}" for n in range(300)])
    writer.add_array("numbers", [1, 2, 3])
    rng = np.random.default_rng(1)
    writer.add_tensor("plain", rng.random((3, 5), np.float32))
    for kind in (gguf_library.GGMLQuantizationType.Q8_0, gguf_library.GGMLQuantizationType.Q4_0):
        packed = gguf_library.quants.quantize(rng.random((4, 64), np.float32), kind)
        writer.add_tensor(f"packed.{kind.name}", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = bytearray(path.read_bytes())
    data[4] = version
    layout = read_gguf(Bytes(bytes(data)), "m")
    theirs = {
        t.name: (int(t.n_elements), int(t.data_offset), int(t.n_bytes)) for t in gguf_library.GGUFReader(path).tensors
    }
    assert {t.name: (t.elements, t.start, t.end - t.start) for t in layout.tensors} == theirs
    assert {t.name: t.shape for t in layout.tensors}["plain"] == (3, 5)
    assert layout.metadata["general.name"] == "试验 7B"
    assert (layout.metadata["tokenizer.ggml.tokens#"], layout.metadata["numbers#"]) == (300, 3)


def _array(kind: int, length: int, rest: bytes = b"") -> bytes:
    return gguf_pair("k", 9, struct.pack("<IQ", kind, length) + rest)


GGUF_LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "已超出"),
    "other magic": (b"GGML" + bytes(60), "不是 GGUF"),
    "version 1": (gguf([], version=1), "版本"),
    "big endian": (gguf([], version=0x03000000), "版本"),
    "tensors 2^63": (gguf([], count=1 << 63), "个张量"),
    "more tensors than fit": (gguf([], count=1000), "放不下"),
    "pairs 2^63": (gguf([], pair_count=1 << 63), "个键"),
    "more pairs than fit": (gguf([], pair_count=9999), "放不下"),
    "key of 2^60": (gguf([], struct.pack("<Q", 1 << 60) + bytes(40), 1), "名字声称"),
    "array of 2^62 numbers": (gguf([], _array(4, 1 << 62), 1), "已超出"),
    "array of 2^62 words": (gguf([], _array(8, 1 << 62), 1), "放不下"),
    "word of 2^63": (gguf([], _array(8, 1, struct.pack("<Q", 1 << 63)), 1), "已超出"),
    "arrays in arrays": (gguf([], _array(9, 1), 1), "不认识"),
    "value of no type": (gguf([], gguf_pair("k", 99, bytes(8)), 1), "不认识"),
    "alignment": (gguf([], gguf_pair("general.alignment", 4, struct.pack("<I", 24)), 1), "对齐"),
    "many dimensions": (gguf([("a", [1] * 17, 0, 0)], size=64), "17 维"),
    "shape overflow": (gguf([("a", [1 << 40, 1 << 40], 0, 0)], size=64), "2\\^50"),
    "lying shape": (gguf([("a", [4000], 0, 0)], size=64), "形状不实"),
    "truncated": (gguf([("a", [16], 0, 0)], size=63), "被截断"),
    "offset 2^63": (gguf([("a", [16], 0, 1 << 63)], size=64), "被截断"),
    "not aligned": (gguf([("a", [8], 0, 4)], size=64), "被截断或"),
    "broken block": (gguf([("a", [33], 8, 0)], size=640), "整数倍"),
    "type": (gguf([("a", [16], 77, 0)], size=64), "不认识"),
    "overlap": (gguf([("a", [16], 0, 0), ("b", [16], 0, 32)], size=96), "部分重叠"),
    "twice": (gguf([("a", [8], 0, 0), ("a", [8], 0, 32)], size=64), "同名"),
}


@pytest.mark.parametrize("lie", GGUF_LIES, ids=str)
def test_gguf_that_lies_is_refused(lie: str) -> None:
    data, why = GGUF_LIES[lie]
    with pytest.raises(Malformed, match=why):
        read_gguf(Bytes(data), "m")


# --- ONNX --------------------------------------------------------------------------------------------------------------


def model(nodes: list[Any], initializers: list[Any]) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(nodes, "g", [], [], initializers))


def array(name: str, *shape: int, dtype: str = "f4") -> Any:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def branch(name: str) -> Any:
    return helper.make_graph(
        [helper.make_node("Constant", [], [name], value=array("", 3, 3))], name, [], [], [array("w", 5)]
    )


def test_onnx_as_its_own_library_writes_it() -> None:
    floats = helper.make_tensor("typed", TensorProto.FLOAT, [2, 3], [0.5] * 6)
    halves = helper.make_tensor("halves", TensorProto.FLOAT16, [4], np.full(4, 1, np.float16))
    fours = helper.make_tensor("fours", TensorProto.INT4, [5, 3], [1] * 15)
    longs = helper.make_tensor("longs", TensorProto.INT64, [3], [1, 2, 300])
    words = helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"bc"])
    fork = helper.make_node("If", ["c"], ["y"], then_branch=branch("yes"), else_branch=branch("no"))
    given_model = model(
        [fork, helper.make_node("Constant", [], ["bare"], value=array("", 7))],
        [array("w", 10, 20), array("w16", 8, dtype="f2"), array("scalar"), floats, halves, fours, longs, words],
    )
    layout = read_onnx(Bytes(given_model.SerializeToString()), "m", no_external)
    assert {t.name: t.elements for t in layout.tensors} == {
        "w#3": 200, "w16": 8, "scalar": 1, "typed": 6, "halves": 4, "fours": 15, "longs": 3, "words": 2,
        "bare": 7, "yes": 9, "no": 9, "w": 5, "w#2": 5,
    }  # fmt: skip


def test_onnx_external_data_is_placed_and_checked(tmp_path: Path) -> None:
    onnx.save(
        model([], [array("a", 100, 30), array("b", 50)]), tmp_path / "m.onnx", save_as_external_data=True,
        location="weights.bin", size_threshold=0,
    )  # fmt: skip
    source = Disk(tmp_path / "m.onnx")
    layout = read_onnx(source, "m.onnx", lambda name: (tmp_path / name).stat().st_size)
    assert {t.name: (t.elements, t.file) for t in layout.tensors} == {
        "a": (3000, "weights.bin"),
        "b": (50, "weights.bin"),
    }
    with pytest.raises(Malformed, match="只有 100 字节"):
        read_onnx(source, "m.onnx", lambda _: 100)


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "a/../../b", "", "C:\\x", "\\\\host\\x"])
def test_onnx_external_data_stay_in_the_folder(place: str) -> None:
    tensor = TensorProto(name="a", dims=[4], data_type=1, data_location=1)
    tensor.external_data.add(key="location", value=place)
    with pytest.raises(Malformed, match="不在模型文件夹"):
        read_onnx(Bytes(model([], [tensor]).SerializeToString()), "m", lambda _: 1 << 40)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"length": "17"}, "形状不实"), ({"offset": "-1"}, "形状不实|只有"), ({"offset": "x"}, "不是整数")],
)
def test_onnx_external_places_that_lie(changes: dict[str, str], why: str) -> None:
    tensor = TensorProto(name="a", dims=[4], data_type=1, data_location=1)
    for key, value in {"location": "w.bin", **changes}.items():
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(Malformed, match=why):
        read_onnx(Bytes(model([], [tensor]).SerializeToString()), "m", lambda _: 1 << 40)


def test_onnx_weights_packed_into_bytes_are_unpacked() -> None:
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "s", "z"], ["y"], domain="com.microsoft", K=64, N=10, bits=4, block_size=32
    )
    rows = helper.make_node(
        "GatherBlockQuantized", ["e", "i", "es"], ["o"], domain="com.microsoft", bits=4, block_size=32
    )
    plain = helper.make_node("DequantizeLinear", ["q", "qs", "qz"], ["d"])
    tensors = [
        array("w", 10, 2, 16, dtype="u1"), array("s", 20), array("z", 10, dtype="u1"),
        array("e", 7, 16, dtype="u1"), array("es", 7), array("q", 5, 5, dtype="i1"), array("qs", 1), array("qz", 1, dtype="i1"),
    ]  # fmt: skip
    layout = read_onnx(Bytes(model([node, rows, plain], tensors).SerializeToString()), "m", no_external)
    assert layout.logical == {"w": 640, "e": 224}
    assert layout.auxiliary >= {"s", "z", "es", "qs", "qz"}
    node.attribute[1].i = 1000
    with pytest.raises(Malformed, match="不符"):
        read_onnx(Bytes(model([node], tensors).SerializeToString()), "m", no_external)
    node = helper.make_node("MatMulNBits", ["x", "w"], ["y"], K=64, N=10, bits=5, block_size=32)
    with pytest.raises(Malformed, match="打包位数"):
        read_onnx(Bytes(model([node], tensors).SerializeToString()), "m", no_external)


def _tensor(**fields: Any) -> bytes:
    return model([], [TensorProto(name="a", data_type=1, **fields)]).SerializeToString()


def _part(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, below 2 MB."""
    size = len(content)
    return bytes([number << 3 | 2, size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + content


def _deep(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        graph = _part(1, _part(5, _part(6, graph)))
    return _part(7, graph)


ONNX_LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "没有计算图"),
    "no protobuf": (b"\x0f" * 40, "不是 protobuf"),
    "lying shape": (_tensor(dims=[4000], raw_data=bytes(16)), "形状不实"),
    "lying typed shape": (_tensor(dims=[4000], float_data=[1.0] * 4), "形状不实"),
    "no data": (_tensor(dims=[4]), "没有数据"),
    "data twice": (_tensor(dims=[4], raw_data=bytes(16), float_data=[1.0] * 4), "不是一整段"),
    "shape overflow": (_tensor(dims=[1 << 40, 1 << 40], raw_data=bytes(16)), "2\\^50"),
    "negative extent": (_tensor(dims=[-1], raw_data=bytes(4)), "2\\^50"),
    "unknown type": (model([], [TensorProto(name="a", data_type=99)]).SerializeToString(), "不认识"),
    "deep": (_deep(40), "嵌套"),
    "length 2^63": (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "已超出"),
    "endless number": (b"\x08" + b"\xff" * 20, "不是 protobuf"),
    "long name": (model([], [array("n" * 5000, 1)]).SerializeToString(), "名字长"),
}


@pytest.mark.parametrize("lie", ONNX_LIES, ids=str)
def test_onnx_that_lies_is_refused(lie: str) -> None:
    data, why = ONNX_LIES[lie]
    with pytest.raises(Malformed, match=why):
        read_onnx(Bytes(data), "m", no_external)


def test_onnx_fields_without_end_are_refused() -> None:
    with pytest.raises(Malformed, match="字段超过"):
        read_onnx(Bytes(b"\x08\x01" * 1_100_000), "m", no_external)


# --- torch -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_torch_tensors_by_their_paths(protocol: int) -> None:
    content = OrderedDict(
        model={
            "w": view("HalfStorage", "0", 600, [20, 30]),
            "part": view("FloatStorage", "1", 100, [10], offset=90),
            "turned": view("FloatStorage", "2", 12, [3, 4], stride=[1, 3]),
            "spread": view("BFloat16Storage", "3", 1, [1000, 1000], stride=[0, 0]),
            "none": view("FloatStorage", "4", 0, [0, 7]),
        },
        steps=[1, 2.5, "x", None, True, (view("LongStorage", "5", 3, [3]),), {1, 2}],
    )
    layout = read_torch(Bytes(torch_file(content, protocol=protocol)), "m")
    assert {t.name: (t.dtype, t.shape, t.elements, t.end - t.start) for t in layout.tensors} == {
        "model.w": ("F16", (20, 30), 600, 1200),
        "model.part": ("F32", (10,), 10, 40),
        "model.turned": ("F32", (3, 4), 12, 48),
        "model.spread": ("BF16", (1000, 1000), 1, 2),
        "model.none": ("F32", (0, 7), 0, 0),
        "steps.5.0": ("I64", (3,), 3, 24),
    }
    assert layout.metadata == {}


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_torch_pickles_are_never_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    data = torch_file({"w": view("FloatStorage", "0", 4, [4]), "evil": Evil(mark)})
    layout = read_torch(Bytes(data), "m")
    assert [t.name for t in layout.tensors] == ["w"]
    assert not mark.exists()
    assert any("Path" in name or "getattr" in name for name in layout.metadata[FOREIGN])


def pickled(body: bytes) -> bytes:
    return torch_zip(b"\x80\x02" + body + b".", {})


W = view("FloatStorage", "0", 4, [4])
TORCH_LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "old format": (lambda: b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." * 4, "不是 torch.save 的 zip"),
    "truncated": (lambda: torch_file({"w": W})[:-30], "读不出"),
    "compressed": (lambda: torch_file({"w": view("FloatStorage", "0", 1 << 20, [1 << 20])}, compress=True), "压缩"),
    "storage too small": (lambda: torch_file({"w": W}, sizes={"0": 4}), "大小不实"),
    "storage missing": (lambda: torch_file({"w": W}).replace(b"model/data/0", b"model/dada/0"), "不在 zip 里"),
    "shape beyond storage": (lambda: torch_file({"w": view("FloatStorage", "0", 4, [5])}), "形状不实"),
    "offset beyond storage": (lambda: torch_file({"w": view("FloatStorage", "0", 4, [4], offset=1)}), "形状不实"),
    "shape overflow": (lambda: torch_file({"w": view("FloatStorage", "0", 4, [1 << 40] * 2, stride=[0, 0])}), "2\\^50"),
    "negative stride": (lambda: torch_file({"w": view("FloatStorage", "0", 4, [4], stride=[-1])}), "不是非负整数"),
    "two pickles": (lambda: torch_zip(b"N.", {"data.pkl": 10}), "2 个 data.pkl"),
    "no end": (lambda: torch_zip(b"\x80\x02N", {}), "pickle"),
    "empty stack": (lambda: pickled(b"0"), "不是完好的"),
    "no such memo": (lambda: pickled(b"h\x07"), "不是完好的"),
    "unusual operation": (lambda: pickled(b"Vx\nP"), "不是完好的|不会写它"),
    "extension": (lambda: pickled(b"\x82\x01"), "不会写它"),
    "strange storage": (lambda: pickled(b"(X\x01\0\0\0atQ"), "不是 torch 的存储"),
    "many operations": (lambda: torch_zip(b"N0" * 2_000_000 + b"N.", {}), "操作超过"),
    "nested without end": (lambda: pickled(b"]" * 200 + b"a" * 199), "嵌套"),
    "deep key": (lambda: pickled(b"}" + b"N" + b"\x85" * 500_000 + b"Ns"), ""),
}  # fmt: skip


@pytest.mark.parametrize("lie", TORCH_LIES, ids=str)
def test_torch_that_lies_is_refused(lie: str) -> None:
    make, why = TORCH_LIES[lie]
    if not why:
        assert read_torch(Bytes(make()), "m").tensors == ()  # a key that deep is no name, and must not be hashed
        return
    with pytest.raises(Malformed, match=why):
        read_torch(Bytes(make()), "m")


def test_containers_shared_without_end_are_entered_once() -> None:
    laughs: Any = [view("FloatStorage", "0", 4, [4])]
    for _ in range(60):
        laughs = [laughs, laughs]
    assert len(read_torch(Bytes(torch_file(laughs)), "m").tensors) == 1


def test_a_directory_larger_than_any_is_not_read() -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 0xF0000000, 0, 0)
    data = b"PK\3\4".ljust(64, b"\0") + end
    source = Bytes(data, len(data))
    with pytest.raises(Malformed):
        read_torch(source, "m")
    huge = Bytes(b"PK\3\4", 1 << 33)
    tail = huge.size - len(end)
    read = huge.read
    huge.read = lambda at, count: (read(at, count)[: max(0, tail - at)] + end[max(0, at - tail) :])[:count]  # type: ignore[method-assign]
    with pytest.raises(Malformed, match="目录声称"):
        read_torch(huge, "m")
    assert huge.asked < 1 << 20


# --- any format --------------------------------------------------------------------------------------------------------


def _samples() -> dict[str, tuple[bytes, Callable[[Bytes], Layout]]]:
    arrays = {"a": np.ones((3, 4), np.float16), "b": np.ones(7, np.float32)}
    pairs = gguf_pair("general.name", 8, struct.pack("<Q", 3) + b"abc") + _array(8, 1, struct.pack("<Q", 1) + b"t")
    graph = model([helper.make_node("Constant", [], ["c"], value=array("", 2))], [array("w", 3, 5)])
    return {
        "safetensors": (safetensors.numpy.save(arrays), lambda s: read_safetensors(s, "m")),
        "gguf": (gguf([("a", [32, 2], 8, 0), ("b", [4], 0, 96)], pairs, 2, size=112), lambda s: read_gguf(s, "m")),
        "onnx": (graph.SerializeToString(), lambda s: read_onnx(s, "m", no_external)),
        "torch": (torch_file({"w": view("FloatStorage", "0", 60, [6, 10])}), lambda s: read_torch(s, "m")),
    }


@pytest.mark.parametrize("name", ["safetensors", "gguf", "onnx", "torch"])
def test_damage_is_malformed_and_nothing_else(name: str) -> None:
    data, read = _samples()[name]
    whole = sum(t.elements for t in read(Bytes(data)).tensors)
    rng = random.Random(7)
    refused = 0
    for _ in range(1500):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        cut = broken[: rng.randrange(len(broken))] if rng.random() < 0.3 else broken
        try:
            read(Bytes(bytes(cut)))
        except Malformed:
            refused += 1
    assert whole > 0
    assert refused > 300


@pytest.mark.parametrize("name", ["safetensors", "gguf", "onnx", "torch"])
def test_the_record_of_what_was_read_reads_the_same(name: str) -> None:
    data, read = _samples()[name]
    pieces: list[bytes] = []
    source = Bytes(data)
    original = source.read

    def noting(offset: int, count: int) -> bytes:
        found = original(offset, count)
        pieces.append(pack_range(offset, found))
        return found

    source.read = noting  # type: ignore[method-assign]
    layout = read(source)
    record = b"".join(pieces)
    assert read(Recorded(io.BytesIO(record), len(data))) == layout  # type: ignore[arg-type]
    with pytest.raises(Malformed, match="不完整"):
        Recorded(io.BytesIO(record[:-1]), len(data))
    with pytest.raises(Malformed, match="证据里没有"):
        read(Recorded(io.BytesIO(b""), len(data)))  # type: ignore[arg-type]


# --- files of fifteen gigabytes ----------------------------------------------------------------------------------------


def qwen_like(layers: int = 28) -> dict[str, tuple[int, ...]]:
    """The shapes of a public model of 7,615,616,512 parameters."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (152064, 3584), "lm_head.weight": (152064, 3584)}
    for n in range(layers):
        at = f"model.layers.{n}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (3584, 3584), f"{at}.self_attn.q_proj.bias": (3584,),
            f"{at}.self_attn.k_proj.weight": (512, 3584), f"{at}.self_attn.k_proj.bias": (512,),
            f"{at}.self_attn.v_proj.weight": (512, 3584), f"{at}.self_attn.v_proj.bias": (512,),
            f"{at}.self_attn.o_proj.weight": (3584, 3584), f"{at}.mlp.gate_proj.weight": (18944, 3584),
            f"{at}.mlp.up_proj.weight": (18944, 3584), f"{at}.mlp.down_proj.weight": (3584, 18944),
            f"{at}.input_layernorm.weight": (3584,), f"{at}.post_attention_layernorm.weight": (3584,),
        }  # fmt: skip
    return {**shapes, "model.norm.weight": (3584,)}


def test_fifteen_gigabytes_are_counted_from_a_few_kilobytes(tmp_path: Path) -> None:
    shapes = qwen_like()
    path = tmp_path / "model.safetensors"
    sparse_safetensors(path, {n: ("BF16", s, 2 * math.prod(s)) for n, s in shapes.items()})
    assert path.stat().st_size > 15_000_000_000
    source = Disk(path)
    tracemalloc.start()
    layout = read_safetensors(source, "m")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(t.elements for t in layout.tensors) == 7_615_616_512
    assert source.asked < 60_000
    assert peak < 5_000_000


def test_onnx_of_fifteen_gigabytes_of_external_data(tmp_path: Path) -> None:
    shapes = qwen_like()
    initializers, at = [], 0
    for name, shape in shapes.items():
        tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.BFLOAT16, data_location=1)
        for key, value in (("location", "w.bin"), ("offset", str(at)), ("length", str(2 * math.prod(shape)))):
            tensor.external_data.add(key=key, value=value)
        at += 2 * math.prod(shape)
        initializers.append(tensor)
    data = model([], initializers).SerializeToString()
    layout = read_onnx(Bytes(data), "m", lambda _: at)
    assert sum(t.elements for t in layout.tensors) == 7_615_616_512


def test_overlap_is_partial_only() -> None:
    (a,) = st_read(safetensors_file({"a": entry([4], 0, 8)}, 8)).tensors
    check_overlaps([a, a._replace(name="b")])
    with pytest.raises(Malformed, match="部分重叠"):
        check_overlaps([a, a._replace(name="b", start=a.start + 2, end=a.end + 2)])
