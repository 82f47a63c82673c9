"""One model held against every specification of an IDS: what it applies to, what keeps it, what does not.

ifcopenshell reads the model and ifctester checks it (extra `bim`). An optional specification that applies to nothing says nothing:
ifctester calls it passed, here it is not applicable. It must never touch a file. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from yanshou.harness.basics import Problem, UserError

NAMED = 50
"""How many elements that fail are named."""


class BadIds(ValueError):
    """Bytes that are no IDS: what is wrong, in Chinese."""


@dataclass(frozen=True)
class Checked:
    """One specification on one model. `why`: "" where it was checked, else why it is not applicable.

    `failing`: GlobalIds (or #numbers) of the first NAMED that fail. `required`: it must apply to something; `prohibited`: it
    must apply to nothing.
    """

    identifier: str
    name: str
    applicable: int
    failed: int
    failing: tuple[str, ...]
    kept: bool
    required: bool
    prohibited: bool
    why: str = ""


@dataclass(frozen=True)
class Model:
    """What the reader made of a model: its schema, how many instances it read, and every specification checked."""

    schema: str
    instances: int
    checked: tuple[Checked, ...]


def specifications(data: bytes) -> Any:
    """The IDS in `data`, checked against its schema. Raises BadIds, UserError without the extra."""
    require_extra()
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring
    from ifctester import ids

    try:
        fromstring(data, forbid_dtd=True)
        found = ids.from_string(data.decode("utf-8-sig"), validate=True)
    except DefusedXmlException:
        raise BadIds("含文档类型声明或实体") from None
    except (ParseError, UnicodeDecodeError):
        raise BadIds("不是 UTF-8 的 XML") from None
    except Exception as error:  # of xmlschema or ifctester, which share no base class
        raise BadIds(f"不合 IDS 1.0 的格式（{type(error).__name__}）") from None
    if not found.specifications:
        raise BadIds("没有一条规格")
    return found


def check(ifc: bytes, ids: bytes) -> Model:
    """A model held against an IDS. Raises BadIds, ValueError where the model cannot be read at all."""
    require_extra()
    import ifcopenshell

    found = specifications(ids)
    try:
        model = ifcopenshell.file.from_string(ifc.decode("utf-8", "surrogateescape"))
    except Exception as error:  # ifcopenshell's own errors share no base class
        raise ValueError(f"{type(error).__name__}") from None
    return Model(model.schema_identifier, sum(1 for _ in model), tuple(_checked(found, model)))


def _checked(ids: Any, model: Any) -> Iterator[Checked]:
    for specification in ids.specifications:
        usage = specification.get_usage()
        about = (specification.identifier or "", specification.name or "")
        required, prohibited = usage == "required", usage == "prohibited"
        if not specification.check_ifc_version(model):
            why = f"规格针对 {'、'.join(specification.ifcVersion)}，模型是 {model.schema_identifier}"
            yield Checked(*about, 0, 0, (), False, required, prohibited, why)
            continue
        specification.reset_status()
        specification.validate(model)
        applicable = specification.applicable_entities
        failing = list(applicable) if prohibited else [e for e in applicable if e in specification.failed_entities]
        why = "" if applicable or required or prohibited else "没有适用的构件，空过不算通过"
        names = tuple(str(getattr(e, "GlobalId", None) or f"#{e.id()}") for e in failing[:NAMED])
        yield Checked(
            *about, len(applicable), len(failing), names, bool(specification.status), required, prohibited, why
        )


def require_extra() -> None:
    """Raises UserError BIM-E08 where ifcopenshell or ifctester is not installed."""
    for name in ("ifcopenshell", "ifctester"):
        if find_spec(name) is None:
            raise UserError(Problem("BIM-E08", f"没有安装 {name}，不能查验 IFC 模型", "pip install 'yanshou[bim]'"))
