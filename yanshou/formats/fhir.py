"""Encounters of FHIR (R4 and R5): bulk exports (NDJSON, a resource a line) and bundles (JSON) -> rows of visits.

Only Encounter resources are looked at, and in these only what `visits` names: no Patient is ever opened. It must never follow a
reference, nor take a server's own count for a count of rows. Field names: HL7 FHIR R4 and R5, resource Encounter. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from yanshou.formats.visits import BadRecord, Row, row
from yanshou.harness.basics import Json

LONGEST_LINE = 8 << 20
LARGEST_BUNDLE = 64 << 20
TEST_DATA = "HTEST"
"""Code of test health data in the security labels of a resource's meta (HL7 ActReason)."""


def read_ndjson(stream: BinaryIO) -> Iterator[Row]:
    """One row per Encounter, line by line in bounded memory; other resources are passed over. Raises BadRecord."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        place = f"第 {number} 行"
        if len(line) > LONGEST_LINE:
            raise BadRecord(place, f"超过 {LONGEST_LINE >> 20} MiB", "不是一行一个资源的 NDJSON，重新导出")
        if line.strip():
            yield from _resource(_parsed(line, place), place)


def read_bundle(stream: BinaryIO) -> Iterator[Row]:
    """One row per Encounter of a bundle, or of a lone resource. A page of a server is meant. Raises BadRecord."""
    data = stream.read(LARGEST_BUNDLE + 1)
    if len(data) > LARGEST_BUNDLE:
        raise BadRecord("文件", f"超过 {LARGEST_BUNDLE >> 20} MiB", "用批量导出（NDJSON，一行一个资源）")
    whole = _parsed(data, "文件")
    if whole.get("resourceType") != "Bundle":
        yield from _resource(whole, "资源")
        return
    entries = whole.get("entry") or []
    if not isinstance(entries, list):
        raise BadRecord("entry", "不是列表", "不是 FHIR Bundle，重新导出")
    for number, entry in enumerate(entries, 1):
        yield from _resource(entry.get("resource") if isinstance(entry, dict) else None, f"第 {number} 个 entry")


def summary_count(stream: BinaryIO) -> int:
    """What a server answered to `Encounter?_summary=count`: its own word, to compare with and nothing more. Raises BadRecord."""
    whole = _parsed(stream.read(1 << 20), "文件")
    total = whole.get("total")
    if whole.get("resourceType") != "Bundle" or not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise BadRecord("文件", "不是 _summary=count 的应答", "保存 GET [base]/Encounter?_summary=count 的应答")
    return total


def _parsed(data: bytes, place: str) -> dict[str, Json]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BadRecord(place, "不是 JSON", "按 FHIR 的 JSON 格式重新导出") from None
    if not isinstance(value, dict):
        raise BadRecord(place, "不是 FHIR 资源", "按 FHIR 的 JSON 格式重新导出")
    return value


def _resource(resource: Json, place: str) -> Iterator[Row]:
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise BadRecord(place, "不是 FHIR 资源", "按 FHIR 的 JSON 格式重新导出")
    if resource["resourceType"] == "Encounter":
        yield _encounter(resource, place)


def _encounter(encounter: dict[str, Json], place: str) -> Row:
    period = _first(encounter.get("period") or encounter.get("actualPeriod"))  # R4, R5
    labels = (_first(encounter.get("meta")).get("security") or []) + (_first(encounter.get("meta")).get("tag") or [])
    test = any(isinstance(label, dict) and label.get("code") == TEST_DATA for label in labels)
    return row(
        visit=_text(_first(encounter.get("identifier")).get("value")) or _text(encounter.get("id")),
        patient=_reference(encounter.get("subject")),
        time=_text(period.get("start")),
        status=_text(encounter.get("status")),
        provider=_reference(encounter.get("serviceProvider")),
        test=TEST_DATA if test else "",
        origin=place,
    ) | {"class": _class(encounter.get("class"))}


def _class(value: Json) -> str:
    """A Coding in R4, a list of CodeableConcept in R5."""
    found = _first(value)
    return _text(found.get("code")) or _text(_first(found.get("coding")).get("code"))


def _reference(value: Json) -> str:
    found = _first(value)
    return _text(found.get("reference")) or _text(_first(found.get("identifier")).get("value"))


def _first(value: Json) -> dict[str, Json]:
    """An object, or the first of a list of them; an empty one for anything else."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
