"""FHIR, HL7 v2 and DICOM -> rows of visits: what is taken, what never is, and what is refused."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.visits_support import adt, dicom_file, encounter
from yanshou.formats import dicom, fhir, hl7v2
from yanshou.formats.visits import COLUMNS, BadRecord

# --- FHIR ---------------------------------------------------------------------------------------------------------------------


def ndjson(*resources: Any) -> io.BytesIO:
    return io.BytesIO("\n".join(json.dumps(r, ensure_ascii=False) for r in resources).encode())


def test_bulk_export() -> None:
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"text": "张三"}]}
    rows = list(fhir.read_ndjson(ndjson(patient, encounter(1), encounter(2, status="cancelled"))))
    assert [tuple(row) for row in rows] == [COLUMNS] * 2
    assert rows[0] == {
        "visit": "JZ000001", "patient": "Patient/p1", "time": "2025-03-01T09:30:00+08:00", "status": "finished",
        "class": "AMB", "provider": "Organization/h1", "test": "", "origin": "第 2 行",
    }  # fmt: skip
    assert rows[1]["status"] == "cancelled"
    assert not any("张三" in cell or "咳嗽" in cell for row in rows for cell in row.values())


def test_r5_and_what_is_left_out() -> None:
    r5 = encounter(3, actualPeriod={"start": "2025-03-02"}, period=None)
    r5["class"] = [{"coding": [{"code": "IMP"}]}]
    labelled = encounter(4, identifier=[], meta={"security": [{"code": "HTEST"}]})
    bare = {"resourceType": "Encounter"}
    rows = list(fhir.read_ndjson(ndjson(r5, labelled, bare)))
    assert [(r["visit"], r["time"], r["class"], r["test"]) for r in rows] == [
        ("JZ000003", "2025-03-02", "IMP", ""),
        ("e4", "2025-03-01T09:30:00+08:00", "AMB", "HTEST"),
        ("", "", "", ""),
    ]


def test_bundles_and_a_servers_own_count() -> None:
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 7, "entry": [{"resource": encounter(1)}]}
    assert [row["visit"] for row in fhir.read_bundle(ndjson(bundle))] == ["JZ000001"]
    assert [row["origin"] for row in fhir.read_bundle(ndjson(encounter(1)))] == ["资源"]
    assert list(fhir.read_bundle(ndjson({"resourceType": "Bundle"}))) == []
    assert fhir.summary_count(ndjson({"resourceType": "Bundle", "type": "searchset", "total": 520000})) == 520000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "第 1 行 不是 JSON"),
        (b"[]", "不是 FHIR 资源"),
        (b"{}\n", "不是 FHIR 资源"),
        (b"[" * 100_000, "不是 JSON"),
        (b"\xff\xfe", "不是 JSON"),
        (b'"' + b"x" * (9 << 20), "超过 8 MiB"),
    ],
)
def test_bad_lines_are_named(data: bytes, words: str) -> None:
    with pytest.raises(BadRecord, match=words):
        list(fhir.read_ndjson(io.BytesIO(data)))


@pytest.mark.parametrize("data", [b"{}", b'{"resourceType":"Bundle"}', b'{"resourceType":"Bundle","total":true}'])
def test_a_bad_count_is_refused(data: bytes) -> None:
    with pytest.raises(BadRecord, match="_summary=count"):
        fhir.summary_count(io.BytesIO(data))
    with pytest.raises(BadRecord, match="entry"):
        list(fhir.read_bundle(io.BytesIO(b'{"resourceType":"Bundle","entry":5}')))
    with pytest.raises(BadRecord, match="第 1 个 entry"):
        list(fhir.read_bundle(io.BytesIO(b'{"resourceType":"Bundle","entry":[5]}')))


# --- HL7 v2 -------------------------------------------------------------------------------------------------------------------


def folded(text: str | bytes, encoding: str = "utf-8") -> list[dict[str, str]]:
    data = text.encode() if isinstance(text, str) else text
    return list(hl7v2.fold(hl7v2.read_messages(io.BytesIO(data), encoding)))


@pytest.mark.parametrize(
    ("before", "after", "segment"), [("\x0b", "\x1c\r", "\r"), ("", "\n", "\n"), ("", "\r\n", "\r\n"), ("", "\r", "\r")]
)
def test_every_framing_gives_the_same_visits(before: str, after: str, segment: str) -> None:
    log = [adt("A04", f"V{n}", f"2025030109300{n}") for n in range(3)]
    rows = folded("".join(before + m.replace("\r", segment) + after for m in log))
    assert [(r["visit"], r["status"], r["time"], r["class"], r["provider"]) for r in rows] == [
        (f"V{n}", "in-progress", "2025-03-01T09:25:00", "O", "H1") for n in range(3)
    ]
    assert rows[2]["origin"] == "第 3 条消息"
    assert rows[0]["patient"] == "PATV0"
    assert not any("SAN" in cell or "1980" in cell for row in rows for cell in row.values())


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (["A04", "A08", "A03"], "finished"),
        (["A04", "A11"], "cancelled"),
        (["A01", "A11", "A01"], "in-progress"),
        (["A01", "A03", "A13"], "in-progress"),
        (["A05", "A38"], "cancelled"),
        (["A04", "A04"], "in-progress"),
        (["A08"], "unknown"),
        (["A11"], "cancelled"),
    ],
)
def test_the_last_event_says_what_became_of_a_visit(events: list[str], status: str) -> None:
    log = [adt(event, "V1", f"2025030109{minute:02d}00") for minute, event in enumerate(events)]
    for order in (log, log[::-1]):  # engines do not always log in order
        (row,) = folded("\r".join(order))
        assert row["status"] == status


def test_headers_other_messages_and_test_systems() -> None:
    log = (
        "FHS|^~\\&|x\rBHS|^~\\&|x\r"
        + adt("R01", "V1", "20250301", kind="ORU")
        + "\r"
        + adt("A04", "V2", "20250301", mode="T")
    )
    (row,) = folded(log + "\rBTS|1\r")
    assert (row["visit"], row["test"]) == ("V2", "HTEST")
    rows = folded(adt("A04", "", "20250301093000") + "\r" + adt("A04", "", "20250301093100"))
    assert [row["visit"] for row in rows] == ["", ""]
    assert folded("") == folded("no message at all\r") == []


def test_character_sets() -> None:
    text = adt("A04", "急诊1", "20250301093000", charset="GB 18030-2000", name="张^三")
    assert folded(text.encode("gb18030"))[0]["visit"] == "急诊1"
    bare = adt("A04", "急诊1", "20250301093000")
    assert folded(bare.encode("gb18030"), "gb18030")[0]["visit"] == "急诊1"
    with pytest.raises(BadRecord, match="第 1 条消息 不是 utf-8 编码"):
        folded(bare.encode("gb18030"))
    assert folded(adt("A04", "A\\T\\B", "20250301"))[0]["visit"] == "A&B"


def test_broken_messages_are_named() -> None:
    with pytest.raises(BadRecord, match="第 2 条消息 MSH"):
        folded(adt("A04", "V1", "20250301") + "\rMSH|^\r")
    assert folded("MSH|^~\\&|HIS|H1\r") == []  # says nothing of a visit


# --- DICOM --------------------------------------------------------------------------------------------------------------------


def test_dicom_header(tmp_path: Path) -> None:
    row = dicom.read_header(dicom_file(tmp_path / "a.dcm"))
    assert row == {
        "visit": "1.2.3", "patient": "P1", "time": "2025-03-01T09:30:00", "status": "", "class": "CT",
        "provider": "Hospital", "test": "", "origin": "",
    }  # fmt: skip
    assert dicom.read_header(dicom_file(tmp_path / "b", TimezoneOffsetFromUTC="+0800"))["time"].endswith(
        "09:30:00+0800"
    )
    assert dicom.read_header(dicom_file(tmp_path / "c", StudyTime=""))["time"] == "2025-03-01"
    assert dicom.read_header(dicom_file(tmp_path / "d", StudyDate=""))["time"] == "093000.000"


def test_pixels_are_not_read(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "a.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[: -2 * 256])  # pixels that are not there at all
    assert dicom.read_header(path)["visit"] == "1.2.3"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "不是 DICOM"),
        (b"\x89PNG" + b"\0" * 400, "不是 DICOM"),
    ],
)
def test_what_is_no_dicom_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(data)
    with pytest.raises(BadRecord, match=words):
        dicom.read_header(path)


def test_deflated_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "a.dcm")
    data = path.read_bytes()
    meta = data.replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    assert meta != data
    path.write_bytes(meta)
    with pytest.raises(BadRecord, match="Deflated"):
        dicom.read_header(path)


def test_damaged_headers_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    data = dicom_file(tmp_path / "a.dcm").read_bytes()
    draw, refused = random.Random(1), 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(4):
            damaged[draw.randrange(132, 600)] = draw.choice((0, 255, draw.randrange(256)))
        (tmp_path / "b.dcm").write_bytes(damaged[: draw.choice((155, 400, len(data)))])
        try:
            assert tuple(dicom.read_header(tmp_path / "b.dcm")) == COLUMNS
        except BadRecord:
            refused += 1
    assert 0 < refused < 300


def test_what_cannot_be_unescaped_is_printed_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    said = b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.5\rPID|1||110105\\X24Q\\1990\rPV1|1|I\r"
    assert [m.event for m in hl7v2.read_messages(io.BytesIO(said))] == ["A01"]
    assert "1990" not in caplog.text
    with pytest.raises(BadRecord):
        list(hl7v2.read_messages(io.BytesIO(b"MSH|^&|A|B|C|D|20241101||ADT^A01|0|P|2.5\rEVN|A01|2024\rPID|1||123\r")))
