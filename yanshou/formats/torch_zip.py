"""PyTorch's zip checkpoints (torch.save since 1.6, TorchScript): tensors from the pickle's opcodes, which are never executed.

It is for counting what may be hostile: nothing is imported, constructed or called. Names of globals are texts here, calls are
records of what would have been called. It must never decompress: torch stores its entries, and so must whoever hands them over.

Format: `pickletools` of the standard library; torch/serialization.py and torch/_utils.py (`_rebuild_tensor_v2`).
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from dataclasses import dataclass, field
from typing import Any

from yanshou.formats.tensors import (
    MAX_NAME,
    MAX_TENSORS,
    Layout,
    Malformed,
    Source,
    Tensor,
    check_number,
    elements_of,
    shown,
)

MAX_PICKLE = 16 << 20
MAX_OPCODES = 3_000_000
MAX_ENTRIES = MAX_TENSORS
MAX_READ = 32 << 20
"""At once: the central directory of a zip is read whole."""
MAX_DEPTH = 64
STORAGES = {
    "FloatStorage": ("F32", 4), "DoubleStorage": ("F64", 8), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1), "QInt8Storage": ("I8", 1), "QUInt8Storage": ("U8", 1),
    "QInt32Storage": ("I32", 4), "ComplexFloatStorage": ("C64", 8), "UntypedStorage": ("U8", 1),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "float32": ("F32", 4), "float16": ("F16", 2),
    "bfloat16": ("BF16", 2), "float64": ("F64", 8), "int64": ("I64", 8), "int32": ("I32", 4), "int16": ("I16", 2),
    "int8": ("I8", 1), "uint8": ("U8", 1), "bool": ("BOOL", 1), "uint16": ("U16", 2), "uint32": ("U32", 4), "uint64": ("U64", 8),
}  # fmt: skip
"""Storage class or dtype of torch -> (type in the words of safetensors, bytes)."""
HARMLESS_MODULES = {"torch", "__torch__", "collections", "numpy", "_codecs"}
HARMLESS_BUILTINS = {
    "set",
    "frozenset",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "str",
    "bool",
    "bytearray",
    "complex",
    "slice",
}
FOREIGN = "foreign_globals"
"""In the metadata: what loading the file would call that belongs to neither torch nor plain containers."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_DIRECTORY_END = b"PK\x05\x06"


@dataclass(frozen=True)
class _Global:
    """A name that unpickling would import."""

    module: str
    name: str

    @property
    def harmless(self) -> bool:
        """True for what checkpoints consist of."""
        top = self.module.partition(".")[0]
        return top in HARMLESS_MODULES or (top in ("builtins", "__builtin__") and self.name in HARMLESS_BUILTINS)


@dataclass(eq=False)
class _Object:
    """What unpickling would build: `made` by a call on `arguments`, and what would be put into it."""

    made: object
    arguments: object
    state: list[object] = field(default_factory=list)


@dataclass(frozen=True)
class _Storage:
    """A persistent id of torch: type, key and number of elements."""

    dtype: str
    unit: int
    key: str
    elements: int


