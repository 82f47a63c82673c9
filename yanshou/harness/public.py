"""The public edition: verdicts only, signed by those who signed the sealed package, and tied to it by its digest.

It is for telling the public what was found without telling what was promised or measured (notice, note 1 of 表1: 指标不对外公开).
Whoever may read the sealed package can prove that the public edition tells the truth; whoever may not sees who stands for it.
It must never hold a text that project or evaluator wrote (names, places, numbers, files), and that includes names of signers:
their roles stand in the roster, and the ids of their keys.
"""

from __future__ import annotations

import json
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from yanshou.harness.bag import PackageContents, make_bag, open_package, write_package
from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.digests import Digests, measure_file
from yanshou.harness.envelope import PUBLIC, Document, Envelope, Role, Signer, require_expected, sign, statement
from yanshou.harness.evidence import canonical, require_writable, utc_now
from yanshou.harness.identity import tool_identity
from yanshou.harness.keys import PrivateKey
from yanshou.harness.model import Mode, Verdict
from yanshou.harness.replay import differences
from yanshou.harness.seal import IDENTITIES_UNCHECKED, countersign, envelope_of, verify_package
from yanshou.harness.sealing import Sealed, Show, ToSign, refuse_demo_key, unseen
from yanshou.harness.trust import BEIJING, Trust
from yanshou.harness.verify import Verification, take_seal, verify_opened
from yanshou.reports.display import MARKS
from yanshou.reports.papers.public import told_publicly

FORMAT = "yanshou-public:1"
SUMMARY, PAGE = "public.json", "public.html"
EXPERTS = "专家评议"
TEMPLATE = Path(__file__).parents[1] / "reports/public.html.j2"
NO_ZIP = (zipfile.BadZipFile, LookupError, ValueError, NotImplementedError, OSError, struct.error)
"""What zipfile raises for something that is no zip, or not a sound one."""


def public_summary(record: Mapping[str, Json], sealed: Digests) -> dict[str, Json]:
    """What public.json says: words of the public list, the report's number, verdicts, and the digests of the sealed package.

    A verdict of None is left to experts. Indicators that the project added have neither id nor name.
    """
    case = record["case"]
    return {
        "format": FORMAT,
        "mode": record["mode"],
        "marking": record["marking"],
        "report_number": case["report_number"] or None,
        "replaces": (case.get("replaces") or {}).get("number"),
        "list": record["list"]["title"],
        "scenario": case["scenario"],
        "scenario_name": case["scenario_name"],
        "verdict": record["verdict"],
        "indicators": [{"indicator": i, "name": n, "verdict": v} for i, n, v in told_publicly(record)],
        "sealed_package": sealed.to_json(),
    }


def public_page(summary: Mapping[str, Json]) -> bytes:
    """The summary for people, one HTML file without scripts or resources. Raises LookupError or TypeError for another shape."""
    from jinja2 import Environment, StrictUndefined
    from jinja2.exceptions import UndefinedError

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    words = {v.value: f"{MARKS[v]} {v.word}" for v in Verdict} | {None: EXPERTS}
    try:
        text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(s=summary, words=words)
    except UndefinedError as error:
        raise LookupError(str(error)) from None
    return text.encode()


def _summary_bytes(summary: Mapping[str, Json]) -> bytes:
    return canonical(dict(summary)) + b"\n"


def is_public(path: Path) -> bool:
    """Whether what is at `path`, a zip or the folder it was unpacked to, would be a public edition and not a sealed case."""
    if path.is_dir():
        return (path / "data" / SUMMARY).is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2] == f"data/{SUMMARY}" for name in archive.namelist())
    except NO_ZIP:
        return False


def publish(sealed: Path, folder: Path, key: PrivateKey, role: Role, show: Show = unseen) -> Sealed:
    """Write the public edition of the complete package `sealed` below `folder`, or add a signature to it.

    Who signed the one signs the other. Raises UserError: the package does not verify or lacks a signature, not on its roster.
    """
    if not sealed.is_file():
        raise UserError(
            Problem("U-E01", "公开版要由封存的 zip 写出", "给出 package/ 里的 zip，不是解开的文件夹", sealed)
        )
    if is_public(sealed):
        raise UserError(Problem("U-E01", "这已经是公开版", "给出密封的数据包", sealed))
    digests = measure_file(sealed).digests
    path = folder / f"{digests.sha256[:12]}.zip"
    with tempfile.TemporaryDirectory(prefix="yanshou-public-") as scratch:
        contents = open_package(sealed, Path(scratch, "sealed"))
        found = verify_opened(contents, None)
        problems = [p for p in found.problems if p != IDENTITIES_UNCHECKED]
        if problems or found.record is None:
            text = f"密封的数据包核验不通过（{len(problems)} 处，首处 {problems[0].code}）"
            remedy = f"先运行 yanshou verify {sealed}，签名齐全、核验通过后再写公开版"
            raise UserError(Problem("U-E02", text, remedy, sealed), ExitCode.UNVERIFIED)
        refuse_demo_key(Mode(found.record["mode"]), key)
        summary = public_summary(found.record, digests)
        told = ToSign(
            Document.PUBLIC,
            Signer(role, key.public),
            summary["report_number"] or "",
            summary["marking"],
            tuple((i["indicator"] or "—", i["name"], i["verdict"]) for i in summary["indicators"]),
            (("密封的数据包", digests.sha256),),
        )
        if path.exists():
            return Sealed(path, countersign(path, key, role, lambda e: show(told.with_envelope(e))))
        for name, data in ((SUMMARY, _summary_bytes(summary)), (PAGE, public_page(summary))):
            Path(scratch, name).write_bytes(data)
        info = {
            "Bagging-Date": datetime.now(BEIJING).date().isoformat(),
            "External-Identifier": summary["report_number"] or f"S{summary['scenario']:02d}",
            "Bag-Software-Agent": f"yanshou {tool_identity().version}",
        }
        bag = make_bag(f"public-{path.stem}", [(n, Path(scratch, n)) for n in (SUMMARY, PAGE)], info)
        roster = [signer.without_name() for signer in envelope_of(contents).statement.signers]
        require_expected(roster, key, role)
        show(replace(told, roster=tuple(roster)))
        predicate = {"verdict": summary["verdict"], "sealed_package": digests.to_json()}
        envelope = sign(statement(bag.subjects, PUBLIC, predicate, roster, utc_now()), key, role)
        folder.mkdir(exist_ok=True)
        require_writable(folder)
        write_package(path, bag, envelope.to_bytes())
    return Sealed(path, envelope)


