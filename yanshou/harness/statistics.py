"""Exact one-sided bounds for what a sample can say: quantiles, means, maxima, rates and audited counts.

It is for turning samples into a point and the two bounds that a decision rule compares with a limit, and for saying beforehand
how many samples a decision takes. It must never know a limit or a verdict, do I/O, interpolate, round or drop a sample.
Each bound holds by itself at confidence 1 - alpha; docs/statistics.md has the formulas, their assumptions and measured coverage.

Throughout: `p` is the quantile's level (0.99, or exactly Fraction(99, 100)), `alpha` the one-sided risk of a bound, values are
float64 in time order with +inf for an event that never came, and None means that no such bound exists.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Level: TypeAlias = Fraction | float

TAIL = 50
"""How many of the largest values a plotted distribution keeps one by one."""
LEAST_FOR_RMS = 15
"""Independent values of each component below which a root mean square has no bounds."""
LEAST_IN_TAIL = 30
"""Independent values of a tail below which its mean has no bounds."""
REPLICATES, MOST_BLOCKS = 1000, 2000
"""Of a bootstrap: samples drawn, and blocks in each at most."""
COARSE = 64
"""Blocks into which a series is averaged to see its slow part apart from the noise upon it."""
ENDLESS = 1 << 40
"""More samples than any run can take."""
TIE = 1 + 1e-9
"""Slack by which a computed probability may pass alpha. Rounding noise, about 1e-12, then never decides an exact tie such as
5/100 against 0.05, and every machine decides it alike."""


@dataclass(frozen=True)
class Bounds:
    """A statistic with its one-sided bounds, in the unit of the values.

    `upper` is +inf when the bound falls among the losses and None when no bound exists. `n_effective` is how many independent
    values the `n` values are worth to this statistic.
    """

    point: float
    lower: float | None
    upper: float | None
    n: int
    n_effective: float


def tail_code(code: str) -> Fraction | None:
    """The level beyond which a tail lies whose mean a code names: "tail1" (the largest 1 %) -> 99/100. None for other codes."""
    match = re.fullmatch(r"tail([0-9](?:\.[0-9]+)?)", code)
    return 1 - Fraction(match[1]) / 100 if match and Fraction(match[1]) else None


def percentile_code(code: str) -> Fraction | None:
    """The level that a statistic's code names, exactly: "p99.9" -> 999/1000. None when it is not a percentile code."""
    match = re.fullmatch(r"p([0-9]{1,2}(?:\.[0-9]+)?)", code)
    level = Fraction(match[1]) / 100 if match else None
    return level or None


def _exact(p: Level) -> Fraction:
    """The level as it is written: 0.99 means 99/100, not the binary number next to it."""
    return p if isinstance(p, Fraction) else Fraction(str(p))


def upper_rank(n: int, p: Level, alpha: float) -> int | None:
    """1-based rank r of the upper bound x_(r) of the p-quantile from n independent values.

    The smallest r with P(Bin(n, p) >= r) <= alpha, which is int(binom.ppf(1 - alpha, n, p)) + 1: at most r - 1 values lie below
    the quantile with probability >= 1 - alpha. Holds for every distribution; with ties it is conservative.
    Source: Hahn and Meeker, Statistical Intervals (1991), distribution-free bounds for a percentile.
    """
    from scipy.special import betainc

    level = float(_exact(p))
    rank = 1 + bisect_left(range(n), True, key=lambda k: bool(betainc(k + 1, n - k, level) <= alpha * TIE))
    return rank if rank <= n else None


def lower_rank(n: int, p: Level, alpha: float) -> int | None:
    """1-based rank r of the lower bound x_(r) of the p-quantile: the largest r with P(Bin(n, p) <= r - 1) <= alpha.

    It is the upper bound's mirror image: counted from the top, the p-quantile is the (1 - p)-quantile.
    """
    mirrored = upper_rank(n, 1 - _exact(p), alpha)
    return None if mirrored is None else n + 1 - mirrored


