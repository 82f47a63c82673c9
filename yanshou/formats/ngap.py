"""NGAP messages between radio and 5G core (3GPP TS 38.413), and the NAS messages inside (TS 24.501).

The procedure is read from the first octets (aligned PER); identities need pycrate, which is a quarter of a gigabyte and so an
extra (`pip install 'yanshou[ngap]'`): without it they are left out. It must never raise for what a message contains.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

_PROCEDURES = {
    0: "AMFConfigurationUpdate", 4: "DownlinkNASTransport", 14: "InitialContextSetup", 15: "InitialUEMessage",
    20: "NGReset", 21: "NGSetup", 24: "Paging", 29: "PDUSessionResourceSetup", 28: "PDUSessionResourceRelease",
    41: "UEContextRelease", 42: "UEContextReleaseRequest", 44: "UERadioCapabilityInfoIndication", 46: "UplinkNASTransport",
}  # fmt: skip
_INITIAL_UE_MESSAGE = 15
_NAS_PDU, _AMF_UE, _RAN_UE = 38, 10, 85
_MOBILE_IDENTITY = "5GSID"


class Ngap(NamedTuple):
    """One message. `terminal`: SUCI, GUTI or equipment identity in the clear, "" where it is not."""

    procedure: str
    registers: bool
    terminal: str
    identities: tuple[tuple[str, Mapping[str, str]], ...]


def read_ngap(data: bytes) -> Ngap:
    """A message as far as it can be read here."""
    if len(data) < 2:
        return Ngap("不完整", False, "", ())
    code = data[1]
    name = _PROCEDURES.get(code, f"过程 {code}")
    kind = {0x00: "", 0x20: " 成功", 0x40: " 失败"}.get(data[0], " ?")
    facts = _identities(data)
    terminal = facts.get("supi") or facts.get("imei") or facts.get("guti") or ""
    ties = ((terminal, facts),) if terminal else ()
    return Ngap(name + kind, code == _INITIAL_UE_MESSAGE and not kind, terminal, ties)


@cache
def has_pycrate() -> bool:
    """Whether identities can be read."""
    from importlib.util import find_spec

    return find_spec("pycrate_asn1dir") is not None and find_spec("pycrate_mobile") is not None


def _identities(data: bytes) -> dict[str, str]:
    if not has_pycrate():
        return {}
    from pycrate_asn1dir import NGAP

    message: Any = NGAP.NGAP_PDU_Descriptions.NGAP_PDU
    try:
        message.from_aper(data)
        _, body = message.get_val()
        entries = body["value"][1]["protocolIEs"]
    except Exception:  # not of this version of the protocol, or damaged
        return {}
    found: dict[str, str] = {}
    for entry in entries:
        value = entry["value"][1]
        if entry["id"] == _AMF_UE:
            found["amf_ue"] = str(value)
        elif entry["id"] == _RAN_UE:
            found["ran_ue"] = str(value)
        elif entry["id"] == _NAS_PDU:
            found.update(_nas(bytes(value)))
    return found


def _nas(data: bytes) -> dict[str, str]:
    from pycrate_mobile.NAS5G import parse_NAS5G

    try:
        message, error = parse_NAS5G(data, inner=True)
        if error or message is None:
            return {}
        identity = (
            message[_MOBILE_IDENTITY]["V"] if "V" in message[_MOBILE_IDENTITY]._by_name else message[_MOBILE_IDENTITY]
        )
        value = identity.get_val_d() if hasattr(identity, "get_val_d") else {}
    except Exception:  # ciphered, or a message without a mobile identity
        return {}
    return _named(value)


def _named(value: Any) -> dict[str, str]:
    """SUPI from a SUCI with the null scheme, GUTI or IMEI, whichever a mobile identity holds."""
    flat = _flat(value)
    out = {}
    if "MSIN" in flat:
        out["supi"] = f"{flat.get('PLMN', '')}-{flat['MSIN']}"
    elif "Output" in flat and "PLMN" in flat:
        out["supi"] = f"{flat['PLMN']}-{flat['Output']}"
    if "5GTMSI" in flat:
        out["guti"] = str(flat["5GTMSI"])
    return out


def _flat(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    out: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            out |= _flat(inner)
        else:
            out[str(key)] = inner.hex() if isinstance(inner, bytes) else str(inner)
    return out
