"""Round-trip times by ICMP echo, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never touch the world, never know a limit, never drop a request, and
never subtract anything: the time in the far end's kernel is in every value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.model import Samples, Severity, Validity
from yanshou.probes.rtt.analyse import facts, findings, findings_of, judged_packets, traffic_times, values
from yanshou.probes.rtt.paired import errors_against_log
from yanshou.probes.rtt.record import read_clock, read_object, read_record
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.streams import SESSION

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.rtt_icmp.spec import Params

_INCLUDES = "总往返时延，含对端内核应答 ICMP 的时间；网络与对端可能给 ICMP 另一种优先级或限速，与业务流量不一定相同"


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Round trip T4 - T1 of each measured request in send order, ns; a request that never left has no value."""
    traffic = Traffic.of(params, params.size, seed)
    record, clock = read_record(evidence, traffic.warmup, traffic.total), read_clock(evidence)
    judged = judged_packets(record, traffic)
    return Samples(
        unit="ns",
        values=values(record, record.round_trip, judged, traffic),
        times=traffic_times(traffic)[judged],
        measurand="round_trip",
        bounds=("one_way",),
        validity=(
            *findings_of("ICM", findings(record, clock, traffic, evidence)),
            Validity("ICM-V15", Severity.INFO, _INCLUDES),
        ),
        facts={
            **facts(record, clock, traffic),
            "judged": "gross",
            "includes": _INCLUDES,
            "socket": read_object(evidence, SESSION).get("socket"),
        },
    )


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> NDArray[np.float64]:
    """Value minus true hold of each answered request whose hold is known without doubt, ms. Raises ValueError for a damaged log."""
    traffic = Traffic.of(params, params.size, seed)
    sequences = np.flatnonzero(judged_packets(read_record(evidence, traffic.warmup, traffic.total), traffic))
    return errors_against_log(evidence, analyse(evidence, params, seed).values, sequences)
