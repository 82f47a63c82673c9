"""What a capture is given: where to record, its seed, somebody to tell, and perhaps somebody to ask.

It is apart from the contract because captures also run on terminals that have nothing but Python 3.8: it must never need a
package. It must never know a limit, a plan or a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yanshou.harness.evidence import EvidenceSink

    Answered = Callable[[], bool]
    """Whether a question was answered by now. Returns at once, so that recording goes on meanwhile."""


@dataclass(frozen=True)
class Progress:
    """Live news from a capture: `done` of `planned`, `lost` so far and the values since the last news, in probe units."""

    done: int
    planned: int
    lost: int = 0
    values: Sequence[float] = ()
    text: str = ""


def nobody(_text: str) -> None:
    """There is no person who could do what a capture asks for."""


@dataclass(frozen=True)
class RunContext:
    """What a capture may use: where to record, the run's seed, the case folder for relative inputs, a listener.

    `ask` puts a request to the person at the instrument (move the antenna, then press Enter); None where nobody is there.
    """

    sink: EvidenceSink
    seed: int
    folder: Path
    subject: str | None = None
    progress: Callable[[Progress], None] = lambda _news: None
    ask: Callable[[str], Answered | None] = nobody
