"""The demonstration: a whole acceptance of scenario 10 against embedded references, from check to a verified package.

It drives the same rooms as a real case; nothing in it can end as a formal report: mode demo is marked on every page, and its
key is made for this one run and thrown away after signing. It must never touch anything outside its folder and loopback.
"""

from __future__ import annotations

import csv
import io
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.engine import Observer, Selection, freeze_case, run_case
from yanshou.harness.envelope import Role
from yanshou.harness.evidence import write_atomic
from yanshou.harness.keys import load_private, new_key, public_path
from yanshou.harness.sealing import DEMO_KEY_NAME, sign_package
from yanshou.harness.statistics import audit_size
from yanshou.harness.verify import verify
from yanshou.reports.render import render

TRUE_DELAY_MS = 0.8
TRUE_DEVICES = 118
COMMITTED_DEVICES = 110
LATENCY_ATTEMPTS = 3
"""Fixed in the plan, so that a laptop busy with other things may try again: every attempt is printed and costs confidence."""
SCENES = ("远程设备操控", "设备协同作业", "柔性生产制造", "机器视觉质检", "厂区智能物流")
FIRST_DAY = date(2025, 3, 3)
Tell = Callable[[str], None]


def fresh_folder(wanted: Path) -> Path:
    """`wanted`, or `wanted-2`, `wanted-3` … where something is there already: a demonstration overwrites nothing."""
    candidate, number = wanted, 1
    while candidate.exists() and any(candidate.iterdir()):
        number += 1
        candidate = wanted.with_name(f"{wanted.name}-{number}")
    return candidate


def device_export(seed: int = 10) -> str:
    """A platform's device export (CSV) with exactly TRUE_DEVICES devices that count, among rows that must not."""
    rng = random.Random(seed)
    rows: list[list[str]] = []

    def row(serial: str, state: str = "在线", day: int | None = None) -> list[str]:
        offset = rng.randrange(27) if day is None else day
        moment = f"{FIRST_DAY + timedelta(days=offset)} {rng.randrange(8, 20):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
        return [serial, rng.choice(["AGV", "机械臂", "工业相机", "CPE", "PLC"]), state, moment]

    serials = [f"WH5G{n:06d}" for n in rng.sample(range(1, 999_999), TRUE_DEVICES)]
    rows += [row(serial) for serial in serials]
    rows += [row(serial) for serial in rng.sample(serials, 9)]
    rows += [row("".join(chr(ord(c) + 0xFEE0) for c in serial)) for serial in rng.sample(serials, 3)]
    rows += [row(f"TEST{n:04d}", "测试") for n in range(6)]
    rows += [row(f"WH5GOLD{n:03d}", day=-40) for n in range(4)]
    rows += [row("") for _ in range(2)]
    rng.shuffle(rows)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["设备序列号", "类型", "状态", "最近上报时间"], *rows])
    return out.getvalue()


def case_text(port: int, sample: int) -> str:
    """The demonstration's case.yaml."""
    last = FIRST_DAY + timedelta(days=27)
    items = "\n".join(
        f"      - {{id: S10-I01-{n:02d}, text: {scene}, expected: 业务在 5G 承载下真实运行, method: 操作}}"
        for n, scene in enumerate(SCENES, 1)
    )
    return f"""# 演示案卷:场景 10“5G工厂”。所有数据都来自本机的标准器,不是任何真实项目。
yanshou: 1
list: wuhan-2024
scenario: 10
mode: demo
report: {{number: DEMO-S10-0001}}
project:
  name: 演示项目:某厂 5G 工厂
  lead: {{name: 演示单位(虚构)}}
evaluator: {{name: 演示评测机构(虚构), address: 本机, people: [{{name: 甲, role: tester}}, {{name: 乙, role: reviewer}}]}}
client: {{name: 演示委托方(虚构), contact: 无}}
target: {{kind: simulator, site: 本机环回接口, version: 演示, condition: 内置标准器}}
acceptance:
  content: [S10-I01, S10-I02, S10-I03]
  method: {{environment: 本机环回接口, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
commitments:
  S10-I01: {{baseline: 0 个, target: 不少于5个, define: {{scenes: {"、".join(SCENES)}}}}}
  S10-I02:
    baseline: 20 台
    target: 不少于{COMMITTED_DEVICES}台(套)
    define: {{direct_5g: 不要求, behind_gateway: 按设备序列号分别计, simultaneity: 时间窗内累计}}
  S10-I03:
    baseline: 8 ms
    target: ≤ 2 ms
    define:
      direction: 往返
      endpoints: 本机测量端与本机反射器
      packet: 44 字节,平均每 5 ms 一包
      load: 空载
      statistic: P99
      clock: 单端计时,不需要同步
measure:
  S10-I01: {{probe: inspection}}
  S10-I02:
    probe: records
    params:
      file: inputs/devices.csv
      key: [设备序列号]
      time: 最近上报时间
      window: {{start: {FIRST_DAY}, end: {last}}}
      unit: 台(套)
      exclude:
        - {{code: TEST, text: 测试设备, column: 状态, equals: 测试}}
      audit: {{file: inputs/audit.csv, size: {sample}}}
  S10-I03:
    probe: rtt
    params: {{host: 127.0.0.1, port: {port}, count: 1500, interval_ms: 5}}
    rule: {{attempts: {LATENCY_ATTEMPTS}}}
inspections:
  S10-I01:
    sheet: inputs/S10-I01.yaml
    items:
{items}
"""


