"""Positions on the ellipsoid and the local east, north, up that errors are stated in. Pure float64.

It must never be given or return single precision (a float32 degree is 0.7 m), and never take map axes for east and north.
WGS84 and CGCS2000 differ by 0.1 mm in height; their ellipsoid here is that of WGS84.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEMI_MAJOR, FLATTENING = 6378137.0, 1 / 298.257223563
"""WGS 84 (NIMA TR8350.2), metres."""
_E2 = FLATTENING * (2 - FLATTENING)


class Place(NamedTuple):
    """Geodetic latitude and longitude in degrees, ellipsoidal height in metres."""

    latitude: float
    longitude: float
    height: float


def ecef(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], height: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Earth-centred coordinates in metres, shape (3, n), of degrees and metres, each of shape (n,).

    Source: EPSG guidance note 7-2, method 9602.
    """
    import numpy as np

    phi, lam = np.radians(latitude), np.radians(longitude)
    sine, cosine = np.sin(phi), np.cos(phi)
    normal = SEMI_MAJOR / np.sqrt(1 - _E2 * sine**2)
    across = (normal + height) * cosine
    return np.stack([across * np.cos(lam), across * np.sin(lam), (normal * (1 - _E2) + height) * sine])


def _rotation(origin: Place) -> NDArray[np.float64]:
    """Rows east, north, up at `origin` (EPSG guidance note 7-2, method 9836)."""
    import numpy as np

    phi, lam = np.radians(origin.latitude), np.radians(origin.longitude)
    return np.array(
        [
            [-np.sin(lam), np.cos(lam), 0.0],
            [-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)],
            [np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)],
        ]
    )


def _of(place: Place) -> NDArray[np.float64]:
    import numpy as np

    return ecef(*(np.array([v], dtype=np.float64) for v in place))


def enu(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], height: NDArray[np.float64], origin: Place
) -> NDArray[np.float64]:
    """East, north and up of `origin`, metres, shape (3, n)."""
    moved: NDArray[np.float64] = _rotation(origin) @ (ecef(latitude, longitude, height) - _of(origin))
    return moved


def geodetic(local: NDArray[np.float64], origin: Place) -> NDArray[np.float64]:
    """Degrees, degrees and metres, shape (3, n), of east, north and up of `origin`: the inverse of `enu`, to 1e-9 m."""
    return geodetic_of(_rotation(origin).T @ local + _of(origin))


def geodetic_of(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees, degrees and metres, shape (3, n), of earth-centred coordinates: the inverse of `ecef`.

    Latitude by Bowring's formula with its own iteration (Survey Review 23 (1976) 323-327), which converges near the surface.
    """
    import numpy as np

    x, y, z = xyz
    across = np.hypot(x, y)
    polar = 1 - FLATTENING
    reduced = np.arctan2(z, polar * across)
    for _ in range(4):
        phi = np.arctan2(
            z + _E2 / polar * SEMI_MAJOR * np.sin(reduced) ** 3, across - _E2 * SEMI_MAJOR * np.cos(reduced) ** 3
        )
        reduced = np.arctan2(polar * np.sin(phi), np.cos(phi))
    sine, cosine = np.sin(phi), np.cos(phi)
    height = across * cosine + z * sine - SEMI_MAJOR * np.sqrt(1 - _E2 * sine**2)
    return np.stack([np.degrees(phi), np.degrees(np.arctan2(y, x)), height])
