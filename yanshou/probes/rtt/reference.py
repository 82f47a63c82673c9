"""The standard of the `rtt` probe: a reflector on loopback that holds every packet for a set time and logs what it truly did.

It is for calibration. It runs in a process of its own, so that it does not share an interpreter with the sender, and ends
when its standard input closes, so that it never outlives whoever started it. The truth is its log, never the set value.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.reflector import reflect

POINTS = (0.5, 1.0, 2.0, 4.0)
"""Added delays, ms."""
HOST = "127.0.0.1"
WARMUP = 20
BASIS = "回环接口上的反射器逐包记录的保持时间（内核收戳至内核发戳）之中位数；示值误差为正，是协议栈两端的传输时间"


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A reflector that holds packets for `true_value` ms. Writes hold.csv and truth.json after an undisturbed measurement.

    Raises ProbeError RTT-E07 when it does not start or does not hand over its log.
    """
    command = [sys.executable, "-m", __name__, str(true_value / 1000)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        try:
            port = child.stdout.readline().strip()
            if not port:
                raise _failed(child)
            yield {"host": HOST, "port": int(port), "count": 300, "interval_ms": 2, "warmup": WARMUP, "timeout_ms": 500}
            log, _ = child.communicate(timeout=10)
        except BaseException:
            child.kill()
            raise
        if child.returncode:
            raise _failed(child)
    rows = [line.split(",") for line in log.splitlines()]
    holds = [int(hold) for seq, hold in rows if int(seq) >= WARMUP]
    run.sink.stream("hold.csv").write(("seq,hold_ns\n" + log).encode())
    truth = {"true": median(holds) / 1e6, "unit": "ms", "n": len(holds), "basis": BASIS}
    run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")


def _failed(child: subprocess.Popen[str]) -> ProbeError:
    last = (child.communicate()[1].strip() or "无输出").splitlines()[-1]
    return ProbeError("RTT-E07", f"标准器未能运行：{last}", "确认本机回环接口可用后重试")


def serve(delay_s: float) -> None:
    """The child process: the port on standard output, then, once standard input has closed, the log."""
    stop, holds = threading.Event(), list[str]()

    def wait_for_end() -> None:
        sys.stdin.read()
        stop.set()

    def announce(_host: str, port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    threading.Thread(target=wait_for_end, daemon=True).start()
    reflect(HOST, 0, delay_s=delay_s, stop=stop, ready=announce, log=lambda seq, hold: holds.append(f"{seq},{hold}\n"))
    sys.stdout.writelines(holds)


if __name__ == "__main__":
    serve(float(sys.argv[1]))
