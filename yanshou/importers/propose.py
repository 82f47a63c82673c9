"""Rows of 表1 as proposals: which indicator each is about and why, and which limit it states. Pure; a person has the say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from yanshou.harness.basics import Json
from yanshou.harness.case import Commitment
from yanshou.harness.listing import Scenario
from yanshou.harness.model import Change, Limit
from yanshou.harness.units import TargetError, dimension, limits_inside, parse_promise, parse_target
from yanshou.importers.grid import one_line, squeezed
from yanshou.importers.table import Row

ID = re.compile(r"S[0-9]{2}-[IPQ][0-9]{2}")
LIKE_ENOUGH = 0.3
"""Least share of common character pairs, or score of a unit that only one indicator has, for a row to be taken for it."""
SAME_QUANTITY = 0.3


@dataclass(frozen=True)
class Proposal:
    """What a row would become: `target` as it would be written, and the limit that it states, or why it states none.

    `candidates`: parts of the cell that read like limits, for a person to choose from.
    """

    row: Row
    indicator: str
    title: str
    reason: str
    target: str
    limit: Limit | None
    doubt: str
    candidates: tuple[str, ...] = ()
    change: Change | None = None
    """What the limit is on, where that is a change and not what is reached."""

    @property
    def read(self) -> str:
        """How the target is read, for people."""
        return f"{self.change.word} {self.limit}" if self.change else str(self.limit)

    def to_json(self) -> dict[str, Json]:
        """For scripts: what would be written, where it stands, and how sure that is."""
        return {
            "indicator": self.indicator,
            "reason": self.reason,
            "target": self.target,
            "limit": self.limit and self.limit.to_json(),
            "change": self.change and {"grows": self.change.grows, "relative": self.change.relative},
            "doubt": self.doubt,
            "cell": self.row.target.address,
            "text": {name: getattr(self.row, name).text for name in ("indicator", "baseline", "target", "note")},
        }


def propose(
    rows: Sequence[Row], scenario: Scenario, known: Mapping[str, Commitment], sha256: str
) -> tuple[Proposal, ...]:
    """One proposal a row, or as many as a person made of it when the same file was imported before.

    An indicator of the list is proposed once: the row most like it has it. What is like none becomes the project's own.
    """
    before = {n: [i for i, c in known.items() if _is_from(c, row, sha256)] for n, row in enumerate(rows)}
    taken = {name for names in before.values() for name in names}
    scores = sorted(
        (-score, n, name, reason)
        for n, row in enumerate(rows)
        if not before[n]
        for name, (score, reason) in _likeness(row, scenario).items()
        if score >= LIKE_ENOUGH and name not in taken
    )
    chosen: dict[int, tuple[str, str]] = {}
    for _, n, name, reason in scores:
        if n not in chosen and name not in taken:
            chosen[n] = (name, reason)
            taken.add(name)
    proposals = []
    for n, row in enumerate(rows):
        if before[n]:
            for name in before[n]:
                proposals.append(aimed(row, name, "上次导入时已对应", scenario, target=known[name].target))
            continue
        name, reason = chosen.get(n) or _own(row, scenario, known, taken)
        taken.add(name)
        proposals.append(aimed(row, name, reason, scenario))
    return tuple(proposals)


def aimed(row: Row, indicator: str, reason: str, scenario: Scenario, target: str | None = None) -> Proposal:
    """The proposal that `row` is about `indicator`, with the limit that its target cell, or `target`, states."""
    listed = next((i for i in scenario.indicators if i.id == indicator), None)
    requirement = next((q for q in scenario.qualitative if q.id == indicator), None)
    title = listed.name if listed else requirement.text if requirement else one_line(row.indicator.text)
    like = listed.limit if listed else None
    text = one_line(row.target.text) if target is None else target
    limit, change, doubt = None, None, ""
    try:
        limit, change = (parse_target(text, like), None) if listed else parse_promise(text, row.baseline.text)
    except TargetError as error:
        if target is None and error.instead:
            return aimed(row, indicator, reason, scenario, error.instead)
        doubt = f"{error.text} → {error.remedy}"
    candidates = tuple(dict.fromkeys(limits_inside(row.target.text)))
    return Proposal(row, indicator, title, reason, text, limit, doubt, candidates, change)


def aimed_at(proposal: Proposal, indicator: str, scenario: Scenario) -> Proposal:
    """The proposal turned to another indicator by a person."""
    return aimed(proposal.row, indicator, "由人指定", scenario)


def free_own_id(scenario: Scenario, taken: Iterable[str]) -> str:
    """The next id of an indicator that the list does not have."""
    used = set(taken)
    return next(name for n in range(1, 100) if (name := f"S{scenario.number:02d}-P{n:02d}") not in used)


def _is_from(commitment: Commitment, row: Row, sha256: str) -> bool:
    source = commitment.source
    return source is not None and (source.sha256, source.cell, source.indicator) == (
        sha256, row.target.address, row.indicator.text,
    )  # fmt: skip


def _own(row: Row, scenario: Scenario, known: Mapping[str, Commitment], taken: set[str]) -> tuple[str, str]:
    named = [i for i, c in known.items() if c.name and squeezed(c.name) == squeezed(row.indicator.text)]
    for name in named:
        if name not in taken:
            return name, "与案卷里的自报指标同名"
    filled = {i for i, c in known.items() if c.name or c.target}
    return free_own_id(scenario, taken | filled), "榜单没有相近的指标，作为自报指标"


def _likeness(row: Row, scenario: Scenario) -> dict[str, tuple[float, str]]:
    """Indicator id -> how much the row is like it, 0 to 1.3 (2 where the row names the id), and why."""
    text = row.indicator.text
    if explicit := ID.search(squeezed(text)):
        return {explicit[0]: (2.0, "参考指标写明了编号")} if explicit[0] in scenario.ids else {}
    units = {i.id: dimension(i.limit.unit) for i in scenario.indicators}
    found = {}
    for indicator in scenario.indicators:
        alike = max(_dice(text, indicator.name), _dice(text, indicator.ocr))
        score, reason = alike, f"与榜单“{indicator.name}”字面相近 {alike:.2f}"
        limit = aimed(row, indicator.id, "", scenario).limit
        if limit is not None and indicator.limit.unit != "bool" and dimension(limit.unit) == units[indicator.id]:
            score += SAME_QUANTITY
            only = list(units.values()).count(units[indicator.id]) == 1
            reason += f"，同以“{indicator.limit.unit}”计" + ("（榜单只此一项）" if only else "")
            score -= 0 if alike or only else SAME_QUANTITY
        found[indicator.id] = (score, reason)
    for requirement in scenario.qualitative:
        if requirement.needs_self_target:
            alike = _dice(text, requirement.text)
            found[requirement.id] = (alike, f"与榜单“{requirement.text}”字面相近 {alike:.2f}")
    return found


def _pairs(text: str) -> set[str]:
    letters = re.sub(r"[\W\d_]+", "", squeezed(text)).casefold()
    return {letters[n : n + 2] for n in range(len(letters) - 1)}


def _dice(a: str, b: str) -> float:
    """Share of common character pairs: 2|A∩B| / (|A|+|B|) (Dice 1945)."""
    left, right = _pairs(a), _pairs(b)
    return 2 * len(left & right) / (len(left) + len(right)) if left and right else 0.0
