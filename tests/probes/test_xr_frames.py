"""Frames and interactions: of pages in a real Chromium, of logs, and of pages and logs that lie."""

from __future__ import annotations

import json
import math
import queue
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, record

from tests.probes.standards import recorded
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.model import Samples
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.xr_frames.analyse import analyse
from yanshou.probes.xr_frames.browser import find_browser, opened
from yanshou.probes.xr_frames.capture import capture
from yanshou.probes.xr_frames.reference import POINTS, frame_log, programmed_page, standard
from yanshou.probes.xr_frames.serving import LARGEST, serving, source
from yanshou.probes.xr_frames.spec import SPEC, Params, estimate
from yanshou.probes.xr_frames.streams import BINDING


def given(**changes: Any) -> Params:
    return Params.model_validate({"file": "log.csv", "warmup_s": 0, "least_s": 0, **changes})


def of_log(folder: Path, **changes: Any) -> Samples:
    params = given(**changes)
    return analyse(record(folder, capture, params), params, 1)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Samples, list[float]]:
    """Frames and interactions of one session of a programmed page in a real browser, and what the page itself saw."""
    folder = tmp_path_factory.mktemp("page")
    with programmed_page(90.0, every=4, lasting_s=5) as (address, seen):
        params = Params(
            page=address, metric="interaction", interactions=8, duration_s=5, warmup_s=0, least_s=0, refresh_hz=60
        )
        evidence = record(folder, capture, params)
    frames = analyse(evidence, params.model_copy(update={"metric": "frame"}), 1)
    return frames, analyse(evidence, params, 1), list(seen)


def test_programmed_stalls_are_recovered_from_a_real_page(watched: tuple[Samples, Samples, list[float]]) -> None:
    frames, _, seen = watched
    true = np.diff(seen)
    assert frames.values.size == pytest.approx(true.size, abs=8)
    # A frame that works for 90 ms is followed by one that the browser dates to a refresh before or after its end.
    programmed, found = int((true >= 60).sum()), int((frames.values >= 60).sum())
    assert programmed >= 10
    assert found == pytest.approx(programmed, abs=1)
    both = min(true.size, frames.values.size)
    same = np.isclose(frames.values[:both], true[:both], atol=0.11)
    assert same.mean() > 0.95, "the recorder and the page's own script are told the same times"


def test_a_window_of_a_headless_browser_is_named_as_such(watched: tuple[Samples, Samples, list[float]]) -> None:
    frames, _, _ = watched
    found = codes(frames.validity)
    assert {"XRF-V13": "warning", "XRF-V14": "warning"}.items() <= found.items()
    assert "invalid" not in found.values()
    assert frames.facts["frames_of"] == "window"
    assert frames.facts["browser"].startswith("Chrome/")
    assert frames.facts["fps_slowest_1_percent"] < frames.facts["fps_of_p99"] + 1e-9 < frames.facts["fps_mean"]


