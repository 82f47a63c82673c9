"""Scenario 8's demonstration as a user runs it: adopters between planted contracts, and their assessed levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import demonstration, finding, passed_and_verified, record_of
from tests.editions import untranslated
from yanshou.demo import s08


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(8, tmp_path_factory.mktemp("demo-s08"))


def test_every_planted_contract_is_left_out_for_its_reason(demo: Path) -> None:
    found = finding(demo, "S08-I01")
    left_out = {e["code"]: e["count"] for e in found["figure"]["exclusions"] if e["count"]}
    assert (found["verdict"], found["figure"]["net"], found["lower"]) == ("pass", s08.TRUE_ADOPTERS, s08.TRUE_ADOPTERS)
    assert left_out == {
        "REC-X-WINDOW": s08.EARLY,
        "CODE": s08.MISCODED,
        "AFFILIATE": s08.AFFILIATED,
        "LARGE": s08.LARGE,
        "REC-X-JOIN": s08.UNUSED,
        "REC-X-DUP": s08.TWICE,
    }


def test_the_level_is_the_one_that_enough_adopters_reach(demo: Path) -> None:
    found = finding(demo, "S08-I02")
    assert (found["verdict"], found["value"], found["unit"]) == ("pass", s08.TRUE_LEVEL, "级")


def test_all_pass_and_the_package_verifies(demo: Path) -> None:
    passed_and_verified(demo)


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
