"""Sources beyond one CSV file, what is reconciled and protected, and that every exclusion of a large export is the truth."""

from __future__ import annotations

import csv
import gzip
import hashlib
import hmac
import io
import random
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest
from records_oracle import counted
from records_support import codes, excluded, record

from yanshou.formats.office import BLOATED
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import sha256_bytes
from yanshou.harness.model import Audit
from yanshou.probes.devices.tables import TableFile, UnreadableTable, open_table
from yanshou.probes.records.analyse import analyse, left_out, sample_keys, sheets
from yanshou.probes.records.capture import capture
from yanshou.probes.records.files import file_table
from yanshou.probes.records.pseudonyms import SiteKey, new_site_key
from yanshou.probes.records.scratch import Scratch, literal
from yanshou.probes.records.site import reidentify
from yanshou.probes.records.spec import Params

COLUMNS = ["编号", "时间", "状态", "备注"]
ROWS = [
    ["00017", "2025-03-01 08:00:00", "完成", "a"],
    ["00018", "2025-03-02 08:00:00", "ＴＥＳＴ", None],
    ["０００１７", "2025-03-03 08:00:00", "完成", 'q"uote, \n'],
    [None, "2025-03-04 08:00:00", "完成", ""],
    ["00019", "2024-03-04 08:00:00", "完成", ""],
    ["00020", "2025-03-15 08:00:00", "完成", ""],
]
FULL_WIDTH = {ord(c): ord(c) + 0xFEE0 for c in "0123456789"}
EXPECTED = {"REC-X-RAGGED": 0, "REC-X-KEY": 1, "REC-X-TIME": 0, "REC-X-WINDOW": 1, "TEST": 1, "REC-X-DUP": 1}


def params(file: str = "export.csv", **changes: Any) -> Params:
    return Params.model_validate(
        {
            "file": file,
            "key": ["编号"],
            "time": "时间",
            "window": {"start": "2025-01-01", "end": "2025-12-31"},
            "exclude": [{"code": "TEST", "text": "测试", "column": "状态", "equals": "TEST"}],
            **changes,
        }
    )


def write_csv(path: Path, rows: list[list[Any]], columns: list[str] = COLUMNS, encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, newline="") as f:
        csv.writer(f).writerows([columns, *rows])


def write_xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["别的表"])
    sheet = book.create_sheet("就诊")
    sheet.append([*COLUMNS, None])
    for row in ROWS:
        sheet.append([row[0], datetime.fromisoformat(row[1]), *row[2:]])
    sheet.append([None] * 4)
    book.save(path)


def write_parquet(path: Path) -> None:
    with duckdb.connect() as db:
        db.execute("CREATE TABLE t (编号 VARCHAR, 时间 TIMESTAMP, 状态 VARCHAR, 备注 VARCHAR)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", ROWS)
        db.execute(f"COPY t TO '{path}' (FORMAT parquet)")


