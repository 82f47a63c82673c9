from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from pydantic import ValidationError
from typer.testing import CliRunner

from tests.probes.chain_support import calibrated
from tests.probes.records_support import MemoryEvidence, codes, excluded, recorded
from yanshou.cli import app
from yanshou.harness.basics import ProbeError, UserError
from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Audit, Count, Kind, Limit, Op, Verdict
from yanshou.harness.references import sme_edition
from yanshou.probes.contract import Probe
from yanshou.probes.sme_level.analyse import analyse, sheets
from yanshou.probes.sme_level.capture import capture
from yanshou.probes.sme_level.layout import (
    AFTER,
    BEFORE,
    CODE,
    CONFIRMED,
    EDITION,
    FORMAT,
    HOW_BEFORE,
    INSPECTOR,
    PROOFS,
    SELF,
    TABLE,
    TIME,
    WITNESS,
    Filled,
    asked,
    read_workbook,
    workbook,
)
from yanshou.probes.sme_level.reference import (
    FORTY,
    POINTS,
    SIX,
    credit_code,
    enterprise,
    spoilt,
    write_workbook,
)
from yanshou.probes.sme_level.spec import SPEC, Params

EDITION_2024 = sme_edition()
QUIET = {"SME-V09": "warning"}
"""What every count says: the table's numbers are known at second hand."""
ROWS = {line.id: row for row, line in enumerate(asked(EDITION_2024), TABLE + 1)}
LETTERS = " ABCDEFGHIJK"


GOOD = workbook([Filled(*enterprise(1))])


def params(**changes: Any) -> Params:
    return Params.model_validate({"files": ["sheets.xlsx"], "level": 2} | changes)


def put(folder: Path, *enterprises: Any, name: str = "sheets.xlsx") -> None:
    """A workbook of these enterprises in `folder`, with every evidence file that they name."""
    (folder / name).write_bytes(workbook([Filled(head, lines) for head, lines in enterprises]))
    for _, lines in enterprises:
        for proof in {line[PROOFS] for line in lines.values() if line[PROOFS]}:
            (folder / proof).write_text(f"证据 {proof}", encoding="utf-8")


def counted(folder: Path, *enterprises: Any, **changes: Any) -> Count:
    put(folder, *enterprises)
    given = params(**changes)
    return analyse(recorded(folder, capture, given), given, 1)


# --- against the reference -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    evidence, given, truth = calibrated(tmp_path, "sme.level", true_value)
    found = analyse(evidence, given, 42)
    assert (found.net, found.gross) == (true_value, truth["n"])
    assert {code: n for code, n in excluded(found).items() if n} == truth["planted"]
    assert codes(found.validity) == QUIET | {"SME-V03": "info"}
    assert sum(n for _, n in found.per_day) == found.net
    assert analyse(evidence, given, 42) == found


def test_spec_and_parameters() -> None:
    assert Probe("sme.level").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "家", 0.0)
    assert Probe("sme.level").estimate(params(audit={"file": "a.csv", "size": 7}), None).samples == 7
    for wrong, words in (
        ({"shared_by": 10}, "写且只写一个"),
        ({"level": None}, "写且只写一个"),
        ({"level": None, "shared_by": 10, "audit": {"file": "a.csv", "size": 1}}, "只用于按家"),
        ({"files": ["a.xlsx", "a.xlsx"]}, "重复"),
        ({"edition": "2022年版"}, "2024年版"),
    ):
        with pytest.raises(ValidationError, match=words):
            params(**wrong)


# --- the table of 2024 -----------------------------------------------------------------------------------------------------


def test_the_table_is_the_one_that_this_version_of_the_probe_was_calibrated_with() -> None:
    """Another number in the data gives other measurements for the same bytes: then SPEC.version has to change too."""
    points = {
        q.id: tuple(q.choices.values()) or tuple((b.upto, b.points) for b in q.bands) for q in EDITION_2024.questions
    }
    assert SPEC.version == "1"
    assert sum(q.most for q in EDITION_2024.questions) == 100
    assert points["F4"] == (*(Decimal(n) * Decimal("0.7") for n in range(14)), 10)
    assert points["M4"] == (
        (10, 0),
        (20, Decimal("1.875")),
        (40, Decimal("3.75")),
        (60, Decimal("5.625")),
        (100, Decimal("7.5")),
    )
    assert [(r.level, r.points, r.scenes, r.constrained, r.scene_level) for r in EDITION_2024.levels] == [
        (1, 20, 6, 3, 1), (2, 40, 6, 3, 2), (3, 60, 8, 5, 3), (4, 80, 10, 6, 4),
    ]  # fmt: skip
    assert sum(scene.constrained for scene in EDITION_2024.scenes) == 10
    assert len(EDITION_2024.scenes) == 16
    assert all("found-secondary" in line for line in EDITION_2024.standing)


