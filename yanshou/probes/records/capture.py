"""Takes exports into evidence, and the results of their audit: byte for byte, or only the declared columns.

It is for freezing what was handed over, or what a query gave, with where it came from. It must never count, correct or leave out
anything; it reads a file once before the copy only to refuse what could not be counted later. A protected cell never enters: its
pseudonym does, and beside it what the declared rules say of it.
"""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import NoReturn

from yanshou.harness.basics import Json, ProbeError, RunStatus
from yanshou.harness.evidence import CHUNK, canonical, digest_file, sha256_bytes
from yanshou.harness.runs import Run
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.earlier import Identity, same_count
from yanshou.probes.importing import check_columns, checked_file, one_line, stamp
from yanshou.probes.notes import check_notes, personal
from yanshou.probes.records.analyse import AUDIT, EXPORT, IMPORT, OTHER, OTHER_ROWS, ROWS, read_audit
from yanshou.probes.records.blocks import Block, Table
from yanshou.probes.records.databases import database_table
from yanshou.probes.records.files import file_table
from yanshou.probes.records.pseudonyms import SiteKey, is_pseudonym, site_key
from yanshou.probes.records.scratch import FLAGS, STAMP, Judgement, Scratch, literal, outcome_column, quoted
from yanshou.probes.records.spec import SPEC, Exclude, Form, Params, Source
from yanshou.probes.sampling import RESULT, RESULTS

LOOKED_AT = 100
"""Rows of each block in which personal data are looked for where a whole file is copied."""
PERSONAL_SHARE = 0.01
"""Share of the rows looked at above which a column holds personal data; below, a long number may look like some by chance."""

_SUSPECT = "([0-9０-９][^0-9０-９]?){6}|[@＠]"
"""What every kind of personal data has: six digits close together, or an at sign."""


def capture(params: Params, run: RunContext) -> None:
    """Streams `export.csv` or `rows.csv.gz`, the same of a second source, `audit.csv`, and `import.json`, which says it is whole.

    Raises ProbeError REC-E01 (missing), E02 (a folder), E03 (empty), E04 (not readable), E05 (encoding), E06 (column
    missing), E07 (column twice), E08 (changed while copied), E09 (audit results not readable), E10 (not that kind of file), E11
    (database), E12 (personal data), E13 (no room), E14 (site key), E15 (frozen, and still to be audited), E16 (not the file whose
    digest is in the plan).
    """
    key = site_key(run.folder) if params.protect else None
    asks = [s for s in (params, params.join) if s is not None]
    if any(source.form is Form.DATABASE for source in asks):
        _from_databases(params, run, key)
    elif params.copied:
        _copied(params, run)
    else:
        _from_files(params, run, key)


def _checked_file(folder: Path, name: str, what: str) -> Path:
    return checked_file(
        folder, name, what, missing="REC-E01", directory="REC-E02", empty="REC-E03", unreadable="REC-E04"
    )


