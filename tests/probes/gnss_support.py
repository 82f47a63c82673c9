"""Evidence of an imaginary receiver in memory, and its judgement against the limits of the list."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, BinaryIO

from yanshou.harness.basics import RunStatus
from yanshou.harness.judge import Attempt, Criterion, Outcome, judge_attempts
from yanshou.harness.model import Kind, Limit, Op, Samples
from yanshou.probes.gnss.analyse import analyse
from yanshou.probes.gnss.geodesy import Place
from yanshou.probes.gnss.simulate import Receiver, lines
from yanshou.probes.gnss.spec import Params

WUHAN = Place(30.5278, 114.3571, 28.3)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
ZERO_NS = int(START.timestamp()) * 10**9
LIMITS = {
    ("horizontal", "dynamic"): "2",
    ("vertical", "dynamic"): "4",
    ("horizontal", "static"): "0.5",
    ("vertical", "static"): "1",
}
"""S06-I01 to I04, cm."""
HALF_MM = 0.5**0.5
LATE_NS = 100_000_000
SESSION = b'{"format": "yanshou/gnss/1", "input": {"kind": "file", "paths": ["receiver.nmea"]}}\n'


def receiver(rms_mm: float, **changes: Any) -> Receiver:
    """A standing one with that horizontal and that vertical root mean square error."""
    each = rms_mm * HALF_MM
    honest = Receiver(WUHAN, START, seconds=3600, sigma_mm=(each, each, rms_mm), tau_s=20.0)
    return replace(honest, **changes)


POINT: dict[str, Any] = {
    "kind": "point",
    "id": "W01",
    "latitude": WUHAN.latitude,
    "longitude": WUHAN.longitude,
    "height_m": WUHAN.height,
    "frame": "CGCS2000",
    "epoch": 2000.0,
    "u95_horizontal_mm": 0.2,
    "u95_vertical_mm": 0.4,
    "antenna": {"before_m": 0.0, "after_m": 0.0, "output": "mark"},
}


def params(**changes: Any) -> Params:
    """Static, horizontal, per epoch at 1 Hz, unless told otherwise."""
    values: dict[str, Any] = {
        "input": {"kind": "file", "paths": ["receiver.nmea"]},
        "component": "horizontal",
        "motion": "static",
        "observable": "epoch",
        "rate_hz": 1.0,
        "truth": POINT,
        "correction_frame": "CGCS2000",
        "correction_epoch": 2000.0,
    }
    return Params.model_validate({**values, **changes})


class Memory:
    """Evidence that lies in memory."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    def streams(self) -> tuple[str, ...]:
        return tuple(sorted(self.contents))

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.contents[name])

    def sha256(self, name: str) -> str:
        return name


def evidence(sent: Iterable[tuple[float, bytes]], *, live_s: float | None = None, **others: bytes) -> Memory:
    """What a capture of `sent` (seconds, octets) leaves behind; `others`: streams by stem, `live_s`: when recording ended."""
    raw, chunks = bytearray(), ["offset,length,monotonic_ns,utc_ns"]
    for t, octets in sent:
        now = round(t * 1e9) + LATE_NS
        chunks.append(f"{len(raw)},{len(octets)},{now},{ZERO_NS + now}")
        raw += octets
    contents = {
        "raw.bin": bytes(raw),
        "chunks.csv": "".join(f"{row}\n" for row in chunks).encode(),
        "session.json": SESSION,
        **{f"{stem}.csv": data for stem, data in others.items()},
    }
    if live_s is not None:
        end = ZERO_NS + round(live_s * 1e9)
        rows = f"monotonic_ns,utc_ns,event,text\n0,{ZERO_NS},opened,\n0,{end},ended,\n"
        contents["events.csv"] = rows.encode()
        contents["end.json"] = b"{}\n"
    return Memory(contents)


def measured(source: Receiver, told: Params | None = None, seed: int = 1, **others: Any) -> Samples:
    """Its whole way from sentences to samples."""
    return analyse(evidence(lines(source, seed), **others), told or params(), 1)  # type: ignore[arg-type]


def judged(samples: Samples, statistic: str | None = "rms", readings: tuple[str, ...] = ()) -> Outcome:
    """As an indicator of the list would be, validity included."""
    limit = LIMITS[samples.facts["component"], samples.facts["motion"]]
    criterion = Criterion(
        "S06", Kind.MEASURED, Limit(Op.LE, Decimal(limit), "cm"), statistic, None, (), 0.95, 1, readings=readings
    )
    return judge_attempts(criterion, None, [Attempt(1, None, RunStatus.COMPLETED, samples, samples.validity, None)])


def codes(samples: Samples) -> set[str]:
    return {v.code for v in samples.validity}
