from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, excluded, imported, record

from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger, RunWriter, acknowledged_streams, sha256_bytes
from yanshou.harness.model import Audit, Count, Kind
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.reading import read_table
from yanshou.probes.records import capture as capture_module
from yanshou.probes.records.analyse import analyse, sample_keys, sheets
from yanshou.probes.records.capture import capture
from yanshou.probes.records.reference import POINTS, export_params, standard, write_export
from yanshou.probes.records.spec import SPEC, Params, estimate
from yanshou.probes.sampling import draw_sample

START = datetime(2025, 1, 1, 8)


def table(rows: list[list[str]], header: str = "id,time,status", encoding: str = "utf-8") -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([header.split(","), *rows])
    return out.getvalue().encode(encoding)


def params(**changes: Any) -> Params:
    return Params.model_validate({"file": "export.csv", "key": ["id"], "time": "time", **changes})


def spread(count: int, days: int = 100, prefix: str = "K") -> list[list[str]]:
    """`count` valid rows at irregular times over `days` days."""
    rng = random.Random(count)
    return [
        [f"{prefix}{n}Q", str(START + timedelta(days=n * days / count, seconds=rng.random())), "ok"]
        for n in range(count)
    ]


def count(rows: list[list[str]], seed: int = 1, **changes: Any) -> Count:
    return analyse(imported(table(rows)), params(**changes), seed)


# --- against the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "calibrate", {}) as run:
        context = RunContext(run.sink, 42, tmp_path)
        with standard(true_value, context) as values:
            given_params = Params.model_validate(values)
            capture(given_params, context)
        run.close(RunStatus.COMPLETED)
    evidence = runs_of(ledger.records)[0].evidence(tmp_path)
    truth = json.loads(evidence.open("truth.json").read())
    planted = truth.pop("planted")
    found = analyse(evidence, given_params, 42)
    assert found.net == truth["true"] == true_value
    assert found.gross == planted.pop("gross") == truth["n"]
    assert excluded(found) == planted
    assert found.validity == ()
    assert sum(n for _, n in found.per_day) == found.net
    assert found.facts["columns"] == ["编号", "车间", "时间", "状态", "备注"]
    assert found.facts["top_multiplicity"] >= 2
    assert "2025-01-01" <= found.facts["first_time"] < found.facts["last_time"] < "2025-07-01"


