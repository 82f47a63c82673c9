"""Protocol Buffers on the wire: what a message's bytes say by field number, and bytes from fields.

Source: protobuf.dev, "Encoding" and "Field presence" (proto3). It is for reading and hashing recorded messages without their
generated code, so that evidence can be verified with nothing installed. A message inside another is read only when asked for,
so whoever asks bounds the nesting. It must never do I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

Value: TypeAlias = "int | bytes"
"""Of a varint or a fixed number its unsigned value, of everything else its bytes."""
MOST_FIELDS = 1 << 20
"""Fields of one message, beyond which it is taken for an attack."""
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises ValueError, IndexError."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise ValueError("varint of more than 64 bits")
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _fields(data: bytes) -> Iterator[tuple[int, Value, int, int]]:
    """(number, value, where it begins with its tag, where it ends) of each field. Raises ValueError."""
    at, size = 0, len(data)
    for _ in range(MOST_FIELDS):
        if at == size:
            return
        start = at
        try:
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            value: Value
            if kind == _DELIMITED:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            elif kind == _VARINT:
                value, at = _varint(data, at)
            else:
                value, at = int.from_bytes(data[at : at + _WIDTH[kind]], "little"), at + _WIDTH[kind]
        except (IndexError, KeyError):
            raise ValueError("not a protobuf message") from None
        if at > size or not number:
            raise ValueError("not a protobuf message")
        yield number, value, start, at
    raise ValueError("too many fields in a message")


class Message:
    """A message by field numbers, read as proto3 does: what is absent is zero or empty, of a single field the last counts.

    All raise ValueError where a field is of another kind than asked for.
    """

    __slots__ = ("_values", "raw")

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is no message."""
        self.raw = data
        self._values: dict[int, list[Value]] = {}
        for number, value, _, _ in _fields(data):
            self._values.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._values

    def all(self, number: int) -> list[bytes]:
        """Every value of a repeated field of bytes, texts or messages."""
        values = self._values.get(number, ())
        found = [value for value in values if isinstance(value, bytes)]
        if len(found) != len(values):
            raise ValueError(f"field {number} is a number")
        return found

    def blob(self, number: int) -> bytes:
        """A field of bytes."""
        values = self.all(number)
        return values[-1] if values else b""

    def text(self, number: int) -> str:
        """A field of text (UTF-8)."""
        return self.blob(number).decode()

    def texts(self, number: int) -> list[str]:
        """A repeated field of texts."""
        return [value.decode() for value in self.all(number)]

    def number(self, number: int) -> int:
        """A field that is an unsigned number, a flag or an enum."""
        value = self._values.get(number, (0,))[-1]
        if isinstance(value, bytes):
            raise ValueError(f"field {number} is no number")
        return value

    def signed(self, number: int) -> int:
        """A field of int32 or int64."""
        value = self.number(number)
        return value - (1 << 64) if value >> 63 else value

    def message(self, number: int) -> Message:
        """A message inside; an empty one where there is none. Several are one after another, as protobuf merges them."""
        return Message(b"".join(self.all(number)))

    def messages(self, number: int) -> list[Message]:
        """A repeated field of messages."""
        return [Message(value) for value in self.all(number)]

    def mapping(self, number: int) -> dict[str, bytes]:
        """A map of text to bytes or messages."""
        return {entry.text(1): entry.blob(2) for entry in self.messages(number)}


def without(data: bytes, numbers: Collection[int]) -> bytes:
    """A message's bytes as they are, but for the fields `numbers`. Raises ValueError for what is no message."""
    return b"".join([data[start:end] for number, _, start, end in _fields(data) if number not in numbers])


def only(data: bytes, numbers: Collection[int]) -> bytes:
    """A message's bytes as they are, of the fields `numbers`. Raises ValueError for what is no message."""
    return b"".join([data[start:end] for number, _, start, end in _fields(data) if number in numbers])


def edited(data: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """A message's bytes as they are, but with `change` made to its field `number`. Raises ValueError."""
    out = []
    for found, value, start, end in _fields(data):
        if found == number and isinstance(value, bytes):
            out.append(part(number, change(value)))
        else:
            out.append(data[start:end])
    return b"".join(out)


def varint(value: int) -> bytes:
    """A number of up to 64 bits; a negative one as int32 and int64 write it."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def part(number: int, value: bytes | str) -> bytes:
    """A field of bytes, text or a message, also when it is empty: an element of a repeated field, a message that is there."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _DELIMITED) + varint(len(data)) + data


def field(number: int, value: int | bytes | str) -> bytes:
    """A single field; nothing where it is zero or empty, as proto3 writes it."""
    if not value:
        return b""
    return varint(number << 3 | _VARINT) + varint(value) if isinstance(value, int) else part(number, value)
