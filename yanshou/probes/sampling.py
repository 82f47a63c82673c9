"""Which of a frozen population are re-verified, and the words of the answer, the same way in every probe. Pure."""

from __future__ import annotations

import hashlib

RESULT = "result"
RESULTS = {"好": True, "good": True, "1": True, "坏": False, "bad": False, "0": False}
"""The words for an audited record in column RESULT; empty is not yet answered."""


def draw_sample(keys_count: int, size: int, seed: int, source_sha256: str) -> tuple[int, ...]:
    """Indices (0-based, in order drawn) of `size` of `keys_count` keys, without replacement; all when `size` is larger.

    PCG64 is seeded with the integer sha256(f"{seed}:{source_sha256}"). Its 64-bit outputs are taken in order; one at or
    above the greatest multiple of `keys_count` below 2**64 is dropped, the others modulo `keys_count` are the indices, one
    already drawn is skipped. Only the bit stream of numpy is used: that is guaranteed to stay, `Generator.choice` is not.
    """
    from numpy.random import PCG64

    if size >= keys_count:
        return tuple(range(keys_count))
    bits = PCG64(int(hashlib.sha256(f"{seed}:{source_sha256}".encode()).hexdigest(), 16))
    usable = 2**64 - 2**64 % keys_count
    drawn: dict[int, None] = {}
    while len(drawn) < size:
        raw = int(bits.random_raw())
        if raw < usable:
            drawn.setdefault(raw % keys_count)
    return tuple(drawn)
