"""Office files (OOXML): their parts within bounds, before any reader of them unpacks anything.

Bounded are every part and their sum; document type declarations and entities are refused (defusedxml). It must never write, and
never follow a reference to another file or host. Pure: bytes in.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from yanshou.harness.basics import Problem, UserError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_PART = 32 << 20
MAX_PARTS = 128 << 20
MAX_ENTRIES = 5000
BLOATED, BLOATED_RATIO = 64 << 20, 200
"""A part that unpacks to so many octets, and to so many times what is packed, holds no table: rows of one digit reach a hundred."""
MAX_ROWS = 2000
MAX_COLUMNS = 100
REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
RESAVE = "用 WPS 或 Office 打开，另存为 .docx 或 .xlsx 后再导入"


def bloated(stream: BinaryIO) -> str:
    """The name of a part that would fill the memory once it is unpacked, "" for none. For tables that may be as large as they like.

    Raises zipfile.BadZipFile; leaves the stream where it was.
    """
    at = stream.tell()
    with zipfile.ZipFile(stream) as archive:
        parts = archive.infolist()
    stream.seek(at)
    return next(
        (p.filename for p in parts if p.file_size > max(BLOATED, BLOATED_RATIO * p.compress_size)),
        "",
    )


class Package:
    """An Office file (OOXML) whose parts are read within bounds. Raises UserError wherever it is not one."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            raise self.broken("不是完整的 zip") from None
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise self.broken(f"有 {len(entries)} 个部件，上限 {MAX_ENTRIES}")
        if len({entry.filename for entry in entries}) < len(entries):
            raise self.broken("有两个同名的部件")
        self.sizes = {entry.filename: entry.file_size for entry in entries}

    def broken(self, why: str) -> UserError:
        """The error for a file that is not what it claims to be."""
        return UserError(Problem("I-FORM", f"不是可读的 Office 文件：{why}", RESAVE, self._path))

    def require_sound(self) -> None:
        """Refuse a file that another reader could not open safely: bound the sum of its parts, and parse each as XML once."""
        if sum(self.sizes.values()) > MAX_PARTS:
            raise self.broken(f"展开后 {sum(self.sizes.values()) >> 20} MiB，上限 {MAX_PARTS >> 20} MiB")
        for name in self.sizes:
            if name.lower().endswith((".xml", ".rels", ".vml")):
                self.xml(name)

    def require_small_sheets(self) -> None:
        """Refuse a workbook with a cell or a merged range beyond the bounds: openpyxl would fill the memory with it."""
        for name in sorted(self.sizes):
            if not (name.startswith("xl/worksheets/") and name.endswith(".xml")):
                continue
            for node in self.xml(name).iter():
                kind = node.tag.rpartition("}")[2]
                if kind not in ("c", "mergeCell"):
                    continue
                for letters, row in REFERENCE.findall(str(node.get("r" if kind == "c" else "ref") or "")):
                    column = 0
                    for letter in letters:
                        column = column * 26 + ord(letter) - 64
                    if int(row) > MAX_ROWS or column > MAX_COLUMNS:
                        raise self.broken(f"{name} 用到 {letters}{row}，超过 {MAX_ROWS} 行 {MAX_COLUMNS} 列")

    def bytes(self, name: str) -> bytes:
        """One part. No more than its declared size is ever unpacked."""
        if name not in self.sizes:
            raise self.broken(f"没有部件 {name}")
        if self.sizes[name] > MAX_PART:
            raise self.broken(f"部件 {name} 展开后 {self.sizes[name] >> 20} MiB，上限 {MAX_PART >> 20} MiB")
        try:
            return self._zip.read(name)
        except Exception as error:  # of zipfile, or whatever a decompressor says of bytes that it cannot take
            raise self.broken(f"部件 {name} 读不出（{error}）") from None

    def xml(self, name: str) -> Element:
        """One part as a tree, without entities."""
        from xml.etree.ElementTree import ParseError

        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import fromstring

        try:
            root: Element = fromstring(self.bytes(name), forbid_dtd=True)
        except DefusedXmlException:
            raise self.broken(f"部件 {name} 含文档类型声明或实体") from None
        except ParseError as error:
            raise self.broken(f"部件 {name} 的 XML 有误（{error}）") from None
        return root
