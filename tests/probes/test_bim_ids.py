from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.probes.chain_support import calibrated
from tests.probes.records_support import MemoryEvidence, codes, recorded
from yanshou.harness.basics import ProbeError, UserError
from yanshou.harness.evidence import sha256_bytes
from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Answer, Checklist, Kind, Limit, Op, Verdict
from yanshou.probes.bim_ids import capture as capture_module
from yanshou.probes.bim_ids.analyse import analyse
from yanshou.probes.bim_ids.capture import capture
from yanshou.probes.bim_ids.checking import NAMED
from yanshou.probes.bim_ids.reference import DOORS, POINTS, RATING, WALLS, model, specifications
from yanshou.probes.bim_ids.spec import SPEC, Params
from yanshou.probes.contract import Probe

IDS = specifications()
YES, NO, IDLE = Answer.YES, Answer.NO, Answer.NOT_APPLICABLE


def params(*files: str, ids: str = IDS) -> Params:
    models = [{"name": f, "file": f} for f in files or ("a.ifc",)]
    return Params.model_validate({"models": models, "ids": "a.ids", "ids_sha256": sha256_bytes(ids.encode())})


def put(folder: Path, *texts: str, ids: str = IDS) -> Params:
    (folder / "a.ids").write_text(ids, encoding="utf-8")
    names = [f"{chr(97 + n)}.ifc" for n in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    return params(*names, ids=ids)


def checked(folder: Path, *texts: str, ids: str = IDS) -> Checklist:
    given = put(folder, *texts, ids=ids)
    return analyse(recorded(folder, capture, given), given, 1)


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_answered_exactly(tmp_path: Path, true_value: float) -> None:
    evidence, given, truth = calibrated(tmp_path, "bim.ids", true_value)
    found = analyse(evidence, given, 42)
    assert (found.number(YES), len(found.items)) == (truth["true"], truth["n"])
    assert found.number(NO) == truth["n"] - truth["true"]
    assert found.validity == ()
    assert all(len(item.evidence) == 2 for item in found.items)
    assert analyse(evidence, given, 42) == found


def test_spec_and_parameters() -> None:
    assert Probe("bim.ids").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.INSPECTED, "项", 0.0)
    assert Probe("bim.ids").estimate(params(), None).samples == 1
    with pytest.raises(ValidationError, match="重复"):
        params("a.ifc", "a.ifc")


def test_what_fails_is_named(tmp_path: Path) -> None:
    found = checked(tmp_path, model(0, 1))
    assert [item.answer for item in found.items] == [NO] * 4
    walls, doors, site, proxies = found.facts["specifications"]
    assert (walls["applicable"], walls["passed"], walls["failed"]) == (WALLS, WALLS - 1, 1)
    assert len(walls["failing"][0]) == 22
    assert walls["failing"][0] in found.items[0].observed
    assert (doors["applicable"], doors["failed"]) == (DOORS, 1)
    assert (site["applicable"], proxies["applicable"], proxies["failed"]) == (0, 1, 1)
    assert "须有" in found.items[2].observed
    (told,) = found.facts["models"]
    assert (told["schema"], told["instances"]) == ("IFC4", 1 + WALLS + DOORS + 3 * (DOORS - 1) + 1)
    more = "".join(f"#{1000 + n}=IFCWALL('{n:022d}',$,$,$,$,$,$,$,$);\n" for n in range(NAMED))
    many = checked(tmp_path, model(0, 1).replace("DATA;\n", f"DATA;\n{more}")).facts["specifications"][0]
    assert (many["failed"], len(many["failing"])) == (NAMED + 1, NAMED)


def test_an_optional_specification_that_applies_to_nothing_is_not_passed(tmp_path: Path) -> None:
    bare = "\n".join(line for line in model(4, 1).splitlines() if "IFCWALL" not in line)
    found = checked(tmp_path, bare)
    assert [item.answer for item in found.items] == [IDLE, YES, YES, YES]
    assert codes(found.validity) == {"BIM-V04": "warning"}
    assert "空过" in found.items[0].reason
    other = checked(tmp_path, model(4, 1, schema="IFC2X3").replace("$,$,$,$,$,.NOTDEFINED.", "$,$,$,$,$"))
    assert {item.answer for item in other.items} == {IDLE}
    criterion = Criterion("S03-P01", Kind.INSPECTED, Limit(Op.EQ, True, "bool"), None, None, (), 0.95, 1)
    assert judge_run(criterion, other, 0.05, None).verdict is Verdict.INCONCLUSIVE
    assert judge_run(criterion, found, 0.05, None).verdict is Verdict.PASS


