"""Rows out of a real PostgreSQL and a real MariaDB: what is counted, what the server refuses, and what never enters the bundle."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
import pytest
from database_servers import PASSWORD, QUOTED, mariadb, postgresql
from records_support import excluded, record

from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, acknowledged_streams
from yanshou.harness.model import Audit
from yanshou.probes.capturing import RunContext
from yanshou.probes.records.analyse import analyse, sheets
from yanshou.probes.records.capture import capture
from yanshou.probes.records.databases import database_table
from yanshou.probes.records.pseudonyms import new_site_key
from yanshou.probes.records.spec import SPEC, Params

VISITS = 900
CREATE = "CREATE TABLE visits (no VARCHAR(40), happened {stamp}, state VARCHAR(20), amount DECIMAL(10,2), note TEXT)"
QUERY = "SELECT no, happened, state FROM visits"


def rows() -> list[tuple[Any, ...]]:
    """900 visits, 40 of them twice, 30 tests, 20 outside the window, 10 without a key."""
    stamps = [f"2025-{1 + n % 12:02d}-{1 + n % 28:02d} 08:{n % 60:02d}:{n * 7 % 60:02d}" for n in range(VISITS)]
    visits = [(f"就诊{n:05d}", stamps[n], "完成", 12.5, '说,"明"\n二') for n in range(VISITS)]
    return [
        *visits,
        *((f"　{visits[n][0]} ", *visits[n][1:]) for n in range(40)),
        *((f"测{n}", stamps[n], "ＴＥＳＴ", None, None) for n in range(30)),
        *((f"早{n}", "2024-12-31 23:59:59", "完成", None, None) for n in range(20)),
        *((None, stamps[n], "完成", None, None) for n in range(10)),
    ]


EXPECTED = {"REC-X-RAGGED": 0, "REC-X-KEY": 10, "REC-X-TIME": 0, "REC-X-WINDOW": 20, "TEST": 30, "REC-X-DUP": 40}


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgresql() as url:
        with psycopg.connect(url) as db:
            db.execute(CREATE.format(stamp="TIMESTAMP"))
            with db.cursor() as cursor:
                cursor.executemany("INSERT INTO visits VALUES (%s, %s, %s, %s, %s)", rows())
            db.execute("CREATE TABLE zoned (no TEXT, happened TIMESTAMPTZ)")
            db.execute("INSERT INTO zoned VALUES ('A', '2025-01-01T00:30:00+08'), ('B', '2024-12-31T15:59:59Z')")
            db.execute(
                "CREATE FUNCTION sneak() RETURNS TEXT LANGUAGE sql AS"
                " $$ INSERT INTO visits (no) VALUES ('sneaked') RETURNING no $$"
            )
        yield url


@pytest.fixture(scope="module")
def mariadb_url() -> Iterator[str]:
    with mariadb() as url:
        with connected(url) as db, db.cursor() as cursor:
            cursor.execute(CREATE.format(stamp="DATETIME"))
            cursor.executemany("INSERT INTO visits VALUES (%s, %s, %s, %s, %s)", rows())
            cursor.execute(
                "CREATE FUNCTION sneak() RETURNS TEXT MODIFIES SQL DATA"
                " BEGIN INSERT INTO visits (no) VALUES ('sneaked'); RETURN 'sneaked'; END"
            )
            db.commit()
        yield url


def connected(url: str) -> pymysql.Connection[Any]:
    parts = urlsplit(url)
    return pymysql.connect(
        user=parts.username, password=unquote(parts.password or ""), database=parts.path[1:], charset="utf8mb4",
        unix_socket=parts.query.removeprefix("unix_socket="),
    )  # fmt: skip


@pytest.fixture(params=["postgresql", "mysql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    url: str = request.getfixturevalue("postgres_url" if request.param == "postgresql" else "mariadb_url")
    monkeypatch.setenv("YANSHOU_DB_HIS", url)
    return str(request.param)


def visits_in(kind: str, url: str) -> int:
    if kind == "postgresql":
        with psycopg.connect(url) as db:
            row = db.execute("SELECT count(*) FROM visits").fetchone()
    else:
        with connected(url) as other, other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM visits")
            row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def params(**changes: Any) -> Params:
    return Params.model_validate(
        {
            "database": "HIS",
            "query": QUERY,
            "key": ["no"],
            "time": "happened",
            "window": {"start": "2025-01-01", "end": "2025-12-31"},
            "exclude": [{"code": "TEST", "text": "测试", "column": "state", "equals": "TEST"}],
            **changes,
        }
    )


def everything(evidence: RunEvidence) -> str:
    """All bytes of a run, unpacked where they are packed."""
    streams = [(name, evidence.open(name).read()) for name in evidence.streams()]
    return "".join((gzip.decompress(data) if name.endswith(".gz") else data).decode() for name, data in streams)


def test_every_count_of_a_query_is_the_truth(tmp_path: Path, database: str) -> None:
    evidence = record(tmp_path, capture, params())
    found = analyse(evidence, params(), 1)
    assert excluded(found) == EXPECTED
    assert (found.net, found.gross) == (VISITS, VISITS + 100)
    assert found.facts["columns"] == ["no", "happened", "state"]
    assert not {"REC-V07", "REC-V02"} & {finding.code for finding in found.validity}
    origin = json.loads(evidence.open("import.json").read())
    server = origin["servers"]["HIS"]
    assert (server["kind"], server["read_only"], server["query"]) == (database, True, QUERY)
    assert origin["rows"] == found.gross
    assert analyse(evidence, params(), 1) == found


def test_neither_address_nor_password_enters_the_case(tmp_path: Path, database: str) -> None:
    evidence = record(tmp_path, capture, params())
    said = everything(evidence) + (tmp_path / "ledger.jsonl").read_text()
    assert not [secret for secret in (PASSWORD, QUOTED, "yanshou-db-", "owner", "root") if secret in said]


def test_the_server_itself_refuses_to_write(tmp_path: Path, database: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url" if database == "postgresql" else "mariadb_url")
    before = visits_in(database, url)
    with pytest.raises(ProbeError, match=r"(?i)read.only") as caught:
        record(tmp_path, capture, params(query="SELECT sneak() AS no, happened, state FROM visits"))
    assert caught.value.problem.code == "REC-E11"
    assert "\n" not in str(caught.value)
    assert visits_in(database, url) == before == VISITS + 100


@pytest.mark.parametrize(
    "query",
    [
        "SELECT no FROM nowhere",
        "SELECT no, happened, state FROM visits) TO PROGRAM 'touch /tmp/x' --",
    ],
)
def test_a_query_that_is_none_is_refused_in_one_line(tmp_path: Path, database: str, query: str) -> None:
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, params(query=query))
    assert caught.value.problem.code == "REC-E11"
    assert "\n" not in str(caught.value)


def test_who_is_not_let_in_is_told_without_the_password(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue("postgres_url" if database == "postgresql" else "mariadb_url")
    monkeypatch.setenv("YANSHOU_DB_HIS", url.replace(QUOTED, "wr0ng-one"))
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, params())
    assert caught.value.problem.code == "REC-E11"
    assert "wr0ng-one" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "oracle://x", "mysql://u@127.0.0.1:notaport/x"])
def test_a_connection_string_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("YANSHOU_DB_HIS", url)
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, params())
    assert caught.value.problem.code == "REC-E11"
    assert "YANSHOU_DB_HIS" in str(caught.value) or "HIS" in str(caught.value)


def test_stamps_with_a_zone_become_beijing_time(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YANSHOU_DB_HIS", postgres_url)
    wanted = params(query="SELECT * FROM zoned", exclude=[])
    found = analyse(record(tmp_path, capture, wanted), wanted, 1)
    assert (found.net, excluded(found)["REC-X-WINDOW"], excluded(found)["REC-X-TIME"]) == (1, 1, 0)
    assert found.facts["first_time"] == "2025-01-01T00:30:00"


def test_cells_are_the_text_that_the_server_sent(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YANSHOU_DB_HIS", mariadb_url)
    with database_table("HIS", "SELECT no, happened, amount, note FROM visits WHERE no = '就诊00001'") as answer:
        assert answer.table.columns == ("no", "happened", "amount", "note")
        (block,) = answer.table.blocks
    assert block[0] == ["就诊00001", "2025-02-02 08:01:07", "12.50", '说,"明"\n二']


def test_protected_rows_are_frozen_first_and_audited_later(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run one freezes and waits; the sample is drawn from it; run two keeps its rows, whatever the database holds by then."""
    case = tmp_path / "case"
    case.mkdir()
    new_site_key(tmp_path / "site.key")
    monkeypatch.setenv("YANSHOU_SITE_KEY", str(tmp_path / "site.key"))
    wanted = params(protect=["no"], audit={"file": "audit.csv", "size": 30})
    meta = {"purpose": "measurement", "indicator": "S04-I03", "subject": None, "probe": "records"}
    meta |= {"version": SPEC.version, "params": wanted.model_dump(mode="json"), "seed": 5}
    with pytest.raises(ProbeError) as caught, Ledger(case) as ledger, RunWriter(ledger, "first", meta) as run:
        capture(wanted, RunContext(run.sink, 5, case))
    assert caught.value.problem.code == "REC-E15"
    ((name, text),) = sheets(case, wanted, 5).items()
    header, *drawn = csv.reader(io.StringIO(text))
    assert (name, header, len(drawn)) == ("audit.csv", ["no", "result", "note"], 30)
    assert all(key.startswith("h:") for key, *_ in drawn)
    answered = [header, *([key, "好", "王医生 13800138000"] for key, *_ in drawn)]
    (case / "audit.csv").write_text("\n".join(map(",".join, answered)), encoding="utf-8")
    monkeypatch.setenv("YANSHOU_DB_HIS", "")  # it is not asked again
    with Ledger(case) as ledger:
        with RunWriter(ledger, "second", meta) as run:
            capture(wanted, RunContext(run.sink, 5, case))
            run.close(RunStatus.COMPLETED)
        evidence = RunEvidence(run.folder, acknowledged_streams(ledger.records, run.number))
    found = analyse(evidence, wanted, 5)
    assert found.audit == Audit(VISITS, 30, 30)
    assert excluded(found) == EXPECTED
    said = everything(evidence)
    assert "就诊" not in said
    assert "王医生" not in said
    assert "13800138000" not in said
