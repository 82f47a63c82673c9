"""Every way to look faster or larger than one is, by name: the harness names it, and it does not pass.

The first twelve are what the project set out against; the same tricks against a live server are in test_model_latency.py, a real
small model behind a large one's files in test_model_challenge.py and test_llama.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from latency_support import (
    MS,
    Columns,
    Edit,
    change,
    judged,
    latencies,
    later,
    network,
    nothing,
    params,
    stalled,
    verdict,
    written,
)
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, record

from tests.model_files import sparse_safetensors
from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Kind, Limit, Op, Verdict
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.spec import Params
from yanshou.probes.model_latency.streams import HOST_COLUMNS
from yanshou.probes.model_weights.analyse import analyse as count
from yanshou.probes.model_weights.capture import capture as weigh
from yanshou.probes.model_weights.spec import Params as Weighing


class Seen(NamedTuple):
    """What the harness says of a run."""

    codes: set[str]
    verdict: Verdict


def run(edit: Edit = nothing, *, took: np.ndarray | None = None, statistic: str = "p99", **changes: object) -> Seen:
    """A fabricated run of `model.latency` against 100 ms."""
    given = params(**{"metric": "e2e", **changes})
    how = {} if took is None else {"took": took}
    found = judged(given, edit, **how)
    return Seen(set(codes(found.validity)), verdict(found, statistic=statistic))


def frozen(columns: Columns) -> None:
    """Three seconds in which no frame is answered: each keeps the moment at which it was due."""
    for n, due in enumerate(columns["t_sched_ns"]):
        if 10_000 * MS <= due < 13_000 * MS:
            late = 13_000 * MS - due
            for name in ("t_start_ns", "t_sent_ns", "t_byte_ns", "t_first_ns", "t_last_ns", "t_done_ns"):
                columns[name][n] += late
            columns["t_free_ns"][n] = columns["t_start_ns"][n] - 500


def omitted(_: Path) -> Seen:
    """Coordinated omission: while the system freezes it is not asked, so that one answer is late and not sixty."""
    with pytest.raises(ValidationError, match="协同遗漏"):
        params(metric="decision_cycle")
    return run(frozen, metric="decision_cycle", rate_hz=20)


def offloaded(_: Path) -> Seen:
    """The vehicle asks a cloud for every answer."""
    given = params(metric="e2e", rate_hz=14.1)

    evidence = written(given, latencies(), later)
    parts = {name: evidence.open(name).read() for name in evidence.streams()}
    told = {"pool": {"lines": 715, "sha256": "ab" * 32}, "local": True}
    parts |= {"session.json": json.dumps(told).encode(), "host.csv": (HOST_COLUMNS + "\n" + network(1)).encode()}
    found = analyse(MemoryEvidence(parts), given, 1)  # type: ignore[arg-type]
    invalid = {code for code, severity in codes(found.validity).items() if severity == "invalid"}
    return Seen(invalid, verdict(found))


def bundled(columns: Columns) -> None:
    """Four answers at once: a quarter of the time each, if one divides."""
    done = columns["t_done_ns"]
    columns["t_done_ns"] = [done[min(n - n % 4 + 3, len(done) - 1)] for n in range(len(done))]


def pretended(folder: Path) -> Seen:
    """Five million parameters in a folder that is called 7B."""
    model = folder / "Drive-7B-Instruct"
    model.mkdir()
    sparse_safetensors(model / "model.safetensors", {"w": ("F16", (5, 1_000_000), 10_000_000)})
    given = Weighing.model_validate({"path": str(model), "watch_s": 0})
    found = count(record(folder, weigh, given), given, 1)
    criterion = Criterion("S01-I01", Kind.MEASURED, Limit(Op.GE, Decimal(7), "B"), None, None, (), 0.95, 1)
    return Seen(set(codes(found.validity)), judge_run(criterion, found, 0.05, None).verdict)


TRICKS: dict[str, tuple[str, Callable[[Path], Seen]]] = {
    "role-only first chunk": ("LAT-V10", lambda _: run(change("empty", 1), took=latencies(median_ms=400), metric="ttft")),
    "multi-token chunks": ("LAT-V11", lambda _: run(change("pieces", 2), metric="itl")),
    "cached prompts": ("LAT-V06", lambda _: run(change("cached_tokens", 90))),
    "canned answer": ("LAT-V04", lambda _: run(change("answer", "f" * 16))),
    "error after first token": ("LAT-V07", lambda _: run(change("status", "error", 20), metric="ttft")),
    "stall 1 in 500": ("LAT-V13", lambda _: run(took=stalled(500), count=6995, statistic="p99.9")),
    "coordinated omission": ("LAT-V13", omitted),
    "warm-up drift": ("LAT-V08", lambda _: run(took=np.linspace(80, 40, 705).astype(int) * MS)),
    "cloud offload": ("LAT-V19", offloaded),
    "661 samples": ("LAT-V03", lambda _: run(count=661)),
    "batch average": ("LAT-V14", lambda _: run(bundled, took=latencies(median_ms=150), streams=4)),
    "smaller model under a 7B name": ("WGT-V11", pretended),
    "whole answer in one piece": ("LAT-V11", lambda _: run(change("pieces", 1), metric="tpot")),
    "tokens that were never written": ("LAT-V12", lambda _: run(change("tokens", 5000), metric="tpot")),
    "the same input again": ("LAT-V05", lambda _: run(change("input", "0" * 16, 2))),
    "other inputs than those drawn": ("LAT-V05", lambda _: run(lambda columns: columns["index"].reverse())),
    "empty answers": ("LAT-V07", lambda _: run(change("status", "empty", 20))),
    "getting hotter": ("LAT-V08", lambda _: run(took=latencies() + np.arange(705) * 20_000)),
}  # fmt: skip
"""Name -> the finding that names it, and the run."""


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_named_and_does_not_pass(trick: str, tmp_path: Path) -> None:
    code, tried = TRICKS[trick]
    seen = tried(tmp_path)
    assert code in seen.codes, seen
    assert seen.verdict is not Verdict.PASS


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metric": "ttft"},
        {"metric": "tpot"},
        {"metric": "itl"},
        {"count": 6995},
        {"metric": "decision_cycle", "rate_hz": 20},
    ],
)
def test_who_tries_none_passes_and_is_accused_of_nothing(changes: dict[str, object]) -> None:
    given: Params = params(**{"metric": "e2e", **changes})
    seen = run(**changes)
    assert seen.codes & {code for code, _ in TRICKS.values() if code != "LAT-V19"} == set(), given
    assert seen.verdict is Verdict.PASS
