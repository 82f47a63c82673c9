"""The bounds against the numbers they were specified with and against exact sums in whole numbers."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from yanshou.harness.statistics import (
    Bounds,
    audit_lower,
    audit_size,
    audit_upper,
    effective_size,
    empirical_cdf,
    exceedance_lower,
    exceedance_upper,
    lower_rank,
    max_bounds,
    max_exceedances,
    mean_bounds,
    min_samples,
    pass_probability,
    percentile_code,
    quantile_bounds,
    rms_bootstrap_upper,
    rms_bounds,
    samples_for_power,
    split_alpha,
    time_series,
    upper_rank,
)

P99 = Fraction(99, 100)
exact = settings(derandomize=True, deadline=None, max_examples=60)
levels = st.integers(1, 199).map(lambda i: Fraction(i, 200))
alphas = st.sampled_from([0.001, 0.01, 0.025, 0.05, 0.0625, 0.1, 0.25, 0.5])


def binomial_cdf(k: int, n: int, p: Fraction) -> Fraction:
    """P(Bin(n, p) <= k) without rounding."""
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


def hypergeometric_cdf(k: int, population: int, good: int, drawn: int) -> Fraction:
    """P(at most k good ones among those drawn) without rounding."""
    ways = sum(math.comb(good, i) * math.comb(population - good, drawn - i) for i in range(min(k, drawn) + 1))
    return Fraction(ways, math.comb(population, drawn))


def as_written(alpha: float) -> Fraction:
    return Fraction(str(alpha))


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("p99", P99),
        ("p99.9", Fraction(999, 1000)),
        ("p50", Fraction(1, 2)),
        ("p5", Fraction(1, 20)),
        ("p0", None),
        ("p100", None),
        ("P99", None),
        ("p９９", None),
        ("p99.", None),
        ("p-1", None),
        ("mean", None),
        ("", None),
    ],
)
def test_percentile_code(code: str, level: Fraction | None) -> None:
    assert percentile_code(code) == level


# --- numbers of the specification -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "alpha", "n"),
    [(0.95, 0.05, 59), (P99, 0.05, 299), (P99, 0.01, 459), (0.999, 0.05, 2995), (0.9999, 0.05, 29956)],
)
def test_min_samples(p: Fraction | float, alpha: float, n: int) -> None:
    assert min_samples(p, alpha) == n
    assert upper_rank(n, p, alpha) == n
    assert upper_rank(n - 1, p, alpha) is None


@pytest.mark.parametrize(
    ("n", "p", "alpha", "allowed"),
    [
        (298, 0.99, 0.05, None),
        (300, 0.99, 0.05, 0),
        (500, 0.99, 0.05, 1),
        (1000, 0.99, 0.05, 4),
        (1048, 0.99, 0.05, 4),
        (1049, 0.99, 0.05, 5),
        (3000, 0.99, 0.05, 20),
        (10000, 0.99, 0.05, 83),
        (2995, 0.999, 0.05, 0),
        (10510, 0.999, 0.05, 4),
        (10511, 0.999, 0.05, 5),
        (16958, 0.999, 0.05, 9),
        (16959, 0.999, 0.05, 10),
        (29057, 0.999, 0.05, 19),
        (29058, 0.999, 0.05, 20),
        # MLPerf early stopping at 99 % confidence, h + t requests: t = 0, 1, 2, 5 for h = 459, 661, 836, 1302
        (459, 0.99, 0.01, 0),
        (661 + 0, 0.99, 0.01, 0),
        (661 + 1, 0.99, 0.01, 1),
        (836 + 2, 0.99, 0.01, 2),
        (1302 + 5, 0.99, 0.01, 5),
        (1302 + 4, 0.99, 0.01, 4),
    ],
)
def test_max_exceedances(n: int, p: float, alpha: float, allowed: int | None) -> None:
    assert max_exceedances(n, p, alpha) == allowed


@pytest.mark.parametrize(
    ("population", "target", "n"),
    [
        (101_000, 100_000, 301),
        (105_000, 100_000, 62),
        (110_000, 100_000, 32),
        (100_001, 100_000, 77_640),
        (105, 100, 41),
        (110, 100, 26),
        (120, 100, 15),
        (300, 271, 28),
        (300, 286, 54),
        (100, 91, 25),
        (100, 96, 45),
        (100, 100, 95),  # P(the only bad one is not drawn) is exactly 5/100: a tie that rounding must not decide
    ],
)
def test_audit_size(population: int, target: int, n: int) -> None:
    assert audit_size(population, target, 0.05) == n
    assert audit_lower(population, n, n, 0.05) >= target
    assert audit_lower(population, n - 1, n - 1, 0.05) < target


@pytest.mark.parametrize(("rate", "n"), [(0.001, 473), (0.002, 628), (0.005, 1941)])
def test_samples_for_power(rate: float, n: int) -> None:
    """The specification says about 480, 630 and 1950."""
    assert samples_for_power(rate, 0.99, 0.05) == n
    chances = [pass_probability(rate, m, 0.99, 0.05) for m in range(1, n + 1)]
    assert max(chances[:-1]) < 0.8 <= chances[-1]
    assert chances[-2] < chances[-1] - 0.05, "n is a jump of the sawtooth"


def test_no_power_at_or_above_the_rate_itself() -> None:
    assert samples_for_power(0.0, 0.99, 0.05) == 299
    for rate in (0.01, 0.02):
        with pytest.raises(ValueError, match="below"):
            samples_for_power(rate, 0.99, 0.05)


# --- ranks ------------------------------------------------------------------------------------------------------------


@exact
@given(st.integers(0, 60), levels, alphas)
def test_ranks_are_exact(n: int, p: Fraction, alpha: float) -> None:
    """Upper: smallest r with P(Bin <= r - 1) >= 1 - alpha. Lower: largest r with P(Bin <= r - 1) <= alpha."""
    below = [binomial_cdf(r - 1, n, p) for r in range(1, n + 1)]
    uppers = [r for r, c in enumerate(below, 1) if c >= 1 - as_written(alpha)]
    lowers = [r for r, c in enumerate(below, 1) if c <= as_written(alpha)]
    assert upper_rank(n, p, alpha) == (min(uppers) if uppers else None)
    assert lower_rank(n, p, alpha) == (max(lowers) if lowers else None)


@exact
@given(st.integers(1, 3000), levels, alphas)
def test_ranks_agree_with_the_formula_of_the_specification(n: int, p: Fraction, alpha: float) -> None:
    from scipy.stats import binom

    rank = upper_rank(n, p, alpha) or n + 1
    assert abs(rank - (int(binom.ppf(1 - alpha, n, float(p))) + 1)) <= 1  # ppf may miss an exact tie by one
    assert binom.sf(rank - 1, n, float(p)) <= alpha * (1 + 1e-6)
    assert rank == 1 or binom.sf(rank - 2, n, float(p)) > alpha * (1 - 1e-6)


@exact
@given(st.integers(0, 400), levels, alphas)
def test_ranks_are_monotonic(n: int, p: Fraction, alpha: float) -> None:
    here, more = upper_rank(n, p, alpha) or n + 1, upper_rank(n + 1, p, alpha) or n + 2
    assert here <= more <= here + 1, "one more sample moves the rank by one at most"
    assert (upper_rank(n, p, alpha / 2) or n + 1) >= here, "less risk, higher bound"
    assert (upper_rank(n, p / 2, alpha) or n + 1) <= here
    assert (lower_rank(n, p, alpha / 2) or 0) <= (lower_rank(n, p, alpha) or 0) <= (lower_rank(n + 1, p, alpha) or 0)
    assert (lower_rank(n, p, alpha) or 0) <= math.ceil(p * n) <= here, "the bounds enclose the point"


@exact
@given(levels, alphas)
def test_min_samples_is_the_first_n_with_an_upper_bound(p: Fraction, alpha: float) -> None:
    n = min_samples(p, alpha)
    assert p**n <= as_written(alpha) < p ** (n - 1)


@exact
@given(st.integers(1, 2000), st.integers(0, 30), st.sampled_from([0.9, 0.99, 0.999]))
def test_a_pass_by_rank_is_a_pass_by_rate(n: int, k: int, p: float) -> None:
    """The order-statistic rule and Clopper-Pearson on the exceedances are one and the same rule."""
    k = min(k, n)
    allowed = max_exceedances(n, p, 0.05)
    assert (allowed is not None and k <= allowed) == (
        exceedance_upper(k, n, 0.05) <= float(1 - Fraction(str(p))) * (1 + 1e-9)
    )


def test_a_level_means_what_is_written() -> None:
    """0.55 * 100 is 55.00000000000001 in binary; the 0.55-quantile of 100 values is still the 55th."""
    assert quantile_bounds(np.arange(1.0, 101.0), 0.55, 0.05).point == 55
    assert quantile_bounds(np.arange(1.0, 101.0), Fraction(55, 100), 0.05).point == 55


# --- effective size ---------------------------------------------------------------------------------------------------


def plain_effective_size(indicator: np.ndarray) -> float:
    """Geyer's initial positive sequence, written as the definition reads."""
    n, x = len(indicator), [Fraction(int(i)) for i in indicator]
    mean = sum(x, Fraction(0)) / n
    covariance = [sum((x[t] - mean) * (x[t + h] - mean) for t in range(n - h)) for h in range(n)]
    if covariance[0] == 0:
        return float(n)
    total = Fraction(0)
    for m in range(n // 2):
        pair = covariance[2 * m] + covariance[2 * m + 1]
        if pair <= 0:
            break
        total += pair
    return min(float(n), max(1.0, float(n / max(Fraction(1), 2 * total / covariance[0] - 1))))


@exact
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_effective_size_is_geyers(indicator: list[bool]) -> None:
    size = effective_size(np.array(indicator))
    assert 1 <= size <= len(indicator)
    assert size == pytest.approx(plain_effective_size(np.array(indicator)), rel=1e-9)


def test_effective_size_of_known_series() -> None:
    assert effective_size(np.zeros(500, bool)) == effective_size(np.ones(500, bool)) == 500
    assert effective_size(np.arange(500) % 2 == 0) == 500, "no credit for alternation"
    isolated = np.zeros(1000, bool)
    isolated[[100, 500, 900]] = True
    assert effective_size(isolated) == 1000
    one_burst = np.zeros(1000, bool)
    one_burst[400:410] = True
    assert effective_size(one_burst) == pytest.approx(100, rel=0.1), "ten in a row count as one"
    assert effective_size(np.arange(1000) < 500) < 4


def test_effective_size_of_a_markov_chain() -> None:
    """A two-state chain with correlation r per step is worth n (1 - r) / (1 + r)."""
    rng, n, r, rate = np.random.default_rng(3), 200_000, 0.8, 0.1
    fresh, drawn = rng.random(n) >= r, rng.random(n) < rate
    fresh[0] = True
    chain = drawn[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
    assert effective_size(chain) == pytest.approx(n * (1 - r) / (1 + r), rel=0.1)


# --- quantiles --------------------------------------------------------------------------------------------------------


def test_quantile_bounds_are_order_statistics() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))
    assert effective_size(values > 990) == 1000
    bounds = quantile_bounds(values, 0.99, 0.05)
    assert bounds == Bounds(point=990, lower=lower_rank(1000, 0.99, 0.05), upper=996, n=1000, n_effective=1000)
    assert upper_rank(1000, 0.99, 0.05) == 996


