"""What the `xr.frames` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a file, a socket or a browser.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.load.spec import Load

OWN = "own"
"""The probe's own page."""
USUAL_HZ = 60.0


class Params(BaseModel):
    """Where frames come from, for how long, and which of their times is the measurement."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: Literal["frame", "interaction"] = Field(
        default="frame", description="frame：相邻两帧的间隔；interaction：从输入到其后呈现的一帧"
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        description="帧时间日志，相对案卷：PresentMon、Unreal CSV、XRFrameTools，或 frame_ms 列",
    )
    files: dict[str, str] = Field(default={}, description="各受检对象的日志不同时逐个写：{受检对象: 文件}")
    application: str | None = Field(default=None, description="日志里有几个程序时是哪一个，如 venue.exe")
    page: str | None = Field(
        default=None, description="用本机浏览器打开的网页，如 https://venue.example/；own 为仪器自带的页面"
    )
    listen: str | None = Field(
        default=None,
        description="等头显来打开：本机的地址与端口，如 192.168.1.20:8642；项目的页面则引入该处的 recorder.js",
    )
    duration_s: float = Field(default=600, ge=1, le=6 * 3600, description="记录多久，秒")
    warmup_s: float = Field(default=5, ge=0, le=600, description="页面打开后多久的帧不计（加载），秒；事先冻结")
    refresh_hz: float | None = Field(
        default=None, gt=1, le=1000, description="显示设备的刷新率，如 72、90；用来识破不可能的帧率"
    )
    interactions: int = Field(default=0, ge=0, le=100_000, description="仪器点击页面几次（本机浏览器）；间隔由种子决定")
    at: tuple[float, float] = Field(default=(0.5, 0.5), description="点在页面的什么位置：宽与高的份额")
    browser: str | None = Field(default=None, description="浏览器程序；不写则在本机找 chromium、chrome、edge")
    headless: bool = Field(default=True, description="不显示窗口；现场有屏幕和显卡时写 false")
    wait_s: float = Field(default=120, gt=0, le=3600, description="等页面打开、等头显来多久，秒")
    load: Load | None = Field(
        default=None, description="记录的同时施加的并发 {target, users, rate, ...}，同仪器 load；不写则不加"
    )
    least_s: float = Field(
        default=60, ge=0, description="少于这么久的记录无效，秒", json_schema_extra={"demo_only": True}
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sources = [self.file or self.files, self.page, self.listen]
        if sum(bool(s) for s in sources) != 1:
            raise ValueError("file（或 files）、page、listen 三者须且只须写一个")
        if self.metric == "interaction" and (self.file or self.files):
            raise ValueError("帧时间日志里没有输入：metric 只能是 frame")
        if self.metric == "interaction" and self.page and not self.interactions:
            raise ValueError("metric 是 interaction 时写 interactions：点击几次")
        if self.interactions and not self.page:
            raise ValueError("只有本机浏览器打开的页面（page）能由仪器点击")
        if self.page not in (None, OWN) and urlsplit(self.page or "").scheme not in ("http", "https"):
            raise ValueError("page 写完整网址，如 https://venue.example/，或 own")
        if self.listen is not None:
            _address(self.listen)
        if self.load and (self.file or self.files):
            raise ValueError("日志是早先记下的，不能同时施加负载")
        if not all(0 <= share <= 1 for share in self.at):
            raise ValueError("at 是 0 到 1 的份额，如 [0.5, 0.5]")
        return self

    def file_of(self, subject: str | None) -> str | None:
        """The log of one subject."""
        return self.files.get(subject or "", self.file)

    @property
    def address(self) -> tuple[str, int]:
        """Where the probe serves: what `listen` says, else loopback on a port of the system's choice."""
        return _address(self.listen) if self.listen else ("127.0.0.1", 0)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError("listen 写本机的地址与端口，如 192.168.1.20:8642") from None
    if not port.isdecimal() or not 0 <= int(port) < 65536:
        raise ValueError("listen 的端口在 0 与 65535 之间，如 192.168.1.20:8642")
    return host.strip("[]"), int(port)


SPEC = ProbeSpec(
    name="xr.frames",
    version="2",
    title="XR 帧率与交互时延",
    kind=Kind.MEASURED,
    unit="ms",
    tolerance=3.0,
    document="docs/probes/p-090-xr.frames.md",
    equipment=("头显，或装有 Chromium 内核浏览器的电脑；或帧时间日志（PresentMon、Unreal CSV、XRFrameTools）",),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """The planned time, and frames at the display's rate, or the planned inputs. A log takes no time of its own."""
    if params.file or params.files:
        return Estimate(0.0, samples or 0)
    frames = round((params.duration_s - params.warmup_s) * (params.refresh_hz or USUAL_HZ))
    seconds = params.duration_s + (params.load.ramp_s if params.load else 0)
    return Estimate(seconds, params.interactions if params.metric == "interaction" else max(frames, 0))
