"""A new case.yaml: commented, with a blank for everything that a person must fill in. It must never fill one in itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_jsonable_python

from yanshou.harness.basics import Json
from yanshou.harness.case import DECLINED, INSPECTION, Method
from yanshou.harness.listing import CheckItem, DefaultMethod, Indicator, PublicList, Scenario
from yanshou.harness.model import Mode
from yanshou.harness.units import dimension


@dataclass(frozen=True)
class ParameterHelp:
    """One parameter of a probe for a person who fills it in; `default` is JSON and means nothing where it is required."""

    name: str
    required: bool
    default: Json
    description: str


BEFORE_HINT = "before: {params: {…}} 目标是变化量时，改造前的水平怎么测；只自报而没有证据不能判符合"
OFFER = "#? "
"""Before a line that is only offered: whoever wants it takes this away."""
Methods = Mapping[str, DefaultMethod]
ParamsHelp = Mapping[str, Sequence[ParameterHelp]]
"""Probe -> its parameters."""


def new_case(public_list: PublicList, scenario: int, mode: str, params_help: ParamsHelp) -> str:
    """A commented case.yaml for a person to fill in: every `<…>` is a blank that `check` names. Raises KeyError."""
    row = public_list.scenario(scenario)
    methods = public_list.methods
    sections = [
        _head(public_list, row, mode),
        _commitments(row, methods),
        _measures(row, methods, params_help),
        _inspections(row, methods),
        _acceptance(row, methods),
    ]
    return "\n".join(line for section in sections for line in section) + "\n"


def _quoted(text: str) -> str:
    """A double-quoted YAML scalar on one line."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _placeholder(hint: str) -> str:
    """A placeholder that says what to write."""
    return _quoted(f"<{re.sub('[<>]', '', hint)}>")


def _comment(indent: str, *texts: str) -> Iterator[str]:
    yield from (f"{indent}# {' '.join(text.split())}" for text in texts if text)


def _own(row: Scenario) -> Iterator[tuple[str, str]]:
    """(id, title) of what a project has to set a target for itself."""
    if row.self_target_required:
        yield f"S{row.number:02d}-P01", "自报指标"
    for requirement in row.qualitative:
        if requirement.needs_self_target:
            yield requirement.id, requirement.text


def _offered(row: Scenario, methods: Methods) -> Iterator[tuple[str, str]]:
    """(id, text) of the requirements that may be inspected: they are written down behind OFFER."""
    for requirement in row.qualitative:
        if requirement.id in methods and not requirement.needs_self_target:
            yield requirement.id, requirement.text


_HEAD = """\
# {title}　场景 {number}　{name}
# 填写所有 <…>，然后运行 yanshou check；目标照申报材料原样写，如 ≤ 2 ms、不少于10万条、支持。
# 编辑器补全：yanshou schema case > case.schema.json
yanshou: 1
list: {list_id}
scenario: {number}
mode: {mode}  # acceptance 正式验收，self-check 自检，demo 演示
{formal}
project:
  name: "<项目名称>"
  lead:
    name: "<牵头单位全称>"
    uscc: "<统一社会信用代码，18 位>"
  partners: []  # 联合单位，每个写 - {{name: 全称, uscc: 代码}}
  published: "<发榜日，如 2024-11-01>"
  deadline: "<完成时限，发榜之日起一年内>"

target:
  kind: "<production 生产环境、lab 实验室、simulator 模拟>"
  site: "<地点>"
  version: "<系统名称与版本>"
  condition: "<测试时的状态>"
  subjects: []  # 一个案卷有几个受检对象时逐个列出，如车型、基站
"""
_FORMAL = """
report:
  number: "<报告编号>"
  edition: restricted  # 不公开；只有判定的公开版在封存后由 yanshou package --public 写

evaluator:
  name: "<评测机构名称>"
  address: "<地址>"
  people:
    - {name: "<姓名>", role: "<检测、审核、批准>"}

client:
  name: "<委托方名称>"
  contact: "<通信地址或座机，不写手机号与邮箱>"
"""


def _head(public_list: PublicList, row: Scenario, mode: str) -> Iterator[str]:
    formal = _FORMAL if mode == Mode.ACCEPTANCE else ""
    yield _HEAD.format(
        title=public_list.title,
        number=row.number,
        name=row.name.restored,
        list_id=public_list.id,
        mode=mode,
        formal=formal,
    ).rstrip()


