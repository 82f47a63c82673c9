"""One pass over recorded blocks: what follows from what, every record to its reason or among the candidates.

It is for whoever counts something on a chain: records, or those who sent them. Pure; blocks are streamed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

from yanshou.chains.crypto import Suite
from yanshou.chains.model import MALFORMED, Block, Reads
from yanshou.chains.segments import raw_rows
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.chain_records.candidates import Candidates, Place
from yanshou.probes.chain_records.rule import Rule, digest, hollow
from yanshou.probes.chain_records.spec import Params
from yanshou.probes.chain_records.streams import (
    BLOCKS,
    SPAN,
    End,
    Outcomes,
    Pin,
    outcome,
    read_end,
    read_outcomes,
    read_pin,
)
from yanshou.probes.texts import BEIJING


@dataclass
class Walk:
    """What one pass over the blocks found. `blocks` follow each other from the first; nothing is counted after a gap."""

    blocks: int = 0
    last_hash: str = ""
    transactions: int = 0
    failed: int = 0
    gross: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    suites: Counter[Suite | None] = field(default_factory=Counter)
    unlinked: list[int] = field(default_factory=list)
    backwards: int = 0
    first_s: int = 0
    last_s: int = 0
    broken: bool = False
    outcomes: Outcomes = field(default_factory=Outcomes)

    def take(self, block: Block, suite: Suite | None) -> bool:
        """Note a block; False when it is not the next one."""
        if block.number != self.blocks:
            self.broken = True
            return False
        if suite is None or (self.blocks and block.parent != self.last_hash):
            self.unlinked.append(block.number)
        self.suites[suite] += 1
        if block.transactions:
            self.backwards += block.time_s < self.last_s
            self.first_s = self.first_s or block.time_s
            self.last_s = max(self.last_s, block.time_s)
        self.blocks, self.last_hash = self.blocks + 1, block.hash
        self.transactions += len(block.transactions)
        self.outcomes.take(outcome(block))
        return True


def walk_blocks(evidence: RunEvidence, params: Params, read: Reads, candidates: Candidates) -> Walk:
    """The blocks of the evidence, as far as they go; candidates into `candidates`, which are not settled."""
    if BLOCKS not in evidence.streams():
        return Walk(broken=True)
    walk, rule = Walk(), Rule.of(params.record, read.is_system, params.chain.by_name)
    start, end = params.window.bounds() if params.window else (datetime.min, datetime.max)
    try:
        with closing(evidence.open(BLOCKS)) as stream:
            for line in raw_rows(stream):
                row = json.loads(line)
                block = read.block(row)
                if not walk.take(block, read.suite(row)):
                    break
                if block.transactions:
                    when = beijing(block.time_s)
                    _sort(block, rule, start <= when <= end, when.toordinal(), walk, candidates)
    except MALFORMED:
        walk.broken = True
    return walk


def _sort(block: Block, rule: Rule, inside: bool, day: int, walk: Walk, candidates: Candidates) -> None:
    """Every record of a block to its reason or among the candidates; those outside the window only keep others from counting."""
    for position, t in enumerate(block.transactions):
        walk.failed += not t.succeeded
        sender = bytes.fromhex(t.sender.removeprefix("0x")).rjust(20, b"\0")[:20]
        for item, judged in enumerate(rule.judge(t)):
            walk.gross += 1
            if isinstance(judged, str):
                walk.excluded[judged] += 1
            elif inside and (code := hollow(judged)):
                walk.excluded[code] += 1
            else:
                walk.excluded["CHR-X-WINDOW"] += not inside
                candidates.add(Place(block.number, position, item), day, inside, digest(judged), sender)


def beijing(seconds: int) -> datetime:
    """Naive Beijing time; the first moment there is for a time that is none."""
    try:
        return datetime.fromtimestamp(seconds, BEIJING).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return datetime.min


def read_ends(evidence: RunEvidence) -> tuple[Pin | None, End | None]:
    """Where the height was pinned and how it stood at the end; None for what is not there or cannot be read."""
    pin: Pin | None = None
    try:
        pin = read_pin(evidence)
        return pin, read_end(evidence)
    except MALFORMED:
        return pin, None


def is_whole(pin: Pin | None, end: End | None, walk: Walk) -> bool:
    """True when every block up to the pinned height is there, and the end was reached."""
    return not walk.broken and pin is not None and end is not None and walk.blocks == pin.height + 1


def wholeness(pin: Pin | None, end: End | None, walk: Walk) -> Iterator[Validity]:
    """What keeps the blocks from being the chain up to the pinned height."""
    whole = is_whole(pin, end, walk)
    if not whole:
        have = f"到高度 {walk.blocks - 1}" if walk.blocks else "没有"
        text = f"区块没有取全：可读的{have}，定高 {pin.height if pin else '未知'}：计数不能作数"
        yield Validity("CHR-V01", Severity.INVALID, text)
    if pin and end and end.hash != pin.hash:
        text = f"计数期间链被改写：高度 {pin.height} 的区块哈希由 {pin.hash} 变为 {end.hash or '没有'}，计数不能作数"
        yield Validity("CHR-V02", Severity.INVALID, text)
    unlinked = list(walk.unlinked)
    if whole and pin and walk.last_hash != pin.hash:
        unlinked.append(pin.height)
    if unlinked:
        text = f"{len(unlinked)} 个区块接不上：哈希不由块头得出，或不是前一块的下一块；第一个在高度 {unlinked[0]}"
        yield Validity("CHR-V03", Severity.INVALID, text)
    if walk.backwards:
        text = f"{walk.backwards} 个区块的时间早于更低的区块：按日统计与时间窗口只能参考"
        yield Validity("CHR-V08", Severity.WARNING, text)
    if pin and pin.adopted:
        text = f"高度 {pin.adopted.blocks - 1} 以下的区块取自中断的运行 {pin.adopted.run}，逐块以哈希接到定高"
        yield Validity("CHR-V11", Severity.INFO, text)


def difference(read: Reads, pin: Pin | None, walk: Walk) -> str | None:
    """How the chain's own counter at the pinned height differs from the blocks; None where it agrees or cannot be compared."""
    try:
        told = read.counter(pin.counter) if pin else None
    except MALFORMED:
        return "链自报的交易数读不出来"
    if told is None or pin is None or told.height != pin.height or walk.blocks != pin.height + 1:
        return None
    if told.transactions != walk.transactions:
        return f"链自报到高度 {told.height} 有 {told.transactions} 笔交易，逐块数得 {walk.transactions} 笔"
    if told.failed not in (None, walk.failed):
        return f"链自报失败 {told.failed} 笔，逐块数得 {walk.failed} 笔"
    return None


