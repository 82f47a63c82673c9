"""What the `sme.level` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.params import Frozen


class AuditFile(Frozen):
    """The results of visiting a random sample of the counted enterprises once more."""

    file: str = Field(min_length=1, description="核验结果（CSV，由 yanshou sample 写出），相对案卷文件夹")
    size: int = Field(ge=1, description="抽几家；多于净数时全数核验")


class Params(Frozen):
    """Which enterprises' sheets, and what counts."""

    files: tuple[str, ...] = Field(
        min_length=1,
        description="评测表（xlsx，由 yanshou sheet sme 写出），或放评测表的文件夹，相对案卷文件夹；一张工作表一家企业",
    )
    edition: Literal["2024年版"] = Field(
        default="2024年版", description="评测指标版本，只认 2024年版（2022年版另有分值，不混用）"
    )
    level: int | None = Field(default=None, ge=1, le=4, description="计入达到几级以上的企业，单位为家")
    shared_by: int | None = Field(
        default=None, ge=1, description="或：给出至少这么多家都达到的最高等级，单位为级；与 level 写且只写一个"
    )
    improved: bool = Field(default=True, description="true：改造后等级须高于改造前，没有改造前等级的不计")
    audit: AuditFile | None = Field(default=None, description="抽样再核 {file, size}；只用于按家计数")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.level is None) == (self.shared_by is None):
            raise ValueError("level 与 shared_by 须写且只写一个")
        if self.audit and self.level is None:
            raise ValueError("audit 只用于按家计数（level）")
        if len(set(self.files)) != len(self.files):
            raise ValueError("files 里有重复")
        return self


SPEC = ProbeSpec(
    name="sme.level",
    version="1",
    title="中小企业数字化水平评定",
    kind=Kind.COUNTED,
    unit="家",
    tolerance=0.0,
    document="docs/probes/p-080-sme.level.md",
    equipment=(
        "每家企业一张评测表（yanshou sheet sme 写出）",
        "每项现场确认的证据文件",
        "检查人与复核人各一名，逐家到场",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own (people go from one enterprise to the next); as many samples as the audit draws."""
    return Estimate(seconds=0.0, samples=params.audit.size if params.audit else 0)
