"""公开版摘要: verdicts only. No number, no name, no address and no word of the project stands in it.

What it prints are the words of the public list, the verdicts, and the digest that ties it to the sealed record. It must never print
a text that the project or the evaluator wrote: 指标不对外公开，仅用于专家和评测机构评价参考 (notice, note 1 of 表1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from yanshou.harness.basics import Json
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
    for indicator, name, verdict in told_publicly(case.record):
        yield indicator or BLANK, name, verdict_cell(verdict) if verdict else "专家评议"


def told_publicly(record: Mapping[str, Json]) -> Iterator[tuple[str | None, str, str | None]]:
    """(indicator, name, verdict) in words of the public list only.

    Indicators that the project added have neither id nor name; a verdict of None is left to experts.
    """
    own, listed = 0, {q["id"]: q["text"] for q in record["qualitative"]}
    for f in record["findings"]:
        if f["list_source"] != "own":
            yield f["indicator"], f["name"], f["verdict"]
        elif f["indicator"] in listed:
            yield f["indicator"], listed[f["indicator"]], f["verdict"]
        else:
            own += 1
            yield None, f"{OWN}（{own}）", f["verdict"]
    planned = {f["indicator"] for f in record["findings"]}
    for requirement, text in listed.items():
        if requirement not in planned:
            yield requirement, text, None
