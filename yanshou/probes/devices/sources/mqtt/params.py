"""What the MQTT source is told. It must never hold a password: only the name of the file that does."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from yanshou.probes.devices.identities import KINDS, IdentityKind

_PLACE = re.compile(r"topic:[1-9][0-9]*|(/([^~/]|~[01])*)+")


def _place(value: str) -> str:
    if not _PLACE.fullmatch(value):
        raise ValueError("写成 topic:2（主题的第 2 层）或 JSON 指针 /device/sn（RFC 6901）")
    return value


Place = Annotated[str, AfterValidator(_place)]
"""Where in a message something stands: a level of its topic (from 1), or a JSON pointer (RFC 6901) into its payload."""


class Tls(BaseModel):
    """How the broker, and who we are, is proven."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: str | None = Field(default=None, description="签发代理证书的 CA（PEM）；不写则用系统的")
    cert: str | None = Field(default=None, description="客户端证书（PEM），代理要求时才写")
    key: str | None = Field(default=None, description="客户端私钥（PEM），代理要求时才写")


class Source(BaseModel):
    """A subscription to a broker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mqtt"]
    name: str = Field(default="mqtt", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    host: str = Field(min_length=1, description="代理的主机名或地址")
    port: int = Field(default=1883, ge=1, le=65535, description="代理的端口，TLS 一般为 8883")
    tls: Tls | None = Field(default=None, description="TLS {ca, cert, key}；不写则为明文 TCP")
    credentials: str | None = Field(
        default=None, description="用户名与口令文件：第一行用户名，第二行口令；内容绝不进入证据"
    )
    topics: tuple[str, ...] = Field(min_length=1, description="订阅的主题过滤器，如 factory/+/up")
    identities: dict[IdentityKind, Place] = Field(
        default={}, description="标识在哪里：{serial: /sn, client_id: topic:2}；不写则以主题为标识"
    )
    gateway: Place | None = Field(default=None, description="网关标识在哪里；消息经网关转发时写")
    value: Place | None = Field(
        default=None, description="读数在哪里（物理量，不要写计数器或时间）；不写则以整个载荷为值"
    )
    payload_bytes: int = Field(default=0, ge=0, le=65536, description="每条消息保留载荷的前若干字节；0 为只留摘要")
    log: str | None = Field(default=None, description="代理日志文件（mosquitto），窗口结束时收入证据")

    @property
    def kinds(self) -> tuple[IdentityKind, ...]:
        """The identities asked for, always in the order of KINDS: canonical JSON sorts what a person wrote."""
        return tuple(kind for kind in KINDS if kind in self.identities)
