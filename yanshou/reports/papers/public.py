"""公开版摘要: verdicts only. No number, no name, no address and no word of the project stands in it.

What it prints are the words of the public list, the verdicts, and the digest that ties it to the sealed record. It must never print
a text that the project or the evaluator wrote: 指标不对外公开，仅用于专家和评测机构评价参考 (notice, note 1 of 表1).
"""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.reports.blocks import Text, digest, facts, table, verdict_cell
from yanshou.reports.papers.model import BLANK, Dossier, Paper, PaperBlock, Seals

OWN = "项目自报指标"


def public_summary(case: Dossier) -> Paper:
    """The paper. Its number is left blank too."""
    when = case.record["ledger"]["ended"]
    return Paper(
        "公开版摘要",
        "验收结果摘要（公开版）",
        BLANK,
        case.record["marking"],
        when,
        tuple(_blocks(case)),
        restricted=False,
    )


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    record = case.record
    listed, told = record["list"], record["case"]
    yield facts(
        ("榜单", listed["title"]),
        ("场景", told["scenario_name"]),
        ("项目名称", BLANK),
        ("牵头单位", BLANK),
        ("检测结论", verdict_cell(record["verdict"])),
    )
    yield table("各项指标的判定", {"编号": 1.2, "指标": 5, "判定": 1.6}, list(_lines(case)))
    yield Text(
        "本摘要只列判定，不列数值、承诺与项目细节。指标名称取自公开榜单，项目自报的指标不列名称。"
        "“未定”“未测”“无效”均不构成“符合”。项目名称与单位由有权公布者填写。"
    )
    yield facts(("检测记录的 SHA-256", digest(case.record_sha256)))
    yield Text("持有签名包者可以核对：包内 record.json 的摘要与上面相同。")
    yield Seals((("公布单位", BLANK),))


def _lines(case: Dossier) -> Iterator[tuple[object, ...]]:
    own = 0
    names = {q["id"]: q["text"] for q in case.record["qualitative"]}
    for f in case.record["findings"]:
        if f["list_source"] != "own":
            yield f["indicator"], f["name"], verdict_cell(f["verdict"])
        elif f["indicator"] in names:
            yield f["indicator"], names[f["indicator"]], verdict_cell(f["verdict"])
        else:
            own += 1
            yield BLANK, f"{OWN}（{own}）", verdict_cell(f["verdict"])
    planned = {f["indicator"] for f in case.record["findings"]}
    for q in case.record["qualitative"]:
        if q["id"] not in planned:
            yield q["id"], q["text"], "专家评议"
