"""The encoding of a text file, as a parameter of a probe says it. It must never open the file, nor guess."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator


def _known(value: str) -> str:
    try:
        "".encode(value)
    except LookupError:
        raise ValueError("不认识的文字编码，请写 utf-8、utf-8-sig 或 gb18030") from None
    return value


Encoding: TypeAlias = Annotated[str, AfterValidator(_known)]
"""The name of an encoding that Python knows."""
