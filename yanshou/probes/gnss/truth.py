"""The truth that errors are stated against: a certified point or a trajectory, and what forbids calling the result accuracy. Pure.

It must never correct anything by what the receiver says: a fitted constant, skew or lever arm is diagnosis, never truth.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from yanshou.formats.leap import EPOCH_NS, utc_of_gps
from yanshou.harness.model import Reason
from yanshou.probes.gnss.epochs import FIXED, Trajectory
from yanshou.probes.gnss.geodesy import Place, geodetic_of
from yanshou.probes.gnss.reading import read_epochs
from yanshou.probes.gnss.spec import ControlPoint, TruthFile

if TYPE_CHECKING:
    from yanshou.probes.gnss.spec import Params

LEAST_RATE_HZ = 10.0
LONGEST_GAP_S = 0.15
"""Between neighbours of a truth at 10 Hz, with jitter; wider ones are not bridged. At 2 m/s2 the chord is 2.5 mm off at 0.1 s."""
HEIGHTS_AGREE_M = 0.002
"""Two readings of an antenna height, each to the millimetre."""
SAME_EPOCH_YEARS = 0.01
POS_FIXED = 1
"""Quality Q of RTKLIB."""
BLOCK = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GPS_WEEK_0 = datetime(1980, 1, 6, tzinfo=UTC)
_ISO = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z?")
_POSITION = ("latitude", "longitude", "height")
_ATTITUDE = ("heading", "pitch", "roll")


def antenna_place(point: ControlPoint) -> Place | None:
    """Where the receiver's coordinates should be: the mark, raised to the point that it puts out.

    The mean of both antenna heights stands for them. None where a normal height comes without its anomaly.
    """
    import numpy as np

    if point.xyz_m is not None:
        latitude, longitude, height = (float(v[0]) for v in geodetic_of(np.array([point.xyz_m], dtype=np.float64).T))
    else:
        assert point.latitude is not None and point.longitude is not None and point.height_m is not None  # noqa: PT018
        latitude, longitude, height = point.latitude, point.longitude, point.height_m
        if point.height_type == "normal":
            if point.height_anomaly_m is None:
                return None
            height += point.height_anomaly_m
    antenna = point.antenna
    if antenna.output != "mark":
        height += (antenna.before_m + antenna.after_m) / 2
    if antenna.output == "phase_centre":
        height += antenna.phase_centre_m
    return Place(latitude, longitude, height)


def truth_reasons(params: Params) -> Iterator[Reason]:
    """What the declared truth alone leaves open, whatever the receiver says."""
    truth = params.truth
    if truth is None:
        yield Reason("no_truth", "没有真值：只给离散程度（精密度），不作精度结论")
        return
    frame, epoch = params.correction_frame, params.correction_epoch
    if frame is None or epoch is None:
        yield Reason("frame_unknown", "没有写明差分改正数的框架与历元：坐标差里可能有分米级的框架差，不作精度结论")
    elif frame.strip().casefold() != truth.frame.strip().casefold() or abs(epoch - truth.epoch) > SAME_EPOCH_YEARS:
        text = f"真值是 {truth.frame} 历元 {truth.epoch:g}，差分改正数是 {frame} 历元 {epoch:g}，不能相减"
        yield Reason("frame_mismatch", text)
    if isinstance(truth, ControlPoint):
        antenna = truth.antenna
        if abs(antenna.before_m - antenna.after_m) > HEIGHTS_AGREE_M + 1e-9:
            apart = abs(antenna.before_m - antenna.after_m) * 1000
            yield Reason("antenna_height", f"天线高测前测后相差 {apart:.1f} mm：天线动过或量错，不作精度结论")
        if params.component == "vertical" and antenna_place(truth) is None:
            yield Reason("height_type", "真值给的是正常高而没有高程异常，不能与大地高相比")


def trajectory_reasons(truth: TruthFile, trajectory: Trajectory) -> Iterator[Reason]:
    """What a trajectory leaves open by its own rate and content."""
    import numpy as np

    if trajectory.t_ns.size < 2:
        yield Reason("truth_empty", "真值轨迹不足两个历元")
        return
    interval = float(np.median(np.diff(trajectory.t_ns))) / 1e9
    if interval > (1 + 1e-3) / LEAST_RATE_HZ:
        text = f"真值轨迹是 {1 / interval:.3g} Hz，低于 {LEAST_RATE_HZ:g} Hz：两点之间的插值误差大于要判的误差"
        yield Reason("truth_too_slow", text)
    if any(truth.lever_arm_m) and trajectory.attitude is None:
        yield Reason("no_attitude", "杆臂不为零而真值轨迹没有姿态，不能归算到天线")


def read_trajectory(stream: BinaryIO, form: str) -> Trajectory:
    """A truth file in time order. Raises ValueError `第 n 行：…` for what cannot be read in exactly one way."""
    read: dict[str, Callable[[BinaryIO], Trajectory]] = {"csv": _read_csv, "pos": _read_pos, "nmea": _read_nmea}
    trajectory = read[form](stream)
    import numpy as np

    if trajectory.t_ns.size and np.diff(trajectory.t_ns).min(initial=1) <= 0:
        raise ValueError(f"第 {int(np.argmax(np.diff(trajectory.t_ns) <= 0)) + 2} 个历元的时间没有增加")
    return trajectory


def _read_csv(stream: BinaryIO) -> Trajectory:
    """Columns utc or gpst (ISO 8601 in that scale), latitude, longitude, height (ellipsoidal), perhaps heading, pitch, roll."""
    rows = csv.reader(line.decode("utf-8") for line in stream)
    header = [name.strip(" \ufeff") for name in next(rows, [])]
    scale = [name for name in ("utc", "gpst") if name in header]
    wanted = [*_POSITION, *(_ATTITUDE if set(_ATTITUDE) & set(header) else ())]
    missing = [name for name in wanted if name not in header]
    if len(scale) != 1 or missing:
        raise ValueError(f"第 1 行：时间列须是 utc 或 gpst 之一，还须有 {','.join(wanted)}（height 为大地高）")
    at, places = header.index(scale[0]), [header.index(name) for name in wanted]
    times: list[int] = []
    numbers: list[list[float]] = []
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        try:
            times.append(_iso_ns(row[at].strip()))
            numbers.append([float(row[place]) for place in places])
        except (ValueError, IndexError) as error:
            raise ValueError(f"第 {number} 行：{error}") from None
    return _trajectory(times, numbers, scale[0], attitude=len(wanted) > len(_POSITION))


def _read_pos(stream: BinaryIO) -> Trajectory:
    """A solution file of RTKLIB in degrees and ellipsoidal height; its header says which time it is in. Fixed epochs only."""
    times: list[int] = []
    numbers: list[list[float]] = []
    scale = ""
    for number, raw in enumerate(stream, 1):
        line = raw.decode("ascii", "replace").strip()
        if line.startswith("%"):
            if "latitude(deg)" in line:
                scale = line[1:].split()[0].lower()
            if "(lat/lon/height=" in line and "/ellipsoidal" not in line:
                raise ValueError(f"第 {number} 行：高程须是大地高（RTKLIB 设 out-height=ellipsoidal）")
            continue
        if not line:
            continue
        if scale not in ("utc", "gpst"):
            raise ValueError(
                f"第 {number} 行：没有说明时间是 GPST 还是 UTC 的表头，或坐标不是度（RTKLIB 设 out-solformat=llh）"
            )
        try:
            cells = line.split()
            if len(cells) < 6:
                raise ValueError("列数不足")
            when, place = _pos_ns(cells[0], cells[1]), [float(cell) for cell in cells[2:5]]
            if int(cells[5]) == POS_FIXED:
                times.append(when)
                numbers.append(place)
        except (ValueError, IndexError) as error:
            raise ValueError(f"第 {number} 行：{error}") from None
    return _trajectory(times, numbers, scale, attitude=False)


def _read_nmea(stream: BinaryIO) -> Trajectory:
    """Fixed positions of another receiver; heights only where the sentences give ellipsoidal ones."""
    import numpy as np

    epochs = read_epochs((0, block) for block in iter(lambda: stream.read(BLOCK), b"")).epochs
    known = epochs.where((epochs.quality == FIXED) & np.isfinite(epochs.latitude) & np.isfinite(epochs.height))
    return Trajectory(known.t_ns, known.latitude, known.longitude, known.height)


def _trajectory(times: list[int], numbers: list[list[float]], scale: str, *, attitude: bool) -> Trajectory:
    """`times`: ns since 1970 in `scale` itself."""
    import numpy as np

    columns = np.array(numbers, dtype=np.float64).T if times else np.zeros((6, 0))
    if not np.isfinite(columns).all():
        raise ValueError("有数不是有限的数")
    t_ns = np.array(times, dtype=np.int64)
    if scale == "gpst":
        t_ns = utc_of_gps(t_ns - EPOCH_NS)
    return Trajectory(t_ns, columns[0], columns[1], columns[2], columns[3:6] if attitude else None)


def _iso_ns(text: str) -> int:
    """Ns since 1970 in the scale of the text itself, exactly."""
    found = _ISO.fullmatch(text)
    if not found:
        raise ValueError(f"时间“{text}”不认识，写成 2026-03-02T08:00:00.100")
    *whole, fraction = found.groups()
    moment = datetime(*(int(part) for part in whole), tzinfo=UTC)  # type: ignore[misc,arg-type]
    return (moment - _EPOCH) // timedelta(seconds=1) * 10**9 + int((fraction or "0").ljust(9, "0"))


def _pos_ns(first: str, second: str) -> int:
    """Date and time of day, or GPS week and seconds of it."""
    if "/" in first:
        return _iso_ns(f"{first} {second}")
    start = _GPS_WEEK_0 + timedelta(weeks=int(first))
    whole, _, fraction = second.partition(".")
    seconds = (start - _EPOCH) // timedelta(seconds=1) + int(whole)
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))
