"""A formal case that is sealed by three people, one of them with SM2, and every string in it that nobody else may see."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e.support import device_export, export_counting, write_audit
from yanshou.demo.s10 import Place, case_text, scenes
from yanshou.demo.visits import write_sheet
from yanshou.harness.engine import freeze_case, run_case, write_record
from yanshou.harness.envelope import Role, Signer
from yanshou.harness.keys import PrivateKey, load_private, new_key
from yanshou.harness.recording import Selection
from yanshou.harness.sealing import Sealed, sign_package, sign_plan
from yanshou.reports.render import render

PEOPLE = {
    Role.PROJECT: ("司徒受检", "ed25519"),
    Role.TESTER: ("欧阳检测", "ed25519"),
    Role.REVIEWER: ("上官审核", "sm2"),
    Role.APPROVER: ("诸葛批准", "ed25519"),
}
NUMBER = "WHJC-2026-0731"
SEALERS = (Role.TESTER, Role.REVIEWER, Role.APPROVER)
SECRETS = {
    "name: 演示项目:某厂 5G 工厂": "name: 灯塔七号项目",
    "lead: {name: 演示单位(虚构)}": 'lead: {name: 武汉甲乙电子有限公司, uscc: "91420100MA4KLA1B37"}\n'
    "  published: 2025-11-01\n  deadline: 2026-10-31",
    "演示评测机构(虚构), address: 本机": "某某检测研究院, address: 珞瑜路 9527 号",
    "name: 甲,": "name: 欧阳检测,",
    "name: 乙,": "name: 上官审核,",
    "演示委托方(虚构), contact: 无": "某某委托局, contact: 某某大道 8642 号",
    "kind: simulator, site: 本机环回接口": "kind: production, site: 光谷九龙路 777 号",
    "number: DEMO-S10-0001": f"number: {NUMBER}",
    "mode: demo": "mode: acceptance",
    "content: [S10-I01,": "content: [S10-P01, S10-I01,",
    "不少于102台": "不少于109台",
    "key_file: reflector.key, count: 1500": "count: 613",
    "  S10-I03:\n    baseline": "  S10-P01: {name: 夜班良品数, kind: counted, baseline: 31 件, target: 不少于 37 件, "
    "note: 对标友商}\n  S10-I03:\n    baseline",
    "inspections:": "  S10-P01:\n    probe: records\n    params: {file: inputs/night.csv, key: [件号], unit: 件}\ninspections:",
}


@dataclass(frozen=True)
class Formal:
    """The case folder, its keys, the reviewers' trust file, its package, and its record."""

    folder: Path
    keys: Mapping[Role, PrivateKey]
    key_files: Path
    trust: Path
    package: Path
    record: dict[str, Any]


def trust_text(keys: Mapping[Role, PrivateKey], readers: str = "") -> str:
    """A trust file of everybody in `keys`; `readers`: what stands below that word."""
    entries = "\n".join(
        f"  - {{name: {k.public.name}, roles: [{role}], algorithm: {k.public.algorithm}, id: {k.public.id}, "
        f"valid_from: 2020-01-01, valid_until: 2099-12-31, public: {json.dumps(k.public.pem)}}}"
        for role, k in keys.items()
    )
    required = "require: {plan: [project, tester], package: [tester, reviewer, approver]}"
    return f"keys:\n{entries}\n" + (f"readers:\n{readers}\n" if readers else "") + f"{required}\n"


def seal(folder: Path, keys: Mapping[Role, PrivateKey], roles: tuple[Role, ...] = SEALERS) -> Sealed:
    """The package with the signatures of `roles`, on a roster of SEALERS."""
    others = [Signer(role, keys[role].public) for role in SEALERS if role is not roles[0]]
    for role in roles:
        sealed = sign_package(folder, keys[role], role, others)
    return sealed


def formal_case(folder: Path, *, finish: bool = True) -> Formal:
    """Planned, signed, measured where no network is needed (latency stays 未测), reported, and sealed if `finish`."""
    place, case = folder / "keys", folder / "case"
    place.mkdir()
    (case / "inputs").mkdir(parents=True)
    for role, (name, algorithm) in PEOPLE.items():
        new_key(place / role, algorithm=algorithm, name=name)
    keys = {role: load_private(place / role) for role in PEOPLE}
    trust = folder / "trust.yaml"
    trust.write_text(trust_text(keys), encoding="utf-8")
    text = case_text(Place(9, 9, "MES 7.10.3"))
    for old, new in SECRETS.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    text = re.sub(r"  S10-I02: \{probe: devices.*\n", lambda _: "  S10-I02:\n" + export_counting(33), text)
    (case / "case.yaml").write_text(text, encoding="utf-8")
    write_sheet(case, "S10-I01", "三号厂房", scenes())
    (case / "inputs/devices.csv").write_text(device_export(), encoding="utf-8")
    (case / "inputs/night.csv").write_text("件号\n" + "".join(f"LH{n:05d}\n" for n in range(43)), encoding="utf-8")
    freeze_case(case)
    sign_plan(case, keys[Role.PROJECT], Role.PROJECT, [Signer(Role.TESTER, keys[Role.TESTER].public)])
    sign_plan(case, keys[Role.TESTER], Role.TESTER)
    plan = json.loads((case / "plan.lock.json").read_bytes())
    devices = next(i for i in plan["indicators"] if i["id"] == "S10-I02")
    write_audit(case, devices["seed"], devices["instrument"]["params"])
    run_case(case, selection=Selection(("S10-I01", "S10-I02", "S10-P01")))
    record = write_record(case)
    render(record, case / "report")
    package = seal(case, keys).path if finish else case / "package"
    return Formal(case, keys, place, trust, package, record)


def confidential(formal: Formal) -> set[str]:
    """Every text that people wrote into the case, every number as it may be printed, and the names of all files of the case."""
    case = YAML(typ="safe", pure=True).load((formal.folder / "case.yaml").read_text(encoding="utf-8"))
    found: set[str] = set()
    for key in ("project", "evaluator", "client", "target", "acceptance", "commitments", "measure", "inspections"):
        found |= set(leaves(case[key]))
    for finding in formal.record["findings"]:
        told = (
            "value",
            "lower",
            "upper",
            "margin",
            "n",
            "limit",
            "list_limit",
            "commitment_limit",
            "readings",
            "figure",
        )
        found |= set(leaves({k: finding.get(k) for k in told}))
    found |= set(leaves(formal.record["runs"]))
    found |= {name for name, _ in PEOPLE.values()}
    found |= {p.name for p in (formal.folder / "runs").rglob("*")} | {
        p.name for p in (formal.folder / "inputs").iterdir()
    }
    return found


def leaves(value: Any, between: str = r"[\s，。、：:（）()]+") -> Iterator[str]:
    """Every text and number in a record, and the longer words of texts; `between`: a pattern of what parts words."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part, between)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part, between)
    elif isinstance(value, str) and value:
        yield value
        yield from (w for w in re.split(between, value) if len(w) > 2)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield f"{value:g}"
