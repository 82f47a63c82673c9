"""The plan: scenario x commitment x method, frozen before the first formal measurement.

It is for fixing limits, rules, seeds and attempts while nobody knows the numbers. It must never look at evidence, and a
frozen plan is never edited: a change is an amendment in the ledger, with author and reason.
"""

from __future__ import annotations

import difflib
import json
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.case import Case, Commitment, Condition, Measure
from yanshou.harness.evidence import Ledger, canonical, sha256_bytes, utc_now, write_atomic
from yanshou.harness.identity import ToolIdentity
from yanshou.harness.judge import Criterion, satisfies, stricter
from yanshou.harness.listing import Indicator, PublicList
from yanshou.harness.model import Change, Kind, Limit, Mode, Op
from yanshou.harness.statistics import (
    LEAST_IN_TAIL,
    max_exceedances,
    min_samples,
    percentile_code,
    split_alpha,
    tail_code,
)
from yanshou.harness.units import TargetError, convert, parse_direction, parse_promise, parse_statistic, parse_target

FORMAT = "yanshou/plan/1"
FILE = "plan.lock.json"
BEFORE, AFTER = "改造前", "改造后"
"""Conditions of an indicator whose limit is on a change."""
UNSURE_READING = {"statistic": parse_statistic, "direction": parse_direction}
"""Answers that must be understood by the judge, not only be there."""


@dataclass(frozen=True)
class Instrument:
    """What the plan must know of a probe: identity, checked parameters, and what a run takes."""

    probe: str
    version: str
    title: str
    document: str
    equipment: tuple[str, ...]
    params: Mapping[str, Json]
    seconds: float
    samples: int


@dataclass(frozen=True)
class Setup:
    """One way in which an indicator is run: a named condition with its time of day, or the only one there is."""

    condition: str | None
    window: str | None
    instrument: Instrument


Describe = Callable[[str, Mapping[str, Any], int | None], Instrument]
"""(probe, params, samples needed) -> Instrument. Raises UnfitInstrument."""


class UnfitInstrument(UserError):
    """A probe that does not exist or does not take these parameters; `places` say where below `measure.ID` each is."""

    def __init__(self, found: Sequence[tuple[tuple[str | int, ...], Problem]]) -> None:
        super().__init__([problem for _, problem in found])
        self.places = tuple(place for place, _ in found)


@dataclass(frozen=True)
class Definition:
    """One question of the list with the commitment's answer ("" where there is none)."""

    key: str
    ask: str
    answer: str


@dataclass(frozen=True)
class PlannedIndicator:
    """One indicator as it will be measured and judged. `seed` fixes everything random in its runs."""

    id: str
    name: str
    kind: Kind
    group: str | None
    fatal_alone: bool
    limit: Limit
    list_limit: Limit | None
    list_source: str
    list_ocr: str
    inferred_part: str
    commitment_limit: Limit | None
    commitment_text: str
    baseline: str
    note: str
    default_reading: str
    definition: tuple[Definition, ...]
    undefined: tuple[str, ...]
    statistic: str | None
    direction: str | None
    decision: str
    confidence: float
    attempts: int
    required_subjects: int | None
    samples_needed: int | None
    instrument: Instrument | None
    conditions: tuple[Setup, ...]
    seed: int
    readings: tuple[str, ...] = ()
    """Statistics that the commitment may mean, where it names none."""
    together: bool = False
    """Measured once for all subjects: what it is about is all of them, as their number is."""
    change: Change | None = None
    """What the limit bounds, where that is a change from BEFORE to AFTER and not what is reached."""

    @property
    def setups(self) -> tuple[Setup, ...]:
        """Every way in which it is to be run: its conditions, else the one without a name; none without an instrument."""
        if self.instrument is None:
            return ()
        return self.conditions or (Setup(None, None, self.instrument),)

    def criterion(self, subjects: int = 1) -> Criterion:
        """What the judge holds each of its runs to, given how many subjects there are.

        All of c conditions must pass for a subject, and k of n subjects. A wrong pass needs one of n-k+1 subjects to pass
        wrongly, a wrong fail one of k c runs to fail wrongly: alpha is split accordingly (Bonferroni).
        """
        required = min(self.required_subjects or subjects, subjects)
        conditions = 1 if self.change else max(len(self.conditions), 1)
        return Criterion(
            self.id,
            self.kind,
            self.limit,
            self.statistic,
            self.direction,
            self.undefined,
            self.confidence,
            self.attempts,
            pass_split=subjects - required + 1,
            fail_split=required * conditions,
            readings=self.readings,
        )

    @property
    def samples_advised(self) -> int | None:
        """Samples of which 30 are expected beyond the percentile: fewer cannot show serial dependence (docs/statistics.md)."""
        p = percentile_code(self.statistic) if self.statistic and self.samples_needed else None
        return math.ceil(30 / (1 - p)) if p else None

    @property
    def alpha(self) -> float:
        """One-sided level of each planned attempt, and of each side of a change that is measured on both."""
        return split_alpha(1 - self.confidence, self.attempts * (2 if self.change and self.conditions else 1))


