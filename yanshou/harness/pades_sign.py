"""Signing a report visibly: one role at a time, in order, with a key file, a token, or a signature made elsewhere.

It is for the PDF that stands beside a formal package: `NAME.signed.pdf`, and `NAME.signed.pdf.dsse.json` that pins it and the
package when all have signed. Every step first examines what is there and replaces the file as a whole, under a lock. It must
never sign a demonstration or a self-check, add to a file that does not hold, or see a secret that it need not.

All ways to sign share one path: the file is laid out with room for the signature, the CMS attributes are made, somebody
signs these, the signature is put in. Where that somebody is elsewhere, layout and attributes wait in `.pending` files.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from yanshou.harness.bag import PackageContents, open_package
from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.envelope import (
    SIGNED_REPORT,
    TEST_RESULT,
    Document,
    Envelope,
    Role,
    Signer,
    add_signature,
    read_envelope,
    sign,
    statement,
)
from yanshou.harness.evidence import canonical, sha256_bytes, utc_now, write_atomic
from yanshou.harness.keys import PrivateKey
from yanshou.harness.locking import FileLock, Taken
from yanshou.harness.pades import (
    REPORT,
    ROLES,
    PdfReport,
    Place,
    certificate_id,
    certificates,
    common_name,
    examine,
    pin_path,
    pinned_subjects,
    places,
    quiet,
    signed_path,
)
from yanshou.harness.seal import SealReport, check_subjects, verify_package
from yanshou.harness.trust import BEIJING, Trust

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate
    from pyhanko.sign import Signer as PdfSigner
    from pyhanko.sign.timestamps import TimeStamper
    from pyhanko_certvalidator import ValidationContext

PENDING = "yanshou/pending-signature/1"
RESERVED = 32768
"""Hex digits kept free for a signature: certificates of a chain and a time-stamp token with its own."""
DIGEST = "sha256"


def _refuse(code: str, text: str, remedy: str, file: Path | None = None) -> NoReturn:
    raise UserError(Problem(code, text, remedy, file))


def _pending_paths(pdf: Path) -> tuple[Path, Path]:
    return pdf.with_name(f"{pdf.name}.pending.json"), pdf.with_name(f"{pdf.name}.pending.pdf")


@contextmanager
def _locked(pdf: Path) -> Iterator[None]:
    lock = FileLock(pdf.with_name(f".{pdf.name}.lock"))
    try:
        lock.acquire()
    except Taken:
        _refuse("S-D03", "另一个进程正在签这份 PDF", "等它结束后重试", pdf)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _opened(package: Path) -> Iterator[tuple[PackageContents, SealReport]]:
    """A formal package that is intact and whose signatures so far hold. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="yanshou-pdf-") as scratch:
        contents = open_package(package, Path(scratch))
        seal = verify_package(contents, None)
        if wrong := [p for p in seal.problems if p.code != "V-S06"]:
            raise UserError(wrong, ExitCode.UNVERIFIED)
        if seal.statement.predicate_type != TEST_RESULT:
            _refuse("S-D01", "自检与演示的报告没有签署栏，不签", "正式报告用 mode: acceptance 的案卷", package)
        yield contents, seal


@dataclass(frozen=True)
class Stamping:
    """A time-stamp authority to ask, and the authorities by which its answers are believed and certificates are checked."""

    url: str
    roots: tuple[str, ...]
    tsa: tuple[str, ...]

    @property
    def client(self) -> TimeStamper:
        """Asks over HTTP, RFC 3161."""
        from pyhanko.sign.timestamps.requests_client import RequestsHTTPTimeStamper

        client: TimeStamper = RequestsHTTPTimeStamper(self.url, timeout=20)  # type: ignore[no-untyped-call]
        return client

    @property
    def context(self) -> ValidationContext:
        """For the proofs that are put into the file; revocation data is fetched where certificates say where."""
        from pyhanko_certvalidator import ValidationContext

        roots = certificates([*self.roots, *self.tsa])
        return ValidationContext(trust_roots=roots, allow_fetching=True, revocation_mode="soft-fail")


