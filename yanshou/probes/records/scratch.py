"""A scratch database for one pass over an export: any number of rows in bounded memory, by DuckDB, spilling to a folder.

It is for speed, never for meaning: cells that are plain text already are handled by the database, all others by the functions of
`cells`, `texts` and `codes`, so that the same rows give the same answers on every machine and with every version. Whatever
depends on order is ordered by the row's number. The database is gone with the object; nothing is fetched from a network.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.reading import MANGLED
from yanshou.probes.records.blocks import MARK, Rows, Table
from yanshou.probes.records.cells import (
    JOIN,
    KEY,
    RAGGED,
    TIME,
    WINDOW,
    hits,
    normaliser,
    operands,
    size_reason,
)
from yanshou.probes.records.spec import Exclude, Params
from yanshou.probes.texts import moment, plain

MEMORY = "2GB"
"""What the database may hold in memory; the rest goes to its folder. Python and one block of the export come on top."""
FILE_BYTES = 128 << 20
"""Plain lines are handed to the database in files of about this size."""
SLICE = 1 << 20
"""Rows that leave the database at a time."""

_PLAIN = r"([!-~一-鿿]([ -~一-鿿]*[!-~一-鿿])?)?"
"""Cells that are their own normal form: ASCII and unified ideographs (no NFKC mapping) without blanks around."""
STAMP = r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?)?"
"""Times without an offset that SQL reads as `texts.moment` does."""


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class Scratch:
    """An empty database, there as long as the context lasts. Raises ProbeError REC-E13 when it finds no room."""

    def __enter__(self) -> Scratch:
        import duckdb

        self._no_room = (duckdb.OutOfMemoryException, duckdb.IOException)
        self._folder = tempfile.TemporaryDirectory(prefix="yanshou-")
        self.folder = Path(self._folder.name)
        settings = {
            "memory_limit": MEMORY,
            "temp_directory": str(self.folder),
            "threads": str(min(4, os.cpu_count() or 1)),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "enable_progress_bar": "false",
            "preserve_insertion_order": "true",
            "TimeZone": "Asia/Shanghai",
        }
        self.db = duckdb.connect(str(self.folder / "scratch.duckdb"))
        for name, value in settings.items():
            self.db.execute(f"SET {name}={literal(value)}")
        self.db.execute("PRAGMA disable_checkpoint_on_shutdown")
        self._functions = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.db.close()
        self._folder.cleanup()
        if isinstance(value, self._no_room):
            text = f"临时数据库放不下：{' '.join(str(value).split())[:200]}"
            remedy = "临时文件夹要有导出文件两三倍的空间；把环境变量 TMPDIR 指到空间大的磁盘后重新运行"
            raise ProbeError("REC-E13", text, remedy) from value

    def function(self, do: Callable[..., Any], arity: int, returns: str = "VARCHAR", nulls: str = "default") -> str:
        """The SQL name of a Python function of `arity` texts; with `nulls="special"` it may return None."""
        self._functions += 1
        name = f"f{self._functions}"
        null_handling: Any = nulls
        self.db.create_function(name, do, ["VARCHAR"] * arity, returns, null_handling=null_handling)
        return name

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query that has few."""
        return list(self.db.execute(query).fetchall())

    def value(self, query: str) -> Any:
        """The only value of a query."""
        return self.rows(query)[0][0]

    def slices(self, table: str, column: str) -> Iterator[Any]:
        """A column of a table in its order, as numpy arrays."""
        for start in range(0, self.value(f"SELECT count(*) FROM {table}"), SLICE):
            inside = f"rowid BETWEEN {start} AND {start + SLICE - 1}"
            yield self.db.execute(f"SELECT {column} FROM {table} WHERE {inside} ORDER BY rowid").fetchnumpy()[column]

    # What is loaded stays in order: rowid is the row's number, from 0.

    def load(self, name: str, table: Table, wanted: Sequence[str]) -> None:
        """The `wanted` columns of a table, as name(c0, c1, …); a row of another width than the header's holds NULL only."""
        self.db.execute(f"CREATE TABLE {name} ({', '.join(f'c{i} VARCHAR' for i in range(len(wanted)))})")
        at = [table.columns.index(column) for column in wanted]
        path = self.folder / "lines.csv"
        names = [f"'x{i}': 'VARCHAR'" for i in range(len(table.columns))]
        insert = (
            f"INSERT INTO {name} SELECT {', '.join(f'x{i}' for i in at)} FROM read_csv({literal(str(path))},"
            f" delim={literal(table.delimiter)}, quote='', escape='', comment='', header=false, auto_detect=false,"
            f" new_line='\\n', nullstr={literal(MARK)}, columns={{{', '.join(names)}}}, buffer_size={16 << 20},"
            f" max_line_size={1 << 20})"
        )
        size = 0
        with path.open("wb") as f:
            for block in table.blocks:
                if isinstance(block, bytes):
                    f.write(block)
                    size += len(block)
                    if size < FILE_BYTES:
                        continue
                if size:
                    f.flush()
                    self.db.execute(insert)
                    f.seek(0)
                    f.truncate()
                    size = 0
                if not isinstance(block, bytes):
                    self._insert(name, block, at, len(table.columns))
            if size:
                f.flush()
                self.db.execute(insert)
        path.unlink()

    def _insert(self, name: str, rows: Rows, at: list[int], width: int) -> None:
        import numpy as np

        fits = [len(row) == width for row in rows]
        nothing = [""] * len(at)
        cells = [[row[i] for i in at] if fit else nothing for row, fit in zip(rows, fits, strict=True)]
        batch = {f"c{i}": np.array(column, dtype=object) for i, column in enumerate(zip(*cells, strict=True))}
        self.db.register("batch", batch | {"fits": np.array(fits)})
        chosen = ", ".join(f"CASE WHEN fits THEN {column}::VARCHAR END" for column in batch)
        self.db.execute(f"INSERT INTO {name} SELECT {chosen} FROM batch")
        self.db.unregister("batch")


