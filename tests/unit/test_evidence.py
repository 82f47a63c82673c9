"""Evidence: what was acknowledged is there, what was not is marked, and no change goes unseen."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from yanshou.harness.basics import RunStatus, UserError
from yanshou.harness.evidence import (
    Ledger,
    LedgerDamage,
    RunWriter,
    digest_file,
    read_ledger,
    recover,
    write_atomic,
)
from yanshou.harness.runs import damaged_streams, runs_of

META = {"purpose": "measurement", "probe": "x", "indicator": "S10-I03", "subject": None}


def record_run(folder: Path, data: bytes = b"a,b\n1,2\n", status: RunStatus = RunStatus.COMPLETED) -> None:
    with Ledger(folder) as ledger, RunWriter(ledger, "S10-I03", META) as run:
        run.sink.stream("x.csv").write(data)
        run.close(status)


def records(folder: Path) -> list[dict]:
    return [r for _, r in read_ledger(folder / "ledger.jsonl")]


def test_chain_is_what_the_docstring_says(tmp_path: Path) -> None:
    record_run(tmp_path)
    previous = "0" * 64
    for line in (tmp_path / "ledger.jsonl").read_text().splitlines():
        entry = json.loads(line)
        canonical = json.dumps(entry["r"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert entry["h"] == hashlib.sha256((previous + canonical).encode()).hexdigest()
        previous = entry["h"]


def test_number_is_on_disk_before_the_first_byte(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = RunWriter(ledger, "S10-I03", META)
        assert [r["kind"] for r in records(tmp_path)] == ["run_opened"]
        assert not list(run.folder.glob("*.csv"))
        run.close(RunStatus.ABORTED)


def test_close_acknowledges_everything(tmp_path: Path) -> None:
    record_run(tmp_path)
    (run,) = runs_of(records(tmp_path))
    assert run.status is RunStatus.COMPLETED
    with run.evidence(tmp_path).open("x.csv") as f:
        assert f.read() == b"a,b\n1,2\n"
    assert run.streams["x.csv"]["sha256"] == digest_file(tmp_path / "runs/0001-S10-I03/x.csv")
    assert list(damaged_streams(run, tmp_path)) == []


def test_leaving_without_close_is_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Ledger(tmp_path) as ledger, RunWriter(ledger, "S10-I03", META):
        raise ZeroDivisionError
    assert runs_of(records(tmp_path))[0].status is RunStatus.CRASHED


def test_every_flipped_byte_of_the_ledger_is_found(tmp_path: Path) -> None:
    record_run(tmp_path)
    path = tmp_path / "ledger.jsonl"
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(LedgerDamage):
            list(read_ledger(path))


def test_dropped_and_swapped_lines_are_found(tmp_path: Path) -> None:
    record_run(tmp_path)
    path = tmp_path / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for bad in (lines[1:], lines[:1] + lines[2:], [lines[1], lines[0], *lines[2:]]):
        path.write_bytes(b"".join(bad))
        with pytest.raises(LedgerDamage):
            list(read_ledger(path))


def test_leaving_because_somebody_stopped_it_is_aborted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Ledger(tmp_path) as ledger, RunWriter(ledger, "S10-I03", META):
        raise KeyboardInterrupt
    assert runs_of(records(tmp_path))[0].status is RunStatus.ABORTED


@pytest.mark.parametrize("change", ["flip", "append", "delete", "extra", "run.json"])
def test_changed_evidence_is_found(tmp_path: Path, change: str) -> None:
    record_run(tmp_path)
    folder = tmp_path / "runs/0001-S10-I03"
    stream = folder / "x.csv"
    if change == "flip":
        stream.write_bytes(b"a,b\n1,3\n")
    elif change == "append":
        stream.write_bytes(stream.read_bytes() + b"3,4\n")
    elif change == "delete":
        stream.unlink()
    elif change == "extra":
        (folder / "more.csv").write_bytes(b"")
    else:
        (folder / "run.json").write_bytes(b"{}")
    (run,) = runs_of(records(tmp_path))
    assert list(damaged_streams(run, tmp_path))


def test_torn_line_is_kept_in_a_record_and_the_chain_goes_on(tmp_path: Path) -> None:
    record_run(tmp_path)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b'{"h":"12')
    with pytest.raises(LedgerDamage):
        list(read_ledger(path))
    with Ledger(tmp_path) as ledger:
        assert bytes.fromhex(ledger.records[-1]["torn_hex"]) == b'{"h":"12'
    assert records(tmp_path)[-1]["kind"] == "recovered"


def test_second_writer_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path), pytest.raises(UserError, match="E-LOCK"):
        Ledger(tmp_path).__enter__()


def test_stream_names_stay_inside_the_run(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "S10-I03", META) as run:
        for name in ("../x", "/x", "a/../../x", "run.json", "a\\b", "a%b", "CON"):
            with pytest.raises(UserError, match="E-NAME"):
                run.sink.stream(name)
        run.close(RunStatus.COMPLETED)


def test_attached_file_is_copied_with_its_digest(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(3_000_000))
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "S10-I02", META) as run:
        assert run.sink.sub("attachments").attach(source, "a.bin") == digest_file(source)
        run.close(RunStatus.COMPLETED)
    (run_seen,) = runs_of(records(tmp_path))
    assert run_seen.streams["attachments/a.bin"] == {"bytes": 3_000_000, "sha256": digest_file(source)}


def test_full_disk_leaves_a_chain_that_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yanshou.harness.evidence as evidence

    with Ledger(tmp_path) as ledger:
        ledger.append("seal", of="plan")
        real = evidence.write_all

        def half(f, data: bytes) -> None:
            real(f, data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(evidence, "write_all", half)
        with pytest.raises(OSError, match="No space"):
            ledger.append("seal", of="package")
        monkeypatch.undo()
        ledger.append("seal", of="record")
    assert [r["of"] for r in records(tmp_path)] == ["plan", "record"]


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on file size")
def test_half_a_block_is_taken_back_and_written_when_there_is_room(tmp_path: Path) -> None:
    import resource

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "x", {}) as run:
        run._stop.set()  # checkpoints only where this test wants them
        stream = run.sink.stream("x.csv")
        stream.write(b"a" * 10_000)
        run.checkpoint()
        stream.write(b"b" * 10_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, unlimited[1]))
        try:
            with pytest.raises(OSError, match="large"):
                run.checkpoint()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert (run.folder / "x.csv").stat().st_size == 10_000
        run.close(RunStatus.COMPLETED)
    (seen,) = runs_of(records(tmp_path))
    assert list(damaged_streams(seen, tmp_path)) == []
    with seen.evidence(tmp_path).open("x.csv") as f:
        assert f.read() == b"a" * 10_000 + b"b" * 10_000


def test_write_atomic_leaves_the_old_bytes_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, b"old")
    monkeypatch.setattr("yanshou.harness.evidence.sync", lambda _f: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


KILLED = """
    import sys, time
    from pathlib import Path
    from yanshou.harness.evidence import Ledger, RunWriter
    import yanshou.harness.evidence as evidence
    evidence.CHECKPOINT_SECONDS = 0.02
    folder = Path(sys.argv[1])
    with Ledger(folder) as ledger:
        evidence.recover(ledger)
        with RunWriter(ledger, "S10-I03", {"purpose": "measurement", "indicator": "S10-I03", "subject": None}) as run:
            stream = run.sink.stream("x.csv")
            i = 0
            while True:
                stream.write(b"%d\\n" % i)
                i += 1
                if i % 50 == 0:
                    time.sleep(0.001)
"""


def test_killed_runs_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """kill -9 twelve times: chain whole, acknowledged bytes whole, tail kept and measured, numbers without gaps."""
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    case = tmp_path / "case"
    case.mkdir()
    for attempt in range(12):
        process = subprocess.Popen([sys.executable, str(script), str(case)])
        folder = case / f"runs/{attempt + 1:04d}-S10-I03"
        deadline = time.monotonic() + 30
        while not (folder / "x.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(0.011 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Ledger(case) as ledger:
        recover(ledger)
    seen = runs_of(records(case))
    assert [r.number for r in seen] == list(range(1, 13))
    assert all(r.status is RunStatus.TRUNCATED for r in seen)
    assert sum(r.size > 0 for r in seen) >= 6
    for run in seen:
        assert list(damaged_streams(run, case)) == []
        for name in run.streams:
            with run.evidence(case).open(name) as f:
                numbers = f.read().split(b"\n")[:-1]
            assert [int(n) for n in numbers] == list(range(len(numbers)))
        whole = case / "runs" / run.folder_name / "x.csv"
        if whole.exists() and whole.stat().st_size > run.streams.get("x.csv", {"bytes": 0})["bytes"]:
            assert run.tail["x.csv"]["bytes"] == whole.stat().st_size
