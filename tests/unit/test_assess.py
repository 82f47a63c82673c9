"""The record: numbers as JSON, and never on the wrong side of a limit."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanshou.harness.assess import _margin, _number, exit_verdict, unreadable
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.judge import Attempt, Judged, satisfies
from yanshou.harness.model import Limit, Op, Verdict
from yanshou.harness.runs import runs_of

LE2 = Limit(Op.LE, Decimal(2), "ms")


def test_what_json_cannot_hold_is_none() -> None:
    assert [_number(x) for x in (None, math.inf, -math.inf)] == [None, None, None]
    assert (_number(Fraction(3)), type(_number(Fraction(3)))) == (3, int)
    assert _number(Fraction(1, 3)) == 0.333333333333


@given(st.sampled_from(list(Op)[:4]), st.integers(-(10**18), 10**18))
def test_a_number_never_crosses_its_limit(op: Op, atoms: int) -> None:
    limit = Limit(op, Decimal(2), "ms")
    exact = Fraction(2) + Fraction(atoms, 10**30)
    shown = _number(exact, limit)
    assert shown is not None
    assert satisfies(Fraction(shown), limit) == satisfies(exact, limit)


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("fail", 1), ("inconclusive", 3), ("invalid", 3), ("not_run", 3)]
)
def test_exit_code_follows_the_verdict(verdict: str, code: int) -> None:
    assert exit_verdict({"verdict": verdict}) == code


@pytest.mark.parametrize(
    ("op", "guard", "margin"),
    [
        (Op.LE, (0.25, 0.5), -0.125),
        (Op.GE, (0.25, 0.5), -0.625),
        (Op.LE, (0, 0.5), 0.125),
        (Op.LE, (math.inf, 0), None),
    ],
)
def test_the_margin_is_that_of_the_bound_that_decides(op: Op, guard: tuple[float, float], margin: float | None) -> None:
    """A bound inside the limit that the instrument's error carries outside is undecided, and no margin says otherwise."""
    judged = Judged(
        Verdict.INCONCLUSIVE, Verdict.PASS, (), "p99", Fraction(2), Fraction(15, 8), Fraction(15, 8), 9, 9.0, 0.05,
        (_exact(guard[0]), _exact(guard[1])),
    )  # fmt: skip
    assert _margin(judged, Limit(op, Decimal(2), "ms")) == margin


@pytest.mark.parametrize(
    ("size", "status", "looked"),
    [(20_000, RunStatus.ABORTED, True), (200, RunStatus.ABORTED, False), (20_000, RunStatus.COMPLETED, False)],
)
def test_breaking_off_until_nothing_can_be_read_is_a_look(
    tmp_path: Path, size: int, status: RunStatus, looked: bool
) -> None:
    """A truth that is never handed in after the drive, or a stream that was destroyed, buys no free second try."""
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "drive", {}) as writer:
        writer.sink.stream("raw.bin").write(b"x" * size)
        writer.close(status)
    (run,) = runs_of(ledger.records)
    attempt = Attempt(1, None, status, None, (), None, unreadable(run))
    assert attempt.looked is looked


def _exact(number: float) -> Fraction | float:
    return number if math.isinf(number) else Fraction(number)
