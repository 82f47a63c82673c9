"""Where a receiver's output comes from, and how the antenna is moved to see whether it is live: parts of the parameters of `gnss`.

The field descriptions are the help that a person sees in case.yaml. It must never open a port or a file, nor hold a password:
only the name of the file that does.
"""

from __future__ import annotations

import ipaddress
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.probes.gnss.streams import FARTHEST_MM

LEAST_STEP_MM = 10.0
"""A shorter way is within the noise of a fixed solution."""
MOST_PARTS = 999


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Live(_Frozen):
    duration_s: float = Field(default=1800, gt=0, le=8 * 86_400, description="录几秒；静态至少 1800，见方法文件")
    silence_s: float = Field(
        default=120, gt=0, le=86_400, description="连续几秒没有一个字节就放弃（拔线后重新插上也在其内），本次中止"
    )


class Serial(_Live):
    """A serial port, 8 data bits, no parity, 1 stop bit."""

    kind: Literal["serial"]
    port: str = Field(
        min_length=1,
        description="串口，如 /dev/ttyUSB0；会拔插的用 /dev/serial/by-id/ 下不变的名字，Windows 如 COM3",
    )
    baud: int = Field(default=115_200, ge=1200, le=4_000_000, description="波特率，与接收机的设置一致")


class Tcp(_Live):
    """A receiver, or a serial server before it, that sends to whoever connects."""

    kind: Literal["tcp"]
    host: str = Field(min_length=1, description="接收机或串口服务器的主机名或地址")
    port: int = Field(ge=1, le=65535, description="它的 TCP 端口")


class Udp(_Live):
    """A receiver that sends datagrams to this host. The first sender is taken, others are noted."""

    kind: Literal["udp"]
    bind: str = Field(default="0.0.0.0", min_length=1, description="在本机哪个地址上收")
    port: int = Field(ge=1, le=65535, description="本机 UDP 端口")
    sender: str | None = Field(
        default=None, description="只收这个 IP 地址发来的；不写则以最先发来的为准，其余只记下地址"
    )

    @field_validator("sender")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        try:
            return value and str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError("不是 IP 地址，写成 192.0.2.7") from None


Receiver: TypeAlias = Annotated[Serial | Tcp | Udp, Field(discriminator="kind")]


class Ntrip(_Frozen):
    """A receiver whose corrections pass through this host, so that they are evidence beside its positions."""

    kind: Literal["ntrip"]
    host: str = Field(min_length=1, description="差分服务（NTRIP caster）的主机名或地址")
    port: int = Field(default=2101, ge=1, le=65535, description="它的端口")
    mountpoint: str = Field(pattern=r"^[!-.0->@-~]{1,100}$", description="挂载点")
    credentials: str | None = Field(
        default=None, description="用户名与口令文件：第一行用户名，第二行口令；内容绝不进入证据"
    )
    send_position: bool = Field(
        default=True, description="每 10 s 把接收机最新的 GGA 发给差分服务；网络 RTK（虚拟参考站）要，单基站可不要"
    )
    forward: bool = Field(
        default=True, description="true：差分由本机转给接收机；false：接收机自己有差分，本机另连一路只作记录"
    )
    receiver: Receiver = Field(description="接收机的输出 {kind: serial|tcp|udp, …}；转发差分须是 serial 或 tcp")

    @model_validator(mode="after")
    def _can_forward(self) -> Self:
        if self.forward and self.receiver.kind == "udp":
            raise ValueError("差分不能转给 udp 的接收机：用 serial 或 tcp，或写 forward: false")
        return self


class Recorded(_Frozen):
    """What was recorded before, by whatever software."""

    kind: Literal["file"]
    paths: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1, max_length=MOST_PARTS, description="录下的原始输出（NMEA），按时间先后，相对案卷文件夹"
    )
    chunks: str | None = Field(
        default=None,
        min_length=1,
        description="各段到达本机的时刻（CSV：offset,length,monotonic_ns,utc_ns）；只能与一个文件同用",
    )

    @model_validator(mode="after")
    def _one_with_times(self) -> Self:
        if self.chunks and len(self.paths) > 1:
            raise ValueError("chunks 只能与一个文件同用")
        if len(set(self.paths)) != len(self.paths):
            raise ValueError("paths 里有重复")
        return self


