"""Counts a chain's nodes from what several of them said, what the last blocks prove, and which addresses answered. Pure.

A key counts once, under the first reason not to. It must never touch the world and never know a limit.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from yanshou.chains import reader
from yanshou.chains.model import MALFORMED, Member, Reads, View
from yanshou.chains.segments import raw_rows
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Count, Exclusion, Reason, Severity, Validity
from yanshou.probes.chain_nodes.spec import Params, plain_key
from yanshou.probes.chain_nodes.streams import HEADERS, REACH, ROUNDS, VIEWS, End, host_of, json_rows, located, read_end

WITNESSES = 2
"""How many nodes must list a key."""
BLOCKS_PER_SEALER = 10
NAMED = 12
REASONS = {
    "CHO-X-UNLISTED": "看得见而不在共识或观察名单里",
    "CHO-X-OBSERVER": "观察节点，承诺只计共识节点",
    "CHO-X-UNCONFIRMED": "只有一个被问的节点列出它",
    "CHO-X-OFFLINE": "在名单里，但没有节点看见它在线",
    "CHO-X-FORK": "与主链的区块哈希或创世块不同，或自称已到主链没有的高度",
    "CHO-X-LAG": "落后，未在时限内跟上",
    "CHO-X-UNREACHABLE": "评测方连不上它的任何地址",
    "CHO-X-SILENT": "共识节点，但近期区块里没有它的有效签名",
    "CHO-X-HOST": "与更早列出的节点在同一主机，承诺按主机计",
    "CHO-X-OPERATOR": "与更早列出的节点属同一单位，承诺按单位计",
}
"""Code -> Chinese text of every exclusion, in order of application."""
_ROLES = {"sealer": "共识", "observer": "观察"}


@dataclass(frozen=True)
class _Node:
    """Everything that is known of one key. `hosts`: of the addresses that answered. `height`: None where nobody sees it."""

    key: str
    role: str
    listed_by: frozenset[str]
    height: int | None
    foreign: bool
    hosts: tuple[str, ...]
    operator: str
    seals: int

    def to_json(self, reason: str) -> dict[str, Json]:
        """One line of the report's table."""
        return {
            "key": self.key,
            "role": self.role,
            "listed_by": len(self.listed_by),
            "height": self.height,
            "hosts": list(self.hosts),
            "operator": self.operator,
            "seals": self.seals,
            "reason": reason,
        }


@dataclass
class _Seen:
    """What the evidence holds. `views`: of the last round, by the endpoint's number."""

    end: End | None = None
    views: dict[int, View] = field(default_factory=dict)
    first_heads: list[int] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    hashes: dict[int, str] = field(default_factory=dict)
    sealed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    unlinked: int = 0
    carries_seals: bool = False
    broken: bool = False


def _read(evidence: RunEvidence, params: Params, read: Reads) -> _Seen:
    seen = _Seen()
    try:
        for row in json_rows(evidence, VIEWS):
            if row["round"] == 0:
                seen.first_heads.append(int(row["head"]))
            elif row["round"] == ROUNDS - 1:
                seen.views[int(row["endpoint"])] = read.view(row["view"])
        seen.reached = {row["address"] for row in json_rows(evidence, REACH) if row["reached"] is True}
        with closing(evidence.open(HEADERS)) as stream:
            for line in raw_rows(stream):
                _take(seen, read, json.loads(line))
        if seen.views.keys() != set(range(len(params.endpoints))):
            raise ValueError("not the views of those that were to be asked")
        seen.end = read_end(evidence, len(params.endpoints))
    except MALFORMED:
        seen.broken, seen.views = True, {}
    seen.broken |= not seen.hashes
    return seen


def _take(seen: _Seen, read: Reads, row: Json) -> None:
    """One header: whether its hash follows from its fields and its parent is the block before, and who signed it."""
    at = read.link(row)
    if read.suite(row) is None or seen.hashes.get(at.number - 1, at.parent) != at.parent:
        seen.unlinked += 1
    seen.hashes[at.number] = at.hash
    seals = read.seals(row)
    seen.carries_seals |= bool(seals.sealers) and seals.each_signs
    seen.sealed.update(set(seals.signed))
    seen.wrong += seals.wrong


# --- each node -----------------------------------------------------------------------------------------------------------


