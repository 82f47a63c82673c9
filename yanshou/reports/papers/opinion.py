"""专家验收意见: blank, with what the experts have to look at by themselves. It must never suggest a conclusion."""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.harness.model import Verdict
from yanshou.reports.blocks import Cell, Text, facts, table
from yanshou.reports.display import moment, verdict_text
from yanshou.reports.document import scenario_text
from yanshou.reports.papers.model import BLANK, Chapter, Dossier, Lines, Paper, PaperBlock, blanks, signed

EXPERTS = 7
CONCLUSIONS = "□ 通过　　　□ 不通过　　　□ 整改后复验"


def opinion(case: Dossier) -> Paper:
    """The paper."""
    return case.paper("专家验收意见", "专家验收意见", _blocks(case))


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    record = case.record
    told = record["case"]
    yield facts(
        ("项目名称", told["project"]["name"]),
        ("申报场景", scenario_text(told)),
        ("牵头单位", told["project"]["lead"]["name"]),
        ("组织单位", told["client"].get("name")),
        ("检测报告", case.number),
        ("检测期间", f"{moment(record['ledger']['started'])} 至 {moment(record['ledger']['ended'])}"),
        ("会议时间与地点", BLANK),
    )
    yield Chapter("1　请专家评议的事项")
    yield Text("下列各项榜单没有给出数字，或检测没有得出“符合”与“不符合”，由专家组查阅材料、质询和现场查看后给出意见。")
    columns = {"编号": 1.1, "事项": 3.6, "检测结论": 2.6, "专家意见": 3}
    yield table("评议事项", columns, [(*line, BLANK) for line in _matters(case)] or [[BLANK] * 4])
    yield Chapter("2　验收意见")
    yield Lines("专家组听取了汇报，审阅了材料，进行了质询与现场查看，形成意见如下：", 10)
    yield Chapter("3　问题与建议")
    yield Lines("", 5)
    yield Chapter("4　结论")
    yield Text(CONCLUSIONS)
    yield Lines("需整改的事项、期限与复验方式（结论为“整改后复验”时填写）：", 3)
    yield Chapter("5　专家签名")
    columns = {"序号": 0.6, "姓名": 1.2, "工作单位": 2.6, "职称与专业": 1.8, "意见": 1.6, "签名": 1.6}
    experts = [(str(n), BLANK, BLANK, BLANK, BLANK, BLANK) for n in range(1, EXPERTS + 1)]
    yield table("专家组成员（序号 1 为组长）", columns, experts)
    yield blanks("有不同意见的专家须在此写明", {"姓名": 1.2, "不同意见": 5, "签名": 1.6}, 2)
    yield signed("专家组组长")


def _matters(case: Dossier) -> Iterator[tuple[object, ...]]:
    undecided = (Verdict.INCONCLUSIVE, Verdict.NOT_RUN, Verdict.INVALID)
    shown = set()
    for f in case.record["findings"]:
        if f["verdict"] in undecided:
            shown.add(f["indicator"])
            reasons = tuple(r["text"] for r in f["reasons"])
            yield f["indicator"], f["name"], Cell(verdict_text(f["verdict"]), reasons)
    planned = {f["indicator"] for f in case.record["findings"]}
    for q in case.record["qualitative"]:
        if q["id"] not in planned:
            yield q["id"], q["text"], "；".join(r["text"] for r in q["reasons"])