class OfRun(_Frozen):
    """What another indicator's run recorded, so that nothing needs to be recorded twice."""

    kind: Literal["run"]
    indicator: str = Field(
        min_length=1, description="取哪个指标最近一次完成的运行（同一受检对象、同一工况）录下的数据，如 S06-I01"
    )


Input: TypeAlias = Annotated[Serial | Tcp | Udp | Ntrip | Recorded | OfRun, Field(discriminator="kind")]
"""Where the receiver's output comes from."""


class Challenge(_Frozen):
    """The antenna is moved by known ways at times that nobody knows before: no averaged, held or invented output follows it."""

    axis: Literal["east", "north", "up"] = Field(
        default="east", description="滑台的方向：east 向东、north 向北、up 向上；负的位移向西、南、下"
    )
    offsets_mm: tuple[float, ...] = Field(
        default=(20.0, 50.0, 0.0),
        min_length=1,
        max_length=20,
        description="依次移到离起点几毫米处；最后的 0 是移回起点，不移回则此后的历元不参加判定",
    )
    least_wait_s: float = Field(default=60, gt=0, le=86_400, description="每次移动之前至少等几秒；时刻临场随机抽取")
    most_wait_s: float = Field(default=240, gt=0, le=86_400, description="至多等几秒")
    move_s: float = Field(
        default=60, gt=0, le=3600, description="移动一次天线至多给几秒，电动滑台可少；录取时长据此核对，晚应答照样接受"
    )
    settle_s: float = Field(default=5, gt=0, le=600, description="移好之后几秒之内输出须到位")
    hold_s: float = Field(default=30, gt=0, le=3600, description="到位之后至少停几秒，用来判断是否到位")
    tolerance_mm: float = Field(default=10, gt=0, le=1000, description="输出的位移与滑台的位移相差几毫米以内算到位")
    file: str | None = Field(
        default=None,
        min_length=1,
        description="录好的数据配录好的步骤（CSV：utc,east_mm,north_mm,up_mm，utc 须带时区）；写了它，上面的方向、位移与等待不用",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least_wait_s > self.most_wait_s:
            raise ValueError("least_wait_s 不能大于 most_wait_s")
        if any(abs(value) > FARTHEST_MM for value in self.offsets_mm):
            raise ValueError(f"offsets_mm 须在 ±{FARTHEST_MM:g} 之内")
        if any(abs(b - a) < LEAST_STEP_MM for a, b in pairwise((0.0, *self.offsets_mm))):
            raise ValueError(f"offsets_mm 的相邻两步至少相差 {LEAST_STEP_MM:g} mm，第一步从 0 算起")
        return self

    @property
    def longest_s(self) -> float:
        """How long it takes at most, of an operator who is at hand."""
        return len(self.offsets_mm) * (self.most_wait_s + self.move_s + self.settle_s + self.hold_s)


def recording(source: Input) -> Serial | Tcp | Udp | None:
    """Who is listened to; None where nothing is recorded now."""
    if isinstance(source, (Recorded, OfRun)):
        return None
    return source.receiver if isinstance(source, Ntrip) else source


def require_challenge(source: Input, challenge: Challenge | None) -> None:
    """Refuse a challenge that does not go with the input. Raises ValueError, for the validator of the parameters."""
    if challenge is None:
        return
    if isinstance(source, Recorded):
        if not challenge.file:
            raise ValueError("录好的数据要在 challenge.file 写明步骤文件")
    elif challenge.file:
        raise ValueError("challenge.file 只配录好的数据（input.kind: file）；现场录取与取用另一次运行时，步骤一并记录")
    elif (live := recording(source)) and challenge.longest_s > live.duration_s:
        raise ValueError(f"challenge 可能要 {challenge.longest_s:g} s，大于 duration_s {live.duration_s:g}")
