"""S08-I02 as a project runs it: sheets, the drawn enterprises, one verdict in 级 and one in 家, and the replay."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.support import record_of, yanshou
from yanshou.probes.sme_level.reference import write_workbook

CASE = """yanshou: 1
list: wuhan-2024
scenario: 8
mode: self-check
project: {name: 转型自检, lead: {name: 某单位}}
target: {kind: production, site: 十二家企业}
commitments:
  S08-I02:
    baseline: 1 级
    target: ≥ 2 级
    define: {scope: 至少 10 家, assessment: 现场评定, level_before: 现场评定}
  S08-P01: {name: 现场评定达到二级的采用企业数, kind: counted, baseline: 0 家, target: ≥ 10 家}
measure:
  S08-I02: {probe: sme.level, params: {files: [sheets.xlsx], shared_by: 10}}
  S08-P01: {probe: sme.level, params: {files: [sheets.xlsx], level: 2, audit: {file: audit.csv, size: 12}}}
"""


def test_from_sheets_to_a_verdict(tmp_path: Path) -> None:
    planted = write_workbook(tmp_path, 12, 3)
    (tmp_path / "case.yaml").write_text(CASE, encoding="utf-8")
    frozen = yanshou("plan", tmp_path, "--freeze")
    assert frozen.returncode == 0, frozen.stderr
    assert "12 条待核验" in yanshou("sample", tmp_path).stdout
    audit = tmp_path / "audit.csv"
    head, *rows = audit.read_text(encoding="utf-8").splitlines()
    audit.write_text("\n".join([head, *(row.replace(",,", ",好,") for row in rows)]), encoding="utf-8")
    done = yanshou("run", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    level, number = record_of(tmp_path)["findings"]
    assert (level["indicator"], level["value"], level["unit"], level["verdict"]) == ("S08-I02", 2, "级", "pass")
    assert (number["indicator"], number["value"], number["lower"], number["verdict"]) == ("S08-P01", 12, 12, "pass")
    left_out = {e["code"]: e["count"] for e in number["figure"]["exclusions"] if e["count"]}
    assert left_out == planted
    assert {v["code"] for v in number["validity"]} == {"SME-V03", "SME-V09"}
    assert yanshou("verify", tmp_path).returncode == 0
