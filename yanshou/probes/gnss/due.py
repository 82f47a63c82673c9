"""Which epochs were due, which of them came and how, and which sessions they belong to. Pure.

It is for the denominator: a receiver that is silent while it is bad must not look better for it. It must never leave an epoch out
for its quality or its error; what is left out is by time alone, by rules fixed beforehand, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.probes.gnss.epochs import FIXED, FLOAT, Epochs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_MISSING = 20
"""Due epochs for each that came beyond which a clock is wrong rather than epochs missing: no more are laid out in memory."""
END_OF_TIME = 1 << 62
NOT_JUDGED = {
    "pause": "有意的停顿",
    "initialise": "停顿之后的初始化",
    "challenge": "位移激励移动中、未回到原位",
    "ablation": "关断试验",
}


@dataclass(frozen=True)
class Span:
    """Time that is not judged: [begin_ns, end_ns) for the reason `why`, a key of NOT_JUDGED. A `pause` begins a new session;
    `then_initialise`: the receiver has to find its solution anew afterwards."""

    begin_ns: int
    end_ns: int
    why: str
    then_initialise: bool = False


@dataclass(frozen=True)
class Due:
    """The epochs that were due and are judged, in time order: arrays of shape (m,).

    `index`: which of the epochs came for it, -1 none. `quality`: as in GGA, 0 without a position, -1 nothing at all.
    `expected` may be more than m, where far more are missing than came. `sessions`: number of the session of each.
    `left_out`: epochs not judged by reason. `to_first_fix_s`: from the start of each session to its first fixed epoch, None never.
    """

    t_ns: NDArray[np.int64]
    index: NDArray[np.int64]
    quality: NDArray[np.int64]
    sessions: NDArray[np.int64]
    period_ns: int
    expected: int
    left_out: dict[str, int]
    to_first_fix_s: tuple[float | None, ...]
    pauses: tuple[Span, ...]

    @property
    def came(self) -> NDArray[np.bool_]:
        """Those with a position."""
        here: NDArray[np.bool_] = self.index >= 0
        return here

    def shares(self) -> dict[str, Json]:
        """Numbers and shares over the expected epochs, longest stretches without position and without fixed solution."""
        counts = {
            "fixed": int((self.quality == FIXED).sum()),
            "float": int((self.quality == FLOAT).sum()),
            "no_position": int((self.quality == 0).sum()),
        }
        counts["other"] = int(self.came.sum()) - counts["fixed"] - counts["float"]
        counts["missing"] = self.expected - sum(counts.values())
        return {
            "expected": self.expected,
            **counts,
            "share": {name: number / self.expected if self.expected else 0.0 for name, number in counts.items()},
            "longest_outage_s": _longest(~self.came) * self.period_ns / 1e9,
            "longest_unfixed_s": _longest(self.quality != FIXED) * self.period_ns / 1e9,
        }


def lay_out(
    epochs: Epochs,
    without_ns: NDArray[np.int64],
    rate_hz: float,
    window: tuple[int, int] | None,
    spans: Sequence[Span] = (),
    pause_s: float | None = None,
    initialise_s: float = 0.0,
) -> Due:
    """Every multiple of the period in `window` (ns of UTC; from the first to the last epoch where None), minus what is not judged.

    `epochs` in any order; of several for one due moment the first stands. `pause_s`: silence that long is a pause, declared
    beforehand. After a pause, and after spans that say so, the time to the first fixed epoch, at most `initialise_s`, is left out.
    """
    import numpy as np

    period = round(1e9 / rate_hz)
    times = epochs.t_ns if len(epochs) else without_ns
    if not times.size:
        return _nothing(period)
    origin = int(times[0])
    slot, first = np.unique(_slots(epochs.t_ns, origin, period), return_index=True)
    silent = np.setdiff1d(_slots(without_ns, origin, period), slot)
    begin, end = (
        int(min(slot.min(initial=0), silent.min(initial=0))),
        int(max(slot.max(initial=0), silent.max(initial=0))) + 1,
    )
    if window is not None:
        begin, end = -(-(window[0] - origin) // period), max(-(-(window[1] - origin) // period), end)
        begin = min(begin, int(slot[0])) if slot.size else begin
    spans = [*spans, *_pauses(slot, origin, period, pause_s)]
    fixed_at = origin + slot[epochs.quality[first] == FIXED] * period
    starts = sorted({origin + begin * period, *(s.end_ns for s in spans if s.why == "pause")})
    to_fix = tuple(_until_fixed(fixed_at, start) for start in starts)
    spans = [*spans, *_initialising(spans, fixed_at, initialise_s)]
    ticks = _ticks(begin, end, slot, silent)
    reasons = list(NOT_JUDGED)
    out = np.full(ticks.size, -1, dtype=np.int8)
    for span in spans:
        low, high = (-(-(moment - origin) // period) for moment in (span.begin_ns, span.end_ns))
        part = slice(*np.searchsorted(ticks, (low, high)))
        out[part] = np.where(out[part] < 0, reasons.index(span.why), out[part])
    judged = out < 0
    missing_unseen = end - begin - ticks.size
    kept = ticks[judged]
    place = np.searchsorted(slot, kept)
    place = np.minimum(place, max(slot.size - 1, 0))
    here = slot[place] == kept if slot.size else np.zeros(kept.size, dtype=bool)
    index = np.where(here, first[place] if slot.size else -1, -1).astype(np.int64)
    quality = np.where(np.isin(kept, silent), 0, -1)
    quality = np.where(here, np.maximum(epochs.quality[index], 1) if len(epochs) else -1, quality).astype(np.int64)
    t_ns = origin + kept * period
    return Due(
        t_ns=t_ns,
        index=index,
        quality=quality,
        sessions=np.searchsorted(np.array(starts[1:], dtype=np.int64), t_ns, side="right"),
        period_ns=period,
        expected=int(kept.size) + missing_unseen,
        left_out={why: n for k, why in enumerate(reasons) if (n := int((out == k).sum()))},
        to_first_fix_s=to_fix,
        pauses=tuple(s for s in spans if s.why == "pause"),
    )


def _nothing(period: int) -> Due:
    import numpy as np

    none = np.zeros(0, dtype=np.int64)
    return Due(none, none, none, none, period, 0, {}, (), ())


def _slots(t_ns: NDArray[np.int64], origin: int, period: int) -> NDArray[np.int64]:
    """The nearest due moment of each time."""
    slots: NDArray[np.int64] = (t_ns - origin + period // 2) // period
    return slots


def _ticks(begin: int, end: int, slot: NDArray[np.int64], silent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every due moment, or only those that came where far more are missing."""
    import numpy as np

    if end - begin <= MOST_MISSING * (slot.size + silent.size) + 10_000:
        return np.arange(begin, end)
    return np.union1d(slot, silent)


def _pauses(slot: NDArray[np.int64], origin: int, period: int, pause_s: float | None) -> list[Span]:
    import numpy as np

    if pause_s is None:
        return []
    wide = np.flatnonzero(np.diff(slot) * period > pause_s * 1e9)
    return [
        Span(origin + int(slot[i] + 1) * period, origin + int(slot[i + 1]) * period, "pause", then_initialise=True)
        for i in wide
    ]


def _until_fixed(fixed_at: NDArray[np.int64], start: int) -> float | None:
    import numpy as np

    place = int(np.searchsorted(fixed_at, start))
    return (int(fixed_at[place]) - start) / 1e9 if place < fixed_at.size else None


def _initialising(spans: Sequence[Span], fixed_at: NDArray[np.int64], longest_s: float) -> list[Span]:
    found = []
    for span in spans:
        if span.then_initialise and longest_s:
            took = _until_fixed(fixed_at, span.end_ns)
            took = longest_s if took is None else min(took, longest_s)
            found.append(Span(span.end_ns, span.end_ns + round(took * 1e9), "initialise"))
    return found


def _longest(without: NDArray[np.bool_]) -> int:
    """Longest stretch of True."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], without, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0
