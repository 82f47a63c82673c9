"""Which of several position streams come from one receiver: never apart, or one and the same noise. Pure.

A copy may be displaced, turned, delayed or a little noisier than its model; the noise of a receiver that stands still, and the
path of one that drives a bend, are still its own. Two receivers share corrections and so a part of their noise: that part, about
half with one base station, must stay below what is called a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 30
"""Steps in common, and steps that matter in each stream, below which nothing is said: chance stays below 1e-12 a pair."""
SAME_NOISE = 0.8
"""Correlation of the steps of two receivers at rest. A copy with three quarters of its noise added still has it."""
STILL_M = 2.0
"""Root mean square distance from its own middle up to which a receiver is at rest."""
SAME_PATH_M, SAME_LINE_M = 0.05, 0.002
"""How constant the offset of two moving receivers must be. Antennas on one vehicle turn with it; on a straight line they do not,
and only what is below any receiver's noise is a copy."""
BEND_M = 5.0
"""Standard deviation across the main direction from which on a path is no straight line."""
LONGEST_DELAY_S = 60


@dataclass(frozen=True)
class Stream:
    """Positions of one terminal: `t_s` int64 (n,) increasing whole seconds, `metres` float64 (n, 2) in one plane."""

    t_s: NDArray[np.int64]
    metres: NDArray[np.float64]

    @property
    def step_s(self) -> int:
        """How often it reports, whole seconds."""
        import numpy as np

        return max(1, int(np.median(np.diff(self.t_s)))) if self.t_s.size > 1 else 0


@dataclass(frozen=True)
class Pair:
    """Streams `first` and `second` (indices) are of one receiver. `near`: they are never apart; else the same noise or path.

    `measure`: their distance in metres; else the correlation, or how constant their offset is in metres. `delay_s`: of one.
    """

    first: int
    second: int
    near: bool
    measure: float
    delay_s: int = 0

    @property
    def text(self) -> str:
        """What was found, in words."""
        if self.near:
            return f"相距 {self.measure:.2f} 米"
        alike = (
            f"起伏相关 {self.measure:.2f}" if self.measure >= SAME_NOISE else f"相对位置不变到 {self.measure:.3f} 米"
        )
        return alike + (f"，错开 {self.delay_s} 秒" if self.delay_s else "")


def same_receiver(streams: Sequence[Stream], apart_m: float) -> list[Pair]:
    """Every pair that is one receiver, each once, in order."""
    found: dict[tuple[int, int], Pair] = {}
    for step in sorted({s.step_s for s in streams if s.step_s}):
        members = [n for n, s in enumerate(streams) if 0 < s.step_s <= step]
        for pair in _compare(_Grid.of([streams[n] for n in members], step), apart_m):
            first, second = sorted((members[pair.first], members[pair.second]))
            found.setdefault((first, second), replace(pair, first=first, second=second))
    return [found[key] for key in sorted(found)]


def untested(streams: Sequence[Stream]) -> list[int]:
    """Streams whose noise is too seldom seen to be recognised elsewhere: few steps, or digits too coarse to show any."""
    grids = ((n, _Grid.of([s], s.step_s)) for n, s in enumerate(streams) if s.step_s)
    seen = {n for n, grid in grids if bool(grid.telling[0])}
    return [n for n in range(len(streams)) if n not in seen]


