"""The gnss capture: real pseudo-terminals, sockets and files; nothing that came is lost, and nothing is made up."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.probes.gnss_link_support import (
    BAUD,
    Faults,
    PtyReceiver,
    Told,
    accepted,
    content,
    epoch,
    listening,
    meta,
    record,
    running,
)
from tests.probes.records_support import MemoryEvidence
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, acknowledged_streams, recover
from yanshou.harness.recording import Job, record_measurement
from yanshou.probes.gnss.inputs import Challenge, Input, require_challenge
from yanshou.probes.gnss.link import Link, crc24q, delay_findings, link_findings, link_of, read_delays
from yanshou.probes.gnss.streams import (
    CHUNK_COLUMNS,
    CORRECTION_CHUNKS,
    CORRECTIONS,
    EVENT_COLUMNS,
    read_chunks,
    read_end,
    read_events,
    read_rows,
    read_session,
    read_steps,
    utc_ns,
    utc_text,
)
from yanshou.probes.gnss.taking import _runs

OUTAGE_S = float(os.environ.get("YANSHOU_OUTAGE_S", "2"))
"""How long the receiver stays unplugged; 60 for the demonstration."""
STREAM_S = float(os.environ.get("YANSHOU_STREAM_S", "6"))


def input_of(**values: Any) -> Any:
    return TypeAdapter(Input).validate_python(values)


def problem_of(folder: Path, told: Told, **more: Any) -> str:
    with pytest.raises(ProbeError) as caught:
        record(folder, told, **more)
    assert "\n" not in str(caught.value.problem)
    assert caught.value.problem.remedy
    return str(caught.value.problem)


def names(evidence: RunEvidence) -> list[str]:
    return [e.event for e in read_events(evidence)]


def check_rows(evidence: RunEvidence, raw: str = "raw.bin", rows: str = "chunks.csv") -> None:
    """Rows cover the bytes without a hole, and both clocks go on."""
    found = list(read_rows(evidence, rows))
    assert [r.offset for r in found] == [sum(r.length for r in found[:i]) for i in range(len(found))][: len(found)]
    assert sum(r.length for r in found) == len(content(evidence, raw))
    assert [r.monotonic_ns for r in found] == sorted(r.monotonic_ns for r in found)


# --- serial ------------------------------------------------------------------------------------------------------------


def test_a_bad_line_at_20_hz_and_an_unplugged_receiver(tmp_path: Path) -> None:
    """Every byte that was sent while somebody could listen is there, in order, and nothing else."""
    receiver, faults = PtyReceiver(tmp_path / "receiver"), Faults(random.Random(20))
    sentences = 0

    def play() -> None:
        nonlocal sentences
        for half in range(2):
            receiver.wait_for_reader()
            begin = time.monotonic()
            for index in range(round(STREAM_S / 2 * 20)):
                said = epoch(index + half * 100_000)
                sentences += len(said)
                receiver.send(b"".join(faults.spoil(s) for s in said))
                time.sleep(max(0.0, begin + (index + 1) / 20 - time.monotonic()))
            if half == 0:
                receiver.send(epoch(99)[0][:30])  # the cut goes through a sentence
                receiver.unplug()
                time.sleep(OUTAGE_S)
                receiver.plug()

    told = Told(input_of(kind="serial", port=str(receiver.path), baud=BAUD, duration_s=STREAM_S + OUTAGE_S + 2))
    news: list[Any] = []
    with running(play):
        evidence = record(tmp_path / "case", told, progress=news.append)
    raw = content(evidence, "raw.bin")
    assert raw == bytes(receiver.sent)
    found = accepted(raw)
    print(
        f"\n{sentences} sentences, {faults.noise} with noise before, {faults.flipped} with a flipped bit, {faults.dropped} with a "
        f"byte lost; accepted {len(found)}, intact {faults.intact}; {len(raw)} bytes, unplugged {OUTAGE_S:g} s"
    )
    assert sentences == round(STREAM_S / 2 * 20) * 2 * 5
    assert min(faults.noise, faults.flipped, faults.dropped) > 0
    assert len(found) == faults.intact == sentences - faults.flipped - faults.dropped
    assert b"".join(data for _, data in read_chunks(evidence)) == raw
    check_rows(evidence)
    assert names(evidence) == ["opened", "lost", "reopened", "ended"]
    lost, back = (e for e in read_events(evidence) if e.event in ("lost", "reopened"))
    assert back.monotonic_ns - lost.monotonic_ns >= OUTAGE_S * 1e9
    end = read_end(evidence)
    assert end is not None
    assert (end["bytes"], end["losses"]) == (len(raw), 1)
    session = read_session(evidence)
    assert session["input"]["baud"] == BAUD
    assert session["utc_ns"] <= min(t for t, _ in read_chunks(evidence)) <= end["utc_ns"]
    assert max(n.done for n in news) >= STREAM_S
    assert re.search(r"[1-9]\d*\.\d kB/s · GGA 00:00:0\d 质量 4", "".join(n.text for n in news))


def test_a_port_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    said = problem_of(tmp_path, Told(input_of(kind="serial", port="/dev/ttyNONE7")))
    assert said.startswith("GNS-E01 没有串口 /dev/ttyNONE7 → 插好接收机或改正 port；本机现")
    plain = tmp_path / "plain"
    plain.write_bytes(b"$GNGGA")
    assert problem_of(tmp_path, Told(input_of(kind="serial", port=str(plain)))).startswith("GNS-E01 打不开串口")
    assert not list(tmp_path.glob("runs/*/*.bin"))


def test_a_port_that_somebody_else_reads_is_refused(tmp_path: Path) -> None:
    import serial

    receiver = PtyReceiver(tmp_path / "receiver")
    with serial.Serial(str(receiver.path), BAUD, exclusive=True):
        said = problem_of(tmp_path, Told(input_of(kind="serial", port=str(receiver.path))))
    assert said.startswith("GNS-E03")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be")
def test_a_port_without_permission(tmp_path: Path) -> None:
    from yanshou.probes.gnss.sources import open_source

    receiver = PtyReceiver(tmp_path / "receiver")
    device = receiver.path.resolve()
    device.chmod(0o600)
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(ProbeError, match="GNS-E02"):
            open_source(input_of(kind="serial", port=str(device)), lambda _event, _text: None)
    finally:
        os.seteuid(0)


def test_a_baud_rate_that_no_line_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal takes any rate, so that the driver's refusal is played."""
    import serial

    def refuse(*_arguments: Any, **_settings: Any) -> None:
        raise ValueError("Failed to set custom baud rate (12345)")

    monkeypatch.setattr(serial, "Serial", refuse)
    said = problem_of(tmp_path, Told(input_of(kind="serial", port="/dev/ttyUSB0", baud=12_345)))
    assert said.startswith("GNS-E04 /dev/ttyUSB0 不支持波特率 12345")


