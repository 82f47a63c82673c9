"""Evidence: raw streams on disk and the hash-chained ledger that says what was acknowledged when.

It is for losing nothing and hiding nothing: a run has a number before its first byte, every byte that a checkpoint names is
on the disk before the checkpoint is, and what was written after the last checkpoint of a killed run stays, marked
unacknowledged. It must never judge, and never change or delete a stream.

Ledger line (JSONL): {"h": sha256(previous h as hex ascii + canonical r), "r": {...}}; the first h chains from 64 zeros.
Record kinds: plan, seal, amendment, run_opened, checkpoint, run_closed, recovered, and of capture kits: kit (one was made; on
a terminal: one records here), run_taken (a run that a kit brought, with the lines of the kit's own ledger). Each r carries
"kind", "seq", "utc". What writes also runs on terminals: bare Python 3.8 and rfc8785, which a kit takes along.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, BinaryIO

import rfc8785

from yanshou.harness.basics import ExitCode, Json, ProbeError, Problem, RunStatus, UserError, refusal
from yanshou.harness.locking import FileLock, Taken
from yanshou.harness.names import name_problem

CHECKPOINT_SECONDS = 0.8
"""Pace of checkpoints; at most this much plus one fdatasync can be unacknowledged."""
CHUNK = 1 << 20
GENESIS = "0" * 64
STAGING = ".intake"
"""Where a run that a kit brought is copied to, before the ledger names it."""


def canonical(value: Json) -> bytes:
    """RFC 8785 canonical JSON."""
    return rfc8785.dumps(value)


def utc_now() -> str:
    """Wall clock as ISO 8601 with milliseconds, UTC."""
    now = datetime.now(timezone.utc)  # noqa: UP017  datetime.UTC came with Python 3.11
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(utc: str) -> datetime:
    """Inverse of `utc_now`. Raises ValueError."""
    return datetime.fromisoformat(utc.replace("Z", "+00:00"))  # Python 3.8 does not know Z


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path, size: int | None = None) -> str:
    """SHA-256 of the first `size` bytes of a file (all by default), streamed."""
    h = hashlib.sha256()
    left = size
    with path.open("rb") as f:
        while left is None or left > 0:
            block = f.read(CHUNK if left is None else min(CHUNK, left))
            if not block:
                break
            h.update(block)
            left = None if left is None else left - len(block)
    return h.hexdigest()


def sync(f: IO[bytes]) -> None:
    """Bytes of `f` onto the disk: fdatasync where the system has it."""
    f.flush()
    (getattr(os, "fdatasync", None) or os.fsync)(f.fileno())


def write_all(f: IO[bytes], data: bytes) -> None:
    """All of `data` into an unbuffered file. Raises OSError; then an unknown part of it is in the file."""
    view = memoryview(data)
    while view:
        view = view[f.write(view) :]


def sync_folder(path: Path) -> None:
    """Names in a folder onto the disk, so that a new file survives a power cut. Windows has no such call."""
    if os.name == "posix":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step: a reader sees the old or the new bytes, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as f:
            f.write(data)
            sync(f)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@dataclass(frozen=True)
class LedgerDamage(Exception):
    """The ledger does not chain: `line` (1-based) and what is wrong there."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class TornLine(LedgerDamage):
    """The last line has no end: it was never acknowledged."""


def link(previous: str, record: Mapping[str, Json]) -> str:
    """The chain value of `record` after `previous` (both hex)."""
    return hashlib.sha256(previous.encode() + canonical(record)).hexdigest()


