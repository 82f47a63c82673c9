"""A generated export whose number of distinct valid records is known: the standard that calibrates the `records` probe.

It is for showing that every kind of row that must not count is left out, and exactly once. It must never use the probe's
own analysis to arrive at its truth.
"""

from __future__ import annotations

import csv
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext
from yanshou.probes.records.spec import Params

POINTS = (100.0, 1000.0, 25000.0)

_FULL_WIDTH = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})
_START = datetime(2025, 1, 1)
_WINDOW_SECONDS = 180 * 86400


def write_export(path: Path, valid: int, seed: int) -> dict[str, int]:
    """Write a UTF-8 export of `valid` distinct records and, in random order, rows that must not count.

    Returns how many rows it planted for each exclusion code, plus "gross". Keys are 18 characters, two columns.
    """
    rng = random.Random(seed)

    def stamp(offset: float) -> str:
        return (_START + timedelta(seconds=int(offset))).isoformat(sep=" ")

    def row(number: int, inside: bool = True, status: str = "正常") -> list[str]:
        offset = rng.uniform(0, _WINDOW_SECONDS) if inside else -rng.uniform(1, 86400 * 30)
        return [f"DEV{number:09d}QX", "一车间", stamp(offset), status, '说明，含逗号,引号"和\n换行']

    records = [row(number) for number in range(valid)]
    few = max(3, valid // 20)
    again = [[*rng.choice(records)] for _ in range(2 * few)]
    for copy in again[:few]:
        copy[0] = f"　{copy[0].translate(_FULL_WIDTH)} "
    planted = {
        "REC-X-RAGGED": [["DEV", "一车间"] for _ in range(few)],
        "REC-X-KEY": [["　", *row(0)[1:]] for _ in range(few + 1)],
        "REC-X-TIME": [[*row(valid)[:2], "昨天", "正常", ""] for _ in range(few + 2)],
        "REC-X-WINDOW": [row(valid + n, inside=False) for n in range(few + 3)],
        "TEST": [row(valid + n, status="ＴＥＳＴ") for n in range(few + 4)],
        "CANCELLED": [row(valid + n, status="已取消") for n in range(few + 5)],
        "REC-X-DUP": again,
    }
    rows = records + [line for lines in planted.values() for line in lines]
    rng.shuffle(rows)
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["编号", "车间", "时间", "状态", "备注"])
        writer.writerows(rows)
    return {"gross": len(rows)} | {code: len(lines) for code, lines in planted.items()}


def export_params(path: Path) -> Params:
    """The parameters that count what `write_export` wrote."""
    return Params.model_validate(
        {
            "file": str(path),
            "key": ["编号", "车间"],
            "time": "时间",
            "window": {"start": "2025-01-01", "end": "2025-06-30"},
            "exclude": [
                {"code": "TEST", "text": "测试记录", "column": "状态", "equals": "TEST"},
                {"code": "CANCELLED", "text": "已取消", "column": "状态", "in": ["已取消", "作废"]},
            ],
        }
    )


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """An export with exactly `true_value` distinct valid records, there as long as the context lasts; truth in truth.json."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.csv"
        planted = write_export(path, int(true_value), run.seed)
        basis = "由种子生成的导出文件：有效记录数按构造已知，另按原因植入应排除的行"
        truth: Json = {"true": true_value, "unit": "条", "n": planted["gross"], "basis": basis, "planted": planted}
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        yield export_params(path).model_dump(mode="json")
