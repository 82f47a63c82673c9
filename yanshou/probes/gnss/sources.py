"""A receiver's output as bytes with the time at which they were here: serial port, TCP, UDP behind one small interface.

It must never look into the bytes, drop or mend any. pyserial is for serial ports only: its socket:// loses what is under way
when the far end closes.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from yanshou.harness.basics import ProbeError
from yanshou.probes.gnss.inputs import Serial, Tcp, Udp

TICK_S = 0.1
"""`read` comes back at least this often, so that the caller can look at clock and operator."""
GATHER_S = 0.01
"""A serial port hands out bytes one by one; those of this time make one chunk, or its rows would outweigh them."""
CONNECT_S = 3.0
WRITE_S = 1.0
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A TCP peer that lost its power says nothing: asked after 5 s of silence, it is gone after 20 s."""
BACKOFF_S = (0.1, 0.5)
"""Pause before the next try to open, doubled up to the second: what is sent while nobody listens is gone."""
LARGEST = 1 << 16
LISTED = 8
MOST_SENDERS = 100

Note = Callable[[str, str], None]
"""Takes an event of EVENTS_KNOWN and a text for people."""


class Lost(Exception):
    """The link is gone: unplugged, closed by the far end."""


class Received(NamedTuple):
    """Bytes, and when the first of them was here."""

    monotonic_ns: int
    utc_ns: int
    data: bytes


class ByteSource(Protocol):
    """An open link to a receiver."""

    def read(self) -> Received | None:
        """What has come; None when nothing did within TICK_S. Raises Lost."""

    def write(self, data: bytes) -> None:
        """Send `data` to the receiver. Raises Lost, TimeoutError when it takes none."""

    def close(self) -> None:
        """Give the link back."""


def open_source(receiver: Serial | Tcp | Udp, note: Note) -> ByteSource:
    """The link to a receiver.

    Raises ProbeError GNS-E01 (no such port), E02 (permission), E03 (in use), E04 (baud rate), E07 (name), E08 (no connection).
    """
    if receiver.kind == "serial":
        return SerialSource(receiver)
    return TcpSource(connect(receiver.host, receiver.port)) if receiver.kind == "tcp" else UdpSource(receiver, note)


class SerialSource:
    """A serial port, nobody else's while it is open."""

    def __init__(self, receiver: Serial) -> None:
        import serial

        try:
            self._port = serial.Serial(
                receiver.port, receiver.baud, timeout=TICK_S, write_timeout=WRITE_S, exclusive=True
            )
        except ValueError:
            text = f"{receiver.port} 不支持波特率 {receiver.baud}"
            raise ProbeError("GNS-E04", text, "改正 baud；常用 9600、115200、460800") from None
        except OSError as error:
            raise _serial_problem(receiver.port, error) from None

    def read(self) -> Received | None:
        """What came within GATHER_S of the first byte."""
        try:
            first = self._port.read(1)
        except OSError as error:
            raise Lost(str(error)) from None
        if not first:
            return None
        at = time.monotonic_ns(), time.time_ns()
        time.sleep(GATHER_S)
        rest = b""
        with suppress(OSError):  # the next read says so; the byte at hand is not to be lost
            rest = self._port.read(self._port.in_waiting)
        return Received(*at, first + rest)

    def write(self, data: bytes) -> None:
        """To the receiver's input on the same port."""
        import serial

        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise TimeoutError from None
        except OSError as error:
            raise Lost(str(error)) from None

    def close(self) -> None:
        """Give the port back."""
        with suppress(OSError):
            self._port.close()


