"""Visits that a hospital hands over (FHIR, HL7 v2, DICOM) -> a table that `records` counts, with a list of the originals.

Whose visit it was never gets into the table: numbers of visits and patients become pseudonyms under the key that stays on site,
and names of files, which may be names of patients, are left out. Each row says by digest from which original it came. A source that
cannot be read to its end gives no table at all.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from yanshou.formats import dicom, fhir, hl7v2
from yanshou.formats.visits import COLUMNS, IDENTIFIERS, BadRecord, Row
from yanshou.harness.basics import Json, Problem, UserError, refusal
from yanshou.harness.evidence import canonical, digest_file, require_writable, sync_folder, write_atomic
from yanshou.probes.records.pseudonyms import SiteKey

T = TypeVar("T")
Kind: TypeAlias = Literal["fhir", "hl7v2", "dicom"]
KINDS: tuple[Kind, ...] = ("fhir", "hl7v2", "dicom")
SUFFIXES: dict[Kind, tuple[str, ...]] = {"fhir": (".ndjson", ".json"), "hl7v2": (".hl7", ".txt", ".log"), "dicom": ()}
"""Which files of a folder are taken; of DICOM all, since its files often have no suffix."""
NEEDED: dict[Kind, str] = {"fhir": "", "hl7v2": "hl7", "dicom": "pydicom"}
DIGITS = 24
"""Of an original's digest in each row: short, and no part of it can look like a telephone number."""


@dataclass
class Converted:
    """What came of it: rows, and of each original digest, size and rows; `passed_over`: files that are not DICOM, by path.

    `server_count`: what a server said of itself, None where nobody asked.
    """

    rows: int = 0
    originals: list[dict[str, Json]] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    server_count: int | None = None


def convert(
    kind: Kind,
    sources: Sequence[Path],
    table: Path,
    key: SiteKey,
    encoding: str = "utf-8",
    server_count: Path | None = None,
) -> Converted:
    """Write `table` (CSV) and beside it `<table>.sources.json`. Raises UserError; then neither is there.

    `server_count`: a saved answer to `Encounter?_summary=count`. It goes into the list to be compared with, and changes nothing.
    """
    listing = table.with_name(f"{table.name}.sources.json")
    for path in (table, listing):
        if path.exists():
            raise UserError(Problem("E-EXISTS", "文件已存在，不覆盖", "换一个文件名", path))
    require_writable(table.absolute().parent)
    _require_reader(kind)
    files = list(_files(kind, sources))
    done = Converted(server_count=None if server_count is None else _stated(server_count))
    temporary = table.with_name(f".{table.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(COLUMNS)
            for one in _rows(kind, files, encoding, done):
                hidden = {name: key.pseudonym(one[name].strip()) for name in IDENTIFIERS}
                writer.writerow([hidden.get(name, one[name]) for name in COLUMNS])
                done.rows += 1
        told: Json = {
            "format": "yanshou/visits/1", "kind": kind, "rows": done.rows, "table_sha256": digest_file(temporary),
            "site_key": key.id, "originals": done.originals, "passed_over": len(done.passed_over),
            "server_count": done.server_count,
        }  # fmt: skip
        write_atomic(listing, canonical(told) + b"\n")
        temporary.rename(table)
        sync_folder(table.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return done


def _require_reader(kind: Kind) -> None:
    from importlib.util import find_spec

    if NEEDED[kind] and find_spec(NEEDED[kind]) is None:
        raise UserError(Problem("I-EXTRA", f"没有安装 {NEEDED[kind]}，读不了 {kind}", "pip install 'yanshou[medical]'"))


def _files(kind: Kind, sources: Sequence[Path]) -> Iterator[Path]:
    """Every file of the sources, folders in the order of their paths; a link is not followed out of a folder."""
    for source in sources:
        if not source.exists():
            raise UserError(Problem("I-FILE", "不存在", "检查路径", source))
        if not source.is_dir():
            yield source
            continue
        inside = [p for p in sorted(source.rglob("*")) if p.is_file() and not p.is_symlink()]
        wanted = [p for p in inside if not SUFFIXES[kind] or p.suffix.lower() in SUFFIXES[kind]]
        if not wanted:
            raise UserError(
                Problem("I-FILE", f"文件夹里没有 {'、'.join(SUFFIXES[kind]) or '文件'}", "检查路径", source)
            )
        yield from wanted


def _stated(path: Path) -> int:
    try:
        with path.open("rb") as f:
            return fhir.summary_count(f)
    except OSError as error:
        raise UserError(Problem("I-FILE", f"读不出：{refusal(error)}", "检查路径与读权限", path)) from None
    except BadRecord as error:
        raise UserError(Problem("I-VISITS", f"{error.place}{error.text}", error.remedy, path)) from None


def _rows(kind: Kind, files: Iterable[Path], encoding: str, done: Converted) -> Iterator[Row]:
    """The rows of all files; messages of HL7 v2 and files of DICOM are put together across files."""
    if kind == "fhir":
        yield from _each(files, _encounters, done)
    elif kind == "hl7v2":
        messages = partial(_messages, encoding=encoding)
        yield from hl7v2.fold(_each(files, messages, done))
    else:
        yield from dicom.fold(_each(files, partial(_study, done=done), done))


def _each(files: Iterable[Path], read: Callable[[Path, str], Iterator[T]], done: Converted) -> Iterator[T]:
    """What `read` finds in each file, given its digest; each file is noted with how much that was. Raises UserError."""
    for path in files:
        try:
            digest, number = digest_file(path), 0
            for found in read(path, digest[:DIGITS]):
                number += 1
                yield found
            size = path.stat().st_size
        except OSError as error:
            raise UserError(Problem("I-FILE", f"读不出：{refusal(error)}", "检查读权限", path)) from None
        except BadRecord as error:
            raise UserError(Problem("I-VISITS", f"{error.place}{error.text}", error.remedy, path)) from None
        if path not in done.passed_over:
            done.originals.append({"sha256": digest, "bytes": size, "records": number})


def _encounters(path: Path, digest: str) -> Iterator[Row]:
    with path.open("rb") as f:
        for one in (fhir.read_bundle if path.suffix.lower() == ".json" else fhir.read_ndjson)(f):
            yield one | {"origin": f"{digest} {one['origin']}"}


def _messages(path: Path, digest: str, encoding: str) -> Iterator[hl7v2.Message]:
    with path.open("rb") as f:
        for message in hl7v2.read_messages(f, encoding):
            yield message.of(digest)


def _study(path: Path, digest: str, done: Converted) -> Iterator[Row]:
    if not dicom.is_dicom(path):
        done.passed_over.append(path)
        return
    yield dicom.read_header(path) | {"origin": digest}
