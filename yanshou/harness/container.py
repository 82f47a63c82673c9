"""The zip file that a package travels in: one canonical form, written and read only by this module.

It is for two things: the same content always gives the same bytes, and no byte of the file may differ from what its content
demands. Every header is rebuilt from the parsed entry and compared byte by byte, entries follow one another without gaps,
and the central directory carries the SHA-256 of each entry's compressed bytes (extra field 0x5359), because deflate has
bits that mean nothing. Ordinary tools unzip it. It must never write outside the target folder, never expand more than an
entry declares, and never know what the files mean.

Form: APPNOTE 6.3, always zip64, always deflate, UTF-8 names sorted by byte, files only, time 1980-01-01, mode 0644, no comment.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from yanshou.harness.basics import ExitCode, Problem, UserError
from yanshou.harness.digests import Digester, Measured
from yanshou.harness.evidence import CHUNK, disk_problem, sync, sync_folder
from yanshou.harness.names import name_problem

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL_EXTRA = struct.Struct("<2H2Q")
_CENTRAL_EXTRA = struct.Struct("<2H3Q2H32s")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_TAIL = _END64.size + _LOCATOR.size + _END.size
_VERSION, _UNIX, _UTF8, _DEFLATE, _MIDNIGHT, _DAY_ONE, _REGULAR = 45, 3 << 8, 1 << 11, 8, 0, 33, 0o100644 << 16
_IN_ZIP64 = 0xFFFFFFFF
_CENTRAL_FIELDS = (
    "标志", "制作版本", "版本", "通用标志", "压缩方法", "时间", "日期", "CRC", "压缩大小", "大小",
    "名字长度", "附加长度", "注释长度", "分卷", "内部属性", "外部属性", "位置",
)  # fmt: skip
REZIPPED = "用交付的原始 zip 文件；如果只有解压后的文件夹，就对文件夹核验"
DAMAGED = "这份副本已损坏或被改动，向交付方要原件"


@dataclass(frozen=True)
class Limits:
    """What is refused before anything is unpacked: entries, bytes in all, and bytes per byte of the zip (above 256 MiB)."""

    entries: int = 100_000
    bytes: int = 1 << 36
    ratio: int = 200
    free: int = 1 << 28

    def excess(self, entries: int, total: int, zipped: int) -> str | None:
        """Why a package of this size is refused, if it is."""
        if entries > self.entries:
            return f"有 {entries} 个文件，上限 {self.entries}"
        if total > self.bytes:
            return f"展开后 {total} 字节，上限 {self.bytes}"
        if total > self.free and total > self.ratio * zipped:
            return f"展开后 {total} 字节，是压缩包的 {total // max(zipped, 1)} 倍，上限 {self.ratio} 倍"
        return None


LIMITS = Limits()


@dataclass(frozen=True)
class Entry:
    """One file in the container. `sha256` is of its compressed bytes, `offset` of its local header."""

    name: str
    crc: int
    compressed: int
    size: int
    offset: int
    sha256: bytes

    @property
    def local(self) -> bytes:
        """Its local header."""
        name = self.name.encode()
        return (
            _LOCAL.pack(
                b"PK\3\4", _VERSION, _UTF8, _DEFLATE, _MIDNIGHT, _DAY_ONE, self.crc, _IN_ZIP64, _IN_ZIP64,
                len(name), _LOCAL_EXTRA.size,
            )
            + name
            + _LOCAL_EXTRA.pack(1, 16, self.size, self.compressed)
        )  # fmt: skip

    @property
    def central(self) -> bytes:
        """Its record in the central directory."""
        name = self.name.encode()
        return (
            _CENTRAL.pack(
                b"PK\1\2", _UNIX | _VERSION, _VERSION, _UTF8, _DEFLATE, _MIDNIGHT, _DAY_ONE, self.crc, _IN_ZIP64, _IN_ZIP64,
                len(name), _CENTRAL_EXTRA.size, 0, 0, 0, _REGULAR, _IN_ZIP64,
            )
            + name
            + _CENTRAL_EXTRA.pack(1, 24, self.size, self.compressed, self.offset, 0x5359, 32, self.sha256)
        )  # fmt: skip

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.offset + _LOCAL.size + len(self.name.encode()) + _LOCAL_EXTRA.size + self.compressed


def _tail(count: int, size: int, offset: int) -> bytes:
    """Everything after the central directory of `count` records, `size` bytes at `offset`."""
    return (
        _END64.pack(b"PK\6\6", _END64.size - 12, _UNIX | _VERSION, _VERSION, 0, 0, count, count, size, offset)
        + _LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
        + _END.pack(b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, _IN_ZIP64, _IN_ZIP64, 0)
    )


def name_problems(names: Iterable[str]) -> Iterator[Problem]:
    """Each unsafe name, and each that would meet another one on a system that ignores case."""
    taken: dict[str, str] = {}
    for name in names:
        if why := name_problem(name):
            yield Problem("V-B02", f"不安全的文件名 {name!r}：{why}", DAMAGED)
            continue
        folders = [name[: i + 1] for i, c in enumerate(name) if c == "/"]
        for path in (*folders, name):
            key = path.rstrip("/").casefold()
            other = taken.get(key)
            if other is not None and (other != path or path == name):
                yield Problem("V-B03", f"文件名重复或只差大小写：{name} 与 {other}", DAMAGED)
                break
            taken[key] = path


@dataclass(frozen=True)
class Item:
    """What to write: a file or bytes, and what it must turn out to be."""

    name: str
    source: Path | bytes
    measured: Measured


def _open(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _write_entry(out: BinaryIO, item: Item, offset: int) -> Entry:
    """Compress one item in at `offset`. Raises UserError when it is no longer what was measured, OSError."""
    blank = Entry(item.name, 0, 0, 0, offset, b"")
    out.write(blank.local)
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    outer, inner = hashlib.sha256(), hashlib.sha256()
    crc = size = compressed = 0
    with _open(item.source) as f:
        while True:
            block = f.read(CHUNK)
            crc, size = zlib.crc32(block, crc), size + len(block)
            inner.update(block)
            packed = deflater.compress(block) if block else deflater.flush()
            compressed += len(packed)
            outer.update(packed)
            out.write(packed)
            if not block:
                break
    if (size, inner.hexdigest()) != (item.measured.size, item.measured.digests.sha256):
        raise UserError(Problem("B-E02", f"{item.name} 在打包时被改动", "停止写入这个文件的程序，重新打包"))
    entry = Entry(item.name, crc, compressed, size, offset, outer.digest())
    out.seek(offset)
    out.write(entry.local)
    out.seek(entry.end)
    return entry


def write_container(path: Path, items: Iterable[Item]) -> None:
    """Write `items` as the container at `path`, in one step and onto the disk: the same items give the same bytes.

    (The same bytes as far as zlib is the same: deflate may choose otherwise in another version.)
    Raises UserError, and then `path` is as it was: a name, a size or a ratio that reading would refuse, a changed source.
    """
    ordered = sorted(items, key=lambda item: item.name.encode())
    if problems := [replace(p, code="B-E01", remedy="改名后重新打包") for p in name_problems(i.name for i in ordered)]:
        raise UserError(problems)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            offset, entries = 0, []
            for item in ordered:
                entries.append(_write_entry(out, item, offset))
                offset = entries[-1].end
            for entry in entries:
                out.write(entry.central)
            out.write(_tail(len(entries), out.tell() - offset, offset))
            zipped = out.tell()
            sync(out)
        if excess := LIMITS.excess(len(entries), sum(e.size for e in entries), zipped):
            raise UserError(Problem("B-E04", f"证据包过大：{excess}", "分成几个案卷", path))
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(disk_problem(error, path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _refuse(code: str, text: str, file: Path, remedy: str = DAMAGED) -> NoReturn:
    raise UserError(Problem(code, text, remedy, file), ExitCode.UNVERIFIED)


def _read_record(f: BinaryIO, path: Path) -> Entry:
    """The next record of the central directory. Raises UserError unless it is exactly as this module writes it."""
    fixed = f.read(_CENTRAL.size)
    if len(fixed) < _CENTRAL.size:
        _refuse("V-B01", "zip 的中央目录不完整", path)
    fields = _CENTRAL.unpack(fixed)
    length = fields[10]
    rest = f.read(length + _CENTRAL_EXTRA.size)
    try:
        name = rest[:length].decode()
        _, _, size, compressed, offset, _, _, sha256 = _CENTRAL_EXTRA.unpack(rest[length:])
    except (UnicodeDecodeError, struct.error):
        _refuse("V-B01", "zip 的中央目录损坏", path)
    entry = Entry(name, fields[7], compressed, size, offset, sha256)
    if entry.central != fixed + rest:
        if fields[3] & 1:
            _refuse("V-B04", f"{name}：加密的条目", path)
        if fields[15] >> 28 != _REGULAR >> 28:
            _refuse("V-B04", f"{name}：符号链接或特殊文件", path)
        pairs = zip(_CENTRAL_FIELDS, fields, _CENTRAL.unpack_from(entry.central), strict=True)
        where = next((field for field, is_, should in pairs if is_ != should), "附加字段")
        _refuse("V-B01", f"{name}：中央目录里的{where}被改动", path)
    return entry


def _read_directory(f: BinaryIO, path: Path, limits: Limits) -> list[Entry]:
    """All entries, when they account for every byte of the file. Raises UserError."""
    size = f.seek(0, os.SEEK_END)
    f.seek(max(size - _TAIL, 0))
    tail = f.read(_TAIL)
    count, length, start = _END64.unpack_from(tail)[7:] if len(tail) == _TAIL else (0, 0, 0)
    if start + length + _TAIL != size or tail != _tail(count, length, start):
        _refuse("V-B01", "不是 yanshou 写的 zip：被截断、追加、加注释、损坏，或由别的工具重新打包", path, REZIPPED)
    if excess := limits.excess(count, 0, size):
        _refuse("V-B05", excess, path)
    f.seek(start)
    entries = [_read_record(f, path) for _ in range(count)]
    if problems := [replace(p, file=path) for p in name_problems(e.name for e in entries)]:
        raise UserError(problems, ExitCode.UNVERIFIED)
    if len({e.name.partition("/")[0] for e in entries}) != 1 or not all("/" in e.name for e in entries):
        _refuse("V-B07", "包里的文件不都在同一个顶层文件夹下", path)
    ends = [0, *(e.end for e in entries)]
    ordered = entries == sorted(entries, key=lambda e: e.name.encode())
    if not ordered or [e.offset for e in entries] != ends[:-1] or ends[-1] != start or f.tell() != start + length:
        _refuse("V-B01", "zip 里有未登记、重叠或次序不对的字节", path)
    if excess := limits.excess(count, sum(e.size for e in entries), size):
        _refuse("V-B05", excess, path)
    return entries


def _inflate(f: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The content of `entry`, block by block. Raises ValueError at the first byte that is not as it declares."""
    f.seek(entry.offset)
    if f.read(len(entry.local)) != entry.local:
        raise ValueError("本地文件头与中央目录不一致")
    inflater = zlib.decompressobj(-15)
    left, size, crc, outer = entry.compressed, 0, 0, hashlib.sha256()
    while left and not inflater.eof:
        packed = f.read(min(CHUNK, left))
        left -= len(packed)
        outer.update(packed)
        more = True
        while more:
            try:
                block = inflater.decompress(packed, CHUNK)
            except zlib.error:
                raise ValueError("压缩数据损坏") from None
            size, crc, packed = size + len(block), zlib.crc32(block, crc), inflater.unconsumed_tail
            if size > entry.size:
                raise ValueError("展开后超过声明的大小")
            yield block
            more = bool(packed) or len(block) == CHUNK
    if left or not inflater.eof or inflater.unused_data:
        raise ValueError("压缩数据不完整，或后面还有数据")
    if (size, crc, outer.digest()) != (entry.size, entry.crc, entry.sha256):
        raise ValueError("大小、CRC 或压缩数据的摘要与登记不符")


def read_container(path: Path, target: Path, limits: Limits = LIMITS) -> dict[str, Measured]:
    """Unpack the container at `path` into the folder `target`, which must not hold anything yet.

    Returns every file by name, top folder included. Raises OSError, and UserError with one problem per damaged entry;
    nothing is written before the whole directory has been accepted, and what was written then must not be used.
    """
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"not empty: {target}")
    found: dict[str, Measured] = {}
    problems: list[Problem] = []
    with path.open("rb") as f:
        for entry in _read_directory(f, path, limits):
            destination, digester = target / entry.name, Digester()
            destination.parent.mkdir(parents=True, exist_ok=True)
            try:
                with destination.open("xb") as out:
                    for block in _inflate(f, entry):
                        digester.update(block)
                        out.write(block)
            except ValueError as error:
                problems.append(Problem("V-B06", f"{entry.name}：{error}", DAMAGED, path))
            found[entry.name] = Measured(digester.size, digester.digests)
    if problems:
        raise UserError(problems, ExitCode.UNVERIFIED)
    return found
