"""Round-trip times, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never touch the world, never know a limit, and never drop a packet:
what was lost, late or left without a fate is +inf. T4-T1 is one clock's difference; the far end's T2 and T3 are its claims,
so they give information and findings but never enter a value.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.model import Json, Samples, Severity, Validity
from yanshou.probes.rtt.schedule import send_offsets

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.rtt.spec import Params

Ints = NDArray[np.int64]

TIMES = ("t_sched_ns", "t1_user_ns", "t1_kernel_ns", "t2_ns", "t3_ns", "t4_kernel_ns", "t4_user_ns")
COLUMNS = ["seq", "phase", *TIMES, "size", "status", "ttl"]
CLOCKS = ["realtime_ns", "monotonic_raw_ns", "monotonic_before_ns", "monotonic_after_ns"]
NONE, UNSENT, OK, LOST, LATE = range(5)
FATES = {"unsent": UNSENT, "ok": OK, "lost": LOST, "late": LATE}

SENT_SHARE = 0.99
LATE_NS, LATE_SHARE = 1_000_000, 0.1
"""The sender is late when p99 of its lateness exceeds 1 ms, or a tenth of the mean interval where that is more."""
GAP_NS = 100_000_000
STEP_NS = 10_000
RATE = 500e-6
"""The largest rate correction of Linux' clock discipline: on 2 ms it is 1 us."""
CLOCK_GAP_NS = 5_000_000_000
KERNEL_SHARE = 0.99
SLACK_NS = 1_000
"""Rounding of timestamp formats, and of a logarithm on another machine."""
SCHEDULE_WORDS = {"poisson": "泊松", "jitter": "均匀抖动", "grid": "固定间隔"}


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Gross RTT of each measured packet in send order, ns; a packet that was never sent has no value."""
    record = _read(evidence, params)
    offsets = np.frombuffer(
        send_offsets(
            params.schedule, params.warmup + params.count, params.interval_ms, params.min_interval_ms, seed
        ),
        dtype=np.int64,
    )
    packets = _Packets.of(record, offsets, params)
    clock, clock_whole = _table(evidence, "clock.csv", CLOCKS)
    readings = np.array([[int(x) for x in row] for row in clock if _all_numbers(row)], dtype=np.int64).reshape(-1, 4)
    whole = record.whole and clock_whole and record.rows == _rows_expected(evidence)
    findings = [*_plan_findings(packets, params), *_clock_findings(readings, packets), *_stamp_findings(packets, params)]
    findings += _record_findings(record, params, whole)
    return Samples(
        unit="ns",
        values=packets.values,
        times=(packets.scheduled - packets.scheduled[0]) / 1e9 if packets.scheduled.size else packets.values,
        measurand="round_trip",
        bounds=("one_way",),
        validity=tuple(findings),
        facts=_facts(packets, record, params, readings),
    )
