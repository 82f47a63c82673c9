"""Files that people hand over: refused before anything starts when they could not be read later, named exactly in messages.

It must never change a file.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from yanshou.harness.basics import ProbeError

LISTED = 20
"""How many of the existing columns a message lists."""


def like(name: str, names: list[str]) -> str:
    """`（是不是“…”？）` when one of `names` is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, names, 1)
    return f"（是不是“{close[0]}”？）" if close else ""


def one_line(text: str) -> str:
    """`text`, in which cells of somebody's file are quoted, on one line."""
    return " ".join(text.split())


def stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file does: size, modification time in ns, inode."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


def unmerged(path: Path) -> str:
    """The name of the write-ahead log beside an SQLite file that holds what the file itself does not yet, "" for none."""
    log = path.with_name(f"{path.name}-wal")
    return log.name if log.is_file() and log.stat().st_size else ""


def checked_file(
    folder: Path, name: str, what: str, *, missing: str, directory: str, empty: str, unreadable: str
) -> Path:
    """The file `name`, relative to `folder`. Raises ProbeError with the code for what is wrong with it."""
    path = folder / name
    if path.is_dir():
        raise ProbeError(directory, f"{what} {name} 是文件夹", "写到文件名为止，如 数据/导出.csv")
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ProbeError(missing, f"找不到{what} {name}{like(path.name, beside)}", "放进案卷文件夹，或改正 file 的路径")
    try:
        with path.open("rb") as f:
            nothing = not f.read(1)
    except OSError as error:
        raise ProbeError(unreadable, f"读不了{what} {name}：{error.strerror}", "检查读权限，关掉独占它的程序") from None
    if nothing:
        raise ProbeError(empty, f"{what} {name} 是空文件", "重新导出；没有记录时也要有列名一行")
    return path


def check_columns(path: Path, columns: tuple[str, ...], wanted: tuple[str, ...], *, missing: str, twice: str) -> None:
    """Raises ProbeError with the code for a column that is missing or not alone."""
    for name in wanted:
        if name not in columns:
            there = "、".join(columns[:LISTED]) + (f" 等 {len(columns)} 列" if len(columns) > LISTED else "")
            remedy = f"改正列名；现有列：{there or '无'}。若显示为乱码或只有一列，改 encoding 或 delimiter"
            text = f"{path.name} 没有列“{name}”{like(name, list(columns))}"
            raise ProbeError(missing, one_line(text), one_line(remedy))
        if columns.count(name) > 1:
            text = f"{path.name} 的列“{name}”出现 {columns.count(name)} 次"
            raise ProbeError(twice, one_line(text), "重新导出，列名不得重复")
