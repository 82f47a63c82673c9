"""The shipped list: complete, exact, true to the notice, and refused by file and line when it is damaged."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from rich.cells import cell_len
from rich.console import Console
from ruamel.yaml import YAML

import yanshou.scenarios
from yanshou.harness.basics import UserError
from yanshou.harness.listing import Indicator, PublicList, load_list, read_list
from yanshou.harness.listing_view import detail, overview, to_json
from yanshou.harness.model import Kind, Limit, Op
from yanshou.probes.contract import probe_names

FOLDER = Path(yanshou.scenarios.__path__[0]) / "wuhan_2024"
NOTICE = (FOLDER / "notice.txt").read_text(encoding="utf-8")

EXPECTED = """
S01-I01 >= 7 B literal measured
S01-I02 <= 100 ms inferred measured
S01-I03 >= 5 款 literal inspected
S01-I04 >= 5 个 inferred inspected
S02-I01 >= 5 个 literal inspected
S04-I01 >= 7 B literal measured
S04-I02 >= 1 家 inferred inspected
S04-I03 >= 500000 人次 inferred counted
S05-I01 >= 10 个 literal counted
S05-I02 >= 200 家 literal counted
S05-I03 >= 100000 条 literal counted
S05-I04 == true bool literal inspected
S05-I05 == true bool literal inspected
S06-I01 <= 2 cm literal measured
S06-I02 <= 4 cm literal measured
S06-I03 <= 0.5 cm literal measured
S06-I04 <= 1 cm literal measured
S06-I05 >= 100 个 inferred counted
S06-I06 >= 2 个 literal counted
S06-I07 >= 10 km2 literal measured
S07-I01 >= 1 个 literal inspected
S08-I01 >= 10 家 literal counted
S08-I02 >= 2 级 literal inspected
S09-I01 >= 3 种 literal inspected
S09-I02 >= 300 台(套) literal counted
S09-I03 >= 2 个 inferred counted
S10-I01 >= 5 个 literal inspected
S10-I02 >= 100 台(套) literal counted
S10-I03 <= 2 ms literal measured
"""
"""The 29 indicators as the notice states them, written down a second time."""

CONTACT = re.compile(r"[\w.+-]+@[\w-]+\.\w+|https?://|(?<!\d)1[3-9]\d{9}(?!\d)|(?<!\d)0\d{2,3}[-－ ]?\d{7,8}|\d{7,}")


@pytest.fixture(scope="module")
def public_list() -> PublicList:
    return load_list()


@pytest.fixture(scope="module")
def indicators(public_list: PublicList) -> dict[str, Indicator]:
    return {i.id: i for s in public_list.scenarios for i in s.indicators}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "copied")


def fragments(value: Any) -> Iterator[str]:
    """Every text under a key that begins with "ocr", at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.startswith("ocr") and inner is not None:
                yield inner
            else:
                yield from fragments(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from fragments(inner)


def not_in_notice(texts: Iterator[str]) -> list[str]:
    return [text for text in texts if text not in NOTICE]


def raw_data() -> dict[str, Any]:
    return {p.name: YAML(typ="safe", pure=True).load(p.read_text(encoding="utf-8")) for p in FOLDER.glob("*.yaml")}


def test_ten_scenarios_with_all_indicators_and_requirements(public_list: PublicList) -> None:
    assert [s.number for s in public_list.scenarios] == list(range(1, 11))
    everything = [i for s in public_list.scenarios for i in s.indicators]
    assert len(everything) == 29
    assert [sum(i.source == source for i in everything) for source in ("literal", "inferred")] == [23, 6]
    assert sum(len(s.qualitative) for s in public_list.scenarios) == 35
    assert sum(q.source == "literal" for s in public_list.scenarios for q in s.qualitative) == 25
    assert [s.number for s in public_list.scenarios if s.self_target_required] == [3]
    assert public_list.id == "wuhan-2024"
    assert public_list.needs_official_confirmation
    assert not public_list.original_found
    assert len(public_list.rules) == 14


def test_indicators_are_those_of_the_notice(indicators: dict[str, Indicator]) -> None:
    expected = [line.split() for line in EXPECTED.strip().splitlines()]
    assert [row[0] for row in expected] == list(indicators)
    for name, op, value, unit, source, kind in expected:
        limit = Limit(Op(op), True if value == "true" else Decimal(value), unit)
        assert (indicators[name].limit, indicators[name].source, indicators[name].kind) == (limit, source, Kind(kind))
        assert isinstance(indicators[name].limit.value, bool if value == "true" else Decimal)


def test_what_may_be_judged_how(indicators: dict[str, Indicator]) -> None:
    accuracy = {f"S06-I0{n}" for n in range(1, 5)}
    assert {i.id for i in indicators.values() if not i.judge_undefined} == {"S10-I03", "S04-I03", *accuracy}
    assert {i.id for i in indicators.values() if not i.fatal_alone} == {"S01-I04"}
    statistics = {i.id: i.statistic for i in indicators.values() if i.statistic}
    assert statistics == {"S01-I02": "p99", **dict.fromkeys(("S01-I01", "S04-I01", "S06-I07"), "count")}
    may_mean = {(i.id, q.key): q.readings for i in indicators.values() for q in i.must_define if q.readings}
    assert may_mean == {
        **{(i, "statistic"): ("rms", "p95", "p50") for i in accuracy},
        **{(f"S06-I0{n}", "static_method"): ("逐历元", "时段平均") for n in (3, 4)},
    }
    for i in indicators.values():
        assert bool(i.inferred_part) == (i.source == "inferred")
        assert i.method[0] in {"a", "b", "c"}


def test_default_probes_exist(indicators: dict[str, Indicator]) -> None:
    known = {"rtt", "records", "inspection", *probe_names()}
    assert {i.probe for i in indicators.values()} <= known
    counted = {name: i.probe for name, i in indicators.items() if i.kind is Kind.COUNTED}
    assert {name for name, probe in counted.items() if probe == "devices"} == {"S06-I05", "S09-I02", "S10-I02"}
    assert set(counted.values()) == {"coverage", "devices", "records", "chain.nodes", "chain.records", "chain.subjects"}
    assert indicators["S10-I03"].probe == "rtt"


def test_open_questions_have_one_stable_key_each(indicators: dict[str, Indicator]) -> None:
    asked = [q for i in indicators.values() for q in i.must_define]
    assert not [q for q in asked if "同上" in q.ask or not re.fullmatch(r"[a-z][a-z0-9_]*", q.key)]
    by_ask: dict[str, set[str]] = {}
    for q in asked:
        by_ask.setdefault(q.ask, set()).add(q.key)
    assert {ask: keys for ask, keys in by_ask.items() if len(keys) > 1} == {}
    transmission = [q.key for q in indicators["S10-I03"].must_define]
    assert transmission == ["direction", "endpoints", "packet", "load", "statistic", "clock"]
    dynamic = [q.key for q in indicators["S06-I01"].must_define]
    assert dynamic == ["statistic", "truth", "baseline_length", "environment", "fix_rate"]
    assert [q.key for q in indicators["S06-I02"].must_define] == dynamic
    for name in ("S06-I03", "S06-I04"):
        assert [q.key for q in indicators[name].must_define] == [*dynamic, "static_method", "duration"]


def test_any_group_of_scenario_six(public_list: PublicList) -> None:
    (group,) = public_list.scenario(6).groups
    assert (group.id, group.logic, group.members) == ("S06-G1", "any", ("S06-I05", "S06-I06", "S06-I07"))
    assert [g.id for s in public_list.scenarios for g in s.groups] == ["S06-G1"]
    grouped = [i.id for s in public_list.scenarios for i in s.indicators if i.group]
    assert grouped == list(group.members)


def test_every_ocr_fragment_stands_in_the_notice() -> None:
    texts = list(fragments(raw_data()))
    assert len(texts) == 127
    assert not_in_notice(iter(texts)) == []


def test_a_fragment_that_is_not_in_the_notice_is_found() -> None:
    data = {"a": [{"ocr": "传输时延 2 毫秒之内", "b": {"ocr_2": "传输时延2毫秒之内"}}], "ocr": None}
    assert not_in_notice(fragments(data)) == ["传输时延2毫秒之内"]


def test_the_notice_holds_no_contact_data() -> None:
    assert CONTACT.findall(NOTICE) == []
    assert "四、联系方式（略）" in NOTICE


@pytest.mark.parametrize(
    "text", ["电话027-85310000", "13800138000", "szjj@example.cn", "https://example.cn", "85310000"]
)
def test_contact_data_would_be_found(text: str) -> None:
    assert CONTACT.search(text)


def test_reference_lists(public_list: PublicList) -> None:
    assert set(public_list.references) == {"six_modes", "scenes_5g_20", "sme_level_2024"}
    assert len(public_list.references["six_modes"]["items"]) == 6
    scenes = public_list.references["scenes_5g_20"]
    assert len({*scenes["batch1"]["items"], *scenes["batch2"]["items"]}) == 20
    level = public_list.references["sme_level_2024"]
    assert sum(q["max"] for q in level["questions"]) == sum(level["score"].values()) == 100


S10 = "s10_5g_factory.yaml"
DAMAGE = [
    (S10, "default_reading: 无", "default_readin: 无", "L-KEY", "是否想写 default_reading", "default_readin:"),
    (S10, "    unit: ms", "    unit: ms\n    unit: s", "L-KEY", "unit 重复", "unit: s"),
    (S10, "    unit: ms", "    unlt: ms", "L-KEY", "此处的 unlt 是否写错", "unlt: ms"),
    (S10, "    unit: ms\n", "", "L-KEY", "缺少 unit", "id: S10-I03"),
    (S10, "    unit: ms", "    unit:", "L-VALUE", "实为 null", "unit:"),
    (S10, "    threshold: 2", '    threshold: "2"', "L-VALUE", "threshold 的类型", "threshold:"),
    (S10, "    threshold: 2", "    threshold: true", "L-VALUE", "只能同时使用", "threshold:"),
    (S10, "    threshold: 2", "    threshold: 0x2", "L-VALUE", "应为十进制数", "threshold:"),
    (S10, '    comparator: "<="', '    comparator: "=<"', "L-VALUE", "可用：<=、>=", "comparator:"),
    (S10, "    probe: rtt", "    probe: [rtt]", "L-VALUE", "实为 seq", "probe:"),
    (S10, "    method: [a]", "    method: [d]", "L-VALUE", "不能有 d", "method:"),
    (S10, "  - id: S10-I03", "  - id: S10-I02", "L-KEY", "S10-I02 重复", "id: S10-I02"),
    (S10, "  - id: S10-I03", "  - id: S09-I09", "L-VALUE", "S09-I09", "id: S09-I09"),
    (S10, "      - key: clock", "      - key: load", "L-KEY", "load 重复", "key: load"),
    (S10, "    group: all", "    group: S10-G1", "L-VALUE", "S10-G1 不存在", "indicators:"),
    (S10, "number: 10", "number: 9", "L-VALUE", "与文件名不符", "number: 9"),
    (S10, "number: 10", "number: [10", "L-YAML", "YAML", "name:"),
    (S10, 'ocr: "传输时延 2 毫秒之内"', 'ocr: "传输时延 2 毫秒以内"', "L-OCR", "逐字片段", "2 毫秒以内"),
    ("s06_beidou.yaml", "      - S06-I07", "      - S06-I08", "L-VALUE", "S06-G1 的成员", "members:"),
    ("s09_industrial_internet.yaml", "    inferred_part: ", "    # ", "L-VALUE", "inferred_part", "source: inferred"),
    ("list.yaml", "      months: 12", "      months: 0xC", "L-VALUE", "应为十进制数", "months:"),
    ("list.yaml", "version: 1", "version: one", "L-VALUE", "version 的类型", "version: one"),
    ("list.yaml", "scenario_count: 10", "scenario_count: 11", "L-VALUE", "1 至 11", "scenario_count:"),
    (
        "reference_lists.yaml",
        "six_modes:",
        "scenes_5g_20: 1\nsix_modes:",
        "L-KEY",
        "scenes_5g_20 重复",
        "scenes_5g_20:",
    ),
]
"""(file, text in it, what it becomes, code, words of the message, what stands on the line that is named)"""


@pytest.mark.parametrize(("name", "old", "new", "code", "words", "at"), DAMAGE)
def test_damage_is_refused_by_file_and_line(
    copied: Path, name: str, old: str, new: str, code: str, words: str, at: str
) -> None:
    file = copied / name
    head, found, tail = file.read_text(encoding="utf-8").rpartition(old)
    assert found
    file.write_text(head + new + tail, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_list(copied)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert words in f"{problem.text} {problem.remedy}"
    assert problem.file == file
    assert problem.line is not None
    assert at in (head + new + tail).splitlines()[problem.line - 1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s03_digital_construction.yaml", b""),
        ("list.yaml", b"- 1\n"),
        ("notice.txt", b"\xff"),
        ("extra.yaml", b"a: 1\n"),
    ],
)
def test_a_file_of_another_kind_is_named(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(name)):
        read_list(copied)


@pytest.mark.parametrize(
    "name", ["notice.txt", "list.yaml", "reference_lists.yaml", "methods.yaml", "s07_metaverse.yaml"]
)
def test_a_missing_file_is_noticed(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(UserError, match=re.escape(name) if name[0] != "s" else "编号 1 至 10"):
        read_list(copied)


@pytest.mark.parametrize("list_id", ["wuhan-2025", "../wuhan-2024", ""])
def test_an_unknown_list_is_refused(list_id: str) -> None:
    with pytest.raises(UserError, match="wuhan-2024"):
        load_list(list_id)


def test_the_digest_covers_every_byte_and_nothing_else(public_list: PublicList, copied: Path) -> None:
    (copied / "list.yaml~").write_text("left by an editor")
    assert read_list(copied).sha256 == public_list.sha256
    for name in ("notice.txt", "s10_5g_factory.yaml"):
        data = (FOLDER / name).read_bytes()
        (copied / name).write_bytes(data + b"\n")
        assert read_list(copied).sha256 != public_list.sha256
        (copied / name).write_bytes(data)


def rendered(thing: Any) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(thing)
    return capture.get()


def test_overview_fits_and_marks_restored_names(public_list: PublicList) -> None:
    text = rendered(overview(public_list))
    assert max(cell_len(line) for line in text.splitlines()) <= 100
    lines = [line.split() for line in text.splitlines()]
    rows = {int(words[0]): words for words in lines if words and words[0].isdigit()}
    assert set(rows) == set(range(1, 11))
    for scenario in public_list.scenarios:
        restored = sum(i.source == "inferred" for i in scenario.indicators)
        word = "恢复" if scenario.name.source == "inferred" else "原文"
        row = [scenario.name.restored, word, str(len(scenario.indicators)), str(restored)]
        assert rows[scenario.number][1:5] == row
    assert "对照原件确认" in text
    assert public_list.sha256 in text


def test_detail_shows_everything_and_marks_restored_wording(public_list: PublicList) -> None:
    for scenario in public_list.scenarios:
        text = rendered(detail(scenario))
        assert max(cell_len(line) for line in text.splitlines()) <= 100
        joined = re.sub(r"\s", "", text)
        for wording in (scenario.name, scenario.field, scenario.task, scenario.guidance_wording):
            assert re.sub(r"\s", "", wording.restored) in joined
        for i in scenario.indicators:
            word = "恢复" if i.source == "inferred" else "原文"
            row = f"{i.id}{i.name}{i.limit}{i.kind.word}{i.probe}{i.group or '必须'}{word}"
            assert row.replace(" ", "") in joined
            assert re.sub(r"\s", "", i.inferred_part) in joined
            assert all(f"{q.key}{q.ask}".replace(" ", "") in joined for q in i.must_define)
        for q in scenario.qualitative:
            assert q.id in text


def test_json_is_plain_and_complete(public_list: PublicList) -> None:
    for scenario in public_list.scenarios:
        data = to_json(scenario)
        assert json.loads(rfc8785.dumps(data)) == data
        assert [i["limit"] for i in data["indicators"]] == [i.limit.to_json() for i in scenario.indicators]
        assert data["name"]["ocr"] == scenario.name.ocr


# ---- default methods


def test_everything_that_the_list_asks_for_has_a_default_method_that_can_be_run(public_list: PublicList) -> None:
    indicators = [i for s in public_list.scenarios for i in s.indicators]
    requirements = [q for s in public_list.scenarios for q in s.qualitative]
    assert (len(indicators), len(requirements)) == (29, 35)
    assert set(public_list.methods) == {x.id for x in [*indicators, *requirements]}
    for method in public_list.methods.values():
        assert method.how
        assert method.probe in probe_names()
        assert bool(method.items) or method.probe != "inspection"
    for q in requirements:
        method = public_list.methods[q.id]
        assert method.items
        assert (method.kind is Kind.INSPECTED) != q.needs_self_target
    for i in indicators:
        assert (public_list.methods[i.id].probe, public_list.methods[i.id].kind) == (i.probe, i.kind)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("- id: S07-I01\n", "- id: S07-I09\n", "榜单没有 S07-I09"),
        ("- id: S10-I03\n", "- id: S10-I02\n", "重复"),
        ("        method: 询问\n", "        method: 打听\n", "method 不能是 打听"),
        ("    expert: true\n", "    experts: true\n", "expert"),
        ("    kind: counted\n", "    kind: inspected\n", "needs_self_target"),
        ("        each: true\n", "        each: maybe\n", "each"),
    ],
)
def test_a_wrong_default_method_is_refused_with_its_place(copied: Path, old: str, new: str, said: str) -> None:
    text = (copied / "methods.yaml").read_text(encoding="utf-8")
    assert old in text
    (copied / "methods.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=rf"methods\.yaml:\d+: .*{said}"):
        read_list(copied)


def test_a_missing_default_method_is_named(copied: Path) -> None:
    text = (copied / "methods.yaml").read_text(encoding="utf-8")
    start, end = text.index("  - id: S10-I03"), text.index("  - id: S10-Q01")
    (copied / "methods.yaml").write_text(text[:start] + text[end:], encoding="utf-8")
    with pytest.raises(UserError, match="没有 S10-I03 的默认方法"):
        read_list(copied)
