"""What the `model.actuation` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a file.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec

CAN = (".blf", ".asc")
FORMATS = (*CAN, ".mcap", ".db3")


class Params(BaseModel):
    """Which log, and what in it is a trigger, an actuation, and the frame that ties one to the other."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: str | None = Field(
        default=None,
        min_length=1,
        description="记录日志，相对案卷：MCAP（ROS 2 或 JSON 消息）、ROS 2 的 db3（须含消息定义）、CAN 日志 BLF 或 ASC",
    )
    files: dict[str, str] = Field(default={}, description="各受检对象的日志不同时逐个写：{受检对象: 文件}")
    dbc: str | None = Field(default=None, min_length=1, description="CAN：信号定义文件（DBC），相对案卷")
    trigger: str = Field(min_length=1, description="触发：MCAP 或 db3 的话题，或 DBC 里的报文名")
    actuation: str = Field(min_length=1, description="执行：同上；触发与执行须由同一台记录仪按同一时钟打时标")
    trigger_frame: str = Field(
        min_length=1, description="触发消息里的帧号：消息的字段（如 header.stamp、frame.seq），或 DBC 的信号名"
    )
    actuation_frame: str = Field(min_length=1, description="执行消息里所依据的那一帧的帧号，写法同上")
    timeout_s: float = Field(
        default=1, gt=0, le=60, description="触发后这么久还没有同一帧的执行，按无穷大参加判定，秒；须短于帧号循环一圈"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [name for name in (self.file, *self.files.values()) if name]
        if not names:
            raise ValueError("file 与 files 至少写一个")
        for name in names:
            kind = PurePath(name).suffix.lower()
            if kind not in FORMATS:
                raise ValueError(f"{name} 不是 {'、'.join(FORMATS)}")
            if kind in CAN and self.dbc is None:
                raise ValueError("CAN 日志要写 dbc：没有信号定义就读不出帧号")
        if (self.trigger, self.trigger_frame) == (self.actuation, self.actuation_frame):
            raise ValueError("触发与执行是同一个信号")
        return self

    def file_of(self, subject: str | None) -> str | None:
        """The log of one subject."""
        return self.files.get(subject or "", self.file)


SPEC = ProbeSpec(
    name="model.actuation",
    version="2",
    title="触发至执行时延（记录日志）",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=0.01,
    document="docs/probes/p-072-model.actuation.md",
    equipment=("一台记录仪按同一时钟记下触发与执行的日志（MCAP、db3、BLF、ASC）", "CAN 的信号定义（DBC）"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own: the log was recorded before. How many triggers it holds is not known until it is read."""
    return Estimate(0.0, samples or 0)
