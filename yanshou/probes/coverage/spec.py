"""What the `coverage` probe is and what it is told: the boundaries, the positions, and what covered means.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.boundary import BoundaryFile
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.positions import Reported
from yanshou.probes.records.spec import Window


class Params(BaseModel):
    """Which sub-districts, which positions, and when a sub-district is covered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boundary: BoundaryFile = Field(
        description="街道官方界线 {file, crs, name, sha256, check, ...}；name 是街道名称的属性"
    )
    fixes: tuple[Reported, ...] = Field(
        min_length=1,
        description="在用终端的定位记录：[{kind: table, file, id, time, longitude, latitude, quality, valid}]，"
        "或 [{kind: nmea, folder, date, valid}]",
    )
    window: Window | None = Field(default=None, description="定位时刻的窗口 {start, end}，两端都含")
    recognition: Literal["share", "track"] = Field(
        description="覆盖的认定，与承诺的口径一致：share 有定位的格占比达到 least_share；track 有定位的格达到 least_cells"
    )
    least_share: float | None = Field(default=None, gt=0, le=1, description="share：有定位的 100 米格至少占街道的几成")
    least_cells: int | None = Field(default=None, ge=1, description="track：至少几个 100 米格有定位")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.boundary.name is None:
            raise ValueError("boundary.name 要写明街道名称在哪个属性")
        wanted = {"share": "least_share", "track": "least_cells"}[self.recognition]
        for key in ("least_share", "least_cells"):
            if (getattr(self, key) is None) is (key == wanted):
                raise ValueError(f"recognition 为 {self.recognition} 时只写 {wanted}")
        return self


SPEC = ProbeSpec(
    name="coverage",
    version="1",
    title="服务覆盖街道数",
    kind=Kind.COUNTED,
    unit="个",
    tolerance=0.0,
    document="docs/probes/p-061-coverage.md",
    equipment=("主管部门出具的街道界线", "实测过坐标的界址点（检查点）", "在用终端的定位记录"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own: files are taken in."""
    return Estimate(seconds=0.0, samples=0)
