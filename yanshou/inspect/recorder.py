"""The one writer of a guided inspection: checks a person, checks the rules, writes the journal, then the sheets.

Nothing is acknowledged before it is on the disk. It must never answer for a person, and never let one person's word stand for two.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from yanshou.harness.assess import load_state
from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.case import place_of
from yanshou.harness.evidence import Ledger, read_ledger, require_writable, write_atomic
from yanshou.harness.model import Answer
from yanshou.harness.names import person
from yanshou.harness.plan import Plan
from yanshou.inspect.files import Incoming, carried, clear_staging
from yanshou.probes.inspection.capture import read_sheet
from yanshou.probes.inspection.journal import (
    Entry,
    File,
    Journal,
    Said,
    Standing,
    question,
    row,
    sheet_text,
)
from yanshou.probes.inspection.spec import SPEC, Item, Params, breaches, misread

JOURNAL = Path("inspections/journal")
"""In the case folder: a ledger of its own."""
LONGEST = 4000
"""Of a text that a person writes, characters."""
ANSWERS = (Answer.YES, Answer.NO, Answer.PARTIAL, Answer.NOT_APPLICABLE, Answer.EXPERT)
METHODS = ("查阅", "观察", "询问", "操作")
SHORTEST_PIN = 4
WRONG_PINS, LOCKED_S = 5, 60.0
HERE = {"INS-E03": "先拍照或选文件；没有证据就改答“部分”或先不答", "INS-E10": "写“所见”或“说明”"}
"""What to do about a broken rule where people are not looking at the sheet."""


@dataclass(frozen=True)
class Questions:
    """One checklist of the frozen plan: `key` names it in addresses, `sheet` its answer sheet, relative to the case folder."""

    key: str
    indicator: str
    name: str
    sheet: str
    items: tuple[Item, ...]

    def item(self, item_id: str) -> Item:
        """By id. Raises KeyError."""
        return next((i for i in self.items if i.id == item_id), None) or _missing(item_id)


def _missing(name: str) -> Item:
    raise KeyError(name)


def questions_of(plan: Plan) -> tuple[Questions, ...]:
    """Every checklist of the plan, each sheet once. Raises UserError where there is none."""
    found: dict[str, Questions] = {}
    for indicator in plan.indicators:
        for number, setup in enumerate(indicator.setups):
            if setup.instrument.probe == SPEC.name:
                params = Params.model_validate(dict(setup.instrument.params))
                key = indicator.id if not setup.condition else f"{indicator.id}.{number + 1}"
                name = f"{indicator.name}（{setup.condition}）" if setup.condition else indicator.name
                found.setdefault(params.sheet, Questions(key, indicator.id, name, params.sheet, params.items))
    if not found:
        text = "冻结的计划里没有查验清单"
        raise UserError(Problem("W-NONE", text, "在 case.yaml 的 inspections 下列出条目，冻结后再来"))
    return tuple(found.values())


@dataclass(frozen=True)
class Actor:
    """Who acts, and on what device."""

    name: str
    device: str


@dataclass
class _Secret:
    """What tells a person from another in this session: kept in memory only, so that no PIN gets into a package."""

    salt: bytes
    digest: bytes
    wrong: int = 0
    locked_until: float = 0.0


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=1 << 14, r=8, p=1)


def cleaned(text: str) -> str:
    """What a person wrote, without characters that nobody sees and blanks at the ends. Raises UserError where it is too long."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(
        c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ).strip()
    if len(text) > LONGEST:
        raise _refused("W-LONG", f"一栏超过 {LONGEST} 字", "写要点，全文作为文件收进来")
    return text


def _refused(code: str, text: str, remedy: str) -> UserError:
    return UserError(Problem(code, text, remedy))


