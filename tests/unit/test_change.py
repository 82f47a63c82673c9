"""A project's own targets of change: read, planned, measured before and after, and judged by a bound of what changed."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanshou.harness.basics import RunStatus, UserError
from yanshou.harness.case import load_case
from yanshou.harness.check import check_case
from yanshou.harness.engine import draft, freeze_case, run_case
from yanshou.harness.judge import Attempt, Criterion, judge_change
from yanshou.harness.listing import load_list
from yanshou.harness.model import Audit, Change, Count, Kind, Limit, Op, Samples, Severity, Validity, Verdict
from yanshou.harness.plan import open_points, plan_from_json, weakens
from yanshou.harness.statistics import Bounds, Interval, change_interval, quantile_bounds
from yanshou.harness.units import TargetError, parse_change
from yanshou.importers.grid import Cell
from yanshou.importers.propose import aimed
from yanshou.importers.table import Row
from yanshou.reports.render import render

F = Fraction


def read(text: str, level: str = "") -> tuple[str, bool, bool] | None:
    found = parse_change(text, level)
    return found and (str(found[0]), found[1].grows, found[1].relative)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("缩短 30%", ("≥ 30 %", False, True)),
        ("提升20%以上", ("≥ 20 %", True, True)),
        ("提升不少于 20 %", ("≥ 20 %", True, True)),
        ("提升超过20%", ("> 20 %", True, True)),
        ("提升至少 5 个百分点", ("≥ 5 %", True, False)),
        ("下降0.5个百分点以上", ("≥ 0.5 %", False, False)),
        ("减少 2 h", ("≥ 2 h", False, False)),
        ("增加不超过 5 %", ("≤ 5 %", True, True)),
        ("提高 10 帧/秒", ("≥ 10 fps", True, False)),
        ("提升到2级以上", None),
        ("提升至2级以上", None),
        ("≤ 2 ms", None),
        ("审图效率提升20%", None),
    ],
)
def test_a_change_is_read_in_one_way(text: str, means: tuple[str, bool, bool] | None) -> None:
    assert read(text) == means


@pytest.mark.parametrize("text", ["提升2倍", "提升一番", "降低约 3%", "提升 20% 至 30%", "提升百分之二十"])
def test_what_may_mean_two_things_is_refused(text: str) -> None:
    with pytest.raises(TargetError):
        read(text)


def test_a_percentage_of_a_percentage_must_say_which() -> None:
    with pytest.raises(TargetError, match=r"有两种读法.*提升 5 个百分点.*相对提升 5 %"):
        read("提升 5%", "92 %")
    assert read("提升 5 个百分点", "92 %") == ("≥ 5 %", True, False)
    assert read("相对提升 5%", "92 %") == ("≥ 5 %", True, True)


three = st.lists(st.integers(0, 100), min_size=3, max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(three, three, st.booleans())
def test_no_truth_within_both_intervals_leaves_that_of_the_change(before, after, relative: bool) -> None:
    (b0, b, b1), (a0, a, a1) = (sorted(map(F, side)) for side in (before, after))
    found = change_interval(Interval(b, b0, b1), Interval(a, a0, a1), relative)
    if b == 0 and relative:
        assert found is None
        return
    true = a / b - 1 if relative else a - b
    assert found is not None
    assert found.point == true
    assert found.lower is None or found.lower <= true
    assert found.upper is None or found.upper >= true


def test_a_change_without_a_number_has_none() -> None:
    one = Interval(F(1), F(1), F(1))
    assert change_interval(Interval(F(0), F(0), F(1)), one, True) is None
    assert change_interval(Interval(math.inf, None, None), Interval(math.inf, None, None), False) is None
    assert change_interval(one, Interval(F(2), None, F(3)), False) == Interval(F(1), None, F(2))
    assert change_interval(Interval(F(1), F(0), math.inf), one, True) == Interval(F(0), F(-1), None)


def criterion(limit: Limit, **changes) -> Criterion:
    values = {
        "indicator": "S03-Q05", "kind": Kind.MEASURED, "limit": limit, "statistic": "p50", "direction": None,
        "undefined": (), "confidence": 0.95, "attempts": 1,
    }  # fmt: skip
    return Criterion(**{**values, **changes})


def samples(median: float, n: int = 400, seed: int = 1) -> Samples:
    values = median * np.exp(0.2 * np.random.default_rng(seed).standard_normal(n))
    return Samples("s", values, np.arange(n, dtype=np.float64), "duration")


def attempt(number: int, measurement, *validity: Validity, status: RunStatus = RunStatus.COMPLETED) -> Attempt:
    return Attempt(number, None, status, measurement, validity, None)


def side_bounds(measurement: Samples) -> Bounds:
    return quantile_bounds(measurement.values, 0.5, 0.025)


SHORTER = Change(grows=False, relative=True)
BY30 = Limit(Op.GE, Decimal(30), "%")


def judged(before, after, limit: Limit = BY30, change: Change = SHORTER, declared=None, **changes):
    sides = None if before is None else [attempt(1, before)]
    return judge_change(criterion(limit, **changes), change, None, sides, [attempt(2, after)], declared)


def codes(outcome) -> list[str]:
    return [r.code for r in outcome.reasons]


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(60.0, Verdict.PASS), (70.0, Verdict.INCONCLUSIVE), (80.0, Verdict.FAIL), (130.0, Verdict.FAIL)],
)
def test_shorter_by_a_share(after: float, verdict: Verdict) -> None:
    found = judged(samples(100.0), samples(after, seed=2))
    assert found.verdict is verdict
    assert "compared" in codes(found)
    done = found.deciding.judged
    assert done.lower < done.value < done.upper
    assert abs(done.value - (100 - after)) < 3
    assert done.alpha == pytest.approx(0.05), "of which each side takes half"
    assert done.comparison.after.interval.lower == F(*side_bounds(samples(after, seed=2)).lower.as_integer_ratio())
    assert done.comparison.before.run == 1
    assert (done.comparison.before.unit, done.comparison.after.n) == ("s", 400)


def test_a_difference_in_its_own_unit_and_the_other_way_round() -> None:
    faster = Change(grows=False, relative=False)
    found = judged(samples(100.0), samples(60.0, seed=2), Limit(Op.GE, Decimal("0.5"), "min"), faster)
    assert found.verdict is Verdict.PASS
    assert abs(found.deciding.judged.value - F(2, 3)) < 0.03
    slower = judged(samples(60.0), samples(100.0, seed=2), Limit(Op.GE, Decimal(50), "%"), Change(True, True))
    assert slower.verdict is Verdict.PASS


def counted(net: int, good: int | None = None, drawn: int = 100) -> Count:
    return Count("项", net, (), net, None if good is None else Audit(net, drawn, good))


def test_counts_are_compared_exactly_and_audited_ones_by_their_bounds() -> None:
    more = Change(grows=True, relative=True)
    by20 = Limit(Op.GE, Decimal(20), "%")
    exact = judged(counted(1000), counted(1200), by20, more, statistic=None)
    assert (exact.verdict, exact.deciding.judged.lower, exact.deciding.judged.upper) == (Verdict.PASS, 20, 20)
    assert judged(counted(1000), counted(1199), by20, more, statistic=None).verdict is Verdict.FAIL
    audited = judged(counted(1000), counted(1240, good=97), by20, more, statistic=None)
    assert audited.verdict is Verdict.INCONCLUSIVE
    assert audited.deciding.judged.lower < 20 < audited.deciding.judged.upper


def test_frame_times_are_compared_as_rates() -> None:
    limit = Limit(Op.GE, Decimal(10), "fps")
    found = judged(samples(1 / 60), samples(1 / 90, seed=2), limit, Change(True, False))
    assert found.verdict is Verdict.PASS
    assert abs(found.deciding.judged.value - 30) < 2
    assert found.deciding.judged.comparison.before.unit == "fps"


@pytest.mark.parametrize(("after", "verdict"), [(50.0, Verdict.INCONCLUSIVE), (90.0, Verdict.FAIL)])
def test_what_is_only_declared_can_fail_but_never_pass(after: float, verdict: Verdict) -> None:
    found = judged(None, samples(after), declared=(Decimal(100), "s"))
    assert found.verdict is verdict
    assert codes(found)[0] == "baseline_declared"
    assert found.deciding.judged.comparison.measured is False
    nothing = judged(None, samples(after), declared=None)
    assert (nothing.verdict, codes(nothing)[0]) == (Verdict.INCONCLUSIVE, "baseline_declared")


def test_a_declared_level_that_the_measurement_contradicts_is_named() -> None:
    assert "baseline_differs" in codes(judged(samples(80.0), samples(50.0), declared=(Decimal(100), "s")))
    assert "baseline_differs" not in codes(judged(samples(80.0), samples(50.0), declared=(Decimal(80), "s")))


def test_a_void_run_before_voids_the_comparison_and_a_missing_one_is_not_run() -> None:
    bad = Validity("X-V01", Severity.INVALID, "坏了")
    void = judge_change(
        criterion(BY30), SHORTER, None, [attempt(1, samples(100.0), bad)], [attempt(2, samples(50.0))], None
    )
    assert (void.verdict, codes(void)[0]) == (Verdict.INVALID, "X-V01")
    for before in ([], [attempt(1, samples(100.0), status=RunStatus.ABORTED)]):
        assert (
            judge_change(criterion(BY30), SHORTER, None, before, [attempt(2, samples(50.0))], None).verdict
            is Verdict.NOT_RUN
        )
    twice = [attempt(1, samples(100.0)), attempt(2, samples(150.0))]
    assert (
        judge_change(criterion(BY30), SHORTER, None, twice, [attempt(3, samples(50.0))], None).verdict
        is Verdict.INVALID
    )


def test_every_look_before_and_after_costs() -> None:
    sides = [[attempt(1, samples(100.0))], [attempt(2, samples(50.0))]]
    found = judge_change(criterion(BY30, attempts=3), SHORTER, None, *sides, None).deciding.judged
    assert found.alpha == pytest.approx(0.05 / 3)
    assert found.lower < judge_change(criterion(BY30), SHORTER, None, *sides, None).deciding.judged.lower


CASE = """yanshou: 1
list: wuhan-2024
scenario: 3
mode: self-check
project: {{name: 数字建造, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 本机}}
commitments:
  S03-Q05:
    kind: counted
    baseline: {baseline}
    target: {target}
