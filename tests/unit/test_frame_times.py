"""Frame-time logs of the tools that people have: read to the last frame, and nothing taken for a frame that is none."""

from __future__ import annotations

import io

import pytest

from yanshou.formats.frame_times import FrameLog, read_frames

PRESENTMON_1 = """Application,ProcessID,SwapChainAddress,Runtime,SyncInterval,PresentFlags,Dropped,TimeInSeconds,msInPresentAPI,\
msBetweenPresents,AllowsTearing,PresentMode,msUntilRenderComplete,msUntilDisplayed,msBetweenDisplayChange
venue.exe,42,0x1,DXGI,1,0,0,1.000000,0.1,11.1,0,Composed: Flip,5,20,11.112
venue.exe,42,0x1,DXGI,1,0,1,1.011000,0.1,11.0,0,Composed: Flip,5,0,0
venue.exe,42,0x1,DXGI,1,0,0,1.022224,0.1,11.2,0,Composed: Flip,5,20,22.224
"""
PRESENTMON_2 = """Application,ProcessID,PresentRuntime,CPUStartTime,FrameTime,CPUBusy,CPUWait,DisplayLatency,DisplayedTime
venue.exe,42,DXGI,1000.0,11.0,5,6,20,11.1
venue.exe,42,DXGI,1011.0,11.0,5,6,NA,NA
venue.exe,42,DXGI,1022.2,11.2,5,6,20,22.25
"""
UNTRACKED = "Application,TimeInSeconds,msBetweenPresents\nvenue.exe,1,11.1\nvenue.exe,1.0111,11.2\n"
UNREAL = """EVENTS,FrameTime,GameThreadTime,RenderThreadTime,GPUTime
,13.8800,6.1,5,4
Level/Loaded##1.25,41.7001,30,5,4
,13.9,6,5,4
EVENTS,FrameTime,GameThreadTime,RenderThreadTime,GPUTime
[HasHeaderRowAtEnd],1,[Platform],Windows
"""
XRFRAMETOOLS = """\ufeffTime (µs),Time (UTC),Time (Local),Frame Interval (µs),FPS,Count,App CPU (µs)
13888,"2025-03-01T01:00:00.013","2025-03-01T09:00:00.013",13888,72.0,1,4000
27777,"2025-03-01T01:00:00.027","2025-03-01T09:00:00.027",13889,72.0,1,4000
"""


def read(text: str, application: str | None = None) -> FrameLog:
    return read_frames(io.BytesIO(text.encode()), application)


@pytest.mark.parametrize(
    ("text", "kind", "times", "starts", "unshown", "shown", "resolution"),
    [
        (PRESENTMON_1, "PresentMon", [11.112, 22.224], [1000.0, 1022.224], 1, True, 0.001),
        (PRESENTMON_2, "PresentMon", [11.1, 22.25], [1000.0, 1022.2], 1, True, 0.01),
        (UNTRACKED, "PresentMon", [11.1, 11.2], [1000.0, 1011.1], 0, False, 0.1),
        (UNREAL, "Unreal CSV", [13.88, 41.7001, 13.9], [], 0, False, 0.0001),
        (XRFRAMETOOLS, "XRFrameTools", [13.888, 13.889], [13.888, 27.777], 0, True, 0.001),
        ("frame_ms\n16.7\n33.4\n", "CSV", [16.7, 33.4], [], 0, False, 0.1),
        ("16.7\n33.4\n", "CSV", [16.7, 33.4], [], 0, False, 0.1),
    ],
)
def test_each_kind_is_read(text, kind, times, starts, unshown, shown, resolution) -> None:
    log = read(text)
    assert (log.kind, log.unshown, log.shown, log.bad) == (kind, unshown, shown, 0)
    assert log.times_ms.tolist() == pytest.approx(times)
    assert log.starts_ms.tolist() == pytest.approx(starts)
    assert log.resolution_ms == pytest.approx(resolution)


def test_lines_that_cannot_be_read_are_counted() -> None:
    log = read(UNTRACKED + "venue.exe,2\nvenue.exe,2,fast\nvenue.exe,3,-1\nvenue.exe,3,nan\n")
    assert (len(log.times_ms), log.bad) == (2, 4)


def test_one_of_several_applications_is_picked_by_name() -> None:
    both = UNTRACKED + "dwm.exe,1.5,6.9\n"
    with pytest.raises(ValueError, match=r"几个程序（venue\.exe、dwm\.exe）"):
        read(both)
    assert read(both, "dwm.exe").times_ms.tolist() == [6.9]
    with pytest.raises(ValueError, match=r"没有程序 game\.exe；有：dwm\.exe、venue\.exe"):
        read(both, "game.exe")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Time,average_frame_rate,stale_frame_count\n1,72,0\n", "只有帧率列"),
        ("time,fps\n1,72\n", "只有帧率列"),
        ("a,b\n1,2\n", "不是认识的帧时间日志"),
        ("", "不是认识的帧时间日志"),
        (XRFRAMETOOLS.replace(",1,4000", ",72,4000"), "几帧的平均"),
    ],
)
def test_averages_and_other_tables_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text)


def test_cells_without_end_and_lines_that_break_off() -> None:
    with pytest.raises(ValueError, match="不是 CSV"):
        read_frames(io.BytesIO(b"frame_ms\n" + b"1" * 200_000 + b"\n"))
    log = read_frames(io.BytesIO(b"TimeInSeconds,MsBetweenPresents,Dropped\n1,16.6,0\n2,16.6,1\n3,16.6\n"))
    assert (list(log.times_ms), log.unshown) == ([16.6, 16.6], 1)
