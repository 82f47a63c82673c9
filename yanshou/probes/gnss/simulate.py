"""An imaginary receiver whose every error is known: the standard of the `gnss` probe, and of tests.

It is for showing that the probe recovers what was put in, and that every way to look accurate without being so is found out. It
must never be taken for a receiver: its GGA lines name station 1023.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from yanshou.probes.gnss.geodesy import Place, geodetic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Path: TypeAlias = "Callable[[NDArray[np.float64]], NDArray[np.float64]]"
"""Seconds since the start, shape (n,) -> true east, north, up in metres, shape (3, n)."""
Cheat = Literal[
    "",
    "frozen",
    "averaged",
    "smoothed",
    "coarse",
    "fixed_only",
    "wrong_fix",
    "simulator",
    "replayed",
    "no_beidou",
    "doubled",
]
"""What the receiver, or whoever stands before it, does to look better than it is; see `Receiver`."""
BATCH = 3600
STATION = 1023
FIXED, FLOAT, SIMULATOR = 4, 5, 8
SATELLITES = {"GB": (6, 9, 16, 21, 36, 39), "GP": (2, 5, 12, 25)}
SYSTEM_ID = {"GB": 4, "GP": 1}


def standing(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """A receiver on its point."""
    import numpy as np

    return np.zeros((3, t.size))


@dataclass(frozen=True)
class Loop:
    """A vehicle on a circle of `radius` metres at `speed` m/s."""

    radius: float = 80.0
    speed: float = 8.0

    def __call__(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where it is."""
        import numpy as np

        angle = self.speed / self.radius * t
        return np.stack([self.radius * np.sin(angle), self.radius * (np.cos(angle) - 1), np.zeros_like(t)])

    def attitude(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heading, pitch and roll in degrees, shape (3, n): it leans outwards and its nose goes up and down."""
        import numpy as np

        heading = np.degrees(self.speed / self.radius * t) + 90
        return np.stack([heading % 360, 2 * np.sin(t), np.full_like(t, 3.0)])


@dataclass(frozen=True)
class Carried:
    """An antenna that is carried on a vehicle: `arm` forward, right, down in metres from its reference point."""

    by: Loop
    arm: tuple[float, float, float]

    def __call__(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the antenna is. The rotation is scipy's, and not that of the analysis."""
        import numpy as np
        from scipy.spatial.transform import Rotation

        turned = Rotation.from_euler("ZYX", self.by.attitude(t).T, degrees=True).apply(self.arm)
        north, east, down = turned.T
        found: NDArray[np.float64] = self.by(t) + np.stack([east, north, -down])
        return found


@dataclass(frozen=True)
class Slide:
    """An antenna that is moved in steps: from `at` seconds on it stands `east` metres from its first place."""

    at: tuple[float, ...]
    east: tuple[float, ...]

    def __call__(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where it is."""
        import numpy as np

        place = np.array([0.0, *self.east])[np.searchsorted(np.array(self.at), t, side="right")]
        return np.stack([place, np.zeros_like(t), np.zeros_like(t)])


@dataclass(frozen=True)
class Receiver:
    """A receiver with Gauss-Markov errors.

    `sigma_mm`, `bias_mm`: of east, north, up, `sigma_mm` about the bias, correlated over `tau_s`, with a share `white` of the
    variance independent from epoch to epoch. `latency_s`: positions are that old when they are stamped. `float_share`: of the
    epochs, in stretches, errors twenty times as large and quality 5. `missing`: stretches without output, seconds.
    `decimals`: of the minutes and of the altitude. `talkers`: of the satellites it uses.

    Cheats: "frozen" repeats its first position for `hold` epochs at a time. "averaged" prints the mean of the last `hold`,
    "smoothed" an exponential mean. "coarse" has two minute decimals less. "fixed_only" leaves out what is not fixed. "wrong_fix" is
    120 mm off until it is started again. "simulator" says quality 8. "replayed" plays what was recorded a day before. "no_beidou"
    uses GPS only. "doubled" prints every epoch twice.
    """

    origin: Place
    start: datetime
    seconds: float
    rate_hz: float = 1.0
    path: Path = standing
    sigma_mm: tuple[float, float, float] = (3.0, 3.0, 6.0)
    bias_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tau_s: float = 115.0
    white: float = 0.3
    latency_s: float = 0.0
    float_share: float = 0.0
    missing: tuple[tuple[float, float], ...] = ()
    decimals: tuple[int, int] = (7, 4)
    separation: float | None = -14.5
    talkers: tuple[str, ...] = ("GB", "GP")
    cheat: Cheat = ""
    hold: int = 30

    @property
    def epochs(self) -> int:
        """Epochs that it should give."""
        return round(self.seconds * self.rate_hz)


@dataclass(frozen=True)
class Output:
    """What a receiver gives out at the epochs `t` (seconds since the start): printed east, north, up, true ones, quality."""

    t: NDArray[np.float64]
    printed: NDArray[np.float64]
    true: NDArray[np.float64]
    quality: NDArray[np.int64]


def simulate(receiver: Receiver, seed: int) -> Output:
    """Everything that `receiver` gives out, always the same for one seed."""
    import numpy as np
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    n = receiver.epochs
    t = np.arange(n) / receiver.rate_hz
    true = receiver.path(t)
    phi = math.exp(-1 / (receiver.tau_s * receiver.rate_hz))
    drive = rng.standard_normal((3, n)) * math.sqrt(1 - phi * phi)
    drive[:, 0] = rng.standard_normal(3)
    slow = lfilter([1.0], [1.0, -phi], drive, axis=1)
    unit = math.sqrt(1 - receiver.white) * slow + math.sqrt(receiver.white) * rng.standard_normal((3, n))
    error = (np.array([receiver.bias_mm]).T + np.array([receiver.sigma_mm]).T * unit) / 1000
    quality = np.full(n, FIXED)
    floating = _stretches(rng, n, receiver.float_share)
    quality[floating] = FLOAT
    error[:, floating] *= 20
    if receiver.cheat == "wrong_fix":
        error[0] += 0.12
    printed = receiver.path(t - receiver.latency_s) + error
    keep = np.ones(n, dtype=bool)
    for begin, end in receiver.missing:
        keep &= (t < begin) | (t >= end)
    if receiver.cheat == "frozen":
        printed = printed[:, np.arange(n) // receiver.hold * receiver.hold]
    elif receiver.cheat == "averaged":
        total = np.cumsum(np.concatenate([np.zeros((3, 1)), printed], axis=1), axis=1)
        first = np.maximum(0, np.arange(n) - receiver.hold + 1)
        printed = (total[:, 1:] - total[:, first]) / (np.arange(n) - first + 1)
    elif receiver.cheat == "smoothed":
        share = 2 / (receiver.hold + 1)
        printed = lfilter([share], [1, share - 1], printed, axis=1, zi=printed[:, :1] * (1 - share))[0]
    elif receiver.cheat == "simulator":
        quality[:] = SIMULATOR
    elif receiver.cheat == "fixed_only":
        keep &= quality == FIXED
    return Output(t[keep], printed[:, keep], true[:, keep], quality[keep])


def _stretches(rng: np.random.Generator, n: int, share: float) -> NDArray[np.bool_]:
    """About `share` of `n` epochs, in stretches of 20."""
    import numpy as np

    if not share:
        return np.zeros(n, dtype=bool)
    return np.repeat(rng.random(-(-n // 20)) < share, 20)[:n]


def lines(receiver: Receiver, seed: int) -> Iterator[tuple[float, bytes]]:
    """(seconds since the start at which it is sent, the sentences of one epoch), in order."""
    output = simulate(receiver, seed)
    minutes, altitude = receiver.decimals
    if receiver.cheat == "coarse":
        minutes -= 2
    day = timedelta(days=-1) if receiver.cheat == "replayed" else timedelta()
    for begin in range(0, output.t.size, BATCH):
        part = slice(begin, begin + BATCH)
        latitude, longitude, height = geodetic(output.printed[:, part], receiver.origin)
        for k, t in enumerate(output.t[part]):
            moment = receiver.start + day + timedelta(seconds=float(t))
            place = Place(float(latitude[k]), float(longitude[k]), float(height[k]))
            epoch = _epoch(receiver, moment, place, int(output.quality[begin + k]), minutes, altitude)
            yield float(t), epoch * (2 if receiver.cheat == "doubled" else 1)


def _epoch(receiver: Receiver, moment: datetime, place: Place, quality: int, minutes: int, altitude: int) -> bytes:
    utc = moment.astimezone(UTC)
    time = f"{utc:%H%M%S}.{utc.microsecond // 10000:02d}"
    where = f"{_angle(place.latitude, 2, minutes)},{'N' if place.latitude >= 0 else 'S'}"
    where += f",{_angle(place.longitude, 3, minutes)},{'E' if place.longitude >= 0 else 'W'}"
    talkers = ("GP",) if receiver.cheat == "no_beidou" else receiver.talkers
    used = sum(len(SATELLITES[talker]) for talker in talkers)
    separation = receiver.separation
    told = "," if separation is None else f"{separation:.4f},M"
    msl = place.height - (separation or 0.0)
    sigma = [s / 1000 for s in receiver.sigma_mm]
    mode = {FIXED: "R", FLOAT: "F", SIMULATOR: "S"}[quality]
    out = [
        f"GNGGA,{time},{where},{quality},{used:02d},0.6,{msl:.{altitude}f},M,{told},1.0,{STATION}",
        f"GNRMC,{time},A,{where},0.01,,{utc:%d%m%y},,,{mode},V",
        f"GNGST,{time},0.9,,,,{sigma[1]:.4f},{sigma[0]:.4f},{sigma[2]:.4f}",
    ]
    for talker in talkers:
        numbers = [f"{n:02d}" for n in SATELLITES[talker]]
        out.append(f"GNGSA,A,3,{','.join(numbers + [''] * (12 - len(numbers)))},1.1,0.6,0.9,{SYSTEM_ID[talker]}")
        groups = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
        for index, group in enumerate(groups, 1):
            seen = ",".join(
                f"{number},{30 + int(number):02d},{int(number) * 8 % 360:03d},{35 + int(number) // 3}"
                for number in group
            )
            out.append(f"{talker}GSV,{len(groups)},{index},{len(numbers):02d},{seen},1")
    return b"".join(sentence(body) for body in out)


def _angle(degrees: float, width: int, decimals: int) -> str:
    """ddmm.mmm, rounded once in whole units of the last decimal, so that minutes never read 60."""
    units = round(abs(degrees) * 60 * 10**decimals)
    whole, rest = divmod(units, 60 * 10**decimals)
    minutes, fraction = divmod(rest, 10**decimals)
    return f"{whole:0{width}d}{minutes:02d}.{fraction:0{decimals}d}"


def sentence(body: str) -> bytes:
    """An NMEA 0183 sentence with its checksum: the exclusive or of everything between $ and *."""
    total = 0
    for octet in body.encode("ascii"):
        total ^= octet
    return f"${body}*{total:02X}\r\n".encode("ascii")
