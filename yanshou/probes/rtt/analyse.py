"""Round-trip times, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never touch the world, never know a limit, and never drop a packet:
what was lost, late or left without a fate is +inf. T4-T1 is a difference on one clock; T2 and T3 are claims of the far end,
so they give information and findings but never enter a value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Severity, Validity
from yanshou.probes.rtt.schedule import send_offsets
from yanshou.probes.rtt.streams import CLOCK, CLOCK_COLUMNS, END, PACKET_COLUMNS, PACKETS

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.rtt.spec import Params

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SENT_SHARE = 0.99
LATE_NS, LATE_SHARE = 5_000_000, 0.5
"""The sender is late when the p99 of its lateness exceeds 5 ms, or half the mean interval where that is more."""
GAP_NS = 100_000_000
STEP_NS = 10_000
RATE = 500e-6
"""The largest rate correction of Linux' clock discipline; on a round trip of 2 ms it makes 1 us."""
CLOCK_GAP_NS = 5_000_000_000
KERNEL_SHARE = 0.99
SLACK_NS = 1_000
"""For rounding: of timestamp formats, and of a logarithm computed on another machine."""

_NONE, _UNSENT, _OK, _LOST, _LATE = range(5)
_FATES = {"unsent": _UNSENT, "ok": _OK, "lost": _LOST, "late": _LATE}
_SCHEDULES = {"poisson": "泊松随机", "jitter": "均匀抖动", "grid": "固定间隔"}


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Gross RTT (T4-T1) of each measured packet in send order, ns. A packet that never left has no value."""
    total = params.warmup + params.count
    offsets = np.array(
        send_offsets(params.schedule, total, params.interval_ms, params.min_interval_ms, seed), dtype=np.int64
    )
    record = _read_packets(evidence, params.warmup, total)
    clock = _read_clock(evidence)
    judged = record.judged & (np.arange(total) >= params.warmup)
    values = np.where(record.answered(params), record.round_trip, np.inf)[judged]
    return Samples(
        unit="ns",
        values=values,
        times=offsets[judged] / 1e9,
        measurand="round_trip",
        bounds=("one_way",),
        validity=tuple(_findings(record, clock, offsets, params, _rows_expected(evidence))),
        facts=_facts(record, clock, offsets, params),
    )


@dataclass(frozen=True)
class _Record:
    """packets.csv by sequence number: times (0 unknown) and fate of each planned packet, and how many rows of each kind."""

    scheduled: Ints
    t1_user: Ints
    t1_kernel: Ints
    t2: Ints
    t3: Ints
    t4_kernel: Ints
    t4_user: Ints
    fate: NDArray[np.int8]
    rows: Counter[str]

    @property
    def sent(self) -> Bools:
        """The system took it."""
        return np.greater_equal(self.fate, _OK)

    @property
    def judged(self) -> Bools:
        """Sent, or without any row though a later packet has one: it had left, and its fate was not written in time."""
        known = np.flatnonzero(self.fate)
        before_last = np.arange(self.fate.size) < (known[-1] if known.size else 0)
        return self.sent | (np.equal(self.fate, _NONE) & before_last)

    @property
    def t1(self) -> Ints:
        """Departure, by the kernel where it stamped."""
        return np.where(self.t1_kernel > 0, self.t1_kernel, self.t1_user)

    @property
    def t4(self) -> Ints:
        """Arrival of the reply, by the kernel where it stamped."""
        return np.where(self.t4_kernel > 0, self.t4_kernel, self.t4_user)

    @property
    def round_trip(self) -> Ints:
        """T4 - T1."""
        return self.t4 - self.t1

    @property
    def residence(self) -> Ints:
        """T3 - T2, as the far end claims."""
        return self.t3 - self.t2

    def answered(self, params: Params) -> Bools:
        """In time by the stamps themselves, whatever the capture called it."""
        return np.equal(self.fate, _OK) & (self.round_trip <= round(params.timeout_ms * 1e6))

    def disordered(self, params: Params) -> Bools:
        """Answered, and yet not 0 < T1 user <= T1 kernel < T4 kernel <= T4 user."""
        early = (self.t1_user <= 0) | (self.t1 < self.t1_user - SLACK_NS)
        return self.answered(params) & (early | (self.round_trip <= 0) | (self.t4 > self.t4_user + SLACK_NS))


def _rows(evidence: RunEvidence, name: str, columns: str) -> Iterator[list[str]]:
    """Cells of each complete line after the header; [] for what is missing: the stream, or the end of its last line."""
    if name not in evidence.streams():
        yield []
        return
    with evidence.open(name) as f:
        for number, line in enumerate(f):
            text = line.decode("ascii", "replace")
            if not text.endswith("\n"):
                yield []
            elif number or text[:-1] != columns:
                yield text[:-1].split(",")


def _read_packets(evidence: RunEvidence, warmup: int, total: int) -> _Record:
    times = np.zeros((7, total), dtype=np.int64)
    fate = np.zeros(total, dtype=np.int8)
    rows: Counter[str] = Counter()
    for cells in _rows(evidence, PACKETS, PACKET_COLUMNS):
        rows["all" if cells else "torn"] += 1
        if cells:
            rows[_take(cells, times, fate, warmup)] += 1
    return _Record(times[0], times[1], times[2], times[3], times[4], times[5], times[6], fate, rows)


def _take(cells: list[str], times: NDArray[np.int64], fate: NDArray[np.int8], warmup: int) -> str:
    """Enter one row; its status, or "bad" for a row that no capture writes or that contradicts an earlier one."""
    try:
        seq, phase, *middle, _size, status, _ttl = cells
        stamps = [int(cell or 0) for cell in middle]
        if status == "foreign":
            return status
        at = int(seq)
        planned = (
            0 <= at < fate.size and phase == ("warmup" if at < warmup else "measure") and len(stamps) == len(times)
        )
        if not planned or (status == "dup" and fate[at] not in (_OK, _LATE)):
            return "bad"
        if status == "dup":
            return status
        if status == "late" and fate[at] == _LOST:
            fate[at] = _LATE
            return status
        if fate[at] != _NONE:
            return "bad"
        times[:, at] = stamps
        fate[at] = _FATES[status]
    except (ValueError, KeyError, OverflowError):
        return "bad"
    return status


def _read_clock(evidence: RunEvidence) -> Ints:
    """Readings in order, shape (n, 4), as in CLOCK_COLUMNS; unreadable ones are left out, and then they are missed."""
    readings = [[int(x) for x in cells] for cells in _rows(evidence, CLOCK, CLOCK_COLUMNS) if _is_reading(cells)]
    return np.array(readings, dtype=np.int64).reshape(-1, 4)


def _is_reading(cells: list[str]) -> bool:
    return len(cells) == 4 and all(c.isdigit() and len(c) <= 19 and int(c) < 1 << 63 for c in cells)


def _rows_expected(evidence: RunEvidence) -> int | None:
    """Rows that the capture says it wrote, None when it never said."""
    if END not in evidence.streams():
        return None
    with evidence.open(END) as f:
        try:
            return int(json.load(f)["rows"])
        except (ValueError, KeyError, TypeError):
            return None


def _quantile(values: Ints, q: float) -> int:
    """Order statistic at ceil(q n), 0 when there are none. For information, not for judging."""
    return int(np.quantile(values, q, method="inverted_cdf")) if values.size else 0


def _clock_step(clock: Ints) -> int:
    """Ns by which REALTIME left MONOTONIC: slewing moves both alike, only a step parts them, and each reading bounds it."""
    low, high = clock[:, 0] - clock[:, 3], clock[:, 0] - clock[:, 2]
    return max(0, int(low.max() - high.min())) if len(clock) else 0


def _clock_rate(clock: Ints) -> float:
    """The largest |d(REALTIME - RAW) / d(RAW)| between neighbours beyond what reading and steps below 10 us explain."""
    if len(clock) < 2:
        return 0.0
    drift = np.abs(np.diff(clock[:, 0] - clock[:, 1]))
    width = clock[:, 3] - clock[:, 2]
    excess = np.maximum(drift - width[1:] - width[:-1] - STEP_NS, 0)
    return float((excess / np.maximum(np.diff(clock[:, 1]), 1)).max())


def _clock_covers(clock: Ints, t1: Ints) -> bool:
    """Readings from before the first packet to within 5 s of the last, none further apart."""
    if len(clock) < 2:
        return False
    apart = np.diff(clock[:, 0])
    return bool(
        clock[0, 0] <= t1.min()
        and clock[-1, 0] >= t1.max() - CLOCK_GAP_NS
        and apart.max() <= CLOCK_GAP_NS
        and apart.min() >= 0
    )


def _findings(
    record: _Record, clock: Ints, offsets: Ints, params: Params, rows_expected: int | None
) -> Iterable[Validity]:
    """Every reason for caution, in the order of their codes. docs/probes/p-010-rtt.md says why each threshold."""

    def invalid(code: str, text: str) -> Validity:
        return Validity(code, Severity.INVALID, text)

    def warning(code: str, text: str) -> Validity:
        return Validity(code, Severity.WARNING, text)

    measured = np.arange(offsets.size) >= params.warmup
    sent, answered = record.sent & measured, record.answered(params) & measured
    t1, number_sent, number_answered = record.t1[sent], int(sent.sum()), int(answered.sum())
    if number_sent < SENT_SHARE * params.count:
        yield invalid("RTT-V01", f"计划 {params.count} 包，实发 {number_sent} 包，不足 {SENT_SHARE:.0%}")
    if number_sent:
        late = _quantile(t1 - record.scheduled[sent], 0.99)
        allowed = max(LATE_NS, round(LATE_SHARE * params.interval_ms * 1e6))
        if late > allowed:
            yield invalid("RTT-V02", f"发送端迟发：P99 {late / 1e3:.0f} µs，允许 {allowed / 1e3:.0f} µs")
        gap = _longest_gap(t1, offsets[sent])
        if gap > GAP_NS:
            yield invalid("RTT-V03", f"发送中断 {gap / 1e6:.0f} ms（计划之外），允许 {GAP_NS // 1_000_000} ms")
        if (step := _clock_step(clock)) > STEP_NS:
            yield invalid("RTT-V04", f"测量中系统时钟跳变 {step / 1e3:.0f} µs，允许 {STEP_NS // 1000} µs")
        if (rate := _clock_rate(clock)) > RATE:
            yield invalid("RTT-V05", f"系统时钟速率偏差 {rate * 1e6:.0f} ppm，允许 {RATE * 1e6:.0f} ppm")
        if not _clock_covers(clock, record.t1[record.sent]):
            yield invalid("RTT-V06", "时钟记录缺失或有 5 s 以上空缺，不能证明时钟未跳变")
    kernel = int((answered & (record.t1_kernel > 0) & (record.t4_kernel > 0)).sum())
    if kernel < KERNEL_SHARE * number_answered:
        yield warning(
            "RTT-V07", f"{number_answered - kernel}/{number_answered} 个应答没有内核时间戳，结果含本机调度延迟，偏大"
        )
    if params.schedule == "grid":
        yield warning("RTT-V08", "固定间隔发包可能与网络周期同步，结果取决于相位")
    impossible = answered & (
        (record.residence < 0) | (record.residence > record.round_trip * (1 + 2 * RATE) + SLACK_NS)
    )
    if impossible.any():
        yield invalid("RTT-V09", f"{int(impossible.sum())} 个应答声称的驻留时间为负或超过往返时延，反射端时间戳不可信")
    if record.rows["dup"]:
        yield warning("RTT-V10", f"收到 {record.rows['dup']} 个重复应答")
    if record.rows["foreign"]:
        yield warning("RTT-V11", f"收到 {record.rows['foreign']} 个无法对应的应答")
    orphans = int((record.judged & ~record.sent).sum())
    if record.rows["torn"] or orphans or record.rows["all"] != rows_expected:
        yield warning("RTT-V12", f"记录不完整（采集未正常结束）；{orphans} 个已发未记结果的包按丢失计")
    base = (record.scheduled - offsets)[record.sent]
    if base.size and int(np.ptp(base)) > SLACK_NS:
        yield invalid("RTT-V13", "记录的计划发送时刻与种子生成的计划不符")
    elif (early := int((record.t1_user < record.scheduled - SLACK_NS)[record.sent].sum())) > 0:
        yield invalid("RTT-V13", f"{early} 个包早于计划时刻发出，计划时刻不可信")
    if (bad := record.rows["bad"] + int(record.disordered(params).sum())) > 0:
        yield invalid("RTT-V14", f"{bad} 行记录无法识别或自相矛盾")


def _longest_gap(t1: Ints, planned: Ints) -> int:
    """The longest time between two departures beyond the planned one, ns."""
    return int((np.diff(t1) - np.diff(planned)).max()) if t1.size > 1 else 0


def _reordered(record: _Record, answered: Bools) -> int:
    """Replies that came after the reply to a later packet (RFC 4737 section 3)."""
    arrival = np.flatnonzero(answered)[np.argsort(record.t4[answered], kind="stable")]
    return int((arrival < np.maximum.accumulate(arrival)).sum())


def _facts(record: _Record, clock: Ints, offsets: Ints, params: Params) -> dict[str, Json]:
    measured = np.arange(offsets.size) >= params.warmup
    sent, answered = record.sent & measured, record.answered(params) & measured
    lateness = (record.t1 - record.scheduled)[sent]
    residence, net = record.residence[answered], (record.round_trip - record.residence)[answered]
    late = int(((record.fate == _LATE) & measured).sum() + ((record.fate == _OK) & ~answered & measured).sum())
    lost = int((record.judged & measured).sum()) - int(answered.sum()) - late
    return {
        "planned": params.count,
        "sent": int(sent.sum()),
        "received": int(answered.sum()),
        "lost": lost,
        "late": late,
        "duplicates": record.rows["dup"],
        "reordered": _reordered(record, answered),
        "foreign": record.rows["foreign"],
        "warmup": {"planned": params.warmup, "received": int((record.answered(params) & ~measured).sum())},
        "size": params.size,
        "schedule": params.schedule,
        "schedule_text": f"{_SCHEDULES[params.schedule]}，平均 {params.interval_ms:g} ms",
        "stamps": {
            "t1_kernel": int((record.t1_kernel[answered] > 0).sum()),
            "t4_kernel": int((record.t4_kernel[answered] > 0).sum()),
        },
        "net_ns": {"p50": _quantile(net, 0.5), "p99": _quantile(net, 0.99)},
        "net_note": "净往返时延 = (T4-T1)-(T3-T2)；T2、T3 为反射端声称，仅供参考，不参加判定；只含有应答的包",
        "residence_ns": {"p50": _quantile(residence, 0.5), "p99": _quantile(residence, 0.99)},
        "sender_late_ns": {
            "p50": _quantile(lateness, 0.5),
            "p99": _quantile(lateness, 0.99),
            "max": int(lateness.max()) if lateness.size else 0,
        },
        "longest_gap_ns": _longest_gap(record.t1[sent], offsets[sent]),
        "clock_step_ns": _clock_step(clock),
        "clock_readings": len(clock),
    }
