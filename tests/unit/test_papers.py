"""The papers of an acceptance: complete, the same bytes twice, on a lab's letterhead, and with no secret in the public one."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docx
import jsonschema
import openpyxl
import pytest
from docx.oxml.ns import qn
from docx.shared import Cm, Pt
from ruamel.yaml import YAML

from tests.handing import leaves
from yanshou.demo.visits import Visit, checklist, write_sheet
from yanshou.harness.assess import assess, load_state
from yanshou.harness.basics import UserError
from yanshou.harness.engine import freeze_case, run_case
from yanshou.harness.model import Verdict
from yanshou.harness.paperwork import write_documents
from yanshou.reports.blocks import Code, Plots, Table
from yanshou.reports.document import build
from yanshou.reports.docx import render_docx
from yanshou.reports.machine import FORMAT, results
from yanshou.reports.papers.comparison import COLUMNS
from yanshou.reports.papers.drawn import papers
from yanshou.reports.papers.full import full_report
from yanshou.reports.papers.model import dossier

SCHEMA = Path(__file__).resolve().parents[2] / "yanshou/reports/results.schema.json"
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VISITS = [
    Visit(f"S10-I01-{n:02d}", f"绝密产线{n}", "业务在 5G 承载下真实运行", f"秘方{n}号在运行") for n in range(1, 7)
]
CASE = f"""yanshou: 1
list: wuhan-2024
scenario: 10
mode: self-check
report: {{number: ZXJC-8731}}
project:
  name: "=1+1 灯塔七号项目"
  lead: {{name: 武汉甲乙电子有限公司, uscc: "91420100MA4K00001U"}}
  partners: [{{name: 武汉丙丁通信有限公司, uscc: "91420100MA4K00002Y"}}]
  published: 2024-11-01
  deadline: 2025-03-31
evaluator: {{name: 某某检测研究院, address: 珞瑜路 9527 号, people: [{{name: 欧阳检, role: tester}}]}}
client: {{name: 某某委托局, contact: 某某大道 8642 号}}
target: {{kind: lab, site: 光谷九龙路 777 号, version: MES 7.10.3, condition: 白班满负荷}}
commitments:
  S10-I01: {{baseline: 2 个, target: 不少于 6 个, define: {{scenes: 秘方一至六号}}, note: 另有两个在建}}
  S10-P01: {{name: 夜班良品数, kind: counted, baseline: 31 件, target: 不少于 37 件, note: 对标友商}}
measure:
  S10-P01:
    probe: records
    params: {{file: inputs/night.csv, key: [件号], unit: 件}}
    rule: {{attempts: 3}}
inspections:
  S10-I01:
    sheet: inputs/sheet.yaml
    items:
{checklist(VISITS)}
"""
NIGHT = "件号\n" + "".join(f"LH{n:05d}\n" for n in range(43)) + "LH00001\n"
BEFORE = {"测试方案.docx", "环境核查表.docx"}
AFTER = BEFORE | {
    "原始记录表.docx", "偏离与异常单.docx", "偏离与异常单.xlsx", "指标完成情况对照表.docx", "指标完成情况对照表.xlsx",
    "专家验收意见.docx", "公开版摘要.docx", "检测报告.docx",
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A case folder with its record and the papers made from it."""

    folder: Path
    record: dict[str, Any]
    papers: Path


def words(path: Path) -> str:
    """All text that the body and the headers of a document show."""
    document = docx.Document(str(path))
    parts = [document.element.body, *(s.header._element for s in document.sections)]
    return "\n".join("".join(t.text or "" for t in p.iter(qn("w:t"))) for part in parts for p in part.iter(qn("w:p")))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A self-check in which the second indicator's first run was aborted, since its export was not there yet."""
    folder = tmp_path_factory.mktemp("case")
    (folder / "inputs").mkdir()
    (folder / "case.yaml").write_text(CASE, encoding="utf-8")
    write_sheet(folder, "sheet", "三号厂房", VISITS)
    freeze_case(folder)
    run_case(folder)
    (folder / "inputs/night.csv").write_text(NIGHT, encoding="utf-8")
    run_case(folder)
    files = write_documents(folder)
    assert {f.name for f in files} == AFTER
    return Made(folder, json.loads(json.dumps(assess(load_state(folder)))), folder / "documents")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A formal case that was frozen and in which nothing was measured yet."""
    folder = tmp_path_factory.mktemp("planned")
    text = (GOLDEN / "case_s10.yaml").read_text(encoding="utf-8").replace("mode: self-check", "mode: acceptance")
    parties = """report: {number: WHJC-2026-014}
