"""The load probe: the schedule, the pure analysis with each finding, and locust driving real servers and brokers."""

from __future__ import annotations

import json
import os
import queue
import signal
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.probes.devices_support import TreeEvidence, certificates, mosquitto
from tests.probes.records_support import codes, record
from tests.probes.sources_support import free_port
from yanshou.cli import main
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices import spec as devices
from yanshou.probes.devices.analyse import analyse as devices_analyse
from yanshou.probes.devices.capture import capture as devices_capture
from yanshou.probes.load import capture as capturing
from yanshou.probes.load.analyse import accompaniment, analyse, paired_errors
from yanshou.probes.load.capture import capture, generating
from yanshou.probes.load.mqtt import Device
from yanshou.probes.load.reference import serving
from yanshou.probes.load.schedule import Plan
from yanshou.probes.load.spec import SPEC, Params, estimate
from yanshou.probes.load.streams import REQUEST_COLUMNS
from yanshou.probes.mqtt_broker import running
from yanshou.probes.rtt import spec as rtt
from yanshou.probes.rtt.analyse import analyse as rtt_analyse
from yanshou.probes.rtt.capture import capture as rtt_capture
from yanshou.probes.rtt.reflector import reflect

pytestmark = pytest.mark.alone

SEED = 7
MS = 1_000_000
START = 1_795_000_000_000_000_000
HTTP = {"kind": "http", "url": "http://127.0.0.1:1/"}


def params(target: dict[str, Any] | None = None, **changes: Any) -> Params:
    small = {"users": 5, "rate": 20, "ramp_s": 0.2, "duration_s": 1, "timeout_s": 2}
    return Params.model_validate({"target": target or HTTP, **small, **changes})


def http(port: int) -> dict[str, Any]:
    return {"kind": "http", "url": f"http://127.0.0.1:{port}/"}


