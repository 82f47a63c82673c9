"""A record as a document: its content in printing order, every text ready.

It is what PDF and HTML lay out, so that both say the same. It must never compute a result: it selects, words and formats what
stands in the record. Outline: content of ISO/IEC 17025:2017 7.8 in fourteen sections.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING
from functools import partial

from yanshou.harness.basics import Json, RunStatus
from yanshou.harness.model import Kind, Mode, Severity, Verdict
from yanshou.harness.risk import ByPeople, Nominal, Sampled, Whole, risk_of
from yanshou.reports.blocks import (
    Block,
    Cell,
    Code,
    Command,
    Conclusion,
    Document,
    Heading,
    Items,
    Notice,
    Plots,
    Say,
    Section,
    Signatures,
    Table,
    Text,
    digest,
    facts,
    field,
    fitted,
    numbered,
    table,
    verdict_cell,
)
from yanshou.reports.display import (
    NOTHING,
    Data,
    confidence_of,
    day,
    display,
    exactly,
    left_out,
    level,
    limit_text,
    moment,
    percent,
    quantity,
    signed,
    statistic_word,
    unit_text,
    verdict_text,
)
from yanshou.reports.figures import more_panels, panels, strip
from yanshou.reports.parameters import parameter_helps
from yanshou.reports.words import FIELD_WORDS, VERBATIM, word

TITLES = {
    Mode.ACCEPTANCE: "重点指标检测报告",
    Mode.SELF_CHECK: "重点指标自检报告",
    Mode.DEMO: "重点指标检测报告（演示）",
}
EDITION = "不公开"
"""Every rendering here prints numbers and commitments, whatever edition a case asks for."""
ROLES = {"tester": "检测", "reviewer": "审核", "approver": "批准", "project": "受检方", "witness": "见证"}
SIGNING = ("检测", "审核", "批准")
TARGETS = {"production": "生产系统", "lab": "实验环境", "simulator": "模拟器"}
SOURCES = {"literal": "榜单原文", "inferred": "依据恢复文字", "own": "项目自增"}
PURPOSES = {"measurement": "测量", "calibration": "校准"}
SEVERITIES = {Severity.INFO: "提示", Severity.WARNING: "警告", Severity.INVALID: "无效"}
READINGS = {"p50": "中位数", "p99": "P99", "p99.9": "P99.9", "max": "最大值"}
LOGIC = {"any": "任一符合即符合", "all": "全部符合才符合"}
ACCEPTANCE = {"environment": "环境条件", "tools": "工具", "steps": "步骤", "samples": "样本"}
FEW, NARROW = 12, 3
"""Rows that fit into a cell, and fields of a row; more are a table of their own."""
LISTED = 400
"""Rows of an instrument's own list that are printed."""
TOGETHER, RUN = 40, "运行"
"""Rows of such lists of several runs that are one table, and the name of the column that tells the runs apart."""
EMPTY: tuple[Json, ...] = (None, "", [])
NOWHERE = Cell(NOTHING)
RARE = 0.25
"""Share of a long list's rows up to which those that have something are listed by themselves."""
SIDE_BY_SIDE = 4
NOT_CONFIRMING = "本结论不构成“符合”。"
MEANING = {
    Verdict.PASS: "计划内的各项重点指标均符合。",
    Verdict.INCONCLUSIVE: f"至少一项重点指标尚不能判定。{NOT_CONFIRMING}",
    Verdict.NOT_RUN: f"至少一项重点指标没有完成测量。{NOT_CONFIRMING}",
    Verdict.INVALID: f"至少一项重点指标的测量无效。{NOT_CONFIRMING}",
    Verdict.FAIL: "至少一项重点指标不符合。",
}
STATEMENT = {
    Mode.ACCEPTANCE: "本报告无检测、审核、批准人员签字或未加盖评测机构印章无效，涂改无效。",
    Mode.SELF_CHECK: "本报告是项目单位的自检结果，未经第三方见证，不作验收依据，不设签署栏。",
    Mode.DEMO: "本报告由演示数据生成，受检对象是软件内置的标准器，不反映任何真实系统，不设签署栏。",
}
STATEMENTS = (
    "本报告仅对所检系统的所检版本、所处状态和检测期间的结果负责。",
    "判定使用未经修约的数值。表中数值为便于阅读作了修约，修约不改变数值在限值的哪一侧。",
    "未经评测机构书面同意，不得部分复制本报告。",
    "本报告的数值、判定与证据可以凭签名包离线复算。纸面与签名包不一致时，以通过校验的签名包为准。",
    "本报告由软件排印，不带任何资质认定或认可标志。",
    "对本报告有异议的，应在委托合同约定的期限内向评测机构书面提出。",
)
RULES = (
    "DR-1：以单侧置信界判定。数值越小越好的指标，上界不超过限值判“符合”，下界超过限值判“不符合”，其余判“未定”；数值越大越好的"
    "指标方向相反。点估计在限值内而置信界在限值外称“有条件符合”，反之称“有条件不符合”，均属“未定”。",
    "DR-0：简单接受，点估计在限值以内即接受。并列供参考，不作为结论。",
    "多次测量：显著性水平 α 平均分给计划允许的全部次数。判定以最后一次完成的测量为准，其余各次照录。",
    "丢失或没有应答的样本按超限计入，不剔除。没有完成的测量不判“不符合”，没有做的测量不判“符合”。",
    "风险：样本独立、或相关性已按有效样本数折算时，实际不符合而判“符合”的概率不超过 α。",
)


def chapters(record: Data) -> dict[str, Iterator[Block]]:
    """Every numbered chapter by its title. What nobody reads is not drawn."""
    case, formal = record["case"], Mode(record["mode"]) is Mode.ACCEPTANCE
    return {
        "检测结论一览": _conclusion(record),
        "项目与受检对象": _parties(case),
        "重点指标与承诺值": _commitments(record),
        "检测依据与方法": _methods(record),
        "检测环境、地点、时间": _surroundings(record),
        "检测设备与校准、时钟同步": _instruments(record),
        "抽样方案": _sampling(record),
        "判定规则": _rules(record),
        "分项检测结果": _results(record),
        "异常与无效数据": _anomalies(record),
        "外部提供结果与人工核验项": _by_people(record),
        "意见和解释": iter([Text("除上述判定外，本报告不作意见和解释。专家评议意见另附。")]),
        "证据清单与校验方法": _evidence(record),
        "人员与签署": _people(record, formal),
    }


