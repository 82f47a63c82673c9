"""SHA-256 and SM3 of the same bytes, read once.

It is for every place where a file is named by its digests. Two digest sets match only when both match.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.evidence import CHUNK

ALGORITHMS = ("sha256", "sm3")


@dataclass(frozen=True)
class Digests:
    """Both digests of a byte string, hex."""

    sha256: str
    sm3: str

    def to_json(self) -> dict[str, Json]:
        """An in-toto DigestSet."""
        return {"sha256": self.sha256, "sm3": self.sm3}


class Digester:
    """Both digests of what is fed to it, and how much that was. Raises UserError where Python was built without SM3."""

    def __init__(self) -> None:
        try:
            self._hashes = [hashlib.new(name) for name in ALGORITHMS]
        except ValueError:
            remedy = "换用链接 OpenSSL 1.1.1 以上的 Python（python.org 或系统自带）"
            raise UserError(Problem("K-E08", "本机的 Python 不支持 SM3 摘要", remedy)) from None
        self.size = 0

    def update(self, block: bytes) -> None:
        """Feed `block`."""
        self.size += len(block)
        for each in self._hashes:
            each.update(block)

    @property
    def digests(self) -> Digests:
        """Of everything so far."""
        return Digests(*(each.hexdigest() for each in self._hashes))


@dataclass(frozen=True)
class Measured:
    """A file as it is: its size in bytes and its digests."""

    size: int
    digests: Digests


def measure(data: bytes) -> Measured:
    """Of bytes in memory."""
    digester = Digester()
    digester.update(data)
    return Measured(digester.size, digester.digests)


def measure_file(path: Path) -> Measured:
    """Of a file, streamed. Raises OSError."""
    digester = Digester()
    with path.open("rb") as f:
        while block := f.read(CHUNK):
            digester.update(block)
    return Measured(digester.size, digester.digests)
