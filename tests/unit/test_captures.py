"""Captures: our reader beside scapy's and dpkt's, what it says of damaged files, and every finding with its fixture."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.gtp_v2 import GTPHeader
from scapy.contrib.lldp import LLDPDUChassisID, LLDPDUEndOfLLDPDU, LLDPDUPortID, LLDPDUSystemName, LLDPDUTimeToLive
from scapy.contrib.pfcp import PFCP
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw
from scapy.utils import PcapNgWriter, PcapReader, wrpcap

from yanshou.formats.capture import MANY, CaptureSummary, summarise
from yanshou.formats.mqtt import CONNECT, PUBLISH, MqttStream
from yanshou.formats.packets import ETHERNET, IPV4, RAW_101, SLL, SLL2, dissect
from yanshou.formats.pcap import Capture, NotACapture

MAC = "00:16:3e:00:00:%02x"
UDP_IP = (
    Ether(src=MAC % 1, dst=MAC % 2) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=40000, dport=502) / Raw(b"x" * 20)
)
START = 1_790_000_000


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


# ---- the two formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
def test_classic_in_both_byte_orders_and_units(order: str, nano: bool) -> None:
    frames = list(Capture(io.BytesIO(classic([b"a" * 60, b"b" * 61], order=order, nano=nano))))
    part = 7 if nano else 7000
    assert frames == [(START * 10**9 + part, 1, b"a" * 60, 60), ((START + 1) * 10**9 + part, 1, b"b" * 61, 61)]


@pytest.mark.parametrize("order", "<>")
def test_pcapng_interfaces_keep_their_own_clock_and_link(order: str) -> None:
    resolution = option(9, b"\x09", order)
    binary = option(9, b"\x8a", order) + option(14, struct.pack(order + "q", 100), order)
    data = (
        section(order)
        + interface(order=order)
        + interface(RAW_101, order, resolution)
        + interface(order=order, options=binary)
    )
    data += block(0x0BAD, b"something of a vendor", order) + block(
        5, struct.pack(order + "III", 0, 0, 0) + option(5, struct.pack(order + "Q", 9), order), order
    )
    data += enhanced(b"a" * 60, 5, 0, order) + enhanced(b"E" * 40, 5, 1, order) + enhanced(b"c" * 60, 1024, 2, order)
    data += block(3, struct.pack(order + "I", 64) + b"s" * 64, order)
    data += block(2, struct.pack(order + "HH4I", 0, 0, 0, 8, 60, 60) + b"o" * 60, order)
    capture = Capture(io.BytesIO(data + section("<" if order == ">" else ">")))
    assert [(t, link, data[:1], n) for t, link, data, n in capture] == [
        (5000, 1, b"a", 60), (5, RAW_101, b"E", 40), (101 * 10**9, 1, b"c", 60), (0, 1, b"s", 64), (8000, 1, b"o", 60),
    ]  # fmt: skip
    assert (capture.damage, capture.dropped, capture.links) == (None, 9, {1, RAW_101})


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xa1\xb2", b"PK\x03\x04" * 10])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(NotACapture):
        summary(data)


def test_the_same_frames_as_scapy_and_dpkt(tmp_path: Path) -> None:
    packets = [UDP_IP / Raw(bytes([n])) for n in range(200)]
    for n, packet in enumerate(packets):
        packet.time = START + n / 8
    wrpcap(str(tmp_path / "a.pcap"), packets)
    with PcapNgWriter(str(tmp_path / "a.pcapng")) as writer:
        for packet in packets:
            writer.write(packet)
    with PcapReader(str(tmp_path / "a.pcap")) as reader:
        theirs = [(int(p.time * 10**9), bytes(p)) for p in reader]
    for name in ("a.pcap", "a.pcapng"):
        with (tmp_path / name).open("rb") as f:
            assert [(t, data) for t, _, data, _ in Capture(f)] == theirs
    with (tmp_path / "a.pcap").open("rb") as f:
        assert [data for _, data in dpkt.pcap.Reader(f)] == [data for _, data in theirs]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 60])
def test_a_file_cut_anywhere_gives_the_frames_before_the_cut(size: int) -> None:
    whole = classic([b"a" * 60] * 5)
    told = summary(whole[:-size])
    assert told.frames == 4
    assert ("CAP-V01" in codes(told)) == (size != 76)
    ng = section() + interface() + enhanced(b"a" * 60, 1) * 5
    told = summary(ng[:-size])
    assert (told.frames, "CAP-V01" in codes(told)) == (4, True)


def test_a_lying_length_reads_no_more_than_there_is() -> None:
    lying = classic([b"a" * 60]) + struct.pack("<IIII", START, 0, 0xFFFFFFF0, 60) + b"a" * 60
    told = summary(lying)
    assert (told.frames, codes(told)) == (1, {"CAP-V01"})
    lying = section() + interface() + enhanced(b"a" * 60, 1) + struct.pack("<II", 6, 0xFFFFFFF0) + bytes(64)
    assert (summary(lying).frames, codes(summary(lying))) == (1, {"CAP-V01"})


SEEDS = [
    classic([bytes(UDP_IP)] * 3),
    classic([bytes(Ether() / IP() / UDP(dport=2152) / GTP_U_Header(teid=5, gtp_type=255) / IP() / UDP())] * 3),
    classic([bytes(Ether() / IP() / TCP(dport=1883) / Raw(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04dev1"))] * 2),
    classic([bytes(Ether() / IP() / UDP(sport=67, dport=68) / BOOTP() / DHCP(options=["end"]))]),
    classic([bytes(Ether() / IP() / SCTP(dport=38412) / SCTPChunkData(proto_id=60, data=b"\x00\x0f\x40\x05hello"))]),
    section() + interface() + enhanced(bytes(UDP_IP), 1) * 3,
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(4, 10**6), st.integers(0, 255)), max_size=12),
    st.integers(0, 40),
)
def test_no_damage_is_more_than_a_finding(seed: bytes, flips: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed[: len(seed) - cut])
    for where, value in flips:
        data[4 + where % (len(data) - 4)] = value
    told = summary(bytes(data))
    assert told.frames <= len(seed) // 16
    assert all(f.code.startswith("CAP-V") for f in told.findings)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([1, 0, 12, 101, 108, 113, 276, 228, 229, 147]), st.binary(max_size=120))
def test_no_frame_is_too_strange(link: int, data: bytes) -> None:
    headers = dissect(link, data)
    assert headers is None or len(headers.source_ip) in (0, 4, 16)


# ---- headers -----------------------------------------------------------------------------------------------------------

FOUR = IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=1, dport=2) / Raw(b"payload")
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
LINKS = [
    pytest.param(ETHERNET, Ether(src=MAC % 9) / FOUR, id="ethernet"),
    pytest.param(ETHERNET, Ether(src=MAC % 9) / Dot1Q(vlan=7) / FOUR, id="vlan"),
    pytest.param(ETHERNET, Ether(src=MAC % 9) / Dot1AD(vlan=3) / Dot1Q(vlan=7) / FOUR, id="qinq"),
    pytest.param(SLL, CookedLinux(src=b"\x00\x16\x3e\x00\x00\x09", lladdrlen=6, proto=0x800) / FOUR, id="sll"),
    pytest.param(
        SLL2, struct.pack(">HHIHBB8s", 0x800, 0, 1, 1, 0, 6, b"\x00\x16\x3e\x00\x00\x09") + bytes(FOUR), id="sll2"
    ),
    pytest.param(RAW_101, FOUR, id="raw"),
    pytest.param(IPV4, FOUR, id="ipv4"),
    pytest.param(0, struct.pack("<I", 2) + bytes(FOUR), id="null"),
]


@pytest.mark.parametrize(("link", "frame"), LINKS)
def test_every_link_layer_leads_to_the_same_packet(link: int, frame: Packet | bytes) -> None:
    headers = dissect(link, bytes(frame))
    assert headers is not None
    assert (headers.source_ip, headers.target_ip) == (b"\x0a\x01\x00\x01", b"\x0a\x01\x00\x02")
    assert (headers.protocol, headers.source_port, headers.target_port) == (17, 1, 2)
    assert bytes(frame)[headers.start :] == b"payload"
    if link in (ETHERNET, SLL, SLL2):
        assert headers.source.hex(":") == MAC % 9
    told = of([frame] * 3, link=link)
    assert (set(told.ips), told.unread, told.ips["10.1.0.1"].packets) == ({"10.1.0.1"}, 0, 3)


def test_ip_options_fragments_and_extension_headers() -> None:
    options = Ether() / IP(src="10.1.0.1", dst="10.1.0.2", options=[IPOption_Router_Alert()]) / UDP(sport=1, dport=2)
    later = Ether() / IP(src="10.1.0.1", dst="10.1.0.2", frag=100, proto=17) / Raw(b"\x00\x35\x00\x35")
    chain = Ether() / SIX / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2)
    part = Ether() / SIX / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=1, dport=2)
    rest = Ether() / SIX / IPv6ExtHdrFragment(offset=80) / Raw(b"\x00\x35\x00\x35")
    ports = []
    for packet in (options, later, chain, part, rest):
        headers = dissect(ETHERNET, bytes(packet))
        assert headers is not None
        ports.append((headers.source_port, headers.target_port, headers.fragment))
    assert ports == [(1, 2, False), (-1, -1, True), (1, 2, False), (1, 2, True), (-1, -1, True)]


@pytest.mark.parametrize("extended", [False, True])
def test_tunnels_and_the_addresses_inside(extended: bool) -> None:
    def tunnelled(teid: int, inside: str) -> Packet:
        head = (
            GTP_U_Header(teid=teid, gtp_type=255, E=1, next_ex=0x85) / GTPPDUSessionContainer(QFI=1)
            if extended
            else GTP_U_Header(teid=teid, gtp_type=255)
        )
        outer = Ether(src=MAC % 1) / IP(src="192.168.0.1", dst="192.168.0.2") / UDP(sport=2152, dport=2152)
        return outer / head / IP(src=inside, dst="10.70.0.1") / UDP(sport=5, dport=6)

    told = of([tunnelled(n // 2, f"10.60.0.{n}") for n in range(2, 8)] * 2)
    assert len(told.tunnels) == 3
    assert {p for seen in told.tunnels.values() for p in seen.peers} >= {f"10.60.0.{n}" for n in range(2, 8)}
    assert sum(seen.packets for seen in told.tunnels.values()) == 12
    assert set(told.ips) == {"192.168.0.1"}


def test_counts_do_not_depend_on_what_is_remembered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [
        bytes(Ether(src=MAC % (n % 50)) / IP(src=f"10.0.{n % 70}.1", dst="10.9.9.9") / UDP(sport=50000 + n, dport=9))
        for n in range(600)
    ]
    whole = of(frames)
    monkeypatch.setattr("yanshou.formats.capture.FLOWS", 7)
    assert of(frames) == whole
    assert (len(whole.macs), len(whole.ips), whole.protocols) == (50, 70, {"UDP": 600})


def test_who_is_behind_an_address() -> None:
    dhcp = Ether(src=MAC % 3) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
    dhcp /= BOOTP(chaddr=bytes.fromhex("00163e000003") + bytes(10)) / DHCP(
        options=[("message-type", "request"), ("hostname", b"agv-3"), "end"]
    )
    lldp = Ether(src=MAC % 4, dst="01:80:c2:00:00:0e", type=0x88CC) / LLDPDUChassisID(subtype=7, id=b"chassis-4")
    lldp = (
        lldp
        / LLDPDUPortID(subtype=7, id=b"p1")
        / LLDPDUTimeToLive(ttl=120)
        / LLDPDUSystemName(system_name=b"plc-4")
        / LLDPDUEndOfLLDPDU()
    )
    arp = Ether(src=MAC % 5) / ARP(op=2, hwsrc=MAC % 5, psrc="10.0.0.5")
    told = of([dhcp, lldp, arp])
    assert told.names[MAC % 3]["hostname"] == "agv-3"
    assert told.names[MAC % 4] == {"chassis_id": "chassis-4", "hostname": "plc-4"}
    assert told.names[MAC % 5] == {"ip": "10.0.0.5"}
    assert set(told.control) == {"DHCP request", "LLDP 通告", "ARP 应答"}


# ---- MQTT --------------------------------------------------------------------------------------------------------------


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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_packets_are_found_however_they_are_cut_into_segments(sizes: list[int]) -> None:
    whole = connect("dev-1") + publish("a/b", b"1") + said(0xC0, b"") + publish("c", bytes(70_000)) + publish("d", b"2")
    stream, got, at = MqttStream(), [], 0
    for size in [*sizes, len(whole)]:
        got += stream.feed(whole[at : at + size])
        at += size
    assert [(s.kind, s.name) for s in got] == [(CONNECT, "dev-1"), (PUBLISH, "a/b"), (PUBLISH, "c"), (PUBLISH, "d")]
    assert (got[2].octets, stream.skipped) == (70_000, 0)


def client(number: int, address: str, octets: bytes, port: int = 1883) -> Packet:
    return (
        Ether(src=MAC % (number % 250))
        / IP(src=address, dst="10.0.0.1")
        / TCP(sport=20000 + number, dport=port, flags="PA")
        / Raw(octets)
    )


# ---- findings: each with what must raise it, and its honest neighbour -----------------------------------------------------


def ngap(number: int) -> Packet:
    """An InitialUEMessage's first octets; the rest is not NGAP, so no identity can be read."""
    chunk = SCTPChunkData(proto_id=60, data=bytes([0x00, 0x0F, 0x40, 0x05]) + bytes([number % 256]) * 5)
    return Ether(src=MAC % 1) / IP(src="10.2.0.1", dst="10.2.0.2") / SCTP(sport=38412, dport=38412) / chunk


