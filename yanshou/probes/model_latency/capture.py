"""Asks and records: every request of the plan, once, with the stamps of its answer.

It is for recording what happened. It must never judge, never retry, never put an input, an answer or a key into a stream (digests
only), and never ask faster than planned to make up for lost time. Runs on bare Python 3.8.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import digest_file
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.model_latency.ablation import variants
from yanshou.probes.model_latency.answer import Answer, Target, now
from yanshou.probes.model_latency.grpc_target import GrpcTarget
from yanshou.probes.model_latency.host_channels import modes, telling, watching
from yanshou.probes.model_latency.http_target import JsonTarget, OpenAiTarget
from yanshou.probes.model_latency.loadgen import drive, require_loadgen
from yanshou.probes.model_latency.local_target import CommandTarget, OnnxTarget
from yanshou.probes.model_latency.pool import Pool, digest_of, order, read_pool
from yanshou.probes.model_latency.streams import (
    ABLATION,
    ABLATION_COLUMNS,
    COLUMNS,
    END,
    FORMAT,
    GAP_COLUMNS,
    GAPS,
    HOST,
    HOST_COLUMNS,
    LOADGEN,
    REQUESTS,
    SENSORS,
    SESSION,
)
from yanshou.probes.model_latency.uplink import Uplink
from yanshou.probes.rtt.schedule import send_offsets
from yanshou.probes.rtt.timing import punctual

if TYPE_CHECKING:
    from yanshou.probes.model_latency.spec import Params

SPIN_NS = 200_000
"""The last part of waiting for a planned moment is not slept."""
LEAD_NS = 50_000_000
"""From the end of the quiet to the first planned request."""


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError LAT-E01 (nothing answers, or no address), E02 (pool), E03 (key or CA), E04 (command
    or model does not start), E05 (a package missing), E06 (the command for temperatures does not run), PKT-E03 (no such interface),
    PKT-E04 (not permitted to listen on it)."""
    total = params.warmup + params.count
    uplink = Uplink(params, run, _is_local(params, run.subject)) if params.uplink is not None else None
    if params.loadgen:
        require_loadgen()
    pool = read_pool(run.folder, params.pool, total + params.loadgen)
    if params.pool_sha256 not in (None, pool.sha256):
        text = f"输入池 {params.pool} 不是计划冻结的那一个：SHA-256 为 {pool.sha256}"
        raise ProbeError("LAT-E02", text, "放回冻结计划时的文件；确要更换就修订计划")
    drawn = order(len(pool.inputs), total + params.loadgen, run.seed, pool.sha256)
    indices = drawn[:total]
    for _ in variants([pool.inputs[i] for i in indices[params.warmup :]], params.ablate):
        pass  # refuses a pool without pictures before anything is asked
    targets = [_target(params, run) for _ in range(params.streams)]
    try:
        for target in targets:
            _connect(target, params, run)
        run.sink.stream(SESSION).write(_line(_session(params, run, pool)))
        recorder = Recorder(params, run, pool, indices, targets, uplink)
        with _on_time(params) as obtained:
            recorder.run()
        if params.ablate:
            _ablate(params, run, [pool.inputs[i] for i in indices], targets[0])
        if params.loadgen:
            _loadgen(params, run, pool, drawn[total:], targets[0])
        run.sink.stream(END).write(_line({"rows": recorder.rows, "connections": recorder.connections(), **obtained}))
    finally:
        for target in targets:
            target.close()


