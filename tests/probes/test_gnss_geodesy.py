"""East, north, up against PROJ, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer

from yanshou.probes.gnss.geodesy import Place, ecef, enu, geodetic

WUHAN = Place(30.5278, 114.3571, 28.3)
PLACES = [WUHAN, Place(0, 0, 0), Place(-78.5, -179.9, 3000), Place(89.9, 45, -30), Place(51.5, 179.9999, 10)]


@pytest.mark.parametrize("origin", PLACES)
def test_the_same_as_proj_to_a_hundredth_of_a_millimetre(origin: Place) -> None:
    rng = np.random.default_rng(1)
    local = rng.uniform(-5000, 5000, (3, 2000))
    latitude, longitude, height = geodetic(local, origin)
    topocentric = Transformer.from_pipeline(
        "+proj=pipeline +step +proj=cart +ellps=WGS84 +step +proj=topocentric +ellps=WGS84 "
        f"+lat_0={origin.latitude} +lon_0={origin.longitude} +h_0={origin.height}"
    )
    theirs = np.stack(topocentric.transform(longitude, latitude, height, radians=False))
    assert np.abs(enu(latitude, longitude, height, origin) - theirs).max() < 1e-5
    assert np.abs(theirs - local).max() < 1e-5
    cart = Transformer.from_pipeline("+proj=cart +ellps=WGS84")
    assert (
        np.abs(ecef(latitude, longitude, height) - np.stack(cart.transform(longitude, latitude, height))).max() < 1e-5
    )


def test_map_axes_are_not_east_and_north() -> None:
    """One kilometre along the UTM grid is metres off: errors are never stated on it."""
    grid = Transformer.from_crs(4326, 32650, always_xy=True)
    x, y = grid.transform(WUHAN.longitude, WUHAN.latitude)
    longitude, latitude = grid.transform(x, y + 1000, direction="INVERSE")
    east, _, _ = enu(np.array([latitude]), np.array([longitude]), np.array([WUHAN.height]), WUHAN)
    assert abs(float(east[0])) > 10