def build(record: Data, record_sha256: str) -> Document:
    """The document of a record whose texts are printable already (`display.fit`), and the digest of its record.json."""
    case, mode = record["case"], Mode(record["mode"])
    formal = mode is Mode.ACCEPTANCE
    sections = [Section(str(i), title, tuple(blocks)) for i, (title, blocks) in enumerate(chapters(record).items(), 1)]
    annex = Section("", "附录　原始记录索引与软件版本", tuple(_annex(record, record_sha256)))
    return Document(
        title=TITLES[mode],
        basis=record["list"]["title"],
        project=case["project"]["name"],
        number=case.get("report_number") or "未编号",
        edition=EDITION,
        marking=record["marking"],
        formal=formal,
        ended=record["ledger"]["ended"],
        cover=_cover(record, formal),
        digests=_digests(record),
        statement=(STATEMENT[mode], *(STATEMENTS if formal else STATEMENTS[:-1])),
        sections=tuple(numbered([*sections, annex])),
    )


def _digests(record: Data) -> tuple[tuple[str, Cell], ...]:
    of = {"案卷摘要": record["case"], "计划摘要": record["plan"], "榜单摘要": record["list"]}
    return tuple((name, digest(part["sha256"])) for name, part in of.items())


def scenario_text(case: Data) -> str:
    """Number and name of the scenario, and whether the name is restored."""
    restored = "（名称依据恢复文字）" if case.get("scenario_source") == "inferred" else ""
    return f"场景 {case['scenario']}　{case['scenario_name']}{restored}"


def party_text(party: Data) -> str:
    """A legal person with its credit code."""
    return f"{party['name']}（{party['uscc']}）" if party.get("uscc") else str(party["name"])


def _joined(values: Sequence[str] | None) -> str:
    return "、".join(values or ()) or NOTHING


def _period(ledger: Data) -> str:
    first, last = day(ledger["started"]), day(ledger["ended"])
    return first if first == last else f"{first}至{last}"


def _cover(record: Data, formal: bool) -> tuple[tuple[str, Cell], ...]:
    case, target = record["case"], record["case"]["target"]
    old = case.get("replaces")
    rows: list[tuple[str, object]] = [
        *([("代替报告", f"{old['number']}（已收回）")] if old else []),
        ("申报场景", scenario_text(case)),
        ("牵头单位", case["project"]["lead"]["name"]),
        ("委托方", case["client"].get("name")),
        ("评测机构", case["evaluator"].get("name")),
        ("受检对象", f"{TARGETS.get(target['kind'], target['kind'])}　{target.get('version') or ''}"),
        ("检测日期", _period(record["ledger"])),
    ]
    return facts(*rows, *([("签发日期", "　　　　年　　月　　日")] if formal else [])).rows


def _named(f: Data) -> Cell:
    return Cell(f["name"], (f["indicator"],))


def _label(f: Data) -> str:
    return f"{f['indicator']}　{f['name']}"


def _reasons(reasons: Sequence[Data]) -> str:
    return "；".join(r["text"] for r in reasons)


# ---- 1 conclusion


def _conclusion(record: Data) -> Iterator[Block]:
    counts = tuple((v.value, display(record["counts"].get(v.value, 0))) for v in Verdict)
    yield Conclusion(record["verdict"], MEANING[Verdict(record["verdict"])], counts)
    columns = {"指标": 2.35, "榜单值": 1.8, "承诺值": 1.75, "实测值": 2.5, "余量": 1.8, "判定": 1.8}
    yield table("重点指标检测结果", columns, [_result_row(f) for f in record["findings"]])
    groups = record.get("groups") or ()
    if groups:
        rows = [
            (g["id"], _joined(g["members"]), LOGIC.get(g["logic"], g["logic"]), verdict_cell(g["verdict"]))
            for g in groups
        ]
        yield table("指标组", {"组": 1.4, "成员": 4, "逻辑": 2, "判定": 1.5}, rows)
    yield Text(
        "余量是判定所用的置信界到限值的距离，正数在限值以内；其下图示中线为限值，阴影为符合一侧，点为实测值，横条为置信区间，"
        "全宽为限值的 ±50%。承诺值下引号内为任务书原文。“简单接受”（DR-0）只比较点估计与限值，并列供参考，不作为结论。"
        "案卷结论取各项计划指标与指标组中最差者，由好到差为：符合、未定、未测、无效、不符合。"
    )
    points = [
        f"{_label(f)}（{verdict_text(f['verdict'])}）：{_reasons(f['reasons']) or '见第 9 章'}"
        for f in record["findings"]
        if f["verdict"] != Verdict.PASS
    ]
    if points:
        yield Heading("未判“符合”的指标及原因")
        yield Items(tuple(points))
    warnings = tuple(_warnings(record))
    if warnings:
        yield Heading("阅读本结论须知")
        yield Items(warnings)


def _warnings(record: Data) -> Iterator[str]:
    if old := record["case"].get("replaces"):
        named = f"（record.json 的 SHA-256 {old['record_sha256']}）" if old["record_sha256"] else ""
        yield f"本报告更正并代替报告 {old['number']}{named}，后者收回。原因：{old['reason']}。改动：{'；'.join(old['changes'])}。"
    for a in record.get("amendments") or ():
        if a["weakening"]:
            yield f"计划第 {a['revision']} 版放宽了要求（{_joined(a['changes'])}）。作者：{a['author']}。理由：{a['reason']}。"
    left_out = record["plan"].get("not_planned")
    if left_out:
        yield f"榜单指标 {_joined(left_out)} 未列入本次计划，结论不涉及。"
    inferred = [f["indicator"] for f in record["findings"] if f.get("list_source") == "inferred"]
    if inferred:
        yield f"指标 {_joined(inferred)} 的榜单文字有一部分是恢复的，见第 3 章。"
    if record["list"].get("needs_official_confirmation"):
        yield "榜单数据录自通知的文字识别稿，尚待与官方原件核对。"
    kind = record["case"]["target"]["kind"]
    if kind != "production":
        yield f"受检对象是{TARGETS.get(kind, kind)}，不是生产系统，本报告不能作为验收依据。"


def _result_row(f: Data) -> Sequence[object]:
    source = f.get("list_source", "literal")
    return (
        Cell(f["name"], (f"{f['indicator']}　{Kind(f['kind']).word}",)),
        Cell(limit_text(f.get("list_limit")), () if source == "literal" else (SOURCES[source],)),
        _committed(f),
        measured(f),
        Cell(
            signed(f.get("margin"), f["unit"]), strip=strip(f.get("value"), f.get("lower"), f.get("upper"), f["limit"])
        ),
        verdict_cell(f["verdict"], f"简单接受：{Verdict(f['simple']).word}"),
    )


