"""The English edition: a complete catalogue, texts said by it and never garbled, and reports that say what they translate."""

from __future__ import annotations

import copy
import gettext
import html.parser
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import catalogue
from tests.browser import chromium, page
from tests.editions import english, untranslated
from yanshou.harness.evidence import canonical, sha256_bytes
from yanshou.reports import drawing
from yanshou.reports.blocks import Conclusion, Facts, Plots, Signatures, Table, fitted, table, words_of
from yanshou.reports.display import fit
from yanshou.reports.document import build
from yanshou.reports.english import catalogue as packaged
from yanshou.reports.english import edition, read_mo, speaker
from yanshou.reports.html import SCRIPT, _quoted, render_html
from yanshou.reports.phrases import FOREIGN, HAN, LONGEST, STEPS, Phrases
from yanshou.reports.render import render_english

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "yanshou/reports"


def golden(name: str) -> dict:
    return json.loads((ROOT / f"tests/golden/{name}.json").read_bytes())


# The catalogue.


def test_the_catalogue_is_complete() -> None:
    assert catalogue.problems(catalogue.read()) == []


def test_a_catalogue_with_any_fault_is_not_complete() -> None:
    held = catalogue.read()
    sound = [m.id for m in held if m.id and m.string][:3]
    pattern = next(m.id for m in held if m.string and "{0}" in m.id)
    held.delete(sound[0])
    held.add("不在任何文件里", "in no file")
    held.get(sound[1]).string = ""
    held.get(sound[2]).string = "says 一半"
    held.get(pattern).string = "nothing in its place"
    assert catalogue.problems(held) == [
        f"missing: {sound[0]!r}",
        "obsolete: '不在任何文件里'",
        *sorted(
            [f"not translated: {sound[1]!r}", f"not English: {sound[2]!r}", f"places differ: {pattern!r}"],
            key=lambda line: [m.id for m in held].index(line.split(": ", 1)[1][1:-1]),
        ),
    ]


def test_what_is_packaged_is_what_the_catalogue_compiles_to() -> None:
    said = {m.id: m.string for m in catalogue.read() if m.id and m.string}
    assert read_mo(catalogue.MO.read_bytes()) == said
    with catalogue.MO.open("rb") as file:
        standard = gettext.GNUTranslations(file)
    assert all(standard.gettext(text) == translation for text, translation in said.items())
    assert catalogue.po_bytes(catalogue.updated(catalogue.read())) == catalogue.PO.read_bytes()


def test_messages_are_taken_from_sources() -> None:
    source = (
        '"""说明"""\ndef f(a, n):\n    "文档"\n    return f"共 {n:,} 个 {{{a}}}：{g(\'内\', n)}", "一" "二", "latin"\n'
    )
    assert [text for text in catalogue.python_texts(source) if HAN.search(text[0])] == [
        ("共 {0} 个 {{{1}}}：{2}", ("n", "a", "g('内', n)")),
        ("一二", ()),
        ("内", ()),
    ]
    found = catalogue.messages()
    assert {"reports/blocks.html.j2", "reports/report.typ"} <= set(found["案卷结论"].files)
    assert "reports/report.js" in found["{0} 个文件的 SHA-256 与清单一致，不多不少"].files
    assert found["5G 工厂"].files[0].startswith("scenarios/")


@pytest.mark.parametrize("name", sorted(catalogue.LAYOUTS))
def test_a_layout_has_no_word_that_it_does_not_ask_for(name: str) -> None:
    layout = (ROOT / "yanshou" / name).read_text(encoding="utf-8")
    assert HAN.search(re.sub(r'say\("[^"]*"', "", layout)) is None
    said = words_of(layout, packaged())
    assert said
    assert [text for text in said.values() if FOREIGN.search(text)] == []


# Texts.

