"""The register that the project committed itself to, its dated baseline, and the audit of it: files -> rows. Pure.

It must never say whether a device is there: that is for the sources.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from yanshou.harness.evidence import RunEvidence, digest_file
from yanshou.probes.devices.identities import normal
from yanshou.probes.devices.spec import Access, Baseline, Handed, Params, Register
from yanshou.probes.devices.tables import TableFile, open_table
from yanshou.probes.reading import Key, read_table, text_encoding
from yanshou.probes.sampling import RESULT, draw_sample
from yanshou.probes.texts import moment, plain

AUDIT, SESSION = "audit.csv", "session.json"
SERIAL, UNPLUG = "serial", "unplug"
"""Columns of an audit: the serial number on the nameplate, and whether the device vanished when it was unplugged."""
UNPLUGGED = {"是": True, "yes": True, "1": True, "否": False, "no": False, "0": False}
"""The words of the unplug challenge; empty is not done."""

DIRECT, GATEWAY, WIRED, UNTOLD = "direct", "gateway", "wired", ""
ACCESS_WORDS = {DIRECT: "5G 直连", GATEWAY: "网关后", WIRED: "有线", UNTOLD: "未注明"}


def register_stream(params: Params) -> str:
    """Name of the register's copy in evidence."""
    return f"register{params.register_.suffix}"


def baseline_stream(baseline: Baseline) -> str:
    """Name of the baseline's copy in evidence."""
    return f"baseline{baseline.suffix}"


@dataclass(frozen=True)
class Row:
    """One row of the register. `id` and `identities` are in normal form; `id` is "" where the row cannot be used.

    `access` is one of DIRECT, GATEWAY, WIRED, UNTOLD; `first_online` an ISO date or "".
    """

    id: str
    identities: tuple[tuple[str, str], ...] = ()
    gateway: str = ""
    access: str = UNTOLD
    first_online: str = ""


def access_of(word: str, access: Access) -> str | None:
    """What a word in the access column means; None for one that the parameters do not know."""
    text = plain(word)
    for meaning, words in ((DIRECT, access.direct), (GATEWAY, access.gateway), (WIRED, access.wired)):
        if text in map(plain, words):
            return meaning
    return None if text else UNTOLD


def read_register(columns: Key, rows: Iterator[list[str]], register: Register) -> Iterator[Row]:
    """The rows of a register. Raises ValueError when a declared column is missing."""
    at = {name: columns.index(name) for name in register.columns()}

    def cell(row: list[str], name: str | None) -> str:
        return plain(row[at[name]]) if name else ""

    for row in rows:
        if len(row) != len(columns):
            yield Row("")
            continue
        told = ((kind, normal(kind, cell(row, name))) for kind, name in register.identities.items())
        gateway, first = cell(row, register.gateway), moment(cell(row, register.first_online))
        access = (
            (access_of(cell(row, register.access.column), register.access) or UNTOLD) if register.access else UNTOLD
        )
        yield Row(
            normal("serial", cell(row, register.id)),
            tuple((kind, value) for kind, value in told if value),
            gateway,
            access or (GATEWAY if gateway else UNTOLD),
            first.date().isoformat() if first else "",
        )


def _opened(source: RunEvidence | Path, table: TableFile, name: str) -> BinaryIO:
    return (source / table.file).open("rb") if isinstance(source, Path) else source.open(name)


def register_rows(source: RunEvidence | Path, params: Params) -> list[Row]:
    """The register in a run, or in a case folder. Raises OSError, KeyError (none in the run), ValueError (unreadable)."""
    with open_table(_opened(source, params.register_, register_stream(params)), params.register_) as (columns, rows):
        return list(read_register(columns, rows, params.register_))


def baseline_ids(source: RunEvidence | Path, params: Params) -> frozenset[str]:
    """Serials, in normal form, that were there before; none without a baseline. Raises like `register_rows`."""
    if params.baseline is None:
        return frozenset()
    with open_table(_opened(source, params.baseline, baseline_stream(params.baseline)), params.baseline) as (
        columns,
        rows,
    ):
        at = columns.index(params.baseline.id)
        return frozenset(normal("serial", row[at]) for row in rows if len(row) > at) - {""}


def _digests(source: RunEvidence | Path, params: Params) -> list[tuple[Handed, str]]:
    """The register, and the baseline where there is one, each with its digest."""
    files: list[tuple[Handed, str]] = [(params.register_, register_stream(params))]
    files += [(params.baseline, baseline_stream(params.baseline))] if params.baseline else []
    return [
        (table, digest_file(source / table.file) if isinstance(source, Path) else source.sha256(name))
        for table, name in files
    ]


def _digest(source: RunEvidence | Path, params: Params) -> str:
    """What the draw depends on besides the seed: the register, and the baseline where there is one."""
    digests = [digest for _, digest in _digests(source, params)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def other_files(source: RunEvidence | Path, params: Params) -> list[str]:
    """Those of register and baseline that are not the ones whose digests are in the plan. Raises like `register_rows`."""
    return [table.file for table, found in _digests(source, params) if table.sha256 not in (None, found)]


def sample_ids(source: RunEvidence | Path, params: Params, seed: int) -> list[str]:
    """The device ids to visit, in order drawn, from a run or from the case folder that holds the register.

    The population are the distinct ids that the declared scope lets count, in the register's order. Empty without
    `params.audit`. Raises like `register_rows`.
    """
    if params.audit is None:
        return []
    before = baseline_ids(source, params) if params.new_only else frozenset()
    population = list(
        dict.fromkeys(
            row.id
            for row in register_rows(source, params)
            if row.id and row.id not in before and (params.count_only == "all" or row.access == DIRECT)
        )
    )
    return [
        population[index] for index in draw_sample(len(population), params.audit.size, seed, _digest(source, params))
    ]


@dataclass(frozen=True)
class Visit:
    """What was found at one drawn device: `result` and `unplug` as words, `serial` as on the nameplate (normal form)."""

    id: str
    result: str
    serial: str
    unplug: str


def read_audit(stream: BinaryIO, params: Params) -> tuple[Key, list[Visit]]:
    """Column names and visits of an audit file (CSV, UTF-8 or else GB 18030), which is closed; no visits without its columns."""
    with closing(stream):
        data = stream.read()
    wanted = (params.register_.id, RESULT, SERIAL, UNPLUG)
    with read_table(io.BytesIO(data), text_encoding(data), ",") as (columns, rows):
        if not set(wanted) <= set(columns):
            return columns, []
        places = [columns.index(name) for name in wanted]
        cells = ([plain(row[at]) for at in places] for row in rows if len(row) == len(columns))
        visits = [
            Visit(normal("serial", who), result.lower(), normal("serial", serial), unplug.lower())
            for who, result, serial, unplug in cells
        ]
    return columns, visits
