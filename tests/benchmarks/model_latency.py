"""`make bench`: what the probe adds to a server's own log, request by request, idle and busy, beside MLPerf LoadGen and urllib.

The server logs by its own clock how long each answer truly took; the difference is the instrument's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.table import show
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.model_latency.crosscheck import read_crosscheck
from yanshou.probes.model_latency.pool import order
from yanshou.probes.model_latency.reference import serving, write_pool
from yanshou.probes.model_latency.server import Behaviour

COUNT = 700
ANSWER = Behaviour(first=2, token=0.5, tokens=5)


def measure(folder: Path, rate_hz: float | None) -> dict[str, np.ndarray]:
    """Measured minus logged of each request, ms, by who asked: the probe, and where it asks one after the other LoadGen too, in
    the same run."""
    probe = Probe("model.latency")
    warmup, queries = 20, 0 if rate_hz else COUNT
    write_pool(folder / "pool.jsonl", warmup + COUNT + queries)
    log: list[str] = []
    with serving(ANSWER, log) as port:
        values: dict[str, object] = {"kind": "openai", "url": f"http://127.0.0.1:{port}/", "pool": "pool.jsonl"}
        values |= {"metric": "e2e", "count": COUNT, "warmup": warmup, "rate_hz": rate_hz, "loadgen": queries}
        params = probe.params(values)
        with Ledger(folder) as ledger:
            with RunWriter(ledger, "bench", {"purpose": "measurement", "indicator": "bench", "subject": None}) as run:
                probe.capture(params, RunContext(run.sink, 1, folder))
                run.close(RunStatus.COMPLETED)
            (seen,) = runs_of(ledger.records)
    evidence = seen.evidence(folder)
    true = logged(log)
    took = probe.analyse(evidence, params, 1).values / 1e6  # type: ignore[union-attr]
    found = {"ours": took - true[warmup : warmup + COUNT]}
    if queries:
        check = read_crosscheck(evidence, queries)
        drawn = {line: place for place, line in enumerate(order_of(evidence, params)[warmup + COUNT :])}
        asked = [
            drawn[int(row.split(b",")[1])] for row in evidence.open("loadgen/requests.csv").read().splitlines()[1:]
        ]
        found["LoadGen"] = check.theirs / 1e6 - true[warmup + COUNT :][asked]
    return found


def order_of(evidence: RunEvidence, params: Any) -> list[int]:
    """The draw of the run: lines of the pool in their order of use."""
    pool = json.loads(evidence.open("session.json").read())["pool"]
    return order(pool["lines"], params.warmup + params.count + params.loadgen, 1, pool["sha256"])


def logged(log: list[str]) -> np.ndarray:
    """True times in the order of the requests' numbers, ms."""
    rows = sorted((int(number), int(done)) for number, _, done in (line.split(",") for line in log))
    return np.array([done / 1e6 for _, done in rows])


def by_urllib() -> np.ndarray:
    """The same with what everybody would write first."""
    log: list[str] = []
    took = []
    with serving(ANSWER, log) as port:
        for number in range(COUNT):
            body = json.dumps({"prompt": str(number), "stream": True}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", body, {"X-Request-Id": str(number)})
            begin = time.perf_counter()
            with urllib.request.urlopen(request) as response:
                response.read()
            took.append(1000 * (time.perf_counter() - begin))
    return np.array(took) - logged(log)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that only compute."""
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spin:
            process.kill()
            process.wait()


def main() -> None:
    """Idle and busy; the judged figure is the p99 of the difference."""
    rows = []
    for state, processes, most in (("idle", 0, 0.3), ("two busy processes", 2, 1.0)):
        with tempfile.TemporaryDirectory() as name, busy(processes):
            closed, opened = Path(name) / "closed", Path(name) / "opened"
            closed.mkdir()
            opened.mkdir()
            found = measure(closed, None)
            found |= {"ours, 100 Hz": measure(opened, 100.0)["ours"], "urllib": by_urllib()}
        for who, errors in found.items():
            quantiles = np.quantile(errors, (0.5, 0.99, 0.999))
            ratio = quantiles[1] / np.quantile(found["LoadGen"], 0.99)
            within = f"{np.mean(errors <= most):.1%}"
            rows.append((f"{who}, {state}", *(f"{q:.3f}" for q in quantiles), f"{ratio:.2f}", f"<= {most:g}: {within}"))
    head = ("client", "p50", "p99", "p99.9", "p99 / LoadGen's", "share within, ms")
    show(f"Measured minus logged by the server, ms, {COUNT} answers of 4 ms", head, rows)


if __name__ == "__main__":
    main()
