"""Handing over: encrypted to readers, published as verdicts only, signed by people who saw what they sign."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import YANSHOU
from tests.e2e.support import in_process as yanshou
from tests.handing import NUMBER, PEOPLE, SEALERS, Formal, confidential, formal_case, seal, trust_text
from tests.terminals import converse
from yanshou.harness.bag import make_bag, open_package, write_package
from yanshou.harness.basics import UserError
from yanshou.harness.digests import measure_file
from yanshou.harness.encryption import load_identities, new_reading_key
from yanshou.harness.engine import freeze_case, write_record
from yanshou.harness.envelope import PUBLIC, Envelope, Role, Signer, add_signature, statement
from yanshou.harness.evidence import Ledger, utc_now
from yanshou.harness.handover import examine
from yanshou.harness.keys import PrivateKey, load_private, new_key
from yanshou.harness.listing import load_list
from yanshou.harness.public import _summary_bytes, public_page, public_summary
from yanshou.harness.sealing import sealed_package, sign_plan
from yanshou.harness.trust import load_trust
from yanshou.reports.render import render

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
READER = "陈评审专家"


@pytest.fixture(scope="module")
def formal(tmp_path_factory: pytest.TempPathFactory) -> Formal:
    return formal_case(tmp_path_factory.mktemp("formal"))


@pytest.fixture
def unsealed(formal: Formal, tmp_path: Path) -> Path:
    """The same case before anybody signed its package."""
    folder = tmp_path / "case"
    shutil.copytree(formal.folder, folder, ignore=shutil.ignore_patterns("package", "public"))
    return folder


@pytest.fixture(scope="module")
def published(formal: Formal, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The public edition with all signatures, and everything that was printed while it was made."""
    said, folder = "", tmp_path_factory.mktemp("out") / "public"
    for missing, role in ((2, "tester"), (1, "reviewer"), (0, "approver")):
        done = yanshou(
            "package", formal.folder, "--public", "--role", role, "--key", formal.key_files / role, "-o", folder
        )
        assert done.returncode == 0, done.stderr
        assert ("名册上的签名已齐" in done.stdout) == (missing == 0)
        said += done.stdout + done.stderr
    (path,) = folder.iterdir()
    return path, said


def texts(package: Path) -> dict[str, str]:
    """Every member of a zip, its own name, and the payload inside the signatures."""
    with zipfile.ZipFile(package) as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    found["names"] = "\n".join([package.name, *found])
    (sealed,) = (name for name in found if name.endswith("package.dsse.json"))
    envelope = json.loads(
        found.pop(sealed)
    )  # base64 holds any two or three letters by chance: its content is looked at
    found["payload"] = base64.b64decode(envelope.pop("payload")).decode()
    found["envelope"] = json.dumps({**envelope, "signatures": [sorted(s) for s in envelope["signatures"]]})
    return found


def words_of_the_list(formal: Formal) -> set[str]:
    scenario = load_list().scenario(10)
    names = {
        formal.record["list"]["title"],
        re.sub("[【】]", "", scenario.name.restored),
        *(i.name for i in scenario.indicators),
    }
    return names | {q.text for q in scenario.qualitative} | {i.id for i in scenario.indicators}


FORM = {
    "tester", "reviewer", "yanshou", "records", "evidence", "measurement", "inspection", "production", "counted", "completed",
    "rtt", "vm", "ms", "MES", "p0", "p1", "p2", "P99", "<=", ">=", "个", "件", "是", "甲", "乙", "count", "checklist",
}  # fmt: skip
"""Codes and units of one or a few letters, or words of the file's own form."""


