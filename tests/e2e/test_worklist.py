"""Worklists of what was drawn: written, filled in as spreadsheet programs do, read back, and what must be refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.browser import chromium
from tests.e2e import test_scale_arms
from tests.e2e.support import device_export, export_counting, finding, yanshou
from yanshou.harness.basics import UserError
from yanshou.harness.engine import Drawn, freeze_case, lay_out_samples
from yanshou.worklist import HEAD_ROWS, Worklist, take_back, worklists, write_html, write_xlsx

DRAWN = 33
OFFICE = shutil.which("soffice")
NASTY = [
    "=1+1",
    "00123456789012345678",
    "1.23E+15",
    "@SUM(A1)",
    "甲\u200b乙",
    "2025-01-02",
    "TRUE",
    '"引,号"',
    "-5",
    "<b>x</b>",
]


def counted_case(folder: Path, export: str | None = None, sample: int = DRAWN) -> Path:
    """A frozen case that counts an export of devices, of which a sample is re-verified."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs/devices.csv").write_text(export or device_export(), encoding="utf-8")
    params = export_counting(sample)
    if export:
        params = "    probe: records\n    params: {file: inputs/devices.csv, key: [编号], unit: 台(套), "
        params += f"audit: {{file: inputs/audit.csv, size: {sample}}}}}\n"
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 10
mode: self-check
project: {{name: 连接核验, lead: {{name: 某单位}}}}
target: {{kind: production, site: 一号厂房}}
commitments:
  S10-I02: {{baseline: "0", target: 不少于100台, define: {{simultaneity: 同时在线, attachment: 直连}}}}
measure:
  S10-I02:
{params}""",
        encoding="utf-8",
    )
    freeze_case(folder)
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen case with its worklists beside it."""
    case = counted_case(tmp_path_factory.mktemp("worklist") / "case")
    made = yanshou("sample", case, "--xlsx", case / "名单.xlsx", "--html", case / "名单.html")
    assert made.returncode == 0, made.stdout + made.stderr
    return case


@pytest.fixture
def case(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "case")


def fill(
    path: Path, result: Callable[[int], str] = lambda _: "属实", change: Callable[[Any], None] = lambda _: None
) -> Path:
    """Fill a list in as people do: a result for each row, a note on the second, a photo's number on the first."""
    book = load_workbook(path)
    sheet = book.worksheets[0]
    headings = [c.value for c in sheet[HEAD_ROWS]]
    at = {name: headings.index(name) + 1 for name in ("结果", "备注", "证据")}
    for row in range(HEAD_ROWS + 1, sheet.max_row + 1):
        sheet.cell(row, at["结果"]).value = result(row - HEAD_ROWS) or None
    sheet.cell(HEAD_ROWS + 2, at["备注"]).value = "在二层"
    sheet.cell(HEAD_ROWS + 1, at["证据"]).value = "IMG_0001"
    change(sheet)
    book.save(path)
    return path


def listed(case: Path, path: Path) -> Path:
    """A workbook of everything that the case draws."""
    write_xlsx(worklists(case, [s.drawn for s in lay_out_samples(case)[0]]), path)
    return path


def audit(case: Path) -> list[dict[str, str]]:
    with (case / "inputs/audit.csv").open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_a_list_comes_back_and_is_judged(case: Path) -> None:
    listed = audit(case)
    words = {5: "不属实", 9: "找不到"}
    fill(case / "名单.xlsx", lambda n: words.get(n, "属实"))
    back = yanshou("sample", case, "--from", case / "名单.xlsx")
    assert (back.returncode, f"已有结果 {DRAWN} 条" in back.stdout) == (0, True), back.stderr
    rows = audit(case)
    assert [r["设备序列号"] for r in rows] == [r["设备序列号"] for r in listed]
    assert [n for n, r in enumerate(rows, 1) if r["result"] == "坏"] == [5, 9]
    assert [rows[n]["note"] for n in (0, 1, 2, 8)] == ["证据：IMG_0001", "在二层", "", "找不到"]
    again = yanshou("sample", case, "--from", case / "名单.xlsx", "--json")
    assert json.loads(again.stdout)[0]["answered"] == DRAWN
    ran = yanshou("run", case)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    found = finding(case, "S10-I02")
    assert (found["n"], found["value"], found["lower"]) == (DRAWN, pytest.approx(118 * 31 / 33), 99)
    assert {v["code"] for v in found["validity"]} & {"REC-V04", "REC-V05"} == set()


