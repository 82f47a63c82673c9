"""What the `rtt.http` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a socket, nor hold a password: only the name of the file that does.
"""

from __future__ import annotations

from pydantic import Field

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.load.spec import HttpRequest
from yanshou.probes.rtt.spec import Sending, sending_estimate


class Params(Sending, HttpRequest):
    """What is asked, how often, and over how many connections."""

    connections: int = Field(
        default=4,
        ge=1,
        le=100,
        description="保持的连接数；全忙时后到的请求等待，等待计入时延（1 即只用一条连接；不用流水线）",
    )


SPEC = ProbeSpec(
    name="rtt.http",
    version="1",
    title="响应时间(HTTP)",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=5,
    document="docs/probes/p-013-rtt.http.md",
    equipment=("发送端主机", "被测平台上可反复请求而无副作用的接口与专用账号", "被测网络两端的接入"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """What `sending_estimate` says."""
    return sending_estimate(params, samples)
