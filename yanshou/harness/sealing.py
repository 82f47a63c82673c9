"""Sealing a case: who may sign its plan or its package, and what exactly they sign.

It is for making a formal report impossible unless everything was fixed and agreed before the first measurement. It must never
sign a self-check, sign a demonstration with anything but its own throw-away key, or sign what is not the current state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from yanshou.harness.assess import FILE as RECORD_FILE
from yanshou.harness.assess import CaseState, assess, load_state, record_bytes, timely_seals
from yanshou.harness.bag import Bag, make_bag, write_package
from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.digests import Digests, measure_file
from yanshou.harness.envelope import (
    PLAN,
    Document,
    Envelope,
    Role,
    Signer,
    add_signature,
    read_envelope,
    require_expected,
    sign,
    statement,
)
from yanshou.harness.evidence import Ledger, recover, sha256_bytes, utc_now, write_atomic
from yanshou.harness.keys import PrivateKey
from yanshou.harness.model import Mode, Verdict
from yanshou.harness.plan import FILE as PLAN_FILE
from yanshou.harness.plan import restore_lock
from yanshou.harness.replay import earlier_packages, number_as_file, package_name, sealing_tool
from yanshou.harness.seal import PREDICATE_TYPES, countersign, result_predicate
from yanshou.harness.trust import BEIJING, Trust
from yanshou.reports.display import limit_text
from yanshou.reports.render import rendered

PLAN_ENVELOPE = "plan.dsse.json"
DEMO_KEY_NAME = "演示密钥，不具效力"
PLAN_ROLES = frozenset({Role.PROJECT, Role.TESTER})
"""Who must have signed the plan of a formal report before the first measurement."""


def plan_subjects(folder: Path) -> dict[str, Digests]:
    """What a plan signature is over."""
    return {name: measure_file(folder / name).digests for name in (PLAN_FILE, "case.yaml")}


@dataclass(frozen=True)
class ToSign:
    """What a person is about to sign, to be shown before they are asked.

    `verdicts`: (indicator, name, code of the verdict; of a plan its limit in words; None where experts decide).
    `digests`: (what, SHA-256). `signed`: ids of the keys that have signed already.
    """

    document: Document
    signer: Signer
    number: str
    marking: str
    verdicts: tuple[tuple[str, str, str | None], ...]
    digests: tuple[tuple[str, str], ...]
    roster: tuple[Signer, ...] = ()
    signed: frozenset[str] = frozenset()

    def with_envelope(self, envelope: Envelope) -> ToSign:
        """The same, with who is on the roster of `envelope` and who has signed it."""
        return replace(self, roster=envelope.statement.signers, signed=frozenset(envelope.signatures))


Show = Callable[[ToSign], None]
"""Shows it and asks; raises what ends the command where the answer is no, and then nothing was changed."""


def unseen(_: ToSign) -> None:
    """For callers that have no person before them."""


def _roster(
    document: Document, key: PrivateKey, role: Role, others: Iterable[Signer], trust: Trust | None
) -> tuple[Signer, ...]:
    """Everybody who is to sign: the signer at hand and the named others; by a trust file, the roster that it demands.

    Where that file knows more people for a role than must sign, these choose among them.
    """
    here = (Signer(role, key.public), *others)
    return here if trust is None else trust.roster(document, datetime.now(UTC), {s.key.id for s in here})


def sign_plan(
    folder: Path,
    key: PrivateKey,
    role: Role,
    others: Sequence[Signer] = (),
    trust: Trust | None = None,
    show: Show = unseen,
) -> Envelope:
    """Sign the frozen plan, or add a signature to it; the first signer fixes the roster. Raises UserError."""
    with Ledger(folder) as ledger:
        recover(ledger)
        restore_lock(ledger)
        state = load_state(folder)
        refuse_demo_key(state.plan.mode, key)
        subjects = plan_subjects(folder)
        if sha256_bytes((folder / "case.yaml").read_bytes()) != state.plan.case_sha256:
            raise UserError(
                Problem("P-CHANGED", "案卷在计划冻结之后被改动", "恢复原样，或登记变更后再签", folder / "case.yaml")
            )
        path = folder / PLAN_ENVELOPE
        envelope = read_envelope(path.read_bytes(), path) if path.exists() else None
        if envelope is None or dict(envelope.statement.subjects) != subjects:
            content: dict[str, Json] = {"revision": state.plan.revision, "mode": state.plan.mode.value}
            roster = _roster(Document.PLAN, key, role, others, trust)
            envelope = Envelope(statement(subjects, PLAN, content, roster, utc_now()), {})
        signed = add_signature(envelope, key, role)
        told = ToSign(
            Document.PLAN,
            Signer(role, key.public),
            state.case.document.report.number,
            state.plan.mode.marking,
            tuple((i.id, i.name, limit_text(i.limit.to_json())) for i in state.plan.indicators),
            tuple((name, subjects[name].sha256) for name in sorted(subjects)),
        )
        show(told.with_envelope(envelope))
        data = signed.to_bytes()
        ledger.append(
            "seal", of="plan", sha256=state.frozen.sha256, role=role.value, name=key.public.name,
            key_id=key.public.id, envelope=json.loads(data),
        )  # fmt: skip
        write_atomic(path, data)
    return signed


def refuse_demo_key(mode: Mode, key: PrivateKey) -> None:
    """Demonstrations are signed by their own key only, and nothing else is. Raises UserError."""
    if (mode is Mode.DEMO) != (key.public.name == DEMO_KEY_NAME):
        text = "演示案卷只能用演示自己的一次性密钥签" if mode is Mode.DEMO else "演示密钥不能签真实案卷"
        raise UserError(Problem("S-E10", text, "正式报告用 mode: acceptance 和本人的密钥"))


def refusals(state: CaseState, key: PrivateKey) -> list[Problem]:
    """Why this case may not be signed as what it claims to be."""
    refuse_demo_key(state.plan.mode, key)
    plan, case = state.plan, state.folder / "case.yaml"
    if plan.mode is Mode.SELF_CHECK:
        return [Problem("S-E11", "自检不作验收依据，不签", "正式验收用 mode: acceptance 的案卷", case)]
    found = []
    if plan.mode is Mode.ACCEPTANCE:
        if state.case.document.target.kind != "production":
            kind = state.case.document.target.kind
            found.append(
                Problem("S-E12", f"受检对象是 {kind}，不是生产环境", "正式报告只对 target.kind: production 出具", case)
            )
        found += _unsigned_plan(state)
    if any(r.status is None for r in state.runs):
        found.append(Problem("S-E14", "有一次运行没有收尾", "先运行 yanshou run", state.folder))
    return found


def _unsigned_plan(state: CaseState) -> Iterator[Problem]:
    """Who did not sign the plan in time, or what it says now."""
    lock, path = state.folder / PLAN_FILE, state.folder / PLAN_ENVELOPE
    timely = timely_seals(state)
    if missing := sorted(r.word for r in PLAN_ROLES if r.value not in timely.signers):
        text, remedy = (
            f"计划没有在第一次测量之前由{'、'.join(missing)}签署",
            "先 yanshou sign --plan 由双方签署，再测量；更正报告只改案卷的文字，并用冻结计划的同一版本",
        )
        yield Problem("S-E13", text, remedy, lock)
        return
    envelope = read_envelope(path.read_bytes(), path) if path.exists() else None
    current = envelope is not None and dict(envelope.statement.subjects) == plan_subjects(state.folder)
    signed = (
        {s.role for s in envelope.statement.signers if s.key.id in envelope.signatures}
        if envelope and current
        else set()
    )
    if missing := sorted(r.word for r in PLAN_ROLES - signed):
        yield Problem("S-E13", f"修订后的计划没有由{'、'.join(missing)}签署", "由双方 yanshou sign --plan", path)


def _confusable(state: CaseState, number: str, replaces: Json, record_sha256: str) -> Iterator[Problem]:
    """Why people could take this report for another one that was sealed of the same case."""
    earlier = earlier_packages(state.records, record_sha256)
    if not earlier:
        return
    case = state.folder / "case.yaml"
    if number_as_file(number) in {e.number for e in earlier}:
        text = f"编号 {number} 已经封存过另一份记录（{earlier[-1].name}）"
        yield Problem("S-E16", text, "更正用新的 report.number，并写 report.replaces", case)
    elif replaces is None or number_as_file(replaces["number"]) != earlier[-1].number:
        text = f"这个案卷封存过 {earlier[-1].name}，报告没有说代替它"
        yield Problem("S-E16", text, f"在 report.replaces 里写编号 {earlier[-1].number}、原因与改动", case)


def package_files(folder: Path, record: Json) -> list[tuple[str, Path]]:
    """Everything of the present record that goes into a package, by its name below data/."""
    names = [
        "case.yaml",
        PLAN_FILE,
        PLAN_ENVELOPE,
        "ledger.jsonl",
        RECORD_FILE,
        *(f"report/{n}" for n in sorted(rendered(record_bytes(record)))),
    ]
    files = [(n, folder / n) for n in names if (folder / n).exists()]
    runs = (p for p in (folder / "runs").rglob("*") if p.is_file()) if (folder / "runs").exists() else ()
    return sorted([*files, *((p.relative_to(folder).as_posix(), p) for p in runs)])


@dataclass(frozen=True)
class Sealed:
    """A package with its signatures so far, and the signers still missing."""

    path: Path
    envelope: Envelope

    @property
    def missing(self) -> tuple[Signer, ...]:
        """Who has not signed yet."""
        return tuple(s for s in self.envelope.statement.signers if s.key.id not in self.envelope.signatures)


def sealed_package(place: Path) -> Path:
    """The package `place` itself, or the one that the case folder `place` sealed last, as its ledger tells. Raises UserError.

    A correction seals the case again, and only the last seal is what the case says now: where its file is gone, no earlier one
    stands in for it. Other files beside it do not count.
    """
    if place.is_file():
        return place
    if not place.is_dir() or (place / "bagit.txt").exists():
        text = "是解开的数据包" if place.is_dir() else "没有这个文件"
        raise UserError(Problem("S-E22", text, "给出 package/ 里的 zip，或案卷文件夹", place))
    names = [r["name"] for r in load_state(place).records if r["kind"] == "seal" and r["of"] == "package"]
    if not names:
        raise UserError(Problem("S-E22", "案卷还没有封存的数据包", f"先运行 yanshou sign {place}", place))
    path = place / "package" / f"{names[-1]}.zip"
    if not path.is_file():
        text = f"台账说最近封存的是 {path.name}，它不在这里"
        raise UserError(Problem("S-E22", text, "恢复它，或写明是哪个 zip；没有写成的，再运行 yanshou sign", path))
    return path


def sign_package(
    folder: Path,
    key: PrivateKey,
    role: Role,
    others: Sequence[Signer] = (),
    trust: Trust | None = None,
    show: Show = unseen,
) -> Sealed:
    """Pack and sign the current state, or add a signature to its package. The first signer fixes the roster.

    Raises UserError: not a formal case, no report of the current record, not on the roster.
    """
    with Ledger(folder) as ledger:
        recover(ledger)
        restore_lock(ledger)
        state = load_state(folder)
        if problems := refusals(state, key):
            raise UserError(problems)
        record = assess(state)
        data = record_bytes(record)
        _require_current_report(folder, data)
        number = record["case"]["report_number"] or f"S{state.plan.scenario:02d}"
        if state.plan.mode is Mode.ACCEPTANCE and (
            problems := list(_confusable(state, number, record["case"]["replaces"], sha256_bytes(data)))
        ):
            raise UserError(problems)
        name = package_name(number, data)
        path = folder / "package" / f"{name}.zip"
        told = ToSign(
            Document.PACKAGE,
            Signer(role, key.public),
            record["case"]["report_number"] or "",
            record["marking"],
            tuple((f["indicator"], f["name"], f["verdict"]) for f in record["findings"]),
            ((RECORD_FILE, sha256_bytes(data)),),
        )
        if path.exists():
            told = replace(told, digests=(*told.digests, (path.name, measure_file(path).digests.sha256)))
            return Sealed(path, countersign(path, key, role, lambda e: show(told.with_envelope(e))))
        roster = _roster(Document.PACKAGE, key, role, others, trust)
        require_expected(roster, key, role)
        show(replace(told, roster=roster))
        ledger.append(
            "seal", of="package", name=name, record_sha256=sha256_bytes(data),
            roster=[{"role": s.role.value, "name": s.key.name, "key_id": s.key.id} for s in roster], tool=sealing_tool(),
        )  # fmt: skip
        bag = _bag(folder, name, number, record)
        predicate = result_predicate(
            {f["indicator"]: Verdict(f["verdict"]) for f in record["findings"]},
            {f["indicator"] for f in record["findings"] if any(r["code"] == "conditional_pass" for r in f["reasons"])},
            {n: bag.payload[f"data/{n}"].digests for n in ("case.yaml", PLAN_FILE, RECORD_FILE)},
        )
        unsigned = statement(bag.subjects, PREDICATE_TYPES[state.plan.mode], predicate, roster, utc_now())
        envelope = sign(unsigned, key, role)
        path.parent.mkdir(exist_ok=True)
        write_package(path, bag, envelope.to_bytes())
    return Sealed(path, envelope)


def _bag(folder: Path, name: str, number: str, record: Json) -> Bag:
    info = {
        "Bagging-Date": datetime.now(BEIJING).date().isoformat(),
        "External-Identifier": number,
        "Bag-Software-Agent": f"yanshou {sealing_tool()['version']}",
    }
    if organisation := " ".join(record["case"]["evaluator"]["name"].split()):
        info["Source-Organization"] = organisation
    return make_bag(name, package_files(folder, record), info)


def _require_current_report(folder: Path, record: bytes) -> None:
    """The report must be what this tool renders of the very record that is being signed, to the last byte."""
    path = folder / RECORD_FILE
    if not path.exists() or path.read_bytes() != record:
        raise UserError(Problem("S-E15", "记录不是现状", f"先运行 yanshou report {folder}", path), ExitCode.USAGE)
    for name, data in rendered(record).items():
        file = folder / "report" / name
        if not file.is_file() or file.read_bytes() != data:
            raise UserError(Problem("S-E15", "没有由现状写出的报告", f"先运行 yanshou report {folder}", file))
