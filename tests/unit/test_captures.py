"""What a capture says when it is added up: who spoke behind which headers, and every finding with its fixture."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.gtp_v2 import GTPHeader
from scapy.contrib.lldp import LLDPDUChassisID, LLDPDUEndOfLLDPDU, LLDPDUPortID, LLDPDUSystemName, LLDPDUTimeToLive
from scapy.contrib.pfcp import PFCP
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw

from tests.unit.captures_support import (
    MAC,
    UDP_IP,
    classic,
    client,
    codes,
    connect,
    conversation,
    enhanced,
    interface,
    of,
    publish,
    section,
    statistics,
    summary,
)
from yanshou.formats.capture import MANY
from yanshou.formats.packets import ETHERNET, IPV4, RAW_101, SLL, SLL2

# ---- damage ------------------------------------------------------------------------------------------------------------


def test_a_broken_off_file_counts_the_frames_before() -> None:
    told = summary(classic([b"a" * 60] * 5)[:-9])
    assert (told.frames, codes(told)) == (4, {"CAP-V01"})
    assert codes(of([b"a" * 60] * 5)) == set()


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


# ---- headers -----------------------------------------------------------------------------------------------------------

FOUR = IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=1, dport=2) / Raw(b"payload")
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
def test_the_same_host_behind_every_link_layer(link: int, frame: Packet | bytes) -> None:
    told = of([frame] * 3, link=link)
    assert (set(told.ips), told.unread, told.ips["10.1.0.1"].packets) == ({"10.1.0.1"}, 0, 3)
    assert set(told.macs) == ({MAC % 9} if link in (ETHERNET, SLL, SLL2) else set())


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


def test_a_conversation_names_client_and_topics() -> None:
    said = [connect("dev-1"), publish("a/b", b"123"), publish("a/b", b"45")]
    told = of(list(conversation(1, "10.0.0.7", said)))
    assert {name: (seen.packets, seen.peers) for name, seen in told.clients.items()} == {"dev-1": (2, {"10.0.0.7"})}
    assert {name: (seen.packets, seen.octets, seen.peers) for name, seen in told.topics.items()} == {
        "a/b": (2, 5, {"dev-1"})
    }


def test_a_retransmission_and_a_port_mirrored_twice_say_nothing_new() -> None:
    frames = list(conversation(1, "10.0.0.7", [connect("dev-1"), publish("a", b"1"), publish("a", b"2")]))
    twice = [frame for frame in frames for _ in range(2)]
    assert of(twice).topics["a"].packets == of(frames).topics["a"].packets == 2


# ---- findings: each with what must raise it, and its honest neighbour -----------------------------------------------------


def ngap(number: int) -> Packet:
    """An InitialUEMessage's first octets; the rest is not NGAP, so no identity can be read."""
    octets = bytes([0x00, 0x0F, 0x40, 0x05]) + bytes([number % 256]) * 5
    chunk = SCTPChunkData(proto_id=60, data=octets, beginning=1, ending=1)
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
