"""The renderings of a record: same bytes, same words everywhere, and nothing in a text can become more than text."""

from __future__ import annotations

import base64
import copy
import csv
import hashlib
import html.parser
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanshou.harness.basics import UserError
from yanshou.harness.calibrate import Point
from yanshou.harness.evidence import canonical
from yanshou.harness.model import Verdict
from yanshou.harness.risk import Sampled, risk_of
from yanshou.probes.contract import Probe, probe_names
from yanshou.reports import document as document_module
from yanshou.reports import drawing
from yanshou.reports.blocks import Plots, Table
from yanshou.reports.display import (
    confidence_of,
    day,
    display,
    exactly,
    fit,
    left_out,
    level,
    limit_text,
    moment,
    percent,
    quantity,
    signed,
    verdict_text,
)
from yanshou.reports.document import build
from yanshou.reports.figures import _share_above, _waterfall, _with_gaps, panels, prefixed, strip
from yanshou.reports.machine import indicator_files, junit_xml, results, results_csv
from yanshou.reports.parameters import parameter_helps
from yanshou.reports.render import render

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
HOSTILE = '#panic("x") *b* _i_ $x$ <a> @ref \\ ` ]) <script>alert(1)</script> &amp; {{ 1 }}'
ENDS = "龘靐齉爨鱻麤灪"
"""Rare single characters: seen only where a long text was printed to its end."""
DIGEST = "ab" * 32
REPORTS = ROOT / "yanshou" / "reports"
SCHEMA = REPORTS / "results.schema.json"
WATERMARKED = "#f0f0f0"
"""White under the watermark (black, 6 %)."""
DECORATION = {"#d5d9de", "#e9ecef"}
"""Hairlines and the desk under the page: nothing is lost with them."""
FILES = {"report.pdf", "report.html", "results.json", "results.csv", "results.xlsx", "junit.xml"}
LATENCY = {"op": "<=", "value": 2, "unit": "ms"}


def golden(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_bytes())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return render(golden("record"), tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def formal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return render(golden("record_acceptance"), tmp_path_factory.mktemp("formal"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict[str, Path]]:
    """An acceptance record where texts try to be markup, formulas, control characters, or too long for a page."""
    record = golden("record_acceptance")
    record["case"]["project"]["name"] = HOSTILE
    record["case"]["target"]["version"] = "v\u202egnp.exe\x00\x1b[31m🙂\ufffd"
    record["case"]["target"]["condition"] = "字" * 3000 + ENDS[0]
    record["case"]["target"]["site"] = "\n".join(["行"] * 120) + ENDS[1]
    first, second = record["findings"][0], record["findings"][4]
    first["name"] = "=cmd|'/c calc'!A1"
    first["note"] = "长" * 1500 + ENDS[2]
    first["reasons"] = [{"code": "long", "text": "因" * 3000 + ENDS[3]}]
    first["commitment_text"] = "@SUM(1)"
    first["attempts"][0]["status_reason"] = "x" * 1200 + ENDS[4]
    first["attempts"][0]["facts"] = {HOSTILE: HOSTILE, "path": "/very/long/" + "a" * 400}
    second["figure"]["exclusions"][0]["text"] = HOSTILE
    sights, ground = first["figure"]["pictures"], second["figure"]["pictures"][0]
    sights[0]["title"] = "题" * 200 + ENDS[5]
    sights[0]["groups"][0]["name"] = sights[1]["statuses"][0] = sights[2]["satellites"][0]["name"] = HOSTILE
    ground["areas"][0]["name"] = "界" * 300 + ENDS[6]
    ground["origin"] = HOSTILE
    second["name"] = "-2+3"
    return record, render(record, tmp_path_factory.mktemp("hostile"))


def pdf_pages(path: Path) -> list[str]:
    if shutil.which("pdftotext") is None:
        pytest.skip("poppler-utils is not installed")
    text = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True).stdout.decode()
    return text.split("\f")[:-1]


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


# ---- numbers for the eye


def printed(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-"))


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite | st.integers(-(10**9), 10**9))
def test_display_stays_on_its_side_of_the_limit(value: float, bound: float) -> None:
    shown, exact, limit = printed(display(value, {"value": bound})), Decimal(repr(value)), Decimal(repr(bound))
    assert (shown < limit, shown == limit, shown > limit) == (exact < limit, exact == limit, exact > limit)


@given(st.floats(0.001, 1e6), st.floats(-1e-6, 1e-6))
def test_display_stays_on_its_side_when_it_is_close(bound: float, relative: float) -> None:
    value = bound * (1 + relative)
    shown = printed(display(value, {"value": bound}))
    exact, limit = Decimal(repr(value)), Decimal(repr(bound))
    assert (shown < limit, shown > limit) == (exact < limit, exact > limit)


@given(finite)
def test_display_is_close(value: float) -> None:
    assert abs(printed(display(value)) - Decimal(repr(value))) <= abs(Decimal(repr(value))) * Decimal("0.0006")


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (2.0004, LATENCY, "2.0004"),
        (1.99996, LATENCY, "1.99996"),
        (2.0, LATENCY, "2.000"),
        (2, LATENCY, "2"),
        (1.33250839245, LATENCY, "1.333"),
        (0.12345, None, "0.1234"),
        (0.12355, None, "0.1236"),
        (-7, None, "−7"),
        (-0.0, None, "0"),
        (1050000, None, "1,050,000"),
        (123456.7, None, "123,457"),
        (1.5e-9, None, "1.5e−9"),
        (None, None, "—"),
        (True, None, "是"),
    ],
)
def test_display(value: float | None, limit: dict | None, text: str) -> None:
    assert display(value, limit) == text


