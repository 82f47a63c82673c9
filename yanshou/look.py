"""What is in a file of evidence, for a person who has it before them: captures, CSV and JSON lines.

It is for looking, not for judging: nothing that it prints is in a report. One pass, bounded memory. It must never change a file,
and never send a packet.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yanshou.harness.basics import Json, Problem, UserError, refusal

if TYPE_CHECKING:
    from yanshou.formats.capture import CaptureSummary, Seen

FIRST = 5
"""Rows shown of a table."""
TOP = 12
"""Entries shown of a list; JSON has all."""
BARS = 60
HEIGHT = "▁▂▃▄▅▆▇█"
LONGEST_LINE = 1 << 22
MOST_COLUMNS = 200


@dataclass
class Column:
    """One column as far as it was read: filled and empty cells, and the range of those that are numbers."""

    filled: int = 0
    empty: int = 0
    numbers: int = 0
    least: float = math.inf
    most: float = -math.inf
    total: float = 0.0

    def add(self, cell: object) -> None:
        """One more cell."""
        if cell is None or cell == "":
            self.empty += 1
            return
        self.filled += 1
        try:
            number = float(cell) if isinstance(cell, (str, int, float)) and not isinstance(cell, bool) else math.nan
        except ValueError:
            return
        if math.isfinite(number):
            self.numbers += 1
            self.least, self.most = min(self.least, number), max(self.most, number)
            self.total += number

    def to_json(self) -> dict[str, Json]:
        """Counts, and least, mean and greatest where there is a number."""
        told: dict[str, Json] = {"filled": self.filled, "empty": self.empty, "numbers": self.numbers}
        if self.numbers:
            told |= {"min": self.least, "mean": self.total / self.numbers, "max": self.most}
        return told


@dataclass
class TableSummary:
    """A CSV or JSON lines file. `damaged`: rows that are none."""

    format: str
    rows: int = 0
    damaged: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    first: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        self.rows += 1
        if len(self.first) < FIRST:
            self.first.append(dict(row))
        for name, cell in row.items():
            if name in self.columns or len(self.columns) < MOST_COLUMNS:
                self.columns.setdefault(name, Column()).add(cell)


def read(path: Path) -> CaptureSummary | TableSummary:
    """What is in the file. Raises UserError L-E01 (not readable), L-E02 (nothing that is known here)."""
    from yanshou.formats.capture import summarise
    from yanshou.formats.pcap import NotACapture

    try:
        with path.open("rb") as f:
            try:
                return summarise(f)
            except NotACapture:
                f.seek(0)
            found = _table(f)
    except OSError as error:
        raise UserError(Problem("L-E01", f"读不了：{refusal(error)}", "检查路径与权限", path)) from None
    if found is None:
        remedy = "能看 pcap、pcapng、CSV 与 JSON 行；压缩过的先解开"
        raise UserError(Problem("L-E02", "不认识这种文件", remedy, path))
    return found


def _table(f: io.BufferedReader) -> TableSummary | None:
    head = f.peek(1)[:4096]
    if not head or b"\0" in head:
        return None
    if head.lstrip()[:1] == b"{":
        return _json_lines(f)
    try:
        head[: head.rfind(b"\n") + 1].decode("utf-8-sig")
        encoding = "utf-8-sig"
    except UnicodeDecodeError:
        encoding = "gb18030"
    if b"," not in head.split(b"\n", 1)[0]:
        return None
    return _csv(io.TextIOWrapper(f, encoding=encoding, errors="replace", newline=""))


def _csv(text: io.TextIOWrapper) -> TableSummary:
    found = TableSummary("csv")
    rows = csv.reader(iter(lambda: text.readline(LONGEST_LINE), ""))
    columns: list[str] = []
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error:
            found.damaged += 1
            continue
        if not columns:
            columns = row
            found.columns = {name: Column() for name in columns[:MOST_COLUMNS]}
        elif len(row) != len(columns):
            found.damaged += 1
        else:
            found.add(dict(zip(columns, row, strict=True)))
    text.detach()
    return found


def _json_lines(f: io.BufferedReader) -> TableSummary | None:
    found = TableSummary("jsonl")
    while line := f.readline(LONGEST_LINE):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            found.add(row)
        elif line.strip():
            found.damaged += 1
    return found if found.rows else None


# --- for people and for machines -----------------------------------------------------------------------------------------


def to_json(told: CaptureSummary | TableSummary) -> dict[str, Json]:
    """Everything as plain data; times as UTC ns."""
    if isinstance(told, TableSummary):
        columns = {name: column.to_json() for name, column in told.columns.items()}
        first: Json = json.loads(json.dumps(told.first, default=str))
        return {"format": told.format, "rows": told.rows, "damaged": told.damaged, "columns": columns, "first": first}
    return {
        "format": told.format, "links": list(told.links), "snaplen": told.snaplen, "frames": told.frames,
        "octets": told.octets, "first": told.first, "last": told.last, "dropped": told.dropped, "unread": told.unread,
        "cut": told.cut, "protocols": dict(told.protocols), "control": dict(told.control),
        "names": {who: dict(facts) for who, facts in told.names.items()},
        "per_time": [list(bar) for bar in told.per_time],
        "findings": [{"code": f.code, "severity": f.severity.value, "text": f.text} for f in told.findings],
        **{sort: {name: _seen(seen) for name, seen in table.items()} for sort, _, table in _tables(told)},
    }  # fmt: skip


def _seen(seen: Seen) -> dict[str, Json]:
    return {
        "first": seen.first, "last": seen.last, "packets": seen.packets, "octets": seen.octets, "peers": sorted(seen.peers),
    }  # fmt: skip


def _tables(told: CaptureSummary) -> tuple[tuple[str, str, Mapping[str, Seen]], ...]:
    return (
        ("macs", "MAC 地址", told.macs),
        ("ips", "IP 地址", told.ips),
        ("tunnels", "GTP-U 隧道", told.tunnels),
        ("clients", "MQTT 客户端", told.clients),
        ("topics", "MQTT 主题", told.topics),
    )


def show(told: CaptureSummary | TableSummary, path: Path) -> Group:
    """The same for a person."""
    return Group(*(_table_view(told, path) if isinstance(told, TableSummary) else _capture_view(told, path)))


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _rows(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for n, head in enumerate(heads):
        table.add_column(head, overflow="fold", justify="left" if n == 0 else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _table_view(told: TableSummary, path: Path) -> Iterator[RenderableType]:
    damaged = f"，另有 {told.damaged} 行残缺" if told.damaged else ""
    yield _heading(f"{path.name}：{told.format}，{told.rows} 行，{len(told.columns)} 列{damaged}")
    rows = []
    for name, c in told.columns.items():
        span = (f"{c.least:.6g}", f"{c.total / c.numbers:.6g}", f"{c.most:.6g}") if c.numbers else ("", "", "")
        rows.append((name, str(c.filled), str(c.empty), *span))
    yield _rows("各列", ("列", "有值", "空", "最小", "平均", "最大"), rows)
    if told.first:
        names = tuple(told.columns)[:TOP]
        yield _rows(
            f"前 {len(told.first)} 行", names, [tuple(str(row.get(n, "")) for n in names) for row in told.first]
        )


def _capture_view(told: CaptureSummary, path: Path) -> Iterator[RenderableType]:
    seconds = (told.last - told.first) / 1e9
    rate = f"，平均 {told.frames / seconds:,.0f} 帧/秒" if seconds > 0 else ""
    yield _heading(f"{path.name}：{told.format}，{told.frames:,} 帧，{told.octets:,} 字节")
    if told.frames:
        yield Text(f"{_moment(told.first)} 至 {_moment(told.last)}（UTC，{seconds:,.1f} 秒{rate}）")
    yield Text(
        f"链路类型 {'、'.join(map(str, told.links)) or '无'}；抓包长度 {told.snaplen or '不限'}；"
        f"未读懂 {told.unread} 帧，不完整 {told.cut} 帧，丢弃 {'未记录' if told.dropped is None else told.dropped}"
    )
    if len(told.per_time) > 1:
        yield Text(f"每段帧数 {_histogram(told)}")
    for finding in told.findings:
        yield Text(f"⚠ {finding.code} {finding.text}", style="yellow")
    if told.protocols:
        yield _rows("协议", ("协议", "帧"), [(name, f"{n:,}") for name, n in _top(told.protocols)])
    if told.control:
        yield _rows("控制消息", ("消息", "条"), [(name, f"{n:,}") for name, n in _top(told.control)])
    for _, title, table in _tables(told):
        if table:
            ranked = sorted(table.items(), key=lambda item: (-item[1].packets, item[0]))
            rows = ((name, f"{seen.packets:,}", f"{seen.octets:,}", _peers(seen)) for name, seen in ranked[:TOP])
            more = f"，前 {TOP}" if len(table) > TOP else ""
            yield _rows(f"{title}（{len(table):,} 个{more}）", ("标识", "包", "字节", "对应"), rows)
    if told.names:
        names = [
            (who, "，".join(f"{k} {v}" for k, v in facts.items())) for who, facts in list(told.names.items())[:TOP]
        ]
        yield _rows(f"控制消息里的名字（{len(told.names):,} 个）", ("谁", "自称"), names)


def _peers(seen: Seen) -> str:
    """The first two of what goes with an identity, and how many there are."""
    more = f" 等 {len(seen.peers)}" if len(seen.peers) > 2 else ""
    return "、".join(sorted(seen.peers)[:2]) + more


def _top(table: Mapping[str, int]) -> list[tuple[str, int]]:
    return Counter(table).most_common(TOP)


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _histogram(told: CaptureSummary) -> str:
    """Frames over time as one line of bars, empty stretches as blanks."""
    start, end = told.per_time[0][0], told.per_time[-1][0]
    width = max(1, math.ceil((end - start + 1) / BARS))
    bars: Counter[int] = Counter()
    for when, number in told.per_time:
        bars[(when - start) // width] += number
    highest = max(bars.values())
    return "".join(
        HEIGHT[max(0, math.ceil(bars[n] / highest * len(HEIGHT)) - 1)] if bars[n] else " " for n in range(max(bars) + 1)
    )