def _line(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"


@contextmanager
def _on_time(params: Params) -> Iterator[dict[str, Json]]:
    """Punctual where this thread only waits and stamps; a model that runs in it keeps the priority that it has in service."""
    if params.kind == "onnx":
        yield {}
        return
    with punctual() as obtained:
        yield obtained


def _session(params: Params, run: RunContext, pool: Pool) -> dict[str, Json]:
    told: dict[str, Json] = {
        "format": FORMAT,
        "params": params.model_dump(mode="json"),
        "seed": run.seed,
        "subject": run.subject,
        "local": _is_local(params, run.subject),
        "modes": modes(),
        "pool": {"lines": len(pool.inputs), "sha256": pool.sha256, "common": round(pool.common, 4)},
    }
    if params.kind == "onnx" and params.file:
        told["model_sha256"] = digest_file(run.folder / params.file)
    return told


def _is_local(params: Params, subject: str | None) -> bool:
    """Whether what answers is on this host, so that its network interfaces tell something."""
    host = urlsplit(params.urls.get(subject or "", params.url) or "").hostname or ""
    return params.kind in ("command", "onnx") or host in ("localhost", "::1") or host.startswith("127.")


def _target(params: Params, run: RunContext) -> Target:
    """One connection to what is measured. Raises ProbeError."""
    if params.kind == "command":
        return CommandTarget(params.command, run.folder, params.timeout_s)
    if params.kind == "onnx":
        path = run.folder / str(params.file)
        if not path.is_file():
            raise ProbeError("LAT-E04", f"找不到模型文件 {params.file}", "放进案卷文件夹，或改正 file 的路径")
        return OnnxTarget(path)
    url = params.urls.get(run.subject or "", params.url)
    if url is None:
        text = f"受检对象 {run.subject or '（没有写）'} 没有地址"
        raise ProbeError("LAT-E01", text, "在 params.urls 逐个写明，或写一个共同的 params.url")
    key = _secret(run.folder, params.key_file)
    if params.kind == "grpc":
        return _grpc(params, run, url, key)
    ca = None if params.ca is None else str(run.folder / params.ca)
    try:
        if params.kind == "json":
            return JsonTarget(url, key, ca, params.timeout_s, params.answer)
        return OpenAiTarget(url, key, ca, params.timeout_s, _settings(params))
    except OSError as error:
        raise ProbeError("LAT-E03", f"根证书文件 {params.ca} 用不了：{error}", "核对 ca 的路径与内容（PEM）") from None


def _grpc(params: Params, run: RunContext, url: str, key: str | None) -> GrpcTarget:
    try:
        protos = None if params.protos is None else (run.folder / params.protos).read_bytes()
        ca = None if params.ca is None else (run.folder / params.ca).read_bytes()
    except OSError as error:
        name = Path(str(error.filename)).name
        raise ProbeError("LAT-E03", f"读不了 {name}：{error.strerror}", "核对 protos 与 ca 的路径") from None
    return GrpcTarget(url, str(params.method), protos, key, ca, params.timeout_s, params.answer)


def _settings(params: Params) -> dict[str, Json]:
    """What is added to every input of an OpenAI interface."""
    told: dict[str, Json] = {"max_tokens": params.max_tokens, "temperature": 0, "stream": params.stream}
    if params.model is not None:
        told["model"] = params.model
    if params.stream and params.usage:
        told["stream_options"] = {"include_usage": True}
    return told


def _secret(folder: Path, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        key = (folder / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        key = ""
    if not key or not key.isascii() or any(c.isspace() for c in key):
        raise ProbeError("LAT-E03", f"密钥文件 {name} 读不了，或不是一行密钥", "核对 key_file：只放密钥本身一行")
    return key


def _connect(target: Target, params: Params, run: RunContext) -> None:
    """See that somebody is there. Raises ProbeError."""
    try:
        target.ready()
    except OSError as error:
        why = " ".join(str(error.strerror or error).split())
        if params.kind == "command":
            raise ProbeError(
                "LAT-E04", f"命令 {params.command[0]} 不能运行：{why}", "核对 command 的程序与参数"
            ) from None
        url = params.urls.get(run.subject or "", params.url)
        raise ProbeError("LAT-E01", f"连不上 {url}：{why}", "确认模型服务在运行、地址与端口正确、防火墙放行") from None


def _ablate(params: Params, run: RunContext, inputs: list[dict[str, Json]], target: Target) -> None:
    """Ask the first measured inputs again, with and without their pictures."""
    stream = run.sink.stream(ABLATION)
    stream.write(ABLATION_COLUMNS.encode() + b"\n")
    for done, (at, variant, body) in enumerate(variants(inputs[params.warmup :], params.ablate), 1):
        answer = Answer()
        with suppress(OSError):  # where it cannot, that is the status of the request
            target.ready()
        target.ask(target.prepare(len(inputs) + done, body), answer)
        cells = (params.warmup + at, variant, answer.status, digest_of(body), answer.digest())
        stream.write(",".join(map(str, cells)).encode() + b"\n")
        run.progress(Progress(done, 3 * params.ablate, text="次换图提问"))


def _loadgen(params: Params, run: RunContext, pool: Pool, indices: list[int], target: Target) -> None:
    """MLPerf LoadGen asks what is left of the draw."""
    place = run.sink.sub(LOADGEN)
    stream = place.stream(REQUESTS)
    stream.write(COLUMNS.encode() + b"\n")
    origin = now()

    def note(number: int, at: int, answer: Answer) -> None:
        index = indices[at]
        stream.write(_row(origin, number, index, 0, answer.start, answer.start, answer, pool.digests[index]))
        run.progress(Progress(number + 1, params.loadgen, text="次由 LoadGen 提问"))

    with suppress(OSError):  # where it cannot, that is the status of the request
        target.ready()
    inputs = [pool.inputs[i] for i in indices]
    first = params.warmup + params.count + 3 * params.ablate + 1
    with _on_time(params):
        drive(target, inputs, first, run.seed, note, lambda path: place.attach(path, path.name))


def _row(
    origin: int, sequence: int, index: int, stream: int, free: int, planned: int, answer: Answer, digest: str
) -> bytes:
    """A request's line of COLUMNS."""
    first, last = (answer.stamps[0], answer.stamps[-1]) if answer.stamps else (0, 0)
    times = (free, planned, answer.start, answer.sent, answer.byte, first, last, answer.done)
    cells = (
        sequence, index, stream, *(t - origin if t else "" for t in times), answer.status, len(answer.stamps), answer.empty,
        *(n if n >= 0 else "" for n in (answer.tokens, answer.prompt_tokens, answer.cached_tokens)),
        answer.choices, answer.bytes, sum(map(len, answer.parts)), digest, answer.digest(),
    )  # fmt: skip
    return ",".join(map(str, cells)).encode() + b"\n"


class Recorder:
    """Every request of the plan through so many streams, and a row for each."""

    def __init__(
        self,
        params: Params,
        run: RunContext,
        pool: Pool,
        indices: list[int],
        targets: list[Target],
        uplink: Uplink | None,
    ) -> None:
        self._params, self._run, self._pool, self._indices, self._targets = params, run, pool, indices, targets
        self._uplink = uplink
        self._total = len(indices)
        self._offsets = None
        if params.rate_hz is not None:
            self._offsets = send_offsets("grid", self._total, 1000 / params.rate_hz, 0.0, run.seed)
        self._requests, self._gaps = run.sink.stream(REQUESTS), run.sink.stream(GAPS)
        self._host = run.sink.stream(HOST)
        self._sensors = run.sink.stream(SENSORS) if params.sensors else None
        self._requests.write(COLUMNS.encode() + b"\n")
        self._gaps.write(GAP_COLUMNS.encode() + b"\n")
        self._host.write(HOST_COLUMNS.encode() + b"\n")
        self._guard = threading.Lock()
        self._next = self._failed = self._good = 0
        self._origin = self._first = 0
        self._stop: BaseException | None = None
        self.rows = 0

    def connections(self) -> int:
        """How many were made in all."""
        return sum(target.connections for target in self._targets)

    def run(self) -> None:
        """From the first request to the last answer. Raises ProbeError LAT-E01 where no warm-up request is answered."""
        self._origin = now()
        try:
            with ExitStack() as stack:
                if self._uplink is not None:
                    stack.enter_context(self._uplink.recording(self._origin))
                stack.enter_context(watching(self._note, self._params.uplink))
                stack.enter_context(telling(self._params.sensors, self._run.folder, self._told))
                time.sleep(self._params.quiet_s)
                self._first = now() + LEAD_NS
                self._ask_all()
                time.sleep(self._params.quiet_s)
        except BaseException as error:
            self._stop = error  # so that no stream asks on
            raise

    def _note(self, channel: str, value: int) -> None:
        self._host.write(f"{now() - self._origin},{channel},{value}\n".encode())

    def _told(self, line: str) -> None:
        assert self._sensors is not None
        self._sensors.write(f"{now() - self._origin} {line}\n".encode("utf-8", "replace"))

    def _ask_all(self) -> None:
        if len(self._targets) == 1:
            self._work(0)
            return
        threads = [threading.Thread(target=self._guarded, args=(n,), daemon=True) for n in range(len(self._targets))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._stop is not None:
            raise self._stop

    def _guarded(self, number: int) -> None:
        try:
            with _on_time(self._params):  # each thread for itself
                self._work(number)
        except BaseException as error:  # handed to the thread that waits, which raises it
            self._stop = error

    def _work(self, number: int) -> None:
        """One stream: take the next request, wait for its moment, ask, write its row."""
        target = self._targets[number]
        while self._stop is None:
            with self._guard:
                sequence = self._next
                self._next += 1
            if sequence >= self._total:
                return
            index = self._indices[sequence]
            with suppress(OSError):  # where it cannot, that is the status of the request
                target.ready()
            planned = free = now()
            prepared = target.prepare(sequence, self._pool.inputs[index])
            if self._offsets is not None:
                planned = self._first + self._offsets[sequence]
                _wait_until(planned)
            answer = Answer()
            target.ask(prepared, answer)
            self._write(sequence, index, number, free, planned, answer)

    def _write(self, sequence: int, index: int, stream: int, free: int, planned: int, answer: Answer) -> None:
        stamps = answer.stamps
        row = _row(self._origin, sequence, index, stream, free, planned, answer, self._pool.digests[index])
        with self._guard:
            self._requests.write(row)
            if len(stamps) > 1:
                gaps = " ".join(str(b - a) for a, b in zip(stamps, stamps[1:]))  # noqa: B905, RUF007  Python 3.8
                self._gaps.write(f"{sequence},{gaps}\n".encode())
            self.rows += 1
            good = answer.status == "ok"
            self._failed += not good
            self._good += good
            values = ((answer.done - planned) / 1e6,) if good else ()
            self._run.progress(Progress(self.rows, self._total, self._failed, values))
            if self.rows >= self._params.warmup and not self._good:
                text = f"预热的 {self.rows} 个请求没有一个答好（最后一个：{answer.status}）"
                raise ProbeError("LAT-E01", text, "先手工试通接口：地址、模型名、密钥、请求体格式")


def _wait_until(moment: int) -> None:
    while True:
        left = moment - now()
        if left <= 0:
            return
        if left > SPIN_NS:
            time.sleep((left - SPIN_NS) / 1e9)