@dataclass(frozen=True)
class _Grid:
    """Streams on common seconds, `step` apart, as complex numbers east + i north, shape (m, k); 0 where `there` is false."""

    step: int
    place: NDArray[np.complex128]
    there: NDArray[np.bool_]

    @staticmethod
    def of(streams: Sequence[Stream], step: int) -> _Grid:
        """The first position of each stream in each slot."""
        import numpy as np

        first = min(int(s.t_s[0]) for s in streams)
        slots = [(s.t_s - first) // step for s in streams]
        shape = len(streams), max(int(s[-1]) for s in slots) + 1
        place, there = np.zeros(shape, dtype=np.complex128), np.zeros(shape, dtype=np.bool_)
        middle = np.mean([s.metres.mean(axis=0) for s in streams], axis=0)
        for n, (stream, slot) in enumerate(zip(streams, slots, strict=True)):
            at, rows = np.unique(slot, return_index=True)
            x, y = (stream.metres[rows] - middle).T
            place[n, at], there[n, at] = x + 1j * y, True
        return _Grid(step, place, there)

    @property
    def steps(self) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
        """Changes from slot to slot, less their mean, and where both slots are there."""
        import numpy as np

        both = self.there[:, 1:] & self.there[:, :-1]
        change = np.where(both, self.place[:, 1:] - self.place[:, :-1], 0)
        mean = change.sum(axis=1, keepdims=True) / np.maximum(both.sum(axis=1, keepdims=True), 1)
        return np.where(both, change - mean, 0), both

    @property
    def still(self) -> NDArray[np.bool_]:
        """Which of them are at rest."""
        import numpy as np

        n = np.maximum(self.there.sum(axis=1), 1)
        spread = (np.abs(self.place) ** 2).sum(axis=1) / n - np.abs(self.place.sum(axis=1) / n) ** 2
        return np.asarray(spread <= STILL_M**2)

    @property
    def bends(self) -> NDArray[np.bool_]:
        """Which of them leave a straight line."""
        import numpy as np

        spans = []
        for place, there in zip(self.place, self.there, strict=True):
            x = place[there]
            both = np.cov(np.stack([x.real, x.imag])) if x.size > 1 else np.zeros((2, 2))
            spans.append(float(np.linalg.eigvalsh(both)[0]))
        return np.array(spans) >= BEND_M**2

    @property
    def telling(self) -> NDArray[np.bool_]:
        """Which have LEAST steps that matter: (sum of squares)^2 over the sum of fourth powers, so that one jump is one."""
        import numpy as np

        change, _ = self.steps
        power = np.abs(change) ** 2
        return np.asarray(power.sum(axis=1) ** 2 >= LEAST * np.maximum((power**2).sum(axis=1), 1e-30))


def _compare(grid: _Grid, apart_m: float) -> Iterator[Pair]:
    import numpy as np

    still, bends, telling = grid.still, grid.bends, grid.telling
    change, both = grid.steps
    at_rest = np.outer(still, still) & np.outer(telling, telling)
    moving = np.outer(~still, ~still)
    allowed = np.where(np.outer(bends, bends), SAME_PATH_M, SAME_LINE_M)
    distance = _distances(grid, still)
    for a, b in zip(*np.nonzero(np.triu(distance <= apart_m, 1)), strict=True):
        yield Pair(int(a), int(b), True, float(distance[a, b]))
    for lag in range(min(LONGEST_DELAY_S // grid.step, change.shape[1] - 1) + 1):
        alike = np.where(at_rest, _correlations(change, both, lag), 0.0)
        constancy = (
            np.where(moving, _constancies(grid, lag), np.inf) if moving.any() else np.full(allowed.shape, np.inf)
        )
        hits = (alike >= SAME_NOISE) | (constancy <= allowed)
        for a, b in zip(*np.nonzero(hits), strict=True):
            if a != b and (a < b or lag):
                measure = alike[a, b] if alike[a, b] >= SAME_NOISE else constancy[a, b]
                yield Pair(int(a), int(b), False, float(measure), lag * grid.step)


def _lagged(array: NDArray[Any], lag: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows as they are and rows `lag` later, over the slots that both have."""
    return array[:, : array.shape[1] - lag], array[:, lag:]


def _correlations(change: NDArray[np.complex128], both: NDArray[np.bool_], lag: int) -> NDArray[np.float64]:
    """|correlation| of every row with every row `lag` later, over common steps; 0 with fewer than LEAST of them.

    That of complex numbers does not see how one is turned or scaled against the other.
    """
    import numpy as np

    x, y = _lagged(change, lag)
    u, v = (w.astype(np.float64) for w in _lagged(both, lag))
    norm = np.sqrt((np.abs(x) ** 2 @ v.T) * (u @ (np.abs(y) ** 2).T))
    enough = u @ v.T >= LEAST
    return np.where(enough & (norm > 0), np.abs(x @ y.conj().T) / np.where(norm > 0, norm, 1), 0.0)


def _constancies(grid: _Grid, lag: int) -> NDArray[np.float64]:
    """Root mean square change of the offset of every row from every row `lag` later, metres; inf with fewer than LEAST slots."""
    import numpy as np

    square, mean, n = _offsets(grid, lag)
    spread = np.sqrt(np.maximum(square - np.abs(mean) ** 2, 0.0))
    return np.where(n >= LEAST, spread, np.inf)


def _offsets(grid: _Grid, lag: int) -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.float64]]:
    """Mean square, and mean, of every row less every row `lag` later, and over how many slots."""
    import numpy as np

    x, y = _lagged(grid.place, lag)
    u, v = (w.astype(np.float64) for w in _lagged(grid.there, lag))
    n = u @ v.T
    many = np.maximum(n, 1)
    square = (np.abs(x) ** 2 @ v.T + u @ (np.abs(y) ** 2).T - 2 * (x @ y.conj().T).real) / many
    return square, (x @ v.T - u @ y.T) / many, n


def _distances(grid: _Grid, still: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each pair: between their middles where both are at rest, else root mean square over common slots; inf without."""
    import numpy as np

    square, _, n = _offsets(grid, 0)
    middle = grid.place.sum(axis=1) / np.maximum(grid.there.sum(axis=1), 1)
    apart = np.abs(middle[:, None] - middle[None, :])
    together = np.where(n >= LEAST, np.sqrt(np.maximum(square, 0.0)), np.inf)
    return np.where(np.outer(still, still), apart, together)
