"""A checklist that proofs answer: hashes by SM3, signatures by SM2, ports by the suite they chose. Pure.

是 only where something verified; 否 where something else did, or a signature that should does not; 未查 where there was nothing to
verify. A flag answers nothing. It must never touch the world and never know a limit.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from yanshou.chains import reader
from yanshou.chains.certificates import is_sm
from yanshou.chains.crypto import Suite
from yanshou.chains.model import MALFORMED, Reads
from yanshou.chains.segments import raw_rows
from yanshou.formats.hello import SM_TLS13_SUITES, TLCP_SUITES, Answer, Tongue, read_answer
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Answer as Given
from yanshou.harness.model import Checklist, InspectedItem, Severity, Validity
from yanshou.probes.chain_crypto.spec import SPEC, Params
from yanshou.probes.chain_crypto.streams import ABOUT, BLOCKS, END, HEADERS, HELLO

NAMED = 3
SUITE_NAMES = {**TLCP_SUITES, **SM_TLS13_SUITES}


@dataclass
class _Seen:
    """What the evidence proves. `suites`: blocks by the hash that they follow; None: none. `bare`: blocks without seals that can be
    verified; `stray`: transactions of which nothing shows that they are in their block.
    """

    suites: Counter[Suite | None] = field(default_factory=Counter)
    sealed: int = 0
    short: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    mixed: list[int] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    sealers: set[str] = field(default_factory=set)
    signers: set[str] = field(default_factory=set)
    genuine: Counter[bool] = field(default_factory=Counter)
    false: list[str] = field(default_factory=list)
    ports: dict[str, dict[Tongue, Answer]] = field(default_factory=lambda: defaultdict(dict))
    connected: set[str] = field(default_factory=set)
    claims: bool | None = None
    whole: bool = False


def _read(evidence: RunEvidence, params: Params, read: Reads) -> _Seen:
    seen = _Seen()
    try:
        with closing(evidence.open(ABOUT)) as stream:
            seen.claims = read.claims_sm(json.load(stream)["about"])
        for row in _rows(evidence, HEADERS):
            _header(seen, read, row)
        for row in _rows(evidence, BLOCKS):
            _block(seen, read, row, params.transactions)
        with closing(evidence.open(HELLO)) as stream:
            for line in stream:
                said = json.loads(line)
                seen.ports[said["address"]][Tongue(said["tongue"])] = read_answer(bytes.fromhex(said["answer"]))
                seen.connected |= {said["address"]} if said["connected"] else set()
        with closing(evidence.open(END)) as stream:
            seen.whole = bool(seen.suites) and json.load(stream)["channels"] == len(params.channels) == len(seen.ports)
    except MALFORMED:
        seen.whole = False
    return seen


def _rows(evidence: RunEvidence, name: str) -> Iterator[Json]:
    with closing(evidence.open(name)) as stream:
        for line in raw_rows(stream):
            yield json.loads(line)


def _header(seen: _Seen, read: Reads, row: Json) -> None:
    at, suite, seals = read.link(row), read.suite(row), read.seals(row)
    seen.suites[suite] += 1
    if not at.number:
        return
    if not seals.sealers:
        seen.bare.append(at.number)
        return
    seen.sealers |= set(seals.sealers)
    if suite is Suite.SM and not seals.mixed:
        seen.signers |= set(seals.signed)
        seen.sealed += seals.enough
    if seals.wrong:
        seen.wrong.append(at.number)
    elif seals.mixed and suite is Suite.SM:
        seen.mixed.append(at.number)
    elif not seals.enough:
        seen.short.append(at.number)


def _block(seen: _Seen, read: Reads, row: Json, most: int) -> None:
    """The transactions of a whole block, as long as fewer than `most` have been looked at."""
    transactions = read.block(row).transactions
    indices = range(min(len(transactions), most - seen.genuine.total()))
    suite = read.suite(row)
    proof = read.prove(row, indices)
    for index, holds in proof.genuine.items():
        if not proof.root:
            seen.stray.append(transactions[index].hash)
        proven = holds and suite is Suite.SM and index not in proof.mixed
        seen.genuine[proven] += 1
        if not proven:
            seen.false.append(transactions[index].hash)


# --- the items -----------------------------------------------------------------------------------------------------------


def _some(things: list[int] | list[str]) -> str:
    return "、".join(map(str, things[:NAMED])) + (f" 等 {len(things)} 个" if len(things) > NAMED else "")


def _hashes(seen: _Seen) -> tuple[Given, str]:
    told = "，".join(
        f"{n} 块合 {suite.word.split(' ')[0]}" if suite else f"{n} 块都不合"
        for suite, n in sorted(seen.suites.items(), key=lambda p: str(p[0]))
    )
    if not seen.suites:
        return Given.OPEN, "没有取到区块"
    return (Given.YES if set(seen.suites) == {Suite.SM} else Given.NO), told


def _signatures(seen: _Seen) -> tuple[Given, str]:
    if not seen.sealers:
        return Given.OPEN, "区块里没有可核对的出块签名"
    if seen.wrong:
        return Given.NO, f"高度 {_some(seen.wrong)} 有不成立的签名"
    if seen.mixed:
        return Given.NO, f"高度 {_some(seen.mixed)} 的签名成立，但不是 SM2"
    for suite in (Suite.KECCAK, Suite.SHA256):
        if seen.suites[suite]:
            return Given.NO, f"{seen.suites[suite]} 块的签名是 {suite.signature}"
    if seen.short:
        return Given.NO, f"高度 {_some(seen.short)} 的有效签名不足法定数"
    if not seen.sealed:
        return Given.OPEN, "没有带签名的区块"
    if seen.bare:
        return Given.OPEN, f"高度 {_some(seen.bare)} 的区块里没有可核对的出块签名"
    return (
        Given.YES,
        f"{seen.sealed} 块各有法定数的 SM2 签名，签过名的公钥 {len(seen.signers)} 把，共 {len(seen.sealers)} 把",
    )


def _transactions(seen: _Seen) -> tuple[Given, str]:
    if not seen.genuine:
        return Given.OPEN, "近期区块里没有交易"
    if seen.false:
        return Given.NO, f"{len(seen.false)} 笔交易不是以 SM2 签名、SM3 求哈希：{_some(seen.false)}"
    if seen.stray:
        return Given.OPEN, f"{len(seen.stray)} 笔交易不在所在区块的交易根里：{_some(seen.stray)}"
    return Given.YES, f"{seen.genuine[True]} 笔交易的哈希与签名成立"


def _port(answers: dict[Tongue, Answer], connected: bool) -> tuple[Given, str]:
    """是 where a 国密 suite was taken and no other certificate than SM2 shown (TLCP shows some); 否 where it takes other TLS."""
    for tongue in (Tongue.TLCP, Tongue.SM_TLS13):
        answer = answers.get(tongue, Answer())
        if answer.speaks(tongue) and answer.suite is not None:
            foreign = [c for c in answer.certificates if not is_sm(c)]
            shown = f"{tongue.word}，套件 {SUITE_NAMES[answer.suite]}"
            if foreign:
                return Given.NO, f"{shown}，但出示的证书里有 {len(foreign)} 张不是 SM2"
            if answer.certificates:
                return Given.YES, f"{shown}，出示 SM2 证书 {len(answer.certificates)} 张"
            if tongue is Tongue.SM_TLS13:
                return Given.YES, shown
            return Given.OPEN, f"{shown}，但没有出示证书"
    if answers.get(Tongue.TLS, Answer()).speaks(Tongue.TLS):
        return Given.NO, "不接受国密套件，只接受国际算法 TLS"
    return Given.OPEN, "没有应答国密握手：只说明不在这个端口" if connected else "连不上"


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Checklist:
    """The checklist that the acknowledged evidence answers; cut or broken evidence gives findings, never an exception."""
    read = reader(params.chain.kind)
    seen = _read(evidence, params, read)
    streams = evidence.streams()

    def item(id_: str, text: str, expected: str, found: tuple[Given, str], *names: str) -> InspectedItem:
        digests = tuple(evidence.sha256(name) for name in names if name in streams)
        return InspectedItem(id_, text, expected, found[1], found[0], f"仪器 {SPEC.name}", "", digests)

    items = [
        item("G01", "区块哈希", f"近 {params.blocks} 块的哈希由块头以 SM3 得出", _hashes(seen), HEADERS),
        item("G02", "出块签名", "每块有法定数的签名以节点公钥按 SM2 验证成立", _signatures(seen), HEADERS),
        item(
            "G03", "交易签名", "抽看的交易以 SM2 签名、SM3 求哈希，账户由公钥以 SM3 得出", _transactions(seen), BLOCKS
        ),
    ]
    for number, address in enumerate(params.channels, 1):
        found = _port(seen.ports.get(address, {}), address in seen.connected)
        items.append(
            item(f"T{number:02d}", f"通道 {address}", "接受 TLCP 或 TLS 1.3 国密套件，证书为 SM2", found, HELLO)
        )
    facts: dict[str, Json] = {
        "claims_sm": seen.claims,
        "suites": {
            suite.value if suite else "none": n for suite, n in sorted(seen.suites.items(), key=lambda p: str(p[0]))
        },
        "sealers": len(seen.sealers),
        "signers": sorted(seen.signers),
        "transactions": seen.genuine.total(),
        "wrong_at": seen.wrong,
    }
    return Checklist("项", tuple(items), tuple(_findings(seen)), facts)


def _findings(seen: _Seen) -> Iterator[Validity]:
    if not seen.whole:
        yield Validity("CHC-V01", Severity.INVALID, "查验没有做完，或证据不齐：不能作数")
    if seen.claims and seen.suites and set(seen.suites) != {Suite.SM}:
        yield Validity("CHC-V02", Severity.WARNING, "节点自报采用国密，而区块不是：自报不作依据")
    if seen.sealers - seen.signers and set(seen.suites) == {Suite.SM}:
        text = f"{len(seen.sealers - seen.signers)} 把共识公钥在所看的区块里没有有效的 SM2 签名，其密钥类型没有得到证明"
        yield Validity("CHC-V03", Severity.WARNING, text)
