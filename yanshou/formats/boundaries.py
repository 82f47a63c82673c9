"""Boundaries that offices hand out (GeoJSON, shapefile): bytes -> named areas in geodetic degrees, and a plane to count in. Pure.

It is for the one place where a coordinate system is believed, or not. It must never guess one, repair a ring, or take the axes
of a map for metres on the ground: areas are geodesic, cells lie in an equal-area plane.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pyproj import CRS

    Degrees = NDArray[np.float64]
    """Longitude and latitude, shape (k, 2)."""

SHORT_NAMES = {"WGS84": "EPSG:4326", "CGCS2000": "EPSG:4490"}
"""What people write for longitude and latitude in degrees."""
ENCRYPTED = {"GCJ02": "GCJ-02", "BD09": "BD-09"}
"""Coordinates of map services: displaced by hundreds of metres, by a formula that no authority publishes."""
SEMI_MAJOR, INVERSE_FLATTENING = 6378137.0, 298.257223
"""WGS 84 and GRS 80 (CGCS2000); the older ellipsoids of Beijing 1954 and Xi'an 1980 are metres from them, their datums 100 m."""
SAME_PLACE_M = 1.0
WIDEST = 5.0
"""Degrees from end to end: more is no sub-district or demonstration area, but a wrong column or system."""


class BadBoundary(ValueError):
    """A file that is no usable boundary: `text` says why, `remedy` what to do, both in Chinese."""

    def __init__(self, text: str, remedy: str) -> None:
        self.text, self.remedy = text, remedy
        super().__init__(text)


def polygons(shape: Any) -> tuple[Any, ...]:
    """The polygons of a shapely Polygon or MultiPolygon."""
    return tuple(getattr(shape, "geoms", (shape,)))


@dataclass(frozen=True)
class Boundary:
    """One named area: `shape` is a shapely Polygon or MultiPolygon in degrees, longitude first, every ring checked."""

    name: str
    shape: Any

    @property
    def polygons(self) -> tuple[Any, ...]:
        """Its polygons, one or several."""
        return polygons(self.shape)

    def vertices(self) -> Degrees:
        """Every vertex of every ring."""
        import shapely

        found: Degrees = shapely.get_coordinates(self.shape)
        return found


def read_geojson(data: bytes, crs: str, name: str | None) -> tuple[Boundary, ...]:
    """The polygons of a GeoJSON text (RFC 7946), joined by the property `name`; all one area without it.

    `crs` is what the coordinates are declared to be; a `crs` member that says otherwise is refused. Points and lines are no
    areas and left out. Raises BadBoundary.
    """
    try:
        document = json.loads(data)
        own = document["crs"]["properties"]["name"] if document.get("crs") else None
        features = list(_features(document))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadBoundary("不是 GeoJSON", "用 GIS 软件导出为 GeoJSON（UTF-8）") from None
    return _boundaries(features, crs, None if own is None else _known_crs(str(own)), name)


def _features(document: Any) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
    """(properties, polygons as nested coordinates) of each feature that has any."""
    if document["type"] == "FeatureCollection":
        for feature in document["features"]:
            yield from _features(feature)
        return
    properties, geometry = (
        (document.get("properties") or {}, document["geometry"]) if document["type"] == "Feature" else ({}, document)
    )
    parts = geometry["geometries"] if geometry and geometry["type"] == "GeometryCollection" else [geometry]
    polygons = [p for part in parts if part for p in _polygons(part)]
    if polygons:
        yield properties, polygons


def _polygons(geometry: Mapping[str, Any]) -> list[Any]:
    coordinates = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        return [coordinates]
    return list(coordinates) if geometry["type"] == "MultiPolygon" else []