@pytest.mark.parametrize(
    ("question", "answer", "points"),
    [
        ("F2", "10", "0"), ("F2", "10.01", "1.5"), ("F2", "60%", "4.5"), ("F2", "60.5", "6"), ("F2", "100.1", None),
        ("F2", "-1", None), ("F2", "nan", None), ("F2", "大半", None), ("F4", "13", "9.1"), ("F4", "14", "10"),
        ("F4", "15", None), ("F4", "1.5", None), ("F5", "全覆盖", "10"), ("F5", "5", None), ("M1", "1", "0"),
        ("M1", "6", "7.5"), ("M1", "0", None), ("R1", "降低", "7"), ("R2", "降低", "0"), ("R4", "持平", "1.5"),
    ],
)  # fmt: skip
def test_points(question: str, answer: str, points: str | None) -> None:
    (one,) = [q for q in EDITION_2024.questions if q.id == question]
    assert one.points(answer) == (None if points is None else Decimal(points))


@pytest.mark.parametrize(
    ("points", "constrained", "guiding", "level"),
    [
        ("40", [2, 2, 2], [2, 2, 2], 2),
        ("39.999", [2, 2, 2], [2, 2, 2], 1),
        ("100", [2, 2], [2, 2, 2, 2], 0),
        ("100", [2, 2, 1], [2, 2, 2], 1),
        ("100", [2, 2, 2], [2, 2], 0),
        ("60", [3] * 5, [3] * 3, 3),
        ("60", [3] * 4, [3] * 4, 2),
        ("80", [4] * 6, [4] * 4, 4),
        ("79", [4] * 10, [4] * 6, 3),
        ("19", [4] * 10, [4] * 6, 0),
        ("20", [1] * 3, [1] * 3, 1),
    ],
)
def test_levels(points: str, constrained: list[int], guiding: list[int], level: int) -> None:
    names = {kind: [s.name for s in EDITION_2024.scenes if s.constrained == kind] for kind in (True, False)}
    scenes = dict(zip(names[True], constrained, strict=False)) | dict(zip(names[False], guiding, strict=False))
    assert EDITION_2024.level(Decimal(points), scenes) == level


# --- one way to be wrong after the other ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        *((reason, 1) for reason in ("SME-X-CODE", "SME-X-EDITION", "SME-X-LARGE", "SME-X-SIZE", "SME-X-SELF")),
        *((reason, 1) for reason in ("SME-X-BEFORE", "SME-X-SAME")),
        *(("SME-X-LEVEL", number) for number in range(4)),
    ],
)
def test_what_is_wrong_with_an_enterprise_is_named(tmp_path: Path, reason: str, number: int) -> None:
    found = counted(tmp_path, enterprise(9), spoilt(number, reason))
    assert (found.gross, found.net) == (2, 1)
    assert {code for code, n in excluded(found).items() if n} == {reason}
    records = {r["uscc"]: r["reason"] for r in found.facts["enterprises"]}
    assert records[credit_code(9)] == ""
    assert set(records.values()) == {"", reason}


def test_a_scene_that_nobody_confirmed_is_said(tmp_path: Path) -> None:
    found = counted(tmp_path, spoilt(3, "SME-X-LEVEL"), enterprise(9))
    assert codes(found.validity) == QUIET | {"SME-V03": "info"}
    (record_,) = [r for r in found.facts["enterprises"] if r["reason"]]
    assert (record_["unconfirmed"], record_["level_after"], record_["scenes_at_level_2"]) == (1, 0, 5)
    assert record_["points_after"] == 40.0


def test_a_better_second_sheet_is_not_chosen(tmp_path: Path) -> None:
    worse = enterprise(1)
    worse[1]["R3"][AFTER] = "持平"
    found = counted(tmp_path, enterprise(1), worse, enterprise(2))
    assert {code: n for code, n in excluded(found).items() if n} == {"SME-X-DUP": 1, "SME-X-LEVEL": 1}
    assert codes(found.validity)["SME-V02"] == "warning"


def test_without_improvement_nothing_is_asked_of_before(tmp_path: Path) -> None:
    found = counted(tmp_path, spoilt(1, "SME-X-BEFORE"), spoilt(2, "SME-X-SAME"), improved=False)
    assert found.net == 2


