"""The positions source: terminals with a stream of their own, never within a metre of each other, and no copies of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from tests.probes.boundary_support import CORNER, criterion, nmea, write
from tests.probes.devices_support import TreeEvidence, evidence, params, table
from tests.probes.records_support import codes, excluded
from tests.probes.sources_support import recording
from yanshou.formats.boundaries import Plane
from yanshou.harness.basics import ProbeError
from yanshou.harness.judge import judge_run
from yanshou.harness.model import Count, Verdict
from yanshou.probes import positions as positions_module
from yanshou.probes.devices.analyse import analyse
from yanshou.probes.devices.sources.positions.clones import Stream, same_receiver, untested
from yanshou.probes.devices.sources.positions.params import Source
from yanshou.probes.devices.sources.positions.read import findings
from yanshou.probes.devices.sources.positions.record import record as record_source

COLUMNS = ["terminal", "time", "lon", "lat", "q"]
TABLE = {
    "kind": "table",
    "file": "fixes.csv",
    "id": "terminal",
    "time": "time",
    "longitude": "lon",
    "latitude": "lat",
    "quality": "q",
}
SOURCE = {"kind": "positions", "fixes": [TABLE]}
CLEAN = {"POS-V03": "info", "POS-V07": "info"}
START = datetime(2026, 3, 2, 9)
SECONDS = 600
PLANE = Plane(*CORNER)
Array = np.ndarray[Any, Any]


def off(east: float, north: float) -> Array:
    """A displacement in metres."""
    return np.array([east, north])


def noise(rng: np.random.Generator, white: float = 0.002, slow: float = 0.004, seconds: int = SECONDS) -> Array:
    """Errors of a fixed solution, metres: white noise, and a Gauss-Markov process of 115 s."""
    keep = np.exp(-1 / 115)
    driving = rng.normal(0, slow * np.sqrt(1 - keep**2), (seconds, 2))
    driving[0] = rng.normal(0, slow, 2)
    return lfilter([1.0], [1.0, -keep], driving, axis=0) + rng.normal(0, white, (seconds, 2))


def parked(number: int, seed: int = 1) -> list[Array]:
    """Receivers at rest, kilometres apart, that share the noise of one base station."""
    rng = np.random.default_rng(seed)
    base = noise(rng)
    return [rng.uniform(-3000, 3000, 2) + base + noise(rng) for _ in range(number)]


def driven(seed: int) -> tuple[Array, Array]:
    """Where a vehicle truly is each second, and its heading in radians."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.05, SECONDS))
    speed = 5 + np.cumsum(rng.normal(0, 0.05, SECONDS))
    path = np.cumsum(np.stack([speed * np.sin(heading), speed * np.cos(heading)], axis=1), axis=0)
    return path + rng.uniform(-3000, 3000, 2), heading


def said(
    name: str, metres: Array, start: datetime = START, every_s: int = 1, quality: str = "4", digits: int = 8
) -> list[list[str]]:
    """Rows of one terminal."""
    return [
        [name, (start + timedelta(seconds=n * every_s)).isoformat(), f"{x:.{digits}f}", f"{y:.{digits}f}", quality]
        for n, (x, y) in enumerate(PLANE.degrees(metres).tolist())
    ]


def fleet(streams: Iterable[Array]) -> list[list[str]]:
    return [r for n, metres in enumerate(streams) for r in said(f"N{n}", metres)]


def part(rows: Iterable[Sequence[str]]) -> dict[str, bytes]:
    return {"positions/positions-1.csv": table(COLUMNS, rows)}


def count(rows: Iterable[Sequence[str]], names: Iterable[str], **changes: Any) -> Count:
    """The count of registered `names` from one table of positions."""
    register = [[name, *[""] * 7] for name in names]
    return analyse(evidence(register, part(rows)), params(sources=[SOURCE], unit="个", **changes), 1)


def names(number: int) -> list[str]:
    return [f"N{n}" for n in range(number)]


