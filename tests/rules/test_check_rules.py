"""Every rule of `check` has cases that pass it and cases that fail it, and names the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanshou.harness.basics import Problem
from yanshou.harness.case import Case, load_case, parse_case
from yanshou.harness.check import RULES, check_case
from yanshou.harness.evidence import sha256_bytes
from yanshou.harness.listing import PublicList, load_list

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "case_s10.yaml"
TEXT = GOLDEN.read_text(encoding="utf-8")

SCENARIO_6 = """\
yanshou: 1
list: wuhan-2024
scenario: 6
mode: self-check
commitments:
  S06-I01: {baseline: 5 cm, target: 2 cm}
  S06-I02: {baseline: 9 cm, target: 4 cm}
  S06-I03: {baseline: 1 cm, target: 5 mm}
  S06-I04: {baseline: 2 cm, target: 1 cm}
  S06-I05: {baseline: 10 个, target: 不少于100个, define: {counting_unit: 在用终端}}
  S06-I06: {baseline: 无, target: 不采用}
  S06-I07: {baseline: 无, target: 不采用}
"""
SCENARIO_5 = """\
yanshou: 1
list: wuhan-2024
scenario: 5
mode: self-check
commitments:
  S05-I04: {baseline: 不支持, target: 支持}
"""
SCENARIO_3 = """\
yanshou: 1
list: wuhan-2024
scenario: 3
mode: self-check
commitments:
  S03-P01: {name: 审图时长, kind: counted, baseline: 5 天, target: ≤ 2 天}
measure:
  S03-P01: {probe: records}
"""


@pytest.fixture(scope="module")
def public_list() -> PublicList:
    return load_list()


def changed(text: str, *changes: tuple[str, str]) -> Case:
    """`text` with each change made exactly once."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_case(text, Path("case.yaml"))


def of(code: str, problems: list[Problem]) -> list[Problem]:
    return [p for p in problems if p.code == code]


def test_the_golden_case_has_no_problem(public_list: PublicList) -> None:
    assert check_case(load_case(GOLDEN), public_list) == []


def test_ten_planted_mistakes_are_all_named_with_their_lines(public_list: PublicList) -> None:
    path = HERE / "ten_mistakes.yaml"
    found = check_case(load_case(path), public_list)
    assert [(p.line, p.code) for p in found] == [
        (11, "C12"),
        (15, "C10"),
        (19, "C15"),
        (31, "C04"),
        (36, "C03"),
        (43, "C08"),
        (50, "C05"),
        (57, "C07"),
        (84, "C02"),
        (95, "C09"),
    ]
    assert all(p.file == path and p.text and p.remedy for p in found)


CELL = "cell: 3行5列"
SOURCE = "{file: 申报材料.docx, cell: 3行5列}"
SCAN = (
    f"\nscan: {{file: inputs/扫描件.pdf, sha256: {'a' * 64}, table_sha256: {'b' * 64}, "
    "compared_by: [张三], compared_at: 2024-11-26}\n"
)


