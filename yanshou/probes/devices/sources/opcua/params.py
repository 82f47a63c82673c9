"""What is read from OPC UA servers. It must never hold a password: those stand in files of their own."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from yanshou.probes.params import Frozen

NODE_ID = r"^(ns=\d+;)?[isgb]=.+$"


class Device(Frozen):
    """One device by the nodes that speak for it."""

    serial: str = Field(pattern=NODE_ID, description="序列号节点，如 ns=2;s=PLC1.SerialNumber")
    values: tuple[Annotated[str, Field(pattern=NODE_ID)], ...] = Field(
        default=(), description="过程值节点，用来看设备是否活着；不写则只读序列号"
    )


class Browse(Frozen):
    """All devices below one folder: every object there that has a serial number."""

    folder: str = Field(default="i=85", pattern=NODE_ID, description="设备所在文件夹的节点；默认 Objects（i=85）")
    serial: str = Field(
        default="SerialNumber", min_length=1, description="序列号节点的浏览名（OPC 10000-100 的名称为默认）"
    )
    values: tuple[str, ...] = Field(default=(), description="过程值节点的浏览名")


class Endpoint(Frozen):
    """One server or gateway."""

    url: str = Field(
        pattern=r"^opc\.tcp://[^@\s]+$", description="端点地址，如 opc.tcp://10.0.0.5:4840；不得含用户名与口令"
    )
    devices: tuple[Device, ...] = Field(default=(), description="逐台列出设备的节点 {serial, values}")
    browse: Browse | None = Field(default=None, description="或在文件夹下寻找设备 {folder, serial, values}")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.devices) == (self.browse is not None):
            raise ValueError("devices 与 browse 须写且只写一个")
        return self


class Source(Frozen):
    """OPC UA servers that are read over and over during the window."""

    kind: Literal["opcua"]
    name: str = Field(default="opcua", pattern=r"^[a-z0-9][a-z0-9-]*$", description="来源的名字，证据文件夹以此命名")
    endpoints: tuple[Endpoint, ...] = Field(min_length=1, description="服务器或网关 {url, devices 或 browse}")
    interval_s: float = Field(default=10, ge=0.1, description="每隔多少秒读一遍")
    timeout_s: float = Field(default=4, gt=0, le=60, description="一次请求最多等多少秒")
    credentials: str | None = Field(
        default=None, description="用户名与口令文件：第一行用户名，第二行口令；内容绝不进入证据；不写则匿名"
    )
    policy: Literal["None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = Field(
        default="None", description="安全策略；None 为明文"
    )
    mode: Literal["Sign", "SignAndEncrypt"] = Field(
        default="SignAndEncrypt", description="安全模式；policy 为 None 时不用"
    )
    certificate: str | None = Field(default=None, description="客户端证书（DER 或 PEM），相对案卷文件夹")
    private_key: str | None = Field(default=None, description="客户端私钥（PEM），相对案卷文件夹；不进证据")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.policy != "None") != (self.certificate is not None and self.private_key is not None):
            raise ValueError("policy 不为 None 时须写 certificate 与 private_key，为 None 时都不写")
        if len({e.url for e in self.endpoints}) != len(self.endpoints):
            raise ValueError("endpoints 里的 url 有重复")
        return self
