"""Vehicle identification numbers: whether 17 characters can be one, by the check digit of GB 16735 (as in ISO 3779 and 49 CFR 565).

It is for telling a number that was read from one that was made up or mistyped. A right check digit proves no vehicle: who makes one
up can compute it. Pure.
"""

from __future__ import annotations

import re

from yanshou.probes.texts import plain

VALUES = {
    **{str(n): n for n in range(10)},
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **{"J": 1, "K": 2, "L": 3, "M": 4, "N": 5, "P": 7, "R": 9},
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}
"""What each character counts; I, O and Q are none."""
WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
PLACE = 8
"""Of the check digit, from 0."""
_LOOKS_LIKE = re.compile(r"(?<![0-9A-Z])[0-9A-Z]{17}(?![0-9A-Z])")


def check_digit(vin: str) -> str:
    """What must stand at the ninth place of 17 characters, 0-9 or X. Raises KeyError for what no VIN holds."""
    rest = sum(VALUES[c] * weight for c, weight in zip(vin, WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def written(text: str) -> str | None:
    """The first 17 characters in a row in a text that can only be meant as a VIN, width and case apart; None without."""
    found = _LOOKS_LIKE.search(plain(text).upper())
    return found[0] if found else None


def wrong(vin: str) -> str | None:
    """What is wrong with 17 characters, in Chinese; None for nothing."""
    if strange := sorted(set(vin) - VALUES.keys()):
        return f"含有不该出现的 {'、'.join(strange)}"
    expected = check_digit(vin)
    return None if vin[PLACE] == expected else f"第 9 位校验位是 {vin[PLACE]}，按 GB 16735 应为 {expected}"
