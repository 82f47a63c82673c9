"""Scenario 4, a multimodal model in medicine, live: a generated model with an encoder of pictures, a year's visits, inspections.

The visits are drawn at random and belong to nobody.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from yanshou.demo.checkpoint import language, parameters, vision, written
from yanshou.demo.play import Demo, Standing
from yanshou.demo.visits import Visit, checklist, look_up, write_sheet
from yanshou.harness.evidence import digest_file, write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.model_latency.ablation import png
from yanshou.probes.model_latency.reference import serving
from yanshou.probes.model_latency.server import LOOPBACK, Behaviour

TRUE_PARAMETERS = parameters(language())
"""Without the encoder of pictures, which the demonstration's commitment does not count."""
TRUE_VISITS = 520_000
TESTS, RETRIES, SILENT, EARLY, TWICE = 1_800, 2_600, 5_200, 900, 3_100
"""Planted rows that are none: tests, retries, without a result of the platform, before the window, exported twice."""
COMMITTED_VISITS = 500_000
SAMPLE = 120
"""Visits looked up again: enough to show with 95 % that COMMITTED_VISITS of those that count are real."""
START, END = datetime(2025, 1, 1), datetime(2025, 12, 31, 23, 59, 59)
FIRST_MS, TOKEN_MS, TOKENS = 8.0, 1.0, 6
"""How long an answer about a picture truly takes until its first token, and from one to the next."""
COUNT, WARMUP, ABLATED = 662, 20, 40
ATTEMPTS = 3
"""Fixed in the plan, so that a laptop busy with other things may try again."""
MODEL, EXPORT, POOL = "model/model.gguf", "inputs/visits.csv", "inputs/pictures.jsonl"
COLUMNS = ("就诊流水号", "就诊时间", "机构", "平台产出编号", "状态")


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """The case and its inputs in `folder`, the model file and the service that holds it only as long as it stands."""
    service = Behaviour(first=FIRST_MS, token=TOKEN_MS, tokens=TOKENS, weights=str(folder / MODEL))
    with written(folder / MODEL, language() | vision()), serving(service, []) as port:
        write_inputs(folder)
        write_atomic(folder / "case.yaml", case_text(port, digest_file(folder / EXPORT)).encode())
        yield Standing(
            f"推理服务映射着模型文件：语言部分 {TRUE_PARAMETERS} 参数，视觉部分 {parameters(vision())}；"
            f"就诊记录 {TRUE_VISITS} 条如实，另有 {sum((TESTS, RETRIES, SILENT, EARLY, TWICE))} 条不应计入"
        )


def write_inputs(folder: Path) -> None:
    """The export of visits, the questions, the answer sheet and its evidence files. Raises OSError."""
    write_sheet(folder, "S04-I02", "演示医院", institutions())
    write_atomic(folder / EXPORT, export().encode())
    write_atomic(folder / POOL, questions().encode())


def export() -> str:
    """Every row of the export, in an order that says nothing."""
    draw = random.Random(4)
    seconds = int((END - START).total_seconds())
    rows = []

    def row(number: int, output: str = "", state: str = "完成", early: int = 0) -> None:
        when = START + timedelta(seconds=int(draw.random() * seconds) - early)
        rows.append(f"JZ{number:07d},{when},H{number % 2 + 1},{output},{state}\n")

    for n in range(TRUE_VISITS):
        row(n, f"P{n:07d}")
    planted = [("P9", "测试", 0)] * TESTS + [("P9", "重试", 0)] * RETRIES + [("", "完成", 0)] * SILENT
    planted += [("P9", "完成", seconds + 1)] * EARLY
    for n, (output, state, early) in enumerate(planted, TRUE_VISITS):
        row(n, output, state, early)
    rows += draw.sample(rows[:TRUE_VISITS], TWICE)
    draw.shuffle(rows)
    return ",".join(COLUMNS) + "\n" + "".join(rows)


def questions() -> str:
    """The pool: a question and a picture of noise on each line."""
    draw = random.Random(5)

    def question(number: int) -> str:
        picture = png(16, 16, draw.randbytes(256))
        parts = [
            {"type": "image_url", "image_url": {"url": picture}},
            {"type": "text", "text": f"{number} 号影像有何异常"},
        ]
        return json.dumps({"messages": [{"role": "user", "content": parts}]}, ensure_ascii=False)

    return "".join(f"{question(n)}\n" for n in range(COUNT + WARMUP))


