"""A kit's folder in hostile hands: whatever does not fit the plan is refused, by name, and the case stays as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kits import everything, kit_case, pretend, rechain, records
from yanshou.harness import intake
from yanshou.harness.basics import ExitCode, UserError
from yanshou.harness.engine import freeze_case
from yanshou.harness.evidence import STAGING, Ledger, recover
from yanshou.harness.intake import take_in
from yanshou.harness.runs import runs_of
from yanshou.harness.verify import verify
from yanshou.kit.runner import Kit, read_kit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Kit, Path]:
    """A case, its kit, and what the kit recorded."""
    place = tmp_path_factory.mktemp("kit")
    case, kit = kit_case(place)
    return case, kit, pretend(kit, place / "out")


@pytest.fixture
def own(made: tuple[Path, Kit, Path], tmp_path: Path) -> tuple[Path, Kit, Path]:
    """Copies to spoil."""
    case, kit, out = made
    return shutil.copytree(case, tmp_path / "case"), kit, shutil.copytree(out, tmp_path / "out")


def refused(case: Path, *sources: Path) -> list[str]:
    before = everything(case)
    with pytest.raises(UserError) as error:
        take_in(case, sources)
    assert everything(case) == before
    assert error.value.exit_code is ExitCode.USAGE
    assert all(p.file is not None and p.remedy for p in error.value.problems)
    return [p.code for p in error.value.problems]


def test_what_nobody_touched_is_taken_in_and_verifies(own: tuple[Path, Kit, Path]) -> None:
    case, kit, out = own
    record = take_in(case, [out]).record
    (run,) = runs_of(records(case))
    assert (run.number, run.subject, run.status) == (1, "终端1", "completed")
    assert run.origin is not None
    assert (run.origin.kit_sha256, run.origin.number) == (kit.sha256, 1)
    assert (case / "runs" / run.folder_name / "packets.csv").read_bytes() == b"seq\n1\n"
    assert record["hosts"] == [{"facts": run.meta["host"], "kit_sha256": kit.sha256, "runs": [1]}]
    assert verify(case, None).problems == []


def test_the_same_folder_is_taken_in_once(own: tuple[Path, Kit, Path], tmp_path: Path) -> None:
    case, _, out = own
    copy = shutil.copytree(out, tmp_path / "copy")
    assert refused(case, out, copy) == ["KIT-E15"]
    take_in(case, [out])
    assert refused(case, copy) == ["KIT-E15"]


def test_more_of_the_same_session_is_taken_in_later(own: tuple[Path, Kit, Path]) -> None:
    case, kit, out = own
    take_in(case, [out])
    pretend(kit, out, "终端2")
    take_in(case, [out])
    assert [(r.number, r.subject, r.origin.number) for r in runs_of(records(case)) if r.origin] == [
        (1, "终端1", 1),
        (2, "终端2", 2),
    ]
    assert verify(case, None).problems == []


def test_what_was_taken_in_cannot_be_rewritten_later(own: tuple[Path, Kit, Path]) -> None:
    case, kit, out = own
    take_in(case, [out])
    pretend(kit, out, "终端2")
    rechain(out, lambda r: r[1]["meta"]["host"].update(主机="other"))
    shutil.rmtree(out / "runs/0001-S10-I03")
    assert refused(case, out) == ["KIT-E16"]


def test_a_cut_off_run_is_taken_in_as_such_and_its_later_end_is_no_second_run(own: tuple[Path, Kit, Path]) -> None:
    case, kit, out = own
    pretend(kit, out, "终端2", close=False)
    take_in(case, [out])
    assert [(r.status, bool(r.tail)) for r in runs_of(records(case))] == [("completed", False), ("truncated", True)]
    with Ledger(out) as ledger:
        recover(ledger)
    pretend(kit, out, "终端2")
    take_in(case, [out])
    assert [r.status for r in runs_of(records(case))] == ["completed", "truncated", "completed"]
    assert verify(case, None).problems == []


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda r: r[0].update(plan_sha256="0" * 64), "KIT-E12"),
        (lambda r: r[0].update(kit_sha256="0" * 64), "KIT-E13"),
        (lambda r: r[0].update(tool_sha256="0" * 64), "KIT-E13"),
        (lambda r: r[0].update(probe="records"), "KIT-E13"),
        (lambda r: r[0].update(kind="plan"), "KIT-E10"),
        (lambda r: r[0].pop("plan_sha256"), "KIT-E11"),
        (lambda r: r[1]["meta"].update(subject="终端3"), "KIT-E14"),
        (lambda r: r[1]["meta"].update(condition="夜间"), "KIT-E14"),
        (lambda r: r[1]["meta"].update(indicator="S10-I02"), "KIT-E14"),
        (lambda r: r[1]["meta"].update(seed=1), "KIT-E14"),
        (lambda r: r[1]["meta"]["params"].update(count=10), "KIT-E14"),
        (lambda r: r[1]["meta"]["host"].pop("采集会话"), "KIT-E14"),
        (lambda r: r[1]["meta"].update(purpose="calibration", tolerance=9), "KIT-E14"),
        (lambda r: r[1].update(folder="../../../etc"), "KIT-E14"),
        (lambda r: [s["streams"].update({"../x": s["streams"]["packets.csv"]}) for s in r[2:4]], "KIT-E14"),
        (lambda r: r[1].update(number=2), "KIT-E11"),
        (lambda r: r.append(dict(r[-1])), "KIT-E11"),
        (lambda r: r.insert(1, {"kind": "seal", "utc": r[0]["utc"]}), "KIT-E11"),
        (lambda r: r[1].update(utc="gestern"), "KIT-E11"),
        (lambda r: r[-1].update(status="good"), "KIT-E11"),
        (lambda r: r.__delitem__(slice(1, None)), "KIT-E17"),
        (lambda r: r.clear(), "KIT-E11"),
    ],
    ids=[
        "other plan", "other kit", "other tool", "other probe", "no kit", "no plan", "subject", "condition", "indicator", "seed",
        "params", "no session", "soft calibration", "folder", "stream", "number", "closed twice", "foreign line", "no time",
        "no status", "nothing recorded", "empty",
    ],
)  # fmt: skip
def test_a_rewritten_ledger_is_refused(own: tuple[Path, Kit, Path], edit: Callable[[list], object], code: str) -> None:
    case, _, out = own
    rechain(out, edit)
    assert refused(case, out)[0] == code


@pytest.mark.parametrize("spoil", ["flip", "delete line", "tail", "run gone from the ledger", "no ledger", "garbage"])
def test_a_damaged_ledger_is_refused(own: tuple[Path, Kit, Path], spoil: str) -> None:
    case, kit, out = own
    path = out / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    expected = "KIT-E11"
    if spoil == "flip":
        path.write_bytes(path.read_bytes().replace("终端1".encode(), "终端2".encode()))
    elif spoil == "delete line":
        path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    elif spoil == "tail":  # a cut end looks like a kill, and buys nothing: such a run is never judged
        path.write_bytes(b"".join(lines[:3]))
        assert take_in(case, [out]).record["findings"][0]["verdict"] == "not_run"
        return
    elif spoil == "run gone from the ledger":
        pretend(kit, out, "终端2")
        path.write_bytes(b"".join(lines))
        expected = "V-E04"
    elif spoil == "no ledger":
        path.unlink()
        expected = "KIT-E10"
    else:
        path.write_bytes(b"[1]\n")
    assert refused(case, out) == [expected]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda run: (run / "packets.csv").write_bytes(b"seq\n2\n"), "V-E02"),
        (lambda run: (run / "packets.csv").write_bytes(b"seq\n"), "V-E02"),
        (lambda run: (run / "packets.csv").write_bytes(b"seq\n1\n2\n"), "V-E03"),
        (lambda run: (run / "packets.csv").unlink(), "V-E01"),
        (lambda run: (run / "more.csv").write_bytes(b""), "V-E04"),
        (lambda run: (run / "run.json").write_bytes(b"{}"), "V-E02"),
    ],
    ids=["byte", "shorter", "longer", "gone", "more", "run.json"],
)
def test_changed_evidence_is_refused(
    own: tuple[Path, Kit, Path], spoil: Callable[[Path], object], code: str, tmp_path: Path
) -> None:
    case, kit, out = own
    good = pretend(kit, tmp_path / "good", "终端2")
    spoil(out / "runs/0001-S10-I03")
    assert refused(case, good, out) == [code]  # and the good one is not taken in either


def test_a_kit_of_another_case_is_refused(own: tuple[Path, Kit, Path], tmp_path: Path) -> None:
    case, _, _ = own
    _, other = kit_case(tmp_path / "other", port=8621)
    assert refused(case, pretend(other, tmp_path / "theirs")) == ["KIT-E12"]


def test_a_kit_from_before_an_amendment_is_refused(own: tuple[Path, Kit, Path]) -> None:
    case, _, out = own
    path = case / "case.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("interval_ms: 2", "interval_ms: 3"), encoding="utf-8")
    assert refused(case, out) == ["P-CHANGED"]
    freeze_case(case, "甲", "别的节奏")
    assert refused(case, out) == ["KIT-E12"]


def test_a_kit_with_changed_code_is_refused(own: tuple[Path, Kit, Path], tmp_path: Path) -> None:
    """It measures without a standard, and says so to nobody."""
    case, kit, _ = own
    forged = tmp_path / "forged.pyz"
    with zipfile.ZipFile(kit.path) as read, zipfile.ZipFile(forged, "w") as write:
        for name in read.namelist():
            text = read.read(name)
            if name.endswith("rtt/reference.py"):
                assert b"POINTS = (0, 0.5" in text
                text = text.replace(b"POINTS = (0, 0.5", b"POINTS = () and (0, 0.5")
            write.writestr(name, text)
    out = tmp_path / "forged"
    command = [sys.executable, "-I", "-S", str(forged), "--subject", "终端1", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "RTT-E02" in done.stderr) == (3, True), done.stderr  # nobody listens: the run is aborted
    assert [r["kind"] for r in records(out)][:2] == ["kit", "run_opened"]
    assert refused(case, out) == ["KIT-E13"]


def test_verify_finds_what_was_forged_into_the_case(own: tuple[Path, Kit, Path]) -> None:
    """Whoever rewrites the case's own ledger as well."""
    case, _, out = own
    take_in(case, [out])

    def forge(found: list[dict]) -> None:
        (record,) = (r for r in found if r["kind"] == "run_taken")
        record["lines"][1]["r"]["meta"]["subject"] = "终端2"

    rechain(case, forge)
    assert "V-K01" in [p.code for p in verify(case, None).problems]


