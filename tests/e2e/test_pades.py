"""Signatures on the report itself: made in three ways, read by two programs, and every way to tamper with them named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import PdfSignatureMetadata, SimpleSigner
from pyhanko.sign import PdfSigner as Layout
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter, append_signature_field

from tests.e2e.support import YANSHOU
from tests.e2e.test_acceptance import PEOPLE
from tests.pades_support import (
    PASSPHRASE,
    Authority,
    Person,
    authority,
    formal_package,
    pdf_trust,
    person,
    time_authority,
)
from yanshou.harness.bag import make_bag, open_package, write_package
from yanshou.harness.basics import UserError
from yanshou.harness.envelope import DEMO, Role, Signer, sign, statement
from yanshou.harness.evidence import utc_now
from yanshou.harness.keys import load_private
from yanshou.harness.locking import FileLock
from yanshou.harness.pades import REPORT, ROLES, PdfReport, Place, examine, pin_path, places, signed_path
from yanshou.harness.pades_sign import (
    _fill,
    _lay_out,
    export_bytes,
    from_p12,
    import_signature,
    pin,
    read_certificates,
    sign_pdf,
    stamping,
)
from yanshou.harness.trust import PdfTrust, Trust, load_trust
from yanshou.harness.verify import Verification, _verify_pdf, verify
from yanshou.reports.stamp import render_stamp

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711"
MAKE_CERTIFICATE = """
import sys, pkcs11
from pathlib import Path
from pkcs11.util.x509 import decode_x509_certificate
library, token, pin, file = sys.argv[1:]
with pkcs11.lib(library).get_token(token_label=token).open(rw=True, user_pin=pin) as session:
    attributes = decode_x509_certificate(Path(file).read_bytes())
    session.create_object({**attributes, pkcs11.Attribute.TOKEN: True, pkcs11.Attribute.LABEL: "签名"})
