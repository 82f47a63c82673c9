"""pytest front end for project teams: `pytest --acceptance case.yaml`, one item per planned indicator.

It is a self-check over the same engine, whatever the case's mode says: it works on a fresh copy of the case folder, so a
formal ledger is never touched. Anything but 符合 is a failure with the verdict word first; nothing is ever skipped.
Importing this module must stay cheap: pytest loads it in every run.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PRODUCED = ("ledger.jsonl", "plan.lock.json", "plan.dsse.json", "record.json", "runs", "report", "package", ".lock")
COPIES = pytest.StashKey[list[Path]]()
"""The working copies of this session."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    parser.getgroup("yanshou").addoption(
        "--acceptance", metavar="CASE.YAML", help="yanshou 自检：对 case.yaml 计划内的每个指标测量并判定，不作验收依据"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """With --acceptance the case is what is collected, nothing else."""
    if case := config.getoption("--acceptance"):
        path = Path(case) / "case.yaml" if Path(case).is_dir() else Path(case)
        if not path.is_file():
            raise pytest.UsageError(f"{path}: E-CASE 没有这个案卷文件 → 给出 case.yaml 的路径")
        config.args = [str(path.resolve())]


def pytest_report_header(config: pytest.Config) -> str | None:
    """What kind of run this is, on the first lines."""
    return "yanshou: 自检，不作验收依据" if config.getoption("--acceptance") else None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """The case file becomes one collector."""
    chosen = parent.config.getoption("--acceptance")
    if chosen and [str(file_path)] == parent.config.args:
        return CaseFile.from_parent(parent, path=file_path)
    return None


def _working_copy(source: Path) -> Path:
    """A fresh copy of a case folder, in self-check mode, without anything that earlier runs produced."""
    target = Path(tempfile.mkdtemp(prefix="yanshou-self-check-")) / source.name

    def link(a: str, b: str) -> str:
        try:
            os.link(a, b)
        except OSError:
            shutil.copy2(a, b)
        return b

    def left_out(folder: str, names: list[str]) -> set[str]:
        return set(PRODUCED) & set(names) if Path(folder) == source else set()

    shutil.copytree(source, target, ignore=left_out, copy_function=link)
    case = target / "case.yaml"
    text = case.read_text(encoding="utf-8")
    case.unlink()  # it may be a hard link to the original
    case.write_text(re.sub(r"(?m)^mode\s*:.*$", "mode: self-check", text), encoding="utf-8")
    return target


def _own_path(text: str, folder: Path, case: Path) -> str:
    """`text` with the case that a person edits in place of its copy."""
    return text.replace(f"{folder / 'case.yaml'}", f"{case}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Where the evidence of this self-check lies: it is whoever ran it that keeps or deletes it."""
    for folder in config.stash.get(COPIES, []):
        terminalreporter.write_line(f"yanshou: 这次自检的副本与证据在 {folder} → yanshou report {folder}；不用了就删去")


class CaseFile(pytest.File):
    """A case: its plan is frozen in a working copy, and each planned indicator is an item."""

    def collect(self) -> Iterator[pytest.Item]:
        """Freeze and list. Raises CollectError with the messages of `yanshou check` and `plan`."""
        from yanshou.harness.basics import UserError
        from yanshou.harness.engine import freeze_case

        folder = _working_copy(self.path.parent)
        try:
            plan, _ = freeze_case(folder)
        except UserError as error:
            shutil.rmtree(folder.parent)
            raise self.CollectError(_own_path(str(error), folder, self.path)) from None
        self.config.stash.setdefault(COPIES, []).append(folder)
        for indicator in plan.indicators:
            yield IndicatorItem.from_parent(self, name=indicator.id, folder=folder)


class NotPassed(Exception):
    """An indicator that is anything but 符合."""


class IndicatorItem(pytest.Item):
    """One indicator, measured and judged."""

    def __init__(self, *, folder: Path, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._folder = folder

    def runtest(self) -> None:
        """Run what is due for this indicator and fail unless it is 符合."""
        from yanshou.harness.engine import run_case
        from yanshou.harness.recording import Selection
        from yanshou.reports.display import limit_text
        from yanshou.show import measured

        summary = run_case(self._folder, selection=Selection([self.name]))
        finding = next(f for f in summary.record["findings"] if f["indicator"] == self.name)
        for key in ("verdict", "statistic", "value", "lower", "upper", "unit", "n", "limit", "rule"):
            self.user_properties.append((key, str(finding[key])))
        if finding["verdict"] != "pass":
            told = f"实测 {' '.join(measured(finding).split())}，限值 {limit_text(finding['limit'])}"
            reasons = [told, *(f"{r['code']} {r['text']}" for r in finding["reasons"]), *map(str, summary.problems)]
            raise NotPassed(f"{finding['verdict_word']} {self.name} {finding['name']}：{'；'.join(reasons)}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict in one line; a traceback only for what is a defect of the harness."""
        from yanshou.harness.basics import UserError

        if isinstance(excinfo.value, (NotPassed, UserError)):
            return _own_path(str(excinfo.value), self._folder, self.path)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item stands."""
        return self.path, None, self.name
