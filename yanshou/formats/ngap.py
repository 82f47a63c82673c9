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
_IDENTITIES = {"5GSID": 2, "IMEISV": 3}
"""Elements that hold a mobile identity, and the octets of tag and length before it."""


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
    """The mobile identity that a NAS message carries in the clear."""
    from pycrate_mobile.NAS5G import parse_NAS5G

    try:
        message, error = parse_NAS5G(data, inner=True)
        found = {} if error else {e._name: e.to_bytes() for e in message if e._name in _IDENTITIES}
    except Exception:  # ciphered, or damaged
        return {}
    out: dict[str, str] = {}
    for element, octets in found.items():
        out |= mobile_identity(octets[_IDENTITIES[element] :])
    return out


def mobile_identity(octets: bytes) -> dict[str, str]:
    """A 5GS mobile identity (TS 24.501 section 9.11.3.4): the SUPI of a SUCI with the null scheme, the GUTI, or the IMEI(SV).

    A concealed SUCI names nobody: it is another one each time.
    """
    kind = octets[0] & 0x07 if octets else 0
    if kind == 1 and octets[0] >> 4 == 0 and len(octets) > 8 and octets[6] & 0x0F == 0:
        plmn = _digits(octets[1:4])  # MCC 1-2-3, then MNC 3 (filler for two digits), 1, 2
        return {"supi": plmn[:3] + plmn[4:] + plmn[3].strip("f") + _digits(octets[8:]).rstrip("f")}
    if kind == 2 and len(octets) >= 11:
        return {"guti": octets[1:11].hex()}
    if kind in (3, 5):
        return {"imei": (f"{octets[0] >> 4:x}" + _digits(octets[1:])).rstrip("f")}
    return {}


def _digits(octets: bytes) -> str:
    """Semi-octets, low one first."""
    return "".join(f"{octet & 0x0F:x}{octet >> 4:x}" for octet in octets)