def stamping(url: str | None, trust: Trust | None) -> Stamping | None:
    """How times are proven. Raises UserError: an authority without a trust file that says whom to believe."""
    if not url:
        return None
    if trust is None or trust.pdf is None or not trust.pdf.tsa:
        _refuse(
            "S-D04", "给了时间戳机构，却没有说认哪些根证书", "用 --trust 给出 trust.yaml，其 pdf 一节写 roots 与 tsa"
        )
    return Stamping(url, trust.pdf.roots, trust.pdf.tsa)


def _store(chain: Sequence[Certificate]) -> Any:
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    return SimpleCertificateStore.from_certs(chain)  # type: ignore[no-untyped-call]


def read_certificates(file: Path) -> list[Certificate]:
    """Certificates of a PEM or DER file. Raises UserError."""
    from pyhanko.keys import load_certs_from_pemder_data

    try:
        found = list(load_certs_from_pemder_data(file.read_bytes()))
        for certificate in found:
            certificate.native  # noqa: B018  parses the whole
    except OSError as error:
        _refuse("S-D05", f"证书读不出：{error.strerror}", "检查路径与权限", file)
    except ValueError:
        found = []
    if not found:
        _refuse("S-D05", "不是证书文件", "给出 PEM 或 DER 形式的 X.509 证书", file)
    return found


def from_p12(file: Path, passphrase: str | None, chain: Sequence[Certificate] = ()) -> PdfSigner:
    """A signer from a PKCS#12 file. Raises UserError."""
    from pyhanko.sign import SimpleSigner

    try:
        data = file.read_bytes()
    except OSError as error:
        _refuse("S-D05", f"PKCS#12 文件读不出：{error.strerror}", "检查路径与权限", file)
    try:
        secret = None if passphrase is None else passphrase.encode()
        signer: PdfSigner = SimpleSigner.load_pkcs12_data(data, other_certs=list(chain), passphrase=secret)
    except (ValueError, AttributeError, TypeError):
        remedy = "核对口令；用 openssl pkcs12 -info 看内容"
        _refuse("S-D06", "口令不对，或不是带私钥与证书的 PKCS#12 文件", remedy, file)
    return signer


@contextmanager
def from_token(
    library: Path, token: str, label: str, pin: str, chain: Sequence[Certificate] = ()
) -> Iterator[PdfSigner]:
    """A signer on a PKCS#11 token: `label` names key and certificate. Raises UserError."""
    try:
        import pkcs11
        from pyhanko.config.pkcs11 import TokenCriteria
        from pyhanko.sign.pkcs11 import PKCS11Signer, open_pkcs11_session
    except ImportError:
        _refuse("S-D07", "没有安装 PKCS#11 支持", "pip install 'yanshou[pkcs11]'")
    remedy = "核对驱动、令牌名、标签与 PIN；pkcs11-tool -O 可列出内容"
    try:
        session = open_pkcs11_session(str(library), token_criteria=TokenCriteria(label=token), user_pin=pin)
        with session:
            signer = PKCS11Signer(session, cert_label=label, key_label=label, ca_chain=list(chain))
            signer.signing_cert  # noqa: B018  fetched now, so that a wrong label is named before anything is made
            yield signer
    except (pkcs11.PKCS11Error, ValueError, RuntimeError) as error:
        _refuse("S-D07", f"令牌不能用（{type(error).__name__}：{error}）".replace("：）", "）"), remedy, library)


@dataclass(frozen=True)
class _Laid:
    """A PDF with room for one signature, and the DER of the CMS attributes that are to be signed."""

    pdf: bytes
    start: int
    end: int
    digest: bytes
    attributes: bytes