def test_the_public_edition_holds_verdicts_and_no_secret(formal: Formal, published: tuple[Path, str]) -> None:
    path, said = published
    public, secrets = words_of_the_list(formal), confidential(formal) - FORM
    spoken = {text for text in secrets if re.search(r"[^\d.:+\-eTZ]", text) and text not in public}
    assert {
        "灯塔七号项目",
        "夜班良品数",
        "珞瑜路 9527 号",
        "欧阳检测",
        "诸葛批准",
        "不少于109台(套)",
        "night.csv",
    } <= spoken
    every = {**texts(path), "said": said.replace(str(path), path.name)}
    for name, text in every.items():
        for secret in spoken:
            assert secret not in text, (name, secret)
    raw = path.read_bytes()
    assert [s for s in spoken if len(s.encode()) > 5 and s.encode() in raw] == []
    # numbers: what is left when everything that may be known is taken out has none
    page = re.sub(
        r"<style>.*?</style>|<[^>]*>", " ", every[next(n for n in every if n.endswith("public.html"))], flags=re.S
    )
    summary = every[next(n for n in every if n.endswith("public.json"))]
    known = "|".join(map(re.escape, sorted([*public, NUMBER], key=len, reverse=True)))
    for text in (page, summary):
        left = re.sub(
            known + r"|\b[0-9a-f]{64}\b|S10-[IQ]\d\d|SHA-256|sha256|sm3|SM3|yanshou-public:1|项目自报指标（1）",
            " ",
            text,
        )
        assert re.findall(r"\d+", left) in ([], ["10"]), left  # the scenario's number
    for finding in formal.record["findings"]:
        assert finding["verdict_word"] in page
    assert NUMBER in page
    # and the test can fail: the sealed report does hold them
    sealed = subprocess.run(["pdftotext", formal.folder / "report/report.pdf", "-"], capture_output=True, check=True)
    shown = re.sub(r"\s", "", sealed.stdout.decode())
    assert {s for s in ("灯塔七号项目", "夜班良品数", "欧阳检测", "109") if s not in shown} == set()


def test_the_public_edition_is_signed_by_the_same_people_and_tells_the_truth(
    formal: Formal, published: tuple[Path, str]
) -> None:
    path, _ = published
    assert yanshou("verify", path, "--trust", formal.trust).returncode == 0
    blind = yanshou("verify", path)
    assert (blind.returncode, "V-S13" in blind.stdout) == (4, True)
    told = yanshou("verify", path, "--trust", formal.trust, "--against", formal.package)
    assert (told.returncode, "与公开版逐项相同" in told.stdout) == (0, True), told.stdout
    summary = json.loads(texts(path)[f"public-{path.stem}/data/public.json"])
    assert summary["sealed_package"]["sha256"] == measure_file(formal.package).digests.sha256
    assert [(i["indicator"], i["verdict"]) for i in summary["indicators"]][:4] == [
        ("S10-I01", "pass"), ("S10-I02", "pass"), ("S10-I03", "not_run"), (None, "pass"),
    ]  # fmt: skip
    again = yanshou("package", formal.package, "--public", "--key", formal.key_files / "tester", "-o", path.parent)
    assert (again.returncode, "S-E04" in again.stderr) == (2, True)


def forge(formal: Formal, folder: Path, change: Callable[[dict[str, Any]], None], **other: Any) -> Path:
    """A public edition that says something else, well-formed and signed by `keys` as if it were true."""
    summary = public_summary(formal.record, measure_file(formal.package).digests)
    told = json.loads(json.dumps(summary))
    change(told)
    (folder / "public.json").write_bytes(_summary_bytes(told))
    (folder / "public.html").write_bytes(public_page(other.get("page", told)))
    info = {"Bagging-Date": "2026-11-26", "External-Identifier": NUMBER}
    bag = make_bag("public-0", [(n, folder / n) for n in ("public.json", "public.html")], info)
    keys: Mapping[Role, PrivateKey] = other.get("keys", {role: formal.keys[role] for role in SEALERS})
    said = {"verdict": told["verdict"], "sealed_package": told["sealed_package"], **other.get("said", {})}
    roster = [Signer(role, key.public).without_name() for role, key in keys.items()]
    envelope = Envelope(statement(bag.subjects, PUBLIC, said, roster, utc_now()), {})
    for role, key in keys.items():
        envelope = add_signature(envelope, key, role)
    path = folder / "forged.zip"
    write_package(path, bag, envelope.to_bytes())
    return path


def nothing(_: dict[str, Any]) -> None:
    return


def passed(told: dict[str, Any]) -> None:
    told["indicators"][2]["verdict"] = "pass"
    told["verdict"] = "pass"


def other_package(told: dict[str, Any]) -> None:
    told["sealed_package"]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "other", "codes"),
    [
        (nothing, {}, []),
        (passed, {}, ["V-U04", "V-U04"]),
        (other_package, {}, ["V-U03"]),
        (lambda told: told.update(report_number="WHJC-1"), {}, ["V-U04"]),
        (lambda told: told["indicators"].pop(2), {}, ["V-U04"]),
        (nothing, {"page": "passed"}, ["V-U02"]),
        (nothing, {"said": {"verdict": "pass"}}, ["V-U02"]),
        (lambda told: told.update(format="yanshou-public:0"), {}, ["V-U01"]),
    ],
)
def test_a_public_edition_that_lies_is_found(
    formal: Formal, tmp_path: Path, change: Callable[[dict[str, Any]], None], other: dict[str, Any], codes: list[str]
) -> None:
    if "page" in other:
        told = json.loads(json.dumps(public_summary(formal.record, measure_file(formal.package).digests)))
        passed(told)
        other = {"page": told}
    path = forge(formal, tmp_path, change, **other)
    found = examine(path, load_trust(formal.trust), against=formal.package)
    assert [p.code for p in found.problems] == codes


