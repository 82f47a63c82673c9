"""测试方案: what will be measured, how and by which rule, as frozen before anything was; signed by the three parties.

It must never show a result.
"""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.harness.model import Kind
from yanshou.reports.blocks import Cell, Facts, Heading, Items, Notice, Table, Text, digest, facts, field, table
from yanshou.reports.display import Data, display, exactly, limit_text, moment, percent, statistic_word
from yanshou.reports.document import ACCEPTANCE, RULES, TARGETS, party_text, scenario_text
from yanshou.reports.papers.model import BLANK, Chapter, Dossier, Paper, PaperBlock, Seals, blanks, people

UNDEFINED = "口径未定，不予判定"
OPEN = "没有约定"
PEOPLES_PACE = "现场人员按进度"


def scheme(case: Dossier) -> Paper:
    """The paper."""
    return case.paper("测试方案", "重点指标测试方案", _blocks(case))


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    record, plan = case.record, case.plan
    yield Text(
        f"本方案由冻结的测试计划第 {plan['revision']} 版排印，限值、方法、规则、样本与随机种子在测量之前固定，"
        "此后的任何变更都另行登记并印在报告上。"
    )
    yield Chapter("1　项目与各方")
    yield _parties(record["case"])
    yield Chapter("2　依据")
    yield Items(tuple(_bases(record)), numbered=True)
    yield Chapter("3　被测系统与环境")
    yield _target(record["case"])
    yield Chapter("4　指标与限值")
    yield _indicators(record)
    yield from _definitions(record)
    yield Chapter("5　方法与样本")
    yield from _methods(record, plan)
    yield Chapter("6　判定规则")
    yield Items(RULES, numbered=True)
    yield _rules(record)
    yield Chapter("7　仪器与准备")
    yield _equipment(plan)
    yield Text(
        "每种仪器在同一时段内先用已知真值的标准器校准，示值误差与原始数据一并留存；没有校准或校准超差的测量无效。"
    )
    yield Chapter("8　人员与时间")
    yield table("人员", {"姓名": 1, "职责": 2, "到场时间": 1.5, "签到": 1.5}, [
        *((name, role, BLANK, BLANK) for name, role in people(record)), *[[BLANK] * 4] * 2])  # fmt: skip
    yield blanks("日程（由各方商定后填写）", {"日期": 1.2, "时段": 1.2, "内容": 3, "配合人员": 1.5}, 4)
    yield Chapter("9　计划的版本与修订")
    yield from _revisions(record)
    yield Chapter("10　各方确认")
    yield Text("各方确认上述指标、口径、方法、样本与判定规则，同意据此测试和判定。")
    yield Seals((
        ("委托方", record["case"]["client"].get("name") or ""),
        ("被测方（牵头单位）", record["case"]["project"]["lead"]["name"]),
        ("评测机构", record["case"]["evaluator"].get("name") or ""),
    ))  # fmt: skip


def _parties(case: Data) -> Facts:
    project = case["project"]
    return facts(
        ("项目名称", project["name"]),
        ("申报场景", scenario_text(case)),
        ("委托方", case["client"].get("name")),
        ("被测方（牵头单位）", party_text(project["lead"])),
        ("联合单位", [party_text(p) for p in project.get("partners") or ()]),
        ("评测机构", case["evaluator"].get("name")),
        ("评测机构地址", case["evaluator"].get("address")),
        ("完成时限", project.get("deadline")),
    )


def _bases(record: Data) -> Iterator[str]:
    listed = record["list"]
    unsure = "（录自通知的文字识别稿，尚待与官方原件核对）" if listed.get("needs_official_confirmation") else ""
    yield f"{listed['title']}{unsure}，数据摘要 {listed['sha256']}"
    yield f"项目申报材料表1（承诺值），案卷摘要 {record['case']['sha256']}"
    documents = dict.fromkeys(
        (f["method"]["title"], f["method"]["document"]) for f in record["findings"] if f["method"]["document"]
    )
    yield from (f"{title}的方法文件 {document}" for title, document in documents)
    yield "判定使用未经修约的数值；修约只用于显示"


def _target(case: Data) -> Facts:
    target, how = case["target"], (case.get("acceptance") or {}).get("method") or {}
    return facts(
        ("环境类别", TARGETS.get(target["kind"], target["kind"])),
        ("版本", target.get("version")),
        ("状态", target.get("condition")),
        ("地点", target.get("site")),
        ("受检个体", target.get("subjects")),
        ("任务书约定的验收内容", (case.get("acceptance") or {}).get("content")),
        *((f"任务书约定的{word}", how.get(key)) for key, word in ACCEPTANCE.items()),
    )


def _indicators(record: Data) -> Table:
    rows = [
        (
            Cell(f["name"], (f"{f['indicator']}　{Kind(f['kind']).word}",)),
            limit_text(f["list_limit"]),
            Cell(limit_text(f["commitment_limit"]), (f"“{f['commitment_text']}”",) if f["commitment_text"] else ()),
            limit_text(f["limit"]),
            f["baseline"],
            f["note"],
        )
        for f in record["findings"]
    ]
    columns = {"指标": 2.2, "榜单值": 1.4, "承诺值": 1.8, "有效限值": 1.4, "原有水平": 1.4, "补充说明": 2.2}
    return table("指标、限值与承诺", columns, rows)


