"""The dialogue in which people confirm an import, row by row, or type one from a scan, twice. It must never answer for them.

Everything that is shown is verbatim; what was not read is shown too. Leaving it before the end writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.listing import Scenario
from yanshou.harness.names import person
from yanshou.harness.windows import BEIJING
from yanshou.importers.grid import Cell, squeezed
from yanshou.importers.propose import Proposal, aimed, aimed_at, free_own_id
from yanshou.importers.table import Row
from yanshou.importers.writing import case_and_scenario, kept, offer, scan_values, values_of, write

FIELDS = {"cell": "页与行", "baseline": "本单位当前水平", "target": "项目建设目标", "note": "补充说明"}
Typed = dict[tuple[str, str], str]
"""(indicator, field) -> what a person typed."""


@dataclass(frozen=True)
class Imported:
    """What an import wrote: `people` confirmed it, nobody where it was accepted unseen or confirmed before."""

    proposals: Sequence[Proposal]
    people: Sequence[str]
    written: int


def import_into(
    folder: Path, source: Path, scan: Path | None, out: Console, *, accept: bool, by_hand: bool, terminal: bool
) -> Imported:
    """Import `source` into the case: row by row with a person, typed by two, or with `accept` as unconfirmed.

    Raises UserError, and then nothing was written.
    """
    talk, today = Dialogue(out, source), datetime.now(BEIJING).date()
    if by_hand and (accept or not terminal):
        raise _no_terminal("由两人在终端里运行同一命令，不加 --accept", source)
    people: Sequence[str] = ()
    if by_hand:
        case, scenario = case_and_scenario(folder)
        document = kept(source, folder)
        proposals, people = talk.typed_twice(scenario)
        overview(proposals, (), out)
    else:
        made = offer(folder, source)
        case, document, proposals = made.case, made.document, list(made.proposals)
        overview(proposals, made.table.unread, out)
        if not (accept or terminal):
            raise _no_terminal("在终端里运行同一命令；或加 --accept 写入为未确认，再由人确认", source)
        if not accept and made.settled != {p.indicator for p in proposals}:
            proposals = talk.confirm(proposals, made.scenario, made.settled)
            people = [talk.name("确认人姓名（逐条核对过以上各条的人）>")]
    values, documents = values_of(case, proposals, document, people, today), [document]
    if scan or by_hand:
        stamped = kept(scan, folder) if scan else document
        compared = case.document.scan is not None and bool(case.document.scan.compared_by)
        same = not (accept or compared) and talk.yes(f"{stamped.path.name} 与纸质材料、与表1 逐栏一致吗？")
        by = (people or [talk.name("核对人姓名 >")]) if same else ()
        values |= scan_values(case, stamped, document, by, today)
        documents.append(stamped)
    write(case, values, documents)
    return Imported(proposals, people, len(values))


def _no_terminal(remedy: str, file: Path) -> UserError:
    return UserError(Problem("I-TTY", "确认与录入要由人在终端里做", remedy, file))


class Dialogue:
    """A conversation on one terminal. Every method raises UserError when the person leaves."""

    def __init__(self, out: Console, file: Path) -> None:
        self._out, self._file = out, file

    def _ask(self, question: str) -> str:
        try:
            return self._out.input(f"{escape(question)} ").strip()
        except EOFError:
            raise self._left() from None

    def _left(self) -> UserError:
        return UserError(Problem("I-LEFT", "没有确认完，什么都没有写入", "准备好后再运行一次", self._file))

    def name(self, question: str) -> str:
        """A person's name."""
        while not (answer := self._ask(question)):
            self._out.print("请写姓名")
        return answer

    def yes(self, question: str) -> bool:
        """True for 是 or y, False for 否 or n."""
        while (answer := self._ask(f"{question}（是/否）").lower()) not in ("是", "y", "否", "n"):
            self._out.print("答 是 或 否")
        return answer in ("是", "y")

    def confirm(self, proposals: Sequence[Proposal], scenario: Scenario, settled: Collection[str]) -> list[Proposal]:
        """Each proposal as a person leaves it; those of `settled` indicators stay without being asked for again."""
        confirmed = [p for p in proposals if p.indicator in settled]
        waiting = [p for p in proposals if p.indicator not in settled]
        number = 0
        while waiting:
            number += 1
            proposal: Proposal | None = waiting.pop(0)
            while proposal is not None:
                self._show(proposal, number, number + len(waiting))
                match self._ask("回车 确认 · i 改指标编号 · t 改目标 · a 本行再对应一项 · x 不导入 · q 退出 >").lower():
                    case "" if proposal.indicator in (p.indicator for p in confirmed):
                        self._out.print(f"{proposal.indicator} 已对应另一行，先改编号", style="yellow")
                    case "":
                        confirmed.append(proposal)
                        break
                    case "i":
                        proposal = self._turned(proposal, scenario, [p.indicator for p in (*confirmed, *waiting)])
                    case "t":
                        proposal = self._retargeted(proposal, scenario)
                    case "a":
                        waiting.insert(0, proposal)
                        self._out.print("同一行还会再问一次，请把其中一次的编号改成另一项")
                    case "x":
                        proposal = None
                    case "q":
                        raise self._left()
        return confirmed

    def _show(self, p: Proposal, number: int, total: int) -> None:
        self._out.rule(f"第 {number} 条，共 {total} 条")
        grid = Table(show_header=False, box=None, padding=(0, 1))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row("出处", escape(p.row.target.address))
        grid.add_row("参考指标", escape(p.row.indicator.text))
        for field in ("baseline", "target", "note"):
            grid.add_row(FIELDS[field], escape(getattr(p.row, field).text) or "（空）")
        grid.add_row("→ 指标", f"{p.indicator} {escape(p.title)}（{escape(p.reason)}）")
        grid.add_row("→ 目标", f"{escape(p.target) or '（空）'}　{reading(p)}")
        if p.doubt and p.candidates:
            grid.add_row("", f"原文里像限值的：{escape('、'.join(p.candidates))}")
        self._out.print(grid)

    def _turned(self, proposal: Proposal, scenario: Scenario, taken: Collection[str]) -> Proposal:
        own = free_own_id(scenario, (*taken, proposal.indicator))
        known = {i.id: i.name for i in scenario.indicators} | {q.id: q.text for q in scenario.qualitative}
        for name, title in known.items():
            self._out.print(f"  {name} {title}", markup=False)
        answer = self._ask(f"指标编号（自报指标写 {own}）>").upper()
        if answer not in known and not answer.startswith(f"S{scenario.number:02d}-P"):
            self._out.print(f"没有 {answer}，未改", markup=False)
            return proposal
        return aimed_at(proposal, answer, scenario)

    def _retargeted(self, proposal: Proposal, scenario: Scenario) -> Proposal:
        answer = self._ask("目标，只写比较词、数字和单位 >")
        return aimed(proposal.row, proposal.indicator, proposal.reason, scenario, answer) if answer else proposal

    def typed_twice(self, scenario: Scenario) -> tuple[list[Proposal], list[str]]:
        """What two people typed from a scan, each without seeing the other's, and their names; equal in every value."""
        first = self.name("第一录入人姓名 >")
        while person(second := self.name("第二录入人姓名 >")) == person(first):
            self._out.print("两人不能同名")
        people = [first, second]
        entries = []
        for who in people:
            with self._out.screen():  # what one typed is gone from the terminal before the other begins
                self._ask(f"请 {who} 对照纸面或扫描件录入，另一人不看屏幕；回车开始")
                entries.append(self._type(scenario))
        self._reconcile(entries, people)
        return [_proposal(entries[0], name, scenario) for name in dict.fromkeys(i for i, _ in entries[0])], people

    def _type(self, scenario: Scenario) -> Typed:
        typed: Typed = {}
        listed = [(i.id, f"{i.name}（榜单 {i.limit}）") for i in scenario.indicators]
        listed += [(q.id, q.text) for q in scenario.qualitative if q.needs_self_target]
        for name, title in listed:
            self._out.print(f"{name} {title}", markup=False, style="bold")
            self._fields(typed, name)
        while title := self._ask("还有榜单以外的指标吗？写名称，没有就回车 >"):
            name = free_own_id(scenario, (i for i, _ in typed))
            typed[name, "name"] = title
            self._fields(typed, name)
        return typed

    def _fields(self, typed: Typed, name: str) -> None:
        target = self._ask(f"  {FIELDS['target']}（表上没有这一项就回车）>")
        if target:
            typed[name, "target"] = target
            for field in ("cell", "baseline", "note"):
                typed[name, field] = self._ask(f"  {FIELDS[field]} >")
        else:
            typed.pop((name, "name"), None)

    def _reconcile(self, entries: list[Typed], people: Sequence[str]) -> None:
        """Differences are shown and typed again by both until there is none. A value is equal in any width and spacing."""
        while different := [
            key
            for key in dict.fromkeys((*entries[0], *entries[1]))
            if squeezed(entries[0].get(key, "")) != squeezed(entries[1].get(key, ""))
        ]:
            self._out.print(f"两人录入有 {len(different)} 处不同，对照纸面各自重录：", style="yellow")
            for name, field in different:
                word = FIELDS.get(field, "指标名称")
                said = "；".join(f"{who}：“{e.get((name, field), '')}”" for who, e in zip(people, entries, strict=True))
                self._out.print(f"{name} {word}　{said}", markup=False)
                for who, entry in zip(people, entries, strict=True):
                    entry[name, field] = self._ask(f"  {who} 重录 >")
        for entry in entries:
            for name in {i for i, _ in entry if not entry.get((i, "target"))}:
                for field in (*FIELDS, "name"):
                    entry.pop((name, field), None)


