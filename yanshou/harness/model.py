"""The vocabulary of the whole project: verdicts, limits, measurements, and what a measurement is made of.

It is for every room to speak the same words. It must never do I/O or decide anything.
Specified by DESIGN: English identifiers, Chinese words for people (`.word`), stable codes between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from yanshou.harness.basics import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Verdict(StrEnum):
    """What is concluded about an indicator, a group or a case."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not_run"
    INVALID = "invalid"
    FAIL = "fail"

    @property
    def word(self) -> str:
        """The Chinese word printed for people."""
        return _VERDICT_WORDS[self]

    @property
    def severity(self) -> int:
        """Rank for the worst-of rule: pass < inconclusive < not_run < invalid < fail."""
        return list(Verdict).index(self)


_VERDICT_WORDS = {
    Verdict.PASS: "符合",
    Verdict.INCONCLUSIVE: "未定",
    Verdict.NOT_RUN: "未测",
    Verdict.INVALID: "无效",
    Verdict.FAIL: "不符合",
}


class Mode(StrEnum):
    """What a case is for. Only `acceptance` can become a formal report."""

    ACCEPTANCE = "acceptance"
    SELF_CHECK = "self-check"
    DEMO = "demo"

    @property
    def marking(self) -> str:
        """The words that stand on every page, empty for a formal report."""
        return {"acceptance": "", "self-check": "自检，不作验收依据", "demo": "演示数据"}[self.value]


class Kind(StrEnum):
    """How a number comes about."""

    MEASURED = "measured"
    COUNTED = "counted"
    INSPECTED = "inspected"

    @property
    def word(self) -> str:
        """The Chinese word printed for people."""
        return {"measured": "测量", "counted": "计数", "inspected": "查验"}[self.value]


class Severity(StrEnum):
    """Weight of a validity finding: INVALID voids the run it belongs to."""

    INFO = "info"
    WARNING = "warning"
    INVALID = "invalid"


class Op(StrEnum):
    """Comparators. 以上/以内/不少于 include the number (民法典第1259条), 超过/不满 exclude it."""

    LE = "<="
    GE = ">="
    LT = "<"
    GT = ">"
    EQ = "=="

    @property
    def sign(self) -> str:
        """The typographic sign printed for people."""
        return {"<=": "≤", ">=": "≥", "<": "<", ">": ">", "==": "="}[self.value]

    @property
    def smaller_is_better(self) -> bool:
        """True when smaller values are better."""
        return self in (Op.LE, Op.LT)


@dataclass(frozen=True)
class Limit:
    """A threshold. `value` is exact (Decimal) or True for a yes/no indicator (`op` is then EQ, `unit` is "bool")."""

    op: Op
    value: Decimal | bool
    unit: str

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return "是" if self.value else "否"
        return f"{self.op.sign} {self.value:f} {self.unit}"

    def to_json(self) -> dict[str, Json]:
        """`{"op","value","unit"}`; an integral value is written as int, others as float (exact text is in the plan)."""
        return {"op": self.op.value, "value": plain_number(self.value), "unit": self.unit}


def plain_number(value: Decimal | bool | int | float) -> bool | int | float:
    """The JSON number for an exact value: int where integral, float else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value
    return int(value) if value == int(value) else float(value)


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is: a stable code and a Chinese sentence."""

    code: str
    text: str

    def to_json(self) -> dict[str, Json]:
        """`{"code","text"}`."""
        return {"code": self.code, "text": self.text}


@dataclass(frozen=True)
class Validity:
    """One finding about whether a number may be trusted at all."""

    code: str
    severity: Severity
    text: str

    def to_json(self) -> dict[str, Json]:
        """`{"code","severity","text"}`."""
        return {"code": self.code, "severity": self.severity.value, "text": self.text}


@dataclass(frozen=True)
class Series:
    """Another quantity of the same events, printed beside the judged one: `measurand` of direction or part `name`.

    `values`: float64, shape (n,), in the unit of the samples, +inf where there is none. `error`: half-width of what one common
    systematic error (a clock offset) may shift all values by, same unit. `components` as in `Samples`. `plausible`:
    the commitment may just as well mean these values (means of sessions for single epochs), so they are judged too, by
    these statistics where it names none; () for a quantity that is only printed.
    """

    name: str
    text: str
    measurand: str
    values: NDArray[np.float64]
    error: float = 0.0
    components: tuple[NDArray[np.float64], ...] = ()
    plausible: tuple[str, ...] = ()


@dataclass(frozen=True)
class Samples:
    """What a measuring probe says: values in time order.

    `values`: float64, shape (n,), in `unit`, +inf where the event never came (a loss is an exceedance, never dropped).
    `times`: float64, shape (n,), seconds since the start of the run.
    `measurand`: what each value is ("round_trip"); `bounds`: quantities that each value bounds from above ("one_way").
    `components`: signed parts whose root sum of squares each value is (east and north of a horizontal error), for the rms.
    `resolution`: the smallest step that the values can show. `truth_u95`: expanded uncertainty (k = 2) of what they are errors
    from; 0 where they are no errors.
    `series`: other quantities of the same events. `open`: what forbids a verdict though the run is sound.
    `facts`: further counts and settings for the report, JSON only.
    """

    unit: str
    values: NDArray[np.float64]
    times: NDArray[np.float64]
    measurand: str
    bounds: tuple[str, ...] = ()
    components: tuple[NDArray[np.float64], ...] = ()
    resolution: float = 0.0
    truth_u95: float = 0.0
    series: tuple[Series, ...] = ()
    open: tuple[Reason, ...] = ()
    validity: tuple[Validity, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Exclusion:
    """`count` rows left out of a count for one declared reason."""

    code: str
    text: str
    count: int


@dataclass(frozen=True)
class Audit:
    """A random check of a counted population: `drawn` of `population` re-verified on site, `good` confirmed."""

    population: int
    drawn: int
    good: int


@dataclass(frozen=True)
class Count:
    """What a counting probe says: gross, minus each exclusion in order, is net. Invariant: gross - sum(exclusions) == net.

    `per_day`: (ISO date, net count) in date order, for the histogram that shows last-minute filling.
    `columns`: parts of `net` that are printed apart (直连 5G, 网关后). `open`: what forbids a verdict though the run is sound.
    """

    unit: str
    gross: int
    exclusions: tuple[Exclusion, ...]
    net: int
    audit: Audit | None = None
    per_day: tuple[tuple[str, int], ...] = ()
    columns: tuple[tuple[str, int], ...] = ()
    open: tuple[Reason, ...] = ()
    validity: tuple[Validity, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)


class Answer(StrEnum):
    """A person's answer to one inspection item."""

    YES = "是"
    NO = "否"
    PARTIAL = "部分"
    NOT_APPLICABLE = "不适用"
    EXPERT = "专家评议"
    OPEN = "未查"


@dataclass(frozen=True)
class InspectedItem:
    """One line of a checklist as a person answered it; `evidence` are SHA-256 digests of the files behind the answer."""

    id: str
    text: str
    expected: str
    observed: str
    answer: Answer
    inspector: str
    witness: str
    evidence: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class Checklist:
    """What an inspection says. A person decided each answer; the harness only counts them."""

    unit: str
    items: tuple[InspectedItem, ...]
    validity: tuple[Validity, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)

    def number(self, *answers: Answer) -> int:
        """How many items carry one of `answers`."""
        return sum(item.answer in answers for item in self.items)


Measurement: TypeAlias = Samples | Count | Checklist