@dataclass
class Recorder:
    """A guided inspection under way. Every method is safe to call from several threads."""

    folder: Path
    sheets: tuple[Questions, ...]
    ledger: Ledger
    journal: Journal
    clock: Callable[[], float] = time.monotonic
    _secrets: dict[str, _Secret] = field(default_factory=dict)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def resume(self, plan_sha256: str) -> None:
        """Begin where the last session ended, however it ended."""
        clear_staging(self._staging)
        self._write("opened", plan=plan_sha256)
        for questions in self.sheets:
            self._write_sheet(questions)  # it is one event behind where a kill came between

    # --- reading ---

    def questions(self, key: str) -> Questions:
        """By key. Raises KeyError."""
        return {q.key: q for q in self.sheets}[key]

    def entry(self, questions: Questions, item: Item) -> Entry:
        """What was said about an item."""
        return self.journal.entries[questions.sheet, item.id]

    def standing(self, questions: Questions, item: Item) -> Standing:
        """How far an item has come."""
        return self.entry(questions, item).standing(item)

    def tally(self, questions: Sequence[Questions] | None = None) -> Counter[Standing]:
        """How many items stand where."""
        chosen = self.sheets if questions is None else questions
        return Counter(self.standing(q, i) for q in chosen for i in q.items)

    def last_place(self) -> str:
        """Where somebody last answered, for not having to write it again."""
        said = [s for e in self.journal.entries.values() for s in e.answers]
        return max(said, key=lambda s: s.seq).place if said else ""

    def names(self) -> list[str]:
        """Who has given a name in this session."""
        return [p.by for p in self.journal.people if person(p.by) in self._secrets]

    def file_path(self, questions: Questions, file: File) -> Path:
        """Where a file that came in lies."""
        return (self.folder / questions.sheet).parent / file.file

    # --- people ---

    def identify(self, name: str, pin: str, device: str, address: str = "", agent: str = "") -> Actor:
        """The person of that name: whoever first gives it in this session chooses its PIN. Raises UserError.

        PINs live in memory: after a restart each person chooses one again, and the journal says so.
        """
        name = " ".join(cleaned(name).split())
        who = person(name)
        if not who:
            raise _refused("W-NAME", "没有写姓名", "写真实姓名，它会印在报告上")
        with self._guard:
            if who in self._secrets:
                return self.prove(name, pin, device)
            if len(pin) < SHORTEST_PIN:
                raise _refused("W-PIN", f"口令不足 {SHORTEST_PIN} 位", "自选一个只有本人知道的口令")
            salt = secrets.token_bytes(16)
            again = any(person(p.by) == who for p in self.journal.people)
            self._write("person", by=name, device=device, again=again, address=address, agent=agent[:200])
            self._secrets[who] = _Secret(salt, _scrypt(pin, salt))
            return Actor(name, device)

    def prove(self, name: str, pin: str, device: str) -> Actor:
        """The person who gave that name before, by the PIN. Raises UserError; a wrong PIN is written down."""
        with self._guard:
            known = self._secrets.get(person(name))
            if known is None:
                raise _refused("W-NAME", f"{name} 还没有登记", "先由本人登记姓名和口令")
            if self.clock() < known.locked_until:
                raise _refused("W-LOCK", f"{name} 的口令连续输错，暂停 {LOCKED_S:g} 秒", "等一等，由本人输入")
            if not hmac.compare_digest(_scrypt(pin, known.salt), known.digest):
                known.wrong += 1
                if known.wrong % WRONG_PINS == 0:
                    known.locked_until = self.clock() + LOCKED_S
                self._write("refused", by=self._spelled(name), device=device)
                raise _refused("W-PIN", f"{name} 的口令不对", "由本人输入；输错的次数会记在查验日志里")
            known.wrong = 0
            return Actor(self._spelled(name), device)

    def _spelled(self, name: str) -> str:
        return next(p.by for p in reversed(self.journal.people) if person(p.by) == person(name))

    # --- what people do ---

    def receive(self, original: str) -> Incoming:
        """A file that begins to come in. Raises OSError."""
        return Incoming(self._staging, original)

    @property
    def _staging(self) -> Path:
        return self.folder / JOURNAL / "incoming"

    def take(
        self, questions: Questions, item: Item, incoming: Incoming, actor: Actor, *, label: str = "", source: str = "",
        page: str = "",
    ) -> File:  # fmt: skip
        """Take a file in for an item. One that is there already is not taken twice. Raises UserError, OSError."""
        said = [cleaned(text) for text in (label, source, page, incoming.original[:LONGEST])]
        if not incoming.size:
            incoming.discard()
            raise _refused("INS-E05", f"{incoming.original} 是空的", "换成有内容的文件")
        with self._guard:
            for known in self.entry(questions, item).put_forward:
                if known.sha256 == incoming.sha256:
                    incoming.discard()
                    return known
            beside = (self.folder / questions.sheet).parent
            path = incoming.settle(beside / Path(questions.sheet).stem / item.id)
            self._write(
                "file", by=actor.name, device=actor.device, sheet=questions.sheet, item=item.id,
                file=path.relative_to(beside).as_posix(), sha256=incoming.sha256, bytes=incoming.size,
                label=said[0], obtained_from=said[1], page=said[2], original=said[3][:200],
                carries=list(carried(path)),
            )  # fmt: skip
            return self.entry(questions, item).put_forward[-1]

    def withdraw(self, questions: Questions, item: Item, file: str, why: str, actor: Actor) -> None:
        """Put a file no longer forward. An answer that stood on it no longer stands. Raises UserError."""
        why = cleaned(why)
        with self._guard:
            if file not in (f.file for f in self.entry(questions, item).put_forward):
                raise _refused("W-FILE", "没有这个文件，或已撤回", "刷新后再看")
            if not why:
                raise _refused("W-WHY", "撤回文件要写理由", "写一句为什么")
            self._write(
                "withdrawn", by=actor.name, device=actor.device, sheet=questions.sheet, item=item.id, file=file, why=why
            )
            self._write_sheet(questions)

    def answer(
        self, questions: Questions, item: Item, actor: Actor, *, answer: str, observed: str = "", reason: str = "",
        how: str = "", place: str = "", why: str = "",
    ) -> Said:  # fmt: skip
        """Write an answer down, on the files put forward now. The same answer again changes nothing. Raises UserError."""
        observed, reason, place, why = map(cleaned, (observed, reason, place, why))
        how = how or item.method or ""
        with self._guard:
            entry = self.entry(questions, item)
            files = entry.put_forward
            found = list(self._wrong(item, entry, answer, observed, reason, how, place))
            last = entry.current(item)
            if last and not found:
                same = (last.answer, last.observed, last.reason, last.how, last.place, last.files, person(last.by))
                if same == (answer, observed, reason, how, place, tuple(f.file for f in files), person(actor.name)):
                    return last
            if entry.answers and not why:
                found.append(Problem("W-WHY", "改答要写理由", "写一句为什么改；前一个回答留在日志里"))
            if found:
                raise UserError(found)
            self._write(
                "answer", by=actor.name, device=actor.device, sheet=questions.sheet, item=item.id,
                question=question(item), answer=answer, observed=observed, reason=reason, how=how, place=place,
                files=[f.file for f in files], why=why,
            )  # fmt: skip
            self._write_sheet(questions)
            return entry.answers[-1]

    def _wrong(
        self, item: Item, entry: Entry, answer: str, observed: str, reason: str, how: str, place: str
    ) -> Iterator[Problem]:
        if answer not in ANSWERS:
            yield Problem("W-ANSWER", "没有选答案", f"从 {'、'.join(ANSWERS)} 里选一个")
            return
        if how not in METHODS:
            yield Problem("W-HOW", "没有选查验方法", f"从 {'、'.join(METHODS)} 里选一个")
        if not place:
            yield Problem("W-PLACE", "没有写地点", "写到车间、机房或道路一级")
        explained, files = bool(observed or reason), len(entry.put_forward)
        rules = breaches(
            Answer(answer), inspector="", witness="", explained=explained, evidence=files, expert=item.expert
        )
        # the second person comes later: a sheet without one is not taken in
        yield from (Problem(code, text, HERE.get(code, remedy)) for code, text, remedy in rules if code != "INS-E04")
        if answer == Answer.YES:
            if not observed:
                yield Problem("W-OBSERVED", "答“是”要写看到了什么", "写实际所见，不照抄要求")
            if wrong := misread(item, observed):
                yield Problem("INS-E11", wrong[0].removeprefix("的 "), wrong[1])

    def review(self, questions: Questions, item: Item, of: int, actor: Actor, *, agreed: bool, text: str = "") -> None:
        """What a second person says of the answer number `of`, which must still be the one that stands. Raises UserError."""
        text = cleaned(text)
        with self._guard:
            entry = self.entry(questions, item)
            said = entry.current(item)
            if said is None or said.seq != of:
                raise _refused("W-MOVED", f"{item.id} 的回答刚被改过", "看过新的回答再复核")
            if person(said.by) == person(actor.name):
                raise _refused(
                    "INS-E04", f"{item.id} 是 {said.by} 查的，不能由同一人复核", "请第二人到场，用自己的口令"
                )
            if not agreed and not text:
                raise _refused("W-WHY", f"{item.id} 不同意要写理由", "写一句哪里不符")
            review = entry.review(item)
            if review and (review.agreed, review.text, person(review.by)) == (agreed, text, person(actor.name)):
                return
            self._write(
                "review", by=actor.name, device=actor.device, sheet=questions.sheet, item=item.id, of=of,
                agreed=agreed, text=text,
            )  # fmt: skip
            self._write_sheet(questions)

    # --- the disk ---

    def _write(self, kind: str, **content: Json) -> None:
        self.journal.take(self.ledger.append(kind, **content))

    def _write_sheet(self, questions: Questions) -> None:
        """The sheet as the journal has it; a blank one stays until somebody has answered."""
        path = self.folder / questions.sheet
        rows = {i.id: found for i in questions.items if (found := row(i, self.entry(questions, i)))}
        if rows or (path.exists() and ours(path)):
            back = os.path.relpath(self.ledger.path, path.parent).replace(os.sep, "/")
            write_atomic(path, sheet_text(rows, back).encode())


