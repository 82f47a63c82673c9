"""Positions that terminals reported: what a parameter says of a table or of receivers' logs, and what is in them as arrays.

It must never correct or drop a position: what cannot be read is counted. Positions come in stretches of bounded size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date as Date
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import CHUNK, RunEvidence
from yanshou.probes.capturing import RunContext
from yanshou.probes.devices.tables import TableFile, UnreadableTable, open_table
from yanshou.probes.importing import check_columns, checked_file, one_line, stamp
from yanshou.probes.texts import BEIJING, moment, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRETCH = 1 << 16
"""Rows that are held at a time."""
_EPOCH = datetime(1970, 1, 1) + BEIJING.utcoffset(None)


class PositionTable(TableFile):
    """A table with one row per reported position: which terminal, when, where, and what kind of solution."""

    kind: Literal["table"] = Field(description="table：平台导出的定位记录表")
    id: str = Field(min_length=1, description="终端编号的列")
    time: str = Field(min_length=1, description="定位时刻的列：ISO 8601，不带时区的按北京时间")
    longitude: str = Field(min_length=1, description="经度的列（WGS84 或 CGCS2000，度）")
    latitude: str = Field(min_length=1, description="纬度的列")
    quality: str = Field(min_length=1, description="解的类型的列，如 NMEA GGA 的定位质量")
    valid: tuple[str, ...] = Field(default=("4",), min_length=1, description="算作有效定位的值；4 为固定解")

    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in the order id, time, longitude, latitude, quality."""
        return (self.id, self.time, self.longitude, self.latitude, self.quality)


class ReceiverLogs(BaseModel):
    """Raw logs of receivers (NMEA 0183), one file per terminal, which is named as its file is without the ending."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["nmea"] = Field(
        description="nmea：各终端自己的原始输出，一台一个文件，文件名（不含扩展名）即终端编号"
    )
    folder: str = Field(min_length=1, description="日志所在的文件夹，相对案卷文件夹；其中每个文件是一台终端")
    date: Date | None = Field(default=None, description="没有日期的语句（只有 GGA）从哪一天（UTC）开始")
    valid: tuple[int, ...] = Field(default=(4,), min_length=1, description="算作有效定位的 GGA 定位质量；4 为固定解")


Reported: TypeAlias = Annotated[PositionTable | ReceiverLogs, Field(discriminator="kind")]
"""Where positions are from."""


@dataclass(frozen=True)
class Fixes:
    """A stretch of positions in the order reported; arrays (n,), `degrees` (n, 2) longitude and latitude.

    `terminal`: index into the names that the reader was given. `valid`: of a declared kind of solution. `broken`: rows of the
    stretch that are no position, and sentences that are damaged or have no date.
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


def streams_of(name: str, reported: Reported, files: Iterable[str]) -> list[str]:
    """Which of `files` in evidence hold what was taken in as `name`; of a table the one, whether it is there or not."""
    if isinstance(reported, PositionTable):
        return [name + reported.suffix]
    return sorted(file for file in files if file.startswith(f"{name}/"))


def read_fixes(evidence: RunEvidence, name: str, reported: Reported, names: dict[str, int]) -> Iterator[Fixes]:
    """What was taken in as `name`; `names` maps each terminal met to its index and grows.

    Raises KeyError (not in evidence), ValueError (no table, column missing).
    """
    streams = streams_of(name, reported, evidence.streams())
    if not streams:
        raise KeyError(name)
    for stream in streams:
        if isinstance(reported, PositionTable):
            yield from _of_table(evidence.open(stream), reported, names)
        else:
            yield from _of_log(evidence.open(stream), PurePosixPath(stream).stem, reported, names)


def _of_log(stream: BinaryIO, name: str, logs: ReceiverLogs, names: dict[str, int]) -> Iterator[Fixes]:
    import numpy as np

    from yanshou.probes.gnss.reading import read_epochs

    who = names.setdefault(name, len(names))
    with closing(stream):
        reading = read_epochs(((0, data) for data in iter(partial(stream.read, CHUNK), b"")), date=logs.date)
    epochs, counts = reading.epochs, reading.counts
    broken = counts.damaged + counts.halves + sum(counts.refused.values())
    if not reading.dated:  # no time in them is UTC
        broken += len(epochs)
        epochs = epochs.where(np.zeros(len(epochs), dtype=np.bool_))
    degrees, good = np.column_stack([epochs.longitude, epochs.latitude]), np.isin(epochs.quality, logs.valid)
    for first in range(0, max(len(epochs), 1), STRETCH):
        part = slice(first, first + STRETCH)
        t_ns = epochs.t_ns[part]
        yield Fixes(np.full(t_ns.size, who, np.int64), t_ns, degrees[part], good[part], 0 if first else broken)


def _of_table(stream: BinaryIO, table: PositionTable, names: dict[str, int]) -> Iterator[Fixes]:
    """The rows of `stream`, which is closed.

    A row without a terminal, a readable time or a place (degrees; 0, 0 is what a receiver prints that has none) is broken.
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


def take_positions(named: Mapping[str, Reported], run: RunContext, *, unusable: str, changed: str) -> dict[str, str]:
    """Copies every table, and every log in its folder, into evidence under its name; digests by stream.

    Raises ProbeError with the code `unusable` for what is missing, no table, or lacks a column, `changed` for what changed.
    """
    paths: dict[str, Path] = {}
    for name, reported in named.items():
        if isinstance(reported, PositionTable):
            paths[name + reported.suffix] = _file(run.folder, reported.file, unusable)
        else:
            logs = _logs(run.folder, reported.folder, unusable)
            paths |= {f"{name}/{log.name}": _file(log.parent, log.name, unusable) for log in logs}
    before = {stream: stamp(path) for stream, path in paths.items()}
    for name, reported in named.items():
        if isinstance(reported, PositionTable):
            _check_table(paths[name + reported.suffix], reported, unusable)
    digests = {}
    for stream, path in paths.items():
        digests[stream] = run.sink.attach(path, stream)
        if stamp(path) != before[stream]:
            raise ProbeError(changed, f"{path.name} 在导入时被改动", "等导出结束、关掉占用它的程序后重新运行")
    return digests


def _file(folder: Path, name: str, code: str) -> Path:
    codes = dict.fromkeys(("missing", "directory", "empty", "unreadable"), code)
    return checked_file(folder, name, "定位记录", **codes)


def _logs(folder: Path, name: str, code: str) -> list[Path]:
    """The files in the folder of logs; two of one terminal are refused."""
    place = folder / name
    found = sorted(p for p in place.iterdir() if p.is_file() and not p.name.startswith(".")) if place.is_dir() else []
    if not found:
        raise ProbeError(code, f"文件夹 {name} 里没有一个日志", "每台终端放一个文件，文件名（不含扩展名）写终端编号")
    twice = [stem for stem, n in Counter(p.stem for p in found).items() if n > 1]
    if twice:
        text = one_line(f"文件夹 {name} 里终端 {twice[0]} 有几个文件")
        raise ProbeError(code, text, "同一终端的日志先接成一个文件")
    return found


def _check_table(path: Path, table: PositionTable, code: str) -> None:
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