def test_reference_depends_on_its_seed_only(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_export(tmp_path / name, 50, seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_a_number_in_the_notes_of_an_audit_does_not_enter_the_evidence(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(table(spread(9)))
    given_params = params(audit={"file": "audit.csv", "size": 9})
    (_, text), *_ = sheets(tmp_path, given_params, 1).items()
    noted = text.replace(",,", ",好,电话核实 13800138000", 1).replace(",,", ",好,")
    (tmp_path / "audit.csv").write_text(noted, encoding="utf-8")
    problem = refused(tmp_path, given_params).problem
    assert (problem.code, "第 1 条" in problem.text, "13800138000" in str(problem)) == ("REC-E12", True, False)
    assert list(tmp_path.glob("runs/*/*.csv")) == []
    (tmp_path / "audit.csv").write_text(noted.replace("13800138000", "王医生"), encoding="utf-8")
    assert analyse(record(tmp_path, capture, given_params), given_params, 1).audit == Audit(9, 9, 9)


def test_spec_and_estimate() -> None:
    assert Probe("records").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "条", 0.0)
    assert (estimate(params(), 300).seconds, estimate(params(), 300).samples) == (0.0, 0)
    assert estimate(params(audit={"file": "a.csv", "size": 62}), None).samples == 62


# --- what counts ---------------------------------------------------------------------------------------------------------


def test_each_reason_is_counted_once_and_in_order() -> None:
    inside = "2025-03-01 10:00:00"
    rows = [
        ["A", inside, "ok"],
        ["Ａ　", inside, "ok"],  # full-width variant: a duplicate
        ["B", inside, "ok", "extra"],
        ["B", inside],
        ["", "2024-01-01", "TEST"],  # empty key comes before window and rules
        [" \u3000", inside, "ok"],
        ["C", "", "ok"],
        ["C", "2025-02-30 10:00:00", "TEST"],
        ["C", "2025-02-28 23:59:59", "TEST"],
        ["C", "2025-03-02 00:00:00", "ok"],
        ["C", inside, "a TEST"],  # the first rule that hits takes it
        ["C", inside, "cancelled"],
        ["C", "2025-03-01T23:59:59.999999", "ok"],
        ["D", "2025-03-01", "ok"],
    ]
    rules = [
        {"code": "TEST", "text": "测试", "column": "status", "contains": "TEST"},
        {"code": "LOWER", "text": "小写开头", "column": "status", "matches": "^[ac]"},
        {"code": "NEVER", "text": "从不", "column": "status", "equals": "never"},
    ]
    found = count(rows, window={"start": "2025-03-01", "end": "2025-03-01"}, exclude=rules)
    assert list(excluded(found).items()) == [
        ("REC-X-RAGGED", 2),
        ("REC-X-KEY", 2),
        ("REC-X-TIME", 2),
        ("REC-X-WINDOW", 2),
        ("TEST", 1),
        ("LOWER", 1),
        ("NEVER", 0),
        ("REC-X-DUP", 1),
    ]
    assert (found.gross, found.net, found.per_day) == (14, 3, (("2025-03-01", 3),))


@pytest.mark.parametrize(
    ("test", "hit"),
    [
        ({"equals": "ＴＥＳＴ"}, [0]),
        ({"contains": "ES"}, [0, 1]),
        ({"matches": "^T.*[0-9]$"}, [1]),
        ({"in": ["TEST", "x"]}, [0, 3]),
        ({"empty": True}, [2]),
        ({"empty": False}, [0, 1, 3]),
    ],
)
def test_rule_tests(test: dict[str, Any], hit: list[int]) -> None:
    cells = [" TEST", "TEST2", "　", "x"]
    for index, cell in enumerate(cells):
        rule = {"code": "R", "text": "r", "column": "status", **test}
        found = count([["K", "2025-03-01", cell]], exclude=[rule])
        assert found.net == (index not in hit)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("uscc", ["91420100MA4K00001U", "９１４２０１００ＭＡ４Ｋ００００１Ｕ"], ["91420100MA4K00001X", "914201", ""]),
        (
            "vin",
            ["1M8GDM9AXKP042788", "11111111111111111", "1m8gdm9axkp042788"],
            [
                "1M8GDM9A1KP042788",
                "1M8GDM9AXKP042789",
                "1M8GDM9AXKPO42788",
                "1M8GDM9AXKP04278",
                "1M8GDM9AYKP042788",
                "",
            ],
        ),
        (
            "imei",
            ["490154203237518"],
            ["490154203237519", "49015420323751", "4901542032375180", "", "I490154203237518"],
        ),
    ],
)
def test_declared_check_digits(kind: str, good: list[str], bad: list[str]) -> None:
    rule = {"code": "BAD-ID", "text": "校验位不对", "column": "status", "invalid": kind}
    rows = [[f"K{n}", "2025-03-01", cell] for n, cell in enumerate([*good, *bad])]
    found = count(rows, exclude=[rule])
    assert (found.net, excluded(found)["BAD-ID"]) == (len(good), len(bad))


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("工业,999,50000,", None),
        ("工业,1000,39999.99,", None),
        ("工业,1000,40000,", "LARGE"),
        ("工业,1 000,39999,", None),
        ('工业,"１，２００","50,000",', "LARGE"),
        ("工业,1200,,", "LARGE-UNKNOWN"),
        ("工业,,50000,", "LARGE-UNKNOWN"),
        ("工业,,39999,", None),
        ("工业,-5,50000,", "LARGE-UNKNOWN"),
        ("工业,NaN,50000,", "LARGE-UNKNOWN"),
        ("制造业,10,10,", "LARGE-UNKNOWN"),
        ("建筑业,,80000,80000", "LARGE"),
        ("建筑业,,80000,79999", None),
        ("租赁和商务服务业,300,1,120000", "LARGE"),
        ("其他未列明行业,300,,", "LARGE"),
        ("其他未列明行业,299,,", None),
    ],
)
def test_only_enterprises_that_reach_every_limit_of_their_industry_are_large(row: str, code: str | None) -> None:
    rule = {
        "code": "LARGE",
        "text": "不是中小微企业",
        "column": "行业",
        "not_sme": {"staff": "从业人员", "revenue": "营业收入", "assets": "资产总额"},
    }
    export = f"id,行业,从业人员,营业收入,资产总额\nK,{row}\n".encode()
    found = analyse(imported(export), params(key=["id"], time=None, exclude=[rule]), 1)
    hit = {name for name, number in excluded(found).items() if number}
    assert hit == ({code} if code else set())
    assert [e.code for e in found.exclusions][2:4] == ["LARGE", "LARGE-UNKNOWN"]


