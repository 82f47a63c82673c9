"""Documents made to harm whoever opens them: refused in one line, in bounded memory, and the case stays as it was."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.importing import case, docx, repacked, shared, xlsx
from yanshou.formats import office
from yanshou.harness.basics import UserError
from yanshou.importers import opening
from yanshou.importers.writing import offer

DTD = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
SHEET = "xl/worksheets/sheet2.xml"


def declared(dtd: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(b"?>", b"?>" + dtd, 1) if b"?>" in data[:200] else dtd + data


def refused(folder: Path, path: Path) -> str:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UserError) as caught:
        offer(folder, path)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    (problem,) = caught.value.problems
    assert (problem.file, bool(problem.remedy)) == (path, True)
    return f"{problem.code} {problem.text}"


@pytest.mark.parametrize("dtd", [DTD, OUTSIDE])
@pytest.mark.parametrize(("make", "part"), [(docx, "word/document.xml"), (docx, "_rels/.rels"), (xlsx, SHEET)])
def test_entities_are_never_expanded(dtd: bytes, make: Callable, part: str, tmp_path: Path) -> None:
    path = repacked(make(tmp_path / f"表1.{make.__name__}"), part, declared(dtd))
    assert "含文档类型声明或实体" in refused(case(tmp_path / "c"), path)


@pytest.mark.parametrize("part", ["xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml", "[Content_Types].xml"])
def test_entities_in_a_part_that_openpyxl_reads_alone(part: str, tmp_path: Path) -> None:
    path = repacked(shared(xlsx(tmp_path / "表1.xlsx")), part, declared(DTD))
    assert "含文档类型声明或实体" in refused(case(tmp_path / "c"), path)


@pytest.mark.parametrize(("make", "part"), [(docx, "word/document.xml"), (xlsx, SHEET)])
def test_a_part_that_unpacks_to_much_is_not_unpacked(
    make: Callable, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "MAX_PART", 1 << 20)
    path = repacked(make(tmp_path / f"表1.{make.__name__}"), part, lambda data: data + b" " * (3 << 20))
    assert "展开后 3 MiB，上限 1 MiB" in refused(case(tmp_path / "c"), path)


def test_parts_that_are_small_one_by_one_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "MAX_PARTS", 1 << 20)
    path = repacked(xlsx(tmp_path / "表1.xlsx"), "xl/theme/theme1.xml", lambda data: data + b" " * (2 << 20))
    assert "上限 1 MiB" in refused(case(tmp_path / "c"), path)


def test_a_file_beyond_all_bounds_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "表1.csv"
    path.write_bytes(b"a,b\n")
    with path.open("r+b") as f:
        f.write(b"text" * 2000)
        f.truncate(opening.MAX_FILE + 1)
    assert "I-SIZE" in refused(case(tmp_path / "c"), path)


@pytest.mark.parametrize("area", ["A1:XFD1048576", "A1:A99999", "A1:ZZ9"])
def test_a_merged_range_over_a_million_cells_is_not_made(area: str, tmp_path: Path) -> None:
    merge = b'<mergeCell ref="' + area.encode() + b'"/></mergeCells>'
    path = repacked(xlsx(tmp_path / "表1.xlsx"), SHEET, lambda data: data.replace(b"</mergeCells>", merge))
    assert "超过 2000 行 100 列" in refused(case(tmp_path / "c"), path)


def test_a_cell_at_the_end_of_the_sheet(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "表1.xlsx", change=lambda book: book["重点指标"].__setitem__("XFD1048576", "x"))
    assert "XFD1048576" in refused(case(tmp_path / "c"), path)


def test_a_cell_over_a_billion_columns(tmp_path: Path) -> None:
    span = b'<w:tcPr><w:gridSpan w:val="1000000000"/>'
    path = repacked(docx(tmp_path / "表1.docx"), "word/document.xml", lambda data: data.replace(b"<w:tcPr>", span, 1))
    assert "跨 1000000000 列" in refused(case(tmp_path / "c"), path)


def test_nesting_without_end(tmp_path: Path) -> None:
    def nest(data: bytes) -> bytes:
        deep = 20_000
        return data.replace(
            b"<w:body>", b"<w:body>" + b"<w:sdt><w:sdtContent>" * deep + b"</w:sdtContent></w:sdt>" * deep, 1
        )

    path = repacked(docx(tmp_path / "表1.docx"), "word/document.xml", nest)
    assert "I-FORM" in refused(case(tmp_path / "c"), path)


def test_two_parts_of_one_name(tmp_path: Path) -> None:
    path = docx(tmp_path / "表1.docx")
    with zipfile.ZipFile(path) as archive:
        body = archive.read("word/document.xml")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("word/document.xml", body.replace("不少于6个".encode(), "不少于1个".encode()))
    assert "同名的部件" in refused(case(tmp_path / "c"), path)


@pytest.mark.parametrize("cut", [100, 3000, -40])
def test_a_document_cut_short(cut: int, tmp_path: Path) -> None:
    path = docx(tmp_path / "表1.docx")
    path.write_bytes(path.read_bytes()[:cut])
    assert refused(case(tmp_path / "c"), path).startswith("I-OPAQUE")


@pytest.mark.parametrize("make", [docx, xlsx])
def test_damaged_bytes_anywhere_end_in_one_line_or_in_the_same_rows(make: Callable, tmp_path: Path) -> None:
    folder = case(tmp_path / "c")
    path = make(tmp_path / f"表1.{make.__name__}")
    data = path.read_bytes()
    true = [p.row for p in offer(folder, path).proposals]
    for place in range(0, len(data), max(len(data) // 60, 1)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :])
        try:
            assert [p.row for p in offer(folder, path).proposals] == true
        except UserError as error:
            assert all(p.remedy for p in error.problems)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("扫描件.pdf", b"%PDF-1.7\n1 0 obj"),
        ("表1.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600),
        ("表1.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600),
        ("表1.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
    ],
)
def test_scans_old_formats_and_encrypted_documents_are_told_by_content(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    said = refused(case(tmp_path / "c"), tmp_path / name)
    assert said.startswith("I-OPAQUE")
    assert "不做文字识别" in said


def test_an_archive_that_is_no_office_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("OFD.xml", "<ofd/>")
    (tmp_path / "表1.ofd").write_bytes(buffer.getvalue())
    assert refused(case(tmp_path / "c"), tmp_path / "表1.ofd").startswith("I-OPAQUE")