MESSAGES = {
    "抽中 {0} 个点，只有 {1} 个有核验结果": "of {0} points drawn only {1} have a result",
    "没有应答": "no answer", "样本不足": "too few samples", "余量": "margin", "设备": "device", "{0} 个": "{0} items",
    "个": "items", "剔除：{0}": "excluded: {0}", "不在时间窗口 {0} 至 {1} 内": "outside the window {0} to {1}",
    "列数不符，或引号不配对": "columns differ", "列数不符": "other columns", "{0} 至 {1}": "{0} to {1}", " 等": " and others",
    "{0}的{1}{2}": "{1} {2} of {0}", "水平": "horizontal", "误差": "error", "逐历元": "each epoch", "（恢复文字）": " (restored)",
    "键 {{{0}}}": "key {{{0}}}", "“{0}”不认识": '"{0}" is unknown', "序号 {0}": "number {0}", "内": "inside",
    "含 {x} 的": "with {x}", "拒绝（收到 {}）": "refused ({})", "{0}：{1} 次": "{1} times: {0}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("没有应答", "No answer"),
        ("latin only, ≤ 2 ms", "latin only, ≤ 2 ms"),
        ("抽中 1,204 个点，只有 3 个有核验结果", "Of 1,204 points drawn only 3 have a result"),
        ("剔除：没有应答", "Excluded: no answer"),
        ("剔除：不在时间窗口 2025-01-01 至 2025-12-31 内", "Excluded: outside the window 2025-01-01 to 2025-12-31"),
        ("样本不足；余量 −3 ms；没有应答", "Too few samples; margin −3 ms; no answer"),
        ("样本不足。没有应答。", "Too few samples. No answer."),
        ("样本不足\n没有应答", "Too few samples\nno answer"),
        ("S01-I02　没有应答", "S01-I02\u2002No answer"),
        ("列数不符，或引号不配对 0，不在时间窗口 a 至 b 内 −900", "Columns differ 0, outside the window a to b −900"),
        ("2026年5月3日", "2026-05-03"),
        ("2026年5月3日 至 2026年11月19日", "2026-05-03 to 2026-11-19"),
        ("a、b 等", "a, b and others"),
        ("逐历元的水平误差", "Horizontal error of each epoch"),
        ("样本不足（没有应答）", "Too few samples (no answer)"),
        ("样本不足（恢复文字）", "Too few samples (restored)"),
        ("“没有应答”不认识", '"no answer" is unknown'),
        ("P99，n = 100", "P99, n = 100"),
        ("✓ 没有应答", "✓ no answer"),
        ("≥\u00a01\u00a0个", "≥\u00a01\u00a0item"),
        ("≥\u00a011\u00a0个", "≥\u00a011\u00a0items"),
        ("键 {a.*}", "Key {a.*}"),
        ("含 {x} 的", "With {x}"),
        ("剔除：{0}{{}}%s\\n.*[", "Excluded: {0}{{}}%s\\n.*["),
        ("没有应答：3 次", "3 times: no answer"),
        ("RTT-E02 没有应答 → 样本不足", "RTT-E02 no answer → too few samples"),
        ("拒绝（收到 reset）", "Refused (reset)"),
        (
            "S01-I02　余量：不在时间窗口 a 至 b 内；没有应答",
            "S01-I02\u2002Margin: outside the window a to b; no answer",
        ),
    ],
)
def test_texts_are_said_as_far_as_they_are_known(text: str, said: str) -> None:
    assert Phrases(MESSAGES)(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "光谷某某公司",
        "某某的平台",
        "序列 7 至某",
        "样 本 不 足",
        "抽中很多个点，只有某个有核验结果吗",
        "键 {a",
        "剔出：没有",
    ],
)
def test_what_is_not_known_stays_as_it_is(text: str) -> None:
    assert Phrases(MESSAGES)(text) == text


def test_the_words_of_a_case_are_kept_whole_wherever_they_stand() -> None:
    names = ["没有应答，样本不足的平台", "抽中 1 个点，只有 2 个有核验结果（北京）", "序号 3", "设备"]
    say = Phrases(MESSAGES).keeping(names)
    assert say("没有应答，样本不足的平台") == "没有应答，样本不足的平台"
    assert say("剔除：没有应答，样本不足的平台；没有应答") == "Excluded: 没有应答，样本不足的平台; no answer"
    assert (
        say("抽中 1 个点，只有 2 个有核验结果（北京）　余量") == "抽中 1 个点，只有 2 个有核验结果（北京）\u2002Margin"
    )
    assert say("序号 3") == "序号 3"
    # A name that is a message letter for letter cannot be told from it; where it stands alone the lens keeps it by its place.
    assert say("设备") == "Device"


def test_a_name_that_is_part_of_a_message_by_chance_does_not_keep_it_from_being_said() -> None:
    say = Phrases(MESSAGES).keeping(["有核验结果", "个点，只有"])
    assert say("抽中 9 个点，只有 3 个有核验结果") == "Of 9 points drawn only 3 have a result"


def test_what_people_may_have_written_is_said_whole_or_not_at_all() -> None:
    say = Phrases(MESSAGES).keeping((), ["现场看过，没有应答", "样本不足；没有应答"])
    assert say("现场看过，没有应答") == "现场看过，没有应答"
    assert say("样本不足；没有应答") == "Too few samples; no answer"
    assert say("现场看，没有应答") == "现场看, no answer"


