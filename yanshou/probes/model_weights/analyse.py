"""Counts the parameters of a recorded model anew from its headers: gross -> each exclusion in order -> net.

It is for giving the same count from the same bytes, forever. It must never touch the world, never know a limit, and never count an
engine: what stands behind one is declared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from yanshou.formats.tensors import Malformed, Recorded, Source
from yanshou.formats.torch_zip import FOREIGN
from yanshou.harness.basics import Json
from yanshou.harness.model import Count, Reason, Severity, Validity
from yanshou.probes.model_weights.agreement import challenge_findings
from yanshou.probes.model_weights.checkpoint import ENGINES, SUFFIXES, Checkpoint, Choice, read_checkpoint, sample
from yanshou.probes.model_weights.counting import Tally, nominal, nominal_of, standing, tally
from yanshou.probes.model_weights.streams import DELETED, MODEL, PROCESS, TEXTS

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.model_weights.spec import Params

SPARSE = 0.5
"""A file of which less than this share is on the disk is mostly holes: zeros that nobody wrote."""
FAR = 0.9
"""Share of a nominal size below which the name is wrong."""


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The count that the recorded headers yield; cut or damaged evidence gives WGT-V01 (invalid), never an exception."""
    try:
        with evidence.open(MODEL) as f:
            record = json.load(f)
        return _count(evidence, record, params, *_reread(evidence, record, seed))
    except (Malformed, LookupError, TypeError, ValueError, AttributeError) as error:
        text = f"证据不完整，不能重新计数：{error if isinstance(error, Malformed) else '缺少记录'}"
        return Count("参数", 0, (), 0, validity=(Validity("WGT-V01", Severity.INVALID, text),))


def _count(
    evidence: RunEvidence,
    record: Mapping[str, Json],
    params: Params,
    checkpoint: Checkpoint,
    samples: Mapping[str, tuple[bytes, ...]],
) -> Count:
    counted = tally(checkpoint, samples, params.moe, params.vision)
    name = params.nominal or nominal_of(checkpoint, (record["folder"], *record["choice"]["weights"]))
    found = [
        *_file_findings(record, checkpoint),
        *counted.validity,
        *_name_findings(counted, name),
        *_binding(evidence, record),
        *challenge_findings(evidence, record),
    ]
    return Count(
        unit="参数",
        gross=counted.gross,
        exclusions=counted.exclusions,
        net=counted.net,
        columns=_columns(counted),
        open=tuple(_open(params, record, counted, name)),
        validity=tuple(sorted(found, key=lambda v: v.code)),
        facts={
            "format": checkpoint.format,
            "tensors": len(checkpoint.tensors),
            "stored_elements": counted.stored,
            "types": dict(sorted(counted.types.items())),
            "nominal": name,
            "vocabulary": checkpoint.vocabulary,
            "experts": None if counted.experts is None else [counted.experts.number, counted.experts.used],
            "files": {name: {"size": f["size"], "sha256": f["sha256"][0]} for name, f in record["files"].items()},
            "engines": {name: e["sha256"][0] for name, e in record["engines"].items()},
            "architecture": _architecture(checkpoint),
            "binding": _bound(found),
        },
    )


def _reread(
    evidence: RunEvidence, record: Mapping[str, Json], seed: int
) -> tuple[Checkpoint, dict[str, tuple[bytes, ...]]]:
    """Headers and samples from what was recorded of each file. Raises Malformed, KeyError, TypeError, ValueError."""
    sources: dict[str, Source] = {}

    def opened(name: str) -> Source:
        if name not in sources:
            file = record["files"][name]
            with evidence.open(file["stream"]) as stream:
                sources[name] = Recorded(stream, int(file["size"]))
        return sources[name]

    texts = {}
    for name in record["texts"]:
        with evidence.open(TEXTS + name) as stream:
            texts[name] = stream.read()
    chosen = record["choice"]
    choice = Choice(tuple(chosen["weights"]), chosen["index"], tuple(chosen["others"]))
    checkpoint = read_checkpoint(choice, opened, texts)
    return checkpoint, {t.name: sample(t, opened, seed) for t in checkpoint.tensors}


def _columns(counted: Tally) -> tuple[tuple[str, int], ...]:
    parts = [("词嵌入与输出头", counted.embedding), ("视觉、音频编码器与投影", counted.vision)]
    if counted.experts is not None and counted.active is not None:
        parts.append(("单个词元激活的参数", min(counted.active, counted.net)))
    return tuple((name, number) for name, number in parts if number)


def _open(params: Params, record: Mapping[str, Json], counted: Tally, name: str | None) -> Iterator[Reason]:
    """Questions that the count cannot answer."""
    if record["engines"]:
        text = f"部署的是引擎（{'、'.join(record['engines'])}），数不出参数；数的是声明的源检查点，由构建日志联系，交专家评议"
        yield Reason("declared", text)
    if counted.experts is not None and params.moe is None:
        text = f"模型有 {counted.experts.number} 个专家：总参数 {counted.net}，激活 {counted.active}；没有写明按哪个（params.moe）"
        yield Reason("undefined_reading", text)
    if params.moe == "active" and counted.active is None:
        yield Reason("undefined_reading", "承诺按激活参数，文件里没有可信的每词元专家数，激活参数给不出")
    if counted.vision and params.vision is None:
        text = f"视觉、音频编码器与投影有 {counted.vision} 个参数；承诺没有写明是否计入（params.vision）"
        yield Reason("undefined_reading", text)
    size = nominal(name) if name else None
    if size and params.basis == "both" and standing(counted.net, size) == "borderline":
        text = f"临界：元素数 {counted.net} 不足标称 {name}，但四舍五入到它；按元素数与按标称结论不同，交专家评议"
        yield Reason("expert_review", text)


