"""What the `model.weights` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a file.
"""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.model_weights.counting import nominal

ANSWER_S = 5.0
"""Three answers of some tokens each to a question of the challenge."""
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

    challenge: int = Field(
        default=0,
        ge=0,
        le=200,
        description="几道挑战题：温度 0 问推理服务两次，再用计数的文件在此运行同题（GGUF、ONNX），答案应重现；0 为不问",
    )
    challenge_pool: str | None = Field(
        default=None,
        min_length=1,
        description="挑战题（JSONL，每行一个 JSON 对象），冻结后由种子抽取：写 prompt 或 messages，ONNX 写请求体",
    )
    service: str | None = Field(default=None, description="推理服务的请求地址，如 http://127.0.0.1:8000/v1/completions")
    services: dict[str, str] = Field(default={}, description="各受检对象地址不同时逐个写：{受检对象: 地址}")
    service_model: str | None = Field(default=None, min_length=1, description="请求里的模型名，服务要求时写")
    runner: tuple[str, ...] = Field(
        default=(), description="评测方自己的 llama.cpp 服务程序（llama-server）与参数，用计数的 GGUF 起它来重现答案"
    )
    answer: str | None = Field(
        default=None,
        min_length=1,
        description="ONNX 决策接口：应答里哪一项是模型的输出，如 result.logits；不写则整个应答",
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
        if self.challenge and not (self.challenge_pool and (self.service or self.services)):
            raise ValueError("challenge 要写 challenge_pool 与 service（或 services）")
        for url in filter(None, (self.service, *self.services.values())):
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"{url} 不是 http:// 或 https:// 的地址")
        return self


SPEC = ProbeSpec(
    name="model.weights",
    version="2",
    title="模型参数计数",
    kind=Kind.COUNTED,
    unit="参数",
    tolerance=0.0,
    document="docs/probes/p-071-model.weights.md",
    equipment=("部署了模型的主机（读得到权重文件）", "推理服务进程的查看权限（root 或同一用户），用于绑定"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """The time to watch, and to digest a model of some 15 GB twice."""
    return Estimate(seconds=params.watch_s + DIGEST_S + params.challenge * ANSWER_S, samples=0)
