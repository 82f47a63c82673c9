"""Whether pictures matter: an input is asked again as it is, with another input's picture, and with a blank one.

It is for a model that is said to see. At temperature 0 the same input gives the same answer, so that a changed one shows that the
picture was looked at. It must never touch what was timed: it runs after it. Runs on bare Python 3.8.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence

from yanshou.harness.basics import Json, ProbeError

PREFIX = "data:image/"
SAME, SWAPPED, BLANKED = "same", "swapped", "blank"


def png(width: int, height: int, grey: bytes) -> str:
    """A picture of width x height grey values as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + grey[at : at + width] for at in range(0, width * height, width))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return PREFIX + "png;base64," + base64.b64encode(data).decode()


def pictures(value: Json) -> list[str]:
    """Every picture of an input: strings that are data URLs of one."""
    if isinstance(value, dict):
        return [found for item in value.values() for found in pictures(item)]
    if isinstance(value, list):
        return [found for item in value for found in pictures(item)]
    return [value] if isinstance(value, str) and value.startswith(PREFIX) else []


def with_picture(value: Json, picture: str) -> Json:
    """The input with every picture replaced by one."""
    if isinstance(value, dict):
        return {key: with_picture(item, picture) for key, item in value.items()}
    if isinstance(value, list):
        return [with_picture(item, picture) for item in value]
    return picture if isinstance(value, str) and value.startswith(PREFIX) else value


def variants(inputs: Sequence[Json], number: int) -> Iterator[tuple[int, str, Json]]:
    """(place, variant, input) of the first `number` inputs, in the order to ask. Raises ProbeError LAT-E02 where one has no picture
    or all have the same."""
    blank = png(224, 224, b"\x80" * (224 * 224))
    own = [pictures(value) for value in inputs]
    for at in range(number):
        other = next((found[0] for found in own[at + 1 :] + own[:at] if found and found != own[at]), None)
        if not own[at] or other is None:
            text = "ablate 要换图，抽到的输入里没有图，或图都相同"
            raise ProbeError("LAT-E02", text, f"每行放一张不同的图，写作 {PREFIX}…;base64,…；不是多模态就去掉 ablate")
        yield at, SAME, inputs[at]
        yield at, SWAPPED, with_picture(inputs[at], other)
        yield at, BLANKED, with_picture(inputs[at], blank)