def _committed(f: Data) -> Cell:
    verbatim = f.get("commitment_text")
    return Cell(limit_text(f.get("commitment_limit")), (f"“{verbatim}”",) if verbatim else ())


def measured(f: Data) -> Cell:
    """Measured value of a finding or attempt with the bound that decides, its confidence, the statistic and n."""
    infinite = f.get("infinite") or ()
    if f.get("value") is None and "value" not in infinite:
        return Cell(NOTHING, (f"n = {display(f['n'])}",) if f.get("n") else ())
    if f["kind"] == Kind.INSPECTED:
        return Cell(_number(f, "value"), (f"查验 {display(f['n'])} 项",))
    safe, side = ("upper", "上界") if f["limit"]["op"] in ("<=", "<") else ("lower", "下界")
    if f.get("lower") == f.get("value") == f.get("upper") and not infinite:
        bound = "全数计数，无抽样误差"
    elif f.get(safe) is None and safe not in infinite:
        bound = f"{side}不存在"
    else:
        bound = f"{confidence_of(f['alpha'])} {side} {_number(f, safe)}"
    return Cell(_number(f, "value"), (bound, f"{statistic_word(f.get('statistic'))}，n = {display(f['n'])}"))


def _number(f: Data, key: str) -> str:
    return "∞" if key in (f.get("infinite") or ()) else quantity(f.get(key), f["unit"], f["limit"])


# ---- 2 to 8: who, what, how


def _parties(case: Data) -> Iterator[Block]:
    project, target, evaluator, client = case["project"], case["target"], case["evaluator"], case["client"]
    yield facts(
        ("项目名称", project["name"]),
        ("申报场景", scenario_text(case)),
        ("牵头单位", party_text(project["lead"])),
        ("联合单位", [party_text(p) for p in project.get("partners") or ()]),
        ("发榜日期", day(project.get("published"))),
        ("完成时限", day(project.get("deadline"))),
        ("委托方", client.get("name")),
        ("委托方联系人", client.get("contact")),
        ("评测机构", evaluator.get("name")),
        ("评测机构地址", evaluator.get("address")),
    )
    yield Heading("受检对象")
    yield facts(
        ("性质", TARGETS.get(target["kind"], target["kind"])),
        ("版本", target.get("version")),
        ("状态", target.get("condition")),
        ("地点", target.get("site")),
        ("受检个体", target.get("subjects")),
    )


def _commitments(record: Data) -> Iterator[Block]:
    plan = record["plan"]
    yield Text("承诺值录自任务书，冻结在计划里。有效限值取榜单与承诺中较严者。")
    columns = {"指标": 1.9, "榜单值": 1.7, "承诺值": 1.8, "有效限值": 1.6, "原有水平": 1.5, "补充说明": 2.5}
    rows: list[Sequence[object]] = []
    for f in record["findings"]:
        listed = Cell(limit_text(f.get("list_limit")), (SOURCES[f.get("list_source", "literal")],))
        rows.append((_named(f), listed, _committed(f), limit_text(f["limit"]), f.get("baseline"), f.get("note")))
    yield table("承诺一览", columns, rows)
    for f in record["findings"]:
        yield from _definition(f)
    yield Heading("计划与修订")
    signers = [ROLES.get(r, r) for r in plan.get("signed_by") or ()]
    yield facts(
        ("计划冻结时间", moment(plan.get("frozen"))),
        ("计划版本", f"第 {plan.get('revision', 1)} 版"),
        ("测量前签署", _joined(signers) + _which(plan.get("signed")) if signers else "无人签署"),
        *_digests(record),
    )
    amendments = record.get("amendments") or ()
    if not amendments:
        yield Text("计划冻结后没有修订。")
        return
    rows = []
    for a in amendments:
        author = Cell(a["author"], (moment(a["utc"]),))
        rows.append(
            (str(a["revision"]), author, a["reason"], "\n".join(a["changes"]), "放宽" if a["weakening"] else "未放宽")
        )
    yield table("计划修订", {"版": 0.5, "作者与时间": 2.4, "理由": 3.6, "变更": 2.8, "要求": 1}, rows)


def _which(signed: Data | None) -> str:
    """Of which revision the signatures are, where it is not the one in force."""
    return f"（第 {signed['revision']} 版；以后的修订没有改动判定所依据的内容）" if signed else ""


def _definition(f: Data) -> Iterator[Block]:
    """What the list leaves open about an indicator and how it was settled."""
    missing = f.get("missing_definition") or ()
    known = {
        "榜单文字（识别稿）": f.get("list_ocr"),
        "恢复的部分": f.get("inferred_part"),
        "未约定时的读法": f.get("default_reading"),
    }
    rows = [(name, text) for name, text in known.items() if text]
    for key, d in (f.get("definition") or {}).items():
        rows.append((d["ask"], d["answer"] or ("口径未定" if key in missing else "没有约定")))
    if rows:
        yield Heading(f"{_label(f)}：口径")
        yield facts(*rows)


def _methods(record: Data) -> Iterator[Block]:
    rows: list[Sequence[object]] = []
    for f in record["findings"]:
        m = f.get("method") or {}
        probe = m.get("probe")
        instrument = Cell(m.get("title") or probe, (f"{probe} 版本 {m.get('version')}",)) if probe else "没有指定仪器"
        rows.append((_named(f), Kind(f["kind"]).word, instrument, m.get("document")))
    yield table("方法一览", {"指标": 2.2, "方式": 0.8, "仪器": 3, "方法文件": 3}, rows)
    measured_by: dict[tuple[str, str], list[Data]] = {}
    for f in record["findings"]:
        m = f.get("method") or {}
        if m.get("params") and f["kind"] != Kind.INSPECTED:
            measured_by.setdefault((m["probe"], m["version"]), []).append(f)
    for (probe, version), findings in measured_by.items():
        helps = parameter_helps(probe, version)
        for some in (findings[i : i + SIDE_BY_SIDE] for i in range(0, len(findings), SIDE_BY_SIDE)):
            yield _parameters(some, helps)
    acceptance = record["case"].get("acceptance") or {}
    how = acceptance.get("method") or {}
    yield Heading("任务书约定的验收内容与方式")
    yield facts(("验收内容", acceptance.get("content")), *((word, how.get(key)) for key, word in ACCEPTANCE.items()))
    yield Heading("对方法的偏离")
    changed = bool(record.get("amendments"))
    yield Text("偏离以计划修订的形式记录，见第 3 章“计划修订”。" if changed else "没有偏离。")


