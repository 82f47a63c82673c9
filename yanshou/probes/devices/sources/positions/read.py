"""Recorded positions -> terminals that had a stream of their own in one common window, and those that are one receiver. Pure.

It must never take a row in a list for a terminal that reports: that is a declaration.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from yanshou.formats.boundaries import Plane
from yanshou.harness.evidence import RunEvidence, sha256_bytes
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation, Tie
from yanshou.probes.devices.sources.positions.clones import Stream, same_receiver, untested
from yanshou.probes.devices.sources.positions.params import Source
from yanshou.probes.devices.sources.tally import DISTINCT_AT_MOST, some
from yanshou.probes.positions import PositionTable, Reported, read_fixes, streams_of
from yanshou.probes.texts import BEIJING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 3
"""Valid positions within the window that make a stream; fewer are rows of a list."""
_SECOND, _MINUTE = 10**9, 60 * 10**9


def parts(source: Source) -> dict[str, Reported]:
    """Name in evidence -> the positions taken in under it."""
    return {f"positions-{n}": reported for n, reported in enumerate(source.fixes, 1)}


@dataclass(frozen=True)
class _Terminal:
    """What one terminal said within the window: `fixes` valid positions, and the first of each second as a stream."""

    name: str
    fixes: int
    t_s: NDArray[np.int64]
    degrees: NDArray[np.float64]


@dataclass(frozen=True)
class _Recording:
    """Everything that the three questions below ask for. `start_ns`: of the window; `named`: terminals with any row."""

    terminals: tuple[_Terminal, ...]
    named: tuple[str, ...]
    start_ns: int
    broken: int


@dataclass(frozen=True)
class _Part:
    """A source's evidence, the same as long as its bytes are: the three questions share one reading."""

    source: Source
    digests: tuple[str, ...]
    evidence: RunEvidence = field(compare=False)


def _recording(evidence: RunEvidence, source: Source) -> _Recording:
    """Raises KeyError (no such stream), ValueError (unreadable, column missing)."""
    every = evidence.streams()
    streams = [stream for name, part in parts(source).items() for stream in streams_of(name, part, every)]
    return _read(_Part(source, tuple(evidence.sha256(stream) for stream in streams), evidence))


