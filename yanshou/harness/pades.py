"""A report with visible signatures (PAdES): where they stand, what they must be, and everything that can be wrong with them.

It is for a PDF that lies beside its package. Its first revision must be the package's report, byte for byte; what follows may
only be the three signatures in their places, in their order, and what keeps them verifiable. "Every signature in the file is
valid" is not enough: an unsigned copy and one cut back before 批准 hold no invalid signature, so the exact set is demanded.
It must never fetch anything, take a certificate's word for who somebody is, or stop at the first finding it can get past.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.harness.bag import ENVELOPE, PackageContents
from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.digests import Digests, measure
from yanshou.harness.envelope import Role
from yanshou.harness.trust import BEIJING, PdfTrust

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate
    from pyhanko.pdf_utils.generic import Reference
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.pdf_utils.rw_common import PdfHandler
    from pyhanko.sign.validation import EmbeddedPdfSignature
    from pyhanko_certvalidator import ValidationContext

ROLES = (Role.TESTER, Role.REVIEWER, Role.APPROVER)
"""Who signs a report, in this order. A field is named by the role's word."""
REPORT = "data/report/report.pdf"
SIGNED = "report.signed.pdf"
"""The name of the signed PDF in the statement that pins it, whatever its file is called."""
PLACES = "signing-places.json"
WIDGET = frozenset({"/Type", "/Subtype", "/FT", "/T", "/F", "/Rect", "/P", "/AP", "/V"})
"""What a signature field consists of. Actions and scripts are not among it."""
ORIGINAL = "向交付方要原件，或查明改动"


@dataclass(frozen=True)
class Place:
    """A rectangle on a page (counted from 0), in points from the page's lower left corner."""

    page: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class PdfSignature:
    """A signature that is in the file. `certificate`: SHA-256 of its DER, hex; `time`: of its RFC 3161 token, if it has one."""

    role: Role
    name: str
    certificate: str
    time: datetime | None
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        at = f"（时间戳 {self.time.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}）" if self.time else ""
        return f"{self.role.word} {self.name}{at}"

    def to_json(self) -> dict[str, Json]:
        """What the outer envelope repeats of it."""
        return {"role": self.role.value, "name": self.name, "certificate": self.certificate}