evaluator: {name: 某某检测研究院, address: 某路 2 号, people: [{name: 欧阳检, role: tester}]}
client: {name: 某某委托局, contact: 某路 3 号}
"""
    (folder / "case.yaml").write_text(text + parties, encoding="utf-8")
    freeze_case(folder)
    return folder


def test_before_anything_is_measured_there_is_a_scheme_to_sign(planned: Path) -> None:
    assert {p.name for p in write_documents(planned)} == BEFORE
    plan = load_state(planned).plan
    text = words(planned / "documents/测试方案.docx")
    for indicator in plan.indicators:
        assert indicator.id in text
        assert str(indicator.seed) in text
        assert indicator.instrument is not None
        assert all(item in text for item in indicator.instrument.equipment)
        assert all(d.answer in text for d in indicator.definition)
    for party in ("委托方", "某某委托局", "被测方", "武汉某某电子有限公司", "评测机构", "某某检测研究院", "欧阳检"):
        assert party in text
    assert text.count("（盖章处）") == 3
    assert plan.sha256 in text
    assert not re.search("实测值|自检|演示", text)
    assert not re.search("[✓△◇]", text)  # no verdict
    site = words(planned / "documents/环境核查表.docx")
    assert "5G 专网 R16" in site
    assert site.count("□ 符合") > 8
    assert not re.search(r"[☑√✓■]", site)  # the tool ticks nothing


def test_no_paper_carries_a_mark_of_accreditation(made: Made) -> None:
    for path in made.papers.glob("*.docx"):
        assert not re.search("CMA|CNAS|资质认定标志", words(path)), path
        with zipfile.ZipFile(path) as archive:
            images = [n for n in archive.namelist() if "/media/" in n]
        assert bool(images) == (path.stem == "检测报告")  # plots only


def test_the_same_case_gives_the_same_bytes(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Lima")
    again = write_documents(made.folder, output=tmp_path)
    assert {p.name: p.read_bytes() for p in again} == {p.name: p.read_bytes() for p in made.papers.iterdir()}
    with zipfile.ZipFile(tmp_path / "偏离与异常单.xlsx") as archive:
        ended = made.record["ledger"]["ended"][:19] + "Z"
        assert archive.read("docProps/core.xml").decode().count(ended) == 2
        assert {e.date_time[:3] for e in archive.infolist()} == {tuple(map(int, ended[:10].split("-")))}


BETWEEN = r"[\s，。、：（）]+"
"""What parts the words of a case here: a unit such as 台(套) stays whole."""


def secrets(made: Made) -> Iterator[str]:
    """Every text that people wrote into the case or found on site, and every number of the record as it may be printed."""
    case = YAML(typ="safe", pure=True).load(CASE)
    for key in ("report", "project", "evaluator", "client", "target", "commitments", "inspections"):
        yield from leaves(case[key], BETWEEN)
    for finding in made.record["findings"]:
        yield from leaves(
            {k: finding[k] for k in ("value", "lower", "upper", "margin", "n", "limit", "readings", "figure")}, BETWEEN
        )
    yield from leaves(made.record["runs"], BETWEEN)


PUBLIC_WORDS = {
    "inspected", "counted", "records", "inspection", "lab", "restricted", "count", "checklist", "completed", "measurement",
    "calibration", "S10-I01", "S10-P01", "操作", "是", "≥", ">=", "个", "件",
}  # fmt: skip
"""What a text of the case has in common with any file of this kind: codes and units."""


def test_the_public_summary_holds_verdicts_and_no_secret(made: Made) -> None:
    with zipfile.ZipFile(made.papers / "公开版摘要.docx") as archive:
        parts = {n: archive.read(n).decode() for n in archive.namelist() if n.endswith((".xml", ".rels"))}
    shown = words(made.papers / "公开版摘要.docx")
    digests = re.findall(r"[0-9a-f]{64}", shown)
    assert len(digests) == 1
    told = {s for s in secrets(made) if s not in PUBLIC_WORDS}
    assert {"43", "44", "37", "珞瑜路", "9527", "武汉甲乙电子有限公司", "夜班良品数", "秘方一至六号", "LH"} - told <= {
        "LH"
    }
    numbers = {s for s in told if re.fullmatch(r"[\d.e+-]+", s)}
    spoken = re.sub(r"S10-[IQ]\d\d|2024年|5G|SHA-256|record\.json|[0-9a-f]{64}", "", shown)  # words of the public list
    assert not re.search(r"\d", re.sub(r"（1）", "", spoken))  # no number at all but that of the unnamed indicator
    properties = re.sub(r"<[^>]*>", " ", parts["docProps/core.xml"] + parts["docProps/app.xml"])
    for secret in told - numbers:
        assert secret not in shown, secret
        assert secret not in properties, secret
        if len(secret) > 5 or not secret.isascii():  # "vm" is part of many a word of the file's own form
            assert not any(secret in text for text in parts.values()), secret
    for finding in made.record["findings"]:
        assert Verdict(finding["verdict"]).word in shown
    assert "典型应用场景数" in shown
    assert "自检，不作验收依据" in shown
    # and the test can fail: the restricted comparison does hold them
    restricted = words(made.papers / "指标完成情况对照表.docx")
    assert {"灯塔七号项目", "夜班良品数", "秘方一至六号"} <= {s for s in told if s in restricted}


def test_the_public_summary_is_tied_to_the_record_by_its_digest(made: Made) -> None:
    from yanshou.harness.assess import record_bytes
    from yanshou.harness.evidence import sha256_bytes

    assert sha256_bytes(record_bytes(made.record)) in words(made.papers / "公开版摘要.docx")


def test_every_run_has_a_raw_record(made: Made) -> None:
    text = words(made.papers / "原始记录表.docx")
    runs = load_state(made.folder).runs
    assert len(runs) == 5  # two calibrations, one inspection, one aborted and one completed count
    for run in runs:
        assert f"R{run.number:04d}" in text
        assert run.folder_name in text
        assert all(stream["sha256"] in text for stream in run.streams.values())
    assert "中止" in text
    assert "人工补充记录" in text
    assert text.count("检测人（签字）") == len(runs)


def rows_of(path: Path, title: str) -> list[list[str]]:
    """The table below the caption `title`, its lines joined."""
    document = docx.Document(str(path))
    caption = next(p for p in document.paragraphs if p.text == title)
    table = next(t for t in document.tables if t._tbl is caption._p.getnext())
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_what_went_wrong_is_listed_with_severity_place_and_how_to_see_it_again(made: Made) -> None:
    head, *rows = rows_of(made.papers / "偏离与异常单.docx", "偏离与异常")
    entries = [dict(zip(head, row, strict=True)) for row in rows if row[0].strip()]
    aborted = next(e for e in entries if "运行中止" in e["现象"])
    (run,) = [r for r in made.record["runs"] if r["status"] == "aborted"]
    assert f"R{run['number']:04d}" in aborted["位置"]
    assert aborted["程度"] == "一般"
    seed = load_state(made.folder).plan.indicator("S10-P01").seed
    assert str(seed) in aborted["复现"]
    assert any(e["类别"] == "偏离" and e["位置"] == "S10-I03" for e in entries)  # of the list, and not in the plan
    assert [row for row in rows if not "".join(row).strip()]  # room for people's own


def test_the_comparison_has_the_columns_of_the_application_form(made: Made) -> None:
    head, *rows = rows_of(made.papers / "指标完成情况对照表.docx", "指标完成情况")
    assert head == list(COLUMNS)
    assert head[:6] == ["申报场景", "申报项目名称", "参考指标", "本单位当前水平", "项目建设目标", "补充说明"]
    told = {row[2].split("\n")[-1].split("　")[0]: row for row in rows}
    listed = {f["indicator"] for f in made.record["findings"]} | {"S10-I02", "S10-I03", "S10-Q01", "S10-Q02", "S10-Q03"}
    assert set(told) == listed
    assert told["S10-P01"][3:5] == ["31 件", "不少于 37 件"]
    assert told["S10-P01"][6].startswith("43\u00a0件")
    counted = [f"R{r['number']:04d}" for r in made.record["runs"] if r["indicator"] == "S10-P01"]
    assert told["S10-P01"][8] == "、".join(counted)
    assert told["S10-I03"][7] == "未纳入计划"
    assert told["S10-Q01"][7] == "专家评议"
    book = openpyxl.load_workbook(made.papers / "指标完成情况对照表.xlsx")
    sheet = book.worksheets[0]
    assert [c.value for c in sheet[2]] == head
    assert [sheet.cell(3 + n, 9).value for n in range(len(rows))] == [row[8] for row in rows]
    project = sheet.cell(3, 2)
    assert (project.value, project.data_type) == ("=1+1 灯塔七号项目", "s")
    assert sheet.print_title_rows == "$2:$2"
    assert len(sheet.merged_cells.ranges) == 2


def test_experts_get_blanks_and_what_they_must_decide(made: Made) -> None:
    path = made.papers / "专家验收意见.docx"
    text = words(path)
    for said in ("□ 通过", "□ 不通过", "□ 整改后复验", "对产业链上下游引领示范", "专家组组长（签字）"):
        assert said in text
    experts = rows_of(path, "专家组成员（序号 1 为组长）")
    assert [row[0] for row in experts[1:]] == [str(n) for n in range(1, 8)]
    assert not "".join("".join(row[1:]) for row in experts[1:]).strip()


def test_the_whole_report_is_there_with_its_plots(made: Made) -> None:
    text = words(made.papers / "检测报告.docx")
    assert "报告结束" in text
    record = json.loads((GOLDEN / "record.json").read_bytes())
    document = build(record, "ab" * 32)
    report = docx.Document(io.BytesIO(render_docx(full_report(document))))
    told = "\n".join("".join(t.text or "" for t in p.iter(qn("w:t"))) for p in report.element.body.iter(qn("w:p")))
    for finding in record["findings"]:
        assert finding["name"] in told
        assert all(e["sha256"] in told for a in finding["attempts"] for e in a["evidence"])
    assert "ab" * 32 in told
    blocks = [block for section in document.sections for block in section.blocks]
    plots = [plot["alt"] for block in blocks if isinstance(block, Plots) for plot in block.plots]
    codes = [block.text for block in blocks if isinstance(block, Code)]
    described = [s._inline.docPr.get("descr") for s in report.inline_shapes if s._inline.docPr.get("descr")]
    assert described == [*plots, *codes]
    assert (len(plots), len(codes)) == (4, 1)


def test_every_titled_table_repeats_its_head_and_names_its_fonts(made: Made) -> None:
    for path in made.papers.glob("*.docx"):
        document = docx.Document(str(path))
        for paragraph, table in pairs(document):
            if paragraph is not None:
                assert table.rows[0]._tr.trPr.find(qn("w:tblHeader")) is not None, path
            order = [child.tag for child in table._tbl.tblPr]
            wanted = [
                qn(f"w:{n}") for n in ("tblStyle", "tblW", "jc", "tblBorders", "tblLayout", "tblCellMar", "tblLook")
            ]
            assert order == [tag for tag in wanted if tag in order], path  # Word refuses another order
        fonts = {
            s.name: s.element.rPr.rFonts.get(qn("w:eastAsia"))
            for s in document.styles
            if s.name in ("Normal", "Heading 1")
        }
        assert fonts == {"Normal": "宋体", "Heading 1": "黑体"}


def pairs(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each table with the bold caption right before it, or None."""
    captions = {p._p: p for p in document.paragraphs if p.runs and p.runs[0].bold}
    for table in document.tables:
        yield captions.get(table._tbl.getprevious()), table