def read_shapefile(
    shp: bytes, dbf: bytes, prj: bytes | None, crs: str, name: str | None, encoding: str
) -> tuple[Boundary, ...]:
    """The polygons of an ESRI shapefile, joined by the field `name`; a .prj that is not `crs` is refused. Raises BadBoundary."""
    import io
    import struct
    import warnings

    import shapefile
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        own = CRS.from_wkt(prj.decode("utf-8", "replace")) if prj and prj.strip() else None
    except CRSError:
        raise BadBoundary(".prj 不是坐标系说明", "向提供单位要回完整的 shapefile，或改用 GeoJSON") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a size in the header that is not the file's: a copy that broke off
            reader = shapefile.Reader(shp=io.BytesIO(shp), dbf=io.BytesIO(dbf), encoding=encoding)
            records = [(r.shape, r.record.as_dict()) for r in reader.iterShapeRecords()]
    except (UnicodeError, shapefile.dbfFileException):
        raise BadBoundary(f".dbf 读不出，或不是 {encoding} 编码", "改 encoding，如 gb18030") from None
    except (shapefile.ShapefileException, struct.error, Warning, ValueError, IndexError, TypeError, KeyError):
        raise BadBoundary("不是完好的 shapefile", "把 .shp、.dbf、.prj 一起重新拷贝") from None
    features = []
    for shape, record in records:
        if shape.shapeTypeName.startswith("POLYGON"):
            ends = [*shape.parts[1:], len(shape.points)]
            for first, end in zip(shape.parts, ends, strict=True):  # before pyshp sorts them into outer rings and holes
                _ring(shape.points[first:end])
            features.append((record, _polygons(shape.__geo_interface__)))
    return _boundaries(features, crs, own, name)


def _boundaries(
    features: Iterable[tuple[Mapping[str, Any], list[Any]]], crs: str, own: CRS | None, name: str | None
) -> tuple[Boundary, ...]:
    """Polygons in degrees, joined by name in order of first appearance."""
    import numpy as np
    import shapely

    declared = _to_degrees(_known_crs(crs))
    stated = None if own is None else _to_degrees(own)
    named: dict[str, list[Any]] = defaultdict(list)
    for properties, polygons in features:
        if name is not None and not str(properties.get(name) or "").strip():
            there = "、".join(map(str, properties)) or "无"
            raise BadBoundary(f"有的面没有属性“{name}”", f"改正 name；现有属性：{there}")
        for rings in polygons:
            planes = [_ring(ring) for ring in rings]
            if not planes:
                raise BadBoundary("有一个面没有环", "用 GIS 软件检查并修复几何后重新导出")
            degrees = [declared(plane) for plane in planes]
            if stated is not None and _apart(stated(planes[0][:1]), degrees[0][:1]) > SAME_PLACE_M:
                raise BadBoundary(f"文件自己写明的坐标系不是声明的 {crs}", "核对 crs，以提供单位的说明为准")
            polygon = shapely.Polygon(degrees[0], degrees[1:])
            if not shapely.is_valid(polygon) or polygon.area == 0:
                why = shapely.is_valid_reason(polygon)
                raise BadBoundary(f"有一个面不成立（{why}）", "用 GIS 软件检查并修复几何后重新导出")
            named[str(properties[name]).strip() if name is not None else ""].append(polygon)
    if not named:
        raise BadBoundary("没有一个面", "导出面图层，不要点或线")
    ends = np.concatenate([shapely.get_coordinates(part) for parts in named.values() for part in parts])
    if (np.ptp(ends, axis=0) > WIDEST).any():
        raise BadBoundary(f"各面相距超过 {WIDEST:g} 度", "只留要验收的街道或示范区；核对 crs")
    return tuple(
        Boundary(title, parts[0] if len(parts) == 1 else shapely.union_all(parts)) for title, parts in named.items()
    )


