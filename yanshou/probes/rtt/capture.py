"""The sender: an open-loop stream of STAMP packets, one CSV row per packet and per unexpected event.

It is for recording what happened, in time stamps of this host's kernel where it gives them. It must never wait for a reply
before the next packet, never leave a packet out, and never judge.

Its streams are described in `streams`.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.rtt.schedule import send_offsets
from yanshou.probes.rtt.stamp import pack_request, unpack_reply
from yanshou.probes.rtt.streams import CLOCK, CLOCK_COLUMNS, END, PACKET_COLUMNS, PACKETS, SESSION
from yanshou.probes.rtt.timestamps import Received, StampedSocket
from yanshou.probes.rtt.timing import ClockReading, punctual, read_clocks

if TYPE_CHECKING:
    from yanshou.probes.rtt.spec import Params

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


@dataclass(slots=True)
class _Packet:
    """What is known of one packet, ns; 0 is unknown."""

    seq: int
    scheduled: int
    t1_user: int
    deadline: int = 0
    t1_kernel: int = 0
    t2: int = 0
    t3: int = 0
    t4_kernel: int = 0
    t4_user: int = 0
    size: int = 0
    status: str = ""
    ttl: int = 0

    @property
    def round_trip(self) -> int:
        return (self.t4_kernel or self.t4_user) - (self.t1_kernel or self.t1_user)


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError: RTT-E01 nobody answers, E02 rejected there, E03 name, E04 refused here, E05 not STAMP."""
    with _connected(params.host, params.port) as sock, punctual() as obtained:
        net = StampedSocket(sock, transmit=True)
        run.sink.stream(SESSION).write(_json(_session(params, run.seed, sock, net.kernel, obtained)))
        _Sender(params, run, sock, net).run()


@contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        raise ProbeError(
            "RTT-E03", f"无法解析主机名 {host}:{error}", "检查 host 的拼写与本机 DNS，或直接写 IP 地址"
        ) from None
    with socket.socket(family, kind, protocol) as sock:
        try:
            sock.connect(address)
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                raise _silent(host, port, error.strerror or str(error)) from None
            raise _refused_here(error) from None
        yield sock


def _silent(host: str, port: int, why: str) -> ProbeError:
    remedy = "确认网络可达、对端已运行 yanshou reflect、防火墙放行该 UDP 端口（双向）"
    return ProbeError("RTT-E01", f"{host} 端口 {port} 无任何应答({why})", remedy)


def _rejected(params: Params, error: OSError) -> ProbeError:
    remedy = f"在对端运行 yanshou reflect --port {params.port}，或改正 host 与 port、放行防火墙"
    text = f"{params.host} 端口 {params.port} 未开放或拒收（收到 ICMP:{error.strerror or error}）"
    return ProbeError("RTT-E02", text, remedy)


def _refused_here(error: OSError) -> ProbeError:
    return ProbeError(
        "RTT-E04", f"本机不允许发送：{error.strerror or error}", "检查本机防火墙、路由与权限，host 不得为广播地址"
    )


