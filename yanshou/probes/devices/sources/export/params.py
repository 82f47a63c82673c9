"""What the export source is told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from yanshou.probes.devices.identities import IdentityKind
from yanshou.probes.devices.tables import TableFile


class Source(TableFile):
    """A list of terminals that the operator, the core network or a platform exported."""

    kind: Literal["export"]
    name: str = Field(default="export", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    identities: dict[IdentityKind, str] = Field(
        min_length=1, description="标识在哪一列：{imei: IMEI, supi: IMSI, ip: 地址}"
    )
    gateway: str | None = Field(default=None, description="网关标识的列")
    time: str | None = Field(default=None, description="最近在线时间的列：ISO 8601，不带时区的按北京时间")
    where: dict[str, tuple[str, ...]] = Field(
        default={}, description="只取这些行：{列: [值, …]}，如 {状态: [在线, 已注册]}"
    )