def read_ledger(path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield (h, r) line by line, checking chain and sequence. A torn last line (no newline) is damage too.

    Raises LedgerDamage at the first line that does not fit (TornLine for a torn one); FileNotFoundError.
    """
    with path.open("rb") as f:
        yield from chained(f, path)


def chained(lines: Iterable[bytes], path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    """(h, r) of each line of a ledger, wherever it is read from; `path` names it. Raises as `read_ledger` does."""
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            raise TornLine(path, number, "末行不完整")
        try:
            entry = json.loads(line)
            h, record = entry["h"], entry["r"]
            exact = canonical({"h": h, "r": record}) + b"\n" == line
        except (ValueError, KeyError, TypeError, rfc8785.CanonicalizationError):
            raise LedgerDamage(path, number, "不是台账行") from None
        if not exact or record.get("seq") != number or link(previous, record) != h:
            raise LedgerDamage(path, number, "链断裂：此行或其前一行被改动、删除或插入")
        previous = h
        yield h, record


@dataclass
class Ledger:
    """The one writer of a case's ledger. Use as a context manager: it holds the folder's lock and repairs a torn tail."""

    folder: Path
    records: list[dict[str, Json]] = field(default_factory=list)
    head: str = GENESIS
    _file: IO[bytes] | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _size: int = 0

    @property
    def path(self) -> Path:
        """`ledger.jsonl` in the case folder."""
        return self.folder / "ledger.jsonl"

    def __enter__(self) -> Ledger:
        self._lock = FileLock(self.folder / ".lock")
        try:
            self._lock.acquire()
        except Taken:
            raise UserError(
                Problem("E-LOCK", "另一个 yanshou 正在写这个案卷", "等它结束，或在任务管理器里结束它", self.folder)
            ) from None
        try:
            torn = self._cut_torn_tail()
            for h, record in read_ledger(self.path) if self.path.exists() else ():
                self.records.append(record)
                self.head = h
            self._file = self.path.open("ab", buffering=0)
            self._size = self.path.stat().st_size
            sync_folder(self.folder)
            if torn:
                self.append("recovered", torn_hex=torn.hex())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()

    def _cut_torn_tail(self) -> bytes:
        """Bytes after the last newline were never acknowledged: take them out of the chain and return them."""
        if not self.path.exists():
            return b""
        data_end = self.path.stat().st_size
        with self.path.open("r+b") as f:
            back = min(data_end, CHUNK)
            f.seek(data_end - back)
            tail = f.read(back)
            torn = tail[tail.rfind(b"\n") + 1 :]
            if torn:
                f.truncate(data_end - len(torn))
                sync(f)
        return torn

    def append(self, kind: str, **content: Json) -> dict[str, Json]:
        """Chain one record and return it once it is on the disk. Thread-safe. Raises OSError; then nothing was added."""
        if self._file is None:
            raise RuntimeError("the ledger is not open")
        with self._guard:
            record = {"kind": kind, "seq": len(self.records) + 1, "utc": utc_now(), **content}
            h = link(self.head, record)
            line = canonical({"h": h, "r": record}) + b"\n"
            try:
                write_all(self._file, line)
                sync(self._file)
            except OSError:
                os.truncate(
                    self.path, self._size
                )  # a full disk may have taken half a line: it must not break the chain
                raise
            self._size += len(line)
            self.records.append(record)
            self.head = h
            return record

    def next_run_number(self) -> int:
        """Numbers are given once, in order, and never again."""
        return 1 + max((r["number"] for r in self.records if r["kind"] in ("run_opened", "run_taken")), default=0)


class StreamWriter:
    """One raw stream of a run. Bytes are buffered here and acknowledged by the sink's next checkpoint."""

    def __init__(self, path: Path, guard: threading.RLock, raise_failure: Callable[[], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb", buffering=0)
        sync_folder(path.parent)
        self._guard = guard
        self._raise_failure = raise_failure
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._dirty = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append `data`. Cheap: no system call before the next checkpoint. Raises OSError once a checkpoint has failed."""
        self._raise_failure()
        with self._guard:
            self._pending.append(bytes(data))

    def settle(self, *, durable: bool = True) -> dict[str, Json]:
        """Everything pending into the file, and onto the disk if `durable`; {"bytes","sha256"} of the whole so far.

        Raises OSError; then the file is as it was, and everything pending still is.
        """
        with self._guard:
            pending, self._pending = self._pending, []
        if pending:
            block = b"".join(pending)
            try:
                write_all(self._file, block)
            except OSError:
                with self._guard:
                    self._pending.insert(0, block)
                os.ftruncate(self._file.fileno(), self.size)  # half a block must not lie behind what a checkpoint names
                self._file.seek(self.size)
                raise
            self._hash.update(block)
            self.size += len(block)
            self._dirty = True
        if durable and self._dirty:
            sync(self._file)
            self._dirty = False
        return {"bytes": self.size, "sha256": self._hash.hexdigest()}

    def close(self) -> None:
        """Close the file; `settle` first."""
        self._file.close()


class EvidenceSink:
    """Where a capture records: named streams under the run's folder, all checkpointed together in the background."""

    def __init__(self, run: RunWriter, prefix: str = "") -> None:
        self._run = run
        self._prefix = prefix

    def stream(self, name: str) -> StreamWriter:
        """A new stream `name` (a relative POSIX path in its native format, e.g. "packets.csv"). Once per name."""
        return self._run.open_stream(self._prefix + name)

    def attach(self, source: Path, name: str) -> str:
        """Copy a file that somebody else recorded in as stream `name`, chunk by chunk; its SHA-256. Raises OSError."""
        h = hashlib.sha256()
        with source.open("rb") as f:
            writer = self.stream(name)
            while block := f.read(CHUNK):
                h.update(block)
                writer.write(block)
                self._run.settle_soon()
        return h.hexdigest()

    def sub(self, prefix: str) -> EvidenceSink:
        """The same sink, with all names below `prefix/`."""
        return EvidenceSink(self._run, f"{self._prefix}{prefix}/")


class RunWriter:
    """One run being recorded. Opening gives it its number in the ledger before anything else exists.

    Use as a context manager; call `close(status)` inside. Leaving without it closes the run as crashed, or as aborted where
    a person or the instrument itself stopped it.
    """

    def __init__(self, ledger: Ledger, name: str, meta: Mapping[str, Json]) -> None:
        self.ledger = ledger
        self.number = ledger.next_run_number()
        self.folder_name = f"{self.number:04d}-{name}"
        self.folder = ledger.folder / "runs" / self.folder_name
        description = canonical({**meta, "number": self.number}) + b"\n"
        self._opened = time.monotonic_ns()
        ledger.append(
            "run_opened",
            number=self.number,
            folder=self.folder_name,
            meta=dict(meta),
            run_json_sha256=hashlib.sha256(description).hexdigest(),
        )
        self.folder.mkdir(parents=True)
        write_atomic(self.folder / "run.json", description)
        sync_folder(self.folder.parent)
        self._streams: dict[str, StreamWriter] = {}
        self._guard = threading.RLock()
        self._settling = threading.Lock()
        self._stop = threading.Event()
        self._failure: OSError | None = None
        self._closed = False
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._pace, name="checkpoint", daemon=True)

    def __enter__(self) -> RunWriter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._closed:
            stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, ProbeError, UserError))
            self.close(RunStatus.ABORTED if stopped else RunStatus.CRASHED, kind.__name__ if kind else "未关闭")

    @property
    def sink(self) -> EvidenceSink:
        """Where the capture records."""
        return EvidenceSink(self)

    def open_stream(self, name: str) -> StreamWriter:
        """A new stream below the run's folder. Raises UserError for a name that no package could carry, OSError."""
        if why := name_problem(name) or ("与运行说明重名" if name == "run.json" else None):
            raise UserError(Problem("E-NAME", f"证据文件名 {name!r} 不能用：{why}", "把文件改名后重新运行"))
        self.raise_failure()
        with self._guard:
            if name in self._streams:
                raise ValueError(f"stream exists: {name}")
            writer = self._streams[name] = StreamWriter(self.folder / name, self._guard, self.raise_failure)
        return writer

    def raise_failure(self) -> None:
        """Raise the OSError that the background checkpoint met (disk full, folder gone), if any."""
        if self._failure is not None:
            raise self._failure

    def settle_soon(self) -> None:
        """For bulk copies: write what is pending now, so that memory stays bounded."""
        self.raise_failure()
        with self._settling:
            for writer in list(self._streams.values()):
                writer.settle(durable=False)

    def checkpoint(self) -> None:
        """All streams onto the disk, then the record that acknowledges them."""
        with self._settling:
            with self._guard:
                streams = list(self._streams.items())
            state = {name: writer.settle() for name, writer in streams}
            self.ledger.append(
                "checkpoint", number=self.number, mono_ns=time.monotonic_ns() - self._opened, streams=state
            )
            self._last = time.monotonic()

    def _pace(self) -> None:
        while not self._stop.wait(CHECKPOINT_SECONDS):
            try:
                self.checkpoint()
            except OSError as error:
                self._failure = error
                return

    def close(self, status: RunStatus, reason: str = "") -> None:
        """Final checkpoint and the record of how the run ended. Raises OSError when the disk refuses."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self.checkpoint()
            self.ledger.append("run_closed", number=self.number, status=status.value, reason=reason)
        finally:
            for writer in self._streams.values():
                try:
                    writer.close()
                except OSError as error:  # the bytes of a failed flush are reported by the checkpoint already
                    self._failure = self._failure or error
        self.raise_failure()


def recover(ledger: Ledger) -> list[int]:
    """Close every run that a killed process left open as `truncated`; their numbers. Tails are measured, not touched."""
    finish_intake(ledger)
    closed = {r["number"] for r in ledger.records if r["kind"] == "run_closed"}
    found = [r for r in ledger.records if r["kind"] == "run_opened" and r["number"] not in closed]
    for opened in found:
        acknowledged = acknowledged_streams(ledger.records, opened["number"])
        ledger.append(
            "run_closed",
            number=opened["number"],
            status=RunStatus.TRUNCATED.value,
            reason="进程被杀或断电，下次启动时发现",
            unacknowledged=unacknowledged(ledger.folder / "runs" / opened["folder"], acknowledged),
        )
    return [r["number"] for r in found]


def unacknowledged(folder: Path, acknowledged: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """{name: {"bytes","sha256"}} of every file in a run's folder that has other bytes than those acknowledged."""
    tails: dict[str, Json] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()) if folder.exists() else ():
        name = path.relative_to(folder).as_posix()
        if name == "run.json":
            continue
        size = path.stat().st_size
        if size != acknowledged.get(name, {"bytes": 0})["bytes"] or name not in acknowledged:
            tails[name] = {"bytes": size, "sha256": digest_file(path)}
    return tails


