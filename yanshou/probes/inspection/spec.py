"""What the `inspection` probe is and what it is told: the frozen checklist, and the rules that every answer must keep.

The descriptions of the fields are the help that a person sees in case.yaml. It must never open a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field, field_validator

from yanshou.harness.model import Answer, Kind
from yanshou.harness.names import person
from yanshou.probes.contract import Estimate, ProbeSpec
from yanshou.probes.inspection import naming, video, vin
from yanshou.probes.params import Frozen

EXPLAINED = frozenset({Answer.NO, Answer.PARTIAL, Answer.NOT_APPLICABLE})
"""Answers that must say what was observed, or why."""
CONFIRMED = frozenset({Answer.YES, Answer.NOT_APPLICABLE})
"""Answers that let an indicator pass, so that two persons must stand for each: what does not apply is out of the way."""
JUDGED = frozenset({Answer.YES, Answer.NO, Answer.PARTIAL})
"""Answers by which an inspector judges: not his for what only experts can."""


COPIED = {
    "vin": "  # observed 里抄下 17 位车辆识别代号\n",
    "video": "  # observed 里写相机帧率与逐次从动作到画面的帧数：240 fps，5、6、5、7 帧；录像列入 evidence\n",
}
"""What a sheet says of an item with an identifier."""


class Item(Frozen):
    """One question of the checklist, fixed before anybody goes on site."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="条目编号，如 M01；也是附件文件夹名")
    text: str = Field(min_length=1, description="查什么")
    expected: str = Field(min_length=1, description="应为什么：满足到何种程度才答“是”")
    method: Literal["查阅", "观察", "询问", "操作"] | None = Field(
        default=None, description="怎么查：查阅、观察、询问、操作；不写则由检查人定"
    )
    identifier: Literal["vin", "video"] | None = Field(
        default=None,
        description="vin：observed 里须抄下 17 位车辆识别代号，校验位（GB 16735）与重复由工具核对；"
        "video：observed 里须写相机帧率与逐次数得的帧数，如 240 fps，5、6、5 帧，毫秒与分辨力由工具算",
    )
    expert: bool = Field(default=False, description="true：只能由专家判断，查验只收集证据，答案是“专家评议”")
    named: naming.Kind | None = Field(
        default=None,
        description="observed 里须写明一个名称，不得与别条重复：scenes_5g_20 二十个 5G 场景之一、six_modes 六大模式之一"
        "（清单以外的交专家评议），announced_model 公告型号",
    )

    @property
    def asked_name(self) -> str:
        """What `observed` must name, in words; "" for nothing."""
        return naming.ASKED[self.named] if self.named else ""


class Params(Frozen):
    """Which checklist, and where people wrote the answers."""

    sheet: str = Field(
        min_length=1, description="答卷（YAML，由检查人填写），相对案卷文件夹；证据文件相对答卷所在文件夹"
    )
    items: tuple[Item, ...] = Field(min_length=1, description="查验清单 [{id, text, expected, method}]，随计划冻结")
    unit: str = Field(default="个", min_length=1, description="“是”的条目的计数单位：个、款、家、种 等")
    reviewers: Literal[2] = Field(default=2, description="每个“是”与“不适用”须两人：检查人与复核人，不可更改")

    @field_validator("items")
    @classmethod
    def _distinct(cls, items: tuple[Item, ...]) -> tuple[Item, ...]:
        if len({item.id.casefold() for item in items}) != len(items):  # ids name folders, and some disks ignore case
            raise ValueError("items 里的 id 有重复（不分大小写）")
        return items


class RecordedFile(Frozen):
    """One evidence file as `items.json` records it: its stream, that stream's SHA-256, and what the sheet says about it."""

    stream: str
    sha256: str
    file: str
    kind: str
    obtained_from: str
    obtained_at: str
    page: str


class RecordedItem(Item):
    """One item as `items.json` records it: the question as frozen, the answer, and the files behind it."""

    observed: str = ""
    answer: Answer = Answer.OPEN
    reason: str = ""
    inspector: str = ""
    witness: str = ""
    time: str = ""
    place: str = ""
    how: str = ""
    confirmed: str = ""
    evidence: tuple[RecordedFile, ...] = ()


