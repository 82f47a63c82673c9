"""What is heard on the uplink while a model is measured: every kind of vehicle, honest or not, and every kind of port."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from latency_support import MS, latencies, params, verdict, written
from pydantic import ValidationError
from records_support import MemoryEvidence

from tests.namespaces import AVAILABLE, Host, segment, two_hosts
from tests.probes import vehicle_support
from tests.probes.sources_support import wait_for
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples, Verdict
from yanshou.probes.model_latency import traffic as adding_up
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.reference import write_pool
from yanshou.probes.model_latency.spec import Params
from yanshou.probes.model_latency.streams import COLUMNS, HOST_COLUMNS, UPLINK_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
CLOUD, OTHER_CLOUD = "203.0.113.7", "198.51.100.9"
VEHICLE = "192.0.2.1"
QUIET_NS = 5000 * MS
ANSWER = 40
"""Octets of each answer in the evidence of `written`."""


class Row(NamedTuple):
    """A line of uplink.csv."""

    t: int
    way: str
    packets: int = 1
    bytes: int = 200
    content: int = 140
    remote: str = CLOUD
    local: str = VEHICLE
    protocol: str = "udp"
    port: int = 443


class Times(NamedTuple):
    """Of the requests and of the capture, ns."""

    starts: np.ndarray
    ends: np.ndarray
    end: int


Traffic = Callable[[Times], Iterator[Row]]


def exchange(t: int, gap: int = 8 * MS, **more: Any) -> Iterator[Row]:
    """Something goes out, and something comes back."""
    yield Row(int(t), "out", **more)
    yield Row(int(t + gap), "in", **more)


def steady(every_ms: float, **more: Any) -> Traffic:
    """An exchange so often, all the time."""

    def made(times: Times) -> Iterator[Row]:
        for t in np.arange(3 * MS, times.end - 20 * MS, every_ms * MS):
            yield from exchange(t, **more)

    return made


def answered(
    every: int = 1, after_ms: float = 20, remote: Callable[[int], str] = lambda _: CLOUD, **more: Any
) -> Traffic:
    """With every so many-th request something goes out, and something comes back so long after its beginning."""

    def made(times: Times) -> Iterator[Row]:
        for n, start in enumerate(times.starts):
            if n % every == 0:
                yield from exchange(start + MS, round(after_ms * MS), remote=remote(n), **more)

    return made


def both(*traffic: Traffic) -> Traffic:
    def made(times: Times) -> Iterator[Row]:
        for one in traffic:
            yield from one(times)

    return made


def quiet_only(every_ms: float) -> Traffic:
    """Cover for the cloud: about as many exchanges as there will be requests, while there is none."""

    def made(times: Times) -> Iterator[Row]:
        rng = np.random.default_rng(4)
        for t in np.arange(3 * MS, times.end - 60 * MS, every_ms * MS):
            if not times.starts[0] - 50 * MS < t < times.ends.max():
                yield from exchange(t + rng.integers(0, 30 * MS))

    return made


def padded(every_ms: float, more: int) -> Traffic:
    """Telemetry whose packets grow while requests are under way, and do not become more."""

    def made(times: Times) -> Iterator[Row]:
        for t in np.arange(3 * MS, times.end - 20 * MS, every_ms * MS):
            larger = more if times.starts[0] < t < times.ends.max() else 0
            yield from exchange(t, bytes=200 + larger, content=140 + larger)

    return made


def fetched(octets: int, before_ms: float = 3000) -> Traffic:
    """So much at once, before the first request."""

    def made(times: Times) -> Iterator[Row]:
        begin = int(times.starts[0] - before_ms * MS)
        yield from exchange(begin)
        for n in range(-(-octets // 14_000)):
            carried = min(14_000, octets - n * 14_000)
            yield Row(begin + (10 + n) * MS, "in", 10, carried + 660, carried, OTHER_CLOUD, protocol="tcp")

    return made


def reporting(times: Times) -> Iterator[Row]:
    """What was answered goes out, and nothing comes back."""
    for end in times.ends:
        yield Row(int(end) + MS, "out", remote=OTHER_CLOUD, port=514)


def neighbours(times: Times) -> Iterator[Row]:
    """Somebody else on the network, with each request."""
    yield from steady(1000)(times)
    for start in times.starts:
        yield Row(int(start) + 5 * MS, "other", remote=OTHER_CLOUD, local="192.0.2.77")


def bundled(times: Times) -> Iterator[Row]:
    """Eight requests at once are sent on together, and answered together."""
    for n in range(0, len(times.starts), 8):
        yield from exchange(times.starts[min(n + 7, len(times.starts) - 1)] + 2 * MS)


def silent(_: Times) -> Iterator[Row]:
    yield from ()


def evidence(
    traffic: Traffic,
    given: Params,
    took: np.ndarray | None = None,
    host: str = "",
    lose: tuple[str, ...] = (),
    **told: Any,
) -> Any:
    """A run that was listened to, five seconds of quiet on both sides."""
    shifted: dict[str, Any] = {}

    def later(columns: dict[str, list[Any]]) -> None:
        for name in COLUMNS.split(","):
            if name.endswith("_ns"):
                columns[name] = [t + QUIET_NS for t in columns[name]]
        shifted.update(columns)

    taken = latencies(given.warmup + given.count) if took is None else took
    run = written(given, taken, later)
    parts = {name: run.open(name).read() for name in run.streams()}
    ends = np.array(shifted["t_done_ns"])
    times = Times(np.array(shifted["t_start_ns"]), ends, int(ends.max()) + QUIET_NS)
    rows = sorted(traffic(times))
    lines = [
        f"{r.t},{r.way},{r.protocol},{r.local},{r.remote},{r.port},{r.packets},{r.bytes},{r.content}" for r in rows
    ]
    told = {
        "interface": "eth1", "model": [VEHICLE], "own": [], "begin_ns": 0, "end_ns": times.end, "kernel_dropped": 0, "exit": 0,
        "full": False, "confirmed": False, **told,
    }  # fmt: skip
    parts |= {
        "uplink.csv": "\n".join([UPLINK_COLUMNS, *lines, ""]).encode(),
        "uplink.json": json.dumps(told).encode(),
        "host.csv": f"{HOST_COLUMNS}\n{host}".encode(),
    }
    return MemoryEvidence({name: data for name, data in parts.items() if name not in lose})


def listened(**changes: Any) -> Params:
    return params(**{"metric": "e2e", "uplink": "eth1", "quiet_s": 5, **changes})


def found(traffic: Traffic, given: Params | None = None, **how: Any) -> dict[str, tuple[str, str]]:
    """{code: (severity, text)} of what is said of the uplink."""
    given = given or listened()
    return said(analyse(evidence(traffic, given, **how), given, 1))


def said(samples: Samples) -> dict[str, tuple[str, str]]:
    return {v.code: (v.severity.value, v.text) for v in samples.validity if v.code in ("LAT-V19", "LAT-V22", "LAT-V23")}


SLOW = latencies(40, median_ms=2500)
OPEN = {"rate_hz": 10, "metric": "decision_cycle"}

TENTHS = {"rate_hz": 20, "metric": "decision_cycle", "streams": 8}

HONEST = {
    "telemetry once a second": (steady(1000), {}, "info"),
    "telemetry seven times a second": (steady(143), {}, "info"),
    "time once in a while": (steady(16_000, port=123), {}, "info"),
    "telemetry on a harmonic of the frames": (steady(50), OPEN, "warning"),
    "telemetry on every second frame": (steady(200), OPEN, "info"),
    "a steady stream much denser than the requests": (steady(5), {}, "warning"),
    "answers that take seconds, and telemetry": (steady(1000), {"count": 30, "took": SLOW}, "warning"),
    "answers that take seconds, and little telemetry": (steady(9000), {"count": 30, "took": SLOW}, "info"),
    "it only reports every answer": (both(steady(1000), reporting), {}, "info"),
    "a small file meanwhile": (both(steady(1000), fetched(20_000, -5000)), {}, "info"),
    "a large upload": (
        both(steady(1000), lambda times: (Row(int(times.starts[9]) + n * MS, "out", 10, 15_000, 14_000) for n in range(500))),
        {}, "info",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_a_vehicle_that_answers_by_itself_is_not_accused(name: str) -> None:
    traffic, changes, severity = HONEST[name]
    told = found(traffic, listened(**{k: v for k, v in changes.items() if k != "took"}), took=changes.get("took"))
    assert told["LAT-V22"][0] == severity, told
    assert told["LAT-V23"][0] == "info"
    assert "LAT-V19" not in told


def spread(n: int) -> str:
    return f"2001:db8::{n:x}"


OFFLOADED = {
    "asks a cloud for every answer": (answered(), {}, CLOUD),
    "spread over as many addresses as requests, by IPv6": (answered(remote=spread), {}, "共 705 个地址"),
    "always the same delay": (answered(after_ms=30), {}, CLOUD),
    "under a steady stream of its own": (both(steady(5, remote=OTHER_CLOUD), answered()), {}, CLOUD),
    "in the telemetry's own packets, which grow": (padded(5, 64), {}, CLOUD),
    "cover while it is quiet": (quiet_only(40), {}, CLOUD),
    "cover while it is quiet, on a schedule": (quiet_only(40), OPEN, CLOUD),
    "on a schedule": (answered(), OPEN, CLOUD),
    "every third answer": (answered(3), {}, CLOUD),
    "answers fetched ahead": (both(steady(1000), fetched(200_000)), {}, "一阵传入 200"),
    "answers fetched in the middle": (both(steady(1000), fetched(200_000, -9000)), {}, "一阵传入 200"),
    "eight requests to an exchange": (bundled, TENTHS | {"took": latencies(median_ms=450)}, CLOUD),
    "for answers that take seconds": (answered(after_ms=1500), {"count": 30, "took": SLOW}, CLOUD),
    "for answers that take seconds, under telemetry": (
        both(steady(1000, remote=OTHER_CLOUD), answered(after_ms=1500)), {"count": 30, "took": SLOW}, CLOUD
    ),
    "by an address that is not the vehicle's": (neighbours, {}, "192.0.2.77 → 198.51.100.9"),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFLOADED)
def test_traffic_that_tracks_the_requests_blocks_a_pass(name: str) -> None:
    traffic, changes, words = OFFLOADED[name]
    if "cover" in name:
        traffic = both(traffic, answered())
    given = listened(**{k: v for k, v in changes.items() if k != "took"})
    severity, text = found(traffic, given, took=changes.get("took"))["LAT-V22"]
    assert severity == "invalid", text
    assert words in text


def test_a_pass_is_blocked_and_the_report_names_each_end() -> None:
    given = listened()
    honest = analyse(evidence(steady(1000), given), given, 1)
    assert verdict(honest) is Verdict.PASS
    fetching = analyse(evidence(both(steady(1000, remote=OTHER_CLOUD), answered()), given), given, 1)
    assert verdict(fetching) is Verdict.INVALID
    first, second = fetching.facts["uplink_remotes"]
    assert (first["remote"], first["ports"], first["requests"]) == (CLOUD, "udp/443", 705)
    assert (first["packets_out"], first["packets_in"], first["bytes_out"], first["bytes_in"]) == (1, 1, 200, 200)
    assert (second["remote"], second["packets_in"]) == (OTHER_CLOUD, pytest.approx(0, abs=0.01))
    assert fetching.facts["uplink"]["answered_during_arrival"] == 1.0
    assert "uplink" not in analyse(evidence(silent, params(metric="e2e")), params(metric="e2e"), 1).facts


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        (both(steady(1000), answered(8)), "少数请求可能由别处作答"),
        (both(steady(1000), fetched(40_000)), "不能排除预先取来"),
        (steady(5), "藏下每个请求"),
    ],
)
def test_what_cannot_be_excluded_is_a_warning(traffic: Traffic, words: str) -> None:
    severity, text = found(traffic)["LAT-V22"]
    assert (severity, words in text) == ("warning", True), text


def test_what_passes_between_the_two_who_measure_is_no_uplink() -> None:
    """Both ways with every request, and counted apart; but only on the connection on which it is measured."""

    def measuring(times: Times) -> Iterator[Row]:
        yield from steady(1000)(times)
        for start in times.starts:
            yield Row(int(start), "own", 2, 900, 700, "192.0.2.9", port=40_000)

    given = listened()
    samples = analyse(evidence(measuring, given), given, 1)
    assert said(samples)["LAT-V22"][0] == "info"
    assert samples.facts["uplink"]["packets_own"] == 2 * 705
    assert [r["remote"] for r in samples.facts["uplink_remotes"]] == [CLOUD]
    assert found(both(measuring, answered(remote=lambda _: "192.0.2.9")))["LAT-V22"][0] == "invalid"


def carrier(*values: int) -> str:
    return "".join(f"{n * 1000 * MS},carrier:eth1,{value}\n" for n, value in enumerate(values))


def one_way(way: str) -> Traffic:
    return lambda times: (row for row in steady(1000)(times) if row.way == way)


def announced(times: Times) -> Iterator[Row]:
    """What every port of a switch shows."""
    return (row._replace(way="group") for row in one_way("out")(times))


@pytest.mark.parametrize(
    ("traffic", "told", "severity", "words"),
    [
        (steady(1000), {}, "info", "监听看得见它的上行"),
        (silent, {}, "invalid", "没有见到车端（192.0.2.1）与外界的一个包，证明不了"),
        (announced, {}, "invalid", "证明不了"),
        (one_way("out"), {}, "invalid", "只见到车端发出的包"),
        (one_way("in"), {}, "invalid", "只见到车端收到的包"),
        (silent, {"host": carrier(1, 0, 0, 1)}, "invalid", "有 50% 的时间断开"),
        (steady(1000), {"host": carrier(1, 1, 1, 0)}, "invalid", "有 25% 的时间断开"),
        (silent, {"confirmed": True}, "info", "确认上行已切断，eth1 上没有见到"),
        (steady(1000), {"confirmed": True}, "warning", "确认上行已切断，eth1 上却见到车端发出"),
        (steady(1000), {"kernel_dropped": 9}, "warning", "内核来不及交出 9 包"),
        (steady(1000), {"kernel_dropped": 300}, "invalid", "足以藏下随请求的往来"),
        (steady(1000), {"exit": -9}, "invalid", "没有完整记录"),
        (steady(1000), {"lose": ("uplink.json",)}, "invalid", "没有完整记录"),
        (steady(1000), {"end_ns": 9}, "invalid", "没有完整记录"),
        (steady(1000), {"full": True}, "invalid", "此后没有记"),
        (steady(1000), {"lose": ("uplink.csv",)}, "invalid", "证明不了"),
    ],
)  # fmt: skip
def test_what_a_capture_can_tell_and_what_it_cannot(
    traffic: Traffic, told: dict[str, Any], severity: str, words: str
) -> None:
    """A port that shows nothing, a cut that somebody confirmed and a capture with gaps are three different things."""
    seen = found(traffic, **told)
    assert (seen["LAT-V23"][0], words in seen["LAT-V23"][1]) == (severity, True), seen
    assert ("LAT-V22" in seen) is (severity != "invalid")  # what was not seen says nothing


def test_traffic_that_tracks_is_said_of_a_capture_with_gaps_too() -> None:
    seen = found(answered(), kernel_dropped=300)
    assert [seen[code][0] for code in ("LAT-V22", "LAT-V23")] == ["invalid", "invalid"]


def test_a_cut_that_nobody_confirmed_is_no_cut() -> None:
    given = listened(uplink_cut=True)
    assert found(silent, given)["LAT-V23"][0] == "invalid"
    severity, text = found(steady(1000), given)["LAT-V23"]
    assert (severity, "没有人确认" in text) == ("warning", True)


@pytest.mark.parametrize(
    ("host", "severity", "words"),
    [
        ("0,bytes:eth1:tx,0\n0,bytes:eth1:rx,0\n9,bytes:eth1:tx,7500\n9,bytes:eth1:rx,7500\n", "info", "相符"),
        ("0,bytes:eth1:tx,0\n0,bytes:eth1:rx,0\n9,bytes:eth1:tx,9500\n9,bytes:eth1:rx,95000\n", "warning", "没听到"),
        ("", "warning", "没有内核计数可比"),
        (carrier(0, 0, 0), "info", "全程断开（内核所报）"),
    ],
)  # fmt: skip
def test_the_host_s_own_uplink_is_compared_with_the_kernel_s_count(host: str, severity: str, words: str) -> None:
    told = found(steady(1000), host=host, model=[])
    assert (told["LAT-V23"][0], words in told["LAT-V23"][1]) == (severity, True), told


@pytest.mark.parametrize("line", ["torn", "1,out,udp,a,b,1,1,1", "-5,out,udp,a,b,1,1,1,1", "1,up,udp,a,b,1,1,1,1"])
def test_rows_that_are_none_are_not_taken_for_proof(line: str) -> None:
    given = listened()
    whole = evidence(steady(1000), given)
    parts = {name: whole.open(name).read() for name in whole.streams()}
    parts["uplink.csv"] += line.encode() + b"\n"
    told = said(analyse(MemoryEvidence(parts), given, 1))  # type: ignore[arg-type]
    assert (told["LAT-V23"][0], "1 行不能用" in told["LAT-V23"][1]) == ("invalid", True)


def test_more_remote_ends_than_are_told_apart_are_lumped(monkeypatch: pytest.MonkeyPatch) -> None:
    """And chunks of any size add up to the same."""
    whole = found(answered(remote=spread))["LAT-V22"]
    monkeypatch.setattr(adding_up, "CHUNK", 37)
    assert found(answered(remote=spread))["LAT-V22"] == whole
    monkeypatch.setattr(adding_up, "MOST_REMOTES", 20)
    severity, text = found(answered(remote=spread))["LAT-V22"]
    assert (severity, "其余（udp/443，685 个请求）" in text) == ("invalid", True), text


@pytest.mark.parametrize(
    "wrong",
    [
        {"uplink": None, "uplink_cut": True}, {"uplink": None, "uplink_model": ["192.0.2.1"]}, {"quiet_s": 1},
        {"uplink": "no interface"}, {"uplink": "a/b"}, {"uplink_model": ["vehicle"]}, {"uplink_model": ["02:00:00:00:00"]},
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        listened(**wrong)


def test_addresses_are_compared_in_one_form() -> None:
    given = listened(uplink_model=["02-AB-00-00-00-01", "2001:DB8:0::1", "192.0.2.1"])
    assert given.uplink_model == ("02:ab:00:00:00:01", "2001:db8::1", "192.0.2.1")


# --- real packets ------------------------------------------------------------------------------------------------------

netns = pytest.mark.netns
needs_namespaces = pytest.mark.skipif(not AVAILABLE, reason="needs root and ip netns")
COUNT = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent), str(ROOT)])}
MEASURE = """
import json, sys
from pathlib import Path
from records_support import record
from yanshou.kit.runner import Settings
from yanshou.probes.model_latency.capture import capture
from yanshou.probes.capturing import RunContext
from dataclasses import replace
def confirmed(text):
    print(text, file=sys.stderr)
    return lambda: True
