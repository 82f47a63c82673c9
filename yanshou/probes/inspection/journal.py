"""What a guided inspection wrote down, event by event, and what stands in the end: events -> entries -> rows of the sheet.

The journal is a ledger of its own (`yanshou.harness.evidence`): nothing in it is ever changed, a correction is one more event.
This module must never open a file, and never let an answer stand that somebody else was asked to confirm and did not.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from yanshou.harness.basics import Json
from yanshou.harness.evidence import LedgerDamage, canonical, chained, moment, sha256_bytes
from yanshou.harness.model import Answer
from yanshou.harness.names import person
from yanshou.probes.inspection.spec import Item
from yanshou.probes.texts import BEIJING

STREAM = "journal.jsonl"
TERMINAL = "terminal"
"""The device where somebody types at the evaluator's own computer."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    seq: int
    utc: str
    by: str
    device: str

    @property
    def time(self) -> str:
        """When, Beijing time, as sheets have it."""
        return f"{moment(self.utc).astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"


class Person(_Event):
    """Somebody gave a name and chose a PIN; `again` where that name had one already in this journal."""

    again: bool
    address: str = ""
    agent: str = ""


class Refused(_Event):
    """A wrong PIN for the name `by`."""


class File(_Event):
    """A file came in: where it lies relative to its sheet's folder, its digest, and which kinds of personal data it carries."""

    sheet: str
    item: str
    file: str
    sha256: str
    bytes: int
    label: str
    obtained_from: str
    page: str
    original: str
    carries: tuple[str, ...] = ()


class Withdrawn(_Event):
    """A file is no longer put forward. It stays where it is."""

    sheet: str
    item: str
    file: str
    why: str


class Said(_Event):
    """An answer as it was given, on the files put forward at that time. `question`: digest of the item as it was asked."""

    sheet: str
    item: str
    question: str
    answer: Answer
    observed: str
    reason: str
    how: str
    place: str
    files: tuple[str, ...]
    why: str


class Review(_Event):
    """What a second person says of the answer number `of`."""

    sheet: str
    item: str
    of: int
    agreed: bool
    text: str


class Standing(StrEnum):
    """How far an item has come."""

    OPEN = "未查"
    WAITING = "待复核"
    DISPUTED = "有异议"
    EXPERT = "专家评议"
    DONE = "已完成"


@dataclass
class Entry:
    """Everything said about one item, in order. `reopened`: answers up to this event no longer stand."""

    files: dict[str, File] = field(default_factory=dict)
    withdrawn: list[Withdrawn] = field(default_factory=list)
    answers: list[Said] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    reopened: int = 0

    @property
    def put_forward(self) -> tuple[File, ...]:
        """The files that were not withdrawn."""
        gone = {w.file for w in self.withdrawn}
        return tuple(f for f in self.files.values() if f.file not in gone)

    def current(self, item: Item) -> Said | None:
        """The answer that stands: the last one, to the question as it is asked now."""
        last = self.answers[-1] if self.answers else None
        return last if last and last.seq > self.reopened and last.question == question(item) else None

    def review(self, item: Item) -> Review | None:
        """What a second person last said of the answer that stands."""
        said = self.current(item)
        return next((r for r in reversed(self.reviews) if said and r.of == said.seq), None)

    def standing(self, item: Item) -> Standing:
        """How far the item has come. What experts judge needs no second person, and is never done here."""
        said, review = self.current(item), self.review(item)
        if said is None or said.answer is Answer.OPEN:
            return Standing.OPEN
        if said.answer is Answer.EXPERT:
            return Standing.EXPERT
        if review is None:
            return Standing.WAITING
        return Standing.DONE if review.agreed else Standing.DISPUTED


def question(item: Item) -> str:
    """What tells one question from another: all of it."""
    return sha256_bytes(canonical(item.model_dump(mode="json")))


@dataclass
class Journal:
    """All events, folded: an `Entry` per (sheet, item), and who was there."""

    entries: defaultdict[tuple[str, str], Entry] = field(default_factory=lambda: defaultdict(Entry))
    people: list[Person] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    size: int = 0
    head: str = ""

    def take(self, record: Mapping[str, Json]) -> None:
        """Fold in one event. Raises ValueError (pydantic's ValidationError is one) for what cannot have been written by us."""
        self.size += 1
        match record["kind"]:
            case "person":
                self.people.append(Person.model_validate(record))
            case "refused":
                self.refused.append(Refused.model_validate(record))
            case "file":
                file = File.model_validate(record)
                self.entries[file.sheet, file.item].files[file.file] = file
            case "withdrawn":
                gone = Withdrawn.model_validate(record)
                entry = self.entries[gone.sheet, gone.item]
                entry.withdrawn.append(gone)
                if entry.answers and gone.file in entry.answers[-1].files:
                    entry.reopened = gone.seq
            case "answer":
                said = Said.model_validate(record)
                entry = self.entries[said.sheet, said.item]
                if not set(said.files) <= entry.files.keys():
                    raise ValueError(f"第 {said.seq} 条的回答引用了没有收过的文件")
                entry.answers.append(said)
            case "review":
                review = Review.model_validate(record)
                entry = self.entries[review.sheet, review.item]
                reviewed = next((s for s in entry.answers if s.seq == review.of), None)
                if reviewed is None or person(reviewed.by) == person(review.by):
                    raise ValueError(f"第 {review.seq} 条的复核不是第二人所作")
                entry.reviews.append(review)
            case "opened" | "recovered":
                pass
            case kind:
                raise ValueError(f"有不认识的记录 {kind}")


