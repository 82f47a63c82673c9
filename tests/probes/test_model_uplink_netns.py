"""The uplink listened to for real: vehicles, clouds and ports in network namespaces."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from latency_support import params

from tests.namespaces import AVAILABLE, Host, gateway, segment, two_hosts
from tests.probes import vehicle_support
from tests.probes.sources_support import wait_for
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.reference import write_pool

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not AVAILABLE, reason="needs root and iproute2 for network namespaces"),
]
ROOT = Path(__file__).resolve().parents[2]
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


def said(samples: Samples) -> dict[str, tuple[str, str]]:
    """{code: (severity, text)} of what is said of the uplink."""
    return {v.code: (v.severity.value, v.text) for v in samples.validity if v.code in ("LAT-V19", "LAT-V22", "LAT-V23")}


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
    topology = gateway if label.startswith("gateway") else segment
    with topology(label) as (near, car, cloud), started(cloud, "cloud"):
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
        "个请求） 等 2",
    ),
    "fetched": ({"telemetry_hz": 1, "fetch": 300_000}, {}, {"LAT-V22": "invalid", "LAT-V23": "info"}, "装得下全部答案"),
    "deaf": ({"clouds": ["10.213.8.3"]}, {"uplink": "deaf0"}, {"LAT-V23": "invalid"}, "没有见到车端 10.213.8.2 与外界的一个包"),
    "gateway": ({"telemetry_hz": 1}, {"uplink": "veth0"}, {"LAT-V22": "info", "LAT-V23": "info"}, "不随请求而动"),
    "gateway-cloud": (
        {"clouds": ["10.213.10.3"]},
        {"uplink": "veth0"},
        {"LAT-V22": "invalid", "LAT-V23": "info"},
        "10.213.10.3（udp/9，63 个请求）",
    ),
    "gateway-mute": (
        {"telemetry_hz": 0}, {"uplink": "veth0"}, {"LAT-V23": "invalid"}, "没有见到车端 10.213.9.2 与外界的一个包"
    ),
    "cut": ({}, {"uplink_cut": True}, {"LAT-V22": "info", "LAT-V23": "info"}, "确认上行已切断，mirror0 上没有见到"),
}  # fmt: skip


@pytest.mark.parametrize("name", VEHICLES)
def test_a_real_vehicle_on_a_real_port(vehicles: dict[str, tuple[Samples, RunEvidence]], name: str) -> None:
    _, _, severities, words = VEHICLES[name]
    samples, _ = vehicles[name]
    told = said(samples)
    assert samples.facts["status"] == {"ok": COUNT}
    assert {code: severity for code, (severity, _) in told.items()} == severities, told
    assert any(words in text for _, text in told.values()), told


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


def test_the_measuring_host_s_own_uplink_names_the_cloud_and_agrees_with_the_kernel(
    vehicles: dict[str, tuple[Samples, RunEvidence]],
) -> None:
    told, alone = said(vehicles["home"][0]), said(vehicles["unplugged"][0])
    assert {code: severity for code, (severity, _) in told.items()} == {
        "LAT-V19": "invalid", "LAT-V22": "invalid", "LAT-V23": "info"
    }  # fmt: skip
    (requests,) = re.findall(r"10\.213\.7\.2（udp/9，(\d+) 个请求）", told["LAT-V22"][1])
    assert 0.8 * COUNT < int(requests) <= COUNT + 3  # two answers within 0.1 ms are in one row
    heard, counted = map(int, re.findall(r"(\d+) 字节", told["LAT-V23"][1]))
    assert 0.95 * counted <= heard < counted + 2000  # listening begins before the first look at the counters
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


def test_what_the_kernel_drops_is_counted(tmp_path: Path) -> None:
    with two_hosts("flood") as (near, far):
        command = [*near.inside, sys.executable, "-c", FLOOD, far.address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    end = json.loads(done.stdout)
    assert end["exit"] == 0
    assert end["kernel_packets"] >= max(5000, end["kernel_dropped"])
    assert end["kernel_dropped"] > 0


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
