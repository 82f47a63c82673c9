"""Counts devices: register ∩ seen on independent paths ∩ live, each physical device once.

It is for giving the same count, and the same table of who counts and why not, from the same bytes, forever. It must never
touch the world and never know a limit. Memory grows with the number of identities, not of messages.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Audit, Count, Exclusion, Reason, Severity, Validity
from yanshou.probes.devices.identities import KINDS, OWN, normal, word
from yanshou.probes.devices.observation import Observation, Tie
from yanshou.probes.devices.register import (
    ACCESS_WORDS,
    AUDIT,
    DIRECT,
    GATEWAY,
    SERIAL,
    SESSION,
    UNPLUG,
    UNPLUGGED,
    Row,
    Visit,
    baseline_ids,
    other_files,
    read_audit,
    register_rows,
    sample_ids,
)
from yanshou.probes.devices.spec import Params, Source
from yanshou.probes.load.analyse import accompaniment
from yanshou.probes.reading import MANGLED
from yanshou.probes.sampling import RESULT, RESULTS

TABLE_ROWS = 3000
"""Devices listed in the facts; all of them are in `device_table`."""
SAME_STREAM = 8
"""Different values from which on two equal streams are no coincidence; shorter ones are only named."""
FEW_ADDRESSES = 4
"""Addresses of one device (IPv4, and IPv6 link-local, global, temporary); more on one MAC are a router's."""
CROWD = 20
"""Devices from which on one source address, or one moment of connecting, is worth a word."""
BURST_NS = 10 * 10**9
SETTLED_NS = 60 * 10**9
"""After the window began: who is first seen later than this was not simply waiting for its next report."""
LISTED = 5
UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError, OSError)
"""What reading raises of evidence that no capture wrote."""

Node = tuple[str, str]


def _reader(source: Source) -> Any:
    """The pure side of a source's kind, found by name: adding a source touches nothing here."""
    return importlib.import_module(f"yanshou.probes.devices.sources.{source.kind}.read")


@dataclass(frozen=True)
class Identity:
    """One identity of a device as one source saw it; `first_ns` and `last_ns` are UTC ns, 0 where unknown."""

    kind: str
    value: str
    source: str
    first_ns: int
    last_ns: int


@dataclass(frozen=True)
class Device:
    """One row of the register, or one device that is in none, and what became of it.

    `status`: counted, duplicate, ghost (not seen), stale (not live), excluded (outside the declared scope) or unregistered.
    `code`: the exclusion it fell under, "" for counted and unregistered.
    """

    device_id: str
    ids: tuple[Identity, ...]
    gateway: str
    access: str
    messages: int | None
    distinct_values: int | None
    status: str
    code: str
    reason: str

    def to_json(self) -> dict[str, Json]:
        """All fields; times as ISO 8601, UTC."""
        ids = [
            {"kind": i.kind, "value": i.value, "source": i.source, "first": _iso(i.first_ns), "last": _iso(i.last_ns)}
            for i in self.ids
        ]
        return {
            "device_id": self.device_id, "status": self.status, "reason": self.reason, "access": self.access,
            "gateway": self.gateway, "messages": self.messages, "distinct_values": self.distinct_values, "ids": ids,
        }  # fmt: skip


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).isoformat().replace("+00:00", "Z") if ns else ""


# --- who is who --------------------------------------------------------------------------------------------------------


@dataclass
class _Joined:
    """Identities that belong to one device, as disjoint sets. `parent` of a representative is itself."""

    parent: dict[Node, Node] = field(default_factory=dict)

    def find(self, node: Node) -> Node:
        """The representative of `node`'s device."""
        root = self.parent.setdefault(node, node)
        while root != self.parent[root]:
            root = self.parent[root]
        while node != root:
            self.parent[node], node = root, self.parent[node]
        return root

    def join(self, nodes: Sequence[Node]) -> None:
        """All of `nodes` are one device."""
        for node in nodes[1:]:
            self.parent[self.find(node)] = self.find(nodes[0])


