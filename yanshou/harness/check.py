"""The check of a case against the list, rules C01–C16 of 附件2 of the notice and C17, C18 of our own, before anything is
measured.

It is for telling a project team every mistake at once, with file and line, at a desk and without a device. It must never
judge a measurement.
"""

from __future__ import annotations

import calendar
import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial, reduce
from operator import getitem

from pydantic import BaseModel

from yanshou.harness.basics import Json, Problem
from yanshou.harness.case import (
    Case,
    CaseDocument,
    Client,
    Commitment,
    Evaluator,
    Inspection,
    Item,
    Key,
    Method,
    Party,
    Place,
    Project,
    ReportInfo,
    Target,
    is_blank,
)
from yanshou.harness.evidence import digest_file
from yanshou.harness.listing import Indicator, PublicList, Qualitative, Scenario
from yanshou.harness.model import Change, Limit, Mode, Op
from yanshou.harness.names import name_problem, person
from yanshou.harness.privacy import PERSONAL, printable
from yanshou.harness.units import (
    TargetError,
    convert,
    dimension,
    limits_inside,
    parse_direction,
    parse_level,
    parse_promise,
    parse_statistic,
    parse_target,
)


def _scenario(case: Case, public_list: PublicList) -> Scenario | None:
    """The case's row of the list; None when there is none, which is C01's to say."""
    return next((s for s in public_list.scenarios if s.number == case.document.scenario), None)


def _indicators(case: Case, public_list: PublicList) -> tuple[Indicator, ...]:
    scenario = _scenario(case, public_list)
    return scenario.indicators if scenario else ()


def _qualitative(case: Case, public_list: PublicList) -> tuple[Qualitative, ...]:
    scenario = _scenario(case, public_list)
    return scenario.qualitative if scenario else ()


def _committed(case: Case, public_list: PublicList) -> Iterator[tuple[Indicator, Commitment]]:
    """The list's indicators that the project takes on."""
    for indicator in _indicators(case, public_list):
        commitment = case.document.commitments.get(indicator.id)
        if commitment is not None and not commitment.declined:
            yield indicator, commitment


def _added(case: Case, public_list: PublicList) -> Iterator[tuple[str, Commitment]]:
    """The project's own indicators and self-set targets."""
    listed = {indicator.id for indicator in _indicators(case, public_list)}
    for name, commitment in case.document.commitments.items():
        if name not in listed and not commitment.declined and _scenario(case, public_list):
            yield name, commitment


def _limit(text: str, like: Limit | None) -> Limit | None:
    try:
        return parse_target(text, like)
    except TargetError:
        return None


def _comparable(a: Limit, b: Limit) -> bool:
    return dimension(a.unit) == dimension(b.unit)


def _weaker(target: Limit, limit: Limit) -> bool:
    """True when meeting `target`, of the same dimension and direction, would not meet `limit`. Exact."""
    if isinstance(target.value, bool) or isinstance(limit.value, bool):
        return target.value != limit.value
    value, bound = convert(target.value, target.unit, limit.unit), Fraction(limit.value)
    if value == bound:
        return limit.op in (Op.LT, Op.GT) and target.op in (Op.LE, Op.GE)
    return (value > bound) == limit.op.smaller_is_better


def _problem(case: Case, code: str, text: str, remedy: str, *keys: Key, severity: str = "error") -> Problem:
    return Problem(code, text, remedy, case.path, case.line(*keys), severity)


