"""What the EMQX source is told. It must never hold a secret: only the name of the file that does."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from yanshou.harness.names import is_whole_url


class Source(BaseModel):
    """The clients list of a broker's management interface (EMQX 5, and what speaks like it)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["emqx"]
    name: str = Field(default="emqx", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    url: str = Field(pattern=r"^https?://[^/?#]+$", description="管理接口的地址，如 http://10.0.0.5:18083")
    credentials: str = Field(
        min_length=1, description="API 密钥文件：第一行 API Key，第二行 Secret Key；内容绝不进入证据"
    )
    ca: str | None = Field(default=None, description="签发接口证书的 CA（PEM）；不写则用系统的")
    page_size: int = Field(default=100, ge=1, le=10000, description="每页条数")
    every_s: float = Field(default=30, gt=0, description="每隔几秒查一遍；收包数的增量就是窗口内的消息数")

    @field_validator("url")
    @classmethod
    def _whole(cls, value: str) -> str:
        if not is_whole_url(value):
            raise ValueError("写成 http://10.0.0.5:18083；不得含用户名与口令，密钥写进 credentials 所指的文件")
        return value
