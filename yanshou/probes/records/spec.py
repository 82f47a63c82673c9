"""What the `records` probe is and what it is told: its parameters.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from yanshou.harness.model import Kind
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.encodings import Encoding
from yanshou.probes.texts import DATE, moment, plain


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Form(Enum):
    """The kinds of sources."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    SQLITE = "sqlite"
    DATABASE = "database"


_SUFFIXES = {
    ".xlsx": Form.XLSX,
    ".parquet": Form.PARQUET,
    ".sqlite": Form.SQLITE,
    ".sqlite3": Form.SQLITE,
    ".db": Form.SQLITE,
}


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


class Source(_Frozen):
    """Where rows come from: a file of the case, or what a query of a database gives."""

    file: str | None = Field(
        default=None,
        min_length=1,
        description="数据导出文件，相对案卷文件夹：CSV（首行为列名）、.xlsx、.parquet、.sqlite 或 .db",
    )
    encoding: Encoding = Field(default="utf-8", description="CSV 的文件编码：utf-8、utf-8-sig、gb18030 等")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="CSV 的列分隔符")
    sheet: str | None = Field(default=None, min_length=1, description="xlsx 的工作表名；不写则取第一张")
    database: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="PostgreSQL 或 MySQL 数据库的代号，如 HIS：连接串取自环境变量 YANSHOU_DB_HIS，不进案卷",
    )
    query: str | None = Field(
        default=None, min_length=1, description="SQLite 与数据库的取数语句：一条 SELECT，只读事务里执行"
    )

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, value: str) -> str:
        if value in '"\r\n':
            raise ValueError("引号和换行不能作分隔符")
        return value

    @field_validator("query")
    @classmethod
    def _one_select(cls, value: str | None) -> str | None:
        if value is not None and (";" in value or not re.match(r"\s*(select|with)\b", value, re.IGNORECASE)):
            raise ValueError("只写一条以 SELECT 或 WITH 开头的语句，不带分号")
        if value is not None and re.search(r"\binto\s+(outfile|dumpfile)\b", value, re.IGNORECASE):
            raise ValueError("取数语句不能写文件（INTO OUTFILE、INTO DUMPFILE）")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) is (self.database is None):
            raise ValueError("file 和 database 须写且只写一个")
        if (self.query is None) is (self.form in (Form.SQLITE, Form.DATABASE)):
            raise ValueError("query 要与 database 或 SQLite 文件一起写，别处不用")
        if self.sheet is not None and self.form is not Form.XLSX:
            raise ValueError("sheet 只用于 .xlsx 文件")
        return self

    @property
    def form(self) -> Form:
        """What kind of source it is, by the file's suffix."""
        return Form.DATABASE if self.file is None else _SUFFIXES.get(PurePath(self.file).suffix.lower(), Form.CSV)


class Join(Source):
    """A second source in which every counted record must have its counterpart."""

    on: dict[str, str] = Field(
        min_length=1, description="对应关系 {本表的列: 第二来源的列}，按 normalise 规范后相等才算"
    )
    text: str = Field(default="第二来源里没有对应的记录", min_length=1, description="排除原因，印在报告里")
    exclude: tuple[Exclude, ...] = Field(default=(), description="第二来源里不算数的行，写法同 exclude")

    def columns(self) -> tuple[str, ...]:
        """Every column of the second source that is looked at, each once."""
        return tuple(dict.fromkeys((*self.on.values(), *(c for rule in self.exclude for c in rule.columns()))))


class Params(Source):
    """What to count, and what not."""

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
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="导出文件的 SHA-256，项目在计划冻结之前先交这一串数：抽样种子在其后才有，排列行序挑不了样本",
    )
    audit: AuditFile | None = Field(default=None, description="抽样核验 {file, size}；不写则只计数，不核实")
    protect: tuple[str, ...] = Field(
        default=(),
        description="含个人信息的列：证据里只有现场密钥（环境变量 YANSHOU_SITE_KEY 所指文件）算出的代号",
    )
    digits: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="定长数字编号的位数 {关键列: 位数}：丢了前导零的会被指出"
    )
    join: Join | None = Field(
        default=None, description="与第二来源对账 {file 或 database, on, …}：没有对应记录的排除，如平台日志对业务记录"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window is not None and self.time is None:
            raise ValueError("写了 window 就要写 time（时间列）")
        rules = (self.exclude, self.join.exclude if self.join else ())
        codes = [tuple(code for rule in some for code in rule.reasons()) for some in rules]
        named = (("key 里的列", self.key), *(("exclude 里的 code", some) for some in codes))
        for name, values in named:
            if len(set(values)) != len(values):
                raise ValueError(f"{name}有重复")
        if self.sha256 and self.form is Form.DATABASE:
            raise ValueError("sha256 是导出文件的摘要，database 没有")
        if self.time in self.protect:
            raise ValueError("时间列不能写进 protect")
        if lost := set(self.digits) - set(self.key):
            raise ValueError(f"digits 里的列不是关键列：{'、'.join(sorted(lost))}")
        return self

    @property
    def copied(self) -> bool:
        """True when the export enters the evidence byte for byte; otherwise only its declared columns do."""
        return not self.protect and all(s.form is Form.CSV for s in (self, self.join) if s is not None)

    def hidden(self) -> tuple[frozenset[str], frozenset[str]]:
        """Protected columns of the export and of the second source. What must equal a protected column is protected too."""
        pairs = self.join.on.items() if self.join else ()
        alike = [pair for pair in pairs if not set(self.protect).isdisjoint(pair)]
        theirs = self.join.columns() if self.join else ()
        return (
            frozenset(self.protect).intersection(self.columns()).union(mine for mine, _ in alike),
            frozenset(self.protect).intersection(theirs).union(other for _, other in alike),
        )

    def columns(self) -> tuple[str, ...]:
        """Every column that the parameters name, each once."""
        named = (
            *self.key,
            *((self.time,) if self.time else ()),
            *(c for rule in self.exclude for c in rule.columns()),
            *(self.join.on if self.join else ()),
        )
        return tuple(dict.fromkeys(named))


VISIT = "按关键列到独立来源（业务系统、纸质单据、当事人）查这一条：有没有，是不是这样"
"""What people do with each record that was drawn."""

SPEC = ProbeSpec(
    name="records",
    version="3",
    title="记录计数",
    kind=Kind.COUNTED,
    unit="条",
    tolerance=0.0,
    document="docs/probes/p-020-records.md",
    equipment=("被测系统的数据导出文件，或其数据库的只读账号", "抽样核验所用的独立来源（现场业务系统、纸质单据等）"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own (people export and re-verify); as many samples as the audit draws."""
    return Estimate(seconds=0.0, samples=params.audit.size if params.audit else 0)
