"""Counts the rows of a frozen export: gross -> each exclusion in order -> net, with per-day figures and the audit's result.

It is for giving the same count from the same bytes, forever. It must never touch the world and never know a limit. The
export is streamed into a scratch database (see `scratch`), so that memory does not grow with it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence, digest_file, sha256_bytes
from yanshou.harness.model import Audit, Count, Exclusion, Severity, Validity
from yanshou.probes.earlier import Identity, same_count
from yanshou.probes.reading import Key, read_table, text_encoding
from yanshou.probes.records.blocks import Cut, Table, read_blocks
from yanshou.probes.records.cells import DUP, key_of, reasons
from yanshou.probes.records.files import file_table
from yanshou.probes.records.scratch import FLAGS, Judgement, Scratch, outcome_column
from yanshou.probes.records.spec import SPEC, Form, Join, Params, Source, Window
from yanshou.probes.sampling import RESULT, RESULTS, draw_sample
from yanshou.probes.texts import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXPORT, OTHER, AUDIT, IMPORT = "export.csv", "other.csv", "audit.csv", "import.json"
ROWS, OTHER_ROWS = "rows.csv.gz", "other.rows.csv.gz"
"""The declared columns of an export and of a second source, where they do not enter the evidence as they are."""
ANOTHER = "导出文件不是计划里的那一份（SHA-256 不符）"
RECENT_DAYS = 7
RECENT_SHARE = 0.5
MANGLED_SHARE = 0.01
REGULAR_ROWS = 1000
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
_FETCH = 50_000
_ERA_US = 62_135_596_800_000_001
"""A row's number, time and flags go into one integer, whose minimum is the first row's: the time as microseconds from just before
year 1, times 4, plus the flags, below 2**64."""

Opened = Callable[[], AbstractContextManager[Table]]
"""What opens a table from its first row on; the same table whenever it is called."""


@dataclass
class Rhythm:
    """The longest run of rows, in file order, whose time stamps keep exactly one step (0 = all equal).

    Stamps that are all at midnight are dates without a time of day: many records on one date are no rhythm.
    """

    longest: int = 0
    _last: int | None = None
    _step: int | None = None
    _run: int = 1

    def feed(self, times: NDArray[np.int64]) -> None:
        """Take in the time stamps of the next rows, in microseconds."""
        import numpy as np

        if not times.size:
            return
        steps = np.diff(times) if self._last is None else np.diff(times, prepend=self._last)
        if steps.size:
            edges = np.flatnonzero(np.diff(steps)) + 1
            starts = np.concatenate(([0], edges))
            runs = np.diff(np.concatenate((starts, [steps.size]))) + 1
            if steps[0] == self._step:
                runs[0] += self._run - 1
            ends = times[times.size - steps.size + starts]
            counted = runs[(steps[starts] % _DAY_US != 0) | (ends % _DAY_US != 0)]
            self.longest = max(self.longest, int(counted.max(initial=0)))
            self._step, self._run = int(steps[-1]), int(runs[-1])
        self._last = int(times[-1])


# --- what lies in evidence or in the case folder ------------------------------------------------------------------------


@dataclass(frozen=True)
class Frozen:
    """An export, and the second source it is reconciled with, as they are read again and again.

    `sha256` is what the draw depends on: the digest of the file handed over, or of what a query gave. `canonical`: only the
    declared columns are there, with what was to be said of protected cells beside them.
    """

    export: Opened
    other: Opened | None
    sha256: str
    canonical: bool


def in_evidence(evidence: RunEvidence, params: Params) -> Frozen:
    """What a run holds; an empty table where a stream is missing."""
    streams = evidence.streams()

    def opened(copy: str, rows: str, source: Source) -> Opened:
        if rows in streams:
            return lambda: read_blocks(_unpacked(evidence, rows), "utf-8", ",")
        return lambda: read_blocks(
            evidence.open(copy) if copy in streams else io.BytesIO(), source.encoding, source.delimiter
        )

    canonical = ROWS in streams
    other = opened(OTHER, OTHER_ROWS, params.join) if params.join else None
    if canonical:
        sha256 = str(import_record(evidence).get("sha256") or evidence.sha256(ROWS))
    else:
        sha256 = evidence.sha256(EXPORT) if EXPORT in streams else sha256_bytes(b"")
    return Frozen(opened(EXPORT, ROWS, params), other, sha256, canonical)


def _unpacked(evidence: RunEvidence, name: str) -> Any:
    return gzip.open(evidence.open(name))


def in_folder(folder: Path, params: Params) -> Frozen:
    """The very files that will be imported. Raises OSError."""

    def opened(source: Source) -> Opened:
        return lambda: file_table(folder, source)

    assert params.file is not None
    sha256 = digest_file(folder / params.file)
    return Frozen(opened(params), opened(params.join) if params.join else None, sha256, canonical=False)


def import_record(evidence: RunEvidence) -> dict[str, Json]:
    """What the capture said of the import; empty where it said nothing."""
    try:
        with closing(evidence.open(IMPORT)) as f:
            record = json.load(f)
    except (ValueError, KeyError):
        return {}
    return record if isinstance(record, dict) else {}


def _incomplete(evidence: RunEvidence, params: Params) -> bool:
    """True when the run does not hold a whole import: no import record, or one of other streams."""
    stated, streams = import_record(evidence), evidence.streams()
    expected = {EXPORT: "sha256"} if ROWS not in streams else {ROWS: "rows_sha256"}
    if params.join:
        expected |= {OTHER: "other_sha256"} if OTHER_ROWS not in streams else {OTHER_ROWS: "other_rows_sha256"}
    return any(name not in streams or stated.get(key) != evidence.sha256(name) for name, key in expected.items())


# --- one pass -------------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What one pass over an export found. `scratch` holds the rows, and the net ones in order of first appearance."""

    scratch: Scratch
    query: str = ""
    columns: Key = ()
    whole: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    net: int = 0
    top: int = 0
    days: list[tuple[str, int]] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    mangled: int = 0
    short: int = 0

    @property
    def gross(self) -> int:
        """All rows."""
        return self.net + sum(self.counts.values())

    def share_at_the_end(self) -> float | None:
        """Share of the net records in the last seven days up to the last record's day; None without times."""
        if self.last is None:
            return None
        since = (self.last.date() - timedelta(days=RECENT_DAYS - 1)).isoformat()
        return sum(n for day, n in self.days if day >= since) / self.net

    def busiest_days(self) -> tuple[float, str]:
        """The largest share of the net records in seven days on end, and the last of these; (0, "") without times."""
        best, held, first = (0, ""), 0, 0
        for day, number in self.days:
            held += number
            since = (date.fromisoformat(day) - timedelta(days=RECENT_DAYS - 1)).isoformat()
            while self.days[first][0] < since:
                held -= self.days[first][1]
                first += 1
            best = max(best, (held, day), key=lambda b: b[0])
        return best[0] / self.net if self.net else 0.0, best[1]

    def order(self) -> None:
        """Lay out the net records in order of first appearance, once."""
        self.scratch.db.execute(
            "CREATE TABLE IF NOT EXISTS net AS SELECT first, t FROM seen WHERE reason IS NULL ORDER BY first"
        )

    def keys(self, indices: tuple[int, ...], width: int) -> list[Key]:
        """The keys of the net records with these numbers."""
        if not indices:
            return []
        self.order()
        found = self.scratch.rows(f"SELECT rowid, first FROM net WHERE rowid IN ({', '.join(map(str, indices))})")
        names = ", ".join(f"k{i}" for i in range(width))
        wanted = ", ".join(str(first) for _, first in found)
        keys = {n: key for n, *key in self.scratch.rows(f"SELECT n, {names} FROM ({self.query}) WHERE n IN ({wanted})")}
        at = dict(found)
        return [tuple(keys[at[index]]) for index in indices]