def _commitments(row: Scenario, methods: Methods) -> Iterator[str]:
    yield from ("", "# 表1 重点指标，可用 yanshou import 从申报材料导入", "commitments:")
    members = {member: group for group in row.groups for member in group.members}
    for indicator in row.indicators:
        wording = "【恢复文字，须对照原件】" if indicator.source == "inferred" else ""
        group = members.get(indicator.id)
        yield from _comment(
            "  ",
            f"{indicator.id} {indicator.name}（{indicator.kind.word}）：榜单 {indicator.limit}{wording}",
            f"原文：{indicator.ocr}",
            f"恢复：{indicator.inferred_part}" if indicator.inferred_part else "",
            f"默认读法：{indicator.default_reading}" if indicator.default_reading else "",
            f"默认方法：{methods[indicator.id].how}" if indicator.id in methods else "",
            f"{'、'.join(group.members)} 有一项符合即可；不采用的写 target: {DECLINED}" if group else "",
        )
        yield f"  {indicator.id}:"
        yield f"    baseline: {_placeholder('本单位当前水平，带单位')}"
        yield f"    target: {_placeholder(f'项目建设目标，不弱于 {indicator.limit}')}"
        if indicator.must_define:
            yield "    define:"
        for question in indicator.must_define:
            yield from _comment("      ", question.ask)
            yield f"      {question.key}: {_placeholder('回答')}"
    for name, title in _own(row):
        listed = name in row.ids
        yield from _comment(
            "  ",
            f"{name} {title}",
            "榜单没有数字；不自报量化目标则删去各处的本项，由专家评议" if listed else "可仿照增加 P02、P03……",
        )
        method = methods.get(name)
        yield from _comment("  ", f"默认方法：{method.how}" if method else "")
        yield f"  {name}:"
        yield f"    name: {_quoted(title) if listed else _placeholder('指标名称')}"
        kinds = "measured 测量、counted 计数、inspected 查验"
        yield f"    kind: {method.kind.value}  # {kinds}" if method else f"    kind: {_placeholder(kinds)}"
        yield f"    baseline: {_placeholder('本单位当前水平，带单位')}"
        yield f"    target: {_placeholder('项目建设目标，含比较词与单位，如 ≥ 60 fps；或变化量，如 缩短 30 %')}"
    offered = list(_offered(row, methods))
    if offered:
        yield from _comment(
            "  ",
            f"定性要求 {'、'.join(name for name, _ in offered)}：不纳入则由专家评议；纳入则按下面备好的查验清单逐项查验，参加结论",
            f"要纳入，把本文件各处的“{OFFER}”全部删去",
        )
    for name, text in offered:
        items = len(methods[name].items)
        lines = (f"{name}:", f"  name: {_quoted(text)}", "  kind: inspected", "  baseline: 0 个")
        yield from (f"  {OFFER}{line}" for line in lines)
        yield f"  {OFFER}  target: 不少于 {items} 个  # 查验清单的条目，全部为“是”"


def _measures(row: Scenario, methods: Methods, params_help: ParamsHelp) -> Iterator[str]:
    measured = [indicator for indicator in row.indicators if indicator.probe != INSPECTION]
    own, offered = list(_own(row)), list(_offered(row, methods))
    if not measured and not own and not offered:
        return
    bare = not measured and not own
    yield from ("", "# 仪器、参数与判定规则；没有列出的指标用默认仪器与规则", f"{OFFER if bare else ''}measure:")
    for indicator in measured:
        yield from _comment("  ", f"{indicator.id} {indicator.name}")
        yield from (f"  {indicator.id}:", f"    probe: {indicator.probe}", "    params:")
        for parameter in params_help.get(indicator.probe, ()):
            yield _parameter(parameter, indicator.limit.unit)
        if indicator.statistic:
            yield from _comment("    ", f"默认统计量 {indicator.statistic}")
        yield "    rule: {decision: DR-1, confidence: 0.95, attempts: 1, subjects: all}"
    known = "、".join(params_help) or "仪器"
    for name, _ in own:
        yield f"  {name}:"
        yield from _comment("    ", BEFORE_HINT)
        if name not in methods:
            yield f"    probe: {_placeholder(known)}"
            continue
        probe = methods[name].probe
        yield from (f"    probe: {probe}  # 可选 {known}", "    params:")
        for parameter in params_help.get(probe, ()):
            yield _parameter(parameter, "")
    for name, _ in offered:
        yield f"  {OFFER}{name}: {{probe: {methods[name].probe}}}"


