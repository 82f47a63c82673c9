"""The broker of the standards: what it speaks, and how it ends with whoever does not."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from yanshou.harness.basics import ProbeError
from yanshou.probes import mqtt_broker
from yanshou.probes.mqtt_broker import running


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running() as found:
        yield found


class Talker:
    """A paho client that keeps what it hears."""

    def __init__(self, port: int, client_id: str, *filters: str, protocol: int = 4) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.connected, self.subscribed, self.lost, self.told = (threading.Event() for _ in range(4))
        self.refused = False
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.lost.set()
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.connected.wait(10)
        for wanted in filters:
            self.subscribed.clear()
            self.client.subscribe(wanted)
            assert self.subscribed.wait(10)

    def _on_connect(self, _client: Client, _data: object, _flags: object, reason: object, _properties: object) -> None:
        self.refused = bool(getattr(reason, "is_failure", False))
        self.connected.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))
        if message.topic == "end":
            self.told.set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_messages_go_to_who_asked_for_them(port: int) -> None:
    listener = Talker(port, "listener", "a/+/x", "b/#", "end")
    speaker = Talker(port, "speaker")
    for topic in ("a/1/x", "a/1/y", "b", "b/c/d", "a/2/2/x"):
        speaker.client.publish(topic, topic.encode(), qos=1).wait_for_publish(10)
    listener.subscribed.clear()
    listener.client.unsubscribe("b/#")
    listener.client.subscribe("c")
    assert listener.subscribed.wait(10)
    speaker.client.publish("b/c", b"late")
    long = b"x" * 200_000
    speaker.client.publish("c", long)
    speaker.client.publish("end")
    assert listener.told.wait(10)
    listener.close()
    speaker.close()
    assert listener.heard == [("a/1/x", b"a/1/x"), ("b", b"b"), ("b/c/d", b"b/c/d"), ("c", long), ("end", b"")]


def test_one_client_id_is_one_session(port: int) -> None:
    first = Talker(port, "same")
    first.client.reconnect_delay_set(60, 60)
    second = Talker(port, "same", "end")
    assert first.lost.wait(10)
    second.client.publish("end")
    assert second.told.wait(10)
    first.close()
    second.close()


def test_another_version_is_refused(port: int) -> None:
    talker = Talker(port, "five", protocol=MQTTv5)
    assert talker.refused
    talker.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n" + b"x" * 80,
        b"\x10\xff\xff\xff\xff\x7f",
        b"\x10\xff\xff\xff\x7f",
        b"\x10\x04\x00\x09MQ",
        b"\x10\x00",
        b"\x30\x06\x00\x04MQTT",
        b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id\x34\x05\x00\x01a\x00\x01",  # QoS 2
    ],
)
def test_what_is_no_mqtt_is_cut_off(port: int, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(garbage)
        received = b""
        while data := connection.recv(100):
            received += data
    assert received in (b"", b"\x20\x02\x00\x00")


def test_a_broker_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(
        mqtt_broker.subprocess, "Popen", lambda command, **more: real([command[0], "-c", "print('no')"], **more)
    )
    with pytest.raises(ProbeError, match="BRK-E01"), running():
        pass