def test_level_before_by_the_enterprise_itself_is_said(tmp_path: Path) -> None:
    head, lines = enterprise(1)
    head[HOW_BEFORE] = SELF
    assert codes(counted(tmp_path, (head, lines)).validity) == QUIET | {"SME-V08": "warning"}


def test_one_file_for_two_enterprises_and_a_hasty_hand_are_said(tmp_path: Path) -> None:
    first, second = enterprise(1), enterprise(2)
    for line in second[1].values():
        line[PROOFS] = "proof-1.txt"
        line[TIME] = "2025-03-01 09:00"
    assert codes(counted(tmp_path, first, second).validity) == QUIET | {"SME-V04": "warning", "SME-V05": "warning"}


# --- levels, audit, judgement -----------------------------------------------------------------------------------------------


def at_level_three(number: int) -> Any:
    head, lines = enterprise(number)
    for id, answer in {"F4": 14, "F6": 4, "F7": 4}.items():  # 40 + 10 + 5 + 5
        lines[id][AFTER] = answer
    for id in (*SIX, "J06", "J13"):
        lines[id][AFTER] = 3
    return head, lines


@pytest.mark.parametrize(("least", "level"), [(1, 3), (2, 3), (3, 2), (5, 2), (6, 0)])
def test_the_level_that_so_many_share(tmp_path: Path, least: int, level: int) -> None:
    for head, lines in (at_level_three(1), at_level_three(2)):
        lines["J02"][AFTER] = 3
        put(tmp_path, (head, lines), name=f"{head[CODE]}.xlsx")
    put(tmp_path, *(enterprise(n) for n in (3, 4, 5)), spoilt(6, "SME-X-LARGE"), name="z.xlsx")
    given = params(files=["."], level=None, shared_by=least)
    found = analyse(recorded(tmp_path, capture, given), given, 1)
    assert (found.unit, found.gross, found.net) == ("级", 4, level)
    excluded(found)
    criterion = Criterion("S08-I02", Kind.INSPECTED, Limit(Op.GE, Decimal(2), "级"), None, None, (), 0.95, 1)
    assert judge_run(criterion, found, 0.05, None).verdict == (Verdict.PASS if level >= 2 else Verdict.FAIL)


def test_an_audit_draws_and_bounds(tmp_path: Path) -> None:
    put(tmp_path, *map(enterprise, range(12)), spoilt(20, "SME-X-LARGE"))
    given = params(audit={"file": "audit.csv", "size": 8})
    drawn = sheets(tmp_path, given, 5)["audit.csv"]
    assert drawn != sheets(tmp_path, given, 6)["audit.csv"]
    assert len(drawn.splitlines()) == 9
    assert sheets(tmp_path, params(), 5) == {}
    (tmp_path / "audit.csv").write_text(drawn.replace(",,", ",好,"), encoding="utf-8")
    evidence = recorded(tmp_path, capture, given, 5)
    found = analyse(evidence, given, 5)
    assert found.audit == Audit(12, 8, 8)
    assert codes(found.validity) == QUIET
    criterion = Criterion("S08-P01", Kind.COUNTED, Limit(Op.GE, Decimal(10), "家"), None, None, (), 0.95, 1)
    assert judge_run(criterion, found, 0.05, None).verdict is Verdict.PASS
    assert codes(analyse(evidence, given, 6).validity) == QUIET | {"SME-V06": "invalid", "SME-V07": "invalid"}
    lines = drawn.replace(",,", ",好,").splitlines()
    (tmp_path / "audit.csv").write_text("\n".join([*lines[:-1], lines[-1].replace(",好,", ",坏,")]), encoding="utf-8")
    found = analyse(recorded(tmp_path, capture, given, 5), given, 5)
    assert found.audit == Audit(12, 8, 7)
    assert judge_run(criterion, found, 0.05, None).verdict is Verdict.INCONCLUSIVE


# --- what is refused, with its cell -----------------------------------------------------------------------------------------


def change(path: Path, edit: Callable[[Any], object]) -> None:
    book = load_workbook(path)
    edit(book["企业1"])
    book.save(path)


