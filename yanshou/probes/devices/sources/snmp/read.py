"""SNMP variables -> identities. Pure.

Tables name neighbours; they tell nothing of what these say, so they show presence and never life. What an administrator can
write into a table (static entries) or what the agent says of itself there (self) is no sighting.

Objects: SNMPv2-MIB (RFC 3418), ENTITY-MIB (RFC 6933), LLDP-MIB (IEEE 802.1AB), BRIDGE-MIB (RFC 4188), Q-BRIDGE-MIB (RFC 4363),
IP-MIB (RFC 4293).
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.snmp.params import Source
from yanshou.probes.devices.sources.tally import json_lines, some

Oid: TypeAlias = tuple[int, ...]
Rows: TypeAlias = dict[Oid, dict[int, Any]]
"""Index -> column -> value."""

VARIABLES = "variables.jsonl"
SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
_SYSTEM_NAME = (*SYSTEM, 5, 0)
_ENTITY: Oid = (1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1)
_ENTITY_CLASS, _ENTITY_SERIAL = (*_ENTITY, 5), (*_ENTITY, 11)
_LLDP: Oid = (1, 0, 8802, 1, 1, 2, 1, 4, 1, 1)
_LLDP_ADDRESS: Oid = (1, 0, 8802, 1, 1, 2, 1, 4, 2, 1)
_BRIDGE: Oid = (1, 3, 6, 1, 2, 1, 17, 4, 3, 1)
_VLAN_BRIDGE: Oid = (1, 3, 6, 1, 2, 1, 17, 7, 1, 2, 2, 1)
_ARP: Oid = (1, 3, 6, 1, 2, 1, 4, 22, 1)
ALWAYS = ("system", "entity")
SUBTREES: Mapping[str, tuple[Oid, ...]] = {
    "system": (SYSTEM,),
    "entity": (_ENTITY_CLASS, _ENTITY_SERIAL),
    "lldp": (_LLDP, _LLDP_ADDRESS),
    "bridge": (_BRIDGE, _VLAN_BRIDGE),
    "arp": (_ARP,),
}
_ENTRIES = (_ENTITY, _LLDP, _LLDP_ADDRESS, _BRIDGE, _VLAN_BRIDGE, _ARP)

CHASSIS, LEARNED, DYNAMIC = 3, 3, 3
"""entPhysicalClass chassis(3); dot1dTpFdbStatus learned(3); ipNetToMediaType dynamic(3)."""
MAC_SUBTYPE, ADDRESS_SUBTYPE = 4, 5
"""LldpChassisIdSubtype macAddress(4), networkAddress(5)."""
FEW_ADDRESSES = 4

Key: TypeAlias = tuple[str, str, str, tuple[tuple[str, str], ...]]
"""kind, value, gateway, other identities."""


@dataclass
class _Agent:
    """What one agent said so far: of the round under way its `tables`, of all rounds the rest."""

    tables: dict[Oid, Rows] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    name: str = ""
    answered: set[str] = field(default_factory=set)
    whole: int = 0
    lost: int = 0


@dataclass
class _Read:
    agents: dict[str, _Agent] = field(default_factory=lambda: defaultdict(_Agent))
    seen: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """First and last time, UTC ns."""


def _read(evidence: RunEvidence, source: Source) -> _Read:
    read = _Read()
    gateways = {agent.address: agent.gateway for agent in source.agents}
    for row in json_lines(evidence, VARIABLES):
        agent, t_ns = read.agents[row["agent"]], int(row["t"])
        match row.get("event"):
            case "begin":
                agent.tables.clear()
            case "end" | "lost" as how:
                agent.whole += how == "end"
                agent.lost += how == "lost"
                for kind, value, same, behind in _identities(row["agent"], agent):
                    key = (kind, value, gateways.get(row["agent"], "") if behind else "", tuple(sorted(same.items())))
                    first, _ = read.seen.get(key, (t_ns, t_ns))
                    read.seen[key] = (first, t_ns)
            case _:
                agent.answered.add(row["table"])
                _take(agent, tuple(map(int, row["oid"].split("."))), row["value"])
    return read


def _take(agent: _Agent, oid: Oid, value: Any) -> None:
    if oid == _SYSTEM_NAME:
        agent.name = _text(value)
    for entry in _ENTRIES:
        if oid[: len(entry)] == entry:
            agent.tables[entry][oid[len(entry) + 1 :]][oid[len(entry)]] = value


def _identities(address: str, agent: _Agent) -> Iterator[tuple[str, str, dict[str, str], bool]]:
    """(kind, value, same, whether it is behind the agent) of everything in the tables of one round."""
    yield from _itself(address, agent)
    addresses = _lldp_addresses(agent.tables[_LLDP_ADDRESS])
    for index, columns in agent.tables[_LLDP].items():
        yield from _neighbour(columns, addresses.get(index, ""))
    for index, columns in (*agent.tables[_BRIDGE].items(), *agent.tables[_VLAN_BRIDGE].items()):
        if columns.get(3) == LEARNED and (mac := _mac(bytes(index[-6:]))):
            yield "mac", mac, {}, True
    for index, columns in agent.tables[_ARP].items():
        if columns.get(4) == DYNAMIC and len(index) == 5 and (mac := _mac(bytes.fromhex(columns.get(2, "")))):
            yield "mac", mac, {"ip": str(ipaddress.IPv4Address(bytes(index[1:])))}, True


def _itself(address: str, agent: _Agent) -> Iterator[tuple[str, str, dict[str, str], bool]]:
    """The agent as a device: the serial numbers of its chassis, else its name."""
    host = address.rpartition(":")[0]
    same = ({"hostname": agent.name} if agent.name else {}) | ({"ip": host} if _is_ip(host) else {})
    chassis = [
        serial
        for columns in agent.tables[_ENTITY].values()
        if columns.get(5) == CHASSIS and (serial := _text(columns.get(11, "")))
    ]
    for serial in chassis:
        yield "serial", serial, same, False
    if agent.name and not chassis:
        yield "hostname", agent.name, {k: v for k, v in same.items() if k != "hostname"}, False


def _neighbour(columns: Mapping[int, Any], address: str) -> Iterator[tuple[str, str, dict[str, str], bool]]:
    """One row of lldpRemTable: chassis id (4 subtype, 5 id), system name (9)."""
    raw = bytes.fromhex(columns.get(5, ""))
    same = ({"hostname": name} if (name := _text(columns.get(9, ""))) else {}) | ({"ip": address} if address else {})
    value = _text(raw.hex())
    match columns.get(4):
        case 4:
            value = _mac(raw)
            same |= {"mac": value}
        case 5 if len(raw) == 5 and raw[0] == 1:  # IANA address family 1, IPv4
            value = str(ipaddress.IPv4Address(raw[1:]))
            same |= {"ip": value}
    if value:
        yield "chassis_id", value, same, True


def _lldp_addresses(rows: Rows) -> dict[Oid, str]:
    """Row of lldpRemTable -> its first IPv4 management address; in lldpRemManAddrTable it is part of the index."""
    found: dict[Oid, str] = {}
    for index in rows:
        row, family, length, octets = index[:3], index[3:4], index[4:5], index[5:]
        if family == (1,) and length == (4,) and len(octets) == 4:
            found.setdefault(row, str(ipaddress.IPv4Address(bytes(octets))))
    return found


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _text(octets: str) -> str:
    """Octets in hex as text; "" for none."""
    return bytes.fromhex(octets).decode("utf-8", "replace").strip("\0 \t\r\n")


def _mac(octets: bytes) -> str:
    """A unicast hardware address, "" for anything else."""
    return octets.hex(":") if len(octets) == 6 and any(octets) and not octets[0] & 1 else ""


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per neighbour and combination of its names, and one per agent. Raises ValueError, KeyError for senseless rows."""
    for (kind, value, gateway, same), (first, last) in _read(evidence, source).seen.items():
        yield Observation(kind, value, source.name, first, last, gateway=gateway, same=dict(same))


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What is wrong with the tables, or with what they say."""
    read = _read(evidence, source)
    macs = {v for k, v, _, _ in read.seen if k == "mac"}
    if random := sorted(mac for mac in macs if int(mac[:2], 16) & 2):
        text = f"{len(macs)} 个 MAC 里 {len(random)} 个是本地管理的（可能是随机的），不能当设备标识：{some(random)}"
        yield Validity("SNM-V01", Severity.WARNING, f"{source.name}：{text}")
    pairs = {(value, same) for kind, value, _, same in read.seen if kind == "mac" and same}
    addresses = Counter(mac for mac, _ in pairs)
    if many := [f"{mac}（{n} 个）" for mac, n in addresses.items() if n > FEW_ADDRESSES]:
        text = f"一个 MAC 有多个 IP，是路由器、代理 ARP，或一台扮演多台：{some(many)}"
        yield Validity("SNM-V02", Severity.WARNING, f"{source.name}：{text}")
    if lost := [f"{address} {a.lost} 次" for address, a in read.agents.items() if a.lost]:
        yield Validity("SNM-V03", Severity.WARNING, f"{source.name}：没有读完：{some(lost)}")
    if never := [a.address for a in source.agents if not read.agents[a.address].whole]:
        yield Validity("SNM-V04", Severity.WARNING, f"{source.name}：一遍也没有读完：{some(never)}")
    if empty := [
        f"{address} 的 {table}"
        for address, agent in read.agents.items()
        for table in source.tables
        if agent.whole and table not in agent.answered
    ]:
        yield Validity("SNM-V05", Severity.WARNING, f"{source.name}：表为空或不支持：{some(empty)}")
    if source.version == "2c":
        yield Validity("SNM-V06", Severity.INFO, f"{source.name}：SNMP 2c 不加密，也不能核实应答出自谁")
