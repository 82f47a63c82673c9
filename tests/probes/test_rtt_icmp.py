"""The rtt.icmp probe: messages as scapy knows them, both kinds of sockets, far ends that answer wrongly, and its standard."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.probes.records_support import record
from tests.probes.rtt_standards import SEED, measure_standard, told, within_tolerance
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples
from yanshou.probes.rtt import mirrored, reference
from yanshou.probes.rtt.namespaces import host, inside
from yanshou.probes.rtt.streams import HOLD, PACKETS
from yanshou.probes.rtt_icmp import echo
from yanshou.probes.rtt_icmp import reference as icmp_reference
from yanshou.probes.rtt_icmp.analyse import analyse
from yanshou.probes.rtt_icmp.capture import capture, echo_socket
from yanshou.probes.rtt_icmp.spec import SPEC, Params, estimate

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
NOW = 1_795_391_398_114_397_305
NEAR, FAR = reference.NEAR, reference.FAR


def privileged(test: Any) -> Any:
    """Marks a test that makes a namespace."""
    needed = "a namespace needs root, /dev/net/tun and two processors"
    return pytest.mark.netns(pytest.mark.skipif(not reference.has_rights(), reason=needed)(test))


def quick(**more: Any) -> Params:
    """A short run towards loopback."""
    values = {"count": 60, "interval_ms": 2, "min_interval_ms": 0.5, "warmup": 5, "timeout_ms": 150}
    return Params.model_validate({"host": "127.0.0.1", **values, **more})


def measured(folder: Path, params: Params) -> tuple[RunEvidence, Samples]:
    evidence = record(folder, capture, params, SEED)
    return evidence, analyse(evidence, params, SEED)


def rows_of(evidence: RunEvidence) -> list[dict[str, str]]:
    with evidence.open(PACKETS) as f:
        header, *lines = f.read().decode().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


# ---- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [12, 13, 56, 1472])
def test_requests_are_those_that_scapy_reads(size: int) -> None:
    from scapy.layers.inet import ICMP
    from scapy.layers.inet6 import ICMPv6EchoRequest

    data = echo.pack_request(4, 0xBEEF, 70_000, NOW, size)
    packet = ICMP(data)
    assert (packet.type, packet.code, packet.id, packet.seq) == (8, 0, 0xBEEF, 70_000 & 0xFFFF)
    assert bytes(packet.payload) == mirrored.pack(70_000, NOW, size)
    del packet.chksum
    assert bytes(packet) == data, "the checksum is not the one that scapy computes"
    six = ICMPv6EchoRequest(echo.pack_request(6, 0xBEEF, 70_000, NOW, size))
    assert (six.type, six.code, six.id, six.seq) == (128, 0, 0xBEEF, 70_000 & 0xFFFF)
    assert bytes(six.data) == mirrored.pack(70_000, NOW, size)


@pytest.mark.parametrize("header", ["none", "plain", "options"])
def test_replies_that_scapy_makes_are_read(header: str) -> None:
    from scapy.layers.inet import ICMP, IP, IPOption_NOP

    message = ICMP(type=0, id=7, seq=5) / mirrored.pack(65_541, NOW, 56)
    before = {"plain": IP(), "options": IP(options=[IPOption_NOP()] * 4)}.get(header)
    data = bytes(before / message if before is not None else message)
    assert echo.read_reply(4, data, 56) == echo.Echo(7, 65_541, NOW)


def test_replies_over_ipv6_that_scapy_makes_are_read() -> None:
    from scapy.layers.inet6 import ICMPv6EchoReply

    data = bytes(ICMPv6EchoReply(id=7, seq=5, data=mirrored.pack(5, NOW, 12)))
    assert echo.read_reply(6, data, 12) == echo.Echo(7, 5, NOW)
    assert echo.read_reply(4, data, 12) is None


def reply_to(number: int = 5, data: bytes = mirrored.pack(5, NOW, 56), kind: int = 0) -> bytes:
    return bytes([kind, 0, 0, 0, 0, 7, *number.to_bytes(2, "big")]) + data


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (reply_to(), echo.Echo(7, 5, NOW)),
        (reply_to(kind=8), None),
        (reply_to(kind=3), None),
        (reply_to()[:7], None),
        (reply_to()[:-1], echo.Echo(7, -1, 0)),
        (reply_to() + b"\0", echo.Echo(7, -1, 0)),
        (reply_to()[:-1] + b"\1", echo.Echo(7, -1, 0)),
        (reply_to(number=6), echo.Echo(7, -1, 0)),
        (b"\x45" + bytes(15), None),
        (b"", None),
    ],
    ids=[
        "right",
        "request",
        "unreachable",
        "no message",
        "truncated",
        "longer",
        "altered",
        "other number",
        "header",
        "empty",
    ],
)
def test_what_a_message_says(message: bytes, found: echo.Echo | None) -> None:
    assert echo.read_reply(4, message, 56) == found


@given(st.binary(max_size=100), st.sampled_from([4, 6]))
def test_no_message_breaks_the_reader(message: bytes, version: int) -> None:
    found = echo.read_reply(version, message, 56)
    assert found is None or -1 <= found.sequence < 1 << 32


@pytest.mark.parametrize("wrong", [{"size": 11}, {"size": 1473}, {"port": 1}, {"host": None}, {"interval_ms": 0.1}])
def test_parameters_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        quick(**wrong)


def test_estimate() -> None:
    assert estimate(quick(count=1000, warmup=50, interval_ms=10, timeout_ms=1000), None).seconds == pytest.approx(11.5)


# ---- on this kernel ------------------------------------------------------------------------------------------------


@contextmanager
def own_host(group: str) -> Iterator[None]:
    """This thread is in a network namespace where loopback is up and `group` may have ping sockets."""
    with host(NEAR, FAR) as place, inside(place):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)
        Path("/proc/sys/net/ipv4/ping_group_range").write_text(group)
        yield


ALLOWED, FORBIDDEN = f"0\t{os.getegid()}", "1\t0"


@privileged
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("group", "kind"), [(ALLOWED, "ping"), (FORBIDDEN, "raw")], ids=["ping", "raw"])
def test_a_run_is_repeatable_and_kernel_stamped(tmp_path: Path, address: str, group: str, kind: str) -> None:
    params = quick(host=address, size=200)
    with own_host(group):
        evidence, first = measured(tmp_path, params)
    second = analyse(evidence, params, SEED)
    assert first.values.tobytes() == second.values.tobytes()
    assert (first.validity, first.facts) == (second.validity, second.facts)
    assert (first.unit, first.measurand, first.bounds) == ("ns", "round_trip", ("one_way",))
    assert first.values.shape == first.times.shape == (60,)
    assert np.isfinite(first.values).all()
    assert told(first) == {"ICM-V15": "info"}
    assert (first.facts["socket"], first.facts["judged"]) == (kind, "gross")
    assert (first.facts["sent"], first.facts["received"], first.facts["foreign"]) == (60, 60, 0)
    assert first.facts["stamps"] == {"t1_kernel": 60, "t4_kernel": 60}
    assert {r["ttl"] for r in rows_of(evidence)} <= {"64", "255"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs root")
def test_replies_to_somebody_else_leave_no_row(tmp_path: Path) -> None:
    """A raw socket hears every reply that comes to this host; another's are neither answers nor foreign."""
    stop = threading.Event()

    def ping() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            number = 0
            while not stop.wait(0.002):
                number += 1
                sock.sendto(echo.pack_request(4, 7, number, NOW, 56), ("127.0.0.1", 0))

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        evidence, samples = measured(tmp_path, quick())
    finally:
        stop.set()
        thread.join()
    assert len(rows_of(evidence)) == 65
    assert (samples.facts["received"], samples.facts["foreign"]) == (60, 0)


