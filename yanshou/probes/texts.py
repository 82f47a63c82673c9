"""How a text and a time written by people or other systems are read, the same way in every probe.

It must never guess: a time that does not have the one accepted form is no time.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    DATE.pattern + r"([T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def plain(text: str) -> str:
    """`text` in Unicode NFKC (full-width to half-width) without surrounding blanks."""
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()


def moment(text: str) -> datetime | None:
    """A time stamp as naive Beijing time, None when it is not `YYYY-MM-DD[(T| )HH:MM[:SS[.f]][Z|±HH:MM]]`.

    A stamp with an offset is converted; one without is Beijing time already. The form is checked here and not left to
    `fromisoformat`, whose grammar differs between Python versions.
    """
    text = plain(text)
    if not _MOMENT.fullmatch(text):
        return None
    try:
        when = datetime.fromisoformat(text)
        return when if when.tzinfo is None else when.astimezone(BEIJING).replace(tzinfo=None)
    except (ValueError, OverflowError):  # 2026-02-30, or year 1 moved by its offset
        return None
