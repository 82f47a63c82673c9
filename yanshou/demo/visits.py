"""What (fictitious) people inspect in a demonstration: the frozen checklist, their answers, and a file behind each answer.

No file proves anything, and each says so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.evidence import write_atomic
from yanshou.harness.plan import Plan

DISCLAIMER = "此文件由演示程序生成,不证明任何事实。"


@dataclass(frozen=True)
class Visit:
    """One item of a checklist and what was seen: `files` are the kinds of file behind the answer 是."""

    id: str
    text: str
    expected: str
    observed: str
    files: tuple[str, ...] = ("现场记录",)
    method: str = "操作"
    identifier: str | None = None
    named: str | None = None


def checklist(visits: Sequence[Visit]) -> str:
    """The items as they stand under `inspections.ID.items` of a case.yaml, a line each."""

    def item(visit: Visit) -> str:
        asked = {k: v for k, v in (("identifier", visit.identifier), ("named", visit.named)) if v}
        said = {"id": visit.id, "text": visit.text, "expected": visit.expected, "method": visit.method, **asked}
        return f"      - {json.dumps(said, ensure_ascii=False)}"

    return "\n".join(map(item, visits))


def write_sheet(folder: Path, name: str, place: str, visits: Sequence[Visit]) -> None:
    """`inputs/NAME.yaml` with every item answered 是 by two persons, ten minutes apart, and its evidence files. Raises OSError."""
    items = {}
    for number, visit in enumerate(visits):
        evidence = []
        for at, kind in enumerate(visit.files, 1):
            file = f"evidence/{visit.id}-{at}.txt"
            write_atomic(
                folder / "inputs" / file, f"演示证据 {visit.id} {kind}:{visit.observed}。{DISCLAIMER}\n".encode()
            )
            evidence.append({"file": file, "kind": kind, "obtained_from": place})
        items[visit.id] = {
            "observed": visit.observed,
            "answer": "是",
            "inspector": "甲",
            "witness": "乙",
            "time": f"2025-03-31 {9 + number // 6:02d}:{number % 6}0:00",
            "place": place,
            "evidence": evidence,
        }
    # JSON is YAML too
    write_atomic(
        folder / f"inputs/{name}.yaml", json.dumps({"items": items}, ensure_ascii=False, indent=1).encode() + b"\n"
    )


def look_up(folder: Path, plan: Plan, indicator: str, note: str) -> None:
    """Play the evaluator at the independent source of what `records` counts: every drawn record is found. Raises OSError."""
    from yanshou.probes.records.analyse import sample_keys
    from yanshou.probes.records.spec import Params
    from yanshou.probes.sampling import RESULT

    planned = plan.indicator(indicator)
    assert planned.instrument is not None
    params = Params.model_validate(planned.instrument.params)
    assert params.audit is not None
    rows = [[*key, "好", note] for key in sample_keys(folder, params, planned.seed)]
    _write_rows(folder / params.audit.file, [[*params.key, RESULT, "note"], *rows])


def visit_devices(folder: Path, plan: Plan, indicator: str, real: Container[str]) -> None:
    """Play the evaluator on site: a drawn device that is real bears its serial and vanishes unplugged; no other is found.

    Raises OSError.
    """
    from yanshou.probes.devices.register import sample_ids
    from yanshou.probes.devices.spec import Params
    from yanshou.probes.sampling import RESULT

    planned = plan.indicator(indicator)
    assert planned.instrument is not None
    params = Params.model_validate(planned.instrument.params)
    assert params.audit is not None
    rows = [[params.register_.id, RESULT, "serial", "unplug", "note"]]
    for serial in sample_ids(folder, params, planned.seed):
        good = ("好", serial, "是", "演示:现场核对铭牌,拔线后消失")
        rows.append([serial, *(good if serial in real else ("坏", "", "", "演示:现场找不到这台设备"))])
    _write_rows(folder / params.audit.file, rows)


def _write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    write_atomic(path, out.getvalue().encode())