def test_results_of_a_case_that_was_really_run_follow_the_schema(made: Made) -> None:
    schema = json.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator(schema).validate(results(made.record))
    assert schema["$id"] == "urn:yanshou:results:1"
    assert schema["properties"]["format"]["const"] == FORMAT == "yanshou/results/1"


# ---- letterheads


def letterhead(path: Path) -> Path:
    """A lab's own: another first page, a header with its name, its margins, styles, and a line in the body."""
    document = docx.Document()
    section = document.sections[0]
    section.page_width, section.page_height, section.left_margin = Cm(21), Cm(29.7), Cm(3.3)
    section.different_first_page_header_footer = True
    section.first_page_header.paragraphs[0].text = "某某检测研究院 首页信头"
    section.header.paragraphs[0].text = "某某检测研究院 续页信头"
    section.footer.paragraphs[0].text = "珞瑜路 9527 号"
    document.styles["Normal"].font.name = "仿宋"
    document.styles["Normal"].font.size = Pt(13)
    document.add_paragraph("信头正文第一行")
    document.save(str(path))
    return path


def test_a_letterhead_keeps_what_is_the_labs(made: Made, tmp_path: Path) -> None:
    template = letterhead(tmp_path / "信头.docx")
    before = template.read_bytes()
    write_documents(made.folder, template, tmp_path / "out")
    assert template.read_bytes() == before
    for path in (tmp_path / "out").glob("*.docx"):
        document = docx.Document(str(path))
        section = document.sections[0]
        assert section.first_page_header.paragraphs[0].text == "某某检测研究院 首页信头"
        assert section.header.paragraphs[0].text == "某某检测研究院 续页信头"
        assert section.footer.paragraphs[0].text == "珞瑜路 9527 号"
        assert section.left_margin is not None
        assert abs(section.left_margin - Cm(3.3)) < 500  # Word keeps twips
        assert (document.styles["Normal"].font.name, document.styles["Normal"].font.size) == ("仿宋", Pt(13))
        assert document.paragraphs[0].text == "信头正文第一行"
        for header in (section.first_page_header, section.header):  # the marking is on every page
            assert "自检，不作验收依据" in "".join(p.text for p in header.paragraphs), path