def ours(path: Path) -> bool:
    """True when a sheet was written from a journal and not by hand. Raises OSError."""
    head = path.read_bytes()[:1000].split(b"\n", 2)
    return len(head) > 1 and head[1].startswith(b"journal: ")


def _by_hand(folder: Path, questions: Questions) -> Iterator[Problem]:
    """What keeps a guided inspection from writing a sheet: people have begun to fill it in without it."""
    path = folder / questions.sheet
    if not path.exists() or ours(path):
        return
    _, responses, problems, _ = read_sheet(folder, Params(sheet=questions.sheet, items=questions.items))
    blank = ("", Answer.OPEN)
    if problems or any(r.evidence or not all(text in blank for text in r.said.values()) for r in responses.values()):
        text = "答卷已经手工填写过"
        yield Problem("W-HAND", text, "接着手填；要改用 yanshou inspect，先把它移开", path)


@contextmanager
def recording(folder: Path) -> Iterator[Recorder]:
    """A guided inspection of the case in `folder`, resumed where it was left. Raises UserError, LedgerDamage."""
    state = load_state(folder)
    sheets = questions_of(state.plan)
    for questions in sheets:
        place_of(folder, questions.sheet)
    require_writable(folder)
    if found := [problem for questions in sheets for problem in _by_hand(folder, questions)]:
        raise UserError(found)
    (folder / JOURNAL).mkdir(parents=True, exist_ok=True)
    with Ledger(folder / JOURNAL) as ledger:
        recorder = Recorder(folder, sheets, ledger, _folded(ledger))
        recorder.resume(state.frozen.sha256)
        yield recorder


def _folded(ledger: Ledger) -> Journal:
    journal = Journal()
    try:
        for record in ledger.records:
            journal.take(record)
    except (ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UserError(Problem("W-JOURNAL", f"查验日志读不出来：{why}", "从副本恢复", ledger.path)) from None
    return journal


def progress(folder: Path) -> tuple[tuple[Questions, ...], Journal]:
    """How far the inspection of a case has come, without taking part in it. Raises UserError, LedgerDamage."""
    sheets, journal = questions_of(load_state(folder).plan), Journal()
    path = folder / JOURNAL / "ledger.jsonl"
    for _, record in read_ledger(path) if path.exists() else ():
        journal.take(record)
    return sheets, journal