def test_a_public_edition_signed_by_others_is_found(formal: Formal, tmp_path: Path) -> None:
    for role in SEALERS:
        new_key(tmp_path / role, algorithm="ed25519", name=PEOPLE[role][0])
    keys = {role: load_private(tmp_path / role) for role in SEALERS}
    path = forge(formal, tmp_path, nothing, keys=keys)
    trusting = examine(path, load_trust(formal.trust), against=formal.package)
    assert [p.code for p in trusting.problems] == ["V-S09"] * 3 + ["V-U05"]
    fewer = {role: formal.keys[role] for role in (Role.TESTER, Role.APPROVER)}
    short = examine(forge(formal, tmp_path, nothing, keys=fewer), load_trust(formal.trust), against=formal.package)
    assert [p.code for p in short.problems] == ["V-S07", "V-U05"]


def test_what_is_not_complete_is_not_published(formal: Formal, unsealed: Path, tmp_path: Path) -> None:
    key = formal.key_files / "tester"
    ledger = (unsealed / "ledger.jsonl").read_bytes()
    wrong = yanshou("sign", unsealed, "--role", "reviewer", "--key", key, "--trust", formal.trust)
    assert (wrong.returncode, "S-E03" in wrong.stderr) == (2, True)
    assert (unsealed / "ledger.jsonl").read_bytes() == ledger  # who may not sign leaves no trace
    none = yanshou("package", unsealed, "--public", "--key", key)
    assert (none.returncode, "S-E22" in none.stderr) == (2, True)
    seal(unsealed, formal.keys, (Role.TESTER,))
    early = yanshou("package", unsealed, "--public", "--key", key)
    assert (early.returncode, "U-E02" in early.stderr, "V-S06" in early.stderr) == (4, True, True)
    assert not (unsealed / "public").exists()
    stranger = yanshou("package", formal.folder, "--public", "--role", "approver", "--key", key, "-o", tmp_path / "p")
    assert (stranger.returncode, "S-E03" in stranger.stderr, (tmp_path / "p").exists()) == (2, True, False)
    both = yanshou("package", formal.folder, "--public", "--for", READER)
    assert (both.returncode, "S-E23" in both.stderr) == (2, True)
    wrong = yanshou("verify", formal.package, "--against", formal.package)
    assert (wrong.returncode, "U-E03" in wrong.stderr) == (2, True)


def correct(case: Path, number: str, replaces: str | None) -> None:
    """Amend the case after everything was measured: another report number, and which report it replaces."""
    text = (case / "case.yaml").read_text(encoding="utf-8")
    told = f", replaces: {{number: {replaces}, reason: 地址写错, changes: [封面的地址]}}" if replaces else ""
    changed = re.sub("(?m)^report: .*$", lambda _: f"report: {{number: {number}{told}}}", text)
    (case / "case.yaml").write_text(changed, encoding="utf-8")
    freeze_case(case, "欧阳检测", "更正报告")
    for role in (Role.PROJECT, Role.TESTER):
        others = [Signer(r, formal_keys(case)[r].public) for r in (Role.PROJECT, Role.TESTER) if r is not role]
        sign_plan(case, formal_keys(case)[role], role, others)
    render(write_record(case), case / "report")


def formal_keys(case: Path) -> dict[Role, PrivateKey]:
    return {role: load_private(case.parent / "keys" / role) for role in PEOPLE}


