"""What the `chain.records` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from yanshou.chains.abi import names, signature
from yanshou.chains.spec import Chain, Endpoint
from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.params import Frozen
from yanshou.probes.records.spec import Window

ADDRESS = r"^0x[0-9a-fA-F]{40}$"


class Record(Frozen):
    """What one record is: a call of a contract, or one event that it raises."""

    contracts: tuple[str, ...] = Field(
        min_length=1, description="存证合约的地址，0x 加 40 位十六进制；长安链、Fabric 写合约名"
    )
    method: str | None = Field(
        default=None,
        description="存证函数的签名，如 save(string,bytes32)；长安链、Fabric 写名称，如 save(file_hash,file_name)；"
        "不写则调用这些合约的任何函数都算",
    )
    event: str | None = Field(
        default=None,
        description="一条记录是一个事件而不是一笔交易时：事件的签名，如 Saved(bytes32 indexed,string)；"
        "长安链、Fabric 写 主题(各项名称)",
    )
    payload: tuple[int, ...] = Field(
        default=(), description="哪几个参数是记录的内容（从 0 数）；不写则全部。查重、查空只看它们"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method and self.event:
            raise ValueError("method 与 event 只写一个：一条记录要么是一次调用，要么是一个事件")
        if self.payload and not (self.method or self.event):
            raise ValueError("写了 payload 就要写 method 或 event")
        return self

    def check(self, by_name: bool) -> None:
        """Raises ValueError, with a Chinese text, for what cannot be on a chain that calls contracts by name, or does not."""
        count = self.arguments(by_name)
        if count is not None and any(not 0 <= i < count for i in self.payload):
            raise ValueError("payload 里的参数序号超出了签名")
        if not by_name and not all(re.fullmatch(ADDRESS, value) for value in self.contracts):
            raise ValueError("合约地址要写成 0x 加 40 位十六进制")

    def arguments(self, by_name: bool) -> int | None:
        """How many arguments the method or event has; None where neither is written. Raises ValueError."""
        named = self.method or self.event
        if not named:
            return None
        return len(names(named)[1] if by_name else signature(named).types)


class Originals(Frozen):
    """What lies off the chain: the files whose digests the records hold, handed over for those that were drawn."""

    folder: str = Field(min_length=1, description="交来的原件放在哪个文件夹（相对案卷文件夹），文件名不拘")
    digest: Literal["sha256", "sm3"] = Field(description="链上的摘要怎样由原件算出：sha256 或 sm3，对整个文件")
    argument: int = Field(
        ge=0, description="摘要是 method 或 event 的第几个参数（从 0 数）：32 字节，或 64 位十六进制文字"
    )


class Params(Frozen):
    """Which chain, and what on it counts."""

    chain: Chain = Field(description="链 {kind, group, batch, parallel}")
    endpoint: Endpoint = Field(description="从哪个节点取区块 {url, operator, ca}，须保存全部历史")
    witnesses: tuple[Endpoint, ...] = Field(
        default=(), description="另外几个节点，最好属于不同单位：只核对同一高度的区块哈希"
    )
    record: Record = Field(description="什么是一条记录 {contracts, method 或 event, payload}")
    confirmations: int = Field(default=0, ge=0, description="定高时退后几块；会回滚的链（工作量证明等）写 12 以上")
    window: Window | None = Field(default=None, description="计数的时间窗口 {start, end}，按区块时间，两端都含")
    sample: int = Field(
        default=1000, ge=1, description="抽多少条逐条重算哈希、签名、交易根与出块签名；多于净数时全数重算"
    )
    originals: Originals | None = Field(
        default=None,
        description="抽中的记录要交来链下原件 {folder, digest, argument}：计数后用 yanshou sample 出清单；不写则不核对",
    )
    unit: str = Field(default="条", min_length=1, description="计数单位")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.chain.check((self.endpoint, *self.witnesses))
        self.record.check(self.chain.by_name)
        if self.originals and self.originals.argument >= (self.record.arguments(self.chain.by_name) or 0):
            raise ValueError("originals.argument 要是 record 里 method 或 event 的一个参数")
        return self


VISIT = "调取这条记录的原件，原样放进原件文件夹；run 自己算摘要，不必填结果"
"""What people do with each record that was drawn."""

SPEC = ProbeSpec(
    name="chain.records",
    version="2",
    title="上链数据计数",
    kind=Kind.COUNTED,
    unit="条",
    tolerance=0.0,
    document="docs/probes/p-110-chain.records.md",
    equipment=(
        "能访问节点 RPC 接口的网络位置（不带国密 SSL 的接口）",
        "存证合约的地址与函数签名",
        "保存全部历史的节点",
    ),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """How long it takes depends on the chain's length, which nobody knows beforehand; `sample` records are recomputed."""
    return Estimate(seconds=0.0, samples=params.sample)
