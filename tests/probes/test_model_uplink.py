"""What is heard on the uplink while a model is measured: every kind of vehicle, honest or not, and every kind of port."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from latency_support import MS, latencies, params, verdict, written
from pydantic import ValidationError
from records_support import MemoryEvidence
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Samples, Verdict
from yanshou.kit.build import imported
from yanshou.probes.listening import PACKET_OTHERHOST, PACKET_OUTGOING, Frame
from yanshou.probes.model_latency import traffic as adding_up
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.sniffer import Bin, Sorter, Watched
from yanshou.probes.model_latency.spec import Params
from yanshou.probes.model_latency.streams import COLUMNS, HOST_COLUMNS, UPLINK_COLUMNS
from yanshou.probes.model_latency.uplink import _connections

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
    "spread over as many addresses as requests, by IPv6": (answered(remote=spread), {}, "等 705 个地址"),
    "always the same delay": (answered(after_ms=30), {}, CLOUD),
    "under a steady stream of its own": (both(steady(5, remote=OTHER_CLOUD), answered()), {}, CLOUD),
    "in the telemetry's own packets, which grow": (padded(5, 64), {}, CLOUD),
    "cover while it is quiet": (quiet_only(40), {}, CLOUD),
    "cover while it is quiet, on a schedule": (quiet_only(40), OPEN, CLOUD),
    "on a schedule": (answered(), OPEN, CLOUD),
    "every third answer": (answered(3), {}, CLOUD),
    "in growing packets, after a burst in the quiet": (both(padded(5, 64), fetched(50_000)), {}, CLOUD),
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
    assert fetching.facts["uplink"]["share_with_arrivals"] == 1.0
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


def wander(seed: int) -> Traffic:
    """Up to three services at rates from 0.1 to 50 a second, by the clock, at random or in bundles, of random sizes."""

    def made(times: Times) -> Iterator[Row]:
        rng, end = np.random.default_rng(seed), times.end / 1e9
        for _ in range(rng.integers(1, 4)):
            rate = 10 ** rng.uniform(-1, 1.7)
            if seed % 3 == 0:
                moments = np.arange(rng.uniform(0, 1 / rate), end, 1 / rate)
            elif seed % 3 == 1:
                moments = np.cumsum(rng.exponential(1 / rate, int(end * rate * 1.3) + 5))
            else:
                begun = np.cumsum(rng.exponential(2, int(end) + 5))
                moments = np.concatenate([b + np.cumsum(rng.exponential(0.02, rng.integers(1, 15))) for b in begun])
            for moment in moments[moments < end - 0.05]:
                carried = int(10 + rng.lognormal(4.5, 1))
                gap = int(rng.uniform(2, 40) * MS)
                yield from exchange(int(moment * 1e9), gap, bytes=carried + 54, content=carried)

    return made


@pytest.mark.parametrize("seed", range(6))
def test_any_background_is_told_from_a_cloud_behind_it(seed: int) -> None:
    """Of 200 such backgrounds none was accused, and of 200 with a cloud in them every one was found."""
    given = listened(**(OPEN if seed % 2 else {}))
    assert found(wander(seed), given)["LAT-V22"][0] != "invalid"
    assert found(both(wander(seed), answered(after_ms=5)), given)["LAT-V22"][0] == "invalid"


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


def vanished(times: Times) -> Iterator[Row]:
    """A mirror that is taken away while requests are under way."""
    return (row for row in steady(143)(times) if not times.starts[0] - 9 * MS <= row.t <= times.ends.max())


def announced(times: Times) -> Iterator[Row]:
    """What every port of a switch shows."""
    return (row._replace(way="group") for row in one_way("out")(times))


@pytest.mark.parametrize(
    ("traffic", "told", "severity", "words"),
    [
        (steady(1000), {}, "info", "监听看得见它的上行"),
        (silent, {}, "invalid", "没有见到车端 192.0.2.1 与外界的一个包，证明不了"),
        (announced, {}, "invalid", "证明不了"),
        (one_way("out"), {}, "invalid", "只见到车端发出的包"),
        (one_way("in"), {}, "invalid", "只见到车端收到的包"),
        (vanished, {}, "invalid", "请求进行时一个也没有"),
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


CAR, LAPTOP, ROUTER, STRANGER = (f"02:00:00:00:00:{n:02x}" for n in range(1, 5))
HERE_IP, CAR_IP = "127.0.0.1", "192.0.2.1"
"""An address of this host, whatever host it is, and the vehicle's."""


def sorted_as(
    packet: Packet, model: tuple[str, ...] = (CAR_IP,), kind: int = PACKET_OTHERHOST, sorter: Sorter | None = None
) -> Any:
    """(way, protocol, local, remote, port), octets above the transport."""
    sorter = sorter or Sorter(Watched(model, ((CAR_IP, HERE_IP, 8000),)), 1, bytes.fromhex(LAPTOP.replace(":", "")), 1)
    data = bytes(packet)
    return sorter.key(Frame(0, data[:256], len(data), kind))


def frame(source: str, target: str, between: Packet) -> Packet:
    return Ether(src=source, dst=target) / between


