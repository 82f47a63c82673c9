"""Cases and helpers that the end-to-end tests share: everything goes through the real command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

YANSHOU = [sys.executable, "-m", "yanshou"]


def yanshou(*arguments: object, prefix: Sequence[str] = (), timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line and wait."""
    command = [*prefix, *YANSHOU, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def latency_case(
    folder: Path, host: str, port: int, *, count: int = 1000, interval_ms: float = 2, **rule: object
) -> Path:
    """A self-check case with nothing but a fully defined S10-I03."""
    rules = json.dumps(rule) if rule else "{}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 10
mode: self-check
project: {{name: 时延自检, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 网络命名空间}}
commitments:
  S10-I03:
    baseline: 5 ms
    target: ≤ 2 ms
    define: {{direction: 往返, endpoints: 两个网络命名空间, packet: 44 字节, load: 空载, statistic: P99, clock: 单端计时}}
measure:
  S10-I03:
    probe: rtt
    params: {{host: {host}, port: {port}, count: {count}, interval_ms: {interval_ms}}}
    rule: {rules}
""",
        encoding="utf-8",
    )
    return folder


@contextmanager
def reflector(
    delay_ms: float = 0.0, bind: str = "127.0.0.1", port: int = 0, prefix: Sequence[str] = ()
) -> Iterator[int]:
    """`yanshou reflect` as a process of its own; yields its port."""
    command = [*prefix, *YANSHOU, "reflect", "--bind", bind, "--port", str(port), "--delay", str(delay_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            yield int(line.split(f"{bind}:")[1].split()[0])
        finally:
            process.terminate()


def record_of(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_bytes())


def finding(folder: Path, indicator: str = "S10-I03") -> dict:
    return next(f for f in record_of(folder)["findings"] if f["indicator"] == indicator)
