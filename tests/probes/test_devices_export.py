"""The export source: operator and core lists as CSV and xlsx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.probes.devices_support import START, TreeEvidence, table
from tests.probes.records_support import codes
from tests.probes.sources_support import recording
from yanshou.harness.basics import ProbeError
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.export import record as record_module
from yanshou.probes.devices.sources.export.params import Source
from yanshou.probes.devices.sources.export.read import findings, observations
from yanshou.probes.devices.sources.export.record import record as record_source

GOOD, OTHER, BAD = "490154203237518", "352099001761481", "490154203237519"
HEADER = ["IMEI", "IMSI", "地址", "状态", "时间", "CPE"]


def source(**changes: Any) -> Source:
    values = {
        "kind": "export", "file": "核心网.csv", "identities": {"imei": "IMEI", "supi": "IMSI", "ip": "地址"},
        "where": {"状态": ["在线", "已注册"]}, "time": "时间", "gateway": "CPE",
    }  # fmt: skip
    return Source.model_validate({**values, **changes})


def line(imei: str = "", imsi: str = "", ip: str = "", state: str = "在线", time: str = "", cpe: str = "") -> list[str]:
    return [imei, imsi, ip, state, time, cpe]


def part(*lines: list[str]) -> TreeEvidence:
    return TreeEvidence({"export.csv": table(HEADER, lines)})


def found_codes(*lines: list[str]) -> dict[str, str]:
    return codes(tuple(findings(part(*lines), source())))


def test_rows_become_identities() -> None:
    lines = [
        line(GOOD, "460001234567890", "10.0.0.1", "在线", "2026-03-02 16:00:00", "CPE-1"),
        line("", "460001234567891", "", "已注册 "),
        line(OTHER, state="离线"),
        line(),
        ["too", "short"],
    ]
    assert list(observations(part(*lines), source())) == [
        Observation(
            "imei", GOOD, "export", START, START, gateway="CPE-1", same={"supi": "460001234567890", "ip": "10.0.0.1"}
        ),
        Observation("supi", "460001234567891", "export"),
    ]
    assert found_codes(*lines) == {}


def test_an_imei_with_a_wrong_check_digit_identifies_nothing() -> None:
    lines = [line(BAD), line("12345", "460001234567890")]
    assert [o.kind for o in observations(part(*lines), source())] == ["supi"]
    assert found_codes(*lines) == {"EXP-V02": "warning"}
    assert found_codes(line(GOOD), line(OTHER), line("4901542032375101")) == {}


def test_rows_that_come_twice() -> None:
    assert found_codes(line(GOOD, ip="10.0.0.1"), line(GOOD, ip="10.0.0.2")) == {"EXP-V03": "warning"}
    assert found_codes(line(ip="10.0.0.1"), line(ip="10.0.0.1")) == {"EXP-V03": "warning"}
    assert found_codes(line(ip="10.0.0.1"), line(ip="10.0.0.2"), line(), line()) == {}


def test_numbers_that_a_spreadsheet_rewrote() -> None:
    assert found_codes(line(imsi="4.60001E+14")) == {"EXP-V04": "warning"}


def test_a_list_that_is_not_there_is_invalid() -> None:
    assert codes(tuple(findings(TreeEvidence({}), source()))) == {"EXP-V01": "invalid"}


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_files_are_taken_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    lines = [line(GOOD, time="2026-03-02 16:00:00"), line(OTHER, state="离线")]
    path = tmp_path / f"核心网{suffix}"
    if suffix == ".csv":
        path.write_bytes(table(HEADER, lines).decode().encode("gb18030"))
    else:
        book = openpyxl.Workbook()
        assert book.active is not None
        for cells in [HEADER, [int(GOOD), None, None, "在线", "2026-03-02 16:00:00", None], lines[1]]:
            book.active.append(cells)
        book.save(path)
    asked = source(file=path.name, encoding="gb18030")
    with recording(tmp_path, record_source, asked) as going:
        pass
    assert going.evidence.open(f"export{suffix}").read() == path.read_bytes()
    assert list(observations(going.evidence, asked)) == [Observation("imei", GOOD, "export", START, START)]


@pytest.mark.parametrize(
    ("data", "changes", "code"),
    [
        (None, {}, "EXP-E01"),
        (b"", {}, "EXP-E01"),
        ("IMEI,时间\n".encode("gb18030"), {}, "EXP-E02"),
        (b"PK", {"file": "x.xlsx"}, "EXP-E02"),
        (b"IMEI,IMSI\n", {}, "EXP-E03"),
        (table([*HEADER, "IMEI"], []), {}, "EXP-E03"),
    ],
)
def test_lists_that_could_not_be_read_are_refused(
    tmp_path: Path, data: bytes | None, changes: dict[str, Any], code: str
) -> None:
    asked = source(**changes)
    if data is not None:
        (tmp_path / asked.file).write_bytes(data)
    with pytest.raises(ProbeError) as caught, recording(tmp_path, record_source, asked):
        pass
    assert caught.value.problem.code == code
    assert "\n" not in str(caught.value)


def test_a_list_that_changes_while_it_is_copied_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "核心网.csv").write_bytes(table(HEADER, [line(GOOD)]))
    stamps = iter(range(9))
    monkeypatch.setattr(record_module, "stamp", lambda _path: next(stamps))
    with pytest.raises(ProbeError, match="EXP-E04"), recording(tmp_path, record_source, source()):
        pass