def _samples_allowing(k: int, more_than: int, p: Level, alpha: float) -> int:
    """The smallest n > `more_than` >= k at which `k` exceedances are allowed: P(Bin(n, 1 - p) <= k) <= alpha."""
    from scipy.special import betaincc

    rate = float(1 - _exact(p))
    numbers = range(more_than + 1, ENDLESS)
    return numbers[bisect_left(numbers, True, key=lambda n: bool(betaincc(k + 1, n - k, rate) <= alpha * TIE))]


def min_samples(p: Level, alpha: float) -> int:
    """The fewest samples from which an upper bound of the p-quantile exists: the smallest n with p**n <= alpha."""
    return _samples_allowing(0, 0, p, alpha)


def max_exceedances(n: int, p: Level, alpha: float) -> int | None:
    """How many of n independent values may lie above a limit while the upper bound of the p-quantile does not."""
    rank = upper_rank(n, p, alpha)
    return None if rank is None else n - rank


def _lagged_sums(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of x[t] * x[t + h] over t for every lag h = 0 .. n - 1, by FFT."""
    import numpy as np

    spectrum = np.fft.rfft(x, 1 << (2 * x.size - 1).bit_length())
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[: x.size]


def _geyer(autocovariance: NDArray[np.float64]) -> float:
    """Effective size from the autocovariances (any scale) of all lags: n / (2 * sum of positive pair sums / lag 0 - 1).

    Geyer's initial positive sequence: sums of neighbouring lags (2m, 2m + 1) up to the first that is not positive.
    Never above n (no credit for alternating series) and never below 1.
    Source: Geyer, Practical Markov Chain Monte Carlo, Statistical Science 7 (1992) 473-483.
    """
    import numpy as np

    n = autocovariance.size
    pairs = autocovariance[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 1e-9 * autocovariance[0])  # zero, up to rounding
    stretch = 2 * math.fsum(pairs[: ends[0] if ends.size else None]) / float(autocovariance[0]) - 1
    return max(1.0, n / max(1.0, stretch))


def effective_size(indicator: NDArray[np.bool_]) -> float:
    """How many independent yes/no values the serially dependent `indicator` (time order) is worth for estimating its rate.

    A constant indicator gives n: without a single change there is nothing to see dependence by, which is no evidence of
    independence. The lags are counted in whole numbers, so that every machine gives the same result to the last bit.
    """
    import numpy as np

    n, ones = indicator.size, int(np.count_nonzero(indicator))
    if ones in (0, n):
        return float(n)
    x = indicator.astype(np.float64)
    both = np.rint(_lagged_sums(x))
    ones_in_ends = np.cumsum(x)[::-1] + np.cumsum(x[::-1])[::-1]  # in the first n - h plus in the last n - h values
    rate = ones / n
    return _geyer(both - rate * ones_in_ends + rate * rate * np.arange(n, 0, -1))


def _require_values(values: NDArray[np.float64]) -> None:
    import numpy as np

    if values.size == 0 or bool(np.isnan(values).any()):
        raise ValueError("a bound needs at least one value and no NaN")


def quantile_bounds(values: NDArray[np.float64], p: Level, alpha: float) -> Bounds:
    """Bounds of the p-quantile. `values`: shape (n,). Raises ValueError for no values or NaN.

    The point is the order statistic of rank ceil(p * n). Under serial dependence the exact ranks for n_eff values are
    stretched to n: ceil(r_U / n_eff * n) and floor(r_L / n_eff * n) with n_eff (whole part) of the indicator x > point. No upper
    bound exists for n_eff < min_samples(p, alpha). Where ties leave nothing above the point the indicator is x >= point.
    """
    import numpy as np

    _require_values(values)
    n, ordered = values.size, np.sort(values)
    point = ordered[math.ceil(_exact(p) * n) - 1]
    above = values > point
    n_effective = effective_size(above if above.any() else values >= point)
    whole = int(n_effective)
    low, high = lower_rank(whole, p, alpha), upper_rank(whole, p, alpha)
    return Bounds(
        point=float(point),
        lower=None if low is None else float(ordered[low * n // whole - 1]),
        upper=None if high is None else float(ordered[-(-high * n // whole) - 1]),
        n=n,
        n_effective=n_effective,
    )


def mean_bounds(values: NDArray[np.float64], alpha: float) -> Bounds:
    """Student bounds of the mean with n_eff of the values' own autocorrelation. Raises ValueError for no values or NaN.

    mean -+ t(1 - alpha, n_eff - 1) * sqrt(S / n / (n_eff - 1)), S the sum of squared deviations: exact for independent normal
    values, else by the central limit theorem. A lost event leaves no mean: the point is then +inf, without bounds; nor are
    there bounds for n_eff <= 1. Values that are all equal bound themselves.
    """
    import numpy as np
    from scipy.special import stdtrit

    _require_values(values)
    n = values.size
    if not np.isfinite(values).all():
        return Bounds(math.inf, None, None, n, float(n))
    mean = math.fsum(values) / n
    if values.min() == values.max():
        return Bounds(mean, mean if n > 1 else None, mean if n > 1 else None, n, float(n))
    autocovariance = _lagged_sums(values - mean)
    n_effective = _geyer(autocovariance)
    if n_effective <= 1:
        return Bounds(mean, None, None, n, n_effective)
    half = float(stdtrit(n_effective - 1, 1 - alpha)) * math.sqrt(autocovariance[0] / n / (n_effective - 1))
    return Bounds(mean, mean - half, mean + half, n, n_effective)


@dataclass(frozen=True)
class _Component:
    """A signed series about the truth: mean square, the variance of that mean square, n_eff, and that of its slow part alone."""

    square: float
    variance: float
    n_effective: float
    slow: float


def _component(x: NDArray[np.float64]) -> _Component:
    """The mean square of `x` (time order) = bias^2 + variance, as an estimate.

    With correlations rho_h of the deviations from the mean, over the lags of Geyer's initial positive sequence, their squares
    are worth n2 = n / (2 * sum rho_h^2 - 1) independent values (normal deviations have squares with correlations rho^2) and
    their mean n1 = n / (2 * sum rho_h - 1); the mean square then has variance 2 s^4 / n2 + 4 bias^2 s^2 / n1. Both are
    lowered by one standard error of such a sum, 1 + sqrt(2 (2 M + 1) / n) for M lags: a short record underrates its own
    correlation, and false passes would come of it. Source of the standard error: Madras and Sokal, J. Stat. Phys. 50 (1988)
    109-186, appendix C.
    """
    n = x.size
    bias = math.fsum(x) / n
    rho, spread = _correlations(x - bias)
    if spread <= 1e-18 * bias * bias:
        return _Component(bias * bias, 0.0, 1.0, 1.0)
    lower = _shortfall(rho.size, n)
    for_squares, for_mean = (max(1.0, n / lower / max(1.0, 2 * math.fsum(r) - 1)) for r in (rho * rho, rho))
    variance = 2 * spread**2 / for_squares + 4 * bias**2 * spread / for_mean
    return _Component(bias * bias + spread, variance, for_squares, _slow_size(x))


def _correlations(deviations: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(autocorrelations over the lags of Geyer's initial positive sequence, variance) of deviations from a mean."""
    import numpy as np

    n = deviations.size
    autocovariance = _lagged_sums(deviations)
    pairs = autocovariance[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 1e-9 * autocovariance[0])
    window = 2 * int(ends[0] if ends.size else pairs.size)
    spread = float(autocovariance[0]) / n
    rho = autocovariance[:window] / max(autocovariance[0], 1e-300) * n / np.arange(n, n - window, -1)
    return rho, spread


def _shortfall(window: int, n: int) -> float:
    """One standard error by which a sum of correlations over `window` lags of `n` values may be too small, as a factor."""
    return 1 + math.sqrt(2 * (2 * window + 1) / n)


def _slow_size(x: NDArray[np.float64]) -> float:
    """How many independent values the slow part of `x` is worth, however much noise lies upon it.

    Noise makes neighbours look independent while what lasts longer than the record has become its bias, and then a bound is
    confidently wrong. So the series is averaged into COARSE blocks, and what noise is left is taken out of the correlations: those
    of a Gauss-Markov process continue to lag 0 as rho_1^2 / rho_2. Without a slow part that shows, all blocks count. +inf where
    there is nothing to average.
    """
    import numpy as np

    length = x.size // COARSE
    if length < 2:
        return math.inf
    blocks = x[: x.size // length * length].reshape(-1, length).mean(axis=1)
    rho, _ = _correlations(blocks - blocks.mean())
    n, lower = blocks.size, _shortfall(rho.size, blocks.size)
    if rho.size < 3 or rho[1] < 2 / math.sqrt(n) or rho[2] <= 0:
        return float(n / lower)
    at_zero = max(float(rho[1]), min(1.0, float(rho[1] ** 2 / rho[2]))) if rho[2] < rho[1] else float(rho[1])
    apart = np.concatenate([[1.0], rho[1:] / at_zero])
    return float(n / lower) / max(1.0, 2 * math.fsum(apart * apart) - 1)


def rms_bounds(components: NDArray[np.float64], alpha: float) -> Bounds:
    """Bounds of the root mean square of a vector's length, bias included. `components`: shape (k, n) or (n,), signed, time order.

    The mean square m is taken as m * chi2(nu) / nu with the nu that gives it its variance, nu = 2 m^2 / sum of the components'
    variances (Satterthwaite): exact for independent normal components of one size and mean 0. No bounds with n_eff below
    LEAST_FOR_RMS in any component or its slow part, or after a loss. Raises ValueError for no values or NaN.
    """
    import numpy as np
    from scipy.special import chdtri

    signed = np.atleast_2d(components)
    _require_values(signed)
    n = signed.shape[1]
    if not np.isfinite(signed).all():
        return Bounds(math.inf, None, None, n, float(n))
    parts = [_component(part) for part in signed]
    total, worth = math.fsum(part.square for part in parts), min(part.n_effective for part in parts)
    slow = min(part.slow for part in parts)
    if min(worth, slow) < LEAST_FOR_RMS:
        return Bounds(math.sqrt(total), None, None, n, min(worth, slow))
    freedom = 2 * total**2 / math.fsum(part.variance for part in parts)
    low, high = (math.sqrt(freedom * total / float(chdtri(freedom, tail))) for tail in (alpha, 1 - alpha))
    return Bounds(math.sqrt(total), low, high, n, worth)


def rms_bootstrap_upper(components: NDArray[np.float64], alpha: float, seed: int) -> float | None:
    """Upper bound of the root mean square by the circular moving-block bootstrap: a cross-check of `rms_bounds`, never judged.

    `components`: as there. The (1 - alpha) quantile of REPLICATES means of blocks drawn with replacement, each block four times as
    long as the values are from one another in effect (n / n_effective). Under strong dependence it falls short of its level. None
    where `rms_bounds` has no bounds. Source: Politis and Romano, in Exploring the Limits of Bootstrap (1992) 263-270.
    """
    import numpy as np

    bounds = rms_bounds(components, alpha)
    if bounds.upper is None:
        return None
    squares = (np.atleast_2d(components) ** 2).sum(axis=0)
    n = squares.size
    length = min(n, max(math.ceil(4 * n / bounds.n_effective), math.ceil(n / MOST_BLOCKS)))
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([squares, squares[:length]]))])
    blocks = (total[length : length + n] - total[:n]) / length
    drawn = np.random.default_rng(seed).integers(0, n, (REPLICATES, math.ceil(n / length)))
    means = blocks[drawn].mean(axis=1)
    return math.sqrt(float(np.quantile(means, 1 - alpha, method="higher")))


