"""A sealed record and its report against what this tool recomputes from the same evidence, today or years later.

Where the very tool is at hand that sealed a package, everything must be the same to the last byte, the pages too. Another version
may know more than the sealed record says, and draw the pages otherwise: then keys may only be missing, never differ and never
stand beside what is recomputed, and the pages may print no number and no verdict that this version does not print. What is not
proven that way is named (V-R05, V-R07), so that claiming another version never passes for a full verification. It must never
write, and never take the word of a package for anything but who says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from yanshou.harness.assess import FILE, CaseState, assess, record_bytes
from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.evidence import canonical, sha256_bytes
from yanshou.harness.identity import tool_identity
from yanshou.probes.contract import Probe, probe_names
from yanshou.reports.machine import results_json
from yanshou.reports.render import drawing_libraries, rendered
from yanshou.reports.said import WHOLE, Page, Said, read_junit, read_page, read_table, said

SHOWN = 20
FIRST_FILES = frozenset({"report.pdf", "report.html", "results.json", "results.csv", "junit.xml"})
"""What every report has had from the first version on."""
GROWN = frozenset(
    {
        "plan.envelope", "plan.signed", "hosts", "runs[].host", "findings[].calibration.points[].basis",
        *(f"findings[].{part}figure.{key}" for part in ("", "attempts[].") for key in ("unit", "per")),
        "findings[].figure.pictures",
    }
)  # fmt: skip
"""Keys of a record that came after the first sealed packages, and that say something also of an earlier case. See docs/seal.md."""
FACTS = "findings[].attempts[].facts."
"""What an instrument tells beside its measurement may become more at any time. None of it decides."""


CHINESE = re.compile("[\u4e00-\u9fff]")


class _Missing:
    """Where the sealed side has no such key."""


@dataclass(frozen=True)
class Difference:
    """One place where two JSON values differ; `stored` is _Missing where the sealed side lacks the key, `true` for the other."""

    place: str
    stored: Json | type[_Missing]
    true: Json | type[_Missing]

    def __str__(self) -> str:
        if self.true is _Missing:
            return f"{self.place} 写的是 {_short(self.stored)}，重算没有这一项"
        if self.stored is _Missing:
            return f"{self.place} 没有写，应为 {_short(self.true)}"
        return f"{self.place} 写的是 {_short(self.stored)}，应为 {_short(self.true)}"

    @property
    def only_missing(self) -> bool:
        """Whether the sealed side says less, and nothing else."""
        return self.stored is _Missing

    @property
    def empty(self) -> bool:
        """Whether a key is missing that would say nothing."""
        return self.only_missing and self.true in (None, [], {}, "")

    @property
    def grown(self) -> bool:
        """Whether a key is missing that an earlier version did not know."""
        general = _general(self.place)
        return self.only_missing and (general in GROWN or general.startswith(FACTS))

    @property
    def reworded(self) -> bool:
        """Whether words for people were put otherwise, with the same numbers in them. What decides has a code or a number."""
        words = isinstance(self.stored, str) and isinstance(self.true, str) and CHINESE.search(self.true) is not None
        told = self.place.rpartition(".")[2] in ("text", "basis") or _general(self.place).startswith(FACTS)
        return words and told and _numbers(self.stored) == _numbers(self.true)


def _general(place: str) -> str:
    """A place without its indices."""
    return re.sub(r"\[\d+\]", "[]", place)


def _numbers(text: Any) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


def differences(stored: Json, true: Json, place: str = "") -> Iterator[Difference]:
    """Every place where two JSON values differ."""
    if isinstance(stored, dict) and isinstance(true, dict):
        for key in sorted({*stored, *true}):
            inside = f"{place}.{key}" if place else key
            yield from differences(stored.get(key, _Missing), true.get(key, _Missing), inside)
    elif isinstance(stored, list) and isinstance(true, list) and len(stored) == len(true):
        for i, (a, b) in enumerate(zip(stored, true, strict=True)):
            yield from differences(a, b, f"{place}[{i}]")
    elif stored != true or type(stored) is not type(true):
        yield Difference(place, stored, true)


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _listed(found: list[str]) -> str:
    more = f" 等 {len(found)} 处" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


@cache
def sealing_tool() -> Mapping[str, Json]:
    """What a seal says of the tool that packs: its identity, and the libraries that the bytes of pages depend on."""
    return {**tool_identity().to_json(), "drawn_with": drawing_libraries()}


def _name(tool: Mapping[str, Json]) -> str:
    commit = f"，commit {str(tool['commit'])[:12]}" if tool.get("commit") else ""
    return f"{tool['version']}（源码 {str(tool['sha256'])[:12]}{commit}）"


@dataclass
class Replayed:
    """What replaying found. `limits`: what could not be checked, although nothing is known to be wrong."""

    record: dict[str, Json] | None = None
    problems: list[Problem] = field(default_factory=list)
    limits: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def add(self, other: Replayed) -> None:
        """What was found of a part, apart from its record."""
        self.problems += other.problems
        self.limits += other.limits
        self.notes += other.notes
        self.checked += other.checked


def number_as_file(text: str) -> str:
    """A report number as part of a file name: letters, digits, dash, underscore and dot stay."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip(".-") or "report"


