"""The scratch database must give what counting row by row gives, whatever the cells hold; and the block reader what csv reads."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_oracle import counted
from records_support import MemoryEvidence, excluded

from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import canonical, sha256_bytes
from yanshou.probes.reading import read_table
from yanshou.probes.records import analyse as analyse_module
from yanshou.probes.records import blocks
from yanshou.probes.records.analyse import analyse, in_evidence, sample_keys, tallied
from yanshou.probes.records.blocks import plain_lines, read_blocks
from yanshou.probes.records.scratch import Scratch
from yanshou.probes.records.spec import Params
from yanshou.probes.sampling import draw_sample

KEYS = [
    "",
    " ",
    "A",
    "Ａ",
    "a",
    "b ",
    "　c",
    "甲乙",
    "㈱",
    "①",
    "1.2E+15",
    "420106199001010000",
    "12345.0",
    "007",
    "7",
    "x'y",
    "ﬁ",
    "𠮷",
    "A\u00a0",
]
STAMPS = [
    "", "昨天", "2024-12-31", "2025-01-01 08:00:00", "2025-06-30 23:59:59", "2025-07-01", "2025-03-01T00:00:00+08:00",
    "2025-02-28T16:00:00Z", "２０２５-03-01 00:00", "2025-02-30 10:00:00", "2025-03-01 24:00:00", "2025-03-01 23:59:60",
    "2025-03-31 23:59:59.9", "2025-03-31 23:59:59.1234567", "2025-03-31 23:59:59,5", " 2025-04-01 ", "0000-01-01", "2025-3-1",
]  # fmt: skip
STATES = ["ok", "TEST", "ＴＥＳＴ", " TEST", "已取消", "作废 ", "", "　", "a test", "工业", 'quo"te', "x,y", "两\n行"]
PARAMS: list[dict[str, Any]] = [
    {"key": ["id"]},
    {"key": ["id", "state"], "normalise": ["nfkc", "strip", "upper"], "time": "t", "digits": {"id": 3}},
    {
        "key": ["id"],
        "time": "t",
        "window": {"start": "2025-01-01", "end": "2025-06-30"},
        "exclude": [
            {"code": "TEST", "text": "测试", "column": "state", "contains": "TEST"},
            {"code": "CANCELLED", "text": "取消", "column": "state", "in": ["已取消", "作废"]},
            {"code": "RE", "text": "正则", "column": "state", "matches": "t$|行"},
            {"code": "EMPTY", "text": "空", "column": "state", "empty": True},
            {"code": "NONE", "text": "全", "column": "id", "equals": "①"},
        ],
    },
    {
        "key": ["id"],
        "normalise": [],
        "exclude": [{"code": "L", "text": "大", "column": "state", "not_sme": {"staff": "id"}}],
    },
    {
        "key": ["id"],
        "join": {
            "file": "o.csv",
            "on": {"id": "编号"},
            "exclude": [{"code": "X", "text": "x", "column": "s", "equals": "坏"}],
        },
    },
]


def messy(seed: int, rows: int, delimiter: str = ",") -> bytes:
    """An export in which nearly everything that can be odd about a cell or a row is."""
    draw = random.Random(seed)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=draw.choice(["\n", "\r\n"]))
    writer.writerow(["id", "t", "state", "note"])
    for n in range(rows):
        key = draw.choice(KEYS) if draw.random() < 0.5 else f"K{draw.randrange(rows)}"
        row = [key, draw.choice(STAMPS), draw.choice(STATES[:9] if n % 700 < 600 else STATES), "n"]
        if draw.random() < 0.03:
            row = row[: draw.randrange(1, 4)] if draw.random() < 0.5 else [*row, "extra"]
        writer.writerow(row)
        if draw.random() < 0.001:
            out.write("\n")
        if draw.random() < 0.0005:
            out.write('"lost,quote\n')
    return out.getvalue().encode()


def evidence_of(export: bytes, other: bytes | None = None) -> Any:
    record = {"sha256": sha256_bytes(export)} | ({"other_sha256": sha256_bytes(other)} if other is not None else {})
    streams = {"export.csv": export, "import.json": canonical(record)}
    return MemoryEvidence(streams if other is None else {**streams, "other.csv": other})


@pytest.mark.parametrize("block", [4000, 1 << 20])
@pytest.mark.parametrize("number", range(len(PARAMS)))
def test_counts_are_those_of_counting_row_by_row(number: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    params = Params.model_validate({"file": "export.csv", "audit": {"file": "a.csv", "size": 20}, **PARAMS[number]})
    export = messy(number, 2500)
    other = (
        "编号,s\n".encode()
        + "".join(f"{k.strip()},{'坏' if n % 3 == 0 else '好'}\n" for n, k in enumerate(KEYS)).encode()
    )
    truth = counted(export, params, other)
    evidence = evidence_of(export, other if params.join else None)
    found = analyse(evidence, params, 3)
    assert {code: n for code, n in excluded(found).items() if n} == dict(truth.counts)
    assert found.net == len(truth.seen) > 0
    assert found.facts["top_multiplicity"] == max(truth.seen.values())
    assert dict(found.per_day) == {day.isoformat(): n for day, n in truth.days.items()}
    with tallied(in_evidence(evidence, params), params) as tally:
        assert (tally.mangled, tally.short) == (truth.mangled, truth.short)
        assert analyse_module._longest_rhythm(tally) == truth.longest
    keys = list(truth.seen)
    drawn = [keys[i] for i in draw_sample(len(keys), 20, 3, sha256_bytes(export))]
    assert sample_keys(evidence, params, 3) == drawn
    assert "REC-V07" not in {finding.code for finding in found.validity}


def test_order_of_first_appearance_holds_over_many_groups_of_rows() -> None:
    """DuckDB keeps rows in groups of 122,880 and reads them with several threads."""
    draw = random.Random(1)
    keys = [f"K{draw.randrange(400_000)}" for _ in range(300_000)]
    export = ("id,t\n" + "".join(f"{key},2025-01-01 00:00:{n % 60:02d}\n" for n, key in enumerate(keys))).encode()
    params = Params.model_validate(
        {"file": "e.csv", "key": ["id"], "time": "t", "audit": {"file": "a.csv", "size": 500}}
    )
    first = list(dict.fromkeys(keys))
    drawn = [(first[i],) for i in draw_sample(len(first), 500, 9, sha256_bytes(export))]
    assert sample_keys(evidence_of(export), params, 9) == drawn


TEXT = st.text(st.sampled_from('ab,;"\r\n\0\x01中Ａ\ufeff'), max_size=60)


@given(TEXT, st.sampled_from(["utf-8", "gb18030", "utf-16"]), st.sampled_from([",", ";", "中"]), st.integers(1, 9))
@settings(max_examples=400, deadline=None)
def test_blocks_hold_the_rows_that_csv_reads(text: str, encoding: str, delimiter: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        data = text.encode(encoding)
        with read_table(io.BytesIO(data), encoding, delimiter) as (columns, rows):
            expected = (columns, [row if len(row) == len(columns) else [] for row in rows])
        with read_blocks(io.BytesIO(data), encoding, delimiter) as table:
            found: list[list[str]] = []
            for piece in table.blocks:
                if isinstance(piece, bytes):
                    lines = piece.decode().removesuffix("\n").split("\n")
                    found += [[] if blocks.MARK in line else line.split(delimiter) for line in lines]
                else:
                    found += piece
        width = len(table.columns)
        ragged_alike = [row if len(row) == width else [] for row in found]
        assert (table.columns, ragged_alike) == expected


@pytest.mark.parametrize(
    ("data", "width", "plain"),
    [
        (b"a,b\nc,d\n", 2, True),
        (b"a,b\r\nc,d", 2, True),
        (b"a\nb\n", 1, True),
        (b"a,b\n\nc,d\n", 2, False),
        (b"a\n\nb\n", 1, False),
        (b"a,b,c\nd\n", 2, False),
        (b'a,"b"\n', 2, False),
        (b"a,b\rc,d\n", 2, False),
        (b"a," + b"x" * 200_000 + b"\n", 2, False),
    ],
)
def test_only_lines_that_need_no_parser_are_plain(data: bytes, width: int, plain: bool) -> None:
    assert bool(plain_lines(data, ",", width)) is plain


def test_no_room_is_told_with_what_to_do() -> None:
    def fill() -> None:
        with Scratch() as scratch:
            scratch.db.execute("SET memory_limit='30MB'; SET max_temp_directory_size='1MB'; SET threads=1")
            scratch.db.execute("CREATE TABLE big AS SELECT hash(range) AS h FROM range(20000000) ORDER BY h")

    with pytest.raises(ProbeError) as caught:
        fill()
    assert caught.value.problem.code == "REC-E13"
    assert "TMPDIR" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_fetched_for_what_is_not_built_in() -> None:
    """An extension that is not in the wheel is an error at once, also where there is a network."""
    with Scratch() as scratch, pytest.raises(duckdb.Error, match=r"(?i)extension|does not exist"):
        scratch.db.execute("SELECT * FROM sqlite_scan('x', 'y')")


def test_a_line_without_end_is_read_in_bounded_pieces() -> None:
    class Endless(io.RawIOBase):
        left = 64 << 20

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    with read_blocks(io.BufferedReader(Endless()), "utf-8", ",") as table:
        assert table.columns == ()
        sizes = [len(piece) for piece in table.blocks]
    assert sum(sizes) > 1