"""
pytestmark = pytest.mark.skipif(shutil.which("pdfsig") is None, reason="poppler-utils is not installed")


def cli(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*YANSHOU, *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def answered(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Stage:
    """A formal package, whoever can sign its report, and the finished PDF as three ways of signing made it."""

    folder: Path
    package: Path
    base: bytes
    root: Authority
    people: dict[Role, Person]
    url: str
    trust: Path
    trust_before: Path

    @property
    def pdf(self) -> bytes:
        return signed_path(self.package).read_bytes()

    @property
    def loaded(self) -> Trust:
        return load_trust(self.trust)

    @property
    def rules(self) -> PdfTrust:
        assert self.loaded.pdf is not None
        return self.loaded.pdf

    def signer(self, role: Role, who: Person | None = None, root: Authority | None = None) -> SimpleSigner:
        path = self.folder / f"{role}-{id(who)}.p12"
        return from_p12((who or self.people[role]).write_p12(path, root or self.root), PASSPHRASE)

    def copied(self, folder: Path, pdf: bytes, *, pinned: bool = True) -> Path:
        """The package in another folder, with `pdf` beside it; its path."""
        package = folder / self.package.name
        shutil.copy(self.package, package)
        signed_path(package).write_bytes(pdf)
        if pinned:
            shutil.copy(pin_path(signed_path(self.package)), pin_path(signed_path(package)))
        return package


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not SOFTHSM.exists():
        pytest.skip("softhsm2 is not installed")
    folder = tmp_path_factory.mktemp("pades")
    package, trust_before = formal_package(folder)
    base = (open_package(package, folder / "opened").root / REPORT).read_bytes()
    root, clocks = authority("某电子认证机构"), authority("某时间戳机构")
    with time_authority(clocks, root) as url:
        people = {role: person(PEOPLE[role], root, crl=f"{url}crl") for role in ROLES}
        trust = pdf_trust(trust_before, {role.value: who for role, who in people.items()}, root, clocks)
        made = Stage(folder, package, base, root, people, url, trust, trust_before)
        sign_three_ways(made)
        yield made


def key_pem(who: Person, path: Path) -> Path:
    path.write_bytes(who.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def certificate_pem(who: Person, path: Path) -> Path:
    path.write_bytes(who.certificate.public_bytes(Encoding.PEM))
    return path


def token(folder: Path, who: Person) -> dict[str, str]:
    """A softhsm2 token with key and certificate under one label; the environment that finds it."""
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    everything = {**os.environ, **environment}
    start = ["softhsm2-util", "--init-token", "--free", "--label", "令牌", "--so-pin", "0000", "--pin", PIN]
    load = ["softhsm2-util", "--import", str(key_pem(who, folder / "token-key.pem")), "--token", "令牌"]
    load += ["--label", "签名", "--id", "01", "--pin", PIN]
    for command in (start, load):
        subprocess.run(command, check=True, capture_output=True, env=everything)
    der = folder / "token.der"
    der.write_bytes(who.certificate.public_bytes(Encoding.DER))
    subprocess.run([sys.executable, "-c", MAKE_CERTIFICATE, SOFTHSM, "令牌", PIN, der], check=True, env=everything)
    return environment


def sign_three_ways(stage: Stage) -> None:
    """检测 by a key file, 审核 by a token, 批准 elsewhere by openssl; then the envelope. All on the command line."""
    folder, package = stage.folder, stage.package
    common = ("--tsa", stage.url, "--trust", stage.trust, "--json")
    p12 = stage.people[Role.TESTER].write_p12(folder / "tester.p12", stage.root)
    done = cli("pdf", "sign", folder / "case", "--role", "tester", "--p12", p12, *common, YANSHOU_PASSPHRASE=PASSPHRASE)
    assert answered(done)["missing"] == ["reviewer", "approver"]

    chain = folder / "root.pem"
    chain.write_text(stage.root.pem)
    environment = token(folder, stage.people[Role.REVIEWER])
    by_token = ("pdf", "sign", package, "--role", "reviewer", "--pkcs11", SOFTHSM, "--chain", chain, "--token", "令牌")
    wrong = cli(*by_token, "--label", "签名", *common, YANSHOU_PIN="0815", **environment)
    assert (wrong.returncode, "S-D07" in wrong.stderr) == (2, True), wrong.stderr
    done = cli(*by_token, "--label", "签名", *common, YANSHOU_PIN=PIN, **environment)
    assert answered(done)["missing"] == ["approver"]

    approver = stage.people[Role.APPROVER]
    own, waiting = certificate_pem(approver, folder / "approver.pem"), folder / "to-sign.bin"
    arguments = ("--role", "approver", "--certificate", own, "--chain", chain, "-o", waiting, "--json")
    exported = answered(cli("pdf", "export", package, *arguments))
    assert exported["sha256"] == hashlib.sha256(waiting.read_bytes()).hexdigest()
    signature = folder / "signature.bin"
    key = key_pem(approver, folder / "approver-rsa.pem")
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature, waiting], check=True)
    done = answered(cli("pdf", "import", package, "--signature", signature, *common))
    assert (done["missing"], done["document_timestamp"]) == ([], True)
    assert not list(package.parent.glob("*pending*"))

    sealed = cli("pdf", "seal", package, "--role", "approver", "--key", folder / "approver", "--trust", stage.trust)
    assert (sealed.returncode, "(1/1)" in sealed.stdout) == (0, True), sealed.stderr


def codes(report: PdfReport) -> set[str]:
    return {p.code for p in report.problems}


def examined(stage: Stage, pdf: bytes, rules: PdfTrust | None = None) -> set[str]:
    return codes(examine(pdf, stage.base, rules or stage.rules, datetime.now(UTC)))


def found_in(package: Path, trust: Trust | None) -> set[str]:
    """What `verify` says about the PDF beside an intact package; the package itself is not replayed each time."""
    found = Verification()
    with tempfile.TemporaryDirectory() as scratch:
        _verify_pdf(signed_path(package), open_package(package, Path(scratch)), trust, found)
    return {p.code for p in found.problems}


def revisions(pdf: bytes) -> list[bytes]:
    """The file as it was after each of its revisions."""
    cuts = [i for i in range(len(pdf)) if pdf.startswith(b"%%EOF", i)]
    return [pdf[: i + 5 + (pdf[i + 5 : i + 6] == b"\n")] for i in cuts]


def painted(pdf: bytes, page: int = 1) -> bytes:
    """The file with another revision that paints over a page, as any PDF editor adds one."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    paint_on(writer, page)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def paint_on(writer: IncrementalPdfFileWriter, page: int) -> None:
    from pyhanko.pdf_utils.content import RawContent
    from pyhanko.pdf_utils.layout import BoxConstraints

    shade = RawContent(b"0.9 g 100 300 400 200 re f", box=BoxConstraints(width=595, height=842))
    shade.set_writer(writer)
    content = writer.add_object(shade.as_form_xobject())
    from pyhanko.pdf_utils import generic

    resources = generic.DictionaryObject(
        {generic.pdf_name("/XObject"): generic.DictionaryObject({generic.pdf_name("/Shade"): content})}
    )
    stream = writer.add_object(generic.StreamObject(stream_data=b"q /Shade Do Q"))
    writer.add_stream_to_page(page, stream, resources)