def test_serial_dependence_stretches_the_ranks() -> None:
    ordered = np.arange(1.0, 3001.0)
    bounds = quantile_bounds(np.roll(ordered, 1500), 0.95, 0.05)
    assert bounds.n_effective < 59
    assert bounds.upper is None, "one burst of exceedances proves nothing about the quantile"
    clustered = np.random.default_rng(5).permutation(ordered.reshape(-1, 3)).ravel()
    bounds = quantile_bounds(clustered, 0.95, 0.05)
    whole = int(bounds.n_effective)
    assert 900 < whole < 1200, "threes count as one"
    high, low = upper_rank(whole, 0.95, 0.05), lower_rank(whole, 0.95, 0.05)
    assert high is not None
    assert low is not None
    assert bounds.upper == math.ceil(Fraction(high * 3000, whole))
    assert bounds.lower == math.floor(Fraction(low * 3000, whole))
    assert bounds.upper > upper_rank(3000, 0.95, 0.05)
    assert bounds.lower < lower_rank(3000, 0.95, 0.05)


def test_order_in_time_matters_only_through_the_effective_size() -> None:
    rng = np.random.default_rng(11)
    values = rng.lognormal(size=2000)
    assert quantile_bounds(np.sort(values), 0.99, 0.05).upper is None
    assert quantile_bounds(values, 0.99, 0.05).point == quantile_bounds(np.sort(values), 0.99, 0.05).point


