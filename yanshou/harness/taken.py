"""What a capture kit brought: the rules that its ledger must meet before, and ever after, it counts in a case.

Pure: ledger lines in, problems out. It must never read evidence and never trust a word of a kit that the plan can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from yanshou.harness.basics import Json, Problem
from yanshou.harness.calibrate import scale
from yanshou.harness.evidence import GENESIS, link, moment
from yanshou.harness.names import name_problem
from yanshou.harness.plan import Plan
from yanshou.harness.recording import calibration_meta, jobs_of, measurement_meta
from yanshou.harness.runs import CALIBRATION, KIT_SESSION, Run, runs_of
from yanshou.probes.contract import Probe

Line = Mapping[str, Json]
"""{"h", "r"} of a kit's ledger, as it stands in its file."""
RECORDED = {"run_opened", "checkpoint", "run_closed", "recovered"}
"""Kinds of the lines after the first."""


def taken_lines(records: Sequence[Mapping[str, Json]]) -> dict[str, list[Line]]:
    """{session: every line of its kit's ledger that a case's ledger holds}."""
    sessions: dict[str, list[Line]] = {}
    for record in records:
        if record["kind"] == "run_taken":
            sessions.setdefault(record["session"], []).extend(record["lines"])
    return sessions


def split_by_run(lines: Sequence[Line]) -> list[list[Line]]:
    """One piece per run, each beginning after the one before; what comes before the first run belongs to it."""
    starts = [i for i, line in enumerate(lines) if line["r"]["kind"] == "run_opened"]
    ends = [*starts[1:], len(lines)]
    return [list(lines[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)] if starts else []


def kit_problems(
    lines: Sequence[Line], kits: Sequence[Mapping[str, Json]], plans: Mapping[str, Plan], source: Path
) -> Iterator[Problem]:
    """Why these lines, the whole of a kit's ledger, may not count: they do not chain, are not of a kit that this case made
    (`kits`, its records), not of a plan of `plans` (by digest), or not what that plan says.

    Raises LookupError, TypeError or ValueError for lines that make no sense.
    """
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        if line["r"]["seq"] != number or link(previous, line["r"]) != line["h"]:
            yield Problem(
                "KIT-E11", "采集包的台账链断裂：此行或其前一行被改动、删除或插入", FROM_TERMINAL, source, number
            )
            return
        if (line["r"]["kind"] in RECORDED) != (number > 1):
            yield Problem("KIT-E11", "采集包的台账里有不该有的记录", FROM_TERMINAL, source, number)
            return
        moment(line["r"]["utc"])
        previous = line["h"]
    first = lines[0]["r"]
    if first["kind"] != "kit":
        yield Problem("KIT-E10", "这不是采集包录的台账", "--from 指向采集包的输出文件夹", source, 1)
        return
    plan = plans.get(first["plan_sha256"])
    if plan is None:
        text = f"采集包依据的计划({str(first['plan_sha256'])[:12]})不是这个案卷冻结的计划"
        yield Problem("KIT-E12", text, "收入它自己的案卷；计划变更之后要用新做的采集包重新采集", source, 1)
        return
    if first["tool_sha256"] != plan.tool["sha256"]:
        yield Problem("KIT-E13", "采集包的工具摘要与计划冻结的不同", "用这个案卷做的采集包重新采集", source, 1)
        return
    named = ("kit_sha256", "plan_sha256", "tool_sha256", "probe")
    kit = next((k for k in kits if all(k[name] == first[name] for name in named)), None)
    if kit is None:
        text = f"采集包(sha256:{str(first['kit_sha256'])[:12]})不是这个案卷做的，或被改动过"
        yield Problem("KIT-E13", text, "用 yanshou kit 做的原件重新采集；复制之后核对摘要", source, 1)
        return
    yield from _order_problems(lines, source)
    opened = {line["r"]["number"]: at for at, line in enumerate(lines, 1) if line["r"]["kind"] == "run_opened"}
    for run in runs_of([line["r"] for line in lines[1:]]):
        for text in _run_problems(run, plan, kit):
            yield Problem("KIT-E14", f"采集包的运行 {run.number}{text}", FROM_TERMINAL, source, opened[run.number])


FROM_TERMINAL = "从终端重新复制整个文件夹；仍不符则重新采集"


def _order_problems(lines: Sequence[Line], source: Path) -> Iterator[Problem]:
    """Runs are numbered from one, and one at a time is open."""
    opened, closed = 0, 0
    for number, line in enumerate(lines, 1):
        record = line["r"]
        if record["kind"] == "run_opened":
            fits = record["number"] == opened + 1 and opened == closed
            opened += 1
        elif record["kind"] == "run_closed":
            fits = record["number"] == opened == closed + 1
            closed += 1
        else:
            fits = record["kind"] != "checkpoint" or record["number"] == opened == closed + 1
        if not fits:
            yield Problem("KIT-E11", "采集包的台账里运行的次序不对", FROM_TERMINAL, source, number)
            return


def _run_problems(run: Run, plan: Plan, kit: Mapping[str, Json]) -> Iterator[str]:
    """What a run says of itself that the plan and the tool do not: every word but the host's is theirs."""
    host = run.meta["host"]
    if not all(isinstance(x, str) for pair in host.items() for x in pair) or not host.get(KIT_SESSION):
        yield "没有写明是哪台主机"
    if not isinstance(run.status_reason, str):
        yield "没有写明怎样结束"
    name = f"calibrate-{kit['probe']}" if run.purpose == CALIBRATION else run.indicator
    if run.folder_name != f"{run.number:04d}-{name}":
        yield f"的文件夹名 {run.folder_name!r} 不对"
    for stream in {*run.streams, *run.tail}:
        if why := name_problem(stream) or ("与运行说明重名" if stream == "run.json" else None):
            yield f"的证据文件名 {stream!r} 不能用：{why}"
    if run.purpose == CALIBRATION:
        if calibration_meta(kit["probe"], scale(Probe(kit["probe"])), kit["points"], host) != run.meta:
            yield "的校准不是这个版本的仪器做的"
        return
    jobs = [
        j for j in jobs_of(plan) if (j.indicator, j.condition, j.probe) == (run.indicator, run.condition, kit["probe"])
    ]
    if not jobs:
        yield f"测的 {run.indicator} {run.condition or ''} 不在计划里".replace(" 不", "不")
    elif run.subject not in plan.subjects_of(plan.indicator(jobs[0].indicator)):
        yield f"的受检对象 {run.subject} 不在计划里"
    elif measurement_meta(jobs[0], run.subject, kit["plan_sha256"], host) != run.meta:
        yield "的参数、种子或版本与计划不同"