# (rule, text, changes, fragment of the line that must be named, words that must be in the message)
CORRECTION = "report: {number: B-2, replaces: {number: B-1, reason: 单位写错, changes: [第 3 章单位改为 ms]}}"
FAILING = [
    ("C01", TEXT, [("list: wuhan-2024", "list: wuhan-2023")], "list:", "wuhan-2023"),
    ("C01", TEXT, [("scenario: 10", "scenario: 11")], "scenario:", "场景 11"),
    ("C02", TEXT, [("  S10-I03:\n    baseline", "  S10-I30:\n    baseline")], "commitments:", "S10-I03"),
    ("C02", TEXT, [("  S10-I03:\n    baseline", "  S10-I30:\n    baseline")], "  S10-I30:", "是不是 S10-I03"),
    ("C02", TEXT, [("target: ２ｍｓ以内", "target: 不采用")], "target: 不采用", "不能不采用"),
    ("C02", TEXT, [("inspections:\n  S10-I01", "inspections:\n  S09-I01")], "  S09-I01:", "不是场景 10 的指标"),
    ("C02", TEXT, [("measure:\n", "measure:\n  S10-P01: {probe: rtt}\n")], "  S10-P01", "没有对应的承诺"),
    ("C02", SCENARIO_6, [("target: 不少于100个", "target: 不采用")], "commitments:", "S06-G1"),
    ("C03", TEXT, [("target: ２ｍｓ以内", "target: ≤ 2.001 ms")], "2.001", "弱于榜单 ≤ 2 ms"),
    ("C03", TEXT, [("target: ２ｍｓ以内", "target: ≤ 2001 us")], "2001", "弱于榜单"),
    ("C03", TEXT, [("target: ２ｍｓ以内", "target: ≥ 2 ms")], "target: ≥ 2 ms", "方向相反"),
    ("C03", TEXT, [("≥ 120 台（套）", "99台以上")], "99台", "弱于榜单 ≥ 100 台(套)"),
    ("C03", SCENARIO_5, [("target: 支持", "target: false")], "S05-I04", "弱于榜单"),
    ("C04", TEXT, [("target: 不少于 6 个", "target: 不少于 6 家")], "6 家", "不是同一种量"),
    ("C04", TEXT, [("target: ２ｍｓ以内", "target: 2 cm")], "2 cm", "不是同一种量"),
    ("C04", TEXT, [("target: ２ｍｓ以内", "target: 1~2 ms")], "1~2 ms", "范围"),
    ("C04", TEXT, [("target: ２ｍｓ以内", "target: ≤ 2")], "target: ≤ 2", "没有单位"),
    ("C05", TEXT, [("      load: 正常生产负载，不另加背景流量\n", "")], "    define:\n", "负载"),
    ("C05", TEXT, [("load: 正常", "loads: 正常")], "    define:\n", "是不是 load"),
    ("C05", TEXT, [("statistic: P99，丢失按超时计", "statistic: 按约定")], "statistic: 按约定", "读不出唯一的意思"),
    ("C05", TEXT, [("direction: 往返", "direction: 往返的一半")], "direction: 往返的一半", "读不出唯一的意思"),
    ("C05", TEXT, [("DR-1, confidence", "DR-1, statistic: p95, confidence")], "statistic: p95", "与补充说明的 p99 不一致"),
    ("C05", TEXT, [("simultaneity: 同一时刻在线", 'simultaneity: "<回答>"')], "<回答>", "同时在线还是累计"),
    ("C06", TEXT, [("target: 不少于1.2万件", "target: 不采用")], "commitments:", "专家评议"),
    ("C06", SCENARIO_3, [("target: ≤ 2 天", "target: 不采用")], "commitments:", "全部由专家评议"),
    ("C07", TEXT, [("target: 不少于1.2万件", "target: 1.2万件")], "1.2万件", "没有比较词"),
    ("C07", TEXT, [("    kind: counted\n", "")], "  S10-Q02:", "方法类别"),
    ("C07", SCENARIO_3, [("name: 审图时长, ", "")], "S03-P01", "没有名称"),
    ("C07", SCENARIO_3, [("{probe: records}", "{}")], "  S03-P01: {}", "没有仪器"),
    ("C07", SCENARIO_3, [("measure:\n  S03-P01: {probe: records}\n", "")], "S03-P01", "没有仪器"),
    ("C08", TEXT, [("    baseline: 8 ms", "    baseline:")], "    baseline:\n", "S10-I03.baseline"),
    ("C08", TEXT, [("    baseline: 8 ms\n", "")], "  S10-I03:", "本单位当前水平"),
    ("C08", TEXT, [("name: 某电子元件厂5G工厂", 'name: "<项目名称>"')], "<项目名称>", "project.name"),
    ("C08", TEXT, [("host: 192.0.2.10", 'host: "<反射端>"')], "<反射端>", "填写反射端"),
    ("C08", TEXT, [("mode: self-check", "mode: acceptance")], "虚构", "report.number"),
    ("C08", TEXT, [(", method: 查阅}", "}")], "S10-I01-06", "method"),
    ("C09", TEXT, [("    - S10-I03 控制链路", "    - 控制链路")], "  content:", "没有列出 S10-I03"),
    ("C09", TEXT, [("    - S10-I03 控制链路", "    - S10-I03、S10-I04 控制链路")], "S10-I04", "不是本案卷的指标"),
    ("C09", TEXT, [("    samples: 时延", "    # 时延")], "  method:\n", "样本量"),
    ("C09", TEXT, [("environment: 正常", 'environment: "<环境条件>" # ')], "<环境条件>", "环境条件"),
    ("C10", TEXT, [("deadline: 2025-03-31", "deadline: 2025-11-02")], "deadline:", "晚于发榜日"),
    ("C10", TEXT, [("deadline: 2025-03-31", "deadline: 2024-10-31")], "deadline:", "早于发榜日"),
    ("C10", TEXT, [("deadline: 2025-03-31", "deadline: 2025-04-01")], "deadline:", "2025-03"),
    ("C12", TEXT, [("91420100MA4K00001U", "91420100MA4K00001X")], "uscc", "校验不通过"),
    ("C12", TEXT, [("91420100MA4K00002Y", "91420100MA4K00001U")], "武汉某某通信", "只能有一个"),
    ("C13", TEXT, [("baseline: 8 ms", "baseline: 2000 us")], "2000 us", "存疑"),
    ("C13", TEXT, [("baseline: 40 台", "baseline: 120 台")], "120 台\n", "存疑"),
    ("C13", SCENARIO_5, [("baseline: 不支持", "baseline: 支持")], "S05-I04", "存疑"),
    ("C14", TEXT, [("note: 控制指令走专用切片", "note: 秘密★5年")], "秘密", "密级"),
    ("C14", TEXT, [("note: 控制指令走专用切片", "note: 机密")], "机密", "密级"),
    ("C14", TEXT, [("\nproject:", "\nreport: {edition: public}\nproject:")], "report:", "公开版"),
    ("C16", TEXT, [("mode: self-check", "mode: acceptance")], "commitments:", "没有登记盖章扫描件"),
    ("C16", TEXT, [("\nproject:", f"{SCAN}\nproject:")], "scan:", "找不到登记过的 inputs/扫描件.pdf"),
    ("C16", TEXT, [("\nproject:", f"{SCAN}\nproject:"), (f", table_sha256: {'b' * 64}", "")], "scan:", "没有成对登记"),
    ("C16", TEXT, [("\nproject:", f"{SCAN}\nproject:"), ("compared_by: [张三]", "compared_by: []")], "scan:", "没有人确认"),
    ("C16", TEXT, [("\nproject:", f"{SCAN}\nproject:"), (CELL, f"{CELL}, sha256: {'c' * 64}")], CELL, "不是与扫描件成对"),
    ("C17", TEXT, [(CELL, f"{CELL}, confirmed_by: []")], CELL, "还没有人确认"),
    ("C17", TEXT, [(CELL, f"{CELL}, text: 120台以上")], CELL, "还没有人确认"),
    ("C17", TEXT, [(SOURCE, "{file: 扫描件.pdf, cell: 第9页, confirmed_by: [张三]}")], "扫描件.pdf", "只有 张三 一人"),
    ("C17", TEXT, [(CELL, f"{CELL}, text: 不少于１５０台, confirmed_by: [张三]")], "≥ 120 台", "与出处原文“不少于１５０台”不同"),
    ("C18", TEXT, [("\nproject:", f"\n{CORRECTION}\nproject:"), ("B-2", "B-1")], "number: B-1", "同为 B-1"),
    ("C18", TEXT, [("\nproject:", f"\n{CORRECTION}\nproject:"), ("{number: B-1, ", "{")], "replaces:", "代替哪一份"),
    ("C18", TEXT, [("\nproject:", f"\n{CORRECTION}\nproject:"), ("reason: 单位写错, ", "")], "replaces:", "原因"),
    ("C18", TEXT, [("\nproject:", f"\n{CORRECTION}\nproject:"), (", changes: [第 3 章单位改为 ms]", "")], "replaces:", "改了什么"),
    ("C15", TEXT, [("note: 控制指令走专用切片", "note: 联系 138 0013 8000")], "联系", "手机号"),
    ("C15", TEXT, [("note: 控制指令走专用切片", "note: 联系１３８００１３８０００")], "联系", "手机号"),
    ("C15", TEXT, [("note: 控制指令走专用切片", "note: 11010519491231002X")], "1949", "身份证号"),
    ("C15", TEXT, [("note: 控制指令走专用切片", "# who@example.com")], "example", "邮箱"),
    ("C15", TEXT, [("note: 控制指令走专用切片", "note: 114.305392, 30.593098")], "114.", "高精度坐标"),
]  # fmt: skip
SEVERITIES = {
    "C06": {"warning"},
    "C12": {"warning"},
    "C13": {"warning"},
    "C05": {"error", "warning"},
    "C10": {"error", "note"},
    "C14": {"error", "note"},
    "C16": {"warning"},
    "C17": {"error", "warning"},
}


