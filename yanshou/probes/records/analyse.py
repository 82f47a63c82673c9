"""Counts the rows of a frozen export: gross -> each exclusion in order -> net, with per-day figures and the audit's result.

It is for giving the same count from the same bytes, forever. It must never touch the world and never know a limit. The
export is streamed; memory holds one 16-byte digest per distinct key (about 130 bytes with Python's overhead, so some
eight million keys a GiB).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence, digest_file, sha256_bytes
from yanshou.harness.model import Audit, Count, Exclusion, Severity, Validity
from yanshou.probes.codes import VALID
from yanshou.probes.reading import MANGLED, Key, read_table, text_encoding
from yanshou.probes.records.sme import is_sme
from yanshou.probes.records.spec import Exclude, Params, Window
from yanshou.probes.sampling import RESULT, RESULTS, draw_sample
from yanshou.probes.texts import moment, plain

EXPORT, AUDIT, IMPORT = "export.csv", "audit.csv", "import.json"
RECENT_DAYS = 7
RECENT_SHARE = 0.5
MANGLED_SHARE = 0.01
REGULAR_ROWS = 1000
_DAY = timedelta(days=1)


def normaliser(params: Params) -> Callable[[list[str]], Key]:
    """Key cells -> the key in its declared normal form."""
    steps: dict[str, Callable[[str], str]] = {
        "nfkc": partial(unicodedata.normalize, "NFKC"),
        "strip": str.strip,
        "upper": str.upper,
    }
    chosen = [steps[name] for name in params.normalise]

    def normal(cell: str) -> str:
        for step in chosen:
            cell = step(cell)
        return cell

    return lambda cells: tuple(map(normal, cells))


def key_digest(key: Key) -> bytes:
    """16 bytes that stand for a key in memory. Its repr tells ("ab", "c") from ("a", "bc"), whatever the cells hold."""
    return hashlib.blake2b(repr(key).encode(), digest_size=16).digest()


def _predicate(rule: Exclude) -> Callable[[str], object]:
    if rule.empty is not None:
        return lambda cell: (not cell) is rule.empty
    if rule.matches is not None:
        return re.compile(rule.matches).search
    if rule.contains is not None:
        fragment = plain(rule.contains)
        return lambda cell: fragment in cell
    if rule.invalid is not None:
        valid = VALID[rule.invalid]
        return lambda cell: not valid(cell)
    operands = frozenset(plain(operand) for operand in (rule.one_of or (rule.equals or "",)))
    return operands.__contains__


def _test(rule: Exclude, columns: Key) -> Callable[[list[str]], str | None]:
    """A row -> the code of the reason that the rule gives for leaving it out, or None. Raises ValueError as `admitted` does."""
    at, code = columns.index(rule.column), rule.code
    if rule.not_sme is None:
        hits = _predicate(rule)
        return lambda row: code if hits(plain(row[at])) else None
    size = [columns.index(c) if c else None for c in (rule.not_sme.staff, rule.not_sme.revenue, rule.not_sme.assets)]
    outcome = {True: None, False: code, None: f"{code}-UNKNOWN"}
    return lambda row: outcome[is_sme(plain(row[at]), *("" if n is None else plain(row[n]) for n in size))]


def reasons(params: Params) -> dict[str, str]:
    """Code -> Chinese text of every exclusion that `params` applies, in order of application."""
    texts = {"REC-X-RAGGED": "列数与表头不符或引号不配对", "REC-X-KEY": "关键列为空"}
    if params.time:
        texts["REC-X-TIME"] = "时间为空或无法识别"
    if params.window:
        texts["REC-X-WINDOW"] = f"不在时间窗口 {params.window.start} 至 {params.window.end} 内"
    for rule in params.exclude:
        texts |= rule.reasons()
    return texts | {"REC-X-DUP": "关键列重复，只计首次出现"}


def admitted(
    columns: Key, rows: Iterable[list[str]], params: Params, counts: Counter[str]
) -> Iterator[tuple[Key, datetime | None]]:
    """(key, time) of each row that no reason but repetition excludes; `counts` gets the rows under "gross" and each code.

    Raises ValueError when a declared column is missing.
    """
    key_at = [columns.index(name) for name in params.key]
    time_at = columns.index(params.time) if params.time else None
    tests = [_test(rule, columns) for rule in params.exclude]
    start, end = params.window.bounds() if params.window else (datetime.min, datetime.max)
    normal, width = normaliser(params), len(columns)

    for row in rows:
        counts["gross"] += 1
        if len(row) != width:
            counts["REC-X-RAGGED"] += 1
            continue
        key = normal([row[at] for at in key_at])
        if not all(map(str.strip, key)):
            counts["REC-X-KEY"] += 1
            continue
        when = None if time_at is None else moment(row[time_at])
        if time_at is not None and when is None:
            counts["REC-X-TIME"] += 1
            continue
        if when is not None and not start <= when <= end:
            counts["REC-X-WINDOW"] += 1
            continue
        for test in tests:
            if code := test(row):
                counts[code] += 1
                break
        else:
            yield key, when


@dataclass
class _Rhythm:
    """The longest run of rows, in file order, whose time stamps keep exactly one step (0 = all equal).

    Stamps that are all at midnight are dates without a time of day: many records on one date are no rhythm.
    """

    longest: int = 0
    _run: int = 1
    _last: datetime | None = None
    _step: timedelta | None = None

    def feed(self, when: datetime) -> None:
        """Take in the next row's time stamp."""
        if self._last is not None:
            step = when - self._last
            self._run = self._run + 1 if step == self._step else 2
            self._step = step
            if self._run > self.longest and (step % _DAY or when.time() != time.min):
                self.longest = self._run
        self._last = when


