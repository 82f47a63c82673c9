"""A checklist that the models answer: one item for each specification on each model.

是 only where a specification applied to something and everything kept it. It must never touch the world and never know a limit.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from yanshou.formats.step import BadStep, Step, read_step
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Answer, Checklist, InspectedItem, Severity, Validity
from yanshou.probes.bim_ids.checking import BadIds, Checked, Model, check
from yanshou.probes.bim_ids.spec import SPEC, Params

IDS, IMPORT = "specifications.ids", "import.json"
MOST_TYPES = 5


def another(params: Params, sha256: str) -> str:
    """What is wrong with an IDS of this digest, "" for nothing: who may write it after the models can always pass it."""
    return "不是计划里的那一份 IDS（SHA-256 不符）" if params.ids_sha256 not in (None, sha256) else ""


def model_stream(number: int) -> str:
    """The stream of the model with this number, from 1."""
    return f"models/{number:02d}.ifc"


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Checklist:
    """The checklist that the acknowledged models answer; cut or broken evidence gives findings, never an exception.

    `facts`: {"models": one record each, "specifications": one record per model and specification, "ids_sha256"}.
    Raises UserError without the extra `bim`.
    """
    taken = _taken(evidence, params)
    validity = [] if taken is not None else [Validity("BIM-V01", Severity.INVALID, "模型或 IDS 没有完整导入：不能作数")]
    items: list[InspectedItem] = []
    models: list[dict[str, Json]] = []
    rows: list[dict[str, Json]] = []
    for number, entry in enumerate(taken or (), 1):
        digests = (str(entry["sha256"]), evidence.sha256(IDS))
        try:
            step, model = _read(evidence, str(entry["stream"]))
        except ValueError as error:
            validity.append(Validity("BIM-V03", Severity.INVALID, f"{entry['name']} 的模型读不出：{error}"))
            continue
        models.append(_told(entry, step, model))
        if model.instances != step.total:
            text = f"{entry['name']} 的文件有 {step.total} 个实例，读出 {model.instances} 个：没有读全，不能作数"
            validity.append(Validity("BIM-V03", Severity.INVALID, text))
        for position, one in enumerate(model.checked, 1):
            id_ = f"M{number:02d}-{position:02d}"
            items.append(_item(id_, str(entry["name"]), one, digests))
            rows.append(_row(id_, str(entry["name"]), one))
    validity += _findings(taken or (), items)
    if params.ids_sha256 is None:
        validity.append(Validity("BIM-V05", Severity.WARNING, "计划里没有写 IDS 的摘要：冻结之后照着模型换过也看不出"))
    elif taken is not None and (other := another(params, evidence.sha256(IDS))):
        validity.append(Validity("BIM-V06", Severity.INVALID, other))
    facts: dict[str, Json] = {
        "models": models,
        "specifications": rows,
        "ids_sha256": evidence.sha256(IDS) if IDS in evidence.streams() else None,
    }
    return Checklist(SPEC.unit, tuple(items), tuple(validity), facts)


def _taken(evidence: RunEvidence, params: Params) -> list[Mapping[str, Json]] | None:
    """What the capture says it took; None where that is not what was planned and acknowledged."""
    try:
        with closing(evidence.open(IMPORT)) as stream:
            said = json.load(stream)
        taken: list[Mapping[str, Json]] = said["models"]
        whole = [entry["name"] for entry in taken] == [model.name for model in params.models]
        whole &= all(evidence.sha256(str(entry["stream"])) == entry["sha256"] for entry in taken)
        whole &= evidence.sha256(IDS) == said["ids"]["sha256"]
    except (KeyError, TypeError, ValueError):
        return None
    return taken if whole else None


def _read(evidence: RunEvidence, name: str) -> tuple[Step, Model]:
    """A model twice: counted statement by statement, and as ifcopenshell reads it. Raises ValueError."""
    try:
        with closing(evidence.open(name)) as stream:
            step = read_step(stream)
        with closing(evidence.open(name)) as stream, closing(evidence.open(IDS)) as ids:
            return step, check(stream.read(), ids.read())
    except (BadStep, BadIds) as error:
        raise ValueError(str(error)) from None


def _told(entry: Mapping[str, Json], step: Step, model: Model) -> dict[str, Json]:
    most = "、".join(f"{name} {n}" for name, n in step.instances.most_common(MOST_TYPES))
    return {
        "name": entry["name"],
        "file": entry["file"],
        "sha256": entry["sha256"],
        "schema": model.schema,
        "instances": step.total,
        "most": most,
        "written": step.written,
        "system": step.system,
    }


def _answer(one: Checked) -> tuple[Answer, str]:
    if one.why:
        return Answer.NOT_APPLICABLE, one.why
    if one.required and not one.applicable:
        return Answer.NO, "没有适用的构件，规格要求须有"
    if one.prohibited:
        return (
            (Answer.NO, f"有 {one.applicable} 个不该有的构件") if one.applicable else (Answer.YES, "没有不该有的构件")
        )
    told = f"适用 {one.applicable} 个，符合 {one.applicable - one.failed} 个"
    if one.kept and not one.failed:
        return Answer.YES, told
    return Answer.NO, f"{told}，不符合 {one.failed} 个：{'、'.join(one.failing[:3])}{' 等' if one.failed > 3 else ''}"


def _item(id_: str, model: str, one: Checked, digests: tuple[str, ...]) -> InspectedItem:
    answer, observed = _answer(one)
    reason = one.why if answer is Answer.NOT_APPLICABLE else ""
    text = f"{model}：{one.identifier + ' ' if one.identifier else ''}{one.name}"
    expected = "没有适用的构件" if one.prohibited else "适用的构件全部符合 IDS 规格"
    return InspectedItem(id_, text, expected, observed, answer, f"仪器 {SPEC.name}", "", digests, reason)


def _row(id_: str, model: str, one: Checked) -> dict[str, Json]:
    return {
        "id": id_,
        "model": model,
        "specification": one.name,
        "applicable": one.applicable,
        "passed": one.applicable - one.failed,
        "failed": one.failed,
        "failing": list(one.failing),
    }


def _findings(taken: Sequence[Mapping[str, Json]], items: Sequence[InspectedItem]) -> Iterator[Validity]:
    shown: defaultdict[str, list[str]] = defaultdict(list)
    for entry in taken:
        shown[str(entry["sha256"])].append(str(entry["name"]))
    for names in shown.values():
        if len(names) > 1:
            text = f"{'、'.join(names)} 是同一个文件：一个模型不能当作几个环节的"
            yield Validity("BIM-V02", Severity.INVALID, text)
    idle = [item.id for item in items if item.answer is Answer.NOT_APPLICABLE]
    if idle:
        some = "、".join(idle[:5]) + (" 等" if len(idle) > 5 else "")
        text = f"{len(idle)} 项规格没有适用的构件或不针对此版本（{some}），没有查到什么"
        yield Validity("BIM-V04", Severity.WARNING, text)