def test_quantile_of_few_values() -> None:
    assert quantile_bounds(np.array([3.0]), P99, 0.05) == Bounds(3.0, 3.0, None, 1, 1.0), "99 % of all values lie below"
    assert quantile_bounds(np.array([3.0]), Fraction(1, 2), 0.05) == Bounds(3.0, None, None, 1, 1.0)
    few = quantile_bounds(np.arange(298.0), P99, 0.05)
    assert few.upper is None
    assert few.lower is not None
    with pytest.raises(ValueError, match="at least one"):
        quantile_bounds(np.array([]), P99, 0.05)
    with pytest.raises(ValueError, match="NaN"):
        quantile_bounds(np.array([1.0, math.nan]), P99, 0.05)


def test_losses_are_values() -> None:
    values = np.ones(1000)
    values[[100, 300, 500, 700]] = math.inf
    assert quantile_bounds(values, P99, 0.05).upper == 1.0, "four losses in a thousand are allowed"
    values[900] = math.inf
    five = quantile_bounds(values, P99, 0.05)
    assert five.point == 1.0
    assert five.upper == math.inf, "five are not"
    values[::50] = math.inf
    assert quantile_bounds(values, P99, 0.05).point == math.inf
    assert quantile_bounds(values, P99, 0.05).lower == math.inf