@pytest.mark.parametrize(
    ("stamp", "net"),
    [
        ("2025-03-01T00:00:00+08:00", 1),
        ("2025-02-28T16:00:00Z", 1),
        ("2025-02-28T15:59:59Z", 0),
        ("２０２５-03-01 00:00", 1),
        ("2025-03-31 23:59:59.9", 1),
        ("2025-03-31T16:00:00Z", 0),
        ("2025/3/1", 0),
        ("2025-03-01 24:00:00", 0),
        ("20250301T000000", 0),
    ],
)
def test_times_are_beijing_time_and_the_end_day_is_whole(stamp: str, net: int) -> None:
    assert count([["K", stamp, ""]], window={"start": "2025-03-01", "end": "2025-03-31"}).net == net


def test_window_end_with_a_time_is_that_moment() -> None:
    rows = [["A", "2025-03-01 12:00:00", ""], ["B", "2025-03-01 12:00:01", ""]]
    assert count(rows, window={"start": "2025-03-01", "end": "2025-03-01 12:00:00"}).net == 1


@pytest.mark.parametrize(("normalise", "net"), [(["nfkc", "strip"], 2), (["nfkc", "strip", "upper"], 1), ([], 3)])
def test_key_normal_form_is_the_declared_one(normalise: list[str], net: int) -> None:
    rows = [[key, "2025-03-01", ""] for key in ("ab1", "ａｂ１", "AB1")]
    assert count(rows, normalise=normalise).net == net


def test_key_parts_do_not_run_together() -> None:
    export = table([["ab", "c"], ["a", "bc"], ["a', 'b", "c"]], "x,y")
    assert analyse(imported(export), params(key=["x", "y"], time=None), 1).net == 3


# --- formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "written", "delimiter", "newline"),
    [
        ("gb18030", "gb18030", ",", "\n"),
        ("utf-8", "utf-8-sig", ",", "\r\n"),
        ("utf-8-sig", "utf-8", ";", "\r"),
        ("utf-16", "utf-16", "\t", "\r\n"),
    ],
)
def test_encodings_marks_and_line_ends(
    tmp_path: Path, declared: str, written: str, delimiter: str, newline: str
) -> None:
    rows = [["编号", "说明"], ["设备甲", f'带引号"和{newline}换行、{delimiter}分隔'], ["设备乙", "䶮𠮷"], ["", ""]]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=newline).writerows(rows)
    (tmp_path / "export.csv").write_bytes((out.getvalue() + newline * 2).encode(written))
    wanted = params(key=["编号"], time=None, encoding=declared, delimiter=delimiter)
    found = analyse(record(tmp_path, capture, wanted), wanted, 1)
    assert (found.gross, found.net, excluded(found)["REC-X-KEY"]) == (3, 2, 1)
    assert "REC-V07" not in codes(found.validity)


def test_a_lost_quote_hides_no_line() -> None:
    export = b'id,status\nA,ok\n"B,ok\nC,ok\n"D",ok\nE,ok\n'
    found = analyse(imported(export), params(time=None), 1)
    assert (found.gross, excluded(found)["REC-X-RAGGED"], found.net) == (5, 3, 2)


def test_a_field_longer_than_the_reader_takes_is_one_ragged_row() -> None:
    export = b"id\nA\n" + b"x" * 200_000 + b"\nB\n"
    found = analyse(imported(export), params(time=None), 1)
    assert (found.gross, excluded(found)["REC-X-RAGGED"], found.net) == (3, 1, 2)


def test_a_file_without_line_ends_is_read_piece_by_piece() -> None:
    class Endless(io.RawIOBase):
        left = 64 << 20
        asked = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = min(len(buffer), self.left)
            self.asked = max(self.asked, len(buffer))
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    with read_table(io.BufferedReader(Endless()), "utf-8", ",") as (columns, rows):
        assert columns == ()
        assert all(row == [] for row in rows)


# --- bad and cut evidence ------------------------------------------------------------------------------------------------


def test_every_cut_of_an_export_is_invalid_and_none_crashes() -> None:
    whole = table([["设备甲", "2025-03-01 10:00:00", '说"明\n二'], ["设备乙", "2025-03-02 10:00:00", ""]])
    streams = {"export.csv": whole, "import.json": json.dumps({"sha256": sha256_bytes(whole)}).encode()}
    assert "REC-V07" not in codes(analyse(MemoryEvidence(streams), params(), 1).validity)
    for size in range(len(whole)):
        found = analyse(MemoryEvidence({**streams, "export.csv": whole[:size]}), params(), 1)
        assert codes(found.validity)["REC-V07"] == "invalid"
        assert found.net <= 2


