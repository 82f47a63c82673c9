"""What the `area` probe is and what it is told: the boundary, and where the visits are written down.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from yanshou.harness.model import Kind
from yanshou.probes.boundary import BoundaryFile
from yanshou.probes.contract import Estimate, ProbeSpec

COLUMNS = ("point", "longitude", "latitude", "result", "seen_longitude", "seen_latitude", "note")
"""Of the file of visits: which point, where it was drawn, 好 or 坏, and where the terminal under test said it was."""


class Visits(BaseModel):
    """The results of going to random points inside the boundary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(min_length=1, description="现场核验结果（CSV），列见方法文件，相对案卷文件夹")
    size: int = Field(ge=1, description="抽几个点；59 个全好说明至少 95 % 的面积可用")
    nearby_m: float = Field(default=30.0, gt=0, description="终端自报的位置离抽中的点不超过几米才算到过")


class Params(BaseModel):
    """Which area, and how its availability is verified."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boundary: BoundaryFile = Field(description="示范区边界 {file, crs, sha256, check, ...}；所有面合为一个区域")
    visits: Visits | None = Field(
        default=None, description="面内随机点现场核验 {file, size, nearby_m}；不写则只有申报的面积，不作判定"
    )


VISIT = "走到这一点：让终端定位，抄终端报出的经纬度，看服务可不可用"
"""What people do with each point that was drawn."""

SPEC = ProbeSpec(
    name="area",
    version="1",
    title="示范区面积",
    kind=Kind.COUNTED,
    unit="m2",
    tolerance=1.0,
    document="docs/probes/p-062-area.md",
    equipment=("主管部门出具的边界文件", "实测过坐标的界址点（检查点）", "到抽中的点上用被测终端定位的人"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own (people go to the points beforehand); as many samples as points are drawn."""
    return Estimate(seconds=0.0, samples=params.visits.size if params.visits else 0)


def forms(params: Params) -> dict[str, str]:
    """The blank file of visits: its header. Which points it must hold is drawn once the plan is frozen."""
    return {} if params.visits is None else {params.visits.file: ",".join(COLUMNS) + "\n"}
