"""What the `gnss` probe is and what it is told. The field descriptions are the help that a person sees in case.yaml.

It must never open a port or a file, and never hold a limit: how large an error may be is no parameter of an instrument.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.gnss.inputs import Challenge, Input, recording, require_challenge
from yanshou.probes.gnss.marks import MARKS
from yanshou.probes.gnss.reading import Datum, Sentence
from yanshou.probes.gnss.streams import TRUTH

U95_MAX_MM = 1000.0
LEAST_S = 1800.0
"""Judged time below which slow errors cannot be told from none."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Truth(_Frozen):
    """What every truth states of itself."""

    frame: str = Field(min_length=1, description="真值坐标的参考框架，如 CGCS2000、ITRF2014；须与差分改正数的框架相同")
    epoch: float = Field(ge=1980, le=2100, description="真值坐标的历元，如 2000.0；须与差分改正数的历元相同")
    u95_horizontal_mm: float = Field(
        gt=0, le=U95_MAX_MM, description="真值水平分量的扩展不确定度(k=2)，毫米，含对中；须不大于限值的三分之一"
    )
    u95_vertical_mm: float = Field(
        gt=0, le=U95_MAX_MM, description="真值高程的扩展不确定度(k=2)，毫米，含天线高量取；须不大于限值的三分之一"
    )


class Antenna(_Frozen):
    """How the antenna stands over the mark, and which of its points the receiver's coordinates are of."""

    before_m: float = Field(
        ge=0, le=10, description="测前量得的天线高：标石中心到天线参考点(ARP)的垂直距离，米，读到毫米"
    )
    after_m: float = Field(ge=0, le=10, description="测后再量一次，米；与测前相差超过 2 mm 则不作精度结论")
    output: Literal["mark", "arp", "phase_centre"] = Field(
        description="接收机输出的是哪一点：mark 标石（已在接收机里设天线高）、arp 天线参考点、phase_centre 相位中心"
    )
    phase_centre_m: float = Field(
        default=0.0,
        ge=-0.5,
        le=0.5,
        description="相位中心在天线参考点之上几米（天线检定值）；output 为 phase_centre 时用",
    )


class ControlPoint(_Truth):
    """The certificate of a control point: either latitude, longitude and height, or x, y and z."""

    kind: Literal["point"]
    id: str = Field(min_length=1, description="点号与证书编号")
    latitude: float | None = Field(default=None, ge=-90, le=90, description="大地纬度，度")
    longitude: float | None = Field(default=None, ge=-180, le=180, description="大地经度，度")
    height_m: float | None = Field(default=None, ge=-1000, le=9000, description="高程，米；哪一种由 height_type 说明")
    height_type: Literal["ellipsoidal", "normal"] = Field(
        default="ellipsoidal", description="ellipsoidal 大地高；normal 正常高（还须写 height_anomaly_m）"
    )
    height_anomaly_m: float | None = Field(
        default=None, ge=-150, le=150, description="该点的高程异常：大地高减正常高，米"
    )
    xyz_m: tuple[float, float, float] | None = Field(
        default=None, description="地心直角坐标 X、Y、Z，米；写了它就不写经纬度和高程"
    )
    antenna: Antenna = Field(description="天线高与输出点 {before_m, after_m, output, phase_centre_m}")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        geodetic = (self.latitude, self.longitude, self.height_m)
        if self.xyz_m is None:
            if None in geodetic:
                raise ValueError("latitude、longitude、height_m 三个都要写，或写 xyz_m")
        elif geodetic != (None, None, None) or self.height_type != "ellipsoidal":
            raise ValueError("xyz_m 与经纬度、高程只写一种")
        return self


class TruthFile(_Truth):
    """Where the vehicle truly was, as something better than the receiver says it."""

    kind: Literal["trajectory"]
    file: str = Field(min_length=1, description="真值轨迹文件，相对案卷文件夹；至少 10 Hz，时间是 GNSS 时间")
    format: Literal["csv", "nmea", "pos"] = Field(
        description="csv（列 utc 或 gpst,latitude,longitude,height[,heading,pitch,roll]）、nmea、pos(RTKLIB)"
    )
    lever_arm_m: tuple[float, float, float] = Field(
        default=(0.0, 0.0, 0.0), description="从真值参考点到受检天线：向前、向右、向下，米；不为零时轨迹须有姿态"
    )

    @property
    def stream(self) -> str:
        """Where the capture copies it to."""
        return f"{TRUTH}{self.format}"


Truth: TypeAlias = Annotated[ControlPoint | TruthFile, Field(discriminator="kind")]


