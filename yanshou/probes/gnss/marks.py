"""Marks that a person set in the course of a run: a new session, and which source of the fusion was switched off when. Pure.

marks.csv has the columns utc (ISO 8601 with its zone) and mark: `session`, `off NAME` or `on NAME`.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yanshou.probes.gnss.due import END_OF_TIME, Span
from yanshou.probes.gnss.streams import utc_ns

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

MARKS = "marks.csv"
COLUMNS = ["utc", "mark"]
_SWITCHED = re.compile(r"(off|on) (\S+)")


@dataclass(frozen=True)
class Ablation:
    """A source was off in [begin_ns, end_ns), UTC."""

    source: str
    begin_ns: int
    end_ns: int


@dataclass(frozen=True)
class Marks:
    """Everything that was marked, in order."""

    sessions_ns: tuple[int, ...] = ()
    ablations: tuple[Ablation, ...] = ()

    def spans(self) -> list[Span]:
        """As time that is not judged; a new session takes none itself."""
        new = [Span(t, t, "pause", then_initialise=True) for t in self.sessions_ns]
        return [*new, *(Span(a.begin_ns, a.end_ns, "ablation", then_initialise=True) for a in self.ablations)]


NO_MARKS = Marks()


def read_marks(evidence: RunEvidence) -> Marks:
    """The marks of a run, none where none were handed in. Raises ValueError."""
    if MARKS not in evidence.streams():
        return NO_MARKS
    with evidence.open(MARKS) as f:
        return parse_marks(f.read().decode("utf-8-sig"))


def parse_marks(text: str) -> Marks:
    """Raises ValueError `第 n 行：…` for what is no mark, or out of order."""
    rows = csv.reader(io.StringIO(text))
    if [name.strip() for name in next(rows, [])] != COLUMNS:
        raise ValueError(f"第 1 行：列名须是 {','.join(COLUMNS)}")
    sessions: list[int] = []
    ablations: list[Ablation] = []
    off: dict[str, int] = {}
    last = 0
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        try:
            (when, mark), place = (cell.strip() for cell in row), f"第 {number} 行："
            now = utc_ns(when)
        except ValueError as error:
            raise ValueError(f"第 {number} 行：{error}") from None
        if now < last:
            raise ValueError(f"{place}时刻没有从早到晚")
        last = now
        switched = _SWITCHED.fullmatch(mark)
        if mark == "session":
            sessions.append(now)
        elif switched and switched[1] == "off" and switched[2] not in off:
            off[switched[2]] = now
        elif switched and switched[1] == "on" and switched[2] in off:
            ablations.append(Ablation(switched[2], off.pop(switched[2]), now))
        else:
            raise ValueError(f"{place}“{mark}”不是 session、off 名称，也不是先 off 后 on 的 on 名称")
    ablations += [Ablation(source, begin, END_OF_TIME) for source, begin in off.items()]
    return Marks(tuple(sessions), tuple(ablations))
