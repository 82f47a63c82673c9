from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, excluded, record

from tests.model_files import gguf, gguf_pair, sparse_safetensors, torch_file, view
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Count, Kind, Limit, Op, Verdict
from yanshou.kit.build import imported
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.model_weights import capture as capture_module
from yanshou.probes.model_weights.analyse import analyse
from yanshou.probes.model_weights.capture import capture
from yanshou.probes.model_weights.counting import nominal, standing
from yanshou.probes.model_weights.reference import POINTS, standard, write_safetensors
from yanshou.probes.model_weights.spec import SPEC, Params, estimate

Shapes = dict[str, tuple[str, list[int]]]
BYTES = {"F16": 2, "BF16": 2, "F32": 4, "I32": 4, "U32": 4, "U8": 1, "I8": 1, "I64": 8, "BOOL": 1}


def write(folder: Path, tensors: Shapes, name: str = "model.safetensors", seed: int = 1, **texts: Any) -> Path:
    """A model of random bytes in `folder`; `texts` are its JSON files by name without suffix."""
    folder.mkdir(exist_ok=True)
    sized = {n: (dtype, shape, BYTES[dtype] * math.prod(shape)) for n, (dtype, shape) in tensors.items()}
    write_safetensors(folder / name, sized, seed)
    for text, content in texts.items():
        (folder / f"{text}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def params(path: Any, **changes: Any) -> Params:
    return Params.model_validate({"path": str(path), "watch_s": 0, **changes})


def count(case: Path, given: Params, seed: int = 1) -> Count:
    case.mkdir(exist_ok=True)
    return analyse(record(case, capture, given, seed), given, seed)


def counted(tmp_path: Path, tensors: Shapes, texts: dict[str, Any] | None = None, **changes: Any) -> Count:
    write(tmp_path / "model", tensors, **(texts or {}))
    return count(tmp_path / "case", params(tmp_path / "model", **changes))


def left_out(found: Count) -> dict[str, int]:
    """Reasons that took something."""
    return {code: n for code, n in excluded(found).items() if n}


BODY: Shapes = {"model.layers.0.mlp.up_proj.weight": ("BF16", [100, 50]), "model.norm.weight": ("BF16", [50])}


# --- against the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    holder: list[Params] = []

    def through(_: Any, run: RunContext) -> None:
        with standard(true_value, run) as values:
            holder.append(Params.model_validate(values))
            capture(holder[0], run)

    evidence = record(tmp_path, through, None, 42)
    truth = json.loads(evidence.open("truth.json").read())
    found = analyse(evidence, holder[0], 42)
    assert (found.net, found.unit) == (truth["true"], "参数")
    assert codes(found.validity) == {"WGT-V08": "warning"}
    assert found.gross >= truth["n"]
    assert found.open == ()


def test_spec_and_parameters() -> None:
    assert Probe("model.weights").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "参数", 0.0)
    assert estimate(params("x", watch_s=10), None).seconds == 70
    for wrong in ({"nominal": "big"}, {"engines": ["a.engine"]}, {"build_log": "x"}, {"port": 0}, {"more": 1}):
        with pytest.raises(ValidationError):
            params("x", **wrong)


