"""原始记录表: one for every run that was started, with the digests of its raw data and room for what only people saw.

It must never leave a run out.
"""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.reports.blocks import Cell, Facts, Heading, Table, digest, facts, field, table
from yanshou.reports.display import NOTHING, Data, exactly, moment
from yanshou.reports.document import PURPOSES, SEVERITIES, checklist_table, count_table, measured, status_word
from yanshou.reports.papers.model import (
    Chapter,
    Dossier,
    Lines,
    NewPage,
    Paper,
    PaperBlock,
    blanks,
    evidence_number,
    signed,
)

FILES = 60
"""Files of a run that are listed one by one; the rest stand in the manifest of the package."""


def raw_records(case: Dossier) -> Paper:
    """The paper."""
    return case.paper("原始记录表", "检测原始记录", _blocks(case))


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    findings = {f["indicator"]: f for f in case.record["findings"]}
    attempts = {a["run"]: (f, a) for f in case.record["findings"] for a in f["attempts"]}
    for number, run in enumerate(case.runs):
        if number:
            yield NewPage()
        finding = findings.get(run["meta"].get("indicator"))
        yield Chapter(f"{evidence_number(run['number'])}　{_about(run, finding)}")
        yield _run(run, finding)
        if run["meta"].get("params"):
            params = {k: v for k, v in run["meta"]["params"].items() if v is not None and k != "items"}
            yield Heading("参数")
            yield facts(*((name, field(value, number=exactly)) for name, value in params.items()))
        if run["number"] in attempts:
            yield from _read(*attempts[run["number"]])
        yield _files(run)
        yield Lines("现场情况（天气、负载、异常、中断与处置）", 3)
        yield signed("检测人", "复核人", "被测方或见证人")
    yield NewPage()
    yield Chapter("人工补充记录")
    columns = {"时间": 1.4, "指标与对象": 2, "记录内容": 4, "记录人": 1.2, "见证人": 1.2}
    yield blanks("工具之外的记录（由人填写）", columns, 10)


def _about(run: Data, finding: Data | None) -> str:
    if finding is None:
        return f"{PURPOSES.get(run['meta']['purpose'], run['meta']['purpose'])}　{run['meta']['probe']}"
    parts = [finding["indicator"], finding["name"], run["meta"].get("subject"), run["meta"].get("condition")]
    return "　".join(p for p in parts if p)


def _run(run: Data, finding: Data | None) -> Facts:
    meta = run["meta"]
    title = finding["method"]["title"] if finding else None
    return facts(
        ("用途", PURPOSES.get(meta["purpose"], meta["purpose"])),
        ("仪器", f"{title or ''} {meta['probe']} 版本 {meta['version']}".strip()),
        ("方法文件", finding["method"]["document"] if finding else None),
        ("开始", moment(run["started"])),
        ("结束", moment(run["ended"])),
        ("状态", Cell(status_word(run["status"]), (run["reason"],) if run["reason"] else ())),
        ("随机种子", None if meta.get("seed") is None else str(meta["seed"])),
        ("计划摘要", digest(meta.get("plan_sha256"))),
        ("主机", field(meta["host"])),
        ("采集包", digest(run["kit_sha256"]) if run["kit_sha256"] else "本机采集"),
        ("原始数据", f"runs/{run['folder']}"),
    )


def _read(finding: Data, attempt: Data) -> Iterator[PaperBlock]:
    """What the run gave, as the record says it."""
    shown = measured({**finding, **attempt})
    if shown.text != NOTHING:
        yield Heading("读数")
        yield facts(("实测值", shown))
    figure = attempt.get("figure") or {}
    if figure.get("kind") == "checklist":
        yield checklist_table(figure["items"])
    elif figure.get("kind") == "count":
        yield count_table(figure)
    if attempt["validity"]:
        rows = [(SEVERITIES[v["severity"]], v["text"], v["code"]) for v in attempt["validity"]]
        yield table("有效性检查", {"程度": 0.9, "发现": 5, "代码": 2}, rows)


def _files(run: Data) -> Table:
    rows: list[tuple[object, ...]] = [(s["name"], s["bytes"], digest(s["sha256"])) for s in run["streams"][:FILES]]
    rows += [(f"{t['name']}（未确认的尾部）", t["bytes"], digest(t["sha256"])) for t in run["tail"]]
    if len(run["streams"]) > FILES:
        rows.append((f"……共 {len(run['streams'])} 个文件，其余见数据包清单", None, None))
    return table("原始数据文件", {"文件": 2.2, "字节": 0.9, "SHA-256": 5.4}, rows, (1,))
