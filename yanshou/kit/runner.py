"""What a capture kit does on a terminal: record what the frozen plan says, with a ledger of its own.

It is for evidence from where nothing can be installed. It must never analyse, judge or know a limit, never measure what is
not in its plan, and never send anything anywhere but to the far end of the plan. Runs on bare Python 3.8.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import secrets
import sys
import tempfile
import time
import traceback
import zipfile
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from yanshou.harness.basics import ExitCode, Json, ProbeError, Problem, RunStatus, UserError
from yanshou.harness.evidence import (
    Ledger,
    LedgerDamage,
    digest_file,
    disk_problem,
    recover,
    require_writable,
    sha256_bytes,
)
from yanshou.harness.host import host_facts
from yanshou.harness.recording import (
    CALIBRATION_TRIES,
    Job,
    Scale,
    Selection,
    due,
    fresh_calibration,
    measurement_meta,
    record_calibration,
    record_measurement,
)
from yanshou.harness.runs import KIT_SESSION, runs_of
from yanshou.harness.windows import in_window
from yanshou.probes.capturing import Progress, RunContext

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FORMAT = "yanshou/kit/1"
PLAN, ABOUT = "plan.lock.json", "kit.json"
"""In the archive: the plan as frozen, and what the kit must know of its probe."""
LIVE_SECONDS, LINE_SECONDS = 0.5, 5.0


class Settings(SimpleNamespace):
    """A probe's parameters without the package that checks them, which the evaluator's side has done."""

    def model_dump(self, mode: str) -> dict[str, Json]:
        """All of them: they came as JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class BareProbe:
    """The capture side of a probe. `defaults` are its parameters' own, for what its standards leave open."""

    name: str
    defaults: dict[str, Json]

    def _module(self, part: str) -> Any:
        return importlib.import_module(f"yanshou.probes.{self.name.replace('.', '_')}.{part}")

    def params(self, values: dict[str, Any]) -> Settings:
        """Complete parameters."""
        return Settings(**{**self.defaults, **values})

    def capture(self, params: Any, run: RunContext) -> None:
        """Record one run."""
        self._module("capture").capture(params, run)

    def points(self) -> tuple[float, ...]:
        """True values of its standards."""
        points: tuple[float, ...] = self._module("reference").POINTS
        return points

    def standard(self, true_value: float, run: RunContext) -> AbstractContextManager[dict[str, Any]]:
        """A running standard."""
        context: AbstractContextManager[dict[str, Any]] = self._module("reference").standard(true_value, run)
        return context


@dataclass(frozen=True)
class Kit:
    """An archive that was read: its digest, the plan that it holds and the plan's, and its probe."""

    path: Path
    sha256: str
    plan: dict[str, Any]
    plan_sha256: str
    title: str
    probe: BareProbe
    scale: Scale
    left_out: tuple[tuple[str, str | None], ...]
    """(indicator, condition) that it cannot record: they need more than a terminal has."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What the plan lets be measured."""
        return tuple(self.plan["subjects"])

    def jobs(self) -> list[Job]:
        """Everything that the plan lets this probe measure here."""
        return [
            Job(
                i["id"], s["condition"], s["window"], i["attempts"], self.probe.name,
                s["instrument"]["version"], s["instrument"]["params"], i["seed"], i["together"],
            )
            for i in self.plan["indicators"]
            if i["instrument"]
            for s in i["conditions"] or ({"condition": None, "window": None, "instrument": i["instrument"]},)
            if s["instrument"]["probe"] == self.probe.name and (i["id"], s["condition"]) not in self.left_out
        ]  # fmt: skip


def read_kit(path: Path) -> Kit:
    """The archive at `path`. Raises UserError KIT-E01."""
    try:
        with zipfile.ZipFile(str(path)) as archive:
            plan, about = archive.read(PLAN), json.loads(archive.read(ABOUT))
        content = json.loads(plan)
        return Kit(
            path, digest_file(path), content, sha256_bytes(plan), about["title"],
            BareProbe(about["probe"], about["defaults"]), Scale(**about["scale"]),
            tuple((indicator, condition) for indicator, condition in about["left_out"]),
        )  # fmt: skip
    except (OSError, zipfile.BadZipFile, LookupError, TypeError, ValueError):
        text = "读不出采集包的内容"
        raise UserError(Problem("KIT-E01", text, "重新复制采集包，整个文件运行，不要解开", path)) from None


