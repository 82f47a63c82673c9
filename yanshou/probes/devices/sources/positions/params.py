"""What the positions source is told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from yanshou.probes.devices.identities import IdentityKind
from yanshou.probes.positions import Reported


class Source(BaseModel):
    """Recorded positions of terminals, in which each must have a stream of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["positions"]
    name: str = Field(
        default="positions", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名"
    )
    identity: IdentityKind = Field(default="serial", description="终端编号是哪种标识")
    fixes: tuple[Reported, ...] = Field(
        min_length=1,
        description="定位记录：[{kind: table, file, id, time, longitude, latitude, quality, valid}]，"
        "或各终端的原始输出 [{kind: nmea, folder, date, valid}]",
    )
    window_s: int = Field(default=600, ge=60, description="共同在线的窗口，秒；取在线终端最多的那一段")
    apart_m: float = Field(default=1.0, gt=0, description="两个终端至少相距几米才算两个")
