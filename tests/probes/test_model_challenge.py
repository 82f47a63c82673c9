"""Is what serves what was counted: the same questions to the running service and to the counted files."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, record

from tests.model_files import gguf, gguf_pair
from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Count, Validity
from yanshou.probes.model_weights.analyse import analyse
from yanshou.probes.model_weights.capture import capture
from yanshou.probes.model_weights.spec import Params, estimate

ASKED = 10
Reply = Callable[[dict[str, Any]], Any]


@contextmanager
def service(reply: Reply) -> Iterator[str]:
    """An HTTP service that answers each request's object."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = json.dumps(reply(body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/completions"
        finally:
            server.shutdown()


def measured(folder: Path, model: Path, url: str, **changes: Any) -> tuple[dict[str, bytes], Params]:
    (folder / "challenge.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions(model)), encoding="utf-8")
    params = Params.model_validate(
        {
            "path": str(model),
            "watch_s": 0,
            "challenge": ASKED,
            "challenge_pool": "challenge.jsonl",
            "service": url,
            **changes,
        }
    )
    evidence = record(folder, capture, params)
    return {name: evidence.open(name).read() for name in evidence.streams()}, params


def questions(model: Path) -> list[dict[str, Any]]:
    if model.suffix == ".onnx":
        return [{"x": [np.random.default_rng(n).random(16).round(6).tolist()]} for n in range(2 * ASKED)]
    return [{"prompt": f"{n} 号路口应当"} for n in range(2 * ASKED)]


def result(streams: Mapping[str, bytes], params: Params) -> Count:
    return analyse(MemoryEvidence(streams), params, 1)  # type: ignore[arg-type]


def finding(streams: Mapping[str, bytes], params: Params, code: str = "WGT-V15") -> Validity:
    (found,) = [v for v in result(streams, params).validity if v.code == code]
    return found


# --- ONNX, run by ONNX Runtime -------------------------------------------------------------------------------------------


def network(path: Path, seed: int, hidden: int = 32) -> Path:
    """A planner of two layers: sixteen numbers in, four out."""
    draw = np.random.default_rng(seed)
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, draw.normal(0, 1, int(np.prod(shape))).astype(np.float32))
        for name, shape in (("a", [16, hidden]), ("b", [hidden, 4]))
    ]
    nodes = [("MatMul", ["x", "a"], ["h"]), ("Relu", ["h"], ["r"]), ("MatMul", ["r", "b"], ["y"])]
    graph = helper.make_graph(
        [helper.make_node(*node) for node in nodes], "planner",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])], weights,
    )  # fmt: skip
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    built.ir_version = 10
    onnx.save(built, path)
    return path


def planner(path: Path) -> Reply:
    """What a decision service answers that runs this file."""
    session = onnxruntime.InferenceSession(str(path))

    def reply(body: dict[str, Any]) -> Any:
        (found,) = session.run(None, {"x": np.asarray(body["x"], np.float32)})
        return {"result": {"logits": found.tolist(), "action": int(found.argmax())}}

    return reply


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Params]:
    folder = tmp_path_factory.mktemp("same")
    model = network(folder / "planner-7B.onnx", 1)
    with service(planner(model)) as url:
        return measured(folder, model, url, answer="result.logits")


def test_a_service_of_the_counted_file_gives_its_answers(reproduced: tuple[dict[str, bytes], Params]) -> None:
    found = result(*reproduced)
    assert codes(found.validity)["WGT-V15"] == "info"
    assert found.facts["binding"] == "reproduced"
    assert "服务两次答得相同的 10 道，由计数的文件在 ONNX Runtime 下重现 10 道" in finding(*reproduced).text
    (line, *_) = [json.loads(line) for line in reproduced[0]["challenge.jsonl"].splitlines()]
    assert line["served"][0] != line["counted"]  # numbers as the service writes them, not the same text


def test_a_smaller_model_behind_the_counted_files_is_void(tmp_path: Path) -> None:
    """The files that were counted are large; what answers is a small network that nobody counted."""
    model = network(tmp_path / "planner-7B.onnx", 1, hidden=256)
    with service(planner(network(tmp_path / "small.onnx", 2, hidden=8))) as url:
        streams, params = measured(tmp_path, model, url, answer="result.logits")
    found = finding(streams, params)
    assert (found.severity, "在用的不是计数的模型" in found.text) == ("invalid", True)
    assert result(streams, params).facts["binding"] == "declared"


def test_answers_that_are_no_outputs_prove_nothing(tmp_path: Path) -> None:
    model = network(tmp_path / "m.onnx", 1)
    with service(planner(model)) as url:
        found = finding(*measured(tmp_path, model, url, answer="result.action"), code="WGT-V16")
    assert (found.severity, "属声明" in found.text) == ("warning", True)