def package_name(number: str, record: bytes) -> str:
    """What the package of a record is called, without suffix."""
    return f"{number_as_file(number)}-{sha256_bytes(record)[:12]}"


@dataclass(frozen=True)
class EarlierPackage:
    """A package of another record that a case's ledger tells of: its name, and the report's number as it stands in the name."""

    name: str
    number: str


def earlier_packages(records: Sequence[Mapping[str, Json]], record_sha256: str) -> list[EarlierPackage]:
    """Packages that were sealed of other records of the same case, in their order."""
    names = [
        str(r["name"])
        for r in records
        if r["kind"] == "seal" and r["of"] == "package" and r["record_sha256"] != record_sha256
    ]
    return [EarlierPackage(name, name.rpartition("-")[0]) for name in dict.fromkeys(names)]


def _other_reports(state: CaseState, record: Mapping[str, Json], stored: bytes) -> Replayed:
    """What the ledger tells of other reports of the same case: one that this one replaces, or one that it could be taken for."""
    found = Replayed()
    earlier = earlier_packages(state.records, sha256_bytes(stored))
    if not earlier:
        return found
    number, old = record["case"]["report_number"], record["case"]["replaces"]
    names = "、".join(e.name for e in earlier)
    taken = number_as_file(number or f"S{record['case']['scenario']:02d}") in {e.number for e in earlier}
    if not taken and old is not None and number_as_file(old["number"]) == earlier[-1].number:
        found.notes.append(f"这份报告代替此前封存的 {earlier[-1].name}")
    else:
        text = f"同一案卷此前还封存过 {names}，{'编号相同' if taken else '本报告没有说代替它'}：哪一份有效，这里核不出"
        found.limits.append(Problem("V-S14", text, "问出具方，并与那一份对照（yanshou view 两份）", state.folder))
    return found


def replay(state: CaseState, *, sealed: bool) -> Replayed:
    """The record recomputed from raw evidence, held against the sealed one, and the report against both.

    `sealed`: the folder is the payload of a package and must hold exactly what was packed; else it is a case folder, to which
    only the rule for the same version applies.
    """
    found = Replayed()
    last, mine = state.records[-1], sealing_tool()
    by = last.get("tool") if sealed and last["kind"] == "seal" and last["of"] == "package" else None
    same = not sealed or (
        by is not None and (by.get("sha256"), by.get("drawn_with")) == (mine["sha256"], mine["drawn_with"])
    )
    theirs = _name(by or state.plan.tool)
    if not same or state.plan.tool["sha256"] != mine["sha256"]:
        what = "封存数据包的工具" if by else "冻结计划的工具"
        found.notes.append(f"{what}是 {theirs}，本机的是 {_name(mine)}，不是同一份")
    known = {name: Probe(name).spec.version for name in probe_names()}
    if absent := sorted({str(r.meta["probe"]) for r in state.runs} - known.keys()):
        text = f"本机没有仪器 {'、'.join(absent)}，不能重放"
        found.problems.append(Problem("V-R06", text, f"用 {theirs} 核验", state.folder))
        return found
    record = assess(state)
    path = state.folder / FILE
    if not path.is_file():
        found.record = record
        found.problems.append(Problem("V-R01", "没有记录文件", "先运行 yanshou report", path))
        return found
    stored = path.read_bytes()
    compared, told = _compare_record(stored, record, path, same=same, theirs=theirs)
    other = sorted(_other_versions(state, known))
    if other and compared.problems:
        text = f"仪器的版本不同，本机不能重放：{'、'.join(other)}。{compared.problems[0].text}"
        remedy = f"用 {theirs} 核验：同一版本仪器重放仍不符，才是改动"
        found.problems.append(Problem("V-R06", text, remedy, path))
        return found
    found.record = record
    found.add(compared)
    report = _Report(state.folder / "report", stored, told, sealed, same, theirs, theirs if by else "另一个版本")
    found.add(report.compared())
    if sealed:
        found.add(_other_reports(state, record, stored))
    return found