def test_silence_and_garbage_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = PtyReceiver(tmp_path / "receiver")
    told = Told(input_of(kind="serial", port=str(receiver.path), silence_s=0.5))
    assert problem_of(tmp_path, told).startswith("GNS-E05")
    monkeypatch.setattr("yanshou.probes.gnss.capture.READABLE_S", 0.3)

    def babble() -> None:
        receiver.wait_for_reader()
        rng = random.Random(3)
        for _ in range(10):
            receiver.send(rng.randbytes(300))

    with running(babble):
        said = problem_of(tmp_path, Told(input_of(kind="serial", port=str(receiver.path), duration_s=20)))
    assert said.startswith("GNS-E06")
    assert "baud" in said


# --- sockets -----------------------------------------------------------------------------------------------------------


def test_tcp_loses_nothing_when_the_far_end_closes_and_comes_back(tmp_path: Path) -> None:
    sent = bytearray()
    with listening() as (server, port):

        def serve() -> None:
            for half in range(2):
                peer, _ = server.accept()
                with peer:
                    for index in range(200):
                        data = b"".join(epoch(index + 1000 * half))
                        peer.sendall(data)
                        sent.extend(data)

        told = Told(input_of(kind="tcp", host="127.0.0.1", port=port, duration_s=2))
        with running(serve):
            evidence = record(tmp_path, told)
    assert content(evidence, "raw.bin") == bytes(sent)
    check_rows(evidence)
    assert names(evidence)[:3] == ["opened", "lost", "reopened"]


def test_tcp_that_hangs_up_at_once_is_not_run_down(tmp_path: Path) -> None:
    with listening() as (server, port):
        server.settimeout(0.2)
        accepted_ = 0
        stop = threading.Event()

        def serve() -> None:
            nonlocal accepted_
            while not stop.is_set():
                try:
                    server.accept()[0].close()
                    accepted_ += 1
                except TimeoutError:
                    pass

        told = Told(input_of(kind="tcp", host="127.0.0.1", port=port, duration_s=30, silence_s=1.2))
        with running(serve):
            assert problem_of(tmp_path, told).startswith("GNS-E05")
            stop.set()
    assert 2 <= accepted_ <= 7


