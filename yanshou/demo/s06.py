"""Scenario 6 “北斗技术应用示范”, live: imaginary receivers on real pseudo-terminals, one standing, one driven; and the scale arms.

The receivers run in processes of their own. Who moves the antenna, switches satellite systems off and hands in the true trajectory
after the drive is played too, when the instrument asks for it: the same way a person would be asked.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.demo.play import Demo, Standing
from yanshou.demo.s06_receiver import (
    DRIVE,
    RATE_HZ,
    SIGMA_MM,
    STOPS_MM,
    TALKERS,
    TAU_S,
    Motion,
    Running,
    running,
)
from yanshou.demo.s06_scale import (
    CHEATS,
    COMMITTED_NODES,
    POINTS,
    TRUE_AREA_M2,
    TRUE_NODES,
    TRUE_STREETS,
    area_params,
    nodes_params,
    streets_params,
    visit_nodes,
    visit_points,
    write_scale,
)
from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.gnss.moving import way
from yanshou.probes.gnss.reference import ARM, ORIGIN, trajectory_csv

if TYPE_CHECKING:
    from yanshou.probes.capturing import Answered

DURATION_S: dict[Motion, float] = {"static": 62.0, "dynamic": 38.0}
LEAST_S = 20.0
"""Four hundred correlation times of the imaginary receiver; a real one has to be judged over half an hour."""
TRUTH_HZ = 20
TRUTH = "inputs/trajectory.csv"
MARKS: dict[Motion, str] = {"static": "inputs/marks-static.csv", "dynamic": "inputs/marks-dynamic.csv"}
CHALLENGE = {"axis": "east", "offsets_mm": [*STOPS_MM[1:], 0.0], "least_wait_s": 2.0, "most_wait_s": 4.0,
             "move_s": 1.0, "settle_s": 3.0, "hold_s": 4.0}  # fmt: skip
OFF_S = 4.0
"""How long each system of satellites is off, and stays on before the next."""
OFF_AFTER_S: dict[Motion, float] = {"static": 35.0, "dynamic": 8.0}
"""From the beginning of a recording: the antenna is back on its mark by then."""
FRAME: dict[str, Any] = {"frame": "CGCS2000", "epoch": 2000.0}
U95_MM: dict[Motion, tuple[float, float]] = {"static": (0.5, 1.0), "dynamic": (2.0, 4.0)}
"""Horizontal and vertical, of what stands for the truth."""

_BOTH = {
    "statistic": "RMS",
    "baseline_length": "模拟，不涉及基准站；改正数框架 CGCS2000 历元 2000.0",
    "fix_rate": "固定解不少于应有历元的 95%；非固定解与缺失的历元都计入分母",
}
DEFINED: dict[Motion, dict[str, str]] = {
    "static": {
        **_BOTH,
        "truth": "模拟控制点，坐标已知",
        "environment": "无遮挡，无多径",
        "static_method": "逐历元",
        "duration": f"{DURATION_S['static']:g} s，含位移激励与关断试验",
    },
    "dynamic": {
        **_BOTH,
        "truth": "模拟车辆的已知轨迹，经姿态与杆臂归算到天线；驾驶结束后交出",
        "environment": "半径 80 m 的圆周，8 m/s，无遮挡",
    },
}
"""Answers to what the list leaves open."""


@dataclass
class Operator:
    """The person at the instrument, played. Knows what was asked by its words, as a person does."""

    folder: Path
    receivers: dict[Motion, Running]
    _began: dict[Motion, float] = field(default_factory=dict)

    def ask(self, request: str) -> Answered:
        """Do what is asked for; it is done at once."""
        motion: Motion = "static" if MARKS["static"] in request else "dynamic"
        if TRUTH in request and motion in self._began:
            self._hand_in_truth()
        elif TRUTH in request or MARKS["static"] in request:
            self._began[motion] = time.time()
            self._switch_off_and_on(motion)
        else:
            self.receivers["static"].order(time.time(), "slide", self._stop(request))
        return lambda: True

    def _stop(self, request: str) -> float:
        """The farthest that is named: each of the others is the first place, whose name is part of theirs."""
        return max((stop for stop in STOPS_MM if way("east", stop) in request), default=0.0)

    def _switch_off_and_on(self, motion: Motion) -> None:
        """Every system in turn, on whole seconds; the marks say when, and that a standing receiver fixes anew afterwards."""
        begin = math.ceil(self._began[motion]) + OFF_AFTER_S[motion]
        rows = ["utc,mark"]
        for number, name in enumerate(TALKERS):
            for what, moment in (("off", begin + 2 * number * OFF_S), ("on", begin + (2 * number + 1) * OFF_S)):
                self.receivers[motion].order(moment, what, name)
                rows.append(_mark(moment, f"{what} {name}"))
            if motion == "static":
                rows.append(_mark(moment, "session"))
        write_atomic(self.folder / MARKS[motion], "".join(f"{row}\n" for row in rows).encode())

    def _hand_in_truth(self) -> None:
        """Where the vehicle was until now."""
        start = self.receivers["dynamic"].start
        until = time.time() - start.timestamp()
        write_atomic(self.folder / TRUTH, trajectory_csv(DRIVE, start, until, TRUTH_HZ).encode())


def _mark(moment: float, what: str) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ},{what}"


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """Both receivers on pseudo-terminals; the case and its inputs in `folder`."""
    (folder / "inputs").mkdir(parents=True)
    write_scale(folder)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    with running("static", start) as static, running("dynamic", start) as dynamic:
        write_atomic(folder / "case.yaml", case_text(folder, static.port, dynamic.port).encode())
        text = (
            f"模拟接收机两台，静止的在 {static.port}，车上的在 {dynamic.port}，各 {RATE_HZ} Hz；终端清册 "
            f"{TRUE_NODES + sum(CHEATS.values())} 台，其中 {TRUE_NODES} 台如实；街道 {TRUE_STREETS} 个覆盖；"
            f"示范区 {TRUE_AREA_M2 / 1e6:g} km2"
        )
        yield Standing(text, Operator(folder, {"static": static, "dynamic": dynamic}).ask)


def visit(folder: Path, plan: Plan) -> None:
    """The people on site: terminals are looked at, points in the area are gone to."""
    visit_nodes(folder, plan)
    visit_points(folder, plan)


def gnss_params(motion: Motion, component: str, source: dict[str, Any]) -> dict[str, Any]:
    """What the instrument is told for one indicator."""
    horizontal, vertical = U95_MM[motion]
    known = {**FRAME, "u95_horizontal_mm": horizontal, "u95_vertical_mm": vertical}
    params = {
        "input": source,
        "component": component,
        "motion": motion,
        "rate_hz": RATE_HZ,
        "correction_frame": FRAME["frame"],
        "correction_epoch": FRAME["epoch"],
        "sources": list(TALKERS),
        "marks": MARKS[motion],
        "initialise_s": 2.0,
        "least_s": LEAST_S,
    }
    if motion == "dynamic":
        return params | {"truth": {"kind": "trajectory", "file": TRUTH, "format": "csv", "lever_arm_m": ARM, **known}}
    place = {"latitude": ORIGIN.latitude, "longitude": ORIGIN.longitude, "height_m": ORIGIN.height}
    antenna = {"before_m": 0.0, "after_m": 0.0, "output": "mark"}
    point = {"kind": "point", "id": "模拟控制点", **place, **known, "antenna": antenna}
    return params | {"truth": point, "observable": "epoch"}


def measures(folder: Path, static_port: str, dynamic_port: str) -> dict[str, Any]:
    """Indicator -> how it is measured."""

    def live(motion: Motion, port: str) -> dict[str, Any]:
        return {"kind": "serial", "port": port, "duration_s": DURATION_S[motion], "silence_s": 20.0}

    def of(indicator: str) -> dict[str, Any]:
        return {"kind": "run", "indicator": indicator}

    standing = gnss_params("static", "horizontal", live("static", static_port))
    gnss = {
        "S06-I01": gnss_params("dynamic", "horizontal", live("dynamic", dynamic_port)),
        "S06-I02": gnss_params("dynamic", "vertical", of("S06-I01")),
        "S06-I03": standing | {"challenge": CHALLENGE},
        "S06-I04": gnss_params("static", "vertical", of("S06-I03")) | {"challenge": CHALLENGE},
    }
    return {
        **{indicator: {"probe": "gnss", "params": params} for indicator, params in gnss.items()},
        "S06-I05": {"probe": "devices", "params": nodes_params(folder)},
        "S06-I06": {"probe": "coverage", "params": streets_params(folder)},
        "S06-I07": {"probe": "area", "params": area_params(folder)},
    }


def case_text(folder: Path, static_port: str, dynamic_port: str) -> str:
    """The demonstration's case.yaml."""
    measured = "\n".join(
        f"  {indicator}: {json.dumps(how, ensure_ascii=False)}"
        for indicator, how in measures(folder, static_port, dynamic_port).items()
    )
    spread = {motion: "/".join(f"{s:g}" for s in sigma) for motion, sigma in SIGMA_MM.items()}
    condition = f"东/北/高的标准差：静态 {spread['static']} mm，动态 {spread['dynamic']} mm"
    defined = {motion: json.dumps(define, ensure_ascii=False) for motion, define in DEFINED.items()}
    note = f"模拟接收机的误差为高斯-马尔可夫过程，相关时间 {TAU_S:g} s；真接收机以分钟计，须录得久得多"
    return f"""# 演示案卷：场景 6“北斗技术应用示范”。所有数据都来自本机的标准器，不是任何真实项目，也不是任何真实的接收机。
yanshou: 1
list: wuhan-2024
scenario: 6
mode: demo
report: {{number: DEMO-S06-0001}}
project:
  name: 演示项目：某地北斗应用示范
  lead: {{name: 演示单位(虚构)}}
evaluator: {{name: 演示评测机构(虚构), address: 本机, people: [{{name: 甲, role: tester}}, {{name: 乙, role: reviewer}}]}}
client: {{name: 演示委托方(虚构), contact: 无}}
target: {{kind: simulator, site: 本机伪终端, version: 模拟接收机, condition: "{condition}"}}
acceptance:
  content: [S06-I01, S06-I02, S06-I03, S06-I04, S06-I05, S06-I06, S06-I07]
  method: {{environment: 本机伪终端, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
commitments:
  S06-I01:
    baseline: 3 cm
    target: ≤ 2 cm
    define: &dynamic
      statistic: RMS
      truth: 模拟车辆的已知轨迹，经姿态与杆臂归算到天线；驾驶结束后交出
      baseline_length: 模拟，不涉及基准站；改正数框架 CGCS2000 历元 2000.0
      environment: 半径 80 m 的圆周,8 m/s,无遮挡
      fix_rate: 固定解不少于应有历元的 95%;非固定解与缺失的历元都计入分母
    note: {note}
  S06-I02: {{baseline: 6 cm, target: ≤ 4 cm, define: {defined["dynamic"]}, note: 取 S06-I01 同一次录取}}
  S06-I03:
    baseline: 1 cm
    target: ≤ 0.5 cm
    define: &static
      statistic: RMS
      truth: 模拟控制点，坐标已知
      baseline_length: 模拟，不涉及基准站；改正数框架 CGCS2000 历元 2000.0
      environment: 无遮挡，无多径
      fix_rate: 固定解不少于应有历元的 95%;非固定解与缺失的历元都计入分母
      static_method: 逐历元
      duration: {DURATION_S["static"]:g} s,含位移激励与关断试验
    note: {note}
  S06-I04: {{baseline: 2 cm, target: ≤ 1 cm, define: {defined["static"]}, note: 取 S06-I03 同一次录取}}
  S06-I05: {{baseline: 0 个, target: 不少于{COMMITTED_NODES}个, define: {{counting_unit: 终端，同一时段各有自己的定位流}}}}
  S06-I06: {{baseline: 0 个, target: 不少于2个, define: {{recognition: 街道界线内九成以上的 100 米格有固定解}}}}
  S06-I07:
    baseline: 0 km2
    target: 不少于10 km2
    define: {{boundary: 演示边界文件，随计划冻结摘要, availability: 面内随机抽 {POINTS} 点，到点 30 秒内得到固定解}}
measure:
{measured}
"""


DEMO = Demo(stand, visit)
