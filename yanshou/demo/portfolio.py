"""All demonstrations, one after the other, and a page of what they came to.

Each is a process of its own, so that none can harm another and each one's time and memory are its own. What the page says of a
demonstration is what its package says when it is verified again; it must never take a verdict from anywhere else.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from yanshou.harness.basics import ExitCode, Json, Problem, UserError
from yanshou.harness.evidence import canonical, digest_file, write_atomic
from yanshou.harness.identity import tool_identity
from yanshou.harness.listing import load_list
from yanshou.harness.model import Verdict
from yanshou.harness.verify import verify
from yanshou.reports.display import limit_text, verdict_text
from yanshou.show import measured

TEMPLATE = Path(__file__).with_name("portfolio.html.j2")
PAGE, DATA = "portfolio.html", "portfolio.json"
FORMAT = "yanshou/portfolio/1"


@dataclass(frozen=True)
class Cost:
    """How a demonstration's process ended and what it took: seconds of wall clock, of processors, bytes of its largest process.

    The last two are None where the system does not tell, or tells of another process.
    """

    exit_code: int
    seconds: float
    cpu_seconds: float | None
    peak_bytes: int | None


@dataclass(frozen=True)
class Line:
    """One indicator as the page prints it."""

    id: str
    name: str
    asked: str
    measured: str
    verdict: str


@dataclass(frozen=True)
class Entry:
    """One scenario. Paths are relative to the portfolio's folder, "" where there is none; `problem` says what went wrong."""

    scenario: int
    name: str
    cost: Cost
    exit_code: int
    verdict: str = ""
    lines: tuple[Line, ...] = ()
    experts: int = 0
    report: str = ""
    pdf: str = ""
    package: str = ""
    package_sha256: str = ""
    log: str = ""
    problem: str = ""


def play_all(folder: Path, scenarios: Iterable[int], tell: Callable[[str], None]) -> tuple[Entry, ...]:
    """Every demonstration below `folder`, and PAGE and DATA in it. One that fails does not stop the others. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    wanted = list(scenarios)
    for at, scenario in enumerate(wanted, 1):
        tell(f"▶ {at}/{len(wanted)} 场景 {scenario} ……")
        cost = _play_one(folder, scenario)
        entries.append(entry(folder, scenario, cost))
        tell(_told(entries[-1]))
        write(folder, entries)  # whoever stops early has what there is
    return tuple(entries)


def place(scenario: int) -> str:
    """The folder of a scenario's demonstration."""
    return f"s{scenario:02d}"


def _play_one(folder: Path, scenario: int) -> Cost:
    """Run it, its output beside its folder."""
    command = [sys.executable, "-m", "yanshou", "demo", "--scenario", str(scenario), str(folder / place(scenario))]
    begun = time.monotonic()
    with (folder / f"{place(scenario)}.txt").open("wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            code, cpu, peak = _await(child)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    return Cost(code, time.monotonic() - begun, cpu, peak)


def _await(child: subprocess.Popen[bytes]) -> tuple[int, float | None, int | None]:
    """Exit code, processor seconds, and bytes of the largest process of the child and those that it waited for."""
    if sys.platform == "win32":
        return child.wait(), None, None
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return child.returncode, used.ru_utime + used.ru_stime, peak(used.ru_maxrss * unit, _own_peak())


def _own_peak() -> int:
    """This process's largest memory so far, bytes; 0 where the system does not tell it apart from that of who started it."""
    try:
        told = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("VmHWM:")), 0)


def peak(counted: int, own: int) -> int | None:
    """What the system counted as a child's largest memory, bytes; None where that may be ours.

    A child begins as a copy of the process that starts it, and Linux counts that copy's memory as the child's own.
    """
    return counted if counted > own else None