@dataclass(frozen=True)
class _View:
    """A tensor on a storage, in elements of it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Seekable(io.RawIOBase):
    """A source as the file that zipfile wants, refusing to read much at once."""

    def __init__(self, source: Source) -> None:
        self._source, self._at = source, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._source.size)[whence]
        if self._at < 0:
            raise Malformed("zip 的目录位置不实")
        return self._at

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        left = max(0, self._source.size - self._at)
        size = left if size < 0 else min(size, left)
        if size > MAX_READ:
            raise Malformed(f"zip 的目录声称有 {size} 字节，超过 {MAX_READ} 字节")
        data = self._source.read(self._at, size) if size else b""
        self._at += size
        return data


def read_torch(source: Source, file: str) -> Layout:
    """The tensors of one file, named by their path through the pickled containers. Raises Malformed."""
    entries = _entries(source)
    pickles = [name for name in entries if name.rsplit("/", 1)[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise Malformed(f"zip 里有 {len(pickles)} 个 data.pkl，不是 torch.save 的文件")
    start, size = entries[pickles[0]]
    if size > MAX_PICKLE:
        raise Malformed(f"data.pkl 有 {size} 字节，超过 {MAX_PICKLE} 字节")
    machine = _Machine()
    root = machine.run(source.read(start, size))
    prefix = pickles[0][: -len("data.pkl")]
    views = _views(root)
    tensors = tuple(_tensor(name, view, entries, prefix, file) for name, view in views.items())
    foreign = sorted(f"{g.module}.{g.name}" for g in machine.globals if not g.harmless)
    return Layout("torch", tensors, {FOREIGN: foreign[:20]} if foreign else {})


def _entries(source: Source) -> dict[str, tuple[int, int]]:
    """Entry -> (start, size) of its bytes; compressed ones (code of TorchScript) are not given.

    Raises Malformed for entries that overlap, lie outside, or are data and compressed.
    """
    if source.size < 22 or source.read(0, 4) != b"PK\x03\x04":
        raise Malformed("不是 torch.save 的 zip 文件（旧格式请用新版 torch 重新保存，或另存为 safetensors）")
    try:
        with zipfile.ZipFile(_Seekable(source)) as archive:
            infos = archive.infolist()
    except Malformed:
        raise
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OverflowError):
        raise Malformed("zip 的目录读不出：被截断或损坏") from None
    if len(infos) > MAX_ENTRIES:
        raise Malformed(f"zip 里有 {len(infos)} 个文件，超过 {MAX_ENTRIES} 个")
    found: dict[str, tuple[int, int]] = {}
    names: set[str] = set()
    last = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not stored and (info.filename.endswith("data.pkl") or "/data/" in info.filename):
            raise Malformed(f"zip 里的 {shown(info.filename)} 是压缩的，torch 从不压缩数据")
        signature, name, extra = _LOCAL_HEADER.unpack(source.read(info.header_offset, _LOCAL_HEADER.size))
        start = info.header_offset + _LOCAL_HEADER.size + name + extra
        if signature != b"PK\x03\x04" or info.header_offset < last or info.filename in names:
            raise Malformed(f"zip 里的 {shown(info.filename)} 与前一个文件重叠或重名")
        last = start + info.compress_size
        if last > source.size:
            raise Malformed(f"zip 里的 {shown(info.filename)} 超出文件末尾")
        names.add(info.filename)
        if stored:
            found[info.filename] = (start, info.file_size)
    return found


class _Machine:
    """The stack of a pickle, over records of what would be."""

    def __init__(self) -> None:
        self.globals: set[_Global] = set()
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self, data: bytes) -> object:
        """What the pickle would give. Raises Malformed."""
        count = 0
        try:
            for opcode, argument, _ in pickletools.genops(data):
                count += 1
                if count > MAX_OPCODES:
                    raise Malformed(f"data.pkl 的操作超过 {MAX_OPCODES} 个")
                if opcode.name == "STOP":
                    return self._stack.pop()
                self._step(opcode.name, argument)
        except Malformed:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error):
            raise Malformed("data.pkl 不是完好的 pickle") from None
        raise Malformed("data.pkl 没有结尾")

    def _since_mark(self) -> list[Any]:
        at = self._marks.pop()
        items = self._stack[at:]
        del self._stack[at:]
        return items

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(argument if argument is not None else _CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[int(argument)])
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            if len(stack) < count:
                raise IndexError
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("TUPLE", "FROZENSET"):
            stack.append(tuple(self._since_mark()))
        elif name == "LIST":
            stack.append(self._since_mark())
        elif name == "DICT":
            pairs = self._since_mark()
            stack.append({})
            self._put_items(pairs)
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            more = [stack.pop()] if name == "APPEND" else self._since_mark()
            target = stack[-1]
            (target if isinstance(target, list) else target.state).extend(more)
        elif name in ("SETITEM", "SETITEMS"):
            self._put_items([stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark())
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._global(argument if name == "GLOBAL" else None)
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(self._call(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], _Object):
                stack[-1].state.append(state)
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            raise Malformed(f"data.pkl 用了操作 {name}，torch.save 不会写它")

    def _put_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        # Only plain keys: hashing what is nested deeply enough would exhaust the stack.
        pairs = {k: items[2 * n + 1] for n, k in enumerate(items[::2]) if isinstance(k, (str, int, float))}
        if isinstance(target, dict):
            target.update(pairs)
        elif isinstance(target, _Object):
            target.state.append(pairs)
        else:
            raise TypeError

    def _global(self, written: str | None) -> None:
        if written is None:
            name, module = self._stack.pop(), self._stack.pop()
        else:
            module, name = written.split(" ", 1)
        if not isinstance(name, str) or not isinstance(module, str) or len(module) + len(name) > MAX_NAME:
            raise TypeError
        found = _Global(module, name)
        self.globals.add(found)
        self._stack.append(found)

    def _call(self, made: object, arguments: object) -> object:
        if made == _Global("collections", "OrderedDict"):
            return {}
        if isinstance(made, _Global) and made.module == "torch._utils" and isinstance(arguments, tuple):
            if made.name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"):
                return _view(made.name, arguments)
            if made.name.startswith("_rebuild_parameter"):
                return arguments[0]
        return _Object(made, arguments)


_CONSTANTS: dict[str, object] = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT", "UNICODE", "BINUNICODE",
         "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
         "BYTEARRAY8")
    ),
}  # fmt: skip


def _storage(identity: object) -> _Storage:
    """torch's persistent id: ("storage", class, key, location, number of elements)."""
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise Malformed("data.pkl 的持久标识不是 torch 的存储")
    _, kind, key, _, elements = identity
    if not isinstance(kind, _Global) or kind.name not in STORAGES or not isinstance(key, str):
        raise Malformed("data.pkl 的存储类型不认识")
    return _Storage(*STORAGES[kind.name], key, elements_of(key, [elements]))