def answer_sheet() -> str:
    """The answers of two (fictitious) inspectors, each with its evidence file."""
    entries = "".join(
        f"  S10-I01-{n:02d}:\n"
        f"    observed: 现场操作一次,业务正常,流量经 5G 承载\n"
        f"    answer: 是\n    inspector: 甲\n    witness: 乙\n"
        f"    time: '{FIRST_DAY + timedelta(days=28)} {8 + n:02d}:10:00'\n    place: 演示车间\n"
        f"    evidence:\n      - {{file: evidence/{n:02d}.txt, kind: 现场记录, obtained_from: 演示单位}}\n"
        for n in range(1, len(SCENES) + 1)
    )
    return f"items:\n{entries}"


@contextmanager
def reflector(delay_ms: float) -> Iterator[int]:
    """A reflector with a known added delay in a process of its own; yields its port on loopback."""
    command = [
        sys.executable,
        "-m",
        "yanshou",
        "reflect",
        "--bind",
        "127.0.0.1",
        "--port",
        "0",
        "--delay",
        str(delay_ms),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(r":(\d+) ", line)
        if found is None:
            raise UserError(
                Problem("DEMO-E01", "演示用的反射器没有启动", "运行 yanshou doctor 检查"), ExitCode.INTERNAL
            )
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


def write_audit(folder: Path, seed: int, params: dict[str, Json]) -> None:
    """Play the evaluator on site: every device that the frozen seed draws is found good."""
    from yanshou.probes.records.analyse import sample_keys
    from yanshou.probes.records.spec import Params

    checked = Params.model_validate(params)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*checked.key, "result", "note"])
    for key in sample_keys(folder / checked.file, checked, seed):
        writer.writerow([*key, "好", "演示:现场核对铭牌"])
    write_atomic(folder / "inputs/audit.csv", out.getvalue().encode())


def prepare(folder: Path, port: int) -> None:
    """Write the case and its inputs. Raises OSError."""
    sample = audit_size(TRUE_DEVICES, COMMITTED_DEVICES, 0.05)
    assert sample is not None
    (folder / "inputs/evidence").mkdir(parents=True)
    write_atomic(folder / "inputs/devices.csv", device_export().encode())
    write_atomic(folder / "inputs/S10-I01.yaml", answer_sheet().encode())
    for n, scene in enumerate(SCENES, 1):
        text = f"演示证据 {n}:{scene}。此文件由演示程序生成,不证明任何事实。\n"
        write_atomic(folder / f"inputs/evidence/{n:02d}.txt", text.encode())
    write_atomic(folder / "case.yaml", case_text(port, sample).encode())


def _measure(folder: Path, observer: Observer, tell: Tell) -> dict[str, Json]:
    folder.mkdir(parents=True, exist_ok=True)
    with reflector(TRUE_DELAY_MS) as port:
        tell(f"标准器就绪：反射器附加时延 {TRUE_DELAY_MS} ms，设备导出真值 {TRUE_DEVICES} 台，场景 {len(SCENES)} 个")
        prepare(folder, port)
        plan, _ = freeze_case(folder)
        tell(f"计划已冻结 sha256:{plan.sha256}")
        devices = plan.indicator("S10-I02")
        assert devices.instrument is not None
        write_audit(folder, devices.seed, dict(devices.instrument.params))
        summary = run_case(folder, observer)
        for _ in range(LATENCY_ATTEMPTS - 1):
            if _verdict(summary.record, "S10-I03") in ("pass", "fail"):
                break
            tell("这台机器正忙，时延未能判定：按计划再测一次，前一次照样印在报告上")
            summary = run_case(folder, observer, Selection(["S10-I03"], again=True))
    if summary.problems:
        raise UserError(summary.problems, ExitCode.UNDECIDED)
    return summary.record


def _verdict(record: dict[str, Json], indicator: str) -> str:
    return str(next(f["verdict"] for f in record["findings"] if f["indicator"] == indicator))


@dataclass(frozen=True)
class Played:
    """What a demonstration leaves. `as_planned`: the verdict is 符合 and the package verifies."""

    record: dict[str, Json]
    report: Path
    page: Path
    package: Path
    as_planned: bool


def play(wanted: Path, observer: Observer, tell: Tell) -> Played:
    """The whole demonstration in a fresh folder. Raises UserError."""
    folder = fresh_folder(wanted.resolve())
    record = _measure(folder, observer, tell)
    files = render(record, folder / "report")
    tell("报告已写出，用一次性演示密钥签署")
    key_file = folder / "demo.key"
    new_key(key_file, algorithm="ed25519", name=DEMO_KEY_NAME)
    try:
        sealed = sign_package(folder, load_private(key_file), Role.TESTER)
    finally:
        key_file.unlink()
        public_path(key_file).unlink()
    verified = verify(sealed.path, None)
    for problem in verified.problems:
        tell(f"✘ {problem}")
    for line in verified.checked:
        tell(f"✔ {line}")
    as_planned = verified.ok and record["verdict"] == "pass"
    return Played(record, files["report.pdf"], files["report.html"], sealed.path, as_planned)
