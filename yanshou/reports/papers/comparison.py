"""指标完成情况对照表: the columns of 表1, and beside each commitment what was measured, the verdict, and where the evidence is.

It must never leave out what the list asks for, whether it was planned or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.harness.model import Verdict
from yanshou.reports.blocks import Cell, Text, verdict_cell
from yanshou.reports.display import NOTHING, Data, limit_text
from yanshou.reports.document import measured, scenario_text
from yanshou.reports.papers.model import Dossier, Paper, PaperBlock, Spanned, evidence_number, signed

COLUMNS = {
    "申报场景": 1.0, "申报项目名称": 1.2, "参考指标": 1.9, "本单位当前水平": 1.2, "项目建设目标": 1.4,
    "补充说明": 2.4, "实测值": 1.9, "判定": 1.1, "证据号": 0.9,
}  # fmt: skip


def comparison(case: Dossier) -> Paper:
    """The paper."""
    return case.paper("指标完成情况对照表", "指标完成情况对照表", _blocks(case), wide=True, sheet=True)


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    told = case.record["case"]
    scenario, project = scenario_text(told), told["project"]["name"]
    lines = [(scenario, project, *line) for line in _lines(case)]
    rows = tuple(tuple(x if isinstance(x, Cell) else Cell(x or NOTHING) for x in line) for line in lines)
    yield Spanned("指标完成情况", tuple(COLUMNS), tuple(COLUMNS.values()), rows, spans=2)
    yield Text(
        "前六栏录自申报材料表1（承诺）。判定按测试方案的规则作出，使用未经修约的数值；置信界与方法见检测报告。"
        "证据号是运行的编号，原始数据与摘要见原始记录表和签名包。“专家评议”的各项由专家组给出意见。"
    )
    yield signed("项目单位", "评测机构")


def _lines(case: Dossier) -> Iterator[tuple[object, ...]]:
    commitments = case.case["commitments"]
    planned = set()
    for f in case.record["findings"]:
        planned.add(f["indicator"])
        yield (
            _reference(f, commitments.get(f["indicator"]) or {}),
            f["baseline"],
            f["commitment_text"] or limit_text(f["commitment_limit"]),
            _explained(f),
            measured(f),
            verdict_cell(f["verdict"]),
            "、".join(evidence_number(a["run"]) for a in f["attempts"]),
        )
    for indicator in case.record["plan"]["not_planned"]:
        c = commitments.get(indicator) or {}
        target = c.get("target") or NOTHING
        yield (
            Cell(indicator), c.get("baseline") or NOTHING, target, c.get("note") or NOTHING, NOTHING,
            "不采用" if target == "不采用" else "未纳入计划", NOTHING,
        )  # fmt: skip
    for q in case.record["qualitative"]:
        if q["id"] not in planned:
            expert = any(r["code"] == "expert_review" for r in q["reasons"])
            verdict = "专家评议" if expert else Verdict(q["verdict"]).word
            yield Cell(q["text"], (q["id"],)), NOTHING, NOTHING, NOTHING, NOTHING, verdict, NOTHING


def _reference(f: Data, commitment: Data) -> Cell:
    """The indicator as the application form words it, else as the list does."""
    verbatim = (commitment.get("source") or {}).get("indicator")
    return Cell(verbatim or f["name"], (f"{f['indicator']}　榜单 {limit_text(f['list_limit'])}",))


def _explained(f: Data) -> Cell:
    answers = [f"{d['ask']}：{d['answer']}" for d in f["definition"].values() if d["answer"]]
    return Cell(f["note"], tuple(answers)) if f["note"] else Cell("\n".join(answers) or NOTHING)