# ---- parameters and schedule -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": None},
        {"target": {"kind": "ftp", "url": "ftp://h/"}},
        {"target": {"kind": "http", "url": "platform/api"}},
        {"target": {"kind": "http", "url": "http://h:99999/"}},
        {"target": {"kind": "http", "url": "http://me:secret@h/"}},
        {"target": {"kind": "mqtt", "host": "h", "topic": "a/#"}},
        {"users": 0},
        {"users": 100_000, "rate": 1000, "duration_s": 86_400},
        {"rate": 0.01, "duration_s": 60},
    ],
)
def test_no_load_without_a_whole_target_and_a_countable_plan(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate({"target": HTTP, "users": 5, "rate": 10, **wrong})


def test_each_user_has_its_own_fixed_schedule() -> None:
    plan = Plan(users=100, gap_ns=50 * MS, ramp_ns=1000 * MS, seed=SEED)
    firsts = np.array([plan.first(k) for k in range(100)])
    phases = (firsts - np.arange(100) * 10 * MS) / plan.gap_ns
    assert firsts.tolist() == [Plan(100, 50 * MS, 1000 * MS, SEED).first(k) for k in range(100)]
    assert 0 <= phases.min() < 0.1
    assert 0.9 < phases.max() < 1
    for end in (0, firsts[3], firsts[3] + 1, firsts[3] + plan.gap_ns, 3_000 * MS):
        due = [plan.due(3, n) for n in range(plan.count(3, int(end)))]
        assert all(d < end for d in due)
        assert plan.due(3, len(due)) >= end


def test_estimate_is_the_plan() -> None:
    assert estimate(params(users=10, rate=2, duration_s=30), None).samples == 600
    assert SPEC.tolerance > 0


# ---- analysis --------------------------------------------------------------------------------------------------------

Row = list[Any]


def rows(plan: Params, answer_ns: int = 5 * MS, worker: str = "local") -> list[Row]:
    """Every planned request sent when due and answered after `answer_ns`, in order of the schedule."""
    schedule = Plan.of(plan, SEED)
    end = schedule.ramp_ns + round(plan.duration_s * 1e9)
    due = sorted(
        (schedule.due(user, n), user, n) for user in range(plan.users) for n in range(schedule.count(user, end))
    )
    return [[worker, user, n, START + at, START + at, START + at + answer_ns, "200", 3] for at, user, n in due]


def evidence(found: Sequence[Row], plan: Params, *, cut: bool = False, more: Sequence[dict[str, Any]] = ()) -> Any:
    """Streams of a whole run with these rows; without the last event where it was `cut`."""
    end_ns = round((plan.ramp_s + plan.duration_s) * 1e9)
    own = {"event": "worker", "worker": "local", "first": 0, "users": plan.users, "start_ns": START}
    told: list[dict[str, Any]] = [{**own, "offset_ns": 0, "bound_ns": 0}, {"event": "steady"}, *more]
    if not cut:
        told += [{"event": "stop", "end_ns": end_ns}, {"event": "end", "rows": {"local": len(found)}, "locust": {}}]
    lines = "".join(",".join(map(str, row)) + "\n" for row in found)
    events = "".join(json.dumps(event) + "\n" for event in told)
    return TreeEvidence({"requests.csv": f"{REQUEST_COLUMNS}\n{lines}".encode(), "events.jsonl": events.encode()})


def test_values_count_from_the_schedule_in_its_order() -> None:
    plan = params()
    found = rows(plan)
    found[40][4] += 30 * MS  # sent late
    found[40][5] += 30 * MS
    measured = analyse(evidence(found[::-1], plan), plan, SEED)
    judged = [row for row in found if row[3] - START >= 200 * MS]
    assert measured.values.tolist() == [row[5] - row[3] for row in judged]
    assert measured.series[0].values.tolist() == [5 * MS] * len(judged)
    assert np.all(np.diff(measured.times) >= 0)
    assert (measured.measurand, measured.bounds) == ("response_time", ())
    assert codes(measured.validity) == {}
    assert measured.facts["planned"] == measured.facts["done"] == measured.facts["succeeded"] == len(judged) == 100
    assert measured.facts["succeeded_per_s"] == 100


def _failed(found: list[Row], status: str = "503", number: int = 3) -> None:
    for row in found[-number:]:
        row[6] = status


def _late(found: list[Row]) -> None:
    for row in found[-3:]:
        row[5] = row[4] + 2001 * MS


@pytest.mark.parametrize("spoil", [_failed, _late])
def test_what_failed_or_came_too_late_is_infinite(spoil: Callable[[list[Row]], None]) -> None:
    plan = params()
    found = rows(plan)
    spoil(found)
    measured = analyse(evidence(found, plan), plan, SEED)
    assert np.isinf(measured.values).sum() == 3
    assert codes(measured.validity) == {"LOD-V07": "warning"}
    assert (measured.facts["done"], measured.facts["succeeded"]) == (100, 97)


@pytest.mark.parametrize(("missing", "found"), [(1, {}), (2, {"LOD-V01": "invalid"})])
def test_planned_and_done(missing: int, found: dict[str, str]) -> None:
    plan = params()
    kept = rows(plan)[:-missing]
    measured = analyse(evidence(kept, plan), plan, SEED)
    assert codes(measured.validity) == found
    assert np.isinf(measured.values).sum() == missing


def _cut_line(streams: dict[str, bytes]) -> None:
    streams["requests.csv"] = streams["requests.csv"][:-2]


def _change(place: int, cell: int, by: Any) -> Callable[[list[Row]], None]:
    def spoil(found: list[Row]) -> None:
        value = found[place][cell]
        found[place][cell] = value + by if isinstance(by, int) else by

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        _change(9, 3, -1),  # another schedule
        _change(9, 4, -1),  # sent before its time
        _change(9, 5, -10 * MS),  # answered before it was sent
        _change(9, 1, 99),  # no such user
        _change(9, 2, -1),
        _change(9, 0, "elsewhere"),  # no such worker
        _change(9, 5, "soon"),
        lambda found: found.append(list(found[9])),  # twice
        lambda found: found[9].pop(),
    ],
)
def test_rows_that_no_capture_writes(spoil: Callable[[list[Row]], None]) -> None:
    plan = params()
    found = rows(plan)
    spoil(found)
    assert "LOD-V04" in codes(analyse(evidence(found, plan), plan, SEED).validity)


def test_another_seed_is_another_schedule() -> None:
    plan = params()
    found = codes(analyse(evidence(rows(plan), plan), plan, SEED + 1).validity)
    assert found == {"LOD-V01": "invalid", "LOD-V03": "invalid", "LOD-V04": "invalid"}


def test_users_that_never_came() -> None:
    plan = params(users=200, rate=10)
    found = [row for row in rows(plan) if row[1] != 199]
    assert codes(analyse(evidence(found, plan), plan, SEED).validity) == {"LOD-V03": "invalid"}


