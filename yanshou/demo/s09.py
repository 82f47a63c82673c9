"""Scenario 9 “工业互联网规模化应用”, live: devices of before and since on a broker, software in Parquet, inspected modes.

Devices that were there before, and those that cheat, do not count; nor does software that was released before or never called.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from yanshou.demo.heading import heading
from yanshou.demo.play import Demo, Standing
from yanshou.demo.s10 import broker
from yanshou.demo.visits import Visit, checklist, look_up, visit_devices, write_sheet
from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.devices.simulate import (
    HEADER,
    VirtualDevice,
    fleet,
    register_params,
    running,
    source_params,
    write_register,
)

TRUE_DEVICES, OLD_DEVICES = 330, 40
"""New since the baseline, and in it."""
COMMITTED_DEVICES = 305
CHEATS = {"silent": 3, "constant": 1, "reused": 2, "copied": 1, "twice": 1, "ghosts": 2}
SAMPLE = 60
"""Devices visited on site: enough to show with 95 % that COMMITTED_DEVICES of those that count are real."""
SPEAK_S, WINDOW_S = 0.8, 8.0
MODES = ("智能化制造", "网络化协同", "服务化延伸", "数字化管理")
MODELS, APPS = 3, 2
OLD_SOFTWARE, UNCALLED, RENAMED = 2, 1, 1
"""Planted lines of the register of software: released before, never called, one package under another name."""
REGISTER, BASELINE, SOFTWARE = "inputs/devices.csv", "inputs/baseline.csv", "inputs/software.parquet"
COLUMNS = ("包摘要", "名称", "类别", "发布时间", "窗口内调用次数")


def devices() -> tuple[VirtualDevice, ...]:
    """Everything that connects, or is only written down: the first TRUE_DEVICES are new, the next OLD_DEVICES were there."""
    return fleet(TRUE_DEVICES + OLD_DEVICES, **CHEATS)


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """Broker and devices on loopback; the case and its inputs in `folder`."""
    with broker() as (port, name):
        write_inputs(folder)
        write_atomic(folder / "case.yaml", case_text(port, name).encode())
        everything = devices()
        with running("127.0.0.1", port, everything, interval_s=SPEAK_S):
            yield Standing(
                f"{name} 上 {sum(d.connected for d in everything)} 个连接，其中新增且如实 {TRUE_DEVICES} 台，"
                f"基线里 {OLD_DEVICES} 台；工业模型 {MODELS} 个、工业 APP {APPS} 个；模式 {len(MODES)} 种"
            )


def write_inputs(folder: Path) -> None:
    """Register, baseline, software (Parquet), the answer sheet and its evidence files. Raises OSError."""
    write_sheet(folder, "S09-I01", "演示工厂", modes())
    everything = devices()
    write_register(folder / REGISTER, everything)
    old = everything[TRUE_DEVICES : TRUE_DEVICES + OLD_DEVICES]
    write_atomic(folder / BASELINE, "".join(f"{x}\n" for x in (HEADER[0], *(d.serial for d in old))).encode())
    _write_parquet(folder / SOFTWARE, software())


def software() -> list[tuple[str, str, str, str, int]]:
    """Rows of the register of software, in an order that says nothing."""
    number = iter(range(1, 13))

    def row(kind: str, when: str | None = None, calls: int = 1200) -> tuple[str, str, str, str, int]:
        n = next(number)
        return (f"sm3:{n:064x}", f"演示{kind}{n}", kind, f"{when or f'2025-{n:02d}-11'} 08:00:00", calls)

    real = [row("工业模型") for _ in range(MODELS)] + [row("工业APP") for _ in range(APPS)]
    rows = [*real, *(row("工业APP", when="2023-02-02") for _ in range(OLD_SOFTWARE))]
    rows += [row("工业模型", calls=0) for _ in range(UNCALLED)]
    rows += [(known[0], f"{known[1]}(专业版)", *known[2:]) for known in real[:RENAMED]]
    random.Random(9).shuffle(rows)
    return rows


def _write_parquet(path: Path, rows: Sequence[Sequence[object]]) -> None:
    import duckdb

    columns = ", ".join(f'"{name}" {"INTEGER" if name == COLUMNS[-1] else "VARCHAR"}' for name in COLUMNS)
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE software ({columns})")
        db.executemany(f"INSERT INTO software VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        db.table("software").write_parquet(str(path))


def modes() -> tuple[Visit, ...]:
    """One look at each mode."""
    expected = "属六大模式之一;系统在生产使用,业务数据真实流动,责任部门能说明,现场操作一次成功"
    return tuple(
        Visit(
            f"S09-I01-{n:02d}",
            mode,
            expected,
            f"{mode}:系统在用,现场操作一次成功",
            ("系统截图", "数据流记录", "访谈记录"),
            named="six_modes",
        )
        for n, mode in enumerate(MODES, 1)
    )


def visit(folder: Path, plan: Plan) -> None:
    """Play the evaluator on site and at the register of software: what is there is found."""
    real = {device.serial for device in devices()[:TRUE_DEVICES]}
    visit_devices(folder, plan, "S09-I02", real)
    look_up(folder, plan, "S09-I03", "演示:登记证书与包摘要相符,平台上有调用记录")


def case_text(port: int, broker_name: str) -> str:
    """The demonstration's case.yaml."""
    connecting = {
        "register": register_params(REGISTER),
        "baseline": {"file": BASELINE, "id": HEADER[0], "date": "2024-12-31"},
        "new_only": True,
        "sources": [source_params("127.0.0.1", port)],
        "window_s": WINDOW_S,
        "audit": {"file": "inputs/visited.csv", "size": SAMPLE},
    }
    digest, _, _, released, calls = COLUMNS
    counting = {
        "file": SOFTWARE, "key": [digest], "time": released, "unit": "个",
        "window": {"start": "2024-07-01", "end": "2025-12-31"},
        "exclude": [{"code": "UNCALLED", "text": "窗口内没有调用", "column": calls, "equals": "0"}],
        "audit": {"file": "inputs/registered.csv", "size": MODELS + APPS},
    }  # fmt: skip
    content = ["S09-I01", "S09-I02", "S09-I03"]
    return f"""{heading(9, "工业互联网规模化应用", "某厂工业互联网", content, broker_name)}commitments:
  S09-I01: {{baseline: 1 种, target: 不少于3种, define: {{recognition: 系统在用、业务数据流、责任部门访谈、现场操作}}}}
  S09-I02:
    baseline: 0 台
    target: 不少于{COMMITTED_DEVICES}台(套)
    define:
      baseline_list: 2024-12-31 冻结的清单 {BASELINE}
      behind_gateway: 按设备序列号分别计
      report_rate: 观察窗口内至少三条数据、两个不同的值
  S09-I03: {{baseline: 0 个, target: 不少于2个, define: {{sum_or_each: 合计}}}}
measure:
  S09-I01: {{probe: inspection, params: {{unit: 种}}}}
  S09-I02: {{probe: devices, params: {json.dumps(connecting, ensure_ascii=False)}}}
  S09-I03: {{probe: records, params: {json.dumps(counting, ensure_ascii=False)}}}
inspections:
  S09-I01:
    sheet: inputs/S09-I01.yaml
    items:
{checklist(modes())}
"""


DEMO = Demo(stand, visit)
