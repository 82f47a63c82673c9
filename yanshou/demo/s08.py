"""Scenario 8 “工业互联网赋能中小企业”, live: a workbook of contracts held against the platform's SQLite log, and assessed levels.

Enterprises, contracts and calls are made up. Large ones, affiliated ones, wrong codes and contracts that nobody used do not count.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from yanshou.demo.heading import heading
from yanshou.demo.play import Demo, Standing
from yanshou.demo.visits import look_up
from yanshou.harness.evidence import digest_file, write_atomic
from yanshou.harness.plan import Plan
from yanshou.probes.sme_level.reference import credit_code, write_workbook

TRUE_ADOPTERS = 12
COMMITTED_ADOPTERS = 10
TRUE_LEVEL = 2
SAMPLE = 12
"""Every enterprise that counts is asked again."""
LARGE, AFFILIATED, MISCODED, EARLY, UNUSED, TWICE = 2, 3, 1, 2, 4, 5
"""Planted contracts that are none of an adopter: by why."""
SEED = 8
CONTRACTS, LOG, SHEETS = "inputs/contracts.xlsx", "inputs/platform.db", "inputs/levels"
COLUMNS = ("统一社会信用代码", "企业名称", "行业", "从业人员", "营业收入", "资产总额", "签约时间", "与申报方关系")
FIRST_OTHER = 500
"""Numbers of enterprises from here on belong to those that must not count."""


@contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """The case and its inputs in `folder`; nothing has to run."""
    write_inputs(folder)
    write_atomic(folder / "case.yaml", case_text(digest_file(folder / CONTRACTS)).encode())
    planted = LARGE + AFFILIATED + MISCODED + EARLY + UNUSED + TWICE
    yield Standing(
        f"采用企业 {TRUE_ADOPTERS} 家如实，另有 {planted} 份不应计入的合同；"
        f"评测表里达到 {TRUE_LEVEL} 级且有改造前等级的恰好 {TRUE_ADOPTERS} 家"
    )


def write_inputs(folder: Path) -> None:
    """Contracts (xlsx), the platform's log (SQLite), and the assessment of each enterprise with its proofs. Raises OSError."""
    (folder / SHEETS).mkdir(parents=True)
    write_workbook(folder / SHEETS, TRUE_ADOPTERS, SEED)
    rows, users = contracts()
    _write_contracts(folder / CONTRACTS, rows)
    _write_log(folder / LOG, users)


def contracts() -> tuple[list[list[str]], list[str]]:
    """Rows of the export, and the codes of those that used the platform."""
    other = iter(range(FIRST_OTHER, 1000))

    def row(code: str, staff: int = 120, revenue: int = 5000, when: str = "2025-03-03", bond: str = "无") -> list[str]:
        return [code, f"示例企业{code[-7:-1]}", "工业", str(staff), str(revenue), "3000", f"{when} 10:00:00", bond]

    adopters = [row(credit_code(n), when=f"2025-{1 + n % 9:02d}-{3 + n:02d}") for n in range(TRUE_ADOPTERS)]
    unused = [row(credit_code(next(other))) for _ in range(UNUSED)]
    others = [row(credit_code(next(other)), staff=2300, revenue=90_000) for _ in range(LARGE)]
    others += [row(credit_code(next(other)), bond="联合体成员控股") for _ in range(AFFILIATED)]
    others += [row(credit_code(next(other)), when="2023-05-05") for _ in range(EARLY)]
    for _ in range(MISCODED):
        code = credit_code(next(other))
        others.append(row(code[:-1] + ("0" if code[-1] != "0" else "1")))
    users = [r[0] for r in (*adopters, *others)]
    rows = [*adopters, *others, *unused, *adopters[:TWICE]]
    random.Random(SEED).shuffle(rows)
    return rows, users


def _write_contracts(path: Path, rows: list[list[str]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "合同台账"
    for row in (COLUMNS, *rows):
        sheet.append(row)
    book.save(path)


def _write_log(path: Path, users: list[str]) -> None:
    """Three calls a month of each user, half a year long."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE calls (uscc TEXT, at TEXT)")
        days = [f"2025-{month:02d}-{day:02d} 09:30:00" for month in range(4, 10) for day in (5, 15, 25)]
        db.executemany("INSERT INTO calls VALUES (?, ?)", [(code, day) for code in users for day in days])


def visit(folder: Path, plan: Plan) -> None:
    """Play the evaluator on the telephone: every enterprise that was drawn says that it uses the platform."""
    look_up(folder, plan, "S08-I01", "演示:企业确认在用,合同原件与台账一致")


def case_text(sha256: str) -> str:
    """The demonstration's case.yaml; `sha256`: of the export, before there is a seed."""
    code, _, industry, staff, revenue, assets, signed, bond = COLUMNS
    size = {"staff": staff, "revenue": revenue, "assets": assets}
    counting = {
        "file": CONTRACTS, "sheet": "合同台账", "key": [code], "time": signed, "unit": "家",
        "window": {"start": "2024-07-01", "end": "2025-12-31"}, "normalise": ["nfkc", "strip", "upper"],
        "exclude": [
            {"code": "CODE", "text": "统一社会信用代码校验位不对", "column": code, "invalid": "uscc"},
            {"code": "AFFILIATE", "text": "申报联合体成员或其控股企业", "column": bond, "contains": "联合体成员"},
            {"code": "LARGE", "text": "不是中小微企业", "column": industry, "not_sme": size},
        ],
        "join": {
            "file": LOG, "query": "SELECT DISTINCT uscc FROM calls", "on": {code: "uscc"},
            "text": "平台上没有使用记录",
        },
        "audit": {"file": "inputs/audit.csv", "size": SAMPLE}, "sha256": sha256,
    }  # fmt: skip
    levels = {"files": [f"{SHEETS}/sheets.xlsx"], "shared_by": COMMITTED_ADOPTERS}
    head = heading(
        8, "工业互联网赋能中小企业数字化转型", "某行业平台", ["S08-I01", "S08-I02"], "生成的合同台账、平台日志与评测表"
    )
    return f"""{head}commitments:
  S08-I01:
    baseline: 0 家
    target: 不少于{COMMITTED_ADOPTERS}家
    define: {{recognition: 有合同且在平台上有使用记录, affiliates: 申报联合体成员及其控股企业不计}}
  S08-I02:
    baseline: 0 级
    target: 不低于{TRUE_LEVEL}级
    define:
      scope: 计入的企业中至少{COMMITTED_ADOPTERS}家
      assessment: 两人逐家到场评定
      level_before: 逐家评测表里的改造前一栏
measure:
  S08-I01: {{probe: records, params: {json.dumps(counting, ensure_ascii=False)}}}
  S08-I02: {{probe: sme.level, params: {json.dumps(levels, ensure_ascii=False)}}}
"""


DEMO = Demo(stand, visit)