def c01(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """The scenario is one of the list's."""
    document = case.document
    if document.list != public_list.id:
        yield _problem(case, "C01", f"榜单 {document.list} 不是 {public_list.id}", f"写 list: {public_list.id}", "list")
    if _scenario(case, public_list) is None:
        numbers = "、".join(str(s.number) for s in public_list.scenarios)
        yield _problem(case, "C01", f"榜单没有场景 {document.scenario}", f"场景序号是 {numbers}", "scenario")


def c02(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """Every indicator of the list has a commitment, of an any-group at least one, and nothing else is mapped."""
    scenario, commitments = _scenario(case, public_list), case.document.commitments
    if scenario is None:
        return
    for indicator in scenario.indicators:
        if indicator.group is None and indicator.id not in commitments:
            text = f"榜单指标 {indicator.id} {indicator.name}（{indicator.limit}）没有对应的承诺"
            yield _problem(case, "C02", text, f"在 commitments 下补上 {indicator.id}", "commitments")
        elif indicator.group is None and commitments[indicator.id].declined:
            text = f"{indicator.id} {indicator.name} 是必须符合的指标，不能不采用"
            yield _problem(case, "C02", text, f"写目标，如 {indicator.limit}", "commitments", indicator.id, "target")
    for group in scenario.groups:
        if not any(member in commitments and not commitments[member].declined for member in group.members):
            text = f"{group.id} 的 {'、'.join(group.members)} 至少要承诺一项"
            yield _problem(case, "C02", text, "为其中一项写目标，其余可写 不采用", "commitments")
    known, own = scenario.ids, re.compile(f"S{scenario.number:02d}-P[0-9]{{2}}")
    for section in ("commitments", "measure", "inspections"):
        for name in getattr(case.document, section):
            if name not in known and not own.fullmatch(name):
                near = "".join(f"是不是 {i}？" for i in difflib.get_close_matches(name, sorted(known), 1))
                remedy = f"{near}自报指标编号写成 S{scenario.number:02d}-P01"
                yield _problem(case, "C02", f"{name} 不是场景 {scenario.number} 的指标", remedy, section, name)
            elif section != "commitments" and own.fullmatch(name) and name not in commitments:
                yield _problem(case, "C02", f"{name} 没有对应的承诺", f"在 commitments 下补上 {name}", section, name)


def c03(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """No target is weaker than the list; equal is allowed."""
    for indicator, commitment in _committed(case, public_list):
        target, limit = _limit(commitment.target, indicator.limit), indicator.limit
        if target is None or not _comparable(target, limit):
            continue
        if target.op.smaller_is_better != limit.op.smaller_is_better:
            text = f"{indicator.id} 的目标“{commitment.target}”（{target}）与榜单 {limit} 方向相反"
        elif _weaker(target, limit):
            text = f"{indicator.id} 的目标“{commitment.target}”（{target}）弱于榜单 {limit}"
        else:
            continue
        yield _problem(case, "C03", text, f"写 {limit} 或更严的目标", "commitments", indicator.id, "target")


def c04(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """Every target is readable and of the list's dimension."""
    for indicator, commitment in _committed(case, public_list):
        if not commitment.target:
            continue
        place = ("commitments", indicator.id, "target")
        try:
            target = parse_target(commitment.target, indicator.limit)
        except TargetError as error:
            yield _problem(case, "C04", f"{indicator.id} {error.text}", error.remedy, *place)
            continue
        if not _comparable(target, indicator.limit):
            text = f"{indicator.id} 的目标“{commitment.target}”以“{target.unit}”计，榜单以“{indicator.limit.unit}”计，不是同一种量"
            yield _problem(case, "C04", text, f"写成与榜单 {indicator.limit} 同类的单位", *place)


_READINGS: Mapping[str, tuple[Callable[[str], str | None], str]] = {
    "statistic": (parse_statistic, "P50、P95、P99、P99.9、最大值、平均值、RMS 之一"),
    "direction": (parse_direction, "往返 或 单向"),
}
"""Answers that the judge must understand -> how it reads them, and what to write."""


def c05(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """What the list leaves open is answered, and the judge can read what it needs."""
    for indicator, commitment in _committed(case, public_list):
        severity = "warning" if indicator.judge_undefined else "error"
        asked = {question.key for question in indicator.must_define}
        for question in indicator.must_define:
            place = ("commitments", indicator.id, "define", question.key)
            answer = commitment.answer(question.key)
            parse, examples = _READINGS.get(question.key, (str, ""))
            if not answer:
                near = difflib.get_close_matches(question.key, commitment.define.keys() - asked, 1)
                remedy = (
                    f"define 下的 {near[0]} 是不是 {question.key}？" if near else f"在 define 下写 {question.key}: …"
                )
                consequence = "" if indicator.judge_undefined else "，不答则口径未定、不予判定"
                text = f"{indicator.id} {indicator.name} 没有回答“{question.ask}”{consequence}"
                yield _problem(case, "C05", text, remedy, *place, severity=severity)
            elif parse(answer) is None:
                text = f"{indicator.id} 对“{question.ask}”的回答读不出唯一的意思"
                yield _problem(case, "C05", text, f"写 {examples}，其余文字写入 note", *place, severity=severity)
        measure = case.document.measure.get(indicator.id)
        defined = parse_statistic(commitment.answer("statistic"))
        if measure and measure.rule.statistic and defined and measure.rule.statistic != defined:
            text = f"{indicator.id} 的 rule.statistic 是 {measure.rule.statistic}，与补充说明的 {defined} 不一致"
            place = ("measure", indicator.id, "rule", "statistic")
            yield _problem(case, "C05", text, "以补充说明为准，删去 rule.statistic", *place, severity=severity)


def c06(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """What the list says without a number has a quantified target of the project's own, with the level that it starts from."""
    scenario, added = _scenario(case, public_list), dict(_added(case, public_list))
    asked = {q.id: q for q in _qualitative(case, public_list) if q.needs_self_target}
    for requirement in asked.values():
        if requirement.id not in added:
            text = f"{requirement.id} “{requirement.text}”没有自报的量化目标，将由专家评议"
            remedy = f"在 commitments 下补上 {requirement.id}，写当前水平与目标"
            yield _problem(case, "C06", text, remedy, "commitments", severity="warning")
    if scenario and scenario.self_target_required and not added:
        text = f"场景 {scenario.number} 榜单没有数字，项目也没有自报量化指标，将全部由专家评议"
        remedy = f"在 commitments 下补上 S{scenario.number:02d}-P01 等自报指标"
        yield _problem(case, "C06", text, remedy, "commitments", severity="warning")
    for name, commitment in added.items():
        promised = _promise(commitment)
        if promised is None or not commitment.baseline:
            continue  # C07 and C08 say so
        change = promised[1]
        must_start = name in asked or change is not None or (scenario is not None and scenario.self_target_required)
        if must_start and _level(commitment.baseline) is None:
            text = f"{name} 的当前水平“{commitment.baseline}”读不出数和单位，看不出提升了多少"
            place = ("commitments", name, "baseline")
            yield _problem(case, "C06", text, "写成 100 s 这样的数和单位，其余写入 note", *place, severity="warning")
        measure = case.document.measure.get(name)
        if change is not None and (measure is None or measure.before is None):
            text = f"{name} 的目标是“{commitment.target}”，而改造前的水平只有自报、没有证据，不能判符合"
            remedy = f"在 measure 的 {name} 下写 before: {{params: …}}，测改造前的系统或当时的记录"
            yield _problem(case, "C06", text, remedy, "commitments", name, "baseline", severity="warning")


def _promise(commitment: Commitment) -> tuple[Limit, Change | None] | None:
    try:
        return parse_promise(commitment.target, commitment.baseline)
    except TargetError:
        return None


def _level(text: str) -> tuple[Decimal, str] | None:
    try:
        return parse_level(text)
    except TargetError:
        return None


def c07(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """An indicator that the list does not have says what it is, its limit with comparator and unit, and its method."""
    requirements = {requirement.id for requirement in _qualitative(case, public_list)}
    for name, commitment in _added(case, public_list):
        place = ("commitments", name)
        if name not in requirements and not case.has(*place, "name"):
            yield _problem(case, "C07", f"{name} 没有名称", "写 name: 指标名称", *place)
        if not case.has(*place, "kind"):
            yield _problem(case, "C07", f"{name} 没有方法类别", "写 kind: measured、counted 或 inspected", *place)
        if not case.has("measure", name, "probe"):
            here = ("measure", name) if case.has("measure", name) else place
            yield _problem(case, "C07", f"{name} 没有仪器", f"在 measure 的 {name} 下写 probe", *here)
        if commitment.target:
            try:
                parse_promise(commitment.target, commitment.baseline)
            except TargetError as error:
                yield _problem(case, "C07", f"{name} {error.text}", error.remedy, *place, "target")


OPTIONAL = {("measure",), ("inspections",)}
"""Sections that may stay empty: what they would say is the list's default."""


def c08(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """No cell is empty. Open questions are C05's and 五、项目验收 is C09's to name."""
    commitments = case.document.commitments
    declined = {name for name, commitment in commitments.items() if commitment.declined}
    questions = {
        ("commitments", indicator.id, "define", question.key)
        for indicator, _ in _committed(case, public_list)
        for question in indicator.must_define
    }
    for place in _blanks(case.data, ()):
        if place in OPTIONAL or place[0] == "acceptance" or place in questions:
            continue
        if declined.isdisjoint(place):
            optional = "；可选的参数不用则删去此行" if "params" in place else ""
            yield _problem(case, "C08", f"{_dotted(place)} 空缺", f"填写{_hint(case.data, place)}{optional}", *place)
    for place, title in _cells(case.document):
        if not case.has(*place) and declined.isdisjoint(place):
            yield _problem(case, "C08", f"缺少 {_dotted(place)}（{title}）", f"补上“{place[-1]}: …”", *place)


def _hint(data: Json, place: Place) -> str:
    """What the placeholder at `place` asks for."""
    written = reduce(getitem, place, data)
    return written.strip().strip("<>") if written else ""


def _dotted(place: Place) -> str:
    return ".".join(str(key + 1) if isinstance(key, int) else key for key in place)


def _blanks(value: Json, place: Place) -> Iterator[Place]:
    """Every key whose value is blank. Null is a value among the parameters of a probe."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _blanks(item, (*place, key))
    elif is_blank(value) and not (value is None and "params" in place):
        yield place


def _cells(document: CaseDocument) -> Iterator[tuple[Place, str]]:
    """The cells that must be there, with their Chinese names."""
    wanted: list[tuple[type[BaseModel], Place, Sequence[str]]] = [
        (Project, ("project",), ("name", "published", "deadline")),
        (Party, ("project", "lead"), ("name", "uscc")),
        (Target, ("target",), ("kind", "site", "version", "condition")),
    ]
    if document.mode is Mode.ACCEPTANCE:
        wanted += [
            (ReportInfo, ("report",), ("number",)),
            (Evaluator, ("evaluator",), ("name", "address", "people")),
            (Client, ("client",), ("name", "contact")),
        ]
    wanted += [(Commitment, ("commitments", name), ("baseline", "target")) for name in document.commitments]
    for name, inspection in document.inspections.items():
        wanted.append((Inspection, ("inspections", name), ("items", "sheet")))
        for index in range(len(inspection.items)):
            wanted.append((Item, ("inspections", name, "items", index), ("id", "text", "expected", "method")))
    for model, place, keys in wanted:
        yield from (((*place, key), str(model.model_fields[key].title)) for key in keys)


def c09(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """验收内容 names every indicator, 验收方式 names environment, tools, steps and sample sizes."""
    scenario = _scenario(case, public_list)
    if scenario is None:
        return
    document = case.document
    known = scenario.ids | set(document.commitments)
    named: set[str] = set()
    for index, item in enumerate(document.acceptance.content):
        ids = set(re.findall(r"S[0-9]{2}-[A-Z][0-9]{2}", item))
        named |= ids
        if is_blank(item):
            yield _problem(case, "C09", "验收内容有空行", "填写或删去此行", "acceptance", "content", index)
        for name in sorted(ids - known):
            text = f"验收内容的 {name} 不是本案卷的指标"
            yield _problem(case, "C09", text, "改正编号", "acceptance", "content", index)
    for name, commitment in document.commitments.items():
        if not commitment.declined and name in known and name not in named:
            yield _problem(
                case, "C09", f"验收内容没有列出 {name}", f"在 content 下补一行 {name}", "acceptance", "content"
            )
    for key, field in Method.model_fields.items():
        if is_blank(getattr(document.acceptance.method, key)):
            text = f"验收方式没有写{field.title}"
            yield _problem(case, "C09", text, f"在 method 下写 {key}: …", "acceptance", "method", key)


def _parameters(public_list: PublicList, rule: str) -> Mapping[str, Json]:
    return next((r.params for r in public_list.rules if r.id == rule), {})


def _months_later(day: date, months: int) -> date:
    """The corresponding day, or the last one of a shorter month (民法典第202条)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def c10(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """The deadline is within a year of the publication; the soft goal is only noted."""
    published, deadline = case.document.project.published, case.document.project.deadline
    if published is None or deadline is None:
        return
    place = ("project", "deadline")
    months = int(_parameters(public_list, "R-DEADLINE-HARD").get("months", 12))
    last = _months_later(published, months)
    soft = _parameters(public_list, "R-DEADLINE-SOFT").get("target")
    if deadline > last:
        text = f"完成时限 {deadline} 晚于发榜日 {published} 起 {months} 个月（{last}）"
        yield _problem(case, "C10", text, f"写 {last} 或更早的日期", *place)
    elif deadline < published:
        yield _problem(case, "C10", f"完成时限 {deadline} 早于发榜日 {published}", "核对两个日期", *place)
    elif soft and deadline.isoformat()[:7] > soft:
        text = f"完成时限 {deadline} 晚于通知力求的 {soft}"
        yield _problem(case, "C10", text, "只是提示，不影响判定", *place, severity="note")


def c12(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """Credit codes check out, and no unit of a consortium stands in it twice."""
    from stdnum.cn import uscc

    project = case.document.project
    parties: list[tuple[Place, Party]] = [(("project", "lead"), project.lead)]
    parties += [(("project", "partners", index), party) for index, party in enumerate(project.partners)]
    seen: set[str] = set()
    for place, party in parties:
        if not party.uscc:
            continue
        if not uscc.is_valid(party.uscc):
            text = f"{party.name or '单位'}的统一社会信用代码校验不通过"
            yield _problem(case, "C12", text, "对照营业执照核对 18 位代码", *place, "uscc", severity="warning")
        if party.uscc in seen:
            text = f"{party.name or '单位'}在联合体中重复，牵头单位只能有一个"
            yield _problem(case, "C12", text, "删去重复的单位", *place, severity="warning")
        seen.add(party.uscc)


def c13(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """A baseline that meets the target already makes 新增 and 提升 doubtful."""
    limits = {indicator.id: indicator.limit for indicator in _indicators(case, public_list)}
    for name, commitment in case.document.commitments.items():
        target = _limit(commitment.target, limits.get(name))
        now = _limit(commitment.baseline, target)
        if target and now and _comparable(now, target) and not _weaker(replace(now, op=target.op), target):
            text = f"{name} 的当前水平“{commitment.baseline}”已达到目标“{commitment.target}”，“新增、提升”存疑"
            place = ("commitments", name, "baseline")
            yield _problem(case, "C13", text, "核对当前水平，或在 note 说明", *place, severity="warning")


_SECRET = re.compile(r"(?:绝密|机密|秘密)\s*(?:★|级|[:：]?\s*[0-9]+\s*年)|[:：]\s*[\"']?(?:绝密|机密|秘密)[\"']?\s*$")


def c14(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """Reports are not public by default, and no grade of state secrecy stands in them."""
    if case.document.report.edition == "public":
        text = "报告总是不公开的，印有数值与承诺；公开版另写，只有判定"
        remedy = "此处写 edition: restricted；封存后用 yanshou package --public 写公开版"
        yield _problem(case, "C14", text, remedy, "report", "edition", severity="note")
    for number, line in enumerate(case.text.split("\n"), 1):
        if _SECRET.search(line):
            text = "写了国家秘密密级，而申报承诺书承诺不涉及国家秘密"
            yield Problem("C14", text, "删去密级；报告类别是“不公开”", case.path, number)


def c15(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """No personal data and no precise coordinates anywhere in the file; the datum itself is not repeated."""
    for number, line in enumerate(case.text.split("\n"), 1):
        plain = unicodedata.normalize("NFKC", line)
        for kind in PERSONAL:
            if kind.is_in(plain):
                yield Problem("C15", f"疑似{kind.name}，案卷会随证据包移交", kind.remedy, case.path, number)


def c16(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """The stamped scan and the table are recorded as a pair, unchanged since, and a person has compared them."""
    document = case.document
    scan = document.scan
    kept = {(s.file, s.sha256): name for name, c in document.commitments.items() if (s := c.source) and s.sha256}
    here = partial(_problem, case, "C16", severity="warning")
    if scan is None:
        if document.mode is Mode.ACCEPTANCE and any(c.target for c in document.commitments.values()):
            text = "没有登记盖章扫描件与表1 的摘要"
            yield here(text, "yanshou import 表1 案卷 --scan 扫描件.pdf，由人核对一致", "commitments")
    else:
        if not scan.sha256 or not scan.table_sha256:
            yield here("扫描件与表1 的摘要没有成对登记", "yanshou import 表1 案卷 --scan 扫描件.pdf", "scan")
        if not scan.compared_by:
            text = "没有人确认扫描件与纸质材料、与表1 一致"
            yield here(text, "逐栏核对后，在终端里再运行一次 yanshou import 表1 案卷 --scan 扫描件.pdf", "scan")
        for (_, digest), name in kept.items():
            if scan.table_sha256 and digest != scan.table_sha256:
                text = f"{name} 的出处不是与扫描件成对登记的那份表1"
                yield here(text, "用同一份表1 重新导入", "commitments", name, "source")
        if scan.sha256:
            kept[scan.file, scan.sha256] = ""
    for (file, digest), name in kept.items():
        place = ("commitments", name, "source") if name else ("scan",)
        path = case.path.parent / file
        if why := name_problem(file):
            yield here(f"{file!r} 不是案卷里的文件：{why}", "写相对案卷文件夹的文件名", *place)
            continue
        if path.exists() and not path.is_file():  # a device or a pipe would never end
            yield here(f"{file} 不是普通文件", "把原件放回案卷文件夹", *place)
            continue
        try:
            changed = digest_file(path) != digest
        except OSError:
            yield here(f"找不到登记过的 {file}", "把原件放回案卷文件夹", *place)
            continue
        if changed:
            yield here(f"{file} 与登记的摘要不符，登记之后被改动", "放回原件，或重新导入", *place)


def c17(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """What was imported is confirmed by a person, what was typed from a scan by two, and is what the source says."""
    limits = {indicator.id: indicator.limit for indicator in _indicators(case, public_list)}
    for name, commitment in case.document.commitments.items():
        source = commitment.source
        if source is None or not source.imported:
            continue
        place = ("commitments", name, "source")
        people = source.confirmed_by or ()
        if not people:
            text = f"{name} 是导入的，还没有人确认"
            yield _problem(case, "C17", text, f"在终端里再运行一次 yanshou import {source.file} 案卷，逐条确认", *place)
        elif len({person(p) for p in people}) < 2 and not source.legible:
            text = f"{name} 是照扫描件录入的，只有 {people[0]} 一人"
            yield _problem(case, "C17", text, f"由两人各自录入：yanshou import {source.file} 案卷 --by-hand", *place)
        target = _limit(commitment.target, limits.get(name))
        stated = [_limit(part, limits.get(name)) for part in (source.text, *limits_inside(source.text))]
        if target and any(stated) and not any(limit and _same(target, limit) for limit in stated):
            text = f"{name} 的目标“{commitment.target}”与出处原文“{source.text}”不同"
            yield _problem(
                case, "C17", text, "照原文改回，或在 note 说明", "commitments", name, "target", severity="warning"
            )


def _same(a: Limit, b: Limit) -> bool:
    """True for one limit in two spellings. Exact."""
    return _comparable(a, b) and a.op is b.op and not _weaker(a, b) and not _weaker(b, a)


def c18(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """A correction is a new report with its own number that names the one it replaces, why, and what changed."""
    report = case.document.report
    old = report.replaces
    if old is None:
        return
    here = partial(_problem, case, "C18")
    if not old.number:
        yield here("没有写代替哪一份报告", "写被代替的报告的编号", "report", "replaces")
    elif old.number == report.number:
        yield here(f"更正的报告与被代替的同为 {old.number}", "用新的报告编号", "report", "number")
    if not old.reason:
        yield here("没有写代替的原因", "写 reason", "report", "replaces")
    if not old.changes:
        yield here("没有写改了什么", "在 changes 里逐条写明", "report", "replaces")


@dataclass(frozen=True)
class CheckRule:
    """One rule of the check: stable code, Chinese title, and the function that finds what breaks it."""

    code: str
    title: str
    find: Callable[[Case, PublicList], Iterator[Problem]]


RULES = (
    CheckRule("C01", "场景是榜单上的场景", c01),
    CheckRule("C02", "榜单指标都有承诺", c02),
    CheckRule("C03", "目标不弱于榜单", c03),
    CheckRule("C04", "目标读得出，单位与榜单是同一种量", c04),
    CheckRule("C05", "榜单没说清的，补充说明要说清", c05),
    CheckRule("C06", "没有数字的要求有自报的量化目标", c06),
    CheckRule("C07", "自报指标有名称、限值、单位和方法", c07),
    CheckRule("C08", "栏目不空缺", c08),
    CheckRule("C09", "验收内容列全指标，验收方式写明环境、工具、步骤、样本", c09),
    CheckRule("C10", "完成时限在发榜之日起一年内", c10),
    CheckRule("C12", "信用代码有效，联合体只有一个牵头单位", c12),
    CheckRule("C13", "当前水平尚未达到目标", c13),
    CheckRule("C14", "报告默认不公开，不印密级", c14),
    CheckRule("C15", "不含个人信息和高精度坐标", c15),
    CheckRule("C16", "盖章扫描件与表1 成对登记，经人核对一致", c16),
    CheckRule("C17", "导入的承诺经人确认", c17),
    CheckRule("C18", "更正的报告有新编号，写明代替哪份、为什么、改了什么", c18),
)
"""All but C11 (frozen and signed), which is the ledger's. C16 alone looks at other files: those that the case names."""


def check_case(case: Case, public_list: PublicList) -> list[Problem]:
    """Everything that the rules find, in the order of the file."""
    found = [problem for rule in RULES for problem in rule.find(case, public_list)]
    return sorted(map(printable, found), key=lambda p: (p.line or 0, p.code))