def test_a_correction_is_sealed_and_is_then_the_package_of_the_case(formal: Formal, unsealed: Path) -> None:
    shutil.copytree(formal.key_files, unsealed.parent / "keys")
    first = seal(unsealed, formal.keys).path
    assert sealed_package(unsealed) == first
    (first.parent / "other.zip").write_bytes(b"somebody else's")
    with Ledger(unsealed) as ledger:  # the record is another one now: two reports of one number
        ledger.append("recovered", number=1, streams={})
    render(write_record(unsealed), unsealed / "report")
    for number, replaces in ((None, None), (f"{NUMBER}-B", "OTHER-1")):
        if number:
            correct(unsealed, number, replaces)
        with pytest.raises(UserError) as refused:
            seal(unsealed, formal.keys, (Role.TESTER,))
        assert [p.code for p in refused.value.problems] == ["S-E16"]
    correct(unsealed, f"{NUMBER}-C", NUMBER)
    second = seal(unsealed, formal.keys).path
    assert sealed_package(unsealed) == second
    assert sealed_package(first) == first  # named, it is itself
    found = examine(second, load_trust(formal.trust))
    assert (found.problems, found.limits) == ([], [])
    assert f"这份报告代替此前封存的 {first.stem}" in found.notes
    assert found.record is not None
    assert (found.record["plan"]["signed_by"], found.record["plan"]["signed"]["revision"]) == (["project", "tester"], 1)

    second.rename(second.with_suffix(".moved"))
    by_file = ("--role", "tester", "--p12", unsealed / "p")
    for command in (("package", unsealed, "--for", "age1x"), ("pdf", "sign", unsealed, *by_file)):
        gone = yanshou(*command)
        assert (gone.returncode, "S-E22" in gone.stderr, second.name in gone.stderr) == (2, True, True), gone.stderr
    for place, word in ((unsealed / "none", "没有这个文件"), (unpacked(first, unsealed), "是解开的数据包")):
        with pytest.raises(UserError, match=word):
            sealed_package(place)


def test_a_correction_may_not_change_what_decides(formal: Formal, unsealed: Path) -> None:
    text = (unsealed / "case.yaml").read_text(encoding="utf-8")
    assert "不少于109台" in text
    (unsealed / "case.yaml").write_text(text.replace("不少于109台", "不少于108台"), encoding="utf-8")
    freeze_case(unsealed, "欧阳检测", "放宽")
    for role in (Role.PROJECT, Role.TESTER):
        other = Role.TESTER if role is Role.PROJECT else Role.PROJECT
        sign_plan(unsealed, formal.keys[role], role, [Signer(other, formal.keys[other].public)])
    record = write_record(unsealed)
    assert (record["plan"]["signed_by"], record["plan"]["signed"]) == ([], None)
    render(record, unsealed / "report")
    with pytest.raises(UserError) as refused:
        seal(unsealed, formal.keys, (Role.TESTER,))
    assert [p.code for p in refused.value.problems] == ["S-E13"]


def test_a_corrected_plan_is_signed_again(formal: Formal, unsealed: Path) -> None:
    text = (unsealed / "case.yaml").read_text(encoding="utf-8")
    (unsealed / "case.yaml").write_text(text.replace("珞瑜路 9527 号", "珞喻路 9527 号"), encoding="utf-8")
    freeze_case(unsealed, "欧阳检测", "更正地址")
    render(write_record(unsealed), unsealed / "report")
    with pytest.raises(UserError, match="修订后的计划没有由") as refused:
        seal(unsealed, formal.keys, (Role.TESTER,))
    assert [p.code for p in refused.value.problems] == ["S-E13"]


def unpacked(package: Path, folder: Path) -> Path:
    return open_package(package, folder / "unpacked").root


