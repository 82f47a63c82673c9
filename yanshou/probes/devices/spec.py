"""What the `devices` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.devices.identities import IdentityKind
from yanshou.probes.devices.sources.emqx.params import Source as Emqx
from yanshou.probes.devices.sources.export.params import Source as Export
from yanshou.probes.devices.sources.metrics.params import Source as Metrics
from yanshou.probes.devices.sources.modbus.params import Source as Modbus
from yanshou.probes.devices.sources.mqtt.params import Source as Mqtt
from yanshou.probes.devices.sources.opcua.params import Source as OpcUa
from yanshou.probes.devices.sources.packets.params import Source as Packets
from yanshou.probes.devices.sources.positions.params import Source as Positions
from yanshou.probes.devices.sources.snmp.params import Source as Snmp
from yanshou.probes.devices.tables import TableFile
from yanshou.probes.load.spec import Load
from yanshou.probes.load.streams import PREFIX
from yanshou.probes.params import Frozen

Source: TypeAlias = Annotated[
    Mqtt | Emqx | Export | OpcUa | Modbus | Snmp | Packets | Positions | Metrics, Field(discriminator="kind")
]
"""Where devices are seen; each kind is a folder below sources/."""


class Access(Frozen):
    """Which words of the register's access column mean what."""

    column: str = Field(min_length=1, description="接入方式的列")
    direct: tuple[str, ...] = Field(default=("5G直连", "5G", "直连"), description="表示 5G 直连的值")
    gateway: tuple[str, ...] = Field(default=("网关后", "网关", "CPE"), description="表示在网关或 CPE 之后的值")
    wired: tuple[str, ...] = Field(default=("有线",), description="表示有线接入的值")

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        words = (*self.direct, *self.gateway, *self.wired)
        if len(set(words)) != len(words):
            raise ValueError("direct、gateway、wired 里有相同的值")
        return self


class Handed(TableFile):
    """A table from which, or with which, a sample is drawn: fixed before there is a seed."""

    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="文件的 SHA-256，项目在计划冻结之前先交这一串数：抽样种子在其后才有，排列行序挑不了样本",
    )


class Register(Handed):
    """The register that the project committed itself to: one row per device."""

    id: str = Field(min_length=1, description="设备编号（铭牌序列号）的列")
    identities: dict[IdentityKind, str] = Field(
        default={},
        description="其他标识在哪一列：{client_id: 客户端号, mac: MAC}；网关的标识写在 gateway 列，不写在这里",
    )
    gateway: str | None = Field(default=None, description="所在网关或 CPE 的列，直连的留空")
    access: Access | None = Field(default=None, description="接入方式 {column, direct, gateway, wired}")
    first_online: str | None = Field(default=None, description="首次上线日期的列，如 2025-03-01")

    def columns(self) -> tuple[str, ...]:
        """Every column that the parameters name, each once."""
        optional = (self.gateway, self.access.column if self.access else None, self.first_online)
        return tuple(dict.fromkeys((self.id, *self.identities.values(), *filter(None, optional))))


class Baseline(Handed):
    """The devices that were there before: frozen, dated."""

    id: str = Field(min_length=1, description="设备编号（铭牌序列号）的列")
    date: str = Field(description="基线冻结的日期，ISO，如 2024-06-30")

    @field_validator("date", mode="before")
    @classmethod
    def _iso(cls, value: object) -> object:
        text = value.isoformat() if isinstance(value, date) else value  # YAML turns 2024-06-30 into a date
        try:
            return date.fromisoformat(str(text)).isoformat()
        except ValueError:
            raise ValueError("不是日期，请写成 2024-06-30") from None


class Live(Frozen):
    """What a device must say within the window to be live."""

    messages: int = Field(default=3, ge=1, description="窗口内至少几条数据消息")
    distinct: int = Field(default=2, ge=1, description="其中至少几个不同的值")


class AuditFile(Frozen):
    """The results of visiting a random sample of the registered devices."""

    file: str = Field(
        min_length=1, description="现场核验结果（CSV：编号列加 result、serial、unplug、note），相对案卷文件夹"
    )
    size: int = Field(ge=1, description="抽查台数；多于登记数时全数核验")


class Params(Frozen):
    """What to count, where to look, and what makes a device count."""

    register_: Register = Field(
        alias="register", description="设备清册 {file, id, identities, gateway, access, first_online}"
    )
    sources: tuple[Source, ...] = Field(
        min_length=1, description="独立来源：mqtt、emqx、export 等，各自如何连接、标识在哪里"
    )
    window_s: float = Field(default=600, gt=0, description="同时观察几秒")
    live: Live | None = Field(
        default=Live(), description="在线判据：窗口内的消息数与不同值数 {messages, distinct}；null 为只看见到即可"
    )
    paths: int = Field(default=1, ge=1, description="至少几个来源见到才算")
    count_only: Literal["all", "direct"] = Field(default="all", description="all 全部计数；direct 只计 5G 直连")
    new_only: bool = Field(default=False, description="true：只计新增，即不在基线里的设备")
    baseline: Baseline | None = Field(default=None, description="基线清单 {file, id, date}；新增按序列号与它相减")
    audit: AuditFile | None = Field(default=None, description="现场抽查 {file, size}；不写则只计数，不核实")
    unit: str = Field(default="台(套)", min_length=1, description="计数单位")
    load: Load | None = Field(
        default=None,
        description="计数的同时施加的负载 {target, users, rate, ...}，同仪器 load；虚拟设备不在清册里，不计入",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("sources 的 name 有重复，同类来源请各起一个名字")
        if self.load and PREFIX in names:
            raise ValueError(f"来源不能叫 {PREFIX}：负载的证据存放在那里")
        if self.paths > len(names):
            raise ValueError(f"paths 要求 {self.paths} 个来源见到，sources 只写了 {len(names)} 个")
        if self.count_only == "direct" and self.register_.access is None:
            raise ValueError("count_only 为 direct 时要写 register.access（接入方式的列）")
        return self


VISIT = "到这台设备跟前：抄铭牌序列号；拔掉它的网线或电源，看平台上它是否随即离线"
"""What people do with each device that was drawn."""

SPEC = ProbeSpec(
    name="devices",
    version="2",
    title="设备连接计数",
    kind=Kind.COUNTED,
    unit="台(套)",
    tolerance=0.0,
    document="docs/probes/p-040-devices.md",
    equipment=("项目承诺的设备清册", "能看到设备的独立来源：消息代理、核心网导出、镜像口等", "现场核对铭牌与拔线的人"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """The window, and the time for the load to come up; as many samples as the audit draws."""
    ramp_s = params.load.ramp_s if params.load else 0.0
    return Estimate(seconds=ramp_s + params.window_s, samples=params.audit.size if params.audit else 0)


def forms(params: Params) -> dict[str, str]:
    """The blank audit file: its header. Which devices it must name is drawn once the register is frozen."""
    if params.audit is None:
        return {}
    return {params.audit.file: f"{params.register_.id},result,serial,unplug,note\n"}