def _json(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _load() -> list[float]:
    return [round(x, 2) for x in os.getloadavg()]


def _session(
    params: Params, seed: int, sock: socket.socket, kernel: bool, obtained: dict[str, Json]
) -> dict[str, Json]:
    return {
        "format": "yanshou/rtt/1",
        "params": params.model_dump(mode="json"),
        "seed": seed,
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


class _Sender:
    """One session. A single thread does everything, so that nothing but the kernel and Python's own locks can delay it."""

    def __init__(self, params: Params, run: RunContext, sock: socket.socket, net: StampedSocket) -> None:
        self._params, self._run, self._sock, self._net = params, run, sock, net
        self._total = params.warmup + params.count
        self._offsets = send_offsets(params.schedule, self._total, params.interval_ms, params.min_interval_ms, run.seed)
        self._timeout = round(params.timeout_ms * _MS)
        self._quiet = min(QUIET_NS, round(params.interval_ms * _MS / 2))
        self._rows = run.sink.stream(PACKETS)
        self._clock = run.sink.stream(CLOCK)
        self._rows.write(PACKET_COLUMNS.encode() + b"\n")
        self._clock.write(CLOCK_COLUMNS.encode() + b"\n")
        self._sent_at = array("q", bytes(8 * self._total))  # T1 as written into each packet, 0 before it is sent
        self._answered = bytearray(self._total)
        self._flying: dict[int, _Packet] = {}
        self._unwritten: deque[_Packet] = deque()
        self._written = self._next = self._valid = self._foreign = self._warm = self._done = self._lost = 0
        self._fresh: list[float] = []
        self._start = self._real = self._clock_due = self._news_due = 0

    def run(self) -> None:
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
            self._run.sink.stream(END).write(_json(end))
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
                select.select((self._sock,), (), (), left / 1e9)

    def _due(self) -> int:
        return self._start + self._offsets[self._next]

    def _send(self) -> None:
        due = self._due()
        while time.monotonic_ns() < due:
            pass
        seq, self._next = self._next, self._next + 1
        t1 = time.time_ns()
        packet = _Packet(seq, due + self._real, t1, size=self._params.size)
        try:
            self._net.send(pack_request(seq, t1, self._params.size))
        except ConnectionRefusedError as error:
            raise _rejected(self._params, error) from None
        except PermissionError as error:
            raise _refused_here(error) from None
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
                self._reply(received)
        except OSError as error:
            raise _rejected(self._params, error) from None

    def _reply(self, received: Received) -> None:
        reply = unpack_reply(received.data)
        if reply is None or not self._is_ours(reply.sender_sequence, reply.sender_ns):
            self._foreign += 1
            packet, status = _Packet(-1 if reply is None else reply.sender_sequence, 0, 0), "foreign"
        else:
            self._valid += 1
            seq = reply.sender_sequence
            found = self._flying.pop(seq, None)
            packet = found or _Packet(seq, self._start + self._offsets[seq] + self._real, self._sent_at[seq])
            status = "dup" if self._answered[seq] else "ok" if found else "late"
            self._answered[seq] = 1
            packet.t2, packet.t3 = reply.received_ns, reply.transmitted_ns
        packet.t4_kernel, packet.t4_user = received.kernel_ns, received.user_ns
        packet.size, packet.ttl = len(received.data), received.ttl
        if status == "ok" and packet.round_trip > self._timeout:
            status = "late"
        if status == "ok" or (status == "late" and found):
            self._finish(packet, status)
        else:
            packet.status = status
            self._unwritten.append(packet)

    def _is_ours(self, seq: int, sent_ns: int) -> bool:
        return seq < self._next and sent_ns == self._sent_at[seq]

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
        if packet.seq >= self._params.warmup:
            self._done += 1
            self._lost += status != "ok"
            self._fresh.append(packet.round_trip / _MS if status == "ok" else float("inf"))
            return
        self._warm += 1
        if self._warm == self._params.warmup and not self._valid:
            if self._foreign:
                text = f"反射端应答不是 STAMP（收到 {self._foreign} 个无法对应的应答）"
                raise ProbeError("RTT-E05", text, "确认 port 上运行的是 yanshou reflect 或符合 RFC 8762 的反射器")
            raise _silent(self._params.host, self._params.port, f"{self._warm} 个预热包全部未答")

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
        text = "" if self._done else f"预热 {self._warm}/{self._params.warmup}"
        self._run.progress(Progress(self._done, self._params.count, self._lost, values, text))

    def _write_clock(self) -> ClockReading:
        reading = read_clocks()
        self._clock.write(",".join(map(str, reading)).encode() + b"\n")
        return reading

    def _write_rows(self) -> None:
        number = min(ROWS_AT_ONCE, len(self._unwritten))
        self._rows.write("".join(self._row(self._unwritten.popleft()) for _ in range(number)).encode())
        self._written += number

    def _row(self, p: _Packet) -> str:
        phase = "" if p.status == "foreign" else "warmup" if p.seq < self._params.warmup else "measure"
        times: tuple[Any, ...] = (p.scheduled, p.t1_user, p.t1_kernel, p.t2, p.t3, p.t4_kernel, p.t4_user)
        seq = "" if p.seq < 0 else p.seq
        return f"{seq},{phase},{','.join(str(t or '') for t in times)},{p.size},{p.status},{p.ttl or ''}\n"
