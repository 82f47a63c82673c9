"""What an instrument is told of a chain: its kind, its endpoints, its group. It must never hold a secret."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["bcos3", "bcos2", "ethereum"]
"""A folder of `yanshou.chains`."""


HOST_PORT = r"^(\[[0-9A-Fa-f:]+\]|[^\s:/\[\]]+):[0-9]{1,5}$"
"""host:port, a pattern."""


class Endpoint(BaseModel):
    """One RPC interface of one node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$", description="节点的 RPC 地址，如 http://10.0.0.5:20200"
    )
    operator: str = Field(default="", description="运营这个节点的单位")
    ca: str | None = Field(default=None, description="签发接口证书的 CA（PEM）；不写则用系统的")


class Chain(BaseModel):
    """A chain and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field(description="链的类型：bcos3（FISCO BCOS 3.x）、bcos2（2.x）、ethereum（以太坊类）")
    group: str = Field(
        default="", description="FISCO BCOS 的群组：3.x 如 group0，2.x 如 1；不写则为这两个；以太坊类不用"
    )
    batch: int = Field(default=100, ge=1, le=1000, description="一次请求里最多几个问题；节点不收批量时自动逐个问")
    parallel: int = Field(default=4, ge=1, le=32, description="同时几个请求；怕影响生产时调小")
