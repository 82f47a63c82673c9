"""Records what is deployed: headers and samples of the weight files, their digests before and after, and who holds them open.

It is for a count that can be repeated without the weights. It must never load a weight file, never follow a name out of the model's
folder, and never count. Runs on bare Python 3.8.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.formats.tensors import MAX_HEADER, Malformed, pack_range
from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import CHUNK, canonical
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.importing import like, one_line
from yanshou.probes.model_weights.challenge import challenge
from yanshou.probes.model_weights.checkpoint import TEXTS, choose, read_checkpoint, sample
from yanshou.probes.model_weights.process import held, serving
from yanshou.probes.model_weights.streams import FORMAT, MODEL, PROCESS, RANGES
from yanshou.probes.model_weights.streams import TEXTS as TEXT_STREAMS

if TYPE_CHECKING:
    from yanshou.harness.evidence import StreamWriter
    from yanshou.probes.model_weights.spec import Params

MAX_RECORDED = 256 << 20
"""Bytes of headers and samples of one model."""
MAX_LOG = 16 << 20
OBSERVE_S = 1.0


class RecordedFile:
    """A weight file, open: every piece that is read of it goes into the evidence."""

    def __init__(self, path: Path, writer: StreamWriter, budget: list[int]) -> None:
        self.file = path.open("rb", buffering=0)
        self.state = os.fstat(self.file.fileno())
        self.size = self.state.st_size
        self._writer, self._budget = writer, budget

    def read(self, offset: int, count: int) -> bytes:
        """As a `Source`: exactly these bytes. Raises Malformed."""
        if not 0 <= offset <= offset + count <= self.size:
            raise Malformed(f"需要第 {offset} 至 {offset + count} 字节，文件只有 {self.size} 字节：被截断")
        self._budget[0] -= count
        if self._budget[0] < 0:
            raise Malformed(f"文件头合起来超过 {MAX_RECORDED >> 20} MB")
        data = bytearray()
        while len(data) < count:
            self.file.seek(offset + len(data))
            piece = self.file.read(count - len(data))
            if not piece:
                raise Malformed("文件在读取时变短了")
            data += piece
        self._writer.write(pack_range(offset, bytes(data)))
        return bytes(data)


class Folder:
    """The model's folder: its files are opened once and stay open, so that what is read and what is digested is one file."""

    def __init__(self, path: Path, run: RunContext, stack: ExitStack) -> None:
        self.path = path
        self.files: dict[str, RecordedFile] = {}
        self._run, self._stack = run, stack
        self._budget = [MAX_RECORDED]

    def open(self, name: str) -> RecordedFile:
        """A file of the folder. Raises Malformed where there is none."""
        if name not in self.files:
            writer = self._run.sink.stream(stream_of(len(self.files)))
            try:
                found = RecordedFile(self.path / name, writer, self._budget)
            except OSError as error:
                raise Malformed(f"{name} 读不了：{error.strerror or error}") from None
            self._stack.callback(found.file.close)
            self.files[name] = found
        return self.files[name]


