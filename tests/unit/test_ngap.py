"""Registrations at a 5G core, built with pycrate: who they are, and that one terminal that comes again and again is one."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData

from tests.unit.captures_support import classic, summary
from yanshou.formats import ngap

PLMN = bytes.fromhex("64f000")
"""460 00."""


def digits(text: str) -> bytes:
    text += "f" * (len(text) % 2)
    return bytes(int(text[i + 1] + text[i], 16) for i in range(0, len(text), 2))


def suci(msin: str, scheme: int = 0) -> bytes:
    return b"\x01" + PLMN + b"\xf0\xff" + bytes([scheme, 0]) + digits(msin)


def registration(identity: bytes, ran_ue: int) -> bytes:
    """An InitialUEMessage (aligned PER) with a registration request in the clear."""
    from pycrate_asn1dir import NGAP

    nas = b"\x7e\x00\x41\x79" + len(identity).to_bytes(2, "big") + identity + b"\x2e\x02\xf0\xf0"
    message = NGAP.NGAP_PDU_Descriptions.NGAP_PDU
    entries = [
        {"id": 85, "criticality": "reject", "value": ("RAN-UE-NGAP-ID", ran_ue)},
        {"id": 38, "criticality": "reject", "value": ("NAS-PDU", nas)},
        {"id": 90, "criticality": "ignore", "value": ("RRCEstablishmentCause", "mo-Signalling")},
    ]
    value = ("InitialUEMessage", {"protocolIEs": entries})
    message.set_val(("initiatingMessage", {"procedureCode": 15, "criticality": "ignore", "value": value}))
    octets: bytes = message.to_aper()
    return octets


def frame(user: bytes) -> bytes:
    chunk = SCTPChunkData(proto_id=60, data=user, beginning=1, ending=1)
    packet = (
        Ether(src="00:16:3e:00:00:01") / IP(src="10.2.0.1", dst="10.2.0.2") / SCTP(sport=38412, dport=38412) / chunk
    )
    return bytes(packet)


def found(identities: list[bytes]) -> tuple[dict, dict[str, str]]:
    told = summary(classic([frame(registration(one, n)) for n, one in enumerate(identities)]))
    return dict(told.names), {f.code: f.text for f in told.findings}


def test_one_terminal_that_registers_again_and_again_is_one() -> None:
    names, findings = found([suci("0000000001"), suci("0000000002")] * 15)
    assert {facts["supi"] for facts in names.values()} == {"460000000000001", "460000000000002"}
    assert "注册 30 次，终端标识只有 2 个" in findings["CAP-V06"]


def test_many_terminals_that_register_once_are_many() -> None:
    names, findings = found([suci(f"{n:010d}") for n in range(30)])
    assert len(names) == 30
    assert "CAP-V06" not in findings


def test_concealed_identities_name_nobody() -> None:
    names, findings = found([suci(f"{n:010d}", scheme=1) for n in range(30)])
    assert names == {}
    assert "看不出是几个终端" in findings["CAP-V06"]


def test_without_pycrate_identities_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    message = registration(suci("0000000001"), 1)
    monkeypatch.setattr(ngap, "has_pycrate", lambda: False)
    assert ngap.read_ngap(message) == ngap.Ngap("InitialUEMessage", True, "", ())


@pytest.mark.parametrize(
    ("octets", "who"),
    [
        (suci("123456789"), {"supi": "46000123456789"}),
        (b"\x01" + bytes.fromhex("640011") + b"\xf0\xff\x00\x00" + digits("0000000007"), {"supi": "4601100000000007"}),
        (b"\xf2" + PLMN + b"\x01\x02\x03\xaa\xbb\xcc\xdd", {"guti": "64f000010203aabbccdd"}),
        (bytes.fromhex("8b" + digits("64500123456789").hex()), {"imei": "864500123456789"}),
        (b"", {}),
        (b"\x01", {}),
        (b"\xf2\x00", {}),
    ],
)
def test_mobile_identities(octets: bytes, who: dict[str, str]) -> None:
    assert ngap.mobile_identity(octets) == who