def _parameters(findings: Sequence[Data], helps: Data) -> Table:
    """What one instrument was told for each indicator, in its own words, with the names of case.yaml."""
    told = [dict(_told(f["method"]["params"], helps)) for f in findings]
    names = dict.fromkeys(name for one in told for name in one)
    rows = [(helps.get(_unnumbered(n), n), *(one.get(n) for one in told), Cell(n, mono=True)) for n in names]
    title = findings[0]["method"].get("title") or findings[0]["method"]["probe"]
    share = (1.6 + 0.5 * len(findings)) / len(findings)
    columns = {"参数": 2.0, **{f["indicator"]: share for f in findings}, "案卷中的键": 1.2}
    return table(f"测量参数：{title}", columns, rows, dense=True)


def _told(params: Data, helps: Data, parent: str = "") -> Iterator[tuple[str, Cell]]:
    """Dotted name and value of every parameter that is set; the parts of a list of parts are numbered from 1."""
    for key, value in params.items():
        name = f"{parent}{key}"
        known = any(helped.startswith(f"{_unnumbered(name)}.") for helped in helps)
        if known and isinstance(value, dict):
            yield from _told(value, helps, f"{name}.")
        elif known and value and isinstance(value, list) and all(isinstance(part, dict) for part in value):
            for number, part in enumerate(value, 1):
                yield from _told(part, helps, f"{name}.{number}.")
        elif value is not None:
            yield name, field(value, number=exactly)


def _unnumbered(name: str) -> str:
    return re.sub(r"\.[0-9]+(?=\.)", "", name)


def _surroundings(record: Data) -> Iterator[Block]:
    ledger = record["ledger"]
    yield facts(
        ("检测地点", record["case"]["target"].get("site")),
        ("开始", moment(ledger["started"])),
        ("结束", moment(ledger["ended"])),
    )
    yield Text("本报告的时间均为北京时间（UTC+8），由检测主机的时钟给出。")
    hosts = record.get("hosts") or [{"facts": record.get("environment") or {}, "runs": (), "kit_sha256": None}]
    for host in hosts:
        if host["facts"]:
            numbers = f"（运行 {_joined([str(n) for n in host['runs']])}）" if len(hosts) > 1 else ""
            yield Heading(f"{'采集终端' if host['kit_sha256'] else '检测主机'}{numbers}")
            yield facts(
                *host["facts"].items(), *((("采集包", digest(host["kit_sha256"])),) if host["kit_sha256"] else ())
            )


def _instruments(record: Data) -> Iterator[Block]:
    calibrations = {c["probe"]: c for f in record["findings"] if (c := f.get("calibration"))}
    if calibrations:
        yield Text("每台仪器在测量之前测量已知真值的标准器，示值误差不超过允差才可用于判定。")
        yield _calibrated(list(calibrations.values()))
        bases = [
            f"{probe}：{basis}"
            for probe, c in calibrations.items()
            for basis in dict.fromkeys(p["basis"] for p in c["points"] if p.get("basis"))
        ]
        if bases:
            yield Items(tuple(bases))
    for c in calibrations.values():
        yield from _paired(c)
    for f in record["findings"]:
        if f["kind"] != Kind.INSPECTED and f["attempts"] and not f.get("calibration"):
            yield Notice(f"{_label(f)}：测量之前没有可用的校准。")
    yield Heading("时钟同步")
    noted = [
        f"{_label(f)}：{v['text']}" for f in record["findings"] for v in f.get("validity") or () if "clock" in v["code"]
    ]
    yield Items(tuple(noted)) if noted else Text("案卷没有记录外部时钟的同步信息。")


def _calibrated(calibrations: Sequence[Data]) -> Table:
    """Every point of every instrument, and whether the instrument kept its tolerance."""
    rows = []
    for c in calibrations:
        unit, near = unit_text(c["unit"]), {"value": c["tolerance"]}
        for p in c["points"]:
            numbers = (_finite(p[key], near) for key in ("indicated", "error"))
            within = "允差内" if c["within"] else "超差"
            rows.append(
                (
                    c["probe"],
                    str(c["run"]),
                    unit,
                    _true(p["true"]),
                    *numbers,
                    f"±{exactly(c['tolerance'])}",
                    p["n"],
                    within,
                )
            )
    columns = {
        "仪器": 1.8, "运行": 0.7, "单位": 0.9, "真值": 1.5, "示值": 1.5, "示值误差": 1.3, "允差": 1.0, "n": 1.5, "结果": 1.3,
    }  # fmt: skip
    return table("校准点", columns, rows, (3, 4, 5, 6, 7))


def _finite(value: float | None, limit: Data) -> str:
    return "∞" if value is None else display(value, limit)


def _true(value: float) -> str:
    """A standard's value, to the eight digits that anybody may care for."""
    shown = float(f"{value:.8g}")
    return exactly(int(shown) if shown.is_integer() else shown)


def _paired(calibration: Data) -> Iterator[Block]:
    """Errors event by event, where the standard logged each; at true value 0 they are the floor."""
    names = {"error_p1": "P1", "error_p50": "P50", "error_p99": "P99", "error_p99.9": "P99.9"}
    points = [p for p in calibration["points"] if "error_p99" in p]
    if not points:
        return
    least = {"value": calibration["tolerance"] / 10}
    rows = [
        (Cell(_true(p["true"]), ("本底",) if p["true"] == 0 else ()), *(_finite(p[k], least) for k in names))
        for p in points
    ]
    unit = unit_text(calibration["unit"])
    title = f"{calibration['probe']} 逐个事件与标准器记录配对的误差（{unit}）"
    yield table(title, {f"真值（{unit}）": 1.0, **dict.fromkeys(names.values(), 1.0)}, rows, (1, 2, 3, 4))
    if any(p["true"] == 0 for p in points):
        yield Text("本底是真值为零时仪器的读数，如实列出，不从结果中扣除。")


