"""Rebuilds a checklist from what the ledger acknowledged and checks every rule again.

It is for making sure that a 是 stands on an acknowledged file and two persons, whatever `items.json` claims. It must never
turn paper into a measurement: it reports what people answered and judges none of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from pydantic import ValidationError

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence, sha256_bytes
from yanshou.harness.model import Answer, Checklist, InspectedItem, Severity, Validity
from yanshou.probes.inspection import naming, video, vin
from yanshou.probes.inspection.journal import STREAM, conduct, differences, read
from yanshou.probes.inspection.spec import CONFIRMED, Item, Params, Recorded, RecordedItem, breaches, misread
from yanshou.probes.texts import moment

ATTACHMENTS, ITEMS = "attachments", "items.json"
HASTE = timedelta(minutes=1)
_EMPTY = sha256_bytes(b"")


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Checklist:
    """The plan's items with their acknowledged answers; a cut run gives INS-V05 (invalid), never an exception.

    `facts`: {"answers": {answer: number}, "records": per item id, method, time, place and evidence files}; of a guided
    inspection also "journal": {"records", "head"} and in "records" how it was checked and when confirmed.
    """
    recorded = _recorded(evidence)
    validity = [] if recorded else [Validity("INS-V05", Severity.INVALID, "答卷没有完整导入，未导入的条目按未查计")]
    said = {entry.id: entry for entry in recorded.items} if recorded else {}
    planned = [(item, said.get(item.id) or RecordedItem(**item.model_dump())) for item in params.items]
    acknowledged = {name: evidence.sha256(name) for name in evidence.streams()}
    items = []
    for item, entry in planned:
        proven = tuple(file.sha256 for file in entry.evidence if _proves(file.stream, file.sha256, item, acknowledged))
        broken = list(_broken(item, entry, len(proven)))
        validity += (Validity("INS-V01", Severity.INVALID, f"{item.id} {text}") for text in broken)
        items.append(_inspected(item, entry, proven, trusted=not broken))
    validity += _shared_files(items)
    validity += _identifiers(planned)
    validity += _names(planned, items)
    counted = {i.id: c for i, entry in planned if i.identifier == "video" and (c := video.written(entry.observed))}
    validity += _few(counted)
    validity += _haste([entry.time for _, entry in planned if entry.answer is not Answer.OPEN])
    told, found = _journal(evidence, recorded, params, said)
    validity += found
    guided = {"how", "confirmed"} if told else set[str]()
    numbers = Counter(item.answer for item in items)
    facts: dict[str, Json] = {
        "answers": {answer.value: numbers[answer] for answer in Answer},
        "records": [
            entry.model_dump(mode="json", include={"id", "method", "time", "place", "evidence"} | guided)
            for _, entry in planned
        ],
        **told,
    }
    if counted:
        facts["motion_to_photon"] = {name: count.to_json() for name, count in counted.items()}
    return Checklist(params.unit, tuple(items), tuple(validity), facts)


def _few(counted: Mapping[str, video.Counted]) -> Iterator[Validity]:
    """Videos of fewer movements than show how the time spreads."""
    for name, count in counted.items():
        if len(count.frames) < video.FEWEST:
            text = f"{name} 只数了 {len(count.frames)} 次，至少 {video.FEWEST} 次才看得出快慢的范围"
            yield Validity("INS-V15", Severity.WARNING, text)


def _recorded(evidence: RunEvidence) -> Recorded | None:
    if ITEMS not in evidence.streams():
        return None
    with evidence.open(ITEMS) as f:
        try:
            return Recorded.model_validate_json(f.read())
        except ValidationError:
            return None


def _journal(
    evidence: RunEvidence, recorded: Recorded | None, params: Params, said: Mapping[str, RecordedItem]
) -> tuple[dict[str, Json], list[Validity]]:
    """What the journal of a guided inspection tells beside the answers; nothing where the sheet came of none."""
    if recorded is None or not (recorded.journal_sha256 or STREAM in evidence.streams()):
        return {}, []
    try:
        if STREAM not in evidence.streams() or evidence.sha256(STREAM) != recorded.journal_sha256:
            raise ValueError("查验日志不在已确认的证据里，或不是导入的那一份")
        with evidence.open(STREAM) as f:
            journal = read(f)
    except ValueError as error:
        return {}, [Validity("INS-V08", Severity.INVALID, str(error))]
    rows = {
        i: entry.model_dump(mode="json", exclude={"evidence": {"__all__": {"stream"}}}) for i, entry in said.items()
    }
    found = [
        Validity("INS-V08", Severity.INVALID, f"{item} {text}")
        for item, text in differences(params.sheet, params.items, rows, journal)
    ]
    seen = conduct(params.sheet, params.items, journal)
    if seen.one_device:
        text = f"{'、'.join(seen.one_device)} 的检查与复核在同一台设备上做：软件只凭各自的口令区分两人，以两人签字为准"
        found.append(Validity("INS-V09", Severity.WARNING, text))
    if seen.amended:
        text = (
            f"作答后又改过：{'、'.join(f'{item} {times} 次' for item, times in seen.amended)}，每次的理由在查验日志里"
        )
        found.append(Validity("INS-V10", Severity.INFO, text))
    if seen.chosen_again or seen.wrong_pins:
        again = [f"{name} 重设过口令" for name in seen.chosen_again]
        wrong = [f"以 {name} 的姓名输错口令 {times} 次" for name, times in seen.wrong_pins]
        found.append(Validity("INS-V11", Severity.WARNING, f"{'；'.join(again + wrong)}，请与本人核对是否本人所为"))
    return {"journal": {"records": journal.size, "head": journal.head}}, found


def _proves(stream: str, sha256: str, item: Item, acknowledged: Mapping[str, str]) -> bool:
    """True when a file that an answer names is this item's own, is acknowledged with that digest, and is not empty."""
    return stream.startswith(f"{ATTACHMENTS}/{item.id}/") and acknowledged.get(stream) == sha256 != _EMPTY


