"""The standard of the `load` probe: an HTTP server that holds each request for a known time and logs how long it truly did.

It is for calibration. The server is a process of its own, shares no interpreter with the load, and ends when its standard input
closes. The truth is its log, never the set value.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.load.streams import HOLD, HOLD_COLUMNS, REQUEST_ID
from yanshou.probes.rtt.timing import punctual

POINTS = (0.0, 50.0, 200.0)
"""How long each request is held, ms; 0 is the floor."""
LOOPBACK = "127.0.0.1"
HELD: dict[str, Any] = {"users": 10, "rate": 4, "ramp_s": 1, "duration_s": 5, "timeout_s": 5}
FLOOR: dict[str, Any] = {**HELD, "rate": 20}
FLOOR_BASIS = "回环接口上立即应答的 HTTP 服务器：示值（自计划时刻，含负载进程与服务器进程的调度）即仪器本底"
BASIS = "回环接口上的 HTTP 服务器逐个请求记录的持有时间（收完请求头至开始应答，同一主机的 MONOTONIC）之中位数"
END_S = 10
PROMPT = "prompt"
"""Argument of a server that must answer as soon as it can, whatever else the host does."""


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A server that holds requests for `true_value` ms. Writes hold.csv and truth.json. Raises ProbeError LOD-E06."""
    log: list[str] = []
    with serving(true_value, log) as (port, _):
        yield {"target": {"kind": "http", "url": f"http://{LOOPBACK}:{port}/"}, **(HELD if true_value else FLOOR)}
    holds = [int(line.split(",")[2]) for line in log]
    if not holds:
        raise ProbeError("LOD-E06", "标准器没有收到请求", "确认本机回环接口可用后重试")
    true, basis = 0.0, FLOOR_BASIS
    if true_value:
        true, basis = median(holds) / 1e6, BASIS
        run.sink.stream(HOLD).write("".join((HOLD_COLUMNS, "\n", *log)).encode())
    truth = {"true": true, "unit": "ms", "n": len(holds), "basis": basis}
    run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")


@contextmanager
def serving(hold_ms: float, log: list[str]) -> Iterator[tuple[int, int]]:
    """The server's port and process id; what it held goes to `log` in the end. Raises ProbeError LOD-E06."""
    command = [sys.executable, "-m", __name__, str(hold_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            port = child.stdout.readline().strip()
            if not port.isdecimal():
                raise ProbeError("LOD-E06", "标准器没有启动", "确认本机可以监听环回接口 127.0.0.1 后重试")
            yield int(port), child.pid
            log += child.communicate(timeout=END_S)[0].splitlines(keepends=True)
        finally:
            child.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    hold_s = 0.0
    prompt = False
    held: list[tuple[str, int]] = []  # noqa: RUF012  of the process, not of one connection

    def handle(self) -> None:
        """One connection, in a thread of its own."""
        with punctual() if self.prompt else nullcontext():
            super().handle()

    def do_GET(self) -> None:
        """Hold, answer, note."""
        came = time.monotonic_ns()
        if self.hold_s:
            time.sleep(self.hold_s)
        went = time.monotonic_ns()
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")
        self.held.append((self.headers.get("X-Request-Id", ""), went - came))

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def serve(hold_ms: float, prompt: bool) -> None:
    """The server's process: its port on standard output; in the end its log. `prompt`: as `timing.punctual` makes it."""
    _Handler.hold_s, _Handler.prompt = hold_ms / 1000, prompt
    with _Server((LOOPBACK, 0), _Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201  the parent reads it
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        head = REQUEST_ID.split("{", 1)[0]
        for name, hold in _Handler.held:
            if name.startswith(head):
                print(",".join((*name[len(head) :].split("-"), str(hold))))  # noqa: T201
        server.shutdown()


if __name__ == "__main__":
    serve(float(sys.argv[1]), PROMPT in sys.argv[2:])
