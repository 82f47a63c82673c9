"""Identifiers that carry a check digit: whether one is well formed. It must never say that what it names exists.

Pure. Full-width characters and blanks around are the caller's to fold.
"""

from __future__ import annotations

import re
from collections.abc import Callable

VIN_VALUES = dict(zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True))
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def is_uscc(text: str) -> bool:
    """统一社会信用代码, 18 characters (GB 32100)."""
    from stdnum.cn import uscc

    return bool(uscc.is_valid(text))


def is_vin(text: str) -> bool:
    """车辆识别代号, 17 characters without I, O and Q, the ninth a check digit modulo 11 (GB 16735, ISO 3779)."""
    vin = text.upper()
    if not re.fullmatch(r"[0-9A-HJ-NPR-Z]{8}[0-9X][0-9A-HJ-NPR-Z]{8}", vin):
        return False
    return vin[8] == vin_check_digit(vin)


def vin_check_digit(vin: str) -> str:
    """What must stand at the ninth place of 17 characters. Raises KeyError for I, O, Q and whatever else no VIN holds."""
    remainder = sum(VIN_VALUES[c] * weight for c, weight in zip(vin, VIN_WEIGHTS, strict=True)) % 11
    return "0123456789X"[remainder]


def is_imei(text: str) -> bool:
    """IMEI with its check digit, 15 digits (3GPP TS 23.003, annex B)."""
    from stdnum import luhn

    return re.fullmatch(r"[0-9]{15}", text) is not None and bool(luhn.is_valid(text))


VALID: dict[str, Callable[[str], bool]] = {"uscc": is_uscc, "vin": is_vin, "imei": is_imei}
"""What a declared column check may ask for -> its test."""
