"""The standard of the `rtt` probe: an authenticated reflector, and before it a path that holds every packet for a known time.

It is for calibration. Whatever it starts is a process of its own, which shares no interpreter with the sender and ends when
its standard input closes, so that nothing outlives whoever started it. The truth is the path's log, never the set value.
Where the process has the rights the path is a tunnel between two hosts of its own, whose clock is not that of the probe's
stamps; else a relay on loopback. Point 0 has no path at all: what the probe reads there is its floor. Bare Python 3.8.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.forwarder import LOOPBACK
from yanshou.probes.rtt.hold import HOLD_COLUMNS, true_holds
from yanshou.probes.rtt.namespaces import Host, host, inside
from yanshou.probes.rtt.reflector import reflect
from yanshou.probes.rtt.secret import load_key, new_key_file
from yanshou.probes.rtt.streams import HOLD

POINTS = (0, 0.5, 1.0, 2.0, 4.0)
"""Added delays, ms; 0 is the floor."""
WARMUP = 50
FLOOR: dict[str, Any] = {"count": 10_000, "interval_ms": 1, "min_interval_ms": 0.5, "warmup": WARMUP, "timeout_ms": 500}
DELAYED: dict[str, Any] = {"count": 500, "interval_ms": 2, "warmup": WARMUP, "timeout_ms": 500}
USABLE = 0.5
"""Share of the packets whose hold must be known without doubt."""
NEAR, FAR = "198.18.0.1", "198.18.0.2"
"""Of the block that is reserved for benchmarks (RFC 2544)."""
FORWARDER = "yanshou.probes.rtt.forwarder"
FLOOR_BASIS = "回环接口上自己的认证反射器，路径上没有附加时延：示值即仪器本底"
TUNNEL_BASIS = "两个网络命名空间之间的 TUN 转发器按自己的时钟(MONOTONIC_RAW)逐包记录的保持时间（去程加回程）之中位数"
RELAY_BASIS = (
    "回环接口上的 UDP 中继逐包记录的保持时间（内核收戳至发戳，去程加回程）之中位数；"
    "用独立时钟的 TUN 标准器需要 CAP_NET_ADMIN、CAP_SYS_ADMIN、CAP_SYS_NICE(root 即可）、/dev/net/tun 与至少 2 个 CPU"
)


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A path that holds packets for `true_value` ms. Writes hold.csv and truth.json after an undisturbed measurement.

    Raises ProbeError RTT-E07 when it does not start, was itself interrupted, or does not hand over its log.
    """
    path = direct if true_value == 0 else tunnel if has_rights() else relay
    with tempfile.TemporaryDirectory(prefix="yanshou-") as folder:
        key = Path(folder) / "key"
        new_key_file(key)
        with path(true_value, key, run) as values:
            yield values


@contextmanager
def direct(_true_value: float, key: Path, run: RunContext) -> Iterator[dict[str, Any]]:
    """A reflector on loopback and nothing before it."""
    with process(__name__, (key, LOOPBACK)) as port:
        yield {"host": LOOPBACK, "port": port, "key_file": str(key), **FLOOR}
    write_truth(run, 0.0, FLOOR["count"], FLOOR_BASIS)


@contextmanager
def tunnel(true_value: float, key: Path, run: RunContext) -> Iterator[dict[str, Any]]:
    """This thread on one host, a reflector on another, a forwarder between them. Needs the rights.

    The forwarder has a processor for itself, as far as this thread and the reflector are concerned.
    """
    log: list[str] = []
    with ExitStack() as stack:
        near, far = stack.enter_context(tunnelled(true_value, log))
        with inside(far):
            port = stack.enter_context(process(__name__, (key, FAR)))
        with inside(near):
            yield {"host": FAR, "port": port, "key_file": str(key), **DELAYED}
    write_holds(run, log, TUNNEL_BASIS)


