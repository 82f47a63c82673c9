"""Takes every block up to one pinned height into evidence, with the receipts, as the node gave them.

It is for a record that can be counted again without the chain. It must never count, judge or leave out a block. Blocks come
in parallel and are written in order. An interrupted run stays what it was; a new one takes its whole blocks over, byte for
byte, when the chain still has them, keeps its height, and goes on: every block must still link to the pinned one by hash.
Originals are hashed where they lie and never copied.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from yanshou.chains import reader
from yanshou.chains.connect import connect, require_verifiable
from yanshou.chains.model import MALFORMED
from yanshou.chains.rpc import Asks
from yanshou.chains.segments import lines, member, members
from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import CHUNK, RunEvidence, StreamWriter
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.chain_records.earlier import unfinished
from yanshou.probes.chain_records.spec import SPEC, Originals, Params
from yanshou.probes.chain_records.streams import (
    BLOCKS,
    END,
    ORIGINALS,
    OUTCOMES,
    PIN,
    Adopted,
    End,
    Original,
    Outcomes,
    Pin,
    line,
    outcome,
    read_end,
    read_pin,
)
from yanshou.probes.earlier import Identity

T = TypeVar("T")
MEMBER_BYTES = 2 << 20
"""About how much JSON one member holds: what a killed run may lose, and what each request in flight may weigh."""
FIRST_BLOCKS = 8
"""Blocks in the first requests, while nobody knows how much one weighs."""
SALT_BYTES = 16
WITNESS_S, TICK_S = 5.0, 0.2
RESUME_S = 24 * 3600
"""An interrupted count older than this is not gone on with, unless it has drawn: its height has become history."""


def capture(params: Params, run: RunContext) -> None:
    """Streams `pin.json`, `blocks.jsonl.gz`, `end.json`; `outcomes.jsonl` where only nodes tell what came of a transaction and
    a witness is there; and, where originals are asked for, `originals.jsonl`.

    Raises ProbeError CHN-E01 to E05 (a node or a witness cannot be asked), CHR-E01 (too few blocks), CHR-E02 (counted, and the
    originals of the drawn records are still to come), CHR-E03 (an original cannot be read), CHR-E04 (what a witness gave cannot),
    UserError (no 国密 library).
    """
    take_blocks(params, run, Identity.of(SPEC, params, run.seed))
    if params.originals:
        _take_originals(params.originals, run)


def take_blocks(params: Params, run: RunContext, identity: Identity) -> None:
    """All streams but the last; `identity` tells the runs that may be gone on with. Raises as `capture` does."""
    with ExitStack() as stack:
        asks, *witnesses = (
            stack.enter_context(connect(params.chain, endpoint, run.folder))
            for endpoint in (params.endpoint, *params.witnesses)
        )
        _record(params, asks, witnesses, run, identity)


def _record(params: Params, asks: Asks, witnesses: Sequence[Asks], run: RunContext, identity: Identity) -> None:
    earlier = _unfinished(run, identity)
    if earlier and asks.hash_at(earlier.pin.height) == earlier.pin.hash:
        pin = replace(earlier.pin, adopted=_adoptable(params, earlier, asks))
    else:
        pin = _pinned(params, asks)
    require_verifiable(params.chain, asks, pin.height)
    run.sink.stream(PIN).write(line(pin))
    blocks = run.sink.stream(BLOCKS)
    if earlier and pin.adopted:
        _copy(earlier.evidence, pin.adopted.bytes, blocks)
    for packed in _fetched(params, asks, range(pin.adopted.blocks if pin.adopted else 0, pin.height + 1), run, _member):
        blocks.write(packed)
    seen = tuple(_witnessed(witness, pin.height) for witness in witnesses)
    if witnesses and not params.chain.outcomes_hashed:
        _take_outcomes(params, witnesses, pin, run)
    if earlier and earlier.pin.hash == pin.hash and earlier.end:
        end = replace(earlier.end, hash=asks.hash_at(pin.height), witnesses=seen)  # the draw stays
    else:
        later = asks.head()
        end = End(asks.hash_at(pin.height), seen, later, asks.hash_at(later) or "", secrets.token_hex(SALT_BYTES))
    run.sink.stream(END).write(line(end))


def _witnessed(witness: Asks, height: int) -> str | None:
    """A witness's hash at a height, to which it may come a moment later; None where it has none after WITNESS_S."""
    end = time.monotonic() + WITNESS_S
    while (digest := witness.hash_at(height)) is None and time.monotonic() < end:
        time.sleep(TICK_S)
    return digest


def _pinned(params: Params, asks: Asks) -> Pin:
    """The height to count to: where the chain's own counter stands, if it has one, so that both speak of the same blocks."""
    about, counter = asks.about(), asks.counter()
    told = reader(params.chain.kind).counter(counter)
    height = (told.height if told else asks.head()) - params.confirmations
    pinned, genesis = (asks.hash_at(height), asks.hash_at(0)) if height >= 0 else (None, None)
    if pinned is None or genesis is None:
        raise ProbeError("CHR-E01", f"链上没有高度 {height} 的区块", "等链出块，或减小 confirmations")
    return Pin(params.chain.kind, height, pinned, genesis, time.time_ns(), about, counter)


# --- blocks ------------------------------------------------------------------------------------------------------------


def _member(rows: Sequence[Json]) -> tuple[bytes, int]:
    """Rows packed, and their weight."""
    data = lines(rows)
    return member(data), len(data)


