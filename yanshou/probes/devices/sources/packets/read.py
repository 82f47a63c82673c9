"""A capture -> identities. Pure.

Addresses show that something was there, not that it does anything: a packet is no message, so only MQTT clients, whose PUBLISH
packets can be told from the rest, have any. Tunnels and the sessions inside are no devices: one terminal that registers again
has many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from yanshou.formats.capture import CaptureSummary, Seen, summarise
from yanshou.formats.pcap import NotACapture
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.packets.params import Source

CAPTURES = {False: "capture.pcap", True: "capture.pcapng"}
"""Stream name, by whether it is pcapng."""
SESSION = "session.json"
FEW_ADDRESSES = 4
"""IP addresses of one device (IPv4, and IPv6 link-local, global, temporary); a MAC with more of them is a router's."""
NAMES = ("hostname", "chassis_id")
"""What DHCP and LLDP tell of a MAC that is an identity."""


@dataclass(frozen=True)
class _Content:
    """A stream, compared by its digest."""

    sha256: str
    evidence: RunEvidence = field(compare=False)
    stream: str = field(compare=False)


@lru_cache(maxsize=1)
def _summary(content: _Content) -> CaptureSummary:
    """The capture added up, once for observations and findings. Raises NotACapture."""
    with content.evidence.open(content.stream) as f:
        return summarise(f)


def _summarised(evidence: RunEvidence) -> CaptureSummary | None:
    """The capture in the evidence, None where there is none."""
    for name in CAPTURES.values():
        if name in evidence.streams():
            try:
                return _summary(_Content(evidence.sha256(name), evidence, name))
            except NotACapture:
                return None
    return None


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """MQTT clients, hardware addresses, IP addresses (of a router's MAC each for itself, and inside tunnels) and subscribers."""
    summary = _summarised(evidence)
    if summary is None:
        return

    def told(
        kind: str, value: str, seen: Seen | None, same: Mapping[str, str], messages: int | None = None
    ) -> Observation:
        first, last = (seen.first, seen.last) if seen else (0, 0)
        return Observation(kind, value, source.name, first, last, messages, same=same)

    for client, seen in summary.clients.items():
        where = {"ip": next(iter(seen.peers))} if len(seen.peers) == 1 else {}
        yield told("client_id", client, seen, where, seen.packets)
    with_device: set[str] = set()
    for mac, seen in summary.macs.items():
        facts = summary.names.get(mac, {})
        names = {kind: facts[kind] for kind in NAMES if facts.get(kind)}
        addresses = seen.peers | ({facts["ip"]} if "ip" in facts else set())
        own = sorted(addresses) if len(addresses) <= FEW_ADDRESSES else []
        with_device.update(own)
        for address in own or [""]:
            yield told("mac", mac, seen, names | ({"ip": address} if address else {}))
    for address, seen in summary.ips.items():
        if address not in with_device:
            yield told("ip", address, seen, {})
    inside = {address: seen for seen in summary.tunnels.values() for address in sorted(seen.peers)}
    for address in sorted(inside.keys() - summary.ips.keys()):
        yield told("ip", address, inside[address], {})
    for facts in summary.names.values():
        own_names = {kind: facts[kind] for kind in ("supi", "imei") if facts.get(kind)}
        if own_names:
            kind = next(iter(own_names))
            yield told(kind, own_names.pop(kind), None, own_names)


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What is wrong with the capture, or with what it shows."""
    summary = _summarised(evidence)
    if summary is None:
        yield Validity("PKT-V01", Severity.INVALID, f"{source.name}：证据里没有抓包，或不是抓包")
        return
    for found in summary.findings:
        yield Validity(found.code, found.severity, f"{source.name}：{found.text}")
    session = _session(evidence)
    if session is None:
        yield Validity("PKT-V02", Severity.INVALID, f"{source.name}：抓包没有正常结束，丢了多少包不知道")
        session = {}
    if dropped := session.get("kernel_dropped"):
        text = f"内核来不及交出 {dropped} 包（抓到 {session['packets']} 包）：少见的设备可能没看到"
        yield Validity("PKT-V03", Severity.WARNING, f"{source.name}：{text}")
    if session.get("full"):
        yield Validity(
            "PKT-V04", Severity.WARNING, f"{source.name}：证据到了 {source.largest_mb} MB 的上限，此后没有抓"
        )
    if summary.tunnels:
        inside = {address for seen in summary.tunnels.values() for address in seen.peers}
        text = f"{len(summary.tunnels)} 个 GTP-U 隧道、其中 {len(inside)} 个地址：是会话，不是设备"
        yield Validity("PKT-V05", Severity.INFO, f"{source.name}：{text}")
    if not summary.frames:
        yield Validity("PKT-V06", Severity.WARNING, f"{source.name}：一包也没有抓到：接口对不对，镜像口有没有配")
    elif session.get("origin") == "file":
        text = f"抓包文件的时间是 {_when(summary.first)} 至 {_when(summary.last)}（抓包主机的钟），须与观察窗口相符"
        yield Validity("PKT-V07", Severity.INFO, f"{source.name}：{text}")


def _session(evidence: RunEvidence) -> dict[str, Any] | None:
    if SESSION not in evidence.streams():
        return None
    with evidence.open(SESSION) as f:
        session = json.load(f)
    if not isinstance(session, dict):
        raise ValueError("not a session")
    return session


def _when(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
