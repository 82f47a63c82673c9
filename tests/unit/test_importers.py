"""表1 in every layout that people hand in is read as it stands on the paper, or refused with place and remedy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from docx.oxml import OxmlElement
from docx.table import Table
from openpyxl import Workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.styles import Font

from tests.importing import HEADERS, ROWS, case, docx, put, repacked, shared, text, xlsx
from yanshou.harness.basics import Problem, UserError
from yanshou.harness.case import load_case
from yanshou.harness.case_edit import edited
from yanshou.harness.listing import load_list
from yanshou.importers.propose import Proposal
from yanshou.importers.writing import Offer, offer, values_of, write

GOLDEN = Path(__file__).parents[1] / "golden" / "case_s10_imported.yaml"
DAY = date(2024, 11, 26)
IDS = ["S10-I01", "S10-I02", "S10-I03", "S10-P01"]


def problems(folder: Path, path: Path) -> list[Problem]:
    with pytest.raises(UserError) as caught:
        offer(folder, path)
    assert all(p.remedy and p.file for p in caught.value.problems)
    return list(caught.value.problems)


def said(made: Offer) -> list[tuple[str, ...]]:
    return [
        (p.indicator, p.row.indicator.text, p.row.baseline.text, p.row.target.text, p.row.note.text)
        for p in made.proposals
    ]


EXPECTED = [(name, *row[2:]) for name, row in zip(IDS, ROWS, strict=True)]


@pytest.mark.parametrize("make", [docx, xlsx])
def test_merged_cells_are_read_and_the_note_below_is_named_not_read(make: Callable, tmp_path: Path) -> None:
    made = offer(case(tmp_path), make(tmp_path / f"表1.{make.__name__}"))
    assert said(made) == EXPECTED
    assert {p.row.project.text for p in made.proposals} == {"某厂5G工厂"}
    assert [str(p.limit) for p in made.proposals] == ["≥ 6 个", "≥ 120 台(套)", "≤ 2 ms", "≤ 60 min"]
    assert ["指标不对外公开" in line for line in made.table.unread] == [True]


def test_shared_strings_with_runs_of_their_own_format(tmp_path: Path) -> None:
    def change(s: object) -> None:
        s["E6"] = CellRichText("≤", TextBlock(InlineFont(b=True), "2"), " ms")
        s["E5"] = CellRichText("≥10", TextBlock(InlineFont(vertAlign="superscript"), "5"), "台")

    made = offer(case(tmp_path), shared(xlsx(tmp_path / "表1.xlsx", change=sheet(change))))
    assert [p.row.target.text for p in made.proposals] == ["不少于6个", "≥10⁵台", "≤2 ms", "不超过60分钟"]


def test_full_width_digits_stay_verbatim(tmp_path: Path) -> None:
    made = offer(case(tmp_path), docx(tmp_path / "表1.docx"))
    latency = made.proposals[2]
    assert latency.row.target.text == "Ｐ９９≤２ｍｓ"
    assert (latency.target, latency.doubt) == ("≤2ms", "")
    values = values_of(made.case, made.proposals, made.document, [], DAY)
    place = ("commitments", "S10-I03")
    assert values[*place, "note"] == "往返，空载与满载；项目建设目标原文：Ｐ９９≤２ｍｓ"
    assert values[*place, "source", "text"] == "Ｐ９９≤２ｍｓ"
    assert values[*place, "baseline"] == "８ｍｓ"


def test_wrapped_headers_in_another_order_and_a_repeated_header_row(tmp_path: Path) -> None:
    def change(table: Table) -> None:
        header = table.rows[0].cells
        header[2].text, header[4].text = "参考\n指标", "项目　建设 目标\n（2025年3月）"
        header[5].text = "对指标水平的\n基本衡量场景\n或具体含义的补充说明"
        table.rows[2]._tr.addprevious(copy.deepcopy(table.rows[0]._tr))
        for row in table.rows[:-1]:
            row.cells[3]._tc.addprevious(row.cells[4]._tc)

    made = offer(case(tmp_path), docx(tmp_path / "表1.docx", change=change))
    assert said(made) == EXPECTED
    assert [p.row.target.address for p in made.proposals][:2] == ["第2个表2行4列", "第2个表4行4列"]


def test_content_controls_around_text_cells_and_rows(tmp_path: Path) -> None:
    def wrap(node: object, *properties: str) -> None:
        control = OxmlElement("w:sdt")
        control.append(OxmlElement("w:sdtPr"))
        for name in properties:
            control[0].append(OxmlElement(name))
        content = OxmlElement("w:sdtContent")
        control.append(content)
        node.addprevious(control)
        content.append(node)

    def change(table: Table) -> None:
        wrap(table.cell(2, 4).paragraphs[0].runs[0]._r)
        wrap(table.cell(3, 4)._tc)
        wrap(table.rows[4]._tr)
        wrap(table.cell(1, 5).paragraphs[0].runs[0]._r, "w:showingPlcHdr")

    made = offer(case(tmp_path), docx(tmp_path / "表1.docx", change=change))
    assert said(made) == [(*EXPECTED[0][:4], ""), *EXPECTED[1:]]


@pytest.mark.parametrize(("tag", "inner"), [("ins", "t"), ("del", "delText"), ("moveTo", "t")])
def test_tracked_changes_are_refused_with_their_place(tag: str, inner: str, tmp_path: Path) -> None:
    def change(table: Table) -> None:
        put(
            table.cell(2, 4),
            text("不少于"),
            f'<w:{tag} w:id="1" w:author="a" w:date="2024-01-01T00:00:00Z"><w:r><w:{inner}>12</w:{inner}></w:r></w:{tag}>',
            text("台"),
        )

    (problem,) = problems(case(tmp_path), docx(tmp_path / "表1.docx", change=change))
    assert problem.code == "I-TRACKED"
    assert "1 处" in problem.text
    assert "第2个表3行" in problem.text
    assert "接受或拒绝全部修订" in problem.remedy


FLAWS = {
    "删除线": [text("≤"), text("3", "<w:strike/>"), text("2 ms")],
    "隐藏文字": [text("≤"), text("1", "<w:vanish/>"), text("2 ms")],
    "白色文字": [text("≤"), text("1", '<w:color w:val="FFFFFF"/>'), text("2 ms")],
    "脚注": [text("≤ 2 ms"), '<w:r><w:footnoteReference w:id="2"/></w:r>'],
    "符号字体": ['<w:r><w:sym w:font="Wingdings" w:char="F0A3"/></w:r>', text("2 ms")],
    "图片或文本框": ["<w:r><w:drawing/></w:r>", text("2 ms")],
    "公式": ['<m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"/>', text("2 ms")],
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_the_paper_shows_otherwise_than_the_text_is_refused_with_its_cell(flaw: str, tmp_path: Path) -> None:
    (problem,) = problems(
        case(tmp_path), docx(tmp_path / "表1.docx", change=lambda table: put(table.cell(3, 4), *FLAWS[flaw]))
    )
    assert problem.code == "I-CELL"
    assert "第2个表4行5列" in problem.text
    assert flaw in problem.text


@pytest.mark.parametrize(
    ("runs", "read", "limit"),
    [
        (['<w:r><w:sym w:font="Symbol" w:char="F0A3"/></w:r>', text("2 ms")], "≤2 ms", "≤ 2 ms"),
        ([text("≤ 2", '<w:strike w:val="0"/>'), text(" ms")], "≤ 2 ms", "≤ 2 ms"),
        ([text("≥10"), text("5", '<w:vertAlign w:val="superscript"/>'), text("条")], "≥10⁵条", "None"),
        ([text("≥10 km"), text("2", '<w:vertAlign w:val="superscript"/>')], "≥10 km²", "≥ 10 km2"),
        (["<w:r><w:t>≤</w:t><w:br/><w:t>2 ms</w:t></w:r>"], "≤\n2 ms", "≤ 2 ms"),
        ([text("≤ 2 ms"), '<w:r><w:t xml:space="preserve">，优于国标</w:t></w:r>'], "≤ 2 ms，优于国标", "None"),
    ],
)
def test_symbols_raised_digits_and_breaks_are_read_as_they_look(
    runs: list[str], read: str, limit: str, tmp_path: Path
) -> None:
    made = offer(case(tmp_path), docx(tmp_path / "表1.docx", change=lambda table: put(table.cell(3, 4), *runs)))
    assert (made.proposals[2].row.target.text, str(made.proposals[2].limit)) == (read, limit)
    assert bool(made.proposals[2].doubt) == (limit == "None")


def sheet(change: Callable) -> Callable[[Workbook], object]:
    return lambda book: change(book["重点指标"])


def struck(s: object) -> None:
    s["E6"] = CellRichText("≤", TextBlock(InlineFont(strike=True), "3"), "2 ms")


XLSX_FLAWS: dict[str, Callable] = {
    "删除线": struck,
    "白色文字": lambda s: setattr(s["E6"], "font", Font(color="FFFFFFFF")),
    "行或列被隐藏": lambda s: setattr(s.row_dimensions[6], "hidden", True),
    "当成了日期": lambda s: s.__setitem__("E6", date(2024, 2, 3)),
    "公式没有算出的值": lambda s: s.__setitem__("E6", '="≤ 2 ms"'),
    "数字格式": lambda s: (s.__setitem__("E6", 2), setattr(s["E6"], "number_format", '"≤"0" ms"')),
    "显示为 99%": lambda s: (s.__setitem__("E6", 0.994), setattr(s["E6"], "number_format", "0%")),
}


@pytest.mark.parametrize("flaw", XLSX_FLAWS)
def test_a_sheet_that_shows_something_else_than_it_stores_is_refused(flaw: str, tmp_path: Path) -> None:
    (problem,) = problems(case(tmp_path), xlsx(tmp_path / "表1.xlsx", change=sheet(XLSX_FLAWS[flaw])))
    assert problem.code == "I-CELL"
    assert ("重点指标!C6" if "隐藏" in flaw else "重点指标!E6") in problem.text
    assert flaw in problem.text


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (120, "General", "120"),
        (0.1 + 0.2, "General", "0.3"),
        (0.99, "0%", "99%"),
        (12000, "#,##0", "12,000"),
        (2.5, "0.00", "2.50"),
        (CellRichText("≥10", TextBlock(InlineFont(vertAlign="superscript"), "5"), "条"), "General", "≥10⁵条"),
    ],
)
def test_numbers_are_read_as_they_are_displayed(value: object, number_format: str, shown: str, tmp_path: Path) -> None:
    def change(s: object) -> None:
        s["E6"] = value
        s["E6"].number_format = number_format

    made = offer(case(tmp_path), xlsx(tmp_path / "表1.xlsx", change=sheet(change)))
    assert made.proposals[2].row.target.text == shown


def test_a_hidden_sheet_is_not_the_form(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "表1.xlsx", change=lambda book: setattr(book["重点指标"], "sheet_state", "hidden"))
    assert [p.code for p in problems(case(tmp_path), path)] == ["I-TABLE"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_csv_with_a_line_break_in_a_cell(encoding: str, delimiter: str, tmp_path: Path) -> None:
    rows = [HEADERS, *ROWS[:1], (*ROWS[1][:5], "同一时刻\n在线"), *ROWS[2:]]
    lines = "\r\n".join(delimiter.join(f'"{value}"' for value in row) for row in rows)
    path = tmp_path / "表1.csv"
    path.write_bytes(lines.encode(encoding))
    made = offer(case(tmp_path), path)
    assert said(made) == [EXPECTED[0], (*EXPECTED[1][:4], "同一时刻\n在线"), *EXPECTED[2:]]
    assert made.proposals[1].row.target.address == "3行5列"


@pytest.mark.parametrize("deceiving", ["≤ 2\x1b[1D1 ms", "≤ \u202e01\u202c ms"])
def test_a_text_that_a_terminal_would_show_as_another_is_refused(deceiving: str, tmp_path: Path) -> None:
    path = tmp_path / "表1.csv"
    path.write_text("\n".join(",".join(row) for row in [HEADERS, (*ROWS[2][:4], deceiving, "")]), encoding="utf-8")
    (problem,) = problems(case(tmp_path), path)
    assert (problem.code, "2行5列" in problem.text, "控制字符" in problem.text) == ("I-CELL", True, True)
    assert not set(problem.text) & {"\x1b", "\u202e"}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda t: setattr(t.cell(0, 3), "text", "现状"), "I-HEADER", "本单位当前水平"),
        (lambda t: setattr(t.cell(0, 4), "text", "目标"), "I-TABLE", "找不到表1"),
        (lambda t: setattr(t.cell(3, 2), "text", ""), "I-CELL", "没有写参考指标"),
    ],
)
def test_a_table_that_is_not_the_form_says_what_is_missing(
    change: Callable, code: str, words: str, tmp_path: Path
) -> None:
    (problem,) = problems(case(tmp_path), docx(tmp_path / "表1.docx", change=change))
    assert (problem.code, words in problem.text) == (code, True)


def test_a_target_in_two_cells_is_refused(tmp_path: Path) -> None:
    def change(table: Table) -> None:
        for row in table.rows:
            new = copy.deepcopy(row.cells[4]._tc)
            row.cells[4]._tc.addnext(new)
        table.rows[2].cells[5].text = "不少于300台"

    found = problems(case(tmp_path), docx(tmp_path / "表1.docx", change=change))
    assert [(p.code, "2 个单元格" in p.text) for p in found] == [("I-CELL", True)] * len(found)


# --- which indicator -----------------------------------------------------------------------------------------------------


def proposed(tmp_path: Path, scenario: int, *rows: tuple[str, str]) -> list[Proposal]:
    full = [("", "", indicator, "无", target, "") for indicator, target in rows]
    return list(offer(case(tmp_path, scenario), docx(tmp_path / "表1.docx", full)).proposals)


NEAREST = {
    1: [
        ("车端大模型参数规模", "7B参数以上", "S01-I01"),
        ("推理时延", "≤100ms", "S01-I02"),
        ("上市新能源车型", "不少于5款", "S01-I03"),
    ],
    4: [
        ("大模型参数量", "不小于7B", "S04-I01"),
        ("服务患者数量", "不少于50万人次", "S04-I03"),
        ("在武汉合作医疗机构", "至少一家", "S04-I02"),
    ],
    5: [
        ("上链数据", "10万条以上", "S05-I03"),
        ("节点数", "≥10个", "S05-I01"),
        ("服务主体", "200家", "S05-I02"),
        ("国密算法", "支持", "S05-I04"),
    ],
    6: [
        ("动态定位精度（垂直）", "≤4CM", "S06-I02"),
        ("动态定位精度（水平）", "≤2CM", "S06-I01"),
        ("示范区", "10平方公里", "S06-I07"),
    ],
    9: [
        ("新增设备连接", "300台套以上", "S09-I02"),
        ("工业APP", "新增2个以上", "S09-I03"),
        ("经济效益", "降低成本10%以上", "S09-Q02"),
    ],
    10: [
        ("S10-I03 网络性能", "≤2ms", "S10-I03"),
        ("时延抖动", "≤1ms", "S10-P01"),
        ("单线合格品日产量", "≥1.2万件", "S10-P02"),
    ],
}


@pytest.mark.parametrize("scenario", NEAREST)
def test_the_nearest_indicator_is_proposed_with_its_reason(scenario: int, tmp_path: Path) -> None:
    rows = NEAREST[scenario]
    found = proposed(tmp_path, scenario, *((name, target) for name, target, _ in rows))
    assert [p.indicator for p in found] == [expected for *_, expected in rows], [p.reason for p in found]
    assert all(p.reason for p in found)


def test_the_comparator_of_the_list_is_taken_where_the_cell_has_none(tmp_path: Path) -> None:
    (found,) = proposed(tmp_path, 4, ("服务患者人次", "50 万人次"))
    assert (str(found.limit), found.target) == ("≥ 500000 人次", "50 万人次")


@pytest.mark.parametrize("target", ["约2ms", "95%以上的请求≤100ms", "不少于100台，力争200台", "明显提升"])
def test_what_reads_in_two_ways_is_left_to_a_person(target: str, tmp_path: Path) -> None:
    (found,) = proposed(tmp_path, 10, ("传输时延", target))
    assert (found.limit, found.target) == (None, target)
    assert "→" in found.doubt


# --- what is written -----------------------------------------------------------------------------------------------------


def test_the_case_that_an_import_leaves(tmp_path: Path) -> None:
    folder, path = case(tmp_path / "案卷"), docx(tmp_path / "表1.docx")
    made = offer(folder, path)
    values = values_of(made.case, made.proposals, made.document, ["张三"], DAY)
    write(made.case, values, [made.document])
    written = (folder / "case.yaml").read_text(encoding="utf-8")
    assert re.sub(r"[0-9a-f]{64}", "0" * 64, written) == GOLDEN.read_text(encoding="utf-8")
    assert (folder / "inputs/表1.docx").read_bytes() == path.read_bytes()


def test_importing_again_changes_nothing_and_remembers_who_confirmed(tmp_path: Path) -> None:
    folder, path = case(tmp_path), docx(tmp_path / "表1.docx")
    for people, confirmed in (([], False), (["张三"], True), (["李四"], True)):
        made = offer(folder, path)
        write(made.case, values_of(made.case, made.proposals, made.document, people, DAY), [made.document])
        text = (folder / "case.yaml").read_text(encoding="utf-8")
        assert ("张三" in text, "李四" in text) == (confirmed, False)
        assert made.document.name == "表1.docx"
    assert offer(folder, path).settled == set(IDS)
    assert not (folder / "inputs").exists()


def test_what_a_person_wrote_stops_the_import_and_nothing_is_written(tmp_path: Path) -> None:
    folder, path = case(tmp_path / "c"), docx(tmp_path / "表1.docx")
    text = (folder / "case.yaml").read_text(encoding="utf-8")
    text = text.replace('target: "<项目建设目标，不弱于 ≤ 2 ms>"', "target: ≤ 1 ms  # 合同")
    (folder / "case.yaml").write_text(text, encoding="utf-8")
    made = offer(folder, path)
    with pytest.raises(UserError) as caught:
        write(made.case, values_of(made.case, made.proposals, made.document, ["张三"], DAY), [made.document])
    (problem,) = caught.value.problems
    assert (problem.code, "“≤ 1 ms”" in problem.text, "“≤2ms”" in problem.text) == ("I-DIFFERS", True, True)
    assert problem.line == next(n for n, line in enumerate(text.splitlines(), 1) if "# 合同" in line)
    assert (folder / "case.yaml").read_text(encoding="utf-8") == text
    assert not (folder / "inputs").exists()


def test_another_document_of_the_same_name_is_not_overwritten(tmp_path: Path) -> None:
    folder = case(tmp_path / "c")
    (folder / "inputs").mkdir()
    (folder / "inputs/表1.docx").write_bytes(b"other")
    assert [p.code for p in problems(folder, docx(tmp_path / "表1.docx"))] == ["I-EXISTS"]


def test_a_case_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    folder = case(tmp_path)
    made = offer(folder, docx(tmp_path / "表1.docx"))
    (folder / "case.yaml").write_text("# 别人正在写\n", encoding="utf-8")
    with pytest.raises(UserError, match="I-CHANGED"):
        write(made.case, values_of(made.case, made.proposals, made.document, [], DAY), [made.document])
    assert (folder / "case.yaml").read_text(encoding="utf-8") == "# 别人正在写\n"


def test_two_rows_of_one_indicator_are_refused(tmp_path: Path) -> None:
    made = offer(case(tmp_path), docx(tmp_path / "表1.docx"))
    with pytest.raises(UserError, match="I-TWICE"):
        values_of(made.case, [made.proposals[0], made.proposals[0]], made.document, [], DAY)


def test_a_strict_document_and_an_odd_name_are_read_by_content(tmp_path: Path) -> None:
    path = docx(tmp_path / "表1.wps")
    repacked(
        path,
        "word/document.xml",
        lambda data: data.replace(
            b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
            b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        ),
    )
    made = offer(case(tmp_path / "c"), path)
    assert (said(made), made.document.name) == (EXPECTED, "inputs/表1.wps.docx")


def test_the_golden_case_still_loads() -> None:
    document = load_case(GOLDEN).document
    assert set(IDS) <= set(document.commitments)
    assert load_list().scenario(document.scenario)
    assert edited(load_case(GOLDEN), {}) == GOLDEN.read_text(encoding="utf-8")
