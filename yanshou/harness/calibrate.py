"""Calibration: a probe looks at a standard of known true value, and the error of indication is recorded.

It is a run like any other (numbered, with raw evidence, replayable), so that a reviewer can recompute it. It must never
correct a measurement: its errors only widen what the judge calls undecided, and a probe out of tolerance voids its runs.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import ExitCode, Json, ProbeError, Problem, UserError
from yanshou.harness.evidence import Ledger
from yanshou.harness.host import host_facts
from yanshou.harness.recording import CALIBRATION_TRIES, Scale, record_calibration
from yanshou.harness.runs import Run, runs_of
from yanshou.probes.capturing import Progress
from yanshou.probes.contract import Probe, indicated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAIRED = (0.01, 0.5, 0.99, 0.999)
"""Quantiles kept of paired errors."""


@dataclass(frozen=True)
class Point:
    """One standard: true value, what the probe indicated, and how many values it saw; all in the calibration's unit."""

    true: float
    indicated: float
    n: int
    paired: tuple[float, float, float, float] | None = None
    """Quantiles PAIRED of the errors of single events, where the standard logs each."""
    basis: str = ""
    """What the true value rests on, in the standard's own words."""

    @property
    def error(self) -> float:
        """Error of indication."""
        return self.indicated - self.true

    @property
    def range(self) -> tuple[float, float]:
        """What the error of one event may be: between p1 and p99 of the paired errors, else the error of indication."""
        return (self.error, self.error) if self.paired is None else (self.paired[0], self.paired[2])

    def to_json(self) -> dict[str, Json]:
        """`{"true","indicated","error","n"}`, and `error_p1` … where there are paired errors; infinity is null."""
        plain: dict[str, Json] = {"true": self.true, "indicated": self.indicated, "error": self.error, "n": self.n}
        if self.basis:
            plain["basis"] = self.basis
        if self.paired is not None:
            plain |= zip((f"error_p{100 * q:g}" for q in PAIRED), self.paired, strict=True)
        return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in plain.items()}


@dataclass(frozen=True)
class Calibration:
    """A probe's calibration. `within` needs at least one point and every error within the tolerance."""

    probe: str
    version: str
    unit: str
    tolerance: float
    run: int
    points: tuple[Point, ...]

    @property
    def within(self) -> bool:
        """True when the probe may be used."""
        return bool(self.points) and all(abs(e) <= self.tolerance for p in self.points for e in p.range)

    @property
    def floor(self) -> Point | None:
        """What the probe reads where there is nothing to read: its point of true value 0, if it has one."""
        return next((p for p in self.points if p.true == 0 and p.paired), None)

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest error over all points, in `unit`. Raises ValueError where there is none."""
        return min(p.range[0] for p in self.points), max(p.range[1] for p in self.points)

    def to_json(self) -> dict[str, Json]:
        """The form of `calibrate --json` and of a record."""
        return {
            "probe": self.probe,
            "version": self.version,
            "unit": self.unit,
            "tolerance": self.tolerance,
            "within": self.within,
            "run": self.run,
            "points": [p.to_json() for p in self.points],
        }


def run_calibration(
    ledger: Ledger, probe: Probe, host: dict[str, str], progress: Callable[[Progress], None] = lambda _news: None
) -> int:
    """Record one calibration run over all the probe's standards; its number. Raises ProbeError, UserError, OSError."""
    return record_calibration(ledger, probe, scale(probe), host, progress)


def scale(probe: Probe) -> Scale:
    """What a calibration of the probe says of itself."""
    return Scale(probe.spec.version, probe.spec.unit, probe.spec.tolerance)


def calibrate_here(probe: Probe, progress: Callable[[Progress], None] = lambda _news: None) -> Calibration:
    """Calibrate outside any case, in a folder that is thrown away. Raises UserError, also where no standard would run.

    A standard that a busy host interrupted is set up again, CALIBRATION_TRIES times in all.
    """
    problem: Problem | None = None
    with tempfile.TemporaryDirectory(prefix="yanshou-") as name, Ledger(Path(name)) as ledger:
        for _ in range(CALIBRATION_TRIES):
            try:
                run_calibration(ledger, probe, host_facts(), progress)
            except ProbeError as error:
                problem = error.problem
            else:
                return read_calibration(runs_of(ledger.records)[-1], Path(name))
    assert problem is not None
    raise UserError(problem, ExitCode.UNDECIDED)


def read_calibration(run: Run, case_folder: Path) -> Calibration:
    """Recompute a completed calibration run from its evidence. Raises KeyError or ValueError for unusable evidence."""
    probe = Probe(str(run.meta["probe"]))
    evidence = run.evidence(case_folder)
    points = []
    for index in range(len(run.meta["points"])):
        part = evidence.sub(f"p{index}")
        with part.open("params.json") as f:
            used = json.load(f)
        with part.open("truth.json") as f:
            truth = json.load(f)
        params = probe.params(used["params"])
        measurement = probe.analyse(part, params, used["seed"])
        errors = probe.paired_errors(part, params, used["seed"])
        paired = None if errors is None else _quantiles(errors)
        points.append(
            Point(
                float(truth["true"]),
                indicated(measurement, run.meta["unit"]),
                int(truth["n"]),
                paired,
                str(truth.get("basis", "")),
            )
        )
    return Calibration(
        probe.name, run.meta["version"], run.meta["unit"], float(run.meta["tolerance"]), run.number, tuple(points)
    )


def _quantiles(errors: NDArray[np.float64]) -> tuple[float, float, float, float]:
    import numpy as np

    p1, p50, p99, p999 = (float(x) for x in np.quantile(errors, PAIRED, method="inverted_cdf"))
    return p1, p50, p99, p999