def _ring(positions: Any) -> NDArray[np.float64]:
    """A ring's x and y, shape (k, 2), once it is closed, finite and crosses itself nowhere. Raises BadBoundary."""
    import numpy as np
    import shapely

    try:
        ring = np.array([position[:2] for position in positions], dtype=np.float64).reshape(-1, 2)
    except (ValueError, TypeError, IndexError):
        raise BadBoundary("有的坐标不是数字", "用 GIS 软件重新导出") from None
    if len(ring) < 4 or not np.isfinite(ring).all():
        raise BadBoundary("有一个环不足四点，或坐标不是有限的数", "用 GIS 软件检查并修复几何后重新导出")
    if not (ring[0] == ring[-1]).all():
        raise BadBoundary("有一个环没有闭合", "用 GIS 软件检查并修复几何后重新导出")
    if not shapely.is_simple(shapely.LinearRing(ring)):
        raise BadBoundary("有一个环自己相交（如 8 字形），面积没有意义", "用 GIS 软件检查并修复几何后重新导出")
    return ring


# --- coordinate systems --------------------------------------------------------------------------------------------------


def _known_crs(text: str) -> CRS:
    """The coordinate system that `text` names. Raises BadBoundary for one that is unknown or not to be used."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    plain = "".join(c for c in text.upper() if c.isalnum())
    if plain in ENCRYPTED:
        raise BadBoundary(f"{ENCRYPTED[plain]} 是地图服务的偏移坐标，不能用来量", "向主管部门要 CGCS2000 的原始界线")
    try:
        return CRS.from_user_input(SHORT_NAMES.get(plain, text))
    except CRSError:
        raise BadBoundary(f"不认识坐标系“{text}”", "写 CGCS2000、WGS84（经纬度）或 EPSG 代号，如 EPSG:4547") from None


def _to_degrees(crs: CRS) -> Callable[[NDArray[np.float64]], Degrees]:
    """x and y, both (k, 2), to longitude and latitude on the system's own datum. Raises BadBoundary."""
    import numpy as np
    from pyproj import Transformer

    operation = crs.coordinate_operation
    if operation is not None and "Pseudo Mercator" in operation.method_name:
        text = "EPSG:3857（网络墨卡托）是看图用的投影，在武汉面积读大约 35 %"
        raise BadBoundary(text, "改用 CGCS2000 或 WGS84 经纬度，或高斯-克吕格投影的原始界线")
    shape = crs.ellipsoid
    if (
        crs.geodetic_crs is None
        or shape is None
        or abs(shape.semi_major_metre - SEMI_MAJOR) > 0.5
        or abs(shape.inverse_flattening - INVERSE_FLATTENING) > 1e-3
    ):
        raise BadBoundary(f"坐标系 {crs.name} 不在 WGS84 或 CGCS2000 基准上", "先由测绘单位转换到 CGCS2000")
    inverse = None if crs.is_geographic else Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)

    def degrees(plane: NDArray[np.float64]) -> Degrees:
        found = plane if inverse is None else np.column_stack(inverse.transform(plane[:, 0], plane[:, 1]))
        if not (np.isfinite(found).all() and (np.abs(found) <= (180.0, 90.0)).all()):
            raise BadBoundary(f"有的坐标不可能是 {crs.name} 的", "核对 crs；经度在前、纬度在后")
        return found

    return degrees


def _apart(a: Degrees, b: Degrees) -> float:
    return distance_m((a[0, 0], a[0, 1]), (b[0, 0], b[0, 1]))


