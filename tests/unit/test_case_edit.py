"""Values get into a case.yaml and nothing else changes in it: not a comment, not a blank, not a line ending."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanshou.harness.basics import UserError
from yanshou.harness.case import parse_case
from yanshou.harness.case_edit import conflicts, edited, value_at
from yanshou.harness.case_template import new_case
from yanshou.harness.listing import load_list

HEAD = "yanshou: 1\nlist: wuhan-2024\nscenario: 10\nmode: self-check\n"
TARGET = ("commitments", "S10-I03", "target")


def after(body: str, values: dict) -> str:
    return edited(parse_case(HEAD + body, Path("case.yaml")), values).removeprefix(HEAD)


@pytest.mark.parametrize(
    ("before", "values", "expected"),
    [
        ("", {TARGET: "≤ 2 ms"}, 'commitments:\n  S10-I03:\n    target: "≤ 2 ms"\n'),
        ("commitments:\n", {TARGET: "x"}, 'commitments:\n  S10-I03:\n    target: "x"\n'),
        ("commitments: {}\n", {TARGET: "x"}, 'commitments:\n  S10-I03:\n    target: "x"\n'),
        (
            "commitments:\n  S10-I03:\n    source:  # 出处\n",
            {(*TARGET[:2], "source", "file"): "a"},
            'commitments:\n  S10-I03:\n    source:  # 出处\n      file: "a"\n',
        ),
        (
            "commitments:\n  S10-I03:\n    baseline:\n# 下一节\nmeasure:\n",
            {TARGET: "x"},
            'commitments:\n  S10-I03:\n    baseline:\n    target: "x"\n# 下一节\nmeasure:\n',
        ),
        (
            'commitments:\n  S10-I03:\n    target: "<目标>"  # 第 5 栏\n\n# 仪器\nmeasure:\n',
            {TARGET: "x"},
            'commitments:\n  S10-I03:\n    target: "x"  # 第 5 栏\n\n# 仪器\nmeasure:\n',
        ),
        (
            "commitments:\n  S10-I03:\n    target:   # 第 5 栏\n",
            {TARGET: "x"},
            'commitments:\n  S10-I03:\n    target: "x"   # 第 5 栏\n',
        ),
        (
            "commitments:\n    S10-I03:\n       baseline: 5 ms # 去年\n# 下一节\nmeasure:\n",
            {TARGET: "x", (*TARGET[:2], "source", "confirmed_by"): []},
            'commitments:\n    S10-I03:\n       baseline: 5 ms # 去年\n       target: "x"\n       source:\n'
            "         confirmed_by: []\n# 下一节\nmeasure:\n",
        ),
        (
            "commitments: {S10-I03: {baseline: 5 ms}}  # 行内\n",
            {TARGET: "x", (*TARGET[:2], "source", "file"): "a b.docx"},
            'commitments: {S10-I03: {baseline: 5 ms, target: "x", source: {file: "a b.docx"}}}  # 行内\n',
        ),
        (
            "commitments:\n  S10-I03:\n    note: |\n      一\n      二\n\n  # 又一项\n  S10-I02: {target: 120 台}\n",
            {TARGET: "x"},
            'commitments:\n  S10-I03:\n    note: |\n      一\n      二\n    target: "x"\n\n'
            "  # 又一项\n  S10-I02: {target: 120 台}\n",
        ),
        (
            "commitments:\n  S10-I03:\n    source: {confirmed_by: [], file: a}\n",
            {(*TARGET[:2], "source", "confirmed_by"): ["张三"]},
            'commitments:\n  S10-I03:\n    source: {confirmed_by: ["张三"], file: a}\n',
        ),
    ],
)  # fmt: skip
def test_only_the_place_changes(before: str, values: dict, expected: str) -> None:
    assert after(before, values) == expected


def test_line_endings_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + HEAD.replace("\n", "\r\n") + "commitments:\r\n  S10-I03:\r\n    baseline: 5 ms\r\n"
    done = edited(parse_case(text, Path("case.yaml")), {TARGET: "≤ 2 ms"})
    assert done == text + '    target: "≤ 2 ms"\r\n'


@pytest.mark.parametrize("scenario", [3, 6, 10])
def test_every_blank_of_a_new_case_can_be_filled_and_every_comment_stays(scenario: int) -> None:
    text = new_case(load_list(), scenario, "acceptance", {})
    case = parse_case(text, Path("case.yaml"))
    values = {
        ("commitments", name, key): f"{name} {key}"
        for name in case.document.commitments
        for key in ("baseline", "target", "note")
    }
    done = edited(case, values)
    kept = iter(done.splitlines())
    assert [line for line in text.splitlines() if ': "<' not in line and line not in kept] == []
    assert all(value_at(parse_case(done, case.path).data, place) == value for place, value in values.items())


def test_what_a_person_wrote_is_a_conflict_with_both_values() -> None:
    case = parse_case(f"{HEAD}commitments:\n  S10-I03: {{target: ≤ 1 ms}}\n", Path("case.yaml"))
    (found,) = conflicts(case, {TARGET: "≤ 2 ms", (*TARGET[:2], "note"): "新"})
    assert (found.code, found.line) == ("I-DIFFERS", 6)
    assert "“≤ 1 ms”" in found.text
    assert "“≤ 2 ms”" in found.text
    assert list(conflicts(case, {TARGET: "≤ 1 ms"})) == []


@pytest.mark.parametrize(
    "body",
    ["commitments:\n  S10-I03:\n    target: |\n\n", "commitments:\n  S10-I03: 待定\n"],
)
def test_a_form_that_cannot_be_filled_safely_is_refused(body: str) -> None:
    with pytest.raises(UserError):
        after(body, {TARGET: "x"})


@given(st.text(min_size=1, max_size=40).filter(lambda s: s.strip() and not s.strip().startswith("<")))
@settings(max_examples=60, deadline=None)
def test_any_text_of_a_document_comes_back_verbatim(value: str) -> None:
    place = (*TARGET[:2], "source", "text")
    case = parse_case(f"{HEAD}commitments:\n  S10-I03: {{target: ≤ 1 ms}}\n", Path("case.yaml"))
    try:
        done = edited(case, {place: value})
    except UserError as error:
        assert any("\ud800" <= c <= "\udfff" or ord(c) < 32 for c in value), error  # noqa: PT017
        return
    assert value_at(parse_case(done, case.path).data, place) == value
