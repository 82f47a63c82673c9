"""Tables of a Word document (WordprocessingML, ISO/IEC 29500), as its printed page shows them.

python-docx drops content controls and tracked insertions without a word, so the tree is walked here. What stands on the paper in
another way than in the text (struck through, hidden, raised, drawn, a formula) is marked; tracked changes refuse the document.
A property that only a named style carries is not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.formats.office import Package
from yanshou.harness.basics import Problem, UserError
from yanshou.importers.grid import SUPERSCRIPT, Cell, Grid

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

WORD = (
    "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}",
    "{http://purl.oclc.org/ooxml/wordprocessingml/main}",
)
MATH = (
    "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath",
    "{http://purl.oclc.org/ooxml/officeDocument/math}oMath",
)
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
TRACKED = frozenset({"ins", "del", "moveFrom", "moveTo", "cellIns", "cellDel", "cellMerge"})
WRAPPERS = frozenset({"sdt", "sdtContent", "customXml", "smartTag"})
"""What may stand between a table and its rows, or a row and its cells."""
MAX_COLUMNS = 63
"""Word's own limit."""
SYMBOL = {"25": "%", "3C": "<", "3E": ">", "6D": "μ", "A3": "≤", "B0": "°", "B1": "±", "B3": "≥", "B4": "×"}
"""What stands at these places of the font Symbol (Adobe Symbol encoding); Word writes them as F0A3 and so on."""


def read_docx(data: bytes, path: Path) -> list[Grid]:
    """Every table of the document in order, nested ones too. Raises UserError; for tracked changes with their places."""
    package = Package(data, path)
    try:
        body = package.xml(_main_part(package))
        tables = list(_tables(body))
        if places := _tracked(body, tables):
            shown = "、".join(f"{place}（{count} 处）" for place, count in list(places.items())[:5])
            text = f"有 {sum(places.values())} 处未处理的修订：{shown}{' 等' if len(places) > 5 else ''}"
            raise UserError(Problem("I-TRACKED", text, "在“审阅”里接受或拒绝全部修订，另存后再导入", path))
        return [_grid(table, f"第{number}个表", package) for number, table in enumerate(tables, 1)]
    except RecursionError:
        raise package.broken("嵌套过深") from None


def _main_part(package: Package) -> str:
    for relation in package.xml("_rels/.rels"):
        if str(relation.get("Type")).endswith("/officeDocument"):
            return str(relation.get("Target")).removeprefix("/")
    raise package.broken("没有正文")


def _name(node: Element) -> str:
    """Local name of an element of WordprocessingML, the full name of any other."""
    for space in WORD:
        if node.tag.startswith(space):
            return node.tag.removeprefix(space)
    return node.tag


def _child(node: Element, *names: str) -> Element | None:
    """The element at the path `names` below `node`."""
    for name in names:
        found = next((child for child in node if _name(child) == name), None)
        if found is None:
            return None
        node = found
    return node


def _value(node: Element, attribute: str = "val") -> str | None:
    return next((node.get(space + attribute) for space in WORD if space + attribute in node.keys()), None)  # noqa: SIM118


def _on(properties: Element | None, name: str) -> bool:
    """Whether a toggle stands among the properties and is not switched off."""
    found = None if properties is None else _child(properties, name)
    return found is not None and _value(found) not in ("0", "false", "off")


def _tables(node: Element) -> Iterator[Element]:
    for child in node:
        if _name(child) == "tbl":
            yield child
        if child.tag != FALLBACK:
            yield from _tables(child)


def _below(node: Element, name: str) -> Iterator[Element]:
    """Rows of a table or cells of a row, also those in content controls."""
    for child in node:
        if _name(child) == name:
            yield child
        elif _name(child) in WRAPPERS:
            yield from _below(child, name)


def _tracked(body: Element, tables: list[Element]) -> Counter[str]:
    """Place -> number of tracked changes."""
    found = [node for node in body.iter() if _name(node) in TRACKED]
    if not found:
        return Counter()
    rows = {row: f"第{t}个表{r}行" for t, table in enumerate(tables, 1) for r, row in enumerate(_below(table, "tr"), 1)}
    paragraphs = {p: f"第{n}段" for n, p in enumerate((p for p in body.iter() if _name(p) == "p"), 1)}
    above = {child: node for node in body.iter() for child in node}
    places: Counter[str] = Counter()
    for node in found:
        chain = [node]
        while chain[-1] in above:
            chain.append(above[chain[-1]])
        named = [rows[n] for n in chain if n in rows] or [paragraphs[n] for n in chain if n in paragraphs]
        places[named[0] if named else "正文"] += 1
    return places


