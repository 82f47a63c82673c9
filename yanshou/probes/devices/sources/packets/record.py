"""Takes a capture into evidence: a file byte for byte, or live packets of an interface as a classic pcap in nanoseconds.

It is for freezing what passed by. It must never send a packet, and never count one. Streams: `capture.pcap` or
`capture.pcapng`, and `session.json`, written last: {"origin": "file" | "interface", …} and, for a live capture, the kernel's
own number of packets that it had to drop.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.packets.params import Source
from yanshou.probes.devices.sources.packets.read import CAPTURES, SESSION

PCAP_NS = 0xA1B23C4D
"""Magic of a classic pcap whose time stamps are in nanoseconds."""
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
ARPHRD = {1: LINKTYPE_ETHERNET, 772: LINKTYPE_ETHERNET, 65534: LINKTYPE_RAW, 519: LINKTYPE_RAW}
"""Kernel hardware type -> link type: Ethernet, loopback, none (TUN, WireGuard), raw IP (cellular modems)."""
ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_AUXDATA = 263, 1, 6, 8
PACKET_MR_PROMISC = 1
PACKET_OUTGOING, LOOPBACK = 4, 772
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
ETH_P_8021Q = 0x8100
VLAN_AT = 12
"""Where the kernel took the VLAN tag out of the frame."""
BUFFER = 64 << 20
ANCILLARY = 256
NEWS_S = 0.5
AT_ONCE = 1000
"""Packets between two looks at `stop`."""


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """A file at once, an interface until `stop` or until the evidence is as large as it may be.

    Raises ProbeError PKT-E01 (no such file, or not readable), E02 (not a capture), E03 (no such interface, or none of its
    kind), E04 (not allowed), E05 (changed while copied).
    """
    if source.file is not None:
        _import(run.folder / source.file, run)
    elif source.interface is not None:
        _listen(source, source.interface, run, stop)


def _import(path: Path, run: RunContext) -> None:
    try:
        with path.open("rb") as f:
            magic = f.read(4)
        before = path.stat()
    except OSError as error:
        raise ProbeError(
            "PKT-E01", f"读不了抓包文件 {path.name}：{error.strerror}", "放进案卷文件夹，或改正 file 的路径"
        ) from None
    classic = {struct.pack(order + "I", word) for order in "<>" for word in (0xA1B2C3D4, PCAP_NS)}
    if magic != PCAPNG_MAGIC and magic not in classic:
        raise ProbeError("PKT-E02", f"{path.name} 不是 pcap 或 pcapng", "用 Wireshark 另存为 pcapng；压缩过的先解开")
    run.progress(Progress(0, 0))
    name = CAPTURES[magic == PCAPNG_MAGIC]
    sha256 = run.sink.attach(path, name)
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ProbeError("PKT-E05", f"{path.name} 在导入时被改动", "等抓包结束后重新运行")
    _close(run, {"origin": "file", "name": path.name, "bytes": after.st_size, "sha256": sha256})


def _close(run: RunContext, session: dict[str, Json]) -> None:
    run.sink.stream(SESSION).write(json.dumps(session, ensure_ascii=False, sort_keys=True).encode() + b"\n")


def _listen(source: Source, interface: str, run: RunContext, stop: threading.Event) -> None:
    if sys.platform != "linux":
        raise ProbeError("PKT-E04", "只有 Linux 能直接抓包", "用 Wireshark 或 dumpcap 抓成文件，写 file")
    link_type = _link_type(interface)
    with contextlib.closing(_socket(interface)) as sock:
        stream = run.sink.stream(CAPTURES[False])
        stream.write(struct.pack("=IHHiIII", PCAP_NS, 2, 4, 0, 0, source.snaplen, link_type))
        run.progress(Progress(0, 0))
        start_ns, written, packets, news = time.time_ns(), 24, 0, time.monotonic()
        room = source.largest_mb * 10**6
        full = False
        while not stop.is_set() and not full:
            ready, _, _ = select.select((sock,), (), (), 0.2)
            for frame in _frames(sock, source.snaplen, link_type == LINKTYPE_ETHERNET) if ready else ():
                block = struct.pack("=IIII", *divmod(frame.t_ns, 10**9), len(frame.data), frame.length) + frame.data
                stream.write(block)
                written, packets = written + len(block), packets + 1
                if full := written >= room:
                    break
            if time.monotonic() - news >= NEWS_S:
                news = time.monotonic()
                run.progress(Progress(0, 0, text=f"{packets} 包"))
        seen, dropped = struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    _close(
        run,
        {
            "origin": "interface", "interface": interface, "link_type": link_type, "snaplen": source.snaplen,
            "start_ns": start_ns, "end_ns": time.time_ns(), "packets": packets, "full": full,
            "kernel_packets": seen, "kernel_dropped": dropped,
        },
    )  # fmt: skip


def _link_type(interface: str) -> int:
    try:
        hardware = int((Path("/sys/class/net") / interface / "type").read_text())
        return ARPHRD[hardware]
    except KeyError:
        raise ProbeError(
            "PKT-E03", f"接口 {interface} 的类型（{hardware}）不能抓", "换用以太网接口，或用 dumpcap 抓成文件"
        ) from None
    except (OSError, ValueError):
        known = [name for _, name in socket.if_nameindex()]
        raise ProbeError("PKT-E03", f"本机没有接口 {interface}", f"现有：{'、'.join(known)}") from None


def _socket(interface: str) -> socket.socket:
    """A packet socket that sees everything on `interface`. Raises ProbeError."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        remedy = f"以 root 运行；或运行 dumpcap -i {interface} -w 抓包.pcapng，再写 file: 抓包.pcapng"
        raise ProbeError("PKT-E04", "没有抓包的权限", remedy) from None
    try:
        for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
                break
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.bind((interface, ETH_P_ALL))
        promiscuous = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, promiscuous)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ProbeError(
            "PKT-E03", f"不能在接口 {interface} 上抓：{error.strerror}", "把接口启用（ip link set … up）后重新运行"
        ) from None
    return sock


@dataclass(frozen=True, slots=True)
class _Frame:
    t_ns: int
    data: bytes
    length: int


def _frames(sock: socket.socket, snaplen: int, ethernet: bool) -> Iterator[_Frame]:
    """What the kernel has ready, with VLAN tags back where they were."""
    for _ in range(AT_ONCE):
        try:
            data, ancillary, _, (_, _, direction, hardware, _) = sock.recvmsg(snaplen, ANCILLARY)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # the interface went down: it may come back within the window
                raise
            return
        if direction == PACKET_OUTGOING and hardware == LOOPBACK:
            continue  # it comes in again at once
        t_ns, length, tag = 0, len(data), b""
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@ll", value[: struct.calcsize("@ll")])
                t_ns = seconds * 10**9 + nanoseconds
            elif level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, length, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
                if ethernet and status & TP_STATUS_VLAN_VALID:
                    tag = struct.pack("!HH", tpid if status & TP_STATUS_VLAN_TPID_VALID else ETH_P_8021Q, tci)
        data = (data[:VLAN_AT] + tag + data[VLAN_AT:])[:snaplen]
        yield _Frame(t_ns or time.time_ns(), data, length + len(tag))
