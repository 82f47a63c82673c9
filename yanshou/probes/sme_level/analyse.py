"""Counts the enterprises whose level was raised and confirmed on site, from the acknowledged workbooks.

It is for giving the same count from the same bytes, forever. It must never touch the world and never know a limit.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from yanshou.harness.basics import Json, UserError
from yanshou.harness.evidence import RunEvidence, digest_file, sha256_bytes
from yanshou.harness.model import Audit, Count, Exclusion, Severity, Validity
from yanshou.harness.references import SmeEdition, sme_edition
from yanshou.probes.reading import read_table, text_encoding
from yanshou.probes.sampling import RESULT, RESULTS, draw_sample
from yanshou.probes.sme_level.layout import CODE, NAME, TIME, Form, read_workbook
from yanshou.probes.sme_level.score import (
    REASONS,
    Assessed,
    Standing,
    assess,
    confirmed,
    self_assessed_before,
    several,
    shared_level,
)
from yanshou.probes.sme_level.spec import Params
from yanshou.probes.texts import moment, plain

IMPORT, AUDIT, WORKBOOKS, PROOFS = "import.json", "audit.csv", "workbooks", "proofs"
HASTE = timedelta(minutes=1)
_EMPTY = sha256_bytes(b"")


def workbook_files(folder: Path, params: Params) -> list[Path]:
    """The workbooks that `files` names, those in a folder in the order of their names; Office's lock files are none."""
    files: list[Path] = []
    for name in params.files:
        path = folder / name
        inside = sorted(path.glob("*.xlsx")) if path.is_dir() else [path]
        files += (file for file in inside if not file.name.startswith("~$"))
    return files


def source_digest(digests: Iterable[str]) -> str:
    """What the draw is tied to: SHA-256 of the workbooks' own, one a line, in their order."""
    return sha256_bytes("".join(f"{digest}\n" for digest in digests).encode())


def sheets(folder: Path, params: Params, seed: int) -> dict[str, str]:
    """The audit file with the enterprises to visit again. Raises OSError, ValueError."""
    if params.audit is None:
        return {}
    files = workbook_files(folder, params)
    forms: list[tuple[Form, Mapping[str, str]]] = []
    for path in files:
        try:
            reading = read_workbook(path.read_bytes(), path.name)
        except UserError as error:
            raise ValueError(str(error)) from None
        if reading.faults:
            raise ValueError(f"{reading.faults[0].cell} {reading.faults[0].text}")
        forms += ((form, {name: digest_file(path.parent / name) for name in named(form)}) for form in reading.forms)
    counting = [one for one in assess(forms, sme_edition(), params) if not one.reason]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([CODE, NAME, RESULT, "note"])
    for one in _drawn(counting, params, seed, source_digest(map(digest_file, files))):
        writer.writerow([one.code, one.name, "", ""])
    return {params.audit.file: out.getvalue()}


def named(form: Form) -> dict[str, None]:
    """Names of all evidence files in a form, in order, each once."""
    return dict.fromkeys(name for line in form.lines.values() for name in line.proofs)


def _drawn(counting: Sequence[Assessed], params: Params, seed: int, source: str) -> list[Assessed]:
    if params.audit is None:
        return []
    return [counting[i] for i in draw_sample(len(counting), params.audit.size, seed, source)]


def _taken(evidence: RunEvidence) -> list[dict[str, Json]] | None:
    """What the capture says it took, None where that is not whole: a workbook is missing, or another one."""
    try:
        with evidence.open(IMPORT) as f:
            taken: list[dict[str, Json]] = json.load(f)["workbooks"]
        whole = all(evidence.sha256(book["stream"]) == book["sha256"] for book in taken)
    except (KeyError, TypeError, ValueError):
        return None
    return taken if whole else None