def test_every_click_of_the_probe_is_answered_by_a_frame(watched: tuple[Samples, Samples, list[float]]) -> None:
    _, inputs, _ = watched
    assert inputs.values.size == 8
    assert np.isfinite(inputs.values).all()
    assert (inputs.values > 0).all()
    assert inputs.facts["inputs"] == 8
    assert (np.diff(inputs.times) > 0).all()


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_recovered(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = recorded(standard, Params.model_validate, capture, true_value, tmp_path, 7)
    found = analyse(evidence, params, 7)
    assert abs(float(np.median(found.values)) - truth["true"]) <= SPEC.tolerance
    assert "invalid" not in codes(found.validity).values()


EMULATOR = """globalThis.XRSession = class {
  requestAnimationFrame(callback) { return window.requestAnimationFrame((time) => callback(time, {})); }
};"""
"""The one method of a WebXR session that the recorder hooks into, as a stand-in for a headset's."""
IMMERSED = (
    "{ const s = new XRSession(); const draw = () => s.requestAnimationFrame(draw); s.requestAnimationFrame(draw); }"
)


def test_a_device_that_opens_the_served_page_reports_its_sessions_frames(tmp_path: Path) -> None:
    """A real browser that nobody listens to opens the page, as a headset would, and posts what its session does."""
    params = Params(listen="127.0.0.1:0", duration_s=2, warmup_s=0, least_s=0, wait_s=120)
    asked: queue.Queue[str] = queue.Queue()

    def recorded() -> Samples:
        with Ledger(tmp_path) as ledger, RunWriter(ledger, "x", {}) as run:
            capture(params, RunContext(run.sink, 1, tmp_path, ask=asked.put))
            run.close(RunStatus.COMPLETED)
        return analyse(runs_of(ledger.records)[0].evidence(tmp_path), params, 1)

    with opened(None, True, lambda *_: None) as (tab, _), ThreadPoolExecutor(1) as pool:
        tab.call("Page.enable")
        tab.call(
            "Page.addScriptToEvaluateOnNewDocument", source=f"{EMULATOR} addEventListener('load', () => {IMMERSED})"
        )
        running = pool.submit(recorded)
        tab.call("Page.navigate", url=next(word for word in asked.get(timeout=60).split() if word.startswith("http")))
        found = running.result()
    assert found.facts["source"] == "device"
    assert found.facts["frames_of"] == "xr"
    assert found.values.size > 10
    assert {"XRF-V13", "XRF-V01"}.isdisjoint(codes(found.validity))


def test_frames_while_others_use_the_platform(tmp_path: Path) -> None:
    """Virtual users by locust ask the platform while a real browser shows its page."""
    with programmed_page(1.0) as (address, _):
        target = {"kind": "http", "url": address}
        load = {"target": target, "users": 4, "rate": 2, "ramp_s": 0.5, "timeout_s": 5}
        params = Params(page=address, duration_s=1, warmup_s=0, least_s=0, load=load)  # type: ignore[arg-type]
        found = analyse(record(tmp_path, capture, params), params, 1)
    assert codes(found.validity)["XRF-V17"] == "info"
    assert found.facts["load"]
    assert found.values.size > 5
    with_fault = record(tmp_path / "short", capture, given(file=str(written_log(tmp_path))))
    judged_so = analyse(with_fault, given().model_copy(update={"load": params.load}), 1)
    assert codes(judged_so.validity)["XRF-V18"] == "invalid", "no load was recorded"


def written_log(folder: Path) -> Path:
    frame_log(folder / "log.csv", 13.9, 1, frames=200, stalls=2)
    (folder / "short").mkdir()
    return folder / "log.csv"


def test_nothing_but_reports_is_taken(tmp_path: Path) -> None:
    taken: list[str] = []
    with serving(("127.0.0.1", 0), taken.append) as address:
        port = urlsplit(address).port or 0
        for path, size in (("/other", "2"), ("/report", str(LARGEST + 1)), ("/report", "x")):
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.putrequest("POST", path)
            connection.putheader("Content-Length", size)
            connection.endheaders()
            assert connection.getresponse().status == 404
            connection.close()
        with pytest.raises(ProbeError, match="XRF-E05"), serving(("127.0.0.1", port), taken.append):
            pass
    assert taken == []


# Reports as the recorder makes them, for what no honest page would do.


def report(
    batch: int, start: float, frames: int, *, kind: str = "window", period: float = 1000 / 72, **changes: Any
) -> dict:
    jitter = random.Random(batch)
    begun = [round(start + n * period, 1) for n in range(frames)]
    rows = [[t, t + 0.4 + 0.3 * jitter.random()] for t in begun]
    full = {
        "batch": batch, "now": start + frames * period, "visible": 1,
        "window": [], "xr": [], "inputs": [], "events": [], "states": [], kind: rows,
    }  # fmt: skip
    if batch == 0:
        full["about"] = {"agent": "headset", "renderer": "Adreno", "xr": True, "title": "x"}
        full["states"] = [[0.0, 1]]
    return {**full, **changes}


def page(*reports: dict, host: Callable[[dict], float] = lambda r: r["now"], **session: Any) -> MemoryEvidence:
    lines = [json.dumps({"host_ns": round(host(r) * 1e6) + 5, "report": json.dumps(r)}) for r in reports]
    return MemoryEvidence(
        {
            "session.json": json.dumps({"source": "device", **session}).encode(),
            "batches.jsonl": "\n".join(lines).encode() + b"\n",
            "end.json": json.dumps({"reports": len(reports), "clicks": 0}).encode(),
        }
    )


PERIOD = 1000 / 72


def session(number: int = 40, **changes: Any) -> list[dict]:
    """`number` reports of half a second each of a headset at 72 Hz."""
    return [report(n, n * 36 * PERIOD, 36, kind="xr", **changes) for n in range(number)]


def judged(evidence: Any, **changes: Any) -> Samples:
    given = {"listen": "127.0.0.1:0", "warmup_s": 0, "least_s": 0, "refresh_hz": 72, "duration_s": 20, **changes}
    params = Params.model_validate(given)
    return analyse(evidence, params, 1)


def test_an_honest_headset_has_no_findings_but_its_cap() -> None:
    found = judged(page(*session()))
    assert codes(found.validity) == {"XRF-V10": "info"}
    assert found.facts["fps_mean"] == pytest.approx(72, rel=1e-3)
    assert (found.unit, found.values.size, found.resolution) == ("ms", 40 * 36 - 1, 0.1)


def without(reports: list[dict]) -> list[dict]:
    return reports[:5] + reports[6:]


def restarted(reports: list[dict]) -> list[dict]:
    return reports[:20] + [{**r, "batch": n} for n, r in enumerate(reports[20:])]


def backwards(reports: list[dict]) -> list[dict]:
    rows = reports[3]["xr"]
    rows[5], rows[6] = rows[6], rows[5]
    return reports


def made_up(reports: list[dict]) -> list[dict]:
    for r in reports:
        r["xr"] = [[t, t + 0.5] for t, _ in r["xr"]]
        for n, row in enumerate(r["xr"]):
            row[1] = (r["batch"] * 36 + n) * 13.9
    return reports


def hidden(reports: list[dict]) -> list[dict]:
    reports[7]["states"] = [[3500.0, 0], [3600.0, 1]]
    return reports


def slow(reports: list[dict]) -> list[dict]:
    """In the last four seconds a frame a second, as a browser allows a page that nobody sees."""
    for n, r in enumerate(reports[-8:]):
        r["xr"] = [] if n % 2 else r["xr"][:1]
    return reports


def stalling(reports: list[dict]) -> list[dict]:
    late = 0.0
    for r in reports:
        r["xr"] = [[t + late, c + late] for t, c in r["xr"]]
        r["now"] += late
        late += 300
    return reports


@pytest.mark.parametrize(
    ("spoil", "code", "severity"),
    [
        (without, "XRF-V01", "invalid"),
        (restarted, "XRF-V01", "invalid"),
        (backwards, "XRF-V02", "invalid"),
        (made_up, "XRF-V03", "invalid"),
        (hidden, "XRF-V06", "invalid"),
        (slow, "XRF-V07", "invalid"),
        (stalling, "XRF-V11", "warning"),
    ],
)
def test_what_forbids_trust_in_a_page_is_named(
    spoil: Callable[[list[dict]], list[dict]], code: str, severity: str
) -> None:
    assert codes(judged(page(*spoil(session()))).validity)[code] == severity


def test_faster_than_the_display_and_off_its_beat() -> None:
    assert codes(judged(page(*session()), refresh_hz=60).validity)["XRF-V04"] == "invalid"
    assert codes(judged(page(*session()), refresh_hz=90).validity)["XRF-V05"] == "warning"
    assert not {"XRF-V04", "XRF-V05"} & codes(judged(page(*session()), refresh_hz=144).validity).keys()


def test_a_clock_that_runs_otherwise_than_the_hosts() -> None:
    found = codes(judged(page(*session(), host=lambda r: 1.1 * r["now"])).validity)
    assert found["XRF-V08"] == "invalid"


def test_reports_that_end_early_are_void() -> None:
    assert codes(judged(page(*session()), duration_s=30).validity)["XRF-V01"] == "invalid"


def test_a_session_that_was_left_before_the_heavy_part_is_void() -> None:
    """The window goes on and reports; what the headset would have shown is not in the sample."""
    reports = session()
    for late in reports[-6:]:
        late["window"], late["xr"] = late["xr"], []
    assert codes(judged(page(*reports)).validity)["XRF-V01"] == "invalid"
    assert "XRF-V01" not in codes(judged(page(*session())).validity)


def test_a_page_cannot_report_in_the_recorders_place(tmp_path: Path) -> None:
    with programmed_page(1.0, lasting_s=2) as (address, _):
        params = Params(page=address, duration_s=1, warmup_s=0, least_s=0)
        seen: list[str] = []
        with opened(None, True, lambda method, told: seen.append(f"{method} {told.get('name')}")) as (tab, _version):
            tab.call("Page.enable")
            tab.call("Runtime.enable")
            tab.call("Runtime.addBinding", name=BINDING)
            tab.call("Page.addScriptToEvaluateOnNewDocument", source=source("recorder.js"))
            tab.call("Page.navigate", url=params.page)
            while f"Runtime.bindingCalled {BINDING}" not in seen:
                tab.listen(0.1)
            left = tab.call("Runtime.evaluate", expression=f"typeof globalThis.{BINDING}")
    assert left["result"]["value"] == "undefined"


LIES = """<!doctype html><meta charset="utf-8"><script>
let t = 0;
const even = (rows) => rows.map(() => [t += 16.6 + Math.random() / 5, t + 0.4 + Math.random() / 3]);
const native = JSON.stringify, push = Array.prototype.push;
JSON.stringify = (value, ...more) => native(value && value.window ? {...value, window: even(value.window)} : value, ...more);
Array.prototype.push = function (row) {
  return Array.isArray(row) && row.length === 2 ? push.call(this, [t += 16.6, t + Math.random()]) : push.apply(this, arguments);
};
Array.prototype.toJSON = function () { return even(this); };
Function.prototype.call = function () { return 0; };
Object.defineProperty(Event.prototype, "timeStamp", {get: () => performance.now() + 1000});
Object.defineProperty(Array.prototype, "0", {set() {}});
let count = 0;
const frame = () => {
  const begun = performance.now();
  count++;
  while (count % 4 === 0 && performance.now() - begun < 90) ;
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
</script>"""
"""Every way known to stand between what a recorder saw and what it says: how it keeps rows, how it writes them, how it asks."""


@contextmanager
def shown(body: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.05)
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_page_that_rewrites_what_it_is_asked_for_hides_no_stall(tmp_path: Path) -> None:
    with shown(LIES) as address:
        params = Params(
            page=address, metric="interaction", interactions=4, duration_s=4, warmup_s=0, least_s=0, wait_s=60
        )
        evidence = record(tmp_path, capture, params)
    frames = analyse(evidence, params.model_copy(update={"metric": "frame"}), 1)
    assert int((frames.values >= 60).sum()) >= 8, "it works for 90 ms in every fourth frame"
    assert "invalid" not in codes(frames.validity).values()
    inputs = analyse(evidence, params, 1)
    assert inputs.values.size == 4
    assert (inputs.values > 0).all()


def test_too_short_a_session_is_void() -> None:
    assert codes(judged(page(*session()), least_s=60).validity)["XRF-V09"] == "invalid"


NONSENSE = (
    {"xr": [[1]]},
    {"now": "x"},
    {"now": True},
    {"xr": "many"},
    {"batch": True},
    {"states": [["a", 1, "b"]]},
    {"xr": [[1e999, 2]]},
)


@pytest.mark.parametrize("changes", NONSENSE)
def test_a_page_that_reports_nonsense_is_void_and_never_an_exception(changes: dict[str, Any]) -> None:
    good = session(3)
    evidence = page(good[0], {**good[1], **changes}, good[2], host=lambda r: float(good[0]["now"]))
    assert codes(judged(evidence).validity)["XRF-V01"] == "invalid"


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"\xff\xfe", b'{"host_ns": 1, "report": "{"}', b'{"host_ns": 1, "report": "[]"}']
)
def test_a_damaged_line_is_void(line: bytes) -> None:
    evidence = page(*session(3))
    evidence._streams["batches.jsonl"] += line + b"\n"
    assert codes(judged(evidence).validity)["XRF-V01"] == "invalid"


