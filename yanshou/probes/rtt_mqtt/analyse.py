"""Times from publishing to delivery, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never touch the world, never know a limit, and never drop a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Severity, Validity
from yanshou.probes.rtt.analyse import facts, findings, findings_of, judged_packets, traffic_times, values
from yanshou.probes.rtt.paired import errors_against_log
from yanshou.probes.rtt.record import read_clock, read_object, read_record
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.streams import SESSION

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.rtt_mqtt.spec import Params

_INCLUDES = (
    "应用层时延：从调用发布到订阅者收到同一条消息，含网络去程与回程、TCP 的排队与重传、TLS、代理的处理与排队（含其 Nagle 算法）、"
    "本机协议栈与客户端库；本机已关闭 Nagle 算法；无内核时间戳"
)


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """T4 - T1 of each measured message in send order, ns; one that the client did not take has no value."""
    traffic = Traffic.of(params, params.size, seed)
    record, clock = read_record(evidence, traffic.warmup, traffic.total), read_clock(evidence)
    session = read_object(evidence, SESSION)
    judged = judged_packets(record, traffic)
    return Samples(
        unit="ns",
        values=values(record, record.round_trip, judged, traffic),
        times=traffic_times(traffic)[judged],
        measurand="round_trip",
        bounds=("one_way",),
        validity=(
            *findings_of("RTM", findings(record, clock, traffic, evidence, thing="条消息", stamped=False)),
            *_own_findings(session, params),
        ),
        facts={
            **facts(record, clock, traffic),
            "judged": "application",
            "includes": _INCLUDES,
            "qos": {"asked": params.qos, "granted": session.get("granted")},
            "tls": session.get("tls"),
            "client": session.get("client"),
        },
    )


def _own_findings(session: dict[str, Json], params: Params) -> Iterator[Validity]:
    yield Validity("RTM-V15", Severity.INFO, _INCLUDES)
    granted = session.get("granted")
    if granted != params.qos:
        text = f"约定订阅 QoS {params.qos}，代理给的是 {granted}：测到的不是约定的投递方式"
        yield Validity("RTM-V16", Severity.INVALID, text)


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> NDArray[np.float64]:
    """Value minus true hold of each delivered message whose hold is known, ms. Raises ValueError for a damaged log."""
    traffic = Traffic.of(params, params.size, seed)
    sequences = np.flatnonzero(judged_packets(read_record(evidence, traffic.warmup, traffic.total), traffic))
    return errors_against_log(evidence, analyse(evidence, params, seed).values, sequences)
