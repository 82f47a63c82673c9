"""Bad input and faults: one clear line each, the right exit code, nothing changed, nothing lost, no traceback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.support import YANSHOU, finding, latency_case, reflector, yanshou
from yanshou.harness.evidence import read_ledger
from yanshou.harness.runs import damaged_streams, runs_of

pytestmark = pytest.mark.alone


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def edited(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


@pytest.mark.parametrize(
    ("edit", "code", "line"),
    [
        (lambda _t: "", "E-CASE", 1),
        (lambda _t: "- a\n- b\n", "E-YAML", 1),
        (lambda t: t + "\tx: 1\n", "E-YAML", 17),
        (lambda t: t + "mode: demo\n", "E-KEY", 17),
        (edited("scenario: 10", "scenario: 11"), "C01", 3),
        (edited("probe: rtt", "probe: rrt"), "P-PROBE", 14),
        (edited("port:", "prot:"), "P-PARAM", 15),
        (edited("≤ 2 ms", "快一点"), "P-TARGET", 10),
        (edited("measure:", "measur:"), "E-KEY", 12),
    ],
    ids=["empty", "not a mapping", "tab", "duplicate", "scenario", "probe", "parameter", "target", "did you mean"],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_bad_case_is_named_and_nothing_changes(tmp_path: Path, edit, code: str, line: int, verb: str) -> None:
    case = latency_case(tmp_path, "127.0.0.1", 8620)
    path = case / "case.yaml"
    path.write_text(edit(path.read_text()), encoding="utf-8")
    if verb == "run":
        good = latency_case(tmp_path / "good", "127.0.0.1", 8620)
        assert yanshou("plan", good, "--freeze").returncode == 0
        shutil.copy(path, good / "case.yaml")
        case, path = good, good / "case.yaml"
    before = snapshot(case)
    done = yanshou("plan", case, "--freeze") if verb == "plan" else yanshou("run", case)
    assert done.returncode == 2, done.stderr
    assert f"case.yaml:{line}: {code} " in done.stderr, done.stderr
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr
    after = snapshot(case)
    after.pop(".lock", None)
    before.pop(".lock", None)
    assert after == before


def test_missing_case(tmp_path: Path) -> None:
    done = yanshou("check", tmp_path / "nowhere")
    assert (done.returncode, "E-CASE" in done.stderr) == (2, True)


def test_run_without_a_plan(tmp_path: Path) -> None:
    done = yanshou("run", latency_case(tmp_path, "127.0.0.1", 8620))
    assert (done.returncode, "P-NONE" in done.stderr) == (2, True)


def test_unknown_indicator(tmp_path: Path) -> None:
    case = latency_case(tmp_path, "127.0.0.1", 8620)
    assert yanshou("plan", case, "--freeze").returncode == 0
    done = yanshou("run", case, "--only", "S10-I30")
    assert (done.returncode, "S10-I03" in done.stderr) == (2, True)


@pytest.mark.parametrize("change", ["case", "plan"])
def test_changed_after_freezing_is_refused(tmp_path: Path, change: str) -> None:
    case = latency_case(tmp_path, "127.0.0.1", 8620)
    assert yanshou("plan", case, "--freeze").returncode == 0
    path = case / ("case.yaml" if change == "case" else "plan.lock.json")
    path.write_text(path.read_text().replace("≤ 2 ms", "≤ 1 ms"), encoding="utf-8")
    done = yanshou("run", case)
    expected = (2, "P-CHANGED") if change == "case" else (4, "P-LOCK")
    assert (done.returncode, expected[1] in done.stderr) == (expected[0], True), done.stderr
    assert not (case / "runs").exists()


def test_amendment_needs_author_and_reason_and_is_kept(tmp_path: Path) -> None:
    case = latency_case(tmp_path, "127.0.0.1", 8620)
    assert yanshou("plan", case, "--freeze").returncode == 0
    path = case / "case.yaml"
    path.write_text(
        path.read_text().replace("confidence", "").replace("rule: {}", "rule: {attempts: 3}"), encoding="utf-8"
    )
    refused = yanshou("plan", case, "--freeze")
    assert (refused.returncode, "P-AMEND" in refused.stderr) == (2, True)
    assert yanshou("plan", case, "--freeze", "--author", "甲", "--reason", "增加次数").returncode == 0
    last = [r for _, r in read_ledger(case / "ledger.jsonl")][-1]
    assert (last["kind"], last["author"], last["reason"], last["weakening"]) == ("amendment", "甲", "增加次数", True)
    assert any("attempts: 1 → 3" in c for c in last["changes"])
    again = yanshou("plan", case, "--freeze")
    assert (again.returncode, "没有变化" in again.stdout) == (0, True)


def test_port_in_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        done = yanshou("reflect", "--bind", "127.0.0.1", "--port", taken.getsockname()[1])
    assert (done.returncode, "RTT-E06" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@contextmanager
def answering(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A UDP far end that answers what `answer` makes of a request."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    request, peer = far.recvfrom(2048)
                except TimeoutError:
                    continue
                reply = answer(request)
                if reply is not None:
                    far.sendto(reply, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield far.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def with_shifted_sequence(request: bytes) -> bytes:
    """A reply whose mirrored sender sequence number is not the request's."""
    return request[:24] + (int.from_bytes(request[:4], "big") + 77_777).to_bytes(4, "big") + request[28:]


