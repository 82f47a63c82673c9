"""X.509 certificates on chains, as far as signatures need them: the key, by which suite it signs, and who issued it. Pure.

Sources: RFC 5280, 4.1; RFC 5480; GB/T 35275-2017 for the curve of SM2. It must never look at validity times: a certificate of
that day vouches for that day's signature.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from functools import lru_cache

from yanshou.chains.crypto import Suite

_SPKI = {
    Suite.SM: bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004"),
    Suite.SHA256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
}
"""SubjectPublicKeyInfo up to x and y of the uncompressed point, by the suite of the curve."""
_BEFORE_KEY = 5
"""Serial number, signature, issuer, validity and subject stand between the version and the key."""
_VERSION = 0xA0
_SM2_WITH_SM3 = bytes.fromhex("06082a811ccf55018375")
"""Object identifier 1.2.156.10197.1.501 in DER."""
_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*")


@dataclass(frozen=True)
class Key:
    """A public key: x and y, and the suite of its curve."""

    suite: Suite
    point: bytes


@dataclass(frozen=True)
class Certificate:
    """`der`: all of it; `identifier`: the subject key identifier, b"" for none; `signed`, `signature`: by its issuer."""

    der: bytes
    key: Key
    identifier: bytes
    signed: bytes
    signature: bytes

    def issued_by(self, issuer: Certificate) -> bool:
        """Whether `issuer`'s key signed it. Raises UserError where SM2 needs a library that is not installed."""
        return _issued(self, issuer)


@lru_cache(4096)
def _issued(one: Certificate, by: Certificate) -> bool:
    return by.key.suite.signed(by.key.point, one.signed, one.signature)


@lru_cache(4096)
def certificate(pem: bytes) -> Certificate:
    """A certificate from its PEM. Raises ValueError for none, and for keys that are neither on P-256 nor SM2."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificate(pem)
        identifier = found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        identifier = b""
    except (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"no certificate: {error}") from None
    tbs, der = found.tbs_certificate_bytes, found.public_bytes(serialization.Encoding.DER)
    return Certificate(der, _key(_spki(tbs)), identifier, tbs, found.signature)


@lru_cache(4096)
def public_key(pem: bytes) -> Key:
    """A key from the PEM of a SubjectPublicKeyInfo. Raises ValueError as `certificate` does."""
    match = _PUBLIC_KEY.fullmatch(pem)
    if not match:
        raise ValueError("no public key")
    return _key(base64.b64decode(match[1]))


def is_sm(der: bytes) -> bool:
    """Whether a certificate holds an SM2 key and is signed by SM2 with SM3, by what stands where these must stand.

    No more is asked of it: certificates of that kind are not always as strict readers want them.
    """
    try:
        tbs = _inside(der, 0)
        algorithm = _end(der, tbs)
        signed_by = der[_inside(der, algorithm) :]
        return _spki(der[tbs:algorithm]).startswith(_SPKI[Suite.SM]) and signed_by.startswith(_SM2_WITH_SM3)
    except IndexError:
        return False


def _key(spki: bytes) -> Key:
    for suite, start in _SPKI.items():
        if spki.startswith(start) and len(spki) == len(start) + 64:
            return Key(suite, spki[len(start) :])
    raise ValueError("a key of another kind")


def _spki(tbs: bytes) -> bytes:
    """The SubjectPublicKeyInfo in a TBSCertificate that a library has found well-formed."""
    at = _inside(tbs, 0)
    for _ in range(_BEFORE_KEY + (tbs[at] == _VERSION)):
        at = _end(tbs, at)
    return tbs[at : _end(tbs, at)]


def _inside(der: bytes, at: int) -> int:
    """Where the content of the element at `at` begins."""
    size = der[at + 1]
    return at + 2 + (size & 0x7F if size & 0x80 else 0)


def _end(der: bytes, at: int) -> int:
    size, start = der[at + 1], _inside(der, at)
    return start + (int.from_bytes(der[at + 2 : start], "big") if size & 0x80 else size)
