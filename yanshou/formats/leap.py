"""Leap seconds: how far GPS time is ahead of UTC, by date; for wherever GPS time (RTKLIB .pos, Unicore, NovAtel) meets UTC (NMEA).

It must never guess the future: the table is that of the IERS (Leap_Second.dat, TAI - UTC less 19 s), complete until 2026-06-28,
and a test compares it with the one of the time zone database.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SINCE: tuple[tuple[date, int], ...] = (
    (date(1980, 1, 6), 0),
    (date(1981, 7, 1), 1),
    (date(1982, 7, 1), 2),
    (date(1983, 7, 1), 3),
    (date(1985, 7, 1), 4),
    (date(1988, 1, 1), 5),
    (date(1990, 1, 1), 6),
    (date(1991, 1, 1), 7),
    (date(1992, 7, 1), 8),
    (date(1993, 7, 1), 9),
    (date(1994, 7, 1), 10),
    (date(1996, 1, 1), 11),
    (date(1997, 7, 1), 12),
    (date(1999, 1, 1), 13),
    (date(2006, 1, 1), 14),
    (date(2009, 1, 1), 15),
    (date(2012, 7, 1), 16),
    (date(2015, 7, 1), 17),
    (date(2017, 1, 1), 18),
)
"""(UTC date from whose beginning on, GPS - UTC in seconds)."""
EPOCH_NS = 315_964_800 * 10**9
"""Beginning of GPS time, 1980-01-06 00:00:00 UTC, as UTC ns."""
WEEK_NS = 604_800 * 10**9
_SECOND = 10**9


def gps_minus_utc(day: date) -> int:
    """Seconds that GPS time is ahead on the UTC date `day`. Raises ValueError before GPS time began."""
    if day < SINCE[0][0]:
        raise ValueError(f"no GPS time on {day}")
    return SINCE[bisect_right(SINCE, (day, 1 << 30)) - 1][1]


def utc_of_gps(gps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """UTC ns of nanoseconds since the beginning of GPS time, shape (n,).

    The leap second itself shares its UTC ns with the second that follows it, as in POSIX time.
    """
    import numpy as np

    unlepped = gps_ns + EPOCH_NS
    starts = [(d.toordinal() - date(1970, 1, 1).toordinal()) * 86400 * _SECOND + s * _SECOND for d, s in SINCE]
    ahead = np.array([s for _, s in SINCE], dtype=np.int64) * _SECOND
    utc: NDArray[np.int64] = unlepped - ahead[np.maximum(np.searchsorted(starts, unlepped, side="right") - 1, 0)]
    return utc
