"""Sentences, frames and damage for the tests of the reader: written from the documents, not copied from any log."""

from __future__ import annotations

import random
import struct
import zlib

from yanshou.formats.frames import crc24q
from yanshou.probes.gnss.simulate import sentence

__all__ = ["MAKERS", "best", "crc", "rtcm3", "sentence", "ubx"]


def crc(body: str, mark: str = "$") -> bytes:
    """A sentence with Unicore's CRC-32, calculated bit by bit."""
    total = 0
    for octet in body.encode("ascii"):
        total ^= octet
        for _ in range(8):
            total = total >> 1 ^ (0xEDB88320 if total & 1 else 0)
    assert total == zlib.crc32(body.encode("ascii"), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return f"{mark}{body}*{total:08x}\r\n".encode("ascii")


def ubx(payload: bytes, kind: tuple[int, int] = (0x01, 0x07)) -> bytes:
    """A u-blox frame."""
    checked = bytes(kind) + struct.pack("<H", len(payload)) + payload
    first = second = 0
    for octet in checked:
        first = first + octet & 0xFF
        second = second + first & 0xFF
    return b"\xb5\x62" + checked + bytes((first, second))


def rtcm3(payload: bytes) -> bytes:
    """An RTCM 3 frame."""
    head = b"\xd3" + struct.pack(">H", len(payload)) + payload
    return head + crc24q(head).to_bytes(3, "big")


def _time(rng: random.Random) -> str:
    decimals = rng.choice(["", ".00", ".000", ".25", ".9"])
    return f"{rng.randrange(24):02d}{rng.randrange(60):02d}{rng.randrange(60):02d}{decimals}"


def _place(rng: random.Random) -> str:
    if rng.random() < 0.1:
        return ",,,"
    digits = rng.choice([4, 5, 6, 7, 8])
    latitude = f"{rng.randrange(90):02d}{rng.randrange(60):02d}.{rng.randrange(10**digits):0{digits}d}"
    longitude = f"{rng.randrange(180):03d}{rng.randrange(60):02d}.{rng.randrange(10**digits):0{digits}d}"
    return f"{latitude},{rng.choice('NS')},{longitude},{rng.choice('EW')}"


def _number(rng: random.Random, most: float, decimals: int, sign: bool = False, empty: float = 0.1) -> str:
    if rng.random() < empty:
        return ""
    return f"{rng.uniform(-most if sign else 0, most):.{decimals}f}"


def _gga(rng: random.Random) -> str:
    height = f"{_number(rng, 5000, rng.randrange(5), sign=True)},M,{_number(rng, 100, rng.randrange(5), sign=True)},M"
    station = rng.choice(["", "0000", "1023", "133"])
    return (
        f"GGA,{_time(rng)},{_place(rng)},{rng.randrange(9)},{rng.randrange(40):02d},{_number(rng, 30, rng.randrange(3))},"
        f"{height},{_number(rng, 60, 1)},{station}"
    )


def _gns(rng: random.Random) -> str:
    modes = "".join(rng.choice("NADRFE") for _ in range(rng.randrange(1, 7)))
    return (
        f"GNS,{_time(rng)},{_place(rng)},{modes},{rng.randrange(40):02d},{_number(rng, 30, 1)},"
        f"{_number(rng, 5000, 3, sign=True)},{_number(rng, 99, 1, sign=True)},{_number(rng, 60, 1)},{rng.choice(['', '0133'])}"
        + rng.choice(["", ",V"])
    )


def _rmc(rng: random.Random) -> str:
    date = f"{rng.randrange(1, 29):02d}{rng.randrange(1, 13):02d}{rng.randrange(100):02d}"
    return (
        f"RMC,{_time(rng)},{rng.choice('AV')},{_place(rng)},{_number(rng, 100, 3)},{_number(rng, 360, 2)},{date},,"
        + rng.choice(["", ",", ",A", ",R,V"])
    )


def _gst(rng: random.Random) -> str:
    return f"GST,{_time(rng)}," + ",".join(_number(rng, 30, rng.randrange(1, 5), empty=0.2) for _ in range(7))


def _gsa(rng: random.Random) -> str:
    used = [f"{rng.randrange(1, 240):02d}" for _ in range(rng.randrange(13))]
    dop = ",".join(_number(rng, 30, rng.randrange(3), empty=0.05) for _ in range(3))
    return f"GSA,A,{rng.randrange(1, 4)},{','.join(used + [''] * (12 - len(used)))},{dop}" + rng.choice(
        ["", ",1", ",4"]
    )


def _gsv(rng: random.Random) -> str:
    seen = ""
    for _ in range(rng.randrange(5)):
        cn0 = _number(rng, 60, rng.choice([0, 0, 0, 1]), empty=0.3)
        seen += f",{rng.randrange(1, 300):02d},{_number(rng, 90, 0)},{_number(rng, 359, 0)},{cn0}"
    return f"GSV,3,{rng.randrange(1, 4)},{rng.randrange(13):02d}{seen}" + rng.choice(["", ",1", ",B"])


def _zda(rng: random.Random) -> str:
    return f"ZDA,{_time(rng)},{rng.randrange(1, 29):02d},{rng.randrange(1, 13):02d},{rng.randrange(1990, 2060)},00,00"


def _vtg(rng: random.Random) -> str:
    return f"VTG,{_number(rng, 360, 2)},T,,M,{_number(rng, 100, 3)},N,{_number(rng, 200, 3)},K" + rng.choice(["", ",D"])


MAKERS = {"GGA": _gga, "GNS": _gns, "RMC": _rmc, "GST": _gst, "GSA": _gsa, "GSV": _gsv, "ZDA": _zda, "VTG": _vtg}
"""A random sentence of each kind, without talker."""


def best(kind: str, status: str, latitude: str, longitude: str, altitude: str, separation: str) -> str:
    """BESTNAVA as Unicore, BESTPOSA as NovAtel documents it; 2026-03-02 08:00:00 UTC."""
    head = {
        "BESTNAVA": "BESTNAVA,97,GPS,FINE,2408,115218000,0,0,18,16",
        "BESTPOSA": "BESTPOSA,COM1,0,83.5,FINESTEERING,2408,115218.000,02000000,cdba,16809",
    }[kind]
    tail = '0.0079,0.0056,0.0141,"1023",1.000,0.000,34,31,31,30,00,21,7f,37'
    return f"{head};SOL_COMPUTED,{status},{latitude},{longitude},{altitude},{separation},WGS84,{tail}"
