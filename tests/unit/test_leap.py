"""Leap seconds: beside the table of the time zone database, and around one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from yanshou.formats.leap import EPOCH_NS, SINCE, WEEK_NS, gps_minus_utc, utc_of_gps

ZONES = [Path("/usr/share/zoneinfo/leapseconds"), Path("/usr/share/zoneinfo/right/leapseconds")]


def test_the_offsets_that_reports_rest_on() -> None:
    assert gps_minus_utc(date(2005, 4, 2)) == 13
    assert gps_minus_utc(date(2016, 12, 31)) == 17
    assert gps_minus_utc(date(2017, 1, 1)) == gps_minus_utc(date(2026, 3, 2)) == 18
    with pytest.raises(ValueError, match="GPS"):
        gps_minus_utc(date(1979, 12, 31))


def test_the_table_is_that_of_the_time_zone_database() -> None:
    found = [path for path in ZONES if path.is_file()]
    if not found:
        pytest.skip("no time zone database with leap seconds here")
    text = found[0].read_text(encoding="ascii")
    leaps = [
        datetime.strptime(f"{y} {m} {d}", "%Y %b %d").date()
        for y, m, d in re.findall(r"(?m)^Leap\s+(\d+)\s+(\w+)\s+(\d+)", text)
    ]
    later = [day + timedelta(days=1) for day in leaps if day >= date(1980, 1, 6)]
    assert [(day, n) for n, day in enumerate(later, 1)] == list(SINCE[1:])


def test_around_the_leap_second_of_2016() -> None:
    """23:59:59, 23:59:60 and 00:00:00: the second of them shares its number with the third."""
    midnight = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    gps = midnight - EPOCH_NS + np.array([16, 17, 18, 19]) * 10**9
    assert ((utc_of_gps(gps) - midnight) // 10**9).tolist() == [-1, 0, 0, 1]


def test_gps_weeks() -> None:
    monday = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert utc_of_gps(np.array([2408 * WEEK_NS + 115_218 * 10**9])).tolist() == [int(monday.timestamp()) * 10**9]
