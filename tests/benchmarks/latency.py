"""The floor of ours and of its peers: the same job over one veth pair between two network namespaces, in turn, three rounds.

Not like for like, and said so: irtt and sockperf stamp in user space, ping's and fping's far end is the kernel, sockperf has
no warm-up that can be cut off a log of replies, and ours carries 152 bytes because it is signed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.benchmarks.table import show
from tests.namespaces import AVAILABLE, Host, two_hosts

ROUNDS = 3
WARMUP = 200
PAYLOAD = 44
QUANTILES = (0.5, 0.99, 0.999, 1.0)
MEASURE = """
import json, sys
from pathlib import Path
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
folder, host, count, warmup = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
probe = Probe("rtt")
params = probe.params({"host": host, "port": 8620, "key_file": "key", "count": count, "warmup": warmup,
                       "interval_ms": 1, "min_interval_ms": 0.5, "schedule": "grid"})
with Ledger(folder) as ledger:
    with RunWriter(ledger, "bench", {"purpose": "measurement", "indicator": "bench", "subject": None}) as run:
        probe.capture(params, RunContext(run.sink, 1, folder))
        run.close(RunStatus.COMPLETED)
    (seen,) = runs_of(ledger.records)
samples = probe.analyse(seen.evidence(folder), params, 1)
assert samples.facts["judged"] == "net", samples.facts["judged"]
assert samples.unit == "ns", samples.unit
print(json.dumps([float(v) / 1000 for v in samples.values]))
"""
Microseconds = list[float]


def _told(near: Host, *command: str) -> str:
    return subprocess.run([*near.inside, *command], capture_output=True, text=True, check=False).stdout


@contextmanager
def _far(far: Host, *command: str) -> Iterator[None]:
    process = subprocess.Popen([*far.inside, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.0)
        yield
    finally:
        process.terminate()
        process.wait()


def ping(near: Host, far: Host, count: int, _folder: Path) -> Microseconds:
    """iputils ping: kernel echo, kernel receive stamp, resolution 1 µs."""
    out = _told(near, "ping", "-i", "0.001", "-c", str(count + WARMUP), "-s", str(PAYLOAD), far.address)
    return [float(ms) * 1000 for ms in re.findall(r"time=([0-9.]+) ms", out)][WARMUP:]


def fping(near: Host, far: Host, count: int, _folder: Path) -> Microseconds:
    """fping: kernel echo, user-space stamps."""
    out = _told(near, "fping", "-c", str(count + WARMUP), "-p", "1", "-b", str(PAYLOAD), far.address)
    return [float(ms) * 1000 for ms in re.findall(r"bytes, ([0-9.]+) ms", out)][WARMUP:]


def irtt(near: Host, far: Host, count: int, _folder: Path) -> Microseconds:
    """irtt: Go, user-space stamps, net of the server's own time."""
    with _far(far, "irtt", "server", "-i", "1ms"):
        seconds = f"{(count + WARMUP) / 1000:g}s"
        out = _told(
            near, "irtt", "client", "-i", "1ms", "-d", seconds, "-l", str(PAYLOAD), "-Q", "-o", "-", far.address
        )
    trips = json.loads(out)["round_trips"]
    return [trip["delay"]["rtt"] / 1000 for trip in trips[WARMUP:] if "rtt" in trip.get("delay", {})]


def sockperf(near: Host, far: Host, count: int, folder: Path) -> Microseconds:
    """sockperf ping-pong at 1000 messages a second: C++, user-space stamps, gross."""
    log = folder / "sockperf.csv"
    with _far(far, "sockperf", "server", "-i", far.address):
        seconds = str(max(1, round((count + WARMUP) / 1000)))
        pace = ["--mps=1000", "-t", seconds, "-m", str(PAYLOAD), "--full-rtt", "--full-log", str(log)]
        _told(near, "sockperf", "ping-pong", "-i", far.address, *pace)
    rows = [line.split(",") for line in log.read_text().splitlines()]
    numbers = [row for row in rows if len(row) > 2 and re.fullmatch(r"\s*[0-9.]+\s*", row[1])]
    return [(float(row[2]) - float(row[1])) * 1e6 for row in numbers][WARMUP:]


def ours(near: Host, far: Host, count: int, folder: Path) -> Microseconds:
    """The rtt probe: kernel stamps at both ends, net, proven by a key."""
    place = Path(tempfile.mkdtemp(dir=folder))
    command = (
        sys.executable,
        "-m",
        "yanshou",
        "reflect",
        "--bind",
        far.address,
        "--port",
        "8620",
        "--key",
        str(place / "key"),
    )
    (place / "key").write_text("5a" * 32)
    with _far(far, *command):
        time.sleep(1.0)
        out = _told(near, sys.executable, "-c", MEASURE, str(place), far.address, str(count), str(WARMUP))
    return [float(us) for us in json.loads(out)]


Instrument = Callable[[Host, Host, int, Path], Microseconds]
INSTRUMENTS: dict[str, Instrument] = {"ping": ping, "fping": fping, "irtt": irtt, "sockperf": sockperf, "yanshou": ours}


def main(arguments: Sequence[str] = ()) -> None:
    """Three rounds of `arguments[0]` seconds (10) each, in another order every time."""
    if not AVAILABLE:
        sys.stdout.write("latency：需要 Linux、root 与 iproute2，略过\n")
        return
    count = round(float(arguments[0]) * 1000) if arguments else 10_000
    names = [name for name in INSTRUMENTS if name == "yanshou" or shutil.which(name)]
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    got: dict[str, list[int]] = {name: [] for name in names}
    with two_hosts("bench") as (near, far), tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS):
            for name in names[turn:] + names[:turn]:
                values = INSTRUMENTS[name](near, far, count, Path(folder))
                found[name].append([float(q) for q in np.quantile(values, QUANTILES, method="inverted_cdf")])
                got[name].append(len(values))
    load = " ".join(f"{n:.2f}" for n in os.getloadavg())
    median = {name: [statistics.median(r[i] for r in rounds) for i in range(4)] for name, rounds in found.items()}
    rows = [
        (
            name,
            *(f"{median[name][i]:.1f} / {max(r[i] for r in rounds):.1f}" for i in range(4)),
            f"{min(got[name])}–{max(got[name])}",
            f"{median['yanshou'][1] / median[name][1]:.2f}",
        )
        for name, rounds in found.items()
    ]
    show(
        f"latency: veth floor in µs, median / worst of {ROUNDS} rounds, {count} planned at 1 ms; load {load}",
        ("instrument", "p50", "p99", "p99.9", "max", "replies", "p99 ours / its"),
        rows,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
