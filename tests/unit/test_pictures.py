"""Further pictures of a measurement: what the record keeps of them, and how a report draws it."""

from __future__ import annotations

import copy
import math
import re
from decimal import Decimal

import numpy as np
import pytest

from yanshou.harness.assess import _drawn
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import canonical
from yanshou.harness.judge import Attempt, JudgedAttempt
from yanshou.harness.model import (
    Area,
    Cells,
    Ellipse,
    Limit,
    Map,
    Op,
    Picture,
    Points,
    Samples,
    Satellite,
    Scatter,
    Shares,
    Sky,
    Trace,
    Traces,
    Verdict,
)
from yanshou.harness.pictures import BINS, CELLS, PARTS, POINTS, SATELLITES, VERTICES, kept
from yanshou.reports.pictures import picture_panels

CM2 = Limit(Op.LE, Decimal(2), "cm")
STREETS = Limit(Op.GE, Decimal(2), "个")
RNG = np.random.default_rng(11)


def cloud(n: int, scale: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(scale=scale, size=n), RNG.normal(scale=scale, size=n)


def scatter(x: np.ndarray, y: np.ndarray, group: np.ndarray | None = None, **more: object) -> Scatter:
    points = Points(x, y, np.zeros(x.size, np.int64) if group is None else group, ("固定解", "浮点解"))
    return Scatter("偏差", ("东向", "北向"), "m", points, **{"limited": True, **more})  # type: ignore[arg-type]


def traces(times: np.ndarray, *values: np.ndarray, status: np.ndarray | None = None, unit: str = "m") -> Traces:
    named = tuple(Trace(f"第{i}道", v, limited=i == 0) for i, v in enumerate(values))
    return Traces("过程", unit, times, named, status, ("好", "坏") if status is not None else ())


def rows_of(picture: dict) -> list[list]:
    return [row for stretch in picture["stretches"] for row in stretch]


# ---- what the record keeps


def test_a_spike_survives_in_either_direction() -> None:
    values = RNG.normal(size=200_000)
    values[77_777], values[123_456] = 1e3, -2e3
    rows = rows_of(kept(traces(np.arange(200_000.0), values), CM2))
    assert len(rows) <= BINS
    assert max(row[4] for row in rows) == 1e5  # metres are written in the limit's centimetres
    assert min(row[2] for row in rows) == -2e5


def test_parts_of_time_keep_lowest_middle_highest_and_every_status() -> None:
    times, values = np.arange(900.0), np.arange(900.0)
    status = np.where(times % 3 == 0, 1, 0)
    picture = kept(traces(times, values, status=status, unit="cm"), CM2)
    assert rows_of(picture)[0][1:] == [[2, 1], 0, 1, 2]
    assert sum(sum(row[1]) for row in rows_of(picture)) == picture["total"] == 900


def test_few_values_are_kept_as_they_are() -> None:
    assert rows_of(kept(traces(np.array([3.0, 1.0, 2.0]), np.array([30.0, 10.0, 20.0]), unit="cm"), CM2)) == [
        [1, [], 10, 10, 10], [2, [], 20, 20, 20], [3, [], 30, 30, 30],
    ]  # fmt: skip


def test_a_gap_cuts_and_a_missing_value_is_counted() -> None:
    times = np.concatenate([np.arange(1000.0), np.arange(1600.0, 2600.0)])
    values = np.zeros(2000)
    values[:10] = math.nan
    values[10] = math.inf
    picture = kept(traces(times, values), CM2)
    assert len(picture["stretches"]) == 2
    assert picture["stretches"][0][-1][0] < 1000 < 1600 <= picture["stretches"][1][0][0]
    assert picture["traces"][0]["without_value"] == 11
    assert rows_of(picture)[0][2:] == [None, None, None]


def test_single_missing_epochs_cut_nothing() -> None:
    times = np.delete(np.arange(10_000.0), np.arange(50, 10_000, 100))
    assert len(kept(traces(times, np.zeros(times.size)), CM2)["stretches"]) == 1


def test_a_cloud_is_thinned_but_not_its_outermost_nor_a_small_group() -> None:
    x, y = cloud(50_000)
    x[4321], y[4321] = 3.0, -4.0
    group = np.zeros(x.size, np.int64)
    group[::2500] = 1
    picture = kept(scatter(x, y, group), CM2)
    many, few = picture["groups"]
    assert (many["total"], few["total"]) == (49_980, 20)
    assert len(many["points"]) + len(few["points"]) == POINTS
    assert few["points"] == [[a * 100, b * 100] for a, b in zip(x[::2500], y[::2500], strict=True)]
    assert [300, -400] in many["points"]
    far = np.sort(np.hypot(*np.array(many["points"]).T))[-100:]
    assert far == pytest.approx(np.sort(np.hypot(x, y)[group == 0])[-100:] * 100)
    assert picture["outside"] == int((np.maximum(abs(x), abs(y)) * 100 > picture["view"]).sum()) > 0


def test_what_has_no_place_is_counted_and_left_out() -> None:
    x, y = np.array([0.01, math.nan, math.inf]), np.array([0.02, 1, 1])
    picture = kept(scatter(x, y), CM2)
    assert picture["without_place"] == 2
    assert picture["groups"][0]["points"] == [[1, 2]]
    assert "2 个没有位置" in next(picture_panels(picture)).note


def test_the_limit_is_the_findings_own_and_only_where_it_measures_the_same() -> None:
    picture = scatter(*cloud(10))
    assert kept(picture, CM2)["limit"] == {"op": "<=", "value": 2, "unit": "cm"}
    assert kept(picture, CM2)["view"] > 2
    assert kept(scatter(*cloud(10), limited=False), CM2)["limit"] is None
    other = kept(picture, STREETS)
    assert (other["limit"], other["unit"]) == (None, "m")
    assert kept(picture, Limit(Op.EQ, True, "bool"))["limit"] is None


def test_cells_are_cut_to_what_counts_and_merged_so_that_a_miss_stays_a_miss() -> None:
    state = np.zeros((10, 10), np.int64)
    state[2:4, 3:6] = 2
    state[3, 5] = 1
    cells = kept(Map("图", "原点", cells=Cells((1000, 2000), 100, state)), STREETS)["cells"]
    assert (cells["corner"], cells["rows"]) == ([1300, 2200], ["###", "##."])
    wide = np.full((2 * CELLS, 2 * CELLS), 2)
    wide[0, 0] = 1
    cells = kept(Map("图", "原点", cells=Cells((0, 0), 100, wide)), STREETS)["cells"]
    assert (cells["merged"], cells["size"], cells["missed"], cells["hit"]) == (2, 200, 1, wide.size - 1)
    assert (len(cells["rows"]), "".join(cells["rows"]).count(".")) == (CELLS, 1)


def test_every_picture_is_bounded() -> None:
    angle = np.linspace(0, 7, 50_000)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    picture = kept(Map("图", "原点", tuple(Area(str(i), (ring,)) for i in range(300))), STREETS)
    assert sum(len(ring) for area in picture["areas"] for ring in area["rings"]) <= VERTICES
    assert picture["left_out"] == 100
    many = tuple(Satellite("BDS", f"C{i}", ((1, 2),) * 5000) for i in range(400))
    picture = kept(Sky("天空", many, "BDS"), CM2)
    assert (len(picture["satellites"]), picture["left_out"]) == (SATELLITES, 400 - SATELLITES)
    picture = kept(Shares("账户", "条", tuple((str(n), 1) for n in range(500)), 1000, 300), CM2)
    assert (len(picture["parts"]), picture["rest"], picture["others"]) == (PARTS, 1000 - PARTS, 800 - PARTS)


def test_the_record_holds_them_for_the_attempt_that_decides_and_always_the_same() -> None:
    def record() -> bytes:
        rng = np.random.default_rng(5)
        x = rng.normal(size=3000)
        picture = scatter(x, x[::-1].copy(), ellipse=Ellipse((1 / 3, 0), (1, 0.5), 30, 0.95))
        samples = Samples("m", np.abs(x), np.arange(3000.0), "error", pictures=(picture, traces(np.arange(3000.0), x)))
        attempt = Attempt(1, None, RunStatus.COMPLETED, samples, (), None)
        return canonical(_drawn(JudgedAttempt(attempt, None, Verdict.NOT_RUN), CM2))

    first = record()
    assert first == record()
    assert b'"kind":"scatter"' in first
    assert b"33.3333333333," in first  # twelve digits


# ---- how they are drawn

HOSTILE = "$x_1$ <b>&amp; \\frac 很长很长很长很长很长很长很长很长的名字"
SQUARE = np.array([[0, 0], [9000, 0], [9000, 9000], [0, 9000]])
EVERY = (
    scatter(*cloud(3000), ellipse=Ellipse((0.002, 0.001), (0.02, 0.01), 30, 0.95)),
    traces(np.arange(5000.0), cloud(5000)[0], cloud(5000)[1], status=(np.arange(5000) % 7 == 0).astype(np.int64)),
    Sky(
        "天空",
        tuple(
            Satellite(system, f"{letter}{i:02d}", ((i * 9, 80 - i), (i * 9 + 3, 79 - i)), 40.0 if i % 5 else None)
            for system, letter in (("BDS", "C"), ("GPS", "G"), ("Galileo", "E"), ("GLONASS", "R"))
            for i in range(40)
        ),
        "BDS",
    ),
    Map(
        "图",
        "原点",
        (Area("甲街道", (SQUARE,)), Area(HOSTILE, (np.array([[9000, 0], [10_000, 0], [10_000, 10_000]]),))),
        Cells((0, 0), 100, RNG.integers(0, 3, (100, 100))),
        points=Points(*RNG.uniform(0, 9000, (2, 30)), np.arange(30) % 2, ("到", "未到")),
    ),
    Shares("账户", "条", (("0x" + "ab" * 20, 60), (HOSTILE, 20)), 100, 7),
)
DEGENERATE = (
    scatter(np.array([0.003]), np.array([0.001])),
    scatter(np.full(600, 0.002), np.full(600, 0.002)),
    scatter(np.zeros(3), np.zeros(3), limited=False),
    scatter(np.array([1e6, 1e-9]), np.array([0, 0])),
    scatter(*cloud(9), ellipse=Ellipse((0, 0), (0.01, 0.0), 45, 0.95)),
    traces(np.zeros(1), np.zeros(1), status=np.zeros(1, np.int64)),
    traces(np.zeros(5), np.arange(5.0)),
    traces(np.arange(4.0), np.array([math.nan, 1, math.nan, math.nan]), np.full(4, math.nan)),
    Sky("天空", (Satellite("GPS", "G01", ((0, 90),)),), "BDS"),
    Sky("天空", (Satellite("BDS", "C01", ((359, -3),), 0.0),), "BDS"),
    Map("图", "原点", points=Points(np.zeros(1), np.zeros(1), np.zeros(1, np.int64), (HOSTILE,))),
    Map("图", "原点", cells=Cells((0, 0), 0.5, np.array([[1]]))),
    Shares("账户", "条", (("甲", 1),), 1, 0),
)
NOTHING = (
    scatter(np.zeros(0), np.zeros(0)),
    scatter(np.full(3, math.nan), np.zeros(3)),
    traces(np.zeros(0), np.zeros(0)),
    traces(np.array([math.nan]), np.zeros(1)),
    traces(np.arange(3.0), np.full(3, math.nan)),
    Sky("天空", (), "BDS"),
    Sky("天空", (Satellite("BDS", "C01", ((math.nan, 1),), 40.0),), "BDS"),
    Map("图", "原点", (Area("无", ()),), Cells((0, 0), 100, np.zeros((3, 3), np.int64))),
    Shares("账户", "条", (), 0, 0),
)


@pytest.mark.parametrize("picture", [*EVERY, *DEGENERATE], ids=lambda p: p.__class__.__name__)
def test_every_picture_is_drawn_with_words_beside_it_and_the_same_twice(picture: Picture) -> None:
    plain = kept(picture, CM2)
    canonical(plain)  # what it holds is JSON: no NaN, no infinity
    drawn = list(picture_panels(plain))
    strengths = isinstance(picture, Sky) and any(s.system == "BDS" and s.cn0 is not None for s in picture.satellites)
    assert len(drawn) == 1 + strengths
    for panel in drawn:
        assert "<text" not in panel.svg
        assert "nan" not in panel.svg.lower()
        assert panel.alt.endswith("。")
    assert drawn == list(picture_panels(copy.deepcopy(plain)))


@pytest.mark.parametrize("picture", NOTHING, ids=lambda p: p.__class__.__name__)
def test_nothing_is_drawn_where_there_is_nothing(picture: Picture) -> None:
    assert list(picture_panels(kept(picture, CM2))) == []


def extent(path: str) -> tuple[float, float]:
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)]
    x, y = numbers[::2], numbers[1::2]
    return max(x) - min(x), max(y) - min(y)


