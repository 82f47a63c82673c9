"""What is asked of Modbus TCP gateways."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from yanshou.probes.params import Frozen

HIGHEST_UNIT = 247
"""Addresses of single devices are 1 to 247 (Modbus over Serial Line V1.02, 2.2)."""


class Registers(Frozen):
    """A block of registers."""

    address: int = Field(ge=0, le=65535, description="起始地址，从 0 起，与报文里一致")
    count: int = Field(ge=1, le=125, description="几个寄存器")
    table: Literal["holding", "input"] = Field(default="holding", description="holding 保持寄存器，input 输入寄存器")


class Gateway(Frozen):
    """One Modbus TCP server and the units that are said to be behind it."""

    host: str = Field(min_length=1, description="主机名或地址")
    port: int = Field(default=502, ge=1, le=65535, description="端口")
    units: str = Field(default="1", description="登记的单元号，如 1-40,45")

    @field_validator("units")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", value):
            raise ValueError("写成 1-40,45 这样")
        numbers = _numbers(value)
        if not numbers or numbers[0] < 0 or numbers[-1] > 255:
            raise ValueError("单元号须在 0 到 255 之间，小的在前")
        return value

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"

    def unit_numbers(self) -> list[int]:
        """The declared units, sorted."""
        return _numbers(self.units)


def _numbers(units: str) -> list[int]:
    spans = (part.partition("-") for part in units.split(","))
    return sorted({n for first, _, last in spans for n in range(int(first), int(last or first) + 1)})


class Source(Frozen):
    """Modbus TCP gateways whose units are asked one after the other during the window."""

    kind: Literal["modbus"]
    name: str = Field(default="modbus", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    gateways: tuple[Gateway, ...] = Field(min_length=1, description="网关 {host, port, units}")
    serial: Registers | None = Field(
        default=None, description="序列号所在的寄存器 {address, count, table}；不写则以设备标识（43/14）区分"
    )
    values: Registers | None = Field(
        default=None, description="过程值所在的寄存器 {address, count, table}，用来看是否活着"
    )
    interval_s: float = Field(default=10, ge=0.1, description="每隔几秒问一遍")
    timeout_s: float = Field(default=1, gt=0, le=30, description="一个单元最多等几秒；一遍的时间由不应答的单元决定")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({g.address for g in self.gateways}) != len(self.gateways):
            raise ValueError("gateways 里有重复的地址")
        return self
