"""Units, and the numbers that people write with them: exact conversion, and reading of targets, statistics and directions.

It is for turning `不少于10万条` into a limit without ever guessing. What can be read in two ways is refused with what to write
instead; nothing is rounded, nothing crosses a dimension (人次 is not 人). 以上, 以下, 以内 and their like include the number,
超过 and 不满 exclude it (民法典第1259条); 之内 is read as 以内.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from yanshou.harness.model import Change, Limit, Op

MAX_DIGITS = 15
"""Digits of a written number; with the largest multiplier a product still fits Decimal's 28 digits exactly."""


class UnitError(ValueError):
    """A unit that is not in the table, or two that measure different things."""


class TargetError(ValueError):
    """A target that cannot be read in exactly one way: `text` says why, `remedy` what to write instead.

    `instead`: the one readable limit within a longer text, "" where there is none, or more, or anything unclear beside it.
    """

    def __init__(self, text: str, remedy: str, instead: str = "") -> None:
        self.text = text
        self.remedy = remedy
        self.instead = instead
        super().__init__(f"{text} → {remedy}")


@dataclass(frozen=True)
class _Unit:
    """`factor`: how many of its dimension's base unit it is."""

    code: str
    dimension: str
    factor: Fraction
    spellings: tuple[str, ...]


def _of(dimension: str, *rows: tuple[str, Fraction | int, str]) -> list[_Unit]:
    return [_Unit(code, dimension, Fraction(factor), (code, *other.split())) for code, factor, other in rows]


_COUNTED = "条 人次 人 家 个 款 种 级 点位 项 次 件 辆 笔 份 户 处 场 元 分 倍"
_UNITS: tuple[_Unit, ...] = (
    *_of(
        "time",
        ("ns", Fraction(1, 10**9), "纳秒"),
        ("us", Fraction(1, 10**6), "μs 微秒"),
        ("ms", Fraction(1, 1000), "毫秒"),
        ("s", 1, "秒 秒钟 sec"),
        ("min", 60, "分钟"),
        ("h", 3600, "小时"),
        ("d", 86400, "天 日"),
    ),
    *_of(
        "length",
        ("mm", Fraction(1, 1000), "毫米"),
        ("cm", Fraction(1, 100), "厘米 公分"),
        ("m", 1, "米"),
        ("km", 1000, "千米 公里"),
    ),
    *_of(
        "area",
        ("m2", 1, "平方米 平米"),
        ("km2", 10**6, "平方公里 平方千米"),
        ("公顷", 10**4, "ha"),
        ("亩", Fraction(2000, 3), ""),
    ),
    *_of(
        "parameters",
        ("参数", 1, "个参数"),
        ("M", 10**6, "M参数 M个参数"),
        ("B", 10**9, "B参数 B个参数"),
    ),
    *_of("ratio", ("ratio", 1, "比例"), ("%", Fraction(1, 100), ""), ("‰", Fraction(1, 1000), "")),
    *_of("frequency", ("fps", 1, "Hz 赫兹 帧/秒 帧/s 帧每秒")),
    *_of("bool", ("bool", 1, "")),
    *_of("台(套)", ("台(套)", 1, "台 套 台套 台/套")),
    *(unit for code in _COUNTED.split() for unit in _of(code, (code, 1, ""))),
)
_EXACT = {spelling: unit for unit in _UNITS for spelling in unit.spellings}
_FOLDED = {spelling.casefold(): unit for spelling, unit in _EXACT.items() if spelling != "M"}
"""`2CM` and `100MS` are centimetres and milliseconds, but a lone M stays apart from m."""


def _compact(text: str) -> str:
    """NFKC without any blank, also invisible ones: ２ ｍｓ -> 2ms, 台（套） -> 台(套), µ -> μ, km² -> km2."""
    return re.sub(r"[\s\u200b-\u200d\ufeff]+", "", unicodedata.normalize("NFKC", text))


def _unit(text: str) -> _Unit:
    name = _compact(text)
    unit = _EXACT.get(name) or _FOLDED.get(name.casefold())
    if unit is None:
        raise UnitError(f"没有单位“{text}”")
    return unit


def dimension(unit: str) -> str:
    """What a unit measures. A counted unit is a dimension of its own. Raises UnitError for an unknown unit."""
    return _unit(unit).dimension


def convert(value: int | Decimal | Fraction, source: str, target: str) -> Fraction:
    """`value` of unit `source` in unit `target`, exactly. Raises UnitError across dimensions or for an unknown unit."""
    a, b = _unit(source), _unit(target)
    if a.dimension != b.dimension:
        raise UnitError(f"“{source}”与“{target}”不是同一种量，不能换算")
    return Fraction(value) * a.factor / b.factor


