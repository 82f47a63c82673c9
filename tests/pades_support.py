"""People with certificates, an authority of time and a formal package: what signing a report needs, made anew for each run."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.e2e.test_acceptance import PEOPLE, formal_case, keys_and_trust
from yanshou.harness.engine import freeze_case, run_case, write_record
from yanshou.harness.envelope import Role
from yanshou.harness.keys import load_private
from yanshou.harness.recording import Selection
from yanshou.harness.sealing import sign_package, sign_plan
from yanshou.harness.trust import load_trust
from yanshou.reports.render import render

PASSPHRASE = "口令-1"


@dataclass(frozen=True)
class Authority:
    """A root that issues certificates, and takes some back."""

    name: str
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    revoked: list[int] = field(default_factory=list)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def crl(self) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=30))
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(days=1))
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, public: object, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=365))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(sign, sign, False, False, False, not sign, not sign, False, False)


def authority(name: str) -> Authority:
    key = rsa.generate_private_key(65537, 2048)
    builder = _builder(name, key.public_key(), _name(name))
    builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(_usage(sign=False), True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return Authority(name, key, builder.add_extension(identifier, False).sign(key, SHA256()))


@dataclass(frozen=True)
class Person:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def id(self) -> str:
        return self.certificate.fingerprint(SHA256()).hex()

    def write_p12(self, path: Path, issuer: Authority) -> Path:
        encryption = BestAvailableEncryption(PASSPHRASE.encode())
        data = pkcs12.serialize_key_and_certificates(
            b"key", self.key, self.certificate, [issuer.certificate], encryption
        )
        path.write_bytes(data)
        return path


def person(name: str, issuer: Authority, *, curve: bool = False, crl: str = "", time: bool = False) -> Person:
    key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    builder = _builder(name, key.public_key(), issuer.certificate.subject).add_extension(_usage(sign=True), True)
    builder = builder.add_extension(x509.BasicConstraints(False, None), True)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = builder.add_extension(above, False)
    if time:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
    return Person(key, builder.sign(issuer.key, SHA256()))


@contextmanager
def time_authority(root: Authority, people: Authority) -> Iterator[str]:
    """OpenSSL's time-stamp authority over HTTP, which also hands out the CRL of `people` at /crl; yields its address."""
    own = person("时间戳", root, time=True)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer("application/timestamp-reply", stamped(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self) -> None:
            self._answer("application/pkix-crl", people.crl())

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with TemporaryDirectory() as name:
        stamped = _openssl_stamper(Path(name), own, root)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


TSA_CONFIG = """[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
signer_cert = {folder}/own.pem
certs = {folder}/root.pem
signer_key = {folder}/own.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.32473.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def _openssl_stamper(folder: Path, own: Person, root: Authority) -> Callable[[bytes], bytes]:
    """What answers an RFC 3161 request as `own`; one request at a time, for they share a serial number."""
    (folder / "own.pem").write_bytes(own.certificate.public_bytes(Encoding.PEM))
    (folder / "root.pem").write_text(root.pem)
    (folder / "own.key").write_bytes(own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "serial").write_text("01")
    (folder / "tsa.conf").write_text(TSA_CONFIG.format(folder=folder))
    one_by_one = threading.Lock()

    def stamped(request: bytes) -> bytes:
        with one_by_one:
            (folder / "request").write_bytes(request)
            files = ["-config", folder / "tsa.conf", "-queryfile", folder / "request", "-out", folder / "reply"]
            subprocess.run(["openssl", "ts", "-reply", *files], check=True, capture_output=True)
            return (folder / "reply").read_bytes()

    return stamped


def pdf_trust(trust: Path, people: dict[str, Person], root: Authority, tsa: Authority | None) -> Path:
    """A trust file beside `trust` that also says whose certificates sign PDFs."""
    entries = "".join(
        f"    - {{name: {PEOPLE[role]}, roles: [{role}], certificate: {who.id}, "
        "valid_from: 2026-01-01, valid_until: 2099-12-31}\n"
        for role, who in people.items()
    )
    authorities = f"  tsa: [{json.dumps(tsa.pem)}]\n" if tsa else ""
    path = trust.with_name("trust-pdf.yaml" if tsa else "trust-pdf-no-tsa.yaml")
    section = f"pdf:\n  roots: [{json.dumps(root.pem)}]\n{authorities}  certificates:\n{entries}"
    path.write_text(trust.read_text(encoding="utf-8") + section, encoding="utf-8")
    return path


def formal_package(folder: Path) -> tuple[Path, Path]:
    """A package of a formal case that everybody has signed, and the trust file. Only the inspection was done."""
    trust_file = keys_and_trust(folder)
    trust = load_trust(trust_file)
    case = formal_case(folder / "case", 9)
    freeze_case(case)
    for role in ("project", "tester"):
        sign_plan(case, load_private(folder / role), Role(role), (), trust)
    run_case(case, Quiet(), Selection(["S10-I01"]))
    render(write_record(case), case / "report")
    for role in ("tester", "reviewer", "approver"):
        sealed = sign_package(case, load_private(folder / role), Role(role), (), trust)
    return sealed.path, trust_file


class Quiet:
    """An observer that says nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: None
