"""What an instrument is told of a chain: its kind, its endpoints, its group. It must never hold a secret: keys are files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.names import is_whole_url

Kind = Literal["bcos3", "bcos2", "ethereum", "chainmaker", "fabric"]
"""A folder of `yanshou.chains`."""

BEHIND_GRPC: frozenset[str] = frozenset({"chainmaker", "fabric"})
"""Kinds that are asked over gRPC, by a member of the chain who signs what is asked; the others over HTTP, by anybody."""

HOST_PORT = r"^(\[[0-9A-Fa-f:]+\]|[^\s:/\[\]]+):[0-9]{1,5}$"
"""host:port, a pattern."""


class Endpoint(BaseModel):
    """One RPC interface of one node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        pattern=r"^(https?://[^/?#@\s]+(/[^?#\s]*)?|grpcs?://[^/?#@\s]+)$",
        description="节点的 RPC 地址，如 http://10.0.0.5:20200、grpc://10.0.0.5:12301；https、grpcs 为带 TLS",
    )
    operator: str = Field(default="", description="运营这个节点的单位")
    ca: str | None = Field(default=None, description="签发接口证书的 CA（PEM）；不写则用系统的")
    cert: str | None = Field(default=None, description="grpcs：客户端证书（PEM），节点要求双向认证时才写")
    key: str | None = Field(default=None, description="grpcs：客户端私钥（PEM）；内容绝不进入证据")
    name: str = Field(default="", description="grpcs：接口证书里的名字，与地址不同时才写")

    @field_validator("url")
    @classmethod
    def _whole(cls, value: str) -> str:
        if not is_whole_url(value):
            raise ValueError("不是完整的地址，请写成 http://10.0.0.5:20200，端口为 1 到 65535")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert 与 key 要一起写")
        if (self.cert or self.name) and not self.url.startswith("grpcs://"):
            raise ValueError("cert、key、name 只用于 grpcs:// 的地址")
        return self


class Member(BaseModel):
    """Who asks, where only members of the chain may: an identity that the chain issued to the evaluator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    org: str = Field(min_length=1, description="所属组织：长安链的 org_id，Fabric 的 MSP ID")
    cert: str = Field(min_length=1, description="发给评测方的签名证书（PEM）")
    key: str = Field(min_length=1, description="它的私钥（PEM，不加口令）；内容绝不进入证据")


class Chain(BaseModel):
    """A chain and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field(
        description="链的类型：bcos3（FISCO BCOS 3.x）、bcos2（2.x）、ethereum（以太坊类）、chainmaker（长安链 2.x）、fabric"
    )
    group: str = Field(
        default="",
        description="FISCO BCOS 的群组：3.x 如 group0，2.x 如 1；不写则为这两个；长安链写 chain_id，Fabric 写通道名；以太坊类不用",
    )
    batch: int = Field(default=100, ge=1, le=1000, description="一次请求里最多几个问题；节点不收批量时自动逐个问")
    parallel: int = Field(default=4, ge=1, le=32, description="同时几个请求；怕影响生产时调小")
    member: Member | None = Field(
        default=None, description="只答成员的链（gRPC）：评测方在链上的身份 {org, cert, key}；其余的链不写"
    )

    @model_validator(mode="after")
    def _asked_by_members(self) -> Self:
        if (self.kind in BEHIND_GRPC) != (self.member is not None):
            raise ValueError(f"kind 为 {self.kind} 时{'要' if self.member is None else '不'}写 member")
        return self

    @property
    def by_name(self) -> bool:
        """Whether contracts and their methods are called by names, and not by an address and an ABI."""
        return self.kind in BEHIND_GRPC

    @property
    def outcomes_hashed(self) -> bool:
        """Whether what came of a transaction is in its block's hash, and not only a node's word."""
        return self.kind != "fabric"

    def check(self, endpoints: Sequence[Endpoint]) -> None:
        """Raises ValueError for an endpoint that is not asked as this kind of chain is, or stands there twice."""
        schemes = ("grpc://", "grpcs://") if self.kind in BEHIND_GRPC else ("http://", "https://")
        for endpoint in endpoints:
            if not endpoint.url.startswith(schemes):
                raise ValueError(f"kind 为 {self.kind} 时地址要写成 {' 或 '.join(schemes)}：{endpoint.url}")
        if len({endpoint.url.lower().rstrip("/") for endpoint in endpoints}) < len(endpoints):
            raise ValueError("节点的地址有重复：一个节点不能为自己作证")
