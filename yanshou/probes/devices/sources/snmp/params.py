"""What is asked of SNMP agents. It must never hold a community or a key: only the name of the file that does."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from yanshou.probes.params import Frozen

Table: TypeAlias = Literal["lldp", "bridge", "arp"]


class Agent(Frozen):
    """One switch, router, CPE or host."""

    host: str = Field(min_length=1, description="主机名或地址")
    port: int = Field(default=161, ge=1, le=65535, description="UDP 端口")
    gateway: str = Field(default="", description="它若是终端身后设备的网关或 CPE，写其编号；交换机不写")

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"


class Source(Frozen):
    """SNMP agents whose tables are read over and over during the window."""

    kind: Literal["snmp"]
    name: str = Field(default="snmp", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    agents: tuple[Agent, ...] = Field(min_length=1, description="代理 {host, port, gateway}")
    tables: tuple[Table, ...] = Field(
        default=("lldp", "bridge", "arp"), min_length=1, description="lldp 邻居，bridge 转发表（MAC），arp 地址解析表"
    )
    version: Literal["2c", "3"] = Field(default="2c", description="SNMP 版本；2c 的团体字在网上是明文")
    credentials: str = Field(
        min_length=1,
        description="凭据文件，内容绝不进入证据。2c：第一行团体字。3：第一行用户名，第二行认证口令，第三行加密口令（可无）",
    )
    authentication: Literal["SHA", "SHA256", "SHA512"] = Field(default="SHA256", description="版本 3 的认证算法")
    interval_s: float = Field(default=60, ge=0.1, description="每隔几秒读一遍")
    timeout_s: float = Field(default=2, gt=0, le=30, description="一次请求最多等几秒，再试一次")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({a.address for a in self.agents}) != len(self.agents):
            raise ValueError("agents 里有重复的地址")
        return self