@contextmanager
def tallied(frozen: Frozen, params: Params) -> Iterator[Tally]:
    """One pass over an export, there to be asked as long as the context lasts. Raises ProbeError where there is no room."""
    with Scratch() as scratch:
        tally = Tally(scratch)
        hidden, theirs = params.hidden() if frozen.canonical else (frozenset[str](), frozenset[str]())
        flagged = [outcome_column(rule) for rule in params.exclude if not hidden.isdisjoint(rule.columns())]
        columns = (*params.columns(), *((*flagged, FLAGS) if frozen.canonical else ()))
        tally.columns, tally.whole = _load(scratch, "export", frozen.export, columns)
        if frozen.canonical:
            tally.columns = tuple(name for name in tally.columns if not name.startswith(FLAGS))
        if frozen.other is not None and params.join is not None:
            tally.whole &= _counterparts(scratch, frozen.other, params, params.join, theirs, frozen.canonical)
        judgement = Judgement(scratch, params, columns, hidden)
        tally.query = judgement.rows("export", counterpart=params.join is not None)
        _count(tally, params)
        yield tally


def _load(scratch: Scratch, name: str, opened: Opened, columns: tuple[str, ...]) -> tuple[Key, bool]:
    """Load a table; its columns, and whether it was read to its end and holds those that are declared."""
    found: Key = ()
    try:
        with opened() as table:
            found = table.columns
            if set(columns) <= set(found):
                scratch.load(name, table, columns)
                return found, True
    except Cut:
        pass
    if not set(columns) <= set(found):
        scratch.load(name, Table(columns, ",", iter(())), columns)
    return found, False