def refused(folder: Path, params: Params) -> str:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, params, SEED)
    assert caught.value.problem.remedy
    return caught.value.problem.code


def test_name_that_does_not_resolve(tmp_path: Path) -> None:
    assert refused(tmp_path, quick(host="no..such..name")) == "ICM-E03"


def test_subject_without_an_address(tmp_path: Path) -> None:
    assert refused(tmp_path, quick(host=None, hosts={"甲": "127.0.0.1"})) == "ICM-E08"


def test_a_user_without_any_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", forbid)
    with pytest.raises(ProbeError, match="RTT-E04"):
        echo_socket(socket.AF_INET)


# ---- far ends that answer wrongly ----------------------------------------------------------------------------------

Answer = Callable[[Any, int], list[Any]]
"""(the request as scapy reads it, the number that is in its data) -> packets that come back."""


@contextmanager
def far_end(answer: Answer) -> Iterator[None]:
    """This thread is on a host whose only neighbour answers each echo request with whatever `answer` makes of it."""
    from scapy.layers.inet import ICMP, IP

    stop = threading.Event()
    with host(NEAR, FAR) as place:
        os.set_blocking(place.tunnel, False)

        def serve() -> None:
            while not stop.is_set():
                if not select.select([place.tunnel], [], [], 0.05)[0]:
                    continue
                packet = IP(os.read(place.tunnel, 2048))
                if packet.version == 4 and ICMP in packet and packet[ICMP].type == 8:
                    for reply in answer(packet, int.from_bytes(bytes(packet[ICMP].payload)[:4], "big")):
                        os.write(place.tunnel, bytes(reply))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with inside(place):
                yield
        finally:
            stop.set()
            thread.join()


