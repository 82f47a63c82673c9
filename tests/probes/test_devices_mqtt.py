"""The MQTT source against the real mosquitto over TCP and TLS, and its reading side from evidence built by hand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.probes.devices_support import (
    SECOND,
    START,
    Said,
    TreeEvidence,
    certificates,
    evidence,
    mosquitto,
    mqtt,
    params,
    row,
    table,
    wander,
)
from tests.probes.records_support import codes, excluded, record
from tests.probes.sources_support import free_port, recording
from yanshou.harness.basics import ProbeError
from yanshou.probes.devices import simulate
from yanshou.probes.devices.analyse import analyse
from yanshou.probes.devices.capture import capture
from yanshou.probes.devices.simulate import fleet, register_params, running, source_params, write_register
from yanshou.probes.devices.sources.mqtt import read as read_module
from yanshou.probes.devices.sources.mqtt import record as record_module
from yanshou.probes.devices.sources.mqtt.params import Source
from yanshou.probes.devices.sources.mqtt.read import findings, observations
from yanshou.probes.devices.sources.mqtt.record import record as record_source
from yanshou.probes.devices.spec import Params

LOGIN = ("验收", "se cret:口令")


def source(**changes: Any) -> Source:
    return Source.model_validate({"kind": "mqtt", "host": "127.0.0.1", "topics": ["f/#"], **changes})


# --- the real broker -----------------------------------------------------------------------------------------------------


def test_a_thousand_clients_of_which_some_cheat_count_what_is_true(tmp_path: Path) -> None:
    """1,000 clients, a quarter over TLS: 100 silent, 50 re-using a serial; and 300 bare TCP sockets."""
    devices = fleet(850, silent=100, reused=50)
    write_register(tmp_path / "register.csv", devices)
    with mosquitto(tmp_path / "broker", login=LOGIN) as broker, ExitStack() as stack:
        (tmp_path / "login.txt").write_text("\n".join(LOGIN), encoding="utf-8")
        stack.enter_context(running("127.0.0.1", broker.port, devices[:750], sockets=300, login=LOGIN))
        stack.enter_context(running("localhost", broker.tls_port, devices[750:], ca=broker.ca, login=LOGIN))
        tls = {"tls": {"ca": str(broker.ca)}, "credentials": "login.txt", "log": str(broker.log)}
        listen = source_params("localhost", broker.tls_port, **tls)
        given = Params.model_validate({"register": register_params("register.csv"), "sources": [listen], "window_s": 7})
        found_evidence = record(tmp_path, capture, given)
    found = analyse(found_evidence, given, 1)
    assert found.net == 850
    assert {code: n for code, n in excluded(found).items() if n} == {"DEV-X-DUP": 50, "DEV-X-STALE": 100}
    assert found.columns == (("5G 直连", 425), ("网关后", 425))
    assert codes(found.validity) == dict.fromkeys(("MQT-V05", "DEV-V06", "DEV-V07", "DEV-V19"), "warning")
    counters = next(f.text for f in found.validity if f.code == "MQT-V05")
    assert "1301 个连接" in counters
    assert "实见 1000 个会话" in counters
    assert "300 个只是 TCP 连接" in counters
    for name in found_evidence.streams():
        data = found_evidence.open(name).read()
        assert LOGIN[1].encode() not in data, name


def test_every_kind_of_cheat_adds_nothing(tmp_path: Path) -> None:
    devices = fleet(12, silent=2, constant=3, reused=2, copied=4, twice=2, ghosts=3, strangers=1)
    write_register(tmp_path / "register.csv", devices)
    with mosquitto(tmp_path / "broker") as broker, running("127.0.0.1", broker.port, devices, interval_s=0.15):
        given = Params.model_validate(
            {
                "register": register_params("register.csv"),
                "sources": [source_params("127.0.0.1", broker.port, log=str(broker.log))],
                "window_s": 4,
            }
        )
        found = analyse(record(tmp_path, capture, given), given, 1)
    assert {code: n for code, n in excluded(found).items() if n} == {
        "DEV-X-DUP": 4, "DEV-X-GHOST": 3, "DEV-X-STALE": 5, "DEV-X-COPY": 4,
    }  # fmt: skip
    assert found.net == 12
    assert found.facts["status"]["unregistered"] == 1


def test_a_broken_subscription_is_taken_up_again_and_told(tmp_path: Path) -> None:
    port = free_port()
    with recording_while(tmp_path, source(port=port), port) as (going, broker):
        going.wait_for("events.jsonl", b'"connected"')
        broker.close()
        going.wait_for("events.jsonl", b'"lost"')
        broker.open()
        going.wait_for("events.jsonl", b'"connected"', times=2)
        publisher = connected(port, "c1")
        publisher.publish("f/c1", b"1").wait_for_publish(5)
        going.wait_for("messages.csv", b"f/c1")
        publisher.disconnect()
        publisher.loop_stop()
    assert codes(tuple(findings(going.evidence, source()))) == {"MQT-V02": "warning"}
    (seen,) = observations(going.evidence, source())
    assert (seen.kind, seen.value, seen.messages) == ("topic", "f/c1", 1)


class _Switch:
    """A mosquitto that can be stopped and started again on one port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._stack = ExitStack()

    def open(self) -> None:
        self.broker = self._stack.enter_context(mosquitto(self._folder, port=self._port))

    def close(self) -> None:
        self._stack.close()


