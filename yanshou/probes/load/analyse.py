"""Response times from the schedule, and whether the load was the agreed one, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never load locust, never know a limit, and never drop a request: what
failed, came late, or was planned and never sent is +inf. What locust itself computed is a fact, and no value.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Series, Severity, Validity
from yanshou.probes.load.schedule import Plan
from yanshou.probes.load.spec import Load, Params
from yanshou.probes.load.streams import EVENTS, HOLD, PREFIX, REQUEST_COLUMNS, REQUESTS

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DONE_SHARE = 0.99
LATE_NS = 10_000_000
"""Own lateness, p99, from which on this host, and not the platform, is much of what is read."""
NUMBERS = len(REQUEST_COLUMNS.split(","))


@dataclass(frozen=True)
class Requests:
    """What was planned until `end_ns`, user by user, and what became of it: ns from the start of its worker's clock.

    `done`: it has a row. `good`: and was answered as agreed, in time. `own_late`: how long this host let a request wait that had
    no predecessor under way.
    """

    plan: Plan
    end_ns: int
    user: Ints
    due: Ints
    begun: Ints
    ended: Ints
    done: Bools
    good: Bools
    own_late: Ints
    statuses: Counter[str]
    rows: Counter[str]
    first: Ints
    """Where each user begins in these arrays."""

    @property
    def steady(self) -> Bools:
        """Due when all users had joined: these are judged."""
        return np.greater_equal(self.due, self.plan.ramp_ns)


@dataclass(frozen=True)
class Events:
    """What events.jsonl says; `end_ns` is None where the load was neither ended nor came to its end."""

    workers: dict[str, dict[str, Json]]
    lost: tuple[str, ...]
    end_ns: int | None
    end: dict[str, Json] | None


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Time from the schedule to the answer of each request that was due when all users had joined, ns, in order of the schedule."""
    events = _events(evidence)
    end_ns = round((params.ramp_s + params.duration_s) * 1e9)
    requests = _read(evidence, params, seed, end_ns, events)
    order = np.flatnonzero(requests.steady)
    order = order[np.argsort(requests.due[order], kind="stable")]
    answer = np.where(requests.good, requests.ended - requests.begun, np.inf)
    return Samples(
        unit="ns",
        values=_values(requests)[order],
        times=requests.due[order] / 1e9,
        measurand="response_time",
        series=(Series("service", "自真正发出起的响应时间（不含排队，仅供参考）", "service_time", answer[order]),),
        validity=(
            *(Validity(code, Severity.INVALID, text) for code, text in _faults(requests, events, end_ns)),
            *_cautions(requests, events, params),
        ),
        facts=_facts(requests, events, params),
    )


def _values(requests: Requests) -> NDArray[np.float64]:
    return np.where(requests.good, requests.ended - requests.due, np.inf)


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> NDArray[np.float64]:
    """Value minus the standard's own log of how long it held the request, ms, of each judged one that was answered.

    Without a log nothing was held: the values themselves, which is the floor. Raises ValueError for a damaged log.
    """
    events = _events(evidence)
    requests = _read(evidence, params, seed, round((params.ramp_s + params.duration_s) * 1e9), events)
    logged = HOLD in evidence.streams()
    held = np.full(requests.due.size, -1 if logged else 0, dtype=np.int64)
    for cells in _lines(evidence, HOLD) if logged else ():
        user, seq, hold = map(int, cells)
        held[requests.first[user] + seq] = hold
    known = requests.steady & requests.good & (held >= 0)
    return np.asarray((_values(requests) - held)[known] / 1e6, dtype=np.float64)


# --- reading -----------------------------------------------------------------------------------------------------------


def _lines(evidence: RunEvidence, name: str) -> Iterator[list[str]]:
    """Cells of each whole line after the header; [] for what is missing: the stream, or the end of its last line."""
    if name not in evidence.streams():
        yield []
        return
    with io.TextIOWrapper(evidence.open(name), "ascii", "replace", newline="\n") as text:
        for line in islice(text, 1, None):
            yield line[:-1].split(",") if line.endswith("\n") else []


