"""What a rendering says is read back: numbers as numbers, verdicts with what they are about, digests as neither."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

import pytest

from yanshou.reports.said import Said, read_junit, read_page, read_table, said

DIGEST = sha256(b"x").hexdigest()


def numbers(text: str, *codes: str) -> set[str]:
    return {str(n) for n in said(text, (), codes).numbers}


def test_numbers_are_those_that_people_read() -> None:
    text = "共1,500个，0.8948ms，+1.03，第3页 v2 S10-I01 −5，版本 0.1.0，摘要 64a41bcafe81… ９７"
    assert numbers(text) == {"1500", "0.8948", "1.03", "3", "5", "97"}
    assert said("5.00 与 5", (), ()).numbers == {Decimal(5)}


def test_a_digest_holds_no_number_wherever_it_is_broken() -> None:
    digest = "1234567890" * 6 + "1234"
    broken = f"摘要 {digest[:20]}\n{digest[20:33]} \n{digest[33:]} 之后 7"
    assert numbers(broken, digest) == {"7"}
    assert numbers(broken) != {"7"}


def test_a_verdict_belongs_to_what_was_named_last() -> None:
    told = said("目录 S10-I01 14 案卷结论 × 不符合 S10-I01 ✓ 符合 S10-I011 △  未定 3 × 4", ("S10-I01", "S10-I011"), ())
    assert told.verdicts == {("案卷结论", "×"), ("S10-I01", "✓"), ("S10-I011", "△")}
    assert told.silent({"案卷结论": "fail", "S10-I01": "pass", "S10-I011": "pass"}) == ["S10-I011"]


def test_fewer_digits_are_the_same_number_and_other_ones_are_not() -> None:
    def strange(shown: str) -> list[str]:
        return Said(frozenset({Decimal(shown)}), frozenset()).strange(said("0.017198 与 97", (), ()))

    assert strange("0.0172") == []
    assert strange("0.017") == ["0.017"]  # two digits may be chance
    assert strange("0.0173") == ["0.0173"]
    assert strange("98") == ["98"]


def test_pages_give_their_text_and_the_results_inside() -> None:
    html = (
        b'<style>p{width:77px}</style><p>5 &lt; 6</p><script id="results">{"a":1}</script><script>let x = 99</script>'
    )
    page = read_page("report.html", html)
    assert (numbers(page.text), page.results) == ({"5", "6"}, '{"a":1}')
    for name in ("report.pdf", "results.xlsx", "other.docx"):
        with pytest.raises(ValueError, match=":"):
            read_page(name, b"nothing of the kind")


def test_tables_are_read_by_column_and_test_cases_by_name() -> None:
    assert read_table("\ufeff甲,乙\r\n1,\r\n2,x\r\n".encode()) == {"甲": ["1", "2"], "乙": ["", "x"]}
    for bad in ("甲,甲\n1,2\n", "甲,乙\n1\n"):
        with pytest.raises(ValueError, match="列名重复"):
            read_table(bad.encode())
    suite = '<a><b name="x"><c name="v" value="1"/></b><b name="y" value="2">t</b></a>'
    told = read_junit(suite.encode())
    assert told["b x"]["c v"]["value"] == "1"
    assert (told["b y"]["value"], told["b y"]["text"]) == ("2", "t")
    for bad in ('<a><b name="x"/><b name="x"/></a>', "<a>"):
        with pytest.raises(ValueError, match=r"两次|no element|mismatched"):
            read_junit(bad.encode())