@contextmanager
def recording_while(folder: Path, listening: Source, port: int) -> Iterator[tuple[Any, _Switch]]:
    broker = _Switch(folder / "broker", port)
    broker.open()
    try:
        with recording(folder / "case", record_source, listening) as going:
            yield going, broker
    finally:
        broker.close()


def connected(port: int, client_id: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id)
    there = threading.Event()
    client.on_connect = lambda *_: there.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert there.wait(10)
    return client


def test_takeovers_and_retained_messages_of_the_real_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        early = connected(broker.port, "early")
        early.publish("f/old", b"1", qos=1, retain=True).wait_for_publish(5)
        listening = source(port=broker.port, log=str(broker.log), payload_bytes=4)
        with recording(tmp_path / "case", record_source, listening) as going:
            going.wait_for("messages.csv", b"f/old")
            first = connected(broker.port, "same")
            second = connected(broker.port, "same")
            second.publish("f/new", b"hello").wait_for_publish(5)
            going.wait_for("messages.csv", b"f/new")
        for client in (early, first, second):
            client.disconnect()
            client.loop_stop()
    found = {f.code: f for f in findings(going.evidence, listening)}
    assert {"MQT-V04", "MQT-V07"} <= set(found)
    assert "same" in found["MQT-V07"].text
    seen = {(o.kind, o.value): o for o in observations(going.evidence, listening)}
    assert ("topic", "f/old") not in seen
    assert seen["topic", "f/new"].messages == 1
    assert seen["client_id", "same"].same == {"ip": "127.0.0.1"}
    assert not any(value.startswith("yanshou-") for _, value in seen)
    assert b"aGVsbA==" in going.evidence.open("messages.csv").read()  # base64 of the first four bytes


