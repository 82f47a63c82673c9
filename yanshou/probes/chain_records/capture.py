"""Takes every block up to one pinned height into evidence, with the receipts, as the node gave them.

It is for a record that can be counted again without the chain. It must never count, judge or leave out a block. Blocks come
in parallel and are written in order. An interrupted run stays what it was; a new one takes its whole blocks over, byte for
byte, when the chain still has them, keeps its height, and goes on: every block must still link to the pinned one by hash.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import takewhile

from yanshou.chains import reader
from yanshou.chains.connect import connect, require_verifiable
from yanshou.chains.model import MALFORMED
from yanshou.chains.rpc import Asks
from yanshou.chains.segments import lines, member, members
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import CHUNK, LedgerDamage, RunEvidence, StreamWriter, read_ledger
from yanshou.harness.runs import MEASUREMENT, Run, runs_of
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.chain_records.spec import SPEC, Params
from yanshou.probes.chain_records.streams import BLOCKS, END, PIN, Adopted, End, Pin, line, read_pin

MEMBER_BYTES = 2 << 20
"""About how much JSON one member holds: what a killed run may lose, and what each request in flight may weigh."""
FIRST_BLOCKS = 8
"""Blocks in the first requests, while nobody knows how much one weighs."""
RESUME_S = 24 * 3600
"""An interrupted count older than this is not gone on with: its height has become history."""


def capture(params: Params, run: RunContext) -> None:
    """Streams `pin.json`, `blocks.jsonl.gz` and, last, `end.json`.

    Raises ProbeError CHN-E01 to E05 (a node or a witness cannot be asked), CHR-E01 (too few blocks), UserError (no 国密 library).
    """
    with ExitStack() as stack:
        asks, *witnesses = (
            stack.enter_context(connect(params.chain, endpoint, run.folder))
            for endpoint in (params.endpoint, *params.witnesses)
        )
        _record(params, asks, witnesses, run)


def _record(params: Params, asks: Asks, witnesses: Sequence[Asks], run: RunContext) -> None:
    earlier = _unfinished(params, run)
    if earlier and asks.hash_at(earlier.pin.height) == earlier.pin.hash:
        pin = replace(earlier.pin, adopted=_adoptable(params, earlier, asks))
    else:
        pin = _pinned(params, asks)
    require_verifiable(params.chain, asks, pin.height)
    run.sink.stream(PIN).write(line(pin))
    blocks = run.sink.stream(BLOCKS)
    if earlier and pin.adopted:
        _copy(earlier.evidence, pin.adopted.bytes, blocks)
    _fetch(params, asks, range(pin.adopted.blocks if pin.adopted else 0, pin.height + 1), blocks, run)
    later = asks.head()
    seen = tuple(witness.hash_at(pin.height) for witness in witnesses)
    end = End(asks.hash_at(pin.height), seen, later, asks.hash_at(later) or "")
    run.sink.stream(END).write(line(end))


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


def _fetch(params: Params, asks: Asks, heights: range, blocks: StreamWriter, run: RunContext) -> None:
    """All blocks of `heights` in order, several requests under way at a time, each of about MEMBER_BYTES."""

    def fetched(part: range) -> tuple[bytes, int]:
        data = lines(asks.rows(part))
        return member(data), len(data)

    pending: deque[tuple[range, Future[tuple[bytes, int]]]] = deque()
    at, size = heights.start, min(FIRST_BLOCKS, params.chain.batch)
    with ThreadPoolExecutor(params.chain.parallel) as pool:
        try:
            while pending or at < heights.stop:
                while at < heights.stop and len(pending) < 2 * params.chain.parallel:
                    part = range(at, min(at + size, heights.stop))
                    pending.append((part, pool.submit(fetched, part)))
                    at = part.stop
                part, future = pending.popleft()
                packed, weight = future.result()
                blocks.write(packed)
                size = max(1, min(params.chain.batch, MEMBER_BYTES * len(part) // weight))
                run.progress(Progress(part.stop, heights.stop, text=f"已取到高度 {part.stop - 1}"))
        finally:
            for _, future in pending:
                future.cancel()


# --- going on from an interrupted run ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unfinished:
    """An interrupted run of the same count, and where it had pinned the height."""

    folder: str
    evidence: RunEvidence
    pin: Pin


def _unfinished(params: Params, run: RunContext) -> _Unfinished | None:
    """Of the interrupted runs of the very same count since it was last finished, not too old, the one that came furthest."""
    wanted = (SPEC.name, SPEC.version, run.subject, params.model_dump(mode="json"), run.seed)
    same = [
        r
        for r in _runs(run)
        if r.status is not None
        and r.purpose == MEASUREMENT
        and (r.meta["probe"], r.meta["version"], r.subject, r.meta["params"], r.meta["seed"]) == wanted
    ]
    interrupted = takewhile(lambda r: r.status is not RunStatus.COMPLETED, reversed(same))
    found = [r for r in interrupted if BLOCKS in r.streams and PIN in r.streams]
    if not found:
        return None
    furthest = max(found, key=lambda r: int(r.streams[BLOCKS]["bytes"]))
    evidence = furthest.evidence(run.folder)
    try:
        pin = read_pin(evidence)
    except (*MALFORMED, OSError):
        return None
    recent = 0 <= time.time_ns() - pin.since_ns <= RESUME_S * 10**9
    return _Unfinished(furthest.folder_name, evidence, pin) if recent else None


def _runs(run: RunContext) -> list[Run]:
    """What the ledger tells so far. Its last line may be half written: the run's own checkpoints go on meanwhile."""
    records = []
    try:
        for _, record in read_ledger(run.folder / "ledger.jsonl"):
            records.append(record)
    except (FileNotFoundError, LedgerDamage):
        pass
    return runs_of(records)


def _adoptable(params: Params, earlier: _Unfinished, asks: Asks) -> Adopted | None:
    """Its whole members, if they are as acknowledged and hold every block up to one that the chain still has; else nothing."""
    size, blocks, last = 0, 0, b""
    try:
        if not _intact(earlier.evidence):
            return None
        with closing(earlier.evidence.open(BLOCKS)) as stream:
            for packed, data in members(stream):
                size, blocks, last = size + len(packed), blocks + data.count(b"\n"), data.splitlines()[-1]
        block = reader(params.chain.kind).block(json.loads(last))
    except (*MALFORMED, OSError):
        return None
    whole = blocks == block.number + 1 and asks.hash_at(block.number) == block.hash
    return Adopted(earlier.folder, size, blocks) if whole else None


def _intact(evidence: RunEvidence) -> bool:
    """Whether the blocks are still the bytes that the ledger acknowledged."""
    h = hashlib.sha256()
    with closing(evidence.open(BLOCKS)) as stream:
        while data := stream.read(CHUNK):
            h.update(data)
    return h.hexdigest() == evidence.sha256(BLOCKS)


def _copy(evidence: RunEvidence, size: int, blocks: StreamWriter) -> None:
    with closing(evidence.open(BLOCKS)) as stream:
        while size:
            data = stream.read(min(CHUNK, size))
            blocks.write(data)
            size -= len(data)
