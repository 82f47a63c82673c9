"""The journal of a guided inspection behind the sheet that `run` takes: what it proves, and what it gives away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from records_support import codes, record

from tests.inspecting import SHEET, confirm, frozen_case, photo, put, say
from yanshou.harness.basics import UserError
from yanshou.harness.evidence import canonical, link
from yanshou.harness.model import Answer, Checklist
from yanshou.inspect.recorder import JOURNAL, Recorder, questions_of, recording
from yanshou.probes.inspection.analyse import analyse
from yanshou.probes.inspection.capture import capture
from yanshou.probes.inspection.spec import Params

NASTY = '第一行\n  - "引号" \\ #号 {花: 括号} \u2028 \x85 \u00a0 \ufeff : 是 😀 \U000e0001 尾'


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with recording(frozen_case(tmp_path)) as opened:
        yield opened


def params_of(recorder: Recorder) -> Params:
    (questions,) = recorder.sheets
    return Params.model_validate({"sheet": questions.sheet, "items": [i.model_dump() for i in questions.items]})


def inspected(recorder: Recorder) -> Checklist:
    params = params_of(recorder)
    return analyse(record(recorder.folder, capture, params), params, 1)


def two_people(recorder: Recorder, *devices: str) -> tuple[Any, Any]:
    first, second = devices or ("aaaa", "bbbb")
    return recorder.identify("张三", "1357", first), recorder.identify("李四", "2468", second)


def refused(folder: Path, params: Params) -> list[str]:
    with pytest.raises(UserError) as caught:
        record(folder, capture, params)
    return [p.code for p in caught.value.problems]


def test_the_sheet_says_what_people_said_and_run_takes_it(recorder: Recorder) -> None:
    zhang, li = two_people(recorder)
    first = put(recorder, "M01", zhang, photo(1), label="照片", source="操作台", page="00:12")
    put(recorder, "M02", li, photo(2))
    put(recorder, "M03", zhang, photo(3))
    assert say(recorder, "M01", zhang, observed=NASTY, how="操作").observed != NASTY  # what nobody sees is left out
    say(recorder, "M02", li, "部分", observed="", reason="只看到一台")
    say(recorder, "M03", zhang, "专家评议")
    confirm(recorder, "M01", li)
    found = inspected(recorder)
    assert {k: v for k, v in codes(found.validity).items() if k != "INS-V03"} == {}
    item = found.items[0]
    assert (item.answer, item.inspector, item.witness, item.evidence) == (Answer.YES, "张三", "李四", (first.sha256,))
    assert item.observed.startswith('第一行\n  - "引号" \\ #号 {花: 括号}')
    assert item.observed.endswith(": 是 😀  尾")
    assert [i.answer for i in found.items[1:]] == [Answer.PARTIAL, Answer.EXPERT]
    told = found.facts["records"][0]
    assert (told["how"], told["place"], told["evidence"][0]["obtained_from"]) == ("操作", "一车间", "操作台")
    assert told["time"] <= told["confirmed"]
    assert found.facts["journal"] == {"records": len(recorder.ledger.records), "head": recorder.ledger.head}


def test_without_the_second_person_run_refuses(recorder: Recorder) -> None:
    zhang, _ = two_people(recorder)
    put(recorder, "M01", zhang, photo(1))
    say(recorder, "M01", zhang)
    assert refused(recorder.folder, params_of(recorder)) == ["INS-E04"]


def test_an_answer_that_was_confirmed_and_then_changed_is_unconfirmed_and_the_change_stays_visible(
    recorder: Recorder,
) -> None:
    zhang, li = two_people(recorder)
    put(recorder, "M01", zhang, photo(1))
    say(recorder, "M01", zhang)
    confirm(recorder, "M01", li)
    say(recorder, "M01", zhang, observed="其实看到了别的", why="写错了")
    assert refused(recorder.folder, params_of(recorder)) == ["INS-E04"]
    confirm(recorder, "M01", li)
    found = inspected(recorder)
    assert codes(found.validity)["INS-V10"] == "info"
    assert "M01 1 次" in next(v.text for v in found.validity if v.code == "INS-V10")
    assert found.items[0].observed == "其实看到了别的"


def test_a_withdrawn_file_takes_its_answer_with_it(recorder: Recorder) -> None:
    zhang, li = two_people(recorder)
    wrong = put(recorder, "M01", zhang, photo(1))
    put(recorder, "M01", zhang, photo(2), "b.jpg")
    say(recorder, "M01", zhang)
    confirm(recorder, "M01", li)
    (questions,) = recorder.sheets
    recorder.withdraw(questions, questions.item("M01"), wrong.file, "拍到了人", zhang)
    assert inspected(recorder).items[0].answer is Answer.OPEN
    say(recorder, "M01", zhang, why="撤回了一张")
    confirm(recorder, "M01", li)
    evidence = record(recorder.folder, capture, params_of(recorder))
    assert [s for s in evidence.streams() if s.startswith("attachments/")] == ["attachments/M01/02-b.jpg"]
    assert recorder.file_path(questions, wrong).read_bytes() == photo(1)


def test_one_device_new_pins_and_wrong_pins_are_told(recorder: Recorder) -> None:
    zhang, li = two_people(recorder, "aaaa", "aaaa")
    put(recorder, "M01", zhang, photo(1))
    say(recorder, "M01", zhang)
    with pytest.raises(UserError, match="口令不对"):
        recorder.prove("李四", "9999", "aaaa")
    confirm(recorder, "M01", li)
    found = inspected(recorder)
    assert codes(found.validity) | {"INS-V03": ""} == {"INS-V09": "warning", "INS-V11": "warning", "INS-V03": ""}
    assert "以 李四 的姓名输错口令 1 次" in next(v.text for v in found.validity if v.code == "INS-V11")


def test_after_a_restart_the_same_name_with_a_new_pin_is_told(tmp_path: Path) -> None:
    case = frozen_case(tmp_path)
    for _ in range(2):
        with recording(case) as recorder:
            zhang, li = two_people(recorder)
    with recording(case) as recorder:
        put(recorder, "M01", recorder.identify("张三", "1111", "aaaa"), photo(1))
        say(recorder, "M01", zhang)
        recorder.identify("李四", "2222", "bbbb")
        confirm(recorder, "M01", li)
        found = inspected(recorder)
    assert "张三 重设过口令；李四 重设过口令" in next(v.text for v in found.validity if v.code == "INS-V11")


def edited(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('answer: "部分"', 'answer: "否"'),
        lambda text: text.replace('observed: "看到了"', 'observed: "看到了两台"'),
        lambda text: re.sub(r'inspector: "李四"', 'inspector: "王五"', text),
        lambda text: text[: text.index('  "M02"')],
    ],
)
def test_a_sheet_that_was_edited_by_hand_is_refused(recorder: Recorder, change: Callable[[str], str]) -> None:
    zhang, li = two_people(recorder)
    put(recorder, "M01", zhang, photo(1))
    say(recorder, "M01", zhang)
    confirm(recorder, "M01", li)
    say(recorder, "M02", li, "部分")
    edited(recorder.folder / SHEET, change)
    assert set(refused(recorder.folder, params_of(recorder))) == {"INS-E12"}


def test_a_file_that_changed_after_it_came_in_is_refused(recorder: Recorder) -> None:
    zhang, li = two_people(recorder)
    file = put(recorder, "M01", zhang, photo(1))
    say(recorder, "M01", zhang)
    confirm(recorder, "M01", li)
    (questions,) = recorder.sheets
    recorder.file_path(questions, file).write_bytes(photo(9))
    assert "INS-E12" in refused(recorder.folder, params_of(recorder))


def test_a_journal_that_is_gone_torn_or_bent_is_refused(recorder: Recorder) -> None:
    zhang, _ = two_people(recorder)
    say(recorder, "M01", zhang, "否")
    path, params = recorder.folder / JOURNAL / "ledger.jsonl", params_of(recorder)
    whole = path.read_bytes()
    for data in (whole[:-1], whole.replace("张三".encode(), "王五".encode()), whole.split(b"\n", 1)[1]):
        path.write_bytes(data)
        assert refused(recorder.folder, params) == ["INS-E12"]
    path.unlink()
    assert refused(recorder.folder, params) == ["INS-E12"]


def test_half_a_line_that_a_power_cut_left_is_closed_by_the_next_sitting(tmp_path: Path) -> None:
    case = frozen_case(tmp_path)
    with recording(case) as recorder:
        say(recorder, "M01", two_people(recorder)[0], "否")
        params = params_of(recorder)
    with (case / JOURNAL / "ledger.jsonl").open("ab") as f:
        f.write(b'{"h":"0123')
    assert refused(case, params) == ["INS-E12"]
    with recording(case) as recorder:
        assert "recovered" in [r["kind"] for r in recorder.ledger.records]
        assert inspected(recorder).items[0].answer is Answer.NO


def test_a_journal_by_which_somebody_reviewed_his_own_answer_is_refused(recorder: Recorder) -> None:
    """Chained anew, as whoever edits a journal can: the rules are checked again, whoever wrote it."""
    zhang, li = two_people(recorder)
    put(recorder, "M01", zhang, photo(1))
    say(recorder, "M01", zhang)
    confirm(recorder, "M01", li)
    head, lines = "0" * 64, []
    for entry in recorder.ledger.records:
        forged = {**entry, "by": "张 三"} if entry["kind"] == "review" else entry
        head = link(head, forged)
        lines.append(canonical({"h": head, "r": forged}) + b"\n")
    (recorder.folder / JOURNAL / "ledger.jsonl").write_bytes(b"".join(lines))
    assert "INS-E12" in refused(recorder.folder, params_of(recorder))


def test_analysis_checks_the_journal_again(recorder: Recorder) -> None:
    """A run whose `items.json` claims another answer than its journal, or has lost the journal, is void."""
    zhang, _ = two_people(recorder)
    say(recorder, "M01", zhang, "否")
    params = params_of(recorder)
    evidence = record(recorder.folder, capture, params)
    streams = {name: evidence.open(name).read() for name in evidence.streams()}
    from records_support import MemoryEvidence

    claimed = json.loads(streams["items.json"])
    claimed["items"][0]["answer"] = "部分"
    bent = MemoryEvidence({**streams, "items.json": canonical(claimed)})
    assert codes(analyse(bent, params, 1).validity)["INS-V08"] == "invalid"
    lost = MemoryEvidence({name: data for name, data in streams.items() if name != "journal.jsonl"})
    assert codes(analyse(lost, params, 1).validity)["INS-V08"] == "invalid"
    assert "INS-V08" not in codes(analyse(MemoryEvidence(streams), params, 1).validity)


def test_an_answer_to_another_question_does_not_stand(tmp_path: Path) -> None:
    case = frozen_case(tmp_path)
    with recording(case) as recorder:
        zhang, _ = two_people(recorder)
        say(recorder, "M01", zhang, "否")
        (questions,) = recorder.sheets
        asked = questions.item("M01").model_copy(update={"expected": "更容易的要求"})
        assert recorder.entry(questions, asked).current(asked) is None
        assert recorder.entry(questions, asked).current(questions.item("M01")) is not None


@pytest.mark.parametrize(
    ("answer", "ok"), [("是", False), ("否", False), ("部分", False), ("不适用", True), ("专家评议", True)]
)
def test_what_only_experts_can_judge(tmp_path: Path, answer: str, ok: bool) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    text = (
        f"items: {{E: {{answer: {answer}, observed: 材料齐, inspector: 甲, witness: 乙, evidence: [{{file: a.jpg}}]}}}}"
    )
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    item = {"id": "E", "text": "效益", "expected": "明显", "expert": True}
    params = Params.model_validate({"sheet": "s.yaml", "items": [item]})
    if ok:
        assert analyse(record(tmp_path, capture, params), params, 1).items[0].answer == answer
    else:
        assert refused(tmp_path, params) == ["INS-E13"]


def test_a_plan_without_a_checklist_is_named(tmp_path: Path) -> None:
    from yanshou.harness.assess import load_state

    plan = load_state(frozen_case(tmp_path)).plan
    from dataclasses import replace

    with pytest.raises(UserError, match="没有查验清单"):
        questions_of(replace(plan, indicators=()))