def max_bounds(values: NDArray[np.float64], alpha: float) -> Bounds:
    """Bounds of the worst case, whatever `alpha`. Raises ValueError for no values or NaN.

    It is certainly no less than the largest value seen, and no number of samples bounds it from above: `upper` is None.
    """
    _require_values(values)
    largest = float(values.max())
    return Bounds(largest, largest, None, values.size, float(values.size))


def tail_mean_bounds(values: NDArray[np.float64], p: Level, alpha: float) -> Bounds:
    """Bounds of the mean of the largest 1 - p of all values (the slowest 1 % of frames). Raises ValueError for no values or NaN.

    With the sample's p-quantile q, that mean is the mean of y = q + max(x - q, 0) / (1 - p), and for no other q is it less
    (Rockafellar and Uryasev, Journal of Risk 2 (2000) 21-41), so that a bound of mean(y) from above is one of the tail's: Student's
    with n_eff of y, on the upper side widened by twice Johnson's term for skewness (JASA 73 (1978) 536-544). Where a sample shows
    too small a mean it shows too little skewness as well, and once is too little (docs/statistics.md). No bounds where the tail is
    worth fewer than LEAST_IN_TAIL independent values. A lost event leaves no mean: the point is then +inf, without bounds.
    """
    import numpy as np
    from scipy.special import stdtrit

    _require_values(values)
    n, share = values.size, float(1 - _exact(p))
    if not np.isfinite(values).all():
        return Bounds(math.inf, None, None, n, float(n))
    edge = float(np.sort(values)[math.ceil(_exact(p) * n) - 1])
    tail = edge + np.maximum(values - edge, 0.0) / share
    plain = mean_bounds(tail, alpha)
    worth = min(plain.n_effective, effective_size(values > edge)) if plain.lower != plain.upper else float(n)
    if worth * share < LEAST_IN_TAIL or plain.lower is None or plain.upper is None:
        return Bounds(plain.point, None, None, n, worth)
    if plain.lower == plain.upper:
        return plain
    t = float(stdtrit(worth - 1, 1 - alpha))
    deviations = tail - plain.point
    variance = math.fsum(deviations**2) / n
    skew = math.fsum(deviations**3) / n / variance**1.5
    error = math.sqrt(variance / (worth - 1))
    widening = 2 * skew * (1 + 2 * t * t) / (6 * math.sqrt(worth)) * error
    return Bounds(plain.point, plain.point - t * error, plain.point + t * error + max(0.0, widening), n, worth)


