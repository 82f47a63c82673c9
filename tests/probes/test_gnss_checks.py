"""Each way to look accurate is named, and an honest receiver is not accused; errors against what was put in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from yanshou.harness.model import Severity
from yanshou.probes.gnss.checks import (
    QUIET_M,
    beidou_checks,
    fix_checks,
    motion_checks,
    smoothed,
    solution_checks,
    standing_checks,
    time_checks,
)
from yanshou.probes.gnss.due import Due, lay_out
from yanshou.probes.gnss.epochs import (
    FIXED,
    Epochs,
    Trajectory,
    along_and_across,
    body_to_local,
    dynamic_errors,
    static_errors,
)
from yanshou.probes.gnss.geodesy import Place, geodetic
from yanshou.probes.gnss.simulate import Loop, Output, Receiver, simulate

WUHAN = Place(30.5278, 114.3571, 28.3)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HONEST = Receiver(WUHAN, START, seconds=3600)
ZERO_NS = int(START.timestamp()) * 10**9


def epochs_of(output: Output, late_s: float = 0.1) -> Epochs:
    """What a reader of its sentences would see, to the last digit that it prints."""
    latitude, longitude, height = geodetic(output.printed, WUHAN)
    t_ns = ZERO_NS + np.round(output.t * 1e9).astype(np.int64)
    n = output.t.size
    return Epochs(
        t_ns, t_ns + round(late_s * 1e9), np.round(latitude * 6e8) / 6e8, np.round(longitude * 6e8) / 6e8,
        np.round(height, 4), np.round(height + 14.5, 4), output.quality, np.full(n, 1.0), np.full(n, "1023"),
    )  # fmt: skip


def due_of(epochs: Epochs, rate_hz: float = 1.0, number: int | None = None) -> Due:
    window = None if number is None else (ZERO_NS, ZERO_NS + round(number / rate_hz * 1e9))
    return lay_out(epochs, np.zeros(0, np.int64), rate_hz, window)


def standing(
    receiver: Receiver, seed: int = 1, *, challenged: bool = False, component: str = "horizontal"
) -> dict[str, Severity]:
    epochs = epochs_of(simulate(receiver, seed))
    due = due_of(epochs, receiver.rate_hz, receiver.epochs)
    errors = np.full((3, due.t_ns.size), np.nan)
    fixed = due.quality == FIXED
    errors[:, fixed] = static_errors(epochs.where(due.index[fixed]), WUHAN)
    means = np.repeat(static_errors(epochs, WUHAN).mean(axis=1), 3).reshape(3, 3)
    found = [
        *time_checks(epochs),
        *solution_checks(epochs, due, 0.95),
        *standing_checks(epochs, errors, component, receiver.rate_hz, challenged=challenged),
        *fix_checks(means),
    ]
    found.sort(key=lambda f: list(Severity).index(f.severity))
    return {f.code: f.severity for f in found}  # the gravest of each


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tau_s": 1.0},
        {"tau_s": 1020.0},
        {"white": 0.05},
        {"rate_hz": 5.0, "seconds": 600},
        {"float_share": 0.02},
        {"missing": ((100, 130), (900, 905))},
        {"sigma_mm": (1.0, 1.0, 2.0)},
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_an_honest_receiver_is_not_accused(change: dict, seed: int) -> None:
    assert standing(replace(HONEST, **change), seed) == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cheat": "frozen", "hold": 300}, "GNS-V02"),
        ({"cheat": "frozen"}, "GNS-V03"),
        ({"cheat": "averaged"}, "GNS-V04"),
        ({"cheat": "averaged", "white": 1.0}, "GNS-V04"),
        ({"cheat": "averaged", "hold": 300, "white": 1.0}, "GNS-V04"),
        ({"cheat": "smoothed", "white": 1.0}, "GNS-V04"),
        ({"cheat": "fixed_only", "float_share": 0.2}, "GNS-V05"),
        ({"float_share": 0.2}, "GNS-V05"),
        ({"cheat": "simulator"}, "GNS-V07"),
        ({"missing": ((0, 400),)}, "GNS-V05"),
    ],
)
def test_each_trick_is_named_and_makes_the_run_invalid(change: dict, code: str) -> None:
    assert standing(replace(HONEST, **change))[code] is Severity.INVALID


def test_a_wrong_fix_is_named() -> None:
    assert standing(replace(HONEST, cheat="wrong_fix"))["GNS-V06"] is Severity.WARNING


def test_a_passed_challenge_makes_statistical_signs_warnings() -> None:
    averaged = replace(HONEST, cheat="averaged", hold=3)
    assert standing(averaged)["GNS-V04"] is Severity.INVALID
    assert standing(averaged, challenged=True)["GNS-V04"] is Severity.WARNING


@pytest.mark.parametrize("length", [2, 5, 30, 120])
def test_the_length_of_a_moving_mean_is_found(length: int) -> None:
    x = np.random.default_rng(4).standard_normal(6000)
    mean = np.convolve(x, np.ones(length) / length, "valid")
    assert f"是 {length} 个历元的滑动平均" in smoothed(mean, 1.0)
    assert smoothed(x, 1.0) == ""
    assert smoothed(x[:100], 1.0) == ""


def gauss_markov(tau_s: float, white: float, seed: int, n: int = 3600) -> np.ndarray:
    one = replace(HONEST, tau_s=tau_s, white=white, seconds=n)
    return simulate(one, seed).printed[0]


@pytest.mark.parametrize("tau_s", [1.0, 115.0, 1020.0])
@pytest.mark.parametrize("white", [0.05, 0.3, 1.0])
def test_a_mean_of_thirty_epochs_is_named_and_the_raw_series_is_not(tau_s: float, white: float) -> None:
    for seed in range(10):
        raw = gauss_markov(tau_s, white, seed)
        mean = np.convolve(raw, np.ones(30) / 30, "valid")
        assert smoothed(raw, 1.0, QUIET_M) == ""
        assert smoothed(mean, 1.0, QUIET_M) != ""
        gaps = raw.copy()
        gaps[::50] = np.nan
        gaps[1000:1020] += 0.3
        assert smoothed(gaps, 1.0, QUIET_M) == ""  # holes and jumps are no smoothing


def test_smoothing_within_a_second_is_the_receiver_s_own_affair() -> None:
    x = np.random.default_rng(5).standard_normal(12_000) * 0.003
    mean = np.convolve(x, np.ones(10) / 10, "valid")
    assert smoothed(mean, 20.0, QUIET_M) == ""
    assert "10 个历元的滑动平均" in smoothed(mean, 1.0, QUIET_M)
    assert "没有这样安静" in smoothed(mean / 50, 20.0, QUIET_M)


def test_a_frozen_height_voids_only_what_is_judged() -> None:
    epochs = epochs_of(simulate(HONEST, 1))
    flat = replace(epochs, altitude=np.full(len(epochs), 42.8))
    errors = static_errors(epochs, WUHAN)
    for component, severity in (("vertical", Severity.INVALID), ("horizontal", Severity.WARNING)):
        found = {f.code: f.severity for f in standing_checks(flat, errors, component, 1.0, challenged=False)}
        assert found["GNS-V02"] is severity
        assert ("GNS-V03" in found) == (component == "vertical")


def test_speeds_that_no_antenna_has_and_another_rate() -> None:
    t_ns = ZERO_NS + np.arange(100) * 10**9
    place = np.zeros((3, 100))
    assert list(motion_checks(t_ns, place, "static", 1.0)) == []
    place[0, 50] = 8.0
    assert [f.code for f in motion_checks(t_ns, place, "static", 1.0)] == ["GNS-V14"]
    assert list(motion_checks(t_ns, place, "dynamic", 1.0)) == []
    assert [f.code for f in motion_checks(t_ns, place * 0, "static", 0.5)] == ["GNS-V15"]
    assert list(motion_checks(t_ns[:1], place[:, :1], "static", 1.0)) == []


def test_initialisations_that_disagree_or_are_few() -> None:
    means = np.zeros((3, 5))
    assert list(fix_checks(means)) == []
    means[1, 2] = 0.12
    assert [f.code for f in fix_checks(means)] == ["GNS-V06"]
    assert [f.code for f in fix_checks(means[:, :2])] == ["GNS-V17"]
    assert list(fix_checks(means[:, :0])) == []


def test_time_that_is_not_now_or_not_in_order() -> None:
    epochs = epochs_of(simulate(replace(HONEST, seconds=300), 1))
    late = replace(epochs, arrival_ns=epochs.arrival_ns + 86400 * 10**9)
    assert [f.code for f in time_checks(late)] == ["GNS-V10"]
    order = np.arange(300)
    order[[100, 101]] = order[[101, 100]]
    assert "GNS-V09" in {f.code for f in time_checks(epochs.where(order))}
    doubled = epochs.where(np.repeat(np.arange(300), 2))
    assert {f.code: f.severity for f in time_checks(doubled)} == {"GNS-V08": Severity.INVALID}
    once = epochs.where(np.sort(np.append(np.arange(300), 5)))
    assert {f.code: f.severity for f in time_checks(once)} == {"GNS-V08": Severity.WARNING}


def test_corrections_that_are_old_or_change_their_station() -> None:
    epochs = epochs_of(simulate(replace(HONEST, seconds=300), 1))
    due = due_of(epochs)
    assert [f.code for f in solution_checks(replace(epochs, age=np.full(300, 30.0)), due, 0.9)] == ["GNS-V12"]
    station = np.where(np.arange(300) < 100, "1", "2")
    assert [f.code for f in solution_checks(replace(epochs, station=station), due, 0.9)] == ["GNS-V13"]


def test_beidou_must_be_named_by_some_sentence() -> None:
    assert [f.code for f in beidou_checks(frozenset({1}), frozenset({"GP", "GN"}))] == ["GNS-V11"]
    assert [f.code for f in beidou_checks(frozenset({1}), frozenset({"GB", "GN"}))] == ["GNS-V11"]  # in view, not used
    assert list(beidou_checks(frozenset({1, 4}), frozenset({"GN"}))) == []
    assert list(beidou_checks(frozenset(), frozenset({"BD"}))) == []


# ---- errors ---------------------------------------------------------------------------------------------------------------


def test_static_errors_are_those_put_in() -> None:
    output = simulate(replace(HONEST, bias_mm=(10, -4, 30)), 3)
    found = static_errors(epochs_of(output), WUHAN)
    assert np.abs(found - output.printed).max() < 4e-4
    without = replace(epochs_of(output), height=np.full(3600, np.nan))
    assert np.isnan(static_errors(without, WUHAN)[2]).all()
    assert np.abs(static_errors(without, WUHAN)[:2] - output.printed[:2]).max() < 4e-4


def truth(receiver: Receiver, rate_hz: float = 50.0) -> Trajectory:
    t = np.arange(0, receiver.seconds, 1 / rate_hz)
    latitude, longitude, height = geodetic(receiver.path(t), WUHAN)
    loop = receiver.path
    assert isinstance(loop, Loop)
    heading = np.degrees(loop.speed / loop.radius * t) + 90
    return Trajectory(
        ZERO_NS + np.round(t * 1e9).astype(np.int64),
        latitude,
        longitude,
        height,
        np.stack([heading % 360, 0 * t, 0 * t]),
    )


def test_dynamic_errors_are_those_put_in_and_latency_shows_along_the_track() -> None:
    receiver = replace(HONEST, path=Loop(), seconds=600, rate_hz=10)
    output = simulate(receiver, 3)
    errors, velocity = dynamic_errors(epochs_of(output), truth(receiver), (0, 0, 0), 0.15)
    known = np.isfinite(errors[0])
    assert known.sum() >= 5990
    assert np.abs(errors - (output.printed - output.true))[:, known].max() < 1e-3
    assert np.hypot(*velocity[:2])[known] == pytest.approx(8.0, abs=0.01)
    old = simulate(replace(receiver, latency_s=0.05), 3)
    along, across = along_and_across(*dynamic_errors(epochs_of(old), truth(receiver), (0, 0, 0), 0.15))
    assert np.nanmean(along) == pytest.approx(-0.4, abs=0.005)
    assert np.nanmean(across) == pytest.approx(0, abs=0.005)


def test_a_lever_arm_is_turned_with_the_vehicle() -> None:
    receiver = replace(HONEST, path=Loop(), seconds=200, rate_hz=10, sigma_mm=(0, 0, 0))
    output = simulate(receiver, 3)
    errors, velocity = dynamic_errors(epochs_of(output), truth(receiver), (1.0, 0.5, -1.5), 0.15)
    along, across = along_and_across(errors, velocity)
    known = np.isfinite(along)
    assert known.sum() > 1900
    assert along[known] == pytest.approx(-1.0, abs=0.05)
    assert across[known] == pytest.approx(-0.5, abs=0.05)
    assert errors[2][known] == pytest.approx(-1.5, abs=0.01)


def test_gaps_in_the_truth_are_not_bridged() -> None:
    receiver = replace(HONEST, path=Loop(), seconds=100, rate_hz=10)
    whole = truth(receiver)
    keep = (np.arange(whole.t_ns.size) < 1000) | (np.arange(whole.t_ns.size) > 2000)
    assert whole.attitude is not None
    cut = Trajectory(
        whole.t_ns[keep], whole.latitude[keep], whole.longitude[keep], whole.height[keep], whole.attitude[:, keep]
    )
    errors, _ = dynamic_errors(epochs_of(simulate(receiver, 1)), cut, (0, 0, 0), 0.15)
    assert 199 <= np.isnan(errors[0]).sum() <= 203
    with pytest.raises(ValueError, match="attitude"):
        dynamic_errors(epochs_of(simulate(receiver, 1)), replace(cut, attitude=None), (1, 0, 0), 0.15)


def test_rotation_of_a_body() -> None:
    level_east = np.array([[90.0], [0.0], [0.0]])
    assert body_to_local((1, 0, 0), level_east)[:, 0] == pytest.approx([1, 0, 0])
    assert body_to_local((0, 1, 0), level_east)[:, 0] == pytest.approx([0, -1, 0])
    nose_up = np.array([[0.0], [90.0], [0.0]])
    assert body_to_local((1, 0, 0), nose_up)[:, 0] == pytest.approx([0, 0, 1])
    right_down = np.array([[0.0], [0.0], [90.0]])
    assert body_to_local((0, 1, 0), right_down)[:, 0] == pytest.approx([0, 0, -1])