def rate_of_time(rate: str, time: str) -> bool:
    """True where `rate` is a unit such as fps and `time` one of time, so that a value of one is the inverse of one of the other."""
    return (dimension(rate), dimension(time)) == ("frequency", "time")


_BEFORE = {
    Op.LE: "≤ ≦ ⩽ ≯ <= =< 不超过 不大于 不高于 不多于 小于等于 小于或等于 至多 最多",
    Op.GE: "≥ ≧ ⩾ ≮ >= 不少于 不小于 不低于 大于等于 大于或等于 至少 最少",
    Op.LT: "< 小于 低于 少于 不足 不满 不到",
    Op.GT: "> 超过 大于 多于 高于",
}
_AFTER = {Op.LE: "以下 及以下 或以下 以内 之内 内", Op.GE: "以上 及以上 或以上"}
_YES = {"支持", "是", "true", "具备", "满足"}
_NO = {"不支持", "否", "false", "不具备", "不满足"}


def _words(table: dict[Op, str]) -> dict[str, Op]:
    return {word: op for op, words in table.items() for word in words.split()}


def _any_of(words: Iterable[str]) -> str:
    """A regular expression of one of `words`, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_OPS = _words(_BEFORE) | _words(_AFTER)
_ARABIC = r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?"
_MULTIPLIERS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "十万": 10**5, "百万": 10**6, "千万": 10**7,
                "亿": 10**8, "十亿": 10**9, "百亿": 10**10, "千亿": 10**11, "万亿": 10**12}  # fmt: skip
_DIGITS = "零一二三四五六七八九"
_CHINESE = f"[{_DIGITS}〇两十百千万亿]+(?:点[{_DIGITS}〇]+)?"
_TARGET = re.compile(
    r"(?:达到?|(?:提升|提高|降低|缩短)[到至])?"
    rf"(?P<before>{_any_of(_words(_BEFORE))})?"
    rf"(?:(?P<arabic>{_ARABIC})(?P<multiplier>{_any_of(_MULTIPLIERS)})?|(?P<chinese>{_CHINESE}))"
    rf"(?P<unit>{_any_of(_EXACT)})?"
    rf"(?:(?P<after>{_any_of(_words(_AFTER))})(?:\(含(?:本数)?\))?)?",
    re.IGNORECASE,
)
_INSIDE = re.compile(rf"(?:(?![0-9])|(?<![0-9.,]))(?:{_TARGET.pattern})(?![0-9a-z/每之])", re.IGNORECASE)
_NUMERAL = f"[0-9{_DIGITS}两十百千万亿]"
_REFUSED = {
    r"[0-9.]\s+[0-9.]": ("数字中间有空格", "去掉空格；两个数就分成两个指标"),
    r"[0-9]\s*[⁰¹²³⁴-⁹]|[½⅓¼¾⅔^]|[0-9]e[+-]?[0-9]|[0-9]\s*[×x*]\s*[0-9]": (
        "的数字写成了乘方、分数或科学计数",
        "写成普通数字，如 10万条 或 0.5 cm",
    ),
    r"±|\+": ("里的 ± 或 + 没有说明限值的方向", "写成 ≤ 2 cm 这样的单侧限值"),
    r"约|左右|上下|近|力争|力求|若干|优于|[多余几数][百千万亿条台个家人款种]|[十百千万亿0-9][多余来]": (
        "含糊，没有确定的界",
        "写成 ≤ 2 ms 或 ≥ 100 台(套) 这样的确定限值",
    ),
    rf"({_NUMERAL}|[a-z%条台套个家人次款种])\s*[~～–—至到-]\s*{_NUMERAL}": (
        "是一个范围",
        "只写要守住的那一端，如 ≤ 200 ms",
    ),
    rf"[-−负]\s*{_NUMERAL}": ("是负数", "目标写成非负的数"),
}
"""What looks readable but is not certain -> why, and what to write."""


def parse_target(text: str, like: Limit | None = None) -> Limit:
    """The limit that `text` states, in the unit it is written in.

    `like`, the list's limit for the same indicator, gives the comparator where the text has none, and makes 支持 or 是 a
    yes/no target where it is one. Raises TargetError for whatever can be read in more or less than one way.
    """
    plain = unicodedata.normalize("NFKC", text).strip().rstrip("。;")
    if not plain:
        raise TargetError("目标是空的", f"写上目标，如 {_example(like)}")
    if like is not None and like.unit == "bool":
        if plain.casefold() in _YES | _NO:
            return Limit(Op.EQ, plain.casefold() in _YES, "bool")
        raise TargetError(f"目标“{_shown(text)}”不是“是”或“否”", "写 支持 或 不支持，其余文字写入 note")
    _refuse_unclear(text, plain)
    compact = _compact(plain)
    match = _TARGET.fullmatch(compact)
    if match is None:
        found = limits_inside(text)
        instead = found[0] if len(found) == 1 else ""
        advice = f"“{instead}”" if instead else _example(like)
        remedy = f"只写比较词、数字和单位，如 {advice}，其余文字写入 note"
        raise TargetError(f"目标“{_shown(text)}”读不出确定的限值", remedy, instead)
    return _limit(text, match, like)


_GROW, _SHRINK = (
    ["提升", "提高", "增加", "增长", "上升", "增大"],
    ["降低", "缩短", "减少", "下降", "减小", "压缩", "节约", "节省"],
)
_CHANGE = re.compile(
    rf"(?P<share>相对)?(?P<verb>{_any_of(_GROW + _SHRINK)})了?(?![到为]|至(?![少多]))"
    rf"(?P<amount>.+?)(?P<points>个百分点)?(?P<after>{_any_of(_words(_AFTER))})?"
)
_AT_LEAST = Limit(Op.GE, Decimal(0), "%")
"""Lends its comparator to a change, or a level, that is written without one."""


def parse_change(text: str, level: str = "") -> tuple[Limit, Change] | None:
    """The change that `text` promises (缩短 30%, 提升 5 个百分点, 减少 2 h), and its limit: at least, where no comparator stands.

    None for a text that does not begin with a verb of change, or names a level (提升到 2 级), which `parse_target` reads. A
    percentage is a share of what it was before, a number of points (百分点) a difference. `level` is what is stated of before:
    of a percentage only 相对提升 is a share. Raises TargetError.
    """
    match = _CHANGE.fullmatch(_compact(text).rstrip("。;"))
    if match is None:
        return None
    verb, amount, points, after = match.group("verb", "amount", "points", "after")
    if "倍" in amount or "番" in amount:
        remedy = f"写成百分比，如 {verb} 100 %；或写{verb}到的水平"
        raise TargetError(f"目标“{_shown(text)}”的倍数有两种读法", remedy)
    limit = parse_target(f"{amount}{'%' if points else ''}{after or ''}", _AT_LEAST)
    relative = dimension(limit.unit) == "ratio" and not points
    if relative and not match["share"] and _is_percentage(level):
        remedy = f"写“{verb} {limit.value:f} 个百分点”，或“相对{verb} {limit.value:f} %”"
        raise TargetError(f"目标“{_shown(text)}”有两种读法：当前水平本身就是百分比", remedy)
    return limit, Change(verb in _GROW, relative)


def parse_promise(text: str, level: str) -> tuple[Limit, Change | None]:
    """The limit of an indicator of a project's own, on a change or on what is reached. `level` as above. Raises TargetError."""
    return parse_change(text, level) or (parse_target(text), None)


