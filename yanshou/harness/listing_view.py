"""The public list for people (tables of `yanshou list`) and for programs (plain JSON).

It is for showing how sure each wording is, in words and never by colour alone. It must never print, decide or change anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from enum import Enum
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yanshou.harness.basics import Json
from yanshou.harness.listing import Indicator, PublicList, Scenario, Wording
from yanshou.harness.model import plain_number

SOURCE_WORDS = {"literal": "原文", "inferred": "恢复"}
CONFIDENCE_WORDS = {"high": "把握高", "medium": "把握中", "low": "把握低"}
UNCONFIRMED = "榜单据通知的 OCR 文本恢复；正式使用前须由市数据局或评测机构对照原件确认。"
LEGEND = "原文 = 可在通知中逐字读到；恢复 = 有一部分靠推断，【】内为推断的补字或改字。"


def overview(public_list: PublicList) -> Table:
    """One line per scenario: number, name, number of indicators (how many restored) and default instruments."""
    table = _table("场景 名称 措辞 指标 其中恢复 *默认仪器")
    table.title = Text(public_list.title, style="bold")
    notes = [LEGEND, UNCONFIRMED if public_list.needs_official_confirmation else ""]
    table.caption = Text("\n".join([*filter(None, notes), f"{public_list.id} SHA-256 {public_list.sha256}"]))
    table.caption_justify = "left"
    for scenario in public_list.scenarios:
        probes = Counter(i.probe for i in scenario.indicators)
        _row(
            table,
            scenario.number,
            scenario.name.restored,
            SOURCE_WORDS[scenario.name.source],
            len(scenario.indicators),
            sum(i.source == "inferred" for i in scenario.indicators),
            "、".join(f"{name}×{n}" for name, n in sorted(probes.items())) or "由项目自报",
        )
    return table


def detail(scenario: Scenario) -> Group:
    """Everything the list says about one scenario; at its best from 100 columns on."""
    parts: list[RenderableType] = [Text(f"场景 {scenario.number}  {scenario.name.restored}", style="bold"), ""]
    parts += [_wordings(scenario)]
    if scenario.indicators:
        parts += [_heading("重点指标"), _indicators(scenario)]
    parts += [Text(f"{i.id}：{_restoration(i)}") for i in scenario.indicators if i.source == "inferred"]
    parts += [Text(f"{g.id}：{'、'.join(g.members)}，有一项符合即可（原文“{g.ocr}”）") for g in scenario.groups]
    if scenario.self_target_required:
        parts += ["", Text("榜单没有给出数字：项目须在表1自报量化指标，否则只能专家评议。")]
    if any(i.must_define for i in scenario.indicators):
        parts += [_heading("榜单没有说清、由项目与评测机构商定后写入 define 的问题"), _questions(scenario)]
    if strict := [i.id for i in scenario.indicators if not i.judge_undefined]:
        parts += [Text(f"{'、'.join(strict)}：有一问未答即为口径未定，不予判定。")]
    if any(i.default_reading for i in scenario.indicators):
        parts += [_heading("默认读法"), _readings(scenario)]
    parts += [_heading("定性要求"), _qualitative(scenario), Text(LEGEND)]
    return Group(*parts)


def to_json(scenario: Scenario) -> dict[str, Json]:
    """All fields of a scenario as JSON data."""
    return asdict(scenario, dict_factory=lambda pairs: {key: _plain(value) for key, value in pairs})


def _plain(value: Any) -> Json:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return plain_number(value)
    return list(value) if isinstance(value, tuple) else value


def _wordings(scenario: Scenario) -> Table:
    texts = {
        "场景名称": scenario.name,
        "技术领域": scenario.domain,
        "应用领域": scenario.field,
        "指导单位": scenario.guidance_wording,
        "场景任务": scenario.task,
    }
    table = _table("榜单 *恢复文字〔措辞〕")
    for label, wording in texts.items():
        _row(table, label, f"{wording.restored}〔{_standing(wording)}〕")
    return table


def _indicators(scenario: Scenario) -> Table:
    table = _table("编号 *指标 限值 类别 默认仪器 组 措辞")
    for i in scenario.indicators:
        _row(table, i.id, i.name, i.limit, i.kind.word, i.probe, i.group or "必须", SOURCE_WORDS[i.source])
    return table


def _questions(scenario: Scenario) -> Table:
    asked: dict[tuple[str, str], list[str]] = {}
    for indicator in scenario.indicators:
        for question in indicator.must_define:
            asked.setdefault((question.key, question.ask), []).append(indicator.id)
    table = _table("键 *问题 *用于")
    for (key, ask), ids in asked.items():
        _row(table, key, ask, "、".join(ids))
    return table


def _readings(scenario: Scenario) -> Table:
    table = _table("编号 *补充说明没有写明时")
    for i in scenario.indicators:
        if i.default_reading:
            _row(table, i.id, i.default_reading)
    return table


def _qualitative(scenario: Scenario) -> Table:
    table = _table("编号 *要求 措辞 怎样判定")
    for q in scenario.qualitative:
        how = "对照项目自报的指标，没有则专家评议" if q.needs_self_target else "专家评议"
        _row(table, q.id, q.text + (f"（{q.note}）" if q.note else ""), SOURCE_WORDS[q.source], how)
    return table


def _standing(wording: Wording) -> str:
    """How sure a wording is, and what else it may have been."""
    parts = [SOURCE_WORDS[wording.source]]
    if wording.confidence:
        parts.append(CONFIDENCE_WORDS[wording.confidence])
    if wording.alternatives:
        parts.append(f"或为{'、'.join(wording.alternatives)}")
    if wording.note:
        parts.append(wording.note)
    return "；".join(parts)


def _restoration(indicator: Indicator) -> str:
    """Which part of a restored indicator rests on inference."""
    parts = [f"恢复，{indicator.inferred_part}（原文“{indicator.ocr}”）"]
    if indicator.confidence:
        parts.append(CONFIDENCE_WORDS[indicator.confidence])
    if not indicator.fatal_alone:
        parts.append("不单独导致不符合")
    return "；".join(parts)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(columns: str) -> Table:
    """An empty table; only columns marked * may be folded where the terminal is narrow."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns.split():
        table.add_column(Text(column.lstrip("*")), no_wrap=not column.startswith("*"), overflow="fold")
    return table


def _row(table: Table, *cells: object) -> None:
    """Cells as plain text: the words of the list are never markup."""
    table.add_row(*(Text(str(cell), overflow="fold") for cell in cells))