def _grid(table: Element, name: str, package: Package) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for number, row in enumerate(_below(table, "tr"), 1):
        before = _child(row, "trPr", "gridBefore")
        cells = [Cell("", name)] * _whole(before, package, least=0)
        hidden = "整行被隐藏" if _on(_child(row, "trPr"), "hidden") else ""
        for cell in _below(row, "tc"):
            properties = _child(cell, "tcPr")
            span = _whole(_child(cell, "tcPr", "gridSpan"), package, least=1)
            if cells and _continues(properties, "hMerge"):
                read = cells[-1]
            elif rows and len(cells) < len(rows[-1]) and _continues(properties, "vMerge"):
                read = rows[-1][len(cells)]
            else:
                text, flaw = _read(cell)
                read = Cell(text, f"{name}{number}行{len(cells) + 1}列", hidden or flaw)
            cells += [read] * span
        rows.append(tuple(cells))
    return Grid(name, tuple(rows))


def _whole(node: Element | None, package: Package, least: int) -> int:
    """The number that an element states, `least` where there is none."""
    text = None if node is None else _value(node)
    if text is None:
        return least
    if not text.isdecimal() or not least <= int(text) <= MAX_COLUMNS:
        raise package.broken(f"单元格跨 {text[:20]} 列")
    return int(text)


def _continues(properties: Element | None, name: str) -> bool:
    """Whether a cell belongs to the merged one above (vMerge) or on its left (hMerge)."""
    found = None if properties is None else _child(properties, name)
    return found is not None and _value(found) != "restart"


def _read(cell: Element) -> tuple[str, str]:
    """Text of a cell, paragraphs as lines, and its first flaw."""
    parts: list[str] = []
    flaws: list[str] = []
    _collect(cell, parts, flaws)
    return "".join(parts).strip("\n"), flaws[0] if flaws else ""


def _collect(node: Element, parts: list[str], flaws: list[str]) -> None:
    for child in node:
        name = _name(child)
        if name == "p":
            if parts:
                parts.append("\n")
            _collect(child, parts, flaws)
        elif name == "r":
            _run(child, parts, flaws)
        elif name == "sdt":
            content = _child(child, "sdtContent")
            if content is not None and not _on(_child(child, "sdtPr"), "showingPlcHdr"):  # else: “单击此处输入文字”
                _collect(content, parts, flaws)
        elif child.tag in MATH:
            flaws.append("有公式")
        elif child.tag != FALLBACK and not name.endswith("Pr"):
            _collect(child, parts, flaws)


_BLANKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DRAWN = {"drawing", "pict", "object"}
_NOTES = {"footnoteReference", "endnoteReference"}
_SILENT = {"rPr", "instrText", "lastRenderedPageBreak", "softHyphen", "fldChar", "commentReference", "annotationRef"}


def _run(run: Element, parts: list[str], flaws: list[str]) -> None:
    properties = _child(run, "rPr")
    raised = None if properties is None else _child(properties, "vertAlign")
    superscript = raised is not None and _value(raised) == "superscript"
    before = len(parts)
    for child in run:
        name = _name(child)
        if name == "t":
            text = child.text or ""
            parts.append(text.translate(SUPERSCRIPT) if superscript else text)
        elif name in _BLANKS:
            parts.append(_BLANKS[name])
        elif name == "sym":
            symbol = SYMBOL.get((_value(child, "char") or "").upper().removeprefix("F0").removeprefix("00"))
            if _value(child, "font") == "Symbol" and symbol:
                parts.append(symbol)
            else:
                flaws.append("有符号字体的字符")
        elif name in _NOTES:
            flaws.append("有脚注或尾注")
        elif any(_name(inner) in _DRAWN for inner in child.iter()):
            flaws.append("有图片或文本框")
        elif name not in _SILENT:
            flaws.append(f"有读不出的内容（{name.rpartition('}')[2]}）")
    if "".join(parts[before:]).strip():
        if _on(properties, "vanish"):
            flaws.append("有隐藏文字")
        if _on(properties, "strike") or _on(properties, "dstrike"):
            flaws.append("有删除线")
        colour = None if properties is None else _child(properties, "color")
        if colour is not None and (_value(colour) or "").upper() == "FFFFFF":
            flaws.append("有白色文字")
