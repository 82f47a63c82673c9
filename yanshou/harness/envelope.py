"""What is signed and how: an in-toto Statement v1 in a DSSE envelope with several signatures.

It is for one document (a plan, a package) that several people sign in several roles. DSSE signs the payload only, so all
that must not be forged is in the payload: the statement's predicate names every signer with role, name and public key, and
the moment of sealing. Everybody signs that whole roster: roles cannot be swapped, a signature that is dropped is missed and
one that is added does not belong. It must never take anything from beside a signature but the bytes to check.

The DSSE encoding is written here and not taken from securesystemslib: one line of it is what we need, while its Envelope
stops at the first threshold of good signatures instead of reporting each one. The tests use it as a second implementation.
Formats: in-toto attestation spec/v1, secure-systems-lab/dsse protocol.md; files are RFC 8785 JSON and a newline.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.digests import Digests
from yanshou.harness.evidence import canonical
from yanshou.harness.keys import PrivateKey, PublicKey, public_from_json

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SEAL = "yanshou_seal"
"""The field that this module adds to every predicate: {"sealed": UTC, "signers": [...]}."""

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SELF_CHECK = "urn:yanshou:predicate:self-check:1"
DEMO = "urn:yanshou:predicate:demo:1"
PLAN = "urn:yanshou:predicate:plan:1"
SIGNED_REPORT = "urn:yanshou:predicate:signed-report:1"
NOTE = "urn:yanshou:predicate:note:1"
PUBLIC = "urn:yanshou:predicate:public:1"


class Role(StrEnum):
    """In which capacity somebody signs."""

    TESTER = "tester"
    REVIEWER = "reviewer"
    APPROVER = "approver"
    PROJECT = "project"
    WITNESS = "witness"
    EXPERT = "expert"

    @property
    def word(self) -> str:
        """The Chinese word printed for people."""
        words = {"tester": "检测", "reviewer": "审核", "approver": "批准", "project": "受检方", "witness": "见证"}
        return {**words, "expert": "评审专家"}[self.value]


class Document(StrEnum):
    """What can be signed."""

    PLAN = "plan"
    PACKAGE = "package"
    REPORT = "report"
    PUBLIC = "public"

    @property
    def word(self) -> str:
        """The Chinese word printed for people."""
        return {"plan": "方案", "package": "证据包", "report": "签署的报告", "public": "公开版"}[self.value]

    @property
    def predicate_types(self) -> tuple[str, ...]:
        """Which statements are about such a document."""
        types = {"plan": (PLAN,), "package": (TEST_RESULT, SELF_CHECK, DEMO), "report": (SIGNED_REPORT,)}
        return {**types, "public": (PUBLIC,)}[self.value]

    @property
    def judged_as(self) -> Document:
        """Whose rules on who must sign apply: those of the package for its public edition."""
        return Document.PACKAGE if self is Document.PUBLIC else self


@dataclass(frozen=True)
class Signer:
    """One line of the roster."""

    role: Role
    key: PublicKey

    def __str__(self) -> str:
        return self.role.word if self.unnamed else f"{self.role.word} {self.key.name}"

    @property
    def unnamed(self) -> bool:
        """Whether a role stands where the name would: what is public names no person, the key's id still tells who it is."""
        return self.key.name == self.role.word

    def without_name(self) -> Signer:
        """The same key in the same role, and no name."""
        return Signer(self.role, replace(self.key, name=self.role.word))

    def to_json(self) -> dict[str, Json]:
        """`{"role"}` and the key's fields."""
        return {"role": self.role.value, **self.key.to_json()}


@dataclass(frozen=True)
class Statement:
    """A statement about `subjects` that exactly `signers` are to sign; `sealed` is when it was made, UTC.

    `predicate` is what the predicate type asks for, without the field SEAL.
    """

    subjects: Mapping[str, Digests]
    predicate_type: str
    predicate: Mapping[str, Json]
    sealed: str
    signers: tuple[Signer, ...]

    def to_json(self) -> dict[str, Json]:
        """An in-toto Statement v1."""
        seal = {"sealed": self.sealed, "signers": [signer.to_json() for signer in self.signers]}
        return {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": self.subjects[name].to_json()} for name in sorted(self.subjects)],
            "predicateType": self.predicate_type,
            "predicate": {**self.predicate, SEAL: seal},
        }

    @property
    def sealed_at(self) -> datetime:
        """`sealed` as a moment."""
        return datetime.fromisoformat(self.sealed)