def test_a_recording_without_an_end() -> None:
    plan = params()
    found = rows(plan)
    assert codes(analyse(evidence(found, plan, cut=True), plan, SEED).validity) == {"LOD-V05": "invalid"}
    lacking = TreeEvidence({})
    broken = analyse(lacking, plan, SEED)
    assert {"LOD-V01", "LOD-V03", "LOD-V05"} <= codes(broken.validity).keys()
    assert np.isinf(broken.values).all()


def test_a_cut_line() -> None:
    plan = params()
    whole = evidence(rows(plan), plan)
    streams = {name: whole.open(name).read() for name in whole.streams()}
    _cut_line(streams)
    assert codes(analyse(TreeEvidence(streams), plan, SEED).validity) == {"LOD-V05": "invalid"}


def test_this_host_is_too_slow() -> None:
    plan = params()
    found = rows(plan)
    for row in found[::20]:
        row[4] += 11 * MS
        row[5] += 11 * MS
    assert codes(analyse(evidence(found, plan), plan, SEED).validity) == {"LOD-V06": "warning"}
    # That a user was still waiting for the platform is none of this host's.
    found = rows(plan, answer_ns=100 * MS)
    ready = dict.fromkeys(range(5), 0)
    for row in found:
        row[4] = max(row[3], ready[row[1]])
        row[5] = ready[row[1]] = row[4] + 100 * MS
    measured = analyse(evidence(found, plan), plan, SEED)
    assert codes(measured.validity) == {}
    assert measured.values.max() > 500 * MS


def test_a_lost_worker() -> None:
    plan = params(workers=1)
    lost = {"event": "lost", "worker": "local"}
    found = analyse(evidence(rows(plan), plan, more=[lost]), plan, SEED)
    assert codes(found.validity) == {"LOD-V02": "invalid", "LOD-V08": "info"}


# ---- the real thing --------------------------------------------------------------------------------------------------


def recorded(folder: Path, plan: Params) -> tuple[RunEvidence, Samples]:
    folder.mkdir(exist_ok=True)
    found = record(folder, capture, plan, SEED)
    return found, analyse(found, plan, SEED)


def invalid(measured: Samples) -> list[str]:
    return [code for code, severity in codes(measured.validity).items() if severity == "invalid"]


def test_a_server_that_holds_each_request(tmp_path: Path) -> None:
    log: list[str] = []
    with serving(20, log) as (port, _):
        found, measured = recorded(tmp_path, params(http(port)))
    assert invalid(measured) == []
    assert measured.facts["done"] == measured.facts["planned"] == 100
    assert 20 * MS <= np.median(measured.values) < 200 * MS
    assert measured.facts["statuses"] == {"200": len(log)}
    assert measured.facts["locust"]["requests"] == len(log)
    held = "user,seq,hold_ns\n" + "".join(log)
    streams = {name: found.open(name).read() for name in found.streams()}
    errors = paired_errors(TreeEvidence({**streams, "hold.csv": held.encode()}), params(http(port)), SEED)
    assert errors.size == 100
    assert errors.min() > 0
    assert paired_errors(found, params(http(port)), SEED).min() > 20  # without a log nothing was held


@contextmanager
def freezing(process: int, every_s: float = 5.0, for_s: float = 1.0) -> Iterator[None]:
    """The process stands still `for_s` in every `every_s`, to begin with after half of the moving time."""
    over = threading.Event()

    def work() -> None:
        over.wait((every_s - for_s) / 2)
        while not over.is_set():
            os.kill(process, signal.SIGSTOP)
            time.sleep(for_s)
            os.kill(process, signal.SIGCONT)
            over.wait(every_s - for_s)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_frozen_server_cannot_hide(tmp_path: Path) -> None:
    """1 s in every 5: a fifth of the schedule is late by half a second on average. locust's own numbers do not see it."""
    plan = {"users": 10, "rate": 20, "ramp_s": 0.5, "duration_s": 5}
    with serving(0, []) as (port, process), freezing(process):
        _, measured = recorded(tmp_path, params(http(port), **plan))
    p90 = float(np.quantile(measured.values, 0.9, method="inverted_cdf")) / MS
    assert invalid(measured) == []
    assert p90 >= 300
    assert measured.facts["locust"]["p90_ms"] < 100
    assert measured.facts["done"] == 1000


def test_a_server_that_is_too_slow_for_the_plan(tmp_path: Path) -> None:
    with serving(400, []) as (port, _):
        _, measured = recorded(tmp_path, params(http(port), timeout_s=0.5))
    assert "LOD-V01" in invalid(measured)
    assert measured.facts["done"] < measured.facts["planned"]
    assert np.isinf(measured.values).sum() == 100 - measured.facts["succeeded"]


