"""The standard of the `rtt.http` probe: the HTTP server of the `load` standard, which logs how long it held each request.

It is for calibration. The server is a process of its own. The truth is its log, never the set value. At point 0 it holds
nothing: what the probe reads there, of which the server's own work is a part, is its floor. Bare Python 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yanshou.probes.capturing import RunContext
from yanshou.probes.load import reference as server
from yanshou.probes.rtt.forwarder import LOOPBACK
from yanshou.probes.rtt.hold import hold_row
from yanshou.probes.rtt.reference import WARMUP, process, write_holds, write_truth
from yanshou.probes.rtt.sender import errors_of

POINTS = (0, 5.0, 20.0, 50.0)
"""For how long the server holds a request, ms; 0 is the floor."""
FLOOR: dict[str, Any] = {"count": 3000, "interval_ms": 3, "warmup": WARMUP, "timeout_ms": 500, "connections": 4}
HELD: dict[str, Any] = {"count": 300, "interval_ms": 10, "warmup": WARMUP, "timeout_ms": 500, "connections": 32}
"""So many connections that no request waits for one: what is compared is a hold, and not a queue."""
FLOOR_BASIS = "回环接口上立即应答的 HTTP 服务器：示值（含服务器进程与客户端库的处理）即仪器本底"
BASIS = "回环接口上的 HTTP 服务器逐个请求记录的持有时间（收完请求头至开始应答，同一主机的 MONOTONIC）之中位数"


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A server that holds requests for `true_value` ms. Writes truth.json, and hold.csv where anything is held.

    Raises ProbeError RTH-E07 when it does not start, or does not hand over its log.
    """
    log: list[str] = []
    traffic = HELD if true_value else FLOOR
    with errors_of("RTH"):
        with process(server.__name__, (true_value, server.PROMPT), log) as port:
            yield {"url": f"http://{LOOPBACK}:{port}/", **traffic}
        if true_value:
            write_holds(run, [row for line in log for row in _rows(line)], BASIS, traffic["count"])
        else:
            write_truth(run, 0.0, traffic["count"], FLOOR_BASIS)


def _rows(line: str) -> Iterator[str]:
    """What the server says of one request, as a path would: nothing holds it on the way back."""
    _, sequence, hold = map(int, line.split(","))
    yield hold_row(sequence, hold, 0, "out")
    yield hold_row(sequence, 0, 0, "back")
