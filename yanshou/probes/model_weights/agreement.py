"""Whether the running service answers as the counted model does. Pure.

It must never take an answer that did not come for agreement, nor a difference for proof where the questions cannot tell models
apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Severity, Validity
from yanshou.probes.model_weights.streams import CHALLENGE, ONNX

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence

Floats = NDArray[np.float64]
SAME, OTHER = 0.9, 0.5
"""Share of reproduced answers from which it is the same model, and below which it is another one. Between them: other rounding, or
another quantisation."""
TOLERANCE = 1e-3
"""Of the largest number of an output: float32 on another processor differs by less."""


def challenge_findings(evidence: RunEvidence, record: Mapping[str, Json]) -> Iterator[Validity]:
    """WGT-V15 (what the answers show), V16 (the counted files cannot be run here). Raises KeyError, ValueError for damage."""
    told = record["challenge"]
    if told is None:
        return
    if not told["by"]:
        text = "计数的文件不能在此运行（GGUF 要 runner，ONNX 可直接运行，其余格式与引擎不能）：在用的就是计数的模型，属声明"
        yield Validity("WGT-V16", Severity.WARNING, text)
        return
    lines = _lines(evidence)
    if len(lines) != told["asked"]:
        raise ValueError("challenge")
    stable = [line for line in lines if line["status"] == ["ok", "ok"] and _agree(*line["served"])]
    alike = [line for line in stable if _comparable(line["served"][0], line["counted"], told["by"])]
    reproduced = sum(_agree(line["served"][0], line["counted"]) for line in alike)
    kinds = len({line["counted"] for line in lines})
    text = f"{len(lines)} 道挑战题（温度 0），服务两次答得相同的 {len(stable)} 道"
    text += f"，由计数的文件在 {told['by']} 下重现 {reproduced} 道"
    if 2 * len(stable) < len(lines):
        yield Validity("WGT-V15", Severity.WARNING, f"{text}：服务答得不全，或同题两答不同，说明不了什么")
    elif 2 * kinds < len(lines):
        yield Validity("WGT-V15", Severity.WARNING, f"{text}，但计数的模型自己只有 {kinds} 种答案：这些题分不出模型")
    elif 2 * len(alike) < len(stable):
        told_so = "服务的应答不是模型的输出（answer 指明是哪一项），不能比较：在用的就是计数的模型，属声明"
        yield Validity("WGT-V16", Severity.WARNING, f"{text}；{told_so}")
    elif reproduced >= SAME * len(stable):
        yield Validity("WGT-V15", Severity.INFO, text)
    elif reproduced < OTHER * len(stable):
        yield Validity("WGT-V15", Severity.INVALID, f"{text}：在用的不是计数的模型")
    else:
        yield Validity("WGT-V15", Severity.WARNING, f"{text}：可能是另一种量化或推理引擎的舍入，由人判断")


def _lines(evidence: RunEvidence) -> list[dict[str, Json]]:
    with evidence.open(CHALLENGE) as stream:
        return [json.loads(line) for line in stream]


def _agree(one: str, other: str) -> bool:
    """The same words; or, of decisions, the same numbers but for rounding."""
    if not one.strip() or not other.strip():
        return False
    return one == other or _near(_numbers(one), _numbers(other))


def _comparable(served: str, counted: str, by: str) -> bool:
    """Words always are; numbers where some output has as many of them."""
    if by != ONNX:
        return True
    sizes = {part.size for part in _numbers(counted)}
    return any(part.size in sizes for part in _numbers(served))


def _near(ones: list[Floats], others: list[Floats]) -> bool:
    """Whether some output of one is an output of the other."""
    return any(
        a.size == b.size > 0 and float(np.abs(a - b).max()) <= TOLERANCE * float(np.abs(b).max())
        for a in ones
        for b in others
    )


def _numbers(text: str) -> list[Floats]:
    """Outputs in an answer: a list of numbers, nested as it likes, or several by name; none where it is no such thing."""
    try:
        found = json.loads(text)
        parts = list(found.values()) if isinstance(found, dict) else [found]
        return [np.asarray(part, dtype=np.float64).ravel() for part in parts]
    except (ValueError, TypeError, RecursionError):
        return []
