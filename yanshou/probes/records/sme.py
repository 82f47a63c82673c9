"""Whether an enterprise is a 中小微企业 by 《中小企业划型标准规定》 (工信部联企业〔2011〕300号), from its export row.

It is for excluding large enterprises from a count. It must never guess an industry: what cannot be classified is said to be so.
The upper limits were read from two public copies of the text, not from the official print.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

UPPER: dict[str, tuple[int | None, int | None, int | None]] = {
    "农、林、牧、渔业": (None, 20_000, None),
    "工业": (1000, 40_000, None),
    "建筑业": (None, 80_000, 80_000),
    "批发业": (200, 40_000, None),
    "零售业": (300, 20_000, None),
    "交通运输业": (1000, 30_000, None),
    "仓储业": (200, 30_000, None),
    "邮政业": (1000, 30_000, None),
    "住宿业": (300, 10_000, None),
    "餐饮业": (300, 10_000, None),
    "信息传输业": (2000, 100_000, None),
    "软件和信息技术服务业": (300, 10_000, None),
    "房地产开发经营": (None, 200_000, 10_000),
    "物业管理": (1000, 5_000, None),
    "租赁和商务服务业": (300, None, 120_000),
    "其他未列明行业": (300, None, None),
}
"""Industry -> 从业人员, 营业收入 and 资产总额 (万元): an enterprise that reaches all of them is large. None does not matter."""


def is_sme(industry: str, staff: str, revenue: str, assets: str) -> bool | None:
    """True below any limit of its industry, False where all are reached, None where the cells do not say."""
    limits = UPPER.get(industry)
    if limits is None:
        return None
    reached = [
        None if (number := _number(cell)) is None else number >= limit
        for limit, cell in zip(limits, (staff, revenue, assets), strict=True)
        if limit is not None
    ]
    if False in reached:
        return True
    return None if None in reached else False


def _number(cell: str) -> Decimal | None:
    try:
        value = Decimal(cell.replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() and value >= 0 else None