@pytest.mark.parametrize("statement", [b"", b"[]", b"{}", b'{"sha256":"0"}', b"\xff"])
def test_a_missing_or_foreign_import_record_is_invalid(statement: bytes) -> None:
    export = table(spread(3))
    evidence = MemoryEvidence({"export.csv": export, "import.json": statement})
    assert codes(analyse(evidence, params(), 1).validity)["REC-V07"] == "invalid"


def test_an_empty_run_gives_zero_and_is_invalid() -> None:
    found = analyse(MemoryEvidence({}), params(audit={"file": "a.csv", "size": 3}), 1)
    assert (found.gross, found.net, found.audit, codes(found.validity)) == (0, 0, None, {"REC-V07": "invalid"})


def test_a_killed_import_counts_what_was_acknowledged(tmp_path: Path) -> None:
    whole = table(spread(500))
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "killed", {}) as run:
        stream = run.sink.stream("export.csv")
        stream.write(whole[:5003])
        run.checkpoint()
        stream.write(whole[5003:])
        run.close(RunStatus.ABORTED)
    checkpoints = [
        r for r in ledger.records if r["kind"] != "checkpoint" or r["streams"]["export.csv"]["bytes"] == 5003
    ]
    evidence = runs_of(checkpoints)[0].evidence(tmp_path)
    assert acknowledged_streams(checkpoints, 1)["export.csv"]["bytes"] == 5003
    found = analyse(evidence, params(), 1)
    assert 0 < found.net < 500
    assert codes(found.validity)["REC-V07"] == "invalid"


# --- validity ------------------------------------------------------------------------------------------------------------


def test_last_seven_days_above_half_is_a_warning() -> None:
    early, late = spread(100, 90), spread(100, 6, "L")
    for row in late:
        row[1] = str(datetime.fromisoformat(row[1]) + timedelta(days=100))
    found = count(early + late)
    assert "REC-V01" not in codes(found.validity)
    assert found.facts["last_seven_days_share"] == 0.5
    found = count(early[:99] + late)
    assert codes(found.validity) == {"REC-V01": "warning"}


def test_a_few_rows_of_a_later_date_do_not_hide_a_week_of_filling_up() -> None:
    early, late, last = spread(40, 60, "E"), spread(100, 5, "L"), spread(3, 3, "Z")
    for rows, days in ((late, 100), (last, 130)):
        for row in rows:
            row[1] = str(datetime.fromisoformat(row[1]) + timedelta(days=days))
    found = count(early + late + last)
    assert found.facts["last_seven_days_share"] < 0.03
    assert codes(found.validity) == {"REC-V01": "warning"}
    assert "70%" in found.validity[0].text


def test_a_window_of_a_week_has_no_last_week() -> None:
    rows = spread(100, 5)
    assert codes(count(rows).validity) == {"REC-V01": "warning"}
    assert count(rows, window={"start": "2025-01-01", "end": "2025-01-07"}).validity == ()


@pytest.mark.parametrize("bad", ["1.23E+15", "4.20106e+17", "420106199001010000", "12345.0"])
def test_keys_rewritten_by_a_spreadsheet(bad: str) -> None:
    rows = spread(99)
    assert "REC-V02" not in codes(count(rows).validity)
    rows.append([bad, "2025-02-01 10:00:00", ""])
    assert codes(count(rows).validity) == {"REC-V02": "warning"}
    rows.append([bad, "2025-02-02 10:00:00", ""])
    found = count(rows)
    assert codes(found.validity) == {"REC-V02": "invalid"}
    assert "2 行" in found.validity[0].text


@pytest.mark.parametrize("fine", ["80003E12", "1E5", "4201061990010100", "420106199001010010", "3.14", "V1.0"])
def test_keys_that_only_resemble_spreadsheet_damage(fine: str) -> None:
    assert count([*spread(9), [fine, "2025-02-01 10:00:00", ""]]).validity == ()


def test_no_time_column_is_a_warning() -> None:
    found = count(spread(10), time=None)
    assert codes(found.validity) == {"REC-V03": "warning"}
    assert found.per_day == ()
    assert found.facts["first_time"] is found.facts["last_seven_days_share"] is None
    assert "REC-X-TIME" not in excluded(found)


@pytest.mark.parametrize("step", [0, 60])
def test_regular_time_stamps_are_a_warning(step: int) -> None:
    regular = [[f"R{n}", str(START + timedelta(days=50, seconds=step * n)), ""] for n in range(1001)]
    others = spread(2000)
    found = count(others[:1000] + regular + others[1000:])
    assert codes(found.validity) == {"REC-V06": "warning"}
    assert "1001 行" in found.validity[0].text
    assert "REC-V06" not in codes(count(others + regular[:1000]).validity)