Number: TypeAlias = Fraction | float
"""An exact number, or float infinity."""


@dataclass(frozen=True)
class Interval:
    """A point with its one-sided bounds; None where there is none."""

    point: Number
    lower: Number | None
    upper: Number | None


def change_interval(before: Interval, after: Interval, relative: bool) -> Interval | None:
    """Growth from `before` to `after`: the difference, or its share of before. None where there is no such number.

    Where each bound given holds at 1 - a, each bound of the growth holds at 1 - 2 a whatever the two have to do with one another
    (Bonferroni; Miller, Simultaneous Statistical Inference (1981), chapter 1): after - before and after / before are monotone in
    both, so that the growth can only leave its interval when one of the two has left its own. A share takes quantities that are
    not negative, and a before that is above 0.
    """

    def grown(late: Number | None, early: Number | None) -> Number | None:
        if late is None or early is None:
            return None
        if not relative:
            return None if math.isinf(late) and math.isinf(early) else late - early
        if late < 0 or early <= 0 or (math.isinf(late) and math.isinf(early)):
            return None
        return Fraction(-1) if math.isinf(early) else late / early - 1

    point = grown(after.point, before.point)
    if point is None:
        return None
    return Interval(point, grown(after.lower, before.upper), grown(after.upper, before.lower))


