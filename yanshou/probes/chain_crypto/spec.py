"""What the `chain.crypto` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.chains.spec import HOST_PORT, Chain, Endpoint
from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec


class Params(BaseModel):
    """Which chain, how much of it, and which ports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chain: Chain = Field(description="链 {kind, group, batch, parallel}")
    endpoint: Endpoint = Field(description="问哪个节点 {url, operator, ca}")
    blocks: int = Field(default=100, ge=1, le=10_000, description="核对最近几块的哈希与出块签名")
    transactions: int = Field(default=50, ge=1, le=10_000, description="核对最近几笔交易的哈希与签名")
    channels: tuple[str, ...] = Field(
        default=(), description="承诺用国密通道的端口，主机:端口，如 10.0.0.5:30300；逐个试 TLCP 与 TLS 1.3 国密套件"
    )

    @field_validator("channels")
    @classmethod
    def _addresses(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        import re

        if not all(re.fullmatch(HOST_PORT, value) for value in values) or len(set(values)) != len(values):
            raise ValueError("每个端口写成 主机:端口，不得重复")
        return values

    @model_validator(mode="after")
    def _asked_rightly(self) -> Self:
        self.chain.check([self.endpoint])
        return self


SPEC = ProbeSpec(
    name="chain.crypto",
    version="2",
    title="区块链国密查验",
    kind=Kind.INSPECTED,
    unit="项",
    tolerance=0.0,
    document="docs/probes/p-112-chain.crypto.md",
    equipment=("能访问节点 RPC 接口与受查端口的网络位置", "装有国密组件的评测主机（pip install 'yanshou[guomi]'）"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """Seconds at most for each port; as many answers as there are items."""
    return Estimate(seconds=10.0 * len(params.channels), samples=3 + len(params.channels))
