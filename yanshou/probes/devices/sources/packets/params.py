"""Which packets are taken, and how much of each."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Source(BaseModel):
    """A capture file, or an interface to capture on during the window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["packets"]
    name: str = Field(default="packets", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    file: str | None = Field(default=None, min_length=1, description="抓包文件（pcap 或 pcapng），相对案卷文件夹")
    interface: str | None = Field(
        default=None, min_length=1, description="或在本机哪个接口上抓，如接镜像口的 eth1；须 root"
    )
    snaplen: int = Field(default=512, ge=96, le=65535, description="现场抓包时每包保留前几个字节")
    largest_mb: int = Field(default=2048, ge=1, description="现场抓包时证据最大几 MB（10^6 字节），到此停止并记录")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.file is None) == (self.interface is None):
            raise ValueError("file 与 interface 须写且只写一个")
        return self
