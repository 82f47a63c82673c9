"""What a receiver's errors and its sky look like: the pictures of a `gnss` measurement. Pure.

They must never know the limit: the report draws the finding's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from yanshou.harness.model import Ellipse, Points, Scatter, Trace, Traces
from yanshou.probes.gnss.epochs import FIXED, FLOAT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Component = Literal["horizontal", "vertical"]
SOLUTIONS = ("固定解", "浮点解", "其他解")
SHARE = 0.95
FEWEST = 3
"""Places without which there is no covariance to speak of."""


def deviation(errors: NDArray[np.float64], quality: NDArray[np.int64], component: Component = "horizontal") -> Scatter:
    """East and north errors (metres, shape (3, n) with up) about the truth, with their 95 % ellipse."""
    points = Points(errors[0], errors[1], _solution(quality), SOLUTIONS)
    axes = ("东向误差", "北向误差")
    return Scatter(
        "水平偏差：各历元与真值之差", axes, "m", points, ellipse(errors[0], errors[1]), component == "horizontal"
    )


def error_traces(
    times: NDArray[np.float64],
    errors: NDArray[np.float64],
    quality: NDArray[np.int64],
    component: Component = "horizontal",
) -> Traces:
    """East, north and up errors (metres, shape (3, n)) over `times` (seconds since the start of the run)."""
    horizontal = component == "horizontal"
    traces = (
        Trace("东向", errors[0], horizontal),
        Trace("北向", errors[1], horizontal),
        Trace("天向", errors[2], not horizontal),
    )
    return Traces("误差过程：东、北、天三个方向", "m", times, traces, _solution(quality), SOLUTIONS)


def _solution(quality: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    return np.select([quality == FIXED, quality == FLOAT], [0, 1], 2).astype(np.int64)


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
