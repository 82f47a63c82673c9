"""The rtt.http probe against real HTTP servers over TCP and TLS, servers that misbehave, and its standard."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.probes.devices_support import certificates
from tests.probes.records_support import MemoryEvidence, record
from tests.probes.rtt_standards import SEED, measure_standard, told, within_tolerance
from tests.probes.sources_support import free_port
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples
from yanshou.probes.rtt.hold import true_holds
from yanshou.probes.rtt.streams import HOLD, SESSION
from yanshou.probes.rtt_http import capture as capture_module
from yanshou.probes.rtt_http import reference
from yanshou.probes.rtt_http.analyse import analyse
from yanshou.probes.rtt_http.capture import Target, capture
from yanshou.probes.rtt_http.spec import SPEC, Params, estimate
from yanshou.probes.rtt_http.streams import EXCHANGE_COLUMNS, EXCHANGES

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
LOGIN = ("验收", "se cret:口令")
MS = 1_000_000
WARMUP = 5


def quick(url: str, **more: Any) -> Params:
    """A short run."""
    values = {"count": 60, "interval_ms": 3, "min_interval_ms": 1, "warmup": WARMUP, "timeout_ms": 500}
    return Params.model_validate({"url": url, **values, **more})


def measured(folder: Path, params: Params) -> tuple[RunEvidence, Samples]:
    folder.mkdir(exist_ok=True)
    evidence = record(folder, capture, params, SEED)
    return evidence, analyse(evidence, params, SEED)


def exchanges_of(evidence: RunEvidence) -> list[dict[str, str]]:
    header, *lines = evidence.open(EXCHANGES).read().decode().splitlines()
    assert header == EXCHANGE_COLUMNS
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def beside(samples: Samples) -> Any:
    (series,) = samples.series
    return series.values


class Server(ThreadingHTTPServer):
    """A server that notes what it is asked, and answers as a test wants."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Callable[[Handler, int], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[tuple[int, str, int]] = []
        """(number, or -1 for the trial; method and path; port that the request came from)"""
        self.headers: list[Any] = []
        self.accepted = 0

    def verify_request(self, *_: Any) -> bool:
        self.accepted += 1
        return True

    def handle_error(self, *_: Any) -> None:
        """A client that gave up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def _take(self) -> None:
        name = self.headers.get("X-Request-ID", "")
        number = int(name.rpartition("-")[2]) if name else -1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((number, f"{self.command} {self.path}", self.client_address[1]))
        self.server.headers.append(self.headers)
        self.server.answer(self, number)

    do_GET = do_POST = do_PUT = _take

    def reply(self, status: int = 200, body: bytes = b"ok", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def plain(handler: Handler, _number: int) -> None:
    handler.reply()


@contextmanager
def serving(answer: Callable[[Handler, int], None] = plain, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server(answer) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def url(server: Server, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


# ---- what it asks, and of whom -------------------------------------------------------------------------------------


def test_a_run_is_repeatable_and_asks_each_thing_once_on_one_connection(tmp_path: Path) -> None:
    with serving() as server:
        params = quick(url(server, "/a?b=c"))
        evidence, samples = measured(tmp_path / "case", params)
    assert told(samples) == {"RTH-V15": "info"}
    assert np.isfinite(samples.values).all()
    assert samples.values.shape == samples.times.shape == (60,)
    assert (samples.unit, samples.measurand, samples.bounds) == ("ns", "round_trip", ("one_way",))
    assert analyse(evidence, params, SEED).values.tobytes() == samples.values.tobytes()
    assert (beside(samples) < samples.values).all()
    assert sorted(number for number, _, _ in server.asked) == list(range(-1, 65))
    assert {what for _, what, _ in server.asked} == {"GET /a?b=c"}
    assert samples.facts["statuses"] == {"200": 60}
    assert samples.facts["judged"] == "from_schedule"
    assert samples.facts["http"] == "1.1"
    json.dumps(samples.facts, allow_nan=False)


def test_over_tls_with_a_body_and_a_login(tmp_path: Path) -> None:
    made = certificates(tmp_path / "keys")
    case = tmp_path / "case"
    case.mkdir()
    (case / "login").write_text("\n".join(LOGIN), encoding="utf-8")
    (case / "ca.pem").write_bytes(made.ca.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    sized: list[str] = []

    def created(handler: Handler, _number: int) -> None:
        sized.append(handler.headers["Content-Length"])
        handler.reply(201, b"x" * 300_000)

    with serving(created, context) as server:
        params = quick(
            f"https://localhost:{server.server_port}/points", method="POST", size=70_000, expected=[200, 201],
            ca="ca.pem", credentials="login",
        )  # fmt: skip
        evidence, samples = measured(case, params)
    assert told(samples) == {"RTH-V15": "info"}
    assert samples.facts["received"] == 60
    assert str(samples.facts["tls"]).startswith("TLSv1")
    assert set(sized) == {"70000"}
    encoded = b64encode(":".join(LOGIN).encode())
    assert {h["Authorization"] for h in server.headers} == {f"Basic {encoded.decode()}"}
    assert {row["octets"] for row in exchanges_of(evidence)} == {"300000"}
    for name in evidence.streams():
        data = evidence.open(name).read()
        assert LOGIN[1].encode() not in data
        assert encoded not in data


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("http://h", Target(False, "h", 80, "/")),
        ("https://h/x?y=1#z", Target(True, "h", 443, "/x?y=1")),
        ("http://[::1]:8080/a", Target(False, "::1", 8080, "/a")),
    ],
)
def test_urls(given: str, target: Target) -> None:
    assert Target.of(given) == target


@pytest.mark.parametrize(
    "wrong", [{"url": "ftp://h"}, {"connections": 0}, {"method": "DELETE"}, {"host": "h"}, {"expected": []}]
)
def test_parameters_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        quick(**{"url": "http://h", **wrong})


def test_estimate() -> None:
    params = quick("http://h", count=1000, warmup=50, interval_ms=10, timeout_ms=1000)
    assert estimate(params, 2000).seconds == pytest.approx(21.5)


# ---- from the schedule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
def test_a_server_that_stands_still_shows_in_every_request_of_that_time(tmp_path: Path, connections: int) -> None:
    """The reference of coordinated omission: counted from sending, only as many are slow as there are connections."""
    began: list[float] = []

    def freeze(handler: Handler, number: int) -> None:
        if number == 30:
            began.append(time.monotonic() + 0.4)
        if began:
            time.sleep(max(0.0, began[0] - time.monotonic()))
        handler.reply()

    with serving(freeze) as server:
        params = quick(url(server), count=200, interval_ms=4, timeout_ms=3000, connections=connections)
        evidence, samples = measured(tmp_path / "case", params)
    slow, late = (beside(samples) > 50 * MS).sum(), (samples.values > 50 * MS).sum()
    assert 1 <= slow <= connections
    assert late >= 50, "350 ms at 4 ms each"
    assert samples.facts["waited"] >= 50
    assert samples.facts["sent"] == samples.facts["received"] == 200
    assert told(samples) == {"RTH-V15": "info"}
    assert samples.facts["sender_late_ns"]["p99"] < 100 * MS, "the schedule waited for the server"
    assert len({port for number, _, port in server.asked if number >= 0}) <= connections
    assert {int(row["connection"]) for row in exchanges_of(evidence)} <= set(range(connections))


def test_no_request_is_sent_before_the_answer_to_the_one_before_it(tmp_path: Path) -> None:
    """Pipelined requests would be read by the server only after it has answered; here it looks into the socket."""
    early: list[int] = []

    def look(handler: Handler, number: int) -> None:
        time.sleep(0.01)
        handler.connection.setblocking(False)
        with suppress(BlockingIOError):
            early.append(len(handler.connection.recv(1, socket.MSG_PEEK)))
        handler.connection.setblocking(True)
        handler.reply()

    with serving(look) as server:
        _, samples = measured(tmp_path / "case", quick(url(server), connections=2, interval_ms=4, timeout_ms=3000))
    assert samples.facts["received"] == 60
    assert early == []


# ---- servers that answer in other ways -----------------------------------------------------------------------------


def test_every_way_to_end_an_answer(tmp_path: Path) -> None:
    def vary(handler: Handler, number: int) -> None:
        if number % 4 == 0:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"3\r\nabc\r\n")
            handler.wfile.flush()
            handler.wfile.write(b"2\r\nde\r\n0\r\n\r\n")
        elif number % 4 == 1:
            handler.send_response(200)  # until the connection is closed
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(b"abcde")
            handler.close_connection = True
        elif number % 4 == 2:
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            handler.reply(204, b"")
        else:
            handler.reply(200, b"abcde", Connection="close")

    with serving(vary) as server:
        evidence, samples = measured(tmp_path / "case", quick(url(server), expected=[200, 204]))
    assert told(samples) == {"RTH-V15": "info"}
    assert samples.facts["statuses"] == {"200": 45, "204": 15}
    assert {row["octets"] for row in exchanges_of(evidence) if row["status"] == "200"} == {"5"}
    assert samples.facts["connections"]["used"] > 20


def test_a_server_that_speaks_http_1_0_is_connected_to_each_time(tmp_path: Path) -> None:
    def old(handler: Handler, _number: int) -> None:
        handler.protocol_version = "HTTP/1.0"
        handler.reply()
        handler.close_connection = True

    with serving(old) as server:
        _, samples = measured(tmp_path / "case", quick(url(server)))
    assert (samples.facts["received"], samples.facts["http"]) == (60, "1.0")
    assert told(samples) == {"RTH-V15": "info"}


def test_what_is_not_answered_as_agreed_is_lost(tmp_path: Path) -> None:
    """Every tenth request fails in one of four ways; each leaves the others alone, and none is asked again."""

    def fail(handler: Handler, number: int) -> None:
        if number == 15:
            handler.reply(503)
        elif number == 25:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif number == 35:
            handler.wfile.write(b"no http\r\n\r\n")
        elif number == 45:
            time.sleep(0.4)
        elif number == 55:
            handler.send_response(200)
            handler.send_header("Content-Length", "10")
            handler.end_headers()
            handler.wfile.write(b"half")
            handler.close_connection = True
        else:
            handler.reply()

    with serving(fail) as server:
        params = quick(url(server), timeout_ms=150)
        evidence, samples = measured(tmp_path / "case", params)
    assert [i + WARMUP for i in np.flatnonzero(np.isinf(samples.values))] == [15, 25, 35, 45, 55]
    found = told(samples)
    assert (found["RTH-V16"], found["RTH-V11"]) == ("warning", "warning")
    assert "RTH-V17" not in found
    assert samples.facts["statuses"] == {"200": 55, "503": 1, "closed": 2, "garbage": 1, "timeout": 1}
    assert len(server.asked) == len({number for number, _, _ in server.asked}) == 66
    assert [row["status"] for row in exchanges_of(evidence) if row["seq"] == "45"] == ["timeout"]


def test_what_waits_longer_than_the_timeout_is_never_sent(tmp_path: Path) -> None:
    def hang(handler: Handler, number: int) -> None:
        if number >= 30:
            time.sleep(1)
        handler.reply()

    with serving(hang) as server:
        evidence, samples = measured(tmp_path / "case", quick(url(server), connections=1, timeout_ms=100))
    rows = exchanges_of(evidence)
    expired = [row for row in rows if row["status"] == "expired"]
    assert len(expired) > 20
    assert {(row["connection"], row["sent_ns"]) for row in expired} == {("", "")}
    assert np.isinf(samples.values[25:]).all()
    assert np.isfinite(samples.values[:25]).all()
    assert samples.facts["lost"] == 35


def test_a_server_that_goes_and_comes_back_is_found_again(tmp_path: Path) -> None:
    """Requests meanwhile are lost; connections that fail are tried again, and not without end."""
    gone = threading.Event()

    def leave(handler: Handler, number: int) -> None:
        if number == 20:
            gone.set()
            threading.Timer(0.3, gone.clear).start()
        if gone.is_set():
            handler.close_connection = True
        else:
            handler.reply()

    with serving(leave) as server:
        _, samples = measured(tmp_path / "case", quick(url(server), count=200, connections=2, timeout_ms=200))
        accepted = server.accepted
    assert np.isinf(samples.values[15])
    assert np.isfinite(samples.values[-20:]).all()
    assert 3 < accepted < 60


def test_a_server_that_closes_at_once_is_not_connected_to_without_end(tmp_path: Path) -> None:
    with serving() as server:

        def close(*_: Any) -> bool:
            server.accepted += 1
            return server.accepted == 1  # the trial

        server.verify_request = close  # type: ignore[method-assign]
        with pytest.raises(ProbeError, match="RTH-E01"):
            record(tmp_path, capture, quick(url(server), warmup=100, timeout_ms=100), SEED)
    assert server.accepted < 60


# ---- no run --------------------------------------------------------------------------------------------------------


def refused(folder: Path, params: Params) -> str:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, params, SEED)
    assert caught.value.problem.remedy
    return caught.value.problem.code


def test_where_nobody_listens_or_nobody_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "CONNECT_S", 0.3)
    assert refused(tmp_path, quick(f"http://127.0.0.1:{free_port()}/")) == "RTH-E02"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert refused(tmp_path, quick(f"http://127.0.0.1:{mute.getsockname()[1]}/")) == "RTH-E01"


def test_another_status_is_told(tmp_path: Path) -> None:
    with serving(lambda handler, _: handler.reply(404)) as server, pytest.raises(ProbeError, match=r"RTH-E05 .*404"):
        record(tmp_path, capture, quick(url(server)), SEED)


def test_what_speaks_no_http(tmp_path: Path) -> None:
    with serving(lambda handler, _: handler.wfile.write(b"220 mail.example ESMTP\r\n")) as server:
        assert refused(tmp_path, quick(url(server))) == "RTH-E05"


def test_other_statuses_all_through_the_warmup(tmp_path: Path) -> None:
    with serving(lambda handler, number: handler.reply(200 if number < 0 else 429)) as server:
        assert refused(tmp_path, quick(url(server), timeout_ms=100)) == "RTH-E05"


def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    made, other = certificates(tmp_path / "keys"), certificates(tmp_path / "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    with serving(tls=context) as server:
        assert refused(tmp_path, quick(f"https://localhost:{server.server_port}/", ca=str(other.ca))) == "RTH-E01"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"url": "http://no..such..name/"}, "RTH-E03"),
        ({"credentials": "nowhere"}, "RTH-E09"),
        ({"url": "https://127.0.0.1/", "ca": "nowhere"}, "RTH-E09"),
    ],
)
def test_wrong_parameters_say_so(tmp_path: Path, wrong: dict[str, Any], code: str) -> None:
    assert refused(tmp_path, quick(**{"url": "http://127.0.0.1:1/", **wrong})) == code


# ---- findings on edited evidence -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Params]:
    with serving() as server:
        params = quick(url(server))
        evidence, _ = measured(tmp_path_factory.mktemp("recorded"), params)
    return {name: evidence.open(name).read() for name in evidence.streams()}, params


Edit = Callable[[list[list[str]]], object]


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda rows: None, False),
        (lambda rows: rows.reverse(), False),
        (lambda rows: rows.pop(40), True),
        (lambda rows: rows.append(rows[40]), True),
        (lambda rows: rows[40].__setitem__(2, str(int(rows[40][2]) - MS)), True),
        (lambda rows: rows[40].__setitem__(2, str(int(rows[40][2]) + 10**10)), True),
        (lambda rows: rows[40].__setitem__(3, "500"), True),
        (lambda rows: rows[40].__setitem__(0, "65"), True),
        (lambda rows: rows[40].__setitem__(2, "soon"), True),
        (lambda rows: rows[40].__setitem__(2, str(10**30)), True),
    ],
    ids=["none", "order", "gone", "twice", "sent before", "sent after", "status", "number", "word", "huge"],
)
def test_a_record_of_sending_that_contradicts_the_answers_is_invalid(
    recorded: tuple[dict[str, bytes], Params], edit: Edit, found: bool
) -> None:
    streams, params = recorded
    header, *rows = (line.split(",") for line in streams[EXCHANGES].decode().splitlines())
    edit(rows)
    lines = "".join(",".join(row) + "\n" for row in [header, *rows])
    samples = analyse(MemoryEvidence({**streams, EXCHANGES: lines.encode()}), params, SEED)  # type: ignore[arg-type]
    assert (told(samples).get("RTH-V17") == "invalid") == found
    assert samples.values.size == 60


def test_without_the_record_of_sending_the_run_is_invalid(recorded: tuple[dict[str, bytes], Params]) -> None:
    streams, params = recorded
    fewer = {name: data for name, data in streams.items() if name != EXCHANGES}
    samples = analyse(MemoryEvidence(fewer), params, SEED)  # type: ignore[arg-type]
    assert told(samples)["RTH-V17"] == "invalid"


# ---- the standard --------------------------------------------------------------------------------------------------


def test_errors_against_the_standard_are_within_tolerance(tmp_path: Path) -> None:
    found = within_tolerance("rtt.http", 5.0, tmp_path, count=150)
    log = found.evidence.open(HOLD).read().decode().splitlines()[1:]
    holds = [hold for number, hold in true_holds(log).items() if number >= reference.WARMUP]
    truth = json.load(found.evidence.open("truth.json"))
    assert truth["true"] == pytest.approx(np.median(holds) / 1e6)
    assert min(holds) >= 5 * MS
    assert found.range[0] > 0, "the hold lies within the passage"
    assert json.load(found.evidence.open(SESSION))["http"] == "1.1"


def test_the_floor_is_what_is_read_where_nothing_is_held(tmp_path: Path) -> None:
    found = measure_standard("rtt.http", 0, tmp_path, count=300)
    assert reference.POINTS[0] == 0
    assert HOLD not in found.evidence.streams()
    assert json.load(found.evidence.open("truth.json"))["true"] == 0
    np.testing.assert_allclose(found.errors, found.samples.values / 1e6)


def test_the_document_covers_every_code() -> None:
    text = (ROOT / SPEC.document).read_text(encoding="utf-8")
    numbers = [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17]
    expected = {f"RTH-V{n:02d}" for n in numbers} | {f"RTH-E{n:02d}" for n in (1, 2, 3, 5, 7, 9)}
    assert set(re.findall(r"RTH-[EV]\d\d", text)) == expected
