"""The demo as a user runs it, and its package in the hands of somebody who distrusts it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.e2e.support import package_of, record_of, yanshou
from tests.editions import untranslated
from tests.kits import rechain
from tests.resealing import edit_json, resealed
from yanshou.demo.s10 import COMMITTED_DEVICES, TRUE_DEVICES
from yanshou.harness.keys import new_key
from yanshou.harness.verify import verify

pytestmark = pytest.mark.alone


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "case"
    done = yanshou("demo", folder)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(folder / "report/report.pdf") in done.stdout
    assert str(package_of(folder)) in done.stdout
    return folder


@pytest.fixture
def unpacked(demo: Path, tmp_path: Path) -> Path:
    """The demo's package, unpacked."""
    with zipfile.ZipFile(package_of(demo)) as z:
        z.extractall(tmp_path)
    return next(p for p in tmp_path.iterdir() if p.is_dir())


def test_verdict_is_that_of_the_references(demo: Path) -> None:
    """The references' true values: 5 scenes, 110 devices among 10 cheats, 0.8 ms plus the stack, proven by a key."""
    record = record_of(demo)
    assert (record["verdict"], record["mode"], record["marking"]) == ("pass", "demo", "演示数据")
    found = {f["indicator"]: f for f in record["findings"]}
    assert found["S10-I01"]["value"] == 5
    assert found["S10-I02"]["value"] == TRUE_DEVICES
    assert found["S10-I02"]["lower"] >= COMMITTED_DEVICES
    assert 0.8 <= found["S10-I03"]["readings"]["p50"] <= 1.2
    assert all(f["calibration"]["within"] for f in found.values())


def test_demo_overwrites_nothing(demo: Path) -> None:
    from yanshou.demo.play import fresh_folder

    assert fresh_folder(demo).name == f"{demo.name}-2"


def test_no_key_is_left(demo: Path) -> None:
    assert [p for p in demo.rglob("*") if "key" in p.name] == []


def test_package_verifies_from_elsewhere(demo: Path, tmp_path: Path) -> None:
    copied = shutil.copy(package_of(demo), tmp_path / "sent.zip")
    done = yanshou("verify", copied, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["verdict"]) == (0, True, "pass")


def test_case_folder_verifies_too(demo: Path) -> None:
    assert yanshou("verify", demo).returncode == 0


def test_one_flipped_byte_in_any_file_is_found(unpacked: Path) -> None:
    assert verify(unpacked, None).ok
    files = sorted(p for p in unpacked.rglob("*") if p.is_file())
    assert len(files) > 30
    for path in files:
        good = path.read_bytes()
        where = len(good) // 2
        path.write_bytes(good[:where] + bytes([good[where] ^ 1]) + good[where + 1 :])
        found = verify(unpacked, None)
        assert not found.ok, path
        path.write_bytes(good)
    assert verify(unpacked, None).ok


