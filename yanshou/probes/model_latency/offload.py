"""Whether what passed over the uplink could have answered the requests, and whether the capture could have shown it.

Pure. It rests on causes: an answer from elsewhere must come in between a request and its answer. It must never take silence for
proof: a port that shows nothing proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.probes.model_latency.record import Ints
from yanshou.probes.model_latency.streams import IN, OTHER, OUT, OWN, UPLINK_END
from yanshou.probes.model_latency.traffic import NUMBER, QUIET, RUN, SLICE_S, STRANGE, Phases, Traffic, read_uplink
from yanshou.probes.rtt.record import read_object

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.model_latency.spec import Params

Floats = NDArray[np.float64]
Host = dict[str, tuple[Ints, Ints]]

SHARE = 0.25
"""Requests with something coming in beyond those that would have it by chance: a quarter of them is no accident."""
FEW, COVER = 0.1, 0.5
"""So many beyond chance, and so many by chance, are worth a warning."""
OCTETS = 32.0
"""Out, and in, with each request beyond what goes and comes anyway: half of the smallest packet."""
SIGMAS = 4.0
MAD = 1.4826
"""Median absolute deviation to standard deviation, of normal noise."""
PAUSE = 1
"""Slices without more than usual that end a burst."""
LEAST_BURST = 64_000
"""Octets: what comes in at once with one secured connection of a telemetry service is less."""
MISSED, MISSED_OCTETS = 0.1, 3000
"""Share of the kernel's own count of octets that a capture may lack, and octets between two looks at different moments."""
VANISHED = 10
"""Packets that would have been seen at the pace of the quiet, and were not."""
SAID, NAMED = 4, 8
"""Remote ends in a sentence, and in a table."""
RANKS = list(Severity)
BOTH = [NUMBER[OUT], NUMBER[IN]]


def beyond(traffic: Traffic) -> Floats:
    """With each request beyond the quiet: (remote end, way, 3) packets, octets and content."""
    phases = traffic.phases
    part = (phases.last - phases.first) / max(phases.quiet, 1)
    more = traffic.amounts[:, RUN] - part * traffic.amounts[:, QUIET]
    return np.asarray(more / phases.starts.size, dtype=np.float64)


def _slices(traffic: Traffic) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """(slices while requests were under way, those of each side of the quiet that has two of them): (n, way, 3)."""
    phases, slices = traffic.phases, traffic.slices
    edges = np.arange(len(slices) + 1) * round(SLICE_S * 1e9) + phases.begin
    during = (edges[:-1] >= phases.first) & (edges[1:] <= phases.last)
    before, after = edges[1:] <= phases.first, (edges[:-1] >= phases.last) & (edges[1:] <= phases.end)
    return slices[during], [slices[side] for side in (before, after) if side.sum() >= 2]


def sustained(traffic: Traffic) -> float:
    """Octets out as well as in with each request, of all remote ends: as many of them as neither noise nor a burst makes.

    Of the quiet the calmer side; medians where each slice has a request. 0 where it is too short to tell.
    """
    during, sides = _slices(traffic)
    if not sides or not during.size:
        return 0.0
    octets = [side[:, BOTH, 1] for side in (during, *sides)]
    phases = traffic.phases
    each = (phases.last - phases.first) / phases.starts.size / (SLICE_S * 1e9)  # slices to a request
    base = np.min([side.mean(axis=0) for side in octets[1:]], axis=0)
    errors = [side.std(axis=0) / np.sqrt(len(side)) for side in octets[1:]]
    if each <= 1:
        usual, noise = np.median(octets[0], axis=0), np.min(errors, axis=0)
    else:
        usual, noise = octets[0].mean(axis=0), np.max(errors, axis=0)  # a mean knows bursts, so that its noise must too
    return float(np.min(usual - base - SIGMAS * noise)) * each


def burst(traffic: Traffic) -> tuple[int, int]:
    """(content that came in at once at most, all that came in beyond the pace of the calmer side of the quiet), octets."""
    coming = traffic.slices[:, NUMBER[IN], 2].astype(np.float64)
    usual = float(np.median(coming))
    spread = MAD * float(np.median(np.abs(coming - usual)))
    most = running = 0.0
    pause = 0
    for amount in np.where(coming > usual + SIGMAS * spread, coming - usual, 0.0):
        pause = 0 if amount else pause + 1
        running = running + float(amount) if pause <= PAUSE else 0.0
        most = max(most, running)
    base = min((float(side[:, NUMBER[IN], 2].mean()) for side in _slices(traffic)[1]), default=0.0)
    return round(most), max(0, round(float(coming.sum()) - base * coming.size))


