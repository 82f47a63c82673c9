"""What the `rtt.mqtt` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a socket, nor hold a password: only the name of the file that does.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.devices.sources.mqtt.params import Tls
from yanshou.probes.load.spec import LARGEST, Topic
from yanshou.probes.rtt.mirrored import LEAST
from yanshou.probes.rtt.spec import Destination, sending_estimate


class Params(Destination):
    """Which broker and topic, how many messages, how large and how often."""

    host: str | None = Field(default=None, min_length=1, description="MQTT 代理的主机名或 IP 地址")
    port: int = Field(default=1883, ge=1, le=65535, description="代理的端口，TLS 一般为 8883")
    topic: Topic = Field(
        default="yanshou/rtt/{session}",
        description="收发用的主题，{session} 处换成本次测量的随机号；别人不得使用，代理须准许发布与订阅",
    )
    qos: Literal[0, 1, 2] = Field(default=0, description="发布与订阅的 QoS；应与业务一致")
    size: int = Field(default=64, ge=LEAST, le=LARGEST, description="载荷字节数")
    tls: Tls | None = Field(default=None, description="TLS {ca, cert, key}；不写则为明文 TCP")
    credentials: str | None = Field(
        default=None, description="用户名与口令文件：第一行用户名，第二行口令；内容绝不进入证据"
    )


SPEC = ProbeSpec(
    name="rtt.mqtt",
    version="1",
    title="消息往返时延(MQTT)",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=5,
    document="docs/probes/p-012-rtt.mqtt.md",
    equipment=("发送端主机", "MQTT 代理上专用的账号与主题（可发布、可订阅）", "被测网络两端的接入"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """What `sending_estimate` says."""
    return sending_estimate(params, samples)
