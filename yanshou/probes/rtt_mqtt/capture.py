"""Messages published to a broker and delivered back: the sender of `rtt` over two MQTT sessions of paho-mqtt.

It is for recording what happened. Two sessions, as a device and a platform have: what is delivered does not queue behind
acknowledgements of what is published, nor is TCP's own acknowledgement carried by the next publication, which would hide what
Nagle's algorithm at the broker does to a real subscriber. Both are driven by hand on their sockets in the sender's one thread:
paho's own loop would be a thread of its own, and its limit of messages in flight would make the schedule wait for replies. It
must never judge, nor write a credential into evidence.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import paho.mqtt
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.devices.sources.login import name_and_secret, tls_context
from yanshou.probes.devices.sources.mqtt.session import CONNECT_S, connect
from yanshou.probes.rtt import mirrored
from yanshou.probes.rtt.capture import far_host, unknown_name
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.sender import NONSENSE, FarEnd, Reply, Sender, errors_of, json_line, surroundings
from yanshou.probes.rtt.streams import SESSION
from yanshou.probes.rtt.timestamps import Received
from yanshou.probes.rtt.timing import punctual

if TYPE_CHECKING:
    from yanshou.probes.rtt_mqtt.spec import Params

TICK_S = 0.1
ALIVE_NS = 1_000_000_000
"""How often paho may look after its keep-alive."""
TIDY_AFTER, TIDY_S = 200, 0.002
"""paho leaves a reference cycle behind each delivered message, and the sender runs without garbage collection: the young ones are
collected after so many messages, when nothing is due for so long."""


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError: RTM-E01 no broker there or nothing comes back, E02 the connection broke, E03 name, E04 the
    broker refuses, E05 what comes back is not ours, E08 no address for this subject, E09 credentials or certificates."""
    with errors_of("RTM"):
        host = far_host(params, run.subject)
        far = _far_end(host, params.port)
        with sessions(params, host, far, run) as net, punctual() as obtained:
            told = {
                "format": "yanshou/rtt.mqtt/1",
                "params": params.model_dump(mode="json"),
                "seed": run.seed,
                "subject": run.subject,
                "topic": net.topic,
                "granted": net.granted,
                "tls": net.tls,
                "client": f"paho-mqtt {paho.mqtt.__version__}",
                **surroundings(net.connection, False, obtained),
            }
            run.sink.stream(SESSION).write(json_line(told))
            Sender(Traffic.of(params, params.size, run.seed), MessageCodec(params.size), net, far, run).run()


class MessageCodec:
    """Payloads of one session."""

    def __init__(self, size: int) -> None:
        self._size = size

    def request(self, sequence: int, t1_ns: int) -> bytes:
        """The payload to publish."""
        return mirrored.pack(sequence, t1_ns, self._size)

    def reply(self, received: Received) -> Reply:
        """What a delivered payload says."""
        known = mirrored.read(received.data, self._size)
        return Reply(*known) if known else NONSENSE


@contextmanager
def sessions(params: Params, host: str, far: FarEnd, run: RunContext) -> Iterator[Sessions]:
    """Both sessions, subscribed. Raises ProbeError RTM-E01, E03, E04, E09."""
    net = Sessions(params, host, far, run)
    try:
        net.open()
        yield net
    finally:
        net.close()


