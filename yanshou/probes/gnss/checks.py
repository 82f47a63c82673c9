"""Every known way to look accurate without being accurate, and whether this stream shows it. Pure.

It must never know the limit: what can only be said with it (resolution, uncertainty of the truth) the judge says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from yanshou.harness.model import Severity, Validity
from yanshou.probes.gnss.epochs import FIXED, MANUAL, SIMULATED, Epochs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST_PLACES = 20
"""Different positions that a standing receiver with noise gives in ENOUGH epochs, at the very least."""
ENOUGH = 200
REPEATED_RUN, REPEATED_SHARE = 3, 0.2
"""Identical positions in a row that are noted, and share of epochs in such runs that no honest receiver reaches."""
LONGEST_WINDOW = 600
"""Epochs of a moving mean that are looked for."""
DIP, PLAIN = -0.25, 0.5
"""Correlations of epoch-to-epoch differences: of a moving mean at its own length (-0.5 for white noise), and of a smoothed one with its
neighbour. Of an honest receiver both are near zero, or below it where noise is independent."""
DRIFT_S = 2.0
AGE_S = 10.0
WRONG_FIX_M = 0.05
"""A constant horizontal offset above this is no noise of a fixed solution (half a wavelength of a carrier is 0.1 m)."""


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


def solution_checks(epochs: Epochs, expected: int, least_fixed: float) -> Iterator[Validity]:
    """Quality over all epochs that were due, corrections, and simulators."""
    import numpy as np

    simulated = int(np.isin(epochs.quality, (MANUAL, SIMULATED)).sum())
    if simulated:
        yield Validity("GNS-V07", Severity.INVALID, f"{simulated} 个历元自称模拟或手工输入（质量 7、8）")
    fixed = int((epochs.quality == FIXED).sum())
    missing = expected - len(epochs)
    share = fixed / expected if expected else 0.0
    if share < least_fixed:
        only = (
            "；给出的全是固定解，其余时刻没有输出：只取固定解的精度不是系统的精度"
            if missing > 0 and fixed == len(epochs)
            else ""
        )
        text = f"应有 {expected} 个历元，固定解 {fixed} 个（{share:.1%}），少于约定的 {least_fixed:.0%}{only}"
        yield Validity("GNS-V05", Severity.INVALID, text)
    aged = np.nan_to_num(epochs.age, nan=0.0)
    if (old := int((aged > AGE_S).sum())) and old > 0.01 * len(epochs):
        yield Validity("GNS-V12", Severity.WARNING, f"{old} 个历元的差分龄期超过 {AGE_S:g} s")
    stations = set(np.unique(epochs.station).tolist()) - {""}
    if len(stations) > 1:
        yield Validity(
            "GNS-V13", Severity.WARNING, f"差分站号换过：{'、'.join(sorted(stations))}，各站的坐标可能不在同一框架"
        )


def standing_checks(epochs: Epochs, errors: NDArray[np.float64], challenged: bool) -> Iterator[Validity]:
    """A receiver on its point: positions must have noise, and the noise must be raw.

    `errors`: east, north, up in metres, shape (3, n). `challenged`: the displacement challenge was passed, which no hold, mean or frozen
    output survives; the statistical signs are then only noted.
    """
    import numpy as np

    severity = Severity.WARNING if challenged else Severity.INVALID
    n = len(epochs)
    if n < 2:
        return
    places = {
        "水平": len(set(zip(epochs.latitude.tolist(), epochs.longitude.tolist(), strict=True))),
        "高程": len(set(epochs.altitude.tolist())),
    }
    for name, number in places.items():
        if n >= ENOUGH and number < FEWEST_PLACES:
            yield Validity("GNS-V02", Severity.INVALID, f"{n} 个历元只有 {number} 个不同的{name}位置：输出被量化或冻结")
    same = (np.diff(epochs.latitude) == 0) & (np.diff(epochs.longitude) == 0) & (np.diff(epochs.altitude) == 0)
    runs = _runs(same) + 1
    held = int(runs[runs >= REPEATED_RUN].sum())
    if held:
        much = held > REPEATED_SHARE * n
        text = f"{held} 个历元与前后一字不差（最长连续 {int(runs.max())} 个）：输出被保持或冻结"
        yield Validity("GNS-V03", severity if much else Severity.WARNING, text)
    for axis, name in enumerate(("东", "北")):
        if found := smoothed(errors[axis]):
            yield Validity("GNS-V04", severity, f"{name}方向{found}：不是逐历元的解，误差看起来比实际小")
            break
    middle = np.nanmean(errors, axis=1)
    if math.hypot(middle[0], middle[1]) > WRONG_FIX_M:
        text = (
            f"水平常偏 {math.hypot(middle[0], middle[1]) * 100:.1f} cm：错误的固定解、真值或框架不符，重新初始化后再看"
        )
        yield Validity("GNS-V06", Severity.WARNING, text)


def smoothed(x: NDArray[np.float64]) -> str:
    """How a series (time order) was smoothed, "" if it shows no sign of it.

    The differences of a moving mean over L values are those of values L apart: they are negatively correlated at lag L, and
    nowhere else. The differences of an exponential mean follow their neighbours.
    """
    import numpy as np

    step = np.diff(x[np.isfinite(x)])
    n = step.size
    if n < ENOUGH or not step.any():
        return ""
    step = step - step.mean()
    spectrum = np.fft.rfft(step, 1 << (2 * n - 1).bit_length())
    rho = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[: min(LONGEST_WINDOW, n // 3)]
    rho = rho / rho[0]
    deepest = 2 + int(np.argmin(rho[2:]))
    if rho[deepest] < min(DIP, -5 / math.sqrt(n)):
        return f"是 {deepest} 个历元的滑动平均（差分在该间隔的相关系数 {rho[deepest]:.2f}）"
    if rho[1] > max(PLAIN, 5 / math.sqrt(n)):
        return f"经过平滑（相邻差分的相关系数 {rho[1]:.2f}）"
    return ""


def _runs(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the stretches of True."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    return edges[1::2] - edges[::2]


def beidou_checks(systems: frozenset[int], talkers: frozenset[str]) -> Iterator[Validity]:
    """Whether any sentence says that BeiDou satellites were used: GSA with system id 4, or GSA or GSV of talker GB or BD."""
    if 4 not in systems and not talkers & {"GB", "BD"}:
        yield Validity(
            "GNS-V11", Severity.INVALID, "没有一条语句说明用了北斗卫星（GSA 系统号 4，或 GB、BD 的 GSA、GSV）"
        )


def effective_step(units: NDArray[np.int64]) -> int:
    """The greatest common divisor of all differences: how many last digits the output really moves by; 0 where it never moves."""
    import numpy as np

    return int(np.gcd.reduce(np.abs(units - units[0])))
