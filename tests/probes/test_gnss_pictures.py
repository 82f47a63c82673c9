"""Pictures of a receiver: what is drawn is what was measured, and no limit is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from yanshou.probes.gnss.geodesy import Place
from yanshou.probes.gnss.pictures import SOLUTIONS, deviation, ellipse, error_traces, sky
from yanshou.probes.gnss.simulate import Receiver, simulate


@dataclass(frozen=True)
class Listed:
    talker: str
    number: int
    azimuth: float
    elevation: float
    cn0: float


def test_ellipse_of_a_known_covariance() -> None:
    """Standard deviations 3 along 30 degrees and 1 across: half axes 3 k and 1 k, k^2 the 0.95 quantile of chi-squared (2)."""
    a = math.radians(30)
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    unit = np.random.default_rng(1).standard_normal((2, 5000))
    unit -= unit.mean(axis=1, keepdims=True)
    unit = np.linalg.inv(np.linalg.cholesky(np.cov(unit))) @ unit  # now its covariance is exactly the identity
    x, y = turn @ (np.array([[3.0], [1.0]]) * unit) + np.array([[7.0], [-2.0]])
    found = ellipse(x, y)
    assert found is not None
    assert found.centre == pytest.approx((7, -2))
    assert found.half_axes == pytest.approx((3 * math.sqrt(5.991464547), 1 * math.sqrt(5.991464547)))
    assert found.angle == pytest.approx(30)
    inside = (
        np.linalg.norm((turn.T @ (np.stack([x, y]) - [[7], [-2]])) / np.array(found.half_axes)[:, None], axis=0) <= 1
    )
    assert inside.mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("points", [[], [(1, 2)], [(1, 2), (3, 4)], [(1.1, 2.2)] * 500, [(math.nan, 1)] * 9])
def test_no_ellipse_without_spread(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    assert ellipse(x, y) is None


def test_ellipse_of_places_on_a_line_is_flat() -> None:
    found = ellipse(np.arange(10.0), -np.arange(10.0))
    assert found is not None
    assert found.half_axes[1] == pytest.approx(0, abs=1e-6)
    assert found.angle == pytest.approx(-45)


def receiver() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    out = simulate(Receiver(Place(30.5, 114.4, 30.0), start, 600, float_share=0.05, bias_mm=(4, -2, 9)), 3)
    return out.t, out.printed - out.true, out.quality


def test_deviation_has_the_solutions_and_the_bias() -> None:
    _, errors, quality = receiver()
    drawn = deviation(errors, quality)
    assert drawn.limited
    assert drawn.points.groups == SOLUTIONS[:3]
    assert np.array_equal(np.bincount(drawn.points.group), [(quality == 4).sum(), (quality == 5).sum()])
    assert drawn.ellipse is not None
    assert drawn.ellipse.centre == pytest.approx(tuple(errors[:2].mean(axis=1)))


def test_means_of_sessions_are_a_group_of_their_own_and_outside_the_ellipse() -> None:
    _, errors, quality = receiver()
    drawn = deviation(errors, quality, means=np.full((3, 2), 9.0))
    assert drawn.points.groups[3] == "时段平均"
    assert (drawn.points.group == 3).sum() == 2
    assert drawn.ellipse == deviation(errors, quality).ellipse


def test_the_limit_belongs_to_the_judged_component_of_errors_from_the_truth() -> None:
    t, errors, quality = receiver()
    assert [trace.limited for trace in error_traces(t, errors, quality).traces] == [True, True, False]
    assert [trace.limited for trace in error_traces(t, errors, quality, "vertical").traces] == [False, False, True]
    assert not deviation(errors, quality, "vertical").limited
    own = error_traces(t, errors, quality, about_truth=False)
    assert not any(trace.limited for trace in own.traces)
    assert not deviation(errors, quality, about_truth=False).limited
    assert "真值" not in deviation(errors, quality, about_truth=False).title + own.title


def test_statuses_stand_from_fixed_to_nothing() -> None:
    quality = np.array([4, 5, 1, 2, 0, -1])
    drawn = error_traces(np.arange(6.0), np.zeros((3, 6)), quality)
    assert drawn.status is not None
    assert [drawn.statuses[s] for s in drawn.status] == ["固定解", "浮点解", "其他解", "其他解", "没有解", "没有解"]


def test_sky_shows_beidou_by_every_talker_and_says_what_was_never_received() -> None:
    listed = [
        Listed("GB", 6, 10, 20, 41.5),
        Listed("BD", 3, 187, 54, math.nan),
        Listed("GP", 12, 1, 2, 30),
        Listed("XX", 1, 1, 2, 3),
    ]
    drawn = sky(listed)
    assert drawn.shown == "BDS"
    assert [(s.system, s.name, s.cn0) for s in drawn.satellites] == [
        ("BDS", "C06", 41.5), ("BDS", "C03", None), ("GPS", "G12", 30), ("XX", "XX01", 3),
    ]  # fmt: skip
    assert drawn.satellites[1].track == ((187, 54),)
