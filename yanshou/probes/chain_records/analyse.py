"""Counts the records in recorded blocks: gross -> each reason -> net, and recomputes a drawn sample of them.

It is for giving the same count from the same bytes, forever. It must never touch the world and never know a limit. Blocks are
streamed; what must be remembered of each candidate lies in a scratch database on disk.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path

from yanshou.chains import reader
from yanshou.chains.model import Reads
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Audit, Count, Exclusion, Reason, Severity, Shares, Validity
from yanshou.probes.chain_records.candidates import Candidates, Place
from yanshou.probes.chain_records.earlier import last_drawn
from yanshou.probes.chain_records.realness import Originals, digests_of, handed_over, proofs, recompute, rows_at
from yanshou.probes.chain_records.rule import REASONS
from yanshou.probes.chain_records.spec import SPEC, Params
from yanshou.probes.chain_records.streams import End, Pin
from yanshou.probes.chain_records.walk import (
    Walk,
    beijing,
    counter_agrees,
    difference,
    is_whole,
    outcomes_agree,
    read_ends,
    walk_blocks,
    wholeness,
    witnesses_agree,
)
from yanshou.probes.earlier import Identity
from yanshou.probes.sampling import draw_sample

RECENT_DAYS = 7
CROWDED = 0.5
"""Share of all records in the last seven days, of one sender, or of one sender on one day, above which it is said."""
FEW = 100
"""Below so many records no share means anything."""
TOP_SENDERS = 10
REQUEST = ("transaction", "item", "height", "scheme", "digest")
"""Columns of the list of originals to be handed over."""


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged evidence yields; cut or broken evidence gives findings, never an exception."""
    read = reader(params.chain.kind)
    pin, end = read_ends(evidence)
    with Candidates() as candidates:
        walk = walk_blocks(evidence, params, read, candidates)
        net, seen = candidates.settle()
        walk.excluded["CHR-X-DUP"] = seen - net
        sample = None
        originals = Originals.of(evidence, params, read)
        if net and end and is_whole(pin, end, walk):
            places = _draw(params, candidates, net, end, seed)
            sample = recompute(rows_at(evidence, places), read, originals)
        days = candidates.per_day()
        top, crowd, senders = candidates.top_senders(TOP_SENDERS), candidates.top_sender_day(), candidates.senders()
    validity = [
        *wholeness(pin, end, walk),
        *counter_agrees(read, pin, walk),
        *witnesses_agree(params, pin, end),
        *outcomes_agree(evidence, params, pin, walk),
        *_crowding(params, net, days, top),
        *proofs(params, sample),
        *handed_over(params, originals),
    ]
    facts: dict[str, Json] = {
        "height": pin.height if pin else None,
        "hash": pin.hash if pin else None,
        "genesis": pin.genesis if pin else None,
        "draw_hash": end.later_hash if end else None,
        "draw_height": end.later_height if end else None,
        "draw_salt": end.salt if end else None,
        "blocks": walk.blocks,
        "transactions": walk.transactions,
        "failed": walk.failed,
        "counter": pin.counter if pin else None,
        "suites": {suite.value: n for suite, n in walk.suites.items() if suite},
        "adopted": asdict(pin.adopted) if pin and pin.adopted else None,
        "first_time": beijing(walk.first_s).isoformat() if walk.transactions else None,
        "last_time": beijing(walk.last_s).isoformat() if walk.transactions else None,
        "time_zone": "UTC+08:00",
        "last_seven_days_share": _share_at_the_end(days, net) if net else None,
        "senders": senders,
        "top_senders": [{"address": address, "records": n} for address, n in top],
        "most_by_one_sender_in_one_day": crowd[2],
        "sample": sample.facts(originals) if sample else None,
    }
    return Count(
        unit=params.unit,
        gross=walk.gross,
        exclusions=tuple(Exclusion(code, text, walk.excluded[code]) for code, text in REASONS.items()),
        net=net,
        audit=Audit(net, sample.drawn, sample.good) if sample else None,
        per_day=tuple((date.fromordinal(day).isoformat(), n) for day, n in days),
        open=tuple(_open(read, pin, walk, net, crowd)),
        validity=tuple(validity),
        facts=facts,
        pictures=(Shares("各发送账户的记录数", params.unit, tuple(top), net, senders - len(top)),),
    )


def _draw(params: Params, candidates: Candidates, net: int, end: End, seed: int) -> list[Place]:
    """Where the drawn records stand."""
    return candidates.places(draw_sample(net, params.sample, seed, end.draw))


def _share_at_the_end(days: Sequence[tuple[int, int]], net: int) -> float:
    return sum(n for day, n in days if day > days[-1][0] - RECENT_DAYS) / net


def _crowding(
    params: Params, net: int, days: Sequence[tuple[int, int]], top: Sequence[tuple[str, int]]
) -> Iterator[Validity]:
    if net < FEW:
        return
    start, end = params.window.bounds() if params.window else (datetime.min, datetime.max)
    share = _share_at_the_end(days, net)
    if share > CROWDED and end - start > timedelta(days=RECENT_DAYS):
        text = (
            f"{share:.0%} 的记录集中在最后 {RECENT_DAYS} 天（至 {date.fromordinal(days[-1][0])}），请查明是否突击上链"
        )
        yield Validity("CHR-V05", Severity.WARNING, text)
    address, most = top[0]
    if most > CROWDED * net:
        text = f"{most / net:.0%} 的记录由同一个账户 {address} 发送"
        yield Validity("CHR-V09", Severity.WARNING, text)


def _open(read: Reads, pin: Pin | None, walk: Walk, net: int, crowd: tuple[str, int, int]) -> Iterator[Reason]:
    """What forbids a verdict: questions that only people can answer."""
    if text := difference(read, pin, walk):
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
    run = last_drawn(folder, Identity.of(SPEC, params, seed))
    if run is None:
        raise ValueError("链上记录还没有数完，要先运行 yanshou run")
    evidence, read = run.evidence(folder), reader(params.chain.kind)
    _, end = read_ends(evidence)
    if end is None:
        raise ValueError(f"运行 {run.folder_name} 的证据读不出来")
    digests = digests_of(params, read)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(REQUEST)
    with Candidates() as candidates:
        walk_blocks(evidence, params, read, candidates)
        net, _ = candidates.settle()
        for places, row in rows_at(evidence, _draw(params, candidates, net, end, seed)):
            block = read.block(row)
            for place in places:
                transaction = block.transactions[place.transaction]
                stated = digests(transaction, place.item)
                hexed = stated.hex() if stated else ""
                writer.writerow((transaction.hash, place.item, block.number, params.originals.digest, hexed))
    return {f"{params.originals.folder.rstrip('/')}-{run.number:04d}.csv": out.getvalue()}
