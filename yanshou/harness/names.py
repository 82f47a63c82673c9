"""Names: of files and services, that mean the same on every system and to every tool, and of people, that mean the same person.

It must never touch a file or a service.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")


def name_problem(name: str) -> str | None:
    """Why `name` cannot be a relative path that means the same file on every system and to every tool, if it cannot."""
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        return "有控制字符或不可见字符"
    if bad := sorted(set(name) & set('\\:*?"<>|%')):
        return f"有不允许的字符 {' '.join(bad)}"
    if name != unicodedata.normalize("NFC", name):
        return "不是 NFC 规范的 Unicode"
    if len(name.encode()) > 1000:
        return "超过 1000 字节"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return "是绝对路径，或含空的、“.”或“..”的一段"
        if part[-1] == "." or part[-1].isspace():
            return "有一段以空格或“.”结尾"
        if _RESERVED.fullmatch(part):
            return f"{part} 是 Windows 的设备名"
        if len(part.encode()) > 255:
            return "有一段超过 255 字节"
    return None


def person(name: str) -> str:
    """What tells one person from another by name: width, case, blanks and characters that nobody sees do not."""
    seen = unicodedata.normalize("NFKC", name)
    return "".join(c for c in seen if unicodedata.category(c)[0] not in "CZ").casefold()


def is_whole_url(url: str) -> bool:
    """Whether `url` names a host, a port that there is where it names one, and nobody's name or password."""
    try:
        parts = urlsplit(url)
        return (
            bool(parts.hostname) and parts.port != 0 and parts.username is None and url.isprintable() and " " not in url
        )
    except ValueError:
        return False
