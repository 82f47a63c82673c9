"""Headers: every link layer, options, extensions, fragments and tunnels that scapy builds; and anything at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw

from tests.unit.captures_support import MAC, ether, of
from yanshou.formats.packets import ETHERNET, IPV4, IPV6, LOOP, NULL, RAW_101, SLL, SLL2, Headers, dissect, payload

FOUR = IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=1, dport=2) / Raw(b"payload")
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
SIX_UDP = SIX / UDP(sport=1, dport=2) / Raw(b"payload")
SLL2_HEAD = struct.pack(">HHIHBB8s", 0x800, 0, 1, 1, 0, 6, bytes.fromhex("00163e0000090000"))
COOKED = CookedLinux(src=bytes.fromhex("00163e000009"), lladdrlen=6, proto=0x800)


def read(link: int, frame: Packet | bytes) -> Headers:
    headers = dissect(link, bytes(frame))
    assert headers is not None
    return headers


LINKS = [
    pytest.param(ETHERNET, ether(9) / FOUR, (), id="ethernet"),
    pytest.param(ETHERNET, ether(9) / Dot1Q(vlan=7, prio=5) / FOUR, (7,), id="vlan"),
    pytest.param(ETHERNET, ether(9) / Dot1AD(vlan=3) / Dot1Q(vlan=7) / FOUR, (3, 7), id="qinq"),
    pytest.param(ETHERNET, ether(9) / Dot1Q(vlan=3) / Dot1Q(vlan=7) / FOUR, (3, 7), id="two vlans"),
    pytest.param(ETHERNET, ether(9) / PPPoE(sessionid=1) / PPP(proto=0x21) / FOUR, (), id="pppoe"),
    pytest.param(SLL, COOKED / FOUR, (), id="sll"),
    pytest.param(SLL2, SLL2_HEAD + bytes(FOUR), (), id="sll2"),
    pytest.param(RAW_101, FOUR, (), id="raw"),
    pytest.param(IPV4, FOUR, (), id="ipv4"),
    pytest.param(NULL, struct.pack("<I", 2) + bytes(FOUR), (), id="null"),
    pytest.param(LOOP, struct.pack(">I", 2) + bytes(FOUR), (), id="loop"),
]


@pytest.mark.parametrize(("link", "frame", "vlans"), LINKS)
def test_every_link_layer_leads_to_the_same_packet(link: int, frame: Packet | bytes, vlans: tuple[int, ...]) -> None:
    headers = read(link, frame)
    assert (headers.source_ip, headers.target_ip) == (b"\x0a\x01\x00\x01", b"\x0a\x01\x00\x02")
    assert (headers.protocol, headers.source_port, headers.target_port, headers.vlans) == (17, 1, 2, vlans)
    assert payload(headers, bytes(frame) + b"padding") == b"payload"
    assert headers.source.hex(":") == (MAC % 9 if link in (ETHERNET, SLL, SLL2) else "")
    told = of([frame] * 3, link=link)
    assert (set(told.ips), told.unread, told.ips["10.1.0.1"].packets) == ({"10.1.0.1"}, 0, 3)


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        pytest.param(ETHERNET, ether(9) / SIX_UDP, id="ethernet"),
        pytest.param(ETHERNET, ether(9) / Dot1Q(vlan=7) / SIX_UDP, id="vlan"),
        pytest.param(SLL, CookedLinux(lladdrlen=6, proto=0x86DD) / SIX_UDP, id="sll"),
        pytest.param(RAW_101, SIX_UDP, id="raw"),
        pytest.param(IPV6, SIX_UDP, id="ipv6"),
    ],
)
def test_the_same_of_ipv6(link: int, frame: Packet) -> None:
    headers = read(link, frame)
    assert (headers.protocol, headers.source_port, headers.target_port) == (17, 1, 2)
    assert payload(headers, bytes(frame) + b"padding") == b"payload"
    assert of([frame] * 3, link=link).ips["2001:db8::1"].packets == 3


def test_ip_options_fragments_and_extension_headers() -> None:
    ends = {"src": "10.1.0.1", "dst": "10.1.0.2"}
    found = {
        "options": IP(**ends, options=[IPOption_Router_Alert()]) / UDP(sport=1, dport=2),
        "first": IP(**ends, flags="MF") / UDP(sport=1, dport=2),
        "later": IP(**ends, frag=100, proto=17) / Raw(b"\x00\x35\x00\x35"),
        "chain": SIX / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2),
        "authenticated": SIX / AH(nh=17, payloadlen=4, icv=b"x" * 12) / Raw(bytes(UDP(sport=1, dport=2))),
        "six first": SIX / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=1, dport=2),
        "six later": SIX / IPv6ExtHdrFragment(offset=80, nh=17) / Raw(b"\x00\x35\x00\x35"),
    }
    told = {name: read(ETHERNET, ether() / packet) for name, packet in found.items()}
    assert {name: (h.source_port, h.target_port, h.fragment) for name, h in told.items()} == {
        "options": (1, 2, False), "first": (1, 2, True), "later": (-1, -1, True), "chain": (1, 2, False),
        "authenticated": (1, 2, False), "six first": (1, 2, True), "six later": (-1, -1, True),
    }  # fmt: skip
    assert {h.protocol for h in told.values()} == {17}


def test_payload_begins_after_options_and_ends_before_padding() -> None:
    head = IP(src="10.1.0.1", dst="10.1.0.2")
    options = [("Timestamp", (1, 0)), ("NOP", None), ("NOP", None)]
    for carried in (
        head / TCP(sport=1, dport=2, options=options) / b"payload",
        head / TCP(sport=1, dport=2) / b"payload",
        head / SCTP(sport=1, dport=2) / SCTPChunkData(data=b"load"),
        SIX / TCP(sport=1, dport=2, options=options) / b"payload",
    ):
        frame = bytes(ether() / carried)
        inside = payload(read(ETHERNET, frame), frame + b"\0\0\0\0")
        assert inside[-4:] == b"load"
        assert inside == b"payload" or carried.haslayer(SCTP)
    offloaded = bytes(ether() / IP(len=0) / UDP(sport=1, dport=2, len=0) / b"payload")
    assert payload(read(ETHERNET, offloaded), offloaded) == b"payload"
    acknowledged = bytes(ether() / head / TCP(sport=1, dport=2, flags="A"))
    assert payload(read(ETHERNET, acknowledged), acknowledged + bytes(6)) == b""


OUTER = ether(1) / IP(src="192.168.0.1", dst="192.168.0.2") / UDP(sport=2152, dport=2152)
INSIDE = IP(src="10.60.0.7", dst="10.70.0.1") / UDP(sport=5, dport=6) / Raw(b"payload")
CONTAINER = GTP_U_Header(teid=9, gtp_type=255, E=1, next_ex=0x85) / GTPPDUSessionContainer(QFI=1)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(OUTER / GTP_U_Header(teid=9, gtp_type=255) / INSIDE, id="plain"),
        pytest.param(OUTER / GTP_U_Header(teid=9, gtp_type=255, S=1, seq=5) / INSIDE, id="sequence"),
        pytest.param(OUTER / CONTAINER / INSIDE, id="session container"),
        pytest.param(
            OUTER
            / Raw(bytes.fromhex("34ff000000000009000000c0 01aabbc0 01ccdd85 0100 0900".replace(" ", "")))
            / INSIDE,
            id="three extensions",
        ),
    ],
)
def test_tunnels_and_what_is_inside(frame: Packet) -> None:
    headers = read(ETHERNET, frame)
    assert headers.teid == 9
    assert headers.inner is not None
    assert (headers.inner.source_ip, headers.inner.source_port, headers.inner.target_port) == (
        b"\x0a\x3c\x00\x07",
        5,
        6,
    )
    assert payload(headers.inner, bytes(frame)) == b"payload"


def test_a_tunnel_of_ipv6_of_ethernet_and_of_nothing() -> None:
    six = read(ETHERNET, OUTER / GTP_U_Header(teid=9, gtp_type=255) / SIX_UDP).inner
    assert six is not None
    assert (len(six.source_ip), six.target_port) == (16, 2)
    for inside in (Raw(bytes(Ether(dst="02:00:00:00:00:01"))), Raw(b"")):
        headers = read(ETHERNET, OUTER / GTP_U_Header(teid=9, gtp_type=255) / inside)
        assert (headers.teid, headers.inner) == (9, None)
    echo = read(ETHERNET, OUTER / GTP_U_Header(teid=0, gtp_type=1))
    assert (echo.teid, echo.inner) == (0, None)


@pytest.mark.parametrize(("link", "least"), [(ETHERNET, 14), (SLL, 16), (SLL2, 20)])
def test_a_frame_too_short_for_its_link_layer_is_not_read(link: int, least: int) -> None:
    assert dissect(link, bytes(least - 1)) is None
    assert dissect(link, bytes(least)) is not None
    assert dissect(147, bytes(200)) is None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 200), st.lists(st.tuples(st.integers(12, 200), st.integers(0, 255)), max_size=6))
def test_a_cut_or_bent_frame_still_has_its_addresses_or_none(cut: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(bytes(OUTER / CONTAINER / INSIDE))[: 14 + cut]
    for where, value in flips:
        if where < len(data):
            data[where] = value
    headers = dissect(ETHERNET, bytes(data))
    assert headers is not None
    assert headers.source.hex(":") == MAC % 1
    assert len(payload(headers.inner or headers, bytes(data))) <= len(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([1, 0, 12, 101, 108, 113, 276, 228, 229, 147]), st.binary(max_size=120))
def test_no_frame_is_too_strange(link: int, data: bytes) -> None:
    headers = dissect(link, data)
    assert headers is None or len(headers.source_ip) in (0, 4, 16)


def test_arp_has_no_ip() -> None:
    headers = read(ETHERNET, ether(5) / ARP(psrc="10.0.0.5"))
    assert (headers.source_ip, headers.kind, headers.protocol) == (b"", 0x0806, -1)


def test_vlan_tags_without_end_are_not_followed() -> None:
    headers = dissect(ETHERNET, bytes(12) + b"\x81\0" + b"\0\1\x81\0" * 100_000)
    assert headers is not None
    assert len(headers.vlans) == 16