def test_another_status_is_no_success(tmp_path: Path) -> None:
    with serving(0, []) as (port, _):
        target = {**http(port), "method": "POST", "size": 100}
        found, measured = recorded(tmp_path, params(target))
    agreed = analyse(found, params({**target, "expected": [501]}), SEED)
    assert np.isinf(measured.values).all()
    assert measured.facts["statuses"].keys() == {"501"}
    assert np.isfinite(agreed.values).all()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="LOD-E01"):
        recorded(tmp_path, params(http(free_port())))


def test_a_process_that_dies_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "DRIVER", "yanshou.probes.load.nothing")
    with serving(0, []) as (port, _), pytest.raises(ProbeError, match=r"LOD-E02.*nothing"):
        recorded(tmp_path, params(http(port)))


# ---- secrets ---------------------------------------------------------------------------------------------------------

NAME, SECRET = "loader", "pass-7c1f03"


def everything(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "login")


@pytest.mark.parametrize("tls", [False, True])
def test_a_broker_with_login(tmp_path: Path, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Any] = []
    real = subprocess.Popen

    def start(command: list[str], **more: Any) -> Any:
        if capturing.DRIVER in command:
            commands.append((command, more))
        return real(command, **more)

    monkeypatch.setattr(capturing.subprocess, "Popen", start)
    case = tmp_path / "case"
    case.mkdir()
    with mosquitto(tmp_path / "broker", login=(NAME, SECRET)) as broker:
        (case / "login").write_text(f"{NAME}\n{SECRET}\n")
        (case / "ca.pem").write_bytes(broker.ca.read_bytes())
        way = {"port": broker.tls_port, "tls": True, "ca": "ca.pem"} if tls else {"port": broker.port}
        target = {"kind": "mqtt", "host": "localhost" if tls else "127.0.0.1", "credentials": "login", **way}
        _, measured = recorded(case, params(target))
        _, refused = recorded(tmp_path / "other", params({**target, "credentials": None, "ca": None}))
    assert invalid(measured) == []
    assert np.isfinite(measured.values).all()
    assert np.isinf(refused.values).all()
    assert refused.facts["statuses"].keys() == {"tls" if tls else "refused"}
    assert SECRET.encode() not in everything(case)
    assert NAME.encode() not in everything(case)
    assert len(commands) == 2
    assert SECRET not in repr(commands)


