"""Facts about the machine that measures, as flat text for run records and reports. It must never change anything."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def host_facts() -> dict[str, str]:
    """Host, system, cores and load, as they are now."""
    load = " ".join(f"{x:.2f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "不可得"
    return {
        "主机": platform.node(),
        "系统": platform.platform(),
        "处理器": _cpu_model(),
        "核数": str(os.cpu_count()),
        "Python": platform.python_version(),
        "负载": load,
    }
