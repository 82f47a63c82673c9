"""Times of day in which a condition may be measured. It must never read a clock. Runs on bare Python 3.8."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone

_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
BEIJING = timezone(timedelta(hours=8))


def parse_window(text: str) -> tuple[time, time]:
    """A time of day in Beijing, "09:00-11:30", both ends included. Raises ValueError for anything else, or an empty one."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError("写成 09:00-11:30（北京时间，24 小时制）")
    start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if start >= end:
        raise ValueError("时段的结束须晚于开始，不跨零点")
    return start, end


def in_window(window: str | None, moment: datetime) -> bool:
    """Whether an aware `moment` lies in the time of day; always, where there is none."""
    if window is None:
        return True
    start, end = parse_window(window)
    return start <= moment.astimezone(BEIJING).time() <= end
