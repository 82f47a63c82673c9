"""A formal acceptance with real keys: what may be signed, by whom, when, and what a reviewer with a trust file sees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.support import YANSHOU, device_export, export_counting, record_of, reflector, write_audit, yanshou
from tests.terminals import converse
from yanshou.demo.s10 import Place, case_text, scenes
from yanshou.demo.visits import write_sheet
from yanshou.harness.keys import new_key

PEOPLE = {"project": "受检方代表", "tester": "检测员", "reviewer": "审核员", "approver": "批准人"}


def keys_and_trust(folder: Path) -> Path:
    """One key per role, an SM2 one among them, and the trust file that a reviewer keeps."""
    entries = []
    for role, name in PEOPLE.items():
        algorithm = "sm2" if role == "approver" else "ed25519"
        new_key(folder / role, algorithm=algorithm, name=name)
        public = json.loads((folder / f"{role}.pub").read_text())
        pem = json.dumps(public["public"])
        entries.append(
            f"  - {{name: {name}, roles: [{role}], algorithm: {algorithm}, id: {public['id']}, "
            f"valid_from: 2026-01-01, valid_until: 2099-12-31, public: {pem}}}"
        )
    trust = folder / "trust.yaml"
    required = "require: {plan: [project, tester], package: [tester, reviewer, approver]}"
    trust.write_text("keys:\n" + "\n".join(entries) + f"\n{required}\n", encoding="utf-8")
    return trust


def formal_case(folder: Path, port: int, *, kind: str = "production") -> Path:
    """The demo's measurands as an acceptance case of a production target, all cells filled in."""
    text = (
        case_text(Place(port, 9, "演示"))
        .replace("mode: demo", "mode: acceptance")
        .replace("kind: simulator", f"kind: {kind}")
    )
    text = re.sub(r"  S10-I02: \{probe: devices.*\n", lambda _: "  S10-I02:\n" + export_counting(33), text)
    text = text.replace("key_file: reflector.key, count: 1500", "count: 600").replace("不少于102台", "不少于110台")
    text = text.replace("lead: {name: 演示单位(虚构)}", LEAD)
    write_sheet(folder, "S10-I01", "演示车间", scenes())
    (folder / "inputs/devices.csv").write_text(device_export(), encoding="utf-8")
    (folder / "case.yaml").write_text(text, encoding="utf-8")
    return folder


LEAD = 'lead: {name: 某单位, uscc: "91420100MA4KLA1B37"}\n  published: 2025-11-01\n  deadline: 2026-10-31'


def audit(case: Path) -> None:
    plan = json.loads((case / "plan.lock.json").read_bytes())
    devices = next(i for i in plan["indicators"] if i["id"] == "S10-I02")
    write_audit(case, devices["seed"], devices["instrument"]["params"])


@pytest.mark.alone
def test_a_formal_acceptance(tmp_path: Path) -> None:
    trust = keys_and_trust(tmp_path)
    case = tmp_path / "case"
    with reflector(0.5) as port:
        formal_case(case, port)
        check = yanshou("check", case)
        assert check.returncode == 0, check.stdout
        assert yanshou("plan", case, "--freeze").returncode == 0
        first = yanshou("sign", case, "--plan", "--role", "project", "--key", tmp_path / "project", "--trust", trust)
        assert first.returncode == 0, first.stderr
        second = yanshou("sign", case, "--plan", "--role", "tester", "--key", tmp_path / "tester")
        assert (second.returncode, "2/2" in second.stdout) == (0, True), second.stderr
        audit(case)
        ran = yanshou("run", case)
    assert ran.returncode in (0, 3), ran.stdout + ran.stderr  # a busy host may leave the latency undecided
    record = record_of(case)
    assert record["plan"]["signed_by"] == ["project", "tester"]
    assert record["marking"] == ""
    unsealed = yanshou("sign", case, "--role", "tester", "--key", tmp_path / "tester", "--trust", trust)
    assert (unsealed.returncode, "S-E15" in unsealed.stderr) == (2, True), unsealed.stderr
    assert yanshou("report", case).returncode == ran.returncode
    wrong = yanshou("sign", case, "--role", "reviewer", "--key", tmp_path / "tester", "--trust", trust)
    assert (wrong.returncode, "S-E03" in wrong.stderr) == (2, True), wrong.stderr
    for missing, role in ((2, "tester"), (1, "reviewer"), (0, "approver")):
        signed = yanshou("sign", case, "--role", role, "--key", tmp_path / role, "--trust", trust, "--json")
        assert signed.returncode == 0, signed.stderr
        answer = json.loads(signed.stdout)
        assert len(answer["missing"]) == missing
        verified = yanshou("verify", answer["package"], "--trust", trust)
        assert verified.returncode == (4 if missing else 0), verified.stdout
    blind = yanshou("verify", answer["package"])
    assert (blind.returncode, "V-S13" in blind.stdout) == (4, True), blind.stdout
    page = (case / "report/report.html").read_text(encoding="utf-8")
    assert "演示数据" not in page
    assert "自检，不作验收依据" not in page


