"""The streams of a gnss run and their columns: what the capture writes and the analysis reads. Pure.

raw.bin       every byte of the receiver as it came, and nothing else; further recorded files: raw-002.bin, raw-003.bin, …
chunks.csv    one row per read of raw.bin, in order and without holes: where it lies, and when its first byte was there by this
              host's MONOTONIC and REALTIME clocks. Missing where a file was recorded without.
events.csv    what happened to the link: see EVENTS_KNOWN. The text is for people.
steps.csv     the displacement challenge: offsets from the first place, when the operator was asked and when he said it was
              done, on the clock of chunks.csv. An empty time never came: he was not asked, or never answered.
corrections.bin, corrections.csv  the same two for what the caster sent (input ntrip).
session.json  what was recorded from where, written at the start.    end.json  how it ended, written at the end.
files.json    after a live recording: what was handed over beside it (name, size, SHA-256); else that is in session.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from yanshou.harness.basics import Json

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

RAW, CHUNKS, EVENTS, STEPS = "raw.bin", "chunks.csv", "events.csv", "steps.csv"
CORRECTIONS, CORRECTION_CHUNKS = "corrections.bin", "corrections.csv"
SESSION, END, FILES = "session.json", "end.json", "files.json"
TRUTH = "truth."
"""How the stream of a true trajectory begins; its form follows."""
CHUNK_COLUMNS = "offset,length,monotonic_ns,utc_ns"
EVENT_COLUMNS = "monotonic_ns,utc_ns,event,text"
STEP_COLUMNS = "asked_utc,utc,east_mm,north_mm,up_mm"
EVENTS_KNOWN = {
    "opened": "the receiver's link is up for the first time",
    "lost": "it is gone: unplugged, closed by the far end",
    "reopened": "it is back",
    "sender": "UDP: the address and port of the sender, each new one once",
    "foreign": "UDP: somebody else sends too; not recorded",
    "caster": "the caster gave the mountpoint, for the first time or again",
    "caster_lost": "it does not any more",
    "position": "the GGA that was sent to the caster",
    "untaken": "corrections that the receiver's link did not take",
    "asked": "the operator was asked to move the antenna",
    "moved": "he said that it is done",
    "ended": "recording ended as planned",
}
BLOCK = 1 << 20
FARTHEST_MM = 10_000.0
"""Beyond this it is no displacement on a slide."""
_UTC = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Chunk(NamedTuple):
    """One row of chunks.csv."""

    offset: int
    length: int
    monotonic_ns: int
    utc_ns: int


class Event(NamedTuple):
    """One row of events.csv."""

    monotonic_ns: int
    utc_ns: int
    event: str
    text: str


class Step(NamedTuple):
    """One row of steps.csv: where the antenna was moved to, from its first place. UTC in ns, None where it never came."""

    asked_ns: int | None
    utc_ns: int | None
    east_mm: float
    north_mm: float
    up_mm: float


def part_name(index: int) -> str:
    """The stream of recorded file `index` (0-based)."""
    return RAW if index == 0 else f"raw-{index + 1:03d}.bin"


def parts(evidence: RunEvidence) -> tuple[str, ...]:
    """The raw streams in the order in which they were handed over: one of a live run, one per recorded file."""
    return tuple(
        sorted((n for n in evidence.streams() if re.fullmatch(r"raw(-\d{3})?\.bin", n)), key=lambda n: (len(n), n))
    )


def read_chunks(evidence: RunEvidence) -> Iterator[tuple[int, bytes]]:
    """(UTC in ns at which its first byte was here, bytes) of everything received, in order; 0 where nobody noted it."""
    for name in parts(evidence):
        noted = name == RAW and CHUNKS in evidence.streams()
        with evidence.open(name) as raw:
            for row in read_rows(evidence, CHUNKS) if noted else ():
                if data := raw.read(row.length):
                    yield row.utc_ns, data
            while data := raw.read(BLOCK):  # what no row names: all of a plain file, the last read of a killed run
                yield 0, data


def read_rows(evidence: RunEvidence, name: str) -> Iterator[Chunk]:
    """The rows of chunks.csv or corrections.csv, without a last one that a killed run cut short. Raises ValueError."""
    for line in _lines(evidence, name):
        offset, length, monotonic_ns, utc_ns = map(int, line.split(b","))
        yield Chunk(offset, length, monotonic_ns, utc_ns)


def read_events(evidence: RunEvidence) -> tuple[Event, ...]:
    """All events in order; () for recorded files. Raises ValueError."""
    if EVENTS not in evidence.streams():
        return ()
    rows = (line.decode().rstrip("\n").split(",", 3) for line in _lines(evidence, EVENTS))
    return tuple(Event(int(monotonic), int(utc), event, text) for monotonic, utc, event, text in rows)


def _lines(evidence: RunEvidence, name: str) -> Iterator[bytes]:
    """Whole lines below the header."""
    with evidence.open(name) as f:
        f.readline()
        for line in f:
            if line.endswith(b"\n"):
                yield line


def read_steps(evidence: RunEvidence) -> tuple[Step, ...]:
    """The displacement challenge of a run in order, () where there was none. Raises ValueError, with the line."""
    if STEPS not in evidence.streams():
        return ()
    with evidence.open(STEPS) as f:
        return parse_steps(f.read().decode("utf-8-sig"))


def parse_steps(text: str) -> tuple[Step, ...]:
    """The steps of a CSV with the columns utc, east_mm, north_mm, up_mm and perhaps asked_utc, in any order.

    Raises ValueError `第 n 行：…` for what is no step.
    """
    lines = [line.strip() for line in text.splitlines()]
    columns = [name.strip() for name in (lines[0] if lines else "").split(",")]
    known = STEP_COLUMNS.split(",")
    if sorted(columns) not in (sorted(known), sorted(known[1:])):
        raise ValueError(f"第 1 行：列名须是 {','.join(known[1:])}（可加 {known[0]}）")
    found = []
    for number, line in enumerate(lines[1:], 2):
        if line:
            try:
                found.append(_step(dict(zip(columns, line.split(","), strict=True))))
            except ValueError as error:
                raise ValueError(f"第 {number} 行：{error}") from None
    times = [t for step in found for t in (step.asked_ns, step.utc_ns) if t is not None]
    if times != sorted(times):
        raise ValueError("时刻没有从早到晚")
    return tuple(found)


def _step(cells: dict[str, str]) -> Step:
    asked = cells.get("asked_utc", "").strip()
    done = cells["utc"].strip()
    offsets = [float(cells[name]) for name in ("east_mm", "north_mm", "up_mm")]
    if not all(abs(value) <= FARTHEST_MM for value in offsets):
        raise ValueError(f"位移须在 ±{FARTHEST_MM:g} mm 之内")
    return Step(utc_ns(asked) if asked else None, utc_ns(done) if done else None, *offsets)


def utc_ns(text: str) -> int:
    """UTC in ns since 1970 of an ISO 8601 time with its zone. Raises ValueError: it never guesses a zone."""
    found = _UTC.fullmatch(text)
    if not found:
        raise ValueError(f"时刻“{text}”不认识，写成 2025-06-01T02:03:04.500Z 或 2025-06-01T10:03:04.500+08:00")
    day, clock, fraction, zone = found.groups()
    whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else f'{zone[:3]}:{zone[-2:]}'}")
    return (whole - _EPOCH) // timedelta(seconds=1) * 10**9 + int((fraction or "0").ljust(9, "0"))


def utc_text(ns: int) -> str:
    """Inverse of `utc_ns`, with all nine decimals."""
    return f"{_EPOCH + timedelta(seconds=ns // 10**9):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def read_session(evidence: RunEvidence) -> dict[str, Json]:
    """What was recorded from where."""
    with evidence.open(SESSION) as f:
        session: dict[str, Json] = json.load(f)
    return session


def read_end(evidence: RunEvidence) -> dict[str, Json] | None:
    """How recording ended; None where it was killed."""
    if END not in evidence.streams():
        return None
    with evidence.open(END) as f:
        end: dict[str, Json] = json.load(f)
    return end
