"""Counts the registered legal persons that have a counted record on the chain, and recomputes one record of each that is drawn.

It is for giving the same count from the same bytes, forever. It must never touch the world and never know a limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

from yanshou.chains import reader
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Audit, Count, Exclusion, Severity, Validity
from yanshou.probes.chain_records.candidates import Candidates
from yanshou.probes.chain_records.realness import proofs, recompute, rows_at
from yanshou.probes.chain_records.walk import (
    counter_agrees,
    is_whole,
    outcomes_agree,
    read_ends,
    walk_blocks,
    wholeness,
    witnesses_agree,
)
from yanshou.probes.chain_subjects.register import REASONS, Judged, judge
from yanshou.probes.chain_subjects.spec import Params
from yanshou.probes.chain_subjects.streams import REGISTER
from yanshou.probes.reading import read_table
from yanshou.probes.sampling import draw_sample

CROWDED = 0.5
"""Share of the subjects whose first record lies on one day, above which it is said."""
FEW = 20
"""Below so many subjects no share means anything."""


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged evidence yields; cut or broken evidence gives findings, never an exception."""
    read = reader(params.records.chain.kind)
    pin, end = read_ends(evidence)
    with Candidates() as candidates:
        walk = walk_blocks(evidence, params.records, read, candidates)
        records, _ = candidates.settle()
        active = {activity.address: activity for activity in candidates.by_sender()}
    judged = None
    if REGISTER in evidence.streams():
        with read_table(evidence.open(REGISTER), params.subjects.encoding, ",") as (columns, rows):
            if set(params.subjects.columns()) <= set(columns):
                judged = judge(columns, rows, params.subjects, active)
    readable = judged is not None
    judged = judged or Judged(0, Counter(), {}, {}, frozenset(), 0)
    sample = None
    if judged.net and end and is_whole(pin, end, walk):
        source = f"{end.draw}:{evidence.sha256(REGISTER)}"
        drawn = sorted(draw_sample(judged.net, params.records.sample, seed, source))
        firsts = [activity.first for activity in judged.subjects.values()]
        sample = recompute(rows_at(evidence, [firsts[i] for i in drawn]), read, None)
    strangers = [activity for address, activity in active.items() if address not in judged.accounts]
    days = Counter(activity.day for activity in judged.subjects.values())
    affiliates = judged.affiliates()
    facts: dict[str, Json] = {
        "height": pin.height if pin else None,
        "hash": pin.hash if pin else None,
        "genesis": pin.genesis if pin else None,
        "draw_hash": end.later_hash if end else None,
        "draw_height": end.later_height if end else None,
        "draw_salt": end.salt if end else None,
        "register_sha256": evidence.sha256(REGISTER) if readable else None,
        "records": records,
        "accounts_with_records": len(active),
        "unregistered_accounts": len(strangers),
        "records_of_unregistered_accounts": sum(a.records for a in strangers),
        "controllers_of_several": len(affiliates),
        "most_of_one_controller": max(affiliates.values(), default=0),
        "sample": sample.facts(None) if sample else None,
    }
    return Count(
        unit=params.unit,
        gross=judged.gross,
        exclusions=tuple(Exclusion(code, text, judged.excluded[code]) for code, text in REASONS.items()),
        net=judged.net,
        audit=Audit(judged.net, sample.drawn, sample.good) if sample else None,
        per_day=tuple((date.fromordinal(day).isoformat(), n) for day, n in sorted(days.items())),
        columns=_columns(params, judged),
        validity=(
            *wholeness(pin, end, walk),
            *counter_agrees(read, pin, walk),
            *witnesses_agree(params.records, pin, end),
            *outcomes_agree(evidence, params.records, pin, walk),
            *_said(params, judged, readable, days),
            *proofs(params.records, sample),
        ),
        facts=facts,
    )


def _columns(params: Params, judged: Judged) -> tuple[tuple[str, int], ...]:
    """Those that share a controller apart from the others."""
    if params.subjects.controller is None:
        return ()
    affiliated = sum(judged.affiliates().values())
    return (("无共同控制方", judged.net - affiliated), ("有共同控制方", affiliated))


def _said(params: Params, judged: Judged, readable: bool, days: Counter[int]) -> Iterator[Validity]:
    if not readable:
        yield Validity("CHS-V01", Severity.INVALID, "证据里没有可读的服务主体清册：计数不能作数")
    if judged.shared:
        text = f"{judged.shared} 个账户登记在不止一家名下：只认首行，请查明账户由谁掌握"
        yield Validity("CHS-V02", Severity.WARNING, text)
    if params.subjects.controller is None:
        yield Validity("CHS-V03", Severity.WARNING, "清册没有控制方一列：关联主体没有另列")
    if judged.net >= FEW:
        day, most = days.most_common(1)[0]
        if most > CROWDED * judged.net:
            text = f"{most / judged.net:.0%} 的主体的首条记录在同一天（{date.fromordinal(day)}），请查明是否代为上链"
            yield Validity("CHS-V04", Severity.WARNING, text)
