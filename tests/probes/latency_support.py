"""Runs of `model.latency` that never were, as evidence, and what the harness would conclude from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from records_support import MemoryEvidence, codes

from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Kind, Limit, Op, Samples, Verdict
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.pool import order
from yanshou.probes.model_latency.spec import Params
from yanshou.probes.model_latency.streams import COLUMNS, GAP_COLUMNS, HOST_COLUMNS
from yanshou.probes.rtt.schedule import send_offsets

MS = 1_000_000
URL = "http://192.0.2.1:8000/v1/chat/completions"


def params(**changes: Any) -> Params:
    return Params.model_validate(
        {"kind": "openai", "url": URL, "pool": "pool.jsonl", "count": 700, "warmup": 5, "quiet_s": 0, **changes}
    )


def series(found: Samples, name: str) -> np.ndarray:
    return next(s.values for s in found.series if s.name == name)


def verdict(found: Samples, limit: str = "100", statistic: str | None = "p99", confidence: float = 0.99) -> Verdict:
    """As the harness would judge it; what voids a run, voids it."""
    if "invalid" in codes(found.validity).values():
        return Verdict.INVALID
    given = Limit(Op.LE, Decimal(limit), "ms")
    readings = () if statistic else ("p99",)
    criterion = Criterion("S01-I02", Kind.MEASURED, given, statistic, None, (), confidence, 1, readings=readings)
    return judge_run(criterion, found, 1 - confidence, None).verdict


def latencies(n: int = 705, seed: int = 3, median_ms: float = 40) -> np.ndarray:
    """What an honest model takes, ns."""
    return (median_ms * MS * np.exp(np.random.default_rng(seed).normal(0, 0.05, n))).astype(np.int64)


Columns = dict[str, list[Any]]
Edit = Callable[[Columns], object]


def nothing(_: Columns) -> None:
    """An edit that leaves all as it is."""


def written(given: Params, took: np.ndarray, edit: Edit = nothing, seed: int = 1) -> Any:
    """Evidence of requests that took so long, one after the other or by schedule; `edit` changes columns first."""
    n = given.warmup + given.count
    took = took[:n]
    sha, lines = "ab" * 32, n + 10
    if given.rate_hz is None:
        start = np.concatenate([[0], np.cumsum(took)[:-1]]) + 1000
        planned = start.copy()
    else:
        planned = np.array(send_offsets("grid", n, 1000 / given.rate_hz, 0.0, seed)) + 50 * MS
        start = planned + 20_000
    columns: Columns = {
        "seq": list(range(n)), "index": order(lines, n, seed, sha), "stream": [0] * n, "t_free_ns": (start - 500).tolist(),
        "t_sched_ns": planned.tolist(), "t_start_ns": start.tolist(), "t_sent_ns": (start + 50_000).tolist(),
        "t_byte_ns": (start + took // 4).tolist(), "t_first_ns": (start + took // 3).tolist(),
        "t_last_ns": (start + took - 1000).tolist(), "t_done_ns": (start + took).tolist(), "status": ["ok"] * n,
        "pieces": [8] * n, "empty": [0] * n, "tokens": [8] * n, "prompt_tokens": [100] * n, "cached_tokens": [""] * n,
        "choices": [1] * n, "bytes": [900] * n, "chars": [40] * n, "input": [f"{k:016x}" for k in range(n)],
        "answer": [f"{k:016x}" for k in range(n)],
    }  # fmt: skip
    edit(columns)
    rows = zip(*(columns[name] for name in COLUMNS.split(",")), strict=True)
    gaps = [f"{k},{' '.join([str(int(took[k] * 2 // 21))] * 7)}" for k in range(n)]
    return MemoryEvidence(
        {
            "session.json": json.dumps({"pool": {"lines": lines, "sha256": sha, "common": 0.1}}).encode(),
            "requests.csv": "\n".join([COLUMNS, *(",".join(map(str, row)) for row in rows), ""]).encode(),
            "gaps.csv": "\n".join([GAP_COLUMNS, *gaps, ""]).encode(),
            "host.csv": (HOST_COLUMNS + "\n").encode(),
            "end.json": json.dumps({"rows": n}).encode(),
        }
    )


def judged(given: Params | None = None, edit: Edit = nothing, **how: Any) -> Samples:
    given = given or params(metric="e2e")
    took = how.pop("took", latencies(given.warmup + given.count))
    return analyse(written(given, took, edit), given, 1)


HONEST = {"LAT-V09": "warning", "LAT-V16": "info", "LAT-V18": "info", "LAT-V19": "info"}
"""A short run of a model on another host."""


def change(name: str, value: Any, every: int = 1, first: int = 0) -> Edit:
    """Put `value` into every so many-th cell of a column."""

    def edit(columns: Columns) -> None:
        for n in range(first, len(columns[name]), every):
            columns[name][n] = value(columns, n) if callable(value) else value

    return edit


def later(columns: Columns) -> None:
    """Everything five seconds later: so long a quiet before it."""
    for name in COLUMNS.split(","):
        if name.endswith("_ns"):
            columns[name] = [t + 5000 * MS for t in columns[name]]


def stalled(every: int) -> np.ndarray:
    took = latencies(7000)
    took[::every] = 2000 * MS
    return took


def network(per_request: float, background: float = 3.0, seconds: int = 60, quiet: int = 5) -> str:
    """Packets of an interface once a second: a background, and so many with each of 705 requests between the quiet ends."""
    lines, total = "", 0.0
    for second in range(seconds + 1):
        lines += "".join(f"{second * 1000 * MS},net:eth0:{way},{round(total)}\n" for way in ("rx", "tx"))
        total += background + (705 / (seconds - 2 * quiet) * per_request if quiet <= second < seconds - quiet else 0)
    return lines
