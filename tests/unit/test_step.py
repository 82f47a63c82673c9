"""STEP files are counted statement by statement, whatever stands in their strings and comments."""

from __future__ import annotations

import io

import pytest

from yanshou.formats import step
from yanshou.formats.step import BadStep, read_step

HEADER = (
    "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION(('x;y'),'2;1');\n"
    "FILE_NAME('it''s; a name','2025-03-01T09:30:00',('A','B'),('O'),'pre','Revit 2024','');\n"
    "FILE_SCHEMA(('IFC4'));\nENDSEC;\nDATA;\n"
)
TAIL = "ENDSEC;\nEND-ISO-10303-21;\n"
BODY = (
    "#1=IFCWALL('a;b',$);#2 = ifcWall ('#9=IFCDOOR;');\n/* #3=IFCDOOR(); it's a comment */"
    "#4=IFCDOOR('it''s',/* ; */\n'x'\n);\n#5=(IFCA()IFCB());"
)


def read(text: str) -> step.Step:
    return read_step(io.BytesIO(text.encode()))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
def test_instances_are_statements(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(step, "CHUNK", chunk)
    found = read(HEADER + BODY + TAIL)
    assert found.instances == {"IFCWALL": 2, "IFCDOOR": 1, "": 1}
    assert (found.schema, found.name, found.written) == ("IFC4", "it's; a name", "2025-03-01T09:30:00")
    assert (found.system, found.total, found.whole) == ("Revit 2024", 4, True)


def test_a_cut_file_is_not_whole() -> None:
    whole = HEADER + BODY + TAIL
    assert not read(whole[: whole.index("#5")]).whole
    assert not read(whole[: whole.index("x'\n")]).whole
    assert read(HEADER + BODY).total == 4


@pytest.mark.parametrize("text", ["", "x", "PK\x03\x04;", "<ifcXML/>", ";ISO-10303-21;"])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(BadStep, match="ISO-10303-21"):
        read(text)


def test_a_statement_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "CHUNK", 1000)
    monkeypatch.setattr(step, "LONGEST_STATEMENT", 5000)
    with pytest.raises(BadStep, match="超过"):
        read(HEADER + "#1=IFCWALL('" + "x" * 10_000)
