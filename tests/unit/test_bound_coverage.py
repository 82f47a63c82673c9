"""Do the bounds hold their confidence? Seeded simulations where a truth is known, exact sums where they are possible.

docs/statistics.md quotes the results; the last test compares. Where the method falls short the floor says how far.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from yanshou.harness import statistics
from yanshou.harness.statistics import (
    audit_lower,
    audit_upper,
    max_exceedances,
    mean_bounds,
    pass_probability,
    quantile_bounds,
    rms_bounds,
    split_alpha,
    upper_rank,
)

ALPHA = 0.05
DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"
Z99 = 2.3263478740408408
"""The 0.99-quantile of the standard normal distribution."""


def slack(runs: int, confidence: float = 1 - ALPHA) -> float:
    """Three standard errors of a share seen in `runs` runs."""
    return 3 * math.sqrt(confidence * (1 - confidence) / runs)


def normal_ar1(phi: float, runs: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Stationary AR(1) with standard normal marginal, shape (runs, n); independent for phi = 0."""
    x = rng.standard_normal((n, runs))
    if phi:
        x[1:] *= math.sqrt(1 - phi * phi)
        for t in range(1, n):
            x[t] += phi * x[t - 1]
    return np.ascontiguousarray(x.T)


def lognormal_ar1(phi: float, runs: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """exp of `normal_ar1`: true P99 is exp(Z99), true mean exp(1/2)."""
    return np.exp(normal_ar1(phi, runs, n, rng))


def outages(length: float, runs: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Values of 1, but 2 in outages of geometric length; 1.2 % of the time is outage, so that the true P99 is 2."""
    share = 0.012
    u, state = rng.random((n, runs)), rng.random(runs) < share
    x = np.ones((n, runs))
    for t in range(n):
        state = np.where(state, u[t] >= 1 / length, u[t] < share / (length * (1 - share)))
        x[t][state] = 2.0
    return np.ascontiguousarray(x.T)


@dataclass(frozen=True)
class Scenario:
    """A process with a known P99, and the least coverage (upper, lower) that the method owes there."""

    name: str
    n: int
    runs: int
    seed: int
    process: Callable[[float, int, int, np.random.Generator], NDArray[np.float64]]
    parameter: float
    truth: float
    floors: tuple[float, float] = (1 - ALPHA, 1 - ALPHA)

    @property
    def sample(self) -> NDArray[np.float64]:
        return self.process(self.parameter, self.runs, self.n, np.random.default_rng(self.seed))


P99 = math.exp(Z99)
INDEPENDENT = (
    Scenario("independent", 300, 2000, 1, lognormal_ar1, 0, P99),
    Scenario("independent", 1000, 2000, 2, lognormal_ar1, 0, P99),
    Scenario("independent", 3000, 2000, 3, lognormal_ar1, 0, P99),
)
DEPENDENT = (
    Scenario("AR(1) 0.5", 3000, 2000, 4, lognormal_ar1, 0.5, P99),
    Scenario("AR(1) 0.9", 3000, 2000, 5, lognormal_ar1, 0.9, P99),
    Scenario("AR(1) 0.98", 3000, 2000, 6, lognormal_ar1, 0.98, P99, (0.93, 0.90)),
)
TOO_FEW_EXCEEDANCES = (
    Scenario("AR(1) 0.5", 300, 1000, 7, lognormal_ar1, 0.5, P99, (0.93, 0.95)),
    Scenario("AR(1) 0.9", 300, 1000, 8, lognormal_ar1, 0.9, P99, (0.89, 0.89)),
    Scenario("AR(1) 0.98", 300, 1000, 9, lognormal_ar1, 0.98, P99, (0.89, 0.88)),
    Scenario("AR(1) 0.9", 1000, 1000, 10, lognormal_ar1, 0.9, P99, (0.93, 0.93)),
    Scenario("AR(1) 0.98", 1000, 1000, 11, lognormal_ar1, 0.98, P99, (0.90, 0.87)),
)
RARE = Scenario("outages of 30", 3000, 1000, 12, outages, 30, 2.0, (0, 0))
SCENARIOS = (*INDEPENDENT, *DEPENDENT, *TOO_FEW_EXCEEDANCES, RARE)


@dataclass(frozen=True)
class Coverage:
    """Shares of runs: true P99 not above the bound for independent values, not above ours, not below ours; no upper bound."""

    naive: float
    upper: float
    lower: float
    unbounded: float


def measure(scenario: Scenario) -> Coverage:
    rank, truth = upper_rank(scenario.n, 0.99, ALPHA), scenario.truth
    assert rank is not None
    naive = upper = lower = unbounded = 0
    for values in scenario.sample:
        bounds = quantile_bounds(values, 0.99, ALPHA)
        naive += np.partition(values, rank - 1)[rank - 1] >= truth
        unbounded += bounds.upper is None
        upper += bounds.upper is None or bounds.upper >= truth
        lower += bounds.lower is None or bounds.lower <= truth
    return Coverage(*(float(count) / scenario.runs for count in (naive, upper, lower, unbounded)))


measured = cache(measure)


def label(scenario: Scenario) -> str:
    return f"{scenario.name}, n={scenario.n}"


@pytest.mark.parametrize("scenario", [*INDEPENDENT, *DEPENDENT, *TOO_FEW_EXCEEDANCES], ids=label)
def test_quantile_bounds_cover(scenario: Scenario) -> None:
    coverage = measured(scenario)
    assert coverage.upper >= scenario.floors[0] - slack(scenario.runs, scenario.floors[0])
    assert coverage.lower >= scenario.floors[1] - slack(scenario.runs, scenario.floors[1])


@pytest.mark.parametrize("scenario", INDEPENDENT, ids=label)
def test_the_correction_costs_little_without_dependence(scenario: Scenario) -> None:
    coverage = measured(scenario)
    assert coverage.naive >= 1 - ALPHA - slack(scenario.runs)
    assert coverage.upper <= coverage.naive + 0.02
    assert coverage.unbounded <= (0.1 if scenario.n == 300 else 0.001)


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.parameter in (0.9, 0.98)], ids=label)
def test_bounds_for_independent_values_fail_under_dependence(scenario: Scenario) -> None:
    coverage = measured(scenario)
    assert coverage.naive < 0.85
    assert coverage.upper > coverage.naive + 0.1


def test_rare_outages_are_beyond_any_single_session() -> None:
    """A third of the sessions see hardly any outage: no statistic of such a session can know better."""
    assert measured(RARE).upper < 0.8


def test_an_upper_bound_one_rank_too_low_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = replace(INDEPENDENT[0], runs=1000)
    monkeypatch.setattr(statistics, "upper_rank", lambda n, p, alpha: (upper_rank(n, p, alpha) or n + 1) - 1)
    assert measure(scenario).upper < 1 - ALPHA - slack(scenario.runs)


def test_a_lower_bound_one_rank_too_high_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, right = replace(INDEPENDENT[0], runs=2000), statistics.lower_rank
    monkeypatch.setattr(statistics, "lower_rank", lambda n, p, alpha: (right(n, p, alpha) or 0) + 1)
    assert measure(scenario).lower < 1 - ALPHA - slack(scenario.runs)


# --- means ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MeanScenario:
    """A process with a known mean, and the least coverage (upper, lower) of the Student bounds there."""

    name: str
    n: int
    seed: int
    process: Callable[[float, int, int, np.random.Generator], NDArray[np.float64]]
    parameter: float
    truth: float
    floors: tuple[float, float] = (1 - ALPHA, 1 - ALPHA)
    runs: int = 1000


MEANS = (
    MeanScenario("normal, independent", 30, 21, normal_ar1, 0, 0.0, (0.93, 0.93)),
    MeanScenario("normal, independent", 3000, 22, normal_ar1, 0, 0.0),
    MeanScenario("normal, AR(1) 0.9", 3000, 23, normal_ar1, 0.9, 0.0),
    MeanScenario("normal, AR(1) 0.98", 3000, 24, normal_ar1, 0.98, 0.0, (0.93, 0.93)),
    MeanScenario("lognormal, independent", 300, 25, lognormal_ar1, 0, math.exp(0.5), (0.92, 0.95)),
    MeanScenario("lognormal, independent", 3000, 26, lognormal_ar1, 0, math.exp(0.5)),
)


@cache
def measured_mean(scenario: MeanScenario) -> tuple[float, float]:
    """Coverage of the upper and of the lower bound."""
    sample = scenario.process(scenario.parameter, scenario.runs, scenario.n, np.random.default_rng(scenario.seed))
    results = [mean_bounds(values, ALPHA) for values in sample]
    upper = sum(b.upper is None or b.upper >= scenario.truth for b in results)
    lower = sum(b.lower is None or b.lower <= scenario.truth for b in results)
    return upper / scenario.runs, lower / scenario.runs


@pytest.mark.parametrize("scenario", MEANS, ids=lambda s: f"{s.name}, n={s.n}")
def test_mean_bounds_cover(scenario: MeanScenario) -> None:
    for covered, floor in zip(measured_mean(scenario), scenario.floors, strict=True):
        assert covered >= floor - slack(scenario.runs, floor)


# --- audits, exactly --------------------------------------------------------------------------------------------------


# ---- root mean square of a vector -----------------------------------------------------------------------------------------

RMS_RUNS = 1000
SESSIONS = {
    "1 s, 5 min": (1.0, 300, 0.0),
    "115 s, 2 h": (115.0, 7200, 0.0),
    "115 s, 30 min, 30 % noise": (115.0, 1800, 0.3),
    "1020 s, 30 min, 30 % noise": (1020.0, 1800, 0.3),
    "1020 s, 2 h at 0.2 Hz, 60 % noise": (204.0, 1440, 0.6),
    "1020 s, 12 h at 0.1 Hz": (102.0, 4320, 0.0),
    "1020 s, 24 h at 0.1 Hz, 30 % noise": (102.0, 8640, 0.3),
}
"""Correlation times of positioning errors (multipath; network RTK) in samples, lengths, and the share of the variance that is noise
from one sample to the next: sessions that suit them, and such as are far too short."""
TOO_SHORT = 1800 / 115


@cache
def measured_rms(session: str, axes: int) -> tuple[float, float, float]:
    """Of sessions whose true RMS is 1: share that passes wrongly at a limit of 1 / 1.02, coverage, share without bounds."""
    tau, n, white = SESSIONS[session]
    rng = np.random.default_rng([axes, n])
    parts = [
        (math.sqrt(1 - white) * normal_ar1(math.exp(-1 / tau), RMS_RUNS, n, rng)
         + math.sqrt(white) * (rng.standard_normal((RMS_RUNS, n)) if white else 0.0)) / math.sqrt(axes)
        for _ in range(axes)
    ]  # fmt: skip
    upper = [rms_bounds(np.stack(one), ALPHA).upper for one in zip(*parts, strict=True)]
    known = [u for u in upper if u is not None]
    passes = sum(u <= 1 / 1.02 for u in known) / RMS_RUNS
    covered = 1 - sum(u < 1 for u in known) / RMS_RUNS
    return passes, covered, 1 - len(known) / RMS_RUNS


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("session", SESSIONS)
def test_rms_bounds_rarely_pass_what_is_two_percent_too_bad(session: str, axes: int) -> None:
    passes, coverage, unbounded = measured_rms(session, axes)
    tau, n, _ = SESSIONS[session]
    assert passes <= ALPHA
    assert coverage >= 1 - ALPHA - slack(RMS_RUNS)
    assert unbounded >= 0.7 if n / tau <= TOO_SHORT else unbounded <= 0.5


def test_counting_every_epoch_as_independent_would_pass_one_in_three() -> None:
    tau, n, _ = SESSIONS["115 s, 2 h"]
    x = normal_ar1(math.exp(-1 / tau), 300, n, np.random.default_rng(3))
    naive = np.sqrt((x * x).sum(axis=1) / chi2.ppf(ALPHA, n))
    assert np.mean(naive <= 1 / 1.02) > 0.25


def test_noise_upon_a_slow_error_would_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule for the slow part; with it 0.008, see the table."""
    tau, n, white = SESSIONS["1020 s, 30 min, 30 % noise"]
    rng = np.random.default_rng(4)
    slow = normal_ar1(math.exp(-1 / tau), 300, n, rng)
    errors = math.sqrt(1 - white) * slow + math.sqrt(white) * rng.standard_normal((300, n))
    monkeypatch.setattr("yanshou.harness.statistics.COARSE", n)
    upper = [rms_bounds(one, ALPHA).upper for one in errors]
    assert np.mean([u is not None and u <= 1 / 1.02 for u in upper]) > 0.15


def audit_coverage(population: int, drawn: int, good: int, too_high: int = 0) -> tuple[float, float]:
    """Chance that the lower and the upper audit bound hold when `good` of `population` are good: a sum over all outcomes.

    Both bounds grow with the number confirmed, so that the outcomes where they hold are found by bisection.
    """
    from scipy.stats import hypergeom

    outcomes = range(drawn + 1)
    wrong_low = bisect_left(outcomes, good + 1, key=lambda x: audit_lower(population, drawn, x, ALPHA) + too_high)
    right_high = bisect_left(outcomes, good, key=lambda x: audit_upper(population, drawn, x, ALPHA))
    sure = hypergeom(population, good, drawn)
    return float(sure.cdf(wrong_low - 1)), float(sure.sf(right_high - 1))


@pytest.mark.parametrize("drawn", [1, 15, 26, 41])
def test_audit_bounds_cover_for_every_true_count(drawn: int) -> None:
    coverages = [audit_coverage(105, drawn, good) for good in range(106)]
    assert min(min(pair) for pair in coverages) >= 1 - ALPHA - 1e-9
    assert min(min(pair) for pair in coverages) < 1 - ALPHA + 0.02, "and not by giving bounds away"


@pytest.mark.parametrize(
    ("population", "drawn", "good"), [(101_000, 301, 99_999), (110_000, 200, 101_000), (10**7, 500, 9_900_000)]
)
def test_audit_bounds_cover_in_large_populations(population: int, drawn: int, good: int) -> None:
    assert min(audit_coverage(population, drawn, good)) >= 1 - ALPHA - 1e-6


def test_an_audit_bound_one_too_high_is_noticed() -> None:
    """At the true counts where the bound is tight, claiming one more device is wrong too often."""
    assert min(audit_coverage(105, 41, good, too_high=1)[0] for good in range(106)) < 1 - ALPHA - 0.01


# --- the operating curve and several looks ----------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "chance"), [(1.02, 0.009), (0.95, 0.20), (0.85, 0.87)])
def test_operating_curve(ratio: float, chance: float) -> None:
    """Chance to pass with n = 1000 when the true P99 is `ratio` times the limit, lognormal with sigma 0.35."""
    exceedance = 0.5 * math.erfc((Z99 - math.log(ratio) / 0.35) / math.sqrt(2))
    assert pass_probability(exceedance, 1000, 0.99, ALPHA) == pytest.approx(chance, abs=0.005)
    rng = np.random.default_rng(31)
    values = np.exp(0.35 * (rng.standard_normal((1000, 1000)) - Z99)) * ratio
    rank = upper_rank(1000, 0.99, ALPHA)
    assert rank is not None
    passed = float((np.partition(values, rank - 1, axis=1)[:, rank - 1] <= 1).mean())
    assert passed == pytest.approx(chance, abs=slack(1000, chance))


def test_simple_acceptance_passes_what_the_bound_does_not() -> None:
    """True P99 2 % over the limit: the bare sample P99 passes in about 4 of 10 runs, the bound in 1 of 100."""
    from scipy.stats import binom

    exceedance = 0.5 * math.erfc((Z99 - math.log(1.02) / 0.35) / math.sqrt(2))
    assert float(binom.cdf(10, 1000, exceedance)) == pytest.approx(0.38, abs=0.01)
    assert pass_probability(exceedance, 1000, 0.99, ALPHA) < 0.01


PLANNED = ((0.001, 473), (0.002, 628), (0.005, 1941))
"""True exceedance rates and what samples_for_power plans for a chance of 0.8."""


@cache
def chance_with_estimated_dependence(exceedance: float, n: int) -> float:
    """Share of 1000 runs of independent values that pass although their independence is not known but estimated."""
    sample = np.random.default_rng(n).random((1000, n))
    uppers = [quantile_bounds(values, 0.99, ALPHA).upper for values in sample]
    return sum(upper is not None and upper <= 1 - exceedance for upper in uppers) / len(uppers)


@pytest.mark.parametrize(("exceedance", "n"), PLANNED)
def test_estimating_the_dependence_costs_a_little_power(exceedance: float, n: int) -> None:
    reached, computed = chance_with_estimated_dependence(exceedance, n), pass_probability(exceedance, n, 0.99, ALPHA)
    assert computed - 0.1 < reached < computed + slack(1000, computed)


LOOKS = (300, 600, 1200, 2400, 4800)


def chance_to_pass_at_any_look(alpha: float) -> float:
    """Exactly, at the limit (true exceedance rate 1 %), when the same growing sample is judged at each of LOOKS."""
    from scipy.stats import binom

    undecided, before, passed = np.array([1.0]), 0, 0.0  # undecided[k]: chance of k exceedances and no pass yet
    for n in LOOKS:
        steps = binom.pmf(np.arange(200), n - before, 0.01)
        undecided, before = np.convolve(undecided, steps)[:200], n
        allowed = max_exceedances(n, 0.99, alpha)
        if allowed is not None:
            passed += float(undecided[: allowed + 1].sum())
            undecided[: allowed + 1] = 0
    return passed


def test_testing_until_it_passes() -> None:
    assert chance_to_pass_at_any_look(ALPHA) == pytest.approx(0.133, abs=0.005)
    assert chance_to_pass_at_any_look(split_alpha(ALPHA, len(LOOKS))) == pytest.approx(0.020, abs=0.003)


@pytest.mark.parametrize("n", [500, 3000])
def test_fresh_attempts_keep_alpha_only_when_it_is_split(n: int) -> None:
    def any_of_five(alpha: float) -> float:
        return 1 - (1 - pass_probability(0.01, n, 0.99, alpha)) ** 5

    assert any_of_five(ALPHA) > 2 * ALPHA
    assert any_of_five(split_alpha(ALPHA, 5)) <= ALPHA


# --- the document says what was measured ------------------------------------------------------------------------------


def documented(name: object, n: int) -> list[float]:
    """The numbers of the row that begins with `name` and `n`."""
    row = re.search(
        rf"^\| {re.escape(str(name))} \| {n} \| (.*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert row is not None, f"docs/statistics.md has no row for {name}, n = {n}"
    return [float(cell) for cell in row[1].split(" | ")]


def test_the_document_quotes_these_simulations() -> None:
    for scenario in SCENARIOS:
        c = measured(scenario)
        assert documented(scenario.name, scenario.n) == pytest.approx(
            [c.naive, c.upper, c.lower, c.unbounded], abs=0.006
        )
    for mean in MEANS:
        assert documented(mean.name, mean.n) == pytest.approx(list(measured_mean(mean)), abs=0.006)
    for exceedance, n in PLANNED:
        chances = [pass_probability(exceedance, n, 0.99, ALPHA), chance_with_estimated_dependence(exceedance, n)]
        assert documented(exceedance, n) == pytest.approx(chances, abs=0.006)
    for session in SESSIONS:
        for axes in (1, 2):
            assert documented(session, axes) == pytest.approx(list(measured_rms(session, axes)), abs=0.006)
