"""What a file that somebody handed over is, told by its bytes and not by its name, and parts of it within bounds.

Bounded are the file, every part that is read, and their sum, before anything is unpacked; document type declarations and
entities are refused (defusedxml). It must never write, and never follow a reference to another file or host.
"""

from __future__ import annotations

import io
import zipfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import Problem, UserError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_FILE = 64 << 20
MAX_PART = 32 << 20
MAX_PARTS = 128 << 20
MAX_ENTRIES = 5000
RESAVE = "用 WPS 或 Office 打开，另存为 .docx 或 .xlsx 后再导入"


class Form(Enum):
    """What can be read, and what can only be typed from by people."""

    DOCX = "docx"
    XLSX = "xlsx"
    TEXT = "csv"
    OPAQUE = "opaque"


def read(path: Path) -> bytes:
    """The whole file. Raises UserError."""
    try:
        if path.stat().st_size > MAX_FILE:
            text = f"文件有 {path.stat().st_size >> 20} MiB，上限 {MAX_FILE >> 20} MiB"
            raise UserError(Problem("I-SIZE", text, "另存一份只含表1 的文件", path))
        data = path.read_bytes()
    except OSError as error:
        raise UserError(Problem("I-FILE", f"读不出：{error.strerror}", "检查路径与读权限", path)) from None
    if not data:
        raise UserError(Problem("I-FILE", "文件是空的", "向申报单位要原件", path))
    return data


def form_of(path: Path) -> Form:
    """By content: a renamed or encrypted file is what its bytes are. Raises UserError."""
    try:
        with path.open("rb") as f:
            head = f.read(4096)
            if zipfile.is_zipfile(f):
                with zipfile.ZipFile(f) as archive:
                    names = set(archive.namelist()[:MAX_ENTRIES])
                if any(name.startswith("word/") for name in names):
                    return Form.DOCX
                return Form.XLSX if any(name.startswith("xl/") for name in names) else Form.OPAQUE
    except OSError as error:
        raise UserError(Problem("I-FILE", f"读不出：{error.strerror}", "检查路径与读权限", path)) from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return Form.OPAQUE
    binary = b"\0" in head or head.startswith(b"%PDF") or head.startswith(b"\xd0\xcf\x11\xe0")
    return Form.OPAQUE if binary else Form.TEXT


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
