"""Model files for tests: written by the formats' own libraries where there are any, by hand where a lie is needed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yanshou.formats.tensors import Malformed


class Bytes:
    """A file in memory, which notes how much was asked for."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data, self.size = data, len(data) if size is None else size
        self.asked = self.largest = 0

    def read(self, offset: int, count: int) -> bytes:
        self.asked += count
        self.largest = max(self.largest, count)
        if offset < 0 or offset + count > self.size:
            raise Malformed("被截断")
        return self.data[offset : offset + count].ljust(count, b"\0")


class Disk(Bytes):
    """A file on the disk, however large."""

    def __init__(self, path: Path) -> None:
        super().__init__(b"", path.stat().st_size)
        self._path = path

    def read(self, offset: int, count: int) -> bytes:
        super().read(offset, count if offset + count <= self.size else self.size + 1)
        with self._path.open("rb") as f:
            f.seek(offset)
            return f.read(count)


def safetensors(header: Mapping[str, Any] | bytes, size: int, length: int | None = None) -> bytes:
    """A file with any header before `size` bytes; `length` is what it claims its header has."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + b"\1" * size


def sparse_safetensors(path: Path, tensors: Mapping[str, tuple[str, Sequence[int], int]]) -> None:
    """Name -> (type, shape, bytes); the data are a hole."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    with path.open("wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
    os.truncate(path, 8 + len(head) + at)


def gguf(
    tensors: Sequence[tuple[str, Sequence[int], int, int]],
    pairs: bytes = b"",
    pair_count: int = 0,
    *,
    version: int = 3,
    count: int | None = None,
    size: int = 0,
) -> bytes:
    """(name, extents as ggml orders them, type, offset) of each tensor; `size` bytes of data."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if count is None else count, pair_count) + pairs
    for name, extents, kind, offset in tensors:
        head += struct.pack("<Q", len(name.encode())) + name.encode() + struct.pack("<I", len(extents))
        head += b"".join(struct.pack("<Q", n) for n in extents) + struct.pack("<IQ", kind, offset)
    return head + b"\0" * (-len(head) % 32) + b"\1" * size


def gguf_pair(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


@contextmanager
def pretended_torch() -> Iterator[types.SimpleNamespace]:
    """Modules of torch's names, so that the standard pickler writes what torch.save writes."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2(*_: Any) -> None:
        raise AssertionError("executed")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    torch._utils = utils  # type: ignore[attr-defined]
    sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
    try:
        yield types.SimpleNamespace(torch=torch, rebuild=_rebuild_tensor_v2)
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


class _Storage:
    def __init__(self, kind: str, key: str, elements: int) -> None:
        self.kind, self.key, self.elements = kind, key, elements


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: Sequence[int], stride: Sequence[int]) -> None:
        self.arguments = (storage, offset, tuple(shape), tuple(stride), False, OrderedDict())

    def __reduce__(self) -> Any:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


UNITS = {"FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8}


def view(kind: str, key: str, elements: int, shape: Sequence[int], offset: int = 0, stride: Sequence[int] = ()) -> Any:
    """A tensor on storage `key` of `elements` elements; contiguous by default."""
    if not stride and shape:
        steps = [1]
        for extent in reversed(shape[1:]):
            steps.insert(0, steps[0] * extent)
        stride = steps
    return _Tensor(_Storage(kind, key, elements), offset, shape, stride)


def torch_file(
    content: Any, *, protocol: int = 2, compress: bool = False, sizes: Mapping[str, int] | None = None
) -> bytes:
    """What torch.save writes for `content`, with one entry for each storage; `sizes` lies about bytes of some."""
    storages: dict[str, int] = {}
    out = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            if not isinstance(item, _Storage):
                return None
            storages[item.key] = item.elements * UNITS[item.kind]
            return ("storage", getattr(sys.modules["torch"], item.kind), item.key, "cpu", item.elements)

    with pretended_torch():
        Pickler(out, protocol).dump(content)
    return torch_zip(out.getvalue(), {**storages, **(sizes or {})}, compress=compress)


def torch_zip(pickled: bytes, storages: Mapping[str, int], *, compress: bool = False) -> bytes:
    """A zip as torch lays it out, around any pickle."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as out:
        out.writestr("model/data.pkl", pickled)
        for key, size in storages.items():
            out.writestr(f"model/data/{key}", os.urandom(size) if size < 1 << 20 else b"\0" * size)
        out.writestr("model/version", "3\n")
    return archive.getvalue()
