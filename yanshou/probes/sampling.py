"""Which records, devices or places are re-verified, and the words of the answer, the same way in every probe. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

RESULT = "result"
RESULTS = {"好": True, "good": True, "1": True, "坏": False, "bad": False, "0": False}
"""The words for an audited record in column RESULT; empty is not yet answered."""


def draw_sample(keys_count: int, size: int, seed: int, source_sha256: str) -> tuple[int, ...]:
    """Indices (0-based, in order drawn) of `size` of `keys_count` keys, without replacement; all when `size` is larger.

    PCG64 is seeded with the integer sha256(f"{seed}:{source_sha256}"). Its 64-bit outputs are taken in order; one at or
    above the greatest multiple of `keys_count` below 2**64 is dropped, the others modulo `keys_count` are the indices, one
    already drawn is skipped. Only the bit stream of numpy is used: that is guaranteed to stay, `Generator.choice` is not.
    """
    if size >= keys_count:
        return tuple(range(keys_count))
    usable = 2**64 - 2**64 % keys_count
    drawn: dict[int, None] = {}
    for raw in _bits(seed, source_sha256):
        if raw < usable:
            drawn.setdefault(raw % keys_count)
        if len(drawn) >= size:
            break
    return tuple(drawn)


def draw_places(shape: Any, size: int, seed: int, source_sha256: str) -> list[tuple[float, float]]:
    """`size` independent places (x, y), uniform over `shape` (a shapely polygon of an equal-area plane), in order drawn.

    The bit stream of `draw_sample`; two outputs, shifted right by 11 and divided by 2**53, are the shares of width and height
    of the shape's bounding box, and a place outside the shape is dropped.
    """
    from shapely import contains_xy, prepare

    prepare(shape)
    left, bottom, right, top = shape.bounds
    shares = ((raw >> 11) / 2**53 for raw in _bits(seed, source_sha256))
    places = ((left + u * (right - left), bottom + v * (top - bottom)) for u, v in zip(shares, shares, strict=False))
    return list(islice((place for place in places if contains_xy(shape, *place)), size))


def _bits(seed: int, source_sha256: str) -> Iterator[int]:
    """Uniform 64-bit integers, without end."""
    from numpy.random import PCG64

    bits = PCG64(int(hashlib.sha256(f"{seed}:{source_sha256}".encode()).hexdigest(), 16))
    while True:
        yield int(bits.random_raw())
