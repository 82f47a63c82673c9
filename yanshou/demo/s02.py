"""Scenario 2 “大模型赋能先进制造”, live: inspected cases, a service that judges parts in a known time, and reworked parts by year.

Cases and parts are made up. What it promises of quality is a change, so that the level before is counted from records as well.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from yanshou.demo.heading import heading
from yanshou.demo.play import Demo, Standing
from yanshou.demo.visits import Visit, checklist, write_sheet
from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.model_latency.reference import serving, write_pool
from yanshou.probes.model_latency.server import LOOPBACK, Behaviour

CASES = (
    ("演示零部件厂(虚构)", "研发设计", "图纸问答"),
    ("演示零部件厂(虚构)", "质量检测", "缺陷判定"),
    ("演示装备厂(虚构)", "生产制造", "工艺参数推荐"),
    ("演示装备厂(虚构)", "运营管理", "排产问答"),
    ("演示光器件厂(虚构)", "质量检测", "外观判定"),
    ("演示光器件厂(虚构)", "运营管理", "设备维修问答"),
)
"""Enterprise, stage, and what the model does there."""
ANSWER_MS, COUNT, WARMUP = 4.0, 662, 20
"""How long a judgement truly takes."""
ATTEMPTS = 3
"""Fixed in the plan, so that a laptop busy with other things may try again."""
YEARS = {2024: 4000, 2025: 2500}
"""Year -> parts that were truly reworked in it."""
TRIALS, TWICE = 120, 60
"""Planted rows of each year that are none: trial runs, rows exported twice."""
POOL = "inputs/parts.jsonl"
COLUMNS = ("返工单号", "时间", "产线", "类别")


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """The service on loopback; the case and its inputs in `folder`."""
    with serving(Behaviour(first=ANSWER_MS, tokens=1), []) as port:
        write_inputs(folder)
        write_atomic(folder / "case.yaml", case_text(port).encode())
        years = "、".join(f"{year} 年 {number} 件" for year, number in YEARS.items())
        yield Standing(f"案例 {len(CASES)} 个；判定服务每次 {ANSWER_MS:g} ms；返工 {years}，另有试制与重复导出的行")


def write_inputs(folder: Path) -> None:
    """The parts to judge, the export of each year, the answer sheet and its evidence files. Raises OSError."""
    write_sheet(folder, "S02-I01", "演示工厂", cases())
    write_pool(folder / POOL, COUNT + WARMUP)
    for year in YEARS:
        write_atomic(folder / export_of(year), export(year).encode())


def export_of(year: int) -> str:
    """The file of one year."""
    return f"inputs/rework-{year}.csv"


def export(year: int) -> str:
    """Every row of a year's export, in an order that says nothing."""
    draw = random.Random(year)
    start = datetime(year, 1, 1)

    def row(number: int, kind: str) -> str:
        when = start + timedelta(seconds=int(draw.random() * 364 * 86400))
        return f"FG{year}{number:06d},{when},L{number % 3 + 1},{kind}\n"

    true = YEARS[year]
    rows = [row(n, "量产") for n in range(true)]
    rows += [row(true + n, "试制") for n in range(TRIALS)]
    rows += draw.sample(rows[:true], TWICE)
    draw.shuffle(rows)
    return ",".join(COLUMNS) + "\n" + "".join(rows)


def cases() -> tuple[Visit, ...]:
    """One look at each case."""
    expected = "生产环境在用,有合同与上线单,连续 30 日以上有真实调用,有改造前后对比,与其他案例不重复"
    files = ("合同与上线单", "调用日志导出", "前后对比表")
    return tuple(
        Visit(f"S02-I01-{n:02d}", f"{who}:{stage}:{what}", expected, f"{who}{stage}:现场用{what}一次,与日志相符", files)
        for n, (who, stage, what) in enumerate(CASES, 1)
    )


def visit(folder: Path, plan: Plan) -> None:
    """Nothing is drawn here: every case is looked at."""


def counting(year: int) -> dict[str, object]:
    """What of the parameters depends on the year."""
    return {"file": export_of(year), "window": {"start": f"{year}-01-01", "end": f"{year}-12-31"}}


def case_text(port: int) -> str:
    """The demonstration's case.yaml."""
    before, after = YEARS
    reworked = {
        **counting(after), "key": [COLUMNS[0]], "time": COLUMNS[1], "unit": "件",
        "exclude": [{"code": "TRIAL", "text": "试制件", "column": COLUMNS[3], "equals": "试制"}],
    }  # fmt: skip
    timing = {
        "kind": "openai", "url": f"http://{LOOPBACK}:{port}/v1/chat/completions", "pool": POOL, "metric": "e2e",
        "count": COUNT, "warmup": WARMUP, "timeout_s": 5, "quiet_s": 0,
    }  # fmt: skip
    content = ["S02-I01", "S02-Q03", "S02-P01"]
    head = heading(2, "大模型赋能先进制造典型应用", "某行业大模型", content, "内置判定服务与生成的返工记录")
    return f"""{head}commitments:
  S02-I01:
    baseline: 0 个
    target: 不少于5个
    define: {{counting_unit: 应用企业×业务环节×模型能力, separate_stages: 分别计}}
  S02-Q03:
    name: 每年返工件数
    kind: counted
    baseline: {YEARS[before]} 件
    target: 降低 30 %
    note: 同三条产线,产量相当;试制件不计
  S02-P01:
    name: 质检判定时延
    kind: measured
    baseline: 2 s
    target: ≤ 200 ms
    note: 一件一次判定的完整结果,P99
measure:
  S02-I01: {{probe: inspection}}
  S02-Q03:
    probe: records
    params: {json.dumps(reworked, ensure_ascii=False)}
    before: {{params: {json.dumps(counting(before))}}}
  S02-P01:
    probe: model.latency
    params: {json.dumps(timing)}
    rule: {{statistic: p99, attempts: {ATTEMPTS}}}
inspections:
  S02-I01:
    sheet: inputs/S02-I01.yaml
    items:
{checklist(cases())}
"""


DEMO = Demo(stand, visit, {"S02-P01": ATTEMPTS})
