"""Every known way to look accurate without being accurate, and whether this stream shows it. Pure.

It must never know the limit: what can only be said with it (resolution, uncertainty of the truth) the judge says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from yanshou.harness.model import Severity, Validity
from yanshou.probes.gnss.epochs import MANUAL, SIMULATED, Epochs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.probes.gnss.due import Due

BEIDOU = 4
"""System id in GSA (NMEA 0183, 4.10 and later)."""
FEWEST_PLACES = 20
"""Different positions that a standing receiver with noise gives in ENOUGH epochs, at the very least."""
ENOUGH = 200
REPEATED_RUN, REPEATED_SHARE = 3, 0.2
"""Identical positions in a row that are noted, and share of epochs in such runs that no honest receiver reaches."""
LONGEST_WINDOW = 600
"""Epochs of a moving mean that are looked for."""
BLOCK = 1 << 17
OUTLIER = 6 * 1.4826
"""Medians of the absolute step beyond which a step is a jump and no noise."""
FOLLOWS = 0.2
"""Correlation of neighbouring increments above which a series is smooth: it is never positive for noise and Gauss-Markov errors."""
QUIET_M = 0.0002
"""Noise from one second to the next. A real static baseline shows 2 mm in east, and 0.09 mm after a moving mean of 30 epochs."""
INITIALISING = 0.05
"""Share of the due epochs, left out while a solution was being found, from which on it must be looked into who said when."""
DRIFT_S = 2.0
AGE_S = 10.0
WRONG_FIX_M = 0.05
"""A constant horizontal offset above this is no noise of a fixed solution (half a wavelength of a carrier is 0.1 m)."""
FEWEST_FIXES = 3
FASTEST = {"static": 5.0, "dynamic": 100.0}
"""Metres a second between neighbouring epochs that no antenna does: where it stands, and on a vehicle."""
RATE_SLACK = 0.1


def time_checks(epochs: Epochs) -> Iterator[Validity]:
    """Order of the epochs, and UTC against this host."""
    import numpy as np

    steps = np.diff(epochs.t_ns)
    doubled, back = int((steps == 0).sum()), int((steps < 0).sum())
    if doubled:
        severity = Severity.INVALID if doubled > 0.01 * len(epochs) else Severity.WARNING
        yield Validity("GNS-V08", severity, f"{doubled} 个历元重复：同一时刻给出两次，样本数是虚的")
    if back:
        yield Validity("GNS-V09", Severity.INVALID, f"时间倒退 {back} 次：数据是拼接的或重放的")
    known = epochs.arrival_ns > 0
    if known.any():
        late = (epochs.arrival_ns[known] - epochs.t_ns[known]) / 1e9
        if abs(middle := float(np.median(late))) > DRIFT_S:
            text = f"语句里的 UTC 与本机相差 {middle:.1f} s：不是此刻的输出，或本机时钟不准"
            yield Validity("GNS-V10", Severity.INVALID, text)


def solution_checks(epochs: Epochs, due: Due, least_fixed: float) -> Iterator[Validity]:
    """Quality over all epochs that were due, corrections, and simulators."""
    import numpy as np

    simulated = int(np.isin(epochs.quality, (MANUAL, SIMULATED)).sum())
    if simulated:
        yield Validity("GNS-V07", Severity.INVALID, f"{simulated} 个历元自称模拟或手工输入（质量 7、8）")
    shares = due.shares()
    share = shares["share"]["fixed"]
    if share < least_fixed:
        only = (
            "；给出的全是固定解，其余时刻没有输出：只取固定解的精度不是系统的精度"
            if shares["missing"] and shares["fixed"] + shares["missing"] == due.expected
            else ""
        )
        text = f"应有 {due.expected} 个历元，固定解 {shares['fixed']} 个（{share:.1%}），少于约定的 {least_fixed:.0%}{only}"
        yield Validity("GNS-V05", Severity.INVALID, text)
    left = due.left_out.get("initialise", 0)
    if left > INITIALISING * (due.expected + left):
        share_left = left / (due.expected + left)
        text = f"停顿或标记之后找固定解的 {left} 个历元（{share_left:.0%}）没有参加判定：核对每次是否真的重新初始化"
        yield Validity("GNS-V19", Severity.WARNING, text)
    aged = np.nan_to_num(epochs.age, nan=0.0)
    if (old := int((aged > AGE_S).sum())) and old > 0.01 * len(epochs):
        yield Validity("GNS-V12", Severity.WARNING, f"{old} 个历元的差分龄期超过 {AGE_S:g} s")
    stations = set(np.unique(epochs.station).tolist()) - {""}
    if len(stations) > 1:
        text = f"差分站号换过：{'、'.join(sorted(stations))}，各站的坐标可能不在同一框架"
        yield Validity("GNS-V13", Severity.WARNING, text)


def motion_checks(
    t_ns: NDArray[np.int64], place: NDArray[np.float64], motion: str, rate_hz: float
) -> Iterator[Validity]:
    """Speeds that no antenna has, and another output rate than agreed. `place`: east, north, up, metres, (3, n), time order."""
    import numpy as np

    seconds = np.diff(t_ns) / 1e9
    if not seconds.size:
        return
    speed = np.hypot(*np.diff(place[:2], axis=1)) / np.maximum(seconds, 1e-3)
    if wild := int((speed > FASTEST[motion]).sum()):
        fastest = float(np.nanmax(speed))
        text = f"{wild} 处相邻历元的速度超过 {FASTEST[motion]:g} m/s（最快 {fastest:.0f} m/s）：跳变或误码，照算不剔除"
        yield Validity("GNS-V14", Severity.WARNING, text)
    seconds = seconds[seconds > 0]
    if seconds.size and (usual := float(np.median(seconds)) * rate_hz) < 1 - RATE_SLACK:
        text = f"输出频率 {rate_hz / usual:.3g} Hz 高于约定的 {rate_hz:g} Hz：每个应有时刻只取一个历元"
        yield Validity("GNS-V15", Severity.WARNING, text)


def standing_checks(
    epochs: Epochs, errors: NDArray[np.float64], component: str, rate_hz: float, *, challenged: bool
) -> Iterator[Validity]:
    """A receiver on its point: positions must have noise, and the noise must be raw.

    `errors`: east, north, up in metres, one for each due epoch of the agreed rate, shape (3, m), NaN where none is fixed.
    `challenged`: the displacement challenge was passed, which no hold, mean or frozen output survives; the statistical signs are
    then only noted. What concerns the other component than the judged one is only noted, too.
    """
    import numpy as np

    n = len(epochs)
    if n < 2:
        return
    flat = np.diff(epochs.latitude) == 0
    flat &= np.diff(epochs.longitude) == 0
    level = np.diff(epochs.altitude) == 0
    places = np.unique(epochs.latitude + 1j * epochs.longitude).size, np.unique(epochs.altitude).size
    for name, word, number, same, axes in (
        ("horizontal", "水平", places[0], flat, (0, 1)),
        ("vertical", "高程", places[1], level, (2,)),
    ):
        judged = name == component
        if n >= ENOUGH and number < FEWEST_PLACES:
            text = f"{n} 个历元只有 {number} 个不同的{word}位置：输出被量化或冻结"
            yield Validity("GNS-V02", Severity.INVALID if judged else Severity.WARNING, text)
        severity = Severity.INVALID if judged and not challenged else Severity.WARNING
        runs = _runs(same) + 1
        if judged and (held := int(runs[runs >= REPEATED_RUN].sum())) > REPEATED_SHARE * n:
            text = f"{held} 个历元的{word}位置与前后一字不差（最长连续 {int(runs.max())} 个）：输出被保持或冻结"
            yield Validity("GNS-V03", severity, text)
        for axis in axes:
            if found := smoothed(errors[axis], rate_hz, QUIET_M):
                text = f"{'东北高'[axis]}方向{found}：不是逐历元的解，误差看起来比实际小"
                yield Validity("GNS-V04", severity, text)
                break


def fix_checks(sessions: NDArray[np.float64]) -> Iterator[Validity]:
    """Wrong fixes: a constant offset of all, or of one against the others. `sessions`: mean errors, metres, shape (3, k)."""
    import numpy as np

    if not sessions.size:
        return
    number = sessions.shape[1]
    if number < FEWEST_FIXES:
        text = f"只初始化了 {number} 次（至少 {FEWEST_FIXES} 次，相隔越久越好）：错误的固定解是个常数，只有重新初始化才看得出"
        yield Validity("GNS-V17", Severity.WARNING, text)
    middle = np.median(sessions, axis=1)
    if (off := math.hypot(middle[0], middle[1])) > WRONG_FIX_M:
        text = f"水平常偏 {off * 100:.1f} cm：错误的固定解、真值或框架不符，重新初始化后再看"
        yield Validity("GNS-V06", Severity.WARNING, text)
    apart = np.hypot(*(sessions[:2] - middle[:2, None]))
    if wrong := int((apart > WRONG_FIX_M).sum()):
        text = f"{number} 次初始化中有 {wrong} 次的平均位置与其余相差 {float(apart.max()) * 100:.1f} cm：有错误的固定解"
        yield Validity("GNS-V06", Severity.WARNING, text)


def smoothed(x: NDArray[np.float64], rate_hz: float, quiet: float = 0.0) -> str:
    """How a series was smoothed, "" if it shows no sign of it. `x`: one value for each due epoch, NaN for none.

    Three signs, none of which the sum of noise and Gauss-Markov errors of any correlation time shows. The differences of a moving
    mean over L values are those of values L apart: correlated negatively at lag L, and much less at the lags beside it. Where an
    output is smooth, an increment follows the one before. And an output that moves less than `quiet` from one second to the next
    is no carrier-phase solution. All at one second and more: what happens within is the receiver's loop.
    """
    import numpy as np

    step = np.diff(x)
    known = np.isfinite(step)
    n = int(known.sum())
    if n < ENOUGH:
        return ""
    step = np.where(known, step, 0.0)
    if widest := OUTLIER * float(np.median(np.abs(step[known]))):
        step = np.clip(step, -widest, widest)
    if not step.any():
        return ""
    second = max(1, math.ceil(rate_hz))
    return _moving_mean(step, known, max(2, second)) or _smooth(step, known, second, quiet)


def _moving_mean(step: NDArray[np.float64], known: NDArray[np.bool_], shortest: int) -> str:
    import numpy as np

    n = int(known.sum())
    lags = np.arange(shortest, min(LONGEST_WINDOW, n // 3))
    beside = np.concatenate([-np.arange(3, 9), np.arange(3, 9)])
    if not lags.size:
        return ""
    most = int(lags[-1] + beside.max()) + 1
    pairs = np.maximum(_lagged(known.astype(np.float64), most), 1.0)
    rho = _lagged(step, most) / pairs
    rho /= rho[0]
    near = lags[:, None] + beside
    used = near >= 2
    background = np.where(used, rho[np.maximum(near, 0)], 0.0).sum(axis=1) / used.sum(axis=1)
    dip = rho[lags] - background
    # Differences of a Gauss-Markov error dip by at most 0.184 / lag; Bartlett's formula gives the spread of an estimate.
    spread = np.sqrt(1.1 * (1 + 2 * float((rho[1:6] ** 2).sum())) / pairs[lags])
    found = dip / (0.184 / lags + 6 * spread)
    deepest = int(np.argmin(found))
    if found[deepest] >= -1:
        return ""
    return f"是 {int(lags[deepest])} 个历元的滑动平均（差分在该间隔的相关系数 {float(rho[lags[deepest]]):.2f}）"


def _smooth(step: NDArray[np.float64], known: NDArray[np.bool_], second: int, quiet: float) -> str:
    import numpy as np

    path = np.concatenate([[0.0], np.cumsum(step)])
    sound = np.concatenate([[0], np.cumsum(known)])
    n, h = int(known.sum()), second
    while 20 * h <= n:
        moved, whole = path[h:] - path[:-h], sound[h:] - sound[:-h] == h
        both = whole[:-h] & whole[h:]
        if both.sum() >= 20 * h:
            size = float((moved[whole] ** 2).mean())
            if h == second and size / 2 < quiet**2:
                return f"相隔 1 s 的位置只差 {math.sqrt(size / 2) * 1000:.2f} mm，载波相位解没有这样安静"
            follows = float((moved[:-h] * moved[h:])[both].mean()) / size
            if follows > max(FOLLOWS, 5 * math.sqrt(h / n)):
                return f"经过平滑（相邻的 {h} 历元增量的相关系数 {follows:.2f}）"
        h *= 2
    return ""


def _lagged(x: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Sums of x[t] * x[t + h], h = 0 .. most - 1, block by block: the few pairs across blocks are left out, memory is bounded."""
    import numpy as np

    total = np.zeros(most)
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        spectrum = np.fft.rfft(part, 1 << (part.size + most).bit_length())
        total += np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:most]
    return total


def _runs(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the stretches of True."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    return edges[1::2] - edges[::2]


def uses_beidou(systems: frozenset[int], talkers: frozenset[str]) -> bool:
    """Whether sentences say that BeiDou satellites were used: GSA names system 4; where no GSA names any, a talker GB or BD.

    Satellites that GSV lists are in view; GSA says which are in the solution.
    """
    return BEIDOU in systems if systems else bool(talkers & {"GB", "BD"})


def beidou_checks(systems: frozenset[int], talkers: frozenset[str]) -> Iterator[Validity]:
    """An output that never names BeiDou is no BeiDou positioning, however accurate."""
    if not uses_beidou(systems, talkers):
        text = "没有一条语句说明用了北斗卫星：GSA 没有系统号 4；没有 GSA 时，也没有 GB、BD 的语句"
        yield Validity("GNS-V11", Severity.INVALID, text)