def stream_of(number: int) -> str:
    """Stream of the pieces of the file that was opened as number so-and-so."""
    return f"{RANGES}{number:03d}.bin"


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError WGT-E01 (nothing there), E02 (not one whole model), E03 (text too large or unreadable),
    E04 (nobody listens on the port), E05 (disappeared), E06 (no address to challenge), E07 (the runner does not start)."""
    path = run.folder / params.path
    folder, only = _place(path, params.path)
    names = sorted(p.name for p in folder.iterdir() if p.is_file())
    port = params.ports.get(run.subject or "", params.port)
    if port is not None and not serving(port):
        text = f"端口 {port} 上没有看得见的监听进程"
        raise ProbeError("WGT-E04", text, "确认推理服务在本机运行，用 root 或同一用户测；不绑定进程就去掉 port")
    with ExitStack() as stack:
        files = Folder(folder, run, stack)
        texts: dict[str, bytes] = {}

        def text_of(name: str) -> bytes:
            if name not in texts:
                texts[name] = _text(folder / name, MAX_HEADER)
            return texts[name]

        for name in TEXTS:
            if name in names:
                text_of(name)
        try:
            choice = choose(names, only, text_of)
            checkpoint = read_checkpoint(choice, files.open, texts)
            for tensor in checkpoint.tensors:
                sample(tensor, files.open, run.seed)
        except Malformed as error:
            raise ProbeError("WGT-E02", one_line(f"{params.path}：{error}"), _REMEDY) from None
        engines = {name: _existing(run.folder / name, name) for name in params.engines}
        if params.build_log:
            texts[_LOG] = _text(_existing(run.folder / params.build_log, params.build_log), MAX_LOG)
        for name, data in texts.items():
            run.sink.stream(TEXT_STREAMS + name).write(data)
        total = 2 * (sum(f.size for f in files.files.values()) + sum(p.stat().st_size for p in engines.values()))
        meter = _Meter(run, total)
        before = {name: meter.digest(file.file) for name, file in files.files.items()}
        built = {name: meter.digest_path(p) for name, p in engines.items()}
        _watch(port, params.watch_s, run)
        asked = None
        if params.challenge:
            asked = challenge(params, run, checkpoint.format, folder / choice.weights[0])
        after = {name: meter.digest_path(folder / name) for name in files.files}
        rebuilt = {name: meter.digest_path(p) for name, p in engines.items()}
        record: dict[str, Json] = {
            "format": FORMAT,
            "path": params.path,
            "port": port,
            "folder": folder.resolve().name,
            "choice": {"weights": list(choice.weights), "index": choice.index, "others": list(choice.others)},
            "files": {
                name: {
                    "stream": stream_of(number),
                    "size": file.size,
                    "allocated": getattr(file.state, "st_blocks", 0) * 512,
                    "dev": file.state.st_dev,
                    "ino": file.state.st_ino,
                    "sha256": [before[name], after[name]],
                }
                for number, (name, file) in enumerate(files.files.items())
            },
            "texts": sorted(texts),
            "challenge": asked,
            "engines": {name: _engine(path, built[name], rebuilt[name]) for name, path in engines.items()},
        }
        run.sink.stream(MODEL).write(canonical(record) + b"\n")


_LOG = "build.log"
_REMEDY = "核对 path；文件残缺就重新取得；需要时在 path 写明是哪一个文件"


def _place(path: Path, given: str) -> tuple[Path, str | None]:
    """The model's folder, and the one file that was named. Raises ProbeError."""
    if path.is_dir():
        return path, None
    if path.is_file():
        return path.parent, path.name
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    text = f"找不到模型 {given}{like(path.name, beside)}"
    raise ProbeError("WGT-E01", text, "在部署了模型的主机上测，path 写模型的文件夹或文件")


def _existing(path: Path, given: str) -> Path:
    if not path.is_file():
        raise ProbeError("WGT-E01", f"找不到文件 {given}", "放到写明的位置，或改正路径")
    return path


def _text(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as f:
            data = f.read(most + 1)
    except OSError as error:
        raise ProbeError("WGT-E03", f"读不了 {path.name}：{error.strerror}", "检查读权限") from None
    if len(data) > most:
        raise ProbeError("WGT-E03", f"{path.name} 超过 {most >> 20} MB", "核对文件：这样大的不是配置或日志")
    return data


def _engine(path: Path, before: str, after: str) -> dict[str, Json]:
    state = path.stat()
    return {"size": state.st_size, "dev": state.st_dev, "ino": state.st_ino, "sha256": [before, after]}


class _Meter:
    """Digests files and tells how far it is."""

    def __init__(self, run: RunContext, total: int) -> None:
        self._run, self._total, self._done = run, total, 0
        self._buffer = memoryview(bytearray(CHUNK))

    def digest(self, file: Any) -> str:
        """SHA-256 of an open file, from its beginning."""
        h = hashlib.sha256()
        file.seek(0)
        while True:
            count = file.readinto(self._buffer)
            if not count:
                return h.hexdigest()
            h.update(self._buffer[:count])
            self._done += count
            self._run.progress(Progress(self._done >> 20, self._total >> 20, text="MB 摘要"))

    def digest_path(self, path: Path) -> str:
        """SHA-256 of what a path leads to now. Raises ProbeError WGT-E05."""
        try:
            with path.open("rb", buffering=0) as f:
                return self.digest(f)
        except OSError as error:
            text = f"{path.name} 在测量中读不到了：{error.strerror}"
            raise ProbeError("WGT-E05", text, "测量期间不要移动模型文件，重新运行") from None


def _watch(port: int | None, watch_s: float, run: RunContext) -> None:
    """What the serving process holds, for as long as was asked, a line whenever it changes."""
    if port is None:
        return
    writer = run.sink.stream(PROCESS)
    begin = time.monotonic()
    last: Sequence[Json] | None = None
    while True:
        seen = [held(pid) for pid in serving(port)]
        if seen != last:
            last = seen
            line = {"t_s": round(time.monotonic() - begin, 3), "processes": seen}
            writer.write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        left = watch_s - (time.monotonic() - begin)
        run.progress(Progress(int(watch_s - max(left, 0)), int(watch_s), text="秒 观察进程"))
        if left <= 0:
            return
        time.sleep(min(OBSERVE_S, left))
