"""What a receiver said, epoch by epoch, and how far that is from the truth. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.probes.gnss.geodesy import Place, ecef

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIXED, FLOAT = 4, 5
MANUAL, SIMULATED = 7, 8
"""Quality in GGA (NMEA 0183)."""


@dataclass(frozen=True)
class Epochs:
    """Positions in the order received; arrays of shape (n,).

    `t_ns`: UTC of the sentence. `arrival_ns`: UTC of this host when it came, 0 where nobody noted it. Degrees; `height` ellipsoidal
    and `altitude` above the receiver's geoid in metres, NaN where not given. `age` of corrections in seconds, NaN where empty.
    `step`: smallest step of latitude, longitude (degrees) and height (metres) that the sentences can show, 0 where unknown.
    """

    t_ns: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    height: NDArray[np.float64]
    altitude: NDArray[np.float64]
    quality: NDArray[np.int64]
    age: NDArray[np.float64]
    station: NDArray[np.str_]
    step: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __len__(self) -> int:
        """Number of epochs."""
        return int(self.t_ns.size)

    def where(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Epochs:
        """Some of them, in the order of `keep`."""
        return Epochs(
            self.t_ns[keep], self.arrival_ns[keep], self.latitude[keep], self.longitude[keep], self.height[keep],
            self.altitude[keep], self.quality[keep], self.age[keep], self.station[keep], self.step,
        )  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """Where the reference point truly was: arrays (m,), time as UTC ns increasing, degrees, ellipsoidal metres.

    `attitude`: heading (clockwise from north), pitch (nose up) and roll (right side down) in degrees, shape (3, m), None unknown.
    """

    t_ns: NDArray[np.int64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    height: NDArray[np.float64]
    attitude: NDArray[np.float64] | None = None


def _local(
    vector: NDArray[np.float64], latitude: NDArray[np.float64], longitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Earth-centred vectors (3, n) as east, north, up at each place of their own."""
    import numpy as np

    phi, lam = np.radians(latitude), np.radians(longitude)
    x, y, z = vector
    outward = np.cos(lam) * x + np.sin(lam) * y
    return np.stack(
        [
            -np.sin(lam) * x + np.cos(lam) * y,
            -np.sin(phi) * outward + np.cos(phi) * z,
            np.cos(phi) * outward + np.sin(phi) * z,
        ]
    )


def static_errors(epochs: Epochs, point: Place) -> NDArray[np.float64]:
    """Said minus true, east, north, up in metres, shape (3, n), of an antenna that stands at `point`. Up NaN without height."""
    import numpy as np

    truth = ecef(*(np.array([v], dtype=np.float64) for v in point))
    level = np.where(np.isnan(epochs.height), point.height, epochs.height)
    at = np.full(len(epochs), point.latitude), np.full(len(epochs), point.longitude)
    found = _local(ecef(epochs.latitude, epochs.longitude, level) - truth, *at)
    found[2][np.isnan(epochs.height)] = np.nan
    return found


def body_to_local(arm: tuple[float, float, float], attitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """`arm` (forward, right, down in metres) as east, north, up under heading, pitch, roll in degrees (3, n); shape (3, n).

    Z-Y-X rotation from body to north-east-down: Groves, Principles of GNSS, Inertial and Multisensor Systems, eq. 2.22.
    """
    import numpy as np

    heading, pitch, roll = np.radians(attitude)
    forward, right, down = arm
    x = np.cos(pitch) * forward + np.sin(roll) * np.sin(pitch) * right + np.cos(roll) * np.sin(pitch) * down
    y = np.cos(roll) * right - np.sin(roll) * down
    z = -np.sin(pitch) * forward + np.sin(roll) * np.cos(pitch) * right + np.cos(roll) * np.cos(pitch) * down
    north = np.cos(heading) * x - np.sin(heading) * y
    east = np.sin(heading) * x + np.cos(heading) * y
    return np.stack([east, north, -z])


def dynamic_errors(
    epochs: Epochs, truth: Trajectory, arm: tuple[float, float, float], longest_gap_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(errors, velocity), each east, north, up, shape (3, n), metres and m/s; joined on the time in the sentences.

    Truth between its own epochs is linear; NaN where they are more than `longest_gap_s` apart, or where there are none. `arm`: from
    the reference point to the antenna, forward, right, down in metres; it needs attitude unless it is zero. Raises ValueError.
    """
    import numpy as np

    if any(arm) and truth.attitude is None:
        raise ValueError("a lever arm needs attitude")
    start = truth.t_ns[0]
    at, known = (epochs.t_ns - start) / 1e9, (truth.t_ns - start) / 1e9
    right = np.clip(np.searchsorted(known, at), 1, known.size - 1)
    inside = (at >= known[0]) & (at <= known[-1]) & (known[right] - known[right - 1] <= longest_gap_s)
    path = ecef(truth.latitude, truth.longitude, truth.height)
    place = np.stack([np.interp(at, known, axis) for axis in path])
    latitude, longitude = (np.interp(at, known, axis) for axis in (truth.latitude, truth.longitude))
    said = ecef(epochs.latitude, epochs.longitude, epochs.height)
    errors = _local(said - place, latitude, longitude)
    if any(arm) and truth.attitude is not None:
        turned = np.unwrap(np.radians(truth.attitude), axis=1)
        errors = errors - body_to_local(arm, np.degrees(np.stack([np.interp(at, known, axis) for axis in turned])))
    speed = (path[:, right] - path[:, right - 1]) / (known[right] - known[right - 1])
    velocity = _local(speed, latitude, longitude)
    errors[:, ~inside] = np.nan
    return errors, velocity


def along_and_across(errors: NDArray[np.float64], velocity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Horizontal errors as along and across (to the right of) the track, shape (2, n); NaN below walking speed (0.5 m/s)."""
    import numpy as np

    speed = np.hypot(velocity[0], velocity[1])
    moving = speed > 0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        east, north = velocity[0] / speed, velocity[1] / speed
    along = errors[0] * east + errors[1] * north
    across = errors[0] * north - errors[1] * east
    return np.where(moving, np.stack([along, across]), np.nan)