def _forms(evidence: RunEvidence, taken: Sequence[Mapping[str, Json]]) -> Iterator[tuple[Form, dict[str, str]]]:
    """Each form with the digests of its evidence files, as far as the ledger acknowledges these. Raises UserError."""
    there = {evidence.sha256(name) for name in evidence.streams() if name.startswith(f"{PROOFS}/")} - {_EMPTY}
    for book in taken:
        with closing(evidence.open(book["stream"])) as stream:
            reading = read_workbook(stream.read(), book["name"])
        proofs = {name: digest for name, digest in book["proofs"].items() if digest in there}
        for form in reading.forms:
            yield form, proofs


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged workbooks yield; cut or broken evidence gives SME-V01 (invalid), never an exception.

    `facts`: {"enterprises": one record each, "unconfirmed_lines", "edition", "standing", …}.
    """
    edition = sme_edition()
    taken = _taken(evidence)
    forms: list[tuple[Form, dict[str, str]]] = []
    try:
        forms = list(_forms(evidence, taken or ()))
    except UserError:
        taken = None
    assessed = assess(forms, edition, params)
    counting = [one for one in assessed if not one.reason]
    validity = [] if taken is not None else [Validity("SME-V01", Severity.INVALID, "评测表没有完整导入：计数不能作数")]
    audit = None
    if params.audit and counting:
        source = source_digest(book["sha256"] for book in taken or ())
        drawn = _drawn(counting, params, seed, source)
        audit, found = _audited(evidence, [one.code for one in drawn], len(counting))
        validity += found
    validity += _findings(assessed, edition, params)
    facts: dict[str, Json] = {
        "edition": edition.title,
        "standing": list(edition.standing),
        "workbooks": [{"name": b["name"], "sha256": b["sha256"]} for b in taken or ()],
        "enterprises": [_record(one) for one in assessed],
        "levels_after": {rule.name: sum(o.after.level == rule.level for o in counting) for rule in edition.levels},
    }
    if params.shared_by is not None:
        return _by_level(counting, assessed, edition, params.shared_by, validity, facts)
    reasons = Counter(one.reason for one in assessed)
    return Count(
        unit="家",
        gross=len(assessed),
        exclusions=tuple(Exclusion(code, text, reasons[code]) for code, text in REASONS.items()),
        net=len(counting),
        audit=audit,
        per_day=tuple(sorted(Counter(one.day for one in counting if one.day).items())),
        validity=tuple(validity),
        facts=facts,
    )


def _by_level(
    counting: Sequence[Assessed],
    assessed: Sequence[Assessed],
    edition: SmeEdition,
    least: int,
    validity: Sequence[Validity],
    facts: Mapping[str, Json],
) -> Count:
    """The level that at least `least` enterprises share: of all levels, those that too few reached are left out."""
    shared = shared_level(counting, least)
    reasons = Counter(one.reason for one in assessed if one.reason)
    exclusions = []
    for rule in edition.levels:
        reached = sum(one.after.level >= rule.level for one in counting)
        text = f"{rule.name}：{reached} 家达到，不足 {least} 家"
        exclusions.append(Exclusion(f"SME-X-LEVEL-{rule.level}", text, int(rule.level > shared)))
    return Count(
        unit="级",
        gross=len(edition.levels),
        exclusions=tuple(exclusions),
        net=shared,
        validity=tuple(validity),
        facts={**facts, "enterprises_left_out": {REASONS[code]: n for code, n in sorted(reasons.items())}},
    )


def _record(one: Assessed) -> dict[str, Json]:
    """How an enterprise came to its level, for the report."""

    def said(standing: Standing | None) -> dict[str, Json]:
        if standing is None:
            return {"level": None, "points": None}
        return {"level": standing.level, "points": float(standing.points)}

    before, after = said(one.before), said(one.after)
    return {
        "place": one.form.place,
        "name": one.name,
        "uscc": one.code,
        "level_before": before["level"],
        "points_before": before["points"],
        "level_after": after["level"],
        "points_after": after["points"],
        "scenes_at_level_2": sum(level >= 2 for level in one.after.scenes.values()),
        "unconfirmed": len(one.unconfirmed),
        "reason": one.reason,
    }


def _audited(evidence: RunEvidence, drawn: Sequence[str], population: int) -> tuple[Audit, list[Validity]]:
    """The audit's outcome: whatever was drawn and not confirmed as good counts as not good."""
    results: dict[str, bool | None] = {}
    foreign = 0
    with closing(evidence.open(AUDIT) if AUDIT in evidence.streams() else io.BytesIO()) as stream:
        for code, word in read_audit(stream.read()):
            if code in drawn and code not in results:
                results[code] = RESULTS.get(word)
            else:
                foreign += 1
    answered = sum(good is not None for good in results.values())
    validity = []
    if foreign:
        text = f"核验结果里有 {foreign} 行不属于抽中的 {len(drawn)} 家，或重复"
        validity.append(Validity("SME-V06", Severity.INVALID, text))
    if answered < len(drawn):
        text = f"抽中 {len(drawn)} 家，只有 {answered} 家有核验结果"
        validity.append(Validity("SME-V07", Severity.INVALID, text))
    return Audit(population, len(drawn), sum(good is True for good in results.values())), validity


