"""Counts the records in recorded blocks: gross -> each reason -> net, and recomputes a drawn sample of them.

It is for giving the same count from the same bytes, forever. It must never touch the world and never know a limit. Blocks are
streamed; what must be remembered of each candidate lies in a scratch database on disk.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from yanshou.chains import reader
from yanshou.chains.crypto import Suite
from yanshou.chains.model import MALFORMED, Block, Proof, Reads, Transaction
from yanshou.chains.segments import raw_rows
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Audit, Count, Exclusion, Reason, Severity, Validity
from yanshou.probes.chain_records.candidates import Candidates, Place
from yanshou.probes.chain_records.cleartext import personal_kinds
from yanshou.probes.chain_records.earlier import last_drawn
from yanshou.probes.chain_records.rule import REASONS, Rule, digest, hollow, stated_digest
from yanshou.probes.chain_records.spec import Params
from yanshou.probes.chain_records.streams import BLOCKS, ORIGINALS, End, Pin, read_end, read_originals, read_pin
from yanshou.probes.sampling import draw_sample
from yanshou.probes.texts import BEIJING

RECENT_DAYS = 7
CROWDED = 0.5
"""Share of all records in the last seven days, of one sender, or of one sender on one day, above which it is said."""
FEW = 100
"""Below so many records no share means anything."""
TOP_SENDERS = 10
DigestOf = Callable[[Transaction, int], bytes | None]
REQUEST = ("transaction", "item", "height", "scheme", "digest")
"""Columns of the list of originals to be handed over."""


@dataclass
class _Walk:
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
        return True


def _walk(evidence: RunEvidence, params: Params, read: Reads, candidates: Candidates) -> _Walk:
    walk, rule = _Walk(), Rule.of(params.record, read.is_system)
    start, end = params.window.bounds() if params.window else (datetime.min, datetime.max)
    try:
        with closing(evidence.open(BLOCKS)) as stream:
            for line in raw_rows(stream):
                row = json.loads(line)
                block = read.block(row)
                if not walk.take(block, read.suite(row)):
                    break
                if block.transactions:
                    when = _beijing(block.time_s)
                    _sort(block, rule, start <= when <= end, when.toordinal(), walk, candidates)
    except MALFORMED:
        walk.broken = True
    return walk


def _sort(block: Block, rule: Rule, inside: bool, day: int, walk: _Walk, candidates: Candidates) -> None:
    """Every record of a block to its reason or among the candidates."""
    for position, t in enumerate(block.transactions):
        walk.failed += not t.succeeded
        sender = bytes.fromhex(t.sender.removeprefix("0x")).rjust(20, b"\0")[:20]
        for item, judged in enumerate(rule.judge(t)):
            walk.gross += 1
            if isinstance(judged, str):
                walk.excluded[judged] += 1
            elif not inside:
                walk.excluded["CHR-X-WINDOW"] += 1
            elif code := hollow(judged):
                walk.excluded[code] += 1
            else:
                candidates.add(block.number, position, item, day, digest(judged), sender)


def _beijing(seconds: int) -> datetime:
    """Naive Beijing time; the first moment there is for a time that is none."""
    try:
        return datetime.fromtimestamp(seconds, BEIJING).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return datetime.min


# --- realness ----------------------------------------------------------------------------------------------------------


@dataclass
class _Sample:
    """What came of recomputing the drawn records.

    `faults` counts them by what did not hold, `personal` by the kinds of personal data that anybody can read in them.
    """

    drawn: int = 0
    good: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    sealed: int = 0
    signers: set[str] = field(default_factory=set)
    personal: Counter[str] = field(default_factory=Counter)


@dataclass
class _Originals:
    """What was handed over: digests of `files` originals that are not empty. Each vouches for one record."""

    digests: DigestOf
    files: int
    left: set[bytes]

    @classmethod
    def of(cls, evidence: RunEvidence, params: Params, read: Reads) -> _Originals | None:
        """None where none were asked for, or none are in evidence."""
        if params.originals is None or ORIGINALS not in evidence.streams():
            return None
        try:
            originals = [original for original in read_originals(evidence) if original.bytes]
            left = {bytes.fromhex(original.digest) for original in originals}
        except MALFORMED:
            return None
        return cls(_digests(params, read), len(originals), left)

    def vouches(self, transaction: Transaction, item: int) -> bool:
        """Whether an original is there that no other record has claimed."""
        stated = self.digests(transaction, item)
        if stated not in self.left:
            return False
        self.left.remove(stated)
        return True


def _digests(params: Params, read: Reads) -> DigestOf:
    """What the record number `item` of a transaction states as its original's digest."""
    assert params.originals is not None
    rule = Rule.of(params.record.model_copy(update={"payload": (params.originals.argument,)}), read.is_system)

    def stated(transaction: Transaction, item: int) -> bytes | None:
        judged = list(rule.judge(transaction))[item]
        return None if isinstance(judged, str) else stated_digest(judged[0])

    return stated