def finish_intake(ledger: Ledger) -> None:
    """Copies that the ledger names go where it says they are; what a killed process had not yet named there is dropped."""
    staging = ledger.folder / STAGING
    if not staging.exists():
        return
    for record in ledger.records:
        if record["kind"] == "run_taken" and (staging / record["folder"]).exists():
            (ledger.folder / "runs").mkdir(exist_ok=True)
            (staging / record["folder"]).rename(ledger.folder / "runs" / record["folder"])
            sync_folder(ledger.folder / "runs")
    shutil.rmtree(staging)


def acknowledged_streams(records: Sequence[Mapping[str, Json]], number: int) -> dict[str, dict[str, Json]]:
    """{stream: {"bytes","sha256"}} of the last checkpoint of run `number`."""
    state: dict[str, dict[str, Json]] = {}
    for record in records:
        if record["kind"] == "checkpoint" and record["number"] == number:
            state = record["streams"]
    return state


class _Window(io.RawIOBase):
    """The first `size` bytes of a file, read-only: what a checkpoint acknowledged and no more."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: min(len(buffer), self._left)]
        count = self._file.readinto(view) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class RunEvidence:
    """The acknowledged streams of one run, read-only: what `analyse` sees."""

    folder: Path
    acknowledged: Mapping[str, Mapping[str, Json]]
    prefix: str = ""

    def streams(self) -> tuple[str, ...]:
        """Names of the streams, sorted."""
        return tuple(sorted(n[len(self.prefix) :] for n in self.acknowledged if n.startswith(self.prefix)))

    def open(self, name: str) -> BinaryIO:
        """The acknowledged bytes of stream `name`. Raises KeyError when it was never acknowledged."""
        full = self.prefix + name
        size = int(self.acknowledged[full]["bytes"])
        return io.BufferedReader(_Window(self.folder / full, size), CHUNK)

    def sha256(self, name: str) -> str:
        """Digest of the acknowledged bytes, as the ledger states it."""
        return str(self.acknowledged[self.prefix + name]["sha256"])

    def sub(self, prefix: str) -> RunEvidence:
        """Only the streams below `prefix/`."""
        return RunEvidence(self.folder, self.acknowledged, f"{self.prefix}{prefix}/")


def disk_problem(error: OSError, folder: Path) -> Problem:
    """The one line for a folder that cannot be written (full, read-only, gone)."""
    return Problem("E-DISK", f"无法写入：{refusal(error)}", "检查剩余空间与写权限后重新运行，已确认的数据不丢", folder)


def require_writable(folder: Path) -> None:
    """Refuse before anything starts when `folder` cannot be written. Raises UserError."""
    try:
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(disk_problem(error, folder), ExitCode.USAGE) from None
