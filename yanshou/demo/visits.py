"""What (fictitious) people inspect in a demonstration: the frozen checklist, their answers, and a file behind each answer.

No file proves anything, and each says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.evidence import write_atomic

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


def checklist(visits: Sequence[Visit]) -> str:
    """The items as they stand under `inspections.ID.items` of a case.yaml, a line each."""

    def item(visit: Visit) -> str:
        named = {"identifier": visit.identifier} if visit.identifier else {}
        said = {"id": visit.id, "text": visit.text, "expected": visit.expected, "method": visit.method, **named}
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