def _broken(item: Item, entry: RecordedItem, proven: int) -> Iterator[str]:
    if item.model_dump() != entry.model_dump(include=set(Item.model_fields)):
        yield "的题目与计划不同"
    if proven < len(entry.evidence):
        yield f"有 {len(entry.evidence) - proven} 个证据文件不在已确认的证据里，或是空的"
    explained = bool(entry.observed or entry.reason)
    for _, text, _ in breaches(
        entry.answer,
        inspector=entry.inspector,
        witness=entry.witness,
        explained=explained,
        evidence=proven,
        expert=item.expert,
    ):
        yield text
    if entry.answer is Answer.YES and (wrong := misread(item, entry.observed)):
        yield wrong[0]


def _inspected(item: Item, entry: RecordedItem, proven: tuple[str, ...], *, trusted: bool) -> InspectedItem:
    """The answer as given, but a 是 or 不适用 that breaks a rule is 未查, and a 是 that is on no list goes to experts."""
    answer = entry.answer
    if answer in CONFIRMED and not trusted:
        answer = Answer.OPEN
    elif answer is Answer.YES and item.named and not naming.names(item.named, entry.observed):
        answer = Answer.EXPERT
    return InspectedItem(
        id=item.id,
        text=item.text,
        expected=item.expected,
        observed=entry.observed,
        answer=answer,
        inspector=entry.inspector,
        witness=entry.witness,
        evidence=proven,
        reason=entry.reason,
    )


def _shared_files(items: Sequence[InspectedItem]) -> Iterator[Validity]:
    users: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        for digest in dict.fromkeys(item.evidence):
            users[digest].append(item.id)
    for digest, ids in users.items():
        if len(ids) > 1:
            text = f"{'、'.join(ids)} 用了同一个证据文件（{digest[:12]}…），请查明是否真能证明各项"
            yield Validity("INS-V02", Severity.WARNING, text)


def _identifiers(planned: Sequence[tuple[Item, RecordedItem]]) -> Iterator[Validity]:
    """Wrong identifiers behind answers other than 是 (a 是 is refused), and one vehicle that stands for several."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for item, entry in planned:
        number = vin.written(entry.observed) if item.identifier == "vin" else None
        if number is None:
            continue
        if entry.answer is Answer.YES:
            users[number].append(item.id)
        elif wrong := misread(item, entry.observed):
            yield Validity("INS-V06", Severity.WARNING, f"{item.id} {wrong[0]}")
    for number, ids in users.items():
        if len(ids) > 1:
            text = f"{'、'.join(ids)} 写的是同一辆车（{number}）：一辆车不能证明几款"
            yield Validity("INS-V07", Severity.INVALID, text)


def _names(planned: Sequence[tuple[Item, RecordedItem]], items: Sequence[InspectedItem]) -> Iterator[Validity]:
    """One name behind several 是, what is on no list, and what a list has from memory."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    unlisted, unsure = list[str](), dict[str, str]()
    for (item, entry), inspected in zip(planned, items, strict=True):
        if item.named is None or entry.answer is not Answer.YES:
            continue
        if inspected.answer is Answer.EXPERT:
            unlisted.append(item.id)
        for name in naming.names(item.named, entry.observed) if inspected.answer is Answer.YES else ():
            users[name].append(item.id)
            if why := naming.unsure(item.named, name):
                unsure[name] = why
    for name, ids in users.items():
        if len(ids) > 1:
            yield Validity("INS-V12", Severity.INVALID, f"{'、'.join(ids)} 写的是同一个（{name}）：一个不能算几个")
    if unlisted:
        yield Validity("INS-V13", Severity.WARNING, f"{'、'.join(unlisted)} 写的不在对照的清单里，交专家评议")
    if unsure:
        text = "；".join(f"{name}（{why}）" for name, why in unsure.items())
        yield Validity("INS-V14", Severity.WARNING, f"清单里的名称须与官方文件核对：{text}")


def _haste(times: Sequence[str]) -> Iterator[Validity]:
    moments = [when for when in map(moment, times) if when is not None]
    if len(moments) < len(times):
        text = f"{len(times) - len(moments)} 个已答条目没有写时间，看不出是否逐项查验"
        yield Validity("INS-V04", Severity.WARNING, text)
    if len(moments) > 1 and max(moments) - min(moments) <= HASTE:
        text = f"{len(moments)} 个条目的时间都在一分钟之内，请查明是否逐项查验"
        yield Validity("INS-V03", Severity.WARNING, text)
