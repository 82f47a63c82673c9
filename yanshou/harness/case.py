"""The case: what a person writes in case.yaml, read strictly and checked against the list before anything is measured.

It is for telling a project team every mistake at once, with file and line, at a desk and without a device. It must never
guess what was meant, judge a measurement, or repeat personal data that it finds. Rules C01–C15 come from 附件2 of the notice.
"""

from __future__ import annotations

import calendar
import difflib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, to_jsonable_python
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from yanshou.harness.evidence import sha256_bytes
from yanshou.harness.listing import Indicator, PublicList, Qualitative, Scenario
from yanshou.harness.model import Json, Kind, Limit, Mode, Op, Problem, UserError
from yanshou.harness.units import TargetError, convert, dimension, parse_direction, parse_statistic, parse_target

FILE = "case.yaml"
DECLINED = "不采用"
"""Target of a member of an any-group that the project does not use."""
INSPECTION = "inspection"
"""The instrument that needs a checklist instead of parameters."""

T = TypeVar("T")
Key = str | int
Place = tuple[Key, ...]


def is_blank(value: object) -> bool:
    """True where nothing was written yet: null, empty text, or a `<…>` left from the template."""
    return value is None or (isinstance(value, str) and re.fullmatch(r"\s*(<[^<>]*>)?\s*", value) is not None)


# --- what case.yaml may contain -----------------------------------------------------------------------------------------


def _iso_date(value: object) -> object:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise ValueError("应为日期，如 2024-11-01")
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except ValueError:
        raise ValueError("应为日期，如 2024-11-01") from None


def _all_or_number(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("应为 all 或正整数")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    names = [name for value in values if (name := getattr(value, "id", value))]
    if len(set(names)) < len(names):
        raise ValueError("有重复")
    return values


def _null_as_empty(value: object) -> object:
    return "" if value is None else value


def _bool_as_text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_null_as_empty, json_schema_input_type=str | None)]
TextOrBool = Annotated[str, BeforeValidator(_bool_as_text, json_schema_input_type=str | bool)]
Distinct = AfterValidator(_distinct)
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Statistic = Literal["p50", "p90", "p95", "p99", "p99.9", "p99.99", "max", "mean", "rms"]


