"""One writer at a time: a lock on a file that the system lets go when its holder dies. Runs on bare Python 3.8."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Taken(Exception):
    """Somebody else holds the lock."""


class FileLock:
    """A lock on `path`, which is made where it is missing and stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it at once. Raises Taken, OSError where the file cannot be made."""
        descriptor = os.open(str(self._path), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise Taken from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let it go; closing is what releases it, also where the process dies. Without a lock it does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
