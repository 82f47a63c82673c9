"""What the sources share on the reading side: JSON lines back, and the tally of one identity. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from yanshou.harness.evidence import RunEvidence

DISTINCT_AT_MOST = 1000
"""Different payloads told apart per identity; more are as good as these, and memory stays bounded."""
SHOWN = 5


def json_lines(evidence: RunEvidence, name: str) -> Iterator[dict[str, Any]]:
    """The rows of stream `name`, none where it was never opened. A last line without its end (an interrupted run) is left out.

    Raises ValueError for a line that is no JSON object.
    """
    if name not in evidence.streams():
        return
    with evidence.open(name) as stream:
        for line in stream:
            if line.endswith(b"\n"):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"{name}: not an object")
                yield row


def some(names: Sequence[str]) -> str:
    """The first few of `names`, and how many there are, for a finding."""
    return "、".join(names[:SHOWN]) + (f" 等 {len(names)} 个" if len(names) > SHOWN else "")


class Tally:
    """First and last time, number and variety of what one identity said, in bounded memory."""

    __slots__ = ("_content", "_distinct", "first_ns", "last_ns", "messages")

    def __init__(self) -> None:
        self.first_ns = self.last_ns = self.messages = 0
        self._distinct: set[bytes] = set()
        self._content = hashlib.sha256()

    def seen(self, t_ns: int) -> None:
        """It was there at `t_ns`."""
        self.first_ns = self.first_ns or t_ns
        self.last_ns = t_ns

    def say(self, t_ns: int, payload: bytes) -> None:
        """It said `payload` at `t_ns`."""
        self.seen(t_ns)
        self.messages += 1
        digest = hashlib.sha256(payload).digest()
        self._content.update(digest)
        if len(self._distinct) < DISTINCT_AT_MOST:
            self._distinct.add(digest[:8])

    @property
    def distinct_values(self) -> int:
        """Different payloads, at most DISTINCT_AT_MOST."""
        return len(self._distinct)

    @property
    def content(self) -> str:
        """Digest of the sequence of payloads, "" when there was none."""
        return self._content.hexdigest() if self.messages else ""
