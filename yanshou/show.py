"""What a person sees in the terminal: tables, progress with point and bound, verdict lines. It must never decide anything.

On a terminal progress is live; elsewhere it is plain lines. A verdict is always a sign and a word, never a colour alone.
"""

from __future__ import annotations

import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from yanshou.harness.basics import Json, Problem, RunStatus
from yanshou.harness.envelope import Document
from yanshou.harness.model import Kind, Samples, Verdict
from yanshou.harness.plan import Plan, PlannedIndicator, tolerated_exceedances
from yanshou.harness.sealing import ToSign
from yanshou.probes.capturing import Progress
from yanshou.reports.display import display, limit_text, verdict_text

STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "invalid": "magenta", "not_run": "dim"}
PLAIN_WIDTH = 120


def console(*, stderr: bool = False) -> Console:
    """A console that keeps tables readable where there is no terminal, and takes `:AB:` of a fingerprint for no picture."""
    found = Console(stderr=stderr, highlight=False, emoji=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, emoji=False, width=PLAIN_WIDTH)


def coloured(verdict: str) -> str:
    """Mark and word of a verdict, with a colour on top."""
    return f"[{STYLES[verdict]}]{verdict_text(verdict)}[/]"


def problems(lines: Iterable[Problem], out: Console) -> None:
    """One line each, unwrapped, so that editors can jump to file:line."""
    for p in lines:
        style = {"error": "red", "warning": "yellow"}.get(p.severity, "dim")
        out.print(str(p), style=style, markup=False, soft_wrap=True)


def signing(to_sign: ToSign, out: Console) -> None:
    """What is about to be signed: number, verdicts (limits of a plan), digests, the roster and who has signed."""
    plan = to_sign.document is Document.PLAN
    out.print(
        f"所签：{to_sign.document.word}　报告编号 {to_sign.number or '（未编号）'}　{to_sign.marking}", markup=False
    )
    table = Table()
    for heading in ("指标", "名称", "判定限值" if plan else "判定"):
        table.add_column(heading, overflow="fold")
    for indicator, name, said in to_sign.verdicts:
        last = escape(said or "") if plan else coloured(said) if said else "专家评议"
        table.add_row(escape(indicator), escape(name), last)
    out.print(table)
    for what, sha256 in to_sign.digests:
        out.print(f"{what} sha256:{sha256}", markup=False, soft_wrap=True)
    for signer in to_sign.roster:
        here = signer.key.id == to_sign.signer.key.id
        state = "✔ 已签" if signer.key.id in to_sign.signed else "→ 现在签" if here else "· 未签"
        line = f"{state} {signer}　{signer.key.algorithm.word} {signer.key.id[:16]}…"
        out.print(line, markup=False, soft_wrap=True)


def plan_table(plan: Plan) -> Table:
    """The dry run as a table."""
    table = Table(
        title=f"测试计划 · 场景 {plan.scenario} {plan.scenario_name} · {plan.mode.value}", title_justify="left"
    )
    for heading in ("指标", "名称", "判定限值", "统计量", "仪器", "样本（至少）", "可超限", "时长", "次数"):
        table.add_column(heading, overflow="fold")
    for i in plan.indicators:
        instrument = i.instrument
        tolerated = tolerated_exceedances(i)
        least = f" ({i.samples_needed})" if i.samples_needed else ""
        table.add_row(
            i.id,
            i.name + ("（恢复文字）" if i.list_source == "inferred" else ""),
            str(i.limit),
            "口径未定" if i.undefined else (i.statistic or "").upper() or "—",
            f"{instrument.probe} v{instrument.version}" if instrument else "未指定",
            f"{instrument.samples}{least}" if instrument and instrument.samples else "—",
            "—" if tolerated is None else str(tolerated),
            duration(instrument.seconds) if instrument else "—",
            str(i.attempts),
        )
    return table


def equipment_lines(plan: Plan) -> list[str]:
    """Everything to bring, once each."""
    return sorted({line for i in plan.indicators if i.instrument for line in i.instrument.equipment})


def duration(seconds: float) -> str:
    """A length of time for people; 由人掌握 where a person sets the pace."""
    if seconds <= 0:
        return "由人掌握"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def measured(finding: Mapping[str, Json]) -> str:
    """Value with its unit, and below it the bound that decides; losses in words."""
    if finding["value"] is None:
        return "∞（有丢失）" if "value" in finding["infinite"] else "—"
    limit = finding["limit"]
    value = display(finding["value"], limit)
    # the value of a yes/no indicator is how many items hold
    unit = "项" if finding["unit"] == "bool" else finding["unit"]
    name = "upper" if limit["op"] in ("<=", "<") else "lower"
    if finding[name] is None or finding[name] == finding["value"]:
        return f"{value} {unit}"
    return f"{value} {unit}\n界 {display(finding[name], limit)}"


def result_table(record: Mapping[str, Json]) -> Table:
    """The findings of a record."""
    marking = f" · {record['marking']}" if record["marking"] else ""
    table = Table(
        title=f"场景 {record['case']['scenario']} {record['case']['scenario_name']}{marking}", title_justify="left"
    )
    for heading in ("指标", "名称", "榜单", "承诺", "实测", "n", "次", "判定", "理由"):
        table.add_column(heading, overflow="fold")
    for f in record["findings"]:
        table.add_row(
            f["indicator"],
            f["name"],
            limit_text(f["list_limit"]),
            f["commitment_text"] if f.get("change") else limit_text(f["commitment_limit"]),
            measured(f),
            "—" if f["n"] is None else str(f["n"]),
            str(len(f["attempts"])),
            coloured(f["verdict"]),
            "; ".join(r["text"] for r in f["reasons"]),
        )
    return table


