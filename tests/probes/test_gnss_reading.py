"""From octets to epochs: what the simulator printed, days, arrivals, qualities, counts; every finding and its honest neighbour."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pynmea2
import pytest

from tests.unit.nmea_support import best, crc, rtcm3, sentence, ubx
from yanshou.harness.model import Severity
from yanshou.probes.gnss.crosscheck import EACH
from yanshou.probes.gnss.geodesy import Place, geodetic
from yanshou.probes.gnss.reading import Reading, isolated_jumps, read_epochs, reading_findings
from yanshou.probes.gnss.simulate import Loop, Receiver, lines, simulate

WUHAN = Place(30.5278, 114.3571, 28.3)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
RECEIVER = Receiver(WUHAN, START, seconds=600)
SECOND = 10**9


def ns(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def chunks(receiver: Receiver, seed: int = 1, *, only: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """What the receiver sends, 50 ms late, an epoch at a time; `only` the sentences with this in them."""
    for t, octets in lines(receiver, seed):
        kept = b"".join(line for line in octets.splitlines(True) if only in line)
        yield ns(receiver.start) + round((t + 0.05) * SECOND), kept


def codes(reading: Reading) -> dict[str, Severity]:
    return {found.code: found.severity for found in reading_findings(reading)}


def said(bodies: Iterable[str], **options: Any) -> Reading:
    return read_epochs([(0, b"".join(map(sentence, bodies)))], **options)


def gga(
    time: str, latitude: str = "3031.6680000", quality: int = 4, rest: str = "42.5000,M,-14.5000,M,1.0,1023"
) -> str:
    return f"GNGGA,{time},{latitude},N,11421.4260000,E,{quality},20,0.6,{rest}"


def rmc(time: str, day: str, status: str = "A") -> str:
    return f"GNRMC,{time},{status},3031.6680000,N,11421.4260000,E,0.01,,{day},,,R,V"


# ---- epochs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [1.0, 10.0])
def test_what_the_simulator_printed_is_read_back(rate_hz: float) -> None:
    receiver = replace(RECEIVER, rate_hz=rate_hz, path=Loop(), missing=((100, 130),))
    reading, output = read_epochs(chunks(receiver)), simulate(receiver, 1)
    epochs = reading.epochs
    latitude, longitude, height = geodetic(output.printed, WUHAN)
    assert epochs.t_ns.tolist() == [ns(START) + round(t * 10) * SECOND // 10 for t in output.t]
    assert (epochs.arrival_ns - epochs.t_ns == SECOND // 20).all()
    assert np.abs(epochs.latitude - latitude).max() <= 0.5000001e-7 / 60
    assert np.abs(epochs.longitude - longitude).max() <= 0.5000001e-7 / 60
    assert np.abs(epochs.height - height).max() <= 0.51e-4
    assert epochs.altitude == pytest.approx(epochs.height + 14.5, abs=1e-9)
    assert (epochs.quality == output.quality).all()
    assert set(epochs.station.tolist()) == {"1023"}
    assert (epochs.age == 1.0).all()
    assert epochs.step == (1 / 6e8, 1 / 6e8, 1e-4)
    assert (reading.sentence, reading.dated, reading.decimals, reading.leap) == ("GGA", "stream", (7, 7, 4), 0)
    assert (reading.systems, reading.talkers) == ({1, 4}, {"GN", "GB", "GP"})
    assert codes(reading) == {}


def test_how_it_is_cut_changes_nothing_but_arrivals() -> None:
    octets = b"".join(part for _, part in chunks(replace(RECEIVER, seconds=20)))
    whole = read_epochs([(7, octets)])
    rng = random.Random(3)
    for _ in range(10):
        at = sorted(rng.randrange(len(octets)) for _ in range(rng.randrange(200)))
        parts = [octets[a:b] for a, b in zip([0, *at], [*at, len(octets)], strict=True)]
        found = read_epochs((1000 + k, part) for k, part in enumerate(parts))
        for name in ("t_ns", "latitude", "longitude", "height", "quality", "station"):
            assert (getattr(found.epochs, name) == getattr(whole.epochs, name)).all()
        assert (found.counts, found.satellites, found.cross) == (whole.counts, whole.satellites, whole.cross)
        ends = [octets.index(b"*", octets.index(b"GGA", begin)) + 3 for begin in (k.start() for k in _matches(octets))]
        assert found.epochs.arrival_ns.tolist() == [
            1000 + next(k for k, b in enumerate([*at, len(octets)]) if b >= end) for end in ends
        ]


def _matches(octets: bytes) -> Iterator[Any]:
    import re

    return re.finditer(rb"\$..GGA", octets)


def test_the_step_is_what_the_digits_move_by() -> None:
    coarse = read_epochs(chunks(replace(RECEIVER, cheat="coarse")))
    assert coarse.epochs.step[:2] == (1 / 6e6, 1 / 6e6)
    moved = [
        gga(f"0800{k:02d}.00", f"3031.66{k * 30:05d}", rest=f"{42 + k * 0.005:.3f},M,-14.50,M,,") for k in range(40)
    ]
    reading = said([*moved, rmc("080040.00", "020326")])
    assert reading.epochs.step == (30 / 6e8, 1 / 6e8, 0.005)
    assert reading.decimals == (7, 7, 3)
    mixed = [gga(f"0800{k:02d}.00", f"3031.66{'8' * (k % 3 + 1)}") for k in range(3)]
    assert said(mixed).epochs.step[0] == pytest.approx(8e-5 / 60)


# ---- days -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("only", [b"", b"GGA", b"RMC"])
@pytest.mark.parametrize("order", [1, -1])
def test_midnight(only: bytes, order: int) -> None:
    """Before and after midnight, RMC behind GGA or before it, or with GGA alone and a declared date."""
    receiver = replace(RECEIVER, start=datetime(2026, 2, 28, 23, 59, 50, tzinfo=UTC), seconds=20)
    parts = [(at, b"".join(octets.splitlines(True)[::order])) for at, octets in chunks(receiver, only=only)]
    reading = read_epochs(parts, date=date(2026, 2, 28))
    assert reading.epochs.t_ns.tolist() == [ns(receiver.start) + k * SECOND for k in range(20)]
    assert (reading.dated, reading.date_conflict) == ("declared" if only == b"GGA" else "stream", False)


def test_the_stream_knows_its_date_better_than_a_person() -> None:
    reading = read_epochs(chunks(RECEIVER), date=date(2026, 3, 3))
    assert (reading.epochs.t_ns[0], reading.date_conflict) == (ns(START), True)
    assert codes(reading) == {"GNS-V39": Severity.WARNING}


def test_without_any_date_times_are_not_utc() -> None:
    reading = read_epochs(chunks(RECEIVER, only=b"GGA"))
    assert (reading.dated, reading.epochs.t_ns[0]) == ("", 8 * 3600 * SECOND)
    assert codes(reading) == {"GNS-V33": Severity.INVALID}
    assert codes(read_epochs(chunks(RECEIVER, only=b"GGA"), date=START.date())) == {}


def test_a_date_that_comes_late_goes_for_what_came_before() -> None:
    """Two days of GGA, then one ZDA."""
    hours = [gga(f"{k % 24:02d}0000.00") for k in range(12, 60)]
    reading = said([*hours, "GNZDA,120001.00,05,03,2026,00,00", gga("120001.00")])
    assert reading.epochs.t_ns[:2].tolist() == [
        ns(datetime(2026, 3, 3, 12, tzinfo=UTC)),
        ns(datetime(2026, 3, 3, 13, tzinfo=UTC)),
    ]
    assert reading.epochs.t_ns[-1] == ns(datetime(2026, 3, 5, 12, 0, 1, tzinfo=UTC))


def test_dates_after_a_gap_of_days_and_dates_that_stop() -> None:
    first = [gga("230000.00"), rmc("230000.00", "010326")]
    gap = [gga("220000.00"), rmc("220000.00", "040326"), *(gga(f"{k % 24:02d}3000.00") for k in range(22, 50))]
    reading = said(first + gap)
    assert reading.epochs.t_ns[:2].tolist() == [
        ns(datetime(2026, 3, 1, 23, tzinfo=UTC)),
        ns(datetime(2026, 3, 4, 22, tzinfo=UTC)),
    ]
    assert (np.diff(reading.epochs.t_ns[2:]) == 3600 * SECOND).all()


def test_dates_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few sentences each give what one block gives."""
    import yanshou.probes.gnss.reading as module

    receiver = replace(RECEIVER, start=datetime(2026, 2, 28, 23, 59, 30, tzinfo=UTC), seconds=60)
    parts = list(chunks(receiver))
    late = [
        (at, octets if k > 40 else b"".join(o for o in octets.splitlines(True) if b"RMC" not in o))
        for k, (at, octets) in enumerate(parts)
    ]
    whole = read_epochs(late)
    read = module.read_blocks
    monkeypatch.setattr(module, "read_blocks", lambda octets: read(octets, 300))
    found = read_epochs(late)
    assert (
        found.epochs.t_ns.tolist() == whole.epochs.t_ns.tolist() == [ns(receiver.start) + k * SECOND for k in range(60)]
    )
    assert found.epochs.arrival_ns.tolist() == whole.epochs.arrival_ns.tolist()
    assert (found.counts, found.satellites, found.cross, found.epochs.step) == (
        whole.counts,
        whole.satellites,
        whole.cross,
        whole.epochs.step,
    )


