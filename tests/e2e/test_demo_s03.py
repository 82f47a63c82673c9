"""Scenario 3's demonstration as a user runs it: nothing but a project's own targets, on IFC models and a database of reviews."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import demonstration, finding, passed_and_verified, record_of
from tests.editions import untranslated
from yanshou.demo import s03


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(3, tmp_path_factory.mktemp("demo-s03"))


def test_each_model_keeps_each_specification(demo: Path) -> None:
    found = finding(demo, "S03-P01")
    assert (found["verdict"], found["value"]) == ("pass", len(s03.MODELS) * s03.SPECIFICATIONS)


def test_the_change_is_that_of_the_drawings_that_were_truly_reviewed(demo: Path) -> None:
    found = finding(demo, "S03-Q05")
    before, after = s03.YEARS.values()
    assert (found["verdict"], found["value"]) == ("pass", pytest.approx(100 * (after - before) / before))
    assert (found["change"]["before"]["value"], found["change"]["after"]["value"]) == (before, after)


def test_a_host_without_the_extra_is_asked_for_no_model(tmp_path: Path) -> None:
    assert ("S03-P01" in s03.case_text(models=True), "S03-P01" in s03.case_text(models=False)) == (True, False)
    s03.write_inputs(tmp_path, models=False)
    assert [p.name for p in (tmp_path / "inputs").iterdir()] == ["reviews.db"]


def test_all_pass_and_the_package_verifies(demo: Path) -> None:
    passed_and_verified(demo)


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
