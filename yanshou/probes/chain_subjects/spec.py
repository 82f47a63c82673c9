"""What the `chain.subjects` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.chain_records.spec import Params as Records
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.encodings import Encoding
from yanshou.probes.params import Frozen


class Register(Frozen):
    """Which on-chain account belongs to which legal person, as the project states it: one row an account."""

    file: str = Field(min_length=1, description="服务主体清册（CSV，首行为列名），相对案卷文件夹；一行一个链上账户")
    encoding: Encoding = Field(default="utf-8", description="文件编码：utf-8、gb18030 等")
    account: str = Field(default="链上账户", min_length=1, description="账户地址那一列：0x 加 40 位十六进制")
    code: str = Field(default="统一社会信用代码", min_length=1, description="统一社会信用代码那一列")
    controller: str | None = Field(
        default=None, description="控制方那一列（母公司或集团，没有则留空）；同一控制方的主体另列"
    )

    def columns(self) -> tuple[str, ...]:
        """The declared columns."""
        return (self.account, self.code, *((self.controller,) if self.controller else ()))


class Params(Frozen):
    """Who is registered, and what on which chain counts as use."""

    records: Records = Field(
        description="什么算一条业务记录 {chain, endpoint, witnesses, record, window, sample}：同 chain.records；sample 是重算几家"
    )
    subjects: Register = Field(description="服务主体清册 {file, encoding, account, code, controller}")
    unit: str = Field(default="家", min_length=1, description="计数单位")

    @model_validator(mode="after")
    def _no_originals(self) -> Self:
        if self.records.originals is not None:
            raise ValueError("链下原件由 chain.records 核对，这里不写 originals")
        return self


SPEC = ProbeSpec(
    name="chain.subjects",
    version="2",
    title="链上服务主体计数",
    kind=Kind.COUNTED,
    unit="家",
    tolerance=0.0,
    document="docs/probes/p-113-chain.subjects.md",
    equipment=(
        "能访问节点 RPC 接口的网络位置（不带国密 SSL 的接口）",
        "存证合约的地址与函数签名",
        "服务主体清册：链上账户、统一社会信用代码、控制方",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """How long it takes depends on the chain's length, which nobody knows beforehand."""
    return Estimate(seconds=0.0, samples=params.records.sample)