def sample_keys(source: RunEvidence | Path, params: Params, seed: int) -> list[Key]:
    """The keys to re-verify, in order drawn: from a frozen run or from the very file that will be imported.

    Empty without `params.audit`. Raises OSError, KeyError (no export in the run), ValueError (missing column).
    """
    if params.audit is None:
        return []
    sha256 = digest_file(source) if isinstance(source, Path) else source.sha256(EXPORT)

    def opened() -> BinaryIO:
        return source.open("rb") if isinstance(source, Path) else source.open(EXPORT)

    def net() -> Iterator[Key]:
        seen: set[bytes] = set()
        with read_table(opened(), params.encoding, params.delimiter) as (columns, rows):
            for key, _ in admitted(columns, rows, params, Counter()):
                digest = key_digest(key)
                if digest not in seen:
                    seen.add(digest)
                    yield key

    indices = draw_sample(sum(1 for _ in net()), params.audit.size, seed, sha256)
    wanted = set(indices)
    found = {index: key for index, key in enumerate(net()) if index in wanted}
    return [found[index] for index in indices]


def sheets(folder: Path, params: Params, seed: int) -> dict[str, str]:
    """The audit file with the keys to re-verify. Raises OSError, ValueError."""
    if params.audit is None:
        return {}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*params.key, RESULT, "note"])
    writer.writerows([*key, "", ""] for key in sample_keys(folder / params.file, params, seed))
    return {params.audit.file: out.getvalue()}


def read_audit(data: bytes, params: Params) -> tuple[Key, list[tuple[Key, str]]]:
    """Column names and (normalised key, result word) per row of an audit file: comma-separated UTF-8, or else GB 18030.

    Rows that are not as wide as the header have the key (); there are no rows when a column is missing.
    """
    wanted = (*params.key, RESULT)
    with read_table(io.BytesIO(data), text_encoding(data), ",") as (columns, table):
        if not set(wanted) <= set(columns):
            return columns, []
        *key_at, result_at = map(columns.index, wanted)
        normal, width = normaliser(params), len(columns)
        rows = [
            (normal([row[at] for at in key_at]), plain(row[result_at]).lower()) if len(row) == width else ((), "")
            for row in table
        ]
    return columns, rows


def _audited(data: bytes, params: Params, population: int, drawn: frozenset[bytes]) -> tuple[Audit, Iterator[Validity]]:
    """The audit's outcome: whatever was drawn and not confirmed as good counts as not good."""
    results: dict[bytes, bool | None] = {}
    foreign = 0
    for key, word in read_audit(data, params)[1]:
        digest = key_digest(key)
        if digest in drawn and digest not in results:
            results[digest] = RESULTS.get(word)
        else:
            foreign += 1
    answered = sum(good is not None for good in results.values())

    def findings() -> Iterator[Validity]:
        if foreign:
            text = f"核验结果里有 {foreign} 行不属于抽中的 {len(drawn)} 条，或重复"
            yield Validity("REC-V04", Severity.INVALID, text)
        if answered < len(drawn):
            text = f"抽中 {len(drawn)} 条，只有 {answered} 条有核验结果"
            yield Validity("REC-V05", Severity.INVALID, text)

    return Audit(population, len(drawn), sum(good is True for good in results.values())), findings()


def _incomplete(evidence: RunEvidence) -> bool:
    """True when the run does not hold a whole import: no import record, or one of another file."""
    streams = evidence.streams()
    if EXPORT not in streams or IMPORT not in streams:
        return True
    try:
        with evidence.open(IMPORT) as f:
            stated = json.load(f)["sha256"]
    except (ValueError, KeyError, TypeError):
        return True
    return bool(stated != evidence.sha256(EXPORT))


