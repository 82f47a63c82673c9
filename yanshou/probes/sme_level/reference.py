"""A workbook of enterprises whose levels are known: the standard that calibrates `sme.level`.

The truth comes from answers that were added up by hand, not from the scorer: exactly 40 points with six scenes at level two, of
which three are 约束性, and beside them every way to look like that.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext
from yanshou.probes.sme_level.layout import (
    AFTER,
    ASSETS,
    BEFORE,
    CODE,
    CONFIRMED,
    DAY_AFTER,
    DAY_BEFORE,
    EDITION,
    HOW_AFTER,
    HOW_BEFORE,
    INDUSTRY,
    INSPECTOR,
    NAME,
    NO,
    ON_SITE,
    PROOFS,
    REVENUE,
    SELF,
    STAFF,
    TIME,
    WITNESS,
    YES,
    Filled,
    workbook,
)

POINTS = (0.0, 5.0, 15.0)
FORTY: dict[str, str | int] = {
    "F1": 4, "F2": 61, "F3": 100, "F4": 0, "F5": "全覆盖", "F6": 0, "F7": 0,
    "M1": 1, "M2": 0, "M3": 0, "M4": 10, "R1": "增加", "R2": "增加", "R3": "增加", "R4": "增加",
}  # fmt: skip
"""8 + 6 + 6 + 0 + 10 points of 数字化基础, 0 of 数字化管理, 7 + 3 of 数字化成效: exactly 40."""
SIX = {"J01": 2, "J03": 2, "J05": 2, "J11": 2, "J12": 2, "J15": 2}
"""Three 约束性 scenes and three 指导性 ones at level two."""
NOTHING: dict[str, str | int] = {
    **dict.fromkeys(("F1", "F2", "F3", "F4", "F6", "F7", "M2", "M3", "M4"), 0),
    "F5": "无", "M1": 1, "R1": "增加", "R2": "降低", "R3": "降低", "R4": "增加",
}  # fmt: skip
SCENES = tuple(f"J{number:02d}" for number in range(1, 17))
START = datetime(2025, 3, 1, 9)
_PLACES = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def credit_code(number: int) -> str:
    """A made-up unified social credit code of Wuhan with a right check digit (GB 32100)."""
    body = f"91420100MA4{number:06d}"
    check = (31 - sum(_PLACES.index(c) * pow(3, i, 31) for i, c in enumerate(body)) % 31) % 31
    return body + _PLACES[check]


def enterprise(number: int) -> tuple[dict[str, Any], dict[str, dict[int, Any]]]:
    """Head and lines of an enterprise that went from nothing to exactly level two, all confirmed on site by two persons."""
    head: dict[str, Any] = {
        NAME: f"示例企业{number}", CODE: credit_code(number), INDUSTRY: "工业", STAFF: 120, REVENUE: 5000, ASSETS: 3000,
        HOW_BEFORE: ON_SITE, DAY_BEFORE: "2024-06-01", HOW_AFTER: ON_SITE,
        DAY_AFTER: str((START + timedelta(days=number % 20)).date()),
    }  # fmt: skip
    lines = {}
    for row, id in enumerate((*FORTY, *SCENES)):
        lines[id] = {
            BEFORE: NOTHING.get(id, 0),
            AFTER: FORTY.get(id, SIX.get(id, 0)),
            CONFIRMED: YES,
            INSPECTOR: "标准甲",
            WITNESS: "标准乙",
            TIME: str(START + timedelta(days=number % 20, minutes=2 * row)),
            PROOFS: f"proof-{number}.txt",
        }
    return head, lines


def spoilt(number: int, reason: str) -> tuple[dict[str, Any], dict[str, dict[int, Any]]]:
    """Like `enterprise`, but with one thing wrong, for which it must not count."""
    head, lines = enterprise(number)
    match reason:
        case "SME-X-CODE":
            head[CODE] = head[CODE][:-1] + ("0" if head[CODE][-1] != "0" else "1")
        case "SME-X-EDITION":
            head[EDITION] = "2022年版"
        case "SME-X-LARGE":
            head |= {STAFF: 1000, REVENUE: 40000}
        case "SME-X-SIZE":
            head[INDUSTRY] = "制造业"
        case "SME-X-SELF":
            head[HOW_AFTER] = SELF
        case "SME-X-BEFORE":
            lines["J16"][BEFORE] = ""
        case "SME-X-LEVEL":
            wrong = number % 4
            if wrong == 0:
                lines["R3"][AFTER] = "持平"  # 38.5 points
            elif wrong == 1:
                lines["J11"][AFTER] = 1  # five scenes
            elif wrong == 2:
                lines["J01"][AFTER], lines["J13"][AFTER] = 1, 2  # six, but two of them 约束性
            else:
                lines["J05"][CONFIRMED] = NO  # nobody confirmed one of the six
        case "SME-X-SAME":
            for line in lines.values():
                line[BEFORE] = line[AFTER]
    return head, lines


def write_workbook(folder: Path, good: int, seed: int) -> dict[str, int]:
    """Write `sheets.xlsx` with `good` enterprises that count, and for each reason one or more that do not, in seeded order.

    Returns how many it planted for each reason.
    """
    filled = [enterprise(number) for number in range(good)]
    planted = dict.fromkeys(
        ("SME-X-CODE", "SME-X-EDITION", "SME-X-LARGE", "SME-X-SIZE", "SME-X-SELF", "SME-X-BEFORE", "SME-X-SAME"), 1
    ) | {"SME-X-LEVEL": 4}
    number = good
    for reason, times in planted.items():
        for _ in range(times):
            number += 1
            filled.append(spoilt(number, reason))
    if good:
        planted["SME-X-DUP"] = 1
        filled.append(deepcopy(filled[0]))
    random.Random(seed).shuffle(filled)
    for n in range(number + 1):
        (folder / f"proof-{n}.txt").write_text(f"标准证据 {seed} 第 {n} 家\n", encoding="utf-8")
    (folder / "sheets.xlsx").write_bytes(workbook([Filled(head, lines) for head, lines in filled]))
    return planted


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A workbook in which exactly `true_value` enterprises count, as long as the context lasts; truth in `truth.json`."""
    with tempfile.TemporaryDirectory() as folder:
        planted = write_workbook(Path(folder), int(true_value), run.seed)
        basis = "由种子生成的评测表：每家的分值与场景等级手工配好，另按原因植入不应计入的企业"
        n = int(true_value) + sum(planted.values())
        truth: Json = {"true": true_value, "unit": "家", "n": n, "basis": basis, "planted": planted}
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        yield {"files": [str(Path(folder) / "sheets.xlsx")], "level": 2}
