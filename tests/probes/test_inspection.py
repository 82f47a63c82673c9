from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, record
from ruamel.yaml import YAML

from tests.probes.standards import recorded
from yanshou.harness.basics import RunStatus, UserError
from yanshou.harness.evidence import Ledger, RunWriter, sha256_bytes
from yanshou.harness.model import Answer, Checklist, Kind
from yanshou.harness.names import person
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.inspection.analyse import analyse
from yanshou.probes.inspection.capture import capture
from yanshou.probes.inspection.reference import POINTS, standard
from yanshou.probes.inspection.spec import SPEC, Params, blank_sheet, breaches, estimate

PROVEN = """\
  {id}:
    observed: 铭牌清晰
    answer: 是
    inspector: 张三
    witness: 李四
    time: 2025-03-01 {time}
    place: 一车间
    evidence:
      - {{file: {file}, kind: 照片, obtained_from: 一车间, obtained_at: 2025-03-01, page: 3}}
"""


def checklist(*ids: str, **changes: Any) -> Params:
    items = [{"id": i, "text": f"查 {i}", "expected": "有", "method": "观察"} for i in ids]
    return Params.model_validate({"sheet": "查验/answers.yaml", "items": items, **changes})


def site(folder: Path, sheet: str, **files: bytes) -> Path:
    """A case folder with a sheet and evidence files beside it; `a.jpg` and `b.jpg` are always there."""
    beside = folder / "查验"
    beside.mkdir(exist_ok=True)
    (beside / "answers.yaml").write_text(sheet, encoding="utf-8")
    for name, data in {"a": b"photo a", "b": b"photo b", **files}.items():
        (beside / f"{name}.jpg").write_bytes(data)
    return folder


def yes(item: str, time: str = "09:00", file: str = "a.jpg") -> str:
    return PROVEN.format(id=item, time=time, file=file)


def problems(folder: Path, params: Params) -> list[tuple[str, int | None]]:
    with pytest.raises(UserError) as caught:
        record(folder, capture, params)
    for problem in caught.value.problems:
        assert problem.file == Path("查验/answers.yaml")
        assert problem.remedy
        assert "\n" not in str(problem)
    return [(problem.code, problem.line) for problem in caught.value.problems]


# --- against the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = recorded(standard, Params.model_validate, capture, true_value, tmp_path, 42)
    found = analyse(evidence, params, 42)
    assert found.number(Answer.YES) == truth["true"] == true_value
    assert len(found.items) == truth["n"]
    assert found.facts["answers"] == {"是": true_value, "否": 1, "部分": 1, "不适用": 1, "专家评议": 1, "未查": 1}
    assert found.validity == ()


def test_spec_and_estimate() -> None:
    assert Probe("inspection").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.INSPECTED, "个", 0.0)
    assert (estimate(checklist("A", "B"), None).seconds, estimate(checklist("A", "B"), 9).samples) == (0.0, 2)


# --- the sheet -----------------------------------------------------------------------------------------------------------


def test_blank_sheet_is_a_valid_sheet_with_every_item_open(tmp_path: Path) -> None:
    params = checklist("M01", "1", "no", "null")
    params = Params.model_validate(
        {**params.model_dump(), "items": [{**i.model_dump(), "text": "第一行\n  A1: {x"} for i in params.items]}
    )
    found = analyse(record(site(tmp_path, blank_sheet(params.items)), capture, params), params, 1)
    assert found.number(Answer.OPEN) == 4
    assert found.validity == ()
    assert all(str(answer) in blank_sheet(params.items) for answer in Answer)