measure:
  S03-Q05:
    probe: records
    params: {{file: after.csv, key: [id], time: t, window: {{start: 2025-01-01, end: 2025-12-31}}, unit: 项}}
{before}
"""
BEFORE = "    before: {params: {file: before.csv, window: {start: 2024-01-01, end: 2024-12-31}}}"


def case(folder: Path, *, earlier: int = 1000, later: int = 1300, **changes: str) -> Path:
    for name, number, year in (("before", earlier, 2024), ("after", later, 2025)):
        rows = "".join(f"D{n},{year}-06-{n % 28 + 1:02d}\n" for n in range(number))
        (folder / f"{name}.csv").write_text(f"id,t\n{rows}", encoding="utf-8")
    values = {"baseline": "1000 项", "target": "提升 20 %", "before": BEFORE, **changes}
    (folder / "case.yaml").write_text(CASE.format(**values), encoding="utf-8")
    return folder


def test_from_a_case_to_a_report(tmp_path: Path) -> None:
    plan, _ = freeze_case(case(tmp_path))
    assert plan_from_json(json.loads(plan.to_bytes())) == plan
    assert [(s.condition, s.instrument.params["file"]) for s in plan.indicator("S03-Q05").setups] == [
        ("改造前", "before.csv"),
        ("改造后", "after.csv"),
    ]
    record = run_case(tmp_path).record
    (found,) = record["findings"]
    assert (found["verdict"], found["value"], found["lower"], found["unit"]) == ("pass", 30, 30, "%")
    change = found["change"]
    assert (change["before"]["value"], change["after"]["value"], change["measured"]) == (1000, 1300, True)
    assert [(a["attempt"], a["condition"]) for a in found["attempts"]] == [(1, "改造前"), (1, "改造后")]
    assert record["qualitative"][4]["verdict"] == "pass"
    page = render(record, tmp_path / "report")["report.html"].read_text(encoding="utf-8")
    for text in ("改造前后对比", "提升幅度(相对改造前)", "1,300", "30"):
        assert text in page


def test_a_declared_baseline_stays_undecided_in_the_record(tmp_path: Path) -> None:
    folder = case(tmp_path, before="")
    assert [p.code for p in open_points(draft(folder).plan)] == ["P-BASELINE"]
    freeze_case(folder)
    (found,) = run_case(folder).record["findings"]
    assert (found["verdict"], found["reasons"][0]["code"]) == ("inconclusive", "baseline_declared")
    assert found["change"]["measured"] is False


def test_a_plan_counts_the_samples_of_both_sides_and_of_a_tail(tmp_path: Path) -> None:
    text = """yanshou: 1