def _fetched(
    params: Params, asks: Asks, heights: range, run: RunContext, made: Callable[[Sequence[Json]], tuple[T, int]]
) -> Iterator[T]:
    """What is `made` (with its weight in bytes) of all blocks of `heights`, in order, several requests under way at a time, each
    of about MEMBER_BYTES.
    """

    def fetched(part: range) -> tuple[T, int]:
        return made(asks.rows(part))

    pending: deque[tuple[range, Future[tuple[T, int]]]] = deque()
    at, size = heights.start, min(FIRST_BLOCKS, params.chain.batch)
    with ThreadPoolExecutor(params.chain.parallel) as pool:
        try:
            while pending or at < heights.stop:
                while at < heights.stop and len(pending) < 2 * params.chain.parallel:
                    part = range(at, min(at + size, heights.stop))
                    pending.append((part, pool.submit(fetched, part)))
                    at = part.stop
                part, future = pending.popleft()
                result, weight = future.result()
                yield result
                size = max(1, min(params.chain.batch, MEMBER_BYTES * len(part) // weight))
                run.progress(Progress(part.stop, heights.stop, text=f"已取到高度 {part.stop - 1}"))
        finally:
            for _, future in pending:
                future.cancel()


def _take_outcomes(params: Params, witnesses: Sequence[Asks], pin: Pin, run: RunContext) -> None:
    """What each witness says came of every transaction, where no hash covers that: digests only, as `Outcomes` makes them."""
    stream, read = run.sink.stream(OUTCOMES), reader(params.chain.kind)

    def outcomes(rows: Sequence[Json]) -> tuple[list[bytes], int]:
        try:
            return [outcome(read.block(row)) for row in rows], len(lines(rows))
        except MALFORMED:
            raise ProbeError("CHR-E04", "作证的节点给出的区块读不出来", "检查链的类型；换一个节点作证") from None

    for number, witness in enumerate(witnesses):
        told = Outcomes()
        for found in _fetched(params, witness, range(pin.height + 1), run, outcomes):
            for one in found:
                told.take(one)
        stream.write(json.dumps({"witness": number, "digests": told.digests()}).encode() + b"\n")


# --- going on from an interrupted run ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unfinished:
    """An interrupted run of the same count, where it had pinned the height, and how it ended when it has drawn."""

    folder: str
    evidence: RunEvidence
    pin: Pin
    end: End | None


def _unfinished(run: RunContext, identity: Identity) -> _Unfinished | None:
    """The run to go on from, unless it is too old."""
    earlier = unfinished(run.folder, identity, run.subject)
    if earlier is None:
        return None
    evidence = earlier.evidence(run.folder)
    try:
        pin = read_pin(evidence)
        end = read_end(evidence) if END in evidence.streams() and _intact(evidence, END) else None
    except (*MALFORMED, OSError):
        return None
    recent = 0 <= time.time_ns() - pin.since_ns <= RESUME_S * 10**9
    return _Unfinished(earlier.folder_name, evidence, pin, end) if recent or end else None


def _adoptable(params: Params, earlier: _Unfinished, asks: Asks) -> Adopted | None:
    """Its whole members, if they are as acknowledged and hold every block up to one that the chain still has; else nothing."""
    size, blocks, last = 0, 0, b""
    try:
        if not _intact(earlier.evidence, BLOCKS):
            return None
        with closing(earlier.evidence.open(BLOCKS)) as stream:
            for packed, data in members(stream):
                size, blocks, last = size + len(packed), blocks + data.count(b"\n"), data.splitlines()[-1]
        block = reader(params.chain.kind).block(json.loads(last))
    except (*MALFORMED, OSError):
        return None
    whole = blocks == block.number + 1 and asks.hash_at(block.number) == block.hash
    return Adopted(earlier.folder, size, blocks) if whole else None


def _intact(evidence: RunEvidence, name: str) -> bool:
    """Whether a stream is still the bytes that the ledger acknowledged."""
    h = hashlib.sha256()
    with closing(evidence.open(name)) as stream:
        while data := stream.read(CHUNK):
            h.update(data)
    return h.hexdigest() == evidence.sha256(name)


def _copy(evidence: RunEvidence, size: int, blocks: StreamWriter) -> None:
    with closing(evidence.open(BLOCKS)) as stream:
        while size:
            data = stream.read(min(CHUNK, size))
            blocks.write(data)
            size -= len(data)


# --- originals -----------------------------------------------------------------------------------------------------------


def _take_originals(wanted: Originals, run: RunContext) -> None:
    folder = run.folder / wanted.folder
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        text = f"计数已完成，抽中记录的链下原件还没有交来：{wanted.folder} 里没有文件"
        remedy = "用 yanshou sample 出清单，把清单上各条的原件放进这个文件夹，再运行 yanshou run 接着做（抽样不变）"
        raise ProbeError("CHR-E02", text, remedy)
    stream = run.sink.stream(ORIGINALS)
    for number, path in enumerate(files, 1):
        stream.write(line(_original(folder, path, wanted.digest)))
        run.progress(Progress(number, len(files), text=f"已读原件 {number} 件"))


def _original(folder: Path, path: Path, scheme: str) -> Original:
    name = path.relative_to(folder).as_posix().encode("utf-8", "replace").decode()  # a name may be no text at all
    h, size = hashlib.new(scheme), 0
    try:
        with path.open("rb") as f:
            while data := f.read(CHUNK):
                h.update(data)
                size += len(data)
    except OSError as error:
        raise ProbeError("CHR-E03", f"读不了原件 {name}：{error.strerror}", "检查读权限，关掉独占它的程序") from None
    return Original(name, size, h.hexdigest())
