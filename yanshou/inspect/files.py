"""Files on their way into an inspection: written and digested as they come, named safely, looked into for personal data.

It must never change a byte of what came in, nor keep the personal data that it finds: only that there is some.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from pathlib import Path

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.evidence import sync, sync_folder
from yanshou.harness.names import name_problem

LARGEST = 512 << 20
"""Of one file, bytes: some minutes of video."""
CARRIES = {"gps": "拍摄位置", "owner": "机主姓名", "device": "设备型号或序列号"}
PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
_GPS, _EXIF = 0x8825, 0x8769
_OWNER = (0x013B, 0xA430)
_DEVICE = (0x010F, 0x0110, 0xA431, 0xA433, 0xA434, 0xA435)


class Incoming:
    """A file that is being received: bytes go to a staging file and into its digest. Discard it, or `settle` it somewhere."""

    def __init__(self, staging: Path, original: str) -> None:
        staging.mkdir(parents=True, exist_ok=True)
        self._path = staging / f"{secrets.token_hex(8)}.part"
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.original = original
        self.size = 0

    def write(self, data: bytes) -> int:
        """Take in the next bytes. Raises UserError beyond LARGEST, OSError."""
        self.size += len(data)
        if self.size > LARGEST:
            text = f"{self.original} 超过 {LARGEST >> 20} MiB"
            raise UserError(Problem("W-SIZE", text, "缩短录像或分段；更大的文件另存介质，收它的摘要单"))
        self._hash.update(data)
        return self._file.write(data)

    def seek(self, _position: int) -> None:
        """Form parsers rewind what they wrote; nobody reads it here."""

    @property
    def sha256(self) -> str:
        """Digest of what came in so far."""
        return self._hash.hexdigest()

    def settle(self, folder: Path) -> Path:
        """Onto the disk, and under a name of its own in `folder`. Raises OSError."""
        sync(self._file)
        self._file.close()
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while list(folder.glob(f"{number:02d}-*")):
            number += 1
        path = folder / f"{number:02d}-{safe_name(self.original)}"
        self._path.rename(path)
        sync_folder(folder)
        return path

    def discard(self) -> None:
        """Drop it; does nothing once it is settled."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def clear_staging(staging: Path) -> None:
    """Remove what a killed process was receiving: nobody was told that it had come."""
    for path in staging.glob("*.part"):
        path.unlink()


def safe_name(original: str) -> str:
    """A file name that means the same everywhere, as near to the original as may be."""
    name = unicodedata.normalize("NFC", original.replace("\\", "/").rpartition("/")[2])
    name = "".join(c for c in name if not name_problem(f"a{c}a")).strip(". ")
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if dot and len(ending) <= 8 else (name, "")
    while len(stem.encode()) > 100:
        stem = stem[:-1]
    return (stem.strip() or "file") + ending


def picture_type(path: Path) -> str | None:
    """The media type of a picture that every browser can show, by its first bytes; None for anything else. Raises OSError."""
    with path.open("rb") as f:
        head = f.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in PICTURES.items() if head.startswith(magic)), None)


def carried(path: Path) -> tuple[str, ...]:
    """Which kinds of personal data (keys of CARRIES) the metadata of a picture hold; () for none or no picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            exif = picture.getexif()
            inner = exif.get_ifd(_EXIF)
            held = {
                "gps": bool(exif.get_ifd(_GPS)),
                "owner": any(exif.get(tag) or inner.get(tag) for tag in _OWNER),
                "device": any(exif.get(tag) or inner.get(tag) for tag in _DEVICE),
            }
    except Exception:  # whatever a decoder says of bytes that are no picture of its kind
        return ()
    return tuple(name for name, there in held.items() if there)