def _sampling(record: Data) -> Iterator[Block]:
    columns = {"指标": 2.0, "判定至少需要": 1.4, "样本数 n": 1.6, "有效样本数": 1.6, "允许次数": 1.0, "随机种子": 2.2}
    rows: list[Sequence[object]] = []
    for f in record["findings"]:
        m = f.get("method") or {}
        seed = None if m.get("seed") is None else str(m["seed"])
        rows.append(
            (_named(f), m.get("samples_needed"), f.get("n"), f.get("n_effective"), m.get("attempts_allowed"), seed)
        )
    yield table("样本与次数", columns, rows, (1, 2, 3, 4, 5))
    yield Text("有效样本数计入了相继样本之间的相关性，置信界按它计算。随机种子在计划冻结时确定，此后不变。")
    for f in record["findings"]:
        figure = f.get("figure") or {}
        if audit := figure.get("audit"):
            population, drawn, good = (display(audit[key]) for key in ("population", "drawn", "good"))
            unit = f"\u00a0{unit_text(figure['unit'])}" if "unit" in figure else ""
            yield Text(f"{_label(f)}：总体 {population}{unit}，按冻结的种子抽取 {drawn} 份，现场复核属实 {good} 份。")


def _rules(record: Data) -> Iterator[Block]:
    yield Items(RULES, numbered=True)
    columns = {
        "指标": 2.3,
        "规则": 0.9,
        "统计量": 1.2,
        "有效限值": 1.7,
        "置信水平": 1.2,
        "每次 α": 1.1,
        "单独否决": 1.2,
    }
    rows = [
        (
            _named(f),
            f["rule"],
            statistic_word(f.get("statistic")),
            limit_text(f["limit"]),
            percent(f["confidence"]),
            None if f.get("alpha") is None else level(f["alpha"]),
            "是" if f.get("fatal_alone", True) else "否",
        )
        for f in record["findings"]
    ]
    yield table("各指标的规则", columns, rows)
    yield from _risks(record["findings"])


def _risks(findings: Sequence[Data]) -> Iterator[Block]:
    """What each rule risks: it follows from the rule and the number of samples, whatever was measured."""
    columns = {
        "指标": 2.3,
        "依据": 2.9,
        "误判符合 PFA": 1.2,
        "误判不符合 PFR": 1.3,
        "DR-0 误判符合": 1.2,
        "有余时判符合": 1.2,
    }
    yield table("各指标的误判风险", columns, [(_named(f), *_risk_row(f)) for f in findings], (2, 3, 4, 5))
    yield Text(
        "PFA、PFR 是每次测量的最不利概率：受检对象刚好超出限值而判“符合”，刚好守住限值而判“不符合”。多次测量合计不超过各次之和。"
        "“有余”指超限的比例（抽样复核时为不属实的数量）只有允许的一半。概率按独立样本计，向不利一侧修约；只知上限的写“≤”。"
        "判定还让出仪器的示值误差，实际概率更小；贯穿整次测量不变的偏差不在其内。"
    )


def _risk_row(f: Data) -> Sequence[object]:
    match risk_of(f):
        case Sampled(risk, n, planned):
            taken = f"{'计划 ' if planned else ''}n = {display(n)}"
            most = "不能判符合" if risk.allowed is None else f"至多 {display(risk.allowed)} 个{_amiss(f)}可判符合"
            chances = (percent(x, ROUND_CEILING) for x in (risk.accept, risk.reject, risk.simple))
            return Cell(taken, (most,)), *chances, percent(risk.well)
        case Nominal(alpha):
            most = f"≤\u00a0{percent(alpha, ROUND_CEILING)}"
            return Cell("置信界的名义水平", (f"每次 α = {level(alpha)}",)), most, most, NOTHING, NOTHING
        case Whole():
            return "全数计数，无抽样误差", "0%", "0%", "0%", "100%"
        case ByPeople():
            return "逐项查验，判断由人作出，不能给出概率", NOTHING, NOTHING, NOTHING, NOTHING


def _amiss(f: Data) -> str:
    return "不属实" if (f.get("figure") or {}).get("audit") else "超限"


# ---- 9 results


def _results(record: Data) -> Iterator[Block]:
    for f in record["findings"]:
        yield Heading(_label(f), f["verdict"])
        if f["reasons"]:
            yield Items(tuple(r["text"] for r in f["reasons"]))
        numbers = [*_numbers(f)] if f.get("value") is not None or f.get("infinite") else []
        if f.get("readings"):
            numbers.append(("并列读数", _readings(f)))
        if numbers:
            yield facts(*numbers)
        yield from _compared(f)
        yield from _plausible(f)
        yield from _quantities(f)
        yield from _shown(f)
        if f.get("conditions"):
            yield _conditions(f)
        if f.get("subjects"):
            yield _subjects(f)
        if f.get("validity"):
            checks = [(SEVERITIES[v["severity"]], v["text"], v["code"]) for v in f["validity"]]
            yield table("有效性检查", {"程度": 0.9, "发现": 5, "代码": 2}, checks)
        yield from _attempts(f)


def _readings(f: Data) -> str:
    """What other statistics of the same values say."""
    told = {name: f["readings"][code] for code, name in READINGS.items() if code in f["readings"]}
    return "　".join(f"{name} {'∞' if v is None else quantity(v, f['unit'], f['limit'])}" for name, v in told.items())


def _compared(f: Data) -> Iterator[Block]:
    """Before, after and what changed, where the limit is on that."""
    change = f.get("change")
    if not change:
        return
    rows: list[Sequence[object]] = []
    for name, side in (("改造前", change["before"]), ("改造后", change["after"])):
        evidence = f"运行 {side['run']}" if side["run"] else "项目自报，没有证据"
        bounds = (f"下界 {_side(side, 'lower')}　上界 {_side(side, 'upper')}",) if side["n"] else ()
        rows.append(
            (Cell(name, (evidence,)), Cell(_side(side, "value"), bounds), statistic_word(side["statistic"]), side["n"])
        )
    bounds = (f"下界 {_number(f, 'lower')}　上界 {_number(f, 'upper')}",)
    rows.append((change["text"], Cell(_number(f, "value"), bounds), f"限值 {limit_text(f['limit'])}", None))
    yield table("改造前后对比", {"": 2.0, "水平与置信界": 4.6, "统计量": 2.2, "n": 1.2}, rows, (3,))


def _side(side: Data, key: str) -> str:
    return "∞" if key in side["infinite"] else quantity(side[key], side["unit"])


def _plausible(f: Data) -> Iterator[Block]:
    """Everything that the commitment may mean, where it does not say."""
    rows = [
        (
            Cell(r["text"], (statistic_word(r["statistic"]),)),
            "∞" if r["value"] is None else quantity(r["value"], f["unit"], f["limit"]),
            Cell(f"下界 {_number({**f, **r}, 'lower')}", (f"上界 {_number({**f, **r}, 'upper')}",)),
            r["n"],
            verdict_cell(r["verdict"]),
        )
        for r in f.get("plausible") or ()
    ]
    if rows:
        columns = {"读法": 2.6, "实测值": 1.7, "置信界": 2.6, "n": 0.9, "判定": 1.5}
        yield table("承诺可能的各种读法（一致才有结论）", columns, rows, (3,))


