"""Standards of `xr.frames`: a frame-time log of known stalls, and a page in a real browser that stalls as programmed.

The page's truth is what the browser told its own script of each frame, sent to the standard's own server; the log's was drawn.
Where this host has no browser the second point is a log as well, and says so: nothing but logs and headsets can be measured there.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.xr_frames.browser import find_browser

POINTS = (11.1, 58.0)
"""About what frames take, ms: a log at 90 Hz, and a page whose every frame works that long."""
FRAMES, STALLS, STALL_MS = 6000, 40, 150.0
PAGE_S = 4.0
LOG_BASIS = "由种子生成的 PresentMon 日志：逐帧的帧时间与卡顿按构造已知"
PAGE_BASIS = "本机浏览器里每帧按程序忙等的页面：真值为浏览器告诉页面自己的脚本的各帧时刻之间隔的中位数，经另一条路送出"


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A log, or a page, whose frames take about `true_value`; truth in truth.json. Raises ProbeError."""
    if true_value != POINTS[0] and _has_browser():
        with programmed_page(true_value) as (address, seen):
            yield {"page": address, "duration_s": PAGE_S, "warmup_s": 0, "wait_s": 60, "least_s": 0}
        if len(seen) < 2:
            raise ProbeError("XRF-E06", "标准页面没有送出自己的记录", "关掉其他程序后再校准一次")
        _truth(run, median(b - a for a, b in pairwise(seen)), len(seen) - 1, PAGE_BASIS)
        return
    with tempfile.TemporaryDirectory(prefix="yanshou-") as name:
        path = Path(name) / "log.csv"
        times = frame_log(path, true_value, run.seed)
        _truth(run, median(times), len(times), LOG_BASIS)
        yield {"file": str(path), "warmup_s": 0, "least_s": 0}


def _truth(run: RunContext, value: float, n: int, basis: str) -> None:
    truth = {"true": value, "unit": "ms", "n": n, "basis": basis}
    run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")


def _has_browser() -> bool:
    try:
        find_browser(None)
    except ProbeError:
        return False
    return True


def frame_log(
    path: Path, usual_ms: float, seed: int, frames: int = FRAMES, stalls: int = STALLS, stall_ms: float = STALL_MS
) -> list[float]:
    """Write a PresentMon 1.x log of frames about `usual_ms`, of which `stalls` take about `stall_ms`; the times written."""
    draw = random.Random(seed)
    stalled = set(draw.sample(range(frames), stalls))
    times, at = [], 0.0
    rows = ["Application,ProcessID,Runtime,Dropped,TimeInSeconds,msBetweenPresents,msBetweenDisplayChange"]
    for n in range(frames):
        time = round(
            draw.gauss(stall_ms, stall_ms / 10) if n in stalled else max(draw.gauss(usual_ms, 0.3), usual_ms / 2), 4
        )
        at += time / 1000
        times.append(time)
        rows.append(f"venue.exe,4242,DXGI,0,{at:.6f},{time:.4f},{time:.4f}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return times


PAGE = """<!doctype html><meta charset="utf-8"><title>standard</title><canvas></canvas><script>
const seen = [], work = {work};
const post = () => {{ fetch("/truth", {{method: "POST", body: JSON.stringify(seen.splice(0))}}); }};
let first = null;
const frame = (time) => {{
  const begun = performance.now();
  first ??= time;
  if (time - first <= {lasting}) seen.push(time);
  const long = work();
  while (performance.now() - begun < long) ;
  requestAnimationFrame(frame);
}};
requestAnimationFrame(frame);
setInterval(post, 300);
addEventListener("pointerdown", () => {{ document.title = "touched"; }});
</script>"""


@contextmanager
def programmed_page(work_ms: float, every: int = 1, lasting_s: float = PAGE_S) -> Iterator[tuple[str, list[float]]]:
    """A page on loopback whose every `every`-th frame works for `work_ms`: its address, and the time of each frame in ms."""
    seen: list[float] = []
    guard = threading.Lock()
    work = f"() => (globalThis.count = (globalThis.count || 0) + 1) % {every} ? 0 : {work_ms}"
    body = PAGE.format(work=work, lasting=1000 * lasting_s).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = self.path == "/"
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body) if page else 0))
            self.end_headers()
            self.wfile.write(body if page else b"")

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with guard:
                seen.extend(told)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is written to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
