"""The 100 m cells of a sub-district, and which of them hold a fix: arrays in, arrays out. Pure.

A cell belongs to the sub-district that its centre lies in; a fix counts for it when it lies in that sub-district and that cell.
Memory grows with the cells and with how many terminals reach them, not with the fixes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from yanshou.formats.boundaries import Boundary, Plane

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE_M = 100.0


@dataclass
class Street:
    """One sub-district being filled. `shape` in metres; masks bool (rows, columns), row 0 in the south, from `corner` (cells)."""

    name: str
    shape: Any
    corner: tuple[int, int]
    mask: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    fixes: int = 0
    days: set[int] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)
    """terminal * cells of the grid + cell, for every cell that a terminal has reached."""

    @cached_property
    def cells(self) -> int:
        """How many cells it has."""
        return int(self.mask.sum())

    @property
    def hits(self) -> int:
        """How many of them hold a fix."""
        return int(self.hit.sum())

    def cells_by_terminal(self) -> dict[int, tuple[int, int]]:
        """Terminal -> cells that it reached, and how many of these no other one did."""
        import numpy as np

        if not self.reached:
            return {}
        who, cell = np.divmod(np.fromiter(self.reached, np.int64, len(self.reached)), self.mask.size)
        _, place, terminals = np.unique(cell, return_inverse=True, return_counts=True)
        sole = terminals[place] == 1
        return {int(t): (int((who == t).sum()), int(sole[who == t].sum())) for t in np.unique(who)}

    def feed(self, metres: NDArray[np.float64], terminal: NDArray[np.int64], day: NDArray[np.int64]) -> None:
        """Take in the fixes that lie in it, of all at `metres` (n, 2)."""
        import numpy as np
        from shapely import contains_xy

        left, bottom, right, top = self.shape.bounds
        x, y = metres.T
        near = np.flatnonzero((left <= x) & (x <= right) & (bottom <= y) & (y <= top))
        near = near[contains_xy(self.shape, x[near], y[near])]
        self.fixes += near.size
        self.days.update(np.unique(day[near]).tolist())
        column, row = (np.floor(metres[near] / SIZE_M).astype(np.int64) - self.corner).T
        inside = self.mask[row, column]
        cell = (row * self.mask.shape[1] + column)[inside]
        self.hit.flat[cell] = True
        self.reached.update(np.unique(terminal[near][inside] * self.mask.size + cell).tolist())

    def hull_cells(self) -> int:
        """How many of its cells lie within the convex hull of those that hold a fix: what a drive around it would seem to cover."""
        import numpy as np
        from shapely import MultiPoint, contains_xy

        rows, columns = np.nonzero(self.hit)
        corners = [(c + i, r + j) for r, c in zip(rows, columns, strict=True) for i in (0, 1) for j in (0, 1)]
        hull = MultiPoint(corners).convex_hull
        rows, columns = np.nonzero(self.mask)
        return int(contains_xy(hull, columns + 0.5, rows + 0.5).sum())


def street(boundary: Boundary, plane: Plane) -> Street:
    """A sub-district without any fix yet."""
    import numpy as np
    from shapely import contains_xy, prepare

    shape = plane.shape(boundary.shape)
    prepare(shape)
    left, bottom, right, top = (int(v) for v in np.floor(np.array(shape.bounds) / SIZE_M))
    columns, rows = np.meshgrid(np.arange(left, right + 1), np.arange(bottom, top + 1))
    mask = contains_xy(shape, (columns + 0.5) * SIZE_M, (rows + 0.5) * SIZE_M)
    return Street(boundary.name, shape, (left, bottom), mask, np.zeros_like(mask))