@pytest.mark.parametrize(("code", "text", "changes", "fragment", "words"), FAILING)
def test_a_case_that_breaks_the_rule(
    code: str, text: str, changes: list[tuple[str, str]], fragment: str, words: str, public_list: PublicList
) -> None:
    case = changed(text, *changes)
    found = of(code, check_case(case, public_list))
    named = [p for p in found if words in f"{p.text} {p.remedy}"]
    assert named, [str(p) for p in found]
    lines = {n for n, line in enumerate(case.text.splitlines(keepends=True), 1) if fragment in line}
    assert {p.line for p in named} & lines
    assert {p.severity for p in found} <= SEVERITIES.get(code, {"error"})


PASSING = [
    ("C01", TEXT, []),
    ("C02", SCENARIO_6, []),
    ("C02", SCENARIO_6, [("  S06-I07: {baseline: 无, target: 不采用}\n", "")]),
    ("C02", TEXT, [("commitments:\n", "commitments:\n  S10-P01: {name: 丢包率}\n")]),
    ("C03", TEXT, [("target: ２ｍｓ以内", "target: ≤ 2000 us")]),
    ("C03", TEXT, [("target: ２ｍｓ以内", "target: 小于 2 ms")]),
    ("C03", TEXT, [("≥ 120 台（套）", "100 台以上")]),
    ("C03", SCENARIO_5, []),
    ("C04", TEXT, [("target: ２ｍｓ以内", "target: ≤ 0.002 s")]),
    ("C04", SCENARIO_5, [("target: 支持", "target: true")]),
    ("C05", TEXT, [("statistic: P99，丢失按超时计", "statistic: 最大值")]),
    ("C05", TEXT, [("DR-1, confidence", "DR-1, statistic: p99, confidence")]),
    ("C06", TEXT, [("target: 不少于1.2万件", "target: 超过12000件")]),
    ("C06", SCENARIO_5, []),
    ("C07", TEXT, [("target: 不少于1.2万件", "target: 超过12000件")]),
    ("C07", SCENARIO_3, []),
    ("C08", TEXT, [("      key: [serial]\n", "      key: [serial]\n      time: null\n")]),
    ("C08", TEXT, [("  subjects: []\n", "")]),
    ("C09", TEXT, [("    - S10-I03 控制", "    - 设备连接数 S10-I02 与传输时延S10-I03：控制")]),
    ("C10", TEXT, [("published: 2024-11-01", "published: 2024-04-01"), ("deadline: 2025-03-31", "deadline: 2025-03-31")]),
    ("C12", TEXT, [('  partners:\n    - {name: 武汉某某通信有限公司, uscc: "91420100MA4K00002Y"}\n', "")]),
    ("C13", TEXT, [("baseline: 8 ms", "baseline: 尚未测过")]),
    ("C13", TEXT, [("baseline: 8 ms", "baseline: 2.001 ms")]),
    ("C14", TEXT, [("note: 控制指令走专用切片", "note: 不涉及国家秘密，含商业秘密")]),
    ("C16", TEXT, []),
    ("C18", TEXT, [("\nproject:", f"\n{CORRECTION}\nproject:")]),
    ("C17", TEXT, [(CELL, f"{CELL}, text: 大于等于120套, confirmed_by: [张三]")]),
    ("C17", TEXT, [(CELL, f"{CELL}, text: 不少于120台，覆盖三条产线, confirmed_by: [张三]")]),
    ("C17", TEXT, [(CELL, f"{CELL}, text: 明显增加, confirmed_by: [张三]")]),
    ("C17", TEXT, [(SOURCE, "{file: 扫描件.pdf, cell: 第9页, confirmed_by: [张三, 李四]}")]),
    ("C15", TEXT, [("note: 控制指令走专用切片", "note: 座机 027-65000000，1.500000 m，摘要 a13800138000b")]),
    ("C15", TEXT, [("note: 控制指令走专用切片", "note: 114.3054 与 110105194912310021 与 12.345678")]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "changes"), PASSING)