class Screen:
    """Lines for a person; on a terminal the last one is live."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._due = 0.0
        self._open = False

    def line(self, text: str) -> None:
        """A whole line."""
        self._end()
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def problem(self, problem: Problem) -> None:
        """What went wrong, on standard error."""
        self._end()
        sys.stderr.write(f"{problem}\n")
        sys.stderr.flush()

    def opened(self, what: str, number: int) -> None:
        """A run begins."""
        self.line(f"运行 {number:04d} {what} 开始")

    def news(self, news: Progress) -> None:
        """Live news of a capture, now and then: the capture waits for it."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (LIVE_SECONDS if self._live else LINE_SECONDS)
        text = f"  {news.done}/{news.planned} 丢失 {news.lost} {news.text}".rstrip()
        sys.stdout.write(f"\r{text}\033[K" if self._live else f"{text}\n")
        sys.stdout.flush()
        self._open = self._live

    def _end(self) -> None:
        if self._open:
            sys.stdout.write("\n")
            self._open = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(Problem("KIT-E02", f"命令行看不懂：{message}", "加 --help 看用法，加 --list 看能录什么"))


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="kit.pyz", description="验收采集包：按冻结的计划在这台终端上录取证据，带回后收入案卷。", add_help=False
    )
    options = parser.add_argument_group("选项")
    options.add_argument("-h", "--help", action="help", help="显示用法")
    options.add_argument("--list", action="store_true", help="列出计划里能用它录的，不录")
    options.add_argument("--subject", action="append", default=[], metavar="名称", help="这台终端是哪个受检对象")
    options.add_argument("--condition", action="append", default=[], metavar="工况", help="只录这个工况，可多次给出")
    options.add_argument("--only", action="append", default=[], metavar="指标", help="只录这个指标，可多次给出")
    options.add_argument("--again", action="store_true", help="对 --only 的指标再用掉计划内的一次")
    options.add_argument("-o", "--output", metavar="文件夹", help="证据写到哪里；再次运行接着写")
    return parser.parse_args(given)


def list_lines(kit: Kit) -> list[str]:
    """What the kit can record."""
    lines = [f"采集包 {kit.title} 版本 {kit.scale.version} sha256:{kit.sha256}", f"冻结的计划 sha256:{kit.plan_sha256}"]
    names = {i["id"]: i["name"] for i in kit.plan["indicators"]}
    for job in kit.jobs():
        condition = f" 工况“{job.condition}”" if job.condition else ""
        window = f" 时段 {job.window}（北京时间）" if job.window else ""
        params = json.dumps(job.params, ensure_ascii=False, sort_keys=True)
        lines.append(f"{job.indicator} {names[job.indicator]}{condition}{window} 计划 {job.attempts} 次 {params}")
    lines += [f"{' '.join(filter(None, item))} 不能在终端上录，在装有 yanshou 的主机上测" for item in kit.left_out]
    return [*lines, f"受检对象：{'、'.join(kit.subjects)}" if kit.subjects else "受检对象：只有一个，不用 --subject"]


def begin(kit: Kit, ledger: Ledger) -> str:
    """Begin the ledger, or check that it is this kit's; the ledger's own random name. Raises UserError KIT-E03."""
    if not ledger.records:
        ledger.append(
            "kit", format=FORMAT, probe=kit.probe.name, plan_sha256=kit.plan_sha256, kit_sha256=kit.sha256,
            tool_sha256=kit.plan["tool"]["sha256"], name=secrets.token_hex(16), host=host_facts(),
        )  # fmt: skip
    first = ledger.records[0]
    if (first["kind"], first.get("kit_sha256")) != ("kit", kit.sha256):
        raise UserError(Problem("KIT-E03", "这个文件夹不是这个采集包录的", "用 -o 换一个新文件夹", ledger.folder))
    return str(first["name"])


def _session(name: str) -> str:
    """This ledger on this machine since it was started: what a calibration holds good for."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        boot = secrets.token_hex(16)
    return hashlib.sha256(f"{name} {boot}".encode()).hexdigest()[:16]


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017  datetime.UTC came with Python 3.11


def _calibrated(kit: Kit, ledger: Ledger, host: dict[str, str], screen: Screen) -> bool:
    """Whether there is a calibration of this session, made now if need be. What it says is for the evaluator's side to find."""
    if fresh_calibration(runs_of(ledger.records), kit.probe.name, kit.scale.version, host, _now()):
        return True
    for _ in range(CALIBRATION_TRIES):
        screen.line("用标准器校准仪器，须安静，请勿使用本机")
        try:
            record_calibration(ledger, kit.probe, kit.scale, host, screen.news)
        except ProbeError as error:
            screen.problem(error.problem)
        else:
            return True
    return False


