"""Which gauges are read beside a count. It must never hold a token: only the name of the file that does."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from yanshou.harness.names import is_whole_url
from yanshou.probes.params import Frozen


class Gauge(Frozen):
    """One number among what an address tells."""

    text: str = Field(min_length=1, description="它声称是什么，印在报告里，如 AMF 已注册用户数")
    metric: str | None = Field(
        default=None,
        min_length=1,
        description="Prometheus 指标名，如 fivegs_amffunction_rm_registeredsubnbr；多组标签相加",
    )
    labels: dict[str, str] = Field(default={}, description="只取带这些标签的")
    pointer: str | None = Field(
        default=None, pattern=r"^(/([^~/]|~[01])*)*$", description="或 JSON 指针（RFC 6901）：数取其值，列表取其项数"
    )
    administered: int | None = Field(default=None, ge=0, description="核心网里开户的总数；读数超过它就不是终端数")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.metric is None) == (self.pointer is None):
            raise ValueError("metric 与 pointer 须写且只写一个")
        if self.labels and self.metric is None:
            raise ValueError("labels 只与 metric 同用")
        return self


class Address(Frozen):
    """One address that is fetched."""

    url: str = Field(
        pattern=r"^https?://[^@/?#\s]+(/[^#\s]*)?$", description="如 http://10.0.0.5:9090/metrics；不得含用户名与口令"
    )
    gauges: tuple[Gauge, ...] = Field(min_length=1, description="读哪几个数 {text, metric 或 pointer}")

    @field_validator("url")
    @classmethod
    def _whole(cls, value: str) -> str:
        if not is_whole_url(value):
            raise ValueError("不是完整的网址，请写成 http://10.0.0.5:9090/metrics")
        return value


class Source(Frozen):
    """Addresses that are fetched at the start, during and at the end of the window."""

    kind: Literal["metrics"]
    name: str = Field(default="metrics", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    addresses: tuple[Address, ...] = Field(min_length=1, description="取数地址 {url, gauges}")
    credentials: str | None = Field(
        default=None, description="凭据文件：一行 HTTP 头，如 Authorization: Bearer …；内容绝不进入证据"
    )
    ca: str | None = Field(default=None, description="签发接口证书的 CA（PEM），相对案卷文件夹；不写则用系统的")
    every_s: float = Field(default=10, ge=0.1, description="每隔几秒取一遍")
    timeout_s: float = Field(default=1, gt=0, le=10, description="一次最多等几秒")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({a.url for a in self.addresses}) != len(self.addresses):
            raise ValueError("addresses 里的 url 有重复")
        return self
