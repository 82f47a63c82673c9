"""Frame times, or times from input to the frame after it, and whether they may be trusted.

Pure: the same bytes give the same measurement. It must never leave out a frame that took long, take an average for a
frame, or know a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yanshou.formats.frame_times import FrameLog, read_frames
from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Severity, Validity
from yanshou.probes.load.analyse import accompaniment
from yanshou.probes.rtt.record import read_object
from yanshou.probes.xr_frames.hearing import Heard, hear
from yanshou.probes.xr_frames.streams import END, LOG, SESSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.xr_frames.spec import Params

SAME, FEWEST_SAME = 0.98, 100
"""Share of frames that take exactly as long as each other, from which on no clock wrote them; and of how many."""
FASTER = 0.9
"""Share of the display's period below which most frames cannot have been shown."""
OFF_BEAT = 0.05
"""Share of the display's period by which frames may be off a whole number of it."""
THROTTLED_MS, THROTTLED_IN_A_ROW = (950.0, 1050.0), 3
"""How often browsers let a page run that nobody sees."""
CLOCK_SHARE, CLOCK_S = 0.01, 0.5
"""How far page and host may disagree on how long it took."""
LOG_S = 0.2
"""How far a log's own times and the sum of its frames may, but for its digits: frames are shown later than they begin. What is
longer was taken out."""
EARLY_S = 2.0
"""How long before the planned end the last report may have come, and before that one the last frame."""
CAPPED = 0.9
STALL = 3
"""A frame that takes so many times the median is a stall."""
SOFTWARE = ("swiftshader", "llvmpipe", "software", "basic render")


