"""trust.yaml: whose keys may sign what, in which role, and when; who keeps the file decides whom to believe.

It is for turning "somebody signed" into "the expected people signed". A key is named by its id, the SHA-256 of its public
half; nothing else identifies it. It must never be taken from the package that it is to judge.

    keys:
      - {name: 张三, roles: [tester], algorithm: ed25519, id: <64 hex>, valid_from: 2024-11-01, valid_until: 2025-12-31,
         public: <PEM, needed only to draw up a roster from this file>}
    require:
      plan: [project, tester]
      package: [tester, reviewer, approver]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from yanshou.harness.basics import Problem, UserError
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
class Trust:
    """A trust file: known keys and, per document, the roles that must sign it, one signer each."""

    keys: tuple[TrustedKey, ...]
    require: Mapping[Document, tuple[Role, ...]]

    def objections(self, signer: Signer, moment: datetime) -> Iterator[Problem]:
        """Why `signer` may not sign as stated at `moment`."""
        key = next((key for key in self.keys if key.id == signer.key.id), None)
        if key is None:
            yield Problem(
                "V-S09", f"{signer}：密钥 {signer.key.id[:16]}… 不在信任文件里", "核实签名人；可信时登记到 trust.yaml"
            )
            return
        if signer.role not in key.roles:
            allowed = "、".join(role.word for role in key.roles)
            yield Problem("V-S10", f"{signer}：这把密钥只许签{allowed}", "由有此角色的人签名")
        if (signer.key.name, signer.key.algorithm) != (key.name, key.algorithm):
            yield Problem("V-S11", f"{signer}：信任文件里这把密钥属于 {key.name}（{key.algorithm.word}）", "核实签名人")
        if not key.valid_at(moment):
            span = f"{key.valid_from} 至 {key.valid_until}"
            yield Problem("V-S12", f"{signer}：封存时密钥不在有效期（{span}）", "用有效的密钥重新封存")

    def deviations(self, document: Document, signers: tuple[Signer, ...]) -> Iterator[Problem]:
        """Roles that the roster lacks, and roles that it has too many of."""
        demanded, present = Counter(self.require[document]), Counter(signer.role for signer in signers)
        for role in (demanded - present).elements():
            yield Problem("V-S07", f"{document.word}缺少{role.word}的签名", "按信任文件要求的名册重新封存并签名")
        for role in (present - demanded).elements():
            yield Problem("V-S08", f"{document.word}多出{role.word}的签名", "按信任文件要求的名册重新封存并签名")

    def roster(self, document: Document, moment: datetime) -> tuple[Signer, ...]:
        """Who is to sign `document` at `moment`. Raises UserError unless the file leaves exactly one choice."""
        signers: list[Signer] = []
        for role, number in Counter(self.require[document]).items():
            able = [key for key in self.keys if role in key.roles and key.valid_at(moment)]
            known = [key.public for key in able if key.public is not None]
            if len(able) != number or len(known) != number:
                text = (
                    f"信任文件里有 {len(able)} 把有效的{role.word}密钥，其中 {len(known)} 把写有公钥，需要 {number} 把"
                )
                raise UserError(Problem("T-ROSTER", text, "用各签名人的 .pub 文件指定名册"))
            signers += [Signer(role, key) for key in known]
        return tuple(signers)


def _key(entry: YamlMap) -> TrustedKey:
    name = entry.text("name")
    text = entry.text("public", "")
    key_id = entry.text("id", pattern="[0-9a-f]{64}")
    algorithm = Algorithm(entry.choice("algorithm", Algorithm))
    try:
        valid_name(name)
    except ValueError:
        entry.refuse("name", "name 应为一行文字")
    try:
        public = parse_public(text, name) if text else None
    except ValueError:
        entry.refuse("public", "public 不是 Ed25519 或 SM2 公钥的 PEM")
    if public is not None and (public.id, public.algorithm) != (key_id, algorithm):
        entry.refuse("public", f"public 是 {public.algorithm} 公钥 {public.id}，与 id 或 algorithm 不符")
    roles = _roles(entry, "roles")
    start, end = entry.calendar_date("valid_from"), entry.calendar_date("valid_until")
    if end < start:
        entry.refuse("valid_until", f"valid_until {end} 早于 valid_from {start}")
    return TrustedKey(name, roles, algorithm, key_id, start, end, public)


def _roles(entry: YamlMap, key: str) -> tuple[Role, ...]:
    if key not in entry.lines:
        entry.text(key)  # refuses, and names the key that may be meant
    roles = entry.texts(key, tuple(Role))
    if not roles:
        entry.refuse(key, f"{key} 是空的", remedy=f"可用：{'、'.join(Role)}")
    return tuple(Role(role) for role in roles)


def _require(entry: YamlMap) -> dict[Document, tuple[Role, ...]]:
    return {document: _roles(entry, document.value) for document in Document}


def load_trust(file: Path) -> Trust:
    """Read a trust file. Raises UserError with file and line."""
    try:
        root = YamlMap.parse(file, read_bytes(file))
        return root.read(lambda r: Trust(r.all("keys", _key), r.one("require", _require)))
    except UserError as error:
        mend = "改正此处"
        raise UserError(
            [
                replace(p, code=p.code.replace("L-", "T-"), remedy=mend if p.remedy == MEND else p.remedy)
                for p in error.problems
            ]
        ) from None
