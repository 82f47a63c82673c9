"""A CSV as grids, one for each delimiter that it may have: only one of them will show the columns of 表1."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from yanshou.importers.grid import Cell, Grid
from yanshou.probes.reading import text_encoding

DELIMITERS = {",": "逗号", "\t": "制表符", ";": "分号"}


def read_delimited(data: bytes, _path: Path) -> list[Grid]:
    """The text as UTF-8 or GB 18030; undecodable bytes become U+FFFD and are a flaw. Rows count records, not lines."""
    text = data.decode(text_encoding(data), errors="replace").removeprefix("\ufeff")
    grids = []
    for delimiter, name in DELIMITERS.items():
        try:
            table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        rows = tuple(
            tuple(
                Cell(value, f"{row}行{column}列", "编码读不出" if "\ufffd" in value else "")
                for column, value in enumerate(values, 1)
            )
            for row, values in enumerate(table, 1)
        )
        grids.append(Grid(f"{name}分隔的表", rows))
    return grids