def _definitions(record: Data) -> Iterator[PaperBlock]:
    rows = [
        (f["indicator"], d["ask"], d["answer"] or (UNDEFINED if key in f["missing_definition"] else OPEN))
        for f in record["findings"]
        for key, d in f["definition"].items()
    ]
    if rows:
        yield table("榜单没有说清、由承诺约定的口径", {"指标": 1.1, "问题": 2.6, "约定": 4}, rows)


def _methods(record: Data, plan: Data) -> Iterator[PaperBlock]:
    findings = {f["indicator"]: f for f in record["findings"]}
    rows: list[tuple[object, ...]] = []
    for i in plan["indicators"]:
        instrument = i["instrument"]
        if instrument is None:
            rows.append((_named(i), "没有指定仪器，不会被测量", None, None, None, None))
            continue
        seconds, samples = instrument["seconds"], instrument["samples"]
        rows.append((
            _named(i),
            Cell(instrument["title"], (f"{instrument['probe']} 版本 {instrument['version']}", instrument["document"])),
            display(samples),
            i["samples_needed"],
            f"{display(seconds, digits=3)} s" if seconds else PEOPLES_PACE,
            Cell(str(i["seed"]), mono=True),
        ))  # fmt: skip
    columns = {"指标": 2, "仪器与方法": 3, "计划样本": 1.1, "判定至少": 1.1, "每次时长": 1.3, "随机种子": 1.8}
    yield table("方法、样本与时长", columns, rows, (2, 3))
    for i in plan["indicators"]:
        if i["conditions"]:
            shown = [(c["condition"], c["window"] or "不限", _told(c["instrument"]["params"])) for c in i["conditions"]]
            yield table(f"{i['id']} 的工况（须全部符合）", {"工况": 2, "时段": 1.5, "参数": 5}, shown)
        elif i["instrument"] and i["kind"] != Kind.INSPECTED:
            told = {name: v for name, v in i["instrument"]["params"].items() if v is not None}
            yield Heading(f"{i['id']}　{findings[i['id']]['name']}：参数")
            yield facts(*((name, field(value, number=exactly)) for name, value in told.items()))
        elif i["instrument"]:
            yield _checklist(i)


def _told(params: Data) -> Cell:
    return field([{k: v} for k, v in params.items() if v is not None], number=exactly)


def _checklist(indicator: Data) -> Table:
    items = indicator["instrument"]["params"].get("items") or ()
    rows = [(i["id"], i["text"], i["expected"], i.get("method")) for i in items]
    return table(f"{indicator['id']} 的查验清单", {"编号": 1.3, "查什么": 2.6, "应为": 3.6, "方法": 0.8}, rows)


def _named(indicator: Data) -> Cell:
    return Cell(indicator["name"], (indicator["id"],))


def _rules(record: Data) -> Table:
    rows = [
        (
            Cell(f["name"], (f["indicator"],)),
            f["rule"],
            statistic_word(f["statistic"]),
            percent(f["confidence"]),
            f["method"]["attempts_allowed"],
            "是" if f["fatal_alone"] else "否",
        )
        for f in record["findings"]
    ]
    columns = {"指标": 2.6, "规则": 1, "统计量": 1.3, "置信水平": 1.2, "允许次数": 1.1, "单独否决": 1.1}
    return table("各指标的规则", columns, rows, (4,))


def _equipment(plan: Data) -> Table:
    needed = dict.fromkeys(
        (instrument["title"], item)
        for i in plan["indicators"]
        for instrument in [i["instrument"], *(c["instrument"] for c in i["conditions"])]
        if instrument
        for item in instrument["equipment"]
    )
    rows = [(title, item, BLANK, BLANK) for title, item in needed]
    columns = {"用于": 2, "设备与条件": 4, "型号与编号": 2, "检定有效期": 1.6}
    return table("设备（型号、编号与检定由评测机构填写）", columns, rows)


def _revisions(record: Data) -> Iterator[PaperBlock]:
    plan = record["plan"]
    yield facts(
        ("计划冻结时间", moment(plan["frozen"])),
        ("计划版本", f"第 {plan['revision']} 版"),
        ("计划摘要", digest(plan["sha256"])),
        ("案卷摘要", digest(record["case"]["sha256"])),
        ("软件", f"yanshou {plan['tool']['version']}"),
    )
    for a in record.get("amendments") or ():
        said = f"第 {a['revision']} 版（{moment(a['utc'])}，{a['author']}）：{a['reason']}。变更：{'；'.join(a['changes'])}"
        yield Notice(f"{said}。此变更放宽了要求。") if a["weakening"] else Text(f"{said}。")
    if plan["not_planned"]:
        yield Text(f"榜单指标 {'、'.join(plan['not_planned'])} 没有纳入本计划。")