@dataclass(frozen=True)
class PdfReport:
    """What was found in a signed report. `document_time`: of the last document time stamp, if there is one."""

    signatures: tuple[PdfSignature, ...]
    document_time: datetime | None
    general: tuple[Problem, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong."""
        return (*self.general, *(p for s in self.signatures for p in s.problems))

    @property
    def content(self) -> dict[str, Json]:
        """The set of signatures as the outer envelope states it."""
        return {
            "signatures": [s.to_json() for s in self.signatures],
            "document_timestamp": self.document_time is not None,
        }


def signed_path(package: Path) -> Path:
    """Where the signed PDF of a package lies."""
    return package.with_name(f"{package.stem}.signed.pdf")


def pin_path(pdf: Path) -> Path:
    """Where the envelope that pins a signed PDF lies."""
    return pdf.with_name(f"{pdf.name}.dsse.json")


def pinned_subjects(contents: PackageContents, pdf: bytes) -> dict[str, Digests]:
    """What the outer envelope is over: the package with its signatures, and the signed PDF."""
    envelope = {ENVELOPE: measure(contents.envelope or b"").digests}
    return {**contents.subjects, **envelope, SIGNED: measure(pdf).digests}


def certificate_id(certificate: Certificate) -> str:
    """SHA-256 of a certificate's DER, hex."""
    return str(certificate.sha256.hex())


def common_name(certificate: Certificate) -> str:
    """Whose certificate it says it is."""
    return str(certificate.subject.native.get("common_name") or certificate.subject.human_friendly)


def certificates(pems: Iterable[str]) -> list[Certificate]:
    """Certificates of texts that are known to be PEM."""
    from pyhanko.keys import load_certs_from_pemder_data

    return [c for pem in pems for c in load_certs_from_pemder_data(pem.encode())]


@contextmanager
def quiet() -> Iterator[None]:
    """pyHanko logs each failed validation with its traceback; people get one line from us instead."""
    loggers = [getLogger(name) for name in ("pyhanko", "pyhanko_certvalidator")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def read_pdf(data: bytes) -> PdfFileReader:
    """A reader of a PDF. Raises UserError (UNVERIFIED) where it is none."""
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.pdf_utils.reader import PdfFileReader

    try:
        return PdfFileReader(BytesIO(data))
    except (PdfError, ValueError, RecursionError) as error:
        problem = Problem("V-D01", f"PDF 读不出：{error}", ORIGINAL)
        raise UserError(problem, ExitCode.UNVERIFIED) from None


def places(report: bytes) -> dict[Role, Place]:
    """Where each role signs an unsigned report, by the attachment that its layout left. Raises UserError where it has none."""
    reader = read_pdf(report)
    for specification in (entry.get_object() for entry in _under(reader.root, "/AF", ())):
        if _under(specification, "/UF", "") == PLACES:
            found = json.loads(specification["/EF"]["/F"].data)
            by_word = {role.word: role for role in ROLES}
            return {by_word[each["role"]]: _place(reader, each) for each in found if each["role"] in by_word}
    text = "报告里没有签署栏"
    raise UserError(Problem("S-D02", text, "只有 mode: acceptance 的报告有签署栏；旧版本写的报告重新 yanshou report"))


def _place(reader: PdfFileReader, each: Mapping[str, Json]) -> Place:
    number = each["page"] - 1
    page: Any = _page(reader, number).get_object()
    x, top = each["x"], float(page["/MediaBox"][3]) - each["y"]
    return Place(number, (x, top - each["height"], x + each["width"], top))


def _page(reader: PdfHandler, number: int) -> Reference:
    """The page with this number, counted from 0."""
    container, index, _ = reader.find_page_container(number)  # type: ignore[no-untyped-call]
    reference: Reference = container.get_object()["/Kids"].raw_get(index).reference
    return reference


def examine(pdf: bytes, base: bytes, trust: PdfTrust | None, sealed: datetime) -> PdfReport:
    """Everything about `pdf`, whose first revision should be `base`.

    `sealed`: when the signers say it was finished; certificates without a trusted time stamp are judged at this moment.
    Without `trust` only the arithmetic of the signatures is checked, not whose they are.
    """
    if pdf == base:
        problem = Problem("V-D02", "PDF 没有签名：只是数据包里的那份报告", "给出签过名的 PDF")
        return PdfReport((), None, (problem,))
    general: list[Problem] = []
    if not pdf.startswith(base):
        general.append(Problem("V-D03", "PDF 的第一个修订不是数据包里的报告", "给出与数据包相配的 PDF"))
    try:
        with quiet():
            return _examine(read_pdf(pdf), base, trust, sealed, general)
    except UserError as error:
        return PdfReport((), None, (*general, *error.problems))
    except Exception as error:  # a damaged file can fail anywhere in the reader, in ways that it does not promise
        problem = Problem("V-D01", f"PDF 读不出（{type(error).__name__}：{error}）", ORIGINAL)
        return PdfReport((), None, (*general, problem))


def _examine(
    reader: PdfFileReader, base: bytes, trust: PdfTrust | None, sealed: datetime, general: list[Problem]
) -> PdfReport:
    regular, stamps = reader.embedded_regular_signatures, reader.embedded_timestamp_signatures
    expected = places(base)
    general += _field_problems(reader, expected, [s.field_name for s in stamps])
    words = {role.word: role for role in ROLES}
    order = [s.field_name for s in regular]
    general += [
        Problem("V-D04", f"{word}栏没有签名：还没有签，或被切掉", f"由本人签名，或{ORIGINAL}")
        for word in words
        if word not in order
    ]
    if order != [word for word in words if word in order] or not _certifies(regular):
        general.append(
            Problem("V-D05", "签名的次序不对，或首签没有限定以后的改动", f"按检测、审核、批准的次序签；{ORIGINAL}")
        )
    original = read_pdf(base)
    first = regular[0].signed_revision if regular else None
    if first != original.xrefs.total_revisions or _repainted(reader, original, expected[ROLES[0]].page):
        general.append(Problem("V-D08", "首签之前报告被改动（页面、附件或批注）", ORIGINAL))
    signatures = tuple(
        _signature(reader, s, words[s.field_name], trust, sealed) for s in regular if s.field_name in words
    )
    document_time, problems = _document_time(reader, stamps, regular, trust)
    return PdfReport(signatures, document_time, (*general, *problems))


def _field_problems(reader: PdfFileReader, expected: Mapping[Role, Place], stamps: list[str]) -> Iterator[Problem]:
    """Where the signature fields are not exactly the expected ones in their places."""
    from pyhanko.sign.fields import enumerate_sig_fields

    pages = {role.word: place for role, place in expected.items()}
    for name, _, reference in enumerate_sig_fields(reader):
        if name in stamps:
            continue
        if name not in pages:
            yield Problem("V-D05", f"有多余的签名栏 {name}", ORIGINAL)
            continue
        place = pages[name]
        widget = reference.get_object()
        shown = [float(v) for v in _under(widget, "/Rect", ())]
        on_page = widget.raw_get("/P").idnum if "/P" in widget else None
        right_page = on_page == _page(reader, place.page).idnum
        if not set(widget) <= WIDGET:
            yield Problem("V-D06", f"{name}栏带有签名以外的内容（如动作）", ORIGINAL)
        if not right_page or len(shown) != 4 or any(abs(a - b) > 1 for a, b in zip(shown, place.box, strict=True)):
            yield Problem("V-D06", f"{name}栏不在报告印的位置上", ORIGINAL)


def _certifies(regular: list[EmbeddedPdfSignature]) -> bool:
    """Whether the first signature, and no other, forbids changes but filling in the fields."""
    from pyhanko.sign.fields import MDPPerm

    permissions = [s.docmdp_level for s in regular]
    return not regular or (permissions[0] is MDPPerm.FILL_FORMS and not any(permissions[1:]))


def _repainted(reader: PdfFileReader, base: PdfFileReader, page: int) -> bool:
    """Whether the first revision after the report does more than adding the signature fields to `page`.

    What a signature permits later is judged from that signature on; this is about what the first signer may have slipped in
    beneath it. A new object shows only where an old one refers to it, so the old ones that changed are what is looked at.
    """
    first = base.xrefs.total_revisions
    old, new = reader.get_historical_resolver(first - 1), reader.get_historical_resolver(first)
    on = _page(base, page)
    info, metadata = base.trailer_view.raw_get("/Info"), base.root.raw_get("/Metadata")
    known = {ref.idnum for n in range(first) for ref in reader.xrefs.explicit_refs_in_revision(n)}
    changed = {ref.idnum for ref in reader.xrefs.explicit_refs_in_revision(first)} & known
    if not changed <= {on.idnum, info.idnum, metadata.idnum, base.root_ref.idnum}:
        return True
    (root, later_root), (before, after) = ([h.get_object(ref) for h in (old, new)] for ref in (base.root_ref, on))
    form, permissions = _under(later_root, "/AcroForm", {}), _under(later_root, "/Perms", {})
    widgets = [*_under(before, "/Annots", ()), *_under(form, "/Fields", ())]
    return not (
        _same(root, later_root, {"/AcroForm", "/Perms", "/Extensions", "/Version"})
        and _same(before, after, {"/Annots"})
        and set(form) <= {"/Fields", "/SigFlags"}
        and set(permissions) <= {"/DocMDP"}
        and [_written(w) for w in widgets] == [_written(w) for w in _under(after, "/Annots", ())]
    )


def _under(dictionary: Any, key: str, default: Any) -> Any:
    """The value itself, where the dictionary may hold a reference to it (`get` would give the reference)."""
    return dictionary[key] if key in dictionary else default  # noqa: SIM401  see above


def _same(old: Any, new: Any, but: set[str]) -> bool:
    """Whether two dictionaries are the same, apart from some keys."""
    keys = {*old, *new} - but
    return all(key in old and key in new and _written(old.raw_get(key)) == _written(new.raw_get(key)) for key in keys)


def _written(value: Any) -> bytes:
    """A PDF value as it stands in a file; a reference stays one."""
    out = BytesIO()
    value.write_to_stream(out, None)
    return out.getvalue()


def _context(reader: PdfFileReader, roots: Iterable[str], moment: datetime) -> ValidationContext:
    """Trust in `roots` only, at `moment`, with the revocation data that the file brings."""
    from pyhanko.sign.validation.dss import DocumentSecurityStore
    from pyhanko.sign.validation.errors import NoDSSFoundError
    from pyhanko_certvalidator import ValidationContext

    settings: dict[str, Any] = {
        "trust_roots": certificates(roots), "moment": moment, "allow_fetching": False,
        "revocation_mode": "soft-fail", "retroactive_revinfo": True,
    }  # fmt: skip
    try:
        return DocumentSecurityStore.read_dss(reader).as_validation_context(settings)
    except NoDSSFoundError:
        return ValidationContext(**settings)


def _token_time(signature: EmbeddedPdfSignature) -> datetime | None:
    """The time that a signature's own RFC 3161 token states."""
    from pyhanko.sign.general import NonexistentAttributeError, find_unique_cms_attribute

    try:
        token = find_unique_cms_attribute(signature.signer_info["unsigned_attrs"], "signature_time_stamp_token")
    except NonexistentAttributeError:
        return None
    return _stated(token["content"])


def _stated(token: Any) -> datetime:
    moment: datetime = token["encap_content_info"]["content"].parsed["gen_time"].native
    return moment


def _signature(
    reader: PdfFileReader, embedded: EmbeddedPdfSignature, role: Role, trust: PdfTrust | None, sealed: datetime
) -> PdfSignature:
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko.sign.validation.status import SignatureCoverageLevel

    time, certificate = _token_time(embedded), embedded.signer_cert
    name, known = common_name(certificate), certificate_id(certificate)
    roots, authorities = (trust.roots, trust.tsa) if trust else ((), ())
    moment = time if time and authorities else sealed  # a time that nobody vouches for proves nothing
    # What the certifying signature permits is judged over all later revisions, which leaves nothing for the others to judge.
    certifies = embedded.signed_revision == min(s.signed_revision for s in reader.embedded_signatures)
    status = validate_pdf_signature(
        embedded,
        _context(reader, roots, moment),
        _context(reader, authorities, time or sealed),
        skip_diff=not certifies,
    )
    problems: list[Problem] = []
    who = f"{role.word} {name}"
    if not (status.intact and status.valid):
        problems.append(Problem("V-D07", f"{who}：签名不成立", ORIGINAL))
    elif status.coverage < SignatureCoverageLevel.ENTIRE_REVISION or (certifies and not status.docmdp_ok):
        problems.append(Problem("V-D08", f"{who}：签名之后文件被改动，或签名没有盖住全文", ORIGINAL))
    if certificate.public_key.algorithm != "rsa":
        problems.append(Problem("V-D09", f"{who}：不是 RSA 证书", "报告用 RSA 证书签（PDF/A-3）"))
    stamp = status.timestamp_validity
    if trust is not None:
        if not status.trusted:
            problems.append(
                Problem("V-D10", f"{who}：证书链不到信任文件里的根，或证书当时已失效、已吊销", "核实签名人与证书")
            )
        problems += trust.objections(role, name, known, moment)
        if trust.tsa and (stamp is None or not (stamp.intact and stamp.valid and stamp.trusted)):
            problems.append(
                Problem("V-D12", f"{who}：没有可信的时间戳", "签名时给出 --tsa，并用信任文件认可的时间戳机构")
            )
    elif stamp is not None and not (stamp.intact and stamp.valid):
        problems.append(Problem("V-D12", f"{who}：时间戳不成立", ORIGINAL))
    return PdfSignature(role, name, known, time, tuple(problems))


def _document_time(
    reader: PdfFileReader,
    stamps: list[EmbeddedPdfSignature],
    regular: list[EmbeddedPdfSignature],
    trust: PdfTrust | None,
) -> tuple[datetime | None, list[Problem]]:
    """The last document time stamp, and what is wrong with it. Where the trust file names authorities it is demanded."""
    from pyhanko.sign.validation import validate_pdf_timestamp
    from pyhanko.sign.validation.status import SignatureCoverageLevel

    if not stamps or not regular or stamps[-1].signed_revision < regular[-1].signed_revision:
        missing = Problem("V-D13", "批准之后没有文件时间戳：还没有，或被切掉", f"批准时给出 --tsa，或{ORIGINAL}")
        return None, [missing] if trust is not None and trust.tsa else []
    last = stamps[-1]
    time = _stated(last.signed_data)
    status = validate_pdf_timestamp(last, _context(reader, trust.tsa if trust else (), time), skip_diff=True)
    good = status.intact and status.valid and status.coverage >= SignatureCoverageLevel.ENTIRE_REVISION
    if not good or (trust is not None and bool(trust.tsa) and not status.trusted):
        return time, [Problem("V-D13", "文件时间戳不成立，或时间戳机构不在信任文件里", ORIGINAL)]
    return time, []
