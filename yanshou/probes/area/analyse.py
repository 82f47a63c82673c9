"""Measures the area inside a boundary on the ellipsoid, and draws together what the visits inside it found.

It is for giving the same square metres from the same bytes, forever. It must never touch the world and never know a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from yanshou.formats.boundaries import BadBoundary, Plane, geodesic_area_m2, polygons
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Area, Audit, Count, Exclusion, Map, Points, Reason, Severity, Validity
from yanshou.probes.area.spec import Params
from yanshou.probes.area.visits import Point, Visit, drawn, read_visits, sheet, was_there, whole
from yanshou.probes.boundary import Given, broken, facts, findings, is_whole, read_boundary
from yanshou.probes.sampling import RESULTS

VISITS = "visits.csv"
GOOD, BAD, OPEN = "可用", "不可用", "没有结果"
TYPED_OFF = 0.5
"""Share of good visits whose position is the drawn one to the last digit, from which on somebody copied the sheet."""


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """Square metres: inside the outer rings, less the holes. With visits, an audit of them; without, a declaration only.

    Damaged evidence gives findings, never an exception.
    """
    validity = [] if is_whole(evidence) else [Validity("ARE-V01", Severity.INVALID, "边界或核验结果没有完整收入证据")]
    unvisited = Reason("unvisited", "面内可用性没有到随机点上核验：只是申报的面积，不作判定")
    try:
        given = read_boundary(evidence, params.boundary)
        validity += findings(params.boundary, given)
    except (BadBoundary, KeyError) as error:
        return Count("m2", 0, (), 0, open=(unvisited,), validity=(*validity, broken(error)))
    shape = whole(given)
    outer, holes = _areas(shape)
    net = round(outer - holes)
    points = drawn(given, params, seed)
    results: dict[str, str] = {}
    audit = None
    if params.visits is not None:
        visits = read_visits(evidence.open(VISITS))[1] if VISITS in evidence.streams() else []
        results = _results(visits, points, params.visits.nearby_m)
        validity += _suspicions(visits, points, params.visits.nearby_m)
        if net >= len(points):  # of less than a square metre for each point nothing can be said
            audit = Audit(net, len(points), sum(r == GOOD for r in results.values()))
    parts = polygons(shape)
    if len(parts) > 1:
        largest = max(geodesic_area_m2(p) for p in parts) / (outer - holes)
        validity.append(Validity("ARE-V06", Severity.INFO, f"示范区分成 {len(parts)} 块，最大的一块占 {largest:.0%}"))
    told: dict[str, Json] = {
        **facts(params.boundary, given),
        "area_m2": outer - holes,
        "visited": {word: sum(r == word for r in results.values()) for word in (GOOD, BAD, OPEN)} if results else None,
    }
    return Count(
        unit="m2",
        gross=round(outer),
        exclusions=(Exclusion("ARE-X-HOLE", "边界里面挖去的部分", round(outer) - net),),
        net=net,
        audit=audit,
        open=() if audit else (unvisited,),
        validity=tuple(validity),
        facts=told,
        pictures=(map_of(given, points, results),),
    )


def sheets(folder: Path, params: Params, seed: int) -> dict[str, str]:
    """The file of visits with the points to go to. Raises OSError, BadBoundary."""
    if params.visits is None:
        return {}
    given = read_boundary(folder, params.boundary)
    if params.boundary.sha256 not in (None, given.sha256):
        raise BadBoundary("边界文件不是计划里的那一份", "放回计划里的那份边界，或修订计划")
    return {params.visits.file: sheet(drawn(given, params, seed))}


def _areas(shape: Any) -> tuple[float, float]:
    """Square metres inside the outer rings, and inside the holes."""
    from shapely import Polygon

    parts = polygons(shape)
    outer = sum(geodesic_area_m2(Polygon(p.exterior)) for p in parts)
    return outer, sum(geodesic_area_m2(Polygon(ring)) for p in parts for ring in p.interiors)


def _results(visits: Sequence[Visit], points: Sequence[Point], nearby_m: float) -> dict[str, str]:
    """What became of each drawn point: the first visit to it counts, and it must have been there."""
    of_point = {visit.point: visit for visit in reversed(visits)}

    def result(point: Point) -> str:
        visit = of_point.get(point.id)
        if visit is None or visit.result not in RESULTS:
            return OPEN
        return GOOD if RESULTS[visit.result] and was_there(visit, point, nearby_m) else BAD

    return {point.id: result(point) for point in points}


def _suspicions(visits: Sequence[Visit], points: Sequence[Point], nearby_m: float) -> Iterator[Validity]:
    by_id = {point.id: point for point in points}
    asked = [visit for visit in visits if visit.point in by_id]
    foreign = len(visits) - len({visit.point for visit in asked})
    if foreign:
        text = f"核验结果里有 {foreign} 行不是抽中的 {len(points)} 个点，或重复"
        yield Validity("ARE-V02", Severity.INVALID, text)
    answered = {visit.point for visit in asked if visit.result in RESULTS}
    if len(answered) < len(points):
        text = f"抽中 {len(points)} 个点，只有 {len(answered)} 个有核验结果"
        yield Validity("ARE-V03", Severity.INVALID, text)
    good = [visit for visit in asked if RESULTS.get(visit.result)]
    elsewhere = [v.point for v in good if not was_there(v, by_id[v.point], nearby_m)]
    if elsewhere:
        named = "、".join(elsewhere[:5])
        text = f"{len(elsewhere)} 个写“好”的点没有终端位置，或离抽中的点超过 {nearby_m:g} 米，按不可用计：{named}"
        yield Validity("ARE-V04", Severity.WARNING, text)
    copied = sum(visit.copied for visit in good)
    if copied >= 3 and copied > TYPED_OFF * len(good):
        text = f"{copied} 个点的终端位置与抽中的坐标逐位相同，像是照抄名单而不是现场读数"
        yield Validity("ARE-V05", Severity.WARNING, text)


def map_of(given: Given, points: Sequence[Point], results: dict[str, str]) -> Map:
    """The boundary and the drawn points, metres east and north of the middle."""
    import numpy as np

    plane = Plane.over(given.areas)
    rings = tuple(ring for area in given.areas for ring in plane.rings(area.shape))
    words = (GOOD, OPEN, BAD)
    places = plane.metres(np.array([[p.longitude, p.latitude] for p in points], dtype=np.float64).reshape(-1, 2))
    state = np.array([words.index(results[p.id]) for p in points], dtype=np.int64)
    return Map(
        "示范区边界与抽中的点",
        plane.origin,
        (Area("示范区", rings),),
        points=Points(places[:, 0], places[:, 1], state, words) if points else None,
    )
