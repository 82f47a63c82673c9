"""Reading a capture: one million packets by ours and by peers, each in a process of its own, and ours on a file ten times as large.

The job is the same for all: how many different MAC addresses, IP addresses and GTP-U tunnels there are. scapy does it on the first
50 000 packets only. dpkt (slices) and the bare loop look at fixed places: no VLAN, no IP options, no findings.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.table import show

PACKETS = 1_000_000
SCAPY = 50_000
TIMES = 10
BATCH = 10_000

HEAD = """
import resource, sys, time
path = sys.argv[1]
started = time.perf_counter()
macs, ips, teids, packets = set(), set(), set(), 0
"""
TAIL = """
spent = time.perf_counter() - started
print(packets, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(macs), len(ips), len(teids))
"""
OURS = """
from yanshou.formats.capture import summarise
started = time.perf_counter()
with open(path, "rb") as f:
    told = summarise(f)
packets, macs, ips, teids = told.frames, told.macs, told.ips, told.tunnels
"""
BARE = """
import struct
with open(path, "rb") as f:
    f.read(24)
    head = struct.Struct("<IIII")
    rest = b""
    while block := f.read(1 << 20):
        data, at = rest + block, 0
        while at + 16 <= len(data):
            _, _, size, _ = head.unpack_from(data, at)
            end = at + 16 + size
            if end > len(data):
                break
            p = data[at + 16 : end]
            packets += 1
            macs.add(p[6:12])
            ips.add(p[26:30])
            if p[36:38] == b"\\x08\\x68":
                teids.add(p[30:34] + p[46:50])
            at = end
        rest = data[at:]
"""
DPKT = """
import dpkt
started = time.perf_counter()
with open(path, "rb") as f:
    for _, p in dpkt.pcap.Reader(f):
        packets += 1
        macs.add(p[6:12])
        ips.add(p[26:30])
        if p[36:38] == b"\\x08\\x68":
            teids.add(p[30:34] + p[46:50])
"""
DPKT_OBJECTS = """
import dpkt
started = time.perf_counter()
with open(path, "rb") as f:
    for _, p in dpkt.pcap.Reader(f):
        packets += 1
        frame = dpkt.ethernet.Ethernet(p)
        macs.add(frame.src)
        if isinstance(frame.data, dpkt.ip.IP):
            ips.add(frame.data.src)
"""
SCAPY_READER = """
from scapy.utils import PcapReader
from scapy.layers.l2 import Ether
from scapy.layers.inet import IP
from scapy.contrib.gtp import GTP_U_Header
started = time.perf_counter()
for p in PcapReader(path):
    packets += 1
    macs.add(p[Ether].src)
    if IP in p:
        ips.add(p[IP].src)
    if GTP_U_Header in p:
        teids.add(p[GTP_U_Header].teid)
    if packets == 50000:
        break
"""
TSHARK = """
import subprocess
command = ["tshark", "-r", path, "-T", "fields", "-e", "eth.src", "-e", "ip.src", "-e", "gtp.teid"]
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
    for line in process.stdout:
        packets += 1
        mac, ip, teid = line.rstrip("\\n").split("\\t")
        macs.add(mac)
        ips.add(ip.split(",")[0])
        if teid:
            teids.add(teid)
spent = time.perf_counter() - started
print(packets, spent, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, len(macs), len(ips), len(teids))
sys.exit()
"""
READERS = {
    "yanshou": OURS,
    "bare struct loop": BARE,
    "dpkt reader, slices": DPKT,
    "dpkt objects": DPKT_OBJECTS,
    "scapy PcapReader": SCAPY_READER,
    "tshark -T fields": TSHARK,
}


def _frame(n: int) -> bytes:
    """One of 2,000 hosts' packets; every fifth is GTP-U with one of 500 tunnels."""
    host = n % 2000
    mac = bytes((0x00, 0x16, 0x3E, 0, host >> 8, host & 255))
    source = bytes((10, 20, host >> 8, host & 255))
    payload = bytes(200)
    if n % 5 == 0:
        inner = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 228, 0, 0, 64, 17, 0, bytes((10, 60, host >> 8, host & 255)), b"\x08\x08\x08\x08"
        )
        inner += struct.pack(">HHHH", 5000, 53, 208, 0) + payload
        payload = struct.pack(">BBHI", 0x30, 255, len(inner), host // 4) + inner
        ports = (2152, 2152)
    else:
        ports = (40000 + host, 502)
    udp = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), n & 0xFFFF, 0, 64, 17, 0, source, bytes((10, 20, 255, 1)))
    return b"\x02\x00\x00\x00\x00\x01" + mac + b"\x08\x00" + ip + udp


def write(path: Path, packets: int) -> None:
    """A classic pcap of `packets`, always the same."""
    with path.open("wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for start in range(0, packets, BATCH):
            block = bytearray()
            for n in range(start, min(start + BATCH, packets)):
                frame = _frame(n)
                block += (
                    struct.pack("<IIII", 1_700_000_000 + n // 10_000, n % 10_000 * 100, len(frame), len(frame)) + frame
                )
            f.write(block)


def read(code: str, path: Path) -> list[str]:
    """What one reader, in a process of its own, says: packets, seconds, MB, and the three counts."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code + TAIL, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def main(arguments: Sequence[str] = ()) -> None:
    """All readers on one file, then ours on a larger one; `arguments[0]` packets instead of a million."""
    packets = int(arguments[0]) if arguments else PACKETS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.pcap"
        write(path, packets)
        found = {
            name: read(code, path)
            for name, code in READERS.items()
            if name != "tshark -T fields" or shutil.which("tshark")
        }
        rate = {name: int(told[0]) / float(told[1]) for name, told in found.items()}
        rows = [
            (name, f"{rate[name]:,.0f}", f"{rate['yanshou'] / rate[name]:.2f}", f"{float(told[2]):.0f}", *told[3:])
            for name, told in found.items()
        ]
        show(
            f"captures: {packets:,} packets, {path.stat().st_size / 1e6:.0f} MB",
            ("reader", "packets/s", "ours / its", "peak MB", "MACs", "IPs", "tunnels"),
            rows,
        )
        large = Path(folder) / "ten.pcap"
        write(large, packets * TIMES)
        told = read(OURS, large)
        sys.stdout.write(
            f"  ours on {TIMES} times as many: {int(told[0]) / float(told[1]):,.0f} packets/s, peak {float(told[2]):.0f} MB\n"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
