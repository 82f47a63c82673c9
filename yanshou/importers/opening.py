"""What a file that somebody handed over is, told by its bytes and not by its name. Its size is bounded; it must never write."""

from __future__ import annotations

import zipfile
from enum import Enum
from pathlib import Path

from yanshou.formats.office import MAX_ENTRIES
from yanshou.harness.basics import Problem, UserError, refusal

MAX_FILE = 64 << 20


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
        raise UserError(Problem("I-FILE", f"读不出：{refusal(error)}", "检查路径与读权限", path)) from None
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
        raise UserError(Problem("I-FILE", f"读不出：{refusal(error)}", "检查路径与读权限", path)) from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return Form.OPAQUE
    binary = b"\0" in head or head.startswith(b"%PDF") or head.startswith(b"\xd0\xcf\x11\xe0")
    return Form.OPAQUE if binary else Form.TEXT
