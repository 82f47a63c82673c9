"""Taking in what capture kits brought: checked whole before anything is copied, copied before the ledger names it.

It is for evidence from terminals to become runs of a case like any other. It must never change a kit's folder, never take
anything in twice, and leave the case as it was where anything does not fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from yanshou.harness.basics import ExitCode, Json, Problem, RunStatus, UserError, refusal
from yanshou.harness.engine import RunSummary, require_unchanged, write_record
from yanshou.harness.evidence import (
    CHUNK,
    STAGING,
    Ledger,
    LedgerDamage,
    TornLine,
    disk_problem,
    finish_intake,
    read_ledger,
    recover,
    require_writable,
    sync,
    sync_folder,
    unacknowledged,
)
from yanshou.harness.plan import FrozenPlan, restore_lock
from yanshou.harness.runs import Run, damaged_streams, runs_of
from yanshou.harness.taken import FROM_TERMINAL, Line, kit_problems, split_by_run, taken_lines


@dataclass(frozen=True)
class Piece:
    """One run of a kit that is new to the case, and its lines."""

    source: Path
    session: str
    lines: Sequence[Line]
    run: Run


def take_in(folder: Path, sources: Sequence[Path]) -> RunSummary:
    """Append what kits recorded in `sources` to the case and write record.json.

    Raises UserError: nothing was changed, except with E-DISK, after which what is missing can be taken in again.
    """
    require_writable(folder)
    try:
        with Ledger(folder) as ledger:
            recover(ledger)
            restore_lock(ledger)
            frozen = require_unchanged(folder, ledger)
            known = taken_lines(ledger.records)
            pieces: list[Piece] = []
            problems: list[Problem] = []
            for source in sources:
                try:
                    found = _read(source, ledger, frozen, known)
                except UserError as error:
                    problems += error.problems
                else:
                    pieces += found
                    known.setdefault(found[0].session, []).extend(line for piece in found for line in piece.lines)
            if problems:
                raise UserError(problems)
            _append(ledger, pieces)
        return RunSummary(write_record(folder), (), False)
    except OSError as error:
        raise UserError(disk_problem(error, folder), ExitCode.INTERNAL) from None


def _read(source: Path, ledger: Ledger, frozen: FrozenPlan, known: Mapping[str, Sequence[Line]]) -> list[Piece]:
    """What of a kit's folder is new, checked with all its evidence. Raises UserError KIT-E10 to E17, V-E01 to E04."""
    path = source / "ledger.jsonl"
    try:
        lines = _lines(path)
        kits = [r for r in ledger.records if r["kind"] == "kit"]
        problems = list(kit_problems(lines, kits, {frozen.sha256: frozen.plan}, path))
        if not problems:
            pieces = _new(source, lines, known)
            problems = [p for piece in pieces for p in damaged_streams(piece.run, source)]
            problems += _unknown_folders(source, lines)
    except LedgerDamage as damage:
        problems = [Problem("KIT-E11", f"采集包的台账{damage.text}", FROM_TERMINAL, damage.path, damage.line)]
    except OSError as error:
        text = f"读不出采集包录的证据：{refusal(error)}"
        problems = [Problem("KIT-E10", text, "--from 指向采集包的输出文件夹（里面有 ledger.jsonl)", path)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        text = f"采集包的台账无法解读（{type(error).__name__}：{error}）"
        problems = [Problem("KIT-E11", text, FROM_TERMINAL, path)]
    if problems:
        raise UserError(problems)
    return pieces


def _lines(path: Path) -> list[Line]:
    """The lines that were acknowledged: half a line at the end is what a killed kit had not."""
    lines: list[Line] = []
    with suppress(TornLine):
        for h, record in read_ledger(path):
            lines.append({"h": h, "r": record})
    return lines


def _new(source: Path, lines: Sequence[Line], known: Mapping[str, Sequence[Line]]) -> list[Piece]:
    session = lines[0]["h"]
    before = known.get(session, ())
    if before and (len(lines) < len(before) or lines[len(before) - 1]["h"] != before[-1]["h"]):
        text = "采集包的台账与已收入的不是同一份：上次收入之后它被改写或截短"
        raise UserError(Problem("KIT-E16", text, FROM_TERMINAL, source / "ledger.jsonl", len(before)))
    pieces = split_by_run(lines[len(before) :])
    if not pieces:
        code, text, remedy = (
            ("KIT-E15", "这个文件夹已经收入过，没有新的运行", "去掉这个 --from")
            if before
            else ("KIT-E17", "采集包没有录过任何运行", "在终端上先录：python3 kit.pyz -o 文件夹")
        )
        raise UserError(Problem(code, text, remedy, source))
    return [Piece(source, session, piece, _run(source, piece)) for piece in pieces]


def _run(source: Path, lines: Sequence[Line]) -> Run:
    """The run of a piece under its kit's own number; one without an end was cut off, and its tails are measured now."""
    (run,) = runs_of([line["r"] for line in lines])
    if run.status is None:
        tail = unacknowledged(source / "runs" / run.folder_name, run.streams)
        run = replace(run, status=RunStatus.TRUNCATED, tail=tail)
    return run


def _unknown_folders(source: Path, lines: Sequence[Line]) -> list[Problem]:
    known = {line["r"]["folder"] for line in lines if line["r"]["kind"] == "run_opened"}
    found = sorted((source / "runs").iterdir()) if (source / "runs").exists() else []
    return [
        Problem("V-E04", f"runs/{path.name} 不在采集包的台账里", FROM_TERMINAL, path)
        for path in found
        if path.name not in known
    ]


def _append(ledger: Ledger, pieces: Sequence[Piece]) -> None:
    """All files beside the runs, then one line for each run, then the files where the lines say they are."""
    first = ledger.next_run_number()
    names = [f"{first + i:04d}-{p.run.folder_name.partition('-')[2]}" for i, p in enumerate(pieces)]
    try:
        for name, piece in zip(names, pieces, strict=True):
            _copy_run(piece, ledger.folder / STAGING / name)
        for number, (name, piece) in enumerate(zip(names, pieces, strict=True), first):
            ledger.append(
                "run_taken", number=number, folder=name, session=piece.session, lines=list(piece.lines),
                unacknowledged=dict(piece.run.tail),
            )  # fmt: skip
    finally:
        finish_intake(ledger)


def _copy_run(piece: Piece, target: Path) -> None:
    run, folder = piece.run, piece.source / "runs" / piece.run.folder_name
    expected: dict[str, Json] = {name: s["sha256"] for name, s in {**run.streams, **run.tail}.items()}
    if (folder / "run.json").exists():
        expected["run.json"] = run.run_json_sha256
    target.mkdir(parents=True)
    for name, sha256 in expected.items():
        if _copy(folder / name, target / name) != sha256:
            raise UserError(Problem("V-E02", f"{name} 在收入时变了", "等采集结束再收入", folder / name))
    for place in (target, *(p for p in target.rglob("*") if p.is_dir()), target.parent):
        sync_folder(place)


def _copy(source: Path, target: Path) -> str:
    """A file onto the disk, chunk by chunk; its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("xb") as write:
        while block := read.read(CHUNK):
            digest.update(block)
            write.write(block)
        sync(write)
    return digest.hexdigest()