def test_all_lost_or_all_equal() -> None:
    assert quantile_bounds(np.full(300, math.inf), P99, 0.05) == Bounds(math.inf, math.inf, math.inf, 300, 300.0)
    assert quantile_bounds(np.full(300, 2.0), P99, 0.05) == Bounds(2.0, 2.0, 2.0, 300, 300.0)


def test_ties_at_the_top_still_show_dependence() -> None:
    """Nothing lies above the point here, so that only x >= point can tell one outage of 30 losses from 30 single losses."""
    outage, single = np.ones(1000), np.ones(1000)
    outage[400:430] = math.inf
    single[5::33] = math.inf
    assert quantile_bounds(outage, P99, 0.05).n_effective < 50
    assert quantile_bounds(single, P99, 0.05).n_effective == 1000


@exact
@given(st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0, math.inf]), min_size=1, max_size=400), levels, alphas)
def test_bounds_enclose_the_point_and_are_seen_values(values: list[float], p: Fraction, alpha: float) -> None:
    bounds = quantile_bounds(np.array(values), p, alpha)
    assert {bounds.point, bounds.lower, bounds.upper} - {None} <= set(values)
    assert bounds.lower is None or bounds.lower <= bounds.point
    assert bounds.upper is None or bounds.point <= bounds.upper
    assert (bounds.upper is None) == (bounds.n_effective < min_samples(p, alpha))


# --- mean and maximum -------------------------------------------------------------------------------------------------


def test_mean_bounds_of_independent_values_are_students() -> None:
    values = np.array([1.0, 4.0, 2.0, 3.0, 5.0, 0.0, 6.0])
    bounds = mean_bounds(values, 0.05)
    assert bounds.n_effective == 7
    assert bounds.point == 3.0
    assert bounds.upper == pytest.approx(3 + 1.943180 * values.std(ddof=1) / math.sqrt(7), abs=1e-5)
    assert bounds.lower == pytest.approx(3 - 1.943180 * values.std(ddof=1) / math.sqrt(7), abs=1e-5)


def test_mean_bounds_widen_under_dependence() -> None:
    values = np.random.default_rng(3).normal(size=500)
    fourfold = mean_bounds(np.repeat(values, 4), 0.05)
    assert fourfold.n_effective == pytest.approx(500, rel=0.15)
    assert fourfold.upper is not None
    assert fourfold.upper - fourfold.point == pytest.approx(1.645 * values.std() / math.sqrt(500), rel=0.1)