@dataclass
class _Seen:
    """What either source comes to. `times` of frames in ms, `at` in s from the first counted one."""

    times: NDArray[np.float64]
    at: NDArray[np.float64]
    resolution: float
    found: list[Validity] = field(default_factory=list)
    facts: dict[str, Json] = field(default_factory=dict)


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Times in ms, from one shown frame to the next; or from each input to the frame after it, +inf where none came."""
    import numpy as np

    session = read_object(evidence, SESSION)
    ended = bool(read_object(evidence, END))
    heard = Heard()
    if params.file or params.files:
        seen = _from_log(evidence, params)
    else:
        heard = hear(evidence)
        seen = _from_page(heard, session, params)
    found = list(seen.found)
    if not ended:
        found.append(Validity("XRF-V01", Severity.INVALID, "记录没有收尾：中途断了"))
    found += _of_frames(seen.times, params)
    load = accompaniment(evidence, params.load, seed) if params.load else None
    if load:
        found.append(Validity("XRF-V17", Severity.INFO, load.text))
        if load.faults:
            text = f"并发没有达到约定：{'；'.join(load.faults)}"
            found.append(Validity("XRF-V18", Severity.INVALID, text))
    facts = {
        **({"load": load.facts} if load else {}),
        "source": session.get("source"),
        **seen.facts,
        **_summary(seen.times),
    }
    values, at = seen.times, seen.at
    if params.metric == "interaction":
        values, at, lost = _interactions(heard, params, read_object(evidence, END).get("clicks"))
        facts |= {
            "inputs": int(values.size),
            "event_timing_p50_ms": float(np.median(heard.rounded)) if heard.rounded else None,
        }
        if lost:
            text = f"{lost}/{values.size} 次输入没有等到其后的一帧：按超限计"
            found.append(Validity("XRF-V15", Severity.WARNING, text))
    return Samples(
        unit="ms",
        values=values,
        times=at,
        measurand="interaction" if params.metric == "interaction" else "frame_time",
        resolution=seen.resolution,
        validity=tuple(sorted(found, key=lambda v: v.code)),
        facts=facts,
    )


def _from_log(evidence: RunEvidence, params: Params) -> _Seen:
    import numpy as np

    try:
        with evidence.open(LOG) as f:
            log = read_frames(f, params.application)
    except (KeyError, ValueError) as error:
        text = f"日志不在证据里，或读不出：{' '.join(str(error).split())}"
        return _Seen(np.empty(0), np.empty(0), 0.0, [Validity("XRF-V01", Severity.INVALID, text)])
    times, starts = np.array(log.times_ms), np.array(log.starts_ms)
    at = np.concatenate([[0.0], np.cumsum(times)[:-1]]) / 1000 if times.size else np.empty(0)
    late = at >= params.warmup_s
    found = list(_of_log(log, times, starts))
    if times.size >= FEWEST_SAME and (same := _most_common(times)) > SAME:
        text = f"{same:.1%} 的帧时间一模一样：不是时钟记下的，或日志的末位太粗"
        found.append(Validity("XRF-V03", Severity.INVALID, text))
    return _Seen(
        times[late], at[late] - params.warmup_s, log.resolution_ms, found, {"log": log.kind, "unshown": log.unshown}
    )


def _of_log(log: FrameLog, times: NDArray[np.float64], starts: NDArray[np.float64]) -> Iterator[Validity]:
    import numpy as np

    if log.bad:
        yield Validity("XRF-V01", Severity.INVALID, f"日志有 {log.bad} 行读不出：帧可能缺失")
    if log.unshown:
        text = f"{log.unshown} 帧渲染后没有显示：不算帧，它们所占的时间算在其后显示的一帧里"
        yield Validity("XRF-V12", Severity.WARNING, text)
    if not log.shown:
        text = f"{log.kind} 日志记的是程序的帧，不是显示出来的帧：合成器丢掉的帧看不见"
        yield Validity("XRF-V13", Severity.WARNING, text)
    if starts.size and bool((np.diff(starts) <= 0).any()):
        yield Validity("XRF-V02", Severity.INVALID, "日志的时间倒退或停住：不是一次连续的记录")
    elif starts.size > 1:
        span = float(starts[-1] - starts[0]) / 1000
        # A time is that to the frame before or, of PresentMon 2, to the next: without the first, or without the last.
        total = min((float(part.sum()) / 1000 for part in (times[1:], times[:-1])), key=lambda s: abs(span - s))
        if abs(span - total) > LOG_S + times.size * log.resolution_ms / 2000:
            text = f"日志首尾相隔 {span:.2f} s，而各帧合计 {total:.2f} s：有帧被删去或改动"
            yield Validity("XRF-V16", Severity.INVALID, text)


def _from_page(heard: Heard, session: dict[str, Json], params: Params) -> _Seen:
    import numpy as np

    begun, ran = np.array(heard.frames.begun), np.array(heard.frames.ran)
    kind = "xr" if heard.xr.begun else "window"
    from_zero = (begun - begun[0]) / 1000 if begun.size else begun
    kept = (from_zero >= params.warmup_s) & (from_zero <= params.duration_s)
    begun, ran, from_zero = begun[kept], ran[kept], from_zero[kept]
    times = np.diff(begun)
    about = {key: heard.about.get(key) for key in ("agent", "renderer")}
    facts: dict[str, Json] = {"frames_of": kind, "browser": session.get("browser"), **about, "reports": heard.reports}
    found = list(_of_page(heard, session, kind))
    if heard.clocks and (passed := (heard.clocks[-1][1] - heard.clocks[0][1]) / 1000) < params.duration_s - EARLY_S:
        text = f"页面只报告了 {passed:.1f} s，约定 {params.duration_s:g} s：中途停了"
        found.append(Validity("XRF-V01", Severity.INVALID, text))
    elif (
        heard.clocks
        and heard.frames.begun
        and (left := (heard.clocks[-1][1] - heard.frames.begun[-1]) / 1000) > EARLY_S
    ):
        text = f"最后一帧之后还报告了 {left:.1f} s：会话提前退出，其后的帧不在样本里"
        found.append(Validity("XRF-V01", Severity.INVALID, text))
    if times.size and bool((times <= 0).any()):
        text = f"帧的时间戳倒退或停住 {int((times <= 0).sum())} 次：不是逐帧的时钟"
        found.append(Validity("XRF-V02", Severity.INVALID, text))
    if times.size >= FEWEST_SAME and (same := _most_common(np.round(np.diff(ran), 2))) > SAME:
        text = f"{same:.1%} 的回调间隔一模一样，真的时钟总有抖动：时间戳是造的"
        found.append(Validity("XRF-V03", Severity.INVALID, text))
    return _Seen(np.maximum(times, 0.0), from_zero[1:] - params.warmup_s, 0.1, found, facts)


def _of_page(heard: Heard, session: dict[str, Json], kind: str) -> Iterator[Validity]:
    """Every reason for caution about a page's reports; docs/probes/p-090-xr.frames.md says what each means."""
    if heard.bad or heard.missing or heard.again or not heard.reports:
        text = (
            f"{heard.reports} 份报来的记录里 {heard.bad} 份不成形，缺 {heard.missing} 份，页面重新载入 {heard.again} 次"
        )
        yield Validity("XRF-V01", Severity.INVALID, text)
    if heard.hidden:
        yield Validity(
            "XRF-V06", Severity.INVALID, f"{heard.hidden} 份记录里页面不可见（被切到后台或锁屏）：浏览器会降频"
        )
    if len(heard.clocks) > 1:
        (host0, page0), (host1, page1) = heard.clocks[0], heard.clocks[-1]
        here, there = (host1 - host0) / 1e9, (page1 - page0) / 1000
        if abs(here - there) > max(CLOCK_S, CLOCK_SHARE * here):
            text = f"同一段记录，页面的时钟走了 {there:.2f} s，本机的时钟走了 {here:.2f} s：页面的时钟不可信"
            yield Validity("XRF-V08", Severity.INVALID, text)
    if kind == "window":
        yield Validity("XRF-V13", Severity.WARNING, "是浏览器窗口的帧，不是头显会话（WebXR）的帧")
    renderer = str(heard.about.get("renderer") or "")
    if session.get("headless") or any(word in renderer.casefold() for word in SOFTWARE):
        text = f"无窗口或软件渲染（{renderer or '未知'}）：不代表用户的设备"
        yield Validity("XRF-V14", Severity.WARNING, text)


