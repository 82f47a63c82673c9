"""Records what a page reports of its frames, or takes a frame-time log into evidence.

It is for keeping every report as it came, with the host's own time beside it. It must never compute a frame time or leave one out.
"""

from __future__ import annotations

import json
import queue
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yanshou.formats.frame_times import read_frames
from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import digest_file
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.importing import checked_file, one_line
from yanshou.probes.load.capture import generating
from yanshou.probes.xr_frames.browser import SIZE, Page, opened
from yanshou.probes.xr_frames.serving import serving, source
from yanshou.probes.xr_frames.spec import OWN, Params
from yanshou.probes.xr_frames.streams import BATCHES, BINDING, END, FORMAT, INPUT_COLUMNS, INPUTS, LOG, SESSION

if TYPE_CHECKING:
    from yanshou.harness.evidence import StreamWriter

NEWS_S = 1.0
TAIL_S = 1.2
"""After the planned time, so that the last report and the last answered input still come."""


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError XRF-E01 (log), E02 (browser), E03 (page does not open), E04 (browser breaks off), E05
    (cannot serve), E06 (nothing reported); LOD-E01 to E05 of the load."""
    name = params.file_of(run.subject)
    if params.file or params.files:
        _take_log(params, name, run)
        return
    with generating(params.load, run) if params.load else nullcontext():
        if params.page is not None:
            _watch(params, run)
        else:
            _wait_for_device(params, run)


def _take_log(params: Params, name: str | None, run: RunContext) -> None:
    if name is None:
        text = f"受检对象 {run.subject or '（没有写）'} 没有日志"
        raise ProbeError("XRF-E01", text, "在 params.files 逐个写明，或写一个共同的 params.file")
    codes = dict.fromkeys(("missing", "directory", "empty", "unreadable"), "XRF-E01")
    path = checked_file(run.folder, name, "帧时间日志", **codes)
    try:
        with path.open("rb") as f:
            read = read_frames(f, params.application)
    except ValueError as error:
        raise ProbeError("XRF-E01", one_line(f"{path.name}：{error}"), "导出逐帧的日志，或改正 application") from None
    sha256 = run.sink.attach(path, LOG)
    _describe(run, {"source": "log", "file": path.name, "sha256": sha256, "kind": read.kind})
    _finish(run, {"sha256": digest_file(path)})


def _describe(run: RunContext, about: dict[str, Json]) -> None:
    _json(run.sink.stream(SESSION), {"format": FORMAT, "subject": run.subject, **about})


def _finish(run: RunContext, said: dict[str, Json]) -> None:
    _json(run.sink.stream(END), said)


def _json(stream: StreamWriter, value: Json) -> None:
    stream.write(json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n")


@dataclass
class _Recorder:
    """Writes reports as they come. The host's clock runs from the first."""

    run: RunContext
    stream: StreamWriter = field(init=False)
    reports: int = 0
    failure: str = ""

    def __post_init__(self) -> None:
        self.stream = self.run.sink.stream(BATCHES)

    def take(self, text: str) -> None:
        """One report, verbatim on a line of its own."""
        self.reports += 1
        line = json.dumps({"host_ns": time.monotonic_ns(), "report": text}, ensure_ascii=False)
        self.stream.write(line.encode("utf-8", "replace") + b"\n")

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """What the browser tells."""
        if method == "Runtime.bindingCalled" and params.get("name") == BINDING:
            self.take(str(params.get("payload", "")))
        elif method == "Inspector.targetCrashed":
            self.failure = "页面崩溃了"