def parse_level(text: str) -> tuple[Decimal, str]:
    """(number, unit) of a level that somebody states, such as 100 s or 3万人次. Raises TargetError."""
    level = parse_target(text, _AT_LEAST)
    assert isinstance(level.value, Decimal)
    return level.value, level.unit


def _is_percentage(level: str) -> bool:
    try:
        return dimension(parse_level(level)[1]) == "ratio"
    except TargetError:
        return False


def limits_inside(text: str) -> list[str]:
    """Every part of a longer `text` that reads like a limit with comparator and unit, as it is written, without blanks."""
    return [m[0] for m in _INSIDE.finditer(_compact(text)) if m["unit"] and (m["before"] or m["after"])]


def _refuse_unclear(text: str, plain: str) -> None:
    """Raise TargetError for what looks readable but is not certain. Powers are looked for before NFKC flattens them."""
    for pattern, (why, remedy) in _REFUSED.items():
        if re.search(pattern, text, re.IGNORECASE) or re.search(pattern, plain, re.IGNORECASE):
            raise TargetError(f"目标“{_shown(text)}”{why}", remedy)
    if len(re.findall(r"(?<![0-9A-Za-z.,])[0-9]", plain)) > 1:
        raise TargetError(f"目标“{_shown(text)}”有两个以上的数", "一个指标只写一个限值；其余的另立指标或写入 define")


