"""Cases and helpers that the end-to-end tests share: everything goes through the real command line."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from yanshou.cli import main
from yanshou.probes.records.analyse import sample_keys
from yanshou.probes.records.spec import Params

EXPORTED = 118
FIRST_DAY = date(2025, 3, 3)
YANSHOU = [sys.executable, "-m", "yanshou"]


def yanshou(*arguments: object, prefix: Sequence[str] = (), timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line and wait."""
    command = [*prefix, *YANSHOU, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def in_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in this process, which spares its start: exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(arguments, end.value.code, out.getvalue(), err.getvalue())


def demonstration(scenario: int, folder: Path) -> Path:
    """The case folder that `yanshou demo` of a scenario leaves below `folder`."""
    done = yanshou("demo", "--scenario", scenario, folder / "case")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "case"


def passed_and_verified(case: Path) -> dict:
    """The record of a demonstration in which all is 符合 and calibrated, and whose package verifies."""
    record = record_of(case)
    assert (record["verdict"], record["marking"]) == ("pass", "演示数据")
    assert all(f["calibration"]["within"] for f in record["findings"] if f["calibration"])
    done = yanshou("verify", package_of(case), "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["limits"], answer["verdict"]) == (0, True, [], "pass")
    return record


@dataclass
class Listening:
    """A command that serves pages: its process, what it said before it waited, and the address to open."""

    process: subprocess.Popen[str]
    said: str
    url: str

    @property
    def base(self) -> str:
        return self.url.partition("/t/")[0]


@contextmanager
def listening(*arguments: object, **environment: str) -> Iterator[Listening]:
    """Run a command that serves pages until it says how to end it; ends it so (Ctrl-C), if it still runs, without a complaint."""
    command = [*YANSHOU, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        try:
            yield Listening(process, said, re.findall(r"https?://\S+", said)[0])
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                rest, _ = process.communicate(timeout=60)
                assert process.returncode == 0, rest
                assert "Traceback" not in rest


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


def package_of(folder: Path) -> Path:
    """The one package of a case."""
    (package,) = (folder / "package").glob("*.zip")
    return package


def record_of(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_bytes())


def finding(folder: Path, indicator: str = "S10-I03") -> dict:
    return next(f for f in record_of(folder)["findings"] if f["indicator"] == indicator)


def device_export(seed: int = 10) -> str:
    """A platform's device export (CSV) with exactly EXPORTED devices that count, among rows that must not."""
    rng = random.Random(seed)
    rows: list[list[str]] = []

    def row(serial: str, state: str = "在线", day: int | None = None) -> list[str]:
        offset = rng.randrange(27) if day is None else day
        moment = f"{FIRST_DAY + timedelta(days=offset)} {rng.randrange(8, 20):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
        return [serial, rng.choice(["AGV", "机械臂", "工业相机", "CPE", "PLC"]), state, moment]

    serials = [f"WH5G{n:06d}" for n in rng.sample(range(1, 999_999), EXPORTED)]
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


def export_counting(sample: int) -> str:
    """The parameters (YAML) that count `device_export` with `records`, audited by `sample` rows."""
    return f"""    probe: records
    params:
      file: inputs/devices.csv
      key: [设备序列号]
      time: 最近上报时间
      window: {{start: {FIRST_DAY}, end: {FIRST_DAY + timedelta(days=27)}}}
      unit: 台(套)
      exclude:
        - {{code: TEST, text: 测试设备, column: 状态, equals: 测试}}
      audit: {{file: inputs/audit.csv, size: {sample}}}
"""


def write_audit(folder: Path, seed: int, params: dict) -> None:
    """Play the evaluator on site: every device that the frozen seed draws is found good."""
    checked = Params.model_validate(params)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*checked.key, "result", "note"])
    for key in sample_keys(folder, checked, seed):
        writer.writerow([*key, "好", "演示:现场核对铭牌"])
    (folder / "inputs/audit.csv").write_text(out.getvalue(), encoding="utf-8")