def _other_versions(state: CaseState, known: Mapping[str, str]) -> set[str]:
    """Instruments that recorded in another version than this tool has: their evidence may mean something else here."""
    used = {(str(r.meta["probe"]), str(r.meta["version"])) for r in state.runs}
    return {f"{probe} 版本 {version}（本机 版本 {known[probe]}）" for probe, version in used if known[probe] != version}


def _compare_record(
    stored: bytes, record: dict[str, Json], path: Path, *, same: bool, theirs: str
) -> tuple[Replayed, dict[str, Json]]:
    """What is wrong with the sealed record, and the record that a report must be of: that one, if nothing is wrong with it."""
    found, true = Replayed(), json.loads(record_bytes(record))
    word = f"结论：{record['verdict_word']}"
    try:
        told = json.loads(stored)
        different = list(differences(told, true))
        spelt = canonical(told) + b"\n" == stored
    except ValueError:
        found.problems.append(Problem("V-R02", "记录不是 JSON", "以重放结果为准，查明改动", path))
        return found, true
    if not different and spelt:
        found.checked.append(f"由原始证据重放出同一份记录，{word}")
        return found, true
    wrong = [str(d) for d in different if same or not (d.empty or d.grown or d.reworded)]
    if wrong or not spelt:
        remedy = "以重放结果为准，查明改动" if same else f"以重放结果为准；或用 {theirs} 核验"
        text = f"记录与重放结果不符：{_listed(wrong) or '只有写法不同'}"
        found.problems.append(Problem("V-R02", text, remedy, path))
        return found, true
    found.checked.append(f"封存的记录每一项都由原始证据重算得同一个值，{word}")
    if more := [f"{d.place} = {_short(d.true)}" for d in different if d.grown and not d.empty]:
        text = f"记录是较早的形式，本机重算还得出 {len(more)} 项：{_listed(more)}"
        found.limits.append(Problem("V-R07", text, "这些项看本机重算的，封存的报告里没有", path))
    if empty := [d.place for d in different if d.empty]:
        found.notes.append(f"记录是较早的形式：本机的记录多出 {len(empty)} 项，都为空")
    if words := [str(d) for d in different if d.reworded]:
        text = f"{len(words)} 处文字与本机的不同，其中的数字、代码与判定相同：{_listed(words)}"
        found.limits.append(Problem("V-R08", text, "两种写法都在这里，看意思是否相同", path))
    return found, told


@dataclass(frozen=True)
class _Report:
    """The files of a report, with the record that they must be of; `theirs` and `drawn` name the tool that sealed and that drew."""

    folder: Path
    stored: bytes
    told: dict[str, Json]
    sealed: bool
    same: bool
    theirs: str
    drawn: str

    def compared(self) -> Replayed:
        """What is wrong with them. Where pages only look otherwise they are read, and what that leaves open is named."""
        found = Replayed()
        try:
            true = rendered(record_bytes(self.told))
        except UserError as error:
            found.problems += error.problems
            return found
        files = {p.relative_to(self.folder).as_posix(): p for p in self.folder.rglob("*") if p.is_file()}
        if not self.sealed:  # a case folder may be between two reports, and people may keep other papers there
            files = {name: path for name, path in files.items() if name in true}
        wrong = {
            name: "不是由记录写出的文件" if name in files else "不见了"
            for name in files.keys() ^ true.keys()
            if name in files or (self.sealed and (self.same or name in FIRST_FILES))
        }
        different = {n: d for n in files.keys() & true if (d := files[n].read_bytes()) != true[n]}
        if self.same:
            wrong |= dict.fromkeys(different, "与记录不符")
        elif different:
            wrong |= dict(_contradictions(different, true, self.stored, self.told))
        remedy = "由记录重新写出报告" if self.same else f"由记录重新写出报告；或用 {self.theirs} 核验"
        found.problems += [
            Problem("V-R03", f"report/{name} {why}", remedy, self.folder / name) for name, why in sorted(wrong.items())
        ]
        if pages := sorted(n for n in different if n not in wrong and _is_page(n)):
            text = (
                f"{'、'.join(pages)} 由{self.drawn}排印，本机不比较版面：只核对了摘要、内嵌的结果，以及读得出的数字与判定；"
                "画成图形的读不出"
            )
            remedy = f"要看本机重算的用 yanshou view；要逐字节比较用 {self.theirs} 核验"
            found.limits.append(Problem("V-R05", text, remedy, self.folder))
        elif not wrong and files:
            found.checked.append("由同一份记录重新排印的报告逐字节相同")
        return found