_FAULTS = {
    "header": "区块哈希不由块头得出",
    "root": "交易根不由块内全部交易得出",
    "receipts": "回执根不由全部回执得出",
    "genuine": "交易哈希或发送方签名不成立",
    "seals": "出块签名不足法定数",
    "unreadable": "区块的字段读不出来",
    "original": "没有交来与链上摘要一致的原件",
}


def _drawn(
    evidence: RunEvidence, params: Params, candidates: Candidates, net: int, draw: str, seed: int
) -> Iterator[tuple[list[Place], Json]]:
    """Draw by `seed` and the hash `draw`: of each block with drawn records, in order, where these stand, and its row."""
    wanted: dict[int, list[Place]] = defaultdict(list)
    for place in candidates.places(draw_sample(net, params.sample, seed, draw)):
        wanted[place.block].append(place)
    with closing(evidence.open(BLOCKS)) as stream:
        for number, line in enumerate(raw_rows(stream)):
            if number in wanted:
                yield wanted[number], json.loads(line)


def _sample(drawn: Iterator[tuple[list[Place], Json]], read: Reads, originals: _Originals | None) -> _Sample:
    """Recompute each drawn record from its whole block, and look for its original where these were asked for."""
    sample = _Sample()
    for places, row in drawn:
        sample.drawn += len(places)
        at = [place.transaction for place in places]
        try:
            proof, transactions = read.prove(row, at), read.block(row).transactions
        except MALFORMED:
            sample.faults["unreadable"] += len(places)
            continue
        sample.personal.update(kind for i in at for kind in personal_kinds(transactions[i]))
        there = [originals.vouches(transactions[p.transaction], p.item) for p in places] if originals else None
        _note(sample, proof, at, there)
    return sample


def _note(sample: _Sample, proof: Proof, drawn: Sequence[int], originals: Sequence[bool] | None) -> None:
    """Enter one block's proof for the records at the transactions `drawn`, and whether the original of each is there."""
    sample.blocks += 1
    sample.sealed += proof.seals.enough
    sample.signers |= set(proof.seals.signed)
    block = {"header": proof.header, "root": proof.root}
    if proof.receipts is not None:
        block["receipts"] = proof.receipts
    if proof.seals.sealers:
        block["seals"] = proof.seals.enough
    for number, transaction in enumerate(drawn):
        held = {**block, "genuine": proof.genuine[transaction]}
        if originals is not None:
            held["original"] = originals[number]
        sample.good += all(held.values())
        sample.faults.update(name for name, holds in held.items() if not holds)