class _Model(BaseModel):
    """Closed and frozen. What is blank counts as left out, so that a template loads and C08 can name what is missing."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra=lambda schema: schema.pop("description", None),
    )

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if key not in cls.model_fields or not is_blank(value)}


def _text(title: str, description: str = "") -> Any:
    return Field(default="", title=title, description=description or title)


class Party(_Model, title="单位"):
    """A legal person."""

    name: str = _text("单位全称")
    uscc: str = _text("统一社会信用代码", "18 位，加引号")


class Project(_Model, title="项目"):
    """The project that was chosen for the scenario."""

    name: str = _text("项目名称", "与申报材料一致")
    lead: Party = Field(default=Party(), title="牵头单位", description="联合体只有一个牵头单位")
    partners: tuple[Party, ...] = Field(default=(), title="联合单位", description="没有则写 []")
    published: IsoDate | None = Field(default=None, title="发榜日", description="如 2024-11-01；一年期限由此起算")
    deadline: IsoDate | None = Field(default=None, title="完成时限", description="申报材料承诺的建成日期")


class Person(_Model, title="人员"):
    """Somebody who takes part in the evaluation."""

    name: str = _text("姓名")
    role: str = _text("职责", "检测、审核、批准、见证等")


class Evaluator(_Model, title="评测机构"):
    """Who measures."""

    name: str = _text("机构名称")
    address: str = _text("地址")
    people: tuple[Person, ...] = Field(default=(), title="人员", description="参加评测的人员与职责")


class Client(_Model, title="委托方"):
    """Who ordered the evaluation."""

    name: str = _text("委托方名称")
    contact: str = _text("联系方式", "通信地址或座机；不写手机号与邮箱")


class Target(_Model, title="被测系统"):
    """What is measured, and where."""

    kind: Literal["production", "lab", "simulator"] | None = Field(
        default=None,
        title="环境类别",
        description="production 生产环境、lab 实验室、simulator 模拟；正式验收只认生产环境",
    )
    site: str = _text("地点")
    version: str = _text("版本", "被测系统的名称与版本，加引号")
    condition: str = _text("状态", "被测系统在测试时的状态，如 正常生产、满负荷")
    subjects: Annotated[tuple[str, ...], Distinct] = Field(
        default=(), title="受检对象", description="一个案卷有几个对象时逐个列出，如车型、基站"
    )


class Source(_Model, title="出处"):
    """Where a commitment was copied from."""

    file: str = _text("文件", "申报材料的文件名")
    sha256: str = Field(
        default="", title="文件摘要", description="SHA-256，64 位小写十六进制", pattern=r"^([0-9a-f]{64})?$"
    )
    cell: str = _text("单元格", "表1 的行列，如 3行5列 或 E7")


class Commitment(_Model, title="承诺"):
    """One row of 表1. `name` and `kind` belong to indicators that the list does not have."""

    name: str = _text("指标名称", "仅自报指标填写")
    kind: Kind | None = Field(
        default=None, title="方法类别", description="仅自报指标填写：measured 测量、counted 计数、inspected 查验"
    )
    baseline: str = _text("本单位当前水平", "表1 第 4 栏，带单位")
    target: TextOrBool = Field(
        default="", title="项目建设目标", description="表1 第 5 栏，如 ≤ 2 ms、不少于10万条、支持、不采用"
    )
    define: dict[str, Text] = Field(default={}, title="具体含义", description="榜单没有说清、须在补充说明中回答的问题")
    note: str = _text("补充说明", "表1 第 6 栏的其余文字")
    source: Source | None = Field(default=None, title="出处", description="摘自哪个文件的哪一格")

    @property
    def declined(self) -> bool:
        """True for a member of an any-group that the project does not use."""
        return self.target == DECLINED

    def answer(self, key: str) -> str:
        """The answer to a question that the list leaves open, "" where there is none."""
        written = self.define.get(key, "")
        return "" if is_blank(written) else written


class Rule(_Model, title="判定规则"):
    """How a measurement becomes a verdict."""

    decision: Literal["DR-1", "DR-0"] = Field(
        default="DR-1", title="判定规则", description="DR-1 按单侧置信界，DR-0 直接比较点估计"
    )
    statistic: Statistic | None = Field(default=None, title="统计量", description="不写则取补充说明或榜单的统计量")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, strict=True, title="置信水平", description="单侧，如 0.95")
    attempts: int = Field(default=1, ge=1, le=20, strict=True, title="允许次数", description="置信水平分摊到各次")
    subjects: Annotated[int | Literal["all"], BeforeValidator(_all_or_number)] = Field(
        default="all", title="须符合的对象数", description="all 为全部，或写个数"
    )


class Measure(_Model, title="测量方法"):
    """Instrument, its parameters, and the rule."""

    probe: str | None = Field(default=None, title="仪器", description="不写则用榜单的默认仪器")
    params: dict[str, Any] = Field(default={}, title="仪器参数", description="见各仪器的方法文件")
    rule: Rule = Field(default=Rule(), title="判定规则", description="不写则用 DR-1、0.95、1 次")


class Item(_Model, title="查验条目"):
    """One question of a checklist."""

    id: str = _text("编号", "如 S10-I01-01")
    text: str = _text("查什么")
    expected: str = _text("应为什么", "满足到何种程度才答“是”")
    method: Literal["查阅", "观察", "询问", "操作"] | None = Field(
        default=None, title="方法", description="查阅、观察、询问、操作"
    )


class Inspection(_Model, title="查验清单"):
    """A checklist, and the sheet that its answers are written on."""

    items: Annotated[tuple[Item, ...], Distinct] = Field(default=(), title="条目", description="逐条列出，随计划冻结")
    sheet: str = _text("答卷", "现场填写的文件，相对案卷文件夹")


class Method(_Model, title="验收方式"):
    """五、2: environment and procedure that can be verified."""

    environment: str = _text("环境条件")
    tools: str = _text("仪器与工具")
    steps: str = _text("作业步骤")
    samples: str = _text("样本量")


class Acceptance(_Model, title="项目验收"):
    """五 of the application form."""

    content: tuple[Text, ...] = Field(default=(), title="验收内容", description="每行一项，写明指标编号")
    method: Method = Field(default=Method(), title="验收方式", description="可被验证的环境条件及验收作业方法")


class ReportInfo(_Model, title="报告"):
    """What stands on the report."""

    number: str = _text("报告编号")
    edition: Literal["restricted", "public"] = Field(
        default="restricted", title="报告版本", description="restricted 不公开（默认），public 公开版只印结论"
    )


class CaseDocument(_Model, title="yanshou 案卷 case.yaml"):
    """The whole of case.yaml."""

    yanshou: Literal[1] = Field(title="格式版本", description="固定为 1")
    list: str = Field(title="榜单", description="如 wuhan-2024，见 yanshou list")
    scenario: int = Field(strict=True, title="场景序号", description="榜单上的序号 1–10")
    mode: Mode = Field(title="模式", description="acceptance 正式验收、self-check 自检、demo 演示")
    report: ReportInfo = Field(default=ReportInfo(), title="报告", description="报告编号与版本")
    project: Project = Field(default=Project(), title="项目", description="拟揭榜项目")
    evaluator: Evaluator = Field(default=Evaluator(), title="评测机构", description="正式验收必填")
    client: Client = Field(default=Client(), title="委托方", description="正式验收必填")
    target: Target = Field(default=Target(), title="被测系统", description="测的是什么、在哪里")
    commitments: dict[str, Commitment] = Field(default={}, title="承诺", description="表1，键为指标编号，如 S10-I03")
    measure: dict[str, Measure] = Field(default={}, title="测量", description="键为指标编号；不写则用默认仪器与规则")
    inspections: dict[str, Inspection] = Field(default={}, title="查验", description="键为指标编号")
    acceptance: Acceptance = Field(default=Acceptance(), title="项目验收", description="申报任务书第五部分")


def case_schema() -> dict[str, Json]:
    """JSON Schema of case.yaml, with Chinese titles and descriptions, for editors."""
    schema = CaseDocument.model_json_schema()
    for words, title in ((Kind, "方法类别"), (Mode, "模式")):
        schema["$defs"][words.__name__] = {"title": title, "type": "string", "enum": list(words)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


# --- reading ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A case.yaml that was read: `document` is what it says, `data` the same as plain data, `lines` where each key stands."""

    document: CaseDocument
    path: Path
    text: str
    data: Json
    lines: Mapping[Place, int]

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return sha256_bytes(self.text.encode())

    def line(self, *keys: Key) -> int:
        """1-based line of a key, or of its nearest ancestor that is there."""
        return _line(self.lines, keys)

    def has(self, *keys: Key) -> bool:
        """True when the key is written, even if its value is blank; an empty list is not."""
        return keys in self.lines and reduce(getitem, keys, self.data) != []


def find_case(start: Path) -> Path:
    """The nearest case.yaml from `start` upwards. Raises UserError."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / FILE).is_file():
            return candidate / FILE
    raise UserError(Problem("E-CASE", f"从 {start} 往上没有 {FILE}", "进入案卷文件夹，或用 yanshou new 新建一个"))


def load_case(folder_or_file: Path) -> Case:
    """Read a case folder's case.yaml, or that file. Raises UserError with every problem of it."""
    path = folder_or_file / FILE if folder_or_file.is_dir() else folder_or_file
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            Problem("E-CASE", "没有这个案卷文件", "给出案卷文件夹，或用 yanshou new 新建一个", path)
        ) from None
    except OSError as error:
        raise UserError(Problem("E-CASE", f"读不出：{error.strerror}", "检查路径与读权限", path)) from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(Problem("E-YAML", "不是 UTF-8 文本", "用编辑器另存为 UTF-8 编码", path, line)) from None
    return parse_case(text, path)


