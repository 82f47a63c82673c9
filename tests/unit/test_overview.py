"""The generated page of indicators and requirements: it is what the data say, and its verdicts come from demos that verify."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yanshou import overview
from yanshou.demo.visits import Visit, checklist, write_sheet
from yanshou.harness.basics import ExitCode, UserError
from yanshou.harness.engine import freeze_case, run_case
from yanshou.harness.envelope import Role
from yanshou.harness.keys import load_private, new_key
from yanshou.harness.listing import load_list
from yanshou.harness.model import Verdict
from yanshou.harness.sealing import DEMO_KEY_NAME, sign_package
from yanshou.reports.render import render

PAGE = Path(__file__).resolve().parents[2] / "docs/indicators.md"
VISITS = [Visit("S07-I01-01", "某体验馆", "对外开放", "体验一次")]
CASE = f"""yanshou: 1
list: wuhan-2024
scenario: 7
mode: demo
project: {{name: 演示, lead: {{name: 演示单位}}}}
target: {{kind: simulator, site: 本机}}
commitments:
  S07-I01: {{baseline: 0 个, target: 不少于 1 个, define: {{recognition: 有固定地址}}}}
inspections:
  S07-I01:
    sheet: inputs/sheet.yaml
    items:
{checklist(VISITS)}
"""


def table_rows(text: str) -> dict[str, list[str]]:
    """Id -> cells of every table line."""
    lines = [re.split(r" \| ", line[2:-2]) for line in text.splitlines() if line.startswith("| S")]
    return {cells[0]: cells for cells in lines}


def test_the_page_is_what_the_command_writes_but_for_the_verdicts_of_demos() -> None:
    written = PAGE.read_text(encoding="utf-8")
    verdicts = {name: cells[-1] for name, cells in table_rows(written).items() if cells[-1] != overview.NONE}
    assert written == overview.markdown(load_list(), verdicts)
    assert set(verdicts.values()) <= {v.word for v in Verdict} | {overview.EXPERTS}


def test_every_line_has_method_instrument_and_standard() -> None:
    found = table_rows(overview.markdown(load_list(), {}))
    assert (sum("-I" in name for name in found), sum("-Q" in name for name in found)) == (29, 35)
    for cells in found.values():
        assert len(cells) == len(overview.HEAD)
        assert all(cells[:-1])
        link = re.fullmatch(r"\[[\w.]+\]\((probes/p-\d{3}-[\w.]+\.md)\)", cells[4])
        assert link is not None
        assert (PAGE.parent / link[1]).is_file()
        assert "允差" in cells[5]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demonstration, sealed."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "inputs").mkdir()
    (folder / "case.yaml").write_text(CASE, encoding="utf-8")
    write_sheet(folder, "sheet", "某地", VISITS)
    freeze_case(folder)
    render(run_case(folder).record, folder / "report")
    new_key(folder / "demo.key", algorithm="ed25519", name=DEMO_KEY_NAME)
    return sign_package(folder, load_private(folder / "demo.key"), Role.TESTER).path


def test_verdicts_are_those_of_the_demonstration(package: Path) -> None:
    verdicts = overview.demo_verdicts([package])
    assert verdicts == {"S07-I01": "符合", **dict.fromkeys(["S07-Q01", "S07-Q02", "S07-Q03"], "专家评议")}
    assert table_rows(overview.markdown(load_list(), verdicts))["S07-I01"][-1] == "符合"


def test_only_sealed_demonstrations_that_verify_are_believed(package: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="两个数据包"):
        overview.demo_verdicts([package, package])
    bad = tmp_path / "bad.zip"
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(bytes(data))
    with pytest.raises(UserError) as refused:
        overview.demo_verdicts([bad])
    assert refused.value.exit_code is ExitCode.UNVERIFIED
    with pytest.raises(UserError, match="不是封存的数据包"):
        overview.demo_verdicts([package.parent.parent])


def test_verdicts_of_a_real_project_are_not_published(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another mode verifies as well, and must not get onto the page."""
    found = overview.verify(package, None)
    assert found.record is not None
    found.record["mode"] = "acceptance"
    monkeypatch.setattr(overview, "verify", lambda _path, _trust: found)
    with pytest.raises(UserError, match="不是演示"):
        overview.demo_verdicts([package])
