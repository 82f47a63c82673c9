"""Positions that terminals reported, as somebody exported them: what a parameter says of a table, and its rows as arrays.

It must never correct or drop a position: what cannot be read is counted. Rows come in stretches of bounded size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from pydantic import Field

from yanshou.harness.basics import ProbeError
from yanshou.probes.devices.tables import TableFile, UnreadableTable, open_table
from yanshou.probes.importing import check_columns, checked_file, one_line
from yanshou.probes.texts import BEIJING, moment, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRETCH = 1 << 16
"""Rows that are held at a time."""
_EPOCH = datetime(1970, 1, 1) + BEIJING.utcoffset(None)


class PositionTable(TableFile):
    """A table with one row per reported position: which terminal, when, where, and what kind of solution."""

    kind: Literal["table"] = Field(default="table", description="table：平台导出的定位记录表")
    id: str = Field(min_length=1, description="终端编号的列")
    time: str = Field(min_length=1, description="定位时刻的列：ISO 8601，不带时区的按北京时间")
    longitude: str = Field(min_length=1, description="经度的列（WGS84 或 CGCS2000，度）")
    latitude: str = Field(min_length=1, description="纬度的列")
    quality: str = Field(min_length=1, description="解的类型的列，如 NMEA GGA 的定位质量")
    valid: tuple[str, ...] = Field(default=("4",), min_length=1, description="算作有效定位的值；4 为固定解")

    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in the order id, time, longitude, latitude, quality."""
        return (self.id, self.time, self.longitude, self.latitude, self.quality)


@dataclass(frozen=True)
class Fixes:
    """A stretch of positions in the order reported; arrays (n,), `degrees` (n, 2) longitude and latitude.

    `terminal`: index into the names that the reader was given. `valid`: of a declared kind of solution. `broken`: rows of the
    stretch that are no position.
    """

    terminal: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    degrees: NDArray[np.float64]
    valid: NDArray[np.bool_]
    broken: int

    def __len__(self) -> int:
        """Number of positions."""
        return int(self.t_ns.size)

    def where(self, keep: NDArray[np.bool_]) -> Fixes:
        """Some of them, in their order."""
        return Fixes(self.terminal[keep], self.t_ns[keep], self.degrees[keep], self.valid[keep], self.broken)


def read_fixes(stream: BinaryIO, table: PositionTable, names: dict[str, int]) -> Iterator[Fixes]:
    """The rows of `stream`, which is closed; `names` maps each terminal met to its index and grows.

    A row without a terminal, a readable time or a place (degrees; 0, 0 is what a receiver prints that has none) is broken.
    Raises UnreadableTable, ValueError where a column is missing.
    """
    import numpy as np

    with closing(stream), open_table(stream, table) as (columns, rows):
        at = [columns.index(name) for name in table.columns()]
        valid = {plain(word) for word in table.valid}
        held: list[tuple[int, int, float, float, bool]] = []
        broken = 0

        def stretch() -> Fixes:
            who, when, x, y, good = zip(*held, strict=True) if held else ((), (), (), (), ())
            return Fixes(
                np.array(who, dtype=np.int64), np.array(when, dtype=np.int64),
                np.column_stack([np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)]),
                np.array(good, dtype=np.bool_), broken,
            )  # fmt: skip

        for row in rows:
            found = _position([row[n] for n in at]) if len(row) == len(columns) else None
            if found is None:
                broken += 1
            else:
                name, t_ns, x, y, quality = found
                held.append((names.setdefault(name, len(names)), t_ns, x, y, quality in valid))
            if len(held) + broken >= STRETCH:
                yield stretch()
                held, broken = [], 0
        yield stretch()


def _position(cells: list[str]) -> tuple[str, int, float, float, str] | None:
    name, when = plain(cells[0]), moment(cells[1])
    try:
        x, y = float(cells[2]), float(cells[3])
    except ValueError:
        return None
    place = math.isfinite(x) and math.isfinite(y) and abs(x) <= 180 and abs(y) <= 90 and (x, y) != (0.0, 0.0)
    if not name or when is None or not place:
        return None
    return name, (when - _EPOCH) // timedelta(microseconds=1) * 1000, x, y, plain(cells[4])


def table_file(folder: Path, table: PositionTable, code: str) -> Path:
    """The file of `table`. Raises ProbeError with `code` where it is missing, empty or unreadable."""
    codes = dict.fromkeys(("missing", "directory", "empty", "unreadable"), code)
    return checked_file(folder, table.file, "定位记录", **codes)


def check_table(path: Path, table: PositionTable, code: str) -> None:
    """Reads the file to its end. Raises ProbeError with `code` for what is no table, or lacks a column."""
    try:
        with open_table(path.open("rb"), table, errors="strict") as (columns, rows):
            check_columns(path, columns, table.columns(), missing=code, twice=code)
            for _ in rows:
                pass
    except UnreadableTable as error:
        text = f"{path.name} {error}"
        raise ProbeError(code, one_line(text), "用表格软件打开，另存为 xlsx 或 CSV（UTF-8）") from None
    except UnicodeError:
        remedy = "改 encoding，如 gb18030；或重新导出"
        raise ProbeError(code, f"{path.name} 不是 {table.encoding} 编码", remedy) from None
