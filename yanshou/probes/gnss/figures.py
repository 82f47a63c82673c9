"""The numbers of a set of errors that are printed beside the judged one, whatever the commitment asks for. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.harness.statistics import rms_bootstrap_upper, rms_bounds
from yanshou.probes.gnss.epochs import along_and_across
from yanshou.probes.gnss.geodesy import Place, enu

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.05
COMPONENTS = {"horizontal": (0, 1), "vertical": (2,)}
"""Rows of east, north, up that each is made of."""
LEAST_SPREAD = 1.0
"""Metres a second between slow and fast without which a time skew cannot be told from a lever arm."""


def lengths(errors: NDArray[np.float64], component: str) -> NDArray[np.float64]:
    """Length of each error: of its horizontal part, or of its height. `errors`: east, north, up, shape (3, n)."""
    import numpy as np

    found: NDArray[np.float64] = np.sqrt((errors[list(COMPONENTS[component])] ** 2).sum(axis=0))
    return found


def figures(errors_mm: NDArray[np.float64], seed: int) -> dict[str, Json]:
    """Bias, spread and quantiles of both components, in mm. `errors_mm`: east, north, up in time order, shape (3, n), NaN unknown.

    "rms" is about the truth, bias included (horizontal: DRMS). "upper": 95 % bound by chi-squared with the effective number of
    values; "upper_bootstrap": the same by moving blocks, as a cross-check.
    """
    return {name: _of_component(errors_mm[list(rows)], name, errors_mm, seed) for name, rows in COMPONENTS.items()}


def _of_component(parts: NDArray[np.float64], name: str, errors_mm: NDArray[np.float64], seed: int) -> dict[str, Json]:
    import numpy as np

    known = np.isfinite(parts).all(axis=0)
    parts, n = parts[:, known], int(known.sum())
    if n == 0:
        return {"n": 0}
    size = lengths(errors_mm[:, known], name)
    bounds = rms_bounds(parts, ALPHA)
    middle, upper = np.quantile(size, (0.5, 0.95), method="inverted_cdf")
    return {
        "n": n,
        "bias": [float(part.mean()) for part in parts],
        "std": [float(part.std()) for part in parts],
        "rms": bounds.point,
        "cep50": float(middle),
        "p95": float(upper),
        "max": float(size.max()),
        "upper": bounds.upper,
        "upper_bootstrap": rms_bootstrap_upper(parts, ALPHA, seed),
        "n_effective": [rms_bounds(part, ALPHA).n_effective for part in parts],
    }


def step_mm(step: tuple[float, float, float], place: Place, component: str) -> float:
    """Smallest step, mm, of a position that is printed in steps of `step` (degrees, degrees, metres) near `place`."""
    import numpy as np

    if component == "vertical":
        return step[2] * 1000
    latitude = np.array([place.latitude + step[0], place.latitude])
    longitude = np.array([place.longitude, place.longitude + step[1]])
    moved = enu(latitude, longitude, np.full(2, place.height), place)
    return float(np.abs(moved[:2]).max()) * 1000


def diagnosis(errors: NDArray[np.float64], velocity: NDArray[np.float64]) -> dict[str, Json]:
    """What a constant along the track and a time skew would explain, never taken off: along = offset - skew * speed (fitted).

    `errors` in metres, `velocity` in m/s, both east, north, up, shape (3, n). Without variety in speed only the means are given.
    """
    import numpy as np

    track = along_and_across(errors, velocity)
    known = np.isfinite(track[0])
    if known.sum() < 2:
        return {}
    along, across = track[:, known]
    speed = np.hypot(velocity[0], velocity[1])[known]
    found: dict[str, Json] = {
        "along_mean_mm": float(along.mean()) * 1000,
        "across_mean_mm": float(across.mean()) * 1000,
        "speed_mean": float(speed.mean()),
    }
    if float(np.quantile(speed, 0.95) - np.quantile(speed, 0.05)) >= LEAST_SPREAD:
        slope, offset = np.polyfit(speed, along, 1)
        left = along - offset - slope * speed
        found |= {
            "skew_ms": -float(slope) * 1000,
            "along_offset_mm": float(offset) * 1000,
            "along_left_std_mm": math.sqrt(float((left**2).mean())) * 1000,
        }
    return found
