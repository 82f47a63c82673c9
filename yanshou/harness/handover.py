"""Handing packages over: encrypted to their readers on one side, opened and verified on the other.

It is for everything that happens between a sealed package and the one who reads it. It must never let plaintext of an encrypted
package lie outside a folder that is removed or that its reader named, and never say aloud what is in one.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yanshou.harness.bag import open_package
from yanshou.harness.basics import ExitCode, Problem, UserError
from yanshou.harness.encryption import decrypt, encrypt, is_encrypted, is_recipient
from yanshou.harness.envelope import Signer
from yanshou.harness.names import name_problem
from yanshou.harness.public import NO_ZIP, is_public, verify_public
from yanshou.harness.seal import verify_package
from yanshou.harness.trust import Trust
from yanshou.harness.verify import Verification, moved, verify


@dataclass(frozen=True)
class Handed:
    """An encrypted package, and who has not signed what is in it yet."""

    path: Path
    missing: tuple[Signer, ...]


def encrypt_package(package: Path, readers: Sequence[str], trust: Trust | None, folder: Path) -> Handed:
    """Encrypt an intact, signed package into `folder`. `readers`: age recipients, or names in the trust file's `readers`.

    Signatures may still be missing (reviewers read before others sign), but none may be wrong. Raises UserError.
    """
    recipients: list[str] = []
    for reader in readers:
        if is_recipient(reader):
            recipients.append(reader)
        elif trust is None:
            text, remedy = (
                f"不知道 {reader} 的阅读公钥",
                "用 --trust 给出登记了 readers 的信任文件，或直接给出 age1 开头的公钥",
            )
            raise UserError(Problem("T-READER", text, remedy))
        else:
            recipients += trust.recipients(reader, datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="yanshou-encrypt-") as scratch:
        report = verify_package(open_package(package, Path(scratch)), None)
    missing = tuple(r.signer for r in report.signatures if [p.code for p in r.problems] == ["V-S06"])
    if wrong := [p for p in report.problems if p.code != "V-S06"]:
        raise UserError(wrong, ExitCode.UNVERIFIED)
    return Handed(encrypt(package, folder, recipients), missing)


def open_encrypted(path: Path, identities: Sequence[Any], folder: Path) -> Path:
    """Decrypt a package into `folder` under the name it was sealed with; what is there stays. Raises UserError."""
    _require_encrypted(path)
    if not folder.is_dir():
        raise UserError(Problem("V-C03", "没有这个文件夹", "用 --output 给出已有的文件夹", folder))
    with tempfile.TemporaryDirectory(prefix=".opening-", dir=folder) as scratch:
        package = decrypt(path, Path(scratch), "package.zip", identities)
        try:
            with zipfile.ZipFile(package) as archive:
                name = archive.namelist()[0].partition("/")[0]
        except NO_ZIP:
            name = ""
        if not name or name_problem(name):
            raise UserError(
                Problem("V-C03", "里面不是数据包", "向交付方要 yanshou package 加密的文件", path), ExitCode.UNVERIFIED
            )
        target = folder / f"{name}.zip"
        if target.exists():
            raise UserError(Problem("K-E03", "文件已存在，从不覆盖", "换一个文件夹", target))
        return package.rename(target)


def _require_encrypted(path: Path) -> None:
    if not is_encrypted(path):
        raise UserError(Problem("V-C03", "不是加密的数据包", "没有加密的直接用 yanshou verify", path))


@contextmanager
def _plain(path: Path, identities: Sequence[Any]) -> Iterator[Path]:
    """`path`, decrypted where it is encrypted, until the end of the block. Raises UserError."""
    if not path.is_file() or not is_encrypted(path):
        yield path
        return
    if not identities:
        text = "数据包是加密的"
        raise UserError(Problem("V-C01", text, "用 --identity 给出收件人的私钥", path), ExitCode.UNVERIFIED)
    with tempfile.TemporaryDirectory(prefix="yanshou-open-") as scratch:
        yield decrypt(path, Path(scratch), "package.zip", identities)


def examine(
    path: Path,
    trust: Trust | None,
    identities: Sequence[Any] = (),
    against: Path | None = None,
    pdf: Path | None = None,
) -> Verification:
    """Verify whatever was handed over: a package, encrypted or not, a case folder, or a public edition against its package."""
    with _plain(path, identities) as plain:
        if is_public(plain):
            if against is None:
                found = verify_public(plain, trust, None)
            else:
                with _plain(against, identities) as sealed:
                    found = verify_public(plain, trust, sealed)
        elif against is not None:
            text, remedy = "--against 只与公开版同用", "先给公开版，--against 给密封的数据包"
            raise UserError(Problem("U-E03", text, remedy, path))
        else:
            found = verify(plain, trust, pdf)
        found.problems = [moved(p, plain, path) for p in found.problems]
        found.limits = [moved(p, plain, path) for p in found.limits]
    return found
