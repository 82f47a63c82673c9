"""The sentence reader: every kind beside pynmea2, dialects by hand, every way to be damaged, any cut, any garbage, flat memory."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pynmea2
import pytest

from tests.unit.nmea_support import MAKERS, best, crc, rtcm3, sentence, ubx
from yanshou.formats import nmea
from yanshou.formats.frames import find_frames
from yanshou.formats.nmea import Block, read_blocks

GGA = "GNGGA,080000.00,3031.6680000,N,11421.4260000,E,4,20,0.6,42.5000,M,-14.5000,M,1.0,1023"
RMC = "GNRMC,080000.00,A,3031.6680000,N,11421.4260000,E,0.01,,020326,,,R,V"


def one(data: bytes) -> Block:
    (block,) = read_blocks([data])
    return block


def told(blocks: Iterable[Block]) -> dict[str, Any]:
    """Everything in them, so that two readings of the same stream can be compared."""
    sums: Counter[str] = Counter()
    rows: dict[str, list[Any]] = {}
    for block in blocks:
        for name in ("damaged", "halves", "readable"):
            sums[name] += getattr(block, name)
        for name in ("unknown", "refused", "frames"):
            sums.update({f"{name}.{key}": number for key, number in getattr(block, name).items()})
        for kind, table in block.tables.items():
            for name, column in {
                "begin": table.begin,
                "end": table.end,
                "talker": table.talker,
                **table.columns,
            }.items():
                rows.setdefault(f"{kind}.{name}", []).extend(
                    np.nan_to_num(column, nan=-999.0).tolist() if column.dtype.kind == "f" else column.tolist()
                )
    return {**sums, **rows}


def row(block: Block, kind: str, at: int = 0) -> dict[str, Any]:
    return {
        name: column[at].tolist() if column[at].ndim else column[at].item()
        for name, column in block.tables[kind].columns.items()
    }


# ---- the same numbers as another reader -----------------------------------------------------------------------------------


FIELDS = {
    "GGA": {"quality": 5, "satellites": 6, "hdop": 7, "altitude": 8, "separation": 10, "age": 12},
    "GNS": {"satellites": 6, "hdop": 7, "altitude": 8, "separation": 9, "age": 10},
    "RMC": {"speed": 6, "course": 7},
    "GST": {"rms": 1, "major": 2, "minor": 3, "orientation": 4, "latitude_sd": 5, "longitude_sd": 6, "altitude_sd": 7},
    "GSA": {"fix": 1, "pdop": 14, "hdop": 15, "vdop": 16},
    "GSV": {"in_view": 2},
    "ZDA": {},
    "VTG": {"course": 0, "knots": 4, "speed": 6},
}  # fmt: skip


def number(text: str, like: Any) -> float:
    return float(text) if text else -1 if isinstance(like, int) else math.nan


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_is_read_as_pynmea2_reads_it(kind: str) -> None:
    rng = random.Random(kind)
    lines = [sentence(rng.choice(["GN", "GP", "GB", "BD"]) + MAKERS[kind](rng)) for _ in range(400)]
    block = one(b"".join(lines))
    assert (len(block.tables[kind]), block.damaged, block.halves, dict(block.refused)) == (400, 0, 0, {})
    assert block.readable == len(block.data)
    for at, line in enumerate(lines):
        ours, theirs = row(block, kind, at), pynmea2.parse(line.decode().strip(), check=True)
        assert block.tables[kind].talker[at].decode() == theirs.talker
        for name, field in FIELDS[kind].items():
            assert ours[name] == pytest.approx(number(theirs.data[field], ours[name]), abs=0, nan_ok=True), (line, name)
        if "latitude" in ours:
            for name, text in (("latitude", theirs.lat), ("longitude", theirs.lon)):
                if not text:
                    assert math.isnan(ours[name])
                    continue
                whole, _, fraction = text.partition(".")
                exact = abs(Fraction(ours[f"{name}_units"], 10 ** ours[f"{name}_decimals"]))
                assert exact == int(whole[:-2]) * 60 + Fraction(f"{whole[-2:]}.{fraction or 0}")
                assert ours[name] == pytest.approx(getattr(theirs, name), abs=1e-12)
        if kind == "GSA":
            assert [str(n).zfill(2) for n in ours["used"] if n >= 0] == [text for text in theirs.data[2:14] if text]
            assert ours["system"] == int(theirs.data[17] if len(theirs.data) > 17 else 0)
        if kind == "GSV":
            groups = (len(theirs.data) - 3) // 4
            for name, first in (("number", 3), ("elevation", 4), ("azimuth", 5), ("cn0", 6)):
                expected = [number(theirs.data[first + 4 * k], ours[name][k]) for k in range(groups)]
                assert ours[name][:groups] == pytest.approx(expected, abs=0, nan_ok=True)
                assert all(value == -1 or math.isnan(value) for value in ours[name][groups:])
            assert ours["signal"] == int(theirs.data[-1] if (len(theirs.data) - 3) % 4 else "0", 16)
        if kind == "ZDA":
            assert ours["day"] == theirs.datestamp.toordinal() - 719163
        if kind == "RMC":
            assert (ours["day"] - theirs.datestamp.toordinal() + 719163) % 36525 == 0


def test_dialects_are_read() -> None:
    lines = [
        sentence("GNGGA,074150.799,,,,,0,00,,,M,0.0,M,,0000,"),  # no fix: nothing but a time
        sentence(
            "GNGGA,074155.799,3114.8770,N,12135.2463,E,1,05,1.3,156.9,M,8.3,M,,0000,4.9"
        ),  # a field too many (SiRF)
        sentence("BDGSA,A,3,02,03,04,,,,,,,,,,5.1,1.3,4.9,3.3"),  # no system id at its place
        sentence("GNGSA,A,3,201,,,,,,,,,,,,2.5,1.2,2.2,4"),
        sentence("GAGSV,2,2,04,102,,,40,103,,,28.5,7"),  # no sky, decimals, signal id
        sentence("GBGSV,1,1,01,201,49,147,44"),
        sentence("GPGSV,1,1,00"),
        sentence("GNRMC,,V,,,,,,,,,,N"),
    ]
    block = one(b"".join(lines))
    assert (block.damaged, block.halves, dict(block.refused), dict(block.unknown)) == (0, 0, {}, {})
    empty, sirf = row(block, "GGA", 0), row(block, "GGA", 1)
    assert all(math.isnan(empty[name]) for name in ("latitude", "altitude", "age"))
    assert (empty["quality"], empty["station"], sirf["separation"]) == (0, b"0000", 8.3)
    assert [row(block, "GSA", k)["system"] for k in range(2)] == [0, 4]
    assert [row(block, "GSA", k)["used"][0] for k in range(2)] == [2, 201]
    gsv = [row(block, "GSV", k) for k in range(3)]
    assert (gsv[0]["number"], gsv[0]["cn0"][:2], gsv[0]["signal"]) == ([102, 103, -1, -1], [40, 28.5], 7)
    assert [g["number"][0] for g in gsv] == [102, 201, -1]
    rmc = row(block, "RMC")
    assert (rmc["day"], rmc["time"], rmc["status"], rmc["mode"]) == (-1, -1, ord("V"), ord("N"))


@pytest.mark.parametrize("check", [sentence, crc])
def test_ksxt_with_either_checksum(check: Any) -> None:
    body = "KSXT,20260302080000.10,114.35710000,-30.52780000,28.3000,269.94,1.19,,0.001,,3,3,25,25,,,,,,,,"
    block = one(check(body))
    found = row(block, "KSXT")
    assert (found["day"], found["time"], found["quality"]) == (20514, 28_800_100_000_000, 3)
    assert (found["longitude_units"], found["longitude_decimals"], found["latitude"]) == (11435710000, 8, -30.5278)
    assert (found["altitude"], found["altitude_units"]) == (28.3, 283000)
    assert math.isnan(found["track"])
    assert block.tables["KSXT"].talker.tolist() == [b""]


def test_ksxt_of_a_known_checksum() -> None:
    """The CRC-32 of a field sample; only its digits are quoted."""
    body = "KSXT,20201222075720.00,119.17084152,32.07387900,83.5770,269.94,1.19,207.28,0.001,,3,3,25,25,-3.617,-4.468,-7.860,"
    body += "-0.000,-0.001,-0.022,1.0,56,"
    assert crc(body).endswith(b"*33736701\r\n")


def test_psti_030_and_its_siblings() -> None:
    body = "PSTI,030,080000.000,A,3031.6680000,N,11421.4260000,E,57.000,0.00,-0.01,0.02,020326,R,1.000,4.200"
    block = one(sentence(body) + sentence("PSTI,032,080000.000,020326,A,R,0.6,-0.8,-0.1,1.0,144.22,,,,,"))
    found = row(block, "PSTI030")
    assert (found["day"], found["time"], found["mode"], found["north"], found["ratio"]) == (
        20514,
        28800 * 10**9,
        ord("R"),
        -0.01,
        4.2,
    )
    assert block.unknown == {"PSTI": 1}


@pytest.mark.parametrize("kind", ["BESTNAVA", "BESTPOSA"])
def test_unicore_and_novatel_positions(kind: str) -> None:
    block = one(crc(best(kind, "NARROW_INT", "30.52780000001", "-114.35710000002", "42.8000", "-14.5000"), "#"))
    found = row(block, kind)
    assert (found["week"], found["tow"], found["type"]) == (2408, 115_218 * 10**9, b"NARROW_INT")
    assert (found["latitude_units"], found["latitude_decimals"], found["longitude"]) == (
        3052780000001,
        11,
        -114.35710000002,
    )
    assert (found["altitude"], found["separation"], found["age"]) == (42.8, -14.5, 1.0)


def test_sentences_are_split_without_their_numbers_and_numbers_made_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    read = nmea.read
    monkeypatch.setattr(nmea, "read", lambda layout, lines: made.append(len(lines)) or read(layout, lines))
    bodies = [GGA, RMC, RMC.replace("3031.", "3060."), "GPGSV,1,1,00"]
    block = one(b"".join(map(sentence, bodies)))
    for kind, expected in (("GGA", [GGA]), ("RMC", bodies[1:3]), ("GSV", bodies[3:])):
        lines = block.lines[kind]
        assert lines.commas.tolist() == [body.count(",") for body in expected]
        cuts = lines.cuts(int(lines.commas.max())).T.tolist()
        cut = [[block.data[a + 1 : b].decode() for a, b in pairwise(at)] for at in cuts]
        assert cut == [body.split(",")[1:] for body in expected]
    assert (list(block.tables), "ZDA" in block.tables, made) == (["GGA", "RMC", "GSV"], False, [])
    assert (len(block.tables["RMC"]), block.tables["RMC"] is block.tables["RMC"], made) == (1, True, [2])
    assert (block.refused, made) == ({"RMC.latitude": 1}, [2, 1, 1])


# ---- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "old", "new", "reason"),
    [
        ("GGA", "3031.6680000", "3060.0000000", "latitude"),
        ("GGA", "3031.6680000", "9000.0000001", "latitude"),
        ("GGA", "11421.4260000", "18100.0000000", "longitude"),
        ("GGA", "11421.4260000,E", "11421.4260000,N", "longitude"),
        ("GGA", "3031.6680000,N", "3031.6680000,", "latitude"),
        ("GGA", "3031.6680000", "30 1.6680000", "latitude"),
        ("GGA", "080000.00", "240000.00", "time"),
        ("GGA", "080000.00", "080060.00", "time"),
        ("GGA", "080000.00", "8:00:00", "time"),
        ("GGA", "42.5000,M", "42.5000,F", "altitude"),
        ("GGA", "42.5000", "4.25e1", "altitude"),
        ("GGA", "1.0,1023", "1.0,123456789", "station"),
        ("GGA", ",4,20,", ",R,20,", "quality"),
        ("GGA", ",42.5000,M,-14.5000,M,1.0,1023", "", "fields"),
        ("RMC", "020326", "310426", "day"),
        ("RMC", "020326", "20326", "day"),
        ("RMC", ",A,", ",X,", "status"),
        ("RMC", ",R,V", ",Q,V", "mode"),
    ],
)
def test_what_cannot_be_is_refused_and_counted(kind: str, old: str, new: str, reason: str) -> None:
    body = {"GGA": GGA, "RMC": RMC}[kind]
    assert old in body
    block = one(sentence(body) + sentence(body.replace(old, new)) + sentence(body))
    assert dict(block.refused) == {f"{kind}.{reason}": 1}
    assert (len(block.tables[kind]), block.damaged, block.halves) == (2, 0, 0)


def test_satellites_that_cannot_be_are_refused() -> None:
    bad = [
        "GPGSV,1,1,01,05,91,010,40",
        "GPGSV,1,1,01,05,20,361,40",
        "GPGSV,1,1,01,05,20,100,1x",
        "GPGSV,1,1,01,05,20",
        "GPGSA,A,3,1x,,,,,,,,,,,,1,1,1",
    ]
    block = one(b"".join(map(sentence, bad)))
    assert dict(block.refused) == {"GSV.sky": 4, "GSA.used": 1}


# ---- what is damaged ------------------------------------------------------------------------------------------------------


def flipped(line: bytes, at: int, to: int) -> bytes:
    return line[:at] + bytes([to]) + line[at + 1 :]


LINE = sentence(GGA)
DAMAGE = {
    "digit": (flipped(LINE, 20, ord("9")), 1, 0),
    "checksum": (flipped(LINE, len(LINE) - 3, ord("Z")), 1, 0),
    "beginning": (flipped(LINE, 0, ord("%")), 0, 1),
    "tag": (flipped(LINE, 1, 0xC7), 0, 1),
    "eighth bit": (flipped(LINE, 30, LINE[30] | 0x80), 1, 0),
    "star": (flipped(LINE, len(LINE) - 5, ord("j")), 0, 1),
    "star made a line end": (flipped(LINE, len(LINE) - 5, 0x0A), 0, 1),
    "octet made a line end": (flipped(LINE, 30, 0x0A), 0, 1),
    "octet made a return": (flipped(LINE, 30, 0x0D), 1, 0),
    "no checksum": (LINE[:-5] + b"\r\n", 0, 1),
    "cut off": (LINE[:30] + b"\r\n", 0, 1),
    "begins late": (LINE[30:], 0, 1),
    "merged": (LINE[:30] + LINE[40:], 1, 0),
    "two made one": (LINE[:30] + sentence(RMC)[40:], 1, 0),
    "digits lost": (LINE[:-3] + b"\r\n", 1, 0),
    "digits too many": (LINE[:-2] + b"7\r\n", 1, 0),
    "frame in it": (LINE[:30] + ubx(b"abc") + LINE[30:], 1, 0),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_sentence_is_counted_and_costs_no_other(name: str) -> None:
    bad, damaged, halves = DAMAGE[name]
    block = one(LINE * 2 + bad + LINE * 2)
    assert (len(block.tables["GGA"]), block.damaged, block.halves) == (4, damaged, halves)


def test_the_next_beginning_saves_the_next_sentence() -> None:
    block = one(LINE[:30] + LINE + LINE.rstrip() + LINE + crc(best("BESTPOSA", "PPP", "1.0", "2.0", "3", "4"), "#"))
    assert (len(block.tables["GGA"]), block.halves, block.damaged, len(block.tables["BESTPOSA"])) == (3, 1, 0, 1)
    block = one(LINE[:30] + crc(best("BESTPOSA", "PPP", "1.0", "2.0", "3", "4"), "#") + LINE)
    assert (len(block.tables["GGA"]), block.halves, block.damaged, len(block.tables["BESTPOSA"])) == (1, 1, 0, 1)


def test_line_ends_do_not_matter() -> None:
    for end in (b"\n", b"\r", b"\r\r\n", b"\0", b"\xff", b"", b" \r\n"[1:]):
        block = one((LINE.rstrip() + end) * 3)
        assert (len(block.tables["GGA"]), block.damaged, block.halves) == (3, 0, 0)


def test_marks_within_a_text_cost_nothing() -> None:
    for text in ("ANT #1 OK", "50 $1", "OK!", "a;b"):
        block = one(sentence(f"GNTXT,01,01,02,{text}") + LINE)
        assert (block.unknown, len(block.tables["GGA"]), block.damaged, block.halves) == ({"GNTXT": 1}, 1, 0, 0)


def test_other_sentences_are_named() -> None:
    block = one(
        sentence("GNGLL,,,,,,V")
        + b"!"
        + sentence("AIVDM,1,1,,A,15M,0")[1:]
        + sentence("command,log,response: OK")
        + crc("VERSIONA,1;2", "#")
    )
    assert block.unknown == {"GNGLL": 1, "AIVDM": 1, "command": 1, "VERSIONA": 1}
    assert (block.damaged, block.halves, block.readable) == (0, 0, len(block.data))


def test_a_wrong_crc_or_an_xor_under_a_hash_is_damage() -> None:
    good = crc(best("BESTPOSA", "PPP", "1.0", "2.0", "3", "4"), "#")
    assert one(flipped(good, 60, ord("9"))).damaged == 1
    assert one(b"#" + sentence(best("BESTPOSA", "PPP", "1.0", "2.0", "3", "4"))[1:]).damaged == 1


def test_one_flipped_bit_is_always_seen() -> None:
    data = b"".join(sentence(body) for body in (GGA, RMC)) * 2
    for at in range(len(data)):
        for bit in range(8):
            changed = flipped(data, at, data[at] ^ 1 << bit)
            block = one(changed)
            accepted = {kind: len(table) for kind, table in block.tables.items()}
            counted = block.damaged + block.halves + sum(block.refused.values())
            assert (sum(accepted.values()), counted) in ((4, 0), (3, 1)), (at, bit)


def test_a_megabyte_of_noise_holds_nothing() -> None:
    noise = np.random.default_rng(5).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()
    found = told(read_blocks([noise]))
    assert [key for key in found if "." in key] == []
    assert found["readable"] == 0
    sevens = bytes(octet & 0x7F for octet in noise)
    assert [key for key in told(read_blocks([sevens])) if "." in key] == []


# ---- binary frames --------------------------------------------------------------------------------------------------------


def test_frames_between_sentences_are_stepped_over() -> None:
    frames = [
        ubx(b""),
        ubx(bytes(range(256))),
        rtcm3(b""),
        rtcm3(bytes(1023)),
        ubx(LINE),
        rtcm3(LINE * 3),
        ubx(b"\xb5\x62\x01"),
        rtcm3(b"\xd3\0\1"),
    ]
    block = one(LINE + b"".join(frame + LINE for frame in frames))
    assert (len(block.tables["GGA"]), dict(block.frames)) == (9, {"UBX": 4, "RTCM3": 4})
    assert (block.damaged, block.halves, block.readable) == (0, 0, len(block.data))


def test_a_false_beginning_swallows_nothing() -> None:
    for false in (
        b"\xb5\x62\x01\x07\xff\xff",
        b"\xd3\x03\xff",
        b"\xb5\x62",
        b"\xd3",
        ubx(b"abc")[:-1] + b"\0",
        rtcm3(b"abc")[:-1] + b"\0",
    ):
        block = one(LINE * 3 + false + LINE * 3)
        assert (len(block.tables["GGA"]), dict(block.frames)) == (6, {})


def test_frames_are_those_that_a_walk_finds() -> None:
    """Beside a plain walk, octet by octet, over frames, sentences and noise in any order."""
    rng = random.Random(11)
    for _ in range(30):
        parts = [
            rng.choice(
                [
                    ubx(rng.randbytes(rng.randrange(90))),
                    rtcm3(rng.randbytes(rng.randrange(90))),
                    LINE,
                    rng.randbytes(rng.randrange(30)),
                    b"\xb5\x62\xd3",
                ]
            )
            for _ in range(20)
        ]
        data = b"".join(parts)
        found, open_at = find_frames(data, final=True)
        assert [(f.kind, f.start, f.stop) for f in found] == list(walk(data))
        assert open_at == len(data)
        assert all(a.stop <= b.start for a, b in pairwise(found))


def walk(data: bytes) -> Iterator[tuple[str, int, int]]:
    at = 0
    while at < len(data):
        if data[at : at + 2] == b"\xb5\x62" and at + 6 <= len(data):
            stop = at + 8 + int.from_bytes(data[at + 4 : at + 6], "little")
            if stop <= len(data) and ubx(data[at + 6 : stop - 2], (data[at + 2], data[at + 3])) == data[at:stop]:
                yield "UBX", at, stop
                at = stop
                continue
        if data[at] == 0xD3 and at + 3 <= len(data) and data[at + 1] < 4:
            stop = at + 6 + int.from_bytes(data[at + 1 : at + 3], "big")
            if stop <= len(data) and rtcm3(data[at + 3 : stop - 3]) == data[at:stop]:
                yield "RTCM3", at, stop
                at = stop
                continue
        at += 1


# ---- cuts and memory ------------------------------------------------------------------------------------------------------


def mixture(seed: int, number: int) -> bytes:
    """Sentences, frames, noise and every damage, in any order."""
    rng = random.Random(seed)
    pieces: list[bytes] = []
    for _ in range(number):
        kind = rng.choice(list(MAKERS))
        pieces += [
            sentence("GN" + MAKERS[kind](rng)),
            rng.choice(
                [
                    b"",
                    b"",
                    ubx(rng.randbytes(40)),
                    rtcm3(rng.randbytes(40)),
                    rng.randbytes(9),
                    rng.choice(list(DAMAGE.values()))[0],
                ]
            ),
        ]
    return b"".join(pieces)[7:-5]


def test_a_cut_anywhere_changes_nothing() -> None:
    data = mixture(1, 6)
    whole = told(read_blocks([data]))
    assert whole["damaged"] + whole["halves"] > 0
    for at in range(len(data) + 1):
        assert told(read_blocks([data[:at], data[at:]], 64)) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100, 1000, 4096, 1 << 16])
def test_the_size_of_a_block_changes_nothing(size: int) -> None:
    data = mixture(2, 60)
    rng = random.Random(size)
    chunks = []
    at = 0
    while at < len(data):
        step = rng.randrange(200)
        chunks.append(data[at : at + step])
        at += step
    assert told(read_blocks(chunks, size)) == told(read_blocks([data]))


def test_no_line_ends_and_no_sentences_are_no_reason_to_wait_for_ever() -> None:
    returns = LINE.replace(b"\r\n", b"\r") * 8000
    assert len(told(read_blocks([returns], 1 << 14))["GGA.time"]) == 8000
    zeros = iter([bytes(1 << 16)] * 40)
    assert max(len(block.data) for block in read_blocks(zeros, 1 << 14)) < 1 << 19
    assert list(read_blocks([b""])) == []


def test_memory_is_flat_in_the_length_of_the_stream() -> None:
    part = mixture(3, 500)

    def peak(times: int) -> tuple[int, int]:
        tracemalloc.start()
        number = sum(
            len(table)
            for block in read_blocks((part for _ in range(times)), 1 << 16)
            for table in block.tables.values()
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return number, found

    peak(2)
    few, little = peak(10)
    many, much = peak(100)
    assert many > 9.9 * few
    assert much < 1.2 * little
