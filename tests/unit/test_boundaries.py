from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from tests.probes.boundary_support import CORNER, clockwise, geojson, moved, shapefile_parts, square
from yanshou.formats.boundaries import (
    BadBoundary,
    Plane,
    distance_m,
    from_gcj02,
    gcj02,
    geodesic_area_m2,
    read_geojson,
    read_shapefile,
    to_degrees,
)
from yanshou.probes.gnss.geodesy import Place, enu

BOW_TIE = [[114.3, 30.5], [114.4, 30.6], [114.4, 30.5], [114.3, 30.6], [114.3, 30.5]]


def area_of(data: bytes, crs: str = "CGCS2000", name: str | None = None) -> float:
    return sum(geodesic_area_m2(b.shape) for b in read_geojson(data, crs, name))


def refused(data: bytes, crs: str = "CGCS2000", name: str | None = None) -> BadBoundary:
    with pytest.raises(BadBoundary) as caught:
        read_geojson(data, crs, name)
    assert caught.value.remedy
    return caught.value


def in_crs(ring: list[list[float]], code: int) -> list[list[float]]:
    to = Transformer.from_crs(4490, code, always_xy=True)
    return [list(to.transform(*p)) for p in ring]


# --- areas ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", [1e4, 1e7, 1.05e7, 2.5e8])
def test_area_is_that_of_the_closed_form(area: float) -> None:
    assert area_of(geojson({"": [square(area)]})) == pytest.approx(area, abs=0.2)


def test_holes_orientation_and_several_polygons() -> None:
    outer, hole, apart = square(1e7), square(1e6, 500, 500), square(2e6, 0, 5000)
    for a, b in ((outer, hole), (clockwise(outer), hole), (outer, clockwise(hole))):
        assert area_of(geojson({"a": [a, b], "b": [apart]})) == pytest.approx(1.1e7, abs=0.2)
    inside = geojson({"a": [outer], "b": [square(1e6, 500, 500)]})
    assert area_of(inside) == pytest.approx(1e7, abs=0.2)  # what lies in two polygons is there once
    assert [b.name for b in read_geojson(inside, "CGCS2000", "名称")] == ["a", "b"]


@pytest.mark.parametrize("code", [4547, 32650, 4526])
def test_projected_systems_give_the_same_area(code: int) -> None:
    ring = in_crs(square(1e7), code)
    assert area_of(geojson({"": [ring]}), f"EPSG:{code}") == pytest.approx(1e7, abs=0.5)
    own = f"urn:ogc:def:crs:EPSG::{code}"
    assert area_of(geojson({"": [ring]}, own), f"EPSG:{code}") == pytest.approx(1e7, abs=0.5)


def test_web_mercator_would_read_a_third_more_and_is_refused() -> None:
    ring = in_crs(square(1e7), 3857)
    assert shapely.Polygon(ring).area / 1e7 == pytest.approx(1.35, abs=0.005)
    for crs in ("EPSG:3857", "EPSG:900913"):
        assert "EPSG:3857" in refused(geojson({"": [ring]}), crs).text or crs == "EPSG:900913"
    assert "EPSG:3857" in refused(geojson({"": [square(1e7)]}, "urn:ogc:def:crs:EPSG::3857")).text


# --- what is no boundary -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crs", ["GCJ-02", "gcj02", "BD-09", "EPSG:4214", "EPSG:4610", "EPSG:99999", "火星"])
def test_systems_that_are_not_used(crs: str) -> None:
    refused(geojson({"": [square(1e6)]}), crs)


@pytest.mark.parametrize(
    ("rings", "says"),
    [
        ([BOW_TIE], "自己相交"),
        ([square(1e6)[:-1]], "闭合"),
        ([square(1e6)[:2] + square(1e6)[-1:]], "四点"),
        ([[*square(1e6)[:-1], ["x", 1], square(1e6)[0]]], "数字"),
        ([square(1e6), square(1e6, 5000)], "不成立"),
        ([[[y, x] for x, y in square(1e6)]], "不可能"),
        ([in_crs(square(1e6), 4547)], "不可能"),
        ([], "没有环"),
    ],
)
def test_rings_that_are_none(rings: list[list[list[float]]], says: str) -> None:
    assert says in refused(geojson({"": rings})).text


def test_a_bow_tie_would_have_read_as_nothing() -> None:
    assert geodesic_area_m2(shapely.Polygon(BOW_TIE)) < 0.02 * geodesic_area_m2(shapely.box(114.3, 30.5, 114.4, 30.6))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"type":"FeatureCollection"}', b'{"type":"Feature","geometry":{"type":"Polygon"}}',
             b"\xff\xfe", b"[" * 100_000, b'{"type":"Polygon","coordinates":7,"crs":7}'],
)  # fmt: skip
def test_other_bytes_are_refused(data: bytes) -> None:
    refused(data)


def test_files_without_areas_or_names_or_far_too_wide() -> None:
    assert "没有一个面" in refused(b'{"type":"Point","coordinates":[114.3,30.5]}').text
    assert "没有属性" in refused(geojson({"a": [square(1e6)]}), name="街道").text
    assert "名称" in refused(geojson({"a": [square(1e6)]}), name="街道").remedy
    assert "没有属性" in refused(geojson({" ": [square(1e6)]}), name="名称").text
    assert "相距" in refused(geojson({"a": [square(1e6)], "b": [square(1e6, 0, 700_000)]})).text