def asking(params, run):
    capture(params, replace(run, ask=confirmed if params.uplink_cut else lambda _: None))
evidence = record(Path(sys.argv[1]), asking, Settings(**json.loads(sys.argv[2])))
print(json.dumps([str(evidence.folder), evidence.acknowledged]))
"""


@contextmanager
def started(host: Host, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a namespace, once it says that it is ready."""
    command = [*host.inside, sys.executable, str(Path(vehicle_support.__file__)), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        try:
            yield child
        finally:
            child.kill()


def measured(folder: Path, label: str, behaviour: dict[str, Any], **changes: Any) -> tuple[Samples, RunEvidence]:
    """A whole run against a real vehicle, listened to on a real port."""
    folder.mkdir()
    write_pool(folder / "pool.jsonl", COUNT + 5)
    with segment(label) as (near, car, cloud), started(cloud, "cloud"):
        behaviour = {"cloud": cloud.address} | behaviour
        given = params(
            kind="json", url=f"http://{car.address}:{vehicle_support.SERVICE}/", pool="pool.jsonl", metric="e2e", count=COUNT,
            warmup=3, timeout_s=5, answer="action", **{"uplink": "mirror0", "quiet_s": 2, **changes},
        )  # fmt: skip
        if extra := behaviour.get("addresses"):
            for address in extra:
                subprocess.run(
                    [*cloud.inside, "ip", "addr", "add", f"{address}/64", "dev", "veth0", "nodad"], check=True
                )
        with started(car, "vehicle", car.address, json.dumps(behaviour)) as vehicle:
            command = [*near.inside, sys.executable, "-c", MEASURE, str(folder), given.model_dump_json()]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
            ) as running:
                if "fetch" in behaviour:
                    wait_for(folder, "uplink.csv", b"t_ns")
                    assert vehicle.stdin
                    vehicle.stdin.write("\n")
                    vehicle.stdin.flush()
                out, error = running.communicate(timeout=60)
            assert running.returncode == 0, error
    place, acknowledged = json.loads(out)
    evidence = RunEvidence(Path(place), acknowledged)
    return analyse(evidence, given, 1), evidence


