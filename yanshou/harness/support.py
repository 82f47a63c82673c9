"""Which instrument can do what on which system: the table that `doctor` speaks from and the README prints.

It is for deciding what to bring before going on site. It must never claim more than was run: everything is run on Linux by the
tests, nothing has been run on Windows or macOS yet, and there "portable" only says that no call of Linux is in the way.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How well an instrument does on a system: the mark in the table and the word beside it."""

    RUN = ("✔", "能测，由测试运行过")
    PORTABLE = ("○", "应能测，没有在这个系统上运行过")
    LIMITED = ("△", "能测一部分")
    NO = ("✘", "不能测")

    @property
    def mark(self) -> str:
        """One character."""
        return self.value[0]

    @property
    def word(self) -> str:
        """What the mark means."""
        return self.value[1]


@dataclass(frozen=True)
class Support:
    """One instrument: how it does on Windows and macOS (on Linux it is run), what beyond the core it needs, what to know."""

    elsewhere: Level
    note: str = ""
    modules: tuple[str, ...] = ()
    extra: str = ""


_STAMPS = "内核时间戳与 TUN 标准器只在 Linux；别处用户态计时，正式验收无法校准"
_PORTABLE = Support(Level.PORTABLE)
SUPPORT = {
    "rtt": Support(Level.LIMITED, _STAMPS),
    "rtt.icmp": Support(Level.NO, "收发时间戳与标准器都要 Linux"),
    "rtt.mqtt": _PORTABLE,
    "rtt.http": _PORTABLE,
    "load": _PORTABLE,
    "records": Support(Level.PORTABLE, "PostgreSQL、MySQL 要 [databases]", ("psycopg", "pymysql"), "databases"),
    "inspection": _PORTABLE,
    "devices": Support(Level.LIMITED, "现场抓包只在 Linux；其余来源与已有的抓包文件不限"),
    "gnss": Support(Level.LIMITED, "标准器要伪终端，Windows 上校准不了；已有的记录可读"),
    "coverage": _PORTABLE,
    "area": _PORTABLE,
    "model.latency": Support(
        Level.LIMITED,
        "温度、调频与本机网口收发只在 Linux 读得出，上行也只在 Linux 监听得到；gRPC 要 [grpc]，ONNX 要 [onnx]",
        ("grpc", "onnxruntime"),
        "grpc,onnx",
    ),
    "model.weights": Support(Level.LIMITED, "服务进程实际打开的文件只在 Linux 看得到，别处只计数"),
    "model.actuation": Support(Level.PORTABLE, "MCAP、CAN 日志要 [logs]", ("mcap", "can", "cantools"), "logs"),
    "xr.frames": Support(Level.PORTABLE, "要 Chromium 或头显自带的浏览器；帧时间日志不要"),
    "sme.level": _PORTABLE,
    "bim.ids": Support(Level.PORTABLE, "要 [bim]", ("ifcopenshell", "ifctester"), "bim"),
    "chain.records": Support(
        Level.PORTABLE, "国密链要 [guomi]，长安链与 Fabric 要 [grpc]", ("gmssl_pyx", "grpc"), "guomi,grpc"
    ),
    "chain.nodes": Support(Level.PORTABLE, "同 chain.records", ("gmssl_pyx", "grpc"), "guomi,grpc"),
    "chain.crypto": Support(
        Level.PORTABLE, "要 [guomi]；长安链与 Fabric 另要 [grpc]", ("gmssl_pyx", "grpc"), "guomi,grpc"
    ),
    "chain.subjects": Support(Level.PORTABLE, "同 chain.records", ("gmssl_pyx", "grpc"), "guomi,grpc"),
}
"""Every probe by name."""


def level(probe: str, system: str | None = None) -> Level:
    """How `probe` does on `system` (as sys.platform has it), this one where none is given."""
    return Level.RUN if (system or sys.platform) == "linux" else SUPPORT[probe].elsewhere


def missing(probe: str) -> list[str]:
    """Optional modules that `probe` may need and that are not here."""
    return [name for name in SUPPORT[probe].modules if importlib.util.find_spec(name) is None]


def markdown() -> Iterator[str]:
    """The lines of the table in the README."""
    yield "| probe | Linux | Windows | macOS | 说明 |"
    yield "|---|---|---|---|---|"
    for name, support in SUPPORT.items():
        marks = [level(name, system).mark for system in ("linux", "win32", "darwin")]
        yield f"| `{name}` | {' | '.join(marks)} | {support.note} |"
    yield ""
    yield "　".join(f"{each.mark} {each.word}" for each in Level)