def verify_public(path: Path, trust: Trust | None, sealed: Path | None) -> Verification:
    """Check a public edition: its signatures, its form, and against the package `sealed` whether it tells the truth.

    `sealed` is verified and replayed itself. Without it only who says so is checked, and that is said.
    """
    found = Verification()
    with tempfile.TemporaryDirectory(prefix="yanshou-public-") as scratch:
        try:
            contents = open_package(path, Path(scratch))
        except UserError as error:
            found.problems += error.problems
            return found
        envelope, summary = _read(contents, trust, found)
    if summary is None:
        return found
    found.record = summary
    if summary["mode"] == Mode.ACCEPTANCE and trust is None:
        found.problems.append(IDENTITIES_UNCHECKED)
    if sealed is None:
        found.notes.append("没有给出密封的数据包：只核对了公开版的签名，没有核对它说的是否属实（--against）")
        return found
    _compare(summary, envelope, sealed, trust, found)
    return found


def _read(
    contents: PackageContents, trust: Trust | None, found: Verification
) -> tuple[Envelope | None, dict[str, Json] | None]:
    """Who signed what, if it can be read."""
    envelope: Envelope | None = None
    try:
        envelope = envelope_of(contents)
        take_seal(verify_package(contents, trust, Document.PUBLIC), "公开版", found)
    except UserError as error:
        found.problems += error.problems
    return envelope, _read_summary(contents, envelope, found)


def _read_summary(contents: PackageContents, envelope: Envelope | None, found: Verification) -> dict[str, Json] | None:
    """What the edition says, if it is all there and in its one form."""
    if set(contents.payload) != {f"data/{SUMMARY}", f"data/{PAGE}"}:
        found.problems.append(Problem("V-U01", "公开版里有别的文件", "向交付方要原件", contents.root))
        return None
    try:
        data = (contents.root / "data" / SUMMARY).read_bytes()
        summary: dict[str, Json] = json.loads(data)
        same = _summary_bytes(summary) == data and summary["format"] == FORMAT and bool(summary["mode"])
        page = (contents.root / "data" / PAGE).read_bytes() == public_page(summary)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        same = page = False
    if not same:
        found.problems.append(Problem("V-U01", f"{SUMMARY} 不是 yanshou 写的形式", "向交付方要原件", contents.root))
        return None
    if not page:
        found.problems.append(Problem("V-U02", f"{PAGE} 说的与 {SUMMARY} 不同", "以签名的原件为准", contents.root))
    said = {"verdict": summary["verdict"], "sealed_package": summary["sealed_package"]}
    if envelope is not None and dict(envelope.statement.predicate) != said:
        found.problems.append(Problem("V-U02", f"签名声明说的与 {SUMMARY} 不同", "向交付方要原件", contents.root))
    return summary


def _compare(
    summary: Mapping[str, Json], envelope: Envelope | None, sealed: Path, trust: Trust | None, found: Verification
) -> None:
    if not sealed.is_file():
        raise UserError(Problem("U-E01", "要与密封的 zip 核对", "--against 给出 package/ 里的 zip，不是文件夹", sealed))
    digests = measure_file(sealed).digests
    if summary["sealed_package"] != digests.to_json():
        text = f"公开版说的是另一份数据包（SHA-256 {str(summary['sealed_package'].get('sha256'))[:16]}…）"
        found.problems.append(Problem("V-U03", text, "找到那一份，或查明为何不同", sealed))
    with tempfile.TemporaryDirectory(prefix="yanshou-against-") as scratch:
        try:
            contents = open_package(sealed, Path(scratch))
            roster = {(s.role, s.key.id) for s in envelope_of(contents).statement.signers}
        except UserError as error:
            found.problems += error.problems
            return
        checked = verify_opened(contents, trust)
    found.problems += [replace(p, file=sealed) for p in checked.problems if p not in found.problems]
    found.limits += [replace(p, file=sealed) for p in checked.limits]
    if envelope is not None and roster != {(s.role, s.key.id) for s in envelope.statement.signers}:
        found.problems.append(Problem("V-U05", "公开版的签名人不是密封数据包的签名人", "由同一名册重新签", sealed))
    if checked.record is None:
        return
    different = list(differences(dict(summary), public_summary(checked.record, digests)))
    different = [d for d in different if not d.place.startswith("sealed_package")]
    for each in different:
        found.problems.append(Problem("V-U04", f"公开版与密封的数据包不符：{each}", "公开版不属实，重新写出", sealed))
    if not different and not checked.problems:
        count = len(summary["indicators"])
        found.checked.append(f"密封的数据包核验通过，由原始证据重放的 {count} 项判定与公开版逐项相同")