def test_a_case_that_keeps_the_rule(
    code: str, text: str, changes: list[tuple[str, str]], public_list: PublicList
) -> None:
    assert [str(p) for p in of(code, check_case(changed(text, *changes), public_list))] == []


def test_every_rule_has_both(public_list: PublicList) -> None:
    codes = [rule.code for rule in RULES]
    assert codes == [f"C{n:02d}" for n in range(1, 19) if n != 11]
    assert set(codes) == {row[0] for row in FAILING} == {row[0] for row in PASSING}
    assert all(rule.title and not rule.title.isascii() for rule in RULES)
    case = load_case(HERE / "ten_mistakes.yaml")
    for rule in RULES:
        assert {p.code for p in rule.find(case, public_list)} <= {rule.code}


def test_the_pair_of_scan_and_table_holds_as_long_as_the_files_do(tmp_path: Path, public_list: PublicList) -> None:
    (tmp_path / "inputs").mkdir()
    digests = {}
    for name in ("表1.docx", "扫描件.pdf"):
        (tmp_path / "inputs" / name).write_bytes(name.encode())
        digests[name] = sha256_bytes(name.encode())
    source = f"{{file: inputs/表1.docx, cell: 3行5列, sha256: {digests['表1.docx']}, confirmed_by: [张三]}}"
    text = TEXT.replace("mode: self-check", "mode: acceptance").replace(SOURCE, source)
    scan = SCAN.replace("a" * 64, digests["扫描件.pdf"]).replace("b" * 64, digests["表1.docx"])
    case = parse_case(text.replace("\nproject:", f"{scan}\nproject:"), tmp_path / "case.yaml")
    assert of("C16", check_case(case, public_list)) == []
    (tmp_path / "inputs/表1.docx").write_bytes(b"changed")
    (found,) = of("C16", check_case(case, public_list))
    assert "inputs/表1.docx 与登记的摘要不符" in found.text
    assert case.text.splitlines()[(found.line or 0) - 1].strip().startswith("source:")


