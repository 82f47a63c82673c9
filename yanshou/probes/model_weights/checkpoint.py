"""Which files of a folder make up one model, and what they hold together. Pure; the same code reads the files and their record.

It must never guess between two models, never leave out a shard, and never read more than headers and samples.
Runs on bare Python 3.8.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from yanshou.formats.gguf import LENGTH_OF, read_gguf
from yanshou.formats.gguf import MAGIC as GGUF_MAGIC
from yanshou.formats.onnx_graph import read_onnx
from yanshou.formats.safetensors import read_safetensors
from yanshou.formats.tensors import Layout, Malformed, Source, Tensor, check_number, json_object, shown
from yanshou.formats.torch_zip import read_torch
from yanshou.harness.basics import Json

SUFFIXES = (".safetensors", ".gguf", ".onnx", ".bin", ".pt", ".pth", ".ckpt")
ENGINES = (".engine", ".plan", ".trt", ".rknn", ".om", ".mlir", ".tflite")
"""Compiled for one chip: their parameters cannot be counted."""
INDEX = ".index.json"
TEXTS = ("config.json", "quantize_config.json", "quant_config.json", "adapter_config.json", "tokenizer.json")
MOST_TOKENS = 1 << 31
ADAPTER = "adapter_model"
PROJECTOR = "mmproj"
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})(?=\.)")
_NESTED = ("text_config", "llm_config", "language_config", "llm_cfg")
"""Where a model of several modes keeps what its language model is."""
WINDOWS, WINDOW, SAMPLED_FROM = 4, 64, 4096
"""Each matrix of so many bytes or more is sampled in so many places of so many bytes."""


@dataclass(frozen=True)
class Choice:
    """The files of one model, by name in its folder; `others` are weights beside them that do not belong to it."""

    weights: tuple[str, ...]
    index: str | None
    others: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the headers of one model say. `config`: config.json, with what describes its language model on top."""

    format: str
    tensors: tuple[Tensor, ...]
    config: Mapping[str, Json]
    quantization: Mapping[str, Json]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    logical: Mapping[str, int] = field(default_factory=dict)
    auxiliary: frozenset[str] = frozenset()
    vocabulary: int | None = None
    total_size: tuple[int, int] | None = None
    """Bytes of all tensors: as the index states them, as they are. None where they agree or nothing states them."""


def choose(names: Collection[str], only: str | None, read_index: Callable[[str], bytes]) -> Choice:
    """The one model among the files `names` of a folder, or the one that file `only` belongs to.

    Raises Malformed where there is none, where there are several, or where a shard is missing.
    """
    weights = sorted(n for n in names if n.endswith(SUFFIXES))
    indices = sorted(n for n in names if n.endswith(INDEX))
    if only is not None and not only.endswith(INDEX):
        members = _shards_of(only, weights) or [only]
        return Choice(tuple(members), None, tuple(n for n in weights if n not in members))
    if only is not None:
        indices = [only]
    if len(indices) > 1:
        raise Malformed(f"文件夹里有 {len(indices)} 个索引（{'、'.join(indices)}），path 要写明是哪一个")
    if indices:
        members = sorted(set(_weight_map(read_index(indices[0])).values()))
        if lost := [n for n in members if n not in names]:
            raise Malformed(f"索引 {indices[0]} 里的分片 {lost[0]} 不在文件夹里，共缺 {len(lost)} 个")
        return Choice(tuple(members), indices[0], tuple(n for n in weights if n not in members))
    return _choose_plain(weights, names)


def _choose_plain(weights: list[str], names: Collection[str]) -> Choice:
    """Without an index: one file, or all parts of a split one; an adapter or a projector may lie beside it."""
    beside = [n for n in weights if n.startswith(ADAPTER) or PROJECTOR in n]
    groups: dict[str, list[str]] = {}
    for name in weights:
        if name not in beside:
            groups.setdefault(_SHARD.sub("", name), []).append(name)
    if len(groups) > 1:
        some = "、".join(sorted(groups)[:4])
        raise Malformed(f"文件夹里有 {len(groups)} 个模型（{some}），path 要写明是哪一个文件")
    if not groups and not beside:
        engines = [n for n in names if n.endswith(ENGINES)]
        if engines:
            raise Malformed(f"{engines[0]} 是编译后的引擎，数不出参数：path 写源检查点，引擎写在 engines")
        raise Malformed(f"没有权重文件（{'、'.join(SUFFIXES)}）")
    members = next(iter(groups.values()), [])
    if members and len(members) > 1 and not members[0].endswith(".gguf"):
        raise Malformed(f"有 {len(members)} 个分片却没有索引（*{INDEX}）")
    if members:
        members = _shards_of(members[0], members) or members
    return Choice((*members, *beside), None, ())


def _shards_of(name: str, names: Sequence[str]) -> list[str] | None:
    """All parts of the split GGUF file that `name` is part of, None when it is not split. Raises Malformed for a missing one."""
    match = _SHARD.search(name)
    if match is None or not name.endswith(".gguf"):
        return None
    total = int(match[2])
    wanted = [f"{name[: match.start()]}-{n:05d}-of-{match[2]}.gguf" for n in range(1, total + 1)]
    if lost := [n for n in wanted if n not in names]:
        raise Malformed(f"分片 {lost[0]} 不在文件夹里，共缺 {len(lost)} 个")
    return wanted


def _weight_map(data: bytes) -> dict[str, str]:
    content = json_object(data, "索引")
    found = content.get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(f, str) for f in found.values()):
        raise Malformed("索引里没有 weight_map")
    check_number(len(found))
    for file in found.values():
        if "/" in file or "\\" in file or file.startswith("."):
            raise Malformed(f"索引里的分片 {shown(file)} 不是文件夹里的文件名")
    return found