def write_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (编号 TEXT, 时间 TEXT, 状态 TEXT, 备注 TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", ROWS)
    db.close()


FORMS: list[tuple[str, Callable[[Path], None], dict[str, Any]]] = [
    ("export.xlsx", write_xlsx, {"sheet": "就诊"}),
    ("export.parquet", write_parquet, {}),
    ("export.db", write_sqlite, {"query": "SELECT * FROM t"}),
]


@pytest.mark.parametrize(("name", "write", "changes"), FORMS)
def test_every_kind_of_file_gives_the_same_count(
    tmp_path: Path, name: str, write: Callable[[Path], None], changes: dict[str, Any]
) -> None:
    write(tmp_path / name)
    wanted = params(name, audit={"file": "audit.csv", "size": 9}, **changes)
    ((_, text),) = sheets(tmp_path, wanted, 3).items()
    assert text.splitlines()[1:] == ["00017,,", "00020,,"]
    (tmp_path / "audit.csv").write_text(text.replace(",,", ",好,"), encoding="utf-8")
    evidence = record(tmp_path, capture, wanted)
    found = analyse(evidence, wanted, 3)
    assert (excluded(found), found.net, found.audit) == (EXPECTED, 2, Audit(2, 2, 2))
    assert found.facts["export_sha256"] == sha256_bytes((tmp_path / name).read_bytes())
    assert found.facts["first_time"] == "2025-03-01T08:00:00"
    assert found.validity == ()
    assert evidence.streams() == ("audit.csv", "import.json", "rows.csv.gz")
    kept = gzip.decompress(evidence.open("rows.csv.gz").read()).decode()
    assert kept.splitlines()[0] == "编号,时间,状态,!"  # what is not declared stays outside


def test_rows_that_lie_beside_a_database_are_not_left_out(tmp_path: Path) -> None:
    """What a database in WAL mode has not merged yet cannot be read from its main file: better refused than counted short."""
    wanted = params("a.db", query="SELECT * FROM t", time=None, window=None, exclude=[])
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (编号 TEXT)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("INSERT INTO t VALUES ('00017')")
        with pytest.raises(ProbeError, match=r"REC-E10 .*a\.db-wal"):
            record(tmp_path, capture, wanted)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert analyse(record(tmp_path, capture, wanted), wanted, 1).net == 1


def test_a_workbook_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """A few kilobytes of shared strings, unpacked to as much memory as there is."""
    write_xlsx(tmp_path / "sound.xlsx")
    strings = ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
    with (
        zipfile.ZipFile(tmp_path / "sound.xlsx") as source,
        zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for name in source.namelist():
            data = source.read(name)
            if name == "[Content_Types].xml" and b"sharedStrings" not in data:
                data = data.replace(b"</Types>", b'<Override PartName="/xl/sharedStrings.xml"' + strings.encode())
            if name != "xl/sharedStrings.xml":
                out.writestr(name, data)
        with out.open("xl/sharedStrings.xml", "w") as part:
            part.write(b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>')
            for _ in range(BLOATED >> 20):
                part.write(b"a" * (1 << 20))
            part.write(b"</t></si></sst>")
    with pytest.raises(ProbeError, match=r"REC-E10 .*占满内存"):
        record(tmp_path, capture, params("a.xlsx", sheet="就诊"))
    with (
        pytest.raises(UnreadableTable, match="占满内存"),
        open_table((tmp_path / "a.xlsx").open("rb"), TableFile(file="a.xlsx")),
    ):
        pass


@pytest.mark.parametrize("name", ["export.xlsx", "export.parquet", "export.db"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"id,time\nA,2025-01-01\n" * 100)
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, params(name, **({"query": "SELECT * FROM t"} if name.endswith("db") else {})))
    assert caught.value.problem.code == "REC-E10"
    assert name in str(caught.value)


def test_a_sheet_or_query_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx")
    write_sqlite(tmp_path / "a.db")
    for wanted in (params("a.xlsx", sheet="没有"), params("a.db", query="SELECT * FROM nowhere")):
        with pytest.raises(ProbeError) as caught:
            record(tmp_path, capture, wanted)
        assert caught.value.problem.code == "REC-E10"
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, params("a.xlsx"))  # the first sheet has other columns
    assert caught.value.problem.code == "REC-E06"


def test_a_database_file_is_not_written_to(tmp_path: Path) -> None:
    write_sqlite(tmp_path / "a.db")
    before = (tmp_path / "a.db").read_bytes()
    wanted = params("a.db", query="WITH x AS (SELECT 1) INSERT INTO t (编号) SELECT 'sneaked'")
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, wanted)
    assert caught.value.problem.code == "REC-E10"
    assert (tmp_path / "a.db").read_bytes() == before


def test_numbers_that_a_sheet_has_rounded_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["编号"])
    for n in range(10):
        book.active.append([1.23457e17 + n * 1e12])
    book.save(tmp_path / "a.xlsx")
    wanted = Params.model_validate({"file": "a.xlsx", "key": ["编号"]})
    found = analyse(record(tmp_path, capture, wanted), wanted, 1)
    assert codes(found.validity)["REC-V02"] == "invalid"


@pytest.mark.parametrize(
    ("cells", "severity"), [(["007"], None), (["7", *["008"] * 300], "warning"), (["7", "008"], "invalid")]
)
def test_keys_that_lost_their_leading_zeros_are_named(tmp_path: Path, cells: list[str], severity: str | None) -> None:
    write_csv(tmp_path / "export.csv", [[cell] for cell in cells], ["编号"])
    wanted = Params.model_validate({"file": "export.csv", "key": ["编号"], "digits": {"编号": 3}})
    found = codes(analyse(record(tmp_path, capture, wanted), wanted, 1).validity)
    assert found.get("REC-V08") == severity


# --- join ------------------------------------------------------------------------------------------------------------------