def replied(request: Any, data: bytes | None = None, **changes: Any) -> Any:
    """The right reply, with other data or fields."""
    from scapy.layers.inet import ICMP, IP

    asked = request[ICMP]
    fields = {"type": 0, "id": asked.id, "seq": asked.seq, **changes}
    return IP(src=request.dst, dst=request.src) / ICMP(**fields) / (bytes(asked.payload) if data is None else data)


def slow(**more: Any) -> Params:
    """scapy needs its time."""
    return quick(host=FAR, interval_ms=6, count=40, **more)


@privileged
def test_only_what_comes_back_unchanged_is_an_answer(tmp_path: Path) -> None:
    def answer(request: Any, number: int) -> list[Any]:
        from scapy.layers.inet import ICMP

        data = bytes(request[ICMP].payload)
        if number == 10:
            return [replied(request, data[:-1])]  # truncated
        if number == 11:
            return [replied(request, data[:20] + b"\1" + data[21:])]  # altered
        if number == 12:
            return [replied(request, data[:11] + bytes([data[11] ^ 1]) + data[12:])]  # another T1
        if number == 13:
            return [replied(request, id=request[ICMP].id ^ 1)]  # to somebody else
        if number == 14:
            return []
        if number == 15:
            return [replied(request), replied(request)]
        return [replied(request)]

    params = slow()
    with far_end(answer):
        evidence, samples = measured(tmp_path, params)
    assert [i + 5 for i in np.flatnonzero(np.isinf(samples.values))] == [10, 11, 12, 13, 14]
    assert (samples.facts["lost"], samples.facts["foreign"], samples.facts["duplicates"]) == (5, 3, 1)
    assert {"ICM-V10", "ICM-V11", "ICM-V15"} <= told(samples).keys()
    assert sum(r["status"] == "foreign" for r in rows_of(evidence)) == 3


@privileged
@pytest.mark.parametrize(("code", "kind"), [("ICM-E01", "silent"), ("ICM-E02", "prohibited"), ("ICM-E05", "altered")])
def test_no_run_where_nobody_answers_rightly(tmp_path: Path, code: str, kind: str) -> None:
    def answer(request: Any, _number: int) -> list[Any]:
        from scapy.layers.inet import ICMP, IP

        prohibited = IP(src=request.dst, dst=request.src) / ICMP(type=3, code=10) / bytes(request)[:56]
        return {"silent": [], "prohibited": [prohibited], "altered": [replied(request, b"x" * 56)]}[kind]

    with far_end(answer):
        assert refused(tmp_path, slow()) == code


def test_findings_of_the_stream_have_codes_of_this_probe(tmp_path: Path) -> None:
    """They are those of rtt, which has a cause and an honest case for each; here: another plan, on a grid."""
    try:
        evidence, good = measured(tmp_path, quick())
    except ProbeError as error:
        pytest.skip(f"no echo sockets for this user: {error}")
    spoiled = analyse(evidence, quick(schedule="grid"), SEED)
    assert {"ICM-V08", "ICM-V13"} <= told(spoiled).keys()
    assert told(good) == {"ICM-V15": "info"}


# ---- the standard --------------------------------------------------------------------------------------------------


@privileged
def test_errors_against_the_standard_are_within_tolerance(tmp_path: Path) -> None:
    found = within_tolerance("rtt.icmp", 1.0, tmp_path)
    assert found.range[0] > 0
    assert found.samples.facts["stamps"]["t1_kernel"] == found.samples.facts["received"]
    assert HOLD in found.evidence.streams()
    assert min(found.samples.values) >= 1_000_000


def test_the_floor_is_what_loopback_reads(tmp_path: Path) -> None:
    assert icmp_reference.POINTS[0] == 0
    try:
        found = measure_standard("rtt.icmp", 0, tmp_path, count=500)
    except ProbeError as error:
        pytest.skip(f"no echo sockets for this user: {error}")
    assert HOLD not in found.evidence.streams()
    values = found.samples.values
    np.testing.assert_allclose(found.errors, values[np.isfinite(values)] / 1e6)


def test_without_rights_the_standard_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(icmp_reference, "has_rights", lambda: False)
    with pytest.raises(ProbeError, match=r"ICM-E07 .*没有权限"):
        measure_standard("rtt.icmp", 1.0, tmp_path)


def test_the_document_covers_every_code() -> None:
    text = (ROOT / SPEC.document).read_text(encoding="utf-8")
    numbers = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]
    expected = {f"ICM-V{n:02d}" for n in numbers} | {f"ICM-E{n:02d}" for n in (1, 2, 3, 4, 5, 7, 8)}
    assert set(re.findall(r"ICM-[EV]\d\d", text)) == expected