def entry(folder: Path, scenario: int, cost: Cost) -> Entry:
    """What a demonstration left in `folder`: its package is verified here, and says everything else. Raises OSError."""
    names = {s.number: s.name.restored for s in load_list().scenarios}
    home, log = place(scenario), f"{place(scenario)}.txt"
    bare = Entry(scenario, names.get(scenario, ""), cost, _exit_code(cost.exit_code), log=_relative(folder, log))
    packages = sorted((folder / home / "package").glob("*.zip"))
    if len(packages) != 1:
        why = _last_line(folder / log) or "没有留下数据包"
        return replace(bare, exit_code=max(bare.exit_code, int(ExitCode.FAIL)), problem=why)
    (package,) = packages
    kept = replace(
        bare,
        package=package.relative_to(folder).as_posix(),
        package_sha256=digest_file(package),
        report=_relative(folder, f"{home}/report/report.html"),
        pdf=_relative(folder, f"{home}/report/report.pdf"),
    )
    problems, record = _verified(package)
    if record is None or problems:
        why = str(problems[0]) if problems else "没有可以重放的记录"
        return replace(kept, exit_code=max(bare.exit_code, int(ExitCode.UNVERIFIED)), problem=why)
    lines = tuple(
        Line(
            f["indicator"],
            f["name"],
            f["commitment_text"] if f.get("change") else limit_text(f["limit"]),
            measured(f),
            f["verdict"],
        )
        for f in record["findings"]
    )
    return replace(
        kept,
        verdict=record["verdict"],
        lines=lines,
        experts=sum(any(r["code"] == "expert_review" for r in q["reasons"]) for q in record["qualitative"]),
        problem=f"演示以退出码 {bare.exit_code} 结束" if bare.exit_code else "",
    )


def _verified(package: Path) -> tuple[list[Problem], Mapping[str, Json] | None]:
    try:
        found = verify(package, None)
    except UserError as error:
        return list(error.problems), None
    return found.problems, found.record


def _exit_code(code: int) -> int:
    """What ended in no way of the contract, as by a signal, is a defect of ours."""
    return code if code in {int(c) for c in ExitCode} else int(ExitCode.INTERNAL)


def _relative(folder: Path, name: str) -> str:
    return name if (folder / name).is_file() else ""


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def worst(entries: Iterable[Entry]) -> int:
    """The exit code of all: the contract's codes are ordered by how bad they are."""
    return max((e.exit_code for e in entries), default=int(ExitCode.OK))


def write(folder: Path, entries: Sequence[Entry]) -> None:
    """PAGE and DATA of what there is so far. Raises OSError."""
    write_atomic(folder / DATA, canonical(to_json(entries)) + b"\n")
    write_atomic(folder / PAGE, page(entries))


def to_json(entries: Sequence[Entry]) -> dict[str, Json]:
    """The machine's form."""
    tool = tool_identity()
    return {
        "format": FORMAT,
        "tool": {"version": tool.version, "commit": tool.commit, "dirty": tool.dirty, "sha256": tool.sha256},
        "exit_code": worst(entries),
        "demos": [asdict(e) for e in entries],
    }


def page(entries: Sequence[Entry]) -> bytes:
    """The page: one file that loads nothing."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    tool = tool_identity()
    verdicts = {v.value: verdict_text(v.value) for v in Verdict}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        entries=entries,
        verdicts=verdicts,
        verified=sum(bool(e.verdict) for e in entries),
        passed=sum(line.verdict == Verdict.PASS for e in entries for line in e.lines),
        measured=sum(len(e.lines) for e in entries),
        seconds=sum(e.cost.seconds for e in entries),
        peak=size(max((e.cost.peak_bytes or 0 for e in entries), default=0)),
        size=size,
        tool=f"yanshou {tool.version} {tool.commit or '非版本库'}{'+改动' if tool.dirty else ''}",
        data_sha256=hashlib.sha256(canonical(to_json(entries)) + b"\n").hexdigest(),
    )
    return text.encode()


def size(count: int | None) -> str:
    """Bytes for people."""
    return f"{count / 2**20:.0f} MiB" if count else "—"


def _told(e: Entry) -> str:
    if not e.verdict:
        return f"✘ 场景 {e.scenario}：{e.problem}"
    cost = f"{e.cost.seconds:.0f} s，峰值内存 {size(e.cost.peak_bytes)}"
    return f"{verdict_text(e.verdict)}　场景 {e.scenario} {e.name}：{len(e.lines)} 项，数据包核验通过；{cost}"
