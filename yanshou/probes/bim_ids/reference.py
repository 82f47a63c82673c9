"""A model of which it is known what it keeps: the standard that calibrates `bim.ids`. It needs the extra `bim`, as the probe does.

The truth comes from what was built in: names, a property and a forbidden element, not from the checker.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical, sha256_bytes
from yanshou.probes.bim_ids.checking import require_extra
from yanshou.probes.capturing import RunContext

POINTS = (0.0, 2.0, 4.0)
WALLS, DOORS = 12, 5
PSET, RATING = "Pset_DoorCommon", "FireRating"


def model(kept: int, seed: int, schema: Literal["IFC2X3", "IFC4"] = "IFC4") -> str:
    """An IFC file in clear text that keeps the first `kept` of the four specifications of `specifications`."""
    import ifcopenshell
    from ifcopenshell.guid import compress

    draw = random.Random(seed)
    file = ifcopenshell.file(schema=schema)

    def add(kind: str, **attributes: Any) -> Any:
        return file.create_entity(kind, GlobalId=compress(f"{draw.getrandbits(128):032x}"), **attributes)

    add("IfcProject", Name="标准模型")
    for number in range(WALLS):
        add("IfcWall", Name=f"墙 {number}; 'A'" if kept > 0 or number else None)
    for number in range(DOORS):
        door = add("IfcDoor", Name=f"门 {number}")
        if kept > 1 or number:
            rating = file.create_entity("IfcPropertySingleValue", Name=RATING, NominalValue=file.createIfcLabel("甲级"))
            properties = add("IfcPropertySet", Name=PSET, HasProperties=[rating])
            add("IfcRelDefinesByProperties", RelatedObjects=[door], RelatingPropertyDefinition=properties)
    if kept > 2:
        add("IfcSite", Name="场地")
    if kept < 4:
        add("IfcBuildingElementProxy", Name="没有分类的构件")
    text: str = file.to_string()  # type: ignore[no-untyped-call]
    return text


def specifications() -> str:
    """Four specifications: walls are named, doors have a fire rating, there is a site, there are no proxies."""
    from ifctester import facet, ids

    whole = ids.Ids(title="标准规格", author="standard@example.org")

    def specify(name: str, kind: str, usage: Any, *requirements: Any) -> None:
        one = ids.Specification(name=name, ifcVersion=["IFC4"], identifier=f"R{len(whole.specifications) + 1}")
        one.applicability.append(facet.Entity(name=kind))
        one.requirements += requirements
        one.set_usage(usage)
        whole.specifications.append(one)

    rating = facet.Property(propertySet=PSET, baseName=RATING, dataType="IFCLABEL")
    specify("墙有名称", "IFCWALL", "optional", facet.Attribute(name="Name"))
    specify("门有防火等级", "IFCDOOR", "required", rating)
    specify("有场地", "IFCSITE", "required", facet.Attribute(name="Name"))
    specify("没有未分类构件", "IFCBUILDINGELEMENTPROXY", "prohibited")
    return str(whole.to_string())


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A model that keeps `true_value` of four specifications, as long as the context lasts; truth in `truth.json`."""
    require_extra()
    with tempfile.TemporaryDirectory() as folder:
        ifc, ids = Path(folder) / "standard.ifc", Path(folder) / "standard.ids"
        ifc.write_text(model(int(true_value), run.seed), encoding="utf-8")
        asked = specifications().encode()
        ids.write_bytes(asked)
        basis = "由 ifcopenshell 写出的模型：名称、属性、场地与未分类构件按构造已知"
        truth: Json = {"true": true_value, "unit": "项", "n": 4, "basis": basis}
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        yield {"models": [{"name": "标准", "file": str(ifc)}], "ids": str(ids), "ids_sha256": sha256_bytes(asked)}