def _architecture(checkpoint: Checkpoint) -> str:
    listed = checkpoint.config.get("architectures")
    found = listed[0] if isinstance(listed, list) and listed else checkpoint.metadata.get("general.architecture")
    return str(found or checkpoint.config.get("model_type") or "")[:80]


def _file_findings(record: Mapping[str, Json], checkpoint: Checkpoint) -> Iterator[Validity]:
    changed = [
        name for part in ("files", "engines") for name, f in record[part].items() if f["sha256"][0] != f["sha256"][1]
    ]
    if changed:
        text = f"测量中文件被换过：{'、'.join(changed[:3])} 的始末摘要不同"
        yield Validity("WGT-V02", Severity.INVALID, text)
    files = record["files"].values()
    size, allocated = (sum(f[key] for f in files) for key in ("size", "allocated"))
    if 0 < allocated < SPARSE * size:
        text = f"权重文件共 {size} 字节，只有 {allocated} 字节真正在磁盘上（空洞文件）：空洞处全是零"
        yield Validity("WGT-V04", Severity.WARNING, text)
    if foreign := checkpoint.metadata.get(FOREIGN):
        text = f"pickle 里有 torch 之外的对象（{'、'.join(foreign[:3])}）：这里没有执行它，加载它的程序会"
        yield Validity("WGT-V05", Severity.WARNING, text)
    if checkpoint.total_size:
        stated, real = checkpoint.total_size
        yield Validity("WGT-V10", Severity.WARNING, f"索引说共 {stated} 字节，各分片的张量共 {real} 字节")
    if others := record["choice"]["others"]:
        text = f"同一文件夹里另有 {len(others)} 个权重文件不属于这个模型（{others[0]}），没有计入"
        yield Validity("WGT-V14", Severity.WARNING, text)


def _name_findings(counted: Tally, name: str | None) -> Iterator[Validity]:
    size = nominal(name) if name else None
    if size and counted.net < FAR * float(size[0]):
        text = f"名为 {name}，计得 {counted.net} 个参数，只有它的 {counted.net / float(size[0]):.0%}：名实不符"
        yield Validity("WGT-V11", Severity.WARNING, text)


def _binding(evidence: RunEvidence, record: Mapping[str, Json]) -> Iterator[Validity]:
    """Whether the serving process holds the very files that were counted, or other weights."""
    port = record["port"]
    if port is None:
        text = "没有观察推理服务的进程（params.port）：计数的文件是否就是在用的模型，此处没有证明"
        yield Validity("WGT-V08", Severity.WARNING, text)
        return
    held, readable = _held(evidence)
    counted = {(f["dev"], f["ino"]) for f in (record["engines"] or record["files"]).values()}
    known = counted | {(f["dev"], f["ino"]) for f in record["files"].values()}
    bound = {(f["dev"], f["ino"]) for f in held} & counted
    names = {
        str(f["path"]).rpartition("/")[2]
        for f in held
        if (f["dev"], f["ino"]) not in known and str(f["path"]).removesuffix(DELETED).endswith((*SUFFIXES, *ENGINES))
    }
    if names:
        text = f"服务进程持有别的权重文件（{'、'.join(sorted(names)[:3])}）"
        text += "，不只是计数的" if bound else "，而不持有计数的：计数的不是在用的模型"
        yield Validity("WGT-V06", Severity.WARNING if bound else Severity.INVALID, text)
    if bound:
        text = f"监听端口 {port} 的进程打开或映射着 {len(bound)}/{len(counted)} 个计数的文件"
        yield Validity("WGT-V07", Severity.INFO, text)
    elif not names:
        why = "没有持有任何权重文件（可能已读完关闭）" if readable else "读不到它的文件（权限不够）"
        yield Validity("WGT-V08", Severity.WARNING, f"监听端口 {port} 的进程{why}：绑定没有证明")


def _bound(found: Sequence[Validity]) -> str:
    """What ties the running service to the counted files: the strongest that was shown, else only somebody's word."""
    shown = {v.code for v in found if v.severity is Severity.INFO}
    return "reproduced" if "WGT-V15" in shown else "held" if "WGT-V07" in shown else "declared"


def _held(evidence: RunEvidence) -> tuple[list[dict[str, Json]], bool]:
    """Every file that was seen held, and whether all processes could be read."""
    files: list[dict[str, Json]] = []
    readable = True
    if PROCESS not in evidence.streams():
        return [], False
    with evidence.open(PROCESS) as stream:
        for line in stream:
            try:
                for process in json.loads(line)["processes"]:
                    files += process["files"]
                    readable = readable and process["readable"]
            except (ValueError, KeyError, TypeError):
                readable = False
    return files, readable
