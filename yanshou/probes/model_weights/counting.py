"""From tensors to parameters: every tensor counted in logical elements, and left out for at most one reason.

It is for one number that an expert can take apart again. It must never count what cannot be a trained weight, never count the same
bytes twice, and never believe a packing that the tensors beside it contradict. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from yanshou.formats.tensors import Tensor
from yanshou.harness.basics import Json
from yanshou.harness.model import Exclusion, Severity, Validity
from yanshou.probes.model_weights.checkpoint import Checkpoint

REASONS = {
    "WGT-X-QUANT": "量化的缩放、零点、分组索引等辅助张量",
    "WGT-X-BUFFER": "不参加训练的缓冲：整数、布尔、位置与频率表、统计量",
    "WGT-X-STATE": "优化器状态与滑动平均副本",
    "WGT-X-LORA": "LoRA 等适配器",
    "WGT-X-DRAFT": "投机解码的草稿头与多词元预测层",
    "WGT-X-ALIAS": "与其他张量共用同一段数据",
    "WGT-X-TIED": "与词嵌入绑定的输出头",
    "WGT-X-CONST": "抽到的字节全为同一个值的矩阵（填充）",
    "WGT-X-COPY": "抽到的字节与另一个张量完全相同的矩阵（复制）",
    "WGT-X-PADDING": "词表之外的嵌入行",
    "WGT-X-VISION": "视觉、音频编码器与投影（承诺不计）",
    "WGT-X-INACTIVE": "单个词元不激活的专家（承诺按激活参数）",
}
"""Codes in the order in which they apply; a tensor is left out for the first."""

_AUXILIARY = re.compile(
    r"(^|\.)(qzeros|scales|biases|g_idx|perm|zeros|weight_scale(_inv|_2)?|weight_zero_point|weight_g_idx|weight_shape"
    r"|weight_global_scale|input_(global_)?scale|output_scale|[kv]_scale|SCB|scale_inv)$"
    r"|\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*|weight_format)$|_scales$"
)
_BUFFER = re.compile(
    r"inv_freq|rope_freqs|rope_factors|rotary_emb|position_ids|masked_bias|attn\.bias$|num_batches_tracked|running_(mean|var)"
    r"|causal_mask|alibi"
)
_STATE = re.compile(r"(^|\.)(optimizer\w*|ema|ema_model|model_ema|exp_avg(_sq)?|momentum_buffer|lr_schedulers?)(\.|$)")
_LORA = re.compile(r"lora_|\.lora\.|ia3_|prompt_encoder")
_DRAFT = re.compile(r"(^|\.)(draft\w*|medusa\w*|eagle\w*|mtp\w*|nextn\w*|speculator\w*)(\.|$)")
_VISION = re.compile(
    r"(^|\.)(visual|vision\w*|vit|vpm|image_\w+|img_\w+|clip\w*|siglip\w*|audio\w*|whisper\w*|apm|mm_projector|multi_modal_\w+"
    r"|multimodal_\w+|mlp1|resampler|aligner|connector|perceiver\w*|embed_vision|embed_audio)\.|^(v|mm|a)\."
)
_EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|token_embd|lm_head)\.weight$|^output\.weight$"
)
_INPUT = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|token_embd)\.weight$")
_HEAD = re.compile(r"(^|\.)lm_head\.weight$|^output\.weight$")
_EXPERT = re.compile(r"^(?P<group>.*\.experts)\.(?P<number>\d+)\.")
_FUSED = re.compile(r"(\.experts\.(gate_up_proj|down_proj|w1|w2|w3|gate_proj|up_proj)|_exps)(\b|_)")
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_INTEGERS = {
    "BOOL",
    "I16",
    "U16",
    "I32",
    "U32",
    "I64",
    "U64",
    "INT16",
    "UINT16",
    "INT32",
    "UINT32",
    "INT64",
    "UINT64",
    "STRING",
}
"""Storage types of no weight that nobody has packed; those of 8 bits are weights of quantised models."""
_USED = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_topk",
    "top_k_experts",
    "moe_top_k",
    "num_selected_experts",
)
_NOMINAL = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)\s*[bB](?![A-Za-z0-9])")


@dataclass(frozen=True)
class Experts:
    """Experts of a mixture: how many there are of each in the files, how many a token uses (None: nothing says it)."""

    number: int
    used: int | None


@dataclass(frozen=True)
class Tally:
    """A counted checkpoint. gross - sum of the exclusions = net. `active`: what one token uses, None where nothing says it."""

    gross: int
    exclusions: tuple[Exclusion, ...]
    net: int
    embedding: int
    vision: int
    experts: Experts | None
    active: int | None
    stored: int
    types: Mapping[str, int]
    validity: tuple[Validity, ...]


@dataclass
class _Sheet:
    """Tensors with their logical elements, and what has been taken off each."""

    checkpoint: Checkpoint
    logical: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))

    def take(self, code: str, tensor: Tensor, number: int | None = None) -> None:
        """Leave out `number` elements of a tensor, all that is left by default."""
        number = self.left[tensor.name] if number is None else min(number, self.left[tensor.name])
        self.left[tensor.name] -= number
        self.taken[code] += number

    def remaining(self) -> Iterator[Tensor]:
        """Tensors of which something is left, in their order."""
        return (t for t in self.checkpoint.tensors if self.left[t.name])


def tally(
    checkpoint: Checkpoint, samples: Mapping[str, tuple[bytes, ...]], moe: str | None, vision: str | None
) -> Tally:
    """Count. `samples`: bytes drawn from each matrix; `moe`: "active" counts what one token uses; `vision`: "excluded"."""
    validity: list[Validity] = []
    by_name = {t.name: t for t in checkpoint.tensors}
    sheet = _Sheet(checkpoint)
    for tensor in checkpoint.tensors:
        packed = _packed(tensor, by_name, checkpoint, validity)
        sheet.logical[tensor.name] = sheet.left[tensor.name] = tensor.elements if packed is None else packed
        if packed is None and tensor.dtype in _INTEGERS and _is_suspicious(tensor, checkpoint):
            text = f"张量 {tensor.name} 是整数类型 {tensor.dtype}，打包方式或位数没有写明，没有计入：参数量可能偏少"
            validity.append(Validity("WGT-V09", Severity.WARNING, text))
    gross = sum(sheet.left.values())
    unpacked = {name for name, n in sheet.logical.items() if n != by_name[name].elements}
    for code, hits in _by_name(checkpoint, by_name, unpacked).items():
        for tensor in list(sheet.remaining()):
            if hits(tensor):
                sheet.take(code, tensor)
    _take_shared(sheet, by_name)
    _take_sampled(sheet, samples)
    _take_padding(sheet)
    vision_part = sum(sheet.left[t.name] for t in sheet.remaining() if _VISION.search(t.name))
    if vision == "excluded":
        for tensor in list(sheet.remaining()):
            if _VISION.search(tensor.name):
                sheet.take("WGT-X-VISION", tensor)
        vision_part = 0
    experts, idle = _experts(sheet, validity)
    active = None if idle is None else sum(sheet.left.values()) - sum(idle.values())
    if moe == "active" and idle:
        for name, number in idle.items():
            sheet.take("WGT-X-INACTIVE", by_name[name], number)
    for code, what in (("WGT-X-CONST", "恒值（填充）"), ("WGT-X-COPY", "与其他张量逐字节相同")):
        if number := sheet.taken[code]:
            text = f"有 {number} 个参数（{number / gross:.1%}）所在的矩阵抽样{what}，已剔除，请查明来历"
            validity.append(Validity("WGT-V13", Severity.WARNING, text))
    types: dict[str, int] = {}
    for tensor in sheet.remaining():
        types[tensor.dtype] = types.get(tensor.dtype, 0) + sheet.left[tensor.name]
    return Tally(
        gross,
        tuple(Exclusion(code, text, sheet.taken[code]) for code, text in REASONS.items()),
        sum(sheet.left.values()),
        sum(sheet.left[t.name] for t in sheet.remaining() if _EMBEDDING.search(t.name)),
        vision_part,
        experts,
        active,
        sum(t.elements for t in checkpoint.tensors),
        types,
        tuple(validity),
    )


# What one tensor is


def _by_name(
    checkpoint: Checkpoint, by_name: Mapping[str, Tensor], unpacked: set[str]
) -> dict[str, Callable[[Tensor], object]]:
    """Reasons that a name and a type give, in their order."""
    layers, extra = (checkpoint.config.get(k) for k in ("num_hidden_layers", "num_nextn_predict_layers"))

    def auxiliary(tensor: Tensor) -> bool:
        return tensor.name in checkpoint.auxiliary or (
            tensor.name not in unpacked and bool(_AUXILIARY.search(tensor.name)) and _has_main(tensor.name, by_name)
        )

    def draft(tensor: Tensor) -> bool:
        layer = _LAYER.search(tensor.name)
        beyond = layer is not None and type(layers) is int and bool(extra) and int(layer[1]) >= layers
        return beyond or bool(_DRAFT.search(tensor.name))

    return {
        "WGT-X-QUANT": auxiliary,
        "WGT-X-BUFFER": lambda t: _BUFFER.search(t.name) or (t.dtype in _INTEGERS and t.name not in unpacked),
        "WGT-X-STATE": lambda t: _STATE.search(t.name),
        "WGT-X-LORA": lambda t: _LORA.search(t.name),
        "WGT-X-DRAFT": draft,
    }


def _has_main(name: str, by_name: Mapping[str, Tensor]) -> bool:
    """Whether the tensor that an auxiliary one belongs to is there: a model may call a true weight `scales`."""
    stem = name
    for _ in range(3):
        stem = stem.rpartition(".")[0]
        if any(f"{stem}.{main}" in by_name for main in ("weight", "qweight", "weight_packed")) or stem in by_name:
            return True
    return name.endswith("_scales") and f"{name[: -len('_scales')]}_blocks" in by_name


def _is_suspicious(tensor: Tensor, checkpoint: Checkpoint) -> bool:
    """A large integer matrix that is neither a table of positions nor a scale."""
    return (
        len(tensor.shape) > 1
        and tensor.elements >= 1 << 16
        and tensor.name not in checkpoint.auxiliary
        and not _AUXILIARY.search(tensor.name)
        and not _BUFFER.search(tensor.name)
    )


def _packed(
    tensor: Tensor, by_name: Mapping[str, Tensor], checkpoint: Checkpoint, validity: list[Validity]
) -> int | None:
    """Logical elements of a tensor that holds several in one; None where it holds itself."""
    if tensor.name in checkpoint.logical:
        return checkpoint.logical[tensor.name]
    stem, _, last = tensor.name.rpartition(".")
    settings = checkpoint.quantization
    scales = by_name.get(f"{stem}.scales") or by_name.get(f"{stem}.weight_scale")
    group = _number(settings, "group_size", "q_group_size")
    if last == "qweight" and tensor.dtype in ("I32", "U32"):
        zeros = by_name.get(f"{stem}.qzeros")
        stated = _number(settings, "bits", "w_bit")
        seen = (
            Fraction(32 * zeros.shape[-1], scales.shape[-1]) if zeros and scales and _matrices(zeros, scales) else None
        )
        return _by_bits(tensor, 32, stated, seen, scales, group, validity)
    if last == "weight_packed" and tensor.dtype in ("I32", "U32", "U8"):
        bits, group = _compressed(settings)
        width = 8 if tensor.dtype == "U8" else 32
        return _by_bits(tensor, width, 4 if width == 8 else bits, None, scales, 0 if width == 8 else group, validity)
    if last == "weight" and tensor.dtype == "U32" and scales is not None:
        seen = None
        if group and _matrices(tensor, scales):
            seen = Fraction(32 * tensor.shape[-1], scales.shape[-1] * group)
        return _by_bits(tensor, 32, _number(settings, "bits"), seen, None, 0, validity)
    if tensor.dtype == "U8":
        if any(f"{tensor.name}.quant_state.bitsandbytes__{kind}" in by_name for kind in ("nf4", "fp4")):
            return tensor.elements * 2
        if tensor.name.endswith("_blocks"):
            fours = by_name.get(tensor.name[: -len("_blocks")] + "_scales")
            if fours is not None and fours.elements * 16 == tensor.elements:
                return tensor.elements * 2
    return None


def _matrices(*tensors: Tensor) -> bool:
    return all(len(t.shape) == 2 and t.elements for t in tensors)


def _number(settings: Mapping[str, Json], *names: str) -> int | None:
    return next((settings[n] for n in names if type(settings.get(n)) is int), None)


def _compressed(settings: Mapping[str, Json]) -> tuple[int | None, int | None]:
    """Bits and group size of the first group of a compressed-tensors configuration."""
    groups = settings.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            return _number(weights, "num_bits"), _number(weights, "group_size")
    return None, None


def _by_bits(
    tensor: Tensor,
    width: int,
    stated: int | None,
    seen: Fraction | None,
    scales: Tensor | None,
    group: int | None,
    validity: list[Validity],
) -> int | None:
    """Elements of `stated` bits in words of `width`; None where nothing says how many bits.

    Zero points (`seen`) or a number of groups that contradict it void the count.
    """
    if stated is not None and not 1 <= stated <= width:
        stated = None
    bits = Fraction(stated) if stated is not None else seen
    if bits is None or not 1 <= bits <= width:
        return None
    logical = tensor.elements * width / bits
    wrong = seen is not None and seen != bits
    if not wrong and scales is not None and group and group > 0:
        wrong = not Fraction(1, 2) < logical / max(scales.elements * group, 1) <= 1
    if wrong or logical.denominator != 1:
        text = f"张量 {tensor.name} 的打包位数 {bits} 与旁边的零点或缩放张量不符：参数量不可信"
        validity.append(Validity("WGT-V03", Severity.INVALID, text))
    return int(logical)


# What several tensors are


def _take_shared(sheet: _Sheet, by_name: Mapping[str, Tensor]) -> None:
    """Bytes that an earlier tensor has counted, and an output head that the configuration says is the embedding."""
    file, covered = "", 0
    for tensor in sorted(sheet.remaining(), key=lambda t: (t.file, t.start, -t.end)):
        if tensor.file != file:
            file, covered = tensor.file, 0
        shared = min(tensor.end, covered) - tensor.start
        if shared > 0 and tensor.end > tensor.start:
            share = Fraction(shared, tensor.end - tensor.start)
            sheet.take("WGT-X-ALIAS", tensor, int(sheet.logical[tensor.name] * share))
        covered = max(covered, tensor.end)
    if sheet.checkpoint.config.get("tie_word_embeddings") is True:
        inputs = [t for t in sheet.remaining() if _INPUT.search(t.name)]
        for tensor in list(sheet.remaining()):
            if _HEAD.search(tensor.name) and any(t.shape == tensor.shape for t in inputs):
                sheet.take("WGT-X-TIED", tensor)


def _take_sampled(sheet: _Sheet, samples: Mapping[str, tuple[bytes, ...]]) -> None:
    """Matrices that are one value throughout, or the same as one before."""
    seen: set[tuple[str, int, tuple[bytes, ...]]] = set()
    for tensor in list(sheet.remaining()):
        windows = samples.get(tensor.name, ())
        if not windows:
            continue
        if all(window[tensor.unit :] == window[: -tensor.unit] for window in windows):
            sheet.take("WGT-X-CONST", tensor)
            continue
        key = (tensor.dtype, tensor.end - tensor.start, windows)
        if key in seen:
            sheet.take("WGT-X-COPY", tensor)
        seen.add(key)


def _take_padding(sheet: _Sheet) -> None:
    """Rows of embedding and head beyond the vocabulary."""
    tokens = sheet.checkpoint.vocabulary
    if tokens is None:
        return
    for tensor in list(sheet.remaining()):
        rows = tensor.shape[0] if len(tensor.shape) == 2 else 0
        if rows > tokens and _EMBEDDING.search(tensor.name):
            sheet.take("WGT-X-PADDING", tensor, (rows - tokens) * (sheet.logical[tensor.name] // rows))


def _experts(sheet: _Sheet, validity: list[Validity]) -> tuple[Experts | None, dict[str, int] | None]:
    """The experts, and of each tensor the elements that one token leaves idle; None where nothing says how many it uses."""
    members: dict[str, list[tuple[Tensor, int | None]]] = {}
    for tensor in sheet.remaining():
        if match := _EXPERT.match(tensor.name):
            members.setdefault(match["group"], []).append((tensor, int(match["number"])))
        elif _FUSED.search(tensor.name) and len(tensor.shape) > 1:
            members.setdefault(tensor.name, []).append((tensor, None))
    if not members:
        return None, {}
    sizes = {
        group: len({number for _, number in found}) if found[0][1] is not None else found[0][0].shape[0]
        for group, found in members.items()
    }
    used = _used(sheet.checkpoint)
    most = max(sizes.values())
    if used is None or not 0 < used <= min(sizes.values()):
        text = f"有 {most} 个专家，但没有可信的每词元专家数（{'没有写' if used is None else used}），激活参数不给出"
        validity.append(Validity("WGT-V12", Severity.WARNING, text))
        return Experts(most, None), None
    idle = {
        tensor.name: int(sheet.left[tensor.name] * Fraction(sizes[group] - used, sizes[group]))
        for group, found in members.items()
        for tensor, _ in found
    }
    return Experts(most, used), idle


def _used(checkpoint: Checkpoint) -> int | None:
    found = _number(checkpoint.config, *_USED)
    if found is None:
        found = next(
            (v for k, v in checkpoint.metadata.items() if k.endswith(".expert_used_count") and type(v) is int), None
        )
    return found


# What a model is called


def nominal(text: str) -> tuple[Decimal, Decimal] | None:
    """(parameters, half of the last digit written) that a name such as 7B or 1.8B stands for, None for another text."""
    match = _NOMINAL.search(text)
    if match is None:
        return None
    value = Decimal(match[1])
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return value * 10**9, Decimal(10) ** exponent * 10**9 / 2


def nominal_of(checkpoint: Checkpoint, names: Sequence[str]) -> str | None:
    """The first of the model's own names that says a size."""
    own = (
        checkpoint.metadata.get("general.size_label"),
        checkpoint.config.get("_name_or_path"),
        checkpoint.metadata.get("general.name"),
    )
    for text in (*own, *names):
        if isinstance(text, str) and nominal(text) is not None:
            return text[:80]
    return None


Standing = Literal["reaches", "borderline", "below"]


def standing(net: int, size: tuple[Decimal, Decimal]) -> Standing:
    """How a count stands to a nominal size: at or above it, below it but rounding to it, or clearly below it."""
    value, half = size
    return "reaches" if net >= value else "borderline" if net >= value - half else "below"