def _group(kind: str, value: str, others: Mapping[str, str]) -> tuple[Node, ...]:
    """The identities of one observation in normal form, its own first."""
    nodes = ((k, normal(k, v)) for k, v in chain([(kind, value)], others.items()))
    return tuple(dict.fromkeys(node for node in nodes if node[1]))


def _shared(groups: Sequence[tuple[Node, ...]]) -> set[Node]:
    """Identities that several devices claim, so that they join nobody: an address with two serials, a router's MAC."""
    beside: dict[Node, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for group in groups:
        for node in group:
            if node[0] not in OWN:
                for kind, value in group:
                    if (kind, value) != node and len(beside[node][kind]) <= FEW_ADDRESSES:
                        beside[node][kind].add(value)
    return {
        node
        for node, kinds in beside.items()
        if any(len(values) > (1 if kind in OWN else FEW_ADDRESSES) for kind, values in kinds.items())
    }


@dataclass
class _Seen:
    """One physical device: what the sources saw of it, and the register rows that name it (their numbers)."""

    nodes: list[Node] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    @property
    def sources(self) -> set[str]:
        """Names of the sources that saw it."""
        return {o.source for o in self.observations}

    @property
    def gateway(self) -> str:
        """The box that it was seen to speak through, "" for none."""
        return next((o.gateway for o in self.observations if o.gateway), "")

    @property
    def messages(self) -> int | None:
        """Messages in the best of the sources (several see the same ones); None where none can see any."""
        told = Counter[str]()
        for o in self.observations:
            if o.messages is not None:
                told[o.source] += o.messages
        return max(told.values()) if told else None

    @property
    def distinct_values(self) -> int | None:
        """Different values in the liveliest of its streams."""
        return max((o.distinct_values for o in self.observations if o.distinct_values is not None), default=None)

    @property
    def first_ns(self) -> int:
        """When it was first seen; 0 where no source knows."""
        return min((o.first_ns for o in self.observations if o.first_ns), default=0)

    @property
    def serials(self) -> set[str]:
        """Serial numbers that it said itself."""
        groups = (_group(o.kind, o.value, o.same) for o in self.observations)
        return {value for group in groups for kind, value in group if kind == "serial"}

    def streams(self) -> Iterator[tuple[str, int]]:
        """Digest of each of its streams, and how many different values that has."""
        return ((o.content, o.distinct_values or 0) for o in self.observations if o.content)

    def identities(self) -> tuple[Identity, ...]:
        """What it was seen as, each once a source, the best name first."""
        spans: dict[tuple[str, str, str], tuple[int, int]] = {}
        for o in self.observations:
            for kind, value in _group(o.kind, o.value, o.same):
                first, last = spans.get((kind, value, o.source), (o.first_ns, o.last_ns))
                spans[kind, value, o.source] = (min(first, o.first_ns) or max(first, o.first_ns), max(last, o.last_ns))
        found = (Identity(*key, *span) for key, span in spans.items())
        return tuple(sorted(found, key=lambda i: (_rank(i.kind), i.value, i.source)))


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def resolve(rows: Sequence[Row], observations: Sequence[Observation]) -> tuple[list[_Seen], dict[int, _Seen]]:
    """All physical devices, in order of first appearance, and the one of each usable register row."""
    row_groups = [(("serial", row.id), *row.identities) if row.id else () for row in rows]
    seen_groups = [_group(o.kind, o.value, o.same) for o in observations]
    groups = [*row_groups, *seen_groups]
    shared, joined = _shared(groups), _Joined()
    owned = [[node for node in group if node not in shared] for group in groups]
    for nodes in owned:
        joined.join(nodes)
    devices: dict[Node, _Seen] = defaultdict(_Seen)
    of_row: dict[int, _Seen] = {}
    for number, nodes in enumerate(owned[: len(rows)]):
        if nodes:
            of_row[number] = devices[joined.find(nodes[0])]
            of_row[number].rows.append(number)
    claimed = {node for group in row_groups for node in group}
    for observation, nodes, group in zip(observations, owned[len(rows) :], seen_groups, strict=True):
        if nodes:
            devices[joined.find(nodes[0])].observations.append(observation)
        elif group and not claimed.intersection(group):  # known only by what many share: still there, but nobody's
            devices[group[0]].observations.append(observation)
    for node in joined.parent:
        if (device := devices.get(joined.find(node))) is not None:
            device.nodes.append(node)
    return list(devices.values()), of_row


# --- what counts -------------------------------------------------------------------------------------------------------


def reasons(params: Params) -> dict[str, str]:
    """Code -> Chinese text of every exclusion that `params` applies, in order of application."""
    texts = {"DEV-X-KEY": "设备编号为空，或行残缺", "DEV-X-DUP": "与清册里前面的一行是同一台设备"}
    if params.new_only and params.baseline:
        texts["DEV-X-BASELINE"] = f"不是新增：基线（{params.baseline.date}）里已有"
    if params.count_only == "direct":
        texts["DEV-X-ACCESS"] = "不是 5G 直连"
    texts["DEV-X-GHOST"] = "没有来源见到" if params.paths == 1 else f"见到它的来源不足 {params.paths} 个"
    if params.live:
        texts["DEV-X-STALE"] = f"不在线：窗口内不足 {params.live.messages} 条消息或 {params.live.distinct} 个不同的值"
    texts["DEV-X-COPY"] = "数据流与前面的一台逐条相同"
    if any(hasattr(_reader(source), "ties") for source in params.sources):
        texts["DEV-X-NEAR"] = "与前面的一台始终在同一处"
        texts["DEV-X-CLONE"] = "定位的起伏或轨迹与前面的一台相同"
    return texts


_STATUS = {
    "DEV-X-KEY": "excluded", "DEV-X-DUP": "duplicate", "DEV-X-BASELINE": "excluded", "DEV-X-ACCESS": "excluded",
    "DEV-X-GHOST": "ghost", "DEV-X-STALE": "stale", "DEV-X-COPY": "duplicate",
    "DEV-X-NEAR": "duplicate", "DEV-X-CLONE": "duplicate",
}  # fmt: skip


@dataclass
class _Register:
    """The register's rows being decided one after the other."""

    params: Params
    rows: Sequence[Row]
    before: frozenset[str]
    of_row: Mapping[int, _Seen]
    ties: Mapping[Node, Sequence[tuple[Node, Tie]]] = field(default_factory=dict)
    """Identity -> identities that a source shows to be the same device."""
    streams: dict[str, str] = field(default_factory=dict)
    """Digest of a stream -> the counted device it belongs to."""
    counted: dict[Node, str] = field(default_factory=dict)
    """Identity -> the counted device it belongs to."""

    def access(self, number: int) -> str:
        """How the row's device is connected: what was seen outweighs what was written."""
        row, seen = self.rows[number], self.of_row.get(number)
        return GATEWAY if seen and seen.gateway and row.access in (DIRECT, "") else row.access

    def decide(self, number: int) -> tuple[str, str]:
        """(exclusion code, detail) of a row, ("", "") when it counts. Rows must be asked in order."""
        row, params = self.rows[number], self.params
        if number not in self.of_row:
            return "DEV-X-KEY", ""
        seen = self.of_row[number]
        if seen.rows[0] != number:
            return "DEV-X-DUP", f"{self.rows[seen.rows[0]].id}；它的标识有 {_own_identities(seen)}"
        if params.new_only and not self.before.isdisjoint(v for k, v in seen.nodes if k == "serial"):
            return "DEV-X-BASELINE", ""
        if params.count_only == "direct" and self.access(number) != DIRECT:
            return "DEV-X-ACCESS", ACCESS_WORDS[self.access(number)]
        if len(seen.sources) < params.paths:
            return "DEV-X-GHOST", f"见到它的来源：{'、'.join(sorted(seen.sources)) or '无'}"
        if params.live:
            messages, distinct = seen.messages or 0, seen.distinct_values or 0
            if messages < params.live.messages or distinct < params.live.distinct:
                return "DEV-X-STALE", f"{messages} 条消息，{distinct} 个不同的值"
        contents = [part for content, distinct in seen.streams() if distinct >= SAME_STREAM for part in content.split()]
        if model := next((self.streams[c] for c in contents if c in self.streams), None):
            return "DEV-X-COPY", f"与 {model} 相同"
        for other, tie in (found for node in seen.nodes for found in self.ties.get(node, ())):
            if other in self.counted:
                return tie.code, f"与 {self.counted[other]} {tie.detail}"
        self.streams.update(dict.fromkeys(contents, row.id))
        self.counted.update(dict.fromkeys(seen.nodes, row.id))
        return "", ""

    def device(self, number: int, code: str, detail: str) -> Device:
        """The row as a line of the table."""
        row, seen = self.rows[number], self.of_row.get(number) or _Seen()
        text = f"{reasons(self.params)[code]}：{detail}" if code and detail else reasons(self.params).get(code, "")
        return Device(
            row.id, seen.identities(), row.gateway or seen.gateway, ACCESS_WORDS[self.access(number)], seen.messages,
            seen.distinct_values, _STATUS.get(code, "counted"), code, text,
        )  # fmt: skip


def _own_name(seen: _Seen) -> str:
    """The identity by which a device is known to the network rather than by its serial number."""
    named = sorted((n for n in seen.nodes if n[0] in OWN), key=lambda n: (n[0] == "serial", _rank(n[0]), n[1]))
    return named[0][1]


def _own_identities(seen: _Seen) -> str:
    """What only this device may be called, in words."""
    own = sorted((n for n in seen.nodes if n[0] in OWN), key=lambda n: (_rank(n[0]), n[1]))
    return _some([f"{word(kind)} {value}" for kind, value in own])


def _unregistered(seen: _Seen) -> Device:
    ids = seen.identities()
    return Device(
        ids[0].value, ids, seen.gateway, "", seen.messages, seen.distinct_values, "unregistered", "",
        f"{'、'.join(sorted(seen.sources))} 见到，清册里没有",
    )  # fmt: skip


# --- what is suspicious ------------------------------------------------------------------------------------------------


def _some(values: Sequence[str]) -> str:
    return "、".join(values[:LISTED]) + (" 等" if len(values) > LISTED else "")


def _warning(code: str, text: str) -> Validity:
    return Validity(code, Severity.WARNING, text)


def _shape(params: Params, observations: Sequence[Observation]) -> Iterator[Validity]:
    """Whether the sources can answer at all what the parameters ask."""
    if params.live is None:
        yield _warning("DEV-V08", "没有要求在线判据：见到即计数，静默的设备也算")
    elif observations and all(o.messages is None for o in observations):
        yield Validity("DEV-V09", Severity.INVALID, "没有来源能看见消息，是否在线无从判断")
    elif observations and params.live.distinct > 1 and all(o.distinct_values is None for o in observations):
        yield Validity("DEV-V09", Severity.INVALID, "没有来源能看见消息的内容，值是否变化无从判断")


def _crowds(counted: Sequence[_Seen], start_ns: int) -> Iterator[Validity]:
    """Many devices at one address, or connected at one moment."""
    at: dict[str, set[int]] = defaultdict(set)
    for number, seen in enumerate(counted):
        for o in seen.observations:
            for kind, value in _group(o.kind, o.value, o.same):
                if kind == "ip" and not o.gateway:
                    at[value].add(number)
    for address, numbers in sorted(at.items()):
        if len(numbers) >= CROWD:
            yield _warning(
                "DEV-V06", f"{len(numbers)} 台设备出自同一个地址 {address}：网关请写明，否则疑为一台主机扮演"
            )
    times = sorted(
        t for seen in counted if (t := seen.first_ns) and start_ns and not start_ns <= t <= start_ns + SETTLED_NS
    )
    together = max((_within(times, i) for i in range(len(times))), default=0)
    if together >= CROWD and 2 * together >= len(counted):
        yield _warning("DEV-V07", f"{together} 台设备在 {BURST_NS // 10**9} 秒之内先后上线，疑为脚本启动")


def _within(times: Sequence[int], first: int) -> int:
    from bisect import bisect_right

    return bisect_right(times, times[first] + BURST_NS) - first


def _suspicions(
    params: Params, register: _Register, table: Sequence[Device], devices: Sequence[_Seen]
) -> Iterator[Validity]:
    mangled = [row.id for row in register.rows if MANGLED.fullmatch(row.id)]
    if mangled:
        yield _warning("DEV-V02", f"{len(mangled)} 个设备编号像被电子表格改写过：{_some(mangled)}")
    strangers = [d.device_id for d in table if d.status == "unregistered"]
    if strangers:
        yield _warning("DEV-V03", f"见到 {len(strangers)} 个不在清册里的标识：{_some(strangers)}")
    constant = [
        d.device_id
        for d in table
        if params.live and d.code == "DEV-X-STALE" and d.distinct_values and (d.messages or 0) >= params.live.messages
    ]
    if constant:
        yield _warning("DEV-V04", f"{len(constant)} 台设备有消息而值不变：{_some(constant)}")
    copies = [d.device_id for d in table if d.code == "DEV-X-COPY"]
    alike = Counter(
        c for i, d in enumerate(table[: len(register.rows)]) if not d.code for c, _ in register.of_row[i].streams()
    )
    short = sum(n for n in alike.values() if n > 1)
    if copies or short:
        text = f"{len(copies)} 台的数据流与别的设备逐条相同，不计：{_some(copies)}" if copies else ""
        more = f"另有 {short} 台的数据流也相同，但不足 {SAME_STREAM} 个不同的值，不能排除巧合，仍计数" if short else ""
        yield _warning("DEV-V05", "；".join(filter(None, (text, more))))
    one = [d.device_id for d in table if d.code in ("DEV-X-NEAR", "DEV-X-CLONE")]
    if one:
        yield _warning(
            "DEV-V22", f"{len(one)} 台与别的终端是同一台接收机（同处，或同一定位流改写），不计：{_some(one)}"
        )
    moved = [row.id for n, row in enumerate(register.rows) if row.access == DIRECT and register.access(n) == GATEWAY]
    if moved:
        yield _warning("DEV-V10", f"{len(moved)} 台登记为 5G 直连，实见经网关，已归入网关后：{_some(moved)}")
    said = [(seen, seen.serials) for seen in devices]
    several = [_own_name(seen) for seen, serials in said if len(serials) > 1]
    if several:
        text = f"{len(several)} 个标识名下见到多个序列号，各按一台计；若是网关请写明 gateway：{_some(several)}"
        yield _warning("DEV-V11", text)
    other = [
        register.rows[n].id
        for seen, serials in said
        for n in seen.rows
        if serials and register.rows[n].id not in serials
    ]
    if other:
        yield _warning("DEV-V19", f"清册里 {len(other)} 台设备自报的是别的序列号：{_some(other)}")
    if params.new_only and params.baseline:
        dates = [
            (d.device_id, register.rows[n].first_online)
            for n, d in enumerate(table[: len(register.rows)])
            if not d.code
        ]
        early = [device for device, day in dates if day and day <= params.baseline.date]
        if early:
            yield _warning("DEV-V12", f"{len(early)} 台计为新增，清册里的首次上线却不晚于基线日期：{_some(early)}")


def _cross_checks(evidence: RunEvidence, params: Params, net: int) -> Iterator[Validity]:
    """The count beside what the sources that only have gauges say; evidence that cannot be read is a finding already."""
    for source in params.sources:
        if (compared := getattr(_reader(source), "compared", None)) is not None:
            with suppress(*UNREADABLE):
                yield from compared(evidence.sub(source.name), source, net)


def _audited(
    evidence: RunEvidence, params: Params, seed: int, counted: set[str]
) -> tuple[Audit | None, list[Validity]]:
    """The audit among the counted devices: those drawn that count are a random sample of them, given how many they are."""
    asked = sample_ids(evidence, params, seed)
    findings = list(_arranged(params, len(asked)))
    drawn = [i for i in asked if i in counted]
    visits = read_audit(evidence.open(AUDIT), params)[1] if AUDIT in evidence.streams() else []
    found: dict[str, Visit] = {}
    foreign = 0
    for visit in visits:
        if visit.id in asked and visit.id not in found:
            found[visit.id] = visit
        else:
            foreign += 1
    answered = [found[i] for i in drawn if i in found and found[i].result in RESULTS]
    other = [v.id for v in answered if RESULTS[v.result] and v.serial != v.id]
    still = [v.id for v in answered if UNPLUGGED.get(v.unplug) is False]
    unasked = sum(v.unplug not in UNPLUGGED for v in answered)
    good = sum(RESULTS[v.result] and v.serial == v.id and UNPLUGGED.get(v.unplug) is not False for v in answered)
    if foreign:
        findings.append(
            Validity("DEV-V14", Severity.INVALID, f"核验结果里有 {foreign} 行不属于抽中的 {len(asked)} 台，或重复")
        )
    if len(answered) < len(drawn) or not drawn:
        text = f"抽中而计数的有 {len(drawn)} 台，只有 {len(answered)} 台有核验结果"
        findings.append(Validity("DEV-V15", Severity.INVALID, text))
    if unasked:
        findings.append(_warning("DEV-V16", f"{unasked} 台没有做拔线核对，在线数据是否出自它本身未证实"))
    if other or still:
        text = f"现场不符：铭牌序列号不同 {len(other)} 台（{_some(other)}），拔线后仍在线 {len(still)} 台（{_some(still)}）"
        findings.append(_warning("DEV-V17", text))
    return (Audit(len(counted), len(drawn), good) if drawn else None), findings


def _arranged(params: Params, drawn: int) -> Iterator[Validity]:
    """Whether who knows the seed could have arranged the rows for the draw. All are drawn where that is fewer than asked for."""
    tables = [params.register_, *([params.baseline] if params.baseline else [])]
    if params.audit and drawn == params.audit.size and any(table.sha256 is None for table in tables):
        text = "计划里没有清册（及基线）的摘要：知道抽样种子的人可以排列行序，直到抽中的都经得起核验"
        yield _warning("DEV-V23", text)


def sheets(folder: Path, params: Params, seed: int) -> dict[str, str]:
    """The audit file with the devices to visit. Raises OSError, ValueError."""
    if params.audit is None:
        return {}
    if other := other_files(folder, params):
        raise ValueError(f"{other[0]} 不是计划里的那一份（SHA-256 不符）")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([params.register_.id, RESULT, SERIAL, UNPLUG, "note"])
    writer.writerows([device, "", "", "", ""] for device in sample_ids(folder, params, seed))
    return {params.audit.file: out.getvalue()}


# --- all together ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """What a run holds: `problems` are those that make a count from it worthless."""

    rows: list[Row]
    before: frozenset[str]
    observations: list[Observation]
    ties: list[Tie]
    start_ns: int
    validity: list[Validity]


def _read(evidence: RunEvidence, params: Params) -> _Run:
    rows, before, observations, validity = list[Row](), frozenset[str](), list[Observation](), list[Validity]()
    ties, start_ns = list[Tie](), 0
    try:
        rows, before = register_rows(evidence, params), baseline_ids(evidence, params)
        if other := other_files(evidence, params):
            text = f"{'、'.join(other)} 不是计划里的那一份（SHA-256 不符）"
            validity.append(Validity("DEV-V24", Severity.INVALID, text))
    except UNREADABLE:
        validity.append(Validity("DEV-V01", Severity.INVALID, "清册或基线没有完整收入证据：计数不能作数"))
    try:
        with evidence.open(SESSION) as f:
            session = json.load(f)
        whole = all(session["files"][name] == evidence.sha256(name) for name in session["files"])
        if not (whole and session["done"] and isinstance(session["start_ns"], int)):
            raise ValueError
        start_ns = session["start_ns"]
    except UNREADABLE:
        validity.append(Validity("DEV-V13", Severity.INVALID, "观察没有做完：窗口被中断，或证据不齐"))
    for source in params.sources:
        part, reader = evidence.sub(source.name), _reader(source)
        try:
            observations.extend(reader.observations(part, source))
            validity.extend(reader.findings(part, source))
            ties.extend(reader.ties(part, source) if hasattr(reader, "ties") else ())
        except UNREADABLE:
            validity.append(Validity("DEV-V18", Severity.INVALID, f"来源 {source.name} 的证据读不出来"))
    return _Run(rows, before, observations, ties, start_ns, validity)


def device_table(evidence: RunEvidence, params: Params) -> list[Device]:
    """Every row of the register in its order, then every device seen that is in none."""
    return _table(params, _read(evidence, params))[1]


def _by_node(ties: Sequence[Tie]) -> dict[Node, list[tuple[Node, Tie]]]:
    """Each identity with those that it is tied to, in normal form."""
    found: dict[Node, list[tuple[Node, Tie]]] = defaultdict(list)
    for tie in ties:
        a, b = ((kind, normal(kind, value)) for kind, value in (tie.first, tie.second))
        found[a].append((b, tie))
        found[b].append((a, tie))
    return found


def _table(params: Params, run: _Run) -> tuple[_Register, list[Device], list[_Seen]]:
    devices, of_row = resolve(run.rows, run.observations)
    register = _Register(params, run.rows, run.before, of_row, _by_node(run.ties))
    table = [register.device(number, *register.decide(number)) for number in range(len(run.rows))]
    table += [_unregistered(seen) for seen in devices if not seen.rows and seen.observations]
    return register, table, devices


def as_csv(table: Sequence[Device]) -> str:
    """The table for a spreadsheet, identities as `kind=value@source`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["device_id", "status", "reason", "access", "gateway", "messages", "distinct_values", "first", "last", "ids"]
    )
    for d in table:
        first, last = (
            min((i.first_ns for i in d.ids if i.first_ns), default=0),
            max((i.last_ns for i in d.ids), default=0),
        )
        ids = " ".join(f"{i.kind}={i.value}@{i.source}" for i in d.ids)
        writer.writerow(
            [
                d.device_id,
                d.status,
                d.reason,
                d.access,
                d.gateway,
                d.messages,
                d.distinct_values,
                _iso(first),
                _iso(last),
                ids,
            ]
        )
    return out.getvalue()


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the acknowledged evidence yields; cut or missing evidence gives findings, never an exception."""
    run = _read(evidence, params)
    register, table, devices = _table(params, run)
    listed = table[: len(run.rows)]
    taken = [number for number, device in enumerate(listed) if not device.code]
    fell, counted = Counter(d.code for d in listed), [register.of_row[n] for n in taken]
    validity = [
        *run.validity,
        *_shape(params, run.observations),
        *_suspicions(params, register, table, devices),
        *_crowds(counted, run.start_ns),
        *_cross_checks(evidence, params, len(taken)),
    ]
    audit = None
    if params.audit is not None and taken:
        audit, found = _audited(evidence, params, seed, {listed[n].device_id for n in taken})
        validity += found
    load = accompaniment(evidence, params.load, seed) if params.load else None
    if load:
        validity.append(Validity("DEV-V20", Severity.INFO, load.text))
    if load and load.faults:
        text = f"负载没有达到约定：{'；'.join(load.faults)}"
        validity.append(Validity("DEV-V21", Severity.INVALID, text))
    missing = params.new_only and params.baseline is None
    no_baseline = Reason("no_baseline", "要计新增而没有冻结的基线清单：新增多少无从判定")
    by_access = Counter(listed[n].access for n in taken)
    told = params.register_.access or params.register_.gateway or any(seen.gateway for seen in counted)
    facts: dict[str, Json] = {
        "register_rows": len(run.rows),
        "status": dict(sorted(Counter(d.status for d in table).items())),
        "seen_by_source": {s.name: len({id(d) for d in devices if s.name in d.sources}) for s in params.sources},
        "baseline_date": params.baseline.date if params.baseline else None,
        "baseline_ids": len(run.before) if params.baseline else None,
        "devices_listed": min(len(table), TABLE_ROWS),
        "devices_total": len(table),
        "devices": [device.to_json() for device in table[:TABLE_ROWS]],
        **({"load": load.facts} if load else {}),
    }
    return Count(
        unit=params.unit,
        gross=len(run.rows),
        exclusions=tuple(Exclusion(code, text, fell[code]) for code, text in reasons(params).items()),
        net=len(taken),
        audit=audit,
        columns=tuple((w, by_access[w]) for w in ACCESS_WORDS.values() if by_access[w]) if told else (),
        open=(no_baseline,) if missing else (),
        validity=tuple(validity),
        facts=facts,
    )