@dataclass(frozen=True)
class Plan:
    """A whole plan. `frozen` is empty for a dry run."""

    mode: Mode
    scenario: int
    scenario_name: str
    scenario_source: str
    list: Mapping[str, Json]
    case_sha256: str
    target_kind: str | None
    tool: Mapping[str, Json]
    subjects: tuple[str, ...]
    indicators: tuple[PlannedIndicator, ...]
    groups: tuple[Mapping[str, Json], ...]
    qualitative: tuple[Mapping[str, Json], ...]
    not_planned: tuple[str, ...]
    revision: int = 0
    frozen: str = ""

    def indicator(self, indicator_id: str) -> PlannedIndicator:
        """By id. Raises KeyError."""
        for indicator in self.indicators:
            if indicator.id == indicator_id:
                return indicator
        raise KeyError(indicator_id)

    def to_bytes(self) -> bytes:
        """The file form."""
        return plan_bytes(_plain(self))

    def subjects_of(self, indicator: PlannedIndicator) -> tuple[str | None, ...]:
        """What an indicator is measured on, one run each; None where that is the target as a whole."""
        return (None,) if indicator.together else self.subjects or (None,)

    @property
    def sha256(self) -> str:
        """Digest of the file form."""
        return sha256_bytes(self.to_bytes())


