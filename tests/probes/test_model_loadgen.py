"""MLPerf LoadGen as a second driver of the same target: its estimate is ours, its logs are evidence, what it hides is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records_support import MemoryEvidence, codes, record
from scipy.stats import binom

from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Validity
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.answer import Answer, now
from yanshou.probes.model_latency.capture import capture
from yanshou.probes.model_latency.crosscheck import early_stopping, read_crosscheck
from yanshou.probes.model_latency.loadgen import drive
from yanshou.probes.model_latency.reference import serving, write_pool
from yanshou.probes.model_latency.server import LOOPBACK, Behaviour
from yanshou.probes.model_latency.spec import Params
from yanshou.probes.model_latency.streams import LOADGEN_LOGS

QUERIES = 670


class Echo:
    """A target that answers at once, every seventh a little later."""

    connections = 1

    def ready(self) -> None:
        pass

    def close(self) -> None:
        pass

    def prepare(self, number: int, body: Any) -> tuple[int, Any]:
        return number, body

    def ask(self, prepared: tuple[int, Any], answer: Answer) -> None:
        answer.start = now()
        while now() - answer.start < 20_000 + prepared[0] % 7 * 3000:
            pass
        answer.piece(now(), str(prepared[1]))
        answer.finish()


@pytest.mark.parametrize("queries", [661, 662, 900, 2000])
def test_the_early_stopping_estimate_is_ours(queries: int) -> None:
    """From its own times of single queries, exactly: one fewer is thrown away than the binomial allows."""
    logs: dict[str, bytes] = {}
    asked: list[int] = []
    drive(
        Echo(), list(range(queries)), 0, 5, lambda _n, at, _a: asked.append(at),
        lambda path: logs.update({f"loadgen/{path.name}": path.read_bytes()}),
    )  # fmt: skip
    assert sorted(asked) == list(range(queries))
    found = read_crosscheck(MemoryEvidence(logs), queries)  # type: ignore[arg-type]
    own = early_stopping(found.theirs, 0.99)
    assert own == found.estimate
    assert (own is None) == (queries < 662)
    assert found.told["result_validity"] == ("INVALID" if queries < 662 else "VALID")
    if own is not None:
        overruns = max(t for t in range(queries) if binom.cdf(t, queries, 0.01) <= 0.01)
        assert own == np.sort(found.theirs)[queries - overruns]


def measured(folder: Path, behaviour: Behaviour) -> tuple[dict[str, bytes], Params]:
    write_pool(folder / "pool.jsonl", 20 + 2 + QUERIES)
    with serving(behaviour, []) as port:
        params = Params.model_validate(
            {"kind": "openai", "url": f"http://{LOOPBACK}:{port}/v1/chat/completions", "pool": "pool.jsonl",
             "metric": "e2e", "count": 20, "warmup": 2, "quiet_s": 0, "loadgen": QUERIES}
        )  # fmt: skip
        evidence = record(folder, capture, params)
    return {name: evidence.open(name).read() for name in evidence.streams()}, params


def found(streams: Mapping[str, bytes], params: Params) -> Validity:
    (finding,) = [v for v in analyse(MemoryEvidence(streams), params, 1).validity if v.code == "LAT-V21"]  # type: ignore[arg-type]
    return finding


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Params]:
    return measured(tmp_path_factory.mktemp("loadgen"), Behaviour(tokens=2))


def test_both_drivers_read_the_same_of_one_server(honest: tuple[dict[str, bytes], Params]) -> None:
    streams, params = honest
    assert {f"loadgen/{name}" for name in LOADGEN_LOGS} <= streams.keys()
    check = read_crosscheck(MemoryEvidence(streams), QUERIES)  # type: ignore[arg-type]
    assert (check.theirs >= check.ours).all()  # its clock starts before ours and stops after it
    assert check.estimate == early_stopping(check.theirs, 0.99)
    samples = analyse(MemoryEvidence(streams), params, 1)  # type: ignore[arg-type]
    assert samples.facts["loadgen"]["queries"] == QUERIES
    assert samples.values.size == 20  # no verdict rests on its queries
    used = [
        line.split(b",")[-2]
        for name in ("requests.csv", "loadgen/requests.csv")
        for line in streams[name].splitlines()[1:]
    ]
    assert len(set(used)) == 22 + QUERIES


def test_answers_are_in_its_logs_by_their_digest_only(honest: tuple[dict[str, bytes], Params]) -> None:
    streams, _ = honest
    told = json.loads(streams["loadgen/mlperf_log_accuracy.json"])
    digests = {line.split(b",")[-1].decode() for line in streams["loadgen/requests.csv"].splitlines()[1:]}
    assert {entry["data"].lower() for entry in told} == digests


@pytest.mark.parametrize("damage", ["trace", "detail", "rows", "other inputs", "estimate", "nonsense"])
def test_what_is_not_whole_is_no_crosscheck(honest: tuple[dict[str, bytes], Params], damage: str) -> None:
    streams, params = dict(honest[0]), honest[1]
    if damage == "trace":
        streams["loadgen/mlperf_log_trace.json"] = streams["loadgen/mlperf_log_trace.json"][:60_000]
    elif damage == "detail":
        del streams["loadgen/mlperf_log_detail.txt"]
    elif damage == "rows":
        streams["loadgen/requests.csv"] = streams["loadgen/requests.csv"][:-900]
    elif damage == "other inputs":
        streams["loadgen/requests.csv"] = streams["requests.csv"]
    elif damage == "estimate":
        key = b'"early_stopping_latency_ss", "value": '
        streams["loadgen/mlperf_log_detail.txt"] = streams["loadgen/mlperf_log_detail.txt"].replace(key, key + b"1")
    else:
        streams["loadgen/mlperf_log_detail.txt"] = b':::MLLOG {"key"\n:::MLLOG []\nx\xff\n'
    assert "逐次相差" in found(honest[0], params).text
    finding = found(streams, params)
    assert (finding.severity, "逐次相差" in finding.text) == ("warning", False)


def test_failures_that_it_takes_for_answers_are_named(tmp_path: Path) -> None:
    finding = found(*measured(tmp_path, Behaviour(tokens=1, break_every=50)))
    assert (finding.severity, "不认失败" in finding.text) == ("warning", True)


def test_a_persons_interrupt_ends_it_without_asking_on() -> None:
    asked: list[int] = []

    def note(number: int, _at: int, _answer: Answer) -> None:
        asked.append(number)
        if number == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(Echo(), list(range(700)), 0, 5, note, lambda _path: None)
    assert asked == list(range(31))


def test_without_the_library_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    params = Params.model_validate({"kind": "json", "url": "http://127.0.0.1:9/", "pool": "none.jsonl", "loadgen": 700})
    with pytest.raises(ProbeError) as error:
        record(tmp_path, capture, params)
    assert error.value.problem.code == "LAT-E05"


def test_nothing_is_said_where_it_was_not_asked_for(honest: tuple[dict[str, bytes], Params]) -> None:
    streams, params = honest
    plain = params.model_copy(update={"loadgen": 0})
    assert "LAT-V21" not in codes(analyse(MemoryEvidence(streams), plain, 1).validity)  # type: ignore[arg-type]