def record(kit: Kit, folder: Path, selection: Selection, screen: Screen) -> ExitCode:
    """Record what is due. Raises UserError (nothing recorded), KeyboardInterrupt (the run under way is closed first), OSError."""
    if len(kit.subjects) > 1 and not selection.subjects:
        text = "没有写明这台终端是哪个受检对象"
        raise UserError(Problem("KIT-E04", text, f"加 --subject，可选：{'、'.join(kit.subjects)}"))
    folder.mkdir(parents=True, exist_ok=True)
    require_writable(folder)
    code = ExitCode.OK
    with Ledger(folder) as ledger:
        name = begin(kit, ledger)
        recover(ledger)
        selected = due(kit.jobs(), kit.subjects, selection, runs_of(ledger.records))
        if not selected:
            screen.line("要录的都已录完；再用掉计划内的一次：--again --only 指标")
        for subject, job in selected:
            what = " ".join(filter(None, (job.indicator, subject, job.condition)))
            if not in_window(job.window, _now()):
                text = f"{what} 约定在 {job.window}（北京时间），现在不录"
                screen.problem(Problem("P-WINDOW", text, "核对本机时钟，到时再运行"))
                code = max(code, ExitCode.UNDECIDED)
                continue
            host = {**host_facts(), KIT_SESSION: _session(name)}
            if not _calibrated(kit, ledger, host, screen):
                screen.problem(Problem("KIT-E05", "仪器没有校准成，没有录：未校准的测量不作数", "排除上述原因后再运行"))
                return ExitCode.UNDECIDED
            meta = measurement_meta(job, subject, kit.plan_sha256, host)
            ending = record_measurement(
                ledger, kit.probe, job, meta, kit.path.parent, screen.news,
                partial(screen.opened, what),
            )  # fmt: skip
            for problem in ending.problems:
                screen.problem(problem)
            screen.line(f"运行 {ending.number:04d} {what} {ending.status.word} {ending.reason}".rstrip())
            if ending.interrupted:
                raise KeyboardInterrupt
            if ending.status is not RunStatus.COMPLETED:
                code = max(code, ExitCode.INTERNAL if ending.status is RunStatus.CRASHED else ExitCode.UNDECIDED)
        screen.line(f"台账 {len(ledger.records)} 条，末端 {ledger.head[:16]} → 请见证人抄录，事后删改尾部即可发现")
    screen.line(f"把整个文件夹 {folder} 带回，运行 yanshou run 案卷 --from {folder}")
    return code


def run(archive: Path, given: list[str]) -> ExitCode:
    """The whole command. Raises UserError, LedgerDamage, KeyboardInterrupt, OSError."""
    arguments = _arguments(given)
    kit, screen = read_kit(archive), Screen()
    if arguments.list:
        for line in list_lines(kit):
            screen.line(line)
        return ExitCode.OK
    if arguments.output is None:
        raise UserError(Problem("KIT-E02", "没有写明证据写到哪里", "加 -o 文件夹"))
    selection = Selection(arguments.only, arguments.subject, arguments.condition, arguments.again)
    return record(kit, Path(arguments.output), selection, screen)


def _stop(*problems: Problem) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")


def main(archive: str) -> NoReturn:
    """Entry point: every ending is an exit code of the contract and at most a few lines."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = run(Path(archive), sys.argv[1:])
    except UserError as error:
        _stop(*error.problems)
        code = error.exit_code
    except LedgerDamage as damage:
        _stop(Problem("V-L01", damage.text, "从副本恢复台账，或用 -o 换一个新文件夹", damage.path, damage.line))
        code = ExitCode.UNVERIFIED
    except KeyboardInterrupt:
        sys.stderr.write("已中断；已确认的数据都在，再次运行即可继续\n")
        code = ExitCode.INTERRUPTED
    except OSError as error:
        _stop(disk_problem(error, Path(error.filename or ".")))
        code = ExitCode.INTERNAL
    except Exception as error:
        descriptor, name = tempfile.mkstemp(prefix="yanshou-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as f:
            f.write(traceback.format_exc())
        _stop(Problem("E-INTERNAL", f"内部错误 {type(error).__name__}: {error}", f"请把 {name} 交给开发者"))
        code = ExitCode.INTERNAL
    sys.exit(int(code))
