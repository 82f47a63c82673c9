from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import descriptor_pb2, descriptor_pool, text_format, timestamp_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from latency_support import (
    HONEST,
    MS,
    URL,
    Columns,
    change,
    judged,
    latencies,
    later,
    network,
    nothing,
    params,
    series,
    stalled,
    verdict,
    written,
)
from onnx import TensorProto, helper
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, record
from scipy.stats import binom

from tests.namespaces import AVAILABLE, two_hosts
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples, Verdict
from yanshou.kit.build import imported
from yanshou.probes.contract import Probe
from yanshou.probes.model_latency import reference
from yanshou.probes.model_latency.analyse import P99_LEAST, P999_LEAST, TEXTS, analyse, drift, paired_errors
from yanshou.probes.model_latency.capture import capture
from yanshou.probes.model_latency.pool import digest_of, order, read_pool
from yanshou.probes.model_latency.reference import POINTS, serving, standard, write_pool
from yanshou.probes.model_latency.server import Behaviour
from yanshou.probes.model_latency.spec import SPEC, Params, estimate
from yanshou.probes.model_latency.streams import HOST_COLUMNS

pytestmark = pytest.mark.alone


def test_an_honest_run_passes_and_a_slow_one_fails() -> None:
    found = judged()
    assert codes(found.validity) == HONEST
    assert (found.unit, found.measurand, found.values.size) == ("ns", "e2e", 700)
    assert verdict(found) is Verdict.PASS
    assert verdict(judged(took=latencies(median_ms=140))) is Verdict.FAIL


def test_a_long_run_has_no_reservations_but_heat() -> None:
    given = params(metric="decision_cycle", rate_hz=11, count=6640)
    assert codes(judged(given).validity) == {"LAT-V16": "info", "LAT-V19": "info"}