def test_a_receiver_that_is_not_sure_tells_no_date() -> None:
    reading = said([rmc("080000.00", "060180", "V"), gga("080000.00"), rmc("080001.00", "020326"), gga("080001.00")])
    assert reading.epochs.t_ns.tolist() == [ns(START), ns(START) + SECOND]


def test_a_leap_second_is_read_and_counted() -> None:
    times = ["235959.00", "235959.50", "235960.00", "235960.50", "000000.00", "000000.50"]
    reading = said([line for t in times for line in (gga(t), rmc(t, "010117" if t < "2" else "311216"))])
    midnight = ns(datetime(2017, 1, 1, tzinfo=UTC))
    assert ((reading.epochs.t_ns - midnight) / SECOND).tolist() == [-1, -0.5, 0, 0.5, 0, 0.5]
    assert reading.leap == 2


def test_gps_midnight_as_rtklib_writes_it() -> None:
    """The first epoch of 2005-04-02 in GPS time is 23:59:47 UTC of the day before."""
    times = [f"2359{s:02d}.00" for s in range(47, 60)] + [f"0000{s:02d}.00" for s in range(5)]
    dates = ["010405"] * 13 + ["020405"] * 5
    for order in (1, -1):
        reading = said(line for t, day in zip(times, dates, strict=True) for line in (rmc(t, day), gga(t))[::order])
        begin = ns(datetime(2005, 4, 1, 23, 59, 47, tzinfo=UTC))
        assert reading.epochs.t_ns.tolist() == [begin + k * SECOND for k in range(18)]
        assert reading.epochs.t_ns[0] + 13 * SECOND == ns(datetime(2005, 4, 2, tzinfo=UTC))