def test_records_without_counterpart_are_left_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "export.csv", [[f"V{n}", "2025-03-01 08:00:00", "完成", ""] for n in range(10)])
    log = [[f" Ｖ{n}", "成功"] for n in range(6)] + [["V6", "失败"], ["V6", "失败"], ["V1", "失败"], ["", "成功"]]
    write_csv(tmp_path / "log.csv", log, ["流水号", "结果"], "gb18030")
    rule = {"code": "FAILED", "text": "失败", "column": "结果", "in": ["失败"]}
    join = {
        "file": "log.csv",
        "encoding": "gb18030",
        "on": {"编号": "流水号"},
        "text": "平台日志里没有",
        "exclude": [rule],
    }
    evidence = record(tmp_path, capture, params(join=join))
    found = analyse(evidence, params(join=join), 1)
    assert (found.net, excluded(found)["REC-X-JOIN"]) == (6, 4)
    assert [e.text for e in found.exclusions if e.code == "REC-X-JOIN"] == ["平台日志里没有"]
    assert evidence.streams() == ("export.csv", "import.json", "other.csv")
    assert [row[:2] for row in left_out(evidence, params(join=join))][1:] == [
        [str(n), "REC-X-JOIN"] for n in range(7, 11)
    ]


def test_a_second_source_that_is_not_whole_is_invalid(tmp_path: Path) -> None:
    write_csv(tmp_path / "export.csv", [["V", "2025-03-01", "完成", ""]])
    write_csv(tmp_path / "log.csv", [["V"]], ["流水号"])
    join = {"file": "log.csv", "on": {"编号": "流水号"}}
    evidence = record(tmp_path, capture, params(join=join))
    assert "REC-V07" not in codes(analyse(evidence, params(join=join), 1).validity)
    (tmp_path / "runs/0001-probe/other.csv").write_bytes(b"")
    state = {**evidence.acknowledged, "other.csv": {"bytes": 0, "sha256": sha256_bytes(b"")}}
    cut = type(evidence)(evidence.folder, state)
    assert codes(analyse(cut, params(join=join), 1).validity)["REC-V07"] == "invalid"
    missing = {"file": "log.csv", "on": {"编号": "没有"}}
    with pytest.raises(ProbeError, match="REC-E06"):
        record(tmp_path, capture, params(join=missing))


# --- protected columns -----------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteKey:
    (tmp_path / "case").mkdir()
    monkeypatch.setenv("YANSHOU_SITE_KEY", str(tmp_path / "site.key"))
    return new_site_key(tmp_path / "site.key")


def test_pseudonyms_of_the_database_are_those_of_the_standard_library(site: SiteKey) -> None:
    with Scratch() as scratch:
        for cell in ("a", "就诊00001", "x" * 500):
            expected = "h:" + hmac.new(site.secret, cell.encode(), hashlib.sha256).hexdigest()[:32]
            assert scratch.value(f"SELECT {site.sql(literal(cell))}") == site.pseudonym(cell) == expected
    assert site.pseudonym("") == ""
    assert site.secret.hex() not in repr(site)


def people(count: int) -> list[list[Any]]:
    """Visits keyed by numbers that look like identity cards, of which some come again in another spelling."""
    draw = random.Random(3)
    stamps = [f"2025-{1 + n % 12:02d}-0{1 + n % 9} 08:{n % 60:02d}:{draw.randrange(60):02d}" for n in range(count)]
    rows: list[list[Any]] = [[f"4201061990010{n:04d}X", stamps[n], "完成", f"备注{n}"] for n in range(count)]
    rows += [[rows[n][0].translate({ord("X"): "Ｘ"}), *rows[n][1:]] for n in range(0, count, 7)]
    rows += [
        ["", "2025-01-01", "完成", ""],
        ["短"],
        [rows[0][0], "2025-01-01", "TEST", ""],
        ["1.2E+17", "2025-01-01", "完成", ""],
    ]
    draw.shuffle(rows)
    return rows