def _lay_out(current: bytes, where: dict[Role, Place], role: Role, signer: PdfSigner) -> _Laid:
    """The next revision of `current`: in the first one all fields are made, and the signature forbids everything else."""
    from pyhanko.pdf_utils.content import ImportedPdfPage
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.layout import AxisAlignment, Margins, SimpleBoxLayoutRule
    from pyhanko.sign import PdfSignatureMetadata
    from pyhanko.sign import PdfSigner as Layout
    from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter, append_signature_field
    from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
    from pyhanko.stamp import StaticStampStyle

    from yanshou.reports.stamp import render_stamp

    first = role is ROLES[0]
    writer = IncrementalPdfFileWriter(BytesIO(current))
    if first:
        for each in ROLES:
            append_signature_field(writer, SigFieldSpec(each.word, on_page=where[each].page, box=where[each].box))  # type: ignore[arg-type]
    x0, y0, x1, y1 = where[role].box
    certificate = signer.signing_cert
    stamp = render_stamp(
        name=common_name(certificate),
        role=role.word,
        time=f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}（北京时间）",
        certificate=certificate_id(certificate)[:16],
        width=x1 - x0,
        height=y1 - y0,
    )
    output = BytesIO()
    whole = SimpleBoxLayoutRule(AxisAlignment.ALIGN_MID, AxisAlignment.ALIGN_MID, margins=Margins())
    with tempfile.TemporaryDirectory(prefix="yanshou-stamp-") as scratch:
        file = Path(scratch) / "stamp.pdf"
        file.write_bytes(stamp)
        background = ImportedPdfPage(str(file))  # type: ignore[no-untyped-call]
        layout = Layout(
            PdfSignatureMetadata(
                field_name=role.word, md_algorithm=DIGEST, subfilter=SigSeedSubFilter.PADES, reason=role.word,
                name=common_name(certificate), certify=first, docmdp_permissions=MDPPerm.FILL_FORMS,
            ),
            signer,
            stamp_style=StaticStampStyle(background=background, background_layout=whole, border_width=0),
        )  # fmt: skip
        digest, _, _ = asyncio.run(
            layout.async_digest_doc_for_signing(
                writer, existing_fields_only=True, bytes_reserved=RESERVED, output=output
            )
        )
    attributes = asyncio.run(
        signer.signed_attrs(digest.document_digest, DIGEST, attr_settings=PdfCMSSignedAttributes(), use_pades=True)
    )
    data = output.getvalue()
    return _Laid(
        data, digest.reserved_region_start, digest.reserved_region_end, digest.document_digest, attributes.dump()
    )


def _fill(laid: _Laid, signer: PdfSigner, times: Stamping | None) -> bytes:
    """The PDF with the signature of `signer` over the attributes, with its time where there is an authority."""
    from asn1crypto.cms import CMSAttributes
    from pyhanko.sign.signers.pdf_byterange import PreparedByteRangeDigest

    cms = asyncio.run(
        signer.async_sign_prescribed_attributes(
            DIGEST, CMSAttributes.load(laid.attributes), timestamper=times.client if times else None
        )
    )
    output = BytesIO(laid.pdf)
    PreparedByteRangeDigest(laid.digest, laid.start, laid.end).fill_with_cms(output, cms)
    return output.getvalue()


def _preserve(pdf: bytes, times: Stamping) -> bytes:
    """PAdES B-LTA: the proofs of every signature, and a document time stamp over all of it."""
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign import PdfTimeStamper
    from pyhanko.sign.validation import add_validation_info

    for index in range(len(ROLES)):
        embedded = PdfFileReader(BytesIO(pdf)).embedded_regular_signatures[index]
        pdf = add_validation_info(embedded, times.context).getvalue()
    stamper = PdfTimeStamper(times.client)
    stamped = stamper.timestamp_pdf(IncrementalPdfFileWriter(BytesIO(pdf)), DIGEST, validation_context=times.context)
    data: bytes = stamped.getvalue()
    return data


@contextmanager
def _pyhanko() -> Iterator[None]:
    """What signing can fail at, in our words: no time, no proof of a certificate."""
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign.timestamps import TimestampRequestError
    from pyhanko_certvalidator.errors import PathError, ValidationError

    try:
        with quiet():
            yield
    except (TimestampRequestError, OSError) as error:
        _refuse("S-D08", f"时间戳机构没有给出时间（{error}）", "核对地址与网络；文件没有改动，重试即可")
    except (ValidationError, PathError, PdfError, ValueError) as error:
        _refuse("S-D09", f"签不成（{type(error).__name__}：{error}）", "核对证书链、信任文件的 pdf 一节与时间戳机构")