# ---- kinds of positions ---------------------------------------------------------------------------------------------------


def test_quality_of_every_kind_is_in_the_numbers_of_gga() -> None:
    place = "3031.6680000,N,11421.4260000,E"
    gns = said(
        [
            f"GNGNS,080000.00,{place},{modes},20,0.6,42.5,-14.5,1.0,1"
            for modes in ("RRRR", "RNNN", "RF", "FA", "RD", "EE", "NA", "SR", "RM")
        ]
    )
    assert gns.epochs.quality.tolist() == [4, 4, 5, 1, 2, 6, 1, 8, 7]
    assert gns.epochs.height.tolist() == [28.0] * 9
    psti = said(
        [f"PSTI,030,080000.000,A,{place},57.000,0.00,0.00,0.00,020326,{mode},1.000,4.200" for mode in "RFADESMO"]
    )
    assert psti.epochs.quality.tolist() == [4, 5, 1, 2, 6, 8, 7, 5]
    assert (psti.epochs.altitude[0], math.isnan(psti.epochs.height[0]), psti.dated) == (57.0, True, "stream")
    moves = said([f"GNRMC,080000.00,A,{place},0.0,,020326,,,{mode}" for mode in ("R", "F", "")])
    assert moves.epochs.quality.tolist() == [4, 5, 1]
    assert (moves.sentence, moves.epochs.step[2]) == ("RMC", 0.0)


