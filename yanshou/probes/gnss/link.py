"""How well the receiver's link carried what it had to say, and which corrections went to it. Pure.

It must never excuse a missing epoch: what the link lost is missing like any other, here is only said why.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.probes.gnss.streams import (
    BLOCK,
    CHUNKS,
    CORRECTION_CHUNKS,
    CORRECTIONS,
    parts,
    read_end,
    read_events,
    read_session,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.harness.evidence import RunEvidence

BITS = 10
"""On a serial line each byte has a start and a stop bit."""
FULL = 0.9
"""Of the line, in its busiest second: a few bytes more, and a receiver drops sentences or holds them back."""
GAP_S = 5.0
"""Silence on a link that is up, which no output rate of 1 Hz or more explains."""
HELD_UP_S = 1.0
STEP_S = 0.1
"""A clock that is merely slewed (at most 500 ppm) moves less between two chunks."""
BEIDOU = range(1121, 1128)
"""Observations of BeiDou: MSM1 to MSM7 of RTCM 10403.3."""
LONGEST = 4096
"""Of a text sentence."""
_FULL_BUFFER = re.compile(rb"\$G[A-Z]TXT,[^\r\n]*txbuf")
"""u-blox: what there was to say did not fit into its transmit buffer."""


@dataclass(frozen=True)
class Arrivals:
    """What the rows of a tape say. `steps`: how often the UTC clock of this host jumped against its monotonic one."""

    bytes: int = 0
    seconds: float = 0.0
    busiest: int = 0
    gaps: int = 0
    longest_gap_s: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Corrections:
    """What the caster sent: whole RTCM 3 messages by number, octets that belong to none, and interruptions."""

    arrivals: Arrivals
    messages: Mapping[int, int]
    other: int
    losses: int
    untaken: int


@dataclass(frozen=True)
class Link:
    """`baud` is None where there is no serial line, `arrivals` and `corrections` where nobody recorded them."""

    bytes: int
    baud: int | None
    arrivals: Arrivals | None
    losses: int = 0
    away_s: float = 0.0
    full_buffer: int = 0
    foreign: tuple[str, ...] = ()
    corrections: Corrections | None = None

    @property
    def loads(self) -> tuple[float, float] | None:
        """Share of the line that was used: on average, and in the busiest second."""
        if self.baud is None or self.arrivals is None or self.arrivals.seconds <= 0:
            return None
        up = max(self.arrivals.seconds - self.away_s, 1.0)
        return self.arrivals.bytes * BITS / up / self.baud, self.arrivals.busiest * BITS / self.baud

    def to_json(self) -> dict[str, Json]:
        """For the record."""
        told: dict[str, Json] = {
            "bytes": self.bytes, "baud": self.baud, "losses": self.losses, "away_s": self.away_s,
            "full_buffer": self.full_buffer, "foreign": list(self.foreign),
        }  # fmt: skip
        if self.arrivals:
            told |= {"gaps": self.arrivals.gaps, "longest_gap_s": self.arrivals.longest_gap_s}
        if self.loads:
            told |= dict(zip(("load", "load_peak"), self.loads, strict=True))
        if self.corrections:
            messages = {str(number): count for number, count in sorted(self.corrections.messages.items())}
            told["corrections"] = {
                "bytes": self.corrections.arrivals.bytes, "messages": messages, "other": self.corrections.other,
                "losses": self.corrections.losses, "untaken": self.corrections.untaken,
                "longest_gap_s": self.corrections.arrivals.longest_gap_s,
            }  # fmt: skip
        return told


def link_of(evidence: RunEvidence) -> Link:
    """Everything that a run's evidence says about its link. Raises ValueError."""
    session = read_session(evidence)
    while "session" in session:  # taken from another run
        session = session["session"]
    told = session["input"]
    events, end = read_events(evidence), read_end(evidence) or {}
    gone = [e.monotonic_ns for e in events if e.event == "lost"]
    back = [e.monotonic_ns for e in events if e.event == "reopened"]
    back += [int(end.get("monotonic_ns", gone[-1]))] * (len(gone) - len(back)) if gone else []
    corrections = None
    if CORRECTIONS in evidence.streams():
        messages, other = read_messages(evidence)
        losses = sum(e.event == "caster_lost" for e in events)
        corrections = Corrections(
            read_arrivals(evidence, CORRECTION_CHUNKS), messages, other, losses, int(end.get("untaken", 0))
        )
    size, full_buffer = _search(evidence)
    return Link(
        size,
        told.get("receiver", told).get("baud"),
        read_arrivals(evidence, CHUNKS) if CHUNKS in evidence.streams() else None,
        len(gone),
        sum(b - a for a, b in zip(gone, back, strict=True)) / 1e9,
        full_buffer,
        tuple(e.text for e in events if e.event == "foreign"),
        corrections,
    )


