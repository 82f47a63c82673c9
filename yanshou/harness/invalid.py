"""What a validation error means to the person who wrote the value, in one line of Chinese. It must never repeat the value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WRONG_TYPE = {
    "string_type": ("应为文本", "给值加上引号"),
    "int_type": ("应为整数", "写一个整数，不加引号"),
    "int_parsing": ("应为整数", "写一个整数，不加引号"),
    "int_from_float": ("应为整数", "写一个整数"),
    "float_type": ("应为数", "写一个数，不加引号"),
    "float_parsing": ("应为数", "写一个数，不加引号"),
    "bool_type": ("应为 true 或 false", "写 true 或 false，不加引号"),
    "bool_parsing": ("应为 true 或 false", "写 true 或 false，不加引号"),
    "model_type": ("应为“键: 值”", "另起一行，缩进后写“键: 值”"),
    "model_attributes_type": ("应为“键: 值”", "另起一行，缩进后写“键: 值”"),
    "dict_type": ("应为“键: 值”", "另起一行，缩进后写“键: 值”"),
    "tuple_type": ("应为列表", "每项另起一行写“- …”"),
    "list_type": ("应为列表", "每项另起一行写“- …”"),
    "string_too_short": ("不能为空", "填写此处"),
    "string_too_long": ("太长", "改短"),
    "too_short": ("不能为空", "至少写一项"),
    "finite_number": ("不是有限的数", "写一个有限的数"),
}
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def place_name(place: Sequence[str | int]) -> str:
    """`measure.S10-I03.params.key[1]`: list items counted from 1."""
    return "".join(f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in place).removeprefix(".")


def explain(error: ErrorDetails, known: Sequence[str]) -> tuple[str, str, str]:
    """(code, text, remedy) of one finding of pydantic; `known` are the keys that may stand there."""
    place, kind, context = error["loc"], error["type"], error.get("ctx", {})
    name = place_name(place)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        return "E-KEY", f"不认识的键 {name}", f"是不是 {near[0]}？" if near else f"可用：{'、'.join(known)}"
    if kind == "missing":
        return "E-KEY", f"缺少 {name}", f"补上“{place[-1]}: …”"
    if kind in ("literal_error", "enum"):
        options = re.findall(r"'([^']*)'", str(context["expected"]))
        near = difflib.get_close_matches(str(error["input"]), options, 1)
        return "E-VALUE", f"{name} 只能是 {'、'.join(options)}", f"是不是 {near[0]}？" if near else "改成其中之一"
    if kind in ("value_error", "assertion_error"):
        return "E-VALUE", f"{name} {context['error']}".strip(), "改正此处"
    if kind == "string_pattern_mismatch":
        return "E-VALUE", f"{name} 写法不对", f"应符合 {context['pattern']}"
    bounds = "、".join(f"{sign} {context[key]}" for key, sign in _BOUNDS.items() if key in context)
    text, remedy = _WRONG_TYPE.get(kind, (f"应 {bounds}" if bounds else error["msg"], "改正此处"))
    return "E-VALUE", f"{name} {text}", remedy
