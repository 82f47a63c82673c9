"""Whether a declared source of the fusion does anything: what changes while it is switched off. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.probes.gnss.epochs import FIXED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.probes.gnss.due import Due
    from yanshou.probes.gnss.marks import Ablation

BEIDOU = "BDS"
LEAST_EPOCHS = 30
SHARE, RATIO = 0.02, 1.25
"""Changes of the share of fixed epochs, and of the spread, that count as a difference."""


@dataclass(frozen=True)
class Effect:
    """One interval without a source beside the judged epochs: epochs that came in it, shares of fixed ones, spread of the errors
    (mm, about their own mean), and whether sentences of the interval still name BeiDou (None: nobody can tell)."""

    source: str
    came: int
    due: int
    fixed: tuple[float, float]
    spread_mm: tuple[float, float]
    names_beidou: bool | None

    @property
    def changed(self) -> bool:
        """Whether anything did."""
        if self.came < LEAST_EPOCHS:
            return self.due >= LEAST_EPOCHS  # no output at all without it
        before, after = self.spread_mm
        spread = after > RATIO * before or before > RATIO * after
        return spread or abs(self.fixed[1] - self.fixed[0]) > SHARE

    def to_json(self) -> dict[str, Json]:
        """For the facts."""
        spread = [None if math.isnan(s) else s for s in self.spread_mm]
        return {
            "source": self.source, "came": self.came, "due": self.due, "fixed_with_without": list(self.fixed),
            "spread_mm_with_without": spread, "names_beidou": self.names_beidou,
        }  # fmt: skip


def effect(
    ablation: Ablation,
    judged: Due,
    errors: NDArray[np.float64],
    off: Due,
    errors_off: NDArray[np.float64],
    names_beidou: bool | None,
) -> Effect:
    """`errors`, `errors_off`: east, north, up, metres, of each due epoch with and without the source, shape (3, m), NaN unknown."""
    return Effect(
        ablation.source,
        int(off.came.sum()),
        off.expected,
        (_fixed(judged), _fixed(off)),
        (_spread(errors), _spread(errors_off)),
        names_beidou,
    )


def _fixed(due: Due) -> float:
    return float((due.quality == FIXED).sum()) / due.expected if due.expected else 0.0


def _spread(errors: NDArray[np.float64]) -> float:
    """Root mean square of the three-dimensional, or else horizontal, distance from the mean, mm."""
    import numpy as np

    known = errors[:, np.isfinite(errors[:2]).all(axis=0)]
    rows = known if np.isfinite(known).all() else known[:2]
    return float(np.sqrt(rows.var(axis=1).sum())) * 1000 if known.size else math.nan


def ablation_findings(declared: Sequence[str], effects: Sequence[Effect]) -> Iterator[Validity]:
    """Every declared source has to be switched off once; then something has to change, and BeiDou to vanish from the sentences."""
    if untried := [name for name in declared if name not in {e.source for e in effects}]:
        text = f"声明的融合源 {'、'.join(untried)} 没有做关断试验，不能说明它起作用"
        yield Validity("GNS-V42", Severity.WARNING, text)
    for e in effects:
        if e.source == BEIDOU and e.names_beidou:
            text = "关断北斗的时段里，语句仍说用了北斗卫星：没有真正关断，或语句是编的"
            yield Validity("GNS-V43", Severity.INVALID, text)
        if e.due < LEAST_EPOCHS:
            yield Validity("GNS-V42", Severity.WARNING, f"{e.source} 关断不足 {LEAST_EPOCHS} 个历元，看不出作用")
        elif not e.changed:
            text = f"关断 {e.source} 之后固定率与离散程度都没有变化：看不出它参与了定位"
            yield Validity("GNS-V44", Severity.WARNING, text)
