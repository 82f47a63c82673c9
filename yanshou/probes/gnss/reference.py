"""The standard of the `gnss` probe: an imaginary receiver that gives out NMEA with errors that are known epoch by epoch.

It is for calibration of the path from octets to errors: sentences, times, geodesy, joining, lever arm. The truth is the error of
each position that was handed to the sentence, never the set value. It must never be taken for a calibration of the truth itself.

Point 0 comes live through a pseudo-terminal in real time, as from a serial receiver; the others come as recorded files, because an
hour of epochs has to be read in seconds and a receiver that is ahead of time would rightly be found out by its UTC.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from yanshou.probes.capturing import RunContext
from yanshou.probes.gnss.figures import lengths
from yanshou.probes.gnss.geodesy import Place, geodetic
from yanshou.probes.gnss.paired import KNOWN, KNOWN_COLUMNS
from yanshou.probes.gnss.playing import on_terminal
from yanshou.probes.gnss.simulate import Carried, Loop, Receiver, lines, simulate

POINTS = (0.0, 5.0, 10.0, 20.0, 40.0)
"""Root mean square of the errors put in, mm: nothing, then static horizontal and vertical, dynamic horizontal and vertical."""
ORIGIN = Place(30.5278, 114.3571, 28.3)
START = datetime(2026, 3, 2, 23, 50, tzinfo=UTC)
"""So that the day ends within the recording."""
DECIMALS = (9, 6)
"""Finer than any receiver: the digits are the receiver's error and not the instrument's."""
FRAME: dict[str, Any] = {"frame": "CGCS2000", "epoch": 2000.0, "u95_horizontal_mm": 0.01, "u95_vertical_mm": 0.01}
LIVE_S, LIVE_HZ = 4.0, 20.0
ARM = (1.2, -0.4, -1.5)
TRUTH_HZ = 50


@dataclass(frozen=True)
class Setup:
    """One standard: the component and motion, and the share of the root mean square that is bias."""

    component: str
    motion: str
    rate_hz: float
    seconds: float


SETUPS = {
    0.0: Setup("horizontal", "static", LIVE_HZ, LIVE_S),
    5.0: Setup("horizontal", "static", 1.0, 1800),
    10.0: Setup("vertical", "static", 1.0, 1800),
    20.0: Setup("horizontal", "dynamic", 10.0, 120),
    40.0: Setup("vertical", "dynamic", 10.0, 120),
}


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A receiver whose errors have the root mean square `true_value` (mm). Writes known.csv and truth.json afterwards.

    Raises ProbeError GNS-E19 where there is no pseudo-terminal.
    """
    setup = SETUPS[true_value]
    each = true_value / (2**0.5 if setup.component == "horizontal" else 1)
    path = Carried(Loop(), ARM) if setup.motion == "dynamic" else Receiver.path
    receiver = Receiver(
        ORIGIN, START, setup.seconds, setup.rate_hz, path, (each, each, each), tau_s=20.0, decimals=DECIMALS
    )
    with tempfile.TemporaryDirectory(prefix="yanshou-") as name:
        folder = Path(name)
        values = {
            "component": setup.component,
            "motion": setup.motion,
            "rate_hz": setup.rate_hz,
            "observable": "epoch",
            "truth": _truth(setup, folder),
            "correction_frame": FRAME["frame"],
            "correction_epoch": FRAME["epoch"],
        }
        if true_value:
            recorded = folder / "receiver.nmea"
            recorded.write_bytes(b"".join(octets for _, octets in lines(receiver, run.seed)))
            yield {**values, "input": {"kind": "file", "paths": [str(recorded)]}}
            given = None
        else:
            now = datetime.now(UTC)
            start = now.replace(microsecond=0) + timedelta(seconds=1)
            receiver = replace(receiver, start=start, seconds=LIVE_S + 10)
            with on_terminal(receiver, run.seed) as (port, said):
                yield {**values, "input": {"kind": "serial", "port": port, "duration_s": LIVE_S}}
            given = said
    _write_known(receiver, run, given, setup.component)


def _truth(setup: Setup, folder: Path) -> dict[str, Any]:
    if setup.motion == "static":
        antenna = {"before_m": 0.0, "after_m": 0.0, "output": "mark"}
        place = {"latitude": ORIGIN.latitude, "longitude": ORIGIN.longitude, "height_m": ORIGIN.height}
        return {"kind": "point", "id": "标准器", **place, **FRAME, "antenna": antenna}
    file = folder / "truth.csv"
    file.write_text(trajectory_csv(Loop(), START, setup.seconds), encoding="utf-8")
    return {"kind": "trajectory", "file": str(file), "format": "csv", "lever_arm_m": ARM, **FRAME}


def trajectory_csv(loop: Loop, start: datetime, seconds: float, rate_hz: int = TRUTH_HZ) -> str:
    """Where a vehicle on `loop` truly is, as a truth file."""
    import numpy as np

    t = np.arange(round(seconds * rate_hz) + 1) / rate_hz
    rows = np.concatenate([geodetic(loop(t), ORIGIN), loop.attitude(t)]).T
    moments = (start + timedelta(seconds=float(s)) for s in t)
    body = (
        f"{moment:%Y-%m-%dT%H:%M:%S.%f}," + ",".join(f"{value:.12f}" for value in row)
        for moment, row in zip(moments, rows, strict=True)
    )
    return "utc,latitude,longitude,height,heading,pitch,roll\n" + "\n".join(body) + "\n"


def _write_known(receiver: Receiver, run: RunContext, given: list[float] | None, component: str) -> None:
    """The errors of the epochs `given` out (seconds since the start), of all where None."""
    import numpy as np

    output = simulate(receiver, run.seed)
    kept = np.ones(output.t.size, dtype=bool) if given is None else np.isin(output.t, given)
    errors = ((output.printed - output.true) * 1000)[:, kept]
    t_ns = round(receiver.start.timestamp()) * 10**9 + np.rint(output.t[kept] * 1e9).astype(np.int64)
    rows = (f"{t},{e:.9f},{n:.9f},{u:.9f}\n" for t, (e, n, u) in zip(t_ns.tolist(), errors.T.tolist(), strict=True))
    run.sink.stream(KNOWN).write((KNOWN_COLUMNS + "\n" + "".join(rows)).encode())
    true = median(lengths(errors, component).tolist()) if t_ns.size else 0.0
    basis = "模拟接收机逐历元给出的位置误差（写成语句之前）之中位数；各历元另与 known.csv 逐个相比"
    truth = {"true": true, "unit": "mm", "n": int(t_ns.size), "basis": basis}
    run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")
