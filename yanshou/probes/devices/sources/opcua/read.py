"""OPC UA readings -> identities. Pure.

A serial number is what a server says it is: it proves nothing about the device behind, but two devices with one serial number
are one. A pull is answered from a cache, so what counts as a message is an update: a reading whose value or whose source time
stamp differs from the one before.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.opcua.params import Source
from yanshou.probes.devices.sources.tally import Tally, json_lines, some

READINGS = "readings.jsonl"


@dataclass(slots=True)
class _Device:
    tally: Tally = field(default_factory=Tally)
    serials: dict[str, None] = field(default_factory=dict)
    has_values: bool = False
    last: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class _Read:
    devices: dict[tuple[str, str], _Device] = field(default_factory=lambda: defaultdict(_Device))
    connected: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    found: dict[str, int] = field(default_factory=dict)


def _read(evidence: RunEvidence) -> _Read:
    read = _Read()
    for row in json_lines(evidence, READINGS):
        endpoint = row["endpoint"]
        match row.get("event"):
            case "connected":
                read.connected[endpoint] += 1
            case "lost":
                read.lost[endpoint] += 1
            case "found":
                read.found[endpoint] = row["devices"]
            case _:
                _take(read.devices[endpoint, row["device"]], row)
    return read


def _take(device: _Device, row: dict[str, object]) -> None:
    """One reading into what is known of `device`."""
    is_serial = row["node"] == row["device"]
    device.has_values |= not is_serial
    if row["status"] != "Good" or row["value"] is None:
        return
    t_ns = int(str(row["t"]))
    if is_serial:
        device.tally.seen(t_ns)
        if serial := str(row["value"]).strip():
            device.serials[serial] = None
        return
    node, value = str(row["node"]), json.dumps(row["value"])
    update = (value, str(row["source_t"]))
    if device.last.get(node) == update:
        device.tally.seen(t_ns)
    else:
        device.last[node] = update
        device.tally.say(t_ns, value.encode())


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per device and serial number it gave; by its address (endpoint, and node where that has several) where it gave none.

    Raises ValueError, KeyError for senseless rows.
    """
    devices = _read(evidence).devices
    speaks_for = Counter(endpoint for endpoint, _ in devices)
    for (endpoint, node), device in devices.items():
        is_gateway = speaks_for[endpoint] > 1
        uri = f"{endpoint}/{node}" if is_gateway else endpoint
        if not device.tally.last_ns:
            continue
        for kind, value in [("serial", serial) for serial in device.serials] or [("opcua_uri", uri)]:
            yield Observation(
                kind=kind,
                value=value,
                source=source.name,
                first_ns=device.tally.first_ns,
                last_ns=device.tally.last_ns,
                messages=device.tally.messages if device.has_values else None,
                distinct_values=device.tally.distinct_values if device.has_values else None,
                content=device.tally.content,
                gateway=endpoint if is_gateway else "",
                same={} if kind == "opcua_uri" else {"opcua_uri": uri},
            )


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What is wrong with the readings, or with what they say."""
    read = _read(evidence)
    serials = Counter(serial for device in read.devices.values() for serial in device.serials)
    if twice := [serial for serial, times in serials.items() if times > 1]:
        text = f"{serials.total()} 台给出 {len(serials)} 个不同序列号；重复的：{some(twice)}"
        yield Validity("OPC-V01", Severity.WARNING, f"{source.name}：{text}")
    if silent := [node for (_, node), device in read.devices.items() if not device.serials]:
        yield Validity("OPC-V02", Severity.WARNING, f"{source.name}：{len(silent)} 台读不出序列号：{some(silent)}")
    if changed := [node for (_, node), device in read.devices.items() if len(device.serials) > 1]:
        text = f"{len(changed)} 台在窗口内换了序列号：{some(changed)}"
        yield Validity("OPC-V03", Severity.WARNING, f"{source.name}：{text}")
    if read.lost:
        broken = [f"{url} {times} 次" for url, times in read.lost.items()]
        yield Validity(
            "OPC-V04", Severity.WARNING, f"{source.name}：连接中断或连不上，其间的设备看不见：{some(broken)}"
        )
    if never := [e.url for e in source.endpoints if not read.connected[e.url]]:
        yield Validity("OPC-V05", Severity.WARNING, f"{source.name}：始终没有连上：{some(never)}")
    if empty := [url for url, number in read.found.items() if not number]:
        yield Validity("OPC-V06", Severity.WARNING, f"{source.name}：文件夹里没有带序列号的设备：{some(empty)}")
    if source.policy == "None":
        yield Validity("OPC-V07", Severity.INFO, f"{source.name}：明文连接，服务器身份未经证书核实")
