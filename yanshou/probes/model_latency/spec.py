"""What the `model.latency` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a file or a socket.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec

_NEEDED = {
    "openai": ("url",), "json": ("url",), "grpc": ("url", "method"), "command": ("command",), "onnx": ("file",)
}  # fmt: skip
_SCHEMES = {"openai": ("http", "https"), "json": ("http", "https"), "grpc": ("grpc", "grpcs")}


LEAST_QUIET_S = 2.0


def _address(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", text):
        return text.lower().replace("-", ":")
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text} 不是 MAC 或 IP 地址") from None


class Params(BaseModel):
    """What answers, which inputs, when, and what counts as its latency. Flat, so that a terminal without packages can hold it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["openai", "json", "grpc", "command", "onnx"] = Field(
        description="接口：openai（兼容的 HTTP）、json（HTTP 决策接口）、grpc（一问一答）、command（逐行应答）、onnx（本进程内）"
    )
    pool: str = Field(
        min_length=1,
        description="输入池（JSONL，每行一个 JSON 对象，互不相同），相对案卷：openai 写 prompt 或 messages，其余写请求体",
    )
    pool_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="输入池的 SHA-256：随计划冻结，测时不符则拒绝；不写则测时才记录",
    )
    metric: Literal["decision_cycle", "ttft", "tpot", "itl", "e2e"] | None = Field(
        default=None,
        description="承诺的时延：decision_cycle 决策周期（自计划帧）、ttft 首个非空词元、tpot 每词元、itl 词元间隔、e2e 完整结果；"
        "不写则 e2e 与 ttft 都要判，一致才有结论",
    )
    url: str | None = Field(
        default=None, description="请求地址，如 http://192.0.2.5:8000/v1/chat/completions、grpc://192.0.2.5:50051"
    )
    urls: dict[str, str] = Field(default={}, description="各受检对象地址不同时逐个写：{受检对象: 地址}")
    model: str | None = Field(default=None, min_length=1, description="openai：请求里的模型名")
    stream: bool = Field(default=True, description="openai：流式应答；ttft、tpot、itl 要它")
    max_tokens: int = Field(default=64, ge=1, le=100_000, description="openai：最多输出几个词元，按承诺的输出长度写")
    usage: bool = Field(
        default=True, description="openai 流式：请求末尾报告词元数（stream_options），服务不支持时写 false"
    )
    key_file: str | None = Field(default=None, min_length=1, description="访问密钥文件；内容绝不进入证据")
    ca: str | None = Field(default=None, min_length=1, description="https 的根证书文件；不写则用系统的")
    answer: str | None = Field(
        default=None, min_length=1, description="json、grpc：应答里哪一项是答案，如 result.action；不写则整个应答"
    )
    command: tuple[str, ...] = Field(default=(), description="command：程序与参数；从标准输入逐行读 JSON，逐行应答")
    method: str | None = Field(
        default=None, pattern=r"^/[\w.]+/\w+$", description="grpc：方法，如 /drive.Planner/Decide"
    )
    protos: str | None = Field(
        default=None,
        min_length=1,
        description="grpc：接口描述文件（protoc --include_imports --descriptor_set_out 生成）；不写则问服务端（反射）",
    )
    file: str | None = Field(default=None, min_length=1, description="onnx：模型文件，相对案卷")
    rate_hz: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="每秒几帧，按计划发送、自计划时刻计时（驾驶功能）；不写则答完再问下一个",
    )
    streams: int = Field(default=1, ge=1, le=64, description="最多同时等几个应答（几条连接）；答完再问时即并发数")
    count: int = Field(default=6636, ge=1, le=1_000_000, description="参加判定的请求数；P99 至少 662，P99.9 至少 6636")
    warmup: int = Field(default=50, ge=1, le=100_000, description="预热请求数：照发照记，不参加判定；全部失败则中止")
    timeout_s: float = Field(default=10, gt=0, le=600, description="超过此时间未答完按无穷大参加判定，秒")
    quiet_s: float = Field(
        default=5,
        ge=0,
        le=600,
        description="测量前后各静默几秒，作为本机网口收发的底数：看得出应答是否来自云端；0 为不看",
    )
    uplink: str | None = Field(
        default=None,
        pattern=r"^[^\s/]{1,15}$",
        description="测量时在本机哪个接口上监听车端的上行：接镜像口的、作网关时靠车端一侧的，或模型在本机时的上行口；须 root",
    )
    uplink_model: tuple[str, ...] = Field(
        default=(),
        description="在该接口上哪些 MAC 或 IP 是车端的（含车载网关换过的地址）；不写则取服务地址，模型在本机时取本机",
    )
    uplink_cut: bool = Field(
        default=False, description="测量中车端上行应当断开：开始前请在场的人断开并确认，监听到往来仍会写明"
    )
    sensors: tuple[str, ...] = Field(
        default=(),
        description="报告温度与功耗的命令（如 tegrastats），测量中运行，输出逐行入证据；认得它的 CPU 温度与 VDD_IN 功率",
    )
    power_mode: str | None = Field(
        default=None, min_length=1, description="声明的供电与功耗模式（如 MAXN）；系统读得出的调频策略另行记录"
    )
    ablate: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="多模态：测完后取前几个输入各再问三次，原样、换成别的输入的图、换成空白图，答案应随图而变；图写作 data:image/…",
    )
    loadgen: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="测完后再由 MLPerf LoadGen（SingleStream）驱动同一接口几次作对照，它的日志入证据；P99 至少 662，0 为不做",
    )
    repeats: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="同一个答案最多可占几成，超过的按罐头答案算作超限；决策种类很少时可放宽到 1 以下",
    )

    @field_validator("uplink_model")
    @classmethod
    def _addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """As they will be compared: MACs in small letters with colons, IP addresses in their shortest form."""
        return tuple(_address(one) for one in given)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for needed in _NEEDED[self.kind]:
            if not getattr(self, needed) and not (needed == "url" and self.urls):
                raise ValueError(f"kind 为 {self.kind} 时要写 {needed}")
        schemes = _SCHEMES.get(self.kind, ())
        for url in filter(None, (self.url, *self.urls.values())) if schemes else ():
            parts = urlsplit(url)
            if parts.scheme not in schemes or not parts.hostname:
                raise ValueError(f"{url} 不是 {'、'.join(f'{s}://' for s in schemes)} 的地址")
        if self.metric == "decision_cycle" and self.rate_hz is None:
            raise ValueError("decision_cycle 要写 rate_hz：答完再问下一个会漏掉卡顿时本应到来的帧（协同遗漏）")
        if self.metric in ("ttft", "tpot", "itl") and not (self.kind == "openai" and self.stream):
            raise ValueError(f"{self.metric} 只有 openai 的流式应答才有")
        if self.uplink is None and (self.uplink_model or self.uplink_cut):
            raise ValueError("uplink_model、uplink_cut 要与 uplink（在哪个接口上监听）一起写")
        if self.uplink is not None and self.quiet_s < LEAST_QUIET_S:
            raise ValueError(f"uplink 要与静默时比较，quiet_s 至少 {LEAST_QUIET_S:g} 秒")
        if self.ablate > self.count:
            raise ValueError("ablate 不能多于 count")
        if self.kind in ("command", "onnx") and self.streams > 1:
            raise ValueError(f"{self.kind} 一次只答一个，streams 写 1")
        return self


SPEC = ProbeSpec(
    name="model.latency",
    version="2",
    title="模型推理时延",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=2.0,
    document="docs/probes/p-070-model.latency.md",
    equipment=("被测模型的服务接口（最好在车端主机上用采集包测）", "冻结后才抽取的输入池（JSONL）"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """The schedule's length; asked one after the other, a second or the timeout for each where that is less."""
    count = max(params.count, samples or 0)
    each = 1 / params.rate_hz if params.rate_hz else min(1.0, params.timeout_s) / params.streams
    return Estimate(
        (params.warmup + count) * each
        + (3 * params.ablate + params.loadgen) * min(1.0, params.timeout_s)
        + 2 * params.quiet_s
        + params.timeout_s,
        count,
    )
