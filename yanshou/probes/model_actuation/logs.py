"""Reads triggers and actuations out of logs that others recorded, by their formats' own libraries.

It is for one stream of events whatever the log. It must never order events by anything but the log's own clock, never guess a
frame, and never lose a trigger: one that cannot be decoded has no frame. The libraries are optional and imported when a log of
their kind is read.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.importing import like, one_line, unmerged
from yanshou.probes.model_actuation.streams import ACTUATION, LONGEST_FRAME, TRIGGER

if TYPE_CHECKING:
    from yanshou.probes.model_actuation.spec import Params

Event = tuple[str, int, str]
"""Kind, time in ns, frame."""
Decoder = Callable[[bytes], Any]
MISSING = "装上可选组件：pip install 'yanshou[logs]'"


def events(path: Path, dbc: Path | None, params: Params, counts: Counter[str]) -> Iterator[Event]:
    """Every trigger and actuation of a log, in its order; `counts` gets "messages" and "undecodable".

    Raises ProbeError ACT-E02 (log or DBC cannot be read), E03 (no such topic, message or signal), E05 (library missing).
    """
    try:
        if path.suffix.lower() == ".mcap":
            yield from _mcap(path, params, counts)
        elif path.suffix.lower() == ".db3":
            yield from _bag(path, params, counts)
        else:
            assert dbc is not None
            yield from _can(path, dbc, params, counts)
    except ImportError as error:
        raise ProbeError("ACT-E05", f"没有安装读 {path.suffix} 日志的 {error.name}", MISSING) from None
    except ProbeError:
        raise
    except Exception as error:  # the libraries' own errors share no base class
        why = one_line(str(error)) or type(error).__name__
        raise ProbeError(
            "ACT-E02", f"{path.name} 读不下去：{why}", "确认文件完整（如用 mcap doctor 检查），重新导出"
        ) from None


def _sides(params: Params) -> tuple[tuple[str, str, str], ...]:
    """(kind, topic or message, where its frame is)."""
    return ((TRIGGER, params.trigger, params.trigger_frame), (ACTUATION, params.actuation, params.actuation_frame))


def _frame(value: Any) -> str:
    """A frame as text: whole numbers without a point, a ROS time as its nanoseconds. Raises ValueError for what names no frame."""
    if hasattr(value, "sec") and hasattr(value, "nanosec"):
        value = value.sec * 1_000_000_000 + value.nanosec
    elif isinstance(value, dict) and {"sec", "nanosec"} <= value.keys():
        value = int(value["sec"]) * 1_000_000_000 + int(value["nanosec"])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise ValueError
    text = str(value)
    if not 0 < len(text) <= LONGEST_FRAME or any(c in ',"' or not c.isprintable() for c in text):
        raise ValueError
    return text


def _event(kind: str, at: int, frame: str, counts: Counter[str]) -> Iterator[Event]:
    """A trigger whose frame cannot be read stays, without one; such an actuation is nobody's."""
    counts["undecodable"] += not frame
    if frame or kind == TRIGGER:
        yield kind, at, frame


