"""Recognises a track that was reported twice: by another terminal, or on another day. Pure, in bounded memory.

It must never accuse two honest drives along one road: eight different positions in a row, equal to the last digit, are no chance
where digits are finer than a metre, and coarser ones are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.probes.positions import Fixes

ROW = 8
"""Different positions in a row."""
ONE_IN, MOST = 8, 1 << 18
"""One in so many rows is remembered, chosen by its digest, and so many in all."""
COARSE = 1e5
"""Steps to a degree of digits that are coarser than a metre."""
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


@dataclass
class Tracks:
    """Rows of positions met so far. `looked`: how many were looked at, `again`: how many of these had been met before."""

    looked: int = 0
    again: int = 0
    _met: set[int] = field(default_factory=set)

    def feed(self, fixes: Fixes) -> None:
        """Take in a stretch. Rows across two stretches are not looked at."""
        import numpy as np

        steps = fixes.degrees * COARSE
        fine = np.flatnonzero((np.abs(steps - np.rint(steps)) > 1e-3).any(axis=1))
        order = fine[np.argsort(fixes.terminal[fine], kind="stable")]
        who, where = fixes.terminal[order], _digests(fixes.degrees[order])
        moved = np.ones(order.size, dtype=np.bool_)
        moved[1:] = (who[1:] != who[:-1]) | (where[1:] != where[:-1])
        for digest in _rows(who[moved], where[moved]).tolist():
            self.looked += 1
            if digest in self._met:
                self.again += 1
            elif len(self._met) < MOST:
                self._met.add(digest)


def _digests(degrees: NDArray[np.float64]) -> NDArray[np.uint64]:
    """64 bits that stand for a position."""
    import numpy as np

    x, y = np.ascontiguousarray(degrees).view(np.uint64).reshape(-1, 2).T
    mixed = (x * np.uint64(_MIX[0])) ^ (y * np.uint64(_MIX[1]))
    digests: NDArray[np.uint64] = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_MIX[2])
    return digests


def _rows(who: NDArray[np.int64], where: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Digests of one in ONE_IN of all rows of ROW different positions of one terminal."""
    import numpy as np

    if where.size < ROW:
        return np.zeros(0, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(where, ROW)
    weights = np.array([pow(_MIX[0], n, 1 << 64) for n in range(1, ROW + 1)], dtype=np.uint64)
    digests = (windows * weights).sum(axis=1, dtype=np.uint64)
    digests ^= digests >> np.uint64(32)
    chosen = (digests % np.uint64(ONE_IN) == 0) & (who[: 1 - ROW] == who[ROW - 1 :])
    rows = np.sort(windows[chosen], axis=1)
    different = (rows[:, 1:] != rows[:, :-1]).all(axis=1)
    found: NDArray[np.uint64] = digests[chosen][different]
    return found
