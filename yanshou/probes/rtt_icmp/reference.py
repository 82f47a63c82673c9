"""The standard of the `rtt.icmp` probe: this kernel's own echo, and before it the path of the `rtt` standard that logs its holds.

It is for calibration. The truth is the path's log, never the set value. There is no far process at all: the kernel of another
network namespace answers. Point 0 is loopback, where the probe reads its floor. Bare Python 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.forwarder import LOOPBACK
from yanshou.probes.rtt.namespaces import inside
from yanshou.probes.rtt.reference import (
    DELAYED,
    FAR,
    FLOOR,
    POINTS,
    TUNNEL_BASIS,
    has_rights,
    tunnelled,
    write_holds,
    write_truth,
)
from yanshou.probes.rtt.sender import errors_of

__all__ = ["POINTS", "standard"]

FLOOR_BASIS = "回环接口上本机内核的 ICMP 应答，路径上没有附加时延：示值即仪器本底"


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A path that holds packets for `true_value` ms. Writes hold.csv and truth.json after an undisturbed measurement.

    Raises ProbeError ICM-E07 when it does not start, was itself interrupted, or does not hand over its log.
    """
    if true_value == 0:
        yield {"host": LOOPBACK, **FLOOR}
        write_truth(run, 0.0, FLOOR["count"], FLOOR_BASIS)
        return
    if not has_rights():
        raise ProbeError(
            "ICM-E07",
            "ICMP 的时延标准器要用网络命名空间，本用户没有权限",
            "以 root 校准（同一会话的校准 12 小时内有效），或用 rtt 加反射器",
        )
    log: list[str] = []
    with errors_of("ICM"):
        with tunnelled(true_value, log) as (near, _), inside(near):
            yield {"host": FAR, **DELAYED}
        write_holds(run, log, TUNNEL_BASIS)
