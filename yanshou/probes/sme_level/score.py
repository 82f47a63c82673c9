"""From what stands in the sheets to each enterprise's level before and after, and to the one reason for which it does not count.

It is for letting every number be traced to a cell. It must never count what two persons did not confirm on site. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property

from yanshou.harness.references import SmeEdition
from yanshou.probes.codes import is_uscc
from yanshou.probes.records.sme import is_sme
from yanshou.probes.sme_level.layout import (
    AFTER,
    ASSETS,
    BEFORE,
    CODE,
    CONFIRMED,
    DAY_AFTER,
    EDITION,
    HOW_AFTER,
    HOW_BEFORE,
    INDUSTRY,
    NAME,
    ON_SITE,
    REVENUE,
    STAFF,
    YES,
    Form,
    Line,
    readable,
    scene_of,
)
from yanshou.probes.sme_level.spec import Params
from yanshou.probes.texts import moment

REASONS = {
    "SME-X-CODE": "统一社会信用代码的校验位不对",
    "SME-X-EDITION": "评测表不是 2024年版",
    "SME-X-LARGE": "不是中小微企业",
    "SME-X-SIZE": "行业或数字读不出，无法划型",
    "SME-X-DUP": "同一企业的又一张评测表，只认等级最低的一张",
    "SME-X-SELF": "改造后是自评，或没有一项经两人现场确认",
    "SME-X-BEFORE": "没有改造前等级",
    "SME-X-LEVEL": "改造后没有达到要求的等级",
    "SME-X-SAME": "改造后等级没有高于改造前",
}
"""Code -> Chinese text of every reason, in order of application."""


@dataclass(frozen=True)
class Standing:
    """Points by part, levels by scene, and the level that they come to."""

    parts: Mapping[str, Decimal]
    scenes: Mapping[str, int]
    level: int

    @property
    def points(self) -> Decimal:
        """All points."""
        return sum(self.parts.values(), Decimal(0))


@dataclass(frozen=True)
class Assessed:
    """One enterprise. `after` counts what was confirmed, `claimed` what was written; `reason` is "" where it counts.

    `unconfirmed`: ids of lines that claim something which nobody confirmed. `proofs`: digests behind its confirmations.
    """

    form: Form
    before: Standing | None
    after: Standing
    claimed: Standing
    unconfirmed: tuple[str, ...]
    proofs: frozenset[str]
    reason: str = ""

    @property
    def code(self) -> str:
        """Its unified social credit code, as written."""
        return self.form.head[CODE].upper()

    @property
    def name(self) -> str:
        """Its name, as written."""
        return self.form.head[NAME]

    @cached_property
    def day(self) -> str:
        """ISO date of the assessment after, "" where none can be read."""
        when = moment(self.form.head[DAY_AFTER])
        return when.date().isoformat() if when else ""


def assess(forms: Iterable[tuple[Form, Mapping[str, str]]], edition: SmeEdition, params: Params) -> list[Assessed]:
    """Every form with its level and reason, in order; beside each form the digests of the evidence files that it names."""
    scored = [_score(form, proofs, edition) for form, proofs in forms]
    lowest = _lowest(scored, params)
    return [replace(one, reason=_reason(one, lowest.get(one.code) is one, params)) for one in scored]


def confirmed(line: Line, proofs: Mapping[str, str]) -> bool:
    """True where two persons confirmed an answer, on a file that is there."""
    return line.said[CONFIRMED] == YES and not any(line.lacks()) and all(name in proofs for name in line.proofs)


def _score(form: Form, proofs: Mapping[str, str], edition: SmeEdition) -> Assessed:
    lines = form.lines
    sure = {id for id, line in lines.items() if confirmed(line, proofs)}
    before = all(line.said[BEFORE] for line in lines.values()) and bool(lines)
    claims = {id for id, line in lines.items() if line.said[AFTER] not in ("", "0", "无")}
    return Assessed(
        form,
        _standing(lines, BEFORE, edition, lambda _: True) if before else None,
        _standing(lines, AFTER, edition, sure.__contains__),
        _standing(lines, AFTER, edition, lambda _: True),
        tuple(id for id in lines if id in claims - sure),
        frozenset(proofs[name] for id in sure for name in lines[id].proofs),
    )


def _standing(lines: Mapping[str, Line], column: int, edition: SmeEdition, counts: Callable[[str], object]) -> Standing:
    parts = dict.fromkeys((question.part for question in edition.questions), Decimal(0))
    names = scene_of(edition)
    scenes = dict.fromkeys(names.values(), 0)
    for question in edition.questions:
        if question.id in lines and counts(question.id):
            parts[question.part] += question.points(lines[question.id].said[column]) or 0
    for id, name in names.items():
        if id in lines and counts(id) and readable(lines[id], column, edition):
            scenes[name] = int(lines[id].said[column])
    return Standing(parts, scenes, edition.level(sum(parts.values(), Decimal(0)), scenes))


def _identity(one: Assessed, params: Params) -> str:
    """Why an enterprise is none that may count, whatever its level."""
    head = one.form.head
    if not is_uscc(one.code):
        return "SME-X-CODE"
    if head[EDITION] != params.edition:
        return "SME-X-EDITION"
    small = is_sme(head[INDUSTRY], head[STAFF], head[REVENUE], head[ASSETS])
    return {True: "", False: "SME-X-LARGE", None: "SME-X-SIZE"}[small]


def _lowest(scored: Sequence[Assessed], params: Params) -> dict[str, Assessed]:
    """Credit code -> of its sheets that may count the one with the lowest level after: a better one must not be chosen."""
    by_code: defaultdict[str, list[Assessed]] = defaultdict(list)
    for one in scored:
        if not _identity(one, params):
            by_code[one.code].append(one)
    return {code: min(sheets, key=lambda one: (one.after.level, one.after.points)) for code, sheets in by_code.items()}


def _reason(one: Assessed, stands: bool, params: Params) -> str:
    if why := _identity(one, params):
        return why
    if not stands:
        return "SME-X-DUP"
    if one.form.head[HOW_AFTER] != ON_SITE or not one.proofs:
        return "SME-X-SELF"
    if params.improved and one.before is None:
        return "SME-X-BEFORE"
    if params.level is not None and one.after.level < params.level:
        return "SME-X-LEVEL"
    if params.improved and one.before is not None and one.after.level <= one.before.level:
        return "SME-X-SAME"
    return ""


def shared_level(counting: Sequence[Assessed], least: int) -> int:
    """The highest level that at least `least` of those that count reached; 0 below the first."""
    levels = sorted((one.after.level for one in counting), reverse=True)
    return levels[least - 1] if len(levels) >= least else 0


def several(assessed: Iterable[Assessed]) -> Iterator[tuple[str, list[Assessed]]]:
    """Credit codes that stand on more than one sheet, with these."""
    by_code: defaultdict[str, list[Assessed]] = defaultdict(list)
    for one in assessed:
        if one.reason != "SME-X-CODE":
            by_code[one.code].append(one)
    return ((code, sheets) for code, sheets in by_code.items() if len(sheets) > 1)


def self_assessed_before(assessed: Iterable[Assessed]) -> int:
    """Of those that count, how many have a level before that nobody assessed on site."""
    return sum(not one.reason and one.before is not None and one.form.head[HOW_BEFORE] != ON_SITE for one in assessed)
