"""Subscribes to a broker and writes down what comes, one CSV line per message, and keeps trying after a break.

It must never publish, nor write a credential into evidence. Streams: `messages.csv` (columns as `read.columns` says), `sys.csv`
(utc_ns, topic, value: what the broker says of itself), `events.jsonl` ("connected", "lost", "end") and `broker.log` where one is
named.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import ssl
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import StreamWriter
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.login import name_and_secret, tls_context
from yanshou.probes.devices.sources.mqtt.params import Source
from yanshou.probes.devices.sources.mqtt.read import EVENTS, LOG, MESSAGES, SYS, columns
from yanshou.probes.devices.sources.mqtt.session import CONNECT_S, connect
from yanshou.probes.devices.sources.polling import JsonLines

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

RETRY_S = (1, 5)
TICK_S = 0.2
SYS_TOPICS = ("$SYS/broker/clients/+", "$SYS/broker/publish/messages/dropped")
LONGEST = 128
"""Characters kept of an extracted identity or value; a longer one is kept as its digest."""
SEEN_AT_MOST = 1_000_000


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Until `stop`. Raises ProbeError MQT-E01 (no paho), E02 (not reachable), E03 (refused), E04 (subscription refused), E05
    (credentials, certificate), E06 (log file).
    """
    try:
        import paho.mqtt.client  # noqa: F401
    except ImportError:
        raise ProbeError("MQT-E01", "本机没有 MQTT 客户端 paho-mqtt", "pip install paho-mqtt 后重新运行") from None
    log = run.folder / source.log if source.log else None
    if log is not None and not _readable(log):
        raise ProbeError(
            "MQT-E06", f"读不了代理日志 {log.name}", "检查路径与读权限；日志里要有连接记录（log_type all）"
        )
    subscription = _Subscription(source, run)
    try:
        subscription.connect()
        while not stop.wait(TICK_S):
            subscription.report()
    finally:
        subscription.close()
    if log is not None:
        run.sink.attach(log, LOG)


def _readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


class _Csv:
    """Rows into a stream of evidence."""

    def __init__(self, stream: StreamWriter, header: tuple[str, ...]) -> None:
        self._stream = stream
        self._writer = csv.writer(self, lineterminator="\n")
        self.row(header)

    def write(self, text: str) -> None:
        """What csv calls with a finished line."""
        self._stream.write(text.encode("utf-8", "backslashreplace"))

    def row(self, cells: tuple[Any, ...]) -> None:
        """Append one row. Raises OSError once the disk has failed."""
        self._writer.writerow(cells)


