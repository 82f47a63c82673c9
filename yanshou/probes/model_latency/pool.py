"""The sealed pool of inputs: one JSON object a line, each used once, in an order that nobody knew before the run's seed.

It must never repeat an input, which a cache would answer, and never put one into the evidence. Runs on bare Python 3.8.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.importing import checked_file

MAX_LINE = 16 << 20
MAX_POOL = 512 << 20
COMPARED = 200
"""How many inputs are compared for a common beginning."""


@dataclass(frozen=True)
class Pool:
    """Inputs and their digests in file order; `sha256` of the file; `common`: share of a middling input that all begin with."""

    inputs: tuple[dict[str, Json], ...]
    digests: tuple[str, ...]
    sha256: str
    common: float


def order(lines: int, wanted: int, seed: int, sha256: str) -> list[int]:
    """Which lines (from 0) are used, in order: a shuffle that the run's seed and the pool's digest fix.

    Of the generator only random() is used, which is guaranteed to stay.
    """
    draw = random.Random(f"{seed}:{sha256}").random
    indices = list(range(lines))
    for n in range(min(wanted, lines)):
        other = n + int(draw() * (lines - n))
        indices[n], indices[other] = indices[other], indices[n]
    return indices[:wanted]


def read_pool(folder: Path, name: str, wanted: int) -> Pool:
    """The pool in a file. Raises ProbeError LAT-E02: missing, no JSON objects, an input twice, or fewer than are wanted."""
    path = checked_file(folder, name, "输入池", missing=CODE, directory=CODE, empty=CODE, unreadable=CODE)
    if path.stat().st_size > MAX_POOL:
        raise ProbeError(CODE, f"输入池 {name} 超过 {MAX_POOL >> 20} MB", "减少行数或缩小图像")
    h = hashlib.sha256()
    inputs: list[dict[str, Json]] = []
    seen: dict[str, int] = {}
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            h.update(line)
            if not line.strip():
                continue
            value = _parsed(line, name, number)
            digest = digest_of(value)
            if digest in seen:
                text = f"输入池 {name} 第 {number} 行与第 {seen[digest]} 行相同"
                raise ProbeError(CODE, text, "每个请求要用不同的输入，否则缓存会替模型作答；删去重复的行")
            seen[digest] = number
            inputs.append(value)
    if len(inputs) < wanted:
        text = f"输入池 {name} 有 {len(inputs)} 行，计划要用 {wanted} 行（含预热）"
        raise ProbeError(CODE, text, "补足输入，或减少 count、warmup")
    return Pool(tuple(inputs), tuple(seen), h.hexdigest(), _common(inputs))


CODE = "LAT-E02"


def _parsed(line: bytes, name: str, number: int) -> dict[str, Json]:
    try:
        value = json.loads(line) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not value:
        raise ProbeError(CODE, f"输入池 {name} 第 {number} 行不是 JSON 对象", '每行写一个，如 {"prompt": "…"}')
    return value


def digest_of(value: Json) -> str:
    """16 hex digits that tell inputs or answers apart, whatever the order of their keys."""
    data = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:16]


def _common(inputs: Sequence[dict[str, Json]]) -> float:
    """Share of a middling input that all begin with: what a cache of prefixes could save."""
    step = max(1, len(inputs) // COMPARED)
    texts = ["\0".join(_texts(value)) for value in inputs[::step]]
    sizes = sorted(map(len, texts))
    middle = sizes[len(sizes) // 2] if sizes else 0
    if not middle or len(texts) < 2:
        return 0.0
    low, high = min(texts), max(texts)
    same = next((n for n, pair in enumerate(zip(low, high)) if pair[0] != pair[1]), min(len(low), len(high)))  # noqa: B905
    return same / middle


def _texts(value: Json) -> list[str]:
    """The leaves of an input, in their order."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(value)]
