"""RLP, and the roots that chains compute over a block's transactions.

Sources: Ethereum Yellow Paper, appendices B (RLP), C and D (hex-prefix, Merkle Patricia tree). It must never do I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Hash: TypeAlias = Callable[[bytes], bytes]
Item: TypeAlias = "bytes | Sequence[Item]"


def big_endian(number: int) -> bytes:
    """A natural number without leading zeros; zero is b""."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def rlp(item: Item) -> bytes:
    """RLP of bytes or nested sequences of them."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _headed(0x80, item)
    return _headed(0xC0, b"".join(map(rlp, item)))


def _headed(offset: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 56:
        return bytes([offset + size]) + payload
    length = big_endian(size)
    return bytes([offset + 55 + len(length)]) + length + payload


def unrlp(data: bytes) -> bytes | list[Any]:
    """The one item that `data` is the RLP of: bytes, or nested lists of them. Raises ValueError for anything else."""
    item, end = _item(data, 0)
    if end != len(data) or rlp(item) != data:  # so that no second spelling of the same item passes
        raise ValueError("not RLP")
    return item


def _item(data: bytes, at: int) -> tuple[bytes | list[Any], int]:
    """The item that begins at `at`, and where it ends."""
    if at >= len(data):
        raise ValueError("RLP too short")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    offset = 0xC0 if first >= 0xC0 else 0x80
    size, start = first - offset, at + 1
    if size >= 56:
        start += size - 55
        size = int.from_bytes(data[at + 1 : start], "big")
    end = start + size
    if end > len(data):
        raise ValueError("RLP too short")
    if offset == 0x80:
        return data[start:end], end
    items, at = [], start
    while at < end:
        item, at = _item(data, at)
        items.append(item)
    if at != end:
        raise ValueError("RLP too short")
    return items, end


def width_root(leaves: Sequence[bytes], width: int, hash_: Hash) -> bytes:
    """The root over `leaves`, each parent the digest of up to `width` children side by side; one leaf is its own root.

    Raises ValueError for no leaves.
    """
    if not leaves:
        raise ValueError("no leaves")
    level = list(leaves)
    while len(level) > 1:
        level = [hash_(b"".join(level[i : i + width])) for i in range(0, len(level), width)]
    return level[0]


def doubled_root(leaves: Sequence[bytes], hash_: Hash) -> bytes:
    """The root over `leaves`, each parent the digest of two children, the last of an odd level with itself; one leaf is its own.

    b"" for no leaves. Other leaves may have the same root (the last ones twice): their number must be known from elsewhere.
    """
    level = list(leaves)
    while len(level) > 1:
        level += level[-1:] if len(level) % 2 else []
        level = [hash_(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0] if level else b""


def trie_root(values: Sequence[bytes], hash_: Hash) -> bytes:
    """The root of the Merkle Patricia tree that maps rlp(i) to `values[i]`; of the empty tree where there are none."""
    if not values:
        return hash_(rlp(b""))
    pairs = sorted((tuple(_nibbles(rlp(big_endian(i)))), value) for i, value in enumerate(values))
    return hash_(rlp(_node(pairs, 0, hash_)))


def _nibbles(data: bytes) -> list[int]:
    return [nibble for byte in data for nibble in (byte >> 4, byte & 15)]


def _path(nibbles: Sequence[int], leaf: bool) -> bytes:
    """Hex-prefix encoding."""
    odd = len(nibbles) & 1
    padded = [(2 if leaf else 0) + odd, *([] if odd else [0]), *nibbles]
    return bytes(padded[i] << 4 | padded[i + 1] for i in range(0, len(padded), 2))


def _node(pairs: Sequence[tuple[tuple[int, ...], bytes]], depth: int, hash_: Hash) -> list[Item]:
    """The node over sorted `pairs` that agree in their first `depth` nibbles. No key is the beginning of another."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return [_path(first[depth:], leaf=True), pairs[0][1]]
    common = depth
    while first[common] == last[common]:
        common += 1
    if common > depth:
        return [_path(first[depth:common], leaf=False), _reference(_node(pairs, common, hash_), hash_)]
    branch: list[Item] = [b""] * 17
    start = 0
    for end in range(1, len(pairs) + 1):
        if end == len(pairs) or pairs[end][0][depth] != pairs[start][0][depth]:
            branch[pairs[start][0][depth]] = _reference(_node(pairs[start:end], depth + 1, hash_), hash_)
            start = end
    return branch


def _reference(node: list[Item], hash_: Hash) -> Item:
    """A node within its parent: itself when it is short, else its digest."""
    encoded = rlp(node)
    return node if len(encoded) < 32 else hash_(encoded)
