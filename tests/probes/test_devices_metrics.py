"""The metrics source against small servers that speak as open5gs (Prometheus text) and free5GC (REST JSON) do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.probes.records_support import MemoryEvidence, codes, record
from tests.probes.sources_support import free_port, recording
from yanshou.harness.basics import ProbeError
from yanshou.probes.devices.sources.metrics.params import Gauge, Source
from yanshou.probes.devices.sources.metrics.read import (
    ANSWERS,
    compared,
    courses,
    findings,
    observations,
    samples,
    value_of,
)
from yanshou.probes.devices.sources.metrics.record import record as record_source

REGISTERED = "fivegs_amffunction_rm_registeredsubnbr"
OPEN5GS = """# HELP ran_ue RAN UEs
# TYPE ran_ue gauge
ran_ue {ran_ue}

# HELP amf_session AMF Sessions
# TYPE amf_session gauge
amf_session 4

# HELP gnb gNodeBs
# TYPE gnb gauge
gnb 1

# HELP fivegs_amffunction_rm_reginitreq Number of initial registration requests received by the AMF
# TYPE fivegs_amffunction_rm_reginitreq counter
fivegs_amffunction_rm_reginitreq 7

# HELP fivegs_amffunction_rm_registeredsubnbr Number of registered state subscribers per AMF
# TYPE fivegs_amffunction_rm_registeredsubnbr gauge
fivegs_amffunction_rm_registeredsubnbr{{plmnid="99970",snssai="1-000009"}} {registered}
fivegs_amffunction_rm_registeredsubnbr{{plmnid="00101",snssai=""}} 2

# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.72e+09
"""
FREE5GC = [{"AccessType": "3GPP_ACCESS", "Supi": f"imsi-20893000000000{n}", "CmState": "CONNECTED"} for n in (1, 2, 3)]


@contextmanager
def server(body: Callable[[str, str], tuple[int, bytes]], port: int = 0) -> Iterator[int]:
    """Its port; `body` gives status and body for a path and the Authorization header."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = body(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


def source(port: int, *gauges: dict[str, Any], path: str = "/metrics", **more: Any) -> Source:
    addresses = [{"url": f"http://127.0.0.1:{port}{path}", "gauges": gauges}]
    return Source(**{"kind": "metrics", "addresses": addresses, "every_s": 0.1, **more})


SUBSCRIBERS = {"text": "AMF 已注册用户数", "metric": REGISTERED, "administered": 10}


def test_a_gauge_is_kept_beside_the_count_and_never_counts(tmp_path: Path) -> None:
    asked = 0

    def rising(_path: str, _token: str) -> tuple[int, bytes]:
        nonlocal asked
        asked += 1
        return 200, OPEN5GS.format(ran_ue=3, registered=min(4 + asked, 9)).encode()

    with server(rising) as port:
        what = source(port, SUBSCRIBERS, {"text": "CM 连接数", "metric": "ran_ue"})
        with recording(tmp_path, record_source, what) as news:
            news.wait_for(ANSWERS, REGISTERED.encode(), 5 * 6)
    assert list(observations(news.evidence, what)) == []
    subscribers, connected = courses(news.evidence, what)
    assert (subscribers.first, subscribers.lowest, subscribers.highest, subscribers.at_end) == (7, 7, 11, 11)
    assert (connected.first, connected.highest) == (3, 3)
    assert subscribers.values == asked
    found = list(findings(news.evidence, what))
    assert sorted(f.code for f in found) == ["MET-V01", "MET-V01", "MET-V02"]
    assert "超过开户总数 10" in next(f.text for f in found if f.code == "MET-V02")
    beside = {f.code: f.text for f in compared(news.evidence, what, 8)}
    assert "计数 8 比CM 连接数的最高值 3 多 5" in beside["MET-V05"]
    assert beside["MET-V06"].endswith("计数 8，AMF 已注册用户数最高 11，相差 3")