@contextmanager
def tunnelled(true_value: float, log: list[str]) -> Iterator[tuple[Host, Host]]:
    """Two hosts, NEAR and FAR, and a forwarder between them, whose log is in `log` after the block. Needs the rights."""
    *others, own = sorted(os.sched_getaffinity(0))
    with host(NEAR, FAR) as near, host(FAR, NEAR) as far, ExitStack() as stack:
        ends = near.tunnel, far.tunnel
        with _on_processors([own]):
            stack.enter_context(process(FORWARDER, ("tunnel", round(true_value * 1e6), *ends), log, ends))
        stack.enter_context(_on_processors(others))
        yield near, far


@contextmanager
def relay(true_value: float, key: Path, run: RunContext) -> Iterator[dict[str, Any]]:
    """A relay on loopback and a reflector behind it. Needs no rights."""
    log: list[str] = []
    with ExitStack() as stack:
        far = stack.enter_context(process(__name__, (key, LOOPBACK)))
        near = stack.enter_context(process(FORWARDER, ("relay", round(true_value * 1e6), far), log))
        yield {"host": LOOPBACK, "port": near, "key_file": str(key), **DELAYED}
    write_holds(run, log, RELAY_BASIS)


def has_rights() -> bool:
    """Whether a tunnel can be made and kept undisturbed, by trying: a capability does not tell what a container forbids."""
    found = []

    def attempt() -> None:  # in a thread of its own, which takes its priority with it when it ends
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            with host(NEAR, FAR) as place, inside(place):
                found.append(len(os.sched_getaffinity(0)) > 1)
        except (OSError, AttributeError):  # AttributeError: another system's libraries
            pass

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return any(found)


def write_holds(run: RunContext, log: list[str], basis: str, count: int = DELAYED["count"]) -> None:
    """hold.csv and truth.json of one standard of `count` packets. Raises ProbeError RTT-E07 where too few holds are known."""
    run.sink.stream(HOLD).write("".join((HOLD_COLUMNS, "\n", *log)).encode())
    holds = [hold for sequence, hold in true_holds(log).items() if sequence >= WARMUP]
    if len(holds) < USABLE * count:
        text = f"标准器自身被打断：{count} 包中只有 {len(holds)} 包的保持时间确知"
        raise ProbeError("RTT-E07", text, "关闭本机的其他负载后重试")
    write_truth(run, median(holds) / 1e6, len(holds), basis)


def write_truth(run: RunContext, true_value: float, number: int, basis: str) -> None:
    """truth.json: the true value in ms of `number` packets."""
    truth = {"true": true_value, "unit": "ms", "n": number, "basis": basis}
    run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _on_processors(numbers: Sequence[int]) -> Iterator[None]:
    """This thread, and what it starts, runs on these."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def process(
    module: str, arguments: Sequence[object], log: list[str] | None = None, descriptors: Sequence[int] = ()
) -> Iterator[int]:
    """A module as a process; the port that it says first. What it says in the end goes to `log` if the block ended well."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=descriptors,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # also out of an archive
    ) as child:
        assert child.stdout is not None
        try:
            port = child.stdout.readline().strip()
            if not port:
                raise _failed(child)
            yield int(port)
            said, _ = child.communicate(timeout=10)
        except BaseException:
            child.kill()
            raise
        if child.returncode:
            raise _failed(child)
    if log is not None:
        log += said.splitlines(keepends=True)


def _failed(child: subprocess.Popen[str]) -> ProbeError:
    last = (child.communicate()[1].strip() or "无输出").splitlines()[-1]
    return ProbeError("RTT-E07", f"标准器未能运行：{last}", "确认本机回环接口可用后重试")


def serve(key: Path, address: str) -> None:
    """The reflector's process: its port on standard output; it ends when standard input closes."""
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stop.set()

    def announce(_host: str, port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    threading.Thread(target=wait_for_end, daemon=True).start()
    reflect(address, 0, key=load_key(key), stop=stop, ready=announce)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