def test_protected_columns_count_the_same_and_never_enter(tmp_path: Path, site: SiteKey) -> None:
    case = tmp_path / "case"
    write_csv(case / "export.csv", people(300))
    log = [[row[0], "成功"] for row in people(300)[:200]]
    write_csv(case / "log.csv", log, ["证号", "结果"])
    invalid = {"code": "BAD", "text": "不像", "column": "编号", "matches": "^.{0,5}$"}
    wanted = {
        "exclude": [{"code": "TEST", "text": "测试", "column": "状态", "equals": "TEST"}, invalid],
        "normalise": ["nfkc", "strip", "upper"],
        "audit": {"file": "audit.csv", "size": 25},
        "join": {"file": "log.csv", "on": {"编号": "证号"}},
    }
    hidden = params(protect=["编号"], **wanted)
    truth = counted((case / "export.csv").read_bytes(), params(**wanted), (case / "log.csv").read_bytes())
    ((_, text),) = sheets(case, hidden, 5).items()
    rows = list(csv.reader(io.StringIO(text)))
    assert all(len(key) == 18 for key, *_ in rows[1:])  # on site the list names what to look for
    answered = [rows[0], *([key, "坏" if n < 2 else "好", "王医生"] for n, (key, *_) in enumerate(rows[1:]))]
    (case / "audit.csv").write_text("\n".join(map(",".join, answered)), encoding="utf-8")
    evidence = record(case, capture, hidden)
    found = analyse(evidence, hidden, 5)
    assert {code: n for code, n in excluded(found).items() if n} == dict(truth.counts)
    assert found.net == len(truth.seen) > 100
    assert found.audit == Audit(found.net, 25, 23)
    assert ("REC-V02" in codes(found.validity)) is bool(truth.mangled)
    said = "".join(
        (gzip.decompress(data) if name.endswith(".gz") else data).decode()
        for name in evidence.streams()
        for data in [evidence.open(name).read()]
    )
    assert not [secret for secret in ("420106", "王医生", "备注", site.secret.hex()) if secret in said]
    assert site.id in said
    traced = list(left_out(evidence, hidden))
    assert traced[0] == ["row", "reason", "编号"]
    assert [(int(row), reason) for row, reason, _ in traced[1:]] == truth.traced
    duplicates = {key for _, reason, key in traced[1:] if reason == "REC-X-DUP"}
    names = reidentify(hidden, case, duplicates)
    assert names.keys() == duplicates
    assert all(site.pseudonym(cell) == pseudonym for pseudonym, cell in names.items())
    assert set(names.values()) == {key for (key,), n in truth.seen.items() if n > 1}


