"""Verification: from a package or a case folder alone, offline, to "everything matches" or to what does not.

It is for reviewers who ask nobody: bag, signatures, ledger, evidence, and the record replayed from raw bytes. It must never
load a capture, write into what it verifies, or stop at the first difference that it can get past.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from yanshou.harness.assess import FILE as RECORD_FILE
from yanshou.harness.assess import CaseState, load_state
from yanshou.harness.bag import PackageContents, open_package
from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.digests import Digests
from yanshou.harness.envelope import Document, Envelope, read_envelope
from yanshou.harness.evidence import LedgerDamage, sha256_bytes
from yanshou.harness.model import Mode
from yanshou.harness.pades import REPORT, SIGNED, PdfReport, examine, pin_path, pinned_subjects, signed_path
from yanshou.harness.plan import FILE as PLAN_FILE
from yanshou.harness.plan import plan_from_json
from yanshou.harness.replay import differences, replay
from yanshou.harness.runs import damaged_streams
from yanshou.harness.seal import IDENTITIES_UNCHECKED, SealReport, check_subjects, verify_envelope, verify_package
from yanshou.harness.sealing import PLAN_ENVELOPE, PLAN_ROLES, plan_subjects
from yanshou.harness.taken import kit_problems, taken_lines
from yanshou.harness.trust import Trust

SIGNED_SUFFIX = ".signed.pdf"
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError)
"""What reading contents that make no sense ends with."""


@dataclass
class Verification:
    """What was found: problems (any of them means it does not verify), notes, and what was checked in words.

    `limits`: what could not be checked here, although nothing is known to be wrong; it stands beside the verdict.
    `contents`: the package where it is intact; `state`: the case where it could be read; `record`: what was replayed from it.
    """

    problems: list[Problem] = field(default_factory=list)
    limits: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    record: dict[str, Json] | None = None
    contents: PackageContents | None = None
    state: CaseState | None = None
    seal: SealReport | None = None

    @property
    def ok(self) -> bool:
        """True when everything matches."""
        return not self.problems

    @property
    def conclusion(self) -> str:
        """The verdict of the verification in one line."""
        if self.problems:
            return f"核验不通过：{len(self.problems)} 处不符"
        codes = "、".join(p.code for p in self.limits)
        return f"核验通过，但有 {len(self.limits)} 项没有核对：{codes}" if codes else "核验通过"

    def to_json(self) -> dict[str, Json]:
        """The form of `verify --json`."""
        return {
            "ok": self.ok,
            "problems": [p.to_json() for p in self.problems],
            "limits": [p.to_json() for p in self.limits],
            "checked": self.checked,
            "notes": self.notes,
            "verdict": self.record["verdict"] if self.record else None,
        }


def verify(path: Path, trust: Trust | None, pdf: Path | None = None) -> Verification:
    """Verify a package (zip or unpacked), or a case folder. Raises UserError when `path` is neither.

    `pdf`: the signed report to verify with its package; without it the one beside the package, if there is one. Where `path`
    itself is a signed report, the package is the one beside it.
    """
    with tempfile.TemporaryDirectory(prefix="yanshou-verify-") as scratch:
        return verify_unpacked(path, trust, Path(scratch), pdf)


def verify_unpacked(path: Path, trust: Trust | None, scratch: Path, pdf: Path | None = None) -> Verification:
    """The same, and a zip stays unpacked in the new or empty folder `scratch`: who reads on deletes it."""
    found = _verify_unpacked(path, trust, scratch, pdf)
    if found.contents is not None and path.is_file():
        zipped, root = package_beside(path), found.contents.root
        for each in (found.problems, found.limits):
            each[:] = [moved(p, root, zipped) for p in each]
    return found


def moved(problem: Problem, here: Path, there: Path) -> Problem:
    """The same problem with a file at or below `here` named as if it were at or below `there`."""
    file = problem.file
    if file is None or not file.is_relative_to(here):
        return problem
    return replace(problem, file=there / file.relative_to(here))


def _verify_unpacked(path: Path, trust: Trust | None, scratch: Path, pdf: Path | None) -> Verification:
    found = Verification()
    if path.name.endswith(SIGNED_SUFFIX):
        path, pdf = package_beside(path), path
    elif pdf is None and path.suffix == ".zip" and signed_path(path).exists():
        pdf = signed_path(path)
    if path.is_dir() and not (path / "bagit.txt").exists():
        found.notes.append("这是没有封存的案卷文件夹：只核对台账、证据与重放，没有签名可核")
        if pdf is not None:
            found.problems.append(Problem("V-D16", "案卷文件夹没有封存，PDF 没有可对照的数据包", "给出数据包 zip", pdf))
        _verify_case_or_say_why_not(path, trust, found, sealed=False)
        return found
    if not path.exists():
        raise UserError(Problem("V-B13", "没有这个文件", "给出 package/ 里的 zip，或案卷文件夹", path))
    try:
        contents = open_package(path, scratch)
    except UserError as error:
        found.problems += error.problems
        return found
    return verify_opened(contents, trust, pdf)


def verify_opened(contents: PackageContents, trust: Trust | None, pdf: Path | None = None) -> Verification:
    """Verify an intact package that was opened already, so that none of it is read and measured again."""
    found = Verification(contents=contents)
    found.checked.append(f"证据包完整：{len(contents.payload)} 个文件的 SHA-256 与 SM3 都与清单相符")
    try:
        found.seal = verify_package(contents, trust)
        take_seal(found.seal, "证据包", found)
    except UserError as error:
        found.problems += error.problems
    if pdf is not None:
        _verify_pdf(pdf, contents, trust, found)
    _verify_case_or_say_why_not(contents.root / "data", trust, found, sealed=True)
    return found


def _verify_pdf(pdf: Path, contents: PackageContents, trust: Trust | None, found: Verification) -> None:
    """The signed report: its own signatures, and the envelope that pins it to this package."""
    problems: list[Problem] = []
    path, envelope, seal = pin_path(pdf), None, None
    try:
        data, base = pdf.read_bytes(), (contents.root / REPORT).read_bytes()
    except OSError as error:
        found.problems.append(Problem("V-D01", f"PDF 或数据包里的报告读不出：{error.strerror}", "检查路径", pdf))
        return
    try:
        envelope = read_envelope(path.read_bytes(), path)
        seal = verify_envelope(envelope, Document.REPORT, trust)
        problems += seal.problems
    except FileNotFoundError:
        text = "没有把 PDF 与数据包钉在一起的外层签名：末尾被切掉也看不出"
        problems.append(Problem("V-D14", text, "用 yanshou pdf seal 签，或向交付方要", path))
    except UserError as error:
        problems += error.problems
    sealed = envelope.statement.sealed_at if envelope else datetime.now(UTC)
    report = examine(data, base, trust.pdf if trust else None, sealed)
    problems += report.problems
    if envelope is not None:
        problems += _pin_problems(envelope, pinned_subjects(contents, data), report)
    if trust is not None and trust.pdf is None:
        problems.append(
            Problem("V-D17", "信任文件没有 pdf 一节，签名证书是谁的没有核对", "在 trust.yaml 里写 pdf 一节")
        )
    found.problems += [p if p.file else replace(p, file=pdf) for p in problems]
    if not problems and seal is not None:
        names = "、".join(map(str, report.signatures))
        stamped = "，文件时间戳成立" if report.document_time else ""
        found.checked.append(f"PDF 以数据包里的报告为底，三栏签名成立：{names}{stamped}")
        take_seal(seal, "PDF 与数据包的外层", found)


def _pin_problems(envelope: Envelope, subjects: dict[str, Digests], report: PdfReport) -> Iterator[Problem]:
    """Where the envelope is about another PDF, another package, or another set of signatures."""
    stated = envelope.statement
    if stated.subjects.get(SIGNED) != subjects[SIGNED]:
        yield Problem("V-D15", "PDF 不是外层签名钉住的那一份：末尾被切掉、添加或改动", "向交付方要原件")
    if {**stated.subjects, SIGNED: None} != {**subjects, SIGNED: None}:
        yield Problem("V-D16", "外层签名钉住的是另一个数据包", "给出与 PDF 相配的数据包")
    if dict(stated.predicate) != report.content:
        yield Problem("V-D18", "PDF 里的签名与外层声明的不是同一组", "向交付方要原件")


def package_beside(path: Path) -> Path:
    """The package that a signed report belongs to; any other path as it is."""
    return path.with_name(f"{path.name.removesuffix(SIGNED_SUFFIX)}.zip") if path.name.endswith(SIGNED_SUFFIX) else path


def take_seal(report: SealReport, what: str, found: Verification) -> None:
    """Put what was found about a seal among the rest."""
    found.problems += report.problems
    if not report.problems:
        names = "、".join(str(r.signer) for r in report.signatures)
        found.checked.append(f"{what}签名成立：{names}")


def _verify_case_or_say_why_not(folder: Path, trust: Trust | None, found: Verification, *, sealed: bool) -> None:
    """Contents that make no sense although they chain and are signed are a finding, not a defect of the verifier."""
    try:
        _verify_case(folder, trust, found, sealed=sealed)
    except UNREADABLE as error:
        text = f"内容无法解读（{type(error).__name__}：{error}）"
        found.problems.append(Problem("V-R04", text, "向交付方要原件，或用出具它的版本核验", folder))


def _verify_case(folder: Path, trust: Trust | None, found: Verification, *, sealed: bool) -> None:
    try:
        found.state = state = load_state(folder)
    except LedgerDamage as damage:
        found.problems.append(Problem("V-L01", damage.text, "从副本恢复台账", damage.path, damage.line))
        return
    except UserError as error:
        found.problems += error.problems
        return
    found.checked.append(f"台账 {len(state.records)} 条，链完整")
    found.problems += _plan_problems(state)
    brought = taken_lines(state.records)
    found.problems += (forged := list(_kit_problems(state)))
    if brought and not forged:
        found.checked.append(f"{len(brought)} 份采集包的台账链完整，计划、工具与采集包的摘要相符")
    _verify_plan_seal(state, trust, found, sealed=sealed)
    if found.seal is not None:
        found.problems += _registered(state, found.seal)
    if state.plan.mode is Mode.ACCEPTANCE and sealed and trust is None:
        found.problems.append(IDENTITIES_UNCHECKED)
    damaged = [p for run in state.runs for p in damaged_streams(run, folder)]
    damaged += _unknown_runs(state)
    found.problems += damaged
    if not damaged:
        size = sum(r.size for r in state.runs)
        found.checked.append(f"{len(state.runs)} 次运行的证据与台账相符({size} 字节)")
    if any(r.status is None for r in state.runs):
        found.notes.append("有一次运行没有收尾：下次 yanshou run 会把它记为截断")
    replayed = replay(state, sealed=sealed)
    found.record = replayed.record
    found.checked += replayed.checked
    found.notes += replayed.notes
    found.limits += replayed.limits
    found.problems += replayed.problems


def _plan_problems(state: CaseState) -> Iterator[Problem]:
    lock, case = state.folder / PLAN_FILE, state.folder / "case.yaml"
    expected = state.frozen.to_bytes()
    if sha256_bytes(expected) != state.frozen.sha256:
        yield Problem("V-P01", "台账里的计划与它自己的摘要不符", "从副本恢复台账", state.folder / "ledger.jsonl")
    if not lock.is_file() or lock.read_bytes() != expected:
        yield Problem("V-P02", "计划文件与台账里冻结的不符", "从副本恢复", lock)
    unread = [d for d in differences(json.loads(expected), json.loads(state.plan.to_bytes())) if not d.only_missing]
    if unread:
        text, remedy = f"计划里有本机读不懂的内容：{'; '.join(map(str, unread[:3]))}", "用冻结它的版本核验"
        yield Problem("V-P06", text, remedy, lock)
    if not case.is_file() or sha256_bytes(case.read_bytes()) != state.plan.case_sha256:
        yield Problem("V-P03", "案卷与计划冻结时的不符", "从副本恢复", case)
    frozen = {r["sha256"] for r in state.records if r["kind"] in ("plan", "amendment")}
    for run in state.runs:
        if "plan_sha256" in run.meta and run.meta["plan_sha256"] not in frozen:
            yield Problem("V-P04", f"运行 {run.number} 依据的计划从未冻结过", "查明来历", lock)


def _kit_problems(state: CaseState) -> Iterator[Problem]:
    """Every rule that what kits brought had to meet when it was taken in."""
    ledger = state.folder / "ledger.jsonl"
    kits = [r for r in state.records if r["kind"] == "kit"]
    plans = {r["sha256"]: plan_from_json(r["plan"]) for r in state.records if r["kind"] in ("plan", "amendment")}
    for session, lines in taken_lines(state.records).items():
        if lines[0]["h"] != session:
            yield Problem("V-K01", "采集包的台账不是以它自己的首行收入的", "从副本恢复台账", ledger)
        for problem in kit_problems(lines, kits, plans, ledger):
            yield Problem("V-K01", problem.text, "从副本恢复台账", ledger)


def _verify_plan_seal(state: CaseState, trust: Trust | None, found: Verification, *, sealed: bool) -> None:
    path = state.folder / PLAN_ENVELOPE
    if not path.exists():
        if state.plan.mode is Mode.ACCEPTANCE and sealed:
            found.problems.append(Problem("V-P05", "正式验收的计划没有签名", "由项目与评测机构签署计划", path))
        return
    try:
        envelope = read_envelope(path.read_bytes(), path)
    except UserError as error:
        found.problems += error.problems
        return
    report = verify_envelope(envelope, Document.PLAN, trust)
    problems = [*check_subjects(envelope.statement, plan_subjects(state.folder)), *report.problems]
    if state.plan.mode is Mode.ACCEPTANCE:
        present = {s.role for s in envelope.statement.signers}
        problems += [
            Problem("V-P05", f"计划没有{r.word}的签名", "由本人签署", path) for r in sorted(PLAN_ROLES - present)
        ]
    found.problems += problems
    if not problems:
        take_seal(report, "计划", found)


def _registered(state: CaseState, seal: SealReport) -> Iterator[Problem]:
    """Where the ledger does not end with the sealing of this very record by this very roster."""
    last, record = state.records[-1], state.folder / RECORD_FILE
    stored = record.read_bytes() if record.is_file() else b""
    roster = [{"role": s.role.value, "name": s.key.name, "key_id": s.key.id} for s in seal.statement.signers]
    said = (last.get("of"), last.get("record_sha256"), last.get("roster"))
    if said != ("package", sha256_bytes(stored), roster):
        text = "台账的末条不是由这份名册封存这份记录的登记"
        yield Problem("V-S15", text, "向交付方要原件", state.folder / "ledger.jsonl")


def _unknown_runs(state: CaseState) -> Iterator[Problem]:
    known = {r.folder_name for r in state.runs}
    folder = state.folder / "runs"
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        if path.name not in known:
            yield Problem("V-E04", f"runs/{path.name} 不在台账里", "查明来源", path)
