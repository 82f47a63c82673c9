"""Listening on an interface of this host: every frame as the kernel saw it, and how many it had to drop (Linux).

It is for captures of live packets. It must never send one, and never judge one. Runs on bare Python 3.8.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yanshou.harness.basics import ProbeError, refusal

LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
ARPHRD = {1: LINKTYPE_ETHERNET, 772: LINKTYPE_ETHERNET, 65534: LINKTYPE_RAW, 519: LINKTYPE_RAW}
"""Kernel hardware type -> link type: Ethernet, loopback, none (TUN, WireGuard), raw IP (cellular modems)."""
ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_AUXDATA = 263, 1, 6, 8
PACKET_MR_PROMISC = 1
PACKET_OTHERHOST, PACKET_OUTGOING, LOOPBACK = 3, 4, 772
"""How a frame came by: addressed to another host, sent by this one; else it was for this host."""
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
ETH_P_8021Q = 0x8100
VLAN_AT = 12
"""Where the kernel took the VLAN tag out of the frame."""
BUFFER = 64 << 20
ANCILLARY = 256
AT_ONCE = 1000
"""Frames before the caller gets a chance to look at something else."""


class Frame(NamedTuple):
    """One frame: UTC ns, its first octets, its length, and how it came by."""

    t_ns: int
    data: bytes
    length: int
    kind: int


def link_type(interface: str, elsewhere: str = "换用装有 Linux 的主机") -> int:
    """What frames on `interface` begin with. `elsewhere`: what to do on other systems. Raises ProbeError PKT-E03, PKT-E04."""
    if sys.platform != "linux":
        raise ProbeError("PKT-E04", "只有 Linux 能直接抓包", elsewhere)
    try:
        hardware = int((Path("/sys/class/net") / interface / "type").read_text())
    except (OSError, ValueError):
        known = [name for _, name in socket.if_nameindex()]
        raise ProbeError("PKT-E03", f"本机没有接口 {interface}", f"现有：{'、'.join(known)}") from None
    if hardware not in ARPHRD:
        raise ProbeError("PKT-E03", f"接口 {interface} 的类型（{hardware}）不能抓", "换用以太网接口")
    return ARPHRD[hardware]


def listen(interface: str, otherwise: str = "以 root 运行") -> socket.socket:
    """A packet socket that sees everything on `interface`. `otherwise`: what to do without permission.

    Raises ProbeError PKT-E03, PKT-E04.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise ProbeError("PKT-E04", "没有抓包的权限", otherwise) from None
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
            "PKT-E03", f"不能在接口 {interface} 上抓：{refusal(error)}", "把接口启用（ip link set … up）后重新运行"
        ) from None
    return sock


def counted(sock: socket.socket) -> tuple[int, int]:
    """(frames that the kernel saw for this socket since it was last asked, those of them that it had to drop)."""
    seen, dropped = struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return seen, dropped


def frames(sock: socket.socket, snaplen: int, ethernet: bool) -> Iterator[Frame]:
    """What the kernel has ready, with VLAN tags back where they were. Of each frame at most `snaplen` octets."""
    for _ in range(AT_ONCE):
        try:
            data, ancillary, _, (_, _, kind, hardware, _) = sock.recvmsg(snaplen, ANCILLARY)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # the interface went down: it may come back within the window
                raise
            return
        if kind == PACKET_OUTGOING and hardware == LOOPBACK:
            continue  # it comes in again at once
        t_ns, length, tag = 0, len(data), b""
        for level, told, value in ancillary:
            if level == socket.SOL_SOCKET and told == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@ll", value[: struct.calcsize("@ll")])
                t_ns = seconds * 10**9 + nanoseconds
            elif level == SOL_PACKET and told == PACKET_AUXDATA:
                status, length, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
                if ethernet and status & TP_STATUS_VLAN_VALID:
                    tag = struct.pack("!HH", tpid if status & TP_STATUS_VLAN_TPID_VALID else ETH_P_8021Q, tci)
        data = (data[:VLAN_AT] + tag + data[VLAN_AT:])[:snaplen]
        yield Frame(t_ns or time.time_ns(), data, length + len(tag), kind)