def test_json_lists_are_counted_and_the_token_stays_out_of_evidence(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Authorization: Bearer s3cret-token\n")

    def contexts(path: str, token: str) -> tuple[int, bytes]:
        good = (path, token) == ("/api/registered-ue-context?all=1", "Bearer s3cret-token")
        return (200, json.dumps(FREE5GC).encode()) if good else (401, b"{}")

    with server(contexts) as port:
        gauges = ({"text": "已注册终端", "pointer": ""}, {"text": "没有的", "pointer": "/9/x"})
        what = source(port, *gauges, path="/api/registered-ue-context?all=1", credentials="token")
        with recording(tmp_path, record_source, what) as news:
            news.wait_for(ANSWERS, b"imsi-", 6)
        refuse(tmp_path, what.model_copy(update={"credentials": None}), "MET-E01")
    (course,) = courses(news.evidence, what)
    assert course.highest == 3
    assert codes(tuple(findings(news.evidence, what))) == {"MET-V01": "info", "MET-V03": "warning"}
    assert not [p for p in tmp_path.glob("runs/**/*") if p.is_file() and b"s3cret" in p.read_bytes()]


def test_failures_are_recorded_and_fetching_goes_on(tmp_path: Path) -> None:
    answers = iter([200, 200, 500, 200, 200])

    def moody(_path: str, _token: str) -> tuple[int, bytes]:
        return next(answers, 200), OPEN5GS.format(ran_ue=1, registered=1).encode()

    with server(moody) as port:
        what = source(port, SUBSCRIBERS)
        with recording(tmp_path, record_source, what) as news:
            news.wait_for(ANSWERS, b'"status": 200', 4)
    found = {f.code: f.text for f in findings(news.evidence, what)}
    assert found["MET-V04"].endswith("/metrics 1 次")


def test_a_server_that_drips_or_floods_holds_nothing_up(tmp_path: Path) -> None:
    dripping = threading.Event()

    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not dripping.wait(0.05):
                try:
                    self.wfile.write(b"#")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,)).start()
        try:
            refuse(tmp_path, source(running.server_port, SUBSCRIBERS, timeout_s=0.3), "MET-E01")
        finally:
            dripping.set()
            running.shutdown()


def refuse(folder: Path, what: Source, code: str) -> None:
    """`what` must be refused with `code` by itself."""
    with pytest.raises(ProbeError, match=code):
        record(folder, lambda params, context: record_source(params, context, threading.Event()), what)


def test_refused_before_the_window(tmp_path: Path) -> None:
    refuse(tmp_path, source(free_port(), SUBSCRIBERS), "MET-E01")
    refuse(tmp_path, source(1, SUBSCRIBERS, credentials="absent"), "MET-E02")
    refuse(tmp_path, source(1, SUBSCRIBERS, ca="absent.pem"), "MET-E02")


def test_prometheus_text() -> None:
    text = (
        "# TYPE a gauge\r\n"
        "a 1\r\n"
        'b{x="q\\"uo\\\\te\\n",y="}"} +Inf 1395066363000\n'
        "c NaN\n"
        "not a sample at all\n"
        "d{} 1e-3\n"
        "e one\n"
    )
    told = list(samples(text))
    assert [(name, labels) for name, labels, _ in told] == [
        ("a", {}),
        ("b", {"x": 'q"uo\\te\n', "y": "}"}),
        ("c", {}),
        ("d", {}),
    ]
    assert told[0][2] == 1
    assert told[3][2] == 0.001


@pytest.mark.parametrize(
    ("gauge", "body", "value"),
    [
        ({"metric": "m"}, 'm{a="1"} 2\nm{a="2"} 3\n', 5),
        ({"metric": "m", "labels": {"a": "2"}}, 'm{a="1"} 2\nm{a="2"} 3\n', 3),
        ({"metric": "m"}, "m NaN\n", None),
        ({"metric": "m"}, "mm 1\n", None),
        ({"pointer": "/data/0/a~1b"}, '{"data": [{"a/b": 4.5}]}', 4.5),
        ({"pointer": "/data"}, '{"data": [1, 2]}', 2),
        ({"pointer": "/data"}, '{"data": true}', None),
        ({"pointer": "/data"}, '{"data": "7"}', None),
        ({"pointer": "/data"}, f'{{"data": 1{"0" * 400}}}', None),
        ({"pointer": "/data"}, "<html>", None),
    ],
)
def test_value_of(gauge: dict[str, Any], body: str, value: float | None) -> None:
    assert value_of(Gauge(text="x", **gauge), body) == value


def test_a_gauge_that_the_last_answer_lacks() -> None:
    rows = [{"status": 200, "body": f"{REGISTERED} 3\n"}, {"status": 200, "body": ""}]
    url = "http://127.0.0.1:1/metrics"
    evidence: Any = MemoryEvidence(
        {ANSWERS: b"".join(json.dumps({"t": 1, "url": url, **r}).encode() + b"\n" for r in rows)}
    )
    (finding,) = findings(evidence, source(1, SUBSCRIBERS))
    assert "止 没有读到" in finding.text


@pytest.mark.parametrize(
    "gauge", [{}, {"metric": "m", "pointer": ""}, {"pointer": "a"}, {"pointer": "", "labels": {"a": "b"}}]
)
def test_senseless_gauges_are_refused(gauge: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        source(1, {"text": "x", **gauge})
