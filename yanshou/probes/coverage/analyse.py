"""Counts the sub-districts that a positioning service covers: cells of 100 m that really hold a valid fix, street by street.

It is for giving the same count, and for each street the reason, from the same bytes, forever. It must never touch the world and
never know a limit. Positions are streamed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

from yanshou.formats.boundaries import BadBoundary, Plane, from_gcj02
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Area, Cells, Count, Exclusion, Map, Severity, Validity
from yanshou.probes.boundary import Given, broken, facts, findings, is_whole, read_boundary
from yanshou.probes.coverage.cells import SIZE_M, Street, street
from yanshou.probes.coverage.spec import Params
from yanshou.probes.coverage.tracks import Tracks
from yanshou.probes.positions import Fixes, Reported, read_fixes
from yanshou.probes.texts import BEIJING

OUTSIDE_SHARE = 0.1
"""Share of the valid fixes outside all boundaries from which on it is worth a warning."""
SHIFTED = 100, 0.2
"""Fixes, and share of them, that lie inside only once the displacement of a map service is taken off: no chance."""
HULL_EXCESS = 0.25
"""Share of a street's cells by which a convex hull would flatter it."""
ALONE = 0.9
"""Share of the hit cells that nobody but a single terminal has reached."""
COPIED = 10, 0.02
"""Rows of positions met again, and their share of all, that are no chance."""
OVERLAP = 0.01
_EPOCH = datetime(1970, 1, 1)
_DAY_NS = 86400 * 10**9
_BEIJING_NS = int(BEIJING.utcoffset(None) / timedelta(seconds=1)) * 10**9


def fix_streams(params: Params) -> dict[str, Reported]:
    """Name in evidence -> the positions taken in under it."""
    return {f"fixes-{n}": reported for n, reported in enumerate(params.fixes, 1)}


@dataclass
class _Tally:
    """What one pass over the positions found, besides what the streets keep."""

    rows: int = 0
    broken: int = 0
    late: int = 0
    other: int = 0
    valid: int = 0
    inside: int = 0
    inside_unshifted: int = 0
    names: dict[str, int] = field(default_factory=dict)
    tracks: Tracks = field(default_factory=Tracks)

    def feed(self, fixes: Fixes, params: Params, plane: Plane, streets: Sequence[Street], everywhere: object) -> None:
        """Take in a stretch of rows."""
        import numpy as np
        from shapely import contains_xy

        self.rows += len(fixes) + fixes.broken
        self.broken += fixes.broken
        if params.window is not None:
            start, end = (
                (t - _EPOCH) // timedelta(microseconds=1) * 1000 - _BEIJING_NS for t in params.window.bounds()
            )
            within = (start <= fixes.t_ns) & (fixes.t_ns <= end)
            self.late += int((~within).sum())
            fixes = fixes.where(within)
        self.other += int((~fixes.valid).sum())
        fixes = fixes.where(fixes.valid)
        self.valid += len(fixes)
        self.tracks.feed(fixes)
        metres = plane.metres(fixes.degrees)
        day = (fixes.t_ns + _BEIJING_NS) // _DAY_NS
        for one in streets:
            one.feed(metres, fixes.terminal, day)
        self.inside += int(contains_xy(everywhere, *metres.T).sum())
        unshifted = plane.metres(np.column_stack(from_gcj02(*fixes.degrees.T)))
        self.inside_unshifted += int(contains_xy(everywhere, *unshifted.T).sum())


def reasons(params: Params) -> dict[str, str]:
    """Code -> Chinese text of every exclusion that `params` applies, in order of application."""
    few = {
        "share": ("COV-X-SHARE", f"有定位的格不足 {params.least_share or 0:.0%}"),
        "track": ("COV-X-CELLS", f"有定位的格不足 {params.least_cells} 个"),
    }
    code, text = few[params.recognition]
    return {"COV-X-SMALL": "界线内没有一个 100 米格", "COV-X-NOFIX": "界线内没有有效定位", code: text}


