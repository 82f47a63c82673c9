"""Two records side by side: what the same indicators came to, and where the plans behind them differ. Pure.

It is for self-check against acceptance, and before against after a rectification. It must never judge: which of two is better is
for people, who see both plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from yanshou.harness.basics import Json
from yanshou.harness.model import Verdict
from yanshou.reports.display import Data, display, limit_text, quantity, statistic_word

OWN = {"case_sha256", "frozen", "seed", "revision"}
"""Fields of a plan that differ between any two plans and say nothing by it."""
WORDS = {
    "alpha": "α", "attempts": "允许的次数", "baseline": "原有水平", "commitment_limit": "承诺限值", "commitment_text": "承诺原文",
    "conditions": "工况", "confidence": "置信水平", "decision": "判定规则", "definition": "口径",
    "answer": "约定", "direction": "方向",
    "equipment": "设备", "indicators": "指标", "instrument": "仪器", "limit": "有效限值", "list": "榜单",
    "list_limit": "榜单限值",
    "mode": "性质", "name": "名称", "not_planned": "未纳入的指标",
    "note": "补充说明", "op": "方向", "params": "参数", "probe": "仪器名",
    "qualitative": "定性要求", "required_subjects": "须符合的个数", "samples": "样本", "samples_needed": "至少样本",
    "scenario": "场景", "scenario_name": "场景名称", "seconds": "时长", "statistic": "统计量", "subjects": "受检个体",
    "target_kind": "受检对象", "tool": "工具", "undefined": "未约定的口径", "unit": "单位", "value": "数值", "version": "版本",
    "items": "条目", "expected": "要求", "sha256": "摘要", "commit": "提交", "text": "文字", "groups": "指标组", "key": "项",
}  # fmt: skip
"""How the fields of a plan are printed; others, and what they hold, as they are."""
MOST = 300
"""Differences that are shown."""


@dataclass(frozen=True)
class Pair:
    """One indicator in both records; None where a record does not have it. `changes` says in words what differs."""

    indicator: str
    name: str
    first: Data | None
    second: Data | None
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One place of two plans that is not the same, and what stands there; "—" where nothing does."""

    place: str
    first: str
    second: str

    @property
    def words(self) -> str:
        """The place as it is printed."""
        return " › ".join(WORDS.get(part, part) for part in self.place.split("."))


def pairs(first: Data, second: Data) -> list[Pair]:
    """Every indicator of either record, in the order of their ids."""
    a, b = ({f["indicator"]: f for f in record["findings"]} for record in (first, second))
    return [
        Pair(i, str((a.get(i) or b[i])["name"]), a.get(i), b.get(i), tuple(_changes(a.get(i), b.get(i))))
        for i in sorted({*a, *b})
    ]


def _changes(a: Data | None, b: Data | None) -> Iterator[str]:
    if a is None or b is None:
        yield "只在乙" if a is None else "只在甲"
        return
    if a["verdict"] != b["verdict"]:
        yield f"判定：{Verdict(a['verdict']).word} → {Verdict(b['verdict']).word}"
    if a["limit"] != b["limit"]:
        yield f"限值：{limit_text(a['limit'])} → {limit_text(b['limit'])}"
    if (a["statistic"], a["unit"]) != (b["statistic"], b["unit"]):
        yield f"统计量：{statistic_word(a['statistic'])}/{a['unit']} → {statistic_word(b['statistic'])}/{b['unit']}"
    ways = [(f["method"]["probe"], f["method"]["version"]) if f.get("method") else ("", "") for f in (a, b)]
    if ways[0] != ways[1]:
        yield f"仪器：{' v'.join(map(str, ways[0]))} → {' v'.join(map(str, ways[1]))}"
    if a["alpha"] != b["alpha"]:
        yield f"α：{display(a['alpha'], digits=3)} → {display(b['alpha'], digits=3)}"


def bounds(f: Data) -> str:
    """Both bounds of a finding, ∞ where one is infinite; "" where it has none."""
    if all(f[k] is None and k not in f["infinite"] for k in ("lower", "upper")):
        return ""
    one, two = ("∞" if k in f["infinite"] else quantity(f[k], f["unit"], f["limit"]) for k in ("lower", "upper"))
    return f"{one} 至 {two}"


def value(f: Data) -> str:
    """The measured value of a finding."""
    return "∞" if "value" in f["infinite"] else quantity(f["value"], f["unit"], f["limit"])


def plan_differences(first: Json, second: Json) -> list[Difference]:
    """Every place where two plans differ but for OWN; indicators are matched by their ids."""
    return list(_different(_keyed(first), _keyed(second), ""))


def _keyed(value: Json) -> Json:
    """Lists of things that have a name, by that name."""
    if isinstance(value, Mapping):
        return {k: _keyed(v) for k, v in value.items() if k not in OWN}
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        for name in ("id", "key", "condition", "name"):
            names = [v.get(name) for v in value]
            if all(isinstance(n, str) for n in names) and len(set(names)) == len(names):
                return {n: _keyed({k: x for k, x in v.items() if k != name}) for n, v in zip(names, value, strict=True)}
    return [_keyed(v) for v in value] if isinstance(value, list) else value


def _different(a: Json, b: Json, place: str) -> Iterator[Difference]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _different(a.get(key), b.get(key), f"{place}.{key}" if place else str(key))
    elif a != b or type(a) is not type(b):
        one_has = (isinstance(a, Mapping) or isinstance(b, Mapping)) and None in (a, b)
        yield Difference(place, *(("—" if v is None else "有") if one_has else _said(v) for v in (a, b)))


def _said(value: Json) -> str:
    if isinstance(value, Mapping):
        text = "，".join(f"{k} {_said(v)}" for k, v in value.items())
    elif isinstance(value, list):
        text = "、".join(map(_said, value))
    elif isinstance(value, bool):
        text = "是" if value else "否"
    else:
        text = "" if value is None else str(value)
    text = text or "—"
    return text if len(text) <= 160 else text[:159] + "…"
