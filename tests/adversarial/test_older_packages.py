"""Packages of earlier versions verify, and saying that one is of an earlier version hides no lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import in_process as yanshou
from tests.kits import rechain
from tests.resealing import FIRST_FORM, edit_json, resealed
from tests.reviewing import reviewed
from yanshou.harness import replay
from yanshou.harness.bag import make_bag, open_package, write_package
from yanshou.harness.basics import UserError
from yanshou.harness.engine import write_record
from yanshou.harness.envelope import DEMO, Role, Signer, sign, statement
from yanshou.harness.evidence import Ledger, sha256_bytes, utc_now
from yanshou.harness.keys import Algorithm, fresh_key
from yanshou.harness.plan import plan_bytes
from yanshou.harness.replay import sealing_tool
from yanshou.harness.sealing import DEMO_KEY_NAME, sign_package
from yanshou.harness.verify import Verification, verify
from yanshou.probes.inspection import spec as inspection
from yanshou.reports.display import fit
from yanshou.reports.document import build
from yanshou.reports.html import render_html
from yanshou.reports.machine import results_json
from yanshou.reports.pdf import Attachment, render_pdf
from yanshou.reports.render import render

Change = Callable[[Path], object]


@pytest.fixture
def its_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument of the package of the first form, as far as versions tell: what it recorded is still analysed alike."""
    monkeypatch.setattr(inspection, "SPEC", replace(inspection.SPEC, version="1"))


def codes(found: Verification) -> tuple[list[str], list[str]]:
    return [p.code for p in found.problems], [p.code for p in found.limits]


def record(change: Callable[[Any], object]) -> Change:
    """Another record, and results.json after it, as somebody would who knows the rules."""

    def both(data: Path) -> None:
        edit_json(data / "record.json", change)
        (data / "report/results.json").write_bytes(results_json(json.loads((data / "record.json").read_bytes())))

    return both


def finding(**keys: Any) -> Change:
    return record(lambda told: told["findings"][0].update(keys))


def without(*names: str | int) -> Change:
    def cut(told: Any) -> None:
        for name in names[:-1]:
            told = told[name]
        del told[names[-1]]

    return record(cut)


def swapped(name: str, old: str, new: str) -> Change:
    def swap(data: Path) -> None:
        path = data / name
        text = path.read_text(encoding="utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new), encoding="utf-8")

    return swap


def shown(old: str, new: str) -> Change:
    """Other words where people read, and the true results below."""

    def change(data: Path) -> None:
        path = data / "report/report.html"
        seen, script, rest = path.read_text(encoding="utf-8").partition('<script type="application/json"')
        assert old in seen, old
        path.write_text(seen.replace(old, new) + script + rest, encoding="utf-8")

    return change


def drawn_as_passed(name: str) -> Change:
    """A page that says 符合 everywhere, with the true results inside it."""

    def draw(data: Path) -> None:
        told = json.loads((data / "record.json").read_bytes())
        results = results_json(told)
        for f in (told, told["findings"][0]):
            f.update(verdict="pass", verdict_word="符合")
        lie = build(fit({**told, "hosts": []}), sha256_bytes((data / "record.json").read_bytes()))
        attached = [Attachment("results.json", results.decode(), "application/json", "结果")]
        page = render_html(lie, results) if name.endswith("html") else render_pdf(lie, attached)
        (data / "report" / name).write_bytes(page)

    return draw


def claims_this_tool(data: Path) -> None:
    rechain(data, lambda records: records[-1].update(tool=dict(sealing_tool())))


def plan_that_waives(data: Path) -> None:
    def waive(records: list[dict[str, Any]]) -> None:
        for r in records:
            if r["kind"] == "plan":
                r["plan"]["indicators"][0]["limit"]["waived"] = True
                r["sha256"] = sha256_bytes(plan_bytes(r["plan"]))
                (data / "plan.lock.json").write_bytes(plan_bytes(r["plan"]))

    rechain(data, waive)


def test_a_package_of_the_first_form_verifies_and_says_what_was_not_compared() -> None:
    found = verify(FIRST_FORM, None)
    assert codes(found) == ([], ["V-R07", "V-R05"])
    assert found.conclusion == "核验通过，但有 2 项没有核对：V-R07、V-R05"
    assert found.record is not None
    assert found.record["verdict"] == "fail"
    assert any("重算得同一个值，结论：不符合" in line for line in found.checked)
    assert "hosts = " in found.limits[0].text
    assert "report.html、report.pdf 由另一个版本排印" in found.limits[1].text
    assert "commit 4d322a4d8c6c" in found.limits[1].remedy
    assert found.limits[0].file == FIRST_FORM / "data/record.json"
    done = yanshou("verify", FIRST_FORM)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, found.conclusion)
    assert "△ " in done.stdout
    assert [p["code"] for p in json.loads(yanshou("verify", FIRST_FORM, "--json").stdout)["limits"]] == codes(found)[1]