def _counterparts(
    scratch: Scratch, opened: Opened, params: Params, join: Join, hidden: frozenset[str], canonical: bool
) -> bool:
    """Load the second source and keep what rows may be found in; whether it is whole."""
    flagged = [outcome_column(rule) for rule in join.exclude if not hidden.isdisjoint(rule.columns())]
    columns = (*join.columns(), *((*flagged, FLAGS) if canonical else ()))
    _, whole = _load(scratch, "other", opened, columns)
    judgement = Judgement(scratch, params, columns, hidden)
    query = judgement.counterparts("other", join.on.values(), join.exclude)
    scratch.db.execute(f"CREATE TABLE counterpart AS {query}")
    return whole


def _count(tally: Tally, params: Params) -> None:
    """One group for each key and one for each reason; of a group, its first row and what stands there."""
    scratch = tally.scratch
    others = "".join(f", CASE WHEN reason IS NULL THEN k{i} ELSE '' END AS k{i}" for i in range(1, len(params.key)))
    groups = ", ".join(("net", *(f"k{i}" for i in range(len(params.key)))))
    scratch.db.execute("SET preserve_insertion_order=false")  # groups have no order, and keeping one would cost memory
    scratch.db.execute(
        f"CREATE TABLE seen AS SELECT CASE WHEN NOT net THEN k0 END AS reason, (packed >> 64)::BIGINT AS first, rows,"
        f" make_timestamp(nullif((low >> 2)::BIGINT, 0) - {_ERA_US}) AS t, low & 1 = 1 AS mangled, low & 2 = 2 AS short"
        f" FROM (SELECT *, (packed & {2**64 - 1}::HUGEINT)::UBIGINT AS low"
        f" FROM (SELECT {groups}, min(packed) AS packed, count(*) AS rows FROM (SELECT reason IS NULL AS net,"
        f" coalesce(reason, k0) AS k0{others}, (n::HUGEINT << 64) + coalesce(epoch_us(t) + {_ERA_US}, 0) * 4"
        f" + CASE WHEN mangled THEN 1 ELSE 0 END + CASE WHEN short THEN 2 ELSE 0 END AS packed FROM ({tally.query}))"
        f" GROUP BY {groups}))"
    )
    scratch.db.execute("SET preserve_insertion_order=true")
    tally.counts = dict(
        scratch.rows("SELECT reason, sum(rows)::BIGINT FROM seen WHERE reason IS NOT NULL GROUP BY reason")
    )
    (tally.net, candidates, tally.top, tally.mangled, tally.short, tally.first, tally.last), *_ = scratch.rows(
        "SELECT count(*), coalesce(sum(rows), 0)::BIGINT, coalesce(max(rows), 0),"
        " coalesce(sum(rows) FILTER (mangled), 0)::BIGINT, coalesce(sum(rows) FILTER (short), 0)::BIGINT, min(t), max(t)"
        " FROM seen WHERE reason IS NULL"
    )
    tally.counts[DUP] = candidates - tally.net
    tally.days = [
        (day.isoformat(), number)
        for day, number in scratch.rows(
            "SELECT t::DATE AS day, count(*) FROM seen WHERE reason IS NULL AND t IS NOT NULL GROUP BY day ORDER BY day"
        )
    ]


