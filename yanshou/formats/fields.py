"""Decimal text in fields, many at a time: the same field of every line of a block, read by arithmetic on eight octets at once.

It is for exactness and speed: digits become whole units of the last decimal, never a rounded float on the way. It must never read
more than the field: what is not digits, or too many of them, is refused, and an empty field is empty.

Eight digits in three multiplications: D. Lemire, Number parsing at a gigabyte per second, Software: Practice and Experience 51 (2021).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMPTY = -1
"""A whole number, time or day that is not there."""
PADDING = 32
"""Octets that must follow the last field of the data."""
NS = 10**9
DAY_NS = 86_400 * NS
_ZEROS, _DOTS = 0x3030303030303030, 0x2E2E2E2E2E2E2E2E
_ALL = 0xFFFFFFFFFFFFFFFF
_ONES, _HIGH, _OVER_NINE = 0x0101010101010101, 0x8080808080808080, 0x7676767676767676
_PAIRS, _UPPER, _LOWER = 0x000000FF000000FF, 0x000F424000000064, 0x0000271000000001
_MOST_DIGITS = 18
"""More do not fit into 64 bits."""


class Spans(NamedTuple):
    """One field of n lines: where it begins in the data, and how long it is (0: empty or absent). int64, shape (n,)."""

    start: NDArray[np.int64]
    length: NDArray[np.int64]


class Decimals(NamedTuple):
    """Numbers as printed: `units` of the last of `decimals` decimals, 0 and 0 where not `given`; `ok`: empty or well written."""

    units: NDArray[np.int64]
    decimals: NDArray[np.int64]
    given: NDArray[np.bool_]
    ok: NDArray[np.bool_]

    def value(self, per: int = 1) -> NDArray[np.float64]:
        """As floats, `per` whole ones being 1, correctly rounded up to 2^53 units; NaN where not given."""
        import numpy as np

        values: NDArray[np.float64] = np.where(self.given, self.units / (per * powers()[self.decimals]), np.nan)
        return values


class _Parts(NamedTuple):
    """A number cut at its dot: digits before, their number, digits after, their number."""

    whole: NDArray[np.int64]
    before: NDArray[np.int64]
    fraction: NDArray[np.int64]
    after: NDArray[np.int64]
    ok: NDArray[np.bool_]


class Text:
    """The octets that fields lie in, with `PADDING` octets after them."""

    def __init__(self, padded: bytes) -> None:
        import numpy as np

        self.octets = np.frombuffer(padded, np.uint8)
        self._words: NDArray[np.uint64] = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))

    def words(self, start: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Eight octets from each place on, the first in the lowest bits."""
        return self._words[start]

    def text(self, span: Spans, width: int = 8) -> tuple[NDArray[np.bytes_], NDArray[np.bool_]]:
        """(up to `width` octets, a multiple of 8; whether that is all of the field)."""
        import numpy as np

        out = np.empty((span.start.size, width // 8), np.uint64)
        for k in range(width // 8):
            left = np.clip(span.length - 8 * k, 0, 8)
            out[:, k] = self.words(np.where(left > 0, span.start + 8 * k, 0)) & ~(_ALL << _bits(left))
        return out.view(f"S{width}")[:, 0], span.length <= width

    def letter(self, span: Spans, allowed: bytes) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(one octet, 0 where empty; whether it is one of `allowed` or empty)."""
        import numpy as np

        found = np.where(span.length == 0, 0, self.octets[span.start])
        known = np.zeros(256, np.bool_)
        known[[0, *allowed]] = True
        return found, known[found] & (span.length <= 1)

    def whole(self, span: Spans, most: int = 8) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(whole numbers of up to `most` <= 16 digits, EMPTY where empty; whether they are well written)."""
        value, ok = self._digits(span.start, span.length)
        value[span.length == 0] = EMPTY
        return value, ok & (span.length <= most)

    def decimal(self, span: Spans) -> Decimals:
        """Decimal numbers with or without sign and dot, up to 8 digits before the dot and 18 in all."""
        import numpy as np

        first = self.octets[span.start]
        signed = ((first == ord("-")) | (first == ord("+"))) & (span.length > 0)
        parts = self._parts(Spans(span.start + signed, span.length - signed) if signed.any() else span)
        units = parts.whole * powers()[np.minimum(parts.after, _MOST_DIGITS)] + parts.fraction
        given = span.length > 0
        digits = parts.before + parts.after
        ok = ~given | (parts.ok & (digits > 0) & (digits <= _MOST_DIGITS))
        good = given & ok
        negative = (first == ord("-")) & signed
        return Decimals(np.where(good, np.where(negative, -units, units), 0), np.where(good, parts.after, 0), good, ok)

    def clock(self, span: Spans) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(hhmmss.sss as nanoseconds of the day, EMPTY where empty; whether it is a time). Only 23:59 has a second 60."""
        import numpy as np

        parts = self._parts(span)
        hour, minutes = parts.whole // 10_000, parts.whole // 100
        minute, second = minutes - hour * 100, parts.whole - minutes * 100
        leap = (hour == 23) & (minute == 59) & (second == 60)
        ok = parts.ok & (parts.before == 6) & (parts.after <= 9) & (hour < 24) & (minute < 60) & ((second < 60) | leap)
        ns = ((hour * 60 + minute) * 60 + second) * NS + parts.fraction * powers()[9 - np.minimum(parts.after, 9)]
        empty = span.length == 0
        return np.where(ok & ~empty, ns, EMPTY), ok | empty

    def angle(self, span: Spans, most: int) -> Decimals:
        """dddmm.mmm as units of the last decimal of minutes; not ok with 60 minutes or more, or beyond `most` degrees."""
        import numpy as np

        parts = self._parts(span)
        degrees = parts.whole // 100
        minutes = parts.whole - degrees * 100
        scale = powers()[np.minimum(parts.after, 12)]
        units = (degrees * 60 + minutes) * scale + parts.fraction
        ok = parts.ok & (parts.before >= 3) & (parts.before <= 5) & (parts.after <= 12)
        ok &= (minutes < 60) & (units <= most * 60 * scale)
        given = span.length > 0
        good = given & ok
        return Decimals(np.where(good, units, 0), np.where(good, parts.after, 0), good, ok | ~given)

    def _parts(self, span: Spans) -> _Parts:
        """Cut at the dot, which must be among the first 9 octets; empty: no digits."""
        import numpy as np

        word = self.words(span.start)
        off = word ^ _DOTS
        dots = (off - _ONES) & ~off & _HIGH
        lowest = np.bitwise_count((dots & (~dots + np.uint64(1))) - np.uint64(1)) >> np.uint8(3)
        before = np.minimum(lowest, span.length)
        after = span.length - before
        eighth = (before == 8) & (after > 0)
        dotted = after > 0
        after = np.where(dotted, after - 1, 0)
        whole, ok = _digits((word ^ _ZEROS) << _bits(8 - before))
        fraction, fine = self._digits(span.start + before + 1, after)
        ok &= fine
        if eighth.any():
            ok &= ~eighth | (self.octets[span.start + before] == ord("."))
        return _Parts(whole, before, fraction, after, ok)

    def _digits(
        self, start: NDArray[np.int64], length: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(value of up to 16 digits, whether they are digits and no more than 16)."""
        import numpy as np

        if length.size == 0 or length.max() <= 8:
            return _digits((self.words(start) ^ _ZEROS) << _bits(8 - length))
        long = np.maximum(length - 8, 0)
        high, fine = _digits((self.words(start) ^ _ZEROS) << _bits(8 - np.minimum(long, 8)))
        low, good = _digits((self.words(start + long) ^ _ZEROS) << _bits(8 - (length - long)))
        return high * 10**8 + low, fine & good & (length <= 16)


def _digits(word: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(value of eight digits of value 0 to 9 each, the first in the lowest octet; whether all are digits)."""
    import numpy as np

    ok = ((word + _OVER_NINE | word) & _HIGH) == 0
    pairs = word * 10 + (word >> 8)
    value = ((pairs & _PAIRS) * _UPPER + ((pairs >> 16) & _PAIRS) * _LOWER) >> 32
    return value.view(np.int64), ok


def _bits(octets: NDArray[np.int64]) -> NDArray[np.uint64]:
    import numpy as np

    return (octets << 3).view(np.uint64)


@cache
def powers() -> NDArray[np.int64]:
    """10^0 to 10^18."""
    import numpy as np

    return 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.int64)


_HEX = bytes(int(chr(c), 16) if chr(c) in "0123456789abcdefABCDEF" else 0xFF for c in range(256))


def hex_digits(octets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Their values as hexadecimal digits, 255 where they are none."""
    import numpy as np

    return np.frombuffer(_HEX, np.uint8)[octets]


def days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(days since 1970-01-01, whether there is such a date in the years 1970 to 2262)."""
    import numpy as np

    ok = (year >= 1970) & (year <= 2262) & (month >= 1) & (month <= 12)
    months = np.where(ok, (year - 1970) * 12 + month - 1, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1, ok & (day >= 1) & (day <= following - first)