def _is_page(name: str) -> bool:
    return name.endswith((".pdf", ".html", ".xlsx"))


READERS: Mapping[str, Callable[[bytes], Json]] = {"csv": read_table, "xml": read_junit}


def _contradictions(
    different: Mapping[str, bytes], true: Mapping[str, bytes], stored: bytes, record: Mapping[str, Json]
) -> Iterator[tuple[str, str]]:
    """Files of another version's report that say something else than record and replay say, and what."""
    try:
        results = results_json(json.loads(stored))
    except (ValueError, TypeError, AttributeError):
        results = b""
    reader = _Reader.of(true, stored, record)
    for name, data in different.items():
        try:
            if name == "results.json":
                if data != results:
                    yield name, "与封存的记录不符"
            elif _is_page(name):
                page = read_page(name, data)
                if page.results is not None and _other(page.results, results):
                    yield name, "里面的 results.json 与封存的记录不符"
                elif strange := reader.strange(page, whole=name != "results.xlsx"):
                    yield name, f"与记录不符：{_listed(strange)}"
            else:
                read = READERS[name.rpartition(".")[2]]
                wrong = [str(d) for d in differences(read(data), read(true[name])) if not d.only_missing]
                if wrong:
                    yield name, f"与记录不符：{_listed(wrong)}"
        except ValueError as error:
            yield name, f"读不出（{error}）"


def _other(embedded: str, results: bytes) -> bool:
    """Whether JSON inside a page is not the results; some letters of it are written as escapes there."""
    return canonical(json.loads(embedded)) + b"\n" != results


def _texts(value: Json) -> Iterator[str]:
    """Every text in a JSON value, keys apart."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inside in value.values() if isinstance(value, dict) else value:
            yield from _texts(inside)


@dataclass(frozen=True)
class _Reader:
    """What this version prints of the record, to hold another version's pages against.

    `verdicts`: codes that a whole report must print, by what stands before them. `codes`: long words with digits (digests,
    addresses, file names), which are no numbers.
    """

    ours: Said
    verdicts: Mapping[str, str]
    named: frozenset[str]
    codes: frozenset[str]

    @classmethod
    def of(cls, true: Mapping[str, bytes], stored: bytes, record: Mapping[str, Json]) -> _Reader:
        """By our own renderings of the record."""
        verdicts = {f["indicator"]: f["verdict"] for f in record["findings"]}
        named = frozenset({*verdicts, *(q["id"] for q in record["qualitative"])})
        codes = {sha256_bytes(stored), *(c for text in _texts(record) for c in re.findall(r"[!-~]{12,}", text))}
        text = "\n".join(read_page(name, data).text for name, data in true.items() if _is_page(name))
        return cls(said(text, named, codes), {WHOLE: record["verdict"], **verdicts}, named, frozenset(codes))

    def strange(self, page: Page, *, whole: bool) -> list[str]:
        """What `page` says and none of our pages says; where it is a `whole` report, also the verdicts that it leaves out."""
        told = said(page.text, self.named, self.codes)
        left_out = told.silent(self.verdicts) if whole else []
        return [*(f"印着 {each}" for each in told.strange(self.ours)), *(f"没有印 {name} 的判定" for name in left_out)]
