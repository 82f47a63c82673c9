"""A paper as a Word document: on the lab's own letterhead, or on a plain page.

A letterhead keeps its header, footer, styles, margins and whatever stands in its body; the paper is filled in after it. The
marking of a self-check or demonstration is put into every header, the lab's too. It must never decide what is printed, and never
draw a seal or a mark of accreditation: seals have empty boxes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.model import Verdict
from yanshou.reports.blocks import (
    Cell,
    Code,
    Command,
    Conclusion,
    Facts,
    Heading,
    Items,
    Notice,
    Plots,
    Signatures,
    Table,
    Text,
    table,
)
from yanshou.reports.display import MARKS
from yanshou.reports.ooxml import settled
from yanshou.reports.papers.model import BLANK, DATE, Chapter, Lines, NewPage, Paper, PaperBlock, Seals, Spanned
from yanshou.reports.raster import PPI, rasters

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.section import Section
    from docx.table import Table as WordTable
    from docx.table import _Cell as WordCell
    from docx.text.paragraph import Paragraph
    from docx.text.run import Run

SONG, HEI, LATIN, MONO = "宋体", "黑体", "Times New Roman", "Consolas"
BODY, SMALL, TINY = 10.5, 9.0, 7.5
"""Points: 五号, 小五, 六号."""
RESTRICTED = "不公开"
NAME_SHARE = 0.26
CELL_TEXT, TITLE = "验收表格", "验收标题"
EMU = 914400
"""Office's units in an inch."""
CODE_WIDTH = int(1.3 * EMU)
STRIP_WIDTH = 0.9
"""Share of its column that a strip is wide."""


def render_docx(paper: Paper, letterhead: bytes | None = None) -> bytes:
    """The same paper on the same letterhead gives the same bytes. Raises UserError (D-FORM) for a letterhead that is none."""
    word = opened(letterhead)
    if letterhead is None:
        _plain_page(word, paper)
    elif paper.marking:
        _mark(word, paper.marking)
    _own_styles(word)
    if paper.wide:
        _turn(word.sections[-1])
    _Writer(word, _pictures(paper.blocks)).write(paper)
    _name(word, paper)
    out = io.BytesIO()
    word.save(out)
    return settled(out.getvalue(), paper.when)


def opened(letterhead: bytes | None) -> WordDocument:
    """A letterhead, or an empty page, as a document to write into. Raises UserError (D-FORM) for anything else than a .docx."""
    import docx

    try:
        return docx.Document(None if letterhead is None else io.BytesIO(letterhead))
    except (KeyError, ValueError, OSError):
        remedy = "在 Word 或 WPS 里另存为 .docx（不是模板 .dotx）"
        raise UserError(Problem("D-FORM", "信头不是可用的 Word 文档", remedy)) from None


def _name(word: WordDocument, paper: Paper) -> None:
    """Core properties: who made it is the software, and nobody of the case."""
    from datetime import datetime

    properties = word.core_properties
    properties.title, properties.author, properties.last_modified_by = paper.title, "yanshou", "yanshou"
    properties.comments = properties.subject = properties.keywords = properties.category = ""
    properties.created = properties.modified = datetime.fromisoformat(paper.when).replace(tzinfo=None)
    properties.revision = 1


# ---- pages and styles


def _plain_page(word: WordDocument, paper: Paper) -> None:
    """A neutral page: A4, number and marking above, page x of y below."""
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Cm

    section = word.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.2)
    section.top_margin, section.bottom_margin = Cm(2.4), Cm(2.2)
    for name, size, family in (("Normal", BODY, SONG), ("Heading 1", 14, HEI), ("Heading 2", 11, HEI)):
        _set_style(word.styles[name], size, family)
    header = section.header.paragraphs[0]
    _text(header, "　　".join([paper.title, *_standing(paper)]), SMALL)
    header.alignment = WD_ALIGN_PARAGRAPH.CENTER
    footer = section.footer.paragraphs[0]
    footer.alignment = WD_ALIGN_PARAGRAPH.CENTER
    for before, field, after in (("第 ", "PAGE", " 页　"), ("共 ", "NUMPAGES", " 页")):
        _text(footer, before, SMALL)
        _field(footer, field)
        _text(footer, after, SMALL)