def test_a_run_without_its_end_is_void() -> None:
    unfinished = page(*session(3))
    del unfinished._streams["end.json"]
    assert codes(judged(unfinished).validity)["XRF-V01"] == "invalid"
    assert codes(judged(MemoryEvidence({})).validity)["XRF-V01"] == "invalid"
    assert codes(analyse(MemoryEvidence({}), given(), 1).validity)["XRF-V01"] == "invalid"  # type: ignore[arg-type]


def test_clicks_that_no_frame_answered_exceed() -> None:
    reports = session(10)
    reports[2]["inputs"] = [["pointerdown", 1000.0, 1001.0, 1030.0, 1], ["pointerdown", 1200.0, 1201.0, 1260.0, 0]]
    evidence = page(*reports)
    evidence._streams["end.json"] = b'{"reports": 10, "clicks": 3}'
    found = analyse(
        evidence, Params(page="own", metric="interaction", interactions=3, warmup_s=0, least_s=0, duration_s=5), 1
    )
    assert found.values.tolist() == [30.0, np.inf, np.inf], "a click that a script made up is none"
    assert codes(found.validity)["XRF-V15"] == "warning"


# Logs


def test_a_log_of_known_stalls_is_recovered_to_the_frame(tmp_path: Path) -> None:
    times = frame_log(tmp_path / "log.csv", 11.1, 3)
    found = of_log(tmp_path, refresh_hz=90)
    assert found.values.tolist() == times
    assert codes(found.validity) == {"XRF-V10": "info", "XRF-V11": "warning"}
    slowest = sorted(times)[-len(times) // 100 :]
    assert found.facts["fps_slowest_1_percent"] == pytest.approx(1000 * len(slowest) / sum(slowest))
    assert found.facts["stalls"] == 40
    assert found.facts["frame_ms_p99"] == sorted(times)[-(-99 * len(times) // 100) - 1]


def cut(lines: list[str]) -> list[str]:
    """Without its stalls, and nothing else."""
    return [line for line in lines if line[0] != "v" or float(line.split(",")[-1]) < 100]


def constant(lines: list[str]) -> list[str]:
    rows = [line.split(",") for line in lines[1:]]
    return [lines[0], *(",".join([*r[:4], f"{n * 0.0166667:.6f}", "16.6667", "16.6667"]) for n, r in enumerate(rows))]


def unordered(lines: list[str]) -> list[str]:
    return [*lines[:50], lines[51], lines[50], *lines[52:]]


def torn(lines: list[str]) -> list[str]:
    return [*lines[:100], lines[100][:20], *lines[101:]]


def dropped(lines: list[str]) -> list[str]:
    return [line.replace("DXGI,0", "DXGI,1") if n == 77 else line for n, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("spoil", "code", "severity"),
    [
        (cut, "XRF-V16", "invalid"),
        (constant, "XRF-V03", "invalid"),
        (unordered, "XRF-V02", "invalid"),
        (torn, "XRF-V01", "invalid"),
        (dropped, "XRF-V12", "warning"),
    ],
)
def test_what_forbids_trust_in_a_log_is_named(
    tmp_path: Path, spoil: Callable[[list[str]], list[str]], code: str, severity: str
) -> None:
    path = tmp_path / "log.csv"
    frame_log(path, 16.7, 3, frames=2000, stalls=20)
    path.write_text("\n".join(spoil(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
    assert codes(of_log(tmp_path).validity)[code] == severity


def test_a_second_of_stalls_taken_out_of_ten_minutes_is_found(tmp_path: Path) -> None:
    """Two thousandths of the time are half of what the slowest hundredth of the frames is made of."""
    path = tmp_path / "log.csv"
    frame_log(path, 16.7, 3, frames=36_000, stalls=7, stall_ms=150)
    whole = of_log(tmp_path)
    path.write_text("\n".join(cut(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
    spoilt = of_log(tmp_path)
    assert 0 < whole.values.sum() - spoilt.values.sum() < 0.002 * whole.values.sum()
    assert "XRF-V16" not in codes(whole.validity)
    assert codes(spoilt.validity)["XRF-V16"] == "invalid"


def presentmon_2(times: Sequence[float], decimals: int = 4) -> str:
    """A log of PresentMon 2: each frame's own time, and how long it was shown, that is to the next one."""
    rows, at = ["Application,FrameTime,CPUStartTime,DisplayedTime"], 0.0
    for time in times:
        cut_off = math.floor(time * 10**decimals) / 10**decimals
        rows.append(f"venue.exe,{cut_off:.{decimals}f},{at:.4f},{cut_off:.{decimals}f}")
        at += time
    return "\n".join(rows) + "\n"


def test_an_honest_log_is_not_accused_of_its_first_frame_or_its_digits(tmp_path: Path) -> None:
    draw = random.Random(1)
    times = [700.0, *(draw.gauss(16.7, 0.3) for _ in range(36_000)), 400.0]
    for decimals in (1, 4):
        (tmp_path / "log.csv").write_text(presentmon_2(times, decimals), encoding="utf-8")
        assert "XRF-V16" not in codes(of_log(tmp_path).validity), decimals


def test_a_log_that_knows_no_display_says_so(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "frame_ms\n" + "".join(f"{13.8 + n % 7 / 10}\n" for n in range(300)), encoding="utf-8"
    )
    assert codes(of_log(tmp_path).validity) == {"XRF-V13": "warning"}


def test_warm_up_of_a_log_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("frame_ms\n" + "100.5\n" * 20 + "10.5\n" * 20, encoding="utf-8")
    assert set(of_log(tmp_path, warmup_s=2.01).values) == {10.5}


def refused(folder: Path, params: Params) -> str:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, params)
    assert "\n" not in str(caught.value.problem)
    assert caught.value.problem.remedy
    return str(caught.value.problem)


def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("fps\n72\n", encoding="utf-8")
    assert "XRF-E01 log.csv：只有帧率列" in refused(tmp_path, given())
    assert "XRF-E01 找不到帧时间日志" in refused(tmp_path, given(file="lag.csv"))
    assert "XRF-E01 受检对象" in refused(tmp_path, given(file=None, files={"甲": "log.csv"}))
    assert "XRF-E02 找不到浏览器 nothing-here" in refused(tmp_path, Params(page="own", browser="nothing-here"))
    assert "XRF-E06" in refused(tmp_path, Params(listen="127.0.0.1:0", wait_s=0.1))
    false = tmp_path / "false"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    assert "XRF-E02 浏览器 false 没有启动" in refused(tmp_path, Params(page="own", browser=str(false)))


def test_a_page_that_does_not_open(tmp_path: Path) -> None:
    with serving(("127.0.0.1", 0), lambda _text: None) as address:
        port = urlsplit(address).port
    assert "XRF-E03" in refused(tmp_path, Params(page=f"http://127.0.0.1:{port}/", wait_s=5))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file": None}, "须且只须写一个"),
        ({"page": "own"}, "须且只须写一个"),
        ({"metric": "interaction"}, "日志里没有输入"),
        ({"file": None, "page": "own", "metric": "interaction"}, "点击几次"),
        ({"interactions": 3}, "只有本机浏览器"),
        ({"file": None, "page": "venue.example"}, "完整网址"),
        ({"file": None, "listen": "headset:80"}, "本机的地址与端口"),
        ({"file": None, "listen": "192.0.2.1:99999"}, "端口"),
        ({"file": None, "page": "own", "at": (2, 0)}, "份额"),
        ({"load": {"target": {"kind": "http", "url": "http://a/"}, "users": 1, "rate": 1}}, "早先记下的"),
    ],
)
def test_parameters_that_make_no_sense(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        given(**changes)


def test_estimates() -> None:
    assert estimate(given(), 300).seconds == 0
    assert estimate(Params(page="own", duration_s=100, warmup_s=0, refresh_hz=90), 300).samples == 9000
    clicking = Params(page="own", duration_s=100, metric="interaction", interactions=40)
    assert (estimate(clicking, 300).seconds, estimate(clicking, 300).samples) == (100, 40)


def test_a_browser_is_found() -> None:
    assert find_browser(None)
