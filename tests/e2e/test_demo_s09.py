"""Scenario 9's demonstration as a user runs it: new devices beside old ones and cheats, software in Parquet, modes looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import demonstration, finding, passed_and_verified, record_of
from tests.editions import untranslated
from yanshou.demo import s09

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstration(9, tmp_path_factory.mktemp("demo-s09"))


def test_only_new_and_honest_devices_count(demo: Path) -> None:
    found = finding(demo, "S09-I02")
    left_out = {e["code"]: e["count"] for e in found["figure"]["exclusions"] if e["count"]}
    assert (found["verdict"], found["value"]) == ("pass", s09.TRUE_DEVICES)
    assert left_out["DEV-X-BASELINE"] == s09.OLD_DEVICES
    assert s09.COMMITTED_DEVICES <= found["lower"] < s09.TRUE_DEVICES


def test_software_counts_once_by_its_package_and_only_where_it_is_called(demo: Path) -> None:
    found = finding(demo, "S09-I03")
    left_out = {e["code"]: e["count"] for e in found["figure"]["exclusions"] if e["count"]}
    assert (found["verdict"], found["value"]) == ("pass", s09.MODELS + s09.APPS)
    assert left_out == {"REC-X-WINDOW": s09.OLD_SOFTWARE, "UNCALLED": s09.UNCALLED, "REC-X-DUP": s09.RENAMED}


def test_all_pass_and_the_package_verifies(demo: Path) -> None:
    passed_and_verified(demo)
    assert finding(demo, "S09-I01")["value"] == len(s09.MODES)


def test_its_report_is_complete_in_english(demo: Path) -> None:
    assert untranslated(record_of(demo)) == []
