"""Evidence files as people can look at them: tables, texts, positions, captures, pictures, and for everything else its bytes.

Every look is bounded, however large the file: a page is a stretch of fixed length that is found by its place and not by counting
lines, and what adds up a whole stream reads a stated number of bytes. Content is data: it must never become markup or be run, and
how a file looks is decided by its bytes, not by its name. Nothing here goes into a report.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Limit, Op, Points, Scatter, Trace, Traces
from yanshou.harness.pictures import kept
from yanshou.inspect.files import picture_type
from yanshou.look import to_json
from yanshou.reports.blocks import Block, Plots, Text, facts, table
from yanshou.reports.display import Data, display
from yanshou.reports.pictures import picture_panels
from yanshou.view.opened import printable

if TYPE_CHECKING:
    from yanshou.formats.capture import CaptureSummary
    from yanshou.probes.gnss.reading import Reading

PAGE = 32 << 10
"""Bytes of a page."""
LONGEST_LINE = 64 << 10
"""Bytes that a page may go on beyond its end, until its last line ends."""
MOST_COLUMNS, LONGEST_CELL = 60, 300
FIRST_ROWS = 6
"""Rows by which a table is told from a text with commas."""
LARGEST_JSON = 512 << 10
"""Bytes of a JSON file that is laid out; a larger one is shown as text."""
READ = 64 << 20
"""Bytes of a stream of positions, or of a capture, that are added up."""
TOP = 12
KEPT = 16
"""Files whose summary is remembered while somebody turns their pages."""
HEX_LINE, HEX_PAGE = 16, 8 << 10
CAPTURES = (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a")
SENTENCE = re.compile(rb"(?m)^\$(G[A-Z]|BD)(GGA|GNS|RMC|GSV),|\$KSXT,|#BEST(NAV|POS)A,")
DRAWING = threading.Lock()
"""One plot at a time: what draws them keeps its settings in one place."""


class Kind(StrEnum):
    """How a file is shown."""

    PICTURE = "picture"
    CAPTURE = "capture"
    POSITIONS = "positions"
    TABLE = "table"
    JSON = "json"
    TEXT = "text"
    BYTES = "bytes"

    @property
    def word(self) -> str:
        """The Chinese word printed for people."""
        return {
            "picture": "图片", "capture": "抓包", "positions": "定位语句", "table": "表格", "json": "JSON", "text": "文本",
            "bytes": "字节",
        }[self.value]  # fmt: skip


def kind_of(path: Path) -> Kind:
    """How the file at `path` is shown, by what its first bytes are. Raises OSError."""
    if picture_type(path):
        return Kind.PICTURE
    with path.open("rb") as f:
        head = f.read(16 << 10)
    if head[:4] in CAPTURES:
        return Kind.CAPTURE
    if SENTENCE.search(head):
        return Kind.POSITIONS
    encoding = _encoding(head)
    if encoding is None:
        return Kind.BYTES
    if head.lstrip()[:1] in (b"{", b"[") and path.stat().st_size <= LARGEST_JSON and _parsed(path) is not None:
        return Kind.JSON
    return Kind.TABLE if _is_table(head, encoding) else Kind.TEXT


def _encoding(head: bytes) -> str | None:
    """In which encoding this is text; None where it is none. A character may be cut at the end."""
    if b"\0" in head:
        return None
    for encoding in ("utf-8", "gb18030"):
        for cut in range(4):
            try:
                text = head[: len(head) - cut].decode(encoding)
            except UnicodeDecodeError:
                continue
            odd = sum(c < " " and c not in "\t\r\n\f" for c in text)
            return encoding if odd * 100 <= len(text) else None
    return None


def _is_table(head: bytes, encoding: str) -> bool:
    """Whether the first rows have as many cells each, and more than one."""
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff")
    if text[:1] in "{[":
        return False
    try:
        rows = [row for row in islice(csv.reader(io.StringIO(text, newline="")), FIRST_ROWS) if row]
    except csv.Error:
        return False
    whole = rows[:-1] if len(rows) < FIRST_ROWS and len(rows) > 1 else rows  # the last one may be cut
    return len({len(row) for row in whole}) == 1 and len(whole[0]) > 1


def _parsed(path: Path) -> Json:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class Stretch:
    """The lines that begin on one page. `begin` and `end` are their places in the file; pages count from 1."""

    page: int
    pages: int
    begin: int
    end: int
    size: int
    data: bytes


def stretch(path: Path, page: int, length: int = PAGE) -> Stretch:
    """Page number `page` of the file, or the nearest one there is: whole lines, unless one is longer than LONGEST_LINE."""
    size = path.stat().st_size
    pages = max(1, -(-size // length))
    page = min(max(page, 1), pages)
    at = (page - 1) * length
    with path.open("rb") as f:
        begin = _line_after(f, at)
        end = _line_after(f, min(at + length, size))
        f.seek(begin)
        data = f.read(max(0, end - begin))
    return Stretch(page, pages, begin, end, size, data)


def _line_after(f: BinaryIO, at: int) -> int:
    """Where the first line begins at or after `at`; `at` itself inside a line that does not end soon."""
    if at == 0:
        return 0
    f.seek(at - 1)
    rest = f.read(LONGEST_LINE + 1)
    found = rest.find(b"\n")
    return at + found if found >= 0 else at + len(rest) - 1 if len(rest) <= LONGEST_LINE else at


@dataclass(frozen=True)
class Rows:
    """Rows of a table with its head; `cut`: whether columns or cells were shortened."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    cut: bool