# --- what does not count -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "texts", "reasons"),
    [
        ({}, {}, {}),
        ({"model.layers.0.rotary_emb.inv_freq": ("F32", [64])}, {}, {"WGT-X-BUFFER": 64}),
        ({"model.position_ids": ("I64", [1, 512])}, {}, {"WGT-X-BUFFER": 512}),
        ({"optimizer.exp_avg.0": ("F32", [300, 20])}, {}, {"WGT-X-STATE": 6000}),
        ({"base.layers.0.q_proj.lora_A.weight": ("F16", [8, 50])}, {}, {"WGT-X-LORA": 400}),
        ({"medusa_head.0.weight": ("F16", [90, 50])}, {}, {"WGT-X-DRAFT": 4500}),
        (
            {"model.layers.1.eh_proj.weight": ("F16", [90, 50])},
            {"config": {"num_hidden_layers": 1, "num_nextn_predict_layers": 1}},
            {"WGT-X-DRAFT": 4500},
        ),
        (
            {"model.embed_tokens.weight": ("F16", [60, 50]), "lm_head.weight": ("F16", [60, 50])},
            {"config": {"tie_word_embeddings": True, "vocab_size": 60}},
            {"WGT-X-TIED": 3000, "net": 3000},
        ),
        (
            {"model.embed_tokens.weight": ("F16", [60, 50]), "lm_head.weight": ("F16", [60, 50])},
            {"config": {"vocab_size": 55}},
            {"WGT-X-PADDING": 500, "net": 5500},
        ),
        (
            {"model.embed_tokens.weight": ("F16", [60, 50])},
            {
                "config": {"vocab_size": 60},
                "tokenizer": {"model": {"vocab": {"a": 0, "b": 40}}, "added_tokens": [{"id": 44}, {"id": "x"}]},
            },
            {"WGT-X-PADDING": 750, "net": 2250},
        ),
    ],
)
def test_each_reason_takes_its_own(tmp_path: Path, more: Shapes, texts: dict, reasons: dict[str, int]) -> None:
    found = counted(tmp_path, {**BODY, **more}, texts)
    kept = reasons.pop("net", 0)
    assert left_out(found) == reasons
    assert found.net == 5050 + kept


def test_a_true_weight_may_be_called_scales(tmp_path: Path) -> None:
    assert counted(tmp_path, {**BODY, "model.router.scales": ("F16", [7])}).net == 5057


def test_vision_is_counted_as_the_commitment_says_and_asked_for_where_it_is_silent(tmp_path: Path) -> None:
    tensors = {**BODY, "visual.blocks.0.mlp.fc1.weight": ("F16", [100, 40]), "multi_modal_projector.w": ("F16", [9])}
    silent = counted(tmp_path, tensors)
    assert [reason.code for reason in silent.open] == ["undefined_reading"]
    assert dict(silent.columns)["视觉、音频编码器与投影"] == 4009
    given = params(tmp_path / "model", vision="included")
    assert (count(tmp_path / "b", given).net, count(tmp_path / "c", given).open) == (9059, ())
    without = count(tmp_path / "d", params(tmp_path / "model", vision="excluded"))
    assert (without.net, left_out(without), without.open) == (5050, {"WGT-X-VISION": 4009}, ())


def experts(number: int) -> Shapes:
    return {
        f"model.layers.0.mlp.experts.{n}.{part}.weight": ("F16", [100, 30])
        for n in range(number)
        for part in ("up", "down")
    }


def test_mixtures_total_and_active(tmp_path: Path) -> None:
    tensors = {**BODY, **experts(8), "model.layers.0.mlp.shared_experts.up.weight": ("F16", [100, 30])}
    config = {"config": {"num_experts_per_tok": 2}}
    total = counted(tmp_path, tensors, config, moe="total")
    assert (total.net, total.open) == (5050 + 3000 + 48000, ())
    assert dict(total.columns) == {"单个词元激活的参数": 5050 + 3000 + 12000}
    active = count(tmp_path / "b", params(tmp_path / "model", moe="active"))
    assert (active.net, left_out(active)) == (20050, {"WGT-X-INACTIVE": 36000})
    silent = count(tmp_path / "c", params(tmp_path / "model"))
    assert [reason.code for reason in silent.open] == ["undefined_reading"]
    assert codes(silent.validity).keys() == {"WGT-V08"}


@pytest.mark.parametrize("config", [{}, {"num_experts_per_tok": 9}, {"num_experts_per_tok": 0}])
def test_active_parameters_need_a_believable_number_of_experts(tmp_path: Path, config: dict[str, int]) -> None:
    found = counted(tmp_path, {**BODY, **experts(8)}, {"config": config}, moe="active")
    assert codes(found.validity)["WGT-V12"] == "warning"
    assert [reason.code for reason in found.open] == ["undefined_reading"]


