"""Signing keys: Ed25519 and SM2-with-SM3, their files, one signature made and one checked.

It is for files that openssl reads (PKCS#8 and SubjectPublicKeyInfo in PEM) and for an id that follows from the public key
alone. It must never overwrite a key, never show a secret, and never know what is signed or by whom it should be.
SM2 comes from gmssl-pyx (extra `guomi`), with SM3 and the standard identity 1234567812345678 (GM/T 0009); the package
`gmssl` must not be used: it takes nonces from a predictable source.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from yanshou.harness.basics import Json, Problem, UserError, refusal
from yanshou.harness.evidence import disk_problem, sync

MAX_KEY_FILE = 1 << 16
PBKDF2_ROUNDS = 600_000
"""Work factor of an encrypted SM2 key (OWASP 2023 for PBKDF2-HMAC-SHA256)."""


class Algorithm(StrEnum):
    """How a key signs."""

    ED25519 = "ed25519"
    SM2 = "sm2"

    @property
    def word(self) -> str:
        """The name printed for people."""
        return {"ed25519": "Ed25519", "sm2": "SM2-SM3"}[self.value]


_SPKI = {
    Algorithm.ED25519: (bytes.fromhex("302a300506032b6570032100"), 32),
    Algorithm.SM2: (bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004"), 64),
}
"""DER SubjectPublicKeyInfo up to the key itself (for SM2: up to x and y of the uncompressed point), and its length."""
_SM2_PKCS8 = (
    bytes.fromhex("308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420"),
    bytes.fromhex("a14403420004"),
)
"""DER PrivateKeyInfo of an SM2 key: before the secret, and between the secret and the public point."""


def _refuse(code: str, text: str, remedy: str, file: Path | None = None) -> NoReturn:
    raise UserError(Problem(code, text, remedy, file))


def pem(label: str, der: bytes) -> str:
    """DER in PEM (RFC 7468)."""
    body = base64.b64encode(der).decode()
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _der(label: str, text: str) -> bytes:
    """The DER of a PEM text in exactly the form `pem` writes. Raises ValueError."""
    der = base64.b64decode("".join(text.splitlines()[1:-1]))
    if pem(label, der) != text:
        raise ValueError(f"not a PEM {label}")
    return der


@dataclass(frozen=True)
class PublicKey:
    """Whose key (as its holder says) and the key: 32 bytes for Ed25519, x and y for SM2."""

    name: str
    algorithm: Algorithm
    raw: bytes

    @property
    def _spki(self) -> bytes:
        return _SPKI[self.algorithm][0] + self.raw

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo in PEM."""
        return pem("PUBLIC KEY", self._spki)

    @property
    def id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, hex."""
        return hashlib.sha256(self._spki).hexdigest()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`. Raises UserError when SM2 is needed and not installed."""
        check = _ed25519_verifies if self.algorithm is Algorithm.ED25519 else _sm2_verifies
        return check(self.raw, message, signature)

    def to_json(self) -> dict[str, Json]:
        """`{"name","algorithm","public","id"}`: what a .pub file holds."""
        return {"name": self.name, "algorithm": self.algorithm.value, "public": self.pem, "id": self.id}


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs. The secret (32 bytes) is not part of its repr."""

    public: PublicKey
    secret: bytes = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes for Ed25519, DER (r, s) for SM2."""
        if self.public.algorithm is Algorithm.SM2:
            signature: bytes = _guomi("gmssl_pyx").sm2_sign(self.secret, self.public.raw, message)
            return signature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)


def parse_public(text: str, name: str) -> PublicKey:
    """The public key of a PEM text. Raises ValueError for anything but Ed25519 or SM2 in standard form."""
    der = _der("PUBLIC KEY", text)
    for algorithm, (prefix, length) in _SPKI.items():
        if der.startswith(prefix) and len(der) == len(prefix) + length:
            return PublicKey(name, algorithm, der.removeprefix(prefix))
    raise ValueError("neither Ed25519 nor SM2")