def test_a_formal_paper_adds_nothing_to_the_labs_header(planned: Path, tmp_path: Path) -> None:
    write_documents(planned, letterhead(tmp_path / "t.docx"), tmp_path / "out")
    section = docx.Document(str(tmp_path / "out/测试方案.docx")).sections[0]
    assert [p.text for p in section.header.paragraphs] == ["某某检测研究院 续页信头"]


def rewritten(path: Path, target: Path, **changes: bytes) -> Path:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            out.writestr(name, changes.pop(name, source.read(name)))
        for name, content in changes.items():
            out.writestr(name, content)
    return target


@pytest.mark.parametrize("fault", ["text", "macro", "entity", "template", "cut", "missing"])
def test_a_bad_letterhead_is_refused_and_nothing_is_written(planned: Path, tmp_path: Path, fault: str) -> None:
    good, bad = letterhead(tmp_path / "good.docx"), tmp_path / "bad.docx"
    if fault == "text":
        bad.write_text("信头", encoding="utf-8")
    elif fault == "macro":
        rewritten(good, bad, **{"word/vbaProject.bin": b"x"})
    elif fault == "entity":
        rewritten(good, bad, **{"word/styles.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'})
    elif fault == "template":
        types = zipfile.ZipFile(good).read("[Content_Types].xml").replace(b"document.main", b"template.main")
        rewritten(good, bad, **{"[Content_Types].xml": types})
    elif fault == "cut":
        bad.write_bytes(good.read_bytes()[:4000])
    with pytest.raises(UserError, match=r"bad\.docx.*→"):
        write_documents(planned, bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_papers_never_say_something_else_than_the_report(made: Made, tmp_path: Path) -> None:
    stored = made.folder / "record.json"
    good = stored.read_bytes()
    stored.write_bytes(good.replace(b'"mode":"self-check"', b'"mode":"acceptance"'))
    try:
        with pytest.raises(UserError, match=r"record\.json.*yanshou report"):
            write_documents(made.folder, output=tmp_path / "out")
    finally:
        stored.write_bytes(good)
    assert not (tmp_path / "out").exists()


# ---- hostile texts, and honest cases


def test_texts_stay_texts(made: Made) -> None:
    state = load_state(made.folder)
    record = json.loads(json.dumps(assess(state)))
    hostile = '</w:t><w:t>x & "y" {{ 1 }} \x00\u202e🙂'
    record["case"]["target"]["site"] = hostile
    record["findings"][0]["note"] = "字" * 3000
    for paper in papers(dossier(record, state.plan, state.runs, state.case)):
        document = docx.Document(io.BytesIO(render_docx(paper)))
        text = "".join(t.text or "" for t in document.element.body.iter(qn("w:t")))
        if paper.name in ("测试方案", "环境核查表", "检测报告"):
            assert '</w:t><w:t>x & "y" {{ 1 }}' in text, paper.name


def test_an_undisturbed_case_lists_no_anomaly(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    own = re.sub(r"  S10-P01: .*\nmeasure:\n(.*\n)+?inspections:", "inspections:", CASE)
    (tmp_path / "case.yaml").write_text(own, encoding="utf-8")
    write_sheet(tmp_path, "sheet", "三号厂房", VISITS)
    freeze_case(tmp_path)
    run_case(tmp_path)
    state = load_state(tmp_path)
    listed = next(
        p for p in papers(dossier(assess(state), state.plan, state.runs, state.case)) if p.name == "偏离与异常单"
    )
    (table,) = [b for b in listed.blocks if isinstance(b, Table) and b.title]
    sorts = [row[1].text for row in table.rows]
    assert sorts[:2] == ["偏离", "偏离"]  # two indicators of the list are not in this plan
    assert not "".join(sorts[2:]).strip()