def test_other_numbers_and_words() -> None:
    assert quantity(1.5, "ms") == "1.500\u00a0ms"
    assert limit_text(LATENCY) == "≤\u00a02\u00a0ms"
    assert limit_text({"op": "==", "value": True, "unit": "bool"}) == "应具备"
    assert exactly(0.123456789) == "0.123456789"
    assert (signed(0.567538, "ms"), signed(-0.00189, "cm")) == ("+0.568\u00a0ms", "−0.00189\u00a0cm")
    assert signed(1e-12, "ms").startswith("+1")
    assert (left_out(12), left_out(0)) == ("−12", "0")
    assert (percent(0.95), confidence_of(0.05), confidence_of(0.05 / 3)) == ("95%", "95%", "98.33%")
    assert (level(0.05), level(0.05 / 3)) == ("0.05", "0.0167")
    assert percent(0.99999) == "99.99%"  # never 100 %
    assert (moment("2026-03-12T16:30:05.900Z"), day("2026-03-12T16:30:05.900Z")) == (
        "2026-03-13 00:30:05",
        "2026年3月13日",
    )
    assert (moment(""), day("2024-11-20")) == ("—", "2024年11月20日")
    assert [verdict_text(v) for v in Verdict] == ["✓ 符合", "△ 未定", "○ 未测", "◇ 无效", "× 不符合"]


# ---- texts


def test_fit_shows_what_cannot_be_seen() -> None:
    assert fit({"a": ["x\u202ey", "\x00", "🙂", "\ud800", "a\tb\r\nc", "①"]}) == {
        "a": ["x[U+202E]y", "[U+0000]", "[U+1F642]", "[U+D800]", "a b\nc", "①"]
    }


