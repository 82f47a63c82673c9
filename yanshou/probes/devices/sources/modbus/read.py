"""Modbus answers -> identities. Pure.

Modbus has no serial number of its own, and a gateway may answer for units that do not exist. So a unit is one device only if
something tells it from the others: units behind one gateway with the same identification and without a serial number are ONE.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.modbus.params import Source
from yanshou.probes.devices.sources.tally import Tally, json_lines, some

ANSWERS = "answers.jsonl"


@dataclass(slots=True)
class _Unit:
    declared: bool
    tally: Tally = field(default_factory=Tally)
    identification: str = ""
    serials: dict[str, None] = field(default_factory=dict)


@dataclass
class _Gateway:
    units: dict[int, _Unit] = field(default_factory=dict)
    connected: int = 0
    lost: int = 0

    def answering(self, *, declared: bool) -> dict[int, _Unit]:
        """Units that said anything of themselves."""
        return {n: u for n, u in self.units.items() if u.declared == declared and u.tally.last_ns}

    def alike(self) -> list[list[int]]:
        """Declared units without a serial number, those with equal identification together."""
        groups: dict[str, list[int]] = defaultdict(list)
        for number, unit in self.answering(declared=True).items():
            if not unit.serials:
                groups[unit.identification].append(number)
        return list(groups.values())

    def identities(self) -> int:
        """How many devices it speaks for."""
        return len(self.alike()) + sum(len(unit.serials) for unit in self.answering(declared=True).values())


def _read(evidence: RunEvidence) -> dict[str, _Gateway]:
    gateways: dict[str, _Gateway] = defaultdict(_Gateway)
    for row in json_lines(evidence, ANSWERS):
        gateway = gateways[row["gateway"]]
        match row.get("event"):
            case "connected":
                gateway.connected += 1
            case "lost":
                gateway.lost += 1
            case _:
                unit = gateway.units.setdefault(row["unit"], _Unit(row["declared"]))
                if row["status"] == "ok":
                    _take(unit, row)
    return gateways


def _take(unit: _Unit, row: dict[str, object]) -> None:
    """One answer into what is known of `unit`."""
    t_ns = int(str(row["t"]))
    match row["asked"]:
        case "identification":
            unit.tally.seen(t_ns)
            unit.identification = unit.identification or json.dumps(row["objects"], sort_keys=True)
        case "serial":
            unit.tally.seen(t_ns)
            if serial := serial_text(row["registers"]):
                unit.serials[serial] = None
        case _:
            unit.tally.say(t_ns, json.dumps(row["registers"]).encode())


def serial_text(registers: object) -> str:
    """A serial number in registers: as text where it is printable ASCII (padded at its end), else in hex; "" for none."""
    if not isinstance(registers, list):
        raise ValueError("not registers")
    data = b"".join(int(register).to_bytes(2, "big") for register in registers)
    if not data.strip(b"\0") or not data.strip(b"\xff"):
        return ""
    text = data.rstrip(b"\0 ")
    return text.decode() if text.isascii() and text.decode().isprintable() else data.hex()


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per serial number, and one per group of units that nothing tells apart. Raises ValueError, KeyError for senseless rows.

    An answer to the question for values is a message: the unit itself has to give it.
    """
    for address, gateway in _read(evidence).items():
        behind = address if gateway.identities() > 1 else ""
        units = gateway.answering(declared=True)
        named = [("serial", serial, number) for number, unit in units.items() for serial in unit.serials]
        unnamed = [("modbus_unit", f"{address}/{numbers[0]}", numbers[0]) for numbers in gateway.alike()]
        for kind, value, number in (*named, *unnamed):
            tally = units[number].tally
            yield Observation(
                kind=kind,
                value=value,
                source=source.name,
                first_ns=tally.first_ns,
                last_ns=tally.last_ns,
                messages=tally.messages if source.values else None,
                distinct_values=tally.distinct_values if source.values else None,
                content=tally.content,
                gateway=behind,
                same={"modbus_unit": f"{address}/{number}"} if kind == "serial" else {},
            )


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What is wrong with the answers, or with what they say."""
    gateways = _read(evidence)
    for address, gateway in gateways.items():
        controls = gateway.answering(declared=False)
        also = f"；没有登记的单元号 {some([str(n) for n in controls])} 也应答" if controls else ""
        for numbers in gateway.alike():
            if len(numbers) > 1:
                text = f"{address} 的 {len(numbers)} 个单元号标识相同、没有序列号，只算一台{also}"
                yield Validity("MBT-V01", Severity.WARNING, f"{source.name}：{text}")
        if controls:
            text = f"{address} 替没有登记的单元号 {some([str(n) for n in controls])} 应答：有应答不等于有设备"
            yield Validity("MBT-V02", Severity.WARNING, f"{source.name}：{text}")
        if silent := [str(n) for n, u in gateway.units.items() if u.declared and not u.tally.last_ns]:
            text = f"{address} 有 {len(silent)} 个登记的单元号没有应答：{some(silent)}"
            yield Validity("MBT-V03", Severity.WARNING, f"{source.name}：{text}")
    serials = Counter(s for g in gateways.values() for u in g.answering(declared=True).values() for s in u.serials)
    if twice := [serial for serial, times in serials.items() if times > 1]:
        text = f"{serials.total()} 个单元给出 {len(serials)} 个不同序列号；重复的：{some(twice)}"
        yield Validity("MBT-V04", Severity.WARNING, f"{source.name}：{text}")
    if lost := [f"{address} {g.lost} 次" for address, g in gateways.items() if g.lost]:
        yield Validity("MBT-V05", Severity.WARNING, f"{source.name}：连接中断或连不上：{some(lost)}")
    if never := [g.address for g in source.gateways if not gateways[g.address].connected]:
        yield Validity("MBT-V06", Severity.WARNING, f"{source.name}：始终没有连上：{some(never)}")
