"""`make bench`: each line is one job done by us and by a peer in the same run, and the ratio. Absolute times are this machine's."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = 300_000

OURS_RECORDS = """
import json, sys
from pathlib import Path
from yanshou.harness.evidence import Ledger, RunWriter, recover
from yanshou.harness.basics import RunStatus
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
folder, export = Path(sys.argv[1]), sys.argv[2]
probe = Probe("records")
params = probe.params({"file": export, "key": ["id"], "time": "t", "unit": "条"})
with Ledger(folder) as ledger:
    with RunWriter(ledger, "bench", {"purpose": "measurement", "indicator": "bench", "subject": None}) as run:
        probe.capture(params, RunContext(run.sink, 1, folder))
        run.close(RunStatus.COMPLETED)
    (seen,) = runs_of(ledger.records)
print(probe.analyse(seen.evidence(folder), params, 1).net)
"""
PANDAS_RECORDS = """
import sys
import pandas as pd
print(len(pd.read_csv(sys.argv[2], dtype=str, keep_default_na=False).drop_duplicates("id")))
"""
OURS_LEDGER = """
import sys
from pathlib import Path
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.basics import RunStatus
with Ledger(Path(sys.argv[1])) as ledger, RunWriter(ledger, "bench", {"purpose": "measurement"}) as run:
    stream = run.sink.stream("x.jsonl")
    for i in range(200_000):
        stream.write(b'{"seq":%d,"value":123456789}\\n' % i)
    run.close(RunStatus.COMPLETED)
"""
SYNC_EACH = """
import os, sys
from pathlib import Path
with (Path(sys.argv[1]) / "y.jsonl").open("wb", buffering=0) as f:
    for i in range(2_000):
        f.write(b'{"seq":%d,"value":123456789}\\n' % i)
        os.fdatasync(f.fileno())
"""


def cost(code: str, *arguments: str) -> tuple[float, str]:
    """CPU seconds (user and system) plus waiting of one child process, and what it printed."""
    import time

    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout.strip()


def say(job: str, ours: float, peer: float, peer_name: str, note: str = "") -> None:
    """One line: the ratio ours / peer (below 1 is faster)."""
    sys.stdout.write(f"{job:<44} ours / {peer_name}: {ours / peer:6.2f}   {note}\n")


def main() -> None:
    """All jobs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = folder / "export.csv"
        with export.open("w", encoding="utf-8") as f:
            f.write("id,t\n")
            f.writelines(f"WH{i % 290_000:09d},2025-03-{1 + i % 28:02d} 08:00:00\n" for i in range(ROWS))
        (folder / "case").mkdir()
        ours, net = cost(OURS_RECORDS, str(folder / "case"), str(export))
        peer, expected = cost(PANDAS_RECORDS, "-", str(export))
        say(
            f"count {ROWS} rows, as evidence, with digests", ours, peer, "plain pandas", f"net {net}, pandas {expected}"
        )
        (folder / "ledger").mkdir()
        grouped, _ = cost(OURS_LEDGER, str(folder / "ledger"))
        each, _ = cost(SYNC_EACH, str(folder))
        say("acknowledge one small record", grouped / 200_000, each / 2_000, "fdatasync per record")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"peak_child_megabytes": round(peak)}) + "\n")


if __name__ == "__main__":
    main()
