"""The imaginary receiver: what it prints is what it was told to, read by somebody else's parser."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pynmea2
import pytest
import serial

from yanshou.probes.gnss.geodesy import Place, enu
from yanshou.probes.gnss.playing import on_tcp, on_terminal
from yanshou.probes.gnss.simulate import FIXED, FLOAT, Loop, Receiver, lines, simulate

WUHAN = Place(30.5278, 114.3571, 28.3)
HONEST = Receiver(WUHAN, datetime(2026, 3, 2, 23, 59, 0, tzinfo=UTC), seconds=120)


def read(receiver: Receiver) -> list[pynmea2.NMEASentence]:
    text = b"".join(octets for _, octets in lines(receiver, 1)).decode()
    return [pynmea2.parse(line, check=True) for line in text.splitlines()]


def test_sentences_are_read_by_somebody_else() -> None:
    read_back = read(HONEST)
    gga = [s for s in read_back if s.sentence_type == "GGA"]
    output = simulate(HONEST, 1)
    assert len(gga) == 120
    position = enu(
        np.array([s.latitude for s in gga]),
        np.array([s.longitude for s in gga]),
        np.array([float(s.altitude) + float(s.geo_sep) for s in gga]),
        WUHAN,
    )
    assert np.abs(position - output.printed).max() < 2e-4
    assert {s.gps_qual for s in gga} == {FIXED}
    assert len({s.datestamp for s in read_back if s.sentence_type == "RMC"}) == 2  # over midnight
    assert {s.data[-1] for s in read_back if s.sentence_type == "GSA"} == {"4", "1"}


def test_errors_are_those_that_were_put_in() -> None:
    receiver = replace(HONEST, seconds=400_000, rate_hz=0.1, bias_mm=(2, 0, -5), sigma_mm=(3, 4, 8), tau_s=10)
    error = (simulate(receiver, 2).printed - simulate(receiver, 2).true) * 1000
    assert error.mean(axis=1) == pytest.approx([2, 0, -5], abs=0.3)
    assert error.std(axis=1) == pytest.approx([3, 4, 8], rel=0.05)
    lag = [float(np.corrcoef(e[:-1], e[1:])[0, 1]) for e in error]
    assert lag == pytest.approx([0.7 * np.exp(-1)] * 3, abs=0.05)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"cheat": "frozen"}, lambda o, h: len(np.unique(o.printed[0])) == 4),
        ({"cheat": "averaged"}, lambda o, h: o.printed[0, 60:].std() < 0.8 * h.printed[0, 60:].std()),
        ({"cheat": "smoothed"}, lambda o, h: np.abs(np.diff(o.printed[0])).max() < np.abs(np.diff(h.printed[0])).max() / 3),
        ({"cheat": "wrong_fix"}, lambda o, h: np.allclose(o.printed[0] - h.printed[0], 0.12)),
        ({"float_share": 0.5}, lambda o, h: 10 < (o.quality == FLOAT).sum() < 110),
        ({"float_share": 0.5, "cheat": "fixed_only"}, lambda o, h: o.t.size < 110 and (o.quality == FIXED).all()),
        ({"missing": ((10, 20), (50, 51))}, lambda o, h: o.t.size == 109),
        ({"path": Loop(), "latency_s": 0.1}, lambda o, h: 0.7 < np.hypot(*(o.printed - o.true)[:2]).mean() < 0.9),
    ],
)  # fmt: skip
def test_each_trick_shows_in_what_is_printed(change: dict, seen: object) -> None:
    assert seen(simulate(replace(HONEST, **change), 1), simulate(HONEST, 1))  # type: ignore[operator]


@pytest.mark.parametrize("cheat", ["coarse", "simulator", "replayed", "no_beidou", "doubled"])
def test_tricks_of_the_sentences(cheat: str) -> None:
    sentences = read(replace(HONEST, seconds=5, cheat=cheat))
    gga = [s for s in sentences if s.sentence_type == "GGA"]
    assert {
        "coarse": lambda: all(len(s.lat.split(".")[1]) == 5 for s in gga),
        "simulator": lambda: {s.gps_qual for s in gga} == {8},
        "replayed": lambda: {str(s.datestamp) for s in sentences if s.sentence_type == "RMC"} == {"2026-03-01"},
        "no_beidou": lambda: {s.data[-1] for s in sentences if s.sentence_type == "GSA"} == {"1"},
        "doubled": lambda: len(gga) == 10,
    }[cheat]()


def test_it_speaks_in_real_time_over_tcp() -> None:
    now = datetime.now(UTC)
    live = replace(HONEST, start=now, seconds=60, rate_hz=20)
    with on_tcp(live, 1) as (port, said), socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        read_back = b""
        while read_back.count(b"GGA") < 20:
            got = time.time()
            read_back += peer.recv(65536)
    times = [s.timestamp for s in map(parse, read_back.split(b"\r\n")[:-1]) if s.sentence_type == "GGA"]
    seconds = [t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6 for t in times]
    assert np.diff(seconds) % 86400 == pytest.approx([0.05] * (len(seconds) - 1), abs=0.011)
    assert seconds[-1] <= got % 86400 + 1
    assert len(said) >= len(times) - 1


def test_a_terminal_keeps_nothing_for_whom_comes_late() -> None:
    live = replace(HONEST, start=datetime.now(UTC), seconds=60, rate_hz=20)
    with on_terminal(live, 1) as (port, said):
        time.sleep(0.5)
        assert said == []
        opened = time.time()
        with serial.Serial(port, timeout=5) as reader:
            reader.readline()
            first = next(line for line in iter(reader.readline, b"") if b"GGA" in line)
    moment = parse(first.strip()).timestamp
    second = moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    assert second >= opened % 86400 - 0.2


def test_what_it_says_may_depend_on_what_happens() -> None:
    """Each epoch is asked for when the one before has been said."""
    asked: list[float] = []

    def says(receiver: Receiver, seed: int) -> Iterator[tuple[float, bytes]]:
        for t, octets in lines(receiver, seed):
            asked.append(t)
            yield t, octets

    live = replace(HONEST, start=datetime.now(UTC), seconds=60, rate_hz=10)
    with on_terminal(live, 1, says) as (port, said), serial.Serial(port, timeout=5) as reader:
        while len(said) < 3:
            assert reader.readline()
        assert len(asked) <= len(said) + 2


def test_satellites_are_those_of_its_talkers() -> None:
    talkers = {s.talker for s in read(replace(HONEST, seconds=2, talkers=("GP",))) if s.sentence_type == "GSV"}
    assert talkers == {"GP"}


def parse(line: bytes) -> pynmea2.NMEASentence:
    return pynmea2.parse(line.decode(), check=True)


def test_minutes_never_read_sixty() -> None:
    edge = replace(HONEST, origin=Place(30 - 1e-13, 114 + 59.99999999 / 60, 0), seconds=3, sigma_mm=(0, 0, 0))
    assert all(s.latitude == pytest.approx(30) for s in read(edge) if s.sentence_type == "GGA")