def test_the_most_specific_message_wins() -> None:
    say = Phrases(
        {"{0} 没有 {1}": "{0} has no {1}", "报文 {0} 没有 {1}": "message {0} has no {1}", "{0} {1}": "{1} {0}"}
    )
    assert say("报文 x 没有 y") == "Message x has no y"
    assert say("某 x 没有 y") == "某 x has no y"


def test_nobodys_text_costs_without_bound() -> None:
    """Nested, repeated and long texts made of messages: few steps, and what is too long stays as it is."""
    say = packaged().keeping(())
    for text in ("（" * 5000, "，" * 5900, "有 的 " * 1900, "“”" * 2900, "共 " * 800 + "某"):
        say(text)
        assert say._steps > STEPS - 400
    long = "某，" * LONGEST
    assert say(long) == long


# Documents.


def test_a_name_is_kept_by_its_place_and_its_markup_stays_text() -> None:
    record = golden("record_acceptance")
    record["case"]["project"]["name"] = "无效"
    record["case"]["evaluator"]["name"] = '没有偏离。<script>alert(1)</script>{0} & "光谷"'
    text = render_html(english(record)[0], b"{}", speaker(fit(record))).decode()
    assert '<p class="project"><span lang="zh-CN">无效</span></p>' in text
    assert '<span lang="zh-CN">没有偏离</span>。&lt;script&gt;alert(1)&lt;/script&gt;{0} &amp; &#34;' in text
    assert "<script>alert" not in text


def test_numbers_verdicts_and_order_are_those_of_the_chinese_edition() -> None:
    record = golden("record_acceptance")
    chinese, (translated, _) = build(fit(record), "ab" * 32), english(record)
    assert (translated.lang, translated.project, translated.number) == ("en", chinese.project, chinese.number)
    assert len(translated.sections) == len(chinese.sections)
    for ours, theirs in zip(translated.sections, chinese.sections, strict=True):
        assert ours.number == theirs.number
        for block, original in zip(ours.blocks, theirs.blocks, strict=True):
            assert type(block) is (Facts if isinstance(original, Signatures) else type(original))
            if isinstance(original, Conclusion):
                assert (block.verdict, block.counts) == (original.verdict, original.counts)
            if isinstance(original, Table):
                assert len(block.head) == len(block.widths) == len(original.head)
                assert [[c.verdict for c in row] for row in block.rows] == [
                    [c.verdict for c in r] for r in original.rows
                ]
                assert [[digits(c.text) for c in row] for row in block.rows] == [
                    [digits(c.text) for c in row] for row in original.rows
                ]


def digits(text: str) -> list[str]:
    """Numbers in a text but those that a date or a chapter puts in another place."""
    return sorted(re.findall(r"\d+(?:\.\d+)?", re.sub(r"\d+年\d+月\d+日|\d{4}-\d\d-\d\d", "", text)))


def test_nobody_signs_a_translation() -> None:
    translated, _ = english(golden("record_acceptance"))
    assert not any(isinstance(b, Signatures) for s in translated.sections for b in s.blocks)


def test_one_message_less_is_found_in_the_edition() -> None:
    record = golden("record")
    messages = dict(packaged().messages)
    before = untranslated(record)
    for text in ("重点指标检测结果", "剔除：{0}", "限值 {0}"):
        fewer = Phrases({m: said for m, said in messages.items() if m != text}).keeping(speaker(fit(record)).kept)
        more = set(untranslated(record, fewer)) - set(before)
        assert any(text.partition("{")[0].strip() in left for left in more), text


def test_words_in_plots_are_english_and_outside_they_are_not() -> None:
    record = golden("record")
    translated, _ = english(record)
    shown = "".join(p["svg"] for s in translated.sections for b in s.blocks if isinstance(b, Plots) for p in b.plots)
    assert "<!-- Run time / s -->" in shown
    assert "<!-- Limit ≤\u00a02\u00a0ms -->" in shown
    again = build(fit(record), "ab" * 32)
    shown = "".join(p["svg"] for s in again.sections for b in s.blocks if isinstance(b, Plots) for p in b.plots)
    assert "<!-- 运行时间 / s -->" in shown
    assert drawing.said("限值") == "限值"


def test_columns_are_as_wide_as_their_words() -> None:
    narrow = table("表", {"甲": 1.0, "乙": 9.0, "丙": 9.0}, [["1", "x " * 40, "y"]])
    head = ("Uncertainty", "b", "c")
    (said,) = (
        b
        for s in edition(document_of(narrow), lambda t: dict(zip("甲乙丙", head, strict=True)).get(t, t), "0").sections
        for b in s.blocks
    )
    assert said.head == head
    assert said.widths[0] / sum(said.widths) >= 0.13
    listed = fitted(table("表", {"甲": 1.0, "乙": 1.0}, [["1", "这一行很长" * 20]]))
    assert listed.widths == (6.0, 100.0)


