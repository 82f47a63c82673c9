"""What becomes of single rows: which were left out of a count and why, and on site, what pseudonyms stand for.

It must never change a case: what it finds goes to whoever asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from yanshou.harness.assess import load_state
from yanshou.harness.basics import Problem, RunStatus, UserError, refusal
from yanshou.probes.contract import Probe


def left_out(folder: Path, indicator_id: str, number: int | None) -> Iterator[list[str]]:
    """The rows that run `number` (the last completed one unless told) of an indicator did not count, after a row of column names.

    Raises UserError where there is no such run, or its instrument counts no rows.
    """
    state = load_state(folder)
    runs = [r for r in state.runs if r.indicator == indicator_id and r.purpose == "measurement"]
    chosen = [r for r in runs if r.number == number or (number is None and r.status is RunStatus.COMPLETED)]
    if not chosen:
        which = "完成的" if number is None else f"编号 {number} 的"
        remedy = "用 yanshou status 看有哪些运行，先 yanshou run 完成一次"
        raise UserError(Problem("T-RUN", f"{indicator_id} 没有{which}运行", remedy, folder))
    run = chosen[-1]
    probe = Probe(str(run.meta["probe"]))
    rows = probe.left_out(run.evidence(folder), probe.params(dict(run.meta["params"])))
    if rows is None:
        raise UserError(
            Problem("T-ROWS", f"{indicator_id} 用的 {probe.name} 不逐行计数", "只用于按记录计数的指标", folder)
        )
    return rows


def reidentified(folder: Path, table: Path) -> tuple[str, int, int]:
    """A CSV file with each pseudonym replaced by what it stands for; how many different ones were found, and in how many rows.

    The sources of all planned counts are read again. Raises UserError.
    """
    try:
        rows = list(csv.reader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise UserError(Problem("T-FILE", f"读不出来：{refusal(error)}", "检查路径与读权限", table)) from None
    except (UnicodeError, csv.Error):
        raise UserError(
            Problem("T-FILE", "不是 UTF-8 的 CSV", "用 yanshou sample 或 trace 写出的文件", table)
        ) from None
    cells = {cell for row in rows for cell in row}
    found: dict[str, str] = {}
    for indicator in load_state(folder).plan.indicators:
        for setup in indicator.setups:
            probe = Probe(setup.instrument.probe)
            found |= probe.reidentify(probe.params(dict(setup.instrument.params)), folder, cells - set(found))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([found.get(cell, cell) for cell in row] for row in rows)
    return out.getvalue(), len(found), sum(not found.keys().isdisjoint(row) for row in rows)
