"""Scenario 3 “数字赋能建造”, live: IFC models held against a delivery specification (IDS), and drawings reviewed by the year.

The list has no number here, so that everything is what the project promised of itself. Models and drawings are made up. Without
the extra `bim` the case has no models in it and says so.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from yanshou.demo.heading import heading
from yanshou.demo.play import Demo, Standing
from yanshou.harness.basics import UserError
from yanshou.harness.evidence import sha256_bytes, write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.bim_ids.checking import require_extra
from yanshou.probes.bim_ids.reference import model, specifications

MODELS = ("数字设计", "施工图设计", "施工方案")
"""One model of each stage."""
SPECIFICATIONS = 4
"""Of `specifications`, all of which each model keeps."""
YEARS = {2024: 1000, 2025: 1260}
"""Year -> drawings whose review truly ended in it."""
RETURNED, AGAIN = 80, 40
"""Planted rows of each year that are none: sent back, reviewed twice under one number."""
IDS, DATABASE = "inputs/delivery.ids", "inputs/reviews.db"
COLUMNS = ("drawing", "ended", "state")


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """The case and its inputs in `folder`; nothing has to run."""
    models = has_extra()
    write_inputs(folder, models)
    write_atomic(folder / "case.yaml", case_text(models).encode())
    years = "、".join(f"{year} 年 {number} 份" for year, number in YEARS.items())
    kept = f"模型 {len(MODELS)} 个，各守 {SPECIFICATIONS} 条规格" if models else "没有装 BIM 组件，不查模型"
    yield Standing(f"{kept}；审毕的施工图 {years}，另有退回与重复的行")


def has_extra() -> bool:
    """True where IFC and IDS can be read and written."""
    try:
        require_extra()
    except UserError:
        return False
    return True


def write_inputs(folder: Path, models: bool) -> None:
    """The models and their specification where there shall be any, and the reviews of both years (SQLite). Raises OSError."""
    if models:
        write_atomic(folder / IDS, specifications().encode())
        for number, _ in enumerate(MODELS, 1):
            write_atomic(folder / file_of(number), model(SPECIFICATIONS, seed=number).encode())
    (folder / DATABASE).parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / DATABASE)) as db, db:
        db.execute(f"CREATE TABLE reviews ({', '.join(f'{name} TEXT' for name in COLUMNS)})")
        db.executemany("INSERT INTO reviews VALUES (?, ?, ?)", [row for year in YEARS for row in reviews(year)])


def file_of(number: int) -> str:
    """Where the model with this number, from 1, lies."""
    return f"inputs/models/{number:02d}.ifc"


def reviews(year: int) -> list[tuple[str, str, str]]:
    """Every row of a year, in an order that says nothing."""
    draw = random.Random(year)
    start = datetime(year, 1, 1)

    def row(number: int, state: str) -> tuple[str, str, str]:
        return f"T{year}-{number:05d}", str(start + timedelta(seconds=int(draw.random() * 364 * 86400))), state

    true = YEARS[year]
    rows = [row(n, "通过") for n in range(true)] + [row(true + n, "退回") for n in range(RETURNED)]
    rows += [row(n, "通过") for n in draw.sample(range(true), AGAIN)]
    draw.shuffle(rows)
    return rows


def visit(folder: Path, plan: Plan) -> None:
    """Nobody has to go anywhere: the models answer."""


def case_text(models: bool) -> str:
    """The demonstration's case.yaml."""
    before, after = YEARS
    checking: dict[str, object] = {"models": [{"name": name, "file": file_of(n)} for n, name in enumerate(MODELS, 1)]}
    if models:
        checking |= {"ids": IDS, "ids_sha256": sha256_bytes(specifications().encode())}
    counting = {
        "file": DATABASE, "query": f"SELECT {', '.join(COLUMNS)} FROM reviews", "key": [COLUMNS[0]], "time": COLUMNS[1],
        "window": window(after), "unit": "份",
        "exclude": [{"code": "RETURNED", "text": "退回,没有审毕", "column": COLUMNS[2], "equals": "退回"}],
    }  # fmt: skip
    promised = f"""
  S03-P01:
    name: 各环节模型符合交付规范的项数
    kind: inspected
    baseline: 0 项
    target: 不少于{len(MODELS) * SPECIFICATIONS}项
    note: {len(MODELS)} 个环节各一个模型,每个模型 {SPECIFICATIONS} 条规格"""
    measured = f"""
  S03-P01: {{probe: bim.ids, params: {json.dumps(checking, ensure_ascii=False)}}}"""
    content = [*(["S03-P01"] if models else []), "S03-Q05"]
    head = heading(3, "数字赋能建造典型应用", "某数字建造平台", content, "生成的 IFC 模型与审图记录")
    return f"""{head}commitments:{promised if models else ""}
  S03-Q05:
    name: 每年审毕的施工图
    kind: counted
    baseline: {YEARS[before]} 份
    target: 提升 20 % 以上
    note: 同一批审图人员;退回的不计,一号一份
measure:{measured if models else ""}
  S03-Q05:
    probe: records
    params: {json.dumps(counting, ensure_ascii=False)}
    before: {{params: {{window: {json.dumps(window(before))}}}}}
"""


def window(year: int) -> dict[str, str]:
    """A whole year."""
    return {"start": f"{year}-01-01", "end": f"{year}-12-31"}


DEMO = Demo(stand, visit)