class _Subscription:
    """One client that listens. Its callbacks run in paho's thread; what fails there is raised by `report`."""

    def __init__(self, source: Source, run: RunContext) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._source, self._run = source, run
        self._client_id = f"yanshou-{os.urandom(6).hex()}"
        self._client: Client = Client(CallbackAPIVersion.VERSION2, self._client_id)
        self._client.reconnect_delay_set(*RETRY_S)
        self._client.connect_timeout = CONNECT_S
        self._tls: ssl.SSLContext | None = None
        self._login()
        self._messages = _Csv(run.sink.stream(MESSAGES), columns(source))
        self._sys = _Csv(run.sink.stream(SYS), ("utc_ns", "topic", "value"))
        self._events = JsonLines(run.sink.stream(EVENTS))
        self._count = 0
        self._seen: set[int] = set()
        self._answered = threading.Event()
        self._refusal: ProbeError | None = None
        self._failure: Exception | None = None
        self._closing = False
        self._asked: int | None = None
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def _login(self) -> None:
        source, folder = self._source, self._run.folder
        if source.credentials:
            self._client.username_pw_set(*name_and_secret(folder, source.credentials, "MQT-E05"))
        if source.tls:
            self._tls = tls_context(folder, "MQT-E05", source.tls.ca, source.tls.cert, source.tls.key)
            self._client.tls_set_context(self._tls)

    def connect(self) -> None:
        """Connected and subscribed when it returns. Raises ProbeError."""
        source = self._source
        place = f"{source.host}:{source.port}"
        try:
            connect(self._client, self._tls, source.host, source.port)
        except ssl.SSLError as error:
            text = f"与 {place} 的 TLS 握手失败：{getattr(error, 'verify_message', '') or error.reason}"
            raise ProbeError("MQT-E02", text, "检查 tls.ca 与端口；host 要与证书里的名字一致") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ProbeError(
                "MQT-E02", f"连不上 MQTT 代理 {place}：{reason}", "检查地址、端口与防火墙，代理是否在运行"
            ) from None
        self._client.loop_start()
        if not self._answered.wait(CONNECT_S):
            raise ProbeError("MQT-E02", f"{place} 没有应答 MQTT 登录或订阅", "检查端口是不是 MQTT，是否须用 TLS")
        self.report()

    def report(self) -> None:
        """Tell how many identities have been seen. Raises what a callback met."""
        if self._refusal is not None:
            raise self._refusal
        if self._failure is not None:
            raise self._failure
        self._run.progress(Progress(len(self._seen), 0))

    def close(self) -> None:
        """Leave the broker and write the last event."""
        self._closing = True
        self._client.disconnect()
        self._client.loop_stop()
        self._events.write({"event": "end", "messages": self._count, "client_id": self._client_id})

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refuse("MQT-E03", f"代理拒绝登录：{reason}", "检查凭据文件与代理的访问控制；为验收单建一个只读账号")
            return
        self._events.write({"event": "connected", "client_id": self._client_id})
        self._asked = client.subscribe([(topic, 0) for topic in self._source.topics])[1]
        client.subscribe([(topic, 0) for topic in SYS_TOPICS])

    def _on_subscribe(self, _client: Client, _data: Any, number: int, reasons: list[Any], _properties: Any) -> None:
        if number != self._asked:
            return
        refused = [t for t, reason in zip(self._source.topics, reasons, strict=False) if reason.is_failure]
        if refused:
            self._refuse("MQT-E04", f"代理拒绝订阅 {refused[0]}", "请代理管理员准许验收账号订阅这些主题")
        self._answered.set()

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._closing:
            self._events.write({"event": "lost", "reason": str(reason)})

    def _refuse(self, code: str, text: str, remedy: str) -> None:
        self._refusal = ProbeError(code, text, remedy)
        self._answered.set()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        t_ns = time.time_ns()
        try:
            topic = message.topic
        except UnicodeDecodeError:  # the specification forbids it; a broker may pass it on all the same
            return
        try:
            if topic.startswith("$SYS/"):
                self._sys.row((t_ns, topic, message.payload[:LONGEST].decode("utf-8", "replace")))
            else:
                self._write(t_ns, topic, bytes(message.payload), message.retain)
        except (
            Exception
        ) as error:  # left to itself paho's thread would end, and nobody would notice that nothing comes any more
            self._failure = error

    def _write(self, t_ns: int, topic: str, payload: bytes, retain: bool) -> None:
        source = self._source
        document = _json(payload) if _needs_json(source) else None
        told = tuple(_at(place, topic, document) for place in map(source.identities.__getitem__, source.kinds))
        if len(self._seen) < SEEN_AT_MOST:
            self._seen.add(hash(told if any(told) else topic))
        digest = hashlib.blake2b(payload, digest_size=16).hexdigest()
        gateway = _at(source.gateway, topic, document) if source.gateway else ""
        value = _at(source.value, topic, document) if source.value else ""
        kept = b64encode(payload[: source.payload_bytes]).decode()
        self._messages.row((t_ns, topic, len(payload), digest, int(retain), *told, gateway, value, kept))
        self._count += 1


def _needs_json(source: Source) -> bool:
    return any(p and p.startswith("/") for p in (*source.identities.values(), source.gateway, source.value))


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _at(place: str, topic: str, document: Any) -> str:
    """What stands at a place in a message, "" for nothing: a topic level, or a JSON value (RFC 6901) as text."""
    if place.startswith("topic:"):
        levels = topic.split("/")
        number = int(place.removeprefix("topic:"))
        return _short(levels[number - 1]) if number <= len(levels) else ""
    for escaped in place.split("/")[1:]:
        token = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(token)
        elif isinstance(document, list) and token.isdecimal() and int(token) < len(document):
            document = document[int(token)]
        else:
            return ""
    if document is None:
        return ""
    return _short(document if isinstance(document, str) else json.dumps(document, sort_keys=True))


def _short(text: str) -> str:
    return (
        text if len(text) <= LONGEST else hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
    )
