"""Questions to the running service and to the counted files: at temperature 0 the same model gives the same answers.

It is for binding what serves to what was counted, where the counted files can be run here: GGUF by a llama.cpp server of the
evaluator's, ONNX by ONNX Runtime in this process. It must never decide whether answers agree, and never ask a runner that was not
started from the counted file. Runs on bare Python 3.8; ONNX needs onnxruntime, which a bare terminal has not.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.model_latency.answer import Answer, Target
from yanshou.probes.model_latency.http_target import JsonTarget, OpenAiTarget
from yanshou.probes.model_latency.local_target import OnnxTarget, end
from yanshou.probes.model_latency.pool import digest_of, order, read_pool
from yanshou.probes.model_weights.streams import CHALLENGE, LLAMA, MOST_NUMBERS, MOST_TEXT, ONNX

if TYPE_CHECKING:
    from collections.abc import Callable

    from yanshou.probes.model_weights.spec import Params

    Ask = Callable[[int, Json], "tuple[str, str]"]
    """(status, answer) to a numbered input."""

LOOPBACK = "127.0.0.1"
TOKENS = 16
"""Long enough to tell models apart, short enough that another processor's rounding seldom turns a token."""
ANSWER_S, READY_S = 120.0, 300.0
PACE_S = 0.2


def challenge(params: Params, run: RunContext, format_: str, weights: Path) -> dict[str, Json]:
    """Ask the service twice and the counted model once; what happened, for model.json.

    Raises ProbeError WGT-E06 (no address), E07 (the runner does not start), LAT-E02 (pool), E04, E05 (ONNX Runtime).
    """
    pool = read_pool(run.folder, str(params.challenge_pool), params.challenge)
    inputs = [pool.inputs[i] for i in order(len(pool.inputs), params.challenge, run.seed, pool.sha256)]
    url = params.services.get(run.subject or "", params.service)
    if url is None:
        text = f"受检对象 {run.subject or '（没有写）'} 没有推理服务的地址"
        raise ProbeError("WGT-E06", text, "在 params.services 逐个写明，或写一个共同的 params.service")
    counted = _counted(params, format_, weights, url, run.folder)
    with _asking(_service(params, url, format_)) as served, counted as (by, own):
        stream = run.sink.stream(CHALLENGE)
        for number, body in enumerate(inputs):
            answers = [served(number, body), served(number, body)]
            line = {
                "input": digest_of(body),
                "served": [answer for _, answer in answers],
                "status": [status for status, _ in answers],
                "counted": None if own is None else own(number, body)[1],
            }
            stream.write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass") + b"\n")
            run.progress(Progress(number + 1, len(inputs), text="道挑战题"))
    return {"by": by, "pool": {"lines": len(pool.inputs), "sha256": pool.sha256}, "asked": len(inputs), "url": url}


def _service(params: Params, url: str, format_: str) -> Target:
    if format_ == "onnx":
        return JsonTarget(url, None, None, ANSWER_S, params.answer)
    settings: dict[str, Json] = {"max_tokens": TOKENS, "temperature": 0, "stream": False}
    if params.service_model is not None:
        settings["model"] = params.service_model
    return OpenAiTarget(url, None, None, ANSWER_S, settings)


@contextmanager
def _asking(target: Target) -> Iterator[Ask]:
    def ask(number: int, body: Json) -> tuple[str, str]:
        answer = Answer()
        with suppress(OSError):  # where it cannot, that is the status of the request
            target.ready()
        target.ask(target.prepare(number, body), answer)
        return answer.status, "".join(answer.parts)[:MOST_TEXT]

    try:
        yield ask
    finally:
        target.close()


@contextmanager
def _counted(params: Params, format_: str, weights: Path, url: str, folder: Path) -> Iterator[tuple[str, Ask | None]]:
    """What runs the counted files and how to ask it; ("", None) where nothing here can. Raises ProbeError."""
    if format_ == "onnx" and not params.engines:
        yield ONNX, _running(weights)
    elif format_ == "gguf" and params.runner and not params.engines:
        with _llama(params.runner, weights, folder) as port:
            parts = urlsplit(url)
            own = urlunsplit(("http", f"{LOOPBACK}:{port}", parts.path, parts.query, ""))
            with _asking(_service(params, own, format_)) as ask:
                yield LLAMA, ask
    else:
        yield "", None


def _running(weights: Path) -> Ask:
    model = OnnxTarget(weights)

    def ask(number: int, body: Json) -> tuple[str, str]:
        feeds = model.prepare(number, body)
        if feeds is None:
            return "garbled", ""
        outputs = {name: found.ravel().tolist()[:MOST_NUMBERS] for name, found in model.outputs(feeds).items()}
        return "ok", json.dumps(outputs, sort_keys=True)

    return ask


@contextmanager
def _llama(runner: Sequence[str], weights: Path, folder: Path) -> Iterator[int]:
    """A llama.cpp server of the counted file on a port of its own. Raises ProbeError WGT-E07."""
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    command = [*runner, "-m", str(weights.resolve()), "--host", LOOPBACK, "--port", str(port)]
    remedy = "runner 写 llama.cpp 的 llama-server（参数可跟在后面），先手工用计数的文件起一次"
    try:
        child = subprocess.Popen(
            command, cwd=str(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise ProbeError("WGT-E07", f"{runner[0]} 不能运行：{error.strerror}", remedy) from None
    try:
        deadline = time.monotonic() + READY_S
        while not _healthy(port):
            if child.poll() is not None or time.monotonic() > deadline:
                raise ProbeError("WGT-E07", f"{runner[0]} 没有用 {weights.name} 起来", remedy)
            time.sleep(PACE_S)
        yield port
    finally:
        end(child)


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=READY_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