def test_student_has_the_effective_degrees_of_freedom() -> None:
    from scipy.stats import t

    values = np.repeat([1.0, 4.0, 2.0, 3.0, 5.0, 0.0, 6.0], 3)
    bounds = mean_bounds(values, 0.05)
    assert bounds.n_effective < 12
    half = t.ppf(0.95, bounds.n_effective - 1) * values.std() / math.sqrt(bounds.n_effective - 1)
    assert bounds.upper == pytest.approx(3 + half)
    assert bounds.lower == pytest.approx(3 - half)


def test_mean_without_bounds() -> None:
    assert mean_bounds(np.array([1.0, math.inf, 2.0]), 0.05) == Bounds(math.inf, None, None, 3, 3.0)
    assert mean_bounds(np.array([2.0]), 0.05) == Bounds(2.0, None, None, 1, 1.0)
    assert mean_bounds(np.full(10, 0.1), 0.05) == Bounds(0.1, 0.1, 0.1, 10, 10.0)
    with pytest.raises(ValueError, match="at least one"):
        mean_bounds(np.array([]), 0.05)


def test_no_sample_bounds_a_maximum() -> None:
    assert max_bounds(np.array([1.0, 3.0, 2.0]), 0.05) == Bounds(3.0, 3.0, None, 3, 3.0)
    assert max_bounds(np.array([1.0, math.inf]), 0.05).lower == math.inf
    with pytest.raises(ValueError, match="at least one"):
        max_bounds(np.array([]), 0.05)


# --- rates ------------------------------------------------------------------------------------------------------------


@exact
@given(st.integers(1, 40), st.data(), alphas)
def test_clopper_pearson(n: int, data: st.DataObject, alpha: float) -> None:
    """At its upper bound a rate shows k or fewer with probability alpha, at its lower bound k or more."""
    k = data.draw(st.integers(0, n))
    upper, lower = exceedance_upper(k, n, alpha), exceedance_lower(k, n, alpha)
    assert 0 <= lower < upper <= 1
    if k < n:
        assert float(binomial_cdf(k, n, Fraction(upper))) == pytest.approx(alpha, rel=1e-8)
    if k > 0:
        assert 1 - float(binomial_cdf(k - 1, n, Fraction(lower))) == pytest.approx(alpha, rel=1e-8)


def test_clopper_pearson_ends() -> None:
    assert (exceedance_lower(0, 0, 0.05), exceedance_upper(0, 0, 0.05)) == (0.0, 1.0)
    assert (exceedance_lower(0, 5, 0.05), exceedance_upper(5, 5, 0.05)) == (0.0, 1.0)
    assert exceedance_upper(0, 299, 0.05) <= 0.01 < exceedance_upper(0, 298, 0.05)


@exact
@given(st.integers(0, 60), levels, alphas, levels)
def test_pass_probability_is_a_binomial_sum(n: int, p: Fraction, alpha: float, rate: Fraction) -> None:
    allowed = max_exceedances(n, p, alpha)
    true = 0.0 if allowed is None else float(binomial_cdf(allowed, n, rate))
    assert pass_probability(float(rate), n, p, alpha) == pytest.approx(true, rel=1e-9, abs=1e-300)


@exact
@given(st.integers(1, 2000), st.sampled_from([0.9, 0.99, 0.999]), alphas)
def test_false_accept_never_passes_alpha(n: int, p: float, alpha: float) -> None:
    assert pass_probability(float(1 - Fraction(str(p))), n, p, alpha) <= alpha * (1 + 1e-8)
    assert pass_probability(0.0, n, p, alpha) == float(n >= min_samples(p, alpha))
    assert pass_probability(1.0, n, p, alpha) == 0.0


def test_split_alpha() -> None:
    assert split_alpha(0.05, 1) == 0.05
    assert split_alpha(0.05, 5) == 0.01


# --- audits -----------------------------------------------------------------------------------------------------------


@exact
@given(st.integers(1, 60), st.data(), alphas)
def test_audit_bounds_are_exact(population: int, data: st.DataObject, alpha: float) -> None:
    drawn = data.draw(st.integers(0, population))
    good = data.draw(st.integers(0, drawn))
    possible = range(good, population - (drawn - good) + 1)
    risk = as_written(alpha)
    at_least = [m for m in possible if 1 - hypergeometric_cdf(good - 1, population, m, drawn) > risk]
    at_most = [m for m in possible if hypergeometric_cdf(good, population, m, drawn) > risk]
    assert audit_lower(population, drawn, good, alpha) == min(at_least)
    assert audit_upper(population, drawn, good, alpha) == max(at_most)