def to_degrees(place: tuple[float, float], crs: str) -> tuple[float, float]:
    """Longitude and latitude of a place (x, y) in `crs`. Raises BadBoundary."""
    import numpy as np

    longitude, latitude = _to_degrees(_known_crs(crs))(np.array([place], dtype=np.float64))[0]
    return float(longitude), float(latitude)


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Geodesic distance of two places (longitude, latitude) on GRS 80, metres."""
    from pyproj import Geod

    return float(Geod(ellps="GRS80").inv(*a, *b)[2])


def gcj02(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> tuple[Any, Any]:
    """Where map services in China draw a place: WGS 84 degrees -> GCJ-02 degrees, by the formula generally known, to a metre.

    It is for recognising such coordinates, never for correcting them.
    """
    import numpy as np

    x, y = np.asarray(longitude) - 105.0, np.asarray(latitude) - 35.0
    waves = 20 * np.sin(6 * math.pi * x) + 20 * np.sin(2 * math.pi * x)
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
    north += 2 / 3 * (waves + 20 * np.sin(math.pi * y) + 40 * np.sin(math.pi * y / 3))
    north += 2 / 3 * (160 * np.sin(math.pi * y / 12) + 320 * np.sin(math.pi * y / 30))
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
    east += 2 / 3 * (waves + 20 * np.sin(math.pi * x) + 40 * np.sin(math.pi * x / 3))
    east += 2 / 3 * (150 * np.sin(math.pi * x / 12) + 300 * np.sin(math.pi * x / 30))
    semi_major, e2 = 6378245.0, 0.00669342162296594323  # Krasovsky 1940
    phi = np.radians(latitude)
    w = 1 - e2 * np.sin(phi) ** 2
    meridian, normal = semi_major * (1 - e2) / w**1.5, semi_major / np.sqrt(w)
    return longitude + np.degrees(east / (normal * np.cos(phi))), latitude + np.degrees(north / meridian)


def from_gcj02(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> tuple[Any, Any]:
    """Inverse of `gcj02` to a metre or two: the displacement changes little over its own length."""
    there = gcj02(longitude, latitude)
    return 2 * longitude - there[0], 2 * latitude - there[1]


# --- sizes and places ----------------------------------------------------------------------------------------------------


def geodesic_area_m2(shape: Any) -> float:
    """Area of a polygon in degrees on GRS 80, holes taken out, edges as geodesics (Karney, J. Geodesy 87 (2013) 43-55)."""
    import shapely
    from pyproj import Geod

    return abs(float(Geod(ellps="GRS80").geometry_area_perimeter(shapely.orient_polygons(shape))[0]))


@dataclass(frozen=True)
class Plane:
    """Metres east and north of an origin in degrees: Lambert's azimuthal equal-area projection of GRS 80 (Snyder 1987, p. 187).

    Squares in it have their true area everywhere, and directions from the origin are true.
    """

    longitude: float
    latitude: float

    @cached_property
    def _projection(self) -> Any:
        from pyproj import Proj

        return Proj(proj="laea", lat_0=self.latitude, lon_0=self.longitude, ellps="GRS80", units="m")

    def metres(self, degrees: Degrees) -> NDArray[np.float64]:
        """East and north, shape (k, 2)."""
        import numpy as np

        return np.column_stack(self._projection(degrees[:, 0], degrees[:, 1]))

    def degrees(self, metres: NDArray[np.float64]) -> Degrees:
        """Inverse of `metres`."""
        import numpy as np

        return np.column_stack(self._projection(metres[:, 0], metres[:, 1], inverse=True))

    def shape(self, shape: Any) -> Any:
        """A shape in degrees as one in metres."""
        import shapely

        return shapely.transform(shape, self.metres)

    def rings(self, shape: Any) -> tuple[NDArray[np.float64], ...]:
        """Every ring of a shape in degrees, in metres, shape (k, 2) each."""
        import numpy as np

        rings = (ring for p in polygons(shape) for ring in (p.exterior, *p.interiors))
        return tuple(self.metres(np.asarray(ring.coords, dtype=np.float64)) for ring in rings)

    @staticmethod
    def over(boundaries: Iterable[Boundary]) -> Plane:
        """The plane about the middle of `boundaries`, on whole ten-thousandths of a degree: an origin that can be printed."""
        import numpy as np

        every = np.concatenate([b.vertices() for b in boundaries])
        longitude, latitude = (every.min(axis=0) + every.max(axis=0)) / 2
        return Plane(round(float(longitude), 4), round(float(latitude), 4))

    @property
    def origin(self) -> str:
        """Its origin in words."""
        return f"{self.longitude:.4f}°E {self.latitude:.4f}°N（局部等积平面）"