def _quantities(f: Data) -> Iterator[Block]:
    """Other quantities of the same events, beside the judged one."""
    found = f.get("quantities") or []
    if not found:
        return
    known = [k for k in READINGS if k in found[0]["readings"]]
    rows: list[Sequence[object]] = []
    for q in found:
        notes = (f"各值另有 ±{quantity(q['error'], f['unit'])} 的共同误差",) if q.get("error") else ()
        values = [q["readings"].get(k) for k in known]
        rows.append(
            (Cell(q["text"], notes), *("∞" if v is None else quantity(v, f["unit"], f["limit"]) for v in values))
        )
    yield table("同一批事件的其他量（不参加判定）", {"量": 3.2, **{READINGS[k]: 1.0 for k in known}}, rows)


def _subjects(f: Data) -> Table:
    """Every subject with what decides about it: its last completed run, or that of its conditions which is nearest to the limit."""
    rows = []
    for s in f["subjects"]:
        found = [c for c in f.get("conditions") or () if c["subject"] == s["subject"]]
        found = sorted(found, key=lambda c: -math.inf if c["margin"] is None else c["margin"])[:1] or [
            a for a in f["attempts"] if a.get("subject") == s["subject"] and a["status"] == RunStatus.COMPLETED
        ]
        shown = found[-1] if found else {}
        numbers = {**f, **dict.fromkeys(("value", "lower", "upper", "margin", "n", "n_effective", "infinite")), **shown}
        name = Cell(s["subject"], tuple(x for x in (shown.get("condition"),) if x))
        bounds = [_number(numbers, key) for key in ("lower", "upper")]
        dependent = numbers["n_effective"] not in (None, numbers["n"])
        n = Cell(display(numbers["n"]), (f"有效 {display(numbers['n_effective'])}",) if dependent else ())
        margin = signed(numbers["margin"], f["unit"])
        rows.append((name, _number(numbers, "value"), *bounds, margin, n, verdict_cell(s["verdict"])))
    columns = {"受检个体": 2.0, "实测值": 1.6, "下界": 1.6, "上界": 1.6, "余量": 1.6, "n": 1.7, "判定": 1.5}
    return table("各受检个体", columns, rows, (1, 2, 3, 4, 5))


def _conditions(f: Data) -> Table:
    """Every condition on a line of its own: all must hold."""
    rows = []
    for c in f["conditions"]:
        notes = [f"时段 {c['window']}"] if c.get("window") else []
        notes += [f"{k} = {v}" for k, v in (c.get("params") or {}).items() if not isinstance(v, (dict, list))]
        name = c["condition"] if c.get("subject") is None else f"{c['subject']}／{c['condition']}"
        bounds = f"下界 {_number({**f, **c}, 'lower')}　上界 {_number({**f, **c}, 'upper')}"
        value = Cell(_number({**f, **c}, "value"), (bounds,)) if c.get("n") else NOTHING
        rows.append((Cell(name, tuple(notes)), value, c.get("n"), verdict_cell(c["verdict"])))
    return table("各工况（须全部符合）", {"工况": 2.6, "实测值": 3.4, "n": 0.9, "判定": 1.5}, rows, (2,))


def _numbers(f: Data) -> Iterator[tuple[str, object]]:
    yield f"实测值（{statistic_word(f.get('statistic'))}）", _number(f, "value")
    if f["kind"] != Kind.INSPECTED:
        yield f"{confidence_of(f['alpha'])} 单侧置信界", f"下界 {_number(f, 'lower')}　上界 {_number(f, 'upper')}"
    yield "有效限值", limit_text(f["limit"])
    yield "余量", signed(f.get("margin"), f["unit"])
    yield "样本", f"n = {display(f['n'])}　有效样本数 {display(f.get('n_effective'))}"
    guard = f.get("guard") or {}
    if guard.get("under") or guard.get("over"):
        under, over = (quantity(guard[key], f["unit"]) for key in ("under", "over"))
        yield "判定时让出的示值误差", f"偏低 {under}　偏高 {over}"
    yield "简单接受（DR-0）", verdict_text(f["simple"])


def _shown(f: Data) -> Iterator[Block]:
    """The figure of a finding as plots or as the table behind it."""
    figure = f.get("figure")
    drawn = [*panels(figure), *more_panels(figure)]
    for i in range(0, len(drawn), 2):
        yield Plots(f"{_label(f)}{'（续）' if i else ''}", tuple(p.__dict__ for p in drawn[i : i + 2]))
    if not figure or figure["kind"] == "samples":
        return
    if figure["kind"] == "checklist":
        yield checklist_table(figure["items"])
        return
    yield count_table(figure)


def count_table(figure: Data) -> Table:
    """From what was handed in to what counts, step by step."""
    rows: list[Sequence[object]] = [("提交", "", figure["gross"])]
    rows += [(f"剔除：{e['text']}", e["code"], left_out(e["count"])) for e in figure["exclusions"]]
    rows += [("计入", "", figure["net"])]
    rows += [(f"其中：{name}", "", number) for name, number in figure.get("columns") or ()]
    amount = f"数量（{unit_text(figure['unit'])}）" if "unit" in figure else "数量"
    return table("计数过程", {"步骤": 4, "原因码": 2.5, amount: 1.5}, rows, (2,))


def checklist_table(items: Sequence[Data]) -> Table:
    """What people answered, item by item."""
    rows = [
        (
            Cell(i["text"], (i["id"],)),
            i["expected"],
            Cell(i["observed"] or NOTHING, (i["reason"],) if i.get("reason") else ()),
            i["answer"],
            Cell(i["inspector"] or NOTHING, (f"见证 {i['witness']}",) if i.get("witness") else ()),
            Cell(f"{len(i['evidence'])} 份", tuple(f"{sha256[:8]}…" for sha256 in i["evidence"])),
        )
        for i in items
    ]
    return table("查验记录", {"查验项": 1.9, "要求": 2.3, "所见": 2.6, "答": 0.8, "查验人": 1.3, "证据": 1.3}, rows)


def _attempts(f: Data) -> Iterator[Block]:
    if not f["attempts"]:
        yield Text("没有测量。")
        return
    rows = [
        (
            Cell(str(a["attempt"]), tuple(x for x in (a.get("subject"), a.get("condition")) if x)),
            str(a["run"]),
            Cell(status_word(a["status"]), (a["status_reason"],) if a.get("status_reason") else ()),
            measured({**f, **a}),
            Cell(moment(a["started"]), (f"至 {moment(a['ended'])}",)),
            verdict_cell(a["verdict"]),
        )
        for a in f["attempts"]
    ]
    columns = {"次": 1.7, "运行": 0.8, "状态": 1.7, "实测值": 2.4, "起止": 2.4, "判定": 1.5}
    yield table("全部测量", columns, rows)


