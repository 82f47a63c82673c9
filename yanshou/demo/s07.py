"""Scenario 7 “元宇宙”, live: an inspected venue, a headset's frame-time log of known stalls, and a page clicked in a browser.

The venue is made up. Where this host has no Chromium, the case has no click in it and says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from yanshou.demo.heading import heading
from yanshou.demo.play import Demo, Standing
from yanshou.demo.visits import Visit, checklist, write_sheet
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.xr_frames.browser import find_browser
from yanshou.probes.xr_frames.reference import frame_log, programmed_page

REFRESH_HZ, USUAL_MS = 72, 13.9
FRAMES, STALLS, STALL_MS = 12_000, 5, 20.0
"""Frames of the log, how many of them stall, and for about how long: the slowest 1 % are mostly usual frames."""
COMMITTED_FPS = 60
WORK_MS = 8.0
"""How long each frame of the page truly works."""
CLICKS, PAGE_S = 90, 14.0
COMMITTED_MS = 400
"""Far above what an idle host needs: a laptop that renders without a graphics card shall pass."""
ATTEMPTS = 3
"""Fixed in the plan, so that a laptop busy with other things may try again."""
LOG = "inputs/frames.csv"


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """The page on loopback, where there is a browser; the case and its inputs in `folder`."""
    with ExitStack() as stack:
        page = stack.enter_context(programmed_page(WORK_MS, lasting_s=PAGE_S))[0] if has_browser() else None
        write_inputs(folder)
        write_atomic(folder / "case.yaml", case_text(page).encode())
        clicked = f"网页每帧忙 {WORK_MS:g} ms，由本机浏览器点击" if page else "本机没有 Chromium，不测点击"
        yield Standing(f"场景 1 个；{FRAMES} 帧的日志，约 {USUAL_MS} ms 一帧，卡顿 {STALLS} 次；{clicked}")


def has_browser() -> bool:
    """True where this host has one that can be driven."""
    try:
        find_browser(None)
    except ProbeError:
        return False
    return True


def write_inputs(folder: Path) -> None:
    """The log, the answer sheet and its evidence files. Raises OSError."""
    write_sheet(folder, "S07-I01", "演示展馆", venues())
    frame_log(folder / LOG, USUAL_MS, 7, frames=FRAMES, stalls=STALLS, stall_ms=STALL_MS)


def venues() -> tuple[Visit, ...]:
    """One visit of the one venue."""
    expected = "在武汉有固定地址或运营主体,对外开放,连续运营 30 日以上,能完整体验一次"
    observed = "演示展馆(虚构,武汉某地):对外开放,运营记录满 30 日,完整体验一次"
    files = ("地址与开放时间照片", "运营记录", "体验录像")
    return (Visit("S07-I01-01", "演示展馆(虚构)", expected, observed, files),)


def visit(folder: Path, plan: Plan) -> None:
    """Nothing is drawn here."""


def case_text(page: str | None) -> str:
    """The demonstration's case.yaml."""
    frames = {"file": LOG, "refresh_hz": REFRESH_HZ}
    clicks = {
        "page": page, "metric": "interaction", "interactions": CLICKS, "duration_s": PAGE_S, "warmup_s": 2, "least_s": 0,
    }  # fmt: skip
    content = ["S07-I01", "S07-Q01", *(["S07-P01"] if page else [])]
    promised = f"""
  S07-P01:
    name: 点击至呈现时延
    kind: measured
    baseline: 900 ms
    target: ≤ {COMMITTED_MS} ms
    note: 本机浏览器里自点击至其后一帧,P95"""
    measured = f"""
  S07-P01:
    probe: xr.frames
    params: {json.dumps(clicks)}
    rule: {{statistic: p95, attempts: {ATTEMPTS}}}"""
    head = heading(7, "元宇宙典型应用", "某元宇宙展馆", content, "生成的帧时间日志与内置网页")
    return f"""{head}commitments:
  S07-I01: {{baseline: 0 个, target: 不少于1个, define: {{recognition: 武汉固定地址、对外开放且连续运营 30 日以上}}}}
  S07-Q01:
    name: 最慢 1% 帧的平均帧率
    kind: measured
    baseline: 45 fps
    target: ≥ {COMMITTED_FPS} fps
    define: {{statistic: 1%-low}}{promised if page else ""}
measure:
  S07-I01: {{probe: inspection}}
  S07-Q01: {{probe: xr.frames, params: {json.dumps(frames)}}}{measured if page else ""}
inspections:
  S07-I01:
    sheet: inputs/S07-I01.yaml
    items:
{checklist(venues())}
"""


DEMO = Demo(stand, visit, {"S07-P01": ATTEMPTS})
