"""results.xlsx: what results.csv says, and every attempt, count, answer and run, as sheets that sort and print.

Its bytes depend on the versions of the libraries that write it, so that a package is verified by its digest alone and not by
writing it again. It must never compute: no cell is a formula.
"""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.harness.basics import Json
from yanshou.harness.model import Verdict
from yanshou.reports.display import Data, moment, verdict_text
from yanshou.reports.document import PURPOSES, status_word
from yanshou.reports.machine import ATTEMPT_COLUMNS, COLUMNS, attempt_rows, result_rows
from yanshou.reports.workbook import Sheet, listed, workbook


def results_xlsx(record: Data) -> bytes:
    """A workbook of a record whose texts are printable already (`display.fit`)."""
    title = record["case"].get("report_number") or "yanshou"
    return workbook(list(_sheets(record)), title, record["ledger"]["ended"])


def _sheets(record: Data) -> Iterator[Sheet]:
    head = "　".join(
        filter(None, [record["list"]["title"], f"结论 {verdict_text(record['verdict'])}", record["marking"]])
    )
    yield listed("结果一览", head, tuple(COLUMNS), result_rows(record))
    attempts = [row for f in record["findings"] for row in attempt_rows(f)]
    yield listed("全部测量", "每一次测量，含没有完成的", tuple(ATTEMPT_COLUMNS), attempts)
    yield listed(
        "计数过程", "提交、逐项剔除、计入", ("指标编号", "指标", "步骤", "原因码", "数量"), list(_counts(record))
    )
    asked = ("指标编号", "编号", "查什么", "应为", "所见", "答", "为什么", "查验人", "见证人", "证据")
    yield listed("查验记录", "逐条的回答", asked, list(_answers(record)))
    required = [(q["id"], q["text"], Verdict(q["verdict"]).word, _reasons(q)) for q in record["qualitative"]]
    yield listed("定性要求", "榜单没有数字的要求", ("编号", "要求", "判定", "原因"), required)
    told = ("运行", "文件夹", "用途", "仪器", "指标编号", "受检对象", "状态", "状态说明", "开始", "结束", "字节")
    yield listed("全部运行", "台账里的每一次运行", told, list(_runs(record)))


def _counts(record: Data) -> Iterator[tuple[Json, ...]]:
    for f in record["findings"]:
        figure = f.get("figure") or {}
        if figure.get("kind") == "count":
            named = (f["indicator"], f["name"])
            yield *named, "提交", None, figure["gross"]
            for e in figure["exclusions"]:
                yield *named, e["text"], e["code"], -e["count"]
            yield *named, "计入", None, figure["net"]


def _answers(record: Data) -> Iterator[tuple[Json, ...]]:
    for f in record["findings"]:
        figure = f.get("figure") or {}
        if figure.get("kind") == "checklist":
            for i in figure["items"]:
                said = (
                    i["text"],
                    i["expected"],
                    i["observed"],
                    i["answer"],
                    i.get("reason"),
                    i["inspector"],
                    i["witness"],
                )
                yield f["indicator"], i["id"], *said, len(i["evidence"])


def _runs(record: Data) -> Iterator[tuple[Json, ...]]:
    for r in record["runs"]:
        about = (PURPOSES.get(r["purpose"], r["purpose"]), r["probe"], r.get("indicator"), r.get("subject"))
        ended = (status_word(r["status"]), r.get("status_reason"), moment(r["started"]), moment(r["ended"]))
        yield r["number"], r["folder"], *about, *ended, r["bytes"]


def _reasons(q: Data) -> str:
    return "；".join(r["text"] for r in q["reasons"])
