"""Personal data in what people write beside their results: refused before it is evidence. It must never print any."""

from __future__ import annotations

import io
from collections.abc import Collection
from itertools import zip_longest
from pathlib import Path

from yanshou.harness.basics import ProbeError
from yanshou.harness.privacy import PERSONAL
from yanshou.probes.importing import one_line
from yanshou.probes.reading import read_table, text_encoding
from yanshou.probes.texts import plain


def personal(cell: str) -> str:
    """What personal data a cell holds, in words, if any."""
    text = plain(cell)
    return next((kind.name for kind in PERSONAL if kind.is_in(text)), "")


def check_notes(path: Path, known: Collection[str], code: str) -> None:
    """Raises ProbeError with the code where people wrote personal data beside the columns `known` of what they hand in (CSV)."""
    data = path.read_bytes()
    with read_table(io.BytesIO(data), text_encoding(data), ",") as (columns, rows):
        for number, row in enumerate(rows, 1):
            for name, cell in zip_longest(columns, row, fillvalue=""):
                if name not in known and (kind := personal(cell)):
                    text = one_line(f"{path.name} 第 {number} 条的“{name}”含{kind}，不能进证据包")
                    raise ProbeError(code, text, "删去后重新运行；是谁核实的写姓名即可，不写号码")
