"""A generated model file of the shapes of a usual 7B model, for demonstrations: random weights, a known number of parameters.

Its true number comes from the shapes alone, never from the probe's own count. It computes nothing; whoever serves it only maps it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path

from yanshou.harness.basics import ExitCode, Problem, UserError
from yanshou.probes.model_weights.reference import gguf_text, write_gguf_file

LAYERS, WIDTH, INNER, KEYS, WORDS = 28, 3584, 18944, 512, 152064
TOWER, TOWER_WIDTH, TOWER_INNER, MERGED = 32, 1280, 3584, 5120
"""The encoder of pictures: blocks, width, width inside, and of what its projection takes."""
PACKED, SINGLE = (19, 256, 50), (0, 1, 4)
"""ggml type, elements and bytes of a block: IQ1_S, so that 7.6e9 parameters need 1.5 GB; F32."""

Shapes = dict[str, tuple[int, ...]]


def language() -> Shapes:
    """Extents as ggml orders them; what has one is kept in F32."""
    shapes: Shapes = {
        "token_embd.weight": (WIDTH, WORDS),
        "output_norm.weight": (WIDTH,),
        "output.weight": (WIDTH, WORDS),
    }
    for n in range(LAYERS):
        stem = f"blk.{n}"
        for name, out in (("attn_q", WIDTH), ("attn_k", KEYS), ("attn_v", KEYS)):
            shapes[f"{stem}.{name}.weight"] = (WIDTH, out)
            shapes[f"{stem}.{name}.bias"] = (out,)
        shapes[f"{stem}.attn_output.weight"] = (WIDTH, WIDTH)
        shapes[f"{stem}.ffn_gate.weight"] = shapes[f"{stem}.ffn_up.weight"] = (WIDTH, INNER)
        shapes[f"{stem}.ffn_down.weight"] = (INNER, WIDTH)
        shapes[f"{stem}.attn_norm.weight"] = shapes[f"{stem}.ffn_norm.weight"] = (WIDTH,)
    return shapes


def vision() -> Shapes:
    """An encoder of pictures and its projection."""
    shapes: Shapes = {"mm.0.weight": (MERGED, WIDTH), "mm.0.bias": (WIDTH,)}
    for n in range(TOWER):
        stem = f"v.blk.{n}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes[f"{stem}.{name}.weight"] = (TOWER_WIDTH, TOWER_WIDTH)
        shapes[f"{stem}.ffn_up.weight"] = (TOWER_WIDTH, TOWER_INNER)
        shapes[f"{stem}.ffn_down.weight"] = (TOWER_INNER, TOWER_WIDTH)
    return shapes


def parameters(shapes: Shapes) -> int:
    """How many there are."""
    return sum(map(prod, shapes.values()))


@contextmanager
def written(path: Path, shapes: Shapes) -> Iterator[None]:
    """The file, there as long as the context lasts. Raises UserError DEMO-E05, OSError."""
    tensors = []
    for name, extents in shapes.items():
        kind, elements, size = SINGLE if len(extents) == 1 else PACKED
        tensors.append((name, extents, kind, prod(extents) // elements * size))
    wanted = sum(size for *_, size in tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < 1.2 * wanted:
        text = f"演示要在 {path.parent} 写一个 {wanted / 1e9:.1f} GB 的模型文件，磁盘空间不够"
        raise UserError(Problem("DEMO-E05", text, "腾出空间，或换一个文件夹"), ExitCode.INTERNAL)
    pairs = [gguf_text("general.architecture", "demo"), gguf_text("general.size_label", "7B")]
    try:
        write_gguf_file(path, pairs, tensors, seed=7)
        yield
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # somebody put something beside it
            path.parent.rmdir()
