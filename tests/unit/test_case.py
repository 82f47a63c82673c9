"""case.yaml is read strictly: every problem of a file at once, with its line; and a new one can be filled in as it stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.case import (
    DECLINED,
    Case,
    Commitment,
    Measure,
    case_schema,
    find_case,
    load_case,
    parse_case,
)
from yanshou.harness.case_template import OFFER, ParameterHelp, new_case
from yanshou.harness.check import check_case
from yanshou.harness.engine import describe, params_help
from yanshou.harness.listing import Indicator, MustDefine, PublicList, Qualitative, Scenario, Wording, load_list
from yanshou.harness.model import Kind, Limit, Mode, Op
from yanshou.harness.units import parse_target
from yanshou.probes.inspection.spec import Params

GOLDEN = Path(__file__).parents[1] / "golden" / "case_s10.yaml"
HEAD = "yanshou: 1\nlist: wuhan-2024\nscenario: 10\nmode: self-check\n"
HELP: dict[str, list[ParameterHelp]] = {
    "rtt": [
        ParameterHelp("host", True, None, "反射端 <主机> 的\n地址"),
        ParameterHelp("port", False, 862, "端口"),
        ParameterHelp("hosts", False, ("a", "b"), "各端"),
    ],
    "records": [
        ParameterHelp("file", True, None, "导出文件"),
        ParameterHelp("unit", False, "条", "计数单位"),
        ParameterHelp("time", False, None, "时间列"),
    ],
    "devices": [ParameterHelp("unit", False, "条", "计数单位")],
    "inspection": [ParameterHelp("sheet", True, None, "答卷")],
}


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(UserError) as caught:
        parse_case(text, Path("case.yaml"))
    assert all(p.file == Path("case.yaml") and p.remedy for p in caught.value.problems)
    return list(caught.value.problems)


def told(problems: Sequence[Problem]) -> list[tuple[int | None, str]]:
    return [(p.line, p.code) for p in problems]


def test_what_is_written_is_kept_verbatim() -> None:
    case = load_case(GOLDEN)
    document = case.document
    assert document.commitments["S10-I03"].target == "２ｍｓ以内"
    assert document.commitments["S10-I03"].answer("direction") == "往返"
    assert document.commitments["S10-I03"].answer("unasked") == ""
    assert document.project.published == date(2024, 11, 1)
    assert document.measure["S10-I03"].rule.subjects == "all"
    assert document.mode is Mode.SELF_CHECK
    assert case.text == GOLDEN.read_text(encoding="utf-8")
    assert case.sha256 == sha256(GOLDEN.read_bytes()).hexdigest()


def test_lines_of_keys_and_of_what_is_not_there() -> None:
    case = load_case(GOLDEN)
    lines = case.text.splitlines()
    assert lines[case.line("commitments", "S10-I03", "target") - 1].strip().startswith("target: ２")
    assert lines[case.line("inspections", "S10-I01", "items", 1, "text") - 1].strip().startswith("- {id: S10-I01-02")
    assert case.line("commitments", "S10-I03", "source", "file") == case.line("commitments", "S10-I03")
    assert case.line("client", "name") == 1
    assert case.has("target", "site")
    assert not case.has("target", "subjects")
    assert not case.has("client")


def test_defaults() -> None:
    case = parse_case(HEAD, Path("case.yaml"))
    assert case.document.report.edition == "restricted"
    rule = Measure().rule
    assert (rule.decision, rule.confidence, rule.attempts, rule.subjects) == ("DR-1", 0.95, 1, "all")
    assert (Commitment().target, Commitment().kind, Measure().probe) == ("", None, None)
    assert Commitment(target=DECLINED).declined


def test_a_yes_or_no_target_may_be_a_bare_word() -> None:
    case = parse_case(HEAD + "commitments:\n  S05-I04: {target: true}\n  S05-I05: {target: 是}\n", Path("case.yaml"))
    assert [c.target for c in case.document.commitments.values()] == ["true", "是"]


def test_yaml_1_2() -> None:
    case = parse_case(HEAD + "measure:\n  X: {params: {a: no, b: 12:30, c: 1e-3, d: 0x10, e: ~}}\n", Path("case.yaml"))
    assert case.document.measure["X"].params == {"a": "no", "b": "12:30", "c": 0.001, "d": 16, "e": None}


def test_all_structural_problems_at_once_with_hints() -> None:
    found = problems_of(
        "yanshou: 2\n"
        "list: wuhan-2024\n"
        'scenario: "10"\n'
        "mode: acceptence\n"
        "projct: {}\n"
        "project:\n"
        "  lead: {uscc: 914201}\n"
        "  published: 2024-13-41\n"
        "  deadline: 20240101\n"
        "  partners: {a: 1}\n"
        "target: [1]\n"
        "commitments:\n"
        "  S10-I03:\n"
        "    tagret: ≤ 2 ms\n"
        "    kind: measurd\n"
        "    define: {packet: 256}\n"
        '    source: {sha256: "12"}\n'
        "  S10-I03: {}\n"
        "measure:\n"
        "  S10-I03:\n"
        "    rule: {attempts: 21}\n"
        "  S10-I02: {rule: {confidence: 95}}\n"
        "  S10-I01: {rule: {subjects: most}}\n"
        "inspections:\n"
        "  S10-I01:\n"
        "    items:\n"
        "      - {id: a, txt: 1}\n"
        "      - {id: a, method: 看}\n"
    )
    expected = [
        (1, "E-VERSION", "yanshou: 1"),
        (3, "E-VALUE", "不加引号"),
        (4, "E-VALUE", "是不是 acceptance？"),
        (5, "E-KEY", "是不是 project？"),
        (7, "E-VALUE", "加上引号"),
        (8, "E-VALUE", "应为日期"),
        (9, "E-VALUE", "应为日期"),
        (10, "E-VALUE", "应为列表"),
        (11, "E-VALUE", "应为“键: 值”"),
        (14, "E-KEY", "是不是 target？"),
        (15, "E-VALUE", "是不是 measured？"),
        (16, "E-VALUE", "加上引号"),
        (17, "E-VALUE", "应符合"),
        (18, "E-KEY", "第 13 行已有"),
        (21, "E-VALUE", "≤ 20"),
        (22, "E-VALUE", "< 1"),
        (23, "E-VALUE", "all、together 或正整数"),
        (27, "E-KEY", "items[1].txt"),
        (28, "E-VALUE", "查阅、观察、询问、操作"),
    ]
    assert told(found) == [(line, code) for line, code, _ in expected]
    for problem, (_, _, words) in zip(found, expected, strict=True):
        assert words in f"{problem.text} {problem.remedy}"


def test_missing_keys() -> None:
    found = problems_of("yanshou: 1\nmode:\n")
    assert told(found) == [(1, "E-KEY"), (1, "E-KEY"), (2, "E-KEY")]
    assert {p.text for p in found} == {"缺少 list", "缺少 scenario", "缺少 mode"}


@pytest.mark.parametrize(
    ("text", "line", "code", "words"),
    [
        ("", 1, "E-CASE", "空"),
        ("# 只有注释\n", 1, "E-CASE", "空"),
        ("- a\n- b\n", 1, "E-YAML", "最外层"),
        ("只是一句话\n", 1, "E-YAML", "最外层"),
        (HEAD + "target: {kind: lab\n", 6, "E-YAML", "写法有误"),
        (HEAD + "target: a: b\n", 5, "E-YAML", "写法有误"),
        (HEAD + "target:\n\tkind: lab\n", 6, "E-YAML", "制表符"),
        (HEAD + "measure: &x {}\ninspections: *x\n", 5, "E-YAML", "引用"),
        (HEAD + "target: {<<: {kind: lab}}\n", 5, "E-KEY", "普通的词"),
        (HEAD + "? [a, b]\n: 1\n", 5, "E-KEY", "普通的词"),
        (HEAD + "target: !!python/object:os.system {}\n", 5, "E-YAML", "标签"),
        (HEAD + "measure: {X: {params: {a: .inf}}}\n", 5, "E-VALUE", "有限"),
        (HEAD + "target: {subjects: [甲, 甲]}\n", 5, "E-VALUE", "重复"),
        (HEAD + "---\nyanshou: 1\n", 5, "E-YAML", "写法有误"),
        (HEAD + "target: " + "[" * 600 + "\n", None, "E-YAML", "嵌套过深"),
        (HEAD + "target: \x07\n", None, "E-YAML", "不允许的字符"),
    ],
)
def test_bad_yaml(text: str, line: int | None, code: str, words: str) -> None:
    found = problems_of(text)
    assert (line, code) in told(found)
    assert any(words in p.text for p in found)


def test_every_tab_is_named() -> None:
    assert told(problems_of(HEAD + "target:\n\tkind: lab\n\tsite: x\n")) == [(6, "E-YAML"), (7, "E-YAML")]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "没有这个案卷文件"), (tmp_path / "no" / "case.yaml", "没有这个案卷文件")):
        with pytest.raises(UserError, match=words):
            load_case(path)
    (tmp_path / "case.yaml").write_bytes(HEAD.encode() + "target: {site: 武汉}\n".encode("gb18030"))
    with pytest.raises(UserError, match=r"case.yaml:5: E-YAML 不是 UTF-8 文本"):
        load_case(tmp_path)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_mark_and_line_endings(tmp_path: Path, mark: str, ending: str) -> None:
    data = (mark + HEAD + "target:\n  site: 武汉\n").replace("\n", ending).encode()
    (tmp_path / "case.yaml").write_bytes(data)
    case = load_case(tmp_path)
    assert case.sha256 == sha256(data).hexdigest()
    assert case.line("target", "site") == 6


def test_find_case_walks_upwards(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(HEAD, encoding="utf-8")
    below = tmp_path / "runs" / "0001"
    below.mkdir(parents=True)
    assert find_case(below) == find_case(tmp_path) == find_case(tmp_path / "case.yaml") == tmp_path / "case.yaml"


def test_find_case_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"E-CASE .*往上没有 case.yaml"):
        find_case(tmp_path)


def test_messages_are_one_line_and_without_personal_data() -> None:
    found = problems_of(HEAD + '"who@example.com\\n13800138000": 1\n')
    assert told(found) == [(5, "E-KEY")]
    assert "\n" not in str(found[0])
    assert "example.com" not in str(found[0])
    assert "13800138000" not in str(found[0])


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers(-3, 30) | st.text(max_size=4),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
                    max_leaves=8),
       st.sampled_from(["report", "project", "target", "commitments", "measure", "inspections", "acceptance", "list"]))  # fmt: skip
def test_any_value_anywhere_is_taken_or_refused_with_a_line(value: Json, key: str) -> None:
    text = HEAD.replace("list: wuhan-2024\n", "" if key == "list" else "list: wuhan-2024\n")
    text += f"{key}: {json.dumps(value)}\n"
    try:
        case = parse_case(text, Path("case.yaml"))
    except UserError as refused:
        lines = [p.line for p in refused.problems]
        assert all(line is not None and 1 <= line <= text.count("\n") for line in lines)
    else:
        assert check_case(case, SMALL)


# --- schema -------------------------------------------------------------------------------------------------------------


def plain(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def test_the_schema_describes_every_field_in_chinese_and_accepts_the_golden_case() -> None:
    schema = case_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    models = [schema, *(d for d in schema["$defs"].values() if "properties" in d)]
    assert len(models) > 10
    for model in models:
        assert not model["title"].isascii()
        assert model["additionalProperties"] is False
        for name, described in model["properties"].items():
            assert not described["description"].isascii(), (model["title"], name)
    jsonschema.validate(plain(load_case(GOLDEN).data), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"yanshou": 1, "list": "wuhan-2024", "scenario": 10, "mode": "test"}, schema)


# --- a new case ---------------------------------------------------------------------------------------------------------


def indicator(number: int, kind: Kind, limit: Limit, probe: str, *, group: str | None = None) -> Indicator:
    return Indicator(
        id=f"S01-I{number:02d}",
        scenario=1,
        name=f"指标{number}",
        kind=kind,
        limit=limit,
        group=group,
        source="inferred",
        ocr="原文",
        literal_part="",
        inferred_part="推断的字",
        must_define=(MustDefine("statistic", "统计量"),),
        default_reading="默认\n读法",
        judge_undefined=False,
        fatal_alone=True,
        probe=probe,
        statistic="p99",
    )


WORDING = Wording(None, "场景名", "literal")
SMALL = PublicList(
    id="wuhan-2024",
    title="小榜单",
    sha256="0" * 64,
    needs_official_confirmation=True,
    scenarios=(
        Scenario(
            number=1,
            name=WORDING,
            domain=WORDING,
            field=WORDING,
            task=WORDING,
            guidance=(),
            indicators=(
                indicator(1, Kind.MEASURED, Limit(Op.LE, Decimal("0.5"), "cm"), "rtt"),
                indicator(2, Kind.INSPECTED, Limit(Op.GE, Decimal(3), "款"), "inspection"),
                indicator(3, Kind.INSPECTED, Limit(Op.EQ, True, "bool"), "inspection"),
                indicator(4, Kind.INSPECTED, Limit(Op.GE, Decimal(2), "级"), "inspection"),
                indicator(5, Kind.COUNTED, Limit(Op.GE, Decimal(10), "家"), "records"),
            ),
            groups=(),
            qualitative=(Qualitative("S01-Q01", "提升", "提升", "literal", True),),
            self_target_required=False,
        ),
    ),
)


def fresh(public_list: PublicList, scenario: int, mode: Mode) -> tuple[Case, list[Problem]]:
    case = parse_case(new_case(public_list, scenario, mode, HELP), Path("case.yaml"))
    return case, check_case(case, public_list)


def test_a_new_case_carries_what_the_list_says() -> None:
    text = new_case(SMALL, 1, "self-check", HELP)
    for words in ("≤ 0.5 cm【恢复文字", "恢复：推断的字", "默认读法：默认 读法", "# 统计量", "默认统计量 p99"):
        assert words in text
    case, _ = fresh(SMALL, 1, Mode.SELF_CHECK)
    document = case.document
    assert [len(i.items) for i in document.inspections.values()] == [3, 1, 1]
    assert document.inspections["S01-I02"].items[2].id == "S01-I02-03"
    assert document.measure["S01-I01"].params == {"host": "<反射端 主机 的 地址>", "port": 862, "hosts": ["a", "b"]}
    assert document.measure["S01-I05"].params["unit"] == "家"
    assert "time" not in document.measure["S01-I05"].params
    assert "      # time: 时间列" in text.splitlines()
    assert [item.split()[0] for item in document.acceptance.content] == [*document.commitments]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("scenario", range(1, 11))
def test_check_names_every_blank_of_a_new_case_and_nothing_else(scenario: int, mode: Mode) -> None:
    case, found = fresh(load_list(), scenario, mode)
    blanks = {
        number
        for number, line in enumerate(case.text.splitlines(), 1)
        if "<" in line and not line.strip().startswith("#")
    }
    assert len(blanks) > 15
    assert {p.line for p in found} == blanks
    assert {p.code for p in found} <= {"C05", "C08", "C09"}
    assert (case.document.scenario, case.document.mode) == (scenario, mode)
    assert set(case.document.commitments) >= {i.id for i in load_list().scenario(scenario).indicators}


def test_scenario_3_has_one_own_indicator() -> None:
    case, _ = fresh(load_list(), 3, Mode.ACCEPTANCE)
    own = [name for name in case.document.commitments if "-P" in name]
    assert own == ["S03-P01"]
    assert any(item.startswith("S03-P01") for item in case.document.acceptance.content)


def test_unknown_scenario() -> None:
    with pytest.raises(KeyError):
        new_case(SMALL, 2, "demo", HELP)


def test_the_template_is_what_another_reader_reads_too() -> None:
    data = YAML(typ="safe", pure=True).load(new_case(load_list(), 10, "acceptance", HELP))
    assert data["measure"]["S10-I02"]["params"]["unit"] == "台(套)"


# ---- default methods


@pytest.mark.parametrize("scenario", range(1, 11))
def test_offered_requirements_can_be_taken_as_they_are(scenario: int) -> None:
    """With the marks taken away the requirements are committed to, planned with their instrument, and nothing else is wrong."""
    public_list = load_list()
    row = public_list.scenario(scenario)
    text = new_case(public_list, scenario, "acceptance", params_help())
    wanted = {q.id for q in row.qualitative if not q.needs_self_target}
    assert wanted.isdisjoint(parse_case(text, Path("case.yaml")).document.commitments)
    taken = text.replace(OFFER, "")
    case = parse_case(taken, Path("case.yaml"))
    assert wanted <= set(case.document.commitments)
    blanks = {n for n, line in enumerate(taken.splitlines(), 1) if "<" in line and not line.strip().startswith("#")}
    assert {p.line for p in check_case(case, public_list) if p.code != "C16"} == blanks
    for name in wanted:
        items = case.document.inspections[name].items
        assert [i.method for i in items] == [i.method for i in public_list.methods[name].items]
        assert all("；证据：" in i.expected for i in items)
        assert {bool(i.expert) for i in items} == {public_list.methods[name].expert}
        sheet = case.document.inspections[name]
        params = {"items": [i.model_dump(exclude_none=True) for i in items], "sheet": sheet.sheet}
        assert describe("inspection", params, None).samples == len(items)
        target = parse_target(case.document.commitments[name].target)
        assert (target.op, target.value, target.unit) == (Op.GE, len(items), Params.model_fields["unit"].default)


def test_a_counted_thing_gets_a_question_each_and_a_yes_no_all_of_its_own() -> None:
    public_list = load_list()
    models = parse_case(new_case(public_list, 1, "self-check", HELP), Path("case.yaml")).document.inspections
    assert [len(models[i].items) for i in ("S01-I03", "S01-I04")] == [5, 5]
    assert "公告" in models["S01-I03"].items[0].expected
    chain = parse_case(new_case(public_list, 5, "self-check", HELP), Path("case.yaml")).document.inspections
    assert [i.method for i in chain["S05-I05"].items] == ["查阅", "操作"]
    assert not any("<" in i.text for i in chain["S05-I05"].items)


def test_an_own_target_is_offered_the_default_instrument() -> None:
    text = new_case(load_list(), 10, "self-check", params_help())
    case = parse_case(text, Path("case.yaml")).document
    assert case.measure["S10-Q02"].probe == "records"
    assert case.commitments["S10-Q02"].kind is Kind.COUNTED
