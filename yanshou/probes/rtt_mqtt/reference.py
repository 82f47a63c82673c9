"""The standard of the `rtt.mqtt` probe: a broker of our own that holds each message for a known time and logs how long it did.

It is for calibration. The broker is a process of its own. The truth is its log, never the set value. At point 0 it holds
nothing: what the probe reads there, of which the broker's own work is a part, is its floor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.forwarder import LOOPBACK
from yanshou.probes.rtt.reference import WARMUP, process, write_holds, write_truth
from yanshou.probes.rtt.sender import errors_of

POINTS = (0, 5.0, 20.0, 50.0)
"""For how long the broker holds a message, ms; 0 is the floor."""
FLOOR: dict[str, Any] = {"count": 3000, "interval_ms": 3, "warmup": WARMUP, "timeout_ms": 500}
HELD: dict[str, Any] = {"count": 300, "interval_ms": 5, "warmup": WARMUP, "timeout_ms": 500}
BROKER = "yanshou.probes.mqtt_broker"
FLOOR_BASIS = "回环接口上立即转发的内置 MQTT 代理：示值（含代理进程与客户端库的处理）即仪器本底"
BASIS = "回环接口上的内置 MQTT 代理逐条记录的持有时间（读完消息至开始转发，同一主机的 MONOTONIC）之中位数"


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A broker that holds messages for `true_value` ms. Writes truth.json, and hold.csv where anything is held.

    Raises ProbeError RTM-E07 when it does not start, or does not hand over its log.
    """
    log: list[str] = []
    traffic = HELD if true_value else FLOOR
    with errors_of("RTM"):
        with process(BROKER, (round(true_value * 1e6),), log) as port:
            yield {"host": LOOPBACK, "port": port, **traffic}
        if true_value:
            write_holds(run, log, BASIS, traffic["count"])
        else:
            write_truth(run, 0.0, traffic["count"], FLOOR_BASIS)
