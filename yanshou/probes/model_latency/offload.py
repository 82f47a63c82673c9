"""Whether what passed over the uplink could have answered the requests: rows of the sniffer against the times of the requests.

Pure. It rests on cause: an answer from elsewhere must come in between a request and its answer. It must never take silence for
proof: a port that shows nothing proves nothing. Memory does not grow with the rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.probes.model_latency.record import LARGEST, Ints
from yanshou.probes.model_latency.streams import GROUP, IN, OTHER, OUT, OWN, UPLINK, UPLINK_END, WAYS
from yanshou.probes.rtt.record import read_object

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.model_latency.spec import Params

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Host = dict[str, tuple[Ints, Ints]]

SHARE = 0.25
"""Requests with something coming in beyond those that would have it by chance: a quarter of them is no accident."""
FEW, COVER = 0.1, 0.5
"""So many beyond chance, and so many by chance, are worth a warning."""
PACKETS, OCTETS = 0.5, 32.0
"""Packets, and octets, out and in with each request beyond what goes and comes anyway: half of the smallest packet."""
SIGMAS = 4.0
LAGS = 20
"""Pieces of a middling request in which arrivals are looked for at the same distance from its beginning."""
LEAST_LAG_NS = 1_000_000
SLICE_S = 0.5
PAUSE = 4
"""Slices without more than usual that end a burst."""
LEAST_BURST = 64_000
"""Octets: what comes in at once with one secured connection of a telemetry service is less."""
MOST_SLICES = 5_000_000
MISSED, MISSED_OCTETS = 0.1, 3000
"""Share of the kernel's own count of octets that a capture may lack, and octets between two looks at different moments."""
CHUNK = 1 << 18
MOST_REMOTES = 4096
NAMED = 8
FEWEST_WINDOWS = 5


class Rows(NamedTuple):
    """A chunk of uplink.csv, sorted by time. `way`: index in WAYS; `remote`: index in the list of remote ends."""

    t: Ints
    way: Ints
    remote: Ints
    packets: Ints
    octets: Ints
    content: Ints


class Windows:
    """Stretches of time, and in which of them something came by."""

    def __init__(self, begin: Ints, end: Ints) -> None:
        self.begin, self.end = begin, end
        self.hit: Bools = np.zeros(begin.size, bool)

    def see(self, times: Ints) -> None:
        """Sorted arrivals."""
        at = np.searchsorted(times, self.begin)
        there = np.flatnonzero(at < times.size)
        self.hit[there] |= times[at[there]] <= self.end[there]

    @property
    def share(self) -> float:
        """Of them with something, NaN where there are none."""
        return float(self.hit.mean()) if self.hit.size else float("nan")


@dataclass(frozen=True)
class Phases:
    """When there was quiet, when requests were under way: ns. `starts`, `ends` of every request, in the order of the former."""

    begin: int
    end: int
    starts: Ints
    ends: Ints
    period: int | None
    """Between two planned requests, where they were planned."""

    @property
    def first(self) -> int:
        """When the quiet before ends."""
        return int(self.starts[0])

    @property
    def last(self) -> int:
        """When the quiet after begins."""
        return int(self.ends.max())

    def imagined(self) -> tuple[tuple[Ints, Ints], ...]:
        """The same requests laid into the quiet before and after, on their own schedule where they have one."""
        grid = self.period or 1
        back, forth = (self.first - self.begin) // grid * grid, -(-(self.last - self.first + 1) // grid) * grid
        found = []
        for shift, until in ((-back, self.first - 1), (forth, self.end)):
            fits = self.ends + shift <= until
            found.append((self.starts[fits] + shift, self.ends[fits] + shift))
        return tuple(found)


@dataclass
class Remote:
    """One remote end: packets, octets and content per way and phase, and with how many requests something came from it."""

    ports: list[str] = field(default_factory=list)
    quiet: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(WAYS), 3), np.int64))
    run: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(WAYS), 3), np.int64))
    requests: int = 0
    latest: int = -1


