"""Takes models and the IDS they are held against into evidence, byte for byte. It must never judge, and never repair a model."""

from __future__ import annotations

from pathlib import Path

from yanshou.formats.step import BadStep, read_step
from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import canonical, sha256_bytes
from yanshou.probes.bim_ids.analyse import IDS, IMPORT, another, model_stream
from yanshou.probes.bim_ids.checking import BadIds, specifications
from yanshou.probes.bim_ids.spec import Params
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.importing import checked_file, stamp

MAX_MODEL = 1 << 30
MAX_IDS = 16 << 20


def capture(params: Params, run: RunContext) -> None:
    """Streams `models/01.ifc` and on, `specifications.ids`, and `import.json` last, which says that the import is whole.

    Raises ProbeError BIM-E01 (missing), E02 (a folder), E03 (empty), E04 (not readable), E05 (no IFC in clear text, or cut), E06
    (no IDS), E07 (changed while copied), E09 (too large), E10 (not the IDS of the plan), UserError BIM-E08 without the extra.
    """
    ids = _checked(run.folder, params.ids, "IDS 文件", MAX_IDS)
    data = ids.read_bytes()
    try:
        specifications(data)
    except BadIds as error:
        raise ProbeError("BIM-E06", f"{ids.name} {error}", "用支持 IDS 1.0 的工具重新导出") from None
    if other := another(params, sha256_bytes(data)):
        raise ProbeError("BIM-E10", f"{ids.name}：{other}", "放回商定的那一份；要换须先修订计划")
    models = [_checked(run.folder, model.file, "模型", MAX_MODEL) for model in params.models]
    before = {path: stamp(path) for path in (ids, *models)}
    for path in models:
        _require_ifc(path)
    taken: list[Json] = []
    for number, (model, path) in enumerate(zip(params.models, models, strict=True), 1):
        sha256 = run.sink.attach(path, model_stream(number))
        taken.append({"name": model.name, "file": path.name, "stream": model_stream(number), "sha256": sha256})
        run.progress(Progress(number, len(models)))
    digest = run.sink.attach(ids, IDS)
    for path, state in before.items():
        if stamp(path) != state:
            raise ProbeError("BIM-E07", f"{path.name} 在导入时被改动", "关掉打开它的程序后重新运行")
    run.sink.stream(IMPORT).write(canonical({"models": taken, "ids": {"file": ids.name, "sha256": digest}}) + b"\n")


def _checked(folder: Path, name: str, what: str, most: int) -> Path:
    path = checked_file(
        folder, name, what, missing="BIM-E01", directory="BIM-E02", empty="BIM-E03", unreadable="BIM-E04"
    )
    if path.stat().st_size > most:
        text = f"{what} {name} 有 {path.stat().st_size >> 20} MiB，上限 {most >> 20} MiB"
        raise ProbeError("BIM-E09", text, "按楼栋或专业分成几个文件")
    return path


def _require_ifc(path: Path) -> None:
    remedy = "从建模软件重新导出为 IFC（STEP 明文，不是 .ifczip 或 ifcXML）"
    try:
        with path.open("rb") as f:
            step = read_step(f)
    except BadStep as error:
        raise ProbeError("BIM-E05", f"{path.name} 不是 IFC 明文：{error}", remedy) from None
    if not step.schema.upper().startswith("IFC"):
        raise ProbeError("BIM-E05", f"{path.name} 的 schema 是“{step.schema[:40]}”，不是 IFC", remedy)
    if not step.whole:
        raise ProbeError("BIM-E05", f"{path.name} 没有写完（末尾不是 END-ISO-10303-21）", remedy)
