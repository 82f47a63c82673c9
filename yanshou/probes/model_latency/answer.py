"""One answer as it came in: pieces with content and their times. Shared by every kind of target. Runs on bare Python 3.8.

It must never count a piece without content as an answer's beginning.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from yanshou.harness.basics import Json
from yanshou.probes.model_latency.pool import digest_of

now = time.perf_counter_ns
"""The clock of all stamps: monotonic."""


class Timeout(Exception):
    """An answer was not whole when its time was over."""


@dataclass
class Answer:
    """What is known of an answer, filled in as it comes. Times are those of `now`, 0 where something never happened.

    `empty`: pieces without content before the first with; `text`: the answer itself; tokens as the target reports them, -1: not.
    """

    start: int = 0
    sent: int = 0
    byte: int = 0
    done: int = 0
    status: str = "ok"
    stamps: list[int] = field(default_factory=list)
    empty: int = 0
    tokens: int = -1
    prompt_tokens: int = -1
    cached_tokens: int = -1
    choices: int = 1
    bytes: int = 0
    parts: list[str] = field(default_factory=list)

    def piece(self, at: int, content: str) -> None:
        """One more piece, read at `at`."""
        if content:
            self.stamps.append(at)
            self.parts.append(content)
        elif not self.stamps:
            self.empty += 1

    def usage(self, told: Json) -> None:
        """Numbers of tokens as OpenAI's interface reports them."""
        if isinstance(told, dict):
            self.tokens = _number(told.get("completion_tokens"), self.tokens)
            self.prompt_tokens = _number(told.get("prompt_tokens"), self.prompt_tokens)
            details = told.get("prompt_tokens_details")
            if isinstance(details, dict):
                self.cached_tokens = _number(details.get("cached_tokens"), self.cached_tokens)

    def finish(self, status: str | None = None) -> None:
        """The end, for better or worse; the first bad news stays."""
        if not self.done:
            self.done = now()
        if status is not None and self.status == "ok":
            self.status = status
        if self.status == "ok" and not "".join(self.parts).strip():
            self.status = "empty"

    def digest(self) -> str:
        """What tells this answer from others."""
        return digest_of("".join(self.parts)) if self.parts else ""


class Target(Protocol):
    """One stream of requests to what is measured: asked one at a time, by one thread."""

    connections: int
    """How many were made; for a process, how often it was started."""

    def ready(self) -> None:
        """Connect, or start it, where that is due: between answers, which is nobody's time. Raises OSError."""

    def prepare(self, number: int, body: Json, /) -> Any:
        """What `ask` will send for request `number` with an input."""

    def ask(self, prepared: Any, answer: Answer, /) -> None:
        """Send it and follow the answer to its end. Everything that may go wrong is the answer's status."""

    def close(self) -> None:
        """End it."""


def _number(value: Json, otherwise: int) -> int:
    return value if type(value) is int and 0 <= value < 1 << 31 else otherwise