def document_of(*blocks: Table) -> object:
    from dataclasses import replace

    from yanshou.reports.blocks import Section

    return replace(build(fit(golden("record")), "0"), sections=(Section("1", "章", blocks),))


# Files.


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return render_english(golden("record_acceptance"), tmp_path_factory.mktemp("english"))


def notice(record: dict) -> list[str]:
    digest = sha256_bytes(canonical(record) + b"\n")
    number = record["case"]["report_number"]
    return [
        f"English translation of report {number}. The Chinese edition prevails.",
        f"Made from the record with SHA-256 {digest}",
    ]


def test_every_page_of_the_pdf_says_what_it_translates(translated: dict[str, Path]) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    told = subprocess.run(["pdftotext", "-layout", translated["report.en.pdf"], "-"], capture_output=True, check=True)
    pages = told.stdout.decode().split("\f")[:-1]
    assert len(pages) > 10
    first, second = notice(golden("record_acceptance"))
    for number, text in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in text
        assert first in text
        assert second in text
    assert "Seal of" not in pages[0]
    assert "Endofreport" in pages[-1].replace(" ", "")


def test_the_pdf_is_tagged_archival_english_and_the_same_made_again(
    translated: dict[str, Path], tmp_path: Path
) -> None:
    import pyhanko.pdf_utils.reader as reader

    data = translated["report.en.pdf"].read_bytes()
    catalog = reader.PdfFileReader(io.BytesIO(data)).root
    assert catalog["/Lang"] == "en"
    assert catalog["/MarkInfo"]["/Marked"]
    assert b"<pdfaid:part>3</pdfaid:part>" in catalog["/Metadata"].data
    assert b"<pdfaid:conformance>B</pdfaid:conformance>" in catalog["/Metadata"].data
    attached = list(catalog["/Names"]["/EmbeddedFiles"]["/Names"])[::2]
    assert "results.json" in attached
    assert "signing-places.json" not in attached
    again = render_english(golden("record_acceptance"), tmp_path)
    assert {n: p.read_bytes() for n, p in again.items()} == {n: p.read_bytes() for n, p in translated.items()}


class Languages(html.parser.HTMLParser):
    """Texts of a page, each with the language it is marked as."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "input", "br", "col", "path", "use", "rect", "circle"):
            self.open.append((tag, dict(attrs).get("lang") or (self.open[-1][1] if self.open else "")))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] and self.open[-1][0] not in ("script", "style", "title"):
            self.texts.append((self.open[-1][1], data))


def test_the_page_is_english_and_marks_what_is_chinese(translated: dict[str, Path]) -> None:
    text = translated["report.en.html"].read_text(encoding="utf-8")
    parser = Languages()
    parser.feed(text)
    assert '<html lang="en">' in text
    assert {language for language, words in parser.texts if HAN.search(words)} == {"zh-CN"}
    first, second = notice(golden("record_acceptance"))
    assert text.count(f"{first}\n{second}") == 2
    assert f'@page {{ @bottom-center {{ content: "{_quoted(f"{first}{chr(10)}{second}")}"' in text


def test_a_number_cannot_leave_the_style_sheet() -> None:
    quoted = str(_quoted('a"; } </style><script>\\'))
    assert re.fullmatch(r"(?:[\w .-]|\\[0-9a-f]+ )*", quoted)


def test_the_page_checks_itself_in_english_without_trouble(translated: dict[str, Path]) -> None:
    with chromium() as browser:
        with page(browser) as tab:
            tab.goto(translated["report.en.html"].as_uri())
            tab.locator("#check output", has_text="cannot be checked by a browser").wait_for()
            assert tab.troubles == []
            assert HAN.search(tab.inner_text("#check")) is None
            assert tab.get_attribute(".filter input", "placeholder") == "Filter this table"
        with page(browser, scripts=False) as tab:
            tab.goto(translated["report.en.html"].as_uri())
            assert tab.inner_text("h1") == "Key Indicator Test Report"
            assert not tab.is_visible("#check")


def test_the_chinese_edition_is_not_touched() -> None:
    record = golden("record")
    given = copy.deepcopy(record)
    before = build(fit(record), "ab" * 32)
    english(record)
    assert record == given
    after = build(fit(record), "ab" * 32)
    assert after == before
    assert 'id="words"' not in render_html(after, b"{}").decode()


def test_the_script_is_the_same_in_every_language(translated: dict[str, Path]) -> None:
    assert SCRIPT.read_text(encoding="utf-8") in translated["report.en.html"].read_text(encoding="utf-8")