def test_capture_ties_each_answer_to_its_files(tmp_path: Path) -> None:
    sheet = "items:\n" + yes("B", "09:20", "b.jpg") + yes("A") + "  C: {answer: 否, reason: 没有装}\n"
    params = checklist("A", "B", "C", "D", unit="款")
    evidence = record(site(tmp_path, sheet), capture, params)
    assert evidence.streams() == ("attachments/A/a.jpg", "attachments/B/b.jpg", "items.json", "sheet.yaml")
    assert evidence.open("sheet.yaml").read().decode() == sheet
    found = analyse(evidence, params, 1)
    assert found.unit == "款"
    assert [(i.id, i.answer, i.evidence) for i in found.items] == [
        ("A", Answer.YES, (sha256_bytes(b"photo a"),)),
        ("B", Answer.YES, (sha256_bytes(b"photo b"),)),
        ("C", Answer.NO, ()),
        ("D", Answer.OPEN, ()),
    ]
    first = found.items[0]
    assert (first.text, first.expected, first.observed) == ("查 A", "有", "铭牌清晰")
    assert (first.inspector, first.witness, found.items[2].reason) == ("张三", "李四", "没有装")
    assert found.facts["records"][0] == {
        "id": "A",
        "method": "观察",
        "time": "2025-03-01 09:00",
        "place": "一车间",
        "evidence": [
            {
                "stream": "attachments/A/a.jpg",
                "sha256": sha256_bytes(b"photo a"),
                "file": "a.jpg",
                "kind": "照片",
                "obtained_from": "一车间",
                "obtained_at": "2025-03-01",
                "page": "3",
            }
        ],
    }


def test_all_problems_are_named_with_their_lines(tmp_path: Path) -> None:
    sheet = """\
items:
  A: {answer: 是, inspector: 甲, witness: 乙}
  B:
    answer: 是
    inspector: 张 三
    witness: "张三　"
    evidence: [{file: a.jpg}]
  C:
    answer: 是
    inspector: 张三
    evidence:
      - file: gone.jpg
      - {file: empty.jpg, knd: 照片}
  D: {answer: 否}
  E: {answer: 对}
  F: {anwser: 是}
  G: {answer: 未查, time: 昨天}
  H:
    answer: 部分
    evidence: [{file: a.jpg}, {file: ../查验/A.JPG}]
  I: {observed: [一, 二], evidence: a.jpg}
  J: 是
  K: {answer: 否, reason: x, answer: 是}
  Z: {answer: 是}
  K: {}
more: 1
"""
    folder = site(tmp_path, sheet, empty=b"", A=b"x")
    (folder / "查验/A.JPG").write_bytes(b"x")
    params = checklist(*"ABCDEFGHIJK")
    assert problems(folder, params) == [
        ("INS-E03", 2),
        ("INS-E04", 4),
        ("INS-E04", 9),
        ("INS-E02", 12),
        ("INS-E06", 13),
        ("INS-E05", 13),
        ("INS-E10", 14),
        ("INS-E08", 15),
        ("INS-E06", 16),
        ("INS-E08", 17),
        ("INS-E10", 19),
        ("INS-E09", 20),
        ("INS-E06", 21),
        ("INS-E06", 21),
        ("INS-E06", 22),
        ("INS-E07", 23),
        ("INS-E06", 24),
        ("INS-E07", 25),
        ("INS-E06", 26),
    ]