def _watch(params: Params, run: RunContext) -> None:
    """Open the page in a browser of this host, and listen; click on it where that was planned."""
    assert params.page is not None
    recorder = _Recorder(run)
    with (
        serving(params.address, _nothing) as own,
        opened(params.browser, params.headless, recorder.hear) as (page, version),
    ):
        address = own if params.page == OWN else params.page
        _describe(run, {"source": "browser", "page": params.page, "browser": version, "headless": params.headless})
        for command in ("Page.enable", "Runtime.enable", "Inspector.enable"):
            page.call(command)
        page.call("Runtime.addBinding", name=BINDING)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=source("recorder.js"))
        page.call("Page.bringToFront")
        answer = page.call("Page.navigate", url=address)
        if "errorText" in answer:
            text = f"打不开 {params.page}：{answer['errorText']}"
            raise ProbeError("XRF-E03", one_line(text), "在同一台电脑的浏览器里打开它试试，检查网址、网络与证书")
        until = time.monotonic() + params.wait_s
        while not recorder.reports and time.monotonic() < until and not recorder.failure:
            page.listen(0.1)
        if not recorder.reports:
            text = recorder.failure or f"{params.wait_s:g} s 内页面没有报来一帧"
            raise ProbeError("XRF-E06", text, "看页面是否打开、是否一直在加载")
        clicks = _clicks(params, run.seed)
        clicked = _listen(params, run, page, recorder, clicks)
        _finish(run, {"reports": recorder.reports, "clicks": clicked})


def _nothing(_report: str) -> None:
    """A page in a browser that is driven reports by the driver alone: what it posts is nobody's."""


def _clicks(params: Params, seed: int) -> list[float]:
    """When to click, s after the first report: evenly, each moved by up to half a gap, so that no beat with frames remains."""
    if not params.interactions:
        return []
    draw = random.Random(seed)
    gap = (params.duration_s - params.warmup_s) / params.interactions
    return [params.warmup_s + gap * (n + 0.5 + 0.5 * (draw.random() - 0.5)) for n in range(params.interactions)]


def _listen(params: Params, run: RunContext, page: Page, recorder: _Recorder, clicks: list[float]) -> int:
    start = time.monotonic()
    news, done = start, 0
    stream = run.sink.stream(INPUTS) if clicks else None
    if stream:
        stream.write(INPUT_COLUMNS.encode() + b"\n")
    while (passed := time.monotonic() - start) < params.duration_s + TAIL_S:
        if recorder.failure:
            raise ProbeError("XRF-E04", recorder.failure, "查明原因（内存、显卡驱动），再测一次")
        if stream and done < len(clicks) and passed >= clicks[done]:
            stream.write(f"{done},{time.monotonic_ns()}\n".encode())
            _click(page, params.at)
            done += 1
        ahead = clicks[done] - passed if done < len(clicks) else params.duration_s + TAIL_S - passed
        page.listen(min(max(ahead, 0.0), 0.1))
        if time.monotonic() - news > NEWS_S:
            news = time.monotonic()
            run.progress(Progress(round(min(passed, params.duration_s)), round(params.duration_s), text="秒"))
    return done


def _click(page: Page, at: tuple[float, float]) -> None:
    where = {"x": round(SIZE[0] * at[0]), "y": round(SIZE[1] * at[1]), "button": "left", "clickCount": 1}
    page.post("Input.dispatchMouseEvent", type="mousePressed", **where)
    page.post("Input.dispatchMouseEvent", type="mouseReleased", **where)


def _wait_for_device(params: Params, run: RunContext) -> None:
    """Serve page and recorder, and take what a headset reports."""
    recorder = _Recorder(run)
    heard: queue.Queue[str] = queue.Queue()
    with serving(params.address, heard.put) as own:
        _describe(run, {"source": "device", "page": own})
        answered = run.ask(f"请在头显的浏览器里打开 {own} （项目的页面则引入 {own}recorder.js ），开始后让它运行到结束")
        del answered  # the first report is the answer
        start, until, news = 0.0, time.monotonic() + params.wait_s, time.monotonic()
        while time.monotonic() < until:
            try:
                recorder.take(heard.get(timeout=min(0.2, max(until - time.monotonic(), 0.01))))
            except queue.Empty:
                continue
            if not start:
                start = time.monotonic()
                until = start + params.duration_s + TAIL_S
            if time.monotonic() - news > NEWS_S:
                news = time.monotonic()
                run.progress(Progress(round(min(news - start, params.duration_s)), round(params.duration_s), text="秒"))
        if not recorder.reports:
            text = f"{params.wait_s:g} s 内没有设备打开 {own}"
            raise ProbeError("XRF-E06", text, "检查头显与本机是否在同一网络、防火墙是否放行该端口")
        _finish(run, {"reports": recorder.reports, "clicks": 0})
