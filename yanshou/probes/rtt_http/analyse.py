"""Response times from the schedule, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never touch the world, never know a limit, and never drop a request.
Each time runs from when the request was due and not from when it was sent: a server that stands still keeps the later ones
from being sent at all, and whoever counted from sending would leave out just the waiting that it causes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.model import Samples, Series, Severity, Validity
from yanshou.probes.rtt.analyse import facts, findings, findings_of, judged_packets, traffic_times, values
from yanshou.probes.rtt.paired import errors_against_log
from yanshou.probes.rtt.record import SLACK_NS, Bools, Ints, Record, csv_rows, read_clock, read_object, read_record
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.streams import SESSION
from yanshou.probes.rtt_http.streams import EXCHANGE_COLUMNS, EXCHANGES

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.rtt_http.spec import Params

_INCLUDES = (
    "应用层时延：从请求应发出的时刻到收完应答的最后一个字节，含等待空闲连接、网络往返、TCP 的排队与重传、TLS、服务器的处理与排队、"
    "本机协议栈与客户端库；本机已关闭 Nagle 算法；无内核时间戳；连接中断后重新建立的时间计入等待"
)
WAITED_NS = 1_000_000
"""A request that was sent later than this after it was handed over had to wait for a connection."""


@dataclass(frozen=True)
class Exchanges:
    """exchanges.csv by sequence number: when sent (ns, 0 never), and how it ended ("" unknown)."""

    sent: Ints
    status: NDArray[np.str_]
    connections: int
    bad: int


def read_exchanges(evidence: RunEvidence, total: int) -> Exchanges:
    """The exchanges of a run that was planned with `total` requests."""
    sent, status = np.zeros(total, dtype=np.int64), np.full(total, "", dtype="<U8")
    connections, bad = set(), 0
    for cells in csv_rows(evidence, EXCHANGES, EXCHANGE_COLUMNS):
        if not cells:  # the end of a capture that was killed: packets.csv tells
            continue
        try:
            number, connection, sent_ns, how, _octets = cells
            at = int(number)
            if not 0 <= at < total or status[at] or not how:
                raise ValueError(number)
            sent[at], status[at] = int(sent_ns or 0), how
            if connection:
                connections.add(int(connection))
        except (ValueError, OverflowError):
            bad += 1
    return Exchanges(sent, status, len(connections), bad)


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """End of the answer minus scheduled moment of each measured request in order, ns, +inf without an agreed answer in time."""
    traffic = Traffic.of(params, params.size, seed)
    record, clock = read_record(evidence, traffic.warmup, traffic.total), read_clock(evidence)
    exchanges = read_exchanges(evidence, traffic.total)
    session = read_object(evidence, SESSION)
    judged = judged_packets(record, traffic)
    sending = values(record, record.t4 - exchanges.sent, judged, traffic)
    waiting = (exchanges.sent - record.t1)[judged & (exchanges.sent > 0)]
    return Samples(
        unit="ns",
        values=values(record, record.t4 - record.scheduled, judged, traffic),
        times=traffic_times(traffic)[judged],
        measurand="round_trip",
        bounds=("one_way",),
        series=(Series("sending", "自实际发出起的响应时间（不含等待空闲连接）", "round_trip", sending),),
        validity=(
            *findings_of("RTH", findings(record, clock, traffic, evidence, thing="个请求", stamped=False)),
            *_own_findings(record, exchanges, judged, traffic, params),
        ),
        facts={
            **facts(record, clock, traffic),
            "judged": "from_schedule",
            "includes": _INCLUDES,
            "statuses": dict(sorted(Counter(exchanges.status[judged].tolist()).items())),
            "connections": {"kept": params.connections, "used": exchanges.connections},
            "waited": int((waiting > WAITED_NS).sum()),
            "tls": session.get("tls"),
            "http": session.get("http"),
            "client": session.get("client"),
        },
    )


def _own_findings(
    record: Record, exchanges: Exchanges, judged: Bools, traffic: Traffic, params: Params
) -> Iterator[Validity]:
    yield Validity("RTH-V15", Severity.INFO, _INCLUDES)
    good = np.isin(exchanges.status, [str(status) for status in params.expected])
    failed = Counter(exchanges.status[judged & ~good].tolist())
    if failed:
        named = "、".join(f"{how or '无记录'} {number} 次" for how, number in sorted(failed.items()))
        yield Validity("RTH-V16", Severity.WARNING, f"没有约定应答的请求按丢失计：{named}")
    answered = record.answered(traffic.timeout_ns)
    sent = exchanges.sent
    possible = good & (sent >= record.t1 - SLACK_NS) & (sent <= record.t4 + SLACK_NS)
    if (wrong := exchanges.bad + int((answered & ~possible).sum())) > 0:
        yield Validity("RTH-V17", Severity.INVALID, f"{wrong} 行发送记录无法识别，或与应答记录矛盾")


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> NDArray[np.float64]:
    """Value minus true hold of each answered request whose hold is known, ms. Raises ValueError for a damaged log."""
    traffic = Traffic.of(params, params.size, seed)
    sequences = np.flatnonzero(judged_packets(read_record(evidence, traffic.warmup, traffic.total), traffic))
    return errors_against_log(evidence, analyse(evidence, params, seed).values, sequences)