HONEST = {
    "signed again": lambda _: None,
    "a CSV without a column": lambda data: csv_column(data, None),
}


def csv_column(data: Path, added: str | None) -> None:
    """results.csv without its last column, or with another one."""
    path = data / "report/results.csv"
    head, row = path.read_text(encoding="utf-8").splitlines()
    cut = lambda line: line.rpartition(",")[0]  # noqa: E731
    lines = [cut(head), cut(row)] if added is None else [f"{head},{added}", f"{row},是"]
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode())


@pytest.mark.parametrize("change", HONEST.values(), ids=HONEST)
def test_saying_less_in_a_table_is_no_lie(tmp_path: Path, change: Change) -> None:
    assert codes(verify(resealed(FIRST_FORM, tmp_path, change), None)) == ([], ["V-R07", "V-R05"])


LIES: dict[str, tuple[Change, list[str]]] = {
    "another value": (finding(value=6), ["V-R02", "V-R03", "V-R03"]),
    "another verdict": (finding(verdict="pass", verdict_word="符合"), ["V-R02", "V-R03", "V-R03"]),
    "a key that decides": (finding(waived=True), ["V-R02", "V-R03", "V-R03"]),
    "a finding removed": (record(lambda r: r["findings"].clear()), ["V-R02", "V-R03", "V-R03"]),
    "a finding not told": (without("findings", 0, "validity"), ["V-R02", "V-R03", "V-R03"]),
    "no attempts": (without("findings", 0, "attempts"), ["V-R02", "V-R03", "V-R03"]),
    "no runs": (without("runs"), ["V-R02", "V-R03", "V-R03"]),
    "another record alone": (
        lambda data: edit_json(data / "record.json", lambda r: r["findings"][0].update(value=6)), ["V-R02", "V-R03"]
    ),
    "another spelling": (
        lambda data: (data / "record.json").write_bytes(b" " + (data / "record.json").read_bytes()), ["V-R02"]
    ),
    "a number in words": (
        record(lambda r: r["findings"][0]["validity"][0].update(text="M01 用了同一个证据文件")), ["V-R02", "V-R03", "V-R03"]
    ),
    "results of their own": (
        lambda data: edit_json(data / "report/results.json", lambda r: r["findings"][0].update(value=6)), ["V-R03"]
    ),
    "a number on a page": (shown("不少于5个", "不少于97个"), ["V-R03"]),
    "a mark on a page": (shown("× 不符合", "✓ 符合"), ["V-R03"]),
    "a verdict not printed": (shown("×", ""), ["V-R03"]),
    "a verdict on a page": (drawn_as_passed("report.html"), ["V-R03"]),
    "a verdict in print": (drawn_as_passed("report.pdf"), ["V-R03"]),
    "a page with other results": (swapped("report/report.html", '"value":4', '"value":6'), ["V-R03"]),
    "a page that is none": (lambda data: (data / "report/report.pdf").write_bytes(b"%PDF-1.7\n"), ["V-R03"]),
    "a page less": (lambda data: (data / "report/report.pdf").unlink(), ["V-R03"]),
    "a page more": (lambda data: (data / "report/conclusion.pdf").write_bytes(b"%PDF-1.7\n"), ["V-R03"]),
    "a table's value": (swapped("report/results.csv", ",4,4,4,", ",6,6,6,"), ["V-R03"]),
    "a table's column": (lambda data: csv_column(data, "豁免"), ["V-R03"]),
    "a test case's verdict": (swapped("report/junit.xml", '"verdict" value="fail"', '"verdict" value="pass"'), ["V-R03"]),
    "a test case's failure": (swapped("report/junit.xml", 'failures="1"', 'failures="0"'), ["V-R03"]),
    "a plan that waives": (plan_that_waives, ["V-P06", "V-P04", "V-R02"]),
    "this very tool": (claims_this_tool, ["V-R02", "V-R03", "V-R03", "V-R03", "V-R03", "V-R03", "V-R03"]),
}  # fmt: skip


@pytest.mark.usefixtures("its_instrument")
@pytest.mark.parametrize(("change", "expected"), LIES.values(), ids=LIES)
def test_an_older_version_is_no_excuse(tmp_path: Path, change: Change, expected: list[str]) -> None:
    found = verify(resealed(FIRST_FORM, tmp_path, change), None)
    assert sorted({p.code for p in found.problems}) == sorted(set(expected)), found.problems
    assert len(found.problems) >= len(set(expected))