# --- all together ------------------------------------------------------------------------------------------------------


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged evidence yields; cut or broken evidence gives findings, never an exception."""
    read = reader(params.chain.kind)
    pin, end = _read(evidence)
    with Candidates() as candidates:
        walk = _walk(evidence, params, read, candidates) if BLOCKS in evidence.streams() else _Walk(broken=True)
        net, seen = candidates.settle()
        walk.excluded["CHR-X-DUP"] = seen - net
        whole = not walk.broken and pin is not None and end is not None and walk.blocks == pin.height + 1
        sample = None
        originals = _Originals.of(evidence, params, read)
        if net and whole and end:
            drawn = _drawn(evidence, params, candidates, net, end.later_hash, seed)
            sample = _sample(drawn, read, originals)
        per_day = tuple((date.fromordinal(day).isoformat(), n) for day, n in candidates.per_day())
        top, crowd, senders = candidates.top_senders(TOP_SENDERS), candidates.top_sender_day(), candidates.senders()
    validity = [
        *_whole(whole, pin, end, walk),
        *_counter(read, pin, walk),
        *_witnesses(params, pin, end),
        *_crowding(params, net, per_day, top),
        *_proofs(sample),
        *_handed_over(params, originals),
    ]
    share = _share_at_the_end(per_day, net)
    facts: dict[str, Json] = {
        "height": pin.height if pin else None,
        "hash": pin.hash if pin else None,
        "genesis": pin.genesis if pin else None,
        "draw_hash": end.later_hash if end else None,
        "draw_height": end.later_height if end else None,
        "blocks": walk.blocks,
        "transactions": walk.transactions,
        "failed": walk.failed,
        "counter": pin.counter if pin else None,
        "suites": {suite.value: n for suite, n in walk.suites.items() if suite},
        "adopted": asdict(pin.adopted) if pin and pin.adopted else None,
        "first_time": _beijing(walk.first_s).isoformat() if walk.transactions else None,
        "last_time": _beijing(walk.last_s).isoformat() if walk.transactions else None,
        "time_zone": "UTC+08:00",
        "last_seven_days_share": share,
        "senders": senders,
        "top_senders": [{"address": address, "records": n} for address, n in top],
        "most_by_one_sender_in_one_day": crowd[2],
        "sample": None
        if sample is None
        else {
            "drawn": sample.drawn,
            "good": sample.good,
            "blocks": sample.blocks,
            "blocks_with_quorum": sample.sealed,
            "signers": sorted(sample.signers),
            "faults": dict(sorted(sample.faults.items())),
            "original_files": originals.files if originals else None,
        },
    }
    return Count(
        unit=params.unit,
        gross=walk.gross,
        exclusions=tuple(Exclusion(code, text, walk.excluded[code]) for code, text in REASONS.items()),
        net=net,
        audit=Audit(net, sample.drawn, sample.good) if sample else None,
        per_day=per_day,
        open=tuple(_open(read, pin, walk, net, crowd)),
        validity=tuple(validity),
        facts=facts,
    )


def _read(evidence: RunEvidence) -> tuple[Pin | None, End | None]:
    pin: Pin | None = None
    try:
        pin = read_pin(evidence)
        return pin, read_end(evidence)
    except MALFORMED:
        return pin, None


def _whole(whole: bool, pin: Pin | None, end: End | None, walk: _Walk) -> Iterator[Validity]:
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


def _difference(read: Reads, pin: Pin | None, walk: _Walk) -> str | None:
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


def _counter(read: Reads, pin: Pin | None, walk: _Walk) -> Iterator[Validity]:
    if text := _difference(read, pin, walk):
        yield Validity("CHR-V04", Severity.WARNING, f"{text}，差额不能由排除项解释")


def _witnesses(params: Params, pin: Pin | None, end: End | None) -> Iterator[Validity]:
    if not params.witnesses:
        yield Validity("CHR-V07", Severity.WARNING, "只问了一个节点：它给出的链是不是大家共有的那条，没有核对")
    elif pin and end:
        for endpoint, seen in zip(params.witnesses, end.witnesses, strict=False):
            if seen != pin.hash:
                text = f"节点 {endpoint.url} 在高度 {pin.height} 的区块哈希是 {seen or '没有'}，不是 {pin.hash}：不同的链或分叉"
                yield Validity("CHR-V06", Severity.INVALID, text)


def _share_at_the_end(per_day: Sequence[tuple[str, int]], net: int) -> float | None:
    if not net:
        return None
    since = (date.fromisoformat(per_day[-1][0]) - timedelta(days=RECENT_DAYS - 1)).isoformat()
    return sum(n for day, n in per_day if day >= since) / net


def _crowding(
    params: Params, net: int, per_day: Sequence[tuple[str, int]], top: Sequence[tuple[str, int]]
) -> Iterator[Validity]:
    if net < FEW:
        return
    start, end = params.window.bounds() if params.window else (datetime.min, datetime.max)
    share = _share_at_the_end(per_day, net) or 0.0
    if share > CROWDED and end - start > timedelta(days=RECENT_DAYS):
        text = f"{share:.0%} 的记录集中在最后 {RECENT_DAYS} 天（至 {per_day[-1][0]}），请查明是否突击上链"
        yield Validity("CHR-V05", Severity.WARNING, text)
    address, most = top[0]
    if most > CROWDED * net:
        text = f"{most / net:.0%} 的记录由同一个账户 {address} 发送"
        yield Validity("CHR-V09", Severity.WARNING, text)


def _proofs(sample: _Sample | None) -> Iterator[Validity]:
    if sample is None:
        return
    if sample.good < sample.drawn:
        why = "、".join(f"{_FAULTS[name]} {n} 条" for name, n in sorted(sample.faults.items()))
        text = f"抽中的 {sample.drawn} 条里 {sample.drawn - sample.good} 条不成立：{why}"
        yield Validity("CHR-V10", Severity.WARNING, text)
    if sample.personal:
        kinds = "、".join(f"{name} {n} 条" for name, n in sorted(sample.personal.items()))
        yield Validity("CHR-V13", Severity.WARNING, f"抽中的 {sample.drawn} 条里有明文的个人信息：{kinds}")
    if not sample.signers and not sample.faults["seals"]:
        text = "区块里没有可核对的出块签名：只能说明链自身前后一致，不能说明谁出的块"
        yield Validity("CHR-V12", Severity.WARNING, text)


def _handed_over(params: Params, originals: _Originals | None) -> Iterator[Validity]:
    if params.originals and originals is None:
        yield Validity("CHR-V14", Severity.INVALID, "约定核对链下原件，证据里却没有原件的摘要：抽样没有核对完")


def _open(read: Reads, pin: Pin | None, walk: _Walk, net: int, crowd: tuple[str, int, int]) -> Iterator[Reason]:
    """What forbids a verdict: questions that only people can answer."""
    if text := _difference(read, pin, walk):
        yield Reason("counter_disagrees", f"{text}：查明之前不予判定")
    address, day, most = crowd
    if net >= FEW and most > CROWDED * net:
        text = f"{most / net:.0%} 的记录由账户 {address} 在 {date.fromordinal(day)} 一天内发送：请项目说明来源，查明之前不予判定"
        yield Reason("one_sender_in_one_day", text)


# --- the list of originals ------------------------------------------------------------------------------------------------


def sheets(folder: Path, params: Params, seed: int) -> dict[str, str]:
    """The list of drawn records whose originals are to be handed over, beside the folder for these and named after the run.

    Raises OSError, ValueError where nothing has been counted to the end yet.
    """
    if params.originals is None:
        return {}
    run = last_drawn(folder, params, seed)
    if run is None:
        raise ValueError("链上记录还没有数完，要先运行 yanshou run")
    evidence, read = run.evidence(folder), reader(params.chain.kind)
    _, end = _read(evidence)
    if end is None:
        raise ValueError(f"运行 {run.folder_name} 的证据读不出来")
    digests = _digests(params, read)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(REQUEST)
    with Candidates() as candidates:
        _walk(evidence, params, read, candidates)
        net, _ = candidates.settle()
        for places, row in _drawn(evidence, params, candidates, net, end.later_hash, seed):
            block = read.block(row)
            for place in places:
                transaction = block.transactions[place.transaction]
                stated = digests(transaction, place.item)
                hexed = stated.hex() if stated else ""
                writer.writerow((transaction.hash, place.item, block.number, params.originals.digest, hexed))
    return {f"{params.originals.folder.rstrip('/')}-{run.number:04d}.csv": out.getvalue()}
