"""Control packets, decoded: who is behind an address (ARP, DHCP, LLDP), and what a mobile core is told (PFCP, GTP-C, NGAP, S1AP).

It is for the few frames that the fast path selects. scapy dissects: only its layers are imported here, nothing of it that
sends is ever called (its layers load that part themselves, and read this host's interfaces from the kernel as they do). It must
never raise for what a packet contains: such a packet is named and not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from yanshou.formats.ngap import read_ngap
from yanshou.formats.packets import ARP, ICMP, ICMP6, IP4, IP6, LLDP, SCTP, TCP, UDP, Headers, payload

_PORTS = {(UDP, 67): "DHCP", (UDP, 68): "DHCP", (UDP, 8805): "PFCP", (UDP, 2123): "GTP-C"}
_DIAMETER = 3868
_NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP", ICMP: "ICMP", ICMP6: "ICMPv6"}
_KINDS = {ARP: "ARP", LLDP: "LLDP", IP4: "IPv4", IP6: "IPv6", 0x8892: "PROFINET", 0x88A4: "EtherCAT", 0x88F7: "PTP"}
_SERVICES = {
    (TCP, 1883): "MQTT", (TCP, 8883): "MQTT/TLS", (TCP, 502): "Modbus", (TCP, 4840): "OPC UA", (UDP, 2152): "GTP-U",
    (TCP, 102): "S7", (UDP, 47808): "BACnet", (TCP, 80): "HTTP", (TCP, 443): "HTTPS", (UDP, 53): "DNS",
    (UDP, 161): "SNMP", (UDP, 862): "STAMP", (TCP, 3868): "Diameter", **_PORTS,
}  # fmt: skip
_BEGINNING = 0x02
"""Flag of an SCTP DATA chunk with which a message begins."""
_NGAP, _S1AP, _DIAMETERS = 60, 18, (46, 47)
"""SCTP payload protocol identifiers (IANA)."""


class ControlMessage(NamedTuple):
    """One message: what it is, between whom, and the identities that it ties together (identity -> {what: value}).

    `registers`: it is a terminal's request to be let in. `terminal`: its permanent identity, "" where the message does not tell.
    """

    protocol: str
    name: str
    where: str = ""
    registers: bool = False
    terminal: str = ""
    identities: tuple[tuple[str, Mapping[str, str]], ...] = ()


def names_of(h: Headers) -> str:
    """A word for what a frame carries."""
    service = _SERVICES.get((h.protocol, h.target_port)) or _SERVICES.get((h.protocol, h.source_port))
    return service or _NAMES.get(h.protocol) or _KINDS.get(h.kind) or f"0x{h.kind:04x}"


def control_of(h: Headers) -> str:
    """Which decoder a frame needs, "" for none."""
    if h.kind in (ARP, LLDP):
        return _KINDS[h.kind]
    if h.protocol == SCTP and h.source_port >= 0:
        return "SCTP"
    if h.protocol == TCP and _DIAMETER in (h.source_port, h.target_port):
        return "Diameter"
    return _PORTS.get((h.protocol, h.target_port)) or _PORTS.get((h.protocol, h.source_port)) or ""


def decode(kind: str, h: Headers, data: bytes) -> Iterator[ControlMessage]:
    """What a control packet says. One that cannot be decoded is one message called 无法解析."""
    try:
        yield from _DECODERS[kind](h, payload(h, data))
    except Exception:  # scapy meets what somebody else wrote: whatever it stumbles over, the packet is only named
        yield ControlMessage(kind, "无法解析")


def _arp(_h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    from scapy.layers.l2 import ARP as Packet

    arp: Any = Packet(octets)
    said = ((str(arp.hwsrc), {"ip": str(arp.psrc)}),) if str(arp.psrc) != "0.0.0.0" else ()
    yield ControlMessage("ARP", "应答" if arp.op == 2 else "询问", identities=said)


def _dhcp(_h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    from scapy.layers.dhcp import BOOTP, DHCP, DHCPTypes

    bootp: Any = BOOTP(octets)
    options = {o[0]: o[1] for o in bootp[DHCP].options if isinstance(o, tuple)} if DHCP in bootp else {}
    facts = {}
    for option, name in (("hostname", "hostname"), ("vendor_class_id", "vendor"), ("client_id", "client_id")):
        value = options.get(option)
        if isinstance(value, bytes):
            printable = value.decode("utf-8", "replace")
            facts[name] = printable if printable.isprintable() else value.hex()
    if bootp.yiaddr not in (None, "0.0.0.0"):
        facts["ip"] = str(bootp.yiaddr)
    kind = DHCPTypes.get(options.get("message-type") or 0, "BOOTP")
    yield ControlMessage("DHCP", str(kind), identities=((bytes(bootp.chaddr)[:6].hex(":"), facts),))


def _lldp(h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    from scapy.contrib.lldp import LLDPDU, LLDPDUChassisID, LLDPDUSystemName

    unit: Any = LLDPDU(octets)
    facts = {}
    if LLDPDUChassisID in unit:
        raw = unit[LLDPDUChassisID].id
        facts["chassis_id"] = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    if LLDPDUSystemName in unit:
        facts["hostname"] = unit[LLDPDUSystemName].system_name.decode("utf-8", "replace")
    yield ControlMessage("LLDP", "通告", identities=((h.source.hex(":"), facts),))


def _pfcp(h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    from scapy.contrib.pfcp import PFCP, IE_UE_IP_Address

    message: Any = PFCP(octets)
    found = []
    layer = message.getlayer(IE_UE_IP_Address)
    if layer is not None and getattr(layer, "ipv4", None):
        found.append((str(layer.ipv4), {"session": f"{h.target_ip.hex()}/{getattr(message, 'seid', None) or 0:x}"}))
    name = PFCP.fields_desc[5].i2repr(message, message.message_type) if octets else "?"
    yield ControlMessage("PFCP", str(name), identities=tuple(found))


def _gtp_c(_h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    version = octets[0] >> 5
    if version == 2:
        from scapy.contrib.gtp_v2 import GTPHeader

        message: Any = GTPHeader(octets)
        yield ControlMessage("GTPv2-C", message.sprintf("%GTPHeader.gtp_type%"))
    else:
        yield ControlMessage(f"GTPv{version}-C", f"类型 {octets[1]}")


def _diameter(_h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    if octets:
        yield ControlMessage("Diameter", f"命令 {int.from_bytes(octets[5:8], 'big')}")


def _sctp(h: Headers, octets: bytes) -> Iterator[ControlMessage]:
    """DATA chunks (RFC 9260 section 3.3.1) by their payload protocol identifier."""
    at = 0
    where = f"{_address(h.source_ip)}→{_address(h.target_ip)}"
    while at + 4 <= len(octets):
        kind, size = octets[at], int.from_bytes(octets[at + 2 : at + 4], "big")
        if size < 4:
            return
        if kind == 0 and octets[at + 1] & _BEGINNING and size > 16:
            ppid = int.from_bytes(octets[at + 12 : at + 16], "big")
            user = octets[at + 16 : at + size]
            if ppid == _NGAP:
                read = read_ngap(user)
                temporary = any(facts.get("guti") == read.terminal for _, facts in read.identities)
                terminal = "" if temporary else read.terminal
                yield ControlMessage("NGAP", read.procedure, where, read.registers, terminal, read.identities)
            elif ppid == _S1AP:
                yield ControlMessage("S1AP", f"过程 {user[1] if len(user) > 1 else '?'}", where)
            elif ppid in _DIAMETERS:
                yield ControlMessage("Diameter", f"命令 {int.from_bytes(user[5:8], 'big')}")
        at += size + (-size % 4)


def _address(octets: bytes) -> str:
    from ipaddress import ip_address

    return str(ip_address(octets)) if octets else "?"


_DECODERS = {
    "ARP": _arp, "DHCP": _dhcp, "LLDP": _lldp, "PFCP": _pfcp, "GTP-C": _gtp_c, "Diameter": _diameter, "SCTP": _sctp,
}  # fmt: skip