def public_from_json(value: Json) -> PublicKey:
    """A key as `PublicKey.to_json` writes it, nothing more or less. Raises ValueError."""
    try:
        key = parse_public(value["public"], valid_name(value["name"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a public key") from error
    if key.to_json() != value:
        raise ValueError("fields do not fit the key")
    return key


def valid_name(name: str) -> str:
    """A name that can be printed on one line. Raises ValueError."""
    if not name.isprintable() or name != name.strip() or not name:
        raise ValueError(f"bad name: {name!r}")
    return name


def _guomi(module: str) -> Any:
    """A module of the extra `guomi`, loaded when first needed. Raises UserError."""
    try:
        return importlib.import_module(module)
    except ImportError:
        _refuse(
            "K-E05",
            f"本机没有国密组件 {module}，SM2 密钥与签名无法使用",
            "在 Linux x86_64 或 Windows 上运行 pip install 'yanshou[guomi]'，或改用 Ed25519 密钥",
        )


def _ed25519_verifies(raw: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _sm2_verifies(raw: bytes, message: bytes, signature: bytes) -> bool:
    gmssl = _guomi("gmssl_pyx")
    try:
        with _silent():
            return bool(gmssl.sm2_verify(raw, message, signature))
    except gmssl.GmsslInnerError:  # empty signature, or a point that is not on the curve
        return False


_stderr = threading.Lock()


@contextmanager
def _silent() -> Iterator[None]:
    """Libgmssl writes C traces to descriptor 2 for every wrong signature; people get one line from us instead."""
    with _stderr, Path(os.devnull).open("wb") as null:
        saved = os.dup(2)
        try:
            os.dup2(null.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def fresh_key(algorithm: Algorithm, name: str) -> PrivateKey:
    """A new key pair that is in no file. Raises UserError when SM2 is needed and not installed."""
    if algorithm is Algorithm.SM2:
        raw, secret = _guomi("gmssl_pyx").sm2_key_generate()
        return PrivateKey(PublicKey(name, algorithm, raw), secret)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return PrivateKey(PublicKey(name, algorithm, key.public_key().public_bytes_raw()), key.private_bytes_raw())


def _pkcs8(key: PrivateKey, passphrase: str | None) -> str:
    """The private key as PEM, encrypted when there is a passphrase."""
    if key.public.algorithm is Algorithm.SM2:
        before, between = _SM2_PKCS8
        der = before + key.secret + between + key.public.raw
        return pem("PRIVATE KEY", der) if passphrase is None else pem("ENCRYPTED PRIVATE KEY", _seal(der, passphrase))
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encryption = s.NoEncryption() if passphrase is None else s.BestAvailableEncryption(passphrase.encode())
    private = Ed25519PrivateKey.from_private_bytes(key.secret)
    return private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption).decode()


def _aes_key(passphrase: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, rounds, 32)


def _seal(der: bytes, passphrase: str) -> bytes:
    """PKCS#8 EncryptedPrivateKeyInfo with PBES2, PBKDF2-HMAC-SHA256 and AES-256-CBC: what openssl 3 writes and reads."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    salt, iv = os.urandom(16), os.urandom(16)
    encryptor = Cipher(algorithms.AES(_aes_key(passphrase, salt, PBKDF2_ROUNDS)), modes.CBC(iv)).encryptor()
    pad = 16 - len(der) % 16
    kdf = {
        "salt": _guomi("asn1crypto.algos").Pbkdf2Salt("specified", salt),
        "iteration_count": PBKDF2_ROUNDS,
        "prf": {"algorithm": "sha256"},
    }
    parameters = {
        "key_derivation_func": {"algorithm": "pbkdf2", "parameters": kdf},
        "encryption_scheme": {"algorithm": "aes256_cbc", "parameters": iv},
    }
    info = _guomi("asn1crypto.keys").EncryptedPrivateKeyInfo(
        {
            "encryption_algorithm": {"algorithm": "pbes2", "parameters": parameters},
            "encrypted_data": encryptor.update(der + bytes([pad]) * pad) + encryptor.finalize(),
        }
    )
    sealed: bytes = info.dump()
    return sealed


def _unseal(sealed: bytes, passphrase: str) -> bytes:
    """The PKCS#8 PrivateKeyInfo inside. The passphrase is known to fit. Raises ValueError for another scheme."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    info = _guomi("asn1crypto.keys").EncryptedPrivateKeyInfo.load(sealed, strict=True)
    scheme = info["encryption_algorithm"]
    if (scheme.kdf, scheme.kdf_hmac, scheme["parameters"]["encryption_scheme"]["algorithm"].native) != (
        "pbkdf2",
        "sha256",
        "aes256_cbc",
    ):
        raise ValueError("not PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC")
    key = _aes_key(passphrase, scheme.kdf_salt, scheme.kdf_iterations)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(scheme.encryption_iv)).decryptor()
    padded = decryptor.update(info["encrypted_data"].native) + decryptor.finalize()
    return padded[: -padded[-1]]


def _sm2_pair(text: str, passphrase: str | None, name: str) -> PrivateKey:
    """An SM2 key from its PEM. Raises ValueError."""
    der = _der("PRIVATE KEY", text) if passphrase is None else _unseal(_der("ENCRYPTED PRIVATE KEY", text), passphrase)
    before, between = _SM2_PKCS8
    secret = der[len(before) : len(before) + 32]
    raw = der.removeprefix(before + secret + between)
    if len(raw) != 64:
        raise ValueError("not an SM2 PrivateKeyInfo")
    key = PrivateKey(PublicKey(name, Algorithm.SM2, raw), secret)
    try:
        fits = key.public.verifies(b"", key.sign(b""))
    except _guomi("gmssl_pyx").GmsslInnerError:
        fits = False
    if not fits:
        raise ValueError("secret and public point do not belong together")
    return key


def public_path(path: Path) -> Path:
    """Where the public half of the private key at `path` lies."""
    return path.with_name(path.name + ".pub")


def create_file(path: Path, text: str, mode: int) -> None:
    """A new file, on the disk. Raises UserError when there is one already."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as f:
            f.write(text.encode())
            sync(f)
    except FileExistsError:
        _refuse("K-E03", "文件已存在，密钥从不覆盖", "换一个文件名", path)
    except OSError as error:
        raise UserError(disk_problem(error, path)) from None


def new_key(path: Path, *, algorithm: str, name: str, passphrase: str | None = None) -> PublicKey:
    """Make a key pair: `path` (PKCS#8 PEM, mode 0600) and `path`.pub (JSON). Raises UserError and changes nothing."""
    try:
        key = fresh_key(Algorithm(algorithm), valid_name(name))
    except ValueError:
        _refuse("K-E07", f"算法 {algorithm} 或姓名 {name!r} 不能用", "算法用 ed25519 或 sm2；姓名为一行文字")
    if passphrase == "":
        _refuse("K-E04", "口令是空的", "给出口令，或不用口令", path)
    public = public_path(path)
    if public.exists():
        _refuse("K-E03", "文件已存在，密钥从不覆盖", "换一个文件名", public)
    create_file(path, _pkcs8(key, passphrase), 0o600)
    try:
        create_file(public, json.dumps(key.public.to_json(), ensure_ascii=False, indent=2) + "\n", 0o644)
    except UserError:
        path.unlink()
        raise
    return key.public


def read_key_file(path: Path) -> str:
    """The text of a key file, line ends as on Linux. Raises UserError: unreadable, too large, or no text."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_KEY_FILE + 1)
    except OSError as error:
        _refuse("K-E01", f"密钥文件读不出：{refusal(error)}", "检查路径与权限", path)
    if len(data) > MAX_KEY_FILE or not re.fullmatch(rb"[^\0]+", data):
        _refuse("K-E02", "不是密钥文件", "给出 yanshou key new 写出的文件", path)
    return data.decode(errors="replace").replace("\r\n", "\n")


def load_public(path: Path) -> PublicKey:
    """A key from its .pub file. Raises UserError."""
    try:
        return public_from_json(json.loads(read_key_file(path)))
    except (ValueError, RecursionError):
        _refuse("K-E06", "不是公钥文件，或内容被改动", "给出 yanshou key new 写出的 .pub 文件", path)


def load_private(path: Path, passphrase: str | None = None) -> PrivateKey:
    """A key from its PKCS#8 PEM. Its holder's name is in the .pub file beside it; without one it is the file's name.

    Raises UserError: unreadable, not such a key, wrong or missing passphrase, a .pub file of another key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = read_key_file(path)
    if "ENCRYPTED" not in text:
        passphrase = None
    elif not passphrase:
        _refuse("K-E04", "密钥有口令保护", "给出口令", path)
    try:
        private = load_pem_private_key(text.encode(), None if passphrase is None else passphrase.encode())
        if not isinstance(private, Ed25519PrivateKey):
            _refuse("K-E07", "不是 Ed25519 或 SM2 密钥", "用 yanshou key new 生成", path)
        raw = private.public_key().public_bytes_raw()
        key = PrivateKey(PublicKey(path.stem, Algorithm.ED25519, raw), private.private_bytes_raw())
    except UnsupportedAlgorithm:  # cryptography has opened the file and met the SM2 curve
        try:
            key = _sm2_pair(text, passphrase, path.stem)
        except ValueError:
            remedy = "用 openssl pkcs8 -topk8 -v2 aes-256-cbc 转成标准的 PKCS#8"
            _refuse("K-E02", "不是标准 PKCS#8 形式的 SM2 密钥", remedy, path)
    except ValueError:
        if passphrase is None:
            _refuse("K-E02", "密钥文件损坏或不是私钥", "给出 yanshou key new 写出的私钥（PKCS#8 PEM）", path)
        _refuse("K-E04", "口令不对，或密钥文件损坏", "核对口令", path)
    if not public_path(path).exists():
        return key
    public = load_public(public_path(path))
    if public.id != key.public.id:
        _refuse("K-E06", f"公钥文件不属于私钥 {path.name}", "放回与私钥一起生成的 .pub 文件", public_path(path))
    return PrivateKey(public, key.secret)