def test_tcp_nobody_and_no_name(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert problem_of(tmp_path, Told(input_of(kind="tcp", host="127.0.0.1", port=port))).startswith("GNS-E08")
    assert problem_of(tmp_path, Told(input_of(kind="tcp", host="no.such.invalid", port=1))).startswith("GNS-E07")


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_udp_takes_one_sender_and_notes_others(tmp_path: Path) -> None:
    port = free_udp_port()
    told = Told(input_of(kind="udp", bind="127.0.0.1", port=port, duration_s=1.5))
    sent = []

    def send() -> None:
        time.sleep(0.4)
        with socket.socket(type=socket.SOCK_DGRAM) as mine, socket.socket(type=socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            for index in range(40):
                datagram = b"".join(epoch(index))
                mine.sendto(datagram, ("127.0.0.1", port))
                sent.append(datagram)
                other.sendto(b"$FOREIGN*00\r\n", ("127.0.0.1", port))
                time.sleep(0.01)

    with running(send):
        evidence = record(tmp_path, told)
    assert content(evidence, "raw.bin") == b"".join(sent)
    assert [r.length for r in read_rows(evidence, "chunks.csv")] == [len(s) for s in sent]
    assert names(evidence) == ["opened", "sender", "foreign", "ended"]
    assert read_events(evidence)[2].text.startswith("127.0.0.2")


def test_udp_of_a_declared_sender_only(tmp_path: Path) -> None:
    port = free_udp_port()
    told = Told(input_of(kind="udp", bind="127.0.0.1", port=port, sender="127.0.0.3", duration_s=30, silence_s=0.8))

    def send() -> None:
        time.sleep(0.3)
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.sendto(b"".join(epoch(0)), ("127.0.0.1", port))

    with running(send):
        assert problem_of(tmp_path, told).startswith("GNS-E05")


def test_udp_port_in_use_and_address_of_nobody_here(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        told = Told(input_of(kind="udp", bind="127.0.0.1", port=taken.getsockname()[1]))
        assert problem_of(tmp_path, told).startswith("GNS-E03")
    assert problem_of(tmp_path, Told(input_of(kind="udp", bind="192.0.2.1", port=9))).startswith("GNS-E08")


# --- the tee for corrections -------------------------------------------------------------------------------------------


class Caster:
    """A small NTRIP 1.0 caster: checks the login, gives one mountpoint, hangs up once, and keeps what it was told."""

    def __init__(self, server: socket.socket, answer: bytes = b"ICY 200 OK\r\n\r\n") -> None:
        self.server, self.answer = server, answer
        self.requests: list[bytes] = []
        self.heard = b""
        self.sent = b""

    def serve(self, sessions: int = 2) -> None:
        for session in range(sessions):
            peer, _ = self.server.accept()
            with peer:
                peer.settimeout(0.05)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += peer.recv(4096)
                self.requests.append(request)
                told = b"Authorization: Basic " + base64.b64encode("测量:口令 1".encode())
                if b"GET /WUHAN " not in request:
                    peer.sendall(b"SOURCETABLE 200 OK\r\nContent-Type: text/plain\r\n\r\nENDSOURCETABLE\r\n")
                elif told not in request:
                    peer.sendall(b"HTTP/1.0 401 Unauthorized\r\n\r\n")
                else:
                    begun = b"\xd3\x00\x04begun" + bytes([session])
                    peer.sendall(self.answer + begun)
                    self.sent += begun
                    self.talk(peer)
        self.server.close()

    def talk(self, peer: socket.socket) -> None:
        for index in range(12):
            data = b"\xd3\x00\x08\x46\x40" + bytes([index]) * 11
            peer.sendall(data)
            self.sent += data
            with suppress(TimeoutError):
                self.heard += peer.recv(4096)
            time.sleep(0.05)


def login_file(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "caster.txt").write_text("测量\n口令 1\n", encoding="utf-8")
    return "caster.txt"


@pytest.mark.parametrize("answer", [b"ICY 200 OK\r\n", b"HTTP/1.1 200 OK\r\nNtrip-Version: Ntrip/1.0\r\n\r\n"])
def test_corrections_pass_through_and_stay(tmp_path: Path, answer: bytes) -> None:
    receiver, case = PtyReceiver(tmp_path / "receiver"), tmp_path / "case"
    with listening() as (server, port):
        caster = Caster(server, answer)
        got = b""

        def play() -> None:
            nonlocal got
            receiver.wait_for_reader()
            for index in range(60):
                receiver.send(b"".join(epoch(index)))
            got = receiver.received(0.5)

        told = Told(
            input_of(
                kind="ntrip", host="127.0.0.1", port=port, mountpoint="WUHAN", credentials=login_file(case),
                receiver={"kind": "serial", "port": str(receiver.path), "duration_s": 4},
            )
        )  # fmt: skip
        with running(caster.serve), running(play):
            evidence = record(case, told)
    assert content(evidence, "raw.bin") == bytes(receiver.sent)
    assert content(evidence, CORRECTIONS) == caster.sent == got
    check_rows(evidence, CORRECTIONS, CORRECTION_CHUNKS)
    assert names(evidence).count("caster") == 2
    assert names(evidence).count("caster_lost") == 2
    positions = [e.text.encode() for e in read_events(evidence) if e.event == "position"]
    assert positions
    assert caster.heard == b"".join(p + b"\r\n" for p in positions)
    assert all(p in receiver.sent and p.startswith(b"$GNGGA") for p in positions)
    everything = b"".join(content(evidence, name) for name in evidence.streams())
    assert "口令".encode() not in everything
    assert base64.b64encode("测量:口令 1".encode()) not in everything
    end = read_end(evidence)
    assert end is not None
    assert end["untaken"] == 0


def test_a_caster_that_refuses(tmp_path: Path) -> None:
    receiver = PtyReceiver(tmp_path / "receiver")
    behind = {"kind": "serial", "port": str(receiver.path)}
    with listening() as (server, port):
        caster = Caster(server)
        where = {"kind": "ntrip", "host": "127.0.0.1", "port": port, "receiver": behind}
        with running(caster.serve, 2):
            said = problem_of(tmp_path, Told(input_of(**where, mountpoint="ELSEWHERE")))
            assert said.startswith("GNS-E09")
            assert "没有这个挂载点" in said
            assert "401" in problem_of(tmp_path, Told(input_of(**where, mountpoint="WUHAN")))
    assert problem_of(tmp_path, Told(input_of(**where, mountpoint="WUHAN"))).startswith("GNS-E08")
    told = Told(input_of(**where, mountpoint="WUHAN", credentials="none.txt"))
    assert problem_of(tmp_path, told).startswith("GNS-E10")


# --- files -------------------------------------------------------------------------------------------------------------

ROWS = "offset,length,monotonic_ns,utc_ns\n0,6,5,1748772000000000005\n6,4,9,1748772000000000009\n"
STEPS = "utc,east_mm,north_mm,up_mm\n2025-06-01T10:00:00Z,20,0,0\n2025-06-01T18:01:00+08:00,50,0,0\n"


def test_files_come_in_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a.nmea").write_bytes(b"$GNGGA\r\n\x00\xff")
    (tmp_path / "b.nmea").write_bytes(b"second")
    evidence = record(tmp_path, Told(input_of(kind="file", paths=["a.nmea", "b.nmea"])))
    assert list(read_chunks(evidence)) == [(0, b"$GNGGA\r\n\x00\xff"), (0, b"second")]
    files = read_session(evidence)["files"]
    assert {name: (f["name"], f["sha256"]) for name, f in files.items()} == {
        "raw.bin": ("a.nmea", evidence.sha256("raw.bin")),
        "raw-002.bin": ("b.nmea", evidence.sha256("raw-002.bin")),
    }
    assert read_steps(evidence) == read_events(evidence) == ()
    assert read_end(evidence) is None


def test_a_file_with_arrival_times_steps_and_truth(tmp_path: Path) -> None:
    (tmp_path / "a.nmea").write_bytes(b"0123456789")
    (tmp_path / "a.csv").write_text(ROWS)
    (tmp_path / "steps.csv").write_text("\ufeff" + STEPS)
    (tmp_path / "truth.csv").write_text(TRUE)
    source = input_of(kind="file", paths=["a.nmea"], chunks="a.csv")
    evidence = record(tmp_path, Told(source, Challenge(file="steps.csv"), (("truth.csv", "truth.csv"),)))
    assert list(read_chunks(evidence)) == [(1748772000000000005, b"012345"), (1748772000000000009, b"6789")]
    first, second = read_steps(evidence)
    assert (first.asked_ns, first.utc_ns, first.east_mm) == (None, utc_ns("2025-06-01T10:00:00Z"), 20.0)
    assert second.utc_ns == (first.utc_ns or 0) + 60 * 10**9
    assert content(evidence, "truth.csv") == TRUE.encode()


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("offset,length\n", "第 1 行：列名须是"),
        (ROWS.replace("6,4,9", "7,4,9"), "第 3 行：与上一行不相接"),
        (ROWS.replace("6,4,9", "6,4,4"), "第 3 行：与上一行不相接"),
        (ROWS.replace("6,4,9,", "6,4,x,"), "第 3 行：不是四个整数"),
        (ROWS.replace("6,4,9", "6,3,9"), "共 9 字节，而数据文件有 10 字节"),
    ],
)
def test_arrival_times_that_do_not_fit(tmp_path: Path, rows: str, why: str) -> None:
    (tmp_path / "a.nmea").write_bytes(b"0123456789")
    (tmp_path / "a.csv").write_text(rows)
    said = problem_of(tmp_path, Told(input_of(kind="file", paths=["a.nmea"], chunks="a.csv")))
    assert said.startswith("GNS-E12")
    assert why in said
    assert not list(tmp_path.glob("runs/*/raw.bin"))


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ("utc,east\n", "第 1 行：列名须是"),
        (STEPS.replace("10:00:00Z", "10:00:00"), "第 2 行：时刻“2025-06-01T10:00:00”不认识"),
        (STEPS.replace(",20,", ",inf,"), "第 2 行：位移须在"),
        (STEPS.replace("18:01", "17:01"), "时刻没有从早到晚"),
        ("utc,east_mm,north_mm,up_mm\n,20,0,0\n", "没有一步写了时刻"),
        (STEPS.replace("Z,20,0,0", "Z,20,0"), "第 2 行"),
    ],
)
def test_steps_that_are_none(tmp_path: Path, steps: str, why: str) -> None:
    (tmp_path / "a.nmea").write_bytes(b"0123456789")
    (tmp_path / "steps.csv").write_text(steps)
    said = problem_of(tmp_path, Told(input_of(kind="file", paths=["a.nmea"]), Challenge(file="steps.csv")))
    assert said.startswith("GNS-E12")
    assert why in said


