"""Takes a capture into evidence: a file byte for byte, or live packets of an interface as a classic pcap in nanoseconds.

It is for freezing what passed by. It must never send a packet, and never count one. Streams: `capture.pcap` or
`capture.pcapng`, and `session.json`, written last: {"origin": "file" | "interface", …} and, for a live capture, the kernel's
own number of packets that it had to drop.
"""

from __future__ import annotations

import contextlib
import json
import select
import struct
import threading
import time
from pathlib import Path

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.packets.params import Source
from yanshou.probes.devices.sources.packets.read import CAPTURES, SESSION
from yanshou.probes.listening import LINKTYPE_ETHERNET, counted, frames, link_type, listen

PCAP_NS = 0xA1B23C4D
"""Magic of a classic pcap whose time stamps are in nanoseconds."""
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
NEWS_S = 0.5
BY_HAND = "用 Wireshark 或 dumpcap 抓成文件，写 file"


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
    kind = link_type(interface, BY_HAND)
    otherwise = f"以 root 运行；或运行 dumpcap -i {interface} -w 抓包.pcapng，再写 file: 抓包.pcapng"
    with contextlib.closing(listen(interface, otherwise)) as sock:
        stream = run.sink.stream(CAPTURES[False])
        stream.write(struct.pack("=IHHiIII", PCAP_NS, 2, 4, 0, 0, source.snaplen, kind))
        run.progress(Progress(0, 0))
        start_ns, written, packets, news = time.time_ns(), 24, 0, time.monotonic()
        room = source.largest_mb * 10**6
        full = False
        while not stop.is_set() and not full:
            ready, _, _ = select.select((sock,), (), (), 0.2)
            for frame in frames(sock, source.snaplen, kind == LINKTYPE_ETHERNET) if ready else ():
                block = struct.pack("=IIII", *divmod(frame.t_ns, 10**9), len(frame.data), frame.length) + frame.data
                stream.write(block)
                written, packets = written + len(block), packets + 1
                if full := written >= room:
                    break
            if time.monotonic() - news >= NEWS_S:
                news = time.monotonic()
                run.progress(Progress(0, 0, text=f"{packets} 包"))
        seen, dropped = counted(sock)
    _close(
        run,
        {
            "origin": "interface", "interface": interface, "link_type": kind, "snaplen": source.snaplen,
            "start_ns": start_ns, "end_ns": time.time_ns(), "packets": packets, "full": full,
            "kernel_packets": seen, "kernel_dropped": dropped,
        },
    )  # fmt: skip
