"""The case: what a person writes in case.yaml, read strictly, every mistake of form named at once with file and line.

It must never guess what was meant, look at the list (check does), or repeat personal data that it finds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from yanshou.harness.basics import Json, Problem, UserError, refusal
from yanshou.harness.evidence import sha256_bytes
from yanshou.harness.invalid import explain
from yanshou.harness.model import Kind, Mode
from yanshou.harness.names import name_problem
from yanshou.harness.privacy import printable
from yanshou.harness.windows import parse_window

FILE = "case.yaml"
DECLINED = "不采用"
"""Target of a member of an any-group that the project does not use."""
LEGIBLE = (".docx", ".xlsx", ".csv")
"""Ends of the names under which `yanshou import` keeps documents whose text it has read."""
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
    if value in ("all", "together") or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("应为 all、together 或正整数")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    names = [name for value in values if (name := getattr(value, "id", value))]
    if len(set(names)) < len(names):
        raise ValueError("有重复")
    return values


def _null_as_empty(value: object) -> object:
    return "" if value is None else value


def _bool_as_text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _window(value: str) -> str:
    parse_window(value)
    return value


Text = Annotated[str, BeforeValidator(_null_as_empty, json_schema_input_type=str | None)]
TextOrBool = Annotated[str, BeforeValidator(_bool_as_text, json_schema_input_type=str | bool)]
Distinct = AfterValidator(_distinct)
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Statistic = Literal["p50", "p90", "p95", "p99", "p99.9", "p99.99", "max", "mean", "rms", "tail1"]


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


def _sha256(title: str) -> Any:
    return Field(default="", title=title, description="SHA-256，64 位小写十六进制", pattern=r"^([0-9a-f]{64})?$")


class Source(_Model, title="出处"):
    """Where a commitment was copied from. All but `file` and `cell` are written by `yanshou import`."""

    file: str = _text("文件", "申报材料的文件名，相对案卷文件夹")
    sha256: str = _sha256("文件摘要")
    cell: str = _text("单元格", "表1 的行列，如 3行5列 或 E7；照扫描件录入的写页与行")
    indicator: str = _text("参考指标原文", "表1 第 3 栏，一字不改")
    text: str = _text("项目建设目标原文", "表1 第 5 栏，一字不改")
    confirmed_by: Annotated[tuple[str, ...], Distinct] | None = Field(
        default=None, title="确认人", description="核对过本条与出处一致的人；[] 为导入后尚未确认，不能冻结计划"
    )
    confirmed_at: IsoDate | None = Field(default=None, title="确认日期", description="如 2024-11-26")

    @property
    def imported(self) -> bool:
        """True where the tool wrote it, so that somebody has to confirm it."""
        return self.confirmed_by is not None or bool(self.text)

    @property
    def legible(self) -> bool:
        """False for scans and old formats, from which people type."""
        return self.file.lower().endswith(LEGIBLE)


class Scan(_Model, title="盖章扫描件"):
    """The stamped scan that belongs to 表1, and who compared them."""

    file: str = _text("文件", "扫描件，相对案卷文件夹")
    sha256: str = _sha256("扫描件摘要")
    table_sha256: str = _sha256("表1 文件摘要")
    compared_by: Annotated[tuple[str, ...], Distinct] = Field(
        default=(), title="核对人", description="确认扫描件与纸质材料、与表1 一致的人"
    )
    compared_at: IsoDate | None = Field(default=None, title="核对日期", description="如 2024-11-26")


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

    decision: Literal["DR-1"] = Field(default="DR-1", title="判定规则", description="DR-1 按单侧置信界；不凭点估计判定")
    statistic: Statistic | None = Field(default=None, title="统计量", description="不写则取补充说明或榜单的统计量")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, strict=True, title="置信水平", description="单侧，如 0.95")
    attempts: int = Field(default=1, ge=1, le=20, strict=True, title="允许次数", description="置信水平分摊到各次")
    subjects: Annotated[int | Literal["all", "together"], BeforeValidator(_all_or_number)] = Field(
        default="all",
        title="须符合的对象数",
        description="all 为全部，或写个数；together 不逐个测，合在一起只测一次（如数车型）",
    )


class Condition(_Model, title="工况"):
    """One of the circumstances under which an indicator must hold."""

    params: dict[str, Any] = Field(default={}, title="仪器参数", description="与 measure.params 不同的那些")
    window: Annotated[str, AfterValidator(_window)] | None = Field(
        default=None, title="时段", description="北京时间，如 09:00-11:30；不在时段内不测，测了也无效"
    )


class Measure(_Model, title="测量方法"):
    """Instrument, its parameters, and the rule."""

    probe: str | None = Field(default=None, title="仪器", description="不写则用榜单的默认仪器")
    params: dict[str, Any] = Field(default={}, title="仪器参数", description="见各仪器的方法文件")
    conditions: dict[Text, Condition] = Field(
        default={}, title="工况", description="各工况分别测量，全部符合才算符合；如包长、时段、空载与满载"
    )
    before: Condition | None = Field(
        default=None,
        title="改造前",
        description="目标是“提升、缩短多少”时，改造前的水平怎么测：与 params 不同的那些参数；不写则前值只有自报，不能判符合",
    )
    rule: Rule = Field(default=Rule(), title="判定规则", description="不写则用 DR-1、0.95、1 次")

    @model_validator(mode="after")
    def _one_comparison(self) -> Measure:
        if self.before is not None and self.conditions:
            raise ValueError("before 与 conditions 不能同时写：改造前后只比一种工况，其余工况另立指标")
        return self


class Item(_Model, title="查验条目"):
    """One question of a checklist."""

    id: str = _text("编号", "如 S10-I01-01")
    text: str = _text("查什么")
    expected: str = _text("应为什么", "满足到何种程度才答“是”")
    method: Literal["查阅", "观察", "询问", "操作"] | None = Field(
        default=None, title="方法", description="查阅、观察、询问、操作"
    )
    identifier: Literal["vin", "video"] | None = Field(
        default=None,
        title="识别代号",
        description="vin：observed 里须抄下车辆识别代号，校验位与重复由工具核对；video：须写相机帧率与数得的帧数",
    )
    expert: Literal[True] | None = Field(
        default=None, title="专家评议", description="true：只能由专家判断，查验只收集证据，不答“是”“否”"
    )
    named: Literal["scenes_5g_20", "six_modes", "announced_model"] | None = Field(
        default=None,
        title="名称",
        description="observed 里须写明一个名称，不得重复：scenes_5g_20、six_modes 对照清单，announced_model 公告型号",
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


class Replaces(_Model, title="被代替的报告"):
    """An earlier report that this one corrects: it keeps its own number and is withdrawn (ISO/IEC 17025:2017 §7.8.8)."""

    number: str = _text("报告编号", "被代替的报告的编号")
    record_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = _text(
        "记录摘要", "被代替的报告的 record.json 的 SHA-256，印在它的最后一页"
    )
    reason: str = _text("代替原因")
    changes: tuple[Text, ...] = Field(default=(), title="改动", description="逐条写明改了什么")


class ReportInfo(_Model, title="报告"):
    """What stands on the report."""

    number: str = _text("报告编号")
    edition: Literal["restricted", "public"] = Field(
        default="restricted",
        title="报告版本",
        description="restricted 不公开；公开版另由 yanshou package --public 写，此处写 public 只得到提醒",
    )
    replaces: Replaces | None = Field(default=None, title="代替", description="本报告更正并代替的报告")


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
    scan: Scan | None = Field(default=None, title="盖章扫描件", description="与表1 成对登记，见 yanshou import --scan")
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


def place_of(folder: Path, name: str) -> Path:
    """Where a file lies that a case wants written: below `folder`, wherever its name or a link would lead. Raises UserError.

    A case may come from somebody else, and must not reach what else its reader may write.
    """
    why = name_problem(name)
    if not why and not (folder / name).resolve().is_relative_to(folder.resolve()):
        why = "经链接指到案卷之外"
    if why:
        remedy = "写相对案卷文件夹的文件名，如 inspections/S10-I01.yaml"
        raise UserError(Problem("P-PLACE", f"案卷要写的文件 {name!r} 不能用：{why}", remedy, folder))
    return folder / name


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
        raise UserError(Problem("E-CASE", f"读不出：{refusal(error)}", "检查路径与读权限", path)) from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(Problem("E-YAML", "不是 UTF-8 文本", "用编辑器另存为 UTF-8 编码", path, line)) from None
    return parse_case(text, path)


def parse_case(text: str, path: Path) -> Case:
    """The case that `text` states; `path` is for messages. Raises UserError with every problem of it."""
    tree = _Tree()
    data = tree.plain(compose(text, path), ())
    if not isinstance(data, dict):
        raise UserError(Problem("E-YAML", "最外层不是“键: 值”", "用 yanshou new 新建一个来对照", path, 1))
    problems = [replace(p, file=path) for p in tree.problems]
    try:
        document = CaseDocument.model_validate(data)
    except ValidationError as error:
        problems += [_invalid(e, tree.lines, path) for e in error.errors()]
    if problems:
        raise UserError(sorted(map(printable, problems), key=lambda p: p.line or 0))
    return Case(document, path, text, data, tree.lines)


def _line(lines: Mapping[Place, int], place: Place) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def compose(text: str, path: Path) -> Node:
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


def _invalid(error: ErrorDetails, lines: Mapping[Place, int], path: Path) -> Problem:
    """One finding of pydantic as a problem. The value itself is not repeated."""
    place = error["loc"]
    line = _line(lines, place)
    if place == ("yanshou",) and error["type"] != "missing":
        remedy = "写 yanshou: 1；更新的案卷用更新的 yanshou 打开"
        return Problem("E-VERSION", "案卷的格式版本不是 1", remedy, path, line)
    known = _known_keys(place[:-1]) if error["type"] == "extra_forbidden" else []
    code, text, remedy = explain(error, known)
    return Problem(code, text, remedy, path, line)


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
