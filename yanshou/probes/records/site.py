"""On site: which cells pseudonyms stand for, found again by reading the source with the site's key.

It is for the people who re-verify a sample where the records are. What it finds must never enter a case's evidence; it keeps
nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from yanshou.probes.records.capture import opened
from yanshou.probes.records.pseudonyms import is_pseudonym, site_key
from yanshou.probes.records.scratch import Judgement, Scratch
from yanshou.probes.records.spec import Params


def reidentify(params: Params, folder: Path, cells: Collection[str]) -> dict[str, str]:
    """Pseudonym -> normalised cell, for those of `cells` that are one and stand in the sources. Raises ProbeError."""
    wanted, found = [cell for cell in cells if is_pseudonym(cell)], dict[str, str]()
    if not wanted:
        return found
    sources = zip((params, params.join), params.hidden(), strict=True)
    for source, hidden in [(s, sorted(h)) for s, h in sources if s is not None and h]:
        key = site_key(folder)
        with Scratch() as scratch:
            with opened(source, folder, {}) as table:
                scratch.load("source", table, hidden)
            scratch.db.execute("CREATE TABLE wanted (pseudonym VARCHAR)")
            scratch.db.executemany("INSERT INTO wanted VALUES (?)", [[pseudonym] for pseudonym in wanted])
            judgement = Judgement(scratch, params, hidden, frozenset())
            for column in hidden:
                query = (
                    f"SELECT DISTINCT pseudonym, cell FROM (SELECT {key.sql('cell')} AS pseudonym, cell FROM"
                    f" (SELECT {judgement.normal(column)} AS cell FROM source)) JOIN wanted USING (pseudonym)"
                )
                found |= dict(scratch.rows(query))
    return found