def _decide(one: Street, params: Params) -> str:
    """The exclusion code of a street, "" when it is covered."""
    if one.cells == 0:
        return "COV-X-SMALL"
    if one.fixes == 0:
        return "COV-X-NOFIX"
    if params.least_share is not None:
        return "" if one.hits >= Fraction(str(params.least_share)) * one.cells else "COV-X-SHARE"
    return "" if one.hits >= (params.least_cells or 0) else "COV-X-CELLS"


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Count:
    """The covered streets; cut or missing evidence gives findings, never an exception."""
    validity = [] if is_whole(evidence) else [_invalid("COV-V01", "界线或定位记录没有完整收入证据")]
    try:
        given = read_boundary(evidence, params.boundary)
        validity += findings(params.boundary, given)
    except (BadBoundary, KeyError) as error:
        return Count("个", 0, (), 0, validity=(*validity, broken(error)))
    plane = Plane.over(given.areas)
    streets = [street(area, plane) for area in given.areas]
    tally = _Tally()
    try:
        _fill(evidence, params, plane, streets, tally)
    except (KeyError, ValueError, OSError):
        validity.append(_invalid("COV-V02", "定位记录读不出来，或缺少声明的列"))
    fell = {one.name: _decide(one, params) for one in streets}
    validity += [*_overlaps(streets), *_of_rows(params, tally), *_of_streets(streets, fell, params)]
    count = Counter(fell.values())
    names = {index: name for name, index in tally.names.items()}
    return Count(
        unit="个",
        gross=len(streets),
        exclusions=tuple(Exclusion(code, text, count[code]) for code, text in reasons(params).items()),
        net=count[""],
        validity=tuple(validity),
        facts={
            **facts(params.boundary, given),
            "recognition": params.recognition,
            "least": params.least_share or params.least_cells,
            "cell_m": SIZE_M,
            "rows": tally.rows,
            "valid_fixes": tally.valid,
            "inside_fixes": tally.inside,
            "terminals": len(tally.names),
            "streets": [_row(one, fell[one.name], params, names) for one in streets],
        },
        pictures=(map_of(given, plane, streets),),
    )


def _fill(evidence: RunEvidence, params: Params, plane: Plane, streets: Sequence[Street], tally: _Tally) -> None:
    import shapely

    everywhere = shapely.union_all([one.shape for one in streets])
    shapely.prepare(everywhere)
    for name, reported in fix_streams(params).items():
        for stretch in read_fixes(evidence, name, reported, tally.names):
            tally.feed(stretch, params, plane, streets, everywhere)


def _row(one: Street, code: str, params: Params, names: Mapping[int, str]) -> dict[str, Json]:
    """A street for the report."""
    by_terminal = one.cells_by_terminal()
    best = max(by_terminal, key=lambda t: (by_terminal[t], -t), default=None)
    return {
        "name": one.name,
        "status": "excluded" if code else "covered",
        "code": code,
        "reason": reasons(params).get(code, ""),
        "cells": one.cells,
        "hit_cells": one.hits,
        "share": one.hits / one.cells if one.cells else 0.0,
        "hull_cells": one.hull_cells() if one.hits else 0,
        "fixes": one.fixes,
        "terminals": len(by_terminal),
        "days": len(one.days),
        "busiest_terminal": None
        if best is None
        else {"id": names[best], "cells": by_terminal[best][0], "alone": by_terminal[best][1]},
    }


def _invalid(code: str, text: str) -> Validity:
    return Validity(code, Severity.INVALID, text)


def _warning(code: str, text: str) -> Validity:
    return Validity(code, Severity.WARNING, text)


def _overlaps(streets: Sequence[Street]) -> Iterator[Validity]:
    """Official boundaries do not overlap: what lies in two streets would count twice."""
    from shapely import STRtree

    tree = STRtree([one.shape for one in streets])
    pairs = [
        (streets[a].name, streets[b].name)
        for a, b in tree.query([one.shape for one in streets], predicate="intersects").T
        if a < b
        and streets[a].shape.intersection(streets[b].shape).area
        > OVERLAP * min(streets[a].shape.area, streets[b].shape.area)
    ]
    if pairs:
        text = f"{len(pairs)} 对街道的界线重叠，同一处会算两次：{pairs[0][0]} 与 {pairs[0][1]}"
        yield _invalid("COV-V03", text)


