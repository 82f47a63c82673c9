"""What the `rtt` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a socket.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.load.spec import Load
from yanshou.probes.rtt.stamp import PORT, SIZE

LARGEST = 1472
"""UDP payload of one 1500-octet IPv4 packet (1452 over IPv6): a fragmented packet has no single time of leaving."""


class Sending(BaseModel):
    """How many packets or requests, and when: what every open-loop probe is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: int = Field(default=3000, ge=1, le=10_000_000, description="参加判定的测量包（请求、消息）数，不含预热")
    interval_ms: float = Field(default=10, ge=0.5, le=60_000, description="发送间隔的平均值，毫秒")
    min_interval_ms: float = Field(default=1, ge=0, description="发送间隔的最小值，毫秒；须小于平均值")
    schedule: Literal["poisson", "jitter", "grid"] = Field(
        default="poisson",
        description="发送时刻：poisson 随机（推荐），jitter 均匀抖动，grid 固定间隔（可能与网络周期同步，会被提示）",
    )
    warmup: int = Field(default=50, ge=1, description="预热数：照发照记，不参加判定；全部无应答则中止")
    timeout_ms: float = Field(
        default=1000, gt=0, le=60_000, description="超过此时间未答按丢失计（按无穷大参加判定），毫秒"
    )

    @model_validator(mode="after")
    def _gaps_can_vary(self) -> Self:
        if self.min_interval_ms >= self.interval_ms:
            raise ValueError("min_interval_ms 须小于 interval_ms")
        return self


class Destination(Sending):
    """And to which host, where it may be another one for each subject."""

    host: str | None = Field(default=None, min_length=1, description="对端的主机名或 IP 地址")
    hosts: dict[str, str] = Field(
        default={}, description="各受检对象的对端不同时逐个写：{受检对象: 地址}；不写则都用 host"
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.host is None and not self.hosts:
            raise ValueError("host 与 hosts 至少写一个")
        return self


class Params(Destination):
    """Where the reflector is, how large its packets are, and what proves it."""

    host: str | None = Field(
        default=None, min_length=1, description="反射端的主机名或 IP 地址（对端先运行 yanshou reflect）"
    )
    port: int = Field(
        default=PORT, ge=1, le=65535, description="反射端 UDP 端口；862 是 STAMP 的指定端口，监听它需要特权"
    )
    size: int = Field(
        default=SIZE,
        ge=SIZE,
        le=LARGEST,
        description="UDP 载荷字节数，不足部分补零；用密钥时至少 152 字节，实际字节数记入证据",
    )
    key_file: str | None = Field(
        default=None,
        min_length=1,
        description="密钥文件，两端各一份（yanshou reflect --new-key）：证明反射器是评测方的，才按净时延判定；内容绝不进入证据",
    )
    timestamp_format: Literal["ntp", "ptp"] = Field(
        default="ntp", description="时间戳格式：ntp（RFC 5905）或 ptp（PTPv2 截断格式）"
    )
    load: Load | None = Field(
        default=None, description="测量的同时施加的负载 {target, users, rate, ...}，同仪器 load；不写则不加负载"
    )


SPEC = ProbeSpec(
    name="rtt",
    version="2",
    title="往返时延(STAMP)",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=0.1,
    document="docs/probes/p-010-rtt.md",
    equipment=(
        "发送端主机(Linux，内核时间戳)",
        "反射端主机（运行 yanshou reflect --key，或符合 RFC 8762 的反射器）",
        "被测网络两端的接入",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """Time for the load to come up, and what `sending_estimate` says."""
    alone = sending_estimate(params, samples)
    return replace(alone, seconds=alone.seconds + (params.load.ramp_s if params.load else 0))


def sending_estimate(params: Sending, samples: int | None) -> Estimate:
    """Warm-up, at least `samples` packets or requests at the mean interval, and the wait for the last reply."""
    count = max(params.count, samples or 0)
    return Estimate(((params.warmup + count) * params.interval_ms + params.timeout_ms) / 1000, count)