def test_a_kill_while_taking_in_is_made_good(own: tuple[Path, Kit, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    case, _, out = own
    with monkeypatch.context() as patch:  # the ledger names the run; its files are not where it says yet
        patch.setattr(intake, "finish_intake", lambda _ledger: None)
        patch.setattr(intake, "write_record", lambda _folder: {})
        take_in(case, [out])
    assert not (case / "runs").exists()
    with Ledger(case) as ledger:
        recover(ledger)
    assert (case / "runs/0001-S10-I03/packets.csv").read_bytes() == b"seq\n1\n"
    assert not (case / STAGING).exists()
    assert refused(case, out) == ["KIT-E15"]


def test_a_full_disk_leaves_the_case_as_it_was(own: tuple[Path, Kit, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, target: Path) -> str:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    case, _, out = own
    before = everything(case)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_copy", full)
        with pytest.raises(UserError, match="E-DISK") as error:
            take_in(case, [out])
    assert error.value.exit_code is ExitCode.INTERNAL
    assert everything(case) == before
    take_in(case, [out])
    assert verify(case, None).problems == []


def test_a_kit_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "kit.pyz").write_bytes(b"#!/usr/bin/env python3\nPK")
    with pytest.raises(UserError, match="KIT-E01"):
        read_kit(tmp_path / "kit.pyz")