def test_fused_experts(tmp_path: Path) -> None:
    fused: Shapes = {"model.layers.0.mlp.experts.gate_up_proj": ("F16", [4, 100, 30])}
    found = counted(tmp_path, {**BODY, **fused}, {"config": {"text_config": {"num_experts_per_tok": 1}}}, moe="active")
    assert found.net == 5050 + 3000


# --- padding and copies ------------------------------------------------------------------------------------------------


def test_matrices_of_one_value_and_copies_do_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", {f"layers.{n}.weight": ("BF16", [100, 50]) for n in range(4)})
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    size, start = 10_000, len(data) - 40_000
    data[start + size : start + 2 * size] = b"\x80\x3f" * 5000  # all ones
    data[start + 2 * size : start + 3 * size] = data[start : start + size]
    path.write_bytes(data)
    found = count(tmp_path / "case", params(folder))
    assert left_out(found) == {"WGT-X-CONST": 5000, "WGT-X-COPY": 5000}
    assert codes(found.validity) == {"WGT-V13": "warning", "WGT-V08": "warning"}


def test_fifteen_gigabytes_of_holes_are_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "Model-7B"
    folder.mkdir()
    sparse_safetensors(
        folder / "model.safetensors", {f"layers.{n}.weight": ("F32", [4096, 4096], 1 << 26) for n in range(4)}
    )
    found = count(tmp_path / "case", params(folder))
    assert (found.net, left_out(found)) == (0, {"WGT-X-CONST": 1 << 26})
    assert codes(found.validity).keys() == {"WGT-V04", "WGT-V08", "WGT-V11", "WGT-V13"}


def test_shared_storages_of_torch_count_once(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    content = {
        "flat": view("FloatStorage", "0", 6000, [6000]),
        "a": view("FloatStorage", "0", 6000, [40, 100]),
        "b": view("FloatStorage", "0", 6000, [20, 100], offset=4000),
        "lm_head.weight": view("HalfStorage", "1", 700, [70, 10]),
        "embed_tokens.weight": view("HalfStorage", "1", 700, [70, 10]),
    }
    (folder / "pytorch_model.bin").write_bytes(torch_file(content))
    found = count(tmp_path / "case", params(folder))
    assert (found.net, left_out(found)) == (6700, {"WGT-X-ALIAS": 6700})


def test_foreign_objects_in_a_pickle_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "m.pt").write_bytes(torch_file({"w": view("FloatStorage", "0", 10, [10]), "x": Path("a")}))
    found = count(tmp_path / "case", params(folder))
    assert (found.net, codes(found.validity)["WGT-V05"]) == (10, "warning")


# --- packed weights ----------------------------------------------------------------------------------------------------


def packed(kind: str) -> tuple[Shapes, dict[str, Any]]:
    """A matrix of 1024 by 512 in words or bytes, and what says how."""
    at = "model.layers.0.mlp.up_proj"
    scales = ("F16", [8, 512])
    if kind in ("gptq", "awq"):
        weight = [128, 512] if kind == "gptq" else [1024, 64]
        tensors = {f"{at}.qweight": ("I32", weight), f"{at}.qzeros": ("I32", [8, 64]), f"{at}.scales": scales}
        return tensors, {"config": {"quantization_config": {"quant_method": kind, "bits": 4, "group_size": 128}}}
    if kind == "gptq3":
        tensors = {f"{at}.qweight": ("I32", [96, 512]), f"{at}.qzeros": ("I32", [8, 48]), f"{at}.scales": scales}
        return tensors, {"quantize_config": {"bits": 3, "group_size": 128}}
    if kind == "compressed":
        group = {"group_0": {"weights": {"num_bits": 4, "group_size": 128}}}
        tensors = {
            f"{at}.weight_packed": ("I32", [512, 128]),
            f"{at}.weight_scale": ("F16", [512, 8]),
            f"{at}.weight_shape": ("I64", [2]),
        }
        return tensors, {
            "config": {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": group}}
        }
    if kind == "bitsandbytes":
        tensors = {
            f"{at}.weight": ("U8", [1024 * 256, 1]),
            f"{at}.weight.absmax": ("F32", [8192]),
            f"{at}.weight.quant_map": ("F32", [16]),
            f"{at}.weight.quant_state.bitsandbytes__nf4": ("U8", [90]),
        }
        return tensors, {"config": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}}
    if kind == "mxfp4":
        tensors = {f"{at}_blocks": ("U8", [1024, 16, 16]), f"{at}_scales": ("U8", [1024, 16])}
        return tensors, {}
    assert kind == "mlx"
    tensors = {
        f"{at}.weight": ("U32", [1024, 64]),
        f"{at}.scales": ("F16", [1024, 8]),
        f"{at}.biases": ("F16", [1024, 8]),
    }
    return tensors, {"config": {"quantization": {"bits": 4, "group_size": 64}}}


