"""Scenario 7's demonstration as a user runs it: a log's slowest frames against a rate, and clicks in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import demonstration, finding, passed_and_verified, record_of
from tests.editions import untranslated
from yanshou.demo import s07

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(7, tmp_path_factory.mktemp("demo-s07"))


def test_the_slowest_frames_are_those_that_were_drawn(demo: Path, tmp_path: Path) -> None:
    found = finding(demo, "S07-Q01")
    times = s07.frame_log(
        tmp_path / "again.csv", s07.USUAL_MS, 7, frames=s07.FRAMES, stalls=s07.STALLS, stall_ms=s07.STALL_MS
    )
    slowest = sorted(times)[-s07.FRAMES // 100 :]
    assert (found["verdict"], found["unit"]) == ("pass", "fps")
    assert found["value"] == pytest.approx(1000 * len(slowest) / sum(slowest), rel=0.02)
    assert s07.COMMITTED_FPS <= found["lower"] < found["value"]


def test_a_click_is_answered_by_a_frame_that_works(demo: Path) -> None:
    if not s07.has_browser():
        pytest.skip("no browser on this host")
    found = finding(demo, "S07-P01")
    assert (found["verdict"], found["n"]) == ("pass", s07.CLICKS)
    assert found["value"] >= s07.WORK_MS


def test_a_host_without_a_browser_is_asked_for_no_click() -> None:
    with_page, without = s07.case_text("http://127.0.0.1:1/"), s07.case_text(None)
    assert ("S07-P01" in with_page, "S07-P01" in without) == (True, False)


def test_all_pass_and_the_package_verifies(demo: Path) -> None:
    passed_and_verified(demo)
    assert finding(demo, "S07-I01")["value"] == 1


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
