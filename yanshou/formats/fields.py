"""Decimal text in fields, many at a time: the same fields of many lines, read by arithmetic on eight octets at once.

It is for exactness and speed: digits become whole units of the last decimal, never a rounded float on the way. It must never read
more than the field: what is not digits, or too many of them, is refused, and an empty field is empty.

Eight digits in three multiplications: D. Lemire, Number parsing at a gigabyte per second, Software: Practice and
Experience 51 (2021).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMPTY = -1
"""A whole number, time or day that is not there."""
PADDING = 64
"""Octets that must follow the last field of the data: more than are read beyond it, and than a sentence has fields."""
NS = 10**9
_ZEROS, _DOTS = 0x3030303030303030, 0x2E2E2E2E2E2E2E2E
_ONES, _HIGH, _OVER_NINE, _ALL = 0x0101010101010101, 0x8080808080808080, 0x7676767676767676, 0xFFFFFFFFFFFFFFFF
_PAIRS, _UPPER, _LOWER = 0x000000FF000000FF, 0x000F424000000064, 0x0000271000000001
_MOST_DIGITS = 18
"""More do not fit into 64 bits."""
_HEX = bytes(int(chr(c), 16) if chr(c) in "0123456789abcdefABCDEF" else 0xFF for c in range(256))


class Spans(NamedTuple):
    """Fields: where each begins in the data, and how long it is (0: empty or absent)."""

    start: NDArray[np.int64]
    length: NDArray[np.int64]


class Parts(NamedTuple):
    """Numbers cut at the dot: digits before it and their number, digits after and their number; sign (-1, 1; 0: none); length of
    the field; `ok`: nothing but that, and no more than fits."""

    whole: NDArray[np.int64]
    before: NDArray[np.int64]
    fraction: NDArray[np.int64]
    after: NDArray[np.int64]
    sign: NDArray[np.int8]
    length: NDArray[np.int64]
    ok: NDArray[np.bool_]

    def row(self, number: int) -> Parts:
        """One row of them."""
        return Parts(*(part[number] for part in self))


class Decimals(NamedTuple):
    """Numbers as printed: `units` of the last of `decimals` decimals, 0 and 0 where not `given`; `ok`: empty or well written."""

    units: NDArray[np.int64]
    decimals: NDArray[np.int64]
    given: NDArray[np.bool_]
    ok: NDArray[np.bool_]

    def value(self, per: int = 1) -> NDArray[np.float64]:
        """As floats, `per` whole ones being 1, correctly rounded up to 2^53 units; NaN where not given."""
        import numpy as np

        values: NDArray[np.float64] = self.units / (powers()[self.decimals] * per)
        return values if self.given.all() else np.where(self.given, values, np.nan)


class Text:
    """The octets that fields lie in, with `PADDING` octets behind them."""

    def __init__(self, padded: bytes) -> None:
        import numpy as np

        self.octets = np.frombuffer(padded, np.uint8)

        self._words: NDArray[np.uint64] = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
        self._halves: NDArray[np.uint32] = np.ndarray((len(padded) - 3,), "<u4", padded, strides=(1,))

    def words(self, start: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Eight octets from each place on, the first in the lowest bits."""
        return self._words[start]

    def texts(self, span: Spans, width: int) -> tuple[NDArray[np.bytes_], NDArray[np.bool_]]:
        """(up to `width` octets, a multiple of 8, of each; whether that is all of it); shape (n,)."""
        import numpy as np

        out = np.empty((span.start.size, width // 8), np.uint64)
        for k in range(width // 8):
            left = np.clip(span.length - 8 * k, 0, 8)
            out[:, k] = self.words(np.where(left > 0, span.start + 8 * k, 0)) & ~(_ALL << _bits(left))
        return out.view(f"S{width}")[:, 0], span.length <= width

    def letters(self, span: Spans) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(the octet, 0 where empty; whether it is only one)."""
        return self.octets[span.start] * (span.length > 0), span.length <= 1

    def wholes(self, span: Spans) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(whole numbers of up to 16 digits, EMPTY where empty; whether they are that)."""
        import numpy as np

        if span.length.size and span.length.max() <= 4:
            shift = 32 - (span.length.astype("<u4") << 3)
            half = (self._halves[span.start] ^ (_ZEROS & 0xFFFFFFFF)) << shift
            ok = ((half + (_OVER_NINE & 0xFFFFFFFF) | half) & (_HIGH & 0xFFFFFFFF)) == 0
            pairs = half * 10 + (half >> 8)
            value = (pairs & 0xFF) * 100 + (pairs >> 16 & 0xFF) - (span.length == 0)
            return value.view("<i4").astype(np.int64), ok
        value, ok = self._digits(span.start, span.length)
        return value - (span.length == 0), ok

    def numbers(self, span: Spans) -> Decimals:
        """Decimal numbers with or without sign and dot, up to 8 digits before the dot and 18 in all; shape (k, n)."""
        import numpy as np

        long = span.length.max(axis=1, initial=0) > 8
        if long.all():
            return decimals(self.parts(span))
        if not long.any():
            return self._short(span)
        found = self._short(Spans(span.start[~long], span.length[~long]))
        cut = decimals(self.parts(Spans(span.start[long], span.length[long])))
        order = np.argsort(np.argsort(long, kind="stable"))
        return Decimals._make(np.concatenate(both)[order] for both in zip(found, cut, strict=True))

    def _short(self, span: Spans) -> Decimals:
        """Numbers of up to 8 octets: the dot is taken out of the word, and the rest is read at once."""
        import numpy as np

        sign, _, length, word = self._signs(span)
        word = word << _bits(8 - length)
        off = word ^ _DOTS
        dots = (off - _ONES) & ~off & _HIGH
        dotted = dots != 0
        dot = (dots & (~dots + 1)) >> 7
        below = dot - 1
        after = (7 - (np.bitwise_count(below) >> 3).view(np.int8)) * dotted
        word = (word & below) << (dotted.view(np.uint8) * np.uint64(8)) | word & ~(below | dot * 0xFF)
        digits = length - dotted
        units, ok = _digits(word ^ (_ZEROS << _bits(8 - digits)))
        given = span.length > 0
        ok &= (digits > 0) | ~given
        good = given & ok
        return Decimals(units * np.where(sign < 0, -1, 1) * good, after * good, good, ok)

    def _signs(self, span: Spans) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        """(-1, 1, or 0 where there is none; start and length without it; eight octets from there on), shape (k, n)."""
        import numpy as np

        start, length = span
        word = self.words(start)
        sign = np.zeros(start.shape, np.int8)
        if (rows := (word & 0xF9 == ord("+") & 0xF9).any(axis=1)).any():
            first = (word[rows] & 0xFF) * (length[rows] > 0)
            sign[rows] = (first == ord("+")).astype(np.int8) - (first == ord("-"))
            start, length = start + np.abs(sign), length - np.abs(sign)
            word[rows] = self.words(start[rows])
        return sign, start, length, word

    def parts(self, span: Spans) -> Parts:
        """The same, up to 8 digits before the dot and 16 after, cut at it."""
        import numpy as np

        sign, start, length, word = self._signs(span)
        off = word ^ _DOTS
        dots = (off - _ONES) & ~off & _HIGH
        before = np.minimum(np.bitwise_count((dots & (~dots + 1)) - 1) >> 3, length)
        rest = length - before
        whole, ok = _digits((word ^ _ZEROS) << _bits(8 - before))
        after = np.maximum(rest - 1, 0)
        fraction, fine = self._digits(start + (length - after), after)
        ok &= fine
        if (crowded := (before == 8) & (rest > 0)).any():
            ok &= ~crowded | (self.octets[start + before] == ord("."))
        return Parts(whole, before, fraction, after, sign, span.length, ok)

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


def decimals(parts: Parts) -> Decimals:
    """Numbers with up to 18 digits."""
    import numpy as np

    units = parts.whole * powers()[np.minimum(parts.after, _MOST_DIGITS)] + parts.fraction
    given = parts.length > 0
    digits = parts.before + parts.after
    ok = parts.ok & (digits > 0) & (digits <= _MOST_DIGITS)
    good = given & ok
    units = units * np.where(parts.sign < 0, -1, 1) * good
    return Decimals(units, parts.after * good, good, ok | ~given)


def clocks(parts: Parts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(hhmmss.sss as nanoseconds of the day, EMPTY where empty; whether it is a time). Only 23:59 has a second 60."""
    import numpy as np

    hour, minutes = parts.whole // 10_000, parts.whole // 100
    minute, second = minutes - hour * 100, parts.whole - minutes * 100
    leap = parts.whole == 23_59_60
    ok = parts.ok & (parts.before == 6) & (parts.after <= 9) & (parts.sign == 0)
    ok &= (hour < 24) & (minute < 60) & ((second < 60) | leap)
    ns = ((hour * 60 + minute) * 60 + second) * NS + parts.fraction * powers()[9 - np.minimum(parts.after, 9)]
    return np.where(ok, ns, EMPTY), ok | (parts.length == 0)


def angles(parts: Parts, most: int) -> Decimals:
    """dddmm.mmm as units of the last decimal of minutes; not ok with 60 minutes or more, or beyond `most` degrees."""
    import numpy as np

    degrees = parts.whole // 100
    minutes = parts.whole - degrees * 100
    scale = powers()[np.minimum(parts.after, 12)]
    units = (degrees * 60 + minutes) * scale + parts.fraction
    good = parts.ok & (parts.before >= 3) & (parts.before <= 5) & (parts.after <= 12) & (parts.sign == 0)
    good &= (minutes < 60) & (units <= most * 60 * scale)
    return Decimals(units * good, parts.after * good, good, good | (parts.length == 0))


def days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(days since 1970-01-01, whether there is such a date in the years 1970 to 2261)."""
    import numpy as np

    ok = (year >= 1970) & (year <= 2261) & (month >= 1) & (month <= 12)
    months = np.where(ok, (year - 1970) * 12 + month - 1, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1, ok & (day >= 1) & (day <= following - first)


def hex_digits(octets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Their values as hexadecimal digits, 255 where they are none."""
    import numpy as np

    return np.frombuffer(_HEX, np.uint8)[octets]


@cache
def powers() -> NDArray[np.int64]:
    """10^0 to 10^18."""
    import numpy as np

    return 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.int64)


def _digits(word: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(number of eight digits, each of value 0 to 9, the first in the lowest octet; whether they are digits)."""
    import numpy as np

    ok = ((word + _OVER_NINE | word) & _HIGH) == 0
    pairs = word * 10 + (word >> 8)
    value = ((pairs & _PAIRS) * _UPPER + ((pairs >> 16) & _PAIRS) * _LOWER) >> 32
    return value.view(np.int64), ok


def _bits(octets: NDArray[np.int64]) -> NDArray[np.uint64]:
    import numpy as np

    return (octets << 3).view(np.uint64)