@pytest.mark.parametrize("kind", ["gptq", "awq", "gptq3", "compressed", "bitsandbytes", "mxfp4", "mlx"])
def test_packed_weights_count_as_before_packing(tmp_path: Path, kind: str) -> None:
    tensors, texts = packed(kind)
    found = counted(tmp_path, tensors, texts)
    assert found.net == 1024 * 512
    assert codes(found.validity) == {"WGT-V08": "warning"}
    assert left_out(found).keys() <= {"WGT-X-QUANT", "WGT-X-BUFFER"}
    assert found.facts["stored_elements"] < found.net


@pytest.mark.parametrize(
    ("kind", "bits"), [("gptq", 2), ("gptq", 8), ("awq", 2), ("gptq3", 4), ("compressed", 2), ("mlx", 2)]
)
def test_packing_that_the_tensors_contradict_voids_the_count(tmp_path: Path, kind: str, bits: int) -> None:
    tensors, texts = packed(kind)
    settings = next(iter(texts.values()))
    settings = settings.get("quantization_config") or settings.get("quantization") or settings
    if "config_groups" in settings:
        settings["config_groups"]["group_0"]["weights"]["num_bits"] = bits
    else:
        settings["bits"] = bits
    assert codes(counted(tmp_path, tensors, texts).validity)["WGT-V03"] == "invalid"


def test_packing_that_nobody_states_is_seen_in_the_zero_points_or_named(tmp_path: Path) -> None:
    tensors, _ = packed("gptq")
    assert counted(tmp_path, tensors).net == 1024 * 512
    del tensors["model.layers.0.mlp.up_proj.qzeros"]
    write(tmp_path / "other", tensors)
    found = count(tmp_path / "b", params(tmp_path / "other"))
    assert (found.net, codes(found.validity)["WGT-V09"]) == (0, "warning")


def test_unknown_packing_counts_nothing_and_is_named(tmp_path: Path) -> None:
    found = counted(tmp_path, {**BODY, "layers.0.codes": ("I32", [512, 512])})
    assert (found.net, codes(found.validity)["WGT-V09"]) == (5050, "warning")


# --- other formats -----------------------------------------------------------------------------------------------------