def status_word(status: str) -> str:
    """How a run ended, in Chinese."""
    return RunStatus(status).word if status in set(RunStatus) else "未结束"


# ---- 10 to 14


def _anomalies(record: Data) -> Iterator[Block]:
    rows: list[Sequence[object]] = []
    for r in record["runs"]:
        tail = ("末尾未确认的数据留存而不采用",) if r.get("unacknowledged") else ()
        if r["status"] != RunStatus.COMPLETED or tail:
            about = r.get("indicator") or f"{PURPOSES.get(r['purpose'], r['purpose'])} {r['probe']}"
            why = Cell(r["status_reason"] or NOTHING, tail)
            rows.append((str(r["number"]), about, status_word(r["status"]), why, moment(r["started"])))
    if rows:
        yield Text("下列运行没有正常完成，证据全部保留，不作判定依据。")
        yield table("未完成的运行", {"运行": 0.8, "对象": 1.6, "状态": 0.9, "原因": 4, "开始": 2.5}, rows)
    else:
        yield Text("全部运行正常完成。")
    warned: dict[tuple[str, str, str], list[str]] = {}
    for f in record["findings"]:
        for a in f["attempts"]:
            for v in a.get("validity") or ():
                if v["severity"] != Severity.INFO:
                    warned.setdefault((f["indicator"], SEVERITIES[v["severity"]], v["text"]), []).append(str(a["run"]))
    if warned:
        lines = [(_joined(runs), *said) for said, runs in warned.items()]
        yield table("有效性警告", {"运行": 0.8, "指标": 1.4, "程度": 0.9, "发现": 6.5}, lines, dense=True)
    else:
        yield Text("有效性检查没有警告。")


def _by_people(record: Data) -> Iterator[Block]:
    inspected = [_label(f) for f in record["findings"] if f["kind"] == Kind.INSPECTED]
    if inspected:
        yield Text(f"由人查验的指标：{_joined(inspected)}。判断由查验人作出，软件只计项数，证据见第 9 章查验记录。")
    else:
        yield Text("没有由人查验的指标。")
    rows = [
        (
            q["id"],
            Cell(q["text"], () if q["source"] == "literal" else (SOURCES["inferred"],)),
            verdict_cell(q["verdict"]),
            _reasons(q["reasons"]) or "见项目自报的量化目标",
        )
        for q in record.get("qualitative") or ()
    ]
    if rows:
        yield table("没有数字的要求", {"编号": 1.2, "榜单要求": 3.6, "判定": 1.5, "说明": 3.5}, rows)
        yield Text("上表各项不计入案卷结论，由专家评议。")


def _evidence(record: Data) -> Iterator[Block]:
    ledger, findings = record["ledger"], record["findings"]
    yield facts(
        ("台账记录数", ledger["records"]),
        ("台账链首值", digest(ledger["head"])),
        ("台账起止", f"{moment(ledger['started'])} 至 {moment(ledger['ended'])}"),
    )
    yield Text(
        "台账逐条链接，改动、删除或插入任何一条，链首值都会不同。下表是台账确认的每份原始证据的字节数与 SHA-256 摘要。"
    )
    runs = sorted((a for f in findings for a in f["attempts"]), key=lambda a: int(a["run"]))
    rows = [
        (str(a["run"]), Cell(e["name"], (e["sha256"],), mono=True), e["bytes"])
        for a in runs
        for e in a.get("evidence") or ()
    ]
    if rows:
        yield table("原始证据", {"运行": 0.8, "文件与 SHA-256": 8, "字节": 1.3}, rows, (2,), dense=True)
    items = [i for f in findings for i in (f.get("figure") or {}).get("items", ())]
    attached = [(i["id"], digest(sha256)) for i in items for sha256 in i["evidence"]]
    if attached:
        yield table("查验证据", {"查验项": 2, "SHA-256": 8}, attached, dense=True)
    yield Heading("校验方法")
    yield Text(
        "在任何一台装有 yanshou 的计算机上，不联网，对签名包执行下面的命令。它核对全部摘要、签名与台账，并从原始证据重算全部判定。"
    )
    yield Command("yanshou verify 签名包.zip")


def _people(record: Data, formal: bool) -> Iterator[Block]:
    people = record["case"]["evaluator"].get("people") or ()
    if people:
        yield table("参与人员", {"姓名": 1, "职责": 2}, [(p["name"], ROLES.get(p["role"], p["role"])) for p in people])
    if formal:
        yield Signatures(
            tuple(
                (role, "、".join(p["name"] for p in people if ROLES.get(p["role"], p["role"]) == role))
                for role in SIGNING
            )
        )
    else:
        yield Notice(f"{record['marking']}。本报告不设签署栏。")


def _annex(record: Data, record_sha256: str) -> Iterator[Block]:
    rows = [
        (
            str(r["number"]),
            Cell(r["folder"], mono=True),
            PURPOSES.get(r["purpose"], r["purpose"]),
            r.get("indicator") or r["probe"],
            status_word(r["status"]),
            moment(r["started"]),
            r.get("host"),
            r["bytes"],
        )
        for r in record["runs"]
    ]
    columns = {"运行": 0.7, "文件夹": 2.6, "用途": 0.7, "对象": 1.5, "状态": 0.7, "开始": 2.3, "主机": 1.2, "字节": 1.3}
    yield table("全部运行", columns, rows, (7,))
    instruments: dict[str, list[Data]] = {}
    for f in record["findings"]:
        instruments.setdefault((f.get("method") or {}).get("title") or _label(f), []).append(f)
    for title, findings in instruments.items():
        yield from _fields(title, findings)
    yield Heading("软件")
    tool: dict[str, Json] = record["plan"].get("tool") or {}
    commit = f"{tool['commit']}{'（有未提交的改动）' if tool.get('dirty') else ''}" if tool.get("commit") else None
    yield facts(
        ("yanshou 版本", tool.get("version")), ("源码提交", digest(commit)), ("软件摘要", digest(tool.get("sha256")))
    )
    yield Heading("核对本报告")
    yield _anchor(record, record_sha256)


