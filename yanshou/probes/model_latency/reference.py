"""The standard of the `model.latency` probe: a streaming server of known delays, which logs how long each answer truly took.

It is for calibration. The server is a process of its own, shares no interpreter with the probe, and ends when its standard input
closes. The truth is its log, never the set value. Bare Python 3.8.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.model_latency.server import LOOPBACK, Behaviour
from yanshou.probes.model_latency.streams import HOLD, HOLD_COLUMNS

POINTS = (0.0, 20.0, 100.0)
"""How long a whole answer takes, ms; 0 is the floor."""
COUNTS = {0.0: 300, 20.0: 150, 100.0: 100}
"""Enough that the p99 of the errors is not simply the largest."""
WARMUP = 10
TOKENS = 5
FLOOR_BASIS = "回环接口上立即以一个词元流式作答的服务器：示值（自发出请求至应答结束）即仪器本底"
BASIS = "回环接口上的流式服务器按自己的单调时钟逐个记录的用时（收完请求至写出末尾之前）之中位数"
END_S = 10


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A server whose answers take `true_value` ms. Writes hold.csv and truth.json. Raises ProbeError LAT-E07."""
    behaviour = Behaviour(tokens=1)
    if true_value:
        behaviour = Behaviour(first=true_value / 5, token=true_value / 5, tokens=TOKENS)
    log: list[str] = []
    with tempfile.TemporaryDirectory(prefix="yanshou-") as folder, serving(behaviour, log) as port:
        pool = Path(folder) / "pool.jsonl"
        write_pool(pool, WARMUP + COUNTS[true_value])
        yield {
            "kind": "openai", "url": f"http://{LOOPBACK}:{port}/v1/chat/completions", "pool": str(pool), "metric": "e2e",
            "count": COUNTS[true_value], "warmup": WARMUP, "timeout_s": 5.0, "quiet_s": 0.0,
        }  # fmt: skip
    holds = [int(line.split(",")[2]) for line in log]
    if len(holds) < COUNTS[true_value]:
        raise ProbeError("LAT-E07", f"标准器只记录了 {len(holds)} 个请求", "关闭本机的其他负载后重试")
    true, basis = 0.0, FLOOR_BASIS
    if true_value:
        true, basis = median(holds) / 1e6, BASIS
        run.sink.stream(HOLD).write("".join((HOLD_COLUMNS, "\n", *log)).encode())
    truth = {"true": true, "unit": "ms", "n": len(holds), "basis": basis}
    run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")


def write_pool(path: Path, lines: int) -> None:
    """So many different inputs."""
    text = "".join(
        json.dumps({"prompt": f"{n * 7919 % 1_000_003} 路口左转"}, ensure_ascii=False) + "\n" for n in range(lines)
    )
    path.write_text(text, encoding="utf-8")


@contextmanager
def serving(behaviour: Behaviour, log: list[str]) -> Iterator[int]:
    """The server's port; what it did goes to `log` in the end. Raises ProbeError LAT-E07."""
    command = [sys.executable, "-m", "yanshou.probes.model_latency.server", behaviour.argument()]
    paths = os.pathsep.join(filter(None, sys.path))  # also out of an archive
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as child:
        assert child.stdout is not None
        try:
            port = child.stdout.readline().strip()
            if not port.isdecimal():
                raise ProbeError("LAT-E07", "标准器没有启动", "确认本机可以监听环回接口 127.0.0.1 后重试")
            yield int(port)
            log += child.communicate(timeout=END_S)[0].splitlines(keepends=True)[1:]
        finally:
            child.kill()