def _mark(word: WordDocument, marking: str) -> None:
    """The marking into every header that a page may have. A header that follows an earlier section's has it from there."""
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    for number, section in enumerate(word.sections):
        headers = [section.header]
        if section.different_first_page_header_footer:
            headers.append(section.first_page_header)
        if word.settings.odd_and_even_pages_header_footer:
            headers.append(section.even_page_header)
        for header in headers:
            if number == 0 or not header.is_linked_to_previous:
                paragraph = header.add_paragraph()
                paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
                _text(paragraph, marking, SMALL, bold=True)


def _turn(section: Section) -> None:
    """Landscape, where it is not yet."""
    from docx.enum.section import WD_ORIENT

    width, height = section.page_width, section.page_height
    if width and height and width < height:
        section.page_width, section.page_height = height, width
        section.orientation = WD_ORIENT.LANDSCAPE


def _own_styles(word: WordDocument) -> None:
    """What a letterhead may lack. A style that it has is never changed."""
    from docx.enum.style import WD_STYLE_TYPE

    have = {style.name for style in word.styles}
    for name, size, family in (
        (CELL_TEXT, SMALL, SONG),
        (TITLE, 18, HEI),
        ("Heading 1", 14, HEI),
        ("Heading 2", 11, HEI),
    ):
        if name not in have:
            style = word.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
            _set_style(style, size, family)


def _set_style(style: Any, size: float, family: str) -> None:
    from docx.shared import Pt, RGBColor

    font, paragraph = style.font, style.paragraph_format
    font.name, font.size, font.bold, font.italic = LATIN, Pt(size), False, False
    font.color.rgb = RGBColor(0, 0, 0)
    _east_asian(style.element.get_or_add_rPr(), family)
    tight = style.name == CELL_TEXT
    heading = style.name.startswith("Heading")
    paragraph.space_before = Pt(10 if heading else 0)
    paragraph.space_after = Pt(0 if tight else 5)
    paragraph.line_spacing = 1.0 if tight else 1.25
    if heading:
        paragraph.keep_with_next = True


def _east_asian(properties: Any, family: str, latin: str = LATIN) -> None:
    """Fonts by name: Latin digits and letters in `latin`, everything else in `family`; no theme font may override them."""
    from docx.oxml.ns import qn

    fonts = properties.get_or_add_rFonts()
    for attribute in list(fonts.attrib):
        if "heme" in attribute:
            del fonts.attrib[attribute]
    for attribute, name in (("w:ascii", latin), ("w:hAnsi", latin), ("w:cs", latin), ("w:eastAsia", family)):
        fonts.set(qn(attribute), name)


# ---- text


def _text(
    paragraph: Paragraph, text: str, size: float | None = None, *, bold: bool = False, mono: bool = False
) -> None:
    """A run of text; a line feed becomes a line."""
    from docx.shared import Pt

    run = paragraph.add_run(text)
    if size:
        run.font.size = Pt(size)
    if bold:
        run.font.bold = True
    if mono:
        run.font.name = MONO
        _east_asian(run._r.get_or_add_rPr(), SONG, MONO)


def _field(paragraph: Paragraph, name: str) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Pt

    run = paragraph.add_run()
    run.font.size = Pt(SMALL)
    for kind, text in (("begin", ""), ("", name), ("separate", ""), ("shown", "1"), ("end", "")):
        if kind in ("begin", "separate", "end"):
            part = OxmlElement("w:fldChar")
            part.set(qn("w:fldCharType"), kind)
        else:
            part = OxmlElement("w:t" if kind else "w:instrText")
            part.text = text
        run._r.append(part)


