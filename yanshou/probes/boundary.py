"""A boundary in evidence, the same way in every probe: what a parameter says of it, how it is taken in, and whether to trust it.

Codes: BND-E, BND-V. It must never correct a file, nor use one whose place nobody has checked without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from yanshou.formats.boundaries import (
    BadBoundary,
    Boundary,
    distance_m,
    gcj02,
    read_geojson,
    read_shapefile,
    to_degrees,
)
from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import RunEvidence, canonical, sha256_bytes
from yanshou.harness.model import Severity, Validity
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.encodings import Encoding
from yanshou.probes.importing import checked_file, one_line, stamp
from yanshou.probes.params import Frozen

SESSION = "session.json"
AWAY_M = 20.0
"""How far a check point may be from where it truly is: its marking on a map, not the offset of a map service."""
VERTEX_M = 5.0
"""How near a vertex of the file must be to the coordinates that the check point has in it (five decimals are a metre)."""


class CheckPoint(Frozen):
    """A corner of the boundary that can be found on the ground, measured there."""

    name: str = Field(min_length=1, description="界址点的名字，如 珞喻路与民族大道交口")
    longitude: float = Field(ge=-180, le=180, description="实测经度（WGS84 或 CGCS2000，度，写五位小数）")
    latitude: float = Field(ge=-90, le=90, description="实测纬度")
    file: tuple[float, float] = Field(description="该点在边界文件里的坐标 [x, y] 或 [经度, 纬度]，必须是一个顶点")


class BoundaryFile(Frozen):
    """A boundary that an authority issued."""

    file: str = Field(min_length=1, description="边界文件，.geojson、.json 或 .shp（连同 .dbf），相对案卷文件夹")
    crs: str | None = Field(default=None, description="文件的坐标系：CGCS2000、WGS84 或 EPSG:代号；没有声明则结果无效")
    name: str | None = Field(default=None, min_length=1, description="名称在哪个属性；不写则所有面合为一个区域")
    encoding: Encoding = Field(default="utf-8", description=".dbf 的文字编码：utf-8、gb18030 等")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="边界文件的 SHA-256；写了就随计划冻结，换文件即无效"
    )
    check: CheckPoint | None = Field(default=None, description="检查点 {name, longitude, latitude, file}")

    @field_validator("file")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not value.lower().endswith((".geojson", ".json", ".shp")):
            raise ValueError("边界文件须是 .geojson、.json 或 .shp")
        return value

    def streams(self) -> dict[str, str]:
        """Stream name -> file name of every part; the .prj may be missing."""
        if not self.file.lower().endswith(".shp"):
            return {"boundary.geojson": self.file}
        stem = self.file[:-4]
        # The other parts are spelled as the first one is: SHP goes with DBF.
        upper = self.file.endswith(".SHP")
        return {f"boundary.{s}": f"{stem}.{s.upper() if upper else s}" for s in ("shp", "dbf", "prj")}


@dataclass(frozen=True)
class Given:
    """A boundary as read: its areas, and the digest of the file that holds the coordinates."""

    areas: tuple[Boundary, ...]
    sha256: str


def read_boundary(source: RunEvidence | Path, declared: BoundaryFile) -> Given:
    """The boundary in a run, or in a case folder. Raises BadBoundary, KeyError or OSError where a file is not there."""
    parts = {}
    for stream, name in declared.streams().items():
        if isinstance(source, Path):
            if stream.endswith(".prj") and not (source / name).exists():
                continue
            parts[stream] = (source / name).read_bytes()
        elif stream in source.streams() or not stream.endswith(".prj"):
            with source.open(stream) as f:
                parts[stream] = f.read()
    first = next(iter(parts.values()))
    crs = declared.crs or "WGS84"
    if "boundary.geojson" in parts:
        areas = read_geojson(first, crs, declared.name)
    else:
        prj = parts.get("boundary.prj")
        areas = read_shapefile(first, parts["boundary.dbf"], prj, crs, declared.name, declared.encoding)
    return Given(areas, sha256_bytes(first))


def take_boundary(declared: BoundaryFile, run: RunContext) -> dict[str, Json]:
    """Copies the boundary into evidence once it can be used; digests by stream.

    Raises ProbeError BND-E01 (a file missing, empty, unreadable), E02 (no usable boundary), E03 (not the file of the plan), E04
    (check point elsewhere), E05 (changed while copied).
    """
    paths = {}
    for stream, name in declared.streams().items():
        if stream.endswith(".prj") and not (run.folder / name).exists():
            continue
        codes = dict.fromkeys(("missing", "directory", "empty", "unreadable"), "BND-E01")
        paths[stream] = checked_file(run.folder, name, "边界文件", **codes)
    before = {stream: stamp(path) for stream, path in paths.items()}
    try:
        given = read_boundary(run.folder, declared)
        problem = next((f for f in findings(declared, given) if f.code in ("BND-V03", "BND-V06")), None)
    except BadBoundary as error:
        raise ProbeError("BND-E02", one_line(f"{declared.file} {error.text}"), one_line(error.remedy)) from None
    if problem is not None:
        code, remedy = {
            "BND-V03": ("BND-E04", "向主管部门要 CGCS2000 的原始界线，或改正检查点"),
            "BND-V06": ("BND-E03", "放回计划里的那份边界；要换文件须先修订计划"),
        }[problem.code]
        raise ProbeError(code, one_line(problem.text), remedy)
    digests = {stream: run.sink.attach(path, stream) for stream, path in paths.items()}
    if any(stamp(path) != before[stream] for stream, path in paths.items()):
        raise ProbeError("BND-E05", f"{declared.file} 在导入时被改动", "等编辑结束、关掉占用它的程序后重新运行")
    return dict(digests)


def close_session(run: RunContext, digests: Mapping[str, Json]) -> None:
    """Says, as the last stream, that all files were taken in; `digests` by stream."""
    run.sink.stream(SESSION).write(canonical({"files": dict(digests)}) + b"\n")
    run.progress(Progress(len(digests), len(digests)))


def is_whole(evidence: RunEvidence) -> bool:
    """True when the run says that all files were taken in, and they are those."""
    try:
        with evidence.open(SESSION) as f:
            files = json.load(f)["files"]
        return bool(files) and all(evidence.sha256(name) == digest for name, digest in files.items())
    except (KeyError, ValueError, TypeError, AttributeError):
        return False


def offset_m(check: CheckPoint, crs: str | None) -> tuple[float, float]:
    """How far the file has the check point from where it is, and from where a map service would draw it. Raises BadBoundary."""
    there = to_degrees(check.file, crs or "WGS84")
    shifted = gcj02(check.longitude, check.latitude)  # type: ignore[arg-type]
    return distance_m(there, (check.longitude, check.latitude)), distance_m(
        there, (float(shifted[0]), float(shifted[1]))
    )


def findings(declared: BoundaryFile, given: Given) -> Iterator[Validity]:
    """What speaks against the boundary. Raises BadBoundary for a check point that cannot be of the declared system."""
    if declared.crs is None:
        yield Validity("BND-V02", Severity.INVALID, "边界文件的坐标系没有声明：同样的数字可以差几百米")
    check = declared.check
    if check is None:
        yield Validity("BND-V04", Severity.WARNING, "没有检查点：边界是否整体偏移（如 GCJ-02）没有核对")
    else:
        away, encrypted = offset_m(check, declared.crs)
        nearest = _nearest_vertex_m(given, to_degrees(check.file, declared.crs or "WGS84"))
        if nearest > VERTEX_M:
            text = f"检查点“{check.name}”写的文件坐标不是边界的顶点，最近的顶点在 {nearest:.0f} 米外"
            yield Validity("BND-V03", Severity.INVALID, text)
        elif away > AWAY_M:
            like = "，正是 GCJ-02 的偏移：文件来自地图服务，不是测绘成果" if encrypted <= AWAY_M else ""
            text = f"检查点“{check.name}”在边界文件里偏了 {away:.0f} 米{like}"
            yield Validity("BND-V03", Severity.INVALID, text)
    if declared.sha256 is None:
        yield Validity("BND-V05", Severity.WARNING, "计划里没有写边界文件的摘要：冻结之后换过文件也看不出")
    elif declared.sha256 != given.sha256:
        yield Validity("BND-V06", Severity.INVALID, "边界文件不是计划里的那一份（SHA-256 不符）")


def _nearest_vertex_m(given: Given, place: tuple[float, float]) -> float:
    import numpy as np

    vertices = np.concatenate([area.vertices() for area in given.areas])
    scale = np.array([np.cos(np.radians(place[1])), 1.0])
    nearest = vertices[np.argmin((((vertices - place) * scale) ** 2).sum(axis=1))]
    return distance_m((float(nearest[0]), float(nearest[1])), place)


def broken(error: Exception) -> Validity:
    """The finding for a boundary that cannot be read from evidence."""
    why = error.text if isinstance(error, BadBoundary) else "没有完整收入证据"
    return Validity("BND-V01", Severity.INVALID, f"边界文件{why}：结果不能作数")


def facts(declared: BoundaryFile, given: Given) -> dict[str, Json]:
    """What a report says of the boundary; no coordinates."""
    check = declared.check
    return {
        "boundary_sha256": given.sha256,
        "crs": declared.crs,
        "polygons": sum(len(area.polygons) for area in given.areas),
        "holes": sum(len(polygon.interiors) for area in given.areas for polygon in area.polygons),
        "vertices": sum(len(area.vertices()) for area in given.areas),
        "check_point": check and {"name": check.name, "offset_m": round(offset_m(check, declared.crs)[0], 2)},
    }