def _proposal(typed: Typed, name: str, scenario: Scenario) -> Proposal:
    place = typed.get((name, "cell"), "")
    known = {i.id: i.name for i in scenario.indicators} | {q.id: q.text for q in scenario.qualitative}
    cells = {field: Cell(typed.get((name, field), ""), place) for field in ("baseline", "target", "note")}
    indicator = Cell(typed.get((name, "name")) or known[name], place)
    row = Row(Cell("", ""), Cell("", ""), indicator, cells["baseline"], cells["target"], cells["note"])
    return replace(aimed(row, name, "两人录入", scenario, cells["target"].text), candidates=())


def reading(proposal: Proposal) -> str:
    """How the target is read, for people, as rich markup."""
    if proposal.doubt:
        return f"[yellow]✘ 读不出确定的限值：{escape(proposal.doubt)}[/]"
    return f"[green]✔ 读作 {escape(proposal.read)}[/]"


def overview(proposals: Sequence[Proposal], unread: Sequence[str], out: Console) -> None:
    """All proposals as one table, and what was not read."""
    shown = Table(title="表1 → 承诺", title_justify="left")
    for heading in ("出处", "参考指标", "项目建设目标（原文）", "指标", "读作", "依据"):
        shown.add_column(heading, overflow="fold")
    for p in proposals:
        read = f"✘ {p.doubt}" if p.doubt else f"✔ {p.read}"
        cells = (
            p.row.target.address,
            p.row.indicator.text,
            p.row.target.text,
            f"{p.indicator} {p.title}",
            read,
            p.reason,
        )
        shown.add_row(*map(escape, cells))
    out.print(shown)
    for line in unread:
        out.print(line, style="dim", markup=False, soft_wrap=True)