def exceedance_upper(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson upper bound of the rate behind k exceedances in n independent trials; 1.0 for k == n."""
    from scipy.special import betaincinv

    return 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - alpha))


def exceedance_lower(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson lower bound of the rate behind k exceedances in n independent trials; 0.0 for k == 0."""
    from scipy.special import betaincinv

    return 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha))


def _few_bad(population: int, bad: int, drawn: int, found: int) -> float:
    """P(at most `found` bad ones among `drawn` of `population` with `bad` bad ones): the hypergeometric distribution function.

    Summed from the end of the support with ratios of neighbouring terms: scipy.stats.hypergeom takes differences of
    logarithms of factorials instead and is left with seven digits at a population of 1e9, this keeps twelve.
    """
    import numpy as np

    if drawn > population - bad:  # some bad ones must come up: count the good ones among those not drawn
        return _few_bad(population, population - bad, population - drawn, found - (drawn + bad - population))
    few, many = sorted((bad, drawn))
    if found < 0 or found >= few:
        return float(found >= 0)
    none = math.fsum(np.log1p(-many / (population - np.arange(few, dtype=np.float64))))
    b = np.arange(found, dtype=np.float64)
    ratios = (drawn - b) * (bad - b) / ((b + 1) * (population - bad - drawn + b + 1))
    logs = none + np.concatenate(([0.0], np.cumsum(np.log(ratios))))
    return min(1.0, math.fsum(np.exp(logs)))