def _serial_problem(port: str, error: OSError) -> ProbeError:
    why = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return ProbeError("GNS-E01", f"没有串口 {port}", f"插好接收机或改正 port；{_ports()}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ProbeError("GNS-E02", f"无权打开串口 {port}", "把本用户加入 dialout 组后重新登录，或以 root 运行")
    if error.errno in (errno.EBUSY, errno.EWOULDBLOCK):
        return ProbeError(
            "GNS-E03", f"串口 {port} 正被别的程序占用", "关掉占用它的程序（gpsd、ModemManager、串口助手）"
        )
    return ProbeError("GNS-E01", f"打不开串口 {port}：{' '.join(why.split())}", f"改正 port；{_ports()}")


def _ports() -> str:
    """The serial ports that there are, for people."""
    from serial.tools import list_ports

    found = sorted(p.device for p in list_ports.comports())
    more = f" 等 {len(found)} 个" if len(found) > LISTED else ""
    return f"本机现有：{'、'.join(found[:LISTED])}{more}" if found else "本机现在没有串口"


def connect(host: str, port: int) -> socket.socket:
    """A TCP connection that notices a dead peer. Raises ProbeError GNS-E07 (name), E08."""
    try:
        sock = socket.create_connection((host, port), CONNECT_S)
    except (socket.gaierror, UnicodeError) as error:
        raise unknown_name(host, error) from None
    except OSError as error:
        text = f"连不上 {host} 端口 {port}：{error.strerror or error}"
        raise ProbeError("GNS-E08", text, "核对地址与端口，确认对方在监听、防火墙放行") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    sock.settimeout(WRITE_S)
    return sock


def unknown_name(host: str, error: Exception) -> ProbeError:
    """A name that no resolver knows."""
    return ProbeError("GNS-E07", f"无法解析主机名 {host}：{error}", "检查拼写与本机 DNS，或直接写 IP 地址")


class TcpSource:
    """A connection to a receiver, a serial server before it, or a caster; `begun` was read from it already."""

    def __init__(self, sock: socket.socket, begun: bytes = b"") -> None:
        self._sock, self._begun = sock, begun

    def read(self) -> Received | None:
        """What has come."""
        if self._begun:
            begun, self._begun = self._begun, b""
            return Received(time.monotonic_ns(), time.time_ns(), begun)
        try:
            if not select.select([self._sock], [], [], TICK_S)[0]:
                return None
            at = time.monotonic_ns(), time.time_ns()
            data = self._sock.recv(LARGEST)
        except OSError as error:
            raise Lost(error.strerror or str(error)) from None
        if not data:
            raise Lost("对方关闭了连接")
        return Received(*at, data)

    def write(self, data: bytes) -> None:
        """To the receiver."""
        try:
            self._sock.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise Lost(error.strerror or str(error)) from None

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class UdpSource:
    """Datagrams of one sender, told from others by its IP address."""

    def __init__(self, receiver: Udp, note: Note) -> None:
        self._sender = receiver.sender
        self._note = note
        self._seen: set[tuple[str, int]] = set()
        try:
            family, _, _, _, address = socket.getaddrinfo(receiver.bind, receiver.port, type=socket.SOCK_DGRAM)[0]
        except (OSError, UnicodeError) as error:
            raise unknown_name(receiver.bind, error) from None
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._sock.bind(address)
        except OSError as error:
            self._sock.close()
            busy = error.errno == errno.EADDRINUSE
            text = f"不能在 {receiver.bind} 收 UDP 端口 {receiver.port}：{error.strerror or error}"
            remedy = "关掉占用它的程序，或换一个端口" if busy else "bind 写本机已有的地址；小于 1024 的端口须 root"
            raise ProbeError("GNS-E03" if busy else "GNS-E08", text, remedy) from None

    def read(self) -> Received | None:
        """One datagram; None too when it was somebody else's."""
        try:
            if not select.select([self._sock], [], [], TICK_S)[0]:
                return None
            at = time.monotonic_ns(), time.time_ns()
            data, (host, port, *_) = self._sock.recvfrom(LARGEST)
        except OSError as error:
            raise Lost(error.strerror or str(error)) from None
        self._sender = self._sender or host
        if (host, port) not in self._seen and len(self._seen) < MOST_SENDERS:
            self._seen.add((host, port))
            self._note("sender" if host == self._sender else "foreign", f"{host} 端口 {port}")
        return Received(*at, data) if host == self._sender else None

    def write(self, data: bytes) -> None:
        """Nobody can be reached there."""
        raise TimeoutError

    def close(self) -> None:
        """Give the port back."""
        self._sock.close()


class Returning:
    """A link that is opened again whenever it is lost. Losses and returns are noted; nothing is made up for what was missed."""

    def __init__(
        self, opened: Callable[[], ByteSource], note: Note, where: str, longest_wait_s: float = BACKOFF_S[1]
    ) -> None:
        self._opened, self._note, self._where, self._longest_wait_s = opened, note, where, longest_wait_s
        self._source: ByteSource | None = opened()
        self._wait_s, self._due = BACKOFF_S[0], 0.0
        self.losses = 0
        note("opened", where)

    def read(self) -> Received | None:
        """What has come; None while the link is gone."""
        if self._source is None:
            self._reopen()
            return None
        try:
            got = self._source.read()
        except Lost as lost:
            self._lose(str(lost))
            return None
        if got:
            self._wait_s = BACKOFF_S[0]
        return got

    def write(self, data: bytes) -> bool:
        """Send to the receiver, from another thread than `read`; whether it took it."""
        source = self._source
        if source is None:
            return False
        try:
            source.write(data)
        except (Lost, TimeoutError):  # a link that is gone is found so by `read`
            return False
        return True

    def close(self) -> None:
        """For good."""
        if self._source is not None:
            self._source.close()

    def _lose(self, why: str) -> None:
        assert self._source is not None
        self._source.close()
        self._source = None
        self.losses += 1
        self._later()
        self._note("lost", why)

    def _reopen(self) -> None:
        time.sleep(min(TICK_S, max(0.0, self._due - time.monotonic())))
        if time.monotonic() < self._due:
            return
        try:
            self._source = self._opened()
        except ProbeError:
            self._later()
        else:
            self._note("reopened", self._where)

    def _later(self) -> None:
        """A far end that hangs up at once, again and again, is not run down."""
        self._due = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, self._longest_wait_s)