def judge(traffic: Traffic, answers: int) -> Validity:
    """LAT-V22: whether what passed tracks the requests. `answers`: octets of all answers."""
    found = traffic.model
    chance = found.chance if np.isfinite(found.chance) else _by_rate(traffic)
    out, into = np.maximum(beyond(traffic).sum(axis=0)[BOTH], 0)
    text = (
        f"{found.share:.1%} 的请求在得到答案之前有包传来（静默时同样长短的间隔 {chance:.1%}）；除底数外每个请求出 {out[0]:.2f} 包 "
        f"{out[1]:.0f} 字节、入 {into[0]:.2f} 包 {into[1]:.0f} 字节"
    )
    if found.share - chance > SHARE or found.beat > SHARE or sustained(traffic) > OCTETS:
        return _v22(
            Severity.INVALID,
            f"{text}：流量随请求而动，往来的是 {_ends(traffic, False)}。应答可能来自云端；若是上报、更新或远程显示，停掉后重测",
        )
    others = traffic.others
    usual = others.chance if np.isfinite(others.chance) else 0.0
    if others.share - usual > SHARE or others.beat > SHARE:
        text = f"既不在测量的连接上、也不在车端与外界之间的流量随请求而动（{others.share:.1%} 的请求）"
        return _v22(
            Severity.INVALID, f"{text}：{_ends(traffic, True)}。是车端的就写进 uplink_model；是测量主机的就停掉后重测"
        )
    most, all_in = burst(traffic)
    if most >= max(answers, LEAST_BURST):
        source = traffic.remotes[int(traffic.amounts[:, :, NUMBER[IN], 2].sum(axis=1).argmax())].name
        return _v22(
            Severity.INVALID,
            f"{text}；有一阵传入 {most} 字节，装得下全部答案（{answers} 字节），传入最多的是 {source}：可能是预先取来的，"
            "停掉更新与下载后重测",
        )
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
    coming = int(traffic.amounts[:, QUIET, NUMBER[IN], 0].sum())
    return float(np.mean(1 - np.exp(-coming / max(phases.quiet, 1) * (phases.ends - phases.starts))))


def _v22(severity: Severity, text: str) -> Validity:
    return Validity("LAT-V22", severity, text)


def _ends(traffic: Traffic, strangers: bool) -> str:
    """The remote ends with which most requests had something, and how many there are."""
    there = [(int(traffic.requests[n]), r) for n, r in enumerate(traffic.remotes) if r.stranger == strangers]
    active = sorted((one for one in there if one[0]), key=lambda one: (-one[0], one[1].name))
    told = "、".join(f"{r.name}（{'、'.join(r.ports)}，{number} 个请求）" for number, r in active[:SAID])
    if not told:
        return "没有见到对端"
    return f"{told} 等 {len(active)} 个地址" if len(active) > SAID else told


def telling(told: dict[str, Json], traffic: Traffic, host: Host, planned_cut: bool) -> Validity:
    """LAT-V23: whether the capture can tell anything: its positive control."""
    number, dropped = traffic.phases.starts.size, _number(told.get("kernel_dropped"))
    interface = str(told.get("interface"))
    if told.get("exit") != 0 or dropped < 0 or traffic.bad:
        return _v23(Severity.INVALID, f"上行监听没有完整记录（{traffic.bad} 行不能用）：证明不了应答出自车端")
    if dropped > SHARE * number:
        return _v23(
            Severity.INVALID, f"内核来不及交出 {dropped} 包，足以藏下随请求的往来：换更快的主机，或只镜像车端的口"
        )
    carrier = host.get(f"carrier:{interface}")
    down = 0.0 if carrier is None or not carrier[1].size else float((carrier[1] == 0).mean())
    if not told.get("model"):
        severity, text = _by_kernel(interface, traffic, host, down)
    elif told.get("confirmed"):
        severity, text = _by_word(interface, traffic)
    else:
        severity, text = _by_sight(interface, traffic, down, _listed(told["model"]))
        if planned_cut and severity is Severity.INFO:
            severity, text = Severity.WARNING, f"计划切断上行，没有人确认；{text}"
    if told.get("full"):
        return _v23(Severity.INVALID, f"{text}；证据到了上限，此后没有记")
    if dropped:
        return _v23(max(severity, Severity.WARNING, key=RANKS.index), f"{text}；内核来不及交出 {dropped} 包")
    return _v23(severity, text)


def _by_word(interface: str, traffic: Traffic) -> tuple[Severity, str]:
    """Somebody on site said that the uplink is cut."""
    out, into = int(traffic.seen(OUT)[0]), int(traffic.seen(IN)[0])
    if out and into:
        text = f"在场的人确认上行已切断，{interface} 上却见到车端发出 {out} 包、收到 {into} 包"
        return Severity.WARNING, text
    return Severity.INFO, f"在场的人确认上行已切断，{interface} 上没有见到车端与外界往来"