def read_checkpoint(choice: Choice, opened: Callable[[str], Source], texts: Mapping[str, bytes]) -> Checkpoint:
    """What the chosen files hold. `opened` gives a file of the model's folder. Raises Malformed, which names the file."""
    layouts = [_read(name, opened) for name in choice.weights]
    tensors = tuple(tensor for layout in layouts for tensor in layout.tensors)
    check_number(len(tensors))
    owners: dict[str, str] = {}
    for tensor in tensors:
        if tensor.name in owners:
            raise Malformed(f"{tensor.file}：张量 {shown(tensor.name)} 在 {owners[tensor.name]} 里已有一个")
        owners[tensor.name] = tensor.file
    total_size = None
    if choice.index is not None:
        total_size = _check_index(texts[choice.index], owners, tensors)
    _check_split(layouts)
    config = json_object(texts["config.json"], "config.json") if "config.json" in texts else {}
    inner: dict[str, Json] = next((config[key] for key in _NESTED if isinstance(config.get(key), dict)), {})
    metadata: dict[str, Json] = {}
    for layout in layouts:
        metadata.update(layout.metadata)
    return Checkpoint(
        "+".join(sorted({layout.format for layout in layouts})),
        tensors,
        {**config, **inner},
        _quantization(config, texts),
        metadata,
        {name: n for layout in layouts for name, n in layout.logical.items()},
        frozenset(name for layout in layouts for name in layout.auxiliary),
        _vocabulary({**config, **inner}, metadata, texts),
        total_size,
    )


def _read(name: str, opened: Callable[[str], Source]) -> Layout:
    try:
        source = opened(name)
        magic = source.read(0, min(4, source.size))
        if magic == GGUF_MAGIC:
            return read_gguf(source, name)
        if name.endswith(".onnx"):
            return read_onnx(source, name, lambda file: opened(file).size)
        if name.endswith(".safetensors"):
            return read_safetensors(source, name)
        return read_torch(source, name)
    except Malformed as error:
        raise Malformed(f"{name}：{error}") from None


def _check_index(data: bytes, owners: Mapping[str, str], tensors: Sequence[Tensor]) -> tuple[int, int] | None:
    """Index and shards name the same tensors in the same files; returns the sizes where only these differ."""
    stated = _weight_map(data)
    for name, file in stated.items():
        if owners.get(name) != file:
            raise Malformed(f"索引说张量 {shown(name)} 在 {shown(file)}，那里没有")
    if more := [name for name in owners if name not in stated]:
        raise Malformed(f"{owners[more[0]]} 里的张量 {shown(more[0])} 不在索引里，共 {len(more)} 个")
    metadata = json_object(data, "索引").get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    real = sum(t.end - t.start for t in tensors)
    return None if size == real or not isinstance(size, (int, float)) else (int(size), real)


def _check_split(layouts: Sequence[Layout]) -> None:
    """A split GGUF says how many tensors it has in all."""
    stated = {n for layout in layouts if (n := layout.metadata.get("split.tensors.count"))}
    if stated:
        real = sum(len(layout.tensors) for layout in layouts if "split.count" in layout.metadata)
        if stated != {real}:
            raise Malformed(f"分片合起来有 {real} 个张量，文件头声称 {'、'.join(map(str, sorted(stated)))} 个")


def _quantization(config: Mapping[str, Json], texts: Mapping[str, bytes]) -> dict[str, Json]:
    """How weights are packed, from wherever the tool that packed them wrote it down."""
    for found in (config.get("quantization_config"), config.get("quantization")):
        if isinstance(found, dict):
            return found
    for name in ("quantize_config.json", "quant_config.json"):
        if name in texts:
            return json_object(texts[name], name)
    return {}


def _vocabulary(config: Mapping[str, Json], metadata: Mapping[str, Json], texts: Mapping[str, bytes]) -> int | None:
    """How many tokens there are: rows of an embedding beyond them are padding."""
    length = metadata.get("tokenizer.ggml.tokens" + LENGTH_OF)
    if isinstance(length, int) and 0 < length < MOST_TOKENS:
        return length
    if "tokenizer.json" in texts:
        tokenizer = json_object(texts["tokenizer.json"], "tokenizer.json")
        model, added = tokenizer.get("model"), tokenizer.get("added_tokens")
        entries = model.get("vocab") if isinstance(model, dict) else None
        last = -1
        if isinstance(entries, dict):
            last = max((n for n in entries.values() if type(n) is int), default=-1)
        elif isinstance(entries, list):
            last = len(entries) - 1
        extra = (t.get("id") for t in added if isinstance(t, dict)) if isinstance(added, list) else ()
        last = max([last, *(n for n in extra if type(n) is int)])
        if 0 <= last < MOST_TOKENS:
            return last + 1
    size = config.get("vocab_size")
    return size if type(size) is int and 0 < size < MOST_TOKENS else None


def sample(tensor: Tensor, opened: Callable[[str], Source], seed: int) -> tuple[bytes, ...]:
    """Bytes of a matrix at places that the seed draws, the same share of the way through each; () for what is small.

    Of the generator only random() is used, which is guaranteed to stay. Raises Malformed where the record lacks them.
    """
    size, length = tensor.end - tensor.start, max(WINDOW, 4 * tensor.unit)
    if size < max(SAMPLED_FROM, 2 * length) or len(tensor.shape) < 2:
        return ()
    draw = random.Random(seed)
    source = opened(tensor.file)
    return tuple(
        source.read(tensor.start + math.floor(draw.random() * (size - length)), length) for _ in range(WINDOWS)
    )
