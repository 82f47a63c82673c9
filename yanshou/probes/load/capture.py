"""Starts the process that makes the load, and writes down what it says.

It is for recording. locust must never be loaded here: it would patch the interpreter in which another probe measures. A password
goes from its file to the standard input of that process and nowhere else.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.login import name_and_secret
from yanshou.probes.load.schedule import Plan
from yanshou.probes.load.spec import Http, Load, Params
from yanshou.probes.load.streams import EVENTS, PREFIX, REQUEST_COLUMNS, REQUESTS

DRIVER = "yanshou.probes.load.driver"
REACH_S = 5.0
WORKERS_S = 60.0
"""How long workers may take to come."""
BEGIN_S = 120.0
"""Until all have joined, beyond the ramp: workers come, processes start."""
END_S = 20.0
"""Until the process has handed everything in, beyond the longest request."""
TICK_S = 0.2

_TROUBLE = {
    "LOD-E03": (
        "负载工作机没有到齐",
        "在每台负载主机上运行 yanshou load-worker --master 本机:端口，检查防火墙与 workers 台数",
    ),
    "LOD-E05": (
        "有负载工作机没有凭据",
        "在那台主机上用 yanshou load-worker --credentials 文件 重新启动；口令不经网络传送",
    ),
}


def capture(params: Params, run: RunContext) -> None:
    """Record one load from its first request to its last. Raises ProbeError LOD-E01 (target), E02 (process), E03, E05 (workers),
    E04 (credentials, CA)."""
    planned = _planned(params, run.seed)
    with _driving(params, run, run, params.duration_s) as driver:
        while driver.thread.is_alive():
            driver.thread.join(TICK_S)
            run.progress(Progress(min(driver.done, planned), planned, driver.failed))
        driver.require_begun()


def _planned(params: Params, seed: int) -> int:
    """Requests in all, those of the ramp included."""
    plan = Plan.of(params, seed)
    end_ns = plan.ramp_ns + round(params.duration_s * 1e9)
    return sum(plan.count(user, end_ns) for user in range(plan.users))


@contextmanager
def generating(load: Load, run: RunContext) -> Iterator[None]:
    """The load is on, with all its users, while the block runs; evidence below PREFIX. What breaks off then is a finding.

    Raises ProbeError as `capture` does, before the block begins.
    """
    part = RunContext(run.sink.sub(PREFIX), run.seed, run.folder, run.subject)
    with _driving(load, part, run, None) as driver:
        deadline = time.monotonic() + load.ramp_s + BEGIN_S
        while not driver.steady.wait(TICK_S) and driver.thread.is_alive() and time.monotonic() < deadline:
            run.progress(Progress(0, 0, text=f"负载加入中，已发 {driver.done} 次"))
        driver.require_begun()
        yield


class _Driver:
    """The child and the thread that takes what it says into evidence."""

    def __init__(self, child: subprocess.Popen[bytes], errors: IO[bytes], run: RunContext) -> None:
        self._child, self._errors = child, errors
        self._requests, self._events = run.sink.stream(REQUESTS), run.sink.stream(EVENTS)
        self._requests.write(REQUEST_COLUMNS.encode() + b"\n")
        self.done = self.failed = 0
        self.steady = threading.Event()
        self._trouble = ""
        self._failure: OSError | None = None
        self.thread = threading.Thread(target=self._listen, name="load", daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        try:
            assert self._child.stdout is not None
            for line in self._child.stdout:
                event = json.loads(line)
                if event["event"] == "rows":
                    self._requests.write(self._child.stdout.read(event["bytes"]))
                    self.done, self.failed = self.done + event["n"], self.failed + event["failed"]
                else:
                    self._take({"t": time.time_ns(), **event})
        except OSError as error:  # of the disk: told to the thread that waits
            self._failure = error

    def _take(self, event: dict[str, Json]) -> None:
        self._events.write(json.dumps(event, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        if event["event"] == "trouble":
            self._trouble = str(event["code"])
        if event["event"] == "steady":
            self.steady.set()

    def require_begun(self) -> None:
        """Raises ProbeError when the load never got to its full size, OSError when the disk refused."""
        if self._failure is not None:
            raise self._failure
        if self._trouble:
            raise ProbeError(self._trouble, *_TROUBLE[self._trouble])
        if not self.steady.is_set():
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip().splitlines() or ["无输出"]
            raise ProbeError(
                "LOD-E02", f"负载进程没有运行起来：{said[-1][:200]}", "确认本机装有 locust，端口没有被占用"
            )

    def end(self, patience_s: float) -> None:
        """Let it hand in what it has; a process that does not is ended."""
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.close()
        self.thread.join(patience_s)
        self._child.kill()
        self._child.wait()
        self.thread.join()


@contextmanager
def _driving(load: Load, part: RunContext, run: RunContext, duration_s: float | None) -> Iterator[_Driver]:
    job = _job(load, run, duration_s)
    if not load.workers:
        _reach(load)
    command = [sys.executable, "-m", DRIVER]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        ) as child,
    ):
        driver = _Driver(child, errors, part)
        try:
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # it died at once: what it said last is told
                child.stdin.write(json.dumps(job).encode() + b"\n")
                child.stdin.flush()
            yield driver
        finally:
            driver.end(load.timeout_s + END_S)


def _job(load: Load, run: RunContext, duration_s: float | None) -> dict[str, Any]:
    """What the process is told: the plan as numbers, and what is in the files that the parameters name."""
    target, plan = load.target, Plan.of(load, run.seed)
    login = name_and_secret(run.folder, target.credentials, "LOD-E04") if target.credentials else None
    end_ns = None if duration_s is None else plan.ramp_ns + round(duration_s * 1e9)
    return {
        "target": target.model_dump(mode="json"),
        "good": sorted(target.good),
        "plan": {"users": plan.users, "gap_ns": plan.gap_ns, "ramp_ns": plan.ramp_ns, "seed": plan.seed},
        "end_ns": end_ns,
        "timeout_s": load.timeout_s,
        "ca": _ca(run.folder, target.ca) if target.ca else None,
        "login": login,
        "needs_login": login is not None,
        "workers": load.workers,
        "workers_s": WORKERS_S,
        "master_host": load.master_host,
        "master_port": load.master_port,
    }


def _ca(folder: Path, name: str) -> str:
    import ssl

    try:
        text = (folder / name).read_text(encoding="ascii")
        ssl.create_default_context(cadata=text)
    except (OSError, UnicodeError, ssl.SSLError, ValueError):
        raise ProbeError("LOD-E04", f"CA 文件 {name} 读不出来", "检查 target.ca 的路径；PEM 格式") from None
    return text


def _reach(load: Load) -> None:
    """Somebody listens at the target. Raises ProbeError LOD-E01."""
    host, port = load.target.endpoint
    try:
        socket.create_connection((host, port), REACH_S).close()
    except (OSError, UnicodeError) as error:
        what = "平台" if isinstance(load.target, Http) else "MQTT 代理"
        why = getattr(error, "strerror", None) or str(error)
        raise ProbeError("LOD-E01", f"连不上{what} {host}:{port}：{why}", "检查 target 的地址、端口与防火墙") from None


def work(master: str, port: int, credentials: Path | None) -> int:
    """Serve a master on another host, in a process of its own; its exit code."""
    command = [sys.executable, "-m", DRIVER, "worker", master, str(port)]
    return subprocess.call([*command, str(credentials.resolve())] if credentials else command)
