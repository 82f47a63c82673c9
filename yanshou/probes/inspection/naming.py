"""What an answer names: one of a reference list, or the announced model of a vehicle.

It is for letting no two answers stand for one thing, and for handing over to experts what no list has. It must never say that what
is named is there. Pure.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from yanshou.harness.references import STANDINGS, listed
from yanshou.probes.texts import plain

Kind: TypeAlias = Literal["scenes_5g_20", "six_modes", "announced_model"]
ASKED: dict[Kind, str] = {
    "scenes_5g_20": "一个“5G+工业互联网”典型应用场景的名称（照二十个场景写；清单以外的交专家评议）",
    "six_modes": "一种模式的名称（照六大模式写；清单以外的交专家评议）",
    "announced_model": "公告型号，如 公告型号 XYZ6480BEV1",
}
_MODEL = re.compile(r"公告(?:产品)?型号[:\s]*([A-Z]{2,4}[0-9]{3,5}[0-9A-Z]{0,14})(?![0-9A-Z])")
"""Letters of the maker, digits of kind, size and serial, and what follows: a shape that trade names do not have."""


def names(kind: Kind, observed: str) -> tuple[str, ...]:
    """What `observed` names, each once; () for nothing of that kind."""
    if kind == "announced_model":
        return tuple(dict.fromkeys(_MODEL.findall(plain(observed).upper())))
    return listed(kind).within(observed)


def wrong(kind: Kind, observed: str) -> tuple[str, str] | None:
    """(what is wrong, remedy) with a 是. Naming nothing of a list is not wrong: experts decide on it."""
    found = names(kind, observed)
    if len(found) > 1:
        return f"的 observed 写了不止一个：{'、'.join(found)}", "一条只写一个，其余另列一条"
    if kind == "announced_model" and not found:
        return "的 observed 里没有公告型号", "照《道路机动车辆生产企业及产品公告》写：公告型号 XYZ6480BEV1"
    return None


def unsure(kind: Kind, name: str) -> str:
    """How a name of a list is known, in words, where it was not found word by word; "" else."""
    if kind == "announced_model":
        return ""
    standing = listed(kind).names.get(name, "found")
    return "" if standing == "found" else STANDINGS[standing]
