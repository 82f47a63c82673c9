"""What a STEP file (ISO 10303-21, the clear text of IFC) says of itself: header, number of instances, and whether it is whole.

It is for finding out whether a reader of models, which skips what it cannot parse, has really read everything. It must never keep
the model: statement by statement in bounded memory. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

CHUNK = 1 << 20
LONGEST_STATEMENT = 64 << 20
START, END = b"ISO-10303-21", b"END-ISO-10303-21"
_TOKEN = re.compile(rb"'[^']*(?:'|\Z)|/\*.*?(?:\*/|\Z)|/\Z|;", re.DOTALL)
"""A string (a doubled quote is two strings side by side), a comment, the end of a statement; or what may become one of these."""
_INSTANCE = re.compile(rb"\s*#\s*[0-9]+\s*=\s*([A-Za-z0-9_]*)")
_STRING = re.compile(rb"'((?:[^']|'')*)'")


class BadStep(ValueError):
    """A file that is no STEP file: what is wrong, in Chinese."""


@dataclass(frozen=True)
class Step:
    """`schema` as the header names it, `name`, `written` (its time stamp), `system`; `instances` by type in upper case.

    `whole`: the file ends as it has to.
    """

    schema: str
    name: str
    written: str
    system: str
    instances: Counter[str]
    whole: bool

    @property
    def total(self) -> int:
        """All instances."""
        return self.instances.total()


def read_step(stream: BinaryIO) -> Step:
    """One pass over a file. Raises BadStep."""
    header: dict[bytes, list[str]] = {}
    instances: Counter[str] = Counter()
    first, last = True, b""
    for statement in _statements(stream):
        if first and statement.strip().lstrip(b"\xef\xbb\xbf") != START:
            raise BadStep("不以 ISO-10303-21; 开头")
        first = False
        if match := _INSTANCE.match(statement):
            instances[match[1].decode().upper()] += 1
        elif (keyword := statement.strip().partition(b"(")[0].strip().upper()).startswith(b"FILE_"):
            header[keyword] = [_text(cell) for cell in _STRING.findall(statement)]
        last = statement.strip()
    if first:
        raise BadStep("不以 ISO-10303-21; 开头")
    names = [*header.get(b"FILE_NAME", []), "", ""]
    schema = next(iter(header.get(b"FILE_SCHEMA", [])), "")
    system = names[-4] if len(names) > 5 else ""
    return Step(schema, names[0], names[1], system, instances, last == END)


def _text(cell: bytes) -> str:
    return cell.replace(b"''", b"'").decode("utf-8", "replace")


def _statements(stream: BinaryIO) -> Iterator[bytes]:
    """What stands before each semicolon, comments left out; what follows the last one is none."""
    rest = b""
    while chunk := stream.read(CHUNK):
        rest += chunk
        begin, parts = 0, list[bytes]()
        at = 0
        while token := _TOKEN.search(rest, at):
            at = token.end()
            if at == len(rest) and not _is_whole(token[0]):
                break
            if token[0] == b";":
                yield b"".join(parts) + rest[begin : token.start()]
                begin, parts = at, []
            elif token[0].startswith(b"/*"):
                parts.append(rest[begin : token.start()])
                begin = at
        rest = b"".join(parts) + rest[begin:]
        if len(rest) > LONGEST_STATEMENT:
            raise BadStep(f"有一条语句超过 {LONGEST_STATEMENT >> 20} MiB")


def _is_whole(token: bytes) -> bool:
    if token.startswith(b"/"):
        return len(token) >= 4 and token.endswith(b"*/")
    return token == b";" or (len(token) >= 2 and token.endswith(b"'"))
