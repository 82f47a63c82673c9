"""The vocabulary of the whole project: verdicts, limits, measurements, and what a measurement is made of.

It is for every room to speak the same words. It must never do I/O or decide anything.
Specified by DESIGN: English identifiers, Chinese words for people (`.word`), stable codes between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
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
    """A threshold. `value` is exact: as somebody wrote it (Decimal), True for a yes/no indicator (`op` is then EQ, `unit` is
    "bool"), or derived from one (Fraction)."""

    op: Op
    value: Decimal | Fraction | bool
    unit: str

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return "是" if self.value else "否"
        return f"{self.op.sign} {self.value:f} {self.unit}"

    def to_json(self) -> dict[str, Json]:
        """`{"op","value","unit"}`; an integral value is written as int, others as float (exact text is in the plan)."""
        return {"op": self.op.value, "value": plain_number(self.value), "unit": self.unit}


@dataclass(frozen=True)
class Change:
    """What a limit bounds where a project promises a change: by how much something grows, or shrinks, from before to after.

    `relative`: as a share of what it was before.
    """

    grows: bool
    relative: bool

    @property
    def word(self) -> str:
        """The Chinese words printed for people."""
        if self.relative:
            return "提升幅度(相对改造前)" if self.grows else "降低幅度(相对改造前)"
        return "提升量" if self.grows else "降低量"


def plain_number(value: Decimal | Fraction | bool | int | float) -> bool | int | float:
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
class Points:
    """Places in a plane: `x`, `y` float64 of shape (n,), in time order; `group` int64 (n,), an index into `groups`.

    Groups are words from the best to the worst, each with its own mark. Give all points: the record keeps a bounded choice of them.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    group: NDArray[np.int64]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Ellipse:
    """Where a `share` of a normal distribution lies. Long and short half axis, `angle` of the long one from x to y in degrees."""

    centre: tuple[float, float]
    half_axes: tuple[float, float]
    angle: float
    share: float


@dataclass(frozen=True)
class Scatter:
    """Deviations in a plane about the origin, drawn to one scale. `limited`: the finding's limit is a circle about the origin."""

    title: str
    axes: tuple[str, str]
    unit: str
    points: Points
    ellipse: Ellipse | None = None
    limited: bool = False


@dataclass(frozen=True)
class Trace:
    """One series of a `Traces`: float64 (n,), NaN where there is none. `limited`: the finding's limit bounds its absolute value."""

    name: str
    values: NDArray[np.float64]
    limited: bool = False


@dataclass(frozen=True)
class Traces:
    """Series over time, one below the other on one scale of time (`times`: float64 (n,), seconds since the start of the run).

    `status`: int64 (n,), an index into the words `statuses`, which stand from the best to the worst; () draws no band. Give all
    values: the record keeps the lowest, middle and highest of each part of time, and how often it had which status.
    """

    title: str
    unit: str
    times: NDArray[np.float64]
    traces: tuple[Trace, ...]
    status: NDArray[np.int64] | None = None
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Satellite:
    """A satellite of a run. `track`: (azimuth from north clockwise, elevation) in degrees, in time order; one mean place is enough.

    `cn0`: usual carrier-to-noise density in dB-Hz, None where it was listed and never received.
    """

    system: str
    name: str
    track: tuple[tuple[float, float], ...]
    cn0: float | None = None


@dataclass(frozen=True)
class Sky:
    """Satellites in the sky and how strong they were. `shown`: the system that the finding is about."""

    title: str
    satellites: tuple[Satellite, ...]
    shown: str


@dataclass(frozen=True)
class Area:
    """A named area: closed rings of (east, north) in metres, each float64 of shape (k, 2), filled by the even-odd rule."""

    name: str
    rings: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class Cells:
    """A grid of squares of `size` metres from its south-west `corner` (east, north).

    `state`: int64 (rows, columns), row 0 in the south, column 0 in the west: 0 does not count, 1 missed, 2 hit.
    """

    corner: tuple[float, float]
    size: float
    state: NDArray[np.int64]


@dataclass(frozen=True)
class Map:
    """Metres east and north of a named `origin`, drawn to one scale, north up. `cell_words`: what missed and hit mean."""

    title: str
    origin: str
    areas: tuple[Area, ...] = ()
    cells: Cells | None = None
    cell_words: tuple[str, str] = ("未测到", "测到")
    points: Points | None = None


@dataclass(frozen=True)
class Shares:
    """How a `total` is shared out: (name, its part), the largest first. What the parts leave is drawn as one rest of `others`."""

    title: str
    unit: str
    parts: tuple[tuple[str, int], ...]
    total: int
    others: int


Picture: TypeAlias = Scatter | Traces | Sky | Map | Shares
"""What a measurement may show of itself beside its numbers. It knows no limit: where one belongs, the finding's is drawn."""


@dataclass(frozen=True)
class Samples:
    """What a measuring probe says: values in time order.

    `values`: float64, shape (n,), in `unit`, +inf where the event never came (a loss is an exceedance, never dropped).
    `times`: float64, shape (n,), seconds since the start of the run.
    `measurand`: what each value is ("round_trip"); `bounds`: quantities that each value bounds from above ("one_way").
    `components`: signed parts whose root sum of squares each value is (east and north of a horizontal error), for the rms; of those
    events only that came.
    `resolution`: the smallest step that the values can show. `truth_u95`: expanded uncertainty (k = 2) of what they are errors
    from; 0 where they are no errors.
    `series`: other quantities of the same events. `open`: what forbids a verdict though the run is sound.
    `facts`: further counts and settings for the report, JSON only. `pictures`: what is drawn besides distribution and time.
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
    pictures: tuple[Picture, ...] = ()


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
    `pictures`: what is drawn besides counting and days.
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
    pictures: tuple[Picture, ...] = ()


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
