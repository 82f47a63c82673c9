"""All demonstrations on one page: what fails is shown and stops nothing, and a package says what it says only when it verifies."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.support import yanshou
from yanshou.demo.portfolio import DATA, PAGE, Cost, Entry, entry, page, peak, play_all, worst
from yanshou.harness.basics import ExitCode

UNKNOWN = 11
"""A scenario without a demonstration."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Entry], list[str]]:
    """Two demonstrations, of which the first cannot be."""
    folder, told = tmp_path_factory.mktemp("portfolio") / "all", []
    return folder, play_all(folder, (UNKNOWN, 3), told.append), told


def test_one_that_fails_is_shown_and_stops_nothing(played: tuple[Path, Sequence[Entry], list[str]]) -> None:
    folder, (failed, passed), told = played
    assert (failed.exit_code, failed.verdict, failed.package) == (ExitCode.USAGE, "", "")
    assert failed.problem.startswith("DEMO-E02")
    assert (passed.exit_code, passed.verdict, passed.problem) == (ExitCode.OK, "pass", "")
    assert [line.verdict for line in passed.lines] == ["pass"] * len(passed.lines)
    assert worst((failed, passed)) == ExitCode.USAGE
    assert "DEMO-E02" in told[1]
    assert "核验通过" in told[3]
    assert (folder / failed.log).is_file()


def test_each_one_is_told_with_what_it_took(played: tuple[Path, Sequence[Entry], list[str]]) -> None:
    _, (failed, passed), _ = played
    for told in (failed, passed):
        assert told.cost.cpu_seconds is not None
        assert told.cost.cpu_seconds > 0
        assert told.cost.peak_bytes is None or told.cost.peak_bytes < 2 * 2**30
    assert failed.cost.cpu_seconds < passed.cost.cpu_seconds


def test_memory_that_may_be_that_of_the_process_that_starts_it_is_nobodys(
    tmp_path: Path,
) -> None:
    """In a small process, as the command is: the one that only fails takes less than the one that measures and reports."""
    play = "import sys, pathlib; from yanshou.demo.portfolio import play_all; play_all(pathlib.Path(sys.argv[1]), (11, 8), print)"
    subprocess.run([sys.executable, "-c", play, str(tmp_path)], check=True, capture_output=True)
    failed, passed = (demo["cost"]["peak_bytes"] for demo in json.loads((tmp_path / DATA).read_bytes())["demos"])
    assert passed > 100 * 2**20
    assert failed is None or failed < passed
    assert [peak(counted, 50) for counted in (49, 50, 51)] == [None, None, 51]


def test_the_page_leads_to_every_report_and_package_and_loads_nothing(
    played: tuple[Path, Sequence[Entry], list[str]],
) -> None:
    folder, (failed, passed), _ = played
    text = (folder / PAGE).read_text(encoding="utf-8")
    links = set(re.findall(r'href="([^"#]+)"', text))
    assert links == {failed.log, passed.log, passed.report, passed.pdf, passed.package}
    assert all((folder / link).is_file() for link in links)
    assert not re.search(r"<script|<img|<link|https?://", text)
    for line in passed.lines:
        assert line.id in text
    told = json.loads((folder / DATA).read_bytes())
    assert (told["exit_code"], [d["scenario"] for d in told["demos"]]) == (ExitCode.USAGE, [UNKNOWN, 3])


def test_a_package_that_does_not_verify_has_no_verdict(
    played: tuple[Path, Sequence[Entry], list[str]], tmp_path: Path
) -> None:
    folder, (_, passed), _ = played
    (tmp_path / "s03/package").mkdir(parents=True)
    good = (folder / passed.package).read_bytes()
    where = len(good) // 2
    (tmp_path / passed.package).write_bytes(good[:where] + bytes([good[where] ^ 1]) + good[where + 1 :])
    found = entry(tmp_path, 3, passed.cost)
    assert (found.verdict, found.lines, found.exit_code) == ("", (), ExitCode.UNVERIFIED)
    assert found.problem
    shutil.copy(folder / passed.package, tmp_path / passed.package)
    again = entry(tmp_path, 3, replace(passed.cost, exit_code=-9))
    assert (again.verdict, again.lines, again.exit_code) == ("pass", passed.lines, ExitCode.INTERNAL)


def test_names_are_text_on_the_page() -> None:
    shown = page([Entry(3, "<b>&", Cost(0, 1.0, None, None), 0, problem="<script>")]).decode()
    assert "&lt;b&gt;&amp;" in shown
    assert "<script" not in shown


def test_all_and_one_are_not_asked_for_together(tmp_path: Path) -> None:
    done = yanshou("demo", "--all", "--scenario", 3, tmp_path / "x")
    assert (done.returncode, "DEMO-E06" in done.stderr, (tmp_path / "x").exists()) == (2, True, False)