# ---- the honest file


def test_three_ways_of_signing_make_one_file_that_holds(stage: Stage) -> None:
    found = verify(stage.package, stage.loaded)
    assert found.problems == []
    line = next(text for text in found.checked if text.startswith("PDF 以"))
    assert all(f"{role.word} {PEOPLE[role]}（时间戳" in line for role in ROLES)
    assert "文件时间戳成立" in line
    done = cli("verify", signed_path(stage.package), "--trust", stage.trust)
    assert (done.returncode, line in done.stdout) == (0, True), done.stdout
    assert stage.pdf.startswith(stage.base)


def test_pdfsig_agrees(stage: Stage) -> None:
    out = subprocess.run(
        ["pdfsig", "-nocert", signed_path(stage.package)], capture_output=True, text=True, check=False
    ).stdout
    parts = out.split("Signature #")[1:]
    assert len(parts) == 4
    for role, part in zip(ROLES, parts, strict=False):
        assert f"Signature Field Name: {role.word}" in part
        assert f"Signer Certificate Common Name: {PEOPLE[role]}" in part
        assert "Signature Validation: Signature is Valid." in part
    assert "ETSI.CAdES.detached" in parts[0]
    info = subprocess.run(["pdfinfo", signed_path(stage.package)], capture_output=True, text=True, check=True).stdout
    assert "PDF version:     1.7" in info  # RSA does not raise it, so PDF/A-3 stays possible
    assert b"<pdfaid:part>3</pdfaid:part>" in stage.base


def test_openssl_reads_the_time_of_a_signature(stage: Stage, tmp_path: Path) -> None:
    info = PdfFileReader(BytesIO(stage.pdf)).embedded_regular_signatures[0].signer_info
    (attribute,) = [a for a in info["unsigned_attrs"] if a["type"].native == "signature_time_stamp_token"]
    token_file, roots, signed = tmp_path / "token", tmp_path / "roots.pem", tmp_path / "signed"
    token_file.write_bytes(attribute["values"][0].dump())
    roots.write_text("".join(stage.rules.tsa))
    signed.write_bytes(info["signature"].native)
    command = ["openssl", "ts", "-verify", "-in", token_file, "-token_in", "-data", signed, "-CAfile", roots]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout, done.stderr


def test_the_stamps_stand_on_the_signing_page_in_chinese(stage: Stage) -> None:
    (number,) = {place.page + 1 for place in places(stage.base).values()}
    command = ["pdftotext", "-f", str(number), "-l", str(number), "-layout", signed_path(stage.package), "-"]
    text = "".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert all(f"{PEOPLE[role]}{role.word}电子签名" in text for role in ROLES)
    assert all(stage.people[role].id[:16] in text for role in ROLES)


@pytest.mark.parametrize(
    "name", ["丁", "Zhang San-Li Wei 工程师（检测公司武汉分部）", "长" * 64, '#panic("x") *b* $x$']
)
def test_a_stamp_is_one_page_with_the_whole_name(tmp_path: Path, name: str) -> None:
    shown = {"role": "检测", "time": "2026-01-01 08:00:00", "certificate": "0" * 16}
    (tmp_path / "stamp.pdf").write_bytes(render_stamp(name=name, width=215.4, height=48.2, **shown))
    out = subprocess.run(
        ["pdftotext", "-raw", tmp_path / "stamp.pdf", "-"], capture_output=True, check=True
    ).stdout.decode()
    assert out.count("\f") == 1
    assert "".join(name.split()) in "".join(out.split())


