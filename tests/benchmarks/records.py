"""Counting an export, and acknowledging records: each line is one job done by us and by a peer in the same run, and the ratio.

YANSHOU_BENCH_ROWS sets how many rows are counted (2,000,000 unless told; 100,000,000 take about 3 GB for the export and 15 GB of
disk in all). pandas may use YANSHOU_BENCH_PANDAS_GB of memory (three quarters of the machine's unless told) and is reported as
out of memory when that is not enough.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROWS = 2_000_000

PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
OURS_RECORDS = f"""
import sys, time
from pathlib import Path
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.basics import RunStatus
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
folder, export = Path(sys.argv[1]), sys.argv[2]
probe = Probe("records")
params = probe.params({{"file": export, "key": ["id"], "time": "t", "unit": "条"}})
with Ledger(folder) as ledger:
    with RunWriter(ledger, "bench", {{"purpose": "measurement", "indicator": "bench", "subject": None}}) as run:
        probe.capture(params, RunContext(run.sink, 1, folder))
        run.close(RunStatus.COMPLETED)
    (seen,) = runs_of(ledger.records)
print(probe.analyse(seen.evidence(folder), params, 1).net)
{PEAK}
"""
PANDAS_RECORDS = f"""
import resource, sys
limit = int(float(sys.argv[3]) * 2**30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
import pandas as pd
table = pd.read_csv(sys.argv[2], dtype=str, keep_default_na=False).drop_duplicates("id")
per_day = pd.to_datetime(table["t"]).dt.date.value_counts()
print(len(table))
{PEAK}
"""
OURS_LEDGER = f"""
import sys
from pathlib import Path
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.basics import RunStatus
with Ledger(Path(sys.argv[1])) as ledger, RunWriter(ledger, "bench", {{"purpose": "measurement"}}) as run:
    stream = run.sink.stream("x.jsonl")
    for i in range(200_000):
        stream.write(b'{{"seq":%d,"value":123456789}}\\n' % i)
    run.close(RunStatus.COMPLETED)
print()
{PEAK}
"""
SYNC_EACH = f"""
import os, sys
from pathlib import Path
with (Path(sys.argv[1]) / "y.jsonl").open("wb", buffering=0) as f:
    for i in range(2_000):
        f.write(b'{{"seq":%d,"value":123456789}}\\n' % i)
        os.fdatasync(f.fileno())
print()
{PEAK}
"""


@dataclass(frozen=True)
class Cost:
    """What one child process took: seconds on the wall, its peak in MiB, and what it said; `failed` when it gave up."""

    seconds: float
    peak: float
    said: str
    failed: bool = False


def cost(code: str, *arguments: str) -> Cost:
    """Run `code` in a child process."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        died = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit {done.returncode}"
        last = (done.stderr.strip().splitlines() or [died])[-1]
        return Cost(seconds, 0, last[:400], failed=True)
    *said, peak = done.stdout.strip().splitlines()
    return Cost(seconds, int(peak) / 1024, " ".join(said))


def write_rows(path: Path, rows: int) -> None:
    """An export of distinct and repeated keys at irregular times, in no order."""
    import duckdb

    with duckdb.connect() as db:
        db.execute("SET memory_limit='1GB'; SET preserve_insertion_order=true")
        db.execute(
            "COPY (SELECT 'WH' || lpad(((range * 7919) % (?::BIGINT * 29 // 30))::VARCHAR, 9, '0') AS id,"
            " strftime(TIMESTAMP '2025-01-01' + to_seconds((hash(range) % 31000000)::INTEGER), '%Y-%m-%d %H:%M:%S') AS t"
            f" FROM range(?)) TO '{path}' (FORMAT csv, HEADER)",
            [rows, rows],
        )


def say(job: str, ours: Cost, peer: Cost, peer_name: str, each: float = 1.0) -> None:
    """One line: the ratio ours / peer (below 1 is faster) and both peaks; `each`: jobs of ours to one of the peer's."""
    ratio = "    –" if peer.failed else f"{ours.seconds / each / peer.seconds:5.2f}"
    said = peer.said
    if peer.failed:
        said = f"peer gave up after {peer.seconds / ours.seconds:.2f} of our time: {peer.said}"
    peaks = f"peak {ours.peak:.0f} / {peer.peak:.0f} MiB"
    sys.stdout.write(f"{job:<44} ours / {peer_name}: {ratio}   {peaks}   {ours.said} {said}\n")
    if ours.failed:
        raise SystemExit(ours.said)


def main() -> None:
    """All jobs."""
    rows = int(os.environ.get("YANSHOU_BENCH_ROWS", ROWS))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    limit = os.environ.get("YANSHOU_BENCH_PANDAS_GB", f"{0.75 * memory:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = folder / "export.csv"
        write_rows(export, rows)
        (folder / "case").mkdir()
        ours = cost(OURS_RECORDS, str(folder / "case"), str(export))
        peer = cost(PANDAS_RECORDS, "-", str(export), limit)
        say(f"count {rows:,} rows, as evidence, with digests", ours, peer, f"plain pandas in {limit} GB")
        (folder / "ledger").mkdir()
        grouped = cost(OURS_LEDGER, str(folder / "ledger"))
        each = cost(SYNC_EACH, str(folder))
        say("acknowledge one small record", grouped, each, "fdatasync per record", each=100)
    sys.stdout.write(json.dumps({"rows": rows, "peak_megabytes": round(ours.peak)}) + "\n")


if __name__ == "__main__":
    main()
