"""Several subjects and conditions of one indicator: each is a run of its own, all must hold, and the plan fixes them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from yanshou.harness import engine
from yanshou.harness.assess import load_state
from yanshou.harness.basics import UserError
from yanshou.harness.engine import draft, freeze_case, run_case
from yanshou.harness.model import Kind
from yanshou.harness.plan import Plan, Setup, plan_from_json, weakens
from yanshou.harness.recording import Selection
from yanshou.harness.windows import in_window, parse_window

CASE = """yanshou: 1
list: wuhan-2024
scenario: 10
mode: self-check
project: {{name: 设备自检, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 本机, subjects: [甲车间, 乙车间]}}
commitments:
  S10-I02:
    target: 不少于100台(套)
    define: {{direct_5g: 不要求, behind_gateway: 分别计, simultaneity: 累计}}
measure:
  S10-I02:
    probe: records
    params: {{key: [id], time: t, window: {{start: 2025-01-01, end: 2025-12-31}}, unit: 台(套)}}
    conditions:
      白班: {{params: {{file: day.csv}}{window}}}
{night}    rule: {{subjects: {subjects}}}
"""
NIGHT = "      夜班: {params: {file: night.csv}}\n"


def case(
    folder: Path, day: int, night: int, *, subjects: str = "all", window: str = "", with_night: bool = True
) -> Path:
    for name, number in (("day", day), ("night", night)):
        rows = "".join(f"D{n},2025-06-01\n" for n in range(number))
        (folder / f"{name}.csv").write_text(f"id,t\n{rows}", encoding="utf-8")
    text = CASE.format(window=window and f', window: "{window}"', subjects=subjects, night=NIGHT if with_night else "")
    (folder / "case.yaml").write_text(text, encoding="utf-8")
    return folder


def finding(folder: Path, **selection) -> dict:
    freeze_case(folder)
    return run_case(folder, selection=Selection(**selection)).record["findings"][0]


def other_window() -> str:
    """A time of day that is not now."""
    hour = (datetime.now(timezone(timedelta(hours=8))).hour + 12) % 24
    return f"{hour:02d}:00-{hour:02d}:59"


@pytest.mark.parametrize(("night", "verdict"), [(120, "pass"), (99, "fail")])
def test_all_conditions_must_hold_for_every_subject(tmp_path: Path, night: int, verdict: str) -> None:
    found = finding(case(tmp_path, 130, night))
    assert found["verdict"] == verdict
    assert [(c["subject"], c["condition"], c["value"]) for c in found["conditions"]] == [
        (s, c, v) for s in ("甲车间", "乙车间") for c, v in (("白班", 130), ("夜班", night))
    ]
    assert [s["verdict"] for s in found["subjects"]] == [verdict] * 2
    assert found["value"] == night, "the least margin is what the line shows"
    assert found["conditions"][0]["params"] == {"file": "day.csv"}


def test_one_run_each_and_a_selection_of_them(tmp_path: Path) -> None:
    found = finding(case(tmp_path, 130, 120), subjects=["乙车间"], conditions=["夜班"])
    assert (found["verdict"], len(found["attempts"])) == ("not_run", 1)
    assert (found["attempts"][0]["subject"], found["attempts"][0]["condition"]) == ("乙车间", "夜班")
    rest = run_case(tmp_path).record["findings"][0]
    assert (rest["verdict"], len(rest["attempts"])) == ("pass", 4)
    with pytest.raises(UserError, match="P-UNKNOWN 计划里没有工况 夜斑 → 计划内：夜班、白班"):
        run_case(tmp_path, selection=Selection(conditions=["夜斑"]))


def test_a_condition_out_of_its_window_is_not_measured(tmp_path: Path) -> None:
    folder = case(tmp_path, 130, 120, window=other_window())
    freeze_case(folder)
    summary = run_case(folder)
    assert {p.code for p in summary.problems} == {"P-WINDOW"}
    assert summary.record["findings"][0]["verdict"] == "not_run"
    assert len(summary.record["findings"][0]["attempts"]) == 2


def test_a_run_outside_its_window_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "in_window", lambda *_: True)
    found = finding(case(tmp_path, 130, 120, window=other_window()))
    assert found["verdict"] == "invalid"
    assert "outside_window" in {v["code"] for v in found["validity"]}


def test_alpha_is_split_over_what_could_go_wrong(tmp_path: Path) -> None:
    planned = draft(case(tmp_path, 1, 1)).plan.indicators[0]
    assert [(s.condition, s.instrument.params["file"]) for s in planned.setups] == [
        ("白班", "day.csv"),
        ("夜班", "night.csv"),
    ]
    of_two = planned.criterion(2)
    assert (of_two.pass_split, of_two.fail_split) == (1, 4)
    one_of_three = draft(case(tmp_path, 1, 1, subjects="1")).plan.indicators[0].criterion(3)
    assert (one_of_three.pass_split, one_of_three.fail_split) == (3, 2)


def test_the_plan_keeps_its_conditions_and_dropping_one_is_weakening(tmp_path: Path) -> None:
    plan, _ = freeze_case(case(tmp_path, 1, 1))
    assert plan_from_json(json.loads(plan.to_bytes())) == plan
    fewer = draft(case(tmp_path, 1, 1, with_night=False)).plan
    assert weakens(plan, fewer)
    assert not weakens(plan, plan)
    assert load_state(tmp_path).plan == plan


def only(plan: Plan, **changes: Any) -> Plan:
    """`plan` with fields of its one indicator changed."""
    return replace(plan, indicators=(replace(plan.indicators[0], **changes),))


def other(setup: Setup, **changes: Any) -> tuple[Setup, ...]:
    return (replace(setup, **changes),)


def test_fewer_subjects_or_a_part_of_more_is_weakening(tmp_path: Path) -> None:
    plan = draft(case(tmp_path, 1, 1)).plan
    more = (*plan.subjects, "丙车间")
    assert weakens(plan, replace(plan, subjects=("甲车间",)))
    assert not weakens(plan, replace(plan, subjects=more))
    one_of = only(plan, required_subjects=1)
    assert weakens(one_of, replace(one_of, subjects=more))


def test_another_kind_instrument_or_time_of_day_is_weakening_and_one_more_condition_is_not(tmp_path: Path) -> None:
    plan = draft(case(tmp_path, 1, 1, with_night=False)).plan
    (indicator,) = plan.indicators
    (day,) = indicator.conditions
    assert weakens(plan, only(plan, kind=Kind.INSPECTED))
    assert weakens(plan, only(plan, conditions=other(day, window="02:00-03:00")))
    assert weakens(plan, only(plan, conditions=other(day, instrument=replace(day.instrument, probe="devices"))))
    assert not weakens(plan, only(plan, conditions=(day, replace(day, condition="夜班"))))
    bare = only(plan, conditions=())
    assert not weakens(bare, plan)
    assert weakens(bare, only(bare, instrument=replace(day.instrument, probe="devices")))


@pytest.mark.parametrize(
    ("old", "new", "less"),
    [
        ({"audit": {"file": "a.csv", "size": 60}}, {"audit": None}, True),
        ({"audit": None}, {"audit": {"file": "a.csv", "size": 60}}, False),
        ({"exclude": [{"code": "TEST"}, {"code": "DUP"}]}, {"exclude": [{"code": "TEST"}]}, True),
        ({"exclude": []}, {"exclude": [{"code": "TEST"}]}, False),
        ({"load": {"users": 50, "rate": 5}}, {}, True),
        ({"key": ["id", "day"]}, {"key": ["id"]}, True),
        ({"new_only": True}, {"new_only": False}, True),
        ({"host": "192.0.2.1", "count": 3000}, {"host": "192.0.2.9", "count": 1000}, False),
        ({"sources": [{"kind": "mqtt", "host": "a"}]}, {"sources": [{"kind": "mqtt", "host": "b"}]}, False),
    ],
)
def test_an_instrument_that_is_asked_for_less_is_weakening(tmp_path: Path, old: dict, new: dict, less: bool) -> None:
    plan = draft(case(tmp_path, 1, 1, with_night=False)).plan
    (day,) = plan.indicators[0].conditions
    before, after = (
        only(plan, conditions=other(day, instrument=replace(day.instrument, params=params))) for params in (old, new)
    )
    assert weakens(before, after) is less


def test_one_more_way_to_meet_a_group_is_weakening(tmp_path: Path) -> None:
    plan = draft(case(tmp_path, 1, 1)).plan
    (indicator,) = plan.indicators
    grouped = replace(indicator, group="S06-G1")
    two = replace(plan, indicators=(grouped, replace(grouped, id="S06-I06")))
    assert weakens(replace(plan, indicators=(grouped,)), two)
    assert not weakens(two, two)


def test_taking_an_indicator_out_and_in_again_draws_no_other_sample(tmp_path: Path) -> None:
    folder = case(tmp_path, 1, 1)
    path = folder / "case.yaml"
    whole = path.read_text(encoding="utf-8")
    own = "  S10-P01: {name: 其他, kind: counted, baseline: 0 条, target: 不少于1条}\nmeasure:"
    with_own = whole.replace("measure:", own)
    path.write_text(with_own, encoding="utf-8")
    first, _ = freeze_case(folder)
    for text, reason in ((with_own.replace("S10-I02", "S10-P02"), "去掉"), (with_own, "放回")):
        path.write_text(text, encoding="utf-8")
        last, _ = freeze_case(folder, "甲", reason)
    assert last.indicator("S10-I02").seed == first.indicator("S10-I02").seed


@pytest.mark.parametrize("text", ["9:00-10:00", "09:00-24:00", "10:00-09:00", "09:00-09:00", "全天"])
def test_a_window_is_written_in_one_way(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"时段|写成"):
        parse_window(text)
    with pytest.raises(UserError, match="conditions"):
        draft(case(tmp_path, 1, 1, window=text))


def test_windows_are_in_beijing() -> None:
    moment = datetime(2025, 3, 1, 1, 30, tzinfo=UTC)
    assert in_window("09:29-09:30", moment)
    assert not in_window("01:00-02:00", moment)
    assert in_window(None, moment)


def test_what_is_about_all_subjects_is_measured_once(tmp_path: Path) -> None:
    folder = case(tmp_path, 130, 1, subjects="together", with_night=False)
    plan, _ = freeze_case(folder)
    assert plan.subjects_of(plan.indicators[0]) == (None,)
    assert plan_from_json(json.loads(plan.to_bytes())) == plan
    found = run_case(folder).record["findings"][0]
    assert (found["verdict"], found["subjects"], len(found["attempts"])) == ("pass", [], 1)
    assert found["attempts"][0]["subject"] is None


def test_measuring_together_what_was_to_be_measured_one_by_one_is_weakening(tmp_path: Path) -> None:
    one_by_one = draft(case(tmp_path, 1, 1)).plan
    together = draft(case(tmp_path, 1, 1, subjects="together")).plan
    assert weakens(one_by_one, together)
    assert not weakens(together, one_by_one)
