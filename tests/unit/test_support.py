"""The table of what runs where: complete, printed in the README, spoken by doctor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from yanshou.harness import support
from yanshou.harness.doctor import examine
from yanshou.probes.contract import probe_names

README = Path(__file__).resolve().parents[2] / "README.md"


def test_every_probe_is_in_the_table() -> None:
    assert set(support.SUPPORT) == set(probe_names())


def test_the_readme_prints_it() -> None:
    text = README.read_text(encoding="utf-8")
    printed = text.partition("<!-- support -->\n")[2].partition("\n<!-- /support -->")[0]
    assert printed == "\n".join(support.markdown())


def test_doctor_says_it_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(system: str) -> dict[str, bool]:
        monkeypatch.setattr(sys, "platform", system)
        return {c.text.partition("：")[0]: c.ok for c in examine(tmp_path) if c.code == "D20"}

    assert all(told("linux").values())
    windows = told("win32")
    assert not windows["rtt.icmp"]
    assert not windows["devices"]
    assert windows["records"]


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = support.Support(support.Level.PORTABLE, "要 [bim]", ("there_is_no_such_module",), "bim")
    monkeypatch.setitem(support.SUPPORT, "bim.ids", lacking)
    (check,) = (c for c in examine(tmp_path) if c.text.startswith("bim.ids"))
    assert (check.ok, check.needed, check.remedy) == (False, False, "pip install 'yanshou[bim]'")