def cell(id: str, column: int) -> str:
    return f"{LETTERS[column]}{ROWS[id]}"


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        ("A1", "别的表", "应为“中小企业数字化水平评测表”"),
        ("A4", "代码", "应为“统一社会信用代码”"),
        ("B4", 914201000000000000, "当成了数"),
        ("E14", "改造之后", "应为“改造后”"),
        (cell("F2", 1), "F3", "应为“F2”"),
        (cell("J03", 2), "营销管理（指导性）", "应为"),
        (cell("F1", AFTER), 5, "不是 F1 的答案"),
        (cell("F2", AFTER), "=1+1", "是公式"),
        (cell("F2", AFTER), "#N/A", "错误值"),
        (cell("F2", AFTER), True, "逻辑值"),
        (cell("J01", AFTER), 5, "不是 J01 的答案"),
        (cell("J01", BEFORE), "二级", "不是 J01 的答案"),
        (cell("J01", CONFIRMED), "对", "不认识"),
        (cell("J01", INSPECTOR), None, "两个不同的人"),
        (cell("J01", WITNESS), " 标准　甲", "两个不同的人"),
        (cell("J01", TIME), "昨天", "确认时间"),
        (cell("J01", PROOFS), None, "没有写证据文件"),
        (cell("F1", AFTER), None, "没有写改造后"),
        (f"A{TABLE + 32}", "J17", "多出一行"),
    ],
)  # fmt: skip
def test_a_changed_sheet_is_refused_with_its_cell(tmp_path: Path, at: str, value: Any, words: str) -> None:
    book = load_workbook(io.BytesIO(GOOD))
    book["企业1"][at] = value
    changed = io.BytesIO()
    book.save(changed)
    fault = read_workbook(changed.getvalue(), "甲.xlsx").faults[0]
    assert fault.cell == f"甲.xlsx 企业1!{at if words != '两个不同的人' else cell('J01', WITNESS)}"
    assert words in fault.text
    assert fault.remedy


def test_every_fault_is_said_on_a_line_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, enterprise(1))
    change(
        tmp_path / "sheets.xlsx", lambda s: [s.__setitem__(cell(f"J{n:02d}", AFTER), "九\n级") for n in range(1, 17)]
    )
    change(tmp_path / "sheets.xlsx", lambda s: [s.__setitem__(cell(f"J{n:02d}", BEFORE), 7) for n in range(1, 17)])
    with pytest.raises(UserError) as caught:
        recorded(tmp_path, capture, params())
    assert [p.code for p in caught.value.problems] == ["SME-E06"] * 21
    assert {p.file for p in caught.value.problems} == {tmp_path / "sheets.xlsx", None}
    assert not any("\n" in str(p) for p in caught.value.problems)
    assert "另有 12 处" in str(caught.value.problems[-1])


def test_merged_hidden_and_struck_cells_are_refused(tmp_path: Path) -> None:
    from openpyxl.styles import Font

    for edit, words in (
        (lambda s: s.merge_cells(f"{cell('J01', AFTER)}:{cell('J02', AFTER)}"), "合并"),
        (lambda s: setattr(s.row_dimensions[ROWS["J05"]], "hidden", True), "隐藏"),
        (lambda s: s.column_dimensions.group("D", "E", hidden=True), "隐藏"),
        (lambda s: setattr(s[cell("J05", AFTER)], "font", Font(strike=True)), "删除线"),
        (lambda s: setattr(s, "sheet_state", "hidden"), "被隐藏"),
    ):
        put(tmp_path, enterprise(1))
        change(tmp_path / "sheets.xlsx", edit)
        with pytest.raises(UserError, match=words):
            recorded(tmp_path, capture, params())