def test_half_today_and_half_tomorrow_but_nothing_twice(case: Path) -> None:
    (half,) = take_back(case, fill(case / "名单.xlsx", lambda n: "属实" if n <= 10 else ""))
    assert (half.answered, half.rows, sum(bool(r["result"]) for r in audit(case))) == (10, DRAWN, 10)
    before = (case / "inputs/audit.csv").read_bytes()
    with pytest.raises(UserError, match=r"audit\.csv:4: L-FORM"):
        take_back(case, fill(case / "名单.xlsx", lambda n: "不属实" if n == 3 else "属实"))
    assert (case / "inputs/audit.csv").read_bytes() == before
    take_back(case, fill(case / "名单.xlsx"))
    assert all(r["result"] == "好" for r in audit(case))


def swap(sheet: Any) -> None:
    one, two = sheet.cell(HEAD_ROWS + 1, 2), sheet.cell(HEAD_ROWS + 2, 2)
    one.value, two.value = two.value, one.value


def moved(sheet: Any) -> None:
    sheet.move_range(f"A{HEAD_ROWS + 1}:E{HEAD_ROWS + 1}", rows=DRAWN)


def put(row: int, column: int, value: object) -> Callable[[Any], None]:
    def change(sheet: Any) -> None:
        sheet.cell(row, column).value = value

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(HEAD_ROWS + 4, 2, "WH5G-OTHER"), "L-CELL"),
        (swap, "L-CELL"),
        (moved, "L-CELL"),
        (lambda sheet: sheet.delete_rows(HEAD_ROWS + 3), "L-CELL"),
        (lambda sheet: sheet.insert_cols(2), "L-CELL"),
        (put(HEAD_ROWS + DRAWN + 1, 2, "WH5G000000"), "L-CELL"),
        (put(HEAD_ROWS + 1, 3, "大概属实"), "L-CELL"),
        (put(HEAD_ROWS + 1, 3, "=1+1"), "L-CELL"),
        (put(4, 1, "名单摘要 " + "0" * 64), "L-SEAL"),
        (put(4, 1, "没有摘要"), "L-NONE"),
    ],
)
def test_what_was_drawn_cannot_be_changed(case: Path, change: Callable[[Any], None], code: str) -> None:
    before = (case / "inputs/audit.csv").read_bytes()
    with pytest.raises(UserError) as refused:
        take_back(case, fill(case / "名单.xlsx", change=change))
    assert code in {p.code for p in refused.value.problems}
    assert all(p.file == case / "名单.xlsx" and p.remedy for p in refused.value.problems)
    assert (case / "inputs/audit.csv").read_bytes() == before


def test_a_list_of_other_data_is_foreign(case: Path) -> None:
    fill(case / "名单.xlsx")
    (case / "inputs/devices.csv").write_text(device_export(11), encoding="utf-8")
    with pytest.raises(UserError, match="L-SEAL"):
        take_back(case, case / "名单.xlsx")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no workbook", b"a,b\n1,2\n"])
def test_what_is_no_workbook_is_refused(case: Path, data: bytes) -> None:
    (case / "x.xlsx").write_bytes(data)
    with pytest.raises(UserError) as refused:
        take_back(case, case / "x.xlsx")
    assert [p.code for p in refused.value.problems] in (["I-FILE"], ["I-FORM"])


@pytest.mark.skipif(OFFICE is None, reason="no LibreOffice")
def test_keys_survive_a_spreadsheet_program(tmp_path: Path) -> None:
    """Keys that spreadsheets like to change, opened and saved by LibreOffice, come back letter by letter."""
    rows = "\n".join('"' + key.replace('"', '""') + '"' for key in NASTY)
    case = counted_case(tmp_path / "case", f"编号\n{rows}\n", len(NASTY))
    path = fill(listed(case, tmp_path / "名单.xlsx"))
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = [
        str(OFFICE),
        profile,
        "--headless",
        "--convert-to",
        "xlsx:Calc MS Excel 2007 XML",
        "--outdir",
        str(tmp_path / "saved"),
    ]
    subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=240)
    saved = tmp_path / "saved/名单.xlsx"
    assert saved.read_bytes() != path.read_bytes()
    take_back(case, saved)
    assert sorted(r["编号"] for r in audit(case)) == sorted(NASTY)
    assert {r["result"] for r in audit(case)} == {"好"}


