"""What the `chain.nodes` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from yanshou.chains.spec import HOST_PORT, Chain, Endpoint
from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.params import Frozen


class Declared(Frozen):
    """One node as the project declares it."""

    key: str = Field(
        pattern=r"^((0x)?[0-9a-fA-F]{32,}|[1-9A-HJ-NP-Za-km-z]{40,})$",
        description="共识公钥（nodeID），十六进制；长安链写 node_id（Qm 开头）",
    )
    address: str = Field(pattern=HOST_PORT, description="评测方应能连上的地址，主机:端口，如 10.0.0.5:30300")
    operator: str = Field(default="", description="运营它的单位")


class Params(Frozen):
    """Which chain, whom to ask, and what a node is."""

    chain: Chain = Field(description="链 {kind, group, batch, parallel}")
    endpoints: tuple[Endpoint, ...] = Field(
        min_length=1, description="问哪几个节点 {url, operator, ca}：至少两个，最好属于不同单位"
    )
    declared: tuple[Declared, ...] = Field(
        default=(), description="项目申报的节点 {key, address, operator}；不写则用节点之间看到的地址"
    )
    window_s: float = Field(default=60, gt=0, description="两次询问相隔几秒；落后的节点要在此间跟上")
    blocks: int = Field(default=200, ge=1, le=100_000, description="看最近几块的签名；应不少于共识节点数的 10 倍")
    count: Literal["all", "consensus"] = Field(
        default="all", description="all 共识与观察节点都计；consensus 只计共识节点"
    )
    node_is: Literal["key", "host", "operator"] | None = Field(
        default=None,
        description="承诺写明节点按什么计：key 公钥、host 主机、operator 单位；不写而有共用主机的，不予判定",
    )
    unit: str = Field(default="个", min_length=1, description="计数单位")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        self.chain.check(self.endpoints)
        if len({plain_key(d.key) for d in self.declared}) < len(self.declared):
            raise ValueError("declared 的 key 有重复")
        return self


def plain_key(key: str) -> str:
    """A key as members have it: hex in lower case without 0x, others as they are."""
    plain = key.lower().removeprefix("0x")
    return plain if re.fullmatch("[0-9a-f]+", plain) else key


SPEC = ProbeSpec(
    name="chain.nodes",
    version="2",
    title="区块链节点计数",
    kind=Kind.COUNTED,
    unit="个",
    tolerance=0.0,
    document="docs/probes/p-111-chain.nodes.md",
    equipment=(
        "能访问至少两个节点 RPC 接口、并能连各节点 P2P 端口的网络位置",
        "项目申报的节点清单（公钥、地址、单位）",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """The window; nothing is sampled."""
    return Estimate(seconds=params.window_s, samples=0)