def test_every_metric_is_beside_the_committed_one() -> None:
    given = params(metric="ttft")
    took = latencies()
    found = analyse(written(given, took), given, 1)
    assert found.values.tolist() == (took // 3)[5:].tolist()
    assert {s.name for s in found.series} == {"e2e", "tpot", "itl"}
    assert series(found, "e2e").tolist() == took[5:].tolist()
    assert series(found, "tpot") == pytest.approx(((took - 1000 - took // 3) / 7)[5:])
    gap = params(metric="itl")
    assert analyse(written(gap, took), gap, 1).values.size == 700 * 7
    decision = params(metric="decision_cycle", rate_hz=10)
    opened = judged(decision)
    assert {s.name for s in opened.series} == {"e2e", "service", "ttft", "tpot", "itl"}
    assert (opened.values - series(opened, "service")).tolist() == [20_000.0] * 700
    assert TEXTS.keys() == {"decision_cycle", "e2e", "service", "ttft", "tpot", "itl"}


@pytest.mark.parametrize(("median", "expected"), [(40, Verdict.PASS), (150, Verdict.INCONCLUSIVE), (600, Verdict.FAIL)])
def test_a_silent_commitment_needs_first_token_and_whole_answer_to_agree(median: float, expected: Verdict) -> None:
    given = params(metric=None)
    found = judged(given, took=latencies(median_ms=median))  # the first token comes after a third
    assert verdict(found, statistic=None) is expected


@pytest.mark.parametrize(("share", "least"), [(0.99, P99_LEAST), (0.999, P999_LEAST)])
def test_the_least_numbers_of_samples_are_those_of_the_binomial(share: float, least: int) -> None:
    """MLPerf's early stopping throws one overrun away: at 99 % confidence, at most one of so many would exceed only by chance."""
    assert binom.cdf(1, least, 1 - share) <= 0.01 < binom.cdf(1, least - 1, 1 - share)


def test_a_sealed_pool_cannot_be_exchanged(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.jsonl", 30)
    sealed = read_pool(tmp_path, "pool.jsonl", 1).sha256
    with pytest.raises(ProbeError, match="不是计划冻结的那一个"):
        record(tmp_path, capture, params(count=20, pool_sha256="cd" * 32))
    with pytest.raises(ProbeError, match="不能运行"):  # past the pool
        record(tmp_path, capture, params(count=20, pool_sha256=sealed, kind="command", command=["/no/such/program"]))
    assert codes(judged(params(metric="e2e", pool_sha256="ab" * 32)).validity) == HONEST
    assert codes(judged(params(metric="e2e", pool_sha256="cd" * 32)).validity)["LAT-V05"] == "invalid"


def test_few_different_answers_are_allowed_where_the_parameters_say_so() -> None:
    several = change("answer", lambda _c, n: f"{n % 3:016x}")
    assert codes(judged(edit=several).validity) == HONEST
    alone = params(metric="e2e", repeats=1)
    assert "LAT-V04" in codes(judged(alone, change("answer", "f" * 16)).validity)  # one for all is canned all the same
    mostly = change("answer", lambda _c, n: "f" * 16 if n % 5 else f"{n:016x}")
    assert "LAT-V04" in codes(judged(edit=mostly).validity)
    assert codes(judged(params(metric="e2e", repeats=0.9), mostly).validity) == HONEST


def test_failures_are_exceedances_and_are_told_apart() -> None:
    def edit(columns: Columns) -> None:
        for n, status in enumerate(("timeout", "http-503", "cut", "ok")):
            columns["status"][100 + n] = status
        columns["t_done_ns"][103] = columns["t_start_ns"][103] + 11_000 * MS
        columns["pieces"][100] = columns["pieces"][101] = 0

    found = judged(edit=edit)
    assert np.flatnonzero(np.isinf(found.values)).tolist() == [95, 96, 97, 98]
    (text,) = [v.text for v in found.validity if v.code == "LAT-V07"]
    assert text.startswith("4 个请求没有答好（cut 1、timeout 1、http-503 1、超时答完 1），其中 2 个已开始输出")


def test_stalls_below_one_percent_are_named_though_p99_passes() -> None:
    found = judged(params(metric="e2e", count=6995), took=stalled(500))
    assert codes(found.validity)["LAT-V13"] == "warning"
    assert verdict(found) is Verdict.PASS
    assert verdict(found, statistic="p99.9", confidence=0.95) is Verdict.FAIL


def test_a_late_sender_voids_the_run_and_a_busy_target_does_not() -> None:
    given = params(metric="decision_cycle", rate_hz=20)

    def late(columns: Columns) -> None:
        for name in ("t_start_ns", "t_sent_ns", "t_byte_ns", "t_first_ns", "t_last_ns", "t_done_ns"):
            columns[name] = [t + 8 * MS for t in columns[name]]

    def busy(columns: Columns) -> None:
        late(columns)
        columns["t_free_ns"] = [t - 10_000 for t in columns["t_start_ns"]]

    assert codes(judged(given, late).validity)["LAT-V02"] == "invalid"
    found = judged(given, busy)
    assert "LAT-V02" not in codes(found.validity)
    assert float(np.median(found.values)) > 48 * MS * 0.9


def test_shared_beginnings_and_several_choices_are_named() -> None:
    given = params(metric="e2e")
    evidence = written(given, latencies())
    told = {"pool": {"lines": 715, "sha256": "ab" * 32, "common": 0.8}}
    parts = {name: evidence.open(name).read() for name in evidence.streams()} | {
        "session.json": json.dumps(told).encode()
    }
    assert codes(analyse(MemoryEvidence(parts), given, 1).validity)["LAT-V15"] == "warning"  # type: ignore[arg-type]
    assert codes(judged(edit=change("choices", 4)).validity)["LAT-V17"] == "warning"
    assert codes(judged(edit=change("cached_tokens", 20)).validity)["LAT-V06"] == "warning"


def test_answers_that_come_in_bundles_are_named() -> None:
    given = params(metric="e2e", streams=4)

    def bundle(columns: Columns) -> None:
        columns["t_done_ns"] = [
            columns["t_done_ns"][n - n % 4 + 3] if n - n % 4 + 3 < 705 else t
            for n, t in enumerate(columns["t_done_ns"])
        ]

    assert codes(judged(given, bundle).validity)["LAT-V14"] == "warning"
    assert "LAT-V14" not in codes(judged(given).validity)


@pytest.mark.parametrize(
    ("rows", "severity"),
    [
        ([("temperature:z", 50_000), ("temperature:z", 51_000), ("temperature:z", 51_500)], "info"),
        ([("temperature:z", 50_000), ("temperature:z", 70_000), ("temperature:z", 90_000)], "warning"),
        ([("temperature:z", 50_000), ("throttled:c", 3), ("throttled:c", 9)], "warning"),
        ([], "info"),
    ],
)
def test_heat(rows: list[tuple[str, int]], severity: str) -> None:
    given = params(metric="e2e")
    evidence = written(given, latencies())
    lines = "".join(f"{n},{channel},{value}\n" for n, (channel, value) in enumerate(rows)) + "torn"
    parts = {name: evidence.open(name).read() for name in evidence.streams()} | {
        "host.csv": (HOST_COLUMNS + "\n" + lines).encode()
    }
    found = analyse(MemoryEvidence(parts), given, 1)  # type: ignore[arg-type]
    assert codes(found.validity)["LAT-V16"] == severity


@pytest.mark.parametrize(
    ("rows", "local", "severity", "words"),
    [
        (network(0), True, "info", "每个请求有 0.0"), (network(1), True, "invalid", "可能来自云端"),
        (network(2), True, "invalid", "每个请求有 2."), (network(0.1, background=80), True, "info", "每个请求有 0.1"),
        (network(1), False, "info", "不在测量主机上"), ("", True, "info", "没有网口的静默底数"),
        (network(1).replace(":tx,", ":xx,"), True, "info", "没有网口的静默底数"),
    ],
)  # fmt: skip
def test_packets_that_keep_pace_with_the_requests_block_a_pass(
    rows: str, local: bool, severity: str, words: str
) -> None:
    given = params(metric="e2e", rate_hz=14.1)

    evidence = written(given, latencies(), later)
    told = {"pool": {"lines": 715, "sha256": "ab" * 32}, "local": local}
    parts = {name: evidence.open(name).read() for name in evidence.streams()}
    parts |= {"session.json": json.dumps(told).encode(), "host.csv": (HOST_COLUMNS + "\n" + rows).encode()}
    (found,) = [v for v in analyse(MemoryEvidence(parts), given, 1).validity if v.code == "LAT-V19"]  # type: ignore[arg-type]
    assert found.severity.value == severity
    assert words in found.text


FORWARD = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    s.sendto(line.encode(), (sys.argv[1], 9))
    print(s.recv(2000).decode().strip(), flush=True)
"""
CLOUD = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9))
print("ready", flush=True)
while True:
    data, whom = s.recvfrom(2000)
    s.sendto(data, whom)
"""
ON_VEHICLE = """
import json, sys
from pathlib import Path
from records_support import record
from yanshou.kit.runner import Settings
from yanshou.probes.model_latency.capture import capture
evidence = record(Path(sys.argv[1]), capture, Settings(**json.loads(sys.argv[2])))
print(json.dumps([str(evidence.folder), evidence.acknowledged]))
"""


@pytest.mark.netns
@pytest.mark.skipif(not AVAILABLE, reason="needs root and ip netns")
def test_a_model_in_the_cloud_behind_a_local_command_is_found_out(tmp_path: Path) -> None:
    """The command answers on the vehicle, and asks another host for every answer, over a real link."""
    write_pool(tmp_path / "pool.jsonl", 60)
    here = {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    with two_hosts("cloud") as (near, far):
        told = []
        for command in (
            ["-c", FORWARD, far.address],
            ["-c", "import sys\nfor x in sys.stdin: print(x, end='', flush=True)"],
        ):
            given = params(
                kind="command", command=[sys.executable, *command], count=50, warmup=2, metric="e2e", quiet_s=1.1
            )
            with subprocess.Popen(
                [*far.inside, sys.executable, "-c", CLOUD], stdout=subprocess.PIPE, text=True
            ) as cloud:
                assert cloud.stdout
                cloud.stdout.readline()
                vehicle = [*near.inside, sys.executable, "-c", ON_VEHICLE, str(tmp_path), given.model_dump_json()]
                done = subprocess.run(vehicle, capture_output=True, text=True, check=True, env={**os.environ, **here})
                cloud.terminate()
            folder, acknowledged = json.loads(done.stdout)
            found = analyse(RunEvidence(Path(folder), acknowledged), given, 1)
            told += [v for v in found.validity if v.code == "LAT-V19"]
    assert [v.severity.value for v in told] == ["invalid", "info"]
    assert "经 veth0 出去又回来" in told[0].text
    out, back = map(int, re.findall(r"(\d+) 字节", told[0].text))
    assert min(out, back) > 40  # an IPv4 and a UDP header each, the question, and Ethernet's own


def test_drift_is_not_seen_in_noise() -> None:
    rng = np.random.default_rng(5)
    false = sum(drift(40 * np.exp(rng.normal(0, 0.2, 700))) is not None for _ in range(300))
    assert false <= 6  # of a nominal 3, and the share must be 5 % as well
    assert drift(np.full(700, 3.0)) is None
    assert drift(np.full(50, np.inf)) is None
    assert drift(np.linspace(1, 2, 700)) == pytest.approx(0.65, abs=0.05)
    assert drift(np.linspace(2, 1, 700)) == pytest.approx(-0.65, abs=0.05)


@pytest.mark.parametrize(
    "damage",
    ["odd", "nothing", "no rows", "torn", "twice", "lost", "nonsense", "huge", "no session", "early", "schedule"],
)
def test_a_damaged_record_is_invalid_and_never_an_exception(damage: str) -> None:
    given = params(metric="decision_cycle", rate_hz=20)
    edits = {
        "early": change("t_start_ns", lambda c, n: c["t_sched_ns"][n] - 5 * MS, 7),
        "schedule": change("t_sched_ns", lambda c, n: c["t_sched_ns"][n] + MS, 7),
        "nonsense": change("t_done_ns", "soon", 9),
        "huge": change("t_done_ns", 10**30, 9),
    }
    evidence = written(given, latencies(), edits.get(damage, nothing))
    parts = {name: evidence.open(name).read() for name in evidence.streams()}
    if damage == "nothing":
        parts = {}
    elif damage == "no rows":
        del parts["requests.csv"], parts["gaps.csv"]
    elif damage == "torn":
        parts["requests.csv"] = parts["requests.csv"][:-60]
    elif damage == "lost":
        parts["requests.csv"] = b"\n".join(parts["requests.csv"].split(b"\n")[:-20]) + b"\n"
    elif damage == "twice":
        parts["requests.csv"] += parts["requests.csv"].split(b"\n")[-2] + b"\n"
    elif damage == "odd":
        odd = {"lines": "many", "common": [], "sha256": 7}
        parts |= {"session.json": json.dumps({"pool": odd, "model_sha256": 1, "local": 1}).encode(), "end.json": b"[]"}
        parts |= {
            "host.csv": b"h\n1,net:x:tx,9e9\n1,a\n9999999999999999999999,b,1\n",
            "gaps.csv": b"h\n1,99999999999999999999\nx,1\n",
        }
    elif damage == "no session":
        parts["session.json"] = b"{"
    found = analyse(MemoryEvidence(parts), given, 1)  # type: ignore[arg-type]
    assert codes(found.validity)["LAT-V01"] == "invalid"
    assert found.values.size == 700
    assert verdict(found) is Verdict.INVALID


# --- the pool ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "空文件"), ('{"prompt": "a"}\n[1]\n', "第 2 行不是 JSON 对象"),
        ('{"prompt": "a"}\n\n{"prompt":"a"}\n', "第 3 行与第 1 行相同"),
        ('{"a": 1, "b": 2}\n{"b": 2, "a": 1}\n', "相同"), ('{"prompt": "a"}\n', "有 1 行，计划要用 2 行"),
        ("{}\n", "不是 JSON 对象"),
        ('{"a":' * 100_000 + "\n", "不是 JSON 对象"),
    ],
)  # fmt: skip
def test_a_pool_that_could_be_answered_from_memory_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "pool.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ProbeError, match=why) as error:
        read_pool(tmp_path, "pool.jsonl", 2)
    assert error.value.problem.code == "LAT-E02"


def test_the_order_is_the_seeds_and_the_pools(tmp_path: Path) -> None:
    assert sorted(order(100, 100, 1, "a")) == list(range(100))
    assert order(100, 10, 1, "a") == order(100, 100, 1, "a")[:10]
    assert len({tuple(order(100, 10, seed, sha)) for seed in (1, 2) for sha in "ab"}) == 4
    assert order(8, 5, 7, "pool") == [4, 7, 6, 2, 3]
    system = "你是一辆车。" * 50
    lines = [
        json.dumps({"messages": [{"role": "system", "content": system}, {"role": "user", "content": str(n)}]})
        for n in range(20)
    ]
    (tmp_path / "p").write_text("\n".join(lines), encoding="utf-8")
    assert read_pool(tmp_path, "p", 20).common > 0.9
    write_pool(tmp_path / "q", 300)
    assert read_pool(tmp_path, "q", 300).common < 0.1
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": None}, {"url": "ftp://x/"}, {"url": "no address"}, {"kind": "command"}, {"kind": "onnx"},
        {"metric": "decision_cycle"},
        {"metric": "ttft", "stream": False}, {"kind": "grpc", "url": "grpc://x:1"},
        {"kind": "grpc", "method": "/a.B/C", "protos": "p"}, {"metric": "ttft", "kind": "json"},
        {"kind": "onnx", "file": "m", "streams": 2},
        {"count": 0}, {"metric": "average"}, {"more": 1}, {"timeout_s": float("inf")},
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        params(**wrong)


def test_spec_and_estimate() -> None:
    assert Probe("model.latency").spec is SPEC
    assert estimate(params(rate_hz=10, count=100, warmup=10, quiet_s=5), 662).seconds == pytest.approx(67.2 + 10 + 10)
    assert estimate(params(count=100), None).samples == 100


# --- real targets ------------------------------------------------------------------------------------------------------


def live(
    folder: Path, behaviour: Behaviour, *, count: int = 20, **changes: Any
) -> tuple[Samples, RunEvidence, list[str]]:
    """Capture and analysis against a server of known behaviour; its log."""
    folder.mkdir(exist_ok=True)
    write_pool(folder / "pool.jsonl", count + 3 + 5)
    log: list[str] = []
    with serving(behaviour, log) as port:
        given = params(
            **{
                "url": f"http://127.0.0.1:{port}/v1",
                "count": count,
                "warmup": 3,
                "metric": "e2e",
                "timeout_s": 5,
                **changes,
            }
        )
        evidence = record(folder, capture, given)
    return analyse(evidence, given, 1), evidence, log


def rows(evidence: RunEvidence) -> list[dict[str, str]]:
    head, *lines = evidence.open("requests.csv").read().decode().splitlines()
    return [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_delays_are_contained_in_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, true_value: float
) -> None:
    monkeypatch.setattr(reference, "COUNTS", dict.fromkeys(POINTS, 12))
    holder: list[Params] = []

    def through(_: Any, run: Any) -> None:
        with standard(true_value, run) as values:
            holder.append(Params.model_validate(values))
            capture(holder[0], run)

    evidence = record(tmp_path, through, None)
    truth = json.loads(evidence.open("truth.json").read())
    errors = paired_errors(evidence, holder[0], 1)
    assert (truth["unit"], errors.size) == ("ms", 12)
    assert truth["true"] >= true_value
    assert errors.min() > 0  # the probe's clock starts before the standard's and stops after it


def test_a_first_piece_without_content_is_no_first_token(tmp_path: Path) -> None:
    found, evidence, _ = live(tmp_path, Behaviour(first=15, tokens=3), metric="ttft")
    assert found.values.min() >= 15 * MS
    assert all(int(row["t_byte_ns"]) <= int(row["t_first_ns"]) and row["empty"] == "1" for row in rows(evidence))
    assert codes(found.validity)["LAT-V10"] == "info"
    bare, _, _ = live(tmp_path / "b", Behaviour(role=False), metric="ttft")
    assert "LAT-V10" not in codes(bare.validity)


def test_tokens_are_stamped_one_by_one(tmp_path: Path) -> None:
    found, evidence, log = live(tmp_path, Behaviour(token=4, tokens=6), metric="tpot")
    assert np.median(found.values) > 2 * MS
    assert series(found, "itl").size == 20 * 5
    assert {row["tokens"] for row in rows(evidence)} == {"6"}
    assert len(log) == 23
    many, _, _ = live(tmp_path / "b", Behaviour(token=4, tokens=6, per_piece=6), metric="tpot")
    assert many.values.max() == 0
    assert codes(many.validity)["LAT-V11"] == "invalid"
    unreported, _, _ = live(tmp_path / "c", Behaviour(token=4, tokens=6, usage=0), metric="tpot", usage=False)
    assert np.median(unreported.values) > 2 * MS


def test_a_cache_of_inputs_has_nothing_to_say(tmp_path: Path) -> None:
    found, _, _ = live(tmp_path, Behaviour(first=10, remembers=True))
    assert found.values.min() >= 10 * MS
    confessed, _, _ = live(tmp_path / "b", Behaviour(cached=0.9))
    assert codes(confessed.validity)["LAT-V06"] == "invalid"


def test_canned_answers_are_exceedances(tmp_path: Path) -> None:
    found, _, _ = live(tmp_path, Behaviour(canned=True))
    assert np.isinf(found.values).all()
    assert found.facts["different_answers"] == 1
    honest, _, _ = live(tmp_path / "b", Behaviour())
    assert (np.isfinite(honest.values).all(), honest.facts["different_answers"]) == (True, 20)


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (Behaviour(error_every=5), "error"), (Behaviour(break_every=5), "cut"), (Behaviour(empty_every=5), "empty"),
        (Behaviour(refuse_every=5), "http-503"), (Behaviour(stall_every=5, stall=700), "timeout"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_recorded_as_what_it_is(tmp_path: Path, behaviour: Behaviour, status: str) -> None:
    found, evidence, _ = live(tmp_path, behaviour, timeout_s=0.35 if status == "timeout" else 5)
    assert found.facts["status"] == {"ok": 16, status: 4}
    assert int(np.isinf(found.values).sum()) == 4
    assert [row["status"] for row in rows(evidence)][4::5] == [status] * 4


def test_a_frozen_server_shows_in_every_frame_it_missed(tmp_path: Path) -> None:
    """Coordinated omission: asked one after the other, one answer is slow; by schedule, sixty are."""
    frozen = Behaviour(freeze_after=20, freeze=300)
    found, _, _ = live(tmp_path, frozen, count=100, rate_hz=200, metric="decision_cycle")
    assert int((found.values > 100 * MS).sum()) >= 35
    assert int((series(found, "service") > 100 * MS).sum()) <= 3
    closed, _, _ = live(tmp_path / "b", frozen, count=100)
    assert int((closed.values > 100 * MS).sum()) <= 3


def test_several_streams_ask_at_once_and_bundles_are_seen(tmp_path: Path) -> None:
    found, evidence, _ = live(tmp_path, Behaviour(batch=4, first=10, token=0), count=37, streams=4)
    assert {row["stream"] for row in rows(evidence)} == {"0", "1", "2", "3"}
    assert sorted(int(row["seq"]) for row in rows(evidence)) == list(range(40))
    assert np.isfinite(found.values).all()
    assert json.loads(evidence.open("end.json").read())["connections"] == 4
    several, _, _ = live(tmp_path / "b", Behaviour(choices=3), count=20)
    assert codes(several.validity)["LAT-V17"] == "warning"


def test_answers_in_one_piece_and_connections_that_close(tmp_path: Path) -> None:
    found, evidence, _ = live(tmp_path, Behaviour(close=True, first=5), stream=False)
    assert found.values.min() >= 5 * MS
    assert json.loads(evidence.open("end.json").read())["connections"] == 23
    assert [s.name for s in found.series] == []


def test_a_decision_endpoint_answers_with_what_the_path_leads_to(tmp_path: Path) -> None:
    given = {"kind": "json", "answer": "result.action"}
    found, _, _ = live(tmp_path, Behaviour(interface="json", first=5, tokens=1), **given)
    assert (found.values.min() >= 5 * MS, found.facts["different_answers"]) == (True, 20)
    same, _, _ = live(tmp_path / "b", Behaviour(interface="json", canned=True), **given)
    assert np.isinf(same.values).all()  # though the time in the answer differs
    with pytest.raises(ProbeError, match=r"没有一个答好（最后一个：empty）"):
        live(tmp_path / "c", Behaviour(interface="json"), kind="json", answer="result.nothing")
    with pytest.raises(ProbeError, match=r"没有一个答好（最后一个：empty）"):
        live(tmp_path / "d", Behaviour(interface="json"), kind="json", answer="result.3.x")


COMMAND = """
import json, sys, time
for n, line in enumerate(sys.stdin):
    body = json.loads(line)
    if n == SLOW:
        time.sleep(60)
    if n == LAST:
        sys.exit(1)
    time.sleep(0.003)
    print(json.dumps({"echo": body["prompt"]}), flush=True)
"""


@pytest.mark.parametrize(
    ("slow", "last", "status"), [(-1, -1, {"ok": 8}), (5, -1, {"ok": 7, "timeout": 1}), (-1, 6, {"ok": 7, "closed": 1})]
)
def test_a_command_that_answers_line_by_line(tmp_path: Path, slow: int, last: int, status: dict[str, int]) -> None:
    """A process that failed is started anew, and its late answer is never taken for that of the next request."""
    write_pool(tmp_path / "pool.jsonl", 30)
    command = COMMAND.replace("SLOW", str(slow)).replace("LAST", str(last))
    given = params(
        kind="command", command=[sys.executable, "-c", command], count=8, warmup=2, metric="e2e", timeout_s=2
    )
    found = analyse(record(tmp_path, capture, given), given, 1)
    assert found.facts["status"] == status
    assert found.facts["different_answers"] == status["ok"]
    assert found.values.min() >= 3 * MS


def test_a_command_that_does_not_run(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.jsonl", 30)
    with pytest.raises(ProbeError) as error:
        record(tmp_path, capture, params(kind="command", command=["/no/such/program"], count=20, warmup=2))
    assert error.value.problem.code == "LAT-E04"


def planner() -> bytes:
    """A descriptor set: drive.Planner/Decide takes a Scene and gives a Decision."""
    text = """
      name: "drive.proto" package: "drive" syntax: "proto3"
      message_type { name: "Scene" field { name: "prompt" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
      message_type { name: "Decision" field { name: "action" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
      service { name: "Planner" method { name: "Decide" input_type: ".drive.Scene" output_type: ".drive.Decision" } }
    """
    return descriptor_pb2.FileDescriptorSet(
        file=[text_format.Parse(text, descriptor_pb2.FileDescriptorProto())]
    ).SerializeToString()


@contextmanager
def planning(
    decide: Callable[[bytes, grpc.ServicerContext], bytes], more: Callable[[grpc.Server], None] = lambda _server: None
) -> Iterator[int]:
    """A real gRPC server of that method, with whatever `more` adds."""
    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(decide)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("drive.Planner", {"Decide": handler})])
    more(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_a_grpc_method_is_called_from_its_descriptor_set(tmp_path: Path) -> None:
    (tmp_path / "drive.protoset").write_bytes(planner())
    write_pool(tmp_path / "pool.jsonl", 20)
    calls: list[dict[str, Any]] = []

    def decide(data: bytes, context: grpc.ServicerContext) -> bytes:
        calls.append(dict(context.invocation_metadata()))
        if len(calls) == 8:
            context.abort(grpc.StatusCode.INTERNAL, "out of memory")
        if len(calls) == 9:
            time.sleep(1.2)
        if len(calls) == 10:
            return b"\xff\xff"
        time.sleep(0.004)
        return data if len(calls) != 11 else b""  # a Decision has the form of a Scene

    with planning(decide) as port:
        given = params(kind="grpc", url=f"grpc://127.0.0.1:{port}", method="/drive.Planner/Decide", protos="drive.protoset",
                       answer="action", count=12, warmup=2, metric="e2e", timeout_s=1)  # fmt: skip
        found = analyse(record(tmp_path, capture, given), given, 1)
        (tmp_path / "pool.jsonl").write_text("\n".join(json.dumps({"speed": n}) for n in range(20)), encoding="utf-8")
        with pytest.raises(ProbeError, match="最后一个：garbled"):
            record(tmp_path, capture, given)
    assert found.facts["status"] == {"empty": 1, "error": 1, "garbled": 1, "ok": 8, "timeout": 1}
    assert found.facts["different_answers"] == 8
    assert found.values.min() >= 4 * MS
    assert [call["x-request-id"] for call in calls[:3]] == ["0", "1", "2"]
    for changes, code in (
        ({"method": "/drive.Planner/Guess"}, "LAT-E04"), ({"protos": "pool.jsonl"}, "LAT-E04"), ({"protos": "none"}, "LAT-E03"),
    ):  # fmt: skip
        with pytest.raises(ProbeError) as error:
            record(tmp_path, capture, given.model_copy(update=changes))
        assert error.value.problem.code == code
    with pytest.raises(ProbeError, match="连不上"):
        record(tmp_path, capture, given)  # the server is gone


def described() -> descriptor_pool.DescriptorPool:
    """drive.Planner/Decide over two files of one's own and one of Google's."""
    texts = (
        """name: "drive/types.proto" package: "drive" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
        message_type { name: "Scene" field { name: "prompt" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
          field { name: "at" number: 2 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL } }""",
        """name: "drive/planner.proto" package: "drive" syntax: "proto3" dependency: "drive/types.proto"
        message_type { name: "Decision" field { name: "action" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
        service { name: "Planner" method { name: "Decide" input_type: ".drive.Scene" output_type: ".drive.Decision" } }""",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for text in texts:
        pool.AddSerializedFile(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()).SerializeToString())
    return pool


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
def test_a_grpc_server_describes_itself_by_reflection(tmp_path: Path, version: str) -> None:
    write_pool(tmp_path / "pool.jsonl", 20)

    def reflecting(server: grpc.Server) -> None:
        servicer = reflection.ReflectionServicer(["drive.Planner"], described())
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        name = f"grpc.reflection.{version}.ServerReflection"
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})])

    given = {
        "kind": "grpc",
        "method": "/drive.Planner/Decide",
        "answer": "action",
        "count": 10,
        "warmup": 2,
        "metric": "e2e",
    }
    with planning(lambda data, _context: data, reflecting) as port:
        told = params(url=f"grpc://127.0.0.1:{port}", **given)
        found = analyse(record(tmp_path, capture, told), told, 1)
        for method, why in (("/drive.Planner/Guess", "没有 /drive.Planner/Guess"), ("/drive.Pilot/Decide", "反射")):
            with pytest.raises(ProbeError, match=why) as error:
                record(tmp_path, capture, told.model_copy(update={"method": method}))
            assert error.value.problem.code == "LAT-E04"
    assert (found.facts["status"], found.facts["different_answers"]) == ({"ok": 10}, 10)
    with planning(lambda data, _context: data) as port:
        silent = params(url=f"grpc://127.0.0.1:{port}", **given)
        with pytest.raises(ProbeError, match=r"反射.*UNIMPLEMENTED") as error:
            record(tmp_path, capture, silent)
    assert error.value.problem.code == "LAT-E04"


def test_a_real_onnx_model_in_this_process(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [64, 64], np.random.default_rng(1).random(4096, np.float32))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])], [weights],
    )  # fmt: skip
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    built.ir_version = 10
    onnx.save(built, tmp_path / "m.onnx")
    inputs = [json.dumps({"x": [np.random.default_rng(n).random(64).round(6).tolist()]}) for n in range(30)]
    (tmp_path / "pool.jsonl").write_text("\n".join(inputs), encoding="utf-8")
    given = params(kind="onnx", file="m.onnx", url=None, count=25, warmup=5, metric="e2e")
    found = analyse(record(tmp_path, capture, given), given, 1)
    assert (found.facts["status"], found.facts["different_answers"]) == ({"ok": 25}, 25)
    assert len(found.facts["model_sha256"]) == 64
    (tmp_path / "pool.jsonl").write_text("\n".join(json.dumps({"x": [[n]]}) for n in range(30)), encoding="utf-8")
    with pytest.raises(ProbeError, match="没有一个答好"):
        record(tmp_path, capture, given)
    for name, why in (("pool.jsonl", "打不开"), ("none.onnx", "找不到模型文件")):
        with pytest.raises(ProbeError, match=why):
            record(tmp_path, capture, params(kind="onnx", file=name, url=None, count=25, warmup=5))


