"""Scenario 1, a large model on vehicles, live: a generated 7B model file, five services that hold it, inspected vehicles.

Each vehicle is a process of its own on loopback. Their answers mean nothing; how long they take is set, logged and known.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from yanshou.demo.checkpoint import language, parameters, written
from yanshou.demo.play import Demo, Standing
from yanshou.demo.visits import Visit, checklist, write_sheet
from yanshou.harness.evidence import digest_file, write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.codes import vin_check_digit
from yanshou.probes.model_latency.reference import serving
from yanshou.probes.model_latency.server import LOOPBACK, Behaviour

VEHICLES: Mapping[str, float] = {
    "演示车型甲": 28.0,
    "演示车型乙": 31.0,
    "演示车型丙": 34.0,
    "演示车型丁": 37.0,
    "演示车型戊": 40.0,
}
"""Vehicle -> how long its decision truly takes, ms."""
TRUE_PARAMETERS = parameters(language())
APPLICATIONS = ("自主泊车", "舱泊一体", "高速领航", "城区领航", "车内多轮问答")
RATE_HZ, STREAMS, COUNT, WARMUP = 100, 6, 800, 30
"""More frames a second than any vehicle has, several under way at once: a demonstration shall be short."""
ATTEMPTS = 3
"""Fixed in the plan, so that a laptop busy with other things may try again."""
MODEL, POOL = "model/model.gguf", "inputs/frames.jsonl"


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """Everything on loopback; the case and its inputs in `folder`, the model file only as long as it stands."""
    with ExitStack() as stack:
        stack.enter_context(written(folder / MODEL, language()))
        ports = {name: stack.enter_context(serving(_behaviour(folder, ms), [])) for name, ms in VEHICLES.items()}
        write_inputs(folder)
        write_atomic(folder / "case.yaml", case_text(ports, digest_file(folder / POOL)).encode())
        times = "、".join(f"{ms:g}" for ms in VEHICLES.values())
        yield Standing(f"{len(ports)} 个决策服务，每次 {times} ms，各映射着同一个 {TRUE_PARAMETERS} 参数的模型文件")


def _behaviour(folder: Path, ms: float) -> Behaviour:
    return Behaviour(interface="json", first=ms, tokens=1, weights=str(folder / MODEL))


def write_inputs(folder: Path) -> None:
    """The pool of frames, the answer sheets and their evidence files. Raises OSError."""
    draw = random.Random(1)
    frames = (
        {
            "objects": [[round(draw.uniform(-40, 120), 2), round(draw.uniform(-12, 12), 2)] for _ in range(6)],
            "speed": round(draw.uniform(0, 120), 1),
            "frame": n,
        }
        for n in range(COUNT + WARMUP)
    )
    write_atomic(folder / POOL, "".join(json.dumps(f) + "\n" for f in frames).encode())
    write_sheet(folder, "S01-I03", "演示车场", vehicles())
    write_sheet(folder, "S01-I04", "演示道路", applications())


def vin(number: int) -> str:
    """An invented vehicle's: right check digit, a maker that there is not."""
    bare = f"LZZDEM00-R{number:07d}".replace("-", "0")
    return f"{bare[:8]}{vin_check_digit(bare)}{bare[9:]}"


def vehicles() -> tuple[Visit, ...]:
    """One vehicle of each model, with what makes it that model."""
    return tuple(
        Visit(
            f"S01-I03-{n:02d}",
            f"{name}：实车与公告",
            "公告在有效期内，实车的车辆识别代号、铭牌型号与公告一致，域控软件号与量产配置单一致",
            f"VIN {vin(n)}；公告型号 YS700{n}BEV；域控软件号 ADC-{n}.2.0",
            ("铭牌照片", "公告页", "诊断仪读出的软件号"),
            "观察",
            "vin",
        )
        for n, name in enumerate(VEHICLES, 1)
    )


def applications() -> tuple[Visit, ...]:
    """One drive or use of each application."""
    return tuple(
        Visit(f"S01-I04-{n:02d}", name, "在量产车上由车端大模型实现，现场操作一次成功", f"现场操作{name}一次，成功")
        for n, name in enumerate(APPLICATIONS, 1)
    )


def visit(folder: Path, plan: Plan) -> None:
    """Nothing is drawn here: every vehicle is looked at."""


def case_text(ports: Mapping[str, int], pool_sha256: str) -> str:
    """The demonstration's case.yaml."""
    counting = {"path": MODEL, "moe": "total", "vision": "excluded", "ports": dict(ports), "watch_s": 1}
    timing = {
        "kind": "json", "urls": {name: f"http://{LOOPBACK}:{port}/decide" for name, port in ports.items()},
        "answer": "result.action", "pool": POOL, "pool_sha256": pool_sha256, "metric": "decision_cycle", "rate_hz": RATE_HZ,
        "streams": STREAMS, "count": COUNT, "warmup": WARMUP, "timeout_s": 2, "quiet_s": 0,
    }  # fmt: skip
    return f"""# 演示案卷:场景 1“大模型在智能网联汽车的典型应用”。所有数据都来自本机的标准器,不是任何真实车辆。
yanshou: 1
list: wuhan-2024
scenario: 1
mode: demo
report: {{number: DEMO-S01-0001}}
project:
  name: 演示项目:某车端大模型
  lead: {{name: 演示单位(虚构)}}
evaluator: {{name: 演示评测机构(虚构), address: 本机, people: [{{name: 甲, role: tester}}, {{name: 乙, role: reviewer}}]}}
client: {{name: 演示委托方(虚构), contact: 无}}
target:
  kind: simulator
  site: 本机环回接口
  version: 内置决策服务与生成的模型文件
  condition: 内置标准器
  subjects: [{", ".join(ports)}]
acceptance:
  content: [S01-I01, S01-I02, S01-I03, S01-I04]
  method: {{environment: 本机环回接口, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
commitments:
  S01-I01:
    baseline: 1.8 B
    target: 不少于7B
    define: {{parameter_basis: 按实际元素数, moe: 不是混合专家模型, quantization: 量化权重按解包后的元素数}}
  S01-I02:
    baseline: 300 ms
    target: ≤ 100 ms
    define:
      start_stop: 单次决策,自计划帧至完整结果
      input_size: 一帧结构化目标
      output_length: 一个动作
      batch: "1"
      precision: 约 1.6 位量化
      statistic: P95
      power_thermal: 演示主机当时的状态,不作要求
  S01-I03:
    baseline: 0 款
    target: 不少于5款
    define: {{counting_unit: 公告产品型号, factory_fitting: 量产配置单与实车, market_date: 公告有效且已上市销售}}
  S01-I04:
    baseline: 0 个
    target: 不少于5个
    define: {{applications: {"、".join(APPLICATIONS)}}}
measure:
  S01-I01: {{probe: model.weights, params: {json.dumps(counting, ensure_ascii=False)}}}
  S01-I02:
    probe: model.latency
    params: {json.dumps(timing, ensure_ascii=False)}
    rule: {{attempts: {ATTEMPTS}}}
  S01-I03: {{probe: inspection, params: {{unit: 款}}, rule: {{subjects: together}}}}
  S01-I04: {{probe: inspection, rule: {{subjects: together}}}}
inspections:
  S01-I03:
    sheet: inputs/S01-I03.yaml
    items:
{checklist(vehicles())}
  S01-I04:
    sheet: inputs/S01-I04.yaml
    items:
{checklist(applications())}
"""


DEMO = Demo(stand, visit, {"S01-I02": ATTEMPTS})