class Params(_Frozen):
    """What is listened to, what is true, and which question is asked of it."""

    input: Input = Field(description="接收机的输出从哪里来 {kind: serial|tcp|udp|ntrip|file|run, …}")
    component: Literal["horizontal", "vertical"] = Field(description="判哪个分量：horizontal 水平、vertical 垂直")
    motion: Literal["static", "dynamic"] = Field(
        description="static 天线在控制点上不动；dynamic 在车上走，另有真值轨迹"
    )
    rate_hz: float = Field(gt=0, le=100, description="约定的输出频率，Hz：应有多少个历元由它算出")
    truth: Truth | None = Field(
        default=None,
        description="真值 {kind: point|trajectory, …}；没有则只给精密度（离散程度），不作精度结论。动态必须有",
    )
    observable: Literal["epoch", "session"] | None = Field(
        default=None,
        description="静态判什么：epoch 逐历元，session 时段平均；承诺没有写明则不写，两种都算，都符合才算符合",
    )
    least_fixed: float = Field(default=0.95, gt=0, le=1, description="固定解占应有历元的最低比例，低于它本次无效")
    least_s: float = Field(
        default=LEAST_S,
        gt=0,
        le=LEAST_S,
        json_schema_extra={"demo_only": True},
        description="参加判定的时间至少几秒；只有演示可以改小，它的标准器误差变化之快是已知的",
    )
    correction_frame: str | None = Field(
        default=None, min_length=1, description="差分改正数（基准站坐标）的参考框架；不写或与真值不同则不作精度结论"
    )
    correction_epoch: float | None = Field(default=None, ge=1980, le=2100, description="差分改正数的框架历元")
    separation_m: float | None = Field(
        default=None, ge=-150, le=150, description="语句不给大地水准面差距时，接收机所用的值（大地高减输出的海拔），米"
    )
    day: date | None = Field(default=None, description="第一个历元的 UTC 日期；只有 GGA、没有带日期的语句时必须写")
    sentence: Sentence = Field(default="auto", description="取哪种语句的位置；auto 取数据里有的、顺序最前的一种")
    datum: Datum | None = Field(
        default=None, description="语句不说明高程从哪里起算(KSXT)时写：ellipsoid 大地高、sea 海拔；不写则没有高程"
    )
    session_gap_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="中断多少秒以上是有意的停顿（重新初始化、另一时段），不算缺失；不写则都算缺失",
    )
    initialise_s: float = Field(
        default=120, ge=0, le=3600, description="停顿之后至多几秒、到第一个固定解为止是初始化，只报用时，不参加判定"
    )
    sources: tuple[Annotated[str, Field(min_length=1, max_length=20)], ...] = Field(
        default=("BDS",), min_length=1, description="承诺声明的融合源，如 [BDS, GPS, INS]；每一种都要有关断试验的标记"
    )
    marks: str | None = Field(
        default=None,
        min_length=1,
        description="标记文件（CSV：utc,mark；mark 为 off BDS、on BDS 之类），相对案卷文件夹",
    )
    challenge: Challenge | None = Field(default=None, description="位移激励；静态不做则不能排除保持、平均与编造的输出")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.motion == "dynamic":
            if not isinstance(self.truth, TruthFile):
                raise ValueError("dynamic 须写 truth: {kind: trajectory, …}")
            if self.observable == "session":
                raise ValueError("dynamic 没有时段平均：不写 observable，或写 epoch")
            if self.challenge:
                raise ValueError("位移激励只用于 static")
        elif isinstance(self.truth, TruthFile):
            raise ValueError("static 的真值是控制点：truth: {kind: point, …}")
        require_challenge(self.input, self.challenge)
        if self.challenge and recording(self.input) and self.challenge.offsets_mm[-1]:
            raise ValueError("challenge.offsets_mm 的最后一步须是 0：只有天线在原位的历元参加精度判定")
        return self

    def files(self) -> dict[str, str]:
        """Streams that people bring beside the receiver's output -> their files, relative to the case folder."""
        truth = {self.truth.stream: self.truth.file} if isinstance(self.truth, TruthFile) else {}
        return {**truth, **({MARKS: self.marks} if self.marks else {})}


SPEC = ProbeSpec(
    name="gnss",
    version="2",
    title="北斗定位精度",
    kind=Kind.MEASURED,
    unit="mm",
    tolerance=0.1,
    document="docs/probes/p-060-gnss.md",
    equipment=(
        "受检的北斗接收机或融合定位终端，输出 NMEA",
        "静态：有证书的控制点（含框架、历元、不确定度），量天线高的工具，位移滑台",
        "动态：更高等级的真值轨迹（≥10 Hz，含姿态），量杆臂的工具",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """Duration of a live recording and the epochs due in it. A recorded file takes no time and says itself how many there are."""
    live = recording(params.input)
    if live is None:
        return Estimate(0.0, samples or 1)
    return Estimate(live.duration_s, max(1, round(live.duration_s * params.rate_hz)))