def test_a_letter_without_glyph_stops_the_report_and_writes_nothing(tmp_path: Path) -> None:
    record = golden("record")
    record["case"]["evaluator"]["people"][0]["name"] = "𠮷田"
    with pytest.raises(UserError, match=r"E-GLYPH case\.evaluator\.people\[0\]\.name.*U\+20BB7"):
        render(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_glyph_in_our_own_words_is_named_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(document_module, "STATEMENTS", ("𠮷", ""))
    with pytest.raises(UserError, match="E-GLYPH"):
        render(golden("record"), tmp_path)


# ---- the document


def test_what_instruments_note_is_printed_in_words_and_as_tables() -> None:
    record = golden("record")
    (finding,) = (f for f in record["findings"] if f["indicator"] == "S10-I03")
    each = {"n": 5, "rms": 2.5, "bias": [0.25, 1.0], "max": 9}
    for other in finding["attempts"][:-1]:
        other["facts"] = {}
    finding["attempts"][-1]["facts"] = {
        "component": "horizontal",
        "sessions_mm": {"n": 2, "horizontal": each, "vertical": {**each, "n": 4}},
        "challenge": [{"way_mm": [20, 0, 0], "gone_mm": 19.5, "settled": True, "utc": "2026-01-01T00:00:00Z"}] * 3,
        "link": {"baud": 115200, "gaps": 0},
    }
    finding["method"]["params"] = {"truth": {"latitude": 30.52781234, "at": None}, "datum": None}
    blocks = [b for s in build(fit(record), DIGEST).sections for b in s.blocks]
    tables = {b.title.split("　", 1)[1].split("：")[0]: b for b in blocks if isinstance(b, Table)}
    noted = {row[0].text: row[1].text for row in tables["仪器记录"].rows}
    assert noted == {"分量": "水平", "线路": "波特率 115200，空隙 0", "时段平均的误差/mm": "n 2"}
    sessions = tables["时段平均的误差/mm"]
    assert sessions.head == ("", "n", "均方根", "均值", "最大")
    assert [[c.text for c in row] for row in sessions.rows] == [
        ["水平", "5", "2.500", "0.2500、1.000", "9"], ["垂直", "4", "2.500", "0.2500、1.000", "9"],
    ]  # fmt: skip
    assert [c.text for c in tables["位移激励"].rows[0]] == ["2026-01-01T00:00:00Z", "20、0、0", "19.50", "是"]
    told = {row[0].text: row[1:] for row in tables["测量参数"].rows}
    assert "latitude 30.52781234" in [value.text for value in told["truth"]]
    assert "datum" not in told


def test_parameters_are_printed_in_the_words_of_their_instrument() -> None:
    record = golden("record_acceptance")
    version = Probe("gnss").spec.version
    truth = {"kind": "point", "latitude": 30.5}
    record["findings"][0]["method"] |= {"probe": "gnss", "version": version, "params": {"rate_hz": 1, "truth": truth}}
    blocks = [b for s in build(fit(record), DIGEST).sections for b in s.blocks]
    rows = next(b for b in blocks if isinstance(b, Table) and "测量参数" in b.title).rows
    said = {row[-1].text: row[0].text for row in rows}
    assert said["rate_hz"] == Probe("gnss").params_type().model_fields["rate_hz"].description
    assert "纬度" in said["truth.latitude"]
    assert parameter_helps("gnss", f"{version}-other") == parameter_helps("no.such", "1") == {}


@pytest.mark.parametrize("name", probe_names())
def test_help_of_every_parameter_can_be_printed(name: str) -> None:
    helps = parameter_helps(name, Probe(name).spec.version)
    assert set(Probe(name).params_type().model_json_schema()["properties"]) <= set(helps)
    assert not [text for text in helps.values() if "[U+" in text]


def test_calibration_that_lost_an_event_is_printed_as_infinite() -> None:
    record = golden("record_acceptance")
    of_one = [f["calibration"] for f in record["findings"] if (f.get("calibration") or {}).get("probe") == "gnss"]
    point = Point(true=1.0, indicated=math.inf, n=3, paired=(0.0, 0.0, 1.0, math.inf)).to_json()
    assert point["error"] is point["indicated"] is point["error_p99.9"] is None
    canonical(point)
    for calibration in of_one:
        calibration.update(points=[point], within=False)
    jsonschema.validate(results(record), json.loads(SCHEMA.read_bytes()))
    blocks = [b for s in build(fit(record), DIGEST).sections for b in s.blocks]
    points = next(b for b in blocks if isinstance(b, Table) and "校准点" in b.title).rows
    (row,) = [row for row in points if row[0].text == "gnss"]
    assert [c.text for c in row][3:6] == ["1", "∞", "∞"]
    assert [c.text for c in row][7:] == ["3", "超差"]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, WCAG 2.2."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colours_of_page() -> tuple[dict[str, str], dict[str, str]]:
    """Text colours and the grounds they stand on, of the HTML: by name."""
    css = (REPORTS / "report.css").read_text(encoding="utf-8")
    named = dict(re.findall(r"--(ink|navy|muted|tint|warn): (#\w{6})", css))
    verdicts = dict(re.findall(r"\.(\w+) { --fore: (#\w{6})", css))
    return {**named, **verdicts}, dict(re.findall(r"\.(\w+) { --fore: #\w{6}; --back: (#\w{6})", css))


def test_contrast_of_every_text_in_both_layouts() -> None:
    fore, back = colours_of_page()
    assert set(back) == {v.value for v in Verdict}
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    pairs = [(fore[code], back[code]) for code in back]  # a verdict on its own ground, and its mark and frame on paper
    pairs += [(fore[code], "#ffffff") for code in (*back, "none")]
    pairs += [(fore[name], ground) for name in ("ink", "navy", "muted", "warn") for ground in ("#ffffff", fore["tint"])]
    pairs += [(fore["ink"], WATERMARKED), (fore["muted"], WATERMARKED), ("#ffffff", fore["navy"])]
    typst = (REPORTS / "report.typ").read_text(encoding="utf-8")
    assert dict(re.findall(r'#let (ink|navy|muted|tint) = rgb\("(#\w{6})"\)', typst)).items() <= fore.items()
    assert {c: (f, b) for c, f, b in re.findall(r'(\w+): \(rgb\("(#\w{6})"\), rgb\("(#\w{6})"\)\)', typst)} == {
        code: (fore[code], back[code]) for code in back
    }
    pairs += [(none, "#ffffff") for none in re.findall(r'n == "0" { rgb\("(#\w{6})"\)', typst)]
    used = set(re.findall(r"#[0-9a-f]{6}\b", typst + (REPORTS / "report.css").read_text("utf-8")))
    assert used <= {c for pair in pairs for c in pair} | DECORATION  # a new colour must be looked at here
    assert [(one, other) for one, other in pairs if contrast(one, other) < 4.5] == []


def test_contrast_of_every_line_and_bar_in_plots() -> None:
    colours = ["BLUE", "SKY", "ORANGE", "PURPLE", "GREEN", "VERMILLION", "INK", "GREY"]
    drawn = [getattr(drawing, name) for name in colours]
    assert [c for c in drawn if contrast(c, "#ffffff") < 3] == []


def test_the_risks_of_each_rule_are_printed() -> None:
    record = golden("record")
    chapter = next(s for s in build(fit(record), DIGEST).sections if s.title == "判定规则")
    rows = next(b for b in chapter.blocks if isinstance(b, Table) and "误判风险" in b.title).rows
    assert [row[0].sub[0] for row in rows] == [f["indicator"] for f in record["findings"]]
    latency = record["findings"][2]
    told = risk_of(latency)
    assert isinstance(told, Sampled)
    assert rows[2][1].text == f"n = {display(told.n)}"
    for shown, chance in zip(rows[2][2:], (told.risk.accept, told.risk.reject, told.risk.simple), strict=False):
        assert chance <= float(shown.text.rstrip("%")) / 100 < chance + 1.01e-4
    assert percent(0.02871, ROUND_CEILING) == "2.88%"
    assert percent(0.05, ROUND_CEILING) == "5%"


def test_subjects_are_told_with_what_decided_about_each() -> None:
    record = golden("record_acceptance")
    chapter = next(s for s in build(fit(record), DIGEST).sections if s.title == "分项检测结果")
    tables = [b for b in chapter.blocks if isinstance(b, Table) and "各受检个体" in b.title]
    told = [f for f in record["findings"] if f.get("subjects")]
    assert len(tables) == len(told) > 0
    for found, f in zip(tables, told, strict=True):
        for row, subject in zip(found.rows, f["subjects"], strict=True):
            last = [a for a in f["attempts"] if a["subject"] == subject["subject"] and a["status"] == "completed"][-1]
            assert (row[0].text, row[6].verdict) == (subject["subject"], subject["verdict"])
            assert row[1].text == quantity(last["value"], f["unit"], f["limit"])
            assert row[5].text == display(last["n"])


def test_of_a_long_list_what_few_have_comes_first_and_what_all_share_is_said_once() -> None:
    record = golden("record_acceptance")
    rows = [{"device_id": f"D{n}", "status": "counted", "reason": "", "messages": n} for n in range(60)]
    rows[7] |= {"status": "ghost", "reason": "没有来源见到"}
    f = record["findings"][4]
    f["attempts"][0]["facts"] = {"devices": rows}
    blocks = [b for s in build(fit(record), DIGEST).sections for b in s.blocks if isinstance(b, Table)]
    few, others = [b for b in blocks if "逐台设备" in b.title]
    assert [[c.text for c in row] for row in few.rows] == [["D7", "未见", "没有来源见到", "7"]]
    assert "状态均为 计入" in others.title
    assert others.head == ("设备", "消息")
    assert [row[0].text for row in others.rows] == [f"D{n}" for n in range(60) if n != 7]
    assert (others.right, others.dense, others.fold > 1) == ((1,), True, True)


def test_names_that_a_project_gave_are_not_translated() -> None:
    record = golden("record_acceptance")
    f = record["findings"][4]
    f["method"]["probe"] = "records"
    f["attempts"][0]["facts"] = {"columns": ["id", "status"], "key": ["id"], "normalise": ["upper"], "gateway": None}
    blocks = [b for s in build(fit(record), DIGEST).sections for b in s.blocks if isinstance(b, Table)]
    rows = next(b for b in blocks if "仪器记录" in b.title and "各列" in [row[0].text for row in b.rows]).rows
    said = {row[0].text: row[1].text for row in rows}
    assert said == {"各列": "id、status", "关键列": "id", "关键列的规范化": "转大写", "没有记录": "网关"}


def test_parts_of_a_list_of_parts_are_told_in_words_and_numbered() -> None:
    record = golden("record_acceptance")
    version, sources = Probe("devices").spec.version, [{"kind": "mqtt", "host": "a"}, {"kind": "mqtt", "host": "b"}]
    record["findings"][4]["method"] |= {"probe": "devices", "version": version, "params": {"sources": sources}}
    blocks = [b for s in build(fit(record), DIGEST).sections for b in s.blocks if isinstance(b, Table)]
    rows = next(b for b in blocks if "测量参数" in b.title and b.rows[0][-1].text.startswith("sources.1")).rows
    said = {row[-1].text: (row[0].text, row[1].text) for row in rows}
    assert said["sources.2.host"][1] == "b"
    assert said["sources.2.host"][0] == said["sources.1.host"][0] == parameter_helps("devices", version)["sources.host"]


def test_fourteen_sections_and_annex() -> None:
    document = build(fit(golden("record")), DIGEST)
    assert [s.number for s in document.sections] == [*map(str, range(1, 15)), ""]
    assert all(s.blocks for s in document.sections)
    titles = [b.title for s in document.sections for b in s.blocks if isinstance(b, Table)]
    assert [int(re.match(r"表 (\d+)", t)[1]) for t in titles] == list(range(1, len(titles) + 1))
    rows_fit = [
        len(r) == len(b.head) == len(b.widths)
        for s in document.sections
        for b in s.blocks
        if isinstance(b, Table)
        for r in b.rows
    ]
    assert all(rows_fit)


def test_conclusion_says_what_must_not_be_overlooked() -> None:
    record = golden("record")
    first = json.dumps(build(fit(record), DIGEST).to_json()["sections"][0], ensure_ascii=False)
    for words in ("放宽了要求", "恢复", "尚待与官方原件核对", "不是生产系统", "97.5% 上界 1.432", "简单接受：符合"):
        assert words in first
    assert "未列入本次计划" in json.dumps(build(fit(golden("record_acceptance")), DIGEST).to_json(), ensure_ascii=False)


def test_the_report_computes_nothing_of_its_own() -> None:
    """Change a number in the record only, and exactly that number is printed, however wrong it is."""
    record = golden("record")
    record["findings"][2].update(value=1.7771, margin=0.3331, verdict="fail", verdict_word="不符合")
    row = build(fit(record), DIGEST).to_json()["sections"][0]["blocks"][1]["rows"][2]
    assert (row[3]["text"], row[4]["text"], row[5]["verdict"]) == ("1.777\u00a0ms", "+0.333\u00a0ms", "fail")


def optional_keys(schema: dict, name: str, value: dict) -> list[str]:
    return [key for key in value if key not in schema["$defs"][name]["required"]]


def test_optional_keys_may_be_missing() -> None:
    schema = json.loads((ROOT / "yanshou/reports/results.schema.json").read_bytes())
    record = golden("record")
    for key in set(record) - set(schema["required"]):
        del record[key]
    for section in ("case", "list", "plan"):
        needed = schema["properties"][section]["required"]
        record[section] = {k: v for k, v in record[section].items() if k in (*needed, "scenario_name")}
    for finding in record["findings"]:
        for key in optional_keys(schema, "finding", finding):
            del finding[key]
        for attempt in finding["attempts"]:
            for key in set(optional_keys(schema, "attempt", attempt)) - {"ended"}:
                del attempt[key]
    document = build(record, DIGEST)
    assert "未编号" in document.number
    assert not any(isinstance(b, Plots) for s in document.sections for b in s.blocks)
    assert results_csv(record).count(b"\r\n") == 1 + len(record["findings"])
    assert len(ET.fromstring(junit_xml(record)).findall(".//testcase")) == len(record["findings"])


def test_unfinished_infinite_and_yes_no_findings() -> None:
    record = golden("record")
    yes, count, rtt = record["findings"]
    yes.update(
        limit={"op": "==", "value": True, "unit": "bool"}, list_limit=None, unit="bool", margin=None, list_source="own"
    )
    rtt.update(value=None, upper=None, lower=None, infinite=["value", "upper"], margin=None)
    rtt["attempts"][0]["status"] = "open"
    count.update(lower=None, margin=None)
    rows = build(fit(record), DIGEST).to_json()["sections"][0]["blocks"][1]["rows"]
    assert (rows[0][1]["text"], rows[0][1]["sub"]) == ("—", ["项目自增"])
    assert rows[1][3]["sub"][0] == "下界不存在"
    assert (rows[2][3]["text"], rows[2][3]["sub"][0]) == ("∞", "97.5% 上界 ∞")


# ---- plots


def sample_figure(**changes: object) -> dict:
    return {**golden("record")["findings"][2]["figure"], **changes}


def test_plots_are_paths_with_words_for_who_cannot_see() -> None:
    drawn = panels(sample_figure())
    assert len(drawn) == 2
    for panel in drawn:
        assert "<text" not in panel.svg
        assert "限值 ≤\u00a02\u00a0ms" in panel.alt
    assert "P99 为 1.333\u00a0ms" in drawn[0].alt


@pytest.mark.parametrize(
    "figure",
    [
        sample_figure(ecdf=[], series=[[0, None, None]], lost=1, point=None, lower=None, upper=None, statistic=None),
        sample_figure(ecdf=[[1.5, 1]], series=[[0, 1.5, 1.5]], lost=0, point=1.5, lower=None, upper=None),
        sample_figure(ecdf=[[2, 1]], series=[[0, 2, 2]], lost=0, point=2, lower=2, upper=2, statistic="max"),
        sample_figure(ecdf=[[-1.5, 0.5], [1e9, 1]], series=[[0, -1.5, 1e9]], point=-1.5, lower=-2, upper=1e9, statistic="mean"),
        sample_figure(limit={"op": ">=", "value": 0.9, "unit": "ms"}),
        {"kind": "count", "gross": 0, "exclusions": [], "net": 0, "per_day": [], "limit": {"op": ">=", "value": 1, "unit": "条"}},
        {
            "kind": "count",
            "gross": 5_000_000,
            "exclusions": [{"code": str(i), "text": "$x_1$ " * 9, "count": 1} for i in range(12)],
            "net": 4_999_988,
            "per_day": [["2026-01-01", 4_999_988]],
            "limit": {"op": "==", "value": True, "unit": "bool"},
        },
    ],
)  # fmt: skip
def test_plots_of_extreme_figures(figure: dict) -> None:
    drawn = panels(figure)
    assert drawn
    assert drawn == panels(copy.deepcopy(figure))


@pytest.mark.parametrize(("per", "unit", "value"), [(1, "参数", 7e9), (1_000_000_000, "B", 7)])
def test_counts_and_their_limit_are_drawn_to_one_scale(per: int, unit: str, value: float) -> None:
    from matplotlib.figure import Figure

    left_out = [{"code": "A", "text": "视觉", "count": 600_000_000}, {"code": "B", "text": "缓冲", "count": 0}]
    axes = Figure().subplots()
    _waterfall(
        axes,
        {
            "gross": 8_200_000_000,
            "exclusions": left_out,
            "net": 7_600_000_000,
            "per": per,
            "limit": {"op": ">=", "value": value, "unit": unit},
        },
    )
    lengths = [bar.get_width() * per for bar in axes.patches]
    assert lengths == pytest.approx([8.2e9, 6e8, 7.6e9]), "what left out nothing has no bar"
    (limit,) = [line for line in axes.lines if line.get_xdata()[0] == value]
    assert lengths[1] / per < limit.get_xdata()[0] < lengths[2] / per
    assert axes.get_xlabel() == f"数量 / {unit}"


def test_no_line_crosses_a_gap() -> None:
    series: list[list[float | None]] = [[0.0, 1.0, 2.0], [1.0, 1.0, None], [2.0, 1.0, 2.0], [30.0, 1.0, 2.0]]
    found = _with_gaps(series)
    assert [t for t, *_ in found] == [0, 1, 2, 16, 30]
    assert [math.isnan(top) for *_, top in found] == [False, True, False, True, False]


def test_no_plot_where_there_is_nothing_to_draw() -> None:
    assert panels(None) == panels({"kind": "checklist", "items": [], "limit": LATENCY}) == ()


def test_strip_marks_limit_value_and_bounds() -> None:
    inside = strip(1.5, 1.4, 1.6, LATENCY)
    assert 'cx="25.0"' in inside
    assert "M20.0 4V10M30.0 4V10" in inside
    assert '<rect x="0"' in inside  # smaller is better: the left half satisfies
    assert 'd="M20.0 7H100.0' in strip(1.5, 1.4, None, LATENCY)  # no upper bound: open end
    assert 'cx="97.0"' in strip(2e9, 1, 3, LATENCY)
    assert strip(None, None, None, LATENCY) == strip(1, 1, 1, {"op": "==", "value": True, "unit": "bool"}) == ""


def test_inlined_svg_has_its_own_ids() -> None:
    svg = panels(sample_figure())[0].svg
    inlined = prefixed(svg, "p1")
    ids = set(re.findall(r'\bid="([^"]+)"', inlined))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', inlined))
    assert ids
    assert all(i.startswith("p1-") for i in ids)
    assert {a or b for a, b in used} <= ids
    assert "xmlns" not in inlined


def test_a_statistic_stands_on_the_curve_unless_it_would_leave_the_plot() -> None:
    curve = [(x / 10, 1 - x / 10) for x in range(1, 11)]
    assert _share_above({"statistic": "p99", "point": 0.3}, curve, 0.05) == pytest.approx(0.01)
    assert _share_above({"statistic": "rms", "point": 0.25}, curve, 0.05) == pytest.approx(0.7)
    assert _share_above({"statistic": "max", "point": 1}, curve, 0.05) == 0.05


@pytest.fixture(scope="module")
def plots() -> dict[str, list[Plots]]:
    """Plots of the acceptance report by indicator, in printing order."""
    blocks = [
        b for s in build(fit(golden("record_acceptance")), DIGEST).sections for b in s.blocks if isinstance(b, Plots)
    ]
    return {i: [b for b in blocks if f"　{i}　" in b.caption] for i in ("S06-I01", "S06-I05")}


def test_further_pictures_follow_in_pairs_with_captions_of_their_own(plots: dict[str, list[Plots]]) -> None:
    deviations = plots["S06-I01"]
    assert [len(b.plots) for b in deviations] == [2, 2, 2]
    assert [b.caption.endswith("（续）") for b in deviations] == [False, True, True]
    titles = [p["title"].split("：")[0] for b in deviations[1:] for p in b.plots]
    assert titles == ["水平偏差", "误差过程", "天空", "BDS 卫星的载噪比"]
    assert [len(b.plots) for b in plots["S06-I05"]] == [2]


def test_notes_of_pictures_are_printed_in_both(plots: dict[str, list[Plots]], formal: dict[str, Path]) -> None:
    notes = [p["note"] for of in plots.values() for b in of for p in b.plots if p["note"]]
    text = squeezed(Page(formal["report.html"].read_text(encoding="utf-8")).text)
    paper = squeezed("".join(pdf_pages(formal["report.pdf"])))
    assert len(notes) >= 4
    assert [n for n in notes if squeezed(n) not in text or squeezed(n) not in paper] == []


# ---- files


def test_all_files_are_written(demo: dict[str, Path]) -> None:
    folder = demo["report.pdf"].parent
    indicators = {f"indicators/{n:02d}-{f['indicator']}.csv" for n, f in enumerate(golden("record")["findings"], 1)}
    assert set(demo) == FILES | indicators
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == FILES | indicators


def test_same_bytes_in_another_process_place_and_zone(
    demo: dict[str, Path], formal: dict[str, Path], tmp_path: Path
) -> None:
    code = (
        "import json, pathlib, sys; from yanshou.reports.render import render; "
        "[render(json.loads(pathlib.Path(p).read_bytes()), pathlib.Path(pathlib.Path(p).stem)) for p in sys.argv[1:]]"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "America/Lima", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    records = [str(GOLDEN / f"{name}.json") for name in ("record", "record_acceptance")]
    subprocess.run([sys.executable, "-c", code, *records], check=True, cwd=tmp_path, env=environment)
    for folder, files in (("record", demo), ("record_acceptance", formal)):
        for name, path in files.items():
            assert (tmp_path / folder / name).read_bytes() == path.read_bytes(), f"{folder}/{name}"


# ---- PDF


def test_pdf_says_everything_and_marks_every_page(demo: dict[str, Path]) -> None:
    record, pages = golden("record"), pdf_pages(demo["report.pdf"])
    whole = squeezed("".join(pages))
    for number, page in enumerate(pages, 1):
        text = squeezed(page)
        assert f"报告编号：{record['case']['report_number']}" in text
        assert record["marking"] in text
        assert f"第{number}页共{len(pages)}页" in text
    for finding in record["findings"]:
        assert finding["indicator"] in pages[2]
        assert finding["verdict_word"] in pages[2]
        for attempt in finding["attempts"]:
            for evidence in attempt["evidence"]:
                assert evidence["sha256"] in whole
                assert squeezed(evidence["name"]) in whole
    for digest in (
        record["ledger"]["head"],
        record["plan"]["sha256"],
        record["case"]["sha256"],
        record["list"]["sha256"],
    ):
        assert digest in whole
    assert "截断" in whole
    assert "yanshouverify" in whole
    assert "报告结束" in squeezed(pages[-1])
    assert whole.count("报告结束") == 1
    assert "盖章" not in squeezed(pages[0])
    assert "签字" not in whole


def test_formal_pdf_has_seal_box_and_signature_lines_and_no_marking(formal: dict[str, Path]) -> None:
    pages = pdf_pages(formal["report.pdf"])
    whole = squeezed("".join(pages))
    assert "评测机构盖章处" in squeezed(pages[0])
    assert all(f"{role}：" in whole for role in ("检测", "审核", "批准"))
    assert "签字" in whole
    assert not any(words in whole for words in ("演示", "自检", "CMA", "CNAS"))


def test_pdf_is_tagged_archival_and_carries_the_results(formal: dict[str, Path], tmp_path: Path) -> None:
    if shutil.which("pdfdetach") is None:
        pytest.skip("poppler-utils is not installed")
    data = formal["report.pdf"].read_bytes()
    assert b"<pdfaid:part>3</pdfaid:part>" in data
    info = subprocess.run(["pdfinfo", formal["report.pdf"]], capture_output=True, check=True).stdout.decode()
    assert re.search(r"Tagged:\s+yes", info)
    assert "A4" in info
    assert "2026" in info.split("CreationDate:")[1].splitlines()[0]
    subprocess.run(["pdfdetach", "-saveall", "-o", tmp_path, formal["report.pdf"]], check=True, capture_output=True)
    assert (tmp_path / "results.json").read_bytes() == formal["results.json"].read_bytes()


def test_hostile_texts_stay_texts_in_the_pdf(hostile: tuple[dict, dict[str, Path]]) -> None:
    whole = squeezed("".join(pdf_pages(hostile[1]["report.pdf"])))
    assert squeezed(HOSTILE) in whole
    assert "v[U+202E]gnp.exe[U+0000][U+001B][31m[U+1F642][U+FFFD]" in whole
    assert [end for end in ENDS if end not in whole] == []


def test_nothing_leaves_the_paper(hostile: tuple[dict, dict[str, Path]], tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("poppler-utils is not installed")
    out = tmp_path / "boxes.html"
    subprocess.run(["pdftotext", "-bbox", hostile[1]["report.pdf"], out], check=True, capture_output=True)
    boxes = re.findall(r'<word xMin="([-\d.]+)" yMin="([-\d.]+)" xMax="([-\d.]+)" yMax="([-\d.]+)">', out.read_text())
    assert len(boxes) > 500
    left, top, right, bottom = (list(map(float, values)) for values in zip(*boxes, strict=True))
    margin = 25 / 25.4 * 72
    assert min(left) >= margin - 3
    assert max(right) <= 595.28 - margin + 6  # hanging punctuation may stand a little outside
    assert min(top) >= 0
    assert max(bottom) <= 841.9


def test_a_correction_names_what_it_replaces() -> None:
    record = golden("record_acceptance")
    plain = json.dumps(build(fit(record), DIGEST).to_json(), ensure_ascii=False)
    assert "代替" not in plain.replace("DR-0", "")
    old = {
        "number": "SLJC-2026-B-0099",
        "record_sha256": "cd" * 32,
        "reason": "单位写错",
        "changes": ["第 3 章单位改为 ms"],
    }
    record["case"]["replaces"] = old
    document = build(fit(record), DIGEST).to_json()
    assert document["cover"][0] == ["代替报告", document["cover"][0][1]]
    assert "SLJC-2026-B-0099（已收回）" in document["cover"][0][1]["text"]
    first = json.dumps(document["sections"][0], ensure_ascii=False)
    assert all(word in first for word in ("代替报告 SLJC-2026-B-0099", "cd" * 32, "单位写错", "第 3 章单位改为 ms"))


def test_paper_is_tied_to_the_files(formal: dict[str, Path], tmp_path: Path) -> None:
    record = golden("record_acceptance")
    digest = hashlib.sha256(canonical(record) + b"\n").hexdigest()
    for text in (
        Page(formal["report.html"].read_text(encoding="utf-8")).text,
        "".join(pdf_pages(formal["report.pdf"])[-1:]),
    ):
        assert digest in squeezed(text)
        assert record["ledger"]["head"] in squeezed(text)
    if shutil.which("zbarimg") is None:
        pytest.skip("zbar-tools is not installed")
    pages = len(pdf_pages(formal["report.pdf"]))
    command = ["pdftoppm", "-r", "150", "-png", "-f", str(pages), formal["report.pdf"], tmp_path / "page"]
    subprocess.run(command, check=True)
    (picture,) = tmp_path.glob("page*.png")
    read = subprocess.run(["zbarimg", "--raw", "-q", picture], capture_output=True, check=True).stdout.decode().strip()
    assert read == f"yanshou:1?record={digest}&ledger={record['ledger']['head']}&records={record['ledger']['records']}"


# ---- HTML


class Page(html.parser.HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data = ""
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._in and self._in[-1] == tag:
            self._in.pop()

    def handle_data(self, data: str) -> None:
        if not self._in:
            self.text += data
        elif self._in[-1] == "script" and self.tags[-1][1]:
            self.data += data


def test_html_needs_no_script_and_no_network(demo: dict[str, Path], formal: dict[str, Path]) -> None:
    for files in (demo, formal):
        text = files["report.html"].read_text(encoding="utf-8")
        page = Page(text)
        assert "http://" not in text
        assert "https://" not in text
        scripts = [a for t, a in page.tags if t == "script"]
        assert scripts == [{"type": "application/json", "id": "results"}, {}]
        digest = base64.b64encode(hashlib.sha256(text.split("<script>")[1].split("</script>")[0].encode()).digest())
        (policy,) = (a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
        assert policy == (
            f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest.decode()}'"
        )
        assert not [t for t, a in page.tags if "src" in a or t in ("link", "iframe", "object", "embed", "base", "form")]
        assert not [a for _, a in page.tags for name in a if name.startswith("on")]
        assert all((a.get("href") or "#").startswith("#") for _, a in page.tags)
        ids = [a["id"] for _, a in page.tags if "id" in a]
        assert len(ids) == len(set(ids))
        targets = {a["href"] for t, a in page.tags if t == "a"}
        assert {t.removeprefix("#") for t in targets if t} <= set(ids)
        assert json.loads(page.data) == json.loads(files["results.json"].read_bytes())


def test_html_says_what_the_pdf_says(demo: dict[str, Path]) -> None:
    record = golden("record")
    text = demo["report.html"].read_text(encoding="utf-8")
    page = squeezed(Page(text).text)
    for finding in record["findings"]:
        assert squeezed(f"{finding['indicator']}　{finding['name']}") in page
        assert all(e["sha256"] in page for a in finding["attempts"] for e in a["evidence"])
    assert record["ledger"]["head"] in page
    assert "演示数据" in page
    assert "报告结束" in page
    shown = re.findall(
        r'<span class="verdict (\w+)"><span class="mark" aria-hidden="true">(.)</span> (\w+)</span>', text
    )
    assert len(shown) == text.count('class="verdict ')
    assert all(verdict_text(code) == f"{mark} {word}" for code, mark, word in shown)
    assert text.count('role="img"') == 5


def test_hostile_texts_stay_texts_in_the_html(hostile: tuple[dict, dict[str, Path]]) -> None:
    text = hostile[1]["report.html"].read_text(encoding="utf-8")
    page = Page(text)
    assert HOSTILE in page.text
    assert "alert(1)" not in "".join(str(a) for _, a in page.tags if _ == "script")
    assert [t for t, _ in page.tags].count("script") == 2
    assert json.loads(page.data)["case"]["project"]["name"] == HOSTILE


# ---- machines


@pytest.mark.parametrize("name", ["record", "record_acceptance"])
def test_results_follow_their_schema_and_keep_everything_but_plots(name: str) -> None:
    schema = json.loads((ROOT / "yanshou/reports/results.schema.json").read_bytes())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    record = golden(name)
    found = results(record)
    validator.validate(found)
    assert found["format"] == "yanshou/results/1"
    assert set(found) == set(record)
    for before, after in zip(record["findings"], found["findings"], strict=True):
        assert set(before) - set(after) == {"figure"}
        assert [set(b) - set(a) for b, a in zip(before["attempts"], after["attempts"], strict=True)] == [
            {"figure"}
        ] * len(after["attempts"])


@pytest.mark.parametrize(
    "broken",
    [
        {"format": "yanshou/results/2"},
        {"verdict": "ok"},
        {"mode": "rehearsal"},
        {"findings": [{"indicator": "S10-I03"}]},
        {"ledger": {"records": 1, "head": "00", "started": "x", "ended": "y"}},
    ],
)
def test_schema_refuses(broken: dict) -> None:
    schema = json.loads((ROOT / "yanshou/reports/results.schema.json").read_bytes())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**results(golden("record")), **broken}, schema)


def test_csv_opens_in_a_spreadsheet_and_computes_nothing(hostile: tuple[dict, dict[str, Path]]) -> None:
    data = hostile[1]["results.csv"].read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [r["指标编号"] for r in rows] == [f["indicator"] for f in hostile[0]["findings"]]
    assert rows[0]["指标"] == "'=cmd|'/c calc'!A1"
    assert rows[0]["承诺原文"] == "'@SUM(1)"
    assert rows[4]["指标"] == "'-2+3"
    assert float(rows[2]["余量"]) < 0  # a negative number stays a number
    assert rows[2]["实测值"] == "0.490689561692"  # in full
    assert rows[5]["判定"] == "未测"
    assert rows[5]["实测值"] == ""


def test_every_attempt_is_in_its_indicators_csv(hostile: tuple[dict, dict[str, Path]]) -> None:
    record, files = hostile
    for number, finding in enumerate(record["findings"], 1):
        data = files[f"indicators/{number:02d}-{finding['indicator']}.csv"].read_bytes()
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        assert [int(r["运行"]) for r in rows] == [a["run"] for a in finding["attempts"]]
        for row, attempt in zip(rows, finding["attempts"], strict=True):
            assert row["实测值"] == ("" if attempt["value"] is None else str(attempt["value"]))
            assert row["判定"] == Verdict(attempt["verdict"]).word
            assert int(row["证据文件"]) == len(attempt["evidence"])
            assert not row["指标"].startswith(("=", "-", "@"))


def test_an_id_that_a_project_chose_is_no_path() -> None:
    record = golden("record")
    record["findings"][0]["indicator"] = record["findings"][1]["indicator"] = "../甲/x"
    assert sorted(indicator_files(fit(record)))[:2] == ["indicators/01-_____x.csv", "indicators/02-_____x.csv"]


def test_the_workbook_says_what_the_csv_says_and_computes_nothing(hostile: tuple[dict, dict[str, Path]]) -> None:
    record, files = hostile
    book = openpyxl.load_workbook(files["results.xlsx"])
    assert book.sheetnames == ["结果一览", "全部测量", "计数过程", "查验记录", "定性要求", "全部运行"]
    data = files["results.csv"].read_bytes().decode("utf-8-sig")
    head, *rows = csv.reader(io.StringIO(data, newline=""))
    sheet = book["结果一览"]
    assert [c.value for c in sheet[2]] == head
    for number, row in enumerate(rows, 3):
        cells = sheet[number]
        assert {c.data_type for c in cells} <= {"s", "inlineStr", "n"}  # no formula
        for cell, text in zip(cells, row, strict=True):
            assert ("" if cell.value is None else str(cell.value)) in (text, text.removeprefix("'"))
    assert book["全部测量"].max_row == 2 + sum(len(f["attempts"]) for f in record["findings"])
    assert book["全部运行"].max_row == 2 + len(record["runs"])
    assert book["定性要求"].max_row == 2 + len(record["qualitative"])
    exclusions = [r for r in book["计数过程"].iter_rows(min_row=3, values_only=True) if r[3]]
    figures = [f["figure"] for f in record["findings"] if (f["figure"] or {}).get("kind") == "count"]
    assert [r[4] for r in exclusions] == [-e["count"] for g in figures for e in g["exclusions"]]
    assert HOSTILE in [r[2] for r in exclusions]


def test_junit_hides_nothing(
    demo: dict[str, Path], formal: dict[str, Path], hostile: tuple[dict, dict[str, Path]]
) -> None:
    for record, files in ((golden("record"), demo), (golden("record_acceptance"), formal), hostile):
        root = ET.fromstring(files["junit.xml"].read_bytes())
        cases = root.findall("testsuite/testcase")
        assert len(cases) == len(record["findings"]) == int(root.get("tests"))
        assert not root.findall(".//skipped")
        assert int(root.get("failures")) == len(root.findall(".//failure"))
        for case, finding in zip(cases, record["findings"], strict=True):
            told = {p.get("name"): p.get("value") for p in case.findall("properties/property")}
            assert {"limit", "value", "lower", "upper", "rule", "verdict"} <= set(told)
            assert told["verdict"] == finding["verdict"]
            failure = case.find("failure")
            assert (failure is None) == (finding["verdict"] == "pass")
            if failure is not None:
                assert failure.get("type").startswith(finding["verdict_word"])
