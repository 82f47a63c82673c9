"""`make bench`: parameter counts of models of fifteen gigabytes (sparse files) beside truth and peers, with time and memory.

Every job is a process of its own. The whole capture reads every byte twice for its digests; counting alone reads headers.
"""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx

from tests.benchmarks.table import show
from tests.model_files import gguf, gguf_pair, sparse_safetensors

WIDTH, HIDDEN, LAYERS, TOKENS = 3584, 18944, 28, 152064
TRUE = 7_615_616_512
OURS = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.model_files import Disk
from yanshou.probes.model_weights.checkpoint import choose, read_checkpoint
from yanshou.probes.model_weights.counting import tally
folder = Path(sys.argv[1])
begin = time.perf_counter()
names = [p.name for p in folder.iterdir()]
sources = {}
opened = lambda name: sources.setdefault(name, Disk(folder / name))
texts = {n: (folder / n).read_bytes() for n in names if n.endswith(".json")}
checkpoint = read_checkpoint(choose(names, None, texts.__getitem__), opened, texts)
net = tally(checkpoint, {}, "total", "included").net
took = time.perf_counter() - begin
asked = sum(s.asked for s in sources.values())
print(json.dumps([net, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, asked]))
"""
BEFORE = """
import json, resource, sys, time
from pathlib import Path
begin = time.perf_counter()
"""
AFTER = """
print(json.dumps([net, time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
PEERS = {
    "safetensors": """
import math
from safetensors import safe_open
net = 0
for path in sorted(Path(sys.argv[1]).glob("*.safetensors")):
    with safe_open(path, "numpy") as f:
        net += sum(math.prod(f.get_slice(k).get_shape()) for k in f.keys())
""",
    "gguf": """
from gguf import GGUFReader
(path,) = Path(sys.argv[1]).glob("*.gguf")
net = sum(int(t.n_elements) for t in GGUFReader(path).tensors)
""",
    "onnx": """
import math, onnx
model = onnx.load(str(Path(sys.argv[1]) / "m.onnx"), load_external_data=False)
net = sum(math.prod(t.dims) for t in model.graph.initializer)
""",
}
CAPTURE = """
import json, resource, sys, time
from pathlib import Path
from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import RunContext
from yanshou.probes.contract import Probe
case, probe = Path(sys.argv[2]), Probe("model.weights")
params = probe.params({"path": sys.argv[1], "watch_s": 0})
begin = time.perf_counter()
with Ledger(case) as ledger:
    with RunWriter(ledger, "bench", {"purpose": "measurement", "indicator": "bench", "subject": None}) as run:
        probe.capture(params, RunContext(run.sink, 1, case))
        run.close(RunStatus.COMPLETED)
    (seen,) = runs_of(ledger.records)
took = time.perf_counter() - begin
evidence = seen.evidence(case)
begin = time.perf_counter()
found = probe.analyse(evidence, params, 1)
size = sum(evidence.acknowledged[s]["bytes"] for s in evidence.streams())
print(json.dumps([took, time.perf_counter() - begin, size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  found.gross, found.net]))
"""


def shapes() -> dict[str, tuple[int, ...]]:
    """A public model of 7.6 B parameters."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (TOKENS, WIDTH), "lm_head.weight": (TOKENS, WIDTH), "model.norm.weight": (WIDTH,)
    }  # fmt: skip
    for n in range(LAYERS):
        at = f"model.layers.{n}"
        found |= {f"{at}.self_attn.{k}_proj.weight": (512 if k in "kv" else WIDTH, WIDTH) for k in "qkvo"}
        found |= {f"{at}.self_attn.{k}_proj.bias": (512 if k in "kv" else WIDTH,) for k in "qkv"}
        found |= {f"{at}.mlp.{k}_proj.weight": (HIDDEN, WIDTH) for k in ("gate", "up")}
        found |= {f"{at}.mlp.down_proj.weight": (WIDTH, HIDDEN)}
        found |= {f"{at}.{k}_layernorm.weight": (WIDTH,) for k in ("input", "post_attention")}
    return found


def write_safetensors(folder: Path) -> None:
    """Four shards with an index."""
    names = list(shapes().items())
    places = {}
    for shard in range(4):
        file = f"model-{shard + 1:05d}-of-00004.safetensors"
        part = dict(names[shard::4])
        sparse_safetensors(folder / file, {n: ("BF16", s, 2 * math.prod(s)) for n, s in part.items()})
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 2 * TRUE}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def write_packed(folder: Path, awq: bool) -> None:
    """Four bits in words of 32."""
    tensors = {}
    for name, shape in shapes().items():
        if "_proj.weight" not in name:
            tensors[name] = ("F16", shape, 2 * math.prod(shape))
            continue
        stem, (out, into) = name.removesuffix("weight"), shape
        weight = (into, out // 8) if awq else (into // 8, out)
        groups = into // 128
        tensors[f"{stem}qweight"] = ("I32", weight, 4 * math.prod(weight))
        tensors[f"{stem}qzeros"] = ("I32", (groups, out // 8), groups * out // 2)
        tensors[f"{stem}scales"] = ("F16", (groups, out), 2 * groups * out)
    sparse_safetensors(folder / "model.safetensors", tensors)
    (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 128}), encoding="utf-8")


def write_gguf(folder: Path) -> None:
    """Q4_0 blocks, norms and biases in F32, a vocabulary of full size."""
    words = b"".join(struct.pack("<Q", 8) + b"%08d" % n for n in range(TOKENS))
    pairs = gguf_pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, TOKENS) + words)
    tensors, at = [], 0
    for name, shape in shapes().items():
        block, size, kind = (32, 18, 2) if len(shape) > 1 else (1, 4, 0)
        own = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight"}.get(name, name)
        tensors.append((own, tuple(reversed(shape)), kind, at))
        at += -(-(math.prod(shape) // block * size) // 32) * 32
    data = gguf(tensors, pairs, 1)
    (folder / "m.gguf").write_bytes(data)
    os.truncate(folder / "m.gguf", len(data) + at)


def write_onnx(folder: Path) -> None:
    """One file of external data."""
    tensors, at = [], 0
    for name, shape in shapes().items():
        tensor = onnx.TensorProto(name=name, dims=shape, data_type=onnx.TensorProto.BFLOAT16, data_location=1)
        for key, value in (("location", "m.data"), ("offset", at), ("length", 2 * math.prod(shape))):
            tensor.external_data.add(key=key, value=str(value))
        at += 2 * math.prod(shape)
        tensors.append(tensor)
    graph = onnx.helper.make_graph([], "g", [], [], tensors)
    (folder / "m.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    (folder / "m.data").touch()
    os.truncate(folder / "m.data", at)


def _child(code: str, *arguments: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Count each, beside the truth; then one whole capture."""
    here = str(Path(__file__).parents[2])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for kind, write, peer in (
            ("safetensors, 4 shards", write_safetensors, "safetensors"),
            ("GPTQ 4 bit", lambda f: write_packed(f, awq=False), "safetensors"),
            ("AWQ 4 bit", lambda f: write_packed(f, awq=True), "safetensors"),
            ("GGUF Q4_0", write_gguf, "gguf"),
            ("ONNX, external data", write_onnx, "onnx"),
        ):
            folder = Path(name) / kind
            folder.mkdir()
            write(folder)
            net, took, memory, asked = _child(OURS, str(folder), here)
            theirs, their_time, their_memory = _child(BEFORE + PEERS[peer] + AFTER, str(folder))
            size = sum(p.stat().st_size for p in folder.iterdir()) / 1e9
            rows.append(
                (kind, f"{size:.1f}", f"{TRUE:,}", f"{net:,.0f}", f"{1000 * took:.0f}", f"{memory:.0f}", f"{asked / 1000:.0f}",
                 f"{theirs:,.0f}", f"{1000 * their_time:.0f}", f"{their_memory:.0f}")
            )  # fmt: skip
        head = ("model", "GB", "true", "counted", "ms", "MB", "kB read", "library counts", "ms", "MB")
        show("Parameters from headers (peak memory of the whole process)", head, rows)
        case = Path(name) / "case"
        case.mkdir()
        took, replay, size, memory, gross, net = _child(CAPTURE, str(Path(name) / "safetensors, 4 shards"), str(case))
        numbers = (took, 4 * TRUE / took / 1e9, replay, size / 1000, memory, gross, net)
        forms = ("{:.1f}", "{:.2f}", "{:.2f}", "{:.0f}", "{:.0f}", "{:,.0f}", "{:,.0f}")
        row = [form.format(number) for form, number in zip(forms, numbers, strict=True)]
        head = ("s", "GB/s digested", "replay s", "evidence kB", "MB", "gross", "net (all holes: padding)")
        show("A whole capture of 15.2 GB with both digests", ("", *head), [("sparse safetensors", *row)])


if __name__ == "__main__":
    main()