HONEST = [UDP_IP]
FINDINGS = {
    "CAP-V02": (classic([bytes(UDP_IP)], snaplen=40), classic([bytes(UDP_IP)])),
    "CAP-V03": (
        classic([bytes(UDP_IP)] * 3) + classic([bytes(UDP_IP)])[24:],
        classic([bytes(UDP_IP)] * 3),
    ),
    "CAP-V04": (
        classic([bytes(Ether(src=f"02:00:00:00:00:{n:02x}") / FOUR) for n in range(9)]),
        classic([bytes(Ether(src=f"02:00:00:00:00:{n:02x}") / FOUR) for n in range(4)]),
    ),
    "CAP-V05": (
        classic([bytes(client(n, "10.0.0.66", connect(f"d{n}"))) for n in range(MANY)]),
        classic([bytes(client(n, f"10.0.1.{n}", connect(f"d{n}"))) for n in range(MANY)]),
    ),
    "CAP-V06": (classic([bytes(ngap(n)) for n in range(40)]), classic([bytes(ngap(n)) for n in range(3)])),
    "CAP-V07": (
        classic([bytes(Ether() / IP() / UDP(sport=2123, dport=2123) / GTPHeader(gtp_type=32, seq=1))]),
        classic([bytes(Ether() / IP() / UDP(sport=8805, dport=8805) / PFCP(version=1, message_type=5, seq=1))]),
    ),
    "CAP-V08": (
        classic([bytes(client(1, "10.0.0.5", publish("a", b"1")))]),
        classic([bytes(client(1, "10.0.0.5", connect("d") + publish("a", b"1")))]),
    ),
    "CAP-V09": (
        classic([bytes(client(1, "10.0.0.5", b"\x17\x03\x03\x00\x05hello", 8883))]),
        classic([bytes(client(1, "10.0.0.5", connect("d")))]),
    ),
    "CAP-V11": (
        section() + interface() + statistics(9),
        section() + interface() + statistics(0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", FINDINGS)
def test_every_finding_is_raised_and_spares_the_honest(code: str) -> None:
    guilty, honest = FINDINGS[code]
    assert code in codes(summary(guilty))
    assert code not in codes(summary(honest))


def test_more_identities_than_are_told_apart_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Ether(src=MAC % n) / IP(src=f"10.0.0.{n}") / UDP() for n in range(20)]
    assert "CAP-V10" not in codes(of(frames))
    monkeypatch.setattr("yanshou.formats.capture.MOST", 10)
    told = of(frames)
    assert ("CAP-V10" in codes(told), len(told.macs)) == (True, 10)


def test_one_host_with_many_addresses_is_a_finding() -> None:
    told = of([Ether(src=MAC % 1) / IP(src=f"10.0.{n // 200}.{1 + n % 200}") / UDP() for n in range(MANY)])
    assert "CAP-V05" in codes(told)
    assert MAC % 1 in next(f.text for f in told.findings if f.code == "CAP-V05")


def test_an_ordinary_capture_has_no_findings() -> None:
    assert codes(of([*HONEST, client(1, "10.0.0.5", connect("d"))])) == set()
