"""Vehicle identification numbers in what people write down: found, and what is wrong with one in words.

It is for telling a number that was read from one that was made up or mistyped. A right check digit proves no vehicle: who makes one
up can compute it. Pure.
"""

from __future__ import annotations

import re

from yanshou.probes.codes import VIN_VALUES, is_vin, vin_check_digit
from yanshou.probes.texts import plain

_LOOKS_LIKE = re.compile(r"(?<![0-9A-Z])[0-9A-Z]{17}(?![0-9A-Z])")


def written(text: str) -> str | None:
    """The first 17 characters in a row in a text that can only be meant as a VIN, width and case apart; None without."""
    found = _LOOKS_LIKE.search(plain(text).upper())
    return found[0] if found else None


def wrong(vin: str) -> str | None:
    """What is wrong with 17 letters and digits, in Chinese; None for nothing."""
    if strange := sorted(set(vin) - VIN_VALUES.keys()):
        return f"含有不该出现的 {'、'.join(strange)}"
    return None if is_vin(vin) else f"第 9 位校验位是 {vin[8]}，按 GB 16735 应为 {vin_check_digit(vin)}"
