"""The seal: what a result says to a machine, who must have signed, and whether a package is what they signed.

It is where bag, envelope and trust meet. The design and what it withstands: docs/seal.md. It must never call identities
checked when there was no trust file, and never print.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from yanshou.harness.bag import PackageContents, open_package, write_package
from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.digests import Digests
from yanshou.harness.envelope import (
    DEMO,
    SELF_CHECK,
    TEST_RESULT,
    Document,
    Envelope,
    Role,
    Signer,
    Statement,
    add_signature,
    read_envelope,
)
from yanshou.harness.keys import PrivateKey
from yanshou.harness.model import Mode, Verdict
from yanshou.harness.trust import Trust

PREDICATE_TYPES = {Mode.ACCEPTANCE: TEST_RESULT, Mode.SELF_CHECK: SELF_CHECK, Mode.DEMO: DEMO}
"""What a package of each mode states."""
IDENTITIES_UNCHECKED = Problem("V-S13", "没有信任文件，签名人身份未核对", "用 --trust 给出自己保管的 trust.yaml")
"""For a caller to whom unchecked identities are an error."""


def result_predicate(
    verdicts: Mapping[str, Verdict], conditional: Collection[str], configuration: Mapping[str, Digests]
) -> dict[str, Json]:
    """A predicate in the shape of in-toto test-result v0.1, from the verdict of each indicator.

    in-toto knows no undecided result, and "warned" means passed with warnings: only indicators in `conditional`
    (有条件符合) are warned, and everything else that is not 符合 is failed. `configuration`: files that fix what was tested.
    """
    passed = sorted(name for name, verdict in verdicts.items() if verdict is Verdict.PASS)
    warned = sorted(name for name in verdicts if name in conditional and name not in passed)
    failed = sorted(verdicts.keys() - {*passed, *warned})
    return {
        "result": "FAILED" if failed or not verdicts else "WARNED" if warned else "PASSED",
        "configuration": [{"name": name, "digest": configuration[name].to_json()} for name in sorted(configuration)],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }


@dataclass(frozen=True)
class SignatureResult:
    """What was found about one line of the roster."""

    signer: Signer
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class SealReport:
    """What was found about an envelope: each expected signature, and what concerns none of them alone.

    Without `identities_checked` the signatures fit the keys that the envelope itself brings, and that is all.
    """

    statement: Statement
    signatures: tuple[SignatureResult, ...]
    general: tuple[Problem, ...]
    identities_checked: bool

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong; empty when the seal holds."""
        return (*self.general, *(problem for result in self.signatures for problem in result.problems))


def check_subjects(statement: Statement, true: Mapping[str, Digests]) -> Iterator[Problem]:
    """Where the statement is not about exactly the files in `true`. Both digests of each must match."""
    for name in sorted({*statement.subjects, *true}):
        if name not in true:
            yield Problem("V-S04", f"签名对象 {name} 不是应签的文件", "按现有文件重新封存")
        elif name not in statement.subjects:
            yield Problem("V-S04", f"{name} 没有被签名", "按现有文件重新封存")
        elif statement.subjects[name] != true[name]:
            yield Problem("V-S04", f"{name} 不是签名时的那个文件", "向交付方要原件，或查明改动后重新封存")


def verify_envelope(envelope: Envelope, document: Document, trust: Trust | None) -> SealReport:
    """Check that `envelope` is about such a document and signed by exactly its roster, and the roster against `trust`."""
    statement, message = envelope.statement, envelope.message
    general: list[Problem] = []
    if statement.predicate_type not in document.predicate_types:
        text = f"签名声明的类型是 {statement.predicate_type}，不是{document.word}的"
        general.append(Problem("V-S03", text, "给出与文件相配的签名"))
    for key_id in sorted(envelope.signatures.keys() - {signer.key.id for signer in statement.signers}):
        general.append(Problem("V-S08", f"有名册以外的签名：密钥 {key_id[:16]}…", "向交付方要原件"))
    if trust is not None:
        general += trust.deviations(document, statement.signers)
    results: list[SignatureResult] = []
    for signer in statement.signers:
        signature = envelope.signatures.get(signer.key.id)
        named = document is not Document.PUBLIC
        problems = list(trust.objections(signer, statement.sealed_at, named=named)) if trust is not None else []
        if signature is None:
            problems.append(Problem("V-S06", f"{signer}：还没有签名，或签名被去掉", "由本人签名，或向交付方要原件"))
        elif not signer.key.verifies(message, signature):
            problems.append(Problem("V-S05", f"{signer}：签名不成立", "文件已被改动，向交付方要原件"))
        results.append(SignatureResult(signer, tuple(problems)))
    return SealReport(statement, tuple(results), tuple(general), trust is not None)


def envelope_of(contents: PackageContents) -> Envelope:
    """The signatures of an intact package. Raises UserError (UNVERIFIED) when it has none or they are unreadable."""
    if contents.envelope is None:
        problem = Problem("V-S02", "证据包没有签名", "用 yanshou sign 签名，或向交付方要签过名的证据包", contents.root)
        raise UserError(problem, ExitCode.UNVERIFIED)
    return read_envelope(contents.envelope, contents.root)


def verify_package(contents: PackageContents, trust: Trust | None, document: Document = Document.PACKAGE) -> SealReport:
    """Check the signatures of an intact package. Raises UserError (UNVERIFIED) when it has none or they are unreadable."""
    report = verify_envelope(envelope_of(contents), document, trust)
    return replace(report, general=(*check_subjects(report.statement, contents.subjects), *report.general))


def countersign(path: Path, key: PrivateKey, role: Role, show: Callable[[Envelope], None] = lambda _: None) -> Envelope:
    """Add a signature to the package at `path`, in one step. Raises UserError: not intact, unsigned, not expected.

    `show` gets what has been signed by others so far; what it raises leaves the package as it is.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        contents = open_package(path, Path(folder))
        envelope = envelope_of(contents)
        if problems := list(check_subjects(envelope.statement, contents.subjects)):
            raise UserError([replace(p, file=path) for p in problems], ExitCode.UNVERIFIED)
        signed = add_signature(envelope, key, role)
        show(envelope)
        write_package(path, contents.bag, signed.to_bytes())
    return signed
