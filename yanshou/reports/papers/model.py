"""What papers are drawn from, and the pieces that only papers have: blanks to write on.

It must never hold a layout or a decision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical, sha256_bytes
from yanshou.reports.blocks import Block, Table, table
from yanshou.reports.display import Data, fit
from yanshou.reports.document import ROLES

if TYPE_CHECKING:
    from yanshou.harness.case import Case
    from yanshou.harness.plan import Plan
    from yanshou.harness.runs import Run

BOXES = "□ 符合　□ 不符合"
BLANK = "\u3000"
"""Nothing yet: a person writes here."""
DATE = "　　　　年　　月　　日"
UNNUMBERED = "未编号"


@dataclass(frozen=True)
class Chapter:
    """The heading of a part of a paper; a `Heading` stands below it."""

    text: str


@dataclass(frozen=True)
class Lines:
    """`count` empty lines to write on under a caption."""

    caption: str
    count: int = 3


@dataclass(frozen=True)
class Seals:
    """A box for each party: what it is, its name ("" to be written), room for a signature, a date and a seal."""

    parties: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class NewPage:
    """What follows begins on a page of its own."""


@dataclass(frozen=True)
class Spanned(Table):
    """A table in whose first `spans` columns equal neighbours are one cell."""

    spans: int = 0


PaperBlock: TypeAlias = Block | Chapter | Lines | Seals | NewPage


@dataclass(frozen=True)
class Paper:
    """One paper. `name` is its file's, and says nothing of the case; `wide` lays it across the page; `sheet`: also as a workbook.

    `restricted` marks it 不公开. `when` (UTC) dates the file: the last thing that the ledger knows of.
    """

    name: str
    title: str
    number: str
    marking: str
    when: str
    blocks: tuple[PaperBlock, ...]
    wide: bool = False
    sheet: bool = False
    restricted: bool = True


@dataclass(frozen=True)
class Dossier:
    """A case as its papers need it, all texts printable: record, plan in force, runs and case.yaml, each as plain data.

    `record_sha256` is that of record.json, before anything was made printable.
    """

    record_sha256: str
    record: Data
    plan: Data
    runs: Sequence[Data]
    case: Data

    @property
    def number(self) -> str:
        """The report's number."""
        return str(self.record["case"].get("report_number") or UNNUMBERED)

    @property
    def measured(self) -> bool:
        """Whether anything was run yet."""
        return bool(self.runs)

    @property
    def formal(self) -> bool:
        """Whether this is an acceptance, and no self-check or demonstration."""
        return not self.record["marking"]

    def paper(self, name: str, title: str, blocks: Iterable[PaperBlock], **layout: bool) -> Paper:
        """A paper of this case."""
        when = self.record["ledger"]["ended"]
        return Paper(name, title, self.number, self.record["marking"], when, tuple(blocks), **layout)


def dossier(record: Data, plan: Plan, runs: Sequence[Run], case: Case) -> Dossier:
    """Everything in plain data. Raises UserError (E-GLYPH) for a letter that no report could print."""
    told: dict[str, Json] = fit(
        {
            "record": record,
            "plan": json.loads(plan.to_bytes()),
            "runs": [_run(r) for r in runs],
            "case": case.document.model_dump(mode="json"),
        }
    )
    return Dossier(sha256_bytes(canonical(dict(record)) + b"\n"), **told)


def _run(run: Run) -> dict[str, Json]:
    return {
        "number": run.number,
        "folder": run.folder_name,
        "meta": dict(run.meta),
        "status": run.status.value if run.status else "open",
        "reason": run.status_reason,
        "started": run.started,
        "ended": run.ended,
        "streams": [{"name": name, **stream} for name, stream in sorted(run.streams.items())],
        "tail": [{"name": name, **tail} for name, tail in sorted(run.tail.items())],
        "kit_sha256": run.origin.kit_sha256 if run.origin else None,
    }


def evidence_number(run: int) -> str:
    """How a run's evidence is called on paper; the folder in the package begins with the same number."""
    return f"R{run:04d}"


def blanks(title: str, columns: dict[str, float], count: int) -> Table:
    """A table of `count` empty rows."""
    return table(title, columns, [[BLANK] * len(columns)] * count)


def signed(*roles: str) -> Table:
    """A line for each role to sign on, and the date."""
    names = (*(f"{role}（签字）" for role in roles), "日期")
    return table("", dict.fromkeys(names, 1.0), [[*[BLANK] * len(roles), DATE]])


def people(record: Data) -> list[tuple[str, str]]:
    """(name, role in Chinese) of everybody whom the case names for the evaluation."""
    return [(p["name"], ROLES.get(p["role"], p["role"])) for p in record["case"]["evaluator"].get("people") or ()]
