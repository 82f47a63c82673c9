"""What identifies a device, and when two spellings are the same identity. It must never decide whether a device counts."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, get_args

from yanshou.probes.texts import plain

IdentityKind: TypeAlias = Literal[
    "serial", "imei", "supi", "client_id", "chassis_id",
    "cert_cn", "mac", "ip", "hostname", "topic", "opcua_uri", "modbus_unit",
]  # fmt: skip
KINDS: tuple[IdentityKind, ...] = get_args(IdentityKind)
"""All kinds, the best name of a device first."""

OWN = frozenset({"serial", "imei", "supi", "client_id", "chassis_id"})
"""Kinds that one device does not share with another: two that meet are one device. The others (an address behind a
translator, a router's MAC, a certificate for the whole fleet, unit 1 of every gateway) join only where nothing else claims them."""

_WORDS = {
    "serial": "序列号", "imei": "IMEI", "supi": "SUPI", "client_id": "MQTT 客户端号", "chassis_id": "机箱号",
    "cert_cn": "证书主题", "mac": "MAC", "ip": "IP", "hostname": "主机名", "topic": "主题", "opcua_uri": "OPC UA 应用 URI",
    "modbus_unit": "Modbus 单元",
}  # fmt: skip
_IMEI_DIGITS = 14
"""TAC and serial number (3GPP TS 23.003, 6.2): what IMEI and IMEISV have in common; then comes a check digit, or a version."""


def word(kind: str) -> str:
    """The Chinese word for an identity kind, itself where there is none."""
    return _WORDS.get(kind, kind)


def normal(kind: str, value: str) -> str:
    """The form in which identities of `kind` are compared, "" for no identity.

    Serials ignore case, MAC addresses their separators, IMEI and IMEISV all after the fourteenth digit. Client ids, topics and
    URIs are compared as they are: brokers tell their case apart.
    """
    text = plain(value)
    if kind in ("serial", "hostname", "chassis_id"):
        return text.upper()
    if kind == "mac":
        digits = re.sub(r"[^0-9A-Fa-f]", "", text).lower()
        return ":".join(re.findall("..", digits)) if len(digits) == 12 else text.lower()
    if kind == "imei":
        digits = re.sub(r"[^0-9]", "", text)
        return digits[:_IMEI_DIGITS] if len(digits) in (14, 15, 16) else text
    if kind == "supi":
        return text.lower().removeprefix("imsi-")
    return text