def test_https_with_login(tmp_path: Path) -> None:
    made, seen = certificates(tmp_path / "keys"), set[str | None]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.add(self.headers["Authorization"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    case = tmp_path / "case"
    case.mkdir()
    (case / "login").write_text(f"{NAME}\n{SECRET}\n")
    (case / "ca.pem").write_bytes(made.ca.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = {"kind": "http", "url": f"https://localhost:{server.server_port}/p", "method": "PUT", "size": 9}
        known = {"expected": [204], "ca": "ca.pem", "credentials": "login"}
        _, measured = recorded(case, params({**target, **known}))
        server.shutdown()
    assert measured.facts["statuses"].keys() == {"204"}
    assert invalid(measured) == []
    encoded = b64encode(f"{NAME}:{SECRET}".encode())
    assert seen == {f"Basic {encoded.decode()}"}
    assert SECRET.encode() not in everything(case)
    assert encoded not in everything(case)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with serving(0, []) as (port, _):
        for wrong in ({"credentials": "nowhere"}, {"ca": "nowhere"}):
            with pytest.raises(ProbeError, match="LOD-E04"):
                recorded(tmp_path, params({**http(port), **wrong}))


# ---- virtual devices -------------------------------------------------------------------------------------------------


def test_three_hundred_virtual_devices(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        target = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "topic": "load/{user}/up"}
        _, measured = recorded(tmp_path / "case", params(target, users=300, rate=1, ramp_s=2, duration_s=3))
        log = broker.log.read_text()
    assert invalid(measured) == []
    assert measured.facts["planned"] == measured.facts["succeeded"] == 900
    assert np.isfinite(measured.values).all()
    assert all(f" as yanshou-load-{user} (" in log for user in range(300))
    assert log.count("Received PUBLISH from yanshou-load-299 (") >= 3
    assert "already connected" not in log


def test_a_device_reconnects_after_a_break() -> None:
    with running() as port:
        device = Device(("127.0.0.1", port), "one", 5)
        assert device.publish("a", b"x" * 200) == 208
        device.close()
        assert device.publish("a", b"") == 7
        device.close()
    with pytest.raises(ConnectionRefusedError):
        device.publish("a", b"")


def test_what_is_no_broker() -> None:
    with serving(0, []) as (port, _), pytest.raises(OSError, match="timed out"):
        Device(("127.0.0.1", port), "one", 0.5).publish("a", b"")


# ---- workers on other hosts ------------------------------------------------------------------------------------------


@contextmanager
def workers(port: int, *options: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "yanshou", "load-worker", "--master", f"127.0.0.1:{port}"]
    started = [
        subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        for more in options
    ]
    try:
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_two_workers_and_a_master(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "login").write_text(f"{NAME}\n{SECRET}\n")
    known = ("--credentials", str(tmp_path / "login"))
    with serving(20, []) as (target, _), workers(port, known, known) as started:
        plan = params({**http(target), "credentials": "login"}, users=7, workers=2, master_port=port)
        found, measured = recorded(tmp_path, plan)
        assert [process.wait(20) for process in started] == [0, 0]
    assert invalid(measured) == []
    assert measured.facts["planned"] == measured.facts["succeeded"] == 140
    assert sorted(w["users"] for w in measured.facts["workers"]) == [3, 4]
    assert all(abs(w["offset_ns"]) <= w["bound_ns"] + 5 * MS for w in measured.facts["workers"])
    assert codes(measured.validity)["LOD-V08"] == "info"
    assert measured.facts["locust"]["requests"] == len(found.open("requests.csv").read().splitlines()) - 1
    assert np.median(measured.values) >= 20 * MS
    assert SECRET.encode() not in everything(tmp_path)


def test_a_killed_worker_voids_the_run(tmp_path: Path) -> None:
    port = free_port()
    with serving(0, []) as (target, _), workers(port, (), ()) as started:
        plan = params(http(target), users=6, workers=2, master_port=port, duration_s=3)

        def kill() -> None:
            end = time.monotonic() + 60
            while time.monotonic() < end and not any(
                b"steady" in f.read_bytes() for f in tmp_path.rglob("events.jsonl")
            ):
                time.sleep(0.1)
            os.killpg(started[0].pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        _, measured = recorded(tmp_path, plan)
        killer.join()
    assert {"LOD-V01", "LOD-V02"} <= set(invalid(measured))


def test_a_master_port_that_is_taken(tmp_path: Path) -> None:
    with serving(0, []) as (port, _), pytest.raises(ProbeError, match=r"LOD-E02.*already in use"):
        recorded(tmp_path, params(http(port), workers=1, master_port=port))


def test_workers_that_do_not_come_or_lack_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    (tmp_path / "login").write_text(f"{NAME}\n{SECRET}\n")
    with serving(0, []) as (target, _):
        plan = params({**http(target), "credentials": "login"}, workers=1, master_port=port)
        with workers(port, ("--credentials", "nowhere")) as (lost,):
            assert lost.wait(20) == 2
            assert lost.stderr is not None
            assert b"LOD-E04" in lost.stderr.read()
        with workers(port, ()), pytest.raises(ProbeError, match="LOD-E05"):
            recorded(tmp_path, plan)
        monkeypatch.setattr(capturing, "WORKERS_S", 1.0)
        with pytest.raises(ProbeError, match="LOD-E03"):
            recorded(tmp_path, plan)


# ---- beside another measurement --------------------------------------------------------------------------------------


@contextmanager
def reflecting() -> Iterator[int]:
    """A reflector on loopback; its port."""
    stop, ports = threading.Event(), queue.Queue[int]()
    arguments = {"stop": stop, "ready": lambda _host, port: ports.put(port)}
    thread = threading.Thread(target=reflect, args=("127.0.0.1", 0), kwargs=arguments)
    thread.start()
    try:
        yield ports.get(timeout=20)
    finally:
        stop.set()
        thread.join()


def accompanying(target: int, **changes: Any) -> dict[str, Any]:
    return {"target": http(target), "users": 5, "rate": 10, "ramp_s": 0.5, "timeout_s": 2, **changes}


@pytest.mark.parametrize("dies", [False, True])
def test_round_trips_under_load(tmp_path: Path, dies: bool) -> None:
    with serving(0, []) as (target, process), reflecting() as port:
        settings = {"host": "127.0.0.1", "port": port, "count": 150, "warmup": 5, "load": accompanying(target)}
        plan = rtt.Params.model_validate(settings)

        def watch(news: Progress) -> None:
            if dies and news.done > 20:
                os.kill(process, signal.SIGKILL)

        def under_load(plan: rtt.Params, run: RunContext) -> None:
            rtt_capture(plan, replace(run, progress=watch))

        found = record(tmp_path, under_load, plan, SEED)
    measured = rtt_analyse(found, plan, SEED)
    texts = {v.code: v.text for v in measured.validity}
    assert codes(measured.validity)["RTT-V20"] == "info"
    assert "5 个用户，计划 50 次/秒" in texts["RTT-V20"]
    assert {"load/requests.csv", "load/events.jsonl"} <= set(found.streams())
    if dies:
        assert codes(measured.validity)["RTT-V21"] == "invalid"
        assert "不足 99%" in texts["RTT-V21"]
    else:
        assert "RTT-V21" not in texts
        sent = {
            int(line.split(b",")[3]) for line in found.open("packets.csv").read().splitlines()[1:] if b"measure" in line
        }
        asked = [int(line.split(b",")[4]) for line in found.open("load/requests.csv").read().splitlines()[1:]]
        assert min(asked) < min(sent)
        assert max(sent) - max(asked) < 1000 * MS
        assert measured.facts["load"]["succeeded"] >= 0.99 * measured.facts["load"]["planned"] > 0


def test_a_load_that_was_cut_off_is_none(tmp_path: Path) -> None:
    plan = params()
    streams = evidence(rows(plan), plan, cut=True)
    whole = TreeEvidence({f"load/{name}": streams.open(name).read() for name in streams.streams()})
    assert any("没有正常结束" in why for why in accompaniment(whole, plan, SEED).faults)
    assert accompaniment(TreeEvidence({}), plan, SEED).faults


def test_a_load_that_does_not_begin_stops_the_measurement(tmp_path: Path) -> None:
    def measure(plan: Params, run: RunContext) -> None:
        with generating(plan, run):
            raise AssertionError("measured without load")

    with pytest.raises(ProbeError, match="LOD-E01"):
        record(tmp_path, measure, params(http(free_port())))


@pytest.mark.parametrize("hold_ms", [0, 700])
def test_devices_counted_under_load(tmp_path: Path, hold_ms: int) -> None:
    (tmp_path / "r.csv").write_text("sn,client\nA1,yanshou-load-1\nA2,c2\n")
    with running() as broker, serving(hold_ms, []) as (target, _):
        virtual = {"kind": "mqtt", "host": "127.0.0.1", "port": broker, "topic": "f/{user}"}
        source = {
            "kind": "mqtt",
            "host": "127.0.0.1",
            "port": broker,
            "topics": ["f/+"],
            "identities": {"serial": "/sn"},
        }
        load = accompanying(target) if hold_ms else {**accompanying(target), "target": virtual}
        plan = devices.Params.model_validate(
            {"register": {"file": "r.csv", "id": "sn"}, "sources": [source], "window_s": 1, "load": load}
        )
        measured = devices_analyse(record(tmp_path, devices_capture, plan, SEED), plan, SEED)
    assert measured.net == 0
    assert codes(measured.validity)["DEV-V20"] == "info"
    assert codes(measured.validity).get("DEV-V21") == ("invalid" if hold_ms else None)
    assert measured.facts["load"]["kind"] == ("http" if hold_ms else "mqtt")
    assert measured.facts["status"].get("unregistered") == (None if hold_ms else 5)


def test_a_source_must_not_be_called_like_the_load() -> None:
    source = {"kind": "mqtt", "name": "load", "host": "h", "topics": ["a"]}
    values = {"register": {"file": "r.csv", "id": "sn"}, "sources": [source]}
    assert devices.Params.model_validate(values).load is None
    with pytest.raises(ValidationError, match="来源不能叫 load"):
        devices.Params.model_validate({**values, "load": accompanying(1)})


def test_the_measuring_process_never_loads_locust() -> None:
    script = "import sys; import yanshou.probes.load.capture, yanshou.probes.load.analyse, yanshou.probes.rtt.analyse\n"
    script += "assert not {'locust', 'gevent'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("wrong", ["host", "host:", ":1", "h:99999"])
def test_a_worker_must_know_its_master(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["load-worker", "--master", wrong])
    assert left.value.code == 2
    assert "E-MASTER" in capsys.readouterr().err
