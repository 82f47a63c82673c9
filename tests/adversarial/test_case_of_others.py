"""A case that somebody else wrote must not reach anything outside its folder, neither by names of forms nor by links."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inspecting import CASE, SHEET
from yanshou.harness.basics import UserError
from yanshou.harness.engine import draft, freeze_case, lay_out_samples
from yanshou.inspect.recorder import recording


def case(folder: Path, sheet: str) -> Path:
    folder.mkdir()
    (folder / "case.yaml").write_text(CASE.replace(SHEET, sheet), encoding="utf-8")
    return folder


@pytest.mark.parametrize("absolute", [False, True])
def test_a_form_outside_the_case_is_never_written(tmp_path: Path, absolute: bool) -> None:
    outside = tmp_path / "home" / ".profile"
    outside.parent.mkdir()
    folder = case(tmp_path / "case", str(outside) if absolute else "../home/.profile")
    for step in (draft, freeze_case):
        with pytest.raises(UserError, match="P-PLACE"):
            step(folder)
    assert not outside.exists()
    assert not (folder / "ledger.jsonl").exists()


def test_a_link_leads_no_form_out_of_the_case(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    folder = case(tmp_path / "case", "inspections/S10-I01.yaml")
    (folder / "inspections").symlink_to(home)
    with pytest.raises(UserError, match=r"P-PLACE .*经链接指到案卷之外"):
        freeze_case(folder)
    assert list(home.iterdir()) == []


def test_a_plan_that_was_frozen_elsewhere_is_no_way_around(tmp_path: Path) -> None:
    """Its ledger names the forms, and the folder's links are the sender's."""
    folder = case(tmp_path / "case", "inspections/S10-I01.yaml")
    freeze_case(folder)
    (folder / "inspections").rename(tmp_path / "home")
    (folder / "inspections").symlink_to(tmp_path / "home")
    before = {p: p.read_bytes() for p in (tmp_path / "home").iterdir()}
    with pytest.raises(UserError, match="P-PLACE"), recording(folder):
        pytest.fail("was opened")
    lay_out_samples(folder)  # draws nothing for a checklist
    assert {p: p.read_bytes() for p in (tmp_path / "home").iterdir()} == before