def read_audit(data: bytes) -> list[tuple[str, str]]:
    """(credit code, result word) per row of an audit file. Rows of another width have the code ""; none without the columns."""
    with read_table(io.BytesIO(data), text_encoding(data), ",") as (columns, table):
        if not {CODE, RESULT} <= set(columns):
            return []
        at = columns.index(CODE), columns.index(RESULT)
        rows = [[plain(row[i]) for i in at] if len(row) == len(columns) else ["", ""] for row in table]
    return [(code.upper(), word.lower()) for code, word in rows]


def _findings(assessed: Sequence[Assessed], edition: SmeEdition, params: Params) -> Iterator[Validity]:
    for code, same in several(assessed):
        if len({(one.after.level, one.after.points) for one in same}) > 1:
            text = f"{code} 有 {len(same)} 张结果不同的评测表（{'、'.join(one.form.place for one in same[:5])}），只认等级最低的"
            yield Validity("SME-V02", Severity.WARNING, text)
    wanted = params.level or 1
    short = sum(one.reason == "SME-X-LEVEL" and one.claimed.level >= wanted for one in assessed)
    if short:
        yield Validity("SME-V03", Severity.INFO, f"{short} 家填写的内容够等级，但有未经两人现场确认的项，没有计入")
    users: defaultdict[str, set[str]] = defaultdict(set)
    for one in assessed:
        for digest in one.proofs:
            users[digest].add(one.code)
    for digest, codes in users.items():
        if len(codes) > 1:
            text = f"{len(codes)} 家企业用了同一个证据文件（{digest[:12]}…），请查明是否真能证明各家"
            yield Validity("SME-V04", Severity.WARNING, text)
    hasty = sum(_hasty(one) for one in assessed if not one.reason)
    if hasty:
        yield Validity("SME-V05", Severity.WARNING, f"{hasty} 家的各项都在一分钟之内确认，请查明是否逐项查验")
    if own := self_assessed_before(assessed):
        text = f"{own} 家改造前的等级是自评：自评得低，提升就显得大"
        yield Validity("SME-V08", Severity.WARNING, text)
    text = f"{edition.edition}的分值与等级线取自二手资料，正式使用前须与工信厅企业〔2024〕56号附件核对"
    yield Validity("SME-V09", Severity.WARNING, text)


def _hasty(one: Assessed) -> bool:
    names = {name: "" for line in one.form.lines.values() for name in line.proofs}
    times = [moment(line.said[TIME]) for line in one.form.lines.values() if confirmed(line, names)]
    read = [when for when in times if when is not None]
    return len(read) > 1 and max(read) - min(read) <= HASTE