def _events(evidence: RunEvidence) -> Events:
    told: list[dict[str, Json]] = []
    if EVENTS in evidence.streams():
        with evidence.open(EVENTS) as lines:
            for line in lines:
                try:
                    told.append(json.loads(line))
                except ValueError:  # cut off
                    break
    return Events(
        workers={e["worker"]: e for e in told if e.get("event") == "worker"},
        lost=tuple(e["worker"] for e in told if e.get("event") == "lost"),
        end_ns=next((e["end_ns"] for e in told if e.get("event") == "stop"), None),
        end=next((e for e in told if e.get("event") == "end"), None),
    )


def _read(evidence: RunEvidence, load: Load, seed: int, end_ns: int, events: Events) -> Requests:
    """Everything due before `end_ns`."""
    plan = Plan.of(load, seed)
    firsts = [plan.first(user) for user in range(plan.users)]
    counts = np.array([plan.count(user, end_ns) for user in range(plan.users)], dtype=np.int64)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    user = np.repeat(np.arange(plan.users), counts)
    due = np.repeat(np.array(firsts, dtype=np.int64), counts) + (np.arange(user.size) - first[user]) * plan.gap_ns
    begun, ended = np.zeros(user.size, np.int64), np.zeros(user.size, np.int64)
    done, good = np.zeros(user.size, np.bool_), np.zeros(user.size, np.bool_)
    statuses, rows = Counter[str](), Counter[str]()
    starts = {name: int(worker["start_ns"]) for name, worker in events.workers.items()}
    for cells in _lines(evidence, REQUESTS):
        if not cells:
            rows["torn"] += 1
            continue
        rows["all"] += 1
        try:
            who, seq = int(cells[1]), int(cells[2])
            scheduled, t_begun, t_ended = (int(cell) - starts[cells[0]] for cell in cells[3:6])
            known = len(cells) == NUMBERS and 0 <= who < plan.users and seq >= 0
        except (ValueError, KeyError, IndexError):
            known = False
        if not known or scheduled != firsts[who] + seq * plan.gap_ns or not scheduled <= t_begun <= t_ended:
            rows["bad"] += 1
        elif seq >= counts[who]:
            rows["after"] += 1  # it was under way when the load was told to end
        elif done[place := first[who] + seq]:
            rows["bad"] += 1
        else:
            statuses[cells[6]] += 1
            begun[place], ended[place], done[place] = t_begun, t_ended, True
            good[place] = cells[6] in load.target.good
    good &= ended - begun <= round(load.timeout_s * 1e9)
    return Requests(
        plan, end_ns, user, due, begun, ended, done, good, _own_lateness(user, due, begun, ended, done), statuses, rows, first
    )  # fmt: skip


def _own_lateness(user: Ints, due: Ints, begun: Ints, ended: Ints, done: Bools) -> Ints:
    """From when a request could have begun (due, and its predecessor answered) until it did; of all that have a row."""
    before = np.concatenate(([0], np.where(user[1:] == user[:-1], ended[:-1], 0))) if user.size else ended
    return np.asarray((begun - np.maximum(due, before))[done], dtype=np.int64)


# --- findings ----------------------------------------------------------------------------------------------------------


def _faults(requests: Requests, events: Events, end_ns: int | None) -> Iterator[tuple[str, str]]:
    """(code, why) of everything for which the load was not the agreed one. docs/probes/p-050-load.md says why each threshold."""
    steady = requests.steady
    planned, done = int(steady.sum()), int((requests.done & steady).sum())
    if done < DONE_SHARE * planned or not planned:
        yield "LOD-V01", f"计划 {planned} 次请求，只做了 {done} 次，不足 {DONE_SHARE:.0%}"
    if events.lost:
        yield "LOD-V02", f"{len(events.lost)} 台负载工作机中途失联，它的用户没有发完"
    active = np.unique(requests.user[requests.done & steady]).size
    if active < requests.plan.users:
        yield "LOD-V03", f"要求 {requests.plan.users} 个用户，只有 {active} 个发出过请求"
    if requests.rows["bad"]:
        yield "LOD-V04", f"{requests.rows['bad']} 行记录无法识别，或与种子生成的计划不符"
    told = sum((events.end or {}).get("rows", {}).values())
    if events.end is None or events.end_ns != end_ns or requests.rows["torn"] or requests.rows["all"] != told:
        yield "LOD-V05", "记录不完整：负载中断、没有正常结束，或缺行"