list: wuhan-2024
scenario: 7
mode: self-check
project: {name: x, lead: {name: y}}
target: {kind: lab, site: z}
commitments:
  S07-Q01: {name: a, kind: measured, baseline: 60 fps, target: ≥ 72 fps, define: {statistic: 1%-low}}
  S07-P01: {name: b, kind: measured, baseline: 40 ms, target: 缩短 30 %, define: {statistic: P99}}
measure:
  S07-Q01: {probe: xr.frames, params: {page: own, duration_s: 30}}
  S07-P01: {probe: xr.frames, params: {file: a.csv}, before: {params: {file: b.csv}}}
"""
    (tmp_path / "case.yaml").write_text(text, encoding="utf-8")
    plan = draft(tmp_path).plan
    assert plan.indicator("S07-Q01").samples_needed == 3000
    assert plan.indicator("S07-P01").samples_needed == 368, "P99 at 97.5 %"
    assert "P-SAMPLES" in {p.code for p in open_points(plan) if "S07-Q01" in p.text}


def test_a_plan_from_before_changes_existed_is_read(tmp_path: Path) -> None:
    plan, _ = freeze_case(case(tmp_path, target="≥ 1200 项", before=""))
    data = json.loads(plan.to_bytes())
    for indicator in data["indicators"]:
        assert indicator.pop("change") is None
    assert plan_from_json(data) == plan


def c06(folder: Path) -> list[str]:
    found = check_case(load_case(folder), load_list())
    return [p.text for p in found if p.code == "C06" and "S03-Q05" in p.text]


def test_c06_demands_a_level_and_its_evidence(tmp_path: Path) -> None:
    assert c06(case(tmp_path)) == []
    assert "读不出数和单位" in c06(case(tmp_path, baseline="较低"))[0]
    assert "只有自报、没有证据" in c06(case(tmp_path, before=""))[0]
    assert c06(case(tmp_path, target="≥ 1200 项", before="")) == []
    assert "读不出数和单位" in c06(case(tmp_path, target="≥ 1200 项", before="", baseline="无"))[0]


def test_before_without_a_change_is_refused_and_a_change_that_becomes_a_level_is_weakening(tmp_path: Path) -> None:
    plan = draft(case(tmp_path)).plan
    with pytest.raises(UserError, match="P-CHANGE"):
        draft(case(tmp_path, target="≥ 1200 项"))
    assert weakens(plan, draft(case(tmp_path, target="≥ 20 项", before="")).plan)
    with pytest.raises(UserError, match="before 与 conditions 不能同时写"):
        draft(case(tmp_path, before=f"{BEFORE}\n    conditions: {{甲: {{params: {{}}}}}}"))


def test_a_mistake_in_the_parameters_before_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="P-PARAM") as caught:
        draft(case(tmp_path, before="    before:\n      params: {fil: x.csv}"))
    assert {p.line for p in caught.value.problems} == {17}


def test_an_import_proposes_a_change_and_says_so() -> None:
    scenario = next(s for s in load_list().scenarios if s.number == 3)

    def proposed(target: str, baseline: str):
        texts = ("3", "某项目", "作业效率明显提高", baseline, target, "")
        row = Row(*(Cell(text, "") for text in texts))
        return aimed(row, "S03-Q05", "", scenario)

    found = proposed("缩短30%以上", "100 分钟")
    assert (found.read, found.to_json()["change"]) == (
        "降低幅度(相对改造前) ≥ 30 %",
        {"grows": False, "relative": True},
    )
    assert "两种读法" in proposed("提升5%", "60%").doubt
    assert (proposed("≤ 70 分钟", "100 分钟").read, proposed("≤ 70 分钟", "100 分钟").change) == ("≤ 70 min", None)
