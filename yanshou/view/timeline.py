"""The ledger as a picture: what was planned, every run with its end, every signature, in the order in which they happened. Pure.

Moments stand at equal distances, since weeks may lie between a plan and its runs and milliseconds between two runs; how long
nothing happened is written between them. It must never leave out a run: what does not fit is counted, and listed below the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from yanshou.harness.basics import Json, RunStatus
from yanshou.harness.envelope import Role
from yanshou.harness.plan import Plan
from yanshou.harness.runs import MEASUREMENT, Run
from yanshou.reports.display import BEIJING

MOST = 240
"""Things that are drawn."""
STEP, HIGH, EDGE = 34, 40, 30
"""Pixels between two moments, of a lane, and before the first moment."""
PAUSE_S = 3600.0


@dataclass(frozen=True)
class Mark:
    """One thing that happened: from `x` over `width` pixels in lane `lane`. `run`: its number, 0 for what is no run."""

    lane: int
    x: float
    width: float
    text: str
    status: str
    run: int
    told: str


@dataclass(frozen=True)
class Timeline:
    """Lanes with their names and what was planned there, marks, times below, and pauses; `left_out` was not drawn."""

    lanes: tuple[tuple[str, str], ...]
    marks: tuple[Mark, ...]
    times: tuple[tuple[float, str, str], ...]
    pauses: tuple[tuple[float, str], ...]
    left_out: int

    @property
    def width(self) -> float:
        """Pixels."""
        return 2 * EDGE + STEP * len(self.times)

    @property
    def height(self) -> int:
        """Pixels, times included."""
        return HIGH * len(self.lanes) + 40


@dataclass(frozen=True)
class _Thing:
    lane: str
    start: str
    end: str
    text: str
    status: str
    run: int
    told: str


def timeline(plan: Plan, records: Sequence[Mapping[str, Json]], runs: Sequence[Run]) -> Timeline:
    """The picture of a ledger. A run that is still open ends where it began."""
    things = sorted((*_events(records), *map(_run, runs)), key=lambda t: (t.start, t.run))
    drawn = things[:MOST]
    done = {i.id: sum(r.indicator == i.id for r in runs) for i in plan.indicators}
    wanted = {i.id: i.attempts * max(1, len(i.setups)) for i in plan.indicators}
    lanes = [("计划", f"第 {plan.revision} 版"), ("校准", f"{sum(r.purpose != MEASUREMENT for r in runs)} 次")]
    lanes += [
        (i.id, f"最多 {wanted[i.id]} 次，已测 {done[i.id]} 次" if done[i.id] else "未测") for i in plan.indicators
    ]
    lanes += [(name, "") for name in sorted({t.lane for t in things} - {n for n, _ in lanes} - {"签署"})]
    lanes.append(("签署", "方案与证据包"))
    order = {name: n for n, (name, _) in enumerate(lanes)}
    moments = sorted({m for t in drawn for m in (t.start, t.end)})
    place = {moment: EDGE + STEP * n for n, moment in enumerate(moments)}
    marks = tuple(
        Mark(order[t.lane], place[t.start], max(place[t.end] - place[t.start], 22.0), t.text, t.status, t.run, t.told)
        for t in drawn
    )
    return Timeline(tuple(lanes), marks, tuple(_times(moments)), tuple(_pauses(moments)), len(things) - len(drawn))


def _events(records: Sequence[Mapping[str, Json]]) -> Iterator[_Thing]:
    for record in records:
        kind, utc = record["kind"], record["utc"]
        if kind == "plan":
            yield _Thing("计划", utc, utc, "定", "fixed", 0, "计划冻结")
        elif kind == "amendment":
            yield _Thing("计划", utc, utc, "改", "changed", 0, f"计划变更：{record.get('reason', '')}")
        elif kind == "seal" and record["of"] == "plan":
            yield _Thing("签署", utc, utc, "方", "seal", 0, f"方案签名：{_role(record['role'])} {record['name']}")
        elif kind == "seal":
            who = "、".join(f"{_role(s['role'])} {s['name']}" for s in record["roster"])
            yield _Thing("签署", utc, utc, "包", "seal", 0, f"封存证据包，名册：{who}")


def _role(code: str) -> str:
    return Role(code).word if code in set(Role) else code


def _run(run: Run) -> _Thing:
    lane = run.indicator or "校准"
    word = run.status.word if run.status else "没有收尾"
    who = "".join(f" {x}" for x in (run.subject, run.condition) if x)
    told = f"运行 {run.number} {run.indicator or '校准 ' + str(run.meta['probe'])}{who}：{word} {run.status_reason}".rstrip()
    status = "completed" if run.status is RunStatus.COMPLETED else "ended" if run.status else "open"
    return _Thing(lane, run.started, max(run.ended, run.started), str(run.number), status, run.number, told)


def _local(utc: str) -> datetime:
    return datetime.fromisoformat(utc) + BEIJING


def _times(moments: Sequence[str]) -> Iterator[tuple[float, str, str]]:
    """Where each moment is, its time of day where there is room, its date where that is a new one."""
    day, room = "", 0
    for n, utc in enumerate(moments):
        at = _local(utc)
        date = f"{at:%m-%d}"
        new = date != day
        clock = f"{at:%H:%M:%S}" if new or n >= room else ""
        if clock:
            room = n + 2
        yield EDGE + STEP * n, clock, date if new else ""
        day = date


def _pauses(moments: Sequence[str]) -> Iterator[tuple[float, str]]:
    for n, (a, b) in enumerate(pairwise(moments)):
        seconds = (_local(b) - _local(a)).total_seconds()
        if seconds >= PAUSE_S:
            hours = seconds / 3600
            yield EDGE + STEP * (n + 0.75), f"隔 {hours / 24:.0f} 天" if hours >= 48 else f"隔 {hours:.0f} 小时"
