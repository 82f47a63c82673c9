"""A package or case folder, verified first and then open for reading.

It is for handing pages what `verify` read, and the files by exactly the names that were verified. It must never write into what
it opens, follow a link, or hand out a file that is not listed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.digests import Digests
from yanshou.harness.encryption import is_encrypted
from yanshou.harness.notes import Note, notes_beside
from yanshou.harness.trust import Trust
from yanshou.harness.verify import Verification, package_beside, verify_unpacked
from yanshou.reports.display import Data, fit


@dataclass(frozen=True)
class Opened:
    """One of the things under review. `folder` holds the case's files; `files` are their sizes by name; None where unreadable.

    `record` is what was replayed, its texts printable. `subjects` is what a note is over, None for a folder that nobody sealed.
    """

    path: Path
    found: Verification
    folder: Path
    files: Mapping[str, int]
    record: Data | None
    trust: Trust | None

    @property
    def subjects(self) -> Mapping[str, Digests] | None:
        """The digests that the package's own seal is over."""
        return self.found.contents.subjects if self.found.contents else None

    @property
    def name(self) -> str:
        """How people call it."""
        return self.path.name or str(self.path)

    def notes(self) -> list[Note]:
        """The experts' notes beside it, each checked now."""
        return [] if self.subjects is None else list(notes_beside(self.path, self.subjects, self.trust))

    def file(self, name: str) -> Path:
        """Where a listed file is. Raises KeyError for any other name, whatever it looks like."""
        self.files[name]
        return self.folder / name


def open_verified(path: Path, trust: Trust | None, scratch: Path) -> Opened:
    """Verify `path` as `yanshou verify` does, and open it; a zip is unpacked into `scratch`. Raises UserError: neither of both."""
    path = package_beside(path.resolve())
    if path.is_file() and is_encrypted(
        path
    ):  # notes are kept beside what is opened, so it is opened where its reader says
        remedy = f"先 yanshou open {path.name} --identity 私钥，再 yanshou view 解出的 zip"
        raise UserError(Problem("V-C01", "数据包是加密的", remedy, path), ExitCode.UNVERIFIED)
    found = verify_unpacked(path, trust, scratch)
    if found.contents is not None:
        payload = {n.removeprefix("data/"): m.size for n, m in found.contents.payload.items()}
        folder, files = found.contents.root / "data", payload
    elif path.is_dir() and not (path / "bagit.txt").exists():
        folder, files = path, dict(_listed(path))
    else:
        folder, files = scratch, {}  # not intact: what is in it is nobody's evidence
    record = printable(found.record) if found.record is not None else None
    return Opened(path, found, folder, dict(sorted(files.items())), record, trust)


def _listed(root: Path) -> Iterator[tuple[str, int]]:
    """Every regular file below `root`, links left out."""
    for folder, _, names in os.walk(root):
        for name in names:
            status = (path := Path(folder, name)).lstat()
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(root).as_posix(), status.st_size


def printable(value: Json) -> Json:
    """`value` as reports print it; here a letter that the packaged font lacks stops nothing, and is named by its number."""
    if isinstance(value, Mapping):
        return {printable(k): printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(v) for v in value]
    try:
        return fit(value)
    except UserError:
        return "".join(map(_letter, value))


def _letter(character: str) -> str:
    try:
        return str(fit(character))
    except UserError:
        return f"[U+{ord(character):04X}]"