def parse_case(text: str, path: Path) -> Case:
    """The case that `text` states; `path` is for messages. Raises UserError with every problem of it."""
    tree = _Tree()
    data = tree.plain(_compose(text, path), ())
    if not isinstance(data, dict):
        raise UserError(Problem("E-YAML", "最外层不是“键: 值”", "用 yanshou new 新建一个来对照", path, 1))
    problems = [replace(p, file=path) for p in tree.problems]
    try:
        document = CaseDocument.model_validate(data)
    except ValidationError as error:
        problems += [_invalid(e, tree.lines, path) for e in error.errors()]
    if problems:
        raise UserError(sorted(map(_printable, problems), key=lambda p: p.line or 0))
    return Case(document, path, text, data, tree.lines)


def _line(lines: Mapping[Place, int], place: Place) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _compose(text: str, path: Path) -> Node:
    """The YAML 1.2 node tree, which knows its lines and has not yet dropped duplicate keys. Raises UserError."""
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text.removeprefix("\ufeff"))
    except YAMLError as error:
        tabs = [n for n, line in enumerate(text.split("\n"), 1) if re.match(r" *\t", line)]
        if tabs:
            remedy = "缩进改用空格"
            raise UserError([Problem("E-YAML", "缩进里有制表符", remedy, path, n) for n in tabs]) from None
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or "有不允许的字符"
        line = mark.line + 1 if mark else None
        raise UserError(
            Problem("E-YAML", f"YAML 写法有误（{why}）", "检查此行及上一行的冒号、引号与缩进", path, line)
        ) from None
    except RecursionError:
        raise UserError(Problem("E-YAML", "嵌套过深", "用 yanshou new 新建一个来对照", path)) from None
    if node is None:
        raise UserError(Problem("E-CASE", "文件是空的", "用 yanshou new 新建一个", path, 1))
    return node


_TYPES = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp"}


class _Tree:
    """Turns nodes into plain data, and notes the line of every key and what plain data cannot say."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []
        self._scalars = YAML(typ="safe", pure=True).constructor
        self._seen: set[int] = set()

    def _note(self, node: Node, code: str, text: str, remedy: str) -> None:
        self.problems.append(Problem(code, text, remedy, line=node.start_mark.line + 1))

    def plain(self, node: Node, place: Place) -> Json:
        """`node` as plain data; dates stay dates."""
        prefix, _, kind = str(node.tag).rpartition(":")
        if prefix != "tag:yaml.org,2002" or kind not in _TYPES:
            self._note(node, "E-YAML", f"不认识的标签 {node.tag}", "去掉以 ! 开头的标签")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._seen:
            self._note(node, "E-YAML", "用了引用（& 和 *）", "把内容直接写出来")
            return None
        self._seen.add(id(node))
        if isinstance(node, SequenceNode):
            return self._sequence(node, place)
        assert isinstance(node, MappingNode)
        return self._mapping(node, place)

    def _scalar(self, node: ScalarNode) -> Json:
        try:
            value = self._scalars.construct_object(node)
        except (ValueError, YAMLError):  # looks like a date or a number and is none
            return str(node.value)
        if isinstance(value, float) and not math.isfinite(value):
            self._note(node, "E-VALUE", "不是有限的数", "写一个有限的数")
        return value

    def _sequence(self, node: SequenceNode, place: Place) -> list[Json]:
        values = []
        for index, item in enumerate(node.value):
            self.lines[(*place, index)] = item.start_mark.line + 1
            values.append(self.plain(item, (*place, index)))
        return values

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Json]:
        values: dict[str, Json] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or str(key.tag).endswith(":merge"):
                self._note(key, "E-KEY", "键不是普通的词", "键写成一个词，后面跟冒号和空格")
                continue
            here = (*place, str(key.value))
            if here in self.lines:
                self._note(key, "E-KEY", f"键 {key.value} 重复（第 {self.lines[here]} 行已有）", "删去或合并其中一个")
                continue
            self.lines[here] = key.start_mark.line + 1
            values[str(key.value)] = self.plain(value, here)
        return values


_WRONG_TYPE = {
    "string_type": ("应为文本", "给值加上引号"),
    "int_type": ("应为整数", "写一个整数，不加引号"),
    "float_type": ("应为数", "写一个数，不加引号"),
    "model_type": ("应为“键: 值”", "另起一行，缩进后写“键: 值”"),
    "dict_type": ("应为“键: 值”", "另起一行，缩进后写“键: 值”"),
    "tuple_type": ("应为列表", "每项另起一行写“- …”"),
    "string_pattern_mismatch": ("写法不对", "SHA-256 写成 64 位小写十六进制"),
}
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def _invalid(error: ErrorDetails, lines: Mapping[Place, int], path: Path) -> Problem:
    """One finding of pydantic as a problem. The value itself is not repeated."""
    place, kind, context = error["loc"], error["type"], error.get("ctx", {})
    line = _line(lines, place)
    name = "".join(f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in place).removeprefix(".")
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        return Problem(
            "E-KEY", f"不认识的键 {name}", f"是不是 {near[0]}？" if near else f"可用：{'、'.join(known)}", path, line
        )
    if kind == "missing":
        return Problem("E-KEY", f"缺少 {name}", f"补上“{place[-1]}: …”", path, line)
    if place == ("yanshou",):
        remedy = "写 yanshou: 1；更新的案卷用更新的 yanshou 打开"
        return Problem("E-VERSION", "案卷的格式版本不是 1", remedy, path, line)
    if kind in ("literal_error", "enum"):
        options = re.findall(r"'([^']*)'", str(context["expected"]))
        near = difflib.get_close_matches(str(error["input"]), options, 1)
        remedy = f"是不是 {near[0]}？" if near else "改成其中之一"
        return Problem("E-VALUE", f"{name} 只能是 {'、'.join(options)}", remedy, path, line)
    if kind == "value_error":
        return Problem("E-VALUE", f"{name} {context['error']}", "改正此处", path, line)
    bounds = "、".join(f"{sign} {context[key]}" for key, sign in _BOUNDS.items() if key in context)
    text, remedy = _WRONG_TYPE.get(kind, (f"应 {bounds}" if bounds else error["msg"], "改正此处"))
    return Problem("E-VALUE", f"{name} {text}", remedy, path, line)


def _known_keys(place: Sequence[Key]) -> list[str]:
    """The keys that may stand at `place`."""
    kind: Any = CaseDocument
    for key in place:
        inside = (
            kind.model_fields[key].annotation if _is_model(kind) else get_args(kind)[0 if isinstance(key, int) else 1]
        )
        kind = get_args(inside)[0] if type(None) in get_args(inside) else inside
    return list(kind.model_fields) if _is_model(kind) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


# --- personal data ------------------------------------------------------------------------------------------------------


def _is_id_card(text: str) -> bool:
    from stdnum.cn import ric

    return bool(ric.is_valid(text))


def _is_in_china(text: str) -> bool:
    degrees = float(text)
    return 18 <= degrees <= 54 or 73 <= degrees <= 136


@dataclass(frozen=True)
class _Personal:
    """Something that must not be in a bundle: its name, what to write instead, where to look, when a match is one."""

    name: str
    remedy: str
    pattern: re.Pattern[str]
    is_one: Callable[[str], bool] = bool

    def is_in(self, text: str) -> bool:
        return any(self.is_one(match[0]) for match in self.pattern.finditer(text))

    def hidden(self, text: str) -> str:
        return self.pattern.sub(lambda match: "〔略〕" if self.is_one(match[0]) else match[0], text)


_PERSONAL = (
    _Personal(
        "手机号",
        "改用座机或通信地址",
        re.compile(r"(?<![0-9A-Za-z.])(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}(?![0-9]|[0-9a-f]{8})"),
    ),
    _Personal(
        "身份证号",
        "删去；须区分个人时用加密钥的摘要（HMAC）",
        re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{16}[0-9Xx](?![0-9]|[0-9a-f]{8})"),
        _is_id_card,
    ),
    _Personal(
        "邮箱地址",
        "改用座机或通信地址",
        re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"),
    ),
    _Personal(
        "高精度坐标",
        "改用相对控制点的东、北、天偏移量",
        re.compile(r"(?<![0-9A-Za-z.])[0-9]{2,3}\.[0-9]{6,}"),
        _is_in_china,
    ),
)


def _redacted(text: str) -> str:
    """`text` without the personal data that somebody may have typed into a wrong field."""
    hidden = plain = unicodedata.normalize("NFKC", text)
    for kind in _PERSONAL:
        hidden = kind.hidden(hidden)
    return text if hidden == plain else hidden


def _printable(problem: Problem) -> Problem:
    """On one line, and without personal data."""
    text, remedy = (_redacted(" ".join(part.split())) for part in (problem.text, problem.remedy))
    return replace(problem, text=text, remedy=remedy)


# --- the rules ----------------------------------------------------------------------------------------------------------


def _scenario(case: Case, public_list: PublicList) -> Scenario | None:
    """The case's row of the list; None when there is none, which is C01's to say."""
    return next((s for s in public_list.scenarios if s.number == case.document.scenario), None)


def _listed(scenario: Scenario) -> set[str]:
    """Ids of everything that the list asks of a scenario."""
    return {indicator.id for indicator in scenario.indicators} | {
        requirement.id for requirement in scenario.qualitative
    }


def _indicators(case: Case, public_list: PublicList) -> tuple[Indicator, ...]:
    scenario = _scenario(case, public_list)
    return scenario.indicators if scenario else ()


def _qualitative(case: Case, public_list: PublicList) -> tuple[Qualitative, ...]:
    scenario = _scenario(case, public_list)
    return scenario.qualitative if scenario else ()


def _committed(case: Case, public_list: PublicList) -> Iterator[tuple[Indicator, Commitment]]:
    """The list's indicators that the project takes on."""
    for indicator in _indicators(case, public_list):
        commitment = case.document.commitments.get(indicator.id)
        if commitment is not None and not commitment.declined:
            yield indicator, commitment