@pytest.mark.parametrize("how", ["none", "inside", "short", "gone"])
def test_a_site_key_that_is_missing_or_would_travel_is_refused(
    tmp_path: Path, site: SiteKey, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    case = tmp_path / "case"
    write_csv(case / "export.csv", people(3))
    (tmp_path / "short.key").write_text("abcd")
    new_site_key(case / "in.key")
    place = {"none": "", "inside": case / "in.key", "short": tmp_path / "short.key", "gone": tmp_path / "gone"}[how]
    monkeypatch.setenv("YANSHOU_SITE_KEY", str(place))
    with pytest.raises(ProbeError) as caught:
        record(case, capture, params(protect=["编号"]))
    assert caught.value.problem.code == "REC-E14"
    assert not list((case / "runs").rglob("rows*"))


PERSONAL = (
    "13800138000",
    "138-0013-8000",
    "１３８００１３８０００",
    "11010519491231002X",
    "a.b@example.org",
    "30.5928417",
)


@pytest.mark.parametrize("cell", PERSONAL)
@pytest.mark.parametrize("column", ["状态", "备注"])
def test_personal_data_in_the_open_are_refused(tmp_path: Path, site: SiteKey, cell: str, column: str) -> None:
    """C15: a copied export holds all its columns, one with protected columns only those that are declared."""
    case = tmp_path / "case"
    rows = [[f"V{n}", "2025-03-01", "完成", ""] for n in range(50)]
    rows[30][COLUMNS.index(column)] = cell
    write_csv(case / "export.csv", rows)
    for protect in ([], ["编号"]):
        if protect and column == "备注":
            found = analyse(record(case, capture, params(protect=protect)), params(protect=protect), 1)
            assert found.net == 50
            continue
        with pytest.raises(ProbeError) as caught:
            record(case, capture, params(protect=protect))
        assert caught.value.problem.code == "REC-E12"
        assert column in str(caught.value)
        assert cell not in str(caught.value)


def test_cut_canonical_rows_are_invalid_and_never_crash(tmp_path: Path, site: SiteKey) -> None:
    case = tmp_path / "case"
    write_csv(case / "export.csv", people(40))
    wanted = params(protect=["编号"])
    evidence = record(case, capture, wanted)
    whole = evidence.open("rows.csv.gz").read()
    for size in (0, 1, 9, len(whole) // 3, len(whole) - 9, len(whole) - 1):
        (evidence.folder / "rows.csv.gz").write_bytes(whole[:size])
        state = {**evidence.acknowledged, "rows.csv.gz": {"bytes": size, "sha256": sha256_bytes(whole[:size])}}
        found = analyse(type(evidence)(evidence.folder, state), wanted, 1)
        assert codes(found.validity)["REC-V07"] == "invalid"


# --- size ------------------------------------------------------------------------------------------------------------------


def test_of_520_000_visits_in_gbk_every_exclusion_is_the_truth(tmp_path: Path) -> None:
    """The kinds of rows and their numbers are planted; the order says nothing. Half a second for each hundred thousand."""
    draw = random.Random(2025)
    start, span = datetime(2025, 1, 1), 365 * 86400

    def stamp(early: bool = False) -> str:
        return f"{start + timedelta(seconds=draw.randrange(span) - (span + 1 if early else 0))}"

    visits = [f"就诊{n:07d},{stamp()},院区{n % 2 + 1},完成" for n in range(520_000)]
    again = [line.partition(",") for line in draw.sample(visits, 7_707)]
    planted = {
        "TEST": [f"就诊{n:07d},{stamp()},院区1,{draw.choice(('测试', ' 测试', '测试　'))}" for n in range(1_201)],
        "CANCELLED": [f"就诊{n:07d},{stamp()},院区2,{draw.choice(('已取消', '作废'))}" for n in range(2_302)],
        "REC-X-WINDOW": [f"早{n},{stamp(early=True)},院区1,完成" for n in range(3_403)],
        "REC-X-TIME": [f"错{n},2025年3月1日,院区1,完成" for n in range(404)],
        "REC-X-KEY": [f"　,{stamp()},院区1,完成" for _ in range(505)],
        "REC-X-RAGGED": [f"就诊{n:07d},{stamp()}" for n in range(606)],
        "REC-X-DUP": [
            f"{key.translate(FULL_WIDTH) if n % 3 == 0 else f' {key}'},{rest}" for n, (key, _, rest) in enumerate(again)
        ],
    }
    lines = visits + [line for some in planted.values() for line in some]
    draw.shuffle(lines)
    (tmp_path / "export.csv").write_bytes(("流水号,时间,院区,状态\r\n" + "\r\n".join(lines)).encode("gbk"))
    wanted = Params.model_validate(
        {
            "file": "export.csv",
            "encoding": "gb18030",
            "key": ["流水号"],
            "time": "时间",
            "window": {"start": "2025-01-01", "end": "2025-12-31"},
            "exclude": [
                {"code": "TEST", "text": "测试记录", "column": "状态", "equals": "测试"},
                {"code": "CANCELLED", "text": "已取消", "column": "状态", "in": ["已取消", "作废"]},
            ],
            "unit": "人次",
            "audit": {"file": "audit.csv", "size": 122},
            "sha256": sha256_bytes((tmp_path / "export.csv").read_bytes()),
        }
    )
    keys = sample_keys(tmp_path, wanted, 11)
    assert len(set(keys)) == 122
    write_csv(tmp_path / "audit.csv", [[key, "好"] for (key,) in keys], ["流水号", "result"])
    found = analyse(record(tmp_path, capture, wanted), wanted, 11)
    assert excluded(found) == {code: len(some) for code, some in planted.items()}
    assert (found.net, found.gross, found.audit) == (520_000, len(lines), Audit(520_000, 122, 122))
    assert sum(n for _, n in found.per_day) == 520_000
    assert len(found.per_day) == 365
    assert found.validity == ()


def test_rows_of_a_file_are_text_whatever_type_they_had(tmp_path: Path) -> None:
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT 1.50::DECIMAL(9,2) AS a, DATE '2025-01-02' AS b, TIMESTAMPTZ '2025-01-01 00:30:00+00' AS c,"
            f" NULL::INT AS d, 123456789012345678 AS e, 1.5e20::DOUBLE AS f) TO '{tmp_path}/t.parquet' (FORMAT parquet)"
        )
    with file_table(tmp_path, params("t.parquet")) as table:
        assert [row for block in table.blocks for row in block] == [
            ["1.50", "2025-01-02", "2025-01-01 08:30:00", "", "123456789012345678", "1.5e+20"]
        ]