@dataclass
class _Tally:
    """What one pass over an export found; `seen` maps each distinct key, in order of first appearance, to its rows."""

    columns: Key = ()
    counts: Counter[str] = field(default_factory=Counter)
    seen: dict[bytes, int] = field(default_factory=dict)
    days: Counter[date] = field(default_factory=Counter)
    rhythm: _Rhythm = field(default_factory=_Rhythm)
    first: datetime = datetime.max
    last: datetime = datetime.min
    mangled: int = 0

    def lacks(self, params: Params) -> bool:
        """True when a declared column is not in the export."""
        return not set(params.columns()) <= set(self.columns)

    def share_at_the_end(self) -> float | None:
        """Share of the net records in the last seven days up to the last record's day; None without times."""
        if not self.days:
            return None
        since = self.last.date() - timedelta(days=RECENT_DAYS - 1)
        return sum(n for day, n in self.days.items() if day >= since) / self.days.total()


def _tally(stream: BinaryIO, params: Params) -> _Tally:
    """One pass over an export; closes the stream."""
    with read_table(stream, params.encoding, params.delimiter) as (columns, rows):
        tally = _Tally(columns)
        if tally.lacks(params):
            return tally
        seen, candidates = tally.seen, 0
        for key, when in admitted(columns, rows, params, tally.counts):
            candidates += 1
            tally.mangled += any(map(MANGLED.fullmatch, key))
            digest = key_digest(key)
            seen[digest] = seen.get(digest, 0) + 1
            if when is not None and seen[digest] == 1:
                tally.days[when.date()] += 1
                tally.first, tally.last = min(tally.first, when), max(tally.last, when)
                tally.rhythm.feed(when)
    tally.counts["REC-X-DUP"] = candidates - len(seen)
    return tally


def _findings(params: Params, tally: _Tally, whole: bool) -> Iterator[Validity]:
    if not whole:
        yield Validity("REC-V07", Severity.INVALID, "导出文件没有完整导入，或缺少声明的列：计数不能作数")
    share = tally.share_at_the_end() or 0.0
    if share > RECENT_SHARE and not (params.window and _days(params.window) <= RECENT_DAYS):
        text = f"{share:.0%} 的记录集中在最后 {RECENT_DAYS} 天（至 {tally.last:%Y-%m-%d}），请查明是否突击补录"
        yield Validity("REC-V01", Severity.WARNING, text)
    if tally.mangled:
        candidates = len(tally.seen) + tally.counts["REC-X-DUP"]
        severity = Severity.INVALID if tally.mangled > MANGLED_SHARE * candidates else Severity.WARNING
        text = f"{tally.mangled} 行的关键列像被电子表格改写过（科学计数、第 15 位后全为 0、或以 .0 结尾）"
        yield Validity("REC-V02", severity, text)
    if params.time is None:
        text = "没有声明时间列，无法核对时间窗口，也看不出是否突击补录"
        yield Validity("REC-V03", Severity.WARNING, text)
    if tally.rhythm.longest > REGULAR_ROWS:
        text = f"连续 {tally.rhythm.longest} 行的时间戳完全相同或完全等间隔，像是程序生成的"
        yield Validity("REC-V06", Severity.WARNING, text)


def _days(window: Window) -> float:
    start, end = window.bounds()
    return (end - start) / _DAY


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged export yields; a cut or missing export gives REC-V07 (invalid), never an exception."""
    streams = evidence.streams()
    tally = _tally(evidence.open(EXPORT) if EXPORT in streams else io.BytesIO(), params)
    net = len(tally.seen)
    sha256 = evidence.sha256(EXPORT) if EXPORT in streams else sha256_bytes(b"")
    validity = list(_findings(params, tally, whole=not (_incomplete(evidence) or tally.lacks(params))))
    audit = None
    if params.audit is not None and net:
        chosen = frozenset(draw_sample(net, params.audit.size, seed, sha256))
        drawn = frozenset(digest for index, digest in enumerate(tally.seen) if index in chosen)
        with closing(evidence.open(AUDIT) if AUDIT in streams else io.BytesIO()) as stream:
            audit, found = _audited(stream.read(), params, net, drawn)
        validity += found
    share = tally.share_at_the_end()
    facts: dict[str, Json] = {
        "export_sha256": sha256,
        "columns": list(tally.columns),
        "key": list(params.key),
        "normalise": list(params.normalise),
        "top_multiplicity": max(tally.seen.values(), default=0),
        "last_seven_days_share": share,
        "first_time": None if share is None else tally.first.isoformat(),
        "last_time": None if share is None else tally.last.isoformat(),
        "time_zone": "UTC+08:00",
    }
    return Count(
        unit=params.unit,
        gross=tally.counts["gross"],
        exclusions=tuple(Exclusion(code, text, tally.counts[code]) for code, text in reasons(params).items()),
        net=net,
        audit=audit,
        per_day=tuple((day.isoformat(), tally.days[day]) for day in sorted(tally.days)),
        validity=tuple(validity),
        facts=facts,
    )