def test_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    assert "是不是“a.nmea”" in problem_of(own(tmp_path, "a.nmea", b"x"), Told(input_of(kind="file", paths=["b.nmea"])))
    told = Told(input_of(kind="file", paths=["empty.nmea"]))
    assert problem_of(own(tmp_path, "empty.nmea", b""), told).startswith("GNS-E11")


def test_a_file_that_grows_while_it_is_copied(tmp_path: Path) -> None:
    (tmp_path / "a.nmea").write_bytes(b"x")
    (tmp_path / "b.nmea").write_bytes(b"x")

    def grow(_news: Any) -> None:
        with (tmp_path / "b.nmea").open("ab") as f:
            f.write(b"y")

    said = problem_of(tmp_path, Told(input_of(kind="file", paths=["a.nmea", "b.nmea"])), progress=grow)
    assert said.startswith("GNS-E13 b.nmea")


TRUE = "utc,latitude,longitude,height\n2025-06-01T02:03:04.5,30.5,114.3,28.0\n"


def own(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder


def test_a_truth_that_is_computed_after_the_drive(tmp_path: Path) -> None:
    """Somebody who is there may bring it before the run is closed; nobody there, and nothing is recorded."""
    receiver, case = PtyReceiver(tmp_path / "receiver"), tmp_path / "case"
    heard: list[str] = []

    def ask(text: str) -> Any:
        heard.append(text)
        if len(heard) == 3:
            (case / "truth.csv").write_bytes(TRUE.encode())
        return lambda: True

    def play() -> None:
        receiver.wait_for_reader()
        receiver.send(b"".join(epoch(0)))

    told = Told(input_of(kind="serial", port=str(receiver.path), duration_s=1), handed=(("truth.csv", "truth.csv"),))
    assert problem_of(case, told).startswith("GNS-E11")
    assert not list(case.glob("runs/*/raw.bin"))
    with running(play):
        evidence = record(case, told, ask=ask)
    assert ["录完之后再补上" in text for text in heard] == [True, False, False]
    assert content(evidence, "truth.csv") == TRUE.encode()
    assert json.loads(content(evidence, "files.json"))["truth.csv"]["sha256"] == evidence.sha256("truth.csv")
    assert names(evidence) == ["opened", "ended"]


@pytest.mark.parametrize("text", ["2025-06-01T10:00:00.123456789Z", "1999-12-31T23:59:59.000000001Z"])
def test_times_survive_writing(text: str) -> None:
    assert utc_text(utc_ns(text)) == text


# --- other runs --------------------------------------------------------------------------------------------------------


def test_streams_of_another_indicators_run(tmp_path: Path) -> None:
    (tmp_path / "a.nmea").write_bytes(b"first")
    (tmp_path / "steps.csv").write_text(STEPS)
    source = Told(input_of(kind="file", paths=["a.nmea"]), Challenge(file="steps.csv"))
    take = Told(input_of(kind="run", indicator="S06-I01"))

    def vertical(**more: Any) -> dict[str, Any]:
        return meta("S06-I02", **more)

    assert "没有完成的运行可取" in problem_of(tmp_path, take, described=vertical(subject="车一"))
    record(tmp_path, source, described=meta(subject="车一"))
    (tmp_path / "a.nmea").write_bytes(b"again")
    taken = record(tmp_path, source, described=meta(subject="车一"))
    record(tmp_path, source, described=meta(subject="车二"))
    evidence = record(tmp_path, take, described=vertical(subject="车一"))
    assert [data for _, data in read_chunks(evidence)] == [b"again"]
    assert len(read_steps(evidence)) == 2
    origin = read_session(evidence)["origin"]
    assert (origin["run"], origin["indicator"]) == (3, "S06-I01")
    assert origin["streams"]["raw.bin"]["sha256"] == taken.sha256("raw.bin") == evidence.sha256("raw.bin")
    assert read_session(evidence)["session"]["input"]["kind"] == "file"
    assert "已被本指标取用过" in problem_of(tmp_path, take, described=vertical(subject="车一"))
    assert "没有完成的运行" in problem_of(tmp_path, take, described=vertical(subject="车一", condition="隧道"))
    assert "就是本指标" in problem_of(tmp_path, take, described=meta(subject="车一"))
    with (tmp_path / "ledger.jsonl").open("ab") as f:
        f.write(b'{"h": "a checkpoint that is being written')
    assert [r.number for r in _runs(tmp_path)][-1] == 8
    (taken.folder / "raw.bin").write_bytes(b"other")
    assert "GNS-E14" in problem_of(tmp_path, take, described=meta("S06-I04", subject="车一"))


# --- the displacement challenge ----------------------------------------------------------------------------------------

QUICK = Challenge(offsets_mm=(20, 50), least_wait_s=0.5, most_wait_s=0.6, settle_s=0.2, hold_s=0.5)


class Operator:
    """Answers after `wait` seconds; nobody after the first `patience` requests."""

    def __init__(self, wait: float = 0.3, patience: int = 99) -> None:
        self.wait, self.patience = wait, patience
        self.heard: list[tuple[float, str]] = []

    def ask(self, text: str) -> Any:
        self.heard.append((time.monotonic(), text))
        begin, answers = time.monotonic(), len(self.heard) <= self.patience
        return lambda: answers and time.monotonic() - begin >= self.wait


def test_the_antenna_is_moved_at_secret_times_while_recording_goes_on(tmp_path: Path) -> None:
    receiver, operator = PtyReceiver(tmp_path / "receiver"), Operator()
    stop = threading.Event()

    def play() -> None:
        receiver.wait_for_reader()
        index = 0
        while not stop.is_set():
            receiver.send(b"".join(epoch(index)))
            index += 1
            time.sleep(0.05)

    told = Told(input_of(kind="serial", port=str(receiver.path), duration_s=4), QUICK)
    with running(play):
        evidence = record(tmp_path / "case", told, ask=operator.ask)
        stop.set()
    begin, first, second = operator.heard
    assert "起点" in begin[1]
    assert "起点以东 20 mm" in first[1]
    assert "起点以东 50 mm" in second[1]
    steps = read_steps(evidence)
    assert [(s.east_mm, s.north_mm, s.up_mm) for s in steps] == [(20, 0, 0), (50, 0, 0)]
    for step in steps:
        assert step.asked_ns is not None
        assert step.utc_ns is not None
        assert step.utc_ns - step.asked_ns >= 0.3e9
        during = [t for t, _ in read_chunks(evidence) if step.asked_ns <= t <= step.utc_ns]
        assert len(during) >= 2, "the request stopped the recording"
    assert second[0] - first[0] >= 0.3 + 0.7 + 0.5, "the next request came before the place was held and the wait over"
    assert [n for n in names(evidence) if n in ("asked", "moved")] == ["asked", "moved"] * 2
    end = read_end(evidence)
    assert end is not None
    assert steps[-1].utc_ns is not None
    assert end["utc_ns"] - steps[-1].utc_ns >= 0.7e9, "the last place was not held"


def test_a_request_that_nobody_answers_ends_with_the_run(tmp_path: Path) -> None:
    receiver, operator = PtyReceiver(tmp_path / "receiver"), Operator(wait=0, patience=1)

    def play() -> None:
        receiver.wait_for_reader()
        receiver.send(b"".join(epoch(0)))

    told = Told(input_of(kind="serial", port=str(receiver.path), duration_s=2), QUICK)
    with running(play):
        evidence = record(tmp_path / "case", told, ask=operator.ask)
    first, second = read_steps(evidence)
    assert first.asked_ns is not None
    assert (first.utc_ns, first.east_mm) == (None, 20)
    assert (second.asked_ns, second.utc_ns, second.east_mm) == (None, None, 50)


def test_without_anybody_to_ask_nothing_is_recorded(tmp_path: Path) -> None:
    told = Told(input_of(kind="serial", port="/dev/ttyNONE7"), QUICK)
    assert problem_of(tmp_path, told).startswith("GNS-E15")
    assert [p.name for p in (tmp_path / "runs/0001-S06-I01").iterdir()] == ["run.json"]


def test_step_times_do_not_come_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    from yanshou.probes.gnss import moving

    assert moving.SystemRandom is random.SystemRandom  # os.urandom
    drawn = {moving.SystemRandom().uniform(60, 240) for _ in range(50)}
    assert len(drawn) == 50
    assert min(drawn) >= 60
    assert max(drawn) <= 240


BRISK = {"least_wait_s": 1, "most_wait_s": 4, "settle_s": 3, "hold_s": 4}
"""As with a motorised slide."""


@pytest.mark.parametrize(
    ("source", "challenge", "why"),
    [
        ({"kind": "file", "paths": ["a"]}, {}, "challenge.file"),
        ({"kind": "serial", "port": "a"}, {"file": "s.csv"}, "只配录好的数据"),
        ({"kind": "run", "indicator": "S06-I03"}, {"file": "s.csv"}, "只配录好的数据"),
        ({"kind": "serial", "port": "a", "duration_s": 100}, {}, "大于 duration_s"),
        ({"kind": "serial", "port": "a", "duration_s": 150}, BRISK, "大于 duration_s"),
        ({"kind": "ntrip", "host": "a", "mountpoint": "M", "receiver": {"kind": "udp", "port": 1}}, {}, "不能转给 udp"),
        ({"kind": "udp", "port": 1, "sender": "host"}, {}, "不是 IP 地址"),
        ({"kind": "file", "paths": ["a", "b"], "chunks": "c"}, {"file": "s"}, "只能与一个文件同用"),
        ({"kind": "serial", "port": "a"}, {"offsets_mm": [5]}, "至少相差"),
        ({"kind": "serial", "port": "a"}, {"least_wait_s": 300}, "不能大于"),
    ],
)
def test_what_does_not_go_together(source: dict[str, Any], challenge: dict[str, Any], why: str) -> None:
    with pytest.raises((ValueError, ValidationError), match=why):
        require_challenge(input_of(**source), Challenge(**challenge))


def test_what_goes_together() -> None:
    require_challenge(input_of(kind="serial", port="a"), Challenge())
    require_challenge(input_of(kind="serial", port="a", duration_s=40), Challenge(**BRISK, move_s=2))
    require_challenge(input_of(kind="file", paths=["a"]), Challenge(file="s.csv"))
    require_challenge(input_of(kind="run", indicator="S06-I03"), Challenge())
    require_challenge(input_of(kind="file", paths=["a"]), None)


# --- the person at the terminal ----------------------------------------------------------------------------------------

AT_TERMINAL = """
import sys, time
from rich.console import Console
from yanshou.probes.capturing import Progress
from yanshou.show import TerminalObserver
observer = TerminalObserver(Console())
observer.calibrating("gnss")
time.sleep(0.5)
answered = observer.ask("把天线移到起点以东 20 mm 处")
if answered is None:
    sys.exit("nobody")
ticks = 0
while not answered():
    observer.news(Progress(ticks, 100, text="NEWS"))
    ticks += 1
    time.sleep(0.02)
print("ANSWERED", ticks > 5)
observer.news(Progress(ticks, 100, text="AFTERWARDS"))
time.sleep(0.3)
observer.stop()
"""


def test_a_request_on_a_real_terminal() -> None:
    """What was typed before it is no answer, and the live line leaves it alone until Enter."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_TERMINAL], stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"typed too early\n")
    shown = b""

    def until(mark: bytes, seconds: float) -> bytes:
        nonlocal shown
        deadline = time.monotonic() + seconds
        while mark not in shown and time.monotonic() < deadline:
            if select.select([master], [], [], 0.05)[0]:
                try:
                    shown += os.read(master, 65536)
                except OSError:
                    break
        return shown

    try:
        assert "然后按回车".encode() in until("然后按回车".encode(), 30)
        assert b"ANSWERED" not in until(b"ANSWERED", 0.6)
        os.write(master, b"\n")
        assert b"ANSWERED True" in until(b"ANSWERED True", 10)
        asked = shown[shown.index("然后按回车".encode()) : shown.index(b"ANSWERED")]
        assert b"NEWS" not in asked
        assert b"AFTERWARDS" in until(b"AFTERWARDS", 10)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_recorded_measurement_reaches_whoever_listens(tmp_path: Path) -> None:
    """The recorder hands `ask` on; nobody is asked by default, as in a calibration."""
    operator = Operator(wait=0)
    heard: list[bool | None] = []

    class Asking:
        name = "asking"

        def params(self, values: dict[str, Any]) -> dict[str, Any]:
            return values

        def capture(self, _params: Any, run: Any) -> None:
            answered = run.ask("移动天线")
            heard.append(answered and answered())

    job = Job("S06-I03", None, None, 1, "asking", "1", {}, 1)
    recorder: Any = Asking()
    with Ledger(tmp_path) as ledger:
        for ask in ((operator.ask,), ()):
            record_measurement(ledger, recorder, job, meta(), tmp_path, lambda _news: None, lambda _number: None, *ask)
    assert heard == [True, None]
    assert [text for _, text in operator.heard] == ["移动天线"]


def test_no_terminal_means_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_TERMINAL], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "nobody"


# --- a killed capture --------------------------------------------------------------------------------------------------


def test_a_killed_capture_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from tests.probes.gnss_link_support import Told, record
from pydantic import TypeAdapter
from yanshou.probes.gnss.inputs import Input
source = TypeAdapter(Input).validate_python({{"kind": "tcp", "host": "127.0.0.1", "port": PORT, "duration_s": 60}})
record(Path({str(tmp_path)!r}), Told(source))
"""
    with listening() as (server, port):
        process = subprocess.Popen([sys.executable, "-c", script.replace("PORT", str(port))])
        sent = bytearray()
        peer, _ = server.accept()
        with peer:
            ledger = tmp_path / "ledger.jsonl"
            for index in range(2000):
                data = b"".join(epoch(index))
                peer.sendall(data)
                sent.extend(data)
                if ledger.read_bytes().count(b'"checkpoint"') >= 3:
                    break
                time.sleep(0.01)
            process.kill()
            process.wait()
    with Ledger(tmp_path) as ledger_:
        assert recover(ledger_) == [1]
        (run,) = (r for r in ledger_.records if r["kind"] == "run_opened")
        evidence = RunEvidence(tmp_path / "runs" / run["folder"], acknowledged_streams(ledger_.records, 1))
    raw = content(evidence, "raw.bin")
    assert raw
    assert bytes(sent).startswith(raw)
    assert b"".join(data for _, data in read_chunks(evidence)) == raw
    assert read_end(evidence) is None


def test_an_interrupted_capture_is_closed_with_what_it_has(tmp_path: Path) -> None:
    receiver = PtyReceiver(tmp_path / "receiver")

    def stop(news: Any) -> None:
        if "GGA" in news.text and news.done >= 1:
            raise KeyboardInterrupt

    def play() -> None:
        receiver.wait_for_reader()
        receiver.send(b"".join(epoch(0)))

    told = Told(input_of(kind="serial", port=str(receiver.path)))
    case = tmp_path / "case"
    with running(play), pytest.raises(KeyboardInterrupt):
        record(case, told, progress=stop)
    with Ledger(case) as ledger:
        assert ledger.records[-1]["status"] == RunStatus.ABORTED.value
        evidence = RunEvidence(case / "runs/0001-S06-I01", acknowledged_streams(ledger.records, 1))
    assert content(evidence, "raw.bin") == bytes(receiver.sent)


def test_a_disk_that_refuses_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stream raises comes out as it is, from the thread of the corrections too."""
    receiver = PtyReceiver(tmp_path / "receiver")

    def full(_self: Any, _got: Any) -> None:
        raise OSError(28, "No space left on device")

    def play() -> None:
        receiver.wait_for_reader()
        receiver.send(b"".join(epoch(0)))

    with listening() as (server, port):

        def serve() -> None:
            with suppress(OSError):  # whom we hang up on
                Caster(server).serve(1)

        told = Told(
            input_of(
                kind="ntrip", host="127.0.0.1", port=port, mountpoint="WUHAN", credentials=login_file(tmp_path / "case"),
                receiver={"kind": "serial", "port": str(receiver.path), "duration_s": 10},
            )
        )  # fmt: skip
        monkeypatch.setattr("yanshou.probes.gnss.capture.Tape.take", full)
        with running(serve), pytest.raises(OSError, match="No space"):
            record(tmp_path / "case", told)


# --- what the evidence says about the link -----------------------------------------------------------------------------

MESSAGE_1005 = bytes.fromhex("D300133ED7D30202980EDEEF34B4BD62AC0941986F33360B98")
"""The example of a station's coordinates in RTCM 10403."""


def framed(number: int, size: int = 20) -> bytes:
    """An RTCM 3 message of that number."""
    body = bytes([0xD3, 0, size, number >> 4, (number & 15) << 4]) + bytes(size - 2)
    return body + crc24q(body).to_bytes(3)


def link(
    raw: bytes = b"$GNGGA*00\r\n",
    rows: str | None = "0,11,1000000000,1748772000000000000\n",
    baud: int | None = BAUD,
    events: str = "",
    corrections: bytes | None = None,
    **end: int,
) -> Link:
    source: dict[str, Any] = (
        {"kind": "serial", "port": "x", "baud": baud} if baud else {"kind": "tcp", "host": "x", "port": 1}
    )
    if corrections is not None:
        source = {"kind": "ntrip", "receiver": source}
    streams = {"raw.bin": raw, "session.json": json.dumps({"input": source}).encode()}
    if rows is not None:
        streams["chunks.csv"] = f"{CHUNK_COLUMNS}\n{rows}".encode()
    if events:
        streams["events.csv"] = f"{EVENT_COLUMNS}\n{events}".encode()
    if corrections is not None:
        streams[CORRECTIONS] = corrections
        streams[CORRECTION_CHUNKS] = f"{CHUNK_COLUMNS}\n0,{len(corrections)},5,5\n".encode()
    if end:
        streams["end.json"] = json.dumps(end).encode()
    evidence: Any = MemoryEvidence(streams)
    return link_of(evidence)


def told(link: Link) -> list[str]:
    found = list(link_findings(link))
    assert all(f.severity.value == "warning" and "\n" not in f.text for f in found)
    return [f.code for f in found]


def rows_of(times_s: list[float], length: int = 100, utc_from_s: float = 1e9) -> str:
    return "".join(
        f"{i * length},{length},{round(t * 1e9)},{round((t + utc_from_s) * 1e9)}\n" for i, t in enumerate(times_s)
    )


def test_an_honest_link_says_nothing() -> None:
    found = link(rows=rows_of([i / 20 for i in range(400)]), events="1,1,opened,x\n2,2,ended,x\n")
    assert told(found) == []
    assert found.loads == (pytest.approx(400 * 1000 / 19.95 / BAUD), 20 * 1000 / BAUD)
    assert found.to_json() == {
        "bytes": 11, "baud": BAUD, "losses": 0, "away_s": 0.0, "full_buffer": 0, "foreign": [], "gaps": 0,
        "longest_gap_s": 0.05, "load": found.loads[0], "load_peak": found.loads[1],
    }  # fmt: skip


def test_a_full_line() -> None:
    times = [i / 20 for i in range(400)] + [20 + i / 120 for i in range(120)]
    assert told(link(rows=rows_of(times))) == ["GNS-V50"]
    assert told(link(rows=rows_of(times), baud=460_800)) == []
    assert told(link(rows=rows_of(times), baud=None)) == []


def test_a_receiver_that_says_its_buffer_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"$GNGGA,1*00\r\n$GNTXT,01,01,00,txbuf alloc*61\r\n\xb5\x62$GNTXT,01,01,02,ANTSTATUS=OK*25\r\n" * 2
    for block in (1 << 20, 7):
        monkeypatch.setattr("yanshou.probes.gnss.link.BLOCK", block)
        found = link(raw)
        assert (found.full_buffer, found.bytes) == (2, len(raw))
        assert told(found) == ["GNS-V51"]


def test_interruptions_and_silence() -> None:
    events = "1,1,opened,x\n10000000000,1,lost,x\n13500000000,1,reopened,x\n20000000000,1,lost,a,b\n"
    times = [i / 20 for i in range(200)] + [13.6 + i / 20 for i in range(100)]
    found = link(rows=rows_of(times), events=events, monotonic_ns=21_000_000_000)
    assert (found.losses, found.away_s) == (2, 4.5)
    assert told(found) == ["GNS-V52"]
    silent = [*(i / 20 for i in range(200)), 16.0, 16.1]
    found = link(rows=rows_of(silent))
    assert told(found) == ["GNS-V54"]
    assert found.arrivals is not None
    assert found.arrivals.longest_gap_s == pytest.approx(6.05)


def test_no_arrival_times() -> None:
    assert told(link(rows=None, baud=None)) == ["GNS-V53"]


def test_a_clock_that_jumps_and_one_that_is_slewed(monkeypatch: pytest.MonkeyPatch) -> None:
    slewed = "".join(f"{i},1,{i * 10**9},{10**18 + i * (10**9 + 500_000)}\n" for i in range(60))
    assert told(link(rows=slewed)) == []
    jumped = "".join(f"{i},1,{i * 10**9},{10**18 + i * 10**9 + (i > 30) * 200_000_000}\n" for i in range(60))
    for block in (1 << 20, 64):
        monkeypatch.setattr("yanshou.probes.gnss.link.BLOCK", block)
        found = link(rows=jumped)
        assert found.arrivals is not None
        assert (found.arrivals.steps, found.arrivals.bytes, found.arrivals.busiest) == (1, 60, 1)
        assert told(found) == ["GNS-V55"]


def test_somebody_else_on_the_same_port() -> None:
    assert told(link(baud=None, events="1,1,opened,x\n2,2,sender,a\n3,3,foreign,127.0.0.2 端口 9\n")) == ["GNS-V56"]


@pytest.mark.parametrize("block", [1 << 20, 5])
def test_corrections_by_message(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("yanshou.probes.gnss.link.BLOCK", block)
    assert crc24q(b"123456789") == 0xCDE703  # CRC-24/LTE-A: the same polynomial
    stream = (
        b"\r\n" + MESSAGE_1005 + framed(1124) + b"\xd3\x00junk" + framed(1124)[:-1] + b"\x00" + framed(1077) + b"\xd3"
    )
    found = link(corrections=stream)
    assert found.corrections is not None
    assert dict(found.corrections.messages) == {1005: 1, 1124: 1, 1077: 1}
    assert found.corrections.other == len(stream) - len(MESSAGE_1005) - len(framed(1124)) - len(framed(1077))
    assert told(found) == []
    assert found.to_json()["corrections"]["messages"] == {"1005": 1, "1077": 1, "1124": 1}


def test_corrections_without_beidou_or_with_holes() -> None:
    assert told(link(corrections=framed(1077))) == ["GNS-V57"]
    events = "1,1,opened,x\n2,2,caster,x\n3,3,caster_lost,x\n"
    assert told(link(corrections=framed(1124), events=events)) == ["GNS-V58"]
    assert told(link(corrections=framed(1124), untaken=5)) == ["GNS-V58"]


def test_epochs_that_come_in_bursts() -> None:
    t = np.arange(1000, dtype=np.int64) * 50_000_000
    steady = read_delays(t, t + 80_000_000)
    assert steady is not None
    assert steady.to_json() == {"delay_median_s": 0.08, "delay_p01_s": 0.08, "delay_p99_s": 0.08}
    assert list(delay_findings(steady)) == []
    held = read_delays(t, np.where(np.arange(1000) % 50 == 0, t + 3_000_000_000, t + 80_000_000))
    assert held is not None
    assert [f.code for f in delay_findings(held)] == ["GNS-V59"]
    assert read_delays(t, np.zeros_like(t)) is None