def _parameter(parameter: ParameterHelp, unit: str) -> str:
    """A blank where it is required, its default with help where it has one, else a line to take the # from."""
    description = " ".join(parameter.description.split())
    if parameter.required:
        return f"      {parameter.name}: {_placeholder(description)}"
    if parameter.default is None:
        return f"      # {parameter.name}: {description}"
    value = unit if parameter.name == "unit" and unit else to_jsonable_python(parameter.default)
    return f"      {parameter.name}: {json.dumps(value, ensure_ascii=False)}  # {description}"


def _inspections(row: Scenario, methods: Methods) -> Iterator[str]:
    inspected = [indicator for indicator in row.indicators if indicator.probe == INSPECTION]
    offered = list(_offered(row, methods))
    if inspected or offered:
        yield from ("", "# 查验清单，随计划冻结；答案写在 sheet 指的答卷里。可增删条目")
        yield "inspections:" if inspected else f"{OFFER}inspections:"
    for indicator in inspected:
        yield from _comment("  ", f"{indicator.id} {indicator.name}：榜单 {indicator.limit}")
        yield from _sheet(indicator.id, _questions(indicator, methods.get(indicator.id)), names=indicator.names)
    for name, text in offered:
        yield f"  {OFFER}# {name} {text}"
        told = [(item.text, item) for item in methods[name].items]
        yield from (f"  {OFFER}{line[2:]}" for line in _sheet(name, told, expert=methods[name].expert))


def _sheet(
    name: str, items: Sequence[tuple[str, CheckItem]], *, expert: bool = False, names: str | None = None
) -> Iterator[str]:
    yield from (f"  {name}:", f"    sheet: inspections/{name}.yaml", "    items:")
    for number, (text, item) in enumerate(items, 1):
        evidence = f"；证据：{item.evidence}" if item.evidence else ""
        yield f"      - id: {name}-{number:02d}"
        yield f"        text: {_placeholder(text) if item.each else _quoted(text)}"
        yield f"        expected: {_quoted(item.expected + evidence)}"
        yield f"        method: {item.method}  # 查阅、观察、询问、操作"
        if expert:
            yield "        expert: true  # 只收集证据，结论由专家给出"
        if names:
            yield f"        named: {names}  # observed 里须写明的名称，各条不得相同"


def _questions(indicator: Indicator, method: DefaultMethod | None) -> list[tuple[str, CheckItem]]:
    """(text, item) of an indicator's checklist: what is counted thing by thing, else the items as they are."""
    number = _items(indicator)
    plain = CheckItem(
        f"{indicator.name}：名称与地点" if number > 1 else indicator.name,
        indicator.default_reading or str(indicator.limit), "", "操作", number > 1,
    )  # fmt: skip
    items = method.items if method else (plain,)
    return [
        (f"{item.text}，第 {index} 项" if item.each else item.text, item)
        for item in items
        for index in range(1, (number if item.each else 1) + 1)
    ]


def _items(indicator: Indicator) -> int:
    """One item for each thing that is counted; one for a yes/no, a grade or a measured quantity."""
    unit, value = indicator.limit.unit, indicator.limit.value
    countable = dimension(unit) == unit and unit not in ("bool", "级") and value == int(value)
    return int(value) if countable else 1


def _acceptance(row: Scenario, methods: Methods) -> Iterator[str]:
    yield from ("", "# 申报任务书 五、项目验收", "acceptance:", "  content:")
    for name, title in [*((i.id, i.name) for i in row.indicators), *_own(row)]:
        yield f"    - {_quoted(f'{name} {title}')}"
    for name, text in _offered(row, methods):
        yield f"    {OFFER}- {_quoted(f'{name} {text}')}"
    yield "  method:"
    for key, field in Method.model_fields.items():
        yield f"    {key}: {_placeholder(str(field.title))}"
