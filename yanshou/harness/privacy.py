"""Personal data that must not get into a bundle: how it looks, and messages without it. It must never keep or print any."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from yanshou.harness.basics import Problem


def _is_id_card(text: str) -> bool:
    from stdnum.cn import ric

    return bool(ric.is_valid(text))


def _is_in_china(text: str) -> bool:
    degrees = float(text)
    return 18 <= degrees <= 54 or 73 <= degrees <= 136


@dataclass(frozen=True)
class Personal:
    """Something that must not be in a bundle: its name, what to write instead, where to look, when a match is one."""

    name: str
    remedy: str
    pattern: re.Pattern[str]
    is_one: Callable[[str], bool] = bool

    def is_in(self, text: str) -> bool:
        """True when there is one in `text`."""
        return any(self.is_one(match[0]) for match in self.pattern.finditer(text))

    def hidden(self, text: str) -> str:
        """`text` with each one replaced."""
        return self.pattern.sub(lambda match: "〔略〕" if self.is_one(match[0]) else match[0], text)


PERSONAL = (
    Personal(
        "手机号",
        "改用座机或通信地址",
        re.compile(r"(?<![0-9A-Za-z.])(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}(?![0-9]|[0-9a-f]{8})"),
    ),
    Personal(
        "身份证号",
        "删去；须区分个人时用加密钥的摘要（HMAC）",
        re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{16}[0-9Xx](?![0-9]|[0-9a-f]{8})"),
        _is_id_card,
    ),
    Personal(
        "邮箱地址",
        "改用座机或通信地址",
        re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"),
    ),
    Personal(
        "高精度坐标",
        "改用相对控制点的东、北、天偏移量",
        re.compile(r"(?<![0-9A-Za-z.])[0-9]{2,3}\.[0-9]{6,}"),
        _is_in_china,
    ),
)


def redacted(text: str) -> str:
    """`text` without the personal data that somebody may have typed into a wrong field."""
    hidden = plain = unicodedata.normalize("NFKC", text)
    for kind in PERSONAL:
        hidden = kind.hidden(hidden)
    return text if hidden == plain else hidden


def printable(problem: Problem) -> Problem:
    """On one line, and without personal data."""
    text, remedy = (redacted(" ".join(part.split())) for part in (problem.text, problem.remedy))
    return replace(problem, text=text, remedy=remedy)