def test_other_words_with_the_same_numbers_are_shown_both(tmp_path: Path) -> None:
    told = "M01、M02、M03、M04、M05、M06 的证据是同一个（64a41bcafe81…）"

    def reworded(data: Path) -> None:
        record(lambda r: [v.update(text=told) for v in validity(r)])(data)

    def validity(r: Any) -> list[dict[str, Any]]:
        return [r["findings"][0]["validity"][0], r["findings"][0]["attempts"][0]["validity"][0]]

    found = verify(resealed(FIRST_FORM, tmp_path, reworded), None)
    assert "V-R08" in codes(found)[1]
    (shown,) = (p.text for p in found.limits if p.code == "V-R08")
    assert "的证据是同一个" in shown
    assert "用了同一个证据文件" in shown


def test_evidence_of_another_instrument_is_not_called_a_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SPEC", replace(inspection.SPEC, version="9"))
    assert codes(verify(FIRST_FORM, None)) == ([], ["V-R07", "V-R05"])  # it still gives the same
    changed = verify(resealed(FIRST_FORM, tmp_path, finding(value=6)), None)
    assert (codes(changed), changed.record) == ((["V-R06"], []), None)
    assert (
        "inspection 版本 1（本机 版本 9）。记录与重放结果不符：findings[0].value 写的是 6，应为 4"
        in changed.problems[0].text
    )
    monkeypatch.setattr(replay, "probe_names", lambda: ("rtt",))
    absent = verify(FIRST_FORM, None)
    assert (codes(absent), absent.record) == ((["V-R06"], []), None)
    assert "没有仪器 inspection" in absent.problems[0].text


def other_tool(data: Path) -> None:
    rechain(data, lambda records: records[-1]["tool"].update(sha256="0" * 64, commit=None))


def other_libraries(data: Path) -> None:
    rechain(data, lambda records: records[-1]["tool"]["drawn_with"].update(typst="0.1"))


def page(data: Path) -> None:
    path = data / "report/report.html"
    path.write_bytes(path.read_bytes().replace(b"</main>", b"<p>\xe8\xaf\xb4\xe6\x98\x8e</p></main>", 1))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), ([], [])),
        ((page,), (["V-R03"], [])),
        ((other_tool,), ([], [])),  # the same bytes need nobody's word
        ((other_tool, page), ([], ["V-R05"])),
        ((other_libraries, page), ([], ["V-R05"])),
    ],
)
def test_what_this_tool_sealed_is_the_same_to_the_last_byte(
    tmp_path: Path, changes: tuple[Change, ...], expected: tuple[list[str], list[str]]
) -> None:
    package = resealed(reviewed().after, tmp_path, lambda data: [change(data) for change in changes])
    found = verify(package, None)
    assert codes(found) == expected
    assert ("由同一份记录重新排印的报告逐字节相同" in found.checked) == (page not in changes)


@pytest.mark.parametrize("name", ["report.pdf", "report.html", "results.xlsx", "junit.xml"])
def test_a_report_that_was_edited_is_not_signed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "case"
    shutil.copytree(reviewed().folder / "after", folder, ignore=shutil.ignore_patterns("package"))
    path = folder / "report" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError) as refused:
        sign_package(folder, reviewed().demo, Role.TESTER)
    assert [p.code for p in refused.value.problems] == ["S-E15"]
    assert not (folder / "package").exists()


def test_two_reports_of_one_number_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    shutil.copytree(reviewed().folder / "after", folder)
    with Ledger(folder) as ledger:
        ledger.append("recovered", number=1, streams={})
    render(write_record(folder), folder / "report")
    found = verify(sign_package(folder, reviewed().demo, Role.TESTER).path, None)
    assert codes(found) == ([], ["V-S14"])
    assert f"还封存过 {reviewed().after.stem}，编号相同" in found.limits[0].text


def test_the_ledger_ends_with_this_very_seal(tmp_path: Path) -> None:
    contents = open_package(FIRST_FORM, tmp_path / "unpacked")
    ledger = contents.root / "data/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)

    def sealed_with(data: bytes) -> list[str]:
        ledger.write_bytes(data)
        files = [(n.removeprefix("data/"), contents.root / n) for n in contents.payload]
        key = fresh_key(Algorithm.ED25519, DEMO_KEY_NAME)
        bag = make_bag(contents.root.name, files, contents.info)
        envelope = statement(bag.subjects, DEMO, {}, [Signer(Role.TESTER, key.public)], utc_now())
        package = tmp_path / "package.zip"
        write_package(package, bag, sign(envelope, key, Role.TESTER).to_bytes())
        return codes(verify(package, None))[0]

    assert sealed_with(b"".join(lines)) == ["V-S15"]  # another roster
    assert sealed_with(b"".join(lines[:-1])) == ["V-S15"]  # no seal