def _view(name: str, arguments: tuple[Any, ...]) -> _View:
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, _Storage):
        raise TypeError
    if name == "_rebuild_tensor_v3" and len(arguments) > 6:
        dtype = arguments[6]
        if not isinstance(dtype, _Global) or dtype.name not in STORAGES:
            raise Malformed("data.pkl 的张量类型不认识")
        kind, unit = STORAGES[dtype.name]
        storage = _Storage(kind, unit, storage.key, storage.elements * storage.unit // unit)
    shape, stride = tuple(shape), tuple(stride)
    elements_of(storage.key, shape)
    for number in (offset, *stride):
        elements_of(storage.key, [number])
    if len(shape) != len(stride):
        raise TypeError
    return _View(storage, offset, shape, stride)


def _views(root: object) -> dict[str, _View]:
    """Every tensor that is reachable, by its path. Each container is entered once: shared ones may be shared without end."""
    found: dict[str, _View] = {}
    entered: set[int] = set()
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    while waiting:
        path, item, depth = waiting.pop()
        if isinstance(item, _View):
            name = path or "tensor"
            while name in found:
                name += "'"
            found[name] = item
            check_number(len(found))
            continue
        if not isinstance(item, (dict, list, tuple, _Object)) or id(item) in entered:
            continue
        if depth > MAX_DEPTH:
            raise Malformed(f"data.pkl 的容器嵌套超过 {MAX_DEPTH} 层")
        entered.add(id(item))
        inside: list[tuple[str, object]]
        if isinstance(item, dict):
            inside = [(str(key)[:MAX_NAME], value) for key, value in item.items()]
        elif isinstance(item, _Object):
            inside = [("", item.arguments), *(("", state) for state in item.state)]
        else:
            inside = [(str(index), value) for index, value in enumerate(item)]
        for key, value in reversed(inside):
            longer = f"{path}.{key}" if path and key else path or key
            waiting.append((longer[:MAX_NAME], value, depth + 1))
    return found


def _tensor(name: str, view: _View, entries: dict[str, tuple[int, int]], prefix: str, file: str) -> Tensor:
    storage = view.storage
    entry = entries.get(f"{prefix}data/{storage.key}")
    if entry is None:
        raise Malformed(f"张量 {shown(name)} 的存储 {shown(storage.key)} 不在 zip 里")
    start, size = entry
    if storage.elements * storage.unit != size:
        raise Malformed(
            f"张量 {shown(name)} 的存储应有 {storage.elements * storage.unit} 字节，zip 里有 {size} 字节：大小不实"
        )
    elements = elements_of(name, view.shape)
    extent = 1 + sum((n - 1) * view.stride[axis] for axis, n in enumerate(view.shape)) if elements else 0
    if view.offset + extent > storage.elements:
        raise Malformed(f"张量 {shown(name)} 的形状超出它的存储：形状不实")
    begin = start + view.offset * storage.unit
    different = min(elements, extent)  # a stride of 0 repeats what is stored once
    return Tensor(name, storage.dtype, view.shape, different, file, begin, begin + extent * storage.unit, storage.unit)
