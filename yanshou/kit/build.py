"""Making a capture kit: one archive with the frozen plan, the capture side of one probe, and exactly what that imports.

It must never put a key, a limit's judgement or anything that is not plain Python into a kit. The same plan and tool give the
same bytes, and the ledger knows each kit by its digest before the file exists.
"""

from __future__ import annotations

import ast
import importlib.metadata
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec, resolve_name
from pathlib import Path

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.calibrate import scale
from yanshou.harness.engine import require_unchanged
from yanshou.harness.evidence import Ledger, recover, require_writable, sha256_bytes, write_atomic
from yanshou.harness.plan import Plan, restore_lock
from yanshou.harness.recording import Job, jobs_of
from yanshou.kit.runner import ABOUT, FORMAT, PLAN
from yanshou.probes.contract import Probe, find_probes

BUNDLED = ("h11", "rfc8785")
"""Packages from elsewhere that a kit may take along: plain Python, for 3.8, with their licence."""
MAIN = """\
# -*- coding: utf-8 -*-
import os
import sys

if sys.version_info < (3, 8):
    sys.exit("KIT-E06: Python %d.%d, need 3.8 or later" % sys.version_info[:2])

from yanshou.kit.runner import main

main(os.path.dirname(os.path.abspath(__file__)))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class MadeKit:
    """A kit as written: its digest, what it can record, and what of the same probe it cannot."""

    path: Path
    sha256: str
    jobs: tuple[Job, ...]
    left_out: tuple[Job, ...]


def make_kit(folder: Path, name: str, output: Path) -> MadeKit:
    """Write the kit of probe `name`, or of the only one of that family in the plan, and name it in the ledger.

    Needs a frozen plan. Raises UserError: KIT-E07 the plan does not use the probe, or several of the family, KIT-E08 the probe
    needs more than a bare Python, E-EXISTS.
    """
    family = find_probes(name)
    if output.exists():
        raise UserError(Problem("E-EXISTS", "已有这个文件，不覆盖", "用 -o 换一个文件名", output))
    require_writable(folder)
    require_writable(output.absolute().parent)
    with Ledger(folder) as ledger:
        recover(ledger)
        restore_lock(ledger)
        frozen = require_unchanged(folder, ledger)
        used = sorted({job.probe for job in jobs_of(frozen.plan)})
        fitting = [probe for probe in family if probe.name in used]
        if len(fitting) != 1:
            text = f"计划里没有用 {name} 测的指标"
            if fitting:
                text = f"计划用了 {name} 名下的 {'、'.join(p.name for p in fitting)}，一个采集包只装一种仪器"
            raise UserError(Problem("KIT-E07", text, f"计划内的仪器：{'、'.join(used) or '没有'}", folder))
        (probe,) = fitting
        jobs = [job for job in jobs_of(frozen.plan) if job.probe == probe.name]
        left_out = [job for job in jobs if unfit(probe, job)]
        if left_out == jobs:
            text = f"{jobs[0].indicator} 的参数 {'、'.join(unfit(probe, jobs[0]))} 只能在装有 yanshou 的主机上用"
            raise UserError(
                Problem("KIT-E09", text, "从参数里去掉它，或用 yanshou run 在主机上测", folder / "case.yaml")
            )
        data = kit_bytes(frozen.plan, probe, left_out)
        sha256 = sha256_bytes(data)
        if not any(r["kind"] == "kit" and r["kit_sha256"] == sha256 for r in ledger.records):
            ledger.append(
                "kit", probe=probe.name, plan_sha256=frozen.sha256, kit_sha256=sha256,
                tool_sha256=frozen.plan.tool["sha256"], points=list(probe.points()),
            )  # fmt: skip
        write_atomic(output, data)
        output.chmod(0o755)
    return MadeKit(output, sha256, tuple(j for j in jobs if j not in left_out), tuple(left_out))


def unfit(probe: Probe, job: Job) -> list[str]:
    """Parameters that are more than plain values: they start things that a terminal does not have."""
    from pydantic import BaseModel

    return [name for name, value in probe.params(dict(job.params)) if isinstance(value, BaseModel)]


def kit_bytes(plan: Plan, probe: Probe, left_out: Sequence[Job] = ()) -> bytes:
    """The archive, which records everything of the probe but `left_out`. Raises UserError KIT-E08."""
    place = f"yanshou.probes.{probe.name.replace('.', '_')}"
    modules, foreign = imported(("yanshou.kit.runner", f"{place}.capture", f"{place}.reference"))
    if foreign:
        text = f"仪器 {probe.name} 的采集端要用 {'、'.join(foreign)}，不能装进采集包"
        raise UserError(Problem("KIT-E08", text, "在装有 yanshou 的主机上测它：yanshou run"))
    about = {
        "format": FORMAT,
        "probe": probe.name,
        "title": probe.spec.title,
        "scale": asdict(scale(probe)),
        "left_out": [[job.indicator, job.condition] for job in left_out],
        "defaults": probe.params_type().model_construct().model_dump(mode="json"),
    }
    files = {
        "__main__.py": MAIN.encode(),
        ABOUT: json.dumps(about, ensure_ascii=False, indent=1, sort_keys=True).encode(),
        PLAN: plan.to_bytes(),
        **{_place(name, path): path.read_bytes() for name, path in modules.items()},
        **{f"{name}/LICENSE": licence(name) for name in BUNDLED if name in modules},
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            out.writestr(entry, files[name])
    return b"#!/usr/bin/env python3\n" + archive.getvalue()


def _place(module: str, path: Path) -> str:
    return module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")


def licence(package: str) -> bytes:
    """The licence that a bundled package came with."""
    (found,) = (f for f in importlib.metadata.files(package) or () if f.name.startswith("LICENSE"))
    return Path(str(found.locate())).read_bytes()


def imported(roots: Sequence[str]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """({module: source} of all that `roots` import, directly or not, with their packages; names of what no kit can hold).

    The standard library is left out, and so is what only a type checker imports. An import inside a function is for what not
    every host has: it is not followed, and `unfit` keeps what would need it away from terminals.
    """
    found: dict[str, Path] = {}
    foreign: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in found or top in sys.stdlib_module_names:
            continue
        if top not in ("yanshou", *BUNDLED):
            foreign.add(top)
            continue
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ImportError(f"no source of {name}")
        found[name] = Path(spec.origin)
        package = name if spec.submodule_search_locations else name.rpartition(".")[0]
        if package:
            waiting.append(name.rpartition(".")[0] or name)
        waiting += _imports(ast.parse(found[name].read_bytes()), package)
    return dict(sorted(found.items())), tuple(sorted(foreign))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Modules that the code of a module of `package` imports."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_for_types(node):
            continue
        if isinstance(node, ast.Try) and _is_standard(node.body, package):
            continue  # its handlers stand in for what an older Python lacks
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{a.name}" for a in node.names if _is_module(base, a.name))
        else:
            yield from _imports(node, package)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_standard(body: list[ast.stmt], package: str) -> bool:
    """True when the code imports something, and nothing but the standard library."""
    names = list(_imports(ast.Module(body, []), package))
    return bool(names) and all(name.partition(".")[0] in sys.stdlib_module_names for name in names)


def _is_module(package: str, name: str) -> bool:
    if package.partition(".")[0] in sys.stdlib_module_names:
        return False
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return False
    return find_spec(f"{package}.{name}") is not None