def counter_agrees(read: Reads, pin: Pin | None, walk: Walk) -> Iterator[Validity]:
    """Whether the chain's own counter says otherwise."""
    if text := difference(read, pin, walk):
        yield Validity("CHR-V04", Severity.WARNING, f"{text}，差额不能由排除项解释")


def witnesses_agree(params: Params, pin: Pin | None, end: End | None) -> Iterator[Validity]:
    """Whether the witnesses have the same block at the pinned height."""
    if not params.witnesses:
        yield Validity("CHR-V07", Severity.WARNING, "只问了一个节点：它给出的链是不是大家共有的那条，没有核对")
    elif pin and end:
        for endpoint, seen in zip(params.witnesses, end.witnesses, strict=False):
            if seen != pin.hash:
                text = f"节点 {endpoint.url} 在高度 {pin.height} 的区块哈希是 {seen or '没有'}，不是 {pin.hash}：不同的链或分叉"
                yield Validity("CHR-V06", Severity.INVALID, text)


def outcomes_agree(evidence: RunEvidence, params: Params, pin: Pin | None, walk: Walk) -> Iterator[Validity]:
    """Whether the witnesses say the same of every transaction, where no hash covers what came of it."""
    if params.chain.outcomes_hashed or not params.witnesses or pin is None:
        return
    try:
        told = read_outcomes(evidence)
    except (*MALFORMED, OSError):
        told = []
    if len(told) < len(params.witnesses):
        yield Validity("CHR-V15", Severity.INVALID, "作证的节点没有说完各笔交易的成败：没有核对")
    mine = walk.outcomes.digests()
    for endpoint, theirs in zip(params.witnesses, told, strict=False):
        differ = [i for i, (one, two) in enumerate(zip_longest(mine, theirs)) if one != two]
        if differ:
            first, last = differ[0] * SPAN, min(differ[0] * SPAN + SPAN - 1, pin.height)
            text = (
                f"节点 {endpoint.url} 所说的交易成败不同：{len(differ)} 段，第一段在高度 {first}–{last}，计数不能作数"
            )
            yield Validity("CHR-V15", Severity.INVALID, text)
