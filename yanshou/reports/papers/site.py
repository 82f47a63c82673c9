"""环境核查表: what was agreed or is known of system, instruments and hosts, with room for what is found on site.

It must never tick a box.
"""

from __future__ import annotations

from collections.abc import Iterator

from yanshou.reports.blocks import Cell, Text, facts, table
from yanshou.reports.display import Data, display, exactly
from yanshou.reports.document import TARGETS
from yanshou.reports.papers.model import BLANK, BOXES, Chapter, Dossier, Lines, Paper, PaperBlock, blanks, signed

COLUMNS = {"核查项": 1.8, "案卷与计划所写": 3.2, "现场所见": 2.4, "结论": 1.9, "核查人": 1.0}


def site_check(case: Dossier) -> Paper:
    """The paper."""
    return case.paper("环境核查表", "检测环境核查表", _blocks(case))


def _blocks(case: Dossier) -> Iterator[PaperBlock]:
    record = case.record
    yield Text("入场时逐项核对，离场前复核“期末”各项。与案卷所写不同的，登记为偏离，经各方同意后再测。")
    yield Chapter("1　被测系统")
    yield table("被测系统", COLUMNS, [(name, told, BLANK, BOXES, BLANK) for name, told in _target(record["case"])])
    yield Chapter("2　仪器与准备")
    yield table("仪器与准备", COLUMNS, [(name, told, BLANK, BOXES, BLANK) for name, told in _instruments(case)])
    yield Chapter("3　人员、场地与时钟")
    yield table("人员、场地与时钟", COLUMNS, [(name, told, BLANK, BOXES, BLANK) for name, told in _surroundings(case)])
    yield Chapter("4　检测主机（工具所录）")
    yield from _hosts(record)
    yield Chapter("5　期末复核")
    yield Text("开始与结束时各核对一次：版本、序列号、模型与配置的摘要、节点或卡号。两次不同的，其间的测量须说明。")
    yield blanks("开始与结束时的标识", {"标识（是什么）": 2.4, "开始": 3, "结束": 3, "一致": 1}, 5)
    yield Lines("其他情况", 2)
    yield signed("核查人", "被测方代表", "见证人")


def _target(case: Data) -> Iterator[tuple[str, object]]:
    target = case["target"]
    yield "环境类别", TARGETS.get(target["kind"], target["kind"])
    yield "地点", target.get("site")
    yield "版本", target.get("version")
    yield "状态", target.get("condition")
    for subject in target.get("subjects") or ():
        yield "受检个体", subject
    environment = ((case.get("acceptance") or {}).get("method") or {}).get("environment")
    yield "任务书约定的环境条件", environment


def _instruments(case: Dossier) -> Iterator[tuple[str, object]]:
    instruments = {i["instrument"]["probe"]: i["instrument"] for i in case.plan["indicators"] if i["instrument"]}
    calibrated = {c["probe"]: c for f in case.record["findings"] if (c := f.get("calibration"))}
    for probe, instrument in instruments.items():
        for item in instrument["equipment"]:
            yield f"{instrument['title']}：设备", item
        found = calibrated.get(probe)
        if found is None:
            yield f"{instrument['title']}：校准", "测量之前用标准器校准"
        else:
            least = {"value": found["tolerance"]}
            errors = "、".join(display(p["error"], least) for p in found["points"])
            told = f"运行 {found['run']}，各点示值误差 {errors} {found['unit']}"
            verdict = "在允差内" if found["within"] else "超差"
            yield f"{instrument['title']}：校准", Cell(told, (f"允差 {exactly(found['tolerance'])}，{verdict}",))


def _surroundings(case: Dossier) -> Iterator[tuple[str, object]]:
    named = "、".join(p["name"] for p in case.record["case"]["evaluator"].get("people") or ())
    yield "评测人员到场", named
    yield "被测方配合人员", None
    yield "见证人", None
    yield "场地条件（温度、湿度、供电、网络）", None
    yield "时钟与授时源核对", "评测主机、被测系统与北京时间的偏差"
    yield "与检测无关的业务与负载", None
    yield "安全与保密告知", None


def _hosts(record: Data) -> Iterator[PaperBlock]:
    hosts = record.get("hosts") or ()
    if not hosts:
        yield Text("还没有运行；测量之后由工具记录。")
    for host in hosts:
        runs = "、".join(map(str, host["runs"]))
        yield facts(("运行", runs), *host["facts"].items())