TEGRA = """
import time
for n in range(20):
    print(f"11-26-2026 RAM 2448/7772MB CPU [12%@1510] CPU@{44 + n}.5C GPU@-256C VDD_IN {4600 + n}mW/4600mW", flush=True)
time.sleep(60)
"""


def test_a_command_tells_temperature_and_power(tmp_path: Path) -> None:
    sensors = [sys.executable, "-c", TEGRA]
    found, evidence, _ = live(tmp_path, Behaviour(first=8), count=40, sensors=sensors, power_mode="MAXN")
    (heat,) = [v for v in found.validity if v.code == "LAT-V16"]
    assert (heat.severity, "最高 64 ℃" in heat.text, "声明 MAXN" in heat.text) == ("warning", True, True)
    assert found.facts["channels"]["temperature:CPU"] == [44_500, 63_500]
    assert found.facts["channels"]["power:VDD_IN"] == [4600, 4619]
    assert b" 11-26-2026 RAM" in evidence.open("sensors.txt").read()
    with pytest.raises(ProbeError) as error:
        live(tmp_path / "b", Behaviour(), sensors=["/no/such/tegrastats"])
    assert error.value.problem.code == "LAT-E06"


def test_nobody_there_and_nobody_for_a_subject(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.jsonl", 30)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    for changes, why in (
        ({"url": f"http://127.0.0.1:{free}/"}, "连不上"),
        ({"url": None, "urls": {"甲车": URL}}, "没有地址"),
    ):
        with pytest.raises(ProbeError, match=why) as error:
            record(tmp_path, capture, params(count=20, **changes))
        assert error.value.problem.code == "LAT-E01"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"nonsense\r\n\r\n", "closed"), (b"", "closed"), (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "garbled|cut"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "garbled"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "garbled"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"error": "no"}', "error"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "http-404"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: {x\n", "garbled"),
    ],
)  # fmt: skip
def test_servers_that_talk_nonsense_end_in_one_line(tmp_path: Path, answer: bytes, status: str) -> None:
    write_pool(tmp_path / "pool.jsonl", 30)
    with raw_server(answer) as port, pytest.raises(ProbeError, match=f"最后一个：({status})") as error:
        record(tmp_path, capture, params(url=f"http://127.0.0.1:{port}/", count=20, warmup=2))
    assert "\n" not in str(error.value)


