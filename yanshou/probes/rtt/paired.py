"""Errors of `rtt` against a standard that logged each packet's true hold, packet by packet.

Pure. It must never use the set value of a standard for what it truly did.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.probes.rtt.hold import true_holds
from yanshou.probes.rtt.record import read_record
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.streams import HOLD

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.rtt.spec import Params


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> NDArray[np.float64]:
    """Judged value minus true hold of each answered packet whose hold is known without doubt, ms, in send order.

    Without a log nothing was held: the values themselves, which is the floor. Raises ValueError for a damaged log.
    """
    from yanshou.probes.rtt.analyse import analyse, judged_packets  # which offers this function to the harness

    traffic = Traffic.of(params, params.size, seed)
    sequences = np.flatnonzero(judged_packets(read_record(evidence, traffic.warmup, traffic.total), traffic))
    return errors_against_log(evidence, analyse(evidence, params, seed).values, sequences)


def errors_against_log(
    evidence: RunEvidence, values: NDArray[np.float64], sequences: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`paired_errors` of `values` (ns) of the packets with these sequence numbers."""
    answered = np.isfinite(values)
    if HOLD not in evidence.streams():
        return values[answered] / 1e6
    with io.TextIOWrapper(evidence.open(HOLD), "ascii") as log:
        next(log)
        holds = true_holds(log)
    held = np.array([holds.get(int(n), -1) for n in sequences], dtype=np.float64)
    return np.asarray((values - held)[answered & (held >= 0)] / 1e6, dtype=np.float64)