def test_one_flipped_byte_makes_the_command_exit_4(demo: Path, tmp_path: Path) -> None:
    package = tmp_path / "p.zip"
    good = package_of(demo).read_bytes()
    for where in (0, 30, len(good) // 3, len(good) // 2, len(good) - 5):
        package.write_bytes(good[:where] + bytes([good[where] ^ 1]) + good[where + 1 :])
        done = yanshou("verify", package)
        assert (done.returncode, "✘" in done.stdout, "Traceback" in done.stderr) == (4, True, False)


def better_value(case: Path) -> None:
    def edit(record: dict) -> None:
        record["findings"][2]["upper"] = 0.5

    edit_json(case / "record.json", edit)


def hide_a_run(case: Path) -> None:
    """Take run 6 out of the folder and out of the ledger's text."""
    folder = next((case / "runs").glob("*-S10-I03"))
    shutil.rmtree(folder)
    lines = (case / "ledger.jsonl").read_text().splitlines(keepends=True)
    number = int(folder.name[:4])
    (case / "ledger.jsonl").write_text("".join(x for x in lines if f'"number":{number}' not in x))


def faster_packets(case: Path) -> None:
    path = next((case / "runs").glob("*-S10-I03")) / "packets.csv"
    path.write_bytes(path.read_bytes().replace(b"9", b"8"))


def loosened_limit(case: Path) -> None:
    """Loosen the frozen limit: only the plan's own digest still knows."""

    def edit(records: list[dict]) -> None:
        for record in records:
            if record["kind"] == "plan":
                record["plan"]["indicators"][2]["limit"]["value"] = "3"

    rechain(case, edit)


def unknown_plan(case: Path) -> None:
    rechain(case, lambda records: [r.pop("plan") for r in records if r["kind"] == "plan"])


def senseless_runs(case: Path) -> None:
    rechain(case, lambda records: [r.pop("meta", None) for r in records])


def results_only(case: Path) -> None:
    path = case / "report/results.json"
    path.write_bytes(path.read_bytes().replace(b'"verdict":"pass"', b'"verdict":"fail"', 1))


def add_evidence(case: Path) -> None:
    (next((case / "runs").glob("*-S10-I01")) / "more.txt").write_text("x")


def invented_run(case: Path) -> None:
    shutil.copytree(next((case / "runs").glob("*-S10-I03")), case / "runs/0099-S10-I03")


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (better_value, "V-R02", "findings[2].upper"),
        (hide_a_run, "V-L01", "链断裂"),
        (faster_packets, "V-E02", "packets.csv"),
        (loosened_limit, "V-P01", "计划"),
        (unknown_plan, "V-P06", "计划"),
        (senseless_runs, "V-R04", "meta"),
        (results_only, "V-R03", "results.json"),
        (add_evidence, "V-E04", "more.txt"),
        (invented_run, "V-E04", "0099-S10-I03"),
    ],
)
def test_forged_package_is_named(demo: Path, tmp_path: Path, change, code: str, says: str) -> None:
    done = yanshou("verify", resealed(package_of(demo), tmp_path, change, "伪造者"))
    assert done.returncode == 4
    assert f"{code} " in done.stdout, done.stdout
    assert says in done.stdout


def test_a_flawless_forgery_needs_a_trust_file(demo: Path, tmp_path: Path) -> None:
    """Nothing changed but the signer: integrity holds, identity does not."""
    forged = resealed(package_of(demo), tmp_path, lambda _case: None, "伪造者")
    assert yanshou("verify", forged).returncode == 0
    new_key(tmp_path / "tester", algorithm="ed25519", name="检测员")
    public = json.loads((tmp_path / "tester.pub").read_text())
    entry = (
        "{name: 检测员, roles: [tester], algorithm: ed25519, id: %s, valid_from: 2026-01-01, valid_until: 2099-12-31}"
    )
    trust = tmp_path / "trust.yaml"
    trust.write_text(
        f"keys:\n  - {entry % public['id']}\nrequire: {{plan: [tester], package: [tester]}}\n", encoding="utf-8"
    )
    done = yanshou("verify", forged, "--trust", trust)
    assert (done.returncode, "V-S09" in done.stdout) == (4, True), done.stdout


def test_other_keys_cannot_sign_a_demo(demo: Path, tmp_path: Path) -> None:
    new_key(tmp_path / "k", algorithm="ed25519", name="检测员")
    done = yanshou("sign", demo, "--role", "tester", "--key", tmp_path / "k")
    assert (done.returncode, "S-E10" in done.stderr) == (2, True)


def test_status_and_json_of_a_finished_case(demo: Path) -> None:
    done = yanshou("status", demo, "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "pass")


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []


def test_a_translation_lies_beside_what_is_signed_and_changes_nothing(demo: Path, tmp_path: Path) -> None:
    case = shutil.copytree(demo, tmp_path / "case")
    before = {p: p.read_bytes() for p in case.rglob("*") if p.is_file()}
    done = yanshou("report", case, "--lang", "en")
    assert done.returncode == 0, done.stderr
    written = [case / "documents" / name for name in ("report.en.pdf", "report.en.html")]
    assert done.stdout.split() == [str(p) for p in written]
    assert {p: p.read_bytes() for p in case.rglob("*") if p.is_file() and p not in written} == before
    assert yanshou("verify", case).returncode == 0
    (case / "record.json").write_bytes(b"{}")
    done = yanshou("report", case, "--lang", "en")
    assert (done.returncode, "D-RECORD" in done.stderr) == (2, True)
