"""Scenario 2's demonstration as a user runs it: inspected cases, a promised change counted on both sides, a timed service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import demonstration, finding, passed_and_verified, record_of
from tests.editions import untranslated
from yanshou.demo import s02

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(2, tmp_path_factory.mktemp("demo-s02"))


def test_the_change_is_that_of_the_parts_that_were_truly_reworked(demo: Path) -> None:
    found = finding(demo, "S02-Q03")
    before, after = s02.YEARS.values()
    assert (found["verdict"], found["unit"]) == ("pass", "%")
    assert found["value"] == pytest.approx(100 * (before - after) / before)
    assert found["change"]["before"]["value"] == before
    assert found["change"]["after"]["value"] == after


def test_a_judgement_takes_what_the_service_takes(demo: Path) -> None:
    found = finding(demo, "S02-P01")
    assert found["verdict"] == "pass"
    assert s02.ANSWER_MS <= found["readings"]["p50"] <= s02.ANSWER_MS + 3


def test_all_pass_and_the_package_verifies(demo: Path) -> None:
    passed_and_verified(demo)
    assert finding(demo, "S02-I01")["value"] == len(s02.CASES)


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