def six(network: int) -> list[str]:
    return [f"fd00::{network:x}:{n:x}" for n in range(1, 21)]


VEHICLES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str], str]] = {
    "honest": ({"telemetry_hz": 1}, {}, {"LAT-V22": "info", "LAT-V23": "info"}, "不随请求而动"),
    "telemetry": ({"telemetry_hz": 9}, {}, {"LAT-V22": "info", "LAT-V23": "info"}, "不随请求而动"),
    "cloud": ({"clouds": ["10.213.8.3"]}, {}, {"LAT-V22": "invalid", "LAT-V23": "info"}, "10.213.8.3（udp/9，63 个请求）"),
    "spread": (
        {"clouds": six(3), "addresses": six(3), "telemetry_hz": 9},
        {},
        {"LAT-V22": "invalid", "LAT-V23": "info"},
        "个请求）等，共 2",
    ),
    "fetched": ({"telemetry_hz": 1, "fetch": 300_000}, {}, {"LAT-V22": "invalid", "LAT-V23": "info"}, "装得下全部答案"),
    "deaf": ({"clouds": ["10.213.8.3"]}, {"uplink": "deaf0"}, {"LAT-V23": "invalid"}, "没有见到车端（10.213.8.2）与外界的一个包"),
    "cut": ({}, {"uplink_cut": True}, {"LAT-V22": "info", "LAT-V23": "info"}, "确认上行已切断，mirror0 上没有见到"),
}  # fmt: skip