def test_a_file_from_elsewhere_on_the_computer_does_not_enter_the_evidence(tmp_path: Path) -> None:
    """A path or a link out of the case could carry off what only this computer knows."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "case").mkdir()
    folder = site(tmp_path / "case", "items:\n" + yes("A", file="../../secret.txt") + yes("B", file="link.jpg"))
    (folder / "查验/link.jpg").symlink_to(tmp_path / "secret.txt")
    assert problems(folder, checklist("A", "B")) == [("INS-E02", 10), ("INS-E02", 19)]
    (folder / "查验/link.jpg").unlink()
    (folder / "查验/link.jpg").symlink_to("link.jpg")
    assert problems(folder, checklist("A", "B")) == [("INS-E02", 10), ("INS-E02", 19)]
    assert not any(b"secret" in path.read_bytes() for path in folder.glob("runs/*/**/*") if path.is_file())


def test_a_key_that_is_no_word_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        record(site(tmp_path, "items: {? [a, b] : {answer: 未查}}\n"), capture, checklist("M01"))
    assert [(p.code, p.text) for p in caught.value.problems] == [("INS-E06", "items 下没有 （不是一个词） 这一项")]


def test_a_slip_of_the_pen_gets_the_right_word(tmp_path: Path) -> None:
    folder = site(tmp_path, "items:\n  M01: {anwser: 是}\n  M03: {answer: 未查}\n")
    with pytest.raises(UserError) as caught:
        record(folder, capture, checklist("M01", "M02"))
    assert [p.remedy for p in caught.value.problems] == ["是不是 answer？", "是不是 M02？"]


def test_one_person_alone_puts_no_question_aside(tmp_path: Path) -> None:
    """不适用 takes a question out of the way of a pass: it needs the second person that 是 needs."""
    sheet = "items:\n" + yes("A") + "  B: {answer: 不适用, reason: 没有此项, inspector: 张三, witness: 李四}\n"
    params = checklist("A", "B")
    assert problems(site(tmp_path, sheet.replace("witness: 李四}", "witness: 张 三}")), params) == [("INS-E04", 11)]
    evidence = record(site(tmp_path, sheet), capture, params)
    found = analyse(evidence, params, 1)
    assert [item.answer for item in found.items] == [Answer.YES, Answer.NOT_APPLICABLE]
    assert found.validity[0].code == "INS-V04"
    streams = {name: evidence.open(name).read() for name in evidence.streams()}
    streams["items.json"] = streams["items.json"].replace("李四".encode(), "张三".encode())
    forged = analyse(MemoryEvidence(streams), params, 1)
    assert [item.answer for item in forged.items] == [Answer.OPEN, Answer.OPEN]
    assert codes(forged.validity)["INS-V01"] == "invalid"


def test_what_is_written_is_kept_letter_by_letter(tmp_path: Path) -> None:
    sheet = "items:\n  A: {answer: 部分, reason: 0012, place: yes, observed: ~, witness: 2025-03-01}\n"
    found = analyse(record(site(tmp_path, sheet), capture, checklist("A")), checklist("A"), 1)
    (item,) = found.items
    assert (item.reason, item.observed, item.witness) == ("0012", "", "2025-03-01")
    assert found.facts["records"][0]["place"] == "yes"


@pytest.mark.parametrize(
    ("sheet", "line"),
    [
        (b"", None),
        (b"# nothing\n", None),
        ("items:\n  A: {answer: 是".encode(), 2),
        ("items:\n\t A: 是\n".encode(), 2),
        ("items:\n  A: 是\n".encode("gb18030"), 2),
        (b"items: \x00", None),
        (b"a: 1\n---\nb: 1\n", 2),
        (b"items:\n  A: " + b"[" * 5000, None),
    ],
)
def test_a_sheet_that_is_no_yaml_is_refused(tmp_path: Path, sheet: bytes, line: int | None) -> None:
    folder = site(tmp_path, "")
    (folder / "查验/answers.yaml").write_bytes(sheet)
    assert problems(folder, checklist("A")) == [("INS-E01", line)]


@pytest.mark.parametrize(("sheet", "line"), [("- A\n", 1), ("{}\n", 1), ("items: 是\n", 1), ("items:\n  - A\n", 2)])
def test_a_sheet_of_another_shape_is_refused(tmp_path: Path, sheet: str, line: int) -> None:
    found = problems(site(tmp_path, sheet), checklist("A"))
    assert set(found) == {("INS-E06", line)}


def test_missing_sheet_and_folder_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, checklist("A")) == [("INS-E01", None)]
    (tmp_path / "查验/answers.yaml").mkdir(parents=True)
    assert problems(tmp_path, checklist("A")) == [("INS-E01", None)]


@pytest.mark.parametrize("name", ["a\\b.jpg", "a:b.jpg", "a\nb.jpg", "con.jpg", "a.jpg "])
def test_a_file_name_that_could_not_be_packed_is_refused(tmp_path: Path, name: str) -> None:
    folder = site(tmp_path, "items:\n" + yes("A", file=json.dumps(name)))
    (folder / "查验" / name).write_bytes(b"x")
    assert problems(folder, checklist("A")) == [("INS-E09", 10)]


@pytest.mark.parametrize("file", ["''", '"a\\0"', ".", "nowhere/x.jpg"])
def test_evidence_that_is_no_file_is_refused(tmp_path: Path, file: str) -> None:
    assert problems(site(tmp_path, "items:\n" + yes("A", file=file)), checklist("A")) == [("INS-E02", 10)]


def test_a_refused_sheet_leaves_no_stream(tmp_path: Path) -> None:
    site(tmp_path, "items:\n  A: {answer: 是}\n")
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "i", {}) as run:
        with pytest.raises(UserError):
            capture(checklist("A"), RunContext(run.sink, 1, tmp_path))
        run.close(RunStatus.ABORTED)
    assert runs_of(ledger.records)[0].streams == {}


# --- replay --------------------------------------------------------------------------------------------------------------

FILE = {"stream": "attachments/A/a", "sha256": sha256_bytes(b"a"), "file": "a"}
SAID = {
    "observed": "有",
    "answer": "是",
    "inspector": "甲",
    "witness": "乙",
    "time": "2025-03-01 09:00",
    "evidence": [FILE],
}


def replay(streams: dict[str, bytes], *said: dict[str, Any], ids: str = "A") -> Checklist:
    """What `analyse` says to an items.json with `said` for each item of `ids`, beside `streams`."""
    params = checklist(*ids)
    blank = {"kind": "", "obtained_from": "", "obtained_at": "", "page": ""}
    items = [
        {**item.model_dump(), **entry, "evidence": [{**blank, **file} for file in entry.get("evidence", [])]}
        for item, entry in zip(params.items, said, strict=False)
    ]
    record_json = json.dumps({"sheet_sha256": "0" * 64, "items": items}).encode()
    return analyse(MemoryEvidence({**streams, "items.json": record_json}), params, 1)


A = {"attachments/A/a": b"a"}


def test_an_honest_record_is_accepted() -> None:
    found = replay(A, SAID)
    assert (found.items[0].answer, found.validity) == (Answer.YES, ())


@pytest.mark.parametrize(
    ("streams", "changes"),
    [
        ({}, {}),
        ({"attachments/A/a": b"other"}, {}),
        ({"attachments/A/a": b""}, {"evidence": [{**FILE, "sha256": sha256_bytes(b"")}]}),
        ({"attachments/B/a": b"a"}, {"evidence": [{**FILE, "stream": "attachments/B/a"}]}),
        ({"sheet.yaml": b"a"}, {"evidence": [{**FILE, "stream": "sheet.yaml"}]}),
        (A, {"evidence": []}),
        (A, {"evidence": [FILE, {**FILE, "stream": "attachments/A/b"}]}),
        (A, {"witness": ""}),
        (A, {"witness": " 甲 "}),
        (A, {"expected": "随便"}),
    ],
)
def test_a_doctored_record_cannot_make_a_yes(streams: dict[str, bytes], changes: dict[str, Any]) -> None:
    found = replay(streams, {**SAID, **changes})
    assert found.items[0].answer is Answer.OPEN
    assert set(codes(found.validity).items()) >= {("INS-V01", "invalid")}
    assert found.facts["answers"]["是"] == 0


def test_an_unexplained_no_stays_a_no_but_is_invalid() -> None:
    found = replay({}, {**SAID, "answer": "否", "observed": "", "evidence": []})
    assert (found.items[0].answer, codes(found.validity)) == (Answer.NO, {"INS-V01": "invalid"})


def test_one_file_for_several_items_is_a_warning() -> None:
    second = {**SAID, "time": "2025-03-01 09:30", "evidence": [{**FILE, "stream": "attachments/B/copy"}]}
    found = replay({**A, "attachments/B/copy": b"a"}, SAID, second, ids="AB")
    assert codes(found.validity) == {"INS-V02": "warning"}
    assert "A、B" in found.validity[0].text
    assert found.number(Answer.YES) == 2
    second["evidence"][0]["sha256"] = sha256_bytes(b"b")
    assert replay({**A, "attachments/B/copy": b"b"}, SAID, second, ids="AB").validity == ()


@pytest.mark.parametrize(("time", "hasty"), [("2025-03-01 09:01:00", True), ("2025-03-01 09:01:01", False)])
def test_answers_within_a_minute_are_a_warning(time: str, hasty: bool) -> None:
    other = {"answer": "否", "reason": "没有", "time": time}
    found = replay(A, SAID, other, {"time": "2025-03-09 09:00"}, ids="ABC")
    assert codes(found.validity) == ({"INS-V03": "warning"} if hasty else {})


def test_an_answer_without_a_time_is_a_warning() -> None:
    assert codes(replay(A, {**SAID, "time": ""}).validity) == {"INS-V04": "warning"}
    assert replay(A, SAID, {"answer": "未查"}, ids="AB").validity == ()


def test_every_cut_of_the_record_leaves_all_items_open(tmp_path: Path) -> None:
    params = checklist("A", "B")
    evidence = record(site(tmp_path, "items:\n" + yes("A")), capture, params)
    streams = {name: evidence.open(name).read() for name in evidence.streams()}
    assert analyse(MemoryEvidence(streams), params, 1).validity == ()
    whole = streams.pop("items.json")
    for cut in (None, *range(len(whole) - 1)):
        part = {} if cut is None else {"items.json": whole[:cut]}
        found = analyse(MemoryEvidence({**streams, **part}), params, 1)
        assert found.number(Answer.OPEN) == 2
        assert codes(found.validity) == {"INS-V05": "invalid"}


@pytest.mark.parametrize("doctored", [{"answer": "当然"}, {"evidence": ["a"]}, {"inspector": 3}, {"extra": ""}])
def test_a_record_of_another_shape_is_no_record(doctored: dict[str, Any]) -> None:
    entry = {**checklist("A").items[0].model_dump(), **doctored}
    data = json.dumps({"sheet_sha256": "", "items": [entry]}).encode()
    found = analyse(MemoryEvidence({"items.json": data}), checklist("A"), 1)
    assert codes(found.validity) == {"INS-V05": "invalid"}


# --- parameters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"items": []},
        {"items": [{"id": i, "text": "t", "expected": "e", "method": "查阅"} for i in ("a", "A")]},
        {"items": [{"id": "../x", "text": "t", "expected": "e", "method": "查阅"}]},
        {"items": [{"id": "A", "text": "t", "expected": "e", "method": "听说"}]},
        {"items": [{"id": "A", "text": "", "expected": "e", "method": "查阅"}]},
        {"reviewers": 1},
        {"sheets": "x"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checklist("A", **changes)


def test_parameters_survive_json() -> None:
    params = checklist("A", "B")
    assert Params.model_validate(params.model_dump(mode="json")) == params
    assert YAML(typ="safe", pure=True).load(blank_sheet(params.items))["items"]["A"]["answer"] == "未查"


@pytest.mark.parametrize("spelled", ["张 三", "张　三", "张\t三", "张\u200b三", "\ufeff张三", "张\u00ad三", " 张三\n"])
def test_one_person_is_one_however_the_name_is_written(spelled: str) -> None:
    assert person(spelled) == person("张三")
    found = [code for code, *_ in breaches(Answer.YES, inspector="张三", witness=spelled, explained=True, evidence=1)]
    assert found == ["INS-E04"]


def test_nobody_is_no_person() -> None:
    found = [code for code, *_ in breaches(Answer.YES, inspector="张三", witness="\u200b", explained=True, evidence=1)]
    assert found == ["INS-E04"]
