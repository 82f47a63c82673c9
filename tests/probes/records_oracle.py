"""What `records` must count, row by row in plain Python with nothing but dictionaries: slow, small, and easy to believe."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from yanshou.probes.reading import MANGLED, Key, read_table
from yanshou.probes.records.cells import hits, normaliser, size_reason
from yanshou.probes.records.spec import Exclude, Params
from yanshou.probes.texts import moment, plain

DAY = timedelta(days=1)


@dataclass
class Counted:
    """`seen` maps each distinct key, in order of first appearance, to its rows."""

    counts: Counter[str] = field(default_factory=Counter)
    seen: dict[Key, int] = field(default_factory=dict)
    days: Counter[date] = field(default_factory=Counter)
    longest: int = 0
    mangled: int = 0
    short: int = 0
    traced: list[tuple[int, str]] = field(default_factory=list)


def _reason(rule: Exclude, row: dict[str, str]) -> str:
    cell = plain(row[rule.column])
    if rule.not_sme is None:
        return rule.code if hits(rule)(cell) else ""
    size = (rule.not_sme.staff, rule.not_sme.revenue, rule.not_sme.assets)
    return size_reason(rule.code, cell, *(plain(row[c]) if c else "" for c in size))


def _rows(data: bytes, encoding: str, delimiter: str) -> list[dict[str, str] | None]:
    with read_table(io.BytesIO(data), encoding, delimiter) as (columns, rows):
        return [dict(zip(columns, row, strict=True)) if len(row) == len(columns) else None for row in rows]


def counted(data: bytes, params: Params, other: bytes = b"") -> Counted:
    """One pass over an export, and over a second source where the parameters join one."""
    out, normal = Counted(), normaliser(params)
    run, last, step = 1, None, None
    start, end = params.window.bounds() if params.window else (datetime.min, datetime.max)
    there = set()
    if params.join:
        for row in _rows(other, params.join.encoding, params.join.delimiter):
            if row is not None and not any(_reason(rule, row) for rule in params.join.exclude):
                there.add(tuple(normal(row[name]) for name in params.join.on.values()))
        there = {key for key in there if all(key)}

    def reason(row: dict[str, str] | None, key: Key, when: datetime | None) -> str:
        if row is None:
            return "REC-X-RAGGED"
        if not all(key):
            return "REC-X-KEY"
        if params.time and when is None:
            return "REC-X-TIME"
        if when is not None and not start <= when <= end:
            return "REC-X-WINDOW"
        for rule in params.exclude:
            if code := _reason(rule, row):
                return code
        if params.join and tuple(normal(row[name]) for name in params.join.on) not in there:
            return "REC-X-JOIN"
        return "REC-X-DUP" if key in out.seen else ""

    for number, row in enumerate(_rows(data, params.encoding, params.delimiter), 1):
        key = () if row is None else tuple(normal(row[name]) for name in params.key)
        when = moment(row[params.time]) if params.time and row is not None else None
        code = reason(row, key, when)
        if code:
            out.counts[code] += 1
            out.traced.append((number, code))
        if code in ("", "REC-X-DUP"):
            out.seen[key] = out.seen.get(key, 0) + 1
            out.mangled += any(map(MANGLED.fullmatch, key))
            out.short += any(
                cell.isascii() and cell.isdigit() and len(cell) < params.digits.get(name, 0)
                for name, cell in zip(params.key, key, strict=True)
            )
        if not code and when is not None:
            out.days[when.date()] += 1
            if last is not None:
                run, step = (run + 1 if when - last == step else 2), when - last
                if run > out.longest and (step % DAY or when.time() != time.min):
                    out.longest = run
            last = when
    return out