@exact
@given(st.integers(1, 40), st.data(), alphas)
def test_audit_size_is_the_first_that_proves_it(population: int, data: st.DataObject, alpha: float) -> None:
    target = data.draw(st.integers(1, population + 1))
    bad = data.draw(st.integers(0, 3))
    proving = [n for n in range(bad, population + 1) if audit_lower(population, n, n - bad, alpha) >= target]
    assert audit_size(population, target, alpha, bad) == (min(proving) if proving else None)


@pytest.mark.parametrize(
    ("population", "drawn", "good"), [(10**9, 300, 299), (10**9, 3000, 2999), (10**8, 2000, 1990), (10**6, 3000, 2980)]
)
def test_audit_bounds_of_large_populations(population: int, drawn: int, good: int) -> None:
    """The bound itself and the next M below it, in whole numbers."""

    def at_least_good(m: int) -> Fraction:
        bad = population - m
        ways = sum(math.comb(bad, b) * math.comb(m, drawn - b) for b in range(drawn - good + 1))
        return Fraction(ways, math.comb(population, drawn))

    m = audit_lower(population, drawn, good, 0.05)
    assert at_least_good(m) > Fraction(5, 100) >= at_least_good(m - 1)
    # large populations: N * beta.ppf(alpha, x, n - x + 1)
    assert m / population == pytest.approx(exceedance_lower(good, drawn, 0.05), rel=1e-4)


def test_a_census_has_no_uncertainty() -> None:
    assert audit_lower(120, 120, 113, 0.05) == audit_upper(120, 120, 113, 0.05) == 113
    assert (audit_lower(120, 0, 0, 0.05), audit_upper(120, 0, 0, 0.05)) == (0, 120)
    assert audit_size(100, 101, 0.05) is None
    assert audit_size(100, 100, 0.05, bad=1) is None
    for impossible in ((10, 11, 5), (10, 5, 6), (10, 5, -1)):
        with pytest.raises(ValueError, match="no audit"):
            audit_lower(*impossible, 0.05)


# --- plots ------------------------------------------------------------------------------------------------------------


def test_empirical_cdf_keeps_the_tail_and_counts_losses() -> None:
    values = np.random.default_rng(4).permutation(np.arange(1.0, 10_001.0))
    values[values > 9990] = math.inf
    curve = empirical_cdf(values, 100)
    assert len(curve) < 160
    assert curve[-50:] == [(float(v), v / 10_000) for v in range(9941, 9991)]
    assert curve[0] == (1.0, 1 / 10_000)
    assert curve == sorted(curve)
    assert all(share == value / 10_000 for value, share in curve)
    assert empirical_cdf(np.full(3, math.inf), 10) == []
    assert empirical_cdf(np.array([5.0, 5.0]), 10) == [(5.0, 0.5), (5.0, 1.0)]


def test_time_series_keeps_every_worst_value() -> None:
    times = np.arange(1000) * 0.01
    values = np.ones(1000)
    values[123], values[777] = 50.0, math.inf
    series = time_series(times, values, 10)
    assert [t for t, _, _ in series] == pytest.approx([0.4995 + 0.999 * i for i in range(10)])
    assert [m for _, m, _ in series] == [1.0] * 10
    assert [w for _, _, w in series] == [1.0, 50.0, 1, 1, 1, 1, 1, math.inf, 1, 1]