class Arrivals:
    """Windows of the requests, of the same requests in the quiet, and the lags of both."""

    def __init__(self, phases: Phases) -> None:
        real = (phases.starts, phases.ends)
        self.requests = Windows(*real)
        sides = phases.imagined()
        self.imagined = tuple(Windows(*side) for side in sides)
        width = max(LEAST_LAG_NS, int(np.median(phases.ends - phases.starts)) // LAGS)
        self.lags = _lags(*real, width)
        self.imagined_lags = tuple(_lags(*side, width) for side in sides)
        anchors = np.linspace(phases.first, phases.last, phases.starts.size + 2)[1:-1].astype(np.int64)
        self.anywhere = Windows(anchors, anchors + width - 1)

    def see(self, times: Ints) -> None:
        """Sorted arrivals."""
        for windows in (self.requests, self.anywhere, *self.imagined, *self.lags, *sum(self.imagined_lags, ())):
            windows.see(times)

    @property
    def share(self) -> float:
        """Of requests between whose beginning and end something came in: no more can have been answered from elsewhere."""
        return self.requests.share

    @property
    def chance(self) -> float:
        """Of the same requests if they had been asked in the quiet; of its two sides the one with less."""
        sides = [side.share for side in self.imagined if side.hit.size >= FEWEST_WINDOWS]
        return min(sides, default=float("nan"))

    @property
    def beat(self) -> float:
        """How much more often something comes at one distance from a request's beginning than at any moment, or in the quiet."""
        often = np.array([windows.share for windows in self.lags])
        usual = np.full(LAGS, self.anywhere.share)
        sides = [
            np.array([windows.share for windows in side])
            for side in self.imagined_lags
            if side[0].hit.size >= FEWEST_WINDOWS
        ]
        if sides:
            usual = np.maximum(usual, np.min(sides, axis=0))
        return float(np.max(often - usual))


def _lags(starts: Ints, ends: Ints, width: int) -> tuple[Windows, ...]:
    """So many pieces of each request; what lies after its end is in none."""
    return tuple(Windows(starts + k * width, np.minimum(starts + (k + 1) * width - 1, ends)) for k in range(LAGS))


class Traffic:
    """Everything that is added up of the rows, in one pass."""

    def __init__(self, phases: Phases) -> None:
        self.phases = phases
        self.model, self.others = Arrivals(phases), Arrivals(phases)
        self.remotes: list[Remote] = []
        self.names: dict[tuple[bool, str], int] = {}
        self.lumped = 0
        """Rows of further remote ends than are told apart."""
        self.bad = 0
        size = min(MOST_SLICES, int((phases.end - phases.begin) / (SLICE_S * 1e9)) + 1)
        self.slices = {way: np.zeros((size, 3), np.int64) for way in (OUT, IN)}
        self.total = np.zeros((len(WAYS), 3), np.int64)

    def add(self, rows: Rows) -> None:
        """One more chunk."""
        phases, into = self.phases, WAYS.index(IN)
        amounts = np.stack([rows.packets, rows.octets, rows.content], axis=1)
        np.add.at(self.total, rows.way, amounts)
        self.model.see(rows.t[rows.way == into])
        self.others.see(rows.t[rows.way == WAYS.index(OTHER)])
        for way, slices in self.slices.items():
            of = rows.way == WAYS.index(way)
            at = ((rows.t[of] - phases.begin) / (SLICE_S * 1e9)).astype(np.int64)
            inside = (at >= 0) & (at < len(slices))
            np.add.at(slices, at[inside], amounts[of][inside])
        running = (rows.t >= phases.first) & (rows.t <= phases.last)
        asked = np.searchsorted(phases.starts, rows.t, side="right") - 1
        came = (rows.way == into) | (rows.way == WAYS.index(OTHER))
        meanwhile = came & (asked >= 0) & (rows.t <= phases.ends[np.maximum(asked, 0)])
        for number in np.unique(rows.remote):
            of, remote = rows.remote == number, self.remotes[number]
            np.add.at(remote.run, rows.way[of & running], amounts[of & running])
            np.add.at(remote.quiet, rows.way[of & ~running], amounts[of & ~running])
            distinct = np.unique(asked[of & meanwhile])
            if distinct.size:
                remote.requests += int(distinct.size - (distinct[0] == remote.latest))
                remote.latest = int(distinct[-1])

    def seen(self, way: str) -> int:
        """Packets of a way."""
        return int(self.total[WAYS.index(way), 0])


def read_uplink(evidence: RunEvidence, phases: Phases) -> Traffic:
    """The rows added up; what is no row is counted."""
    traffic = Traffic(phases)
    if UPLINK in evidence.streams():
        for rows in _chunks(evidence, traffic):
            traffic.add(rows)
    return traffic


def _chunks(evidence: RunEvidence, traffic: Traffic) -> Iterator[Rows]:
    found: list[tuple[int, int, int, int, int, int]] = []
    with io.TextIOWrapper(evidence.open(UPLINK), "ascii", errors="replace") as stream:
        next(stream, None)
        for line in stream:
            row = _row(line, traffic)
            if row is None:
                traffic.bad += 1
                continue
            found.append(row)
            if len(found) >= CHUNK:
                yield _sorted(found)
                found = []
    if found:
        yield _sorted(found)


def _sorted(found: list[tuple[int, int, int, int, int, int]]) -> Rows:
    rows = np.array(found, np.int64)
    return Rows(*rows[np.argsort(rows[:, 0], kind="stable")].T)


def _row(line: str, traffic: Traffic) -> tuple[int, int, int, int, int, int] | None:
    try:
        t, way, protocol, local, remote, port, *numbers = line.rstrip("\n").split(",")
        packets, octets, content = map(int, numbers)
        at, which = int(t), WAYS.index(way)
    except ValueError:
        return None
    if not all(0 <= value < LARGEST for value in (at, packets, octets, content)):
        return None
    name = (way == OTHER, f"{local} → {remote}" if way == OTHER else remote)
    number = traffic.names.get(name)
    if number is None:
        if len(traffic.names) >= MOST_REMOTES:
            traffic.lumped += 1
            name = (way == OTHER, "")
            number = traffic.names.get(name)
        if number is None:
            number = traffic.names[name] = len(traffic.remotes)
            traffic.remotes.append(Remote())
    ports = traffic.remotes[number].ports
    if len(ports) < 3 and (label := f"{protocol}/{port}" if port else protocol) not in ports:
        ports.append(label)
    return at, which, number, packets, octets, content


# What it means


@dataclass(frozen=True)
class Excess:
    """Beyond the quiet, with each request: [out, in] packets, octets and content; `sure`: as much of it as noise cannot make."""

    mean: Floats
    sure: Floats


def excess(traffic: Traffic) -> Excess:
    """Of all remote ends together; of the quiet the side with less. By medians where slices have requests: bursts are unusual."""
    phases = traffic.phases
    number = phases.starts.size
    edges = (np.arange(len(traffic.slices[IN]) + 1) * SLICE_S * 1e9).astype(np.int64) + phases.begin
    during = (edges[:-1] >= phases.first) & (edges[1:] <= phases.last)
    quiet = [edges[1:] <= phases.first, (edges[:-1] >= phases.last) & (edges[1:] <= phases.end)]
    each = (phases.last - phases.first) / number / (SLICE_S * 1e9)  # slices to a request
    means, sures = [], []
    for slices in (traffic.slices[OUT], traffic.slices[IN]):
        sides = [slices[side] for side in quiet if side.sum() >= 2]
        if not sides or not during.any():
            means.append(np.full(3, np.nan))
            sures.append(np.full(3, np.nan))
            continue
        base = np.min([side.mean(axis=0) for side in sides], axis=0)
        noise = SIGMAS * np.max([side.std(axis=0) / np.sqrt(len(side)) for side in sides], axis=0)
        usual = np.median(slices[during], axis=0) if each <= 1 else slices[during].mean(axis=0)
        means.append((slices[during].mean(axis=0) - base) * each)
        sures.append((usual - base - noise) * each)
    return Excess(np.array(means), np.array(sures))


def burst(traffic: Traffic) -> tuple[int, int]:
    """(content that came in at once at most, all that came in beyond what usually does), octets."""
    coming = traffic.slices[IN][:, 2].astype(np.float64)
    usual = float(np.median(coming))
    more = np.maximum(coming - usual, 0.0)
    most = running = 0.0
    pause = 0
    for amount in more:
        pause = 0 if amount > usual else pause + 1
        running = running + float(amount) if pause <= PAUSE else 0.0
        most = max(most, running)
    return round(most), round(float(more.sum()))


def judge(traffic: Traffic, answers: int) -> Validity:
    """LAT-V22: whether what passed tracks the requests. `answers`: octets of all answers."""
    found, more = traffic.model, excess(traffic)
    chance = found.chance if np.isfinite(found.chance) else _by_rate(traffic)
    out, into = np.maximum(np.nan_to_num(more.mean), 0)
    text = (
        f"{found.share:.1%} 的请求在得到答案之前有包传来（静默时同样长短的间隔 {chance:.1%}）；除底数外每个请求出 {out[0]:.2f} 包 "
        f"{out[1]:.0f} 字节、入 {into[0]:.2f} 包 {into[1]:.0f} 字节"
    )
    sure = np.nan_to_num(more.sure).min(axis=0)
    if found.share - chance > SHARE or found.beat > SHARE or sure[0] > PACKETS or sure[1] > OCTETS:
        remedy = "应答可能来自云端；若是上报、更新或远程显示，停掉后重测"
        return _v22(Severity.INVALID, f"{text}：流量随请求而动，往来的是 {_ends(traffic, False)}。{remedy}")
    others = traffic.others
    usual = others.chance if np.isfinite(others.chance) else 0.0
    if others.share - usual > SHARE or others.beat > SHARE:
        text = f"既非测量主机与模型之间、也不属于所写车端地址的流量随请求而动（{others.share:.1%} 的请求）"
        return _v22(
            Severity.INVALID, f"{text}：{_ends(traffic, True)}。是车端的就写进 uplink_model；是测量主机的就停掉后重测"
        )
    most, all_in = burst(traffic)
    if most >= max(answers, LEAST_BURST):
        text += f"；有一阵传入 {most} 字节，装得下全部答案（{answers} 字节）：可能是预先取来的，停掉更新与下载后重测"
        return _v22(Severity.INVALID, text)
    if most >= answers > 0 or all_in >= max(answers, LEAST_BURST):
        return _v22(
            Severity.WARNING, f"{text}；全程另传入 {all_in} 字节，装得下全部答案（{answers} 字节）：不能排除预先取来"
        )
    if found.share - chance > FEW:
        return _v22(Severity.WARNING, f"{text}：比静默时多，少数请求可能由别处作答")
    if found.share > COVER:
        return _v22(
            Severity.WARNING, f"{text}：平稳的底数大到能藏下每个请求，流量证明不了应答出自车端；切断上行再测才能证明"
        )
    return _v22(Severity.INFO, f"{text}：不随请求而动，至多 {found.share:.1%} 的请求可能由别处作答")


def _by_rate(traffic: Traffic) -> float:
    """By chance, where the requests are too long for the quiet: from how much comes in then."""
    phases = traffic.phases
    quiet = (phases.first - phases.begin) + (phases.end - phases.last)
    coming = sum(int(r.quiet[WAYS.index(IN), 0]) for r in traffic.remotes)
    return float(np.mean(1 - np.exp(-coming / max(quiet, 1) * (phases.ends - phases.starts))))


def _v22(severity: Severity, text: str) -> Validity:
    return Validity("LAT-V22", severity, text)


def _ends(traffic: Traffic, others: bool) -> str:
    """The remote ends with which most requests had something, and how many there are."""
    there = [(name, traffic.remotes[n]) for (other, name), n in traffic.names.items() if other == others]
    active = sorted((r for r in there if r[1].requests), key=lambda r: (-r[1].requests, r[0]))
    told = "、".join(f"{name or '其余'}（{'、'.join(r.ports)}，{r.requests} 个请求）" for name, r in active[:NAMED])
    return f"{told}{'等' if len(active) > NAMED else ''}，共 {len(active)} 个地址" if told else "没有见到对端"


def telling(told: dict[str, Json], traffic: Traffic, host: Host, planned_cut: bool) -> Validity:
    """LAT-V23: whether the capture can tell anything: its positive control."""
    number, dropped = traffic.phases.starts.size, told.get("kernel_dropped")
    interface = str(told.get("interface"))
    if told.get("exit") != 0 or type(dropped) is not int or traffic.bad:
        return _v23(Severity.INVALID, f"上行监听没有完整记录（{traffic.bad} 行不能用）：证明不了应答出自车端")
    if dropped > SHARE * number:
        return _v23(
            Severity.INVALID, f"内核来不及交出 {dropped} 包，足以藏下随请求的往来：换更快的主机，或只镜像车端的口"
        )
    carrier = host.get(f"carrier:{interface}")
    down = 0.0 if carrier is None or not carrier[1].size else float((carrier[1] == 0).mean())
    out, into = traffic.seen(OUT), traffic.seen(IN)
    text, severity = "", Severity.INFO
    if not told.get("model"):
        text, severity = _by_kernel(interface, traffic, host, down)
    elif told.get("confirmed"):
        text = f"在场的人确认上行已切断，{interface} 上没有见到车端与外界往来"
        if out and into:
            severity, text = (
                Severity.WARNING,
                f"在场的人确认上行已切断，{interface} 上却见到车端发出 {out} 包、收到 {into} 包",
            )
    elif out and into and not down:
        text = f"{interface} 上见到车端与外界往来（发出 {out} 包、收到 {into} 包）：监听看得见它的上行"
        if planned_cut:
            severity, text = Severity.WARNING, f"计划切断上行，没有人确认；{text}"
    else:
        severity = Severity.INVALID
        if down:
            text = f"{interface} 在测量中有 {down:.0%} 的时间断开：监听不到，证明不了应答出自车端；插好镜像口后重测"
        elif out or into:
            text = f"{interface} 上只见到车端{'发出' if out else '收到'}的包，另一个方向没有镜像：证明不了应答出自车端"
        else:
            where = "、".join(map(str, told["model"])) if isinstance(told["model"], list) else ""
            text = (
                f"{interface} 上没有见到车端（{where}）与外界的一个包，证明不了应答出自车端：镜像口没有配好、"
                "地址不对，还是确已切断，看不出来。静默时从车端向外 ping 一次，或断开上行并写 uplink_cut，由在场的人确认"
            )
    if full := told.get("full"):
        severity = Severity.INVALID
    note = ("；证据到了上限，此后没有记" if full else "") + (f"；内核来不及交出 {dropped} 包" if dropped else "")
    return _v23(Severity.WARNING if dropped and severity is Severity.INFO else severity, text + note)


def _by_kernel(interface: str, traffic: Traffic, host: Host, down: float) -> tuple[str, Severity]:
    """The host's own interface: the kernel counts there too, and must have counted the same."""
    if down == 1:
        return f"上行接口 {interface} 全程断开（内核所报）", Severity.INFO
    channels = [host.get(f"bytes:{interface}:{way}") for way in ("tx", "rx")]
    counted = sum(
        int(channel[1][-1] - channel[1][0]) for channel in channels if channel is not None and channel[1].size
    )
    heard = int(traffic.total[:, 1].sum())
    text = f"{interface} 上听到 {heard} 字节，内核计数 {counted} 字节"
    if None in channels:
        return f"{text}：没有内核计数可比", Severity.WARNING
    if heard < (1 - MISSED) * counted - MISSED_OCTETS:
        return f"{text}：有没听到的，逐个地址的数偏少", Severity.WARNING
    return f"{text}：相符", Severity.INFO


def _v23(severity: Severity, text: str) -> Validity:
    return Validity("LAT-V23", severity, text)


def uplink_findings(
    evidence: RunEvidence, params: Params, starts: Ints, ends: Ints, host: Host, answers: int
) -> tuple[list[Validity], dict[str, Json]]:
    """Findings and facts of what passed over the uplink. `starts`, `ends`: of every request that has both; `answers`: octets."""
    told = read_object(evidence, UPLINK_END)
    begin, end = (told.get(name) for name in ("begin_ns", "end_ns"))
    if (
        type(begin) is not int
        or type(end) is not int
        or not starts.size
        or not begin <= starts.min() <= ends.max() <= end
    ):
        return [_v23(Severity.INVALID, "上行监听没有完整记录：证明不了应答出自车端")], {}
    order = np.argsort(starts, kind="stable")
    period = None if params.rate_hz is None else round(1e9 / params.rate_hz)
    traffic = read_uplink(evidence, Phases(begin, end, starts[order], ends[order], period))
    control = telling(told, traffic, host, params.uplink_cut)
    verdict = judge(traffic, answers)
    blind = (
        control.severity is Severity.INVALID and verdict.severity is not Severity.INVALID
    )  # what is not seen says nothing
    return [control] if blind else [verdict, control], _facts(traffic, told)


def _facts(traffic: Traffic, told: dict[str, Json]) -> dict[str, Json]:
    """For the report. Of each remote end packets and octets beyond the quiet, with each request."""
    phases, number = traffic.phases, traffic.phases.starts.size
    quiet = (phases.first - phases.begin) + (phases.end - phases.last)
    part = (phases.last - phases.first) / max(quiet, 1)
    rows: list[tuple[int, str, dict[str, Json]]] = []
    for (other, name), n in traffic.names.items():
        remote = traffic.remotes[n]
        beyond = (remote.run - part * remote.quiet) / number
        ways: Sequence[str] = (OTHER, IN) if other else (OUT, IN)
        out, into = (beyond[WAYS.index(way)] for way in ways)
        packets = int(remote.run[:, 0].sum() + remote.quiet[:, 0].sum())
        if remote.run[[WAYS.index(OWN), WAYS.index(GROUP)], 0].sum() == packets:
            continue
        rows.append((packets, name, {
            "remote": name or "其余", "ports": " ".join(remote.ports), "packets": packets, "requests": remote.requests,
            "packets_out": float(out[0]), "packets_in": float(into[0]), "bytes_out": float(out[1]), "bytes_in": float(into[1]),
        }))  # fmt: skip
    rows.sort(key=lambda row: (-row[0], row[1]))
    model = told.get("model")
    return {
        "uplink": {
            "interface": str(told.get("interface")), "model": " ".join(map(str, model)) if isinstance(model, list) else "",
            "answered_during_arrival": traffic.model.share, "packets_own": traffic.seen(OWN), "packets_other": traffic.seen(OTHER),
            "dropped": told.get("kernel_dropped") if type(told.get("kernel_dropped")) is int else None, "remotes_total": len(rows),
        },
        "uplink_remotes": [row for _, _, row in rows[:NAMED]],
    }  # fmt: skip