class Recorded(Frozen):
    """The stream `items.json`; `journal_sha256` of the stream `journal.jsonl` where the sheet came of a guided inspection."""

    sheet_sha256: str
    items: tuple[RecordedItem, ...]
    journal_sha256: str = ""


def breaches(
    answer: Answer, *, inspector: str, witness: str, explained: bool, evidence: int, expert: bool = False
) -> Iterator[tuple[str, str, str]]:
    """(code, text, remedy) of each rule that an answer breaks; `evidence` is the number of files that prove it."""
    if expert and answer in JUDGED:
        yield "INS-E13", f"只能由专家判断，不能答“{answer}”", "附上证据，改答“专家评议”"
    if answer is Answer.YES and not evidence:
        yield "INS-E03", "答“是”却没有证据文件", "在 evidence 下列出证据文件，或改答“未查”"
    if answer in CONFIRMED and (not person(witness) or person(inspector) in ("", person(witness))):
        yield "INS-E04", f"答“{answer}”须检查人与复核人是两个不同的人", "填写 inspector 与 witness，由第二人到场复核"
    if answer in EXPLAINED and not explained:
        yield "INS-E10", f"答“{answer}”却没写看到了什么或为什么", "填写 observed 或 reason"


def misread(item: Item, observed: str) -> tuple[str, str] | None:
    """(what is wrong, remedy) with what `observed` must hold; None where it is right or nothing is asked for."""
    if item.named and (wrong := naming.wrong(item.named, observed)):
        return wrong
    if item.identifier is None:
        return None
    if item.identifier == "video":
        missing = video.written(observed) is None
        return ("的 observed 里读不出相机帧率与数得的帧数", "写作 240 fps，5、6、5、7 帧") if missing else None
    number = vin.written(observed)
    if number is None:
        return "的 observed 里没有 17 位车辆识别代号", "照铭牌或风窗处抄下"
    why = vin.wrong(number)
    return (f"的车辆识别代号 {number} {why}", "对照实车再抄；实车就是这样则不能答“是”") if why else None


def blank_sheet(items: Iterable[Item]) -> str:
    """An empty answer sheet (YAML) for `items`, every answer 未查, with the questions and the rules as comments."""

    def entry(item: Item) -> str:
        question, expected = (" ".join(text.split()) for text in (item.text, item.expected))
        copied = COPIED.get(item.identifier or "", "")
        copied += "  # 只能由专家判断：附上证据，答 专家评议\n" if item.expert else ""
        copied += f"  # observed 里写明{item.asked_name}\n" if item.named else ""
        return (
            f"  # {question}\n  # 应为：{expected}；方法：{item.method or '检查人定'}\n{copied}  {item.id}:\n"
            '    observed: ""\n    answer: 未查\n    reason: ""\n    inspector: ""\n    witness: ""\n'
            '    time: ""\n    place: ""\n    evidence: []\n'
        )

    return (
        "# 查验答卷：检查人填写，复核人逐项确认；也可用 yanshou inspect 引导填写。题目以冻结的计划为准，改这里的题目无效。\n"
        f"# answer：{' | '.join(Answer)}\n"
        "# 答“是”：须有证据文件。答“是”或“不适用”：检查人 inspector 与复核人 witness 须是两个不同的人。\n"
        "# 答“否”“部分”“不适用”：须写 observed（看到什么）或 reason（为什么）。\n"
        "# time 写作 2025-03-01 09:30；evidence 每条写作（路径相对本文件，除 file 外可不写）：\n"
        '#   - {file: 照片/铭牌.jpg, kind: 照片, obtained_from: 一号车间, obtained_at: 2025-03-01 09:30, page: ""}\n'
        "items:\n" + "".join(map(entry, items))
    )


SPEC = ProbeSpec(
    name="inspection",
    version="2",
    title="现场查验",
    kind=Kind.INSPECTED,
    unit="个",
    tolerance=0.0,
    document="docs/probes/p-030-inspection.md",
    equipment=("查验清单（随计划冻结）", "检查人与复核人各一名", "拍照或录像设备"),
)


def estimate(params: Params, samples: int | None) -> Estimate:
    """No time of its own (people set the pace); one answer per item."""
    return Estimate(seconds=0.0, samples=len(params.items))


def forms(params: Params) -> dict[str, str]:
    """The answer sheet, blank."""
    return {params.sheet: blank_sheet(params.items)}
