"""What a receiver's errors and its sky look like: the pictures of a `gnss` measurement. Pure.

They must never know the limit: the report draws the finding's own, where the errors are errors from the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol

from yanshou.harness.model import Ellipse, Points, Satellite, Scatter, Sky, Trace, Traces
from yanshou.probes.gnss.epochs import FIXED, FLOAT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Component = Literal["horizontal", "vertical"]
SOLUTIONS = ("固定解", "浮点解", "其他解", "没有解")
SHARE = 0.95
FEWEST = 3
"""Places without which there is no covariance to speak of."""
BEIDOU = "BDS"
SYSTEMS = {
    "GB": (BEIDOU, "C"), "BD": (BEIDOU, "C"), "GP": ("GPS", "G"), "GL": ("GLONASS", "R"), "GA": ("Galileo", "E"),
    "GQ": ("QZSS", "J"), "QZ": ("QZSS", "J"), "GI": ("NavIC", "I"),
}  # fmt: skip
"""System and the letter that RINEX gives it, by the talker of its GSV."""


class Listed(Protocol):
    """A satellite as GSV tells of it, NaN where it never said."""

    @property
    def talker(self) -> str:
        """Two letters ("GB")."""

    @property
    def number(self) -> int:
        """As printed."""

    @property
    def azimuth(self) -> float:
        """Mean, degrees."""

    @property
    def elevation(self) -> float:
        """Mean, degrees."""

    @property
    def cn0(self) -> float:
        """Mean, dB-Hz."""


def deviation(
    errors: NDArray[np.float64],
    quality: NDArray[np.int64],
    component: Component = "horizontal",
    *,
    means: NDArray[np.float64] | None = None,
    about_truth: bool = True,
) -> Scatter:
    """East and north of errors (metres, shape (3, n) with up) with their 95 % ellipse, and of `means` of sessions (3, k).

    `about_truth`: False where the errors are from their own mean: then no limit belongs there.
    """
    import numpy as np

    east, north, group = errors[0], errors[1], solution(quality)
    groups: tuple[str, ...] = SOLUTIONS[:3]
    oval = ellipse(east, north)
    if means is not None:
        east, north = np.append(east, means[0]), np.append(north, means[1])
        group = np.append(group, np.full(means.shape[1], len(groups)))
        groups = (*groups, "时段平均")
    title = f"水平偏差：各历元与{'真值' if about_truth else '自身均值'}之差"
    points = Points(east, north, group, groups)
    return Scatter(title, ("东向", "北向"), "m", points, oval, component == "horizontal" and about_truth)


def error_traces(
    times: NDArray[np.float64],
    errors: NDArray[np.float64],
    quality: NDArray[np.int64],
    component: Component = "horizontal",
    *,
    about_truth: bool = True,
) -> Traces:
    """East, north and up errors (metres, shape (3, n)) over `times` (seconds since the start of the run), NaN where none came.

    `quality` as in GGA, 0 or less where there was no position.
    """
    horizontal = component == "horizontal" and about_truth
    vertical = component == "vertical" and about_truth
    traces = (
        Trace("东向", errors[0], horizontal),
        Trace("北向", errors[1], horizontal),
        Trace("天向", errors[2], vertical),
    )
    title = f"{'误差' if about_truth else '离散'}过程：东、北、天三个方向"
    return Traces(title, "m", times, traces, solution(quality), SOLUTIONS)


def solution(quality: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into SOLUTIONS for each quality of GGA."""
    import numpy as np

    return np.select([quality == FIXED, quality == FLOAT, quality > 0], [0, 1, 2], 3).astype(np.int64)


def ellipse(x: NDArray[np.float64], y: NDArray[np.float64], share: float = SHARE) -> Ellipse | None:
    """Where `share` of a normal distribution with mean and covariance of the finite places lies; None where they have no spread.

    With covariance C the squared Mahalanobis distance v' C^-1 v is chi-squared with 2 degrees of freedom, whose quantile is
    -2 ln(1 - share); half axes are the roots of the eigenvalues of C times it, which a 2 by 2 matrix has in closed form.
    """
    import numpy as np

    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if x.size < FEWEST or np.ptp(x) == np.ptp(y) == 0:
        return None
    (xx, xy), (_, yy) = np.cov(x, y)
    middle, spread = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    factor = -2 * math.log(1 - share)
    half_axes = math.sqrt(factor * (middle + spread)), math.sqrt(factor * max(middle - spread, 0.0))
    angle = math.degrees(0.5 * math.atan2(2 * xy, xx - yy))
    return Ellipse((float(x.mean()), float(y.mean())), half_axes, angle, share)


def sky(listed: Iterable[Listed]) -> Sky:
    """Satellites that GSV lists, each at its mean place; those of BeiDou are the ones shown. Numbers are printed as they came."""
    satellites = []
    for one in listed:
        system, letter = SYSTEMS.get(one.talker, (one.talker, one.talker))
        cn0 = one.cn0 if math.isfinite(one.cn0) else None
        satellites.append(Satellite(system, f"{letter}{one.number:02d}", ((one.azimuth, one.elevation),), cn0))
    return Sky("天空：语句里列出的卫星，平均方位", tuple(satellites), BEIDOU)