def _longest_rhythm(tally: Tally) -> int:
    rhythm = Rhythm()
    if tally.last is not None:
        tally.order()
        for times in tally.scratch.slices("net", "t"):
            rhythm.feed(times.astype("datetime64[us]").astype("int64"))
    return rhythm.longest


# --- what was left out ------------------------------------------------------------------------------------------------------


def left_out(evidence: RunEvidence, params: Params) -> Iterator[list[str]]:
    """Each row that did not count, in the export's order: its number from 1 (blank lines are none), the reason, its key.

    Protected keys are pseudonyms. The first row yielded names the columns. Raises ProbeError.
    """
    yield ["row", "reason", *params.key]
    with tallied(in_evidence(evidence, params), params) as tally:
        keys = ", ".join(f"coalesce(k{i}, '')" for i in range(len(params.key)))
        rows = tally.scratch.db.execute(
            f"SELECT (n + 1)::VARCHAR, coalesce(reason, '{DUP}'), {keys} FROM ({tally.query}) q"
            " WHERE reason IS NOT NULL OR n NOT IN (SELECT first FROM seen WHERE reason IS NULL) ORDER BY n"
        )
        while some := rows.fetchmany(_FETCH):
            yield from map(list, some)


# --- the draw ---------------------------------------------------------------------------------------------------------------


def sample_keys(source: RunEvidence | Path, params: Params, seed: int) -> list[Key]:
    """The keys to re-verify, in order drawn: from a frozen run or from the case folder with the very files to be imported.

    Empty without `params.audit`. Raises OSError, ProbeError, ValueError (a declared column is missing).
    """
    if params.audit is None:
        return []
    frozen = in_folder(source, params) if isinstance(source, Path) else in_evidence(source, params)
    if params.sha256 not in (None, frozen.sha256):
        raise ValueError(ANOTHER)
    with tallied(frozen, params) as tally:
        if not tally.whole:
            raise ValueError("导出文件缺少声明的列，或没有完整导入")
        return tally.keys(draw_sample(tally.net, params.audit.size, seed, frozen.sha256), len(params.key))


def sheets(folder: Path, params: Params, seed: int) -> dict[str, str]:
    """The audit file with the keys to re-verify. Raises OSError, ProbeError, ValueError.

    What a database gave is drawn from the run that froze it; its protected keys are pseudonyms there.
    """
    if params.audit is None:
        return {}
    source: RunEvidence | Path = folder
    if params.form is Form.DATABASE or (params.join is not None and params.join.form is Form.DATABASE):
        run = next(
            (r for r in reversed(same_count(folder, Identity.of(SPEC, params, seed))) if IMPORT in r.streams), None
        )
        if run is None:
            raise ValueError("数据库里的记录还没有冻结，要先运行 yanshou run")
        source = run.evidence(folder)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*params.key, RESULT, "note"])
    writer.writerows([*key, "", ""] for key in sample_keys(source, params, seed))
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
        width = len(columns)
        rows = [
            (key_of([row[at] for at in key_at], params), plain(row[result_at]).lower())
            if len(row) == width
            else ((), "")
            for row in table
        ]
    return columns, rows