@netns
@needs_namespaces
@pytest.mark.parametrize("name", VEHICLES)
def test_a_real_vehicle_on_a_real_port(vehicles: dict[str, tuple[Samples, RunEvidence]], name: str) -> None:
    _, _, severities, words = VEHICLES[name]
    samples, _ = vehicles[name]
    told = said(samples)
    assert samples.facts["status"] == {"ok": COUNT}
    assert {code: severity for code, (severity, _) in told.items()} == severities, told
    assert any(words in text for _, text in told.values()), told


@netns
@needs_namespaces
def test_the_evidence_has_every_packet_and_no_payload(vehicles: dict[str, tuple[Samples, RunEvidence]]) -> None:
    samples, evidence = vehicles["cloud"]
    with evidence.open("uplink.csv") as f:
        rows = list(csv.DictReader(f.read().decode().splitlines()))
    ways = {way: sum(int(r["packets"]) for r in rows if r["way"] == way) for way in ("out", "in", "own")}
    asked = COUNT + 3
    assert (ways["out"], ways["in"]) == (pytest.approx(asked, abs=6), pytest.approx(asked, abs=6))  # and ARP
    assert ways["own"] >= 2 * asked
    assert {r["remote"] for r in rows if r["way"] == "own"} == {"10.213.8.1"}
    (end,) = [json.loads(line) for line in evidence.open("uplink.json").read().splitlines()]
    assert end["model"] == ["10.213.8.2"]
    assert (end["own"], end["kernel_dropped"], end["exit"]) == ([["10.213.8.2", "10.213.8.1", 8000]], 0, 0)
    sent = [int(r["content"]) for r in rows if r["way"] == "out" and r["protocol"] == "udp"]
    asked_with = [int(r["bytes"]) for r in rows if r["way"] == "out" and r["protocol"] == "udp"]
    assert [b - c for b, c in zip(asked_with, sent, strict=True)] == [42] * asked  # Ethernet, IPv4 and UDP headers
    with evidence.open("requests.csv") as f:
        requests = list(csv.DictReader(f.read().decode().splitlines()))
    arrivals = sorted(int(r["t_ns"]) for r in rows if r["way"] == "in" and r["protocol"] == "udp")
    for request in requests:  # on one clock: something came in between each request and its answer
        assert any(int(request["t_start_ns"]) <= t <= int(request["t_done_ns"]) for t in arrivals)
    for stream in ("uplink.csv", "uplink.json"):
        assert "左转".encode() not in evidence.open(stream).read()
    assert samples.facts["uplink_remotes"][0]["requests"] == asked