def institutions() -> tuple[Visit, ...]:
    """Two institutions that use it."""
    return tuple(
        Visit(
            f"S04-I02-{n:02d}",
            f"{name}合作应用",
            "执业许可证登记地在武汉，合作协议在有效期内，生产环境在用",
            f"{name}：许可证登记地武汉，协议有效，门诊工作站当场调用一次成功",
            ("执业许可证", "合作协议", "现场记录"),
            "查阅",
        )
        for n, name in enumerate(("演示医院甲(虚构)", "演示医院乙(虚构)"), 1)
    )


def visit(folder: Path, plan: Plan) -> None:
    """Play the evaluator in the hospital: every drawn visit is found in its records."""
    look_up(folder, plan, "S04-I03", "演示:在医院信息系统里查到该次就诊与平台产出")


def case_text(port: int, sha256: str) -> str:
    """The demonstration's case.yaml; `sha256`: of the export, before there is a seed."""
    weighing = {"path": MODEL, "vision": "excluded", "moe": "total", "port": port, "watch_s": 1}
    counting = {
        "file": EXPORT, "key": [COLUMNS[0]], "time": COLUMNS[1], "unit": "人次",
        "window": {"start": f"{START:%Y-%m-%d}", "end": f"{END:%Y-%m-%d}"},
        "exclude": [
            {"code": "TEST", "text": "测试记录", "column": "状态", "equals": "测试"},
            {"code": "RETRY", "text": "失败后重试", "column": "状态", "equals": "重试"},
            {"code": "NO-OUTPUT", "text": "该次就诊没有平台产出", "column": "平台产出编号", "empty": True},
        ],
        "audit": {"file": "inputs/audit.csv", "size": SAMPLE}, "sha256": sha256,
    }  # fmt: skip
    timing = {
        "kind": "openai", "url": f"http://{LOOPBACK}:{port}/v1/chat/completions", "pool": POOL, "metric": "e2e",
        "count": COUNT, "warmup": WARMUP, "timeout_s": 5, "quiet_s": 0, "ablate": ABLATED,
    }  # fmt: skip
    return f"""# 演示案卷:场景 4“人工智能和大数据在医疗健康领域的典型应用”。模型与就诊记录都由程序生成,不是任何真实项目。
yanshou: 1
list: wuhan-2024
scenario: 4
mode: demo
report: {{number: DEMO-S04-0001}}
project:
  name: 演示项目:某医疗多模态大模型
  lead: {{name: 演示单位(虚构)}}
evaluator: {{name: 演示评测机构(虚构), address: 本机, people: [{{name: 甲, role: tester}}, {{name: 乙, role: reviewer}}]}}
client: {{name: 演示委托方(虚构), contact: 无}}
target: {{kind: simulator, site: 本机环回接口, version: 生成的模型文件与就诊记录, condition: 内置标准器}}
acceptance:
  content: [S04-I01, S04-I02, S04-I03, S04-P01]
  method: {{environment: 本机环回接口, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
commitments:
  S04-I01:
    baseline: 1.8 B
    target: 不小于7B
    define: {{parameter_basis: 按实际元素数, vision_encoder: 不计入}}
  S04-I02:
    baseline: 0 家
    target: 不少于1家
    define: {{recognition: 执业许可证登记地在武汉、合作协议有效且生产环境在用}}
  S04-I03:
    baseline: 3万人次
    target: 不少于50万人次
    define: {{counting_unit: 按就诊流水号去重且有平台产出, window: 2025 年全年, region: 只计两家合作医院}}
  S04-P01:
    name: 影像问答时延
    kind: measured
    baseline: 3 s
    target: ≤ 500 ms
    note: 完整结果的 P99,答完再问;另做换图与涂白消融,证明图像真实起作用
measure:
  S04-I01: {{probe: model.weights, params: {json.dumps(weighing)}}}
  S04-I02: {{probe: inspection, params: {{unit: 家}}}}
  S04-I03: {{probe: records, params: {json.dumps(counting, ensure_ascii=False)}}}
  S04-P01:
    probe: model.latency
    params: {json.dumps(timing)}
    rule: {{statistic: p99, attempts: {ATTEMPTS}}}
inspections:
  S04-I02:
    sheet: inputs/S04-I02.yaml
    items:
{checklist(institutions())}
"""


DEMO = Demo(stand, visit, {"S04-P01": ATTEMPTS})
