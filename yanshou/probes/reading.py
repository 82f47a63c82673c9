"""How tables that other systems export are read, the same way in every probe: row by row, hiding none.

It must never touch the world (it reads streams that are open) and never correct a cell. The csv module reads rather than
pandas, which pads short rows silently and cannot report them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from typing import BinaryIO

Key = tuple[str, ...]
LONGEST_LINE = 1 << 20
MANGLED = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]{2,}|[0-9]{15}0{3,}|[0-9]+\.0+", re.IGNORECASE)
"""What spreadsheets make of long numbers: 1.23E+15, all zero after the 15th of >= 18 digits, 12345.0.

Sixteen or seventeen digits end in zeros by chance too often to accuse anybody, and `E` without `+` is in every hex id.
"""


@contextmanager
def read_table(
    stream: BinaryIO, encoding: str, delimiter: str, errors: str = "replace"
) -> Iterator[tuple[Key, Iterator[list[str]]]]:
    """Column names (stripped, () when there are none) and the rows of a CSV stream, in bounded memory; closes the stream.

    A byte order mark is dropped in any encoding. Blank lines are not rows. A record with broken quoting comes as one
    empty list per physical line that it swallowed, so that a lost quote can hide no row. Raises UnicodeError with
    `errors="strict"`.
    """
    with io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="") as text:
        line = partial(text.readline, LONGEST_LINE)
        reader = csv.reader(chain([line().removeprefix("\ufeff")], iter(line, "")), delimiter=delimiter, strict=True)

        def rows() -> Iterator[list[str]]:
            read = 0
            while True:
                try:
                    for row in reader:
                        if row:
                            yield row
                        read = reader.line_num
                    return
                except csv.Error:
                    yield from repeat([], reader.line_num - read)
                    read = reader.line_num

        table = rows()
        yield tuple(name.strip() for name in next(table, [])), table


def text_encoding(data: bytes) -> str:
    """utf-8 where `data` is that, else gb18030: the two encodings that a spreadsheet here saves."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"