def _search(evidence: RunEvidence) -> tuple[int, int]:
    """Bytes of all raw streams, and how often a receiver complained about its transmit buffer."""
    size = found = 0
    for name in parts(evidence):
        rest = b""
        with evidence.open(name) as f:
            while data := f.read(BLOCK):
                size += len(data)
                whole, newline, rest = (rest + data).rpartition(b"\n")
                found += len(_FULL_BUFFER.findall(whole + newline))
                rest = rest[-LONGEST:]
        found += len(_FULL_BUFFER.findall(rest))
    return size, found


def read_arrivals(evidence: RunEvidence, name: str) -> Arrivals:
    """The rows of a tape, block by block. Raises ValueError."""
    import numpy as np

    total = gaps = steps = busiest = 0
    first = last = second = in_second = 0
    longest = 0
    offset: int | None = None
    for rows in _blocks(evidence, name):
        length, monotonic, utc = rows[:, 1], rows[:, 2], rows[:, 3]
        begin = offset is None
        first = int(monotonic[0]) if begin else first
        waits = np.diff(monotonic, prepend=monotonic[0] if begin else last)
        offsets = utc - monotonic
        moved = np.diff(offsets, prepend=offsets[0] if offset is None else offset)
        seconds, where = np.unique(monotonic // 10**9, return_inverse=True)
        counts = np.bincount(where, length).astype(np.int64)
        if not begin and seconds[0] == second:
            counts[0] += in_second
        total += int(length.sum())
        gaps += int((waits > GAP_S * 1e9).sum())
        longest = max(longest, int(waits.max()))
        steps += int((np.abs(moved) > STEP_S * 1e9).sum())
        busiest = max(busiest, int(counts.max()))
        last, offset, second, in_second = int(monotonic[-1]), int(offsets[-1]), int(seconds[-1]), int(counts[-1])
    return Arrivals(total, (last - first) / 1e9, busiest, gaps, longest / 1e9, steps)


def _blocks(evidence: RunEvidence, name: str) -> Iterator[NDArray[np.int64]]:
    """Whole rows as int64, shape (n, 4)."""
    import numpy as np

    with evidence.open(name) as f:
        f.readline()
        rest = b""
        while data := f.read(BLOCK):
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield np.loadtxt(io.BytesIO(whole), dtype=np.int64, delimiter=",", ndmin=2)


def read_messages(evidence: RunEvidence) -> tuple[dict[int, int], int]:
    """({message number: how many} of the RTCM 3 messages in corrections.bin whose CRC is right, octets that belong to none)."""
    found: Counter[int] = Counter()
    other, rest = 0, b""
    with evidence.open(CORRECTIONS) as f:
        while block := f.read(BLOCK):
            junk, rest = _messages(rest + block, found)
            other += junk
    while rest:  # cut off, or no message at all but the sign of one
        junk, rest = _messages(rest[1:], found)
        other += 1 + junk
    return dict(found), other


def _messages(data: bytes, found: Counter[int]) -> tuple[int, bytes]:
    """(octets that belong to no message, the beginning of one that is not whole yet); whole ones go into `found`.

    RTCM 10403: preamble 0xD3, six zero bits, ten bits of length, the message, CRC-24Q over all of it.
    """
    at = junk = 0
    while (start := data.find(0xD3, at)) >= 0:
        junk, at = junk + start - at, start
        if len(data) - at < 3:
            return junk, data[at:]
        length = (data[at + 1] & 3) << 8 | data[at + 2]
        end = at + 3 + length + 3
        if data[at + 1] & 0xFC == 0 and end > len(data):
            return junk, data[at:]
        if data[at + 1] & 0xFC == 0 and length >= 2 and crc24q(data[at:end]) == 0:
            found[data[at + 3] << 4 | data[at + 4] >> 4] += 1
            at = end
        else:
            junk, at = junk + 1, at + 1
    return junk + len(data) - at, b""


def _table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        value = octet << 16
        for _ in range(8):
            value = value << 1 ^ (0x1864CFB if value & 0x800000 else 0)
        table.append(value)
    return tuple(table)


_CRC24Q = _table()


def crc24q(data: bytes) -> int:
    """CRC-24Q (polynomial 0x1864CFB, start 0); 0 over a message with its own CRC."""
    value = 0
    for octet in data:
        value = (value << 8 & 0xFFFFFF) ^ _CRC24Q[value >> 16 ^ octet]
    return value


def link_findings(link: Link) -> Iterator[Validity]:
    """What is to be said of a link. None of it voids a run: what did not come is counted as missing anyway."""
    warning = Severity.WARNING
    if link.loads and link.loads[1] >= FULL:
        text = f"串口最忙的一秒用到 {link.loads[1]:.0%}（平均 {link.loads[0]:.0%}）：再多就会丢句或迟到，提高波特率或少输出几种语句"
        yield Validity("GNS-V50", warning, text)
    if link.full_buffer:
        yield Validity("GNS-V51", warning, f"接收机 {link.full_buffer} 次自报发送缓冲区已满：有输出被它自己丢弃")
    if link.losses:
        text = f"链路断开 {link.losses} 次，共 {link.away_s:.1f} s：缺的历元照缺计；前后接的是否同一台，由见证人确认"
        yield Validity("GNS-V52", warning, text)
    arrivals = link.arrivals
    if arrivals is None:
        yield Validity("GNS-V53", warning, "没有到达时刻：线路负载、延迟、本机时钟，以及是否当时录下，都无从核对")
    elif arrivals.gaps > link.losses:
        text = f"链路未断而无输出超过 {GAP_S:g} s 的有 {arrivals.gaps - link.losses} 次，最长 {arrivals.longest_gap_s:.1f} s"
        yield Validity("GNS-V54", warning, text)
    if arrivals and arrivals.steps:
        text = f"本机时钟在录取中跳变 {arrivals.steps} 次：到达时刻与步骤时刻不可尽信，关掉对时跳变后重测"
        yield Validity("GNS-V55", warning, text)
    if link.foreign:
        text = f"另有 {len(link.foreign)} 个来源向同一端口发送（{'、'.join(link.foreign[:3])}），没有收录"
        yield Validity("GNS-V56", warning, text)
    if link.corrections:
        yield from _correction_findings(link.corrections)


def _correction_findings(corrections: Corrections) -> Iterator[Validity]:
    warning = Severity.WARNING
    if not any(number in BEIDOU for number in corrections.messages):
        told = "、".join(map(str, sorted(corrections.messages))) or "没有一条完整的 RTCM 3 电文"
        yield Validity("GNS-V57", warning, f"差分里没有北斗的观测值（RTCM 1121–1127），只有：{told}")
    if corrections.losses or corrections.untaken:
        text = f"差分中断 {corrections.losses} 次，接收机没有收下的 {corrections.untaken} 字节"
        yield Validity("GNS-V58", warning, text)


@dataclass(frozen=True)
class Delays:
    """Arrival here minus the time in the sentence, seconds: this host's clock error and the receiver's latency together."""

    median_s: float
    p01_s: float
    p99_s: float

    def to_json(self) -> dict[str, Json]:
        """For the record."""
        return {"delay_median_s": self.median_s, "delay_p01_s": self.p01_s, "delay_p99_s": self.p99_s}


def read_delays(t_ns: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> Delays | None:
    """Of all epochs whose arrival was noted (not 0); None where there are none."""
    import numpy as np

    known = arrival_ns > 0
    if not known.any():
        return None
    p01, median, p99 = np.quantile((arrival_ns[known] - t_ns[known]) / 1e9, (0.01, 0.5, 0.99))
    return Delays(float(median), float(p01), float(p99))


def delay_findings(delays: Delays) -> Iterator[Validity]:
    """Whether epochs came when they were due."""
    if (spread := delays.p99_s - delays.median_s) > HELD_UP_S:
        text = f"有的历元比多数迟到 {spread:.1f} s（99 % 分位）：输出被攒着成批送来，实时性与位移检验的用时据此打折扣"
        yield Validity("GNS-V59", Severity.WARNING, text)