def _pictures(blocks: Iterable[PaperBlock]) -> dict[str, bytes]:
    """The PNG of every SVG of a paper."""
    wanted = list(dict.fromkeys(svg for block in blocks for svg in _svgs(block)))
    return dict(zip(wanted, rasters(wanted), strict=True))


def _svgs(block: PaperBlock) -> Iterator[str]:
    if isinstance(block, Plots):
        yield from (plot["svg"] for plot in block.plots)
    elif isinstance(block, Code):
        yield block.svg
    elif isinstance(block, Table):
        yield from (cell.strip for row in block.rows for cell in row if cell.strip)


# ---- blocks


class _Writer:
    """Lays the blocks of one paper out at the end of a document."""

    def __init__(self, word: WordDocument, pictures: dict[str, bytes]) -> None:
        self._word, self._pictures = word, pictures
        section = word.sections[-1]
        width = (section.page_width or 0) - (section.left_margin or 0) - (section.right_margin or 0)
        self._width = width
        """EMU between the margins."""
        self._cell_style = word.styles[CELL_TEXT].style_id

    def write(self, paper: Paper) -> None:
        from docx.enum.text import WD_ALIGN_PARAGRAPH

        title = self._word.add_paragraph(style=TITLE)
        title.alignment = WD_ALIGN_PARAGRAPH.CENTER
        _text(title, paper.title)
        if line := "　　".join(_standing(paper)):
            below = self._word.add_paragraph()
            below.alignment = WD_ALIGN_PARAGRAPH.CENTER
            _text(below, line)
        for block in paper.blocks:
            self._block(block)

    def _block(self, block: PaperBlock) -> None:
        match block:
            case Text(text):
                self._paragraph(text)
            case Notice(text):
                self._paragraph(text, bold=True)
            case Command(text):
                self._paragraph(text, mono=True)
            case Chapter(text):
                _text(self._word.add_paragraph(style="Heading 1"), text)
            case Heading(text, verdict):
                said = f"{text}　{_verdict(verdict)}" if verdict else text
                _text(self._word.add_paragraph(style="Heading 2"), said)
            case Items(items, numbered):
                for number, item in enumerate(items, 1):
                    self._paragraph(f"{number}. {item}" if numbered else f"· {item}")
            case Facts(rows):
                self._facts(rows)
            case Table():
                self._table(block)
            case Plots(caption, plots):
                self._plots(caption, plots)
            case Conclusion(verdict, text, counts):
                self._paragraph(f"结论：{_verdict(verdict)}　{text}", bold=True)
                self._paragraph("　".join(f"{_verdict(code)} {number} 项" for code, number in counts))
            case Code(svg, text, rows):
                self._facts(rows)
                self._picture(self._paragraph("").add_run(), svg, CODE_WIDTH, text)
            case Signatures(lines):
                signing = [(role, name or BLANK, BLANK, DATE) for role, name in lines]
                self._table(table("", {"职责": 1, "姓名": 1.5, "签字": 2.5, "日期": 2.5}, signing))
            case Lines(caption, count):
                self._lines(caption, count)
            case Seals(parties):
                self._seals(parties)
            case NewPage():
                self._word.add_paragraph().paragraph_format.page_break_before = True

    def _paragraph(self, text: str, *, bold: bool = False, mono: bool = False) -> Paragraph:
        paragraph = self._word.add_paragraph()
        _text(paragraph, text, bold=bold, mono=mono)
        return paragraph

    def _grid(self, rows: int, widths: Sequence[float], *, ruled: bool = True) -> WordTable:
        """An empty table over the whole line; `widths` are shares."""
        from docx.enum.table import WD_TABLE_ALIGNMENT

        grid: WordTable = self._word.add_table(rows, len(widths))
        grid.alignment = WD_TABLE_ALIGNMENT.CENTER
        grid.autofit = False
        _rule(grid, ruled=ruled)
        whole = sum(widths)
        shares = [int(self._width * share / whole) for share in widths]
        for column, share in zip(grid.columns, shares, strict=True):
            column.width = share
        for row in grid.rows:
            for cell, share in zip(row.cells, shares, strict=True):
                cell.width = share
        return grid

    def _facts(self, rows: Sequence[tuple[str, Cell]]) -> None:
        if not rows:
            return
        grid = self._grid(len(rows), (NAME_SHARE, 1 - NAME_SHARE))
        for line, (name, value) in zip(grid.rows, rows, strict=True):
            _keep(line, written=value.text == BLANK)
            left, right = line.cells
            _shade(left)
            self._fill(left, Cell(name))
            self._fill(right, value)
        self._gap()

    def _table(self, block: Table) -> None:
        if block.title:
            caption = self._paragraph(block.title, bold=True)
            caption.paragraph_format.keep_with_next = True
        grid = self._grid(1 + len(block.rows), block.widths)
        cells = [list(row.cells) for row in grid.rows]
        _repeat(grid.rows[0])
        for cell, name in zip(cells[0], block.head, strict=True):
            _shade(cell)
            self._fill(cell, Cell(name), bold=True)
        for number, row in enumerate(block.rows, 1):
            _keep(grid.rows[number], written=any(value.text == BLANK for value in row))
            for column, value in enumerate(row):
                if not (isinstance(block, Spanned) and number > 1 and column < block.spans
                        and value == block.rows[number - 2][column]):  # fmt: skip
                    self._fill(cells[number][column], value, right=column in block.right, tiny=block.dense)
        if isinstance(block, Spanned):
            for column in range(block.spans):
                _span([line[column] for line in cells[1:]], [row[column] for row in block.rows])
        self._gap()

    def _fill(
        self, cell: WordCell, value: Cell, *, right: bool = False, bold: bool = False, tiny: bool = False
    ) -> None:
        from docx.enum.text import WD_ALIGN_PARAGRAPH

        paragraph = self._small(cell.paragraphs[0])
        if right:
            paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        text = _verdict(value.verdict) if value.verdict else value.text
        _text(paragraph, text, TINY if value.mono or tiny else None, bold=bold or bool(value.verdict), mono=value.mono)
        if value.strip:
            strip = self._small(cell.add_paragraph())
            strip.add_run().add_picture(
                io.BytesIO(self._pictures[value.strip]), width=int((cell.width or 0) * STRIP_WIDTH)
            )
        for line in value.sub:
            _text(self._small(cell.add_paragraph()), line, TINY)

    def _small(self, paragraph: Paragraph) -> Paragraph:
        """In the style of tables, by its id: python-docx looks through all styles for a name, for every paragraph."""
        paragraph._p.get_or_add_pPr().style = self._cell_style
        return paragraph

    def _plots(self, caption: str, plots: Sequence[Any]) -> None:
        grid = self._grid(1, (1.0,) * len(plots), ruled=False)
        _keep(grid.rows[0])
        for cell, plot in zip(grid.rows[0].cells, plots, strict=True):
            self._fill(cell, Cell(plot["title"]), bold=True)
            natural = (
                int.from_bytes(self._pictures[plot["svg"]][16:20], "big") / PPI * EMU
            )  # a PNG's width is at byte 16
            run = self._small(cell.add_paragraph()).add_run()
            self._picture(run, plot["svg"], int(min(natural, (cell.width or natural) * 0.96)), plot["alt"])
            if plot["note"]:
                _text(self._small(cell.add_paragraph()), plot["note"], TINY)
        self._paragraph(caption)

    def _picture(self, run: Run, svg: str, width: int, alt: str) -> None:
        """A picture, and the same in words for who cannot see it."""
        shape = run.add_picture(io.BytesIO(self._pictures[svg]), width=width)
        shape._inline.docPr.set("descr", alt)

    def _lines(self, caption: str, count: int) -> None:
        if caption:
            paragraph = self._paragraph(caption)
            paragraph.paragraph_format.keep_with_next = True
        grid = self._grid(count, (1.0,), ruled=False)
        for row in grid.rows:
            _height(row, 0.85)
            self._fill(row.cells[0], Cell(BLANK))
            _edges(row.cells[0], bottom=True)
        self._gap()

    def _seals(self, parties: Sequence[tuple[str, str]]) -> None:
        grid = self._grid(1, (1.0,) * len(parties))
        _keep(grid.rows[0])
        for cell, (what, name) in zip(grid.rows[0].cells, parties, strict=True):
            self._fill(cell, Cell(what), bold=True)
            for line in (name or BLANK, "代表（签字）：", "", "（盖章处）", "", "", "", DATE):
                _text(self._small(cell.add_paragraph()), line)
        self._gap()

    def _gap(self) -> None:
        """What keeps two tables from growing together."""
        from docx.shared import Pt

        paragraph = self._word.add_paragraph()
        paragraph.paragraph_format.space_after = Pt(0)
        paragraph.paragraph_format.line_spacing = Pt(8)