def _added(case: Case, public_list: PublicList) -> Iterator[tuple[str, Commitment]]:
    """The project's own indicators and self-set targets."""
    listed = {indicator.id for indicator in _indicators(case, public_list)}
    for name, commitment in case.document.commitments.items():
        if name not in listed and not commitment.declined and _scenario(case, public_list):
            yield name, commitment


def _limit(text: str, like: Limit | None) -> Limit | None:
    try:
        return parse_target(text, like)
    except TargetError:
        return None


def _comparable(a: Limit, b: Limit) -> bool:
    return dimension(a.unit) == dimension(b.unit)


def _weaker(target: Limit, limit: Limit) -> bool:
    """True when meeting `target`, of the same dimension and direction, would not meet `limit`. Exact."""
    if isinstance(target.value, bool) or isinstance(limit.value, bool):
        return target.value != limit.value
    value, bound = convert(target.value, target.unit, limit.unit), Fraction(limit.value)
    if value == bound:
        return limit.op in (Op.LT, Op.GT) and target.op in (Op.LE, Op.GE)
    return (value > bound) == limit.op.smaller_is_better


def _problem(case: Case, code: str, text: str, remedy: str, *keys: Key, severity: str = "error") -> Problem:
    return Problem(code, text, remedy, case.path, case.line(*keys), severity)