def audit_lower(population: int, drawn: int, good: int, alpha: float) -> int:
    """Lower bound of the good ones in `population` after `good` of `drawn` without replacement were confirmed.

    The smallest M with hypergeom.sf(good - 1, population, M, drawn) > alpha: each smaller M would have shown so many good ones
    with probability <= alpha only. Raises ValueError unless 0 <= good <= drawn <= population.
    """
    if not 0 <= good <= drawn <= population:
        raise ValueError(f"no audit draws {drawn} of {population} and confirms {good}")
    bad = drawn - good
    return good + bisect_left(
        range(good, population - bad),
        True,
        key=lambda m: _few_bad(population, population - m, drawn, bad) > alpha * TIE,
    )


def audit_upper(population: int, drawn: int, good: int, alpha: float) -> int:
    """Upper bound of the good ones: the largest M with hypergeom.cdf(good, population, M, drawn) > alpha."""
    return population - audit_lower(population, drawn, drawn - good, alpha)


def audit_size(population: int, target: int, alpha: float, bad: int = 0) -> int | None:
    """The fewest to draw for `audit_lower` >= `target` >= 1 when `bad` of them turn out bad. None when nothing can prove it."""
    if target + bad > population:
        return None
    too_many = population - target + 1
    enough = 1
    while _few_bad(population, too_many, enough, bad) > alpha * TIE:
        enough = min(2 * enough, population)
    return bisect_left(range(enough), True, key=lambda n: _few_bad(population, too_many, n, bad) <= alpha * TIE)


def split_alpha(alpha: float, looks: int) -> float:
    """The risk of one look when any of `looks` looks may decide: alpha / looks (Bonferroni), for any dependence between them."""
    return alpha / looks


def pass_probability(true_exceedance: float, n: int, p: Level, alpha: float) -> float:
    """Chance that n independent values pass (upper bound of the p-quantile within the limit) at a true exceedance rate."""
    from scipy.special import betaincc

    allowed = max_exceedances(n, p, alpha)
    return 0.0 if allowed is None else float(betaincc(allowed + 1, n - allowed, true_exceedance))


@dataclass(frozen=True)
class Risk:
    """What one look risks by the bounds at `alpha`, for what lies exactly at the limit; each is the worst case on its side.

    `accept`, `reject`: chance to pass although the limit is just missed, to fail although it is just kept; `simple`: to pass by the
    point alone. `well`: chance to pass with half of what may be amiss. `allowed`: exceedances, or bad ones of those drawn, with
    which it passes; None where nothing can.
    """

    accept: float
    reject: float
    simple: float
    well: float
    allowed: int | None


def quantile_risk(n: int, p: Level, alpha: float, *, above: bool = True) -> Risk:
    """Of a limit `above` the p-quantile, or below it, from n >= 1 independent values of any continuous distribution.

    Of values of which a share e is amiss, that is beyond the limit, Bin(n, e) are. With the limit above: pass with at most n - r_U,
    by the point n - ceil(p n), fail from n - r_L + 1 on; at the limit e = 1 - p. Below: r_L - 1, ceil(p n) - 1, r_U; e = p.
    """
    low, high, point = lower_rank(n, p, alpha), upper_rank(n, p, alpha), math.ceil(_exact(p) * n)
    if above:
        share, allowed, pointed = 1 - _exact(p), None if high is None else n - high, n - point
        enough = None if low is None else n - low
    else:
        share, allowed, pointed = _exact(p), None if low is None else low - 1, point - 1
        enough = None if high is None else high - 1
    return Risk(
        accept=_few(allowed, n, share),
        reject=0.0 if enough is None else 1 - _few(enough, n, share),
        simple=_few(pointed, n, share),
        well=_few(allowed, n, share / 2),
        allowed=allowed,
    )


