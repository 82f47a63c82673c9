"""Scenario 4's demonstration as a user runs it: encoder of pictures apart, half a million visits among planted rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import demonstration, finding, passed_and_verified, record_of
from tests.editions import untranslated
from yanshou.demo import s04
from yanshou.demo.checkpoint import parameters, vision

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(4, tmp_path_factory.mktemp("demo-s04"))


def test_the_encoder_of_pictures_is_left_out_as_committed(demo: Path) -> None:
    figure = finding(demo, "S04-I01")["figure"]
    left_out = {e["code"]: e["count"] for e in figure["exclusions"] if e["count"]}
    assert (figure["net"], left_out) == (s04.TRUE_PARAMETERS, {"WGT-X-VISION": parameters(vision())})


def test_every_planted_row_is_named_and_left_out(demo: Path) -> None:
    found = finding(demo, "S04-I03")
    left_out = {e["code"]: e["count"] for e in found["figure"]["exclusions"] if e["count"]}
    assert found["figure"]["net"] == s04.TRUE_VISITS
    assert left_out == {
        "REC-X-WINDOW": s04.EARLY,
        "TEST": s04.TESTS,
        "RETRY": s04.RETRIES,
        "NO-OUTPUT": s04.SILENT,
        "REC-X-DUP": s04.TWICE,
    }
    assert found["lower"] >= s04.COMMITTED_VISITS


def test_answers_change_with_the_picture(demo: Path) -> None:
    found = finding(demo, "S04-P01")
    (ablation,) = [v for v in found["validity"] if v["code"] == "LAT-V20"]
    assert (ablation["severity"], f"{s04.ABLATED} 个输入中，换图后答案不变的 0 个" in ablation["text"]) == (
        "info",
        True,
    )
    true_ms = s04.FIRST_MS + (s04.TOKENS - 1) * s04.TOKEN_MS
    assert true_ms <= found["readings"]["p50"] <= true_ms + 3


def test_all_pass_and_the_package_verifies(demo: Path) -> None:
    passed_and_verified(demo)
    assert finding(demo, "S04-I02")["value"] == 2


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
