"""What the `records` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.encodings import Encoding
from yanshou.probes.texts import DATE, moment, plain


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Window(_Frozen):
    """The time span a record must lie in, both ends inclusive."""

    start: str = Field(description="窗口起点（含），ISO 日期或时刻，北京时间，如 2025-01-01")
    end: str = Field(description="窗口终点（含）。只写日期时整天都算在内，如 2025-12-31 算到当天 24 时")

    @field_validator("start", "end", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return value.isoformat() if isinstance(value, date) else value  # YAML turns 2025-01-01 into a date

    @field_validator("start", "end")
    @classmethod
    def _readable(cls, value: str) -> str:
        if moment(value) is None:
            raise ValueError("不是 ISO 日期或时刻，请写成 2025-01-01 或 2025-01-01 08:00:00")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        start, end = self.bounds()
        if end < start:
            raise ValueError("窗口终点早于起点")
        return self

    def bounds(self) -> tuple[datetime, datetime]:
        """First and last moment inside, naive Beijing time."""
        start, end = moment(self.start), moment(self.end)
        assert start is not None
        assert end is not None
        whole_day = timedelta(days=1, microseconds=-1) if DATE.fullmatch(plain(self.end)) else timedelta()
        return start, end + whole_day


class Sized(_Frozen):
    """Where an enterprise's size stands; `column` of the rule holds its industry."""

    staff: str | None = Field(default=None, min_length=1, description="从业人员列，人")
    revenue: str | None = Field(default=None, min_length=1, description="营业收入列，万元")
    assets: str | None = Field(default=None, min_length=1, description="资产总额列，万元")

    def columns(self) -> tuple[str, ...]:
        """The columns that are declared."""
        return tuple(filter(None, (self.staff, self.revenue, self.assets)))


class Exclude(_Frozen):
    """One declared reason to leave rows out. Cell and operand are compared in NFKC without surrounding blanks."""

    code: str = Field(pattern=r"^[A-Z][A-Z0-9_-]*$", description="原因代码，如 TEST、CANCELLED，不得以 REC- 开头")
    text: str = Field(min_length=1, description="排除原因，印在报告里")
    column: str = Field(min_length=1, description="看哪一列")
    equals: str | None = Field(default=None, description="等于此值则排除")
    contains: str | None = Field(default=None, min_length=1, description="含此字样则排除")
    matches: str | None = Field(default=None, min_length=1, description="任何位置匹配此正则表达式则排除")
    empty: bool | None = Field(default=None, description="true：为空则排除；false：不为空则排除")
    one_of: tuple[str, ...] | None = Field(default=None, alias="in", min_length=1, description="等于其中之一则排除")
    invalid: Literal["uscc", "vin", "imei"] | None = Field(
        default=None, description="校验位不对则排除：uscc 统一社会信用代码，vin 车辆识别代号，imei"
    )
    not_sme: Sized | None = Field(
        default=None,
        description="不是中小微企业则排除 {staff, revenue, assets}，column 写行业列；无法划型的另计为 代码-UNKNOWN",
    )

    @field_validator("code")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value.startswith("REC-"):
            raise ValueError("REC- 开头的代码是工具自用的，请换一个")
        return value

    @field_validator("matches")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"不是正则表达式：{error}") from None
        return value

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        tests = (self.equals, self.contains, self.matches, self.empty, self.one_of, self.invalid, self.not_sme)
        if sum(test is not None for test in tests) != 1:
            raise ValueError("equals、contains、matches、empty、in、invalid、not_sme 须写且只写一个")
        return self

    def columns(self) -> tuple[str, ...]:
        """Every column that the rule looks at."""
        return (self.column, *(self.not_sme.columns() if self.not_sme else ()))

    def reasons(self) -> dict[str, str]:
        """Code -> text of each reason that the rule can give."""
        unknown = {f"{self.code}-UNKNOWN": f"{self.text}（行业或数字读不出，无法划型）"} if self.not_sme else {}
        return {self.code: self.text} | unknown


class AuditFile(_Frozen):
    """The results of re-verifying a random sample of the counted records."""

    file: str = Field(min_length=1, description="核验结果（CSV：关键列加 result、note），相对案卷文件夹")
    size: int = Field(ge=1, description="抽样条数；多于净数时全数核验")


class Params(_Frozen):
    """What to count, and what not."""

    file: str = Field(min_length=1, description="数据导出文件（CSV，首行为列名），相对案卷文件夹")
    encoding: Encoding = Field(default="utf-8", description="文件编码：utf-8、utf-8-sig、gb18030 等")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="列分隔符")
    key: tuple[str, ...] = Field(min_length=1, description="合起来唯一标识一条记录的列")
    time: str | None = Field(default=None, description="时间列：ISO 8601 或 YYYY-MM-DD HH:MM:SS；不带时区的按北京时间")
    window: Window | None = Field(
        default=None, description="计数的时间窗口 {start, end}，两端都含；end 只写日期时整天都算在内"
    )
    exclude: tuple[Exclude, ...] = Field(
        default=(),
        description="排除规则 {code, text, column, 及 equals|contains|matches|empty|in|invalid|not_sme 之一}，"
        "依次应用，一行只计首个命中的原因",
    )
    unit: str = Field(default="条", min_length=1, description="计数单位：条、台(套)、人次、家 等")
    normalise: tuple[Literal["nfkc", "strip", "upper"], ...] = Field(
        default=("nfkc", "strip"), description="关键列的规范化：nfkc 全角转半角，strip 去首尾空白，upper 转大写"
    )
    audit: AuditFile | None = Field(default=None, description="抽样核验 {file, size}；不写则只计数，不核实")

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, value: str) -> str:
        if value in '"\r\n':
            raise ValueError("引号和换行不能作分隔符")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window is not None and self.time is None:
            raise ValueError("写了 window 就要写 time（时间列）")
        codes = tuple(code for rule in self.exclude for code in rule.reasons())
        for name, values in (("key 里的列", self.key), ("exclude 里的 code", codes)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}有重复")
        return self

    def columns(self) -> tuple[str, ...]:
        """Every column that the parameters name, each once."""
        named = (*self.key, *((self.time,) if self.time else ()), *(c for rule in self.exclude for c in rule.columns()))
        return tuple(dict.fromkeys(named))


VISIT = "按关键列到独立来源（业务系统、纸质单据、当事人）查这一条：有没有，是不是这样"
"""What people do with each record that was drawn."""

SPEC = ProbeSpec(
    name="records",
    version="1",
    title="记录计数",
    kind=Kind.COUNTED,
    unit="条",
    tolerance=0.0,
    document="docs/probes/p-020-records.md",
    equipment=("被测系统的数据导出文件（CSV）", "抽样核验所用的独立来源（现场业务系统、纸质单据等）"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own (people export and re-verify); as many samples as the audit draws."""
    return Estimate(seconds=0.0, samples=params.audit.size if params.audit else 0)