def test_one_file_for_two_stages_is_void(tmp_path: Path) -> None:
    found = checked(tmp_path, model(4, 1), model(4, 1))
    assert codes(found.validity) == {"BIM-V02": "invalid"}
    assert checked(tmp_path, model(4, 1), model(4, 2)).validity == ()


def test_an_ids_written_around_the_model_is_refused(tmp_path: Path) -> None:
    """A digest in the plan binds it; without one a specification that asks for nothing could take its place unseen."""
    agreed = put(tmp_path, model(0, 1))
    easy = IDS.replace(f"<simpleValue>{RATING}</simpleValue>", "<simpleValue>Name</simpleValue>")
    put(tmp_path, model(0, 1), ids=easy)
    with pytest.raises(ProbeError, match="BIM-E10"):
        recorded(tmp_path, capture, agreed)
    silent = agreed.model_copy(update={"ids_sha256": None})
    evidence = recorded(tmp_path, capture, silent)
    assert codes(analyse(evidence, silent, 1).validity) == {"BIM-V05": "warning"}
    assert codes(analyse(evidence, agreed, 1).validity) == {"BIM-V06": "invalid"}


def test_what_the_reader_skips_is_found(tmp_path: Path) -> None:
    """ifcopenshell passes over instances that it does not know, and a model without its bad walls would pass."""
    broken = model(0, 1).replace("IFCWALL(", "IFCWALX(")
    found = checked(tmp_path, broken)
    assert codes(found.validity) == {"BIM-V03": "invalid", "BIM-V04": "warning"}
    assert "没有读全" in found.validity[0].text


@pytest.mark.parametrize(
    ("name", "text", "code", "words"),
    [
        ("a.ifc", "PK\x03\x04", "BIM-E05", "不是 IFC 明文"),
        ("a.ifc", model(4, 1)[:-200], "BIM-E05", "没有写完"),
        ("a.ifc", model(4, 1).replace("'IFC4'", "'AP214'"), "BIM-E05", "AP214"),
        ("a.ifc", "", "BIM-E03", "空文件"),
        ("a.ids", "x", "BIM-E06", "XML"),
        ("a.ids", "<ids/>", "BIM-E06", "IDS 1.0"),
        ("a.ids", '<!DOCTYPE a [<!ENTITY e "x">]><ids>&e;</ids>', "BIM-E06", "实体"),
        ("a.ids", IDS.replace("IFC4", "IFC9"), "BIM-E06", "IDS 1.0"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, text: str, code: str, words: str) -> None:
    given = put(tmp_path, model(4, 1))
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ProbeError, match=f"{code} .*{words}"):
        recorded(tmp_path, capture, given)


def test_missing_and_large_files_and_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = put(tmp_path, model(4, 1))
    (tmp_path / "a.ifc").unlink()
    with pytest.raises(ProbeError, match="BIM-E01"):
        recorded(tmp_path, capture, given)
    put(tmp_path, model(4, 1))
    monkeypatch.setattr(capture_module, "MAX_MODEL", 100)
    with pytest.raises(ProbeError, match="BIM-E09"):
        recorded(tmp_path, capture, given)
    monkeypatch.setitem(sys.modules, "ifcopenshell", None)
    with pytest.raises(UserError, match=r"yanshou\[bim\]"):
        recorded(tmp_path, capture, given)


def test_cut_evidence_is_said(tmp_path: Path) -> None:
    given = put(tmp_path, model(4, 1))
    evidence = recorded(tmp_path, capture, given)
    streams = {name: evidence.open(name).read() for name in evidence.streams()}
    other: dict[str, Any] = json.loads(streams["import.json"])
    other["models"][0]["name"] = "别的"
    for broken in (
        {},
        {name: data for name, data in streams.items() if name != "specifications.ids"},
        streams | {"models/01.ifc": b"x"},
        streams | {"import.json": json.dumps(other).encode()},
    ):
        found = analyse(MemoryEvidence(broken), given, 1)
        assert (found.items, codes(found.validity)) == ((), {"BIM-V01": "invalid"})