def _field(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = message[name] if isinstance(message, dict) else getattr(message, name)
    return message


def _mcap(path: Path, params: Params, counts: Counter[str]) -> Iterator[Event]:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    sides = _sides(params)
    with path.open("rb") as f:
        reader = make_reader(f)
        summary = reader.get_summary()
        if summary:
            _require_topics(path, sides, sorted({channel.topic for channel in summary.channels.values()}))
        factory = DecoderFactory()
        decoders: dict[int, Decoder | None] = {}
        for schema, channel, message in reader.iter_messages(topics=list({topic for _, topic, _ in sides})):
            if channel.id not in decoders:
                is_json = channel.message_encoding == "json"
                decoders[channel.id] = json.loads if is_json else factory.decoder_for(channel.message_encoding, schema)
            counts["messages"] += 1
            yield from _decoded(sides, channel.topic, message.log_time, message.data, decoders[channel.id], counts)


def _bag(path: Path, params: Params, counts: Counter[str]) -> Iterator[Event]:
    """A bag in SQLite as rosbag2 has written it since ROS 2 Iron, with its definitions of messages; by the recorder's time."""
    import sqlite3

    from mcap.records import Schema
    from mcap_ros2.decoder import DecoderFactory

    if beside := unmerged(path):
        text = f"{path.name} 旁边的 {beside} 里有还没有并入的消息，只读主文件会漏掉"
        raise ProbeError("ACT-E02", text, "停止录制后用 ros2 bag convert 转成 mcap，或合并后再拷贝")
    sides = _sides(params)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as bag:
        topics = {name: (number, kind, form) for number, name, kind, form in bag.execute(_TOPICS)}
        _require_topics(path, sides, sorted(topics))
        told = bag.execute(_DEFINITIONS).fetchall() if bag.execute(_HAS_DEFINITIONS).fetchone() else []
        definitions = {kind: (encoding, text) for kind, encoding, text in told}
        factory = DecoderFactory()
        wanted: dict[int, tuple[str, Decoder | None]] = {}
        for name in {topic for _, topic, _ in sides}:
            number, kind, form = topics[name]
            if kind not in definitions:
                text = f"{path.name} 里没有 {kind} 的消息定义（ROS 2 Humble 及以前录的包）"
                raise ProbeError("ACT-E02", one_line(text), "用 ros2 bag convert 转成 mcap")
            encoding, text = definitions[kind]
            wanted[number] = name, factory.decoder_for(form, Schema(number, text.encode(), encoding, kind))
        marks = ",".join("?" * len(wanted))
        for number, at, data in bag.execute(_MESSAGES.format(marks), list(wanted)):
            counts["messages"] += 1
            yield from _decoded(sides, wanted[number][0], at, data, wanted[number][1], counts)


_TOPICS = "SELECT id, name, type, serialization_format FROM topics"
_HAS_DEFINITIONS = "SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'"
_DEFINITIONS = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
_MESSAGES = "SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({}) ORDER BY timestamp, id"


def _require_topics(path: Path, sides: tuple[tuple[str, str, str], ...], topics: list[str]) -> None:
    for _, topic, _ in sides:
        if topic not in topics:
            text = f"{path.name} 里没有话题 {topic}{like(topic, topics)}"
            raise ProbeError("ACT-E03", one_line(text), one_line(f"改正话题；现有：{'、'.join(topics[:20])}"))


def _decoded(
    sides: tuple[tuple[str, str, str], ...],
    topic: str,
    at: int,
    data: bytes,
    decode: Decoder | None,
    counts: Counter[str],
) -> Iterator[Event]:
    """What one message is, to each side whose topic it has."""
    for kind, wanted, where in sides:
        if wanted == topic:
            try:
                frame = "" if decode is None else _frame(_field(decode(data), where))
            except (ValueError, LookupError, AttributeError, TypeError, RecursionError, struct.error):
                frame = ""
            yield from _event(kind, at, frame, counts)


def _can(path: Path, dbc: Path, params: Params, counts: Counter[str]) -> Iterator[Event]:
    import cantools

    try:
        database: Any = cantools.database.load_file(str(dbc), database_format="dbc")
    except Exception as error:  # as above
        raise ProbeError(
            "ACT-E02", f"{dbc.name} 不是能读的 DBC：{one_line(str(error))}", "换成与日志配套的 DBC"
        ) from None
    wanted: dict[tuple[int, bool], list[tuple[str, Any, str]]] = {}
    names = [message.name for message in database.messages]
    for kind, name, signal in _sides(params):
        if name not in names:
            text = f"{dbc.name} 里没有报文 {name}{like(name, names)}"
            raise ProbeError("ACT-E03", text, "改正报文名，或换成与日志配套的 DBC")
        message = database.get_message_by_name(name)
        signals = [s.name for s in message.signals]
        if signal not in signals:
            text = f"报文 {name} 没有信号 {signal}{like(signal, signals)}"
            raise ProbeError("ACT-E03", text, f"改正信号名；现有：{'、'.join(signals[:20])}")
        wanted.setdefault((message.frame_id, message.is_extended_frame), []).append((kind, message, signal))
    for received in _received(path):
        counts["messages"] += 1
        if received.is_error_frame or received.is_remote_frame:
            continue
        for kind, message, signal in wanted.get((received.arbitration_id, received.is_extended_id), ()):
            try:
                frame = _frame(message.decode(bytes(received.data), decode_choices=False)[signal])
            except (ValueError, LookupError, cantools.database.errors.Error):
                frame = ""
            yield from _event(kind, round(received.timestamp * 1e9), frame, counts)


def _received(path: Path) -> Iterator[Any]:
    """Every message of a CAN log."""
    import can

    if path.suffix.lower() == ".blf":
        with path.open("rb") as f:
            yield from can.BLFReader(f)
    else:
        with path.open(encoding="utf-8", errors="replace") as text:
            yield from can.ASCReader(text)