def test_gguf_blocks_vocabulary_experts_and_projector(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    words = b"".join(b"\1\0\0\0\0\0\0\0t" for _ in range(90))
    pairs = gguf_pair("tokenizer.ggml.tokens", 9, b"\x08\0\0\0" + (90).to_bytes(8, "little") + words)
    pairs += gguf_pair("qwen.expert_used_count", 4, (1).to_bytes(4, "little"))
    sizes = (100 * 64 // 32 * 34 + 16, 4 * 64 * 32 // 32 * 34)
    tensors = [("token_embd.weight", [64, 100], 8, 0), ("blk.0.ffn_up_exps.weight", [64, 32, 4], 8, sizes[0])]
    data = gguf(tensors, pairs, 2)
    (folder / "m.gguf").write_bytes(data + os.urandom(sum(sizes)))
    eyes = gguf([("v.patch_embd.weight", [64, 8], 0, 0)])
    (folder / "mmproj-m.gguf").write_bytes(eyes + os.urandom(2048))
    found = count(tmp_path / "case", params(folder, moe="active", vision="included"))
    assert left_out(found) == {"WGT-X-PADDING": 640, "WGT-X-INACTIVE": 6144}
    assert found.net == 90 * 64 + 2048 + 512


def test_split_gguf_needs_all_its_parts(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    total = gguf_pair("split.tensors.count", 5, (2).to_bytes(4, "little")) + gguf_pair("split.count", 2, b"\2\0")
    for number in (1, 2):
        part = gguf([(f"t{number}", [8], 0, 0)], total, 2, size=32)
        (folder / f"m-0000{number}-of-00002.gguf").write_bytes(part)
    assert count(tmp_path / "case", params(folder)).net == 16
    assert count(tmp_path / "b", params(folder / "m-00002-of-00002.gguf")).net == 16
    (folder / "m-00002-of-00002.gguf").write_bytes(gguf([], total, 2))
    with pytest.raises(ProbeError, match="分片合起来有 1 个张量"):
        count(tmp_path / "c", params(folder))
    (folder / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(ProbeError, match="不在文件夹里"):
        count(tmp_path / "d", params(folder))


def test_onnx_with_external_data(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    weights = helper.make_tensor("w", TensorProto.FLOAT16, [300, 20], os.urandom(12_000), raw=True)
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_model(helper.make_graph([], "g", [], [], [weights, shape]))
    onnx.save(graph, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=100)
    found = count(tmp_path / "case", params(folder))
    assert (found.net, left_out(found)) == (6000, {"WGT-X-BUFFER": 2})
    assert found.facts["files"].keys() == {"m.onnx", "m.data"}


# --- which model -------------------------------------------------------------------------------------------------------


def sharded(folder: Path, **changes: Any) -> Path:
    """Two shards and an index, into which `changes` are put."""
    write(folder, {"a": ("F16", [10])}, "model-00001-of-00002.safetensors")
    write(folder, {"b": ("F16", [20])}, "model-00002-of-00002.safetensors")
    places = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = {"metadata": {"total_size": 60}, "weight_map": places, **changes}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def test_shards_by_their_index(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    assert (count(tmp_path / "a", params(folder)).net) == 30
    assert count(tmp_path / "b", params(folder / "model.safetensors.index.json")).net == 30
    write(folder, {"all": ("F16", [30])}, "consolidated.safetensors")
    found = count(tmp_path / "c", params(folder))
    assert (found.net, codes(found.validity)["WGT-V14"]) == (30, "warning")
    sharded(folder, metadata={"total_size": 61})
    assert codes(count(tmp_path / "d", params(folder)).validity)["WGT-V10"] == "warning"


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ({"a": "model-00001-of-00002.safetensors", "b": "model-00003-of-00002.safetensors"}, "不在文件夹里"),
        ({"a": "model-00002-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}, "那里没有"),
        ({"a": "model-00001-of-00002.safetensors"}, None),
        ({"a": "../secret.safetensors"}, "不是文件夹里的文件名"),
        ({}, "没有 weight_map"),
        ([], "没有 weight_map"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, places: Any, why: str | None) -> None:
    folder = sharded(tmp_path / "model", weight_map=places)
    if why is None:  # half of a model, and says so
        found = count(tmp_path / "case", params(folder))
        assert (found.net, codes(found.validity).keys()) == (10, {"WGT-V08", "WGT-V10", "WGT-V14"})
        return
    with pytest.raises(ProbeError, match=why) as error:
        count(tmp_path / "case", params(folder))
    assert error.value.problem.code == "WGT-E02"


def test_a_tensor_that_the_index_hides_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    write(folder, {"b": ("F16", [20]), "c": ("F16", [5])}, "model-00002-of-00002.safetensors")
    with pytest.raises(ProbeError, match="不在索引里"):
        count(tmp_path / "case", params(folder))


def test_what_is_no_one_model_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ProbeError, match="没有权重文件"):
        count(tmp_path / "a", params(folder))
    (folder / "m.engine").write_bytes(b"ftrt")
    with pytest.raises(ProbeError, match="编译后的引擎"):
        count(tmp_path / "b", params(folder))
    write(folder, BODY, "one.safetensors")
    write(folder, BODY, "two.safetensors")
    with pytest.raises(ProbeError, match="2 个模型"):
        count(tmp_path / "c", params(folder))
    assert count(tmp_path / "d", params(folder / "one.safetensors")).net == 5050
    with pytest.raises(ProbeError, match=r"找不到模型 modle.*是不是“model”"):
        count(tmp_path, params("modle"))
    (folder / "two.safetensors").unlink()
    (folder / "one.safetensors").write_bytes((folder / "one.safetensors").read_bytes()[:-1])
    with pytest.raises(ProbeError, match=r"one.safetensors：.*被截断") as error:
        count(tmp_path / "e", params(folder))
    assert "\n" not in str(error.value)


def test_headers_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "MAX_RECORDED", 100)
    with pytest.raises(ProbeError, match="文件头合起来超过"):
        counted(tmp_path, BODY)
    write(tmp_path / "model", BODY, config={"x": "y" * 1000})
    monkeypatch.setattr(capture_module, "MAX_HEADER", 500)
    with pytest.raises(ProbeError, match=r"config.json 超过") as error:
        count(tmp_path / "b", params(tmp_path / "model"))
    assert error.value.problem.code == "WGT-E03"


# --- names, and the verdict --------------------------------------------------------------------------------------------


def verdict(found: Count, limit: str = "0.001", unit: str = "B") -> tuple[Verdict, list[str]]:
    criterion = Criterion("S01-I01", Kind.MEASURED, Limit(Op.GE, Decimal(limit), unit), None, None, (), 0.95, 1)
    judged = judge_run(criterion, found, 0.05, None)
    return judged.verdict, [reason.code for reason in judged.reasons]


def test_counts_are_judged_in_the_unit_of_the_limit(tmp_path: Path) -> None:
    found = counted(tmp_path, {"w": ("F16", [1000, 1001])})
    assert verdict(found) == (Verdict.PASS, ["census"])
    assert verdict(found, "0.0011")[0] is Verdict.FAIL
    assert verdict(found, "1.001", "M")[0] is Verdict.PASS
    assert verdict(found, "7", "台(套)")[0] is Verdict.INVALID


def test_between_elements_and_nominal_is_for_experts(tmp_path: Path) -> None:
    tensors: Shapes = {"w": ("F16", [673, 1000])}
    found = counted(tmp_path, tensors, nominal="0.001B")
    assert [reason.code for reason in found.open] == ["expert_review"]
    assert verdict(found) == (Verdict.INCONCLUSIVE, ["expert_review"])
    by_elements = count(tmp_path / "b", params(tmp_path / "model", nominal="0.001B", basis="elements"))
    assert (by_elements.open, verdict(by_elements)[0]) == ((), Verdict.FAIL)
    named = tmp_path / "Name-0.001B-chat"
    (tmp_path / "model").rename(named)
    assert [r.code for r in count(tmp_path / "c", params(named)).open] == ["expert_review"]


@pytest.mark.parametrize(
    ("text", "net", "how"),
    [
        ("Llama-2-7b-hf", 6_738_415_616, "borderline"), ("7B", 6_500_000_000, "borderline"), ("7B", 6_499_999_999, "below"),
        ("7B", 7_000_000_000, "reaches"), ("qwen2.5-7B", 7_615_616_512, "reaches"), ("1.8B", 1_749_999_999, "below"),
        ("1.8 B", 1_750_000_000, "borderline"), ("8x7B", 0, None), ("A2.7B", 0, None), ("Bert", 0, None), ("7Bit", 0, None),
    ],
)  # fmt: skip
def test_nominal_sizes(text: str, net: int, how: str | None) -> None:
    size = nominal(text)
    assert (None if size is None else standing(net, size)) == how


def test_a_small_model_under_a_large_name_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "Pretender-7B", BODY)
    found = count(tmp_path / "case", params(folder))
    assert (codes(found.validity)["WGT-V11"], found.facts["nominal"]) == ("warning", "Pretender-7B")
    assert verdict(found, "7")[0] is Verdict.FAIL


# --- the files in use --------------------------------------------------------------------------------------------------

SERVER = """
import mmap, os, socket, sys
held = [open(p, "rb") for p in sys.argv[2:]]
maps = [mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) for f in held[:1]]
if sys.argv[1] == "unlink":
    os.unlink(sys.argv[2])
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""
BIG: Shapes = {"w": ("F16", [1024, 1024])}


def served(tmp_path: Path, how: str, *files: Path, **changes: Any) -> Count:
    command = [sys.executable, "-c", SERVER, how, *map(str, files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        port = int(child.stdout.readline())
        try:
            return count(tmp_path / "case", params(tmp_path / "model", port=port, **changes))
        finally:
            child.communicate()


def test_the_process_that_listens_holds_the_counted_file(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    found = served(tmp_path, "", tmp_path / "model/model.safetensors", watch_s=0.1)
    assert codes(found.validity) == {"WGT-V07": "info"}


def test_a_process_that_serves_another_model_voids_the_count(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    other = write(tmp_path / "other", BIG, "small.safetensors", seed=2) / "small.safetensors"
    assert codes(served(tmp_path, "", other).validity) == {"WGT-V06": "invalid"}


def test_a_second_model_beside_the_counted_one_is_named(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    other = write(tmp_path / "other", BIG, "draft.safetensors", seed=2) / "draft.safetensors"
    found = served(tmp_path, "", tmp_path / "model/model.safetensors", other)
    assert codes(found.validity) == {"WGT-V06": "warning", "WGT-V07": "info"}


def test_a_model_that_was_deleted_and_is_still_served_voids_the_count(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    other = write(tmp_path / "other", BIG, "gone.safetensors", seed=2) / "gone.safetensors"
    assert codes(served(tmp_path, "unlink", other).validity) == {"WGT-V06": "invalid"}


def test_a_process_that_holds_nothing_proves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    assert codes(served(tmp_path, "").validity) == {"WGT-V08": "warning"}


def test_a_port_where_nobody_listens_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    with pytest.raises(ProbeError) as error:
        count(tmp_path / "case", params(tmp_path / "model", port=1))
    assert error.value.problem.code == "WGT-E04"


@pytest.mark.parametrize("how", ["replace", "overwrite", "remove"])
def test_a_file_that_changes_between_the_digests_voids_the_count(tmp_path: Path, how: str) -> None:
    folder = write(tmp_path / "model", BIG)
    path = folder / "model.safetensors"
    fresh = write(tmp_path / "other", BIG, seed=2) / "model.safetensors"
    given = params(folder)
    changed: list[bool] = []

    def meddle(news: Progress) -> None:
        if not changed and news.done == news.planned // 2:
            changed.append(True)
            if how == "replace":
                fresh.replace(path)
            elif how == "overwrite":
                path.write_bytes(fresh.read_bytes())
            else:
                path.unlink()

    def through(_: Any, run: RunContext) -> None:
        capture(given, RunContext(run.sink, run.seed, run.folder, progress=meddle))

    (tmp_path / "case").mkdir()
    if how == "remove":
        with pytest.raises(ProbeError) as error:
            record(tmp_path / "case", through, given)
        assert error.value.problem.code == "WGT-E05"
        return
    found = analyse(record(tmp_path / "case", through, given), given, 1)
    assert codes(found.validity)["WGT-V02"] == "invalid"


def test_engines_are_declared_and_never_counted(tmp_path: Path) -> None:
    write(tmp_path / "model", {"w": ("F16", [1000, 1001])})
    (tmp_path / "case").mkdir()
    (tmp_path / "case/m.engine").write_bytes(b"ftrt" * 100)
    (tmp_path / "case/build.txt").write_text("trtexec --onnx=m.onnx", encoding="utf-8")
    given = params(tmp_path / "model", engines=["m.engine"], build_log="build.txt")
    evidence = record(tmp_path / "case", capture, given)
    found = analyse(evidence, given, 1)
    assert [reason.code for reason in found.open] == ["declared"]
    assert verdict(found) == (Verdict.INCONCLUSIVE, ["declared"])
    assert len(found.facts["engines"]["m.engine"]) == 64
    assert evidence.open("texts/build.log").read() == b"trtexec --onnx=m.onnx"
    with pytest.raises(ProbeError, match=r"找不到文件 x.engine"):
        count(tmp_path / "case", params(tmp_path / "model", engines=["x.engine"], build_log="build.txt"))


# --- evidence ----------------------------------------------------------------------------------------------------------


def streams(evidence: RunEvidence) -> dict[str, bytes]:
    return {name: evidence.open(name).read() for name in evidence.streams()}


def test_the_count_is_replayed_from_headers_without_the_weights(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG, config={"vocab_size": 10})
    given = params(tmp_path / "model")
    (tmp_path / "case").mkdir()
    evidence = record(tmp_path / "case", capture, given)
    before = analyse(evidence, given, 1)
    whole = streams(evidence)
    assert whole.keys() == {"model.json", "ranges/000.bin", "texts/config.json"}
    assert sum(map(len, whole.values())) < 2000
    (tmp_path / "model/model.safetensors").unlink()
    assert analyse(MemoryEvidence(whole), given, 1) == before  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "damage", ["no record", "cut record", "cut headers", "no headers", "other seed", "no text", "odd record"]
)
def test_damaged_evidence_is_invalid_and_never_an_exception(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "model", BIG, config={})
    given = params(tmp_path / "model")
    (tmp_path / "case").mkdir()
    whole = streams(record(tmp_path / "case", capture, given))
    if damage == "no record":
        del whole["model.json"]
    elif damage == "cut record":
        whole["model.json"] = whole["model.json"][:50]
    elif damage == "cut headers":
        whole["ranges/000.bin"] = whole["ranges/000.bin"][:-5]
    elif damage == "no headers":
        del whole["ranges/000.bin"]
    elif damage == "odd record":
        whole["model.json"] = json.dumps({**json.loads(whole["model.json"]), "engines": ["x"], "files": 7}).encode()
    elif damage == "no text":
        del whole["texts/config.json"]
    found = analyse(MemoryEvidence(whole), given, 2 if damage == "other seed" else 1)  # type: ignore[arg-type]
    assert codes(found.validity) == {"WGT-V01": "invalid"}
    assert (found.gross, found.net) == (0, 0)


def test_a_damaged_record_of_the_process_proves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "model", BIG)
    given = params(tmp_path / "model")
    (tmp_path / "case").mkdir()
    whole = streams(record(tmp_path / "case", capture, given))
    whole["model.json"] = json.dumps({**json.loads(whole["model.json"]), "port": 80}).encode()
    for process in (None, b"nonsense\n", b'{"processes": [{"files": [], "readable": false}]}\n'):
        parts = whole if process is None else {**whole, "process.jsonl": process}
        assert codes(analyse(MemoryEvidence(parts), given, 1).validity) == {"WGT-V08": "warning"}  # type: ignore[arg-type]


def test_a_kit_can_take_the_capture_along() -> None:
    modules, foreign = imported(("yanshou.probes.model_weights.capture", "yanshou.probes.model_weights.reference"))
    assert foreign == ()
    vermin = [str(Path(sys.executable).with_name("vermin")), "--no-tips", "--no-parse-comments", "-t=3.8-"]
    done = subprocess.run([*vermin, *map(str, modules.values())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