class Judgement:
    """The SQL of what a row of a loaded table is: its key, its time, and the reason that leaves it out.

    `columns`: the table's columns in order. `hidden`: those that stand for the protected ones; what a rule said about these was
    recorded beside them, in the column that `outcome_column` names.
    """

    def __init__(self, scratch: Scratch, params: Params, columns: Sequence[str], hidden: frozenset[str]) -> None:
        self._scratch = scratch
        self._params = params
        self._hidden = hidden
        self._at = {name: f"c{i}" for i, name in enumerate(columns)}
        self._plain = scratch.function(lru_cache(1 << 16)(plain), 1)
        self._normal = scratch.function(normaliser(params), 1)
        self._moment = scratch.function(_moment, 1, "TIMESTAMP", "special")

    def plain(self, column: str) -> str:
        """`texts.plain` of a column."""
        cell = self._at[column]
        return f"CASE WHEN regexp_full_match({cell}, '{_PLAIN}') THEN {cell} ELSE {self._plain}({cell}) END"

    def normal(self, column: str) -> str:
        """A column in the declared normal form; pseudonyms are that."""
        cell = self._at[column]
        if column in self._hidden:
            return cell
        same = f"upper({cell})" if "upper" in self._params.normalise else cell
        return f"CASE WHEN regexp_full_match({cell}, '{_PLAIN}') THEN {same} ELSE {self._normal}({cell}) END"

    def moment(self, column: str) -> str:
        """`texts.moment` of a column."""
        cell = self._at[column]
        return (
            f"CASE WHEN regexp_full_match({cell}, '{STAMP}') THEN TRY_CAST({cell} AS TIMESTAMP)"
            f" ELSE {self._moment}({cell}) END"
        )

    def ragged(self) -> str:
        """Whether the row is not as wide as its header."""
        return "c0 IS NULL" + (f" OR {self._at[FLAGS]} LIKE '%r%'" if FLAGS in self._at else "")

    def mangled(self) -> str:
        """Whether a key looks as if a spreadsheet had rewritten it."""
        if FLAGS in self._at:
            return f"{self._at[FLAGS]} LIKE '%m%'"
        return " OR ".join(f"regexp_full_match(k{i}, '(?i){MANGLED.pattern}')" for i in range(len(self._params.key)))

    def short(self) -> str:
        """Whether a key of digits has fewer than declared."""
        if FLAGS in self._at:
            return f"{self._at[FLAGS]} LIKE '%s%'"
        tests = [
            f"(length(k{i}) < {self._params.digits[name]} AND regexp_full_match(k{i}, '[0-9]+'))"
            for i, name in enumerate(self._params.key)
            if name in self._params.digits
        ]
        return " OR ".join(tests) or "false"

    def outcome(self, rule: Exclude) -> str:
        """The reason that a rule gives, or NULL."""
        recorded = outcome_column(rule)
        if recorded in self._at:
            return f"nullif({self._at[recorded]}, '')"
        cell, code = self.plain(rule.column), literal(rule.code)
        if rule.not_sme is not None:
            size = (rule.not_sme.staff, rule.not_sme.revenue, rule.not_sme.assets)
            judge = self._scratch.function(partial(size_reason, rule.code), 4)
            return f"nullif({judge}({', '.join((cell, *(self.plain(c) if c else chr(39) * 2 for c in size)))}), '')"
        if rule.empty is not None:
            test = f"({cell} = '') = {rule.empty}"
        elif rule.contains is not None:
            test = f"contains({cell}, {literal(plain(rule.contains))})"
        elif rule.equals is not None or rule.one_of is not None:
            test = f"({cell}) IN ({', '.join(map(literal, operands(rule)))})"
        else:
            test = f"{self._scratch.function(lru_cache(1 << 16)(hits(rule)), 1, 'BOOLEAN')}({cell})"
        return f"CASE WHEN {test} THEN {code} END"

    def rows(self, table: str, *, counterpart: bool) -> str:
        """A query: n, reason (NULL where none but repetition may apply), t, k0…, mangled and short of each row, in any order."""
        params = self._params
        keys = ", ".join(f"{self.normal(name)} AS k{i}" for i, name in enumerate(params.key))
        time = self.moment(params.time) if params.time else "NULL::TIMESTAMP"
        joins = [] if params.join is None else list(params.join.on)
        also = "".join(f", {self.normal(name)} AS j{i}" for i, name in enumerate(joins))
        blank = " OR ".join(f"k{i} = ''" for i in range(len(params.key)))
        tests = [f"CASE WHEN {self.ragged()} THEN '{RAGGED}' END", f"CASE WHEN {blank} THEN '{KEY}' END"]
        if params.time:
            tests.append(f"CASE WHEN t IS NULL THEN '{TIME}' END")
        if params.window:
            start, end = (literal(edge.isoformat(sep=" ")) for edge in params.window.bounds())
            inside = f"t BETWEEN TIMESTAMP {start} AND TIMESTAMP {end}"
            tests.append(f"CASE WHEN NOT {inside} THEN '{WINDOW}' END")
        tests += [self.outcome(rule) for rule in params.exclude]
        other = ""
        if counterpart:
            tests.append(f"CASE WHEN o.hit IS NULL THEN '{JOIN}' END")
            same = " AND ".join(f"o.j{i} = r.j{i}" for i in range(len(joins)))
            other = f" LEFT JOIN counterpart o ON {same}"
        return (
            f"SELECT n, coalesce({', '.join(tests)}, NULL) AS reason, t,"
            f" {', '.join(f'k{i}' for i in range(len(params.key)))}, {self.mangled()} AS mangled, {self.short()} AS short"
            f" FROM (SELECT rowid AS n, *, {keys}, {time} AS t{also} FROM {table}) r{other}"
        )

    def counterparts(self, table: str, on: Iterable[str], exclude: Iterable[Exclude]) -> str:
        """A query: the distinct j0… of the rows of a second source that count, and hit."""
        keys = ", ".join(f"{self.normal(name)} AS j{i}" for i, name in enumerate(on))
        tests = [f"CASE WHEN {self.ragged()} THEN '' END", *(self.outcome(rule) for rule in exclude)]
        blank = " AND ".join(f"j{i} <> ''" for i, _ in enumerate(on))
        return (
            f"SELECT DISTINCT *, true AS hit FROM (SELECT {keys} FROM {table} WHERE coalesce({', '.join(tests)}, NULL)"
            f" IS NULL) WHERE {blank}"
        )


FLAGS = "!"
"""The column in which a canonical export says of a row: r ragged, m key mangled, s key too short."""


def outcome_column(rule: Exclude) -> str:
    """Where a canonical export says what a rule about a protected column gave."""
    return f"!{rule.code}"


def _moment(text: str | None) -> Any:
    return None if text is None else moment(text)