def test_proofs_of_every_certificate_are_in_the_file(stage: Stage) -> None:
    store = PdfFileReader(BytesIO(stage.pdf)).root["/DSS"]
    assert len(store["/VRI"]) >= len(ROLES)
    assert len(store["/CRLs"]) >= 1
    assert len(store["/Certs"]) >= len(ROLES) + 2


# ---- what is done to it


def test_an_unsigned_copy(stage: Stage, tmp_path: Path) -> None:
    assert examined(stage, stage.base) == {"V-D02"}
    assert found_in(stage.copied(tmp_path, stage.base), stage.loaded) == {"V-D02", "V-D15", "V-D18"}
    loose = tmp_path / "loose"
    loose.mkdir()
    assert found_in(stage.copied(loose, stage.base, pinned=False), stage.loaded) == {"V-D02", "V-D14"}


def test_every_cut_is_noticed(stage: Stage, tmp_path: Path) -> None:
    whole = revisions(stage.pdf)
    assert whole[-1] == stage.pdf
    seen = [examined(stage, cut) for cut in whole[:-1]]
    for cut in (whole[2], whole[-2]):  # 批准 cut off, and the last revision alone
        assert "V-D15" in found_in(stage.copied(tmp_path, cut), stage.loaded)
    assert seen[0] == {"V-D02"}
    assert seen[1] == seen[2] == {"V-D04", "V-D13"}  # cut back before 批准: what is left holds, and is not the set
    assert seen[3] == {"V-D13"}
    assert seen[-1] == set()  # only proofs are missing: nothing but the envelope can tell


def test_a_page_painted_over(stage: Stage, tmp_path: Path) -> None:
    attacked = painted(stage.pdf)
    package = stage.copied(tmp_path, attacked)
    out = subprocess.run(
        ["pdfsig", "-nocert", signed_path(package)], capture_output=True, text=True, check=False
    ).stdout
    assert out.count("Signature is Valid.") == 3  # which is why another reader is asked
    assert "V-D08" in examined(stage, attacked)
    assert {"V-D08", "V-D15"} <= found_in(package, stage.loaded)
    assert "V-D08" in codes(examine(attacked, stage.base, None, datetime.now(UTC)))  # without a trust file too