def _anchor(record: Data, record_sha256: str) -> Code:
    """What ties stamped paper to the files: the package's name begins the record's digest, and the ledger fixes all evidence."""
    import segno

    number, ledger = record["case"].get("report_number") or "未编号", record["ledger"]
    text = f"yanshou:1?record={record_sha256}&ledger={ledger['head']}&records={ledger['records']}"
    svg = io.BytesIO()
    segno.make(text, error="m", micro=False).save(svg, kind="svg", xmldecl=False, border=2, omitsize=True)
    rows = facts(
        ("报告编号", number),
        ("record.json 的 SHA-256", digest(record_sha256)),
        ("账本头", digest(ledger["head"])),
        ("账本条数", ledger["records"]),
        (
            "用法",
            "证据包文件名末尾 12 位是 record.json 摘要的开头。用 yanshou verify 核对证据包，再与二维码里的这两个摘要比对",
        ),
    ).rows
    return Code(svg.getvalue().decode(), text, rows)


def _fields(title: str, findings: Sequence[Data]) -> Iterator[Block]:
    """What an instrument noted in each of its runs, side by side; what is a table in itself follows as one."""
    say = partial(word, probe=(findings[0].get("method") or {}).get("probe") or "")
    told = [(f, a["run"], *_parted(a["facts"])) for f in findings for a in f["attempts"] if a.get("facts")]
    for some in (told[i : i + SIDE_BY_SIDE] for i in range(0, len(told), SIDE_BY_SIDE)):
        names = sorted({name for _, _, plain, _ in some for name in plain})
        values = {
            say(name): [field(plain.get(name), str if name in VERBATIM else say) for _, _, plain, _ in some]
            for name in names
        }
        empty = [name for name, told_of in values.items() if all(value == NOWHERE for value in told_of)]
        rows = [(name, *told_of) for name, told_of in values.items() if name not in empty]
        if empty:
            rows.append(("没有记录", Cell(_joined(empty)), *(NOWHERE for _ in some[1:])))
        heads = {f"{f['indicator']}　运行 {run}": 2.4 / len(some) for f, run, *_ in some}
        yield table(f"仪器记录：{title}", {"字段": 0.8, **heads}, rows, dense=True)
    lists: dict[str, list[tuple[Data, int, Sequence[Data]]]] = {}
    for f, run, _, tables in told:
        for name, listed in tables.items():
            lists.setdefault(name, []).append((f, run, listed))
    for name, found in lists.items():
        if len(found) > 1 and sum(len(listed) for *_, listed in found) <= TOGETHER:
            rows_of_all = [{RUN: f"{f['indicator']}　{run}", **row} for f, run, listed in found for row in listed]
            yield from _listed(f"{say(name)}：{title}", rows_of_all, say)
            continue
        for f, run, listed in found:
            yield from _listed(f"{say(name)}：{_label(f)}，运行 {run}", listed, say)


def _parted(noted: Data) -> tuple[dict[str, Json], dict[str, Sequence[Data]]]:
    """(fields that fit into a cell, those that are tables): lists of records, and records of one kind under several names."""
    plain: dict[str, Json] = {}
    tables: dict[str, Sequence[Data]] = {}
    for name, value in sorted(noted.items()):
        if _is_table(value):
            tables[name] = value
        elif isinstance(value, dict) and _is_table(
            alike := [{"": k, **v} for k, v in value.items() if isinstance(v, dict)]
        ):
            tables[name] = alike
            if rest := {k: v for k, v in value.items() if not isinstance(v, dict)}:
                plain[name] = rest
        else:
            plain[name] = value
    return plain, tables


def _named_rows(value: Data) -> list[Data]:
    """The records in a record, each with its name in front."""
    return [{"": name, **record} for name, record in value.items() if isinstance(record, dict)]


def _is_table(value: Json) -> bool:
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(row, dict) for row in value):
        return False
    return len(value) > FEW or min(map(len, value)) > NARROW


def _listed(title: str, rows: Sequence[Data], say: Say) -> Iterator[Table]:
    """Rows that an instrument noted one by one, as a table; a long one is cut, and says so.

    Of a long one, what few rows have comes first, in these rows alone, and what all rows share is said once, above.
    """
    shown = rows[:LISTED]
    present = dict.fromkeys(name for row in shown for name in row)  # in the record they are in alphabetical order
    order = (RUN, *FIELD_WORDS)
    names = [*(name for name in order if name in present), *(name for name in present if name not in order)]
    cut = f"共 {len(rows)} 行，此处列前 {LISTED} 行，全部见 results.json" if len(rows) > LISTED else ""
    if len(shown) <= TOGETHER:
        yield _listing(title, names, shown, say)
        return
    rare = {n for n in names if 0 < sum(row.get(n) not in EMPTY for row in shown) <= RARE * len(shown)}
    special = [row for row in shown if any(row.get(n) not in EMPTY for n in rare)]
    if special:
        among = "、".join(say(n) for n in names if n in rare)
        yield _listing(f"{title}（有{among}的 {len(special)} 行）", names, special, say)
    others = [row for row in shown if not any(row.get(n) not in EMPTY for n in rare)]
    values = {n: {_entry(row.get(n), say) for row in others} for n in names}
    same = [n for n in names if len(values[n]) == 1 and n not in rare]
    said = [f"{say(n)}均为 {next(iter(values[n]))}" for n in same if others[0].get(n) not in EMPTY]
    remarks = "；".join([f"{'其余 ' if special else ''}{len(others)} 行", *said, *([cut] if cut else [])])
    yield _listing(f"{title}（{remarks}）", [n for n in names if n not in rare and n not in same], others, say)


def _listing(title: str, names: Sequence[str], rows: Sequence[Data], say: Say) -> Table:
    """One table of such rows; each column as wide as what is in it, as far as the line goes."""
    cells = [[_entry(row.get(name), say) for name in names] for row in rows]
    heads = [say(name) for name in names]
    right = tuple(i for i, n in enumerate(names) if all(type(row.get(n)) in (int, float, type(None)) for row in rows))
    texts = tuple(tuple(map(Cell, row)) for row in cells)
    return fitted(Table(title, tuple(heads), (1.0,) * len(heads), texts, right, dense=True))


def _entry(value: Json, say: Say) -> str:
    """A cell of a long list: of identities inside it only what they are and which."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and {"kind", "value"} <= v.keys() for v in value):
        kinds: dict[str, dict[str, None]] = {}
        for v in value:
            kinds.setdefault(v["kind"], {})[str(v["value"])] = None
        return "；".join(f"{say(kind)} {'、'.join(values)}" for kind, values in kinds.items())
    return field(value, say).text
