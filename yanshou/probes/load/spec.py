"""What the `load` probe is and what it is told; `Load` is also what other probes take to measure under load.

The field descriptions are the help that a person sees in case.yaml. It must never open a socket, nor hold a password: only
the name of the file that does.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.harness.names import is_whole_url
from yanshou.probes.contract import Estimate, ProbeSpec

LARGEST = 1 << 20
"""Octets of a request's body: load is many requests, not large ones."""
MOST_REQUESTS = 50_000_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _publishable(value: str) -> str:
    if not value or len(value.encode()) > 1024 or any(sign in value for sign in "+#\0"):
        raise ValueError("主题不得为空、过长或含 + 和 #")
    return value


Topic: TypeAlias = Annotated[str, AfterValidator(_publishable)]
"""What can be published to."""


class HttpRequest(_Frozen):
    """One thing that is asked again and again."""

    url: str = Field(description="请求的完整网址，如 https://platform.example/api/points")
    method: Literal["GET", "POST", "PUT"] = Field(default="GET", description="GET、POST 或 PUT")
    size: int = Field(default=0, ge=0, le=LARGEST, description="POST、PUT 的请求体字节数")
    expected: tuple[int, ...] = Field(default=(200,), min_length=1, description="算成功的 HTTP 状态码")
    ca: str | None = Field(default=None, description="签发服务器证书的 CA（PEM）；不写则用系统的")
    credentials: str | None = Field(
        default=None, description="用户名与口令文件（HTTP Basic）：第一行用户名，第二行口令；内容绝不进入证据"
    )

    @field_validator("url")
    @classmethod
    def _whole(cls, value: str) -> str:
        if not value.lower().startswith(("http://", "https://")) or not is_whole_url(value):
            raise ValueError("写成完整网址，如 http://192.0.2.7:8080/api；用户名与口令写进 credentials 所指的文件")
        return value


class Http(HttpRequest):
    """HTTP users: each keeps its connection."""

    kind: Literal["http"]

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where it is: host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def good(self) -> frozenset[str]:
        """What stands in the status column of a request that succeeded."""
        return frozenset(map(str, self.expected))


class Mqtt(_Frozen):
    """Virtual devices: each is one session, publishes at QoS 1, and a request is done when the broker has acknowledged it."""

    kind: Literal["mqtt"]
    host: str = Field(min_length=1, description="代理的主机名或地址")
    port: int = Field(default=1883, ge=1, le=65535, description="代理的端口，TLS 一般为 8883")
    topic: Topic = Field(
        default="yanshou/load/{user}", description="发布的主题，{user} 处换成虚拟设备的序号；用专为负载开的主题"
    )
    size: int = Field(default=64, ge=0, le=LARGEST, description="载荷至少几字节，不足补空格")
    tls: bool = Field(default=False, description="是否用 TLS")
    ca: str | None = Field(default=None, description="签发代理证书的 CA（PEM）；不写则用系统的")
    credentials: str | None = Field(
        default=None, description="用户名与口令文件：第一行用户名，第二行口令；内容绝不进入证据"
    )

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where it is: host and port."""
        return self.host, self.port

    @property
    def good(self) -> frozenset[str]:
        """What stands in the status column of a request that succeeded."""
        return frozenset({"ok"})


Target: TypeAlias = Annotated[Http | Mqtt, Field(discriminator="kind")]


class Load(_Frozen):
    """Who asks what, how often, and from how many hosts; as long as whoever takes this measures."""

    target: Target = Field(description="向谁施加负载：{kind: http, url, …} 或 {kind: mqtt, host, topic, …}")
    users: int = Field(ge=1, le=100_000, description="虚拟用户或虚拟设备数")
    rate: float = Field(gt=0, le=1000, description="每个用户每秒几次请求；总速率是 users × rate")
    ramp_s: float = Field(default=5, ge=0, le=3600, description="用户在几秒内逐个加入；这段照发照记，不参加判定")
    timeout_s: float = Field(default=10, gt=0, le=300, description="一次请求超过几秒算失败")
    workers: int = Field(
        default=0, ge=0, le=100, description="由几台主机共同施加（各运行 yanshou load-worker）；0 为只用本机"
    )
    master_host: str = Field(default="127.0.0.1", min_length=1, description="workers 大于 0 时在哪个地址等它们")
    master_port: int = Field(default=5557, ge=1, le=65535, description="workers 大于 0 时在哪个端口等它们")


class Params(Load):
    """A load for a known time."""

    duration_s: float = Field(default=60, gt=0, le=86_400, description="全部用户加入之后，持续几秒")

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.users * self.rate * self.duration_s > MOST_REQUESTS:
            raise ValueError(f"users × rate × duration_s 超过 {MOST_REQUESTS} 次，请分几次测")
        if self.rate * self.duration_s < 1:
            raise ValueError("duration_s 太短，有的用户一次也轮不到；至少要有 1 / rate 秒")
        return self


SPEC = ProbeSpec(
    name="load",
    version="1",
    title="负载与响应时间",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=20,
    document="docs/probes/p-050-load.md",
    equipment=(
        "负载主机（处理器有余量，与被测平台不是同一台）",
        "专为负载开的账号、接口或主题",
        "平台方对负载的书面同意",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """Ramp, duration, and the wait for the last answer; the number of requests is fixed by the parameters."""
    return Estimate(
        params.ramp_s + params.duration_s + params.timeout_s, int(params.users * params.rate * params.duration_s)
    )