@dataclass(frozen=True)
class Signed:
    """A PDF signed so far: where, and by whom."""

    path: Path
    report: PdfReport

    @property
    def missing(self) -> tuple[Role, ...]:
        """Who has not signed yet."""
        present = {s.role for s in self.report.signatures}
        return tuple(r for r in ROLES if r not in present)


def _state(pdf: Path, base: bytes, role: Role) -> bytes:
    """The file to add to, in which everybody before `role` has signed and everything holds. Raises UserError."""
    current = pdf.read_bytes() if pdf.exists() else base
    if role not in ROLES:
        _refuse("S-D10", f"{role.word}不签报告的 PDF", f"可用：{'、'.join(r.value for r in ROLES)}")
    before = ROLES[: ROLES.index(role)]
    report = PdfReport((), None, ()) if current == base else examine(current, base, None, datetime.now(UTC))
    if wrong := [p for p in report.problems if p.code != "V-D04"]:
        raise UserError(wrong, ExitCode.UNVERIFIED)
    present = tuple(s.role for s in report.signatures)
    if role in present:
        _refuse("S-D11", f"{role.word}已经签过", "不用再签", pdf)
    if present != before:
        _refuse(
            "S-D11", f"还没有轮到{role.word}", f"先由{'、'.join(r.word for r in before if r not in present)}签", pdf
        )
    return current


def _require_rsa(certificate: Certificate) -> None:
    if certificate.public_key.algorithm != "rsa":
        text = f"{common_name(certificate)} 的证书是 {certificate.public_key.algorithm}，不是 RSA"
        _refuse("S-D12", text, "报告是 PDF/A-3，用 RSA 证书签；Ed25519 与 SM2 签数据包")


def _finish(pdf: Path, base: bytes, role: Role, data: bytes, times: Stamping | None) -> Signed:
    """Write the signed file, unless what was made does not hold."""
    if times is not None and role is ROLES[-1]:
        with _pyhanko():
            data = _preserve(data, times)
    report = examine(data, base, None, datetime.now(UTC))
    if wrong := [p for p in report.problems if p.code != "V-D04"]:
        raise UserError(wrong, ExitCode.INTERNAL)
    write_atomic(pdf, data)
    return Signed(pdf, report)


def sign_pdf(package: Path, role: Role, signer: PdfSigner, times: Stamping | None = None) -> Signed:
    """Add the visible signature of `role`. Raises UserError, and then nothing was changed."""
    pdf = signed_path(package)
    with _opened(package) as (contents, _), _locked(pdf):
        base = (contents.root / REPORT).read_bytes()
        current = _state(pdf, base, role)
        _require_rsa(signer.signing_cert)
        with _pyhanko():
            data = _fill(_lay_out(current, places(base), role, signer), signer, times)
        return _finish(pdf, base, role, data, times)


@dataclass(frozen=True)
class Exported:
    """What is to be signed elsewhere: `file` holds the bytes (DER of the CMS signed attributes), `sha256` is their digest."""

    file: Path
    sha256: str


def export_bytes(
    package: Path, role: Role, certificate: Certificate, chain: Sequence[Certificate], output: Path
) -> Exported:
    """Lay out the signature of `role` and write the bytes to sign: RSA, PKCS#1 v1.5, SHA-256. Raises UserError."""
    from pyhanko.sign import ExternalSigner

    pdf = signed_path(package)
    with _opened(package) as (contents, _), _locked(pdf):
        base = (contents.root / REPORT).read_bytes()
        current = _state(pdf, base, role)
        _require_rsa(certificate)
        signer = ExternalSigner(certificate, _store([*chain, certificate]))
        with _pyhanko():
            laid = _lay_out(current, places(base), role, signer)
        state: dict[str, Json] = {
            "format": PENDING, "role": role.value, "current": sha256_bytes(current), "laid_out": sha256_bytes(laid.pdf),
            "start": laid.start, "end": laid.end, "digest": laid.digest.hex(), "attributes": laid.attributes.hex(),
            "certificates": [base64.b64encode(c.dump()).decode() for c in (certificate, *chain)],
        }  # fmt: skip
        record, draft = _pending_paths(pdf)
        write_atomic(draft, laid.pdf)
        write_atomic(record, canonical(state) + b"\n")
        write_atomic(output, laid.attributes)
    return Exported(output, sha256_bytes(laid.attributes))