def _standing(paper: Paper) -> list[str]:
    """Number, confidentiality and marking, as far as a paper has them."""
    number = f"编号：{paper.number}" if paper.number.strip(BLANK) else ""
    return [part for part in (number, RESTRICTED if paper.restricted else "", paper.marking) if part]


def _verdict(code: str) -> str:
    return f"{MARKS[Verdict(code)]} {Verdict(code).word}"


# ---- table properties that python-docx has no words for


def _element(parent: Any, tag: str, **attributes: str) -> Any:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    child = OxmlElement(tag)
    for name, value in attributes.items():
        child.set(qn(f"w:{name}"), value)
    parent.append(child)
    return child


def _rule(table: WordTable, *, ruled: bool) -> None:
    """Thin lines everywhere, or none; no style of the letterhead is needed for it."""
    borders = _element(table._tbl.tblPr, "w:tblBorders")
    layout = table._tbl.tblPr.tblLayout
    if layout is not None:
        layout.addprevious(borders)  # the schema wants them in this order
        layout.addnext(margins := _element(table._tbl.tblPr, "w:tblCellMar"))
        for side in ("top", "bottom"):
            _element(margins, f"w:{side}", w="45", type="dxa")
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        _element(borders, f"w:{side}", val="single" if ruled else "nil", sz="4", space="0", color="808080")


