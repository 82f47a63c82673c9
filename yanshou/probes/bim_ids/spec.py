"""What the `bim.ids` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.params import Frozen


class Model(Frozen):
    """One model, and what it is shown for."""

    name: str = Field(min_length=1, description="它是哪个环节或专业的模型，如 施工图设计")
    file: str = Field(min_length=1, description="模型文件（.ifc，STEP 明文），相对案卷文件夹")


class Params(Frozen):
    """Which models, and what is required of them."""

    models: tuple[Model, ...] = Field(min_length=1, description="模型 [{name, file}]，一个环节一个文件")
    ids: str = Field(
        min_length=1, description="信息交付规范（.ids，buildingSMART IDS 1.0），相对案卷文件夹，随计划商定"
    )
    ids_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="IDS 文件的 SHA-256；写了就随计划冻结，换文件即无效",
    )

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: tuple[Model, ...]) -> tuple[Model, ...]:
        if len({model.name for model in models}) != len(models):
            raise ValueError("models 里的 name 有重复")
        return models


SPEC = ProbeSpec(
    name="bim.ids",
    version="2",
    title="BIM 模型信息查验",
    kind=Kind.INSPECTED,
    unit="项",
    tolerance=0.0,
    document="docs/probes/p-081-bim.ids.md",
    equipment=("各环节的 IFC 模型文件", "商定的 IDS 文件", "装有 BIM 组件的评测主机（pip install 'yanshou[bim]'）"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own; how many specifications there are is known when the IDS is read."""
    return Estimate(seconds=0.0, samples=len(params.models))
