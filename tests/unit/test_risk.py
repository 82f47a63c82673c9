"""Chances of a wrong verdict: what the formulas say is what the judge does, outcome by outcome."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from yanshou.harness.judge import Criterion, Judged, judge_run
from yanshou.harness.model import Audit, Count, Kind, Limit, Op, Samples, Verdict
from yanshou.harness.risk import ByPeople, Nominal, Sampled, Whole, risk_of
from yanshou.harness.statistics import audit_risk, effective_size, quantile_risk

ALPHA = 0.05


def criterion(kind: Kind, limit: Limit, statistic: str) -> Criterion:
    return Criterion("X", kind, limit, statistic, None, (), 1 - ALPHA, 1)


def independent_order(n: int, p: float, op: Op) -> NDArray[np.int64]:
    """Places at which n ordered values show no dependence about their p-quantile."""
    rank = math.ceil(n * p) if op is Op.LE else n - math.ceil(n * p) + 1
    for seed in count():
        order = np.random.default_rng(seed).permutation(n)
        above = order >= rank if op is Op.LE else order < rank - 1
        if effective_size(above) == n:
            return order
    raise AssertionError


def verdicts_by_number_amiss(n: int, p: float, op: Op) -> dict[int, Judged]:
    """n values without ties, of which each number lies beyond 1 on the wrong side, as the judge sees them."""
    held = criterion(Kind.MEASURED, Limit(op, Decimal(1), "ms"), f"p{round(100 * p)}")
    order = independent_order(n, p, op)
    judged = {}
    for amiss in range(n + 1):
        ordered = np.concatenate([np.linspace(0.1, 0.9, n - amiss), np.linspace(1.1, 1.9, amiss)])[order]
        values = ordered if op is Op.LE else 2 - ordered
        judged[amiss] = judge_run(held, Samples("ms", values, np.arange(float(n)), "value"), ALPHA, None)
    return judged


@pytest.mark.parametrize(("n", "p", "op"), [(59, 0.95, Op.LE), (40, 0.5, Op.LE), (40, 0.9, Op.GE), (299, 0.99, Op.LE)])
def test_chances_of_a_quantile_are_those_of_the_judge(n: int, p: float, op: Op) -> None:
    """Every number of values amiss is judged, and weighed with its probability at a quantile exactly at the limit."""
    judged = verdicts_by_number_amiss(n, p, op)
    at = 1 - p if op is Op.LE else p
    assert {j.n_effective for j in judged.values()} == {n}

    def chance(rate: float, field: str, verdict: Verdict) -> float:
        return float(sum(binom.pmf(k, n, rate) for k, j in judged.items() if getattr(j, field) is verdict))

    finding = {
        "kind": "measured", "statistic": f"p{round(100 * p)}", "unit": "ms", "limit": {"op": op.value, "value": 1, "unit": "ms"},
        "n_effective": n + 0.4, "alpha": ALPHA, "confidence": 1 - ALPHA, "reasons": [],
    }  # fmt: skip
    found = risk_of(finding)
    assert isinstance(found, Sampled)
    risk = found.risk
    assert risk.accept == pytest.approx(chance(at, "verdict", Verdict.PASS), abs=1e-9)
    assert risk.reject == pytest.approx(chance(at, "verdict", Verdict.FAIL), abs=1e-9)
    assert risk.well == pytest.approx(chance(at / 2, "verdict", Verdict.PASS), abs=1e-9)
    assert 0 < risk.accept <= ALPHA * (1 + 1e-9)
    assert 0 <= risk.reject <= ALPHA * (1 + 1e-9)
    assert risk.simple == pytest.approx(chance(at, "simple", Verdict.PASS), abs=1e-9)
    assert risk.allowed == max(k for k, j in judged.items() if j.verdict is Verdict.PASS)


@pytest.mark.parametrize(("population", "drawn", "target"), [(105, 41, 100), (330, 60, 305), (20, 20, 15), (12, 5, 12)])
def test_chances_of_an_audit_are_those_of_the_judge(population: int, drawn: int, target: int) -> None:
    held = criterion(Kind.COUNTED, Limit(Op.GE, Decimal(target), "个"), "count")
    judged = {
        good: judge_run(held, Count("个", population, (), population, Audit(population, drawn, good)), ALPHA, None)
        for good in range(drawn + 1)
    }

    def chance(true: int, field: str, verdict: Verdict) -> float:
        return float(
            sum(hypergeom.pmf(g, population, true, drawn) for g, j in judged.items() if getattr(j, field) is verdict)
        )

    risk = audit_risk(population, drawn, target, ALPHA)
    assert risk.accept == pytest.approx(chance(target - 1, "verdict", Verdict.PASS), abs=1e-9)
    assert risk.reject == pytest.approx(chance(target, "verdict", Verdict.FAIL), abs=1e-9)
    assert risk.simple == pytest.approx(chance(target - 1, "simple", Verdict.PASS), abs=1e-9)
    assert risk.well == pytest.approx(
        chance(population - (population - target) // 2, "verdict", Verdict.PASS), abs=1e-9
    )
    passing = [drawn - good for good, j in judged.items() if j.verdict is Verdict.PASS]
    assert risk.allowed == max(passing, default=None)


def test_known_figures() -> None:
    """The operating points of docs/statistics.md."""
    risk = quantile_risk(1000, 0.99, 0.05)
    assert (risk.allowed, round(risk.accept, 3), round(risk.simple, 3)) == (4, 0.029, 0.583)
    assert quantile_risk(298, 0.99, 0.05).allowed is None
    assert quantile_risk(298, 0.99, 0.05).accept == 0


@pytest.mark.parametrize("numbers", [(10, 5, 11), (10, 0, 5), (10, 11, 5), (10, 5, 0)])
def test_impossible_audits_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no audit"):
        audit_risk(*numbers, 0.05)


FINDING: dict[str, Any] = {
    "kind": "measured", "statistic": "p99", "unit": "ms", "limit": {"op": "<=", "value": 2, "unit": "ms"}, "n_effective": 1000,
    "alpha": 0.05, "confidence": 0.95, "reasons": [], "method": {"samples_needed": 299, "attempts_allowed": 2},
}  # fmt: skip
COUNTED = {"kind": "count", "audit": None}
AUDITED = {"kind": "count", "audit": {"population": 12_000_000, "drawn": 59, "good": 57}, "per": 1_000_000}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "inspected", "statistic": "items"}, ByPeople()),
        ({"statistic": "rms"}, Nominal(0.05)),
        ({"change": {"grows": True}}, Nominal(0.05)),
        ({"plausible": [{}, {}]}, Nominal(0.05)),
        ({"reasons": [{"code": "alpha_shared", "text": ""}]}, Nominal(0.05)),
        ({"kind": "counted", "statistic": "count", "figure": COUNTED}, Whole()),
        ({"n_effective": None, "alpha": None}, Sampled(quantile_risk(299, 0.99, 0.025), 299, planned=True)),
        (
            {"statistic": "p99", "unit": "fps", "limit": {"op": ">=", "value": 72, "unit": "fps"}},
            Sampled(quantile_risk(1000, 0.99, 0.05), 1000),
        ),
        (
            {"statistic": "count", "limit": {"op": ">=", "value": 10, "unit": "km2"}, "figure": AUDITED},
            Sampled(audit_risk(12_000_000, 59, 10_000_000, 0.05), 59),
        ),
        ({"statistic": "count", "limit": {"op": ">=", "value": 13, "unit": "km2"}, "figure": AUDITED}, Nominal(0.05)),
        ({"statistic": "count", "limit": {"op": "<=", "value": 10, "unit": "km2"}, "figure": AUDITED}, Nominal(0.05)),
    ],
)
def test_only_what_a_formula_gives_is_said(changes: dict[str, Any], expected: object) -> None:
    assert risk_of({**FINDING, **changes}) == expected
