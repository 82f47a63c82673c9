"""The sender: an open-loop stream of test packets, one CSV row per packet and per unexpected event.

It is for recording what happened, in time stamps of this host's kernel where it gives them, whatever the packets are: a
`Codec` writes and reads them. It must never wait for a reply before the next packet, never leave a packet out, and never
judge. Its streams are described in `streams`. Runs on bare Python 3.8.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.streams import CLOCK, CLOCK_COLUMNS, END, PACKET_COLUMNS, PACKETS
from yanshou.probes.rtt.timestamps import Received
from yanshou.probes.rtt.timing import ClockReading, read_clocks

_MS = 1_000_000
LEAD_NS = 20 * _MS
SPIN_NS = 50_000
QUIET_NS = 1 * _MS
"""Rows are formatted only when the next packet is further away than this, or half the mean interval where that is less."""
ROWS_AT_ONCE = 32
REPLIES_AT_ONCE = 64
"""A flood from the far end must not hold up the next packet."""
NEWS_NS = 500 * _MS
NEWS_QUIET_NS = 5 * _MS
CLOCK_NS = 1000 * _MS


class Reply(NamedTuple):
    """What a datagram says. `sequence` and `t1_ns` are those of the request, as mirrored; the rest is what the far end claims.

    Times are ns since 1970, 0 where it says nothing; numbers are -1 there. `auth` is "ok" or "bad" where a key is used.
    `follow_ns` is when its reply number `follow_sequence` truly left.
    """

    sequence: int
    t1_ns: int
    t2_ns: int = 0
    t3_ns: int = 0
    auth: str = ""
    reply_sequence: int = -1
    error: int = -1
    follow_sequence: int = -1
    follow_ns: int = 0


NONSENSE = Reply(-1, 0)
"""For a datagram that says nothing: it is recorded as foreign."""


class Codec(Protocol):
    """Writes requests and reads replies of one session."""

    def request(self, sequence: int, t1_ns: int) -> bytes:
        """The packet to send; t1_ns is mirrored by whatever answers it."""

    def reply(self, received: Received) -> Reply | None:
        """What a datagram says; None for one that was never meant for this session and leaves no row."""


class Net(Protocol):
    """What carries requests and replies; `timestamps.StampedSocket` is one."""

    def wait(self, seconds: float) -> None:
        """Sleep until `receive` or `transmitted` may have something, at most so long."""

    def send(self, data: bytes) -> None:
        """Send one request; attempts are numbered 0, 1, ... for `transmitted`. Raises OSError, the number is used up."""

    def transmitted(self) -> Iterator[tuple[int, int]]:
        """(number of the request, kernel transmit stamp) of every stamp that has come since the last call."""

    def receive(self) -> Received | None:
        """The next waiting reply, None when there is none. Raises OSError: ours are rejected, or the connection is gone."""


class FarEnd(NamedTuple):
    """How messages call the far end, and what they advise when it is silent, rejects, or answers something else.

    `rejects`: what an OSError of the net says of it.
    """

    name: str
    if_silent: str
    if_rejecting: str
    if_foreign: str
    rejects: str = "未开放或拒收（收到 ICMP:{}）"

    def silent(self, why: str) -> ProbeError:
        """Nobody answers."""
        return ProbeError("RTT-E01", f"{self.name} 无任何应答({why})", self.if_silent)

    def rejected(self, error: OSError) -> ProbeError:
        """Our packets are not taken."""
        return ProbeError("RTT-E02", f"{self.name} {self.rejects.format(error.strerror or error)}", self.if_rejecting)

    def foreign(self, number: int, forged: int) -> ProbeError:
        """All that answers is not what we asked for."""
        why = f"，其中 {forged} 个认证码不符" if forged else ""
        return ProbeError("RTT-E05", f"{self.name} 的应答无法对应（{number} 个{why}）", self.if_foreign)


def refused_here(error: OSError) -> ProbeError:
    """This host does not permit sending there."""
    return ProbeError(
        "RTT-E04", f"本机不允许发送：{error.strerror or error}", "检查本机防火墙、路由与权限，host 不得为广播地址"
    )


@contextmanager
def errors_of(prefix: str) -> Iterator[None]:
    """What the sender and its surroundings raise as RTT-E.., under the same number of another probe."""
    try:
        yield
    except ProbeError as error:
        problem = error.problem
        raise ProbeError(prefix + problem.code[3:], problem.text, problem.remedy) from None


def json_line(value: Json) -> bytes:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def surroundings(sock: socket.socket, kernel: bool, obtained: dict[str, Json]) -> dict[str, Json]:
    """Addresses, stamps and host of a session, for session.json. `kernel` stamps? `obtained`: what `timing.punctual` gave."""
    return {
        "local": list(sock.getsockname()[:2]),
        "peer": list(sock.getpeername()[:2]),
        "family": socket.AddressFamily(sock.family).name,
        "stamps": "kernel" if kernel else "user",
        "punctuality": obtained,
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": _load(),
    }


def _load() -> list[float]:
    return [round(x, 2) for x in os.getloadavg()]


class _Packet:
    """What is known of one packet, ns; 0 is unknown."""

    __slots__ = (
        "deadline",
        "reply",
        "scheduled",
        "seq",
        "size",
        "status",
        "t1_kernel",
        "t1_user",
        "t4_kernel",
        "t4_user",
        "ttl",
    )

    def __init__(self, seq: int, scheduled: int, t1_user: int, size: int) -> None:
        self.seq, self.scheduled, self.t1_user, self.size = seq, scheduled, t1_user, size
        self.deadline = self.t1_kernel = self.t4_kernel = self.t4_user = self.ttl = 0
        self.reply = NONSENSE
        self.status = ""

    @property
    def round_trip(self) -> int:
        return (self.t4_kernel or self.t4_user) - (self.t1_kernel or self.t1_user)

    @property
    def news(self) -> float:
        """Round trip in ms as it will be judged, as far as known now: net of a proven far end's residence."""
        residence = self.reply.t3_ns - self.reply.t2_ns if self.reply.auth == "ok" else 0
        return (self.round_trip - residence) / _MS