@lru_cache(maxsize=1)
def _read(part: _Part) -> _Recording:
    """Two passes: in which minutes who reported; then what was said in the best window."""
    import numpy as np

    names: dict[str, int] = {}
    minutes: Counter[tuple[int, int]] = Counter()
    broken = 0
    for name, reported in parts(part.source).items():
        for fixes in read_fixes(part.evidence, name, reported, names):
            broken += fixes.broken
            good = fixes.where(fixes.valid)
            keys, many = np.unique(np.column_stack([good.terminal, good.t_ns // _MINUTE]), axis=0, return_counts=True)
            minutes.update({(int(who), int(when)): int(n) for (who, when), n in zip(keys, many, strict=True)})
    start, length = _best(minutes, part.source.window_s), part.source.window_s * _SECOND
    counts: Counter[int] = Counter()
    said: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)
    for name, reported in parts(part.source).items():
        for fixes in read_fixes(part.evidence, name, reported, names):
            inside = fixes.where(fixes.valid & (fixes.t_ns >= start) & (fixes.t_ns < start + length))
            counts.update(inside.terminal.tolist())
            for who, when, (x, y) in zip(
                inside.terminal.tolist(), (inside.t_ns // _SECOND).tolist(), inside.degrees.tolist(), strict=True
            ):
                said[who].setdefault(when, (x, y))
    terminals = []
    for name, who in names.items():
        if counts[who] >= LEAST:
            when = sorted(said[who])
            degrees = np.array([said[who][t] for t in when], dtype=np.float64)
            terminals.append(_Terminal(name, counts[who], np.array(when, dtype=np.int64), degrees))
    return _Recording(tuple(terminals), tuple(names), start, broken)


def _best(minutes: Counter[tuple[int, int]], window_s: int) -> int:
    """Start (UTC ns, a whole minute) of the window in which most terminals have LEAST positions; 0 without any.

    Among equals the one with most positions, then the earliest.
    """
    width = -(-window_s // 60)
    of_terminal: dict[int, dict[int, int]] = defaultdict(dict)
    for (who, when), n in minutes.items():
        of_terminal[who][when] = n
    live, fixes = Counter[int](), Counter[int]()
    for own in of_terminal.values():
        for start in {when - back for when in own for back in range(width)}:
            n = sum(own.get(start + k, 0) for k in range(width))
            fixes[start] += n
            live[start] += n >= LEAST
    return min(live, key=lambda s: (-live[s], -fixes[s], s), default=0) * _MINUTE


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per terminal with a stream in the window. When it came online is unknown: a recording begins for all at once."""
    import numpy as np

    for t in _recording(evidence, source).terminals:
        distinct = min(len(np.unique(t.degrees, axis=0)), DISTINCT_AT_MOST)
        content = sha256_bytes(np.ascontiguousarray(t.degrees).tobytes())
        last_ns = int(t.t_s[-1]) * _SECOND
        yield Observation(source.identity, t.name, source.name, 0, last_ns, t.fixes, distinct, content)


def _streams(recording: _Recording) -> list[Stream]:
    import numpy as np

    if not recording.terminals:
        return []
    x, y = np.median(np.concatenate([t.degrees for t in recording.terminals]), axis=0)
    plane = Plane(float(x), float(y))
    return [Stream(t.t_s, plane.metres(t.degrees)) for t in recording.terminals]


def ties(evidence: RunEvidence, source: Source) -> Iterator[Tie]:
    """Terminals that are one receiver: never `apart_m` from each other, or with the noise or path of another one."""
    recording = _recording(evidence, source)
    for pair in same_receiver(_streams(recording), source.apart_m):
        a, b = ((source.identity, recording.terminals[n].name) for n in (pair.first, pair.second))
        yield Tie(a, b, "DEV-X-NEAR" if pair.near else "DEV-X-CLONE", pair.text)


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What the recording itself shows."""
    where = f"来源 {source.name}："
    every = evidence.streams()
    streams = [streams_of(name, part, every) for name, part in parts(source).items()]
    if not all(found and set(found) <= set(every) for found in streams):
        yield Validity("POS-V01", Severity.INVALID, f"{where}定位记录没有收入证据")
        return
    recording = _recording(evidence, source)
    own = {t.name for t in recording.terminals}
    if not own:
        text = "没有一个终端有自己的定位流，只是名单：申报的数，不是测得的数"
        yield Validity("POS-V02", Severity.INVALID, where + text)
        return
    start = datetime.fromtimestamp(recording.start_ns // _SECOND, UTC).astimezone(BEIJING)
    text = f"共同窗口 {start:%Y-%m-%d %H:%M} 起 {source.window_s} 秒（北京时间），其间有定位流的终端 {len(own)} 个"
    yield Validity("POS-V03", Severity.INFO, where + text)
    listed = [name for name in recording.named if name not in own]
    if listed:
        text = f"{len(listed)} 个终端在窗口内的有效定位不足 {LEAST} 个，只算申报：{some(listed)}"
        yield Validity("POS-V04", Severity.WARNING, where + text)
    if recording.broken:
        yield Validity("POS-V05", Severity.WARNING, f"{where}{recording.broken} 行读不出终端、时刻或位置")
    if any(isinstance(part, PositionTable) for part in source.fixes):
        text = "定位记录是平台导出的表，不是各终端自己的原始输出"
        yield Validity("POS-V07", Severity.INFO, where + text)
    few = [recording.terminals[n].name for n in untested(_streams(recording))]
    if few:
        text = f"{len(few)} 个终端的定位太稀或太粗，看不出是否抄自别的终端：{some(few)}"
        yield Validity("POS-V06", Severity.WARNING, where + text)