UP, DOWN = IP(src=CAR_IP, dst=CLOUD), IP(src=CLOUD, dst=CAR_IP)
ASKED, ANSWERED = IP(src=HERE_IP, dst=CAR_IP), IP(src=CAR_IP, dst=HERE_IP)
GROUP_MAC, GROUP_IP = "01:00:5e:00:00:fb", "224.0.0.251"
ALL = "ff:ff:ff:ff:ff:ff"


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (frame(CAR, ROUTER, UP / TCP(sport=5, dport=443) / Raw(b"x" * 900)), ("out", "tcp", CAR_IP, CLOUD, 443, 900)),
        (frame(ROUTER, CAR, DOWN / TCP(sport=443, dport=5, flags="A")), ("in", "tcp", CAR_IP, CLOUD, 443, 0)),
        (frame(ROUTER, CAR, Dot1Q(vlan=7) / DOWN / UDP(sport=9) / Raw(b"12")), ("in", "udp", CAR_IP, CLOUD, 9, 2)),
        (frame(LAPTOP, CAR, ASKED / TCP(sport=7, dport=8000) / Raw(b"1")), ("own", "tcp", CAR_IP, HERE_IP, 7, 1)),
        (frame(CAR, LAPTOP, ANSWERED / TCP(sport=8000, dport=7)), ("own", "tcp", CAR_IP, HERE_IP, 7, 0)),
        (frame(CAR, LAPTOP, ANSWERED / UDP(sport=8000, dport=53)), ("here", "udp", CAR_IP, HERE_IP, 53, 0)),
        (frame(LAPTOP, CAR, ASKED / TCP(sport=22, dport=50)), ("here", "tcp", CAR_IP, HERE_IP, 22, 0)),
        (frame(CAR, LAPTOP, UP / UDP(dport=53)), ("out", "udp", CAR_IP, CLOUD, 53, 0)),
        (frame(CAR, GROUP_MAC, IP(src=CAR_IP, dst=GROUP_IP) / UDP(dport=5353)), ("group", "udp", CAR_IP, GROUP_IP, 5353, 0)),
        (frame(STRANGER, ROUTER, IP(src="192.0.2.77", dst=CLOUD) / ICMP()), ("other", "icmp", "192.0.2.77", CLOUD, "", 8)),
        (frame(STRANGER, ALL, ARP()), ("other", "eth-0806", STRANGER, ALL, "", 28)),
        (frame(CAR, ROUTER, IP(src=CAR_IP, dst=CLOUD, proto=47) / Raw(b"gre")), ("out", "ip-47", CAR_IP, CLOUD, "", 3)),
    ],
)  # fmt: skip
def test_whose_a_frame_is(packet: Packet, expected: tuple[Any, ...]) -> None:
    key, carried = sorted_as(packet)
    assert (*key, carried) == expected


def test_what_sends_as_the_vehicle_is_the_vehicle_by_ipv6_too() -> None:
    """Its hardware address is learnt; this host's is not, though it hands the vehicle's packets on."""
    sorter = Sorter(Watched((CAR_IP,), ()), 1, bytes.fromhex(LAPTOP.replace(":", "")), 1)
    six = frame(CAR, ROUTER, IPv6(src="2001:db8::1", dst="2001:db8::9") / UDP(dport=443))
    assert sorted_as(six, sorter=sorter)[0][0] == "other"
    sorted_as(frame(CAR, ROUTER, IP(src=CAR_IP, dst=CLOUD)), sorter=sorter)
    assert sorted_as(six, sorter=sorter)[0] == ("out", "udp", "2001:db8::1", "2001:db8::9", 443)
    asked_who = frame(LAPTOP, CAR, ARP(op=2))
    assert sorted_as(asked_who, sorter=sorter)[0][:2] == ("here", "eth-0806")
    sorted_as(frame(LAPTOP, ROUTER, IP(src=CAR_IP, dst=CLOUD)), sorter=sorter)
    assert sorted_as(frame(LAPTOP, ROUTER, IP(src="192.0.2.50", dst=CLOUD)), sorter=sorter)[0][0] == "other"


def test_of_this_host_the_kernel_says_which_way_a_frame_goes() -> None:
    packet = frame(CAR, ROUTER, IP(src=CAR_IP, dst=CLOUD) / UDP(sport=1, dport=2))
    assert [sorted_as(packet, (), kind)[0][0] for kind in (PACKET_OUTGOING, 0, PACKET_OTHERHOST)] == [
        "out",
        "in",
        "other",
    ]
    assert sorted_as(packet, (CAR,))[0][0] == "out"
    assert sorted_as(Ether() / Raw(b""), (CAR,))[0][0] == "other"


def test_a_row_stands_for_what_passed_between_two_ends_in_a_tenth_of_a_millisecond() -> None:
    stretch, one, two = Bin(), ("out", "udp", "a", "b", 1), ("in", "udp", "a", "b", 1)
    told = [stretch.add(t, key, 100, 60) for t, key in ((10, one), (20, two), (90_000, one), (100_000, one))]
    assert told == [b"", b"", b"", b"10,out,udp,a,b,1,2,200,120\n20,in,udp,a,b,1,1,100,60\n"]
    assert (stretch.end(), stretch.end()) == (b"100000,out,udp,a,b,1,1,100,60\n", b"")


def test_a_kit_takes_along_what_listens() -> None:
    modules, foreign = imported(("yanshou.probes.model_latency.capture",))
    assert foreign == ()
    assert modules.keys() >= {
        "yanshou.probes.model_latency.sniffer",
        "yanshou.probes.listening",
        "yanshou.formats.packets",
    }


def test_the_measured_connection_is_told_by_both_its_ends() -> None:
    assert _connections("http://127.0.0.1:8000/v1") == (("127.0.0.1", "127.0.0.1", 8000),)
    assert ("::1", "::1", 443) in _connections("https://[::1]/")
    with pytest.raises(ProbeError, match="LAT-E01"):
        _connections("http://no.such.host.invalid/")