def test_a_crs_in_the_file_must_be_the_declared_one() -> None:
    ring = in_crs(square(1e6), 4547)
    assert "不是声明的" in refused(geojson({"": [ring]}, "EPSG:4549"), "EPSG:4547").text
    assert area_of(geojson({"": [square(1e6)]}, "urn:ogc:def:crs:OGC:1.3:CRS84"), "WGS84") == pytest.approx(
        1e6, abs=0.1
    )
    refused(geojson({"": [square(1e6)]}, "EPSG:4214"))


# --- shapefiles ----------------------------------------------------------------------------------------------------------

REST = '],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
PRJ = f'GEOGCS["GCS_CGCS_2000",DATUM["D_China_2000",SPHEROID["CGCS2000",6378137.0,298.257222101]{REST}'.encode()
OLD_PRJ = f'GEOGCS["GCS_Beijing_1954",DATUM["D_Beijing_1954",SPHEROID["Krasovsky_1940",6378245.0,298.3]{REST}'.encode()


def test_a_shapefile_reads_like_its_geojson() -> None:
    rings = {"关山街道": [clockwise(square(1e7)), square(1e6, 500, 500)], "九峰街道": [clockwise(square(2e6, 5000))]}
    parts = shapefile_parts(rings, "gb18030")
    found = read_shapefile(parts["shp"], parts["dbf"], PRJ, "CGCS2000", "NAME", "gb18030")
    assert [b.name for b in found] == list(rings)
    assert [geodesic_area_m2(b.shape) for b in found] == pytest.approx([9e6, 2e6], abs=0.2)


def test_shapefiles_that_are_refused() -> None:
    parts = shapefile_parts({"关山街道": [clockwise(square(1e6))]}, "gb18030")

    def refuse(shp: bytes = parts["shp"], prj: bytes | None = None, encoding: str = "gb18030") -> str:
        with pytest.raises(BadBoundary) as caught:
            read_shapefile(shp, parts["dbf"], prj, "CGCS2000", "NAME", encoding)
        return caught.value.text

    assert "编码" in refuse(encoding="utf-8")
    for size in (0, 50, 100, 104, 150, len(parts["shp"]) - 1):
        assert "shapefile" in refuse(parts["shp"][:size])
    assert "基准" in refuse(prj=OLD_PRJ)
    assert ".prj" in refuse(prj=b"no coordinate system")
    assert "自己相交" in refuse(shapefile_parts({"x": [BOW_TIE]})["shp"])


# --- places --------------------------------------------------------------------------------------------------------------


def test_gcj02_is_588_m_off_in_wuhan_and_is_undone_to_metres() -> None:
    shifted = gcj02(np.float64(CORNER[0]), np.float64(CORNER[1]))
    assert distance_m(CORNER, (float(shifted[0]), float(shifted[1]))) == pytest.approx(588, abs=1)
    rng = np.random.default_rng(1)
    x, y = 113.7 + rng.random(500), 30.0 + rng.random(500)
    back = from_gcj02(*gcj02(x, y))
    assert max(distance_m((a, b), (c, d)) for a, b, c, d in zip(x, y, *back, strict=True)) < 3
    assert distance_m(tuple(moved(square(1e6))[0]), CORNER) > 500


def test_the_plane_keeps_areas_and_directions_and_is_the_local_east_and_north() -> None:
    plane = Plane(*CORNER)
    ring = np.array(square(2.5e7))
    assert shapely.Polygon(plane.metres(ring)).area == pytest.approx(2.5e7, rel=1e-7)
    assert np.abs(plane.degrees(plane.metres(ring)) - ring).max() < 2e-8  # a millimetre
    rng = np.random.default_rng(2)
    around = CORNER + rng.uniform(-0.05, 0.05, (200, 2))
    east, north, _ = enu(around[:, 1], around[:, 0], np.zeros(200), Place(CORNER[1], CORNER[0], 0.0))
    assert np.abs(plane.metres(around) - np.column_stack([east, north])).max() < 0.01


def test_places_in_a_projected_system() -> None:
    x, y = in_crs([list(CORNER)], 4547)[0]
    assert distance_m(to_degrees((x, y), "EPSG:4547"), CORNER) < 1e-3
    assert to_degrees(CORNER, "WGS84") == CORNER


def test_random_bytes_never_do_more_than_be_refused() -> None:
    rng = random.Random(3)
    whole = bytearray(geojson({"a": [square(1e5)]}))
    parts = shapefile_parts({"a": [clockwise(square(1e5))]})
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        shp = bytearray(parts["shp"])
        shp[rng.randrange(len(shp))] = rng.randrange(256)
        for read in (
            lambda d=bytes(data): read_geojson(d, "CGCS2000", None),
            lambda d=bytes(shp): read_shapefile(d, parts["dbf"], None, "CGCS2000", "NAME", "utf-8"),
        ):
            try:
                found = read()
            except BadBoundary:
                continue
            assert all(math.isfinite(geodesic_area_m2(b.shape)) for b in found)
    assert json.loads(whole)