FORWARD = """
import sys
from tests.probes.vehicle_support import ask
for line in sys.stdin:
    print((ask(sys.argv[1], line.encode()) if sys.argv[1:] else line.encode()).decode().strip(), flush=True)
"""


def at_home(folder: Path, asks: bool, cut: bool) -> tuple[Samples, RunEvidence]:
    """A model that is a command on the measuring host, whose own interface is listened to."""
    folder.mkdir()
    write_pool(folder / "pool.jsonl", COUNT + 5)
    with two_hosts(folder.name) as (near, far), started(far, "cloud"):
        given = params(
            kind="command", command=[sys.executable, "-c", FORWARD, *([far.address] if asks else [])], pool="pool.jsonl",
            metric="e2e", count=COUNT, warmup=3, url=None, uplink="veth0", quiet_s=2,
        )  # fmt: skip
        if cut:
            subprocess.run([*near.inside, "ip", "link", "set", "veth0", "down"], check=True)
        command = [*near.inside, sys.executable, "-c", MEASURE, str(folder), given.model_dump_json()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    place, acknowledged = json.loads(done.stdout)
    evidence = RunEvidence(Path(place), acknowledged)
    return analyse(evidence, given, 1), evidence


AT_HOME = {"home": (True, False), "unplugged": (False, True)}
"""Name -> (asks the cloud for every answer, its uplink is down)."""


@pytest.fixture(scope="module")
def vehicles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Samples, RunEvidence]]:
    """All of them at once: most of their time is quiet."""
    place = tmp_path_factory.mktemp("vehicles")
    with ThreadPoolExecutor(len(VEHICLES) + len(AT_HOME)) as pool:
        runs = {
            name: pool.submit(measured, place / name, name, behaviour, **changes)
            for name, (behaviour, changes, _, _) in VEHICLES.items()
        }
        runs |= {name: pool.submit(at_home, place / name, asks, cuts) for name, (asks, cuts) in AT_HOME.items()}
        return {name: run.result() for name, run in runs.items()}


