"""The records that nothing but the window and repetition may exclude, kept on disk: tens of millions in bounded memory, by DuckDB.

It is for finding which came first, and from whom and when. Exact integers in, exact integers out: the same rows give the same
answers on every machine. The database is scratch, and gone with the object.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

BATCH = 100_000
MEMORY = "512MB"
_WIDTHS = (8, 8, 8, 8, 4)
"""Digest (16 bytes) and sender (20 bytes) as five unsigned integers."""


@dataclass(frozen=True)
class Place:
    """Where a record stands: block, transaction within it, and which of the transaction's records it is."""

    block: int
    transaction: int
    item: int


@dataclass(frozen=True)
class Activity:
    """What one sender did: distinct records, and the first one's date (its ordinal) and place."""

    address: str
    records: int
    day: int
    first: Place


class Candidates:
    """Append with `add`, then `settle` once, then ask. A context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="yanshou-")
        self._rows: list[tuple[int, int, int, int, int, bool, bytes]] = []
        self._added = self._inside = 0

    def __enter__(self) -> Candidates:
        import duckdb

        self._db = duckdb.connect(f"{self._folder.name}/candidates.duckdb")
        self._db.execute(f"SET memory_limit='{MEMORY}'; SET temp_directory='{self._folder.name}'; SET threads=2")
        self._db.execute(
            "CREATE TABLE seen (seq BIGINT, block BIGINT, tx BIGINT, item BIGINT, day BIGINT, inside BOOLEAN,"
            " d1 UBIGINT, d2 UBIGINT, s1 UBIGINT, s2 UBIGINT, s3 UINTEGER)"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def add(self, place: Place, day: int, inside: bool, digest: bytes, sender: bytes) -> None:
        """The next candidate in the chain's order: `day` its date's ordinal, `digest` of its payload (16 bytes), `sender` (20).

        One that is not `inside` the window never counts, and what repeats it is no new record.
        """
        self._rows.append((self._added, place.block, place.transaction, place.item, day, inside, digest + sender))
        self._added += 1
        self._inside += inside
        if len(self._rows) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        import numpy as np

        if not self._rows:
            return
        *numbers, inside, tails = zip(*self._rows, strict=True)
        batch: dict[str, Any] = dict(
            zip("abcde", (np.array(column, dtype=np.int64) for column in numbers), strict=True)
        )
        batch["inside"] = np.array(inside, dtype=np.bool_)
        fields = np.frombuffer(b"".join(tails), dtype=[(f"f{i}", f">u{width}") for i, width in enumerate(_WIDTHS)])
        batch |= {
            name: fields[name].astype(f"u{width}")
            for name, width in zip(fields.dtype.names or (), _WIDTHS, strict=True)
        }
        self._db.register("batch", batch)
        self._db.execute("INSERT INTO seen SELECT * FROM batch")
        self._db.unregister("batch")
        self._rows.clear()

    def settle(self) -> tuple[int, int]:
        """How many inside the window are distinct, of how many inside it: of each digest the first in the chain's order stays."""
        self._flush()
        self._db.execute(
            "CREATE TABLE net AS SELECT * FROM seen SEMI JOIN"
            " (SELECT min(seq) AS seq FROM seen GROUP BY d1, d2) USING (seq) WHERE inside"
        )
        return self._number("SELECT count(*) FROM net"), self._inside

    def _number(self, query: str) -> int:
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def per_day(self) -> list[tuple[int, int]]:
        """(date's ordinal, distinct records), in date order."""
        return [
            (int(d), int(n))
            for d, n in self._db.execute("SELECT day, count(*) FROM net GROUP BY day ORDER BY day").fetchall()
        ]

    def senders(self) -> int:
        """How many different senders the distinct records have."""
        return self._number("SELECT count(*) FROM (SELECT DISTINCT s1, s2, s3 FROM net)")

    def top_senders(self, most: int) -> list[tuple[str, int]]:
        """(address, distinct records) of those with the most."""
        rows = self._db.execute(
            "SELECT s1, s2, s3, count(*) AS n FROM net GROUP BY ALL ORDER BY n DESC, s1, s2, s3 LIMIT ?", [most]
        ).fetchall()
        return [(_address(*row[:3]), int(row[3])) for row in rows]

    def top_sender_day(self) -> tuple[str, int, int]:
        """(address, date's ordinal, distinct records) of the sender and day with the most; ("", 0, 0) without records."""
        row = self._db.execute(
            "SELECT s1, s2, s3, day, count(*) AS n FROM net GROUP BY ALL ORDER BY n DESC, day, s1, s2, s3 LIMIT 1"
        ).fetchone()
        return (_address(*row[:3]), int(row[3]), int(row[4])) if row else ("", 0, 0)

    def by_sender(self) -> list[Activity]:
        """Every sender of a distinct record, in the order in which they began."""
        rows = self._db.execute(
            "SELECT s1, s2, s3, count(*), arg_min(day, seq), arg_min(block, seq), arg_min(tx, seq), arg_min(item, seq)"
            " FROM net GROUP BY s1, s2, s3 ORDER BY min(seq)"
        ).fetchall()
        return [Activity(_address(*r[:3]), int(r[3]), int(r[4]), Place(*map(int, r[5:]))) for r in rows]

    def places(self, indices: Sequence[int]) -> list[Place]:
        """Where the distinct records number `indices` stand, counted from 0 and given in the chain's order."""
        rows = self._db.execute(
            "SELECT block, tx, item FROM (SELECT *, row_number() OVER (ORDER BY seq) - 1 AS i FROM net)"
            " WHERE i IN (SELECT unnest(?::BIGINT[])) ORDER BY seq",
            [list(indices)],
        ).fetchall()
        return [Place(*map(int, row)) for row in rows]


def _address(first: int, second: int, third: int) -> str:
    return f"0x{first:016x}{second:016x}{third:08x}"
