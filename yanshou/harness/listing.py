"""The public list (榜单) as data: ten scenarios, their indicators, and how sure the wording is.

It is for knowing what the list says, literally or by restoration. It must never hold a commitment, a measurement or a verdict.
Data: yanshou/scenarios/<list folder>/s??_*.yaml, reference_lists.yaml, methods.yaml, list.yaml, notice.txt. YAML 1.2, read
strictly: a key that nobody asks for, a duplicate, a missing one or an OCR fragment that is not in the notice refuses all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from pathlib import Path

from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.model import Kind, Limit, Op
from yanshou.harness.strict_yaml import YamlMap, decode, read_bytes


@dataclass(frozen=True)
class MustDefine:
    """A question the list leaves open and the commitment must answer under `define.<key>`.

    `readings`: what an unanswered one may mean, where that is known: each is then judged, and they must agree. For
    `statistic` these are codes of statistics; for anything else words, and the instrument says what they come to.
    """

    key: str
    ask: str
    readings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Indicator:
    """One 重点指标 of the list.

    `source` is "literal" or "inferred" (then `inferred_part` says which part); `judge_undefined` is False where an open
    question forbids any verdict (口径未定). `fatal_alone` is False for wording too unsure to fail a case by itself.
    `group` is None for AND, else the id of its any-group. `probe` is the default instrument, `statistic` the default
    statistic of a measured indicator or None when only the commitment can say. `method` holds the ways to verify, main one
    first ("a" probe on a live interface, "b" counted from records, "c" inspected or witnessed).
    """

    id: str
    scenario: int
    name: str
    kind: Kind
    limit: Limit
    group: str | None
    source: str
    ocr: str
    literal_part: str
    inferred_part: str
    must_define: tuple[MustDefine, ...]
    default_reading: str
    judge_undefined: bool
    fatal_alone: bool
    probe: str
    statistic: str | None
    method: tuple[str, ...] = ()
    confidence: str | None = None
    names: str | None = None
    """What each inspected item of it must name, another than the others do: a reference list, or `announced_model`."""


@dataclass(frozen=True)
class Group:
    """An any-group: satisfied when one member is."""

    id: str
    logic: str
    members: tuple[str, ...]
    ocr: str
    source: str = "literal"


@dataclass(frozen=True)
class Qualitative:
    """A requirement without a number: judged by experts, or against a target the project set itself."""

    id: str
    text: str
    ocr: str
    source: str
    needs_self_target: bool
    method: str = "c"
    note: str = ""


@dataclass(frozen=True)
class CheckItem:
    """One question of a default checklist: what is looked at, what it should be, what proves it. `each`: once per thing counted."""

    text: str
    expected: str
    evidence: str
    method: str
    each: bool


@dataclass(frozen=True)
class DefaultMethod:
    """How an indicator or requirement is found out unless a plan says otherwise. Our proposal, no part of the list.

    `expert`: inspection gathers the evidence, and only experts conclude. `items`: the checklist of what people inspect.
    """

    id: str
    how: str
    probe: str
    kind: Kind
    expert: bool
    items: tuple[CheckItem, ...]


@dataclass(frozen=True)
class Wording:
    """A text of the notice: verbatim OCR fragment (`ocr_2`: a second one), restored text with 【】 around what was inferred,
    and its standing. `confidence` ("high", "medium", "low"), `alternatives` and `note` say how sure an inferred one is.
    """

    ocr: str | None
    restored: str
    source: str
    ocr_2: str | None = None
    confidence: str | None = None
    alternatives: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Scenario:
    """One row of the list."""

    number: int
    name: Wording
    domain: Wording
    field: Wording
    task: Wording
    guidance: tuple[str, ...]
    indicators: tuple[Indicator, ...]
    groups: tuple[Group, ...]
    qualitative: tuple[Qualitative, ...]
    self_target_required: bool
    guidance_wording: Wording = Wording(None, "", "literal")

    @property
    def ids(self) -> frozenset[str]:
        """Ids of everything that the list asks of it."""
        return frozenset({i.id for i in self.indicators} | {q.id for q in self.qualitative})


@dataclass(frozen=True)
class ListRule:
    """A rule of the notice about applications, deadlines or acceptance; `params` are its numbers."""

    id: str
    text: str
    ocr: str
    params: Mapping[str, Json]


@dataclass(frozen=True)
class PublicList:
    """The list with its digest over every data file it was read from.

    `sha256` is what `sha256sum * | sha256sum` prints in the list folder (in the C locale, which fixes the order).
    `references`: the reference lists by name, `methods`: the default methods by id, which are not part of the list itself.
    """

    id: str
    title: str
    sha256: str
    needs_official_confirmation: bool
    scenarios: tuple[Scenario, ...]
    issuer: str = ""
    year: int = 0
    version: int = 0
    original_found: bool = False
    rules: tuple[ListRule, ...] = ()
    references: Mapping[str, Json] = field(default_factory=dict)
    methods: Mapping[str, DefaultMethod] = field(default_factory=dict)

    def scenario(self, number: int) -> Scenario:
        """Scenario by number. Raises KeyError."""
        for scenario in self.scenarios:
            if scenario.number == number:
                return scenario
        raise KeyError(number)

    def indicator(self, indicator_id: str) -> Indicator:
        """Indicator by id. Raises KeyError."""
        for scenario in self.scenarios:
            for indicator in scenario.indicators:
                if indicator.id == indicator_id:
                    return indicator
        raise KeyError(indicator_id)


NOTICE = "notice.txt"
LIST = "list.yaml"
REFERENCES = "reference_lists.yaml"
METHODS_FILE = "methods.yaml"
INSPECTION = "inspection"
"""The instrument that needs a checklist."""
WAYS = ("查阅", "观察", "询问", "操作")
SOURCES = ("literal", "inferred")
CONFIDENCES = ("high", "medium", "low")
METHODS = ("a", "b", "c")
NAMES = ("scenes_5g_20", "six_modes", "announced_model")


@cache
def load_list(list_id: str = "wuhan-2024") -> PublicList:
    """The list with this id. Raises UserError naming file and line."""
    root = Path(str(resources.files("yanshou.scenarios")))
    folders = {path.parent.name.replace("_", "-"): path.parent for path in root.glob(f"*/{LIST}")}
    if list_id not in folders:
        raise UserError(Problem("L-ID", f"没有榜单 {list_id}", f"可用的榜单：{'、'.join(sorted(folders))}"))
    return read_list(folders[list_id])


def read_list(folder: Path) -> PublicList:
    """Read and check the list in `folder`. Raises UserError naming file and line."""
    names = {NOTICE, LIST, REFERENCES, METHODS_FILE} | {path.name for path in folder.glob("*.yaml")}
    contents = {name: read_bytes(folder / name) for name in sorted(names)}
    digests = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items())
    notice = decode(folder / NOTICE, contents.pop(NOTICE))
    roots = {name: YamlMap.parse(folder / name, data) for name, data in contents.items()}
    for m in roots.values():
        _check_fragments(m, notice)
    references = roots.pop(REFERENCES).plain()
    proposals = roots.pop(METHODS_FILE)
    head = roots.pop(LIST)
    scenarios = (m.read(_scenario) for m in roots.values())
    in_order = tuple(sorted(scenarios, key=lambda s: s.number))
    sha256 = hashlib.sha256(digests.encode()).hexdigest()
    build = partial(_public_list, sha256=sha256, scenarios=in_order, references=references, proposals=proposals)
    return head.read(build)


def _check_fragments(root: YamlMap, notice: str) -> None:
    for m in root.nested():
        for key in m.lines:
            if key.startswith("ocr") and m.text(key, "") not in notice:
                m.refuse(key, f"{key} 不是通知原文的逐字片段", "L-OCR", f"对照 {NOTICE} 改正")


def _public_list(
    m: YamlMap,
    sha256: str,
    scenarios: tuple[Scenario, ...],
    references: Mapping[str, Json],
    proposals: YamlMap,
) -> PublicList:
    count = m.integer("scenario_count")
    if [s.number for s in scenarios] != list(range(1, count + 1)):
        m.refuse("scenario_count", f"应有编号 1 至 {count} 的场景文件各一个，实有 {[s.number for s in scenarios]}")
    return PublicList(
        id=m.text("id"),
        title=m.text("title"),
        sha256=sha256,
        needs_official_confirmation=m.flag("needs_official_confirmation"),
        scenarios=scenarios,
        issuer=m.text("issuer"),
        year=m.integer("year"),
        version=m.integer("version"),
        original_found=m.flag("original_found"),
        rules=m.all("rules", lambda r: ListRule(r.text("id"), r.text("text"), r.text("ocr"), r.table("params"))),
        references=references,
        methods=proposals.read(partial(_methods, scenarios=scenarios)),
    )


def _methods(m: YamlMap, scenarios: tuple[Scenario, ...]) -> dict[str, DefaultMethod]:
    """A default method for everything that the list asks for, and for nothing else."""
    indicators = {i.id: i for s in scenarios for i in s.indicators}
    requirements = {q.id: q for s in scenarios for q in s.qualitative}
    found = {
        d.id: d for d in m.all("methods", partial(_default_method, indicators=indicators, requirements=requirements))
    }
    if missing := sorted({*indicators, *requirements} - found.keys()):
        m.refuse("methods", f"没有 {'、'.join(missing)} 的默认方法")
    return found


def _default_method(
    m: YamlMap, indicators: Mapping[str, Indicator], requirements: Mapping[str, Qualitative]
) -> DefaultMethod:
    name, items = m.text("id"), m.all("items", _check_item, "text")
    indicator, requirement = indicators.get(name), requirements.get(name)
    if indicator is not None:
        probe, kind, expert = indicator.probe, indicator.kind, False
    elif requirement is not None:
        probe, kind, expert = m.text("probe"), Kind(m.choice("kind", Kind)), m.flag("expert", False)
        if requirement.needs_self_target == (kind is Kind.INSPECTED):
            m.refuse("kind", f"{name} 须且仅须在有自报指标（needs_self_target）时不是 inspected")
    else:
        m.refuse("id", f"榜单没有 {name}")
    if not items and (probe == INSPECTION or requirement):
        m.refuse("id", f"{name} 没有查验清单 items")
    return DefaultMethod(name, m.text("how"), probe, kind, expert, items)


def _check_item(m: YamlMap) -> CheckItem:
    return CheckItem(
        m.text("text"), m.text("expected"), m.text("evidence"), m.choice("method", WAYS), m.flag("each", False)
    )


def _scenario(m: YamlMap) -> Scenario:
    number = m.integer("number")
    if not m.file.name.startswith(f"s{number:02d}_"):
        m.refuse("number", f"场景编号 {number} 与文件名不符")
    indicators = m.all("indicators", partial(_indicator, number=number))
    groups = m.all("groups", partial(_group, number=number, indicators=indicators))
    for indicator in indicators:
        if indicator.group not in (None, *(g.id for g in groups)):
            m.refuse("indicators", f"{indicator.id} 所属的组 {indicator.group} 不存在")
    guidance, guidance_wording = m.one("guidance", _guidance)
    return Scenario(
        number=number,
        name=m.one("name", _wording),
        domain=m.one("domain", _wording),
        field=m.one("field", _wording),
        task=m.one("task", _wording),
        guidance=guidance,
        indicators=indicators,
        groups=groups,
        qualitative=m.all("qualitative", partial(_qualitative, number=number)),
        self_target_required=m.flag("self_target_required", False),
        guidance_wording=guidance_wording,
    )


def _wording(m: YamlMap, restored: str | None = None) -> Wording:
    return Wording(
        ocr=m.text("ocr", "") or None,
        restored=restored or m.text("restored"),
        source=m.choice("source", SOURCES),
        ocr_2=m.text("ocr_2", "") or None,
        confidence=m.choice("confidence", CONFIDENCES, "") or None,
        alternatives=m.texts("alternatives"),
        note=m.text("note", ""),
    )


def _guidance(m: YamlMap) -> tuple[tuple[str, ...], Wording]:
    names = m.texts("restored")
    return names, _wording(m, "、".join(names))


def _indicator(m: YamlMap, number: int) -> Indicator:
    group = m.text("group")
    indicator = Indicator(
        id=m.text("id", pattern=rf"S{number:02d}-I\d\d"),
        scenario=number,
        name=m.text("name"),
        kind=Kind(m.choice("kind", Kind)),
        limit=_limit(m),
        group=None if group == "all" else group,
        source=m.choice("source", SOURCES),
        ocr=m.text("ocr"),
        literal_part=m.text("literal_part", ""),
        inferred_part=m.text("inferred_part", ""),
        must_define=m.all(
            "must_define", lambda q: MustDefine(q.text("key"), q.text("ask"), q.texts("readings")), "key"
        ),
        default_reading=m.text("default_reading", ""),
        judge_undefined=m.flag("judge_undefined", True),
        fatal_alone=m.flag("fatal_alone", True),
        probe=m.text("probe"),
        statistic=m.text("statistic", "") or None,
        method=m.texts("method", METHODS),
        confidence=m.choice("confidence", CONFIDENCES, "") or None,
        names=m.choice("names", NAMES, "") or None,
    )
    if (indicator.source == "inferred") != bool(indicator.inferred_part):
        m.refuse("source", f"{indicator.id} 须且仅须在 inferred 时写明 inferred_part")
    return indicator


def _limit(m: YamlMap) -> Limit:
    limit = Limit(Op(m.choice("comparator", Op)), m.exact("threshold"), m.text("unit"))
    if not (limit.value is True) == (limit.op is Op.EQ) == (limit.unit == "bool"):
        m.refuse("threshold", 'threshold: true、comparator: "==" 与 unit: bool 只能同时使用')
    return limit


def _group(m: YamlMap, number: int, indicators: Iterable[Indicator]) -> Group:
    group = Group(
        id=m.text("id", pattern=rf"S{number:02d}-G\d"),
        logic=m.choice("logic", ("any",)),
        members=m.texts("members"),
        ocr=m.text("ocr"),
        source=m.choice("source", SOURCES),
    )
    if sorted(group.members) != sorted(i.id for i in indicators if i.group == group.id):
        m.refuse("members", f"{group.id} 的成员与各指标的 group 不一致")
    return group


def _qualitative(m: YamlMap, number: int) -> Qualitative:
    return Qualitative(
        id=m.text("id", pattern=rf"S{number:02d}-Q\d\d"),
        text=m.text("text"),
        ocr=m.text("ocr"),
        source=m.choice("source", SOURCES),
        needs_self_target=m.flag("needs_self_target", False),
        method=m.choice("method", METHODS),
        note=m.text("note", ""),
    )
