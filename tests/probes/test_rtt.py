"""The rtt probe: packet formats, the stream on real sockets, the pure analysis, and each finding with and without its cause."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from pydantic import ValidationError

from yanshou.harness.basics import ProbeError, RunStatus, UserError
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, acknowledged_streams, recover
from yanshou.harness.model import Samples, Severity
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.rtt import secret, stamp, timestamps, timing
from yanshou.probes.rtt.analyse import analyse
from yanshou.probes.rtt.capture import far_host
from yanshou.probes.rtt.reflector import reflect
from yanshou.probes.rtt.schedule import send_offsets
from yanshou.probes.rtt.spec import SPEC, Params, estimate
from yanshou.probes.rtt.streams import CLOCK, CLOCK_COLUMNS, END, PACKET_COLUMNS, PACKETS, SESSION

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
SEED = 20241122
NOW = 1_795_391_398_114_397_305
UP = 10**12
MS = 1_000_000


# ---- packets -------------------------------------------------------------------------------------------------------


def test_ntp_timestamps_are_exact_to_the_nanosecond_in_both_eras() -> None:
    rng = random.Random(1)
    for ns in [0, 1, 999_999_999, NOW, *(rng.randrange(4_000_000_000 * 10**9) for _ in range(2000))]:
        assert stamp.from_ntp(stamp.to_ntp(ns)) == ns
    assert stamp.to_ntp(0) >> 32 == 2_208_988_800


KEY = bytes(range(32))
UNSYNCHRONISED = stamp.error_estimate(None)


@pytest.mark.parametrize("ptp", [False, True], ids=["ntp", "ptp"])
def test_request_is_decoded_by_scapy(ptp: bool) -> None:
    from scapy.contrib.stamp import STAMPSessionSenderTestUnauthenticated

    data = stamp.pack_request(7, NOW, 44, stamp.error_estimate(None, ptp))
    packet = STAMPSessionSenderTestUnauthenticated(data)
    assert len(data) == 44
    assert (packet.seq, packet.ssid, packet.mbz) == (7, 0, 0)
    error = packet.err_estimate
    assert (error.S, error.Z, error.scale, error.multiplier) == (0, int(ptp), 32, 1)
    if not ptp:
        assert round((packet.ts - 2_208_988_800) * 10**9) == NOW


def test_reply_is_decoded_by_scapy_and_by_us() -> None:
    from scapy.contrib.stamp import STAMPSessionReflectorTestUnauthenticated

    request = stamp.read_request(stamp.pack_request(9, NOW, 100, UNSYNCHRONISED))
    assert request is not None
    synchronised = stamp.error_estimate(1500)
    data = stamp.pack_reply(request, NOW + 5, NOW + 8, 63, synchronised)
    packet = STAMPSessionReflectorTestUnauthenticated(data[:44])
    assert len(data) == 100
    assert (packet.seq, packet.seq_sender, packet.ttl_sender, packet.mbz1, packet.mbz2) == (9, 9, 63, 0, 0)
    times = [round((t - 2_208_988_800) * 10**9) for t in (packet.ts_sender, packet.ts_rx, packet.ts)]
    assert times == [NOW, NOW + 5, NOW + 8]
    assert packet.err_estimate.S == 1
    assert stamp.read_reply(data) == stamp.StampReply(9, NOW + 8, NOW + 5, synchronised, 9, NOW, 63)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "signed"])
@pytest.mark.parametrize("ptp", [(False, True), (True, False), (True, True)])
def test_each_end_uses_its_own_format(key: bytes | None, ptp: tuple[bool, bool]) -> None:
    near, far = (stamp.error_estimate(None, z) for z in ptp)
    size = stamp.true_size(44, key is not None)
    request = stamp.read_request(stamp.pack_request(1, NOW, size, near, key), key)
    assert request is not None
    found = stamp.read_reply(stamp.pack_reply(request, NOW + 1, NOW + 2, 1, far, key), key)
    assert found is not None
    assert (found.sender_ns, found.received_ns, found.transmitted_ns) == (NOW, NOW + 1, NOW + 2)


@pytest.mark.parametrize("ns", [1, 1000, 1500, 10**6, 10**9, 5 * 10**10])
def test_error_estimate_is_rounded_up_and_never_far(ns: int) -> None:
    found = stamp.estimated_error_ns(stamp.error_estimate(ns))
    assert found is not None
    assert ns <= found <= ns * 1.02 + 2
    assert stamp.estimated_error_ns(UNSYNCHRONISED) is None


def signed_pair(follow: tuple[int, int] = (0, 0), size: int = 44) -> tuple[bytes, bytes]:
    data = stamp.pack_request(9, NOW, stamp.true_size(size, True), UNSYNCHRONISED, KEY)
    request = stamp.read_request(data, KEY)
    assert request is not None
    return data, stamp.pack_reply(request, NOW + 5, NOW + 8, 63, UNSYNCHRONISED, KEY, *follow)


@pytest.mark.parametrize("size", [44, 152, 153, 156, 200, 1472])
def test_signed_packets_are_as_long_as_each_other_and_have_wellformed_tlvs(size: int) -> None:
    """Base packet by the tables of RFC 8762, TLVs as scapy reads them: follow-up, padding where agreed, HMAC last."""
    from scapy.contrib.stamp import STAMPTestTLV

    data, reply = signed_pair((8, NOW - 1), size)
    assert len(data) == len(reply) == max(size, 156 if size > 152 else 152)
    for packet in (data, reply):
        rest, found = packet[112:], []
        while rest:
            tlv = STAMPTestTLV(rest[: 4 + int.from_bytes(rest[2:4], "big")])
            found.append((tlv.type, tlv.len))
            rest = rest[4 + tlv.len :]
        padding = [] if len(data) == 152 else [(1, len(data) - 156)]
        assert found == [(7, 16), *padding, (8, 16)]
    told = stamp.read_reply(reply, KEY)
    assert told is not None
    assert (told.sequence, told.sender_sequence, told.sender_ttl) == (9, 9, 63)
    assert (told.received_ns, told.transmitted_ns, told.sender_ns) == (NOW + 5, NOW + 8, NOW)
    assert (told.follow_sequence, told.follow_ns) == (8, NOW - 1)


def test_hmac_is_that_of_the_standard() -> None:
    import hashlib
    import hmac

    data, _ = signed_pair()
    assert data[96:112] == hmac.new(KEY, data[:96], hashlib.sha256).digest()[:16]


def test_every_octet_of_a_signed_packet_is_protected() -> None:
    data, reply = signed_pair((8, NOW - 1))
    for at in range(len(data)):
        if at not in (132, 134, 135):  # flags and length of the HMAC TLV itself: nothing is read from them
            assert stamp.read_request(_with_octet(data, at, data[at] ^ 1), KEY) is None, at
            assert stamp.read_reply(_with_octet(reply, at, reply[at] ^ 1), KEY) is None, at
    assert stamp.read_reply(reply, KEY[::-1]) is None
    assert stamp.is_forged(reply, KEY[::-1])
    assert not stamp.is_forged(reply, KEY)
    assert not stamp.is_forged(reply, None)


def plain_request(size: int = 44) -> bytes:
    return stamp.pack_request(1, NOW, size, UNSYNCHRONISED)


def good_reply(request: bytes) -> bytes:
    now, known = time.time_ns(), stamp.read_request(request)
    assert known is not None
    return stamp.pack_reply(known, now, now, 255, UNSYNCHRONISED)


def _with_octet(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        plain_request()[:43],
        _with_octet(plain_request(), 13, 0),
        _with_octet(plain_request(), 43, 1),
        good_reply(plain_request()),
    ],
    ids=["empty", "text", "short", "multiplier 0", "MBZ", "another reflector's reply"],
)
def test_what_is_not_a_request(data: bytes) -> None:
    assert stamp.read_request(data) is None
    assert stamp.read_request(data, KEY) is None
    assert stamp.read_request(plain_request(1472)) is not None


# ---- schedule and parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["poisson", "jitter"])
def test_schedule_keeps_mean_and_minimum_and_comes_from_the_seed(kind: str) -> None:
    offsets = send_offsets(kind, 20_000, 10, 1, SEED)
    gaps = np.diff(offsets)
    assert offsets == send_offsets(kind, 20_000, 10, 1, SEED)
    assert offsets != send_offsets(kind, 20_000, 10, 1, SEED + 1)
    assert gaps.min() >= MS
    assert gaps.mean() == pytest.approx(10 * MS, rel=0.03)
    assert gaps.std() > 4 * MS


def test_schedule_is_the_same_forever() -> None:
    assert list(send_offsets("poisson", 4, 10, 1, 1)) == [0, 2298620, 20220026, 34206746]


def test_grid_schedule() -> None:
    assert list(send_offsets("grid", 4, 2.5, 1, SEED)) == [0, 2_500_000, 5_000_000, 7_500_000]


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 43},
        {"size": 1473},
        {"interval_ms": 1, "min_interval_ms": 1},
        {"warmup": 0},
        {"port": 0},
        {"rate": 1},
        {"host": ""},
    ],
)
def test_parameters_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Params(**{"host": "h", **wrong})


def test_every_parameter_has_its_chinese_help() -> None:
    assert all(info.description for info in Params.model_fields.values())


def test_estimate_takes_the_larger_number_of_samples() -> None:
    params = Params(host="h", count=1000, warmup=50)
    assert estimate(params, None).samples == estimate(params, 300).samples == 1000
    assert estimate(params, None).seconds == pytest.approx(11.5)
    assert estimate(params, 3000).samples == 3000


# ---- on real sockets -----------------------------------------------------------------------------------------------


def quick(port: int, **more: Any) -> Params:
    """A short run towards loopback."""
    values = {"count": 60, "interval_ms": 2, "min_interval_ms": 0.5, "warmup": 5, "timeout_ms": 150}
    return Params(**{"host": "127.0.0.1", "port": port, **values, **more})


def record(
    folder: Path, params: Params, progress: Callable[[Progress], None] = lambda _news: None, name: str = "x"
) -> RunEvidence:
    """Capture with the real ledger. What the capture raises comes through, with the run closed as crashed."""
    with Ledger(folder) as ledger, RunWriter(ledger, name, {}) as run:
        Probe("rtt").capture(params, RunContext(run.sink, SEED, folder, None, progress))
        run.close(RunStatus.COMPLETED)
    return evidence_of(folder, run.folder_name)


def evidence_of(folder: Path, run: str) -> RunEvidence:
    with Ledger(folder) as ledger:
        return RunEvidence(folder / "runs" / run, acknowledged_streams(ledger.records, int(run[:4])))


@contextmanager
def reflecting(**settings: Any) -> Iterator[int]:
    """Our reflector in a thread; its port."""
    stop, ports = threading.Event(), list[int]()
    up = threading.Event()

    def ready(_host: str, port: int) -> None:
        ports.append(port)
        up.set()

    bind = settings.pop("bind", "127.0.0.1")
    thread = threading.Thread(target=reflect, args=(bind, 0), kwargs={**settings, "stop": stop, "ready": ready})
    thread.start()
    try:
        assert up.wait(10)
        yield ports[0]
    finally:
        stop.set()
        thread.join()


@contextmanager
def far_end(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """A far end that answers each datagram with whatever `answer` makes of it; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    data, peer = sock.recvfrom(2048)
                except TimeoutError:
                    continue
                for reply in answer(data):
                    sock.sendto(reply, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def sequence(request: bytes) -> int:
    return int.from_bytes(request[:4])


def codes(samples: Samples) -> set[str]:
    return {finding.code for finding in samples.validity}


def rows_of(evidence: RunEvidence) -> list[dict[str, str]]:
    with evidence.open(PACKETS) as f:
        header, *lines = f.read().decode().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def test_a_run_is_repeatable_and_kernel_stamped(tmp_path: Path) -> None:
    news: list[Progress] = []
    with reflecting() as port:
        params = quick(port, size=256)
        evidence = record(tmp_path, params, news.append)
    first, second = analyse(evidence, params, SEED), analyse(evidence, params, SEED)
    assert first.values.tobytes() == second.values.tobytes()
    assert first.times.tobytes() == second.times.tobytes()
    assert (first.validity, first.facts) == (second.validity, second.facts)
    json.dumps(first.facts, allow_nan=False)
    assert (first.unit, first.measurand, first.bounds) == ("ns", "round_trip", ("one_way",))
    assert first.values.shape == first.times.shape == (60,)
    assert np.isfinite(first.values).all()
    assert (np.diff(first.times) > 0).all()
    assert (first.facts["sent"], first.facts["received"], first.facts["size"]) == (60, 60, 256)
    assert sum(len(n.values) for n in news) == 60
    assert (news[-1].done, news[-1].planned, news[-1].lost) == (60, 60, 0)
    rows = rows_of(evidence)
    assert sorted(int(r["seq"]) for r in rows) == list(range(65))
    assert {r["ttl"] for r in rows} == {"255"}
    assert {r["size"] for r in rows} == {"256"}
    if sys.platform == "linux":
        assert first.facts["stamps"] == {"t1_kernel": 60, "t4_kernel": 60}
    with evidence.open(SESSION) as f:
        session = json.load(f)
    assert session["params"] == params.model_dump(mode="json")
    assert session["peer"] == ["127.0.0.1", port]
    assert isinstance(session["punctuality"]["fifo"], bool)


def test_without_kernel_stamps_the_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamps.StampedSocket, "_number_from_here", lambda _self: False)
    with reflecting() as port:
        params = quick(port)
        samples = analyse(record(tmp_path, params), params, SEED)
    assert np.isfinite(samples.values).all()
    assert samples.facts["stamps"] == {"t1_kernel": 0, "t4_kernel": 0}
    assert "RTT-V07" in codes(samples)