def rows_of(path: Path, part: Stretch) -> Rows:
    """The page as rows under the head of the file's first line."""
    with path.open("rb") as f:
        first = f.readline(LONGEST_LINE)
    encoding = _encoding(first + part.data) or "utf-8"
    body = part.data[len(first) :] if part.begin == 0 else part.data
    head = next(_split(first, encoding), [])
    rows = [row for row in _split(body, encoding) if row]
    longest = max((len(r) for r in (head, *rows)), default=0)
    cells = tuple(tuple(_short(c) for c in row[:MOST_COLUMNS]) for row in rows)
    names = tuple(_short(c) for c in head[:MOST_COLUMNS])
    cut = longest > MOST_COLUMNS or any(len(c) > LONGEST_CELL for row in rows for c in row)
    return Rows(names, cells, cut)


def _split(data: bytes, encoding: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(data.decode(encoding, errors="replace").lstrip("\ufeff"), newline=""))
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def text_of(part: Stretch) -> str:
    """The page as text."""
    return part.data.decode(_encoding(part.data) or "utf-8", errors="replace")


def hex_of(part: Stretch) -> str:
    """The page as places, bytes, and what of them is ASCII."""
    lines = []
    for at in range(0, len(part.data), HEX_LINE):
        row = part.data[at : at + HEX_LINE]
        seen = "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in row)
        lines.append(f"{part.begin + at:08x}  {row.hex(' '):<{3 * HEX_LINE - 1}}  {seen}")
    return "\n".join(lines)