class Sessions:
    """A publisher and a subscriber. Neither has a kernel stamp: paho gives a message to the application, and that moment is T4."""

    def __init__(self, params: Params, host: str, far: FarEnd, run: RunContext) -> None:
        session = os.urandom(6).hex()
        self.topic = params.topic.replace("{session}", session)
        self.granted: int | None = None
        self._qos, self._address, self._far = params.qos, (host, params.port), far
        self._arrived: deque[Received] = deque()
        self._lost = ""
        self._refused: dict[Client, str] = {}  # "" once let in
        self._alive_due = self._untidy = 0
        login = name_and_secret(run.folder, params.credentials, "RTM-E09") if params.credentials else None
        self._context = (
            tls_context(run.folder, "RTM-E09", params.tls.ca, params.tls.cert, params.tls.key) if params.tls else None
        )
        self._publisher, self._subscriber = (
            self._client(f"yanshou-{role}-{session}", login) for role in ("pub", "sub")
        )
        self._clients = self._publisher, self._subscriber
        self._subscriber.on_message = self._on_message
        self._subscriber.on_subscribe = self._on_subscribe

    def _client(self, name: str, login: tuple[str, str] | None) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, name)
        client.max_inflight_messages_set(0)  # no limit: the schedule waits for no acknowledgement
        client.connect_timeout = CONNECT_S
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        if login:
            client.username_pw_set(*login)
        if self._context:
            client.tls_set_context(self._context)
        return client

    @property
    def connection(self) -> socket.socket:
        """The publisher's."""
        return _socket(self._publisher)

    @property
    def tls(self) -> str | None:
        """Version of TLS, None for plain TCP."""
        connection = self.connection
        return connection.version() if isinstance(connection, ssl.SSLSocket) else None

    def open(self) -> None:
        """Connected, let in and subscribed when it returns. Raises ProbeError RTM-E01, E03, E04."""
        for client in self._clients:
            self._enter(client)
        self._subscriber.subscribe(self.topic, self._qos)
        self._until(self._subscriber, lambda: self.granted is not None)
        if self.granted not in (0, 1, 2):
            remedy = "请代理管理员准许验收账号发布与订阅这个主题"
            raise ProbeError("RTM-E04", f"代理拒绝订阅 {self.topic}", remedy)

    def _enter(self, client: Client) -> None:
        try:
            connect(client, self._context, *self._address)
        except (socket.gaierror, UnicodeError) as error:
            raise unknown_name(self._address[0], error) from None
        except (OSError, ValueError) as error:
            raise self._far.silent(getattr(error, "strerror", None) or str(error)) from None
        _socket(client).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._until(client, lambda: client in self._refused)
        if self._refused[client]:
            remedy = "检查凭据文件与代理的访问控制；为验收单建一个账号"
            raise ProbeError("RTM-E04", f"代理拒绝登录：{self._refused[client]}", remedy)

    def _until(self, client: Client, done: Callable[[], bool]) -> None:
        """Let a client work until it is done. Raises ProbeError RTM-E01."""
        deadline = time.monotonic() + CONNECT_S
        while not done():
            client.loop(TICK_S)
            if self._lost and not done():
                raise self._far.silent(f"连接被断开：{self._lost}")
            if time.monotonic() > deadline:
                raise self._far.silent("连上了，但没有应答 MQTT 登录或订阅；端口可能不是 MQTT，或须用 TLS")

    def close(self) -> None:
        """Leave the broker, in order where that is possible at once."""
        for client in self._clients:
            client.on_connect = client.on_disconnect = client.on_subscribe = client.on_message = None
            client.disconnect()
            connection = client.socket()
            if connection is not None:
                connection.close()

    def send(self, data: bytes) -> None:
        """Publish. What the socket does not take at once waits in paho, and its time runs. Raises OSError: not connected."""
        if self._publisher.publish(self.topic, data, self._qos).rc:
            raise ConnectionError("not connected")

    def transmitted(self) -> Iterator[tuple[int, int]]:
        """Nothing: TCP stamps octets, not messages."""
        return iter(())

    def receive(self) -> Received | None:
        """The next message that was delivered. Raises ConnectionError: a session ended."""
        if not self._arrived:
            self._turn()
        if self._arrived:
            return self._arrived.popleft()
        if self._lost:
            raise ConnectionError(self._lost)
        return None

    def wait(self, seconds: float) -> None:
        """Sleep until one of the sockets can be read, or written where something waits for that."""
        if self._untidy >= TIDY_AFTER and seconds > TIDY_S:
            self._untidy = 0
            gc.collect(0)
        elif not self._arrived and not self._lost:
            self._ready(seconds)

    def _ready(self, seconds: float) -> tuple[list[Any], list[Any]]:
        sockets = [_socket(client) for client in self._clients]
        full = [_socket(client) for client in self._clients if client.want_write()]
        readable, writable, _ = select.select(sockets, full, (), seconds)
        return readable, writable

    def _turn(self) -> None:
        """Everything that the sockets have, and that they take now."""
        if self._lost:
            return
        readable, writable = self._ready(0)
        for client in self._clients:
            connection = _socket(client)
            if connection in writable:
                client.loop_write()
            if connection in readable:
                client.loop_read()
                while isinstance(connection, ssl.SSLSocket) and not self._lost and connection.pending():
                    client.loop_read()  # select does not see what TLS has read already
        now = time.monotonic_ns()
        if now >= self._alive_due:
            self._alive_due = now + ALIVE_NS
            for client in self._clients:
                client.loop_misc()

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refused[client] = str(reason) if reason.is_failure else ""

    def _on_disconnect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lost = str(reason)

    def _on_subscribe(self, _client: Client, _data: Any, _number: int, reasons: list[Any], _properties: Any) -> None:
        self.granted = int(reasons[0].value)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        now = time.time_ns()
        self._untidy += 1
        if not message.retain:  # what somebody once said
            self._arrived.append(Received(bytes(message.payload), None, 0, now, 0))


def _socket(client: Client) -> socket.socket:
    """What paho has: it allows for web sockets and for none, of which a connected client over TCP has neither."""
    return cast("socket.socket", client.socket())


def _far_end(host: str, port: int) -> FarEnd:
    return FarEnd(
        f"MQTT 代理 {host} 端口 {port}",
        if_silent="检查地址、端口、TLS 与防火墙，代理是否在运行；账号须既能发布又能订阅这个主题（有的代理默默丢弃）",
        if_rejecting="检查代理的日志与网络；同一账号不要在别处登录，代理不要限制消息速率",
        if_foreign="主题被别人使用：换一个专用主题，或在 topic 里用 {session}",
        rejects="断开了连接（{}）",
    )