@dataclass(frozen=True)
class _Origin:
    """A file as it was when the import began."""

    path: Path
    state: tuple[int, int, int]

    @classmethod
    def of(cls, folder: Path, name: str, what: str) -> _Origin:
        path = _checked_file(folder, name, what)
        return cls(path, stamp(path))

    def record(self, sha256: str) -> dict[str, Json]:
        """Where it came from. Raises ProbeError REC-E08 where it is another one by now."""
        if stamp(self.path) != self.state:
            text = f"{self.path.name} 在导入时被改动"
            raise ProbeError("REC-E08", text, "等导出或编辑结束、关掉占用它的程序后重新运行")
        size, mtime, _ = self.state
        changed = datetime.fromtimestamp(mtime // 10**9, UTC).isoformat()
        return {"name": self.path.name, "size": size, "sha256": sha256, "mtime": changed}


def _agreed(folder: Path, params: Params) -> _Origin:
    """The export as it is now. Raises ProbeError REC-E16 where it is not the one whose digest was handed in first."""
    export = _Origin.of(folder, str(params.file), "导出文件")
    if params.sha256 and digest_file(export.path) != params.sha256:
        text = f"{export.path.name} 不是计划里的那一份（SHA-256 不符）"
        raise ProbeError("REC-E16", text, "要回冻结之前交过摘要的那一份；要换文件须先修订计划")
    return export


def _write_import(run: RunContext, record: dict[str, Json], rows: int) -> None:
    run.sink.stream(IMPORT).write(canonical({**record, "rows": rows}) + b"\n")
    run.progress(Progress(rows, rows))


# --- byte for byte ---------------------------------------------------------------------------------------------------------


def _copied(params: Params, run: RunContext) -> None:
    export = _agreed(run.folder, params)
    other = _Origin.of(run.folder, str(params.join.file), "第二来源") if params.join else None
    audit = _Origin.of(run.folder, params.audit.file, "核验结果") if params.audit else None
    rows = _check_export(run.folder, params, params.columns())
    if params.join:
        _check_export(run.folder, params.join, params.join.columns())
    if audit:
        _check_audit(audit.path, params)
        check_notes(audit.path, (*params.key, RESULT), "REC-E12")
    record = export.record(run.sink.attach(export.path, EXPORT))
    if other:
        record |= {f"other_{name}": value for name, value in other.record(run.sink.attach(other.path, OTHER)).items()}
    record["audit"] = audit.record(run.sink.attach(audit.path, AUDIT)) if audit else None
    _write_import(run, record, rows)


def _check_export(folder: Path, source: Source, columns: tuple[str, ...]) -> int:
    """Number of rows, once the whole file is decoded and found to hold every declared column, and no column of personal data."""
    path = folder / str(source.file)
    rows, looked, found = 0, 0, Counter[tuple[str, str]]()
    try:
        with file_table(folder, source, errors="strict") as table:
            check_columns(path, table.columns, columns, missing="REC-E06", twice="REC-E07")
            for block in table.blocks:
                rows += block.count(b"\n") if isinstance(block, bytes) else len(block)
                for row in _first(block, table.delimiter):
                    looked += 1
                    found.update(
                        {
                            (name, kind)
                            for name, cell in zip(table.columns, row, strict=False)
                            if (kind := personal(cell))
                        }
                    )
    except UnicodeError:
        _refuse_encoding(path, source.encoding, rows)
    for (name, kind), number in found.most_common(1):
        if number > PERSONAL_SHARE * looked:
            _refuse_personal(path.name, name, kind)
    return rows


def _first(block: Block, delimiter: str) -> Iterator[list[str]]:
    """The first rows of a block."""
    if isinstance(block, bytes):
        lines = islice(io.BytesIO(block), LOOKED_AT)
        return csv.reader((line.decode() for line in lines), delimiter=delimiter)
    return islice(block, LOOKED_AT)


def _refuse_personal(file: str, column: str, kind: str) -> NoReturn:
    text = one_line(f"{file} 的列“{column}”含{kind}，不能进证据包")
    remedy = "把该列写进 protect：证据里就只有声明的列，其中受保护的只有代号；用不到的列也可以在导出时去掉"
    raise ProbeError("REC-E12", text, remedy)


def _refuse_encoding(path: Path, encoding: str, rows: int) -> NoReturn:
    with path.open("rb") as f:
        head = f.read(CHUNK)
    fitting = [name for name in ("utf-8", "gb18030") if _decodes(head, name) and name != encoding]
    remedy = f"把 encoding 改为 {fitting[0]} 试试" if fitting else "问明导出时用的编码，或重新导出为 UTF-8"
    raise ProbeError("REC-E05", f"{path.name} 第 {rows + 1} 条记录附近不是 {encoding} 编码", remedy) from None


def _decodes(head: bytes, encoding: str) -> bool:
    """True when `head` is text in `encoding`, but for a last character that the cut may have split."""
    import codecs

    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return False
    return True


# --- only the declared columns ----------------------------------------------------------------------------------------------


def _from_files(params: Params, run: RunContext, key: SiteKey | None) -> None:
    audit = _Origin.of(run.folder, params.audit.file, "核验结果") if params.audit else None
    if audit:
        _check_audit(audit.path, params)
    export = _agreed(run.folder, params)
    other = _Origin.of(run.folder, str(params.join.file), "第二来源") if params.join else None
    rows, written = _take_rows(params, run, key, {})
    record = export.record(digest_file(export.path)) | written
    if other:
        record |= {f"other_{name}": value for name, value in other.record(digest_file(other.path)).items()}
    if audit:
        record["audit"] = audit.record(_take_audit(audit.path, params, run, key))
    _write_import(run, record, rows)


def _from_databases(params: Params, run: RunContext, key: SiteKey | None) -> None:
    """A database goes on changing: with an audit, the rows are frozen by one run and kept by the next ones, until it is done."""
    earlier = _waiting(params, run) if params.audit else None
    if earlier:
        evidence = earlier.evidence(run.folder)
        for name in (ROWS, OTHER_ROWS, IMPORT):
            if name in evidence.streams():
                run.sink.attach(evidence.folder / name, name)
    else:
        servers: dict[str, Json] = {}
        rows, record = _take_rows(params, run, key, servers)
        record["sha256"] = record["rows_sha256"]
        if params.form is not Form.DATABASE:
            export = _Origin.of(run.folder, str(params.file), "导出文件")
            record |= export.record(digest_file(export.path))
        _write_import(run, record | {"servers": servers}, rows)
    if params.audit:
        path = run.folder / params.audit.file
        if not path.exists():
            text = "数据库里的记录已经冻结，抽中的还没有核验"
            remedy = (
                f"用 yanshou sample 出名单，核验结果填进 {params.audit.file}，再运行 yanshou run 接着做（抽样不变）"
            )
            raise ProbeError("REC-E15", text, remedy)
        _check_audit(_checked_file(run.folder, params.audit.file, "核验结果"), params)
        _take_audit(path, params, run, key)


def _waiting(params: Params, run: RunContext) -> Run | None:
    """The last interrupted run since the count was last finished that has frozen its rows."""
    mine = [r for r in same_count(run.folder, Identity.of(SPEC, params, run.seed)) if r.subject == run.subject]
    interrupted = takewhile(lambda r: r.status is not RunStatus.COMPLETED, reversed(mine))
    return next((r for r in interrupted if IMPORT in r.streams), None)


@contextmanager
def opened(source: Source, folder: Path, servers: dict[str, Json]) -> Iterator[Table]:
    """The table of a source, whatever it is; what a database's server says of itself goes into `servers`."""
    if source.form is Form.DATABASE:
        began = time.time()
        with database_table(str(source.database), str(source.query)) as answer:
            yield answer.table
            span = {"started": _utc(began), "finished": _utc(time.time())}
            servers[str(source.database)] = {**answer.server, **span, "query": source.query}
    else:
        path = _checked_file(folder, str(source.file), "导出文件")
        try:
            with file_table(folder, source, "strict") as table:
                yield table
        except UnicodeError:
            _refuse_encoding(path, source.encoding, 0)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


@dataclass(frozen=True)
class _Part:
    """One source of a count, what of it enters the evidence, and as which stream."""

    source: Source
    columns: tuple[str, ...]
    exclude: tuple[Exclude, ...]
    hidden: frozenset[str]
    stream: str


def _take_rows(
    params: Params, run: RunContext, key: SiteKey | None, servers: dict[str, Json]
) -> tuple[int, dict[str, Json]]:
    """The declared columns of all sources into evidence; rows of the export, and what the import record says of the streams."""
    mine, theirs = params.hidden()
    export = _Part(params, params.columns(), params.exclude, mine, ROWS)
    rows, sha256 = _take(export, params, run, key, servers)
    record: dict[str, Json] = {"site_key": key.id if key else None, "rows_sha256": sha256}
    if params.join:
        other = _Part(params.join, params.join.columns(), params.join.exclude, theirs, OTHER_ROWS)
        record["other_rows"], record["other_rows_sha256"] = _take(other, params, run, key, servers)
    return rows, record


def _take(
    part: _Part, params: Params, run: RunContext, key: SiteKey | None, servers: dict[str, Json]
) -> tuple[int, str]:
    """One source's declared columns as a stream; the number of its rows and the stream's digest."""
    name = part.source.file or f"数据库 {part.source.database}"
    named = dict.fromkeys((*part.columns, *(params.protect if part.source is params else ())))
    with Scratch() as scratch:
        with opened(part.source, run.folder, servers) as table:
            check_columns(Path(name), table.columns, tuple(named), missing="REC-E06", twice="REC-E07")
            scratch.load("source", table, part.columns)
        _refuse_personal_cells(scratch, name, part)
        path = scratch.folder / "rows.csv.gz"
        scratch.db.execute(
            f"COPY ({_canonical(scratch, part, params, key)}) TO {literal(str(path))}"
            " (FORMAT csv, HEADER, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '', COMPRESSION gzip)"
        )
        return int(scratch.value("SELECT count(*) FROM source")), run.sink.attach(path, part.stream)


def _canonical(scratch: Scratch, part: _Part, params: Params, key: SiteKey | None) -> str:
    """A query: the cells of each row as they enter the evidence, what rules said of protected ones, and the row's flags."""
    judgement = Judgement(scratch, params, part.columns, frozenset())
    cells = {column: f"c{i}" for i, column in enumerate(part.columns)}
    if part.source.form is Form.DATABASE and params.time in cells:  # PostgreSQL writes +08
        cells[params.time] = f"regexp_replace({cells[params.time]}, '(:[0-9.]+[+-][0-9]{{2}})$', '\\1:00')"
    if key:
        normal = {column: judgement.normal(column) for column in part.hidden}
        cells |= {column: f"CASE WHEN ({cell}) <> '' THEN {key.sql(cell)} END" for column, cell in normal.items()}
    cells |= {
        outcome_column(rule): judgement.outcome(rule)
        for rule in part.exclude
        if not part.hidden.isdisjoint(rule.columns())
    }
    flags, keys = "''", ""
    if part.source is params:
        flags = f"CASE WHEN {judgement.mangled()} THEN 'm' ELSE '' END || CASE WHEN {judgement.short()} THEN 's' ELSE '' END"
        keys = "".join(f", {judgement.normal(column)} AS k{i}" for i, column in enumerate(params.key))
    cells[FLAGS] = f"CASE WHEN {judgement.ragged()} THEN 'r' ELSE {flags} END"
    chosen = ", ".join(f"nullif({cell}, '') AS {quoted(column)}" for column, cell in cells.items())
    return f"SELECT {chosen} FROM (SELECT *{keys} FROM source)"


def _refuse_personal_cells(scratch: Scratch, name: str, part: _Part) -> None:
    """Raises ProbeError REC-E12 where a cell that would enter the evidence as it is holds personal data: each cell is looked at."""
    kind = scratch.function(personal, 1)
    for i, column in enumerate(part.columns):
        query = (
            f"SELECT what FROM (SELECT {kind}(c{i}) AS what FROM source WHERE regexp_matches(c{i}, '{_SUSPECT}')"
            f" AND NOT regexp_full_match(c{i}, '{STAMP}')) WHERE what <> '' LIMIT 1"
        )
        for found, *_ in [] if column in part.hidden else scratch.rows(query):
            _refuse_personal(name, column, found)


# --- the audit ------------------------------------------------------------------------------------------------------------


def _check_audit(path: Path, params: Params) -> None:
    columns, rows = read_audit(path.read_bytes(), params)
    check_columns(path, columns, (*params.key, RESULT), missing="REC-E09", twice="REC-E07")
    for number, (_, word) in enumerate(rows, 1):
        if word and word not in RESULTS:
            words = "、".join(RESULTS)
            text = f"{path.name} 第 {number} 条的 result“{word}”不认识"
            raise ProbeError("REC-E09", one_line(text), f"只用：{words}；未核验的留空")


def _take_audit(path: Path, params: Params, run: RunContext, key: SiteKey | None) -> str:
    """The audit's results into evidence, protected keys as pseudonyms and without notes; the digest of the file itself."""
    data = path.read_bytes()
    hidden, _ = params.hidden()
    if key is None or hidden.isdisjoint(params.key):
        check_notes(path, (*params.key, RESULT), "REC-E12")
        return run.sink.attach(path, AUDIT)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*params.key, RESULT])
    for cells, word in read_audit(data, params)[1]:
        shown = (
            key.pseudonym(c) if n in hidden and not is_pseudonym(c) else c
            for n, c in zip(params.key, cells, strict=False)
        )
        writer.writerow([*shown, word])
    run.sink.stream(AUDIT).write(out.getvalue().encode())
    return sha256_bytes(data)
