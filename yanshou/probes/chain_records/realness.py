"""What of a drawn sample of records holds: each recomputed from its whole block, and compared with its original.

It is for whoever must know how many of what was counted are real. Pure.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from yanshou.chains.model import MALFORMED, Proof, Reads, Transaction
from yanshou.chains.segments import raw_rows
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.chain_records.candidates import Place
from yanshou.probes.chain_records.cleartext import personal_kinds
from yanshou.probes.chain_records.rule import Rule, stated_digest
from yanshou.probes.chain_records.spec import Params
from yanshou.probes.chain_records.streams import BLOCKS, ORIGINALS, read_originals

DigestOf = Callable[[Transaction, int], bytes | None]


@dataclass
class Sample:
    """What came of recomputing the drawn records.

    `faults` counts them by what did not hold, `personal` by the kinds of personal data that anybody can read in them.
    `untold`: those of which only the node says what came of them.
    """

    drawn: int = 0
    good: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    sealed: int = 0
    signers: set[str] = field(default_factory=set)
    untold: int = 0
    personal: Counter[str] = field(default_factory=Counter)

    def facts(self, originals: Originals | None) -> Json:
        """For the report."""
        return {
            "drawn": self.drawn,
            "good": self.good,
            "blocks": self.blocks,
            "blocks_with_quorum": self.sealed,
            "signers": sorted(self.signers),
            "faults": dict(sorted(self.faults.items())),
            "original_files": originals.files if originals else None,
        }


@dataclass
class Originals:
    """What was handed over: digests of `files` originals that are not empty. Each vouches for one record."""

    digests: DigestOf
    files: int
    left: set[bytes]

    @classmethod
    def of(cls, evidence: RunEvidence, params: Params, read: Reads) -> Originals | None:
        """None where none were asked for, or none are in evidence."""
        if params.originals is None or ORIGINALS not in evidence.streams():
            return None
        try:
            originals = [original for original in read_originals(evidence) if original.bytes]
            left = {bytes.fromhex(original.digest) for original in originals}
        except MALFORMED:
            return None
        return cls(digests_of(params, read), len(originals), left)

    def vouches(self, transaction: Transaction, item: int) -> bool:
        """Whether an original is there that no other record has claimed."""
        stated = self.digests(transaction, item)
        if stated not in self.left:
            return False
        self.left.remove(stated)
        return True


def digests_of(params: Params, read: Reads) -> DigestOf:
    """What the record number `item` of a transaction states as its original's digest."""
    assert params.originals is not None
    record = params.record.model_copy(update={"payload": (params.originals.argument,)})
    rule = Rule.of(record, read.is_system, params.chain.by_name)

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


def rows_at(evidence: RunEvidence, places: Sequence[Place]) -> Iterator[tuple[list[Place], Json]]:
    """Of each block with one of `places`, in order, which these are, and its row."""
    wanted: dict[int, list[Place]] = defaultdict(list)
    for place in places:
        wanted[place.block].append(place)
    with closing(evidence.open(BLOCKS)) as stream:
        for number, line in enumerate(raw_rows(stream)):
            if number in wanted:
                yield wanted[number], json.loads(line)


def recompute(drawn: Iterator[tuple[list[Place], Json]], read: Reads, originals: Originals | None) -> Sample:
    """Recompute each drawn record from its whole block, and look for its original where these were asked for."""
    sample = Sample()
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


def _note(sample: Sample, proof: Proof, drawn: Sequence[int], originals: Sequence[bool] | None) -> None:
    """Enter one block's proof for the records at the transactions `drawn`, and whether the original of each is there."""
    sample.blocks += 1
    sample.sealed += proof.seals.enough
    sample.signers |= set(proof.seals.signed)
    block = {"header": proof.header, "root": proof.root}
    if proof.receipts is None:
        sample.untold += len(drawn)
    else:
        block["receipts"] = proof.receipts
    if proof.seals.sealers:
        block["seals"] = proof.seals.enough
    for number, transaction in enumerate(drawn):
        held = {**block, "genuine": proof.genuine[transaction]}
        if originals is not None:
            held["original"] = originals[number]
        sample.good += all(held.values())
        sample.faults.update(name for name, holds in held.items() if not holds)


def proofs(params: Params, sample: Sample | None) -> Iterator[Validity]:
    """What does not hold of the sample, what anybody can read in it, and what it cannot show."""
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
    if sample.untold and params.chain.outcomes_hashed:
        text = f"抽中的 {sample.drawn} 条里 {sample.untold} 条的回执缺状态根，无从核对：执行成败只是节点自己的话"
        yield Validity("CHR-V16", Severity.WARNING, text)


def handed_over(params: Params, originals: Originals | None) -> Iterator[Validity]:
    """Whether the originals that were asked for are in evidence."""
    if params.originals and originals is None:
        yield Validity("CHR-V14", Severity.INVALID, "约定核对链下原件，证据里却没有原件的摘要：抽样没有核对完")