@pytest.mark.parametrize(
    ("file", "said"),
    [("/dev/zero", "不是案卷里的文件"), ("../表1.docx", "不是案卷里的文件"), ("inputs/链接", "不是普通文件")],
)
def test_what_a_case_names_as_its_source_is_a_file_of_the_case(
    tmp_path: Path, public_list: PublicList, file: str, said: str
) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs/链接").symlink_to("/dev/zero")
    source = f"{{file: {file}, cell: 3行5列, sha256: {'a' * 64}, confirmed_by: [张三]}}"
    case = parse_case(TEXT.replace(SOURCE, source), tmp_path / "case.yaml")
    assert said in " ".join(p.text for p in of("C16", check_case(case, public_list)))


def test_an_open_reading_is_an_error_only_where_it_forbids_a_verdict(public_list: PublicList) -> None:
    found = check_case(changed(TEXT, ("      scenes:", "      scene:"), ("      clock:", "      clocks:")), public_list)
    assert [(p.code, p.severity) for p in found] == [("C05", "warning"), ("C05", "error")]
    assert "口径未定" in found[1].text


def test_a_section_that_may_be_left_out_may_be_empty(public_list: PublicList) -> None:
    case = parse_case(SCENARIO_5 + "measure:\ninspections:\n", Path("case.yaml"))
    assert not [p for p in check_case(case, public_list) if p.text.startswith(("measure", "inspections"))]


def test_declined_members_need_nothing_else(public_list: PublicList) -> None:
    case = changed(SCENARIO_6, ("  S06-I06: {baseline: 无, ", "  S06-I06: {"))
    assert not [p for p in check_case(case, public_list) if "S06-I06" in p.text or "S06-I07" in p.text]


@pytest.mark.parametrize("datum", ["13800138000", "11010519491231002X", "who@example.com", "114.305392"])
def test_personal_data_is_never_repeated(datum: str, public_list: PublicList) -> None:
    """Typed into a target it is named by C04 and C15, but neither prints it."""
    found = check_case(changed(TEXT, ("target: ２ｍｓ以内", f"target: 不超过 {datum} ms，见附件")), public_list)
    assert {"C04", "C15"} <= {p.code for p in found}
    assert not [p for p in found if datum in str(p)]


def test_a_leap_day_publication_ends_on_the_last_of_february(public_list: PublicList) -> None:
    dates = [("published: 2024-11-01", "published: 2024-02-29")]
    assert of("C10", check_case(changed(TEXT, *dates, ("2025-03-31", "2025-02-28")), public_list)) == []
    assert of("C10", check_case(changed(TEXT, *dates, ("2025-03-31", "2025-03-01")), public_list))