@pytest.mark.parametrize("kind", ["BESTNAVA", "BESTPOSA"])
def test_unicore_and_novatel_are_in_gps_time(kind: str) -> None:
    types = ["NARROW_INT", "L1_FLOAT", "PSRDIFF", "SINGLE", "FIXEDPOS", "SOMETHING_NEW"]
    reading = read_epochs(
        [
            (
                5,
                b"".join(
                    crc(best(kind, t, "30.52780000000", "114.35710000000", "42.8000", "-14.5000"), "#") for t in types
                ),
            )
        ]
    )
    assert reading.epochs.t_ns.tolist() == [ns(START)] * 6
    assert reading.epochs.quality.tolist() == [4, 5, 2, 1, 7, 1]
    assert (reading.epochs.height[0], reading.epochs.station[0], reading.epochs.arrival_ns[0]) == (28.3, "1023", 5)
    assert reading.epochs.step == (1e-11, 1e-11, 1e-4)
    assert (reading.dated, reading.sentence) == ("stream", kind)


@pytest.mark.parametrize(
    ("datum", "height", "altitude"), [("ellipsoid", 28.3, math.nan), ("sea", math.nan, 28.3), (None, math.nan, 28.3)]
)
def test_ksxt_heights_need_a_datum(datum: Any, height: float, altitude: float) -> None:
    bodies = [
        f"KSXT,20260302080000.{k}0,114.3571000{k},30.52780000,28.3000,,,,0.0,,{q},0,20,20,,,,,,,,,"
        for k, q in enumerate((3, 2, 1, 0))
    ]
    reading = read_epochs([(0, b"".join(map(crc, bodies)))], datum=datum)
    assert reading.epochs.t_ns.tolist() == [ns(START), ns(START) + SECOND // 10, ns(START) + SECOND // 5]
    assert reading.without_ns.tolist() == [ns(START) + 3 * SECOND // 10]
    assert reading.epochs.quality.tolist() == [4, 5, 1]
    assert reading.epochs.height[0] == pytest.approx(height, nan_ok=True)
    assert reading.epochs.altitude[0] == pytest.approx(altitude, nan_ok=True)
    assert reading.epochs.step[:2] == (1e-8, 1e-8)
    assert codes(reading) == ({} if datum == "ellipsoid" else {"GNS-V38": Severity.WARNING})


def test_the_best_sentence_is_taken_or_the_one_asked_for() -> None:
    both = [
        (
            0,
            crc("KSXT,20260302080000.00,114.35710000,30.52780000,28.3,,,,0.0,,3,0,20,20,,,,,,,,,")
            + sentence(gga("080000.00")),
        )
    ]
    assert read_epochs(both).sentence == "GGA"
    asked = read_epochs(both, sentence="KSXT")
    assert (asked.sentence, asked.decimals) == ("KSXT", (8, 8, 1))
    assert read_epochs(both, sentence="GNS").sentence == ""


def test_epochs_without_a_fix_are_no_positions() -> None:
    lost = [gga("080001.00", quality=0), "GNGGA,080002.00,,,,,0,00,,,M,,M,,"]
    reading = said([gga("080000.00"), *lost, gga("080003.00"), rmc("080003.00", "020326")])
    assert reading.epochs.t_ns.tolist() == [ns(START), ns(START) + 3 * SECOND]
    assert reading.without_ns.tolist() == [ns(START) + SECOND, ns(START) + 2 * SECOND]


def test_no_geoid_separation_is_no_height() -> None:
    """A field that is empty is not a field that is zero."""
    reading = said(
        [
            gga("080000.00", rest="42.5,M,,,1.0,1023"),
            gga("080001.00", rest="42.5,M,0.0,M,1.0,1023"),
            rmc("080001.00", "020326"),
        ]
    )
    assert math.isnan(reading.epochs.height[0])
    assert reading.epochs.height[1] == 42.5
    assert reading.epochs.altitude.tolist() == [42.5, 42.5]
    assert codes(said([gga("080000.00", rest="42.5,M,,,1.0,1023"), rmc("080000.00", "020326")])) == {
        "GNS-V38": Severity.WARNING
    }


# ---- satellites and counts ------------------------------------------------------------------------------------------------


def test_systems_by_id_or_by_a_talker_of_one_system() -> None:
    assert said(["GNGSA,A,3,06,,,,,,,,,,,,1,1,1,4", "GNGSA,A,3,,,,,,,,,,,,,1,1,1,3"]).systems == {4}
    assert said(["BDGSA,A,3,06,,,,,,,,,,,,1,1,1,1.5", "GPGSA,A,3,06,,,,,,,,,,,,1,1,1"]).systems == {1, 4}
    assert said(["GNGSA,A,3,06,,,,,,,,,,,,1,1,1", "BDGSA,A,1,,,,,,,,,,,,,,,"]).systems == frozenset()


def test_the_sky_is_summed_up_by_satellite() -> None:
    reading = said(
        [
            "GBGSV,1,1,02,06,36,359,40,09,39,,,1",
            "GBGSV,1,1,01,06,38,001,44,1",
            "GPGSV,1,1,01,06,,,30,1",
            "XXGSV,1,1,01,06,10,010,30",
        ]
    )
    first, second, third = reading.satellites
    assert (first.talker, first.number, first.elevation, first.cn0, first.seen, first.tracked) == (
        "GB",
        6,
        37.0,
        42.0,
        2,
        2,
    )
    assert min(first.azimuth, 360 - first.azimuth) < 1e-9
    assert (second.number, second.tracked, math.isnan(second.cn0), math.isnan(second.azimuth)) == (9, 0, True, True)
    assert (third.talker, math.isnan(third.elevation), third.cn0) == ("GP", True, 30.0)


def test_what_the_receiver_claims_of_itself() -> None:
    claimed = said(
        ["GNGST,080000.00,,,,,0.003,0.004,0.010", "GNGST,080001.00,,,,,0.003,0.004,0.010", "GNGST,080001.00,,,,,,,"]
    ).sigmas
    assert claimed.number == 2
    assert (claimed.latitude, claimed.longitude, claimed.altitude) == pytest.approx((0.003, 0.004, 0.010))
    assert math.isnan(said([]).sigmas.latitude)


def test_everything_is_counted_once() -> None:
    good = sentence(gga("080000.00"))
    data = b"7F\r\n".join(
        [good, good[:30], ubx(b"abc") + rtcm3(b"x"), sentence(gga("080000.00", "3060.0")), good[:20] + b"9" + good[21:]]
    )
    data += sentence("GNTXT,01,01,02,x") + sentence("PUBX,00,1")
    counts = read_epochs([(0, data)]).counts
    assert (counts.accepted, counts.unknown, counts.refused) == (
        {"GGA": 1},
        {"GNTXT": 1, "PUBX": 1},
        {"GGA.latitude": 1},
    )
    assert (counts.damaged, counts.halves, counts.frames) == (1, 1, {"UBX": 1, "RTCM3": 1})
    assert counts.octets == len(data)


def test_tags_without_end_do_not_fill_the_memory() -> None:
    letters = [f"X{chr(65 + a)}{chr(65 + b)}" for a in range(26) for b in range(26)]
    counts = said([f"{tag},1" for tag in letters]).counts
    assert (len(counts.unknown), sum(counts.unknown.values())) == (101, 676)


# ---- findings -------------------------------------------------------------------------------------------------------------


def spoiled(share: float, how: Any, seed: int = 4) -> list[tuple[int, bytes]]:
    rng = random.Random(seed)
    return [
        (at, b"".join(how(line) if rng.random() < share else line for line in octets.splitlines(True)))
        for at, octets in chunks(RECEIVER)
    ]


@pytest.mark.parametrize(
    ("share", "severity"), [(0.0004, Severity.INFO), (0.01, Severity.WARNING), (0.10, Severity.INVALID)]
)
def test_damage_by_its_share(share: float, severity: Severity) -> None:
    reading = read_epochs(spoiled(share, lambda line: line[:20] + bytes([line[20] ^ 1]) + line[21:]))
    assert 0 < reading.counts.damaged < 600
    assert codes(reading)["GNS-V30"] is severity


def test_a_recording_may_begin_and_end_in_a_sentence() -> None:
    octets = b"".join(part for _, part in chunks(RECEIVER))
    reading = read_epochs([(0, octets[10:-10])])
    assert (reading.counts.halves, codes(reading)) == (2, {})


def test_a_wrong_baud_rate_is_named() -> None:
    noise = (
        np.random.default_rng(1)
        .choice(np.frombuffer(b"\x00\x80\xf8\xe6\x66\x78\x1e\x98\xfe", np.uint8), 20_000)
        .tobytes()
    )
    found = codes(read_epochs([(0, noise)]))
    assert found == {"GNS-V31": Severity.INVALID, "GNS-V32": Severity.INVALID}
    assert "GNS-V31" not in codes(read_epochs([(0, noise[:500])]))


def test_no_positions_or_another_kind_that_has_more() -> None:
    assert codes(said([rmc("080000.00", "020326", "V")]))["GNS-V32"] is Severity.INVALID
    few = [
        gga("080000.00"),
        *(f"GNGNS,08000{k}.00,3031.0,N,11421.0,E,RR,20,0.6,42.5,-14.5,1.0,1" for k in range(9)),
        rmc("080000.00", "020326"),
    ]
    assert codes(said(few)) == {"GNS-V32": Severity.WARNING}


def test_another_reader_that_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = read_epochs(chunks(RECEIVER))
    assert (honest.cross.sampled, honest.cross.disagreeing) == (5 * EACH, 0)
    parse = pynmea2.parse

    def faulty(line: str, **options: Any) -> Any:
        message = parse(line, **options)
        if message.sentence_type == "GGA":
            message.data[8] = "0.0"
        return message

    monkeypatch.setattr(pynmea2, "parse", faulty)
    reading = read_epochs(chunks(RECEIVER))
    assert (reading.cross.sampled, reading.cross.disagreeing) == (5 * EACH, EACH)
    assert "altitude" in reading.cross.examples[0]
    assert codes(reading) == {"GNS-V34": Severity.INVALID}


def test_the_sample_is_drawn_by_the_seed() -> None:
    drawn = [read_epochs(chunks(RECEIVER), seed=seed).cross for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]


def test_sentences_that_pynmea2_trips_over_agree_all_the_same() -> None:
    lines_ = [
        "GNGGA,235960.00,,,,,0,00,,,M,,M,,",
        "GNGSA,A,1,,,,,,,,,,,,,,,",
        "GPGSV,1,1,00",
        "GNRMC,,V,,,,,,,,,,N",
        rmc("080000.00", "020326"),
    ]
    reading = read_epochs([(0, b"".join(map(sentence, lines_)).replace(b"*5A", b"*5a"))])
    assert (reading.cross.sampled, reading.cross.disagreeing) == (5, 0)


def test_impossible_content_with_a_right_checksum() -> None:
    bad = sentence(gga("080000.00", "3060.0000000"))
    assert codes(read_epochs([*chunks(RECEIVER), (0, bad)])) == {"GNS-V35": Severity.WARNING}
    assert codes(read_epochs([*chunks(RECEIVER), (0, bad * 20)])) == {"GNS-V35": Severity.INVALID}


def test_so_much_damage_that_some_must_have_passed() -> None:
    reading = read_epochs(spoiled(0.04, lambda line: line[:20] + bytes([line[20] ^ 1]) + line[21:]))
    assert reading.counts.damaged > 128
    assert codes(reading)["GNS-V36"] is Severity.WARNING


def test_two_flipped_bits_that_the_xor_lets_pass_show_as_a_jump() -> None:
    """The same bit in two digits: 3031.6 becomes 3131.7, and the checksum stays right."""

    def hit(line: bytes) -> bytes:
        at = line.index(b",3031.") + 2 if b"GGA" in line else 0
        return (
            line[:at] + bytes([line[at] ^ 1]) + line[at + 1 : at + 4] + bytes([line[at + 4] ^ 1]) + line[at + 5 :]
            if at
            else line
        )

    parts = list(chunks(RECEIVER))
    parts[300] = (parts[300][0], hit(parts[300][1]))
    reading = read_epochs(parts)
    assert (reading.counts.damaged, len(reading.epochs)) == (0, 600)
    assert codes(reading) == {"GNS-V37": Severity.WARNING}


def test_a_fast_vehicle_and_a_gap_are_no_jumps() -> None:
    epochs = read_epochs(
        chunks(replace(RECEIVER, path=Loop(radius=500, speed=60.0), rate_hz=5, missing=((50, 90),)))
    ).epochs
    assert isolated_jumps(epochs) == 0
    assert isolated_jumps(epochs.where(np.arange(2))) == 0