class Sender:
    """One session. A single thread does everything, so that nothing but the kernel and Python's own locks can delay it."""

    def __init__(self, traffic: Traffic, codec: Codec, net: Net, far: FarEnd, run: RunContext) -> None:
        self._traffic, self._codec, self._net, self._far, self._run = traffic, codec, net, far, run
        self._total, self._offsets, self._timeout = traffic.total, traffic.offsets(), traffic.timeout_ns
        self._quiet = min(QUIET_NS, round(traffic.interval_ms * _MS / 2))
        self._rows = run.sink.stream(PACKETS)
        self._clock = run.sink.stream(CLOCK)
        self._rows.write(PACKET_COLUMNS.encode() + b"\n")
        self._clock.write(CLOCK_COLUMNS.encode() + b"\n")
        self._sent_at = array("q", bytes(8 * self._total))  # T1 as written into each packet, 0 before it is sent
        self._answered = bytearray(self._total)
        self._flying: dict[int, _Packet] = {}
        self._unwritten: deque[_Packet] = deque()
        self._written = self._next = self._valid = self._foreign = self._forged = 0
        self._warm = self._done = self._lost = 0
        self._fresh: list[float] = []
        self._start = self._real = self._clock_due = self._news_due = 0

    def run(self) -> None:
        """Send everything and record every fate. Raises ProbeError RTT-E01, E02, E04, E05; rows so far are kept."""
        reading = self._write_clock()
        now = reading.after
        self._start = now + LEAD_NS
        self._real = reading.realtime - now  # the schedule runs on MONOTONIC and is written on the clock of the stamps
        self._clock_due, self._news_due = now + CLOCK_NS, now + NEWS_NS
        try:
            self._loop()
        finally:
            while self._unwritten:
                self._write_rows()
            self._write_clock()
            end = {"rows": self._written, "sent": self._next, "unanswered": len(self._flying), "load": _load()}
            self._run.sink.stream(END).write(json_line(end))
        self._tell()

    def _loop(self) -> None:
        while self._next < self._total or self._flying:
            if self._next < self._total and self._due() - time.monotonic_ns() <= SPIN_NS:
                self._send()
            self._collect()
            now = time.monotonic_ns()
            self._expire(now)
            wake = self._due() - SPIN_NS if self._next < self._total else now + QUIET_NS * 2
            if wake - now > self._quiet:
                self._use_gap(now, wake)
            wake = min(wake, now + CLOCK_NS)
            if self._flying:
                wake = min(wake, next(iter(self._flying.values())).deadline)
            left = wake - time.monotonic_ns()
            if left > 0:
                self._net.wait(left / 1e9)

    def _due(self) -> int:
        return self._start + self._offsets[self._next]

    def _send(self) -> None:
        due = self._due()
        while time.monotonic_ns() < due:
            pass
        seq, self._next = self._next, self._next + 1
        t1 = time.time_ns()
        packet = _Packet(seq, due + self._real, t1, self._traffic.size)
        try:
            self._net.send(self._codec.request(seq, t1))
        except ConnectionRefusedError as error:
            raise self._far.rejected(error) from None
        except PermissionError as error:
            raise refused_here(error) from None
        except OSError:  # no route for a moment, no buffer: planned and not sent
            packet.t1_user = 0
            self._finish(packet, "unsent")
            return
        self._sent_at[seq] = t1
        packet.deadline = time.monotonic_ns() + self._timeout
        self._flying[seq] = packet

    def _collect(self) -> None:
        """Everything the kernel holds for us: transmit stamps first, so that a reply finds its packet's stamp."""
        for number, stamp in self._net.transmitted():
            packet = self._flying.get(number)
            if packet is not None and stamp >= packet.t1_user:
                packet.t1_kernel = stamp
        try:
            for _ in range(REPLIES_AT_ONCE):
                received = self._net.receive()
                if received is None:
                    return
                reply = self._codec.reply(received)
                if reply is not None:
                    self._take(received, reply)
        except OSError as error:
            raise self._far.rejected(error) from None

    def _take(self, received: Received, reply: Reply) -> None:
        seq, found = reply.sequence, None
        if not self._is_ours(reply):
            self._foreign += 1
            self._forged += reply.auth == "bad"
            packet, status = _Packet(seq, 0, 0, 0), "foreign"
        else:
            self._valid += 1
            found = self._flying.pop(seq, None)
            packet = found or _Packet(seq, self._start + self._offsets[seq] + self._real, self._sent_at[seq], 0)
            status = "dup" if self._answered[seq] else "ok" if found else "late"
            self._answered[seq] = 1
        packet.reply = reply
        packet.t4_kernel, packet.t4_user = received.kernel_ns, received.user_ns
        packet.size, packet.ttl = len(received.data), received.ttl
        if status == "ok" and packet.round_trip > self._timeout:
            status = "late"
        if found and status in ("ok", "late"):
            self._finish(packet, status)
        else:
            packet.status = status
            self._unwritten.append(packet)

    def _is_ours(self, reply: Reply) -> bool:
        seq = reply.sequence
        return reply.auth != "bad" and 0 <= seq < self._next and reply.t1_ns == self._sent_at[seq]

    def _expire(self, now: int) -> None:
        while self._flying:
            packet = next(iter(self._flying.values()))
            if packet.deadline > now:
                return
            del self._flying[packet.seq]
            self._finish(packet, "lost")

    def _finish(self, packet: _Packet, status: str) -> None:
        """The fate of a packet is known: queue its row. Raises ProbeError when all of the warm-up went unanswered."""
        packet.status = status
        self._unwritten.append(packet)
        if packet.seq >= self._traffic.warmup:
            self._done += 1
            self._lost += status != "ok"
            self._fresh.append(packet.news if status == "ok" else float("inf"))
            return
        self._warm += 1
        if self._warm == self._traffic.warmup and not self._valid:
            if self._foreign:
                raise self._far.foreign(self._foreign, self._forged)
            raise self._far.silent(f"{self._warm} 个预热包全部未答")

    def _use_gap(self, now: int, until: int) -> None:
        """Work that may take a moment, done while no packet is due."""
        if self._unwritten:
            self._write_rows()
        if now >= self._clock_due:
            self._clock_due = now + CLOCK_NS
            self._write_clock()
        overdue = now - self._news_due
        if overdue >= 0 and (until - now > NEWS_QUIET_NS or overdue > NEWS_NS):
            self._news_due = now + NEWS_NS
            self._tell()

    def _tell(self) -> None:
        values, self._fresh = self._fresh, []
        text = "" if self._done else f"预热 {self._warm}/{self._traffic.warmup}"
        self._run.progress(Progress(self._done, self._traffic.count, self._lost, values, text))

    def _write_clock(self) -> ClockReading:
        reading = read_clocks()
        self._clock.write(",".join(map(str, reading)).encode() + b"\n")
        return reading

    def _write_rows(self) -> None:
        number = min(ROWS_AT_ONCE, len(self._unwritten))
        self._rows.write("".join(self._row(self._unwritten.popleft()) for _ in range(number)).encode())
        self._written += number

    def _row(self, p: _Packet) -> str:
        phase = "" if p.status == "foreign" else "warmup" if p.seq < self._traffic.warmup else "measure"
        r = p.reply
        follow = ("", "") if r.follow_ns == 0 else (r.follow_sequence, r.follow_ns)
        times = (p.scheduled, p.t1_user, p.t1_kernel, r.t2_ns, r.t3_ns, p.t4_kernel, p.t4_user)
        cells: tuple[Any, ...] = (
            _number(p.seq),
            phase,
            *(t or "" for t in times),
            p.size,
            p.status,
            p.ttl or "",
            r.auth,
            _number(r.reply_sequence),
            _number(r.error),
            *follow,
        )
        return ",".join(map(str, cells)) + "\n"


def _number(value: int) -> Any:
    return "" if value < 0 else value
