"""Packages encrypted to those who may read them: age files (age-encryption.org/v1) by pyrage, which `age -d` opens too.

It is for handing a confidential package over a channel that others can read. Reading keys are of their own kind (X25519): a signing
key is never used to encrypt, since who must give one up to read should not give up the other. The header of such a file holds
neither names nor keys of its readers, and its own name follows from its ciphertext; only how large it is can be seen.
It must never overwrite a file, keep plaintext that did not authenticate to its end, or hold a package in memory.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from yanshou.harness.basics import ExitCode, Problem, UserError
from yanshou.harness.evidence import digest_file, disk_problem, sync_folder
from yanshou.harness.keys import MAX_KEY_FILE, create_file, public_path, read_key_file, valid_name

ALGORITHM = "age"
"""What a reading key says it is, beside the algorithms of signing keys."""
MAGIC = b"age-encryption.org/v1\n"
SUFFIX = ".age"
_IDENTITY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")


def _refuse(
    code: str, text: str, remedy: str, file: Path | None = None, exit_code: ExitCode = ExitCode.USAGE
) -> NoReturn:
    raise UserError(Problem(code, text, remedy, file), exit_code)


def is_encrypted(path: Path) -> bool:
    """Whether `path` is an age file. False where it cannot be read."""
    try:
        with path.open("rb") as f:
            return f.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def is_recipient(text: str) -> bool:
    """Whether `text` is an X25519 recipient (age1..., Bech32 with a check sum)."""
    import pyrage

    try:
        return str(pyrage.x25519.Recipient.from_str(text)) == text
    except pyrage.RecipientError:
        return False


@dataclass(frozen=True)
class ReadingKey:
    """The public half of a reading key: whose (as its holder says) and the age recipient."""

    name: str
    recipient: str

    def to_json(self) -> dict[str, str]:
        """What its .pub file holds."""
        return {"name": self.name, "algorithm": ALGORITHM, "public": self.recipient}


def new_reading_key(path: Path, *, name: str, passphrase: str | None = None) -> ReadingKey:
    """Make a reading key: `path` (an age identity file, mode 0600, itself encrypted where there is a passphrase) and `path`.pub.

    Raises UserError and changes nothing.
    """
    import pyrage

    try:
        valid_name(name)
    except ValueError:
        _refuse("K-E07", f"姓名 {name!r} 不能用", "姓名为一行文字")
    if passphrase == "":
        _refuse("K-E04", "口令是空的", "给出口令，或不用口令", path)
    public = public_path(path)
    if public.exists():
        _refuse("K-E03", "文件已存在，密钥从不覆盖", "换一个文件名", public)
    identity = pyrage.x25519.Identity.generate()
    key = ReadingKey(name, str(identity.to_public()))
    text = f"# public key: {key.recipient}\n{identity}\n"
    if passphrase is not None:
        text = pyrage.passphrase.encrypt(text.encode(), passphrase, armored=True).decode()
    create_file(path, text, 0o600)
    try:
        create_file(public, json.dumps(key.to_json(), ensure_ascii=False, indent=2) + "\n", 0o644)
    except UserError:
        path.unlink()
        raise
    return key


def load_reading_key(path: Path) -> ReadingKey | None:
    """A reading key from its .pub file; None when the file is not one (a signing key's, for example). Raises UserError."""
    try:
        value = json.loads(read_key_file(path))
        if value.get("algorithm") != ALGORITHM:
            return None
        key = ReadingKey(valid_name(value["name"]), value["public"])
        if key.to_json() == value and is_recipient(key.recipient):
            return key
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    _refuse("K-E06", "不是公钥文件，或内容被改动", "给出 yanshou key new 写出的 .pub 文件", path)


def load_identities(path: Path, passphrase: str | None = None) -> list[Any]:
    """The identities of an age identity file, as `yanshou key new --algorithm age` or age-keygen wrote it.

    Raises UserError: unreadable, none in it, wrong or missing passphrase (K-E04).
    """
    import pyrage

    binary = is_encrypted(path) and path.stat().st_size <= MAX_KEY_FILE
    text = "" if binary else read_key_file(path)
    if binary or text.startswith("-----BEGIN AGE ENCRYPTED FILE-----"):
        if not passphrase:
            _refuse("K-E04", "密钥有口令保护", "给出口令", path)
        try:
            text = pyrage.passphrase.decrypt(path.read_bytes(), passphrase).decode(errors="replace")
        except pyrage.DecryptError:
            _refuse("K-E04", "口令不对，或密钥文件损坏", "核对口令", path)
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    try:
        if lines and all(_IDENTITY.fullmatch(line) for line in lines):
            return [pyrage.x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError:
        pass
    _refuse("K-E09", "不是阅读密钥（age 私钥）", "给出 yanshou key new --algorithm age 或 age-keygen 写出的私钥", path)


def encrypt(source: Path, folder: Path, recipients: Sequence[str]) -> Path:
    """Encrypt `source` to each of `recipients`: a file in `folder` named after the digest of its own ciphertext.

    Streamed. Raises UserError: nobody to read it, not a recipient, disk; then nothing is left behind.
    """
    import pyrage

    keys = []
    for text in dict.fromkeys(recipients):
        if not is_recipient(text):
            _refuse("K-E09", f"{text[:12]}… 不是阅读公钥", "给出 age1 开头的完整公钥，或信任文件 readers 里的姓名")
        keys.append(pyrage.x25519.Recipient.from_str(text))
    if not keys:
        _refuse("K-E09", "没有说加密给谁", "用 --for 给出姓名或 age1 开头的公钥")
    part = _part(folder)
    try:
        pyrage.encrypt_file(str(source), str(part), keys)
        part.chmod(0o644)
        return _settle(part, folder / f"{digest_file(part)[:16]}{SUFFIX}")
    except OSError as error:
        raise UserError(disk_problem(error, folder), ExitCode.INTERNAL) from None
    finally:
        part.unlink(missing_ok=True)


def decrypt(source: Path, folder: Path, name: str, identities: Sequence[Any]) -> Path:
    """Decrypt `source` into the new file `name` in `folder`, readable by its owner only.

    Streamed; what does not authenticate to its last byte is removed. Raises UserError (UNVERIFIED for a wrong key or damage).
    """
    import pyrage

    part = _part(folder)
    try:
        pyrage.decrypt_file(str(source), str(part), list(identities))
        return _settle(part, folder / name)
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            _refuse(
                "V-C01", "不是加密给这把密钥的", "用收件人本人的密钥，或请对方加密给你", source, ExitCode.UNVERIFIED
            )
        _refuse("V-C02", "加密文件损坏", "向交付方重新要一份", source, ExitCode.UNVERIFIED)
    except OSError as error:
        if (
            error.errno is None and not error.strerror
        ):  # the cipher's own: a block does not authenticate, or the last one is missing
            _refuse("V-C02", "加密文件损坏、被改动或不完整", "向交付方重新要一份", source, ExitCode.UNVERIFIED)
        raise UserError(disk_problem(error, folder), ExitCode.INTERNAL) from None
    finally:
        part.unlink(missing_ok=True)


def _part(folder: Path) -> Path:
    """An empty file of ours in `folder`, readable by nobody else. Raises UserError."""
    try:
        handle, name = tempfile.mkstemp(prefix=".part-", dir=folder)
    except OSError as error:
        raise UserError(disk_problem(error, folder), ExitCode.INTERNAL) from None
    os.close(handle)
    return Path(name)


def _settle(part: Path, target: Path) -> Path:
    """`part` on the disk, under its name. Raises UserError when there is such a file, OSError."""
    with part.open("rb+") as f:
        os.fsync(f.fileno())
    if target.exists():
        _refuse("K-E03", "文件已存在，从不覆盖", "换一个文件夹", target)
    part.rename(target)
    sync_folder(target.parent)
    return target