def _few(k: int | None, n: int, rate: Level) -> float:
    """P(Bin(n, rate) <= k); 0.0 for None."""
    from scipy.special import betaincc

    return 0.0 if k is None else 1.0 if k >= n else float(betaincc(k + 1, n - k, float(rate)))


def audit_risk(population: int, drawn: int, target: int, alpha: float) -> Risk:
    """Of a count that must reach 1 <= `target` <= `population`, when `drawn` of it are looked at and some turn out bad.

    The bad ones found are hypergeometric. Just missed: target - 1 good ones; just kept: target. Half of what may be amiss: half of
    population - target, rounded down. Raises ValueError outside these numbers.
    """
    if not 1 <= target <= population or not 0 < drawn <= population:
        raise ValueError(f"no audit of {drawn} of {population} shows {target}")
    spare = population - target
    passing = bisect_left(
        range(drawn + 1), True, key=lambda b: audit_lower(population, drawn, drawn - b, alpha) < target
    )
    failing = bisect_left(
        range(drawn + 1), True, key=lambda b: audit_upper(population, drawn, drawn - b, alpha) < target
    )
    pointed = drawn - math.ceil(Fraction(target * drawn, population))
    return Risk(
        accept=_few_bad(population, spare + 1, drawn, passing - 1),
        reject=1 - _few_bad(population, spare, drawn, failing - 1),
        simple=_few_bad(population, spare + 1, drawn, pointed),
        well=_few_bad(population, spare // 2, drawn, passing - 1),
        allowed=passing - 1 if passing else None,
    )


def samples_for_power(true_exceedance: float, p: Level, alpha: float, power: float = 0.8) -> int:
    """The smallest n with pass_probability >= `power`. Raises ValueError for a rate that the p-quantile does not allow.

    The chance is a sawtooth: it jumps where one more exceedance is allowed and falls from there to the next jump. The n given
    is such a jump, so plan just that many: a few more pass a little less often, a few fewer distinctly less often.
    """
    if not true_exceedance < 1 - _exact(p):
        raise ValueError(f"no number of samples shows that a rate of {true_exceedance} is below {float(1 - _exact(p))}")
    jump = 0
    for k in count():
        jump = _samples_allowing(k, jump, p, alpha)
        if pass_probability(true_exceedance, jump, p, alpha) >= power:
            break
    return jump


def empirical_cdf(values: NDArray[np.float64], points: int) -> list[tuple[float, float]]:
    """(value, share of all values <= it) at about `points` even steps and at each of the TAIL largest, for a plot.

    Only finite values are given, but losses count as values: with losses the curve ends below 1.
    """
    import numpy as np

    finite = np.sort(values[np.isfinite(values)])
    if finite.size == 0:
        return []
    grid = np.linspace(1, finite.size, points).astype(np.int64)
    ranks = np.union1d(grid, np.arange(max(1, finite.size - TAIL + 1), finite.size + 1))
    return [(float(finite[rank - 1]), rank / values.size) for rank in ranks.tolist()]


def time_series(times: NDArray[np.float64], values: NDArray[np.float64], bins: int) -> list[tuple[float, float, float]]:
    """(middle of the bin, median, maximum) for each of `bins` equal stretches of time that holds values, for a plot.

    The median is the order statistic of rank ceil(n / 2). +inf stays +inf: a loss must be seen, not left out.
    """
    import numpy as np

    if times.size == 0:
        return []
    start, width = times.min(), (times.max() - times.min()) / bins
    places = (
        np.minimum((times - start) / width, bins - 1).astype(np.int64) if width > 0 else np.zeros(times.size, np.int64)
    )
    by_place = np.lexsort((values, places))
    parts = np.split(values[by_place], np.searchsorted(places[by_place], np.arange(1, bins)))
    return [
        (float(start + (i + 0.5) * width), float(part[(part.size - 1) // 2]), float(part[-1]))
        for i, part in enumerate(parts)
        if part.size
    ]
