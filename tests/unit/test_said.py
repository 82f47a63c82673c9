"""What is read back of a page: its numbers, but not those of pages, tables and plots, which another layout counts otherwise."""

from __future__ import annotations

from decimal import Decimal

from yanshou.reports.said import said

PAGE = """
10\u3000异常与无效数据 . . . . . . . . . . . . 47
第 49 页\u3000共 50 页
表 26\u3000逐台设备：S01-I01，运行 4
图 31\u3000S01-I01
表 27 是 28 个；任务书表 1；图 29.5 米；第 30 次
"""


def test_numbers_of_pages_tables_and_plots_are_none_of_the_record() -> None:
    assert said(PAGE, ["S01-I01"], []).numbers == {Decimal(n) for n in ("10", "4", "28", "1", "29.5", "30")}