def _nodes(params: Params, seen: _Seen) -> list[_Node]:
    """Every key that anybody lists or sees, in order of first appearance. A node on another chain is no witness."""
    listed, words = defaultdict[str, set[str]](set), defaultdict[str, list[tuple[str, Member]]](list)
    addresses, roles, operators = defaultdict[str, set[str]](set), dict[str, str](), dict[str, str]()
    any_list = any(m.role for view in seen.views.values() for m in view.members)
    for endpoint, view in sorted(seen.views.items()):
        astray = _astray(endpoint, seen)
        for m in view.members:
            trusted = m if not astray or m.key == view.me else replace(m, height=None, hash="", genesis="")
            words[m.key].append((view.me, trusted))
            roles[m.key] = roles.get(m.key) or m.role
            operators[m.key] = operators.get(m.key) or m.operator
            if (m.role or not any_list) and not astray:
                listed[m.key].add(view.me)
            addresses[m.key] |= {located(address, params.endpoints[endpoint].url) for address in m.addresses}
    declared = {plain_key(d.key): d for d in params.declared}
    asked = {seen.views[i].me: e.operator for i, e in enumerate(params.endpoints) if i in seen.views}
    operators |= {key: operator for key, operator in asked.items() if operator}
    for key, d in declared.items():
        addresses[key] = {d.address}  # what the project declares, and nothing else, must answer
        operators[key] = d.operator or operators.get(key, "")
    return [
        _Node(
            key,
            roles[key],
            frozenset(listed[key]),
            max((m.height for _, m in said if m.height is not None), default=None),
            _foreign(key, said, seen),
            tuple(sorted({host_of(a) for a in addresses[key] & seen.reached})),
            operators.get(key, ""),
            seen.sealed[key],
        )
        for key, said in words.items()
    ]


def _astray(endpoint: int, seen: _Seen) -> bool:
    """Whether a node that was asked has another block at the common height, or another first one, than the first asked."""
    end = seen.end
    return end is not None and (end.hashes[endpoint], end.geneses[endpoint]) != (end.hashes[0], end.geneses[0])


def _foreign(key: str, said: Sequence[tuple[str, Member]], seen: _Seen) -> bool:
    """Whether a node is on another chain than the first one asked: by its own word, if it was asked, else by anybody's.

    Beyond the newest header nobody can tell a chain from another, so that whoever was not asked itself must not be there.
    """
    end, top = seen.end, max(seen.hashes, default=0)
    if end is None:
        return False
    own = [m for me, m in said if me == key]
    if any(view.me == key and _astray(endpoint, seen) for endpoint, view in seen.views.items()):
        return True
    return any(
        (m.genesis and m.genesis != end.geneses[0])
        or (m.height is not None and m.hash and seen.hashes.get(m.height, m.hash) != m.hash)
        or (m.height is not None and m.hash and not own and m.height > top)
        for m in (own or [m for _, m in said])
    )


def _reason(node: _Node, params: Params, seen: _Seen, any_list: bool) -> str:
    """The first reason why a node does not count; "" where it does, but for others at its host."""
    checks = {
        "CHO-X-UNLISTED": any_list and not node.role,
        "CHO-X-OBSERVER": params.count == "consensus" and node.role != "sealer",
        "CHO-X-UNCONFIRMED": len(node.listed_by) < WITNESSES,
        "CHO-X-OFFLINE": node.height is None,
        "CHO-X-FORK": node.foreign,
        "CHO-X-LAG": (node.height or 0) < max(seen.first_heads, default=0),
        "CHO-X-UNREACHABLE": not node.hosts,
        "CHO-X-SILENT": node.role == "sealer" and seen.carries_seals and not node.seals,
    }
    return next((code for code, applies in checks.items() if applies), "")


def _decided(nodes: Sequence[_Node], params: Params, seen: _Seen) -> list[tuple[_Node, str]]:
    """Each node with the code why it does not count, "" for those that do."""
    any_list = any(node.role for node in nodes)
    taken: set[str] = set()
    decided = []
    for node in nodes:
        code = _reason(node, params, seen, any_list)
        if not code and params.node_is in ("host", "operator"):
            mine = set(node.hosts) if params.node_is == "host" else {node.operator} - {""}
            if mine & taken or (params.node_is == "operator" and not mine):
                code = "CHO-X-HOST" if params.node_is == "host" else "CHO-X-OPERATOR"
            taken |= mine
        decided.append((node, code))
    return decided


def _hosts(nodes: Sequence[_Node]) -> int:
    """How many different hosts the nodes are on; addresses of one node are one host."""
    groups: list[set[str]] = []
    for node in nodes:
        mine = set(node.hosts)
        joined = [g for g in groups if g & mine]
        groups = [g for g in groups if not g & mine] + [mine.union(*joined)]
    return len(groups)


