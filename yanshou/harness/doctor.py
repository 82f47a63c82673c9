"""Preflight of the machine: what it can do, what it lacks, and the line that mends it. It must never change anything."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from yanshou.harness import support
from yanshou.harness.basics import Json

FREE_BYTES = 2 << 30


@dataclass(frozen=True)
class Check:
    """One thing looked at. `needed`: without it no formal run should begin."""

    code: str
    ok: bool
    text: str
    remedy: str
    needed: bool = False

    def to_json(self) -> dict[str, Json]:
        """All fields."""
        return asdict(self)


def examine(folder: Path) -> list[Check]:
    """All checks, for a case (or any) folder."""
    return list(_checks(folder))


def _checks(folder: Path) -> Iterator[Check]:
    ok = sys.version_info >= (3, 11)
    yield Check("D01", ok, f"Python {sys.version.split()[0]}", "装 Python 3.11 或更新", needed=True)
    existing = next((p for p in (folder, *folder.resolve().parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    yield Check("D02", free > FREE_BYTES, f"剩余空间 {free / (1 << 30):.1f} GiB", "清出 2 GiB 以上", needed=True)
    yield Check("D03", os.access(existing, os.W_OK), f"可写 {existing}", "换一个可写的文件夹", needed=True)
    yield _module("D04", "typst", "PDF 排版引擎 typst", "pip install typst", needed=True)
    yield _module("D05", "zhplot", "随包中文字体(zhplot)", "pip install zhplot", needed=True)
    yield _module("D06", "gmssl_pyx", "SM2 签名(gmssl-pyx)", "pip install 'yanshou[guomi]'；只用 Ed25519 可不装")
    stamps = sys.platform == "linux"
    yield Check("D07", stamps, "内核收发时间戳(SO_TIMESTAMPING)", "时延测量请用 Linux；否则用户态时间戳，报告会注明")
    yield Check(
        "D08",
        _realtime(),
        "实时调度 SCHED_FIFO",
        "以 root 运行，或授予 CAP_SYS_NICE；没有也能测，尾部时延更易受本机负载影响",
    )
    cores = os.cpu_count() or 1
    yield Check("D09", cores >= 2, f"{cores} 个处理器核", "校准标准器要独占一个核")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    yield Check("D10", load < cores, f"负载 {load:.2f}", "停掉别的程序再测")
    remedy = "启用 chrony 或 systemd-timesyncd；往返时延不需要，单向时延与日志时间需要"
    yield Check("D11", _clock_synchronised(), "系统时钟由 NTP/PTP 同步", remedy)
    yield Check("D12", socket.has_ipv6, "IPv6", "只用 IPv4 可不管")
    yield from map(_instrument, support.SUPPORT)


def _instrument(name: str) -> Check:
    """What this very machine can do with one probe."""
    level, absent, told = support.level(name), support.missing(name), support.SUPPORT[name]
    ok = level in (support.Level.RUN, support.Level.PORTABLE) and not absent
    remedy = f"pip install 'yanshou[{told.extra}]'" if absent else "换 Linux 主机"
    return Check("D20", ok, f"{name}：{level.word}" + (f"（{told.note}）" if told.note and not ok else ""), remedy)


def _module(code: str, name: str, text: str, remedy: str, *, needed: bool = False) -> Check:
    return Check(code, importlib.util.find_spec(name) is not None, text, remedy, needed)


def _realtime() -> bool:
    """True when this process may ask for SCHED_FIFO; asked and given back at once."""
    if not hasattr(os, "sched_setscheduler"):
        return False
    before, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, before, param)
    return True


def _clock_synchronised() -> bool:
    """The kernel's own word: adjtimex state other than TIME_ERROR (5), where the call exists."""
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return int(libc.adjtimex(ctypes.create_string_buffer(256))) not in (-1, 5)
    except (OSError, AttributeError, TypeError):
        return False