def import_signature(package: Path, signature: bytes, times: Stamping | None = None) -> Signed:
    """Put in the signature that was made elsewhere over the exported bytes.

    Raises UserError: nothing waits, the PDF moved on since, the signature is not by that certificate over those bytes.
    """
    from asn1crypto.x509 import Certificate
    from pyhanko.sign import ExternalSigner

    pdf = signed_path(package)
    record, draft = _pending_paths(pdf)
    with _opened(package) as (contents, _), _locked(pdf):
        base = (contents.root / REPORT).read_bytes()
        try:
            state, laid_out = json.loads(record.read_bytes()), draft.read_bytes()
            chain = [Certificate.load(base64.b64decode(c)) for c in state["certificates"]]
            role, attributes = Role(state["role"]), bytes.fromhex(state["attributes"])
            laid = _Laid(laid_out, state["start"], state["end"], bytes.fromhex(state["digest"]), attributes)
        except FileNotFoundError:
            _refuse("S-D13", "没有等着导入的签名", "先 yanshou pdf export", record)
        except (ValueError, KeyError, TypeError):
            _refuse("S-D13", "导出时留下的文件损坏", "重新 yanshou pdf export", record)
        current = _state(pdf, base, role)
        if (sha256_bytes(current), sha256_bytes(laid_out)) != (state["current"], state["laid_out"]):
            _refuse("S-D13", "导出之后 PDF 已不是原来的那份", "重新 yanshou pdf export", record)
        if not _is_signature(chain[0], signature, attributes):
            text = f"不是 {common_name(chain[0])} 对导出字节的签名"
            _refuse("S-D14", text, "用证书对应的私钥签导出的文件：RSA PKCS#1 v1.5、SHA-256", record)
        with _pyhanko():
            data = _fill(laid, ExternalSigner(chain[0], _store(chain), signature_value=signature), times)
        signed = _finish(pdf, base, role, data, times)
        record.unlink()
        draft.unlink()
    return signed


def _is_signature(certificate: Certificate, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_der_x509_certificate

    key = load_der_x509_certificate(certificate.dump()).public_key()
    assert isinstance(key, RSAPublicKey)
    try:
        key.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def pin(
    package: Path, key: PrivateKey, role: Role, others: Iterable[Signer] = (), trust: Trust | None = None
) -> Envelope:
    """Sign which PDF belongs to which package, or add a signature to that; the first signer fixes the roster.

    Raises UserError unless package and PDF have all their signatures and hold.
    """
    pdf = signed_path(package)
    with _opened(package) as (contents, seal), _locked(pdf):
        if seal.problems:
            raise UserError(seal.problems)
        if not pdf.exists():
            _refuse("S-D15", "还没有签过名的 PDF", "先 yanshou pdf sign", pdf)
        data, now = pdf.read_bytes(), utc_now()
        report = examine(data, (contents.root / REPORT).read_bytes(), trust.pdf if trust else None, datetime.now(UTC))
        if report.problems:
            raise UserError(report.problems)
        subjects, path = pinned_subjects(contents, data), pin_path(pdf)
        envelope = read_envelope(path.read_bytes(), path) if path.exists() else None
        if envelope is not None and not list(check_subjects(envelope.statement, subjects)):
            signed = add_signature(envelope, key, role)
        else:
            roster = (
                (Signer(role, key.public), *others)
                if trust is None
                else trust.roster(Document.REPORT, datetime.now(UTC))
            )
            signed = sign(statement(subjects, SIGNED_REPORT, report.content, roster, now), key, role)
        write_atomic(path, signed.to_bytes())
    return signed
