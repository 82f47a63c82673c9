"""Do the bounds of changes and of tail means hold their confidence? Seeded simulations where the truth is known.

docs/statistics.md quotes the results; the last test compares.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.stats import exponnorm, norm

from yanshou.harness.statistics import Bounds, Interval, change_interval, mean_bounds, quantile_bounds, tail_mean_bounds

ALPHA = 0.05
DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"
SIGMA = 0.35
CHANGES = {"P50, independent": (0.5, 0.0, 300), "P99, independent": (0.99, 0.0, 3000), "P99, AR(1) 0.9": (0.99, 0.9, 3000),
           "mean, independent": (None, 0.0, 300), "mean, AR(1) 0.9": (None, 0.9, 3000)}  # fmt: skip
"""Name -> level of the quantile (None: the mean), dependence, values on each side."""
TAILS = {"lognormal 0.35": (0.35, 0.0), "lognormal 1.0": (1.0, 0.0), "lognormal 0.35, AR(1) 0.5": (0.35, 0.5),
         "lognormal 1.0, AR(1) 0.9": (1.0, 0.9)}  # fmt: skip
STALLING = "stalls"
SEEN = [*((name, 10_000) for name in (*TAILS, STALLING)), (STALLING, 36_000)]
"""Processes, and how many frames of them are seen: 10,000 are 2 min 19 s at 72 Hz."""
RUNS = 200
STALLS, USUAL, LONG = 0.005, 13.9, 30.0
"""Share of frames that stall, usual frame in ms, and mean of what a stall adds."""


def lognormal(sigma: float, phi: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    x = rng.standard_normal(n)
    if phi:
        x = lfilter([math.sqrt(1 - phi * phi)], [1, -phi], x, zi=[phi * rng.standard_normal()])[0]
    return np.exp(sigma * x)


def bounds(values: NDArray[np.float64], level: float | None, alpha: float) -> Bounds:
    return mean_bounds(values, alpha) if level is None else quantile_bounds(values, level, alpha)


@cache
def covered_change(name: str, share_of_alpha: float = 0.5) -> tuple[float, float]:
    """Shares of comparisons whose true reduction of 30 % is not below the lower, not above the upper bound; none counts."""
    level, phi, n = CHANGES[name]
    rng = np.random.default_rng(11)
    hit = [0, 0]
    for _ in range(RUNS):
        sides = []
        for scale in (1.0, 0.7):
            b = bounds(scale * lognormal(SIGMA, phi, n, rng), level, ALPHA * share_of_alpha)
            sides.append(Interval(b.point, b.lower, b.upper))
        growth = change_interval(*sides, relative=True)
        assert growth is not None
        hit[0] += growth.lower is None or growth.lower <= -0.3
        hit[1] += growth.upper is None or growth.upper >= -0.3
    return hit[0] / RUNS, hit[1] / RUNS


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_covered(name: str) -> None:
    assert min(covered_change(name)) >= 0.95


def test_splitting_alpha_is_more_than_it_takes_and_not_splitting_still_covers_independent_sides() -> None:
    """Bonferroni holds for any dependence between the two; for independent sides it is conservative, which costs power only."""
    assert min(covered_change("P50, independent")) > min(covered_change("P50, independent", 1.0)) > 0.9


def stalling(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Frames of a program that now and then stalls."""
    frames = USUAL + 0.3 * rng.standard_normal(n)
    late = rng.random(n) < STALLS
    frames[late] += rng.exponential(LONG, int(late.sum()))
    return frames


@cache
def stalling_truth() -> float:
    """Mean of the slowest 1 % of `stalling`: q + E max(X - q, 0) / 0.01, the expectation as the integral of P(X > x) from q on."""
    late = exponnorm(LONG / 0.3, USUAL, 0.3)

    def above(x: float) -> float:
        return float((1 - STALLS) * norm.sf(x, USUAL, 0.3) + STALLS * late.sf(x))

    edge = float(brentq(lambda x: above(x) - 0.01, USUAL - 2, USUAL + 200))
    return edge + (quad(above, edge, USUAL + 3)[0] + quad(above, USUAL + 3, USUAL + 60 * LONG, limit=200)[0]) / 0.01


def tail_truth(sigma: float) -> float:
    """Mean of the largest 1 % of a lognormal: exp(s^2/2) * P(Z > z - s) / 0.01."""
    return math.exp(sigma**2 / 2) * float(norm.sf(norm.ppf(0.99) - sigma)) / 0.01


@cache
def covered_tail(name: str, n: int) -> tuple[float, float, float]:
    """Shares of runs: true mean of the slowest 1 % not above the upper bound, not below the lower; without bounds."""
    rng = np.random.default_rng(12)
    if name == STALLING:
        truth = stalling_truth()
    else:
        sigma, phi = TAILS[name]
        truth = tail_truth(sigma)
    hit = np.zeros(3)
    for _ in range(RUNS):
        values = stalling(n, rng) if name == STALLING else lognormal(sigma, phi, n, rng)
        found = tail_mean_bounds(values, 0.99, ALPHA)
        none = found.upper is None
        hit += (none or found.upper >= truth, none or found.lower <= truth, none)
    return tuple(float(h) / RUNS for h in hit)


@pytest.mark.parametrize(("name", "n"), SEEN)
def test_the_mean_of_the_slowest_is_covered(name: str, n: int) -> None:
    upper, lower, _ = covered_tail(name, n)
    assert upper >= 0.93
    assert lower >= 0.94


def test_the_point_is_the_mean_of_the_slowest_hundredth() -> None:
    values = stalling(10_000, np.random.default_rng(3))
    found = tail_mean_bounds(values, 0.99, ALPHA)
    assert found.point == pytest.approx(float(np.sort(values)[-100:].mean()))
    assert found.lower < found.point < found.upper


def test_too_short_a_tail_has_no_bounds_and_a_loss_no_mean() -> None:
    values = stalling(2_000, np.random.default_rng(3))
    assert (tail_mean_bounds(values, 0.99, ALPHA).upper, tail_mean_bounds(values, 0.99, ALPHA).lower) == (None, None)
    assert tail_mean_bounds(np.append(values, math.inf), 0.99, ALPHA).point == math.inf
    same = tail_mean_bounds(np.full(10_000, 16.0), 0.99, ALPHA)
    assert (same.lower, same.point, same.upper) == (16.0, 16.0, 16.0)


def documented(name: str, n: int) -> list[float]:
    row = re.search(rf"^\| {re.escape(name)} \| {n} \| (.*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert row, f"docs/statistics.md has no row {name} {n}"
    return [float(cell) for cell in row[1].split(" | ")]


def test_the_document_quotes_these_simulations() -> None:
    for name, (_, _, n) in CHANGES.items():
        assert documented(f"change of {name}", n) == pytest.approx(list(covered_change(name)), abs=0.006)
    for name, n in SEEN:
        assert documented(f"slowest 1 %, {name}", n) == pytest.approx(list(covered_tail(name, n)), abs=0.006)