def _by_sight(interface: str, traffic: Traffic, down: float, model: str) -> tuple[Severity, str]:
    """The vehicle must have been seen to exchange something with somebody else, and not only while nothing was asked."""
    out, into = int(traffic.seen(OUT)[0]), int(traffic.seen(IN)[0])
    phases = traffic.phases
    quiet, run = traffic.amounts[:, :, BOTH, 0].sum(axis=(0, 2))
    due = quiet / max(phases.quiet, 1) * (phases.last - phases.first)
    if down:
        text = f"{interface} 在测量中有 {down:.0%} 的时间断开：监听不到，证明不了应答出自车端；插好镜像口后重测"
    elif out and into and not run and due > VANISHED:
        text = f"{interface} 上静默时见到车端 {quiet} 包，请求进行时一个也没有：监听可能被断开，证明不了应答出自车端"
    elif out and into:
        text = f"{interface} 上见到车端与外界往来（发出 {out} 包、收到 {into} 包）：监听看得见它的上行"
        return Severity.INFO, text
    elif out:
        text = f"{interface} 上只见到车端发出的包，另一个方向没有镜像：证明不了应答出自车端"
    elif into:
        text = f"{interface} 上只见到车端收到的包，另一个方向没有镜像：证明不了应答出自车端"
    else:
        text = (
            f"{interface} 上没有见到车端 {model} 与外界的一个包，证明不了应答出自车端：镜像口没有配好、地址不对，还是确已切断，"
            "看不出来。静默时从车端向外 ping 一次，或断开上行并写 uplink_cut，由在场的人确认"
        )
    return Severity.INVALID, text


def _by_kernel(interface: str, traffic: Traffic, host: Host, down: float) -> tuple[Severity, str]:
    """The host's own interface: the kernel counts there too, and must have counted the same."""
    if down == 1:
        return Severity.INFO, f"上行接口 {interface} 全程断开（内核所报）"
    counts = [host.get(f"bytes:{interface}:{way}") for way in ("tx", "rx")]
    counted = sum(int(values[-1] - values[0]) for _, values in filter(None, counts) if values.size)
    heard = int(traffic.amounts[..., 1].sum())
    text = f"{interface} 上听到 {heard} 字节，内核计数 {counted} 字节"
    if None in counts:
        return Severity.WARNING, f"{text}：没有内核计数可比"
    if heard < (1 - MISSED) * counted - MISSED_OCTETS:
        return Severity.WARNING, f"{text}：有没听到的，逐个地址的数偏少"
    return Severity.INFO, f"{text}：相符"


def _v23(severity: Severity, text: str) -> Validity:
    return Validity("LAT-V23", severity, text)


def uplink_findings(
    evidence: RunEvidence, params: Params, starts: Ints, ends: Ints, host: Host, answers: int
) -> tuple[list[Validity], dict[str, Json]]:
    """Findings and facts of what passed over the uplink. `starts`, `ends`: of every request that has both; `answers`: octets."""
    told = read_object(evidence, UPLINK_END)
    begin, end = (_number(told.get(name)) for name in ("begin_ns", "end_ns"))
    if not starts.size or not begin <= starts.min() <= ends.max() <= end:
        return [_v23(Severity.INVALID, "上行监听没有完整记录：证明不了应答出自车端")], {}
    order = np.argsort(starts, kind="stable")
    period = None if params.rate_hz is None else round(1e9 / params.rate_hz)
    traffic = read_uplink(evidence, Phases(begin, end, starts[order], ends[order], period))
    control = telling(told, traffic, host, params.uplink_cut)
    verdict = judge(traffic, answers)
    shown = verdict.severity is Severity.INVALID or control.severity is not Severity.INVALID
    return [verdict, control] if shown else [control], _facts(
        traffic, told
    )  # where nothing can be seen, nothing is said


def _listed(value: Json) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else ""


def _number(value: Json) -> int:
    return value if type(value) is int else -1


def _facts(traffic: Traffic, told: dict[str, Json]) -> dict[str, Json]:
    """For the report. Of each remote end packets and octets beyond the quiet, with each request."""
    packets = traffic.amounts[:, :, [*BOTH, *STRANGE], 0].sum(axis=(1, 2))
    more = beyond(traffic)
    out, into = more[:, [NUMBER[OUT], *STRANGE]].sum(axis=1), more[:, NUMBER[IN]]
    order = sorted(
        range(len(traffic.remotes)), key=lambda n: (-traffic.requests[n], -packets[n], traffic.remotes[n].name)
    )
    rows: list[Json] = [
        {
            "remote": traffic.remotes[n].name, "ports": " ".join(traffic.remotes[n].ports), "packets": int(packets[n]),
            "requests": int(traffic.requests[n]), "packets_out": float(out[n, 0]), "packets_in": float(into[n, 0]),
            "bytes_out": float(out[n, 1]), "bytes_in": float(into[n, 1]),
        }
        for n in order
        if packets[n]
    ]  # fmt: skip
    return {
        "uplink": {
            "interface": str(told.get("interface")), "watched": _listed(told.get("model")),
            "share_with_arrivals": traffic.model.share, "packets_own": int(traffic.seen(OWN)[0]),
            "packets_other": int(traffic.seen(OTHER)[0]),
            "dropped": _number(told.get("kernel_dropped")), "remotes_total": len(rows),
        },
        "uplink_remotes": rows[:NAMED],
    }  # fmt: skip
