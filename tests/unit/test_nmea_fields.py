"""Fields: every number exactly, beside Python's own arithmetic; whatever is none is refused."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanshou.formats.fields import EMPTY, PADDING, Decimals, Parts, Spans, Text, angles, clocks, days


def text_of(fields: list[str]) -> tuple[Text, Spans]:
    """The fields as a line of commas, and where they are, shape (1, n)."""
    lengths = np.array([len(f.encode("latin-1")) for f in fields])
    starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    return Text(",".join(fields).encode("latin-1") + b"," + bytes(PADDING)), Spans(starts[None], lengths[None])


def parts_of(fields: list[str]) -> Parts:
    text, spans = text_of(fields)
    return text.parts(spans).row(0)


def numbers_of(fields: list[str]) -> Decimals:
    """Read alone, where short ones go their own way, and together, where one long field takes all with it."""
    text, spans = text_of(fields)
    alone = [text.numbers(Spans(spans.start[:, k : k + 1], spans.length[:, k : k + 1])) for k in range(len(fields))]
    together = text.numbers(spans)
    for whole, pieces in zip(together, zip(*alone, strict=True), strict=True):
        assert whole[0].tolist() == [piece[0, 0] for piece in pieces]
    return Decimals(*(column[0] for column in together))


NUMBERS = st.from_regex(r"[+-]?(?:[0-9]{1,8}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})", fullmatch=True)


@given(st.lists(NUMBERS, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_numbers_are_exactly_what_is_printed(fields: list[str]) -> None:
    found = numbers_of(fields)
    assert found.ok.all()
    for field, value in zip(fields, found.value(), strict=True):
        few = sum(c.isdigit() for c in field) <= 15
        assert value == (float(field) if few else pytest.approx(float(field), rel=3e-16))
    exact = [Decimal(int(u)).scaleb(-int(d)) for u, d in zip(found.units, found.decimals, strict=True)]
    assert exact == [Decimal(f) for f in fields]
    assert found.decimals.tolist() == [len(f.partition(".")[2]) for f in fields]


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters=","), max_size=20), min_size=1, max_size=8))
@example(["." + "0" * 19])
@settings(max_examples=100, deadline=None)
def test_what_is_no_number_is_refused(fields: list[str]) -> None:
    import re

    found = numbers_of(fields)
    for field, ok, given_, units in zip(fields, found.ok, found.given, found.units, strict=True):
        well = re.fullmatch(r"[+-]?(?=\.?[0-9])[0-9]{0,8}(\.[0-9]{0,16})?", field, re.ASCII)
        few = sum(c.isdigit() for c in field) <= 18
        assert ok == (field == "" or (bool(well) and few)), field
        assert given_ == (ok and field != "")
        assert ok or units == 0


@given(st.lists(st.from_regex(r"[0-9]{0,16}", fullmatch=True), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_whole_numbers(fields: list[str]) -> None:
    text, spans = text_of(fields)
    value, ok = text.wholes(spans)
    assert ok.all()
    assert value[0].tolist() == [int(f) if f else EMPTY for f in fields]


@pytest.mark.parametrize("field", ["1a", "-1", "1.0", " 1", "12345678901234567", "\x801", "9:", "/9"])
def test_no_whole_number(field: str) -> None:
    text, spans = text_of(["12", field, "3"])
    assert text.wholes(spans)[1].tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("000000", 0), ("235959.999", 86399.999), ("235960.00", 86400), ("235960.999999999", 86400.999999999), ("120000.", 43200),
    ],
)  # fmt: skip
def test_times(field: str, seconds: float) -> None:
    ns, ok = clocks(parts_of([field, ""]))
    assert ok.tolist() == [True, True]
    assert ns.tolist() == [round(seconds * 1e9), EMPTY]


@pytest.mark.parametrize(
    "field",
    ["240000", "236000", "125960", "006000", "235961", "12000", "1200000", "-120000", "12:00:0", "120000.0000000001"],
)
def test_no_times(field: str) -> None:
    ns, ok = clocks(parts_of([field]))
    assert (ns.tolist(), ok.tolist()) == ([EMPTY], [False])


@pytest.mark.parametrize(
    ("field", "most", "units", "after"),
    [
        ("3031.6680000", 90, 18316680000, 7), ("9000.000", 90, 5400000, 3), ("18000", 180, 10800, 0), ("00000.1", 180, 1, 1),
        ("101.5", 180, 615, 1),
    ],
)  # fmt: skip
def test_angles(field: str, most: int, units: int, after: int) -> None:
    found = angles(parts_of([field, ""]), most)
    assert (found.ok.tolist(), found.given.tolist()) == ([True, True], [True, False])
    assert (found.units[0], found.decimals[0]) == (units, after)
    assert np.isnan(found.value()[1])


@pytest.mark.parametrize(
    "field", ["4460.5", "3099.99", "9000.001", "9100.0", "30", "-3031.0", "303166.8", "3031.6a", "3031,6"]
)
def test_no_angles(field: str) -> None:
    assert not angles(parts_of([field]), 90).ok[0]


def test_days_are_those_of_the_calendar() -> None:
    dates = [date(1970, 1, 1) + timedelta(days=n) for n in range(0, 100_000, 7)]
    found, ok = days(*(np.array([getattr(d, part) for d in dates]) for part in ("year", "month", "day")))
    assert ok.all()
    assert found.tolist() == [d.toordinal() - 719163 for d in dates]
    for year, month, day in (
        (2023, 2, 29),
        (2024, 2, 30),
        (2024, 13, 1),
        (2024, 0, 1),
        (2024, 4, 31),
        (2024, 4, 0),
        (1969, 1, 1),
    ):
        assert not days(np.array([year]), np.array([month]), np.array([day]))[1][0]


def test_texts_longer_than_their_place_are_refused() -> None:
    text, spans = text_of(["", "1023", "12345678", "123456789", "SOL_COMPUTED"])
    span = Spans(spans.start[0], spans.length[0])
    found, ok = text.texts(span, 8)
    assert found[:3].tolist() == [b"", b"1023", b"12345678"]
    assert ok.tolist() == [True, True, True, False, False]
    assert text.texts(span, 16)[0][4] == b"SOL_COMPUTED"
