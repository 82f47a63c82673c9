"""What Clique writes into a block's extraData: its one signature, and, at each epoch's first block, who may sign. Pure.

Sources: EIP-225; go-ethereum, consensus/clique. Between epochs the headers carry votes only, so that who may sign a block is asked
of the node (`clique_getSigners`), and compared where a header names them. One signature is all that a block has: it proves that
one of the signers made it, and never that others agreed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from yanshou.harness.basics import Json

ADDRESS, VANITY, SEAL = 20, 32, 65
IN_TURN, OUT_OF_TURN = 2, 1
"""Difficulty of a block by the signer whose turn it is, and of one by any other."""


@dataclass(frozen=True)
class CliqueExtra:
    """`signers`: addresses, empty but at an epoch; `seal`: r, s and recovery id; `signed`: extraData as it is signed."""

    signers: tuple[bytes, ...]
    seal: bytes
    signed: bytes


def clique_extra(extra: bytes, difficulty: int, mix_hash: bytes) -> CliqueExtra | None:
    """None where it is no such header."""
    listed = len(extra) - VANITY - SEAL
    if difficulty not in (IN_TURN, OUT_OF_TURN) or any(mix_hash) or listed < 0 or listed % ADDRESS:
        return None
    names = extra[VANITY:-SEAL]
    signers = tuple(names[i : i + ADDRESS] for i in range(0, listed, ADDRESS))
    return CliqueExtra(signers, extra[-SEAL:], extra[:-SEAL])


def is_clique(block: Json) -> bool:
    """Whether a block as a node shows it is one of these. Raises ValueError, KeyError, AttributeError for what is no block."""
    extra, mix_hash = (bytes.fromhex(block[name].removeprefix("0x")) for name in ("extraData", "mixHash"))
    return clique_extra(extra, int(block["difficulty"], 16), mix_hash) is not None


def holds(signer: str, signers: Collection[str], number: int, difficulty: int) -> bool:
    """Whether one of `signers` (hex) signed, and the difficulty says rightly if it was that one's turn."""
    ordered = sorted(signers)
    if signer not in ordered:
        return False
    return (number % len(ordered) == ordered.index(signer)) == (difficulty == IN_TURN)