def _of_rows(params: Params, tally: _Tally) -> Iterator[Validity]:
    """What the positions as a whole show."""
    if tally.broken:
        yield _warning("COV-V04", f"{tally.broken} 行读不出终端、时刻或位置，不用")
    if params.window is None:
        yield _warning("COV-V05", "没有声明时间窗口：何时的定位都算")
    elif tally.late:
        yield _warning("COV-V06", f"{tally.late} 行在时间窗口之外，不用")
    if tally.other:
        text = f"{tally.other} 行不是声明的有效解（{tally.other / (tally.other + tally.valid):.0%}），不用"
        yield Validity("COV-V07", Severity.INFO, text)
    outside = tally.valid - tally.inside
    if outside:
        severity = Severity.WARNING if outside > OUTSIDE_SHARE * tally.valid else Severity.INFO
        text = f"{outside} 个有效定位（{outside / tally.valid:.0%}）在所有界线之外，不计"
        yield Validity("COV-V08", severity, text)
    gained = tally.inside_unshifted - tally.inside
    if gained >= SHIFTED[0] and gained > SHIFTED[1] * tally.valid:
        text = (
            f"扣去 GCJ-02 偏移后，界线内的定位从 {tally.inside} 个增为 {tally.inside_unshifted} 个："
            "定位记录像是地图服务的偏移坐标，须用终端原始输出"
        )
        yield _warning("COV-V09", text)
    again, looked = tally.tracks.again, tally.tracks.looked
    if again >= COPIED[0] and again > COPIED[1] * looked:
        text = f"抽看的 {looked} 段轨迹有 {again} 段与别处逐位相同：同一条轨迹换了终端或日期再报"
        yield _warning("COV-V10", text)


def _of_streets(streets: Sequence[Street], fell: Mapping[str, str], params: Params) -> Iterator[Validity]:
    """What single streets show."""
    flattered, alone = [], []
    for one in streets:
        if not one.hits:
            continue
        hull = one.hull_cells()
        if hull - one.hits > HULL_EXCESS * one.cells:
            flattered.append(f"{one.name} 外包 {hull / one.cells:.0%}、实有 {one.hits / one.cells:.0%}")
        sole = max(sole for _, sole in one.cells_by_terminal().values())
        if not fell[one.name] and sole >= ALONE * one.hits:
            alone.append(f"{one.name}（{sole}/{one.hits} 格）")
    if flattered:
        yield _warning("COV-V11", f"按轨迹外包看像覆盖而多数格没有定位，只按格计：{'；'.join(flattered[:5])}")
    if alone:
        yield _warning("COV-V12", f"几乎全部有定位的格只有一台终端到过，像是专门去跑的：{'、'.join(alone[:5])}")


def map_of(given: Given, plane: Plane, streets: Sequence[Street]) -> Map:
    """The streets and their cells, metres east and north of the middle."""
    import numpy as np

    corner = np.min([one.corner for one in streets], axis=0)
    far = np.max([(one.corner[0] + one.mask.shape[1], one.corner[1] + one.mask.shape[0]) for one in streets], axis=0)
    state = np.zeros((far[1] - corner[1], far[0] - corner[0]), dtype=np.int64)
    for one in streets:
        column, row = np.subtract(one.corner, corner)
        part = state[row : row + one.mask.shape[0], column : column + one.mask.shape[1]]
        np.maximum(part, one.mask.astype(np.int64) + one.hit, out=part)
    areas = tuple(Area(area.name, plane.rings(area.shape)) for area in given.areas)
    west, south = (float(v) * SIZE_M for v in corner)
    return Map(
        "街道与有定位的格", plane.origin, areas, Cells((west, south), SIZE_M, state), ("没有有效定位", "有有效定位")
    )