def certified(
    stage: Stage, pdf: bytes, spoil: Callable[[IncrementalPdfFileWriter], None], where: dict[Role, Place]
) -> bytes:
    """What a first signer could make who does not use this tool."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    spoil(writer)
    for role, place in where.items():
        append_signature_field(writer, SigFieldSpec(role.word, on_page=place.page, box=place.box))
    meta = PdfSignatureMetadata(
        field_name="检测", certify=True, docmdp_permissions=MDPPerm.FILL_FORMS, subfilter=SigSeedSubFilter.PADES
    )
    return Layout(meta, stage.signer(Role.TESTER)).sign_pdf(writer).getvalue()


def test_what_the_first_signer_slips_in_beneath_the_signature(stage: Stage) -> None:
    where = places(stage.base)
    clock = replace(stage.rules, tsa=())
    honest = certified(stage, stage.base, lambda _: None, where)
    assert examined(stage, honest, clock) == {"V-D04"}
    assert "V-D06" in examined(stage, honest.replace(b"/F 132", b"/A 132"), clock)  # an action, say
    assert examined(stage, certified(stage, stage.base, lambda w: paint_on(w, 1), where), clock) == {"V-D04", "V-D08"}
    assert examined(stage, certified(stage, painted(stage.base), lambda _: None, where), clock) == {"V-D04", "V-D08"}
    signing_page = where[Role.TESTER].page
    spoilt = certified(stage, stage.base, lambda w: paint_on(w, signing_page), where)
    assert examined(stage, spoilt, clock) == {"V-D04", "V-D08"}
    large = {**where, Role.TESTER: Place(0, (0, 0, 595, 842))}  # a "stamp" over the whole cover
    assert "V-D06" in examined(stage, certified(stage, stage.base, lambda _: None, large), clock)

    def another(writer: IncrementalPdfFileWriter) -> None:
        append_signature_field(writer, SigFieldSpec("总监", on_page=signing_page, box=(10, 10, 60, 60)))

    assert "V-D05" in examined(stage, certified(stage, stage.base, another, where), clock)


def test_a_bit_of_the_report_is_flipped(stage: Stage) -> None:
    at = stage.base.index(b"stream") + 40
    flipped = stage.pdf[:at] + bytes([stage.pdf[at] ^ 1]) + stage.pdf[at + 1 :]
    assert "V-D03" in examined(stage, flipped)
    at = stage.pdf.index(b"/Contents <3082") + 4000
    broken = stage.pdf[:at] + (b"0" if stage.pdf[at : at + 1] != b"0" else b"1") + stage.pdf[at + 1 :]
    assert examined(stage, broken) & {"V-D01", "V-D07"}
    assert examined(stage, b"%PDF-1.7\nnothing") == {"V-D03", "V-D01"}


def layered(stage: Stage, signers: Sequence[tuple[Role, SimpleSigner]], pdf: bytes = b"") -> bytes:
    """`pdf` with signatures without times, by whoever they are said to be."""
    pdf = pdf or stage.base
    for role, signer in signers:
        pdf = _fill(_lay_out(pdf, places(stage.base), role, signer), signer, None)
    return pdf


def test_the_right_fields_by_the_wrong_people(stage: Stage) -> None:
    clock = replace(stage.rules, tsa=())
    tester, reviewer, approver = ((role, stage.signer(role)) for role in ROLES)
    two = layered(stage, [tester, reviewer])
    assert examined(stage, two, clock) == {"V-D04"}

    def third(who: Person, root: Authority = stage.root) -> set[str]:
        return examined(stage, layered(stage, [(Role.APPROVER, stage.signer(Role.APPROVER, who, root))], two), clock)

    right = layered(stage, [approver], two)
    assert examined(stage, right, clock) == set()
    assert examined(stage, right) == {"V-D12", "V-D13"}  # an authority of time is trusted, and none was asked
    assert codes(examine(right, stage.base, clock, datetime.now(UTC) + timedelta(days=900))) == {"V-D10"}
    assert third(stage.people[Role.REVIEWER]) == {"V-D11"}  # known, in a role that is not theirs
    assert third(person(PEOPLE["approver"], stage.root)) == {"V-D11"}  # the same name on another certificate
    own = authority("自立门户")
    assert third(person(PEOPLE["approver"], own), own) == {"V-D10", "V-D11"}
    assert "V-D09" in third(person(PEOPLE["approver"], stage.root, curve=True))
    assert examined(stage, layered(stage, [tester, approver, reviewer]), clock) == {"V-D05"}


def test_a_foreign_authority_of_time(stage: Stage) -> None:
    rules = replace(stage.rules, tsa=(stage.root.pem,))
    assert {"V-D12", "V-D13"} <= examined(stage, stage.pdf, rules)
    later = datetime.now(UTC) + timedelta(days=900)
    assert (
        codes(examine(stage.pdf, stage.base, stage.rules, later)) == set()
    )  # proven: the certificates were valid then
    nobody = replace(stage.rules, tsa=())  # a time that nobody vouches for does not rescue an expired certificate
    assert codes(examine(stage.pdf, stage.base, nobody, later)) == {"V-D10"}


def test_the_envelope_belongs_to_this_pdf_this_package_and_these_people(stage: Stage, tmp_path: Path) -> None:
    package = stage.copied(tmp_path, stage.pdf)
    without = load_trust(stage.trust_before)
    assert found_in(package, without) == {"V-D17"}
    assert found_in(package, None) == set()
    contents = open_package(package, tmp_path / "opened")
    envelope = pin_path(signed_path(package))
    stranger = load_private(stage.folder / "tester")
    honest = json.loads(envelope.read_bytes())
    from yanshou.harness.envelope import SIGNED_REPORT, read_envelope
    from yanshou.harness.pades import pinned_subjects

    content = dict(read_envelope(envelope.read_bytes()).statement.predicate)
    subjects = pinned_subjects(contents, stage.pdf)
    forged = statement(subjects, SIGNED_REPORT, content, [Signer(Role.TESTER, stranger.public)], utc_now())
    envelope.write_bytes(sign(forged, stranger, Role.TESTER).to_bytes())
    assert found_in(package, stage.loaded) == {"V-S07", "V-S08"}
    approver = load_private(stage.folder / "approver")
    other = {**subjects, "package.dsse.json": subjects["bagit.txt"]}
    forged = statement(other, SIGNED_REPORT, content, [Signer(Role.APPROVER, approver.public)], utc_now())
    envelope.write_bytes(sign(forged, approver, Role.APPROVER).to_bytes())
    assert found_in(package, stage.loaded) == {"V-D16"}
    envelope.write_text(json.dumps(honest))
    assert "V-S01" in found_in(package, stage.loaded)
    envelope.unlink()
    assert found_in(package, stage.loaded) == {"V-D14"}


def test_a_pdf_given_by_name_is_demanded(stage: Stage, tmp_path: Path) -> None:
    package = stage.copied(tmp_path, stage.pdf)
    elsewhere = tmp_path / "elsewhere.pdf"
    signed_path(package).rename(elsewhere)
    missing = cli("verify", package, "--pdf", tmp_path / "none.pdf", "--trust", stage.trust)
    assert (missing.returncode, "V-D01" in missing.stdout) == (4, True), missing.stdout
    assert {p.code for p in verify(package, stage.loaded, elsewhere).problems} == {"V-D14"}
    assert verify(package, stage.loaded).problems == []  # nothing beside it: the package alone
    assert "V-D16" in {p.code for p in verify(stage.folder / "case", stage.loaded, elsewhere).problems}


# ---- what is not signed


def refused(code: str, act: Callable[[], object]) -> None:
    with pytest.raises(UserError) as caught:
        act()
    assert [p.code for p in caught.value.problems] == [code], caught.value.problems


@pytest.fixture
def fresh(stage: Stage, tmp_path: Path) -> Path:
    """The package alone."""
    return Path(shutil.copy(stage.package, tmp_path))


def test_out_of_turn(stage: Stage, fresh: Path) -> None:
    refused("S-D11", lambda: sign_pdf(fresh, Role.REVIEWER, stage.signer(Role.REVIEWER)))
    refused("S-D10", lambda: sign_pdf(fresh, Role.WITNESS, stage.signer(Role.TESTER)))
    assert not signed_path(fresh).exists()
    signed = sign_pdf(fresh, Role.TESTER, stage.signer(Role.TESTER))
    assert signed.missing == ROLES[1:]
    refused("S-D11", lambda: sign_pdf(fresh, Role.TESTER, stage.signer(Role.TESTER)))
    refused("S-D11", lambda: sign_pdf(fresh, Role.APPROVER, stage.signer(Role.APPROVER)))
    with pytest.raises(UserError, match="V-D04"):
        pin(fresh, load_private(stage.folder / "approver"), Role.APPROVER)


def test_nothing_changes_when_it_cannot_be_signed(stage: Stage, fresh: Path) -> None:
    nowhere = stamping("http://127.0.0.1:9/", stage.loaded)
    refused("S-D08", lambda: sign_pdf(fresh, Role.TESTER, stage.signer(Role.TESTER), nowhere))
    refused("S-D04", lambda: stamping(stage.url, load_trust(stage.trust_before)))
    curve = person("椭圆", stage.root, curve=True)
    refused("S-D12", lambda: sign_pdf(fresh, Role.TESTER, stage.signer(Role.TESTER, curve)))
    p12 = stage.people[Role.TESTER].write_p12(fresh.with_name("a.p12"), stage.root)
    refused("S-D06", lambda: from_p12(p12, "wrong"))
    refused("S-D05", lambda: from_p12(fresh.with_name("none.p12"), None))
    refused("S-D05", lambda: read_certificates(p12))
    refused("S-D15", lambda: pin(fresh, load_private(stage.folder / "approver"), Role.APPROVER))
    lock = FileLock(fresh.with_name(f".{signed_path(fresh).name}.lock"))
    lock.acquire()
    refused("S-D03", lambda: sign_pdf(fresh, Role.TESTER, stage.signer(Role.TESTER)))
    lock.release()
    assert not signed_path(fresh).exists()


def test_a_revoked_certificate(stage: Stage, fresh: Path) -> None:
    """Revocation data comes into the file when 批准 is stamped, and then tells on an earlier signer too."""
    for role in ROLES[:2]:
        sign_pdf(fresh, role, stage.signer(role), stamping(stage.url, stage.loaded))
    stage.root.revoked.append(stage.people[Role.REVIEWER].certificate.serial_number)
    try:
        times = stamping(stage.url, stage.loaded)
        refused("S-D09", lambda: sign_pdf(fresh, Role.APPROVER, stage.signer(Role.APPROVER), times))
    finally:
        stage.root.revoked.clear()
    assert sign_pdf(fresh, Role.APPROVER, stage.signer(Role.APPROVER), times).missing == ()


def test_a_package_that_is_no_formal_report(stage: Stage, tmp_path: Path) -> None:
    inside = tmp_path / "report.pdf"
    inside.write_bytes(stage.base)
    key = load_private(stage.folder / "tester")
    bag = make_bag("demo", [("report/report.pdf", inside)], {"Bagging-Date": "2026-01-01", "External-Identifier": "D"})
    envelope = sign(statement(bag.subjects, DEMO, {}, [Signer(Role.TESTER, key.public)], utc_now()), key, Role.TESTER)
    package = tmp_path / "demo.zip"
    write_package(package, bag, envelope.to_bytes())
    refused("S-D01", lambda: sign_pdf(package, Role.TESTER, stage.signer(Role.TESTER)))


def test_a_signature_from_elsewhere_must_fit(stage: Stage, fresh: Path) -> None:
    refused("S-D13", lambda: import_signature(fresh, b""))
    certificate = certificate_pem(stage.people[Role.TESTER], fresh.with_name("c.pem"))
    (own,) = read_certificates(certificate)
    export_bytes(fresh, Role.TESTER, own, [], fresh.with_name("out"))
    refused("S-D14", lambda: import_signature(fresh, bytes(256)))
    assert not signed_path(fresh).exists()
    draft = signed_path(fresh).with_name(f"{signed_path(fresh).name}.pending.pdf")
    kept = draft.read_bytes()
    draft.write_bytes(kept + b" ")
    refused("S-D13", lambda: import_signature(fresh, bytes(256)))
    draft.write_bytes(kept)
    sign_pdf(fresh, Role.TESTER, stage.signer(Role.TESTER))  # somebody was faster
    refused("S-D11", lambda: import_signature(fresh, bytes(256)))


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ("pdf: {roots: [nonsense]}", "T-VALUE"),
        ("pdf: {roots: []}", "T-VALUE"),
        ("pdf: {roots: [PEM], root: []}", "T-KEY"),
        ("pdf: {roots: [PEM], certificates: [{name: a, roles: [tester], certificate: ab}]}", "T-VALUE"),
    ],
)
def test_a_trust_file_that_is_wrong(stage: Stage, tmp_path: Path, section: str, code: str) -> None:
    path = tmp_path / "trust.yaml"
    text = section.replace("PEM", json.dumps(stage.root.pem))
    path.write_text(f"{stage.trust_before.read_text(encoding='utf-8')}{text}\n", encoding="utf-8")
    refused(code, lambda: load_trust(path))


def test_how_to_sign_must_be_said(stage: Stage) -> None:
    done = cli("pdf", "sign", stage.package, "--role", "tester")
    assert (done.returncode, "S-D16" in done.stderr) == (2, True), done.stderr
    p12 = stage.people[Role.TESTER].write_p12(stage.folder / "unasked.p12", stage.root)
    done = cli("pdf", "sign", stage.package, "--role", "tester", "--p12", p12)
    assert (done.returncode, "YANSHOU_PASSPHRASE" in done.stderr) == (2, True), done.stderr
    done = cli("pdf", "import", stage.package, "--signature", stage.folder / "none.bin")
    assert (done.returncode, "S-D14" in done.stderr) == (2, True), done.stderr
