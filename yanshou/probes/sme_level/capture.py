"""Takes the enterprises' sheets, and every evidence file that they name, into evidence byte for byte.

It is for freezing what was assessed and on what grounds. It must never score or correct anything: a workbook that was changed, or
that says something nobody can read, is refused with its cells.
"""

from __future__ import annotations

from pathlib import Path

from yanshou.harness.basics import Json, ProbeError, Problem, UserError
from yanshou.harness.evidence import canonical, digest_file
from yanshou.harness.names import name_problem
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.importing import check_columns, checked_file, one_line, stamp
from yanshou.probes.notes import check_notes
from yanshou.probes.reading import read_table, text_encoding
from yanshou.probes.sampling import RESULT, RESULTS
from yanshou.probes.sme_level.analyse import (
    AUDIT,
    IMPORT,
    PROOFS,
    WORKBOOKS,
    named,
    read_audit,
    workbook_files,
)
from yanshou.probes.sme_level.layout import CODE, NAME, Reading, read_workbook
from yanshou.probes.sme_level.spec import Params

TOLD = 20
"""How many faults are named one by one."""
MAX_WORKBOOK = 64 << 20


def capture(params: Params, run: RunContext) -> None:
    """Streams `workbooks/0001.xlsx` and on, `proofs/<sha256>.<suffix>`, `audit.csv` when declared, and `import.json` last.

    Raises ProbeError SME-E01 (missing), E02 (an empty folder), E03 (empty), E04 (not readable), E08 (changed while
    copied), E09 (audit results not readable), and UserError with every cell of SME-E05 (no sound workbook), E06 (a sheet
    is not as it was written, or says what nobody can read), E07 (an evidence file is missing or empty).
    """
    books = _workbooks(run.folder, params)
    before = {path: stamp(path) for path in books}
    problems: list[Problem] = []
    readings: dict[Path, Reading] = {}
    for path in books:
        try:
            readings[path] = read_workbook(path.read_bytes(), path.name)
        except UserError as error:
            problems += (Problem("SME-E05", p.text, p.remedy, path) for p in error.problems)
            continue
        faults = readings[path].faults
        problems += (Problem("SME-E06", one_line(f"{f.cell} {f.text}"), f.remedy, path) for f in faults)
        problems += _missing(path, readings[path])
    if problems:
        raise UserError([*problems[:TOLD], *_rest(problems)])
    audit = _audit(run.folder, params)
    taken: list[Json] = []
    for number, (path, reading) in enumerate(readings.items(), 1):
        stream = f"{WORKBOOKS}/{number:04d}.xlsx"
        sha256 = run.sink.attach(path, stream)
        if stamp(path) != before[path]:
            raise ProbeError("SME-E08", f"{path.name} 在导入时被改动", "关掉打开它的程序后重新运行")
        proofs = {name: digest_file(path.parent / name) for form in reading.forms for name in named(form)}
        taken.append({"stream": stream, "name": path.name, "sha256": sha256, "proofs": proofs})
        run.progress(Progress(number, len(books)))
    _attach_proofs(run, books, taken)
    if audit is not None:
        run.sink.attach(audit, AUDIT)
    run.sink.stream(IMPORT).write(canonical({"workbooks": taken}) + b"\n")


def _workbooks(folder: Path, params: Params) -> list[Path]:
    for name in params.files:
        if not (folder / name).is_dir():
            checked_file(
                folder, name, "评测表", missing="SME-E01", directory="SME-E02", empty="SME-E03", unreadable="SME-E04"
            )
    books = workbook_files(folder, params)
    if not books:
        raise ProbeError("SME-E02", f"{'、'.join(params.files)} 里没有 .xlsx 评测表", "放进评测表，或改正 files")
    for path in books:
        if path.stat().st_size > MAX_WORKBOOK:
            text = f"{path.name} 有 {path.stat().st_size >> 20} MiB，上限 {MAX_WORKBOOK >> 20} MiB"
            raise ProbeError("SME-E04", text, "证据文件放在工作簿外面，不要插入图片")
    return books


def _missing(path: Path, reading: Reading) -> list[Problem]:
    problems = []
    for form in reading.forms:
        for name in named(form):
            proof = path.parent / name
            why = "不在工作簿所在的文件夹里" if (inside := _inside(proof, path.parent)) is None else ""
            if inside is not None and not inside.is_file():
                why = "不存在"
            elif inside is not None and not inside.stat().st_size:
                why = "是空的"
            if why:
                text = one_line(f"{form.place} 的证据文件 {name} {why}")
                problems.append(Problem("SME-E07", text, "放好文件，或改正证据文件一格", path))
    return problems


def _inside(path: Path, folder: Path) -> Path | None:
    """`path` where it lies below `folder`, links followed; None else."""
    try:
        real = path.resolve()
    except (OSError, ValueError):
        return None
    return real if real.is_relative_to(folder.resolve()) else None


def _attach_proofs(run: RunContext, books: list[Path], taken: list[Json]) -> None:
    """Each evidence file once, by its digest, whatever it is called and however many lines name it."""
    attached: set[str] = set()
    for path, book in zip(books, taken, strict=True):
        for name, digest in book["proofs"].items():
            if digest in attached:
                continue
            attached.add(digest)
            suffix = Path(name).suffix.lower()
            stream = f"{PROOFS}/{digest}{suffix}"
            if name_problem(stream):
                stream = f"{PROOFS}/{digest}"
            if run.sink.attach(path.parent / name, stream) != digest:
                raise ProbeError("SME-E08", f"{name} 在导入时被改动", "关掉打开它的程序后重新运行")


def _rest(problems: list[Problem]) -> list[Problem]:
    more = len(problems) - TOLD
    return [Problem("SME-E06", f"另有 {more} 处", "改正上面各处后再看")] if more > 0 else []


def _audit(folder: Path, params: Params) -> Path | None:
    if params.audit is None:
        return None
    path = checked_file(
        folder,
        params.audit.file,
        "核验结果",
        missing="SME-E01",
        directory="SME-E02",
        empty="SME-E03",
        unreadable="SME-E04",
    )
    data = path.read_bytes()
    with path.open("rb") as f, read_table(f, text_encoding(data), ",") as (columns, _):
        check_columns(path, columns, (CODE, RESULT), missing="SME-E09", twice="SME-E09")
    check_notes(path, (CODE, NAME, RESULT), "SME-E09")
    for number, (_, word) in enumerate(read_audit(data), 1):
        if word and word not in RESULTS:
            text = f"{path.name} 第 {number} 条的 result“{word}”不认识"
            raise ProbeError("SME-E09", one_line(text), f"只用：{'、'.join(RESULTS)}；未核验的留空")
    return path