@pytest.mark.parametrize(
    ("kind", "sign_plan", "code"),
    [("lab", True, "S-E12"), ("simulator", True, "S-E12"), ("production", False, "S-E13")],
)
def test_what_may_not_become_a_formal_report(tmp_path: Path, kind: str, sign_plan: bool, code: str) -> None:
    trust = keys_and_trust(tmp_path)
    case = tmp_path / "case"
    formal_case(case, 9, kind=kind)
    assert yanshou("plan", case, "--freeze").returncode == 0
    if sign_plan:
        for role in ("project", "tester"):
            yanshou("sign", case, "--plan", "--role", role, "--key", tmp_path / role, "--trust", trust)
    assert yanshou("run", case, "--only", "S10-I01").returncode == 3
    if not sign_plan:  # signing afterwards does not count
        for role in ("project", "tester"):
            assert (
                yanshou("sign", case, "--plan", "--role", role, "--key", tmp_path / role, "--trust", trust).returncode
                == 0
            )
    assert yanshou("report", case).returncode == 3
    done = yanshou("sign", case, "--role", "tester", "--key", tmp_path / "tester", "--trust", trust)
    assert (done.returncode, code in done.stderr) == (2, True), done.stderr
    assert not (case / "package").exists()


def test_the_price_of_measuring_under_an_unsigned_plan_is_told_before(tmp_path: Path) -> None:
    keys_and_trust(tmp_path)
    case = formal_case(tmp_path / "case", 9)
    frozen = yanshou("plan", case, "--freeze")
    assert "--plan --role tester --key 私钥 --with project=" in frozen.stdout
    alone = yanshou("sign", case, "--plan", "--role", "tester", "--key", tmp_path / "tester")
    assert (alone.returncode, "--with project=" in alone.stderr) == (0, True), alone.stderr
    run = [*YANSHOU, "run", str(case), "--only", "S10-I01"]
    code, said = converse(run, [("仍然现在测量", "n")])
    assert (code, "计划还没有受检方的签名" in said) == (130, True), said
    assert not (case / "runs").exists()
    done = yanshou("run", case, "--only", "S10-I01")
    assert (done.returncode, "再也签不出正式报告" in done.stderr) == (3, True), done.stderr
    again = yanshou("run", case, "--only", "S10-I01")
    assert "S-E13" not in again.stderr


def test_a_self_check_is_never_signed(tmp_path: Path) -> None:
    trust = keys_and_trust(tmp_path)
    case = tmp_path / "case"
    formal_case(case, 9)
    path = case / "case.yaml"
    path.write_text(path.read_text().replace("mode: acceptance", "mode: self-check"), encoding="utf-8")
    assert yanshou("plan", case, "--freeze").returncode == 0
    assert yanshou("run", case, "--only", "S10-I01").returncode == 3
    assert yanshou("report", case).returncode == 3
    done = yanshou("sign", case, "--role", "tester", "--key", tmp_path / "tester", "--trust", trust)
    assert (done.returncode, "S-E11" in done.stderr) == (2, True)
    assert yanshou("verify", case).returncode == 0


def test_an_acceptance_plan_needs_every_list_indicator(tmp_path: Path) -> None:
    case = formal_case(tmp_path / "case", 9)
    path = case / "case.yaml"
    text = path.read_text()
    cut = text.index("  S10-I02:\n    baseline")
    path.write_text(text[:cut] + text[text.index("  S10-I03:\n    baseline") :], encoding="utf-8")
    done = yanshou("plan", case, "--freeze")
    assert (done.returncode, "C02" in done.stderr) == (2, True), done.stderr
    assert not (case / "ledger.jsonl").exists()


def test_an_open_reading_is_measured_and_not_judged(tmp_path: Path) -> None:
    case = tmp_path / "case"
    with reflector(0.5) as port:
        formal_case(case, port)
        path = case / "case.yaml"
        text = path.read_text().replace("mode: acceptance", "mode: self-check").replace("      direction: 往返\n", "")
        path.write_text(text, encoding="utf-8")
        dry = yanshou("plan", case)
        assert "口径未定" in dry.stdout
        assert yanshou("plan", case, "--freeze").returncode == 0
        ran = yanshou("run", case, "--only", "S10-I03")
    assert ran.returncode == 3
    found = next(f for f in record_of(case)["findings"] if f["indicator"] == "S10-I03")
    assert found["verdict"] in ("inconclusive", "invalid")  # invalid where this host was too busy to send on time
    assert "undefined_reading" in {r["code"] for r in found["reasons"]}
    assert found["readings"]["p50"] > 0.5
