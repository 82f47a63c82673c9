"""Which tool is this: version, commit, dirty flag and a digest over its own source files.

It is for plans and records to name the exact tool that measured and judged. It must never name a path or a host.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from yanshou import __version__
from yanshou.harness.basics import Json

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class ToolIdentity:
    """`sha256` covers every file of the package (names and contents); `commit` is None outside a git checkout."""

    version: str
    commit: str | None
    dirty: bool | None
    sha256: str

    def to_json(self) -> dict[str, Json]:
        """All fields."""
        return asdict(self)


def source_digest(package: Path = PACKAGE) -> str:
    """SHA-256 over "name NUL sha256 LF" of every file below `package`, byte-code left out, in name order."""
    h = hashlib.sha256()
    for path in sorted(package.rglob("*"), key=lambda p: p.relative_to(package).as_posix()):
        if path.is_file() and path.suffix != ".pyc":
            h.update(path.relative_to(package).as_posix().encode() + b"\0")
            h.update(hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"\n")
    return h.hexdigest()


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


@cache
def tool_identity() -> ToolIdentity:
    """The running tool. Asks git only when the package is a tracked part of a checkout."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py") is not None
    commit = _git("rev-parse", "HEAD") if tracked else None
    dirty = bool(_git("status", "--porcelain", "--", ".")) if commit else None
    return ToolIdentity(__version__, commit, dirty, source_digest())