def test_a_stamp_older_than_its_packet_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transmitted = timestamps.StampedSocket.transmitted

    def stale(self: timestamps.StampedSocket) -> list[tuple[int, int]]:
        return [(number, ns - 10**9) for number, ns in transmitted(self)]

    with reflecting() as port:
        monkeypatch.setattr(timestamps.StampedSocket, "transmitted", stale)
        params = quick(port)
        samples = analyse(record(tmp_path, params), params, SEED)
    assert samples.facts["stamps"]["t1_kernel"] == 0
    assert samples.values.max() < 10**9


def test_over_ipv6(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this host")
    with reflecting(bind="::1") as port:
        params = quick(port, host="::1")
        evidence = record(tmp_path, params)
    assert analyse(evidence, params, SEED).facts["received"] == 60
    assert {r["ttl"] for r in rows_of(evidence)} == {"255"}


def test_clocks_are_read_between_packets_that_are_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.probes.rtt.sender.CLOCK_NS", 20 * MS)
    with reflecting() as port:
        params = quick(port, count=2, warmup=1, interval_ms=300, schedule="grid")
        samples = analyse(record(tmp_path, params), params, SEED)
    assert samples.facts["clock_readings"] > 10


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "reflector.key"
    path.write_text(KEY.hex(), encoding="ascii")
    return path


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1"])
def test_a_key_proves_our_own_reflector(tmp_path: Path, key_file: Path, bind: str) -> None:
    with reflecting(key=KEY, bind=bind) as port:
        params = quick(port, host=bind, key_file="reflector.key", size=200)
        evidence = record(tmp_path, params)
    samples = analyse(evidence, params, SEED)
    assert samples.facts["judged"] == "net"
    assert samples.facts["size"] == 200
    assert samples.facts["follow_up"] >= 59
    assert (samples.values < other(samples, "gross")).all()
    with evidence.open(SESSION) as f:
        assert json.load(f)["key"] == samples.facts["key"] == secret.fingerprint(KEY)


def test_the_key_is_nowhere_in_the_evidence(tmp_path: Path, key_file: Path) -> None:
    with reflecting(key=KEY) as port:
        evidence = record(tmp_path, quick(port, key_file="reflector.key"))
    for name in evidence.streams():
        data = evidence.open(name).read()
        assert KEY not in data
        assert KEY.hex().encode() not in data.lower()


def test_another_key_proves_nothing(tmp_path: Path, key_file: Path) -> None:
    """A far end with another key answers nothing; one that signs with another key is a forger."""
    with reflecting(key=KEY[::-1]) as port:
        assert refused(tmp_path, quick(port, key_file="reflector.key", warmup=20)).startswith("RTT-E01")

    def sign_wrongly(data: bytes) -> list[bytes]:
        request = stamp.read_request(data, KEY)
        assert request is not None
        return [stamp.pack_reply(request, NOW, NOW + 5 * MS, 1, UNSYNCHRONISED, KEY[::-1])]

    with far_end(sign_wrongly) as port:
        told = refused(tmp_path, quick(port, key_file="reflector.key", warmup=20))
    assert told == "RTT-E05"


LIE_NS = 5 * MS


@pytest.mark.parametrize("signed", [False, True], ids=["plain reply", "signed by another key"])
def test_a_reflector_that_lies_by_5_ms_lowers_no_value(tmp_path: Path, key_file: Path, signed: bool) -> None:
    """It holds each packet for 3 ms and claims that it held it for 5 ms more than it did; a true reply comes too, so that the
    run goes on: what is judged stays the gross time."""

    def lie(data: bytes) -> list[bytes]:
        request = stamp.read_request(data, KEY) if signed else stamp.read_request(data)
        assert request is not None
        arrived = time.time_ns() - LIE_NS
        time.sleep(0.003)
        left = time.time_ns()
        if not signed:
            return [stamp.pack_reply(request, arrived, left, 1, UNSYNCHRONISED)]
        forged = stamp.pack_reply(request, arrived, left, 1, UNSYNCHRONISED, KEY[::-1])
        return [forged, stamp.pack_reply(request, left, left, 1, UNSYNCHRONISED, KEY)]

    with far_end(lie) as port:
        params = quick(port, interval_ms=8, key_file="reflector.key" if signed else None)
        samples = analyse(record(tmp_path, params), params, SEED)
    assert samples.values.min() >= 3 * MS
    if signed:
        assert "RTT-V17" in codes(samples)
    else:
        assert samples.facts["judged"] == "gross"
        assert other(samples).max() < 3 * MS, "the lie is printed beside it, and judged nowhere"


def test_replayed_replies_and_altered_stamps_are_no_answers(tmp_path: Path, key_file: Path) -> None:
    """Right key, wrong packet: every reply is sent again with the next request, and one of them mirrors another T1."""
    last: list[bytes] = []

    def replay(data: bytes) -> list[bytes]:
        request = stamp.read_request(data, KEY)
        assert request is not None
        now = time.time_ns()
        reply = stamp.pack_reply(request, now, now, 1, UNSYNCHRONISED, KEY)
        altered = stamp.pack_reply(request._replace(sent=request.sent + 10), now, now, 1, UNSYNCHRONISED, KEY)
        old, last[:] = list(last), [reply]
        return [*old, altered, reply]

    with far_end(replay) as port:
        params = quick(port, key_file="reflector.key")
        samples = analyse(record(tmp_path, params), params, SEED)
    assert samples.facts["duplicates"] == 64
    assert samples.facts["foreign"] == 65
    assert samples.facts["received"] == 60


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "k"
    assert secret.new_key_file(path) == secret.fingerprint(secret.load_key(path))
    assert path.stat().st_mode & 0o77 == 0
    with pytest.raises(UserError, match="RTT-E09"):
        secret.new_key_file(path)
    for content in (b"", b"short", b"ab" * 7, bytes(range(200, 256)) * 2):
        path.write_bytes(content)
        with pytest.raises(UserError, match="RTT-E09"):
            secret.load_key(path)
    path.write_bytes(bytes(range(200, 232)))
    assert secret.load_key(path) == bytes(range(200, 232))
    with pytest.raises(UserError, match="RTT-E09"):
        secret.load_key(tmp_path / "none")


def test_each_subject_may_have_its_own_far_end(tmp_path: Path) -> None:
    params = quick(1, host=None, hosts={"甲": "127.0.0.1"})
    assert far_host(params, "甲") == "127.0.0.1"
    with pytest.raises(ProbeError, match="RTT-E08"):
        far_host(params, "乙")
    assert far_host(quick(1, hosts={"甲": "127.0.0.2"}), "乙") == "127.0.0.1"


CAPTURE_SIDE = (
    "harness/basics", "harness/names", "probes/capturing",
    *(f"probes/rtt/{n}" for n in (
        "capture", "forwarder", "hold", "namespaces", "reference", "reflector", "schedule", "secret", "sender", "stamp",
        "streams", "timestamps", "timing",
    )),
)  # fmt: skip


def test_capture_side_runs_on_bare_python_3_8() -> None:
    files = [str(ROOT / f"yanshou/{name}.py") for name in CAPTURE_SIDE]
    command = [str(Path(sys.executable).with_name("vermin")), "--no-tips", "--no-parse-comments", "-t=3.8-", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_delay_is_in_the_gross_and_in_the_net(tmp_path: Path) -> None:
    holds: dict[int, int] = {}
    with reflecting(delay_s=0.003, log=holds.__setitem__) as port:
        params = quick(port)
        samples = analyse(record(tmp_path, params), params, SEED)
    assert samples.values.min() >= 3 * MS
    assert other(samples).min() >= 3 * MS
    assert len(holds) == 65
    assert min(holds.values()) >= 3 * MS


def test_the_schedule_never_waits_for_replies(tmp_path: Path) -> None:
    with reflecting(delay_s=0.05) as port:
        params = quick(port, count=40)
        evidence = record(tmp_path, params)
    rows = sorted(rows_of(evidence), key=lambda r: int(r["seq"]))
    departures = [int(r["t1_user_ns"]) for r in rows]
    arrivals = [int(r["t4_user_ns"]) for r in rows]
    assert sum(next_one < reply for next_one, reply in zip(departures[5:], arrivals, strict=False)) == 40


def test_lost_packets_are_infinite_in_their_place(tmp_path: Path) -> None:
    news: list[Progress] = []
    with far_end(lambda request: [] if sequence(request) % 5 == 0 else [good_reply(request)]) as port:
        params = quick(port)
        samples = analyse(record(tmp_path, params, news.append), params, SEED)
    assert [i for i, value in enumerate(samples.values) if np.isinf(value)] == list(range(0, 60, 5))
    assert (samples.facts["lost"], samples.facts["received"], news[-1].lost) == (12, 48, 12)
    assert sum(np.isinf(v) for n in news for v in n.values) == 12
    assert not codes(samples) & {"RTT-V01", "RTT-V12"}


def test_a_late_reply_is_an_exceedance_and_is_kept(tmp_path: Path) -> None:
    held: list[bytes] = []

    def answer(request: bytes) -> list[bytes]:
        if sequence(request) == 10:
            held.append(request)
            return []
        return [good_reply(r) for r in ([request, held.pop()] if held and sequence(request) > 60 else [request])]

    with far_end(answer) as port:
        params = quick(port, timeout_ms=40)
        evidence = record(tmp_path, params)
    samples = analyse(evidence, params, SEED)
    assert np.isinf(samples.values[5])
    assert samples.facts["late"] == 1
    assert [r["status"] for r in rows_of(evidence) if r["seq"] == "10"] == ["lost", "late"]


def test_duplicates_and_replies_to_nothing_are_recorded(tmp_path: Path) -> None:
    def answer(request: bytes) -> list[bytes]:
        reply = good_reply(request)
        if sequence(request) == 20:
            return [reply, reply]
        if sequence(request) == 30:
            return [reply, b"not stamp", reply[:24] + (99).to_bytes(4, "big") + reply[28:]]
        return [reply]

    with far_end(answer) as port:
        params = quick(port)
        evidence = record(tmp_path, params)
    samples = analyse(evidence, params, SEED)
    assert (samples.facts["duplicates"], samples.facts["foreign"], samples.facts["received"]) == (1, 2, 60)
    assert {"RTT-V10", "RTT-V11"} <= codes(samples)
    assert sum(r["status"] == "foreign" for r in rows_of(evidence)) == 2


def test_reordered_replies_are_counted(tmp_path: Path) -> None:
    held: list[bytes] = []

    def answer(request: bytes) -> list[bytes]:
        if sequence(request) % 10 == 7:
            held.append(request)
            return []
        return [good_reply(request), *(good_reply(held.pop()) for _ in held[:])]

    with far_end(answer) as port:
        params = quick(port)
        samples = analyse(record(tmp_path, params), params, SEED)
    assert samples.facts["reordered"] == 6
    assert np.isfinite(samples.values).all()


def refused(folder: Path, params: Params) -> str:
    with pytest.raises(ProbeError) as caught:
        record(folder, params)
    assert caught.value.problem.remedy
    return caught.value.problem.code


def test_silent_port(tmp_path: Path) -> None:
    with far_end(lambda _request: []) as port:
        assert refused(tmp_path, quick(port)) == "RTT-E01"
    rows = rows_of(evidence_of(tmp_path, "0001-x"))
    assert [r["status"] for r in rows if r["phase"] == "warmup"] == ["lost"] * 5


def test_closed_port(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert refused(tmp_path, quick(port, count=100_000)) == "RTT-E02"


def test_name_that_does_not_resolve(tmp_path: Path) -> None:
    assert refused(tmp_path, quick(862, host="no..such..name")) == "RTT-E03"


def test_destination_that_the_system_refuses(tmp_path: Path) -> None:
    assert refused(tmp_path, quick(862, host="255.255.255.255")) in {
        "RTT-E04",
        "RTT-E01",
    }  # E01: host without any route


def test_rejected_by_a_firewall_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def receive(_self: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(timestamps.StampedSocket, "receive", receive)
    with far_end(lambda request: [good_reply(request)]) as port:
        assert refused(tmp_path, quick(port, count=100_000)) == "RTT-E02"


def test_packets_that_the_system_does_not_take_are_recorded_as_unsent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = timestamps.StampedSocket.send

    def sometimes(self: timestamps.StampedSocket, data: bytes, address: Any = None) -> None:
        send(self, b"x" * 70_000 if sequence(data) in (20, 21, 30) and len(data) == 45 else data, address)

    with reflecting() as port:
        monkeypatch.setattr(timestamps.StampedSocket, "send", sometimes)
        params = quick(port, size=45, warmup=10)
        evidence = record(tmp_path, params)
    samples = analyse(evidence, params, SEED)
    assert [r["seq"] for r in rows_of(evidence) if r["status"] == "unsent"] == ["20", "21", "30"]
    assert samples.values.size == samples.facts["received"] == samples.facts["sent"] == 57
    assert samples.facts["stamps"]["t1_kernel"] == (57 if sys.platform == "linux" else 0)
    assert codes(samples) >= {"RTT-V01"}
    assert not codes(samples) & {"RTT-V12", "RTT-V13", "RTT-V14"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: [b"garbage" * 9],
        lambda request: [request],
        lambda request: [_with_octet(good_reply(request), 27, 99)],
    ],
    ids=["garbage", "echo", "wrong sequence"],
)
def test_a_far_end_that_does_not_speak_stamp(tmp_path: Path, answer: Callable[[bytes], list[bytes]]) -> None:
    with far_end(answer) as port:
        assert refused(tmp_path, quick(port, count=100_000)) == "RTT-E05"


def test_interrupting_loses_no_row(tmp_path: Path) -> None:
    def interrupt(news: Progress) -> None:
        if news.done > 50:
            raise KeyboardInterrupt

    with reflecting() as port, pytest.raises(KeyboardInterrupt):
        record(tmp_path, quick(port, count=100_000), interrupt)
    evidence = evidence_of(tmp_path, "0001-x")
    with evidence.open(END) as f:
        end = json.load(f)
    assert end["rows"] == len(rows_of(evidence)) > 50
    assert end["sent"] == end["rows"] + end["unanswered"]


KILLED = """
import sys
from pathlib import Path
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
folder, port = Path(sys.argv[1]), int(sys.argv[2])
params = Probe("rtt").params({"host": "127.0.0.1", "port": port, "count": 100000, "interval_ms": 2, "warmup": 5})
with Ledger(folder) as ledger, RunWriter(ledger, "x", {}) as run:
    Probe("rtt").capture(params, RunContext(run.sink, %d, folder))
"""


def test_kill_9_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    with reflecting() as port:
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED % SEED, str(tmp_path), str(port)], start_new_session=True
        )
        ledger = tmp_path / "ledger.jsonl"
        while not ledger.exists() or ledger.read_bytes().count(b'"checkpoint"') < 2:
            assert child.poll() is None
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with Ledger(tmp_path) as opened:
        assert recover(opened) == [1]
    evidence = evidence_of(tmp_path, "0001-x")
    params = quick(port, count=100_000, warmup=5, min_interval_ms=1)
    samples = analyse(evidence, params, SEED)
    complete = sum(r["phase"] == "measure" for r in rows_of(evidence)[:-1])
    assert samples.values.size >= complete > 0
    assert np.isfinite(samples.values).sum() >= complete
    assert {"RTT-V01", "RTT-V12"} <= codes(samples)
    assert "RTT-V13" not in codes(samples)


def test_reflector_answers_requests_only_and_never_with_more(tmp_path: Path) -> None:
    request = stamp.pack_request(5, NOW, 200, UNSYNCHRONISED)
    with reflecting() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(5)
        for junk in (b"", b"x" * 10, b"x" * 100, good_reply(request), signed_pair()[0]):
            sock.send(junk)
        sock.send(request)
        answer = sock.recv(2048)
    reply = stamp.read_reply(answer)
    assert reply is not None
    assert len(answer) == len(request)
    assert (reply.sequence, reply.sender_sequence, reply.sender_ns) == (5, 5, NOW)
    assert reply.received_ns <= reply.transmitted_ns


def test_reflector_port_in_use() -> None:
    with reflecting() as port, pytest.raises(UserError) as caught:
        reflect("127.0.0.1", port)
    assert caught.value.problems[0].code == "RTT-E06"


@pytest.mark.parametrize(("bind", "code"), [("203.0.113.1", "RTT-E04"), ("no..such", "RTT-E03")])
def test_reflector_address_that_is_not_ours(bind: str, code: str) -> None:
    with pytest.raises(UserError) as caught:
        reflect(bind, 0)
    assert caught.value.problems[0].code == code


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux'")
def test_stamps_keep_their_packets_after_a_failed_send() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        peer.bind(("127.0.0.1", 0))
        net = timestamps.StampedSocket(sock, transmit=True)
        net.send(b"0", peer.getsockname())
        with pytest.raises(OSError, match="Message too long"):
            net.send(b"1" * 70_000, peer.getsockname())
        for _ in range(2):
            net.send(b"2", peer.getsockname())
        time.sleep(0.05)
        stamps = list(net.transmitted())
    assert [number for number, _ in stamps][1:] == [2, 3]
    assert [ns for _, ns in stamps] == sorted(ns for _, ns in stamps)


def test_punctuality_is_put_back() -> None:
    gc.enable()
    before = gc.isenabled(), sys.getswitchinterval(), timing._scheduling_policy()
    with timing.punctual() as obtained:
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(obtained["switch_interval_s"])
    assert (gc.isenabled(), sys.getswitchinterval(), timing._scheduling_policy()) == before


def test_a_clock_reading_is_ordered() -> None:
    first, second = timing.read_clocks(), timing.read_clocks()
    assert first.before <= first.after <= second.before <= second.after
    assert first.raw < second.raw


# ---- findings on crafted evidence ----------------------------------------------------------------------------------


class Memory:
    """Evidence that lies in memory."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    def streams(self) -> tuple[str, ...]:
        return tuple(sorted(self.contents))

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.contents[name])

    def sha256(self, name: str) -> str:
        return name

    def sub(self, _prefix: str) -> Memory:
        return self


Row = dict[str, Any]
PARAMS = Params(host="h", count=400, warmup=10)
PROVEN = PARAMS.model_copy(update={"key_file": "reflector.key"})
RTT = 1_500_000
LEAVES = 30_000
"""How long after T3 each reply of the story truly left."""


class Story:
    """A flawless run of 410 packets, to be spoiled in one respect."""

    def __init__(self, params: Params = PARAMS) -> None:
        self.params = params
        start = NOW + 20 * MS
        self.rows: list[Row] = []
        for seq, offset in enumerate(
            send_offsets(
                params.schedule, params.warmup + params.count, params.interval_ms, params.min_interval_ms, SEED
            )
        ):
            t = start + offset
            phase = "warmup" if seq < params.warmup else "measure"
            times = (t, t + 2000, t + 5000, t + 700_000, t + 720_000, t + 5000 + RTT, t + 40_000 + RTT)
            claims = ("", seq, UNSYNCHRONISED, "", "")
            if params.key_file:
                follow = (seq - 1, t - 10 * MS if seq else "") if seq else ("", "")
                claims = ("ok", seq, UNSYNCHRONISED, *follow)
            cells = (seq, phase, *times, 44, "ok", 64, *claims)
            self.rows.append(dict(zip(PACKET_COLUMNS.split(","), cells, strict=True)))
        for row, before in zip(self.rows[1:], self.rows, strict=False):
            if params.key_file:
                row["follow_t3_ns"] = before["t3_ns"] + LEAVES
        seconds = 2 + (self.rows[-1]["t_sched_ns"] - NOW) // 10**9
        self.clock = [[NOW + t, UP + t, UP + t - 300, UP + t + 300] for t in range(0, seconds * 10**9, 10**9)]
        self.end: Any = {"rows": len(self.rows)}
        self.tail = b""
        self.session: Any = {"size": 44}
        self.without: set[str] = set()

    def lose(self, row: Row, status: str = "lost") -> None:
        row.update(status=status, t2_ns="", t3_ns="", t4_kernel_ns="", t4_user_ns="", ttl="")

    def samples(self) -> Samples:
        lines = [PACKET_COLUMNS, *(",".join(map(str, row.values())) for row in self.rows)]
        clock = [CLOCK_COLUMNS, *(",".join(map(str, reading)) for reading in self.clock)]
        contents = {
            PACKETS: "".join(f"{line}\n" for line in lines).encode() + self.tail,
            CLOCK: "".join(f"{line}\n" for line in clock).encode(),
            END: json.dumps(self.end).encode(),
            SESSION: json.dumps(self.session).encode(),
        }
        memory = Memory({name: data for name, data in contents.items() if name not in self.without})
        return analyse(memory, self.params, SEED)  # type: ignore[arg-type]


Spoil = Callable[[Story], None]


def unsent(number: int) -> Spoil:
    def spoil(story: Story) -> None:
        for row in story.rows[20 : 20 + number]:
            story.lose(row, "unsent")
            row.update(t1_user_ns="", t1_kernel_ns="")

    return spoil


def shift(rows: slice, ns: int, *columns: str) -> Spoil:
    def spoil(story: Story) -> None:
        for row in story.rows[rows]:
            for column in columns:
                row[column] += ns

    return spoil


T1, T4 = ("t1_user_ns", "t1_kernel_ns"), ("t4_kernel_ns", "t4_user_ns")
MOVED = (*T1, "t2_ns", "t3_ns", *T4)


def step(ns: int) -> Spoil:
    def spoil(story: Story) -> None:
        for reading in story.clock[2:]:
            reading[0] += ns

    return spoil


def rate(ppm: int) -> Spoil:
    def spoil(story: Story) -> None:
        for seconds, reading in enumerate(story.clock):
            for i in (0, 2, 3):
                reading[i] += seconds * ppm * 1000

    return spoil


def clockless(story: Story) -> None:
    story.without.add(CLOCK)


def clock_gap(story: Story) -> None:
    story.params = PARAMS.model_copy(update={"count": 1000})
    story.__init__(story.params)  # type: ignore[misc]
    del story.clock[2:8]


def user_stamps(number: int) -> Spoil:
    def spoil(story: Story) -> None:
        for row in story.rows[10 : 10 + number]:
            row["t1_kernel_ns"] = ""

    return spoil


def schedule(kind: str) -> Spoil:
    return lambda story: story.__init__(PARAMS.model_copy(update={"schedule": kind}))  # type: ignore[misc]


def extra(status: str) -> Spoil:
    def spoil(story: Story) -> None:
        copy = {**story.rows[100], "status": status}
        if status == "foreign":
            copy.update(seq="", phase="")
        story.rows.append(copy)
        story.end["rows"] += 1

    return spoil


def torn(story: Story) -> None:
    story.tail = b"410,measure,17953"


def endless(story: Story) -> None:
    story.without.add(END)


def short(story: Story) -> None:
    del story.rows[200]


def other_seed(story: Story) -> None:
    for row, offset in zip(story.rows, send_offsets("poisson", 410, 10, 1, SEED + 1), strict=True):
        row["t_sched_ns"] = NOW + 20 * MS + offset


def hidden_lateness(story: Story) -> None:
    """All packets late by 3 ms, and the recorded plan moved along."""
    for row in story.rows[50:]:
        for column in ("t_sched_ns", *MOVED):
            row[column] += 3 * MS


def cell(column: str, value: object) -> Spoil:
    return lambda story: story.rows[50].update({column: value})


def none(_story: Story) -> None:
    """Nothing."""


def proven(spoil: Spoil) -> Spoil:
    def spoil_proven(story: Story) -> None:
        story.__init__(PROVEN)  # type: ignore[misc]
        spoil(story)

    return spoil_proven


def busy(story: Story) -> None:
    """Replies leave 201 us after their requests came, and each next one says so."""
    shift(slice(None), 151_000, "t3_ns", "t4_kernel_ns", "t4_user_ns")(story)
    shift(slice(1, None), 151_000, "follow_t3_ns")(story)


def forged(story: Story) -> None:
    extra("foreign")(story)
    story.rows[-1]["auth"] = "bad"


CASES: list[tuple[str, str, Spoil, Spoil]] = [
    ("sent", "RTT-V01", unsent(5), unsent(4)),
    (
        "killed",
        "RTT-V01",
        lambda s: s.rows.__delitem__(slice(400, None)),
        lambda s: s.rows.__delitem__(slice(407, None)),
    ),
    ("late", "RTT-V02", shift(slice(50, 60), 5_100_000, *MOVED), shift(slice(50, 53), 5_100_000, *MOVED)),
    ("gap", "RTT-V03", shift(slice(50, None), 101 * MS, *MOVED), shift(slice(50, None), 99 * MS, *MOVED)),
    ("step", "RTT-V04", step(11_000), step(9_000)),
    ("step back", "RTT-V04", step(-11_000), step(-9_000)),
    ("rate", "RTT-V05", rate(520), rate(400)),
    ("clockless", "RTT-V06", clockless, none),
    ("clock gap", "RTT-V06", clock_gap, none),
    ("user stamps", "RTT-V07", user_stamps(5), user_stamps(4)),
    ("grid", "RTT-V08", schedule("grid"), schedule("jitter")),
    ("residence < 0", "RTT-V09", cell("t3_ns", NOW), none),
    ("residence > RTT", "RTT-V09", shift(slice(50, 51), 2 * MS, "t3_ns"), shift(slice(50, 51), MS, "t3_ns")),
    ("unproven", "RTT-V15", none, proven(none)),
    ("busy reflector", "RTT-V16", proven(busy), proven(none)),
    ("forged", "RTT-V17", forged, none),
    ("follow-up before T3", "RTT-V18", proven(cell("follow_t3_ns", NOW)), proven(none)),
    ("duplicate", "RTT-V10", extra("dup"), none),
    ("foreign", "RTT-V11", extra("foreign"), none),
    ("torn", "RTT-V12", torn, none),
    ("no end", "RTT-V12", endless, none),
    ("row missing", "RTT-V12", short, none),
    ("other plan", "RTT-V13", other_seed, none),
    ("plan moved", "RTT-V13", hidden_lateness, none),
    ("early", "RTT-V13", shift(slice(None), -5000, *MOVED), shift(slice(None), -2500, *MOVED)),
    ("two fates", "RTT-V14", extra("ok"), extra("dup")),
    ("no number", "RTT-V14", cell("t4_user_ns", "soon"), none),
    ("huge number", "RTT-V14", cell("t4_user_ns", 10**30), none),
    ("unknown status", "RTT-V14", cell("status", "fine"), none),
    ("wrong phase", "RTT-V14", cell("phase", "warmup"), none),
    ("out of plan", "RTT-V14", cell("seq", 410), none),
    (
        "T4 before T1",
        "RTT-V14",
        shift(slice(50, 51), -2 * MS, "t4_kernel_ns"),
        shift(slice(50, 51), -MS // 4, "t4_kernel_ns"),
    ),
    (
        "kernel before user",
        "RTT-V14",
        shift(slice(50, 51), 5000, "t1_user_ns"),
        shift(slice(50, 51), 3500, "t1_user_ns"),
    ),
    (
        "forged T4 kernel",
        "RTT-V14",
        shift(slice(50, 51), 37_000, "t4_kernel_ns"),
        shift(slice(50, 51), 35_000, "t4_kernel_ns"),
    ),
]


@pytest.mark.parametrize(("code", "cause", "harmless"), [c[1:] for c in CASES], ids=[f"{c[1]} {c[0]}" for c in CASES])
def test_each_finding_has_its_cause(code: str, cause: Spoil, harmless: Spoil) -> None:
    spoiled, good = Story(), Story()
    cause(spoiled)
    harmless(good)
    assert code in codes(spoiled.samples())
    assert code not in codes(good.samples())


def other(samples: Samples, name: str = "net") -> Any:
    return next(s.values for s in samples.series if s.name == name)


def test_a_flawless_run_has_nothing_to_find_but_who_reflects() -> None:
    samples = Story().samples()
    assert codes(samples) == {"RTT-V15"}
    assert samples.facts["judged"] == "gross"
    assert samples.values.tolist() == [RTT] * 400
    assert samples.facts["residence_ns"]["p50"] == 20_000
    assert other(samples).tolist() == [RTT - 20_000] * 400


def test_a_proven_reflector_is_judged_net_of_its_true_residence() -> None:
    samples = Story(PROVEN).samples()
    assert samples.validity == ()
    assert samples.facts["judged"] == "net"
    last = RTT - 20_000  # nobody told when the very last reply left: T3 stands for it, which reads more
    assert samples.values.tolist() == [RTT - 20_000 - LEAVES] * 399 + [last]
    assert other(samples, "gross").tolist() == [RTT] * 400


def test_one_answer_without_proof_makes_all_gross() -> None:
    story = Story(PROVEN)
    story.rows[200]["auth"] = ""
    samples = story.samples()
    assert samples.facts["judged"] == "gross"
    assert samples.values.tolist() == [RTT] * 400
    assert "RTT-V15" in codes(samples)


def synchronised(story: Story, far_ns: int = 20_000, own_ns: int | None = 30_000, shift_ns: int = 0) -> Samples:
    for row in story.rows:
        row["error"] = stamp.error_estimate(far_ns)
        for column in ("t2_ns", "t3_ns", "follow_t3_ns"):
            row[column] = row[column] and row[column] + shift_ns
    story.session["clock_error_ns"] = own_ns
    return story.samples()


def test_one_way_delays_only_from_two_clocks_that_claim_to_be_right() -> None:
    samples = synchronised(Story(PROVEN))
    up, down = (next(s for s in samples.series if s.name == name) for name in ("up", "down"))
    assert up.values.tolist() == [695_000] * 400
    assert down.values[0] == RTT + 5000 - 720_000 - LEAVES
    assert 50_000 <= up.error == down.error <= 50_500
    assert {up.measurand, down.measurand} == {"one_way"}
    for without in (
        synchronised(Story(PROVEN), own_ns=None),
        Story(PROVEN).samples(),
        synchronised(Story()),
        synchronised(Story(PROVEN), shift_ns=-800_000),
    ):
        assert {s.measurand for s in without.series} == {"round_trip"}


def test_clocks_that_contradict_their_claim_are_found_out() -> None:
    assert "RTT-V19" in codes(synchronised(Story(PROVEN), shift_ns=-800_000))
    assert "RTT-V19" not in codes(synchronised(Story(PROVEN), shift_ns=-700_000))


def test_severities_and_the_document_cover_every_code() -> None:
    severe = {}
    for _, _, cause, _ in CASES:
        story = Story()
        cause(story)
        severe |= {finding.code: finding.severity for finding in story.samples().validity}
    warnings = {code for code, severity in severe.items() if severity is Severity.WARNING}
    assert warnings == {f"RTT-V{n:02d}" for n in (7, 8, 10, 11, 12, 17)}
    assert set(severe) == {f"RTT-V{n:02d}" for n in range(1, 19)}
    document = (ROOT / SPEC.document).read_text(encoding="utf-8")
    assert all(code in document for code in [*severe, "RTT-V19", *(f"RTT-E{n:02d}" for n in range(1, 10))])


def test_order_of_rows_does_not_matter() -> None:
    story, shuffled = Story(), Story()
    random.Random(3).shuffle(shuffled.rows)
    assert shuffled.samples().values.tobytes() == story.samples().values.tobytes()
    assert codes(shuffled.samples()) == {"RTT-V15"}


def test_values_use_the_kernel_stamps_and_fall_back_to_user_stamps() -> None:
    story = Story()
    story.rows[10]["t1_kernel_ns"] = ""
    story.rows[11]["t4_kernel_ns"] = ""
    assert story.samples().values[:3].tolist() == [RTT + 3000, RTT + 35_000, RTT]


def test_claims_of_the_far_end_never_enter_a_value() -> None:
    story = Story()
    for row in story.rows:
        row["t2_ns"] -= 600_000
    samples = story.samples()
    assert samples.values.tolist() == [RTT] * 400
    assert other(samples).tolist() == [RTT - 620_000] * 400


def test_lost_late_and_unrecorded_packets_are_infinite_and_none_is_dropped() -> None:
    story = Story()
    story.lose(story.rows[10])
    story.lose(story.rows[11])
    story.rows.append({**story.rows[12], "seq": 11, "status": "late"})
    story.rows[13]["t4_kernel_ns"] += 1100 * MS
    story.rows[13]["t4_user_ns"] += 1100 * MS
    del story.rows[14]
    samples = story.samples()
    assert np.isinf(samples.values[:5]).tolist() == [True, True, False, True, True]
    assert samples.values.size == 400
    assert (samples.facts["lost"], samples.facts["late"], samples.facts["received"]) == (2, 2, 396)


def test_unsent_packets_have_no_value() -> None:
    story = Story()
    unsent(3)(story)
    samples = story.samples()
    assert samples.values.size == samples.times.size == samples.facts["sent"] == 397
    assert codes(samples) == {"RTT-V15"}


def test_all_lost_is_a_result_and_no_fault() -> None:
    story = Story()
    for row in story.rows[10:]:
        story.lose(row)
    samples = story.samples()
    assert np.isinf(samples.values).all()
    assert samples.values.size == 400
    assert not any(finding.severity is Severity.INVALID for finding in samples.validity)


@pytest.mark.parametrize("content", [None, b"", b"seq,pha", PACKET_COLUMNS.encode() + b"\n", b"\xff\xfe\n\0\n"])
def test_evidence_without_packets_is_invalid(content: bytes | None) -> None:
    memory = Memory({} if content is None else {PACKETS: content, CLOCK: b"junk\n1,2\n", END: b"[]"})
    samples = analyse(memory, PARAMS, SEED)  # type: ignore[arg-type]
    assert samples.values.size == samples.times.size == 0
    assert {"RTT-V01", "RTT-V12"} <= codes(samples)