def _edges(cell: WordCell, *, bottom: bool) -> None:
    borders = _element(cell._tc.get_or_add_tcPr(), "w:tcBorders")
    _element(borders, "w:bottom", val="single" if bottom else "nil", sz="4", space="0", color="808080")


def _shade(cell: WordCell) -> None:
    _element(cell._tc.get_or_add_tcPr(), "w:shd", val="clear", color="auto", fill="EDEDED")


def _repeat(row: Any) -> None:
    """The head stands on every page."""
    _element(row._tr.get_or_add_trPr(), "w:cantSplit")
    _element(row._tr.get_or_add_trPr(), "w:tblHeader")


def _keep(row: Any, *, written: bool = False) -> None:
    """A row is not torn apart by the end of a page, unless it is longer than one; room for a hand where somebody writes."""
    _element(row._tr.get_or_add_trPr(), "w:cantSplit")
    if written:
        _height(row, 0.8)


def _height(row: Any, centimetres: float) -> None:
    from docx.shared import Cm

    row.height = Cm(centimetres)


def _span(cells: Sequence[WordCell], values: Sequence[Cell]) -> None:
    """Equal neighbours become one cell."""
    first = 0
    for number in range(1, len(cells) + 1):
        if number == len(cells) or values[number] != values[first]:
            for at in range(first, number):
                merge = _element(cells[at]._tc.get_or_add_tcPr(), "w:vMerge")
                if at == first:
                    from docx.oxml.ns import qn

                    merge.set(qn("w:val"), "restart")
            first = number