@contextmanager
def raw_server(
    answer: bytes | Callable[[], bytes], context: ssl.SSLContext | None = None, seen: list[bytes] | None = None
) -> Iterator[int]:
    """Reads one request, says what it always says and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    with context.wrap_socket(connection, server_side=True) if context else connection as talk:
                        data = talk.recv(65536)
                        while not data.endswith(b"}"):  # the body comes apart from the head
                            data += talk.recv(65536)
                        if seen is not None:
                            seen.append(data)
                        talk.sendall(answer() if callable(answer) else answer)
                except OSError:
                    if listener.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.jsonl", 30)
    numbers = iter(range(100))
    with raw_server(lambda: json_answer({"result": next(numbers)})) as port:
        given = params(
            kind="json", url=f"http://127.0.0.1:{port}/", rate_hz=20, count=8, warmup=2, metric="decision_cycle"
        )
        evidence = record(tmp_path, capture, given)
    assert analyse(evidence, given, 1).facts["status"] == {"ok": 8}
    assert json.loads(evidence.open("end.json").read())["connections"] == 10


def test_a_server_that_hangs_up_after_each_answer_loses_nothing(tmp_path: Path) -> None:
    """As llama.cpp does: it says that it keeps the connection, and closes it when the next request is on its way."""
    write_pool(tmp_path / "pool.jsonl", 40)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    numbers = iter(range(1000))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk(connection: socket.socket) -> None:
            with connection:
                if connection.recv(65536):
                    words = b'data: {"choices": [{"text": "w%d"}]}\n\ndata: [DONE]\n\n' % next(numbers)
                    connection.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(words), words))
                    time.sleep(0.001)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        given = params(url=f"http://127.0.0.1:{listener.getsockname()[1]}/", count=30, warmup=5, metric="e2e")
        found = analyse(record(tmp_path, capture, given), given, 1)
        listener.shutdown(socket.SHUT_RDWR)
    assert found.facts["status"] == {"ok": 30}


def json_answer(value: Any) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_key_and_a_certificate_of_ones_own(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key()).serial_number(1)
        .not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    raw = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "own.pem").write_bytes(private.private_bytes(*raw))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "own.pem")
    (tmp_path / "key").write_text("sk-secret-42\n", encoding="utf-8")
    write_pool(tmp_path / "pool.jsonl", 30)
    body = json.dumps(
        {"choices": [{"message": {"tool_calls": [{"function": {"name": "brake", "arguments": "{}"}}]}}]}
    ).encode()
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    seen: list[bytes] = []
    with raw_server(answer, context, seen) as port:
        given = params(
            url=f"https://localhost:{port}/",
            ca="ca.pem",
            key_file="key",
            count=3,
            warmup=1,
            stream=False,
            metric="e2e",
            model="m",
        )
        evidence = record(tmp_path, capture, given)
    assert analyse(evidence, given, 1).facts["status"] == {"ok": 3}
    assert b"Authorization: Bearer sk-secret-42" in seen[0]
    assert b'"temperature": 0' in seen[0]
    for stream in evidence.streams():
        assert b"sk-secret" not in evidence.open(stream).read()
    for changes in ({"ca": "key"}, {"key_file": "none"}):
        with pytest.raises(ProbeError) as error:
            record(tmp_path, capture, params(url="https://localhost:1/", **{"count": 3, "warmup": 1, **changes}))
        assert error.value.problem.code == "LAT-E03"


def test_a_kit_can_take_the_capture_along() -> None:
    modules, foreign = imported(("yanshou.probes.model_latency.capture", "yanshou.probes.model_latency.reference"))
    assert foreign == ()
    vermin = [str(Path(sys.executable).with_name("vermin")), "--no-tips", "--no-parse-comments", "-t=3.8-"]
    done = subprocess.run([*vermin, *map(str, modules.values())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
