"""The evaluator's identity on a chain that answers only members: a certificate, and its key, which signs what is asked.

It must never show the key or let it out: it is in no repr, no message and no evidence. ECDSA comes from cryptography, SM2 from
gmssl-pyx with asn1crypto (extra `guomi`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from yanshou.chains.grpc_link import read_pem
from yanshou.chains.spec import Member
from yanshou.harness.basics import ProbeError, Problem, UserError
from yanshou.harness.keys import Algorithm, PrivateKey, PublicKey

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Identity:
    """`org` and `cert` (PEM) as the chain knows them.

    `sign`: a message's signature in DER: ECDSA over its SHA-2 of the curve's length, or SM2 with SM3 and the standard identity.
    `sign_digest`: ECDSA over a digest of 32 bytes, whatever the hash; None for SM2, which makes its own.
    """

    org: str
    cert: bytes
    sign: Sign = field(repr=False)
    sign_digest: Sign | None = field(default=None, repr=False)


def load_identity(member: Member, folder: Path) -> Identity:
    """Reads both files, relative to `folder`. Raises ProbeError CHN-E04, UserError where SM2 needs a missing library."""
    cert, key = read_pem(folder, member.cert), read_pem(folder, member.key)
    return Identity(member.org, cert, *_signers(key, member.key))


def signer(pem: bytes, name: str) -> Sign:
    """What a private key in PEM (PKCS#8 or SEC 1, no passphrase) signs messages with. Raises as `load_identity` does."""
    return _signers(pem, name)[0]


def _signers(pem: bytes, name: str) -> tuple[Sign, Sign | None]:
    """How a key signs messages, and digests."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (UnsupportedAlgorithm, ValueError):  # the SM2 curve, or a label of openssl's own for it
        return _sm2(pem, name).sign, None
    except TypeError:  # it has a passphrase
        raise _unusable(name) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable(name)
    digest = hashes.SHA384() if key.curve.key_size > 256 else hashes.SHA256()
    return (
        lambda message: key.sign(message, ec.ECDSA(digest)),
        lambda condensed: key.sign(condensed, ec.ECDSA(Prehashed(hashes.SHA256()))),
    )


def _sm2(pem: bytes, name: str) -> PrivateKey:
    try:
        from asn1crypto import keys
        from asn1crypto.pem import unarmor
    except ImportError:
        text, remedy = "成员私钥是 SM2，本机没有国密组件 asn1crypto", "pip install 'yanshou[guomi]'"
        raise UserError(Problem("K-E05", text, remedy)) from None
    try:
        _, _, der = unarmor(pem)
        try:
            found = keys.PrivateKeyInfo.load(der)["private_key"].parsed
        except (ValueError, TypeError):
            found = keys.ECPrivateKey.load(der)
        secret, point = found["private_key"].contents.rjust(32, b"\0"), bytes(found["public_key"].native)
        key = PrivateKey(PublicKey(name, Algorithm.SM2, point[1:]), secret)
        if len(secret) != 32 or len(point) != 65 or not key.public.verifies(b"", key.sign(b"")):
            raise ValueError("secret and public point do not belong together")
    except (ValueError, TypeError, KeyError):
        raise _unusable(name) from None
    return key


def _unusable(name: str) -> ProbeError:
    text = f"私钥文件 {name} 不能用：要 PEM 格式、不加口令的 ECDSA 或 SM2 私钥，并带公钥"
    return ProbeError("CHN-E04", text, "用 openssl pkcs8 -topk8 -nocrypt 转换；只在评测期间使用，用后吊销")
