"""The public list (榜单) as data: ten scenarios, their indicators, and how sure the wording is.

It is for knowing what the list says, literally or by restoration. It must never hold a commitment, a measurement or a verdict.
Data: yanshou/scenarios/<list folder>/s??_*.yaml, reference_lists.yaml, list.yaml, notice.txt.
"""

from __future__ import annotations

from dataclasses import dataclass

from yanshou.harness.model import Kind, Limit


@dataclass(frozen=True)
class MustDefine:
    """A question the list leaves open and the commitment must answer under `define.<key>`."""

    key: str
    ask: str


@dataclass(frozen=True)
class Indicator:
    """One 重点指标 of the list.

    `source` is "literal" or "inferred" (then `inferred_part` says which part); `judge_undefined` is False where an open
    question forbids any verdict (口径未定). `fatal_alone` is False for wording too unsure to fail a case by itself.
    `group` is None for AND, else the id of its any-group. `probe` is the default instrument, `statistic` the default
    statistic of a measured indicator or None when only the commitment can say.
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


@dataclass(frozen=True)
class Group:
    """An any-group: satisfied when one member is."""

    id: str
    logic: str
    members: tuple[str, ...]
    ocr: str


@dataclass(frozen=True)
class Qualitative:
    """A requirement without a number: judged by experts, or against a target the project set itself."""

    id: str
    text: str
    ocr: str
    source: str
    needs_self_target: bool


@dataclass(frozen=True)
class Wording:
    """A text of the notice: verbatim OCR fragment, restored text, and its standing."""

    ocr: str | None
    restored: str
    source: str


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


@dataclass(frozen=True)
class PublicList:
    """The list with its digest over every data file it was read from."""

    id: str
    title: str
    sha256: str
    needs_official_confirmation: bool
    scenarios: tuple[Scenario, ...]

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


def load_list(list_id: str = "wuhan-2024") -> PublicList:
    """Read and check a list's data. Raises UserError naming file and line."""
    raise NotImplementedError
