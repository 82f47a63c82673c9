"""What the `rtt.icmp` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a socket.
"""

from __future__ import annotations

from pydantic import Field

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.rtt.mirrored import LEAST
from yanshou.probes.rtt.spec import LARGEST, Destination, sending_estimate


class Params(Destination):
    """Where to, how many echo requests, how large and how often."""

    size: int = Field(
        default=56,
        ge=LEAST,
        le=LARGEST,
        description="ICMP 数据字节数（不含 8 字节 ICMP 头）；超过路径 MTU 会被分片，不要超过",
    )


SPEC = ProbeSpec(
    name="rtt.icmp",
    version="1",
    title="往返时延(ICMP)",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=0.1,
    document="docs/probes/p-011-rtt.icmp.md",
    equipment=(
        "发送端主机(Linux，内核时间戳；root、CAP_NET_RAW 或 ping_group_range 准许)",
        "对端设备（应答 ICMP Echo，不装任何软件）",
        "被测网络两端的接入",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """What `sending_estimate` says."""
    return sending_estimate(params, samples)