@netns
@needs_namespaces
def test_the_measuring_host_s_own_uplink_names_the_cloud_and_agrees_with_the_kernel(
    vehicles: dict[str, tuple[Samples, RunEvidence]],
) -> None:
    told, alone = said(vehicles["home"][0]), said(vehicles["unplugged"][0])
    assert {code: severity for code, (severity, _) in told.items()} == {
        "LAT-V19": "invalid", "LAT-V22": "invalid", "LAT-V23": "info"
    }  # fmt: skip
    assert f"10.213.7.2（udp/9，{COUNT + 3} 个请求）" in told["LAT-V22"][1]
    heard, counted = map(int, re.findall(r"(\d+) 字节", told["LAT-V23"][1]))
    assert heard == pytest.approx(counted, rel=0.05)
    assert alone["LAT-V22"][0] == "info"
    assert "全程断开（内核所报）" in alone["LAT-V23"][1]


FLOOD = """
import json, sys
from pathlib import Path
from records_support import MemorySink
from tests.probes.vehicle_support import udp
from yanshou.kit.runner import Settings
from yanshou.probes import listening
from yanshou.probes.capturing import RunContext
from yanshou.probes.model_latency.answer import now
from yanshou.probes.model_latency.uplink import Uplink
listening.BUFFER = 1
sink = MemorySink()
uplink = Uplink(Settings(uplink="veth0", uplink_model=(), uplink_cut=False), RunContext(sink, 1, Path()), True)
with uplink.recording(now()), udp(sys.argv[1]) as sock:
    for _ in range(5000):
        sock.sendto(bytes(900), (sys.argv[1], 9))
print(sink.streams["uplink.json"].decode())
"""


