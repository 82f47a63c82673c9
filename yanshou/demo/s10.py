"""Scenario 10 “5G工厂”, live: a reflector with a key, an MQTT broker with devices of which some cheat, and inspected scenes.

The broker is a real mosquitto where the machine has one, else the embedded one, and the case says which.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from yanshou.demo.play import Demo, Standing
from yanshou.demo.visits import Visit, checklist, visit_devices, write_sheet
from yanshou.harness.basics import ExitCode, Problem, UserError
from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes import mqtt_broker
from yanshou.probes.devices.simulate import (
    VirtualDevice,
    fleet,
    register_params,
    running,
    source_params,
    write_register,
)
from yanshou.probes.rtt.secret import new_key_file

TRUE_DELAY_MS = 0.8
TRUE_DEVICES = 110
COMMITTED_DEVICES = 102
CHEATS = {"silent": 3, "constant": 1, "reused": 2, "copied": 1, "twice": 1, "ghosts": 2}
STRANGERS = 2
SAMPLE = 60
"""Devices visited on site: enough to show with 95 % that COMMITTED_DEVICES of those that count are real."""
ATTEMPTS = 3
"""Fixed in the plan, so that a laptop busy with other things may try again."""
SCENES = ("远程设备操控", "设备协同作业", "柔性生产制造", "机器视觉质检", "厂区智能物流")
SPEAK_S, WINDOW_S = 0.4, 8.0
KEY = "reflector.key"
BROKER_S = 10.0


@dataclass(frozen=True)
class Place:
    """Where what is measured stands: the reflector's port, and the broker's port and name."""

    reflector: int
    broker: int
    broker_name: str


def devices() -> tuple[VirtualDevice, ...]:
    """Everything that connects, or is only written down: TRUE_DEVICES of it are devices."""
    return fleet(TRUE_DEVICES, **CHEATS, strangers=STRANGERS)


@contextmanager
def reflector(delay_ms: float, key: Path | None = None) -> Iterator[int]:
    """A reflector with a known added delay in a process of its own; yields its port on loopback. Raises UserError."""
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
        f"{delay_ms}",
    ]
    command += ["--key", str(key)] if key else []
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


@contextmanager
def broker() -> Iterator[tuple[int, str]]:
    """An MQTT broker on loopback: its port and its name. Raises UserError."""
    program = shutil.which("mosquitto") or shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
    )
    if program is None:
        with mqtt_broker.running() as port:
            yield port, "内置 MQTT 代理（本机没有安装 mosquitto）"
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as folder:
        configuration = Path(folder) / "mosquitto.conf"
        configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n", encoding="utf-8")
        process = subprocess.Popen([program, "-c", str(configuration)], stderr=subprocess.DEVNULL)
        try:
            _await(port)
            yield port, "mosquitto"
        finally:
            process.terminate()
            process.wait()


def _await(port: int) -> None:
    deadline = time.monotonic() + BROKER_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise UserError(
                    Problem("DEMO-E03", "演示用的 mosquitto 没有启动", "运行 mosquitto -v 看原因"), ExitCode.INTERNAL
                ) from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """Everything on loopback; the case and its inputs in `folder`."""
    key = folder / KEY
    new_key_file(key)
    try:
        with reflector(TRUE_DELAY_MS, key) as port, broker() as (broker_port, name):
            place = Place(port, broker_port, name)
            write_inputs(folder)
            write_atomic(folder / "case.yaml", case_text(place).encode())
            fleet_ = devices()
            with running("127.0.0.1", broker_port, fleet_, interval_s=SPEAK_S):
                connected, registered = sum(d.connected for d in fleet_), sum(d.registered for d in fleet_)
                yield Standing(
                    f"反射器附加时延 {TRUE_DELAY_MS} ms；{name} 上 {connected} 个连接，清册 {registered} 台，"
                    f"其中 {TRUE_DEVICES} 台如实；场景 {len(SCENES)} 个"
                )
    finally:
        key.unlink()


def write_inputs(folder: Path) -> None:
    """The register, the answer sheet and its evidence files. Raises OSError."""
    write_sheet(folder, "S10-I01", "演示车间", scenes())
    write_register(folder / "inputs/devices.csv", devices())


def visit(folder: Path, plan: Plan) -> None:
    """Play the evaluator on site: what is a device bears its serial and vanishes unplugged; the others do not."""
    visit_devices(folder, plan, "S10-I02", {device.serial for device in devices()[:TRUE_DEVICES]})


def scenes() -> tuple[Visit, ...]:
    """One look at each scene."""
    observed = "现场操作一次,业务正常,流量经 5G 承载"
    return tuple(
        Visit(f"S10-I01-{n:02d}", scene, "业务在 5G 承载下真实运行", observed) for n, scene in enumerate(SCENES, 1)
    )


def case_text(place: Place) -> str:
    """The demonstration's case.yaml."""
    import json

    counting = {
        "register": register_params("inputs/devices.csv"),
        "sources": [source_params("127.0.0.1", place.broker)],
        "window_s": WINDOW_S,
        "audit": {"file": "inputs/audit.csv", "size": SAMPLE},
    }
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
target: {{kind: simulator, site: 本机环回接口, version: {place.broker_name}, condition: 内置标准器}}
acceptance:
  content: [S10-I01, S10-I02, S10-I03]
  method: {{environment: 本机环回接口, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
commitments:
  S10-I01: {{baseline: 0 个, target: 不少于5个, define: {{scenes: {"、".join(SCENES)}}}}}
  S10-I02:
    baseline: 20 台
    target: 不少于{COMMITTED_DEVICES}台(套)
    define: {{direct_5g: 不要求, behind_gateway: 按设备序列号分别计, simultaneity: 同一观察窗口内在线}}
  S10-I03:
    baseline: 8 ms
    target: ≤ 2 ms
    define:
      direction: 往返
      endpoints: 本机测量端与本机反射器
      packet: 152 字节,平均每 5 ms 一包
      load: 空载
      statistic: P99
      clock: 单端计时,不需要同步
measure:
  S10-I01: {{probe: inspection}}
  S10-I02: {{probe: devices, params: {json.dumps(counting, ensure_ascii=False)}}}
  S10-I03:
    probe: rtt
    params: {{host: 127.0.0.1, port: {place.reflector}, key_file: {KEY}, count: 1500, interval_ms: 5}}
    rule: {{attempts: {ATTEMPTS}}}
inspections:
  S10-I01:
    sheet: inputs/S10-I01.yaml
    items:
{checklist(scenes())}
"""


DEMO = Demo(stand, visit, {"S10-I03": ATTEMPTS})
