"""Import of 表1 through the real command line and a real terminal: confirmed row by row, typed twice, or left unconfirmed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.support import YANSHOU, yanshou
from tests.importing import docx
from tests.terminals import converse
from yanshou.harness.case import Case, load_case

ROW = "q 退出 >"
NAME = "确认人姓名"


@pytest.fixture
def case(tmp_path: Path) -> Path:
    folder = tmp_path / "案卷"
    folder.mkdir()
    (folder / "case.yaml").write_text(
        "yanshou: 1\nlist: wuhan-2024\nscenario: 10\nmode: self-check  # 自检\n"
        "project: {name: 某厂5G工厂, lead: {name: 某单位}}\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def form(tmp_path: Path) -> Path:
    return docx(tmp_path / "表1.docx")


def commitments(folder: Path) -> dict:
    return dict(load_case(folder).document.commitments)


def test_from_the_form_to_a_frozen_plan(case: Path, form: Path) -> None:
    done = yanshou("import", form, case, "--accept")
    assert (done.returncode, "4 条未确认，计划不能冻结" in done.stdout) == (0, True), done.stderr
    assert {c.source.confirmed_by for c in commitments(case).values() if c.source} == {()}

    checked = json.loads(yanshou("check", case, "--json").stdout)["problems"]
    unconfirmed = [p for p in checked if p["code"] == "C17"]
    assert [p["severity"] for p in unconfirmed] == ["error"] * 4
    shown = yanshou("plan", case)
    assert (shown.returncode, "≥ 120 台(套)" in shown.stdout) == (0, True), shown.stderr
    refused = yanshou("plan", case, "--freeze")
    assert (refused.returncode, refused.stderr.count("C17"), "还没有人确认" in refused.stderr) == (2, 4, True)
    assert not (case / "plan.lock.json").exists()
    assert not (case / "ledger.jsonl").exists()

    answers = [(ROW, "")] * 4 + [(NAME, "张三")]
    code, said = converse([*YANSHOU, "import", str(form), str(case)], answers)
    assert (code, "由 张三 确认" in said) == (0, True), said
    frozen = yanshou("plan", case, "--freeze")
    assert (frozen.returncode, "计划已冻结" in frozen.stdout) == (0, True), frozen.stderr
    assert "mode: self-check  # 自检\n" in (case / "case.yaml").read_text(encoding="utf-8")

    again, said = converse([*YANSHOU, "import", str(form), str(case)], [])
    assert (again, "早已确认，写入 0 个值" in said) == (0, True), said
    assert "没有变化" in yanshou("plan", case, "--freeze").stdout


def test_a_person_turns_corrects_splits_and_leaves_out_rows(case: Path, form: Path) -> None:
    script = [
        (ROW, "i"), ("指标编号", "S10-Q02"), (ROW, ""),
        (ROW, "t"), ("目标", "≥ 100 台(套)"), (ROW, "a"), (ROW, ""), (ROW, ""),
        (ROW, "i"), ("指标编号", "nonsense"), (ROW, "i"), ("指标编号", "s10-p07"), (ROW, ""),
        (ROW, "x"),
        (ROW, ""),
        (NAME, ""), (NAME, "张三"),
    ]  # fmt: skip
    code, said = converse([*YANSHOU, "import", str(form), str(case)], script)
    assert code == 0, said
    for words in (
        "第2个表2行5列",
        "字面相近",
        "Ｐ９９≤２ｍｓ",
        "读作 ≤ 2 ms",
        "没有 NONSENSE",
        "S10-I02 已对应另一行",
        "未读：注：1.",
    ):
        assert words in said, words
    found = commitments(case)
    assert sorted(found) == ["S10-I02", "S10-P01", "S10-P07", "S10-Q02"]
    assert (found["S10-I02"].target, found["S10-I02"].source.text) == ("≥ 100 台(套)", "不少于１２０台（套）")
    assert found["S10-P07"].source.indicator == found["S10-I02"].source.indicator
    warned = json.loads(yanshou("check", case, "--json").stdout)["problems"]
    assert [p["severity"] for p in warned if p["code"] == "C17"] == ["warning"]


@pytest.mark.parametrize("script", [[(ROW, "q")], [(ROW, ""), (ROW, "\x04")]])
def test_leaving_before_the_end_writes_nothing(script: list, case: Path, form: Path) -> None:
    before = (case / "case.yaml").read_bytes()
    code, said = converse([*YANSHOU, "import", str(form), str(case)], script)
    assert (code, "I-LEFT" in said) == (2, True), said
    assert (case / "case.yaml").read_bytes() == before
    assert [p.name for p in case.iterdir()] == ["case.yaml"]


def test_without_a_terminal_it_shows_the_rows_and_says_how(case: Path, form: Path) -> None:
    before = (case / "case.yaml").read_bytes()
    done = yanshou("import", form, case)
    assert (done.returncode, "I-TTY" in done.stderr, "--accept" in done.stderr) == (2, True, True)
    assert "S10-I03" in done.stdout
    assert yanshou("import", form, case, "--by-hand").returncode == 2
    shown = json.loads(yanshou("import", form, case, "--json").stdout)
    assert [p["indicator"] for p in shown] == ["S10-I01", "S10-I02", "S10-I03", "S10-P01"]
    assert (case / "case.yaml").read_bytes() == before


def test_what_the_case_says_otherwise_is_shown_and_stays(case: Path, form: Path) -> None:
    with (case / "case.yaml").open("a", encoding="utf-8") as f:
        f.write("commitments:\n  S10-I03:\n    target: ≤ 1 ms  # 合同\n")
    before = (case / "case.yaml").read_bytes()
    done = yanshou("import", form, case, "--accept")
    assert done.returncode == 2
    assert "case.yaml:8: I-DIFFERS commitments.S10-I03.target 已写“≤ 1 ms”，文件里是“≤2ms”" in done.stderr
    assert (case / "case.yaml").read_bytes() == before


def test_the_stamped_scan_is_recorded_as_a_pair(case: Path, form: Path) -> None:
    (form.parent / "扫描件.pdf").write_bytes(b"%PDF-1.7\n\0")
    script = [*[(ROW, "")] * 4, (NAME, "张三"), ("逐栏一致吗", "也许"), ("逐栏一致吗", "是")]
    command = [*YANSHOU, "import", str(form), str(case), "--scan", str(form.parent / "扫描件.pdf")]
    code, said = converse(command, script)
    assert code == 0, said
    loaded: Case = load_case(case)
    scan = loaded.document.scan
    assert scan is not None
    assert (scan.file, scan.compared_by) == ("inputs/扫描件.pdf", ("张三",))
    assert scan.table_sha256 == loaded.document.commitments["S10-I03"].source.sha256
    assert "C16" not in yanshou("check", case).stdout
    (case / "inputs/扫描件.pdf").write_bytes(b"%PDF-1.7\n\0 other")
    assert "C16 inputs/扫描件.pdf 与登记的摘要不符" in yanshou("check", case).stdout


def typed(*values: tuple[str, ...]) -> list[tuple[str, str]]:
    """What one person types: target, and where there is one also place, baseline and note, of each list indicator in turn."""
    script = [("回车开始", "")]
    for value in values:
        script += zip(["项目建设目标（", "页与行 >", "本单位当前水平 >", "补充说明 >"], value, strict=False)
    return [*script, ("还有榜单以外的指标吗", "")]


def test_two_people_type_a_scan_and_must_agree(case: Path) -> None:
    (case / "扫描件.pdf").write_bytes(b"%PDF-1.7\n\0")
    refused = yanshou("import", case / "扫描件.pdf", case)
    assert (refused.returncode, "I-OPAQUE" in refused.stderr, "--by-hand" in refused.stderr) == (2, True, True)
    script = [
        ("第一录入人姓名", "张三"), ("第二录入人姓名", "张三"), ("第二录入人姓名", "张 三"), ("第二录入人姓名", "李四"),
        *typed(("",), ("≥ 120 台", "9页3行", "40台", "同一时刻在线"), ("≤ 2 ms", "9页4行", "8 ms", "往返"), ("",)),
        *typed(("",), ("≥ 120 台", "9页3行", "40台", "同一时刻在线"), ("≤2ms", "9页4行", "３ms", "往返"), ("",)),
        ("张三 重录", "8 ms"), ("李四 重录", "3 ms"),
        ("张三 重录", "8 ms"), ("李四 重录", "８ｍｓ"),
        ("逐栏一致吗", "是"),
    ]  # fmt: skip
    code, said = converse([*YANSHOU, "import", str(case / "扫描件.pdf"), str(case), "--by-hand"], script)
    assert code == 0, said
    assert "张三：“8 ms”；李四：“３ms”" in said
    found = commitments(case)
    assert sorted(found) == ["S10-I02", "S10-I03"]
    source = found["S10-I03"].source
    assert (found["S10-I03"].target, found["S10-I03"].baseline) == ("≤ 2 ms", "8 ms")
    assert (source.file, source.cell, source.confirmed_by) == ("扫描件.pdf", "9页4行", ("张三", "李四"))
    problems = json.loads(yanshou("check", case, "--json").stdout)["problems"]
    assert [p for p in problems if p["code"] in ("C16", "C17")] == []


def test_a_quiet_confirmation_of_a_scan_by_one_person_is_refused(case: Path) -> None:
    with (case / "case.yaml").open("a", encoding="utf-8") as f:
        f.write(
            "commitments:\n  S10-I03: {baseline: 8 ms, target: ≤ 2 ms, source: {file: 扫描件.pdf, confirmed_by: [张三]}}\n"
        )
    refused = yanshou("plan", case, "--freeze")
    assert (refused.returncode, "只有 张三 一人" in refused.stderr) == (2, True)
    text = (case / "case.yaml").read_text(encoding="utf-8")
    (case / "case.yaml").write_text(text.replace("[张三]", "[张三, 张　三]"), encoding="utf-8")
    refused = yanshou("plan", case, "--freeze")
    assert (refused.returncode, "只有 张三 一人" in refused.stderr) == (2, True)