def _of_frames(times: NDArray[np.float64], params: Params) -> Iterator[Validity]:
    """What frame times alone tell."""
    import numpy as np

    total = float(times.sum()) / 1000
    if total < params.least_s:
        yield Validity("XRF-V09", Severity.INVALID, f"只有 {total:.1f} s 的帧，至少要 {params.least_s:g} s")
    if not times.size:
        return
    slow = (times >= THROTTLED_MS[0]) & (times <= THROTTLED_MS[1])
    if _longest_row(slow) >= THROTTLED_IN_A_ROW:
        text = f"连续 {_longest_row(slow)} 帧各约 1 s：页面被浏览器降频，不是场景的帧率"
        yield Validity("XRF-V07", Severity.INVALID, text)
    usual = float(np.median(times))
    if params.refresh_hz:
        yield from _against_display(times, usual, 1000 / params.refresh_hz, params.refresh_hz)
    summary = _summary(times)
    mean, low = summary["fps_mean"], summary["fps_slowest_1_percent"]
    if mean and low is not None and low < mean / 2:
        text = f"平均 {mean:.1f} fps，而最慢的 1% 只有 {low:.1f} fps：平均帧率掩盖了卡顿"
        yield Validity("XRF-V11", Severity.WARNING, text)


def _against_display(times: NDArray[np.float64], usual: float, period: float, hz: float) -> Iterator[Validity]:
    if usual < FASTER * period:
        text = f"半数以上的帧短于 {usual:.2f} ms，而 {hz:g} Hz 的屏幕 {period:.2f} ms 才显示一帧：多出的帧没有显示"
        yield Validity("XRF-V04", Severity.INVALID, text)
        return
    if abs(usual - max(1, round(usual / period)) * period) > OFF_BEAT * period:
        text = f"帧时间的中位数 {usual:.2f} ms 不是 {hz:g} Hz 一周期（{period:.2f} ms）的整数倍：刷新率与约定的不同"
        yield Validity("XRF-V05", Severity.WARNING, text)
    if float((abs(times - period) <= OFF_BEAT * period).mean()) >= CAPPED:
        text = f"帧率被刷新率限在 {hz:g} Hz：看不出还有多少余量"
        yield Validity("XRF-V10", Severity.INFO, text)


def _interactions(heard: Heard, params: Params, clicks: Json) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """(ms from input to the frame after it, s of each, how many never came). Where the probe clicked each click is one."""
    import numpy as np

    real = [i for i in heard.inputs if i.trusted]
    values = [max(i.shown - i.happened, 0.0) for i in real]
    start = heard.window.begun[0] if heard.window.begun else 0.0
    at = [(i.happened - start) / 1000 for i in real]
    lost = max(0, clicks - len(real)) if type(clicks) is int else 0
    last = at[-1] if at else 0.0
    return np.array(values + [np.inf] * lost), np.array(at + [last] * lost), lost


def _summary(times: NDArray[np.float64]) -> dict[str, float | int | None]:
    """What both definitions of a slow frame come to, beside the mean rate (frames over time) and the stalls."""
    import numpy as np

    if not times.size or not times.sum():
        return dict.fromkeys(
            (
                "frames",
                "fps_mean",
                "fps_slowest_1_percent",
                "frame_ms_p99",
                "fps_of_p99",
                "stalls",
                "longest_ms",
                "stalled_share",
            )
        )
    ordered = np.sort(times)
    n = times.size
    p99 = float(ordered[-(-99 * n // 100) - 1])
    slowest = ordered[-max(1, n // 100) :]
    stalls = times > STALL * float(np.median(times))
    return {
        "frames": n,
        "fps_mean": 1000 * n / float(times.sum()),
        "fps_slowest_1_percent": 1000 / float(slowest.mean()),
        "frame_ms_p99": p99,
        "fps_of_p99": 1000 / p99 if p99 else None,
        "stalls": int(stalls.sum()),
        "longest_ms": float(ordered[-1]),
        "stalled_share": float(times[stalls].sum() / times.sum()),
    }


def _most_common(values: NDArray[np.float64]) -> float:
    """Share of the most frequent value."""
    import numpy as np

    return float(np.unique(values, return_counts=True)[1].max()) / values.size if values.size else 0.0


def _longest_row(flags: NDArray[np.bool_]) -> int:
    """The longest stretch of True."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
