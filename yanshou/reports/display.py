"""How a number or a text of the record is printed. The one place for it, whatever the output.

It rounds for the eye only (half-even, on the exact decimal value) and must never let rounding move a number onto or across
its limit, never compute a result, and never print a character that would not be seen as what it is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Any, TypeAlias

from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.model import Op, Verdict
from yanshou.reports.font import glyphs

Data: TypeAlias = Mapping[str, Any]

NOTHING = "—"
SIGNIFICANT = 4
"""Digits of a measured number, unless its limit asks for more."""
BEIJING = timedelta(hours=8)
EXACT = Context(prec=1100, Emax=10**6, Emin=-(10**6))
"""Enough for every float written out in full."""

MARKS = {Verdict.PASS: "✓", Verdict.INCONCLUSIVE: "△", Verdict.NOT_RUN: "○", Verdict.INVALID: "◇", Verdict.FAIL: "×"}
"""A shape beside every verdict word, so that no verdict rests on colour."""


def display(value: float | int | bool | None, limit: Data | None = None, digits: int = SIGNIFICANT) -> str:
    """`value` for the eye: integers whole, others to `digits` significant digits, more where the limit is near.

    The printed number stands on the same side of `limit["value"]` as the exact one: 2.0004 against 2 is "2.0004", and only
    what equals the limit is printed equal to it. Tiny and huge numbers are written as 1.234e-9.
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "是" if value else "否"
    exact = Decimal(repr(value))
    if isinstance(value, int) or not exact:
        return _minus(f"{exact + 0:,.0f}")
    bound = None if limit is None or isinstance(limit["value"], bool) else Decimal(repr(limit["value"]))
    while True:
        step = Decimal(1).scaleb(min(0, exact.adjusted() + 1 - digits), EXACT)
        rounded = exact.quantize(step, ROUND_HALF_EVEN, EXACT)
        if bound is None or (rounded < bound, rounded > bound) == (exact < bound, exact > bound):
            break
        digits += 1
    if -7 < exact.adjusted() < 16:
        return _minus(f"{rounded:,f}")
    mantissa, _, exponent = f"{rounded.normalize(EXACT):e}".partition("e")
    return _minus(f"{mantissa}e{int(exponent)}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def unit_text(unit: str) -> str:
    """A unit's code as it is printed: km² for km2."""
    return {"m2": "m²", "km2": "km²"}.get(unit, unit)


def quantity(value: float | int | bool | None, unit: str, limit: Data | None = None, digits: int = SIGNIFICANT) -> str:
    """A number with its unit, kept together by a no-break space."""
    if value is None or isinstance(value, bool) or unit == "bool":
        return display(value)
    return f"{display(value, limit, digits)}\u00a0{unit_text(unit)}"


def signed(margin: float | int | None, unit: str) -> str:
    """A margin with its sign and unit; what is not zero is never printed as zero."""
    text = quantity(margin, unit, {"value": 0}, 3)
    return f"+{text}" if margin is not None and margin > 0 else text


def limit_text(limit: Data | None) -> str:
    """`≤ 2 ms`, or 应具备 for a yes/no indicator."""
    if limit is None:
        return NOTHING
    if isinstance(limit["value"], bool):
        return "应具备" if limit["value"] else "应不具备"
    return f"{Op(limit['op']).sign}\u00a0{exactly(limit['value'])}\u00a0{unit_text(limit['unit'])}"


def exactly(value: float | int) -> str:
    """All digits of a number that somebody wrote down (a limit, a level): nothing rounded."""
    return _minus(f"{Decimal(repr(value)):,f}")


def percent(share: float, rounding: str = ROUND_FLOOR) -> str:
    """0.95 -> 95%, 0.98333… -> 98.33%: two decimals, cut, so that no confidence is overstated; no trailing zeros.

    A risk is rounded up (`rounding`), so that none is understated.
    """
    exact = (Decimal(repr(share)) * 100).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)  # 0.95 is not 0.9499999999999999
    return f"{exact.quantize(Decimal('0.01'), rounding).normalize():f}%"


def level(alpha: float) -> str:
    """A significance level, three digits, no trailing zeros: 0.05, 0.0167."""
    return f"{Decimal(display(alpha, digits=3)).normalize():f}"


def left_out(count: int) -> str:
    """A number of things taken away: −12, and 0 without a sign."""
    return display(-count)


def confidence_of(alpha: float) -> str:
    """The confidence of a bound at one-sided level `alpha`."""
    return percent(float(1 - Decimal(repr(alpha))))


def statistic_word(statistic: str | None) -> str:
    """The Chinese word for a statistic's code; percentiles are written P99."""
    words = {
        "mean": "平均值", "max": "最大值", "rms": "均方根", "count": "计数", "items": "符合项数",
        "tail1": "最慢 1% 的平均", "declared": "自报",
    }  # fmt: skip
    return NOTHING if statistic is None else words.get(statistic, statistic.upper())


def verdict_text(verdict: str) -> str:
    """Mark and word of a verdict's code."""
    return f"{MARKS[Verdict(verdict)]} {Verdict(verdict).word}"


def moment(utc: str | None) -> str:
    """An ISO 8601 UTC time as Beijing time to the second, — where there is none."""
    return f"{datetime.fromisoformat(utc) + BEIJING:%Y-%m-%d %H:%M:%S}" if utc else NOTHING


def day(utc: str | None) -> str:
    """An ISO 8601 UTC time as a Chinese date in Beijing; a plain date is taken as it is."""
    if not utc:
        return NOTHING
    time = datetime.fromisoformat(utc)
    time = time + BEIJING if time.tzinfo else time
    return f"{time.year}年{time.month}月{time.day}日"


def fit(value: Json) -> Json:
    """`value` with every text printable: what is invisible, or a symbol that the font lacks, becomes `[U+202E]`.

    A letter that the font lacks stops the report, since a name must not be mutilated. Raises UserError E-GLYPH.
    """
    problems: list[Problem] = []
    fitted = _fit(value, "", problems)
    if problems:
        raise UserError(problems)
    return fitted


def _fit(value: Json, place: str, problems: list[Problem]) -> Json:
    if isinstance(value, str):
        missing = sorted({c for c in value if _is_missing_letter(c)})
        if missing:
            named = "、".join(f"“{c}”（U+{ord(c):04X}）" for c in missing)
            problems.append(
                Problem("E-GLYPH", f"{place}：报告字库里没有 {named}", "在案卷里改用字库有的字，如规范简体字")
            )
        return "".join(_printable(value.replace("\r\n", "\n")))
    if isinstance(value, Mapping):
        return {
            _fit(k, f"{place}（键）", problems): _fit(v, f"{place}.{k}" if place else str(k), problems)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_fit(v, f"{place}[{i}]", problems) for i, v in enumerate(value)]
    return value


def _is_missing_letter(character: str) -> bool:
    return unicodedata.category(character).startswith("L") and ord(character) not in glyphs()


def _printable(text: str) -> Iterator[str]:
    for character in text:
        category = unicodedata.category(character)
        if character == "\n" or (ord(character) in glyphs() and category not in ("Cc", "Cf", "Co", "Zl", "Zp")):
            yield character
        elif category == "Zs" or character == "\t":
            yield " "
        else:
            yield f"[U+{ord(character):04X}]"
