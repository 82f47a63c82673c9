"""The contract that every instrument fulfils, and the way to find one by name.

A probe is a folder `probes/<name>/` (a dot in the name is an underscore in the folder: rtt.icmp lives in rtt_icmp) with
  spec.py       `Params` (frozen pydantic model, extra="forbid"), `SPEC: ProbeSpec`, `estimate(params, samples) -> Estimate`
  capture.py    `capture(params, run) -> None`            impure: touches the world, only records
  analyse.py    `analyse(evidence, params, seed) -> Measurement`   pure: the same bytes give the same measurement, forever
                and, where a standard logs the truth of every single event, `paired_errors(evidence, params, seed) ->
                float64 (n,)`: indicated - true of each event, in `SPEC.unit`
  reference.py  `POINTS` (true values) and `standard(true_value, run) -> ContextManager[dict]`, a standard that yields the
                parameters which make `capture` look at it, and writes what it truly did to the stream `truth.json`:
                {"true": float, "unit": str, "n": int, "basis": str}
A spec may also have `forms(params) -> {relative path: blank text}`, the forms that people fill in before a run, and an analyse
`sheets(folder, params, seed) -> {relative path: text}`, those forms (CSV) with what was drawn to be re-verified on site: what is
empty in every row is for people to fill in. `VISIT` in the spec says what they do there.
An analyse may also have `left_out(evidence, params) -> Iterator[list[str]]`, what was not counted and why, after a row of column
names. Where evidence holds pseudonyms, a module `site` has `reidentify(params, folder, cells) -> {pseudonym: what it stands for}`.
And a method document docs/probes/p-NNN-<name>.md. This module must never know a limit, a plan or a verdict.
Modules are loaded one by one and by name, so that whoever only analyses never loads a capture.
"""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.model import Answer, Checklist, Count, Kind, Measurement

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.capturing import RunContext


@dataclass(frozen=True)
class ProbeSpec:
    """What a probe is, without running it.

    `version` changes whenever `analyse` may give another measurement for the same bytes.
    `unit` is the unit of a calibration point; `tolerance` the largest |indicated - true| that still counts as calibrated.
    """

    name: str
    version: str
    title: str
    kind: Kind
    unit: str
    tolerance: float
    document: str
    equipment: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run will take: `seconds` on the clock (0 when a person sets the pace) and `samples` it will yield."""

    seconds: float
    samples: int


@dataclass(frozen=True)
class Probe:
    """A probe found by name; each part is imported when it is first asked for."""

    name: str

    def _module(self, part: str) -> Any:
        return importlib.import_module(f"yanshou.probes.{self.name.replace('.', '_')}.{part}")

    @property
    def spec(self) -> ProbeSpec:
        """Its self-description."""
        spec: ProbeSpec = self._module("spec").SPEC
        return spec

    def params(self, values: dict[str, Any]) -> BaseModel:
        """`values` as the probe's parameters. Raises pydantic.ValidationError."""
        model: type[BaseModel] = self._module("spec").Params
        return model.model_validate(values)

    def params_type(self) -> type[BaseModel]:
        """The pydantic model of its parameters."""
        model: type[BaseModel] = self._module("spec").Params
        return model

    def estimate(self, params: BaseModel, samples: int | None) -> Estimate:
        """What a run with `params` will take; `samples` is the number the decision rule asks for."""
        estimate: Estimate = self._module("spec").estimate(params, samples)
        return estimate

    def forms(self, params: BaseModel) -> dict[str, str]:
        """Forms that people fill in before a run: relative path -> blank text. Most probes have none."""
        forms = getattr(self._module("spec"), "forms", None)
        return dict(forms(params)) if forms else {}

    @property
    def visit(self) -> str:
        """What to do at each place of `sheets`, in Chinese; "" where it has none."""
        return str(getattr(self._module("spec"), "VISIT", ""))

    def sheets(self, params: BaseModel, folder: Path, seed: int) -> dict[str, str]:
        """Forms with what is drawn from the files in `folder`: relative path -> text. Raises OSError, ValueError for the files."""
        sheets = getattr(self._module("analyse"), "sheets", None)
        return dict(sheets(folder, params, seed)) if sheets else {}

    def left_out(self, evidence: RunEvidence, params: BaseModel) -> Iterator[list[str]] | None:
        """What a run did not count and why, after a row of column names; None where the instrument counts no rows."""
        rows = getattr(self._module("analyse"), "left_out", None)
        return rows(evidence, params) if rows else None

    def reidentify(self, params: BaseModel, folder: Path, cells: Collection[str]) -> dict[str, str]:
        """Pseudonym -> what it stands for, read on site, for those of `cells` that are pseudonyms. Raises ProbeError."""
        if importlib.util.find_spec(f"yanshou.probes.{self.name.replace('.', '_')}.site") is None:
            return {}
        site = self._module("site")
        return dict(site.reidentify(params, folder, cells))

    def capture(self, params: BaseModel, run: RunContext) -> None:
        """Record one run. Raises ProbeError when it cannot measure."""
        self._module("capture").capture(params, run)

    def analyse(self, evidence: RunEvidence, params: BaseModel, seed: int) -> Measurement:
        """Evidence -> measurement, pure."""
        measurement: Measurement = self._module("analyse").analyse(evidence, params, seed)
        return measurement

    def paired_errors(self, evidence: RunEvidence, params: BaseModel, seed: int) -> NDArray[np.float64] | None:
        """Indicated - true of each event of a calibration, in `spec.unit`; None where the standard knows no single events."""
        compare = getattr(self._module("analyse"), "paired_errors", None)
        return None if compare is None else compare(evidence, params, seed)

    def points(self) -> tuple[float, ...]:
        """True values at which the probe is calibrated, in `spec.unit`."""
        points: tuple[float, ...] = self._module("reference").POINTS
        return points

    def standard(self, true_value: float, run: RunContext) -> AbstractContextManager[dict[str, Any]]:
        """A running standard of `true_value`, yielding the parameters that make `capture` look at it."""
        context: AbstractContextManager[dict[str, Any]] = self._module("reference").standard(true_value, run)
        return context


def probe_names() -> tuple[str, ...]:
    """Every probe folder, sorted."""
    import yanshou.probes as room

    return tuple(sorted(m.name.replace("_", ".") for m in pkgutil.iter_modules(room.__path__) if m.ispkg))


def find_probe(name: str) -> Probe:
    """A probe by name. Raises UserError with the nearest name."""
    names = probe_names()
    if name not in names:
        near = get_close_matches(name, names, 1)
        remedy = f"是不是 {near[0]}?" if near else f"可用：{'、'.join(names)}"
        raise UserError(Problem("P-PROBE", f"没有名为 {name} 的仪器", remedy))
    return Probe(name)


def find_probes(name: str) -> tuple[Probe, ...]:
    """The probe of that name, else all of the family: "model" is model.actuation, model.latency, model.weights.

    Raises UserError with the nearest name.
    """
    family = tuple(Probe(n) for n in probe_names() if n.startswith(f"{name}."))
    return family if family and name not in probe_names() else (find_probe(name),)


def indicated(measurement: Measurement, unit: str) -> float:
    """The one number that a calibration compares with the true value: median, net count, or number of 是."""
    if isinstance(measurement, Count):
        return float(measurement.net)
    if isinstance(measurement, Checklist):
        return float(measurement.number(Answer.YES))
    import numpy as np

    from yanshou.harness.units import convert

    return float(np.median(measurement.values)) * float(convert(1, measurement.unit, unit))
