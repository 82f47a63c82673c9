"""Hashes and signatures that chains use, by the libraries that do them well: keccak-256 with secp256k1, SM3 with SM2, and SHA-256
with ECDSA on P-256.

It is for recomputing what a chain states. It must never sign: standards that sign bring their own keys. Keccak comes from
pycryptodome, secp256k1 from coincurve, P-256 from cryptography, SM3 from OpenSSL, SM2 from gmssl-pyx (extra `guomi`).
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

from yanshou.harness.keys import Algorithm, PublicKey


class Suite(StrEnum):
    """What a chain's hashes and signatures are made with."""

    KECCAK = "keccak256-secp256k1"
    SM = "sm3-sm2"
    SHA256 = "sha256-p256"

    @property
    def word(self) -> str:
        """The name printed for people."""
        return {
            "keccak256-secp256k1": "Keccak-256 与 secp256k1",
            "sm3-sm2": "SM3 与 SM2",
            "sha256-p256": "SHA-256 与 ECDSA P-256",
        }[self.value]

    @property
    def signature(self) -> str:
        """The name of its signatures, printed for people."""
        return self.word.split(" 与 ")[1]

    def hash(self, data: bytes) -> bytes:
        """The 32-byte digest of `data`."""
        if self is Suite.SM:
            return hashlib.new("sm3", data).digest()
        if self is Suite.SHA256:
            return hashlib.sha256(data).digest()
        from Crypto.Hash import keccak

        return keccak.new(digest_bits=256, data=data).digest()

    def verifies(self, key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether r and s (64 bytes, anything may follow) are `key`'s (x and y, 64 bytes) over `digest`.

        SM2, and ECDSA on P-256, sign the digest as their message. Raises UserError without gmssl-pyx.
        """
        if len(key) != 64 or len(signature) < 64:
            return False
        if self is not Suite.KECCAK:
            return self.signed(key, digest, der(signature[:64]))
        from coincurve import PublicKey as Point

        try:
            return Point(b"\x04" + key).verify(der(signature[:64]), digest, hasher=None)
        except ValueError:
            return False

    def signed(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether an ASN.1 signature is `key`'s (x and y) over a message: SM2 with SM3 and the standard identity (GM/T 0009), or
        ECDSA on P-256 with SHA-256. Raises UserError without gmssl-pyx, ValueError for the suite that signs digests only.
        """
        if self is Suite.SM:
            return len(key) == 64 and PublicKey("", Algorithm.SM2, key).verifies(message, signature)
        if self is Suite.SHA256:
            return p256_verifies(key, self.hash(message), signature)
        raise ValueError("signs digests only")

    def address(self, key: bytes) -> str:
        """The account of a public key (x and y): the last 20 bytes of its digest."""
        return "0x" + self.hash(key)[-20:].hex()


EVM_SUITES = (Suite.KECCAK, Suite.SM)
"""What chains that run Solidity hash with."""


def p256_verifies(key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether an ASN.1 signature is `key`'s (x and y) over a 32-byte digest: ECDSA on P-256, whatever the hash."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)
        point.verify(signature, digest, ec.ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, ValueError):
        return False
    return True


def require_sm() -> None:
    """Raises UserError, which says what to install, where SM2 signatures could not be verified."""
    Suite.SM.verifies(bytes(64), bytes(32), bytes(64))


def recovered(digest: bytes, signature: bytes) -> bytes | None:
    """The secp256k1 key (x and y) that made `signature` (r, s and recovery id 0 or 1: 65 bytes); None when none did."""
    from coincurve import PublicKey as Point

    try:
        return Point.from_signature_and_message(signature, digest, hasher=None).format(compressed=False)[1:]
    except (ValueError, OverflowError):  # bytes that are no signature
        return None
    except Exception as error:  # coincurve raises a bare Exception where no key could have made it
        if type(error) is Exception:
            return None
        raise


def der(signature: bytes) -> bytes:
    """r and s (32 bytes each) as the ASN.1 SEQUENCE of two INTEGERs that libraries read."""

    def integer(value: bytes) -> bytes:
        body = value.lstrip(b"\0") or b"\0"
        body = b"\0" + body if body[0] & 0x80 else body
        return b"\x02" + bytes([len(body)]) + body

    both = integer(signature[:32]) + integer(signature[32:])
    return b"\x30" + bytes([len(both)]) + both