def plan_bytes(data: Json) -> bytes:
    """The file form of a plan's JSON: readable, one fixed spelling, so that its digest is the plan's identity.

    Numbers go through canonical JSON first: 5.0 and 5 are the same number and must be the same bytes.
    """
    settled = json.loads(canonical(data))
    return (json.dumps(settled, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _plain(value: Any) -> Json:
    """Dataclasses to JSON. Limits keep their exact decimal text."""
    if isinstance(value, Plan):
        fields = {k: _plain(v) for k, v in value.__dict__.items()}
        return {"format": FORMAT, **fields}
    if isinstance(value, Limit):
        exact = value.value if isinstance(value.value, bool) else f"{value.value:f}"
        return {"op": value.op.value, "value": exact, "unit": value.unit}
    if isinstance(value, (PlannedIndicator, Instrument, Setup, Definition, Change)):
        return {k: _plain(v) for k, v in value.__dict__.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return value.value if isinstance(value, (Kind, Mode)) else value


def _limit(value: Json) -> Limit | None:
    if value is None:
        return None
    exact = value["value"] if isinstance(value["value"], bool) else Decimal(value["value"])
    return Limit(Op(value["op"]), exact, value["unit"])


def _instrument(value: Json) -> Instrument:
    return Instrument(**{**value, "equipment": tuple(value["equipment"])})


def plan_from_json(data: Json) -> Plan:
    """Inverse of `Plan.to_bytes`. Raises KeyError, TypeError or ValueError for anything else."""
    content = dict(data)
    if content.pop("format") != FORMAT:
        raise ValueError("format")
    indicators = []
    for entry in content.pop("indicators"):
        limit = _limit(entry["limit"])
        if limit is None:
            raise ValueError("limit")
        indicators.append(
            PlannedIndicator(
                **{
                    **entry,
                    "kind": Kind(entry["kind"]),
                    "limit": limit,
                    "list_limit": _limit(entry["list_limit"]),
                    "commitment_limit": _limit(entry["commitment_limit"]),
                    "definition": tuple(Definition(**d) for d in entry["definition"]),
                    "undefined": tuple(entry["undefined"]),
                    "readings": tuple(entry.get("readings", ())),  # plans from before readings existed
                    "change": Change(**entry["change"]) if entry.get("change") else None,
                    "instrument": entry["instrument"] and _instrument(entry["instrument"]),
                    "conditions": tuple(
                        Setup(c["condition"], c["window"], _instrument(c["instrument"]))
                        for c in entry.get("conditions", ())  # plans from before conditions existed
                    ),
                }
            )
        )
    lists = {k: tuple(content.pop(k)) for k in ("subjects", "groups", "qualitative", "not_planned")}
    return Plan(**{**content, **lists, "mode": Mode(content["mode"]), "indicators": tuple(indicators)})


def build_plan(case: Case, public_list: PublicList, describe: Describe, tool: ToolIdentity) -> Plan:
    """A dry run's plan: revision 0, seeds not drawn. Raises UserError for targets and parameters that cannot be planned.

    Planned are all list indicators of the scenario in acceptance mode, those with a commitment else; plus the project's own.
    """
    document = case.document
    scenario = public_list.scenario(document.scenario)
    declined = {i for i, c in document.commitments.items() if c.declined}
    everything = document.mode == Mode.ACCEPTANCE
    listed = [i for i in scenario.indicators if i.id not in declined and (everything or i.id in document.commitments)]
    own = [i for i in document.commitments if i not in declined and i not in {x.id for x in scenario.indicators}]
    wordings = {q.id: q.text for q in scenario.qualitative}
    problems: list[Problem] = []
    planned: list[PlannedIndicator] = []
    for indicator_id, indicator in [(i.id, i) for i in listed] + [(i, None) for i in own]:
        try:
            planned.append(_plan_indicator(case, indicator_id, indicator, describe, wordings.get(indicator_id, "")))
        except UserError as error:
            problems.extend(error.problems)
    if problems:
        raise UserError(problems)
    present = {p.id for p in planned}
    return Plan(
        mode=Mode(document.mode),
        scenario=scenario.number,
        scenario_name=scenario.name.restored,
        scenario_source=scenario.name.source,
        list={
            "id": public_list.id,
            "title": public_list.title,
            "sha256": public_list.sha256,
            "needs_official_confirmation": public_list.needs_official_confirmation,
        },
        case_sha256=case.sha256,
        target_kind=document.target.kind,
        tool=tool.to_json(),
        subjects=tuple(document.target.subjects),
        indicators=tuple(planned),
        groups=tuple(
            {"id": g.id, "logic": g.logic, "members": [m for m in g.members if m in present]}
            for g in scenario.groups
            if present & set(g.members)
        ),
        qualitative=tuple({"id": q.id, "text": q.text, "source": q.source} for q in scenario.qualitative),
        not_planned=tuple(i.id for i in scenario.indicators if i.id not in present),
    )


def _plan_indicator(
    case: Case, indicator_id: str, indicator: Indicator | None, describe: Describe, wording: str
) -> PlannedIndicator:
    """`wording`: the list's words of a requirement without a number, where the indicator is a target for one."""
    document = case.document
    commitment = document.commitments.get(indicator_id) or Commitment()
    measure = document.measure.get(indicator_id) or Measure()
    list_limit = indicator.limit if indicator else None
    commitment_limit = change = None
    if commitment.target:
        try:
            if indicator:
                commitment_limit = parse_target(commitment.target, list_limit)
            else:
                commitment_limit, change = parse_promise(commitment.target, commitment.baseline)
            limit = stricter(list_limit, commitment_limit) if list_limit else commitment_limit
        except TargetError as error:
            line = case.line("commitments", indicator_id, "target")
            raise UserError(Problem("P-TARGET", error.text, error.remedy, case.path, line)) from None
        except ValueError as error:
            line = case.line("commitments", indicator_id, "target")
            text = f"{indicator_id} 的目标与榜单限值不能比较：{error}"
            raise UserError(Problem("P-TARGET", text, "写成与榜单同一方向、同类单位", case.path, line)) from None
    elif list_limit is None:
        line = case.line("commitments", indicator_id)
        raise UserError(Problem("P-TARGET", f"{indicator_id} 没有目标值", "填写 target", case.path, line))
    else:
        limit = list_limit
    definition = tuple(
        Definition(m.key, m.ask, commitment.answer(m.key)) for m in (indicator.must_define if indicator else ())
    )
    readings = {key: parse(commitment.answer(key)) for key, parse in UNSURE_READING.items()}
    may_mean = {m.key: m.readings for m in (indicator.must_define if indicator else ()) if m.readings}
    statistic = measure.rule.statistic or readings["statistic"] or (indicator.statistic if indicator else None)
    undefined = tuple(
        d.key
        for d in definition
        if indicator
        and not indicator.judge_undefined
        and (not d.answer or readings.get(d.key, True) is None)
        and not (d.key in may_mean and not d.answer)
    )
    kind = indicator.kind if indicator else Kind(commitment.kind or Kind.INSPECTED)
    required = measure.rule.subjects if isinstance(measure.rule.subjects, int) else None
    if required is not None and required > max(len(document.target.subjects), 1):
        line = case.line("measure", indicator_id, "rule", "subjects")
        text = f"{indicator_id} 要求 {required} 个受检对象符合，target.subjects 只有 {len(document.target.subjects)} 个"
        raise UserError(Problem("P-SUBJECTS", text, "写 all，或补全 target.subjects", case.path, line))
    p = percentile_code(statistic) if kind is Kind.MEASURED and statistic else None
    sides = 1 if measure.before is None else 2
    alpha = split_alpha(1 - measure.rule.confidence, measure.rule.attempts * sides)
    beyond = tail_code(statistic) if kind is Kind.MEASURED and statistic else None
    needed = min_samples(p, alpha) if p else math.ceil(LEAST_IN_TAIL / (1 - beyond)) if beyond else None
    probe = measure.probe or (indicator.probe if indicator else None)
    if measure.before is not None and change is None:
        line = case.line("measure", indicator_id, "before")
        text = f"{indicator_id} 写了 before，而目标“{commitment.target}”不是提升或降低多少"
        raise UserError(Problem("P-CHANGE", text, "目标写成 缩短 30 % 这样，或删去 before", case.path, line))
    compared = {BEFORE: measure.before, AFTER: Condition()} if measure.before is not None else {}
    instrument = None
    conditions: list[Setup] = []
    if probe:
        params = dict(measure.params)
        sheet = document.inspections.get(indicator_id)
        if sheet is not None:
            params = {"items": [i.model_dump(exclude_none=True) for i in sheet.items], "sheet": sheet.sheet, **params}
        place: tuple[str, ...] = ("measure", indicator_id)
        try:
            for name, condition in {**measure.conditions, **compared}.items():
                place = ("measure", indicator_id, *_where(name, compared))
                described = describe(probe, {**params, **condition.params}, needed)
                conditions.append(Setup(name, condition.window, described))
            instrument = conditions[-1 if compared else 0].instrument if conditions else describe(probe, params, needed)
        except UnfitInstrument as error:
            # A default probe that nobody has set up yet is an open point of the plan; one that somebody did is a mistake.
            if indicator_id in document.measure:
                lines = [case.line(*place, *where) for where in error.places]
                found = zip(error.problems, lines, strict=True)
                raise UserError([replace(x, file=case.path, line=line) for x, line in found]) from None
    return PlannedIndicator(
        id=indicator_id,
        name=indicator.name if indicator else (commitment.name or wording or indicator_id),
        kind=kind,
        group=indicator.group if indicator else None,
        fatal_alone=indicator.fatal_alone if indicator else True,
        limit=limit,
        list_limit=list_limit,
        list_source=indicator.source if indicator else "own",
        list_ocr=indicator.ocr if indicator else "",
        inferred_part=indicator.inferred_part if indicator else "",
        commitment_limit=commitment_limit,
        commitment_text=commitment.target or "",
        baseline=commitment.baseline or "",
        note=commitment.note or "",
        default_reading=indicator.default_reading if indicator else "",
        definition=definition,
        undefined=undefined,
        statistic=statistic,
        readings=() if statistic else may_mean.get("statistic", ()),
        together=measure.rule.subjects == "together",
        direction=readings["direction"],
        decision=measure.rule.decision,
        confidence=measure.rule.confidence,
        attempts=measure.rule.attempts,
        required_subjects=required,
        samples_needed=needed,
        instrument=instrument,
        conditions=tuple(conditions),
        seed=0,
        change=change,
    )


def _where(condition: str, compared: Mapping[str, Condition]) -> tuple[str, ...]:
    """Where the parameters of a condition stand below `measure.ID`."""
    if condition not in compared:
        return ("conditions", condition)
    return ("before",) if condition == BEFORE else ()


def open_points(plan: Plan) -> Iterator[Problem]:
    """What a dry run warns of: readings left open, too few samples, no instrument."""
    if plan.mode is Mode.ACCEPTANCE and plan.target_kind != "production":
        text = f"受检对象是 {plan.target_kind or '未写'}，不是 production"
        yield Problem("P-KIND", text, "正式报告只对生产环境出具，sign 会拒绝", severity="warning")
    for i in plan.indicators:
        if i.undefined:
            asks = ";".join(d.ask for d in i.definition if d.key in i.undefined)
            yield Problem(
                "P-OPEN",
                f"{i.id} 口径未定：{asks}",
                "由项目与评测机构商定后写入 define，否则不予判定",
                severity="warning",
            )
        elif i.readings:
            text = f"{i.id} 没有约定统计量，将按 {'、'.join(r.upper() for r in i.readings)} 各判一次，一致才有结论"
            yield Problem("P-READINGS", text, "在 define.statistic 写明一种", severity="warning")
        elif i.kind is Kind.MEASURED and i.statistic is None:
            yield Problem("P-OPEN", f"{i.id} 没有约定统计量", "在 define.statistic 写明，如 P99", severity="warning")
        if i.change and not i.conditions:
            text = f"{i.id} 的目标是变化量，改造前的水平只有自报、没有证据，不能判符合"
            yield Problem("P-BASELINE", text, "在 measure 写 before，测改造前的系统或当时的记录", severity="warning")
        if i.instrument is None:
            yield Problem("P-PROBE", f"{i.id} 没有指定仪器，不会被测量", "在 measure 写明 probe", severity="warning")
            continue
        fewest = min(s.instrument.samples for s in i.setups)
        if i.samples_needed and i.samples_advised and i.samples_needed <= fewest < i.samples_advised:
            text = f"{i.id} 计划 {fewest} 个样本，够得上置信界，但看不清样本之间的相关"
            yield Problem("P-POWER", text, f"建议 {i.samples_advised} 个以上（期望 30 次超出分位）", severity="note")
        elif i.samples_needed and fewest < i.samples_needed:
            text = (
                f"{i.id} 计划 {fewest} 个样本；少于 {i.samples_needed} 个时 "
                f"{(i.statistic or '').upper()} 的 {1 - i.alpha:.2%} 置信界不存在，不可能判符合"
            )
            yield Problem("P-SAMPLES", text, f"把样本数提高到 {i.samples_needed} 以上", severity="warning")


def tolerated_exceedances(indicator: PlannedIndicator) -> int | None:
    """How many of the planned samples may lie outside the limit in a run that still passes; None without a bound."""
    p = percentile_code(indicator.statistic) if indicator.statistic else None
    if p is None or indicator.instrument is None or indicator.change:
        return None
    return max_exceedances(indicator.instrument.samples, p, indicator.alpha)


def differences(old: Plan, new: Plan) -> list[str]:
    """What an amendment changes, one line each, as `place: old → new`; frozen time, revision and seeds left out."""
    return [
        f"{path}: {_short(a)} → {_short(b)}"
        for path, a, b in _walk(_plain(_unfrozen(old)), _plain(_unfrozen(new)), "")
        if a != b
    ]


def _unfrozen(plan: Plan) -> Plan:
    return replace(plan, frozen="", revision=0, indicators=tuple(replace(i, seed=0) for i in plan.indicators))


def _short(value: Json) -> str:
    text = "无" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"


def _walk(a: Json, b: Json, path: str) -> Iterator[tuple[str, Json, Json]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _walk(a.get(key), b.get(key), f"{path}.{key}" if path else key)
    elif isinstance(a, list) and isinstance(b, list) and all(isinstance(x, dict) and "id" in x for x in [*a, *b]):
        left, right = {x["id"]: x for x in a}, {x["id"]: x for x in b}
        for key in sorted({*left, *right}):
            yield from _walk(left.get(key), right.get(key), f"{path}.{key}" if path != "indicators" else key)
    else:
        yield path, a, b


def weakens(old: Plan, new: Plan) -> bool:
    """True when an amendment makes passing easier: an indicator, subject or condition gone, one more way to meet a group, a limit
    looser or on another change or level, confidence lower, attempts more, fewer subjects required, of more, or no longer one by
    one; a parameter that was asked for gone, or an entry of one (a load, an exclusion, an audit, a checklist's item); or the
    kind, instrument, time of day, statistic, direction or definition of an indicator changed at all."""
    now = {i.id: i for i in new.indicators}
    if set(old.subjects) - set(new.subjects) or _group_members(new) - _group_members(old):
        return True
    for before in old.indicators:
        after = now.get(before.id)
        if after is None:
            return True
        if after.limit != before.limit and _looser(before.limit, after.limit):
            return True
        if after.confidence < before.confidence or after.attempts > before.attempts:
            return True
        if after.required_subjects is not None and after.required_subjects != before.required_subjects:
            return True
        if after.required_subjects is not None and set(new.subjects) - set(old.subjects):
            return True
        if after.together and not before.together:
            return True
        if after.change != before.change or after.kind is not before.kind:
            return True
        then = {s.condition: s for s in after.setups}
        for setup in before.setups:
            same = then.get(setup.condition)
            if same is None and setup.condition is not None:
                return True
            if same and (same.window, same.instrument.probe) != (setup.window, setup.instrument.probe):
                return True
            if same and _asks_less(setup.instrument.params, same.instrument.params):
                return True
        if (after.statistic, after.direction, after.definition) != (
            before.statistic,
            before.direction,
            before.definition,
        ):
            return True
    return False


def _asks_less(old: Json, new: Json) -> bool:
    """True where `new` has lost something that `old` has: a key with a value, an entry of a list, what a switch was set to.

    Other values may change without asking for less: addresses, files and lengths of time are those of a site.
    """
    if isinstance(old, Mapping):
        kept = new if isinstance(new, Mapping) else {}
        return any(_asks_less(value, kept.get(key)) for key, value in old.items())
    if isinstance(old, list | tuple):
        left = new if isinstance(new, list | tuple) else ()
        if any(isinstance(entry, Mapping) for entry in old):
            return len(left) < len(old) or any(map(_asks_less, old, left))
        return any(entry not in left for entry in old)
    return old is not None and (new is None or (isinstance(old, bool) and new is not old))


def _group_members(plan: Plan) -> set[str]:
    """Indicators of which one is enough."""
    return {i.id for i in plan.indicators if i.group is not None}


def _looser(old: Limit, new: Limit) -> bool:
    if (
        isinstance(old.value, bool)
        or isinstance(new.value, bool)
        or old.op.smaller_is_better != new.op.smaller_is_better
    ):
        return True
    try:
        return stricter(old, new) is old or not satisfies(Fraction(convert(new.value, new.unit, old.unit)), old)
    except ValueError:
        return True


def _with_seeds(plan: Plan, records: Sequence[Mapping[str, Json]]) -> Plan:
    """Draw what is random: an indicator keeps the seed it was first frozen with, so that no amendment re-draws a sample, not
    even two of which one takes the indicator out."""
    frozen = [r["plan"]["indicators"] for r in records if r["kind"] in ("plan", "amendment")]
    known = {i["id"]: int(i["seed"]) for indicators in reversed(frozen) for i in indicators}
    seeded = tuple(replace(i, seed=known.get(i.id) or secrets.randbits(52) + 1) for i in plan.indicators)
    return replace(plan, indicators=seeded)


@dataclass(frozen=True)
class FrozenPlan:
    """The plan in force, with its amendments and every revision's digest.

    `data` is the plan as the ledger holds it. What an earlier version froze lacks keys that `plan` has, so that its bytes
    and its digest are those of `data`.
    """

    plan: Plan
    data: Json
    sha256: str
    amendments: tuple[Mapping[str, Json], ...] = field(default=())

    def to_bytes(self) -> bytes:
        """The file form, as it was frozen."""
        return plan_bytes(self.data)


def frozen_plan(records: list[dict[str, Json]]) -> FrozenPlan | None:
    """The plan in force according to the ledger; None before the first freeze. Raises UserError for a form not known here."""
    frozen = [r for r in records if r["kind"] in ("plan", "amendment")]
    if not frozen:
        return None
    try:
        plan = plan_from_json(frozen[-1]["plan"])
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        text = "台账里的计划不是这个版本的 yanshou 认识的形式"
        remedy = "用冻结它的版本打开；版本号在台账的 plan.tool 里"
        raise UserError(Problem("V-P06", text, remedy), ExitCode.UNVERIFIED) from None
    return FrozenPlan(
        plan, frozen[-1]["plan"], frozen[-1]["sha256"], tuple(r for r in frozen if r["kind"] == "amendment")
    )


def decides(data: Json) -> Json:
    """Everything of a plan's JSON that a verdict may depend on: not which revision it is, when, and of which words of the case."""
    left = {k: v for k, v in data.items() if k not in ("case_sha256", "revision", "frozen")}
    return {**left, "tool": data["tool"]["sha256"]}


def freeze(case: Case, plan: Plan, ledger: Ledger, author: str | None, reason: str | None) -> tuple[Plan, str]:
    """Freeze a dry-run plan, or amend the frozen one; returns the plan in force and "frozen", "unchanged" or "amended".

    The ledger is written first: plan.lock.json can always be restored from it. Raises UserError for an amendment without
    author and reason.
    """
    before = frozen_plan(ledger.records)
    path = ledger.folder / FILE
    if before and plan_is_current(before.plan, plan):
        write_atomic(path, before.to_bytes())
        return before.plan, "unchanged"
    changes = differences(before.plan, plan) if before else []
    if before and not (author and author.strip() and reason and reason.strip()):
        shown = ";".join(changes[:3])
        text = f"计划已冻结，现在有 {len(changes)} 处不同({shown})"
        raise UserError(Problem("P-AMEND", text, "用 --author 与 --reason 写明谁、为何变更；变更会印在报告上", path))
    seeded = _with_seeds(plan, ledger.records)
    final = replace(seeded, revision=(before.plan.revision if before else 0) + 1, frozen=utc_now())
    content = {"sha256": final.sha256, "plan": _plain(final), "case_text": case.text}
    if before is None:
        ledger.append("plan", **content)
    else:
        ledger.append(
            "amendment", **content, previous=before.sha256, author=author, reason=reason, changes=changes,
            weakening=weakens(before.plan, final),
            case_diff="".join(difflib.unified_diff(
                _last_case_text(ledger.records).splitlines(True), case.text.splitlines(True), "case.yaml", "case.yaml")),
        )  # fmt: skip
    write_atomic(path, final.to_bytes())
    return final, "amended" if before else "frozen"


def _last_case_text(records: list[dict[str, Json]]) -> str:
    return next(str(r["case_text"]) for r in reversed(records) if r["kind"] in ("plan", "amendment"))


def plan_is_current(frozen: Plan, now: Plan) -> bool:
    """True when nothing that the plan was frozen from has changed: list, case, tool, and so every derived field."""
    return not differences(frozen, now)


def restore_lock(ledger: Ledger) -> None:
    """Write plan.lock.json again where a kill between ledger and file left it missing or at an earlier revision.

    Raises UserError when the file is no revision that was ever frozen: somebody edited it.
    """
    current = frozen_plan(ledger.records)
    if current is None:
        return
    path = ledger.folder / FILE
    if path.exists():
        found = sha256_bytes(path.read_bytes())
        if found == current.sha256:
            return
        if found not in {r["sha256"] for r in ledger.records if r["kind"] in ("plan", "amendment")}:
            text = "冻结的计划文件被改动，与台账中的摘要不符"
            remedy = "恢复原文件，或删除它后重新运行（将按台账重建）；变更请用 yanshou plan --freeze --author --reason"
            raise UserError(Problem("P-LOCK", text, remedy, path), ExitCode.UNVERIFIED)
    write_atomic(path, current.to_bytes())