def _utc(text: str) -> str:
    """`text` if it is a UTC moment as `utc_now` writes it. Raises ValueError."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text):
        raise ValueError(f"not UTC with milliseconds: {text!r}")
    datetime.fromisoformat(text)
    return text


def statement(
    subjects: Mapping[str, Digests],
    predicate_type: str,
    predicate: Mapping[str, Json],
    signers: Iterable[Signer],
    sealed: str,
) -> Statement:
    """A statement ready to be signed. Raises UserError when somebody is to sign twice or nobody at all."""
    roster = tuple(sorted(signers, key=lambda s: (list(Role).index(s.role), s.key.id)))
    if not roster or len({signer.key.id for signer in roster}) < len(roster):
        text = "签名名册是空的，或同一把密钥出现两次"
        raise UserError(Problem("S-E01", text, "每个角色用各自的密钥"))
    return Statement(dict(subjects), predicate_type, dict(predicate), _utc(sealed), roster)


def _parse_statement(payload: bytes) -> Statement:
    """The statement in `payload`, whose form is not checked. Raises ValueError, KeyError, TypeError, AttributeError."""
    value = json.loads(payload)
    predicate = dict(value["predicate"])
    seal = predicate.pop(SEAL)
    signers = [(Role(line.pop("role")), public_from_json(line)) for line in [dict(each) for each in seal["signers"]]]
    subjects = {each["name"]: Digests(**each["digest"]) for each in value["subject"]}
    try:
        return statement(
            subjects, value["predicateType"], predicate, [Signer(*each) for each in signers], seal["sealed"]
        )
    except UserError as error:
        raise ValueError(str(error)) from None


def pae(payload: bytes) -> bytes:
    """The bytes that a signature is over: DSSE v1 pre-authentication encoding with our payload type."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


@dataclass(frozen=True)
class Envelope:
    """A statement and the signatures given so far, by key id."""

    statement: Statement
    signatures: Mapping[str, bytes]

    @property
    def message(self) -> bytes:
        """The bytes that every signature is over."""
        return pae(canonical(self.statement.to_json()))

    def to_bytes(self) -> bytes:
        """The DSSE JSON envelope in its one form, signatures by key id."""
        signatures = [{"keyid": k, "sig": base64.b64encode(s).decode()} for k, s in sorted(self.signatures.items())]
        payload = base64.b64encode(canonical(self.statement.to_json())).decode()
        return canonical({"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": signatures}) + b"\n"


def read_envelope(data: bytes, file: Path | None = None) -> Envelope:
    """The envelope that `data` is the exact bytes of. Raises UserError (UNVERIFIED) for any other form."""
    try:
        value = json.loads(data)
        signatures = {each["keyid"]: base64.b64decode(each["sig"]) for each in value["signatures"]}
        envelope = Envelope(_parse_statement(base64.b64decode(value["payload"])), signatures)
        if envelope.to_bytes() == data:  # written again from what was understood: nothing else can be in it
            return envelope
        why = "写法不规范，或 payloadType 不对"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        why = "内容损坏"
    problem = Problem("V-S01", f"签名文件不是 yanshou 写的形式（{why}）", "文件已损坏或被改动，向交付方要原件", file)
    raise UserError(problem, ExitCode.UNVERIFIED)


def require_expected(signers: Iterable[Signer], key: PrivateKey, role: Role) -> Signer:
    """The line of the roster that `key` is to sign as `role`. Raises UserError when there is none."""
    own = next((signer for signer in signers if signer.key.id == key.public.id), None)
    if own is None:
        raise UserError(Problem("S-E02", f"密钥 {key.public.name} 不在签名名册里", "按完整的名册重新封存"))
    if own.role is not role:
        text = f"名册里这把密钥的角色是{own.role.word}，不是{role.word}"
        raise UserError(Problem("S-E03", text, "改 --role，或按正确的名册重新封存"))
    return own


def add_signature(envelope: Envelope, key: PrivateKey, role: Role) -> Envelope:
    """`envelope` with the signature of `key`. Raises UserError unless the roster expects just that, and for bad company."""
    roster = {signer.key.id: signer for signer in envelope.statement.signers}
    own, message = require_expected(envelope.statement.signers, key, role), envelope.message
    if key.public.id in envelope.signatures:
        raise UserError(Problem("S-E04", f"{own} 已经签过", "不用再签"))
    for key_id, signature in envelope.signatures.items():
        if key_id not in roster or not roster[key_id].key.verifies(message, signature):
            who = str(roster.get(key_id, key_id))
            raise UserError(Problem("S-E05", f"已有的签名不成立：{who}", "不要在它上面再签，查明来历"))
    return Envelope(envelope.statement, {**envelope.signatures, key.public.id: key.sign(message)})


def sign(unsigned: Statement, key: PrivateKey, role: Role) -> Envelope:
    """The envelope with its first signature. Raises UserError as `add_signature` does."""
    return add_signature(Envelope(unsigned, {}), key, role)
