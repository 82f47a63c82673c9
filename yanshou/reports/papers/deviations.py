"""偏离与异常单: every run that did not end well, every finding against a number, every change of the plan; room for people's own.

It must never drop one because another run was better. Each has a number, a severity, a place and how to see it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from yanshou.harness.basics import RunStatus
from yanshou.harness.model import Severity
from yanshou.reports.blocks import Text, table
from yanshou.reports.display import moment
from yanshou.reports.document import ROLES, status_word
from yanshou.reports.papers.model import BLANK, Dossier, Paper, PaperBlock, evidence_number, signed

GRAVE, PLAIN, SLIGHT = "严重", "一般", "轻微"
DEVIATION, ANOMALY = "偏离", "异常"
LEGEND = (
    "程度：严重 = 该次测量无效、要求被放宽、指标没有测或计划没有事先签署；一般 = 运行没有完成、留有未确认的数据或计划有变更；"
    "轻微 = 工具的提醒。判定已按这些情况作出，本单供各方说明原因、处置与复验。"
)
REPLAY = "yanshou verify 数据包，由原始数据重放"
SPARE = 4
"""Rows for what people noted themselves."""
COLUMNS = {
    "编号": 0.8,
    "类别": 0.7,
    "程度": 0.7,
    "位置": 2,
    "现象": 3.4,
    "复现": 2.2,
    "原因与处置": 2.2,
    "责任人与日期": 1.3,
}


@dataclass(frozen=True)
class _Entry:
    sort: str
    severity: str
    place: str
    text: str
    again: str


def deviations(case: Dossier) -> Paper:
    """The paper."""
    return case.paper("偏离与异常单", "偏离与异常单", _blocks(case), wide=True, sheet=True)


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    entries = list(dict.fromkeys(_entries(case)))
    yield Text(LEGEND if entries else f"工具没有记录偏离或异常。{LEGEND}")
    rows = [
        (f"{'P' if e.sort == DEVIATION else 'Y'}{n:02d}", e.sort, e.severity, e.place, e.text, e.again, BLANK, BLANK)
        for n, e in enumerate(entries, 1)
    ]
    yield table("偏离与异常", COLUMNS, [*rows, *[[BLANK] * len(COLUMNS)] * SPARE])
    yield signed("评测机构", "被测方", "委托方或见证人")


def _entries(case: Dossier) -> Iterator[_Entry]:
    yield from _of_the_plan(case)
    yield from _of_runs(case)
    yield from _of_numbers(case)


def _of_the_plan(case: Dossier) -> Iterator[_Entry]:
    for a in case.record.get("amendments") or ():
        text = f"第 {a['revision']} 版：{'；'.join(a['changes'])}。理由：{a['reason']}（{a['author']}）"
        severity = GRAVE if a["weakening"] else PLAIN
        yield _Entry(DEVIATION, severity, f"计划，{moment(a['utc'])}", text, "yanshou verify 列出台账中的各版计划")
    for indicator in case.record["plan"]["not_planned"]:
        yield _Entry(DEVIATION, PLAIN, indicator, "榜单指标没有纳入计划", "见测试方案")
    signed = set(case.record["plan"]["signed_by"])
    if case.formal and (missing := [ROLES[r] for r in ("project", "tester") if r not in signed]):
        yield _Entry(
            DEVIATION, GRAVE, "计划", f"第一次测量之前没有{'、'.join(missing)}签署", "yanshou verify 核验计划签名"
        )


def _of_runs(case: Dossier) -> Iterator[_Entry]:
    for run in case.runs:
        meta = run["meta"]
        place = f"{evidence_number(run['number'])}　{meta.get('indicator') or meta['probe']}"
        seed = f"仪器 {meta['probe']}，种子 {meta['seed']}" if meta.get("seed") is not None else f"仪器 {meta['probe']}"
        again = f"{seed}，参数见原始记录表"
        if run["status"] != RunStatus.COMPLETED:
            text = f"运行{status_word(run['status'])}" + (f"：{run['reason']}" if run["reason"] else "")
            yield _Entry(ANOMALY, PLAIN, place, text, again)
        if run["tail"]:
            names = "、".join(t["name"] for t in run["tail"])
            yield _Entry(ANOMALY, PLAIN, place, f"有台账没有确认的数据：{names}，不参加判定", again)


def _of_numbers(case: Dossier) -> Iterator[_Entry]:
    grades = {Severity.INVALID: GRAVE, Severity.WARNING: SLIGHT}
    attempts = [(f["indicator"], a) for f in case.record["findings"] for a in f["attempts"]]
    for indicator, a in sorted(attempts, key=lambda told: int(told[1]["run"])):
        for v in a["validity"]:
            if v["severity"] in grades:
                place = f"{evidence_number(a['run'])}　{indicator}"
                yield _Entry(ANOMALY, grades[v["severity"]], place, f"{v['text']}（{v['code']}）", REPLAY)
    for f in case.record["findings"]:
        if case.measured and not f["attempts"]:
            yield _Entry(ANOMALY, GRAVE, f["indicator"], "计划内的指标没有测量", "yanshou run")