# --- all together --------------------------------------------------------------------------------------------------------


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged evidence yields; cut or broken evidence gives findings, never an exception."""
    read = reader(params.chain.kind)
    seen = _read(evidence, params, read)
    decided = _decided(_nodes(params, seen), params, seen)
    counted = [node for node, code in decided if not code]
    fell = Counter(code for _, code in decided if code)
    hosts, roles = _hosts(counted), Counter(node.role for node in counted)
    operators = {node.operator for node in counted} - {""}
    sealers = sum(node.role == "sealer" for node, _ in decided)
    behind = max(seen.first_heads, default=0)
    in_sync = [n for n, _ in decided if n.listed_by and n.height is not None and n.height >= behind and not n.foreign]
    facts: dict[str, Json] = {
        "registered": sum(bool(node.listed_by) for node, _ in decided),
        "in_sync": len(in_sync),
        "consensus": sum(node.role == "sealer" for node in in_sync),
        "hosts": hosts,
        "operators": sorted(operators),
        "asked": [view.me for _, view in sorted(seen.views.items())],
        "height": seen.end.height if seen.end else None,
        "hash": seen.end.hashes[0] if seen.end and seen.end.hashes else None,
        "blocks": len(seen.hashes),
        "nodes": [node.to_json(code) for node, code in decided],
    }
    return Count(
        unit=params.unit,
        gross=len(decided),
        exclusions=tuple(Exclusion(code, text, fell[code]) for code, text in REASONS.items()),
        net=len(counted),
        columns=tuple((word, roles[role]) for role, word in _ROLES.items() if roles[role])
        if roles.keys() - {""}
        else (),
        open=tuple(_open(params, len(counted), hosts)),
        validity=(*_findings(seen, sealers), *_named(decided), _numbers(facts)),
        facts=facts,
    )


def _open(params: Params, net: int, hosts: int) -> Iterator[Reason]:
    if params.node_is is None and hosts < net:
        text = f"{net} 把节点公钥在 {hosts} 台主机上：承诺没有写明节点按公钥、主机还是单位计，不予判定"
        yield Reason("keys_share_hosts", text)


def _findings(seen: _Seen, sealers: int) -> Iterator[Validity]:
    if seen.broken or seen.end is None:
        yield Validity("CHO-V01", Severity.INVALID, "询问没有做完，或证据不齐：计数不能作数")
        return
    if seen.unlinked:
        text = f"{seen.unlinked} 个区块接不上：哈希不由块头得出，或不是前一块的下一块"
        yield Validity("CHO-V02", Severity.INVALID, text)
    asked = {view.me for view in seen.views.values()}
    if len(asked) < WITNESSES:
        text = f"只有 {len(asked)} 个节点作证：每把公钥须由至少 {WITNESSES} 个不同的节点列出才计"
        yield Validity("CHO-V03", Severity.WARNING, text)
    if not seen.carries_seals:
        yield Validity("CHO-V04", Severity.WARNING, "区块里没有能说明各共识节点参与的签名：是否参与，没有核对")
    elif len(seen.hashes) < BLOCKS_PER_SEALER * sealers:
        text = f"只看了 {len(seen.hashes)} 块，不到 {sealers} 个共识节点的 {BLOCKS_PER_SEALER} 倍：轮不到签名的可能误判"
        yield Validity("CHO-V05", Severity.WARNING, text)
    if seen.wrong:
        yield Validity("CHO-V06", Severity.WARNING, f"近期区块里有 {seen.wrong} 个出块签名不成立")
    views = list(seen.views.values())
    lists: list[Mapping[str, str]] = [{m.key: m.role for m in view.members if m.role} for view in views]
    if any(one != lists[0] for one in lists):
        yield Validity("CHO-V07", Severity.WARNING, "被问的节点给出的共识与观察名单不一致")


def _named(decided: Sequence[tuple[_Node, str]]) -> Iterator[Validity]:
    """Who does not count, by name."""
    out = [f"{node.key[:16]}…（{REASONS[code]}）" for node, code in decided if code]
    if out:
        more = f" 等 {len(out)} 个" if len(out) > NAMED else ""
        yield Validity("CHO-V08", Severity.INFO, f"不计的节点：{'；'.join(out[:NAMED])}{more}")


def _numbers(facts: Mapping[str, Json]) -> Validity:
    """The four numbers that a list of nodes can mean, and the operators."""
    text = (
        f"登记 {facts['registered']} 个，同步 {facts['in_sync']} 个，其中共识 {facts['consensus']} 个；"
        f"计入的在 {facts['hosts']} 台不同主机上，已知属于 {len(facts['operators'])} 家单位"
    )
    return Validity("CHO-V09", Severity.INFO, text)
