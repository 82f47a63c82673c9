"""A generated answer sheet whose number of properly evidenced 是 is known: the standard that calibrates `inspection`.

It shows that every other answer is told apart from 是. It must never use the probe's own analysis to arrive at its truth.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.harness.model import Answer
from yanshou.probes.capturing import RunContext
from yanshou.probes.inspection.spec import Params

POINTS = (0.0, 3.0, 5.0)


def write_sheet(folder: Path, yes: int, seed: int) -> Params:
    """Write `answers.yaml` and its evidence files to `folder`: `yes` items 是, one of each other answer, in random order.

    The sheet is written as JSON, which is YAML too. An answered item has two persons, a file and a time of its own.
    """
    answers = [Answer.YES] * yes + [answer for answer in Answer if answer is not Answer.YES]
    random.Random(seed).shuffle(answers)
    start = datetime(2025, 3, 1, 9)
    items: dict[str, Json] = {}
    for number, answer in enumerate(answers, 1):
        name = f"photo-{number:02d}.txt"
        (folder / name).write_text(f"标准证据 {seed} 第 {number} 项\n", encoding="utf-8")
        items[f"R{number:02d}"] = {
            "observed": f"标准条目 {number}",
            "answer": answer.value,
            "inspector": "标准甲",
            "witness": "标准乙",
            "time": (start + timedelta(minutes=10 * number)).isoformat(sep=" "),
            "place": "标准现场",
            "evidence": [{"file": name, "kind": "照片", "obtained_from": "标准现场"}],
        }
    sheet = folder / "answers.yaml"
    sheet.write_text(json.dumps({"items": items}, ensure_ascii=False, indent=1), encoding="utf-8")
    checklist = [{"id": i, "text": "标准条目", "expected": "见所附证据", "method": "查阅"} for i in items]
    return Params.model_validate({"sheet": str(sheet), "items": checklist})


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A sheet with exactly `true_value` 是, there as long as the context lasts; truth in `truth.json`."""
    with tempfile.TemporaryDirectory() as folder:
        params = write_sheet(Path(folder), int(true_value), run.seed)
        basis = "由种子生成的答卷：答“是”的条目数按构造已知，其余每种答案各一条"
        truth: Json = {"true": true_value, "unit": "个", "n": len(params.items), "basis": basis}
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        yield params.model_dump(mode="json")