def test_a_message_that_cannot_be_written_down_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not only, unseen, the thread in which it came: a recording that no longer hears anything looks like a quiet site."""

    def fails(_source: Source) -> bool:
        raise RecursionError

    def hear(client: Client, port: int) -> None:
        with recording(tmp_path / "case", record_source, source(port=port)) as going:
            client.publish("f/x", b"1", qos=1, retain=True).wait_for_publish(5)
            with pytest.raises(AssertionError, match="RecursionError"):
                going.wait_for("messages.csv", b"f/x")

    monkeypatch.setattr(record_module, "_needs_json", fails)
    with mosquitto(tmp_path / "broker") as broker:
        client = connected(broker.port, "c")
        with pytest.raises(RecursionError):
            hear(client, broker.port)
        client.disconnect()
        client.loop_stop()


# --- what is refused -----------------------------------------------------------------------------------------------------


def refused(folder: Path, listening: Source) -> ProbeError:
    with pytest.raises(ProbeError) as caught, recording(folder / "case", record_source, listening):
        pass
    assert "\n" not in str(caught.value)
    return caught.value


def test_nobody_there(tmp_path: Path) -> None:
    assert refused(tmp_path, source(port=free_port())).problem.code == "MQT-E02"


def test_wrong_password_and_untrusted_certificate(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case/login.txt").write_text("验收\nwrong\n", encoding="utf-8")
    with mosquitto(tmp_path / "broker", login=LOGIN) as broker:
        wrong = refused(tmp_path, source(port=broker.port, credentials="login.txt"))
        assert wrong.problem.code == "MQT-E03"
        other = certificates(tmp_path / "other")
        untrusted = refused(tmp_path, source(host="localhost", port=broker.tls_port, tls={"ca": str(other.ca)}))
        assert (untrusted.problem.code, "TLS" in untrusted.problem.text) == ("MQT-E02", True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"credentials": "none.txt"}, "MQT-E05"),
        ({"credentials": "one.txt"}, "MQT-E05"),
        ({"tls": {"ca": "none.pem"}}, "MQT-E05"),
        ({"tls": {"ca": "one.txt"}}, "MQT-E05"),
        ({"log": "none.log"}, "MQT-E06"),
    ],
)
def test_files_that_are_not_there(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case/one.txt").write_text("only a name\n")
    assert refused(tmp_path, source(port=1, **changes)).problem.code == code


@contextmanager
def pretending(*answers: bytes) -> Iterator[int]:
    """A server that reads a packet and answers, and then says nothing more; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                for answer in answers:
                    packet = connection.recv(4096)
                    connection.sendall(answer.replace(b"ID", packet[2:4]))
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_subscription_that_is_refused(tmp_path: Path) -> None:
    accepted, refusal = b"\x20\x02\x00\x00", b"\x90\x03ID\x80"
    with pretending(accepted, refusal) as port:
        error = refused(tmp_path, source(port=port))
    assert (error.problem.code, "f/#" in error.problem.text) == ("MQT-E04", True)


def test_a_port_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "CONNECT_S", 0.5)
    with pretending() as port:
        assert refused(tmp_path, source(port=port)).problem.code == "MQT-E02"


def test_virtual_devices_that_find_no_broker() -> None:
    with pytest.raises(ProbeError, match="SIM-E01"), running("127.0.0.1", free_port(), fleet(1)):
        pass


def test_virtual_devices_end_with_their_block(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        with running("127.0.0.1", broker.port, fleet(3), sockets=2, interval_s=0.1):
            text = wait_for(broker.log, b" as dev000003 ")
        assert text.count(b"New client connected") == 3
        wait_for(broker.log, b"Client dev000003 disconnected")


def wait_for(log: Path, text: bytes) -> bytes:
    end = time.monotonic() + 20
    while text not in (data := log.read_bytes()):
        assert time.monotonic() < end, data
        time.sleep(0.05)
    return data


def test_one_stream_says_the_same_everywhere() -> None:
    a, b, c, constant = (simulate._values(stream) for stream in (7, 7, 8, 0))
    first = [next(a) for _ in range(20)]
    assert [next(b) for _ in range(20)] == first != [next(c) for _ in range(20)]
    assert {next(constant) for _ in range(20)} == {20.0}


# --- reading -------------------------------------------------------------------------------------------------------------

ASKED: dict[str, Any] = {"identities": {"serial": "/sn", "client_id": "topic:2"}, "gateway": "/gw", "value": "/value"}


def part(*said: Said, **more: Any) -> TreeEvidence:
    return TreeEvidence(mqtt(*said, **more)).sub("mqtt")


def read_codes(found: TreeEvidence, **changes: Any) -> dict[str, str]:
    return codes(tuple(findings(found, source(**{**ASKED, **changes}))))


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("topic:1", "f"),
        ("topic:3", "up"),
        ("topic:4", ""),
        ("/sn", "S1"),
        ("/deep/a~1b/~0/1", "x"),
        ("/deep/a~1b/~0/7", ""),
        ("/number", "1.5"),
        ("/flag", "true"),
        ("/nothing", ""),
        ("/missing/x", ""),
        ("/sn/x", ""),
        ("/object", '{"a": 1, "b": 2}'),
    ],
)
def test_where_things_stand_in_a_message(place: str, found: str) -> None:
    document = {
        "sn": "S1", "deep": {"a/b": {"~": [0, "x"]}}, "number": 1.5, "flag": True, "nothing": None, "object": {"b": 2, "a": 1},
    }  # fmt: skip
    assert record_module._at(place, "f/c1/up", document) == found