def _cautions(requests: Requests, events: Events, load: Load) -> Iterator[Validity]:
    late = _quantile(requests.own_late, 0.99)
    if late > LATE_NS:
        text = f"负载机自身迟发：P99 {late / 1e6:.0f} ms，响应时间含这部分，偏大"
        yield Validity("LOD-V06", Severity.WARNING, text)
    failed = int((requests.done & ~requests.good & requests.steady).sum())
    if failed:
        words = "、".join(f"{status} {number} 次" for status, number in requests.statuses.most_common(6))
        yield Validity("LOD-V07", Severity.WARNING, f"{failed} 次请求失败或超时，按无穷大参加判定（状态：{words}）")
    if load.workers:
        offsets = "；".join(
            f"{w['users']} 个用户 {w['offset_ns'] / 1e6:+.1f}±{w['bound_ns'] / 1e6:.1f} ms"
            for w in events.workers.values()
        )
        text = f"{len(events.workers)} 台工作机各用自己的时钟计时，响应时间不受钟差影响；与主控机的钟差：{offsets}"
        yield Validity("LOD-V08", Severity.INFO, text)


def _quantile(numbers: Ints, q: float) -> int:
    """Order statistic at ceil(q n), 0 when there are none. For information, not for judging."""
    return int(np.quantile(numbers, q, method="inverted_cdf")) if numbers.size else 0


def _facts(requests: Requests, events: Events, load: Load) -> dict[str, Json]:
    """Counts and settings, for the report."""
    steady = requests.steady
    seconds = (requests.end_ns - requests.plan.ramp_ns) / 1e9
    good = int((requests.good & steady).sum())
    return {
        "kind": load.target.kind,
        "users": requests.plan.users,
        "planned": int(steady.sum()),
        "done": int((requests.done & steady).sum()),
        "succeeded": good,
        "planned_per_s": round(int(steady.sum()) / seconds, 3),
        "succeeded_per_s": round(good / seconds, 3),
        "ramp": {"planned": int((~steady).sum()), "done": int((requests.done & ~steady).sum())},
        "statuses": dict(sorted(requests.statuses.items())),
        "own_late_ns": {"p50": _quantile(requests.own_late, 0.5), "p99": _quantile(requests.own_late, 0.99)},
        "workers": [
            {key: worker[key] for key in ("worker", "users", "offset_ns", "bound_ns")}
            for worker in events.workers.values()
        ],
        "locust": (events.end or {}).get("locust"),
        "stamps": "应用层，负载进程用户态时间；本底见校准",
    }


# --- beside another measurement ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accompaniment:
    """A load that was on while something else was measured. `text` is for people; `faults` say why it was not the agreed one."""

    text: str
    faults: tuple[str, ...]
    facts: dict[str, Json]


def accompaniment(evidence: RunEvidence, load: Load, seed: int) -> Accompaniment:
    """What the load below PREFIX was, from when all had joined until it was told to end. Requests that failed are no load."""
    part = evidence.sub(PREFIX)
    events = _events(part)
    end_ns = events.end_ns or round(load.ramp_s * 1e9)
    requests = _read(part, load, seed, end_ns, events)
    facts = _facts(requests, events, load) if end_ns > requests.plan.ramp_ns else {"kind": load.target.kind}
    steady = requests.steady
    planned, good = int(steady.sum()), int((requests.good & steady).sum())
    faults = [text for _, text in _faults(requests, events, events.end_ns)]
    if good < DONE_SHARE * planned:
        faults.append(f"计划 {planned} 次请求，只成功 {good} 次，不足 {DONE_SHARE:.0%}")
    wanted = load.users * load.rate
    text = (
        f"负载：{load.users} 个{'虚拟设备' if load.target.kind == 'mqtt' else '用户'}，计划 {wanted:g} 次/秒，"
        f"实际成功 {facts.get('succeeded_per_s', 0):g} 次/秒（{good}/{planned}）"
    )
    return Accompaniment(text, tuple(faults), facts)
