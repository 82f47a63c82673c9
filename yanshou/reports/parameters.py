"""What an instrument's parameters mean, in the words of its own help.

It must never explain the parameters of another version: these may have meant something else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from yanshou.probes.contract import Probe
from yanshou.reports.display import Data, fit


def parameter_helps(probe: str, version: str) -> dict[str, str]:
    """Dotted name -> Chinese help of every parameter of the installed `probe`; {} where that is not of `version`."""
    package = f"yanshou.probes.{probe.replace('.', '_')}"
    if importlib.util.find_spec(package) is None or Probe(probe).spec.version != version:
        return {}
    schema = Probe(probe).params_type().model_json_schema()
    helps: dict[str, str] = fit(dict(_described(schema, schema.get("$defs", {}), "")))
    return helps


def _described(schema: Data, definitions: Data, parent: str) -> Iterator[tuple[str, str]]:
    for key, field in schema.get("properties", {}).items():
        if text := field.get("description"):
            yield f"{parent}{key}", text
        for model in _models(field):
            yield from _described(definitions[model.rpartition("/")[2]], definitions, f"{parent}{key}.")


def _models(field: Data) -> Iterator[str]:
    """References to what a field or a list of it may hold, whichever way its choices are nested."""
    if "$ref" in field:
        yield field["$ref"]
    for choice in (*field.get("anyOf", ()), *field.get("oneOf", ()), *([field["items"]] if "items" in field else ())):
        yield from _models(choice)
