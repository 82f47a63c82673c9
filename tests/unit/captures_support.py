"""Captures made by hand: classic pcap and pcapng octet by octet, MQTT packets, and clients whose TCP segments follow on."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from yanshou.formats.capture import CaptureSummary, summarise

MAC = "00:16:3e:00:00:%02x"
START = 1_790_000_000


def ether(number: int = 1) -> Packet:
    """An Ethernet header. With a destination: without one scapy asks the network for it."""
    return Ether(src=MAC % number, dst=MAC % 255)


UDP_IP = ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=40000, dport=502) / Raw(b"x" * 20)


def classic(
    frames: Sequence[bytes], *, order: str = "<", nano: bool = False, link: int = 1, snaplen: int = 65535
) -> bytes:
    """A classic pcap, one frame a second."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)
    for n, frame in enumerate(frames):
        kept = frame[:snaplen]
        out += struct.pack(order + "IIII", START + n, 7, len(kept), len(frame)) + kept
    return out


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, order: str = "<", options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def statistics(dropped: int, order: str = "<") -> bytes:
    told = option(5, struct.pack(order + "Q", dropped), order)
    return block(5, struct.pack(order + "III", 0, 0, 0) + told, order)


def enhanced(frame: bytes, ticks: int, number: int = 0, order: str = "<") -> bytes:
    head = struct.pack(order + "5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


def summary(data: bytes) -> CaptureSummary:
    return summarise(io.BytesIO(data))


def of(packets: Sequence[Packet | bytes], **how: object) -> CaptureSummary:
    return summary(classic([bytes(p) for p in packets], **how))  # type: ignore[arg-type]


def codes(told: CaptureSummary) -> set[str]:
    return {f.code for f in told.findings}


def said(kind: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while True:
        left, digit = divmod(left, 128)
        length += bytes([digit | (0x80 if left else 0)])
        if not left:
            return bytes([kind]) + length + body


def connect(client: str) -> bytes:
    return said(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack("!H", len(client)) + client.encode())


def publish(topic: str, payload: bytes) -> bytes:
    return said(0x30, struct.pack("!H", len(topic)) + topic.encode() + payload)


def client(number: int, address: str, octets: bytes, port: int = 1883, seq: int = 1) -> Packet:
    """One TCP segment of a client to the broker."""
    ends = IP(src=address, dst="10.0.0.1") / TCP(sport=20000 + number, dport=port, flags="PA", seq=seq)
    return ether(number % 250) / ends / Raw(octets)


def conversation(number: int, address: str, parts: Sequence[bytes]) -> Iterator[Packet]:
    """The same as a real one begins: SYN with its options, then segments with a time stamp, one after the other."""
    stamp = [("NOP", None), ("NOP", None), ("Timestamp", (1, 0))]
    opening = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    head = ether(number % 250) / IP(src=address, dst="10.0.0.1")
    seq = 0xFFFFFFF0  # wraps soon
    yield head / TCP(sport=20000 + number, dport=1883, flags="S", seq=seq, options=opening)
    seq += 1
    for part in parts:
        tcp = TCP(sport=20000 + number, dport=1883, flags="PA", seq=seq & 0xFFFFFFFF, options=stamp)
        yield head / tcp / Raw(part)
        seq += len(part)
