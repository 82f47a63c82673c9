"""Targets on this host: a command that answers line by line, and an ONNX model in this process.

It must never start a process for each request, whose start would be measured, and never read an answer to another request.
Runs on bare Python 3.8; ONNX needs onnxruntime and numpy, which a bare terminal has not.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.model_latency.answer import Answer, Timeout, now

LONGEST = 1 << 20
END_S = 5.0


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and see that it does."""
    child.terminate()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class CommandTarget:
    """A process that reads one JSON object a line and answers each with one line; it is started anew after it failed."""

    def __init__(self, command: Sequence[str], folder: Path, timeout_s: float) -> None:
        self._command, self._folder, self._timeout_s = list(command), folder, timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.connections = 0

    def ready(self) -> None:
        """Start the process where none runs. Raises OSError."""
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                self._command, cwd=str(self._folder), bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._rest = b""
            self.connections += 1

    def close(self) -> None:
        """Let it end, or end it."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.close()
            child.wait(END_S)
        except (subprocess.TimeoutExpired, OSError):
            child.kill()
            child.wait()
        child.stdout.close()

    def prepare(self, _number: int, body: Json) -> bytes:
        """The line that will be written."""
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"

    def ask(self, data: bytes, answer: Answer) -> None:
        """One line there, one line back. Everything that may go wrong is the answer's status."""
        try:
            self.ready()
            assert self._child is not None
            assert self._child.stdin is not None
            answer.start = now()
            self._child.stdin.write(data)
            answer.sent = now()
            line = self._line(answer)
            answer.bytes = len(line)
            answer.piece(answer.done, line.decode("utf-8", "replace").strip())
            answer.finish()
        except Timeout:
            answer.finish("timeout")
        except (OSError, EOFError):
            answer.finish("closed")
        answer.start = answer.start or now()
        if answer.status not in ("ok", "empty") and self._child is not None:
            self._child.kill()  # or its late answer would be taken for the next
            self.close()

    def _line(self, answer: Answer) -> bytes:
        assert self._child is not None
        assert self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        deadline = answer.start + round(self._timeout_s * 1e9)
        while b"\n" not in self._rest:
            left = (deadline - now()) / 1e9
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise Timeout
            data = os.read(descriptor, LONGEST)
            if not data or len(self._rest) > LONGEST:
                raise EOFError
            answer.byte = answer.byte or now()
            self._rest += data
        answer.done = now()
        line, _, self._rest = self._rest.partition(b"\n")
        return line


class OnnxTarget:
    """A model under ONNX Runtime in this process; an input is {name of an input of the model: nested lists}."""

    def __init__(self, path: Path) -> None:
        try:
            import numpy as np
            import onnxruntime as ort
        except ImportError as error:
            text = f"测 ONNX 模型要用 {error.name}，这台主机没有"
            raise ProbeError("LAT-E05", text, "pip install 'yanshou[onnx]'，或改测它的服务接口") from None
        try:
            self._session: Any = ort.InferenceSession(str(path))
        except Exception as error:  # onnxruntime's own errors share no base class
            text = " ".join(str(error).split())[:200]
            raise ProbeError(
                "LAT-E04", f"ONNX Runtime 打不开 {path.name}：{text}", "核对模型文件与它的外部数据"
            ) from None
        self._np = np
        self._inputs = {given.name: _dtype(given.type) for given in self._session.get_inputs()}
        self._outputs = [given.name for given in self._session.get_outputs()]
        self.connections = 1

    def ready(self) -> None:
        """It always is."""

    def close(self) -> None:
        """Nothing to end."""

    def prepare(self, _number: int, body: Json) -> Any:
        """The model's inputs as arrays; None where the input lacks one or is no array."""
        try:
            return {name: self._np.asarray(body[name], dtype) for name, dtype in self._inputs.items()}
        except (KeyError, TypeError, ValueError):
            return None

    def outputs(self, feeds: Any) -> dict[str, Any]:
        """Name -> array of one run that nobody times. Raises what ONNX Runtime raises."""
        return dict(zip(self._outputs, map(self._np.asarray, self._session.run(None, feeds))))  # noqa: B905  Python 3.8

    def ask(self, feeds: Any, answer: Answer) -> None:
        """One run. The digest of its outputs is made afterwards: that is not the model's time."""
        try:
            answer.start = answer.sent = now()
            outputs = self._session.run(None, feeds)
            answer.done = answer.byte = now()
            parts = [self._np.asarray(output) for output in outputs]
            answer.bytes = sum(part.nbytes for part in parts)
            answer.piece(answer.done, "|".join(f"{p.shape}{p.dtype}{p.tobytes().hex()}" for p in parts if p.size))
            answer.finish()
        except Exception:  # onnxruntime's own errors share no base class
            answer.finish("error")
        answer.start = answer.start or now()


def _dtype(kind: str) -> str:
    """numpy's word for ONNX Runtime's `tensor(float)`."""
    name = kind[kind.find("(") + 1 : kind.rfind(")")]
    return {"float": "float32", "double": "float64", "string": "str"}.get(name, name)
