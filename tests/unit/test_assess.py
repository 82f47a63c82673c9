"""The record: numbers as JSON, and never on the wrong side of a limit."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanshou.harness.assess import _number, exit_verdict
from yanshou.harness.judge import satisfies
from yanshou.harness.model import Limit, Op

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
