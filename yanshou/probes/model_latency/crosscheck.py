"""What MLPerf LoadGen logged of its queries, beside our stamps of the same ones.

Pure. It is for showing that two drivers read the same; no verdict rests on it, and it must never make one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.harness.statistics import upper_rank
from yanshou.probes.model_latency.record import UNKNOWN, read_record
from yanshou.probes.model_latency.streams import DETAIL, LOADGEN, TRACE

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

Floats = NDArray[np.float64]
CONFIDENCE = 0.99
"""LoadGen's, fixed."""
APART_NS = 1_000_000
"""Two drivers may differ by so much in 99 of 100 queries."""
_SAMPLE = re.compile(rb'"sample_seq":(\d{1,9}),.*"complete_ns":(\d{1,15})\b')
_MARK = b":::MLLOG "


@dataclass(frozen=True)
class Crosscheck:
    """One entry for each query, shape (n,), ns. `theirs`: NaN where the trace lacks it; `ours`: +inf where not answered well.

    `told`: what LoadGen says of the whole: validity, percentile and its early-stopping estimate.
    """

    theirs: Floats
    ours: Floats
    failed: int
    indices: list[int]
    told: dict[str, Json]

    @property
    def share(self) -> float:
        """The percentile that LoadGen estimated."""
        found = self.told.get("effective_target_latency_percentile")
        return found if isinstance(found, float) and 0 < found < 1 else 0.99

    @property
    def estimate(self) -> float | None:
        """LoadGen's own early-stopping estimate, None where it gave none."""
        found = self.told.get("early_stopping_latency_ss")
        return float(found) if isinstance(found, (int, float)) and found > 0 else None


def early_stopping(values: Floats, share: float) -> float | None:
    """MLPerf's early-stopping estimate of a percentile (single stream, 99 % confidence); None below its least number.

    It is the value next above our own upper bound at that confidence: LoadGen throws away one fewer than the binomial allows
    (inference_rules.adoc, early stopping; the least numbers 64, 662 and 6636 follow).
    """
    rank = upper_rank(values.size, Fraction(str(share)), 1 - CONFIDENCE)
    return None if rank is None or rank >= values.size else float(np.sort(values)[rank])


def read_crosscheck(evidence: RunEvidence, queries: int) -> Crosscheck:
    """LoadGen's logs and our rows; what is damaged or missing is NaN, +inf or absent."""
    place = evidence.sub(LOADGEN)
    record = read_record(place, queries)
    well = np.equal(record.status, "ok") & (record["t_start_ns"] != UNKNOWN) & (record["t_done_ns"] != UNKNOWN)
    ours = np.where(well, record["t_done_ns"] - record["t_start_ns"], np.inf)
    theirs = np.full(queries, np.nan)
    told: dict[str, Json] = {}
    if TRACE in place.streams():
        with place.open(TRACE) as stream:
            for line in stream:
                if (found := _SAMPLE.search(line)) and int(found[1]) < queries:
                    theirs[int(found[1])] = int(found[2])
    if DETAIL in place.streams():
        with place.open(DETAIL) as stream:
            for line in stream:
                told.update(_entry(line))
    return Crosscheck(
        theirs, np.asarray(ours, dtype=np.float64), int(queries - well.sum()), sorted(record["index"].tolist()), told
    )


def _entry(line: bytes) -> dict[str, Json]:
    """One entry of LoadGen's detail log."""
    try:
        entry = json.loads(line[len(_MARK) :]) if line.startswith(_MARK) else {}
        return {str(entry["key"]): entry["value"]} if isinstance(entry, dict) and "key" in entry else {}
    except (ValueError, KeyError, RecursionError):
        return {}


def crosschecked(found: Crosscheck, drawn: list[int]) -> Validity:
    """LAT-V21. `drawn`: lines of the pool that were LoadGen's to use."""

    def warning(text: str) -> Validity:
        return Validity("LAT-V21", Severity.WARNING, f"MLPerf LoadGen 对照：{text}")

    queries = found.theirs.size
    if (
        found.told.get("result_query_count") != queries
        or np.isnan(found.theirs).any()
        or found.indices != sorted(drawn)
    ):
        return warning(f"没有做全，或问的不是抽到的输入（计划 {queries} 次）")
    if found.failed:
        return warning(f"{found.failed} 次没有答好；LoadGen 不认失败，把它们也算作完成，不作对照")
    again = early_stopping(found.theirs, found.share)
    if again != found.estimate:
        return warning(f"由它的逐次用时重算的提前停止估计 {_ms(again)}，与它自报的 {_ms(found.estimate)} 不同")
    apart = found.theirs - found.ours
    middle, high = np.quantile(np.abs(apart), (0.5, 0.99), method="inverted_cdf")
    text = (
        f"{queries} 次（{found.told.get('result_validity')}），P{100 * found.share:g} 提前停止估计 {_ms(found.estimate)}，"
        f"按同一规则由本仪器的时刻得 {_ms(early_stopping(found.ours, found.share))}；"
        f"逐次相差中位数 {_ms(middle)}、P99 {_ms(high)}"
    )
    return warning(text) if high > APART_NS else Validity("LAT-V21", Severity.INFO, f"MLPerf LoadGen 对照：{text}")


def _ms(value: float | None) -> str:
    return "没有（次数不够）" if value is None else f"{value / 1e6:.3f} ms"


def facts_of(found: Crosscheck) -> dict[str, Json]:
    """For the report."""
    return {
        "queries": int(found.theirs.size),
        "failed": found.failed,
        "validity": str(found.told.get("result_validity")),
        "percentile": found.share,
        "estimate_ns": found.estimate,
        "own_estimate_ns": _finite(early_stopping(found.ours, found.share)),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