def test_dates_without_a_time_of_day_are_no_rhythm() -> None:
    rows = [[f"R{n}", f"2025-0{1 + n // 1200}-01", ""] for n in range(3600)]
    assert "REC-V06" not in codes(count(rows).validity)


# --- audit ---------------------------------------------------------------------------------------------------------------

AUDITED = {"file": "audit.csv", "size": 30}


def results(keys: list[tuple[str, ...]], words: list[str] | None = None, encoding: str = "utf-8") -> bytes:
    words = words or ["好"] * len(keys)
    return table([[*key, word, ""] for key, word in zip(keys, words, strict=True)], "id,result,note", encoding)


def drawn(export: bytes, seed: int = 7) -> list[tuple[str, ...]]:
    return sample_keys(imported(export), params(audit=AUDITED), seed)


def audited(export: bytes, audit: bytes | None, seed: int = 7) -> Count:
    return analyse(imported(export, audit), params(audit=AUDITED, sha256=sha256_bytes(export)), seed)


def test_draw_is_the_documented_one() -> None:
    """Recomputed from the method document with nothing but PCG64 and SHA-256; the last line pins it for good."""
    entropy = int.from_bytes(hashlib.sha256(b"7:abc").digest(), "big")
    stream = np.random.PCG64(entropy)
    expected: list[int] = []
    while len(expected) < 5:
        index = int(stream.random_raw()) % 1000  # 2**64 % 1000 of 2**64 outputs would be dropped: none here
        if index not in expected:
            expected.append(index)
    assert draw_sample(1000, 5, 7, "abc") == tuple(expected) == PINNED


def test_draw_drops_outputs_above_the_last_whole_multiple() -> None:
    population = 2**63 + 1
    stream = np.random.PCG64(int(hashlib.sha256(b"7:abc").hexdigest(), 16))
    outputs = [int(stream.random_raw()) for _ in range(40)]
    kept = [raw for raw in outputs if raw < population]
    assert len(kept) < 40
    assert draw_sample(population, 10, 7, "abc") == tuple(kept[:10])


PINNED = (881, 149, 546, 254, 142)


@given(st.integers(0, 500), st.integers(1, 500), st.integers(0, 2**64))
@settings(max_examples=60, deadline=None)
def test_draw_is_without_replacement_and_complete(population: int, size: int, seed: int) -> None:
    indices = draw_sample(population, size, seed, "f" * 64)
    assert len(set(indices)) == len(indices) == min(size, population)
    assert set(indices) <= set(range(population))


def test_draw_is_uniform_and_moves_with_seed_and_digest() -> None:
    hits = Counter(i for seed in range(2000) for i in draw_sample(10, 3, seed, "a"))
    assert min(hits.values()) > 500
    assert max(hits.values()) < 700
    assert len({draw_sample(1000, 5, seed, digest) for seed in (1, 2) for digest in "ab"}) == 4


