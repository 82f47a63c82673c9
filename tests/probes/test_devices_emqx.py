"""The EMQX source against a small server written from EMQX 5's documentation of GET /api/v5/clients (no EMQX was run)."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from tests.probes.devices_support import START, TreeEvidence, certificates, jsonl
from tests.probes.records_support import codes
from tests.probes.sources_support import free_port, recording
from yanshou.harness.basics import ProbeError
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.emqx.params import Source
from yanshou.probes.devices.sources.emqx.read import CLIENTS, findings, observations
from yanshou.probes.devices.sources.emqx.record import record as record_source

KEY = ("ee26b0dd4af7e749", "se cret-键")


@dataclass
class Platform:
    """What the server knows: clients by id, and how it misbehaves."""

    clients: list[dict[str, Any]]
    ignores_filter: bool = False
    fails_after: int = 1 << 30
    asked: list[dict[str, str]] = field(default_factory=list)
    body: bytes | None = None
    moved: bool = False
    port: int = 0

    def answer(self, query: dict[str, str]) -> dict[str, Any]:
        """`limit` rows (100 unless told) of `page` (1 unless told), only those of `conn_state`, with paging data."""
        self.asked.append(query)
        wanted = None if self.ignores_filter else query.get("conn_state")
        rows = [c for c in self.clients if wanted is None or c["connected"] is (wanted == "connected")]
        page, limit = int(query.get("page", 1)), int(query.get("limit", 100))
        for client in self.clients:
            client["recv_msg"] += client["connected"]
        meta = {"page": page, "limit": limit, "count": len(rows), "hasnext": page * limit < len(rows)}
        return {"data": rows[(page - 1) * limit : page * limit], "meta": meta}


def client(number: int, connected: bool = True) -> dict[str, Any]:
    """A client as the documentation shows one (only the fields that matter here)."""
    return {
        "clientid": f"dev{number:04d}", "username": "u", "ip_address": f"10.1.{number // 200}.{number % 200}", "port": 40000,
        "connected": connected, "connected_at": "2026-03-02T15:59:00.500+08:00", "created_at": "2026-03-02T15:59:00.500+08:00",
        "proto_ver": 5, "keepalive": 60, "is_bridge": False, "expiry_interval": 7200, "recv_msg": 5,
    }  # fmt: skip


@contextmanager
def serving(platform: Platform) -> Iterator[Platform]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            expected = "Basic " + base64.b64encode(":".join(KEY).encode()).decode()
            if platform.moved:
                self.send(302, b"", ("Location", f"http://127.0.0.1:{platform.port}/elsewhere"))
            elif parts.path != "/api/v5/clients":
                self.send(404, b'{"code":"NOT_FOUND"}')
            elif self.headers["Authorization"] != expected:
                self.send(401, b'{"code":"BAD_API_KEY_OR_SECRET"}')
            elif len(platform.asked) >= platform.fails_after:
                self.send(500, b'{"code":"INTERNAL_ERROR"}')
            elif platform.body is not None:
                self.send(200, platform.body)
            else:
                query = {k: v[0] for k, v in parse_qs(parts.query).items()}
                self.send(200, json.dumps(platform.answer(query)).encode())

        def send(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        platform.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield platform
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def case(tmp_path: Path) -> Path:
    (tmp_path / "key.txt").write_text("\n".join(KEY) + "\n", encoding="utf-8")
    return tmp_path


def source(port: int = 1, **changes: Any) -> Source:
    values = {"kind": "emqx", "url": f"http://127.0.0.1:{port}", "credentials": "key.txt", "every_s": 60}
    return Source.model_validate({**values, **changes})


def test_every_page_is_taken_twice_and_messages_are_what_grew(case: Path) -> None:
    clients = [client(n) for n in range(250)] + [client(n, connected=False) for n in range(250, 260)]
    with serving(Platform(clients)) as platform:
        asked = source(platform.port)
        with recording(case, record_source, asked) as going:
            going.wait_for(CLIENTS, b'"page": 3')
    assert [(q["page"], q["limit"], q["conn_state"]) for q in platform.asked] == [
        (str(page), "100", "connected") for page in (1, 2, 3)
    ] * 2
    seen = list(observations(going.evidence, asked))
    assert len(seen) == 250
    first_ns = START - 59_500 * 10**6
    assert seen[7] == Observation("client_id", "dev0007", "emqx", first_ns, seen[7].last_ns, 3, same={"ip": "10.1.0.7"})
    assert seen[7].last_ns > first_ns
    assert tuple(findings(going.evidence, asked)) == ()
    raw = going.evidence.open(CLIENTS).read()
    assert KEY[0].encode() not in raw
    assert base64.b64encode(":".join(KEY).encode()) not in raw


def test_sessions_that_outlive_their_connection_do_not_count(case: Path) -> None:
    clients = [client(1), client(2, connected=False)]
    with serving(Platform(clients, ignores_filter=True)) as platform:
        asked = source(platform.port)
        with recording(case, record_source, asked) as going:
            going.wait_for(CLIENTS, b'"page": 1')
    assert [o.value for o in observations(going.evidence, asked)] == ["dev0001"]
    assert codes(tuple(findings(going.evidence, asked))) == {"EMQ-V03": "warning"}


def test_a_round_that_fails_is_told_and_the_others_go_on(case: Path) -> None:
    with serving(Platform([client(1)], fails_after=1)) as platform:
        asked = source(platform.port, every_s=0.05)
        with recording(case, record_source, asked) as going:
            going.wait_for(CLIENTS, b'"failed"', times=2)
            platform.fails_after = 1 << 30
            going.wait_for(CLIENTS, b'"page": 1', times=2)
    assert codes(tuple(findings(going.evidence, asked))) == {"EMQ-V02": "warning"}
    assert [o.value for o in observations(going.evidence, asked)] == ["dev0001"]


def refused(case: Path, asked: Source) -> ProbeError:
    with pytest.raises(ProbeError) as caught, recording(case, record_source, asked):
        pass
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_cannot_be_read_is_refused(case: Path) -> None:
    assert refused(case, source(free_port())).problem.code == "EMQ-E01"
    assert refused(case, source(credentials="none.txt")).problem.code == "EMQ-E04"
    assert refused(case, source(ca="key.txt")).problem.code == "EMQ-E04"
    (case / "wrong.txt").write_text("a\nb\n")
    with serving(Platform([client(1)])) as platform:
        assert refused(case, source(platform.port, credentials="wrong.txt")).problem.code == "EMQ-E02"
        for body in (b"<html>", b"[]", b'{"data":{},"meta":{}}', b'{"data":[]}', b"\xff"):
            platform.body = body
            assert refused(case, source(platform.port)).problem.code == "EMQ-E03"
        platform.body, platform.fails_after = None, 0
        assert refused(case, source(platform.port)).problem.code == "EMQ-E03"


@pytest.mark.parametrize(
    "url", ["http://admin:public@10.0.0.5:18083", "http://h/api", "h:1", "http://h:99999", "http://h :1"]
)
def test_an_address_holds_no_secret_and_is_whole(url: str) -> None:
    with pytest.raises(ValidationError):
        source(1, url=url)


HTTP = b"HTTP/1.0 200 OK\r\n"


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.6\r\n", HTTP + b"Content-Length: 9\r\n\r\n{", HTTP + b"\r\n" + b"[" * 100_000]
)
def test_what_answers_is_no_management_interface(case: Path, said: bytes) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        error = refused(case, source(server.getsockname()[1]))
        thread.join()
    assert error.problem.code == "EMQ-E03"


def test_the_key_does_not_follow_a_redirection(case: Path) -> None:
    with serving(Platform([client(1)], moved=True)) as platform:
        assert refused(case, source(platform.port)).problem.code == "EMQ-E03"
    assert platform.asked == []


def test_a_server_whose_certificate_nobody_trusts(case: Path) -> None:
    made = certificates(case / "tls")
    import ssl

    with serving(Platform([client(1)])) as platform:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.cert, made.key)
        error = refused(case, source(url=f"https://127.0.0.1:{platform.port}"))
    assert error.problem.code == "EMQ-E01"


# --- reading -------------------------------------------------------------------------------------------------------------


def part(*rounds: list[dict[str, Any]], end: bool = True, counts: dict[int, int] | None = None) -> TreeEvidence:
    rows: list[dict[str, Any]] = [
        {
            "t": START + n * 10**9,
            "round": n,
            "page": 1,
            "body": {"data": data, "meta": {"count": (counts or {}).get(n, len(data))}},
        }
        for n, data in enumerate(rounds)
    ]
    return TreeEvidence({CLIENTS: jsonl([*rows, *([{"t": START, "end": True}] if end else [])])})


def messages(*rounds: list[dict[str, Any]]) -> list[int | None]:
    return [o.messages for o in observations(part(*rounds), source())]


def test_messages_are_counted_over_a_new_connection() -> None:
    before = {**client(1), "recv_msg": 100}
    after = {**client(1), "recv_msg": 4, "connected_at": "2026-03-02T16:00:01+08:00"}
    assert messages([before]) == [None]
    assert messages([before], [{**before, "recv_msg": 103}]) == [3]
    assert messages([before], [{**before, "recv_msg": 103}], [after]) == [7]
    assert messages([before], [{**before, "recv_msg": 2}]) == [0]
    assert messages([before, before]) == [None]
    assert messages([{**before, "recv_msg": None}], [{**before, "recv_msg": None}]) == [None]


def test_what_the_rounds_show() -> None:
    whole = part([client(1)], [client(1)])
    assert tuple(findings(whole, source())) == ()
    assert codes(tuple(findings(part([client(1)], end=False), source()))) == {"EMQ-V01": "invalid"}
    assert codes(tuple(findings(part(), source()))) == {"EMQ-V01": "invalid"}
    assert codes(tuple(findings(part([client(1)], [client(1)], counts={1: 5}), source()))) == {"EMQ-V04": "warning"}


@pytest.mark.parametrize(
    ("since", "known"), [("2026-03-02T08:00:00Z", True), ("2026-03-02T08:00:00", False), ("", False)]
)
def test_times_without_a_zone_are_no_times(since: str, known: bool) -> None:
    (seen,) = observations(part([{**client(1), "connected_at": since}]), source())
    assert seen.first_ns == START
    other = part([{**client(1), "connected_at": since.replace("08:00:00", "07:00:00")}])
    (seen,) = observations(other, source())
    assert (seen.first_ns == START - 3600 * 10**9) is known