def test_a_circle_is_round() -> None:
    svg = next(picture_panels(kept(EVERY[0], CM2))).svg
    circles = [
        p
        for p, style in re.findall(r'<path d="([^"]+)"[^>]*style="([^"]+)"', svg)
        if "#c44e00" in style and p.count("C") >= 8
    ]
    assert len(circles) == 1
    width, height = extent(circles[0])
    assert width == pytest.approx(height, rel=1e-3)
    assert width > 40


def test_the_scale_bar_has_the_scale_of_the_map() -> None:
    """A square of 9 km and a bar of 2 km: their lengths on paper are as 9 to 2."""
    svg = next(picture_panels(kept(Map("图", "原点", (Area("方", (SQUARE,)),)), STREETS))).svg
    widths = [extent(p) for p in re.findall(r'<path d="([^"]+)"', svg)]
    area = max(w for w, h in widths if w == pytest.approx(h, rel=1e-3) and w < 150)  # the frame is wider
    bars = [w for w, h in widths if h == 0 and w == pytest.approx(area * 2 / 9, rel=2e-3)]
    assert bars


def test_alt_texts_and_notes_say_what_the_picture_shows() -> None:
    x, y = cloud(5000)
    x[0] = 9.0
    (panel,) = picture_panels(kept(scatter(x, y, ellipse=Ellipse((0.01, 0), (0.03, 0.01), 0, 0.95)), CM2))
    assert "固定解 5,000 个" in panel.alt
    assert "限值圆 ≤\u00a02\u00a0cm" in panel.alt
    assert "半轴 3.00\u00a0cm 与 1.00\u00a0cm" in panel.alt
    assert "在图外" in panel.note
    assert "5,000 个点画出 1,200 个" in panel.note
    (panel,) = picture_panels(kept(EVERY[1], CM2))
    assert "5,000 个时刻合为 300 段" in panel.note
    assert "限值 ≤\u00a02\u00a0cm" in panel.alt
    seen, strength = picture_panels(kept(EVERY[2], CM2))
    assert "BDS 列出 40 颗、收到 32 颗" in seen.alt
    assert "C01 40" in strength.alt
    (panel,) = picture_panels(kept(EVERY[3], STREETS))
    assert "区域：1 甲街道；2 " in panel.note


def test_shares_say_the_largest_and_the_rest() -> None:
    (panel,) = picture_panels(kept(EVERY[4], CM2))
    assert "共 100 条，最多的 0x" in panel.alt
    assert "有 60（60" in panel.alt
    assert "其余 7 个合计 20" in panel.alt
    (panel,) = picture_panels(kept(Shares("账户", "条", (("甲", 3),), 3, 0), CM2))
    assert "其余" not in panel.alt