def conclusion(record: Mapping[str, Json]) -> str:
    """`2 符合 · 1 未测 → 结论:未测`."""
    parts = [f"{n} {Verdict(v).word}" for v, n in record["counts"].items() if n]
    return " · ".join(parts) + f" → 结论：{coloured(record['verdict'])}"


class TerminalObserver:
    """Shows a run as it goes: n, loss, point and bound against the limit."""

    PLAIN_SECONDS = 5.0

    def __init__(self, out: Console) -> None:
        self._out = out
        self._live = out.status("") if out.is_terminal else None
        self._indicator: PlannedIndicator | None = None
        self._values: list[float] = []
        self._last = 0.0
        self._label = ""
        self._asking = False

    def calibrating(self, probe: str) -> None:
        """A calibration begins."""
        self._begin(None, f"校准 {probe}")

    def started(self, run: int, indicator: PlannedIndicator, subject: str | None, condition: str | None) -> None:
        """A run begins."""
        who = "".join(f" [{x}]" for x in (subject, condition) if x)
        self._begin(indicator, f"运行 {run:04d} {indicator.id} {indicator.name}{who}")

    def _begin(self, indicator: PlannedIndicator | None, label: str) -> None:
        self._indicator, self._values, self._label = indicator, [], label
        self._last = time.monotonic()
        self._asking = False
        if self._live:
            self._live.start()
            self._live.update(label)
        else:
            self._out.print(label, markup=False)

    def news(self, news: Progress) -> None:
        """A line, or the live line, with what is known so far."""
        self._values.extend(news.values)
        now = time.monotonic()
        if self._live:
            if not self._asking:  # a request must stand still until it is answered
                self._live.update(self._line(news))
        elif now - self._last >= self.PLAIN_SECONDS:
            self._last = now
            self._out.print(self._line(news), markup=False)

    def _line(self, news: Progress) -> str:
        parts = [self._label, f"{news.done}/{news.planned}", f"丢失 {news.lost}", news.text]
        bound = self._bound() if self._indicator else ""
        return " · ".join(p for p in (*parts, bound) if p)

    def _bound(self) -> str:
        """Point and bound of the planned statistic over the values heard so far; the judge recomputes from evidence."""
        import numpy as np

        from yanshou.harness.judge import judge_run

        i = self._indicator
        if i is None or i.kind is not Kind.MEASURED or not self._values or i.instrument is None or i.change:
            return ""
        unit = _news_unit(i)
        values = np.asarray(self._values, dtype=np.float64)
        samples = Samples(unit, values, np.arange(values.size, dtype=np.float64), i.direction or "value")
        judged = judge_run(i.criterion(), samples, i.alpha, None)
        if judged.value is None:
            return "口径未定"
        side = judged.upper if i.limit.op.smaller_is_better else judged.lower
        value = "∞" if isinstance(judged.value, float) and math.isinf(judged.value) else f"{float(judged.value):.3f}"
        bound = "尚无界" if side is None else f"界 {float(side):.3f}"
        return f"{(judged.statistic or '').upper()} {value}，{bound}，限值 {i.limit}"

    def ask(self, text: str) -> Callable[[], bool] | None:
        """A line that stays until Enter is pressed; None where standard input is no terminal that can be looked at."""
        if os.name != "posix" or not sys.stdin.isatty():
            return None
        import termios

        self.stop()
        self._asking = True
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before is no answer
        if self._out.is_terminal:
            self._out.bell()
        self._out.print(f"▶ {text}，然后按回车", markup=False, soft_wrap=True)
        return self._answered

    def _answered(self) -> bool:
        """Whether a line was typed by now. Read below Python's buffers, which `select` cannot see."""
        if not select.select([sys.stdin], [], [], 0)[0] or not os.read(sys.stdin.fileno(), 4096):
            return False
        self._asking = False
        if self._live:
            self._live.start()
        return True

    def ended(self, run: int, status: RunStatus, reason: str) -> None:
        """The run is closed."""
        self.stop()
        self._out.print(
            f"运行 {run:04d} {status.word}" + (f":{reason}" if reason else ""), markup=False, soft_wrap=True
        )

    def problem(self, problem: Problem) -> None:
        """What stopped a run."""
        self.stop()
        problems([problem], self._out)

    def stop(self) -> None:
        """End the live line; what was printed stays."""
        if self._live:
            self._live.stop()


def _news_unit(indicator: PlannedIndicator) -> str:
    """Progress values come in the unit of the probe's own scale."""
    from yanshou.probes.contract import Probe

    assert indicator.instrument is not None
    return Probe(indicator.instrument.probe).spec.unit


def status_lines(state: Any) -> Iterable[str]:
    """What a case folder holds, run by run."""
    for run in state.runs:
        word = run.status.word if run.status else "进行中（或被杀，下次启动时收尾）"
        what = run.indicator or f"校准 {run.meta['probe']}"
        subject = "".join(f" [{x}]" for x in (run.subject, run.condition) if x)
        tail = " · 有未确认的尾部" if run.tail else ""
        place = f" · 采集包在 {run.meta['host'].get('主机')} 上录" if run.origin else ""
        yield f"{run.number:04d} {what}{subject} {word} {run.size} 字节{tail}{place} {run.status_reason}".rstrip()