def status(found: Count) -> dict[str, tuple[str, str]]:
    return {d["device_id"]: (d["status"], d["reason"]) for d in found.facts["devices"]}


# --- counting ------------------------------------------------------------------------------------------------------------


def test_a_hundred_honest_terminals_pass_and_nothing_is_said_against_them() -> None:
    found = count(fleet(parked(100)), names(100))
    assert found.net == 100
    assert codes(found.validity) == CLEAN
    assert judge_run(criterion(100, "个"), found, 0.05, None).verdict is Verdict.PASS


CHEATS = {
    "copy": (lambda rng, m: m, "DEV-X-COPY"),
    "same place": (lambda rng, m: m.mean(axis=0) + off(0.5, 0.3) + noise(rng), "DEV-X-NEAR"),
    "displaced": (lambda rng, m: m + off(40.0, 30.0), "DEV-X-CLONE"),
    "displaced and turned": (
        lambda rng, m: (m - m.mean(axis=0)) @ [[0.6, -0.8], [0.8, 0.6]] + off(900, 5),
        "DEV-X-CLONE",
    ),
    "displaced and delayed": (
        lambda rng, m: np.concatenate([m[:25] * 0 + m[0], m])[:SECONDS] + off(5.0, 5.0),
        "DEV-X-CLONE",
    ),
    "displaced and noisier": (lambda rng, m: m + off(7.0, 7.0) + rng.normal(0, 0.0015, m.shape), "DEV-X-CLONE"),
    "frozen": (lambda rng, m: np.tile(m[0] + off(60.0, 0.0), (SECONDS, 1)), "DEV-X-STALE"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_makes_no_thirty_of_twenty_nine(cheat: str) -> None:
    make, code = CHEATS[cheat]
    streams = parked(29)
    streams.append(make(np.random.default_rng(9), streams[14]))
    found = count(fleet(streams), names(30))
    assert (found.net, excluded(found)[code]) == (29, 1)
    assert [d["device_id"] for d in found.facts["devices"] if d["status"] != "counted"] == ["N29"]
    if code in ("DEV-X-NEAR", "DEV-X-CLONE"):
        assert codes(found.validity)["DEV-V22"] == "warning"
        assert "N14" in status(found)["N29"][1]
    assert judge_run(criterion(30, "个"), found, 0.05, None).verdict is Verdict.FAIL


def test_a_third_copy_falls_with_the_model_that_counts() -> None:
    streams = parked(2)
    found = count(fleet([*streams, streams[0] + 9.0, streams[0] - 9.0]), names(4))
    assert (found.net, excluded(found)["DEV-X-CLONE"]) == (2, 2)
    one = [["N2", *[""] * 7], ["N0", *[""] * 7]]  # the first line of the register stays
    rows = fleet([*streams, streams[0] + 9.0])
    swapped = analyse(evidence(one, part(rows)), params(sources=[SOURCE]), 1)
    assert status(swapped)["N0"][0] == "duplicate"
    assert status(swapped)["N2"][0] == "counted"


def test_rows_of_a_list_are_a_declaration() -> None:
    rows = [r for n, m in enumerate(parked(120)) for r in said(f"N{n}", m[:1])]
    found = count(rows, names(120))
    assert (found.net, excluded(found)["DEV-X-GHOST"]) == (0, 120)
    assert codes(found.validity)["POS-V02"] == "invalid"
    assert count(rows, names(120), live=None).net == 0
    mixed = count(fleet(parked(3)) + said("N3", parked(1)[0][:2]), names(4))
    assert mixed.net == 3
    assert codes(mixed.validity)["POS-V04"] == "warning"


def test_terminals_must_be_live_in_one_common_window() -> None:
    streams = parked(5)
    later = said("N4", streams[4], START + timedelta(hours=2))
    rows = fleet(streams[:4]) + later
    found = count(rows, names(5))
    assert (found.net, status(found)["N4"][0]) == (4, "ghost")
    assert "2026-03-02 09:00 起 600 秒" in next(v.text for v in found.validity if v.code == "POS-V03")
    floating = fleet(streams[:4]) + said("N4", streams[4], quality="5")
    assert status(count(floating, names(5)))["N4"][0] == "ghost"


def test_a_recording_that_begins_for_all_at_once_is_no_burst() -> None:
    assert "DEV-V07" not in codes(count(fleet(parked(40)), names(40)).validity)


# --- one receiver --------------------------------------------------------------------------------------------------------


def stream(metres: Array, every_s: int = 1, delay_s: int = 0) -> Stream:
    return Stream(np.arange(0, SECONDS, every_s) + delay_s, metres[::every_s])


def pairs(*streams: Stream) -> list[tuple[int, int, bool]]:
    return [(p.first, p.second, p.near) for p in same_receiver(streams, 1.0)]


def test_honest_receivers_are_never_joined() -> None:
    """4950 pairs at rest with half of their noise in common, vehicles, two antennas on each, and columns that follow a leader."""
    rng = np.random.default_rng(2)
    streams = [stream(m) for m in parked(100, 3)]
    for seed in range(6):
        path, heading = driven(seed)
        side = np.stack([np.cos(heading), -np.sin(heading)], axis=1)
        behind = np.concatenate([path[:1].repeat(6, axis=0), path[:-6]]) + rng.normal(0, 0.3, path.shape)
        streams += [stream(m + noise(rng)) for m in (path, path + 1.5 * side, behind)]
    assert pairs(*streams) == []


def test_moving_copies() -> None:
    rng = np.random.default_rng(3)
    path, _ = driven(1)
    said_path = path + noise(rng)
    assert pairs(stream(said_path), stream(said_path + off(100, 50))) == [(0, 1, False)]
    assert pairs(stream(said_path), stream(said_path + off(100, 50) + rng.normal(0, 0.01, path.shape))) == [
        (0, 1, False)
    ]
    assert pairs(stream(said_path), stream(said_path + off(0, 9), delay_s=20)) == [(0, 1, False)]
    assert pairs(stream(said_path), stream(path + 0.2 + noise(rng))) == [(0, 1, True)]
    straight = np.stack([np.linspace(0, 3000, SECONDS), np.zeros(SECONDS)], axis=1)
    one = straight + noise(rng)
    assert pairs(stream(one), stream(one + off(0, 8))) == [(0, 1, False)]
    assert pairs(stream(one), stream(straight + off(0, 8) + noise(rng))) == []  # two antennas on one vehicle


def test_streams_of_other_rates_and_with_gaps() -> None:
    rng = np.random.default_rng(4)
    one, other = parked(2, 5)
    kept = np.sort(rng.choice(SECONDS, 400, replace=False))
    gaps = Stream(kept, (one + off(3, 3))[kept])
    assert pairs(stream(one), gaps, stream(other)) == [(0, 1, False)]
    assert pairs(stream(one), stream(one + off(3, 3), every_s=5), stream(other, every_s=5)) == [(0, 1, False)]
    assert pairs(stream(one), stream(one + off(3, 3), delay_s=10_000)) == []


def test_what_cannot_be_told_is_named() -> None:
    one = parked(1)[0]
    coarse = np.round(one, 0)
    assert untested(
        [stream(one), stream(one, every_s=30), stream(coarse), stream(one[:1].repeat(SECONDS, axis=0))]
    ) == [1, 2, 3]
    rows = said("N0", one) + said("N1", one[::60] + 9.0, every_s=60)
    found = list(findings(TreeEvidence(part(rows)).sub("positions"), Source.model_validate(SOURCE)))
    assert {v.code: v.severity.value for v in found} == {**CLEAN, "POS-V06": "warning"}
    assert "N1" in found[-1].text


# --- raw logs ------------------------------------------------------------------------------------------------------------


def log(metres: Array, **changes: Any) -> bytes:
    """What a receiver writes that is there for ten minutes."""
    degrees = PLANE.degrees(metres).tolist()
    return nmea([(START + timedelta(seconds=n), x, y) for n, (x, y) in enumerate(degrees)], **changes)


def test_raw_logs_are_streams_of_their_own() -> None:
    streams = parked(12)
    streams.append(streams[3] + off(20.0, 5.0))
    source = {"kind": "positions", "fixes": [{"kind": "nmea", "folder": "logs"}]}
    logs = {f"positions/positions-1/N{n}.nmea": log(m) for n, m in enumerate(streams)}
    logs["positions/positions-1/N13.log"] = b"\xb5\x62garbage" + log(parked(1)[0], quality=5) + b"$GNGGA,010000.00,3030"
    register = [[f"N{n}", *[""] * 7] for n in range(14)]
    found = analyse(evidence(register, logs), params(sources=[source]), 1)
    assert found.net == 12
    assert {n: s for n, (s, _) in status(found).items() if s != "counted"} == {"N12": "duplicate", "N13": "ghost"}
    assert codes(found.validity) == {
        "POS-V03": "info", "POS-V04": "warning", "POS-V05": "warning", "DEV-V22": "warning",
    }  # fmt: skip


def test_logs_without_a_date_need_one_declared() -> None:
    logs = {f"positions/positions-1/N{n}.nmea": log(m, dated=False) for n, m in enumerate(parked(3))}
    register = [[f"N{n}", *[""] * 7] for n in range(3)]

    def found(**changes: Any) -> Count:
        source = {"kind": "positions", "fixes": [{"kind": "nmea", "folder": "logs", **changes}]}
        return analyse(evidence(register, logs), params(sources=[source]), 1)

    assert found().net == 0
    assert codes(found().validity)["POS-V02"] == "invalid"
    assert found(date="2026-03-02").net == 3


# --- evidence ------------------------------------------------------------------------------------------------------------


def test_broken_rows_and_missing_evidence() -> None:
    rows = [*fleet(parked(2)), ["", *said("x", parked(1)[0])[0][1:]], ["N0", "昨天", "114", "30", "4"], ["N0"]]
    found = count(rows, names(2))
    assert codes(found.validity) == {**CLEAN, "POS-V05": "warning"}
    register = [["N0", *[""] * 7]]
    nothing = analyse(evidence(register), params(sources=[SOURCE]), 1)
    assert "invalid" in codes(nothing.validity).values()
    assert codes(tuple(findings(TreeEvidence({}), Source.model_validate(SOURCE)))) == {"POS-V01": "invalid"}


def test_recording_takes_the_table_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source.model_validate(SOURCE)

    def refused() -> ProbeError:
        with pytest.raises(ProbeError) as caught, recording(tmp_path, record_source, source):
            pass
        return caught.value

    assert refused().problem.code == "POS-E01"
    write(tmp_path, fixes__csv=b"terminal,time,lon\n")
    assert refused().problem.code == "POS-E01"
    data = table(COLUMNS, fleet(parked(1)))
    write(tmp_path, fixes__csv=data)
    with recording(tmp_path, record_source, source) as run:
        pass
    assert run.evidence.open("positions-1.csv").read() == data
    logs = Source.model_validate({"kind": "positions", "fixes": [{"kind": "nmea", "folder": "logs"}]})
    for file in ("N1.nmea", "N2.log"):
        with pytest.raises(ProbeError, match="没有一个日志"), recording(tmp_path / file, record_source, logs):
            pass
        (tmp_path / file / "logs").mkdir()
        (tmp_path / file / "logs" / file).write_bytes(b"$GNGGA\r\n")
        with recording(tmp_path / file, record_source, logs) as run:
            pass
        assert run.evidence.streams() == (f"positions-1/{file}",)
    (tmp_path / "N1.nmea" / "logs" / "N1.log").write_bytes(b"x")
    with pytest.raises(ProbeError, match="有几个文件"), recording(tmp_path / "N1.nmea", record_source, logs):
        pass
    stamps = iter(range(10))
    monkeypatch.setattr(positions_module, "stamp", lambda path: next(stamps))
    assert refused().problem.code == "POS-E02"
