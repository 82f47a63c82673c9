"""Units convert exactly and never across dimensions; targets are read in exactly one way or refused with what to write."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import cn2an
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanshou.harness.model import Limit, Op
from yanshou.harness.units import (
    TargetError,
    UnitError,
    convert,
    dimension,
    parse_direction,
    parse_statistic,
    parse_target,
)

LATENCY = Limit(Op.LE, Decimal(2), "ms")
VISITS = Limit(Op.GE, Decimal(500000), "人次")
GUOMI = Limit(Op.EQ, True, "bool")
MEASURED = "ns us ms s min h d mm cm m km m2 km2 公顷 亩 参数 M B ratio % ‰ bool"
COUNTED = "条 人次 人 台(套) 家 个 款 种 级 点位 项 次 件 辆 笔 份 户 处 场 元 分 倍"
UNITS = MEASURED.split() + COUNTED.split()
WORDS = {
    Op.LE: (["≤", "<=", "不超过", "不大于", "至多", "最多", "小于等于"], ["以下", "以内", "之内"]),
    Op.GE: (["≥", ">=", "不少于", "不低于", "至少", "大于等于", "达到≥"], ["以上", "及以上"]),
    Op.LT: (["<", "小于", "低于", "少于", "不满"], []),
    Op.GT: ([">", "超过", "大于", "多于"], []),
}


@settings(deadline=None)
@given(st.fractions(), st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_conversion_round_trips_exactly_or_is_refused(value: Fraction, source: str, target: str) -> None:
    if dimension(source) == dimension(target):
        assert convert(convert(value, source, target), target, source) == value
    else:
        with pytest.raises(UnitError):
            convert(value, source, target)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (2, "ms", "us", 2000),
        (Decimal("0.5"), "cm", "mm", 5),
        (1, "h", "s", 3600),
        (10, "平方公里", "公顷", 1000),
        (3, "亩", "m2", 2000),
        (7, "B", "M", 7000),
        (Decimal("99.9"), "%", "ratio", Fraction(999, 1000)),
        (100, "台（套）", "套", 100),
        (1, "ＭＳ", "μs", 1000),
        (1, "µs", "ns", 1000),
    ],
)
def test_known_conversions(value: Decimal | int, source: str, target: str, expected: Fraction | int) -> None:
    assert convert(value, source, target) == expected


def test_visits_are_not_people_and_a_model_size_is_not_a_length() -> None:
    for source, target in (("人次", "人"), ("台(套)", "点位"), ("M", "m"), ("个", "条"), ("ms", "mm")):
        with pytest.raises(UnitError, match="不是同一种量"):
            convert(1, source, target)


def test_unknown_unit() -> None:
    with pytest.raises(UnitError, match="没有单位“光年”"):
        dimension("光年")


@st.composite
def written_targets(draw: st.DrawFn) -> tuple[str, Limit]:
    op = draw(st.sampled_from(list(WORDS)))
    prefixes, suffixes = WORDS[op]
    prefix, suffix = draw(st.sampled_from([(p, "") for p in prefixes] + [("", s) for s in suffixes]))
    unit = draw(st.sampled_from([u for u in UNITS if u != "bool"]))
    value = draw(st.decimals(0, 10**9, places=draw(st.integers(0, 4)), allow_nan=False, allow_infinity=False))
    space = draw(st.sampled_from(["", " ", "　", "\u200b"]))
    return f"{prefix}{space}{value:f}{space}{unit}{suffix}", Limit(op, value, unit)


@settings(deadline=None)
@given(written_targets())
def test_a_written_target_is_read_back(case: tuple[str, Limit]) -> None:
    text, limit = case
    assert parse_target(text) == limit
    assert parse_target(str(parse_target(text))) == limit


@settings(deadline=None)
@given(st.integers(0, 10**12))
def test_chinese_numerals(number: int) -> None:
    numeral = cn2an.an2cn(number)
    if len(numeral) <= 15:
        assert parse_target(f"不少于{numeral}条") == Limit(Op.GE, Decimal(number), "条")


@settings(deadline=None)
@given(st.text(alphabet="0123456789.,万亿千百十一二两点零≤≥<>-~±+^²m scCMB台套条以内上不少超过个（）约 ", max_size=14))
def test_any_text_is_read_or_refused_with_a_remedy(text: str) -> None:
    try:
        limit = parse_target(text)
    except TargetError as refused:
        said = (refused.text, refused.remedy)
        assert all(said)
    else:
        assert parse_target(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "op", "value", "unit"),
    [
        ("≤2 ms", Op.LE, "2", "ms"),
        ("２ｍｓ以内", Op.LE, "2", "ms"),
        ("2毫秒之内", Op.LE, "2", "ms"),
        ("2 MS 以内。", Op.LE, "2", "ms"),
        ("不少于10万条", Op.GE, "100000", "条"),
        ("不少于 １０ 万 条", Op.GE, "100000", "条"),
        ("≥100,000条", Op.GE, "100000", "条"),
        ("至少一百台", Op.GE, "100", "台(套)"),
        ("不少于 100 台（套）以上", Op.GE, "100", "台(套)"),
        ("至少两百家", Op.GE, "200", "家"),
        ("7B参数以上", Op.GE, "7", "B"),
        ("700M参数以上", Op.GE, "700", "M"),
        ("70亿个参数以上", Op.GE, "7000000000", "参数"),
        ("不小于 7b", Op.GE, "7", "B"),
        ("3种及以上", Op.GE, "3", "种"),
        ("提升到二级以上", Op.GE, "2", "级"),
        ("五点位以上（含）", Op.GE, "5", "点位"),
        ("10km²以上", Op.GE, "10", "km2"),
        ("≥10㎢", Op.GE, "10", "km2"),
        ("≥五千米", Op.GE, "5000", "m"),
        ("≥1.5万元", Op.GE, "15000", "元"),
        ("不低于98.5％", Op.GE, "98.5", "%"),
        ("≯0.5cm", Op.LE, "0.5", "cm"),
        ("不满2ms", Op.LT, "2", "ms"),
        ("少于三天", Op.LT, "3", "d"),
        ("超过100台", Op.GT, "100", "台(套)"),
        ("多于五款", Op.GT, "5", "款"),
    ],
)
def test_what_people_write(text: str, op: Op, value: str, unit: str) -> None:
    assert parse_target(text) == Limit(op, Decimal(value), unit)


@pytest.mark.parametrize(
    ("text", "like", "expected"),
    [
        ("0.5cm", Limit(Op.LE, Decimal("0.5"), "cm"), Limit(Op.LE, Decimal("0.5"), "cm")),
        ("50 万人次", VISITS, Limit(Op.GE, Decimal(500000), "人次")),
        ("达到60万人次", VISITS, Limit(Op.GE, Decimal(600000), "人次")),
        ("1.5 毫秒", LATENCY, Limit(Op.LE, Decimal("1.5"), "ms")),
        ("1500us", LATENCY, Limit(Op.LE, Decimal(1500), "us")),
        ("2ms以上", LATENCY, Limit(Op.GE, Decimal(2), "ms")),
        ("支持", GUOMI, Limit(Op.EQ, True, "bool")),
        ("是", GUOMI, Limit(Op.EQ, True, "bool")),
        ("True", GUOMI, Limit(Op.EQ, True, "bool")),
        ("不支持", GUOMI, Limit(Op.EQ, False, "bool")),
    ],
)
def test_the_list_gives_the_direction(text: str, like: Limit, expected: Limit) -> None:
    assert parse_target(text, like) == expected


@pytest.mark.parametrize(
    ("text", "why", "remedy"),
    [
        ("0.5cm", "没有比较词", "≥ 0.5 cm（至少）或 ≤ 0.5 cm（至多）"),
        ("≥100", "没有单位", "≥ 100 台(套)"),
        ("", "是空的", "≤ 2 ms"),
        ("支持", "读不出", "≤ 2 ms"),
        ("95%以上的请求≤100ms", "两个以上的数", "一个指标只写一个限值"),
        ("2CM（水平）/4CM（垂直）", "两个以上的数", "一个指标只写一个限值"),
        ("①不少于10万条", "两个以上的数", "一个指标只写一个限值"),
        ("2.5ms 3.5ms", "两个以上的数", "一个指标只写一个限值"),
        ("传输时延 2 毫秒之内", "读不出", "“2毫秒之内”"),
        ("在车端部署7B参数以上的大模型", "读不出", "“7B参数以上”"),
        ("P99≤2ms", "读不出", "“≤2ms”"),
        ("≥10万次/年", "读不出", "≤ 2 ms 或 ≥ 100 台(套)"),
        ("100~200ms", "范围", "那一端"),
        ("100-200ms", "范围", "那一端"),
        ("100ms至200ms", "范围", "那一端"),
        ("两到三家", "范围", "那一端"),
        ("-5 ms", "负数", "非负"),
        ("不少于2ms以内", "前后矛盾", "只留一个"),
        ("超过100台以上", "前后矛盾", "只留一个"),
        ("超过100台（含）", "读不出", "超过100台"),
        ("约2ms", "含糊", "确定限值"),
        ("100余台", "含糊", "确定限值"),
        ("十几台", "含糊", "确定限值"),
        ("优于2cm", "含糊", "确定限值"),
        ("±2cm", "没有说明限值的方向", "单侧"),
        ("2cm+1ppm", "没有说明限值的方向", "单侧"),
        ("≥10⁵条", "乘方", "10万条"),
        ("≥1e5条", "乘方", "10万条"),
        ("≥½ h", "乘方、分数", "0.5"),
        ("1 000条以上", "数字中间有空格", "去掉空格"),
        ("≥10,00条", "读不出", "如"),
        ("≥1.2.3个", "读不出", "如"),
        ("一百五家以上", "中文数字读不准", "阿拉伯数字"),
        ("≥1234567890123456条", "太长", "15 位"),
        ("≥10光年", "读不出", "如"),
    ],
)
def test_what_is_ambiguous_is_refused_with_what_to_write(text: str, why: str, remedy: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(text)
    assert why in caught.value.text
    assert remedy in caught.value.remedy
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("text", "like", "remedy"),
    [
        ("≤ 2", LATENCY, "≤ 2 ms"),
        ("60万", VISITS, "≥ 600000 人次"),
        ("支持国密", GUOMI, "写 支持 或 不支持"),
        ("≥5个", GUOMI, "写 支持 或 不支持"),
        ("达标", LATENCY, "≤ 2 ms"),
    ],
)
def test_the_remedy_speaks_of_the_list(text: str, like: Limit, remedy: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(text, like)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("P50", "p50"),
        ("中位数", "p50"),
        ("p90", "p90"),
        ("P95，窗口 10 分钟", "p95"),
        ("95%", "p95"),
        ("Ｐ99（丢包计入）", "p99"),
        ("99分位", "p99"),
        ("第99百分位数", "p99"),
        ("P99.9", "p99.9"),
        ("P999", "p99.9"),
        ("99.9%", "p99.9"),
        ("p99.99", "p99.99"),
        ("最大值", "max"),
        ("MAX", "max"),
        ("平均", "mean"),
        ("均值", "mean"),
        ("mean", "mean"),
        ("RMS", "rms"),
        ("均方根误差", "rms"),
        ("RMSE", "rms"),
        ("中误差", "rms"),
        ("DRMS", "rms"),
        ("CEP50", "p50"),
        ("圆概率误差", "p50"),
        ("CEP95", "p95"),
        ("R95", "p95"),
        ("P99 和最大值", None),
        ("P99，丢包率≤0.1%", None),
        ("p98", None),
        ("1σ", None),
        ("2DRMS", None),
        ("CEP90", None),
        ("RMS 与 95%", None),
        ("1%-low", "tail1"),
        ("1% Low 帧率", "tail1"),
        ("最慢的1%的平均", "tail1"),
        ("最慢1%", "tail1"),
        ("1%-low 与 P99", None),
        ("按约定", None),
        ("", None),
    ],
)
def test_statistics(text: str, code: str | None) -> None:
    assert parse_statistic(text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("往返", "round_trip"),
        ("RTT（终端到 MEC）", "round_trip"),
        ("环回测得", "round_trip"),
        ("Round-Trip", "round_trip"),
        ("单向", "one_way"),
        ("one way", "one_way"),
        ("One-Way delay", "one_way"),
        ("往返与单向", None),
        ("RTT/2", None),
        ("往返的一半", None),
        ("单向（往返除以2）", None),
        ("端到端", None),
        ("", None),
    ],
)
def test_directions(text: str, code: str | None) -> None:
    assert parse_direction(text) == code