def c01(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """The scenario is one of the list's."""
    document = case.document
    if document.list != public_list.id:
        yield _problem(case, "C01", f"榜单 {document.list} 不是 {public_list.id}", f"写 list: {public_list.id}", "list")
    if _scenario(case, public_list) is None:
        numbers = "、".join(str(s.number) for s in public_list.scenarios)
        yield _problem(case, "C01", f"榜单没有场景 {document.scenario}", f"场景序号是 {numbers}", "scenario")


def c02(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """Every indicator of the list has a commitment, of an any-group at least one, and nothing else is mapped."""
    scenario, commitments = _scenario(case, public_list), case.document.commitments
    if scenario is None:
        return
    for indicator in scenario.indicators:
        if indicator.group is None and indicator.id not in commitments:
            text = f"榜单指标 {indicator.id} {indicator.name}（{indicator.limit}）没有对应的承诺"
            yield _problem(case, "C02", text, f"在 commitments 下补上 {indicator.id}", "commitments")
        elif indicator.group is None and commitments[indicator.id].declined:
            text = f"{indicator.id} {indicator.name} 是必须符合的指标，不能不采用"
            yield _problem(case, "C02", text, f"写目标，如 {indicator.limit}", "commitments", indicator.id, "target")
    for group in scenario.groups:
        if not any(member in commitments and not commitments[member].declined for member in group.members):
            text = f"{group.id} 的 {'、'.join(group.members)} 至少要承诺一项"
            yield _problem(case, "C02", text, "为其中一项写目标，其余可写 不采用", "commitments")
    known, own = _listed(scenario), re.compile(f"S{scenario.number:02d}-P[0-9]{{2}}")
    for section in ("commitments", "measure", "inspections"):
        for name in getattr(case.document, section):
            if name not in known and not own.fullmatch(name):
                near = "".join(f"是不是 {i}？" for i in difflib.get_close_matches(name, sorted(known), 1))
                remedy = f"{near}自报指标编号写成 S{scenario.number:02d}-P01"
                yield _problem(case, "C02", f"{name} 不是场景 {scenario.number} 的指标", remedy, section, name)
            elif section != "commitments" and own.fullmatch(name) and name not in commitments:
                yield _problem(case, "C02", f"{name} 没有对应的承诺", f"在 commitments 下补上 {name}", section, name)


def c03(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """No target is weaker than the list; equal is allowed."""
    for indicator, commitment in _committed(case, public_list):
        target, limit = _limit(commitment.target, indicator.limit), indicator.limit
        if target is None or not _comparable(target, limit):
            continue
        if target.op.smaller_is_better != limit.op.smaller_is_better:
            text = f"{indicator.id} 的目标“{commitment.target}”（{target}）与榜单 {limit} 方向相反"
        elif _weaker(target, limit):
            text = f"{indicator.id} 的目标“{commitment.target}”（{target}）弱于榜单 {limit}"
        else:
            continue
        yield _problem(case, "C03", text, f"写 {limit} 或更严的目标", "commitments", indicator.id, "target")


def c04(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """Every target is readable and of the list's dimension."""
    for indicator, commitment in _committed(case, public_list):
        if not commitment.target:
            continue
        place = ("commitments", indicator.id, "target")
        try:
            target = parse_target(commitment.target, indicator.limit)
        except TargetError as error:
            yield _problem(case, "C04", f"{indicator.id} {error.text}", error.remedy, *place)
            continue
        if not _comparable(target, indicator.limit):
            text = f"{indicator.id} 的目标“{commitment.target}”以“{target.unit}”计，榜单以“{indicator.limit.unit}”计，不是同一种量"
            yield _problem(case, "C04", text, f"写成与榜单 {indicator.limit} 同类的单位", *place)


_READINGS: Mapping[str, tuple[Callable[[str], str | None], str]] = {
    "statistic": (parse_statistic, "P50、P95、P99、P99.9、最大值、平均值、RMS 之一"),
    "direction": (parse_direction, "往返 或 单向"),
}
"""Answers that the judge must understand -> how it reads them, and what to write."""


def c05(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """What the list leaves open is answered, and the judge can read what it needs."""
    for indicator, commitment in _committed(case, public_list):
        severity = "warning" if indicator.judge_undefined else "error"
        asked = {question.key for question in indicator.must_define}
        for question in indicator.must_define:
            place = ("commitments", indicator.id, "define", question.key)
            answer = commitment.answer(question.key)
            parse, examples = _READINGS.get(question.key, (str, ""))
            if not answer:
                near = difflib.get_close_matches(question.key, commitment.define.keys() - asked, 1)
                remedy = (
                    f"define 下的 {near[0]} 是不是 {question.key}？" if near else f"在 define 下写 {question.key}: …"
                )
                consequence = "" if indicator.judge_undefined else "，不答则口径未定、不予判定"
                text = f"{indicator.id} {indicator.name} 没有回答“{question.ask}”{consequence}"
                yield _problem(case, "C05", text, remedy, *place, severity=severity)
            elif parse(answer) is None:
                text = f"{indicator.id} 对“{question.ask}”的回答读不出唯一的意思"
                yield _problem(case, "C05", text, f"写 {examples}，其余文字写入 note", *place, severity=severity)
        measure = case.document.measure.get(indicator.id)
        defined = parse_statistic(commitment.answer("statistic"))
        if measure and measure.rule.statistic and defined and measure.rule.statistic != defined:
            text = f"{indicator.id} 的 rule.statistic 是 {measure.rule.statistic}，与补充说明的 {defined} 不一致"
            place = ("measure", indicator.id, "rule", "statistic")
            yield _problem(case, "C05", text, "以补充说明为准，删去 rule.statistic", *place, severity=severity)


def c06(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """What the list says without a number has a quantified target of the project's own."""
    scenario, added = _scenario(case, public_list), dict(_added(case, public_list))
    for requirement in _qualitative(case, public_list):
        if requirement.needs_self_target and requirement.id not in added:
            text = f"{requirement.id} “{requirement.text}”没有自报的量化目标，将由专家评议"
            remedy = f"在 commitments 下补上 {requirement.id}，写当前水平与目标"
            yield _problem(case, "C06", text, remedy, "commitments", severity="warning")
    if scenario and scenario.self_target_required and not added:
        text = f"场景 {scenario.number} 榜单没有数字，项目也没有自报量化指标，将全部由专家评议"
        remedy = f"在 commitments 下补上 S{scenario.number:02d}-P01 等自报指标"
        yield _problem(case, "C06", text, remedy, "commitments", severity="warning")


def c07(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """An indicator that the list does not have says what it is, its limit with comparator and unit, and its method."""
    requirements = {requirement.id for requirement in _qualitative(case, public_list)}
    for name, commitment in _added(case, public_list):
        place = ("commitments", name)
        if name not in requirements and not case.has(*place, "name"):
            yield _problem(case, "C07", f"{name} 没有名称", "写 name: 指标名称", *place)
        if not case.has(*place, "kind"):
            yield _problem(case, "C07", f"{name} 没有方法类别", "写 kind: measured、counted 或 inspected", *place)
        if not case.has("measure", name, "probe"):
            here = ("measure", name) if case.has("measure", name) else place
            yield _problem(case, "C07", f"{name} 没有仪器", f"在 measure 的 {name} 下写 probe", *here)
        if commitment.target:
            try:
                parse_target(commitment.target)
            except TargetError as error:
                yield _problem(case, "C07", f"{name} {error.text}", error.remedy, *place, "target")


def c08(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """No cell is empty. Open questions are C05's and 五、项目验收 is C09's to name."""
    commitments = case.document.commitments
    declined = {name for name, commitment in commitments.items() if commitment.declined}
    questions = {
        ("commitments", indicator.id, "define", question.key)
        for indicator, _ in _committed(case, public_list)
        for question in indicator.must_define
    }
    for place in _blanks(case.data, ()):
        if place[0] != "acceptance" and place not in questions and declined.isdisjoint(place):
            optional = "；可选的参数不用则删去此行" if "params" in place else ""
            yield _problem(case, "C08", f"{_dotted(place)} 空缺", f"填写{_hint(case.data, place)}{optional}", *place)
    for place, title in _cells(case.document):
        if not case.has(*place) and declined.isdisjoint(place):
            yield _problem(case, "C08", f"缺少 {_dotted(place)}（{title}）", f"补上“{place[-1]}: …”", *place)


def _hint(data: Json, place: Place) -> str:
    """What the placeholder at `place` asks for."""
    written = reduce(getitem, place, data)
    return written.strip().strip("<>") if written else ""


def _dotted(place: Place) -> str:
    return ".".join(str(key + 1) if isinstance(key, int) else key for key in place)


def _blanks(value: Json, place: Place) -> Iterator[Place]:
    """Every key whose value is blank. Null is a value among the parameters of a probe."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _blanks(item, (*place, key))
    elif is_blank(value) and not (value is None and "params" in place):
        yield place


def _cells(document: CaseDocument) -> Iterator[tuple[Place, str]]:
    """The cells that must be there, with their Chinese names."""
    wanted: list[tuple[type[_Model], Place, Sequence[str]]] = [
        (Project, ("project",), ("name", "published", "deadline")),
        (Party, ("project", "lead"), ("name", "uscc")),
        (Target, ("target",), ("kind", "site", "version", "condition")),
    ]
    if document.mode is Mode.ACCEPTANCE:
        wanted += [
            (ReportInfo, ("report",), ("number",)),
            (Evaluator, ("evaluator",), ("name", "address", "people")),
            (Client, ("client",), ("name", "contact")),
        ]
    wanted += [(Commitment, ("commitments", name), ("baseline", "target")) for name in document.commitments]
    for name, inspection in document.inspections.items():
        wanted.append((Inspection, ("inspections", name), ("items", "sheet")))
        for index in range(len(inspection.items)):
            wanted.append((Item, ("inspections", name, "items", index), ("id", "text", "expected", "method")))
    for model, place, keys in wanted:
        yield from (((*place, key), str(model.model_fields[key].title)) for key in keys)


def c09(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """验收内容 names every indicator, 验收方式 names environment, tools, steps and sample sizes."""
    scenario = _scenario(case, public_list)
    if scenario is None:
        return
    document = case.document
    known = _listed(scenario) | set(document.commitments)
    named: set[str] = set()
    for index, item in enumerate(document.acceptance.content):
        ids = set(re.findall(r"S[0-9]{2}-[A-Z][0-9]{2}", item))
        named |= ids
        if is_blank(item):
            yield _problem(case, "C09", "验收内容有空行", "填写或删去此行", "acceptance", "content", index)
        for name in sorted(ids - known):
            text = f"验收内容的 {name} 不是本案卷的指标"
            yield _problem(case, "C09", text, "改正编号", "acceptance", "content", index)
    for name, commitment in document.commitments.items():
        if not commitment.declined and name in known and name not in named:
            yield _problem(
                case, "C09", f"验收内容没有列出 {name}", f"在 content 下补一行 {name}", "acceptance", "content"
            )
    for key, field in Method.model_fields.items():
        if is_blank(getattr(document.acceptance.method, key)):
            text = f"验收方式没有写{field.title}"
            yield _problem(case, "C09", text, f"在 method 下写 {key}: …", "acceptance", "method", key)


def _parameters(public_list: PublicList, rule: str) -> Mapping[str, Json]:
    return next((r.params for r in public_list.rules if r.id == rule), {})


def _months_later(day: date, months: int) -> date:
    """The corresponding day, or the last one of a shorter month (民法典第202条)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def c10(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """The deadline is within a year of the publication; the soft goal is only noted."""
    published, deadline = case.document.project.published, case.document.project.deadline
    if published is None or deadline is None:
        return
    place = ("project", "deadline")
    months = int(_parameters(public_list, "R-DEADLINE-HARD").get("months", 12))
    last = _months_later(published, months)
    soft = _parameters(public_list, "R-DEADLINE-SOFT").get("target")
    if deadline > last:
        text = f"完成时限 {deadline} 晚于发榜日 {published} 起 {months} 个月（{last}）"
        yield _problem(case, "C10", text, f"写 {last} 或更早的日期", *place)
    elif deadline < published:
        yield _problem(case, "C10", f"完成时限 {deadline} 早于发榜日 {published}", "核对两个日期", *place)
    elif soft and deadline.isoformat()[:7] > soft:
        text = f"完成时限 {deadline} 晚于通知力求的 {soft}"
        yield _problem(case, "C10", text, "只是提示，不影响判定", *place, severity="note")


def c12(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """Credit codes check out, and no unit of a consortium stands in it twice."""
    from stdnum.cn import uscc

    project = case.document.project
    parties: list[tuple[Place, Party]] = [(("project", "lead"), project.lead)]
    parties += [(("project", "partners", index), party) for index, party in enumerate(project.partners)]
    seen: set[str] = set()
    for place, party in parties:
        if not party.uscc:
            continue
        if not uscc.is_valid(party.uscc):
            text = f"{party.name or '单位'}的统一社会信用代码校验不通过"
            yield _problem(case, "C12", text, "对照营业执照核对 18 位代码", *place, "uscc", severity="warning")
        if party.uscc in seen:
            text = f"{party.name or '单位'}在联合体中重复，牵头单位只能有一个"
            yield _problem(case, "C12", text, "删去重复的单位", *place, severity="warning")
        seen.add(party.uscc)


def c13(case: Case, public_list: PublicList) -> Iterator[Problem]:
    """A baseline that meets the target already makes 新增 and 提升 doubtful."""
    limits = {indicator.id: indicator.limit for indicator in _indicators(case, public_list)}
    for name, commitment in case.document.commitments.items():
        target = _limit(commitment.target, limits.get(name))
        now = _limit(commitment.baseline, target)
        if target and now and _comparable(now, target) and not _weaker(replace(now, op=target.op), target):
            text = f"{name} 的当前水平“{commitment.baseline}”已达到目标“{commitment.target}”，“新增、提升”存疑"
            place = ("commitments", name, "baseline")
            yield _problem(case, "C13", text, "核对当前水平，或在 note 说明", *place, severity="warning")


_SECRET = re.compile(r"(?:绝密|机密|秘密)\s*(?:★|级|[:：]?\s*[0-9]+\s*年)|[:：]\s*[\"']?(?:绝密|机密|秘密)[\"']?\s*$")


def c14(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """Reports are not public by default, and no grade of state secrecy stands in them."""
    if case.document.report.edition == "public":
        text = "公开版只印结论，不印数值、承诺与项目细节"
        yield _problem(
            case, "C14", text, "给专家和评测机构的报告写 edition: restricted", "report", "edition", severity="note"
        )
    for number, line in enumerate(case.text.split("\n"), 1):
        if _SECRET.search(line):
            text = "写了国家秘密密级，而申报承诺书承诺不涉及国家秘密"
            yield Problem("C14", text, "删去密级；报告类别是“不公开”", case.path, number)


def c15(case: Case, _public_list: PublicList) -> Iterator[Problem]:
    """No personal data and no precise coordinates anywhere in the file; the datum itself is not repeated."""
    for number, line in enumerate(case.text.split("\n"), 1):
        plain = unicodedata.normalize("NFKC", line)
        for kind in _PERSONAL:
            if kind.is_in(plain):
                yield Problem("C15", f"疑似{kind.name}，案卷会随证据包移交", kind.remedy, case.path, number)


@dataclass(frozen=True)
class CheckRule:
    """One rule of the check: stable code, Chinese title, and the function that finds what breaks it."""

    code: str
    title: str
    find: Callable[[Case, PublicList], Iterator[Problem]]


RULES = (
    CheckRule("C01", "场景是榜单上的场景", c01),
    CheckRule("C02", "榜单指标都有承诺", c02),
    CheckRule("C03", "目标不弱于榜单", c03),
    CheckRule("C04", "目标读得出，单位与榜单是同一种量", c04),
    CheckRule("C05", "榜单没说清的，补充说明要说清", c05),
    CheckRule("C06", "没有数字的要求有自报的量化目标", c06),
    CheckRule("C07", "自报指标有名称、限值、单位和方法", c07),
    CheckRule("C08", "栏目不空缺", c08),
    CheckRule("C09", "验收内容列全指标，验收方式写明环境、工具、步骤、样本", c09),
    CheckRule("C10", "完成时限在发榜之日起一年内", c10),
    CheckRule("C12", "信用代码有效，联合体只有一个牵头单位", c12),
    CheckRule("C13", "当前水平尚未达到目标", c13),
    CheckRule("C14", "报告默认不公开，不印密级", c14),
    CheckRule("C15", "不含个人信息和高精度坐标", c15),
)
"""All but C11 (frozen and signed) and C16 (scan and table), which need more than the file."""


def check_case(case: Case, public_list: PublicList) -> list[Problem]:
    """Everything that the rules find, in the order of the file."""
    found = [problem for rule in RULES for problem in rule.find(case, public_list)]
    return sorted(map(_printable, found), key=lambda p: (p.line or 0, p.code))


# --- a new case ---------------------------------------------------------------------------------------------------------

ParamsHelp = Mapping[str, Sequence[tuple[str, Json, str]]]
"""Probe -> (parameter, default or None where a person must fill it, Chinese description)."""


def new_case(public_list: PublicList, scenario: int, mode: str, params_help: ParamsHelp) -> str:
    """A commented case.yaml for a person to fill in: every `<…>` is a blank that `check` names. Raises KeyError."""
    row = public_list.scenario(scenario)
    sections = [_head(public_list, row, mode), _commitments(row), _measures(row, params_help), _inspections(row)]
    return "\n".join(line for section in (*sections, _acceptance(row)) for line in section) + "\n"


def _quoted(text: str) -> str:
    """A double-quoted YAML scalar on one line."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _placeholder(hint: str) -> str:
    """A placeholder that says what to write."""
    return _quoted(f"<{re.sub('[<>]', '', hint)}>")


def _comment(indent: str, *texts: str) -> Iterator[str]:
    yield from (f"{indent}# {' '.join(text.split())}" for text in texts if text)


def _own(row: Scenario) -> Iterator[tuple[str, str]]:
    """(id, title) of what a project has to set a target for itself."""
    if row.self_target_required:
        yield f"S{row.number:02d}-P01", "自报指标"
    for requirement in row.qualitative:
        if requirement.needs_self_target:
            yield requirement.id, requirement.text


_HEAD = """\
# {title}　场景 {number}　{name}
# 填写所有 <…>，然后运行 yanshou check；目标照申报材料原样写，如 ≤ 2 ms、不少于10万条、支持。
# 编辑器补全：yanshou schema case > case.schema.json
yanshou: 1
list: {list_id}
scenario: {number}
mode: {mode}  # acceptance 正式验收，self-check 自检，demo 演示
{formal}
project:
  name: "<项目名称>"
  lead:
    name: "<牵头单位全称>"
    uscc: "<统一社会信用代码，18 位>"
  partners: []  # 联合单位，每个写 - {{name: 全称, uscc: 代码}}
  published: "<发榜日，如 2024-11-01>"
  deadline: "<完成时限，发榜之日起一年内>"

target:
  kind: "<production 生产环境、lab 实验室、simulator 模拟>"
  site: "<地点>"
  version: "<系统名称与版本>"
  condition: "<测试时的状态>"
  subjects: []  # 一个案卷有几个受检对象时逐个列出，如车型、基站
"""
_FORMAL = """
report:
  number: "<报告编号>"
  edition: restricted  # 不公开；public 公开版只印结论

evaluator:
  name: "<评测机构名称>"
  address: "<地址>"
  people:
    - {name: "<姓名>", role: "<检测、审核、批准>"}

client:
  name: "<委托方名称>"
  contact: "<通信地址或座机，不写手机号与邮箱>"
"""


def _head(public_list: PublicList, row: Scenario, mode: str) -> Iterator[str]:
    formal = _FORMAL if mode == Mode.ACCEPTANCE else ""
    yield _HEAD.format(
        title=public_list.title,
        number=row.number,
        name=row.name.restored,
        list_id=public_list.id,
        mode=mode,
        formal=formal,
    ).rstrip()


def _commitments(row: Scenario) -> Iterator[str]:
    yield from ("", "# 表1 重点指标", "commitments:")
    members = {member: group for group in row.groups for member in group.members}
    for indicator in row.indicators:
        wording = "【恢复文字，须对照原件】" if indicator.source == "inferred" else ""
        group = members.get(indicator.id)
        yield from _comment(
            "  ",
            f"{indicator.id} {indicator.name}（{indicator.kind.word}）：榜单 {indicator.limit}{wording}",
            f"原文：{indicator.ocr}",
            f"恢复：{indicator.inferred_part}" if indicator.inferred_part else "",
            f"默认读法：{indicator.default_reading}" if indicator.default_reading else "",
            f"{'、'.join(group.members)} 有一项符合即可；不采用的写 target: {DECLINED}" if group else "",
        )
        yield f"  {indicator.id}:"
        yield f"    baseline: {_placeholder('本单位当前水平，带单位')}"
        yield f"    target: {_placeholder(f'项目建设目标，不弱于 {indicator.limit}')}"
        if indicator.must_define:
            yield "    define:"
        for question in indicator.must_define:
            yield from _comment("      ", question.ask)
            yield f"      {question.key}: {_placeholder('回答')}"
    for name, title in _own(row):
        listed = name in _listed(row)
        yield from _comment(
            "  ",
            f"{name} {title}",
            "榜单没有数字；不自报量化目标则删去各处的本项，由专家评议" if listed else "可仿照增加 P02、P03……",
        )
        yield f"  {name}:"
        yield f"    name: {_quoted(title) if listed else _placeholder('指标名称')}"
        yield f"    kind: {_placeholder('measured 测量、counted 计数、inspected 查验')}"
        yield f"    baseline: {_placeholder('本单位当前水平，带单位')}"
        yield f"    target: {_placeholder('项目建设目标，含比较词与单位')}"


def _measures(row: Scenario, params_help: ParamsHelp) -> Iterator[str]:
    measured = [indicator for indicator in row.indicators if indicator.probe != INSPECTION]
    own = list(_own(row))
    if not measured and not own:
        return
    yield from ("", "# 仪器、参数与判定规则；没有列出的指标用默认仪器与规则", "measure:")
    for indicator in measured:
        yield from _comment("  ", f"{indicator.id} {indicator.name}")
        yield from (f"  {indicator.id}:", f"    probe: {indicator.probe}", "    params:")
        for name, default, description in params_help.get(indicator.probe, ()):
            yield f"      {name}: {_default(indicator.limit.unit if name == 'unit' else default, description)}"
        if indicator.statistic:
            yield from _comment("    ", f"默认统计量 {indicator.statistic}")
        yield "    rule: {decision: DR-1, confidence: 0.95, attempts: 1, subjects: all}"
    for name, _ in own:
        yield from (f"  {name}:", f"    probe: {_placeholder('、'.join(params_help) or '仪器')}")


def _default(value: Json, description: str) -> str:
    """A parameter's default with its description as a comment, or a placeholder that says it."""
    if value is None:
        return _placeholder(description)
    return f"{json.dumps(to_jsonable_python(value), ensure_ascii=False)}  # {' '.join(description.split())}"


def _inspections(row: Scenario) -> Iterator[str]:
    inspected = [indicator for indicator in row.indicators if indicator.probe == INSPECTION]
    if inspected:
        yield from ("", "# 查验清单，随计划冻结；答案写在 sheet 指的答卷里。可增删条目", "inspections:")
    for indicator in inspected:
        yield from _comment("  ", f"{indicator.id} {indicator.name}：榜单 {indicator.limit}")
        yield from (f"  {indicator.id}:", f"    sheet: inspections/{indicator.id}.yaml", "    items:")
        number = _items(indicator)
        for index in range(1, number + 1):
            text = f"{indicator.name}，第 {index} 项：名称与地点" if number > 1 else indicator.name
            yield f"      - id: {indicator.id}-{index:02d}"
            yield f"        text: {_placeholder(text) if number > 1 else _quoted(text)}"
            yield f"        expected: {_quoted(indicator.default_reading or str(indicator.limit))}"
            yield "        method: 操作  # 查阅、观察、询问、操作"


def _items(indicator: Indicator) -> int:
    """One item for each thing that is counted; one for a yes/no, a grade or a measured quantity."""
    unit, value = indicator.limit.unit, indicator.limit.value
    countable = dimension(unit) == unit and unit not in ("bool", "级") and value == int(value)
    return int(value) if countable else 1


def _acceptance(row: Scenario) -> Iterator[str]:
    yield from ("", "# 申报任务书 五、项目验收", "acceptance:", "  content:")
    for name, title in [*((i.id, i.name) for i in row.indicators), *_own(row)]:
        yield f"    - {_quoted(f'{name} {title}')}"
    yield "  method:"
    for key, field in Method.model_fields.items():
        yield f"    {key}: {_placeholder(str(field.title))}"
