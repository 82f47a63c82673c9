"""What every medical source is read into: one plain row a visit, told by the same columns whatever system wrote it.

It is for counting visits (人次) from FHIR, HL7 v2 and DICOM like from any other export. No name, birth date, address or finding
is ever read; the two identifiers that are (`visit`, `patient`) must become pseudonyms before they are written anywhere. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

COLUMNS = ("visit", "patient", "time", "status", "class", "provider", "test", "origin")
"""Number of the visit; of the patient; when it began; what became of it; what kind it is; whose it is; `HTEST` for test data; where
the row stands (file and line, or message number)."""
IDENTIFIERS = ("visit", "patient")
Row: TypeAlias = dict[str, str]


class BadRecord(ValueError):
    """A source that cannot be read: `place` in it (a line, a message), `text` what is wrong, `remedy` what to do, in Chinese."""

    def __init__(self, place: str, text: str, remedy: str) -> None:
        self.place, self.text, self.remedy = place, text, remedy
        super().__init__(f"{place} {text}")


def row(**cells: str) -> Row:
    """A row with every column, blank where nothing is said."""
    return dict.fromkeys(COLUMNS, "") | cells
