"""What a decision rule risks: chances of a wrong pass (PFA) and of a wrong fail (PFR) of one finding of a record.

They follow from rule, limit and number of samples, not from what was measured: they are printed beside the rule and stand in no
record, so that records stay what they are. It must never judge, do I/O, or give a chance that no formula in docs/statistics.md
gives: where only the level is known, the level is all it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from yanshou.harness.model import Kind, Op
from yanshou.harness.statistics import Risk, audit_risk, percentile_code, quantile_risk, split_alpha
from yanshou.harness.units import rate_of_time


@dataclass(frozen=True)
class Sampled:
    """Chances of one look, from `n` samples worth that many independent ones; `planned` where they are still to be taken."""

    risk: Risk
    n: int
    planned: bool = False


@dataclass(frozen=True)
class Nominal:
    """No more is known than that each chance is at most `alpha`."""

    alpha: float


@dataclass(frozen=True)
class Whole:
    """All of it was counted: nothing was left to chance."""


@dataclass(frozen=True)
class ByPeople:
    """People answered: no chance can be given for their error."""


def risk_of(finding: Mapping[str, Any]) -> Sampled | Nominal | Whole | ByPeople:
    """What one look at an indicator risks; the looks that a plan allows risk at most the sum of theirs."""
    if finding["kind"] == Kind.INSPECTED and finding.get("statistic") in ("items", None):
        return ByPeople()
    method, figure = finding.get("method") or {}, finding.get("figure") or {}
    alpha = finding.get("alpha") or split_alpha(1 - finding["confidence"], method.get("attempts_allowed") or 1)
    shared = any(r["code"] == "alpha_shared" for r in finding["reasons"])
    if finding.get("change") or finding.get("plausible"):
        return Nominal(alpha)
    if figure.get("kind") == "count":
        if figure.get("audit") is None:
            return Whole()
        return Nominal(alpha) if shared else _audited(finding["limit"], figure, alpha)
    p = percentile_code(finding.get("statistic") or "")
    n = math.floor(finding.get("n_effective") or 0) or method.get("samples_needed")
    if p is None or not n or shared:
        return Nominal(alpha)
    times = rate_of_time(finding["unit"], "s")  # a limit in fps is held against the times between frames
    above = times or Op(finding["limit"]["op"]).smaller_is_better
    return Sampled(quantile_risk(n, p, alpha, above=above), n, planned=not finding.get("n_effective"))


def _audited(limit: Mapping[str, Any], figure: Mapping[str, Any], alpha: float) -> Sampled | Nominal:
    population, drawn = figure["audit"]["population"], figure["audit"]["drawn"]
    wanted = Fraction(repr(limit["value"])) * Fraction(repr(figure.get("per", 1)))
    target = math.floor(wanted) + 1 if limit["op"] == Op.GT else math.ceil(wanted)
    if limit["op"] not in (Op.GE, Op.GT) or not 1 <= target <= population or not drawn:
        return Nominal(alpha)
    return Sampled(audit_risk(population, drawn, target, alpha), drawn)