def read(stream: BinaryIO) -> Journal:
    """The journal in a stream, which stays open. Raises ValueError with what is wrong in Chinese."""
    journal = Journal()
    try:
        for head, record in chained(stream, Path(STREAM)):
            journal.take(record)
            journal.head = head
    except LedgerDamage as error:
        raise ValueError(f"查验日志第 {error.line} 行：{error.text}") from None
    except (KeyError, TypeError, ValidationError):
        raise ValueError(f"查验日志第 {journal.size} 行读不出来") from None
    return journal


def row(item: Item, entry: Entry) -> dict[str, Json]:
    """The item as its sheet has it; {} while nobody has answered."""
    said, review = entry.current(item), entry.review(item)
    if said is None:
        return {}
    agreed = review if review and review.agreed else None
    return {
        "observed": said.observed,
        "answer": said.answer.value,
        "reason": said.reason,
        "how": said.how,
        "inspector": said.by,
        "witness": agreed.by if agreed else "",
        "time": said.time,
        "confirmed": agreed.time if agreed else "",
        "place": said.place,
        "evidence": [
            {
                "file": f.file,
                "sha256": f.sha256,
                "kind": f.label,
                "obtained_from": f.obtained_from,
                "obtained_at": f.time,
                "page": f.page,
            }
            for f in (entry.files[name] for name in said.files)
        ],
    }


def sheet_text(rows: Mapping[str, Mapping[str, Json]], journal: str) -> str:
    """An answer sheet (YAML) with those rows, which names the journal that it comes of."""

    def scalar(value: Json) -> str:
        # JSON, with everything escaped that YAML would take for a line break or refuse
        text = json.dumps(value, ensure_ascii=False)
        return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)

    lines = ["# yanshou inspect 由查验日志写出。改正请再运行 yanshou inspect：手改的内容与日志不符，run 不收。"]
    lines += [f"journal: {scalar(journal)}", "items:" if rows else "items: {}"]
    for name, values in rows.items():
        lines.append(f"  {scalar(name)}:")
        for key, value in values.items():
            if key != "evidence":
                lines.append(f"    {key}: {scalar(value)}")
        lines.append("    evidence:" if values["evidence"] else "    evidence: []")
        lines += [
            "      - {" + ", ".join(f"{key}: {scalar(text)}" for key, text in file.items()) + "}"
            for file in values["evidence"]
        ]
    return "\n".join(lines) + "\n"


def differences(
    sheet: str, items: Iterable[Item], rows: Mapping[str, Mapping[str, Json]], journal: Journal
) -> Iterator[tuple[str, str]]:
    """(item id, what) of each item whose row is not what the journal says; rows as `row` gives them, {} for none."""
    for item in items:
        there, here = row(item, journal.entries[sheet, item.id]), rows.get(item.id, {})
        if here.get("answer", Answer.OPEN.value) == Answer.OPEN.value and not there:
            continue
        parts = [key for key in there if there[key] != here.get(key, "")] if there else ["answer"]
        if parts:
            yield item.id, f"与查验日志不符：{'、'.join(parts)}"


@dataclass(frozen=True)
class Conduct:
    """How an inspection was conducted, as far as software sees it; item ids, names."""

    one_device: tuple[str, ...]
    amended: tuple[tuple[str, int], ...]
    chosen_again: tuple[str, ...]
    wrong_pins: tuple[tuple[str, int], ...]


def conduct(sheet: str, items: Sequence[Item], journal: Journal) -> Conduct:
    """What a reader should know of the items of one sheet."""
    entries = [(item, journal.entries[sheet, item.id]) for item in items]

    def one_device(item: Item, entry: Entry) -> bool:
        said, review = entry.current(item), entry.review(item)
        return bool(said and review and review.agreed and said.device == review.device)

    def changes(entry: Entry) -> int:
        return max(len(entry.answers) - 1, 0) + len(entry.withdrawn)

    wrong: Counter[str] = Counter(refused.by for refused in journal.refused)
    return Conduct(
        tuple(item.id for item, entry in entries if one_device(item, entry)),
        tuple((item.id, changes(entry)) for item, entry in entries if changes(entry)),
        tuple(dict.fromkeys(p.by for p in journal.people if p.again)),
        tuple(sorted(wrong.items())),
    )