def changed(streams: Mapping[str, bytes], edit: Callable[[int, dict[str, Any]], None]) -> dict[str, bytes]:
    lines = [json.loads(line) for line in streams["challenge.jsonl"].splitlines()]
    for number, line in enumerate(lines):
        edit(number, line)
    return {**streams, "challenge.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode()}


@pytest.mark.parametrize(
    ("edit", "severity", "words"),
    [
        (lambda n, line: line.update(served=[line["served"][0], "[[9, 9, 9, 9]]"]), "warning", "同题两答不同"),
        (lambda n, line: line.update(status=["ok", "timeout" if n < 6 else "ok"]), "warning", "答得不全"),
        (lambda n, line: line.update(counted='{"y": [1, 2, 3, 4]}'), "warning", "分不出模型"),
        (lambda n, line: line.update(counted=f'{{"y": [{n}, 2, 3, 4]}}') if n < 3 else None, "warning", "由人判断"),
        (lambda n, line: line.update(counted=f'{{"y": [{n}, 2, 3, 4]}}') if n < 6 else None, "invalid", "不是计数的模型"),
        (lambda n, line: line.update(counted=f'{{"y": [{n}, 2, 3, 4]}}') if n < 1 else None, "info", "重现 9 道"),
    ],
)  # fmt: skip
def test_what_the_answers_show(
    reproduced: tuple[dict[str, bytes], Params], edit: Callable[[int, dict[str, Any]], None], severity: str, words: str
) -> None:
    found = finding(changed(reproduced[0], edit), reproduced[1])
    assert (found.severity, words in found.text) == (severity, True)


@pytest.mark.parametrize("damage", ["gone", "short", "torn"])
def test_a_damaged_record_of_it_is_invalid(reproduced: tuple[dict[str, bytes], Params], damage: str) -> None:
    streams, params = dict(reproduced[0]), reproduced[1]
    if damage == "gone":
        del streams["challenge.jsonl"]
    else:
        lines = streams["challenge.jsonl"].splitlines(keepends=True)
        streams["challenge.jsonl"] = b"".join(lines[:-1]) + (lines[-1][:20] if damage == "torn" else b"")
    assert codes(result(streams, params).validity) == {"WGT-V01": "invalid"}


# --- GGUF, run by a llama.cpp server -------------------------------------------------------------------------------------

RUNNER = """
import hashlib, json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
weights = open(given["-m"], "rb").read()
class Handler(BaseHTTPRequestHandler):
    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        self.answer({"status": "ok"})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["temperature"] == 0 and self.path == "/v1/completions"
        word = hashlib.sha256(weights + asked["prompt"].encode()).hexdigest()
        self.answer({"choices": [{"text": word}], "usage": {}})
    def log_message(self, *_):
        pass
server = HTTPServer((given["--host"], int(given["--port"])), Handler)
server.serve_forever()
"""
"""Takes the arguments of llama.cpp's server, and answers by its weights. The real one is in test_model_llama.py."""


def tiny(folder: Path, name: str, value: int) -> Path:
    folder.mkdir(exist_ok=True)
    data = gguf([("token_embd.weight", (32, 4), 0, 0)], gguf_pair("general.name", 8, b"\1\0\0\0\0\0\0\0m"), 1)
    (folder / name).write_bytes(data + bytes([value, 0, 128, 63]) * 128)
    return folder / name


@contextmanager
def llama(model: Path) -> Iterator[str]:
    """The service on the vehicle."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", RUNNER, "-m", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command) as child:
        try:
            yield f"http://127.0.0.1:{port}/v1/completions"
        finally:
            child.kill()


@pytest.mark.parametrize(("served", "severity"), [("counted.gguf", "info"), ("other.gguf", "invalid")])
def test_a_gguf_is_run_by_the_evaluators_own_server(tmp_path: Path, served: str, severity: str) -> None:
    counted = tiny(tmp_path / "model", "counted.gguf", 1)
    tiny(tmp_path / "other", "other.gguf", 2)
    with llama(next(tmp_path.rglob(served))) as url:
        wait_for(url)
        streams, params = measured(tmp_path, counted, url, runner=[sys.executable, "-c", RUNNER])
    assert finding(streams, params).severity == severity


def wait_for(url: str) -> None:
    while True:
        try:
            urllib.request.urlopen(url.replace("/v1/completions", "/health")).close()
            return
        except OSError:
            time.sleep(0.05)


def test_what_cannot_be_run_is_declared(tmp_path: Path) -> None:
    counted = tiny(tmp_path / "model", "counted.gguf", 1)
    with service(lambda body: {"choices": [{"text": body["prompt"]}]}) as url:
        streams, params = measured(tmp_path, counted, url, service_model="m")
    found = finding(streams, params, "WGT-V16")
    assert (found.severity, "属声明" in found.text) == ("warning", True)
    assert result(streams, params).facts["binding"] == "declared"
    assert len(streams["challenge.jsonl"].splitlines()) == ASKED  # its answers are kept all the same


@pytest.mark.parametrize("runner", [["/no/such/llama-server"], [sys.executable, "-c", "raise SystemExit(1)"]])
def test_a_runner_that_does_not_start_is_refused(tmp_path: Path, runner: list[str]) -> None:
    counted = tiny(tmp_path / "model", "counted.gguf", 1)
    with service(lambda _body: {}) as url, pytest.raises(ProbeError) as error:
        measured(tmp_path, counted, url, runner=runner)
    assert error.value.problem.code == "WGT-E07"


def test_no_address_for_a_subject_is_refused(tmp_path: Path) -> None:
    counted = tiny(tmp_path / "model", "counted.gguf", 1)
    with pytest.raises(ProbeError) as error:
        measured(tmp_path, counted, "", service=None, services={"甲车": "http://127.0.0.1:9/"})
    assert error.value.problem.code == "WGT-E06"


@pytest.mark.parametrize(
    "wrong", [{"challenge": 5}, {"challenge": 5, "challenge_pool": "p"}, {"service": "ftp://x/"}, {"challenge": 201}]
)
def test_parameters_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate({"path": "m", **wrong})


def test_questions_take_time() -> None:
    plain = Params.model_validate({"path": "m", "watch_s": 0})
    asking = plain.model_copy(update={"challenge": 20})
    assert estimate(asking, None).seconds - estimate(plain, None).seconds == 100
