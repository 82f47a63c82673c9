"""Which files the process behind a port holds, as the kernel says (Linux, /proc).

It is for binding a counted file to what serves. It must never read a process's memory or environment. Runs on bare Python 3.8.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from yanshou.harness.basics import Json
from yanshou.probes.model_weights.streams import DELETED

LEAST = 1 << 20
"""Smaller files hold no model."""
LIBRARY = re.compile(r"\.so(\.[0-9.]+)?( \(deleted\))?$")
_LISTEN = "0A"


def serving(port: int) -> list[int]:
    """Processes that listen on a TCP port of this host, and all that they started. Empty when there are none to be seen."""
    sockets = set(_listeners(port))
    children: dict[int, list[int]] = {}
    roots = []
    for pid in _pids():
        children.setdefault(_parent(pid), []).append(pid)
        if sockets and any(target in sockets for target in _descriptors(pid)):
            roots.append(pid)
    found: list[int] = []
    waiting = roots
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += children.get(pid, [])
    return sorted(found)


def held(pid: int) -> dict[str, Json]:
    """What one process has open or mapped: {"pid", "name", "readable", "files": [{"path", "size", "dev", "ino", "how"}]}.

    Only files of a megabyte or more that are no libraries.
    """
    paths: dict[str, str] = {}
    readable = True
    try:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            parts = line.split(maxsplit=5)
            if len(parts) == 6 and parts[5].startswith("/"):
                paths.setdefault(parts[5], "map")
        for target in _descriptors(pid, strict=True):
            if target.startswith("/"):
                paths.setdefault(target, "fd")
    except OSError:
        readable = False
    files = [found for path, how in sorted(paths.items()) if (found := _file(pid, path, how)) is not None]
    return {"pid": pid, "name": _name(pid), "readable": readable, "files": files}


def _file(pid: int, path: str, how: str) -> dict[str, Json] | None:
    if LIBRARY.search(path) or path.startswith(("/dev/", "/proc/", "/sys/")):
        return None
    text = path.encode("utf-8", "replace").decode("utf-8")
    if path.endswith(DELETED):
        return {"path": text, "size": 0, "dev": 0, "ino": 0, "how": how}
    try:
        state = os.stat(f"/proc/{pid}/root{path}")  # noqa: PTH116  as that process sees it
    except OSError:
        return None
    if state.st_size < LEAST:
        return None
    return {"path": text, "size": state.st_size, "dev": state.st_dev, "ino": state.st_ino, "how": how}


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()] if os.path.isdir("/proc") else []  # noqa: PTH112, PTH208


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _descriptors(pid: int, *, strict: bool = False) -> Iterator[str]:
    """What the file descriptors of a process point at. Raises OSError only if `strict`."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)  # noqa: PTH208
    except OSError:
        if strict:
            raise
        return
    for number in numbers:
        try:
            yield os.readlink(f"{folder}/{number}")  # noqa: PTH115
        except OSError:  # closed meanwhile
            continue


def _listeners(port: int) -> Iterator[str]:
    """Sockets that listen on a port, as descriptors name them."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
