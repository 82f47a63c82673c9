"""trust.yaml: whose keys may sign what, in which role, and when; who keeps the file decides whom to believe.

It is for turning "somebody signed" into "the expected people signed". A key is named by its id, the SHA-256 of its public
half; nothing else identifies it. It must never be taken from the package that it is to judge.

    keys:
      - {name: 张三, roles: [tester], algorithm: ed25519, id: <64 hex>, valid_from: 2024-11-01, valid_until: 2025-12-31,
         public: <PEM, needed only to draw up a roster from this file>}
    readers:                       # optional: to whom packages may be encrypted
      - {name: 陈专家, age: age1..., valid_from: 2024-11-01, valid_until: 2025-12-31}
    require:
      plan: [project, tester]
      package: [tester, reviewer, approver]
      report: [approver]            # who pins the signed PDF; may be left out: the approver
    pdf:                            # whose certificates sign the PDF; may be left out
      roots: [<PEM>, ...]           # authorities of the signers' certificates
      tsa: [<PEM>, ...]             # authorities of time; where there are any, every signature needs a time
      certificates:
        - {name: 张三, roles: [tester], certificate: <SHA-256 of the DER, 64 hex>, valid_from: 2024-11-01, valid_until: 2025-12-31}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.encryption import is_recipient
from yanshou.harness.envelope import Document, Role, Signer
from yanshou.harness.keys import Algorithm, PublicKey, parse_public, valid_name
from yanshou.harness.strict_yaml import MEND, YamlMap, read_bytes

BEIJING = timezone(timedelta(hours=8))
"""Dates in trust.yaml are calendar days in Beijing, both ends included."""


@dataclass(frozen=True)
class TrustedKey:
    """One key and what its holder may sign. `public` is None where the file gives only the id."""

    name: str
    roles: tuple[Role, ...]
    algorithm: Algorithm
    id: str
    valid_from: date
    valid_until: date
    public: PublicKey | None

    def valid_at(self, moment: datetime) -> bool:
        """Whether the key was valid on the day of `moment`."""
        return self.valid_from <= moment.astimezone(BEIJING).date() <= self.valid_until


@dataclass(frozen=True)
class TrustedCertificate:
    """One certificate, by the SHA-256 of its DER, and what its holder may sign."""

    name: str
    roles: tuple[Role, ...]
    certificate: str
    valid_from: date
    valid_until: date


@dataclass(frozen=True)
class PdfTrust:
    """Whose certificates may sign a PDF: PEM of the authorities of people and of time, and every single certificate."""

    roots: tuple[str, ...]
    tsa: tuple[str, ...]
    certificates: tuple[TrustedCertificate, ...]

    def objections(self, role: Role, name: str, certificate: str, moment: datetime) -> Iterator[Problem]:
        """Why this certificate may not sign as `role` at `moment`."""
        known = next((c for c in self.certificates if c.certificate == certificate), None)
        who = f"{role.word} {name}"
        if known is None:
            remedy = "核实签名人；可信时登记到 trust.yaml 的 pdf.certificates"
            yield Problem("V-D11", f"{who}：证书 {certificate[:16]}… 不在信任文件里", remedy)
        elif role not in known.roles or name != known.name:
            allowed = "、".join(r.word for r in known.roles)
            yield Problem("V-D11", f"{who}：信任文件里这张证书属于 {known.name}，只许签{allowed}", "由有此角色的人签名")
        elif not known.valid_from <= moment.astimezone(BEIJING).date() <= known.valid_until:
            span = f"{known.valid_from} 至 {known.valid_until}"
            yield Problem("V-D11", f"{who}：签名时不在信任文件给这张证书的有效期（{span}）", "用有效的证书重新签名")


@dataclass(frozen=True)
class Reader:
    """Somebody to whom packages may be encrypted: the name and an age recipient. Such a key signs nothing."""

    name: str
    recipient: str
    valid_from: date
    valid_until: date

    def valid_at(self, moment: datetime) -> bool:
        """Whether the key was valid on the day of `moment`."""
        return self.valid_from <= moment.astimezone(BEIJING).date() <= self.valid_until


@dataclass(frozen=True)
class Trust:
    """A trust file: known keys and, per document, the roles that must sign it; certificates for the PDF; and who may read."""

    keys: tuple[TrustedKey, ...]
    require: Mapping[Document, tuple[Role, ...]]
    pdf: PdfTrust | None = None
    readers: tuple[Reader, ...] = ()

    def recipients(self, name: str, moment: datetime) -> tuple[str, ...]:
        """The age recipients of the reader called `name`, all of them if several. Raises UserError when none is valid."""
        named = [reader for reader in self.readers if reader.name == name]
        valid = tuple(reader.recipient for reader in named if reader.valid_at(moment))
        if not valid:
            text = f"信任文件里 {name} 的阅读密钥不在有效期" if named else f"信任文件的 readers 里没有 {name}"
            raise UserError(Problem("T-READER", text, "用 yanshou trust add 登记其 age 公钥，或核对姓名"))
        return valid

    def objections(self, signer: Signer, moment: datetime, *, named: bool = True) -> Iterator[Problem]:
        """Why `signer` may not sign as stated at `moment`. Unless `named`, the role may stand where the name would."""
        key = next((key for key in self.keys if key.id == signer.key.id), None)
        if key is None:
            yield Problem(
                "V-S09", f"{signer}：密钥 {signer.key.id[:16]}… 不在信任文件里", "核实签名人；可信时登记到 trust.yaml"
            )
            return
        if signer.role not in key.roles:
            allowed = "、".join(role.word for role in key.roles)
            yield Problem("V-S10", f"{signer}：这把密钥只许签{allowed}", "由有此角色的人签名")
        as_known = signer.key.name == key.name or (signer.unnamed and not named)
        if not as_known or signer.key.algorithm is not key.algorithm:
            yield Problem("V-S11", f"{signer}：信任文件里这把密钥属于 {key.name}（{key.algorithm.word}）", "核实签名人")
        if not key.valid_at(moment):
            span = f"{key.valid_from} 至 {key.valid_until}"
            yield Problem("V-S12", f"{signer}：封存时密钥不在有效期（{span}）", "用有效的密钥重新封存")

    def deviations(self, document: Document, signers: tuple[Signer, ...]) -> Iterator[Problem]:
        """Roles that the roster lacks, and roles that it has too many of."""
        demanded, present = Counter(self.require[document.judged_as]), Counter(signer.role for signer in signers)
        for role in (demanded - present).elements():
            yield Problem("V-S07", f"{document.word}缺少{role.word}的签名", "按信任文件要求的名册重新封存并签名")
        for role in (present - demanded).elements():
            yield Problem("V-S08", f"{document.word}多出{role.word}的签名", "按信任文件要求的名册重新封存并签名")

    def roster(self, document: Document, moment: datetime, chosen: Collection[str] = ()) -> tuple[Signer, ...]:
        """Who is to sign `document` at `moment`. Raises UserError unless the file leaves exactly one choice.

        Where it knows more valid keys for a role than must sign, only those whose id is in `chosen` are taken.
        """
        signers: list[Signer] = []
        for role, number in Counter(self.require[document.judged_as]).items():
            able = [key for key in self.keys if role in key.roles and key.valid_at(moment)]
            if len(able) > number:
                able = [key for key in able if key.id in chosen] or able
            known = [key.public for key in able if key.public is not None]
            if len(able) != number or len(known) != number:
                text = (
                    f"信任文件里有 {len(able)} 把有效的{role.word}密钥，其中 {len(known)} 把写有公钥，需要 {number} 把"
                )
                raise UserError(Problem("T-ROSTER", text, "用 --with 角色=公钥文件 指定由谁签"))
            signers += [Signer(role, key) for key in known]
        return tuple(signers)


def _name(entry: YamlMap) -> str:
    name = entry.text("name")
    try:
        return valid_name(name)
    except ValueError:
        entry.refuse("name", "name 应为一行文字")


def _validity(entry: YamlMap) -> tuple[date, date]:
    start, end = entry.calendar_date("valid_from"), entry.calendar_date("valid_until")
    if end < start:
        entry.refuse("valid_until", f"valid_until {end} 早于 valid_from {start}")
    return start, end


def _reader(entry: YamlMap) -> Reader:
    recipient = entry.text("age")
    if not is_recipient(recipient):
        entry.refuse("age", "age 不是 age1 开头的阅读公钥")
    return Reader(_name(entry), recipient, *_validity(entry))


def _key(entry: YamlMap) -> TrustedKey:
    name = _name(entry)
    text = entry.text("public", "")
    key_id = entry.text("id", pattern="[0-9a-f]{64}")
    algorithm = Algorithm(entry.choice("algorithm", Algorithm))
    try:
        public = parse_public(text, name) if text else None
    except ValueError:
        entry.refuse("public", "public 不是 Ed25519 或 SM2 公钥的 PEM")
    if public is not None and (public.id, public.algorithm) != (key_id, algorithm):
        entry.refuse("public", f"public 是 {public.algorithm} 公钥 {public.id}，与 id 或 algorithm 不符")
    roles = _roles(entry, "roles")
    return TrustedKey(name, roles, algorithm, key_id, *_validity(entry), public)


def _roles(entry: YamlMap, key: str) -> tuple[Role, ...]:
    if key not in entry.lines:
        entry.text(key)  # refuses, and names the key that may be meant
    roles = entry.texts(key, tuple(Role))
    if not roles:
        entry.refuse(key, f"{key} 是空的", remedy=f"可用：{'、'.join(Role)}")
    return tuple(Role(role) for role in roles)


def _require(entry: YamlMap) -> dict[Document, tuple[Role, ...]]:
    required = {document: _roles(entry, document.value) for document in (Document.PLAN, Document.PACKAGE)}
    report = entry.texts(Document.REPORT.value, tuple(Role))
    return {**required, Document.REPORT: tuple(map(Role, report)) or (Role.APPROVER,)}


def _certificate(entry: YamlMap) -> TrustedCertificate:
    known = entry.text("certificate", pattern="[0-9a-f]{64}")
    return TrustedCertificate(entry.text("name"), _roles(entry, "roles"), known, *_validity(entry))


def _pdf(entry: YamlMap) -> PdfTrust:
    from cryptography.x509 import load_pem_x509_certificate

    roots, tsa = entry.texts("roots"), entry.texts("tsa")
    for key, texts in (("roots", roots), ("tsa", tsa)):
        try:
            for text in texts:
                load_pem_x509_certificate(text.encode())
        except ValueError:
            entry.refuse(key, f"{key} 里有的不是 PEM 证书")
    if not roots:
        entry.refuse("roots", "pdf 没有 roots", remedy="写上签名证书的根证书（PEM）")
    return PdfTrust(roots, tsa, entry.all("certificates", _certificate, unique="certificate"))


def _trust(root: YamlMap) -> Trust:
    keys, require = root.all("keys", _key), root.one("require", _require)
    pdf = root.one("pdf", _pdf) if root.given("pdf") else None
    return Trust(keys, require, pdf, root.all("readers", _reader, unique="age"))


def load_trust(file: Path, data: bytes | None = None) -> Trust:
    """Read a trust file, or `data` as its content. Raises UserError with file and line."""
    try:
        root = YamlMap.parse(file, read_bytes(file) if data is None else data)
        return root.read(_trust)
    except UserError as error:
        mend = "改正此处"
        raise UserError(
            [
                replace(p, code=p.code.replace("L-", "T-"), remedy=mend if p.remedy == MEND else p.remedy)
                for p in error.problems
            ]
        ) from None