@pytest.mark.parametrize(
    ("answer", "code"),
    [(lambda _r: None, "RTT-E01"), (lambda _r: b"hello" * 9, "RTT-E05"), (with_shifted_sequence, "RTT-E05")],
    ids=["silent", "garbage", "wrong sequence"],
)
def test_useless_far_end_is_undecided_never_a_fail(tmp_path: Path, answer, code: str) -> None:
    with answering(answer) as port:
        case = latency_case(tmp_path, "127.0.0.1", port)
        assert yanshou("plan", case, "--freeze").returncode == 0
        done = yanshou("run", case)
    assert done.returncode == 3, done.stderr + done.stdout
    assert code in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    result = finding(case)
    assert (result["verdict"], result["attempts"][0]["status"]) == ("not_run", "aborted")


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    case = latency_case(tmp_path, "127.0.0.1", port)
    assert yanshou("plan", case, "--freeze").returncode == 0
    done = yanshou("run", case)
    assert (done.returncode, "RTT-E02" in done.stdout) == (3, True), done.stdout


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    case = latency_case(tmp_path / "case", "127.0.0.1", 8620)
    case.chmod(0o555)
    try:
        done = yanshou("plan", case, "--freeze")
    finally:
        case.chmod(0o755)
    assert (done.returncode, "E-DISK" in done.stderr) == (2, True)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None or os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_read_only_file_system(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        case = latency_case(disk / "case", "127.0.0.1", 8620)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = yanshou("plan", case, "--freeze")
    assert (done.returncode, "E-DISK" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.skipif(shutil.which("mount") is None or os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_full_disk_in_the_middle_of_a_run(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=280k") as disk, reflector() as port:
        case = latency_case(disk / "case", "127.0.0.1", port, count=6000, interval_ms=1.5)
        assert yanshou("plan", case, "--freeze").returncode == 0
        done = yanshou("run", case)
        assert (done.returncode, "E-DISK" in done.stderr, "Traceback" in done.stderr) == (5, True, False), done.stderr
        runs = runs_of([r for _, r in read_ledger(case / "ledger.jsonl")])
        assert runs
        for run in runs:
            for name in run.streams:
                with run.evidence(case).open(name) as f:
                    assert len(f.read()) == run.streams[name]["bytes"]
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        resumed = yanshou("run", case)
        assert resumed.returncode in (0, 3), resumed.stderr
        for run in runs_of([r for _, r in read_ledger(case / "ledger.jsonl")]):
            assert list(damaged_streams(run, case)) == []


def test_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job hands down that it is ignored
    with reflector() as port:
        case = latency_case(tmp_path, "127.0.0.1", port, count=20_000, interval_ms=2)
        assert yanshou("plan", case, "--freeze").returncode == 0
        process = subprocess.Popen(
            [*YANSHOU, "run", str(case)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        packets: list[Path] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            packets = list((case / "runs").glob("*-S10-I03/packets.csv")) if (case / "runs").exists() else []
            if packets and packets[0].stat().st_size > 5_000:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in errors) == (130, False), errors
    run = runs_of([r for _, r in read_ledger(case / "ledger.jsonl")])[-1]
    assert (run.status, run.streams["packets.csv"]["bytes"] > 5_000) == ("aborted", True)
    assert list(damaged_streams(run, case)) == []