def test_hostile_workbooks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheets.xlsx"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (40 << 20))
    macro = io.BytesIO(GOOD)
    with zipfile.ZipFile(macro, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"x")
    far = load_workbook(io.BytesIO(GOOD))
    far["企业1"]["A900000"] = "x"
    beyond = io.BytesIO()
    far.save(beyond)
    plain_book = load_workbook(io.BytesIO(GOOD))
    del plain_book["企业1"]
    nothing = io.BytesIO()
    plain_book.save(nothing)
    for data, code, words in (
        (b"PK\x03\x04 no zip", "SME-E05", "zip"),
        (bomb.getvalue(), "SME-E05", "上限"),
        (macro.getvalue(), "SME-E05", "宏"),
        (beyond.getvalue(), "SME-E05", "A900000"),
        (nothing.getvalue(), "SME-E06", "没有评测表"),
    ):
        path.write_bytes(data)
        with pytest.raises(UserError, match=words) as caught:
            recorded(tmp_path, capture, params())
        assert {p.code for p in caught.value.problems} == {code}


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="SME-E01"):
        recorded(tmp_path, capture, params())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProbeError, match="SME-E02"):
        recorded(tmp_path, capture, params(files=["empty"]))
    (tmp_path / "sheets.xlsx").write_bytes(b"")
    with pytest.raises(ProbeError, match="SME-E03"):
        recorded(tmp_path, capture, params())
    put(tmp_path, enterprise(1))
    (tmp_path / "proof-1.txt").unlink()
    with pytest.raises(UserError, match=r"SME-E07 .*proof-1.txt 不存在"):
        recorded(tmp_path, capture, params())
    (tmp_path / "proof-1.txt").touch()
    with pytest.raises(UserError, match=r"SME-E07 .*是空的"):
        recorded(tmp_path, capture, params())
    outside = enterprise(1)
    for line in outside[1].values():
        line[PROOFS] = "../secret.txt"
    (tmp_path.parent / "secret.txt").write_text("x")
    (tmp_path / "sheets.xlsx").write_bytes(workbook([Filled(*outside)]))
    with pytest.raises(UserError, match="不在工作簿所在的文件夹里"):
        recorded(tmp_path, capture, params())
    put(tmp_path, enterprise(1))
    (tmp_path / "a.csv").write_text("统一社会信用代码,result\nx,也许\n", encoding="utf-8")
    with pytest.raises(ProbeError, match=r"SME-E09 .*也许"):
        recorded(tmp_path, capture, params(audit={"file": "a.csv", "size": 1}))
    (tmp_path / "a.csv").write_text("统一社会信用代码,result,note\nx,好,找王工 13800138000\n", encoding="utf-8")
    with pytest.raises(ProbeError, match=r"SME-E09 .*手机号"):
        recorded(tmp_path, capture, params(audit={"file": "a.csv", "size": 1}))
    assert not list(tmp_path.glob("runs/*/import.json"))


# --- evidence ----------------------------------------------------------------------------------------------------------------


def test_what_is_behind_a_confirmation_must_be_acknowledged(tmp_path: Path) -> None:
    put(tmp_path, enterprise(1), enterprise(2))
    evidence = recorded(tmp_path, capture, params())
    streams = {name: evidence.open(name).read() for name in evidence.streams()}
    assert analyse(MemoryEvidence(streams), params(), 1).net == 2
    proof = next(name for name, data in streams.items() if data == "证据 proof-1.txt".encode())
    without = {name: data for name, data in streams.items() if name != proof}
    found = analyse(MemoryEvidence(without), params(), 1)
    assert (found.net, excluded(found)["SME-X-SELF"]) == (1, 1)
    for broken in (
        {},
        {name: data for name, data in streams.items() if name != "import.json"},
        streams | {"workbooks/0001.xlsx": b"x"},
        streams | {"import.json": b"[]"},
    ):
        found = analyse(MemoryEvidence(broken), params(), 1)
        assert (found.gross, codes(found.validity)["SME-V01"]) == (0, "invalid")
    forged = json.loads(streams["import.json"])
    assert [set(book) for book in forged["workbooks"]] == [{"stream", "name", "sha256", "proofs"}]


# --- the blank sheet ---------------------------------------------------------------------------------------------------------


def test_a_blank_sheet_is_written_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "评测表.xlsx"
    done = CliRunner().invoke(app, ["sheet", "sme", str(path), "--number", "3"])
    assert done.exit_code == 0, done.output
    reading = read_workbook(path.read_bytes(), path.name)
    assert (len(reading.forms), reading.faults) == (3, ())
    assert set(reading.forms[0].lines) == {*FORTY, *(f"J{n:02d}" for n in range(1, 17))}
    assert reading.forms[0].head[EDITION] == "2024年版"
    book = load_workbook(path)
    assert book.sheetnames == ["企业1", "企业2", "企业3", "说明"]
    sheet = book["企业1"]
    assert sheet["B1"].value == FORMAT
    assert sheet.protection.sheet
    offered = {str(place): v.formula1 for v in sheet.data_validations.dataValidation for place in v.sqref.ranges}
    assert any("2024年版" in formula for formula in offered.values())
    assert any(formula == '"0,1,2,3,4"' for formula in offered.values())
    assert any("found-secondary" in str(row[0].value) for row in book["说明"].iter_rows())
    assert isinstance(CliRunner().invoke(app, ["sheet", "sme", str(path)]).exception, UserError)
    assert isinstance(CliRunner().invoke(app, ["sheet", "visits", str(tmp_path / "a.xlsx")]).exception, UserError)


def test_the_same_seed_writes_the_same_enterprises(tmp_path: Path) -> None:
    first = [tmp_path / name for name in "ab"]
    for folder in first:
        folder.mkdir()
        write_workbook(folder, 2, 7)
    read = [[form.head for form in read_workbook((f / "sheets.xlsx").read_bytes(), "x").forms] for f in first]
    assert read[0] == read[1]