def test_what_an_instrument_asks_beside_the_result_comes_back_too(tmp_path: Path) -> None:
    """Points of an area: the terminal's position is typed in as numbers."""
    case = test_scale_arms.case(tmp_path, 1.07e7)
    freeze_case(case)
    listed(case, tmp_path / "l.xlsx")
    book = load_workbook(tmp_path / "l.xlsx")
    (sheet,) = book.worksheets
    assert [c.value for c in sheet[HEAD_ROWS]] == [
        "序号",
        "点",
        "经度",
        "纬度",
        "结果",
        "终端经度",
        "终端纬度",
        "备注",
        "证据",
    ]
    for row in range(HEAD_ROWS + 1, sheet.max_row + 1):
        sheet.cell(row, 5).value = "属实"
        sheet.cell(row, 6).value = float(sheet.cell(row, 3).value) + 3e-5
        sheet.cell(row, 7).value = float(sheet.cell(row, 4).value)
    book.save(tmp_path / "l.xlsx")
    take_back(case, tmp_path / "l.xlsx")
    with (case / "visits.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 59
    for row in rows:
        assert float(row["seen_longitude"]) == pytest.approx(float(row["longitude"]) + 3e-5, abs=1e-9)
        assert (float(row["seen_latitude"]), row["result"]) == (float(row["latitude"]), "好")


def test_the_page_prints_on_paper(case: Path, tmp_path: Path) -> None:
    """Chromium prints it: every row, the head on each page, a place to sign; nothing is loaded."""
    with chromium() as browser:
        page, asked = browser.new_page(), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((case / "名单.html").as_uri())
        page.pdf(path=tmp_path / "list.pdf", prefer_css_page_size=True)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator("td code").first.bounding_box()["height"] < 40, "a number on one line"
    assert len(asked) == 1
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "list.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.split("\f")[:-1]
    assert len(pages) > 1
    assert all("设备序列号" in p for p in pages if "WH5G" in p)
    assert {r["设备序列号"] for r in audit(case)} <= set(text.split())
    assert text.count("□ 属实") == text.count("□ 找不到") == DRAWN
    assert "核验人" in pages[-1]
    assert f"{len(pages)}/{len(pages)}" in pages[-1].replace(" ", "")


def test_what_is_only_to_be_handed_over_asks_for_no_result(case: Path, tmp_path: Path) -> None:
    """Originals on a chain: the list says which, and there is nothing to read back."""
    (form, *_), _ = lay_out_samples(case)
    wanted = "transaction,item\n0xab,1\n0xcd,2\n"
    originals = Worklist(Drawn(form.drawn.indicator, "原件", "调取原件", "originals-0002.csv", wanted, ""), "0" * 64)
    assert originals.headings == ["序号", "transaction", "item"]
    write_xlsx([originals], tmp_path / "l.xlsx")
    write_html([originals], tmp_path / "l.html")
    assert "属实" not in (tmp_path / "l.html").read_text(encoding="utf-8")
    assert [c.value for c in load_workbook(tmp_path / "l.xlsx").worksheets[0][HEAD_ROWS + 2]] == ["2", "0xcd", "2"]


def test_a_list_that_people_have_filled_in_is_not_written_over(case: Path) -> None:
    before = (case / "名单.xlsx").read_bytes()
    for option in ("--xlsx", "--html"):
        refused = yanshou("sample", case, option, case / "名单.xlsx")
        assert (refused.returncode, "E-EXISTS" in refused.stderr) == (2, True), refused.stderr
    assert (case / "名单.xlsx").read_bytes() == before


def test_there_is_nothing_to_list_where_nothing_is_drawn(tmp_path: Path) -> None:
    from tests.inspecting import frozen_case

    refused = yanshou("sample", frozen_case(tmp_path / "case"), "--xlsx", tmp_path / "l.xlsx")
    assert (refused.returncode, "L-NONE" in refused.stderr) == (2, True), refused.stderr
    assert not (tmp_path / "l.xlsx").exists()
