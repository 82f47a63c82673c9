"""`make bench`: what the probe adds to a server's own log, request by request, on a quiet and on a busy host, and beside urllib.

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

import numpy as np

from tests.benchmarks.table import show
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.model_latency.reference import serving, write_pool
from yanshou.probes.model_latency.server import Behaviour

COUNT = 700
ANSWER = Behaviour(first=2, token=0.5, tokens=5)


def ours(folder: Path, rate_hz: float | None) -> np.ndarray:
    """Measured minus logged of each request, ms."""
    probe = Probe("model.latency")
    write_pool(folder / "pool.jsonl", COUNT + 20)
    log: list[str] = []
    with serving(ANSWER, log) as port:
        values: dict[str, object] = {"kind": "openai", "url": f"http://127.0.0.1:{port}/", "pool": "pool.jsonl"}
        values |= {"metric": "e2e", "count": COUNT, "warmup": 20, "rate_hz": rate_hz}
        params = probe.params(values)
        with Ledger(folder) as ledger:
            with RunWriter(ledger, "bench", {"purpose": "measurement", "indicator": "bench", "subject": None}) as run:
                probe.capture(params, RunContext(run.sink, 1, folder))
                run.close(RunStatus.COMPLETED)
            (seen,) = runs_of(ledger.records)
    took = probe.analyse(seen.evidence(folder), params, 1).values / 1e6  # type: ignore[union-attr]
    return took - logged(log)[20:]


def logged(log: list[str]) -> np.ndarray:
    """True times in the order of the requests, ms."""
    rows = sorted((int(number), int(done)) for number, _, done in (line.split(",") for line in log))
    return np.array([done / 1e6 for _, done in rows])


def by_urllib(_: Path, __: float | None) -> np.ndarray:
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
    """Closed and open loop, quiet and busy."""
    rows = []
    for name, how, rate, load in (
        ("ours, one after the other", ours, None, 0),
        ("ours, 100 Hz", ours, 100.0, 0),
        ("urllib, one after the other", by_urllib, None, 0),
        ("ours, 100 Hz, two busy processes", ours, 100.0, 2),
        ("urllib, two busy processes", by_urllib, None, 2),
    ):
        with tempfile.TemporaryDirectory() as folder, busy(load):
            errors = how(Path(folder), rate)
        rows.append((name, *(f"{q:.3f}" for q in np.quantile(errors, (0.5, 0.99, 0.999)))))
    show(f"Measured minus logged by the server, ms, {COUNT} answers of 4 ms", ("client", "p50", "p99", "p99.9"), rows)


if __name__ == "__main__":
    main()