def test_a_package_is_encrypted_to_named_readers(formal: Formal, tmp_path: Path) -> None:
    reader = new_reading_key(tmp_path / "reader", name=READER)
    new_reading_key(tmp_path / "other", name="别人")
    trust = tmp_path / "trust.yaml"
    entry = f"  - {{name: {READER}, age: {reader.recipient}, valid_from: 2020-01-01, valid_until: 2099-12-31}}"
    trust.write_text(trust_text(formal.keys, entry), encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    done = yanshou("package", formal.folder, "--for", READER, "--trust", trust, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    (encrypted,) = out.iterdir()
    assert json.loads(done.stdout) == {"file": str(encrypted), "missing": []}

    # nothing confidential outside: not the report's number, no name of a person or a file, no key
    assert re.fullmatch(r"[0-9a-f]{16}\.age", encrypted.name)
    raw = encrypted.read_bytes()
    header = raw[: raw.index(b"\n--- ")].decode()
    lines = header.split("\n")
    assert lines[0] == "age-encryption.org/v1"
    assert lines[1].startswith("-> X25519 ")  # an ephemeral share; what else there is, is the library's random filling
    for secret in {
        *confidential(formal),
        NUMBER,
        READER,
        reader.recipient,
        "package.dsse.json",
        "data/case.yaml",
    } - FORM:
        if len(secret.encode()) > 4:
            assert secret.encode() not in raw, secret
    assert b"case.yaml" in formal.package.read_bytes()  # the test can fail

    verified = yanshou("verify", encrypted, "--identity", tmp_path / "reader", "--trust", trust)
    assert (verified.returncode, "核验通过" in verified.stdout) == (0, True), verified.stdout
    for arguments, code in (([], "V-C01"), (["--identity", tmp_path / "other"], "V-C01")):
        refused = yanshou("verify", encrypted, *arguments)
        assert (refused.returncode, code in refused.stderr) == (4, True), refused.stderr
    opened = yanshou("open", encrypted, "--identity", tmp_path / "reader", "-o", tmp_path)
    assert opened.returncode == 0, opened.stderr
    assert (tmp_path / formal.package.name).read_bytes() == formal.package.read_bytes()
    twice = yanshou("open", encrypted, "--identity", tmp_path / "reader", "-o", tmp_path)
    assert (twice.returncode, "K-E03" in twice.stderr) == (2, True)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []

    against = examine(
        forge(formal, tmp_path, nothing), load_trust(trust), load_identities(tmp_path / "reader"), encrypted
    )
    assert against.problems == []


@needs_age
def test_age_opens_what_was_encrypted(formal: Formal, tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "id"], capture_output=True, check=True)
    recipient = re.search(r"age1\w+", (tmp_path / "id").read_text())
    assert recipient is not None
    done = yanshou("package", formal.package, "--for", recipient[0], "-o", tmp_path, "--json")
    encrypted = json.loads(done.stdout)["file"]
    plain = subprocess.run(["age", "-d", "-i", tmp_path / "id", encrypted], capture_output=True, check=True).stdout
    assert plain == formal.package.read_bytes()
    assert yanshou("verify", encrypted, "-i", tmp_path / "id", "--trust", formal.trust).returncode == 0


def test_reviewers_may_read_before_others_sign(formal: Formal, unsealed: Path, tmp_path: Path) -> None:
    reader = new_reading_key(tmp_path / "reader", name=READER)
    package = seal(unsealed, formal.keys, (Role.TESTER,)).path
    done = yanshou("package", unsealed, "--for", reader.recipient)
    assert (done.returncode, "还缺签名：审核 上官审核、批准 诸葛批准" in done.stdout) == (0, True), done.stderr
    before = sorted(p.name for p in package.parent.iterdir())
    data = package.read_bytes()
    package.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    broken = yanshou("package", unsealed, "--for", reader.recipient)
    assert broken.returncode == 4
    assert sorted(p.name for p in package.parent.iterdir()) == before


def test_a_person_sees_what_they_sign_and_may_refuse(formal: Formal, unsealed: Path) -> None:
    others = [f"--with={role}={formal.key_files / role}.pub" for role in (Role.REVIEWER, Role.APPROVER)]
    command = [*YANSHOU, "sign", str(unsealed), "--role", "tester", "--key", str(formal.key_files / "tester"), *others]
    ledger = (unsealed / "ledger.jsonl").read_bytes()
    code, shown = converse(command, [("[y/N]", "n")])
    assert code == 130, shown
    assert (unsealed / "ledger.jsonl").read_bytes() == ledger
    assert not (unsealed / "package").exists()
    record = measure_file(unsealed / "record.json").digests.sha256
    for said in (NUMBER, "夜班良品数", "✓ 符合", "未测", f"record.json sha256:{record}", "→ 现在签 检测 欧阳检测"):
        assert said in shown, (said, shown)
    assert "· 未签 审核 上官审核　SM2-SM3" in shown
    code, shown = converse(command, [("[y/N]", "y")])
    assert (code, "还缺签名：审核 上官审核、批准 诸葛批准" in shown) == (0, True), shown
    (package,) = (unsealed / "package").iterdir()
    before = package.read_bytes()
    second = [*command[:5], "--role", "reviewer", "--key", str(formal.key_files / "reviewer")]
    code, shown = converse(second, [("[y/N]", "n")])
    assert (code, "✔ 已签 检测 欧阳检测" in shown, "→ 现在签 审核 上官审核" in shown) == (130, True, True), shown
    assert measure_file(package).digests.sha256 in shown
    assert package.read_bytes() == before
    code, shown = converse([*second, "--yes"], [])
    assert (code, "[y/N]" in shown) == (0, False), shown


def test_a_plan_is_shown_with_its_limits(formal: Formal, unsealed: Path) -> None:
    (unsealed / "plan.dsse.json").unlink()
    command = [
        *YANSHOU,
        "sign",
        str(unsealed),
        "--plan",
        "--role",
        "project",
        "--key",
        str(formal.key_files / "project"),
    ]
    code, shown = converse(command, [("[y/N]", "n")])
    assert code == 130, shown
    for said in ("≥\u00a0109\u00a0台(套)", measure_file(unsealed / "plan.lock.json").digests.sha256, "→ 现在签 受检方"):
        assert said in shown, (said, shown)
    assert not (unsealed / "plan.dsse.json").exists()