def test_time_series_of_gaps_and_points() -> None:
    assert time_series(np.array([]), np.array([]), 5) == []
    assert time_series(np.array([2.0, 2.0, 2.0]), np.array([3.0, 1.0, 2.0]), 5) == [(2.0, 2.0, 3.0)]
    assert time_series(np.array([10.0, 0.0]), np.array([1.0, 2.0]), 5) == [(1.0, 2.0, 2.0), (9.0, 1.0, 1.0)]
    assert time_series(np.array([0.0, 0.1]), np.array([math.inf, 1.0]), 1) == [(0.05, 1.0, math.inf)]


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, yanshou.harness.statistics; print(sorted({'numpy', 'scipy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_rms_bounds_of_independent_values_are_the_chi_square_ones() -> None:
    x = np.random.default_rng(8).standard_normal(4000)
    bounds = rms_bounds(x, 0.05)
    exact = [math.sqrt((x * x).sum() / chi2.ppf(q, 4000)) for q in (0.95, 0.05)]
    assert bounds.point == pytest.approx(math.sqrt((x * x).mean()))
    assert bounds.lower is not None
    assert bounds.upper is not None
    assert exact[0] * 0.99 < bounds.lower < exact[0]  # wider: dependence is estimated, not known to be none
    assert exact[1] < bounds.upper < exact[1] * 1.01


@pytest.mark.parametrize("bias", [0.0, 0.5, 2.0])
def test_rms_bounds_of_independent_values_with_a_bias_are_those_of_its_variance(bias: float) -> None:
    """A constant offset is part of the root mean square, and makes its square vary more: by 4 b^2 s^2 / n."""
    n = 4000
    x = np.random.default_rng(8).standard_normal(n) + bias
    bounds, square = rms_bounds(x, 0.05), float((x * x).mean())
    spread, offset = float(x.var()), float(x.mean()) ** 2
    freedom = 2 * square**2 / ((2 * spread**2 + 4 * offset * spread) / n)
    lower, upper = (math.sqrt(freedom * square / chi2.ppf(q, freedom)) for q in (0.95, 0.05))
    assert bounds.lower is not None
    assert bounds.upper is not None
    for found, exact in ((bounds.upper, upper), (bounds.lower, lower)):
        assert 1.0 < (found - bounds.point) / (exact - bounds.point) < 1.1


def test_rms_of_two_components_is_that_of_the_length() -> None:
    x = np.random.default_rng(9).standard_normal((2, 500)) + np.array([[3], [0]])
    bounds = rms_bounds(x, 0.05)
    assert bounds.point == pytest.approx(math.sqrt((np.hypot(*x) ** 2).mean()))
    assert bounds.lower is not None
    assert bounds.upper is not None
    assert bounds.point * 0.95 < bounds.lower < math.sqrt(11) < bounds.upper < bounds.point * 1.05


def test_bootstrap_of_independent_values_agrees_with_the_exact_bound() -> None:
    x = np.random.default_rng(10).standard_normal((2, 3000))
    exact = rms_bounds(x, 0.05).upper
    found = rms_bootstrap_upper(x, 0.05, 1)
    assert exact is not None
    assert found == pytest.approx(exact, rel=0.01)
    assert rms_bootstrap_upper(x, 0.05, 1) == found
    assert rms_bootstrap_upper(x, 0.05, 2) != found


def test_bootstrap_sees_dependence_and_has_no_bound_where_there_is_none() -> None:
    rng = np.random.default_rng(11)
    slow = np.repeat(rng.standard_normal(300), 20)
    both = rms_bootstrap_upper(slow, 0.05, 1), rms_bootstrap_upper(rng.permutation(slow), 0.05, 1)
    assert None not in both
    assert both[0] > 1.02 * both[1]
    assert rms_bootstrap_upper(np.ones(100), 0.05, 1) is None
    assert rms_bootstrap_upper(np.array([1.0, math.inf] * 50), 0.05, 1) is None


def test_a_slow_error_under_noise_is_not_worth_its_epochs() -> None:
    t = np.arange(1800)
    noise = np.random.default_rng(12).standard_normal(1800)
    slow = 0.5 * np.cumsum(np.random.default_rng(13).standard_normal(1800)) / 10
    plain, hidden = rms_bounds(noise, 0.05), rms_bounds(noise + slow, 0.05)
    assert plain.upper is not None
    assert hidden.upper is None
    assert hidden.n_effective < 15 < plain.n_effective
    assert rms_bounds(noise + 0.05 * np.sin(t / 7), 0.05).upper is not None


@pytest.mark.parametrize("x", [np.zeros(500), np.ones(500), np.array([1.0, math.inf] * 100), np.arange(10.0)])
def test_rms_without_bounds(x: np.ndarray) -> None:
    bounds = rms_bounds(x, 0.05)
    assert (bounds.lower, bounds.upper) == (None, None)
