"""Everything that the list asks for on one page: default method, instrument, its standard, and what a demonstration concluded.

It is generated, so that it says what the data and the instruments say. It must never know a verdict by itself: those come from demo
packages that verify.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from yanshou.harness.basics import ExitCode, Problem, UserError
from yanshou.harness.listing import DefaultMethod, PublicList, Scenario
from yanshou.harness.model import Mode, Verdict
from yanshou.harness.verify import verify
from yanshou.probes.contract import Probe

HEAD = ("编号", "指标或要求", "榜单", "默认方法", "仪器", "校准标准", "演示判定")
NONE = "—"
EXPERTS = "专家评议"


def demo_verdicts(packages: Sequence[Path]) -> dict[str, str]:
    """Id -> word of the verdict, from packages of demonstrations, of which each must verify. Raises UserError."""
    told: dict[str, str] = {}
    for path in packages:
        if path.is_dir() and not (path / "bagit.txt").is_file():
            raise UserError(Problem("E-DEMO", "是案卷文件夹，不是封存的数据包", "给出 package/ 里的 zip", path))
        found = verify(path, None)
        if not found.ok or found.record is None:
            problems = found.problems or [Problem("V-R01", "没有可以重放的记录", "给出完整的数据包", path)]
            raise UserError(problems, ExitCode.UNVERIFIED)
        record = found.record
        if record["mode"] != Mode.DEMO:
            text = "不是演示的数据包：真实项目的判定不公开"
            raise UserError(Problem("E-DEMO", text, "给出 yanshou demo 做出的数据包", path))
        verdicts = {f["indicator"]: Verdict(f["verdict"]).word for f in record["findings"]}
        for q in record["qualitative"]:
            expert = any(r["code"] == "expert_review" for r in q["reasons"])
            verdicts.setdefault(q["id"], EXPERTS if expert else Verdict(q["verdict"]).word)
        if twice := sorted(told.keys() & verdicts.keys()):
            raise UserError(Problem("E-DEMO", f"{twice[0]} 在两个数据包里", "每个场景只给一个演示", path))
        told |= verdicts
    return told


def rows(public_list: PublicList, scenario: Scenario, verdicts: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """One line per indicator and requirement of a scenario, in the columns of HEAD."""
    for i in scenario.indicators:
        method = public_list.methods[i.id]
        unsure = "（恢复）" if i.source == "inferred" else ""
        either = f"，{i.group} 任一" if i.group else ""
        yield (i.id, i.name, f"{i.limit}{unsure}{either}", *_how(method), verdicts.get(i.id, NONE))
    for q in scenario.qualitative:
        method = public_list.methods[q.id]
        asked = "须自报指标" if q.needs_self_target else EXPERTS if method.expert else "查验"
        yield (q.id, q.text, f"定性，{asked}", *_how(method), verdicts.get(q.id, NONE))


def _how(method: DefaultMethod) -> tuple[str, str, str]:
    return method.how, f"[{method.probe}]({_document(method.probe)})", _standard(method.probe)


@cache
def _document(probe: str) -> str:
    return Probe(probe).spec.document.removeprefix("docs/")


@cache
def _standard(probe: str) -> str:
    """The true values at which an instrument is calibrated, and the error that it is allowed."""
    spec, points = Probe(probe).spec, sorted(Probe(probe).points())
    span = f"{points[0]:g}" if len(points) == 1 else f"{points[0]:g} 至 {points[-1]:g}"
    return f"{len(points)} 点，{span} {spec.unit}，允差 ±{spec.tolerance:g}"


def markdown(public_list: PublicList, verdicts: Mapping[str, str]) -> str:
    """The page `docs/indicators.md`."""
    indicators = sum(len(s.indicators) for s in public_list.scenarios)
    requirements = sum(len(s.qualitative) for s in public_list.scenarios)
    lines = [
        "# 指标与要求：默认方法",
        "",
        f"{indicators} 项指标、{requirements} 条定性要求。由命令生成，不手改：",
        "`yanshou list --methods --demo 数据包.zip … > docs/indicators.md`。",
        "默认方法是本工具的建议（`methods.yaml`），不是榜单的内容；`yanshou new` 把它们写进新案卷。",
        "校准标准是仪器自带、真值已知的标准器。演示判定取自 `yanshou demo` 做出并通过核验的数据包，只说明这条路走得通。",
        "",
    ]
    for scenario in public_list.scenarios:
        lines += [f"## {scenario.number} {scenario.name.restored}", "", _row(HEAD), _row(["---"] * len(HEAD))]
        lines += [_row(row) for row in rows(public_list, scenario, verdicts)]
        lines += ["", *_checklists(public_list, scenario)]
    return "\n".join(lines)


def _checklists(public_list: PublicList, scenario: Scenario) -> Iterator[str]:
    yield from ("查验清单：", "")
    for name in [*(i.id for i in scenario.indicators), *(q.id for q in scenario.qualitative)]:
        for item in public_list.methods[name].items:
            each = "每计一个查一遍；" if item.each else ""
            yield f"- {name} {item.text}（{item.method}）：{each}{item.expected}。证据：{item.evidence}。"
    yield ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
