"""The inspection as a dialogue on one terminal: item by item, then the second person. It must never answer for anybody.

Leaving it at any moment loses nothing that was acknowledged with “已记下”.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from yanshou.harness.basics import Problem, UserError, refusal
from yanshou.harness.evidence import CHUNK
from yanshou.harness.model import Answer
from yanshou.inspect.files import CARRIES
from yanshou.inspect.recorder import ANSWERS, METHODS, Actor, Questions, Recorder
from yanshou.inspect.words import MARKS, said_of
from yanshou.probes.inspection.journal import TERMINAL, Standing
from yanshou.probes.inspection.spec import Item


class Left(Exception):
    """The person goes away; everything acknowledged stays."""


class Dialogue:
    """A conversation on one terminal, with one inspector at a time and a second person for reviews."""

    def __init__(self, recorder: Recorder, out: Console) -> None:
        self._recorder, self._out = recorder, out

    def run(self) -> None:
        """Until the people leave."""
        try:
            self._out.print("检查人登记。口令自选，至少 4 位，只有本人知道；复核人稍后用自己的。", soft_wrap=True)
            actor = self._identified("检查人姓名 >")
            while True:
                self._overview()
                word = self._ask("回车 下一个未查的条目 · 条目编号 · r 复核 · w 换检查人 · q 离开 >")
                if word == "q":
                    return
                if word == "w":
                    actor = self._identified("检查人姓名 >")
                elif word == "r":
                    self._review()
                elif found := self._find(word):
                    self._item(*found, actor)
                else:
                    self._out.print("没有未查的条目了" if not word else f"没有条目 {word}", markup=False)
        except Left:
            return

    def _ask(self, question: str) -> str:
        try:
            return self._out.input(f"{escape(question)} ").strip()
        except EOFError:
            raise Left from None

    def _secret(self, question: str) -> str:
        """What is typed without being shown."""
        from getpass import getpass

        try:
            return getpass(f"{question} ", stream=sys.stderr)
        except EOFError:
            raise Left from None

    def _say(self, error: UserError) -> None:
        for problem in error.problems:
            self._out.print(f"▲ {problem.text} → {problem.remedy}", style="yellow", markup=False, soft_wrap=True)

    def _identified(self, question: str) -> Actor:
        while True:
            name = self._ask(question)
            try:
                return self._recorder.identify(name, self._secret("口令 >"), TERMINAL)
            except UserError as error:
                self._say(error)

    def _overview(self) -> None:
        for questions in self._recorder.sheets:
            title = f"{questions.indicator} {questions.name}　{said_of(self._recorder.tally([questions]))}"
            shown = Table(title=escape(title), title_justify="left", box=None, show_header=False)
            for item in questions.items:
                standing = self._recorder.standing(questions, item)
                said = self._recorder.entry(questions, item).current(item)
                shown.add_row(
                    f"{MARKS[standing]} {standing}", escape(item.id), escape(item.text), said.answer if said else ""
                )
            self._out.print(shown)

    def _find(self, word: str) -> tuple[Questions, Item] | None:
        every = [(q, i) for q in self._recorder.sheets for i in q.items]
        if word:
            return next(((q, i) for q, i in every if i.id.casefold() == word.casefold()), None)
        waits = (Standing.OPEN, Standing.DISPUTED)
        return next(((q, i) for q, i in every if self._recorder.standing(q, i) in waits), None)

    def _item(self, questions: Questions, item: Item, actor: Actor) -> None:
        """Evidence first, then the answer; asked again until it keeps the rules, or left unanswered."""
        entry = self._recorder.entry(questions, item)
        self._out.rule(escape(f"{item.id} {item.text}"))
        self._out.print(f"应为　{item.expected}", markup=False, soft_wrap=True)
        review = entry.review(item)
        if review and not review.agreed:
            self._out.print(f"▲ {review.by} 有异议：{review.text}", style="yellow", markup=False)
        for file in entry.put_forward:
            self._out.print(f"已有　{file.file} {file.sha256}", markup=False, soft_wrap=True)
        while path := self._ask("证据文件路径（没有了就回车）>"):
            self._take(questions, item, Path(path.strip("'\"")).expanduser(), actor)
        offered = [a for a in ANSWERS if not item.expert or a in (Answer.EXPERT, Answer.NOT_APPLICABLE)]
        menu = " · ".join(f"{number} {answer}" for number, answer in enumerate(offered, 1))
        while True:
            word = self._ask(f"答案：{menu} · 回车 先不答 >")
            if not word:
                return
            answer = offered[int(word) - 1] if word.isdecimal() and 0 < int(word) <= len(offered) else word
            observed, reason = self._ask("所见 >"), self._ask("说明（可不写）>")
            usual, ways = str(item.method or ""), " · ".join(f"{n} {m}" for n, m in enumerate(METHODS, 1))
            word = self._ask(f"方法：{ways}（回车 {usual or '必选'}）>")
            how = METHODS[int(word) - 1] if word.isdecimal() and 0 < int(word) <= len(METHODS) else word or usual
            last = self._recorder.last_place()
            place = self._ask(f"地点（回车 {last}）>" if last else "地点 >") or last
            why = self._ask("改答的理由 >") if entry.answers else ""
            try:
                said = self._recorder.answer(
                    questions, item, actor, answer=answer, observed=observed, reason=reason, how=how, place=place,
                    why=why,
                )  # fmt: skip
            except UserError as error:
                self._say(error)
            else:
                self._out.print(f"已记下　{item.id} {said.answer} {said.time}", style="green", markup=False)
                return

    def _take(self, questions: Questions, item: Item, path: Path, actor: Actor) -> None:
        try:
            with path.open("rb") as f:
                incoming = self._recorder.receive(path.name)
                try:
                    while block := f.read(CHUNK):
                        incoming.write(block)
                    label = self._ask("类别（照片、录像、截图、文件、日志）>")
                    source = self._ask("取自（可不写）>")
                    file = self._recorder.take(questions, item, incoming, actor, label=label, source=source)
                finally:
                    incoming.discard()
        except OSError as error:
            self._say(UserError(Problem("INS-E02", f"{path} 读不出：{refusal(error)}", "改正路径")))
        except UserError as error:
            self._say(error)
        else:
            self._out.print(f"已收下　{file.file} sha256:{file.sha256}", style="green", markup=False, soft_wrap=True)
            if file.carries:
                held = "、".join(CARRIES.get(c, c) for c in file.carries)
                self._out.print(f"▲ 照片里带有{held}，会原样进入证据包", style="yellow", markup=False)

    def _review(self) -> None:
        """The second person, with name and PIN, item by item."""
        name = self._ask("复核人姓名 >")
        try:
            actor = self._recorder.identify(name, self._secret("复核人口令 >"), TERMINAL)
        except UserError as error:
            self._say(error)
            return
        for questions in self._recorder.sheets:
            for item in questions.items:
                if self._recorder.standing(questions, item) is Standing.WAITING:
                    self._review_one(questions, item, actor)

    def _review_one(self, questions: Questions, item: Item, actor: Actor) -> None:
        said = self._recorder.entry(questions, item).answers[-1]
        self._out.rule(escape(f"复核 {item.id} {item.text}"))
        self._out.print(f"应为　{item.expected}", markup=False, soft_wrap=True)
        told = f"{said.by} 答“{said.answer}”：{said.observed or said.reason}（{said.how}，{said.place}，{said.time}）"
        self._out.print(told, markup=False, soft_wrap=True)
        for file in self._recorder.entry(questions, item).put_forward:
            self._out.print(f"证据　{file.file} {file.sha256}", markup=False, soft_wrap=True)
        word = self._ask("y 同意 · n 不同意 · 回车 暂不 >").lower()
        if word not in ("y", "n"):
            return
        text = self._ask("哪里不符 >") if word == "n" else ""
        try:
            self._recorder.review(questions, item, said.seq, actor, agreed=word == "y", text=text)
        except UserError as error:
            self._say(error)
        else:
            self._out.print(f"已记下　{item.id} {'复核同意' if word == 'y' else '有异议'}", style="green", markup=False)
