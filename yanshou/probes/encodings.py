"""The encoding of a text file, as a parameter of a probe says it. It must never open the file, nor guess."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator


def is_encoding(value: str) -> bool:
    """Whether Python knows an encoding of this name."""
    try:
        "".encode(value)
    except LookupError:
        return False
    return True


def _known(value: str) -> str:
    if not is_encoding(value):
        raise ValueError("不认识的文字编码，请写 utf-8、utf-8-sig 或 gb18030")
    return value


Encoding: TypeAlias = Annotated[str, AfterValidator(_known)]
"""The name of an encoding that Python knows."""
