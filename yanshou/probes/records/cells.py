"""What a cell of an export says: its normal form, and whether a declared rule leaves its row out.

Everything is defined here on the text of one cell; what a database does beside it for speed (`scratch`) must give the same. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial

from yanshou.probes.codes import VALID
from yanshou.probes.reading import Key
from yanshou.probes.records.pseudonyms import is_pseudonym
from yanshou.probes.records.sme import is_sme
from yanshou.probes.records.spec import Exclude, Params
from yanshou.probes.texts import plain

RAGGED, KEY, TIME, WINDOW, JOIN, DUP = (
    "REC-X-RAGGED",
    "REC-X-KEY",
    "REC-X-TIME",
    "REC-X-WINDOW",
    "REC-X-JOIN",
    "REC-X-DUP",
)
_STEPS: dict[str, Callable[[str], str]] = {
    "nfkc": partial(unicodedata.normalize, "NFKC"),
    "strip": str.strip,
    "upper": str.upper,
}


def normaliser(params: Params) -> Callable[[str], str]:
    """A cell -> its declared normal form, which is empty where nothing but blanks is in it."""
    chosen = [_STEPS[name] for name in params.normalise]

    def normal(cell: str) -> str:
        for step in chosen:
            cell = step(cell)
        return cell if cell.strip() else ""

    return normal


def key_of(cells: list[str], params: Params) -> Key:
    """Key cells in their declared normal form; what stands for a protected one is that already."""
    normal, (hidden, _) = normaliser(params), params.hidden()
    return tuple(
        cell.strip() if name in hidden and is_pseudonym(cell.strip()) else normal(cell)
        for name, cell in zip(params.key, cells, strict=True)
    )


def reasons(params: Params) -> dict[str, str]:
    """Code -> Chinese text of every exclusion that `params` applies, in order of application."""
    texts = {RAGGED: "列数与表头不符或引号不配对", KEY: "关键列为空"}
    if params.time:
        texts[TIME] = "时间为空或无法识别"
    if params.window:
        texts[WINDOW] = f"不在时间窗口 {params.window.start} 至 {params.window.end} 内"
    for rule in params.exclude:
        texts |= rule.reasons()
    if params.join:
        texts[JOIN] = params.join.text
    return texts | {DUP: "关键列重复，只计首次出现"}


def hits(rule: Exclude) -> Callable[[str], bool]:
    """Whether a plain cell (see `texts.plain`) is one that a rule of a single column leaves out."""
    if rule.empty is not None:
        return lambda cell: (not cell) is rule.empty
    if rule.matches is not None:
        pattern = re.compile(rule.matches)
        return lambda cell: pattern.search(cell) is not None
    if rule.contains is not None:
        fragment = plain(rule.contains)
        return lambda cell: fragment in cell
    if rule.invalid is not None:
        valid = VALID[rule.invalid]
        return lambda cell: not valid(cell)
    return frozenset(operands(rule)).__contains__


def operands(rule: Exclude) -> tuple[str, ...]:
    """What a plain cell is compared with by `equals` and `in`."""
    return tuple(plain(operand) for operand in (rule.one_of or (rule.equals or "",)))


def size_reason(code: str, industry: str, staff: str, revenue: str, assets: str) -> str:
    """The reason that a `not_sme` rule gives for plain cells; empty where it gives none."""
    return {True: "", False: code, None: f"{code}-UNKNOWN"}[is_sme(industry, staff, revenue, assets)]
