"""What a hospital hands over becomes a table that `records` counts, in which nobody can be found."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.probes.records_support import excluded, record
from tests.visits_support import adt, dicom_file, encounter
from yanshou.cli import app
from yanshou.harness.basics import UserError
from yanshou.harness.evidence import digest_file
from yanshou.harness.model import Count
from yanshou.importers.visits import convert
from yanshou.probes.records.analyse import analyse
from yanshou.probes.records.capture import capture
from yanshou.probes.records.pseudonyms import SiteKey, is_pseudonym, new_site_key
from yanshou.probes.records.spec import Params

KEY = SiteKey(bytes(range(32)))
RULES = [
    {"code": "CANCELLED", "text": "已取消", "column": "status", "in": ["cancelled", "entered-in-error"]},
    {"code": "TEST", "text": "测试数据", "column": "test", "equals": "HTEST"},
]


def counted(folder: Path, table: str = "visits.csv", **changes: Any) -> Count:
    given = Params.model_validate({"file": table, "key": ["visit"], "time": "time", "exclude": RULES} | changes)
    return analyse(record(folder, capture, given), given, 1)


def left_out(found: Count) -> dict[str, int]:
    return {code: n for code, n in excluded(found).items() if n}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_bulk_export_and_pages_are_counted_with_every_reason(tmp_path: Path) -> None:
    bulk = [encounter(n) for n in range(200)]
    bulk += [encounter(n, status="cancelled") for n in range(200, 207)]
    bulk += [encounter(n, meta={"security": [{"code": "HTEST"}]}) for n in range(207, 210)]
    bulk += [encounter(n, period={"start": "2024-12-31T23:59:59+08:00"}) for n in range(210, 215)]
    bulk += [encounter(n, identifier=[], id=None) for n in range(215, 217)]
    random.Random(1).shuffle(bulk)
    source = tmp_path / "导出 张三"
    source.mkdir()
    lines = "\n".join(json.dumps(r, ensure_ascii=False) for r in bulk)
    (source / "Encounter.ndjson").write_text(lines, encoding="utf-8")
    page = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": encounter(n)} for n in range(195, 200)],
    }
    (source / "page.json").write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")
    (source / "readme.md").write_text("x")
    (tmp_path / "count.json").write_text('{"resourceType": "Bundle", "total": 230}')
    done = convert("fhir", [source], tmp_path / "visits.csv", KEY, server_count=tmp_path / "count.json")
    assert (done.rows, len(done.originals), done.server_count) == (222, 2, 230)
    found = counted(tmp_path, window={"start": "2025-01-01", "end": "2025-12-31"})
    assert (found.net, found.gross) == (200, 222)
    assert left_out(found) == {"REC-X-KEY": 2, "REC-X-WINDOW": 5, "CANCELLED": 7, "TEST": 3, "REC-X-DUP": 5}
    rows = rows_of(tmp_path / "visits.csv")
    assert all(is_pseudonym(row["visit"]) or not row["visit"] for row in rows)
    assert all(is_pseudonym(row["patient"]) for row in rows)
    written = (tmp_path / "visits.csv").read_text(encoding="utf-8") + (tmp_path / "visits.csv.sources.json").read_text()
    assert not any(word in written for word in ("张三", "JZ0", "Patient/", "咳嗽", "Encounter.ndjson"))
    told = json.loads((tmp_path / "visits.csv.sources.json").read_text())
    assert (told["rows"], told["table_sha256"]) == (222, digest_file(tmp_path / "visits.csv"))
    assert [o["records"] for o in told["originals"]] == [217, 5]
    originals = {digest_file(path)[:24] for path in (source / "Encounter.ndjson", source / "page.json")}
    assert {row["origin"].split()[0] for row in rows} == originals


def test_messages_are_put_together_across_files(tmp_path: Path) -> None:
    first, second = [], []
    for n in range(60):
        first.append(adt("A04", f"V{n}", f"202503010900{n:02d}"))
        second.append(adt("A03", f"V{n}", f"202503011100{n:02d}"))
    first += [adt("A04", f"C{n}", f"202503010900{n:02d}") for n in range(4)]
    second += [adt("A11", f"C{n}", f"202503011000{n:02d}") for n in range(4)]
    first += [adt("A04", f"T{n}", f"202503010900{n:02d}", mode="T") for n in range(3)]
    second += first[:10]  # sent again
    second.append(adt("A04", "", "20250301090000"))
    (tmp_path / "a.hl7").write_text("\x0b" + "\x1c\r\x0b".join(first) + "\x1c\r", encoding="utf-8", newline="")
    (tmp_path / "b.hl7").write_text("\n".join(m.replace("\r", "\n") for m in second), encoding="utf-8")
    convert("hl7v2", [tmp_path / "a.hl7", tmp_path / "b.hl7"], tmp_path / "visits.csv", KEY)
    found = counted(tmp_path)
    assert (found.net, left_out(found)) == (60, {"CANCELLED": 4, "TEST": 3, "REC-X-KEY": 1})
    assert {row["status"] for row in rows_of(tmp_path / "visits.csv")} == {"finished", "cancelled", "in-progress"}


def test_studies_are_counted_once_by_their_headers(tmp_path: Path) -> None:
    source = tmp_path / "pacs"
    (source / "1").mkdir(parents=True)
    for study in range(5):
        for image in range(3):
            dicom_file(source / "1" / f"{study}-{image}", study=f"1.2.{study}", Modality="CT" if image else "SR")
    (source / "viewer.exe").write_bytes(b"MZ")
    done = convert("dicom", [source], tmp_path / "visits.csv", KEY)
    assert (done.rows, len(done.originals), done.passed_over) == (5, 15, [source / "viewer.exe"])
    assert {row["class"] for row in rows_of(tmp_path / "visits.csv")} == {"CT+SR"}
    assert counted(tmp_path).net == 5
    assert "1.2." not in (tmp_path / "visits.csv").read_text()


def test_another_key_gives_other_pseudonyms_and_the_same_count(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("\n".join(json.dumps(encounter(n % 4)) for n in range(6)))
    convert("fhir", [tmp_path / "a.ndjson"], tmp_path / "a.csv", KEY)
    convert("fhir", [tmp_path / "a.ndjson"], tmp_path / "b.csv", SiteKey(bytes(32)))
    a, b = (rows_of(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert not {row["visit"] for row in a} & {row["visit"] for row in b}
    assert counted(tmp_path, "a.csv").net == counted(tmp_path, "b.csv").net == 4


@pytest.mark.parametrize(
    ("kind", "name", "data", "words"),
    [
        ("fhir", "a.ndjson", json.dumps(encounter(1)).encode() + b"\n{", "第 2 行不是 JSON"),
        ("hl7v2", "a.hl7", b"MSH|", "第 1 条消息MSH"),
    ],
)
def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path, kind: Any, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=words) as caught:
        convert(kind, [tmp_path / name], tmp_path / "visits.csv", KEY)
    assert caught.value.problems[0].file == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_header_that_cannot_be_read_leaves_nothing_and_one_without_a_study_no_key(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "a.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\x08\x00\x20\x00DA", b"\x08\x00\x20\x00ZZ"))
    with pytest.raises(UserError, match="读不出"):
        convert("dicom", [path], tmp_path / "visits.csv", KEY)
    assert [p.name for p in tmp_path.iterdir()] == ["a.dcm"]
    path.write_bytes(whole[: whole.index(b"\x20\x00\x0d\x00UI")])
    convert("dicom", [path], tmp_path / "visits.csv", KEY)
    assert left_out(counted(tmp_path)) == {"REC-X-KEY": 1}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["visits", *arguments])

    case, site = tmp_path / "case", tmp_path / "site"
    case.mkdir()
    site.mkdir()
    source, table = site / "a.ndjson", case / "visits.csv"
    source.write_text("\n".join(json.dumps(encounter(n)) for n in range(3)))
    monkeypatch.delenv("YANSHOU_SITE_KEY", raising=False)
    assert "REC-E14" in str(run("fhir", str(source), "-o", str(table)).exception)
    new_site_key(case / "key")
    monkeypatch.setenv("YANSHOU_SITE_KEY", str(case / "key"))
    assert "流出现场" in str(run("fhir", str(source), "-o", str(table)).exception)
    new_site_key(site / "key")
    monkeypatch.setenv("YANSHOU_SITE_KEY", str(site / "key"))
    (site / "count.json").write_text('{"resourceType": "Bundle", "total": 5}')
    done = run("fhir", str(source), "-o", str(table), "--server-count", str(site / "count.json"))
    assert done.exit_code == 0, done.exception
    assert "3 行，出自 1 个原件" in done.output
    assert "差 2：自报只作对照" in done.output
    assert "E-EXISTS" in str(run("fhir", str(source), "-o", str(table)).exception)
    nowhere = str(run("fhir", str(source), "-o", str(case / "none" / "b.csv")).exception)
    assert "E-DISK" in nowhere
    assert ".tmp" not in nowhere
    assert "E-KIND" in str(run("x12", str(source), "-o", str(case / "b.csv")).exception)
    assert "E-ENCODING" in str(run("hl7v2", str(source), "-o", str(case / "b.csv"), "--encoding", "x").exception)
    assert "I-FILE" in str(run("fhir", str(site / "none"), "-o", str(case / "b.csv")).exception)
    assert sorted(path.name for path in case.iterdir()) == ["key", "visits.csv", "visits.csv.sources.json"]