def test_long_values_are_kept_as_their_digest() -> None:
    long = "x" * 129
    kept = record_module._at("/a", "t", {"a": long})
    assert len(kept) == 32
    assert record_module._at("/a", "t", {"a": long[:128]}) == long[:128]
    assert record_module._json(b"\xff{") is None
    assert record_module._json(b"[" * 200_000) is None


def test_retained_and_nameless_messages() -> None:
    found = part(Said("c1", "S1", wander(1)), Said("c1", "S1", [1.0], retain=True), Said("", "", [1.0]))
    assert read_codes(found) == {"MQT-V03": "warning", "MQT-V04": "warning"}
    seen = list(observations(found, source(**ASKED)))
    assert [(o.kind, o.value, o.messages) for o in seen] == [("serial", "S1", 12), ("topic", "f//up", 1)]
    assert seen[0].same == {"client_id": "c1"}
    assert (seen[0].first_ns, seen[0].last_ns) == (START, START + 11 * SECOND)


def test_a_message_without_the_value_shows_presence_only() -> None:
    (seen,) = observations(part(Said("c1", "S1", ["", "", ""])), source(**ASKED))
    assert (seen.messages, seen.distinct_values, seen.last_ns) == (0, 0, START + 2 * SECOND)


def test_the_order_in_which_identities_were_asked_for_does_not_matter() -> None:
    """Canonical JSON, in which plans and calibrations keep the parameters, sorts it."""
    found = part(Said("c1", "S1", wander(1)), Said("", "", [1.0]))
    turned = source(**{**ASKED, "identities": dict(reversed(ASKED["identities"].items()))})
    assert list(observations(found, turned)) == list(observations(found, source(**ASKED)))
    assert read_module.columns(turned) == read_module.columns(source(**ASKED))


EVENTS = {
    "whole": ([("connected", 0), ("end", 9)], {}),
    "no end": ([("connected", 0)], {"MQT-V01": "invalid"}),
    "nothing": ([], {"MQT-V01": "invalid"}),
    "lost and back": ([("connected", 0), ("lost", 2), ("connected", 5), ("end", 9)], {"MQT-V02": "warning"}),
    "lost for good": ([("connected", 0), ("lost", 2), ("lost", 4), ("end", 9)], {"MQT-V02": "invalid"}),
}


@pytest.mark.parametrize("case", EVENTS)
def test_what_happened_to_the_subscription(case: str) -> None:
    told, expected = EVENTS[case]
    events = [
        {"t": START + s * SECOND, "event": event, **({"messages": 12} if event == "end" else {})} for event, s in told
    ]
    found = part(Said("c1", "S1", wander(1)), events=events)
    assert read_codes(found) == expected
    if case == "lost and back":
        (text,) = (f.text for f in findings(found, source(**ASKED)) if f.code == "MQT-V02")
        assert "1 次，共 3.0 秒" in text
    if case == "lost for good":
        (text,) = (f.text for f in findings(found, source(**ASKED)) if f.code == "MQT-V02")
        assert "2 次，共 7.0 秒" in text


def test_messages_that_are_missing_in_the_middle() -> None:
    whole = mqtt(Said("c1", "S1", wander(1)))
    lines = whole["mqtt/messages.csv"].splitlines(keepends=True)
    cut = TreeEvidence({**whole, "mqtt/messages.csv": b"".join(lines[:4] + lines[5:])}).sub("mqtt")
    assert read_codes(cut) == {"MQT-V01": "invalid"}


def counters(**said: tuple[int, ...]) -> bytes:
    topics = {"dropped": "$SYS/broker/publish/messages/dropped"}
    lines = [
        (START + n, topics.get(name, f"$SYS/broker/clients/{name}"), value)
        for name, values in said.items()
        for n, value in enumerate(values)
    ]
    return table(["utc_ns", "topic", "value"], lines)


