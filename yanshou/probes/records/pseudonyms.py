"""Pseudonyms of protected cells: HMAC-SHA256 under a key that stays on site, cut to 128 bits.

The same cell gives the same pseudonym under the same key, so that keys can be compared and counted without being known. Whoever
holds the key and the source can tell which cell a pseudonym stands for (`yanshou reidentify`); nobody else can. The key must
never enter the case folder, and no key and no cell is ever printed.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from yanshou.harness.basics import ProbeError

VARIABLE = "YANSHOU_SITE_KEY"
MARK = "h:"
DIGITS = 32
"""Hexadecimal digits of a pseudonym behind its mark."""
KEY_BYTES = 32
_BLOCK = 64
"""Bytes in a block of SHA-256 (RFC 2104)."""


@dataclass(frozen=True)
class SiteKey:
    """The key of a site."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """What tells one key from another without giving it away."""
        return hmac.digest(self.secret, b"yanshou site key", "sha256").hex()[:16]

    def pseudonym(self, cell: str) -> str:
        """What stands for a cell in its normal form; an empty one stays empty."""
        return MARK + hmac.digest(self.secret, cell.encode(), "sha256").hex()[:DIGITS] if cell else ""

    def sql(self, cell: str) -> str:
        """`pseudonym` of a non-empty SQL text, as SQL for DuckDB."""
        padded = self.secret.ljust(_BLOCK, b"\0")
        inner, outer = (_blob(bytes(octet ^ pad for octet in padded)) for pad in (0x36, 0x5C))
        return f"'{MARK}' || substr(sha256({outer} || unhex(sha256({inner} || encode({cell})))), 1, {DIGITS})"


def is_pseudonym(cell: str) -> bool:
    """Whether a cell has the form of a pseudonym."""
    return re.fullmatch(rf"{MARK}[0-9a-f]{{{DIGITS}}}", cell) is not None


def _blob(data: bytes) -> str:
    return f"unhex('{data.hex()}')"


def site_key(folder: Path) -> SiteKey:
    """The key in the file that the environment names. Raises ProbeError REC-E14; it must not lie in the case `folder`."""
    named = os.environ.get(VARIABLE)
    remedy = (
        f"在被测现场用 yanshou key site 文件 生成一次，环境变量 {VARIABLE} 写它的路径；放在案卷文件夹之外，留在现场"
    )
    if not named:
        raise ProbeError("REC-E14", "没有现场密钥，含个人信息的列不能进证据", remedy)
    path = Path(named)
    if path.resolve().is_relative_to(folder.resolve()):
        raise ProbeError("REC-E14", "现场密钥在案卷文件夹里，会随案卷流出现场", remedy)
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise ProbeError("REC-E14", f"现场密钥文件 {path.name} 读不出来", remedy) from None
    if len(secret) != KEY_BYTES:
        raise ProbeError("REC-E14", f"现场密钥文件 {path.name} 不是 {KEY_BYTES} 字节的十六进制", remedy)
    return SiteKey(secret)


def new_site_key(path: Path) -> SiteKey:
    """A new key in a file that only its owner can read. Raises FileExistsError, OSError."""
    key = SiteKey(secrets.token_bytes(KEY_BYTES))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as f:
        f.write(key.secret.hex() + "\n")
    return key
