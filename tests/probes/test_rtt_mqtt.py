"""The rtt.mqtt probe against the real mosquitto over TCP and TLS, brokers that misbehave, and its standard."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paho.mqtt import publish
from pydantic import ValidationError

from tests.probes.devices_support import certificates, mosquitto
from tests.probes.records_support import record
from tests.probes.rtt_standards import SEED, measure_standard, told, within_tolerance
from tests.probes.sources_support import free_port
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples
from yanshou.probes import mqtt_broker
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.rtt.hold import true_holds
from yanshou.probes.rtt.streams import HOLD, PACKETS, SESSION
from yanshou.probes.rtt_mqtt import capture as capture_module
from yanshou.probes.rtt_mqtt import reference
from yanshou.probes.rtt_mqtt.analyse import analyse
from yanshou.probes.rtt_mqtt.capture import capture
from yanshou.probes.rtt_mqtt.spec import SPEC, Params, estimate

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
LOGIN = ("验收", "se cret:口令")
MS = 1_000_000


def quick(port: int, **more: Any) -> Params:
    """A short run."""
    values = {"count": 40, "interval_ms": 3, "min_interval_ms": 1, "warmup": 5, "timeout_ms": 500}
    return Params.model_validate({"host": "127.0.0.1", "port": port, **values, **more})


def measured(folder: Path, params: Params) -> tuple[RunEvidence, Samples]:
    folder.mkdir(exist_ok=True)
    evidence = record(folder, capture, params, SEED)
    return evidence, analyse(evidence, params, SEED)


def statuses(evidence: RunEvidence) -> list[str]:
    header, *lines = evidence.open(PACKETS).read().decode().splitlines()
    return [line.split(",")[header.split(",").index("status")] for line in lines]


# ---- the real broker -----------------------------------------------------------------------------------------------


def test_over_tcp_and_tls_at_every_quality_of_service(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker", login=LOGIN) as broker:
        for tls in (False, True):
            for qos in (0, 1, 2):
                case = tmp_path / f"case-{tls}-{qos}"
                case.mkdir()
                (case / "login").write_text("\n".join(LOGIN), encoding="utf-8")
                where = {"host": "localhost", "tls": {"ca": str(broker.ca)}} if tls else {}
                port = broker.tls_port if tls else broker.port
                params = quick(port, qos=qos, credentials="login", size=200, **where)
                evidence, samples = measured(case, params)
                assert told(samples) == {"RTM-V15": "info"}
                assert np.isfinite(samples.values).all()
                assert samples.values.shape == samples.times.shape == (40,)
                assert samples.values.min() > 0
                assert (samples.unit, samples.measurand, samples.bounds) == ("ns", "round_trip", ("one_way",))
                assert samples.facts["qos"] == {"asked": qos, "granted": qos}
                assert str(samples.facts["tls"]).startswith("TLSv1") == tls
                assert (samples.facts["received"], samples.facts["size"]) == (40, 200)
                assert analyse(evidence, params, SEED).values.tobytes() == samples.values.tobytes()
                for name in evidence.streams():
                    assert LOGIN[1].encode() not in evidence.open(name).read(), name
        log = broker.log.read_text()
    assert log.count("as yanshou-pub-") == log.count("as yanshou-sub-") == 6
    assert "rtt/{session}" not in log


def test_a_broker_that_stands_still_shows_in_every_message_of_that_time(tmp_path: Path) -> None:
    """Open loop: what TCP takes no more waits in the client, and its time runs. 25 MB are more than the sockets hold."""
    with mosquitto(tmp_path / "broker") as broker:

        def freeze(news: Progress) -> None:
            if news.done and not frozen:
                frozen.append(time.time_ns())
                broker.process.send_signal(signal.SIGSTOP)
                threading.Timer(0.5, broker.process.send_signal, [signal.SIGCONT]).start()

        frozen: list[int] = []
        params = quick(broker.port, count=400, interval_ms=5, size=250_000, timeout_ms=5000)
        case = tmp_path / "case"
        case.mkdir()
        evidence = record(
            case,
            lambda given, run: capture(given, RunContext(run.sink, run.seed, run.folder, None, freeze)),
            params,
            SEED,
        )
    samples = analyse(evidence, params, SEED)
    assert frozen
    assert samples.facts["sent"] == samples.facts["received"] == 400
    assert told(samples) == {"RTM-V15": "info"}
    assert samples.facts["sender_late_ns"]["p99"] < 200 * MS, "the schedule waited for the broker"
    held = samples.values > 50 * MS
    assert held.sum() > 50, "the messages of half a second at 5 ms"
    assert samples.values.max() > 400 * MS


def test_memory_does_not_grow_with_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """paho leaves cycles behind, and the sender switches the collector off."""
    grown: list[int] = []
    punctual = capture_module.punctual

    @contextmanager
    def counting() -> Iterator[Any]:
        with punctual() as obtained:
            before = len(gc.get_objects())
            yield obtained
            grown.append(len(gc.get_objects()) - before)

    monkeypatch.setattr(capture_module, "punctual", counting)
    with mosquitto(tmp_path / "broker") as broker:
        measured(tmp_path / "case", quick(broker.port, count=1500, interval_ms=1, min_interval_ms=0))
    assert grown[0] < 5 * 1500, "six objects stay of each message"


def test_a_broker_that_goes_ends_the_run(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:

        def kill(news: Progress) -> None:
            if news.done:
                broker.process.terminate()

        params = quick(broker.port, count=100_000)
        with pytest.raises(ProbeError, match=r"RTM-E02 .*断开"):
            record(
                tmp_path,
                lambda given, run: capture(given, RunContext(run.sink, run.seed, run.folder, None, kill)),
                params,
            )


def test_a_retained_message_is_none_of_ours(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        publish.single("rtt/x", b"old", retain=True, hostname="127.0.0.1", port=broker.port)
        _, samples = measured(tmp_path / "case", quick(broker.port, topic="rtt/x"))
    assert (samples.facts["received"], samples.facts["foreign"]) == (40, 0)


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / "login").write_text("验收\n不对\n", encoding="utf-8")
    with mosquitto(tmp_path / "broker", login=LOGIN) as broker:
        assert refused(tmp_path, quick(broker.port, credentials="login")) == "RTM-E04"


def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    other = certificates(tmp_path / "other")
    with mosquitto(tmp_path / "broker") as broker:
        params = quick(broker.tls_port, host="localhost", tls={"ca": str(other.ca)})
        assert refused(tmp_path, params) == "RTM-E01"


# ---- brokers that misbehave ----------------------------------------------------------------------------------------


class Odd(mqtt_broker._Broker):
    """Loses every tenth message, delivers some twice, altered, or cut, and says what a test wants of subscriptions."""

    refuses = silent = alters = False

    def _forward(self, topic: bytes, payload: bytes) -> None:
        number = int.from_bytes(payload[:4], "big")
        if self.silent or number % 10 == 3:
            return
        if self.alters or number == 21:
            payload = payload[:-1] + b"\1"
        if number == 22:
            payload = payload[:-1]
        for _ in range(2 if number == 24 else 1):
            super()._forward(topic, payload)

    def _subscribe(self, session: Any, kind: int, body: bytes) -> None:
        if self.refuses:
            session.writer.write(mqtt_broker._packet(mqtt_broker.SUBACK, body[:2] + b"\x80"))
        else:
            super()._subscribe(session, kind, body)


@contextmanager
def odd(**changes: bool) -> Iterator[int]:
    """Such a broker in a thread; its port."""
    broker, ports, loop = Odd(), list[int](), asyncio.new_event_loop()
    for name, value in changes.items():
        setattr(broker, name, value)
    up = threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        up.set()
        await end.wait()
        server.close()
        while broker.sessions:
            await asyncio.sleep(0.01)

    end = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def test_what_a_broker_loses_doubles_or_alters(tmp_path: Path) -> None:
    with odd() as port:
        evidence, samples = measured(tmp_path / "case", quick(port))
    lost = [i + 5 for i in np.flatnonzero(np.isinf(samples.values))]
    assert lost == [13, 21, 22, 23, 33, 43]
    assert (samples.facts["lost"], samples.facts["duplicates"], samples.facts["foreign"]) == (6, 1, 2)
    assert told(samples) == {"RTM-V10": "warning", "RTM-V11": "warning", "RTM-V15": "info"}
    assert statuses(evidence).count("lost") == 7  # and one of the warm-up


def test_less_than_the_agreed_quality_of_service_is_invalid(tmp_path: Path) -> None:
    with odd() as port:
        _, less = measured(tmp_path / "less", quick(port, qos=1))
        _, agreed = measured(tmp_path / "agreed", quick(port, qos=0))
    assert told(less)["RTM-V16"] == "invalid"
    assert "RTM-V16" not in told(agreed)


def refused(folder: Path, params: Params) -> str:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, params, SEED)
    assert caught.value.problem.remedy
    return caught.value.problem.code


@pytest.mark.parametrize(("change", "code"), [("refuses", "RTM-E04"), ("silent", "RTM-E01"), ("alters", "RTM-E05")])
def test_a_broker_with_which_nothing_can_be_measured(tmp_path: Path, change: str, code: str) -> None:
    with odd(**{change: True}) as port:
        assert refused(tmp_path, quick(port, timeout_ms=100)) == code


def test_where_no_broker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "CONNECT_S", 0.3)
    assert refused(tmp_path, quick(free_port())) == "RTM-E01"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert refused(tmp_path, quick(mute.getsockname()[1])) == "RTM-E01"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"host": "no..such..name"}, "RTM-E03"),
        ({"host": None, "hosts": {"甲": "127.0.0.1"}}, "RTM-E08"),
        ({"credentials": "nowhere"}, "RTM-E09"),
        ({"tls": {"ca": "nowhere"}}, "RTM-E09"),
    ],
)
def test_wrong_parameters_say_so(tmp_path: Path, wrong: dict[str, Any], code: str) -> None:
    assert refused(tmp_path, quick(1, **wrong)) == code


@pytest.mark.parametrize("wrong", [{"topic": "a/#"}, {"topic": ""}, {"qos": 3}, {"size": 11}, {"port": 0}])
def test_parameters_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        quick(**{"port": 1883, **wrong})


def test_estimate() -> None:
    assert estimate(quick(1, count=1000, warmup=50, interval_ms=10, timeout_ms=1000), 2000).seconds == pytest.approx(
        21.5
    )


# ---- the standard --------------------------------------------------------------------------------------------------


def test_errors_against_the_standard_are_within_tolerance(tmp_path: Path) -> None:
    found = within_tolerance("rtt.mqtt", 5.0, tmp_path, count=200)
    log = found.evidence.open(HOLD).read().decode().splitlines()[1:]
    holds = [hold for number, hold in true_holds(log).items() if number >= reference.WARMUP]
    truth = json.load(found.evidence.open("truth.json"))
    assert truth["true"] == pytest.approx(np.median(holds) / 1e6)
    assert min(holds) >= 5 * MS
    assert found.range[0] > 0, "the hold lies within the passage"
    assert json.load(found.evidence.open(SESSION))["granted"] == 0


def test_the_floor_is_what_is_read_where_nothing_is_held(tmp_path: Path) -> None:
    found = measure_standard("rtt.mqtt", 0, tmp_path, count=300)
    assert reference.POINTS[0] == 0
    assert HOLD not in found.evidence.streams()
    assert json.load(found.evidence.open("truth.json"))["true"] == 0
    np.testing.assert_allclose(found.errors, found.samples.values / 1e6)


def test_a_standard_that_was_not_used_is_none(tmp_path: Path) -> None:
    def nothing(_params: Any, run: RunContext) -> None:
        with reference.standard(5.0, run):
            pass

    with pytest.raises(ProbeError, match="RTM-E07"):
        record(tmp_path, nothing, None)


def test_the_document_covers_every_code() -> None:
    text = (ROOT / SPEC.document).read_text(encoding="utf-8")
    numbers = [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16]
    expected = {f"RTM-V{n:02d}" for n in numbers} | {f"RTM-E{n:02d}" for n in (1, 2, 3, 4, 5, 7, 8, 9)}
    assert set(re.findall(r"RTM-[EV]\d\d", text)) == expected