@netns
@needs_namespaces
def test_what_the_kernel_drops_is_counted(tmp_path: Path) -> None:
    with two_hosts("flood") as (near, far):
        command = [*near.inside, sys.executable, "-c", FLOOD, far.address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    end = json.loads(done.stdout)
    assert end["exit"] == 0
    assert end["kernel_packets"] >= 5000 > end["kernel_dropped"] > 0


@netns
@needs_namespaces
def test_an_interface_that_cannot_be_listened_to_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.jsonl", 30)
    for setup, changes, code in (("", {"uplink": "no-such0"}, "PKT-E03"), ("os.setuid(65534)", {}, "PKT-E04")):
        given = params(url="http://127.0.0.1:9/", count=20, **{"uplink": "lo", "quiet_s": 2, **changes})
        script = (
            f"import json, os, sys\nfrom pathlib import Path\nfrom yanshou.harness.basics import ProbeError\n"
            "from yanshou.kit.runner import Settings\nfrom yanshou.probes.capturing import RunContext\n"
            f"from yanshou.probes.model_latency.capture import capture\n{setup}\n"
            "try: capture(Settings(**json.loads(sys.argv[1])), RunContext(None, 1, Path()))\n"
            "except ProbeError as error: print(error)\n"
        )
        command = [sys.executable, "-c", script, given.model_dump_json()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert code in done.stdout
