"""The key that proves a reflector: read from a file, named by a fingerprint, and written nowhere else.

It must never print, record or return the key to anything but the code that signs packets. Runs on bare Python 3.8.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from yanshou.harness.basics import Problem, UserError

SHORTEST, LONGEST = 16, 64
"""Octets. HMAC-SHA-256 gains nothing from more than one block."""


def load_key(path: Path) -> bytes:
    """The key in a file: hexadecimal digits, or raw octets. Raises UserError RTT-E09."""
    try:
        data = path.read_bytes()
    except OSError as error:
        text = f"读不到反射器密钥：{error.strerror or error}"
        raise UserError(
            Problem("RTT-E09", text, "用 yanshou reflect --new-key 文件 生成一份，两端各放一份", path)
        ) from None
    try:
        key = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        key = data
    if not SHORTEST <= len(key) <= LONGEST:
        text = f"反射器密钥须为 {SHORTEST}–{LONGEST} 字节，这份是 {len(key)} 字节"
        raise UserError(Problem("RTT-E09", text, "用 yanshou reflect --new-key 文件 重新生成", path))
    return key


def new_key_file(path: Path) -> str:
    """Write a new key that only its owner may read; its fingerprint. Raises UserError RTT-E09 where something is there already."""
    try:
        descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UserError(
            Problem("RTT-E09", f"写不出反射器密钥：{error.strerror or error}", "换一个文件名", path)
        ) from None
    key = secrets.token_bytes(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as f:
        f.write(key.hex() + "\n")
    return fingerprint(key)


def fingerprint(key: bytes) -> str:
    """A name for the key from which it cannot be found."""
    return hashlib.sha256(b"yanshou rtt key\0" + key).hexdigest()[:16]