@pytest.mark.parametrize(
    ("sys", "expected"),
    [
        (counters(connected=(3,), total=(3,)), {}),
        (counters(connected=(9, 3), total=(3,)), {}),
        (counters(connected=(4,), total=(4,)), {"MQT-V05": "warning"}),
        (counters(connected=(9,), total=(3,)), {"MQT-V05": "warning"}),
        (counters(dropped=(5, 5)), {}),
        (counters(dropped=(5, 6)), {"MQT-V06": "warning"}),
        (table(["utc_ns", "topic", "value"], [(1, "$SYS/broker/clients/connected", "many")]), {}),
    ],
)
def test_what_the_broker_says_of_itself(sys: bytes, expected: dict[str, str]) -> None:
    found = part(Said("c1", "S1", wander(1)), Said("c2", "S2", wander(2)), sys=sys)
    assert read_codes(found) == expected
    text = " ".join(f.text for f in findings(found, source(**ASKED)))
    assert ("6 个只是 TCP 连接" in text) == (b"9\n" in sys and b"total,3" in sys and "MQT-V05" in expected)


def test_the_log_of_a_broker() -> None:
    at = START // SECOND
    log = (
        f"{at - 900}: New client connected from 10.0.0.1:5 as gone (p2, c1, k60).\n"
        f"{at - 800}: Client gone disconnected.\n"
        f"{at - 700}: New client connected from 10.0.0.2:5 as slow (p2, c1, k60).\n"
        f"{at - 600}: Client slow has exceeded timeout, disconnecting.\n"
        f"{at - 500}: Client stay already connected, closing old connection.\n"
        f"{at - 500}: New client connected from 10.0.0.3:5 as stay (p2, c1, k60, u'dev').\n"
        f"{at + 1}: Client stay already connected, closing old connection.\n"
        f"{at + 1}: New client connected from fe80::1:7 as stay (p5, c1, k60).\n"
        "2026-03-02T16:00:05+0800: New client connected from 10.0.0.4:5 as iso (p2, c1, k60).\n"
        f"{at + 9}: New client connected from 10.0.0.9:5 as yanshou-1 (p2, c1, k60).\n"
        f"{at + 9}: Client late closed its connection.\n"
        "no log line\n"
    ).encode()
    found = part(Said("c1", "S1", wander(1)), log=log)
    sessions = {
        o.value: (o.same["ip"], o.first_ns)
        for o in observations(found, source(**ASKED))
        if o.kind == "client_id" and o.messages is None
    }
    assert sessions == {"stay": ("fe80::1", START + SECOND), "iso": ("10.0.0.4", START + 5 * SECOND)}
    assert read_codes(found) == {"MQT-V07": "warning"}


def test_more_identities_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_module, "MOST_IDENTITIES", 3)
    found = part(*(Said(f"c{n}", f"S{n}", [1.0]) for n in range(4)))
    assert read_codes(found) == {"MQT-V08": "invalid"}
    assert len(list(observations(found, source(**ASKED)))) == 3


def test_a_fingerprint_needs_eight_different_values_in_a_row() -> None:
    def content(*values: object) -> str:
        (seen,) = observations(part(Said("c1", "S1", values)), source(**ASKED))
        return seen.content

    assert content(*range(7)) == ""
    assert content(*range(8)) != ""
    assert content(*[0, 1] * 20) == ""
    assert content(*range(8)) == content(0, 0, *range(1, 8), 7)
    assert content(*range(8)) != content(*range(1, 9))
    assert len(content(*range(40)).split()) == read_module.KEPT


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(), min_size=18, max_size=60, unique=True),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_recordings_that_differ_by_three_values_at_the_ends_share_a_fingerprint(
    values: list[int], a: int, b: int, c: int, d: int
) -> None:
    a, b, c, d = (a, 0, c, 0) if a + b > 3 or c + d > 3 else (a, b, c, d)
    one, two = (
        next(iter(observations(part(Said("c1", "S1", cut)), source(**ASKED)))).content.split()
        for cut in (values[a : len(values) - b], values[c : len(values) - d])
    )
    assert set(one) & set(two)


def test_analysis_of_hand_made_and_recorded_evidence_agree_on_the_columns(tmp_path: Path) -> None:
    """The header that `record` writes is the one that the tests' evidence has."""
    asked = source(**ASKED)
    header = mqtt(Said("c", "S", [1]))["mqtt/messages.csv"].split(b"\n")[0].decode()
    assert ",".join(read_module.columns(asked)) == header
    whole = evidence([row("S1", "c1")], mqtt(Said("c1", "S1", wander(1))))
    assert analyse(whole, params(), 1).net == 1