def bytes_page(path: Path, page: int) -> Stretch:
    """Page number `page` of a file that has no lines."""
    size = path.stat().st_size
    pages = max(1, -(-size // HEX_PAGE))
    page = min(max(page, 1), pages)
    with path.open("rb") as f:
        begin = f.seek((page - 1) * HEX_PAGE)
        data = f.read(HEX_PAGE)
    return Stretch(page, pages, begin, begin + len(data), size, data)


def laid_out(path: Path) -> str:
    """A JSON file with one value a line."""
    return json.dumps(_parsed(path), ensure_ascii=False, indent=2)


def _beginning(path: Path) -> BinaryIO:
    """The first READ bytes of a file."""
    return RunEvidence(path.parent, {path.name: {"bytes": READ}}).open(path.name)


def _partly(path: Path) -> Iterator[Block]:
    size = path.stat().st_size
    if size > READ:
        yield Text(f"只读了开头 {READ >> 20} MiB（全长 {display(size)} 字节）；下面的数都只是这一段的。")


def capture_blocks(path: Path) -> tuple[Block, ...]:
    """What is in a capture, added up by the same reader as `yanshou look`. Raises NotACapture, OSError."""
    return _capture_blocks(path, *_version(path))


def _version(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(KEPT)
def _capture_blocks(path: Path, _size: int, _modified: int) -> tuple[Block, ...]:
    from yanshou.formats.capture import summarise

    with _beginning(path) as f:
        told = summarise(f)
    return (*_partly(path), *_capture(told))


def _capture(told: CaptureSummary) -> Iterator[Block]:
    all_of = to_json(told)
    spans = [_utc(t) for t in (told.first, told.last)] if told.frames else ["", ""]
    yield facts(
        ("格式", told.format),
        ("帧", told.frames),
        ("字节", told.octets),
        ("第一帧（UTC）", spans[0]),
        ("最后一帧（UTC）", spans[1]),
        ("未读懂、不完整、丢弃", f"{told.unread}、{told.cut}、{'未记录' if told.dropped is None else told.dropped}"),
    )
    for f in told.findings:
        yield Text(printable(f"{f.code}　{f.text}"))
    for name, title in (("protocols", "协议"), ("control", "控制消息")):
        if all_of[name]:
            most: list[Sequence[object]] = list(Counter(all_of[name]).most_common(TOP))
            yield table(title, {"名称": 3, "数量": 1}, printable(most), (1,))
    names = {
        "macs": "MAC 地址",
        "ips": "IP 地址",
        "tunnels": "GTP-U 隧道",
        "clients": "MQTT 客户端",
        "topics": "MQTT 主题",
    }
    for name, title in names.items():
        seen = sorted(all_of[name].items(), key=lambda item: (-item[1]["packets"], item[0]))
        if seen:
            rows = [(who, s["packets"], s["octets"], "、".join(s["peers"][:3])) for who, s in seen[:TOP]]
            many = f"（{len(seen):,} 个，列出包最多的 {TOP} 个）" if len(seen) > TOP else f"（{len(seen):,} 个）"
            yield table(f"{title}{many}", {"标识": 3, "包": 1, "字节": 1.2, "对应": 3}, printable(rows), (1, 2))


def _utc(ns: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


def position_blocks(path: Path) -> tuple[Block, ...]:
    """Track, heights and sky of a stream of positioning sentences, read by the instrument's own reader. Raises OSError."""
    return _position_blocks(path, *_version(path))


@lru_cache(KEPT)
def _position_blocks(path: Path, _size: int, _modified: int) -> tuple[Block, ...]:
    from yanshou.probes.gnss.reading import read_epochs

    with _beginning(path) as f:
        reading = read_epochs((0, data) for data in iter(lambda: f.read(1 << 16), b""))
    return (*_partly(path), *_positions(reading))


def _positions(reading: Reading) -> Iterator[Block]:
    from yanshou.probes.gnss.pictures import sky

    yield facts(
        ("取用的语句", reading.sentence or "没有位置"),
        ("有位置的历元", len(reading.epochs)),
        ("没有位置的历元", int(reading.without_ns.size)),
        ("语句来源", "、".join(sorted(reading.talkers))),
    )
    pictures = [*(_track(reading) if len(reading.epochs) else ()), kept(sky(reading.satellites), _METRES)]
    with DRAWING:
        drawn = [panel for picture in pictures for panel in picture_panels(picture)]
    for i in range(0, len(drawn), 2):
        yield Plots("由语句画出，只供查看，不参加判定", tuple(p.__dict__ for p in drawn[i : i + 2]))


_METRES = Limit(Op.LE, Decimal(1), "m")
"""The unit that is drawn in; no limit is."""


def _track(reading: Reading) -> Iterator[Data]:
    """The way from the mean place, to one scale, and height over time."""
    import numpy as np

    from yanshou.probes.gnss.geodesy import Place, enu
    from yanshou.probes.gnss.pictures import SOLUTIONS, solution

    e = reading.epochs
    level = np.where(np.isfinite(e.height), e.height, np.where(np.isfinite(e.altitude), e.altitude, 0.0))
    mean = Place(float(np.mean(e.latitude)), float(np.mean(e.longitude)), float(np.mean(level)))
    east, north, up = enu(e.latitude, e.longitude, level, mean)
    group = solution(e.quality)
    points = Points(east, north, group, SOLUTIONS)
    yield kept(Scatter("轨迹：各历元到平均位置的东、北方向距离", ("东向", "北向"), "m", points), _METRES)
    seconds = (e.t_ns - e.t_ns[0]) / 1e9
    traces = (Trace("东向", east), Trace("北向", north), Trace("天向", up))
    yield kept(Traces("随时间：到平均位置的距离", "m", seconds, traces, group, SOLUTIONS), _METRES)