def _shown(text: str) -> str:
    """`text` on one line, long ones cut, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:60]}…"


def _limit(text: str, match: re.Match[str], like: Limit | None) -> Limit:
    before, after = (_OPS[word] if word else None for word in match.group("before", "after"))
    if before and after and before is not after:
        raise TargetError(f"目标“{_shown(text)}”的比较词前后矛盾", f"只留一个，如 {_example(like)}")
    value = _number(text, match)
    op = before or after or (like.op if like else None)
    if match["unit"] is None:
        sign = (op or Op.GE).sign
        raise TargetError(
            f"目标“{_shown(text)}”没有单位", f"写上单位，如 {sign} {value:f} {like.unit if like else '台(套)'}"
        )
    unit = _unit(match["unit"]).code
    if op is None:
        raise TargetError(
            f"目标“{_shown(text)}”没有比较词", f"写成 ≥ {value:f} {unit}（至少）或 ≤ {value:f} {unit}（至多）"
        )
    return Limit(op, value, unit)


def _number(text: str, match: re.Match[str]) -> Decimal:
    """The exact value of the matched number."""
    if sum(map(str.isdigit, match["arabic"] or "")) > MAX_DIGITS or len(match["chinese"] or "") > MAX_DIGITS:
        raise TargetError(f"目标“{_shown(text)}”的数字太长", f"用不超过 {MAX_DIGITS} 位的数字")
    value = _arabic(match) if match["arabic"] else _chinese(text, match["chinese"])
    return Decimal(int(value)) if value == int(value) else value


def _arabic(match: re.Match[str]) -> Decimal:
    return Decimal(match["arabic"].replace(",", "")) * _MULTIPLIERS.get(match["multiplier"], 1)


def _chinese(text: str, numeral: str) -> Decimal:
    import cn2an

    whole, _, fraction = numeral.replace("〇", "零").partition("点")
    try:  # strict refuses colloquial forms such as 一百五; of them only 两 is wanted
        integer = int(cn2an.cn2an(whole.replace("两", "二"), "strict"))
    except ValueError:
        raise TargetError(f"目标“{_shown(text)}”的中文数字读不准", "用阿拉伯数字写，如 ≥ 150 个") from None
    digits = "".join(str(_DIGITS.index(digit)) for digit in fraction)
    return Decimal(f"{integer}.{digits or 0}")


def _example(like: Limit | None) -> str:
    return "支持" if like and like.unit == "bool" else str(like) if like else "≤ 2 ms 或 ≥ 100 台(套)"


_LEVELS = {"50": "p50", "90": "p90", "95": "p95", "99": "p99", "99.9": "p99.9", "99.99": "p99.99",
           "999": "p99.9", "9999": "p99.99"}  # fmt: skip
_STATISTICS = (
    (r"(?<![a-z])p([0-9]+(?:\.[0-9]+)?)|第?([0-9]+(?:\.[0-9]+)?)(?:%|百)?分位数?|([0-9]+(?:\.[0-9]+)?)%", None),
    (r"最大值?|(?<![a-z])max(?![a-z])|(?<![a-z])maximum", "max"),
    (r"平均值?|均值|(?<![a-z])mean(?![a-z])|(?<![a-z])average|(?<![a-z])avg", "mean"),
    (r"中位数?|(?<![a-z])median|圆概率误差|(?<![a-z])cep(?:50)?(?![0-9])", "p50"),
    (r"(?<![a-z])(?:cep|r)95(?![0-9])", "p95"),
    (r"均方根误?差?|中误差|(?<![a-z0-9])d?rmse?(?![a-z])", "rms"),
)


def parse_statistic(text: str) -> str | None:
    """Code of the one statistic that `text` names (p50 p90 p95 p99 p99.9 p99.99 max mean rms tail1); None for none or several."""
    plain = _compact(text).casefold()
    plain, slowest = re.subn(r"1%-?low|最慢的?1%(?:的?平均值?)?|1%低帧(?:率|数)?", "", plain)
    found: set[str | None] = {"tail1"} if slowest else set()
    found |= {
        code or _LEVELS.get(next(group for group in match.groups() if group))
        for pattern, code in _STATISTICS
        for match in re.finditer(pattern, plain)
    }
    return found.pop() if len(found) == 1 else None


def parse_direction(text: str) -> str | None:
    """`round_trip` or `one_way`; None where `text` names neither or both, or speaks of half a round trip."""
    plain = re.sub(r"[-‐‑–_]", "", _compact(text).casefold())
    both_ways = re.search(r"往返|来回|环回|roundtrip|(?<![a-z])rtt", plain)
    one_way = re.search(r"单向|单程|oneway|(?<![a-z])owd", plain)
    if bool(both_ways) == bool(one_way) or re.search(r"一半|半程|/2|1⁄2|除以2|除以二", plain):
        return None
    return "round_trip" if both_ways else "one_way"
