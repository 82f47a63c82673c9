"""The packet source: live on a real veth interface, from files that scapy wrote, and every finding."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from scapy.contrib.gtp import GTP_U_Header
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapNgWriter, rdpcap, wrpcap

from tests.namespaces import AVAILABLE, two_hosts
from tests.probes.records_support import MemoryEvidence, codes, record
from tests.probes.sources_support import finished, start_inside, wait_for
from yanshou.harness.basics import ProbeError
from yanshou.probes.devices.sources.packets.params import Source
from yanshou.probes.devices.sources.packets.read import SESSION, findings, observations
from yanshou.probes.devices.sources.packets.record import record as record_source

PCAP_NS = struct.pack("=I", 0xA1B23C4D)
HERE = "00:1b:1b:00:00:%02x"
DONE = {SESSION: b'{"origin": "file"}\n'}


def source(**more: Any) -> Source:
    return Source(**{"kind": "packets", **more})


def connect(client: str) -> bytes:
    """MQTT 3.1.1 CONNECT."""
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack("!H", len(client)) + client.encode()
    return bytes([0x10, len(body)]) + body


def publish(topic: str, payload: bytes) -> bytes:
    body = struct.pack("!H", len(topic)) + topic.encode() + payload
    return bytes([0x30, len(body)]) + body


def mqtt_client(number: int, address: str, messages: int) -> list[Packet]:
    head = Ether(src=HERE % (number % 250)) / IP(src=address, dst="10.0.0.1")
    head /= TCP(sport=40000 + number, dport=1883, flags="PA")
    said = [connect(f"dev-{number}"), *(publish(f"up/{number}", str(n).encode()) for n in range(messages))]
    return [head.copy() / Raw(octets) for octets in said]


def imported(folder: Path, packets: list[Packet], name: str = "抓包.pcap") -> Any:
    wrpcap(str(folder / name), packets)
    return record(folder, take, source(file=name))


def take(params: Any, run: Any) -> None:
    record_source(params, run, threading.Event())


def test_clients_and_addresses_of_a_file(tmp_path: Path) -> None:
    packets = [
        *mqtt_client(1, "10.0.0.11", 3),
        *mqtt_client(2, "10.0.0.12", 0),
        Ether(src=HERE % 7) / ARP(op=1, hwsrc=HERE % 7, psrc="10.0.0.17", pdst="10.0.0.1"),
        Ether(src=HERE % 8, type=0x8892) / Raw(b"\x80\x00" * 20),
        *(Ether(src=HERE % 99) / IP(src=f"10.9.0.{n}", dst="10.0.0.1") / UDP() for n in range(1, 9)),
    ]
    for n, packet in enumerate(packets):
        packet.time = 1_790_000_000 + n
    evidence = imported(tmp_path, packets)
    seen = {(o.kind, o.value): o for o in observations(evidence, source(file="x"))}
    assert seen["client_id", "dev-1"].messages == 3
    assert seen["client_id", "dev-1"].same == {"ip": "10.0.0.11"}
    assert seen["client_id", "dev-2"].messages == 0
    assert seen["mac", HERE % 1].same == {"ip": "10.0.0.11"}
    assert (seen["mac", HERE % 1].messages, seen["mac", HERE % 1].first_ns) == (None, 1_790_000_000 * 10**9)
    assert seen["mac", HERE % 7].same == {"ip": "10.0.0.17"}
    assert seen["mac", HERE % 8].same == {}
    assert seen["mac", HERE % 99].same == {}  # a router's: its addresses stand for themselves
    assert {v for k, v in seen if k == "ip"} == {f"10.9.0.{n}" for n in range(1, 9)}
    found = {f.code: f.text for f in findings(evidence, source(file="x"))}
    assert set(found) == {"PKT-V07"}
    assert "2026-09-21 14:13:20Z" in found["PKT-V07"]
    with (tmp_path / "抓包.pcap").open("rb") as original, evidence.open("capture.pcap") as kept:
        assert kept.read() == original.read()


def test_names_that_dhcp_ties_to_an_address(tmp_path: Path) -> None:
    options = [("message-type", "request"), ("hostname", b"plc-9"), "end"]
    packet = Ether(src=HERE % 9) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
    packet /= BOOTP(chaddr=bytes.fromhex("001b1b000009") + bytes(10)) / DHCP(options=options)
    seen = list(observations(imported(tmp_path, [packet]), source(file="x")))
    assert ("mac", "plc-9") in {(o.kind, o.same.get("hostname")) for o in seen}


def test_tunnels_are_sessions_and_no_devices(tmp_path: Path) -> None:
    packets = [
        Ether(src=HERE % 1) / IP(src="192.168.0.1", dst="192.168.0.2") / UDP(sport=2152, dport=2152)
        / GTP_U_Header(teid=100 + n, gtp_type=255) / IP(src=f"10.60.0.{n}", dst="10.70.0.1") / UDP()
        for n in range(1, 4)
    ]  # fmt: skip
    evidence = imported(tmp_path, packets)
    seen = {o.value for o in observations(evidence, source(file="x"))}
    assert {"10.60.0.1", "10.60.0.2", "10.60.0.3"} <= seen
    found = {f.code: f for f in findings(evidence, source(file="x"))}
    assert codes((found["PKT-V05"],)) == {"PKT-V05": "info"}
    assert "3 个 GTP-U 隧道" in found["PKT-V05"].text


def test_one_host_that_plays_many_devices_is_a_finding(tmp_path: Path) -> None:
    evidence = imported(tmp_path, [p for n in range(120) for p in mqtt_client(n, "10.0.0.66", 1)])
    clients = [o for o in observations(evidence, source(file="x")) if o.kind == "client_id"]
    assert len(clients) == 120
    assert {o.same["ip"] for o in clients} == {"10.0.0.66"}
    assert "10.0.0.66" in next(f.text for f in findings(evidence, source(file="x")) if f.code == "CAP-V05")


def test_random_macs_and_a_truncated_file(tmp_path: Path) -> None:
    packets = [
        Ether(src=f"02:00:00:00:00:{n:02x}") / IP(src=f"10.0.1.{n}", dst="10.0.0.1") / UDP() for n in range(1, 21)
    ]
    path = tmp_path / "cut.pcap"
    wrpcap(str(path), packets)
    path.write_bytes(path.read_bytes()[:-5])
    evidence = record(tmp_path, take, source(file="cut.pcap"))
    assert {"CAP-V01", "CAP-V04"} <= set(codes(tuple(findings(evidence, source(file="x")))))
    assert len([o for o in observations(evidence, source(file="x")) if o.kind == "mac"]) == 19


def test_pcapng(tmp_path: Path) -> None:
    with PcapNgWriter(str(tmp_path / "a.pcapng")) as writer:
        for packet in mqtt_client(1, "10.0.0.11", 2):
            writer.write(packet)
    evidence = record(tmp_path, take, source(file="a.pcapng"))
    assert "capture.pcapng" in evidence.streams()
    assert next(o for o in observations(evidence, source(file="x")) if o.kind == "client_id").messages == 2


@pytest.mark.parametrize(
    ("streams", "code"),
    [
        ({}, "PKT-V01"),
        ({"capture.pcap": b"nonsense", **DONE}, "PKT-V01"),
        ({"capture.pcap": bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")}, "PKT-V02"),
        ({"capture.pcap": bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"), **DONE}, "PKT-V06"),
    ],
)
def test_evidence_that_is_no_whole_capture(streams: dict[str, bytes], code: str) -> None:
    evidence: Any = MemoryEvidence(streams)
    assert list(observations(evidence, source(file="x"))) == []
    assert code in codes(tuple(findings(evidence, source(file="x"))))


def test_what_the_kernel_dropped_and_a_full_capture_are_findings(tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "a.pcap"), mqtt_client(1, "10.0.0.1", 1))
    session = {"origin": "interface", "packets": 2, "kernel_dropped": 5, "full": True}
    streams = {"capture.pcap": (tmp_path / "a.pcap").read_bytes(), SESSION: json.dumps(session).encode()}
    evidence: Any = MemoryEvidence(streams)
    assert codes(tuple(findings(evidence, source(interface="eth1")))) == {"PKT-V03": "warning", "PKT-V04": "warning"}


def test_refused_before_the_window(tmp_path: Path) -> None:
    (tmp_path / "text.pcap").write_text("not a capture")
    for name, code in (("absent.pcap", "PKT-E01"), ("text.pcap", "PKT-E02")):
        with pytest.raises(ProbeError, match=code):
            record(tmp_path, take, source(file=name))
    if sys.platform == "linux":
        with pytest.raises(ProbeError, match="PKT-E03"):
            record(tmp_path, take, source(interface="no-such0"))
    for senseless in ({}, {"file": "a", "interface": "b"}, {"interface": "b", "snaplen": 10}):
        with pytest.raises(ValueError, match="validation error"):
            source(**senseless)


SEND = """
import sys
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from scapy.sendrecv import sendp
from tests.probes.test_devices_packets import mqtt_client, HERE
plain = [p for n in range(3) for p in mqtt_client(n, f"10.0.0.{10 + n}", 4)]
tagged = Ether(src=HERE % 77) / Dot1Q(vlan=7) / IP(src="10.0.7.7", dst="10.0.0.1") / UDP() / Raw(b"x" * 900)
sendp([*plain, tagged], iface="veth0", verbose=False)
"""


@pytest.mark.netns
@pytest.mark.skipif(not AVAILABLE, reason="network namespaces need root and iproute2")
def test_live_on_a_real_interface(tmp_path: Path) -> None:
    with two_hosts("packets") as (near, far):
        what = source(interface="veth0", snaplen=256)
        child = start_inside(near, tmp_path, what)
        wait_for(tmp_path, "capture.pcap", PCAP_NS)
        subprocess.run([*far.inside, sys.executable, "-c", SEND], check=True)
        wait_for(tmp_path, "capture.pcap", bytes.fromhex((HERE % 77).replace(":", "")))
        evidence = finished(child, tmp_path)
    seen = {(o.kind, o.value): o for o in observations(evidence, what)}
    assert [seen["client_id", f"dev-{n}"].messages for n in range(3)] == [4, 4, 4]
    assert seen["mac", HERE % 77].same == {"ip": "10.0.7.7"}
    with evidence.open(SESSION) as f:
        session = json.load(f)
    frames = rdpcap(str(evidence.folder / "capture.pcap"))
    assert len(frames) == session["packets"] >= 16
    assert session["kernel_dropped"] == 0
    (tagged,) = [f for f in frames if f.src == HERE % 77]
    assert tagged[Dot1Q].vlan == 7
    assert (len(bytes(tagged)), tagged.wirelen) == (256, 900 + 8 + 20 + 4 + 14)
    assert session["start_ns"] <= int(tagged.time * 10**9) + 1000 <= session["end_ns"]
    assert "CAP-V02" in codes(tuple(findings(evidence, what)))


@pytest.mark.netns
@pytest.mark.skipif(not AVAILABLE, reason="network namespaces need root and iproute2")
def test_without_the_right_to_capture(tmp_path: Path) -> None:
    script = (
        "import os\n"
        "from yanshou.probes.listening import listen\n"
        "from yanshou.harness.basics import ProbeError\n"
        "os.setuid(65534)\n"
        "try: listen('lo', '抓成文件')\n"
        "except ProbeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "PKT-E04" in done.stdout
    assert "抓成文件" in done.stdout
