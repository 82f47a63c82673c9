"""What the `model.weights` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a file.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.model_weights.counting import nominal

DIGEST_S = 60.0
"""Two digests of some 15 GB, each at about 1 GB/s, and the disk."""


class Params(BaseModel):
    """Where the model is, who serves it, and what the commitment's parameter count means."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: str = Field(
        min_length=1,
        description="被测主机上部署的模型：文件夹、权重文件或索引文件，绝对路径或相对案卷；部署的是引擎时写它的源检查点",
    )
    moe: Literal["total", "active"] | None = Field(
        default=None, description="混合专家模型按总参数 total 还是激活参数 active；不写而模型有专家时不予判定"
    )
    vision: Literal["included", "excluded"] | None = Field(
        default=None, description="视觉、音频编码器与投影计入 included 或不计 excluded；不写而模型有它们时不予判定"
    )
    basis: Literal["elements", "both"] = Field(
        default="both",
        description="elements 只按元素数判定；both：元素数不足标称、但四舍五入到标称时（如标称 7B 的 6.5–7.0e9）为临界，交专家评议",
    )
    nominal: str | None = Field(
        default=None,
        description="标称规格，如 7B；不写则取模型自己的名字（general.size_label、_name_or_path、文件夹名）",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="推理服务监听的端口：记录它的进程打开和映射了哪些文件；不写则不观察进程",
    )
    ports: dict[str, int] = Field(default={}, description="各受检对象端口不同时逐个写：{受检对象: 端口}")
    watch_s: float = Field(default=60, ge=0, le=86_400, description="两次摘要之间观察进程几秒，推理测量可同时进行")
    engines: tuple[str, ...] = Field(
        default=(), description="实际部署的引擎文件（TensorRT、RKNN、OM 等）：只记摘要，参数量来自源检查点，属声明"
    )
    build_log: str | None = Field(
        default=None, min_length=1, description="从源检查点构建引擎的日志，全文入证据；有 engines 时必须写"
    )

    @field_validator("nominal")
    @classmethod
    def _says_a_size(cls, value: str | None) -> str | None:
        if value is not None and nominal(value) is None:
            raise ValueError("不是标称规格，请写成 7B 或 1.8B")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.engines) != bool(self.build_log):
            raise ValueError("engines 与 build_log 要一起写：没有构建日志就不能把引擎与源检查点联系起来")
        return self


SPEC = ProbeSpec(
    name="model.weights",
    version="1",
    title="模型参数计数",
    kind=Kind.COUNTED,
    unit="参数",
    tolerance=0.0,
    document="docs/probes/p-071-model.weights.md",
    equipment=("部署了模型的主机（读得到权重文件）", "推理服务进程的查看权限（root 或同一用户），用于绑定"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """The time to watch, and to digest a model of some 15 GB twice."""
    return Estimate(seconds=params.watch_s + DIGEST_S, samples=0)