def test_sample_is_of_distinct_net_keys_and_the_same_from_file_and_run(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    write_export(path, 200, 3)
    wanted = export_params(path).model_copy(update={"file": "export.csv", "audit": params(audit=AUDITED).audit})
    keys = sample_keys(tmp_path, wanted, 7)
    assert len(set(keys)) == 30
    assert {key[1] for key in keys} == {"一车间"}
    assert all(int(key[0][3:12]) < 200 for key in keys)  # the generator numbers its valid records below 200
    (tmp_path / "audit.csv").write_bytes(table([[*key, "好", ""] for key in keys], "编号,车间,result,note"))
    evidence = record(tmp_path, capture, wanted)
    assert sample_keys(evidence, wanted, 7) == keys != sample_keys(evidence, wanted, 8)
    assert analyse(evidence, wanted, 7).audit == Audit(200, 30, 30)
    assert sample_keys(tmp_path, export_params(path), 7) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_audit_counts_good_answers(encoding: str) -> None:
    export = table(spread(200))
    words = ["好", "good", "1", "坏", "bad", "0"] * 5
    found = audited(export, results(drawn(export), words, encoding))
    assert found.audit == Audit(200, 30, 15)
    assert found.validity == ()


def test_audit_of_fewer_records_than_the_sample_is_a_census() -> None:
    export = table(spread(20))
    found = audited(export, results(drawn(export)))
    assert found.audit == Audit(20, 20, 20)


def test_wrong_sample_is_invalid() -> None:
    export = table(spread(200))
    keys = drawn(export)
    other = next((f"K{n}Q",) for n in range(200) if (f"K{n}Q",) not in keys)
    found = audited(export, results([*keys[:-1], other]))
    assert codes(found.validity) == {"REC-V04": "invalid", "REC-V05": "invalid"}
    assert found.audit == Audit(200, 30, 29)
    assert codes(audited(export, results([*keys, keys[0]])).validity) == {"REC-V04": "invalid"}
    assert codes(audited(export, results(keys), seed=8).validity)["REC-V04"] == "invalid"


def test_audit_does_not_fit_a_changed_export() -> None:
    rows = spread(200)
    audit = results(drawn(table(rows)))
    assert codes(audited(table(rows[::-1]), audit).validity)["REC-V04"] == "invalid"


@pytest.mark.parametrize("missing", ["row", "word", "file", "columns"])
def test_incomplete_audit_is_invalid_and_what_is_missing_is_not_good(missing: str) -> None:
    export = table(spread(200))
    keys = drawn(export)
    audit = {
        "row": results(keys[:-1]),
        "word": results(keys, ["好"] * 29 + [""]),
        "file": None,
        "columns": b"id,note\n",
    }[missing]
    found = audited(export, audit)
    assert codes(found.validity) == {"REC-V05": "invalid"}
    assert found.audit == Audit(200, 30, 29 if missing in ("row", "word") else 0)


def test_the_sheet_to_take_along_names_what_was_drawn(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(table(spread(40)))
    wanted = params(audit=AUDITED)
    (name, text), *_ = sheets(tmp_path, wanted, 7).items()
    header, *rows = csv.reader(io.StringIO(text))
    assert (name, header) == (AUDITED["file"], ["id", "result", "note"])
    assert [tuple(r[:1]) for r in rows] == sample_keys(tmp_path, wanted, 7)
    assert sheets(tmp_path, params(), 7) == {}


# --- properties ----------------------------------------------------------------------------------------------------------

CELL = st.sampled_from(["", " ", "A", "Ａ", "a", "B ", "C", "TEST", "1.2E+15"])
STAMP = st.sampled_from(["", "x", "2024-12-31", "2025-01-01 08:00:00", "2025-06-30 23:59:59", "2025-07-01"])
ROW = st.one_of(
    st.tuples(CELL, STAMP, CELL).map(list),
    st.lists(CELL, max_size=5),
)


@given(st.lists(ROW, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_gross_less_exclusions_is_net_in_any_row_order(rows: list[list[str]], rng: random.Random) -> None:
    rules = [
        {"code": "TEST", "text": "测试", "column": "status", "contains": "TEST"},
        {"code": "EMPTY", "text": "空", "column": "status", "empty": True},
    ]
    limits = {"window": {"start": "2025-01-01", "end": "2025-06-30"}, "exclude": rules}
    found = count(rows, **limits)
    shuffled = rng.sample(rows, len(rows))
    again = count(shuffled, **limits)
    assert excluded(found) == excluded(again)
    assert (found.gross, found.net) == (again.gross, again.net)
    assert found.gross == sum(bool(row) for row in rows)
    assert sum(n for _, n in found.per_day) == found.net


# --- parameters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keys": ["id"]}, "keys"),
        ({"key": []}, "key"),
        ({"key": ["id", "id"]}, "有重复"),
        ({"encoding": "utf8mb4"}, "文字编码"),
        ({"encoding": "base64"}, "文字编码"),
        ({"delimiter": "\n"}, "分隔符"),
        ({"time": None, "window": {"start": "2025-01-01", "end": "2025-01-02"}}, "写了 window"),
        ({"window": {"start": "2025-01-02", "end": "2025-01-01"}}, "早于起点"),
        ({"window": {"start": "1月1日", "end": "2025-01-01"}}, "ISO"),
        ({"exclude": [{"code": "X", "text": "x", "column": "c"}]}, "只写一个"),
        ({"exclude": [{"code": "X", "text": "x", "column": "c", "equals": "1", "empty": True}]}, "只写一个"),
        ({"exclude": [{"code": "X", "text": "x", "column": "c", "matches": "("}]}, "正则"),
        (
            {
                "exclude": [
                    {"code": "X", "text": "x", "column": "c", "not_sme": {"staff": "c"}},
                    {"code": "X-UNKNOWN", "text": "x", "column": "c", "empty": True},
                ]
            },
            "有重复",
        ),
        ({"exclude": [{"code": "REC-X-DUP", "text": "x", "column": "c", "empty": True}]}, "自用"),
        ({"exclude": [{"code": "X", "text": "x", "column": "c", "empty": True}] * 2}, "有重复"),
        ({"audit": {"file": "a.csv", "size": 0}}, "size"),
        ({"file": None}, "只写一个"),
        ({"database": "HIS", "query": "select 1"}, "只写一个"),
        ({"file": None, "database": "HIS"}, "query"),
        ({"file": None, "database": "his", "query": "select 1"}, "database"),
        ({"file": None, "database": "HIS", "query": "select 1; drop table x"}, "分号"),
        ({"file": None, "database": "HIS", "query": "delete from x"}, "SELECT"),
        ({"file": None, "database": "HIS", "query": "select 1 INTO  OUTFILE '/x'"}, "写文件"),
        ({"query": "select 1"}, "query"),
        ({"file": "a.sqlite"}, "query"),
        ({"sheet": "x"}, "xlsx"),
        ({"protect": ["time"]}, "时间列"),
        ({"digits": {"status": 3}}, "不是关键列"),
        ({"join": {"file": "o.csv", "on": {}}}, "on"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        params(**changes)


def test_parameters_survive_json_and_take_yaml_dates() -> None:
    rule = {"code": "X", "text": "x", "column": "c", "in": ["a", "b"]}
    given_params = params(
        window={"start": datetime(2025, 1, 1).date(), "end": datetime(2025, 1, 2, 3)}, exclude=[rule], audit=AUDITED
    )
    assert given_params.window is not None
    assert given_params.window.bounds() == (datetime(2025, 1, 1), datetime(2025, 1, 2, 3))
    assert Params.model_validate(given_params.model_dump(mode="json")) == given_params
    assert all(field.description for field in Params.model_fields.values())


# --- capture -------------------------------------------------------------------------------------------------------------


def test_capture_keeps_the_bytes_and_their_origin(tmp_path: Path) -> None:
    export, audit = table(spread(50)), results([("K1Q",)])
    (tmp_path / "数据").mkdir()
    (tmp_path / "数据/export.csv").write_bytes(export)
    (tmp_path / "audit.csv").write_bytes(audit)
    os.utime(tmp_path / "数据/export.csv", (0, 1_700_000_000))
    evidence = record(tmp_path, capture, params(file="数据/export.csv", audit=AUDITED))
    assert evidence.streams() == ("audit.csv", "export.csv", "import.json")
    assert evidence.open("export.csv").read() == export
    assert evidence.open("audit.csv").read() == audit
    origin = json.loads(evidence.open("import.json").read())
    assert origin.pop("audit")["sha256"] == sha256_bytes(audit)
    assert origin == {
        "name": "export.csv",
        "size": len(export),
        "sha256": sha256_bytes(export),
        "mtime": "2023-11-14T22:13:20+00:00",
        "rows": 50,
    }


def refused(folder: Path, wanted: Params) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, wanted)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("what", ["export", "audit"])
def test_missing_folder_and_empty_files_are_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "export.csv").write_bytes(table(spread(3)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").touch()

    def with_file(name: str) -> Params:
        return params(file=name) if what == "export" else params(audit={"file": name, "size": 3})

    missing = refused(tmp_path, with_file("exprt.csv"))
    assert missing.problem.code == "REC-E01"
    assert "export.csv" in str(missing)
    assert refused(tmp_path, with_file("nowhere/export.csv")).problem.code == "REC-E01"
    assert refused(tmp_path, with_file("folder")).problem.code == "REC-E02"
    assert refused(tmp_path, with_file("empty.csv")).problem.code == "REC-E03"


def test_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(b"id,time\n")
    opened = Path.open

    def denied(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", denied)
    assert refused(tmp_path, params()).problem.code == "REC-E04"


@pytest.mark.parametrize(
    ("written", "declared", "advice"),
    [("gb18030", "utf-8", "gb18030"), ("utf-8", "gb18030", "utf-8"), ("utf-8", "utf-16", "utf-8")],
)
def test_wrong_encoding_is_refused_with_the_one_that_fits(
    tmp_path: Path, written: str, declared: str, advice: str
) -> None:
    rows = [[f"设备{n}号", "2025-01-01", ""] for n in range(50)]
    (tmp_path / "export.csv").write_bytes(table(rows, encoding=written))
    error = refused(tmp_path, params(encoding=declared))
    assert error.problem.code == "REC-E05"
    assert advice in error.problem.remedy


def test_binary_garbage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(b"id,time\nA,2025-01-01\n" + bytes(range(256)) * 10)
    error = refused(tmp_path, params())
    assert error.problem.code == "REC-E05"
    assert "导出" in error.problem.remedy


def test_missing_column_lists_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(table([], "设备编号,时间,状态"))
    rule = {"code": "X", "text": "x", "column": "staus", "empty": True}
    error = refused(tmp_path, params(key=["设备编码"], time="时间"))
    assert error.problem.code == "REC-E06"
    assert "是不是“设备编号”" in error.problem.text
    assert "设备编号、时间、状态" in error.problem.remedy
    assert refused(tmp_path, params(key=["状态"], time="when")).problem.code == "REC-E06"
    assert refused(tmp_path, params(key=["状态"], time="时间", exclude=[rule])).problem.code == "REC-E06"


def test_a_message_stays_one_short_line_whatever_the_header_holds(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(table([["x"]], "a\nb," + ",".join(map(str, range(5000)))))
    error = refused(tmp_path, params())
    assert "a b、0、1" in error.problem.remedy
    assert "等 5001 列" in error.problem.remedy


def test_declared_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(table([], "id,time,id,note,note"))
    assert refused(tmp_path, params()).problem.code == "REC-E07"
    assert (
        analyse(record(tmp_path, capture, params(key=["time"], time=None)), params(key=["time"], time=None), 1).net == 0
    )


def test_file_that_changes_while_it_is_copied_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(table(spread(3)))
    check = capture_module._check_export

    def then_append(folder: Path, wanted: Params, columns: tuple[str, ...]) -> int:
        rows = check(folder, wanted, columns)
        with path.open("ab") as f:
            f.write(b"more\n")
        return rows

    monkeypatch.setattr(capture_module, "_check_export", then_append)
    assert refused(tmp_path, params()).problem.code == "REC-E08"


@pytest.mark.parametrize(
    ("audit", "says"),
    [(b"id,note\nA,\n", "result"), (b"key,result\nA,1\n", "id"), ("id,result\nA,好\nB,还行\n".encode(), "第 2 条")],
)
def test_audit_results_that_cannot_be_read_are_refused(tmp_path: Path, audit: bytes, says: str) -> None:
    (tmp_path / "export.csv").write_bytes(table(spread(3)))
    (tmp_path / "audit.csv").write_bytes(audit)
    error = refused(tmp_path, params(audit=AUDITED))
    assert error.problem.code == "REC-E09"
    assert says in error.problem.text


# --- who may know the seed -------------------------------------------------------------------------------------------------


def test_rows_arranged_for_the_draw_pass_an_audit_unless_the_file_was_fixed_before_the_seed(tmp_path: Path) -> None:
    """A tenth of the records is invented; whoever knows the seed tries orders until no invented one is drawn."""
    rows, size, seed = spread(60), 12, 5
    invented = {row[0] for row in rows[:6]}
    agreed = {"audit": {"file": "audit.csv", "size": size}, "sha256": sha256_bytes(table(rows))}

    def drawn(given_rows: list[list[str]]) -> set[str]:
        data = table(given_rows)
        return {given_rows[i][0] for i in draw_sample(len(rows), size, seed, sha256_bytes(data))}

    rng = random.Random(1)
    while drawn(rows) & invented:
        rng.shuffle(rows)
    (tmp_path / "export.csv").write_bytes(table(rows))
    (_, sheet), *_ = sheets(tmp_path, params(audit=agreed["audit"]), seed).items()
    assert not any(key in sheet for key in invented)
    (tmp_path / "audit.csv").write_text(sheet.replace(",,", ",好,"), encoding="utf-8")
    silent = params(audit=agreed["audit"])
    evidence = record(tmp_path, capture, silent)
    found = analyse(evidence, silent, seed)
    assert (found.audit, codes(found.validity)) == (Audit(60, size, size), {"REC-V09": "warning"})
    fixed = params(**agreed)
    assert refused(tmp_path, fixed).problem.code == "REC-E16"
    with pytest.raises(ValueError, match="SHA-256"):
        sheets(tmp_path, fixed, seed)
    assert codes(analyse(evidence, fixed, seed).validity)["REC-V10"] == "invalid"


def test_an_export_that_was_fixed_before_the_seed_is_taken(tmp_path: Path) -> None:
    data = table(spread(60))
    (tmp_path / "export.csv").write_bytes(data)
    fixed = params(audit={"file": "audit.csv", "size": 12}, sha256=sha256_bytes(data))
    (_, sheet), *_ = sheets(tmp_path, fixed, 5).items()
    (tmp_path / "audit.csv").write_text(sheet.replace(",,", ",好,"), encoding="utf-8")
    assert analyse(record(tmp_path, capture, fixed), fixed, 5).validity == ()
    with pytest.raises(ValidationError, match="database"):
        params(file=None, database="HIS", query="SELECT 1", sha256="0" * 64)
