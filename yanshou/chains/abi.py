"""Solidity's contract ABI, as far as records need it: the arguments of a call or an event as bytes.

Source: Solidity documentation, Contract ABI Specification. Elementary types, `bytes` and `string`; arrays and tuples are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

WORD = 32
_SIGNATURE = re.compile(r"([A-Za-z_$][A-Za-z0-9_$]*)\(([^()]*)\)")
_NAMES = re.compile(r"([^\s(),][^(),]*)\(([^()]*)\)")
_STATIC = re.compile(r"u?int([0-9]+)|address|bool|bytes([0-9]+)")


@dataclass(frozen=True)
class Signature:
    """`text` is the canonical form that is hashed; `indexed` says of each argument whether it is a topic."""

    text: str
    types: tuple[str, ...]
    indexed: tuple[bool, ...]


def signature(text: str) -> Signature:
    """Parse `save(string,bytes32)` or `Saved(bytes32 indexed,string)`; names of arguments may stand there too.

    Raises ValueError with a Chinese text.
    """
    match = _SIGNATURE.fullmatch(text.strip())
    if not match:
        raise ValueError("不是函数或事件的签名，请写成 save(string,bytes32)")
    words = [argument.split() for argument in match[2].split(",")] if match[2].strip() else []
    if not all(words):
        raise ValueError("签名里有空的参数")
    types = tuple({"uint": "uint256", "int": "int256"}.get(w[0], w[0]) for w in words)
    for name in types:
        if name not in ("bytes", "string") and not _STATIC.fullmatch(name):
            raise ValueError(f"参数类型 {name} 不支持：只认整数、address、bool、bytesN、bytes、string")
    return Signature(f"{match[1]}({','.join(types)})", types, tuple("indexed" in w[1:] for w in words))


def names(text: str) -> tuple[str, tuple[str, ...]]:
    """Parse `save(file_hash, file_name)`: what is called, and what its arguments are called, where a chain has names and no ABI.

    Raises ValueError with a Chinese text.
    """
    match = _NAMES.fullmatch(text.strip())
    if not match:
        raise ValueError("不是按名称调用的写法，请写成 save(参数名,参数名)")
    found = tuple(word.strip() for word in match[2].split(",")) if match[2].strip() else ()
    if not all(found) or len(set(found)) != len(found):
        raise ValueError("参数名有空的或重复的")
    return match[1].strip(), found


def arguments(types: Sequence[str], data: bytes) -> tuple[bytes, ...]:
    """The arguments in `data`: bytesN as N bytes, `bytes` and `string` as they are, others as their 32-byte word.

    Raises ValueError for data that is too short for what it says.
    """
    values = []
    for i, name in enumerate(types):
        word = _slice(data, i * WORD, WORD)
        if name in ("bytes", "string"):
            at = int.from_bytes(word, "big")
            word = _slice(data, at + WORD, int.from_bytes(_slice(data, at, WORD), "big"))
        elif name.startswith("bytes"):
            word = word[: int(name.removeprefix("bytes"))]
        values.append(word)
    return tuple(values)


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError("data too short")
    return data[at : at + size]
