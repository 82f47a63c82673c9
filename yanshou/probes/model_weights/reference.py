"""Generated checkpoints of a known number of parameters: the standard that calibrates the `model.weights` probe.

It is for showing that packing, scales, buffers, adapters and tied tensors each count as they must. It must never use the probe's
own reader or count to arrive at its truth. Runs on bare Python 3.8.
"""

from __future__ import annotations

import json
import random
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yanshou.probes.capturing import RunContext

POINTS = (1_000_000.0, 7_300_001.0, 120_000_512.0)
"""Parameters. The first as 16-bit safetensors in two shards, the second as Q8_0 GGUF, the third as 4-bit GPTQ."""
BASIS = "由种子生成的检查点：参数个数按构造已知，另有缩放、零点、缓冲、适配器、绑定的输出头与词表外的行，均不应计入"
CHUNK = 1 << 20


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A model of exactly `true_value` parameters, there as long as the context lasts; truth in truth.json."""
    make = {POINTS[0]: write_sharded, POINTS[1]: write_gguf, POINTS[2]: write_gptq}[true_value]
    with tempfile.TemporaryDirectory(prefix="yanshou-") as name:
        folder = Path(name)
        stored = make(folder, int(true_value), run.seed)
        truth = {"true": true_value, "unit": "参数", "n": stored, "basis": BASIS}
        run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")
        yield {"path": name, "watch_s": 0, "basis": "elements", "vision": "included", "moe": "total"}


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]], seed: int) -> None:
    """A file of random bytes: name -> (type, shape, bytes)."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        _random(f, at, seed)


def _random(file: Any, size: int, seed: int) -> None:
    """Random bytes: a megabyte drawn once, and each further one turned by its own amount."""
    block = random.Random(seed).getrandbits(8 * CHUNK).to_bytes(CHUNK, "little") if size else b""
    for number in range(0, size, CHUNK):
        turn = number // CHUNK * 4099 % CHUNK
        file.write((block[turn:] + block[:turn])[: size - number])


def write_sharded(folder: Path, count: int, seed: int) -> int:
    """16-bit floats in two files with an index; a tied head, a LoRA, a buffer and ten rows beyond the vocabulary."""
    rows, width = 500, 400
    body = count - rows * width
    first = {
        "model.embed_tokens.weight": ("BF16", [rows + 10, width], (rows + 10) * width * 2),
        "model.layers.0.mlp.up_proj.weight": ("BF16", [body // 500, 500], body // 500 * 500 * 2),
        "model.layers.0.mlp.up_proj.bias": ("BF16", [body % 500], body % 500 * 2),
    }
    second = {
        "lm_head.weight": ("BF16", [rows + 10, width], (rows + 10) * width * 2),
        "model.layers.0.mlp.up_proj.lora_A.weight": ("F32", [8, 100], 3200),
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [64], 256),
    }
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    for number, (name, tensors) in enumerate(zip(names, (first, second))):  # noqa: B905  strict came with Python 3.10
        write_safetensors(folder / name, tensors, seed + number)
    sizes = [size for tensors in (first, second) for _, _, size in tensors.values()]
    index = {
        "metadata": {"total_size": sum(sizes)},
        "weight_map": {**dict.fromkeys(first, names[0]), **dict.fromkeys(second, names[1])},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"vocab_size": rows, "tie_word_embeddings": True}), encoding="utf-8")
    return count + 10 * width + (rows + 10) * width + 864


def write_gguf(folder: Path, count: int, seed: int) -> int:
    """Q8_0 blocks (34 bytes of 32 weights), a remainder in F32, a vocabulary shorter than the embedding, a frequency table."""
    rows, width = 1000, 320
    body = (count - rows * width) // 320 * 320
    rest = count - rows * width - body
    tensors = [
        ("token_embd.weight", [width, rows + 8], 8, (rows + 8) * width // 32 * 34),
        ("blk.0.ffn_up.weight", [320, body // 320], 8, body // 32 * 34),
        ("blk.0.ffn_up.bias", [rest], 0, rest * 4),
        ("rope_freqs.weight", [64], 0, 256),
    ]
    words = b"".join(struct.pack("<Q", len(w)) + w for w in (b"t%d" % n for n in range(rows)))
    pairs = [
        gguf_text("general.architecture", "test"),
        _gguf_pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, rows) + words),
    ]
    write_gguf_file(folder / "model.gguf", pairs, tensors, seed)
    return count + 8 * width + 64


def gguf_text(key: str, text: str) -> bytes:
    """A word of a GGUF file's metadata."""
    return _gguf_pair(key, 8, struct.pack("<Q", len(text.encode())) + text.encode())


def _gguf_pair(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


def write_gguf_file(
    path: Path, pairs: Sequence[bytes], tensors: Sequence[tuple[str, Sequence[int], int, int]], seed: int
) -> None:
    """A file of random bytes: (name, extents as ggml orders them, type, bytes) of each tensor."""
    head = [b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)), *pairs]
    at = 0
    for name, shape, kind, size in tensors:
        head.append(struct.pack("<Q", len(name)) + name.encode())
        head.append(struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at))
        at += size + -size % 32
    begin = b"".join(head)
    with path.open("wb") as f:
        f.write(begin + b"\0" * (-len(begin) % 32))
        _random(f, at, seed)


def write_gptq(folder: Path, count: int, seed: int) -> int:
    """4 bits in words of 32, groups of 128, with scales, zero points and group indices that are no parameters."""
    rows, columns = 1024, count // 1024 - count // 1024 % 128
    rest = count - rows * columns
    groups = rows // 128
    stem = "model.layers.0.mlp.up_proj"
    tensors = {
        f"{stem}.qweight": ("I32", [rows // 8, columns], rows // 8 * columns * 4),
        f"{stem}.qzeros": ("I32", [groups, columns // 8], groups * columns // 8 * 4),
        f"{stem}.scales": ("F16", [groups, columns], groups * columns * 2),
        f"{stem}.g_idx": ("I32", [rows], rows * 4),
        "model.norm.weight": ("F16", [rest], rest * 2),
    }
    write_safetensors(folder / "model.safetensors", tensors, seed)
    settings = {"bits": 4, "group_size": 128, "quant_method": "gptq"}
    (folder / "quantize_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return count + groups * columns // 8 + groups * columns + rows