def _audited(data: bytes, params: Params, population: int, drawn: frozenset[Key]) -> tuple[Audit, Iterator[Validity]]:
    """The audit's outcome: whatever was drawn and not confirmed as good counts as not good."""
    results: dict[Key, bool | None] = {}
    foreign = 0
    for key, word in read_audit(data, params)[1]:
        if key in drawn and key not in results:
            results[key] = RESULTS.get(word)
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


def _findings(params: Params, tally: Tally, whole: bool) -> Iterator[Validity]:
    if not whole:
        yield Validity("REC-V07", Severity.INVALID, "导出文件没有完整导入，或缺少声明的列：计数不能作数")
    share, until = tally.busiest_days()
    if share > RECENT_SHARE and not (params.window and _days(params.window) <= RECENT_DAYS):
        text = f"{share:.0%} 的记录集中在连续 {RECENT_DAYS} 天（至 {until}），请查明是否突击补录"
        yield Validity("REC-V01", Severity.WARNING, text)
    candidates = tally.net + tally.counts[DUP]
    if tally.mangled:
        text = f"{tally.mangled} 行的关键列像被电子表格改写过（科学计数、第 15 位后全为 0、或以 .0 结尾）"
        yield Validity("REC-V02", _share_of(tally.mangled, candidates), text)
    if params.time is None:
        text = "没有声明时间列，无法核对时间窗口，也看不出是否突击补录"
        yield Validity("REC-V03", Severity.WARNING, text)
    longest = _longest_rhythm(tally)
    if longest > REGULAR_ROWS:
        text = f"连续 {longest} 行的时间戳完全相同或完全等间隔，像是程序生成的"
        yield Validity("REC-V06", Severity.WARNING, text)
    if tally.short:
        text = f"{tally.short} 行的关键列是数字而位数不足，像是电子表格去掉了前导零"
        yield Validity("REC-V08", _share_of(tally.short, candidates), text)


def _share_of(rows: int, candidates: int) -> Severity:
    return Severity.INVALID if rows > MANGLED_SHARE * candidates else Severity.WARNING


def _days(window: Window) -> float:
    start, end = window.bounds()
    return (end - start) / _DAY


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged export yields; a cut or missing export gives REC-V07 (invalid), never an exception."""
    frozen = in_evidence(evidence, params)
    with tallied(frozen, params) as tally:
        validity = list(_findings(params, tally, whole=tally.whole and not _incomplete(evidence, params)))
        if params.sha256 not in (None, frozen.sha256):
            validity.append(Validity("REC-V10", Severity.INVALID, ANOTHER))
        audit = None
        if params.audit is not None and tally.net:
            if params.sha256 is None and params.audit.size < tally.net:
                text = "计划里没有导出文件的摘要：知道抽样种子的人可以排列行序，直到抽中的都经得起核验"
                validity.append(Validity("REC-V09", Severity.WARNING, text))
            chosen = draw_sample(tally.net, params.audit.size, seed, frozen.sha256)
            drawn = frozenset(tally.keys(chosen, len(params.key)))
            with closing(evidence.open(AUDIT) if AUDIT in evidence.streams() else io.BytesIO()) as stream:
                audit, found = _audited(stream.read(), params, tally.net, drawn)
            validity += found
    facts: dict[str, Json] = {
        "export_sha256": frozen.sha256,
        "columns": list(tally.columns),
        "key": list(params.key),
        "normalise": list(params.normalise),
        "top_multiplicity": tally.top,
        "last_seven_days_share": tally.share_at_the_end(),
        "first_time": None if tally.first is None else tally.first.isoformat(),
        "last_time": None if tally.last is None else tally.last.isoformat(),
        "time_zone": "UTC+08:00",
    }
    return Count(
        unit=params.unit,
        gross=tally.gross,
        exclusions=tuple(Exclusion(code, text, tally.counts.get(code, 0)) for code, text in reasons(params).items()),
        net=tally.net,
        audit=audit,
        per_day=tuple(tally.days),
        validity=tuple(validity),
        facts=facts,
    )
